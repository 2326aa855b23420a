//! The Client registration interface as a conversation (TS 1.0 §5.3).

mod common;

use std::time::Duration;

use common::*;
use dunlin_client::{Answer, Event, Need, Reason};
use dunlin_lwm2m::operation::{Binding, ResponseCode, SmsNumber, Uplink};
use dunlin_lwm2m::{ObjectId, Value};
use dunlin_transport::{Failure, Port, UplinkAnswer};

#[test]
fn ts_5_3_1_register_tells_name_lifetime_version_binding_and_objects_without_object_0() {
    let mut world = World::new(1, Binding::U);
    world.start();
    let register = world.servers[0].register(0);
    assert_eq!(register.endpoint.as_str(), "thermometer");
    assert_eq!(register.lifetime_s, LIFETIME_S);
    assert_eq!(register.version.to_string(), "1.0");
    assert_eq!(register.binding, Binding::U);
    assert!(register.parameters.is_empty() && register.deviations.is_empty());
    let listed = String::from_utf8(register.payload()).unwrap();
    assert_eq!(listed, "</1/0>,</3/0>,</3303/0>,</3303/1>");
    let first = &world.news[0];
    assert!(
        matches!(first, Event::Registered { location, .. } if location == "rd/client-1"),
        "{first:?}"
    );
}

#[test]
fn ts_5_3_1_the_number_for_sms_is_told() {
    let number = SmsNumber::new("491701234567");
    let mut world = World::configured(factory(1, Binding::UQS).build(), |config| {
        config.sms_number.clone_from(&number);
    });
    world.start();
    assert_eq!(world.servers[0].register(0).sms_number, number);
}

#[test]
fn ts_5_3_1_versions_above_1_0_are_told() {
    let mut factory = factory(1, Binding::U);
    let registry = dunlin_lwm2m::Registry::bundled();
    let definition = registry.latest(ObjectId(3303)).unwrap().clone();
    factory.add_object(ObjectId(3303)).unwrap().definition = definition;
    let mut world = World::with(factory.build());
    world.start();
    let listed = String::from_utf8(world.servers[0].register(0).payload()).unwrap();
    let expected = "</1/0>,</3/0>,</3303>;ver=1.1,</3303/0>,</3303/1>";
    assert_eq!(listed, expected);
    let found = world.ask(&discover("/3303"));
    assert!(text(&found).starts_with("</3303>;ver=1.1,</3303/0>,"));
}

#[test]
fn ts_5_3_2_it_refreshes_before_the_lifetime_ends_and_with_nothing_in_it() {
    let mut world = World::registered();
    world.pass_s(u64::from(LIFETIME_S) * 4);
    let begin = 1_000;
    let updates = world.servers[0].updates();
    assert!(updates.iter().all(|(_, update)| update.is_refresh()));
    assert!(updates.iter().all(|(_, one)| one.location == "client-1"));
    let times: Vec<u64> = updates.iter().map(|(at, _)| at - begin).collect();
    assert_eq!(times, [207, 414, 621, 828, 1035]);
    assert!(world.is_registered(0));
}

#[test]
fn a_short_lifetime_is_refreshed_at_its_half() {
    let mut world = World::registered();
    world.ask(&write_text("/1/0/1", "20"));
    world.pass_s(45);
    let times: Vec<u64> = world.servers[0].updates().iter().map(|one| one.0).collect();
    assert_eq!(times, [1_000, 1_010, 1_020, 1_030, 1_040]);
}

#[test]
fn ts_e_2_a_written_lifetime_is_told_with_lt_alone() {
    let mut world = World::registered();
    assert_eq!(
        world.code(&write_text("/1/0/1", "60")),
        ResponseCode::Changed
    );
    let [(_, update)] = world.servers[0].updates()[..] else {
        panic!("one Update")
    };
    assert_eq!(update.lifetime_s, Some(60));
    assert_eq!((update.binding, &update.links), (None, &None));
    assert!(
        world
            .told()
            .iter()
            .any(|event| matches!(event, Event::Updated { changed: true, .. }))
    );
}

#[test]
fn ts_e_2_a_written_binding_is_told_with_b_alone() {
    let mut world = World::registered();
    world.ask(&write_text("/1/0/7", "UQ"));
    let [(_, update)] = world.servers[0].updates()[..] else {
        panic!("one Update")
    };
    assert_eq!(update.binding, Some(Binding::UQ));
    assert_eq!((update.lifetime_s, &update.links), (None, &None));
}

#[test]
fn ts_5_3_2_objects_that_come_and_go_are_told_whole() {
    let mut world = World::registered();
    assert_eq!(
        world.code(&create(3303, *b"\x08\x05\x00")),
        ResponseCode::Created
    );
    assert_eq!(world.code(&delete("/3303/0")), ResponseCode::Deleted);
    let updates = world.servers[0].updates();
    let links: Vec<String> = updates
        .iter()
        .map(|(_, update)| String::from_utf8(update.payload()).unwrap())
        .collect();
    let head = "</1/0>,</3/0>";
    assert_eq!(
        links,
        [
            format!("{head},</3303/0>,</3303/1>,</3303/5>"),
            format!("{head},</3303/1>,</3303/5>")
        ]
    );
}

#[test]
fn ts_5_3_2_an_update_that_meets_4_04_is_followed_by_a_register_at_once() {
    let mut world = World::registered();
    world.observe("/3303/0/5700");
    world.servers[0].refuse_next(ResponseCode::NotFound);
    world.pass_s(207);
    assert_eq!(world.servers[0].kinds(), "RUR");
    assert!(world.is_registered(0));
    let told = world.told();
    assert!(
        told.iter()
            .any(|event| matches!(event, Event::ObservationEnded { .. })),
        "a new registration begins without observations"
    );
    assert!(
        matches!(told.last(), Some(Event::Registered { location, .. }) if location == "rd/client-2")
    );
    world.pass_s(207);
    assert_eq!(
        world.servers[0].updates().last().unwrap().1.location,
        "client-2"
    );
}

#[test]
fn a_refused_register_is_tried_again_after_growing_pauses_with_jitter() {
    let mut world = World::new(1, Binding::U);
    let mut seen = Vec::new();
    world.servers[0].refuse_next(ResponseCode::Forbidden);
    world.start();
    for _ in 0..5 {
        let [
            Event::RegistrationFailed {
                reason: Reason::Refused(0x83, _),
                again_in_s,
                ..
            },
        ] = world.told()[..]
        else {
            panic!()
        };
        seen.push(again_in_s);
        world.servers[0].refuse_next(ResponseCode::Forbidden);
        world.pass_s(again_in_s + 1);
    }
    for (pause, nominal) in seen.iter().zip([5.0, 10.0, 20.0, 40.0, 80.0]) {
        let least = (nominal * 0.8_f64).floor() as u64;
        let most = (nominal * 1.2_f64).ceil() as u64;
        assert!((least..=most).contains(pause), "{seen:?}");
    }
    let nominal = [5, 10, 20, 40, 80];
    assert_ne!(seen, nominal, "jitter moves them");
}

#[test]
fn rfc7252_5_9_a_server_that_says_when_to_come_back_is_not_asked_before() {
    let mut world = World::new(1, Binding::U);
    world.servers[0].next_refusal = Some(UplinkAnswer::Refused {
        code: ResponseCode::ServiceUnavailable,
        diagnostic: "the store is full".into(),
        max_age_s: Some(60),
    });
    world.start();
    world.pass_s(59);
    assert_eq!(world.servers[0].kinds(), "R");
    world.pass_s(14);
    assert_eq!(world.servers[0].kinds(), "RR");
    assert!(world.is_registered(0));
}

#[test]
fn a_server_that_does_not_answer_is_tried_again_for_ever() {
    let mut world = World::new(1, Binding::U);
    world.cut = true;
    world.start();
    world.pass_s(93);
    let told = world.told();
    assert!(
        matches!(
            told[..],
            [Event::RegistrationFailed {
                reason: Reason::NoAnswer(Failure::TimedOut),
                ..
            }]
        ),
        "{told:?}"
    );
    let first: Vec<_> = world.sent.iter().map(|(_, _, bytes)| bytes).collect();
    let same = first.iter().take_while(|bytes| **bytes == first[0]).count();
    assert_eq!(same, 5, "one transmission and four repetitions");
    world.pass_s(3_600);
    world.cut = false;
    world.pass_s(720);
    assert!(world.is_registered(0), "a day is not too long");
}

#[test]
fn an_update_without_answer_becomes_a_register() {
    let mut world = World::registered();
    world.pass_s(200);
    world.cut = true;
    world.pass_s(7 + 93);
    assert!(!world.is_registered(0));
    world.cut = false;
    world.pass_s(30);
    assert!(world.is_registered(0));
    assert_eq!(world.servers[0].kinds(), "RR");
}

#[test]
fn ts_5_3_3_it_deregisters_when_it_stops_and_is_idle_after() {
    let mut world = World::registered();
    world.observe("/3303/0/5700");
    world.client.stop(world.now);
    assert!(!world.client.is_idle());
    world.settle();
    assert!(world.client.is_idle());
    assert_eq!(world.servers[0].kinds(), "RD");
    world.set("/3303/0/5700", Value::Float(99.0));
    world.pass_s(1_000);
    assert_eq!(world.servers[0].kinds(), "RD", "it stays away");
    assert!(world.servers[0].notified.is_empty());
}

#[test]
fn a_client_that_stops_while_it_registers_leaves_once_it_is_known() {
    let mut world = World::new(1, Binding::U);
    world.servers[0].silent = true;
    world.start();
    world.client.stop(world.now);
    world.settle();
    assert!(!world.client.is_idle());
    world.servers[0].silent = false;
    let open = world.servers[0].open.pop_front().expect("Register waits");
    let created = UplinkAnswer::Created(vec!["rd".into(), "x".into()]);
    let now = world.now;
    world.servers[0]
        .transport
        .answer_uplink(now, open, &created, 0)
        .unwrap();
    world.settle();
    assert_eq!(world.servers[0].kinds(), "RD");
    assert!(world.client.is_idle());
}

#[test]
fn a_client_that_stops_while_nobody_answers_its_register_is_idle_in_the_end() {
    let mut world = World::new(1, Binding::U);
    world.cut = true;
    world.start();
    world.client.stop(world.now);
    world.settle();
    world.pass_s(93);
    assert!(world.client.is_idle());
}

#[test]
fn stopping_needs_no_answer_of_a_server_that_is_gone() {
    let mut world = World::registered();
    world.cut = true;
    world.client.stop(world.now);
    world.settle();
    world.pass_s(93);
    assert!(world.client.is_idle());
}

#[test]
fn ts_e_2_disable_answers_leaves_and_comes_back_after_the_timeout() {
    let mut world = World::registered();
    world.ask(&write_text("/1/0/5", "30"));
    assert_eq!(world.code(&execute("/1/0/4")), ResponseCode::Changed);
    assert_eq!(world.servers[0].kinds(), "RD");
    assert!(world.try_ask(0, &read("/3/0/0")).is_none(), "it ignores us");
    world.give_up(0);
    world.pass_s(29);
    assert_eq!(world.servers[0].kinds(), "RD");
    world.pass_s(1);
    assert_eq!(world.servers[0].kinds(), "RDR");
    assert_eq!(world.code(&read("/3/0/0")), ResponseCode::Content);
}

#[test]
fn ts_e_2_disable_without_a_timeout_is_a_day() {
    let mut world = World::registered();
    world.ask(&execute("/1/0/4"));
    world.pass_s(86_399);
    assert_eq!(world.servers[0].kinds(), "RD");
    world.pass_s(1);
    assert_eq!(world.servers[0].kinds(), "RDR");
}

#[test]
fn a_client_that_stops_while_disabled_does_not_come_back() {
    let mut world = World::registered();
    world.ask(&write_text("/1/0/5", "30"));
    world.servers[0].silent = true;
    world.ask(&execute("/1/0/4"));
    world.client.stop(world.now);
    world.settle();
    let open = world.servers[0]
        .open
        .pop_front()
        .expect("De-register waits");
    let deleted = UplinkAnswer::Deleted;
    let now = world.now;
    world.servers[0]
        .transport
        .answer_uplink(now, open, &deleted, 0)
        .unwrap();
    world.settle();
    assert!(world.client.is_idle());
    world.pass_s(100);
    assert_eq!(world.servers[0].kinds(), "RD");
}

#[test]
fn ts_8_4_the_update_trigger_brings_an_update_after_the_answer() {
    let mut world = World::registered();
    assert_eq!(world.code(&execute("/1/0/8")), ResponseCode::Changed);
    let [(_, update)] = world.servers[0].updates()[..] else {
        panic!("one Update")
    };
    assert!(update.is_refresh());
}

#[test]
fn ts_8_4_a_trigger_while_an_update_is_under_way_brings_another() {
    let mut world = World::registered();
    world.servers[0].silent = true;
    world.client.update(world.now);
    world.settle();
    assert_eq!(world.servers[0].kinds(), "RU");
    assert_eq!(world.code(&execute("/1/0/8")), ResponseCode::Changed);
    world.servers[0].silent = false;
    let open = world.servers[0].open.pop_front().expect("it waits");
    let now = world.now;
    world.servers[0]
        .transport
        .answer_uplink(now, open, &UplinkAnswer::Changed, 0)
        .unwrap();
    world.settle();
    assert_eq!(world.servers[0].kinds(), "RUU");
}

#[test]
fn ts_5_3_1_nobody_is_answered_before_the_register_is() {
    let mut world = World::new(1, Binding::U);
    world.servers[0].silent = true;
    world.start();
    assert!(world.try_ask(0, &read("/3/0/0")).is_none());
    let open = world.servers[0].open.pop_front().expect("Register waits");
    let created = UplinkAnswer::Created(vec!["rd".into(), "x".into()]);
    let now = world.now;
    world.servers[0]
        .transport
        .answer_uplink(now, open, &created, 0)
        .unwrap();
    world.settle();
    assert!(world.is_registered(0));
    world.pass_s(5);
    let answered = world.servers[0]
        .heard
        .iter()
        .any(|event| matches!(event, dunlin_transport::Event::Answered { .. }));
    assert!(answered, "what is repeated after it is answered");
}

#[test]
fn strangers_are_not_answered() {
    let mut world = World::registered();
    let sent = world.sent.len();
    let stranger = std::net::SocketAddr::from(([127, 0, 0, 9], 5683)).into();
    let get = [0x40, 0x01, 0x12, 0x34, 0xb1, b'3'];
    world
        .client
        .handle_receive(world.now, Port::Coap, &stranger, None, &get);
    world.settle();
    assert_eq!(world.sent.len(), sent);
}

#[test]
fn ts_8_2_2_the_alternate_path_is_told_and_prefixes_targets() {
    let tree = factory(1, Binding::U).build();
    let mut world = World::configured(tree, |config| config.root = "/lwm2m".into());
    world.start();
    let register = world.servers[0].register(0);
    assert_eq!(register.links.root(), "/lwm2m");
    let listed = String::from_utf8(register.payload()).unwrap();
    assert!(
        listed.starts_with("</lwm2m>;rt=\"oma.lwm2m\",</lwm2m/1/0>"),
        "{listed}"
    );
    world.servers[0].root = "/lwm2m".into();
    assert_eq!(text(&world.ask(&read("/3/0/0"))), "ACME");
    let made = world.ask(&create(3303, *b"\x08\x05\x00"));
    assert_eq!(made.location, ["lwm2m", "3303", "5"]);
    let found = world.ask(&discover("/3303/5"));
    assert_eq!(text(&found), "</lwm2m/3303/5>,</lwm2m/3303/5/5605>");
}

#[test]
fn names_are_looked_up_and_a_name_without_address_is_tried_again() {
    let mut factory = dunlin_client::Factory::new(dunlin_lwm2m::Registry::bundled()).unwrap();
    factory
        .add_server("coap://lwm2m.example", 300, Binding::U)
        .unwrap();
    let mut world = World::with(factory.build());
    world.start();
    let (need, question) = world.needs.pop().expect("a name is looked up");
    let Need::Resolve { host, port } = question else {
        panic!()
    };
    assert_eq!((host.as_str(), port), ("lwm2m.example", 5683));
    let now = world.now;
    world
        .client
        .handle_answer(now, need, Answer::Resolved(None));
    world.settle();
    assert!(matches!(
        world.told()[..],
        [Event::RegistrationFailed {
            reason: Reason::Unresolved(_),
            ..
        }]
    ));
    world.pass_s(7);
    let (need, _) = world.needs.pop().expect("it is looked up again");
    let now = world.now;
    world
        .client
        .handle_answer(now, need, Answer::Resolved(Some(server_address(0).into())));
    world.settle();
    assert!(world.is_registered(0));
}

#[test]
fn a_name_that_nobody_looks_up_is_asked_for_again() {
    let mut factory = dunlin_client::Factory::new(dunlin_lwm2m::Registry::bundled()).unwrap();
    factory
        .add_server("coap://lwm2m.example", 300, Binding::U)
        .unwrap();
    let mut world = World::with(factory.build());
    world.start();
    world.pass(Duration::from_secs(60 + 7));
    assert_eq!(world.needs.len(), 2);
}

#[test]
fn rfc7959_a_long_list_of_objects_is_registered_in_blocks() {
    let mut factory = factory(1, Binding::U);
    for id in 2..200 {
        factory
            .add_instance(ObjectId(3303), dunlin_lwm2m::Instance::new(id))
            .unwrap();
    }
    let mut world = World::with(factory.build());
    world.start();
    assert!(world.is_registered(0));
    let links = &world.servers[0].register(0).links;
    assert_eq!(links.object(ObjectId(3303)).unwrap().instance_count(), 200);
    assert!(world.sent.len() > 1, "it took several datagrams");
    assert!(matches!(world.servers[0].uplinks[0].1, Uplink::Register(_)));
}

#[test]
fn an_overloaded_server_keeps_the_registration_and_is_told_later() {
    let mut world = World::registered();
    world.observe("/3303/0/5700");
    world.servers[0].next_refusal = Some(UplinkAnswer::Refused {
        code: ResponseCode::ServiceUnavailable,
        diagnostic: String::new(),
        max_age_s: Some(60),
    });
    world.ask(&write_text("/1/0/1", "500"));
    assert!(world.is_registered(0));
    world.set("/3303/0/5700", Value::Float(30.0));
    assert_eq!(world.servers[0].notified.len(), 1, "it is still observed");
    world.pass_s(59);
    assert_eq!(world.servers[0].kinds(), "RU");
    world.pass_s(1);
    assert_eq!(world.servers[0].kinds(), "RUU");
    let updates = world.servers[0].updates();
    assert_eq!(updates[1].1.lifetime_s, Some(500));
}

#[test]
fn an_update_that_is_wanted_before_the_register_is_part_of_it() {
    let mut world = World::new(1, Binding::U);
    world.servers[0].refuse_next(ResponseCode::Forbidden);
    world.start();
    world.client.update(world.now);
    world.settle();
    world.pass_s(7);
    assert!(world.is_registered(0));
    assert_eq!(world.servers[0].kinds(), "RR");
}

/// Found by the seeded universe: an Update that is answered late would have been followed by the next one
/// after the Server's lifetime had ended.
#[test]
fn ts_5_3_2_the_lifetime_counts_from_the_request_and_not_from_its_answer() {
    let mut world = World::new(1, Binding::U);
    world.cut = true;
    world.start();
    world.pass_s(20);
    world.cut = false;
    world.pass_s(200);
    let register_s = world.servers[0].uplinks[0].0.as_secs();
    assert!(register_s > 1_020, "heard at {register_s}");
    assert_eq!(world.servers[0].updates()[0].0, 1_207);
}

/// Found by the seeded universe: each observation that was due asked for an Update of its own.
#[test]
fn ts_8_3_one_update_wakes_for_all_that_is_due() {
    let mut world = World::new(1, Binding::UQ);
    world.start();
    world.observe("/3303/0");
    world.observe("/3303/0/5700");
    world.pass_s(100);
    assert!(world.client.is_asleep());
    world.set("/3303/0/5700", Value::Float(30.0));
    assert_eq!(world.servers[0].updates().len(), 1);
    assert_eq!(world.servers[0].notified.len(), 2);
}
