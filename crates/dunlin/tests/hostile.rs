//! Random and mutated datagrams from many addresses against a running `dunlin serve`: it keeps serving,
//! its memory stays bounded, and its log stays silent.
//!
//! `./test --only hostile`. How many is `DUNLIN_HOSTILE_DATAGRAMS`; `DUNLIN_SEED` repeats a run.

mod live;

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use dunlin_coap::{Code, MessageType, OptionList, OptionNumber};
use live::device::{Device, message};
use live::{Random, Serve, Setup, ask, setting};

/// Sockets at a time, each with an address of its own; all are replaced again and again.
const SOCKETS: usize = 64;

/// After so many datagrams the Server is asked whether it has come so far: no more are lost on the way.
const BURST: u64 = 256;

/// What may be kept for each Client that the mutations have registered by accident, bytes.
const BYTES_PER_CLIENT_MAX: u64 = 16 * 1024;

/// What the memory may grow by over the second half besides: pages of the allocator, buffers.
const GROWTH_MAX: u64 = 24 * 1024 * 1024;

#[test]
#[ignore = "wants a release build: ./test --only hostile"]
fn hostile_datagrams_are_counted_drops() {
    let datagrams = setting("DUNLIN_HOSTILE_DATAGRAMS", 200_000);
    let folder = tempfile::tempdir().expect("a folder");
    let mut setup = Setup::new(&folder.path().join("data"));
    // What the mutations register by accident goes again while the test runs.
    setup.set("DUNLIN__SERVER__DEPARTED_FOR_S", "2");
    setup.set("DUNLIN__STORE__LOG_BYTES_MAX", "33554432");
    let mut serve = Serve::start(&mut setup);
    let started_with = serve.log.lock().expect("kept").len();
    let mut random = Random::new();
    let seeds = seeds();
    let mut sockets: Vec<UdpSocket> = (0..SOCKETS).map(|_| source(&mut random)).collect();
    let probe = UdpSocket::bind("127.0.0.1:0").expect("a port");
    probe.connect(serve.coap).expect("an address");
    let quarter = datagrams.div_ceil(4);
    let mut memory = Vec::new();
    for sent in 0..datagrams {
        let socket = (random.below(SOCKETS as u64)) as usize;
        if random.below(500) == 0 {
            sockets[socket] = source(&mut random);
        }
        let bytes = hostile(&mut random, &seeds);
        // A full buffer on the way is no failure of the server.
        let _ = sockets[socket].send_to(&bytes, serve.coap);
        if sent % BURST == 0 {
            assert!(ping(&probe), "no answer to a ping after {sent} datagrams");
        }
        if sent % quarter == quarter - 1 {
            assert!(serve.is_running());
            still_serves(&serve, sent);
            memory.push((serve.resident(), registered(&serve)));
        }
    }
    println!("{datagrams} datagrams; resident bytes and registered Clients: {memory:?}");
    if let [_, (middle, had), .., (end, has)] = memory[..] {
        let allowed = GROWTH_MAX + has.saturating_sub(had) * BYTES_PER_CLIENT_MAX;
        assert!(end <= middle + allowed, "memory grows: {memory:?}");
    }
    let log = serve.log.lock().expect("kept");
    let said = &log[started_with..];
    assert!(
        said.len() <= 5,
        "{} lines in the log: {:#?}",
        said.len(),
        &said[..20.min(said.len())]
    );
    drop(log);
    assert!(serve.interrupt(), "it ends well");
}

/// A socket somewhere in 127.0.0.0/8.
fn source(random: &mut Random) -> UdpSocket {
    let bits = random.next();
    let address = [
        127,
        (bits >> 8) as u8 | 1,
        (bits >> 16) as u8,
        (bits >> 24) as u8 | 1,
    ];
    UdpSocket::bind((std::net::Ipv4Addr::from(address), 0)).expect("all of 127.0.0.0/8 is ours")
}

/// Real messages: each kind that a Client sends.
fn seeds() -> Vec<Vec<u8>> {
    let confirmable = MessageType::Confirmable;
    let with = |options: &[(OptionNumber, &[u8])]| {
        let mut list = OptionList::new();
        for (number, value) in options {
            list.push(*number, value);
        }
        list
    };
    let path = OptionNumber::URI_PATH;
    let query = OptionNumber::URI_QUERY;
    let format = OptionNumber::CONTENT_FORMAT;
    let register = with(&[
        (path, b"rd"),
        (format, &[40]),
        (query, b"ep=hostile-0"),
        (query, b"lt=1"),
        (query, b"lwm2m=1.0"),
        (query, b"b=UQ"),
    ]);
    let links = b"</>;rt=\"oma.lwm2m\";ct=11543,</1/0>,</3/0>,</3303/0>;ver=1.1";
    let update = with(&[
        (path, b"rd"),
        (path, b"0000ZM8H78Y9W6S70DZYMQ2M0P"),
        (query, b"lt=60"),
    ]);
    let block = with(&[
        (path, b"rd"),
        (format, &[40]),
        (query, b"ep=hostile-1"),
        (query, b"lt=1"),
        (OptionNumber::BLOCK1, &[0x08]),
    ]);
    let next_block = with(&[
        (path, b"rd"),
        (query, b"ep=hostile-1"),
        (OptionNumber::BLOCK1, &[0x19]),
    ]);
    let notify = with(&[(OptionNumber::OBSERVE, &[7]), (format, &[0x2d, 0x16])]);
    let answer = with(&[(format, &[0x2d, 0x16]), (OptionNumber::BLOCK2, &[0x0e])]);
    let bootstrap = with(&[(path, b"bs"), (query, b"ep=hostile-2")]);
    let send = with(&[(path, b"dp"), (format, &[110])]);
    let tlv = b"\xe4\x16\x44\x42\x20\x00\x00\xc8\x00\x14example";
    let token = [0, 1, 2, 3, 4, 5, 6, 7];
    vec![
        message(confirmable, Code::POST, 1, &token[..2], &register, links),
        message(
            MessageType::NonConfirmable,
            Code::POST,
            2,
            &[],
            &register,
            links,
        ),
        message(confirmable, Code::POST, 3, &token[..4], &update, &[]),
        message(confirmable, Code::DELETE, 4, &token[..1], &update, &[]),
        message(confirmable, Code::POST, 5, &token[..2], &block, &[b','; 16]),
        message(
            confirmable,
            Code::POST,
            6,
            &token[..2],
            &next_block,
            &[b'<'; 32],
        ),
        message(confirmable, Code::CONTENT, 7, &token, &notify, tlv),
        message(
            MessageType::NonConfirmable,
            Code::CONTENT,
            8,
            &token[..4],
            &notify,
            b"{\"e\":[{\"n\":\"\",\"v\":1}]}",
        ),
        message(
            MessageType::Acknowledgement,
            Code::CONTENT,
            9,
            &token[..4],
            &answer,
            &[7; 1024],
        ),
        message(
            MessageType::Acknowledgement,
            Code::EMPTY,
            10,
            &[],
            &OptionList::new(),
            &[],
        ),
        message(
            MessageType::Reset,
            Code::EMPTY,
            11,
            &[],
            &OptionList::new(),
            &[],
        ),
        message(confirmable, Code::POST, 12, &token[..2], &bootstrap, &[]),
        message(
            confirmable,
            Code::POST,
            13,
            &token[..2],
            &send,
            b"[{\"n\":\"/3/0/9\",\"v\":1}]",
        ),
        message(
            confirmable,
            Code::GET,
            14,
            &token[..2],
            &with(&[(path, b".well-known"), (path, b"core")]),
            &[],
        ),
    ]
}

/// One datagram: of random bytes, or a real message with something wrong.
fn hostile(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    if random.below(4) == 0 {
        let longest = if random.below(20) == 0 { 1_500 } else { 80 };
        let length = random.below(longest);
        let mut bytes: Vec<u8> = (0..length).map(|_| (random.next() >> 24) as u8).collect();
        // Half of them say that they are CoAP.
        if let Some(first) = bytes.first_mut().filter(|_| length.is_multiple_of(2)) {
            *first = *first & 0x3f | 0x40;
        }
        return bytes;
    }
    let mut bytes = seeds[random.below(seeds.len() as u64) as usize].clone();
    if random.below(2) == 0 {
        // Another Message ID: no duplicate of what came before.
        let id = (random.next() >> 20) as u16;
        bytes[2..4].copy_from_slice(&id.to_be_bytes());
    }
    for _ in 0..=random.below(4) {
        if bytes.is_empty() {
            break;
        }
        let at = random.below(bytes.len() as u64) as usize;
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = (random.next() >> 24) as u8,
            2 => bytes.truncate(at),
            3 => bytes.insert(at, (random.next() >> 24) as u8),
            4 => drop(bytes.remove(at)),
            _ => {
                let other = &seeds[random.below(seeds.len() as u64) as usize];
                let from = random.below(other.len() as u64) as usize;
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
    bytes
}

/// A CoAP ping: an empty Confirmable message is answered with a Reset (RFC 7252 §4.3). By then the
/// Server has read what came before.
fn ping(probe: &UdpSocket) -> bool {
    let empty = [0x40, 0, 0x12, 0x34];
    probe
        .set_read_timeout(Some(Duration::from_millis(500)))
        .expect("a time");
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut buffer = [0; 64];
    while Instant::now() < deadline {
        let _ = probe.send(&empty);
        if probe.recv(&mut buffer).is_ok_and(|length| length == 4) {
            return true;
        }
    }
    false
}

/// A real Client registers and is read in between.
fn still_serves(serve: &Serve, sent: u64) {
    let mut device = Device::new(format!("honest-{sent}"), serve.coap);
    let answer = device
        .register(false, Duration::from_secs(20))
        .expect("an answer");
    assert_eq!(answer.code, Code::CREATED);
    let (agent, http) = serve.api();
    let route = format!("/clients/{}/3/0/9", device.name);
    let reader = std::thread::spawn(move || ask(&agent, &http, "GET", &route, ""));
    let deadline = Instant::now() + Duration::from_secs(20);
    while !reader.is_finished() && Instant::now() < deadline {
        device.listen(Duration::from_millis(50));
    }
    let (status, reading) = reader.join().expect("asks").expect("answers");
    assert_eq!(
        (status, &reading["node"]["value"]),
        (200, &60.into()),
        "{reading}"
    );
}

fn registered(serve: &Serve) -> u64 {
    serve.get("/clients?limit=1")["total"]
        .as_u64()
        .expect("a number")
}
