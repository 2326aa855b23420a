//! What a Client costs: bytes, and time to register, to refresh, to change and to notify.
//!
//! `cargo bench -p dunlin-server --bench clients [-- CLIENTS] [distinct]`. With `distinct` no two
//! Clients have the same list of objects. The machine alone, without sockets
//! and store: commits are counted and dropped. At the end stands what each part of a Client takes. The transport below is measured with the same
//! datagrams, so that the difference is what the Server adds.
#![allow(unsafe_code)] // An allocator that counts has to be one.

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dunlin_lwm2m::operation::Strictness;
use dunlin_lwm2m::{EndpointName, Registry};
use dunlin_server::{Command, Output, Server, ServerConfig, Settings};
use dunlin_transport::coap::wire::datagram;
use dunlin_transport::coap::{
    Code, Message, MessageId, MessageType, OptionList, OptionNumber, Token,
};
use dunlin_transport::dtls::{self, Dtls};
use dunlin_transport::{
    Address, Config, Event, Now, Output as WireOutput, Port, Side, Transport, UplinkAnswer,
    WallTime,
};

/// CPU time of this thread: other work on the machine does not count.
fn cpu() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the clock exists and `time` is written to.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The system's allocator, and how much of it is in use.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(held(layout), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(held(layout), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// What glibc takes for a block: a header of eight bytes, in steps of sixteen.
fn held(layout: Layout) -> usize {
    (layout.size() + 8).next_multiple_of(16).max(32)
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const LINKS: &str = "</>;rt=\"oma.lwm2m\",</1/0>,</2/0>,</3/0>,</4/0>,</5/0>,</6/0>,</7/0>,\
                     </3303/0>,</3303/1>,</3304/0>";

struct Client {
    address: Address,
    location: Vec<Vec<u8>>,
    token: Option<Token>,
    message_id: u16,
}

fn main() {
    let clients = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(100_000usize);
    println!("{clients} Clients, names of 24 bytes, 10 links");
    let mut bench = Bench::new();
    let mut all: Vec<Client> = (0..clients).map(client).collect();

    let before = IN_USE.load(Ordering::Relaxed);
    let registers: Vec<_> = all.iter_mut().enumerate().map(register).collect();
    let spent = bench.run(&mut all, &registers, |client, message| {
        client.location = message
            .options
            .all(OptionNumber::LOCATION_PATH)
            .map(<[u8]>::to_vec)
            .collect();
    });
    report("register", clients, spent);
    drop(registers);
    // Answers are remembered for EXCHANGE_LIFETIME: after that what is left is the Client's own.
    bench.now = bench.now.plus(Duration::from_secs(300));
    bench.server.handle_timeout(bench.now);
    bench.drain(|_, _| {});
    let locations: usize = all
        .iter()
        .map(|_| 2 * 32 + held(Layout::array::<Vec<u8>>(2).unwrap()))
        .sum();
    let held = IN_USE.load(Ordering::Relaxed) - before - locations;
    println!("{:<24}{:>8} bytes per Client", "memory", held / clients);
    let registered = held / clients;
    let mut parts = Vec::new();

    for round in ["refresh", "refresh again"] {
        let updates: Vec<_> = all.iter_mut().map(|client| update(client, &[])).collect();
        let spent = bench.run(&mut all, &updates, |_, message| {
            assert_eq!(message.code, Code::CHANGED);
        });
        report(round, clients, spent);
    }
    let (wire, peer) = transport_alone(&mut all);
    report("  transport alone", clients, wire);
    parts.push(("address, peer, CoAP record", peer));
    parts.push(("registration and timer", registered.saturating_sub(peer)));

    let updates: Vec<_> = all
        .iter_mut()
        .map(|client| update(client, &["lt=90001"]))
        .collect();
    let spent = bench.run(&mut all, &updates, |_, message| {
        assert_eq!(message.code, Code::CHANGED);
    });
    report("changing update", clients, spent);

    bench.observe_all(&mut all);
    let notifications: Vec<_> = all.iter_mut().map(notification).collect();
    let spent = bench.run(&mut all, &notifications, |_, message| {
        assert_eq!(message.message_type, MessageType::Acknowledgement);
    });
    report("notify", clients, spent);
    bench.now = bench.now.plus(Duration::from_secs(300));
    bench.server.handle_timeout(bench.now);
    bench.drain(|_, _| {});
    let held = IN_USE.load(Ordering::Relaxed) - before - locations;
    println!(
        "{:<24}{:>8} bytes per Client",
        "with an observation",
        held / clients
    );
    parts.push(("observation", (held / clients).saturating_sub(registered)));
    println!("{} commits", bench.commits);
    drop(bench);
    parts.push(("session of DTLS", session_alone(clients)));
    println!("\nbytes per Client, by part");
    for (part, bytes) in parts {
        println!("{part:<28}{bytes:>6}");
    }
}

/// What a session of DTLS with a pre-shared key and a Connection ID takes, its handshake over.
fn session_alone(clients: usize) -> usize {
    let now = Duration::from_secs(10);
    let server = dtls::Settings {
        server: Some(dtls::ServerSettings::default()),
        sessions_max: clients + 1,
        ..dtls::Settings::default()
    };
    let mut server = Dtls::new(server, [3; 32]);
    // The far ends take memory, too, and are dropped one by one.
    let before = IN_USE.load(Ordering::Relaxed);
    for index in 0..clients {
        let mut far = Dtls::new(dtls::Settings::default(), [index as u8; 32]);
        let mut host = [0; 16];
        host[..8].copy_from_slice(&index.to_be_bytes());
        let here = dtls::Address::other(host, 0);
        let settings = dtls::ClientSettings::psk(name(index).as_str().as_bytes(), &[7; 16]);
        far.connect(now, here, settings).expect("it may");
        let mut connected = false;
        while !connected {
            let mut up = Vec::new();
            loop {
                match far.poll_output() {
                    dtls::Output::Transmit(transmit) => up.push(transmit.bytes),
                    dtls::Output::Event(dtls::Event::Connected(there)) => {
                        // By its first record the server knows that the handshake is over there, too.
                        connected = far.send(now, there.session, b"Register", 0).is_ok();
                    }
                    dtls::Output::Timeout(_) => break,
                    _ => {}
                }
            }
            for bytes in up {
                server.handle_receive(now, here, &bytes);
                loop {
                    match server.poll_output() {
                        dtls::Output::Transmit(transmit) => {
                            far.handle_receive(now, here, &transmit.bytes);
                        }
                        dtls::Output::Need(need) => {
                            let key = dtls::Secret::from(&[7; 16][..]);
                            server.handle_answer(now, need.id, dtls::Answer::Psk(Some(key)));
                        }
                        dtls::Output::Timeout(_) => break,
                        _ => {}
                    }
                }
            }
        }
    }
    server.handle_timeout(now + Duration::from_secs(300));
    assert_eq!(server.session_count(), clients);
    (IN_USE.load(Ordering::Relaxed) - before) / clients
}

struct Bench {
    server: Server,
    now: Now,
    commits: u64,
}

impl Bench {
    fn new() -> Self {
        let registry = Arc::new(Registry::bundled());
        Self {
            server: Server::new(ServerConfig::default(), registry, [7; 32]),
            now: Now {
                instant: Duration::from_secs(10),
                wall: WallTime(1_767_225_600_000),
            },
            commits: 0,
        }
    }

    fn drain(&mut self, mut sent: impl FnMut(&Address, Message<'_>)) {
        loop {
            match self.server.poll_output() {
                Output::Commit(_) => self.commits += 1,
                Output::Transmit(transmit) => {
                    let message = datagram::decode(&transmit.bytes).expect("it is ours");
                    sent(&transmit.to, message);
                    self.server.recycle(transmit.bytes);
                }
                Output::Timeout(_) => return,
                _ => {}
            }
        }
    }

    /// Hands in one datagram of each Client, and every answer to `answered`.
    fn run(
        &mut self,
        all: &mut [Client],
        datagrams: &[Vec<u8>],
        mut answered: impl FnMut(&mut Client, Message<'_>),
    ) -> Duration {
        let begin = cpu();
        for (client, bytes) in all.iter_mut().zip(datagrams) {
            self.now = self.now.plus(Duration::from_micros(10));
            self.server
                .handle_receive(self.now, Port::Coap, &client.address, None, bytes);
            self.drain(|_, message| answered(client, message));
        }
        cpu() - begin
    }

    fn observe_all(&mut self, all: &mut [Client]) {
        for (index, client) in all.iter_mut().enumerate() {
            let command = Command::Observe {
                path: [3, 0, 9].into(),
                renew: true,
            };
            let asked = self
                .server
                .request(self.now, &name(index), command, Settings::default());
            asked.expect("it is taken");
            let mut answer = Vec::new();
            self.drain(|_, asked| {
                client.token = Some(asked.token);
                let mut options = OptionList::new();
                options.push_uint(OptionNumber::OBSERVE, 1);
                options.push_uint(OptionNumber::CONTENT_FORMAT, 0);
                let message = Message {
                    message_type: MessageType::Acknowledgement,
                    code: Code::CONTENT,
                    options: options.view(),
                    payload: b"100",
                    ..asked
                };
                datagram::encode(&message, &mut answer);
            });
            self.server
                .handle_receive(self.now, Port::Coap, &client.address, None, &answer);
            self.drain(|_, _| {});
        }
    }
}

/// The same refreshes through a transport whose role answers 2.04 to everything.
fn transport_alone(all: &mut [Client]) -> (Duration, usize) {
    let side = Side::Server {
        strictness: Strictness::Lenient,
    };
    let coap = ServerConfig::default().coap;
    let before = IN_USE.load(Ordering::Relaxed);
    let mut transport = Transport::new(
        Config {
            side,
            coap,
            dtls: None,
        },
        [7; 32],
    );
    let mut now = Now {
        instant: Duration::from_secs(10),
        wall: WallTime(0),
    };
    let mut spent = Duration::ZERO;
    // The first round makes the peers known, the second is measured.
    for _ in 0..2 {
        let updates: Vec<_> = all.iter_mut().map(|client| update(client, &[])).collect();
        let begin = cpu();
        for (client, bytes) in all.iter().zip(&updates) {
            now = now.plus(Duration::from_micros(10));
            transport.handle_receive(now, Port::Coap, &client.address, None, bytes);
            loop {
                match transport.poll_output() {
                    WireOutput::Transmit(transmit) => transport.recycle(transmit.bytes),
                    WireOutput::Event(
                        Event::Refresh { peer, exchange, .. }
                        | Event::Uplink { peer, exchange, .. },
                    ) => {
                        transport.hold(peer);
                        let answer = &UplinkAnswer::Changed;
                        let _ = transport.answer_uplink(now, exchange, answer, 0);
                    }
                    WireOutput::Event(_) | WireOutput::Need { .. } | WireOutput::Reserve { .. } => {
                    }
                    WireOutput::Timeout(_) => break,
                }
            }
        }
        spent = cpu() - begin;
    }
    now = now.plus(Duration::from_secs(300));
    transport.handle_timeout(now);
    while !matches!(transport.poll_output(), WireOutput::Timeout(_)) {}
    let held = IN_USE.load(Ordering::Relaxed) - before;
    println!(
        "{:<24}{:>8} bytes per peer",
        "  transport alone",
        held / all.len()
    );
    (spent, held / all.len())
}

fn report(what: &str, clients: usize, spent: Duration) {
    let each = spent.as_nanos() / clients as u128;
    println!("{what:<24}{each:>8} ns each");
}

fn client(index: usize) -> Client {
    let [_, a, b, c] = (index as u32).to_be_bytes();
    Client {
        address: SocketAddr::from(([127, a, b, c], 5683)).into(),
        location: Vec::new(),
        token: None,
        message_id: 1,
    }
}

fn name(index: usize) -> EndpointName {
    EndpointName::new(&format!("urn:imei:{index:015}")).expect("a name")
}

fn encode(client: &mut Client, code: Code, options: &OptionList, payload: &[u8]) -> Vec<u8> {
    client.message_id = client.message_id.wrapping_add(1);
    let message = Message {
        message_type: MessageType::Confirmable,
        code,
        message_id: MessageId(client.message_id),
        token: client
            .token
            .filter(|_| code == Code::CONTENT)
            .unwrap_or(Token::EMPTY),
        options: options.view(),
        payload,
    };
    let mut bytes = Vec::new();
    datagram::encode(&message, &mut bytes);
    bytes
}

fn register((index, client): (usize, &mut Client)) -> Vec<u8> {
    let mut options = OptionList::new();
    options.push(OptionNumber::URI_PATH, b"rd");
    options.push_uint(OptionNumber::CONTENT_FORMAT, 40);
    let ep = format!("ep={}", name(index));
    for query in [ep.as_str(), "lt=86400", "lwm2m=1.0", "b=U"] {
        options.push(OptionNumber::URI_QUERY, query.as_bytes());
    }
    let distinct = std::env::args().any(|argument| argument == "distinct");
    let links = if distinct {
        let (one, two) = (index % 65_000, index / 65_000);
        format!("{LINKS},</3305/{one}>,</3306/{two}>")
    } else {
        LINKS.into()
    };
    encode(client, Code::POST, &options, links.as_bytes())
}

fn update(client: &mut Client, queries: &[&str]) -> Vec<u8> {
    let mut options = OptionList::new();
    for segment in &client.location {
        options.push(OptionNumber::URI_PATH, segment);
    }
    for query in queries {
        options.push(OptionNumber::URI_QUERY, query.as_bytes());
    }
    encode(client, Code::POST, &options, b"")
}

fn notification(client: &mut Client) -> Vec<u8> {
    let mut options = OptionList::new();
    options.push_uint(OptionNumber::OBSERVE, 2);
    options.push_uint(OptionNumber::CONTENT_FORMAT, 0);
    encode(client, Code::CONTENT, &options, b"99")
}
