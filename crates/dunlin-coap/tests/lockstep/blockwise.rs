//! RFC 7959: bodies in blocks, both ways and in both roles, and what goes wrong on the way.

use crate::support::*;
use dunlin_coap::option::OptionNumber;
use dunlin_coap::{
    BlockSize, BlockValue, Code, Config, Event, Failure, Payload, Profile, Refused, Request,
    RequestSettings, Response,
};

const BLOCK1: OptionNumber = OptionNumber::BLOCK1;
const BLOCK2: OptionNumber = OptionNumber::BLOCK2;

fn body(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + at / 256) as u8).collect()
}

fn blocks_of(bytes: usize) -> Profile {
    Profile {
        block_size: BlockSize::fitting(bytes),
        ..Profile::UDP
    }
}

fn small_blocks(bytes: usize) -> Bench {
    Bench::with(Config {
        profile: blocks_of(bytes),
        ..Config::default()
    })
}

fn block(option: Option<BlockValue>) -> Option<(u32, bool, usize)> {
    option.map(|block| (block.number, block.more, block.size.bytes()))
}

/// One block of a PUT of /5/0/0.
fn put(message_id: u16, number: u32, more: bool, bytes: usize, payload: &[u8]) -> Raw {
    raw(CON, Code::PUT, message_id, &message_id.to_be_bytes())
        .path("5/0/0")
        .uint(OptionNumber::CONTENT_FORMAT, 42)
        .block(BLOCK1, number, more, bytes)
        .payload(payload)
}

fn chunk(body: &[u8], number: usize, bytes: usize) -> &[u8] {
    &body[number * bytes..body.len().min((number + 1) * bytes)]
}

// Block1, server role.

#[test]
fn rfc7959_2_5_a_request_body_is_gathered_and_told_once() {
    let mut bench = Bench::new();
    let body = body(150);
    for number in 0..2 {
        let payload = chunk(&body, number, 64);
        bench.receive(put(number as u16, number as u32, true, 64, payload));
        let sent = bench.sent();
        assert_eq!((sent.message_type, sent.code), (ACK, Code::CONTINUE));
        assert_eq!(
            block(sent.options.view().block1()),
            Some((number as u32, true, 64))
        );
        bench.silent();
    }
    bench.receive(put(2, 2, false, 64, chunk(&body, 2, 64)).uint(OptionNumber::ACCEPT, 0));
    // Accept belongs to the key, so this last block stands alone.
    assert_eq!(bench.sent().code, Code::REQUEST_ENTITY_INCOMPLETE);
    bench.receive(put(3, 2, false, 64, chunk(&body, 2, 64)));
    let (exchange, request) = bench.request();
    assert_eq!(&request.payload[..], body);
    assert_eq!(request.options.view().content_format(), Some(42));
    assert_eq!(request.options.view().block1(), None);
    bench.command(|e, now| {
        e.respond(now, exchange, Response::new(Code::CHANGED), 9)
            .unwrap()
    });
    let sent = bench.sent();
    assert_eq!(
        (sent.code, sent.message_id, sent.barrier),
        (Code::CHANGED, 3, 9)
    );
    assert_eq!(block(sent.options.view().block1()), Some((2, false, 64)));
    bench.silent();
}

#[test]
fn duplicates_of_blocks_change_nothing() {
    let mut bench = Bench::new();
    let body = body(48);
    bench.receive(put(1, 0, true, 16, chunk(&body, 0, 16)));
    bench.receive(put(1, 0, true, 16, chunk(&body, 0, 16)));
    bench.receive(put(2, 1, true, 16, chunk(&body, 1, 16)));
    // The same block under a new Message ID: the peer has not heard our 2.31.
    bench.receive(put(3, 1, true, 16, chunk(&body, 1, 16)));
    let codes: Vec<_> = bench.all_sent().iter().map(|sent| sent.code).collect();
    assert_eq!(codes, [Code::CONTINUE; 4]);
    bench.receive(put(4, 2, false, 16, chunk(&body, 2, 16)));
    assert_eq!(&bench.request().1.payload[..], body);
}

#[test]
fn rfc7959_2_9_2_a_gap_is_incomplete_and_the_first_block_begins_anew() {
    let mut bench = Bench::new();
    let body = body(48);
    bench.receive(put(1, 1, true, 16, chunk(&body, 1, 16)));
    assert_eq!(bench.sent().code, Code::REQUEST_ENTITY_INCOMPLETE);
    bench.receive(put(2, 0, true, 16, &[0xee; 16]));
    assert_eq!(bench.sent().code, Code::CONTINUE);
    bench.receive(put(3, 2, false, 16, chunk(&body, 2, 16)));
    assert_eq!(bench.sent().code, Code::REQUEST_ENTITY_INCOMPLETE);
    for (message_id, number) in [(4, 0), (5, 1)] {
        let payload = chunk(&body, number, 16);
        bench.receive(put(message_id, number as u32, true, 16, payload));
        assert_eq!(bench.sent().code, Code::CONTINUE);
    }
    bench.receive(put(6, 2, false, 16, chunk(&body, 2, 16)));
    assert_eq!(&bench.request().1.payload[..], body);
}

#[test]
fn rfc7959_2_9_3_a_body_that_is_too_large_is_refused_with_the_size_that_would_do() {
    let mut config = Config::default();
    config.limits.body_max = 100;
    let mut bench = Bench::with(config);
    bench.receive(put(1, 0, true, 64, &[0; 64]).uint(OptionNumber::SIZE1, 101));
    let sent = bench.sent();
    assert_eq!(sent.code, Code::REQUEST_ENTITY_TOO_LARGE);
    assert_eq!(sent.options.view().size1(), Some(100));
    bench.receive(put(2, 0, true, 64, &[0; 64]));
    assert_eq!(bench.sent().code, Code::CONTINUE);
    bench.receive(put(3, 1, true, 64, &[0; 64]));
    assert_eq!(bench.sent().code, Code::REQUEST_ENTITY_TOO_LARGE);
    assert_eq!(bench.dropped("body_too_large"), 2);
    // What was gathered is gone.
    bench.receive(put(4, 1, false, 64, &[0; 4]));
    assert_eq!(bench.sent().code, Code::REQUEST_ENTITY_INCOMPLETE);
}

#[test]
fn blocks_of_a_wrong_length_are_bad_requests() {
    let mut bench = Bench::new();
    bench.receive(put(1, 0, true, 16, &[0; 15]));
    assert_eq!(bench.sent().code, Code::BAD_REQUEST);
    bench.receive(put(2, 0, true, 16, &[0; 17]));
    assert_eq!(bench.sent().code, Code::BAD_REQUEST);
    bench.silent();
}

#[test]
fn a_server_may_wish_for_smaller_blocks() {
    let mut bench = small_blocks(32);
    let body = body(150);
    bench.receive(put(1, 0, true, 128, chunk(&body, 0, 128)));
    assert_eq!(
        block(bench.sent().options.view().block1()),
        Some((0, true, 32))
    );
    bench.receive(put(2, 4, false, 32, &body[128..]));
    assert_eq!(&bench.request().1.payload[..], body);
}

#[test]
fn bodies_of_one_peer_are_bounded_and_abandoned_ones_go() {
    let mut config = Config::default();
    config.limits.bodies_per_peer_max = 2;
    let mut bench = Bench::with(config);
    for (message_id, path) in [(1, "a"), (2, "b"), (3, "c")] {
        let request = raw(CON, Code::PUT, message_id, b"t").path(path);
        bench.receive(request.block(BLOCK1, 0, true, 16).payload(&[1; 16]));
        assert_eq!(bench.sent().code, Code::CONTINUE);
    }
    assert_eq!(bench.dropped("body_abandoned"), 1);
    let next = |id: u16, path| {
        raw(CON, Code::PUT, id, b"t")
            .path(path)
            .block(BLOCK1, 1, false, 16)
            .payload(&[2; 3])
    };
    bench.receive(next(4, "a"));
    assert_eq!(bench.sent().code, Code::REQUEST_ENTITY_INCOMPLETE);
    bench.receive(next(5, "b"));
    let (exchange, _) = bench.request();
    bench.command(|e, now| {
        e.respond(now, exchange, Response::new(Code::CHANGED), 0)
            .unwrap()
    });
    bench.sent();
    bench.pass(seconds(600));
    assert_eq!(bench.dropped("body_abandoned"), 2);
    assert_eq!(bench.endpoint.peers(), 0);
}

#[test]
fn all_bodies_together_are_bounded() {
    let mut config = Config::default();
    config.limits.bodies_total_max = 3000;
    let mut bench = Bench::with(config);
    bench.receive(put(1, 0, true, 1024, &[0; 1024]));
    assert_eq!(bench.sent().code, Code::CONTINUE);
    bench.receive(put(2, 1, true, 1024, &[0; 1024]));
    bench.sent();
    bench.receive(put(3, 2, true, 1024, &[0; 1024]));
    assert_eq!(bench.sent().code, Code::SERVICE_UNAVAILABLE);
}

// Streaming.

fn asking() -> Bench {
    Bench::with(Config {
        ask_for_bodies: true,
        ..Config::default()
    })
}

fn told_block(bench: &mut Bench) -> (dunlin_coap::ExchangeId, u64, bool, Request) {
    match bench.event() {
        Event::Block {
            exchange,
            offset,
            more,
            request,
            ..
        } => (exchange, offset, more, request),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_streamed_body_is_handed_up_block_by_block() {
    let mut bench = asking();
    let body = body(40);
    for number in 0..2u16 {
        bench.receive(put(
            number,
            number.into(),
            true,
            16,
            chunk(&body, number.into(), 16),
        ));
        let (exchange, offset, more, request) = told_block(&mut bench);
        assert_eq!((offset, more), (u64::from(number) * 16, true));
        assert_eq!(&request.payload[..], chunk(&body, number.into(), 16));
        bench.silent();
        // The peer's repetition finds the block still being worked on.
        bench.receive(put(
            number,
            number.into(),
            true,
            16,
            chunk(&body, number.into(), 16),
        ));
        bench.silent();
        bench.command(|e, now| e.proceed(now, exchange, 3).unwrap());
        let sent = bench.sent();
        assert_eq!((sent.code, sent.barrier), (Code::CONTINUE, 3));
        let again = bench.command(|e, now| e.proceed(now, exchange, 3));
        assert_eq!(again, Err(Refused::UnknownExchange));
    }
    bench.receive(put(9, 2, false, 16, chunk(&body, 2, 16)));
    let (exchange, offset, more, _) = told_block(&mut bench);
    assert_eq!((offset, more), (32, false));
    let wrong = bench.command(|e, now| e.proceed(now, exchange, 0));
    assert_eq!(wrong, Err(Refused::WrongExchange));
    bench.command(|e, now| {
        e.respond(now, exchange, Response::new(Code::CHANGED), 0)
            .unwrap()
    });
    assert_eq!(bench.sent().code, Code::CHANGED);
    bench.silent();
}

#[test]
fn a_slow_taker_of_blocks_answers_separately() {
    let mut bench = asking();
    bench.receive(put(1, 0, true, 16, &[1; 16]));
    let (exchange, ..) = told_block(&mut bench);
    bench.pass(seconds(2));
    assert_eq!(bench.sent().raw, empty(ACK, 1));
    bench.command(|e, now| e.proceed(now, exchange, 0).unwrap());
    let sent = bench.sent();
    assert_eq!((sent.message_type, sent.code), (CON, Code::CONTINUE));
    bench.receive(empty(ACK, sent.message_id));
    bench.receive(put(2, 1, false, 16, &[2; 16]));
    assert_eq!(told_block(&mut bench).1, 16);
}

#[test]
fn the_layer_above_may_gather_or_refuse_instead() {
    let mut bench = asking();
    bench.receive(put(1, 0, true, 16, &[1; 16]));
    let (exchange, ..) = told_block(&mut bench);
    bench.command(|e, now| e.gather(now, exchange, 40).unwrap());
    assert_eq!(bench.sent().code, Code::CONTINUE);
    bench.receive(put(2, 1, false, 16, &[2; 4]));
    assert_eq!(bench.request().1.payload.len(), 20);

    bench.receive(put(3, 0, true, 16, &[1; 16]));
    let (exchange, ..) = told_block(&mut bench);
    bench.command(|e, now| e.gather(now, exchange, 10).unwrap());
    let sent = bench.sent();
    assert_eq!(sent.code, Code::REQUEST_ENTITY_TOO_LARGE);
    assert_eq!(sent.options.view().size1(), Some(10));

    bench.receive(put(4, 0, true, 16, &[1; 16]));
    let (exchange, ..) = told_block(&mut bench);
    let no = Response::new(Code::METHOD_NOT_ALLOWED);
    bench.command(|e, now| e.respond(now, exchange, no, 0).unwrap());
    assert_eq!(bench.sent().code, Code::METHOD_NOT_ALLOWED);
    bench.receive(put(5, 1, true, 16, &[1; 16]));
    assert_eq!(bench.sent().code, Code::REQUEST_ENTITY_INCOMPLETE);
    bench.silent();
}

#[test]
fn a_stream_that_begins_anew_is_told_with_offset_0() {
    let mut bench = asking();
    bench.receive(put(1, 0, true, 16, &[1; 16]));
    let (exchange, ..) = told_block(&mut bench);
    bench.command(|e, now| e.proceed(now, exchange, 0).unwrap());
    bench.receive(put(2, 1, true, 16, &[1; 16]));
    let (second, ..) = told_block(&mut bench);
    bench.command(|e, now| e.proceed(now, second, 0).unwrap());
    bench.all_sent();
    bench.receive(put(3, 0, true, 16, &[9; 16]));
    assert_eq!(told_block(&mut bench).1, 0);
}

// Block2, server role.

fn get(message_id: u16) -> Raw {
    raw(CON, Code::GET, message_id, &message_id.to_be_bytes()).path("3")
}

#[test]
fn rfc7959_2_4_a_large_answer_is_kept_and_served_block_by_block() {
    let mut bench = small_blocks(64);
    let body = body(150);
    bench.receive(get(1));
    let (exchange, _) = bench.request();
    let response = Response::new(Code::CONTENT)
        .with(OptionNumber::CONTENT_FORMAT, &[42])
        .with_payload(body.clone());
    bench.command(|e, now| e.respond(now, exchange, response, 12).unwrap());
    let first = bench.sent();
    assert_eq!(block(first.options.view().block2()), Some((0, true, 64)));
    assert_eq!(first.options.view().size2(), Some(150));
    assert_eq!(first.payload, body[..64]);
    let etag = first.options.view().etag().unwrap().to_vec();
    for number in [1, 2, 1] {
        bench.receive(get(number as u16 + 10).block(BLOCK2, number, false, 64));
        let sent = bench.sent();
        assert_eq!(
            block(sent.options.view().block2()),
            Some((number, number < 2, 64))
        );
        assert_eq!(sent.payload, chunk(&body, number as usize, 64));
        assert_eq!(sent.options.view().etag().unwrap(), etag);
        assert_eq!(sent.options.view().content_format(), Some(42));
        assert_eq!(
            sent.barrier, 12,
            "the rest may leave no sooner than the first block"
        );
        bench.pass(seconds(100));
    }
    bench.receive(get(20).block(BLOCK2, 3, false, 64));
    assert_eq!(bench.sent().code, Code::BAD_REQUEST);
    bench.silent();
    bench.pass(seconds(248));
    bench.receive(get(21).block(BLOCK2, 1, false, 64));
    let (exchange, request) = bench.request();
    assert_eq!(block(request.options.view().block2()), Some((1, false, 64)));
    let response = Response::new(Code::CONTENT).with_payload(body.clone());
    bench.command(|e, now| e.respond(now, exchange, response, 0).unwrap());
    let sent = bench.sent();
    assert_eq!(
        sent.payload,
        body[64..128],
        "asked anew, and the same block comes"
    );
    assert_eq!(
        sent.options.view().etag().unwrap(),
        etag,
        "the same content has the same ETag"
    );
}

#[test]
fn a_peer_may_ask_for_smaller_blocks_at_once() {
    let mut bench = Bench::new();
    let body = body(100);
    bench.receive(get(1).block(BLOCK2, 0, false, 32));
    let (exchange, _) = bench.request();
    let response = Response::new(Code::CONTENT).with_payload(body.clone());
    bench.command(|e, now| e.respond(now, exchange, response, 0).unwrap());
    assert_eq!(
        block(bench.sent().options.view().block2()),
        Some((0, true, 32))
    );
    bench.receive(get(2).block(BLOCK2, 3, false, 32));
    let sent = bench.sent();
    assert_eq!(block(sent.options.view().block2()), Some((3, false, 32)));
    assert_eq!(sent.payload, body[96..]);
}

#[test]
fn a_block_behind_the_end_of_a_fresh_answer_is_a_bad_request() {
    let mut bench = Bench::new();
    bench.receive(get(1).block(BLOCK2, 2, false, 64));
    let (exchange, _) = bench.request();
    let response = Response::new(Code::CONTENT).with_payload(body(100));
    bench.command(|e, now| e.respond(now, exchange, response, 0).unwrap());
    assert_eq!(bench.sent().code, Code::BAD_REQUEST);
}

#[test]
fn a_shared_body_is_not_copied_and_its_etag_is_the_layer_above_s() {
    let mut bench = Bench::new();
    let image: std::sync::Arc<[u8]> = body(200_000).into();
    bench.receive(get(1));
    let (exchange, _) = bench.request();
    let response = Response::new(Code::CONTENT)
        .with(OptionNumber::ETAG, b"v1")
        .with_payload(Payload::Shared(image.clone()));
    bench.command(|e, now| e.respond(now, exchange, response, 0).unwrap());
    let sent = bench.sent();
    assert_eq!(sent.options.view().etag(), Some(&b"v1"[..]));
    assert_eq!(std::sync::Arc::strong_count(&image), 2);
    bench.receive(get(2).block(BLOCK2, 195, false, 1024));
    assert_eq!(bench.sent().payload, image[195 * 1024..]);
    bench.pass(seconds(300));
    assert_eq!(std::sync::Arc::strong_count(&image), 1);
}

#[test]
fn a_layer_above_that_slices_itself_is_left_alone() {
    let mut bench = Bench::new();
    bench.receive(get(1).block(BLOCK2, 5, false, 16));
    let (exchange, _) = bench.request();
    let own = BlockValue {
        number: 5,
        more: true,
        size: BlockSize::SMALLEST,
    };
    let mut response = Response::new(Code::CONTENT).with_payload(&[7; 16]);
    response.options.push_block(BLOCK2, own);
    bench.command(|e, now| e.respond(now, exchange, response, 0).unwrap());
    let sent = bench.sent();
    assert_eq!(sent.options.view().block2(), Some(own));
    assert_eq!(sent.payload, [7; 16]);
    bench.receive(get(2).block(BLOCK2, 6, false, 16));
    bench.request();
}

#[test]
fn rfc7959_3_3_both_blocks_in_one_exchange() {
    let mut bench = small_blocks(16);
    bench.receive(put(1, 0, true, 16, &[1; 16]));
    bench.sent();
    bench.receive(put(2, 1, false, 16, &[2; 8]));
    let (exchange, _) = bench.request();
    let response = Response::new(Code::CHANGED).with_payload(body(20));
    bench.command(|e, now| e.respond(now, exchange, response, 0).unwrap());
    let sent = bench.sent();
    assert_eq!(block(sent.options.view().block1()), Some((1, false, 16)));
    assert_eq!(block(sent.options.view().block2()), Some((0, true, 16)));
    let rest = raw(CON, Code::PUT, 3, b"z")
        .path("5/0/0")
        .block(BLOCK2, 1, false, 16);
    bench.receive(rest);
    let sent = bench.sent();
    assert_eq!(
        (sent.code, &sent.payload[..]),
        (Code::CHANGED, &body(20)[16..])
    );
}

// Block1, client role.

fn push(bench: &mut Bench, length: usize, bytes: usize) {
    let request = Request::new(Code::PUT)
        .with_path("5/0/0")
        .with_payload(body(length));
    let settings = RequestSettings {
        block_size: Some(BlockSize::fitting(bytes)),
        ..Default::default()
    };
    bench
        .command(|e, now| e.request(now, PEER, request, settings))
        .unwrap();
}

fn continued(sent: &Sent) -> Raw {
    let block1 = sent.options.view().block1().unwrap();
    raw(ACK, Code::CONTINUE, sent.message_id, sent.token.as_bytes()).uint(BLOCK1, block1.to_uint())
}

#[test]
fn rfc7959_3_2_a_request_body_goes_block_by_block() {
    let mut bench = Bench::new();
    push(&mut bench, 150, 64);
    for number in 0..3 {
        let sent = bench.sent();
        assert_eq!(
            block(sent.options.view().block1()),
            Some((number, number < 2, 64))
        );
        assert_eq!(sent.payload, chunk(&body(150), number as usize, 64));
        assert_eq!(sent.options.view().size1(), (number == 0).then_some(150));
        bench.silent();
        match number {
            0 | 1 => bench.receive(continued(&sent)),
            _ => {
                let mut done = continued(&sent);
                done.code = Code::CHANGED;
                bench.receive(done);
            }
        }
    }
    match bench.event() {
        Event::Response { response, .. } => assert_eq!(response.code, Code::CHANGED),
        other => panic!("{other:?}"),
    }
    bench.silent();
}

#[test]
fn a_smaller_size_is_followed_in_the_middle_and_after_4_13() {
    let mut bench = Bench::new();
    push(&mut bench, 150, 128);
    let sent = bench.sent();
    let wish = raw(ACK, Code::CONTINUE, sent.message_id, sent.token.as_bytes());
    bench.receive(wish.block(BLOCK1, 0, true, 32));
    let sent = bench.sent();
    assert_eq!(block(sent.options.view().block1()), Some((4, false, 32)));
    assert_eq!(sent.payload, body(150)[128..]);
    let no = raw(
        ACK,
        Code::REQUEST_ENTITY_TOO_LARGE,
        sent.message_id,
        sent.token.as_bytes(),
    );
    bench.receive(no.block(BLOCK1, 0, false, 16));
    let sent = bench.sent();
    assert_eq!(block(sent.options.view().block1()), Some((0, true, 16)));
    let no = raw(
        ACK,
        Code::REQUEST_ENTITY_TOO_LARGE,
        sent.message_id,
        sent.token.as_bytes(),
    );
    bench.receive(no);
    assert!(matches!(bench.event(), Event::Response { response, .. }
        if response.code == Code::REQUEST_ENTITY_TOO_LARGE));
    bench.silent();
}

#[test]
fn a_body_sent_whole_goes_in_blocks_after_4_13_with_a_size() {
    let mut bench = Bench::new();
    push(&mut bench, 100, 1024);
    let sent = bench.sent();
    assert_eq!(sent.options.view().block1(), None);
    let no = raw(
        ACK,
        Code::REQUEST_ENTITY_TOO_LARGE,
        sent.message_id,
        sent.token.as_bytes(),
    );
    bench.receive(no.block(BLOCK1, 0, false, 64));
    let sent = bench.sent();
    assert_eq!(block(sent.options.view().block1()), Some((0, true, 64)));
    assert_eq!(sent.payload, body(100)[..64]);
}

#[test]
fn a_lost_block_is_sent_again_and_a_lost_body_begins_anew() {
    let mut bench = Bench::new();
    push(&mut bench, 40, 16);
    bench.sent();
    bench.pass(seconds(4));
    let sent = bench.sent();
    assert_eq!(block(sent.options.view().block1()), Some((0, true, 16)));
    bench.receive(continued(&sent));
    let sent = bench.sent();
    let mut lost = continued(&sent);
    lost.code = Code::REQUEST_ENTITY_INCOMPLETE;
    bench.receive(lost);
    let sent = bench.sent();
    assert_eq!(block(sent.options.view().block1()), Some((0, true, 16)));
    let mut lost = continued(&sent);
    lost.code = Code::REQUEST_ENTITY_INCOMPLETE;
    bench.receive(lost);
    assert!(
        matches!(bench.event(), Event::Response { .. }),
        "a second time it is the answer"
    );
}

#[test]
fn nothing_else_goes_to_the_peer_between_blocks() {
    let mut bench = Bench::new();
    push(&mut bench, 40, 16);
    let read = Request::new(Code::GET).with_path("3");
    bench.command(|e, now| {
        e.request(now, PEER, read, RequestSettings::default())
            .unwrap()
    });
    for _ in 0..2 {
        let sent = bench.sent();
        assert_eq!(sent.code, Code::PUT);
        // Acknowledged first, answered separately: the place in the line is kept all the same.
        bench.receive(empty(ACK, sent.message_id));
        bench.event();
        bench.silent();
        let mut separate = continued(&sent);
        (separate.message_type, separate.message_id) = (NON, sent.message_id ^ 0x5555);
        bench.receive(separate);
    }
    let sent = bench.sent();
    bench.receive(raw(
        ACK,
        Code::CHANGED,
        sent.message_id,
        sent.token.as_bytes(),
    ));
    bench.event();
    assert_eq!(bench.sent().code, Code::GET);
}

// Block2, client role.

fn fetch(bench: &mut Bench, response_max: Option<usize>) {
    let request = Request::new(Code::GET).with_path("3");
    let settings = RequestSettings {
        response_max,
        ..Default::default()
    };
    bench
        .command(|e, now| e.request(now, PEER, request, settings))
        .unwrap();
}

fn part(sent: &Sent, body: &[u8], number: u32, bytes: usize, etag: &[u8]) -> Raw {
    let payload = chunk(body, number as usize, bytes);
    let more = (number as usize + 1) * bytes < body.len();
    raw(ACK, Code::CONTENT, sent.message_id, sent.token.as_bytes())
        .option(OptionNumber::ETAG, etag)
        .block(BLOCK2, number, more, bytes)
        .payload(payload)
}

#[test]
fn rfc7959_3_1_a_large_answer_is_fetched_and_told_once() {
    let mut bench = Bench::new();
    let body = body(150);
    fetch(&mut bench, None);
    for number in 0..3 {
        let sent = bench.sent();
        let wanted = (number > 0).then_some((number, false, 64));
        assert_eq!(block(sent.options.view().block2()), wanted);
        let path: Vec<_> = sent.options.view().uri_path().collect();
        assert_eq!(path, [b"3"]);
        bench.receive(part(&sent, &body, number, 64, b"e"));
    }
    match bench.event() {
        Event::Response { response, .. } => {
            assert_eq!(&response.payload[..], body);
            assert_eq!(response.options.view().etag(), Some(&b"e"[..]));
            assert_eq!(response.options.view().block2(), None);
        }
        other => panic!("{other:?}"),
    }
    bench.pass(seconds(300));
    bench.silent();
    assert_eq!(bench.endpoint.peers(), 0);
}

#[test]
fn rfc7959_2_4_blocks_of_different_representations_are_not_mixed() {
    let mut bench = Bench::new();
    let (old, new) = (vec![1; 40], vec![2; 40]);
    fetch(&mut bench, None);
    let sent = bench.sent();
    bench.receive(part(&sent, &old, 0, 16, b"old"));
    let sent = bench.sent();
    bench.receive(part(&sent, &new, 1, 16, b"new"));
    for number in 0..3 {
        let sent = bench.sent();
        assert_eq!(block(sent.options.view().block2()).unwrap().0, number);
        bench.receive(part(&sent, &new, number, 16, b"new"));
    }
    match bench.event() {
        Event::Response { response, .. } => assert_eq!(&response.payload[..], new),
        other => panic!("{other:?}"),
    }
}

#[test]
fn fetching_ends_when_it_makes_no_sense() {
    let body = body(100);
    let mut bench = Bench::new();
    fetch(&mut bench, Some(50));
    let sent = bench.sent();
    bench.receive(part(&sent, &body, 0, 32, b"e"));
    let sent = bench.sent();
    bench.receive(part(&sent, &body, 1, 32, b"e"));
    assert!(matches!(
        bench.event(),
        Event::Failed {
            failure: Failure::TooLarge,
            ..
        }
    ));
    // A stack that gives the first block for every request.
    fetch(&mut bench, None);
    for _ in 0..3 {
        let sent = bench.sent();
        bench.receive(part(&sent, &body, 0, 32, b"e"));
    }
    assert!(matches!(
        bench.event(),
        Event::Failed {
            failure: Failure::WrongBlock,
            ..
        }
    ));
    fetch(&mut bench, None);
    let sent = bench.sent();
    bench.receive(part(&sent, &body, 0, 32, b"e"));
    bench.pass(seconds(100));
    assert!(matches!(
        bench.event(),
        Event::Failed {
            failure: Failure::Timeout,
            ..
        }
    ));
    bench.all_sent();
    fetch(&mut bench, None);
    let sent = bench.sent();
    bench.receive(part(&sent, &body, 0, 32, b"e"));
    let sent = bench.sent();
    bench.receive(raw(
        ACK,
        Code::NOT_FOUND,
        sent.message_id,
        sent.token.as_bytes(),
    ));
    assert!(matches!(bench.event(), Event::Response { response, .. }
        if response.code == Code::NOT_FOUND));
    bench.silent();
}

#[test]
fn a_size_that_the_caller_wishes_is_asked_for_at_once() {
    let mut bench = Bench::new();
    let request = Request::new(Code::GET).with_path("3");
    let settings = RequestSettings {
        block_size: Some(BlockSize::fitting(64)),
        ..Default::default()
    };
    bench
        .command(|e, now| e.request(now, PEER, request, settings))
        .unwrap();
    assert_eq!(
        block(bench.sent().options.view().block2()),
        Some((0, false, 64))
    );
}

#[test]
fn a_fetch_repeats_what_it_asks_for_with_every_block() {
    let mut bench = Bench::new();
    let request = Request::new(Code::FETCH).with_payload(b"[{\"n\":\"/3\"}]");
    bench
        .command(|e, now| e.request(now, PEER, request, RequestSettings::default()))
        .unwrap();
    let sent = bench.sent();
    bench.receive(part(&sent, &body(100), 0, 64, b"e"));
    assert_eq!(bench.sent().payload, b"[{\"n\":\"/3\"}]");
}

#[test]
fn a_large_answer_that_comes_separately_is_fetched_when_its_turn_comes() {
    let mut bench = Bench::new();
    fetch(&mut bench, None);
    let sent = bench.sent();
    bench.receive(empty(ACK, sent.message_id));
    bench.event();
    // Acknowledged, it is outstanding no more, and another one takes the turn.
    fetch(&mut bench, None);
    let other = bench.sent();
    let body = body(100);
    let mut separate = part(&sent, &body, 0, 64, b"e");
    (separate.message_type, separate.message_id) = (CON, 4444);
    bench.receive(separate);
    assert_eq!(bench.sent().raw, empty(ACK, 4444));
    bench.silent();
    bench.receive(raw(
        ACK,
        Code::CONTENT,
        other.message_id,
        other.token.as_bytes(),
    ));
    assert!(matches!(bench.event(), Event::Response { .. }));
    let next = bench.sent();
    assert_eq!(
        (next.token, block(next.options.view().block2())),
        (sent.token, Some((1, false, 64)))
    );
    bench.receive(part(&next, &body, 1, 64, b"e"));
    assert!(matches!(bench.event(), Event::Response { response, .. }
        if response.payload[..] == body));
}

#[test]
fn rfc7959_2_4_one_block_alone_is_asked_for_and_told_as_it_stands() {
    let mut bench = Bench::new();
    let body = body(200);
    for number in [2, 0] {
        let wanted = BlockValue {
            number,
            more: false,
            size: BlockSize::fitting(64),
        };
        let request = Request::new(Code::GET).with_path("fw");
        let settings = RequestSettings {
            block: Some(wanted),
            ..Default::default()
        };
        bench
            .command(|e, now| e.request(now, PEER, request, settings))
            .unwrap();
        let sent = bench.sent();
        assert_eq!(
            block(sent.options.view().block2()),
            Some((number, false, 64))
        );
        bench.receive(part(&sent, &body, number, 64, b"v1"));
        let Event::Response { response, .. } = bench.event() else {
            panic!("an answer")
        };
        assert_eq!(&response.payload[..], chunk(&body, number as usize, 64));
        let options = response.options.view();
        assert_eq!(block(options.block2()), Some((number, true, 64)));
        assert_eq!(options.etag(), Some(&b"v1"[..]));
        bench.silent();
    }
}
