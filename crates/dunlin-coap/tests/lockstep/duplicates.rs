//! RFC 7252 §4.5: a message that comes twice is run once.

use crate::support::*;
use dunlin_coap::{Code, Event, PeerId, RequestSettings, Response};

fn post(message_id: u16) -> Raw {
    raw(CON, Code::POST, message_id, b"t").path("rd")
}

fn run(bench: &mut Bench, request: Raw, barrier: u64) -> Sent {
    bench.receive(request);
    let (exchange, _) = bench.request();
    let response = Response::new(Code::CHANGED).with_payload(b"some longer answer that is stored");
    bench.command(|e, now| e.respond(now, exchange, response, barrier).unwrap());
    bench.sent()
}

#[test]
fn rfc7252_4_5_the_answer_is_given_again_with_its_barrier() {
    let mut bench = Bench::new();
    let first = run(&mut bench, post(1), 41);
    let second = run(&mut bench, post(2), 42);
    for (message_id, answer) in [(1, &first), (2, &second), (1, &first)] {
        bench.receive(post(message_id));
        let again = bench.sent();
        assert_eq!(
            (&again.bytes, again.barrier),
            (&answer.bytes, answer.barrier)
        );
        bench.silent();
    }
    assert_eq!(bench.dropped("duplicate"), 3);
}

#[test]
fn while_it_is_worked_on_a_duplicate_is_dropped() {
    let mut bench = Bench::new();
    bench.receive(post(1));
    bench.request();
    for _ in 0..3 {
        bench.receive(post(1));
    }
    bench.silent();
    // Even when others have pushed it out of the memory, and even if it may run twice.
    bench.receive(raw(CON, Code::GET, 5, b"t").path("3"));
    bench.request();
    for message_id in 10..13 {
        run(&mut bench, post(message_id), 0);
    }
    bench.receive(raw(CON, Code::GET, 5, b"t").path("3"));
    bench.receive(post(1));
    bench.silent();
}

#[test]
fn an_old_duplicate_that_must_not_run_twice_stays_silent_and_one_that_may_runs() {
    let mut bench = Bench::new();
    run(&mut bench, post(1), 0);
    run(&mut bench, raw(CON, Code::GET, 2, b"g").path("3"), 0);
    for message_id in 3..40 {
        run(&mut bench, post(message_id), 0);
    }
    bench.receive(post(1));
    bench.silent();
    assert_eq!(bench.dropped("old_duplicate"), 1);
    run(&mut bench, raw(CON, Code::GET, 2, b"g").path("3"), 0);
    bench.pass(seconds(250));
    run(&mut bench, post(1), 0);
}

#[test]
fn another_peer_may_use_the_same_message_id() {
    let mut bench = Bench::new();
    run(&mut bench, post(1), 0);
    bench.receive_from(PeerId(99), &post(1).bytes());
    bench.request();
    assert_eq!(bench.dropped("duplicate"), 0);
}

#[test]
fn non_confirmable_duplicates_are_ignored() {
    let mut bench = Bench::new();
    let request = raw(NON, Code::POST, 1, b"t").path("dp");
    run(&mut bench, request.clone(), 0);
    bench.receive(request.clone());
    bench.silent();
    bench.pass(seconds(146));
    // NON_LIFETIME is over, so this is another message.
    bench.receive(request);
    bench.request();
}

#[test]
fn a_refused_request_is_refused_again_without_being_looked_at() {
    let mut bench = Bench::new();
    let request = post(1).option(dunlin_coap::OptionNumber(2051), b"?");
    bench.receive(request.clone());
    let first = bench.sent();
    bench.receive(request);
    assert_eq!(bench.sent().bytes, first.bytes);
    assert_eq!(bench.dropped("bad_option"), 1);
}

#[test]
fn records_of_peers_are_bounded() {
    let mut config = dunlin_coap::Config::default();
    config.limits.peers_max = 10;
    let mut bench = Bench::with(config);
    for peer in 0..15 {
        bench.receive_from(PeerId(peer), &post(1).bytes());
    }
    assert_eq!(bench.endpoint.peers(), 10);
    assert_eq!(bench.dropped("peers_full"), 5);
    let refused = bench.command(|e, now| {
        let request = dunlin_coap::Request::new(Code::GET);
        e.request(now, PeerId(20), request, RequestSettings::default())
    });
    assert_eq!(refused, Err(dunlin_coap::Refused::EndpointFull));
    bench.pass(seconds(600));
    assert_eq!(bench.endpoint.peers(), 0);
    bench.receive_from(PeerId(20), &post(1).bytes());
    for _ in 0..10 {
        bench.request();
    }
    assert!(matches!(
        bench.event(),
        Event::Request {
            peer: PeerId(20),
            ..
        }
    ));
}
