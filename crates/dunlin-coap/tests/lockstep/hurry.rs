//! Blocks that are lost are sent again as soon as the measured round trip allows (RFC 7252 §4.8.1, RFC
//! 6298): in which bounds, and where the standard's wait stays.

use std::time::Duration;

use crate::support::*;
use dunlin_coap::option::OptionNumber;
use dunlin_coap::{
    BlockSize, BlockValue, Code, Config, Event, Failure, Payload, Profile, Request, RequestSettings,
};

const MS: Duration = Duration::from_millis(1);

fn push(bench: &mut Bench, blocks: usize) {
    let mut request = Request::new(Code::PUT).with_path("5/0/0");
    request.payload = Payload::from(vec![7; blocks * 64]);
    let settings = RequestSettings {
        block_size: Some(BlockSize::fitting(64)),
        ..Default::default()
    };
    bench
        .command(|e, now| e.request(now, PEER, request, settings))
        .unwrap();
}

fn acknowledge(bench: &mut Bench, sent: &Sent, after: Duration) {
    bench.pass(after);
    let block1 = sent.options.view().block1().unwrap();
    let answer = raw(ACK, Code::CONTINUE, sent.message_id, sent.token.as_bytes());
    bench.receive(answer.uint(OptionNumber::BLOCK1, block1.to_uint()));
}

/// When the copies of what was sent last leave, from its first on; nothing is acknowledged.
fn copies(bench: &mut Bench) -> Vec<Duration> {
    bench.pass(seconds(100));
    let copies = bench.all_sent();
    let begin = copies[0].at;
    copies.iter().map(|copy| copy.at - begin).collect()
}

#[test]
fn rfc7252_4_8_1_a_block_is_repeated_after_what_was_measured_and_never_sooner_than_half_a_second() {
    let mut bench = Bench::new();
    push(&mut bench, 5);
    for _ in 0..3 {
        let sent = bench.sent();
        acknowledge(&mut bench, &sent, 20 * MS);
    }
    let at = copies(&mut bench);
    assert!(at[1] >= 500 * MS && at[1] <= 750 * MS, "{at:?}");
    // Each wait is three times the one before.
    let waits: Vec<u128> = at
        .windows(2)
        .map(|at| (at[1] - at[0]).as_millis())
        .collect();
    assert!(waits[1].abs_diff(waits[0] * 3) <= 8, "{waits:?}");
    assert!(waits[2].abs_diff(waits[1] * 3) <= 8, "{waits:?}");
    assert_eq!(at.len(), 5, "MAX_RETRANSMIT");
}

#[test]
fn a_peer_that_is_silent_is_given_up_no_sooner_than_after_four_fifths_of_the_standard_s_time() {
    for _ in 0..20 {
        let mut bench = Bench::new();
        push(&mut bench, 5);
        let sent = bench.sent();
        acknowledge(&mut bench, &sent, MS);
        let last = bench.now;
        bench.pass(seconds(49));
        assert!(bench.all_sent().len() == 5);
        bench.silent();
        bench.pass(seconds(93) - (bench.now - last));
        assert!(matches!(
            bench.event(),
            Event::Failed {
                failure: Failure::Timeout,
                ..
            }
        ));
    }
}

#[test]
fn rfc6298_2_a_slow_peer_is_given_the_time_it_takes_and_never_more_than_the_standard_s() {
    let mut bench = Bench::new();
    push(&mut bench, 60);
    for _ in 0..50 {
        let sent = bench.sent();
        acknowledge(&mut bench, &sent, 900 * MS);
    }
    let at = copies(&mut bench);
    assert!(at[1] >= 900 * MS && at[1] <= 1_400 * MS, "{at:?}");
    // A round trip that spreads widely is no reason to wait longer than the standard.
    let mut bench = Bench::new();
    push(&mut bench, 8);
    for after in [1_000, 1_900, 200, 1_900] {
        let sent = bench.sent();
        acknowledge(&mut bench, &sent, MS * after);
    }
    let at = copies(&mut bench);
    assert!(at[1] >= seconds(2) && at[1] <= seconds(3), "{at:?}");
}

#[test]
fn rfc6298_3_a_loss_stretches_the_wait_for_the_next_block_until_one_is_measured_again() {
    let mut bench = Bench::new();
    push(&mut bench, 8);
    let sent = bench.sent();
    acknowledge(&mut bench, &sent, 10 * MS);
    let lost = bench.sent();
    bench.pass(800 * MS);
    let again = bench.sent();
    assert_eq!(again.bytes, lost.bytes);
    acknowledge(&mut bench, &again, 10 * MS);
    let strained = bench.sent();
    bench.pass(1_400 * MS);
    bench.silent();
    acknowledge(&mut bench, &strained, 10 * MS);
    let after = copies(&mut bench);
    assert!(after[1] >= 500 * MS, "{after:?}");
}

#[test]
fn what_is_no_block_or_was_measured_long_ago_waits_as_the_standard_says() {
    let mut bench = Bench::new();
    push(&mut bench, 2);
    let first = bench.sent();
    bench.pass(1_900 * MS);
    bench.silent();
    acknowledge(&mut bench, &first, MS);
    let second = bench.sent();
    let block1 = second.options.view().block1().unwrap();
    let done = raw(
        ACK,
        Code::CHANGED,
        second.message_id,
        second.token.as_bytes(),
    );
    bench.receive(done.uint(OptionNumber::BLOCK1, block1.to_uint()));
    bench.event();
    // A request by itself, with the estimate at hand.
    let request = Request::new(Code::GET).with_path("3/0");
    bench
        .command(|e, now| e.request(now, PEER, request, RequestSettings::default()))
        .unwrap();
    let at = copies(&mut bench);
    assert!(at[1] >= seconds(2), "{at:?}");
    // And blocks when the estimate is old.
    bench.event();
    push(&mut bench, 2);
    let at = copies(&mut bench);
    assert!(at[1] >= seconds(2), "{at:?}");
}

#[test]
fn blocks_that_are_asked_for_one_by_one_are_hurried_too() {
    let mut bench = Bench::new();
    let ask = |bench: &mut Bench, number| {
        let block = BlockValue {
            number,
            more: false,
            size: BlockSize::fitting(64),
        };
        let settings = RequestSettings {
            block: Some(block),
            ..Default::default()
        };
        let request = Request::new(Code::GET).with_path("fw");
        bench
            .command(|e, now| e.request(now, PEER, request, settings))
            .unwrap();
    };
    ask(&mut bench, 0);
    let sent = bench.sent();
    bench.pass(30 * MS);
    let answer = raw(ACK, Code::CONTENT, sent.message_id, sent.token.as_bytes());
    bench.receive(
        answer
            .block(OptionNumber::BLOCK2, 0, true, 64)
            .payload(&[1; 64]),
    );
    bench.event();
    ask(&mut bench, 1);
    let at = copies(&mut bench);
    assert!(at[1] >= 500 * MS && at[1] <= 750 * MS, "{at:?}");
}

#[test]
fn where_one_transmission_is_all_nothing_is_hurried() {
    let once = Profile {
        max_retransmit: 0,
        ..Profile::UDP
    };
    let mut bench = Bench::with(Config {
        profile: once,
        ..Config::default()
    });
    push(&mut bench, 3);
    let sent = bench.sent();
    acknowledge(&mut bench, &sent, MS);
    assert_eq!(bench.all_sent().len(), 1);
    bench.pass(1_900 * MS);
    bench.silent();
    bench.pass(1_200 * MS);
    assert!(matches!(bench.event(), Event::Failed { .. }));
}
