//! Device management and queue mode, from the operator's command to the device and back;
//! TS 1.0 §5.4, §8.3.

mod common;

use std::time::Duration;

use common::{Device, World, name, path};
use dunlin_lwm2m::operation::{Arguments, ResponseCode, WriteMode};
use dunlin_lwm2m::{ContentFormat, Deviation, Node, Resource, Value};
use dunlin_server::command::{Content, Failed, Outcome, RequestState};
use dunlin_server::{Command, EventKind, Refused, ServerConfig, Settings};
use dunlin_transport::coap::Code;

fn awake(world: &mut World) -> Device {
    let mut device = Device::new("lamp", 4000);
    device.register(world, &[]);
    device
}

fn sleeping(world: &mut World) -> Device {
    let mut device = Device::new("lamp", 4000);
    device.register(world, &["b=UQ", "lt=86400"]);
    world.pass_s(100);
    device
}

fn read(target: &str) -> Command {
    Command::Read { path: path(target) }
}

fn write(target: &str, value: &str) -> Command {
    let id = path(target).resource_id().unwrap();
    let node = Node::Resource(Resource::single(id, Value::String(value.into())));
    Command::Write {
        path: path(target),
        mode: WriteMode::Replace,
        node,
    }
}

fn execute() -> Command {
    Command::Execute {
        path: path("/3/0/4"),
        arguments: Arguments::NONE,
    }
}

fn answered(outcome: Option<&Outcome>) -> (Result<ResponseCode, u8>, Content) {
    match outcome {
        Some(Outcome::Answered(answered)) => (answered.code, answered.content.clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn ts_5_4_1_a_read_is_asked_in_tlv_and_answered_with_values() {
    let mut world = World::new();
    let device = awake(&mut world);
    let request = world.ask("lamp", read("/3/0/0"));
    let asked = device.got(&mut world);
    assert_eq!((asked.code, asked.path().as_str()), (Code::GET, "/3/0/0"));
    assert_eq!(asked.accept(), Some(11542));
    assert_eq!(
        world.server.requests(world.now, &name("lamp"))[0].state,
        RequestState::Sent
    );
    device.respond(
        &mut world,
        &asked,
        Code::CONTENT,
        Some(ContentFormat::TEXT),
        b"ACME",
    );
    let (code, content) = answered(world.outcome(request));
    assert_eq!(code, Ok(ResponseCode::Content));
    let acme = Node::Resource(Resource::single(0, Value::String("ACME".into())));
    assert_eq!(content, Content::Node(acme));
    assert!(
        matches!(world.last_event(), EventKind::Completed { request: id, .. } if *id == request)
    );
    assert!(world.durable.requests.is_empty());
}

#[test]
fn ts_8_2_2_the_alternate_path_stands_before_every_target() {
    let mut world = World::new();
    let mut device = Device::new("lamp", 4000);
    let links = "</lwm2m>;rt=\"oma.lwm2m\",</lwm2m/1/0>,</lwm2m/3/0>";
    let queries = ["ep=lamp", "lt=60", "lwm2m=1.0"];
    device.request(&mut world, Code::POST, &["rd"], &queries, links);
    device.got(&mut world);
    world.ask("lamp", read("/3/0"));
    assert_eq!(device.got(&mut world).path(), "/lwm2m/3/0");
}

#[test]
fn one_request_at_a_time() {
    let mut world = World::new();
    let device = awake(&mut world);
    let first = world.ask("lamp", read("/3/0/0"));
    let second = world.ask("lamp", read("/3/0/1"));
    let asked = device.got(&mut world);
    let states: Vec<_> = world
        .server
        .requests(world.now, &name("lamp"))
        .iter()
        .map(|request| (request.id, request.state))
        .collect();
    assert_eq!(
        states,
        [(first, RequestState::Sent), (second, RequestState::Waiting)]
    );
    device.respond(&mut world, &asked, Code::NOT_FOUND, None, b"");
    assert_eq!(answered(world.outcome(first)).0, Ok(ResponseCode::NotFound));
    assert_eq!(device.got(&mut world).path(), "/3/0/1");
}

#[test]
fn quirk_6_a_refused_read_format_is_left_out_and_remembered() {
    let mut world = World::new();
    let device = awake(&mut world);
    let request = world.ask("lamp", read("/3/0/0"));
    let asked = device.got(&mut world);
    device.respond(&mut world, &asked, Code::NOT_ACCEPTABLE, None, b"");
    let again = device.got(&mut world);
    assert_eq!(again.accept(), None);
    device.respond(
        &mut world,
        &again,
        Code::CONTENT,
        Some(ContentFormat::TEXT),
        b"ACME",
    );
    assert_eq!(
        answered(world.outcome(request)).0,
        Ok(ResponseCode::Content)
    );
    world.ask("lamp", read("/3/0/1"));
    assert_eq!(device.got(&mut world).accept(), None);
}

#[test]
fn a_format_that_was_asked_for_is_not_replaced() {
    let mut world = World::new();
    let device = awake(&mut world);
    let settings = Settings {
        format: Some(ContentFormat::JSON),
        ..Settings::default()
    };
    let request = world.ask_with("lamp", read("/3/0"), settings);
    let asked = device.got(&mut world);
    assert_eq!(asked.accept(), Some(11543));
    device.respond(
        &mut world,
        &asked,
        Code::NOT_ACCEPTABLE,
        None,
        b"no JSON here",
    );
    let (code, content) = answered(world.outcome(request));
    assert_eq!(code, Ok(ResponseCode::NotAcceptable));
    assert_eq!(content, Content::Diagnostic("no JSON here".into()));
}

#[test]
fn quirk_1_a_client_with_old_numbers_gets_old_numbers() {
    let mut world = World::new();
    let device = awake(&mut world);
    world.ask("lamp", read("/3/0/0"));
    let asked = device.got(&mut world);
    let tlv = [0xc4, 0x00, b'A', b'C', b'M', b'E'];
    device.respond(
        &mut world,
        &asked,
        Code::CONTENT,
        Some(ContentFormat::OLD_TLV),
        &tlv,
    );
    world.ask("lamp", write("/3/0/15", "Europe/Bern"));
    assert_eq!(device.got(&mut world).content_format(), Some(1542));
}

#[test]
fn quirk_25_times_in_the_answer_to_a_read_are_noted_and_the_newest_value_counts() {
    let mut world = World::new();
    let device = awake(&mut world);
    let request = world.ask("lamp", read("/3/0/9"));
    let asked = device.got(&mut world);
    let json = br#"{"bn":"/3/0/9","bt":1700000000,"e":[{"v":80,"t":-60},{"v":79,"t":0}]}"#;
    device.respond(
        &mut world,
        &asked,
        Code::CONTENT,
        Some(ContentFormat::JSON),
        json,
    );
    let (code, content) = answered(world.outcome(request));
    assert_eq!(code, Ok(ResponseCode::Content));
    let value = format!("{content:?}");
    assert!(value.contains("Integer(79)"), "{value}");
    let view = world
        .server
        .client(world.now, &name("lamp"))
        .unwrap()
        .registration;
    assert!(view.deviations.contains(Deviation::TimestampsInRead));
}

#[test]
fn ts_5_4_3_a_write_goes_in_tlv_and_falls_back_once_to_text() {
    let mut world = World::new();
    let device = awake(&mut world);
    let request = world.ask("lamp", write("/3/0/15", "UTC"));
    let asked = device.got(&mut world);
    assert_eq!(
        (asked.code, asked.content_format()),
        (Code::PUT, Some(11542))
    );
    assert_eq!(asked.payload, [0xc3, 15, b'U', b'T', b'C']);
    device.respond(
        &mut world,
        &asked,
        Code::UNSUPPORTED_CONTENT_FORMAT,
        None,
        b"",
    );
    let again = device.got(&mut world);
    assert_eq!((again.content_format(), again.text()), (Some(0), "UTC"));
    device.respond(&mut world, &again, Code::CHANGED, None, b"");
    assert_eq!(
        answered(world.outcome(request)),
        (Ok(ResponseCode::Changed), Content::None)
    );
}

#[test]
fn an_answer_that_does_not_decode_is_kept_as_it_came() {
    let mut world = World::new();
    let device = awake(&mut world);
    let request = world.ask("lamp", read("/3/0"));
    let asked = device.got(&mut world);
    device.respond(
        &mut world,
        &asked,
        Code::CONTENT,
        Some(ContentFormat::TLV),
        &[0xff, 0xff],
    );
    let (_, content) = answered(world.outcome(request));
    assert!(matches!(content, Content::Raw { payload, .. } if payload == [0xff, 0xff]));
}

#[test]
fn decisions_1_an_execute_is_durable_before_it_leaves_and_is_not_sent_again() {
    let mut world = World::new();
    let device = awake(&mut world);
    let request = world.ask("lamp", execute());
    assert_eq!(device.got(&mut world).code, Code::POST);
    assert_eq!(world.durable.requests[&request].state, RequestState::Sent);
    world.restart();
    assert_eq!(
        world.outcome(request),
        Some(&Outcome::Failed(Failed::Unknown))
    );
    assert!(world.durable.requests.is_empty());
    let mut device = device;
    device.update(&mut world, &[], "");
    assert!(
        device.inbox(&mut world).is_empty(),
        "it is never sent a second time"
    );
}

#[test]
fn ts_8_3_requests_for_a_sleeping_client_wait_until_it_is_heard() {
    let mut world = World::new();
    let mut device = sleeping(&mut world);
    let first = world.ask("lamp", read("/3/0/0"));
    let second = world.ask("lamp", execute());
    assert!(device.inbox(&mut world).is_empty());
    assert_eq!(world.durable.requests.len(), 2);
    assert_eq!(
        world.server.request_view(world.now, first).unwrap().state,
        RequestState::Queued
    );
    // The answer to the Update first, then the queue, one by one.
    assert_eq!(device.update(&mut world, &[], "").code, Code::CHANGED);
    let asked = device.got(&mut world);
    assert_eq!(asked.path(), "/3/0/0");
    device.respond(
        &mut world,
        &asked,
        Code::CONTENT,
        Some(ContentFormat::TEXT),
        b"ACME",
    );
    let asked = device.got(&mut world);
    assert_eq!(asked.path(), "/3/0/4");
    assert_eq!(world.durable.requests[&second].state, RequestState::Sent);
    device.respond(&mut world, &asked, Code::CHANGED, None, b"");
    assert!(world.outcome(first).is_some() && world.outcome(second).is_some());
    assert!(world.durable.requests.is_empty());
}

#[test]
fn the_queue_survives_a_restart_in_its_order() {
    let mut world = World::new();
    let mut device = sleeping(&mut world);
    let asked: Vec<_> = (0..4)
        .map(|id| world.ask("lamp", read(&format!("/3/0/{id}"))))
        .collect();
    let before = world.server.requests(world.now, &name("lamp"));
    world.restart();
    let after = world.server.requests(world.now, &name("lamp"));
    assert_eq!(after, before);
    assert_eq!(after.iter().map(|view| view.id).collect::<Vec<_>>(), asked);
    device.update(&mut world, &[], "");
    assert_eq!(device.got(&mut world).path(), "/3/0/0");
}

#[test]
fn ts_8_3_a_request_without_answer_returns_to_the_head_and_is_given_up_in_the_end() {
    let mut world = World::new();
    let mut device = sleeping(&mut world);
    let first = world.ask("lamp", read("/3/0/0"));
    world.ask("lamp", read("/3/0/1"));
    for attempt in 1..=2 {
        device.update(&mut world, &[], "");
        world.pass_s(70);
        assert!(
            device
                .inbox(&mut world)
                .iter()
                .all(|got| got.path() == "/3/0/0")
        );
        assert_eq!(world.outcome(first), None);
        assert_eq!(world.durable.requests[&first].attempts, attempt);
        let view = &world.server.requests(world.now, &name("lamp"))[0];
        assert_eq!((view.id, view.state), (first, RequestState::Queued));
    }
    device.update(&mut world, &[], "");
    world.pass_s(70);
    assert_eq!(
        world.outcome(first),
        Some(&Outcome::Failed(Failed::TimedOut))
    );
    assert_eq!(world.durable.requests.len(), 1);
}

#[test]
fn a_request_that_waits_too_long_expires() {
    let mut world = World::new();
    sleeping(&mut world);
    let settings = Settings {
        expires: Duration::from_secs(600),
        ..Settings::default()
    };
    let request = world.ask_with("lamp", read("/3/0/0"), settings);
    world.pass_s(599);
    assert_eq!(world.outcome(request), None);
    world.pass_s(2);
    assert_eq!(
        world.outcome(request),
        Some(&Outcome::Failed(Failed::Expired))
    );
    assert!(world.durable.requests.is_empty());
}

#[test]
fn the_queue_is_bounded_and_optional() {
    let mut world = World::with(ServerConfig {
        queue_depth: 2,
        ..ServerConfig::default()
    });
    sleeping(&mut world);
    let lamp = name("lamp");
    let no_queue = Settings {
        queue: false,
        ..Settings::default()
    };
    let now = world.now;
    let mut ask = |settings| {
        world
            .server
            .request(now, &lamp, read("/3/0/0"), settings)
            .map(drop)
    };
    assert_eq!(ask(no_queue), Err(Refused::ClientAsleep));
    assert_eq!(ask(Settings::default()), Ok(()));
    assert_eq!(ask(Settings::default()), Ok(()));
    assert_eq!(
        ask(Settings::default()),
        Err(Refused::QueueFull { limit: 2 })
    );
}

#[test]
fn a_request_can_be_cancelled_in_the_queue_and_on_its_way() {
    let mut world = World::new();
    let device = awake(&mut world);
    let sent = world.ask("lamp", read("/3/0/0"));
    let waiting = world.ask("lamp", read("/3/0/1"));
    for request in [waiting, sent] {
        world.server.cancel(world.now, request).unwrap();
        world.drain();
        assert_eq!(
            world.outcome(request),
            Some(&Outcome::Failed(Failed::Cancelled))
        );
    }
    assert_eq!(
        world.server.cancel(world.now, sent),
        Err(Refused::RequestUnknown)
    );
    assert_eq!(device.inbox(&mut world).len(), 1);
    world.pass_s(100);
    assert!(
        device.inbox(&mut world).is_empty(),
        "nothing more is sent for it"
    );
}

#[test]
fn quirk_91_a_client_that_does_not_answer_twice_is_taken_to_sleep() {
    let mut world = World::new();
    let mut device = awake(&mut world);
    for _ in 0..2 {
        let request = world.ask("lamp", read("/3/0/0"));
        world.pass_s(61);
        assert!(world.outcome(request).is_some() || world.server.stats().requests == 1);
    }
    device.inbox(&mut world);
    let request = world.ask("lamp", read("/3/0/1"));
    assert_eq!(
        world.server.request_view(world.now, request).unwrap().state,
        RequestState::Queued
    );
    device.update(&mut world, &[], "");
    let asked = device.got(&mut world);
    device.respond(
        &mut world,
        &asked,
        Code::CONTENT,
        Some(ContentFormat::TEXT),
        b"x",
    );
    assert!(!world.completed.is_empty());
}

#[test]
fn the_end_of_a_registration_is_the_end_of_its_requests() {
    let mut world = World::new();
    let mut device = sleeping(&mut world);
    let request = world.ask("lamp", read("/3/0/0"));
    device.deregister(&mut world);
    assert_eq!(
        world.outcome(request),
        Some(&Outcome::Failed(Failed::ClientGone))
    );
    assert!(world.durable.requests.is_empty());
    let gone = world
        .server
        .request(world.now, &name("lamp"), read("/3"), Settings::default());
    assert!(matches!(gone, Err(Refused::ClientExpired { .. })));
    let unknown = world
        .server
        .request(world.now, &name("none"), read("/3"), Settings::default());
    assert_eq!(unknown, Err(Refused::ClientUnknown));
}

#[test]
fn a_new_register_keeps_the_queue_and_ends_what_cannot_be_repeated() {
    let mut world = World::new();
    let mut device = awake(&mut world);
    let reboot = world.ask("lamp", execute());
    let next = world.ask("lamp", read("/3/0/0"));
    device.inbox(&mut world);
    device.register(&mut world, &[]);
    assert_eq!(
        world.outcome(reboot),
        Some(&Outcome::Failed(Failed::Unknown))
    );
    assert_eq!(device.got(&mut world).path(), "/3/0/0");
    assert_eq!(world.outcome(next), None);
}

#[test]
fn commands_without_meaning_are_refused_before_anybody_is_asked() {
    let mut world = World::new();
    let device = awake(&mut world);
    let lamp = name("lamp");
    for command in [
        read("/3/0/6/1"),
        read("/"),
        Command::Execute {
            path: path("/3/0"),
            arguments: Arguments::NONE,
        },
        Command::Delete { path: path("/3") },
    ] {
        let refused = world
            .server
            .request(world.now, &lamp, command, Settings::default());
        assert!(
            matches!(refused, Err(Refused::NotPossible { .. })),
            "{refused:?}"
        );
    }
    let node = Node::Resource(Resource::single(15, Value::String("UTC".into())));
    let wrong = Command::Write {
        path: path("/3/0"),
        mode: WriteMode::Replace,
        node,
    };
    let refused = world
        .server
        .request(world.now, &lamp, wrong, Settings::default());
    assert!(
        matches!(refused, Err(Refused::Unencodable { .. })),
        "{refused:?}"
    );
    assert!(device.inbox(&mut world).is_empty());
}

#[test]
fn ts_5_4_2_and_5_4_6_discover_and_create() {
    let mut world = World::new();
    let device = awake(&mut world);
    let discover = world.ask("lamp", Command::Discover { path: path("/3") });
    let asked = device.got(&mut world);
    assert_eq!(asked.accept(), Some(40));
    let links = b"</3>;pmin=10,</3/0>,</3/0/1>";
    device.respond(
        &mut world,
        &asked,
        Code::CONTENT,
        Some(ContentFormat::LINK),
        links,
    );
    let (_, content) = answered(world.outcome(discover));
    assert!(matches!(content, Content::Links(links) if links.links.len() == 3));

    let resources = vec![Resource::single(5700, Value::Float(1.5))];
    let command = Command::Create {
        object: 3303.into(),
        instance: Some(7.into()),
        resources,
    };
    let create = world.ask("lamp", command);
    let asked = device.got(&mut world);
    assert_eq!((asked.code, asked.path().as_str()), (Code::POST, "/3303"));
    // An Object Instance TLV of seven bytes with id 7, holding resource 5700.
    assert_eq!(
        asked.payload[..2],
        [0x07, 0x07][..],
        "{:02x?}",
        asked.payload
    );
    device.respond(&mut world, &asked, Code::CREATED, None, b"");
    assert_eq!(answered(world.outcome(create)).0, Ok(ResponseCode::Created));
}

#[test]
fn while_the_store_fails_reads_go_on_and_what_must_be_kept_is_refused() {
    let mut world = World::new();
    let device = awake(&mut world);
    world.server.set_store_health(world.now, false);
    let request = world.ask("lamp", read("/3/0/0"));
    let asked = device.got(&mut world);
    device.respond(
        &mut world,
        &asked,
        Code::CONTENT,
        Some(ContentFormat::TEXT),
        b"ACME",
    );
    assert!(world.outcome(request).is_some());
    let refused = world
        .server
        .request(world.now, &name("lamp"), execute(), Settings::default());
    assert_eq!(refused, Err(Refused::StoreFailing));
}

#[test]
fn quirk_50_a_client_is_left_alone_after_its_register_when_so_set() {
    let settle = Duration::from_secs(2);
    let mut world = World::with(ServerConfig {
        settle,
        ..ServerConfig::default()
    });
    let device = awake(&mut world);
    world.ask("lamp", read("/3/0/0"));
    assert!(device.inbox(&mut world).is_empty());
    world.pass_s(1);
    assert!(device.inbox(&mut world).is_empty());
    world.pass_s(2);
    assert_eq!(device.got(&mut world).path(), "/3/0/0");
}

fn write_bytes(count: usize) -> Command {
    let node = Node::Resource(Resource::single(0, Value::Opaque(vec![7; count])));
    Command::Write {
        path: path("/5/0/0"),
        mode: WriteMode::Replace,
        node,
    }
}

#[test]
fn what_is_too_long_to_be_kept_is_refused_before_anything_happens() {
    let limit = dunlin_server::KEPT_VALUES_MAX;
    let mut world = World::new();
    sleeping(&mut world);
    let (name, now) = (name("lamp"), world.now);
    let refused = world
        .server
        .request(now, &name, write_bytes(limit + 1), Settings::default());
    world.drain();
    assert!(
        matches!(refused, Err(Refused::TooLargeToKeep { bytes, .. }) if bytes == limit + 1),
        "{refused:?}"
    );
    assert!(world.durable.requests.is_empty());
    world.ask("lamp", write_bytes(limit));
    assert_eq!(world.durable.requests.len(), 1);
}

#[test]
fn the_log_says_of_a_long_write_what_became_of_it_and_not_what_was_written() {
    let mut world = World::new();
    awake(&mut world);
    for (count, kept) in [(10, true), (10_000_000, false)] {
        let request = world.ask("lamp", write_bytes(count));
        world.server.cancel(world.now, request).unwrap();
        world.drain();
        let EventKind::Completed { command, .. } = world.last_event() else {
            panic!("the request ended last");
        };
        assert_eq!(command.path(), path("/5/0/0"));
        assert_eq!(**command == write_bytes(count), kept, "{count} bytes");
    }
}
