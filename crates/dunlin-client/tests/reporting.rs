//! Information reporting as a conversation: when a value is told, and when not (TS 1.0 §5.1.2, §5.5).

mod common;

use common::*;
use dunlin_client::Event;
use dunlin_lwm2m::operation::{Binding, Operation, ResponseCode};
use dunlin_lwm2m::{ContentFormat, ObjectId, Resource, ResourceInstanceId, ResourceValue, Value};
use dunlin_transport::coap::{Code, MessageType};
use dunlin_transport::{Carriage, Event as Heard};

const TEMPERATURE: &str = "/3303/0/5700";

fn warm(world: &mut World, value: f64) {
    world.set(TEMPERATURE, Value::Float(value));
}

fn battery(world: &mut World, level: i64) {
    world.set("/3/0/9", Value::Integer(level));
}

/// What was told since the last call, as text.
fn told(world: &mut World) -> Vec<String> {
    let texts = world.servers[0].notified_texts();
    texts.into_iter().map(|(_, text)| text).collect()
}

#[test]
fn ts_5_5_1_observe_answers_with_the_value_and_every_change_is_told() {
    let mut world = World::registered();
    let path = path(TEMPERATURE);
    let answer = world.ask(&Operation::Observe { path, accept: None });
    assert_eq!(answer.code, Ok(ResponseCode::Content));
    assert_eq!(text(&answer), "20.5");
    warm(&mut world, 21.0);
    warm(&mut world, 21.5);
    assert_eq!(told(&mut world), ["21", "21.5"]);
    warm(&mut world, 21.5);
    assert!(told(&mut world).is_empty(), "the same again is no change");
    let notified = |event: &&Event| matches!(event, Event::Notified { .. });
    assert_eq!(world.told().iter().filter(notified).count(), 2);
}

#[test]
fn rfc7641_4_2_notifications_keep_the_format_of_the_first_answer() {
    let mut world = World::registered();
    let accept = Some(ContentFormat::JSON);
    let path = path(TEMPERATURE);
    world.ask(&Operation::Observe { path, accept });
    warm(&mut world, 21.0);
    let (_, answer) = &world.servers[0].notified[0];
    assert_eq!(answer.format, Some(ContentFormat::JSON));
    assert_eq!(text(answer), r#"{"bn":"/3303/0/5700","e":[{"v":21}]}"#);
}

#[test]
fn ts_5_5_2_an_instance_and_an_object_are_told_whole() {
    let mut world = World::registered();
    world.observe("/3303/0");
    world.observe("/3303");
    warm(&mut world, 21.0);
    let sizes: Vec<usize> = world.servers[0]
        .notified
        .iter()
        .map(|(_, answer)| answer.payload.len())
        .collect();
    // The extremes have come with the first value that was set.
    let instance = 4 * 7 - 1;
    assert_eq!(sizes, [instance, 3 + instance + 3 + 13]);
}

#[test]
fn ts_5_5_2_instances_that_come_and_go_are_told_to_who_observes_the_object() {
    let mut world = World::registered();
    world.observe("/3303");
    world.ask(&create(3303, b"\x08\x07\x00"));
    assert_eq!(world.servers[0].notified.len(), 1);
    world.ask(&delete("/3303/7"));
    assert_eq!(world.servers[0].notified.len(), 2);
}

#[test]
fn rfc7641_4_2_what_is_deleted_is_told_as_an_error_that_ends_the_observation() {
    let mut world = World::registered();
    world.observe("/3303/1/5700");
    world.ask(&delete("/3303/1"));
    let codes: Vec<_> = world.servers[0]
        .notified
        .iter()
        .map(|(_, answer)| answer.code)
        .collect();
    assert_eq!(codes, [Ok(ResponseCode::NotFound)]);
    assert!(
        world
            .told()
            .iter()
            .any(|event| matches!(event, Event::ObservationEnded { .. }))
    );
    world.ask(&create(3303, b"\x08\x01\x00"));
    world.set("/3303/1/5700", Value::Float(3.0));
    assert_eq!(world.servers[0].notified.len(), 1);
}

#[test]
fn what_a_server_writes_is_told_to_it_too() {
    let mut world = World::registered();
    world.observe("/3/0/14");
    world.ask(&write_text("/3/0/14", "+03:00"));
    assert_eq!(told(&mut world), ["+03:00"]);
}

#[test]
fn ts_8_5_observe_refusals_leave_no_observation() {
    let mut world = World::registered();
    for (target, code) in [
        ("/0/0", ResponseCode::Unauthorized),
        ("/9", ResponseCode::NotFound),
        ("/3/0/1", ResponseCode::NotFound),
        ("/3/0/4", ResponseCode::MethodNotAllowed),
    ] {
        let path = path(target);
        let answer = world.ask(&Operation::Observe { path, accept: None });
        assert_eq!((answer.code, answer.observation), (Ok(code), None));
    }
    let accept = Some(ContentFormat(999));
    let path = path(TEMPERATURE);
    let answer = world.ask(&Operation::Observe { path, accept });
    assert_eq!(answer.code, Ok(ResponseCode::NotAcceptable));
    warm(&mut world, 21.0);
    assert!(world.servers[0].notified.is_empty());
}

#[test]
fn ts_5_1_2_the_timing_of_the_standard_s_example() {
    let mut world = World::registered();
    world.ask(&attributes("/3/0/9", &["pmin=10", "pmax=60"]));
    world.observe("/3/0/9");
    let begin = world.now.instant.as_secs();
    world.pass_s(5);
    battery(&mut world, 87);
    world.pass_s(5);
    world.pass_s(40);
    battery(&mut world, 76);
    world.pass_s(60);
    let texts = world.servers[0].notified_texts();
    let told: Vec<(u64, &str)> = texts
        .iter()
        .map(|(at, text)| (at - begin, text.as_str()))
        .collect();
    assert_eq!(told, [(10, "87"), (50, "76"), (110, "76")]);
}

#[test]
fn ts_5_1_2_changes_within_pmin_are_told_once_and_as_they_are_then() {
    let mut world = World::registered();
    world.ask(&attributes("/3/0/9", &["pmin=10"]));
    world.observe("/3/0/9");
    for level in [50, 60, 70, 20] {
        battery(&mut world, level);
        world.pass_s(2);
    }
    assert!(told(&mut world).is_empty());
    world.pass_s(2);
    assert_eq!(
        told(&mut world),
        ["20"],
        "due, though it is back where it was"
    );
    world.pass_s(100);
    assert!(told(&mut world).is_empty());
}

#[test]
fn ts_5_1_2_the_conditions_of_the_standard_s_examples() {
    for (queries, steps) in [
        (
            &["gt=45", "st=10"][..],
            &[
                (20, 35, true),
                (45, 50, true),
                (50, 40, true),
                (35, 20, true),
                (20, 29, false),
            ][..],
        ),
        (
            &["lt=20", "gt=85", "st=10"],
            &[
                (17, 24, true),
                (75, 90, true),
                (50, 10, true),
                (87, 99, true),
                (30, 39, false),
            ],
        ),
    ] {
        for (from, to, is_told) in steps {
            let mut world = World::registered();
            battery(&mut world, *from);
            assert_eq!(
                world.code(&attributes("/3/0/9", queries)),
                ResponseCode::Changed
            );
            world.observe("/3/0/9");
            battery(&mut world, *to);
            assert_eq!(
                told(&mut world).len(),
                usize::from(*is_told),
                "{from} -> {to}"
            );
        }
    }
}

#[test]
fn ts_5_1_2_a_threshold_is_crossed_in_both_directions() {
    for (query, first, values, expected) in [
        ("gt=50", 40.0, [55.0, 60.0, 45.0], ["55", "45"]),
        ("lt=10", 20.0, [5.0, 1.0, 15.0], ["5", "15"]),
    ] {
        let mut world = World::registered();
        warm(&mut world, first);
        let written = world.code(&attributes("/3303/0/5700", &[query]));
        assert_eq!(written, ResponseCode::Changed);
        world.observe("/3303/0/5700");
        values.into_iter().for_each(|value| warm(&mut world, value));
        assert_eq!(told(&mut world), expected, "{query}");
    }
}

#[test]
fn ts_5_1_2_a_step_is_measured_from_what_was_told_last() {
    let mut world = World::registered();
    world.ask(&attributes("/3/0/9", &["st=10"]));
    world.observe("/3/0/9");
    for level in [25, 29, 30, 35, 39, 40] {
        battery(&mut world, level);
    }
    assert_eq!(told(&mut world), ["30", "40"]);
}

#[test]
fn ts_5_1_2_pmax_below_pmin_is_passed_over() {
    let mut world = World::registered();
    world.ask(&attributes("/3/0/9", &["pmin=30", "pmax=10"]));
    world.observe("/3/0/9");
    world.pass_s(100);
    assert!(told(&mut world).is_empty());
}

#[test]
fn ts_5_1_2_pmax_like_pmin_is_a_period() {
    let mut world = World::registered();
    world.ask(&attributes("/3/0/9", &["pmin=10", "pmax=10"]));
    world.observe("/3/0/9");
    world.pass_s(30);
    assert_eq!(told(&mut world).len(), 3);
}

#[test]
fn ts_e_2_the_account_s_periods_are_the_defaults() {
    let mut world = World::registered();
    world.ask(&write_text("/1/0/2", "5"));
    world.ask(&write_text("/1/0/3", "20"));
    world.observe("/3/0/9");
    battery(&mut world, 50);
    world.pass_s(4);
    assert!(told(&mut world).is_empty());
    world.pass_s(1);
    assert_eq!(told(&mut world), ["50"]);
    world.pass_s(20);
    assert_eq!(told(&mut world), ["50"]);
    world.ask(&attributes("/3/0/9", &["pmin=0", "pmax=3"]));
    world.pass_s(3);
    assert_eq!(told(&mut world), ["50"], "its own attributes are nearer");
}

#[test]
fn ts_5_1_1_levels_above_are_inherited_and_below_are_not() {
    let mut world = World::registered();
    world.ask(&attributes("/3303", &["pmax=50"]));
    world.ask(&attributes("/3303/0/5700", &["pmax=5"]));
    world.observe("/3303/0");
    world.pass_s(49);
    assert!(world.servers[0].notified.is_empty());
    world.pass_s(1);
    assert_eq!(world.servers[0].notified.len(), 1);
}

#[test]
fn ts_5_1_2_attributes_written_during_an_observation_count_at_once() {
    let mut world = World::registered();
    world.observe("/3/0/9");
    world.pass_s(30);
    world.ask(&attributes("/3/0/9", &["pmax=40"]));
    world.pass_s(10);
    assert_eq!(told(&mut world), ["20"]);
}

#[test]
fn rfc7641_3_6_a_reset_ends_the_observation() {
    let mut world = World::registered();
    world.observe(TEMPERATURE);
    world.servers[0].resets = true;
    warm(&mut world, 21.0);
    assert!(
        matches!(world.told().last(), Some(Event::ObservationEnded { path: ended, .. }) if *ended == path(TEMPERATURE))
    );
    warm(&mut world, 22.0);
    assert_eq!(world.servers[0].notified.len(), 1);
}

#[test]
fn ts_5_5_3_observe_1_answers_with_the_value_and_ends_the_observation() {
    let mut world = World::registered();
    let relation = world.observe(TEMPERATURE);
    let now = world.now;
    let asked = world.servers[0]
        .transport
        .cancel_by_observe(now, relation.id, Carriage::default())
        .unwrap();
    world.settle();
    let answered = world.servers[0].heard.iter().find_map(|event| match event {
        Heard::Answered {
            request, answer, ..
        } if *request == asked => Some(answer.clone()),
        _ => None,
    });
    let answer = answered.expect("it is answered");
    assert_eq!(answer.code, Ok(ResponseCode::Content));
    assert_eq!(text(&answer), "20.5");
    warm(&mut world, 21.0);
    assert!(world.servers[0].notified.is_empty());
    assert!(
        world
            .told()
            .iter()
            .any(|event| matches!(event, Event::ObservationEnded { .. }))
    );
}

#[test]
fn ts_5_5_3_observe_1_with_another_token_cancels_by_path() {
    let mut world = World::registered();
    world.observe(TEMPERATURE);
    let path = path(TEMPERATURE);
    let answer = world.ask(&Operation::CancelObservation { path });
    assert_eq!(answer.code, Ok(ResponseCode::Content));
    assert!(answer.observation.is_none());
    warm(&mut world, 21.0);
    assert!(world.servers[0].notified.is_empty());
}

#[test]
fn what_changes_while_a_notification_is_under_way_is_told_after_it() {
    let mut world = World::registered();
    world.observe(TEMPERATURE);
    world.cut = true;
    warm(&mut world, 21.0);
    for value in [22.0, 23.0, 24.0] {
        warm(&mut world, value);
    }
    world.cut = false;
    world.pass_s(4);
    assert_eq!(told(&mut world), ["21", "24"]);
}

#[test]
fn a_value_with_a_clock_in_it_does_not_tell_itself() {
    let mut world = World::registered();
    world.observe("/3/0");
    world.pass_s(30);
    battery(&mut world, 50);
    world.pass_s(60);
    assert_eq!(world.servers[0].notified.len(), 1);
}

#[test]
fn ts_e_2_with_storing_the_newest_value_is_told_once_the_server_is_back() {
    let mut world = World::registered();
    world.observe(TEMPERATURE);
    world.cut = true;
    warm(&mut world, 21.0);
    world.pass_s(60);
    warm(&mut world, 22.0);
    world.pass_s(33);
    let gone = |event: &Event| matches!(event, Event::ObservationEnded { .. });
    assert!(!world.told().iter().any(gone));
    world.cut = false;
    world.pass_s(30);
    assert_eq!(told(&mut world), ["22"]);
    assert_eq!(
        world.servers[0].kinds(),
        "RU",
        "an Update shows that it is back"
    );
    warm(&mut world, 23.0);
    assert_eq!(told(&mut world), ["23"]);
}

#[test]
fn ts_e_2_without_storing_a_lost_notification_ends_the_observation() {
    let mut world = World::registered();
    world.ask(&write_text("/1/0/6", "0"));
    world.observe(TEMPERATURE);
    world.cut = true;
    warm(&mut world, 21.0);
    world.pass_s(93);
    let gone = |event: &Event| matches!(event, Event::ObservationEnded { .. });
    assert!(world.told().iter().any(gone));
    world.cut = false;
    world.pass_s(30);
    assert!(told(&mut world).is_empty());
}

#[test]
fn rfc7641_4_5_without_acknowledgements_one_a_day_is_confirmable() {
    let tree = factory(1, Binding::U).build();
    let mut world = World::configured(tree, |config| config.confirmable_notifications = false);
    world.start();
    world.ask(&write_text("/1/0/1", "100000000"));
    world.observe(TEMPERATURE);
    let kinds = |world: &World| -> Vec<MessageType> {
        let sent = world.sent.iter().map(|(_, _, bytes)| Got::read(bytes));
        sent.filter(|got| got.code == Code::CONTENT && got.options.view().observe().is_some())
            .map(|got| got.message_type)
            .collect()
    };
    warm(&mut world, 21.0);
    warm(&mut world, 22.0);
    world.pass_s(86_400);
    warm(&mut world, 23.0);
    warm(&mut world, 24.0);
    use MessageType::{Acknowledgement, Confirmable, NonConfirmable};
    assert_eq!(
        kinds(&world),
        [
            Acknowledgement,
            NonConfirmable,
            NonConfirmable,
            Confirmable,
            NonConfirmable
        ]
    );
    assert_eq!(told(&mut world), ["21", "22", "23", "24"]);
}

#[test]
fn rfc7641_4_1_the_same_token_asks_anew_and_is_told_once() {
    let mut world = World::registered();
    world.observe(TEMPERATURE);
    let first = world.sent.last().unwrap().2.clone();
    let first = Got::read(&first);
    let mut options = dunlin_transport::coap::OptionList::new();
    options.push_uint(dunlin_transport::coap::OptionNumber::OBSERVE, 0);
    for segment in ["3303", "0", "5700"] {
        options.push(
            dunlin_transport::coap::OptionNumber::URI_PATH,
            segment.as_bytes(),
        );
    }
    let again = dunlin_transport::coap::Message {
        message_type: MessageType::Confirmable,
        code: Code::GET,
        message_id: dunlin_transport::coap::MessageId(9_999),
        token: first.token,
        options: options.view(),
        payload: b"",
    };
    assert_eq!(world.raw(&again).len(), 1);
    warm(&mut world, 21.0);
    assert_eq!(told(&mut world), ["21"]);
}

#[test]
fn observations_are_bounded() {
    let mut world = World::registered();
    let path = path(TEMPERATURE);
    let observe = Operation::Observe { path, accept: None };
    let mut refused = 0;
    for _ in 0..dunlin_client::OBSERVATIONS_MAX + 10 {
        refused += usize::from(world.code(&observe) == ResponseCode::InternalServerError);
    }
    assert!(refused >= 10);
}

#[test]
fn rfc7959_a_large_object_is_told_in_blocks() {
    let mut factory = factory(1, Binding::U);
    for id in 2..100 {
        let sensor = dunlin_lwm2m::Instance::new(id)
            .with(Resource::single(5700, Value::Float(f64::from(id))))
            .with(Resource::single(5701, Value::String("Cel".into())));
        factory.add_instance(ObjectId(3303), sensor).unwrap();
    }
    let mut world = World::with(factory.build());
    world.start();
    world.observe("/3303");
    warm(&mut world, 21.0);
    let (_, answer) = world.servers[0].notified.last().expect("it is told");
    assert!(answer.payload.len() > 1_500, "{}", answer.payload.len());
}

#[test]
fn a_multiple_resource_is_told_whole() {
    let mut world = World::registered();
    world.observe("/3/0/11");
    let errors = [(0, 1), (1, 7)].map(|(id, code)| (ResourceInstanceId(id), Value::Integer(code)));
    world.set(
        "/3/0/11",
        ResourceValue::Multiple(errors.into_iter().collect()),
    );
    let payload = &world.servers[0].notified[0].1.payload;
    assert_eq!(payload, b"\x86\x0b\x41\x00\x01\x41\x01\x07");
}
