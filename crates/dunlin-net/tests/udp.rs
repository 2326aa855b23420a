//! The UDP bearer over loopback: what arrives, from where it is answered, and what is counted.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use dunlin_net::bearer::batch::{BATCH_MAX, ReceiveBatch, SendBatch};
use dunlin_net::bearer::udp::{IoPath, UdpBearer, UdpOptions};
use dunlin_net::socket::SocketOptions;

/// Long enough for a busy machine; a test that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(10);

fn run<F: Future<Output = ()>>(conversation: F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        tokio::time::timeout(PATIENCE, conversation)
            .await
            .expect("the conversation ends");
    });
}

fn options(path: IoPath) -> UdpOptions {
    UdpOptions {
        path,
        ..UdpOptions::default()
    }
}

fn bind(address: &str, path: IoPath) -> UdpBearer {
    let address = address.parse().expect("an address");
    UdpBearer::bind(address, &options(path)).expect("a port")
}

fn peer(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).expect("a port");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket
}

async fn echo(bearer: &mut UdpBearer, datagrams: usize) {
    let (mut inwards, mut outwards) = (ReceiveBatch::default(), SendBatch::default());
    let mut answered = 0;
    while answered < datagrams {
        answered += bearer.receive(&mut inwards).await.expect("a socket");
        for datagram in inwards.iter() {
            outwards
                .push(datagram.from, datagram.local, datagram.bytes)
                .expect("room");
        }
        bearer.send(&mut outwards).await.expect("a socket");
    }
}

fn answers_leave_from_the_address_asked(any: &str, asked: &str, source: &str) {
    run(async {
        let mut bearer = bind(any, IoPath::Batched);
        let asked: IpAddr = asked.parse().expect("an address");
        let to = SocketAddr::new(asked, bearer.local_addr().expect("bound").port());
        let peer = peer(source);
        peer.send_to(b"a question", to).expect("sent");
        echo(&mut bearer, 1).await;
        let mut bytes = [0; 64];
        let (len, from) = peer.recv_from(&mut bytes).expect("an answer");
        assert_eq!((&bytes[..len], from), (&b"a question"[..], to));
    });
}

#[test]
fn an_answer_leaves_from_the_ipv4_address_that_was_asked() {
    answers_leave_from_the_address_asked("0.0.0.0:0", "127.7.6.5", "127.0.0.1:0");
}

#[test]
fn an_answer_leaves_from_the_ipv6_address_that_was_asked() {
    answers_leave_from_the_address_asked("[::]:0", "::1", "[::1]:0");
}

#[test]
fn one_socket_speaks_from_as_many_addresses_as_it_likes() {
    run(async {
        let mut server = bind("127.0.0.1:0", IoPath::Batched);
        let mut fleet = bind("0.0.0.0:0", IoPath::Batched);
        let to = server.local_addr().expect("bound");
        let mut outwards = SendBatch::with_capacity(100);
        let source = |number: u8| IpAddr::V4(Ipv4Addr::new(127, 1, number, 1));
        for number in 0..100 {
            outwards
                .push(to, Some(source(number)), &[number])
                .expect("room");
        }
        fleet.send(&mut outwards).await.expect("a socket");
        let mut batch = ReceiveBatch::default();
        let mut seen = Vec::new();
        while seen.len() < 100 {
            server.receive(&mut batch).await.expect("a socket");
            for datagram in batch.iter() {
                assert_eq!(datagram.from.ip(), source(datagram.bytes[0]));
                outwards
                    .push(datagram.from, datagram.local, datagram.bytes)
                    .expect("room");
                seen.push(datagram.from);
            }
        }
        server.send(&mut outwards).await.expect("a socket");
        let mut told = 0;
        while told < 100 {
            told += fleet.receive(&mut batch).await.expect("a socket");
            for datagram in batch.iter() {
                assert_eq!(datagram.local, Some(source(datagram.bytes[0])));
            }
        }
    });
}

fn more_than_one_batch_in_order(path: IoPath, address: &str) {
    run(async {
        let mut server = bind(address, path);
        let mut client = bind(address, path);
        let to = server.local_addr().expect("bound");
        let count = 3 * BATCH_MAX as u32 + 1;
        let mut outwards = SendBatch::with_capacity(count as usize);
        for number in 0..count {
            outwards
                .push(to, None, &number.to_be_bytes())
                .expect("room");
        }
        client.send(&mut outwards).await.expect("a socket");
        echo(&mut server, count as usize).await;
        let mut batch = ReceiveBatch::default();
        let mut numbers = Vec::new();
        while numbers.len() < count as usize {
            client.receive(&mut batch).await.expect("a socket");
            for datagram in batch.iter() {
                assert!(!datagram.truncated);
                numbers.push(u32::from_be_bytes(
                    datagram.bytes.try_into().expect("four bytes"),
                ));
            }
        }
        assert_eq!(numbers, (0..count).collect::<Vec<_>>());
        let statistics = server.statistics();
        assert_eq!(
            (statistics.received, statistics.sent),
            (count.into(), count.into())
        );
        assert_eq!(statistics.send_failures(), 0);
    });
}

#[test]
fn batches_keep_their_order_over_ipv4() {
    more_than_one_batch_in_order(IoPath::Batched, "127.0.0.1:0");
}

#[test]
fn batches_keep_their_order_over_ipv6() {
    more_than_one_batch_in_order(IoPath::Batched, "[::1]:0");
}

#[test]
fn the_portable_path_does_the_same() {
    more_than_one_batch_in_order(IoPath::Portable, "127.0.0.1:0");
    more_than_one_batch_in_order(IoPath::Portable, "[::1]:0");
}

#[test]
fn what_is_longer_than_a_slot_is_marked_and_counted() {
    for path in [IoPath::Batched, IoPath::Portable] {
        run(async {
            let mut bearer = bind("127.0.0.1:0", path);
            let to = bearer.local_addr().expect("bound");
            let peer = peer("127.0.0.1:0");
            for len in [99, 100, 101, 4000] {
                peer.send_to(&vec![7; len], to).expect("sent");
            }
            let mut batch = ReceiveBatch::new(100);
            let mut seen = Vec::new();
            while seen.len() < 4 {
                bearer.receive(&mut batch).await.expect("a socket");
                seen.extend(batch.iter().map(|one| (one.bytes.len(), one.truncated)));
            }
            assert_eq!(seen, [(99, false), (100, false), (100, true), (100, true)]);
            assert_eq!(bearer.statistics().truncated, 2);
        });
    }
}

#[test]
fn a_datagram_that_cannot_be_sent_does_not_stop_the_next() {
    for path in [IoPath::Batched, IoPath::Portable] {
        run(async {
            let mut bearer = bind("127.0.0.1:0", path);
            let peer = peer("127.0.0.1:0");
            let to = peer.local_addr().expect("bound");
            let mut outwards = SendBatch::default();
            outwards.push(to, None, b"first").expect("room");
            outwards.push(to, None, &vec![0; 70_000]).expect("room");
            // The other family, and a port that does not exist.
            outwards
                .push("[::1]:9".parse().expect("an address"), None, b"lost")
                .expect("room");
            outwards
                .push("127.0.0.1:0".parse().expect("an address"), None, b"no")
                .expect("room");
            outwards.push(to, None, b"last").expect("room");
            bearer.send(&mut outwards).await.expect("a socket");
            assert!(outwards.is_empty());
            let statistics = bearer.statistics();
            assert_eq!(statistics.sent, 2, "{statistics:?}");
            assert_eq!(statistics.too_long, 1, "{statistics:?}");
            assert_eq!(statistics.send_failures(), 3, "{statistics:?}");
            let mut bytes = [0; 16];
            for expected in [&b"first"[..], b"last"] {
                let (len, _) = peer.recv_from(&mut bytes).expect("a datagram");
                assert_eq!(&bytes[..len], expected);
            }
        });
    }
}

#[test]
fn a_source_address_that_is_not_ours_is_counted_as_forbidden() {
    run(async {
        let mut bearer = bind("0.0.0.0:0", IoPath::Batched);
        let mut outwards = SendBatch::default();
        let foreign = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        let to = SocketAddr::from(([127, 0, 0, 1], 9));
        outwards
            .push(to, Some(foreign), b"from nowhere")
            .expect("room");
        bearer.send(&mut outwards).await.expect("a socket");
        assert_eq!(
            bearer.statistics().send_failures(),
            1,
            "{:?}",
            bearer.statistics()
        );
    });
}

#[test]
fn a_refused_port_is_passed_over_by_the_receiver() {
    run(async {
        let mut bearer = bind("127.0.0.1:0", IoPath::Batched);
        let gone = peer("127.0.0.1:0").local_addr().expect("bound");
        let mut outwards = SendBatch::default();
        outwards
            .push(gone, None, b"is anybody there")
            .expect("room");
        bearer.send(&mut outwards).await.expect("a socket");
        peer("127.0.0.1:0")
            .send_to(b"yes", bearer.local_addr().expect("bound"))
            .expect("sent");
        let mut batch = ReceiveBatch::default();
        assert_eq!(bearer.receive(&mut batch).await.expect("a socket"), 1);
        assert_eq!(
            batch.iter().next().map(|one| one.bytes.to_vec()),
            Some(b"yes".to_vec())
        );
    });
}

#[test]
fn what_the_kernel_dropped_is_told_with_the_next_datagram() {
    run(async {
        let socket = SocketOptions {
            receive_buffer: 4096,
            ..SocketOptions::default()
        };
        let options = UdpOptions {
            socket,
            path: IoPath::Batched,
        };
        let any = "127.0.0.1:0".parse().expect("an address");
        let mut bearer = UdpBearer::bind(any, &options).expect("a port");
        let to = bearer.local_addr().expect("bound");
        let peer = peer("127.0.0.1:0");
        for _ in 0..500 {
            peer.send_to(&[0; 100], to).expect("sent");
        }
        let mut batch = ReceiveBatch::default();
        // Readiness is learnt by waiting once; after that all that is left is taken.
        bearer.receive(&mut batch).await.expect("a socket");
        while bearer.try_receive(&mut batch).expect("a socket") > 0 {}
        peer.send_to(b"one more", to).expect("sent");
        bearer.receive(&mut batch).await.expect("a socket");
        let statistics = bearer.statistics();
        assert!(statistics.overflowed > 0, "{statistics:?}");
        assert_eq!(
            statistics.received + statistics.overflowed,
            501,
            "{statistics:?}"
        );
    });
}

#[test]
fn nothing_to_receive_is_no_error() {
    for path in [IoPath::Batched, IoPath::Portable] {
        run(async {
            let mut bearer = bind("127.0.0.1:0", path);
            let mut batch = ReceiveBatch::default();
            assert_eq!(bearer.try_receive(&mut batch).expect("a socket"), 0);
            assert!(batch.is_empty());
        });
    }
}
