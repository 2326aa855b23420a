//! RFC 7641, in both roles.

use crate::support::*;
use dunlin_coap::option::OptionNumber;
use dunlin_coap::{
    BlockSize, Code, Config, Event, ExchangeId, KnownObservation, KnownObserver, ObservationEnd,
    ObservationId, ObserverEnd, ObserverId, Profile, Refused, Request, RequestSettings, Response,
    Token,
};
use std::time::Duration;

const OBSERVE: OptionNumber = OptionNumber::OBSERVE;
const BLOCK2: OptionNumber = OptionNumber::BLOCK2;

fn temperature() -> Request {
    Request::new(Code::GET).with_path("3303/0/5700")
}

// Client role.

/// Observes, and gives the token and the id.
fn observe(bench: &mut Bench) -> (Token, ObservationId) {
    let settings = RequestSettings {
        observe: true,
        ..Default::default()
    };
    bench
        .command(|e, now| e.request(now, PEER, temperature(), settings))
        .unwrap();
    let sent = bench.sent();
    assert_eq!(sent.options.view().observe(), Some(0));
    let answer = raw(ACK, Code::CONTENT, sent.message_id, sent.token.as_bytes());
    bench.receive(answer.uint(OBSERVE, 10).payload(b"20.0"));
    match bench.event() {
        Event::Response {
            observation: Some(observation),
            token,
            ..
        } => {
            assert_eq!(token, sent.token);
            (token, observation)
        }
        other => panic!("{other:?}"),
    }
}

fn notification(token: Token, message_id: u16, sequence: u32) -> Raw {
    raw(CON, Code::CONTENT, message_id, token.as_bytes())
        .uint(OBSERVE, sequence)
        .payload(b"21")
}

/// The next event as exchange, sequence and freshness.
fn notified(bench: &mut Bench) -> (ExchangeId, Option<u32>, bool) {
    match bench.event() {
        Event::Notification {
            exchange,
            sequence,
            fresh,
            ..
        } => (exchange, sequence, fresh),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_notification_is_acknowledged_when_the_layer_above_says_so() {
    let mut bench = Bench::new();
    let (token, observation) = observe(&mut bench);
    bench.receive(notification(token, 1, 11));
    let event = bench.event();
    let Event::Notification {
        exchange,
        confirmable,
        fresh,
        sequence,
        ..
    } = &event
    else {
        panic!("{event:?}")
    };
    assert_eq!((*confirmable, *fresh, *sequence), (true, true, Some(11)));
    let exchange = *exchange;
    assert!(matches!(event, Event::Notification { observation: id, .. } if id == observation));
    bench.silent();
    bench.receive(notification(token, 1, 11));
    bench.pass(seconds(3));
    bench.silent();
    bench.command(|e, now| e.acknowledge(now, exchange, 77).unwrap());
    let sent = bench.sent();
    assert_eq!((sent.raw.clone(), sent.barrier), (empty(ACK, 1), 77));
    bench.receive(notification(token, 1, 11));
    let again = bench.sent();
    assert_eq!((again.raw.clone(), again.barrier), (empty(ACK, 1), 77));
    bench.silent();
    let twice = bench.command(|e, now| e.acknowledge(now, exchange, 77));
    assert_eq!(twice, Err(Refused::UnknownExchange));
}

#[test]
fn rfc7641_3_4_late_notifications_are_told_as_such() {
    let mut bench = Bench::new();
    let (token, _) = observe(&mut bench);
    for (message_id, sequence, expected) in [(1, 12, true), (2, 11, false), (3, 13, true)] {
        bench.receive(notification(token, message_id, sequence));
        let (exchange, told, fresh) = notified(&mut bench);
        assert_eq!((told, fresh), (Some(sequence), expected));
        bench.command(|e, now| e.acknowledge(now, exchange, 0).unwrap());
        assert_eq!(bench.sent().raw, empty(ACK, message_id));
    }
    bench.pass(seconds(129));
    bench.receive(notification(token, 4, 1));
    assert!(
        notified(&mut bench).2,
        "after 128 seconds any number is newer"
    );
}

#[test]
fn a_non_confirmable_notification_is_closed_without_a_word() {
    let mut bench = Bench::new();
    let (token, _) = observe(&mut bench);
    let mut told = notification(token, 1, 11);
    told.message_type = NON;
    bench.receive(told);
    let (exchange, ..) = notified(&mut bench);
    bench.command(|e, now| e.acknowledge(now, exchange, 3).unwrap());
    bench.silent();
}

#[test]
fn rejecting_a_notification_resets_it_and_ends_the_observation() {
    let mut bench = Bench::new();
    for message_type in [CON, NON] {
        let (token, observation) = observe(&mut bench);
        let mut told = notification(token, 1000 + u16::from(message_type == NON), 11);
        told.message_type = message_type;
        bench.receive(told.clone());
        let (exchange, ..) = notified(&mut bench);
        bench.command(|e, now| e.reject(now, exchange).unwrap());
        assert_eq!(bench.sent().raw, empty(RST, told.message_id));
        match bench.event() {
            Event::ObservationEnded {
                observation: id,
                reason,
                ..
            } => {
                assert_eq!((id, reason), (observation, ObservationEnd::Cancelled));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_unknown_notification_may_be_restored_or_rejected() {
    let mut bench = Bench::new();
    let token = Token::new(b"\x00before!").unwrap();
    bench.receive(notification(token, 1, 500));
    let event = bench.event();
    let Event::UnknownNotification {
        exchange,
        token: told,
        sequence,
        confirmable,
        ..
    } = event
    else {
        panic!("{event:?}")
    };
    assert_eq!((told, sequence, confirmable), (token, 500, true));
    let known = KnownObservation {
        peer: PEER,
        token,
        request: temperature(),
        last: Some((500, bench.now)),
    };
    let observation = bench.command(|e, _| e.restore_observation(known.clone()).unwrap());
    bench.command(|e, now| e.acknowledge(now, exchange, 8).unwrap());
    assert_eq!(bench.sent().raw, empty(ACK, 1));
    bench.receive(notification(token, 2, 501));
    assert!(
        matches!(bench.event(), Event::Notification { observation: id, fresh: true, .. }
        if id == observation)
    );
    bench.receive(notification(token, 3, 499));
    assert!(!notified(&mut bench).2);

    bench.receive(notification(Token::new(b"never").unwrap(), 4, 1));
    let Event::UnknownNotification { exchange, .. } = bench.event() else {
        panic!()
    };
    bench.command(|e, now| e.reject(now, exchange).unwrap());
    assert_eq!(bench.sent().raw, empty(RST, 4));
    bench.silent();
}

#[test]
fn rfc7641_3_6_cancelling_by_reset() {
    let mut bench = Bench::new();
    let (token, observation) = observe(&mut bench);
    bench.command(|e, _| e.cancel_by_reset(observation).unwrap());
    bench.silent();
    bench.receive(notification(token, 1, 11));
    assert_eq!(bench.sent().raw, empty(RST, 1));
    assert!(matches!(bench.event(), Event::ObservationEnded { .. }));
    bench.receive(notification(token, 1, 11));
    assert_eq!(bench.sent().raw, empty(RST, 1));
    bench.silent();
    let gone = bench.command(|e, _| e.cancel_by_reset(observation));
    assert_eq!(gone, Err(Refused::UnknownObservation));
}

#[test]
fn rfc7641_3_6_cancelling_by_request() {
    let mut bench = Bench::new();
    let (token, observation) = observe(&mut bench);
    let settings = RequestSettings::default();
    let request = bench.command(|e, now| e.cancel_by_request(now, observation, settings).unwrap());
    let sent = bench.sent();
    assert_eq!(sent.options.view().observe(), Some(1));
    assert_eq!(sent.token, token);
    let path: Vec<_> = sent.options.view().uri_path().collect();
    assert_eq!(path, [&b"3303"[..], b"0", b"5700"]);
    // One more notification crosses it on the way, and is not mistaken for the answer.
    bench.receive(notification(token, 1, 11));
    let (exchange, ..) = notified(&mut bench);
    bench.command(|e, now| e.acknowledge(now, exchange, 0).unwrap());
    bench.sent();
    bench.receive(raw(ACK, Code::CONTENT, sent.message_id, token.as_bytes()).payload(b"22"));
    assert!(
        matches!(bench.event(), Event::ObservationEnded { observation: id, .. }
        if id == observation)
    );
    assert!(
        matches!(bench.event(), Event::Response { request: id, observation: None, .. }
        if id == request)
    );
    bench.silent();
}

#[test]
fn observe_1_may_be_asked_for_by_path_alone() {
    let mut bench = Bench::new();
    let mut request = temperature();
    request.options.push_uint(OBSERVE, 1);
    let settings = RequestSettings::default();
    bench
        .command(|e, now| e.request(now, PEER, request, settings))
        .unwrap();
    assert_eq!(bench.sent().options.view().observe(), Some(1));
}

#[test]
fn a_notification_that_is_ignored_is_told_again_when_it_comes_again() {
    let mut bench = Bench::new();
    let (token, _) = observe(&mut bench);
    for _ in 0..2 {
        bench.receive(notification(token, 1, 11));
        let (exchange, _, fresh) = notified(&mut bench);
        assert!(fresh);
        bench.command(|e, now| e.ignore(now, exchange).unwrap());
        bench.silent();
    }
    // But not when a newer one was taken in between.
    bench.receive(notification(token, 2, 12));
    let (exchange, ..) = notified(&mut bench);
    bench.command(|e, now| e.acknowledge(now, exchange, 0).unwrap());
    bench.sent();
    bench.receive(notification(token, 1, 11));
    assert!(!notified(&mut bench).2);
}

#[test]
fn rfc7641_3_2_an_error_or_an_answer_without_observe_is_the_last_word() {
    let mut bench = Bench::new();
    for with_observe in [true, false] {
        let (token, observation) = observe(&mut bench);
        let message_id = 50 + u16::from(with_observe);
        let mut last = raw(CON, Code::NOT_FOUND, message_id, token.as_bytes());
        if with_observe {
            last = last.uint(OBSERVE, 11);
        } else {
            last.code = Code::CONTENT;
        }
        bench.receive(last);
        let (exchange, sequence, fresh) = notified(&mut bench);
        assert_eq!((sequence, fresh), (None, true));
        match bench.event() {
            Event::ObservationEnded {
                observation: id,
                reason,
                ..
            } => {
                assert_eq!((id, reason), (observation, ObservationEnd::Final));
            }
            other => panic!("{other:?}"),
        }
        bench.command(|e, now| e.acknowledge(now, exchange, 0).unwrap());
        assert_eq!(bench.sent().raw, empty(ACK, message_id));
    }
}

#[test]
fn a_server_that_does_not_observe_grants_nothing() {
    let mut bench = Bench::new();
    let settings = RequestSettings {
        observe: true,
        ..Default::default()
    };
    for (code, observe) in [(Code::CONTENT, None), (Code::NOT_FOUND, Some(1))] {
        bench
            .command(|e, now| e.request(now, PEER, temperature(), settings.clone()))
            .unwrap();
        let sent = bench.sent();
        let mut answer = raw(ACK, code, sent.message_id, sent.token.as_bytes());
        if let Some(observe) = observe {
            answer = answer.uint(OBSERVE, observe);
        }
        bench.receive(answer);
        assert!(matches!(
            bench.event(),
            Event::Response {
                observation: None,
                ..
            }
        ));
    }
}

#[test]
fn the_first_notification_stands_in_for_a_lost_answer() {
    let mut bench = Bench::new();
    let settings = RequestSettings {
        observe: true,
        ..Default::default()
    };
    bench
        .command(|e, now| e.request(now, PEER, temperature(), settings))
        .unwrap();
    let sent = bench.sent();
    bench.receive(notification(sent.token, 1, 3));
    assert_eq!(bench.sent().raw, empty(ACK, 1));
    assert!(matches!(
        bench.event(),
        Event::Response {
            observation: Some(_),
            ..
        }
    ));
    bench.pass(seconds(100));
    bench.silent();
}

fn first_block(token: Token, message_id: u16, sequence: u32) -> Raw {
    raw(CON, Code::CONTENT, message_id, token.as_bytes())
        .option(OptionNumber::ETAG, b"e")
        .uint(OBSERVE, sequence)
        .block(BLOCK2, 0, true, 16)
        .payload(&[b'a'; 16])
}

#[test]
fn rfc7959_3_4_the_rest_of_a_large_notification_is_fetched_under_another_token() {
    let mut bench = Bench::new();
    let (token, _) = observe(&mut bench);
    bench.receive(first_block(token, 1, 11));
    let sent = bench.sent();
    assert_eq!(sent.code, Code::GET);
    assert_ne!(sent.token, token);
    assert_eq!(sent.options.view().observe(), None);
    assert_eq!(sent.options.view().block2().unwrap().number, 1);
    bench.silent();
    let rest = raw(ACK, Code::CONTENT, sent.message_id, sent.token.as_bytes());
    let rest = rest
        .option(OptionNumber::ETAG, b"e")
        .block(BLOCK2, 1, false, 16);
    bench.receive(rest.payload(b"bc"));
    let event = bench.event();
    let Event::Notification {
        exchange,
        sequence,
        response,
        confirmable,
        ..
    } = event
    else {
        panic!("{event:?}")
    };
    assert_eq!((sequence, confirmable), (Some(11), true));
    assert_eq!(&response.payload[..], b"aaaaaaaaaaaaaaaabc");
    bench.silent();
    bench.command(|e, now| e.acknowledge(now, exchange, 6).unwrap());
    let sent = bench.sent();
    assert_eq!((sent.raw.clone(), sent.barrier), (empty(ACK, 1), 6));
}

#[test]
fn a_large_notification_is_acknowledged_before_the_peer_gives_up() {
    let mut bench = Bench::new();
    let (token, _) = observe(&mut bench);
    bench.receive(first_block(token, 1, 11));
    let fetch = bench.sent();
    bench.receive(empty(ACK, fetch.message_id));
    bench.pass(seconds(23));
    assert_eq!(bench.sent().raw, empty(ACK, 1));
    let rest = raw(NON, Code::CONTENT, 2, fetch.token.as_bytes());
    let rest = rest
        .option(OptionNumber::ETAG, b"e")
        .block(BLOCK2, 1, false, 16);
    bench.receive(rest.payload(b"bc"));
    let (exchange, ..) = notified(&mut bench);
    bench.command(|e, now| e.acknowledge(now, exchange, 6).unwrap());
    bench.silent();
}

#[test]
fn a_large_notification_whose_rest_does_not_come_may_come_again() {
    let mut bench = Bench::new();
    let (token, _) = observe(&mut bench);
    bench.receive(first_block(token, 1, 11));
    let fetch = bench.sent();
    bench.receive(raw(
        ACK,
        Code::NOT_FOUND,
        fetch.message_id,
        fetch.token.as_bytes(),
    ));
    bench.silent();
    bench.receive(first_block(token, 1, 11));
    let fetch = bench.sent();
    assert_eq!(fetch.options.view().block2().unwrap().number, 1);
    bench.silent();
}

#[test]
fn a_large_first_answer_begins_the_observation_at_once() {
    let mut bench = Bench::new();
    let settings = RequestSettings {
        observe: true,
        ..Default::default()
    };
    bench
        .command(|e, now| e.request(now, PEER, temperature(), settings))
        .unwrap();
    let asked = bench.sent();
    let mut answer = first_block(asked.token, asked.message_id, 1);
    answer.message_type = ACK;
    bench.receive(answer);
    let fetch = bench.sent();
    assert_ne!(fetch.token, asked.token);
    assert_eq!(fetch.options.view().observe(), None);
    bench.receive(notification(asked.token, 9, 2));
    notified(&mut bench);
    let rest = raw(ACK, Code::CONTENT, fetch.message_id, fetch.token.as_bytes());
    bench.receive(
        rest.option(OptionNumber::ETAG, b"e")
            .block(BLOCK2, 1, false, 16)
            .payload(b"z"),
    );
    match bench.event() {
        Event::Response {
            observation: Some(_),
            token,
            response,
            ..
        } => {
            assert_eq!(token, asked.token);
            assert_eq!(response.payload.len(), 17);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn observations_outlive_the_memory_of_their_peer() {
    let mut bench = Bench::new();
    let (token, _) = observe(&mut bench);
    bench.pass(seconds(100_000));
    assert_eq!(bench.endpoint.peers(), 0);
    bench.receive(notification(token, 1, 3));
    assert!(notified(&mut bench).2);
    bench.command(|e, now| e.forget_peer(now, PEER));
    assert!(matches!(
        bench.event(),
        Event::ObservationEnded {
            reason: ObservationEnd::Forgotten,
            ..
        }
    ));
}

// Server role.

fn registration(message_id: u16, token: &[u8], observe: u32) -> Raw {
    raw(CON, Code::GET, message_id, token)
        .uint(OBSERVE, observe)
        .path("3303/0/5700")
}

fn register(bench: &mut Bench, message_id: u16, token: &[u8]) -> ObserverId {
    bench.receive(registration(message_id, token, 0));
    let (exchange, request) = bench.request();
    assert_eq!(request.options.view().observe(), Some(0));
    let response = Response::new(Code::CONTENT).with_payload(b"20");
    let observer = bench.command(|e, now| e.respond_observed(now, exchange, response, 0).unwrap());
    let sent = bench.sent();
    assert_eq!((sent.message_type, sent.message_id), (ACK, message_id));
    assert!(sent.options.view().observe().is_some());
    observer
}

fn tell(bench: &mut Bench, observer: ObserverId, confirmable: bool) -> dunlin_coap::NotificationId {
    let response = Response::new(Code::CONTENT).with_payload(b"21");
    bench
        .command(|e, now| e.notify(now, observer, response, confirmable, 5))
        .unwrap()
}

#[test]
fn rfc7641_4_2_notifications_bear_the_token_and_rising_numbers() {
    let mut bench = Bench::new();
    let observer = register(&mut bench, 1, b"obs");
    let mut last = bench.endpoint.observer_sequence(observer).unwrap();
    for _ in 0..3 {
        tell(&mut bench, observer, false);
        let sent = bench.sent();
        assert_eq!(
            (sent.message_type, sent.code, sent.barrier),
            (NON, Code::CONTENT, 5)
        );
        assert_eq!(sent.token.as_bytes(), b"obs");
        let sequence = sent.options.view().observe().unwrap();
        assert!(sequence > last);
        last = sequence;
    }
    let notification = tell(&mut bench, observer, true);
    let sent = bench.sent();
    assert_eq!(sent.message_type, CON);
    bench.receive(empty(ACK, sent.message_id));
    assert_eq!(
        bench.event(),
        Event::NotificationAcknowledged {
            notification,
            observer
        }
    );
    bench.silent();
}

#[test]
fn rfc7641_4_5_1_one_confirmable_notification_at_a_time() {
    let mut config = Config::default();
    config.limits.replies_waiting_max = 2;
    let mut bench = Bench::with(config);
    let observer = register(&mut bench, 1, b"obs");
    let first = tell(&mut bench, observer, true);
    let second = tell(&mut bench, observer, true);
    tell(&mut bench, observer, true);
    let response = Response::new(Code::CONTENT);
    let full = bench.command(|e, now| e.notify(now, observer, response, true, 0));
    assert_eq!(full, Err(Refused::PeerFull));
    let sent = bench.sent();
    bench.silent();
    bench.receive(empty(ACK, sent.message_id));
    assert!(
        matches!(bench.event(), Event::NotificationAcknowledged { notification, .. }
        if notification == first)
    );
    bench.sent();
    bench.pass(seconds(100));
    assert!(
        matches!(bench.event(), Event::NotificationTimedOut { notification, .. }
        if notification == second)
    );
    let sent = bench.all_sent();
    assert_eq!(
        sent[..4]
            .iter()
            .filter(|again| again.bytes == sent[0].bytes)
            .count(),
        4
    );
    assert_ne!(sent[4].bytes, sent[0].bytes, "the third had to wait");
    // The observer stays until it is removed.
    bench.command(|e, now| e.remove_observer(now, observer).unwrap());
    bench.pass(seconds(300));
    bench.silent();
    let gone = bench.command(|e, now| e.remove_observer(now, observer));
    assert_eq!(gone, Err(Refused::UnknownObserver));
}

#[test]
fn rfc7641_3_6_a_reset_ends_the_observer_confirmable_or_not() {
    let mut bench = Bench::new();
    for (message_id, confirmable) in [(1, true), (2, false)] {
        let observer = register(&mut bench, message_id, b"obs");
        tell(&mut bench, observer, confirmable);
        let sent = bench.sent();
        bench.receive(empty(RST, sent.message_id));
        let reason = ObserverEnd::Reset;
        assert_eq!(
            bench.event(),
            Event::ObserverGone {
                observer,
                peer: PEER,
                reason
            }
        );
        let response = Response::new(Code::CONTENT);
        let gone = bench.command(|e, now| e.notify(now, observer, response, false, 0));
        assert_eq!(gone, Err(Refused::UnknownObserver));
        bench.pass(seconds(100));
        bench.silent();
    }
}

#[test]
fn deregistering_takes_effect_before_it_is_told() {
    let mut bench = Bench::new();
    let observer = register(&mut bench, 1, b"obs");
    bench.receive(registration(2, b"obs", 1));
    let reason = ObserverEnd::Deregistered;
    assert_eq!(
        bench.event(),
        Event::ObserverGone {
            observer,
            peer: PEER,
            reason
        }
    );
    let (exchange, request) = bench.request();
    assert_eq!(request.options.view().observe(), Some(1));
    let response = Response::new(Code::CONTENT);
    let wrong = bench.command(|e, now| e.respond_observed(now, exchange, response.clone(), 0));
    assert_eq!(wrong, Err(Refused::WrongExchange));
    bench.command(|e, now| e.respond(now, exchange, response, 0).unwrap());
    assert_eq!(bench.sent().options.view().observe(), None);
}

#[test]
fn registering_again_with_the_same_token_replaces() {
    let mut bench = Bench::new();
    let old = register(&mut bench, 1, b"obs");
    tell(&mut bench, old, true);
    bench.sent();
    tell(&mut bench, old, true);
    bench.receive(registration(2, b"obs", 0));
    let (exchange, _) = bench.request();
    let response = Response::new(Code::CONTENT);
    let new = bench.command(|e, now| e.respond_observed(now, exchange, response, 0).unwrap());
    assert_ne!(old, new);
    let reason = ObserverEnd::Replaced;
    assert_eq!(
        bench.event(),
        Event::ObserverGone {
            observer: old,
            peer: PEER,
            reason
        }
    );
    assert_eq!(
        bench.all_sent().len(),
        1,
        "only the answer; what waited is not told"
    );
    bench.pass(seconds(100));
    bench.silent();
}

#[test]
fn an_error_is_the_last_notification() {
    let mut bench = Bench::new();
    let observer = register(&mut bench, 1, b"obs");
    let error = Response::new(Code::NOT_FOUND);
    let last = bench.command(|e, now| e.notify(now, observer, error, true, 0).unwrap());
    let sent = bench.sent();
    assert_eq!(
        (sent.code, sent.options.view().observe()),
        (Code::NOT_FOUND, None)
    );
    let reason = ObserverEnd::Final;
    assert_eq!(
        bench.event(),
        Event::ObserverGone {
            observer,
            peer: PEER,
            reason
        }
    );
    bench.pass(seconds(4));
    assert_eq!(
        bench.sent().bytes,
        sent.bytes,
        "it is still to be delivered"
    );
    bench.receive(empty(ACK, sent.message_id));
    let acknowledged = Event::NotificationAcknowledged {
        notification: last,
        observer,
    };
    assert_eq!(bench.event(), acknowledged);
}

#[test]
fn rfc7641_4_5_once_a_day_a_notification_is_confirmable() {
    let mut bench = Bench::new();
    let observer = register(&mut bench, 1, b"obs");
    let mut types = vec![];
    for _ in 0..5 {
        bench.pass(Duration::from_secs(10 * 3600));
        tell(&mut bench, observer, false);
        let sent = bench.sent();
        types.push(sent.message_type);
        if sent.message_type == CON {
            bench.receive(empty(ACK, sent.message_id));
            bench.event();
        }
    }
    assert_eq!(types, [NON, NON, CON, NON, NON]);
}

#[test]
fn the_rest_of_a_large_notification_is_served() {
    let profile = Profile {
        block_size: BlockSize::fitting(16),
        ..Profile::UDP
    };
    let mut bench = Bench::with(Config {
        profile,
        ..Config::default()
    });
    let observer = register(&mut bench, 1, b"obs");
    let response = Response::new(Code::CONTENT).with_payload(b"a body of more than sixteen");
    bench.command(|e, now| e.notify(now, observer, response, false, 44).unwrap());
    let sent = bench.sent();
    assert_eq!(sent.payload, b"a body of more t");
    let etag = sent.options.view().etag().unwrap().to_vec();
    let get = raw(CON, Code::GET, 2, b"other").path("3303/0/5700");
    bench.receive(get.block(BLOCK2, 1, false, 16));
    let rest = bench.sent();
    assert_eq!(rest.payload, b"han sixteen");
    assert_eq!(rest.options.view().etag(), Some(&etag[..]));
    assert_eq!((rest.options.view().observe(), rest.barrier), (None, 44));
    bench.silent();
}

#[test]
fn observers_are_bounded_and_may_be_restored() {
    let mut config = Config::default();
    config.limits.observers_per_peer_max = 1;
    let mut bench = Bench::with(config);
    let token = Token::new(b"old").unwrap();
    let known = KnownObserver {
        peer: PEER,
        token,
        request: temperature(),
        sequence: 41,
    };
    let observer = bench.command(|e, now| e.restore_observer(now, known).unwrap());
    tell(&mut bench, observer, false);
    let sent = bench.sent();
    assert_eq!(
        (sent.token, sent.options.view().observe()),
        (token, Some(42))
    );
    bench.receive(registration(1, b"new", 0));
    let (exchange, _) = bench.request();
    let response = Response::new(Code::CONTENT);
    let full = bench.command(|e, now| e.respond_observed(now, exchange, response.clone(), 0));
    assert_eq!(full, Err(Refused::PeerFull));
    bench.command(|e, now| e.respond(now, exchange, response, 0).unwrap());
    assert_eq!(bench.sent().options.view().observe(), None);
    bench.pass(seconds(10_000));
    assert_eq!(bench.endpoint.peers(), 1, "an observer keeps its peer");
    bench.command(|e, now| e.forget_peer(now, PEER));
    assert!(matches!(
        bench.event(),
        Event::ObserverGone {
            reason: ObserverEnd::Forgotten,
            ..
        }
    ));
}
