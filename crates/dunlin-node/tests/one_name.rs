//! Several shards, and Clients that register under one name at the same moment: the name has one
//! registration, the last that was told, and it is that one that a restart finds.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use dunlin_node::{Config, Data, Node, Port};
use dunlin_transport::coap::Code;
use dunlin_transport::coap::wire::datagram;

const PATIENCE: Duration = Duration::from_secs(30);

/// Sockets from which Clients speak: the kernel gives them to shards by their address.
const SOCKETS: usize = 12;

/// Names that are fought for.
const NAMES: usize = 40;

/// Who fights for one.
const RIVALS: usize = 4;

fn option(message: &mut Vec<u8>, delta: u8, value: &[u8]) {
    let length = value.len();
    assert!(delta < 13 && length < 269);
    if length < 13 {
        message.push(delta << 4 | length as u8);
    } else {
        message.extend([delta << 4 | 13, (length - 13) as u8]);
    }
    message.extend(value);
}

fn post(message_id: u16, token: u16, path: &[&str], queries: &[&str], payload: &[u8]) -> Vec<u8> {
    let [high, low] = message_id.to_be_bytes();
    let mut message = vec![0x42, 0x02, high, low];
    message.extend(token.to_be_bytes());
    for (index, segment) in path.iter().enumerate() {
        option(
            &mut message,
            if index == 0 { 11 } else { 0 },
            segment.as_bytes(),
        );
    }
    for (index, query) in queries.iter().enumerate() {
        option(
            &mut message,
            if index == 0 { 4 } else { 0 },
            query.as_bytes(),
        );
    }
    if !payload.is_empty() {
        message.push(0xff);
        message.extend(payload);
    }
    message
}

/// Sends until each has its answer: code and the last segment of the location.
fn ask(server: SocketAddr, asked: &[(&UdpSocket, Vec<u8>)]) -> Vec<(Code, String)> {
    let mut answers = vec![None; asked.len()];
    let until = Instant::now() + PATIENCE;
    while answers.iter().any(Option::is_none) {
        assert!(Instant::now() < until, "no answer: {answers:?}");
        for (index, (socket, message)) in asked.iter().enumerate() {
            if answers[index].is_none() {
                socket.send_to(message, server).expect("sent");
            }
        }
        for (socket, _) in asked {
            let mut bytes = [0; 2048];
            while let Ok(length) = socket.recv(&mut bytes) {
                let message = datagram::decode(&bytes[..length]).expect("CoAP");
                if !message.code.is_response() {
                    continue;
                }
                let place = asked
                    .iter()
                    .position(|(_, asked)| asked[4..6] == *message.token.as_bytes());
                let location = message.options.location_path().last().unwrap_or_default();
                let location = String::from_utf8(location.to_vec()).expect("text");
                if let Some(place) = place {
                    answers[place].get_or_insert((message.code, location));
                }
            }
        }
    }
    answers.into_iter().flatten().collect()
}

/// Updates at every location: exactly one of each name is alive. Returns which.
fn alive(server: SocketAddr, told: &[Vec<(&UdpSocket, String)>], numbers: &mut u16) -> Vec<usize> {
    let mut alive = Vec::new();
    for rivals in told {
        let asked: Vec<_> = rivals
            .iter()
            .map(|(socket, location)| {
                *numbers += 1;
                (
                    *socket,
                    post(*numbers, *numbers, &["rd", location], &[], &[]),
                )
            })
            .collect();
        let codes: Vec<Code> = ask(server, &asked).into_iter().map(|one| one.0).collect();
        let good = |code: &&Code| **code == Code::CHANGED;
        assert_eq!(codes.iter().filter(good).count(), 1, "{codes:?}");
        alive.extend(codes.iter().position(|code| *code == Code::CHANGED));
    }
    alive
}

#[test]
fn shards_that_claim_one_name_in_the_same_moment_agree_and_so_does_the_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let loopback: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    let mut config = Config {
        data: folder.path().join("data"),
        shards: 4,
        ..Config::default()
    };
    config.server.close_doors();
    config.server.coap = vec![loopback];
    config.http.bind = loopback;
    let node = Node::start(&config, &Data::Folder).expect("it starts");
    let server = node.at(Port::Coap)[0];
    let sockets: Vec<UdpSocket> = (0..SOCKETS)
        .map(|_| {
            let socket = UdpSocket::bind(loopback).expect("a port");
            let pause = Duration::from_millis(2);
            socket.set_read_timeout(Some(pause)).expect("a socket");
            socket
        })
        .collect();
    let mut numbers = 0;
    let mut told = Vec::new();
    for name in 0..NAMES {
        let endpoint = format!("ep=wanted-{name}");
        let asked: Vec<_> = (0..RIVALS)
            .map(|rival| {
                numbers += 1;
                let socket = &sockets[(name + rival * (SOCKETS / RIVALS)) % SOCKETS];
                let queries = ["b=U", &endpoint, "lt=3600", "lwm2m=1.0"];
                (socket, post(numbers, numbers, &["rd"], &queries, b"</3/0>"))
            })
            .collect();
        let answers = ask(server, &asked);
        let created = asked
            .iter()
            .zip(answers)
            .filter(|(_, one)| one.0 == Code::CREATED);
        let rivals: Vec<_> = created.map(|((socket, _), one)| (*socket, one.1)).collect();
        assert!(!rivals.is_empty(), "somebody gets it");
        told.push(rivals);
    }
    let before = alive(server, &told, &mut numbers);
    node.stop();
    config.server.coap = vec![server];
    let node = Node::start(&config, &Data::Folder).expect("it starts again");
    assert_eq!(node.restored(), NAMES);
    assert_eq!(alive(server, &told, &mut numbers), before);
    node.stop();
}
