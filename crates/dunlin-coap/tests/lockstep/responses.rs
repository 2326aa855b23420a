//! The server role: piggybacked and separate responses, options that must be refused.

use crate::support::*;
use dunlin_coap::option::OptionNumber;
use dunlin_coap::{Code, Event, Failure, PeerId, Refused, Response};

fn update(message_id: u16) -> Raw {
    raw(CON, Code::POST, message_id, b"tok").path("rd/abc")
}

#[test]
fn an_answer_in_time_rides_on_the_acknowledgement() {
    let mut bench = Bench::new();
    bench.receive(
        update(1)
            .option(OptionNumber::URI_QUERY, b"lt=60")
            .payload(b"links"),
    );
    let (exchange, request) = bench.request();
    assert_eq!(request.code, Code::POST);
    let path: Vec<_> = request.options.view().uri_path().collect();
    assert_eq!(path, [&b"rd"[..], b"abc"]);
    assert_eq!(&request.payload[..], b"links");
    let response = Response::new(Code::CREATED).with(OptionNumber::LOCATION_PATH, b"rd");
    bench.command(|e, now| e.respond(now, exchange, response, 31).unwrap());
    let sent = bench.sent();
    let expected = raw(ACK, Code::CREATED, 1, b"tok").option(OptionNumber::LOCATION_PATH, b"rd");
    assert_eq!(sent.raw, expected);
    assert_eq!(sent.barrier, 31);
    bench.pass(seconds(300));
    bench.silent();
    let again = bench.command(|e, now| e.respond(now, exchange, Response::new(Code::CREATED), 0));
    assert_eq!(again, Err(Refused::UnknownExchange));
}

#[test]
fn rfc7252_5_2_2_a_late_answer_goes_separately_until_it_is_acknowledged() {
    let mut bench = Bench::new();
    bench.receive(update(1));
    let (exchange, _) = bench.request();
    bench.pass(seconds(1));
    let sent = bench.sent();
    assert_eq!(sent.raw, empty(ACK, 1));
    bench.receive(update(1));
    assert_eq!(
        bench.sent().raw,
        empty(ACK, 1),
        "a duplicate is acknowledged again"
    );
    bench.pass(seconds(20));
    bench.command(|e, now| {
        e.respond(now, exchange, Response::new(Code::CHANGED), 5)
            .unwrap()
    });
    let first = bench.sent();
    assert_eq!((first.message_type, first.code), (CON, Code::CHANGED));
    assert_eq!(first.token.as_bytes(), b"tok");
    assert_eq!(first.barrier, 5);
    bench.pass(seconds(4));
    let second = bench.sent();
    assert_eq!(second.bytes, first.bytes);
    bench.receive(empty(ACK, first.message_id));
    bench.pass(seconds(300));
    bench.silent();
}

#[test]
fn a_separate_answer_that_is_lost_is_told() {
    let mut bench = Bench::new();
    for (message_id, failure) in [(1, Failure::Timeout), (2, Failure::Reset)] {
        bench.receive(update(message_id));
        let (exchange, _) = bench.request();
        bench.pass(seconds(2));
        bench.command(|e, now| {
            e.respond(now, exchange, Response::new(Code::CHANGED), 0)
                .unwrap()
        });
        bench.sent();
        let sent = bench.sent();
        match failure {
            Failure::Reset => bench.receive(empty(RST, sent.message_id)),
            _ => bench.pass(seconds(100)),
        }
        assert_eq!(
            bench.event(),
            Event::ResponseLost {
                exchange,
                peer: PEER,
                failure
            }
        );
        bench.all_sent();
    }
}

#[test]
fn a_non_confirmable_request_gets_a_non_confirmable_answer() {
    let mut bench = Bench::new();
    bench.receive(raw(NON, Code::GET, 9, b"n").path("3"));
    let Event::Request {
        exchange,
        confirmable,
        ..
    } = bench.event()
    else {
        panic!()
    };
    assert!(!confirmable);
    bench.pass(seconds(5));
    bench.silent();
    bench.command(|e, now| {
        e.respond(now, exchange, Response::new(Code::CONTENT), 0)
            .unwrap()
    });
    let sent = bench.sent();
    assert_eq!((sent.message_type, sent.code), (NON, Code::CONTENT));
    assert_eq!(sent.token.as_bytes(), b"n");
    bench.receive(raw(NON, Code::GET, 9, b"n").path("3"));
    bench.silent();
}

#[test]
fn rfc7252_5_4_1_unknown_critical_options_are_refused_and_elective_ones_are_not() {
    let mut bench = Bench::new();
    bench.receive(update(1).option(OptionNumber(2051), b"?"));
    assert_eq!(bench.sent().raw, raw(ACK, Code::BAD_OPTION, 1, b"tok"));
    bench.receive(raw(NON, Code::GET, 2, b"tok").option(OptionNumber(2051), b"?"));
    bench.silent();
    bench.receive(update(3).option(OptionNumber(2050), b"?"));
    let (_, request) = bench.request();
    assert!(
        request.options.view().contains(OptionNumber(2050)),
        "kept, if above knows it"
    );
    bench.receive(update(4).option(OptionNumber::PROXY_URI, b"coap://elsewhere"));
    assert_eq!(
        bench.sent().raw,
        raw(ACK, Code::PROXYING_NOT_SUPPORTED, 4, b"tok")
    );
    bench.receive(
        update(5)
            .uint(OptionNumber::ACCEPT, 1)
            .uint(OptionNumber::ACCEPT, 2),
    );
    assert_eq!(bench.sent().raw, raw(ACK, Code::BAD_OPTION, 5, b"tok"));
    bench.receive(update(6).uint(OptionNumber::BLOCK1, 7));
    assert_eq!(
        bench.sent().raw,
        raw(ACK, Code::BAD_REQUEST, 6, b"tok"),
        "SZX 7"
    );
    bench.silent();
    assert_eq!(bench.dropped("bad_option"), 4);
    assert_eq!(bench.dropped("proxy"), 1);
}

#[test]
fn what_the_layer_above_does_not_answer_is_dropped_in_the_end() {
    let mut bench = Bench::new();
    bench.receive(update(1));
    let (first, _) = bench.request();
    bench.receive(update(2));
    let (second, _) = bench.request();
    bench.command(|e, now| e.ignore(now, second).unwrap());
    bench.receive(update(2));
    let (second, _) = bench.request();
    bench.command(|e, now| e.ignore(now, second).unwrap());
    bench.pass(seconds(247));
    assert_eq!(bench.sent().raw, empty(ACK, 1));
    bench.pass(seconds(2));
    bench.silent();
    assert_eq!(bench.dropped("never_answered"), 1);
    let gone = bench.command(|e, now| e.respond(now, first, Response::new(Code::CHANGED), 0));
    assert_eq!(gone, Err(Refused::UnknownExchange));
    bench.pass(seconds(300));
    assert_eq!(bench.endpoint.peers(), 0);
}

#[test]
fn open_exchanges_are_bounded_and_the_peer_may_try_again() {
    let mut config = dunlin_coap::Config::default();
    config.limits.exchanges_per_peer_max = 2;
    let mut bench = Bench::with(config);
    for message_id in 1..=3 {
        bench.receive(update(message_id));
    }
    let (first, _) = bench.request();
    bench.request();
    bench.silent();
    assert_eq!(bench.dropped("exchanges_full"), 1);
    bench.command(|e, now| {
        e.respond(now, first, Response::new(Code::CHANGED), 0)
            .unwrap()
    });
    bench.sent();
    bench.receive(update(3));
    bench.request();
}

#[test]
fn a_request_may_be_rejected() {
    let mut bench = Bench::new();
    bench.receive(update(1));
    let (exchange, _) = bench.request();
    bench.command(|e, now| e.reject(now, exchange).unwrap());
    assert_eq!(bench.sent().raw, empty(RST, 1));
    bench.receive(update(1));
    assert_eq!(bench.sent().raw, empty(RST, 1));
    bench.silent();
}

#[test]
fn multicast_is_never_answered() {
    let mut bench = Bench::new();
    let bytes = raw(NON, Code::GET, 1, b"m").path("3").bytes();
    bench.command(|e, now| e.handle_multicast(now, PeerId(3), &bytes));
    bench.command(|e, now| e.handle_multicast(now, PeerId(3), b"\x40\x00\x00\x00"));
    bench.pass(seconds(10));
    bench.silent();
    assert_eq!(bench.dropped("multicast"), 2);
    assert_eq!(bench.endpoint.peers(), 0);
}

#[test]
fn there_is_no_continue_for_the_layer_above() {
    let mut bench = Bench::new();
    bench.receive(update(1));
    let (exchange, _) = bench.request();
    for code in [Code::CONTINUE, Code::GET, Code::EMPTY, Code(0xe1)] {
        let refused = bench.command(|e, now| e.respond(now, exchange, Response::new(code), 0));
        assert_eq!(refused, Err(Refused::WrongCode));
    }
    bench.command(|e, now| {
        e.respond(now, exchange, Response::new(Code::CHANGED), 0)
            .unwrap()
    });
    bench.sent();
}
