//! The client role: retransmission, acknowledgement, matching, NSTART.

use crate::support::*;
use dunlin_coap::option::OptionNumber;
use dunlin_coap::{
    Code, Config, Event, Failure, PeerId, Profile, Refused, Request, RequestSettings,
};
use std::time::Duration;

fn read() -> Request {
    Request::new(Code::GET).with_path("3/0/1")
}

fn ask(bench: &mut Bench) -> dunlin_coap::RequestId {
    bench
        .command(|e, now| e.request(now, PEER, read(), RequestSettings::default()))
        .unwrap()
}

fn answer(sent: &Sent) -> Raw {
    raw(ACK, Code::CONTENT, sent.message_id, sent.token.as_bytes()).payload(b"value")
}

#[test]
fn rfc7252_4_2_retransmits_with_doubling_and_gives_up() {
    let mut bench = Bench::new();
    let request = ask(&mut bench);
    bench.pass(seconds(200));
    let sent = bench.all_sent();
    assert_eq!(sent.len(), 5, "MAX_RETRANSMIT is four");
    assert!(sent.windows(2).all(|pair| pair[0].bytes == pair[1].bytes));
    let waits: Vec<Duration> = sent
        .windows(2)
        .map(|pair| pair[1].at - pair[0].at)
        .collect();
    let first = waits[0];
    assert!(
        first >= seconds(2) && first <= seconds(3) + Duration::from_millis(1),
        "{first:?}"
    );
    for (turn, wait) in waits.iter().enumerate() {
        let expected = first * (1 << turn);
        let off = wait.abs_diff(expected);
        assert!(
            off <= Duration::from_millis(20),
            "{wait:?} is not {expected:?}"
        );
    }
    match bench.event() {
        Event::Failed {
            request: id,
            failure,
            ..
        } => {
            assert_eq!((id, failure), (request, Failure::Timeout));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.endpoint.stats().retransmitted, 4);
    assert_eq!(bench.endpoint.stats().timed_out, 1);
    bench.silent();
}

#[test]
fn the_first_wait_is_drawn_from_the_whole_range() {
    let mut waits = vec![];
    for seed in 0..60 {
        let mut endpoint = dunlin_coap::Endpoint::new(Config::default(), [seed; 32]);
        endpoint
            .request(seconds(1), PEER, read(), RequestSettings::default())
            .unwrap();
        while !matches!(endpoint.poll_output(), dunlin_coap::Output::Timeout(_)) {}
        let mut now = seconds(1);
        while endpoint.stats().retransmitted == 0 {
            now += Duration::from_millis(1);
            endpoint.handle_timeout(now);
        }
        waits.push(now - seconds(1));
    }
    let (least, most) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
    assert!(
        *least >= seconds(2) && *least < Duration::from_millis(2150),
        "{least:?}"
    );
    assert!(
        *most <= Duration::from_millis(3001) && *most > Duration::from_millis(2850),
        "{most:?}"
    );
}

#[test]
fn a_piggybacked_answer_ends_it() {
    let mut bench = Bench::new();
    let request = ask(&mut bench);
    let sent = bench.sent();
    assert_eq!((sent.message_type, sent.code), (CON, Code::GET));
    bench.receive(answer(&sent));
    match bench.event() {
        Event::Response {
            request: id,
            peer,
            observation,
            response,
            ..
        } => {
            assert_eq!((id, peer, observation), (request, PEER, None));
            assert_eq!(response.code, Code::CONTENT);
            assert_eq!(&response.payload[..], b"value");
        }
        other => panic!("{other:?}"),
    }
    bench.pass(seconds(500));
    bench.silent();
    assert_eq!(
        bench.endpoint.peers(),
        0,
        "nothing is left of a peer after EXCHANGE_LIFETIME"
    );
}

#[test]
fn rfc7252_5_2_2_an_empty_acknowledgement_stops_the_repeating_and_a_separate_answer_ends_it() {
    let mut bench = Bench::new();
    let request = ask(&mut bench);
    let sent = bench.sent();
    bench.receive(empty(ACK, sent.message_id));
    assert_eq!(
        bench.event(),
        Event::Acknowledged {
            request,
            peer: PEER
        }
    );
    bench.pass(seconds(60));
    bench.silent();
    let separate = raw(CON, Code::CONTENT, 900, sent.token.as_bytes()).payload(b"late");
    bench.receive(separate.clone());
    assert_eq!(bench.sent().raw, empty(ACK, 900));
    assert!(matches!(bench.event(), Event::Response { request: id, .. } if id == request));
    // Its acknowledgement was lost.
    bench.receive(separate);
    assert_eq!(bench.sent().raw, empty(ACK, 900));
    bench.silent();
}

#[test]
fn a_separate_answer_may_overtake_the_acknowledgement() {
    let mut bench = Bench::new();
    ask(&mut bench);
    let sent = bench.sent();
    bench.receive(raw(NON, Code::CONTENT, 901, sent.token.as_bytes()));
    assert!(matches!(bench.event(), Event::Response { .. }));
    bench.receive(empty(ACK, sent.message_id));
    bench.pass(seconds(100));
    bench.silent();
    assert_eq!(bench.dropped("unknown_acknowledgement"), 1);
}

#[test]
fn an_acknowledged_request_that_is_never_answered_ends() {
    let mut bench = Bench::new();
    ask(&mut bench);
    let sent = bench.sent();
    bench.receive(empty(ACK, sent.message_id));
    bench.event();
    bench.pass(seconds(246));
    bench.silent();
    bench.pass(seconds(2));
    assert!(matches!(
        bench.event(),
        Event::Failed {
            failure: Failure::NoResponse,
            ..
        }
    ));
}

#[test]
fn a_reset_ends_it() {
    let mut bench = Bench::new();
    ask(&mut bench);
    let sent = bench.sent();
    bench.receive(empty(RST, sent.message_id));
    assert!(matches!(
        bench.event(),
        Event::Failed {
            failure: Failure::Reset,
            ..
        }
    ));
    bench.pass(seconds(100));
    bench.silent();
}

#[test]
fn rfc7252_5_3_2_only_the_right_token_of_the_right_peer_matches() {
    let mut bench = Bench::new();
    ask(&mut bench);
    let sent = bench.sent();
    let mut wrong = answer(&sent);
    wrong.token = dunlin_coap::Token::new(b"wrong").unwrap();
    bench.receive(wrong);
    let mut other_id = answer(&sent);
    other_id.message_id = sent.message_id.wrapping_add(1);
    bench.receive(other_id);
    let right = answer(&sent).bytes();
    bench.receive_from(PeerId(8), &right);
    bench.silent();
    assert_eq!(bench.dropped("unknown_token"), 3);
    bench.receive_bytes(&right);
    assert!(matches!(bench.event(), Event::Response { .. }));
}

#[test]
fn a_confirmable_answer_nobody_waits_for_is_reset_and_a_non_confirmable_one_ignored() {
    let mut bench = Bench::new();
    bench.receive(raw(CON, Code::CONTENT, 5, b"none"));
    assert_eq!(bench.sent().raw, empty(RST, 5));
    bench.receive(raw(NON, Code::CONTENT, 6, b"none"));
    bench.silent();
    assert_eq!(bench.endpoint.peers(), 0, "strangers leave no trace");
}

#[test]
fn rfc7252_4_7_one_outstanding_interaction_per_peer() {
    let mut bench = Bench::new();
    let first = ask(&mut bench);
    let second = ask(&mut bench);
    let other = bench.command(|e, now| {
        e.request(now, PeerId(8), read(), RequestSettings::default())
            .unwrap()
    });
    assert_ne!(first, second);
    let sent = bench.sent();
    assert_eq!(bench.sent().peer, PeerId(8), "another peer does not wait");
    bench.silent();
    bench.receive(answer(&sent));
    assert!(matches!(bench.event(), Event::Response { request, .. } if request == first));
    let sent = bench.sent();
    bench.receive(empty(ACK, sent.message_id));
    bench.event();
    let third = ask(&mut bench);
    assert_eq!(
        bench.sent().peer,
        PEER,
        "an acknowledged request is not outstanding"
    );
    bench.command(|e, now| e.cancel(now, third).unwrap());
    bench.command(|e, now| e.cancel(now, other).unwrap());
}

#[test]
fn waiting_requests_are_bounded_and_may_be_cancelled() {
    let mut config = Config::default();
    config.limits.requests_per_peer_max = 3;
    let mut bench = Bench::with(config);
    let requests: Vec<_> = (0..3).map(|_| ask(&mut bench)).collect();
    let refused = bench.command(|e, now| e.request(now, PEER, read(), RequestSettings::default()));
    assert_eq!(refused, Err(Refused::PeerFull));
    let sent = bench.sent();
    bench.command(|e, now| e.cancel(now, requests[1]).unwrap());
    assert!(matches!(
        bench.event(),
        Event::Failed {
            failure: Failure::Cancelled,
            ..
        }
    ));
    bench.silent();
    bench.receive(answer(&sent));
    bench.event();
    let sent = bench.sent();
    bench.command(|e, now| e.cancel(now, requests[2]).unwrap());
    bench.event();
    bench.pass(seconds(100));
    bench.silent();
    assert_ne!(sent.token.as_bytes(), b"");
    let again = bench.command(|e, now| e.cancel(now, requests[2]));
    assert_eq!(again, Err(Refused::UnknownRequest));
}

#[test]
fn a_deadline_ends_a_request_in_every_state() {
    let settings = |now| RequestSettings {
        deadline: Some(now + seconds(5)),
        ..Default::default()
    };
    let mut bench = Bench::new();
    for _ in 0..2 {
        bench.command(|e, now| e.request(now, PEER, read(), settings(now)).unwrap());
    }
    bench.pass(seconds(6));
    for _ in 0..2 {
        assert!(matches!(
            bench.event(),
            Event::Failed {
                failure: Failure::Deadline,
                ..
            }
        ));
    }
    let sent = bench.all_sent();
    bench.pass(seconds(200));
    bench.silent();
    assert!(sent.len() <= 3, "{sent:?}");
}

#[test]
fn non_confirmable_requests_are_sent_once() {
    let mut bench = Bench::new();
    let settings = RequestSettings {
        confirmable: false,
        ..Default::default()
    };
    bench.command(|e, now| e.request(now, PEER, read(), settings.clone()).unwrap());
    let sent = bench.sent();
    assert_eq!(sent.message_type, NON);
    bench.receive(raw(NON, Code::CONTENT, 3, sent.token.as_bytes()));
    assert!(matches!(bench.event(), Event::Response { .. }));
    bench.command(|e, now| e.request(now, PEER, read(), settings.clone()).unwrap());
    let sent = bench.sent();
    bench.receive(empty(RST, sent.message_id));
    assert!(matches!(
        bench.event(),
        Event::Failed {
            failure: Failure::Reset,
            ..
        }
    ));
    bench.command(|e, now| e.request(now, PEER, read(), settings).unwrap());
    bench.sent();
    bench.pass(seconds(94));
    assert!(matches!(
        bench.event(),
        Event::Failed {
            failure: Failure::NoResponse,
            ..
        }
    ));
    bench.silent();
}

#[test]
fn rfc7252_5_4_1_an_unknown_critical_option_in_a_response_rejects_it() {
    let mut bench = Bench::new();
    ask(&mut bench);
    let sent = bench.sent();
    bench.receive(answer(&sent).option(OptionNumber(2051), b"?"));
    assert!(matches!(
        bench.event(),
        Event::Failed {
            failure: Failure::BadOption,
            ..
        }
    ));
    ask(&mut bench);
    let sent = bench.sent();
    let separate = raw(CON, Code::CONTENT, 77, sent.token.as_bytes());
    bench.receive(separate.option(OptionNumber(2051), b"?"));
    assert_eq!(bench.sent().raw, empty(RST, 77));
    assert!(matches!(
        bench.event(),
        Event::Failed {
            failure: Failure::BadOption,
            ..
        }
    ));
    ask(&mut bench);
    let sent = bench.sent();
    bench.receive(answer(&sent).option(OptionNumber(2050), b"elective"));
    assert!(matches!(bench.event(), Event::Response { .. }));
}

#[test]
fn tokens_and_message_ids_bear_their_shard() {
    let config = Config {
        token_prefix: 0xa5,
        message_id_shard_bits: 3,
        message_id_shard: 0b101,
        ..Config::default()
    };
    let mut bench = Bench::with(config);
    let mut tokens = std::collections::HashSet::new();
    for _ in 0..20 {
        ask(&mut bench);
        let sent = bench.sent();
        assert_eq!(sent.token.len(), 8);
        assert_eq!(sent.token.as_bytes()[0], 0xa5);
        assert_eq!(sent.message_id >> 13, 0b101);
        assert!(tokens.insert(sent.token));
        bench.receive(answer(&sent));
        bench.event();
    }
}

#[test]
fn the_barrier_goes_with_every_transmission() {
    let mut bench = Bench::new();
    let settings = RequestSettings {
        barrier: 17,
        ..Default::default()
    };
    bench.command(|e, now| e.request(now, PEER, read(), settings).unwrap());
    bench.pass(seconds(4));
    let sent = bench.all_sent();
    assert_eq!(
        sent.iter().map(|sent| sent.barrier).collect::<Vec<_>>(),
        [17, 17]
    );
}

#[test]
fn a_ping_is_answered_by_a_reset() {
    let mut bench = Bench::new();
    let ping = bench.command(|e, now| e.ping(now, PEER).unwrap());
    let sent = bench.sent();
    assert_eq!(sent.raw, empty(CON, sent.message_id));
    bench.receive(empty(RST, sent.message_id));
    assert_eq!(bench.event(), Event::Pong { ping, peer: PEER });
    let ping = bench.command(|e, now| e.ping(now, PEER).unwrap());
    bench.pass(seconds(100));
    assert_eq!(bench.event(), Event::PingTimedOut { ping, peer: PEER });
    // And we answer theirs.
    bench.all_sent();
    bench.receive(empty(CON, 3333));
    assert_eq!(bench.sent().raw, empty(RST, 3333));
}

#[test]
fn another_profile_changes_the_patience_for_one_peer() {
    let config = Config {
        other_profiles: vec![Profile::SMS],
        ..Config::default()
    };
    let mut bench = Bench::with(config);
    bench.command(|e, _| e.use_profile(PEER, Some(0)));
    ask(&mut bench);
    bench.pass(seconds(119));
    assert_eq!(bench.all_sent().len(), 1, "SMS is not sent again");
    bench.pass(seconds(2));
    assert!(matches!(
        bench.event(),
        Event::Failed {
            failure: Failure::Timeout,
            ..
        }
    ));
}

#[test]
fn forgetting_a_peer_fails_what_was_asked_and_sends_nothing_more() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        ask(&mut bench);
    }
    bench.command(|e, now| e.ping(now, PEER).unwrap());
    bench.receive(raw(CON, Code::POST, 1, b"t").path("rd"));
    let (exchange, _) = bench.request();
    assert_eq!(bench.all_sent().len(), 1);
    bench.command(|e, now| e.forget_peer(now, PEER));
    let mut failed = 0;
    let mut pings = 0;
    for _ in 0..4 {
        match bench.event() {
            Event::Failed {
                failure: Failure::Forgotten,
                ..
            } => failed += 1,
            Event::PingTimedOut { .. } => pings += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((failed, pings), (3, 1));
    assert_eq!(bench.endpoint.peers(), 0);
    let response = dunlin_coap::Response::new(Code::CHANGED);
    let refused = bench.command(|e, now| e.respond(now, exchange, response, 0));
    assert_eq!(refused, Err(Refused::UnknownExchange));
    bench.pass(seconds(300));
    bench.silent();
}

#[test]
fn commands_refuse_what_makes_no_sense() {
    let mut bench = Bench::new();
    let response_code = Request::new(Code::CONTENT);
    let settings = RequestSettings::default();
    let refused = bench.command(|e, now| e.request(now, PEER, response_code, settings.clone()));
    assert_eq!(refused, Err(Refused::WrongCode));
    let body = vec![0; (16 << 20) + 1];
    let request = Request::new(Code::PUT).with_payload(body);
    let settings = RequestSettings {
        block_size: Some(dunlin_coap::BlockSize::SMALLEST),
        ..settings
    };
    let refused = bench.command(|e, now| e.request(now, PEER, request, settings));
    assert_eq!(refused, Err(Refused::TooLarge));
    bench.silent();
}
