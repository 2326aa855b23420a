//! Notification Storing When Disabled or Offline (`/1/x/6`, TS 1.0 §E.2, §5.5.2): what a Server misses, and what it
//! is told when it can be reached again.

mod common;

use common::*;
use dunlin_client::Event;
use dunlin_lwm2m::operation::{Operation, ResponseCode};
use dunlin_lwm2m::{ContentFormat, Registry, Timestamp, Value};

const TEMPERATURE: &str = "/3303/0/5700";

fn observing(format: ContentFormat) -> World {
    let mut world = World::registered();
    let observe = Operation::Observe {
        path: path(TEMPERATURE),
        accept: Some(format),
    };
    assert_eq!(world.code(&observe), ResponseCode::Content);
    world
}

fn set(world: &mut World, celsius: f64) {
    world.set(TEMPERATURE, Value::Float(celsius));
}

/// The values of the only notification since the last call, with how many seconds after the beginning of the test's
/// clock they were so.
fn notified(world: &mut World) -> Vec<(Option<i64>, f64)> {
    let mut all = world.servers[0].notified.drain(..);
    let (_, answer) = all.next().expect("a notification");
    assert!(all.next().is_none(), "one notification");
    let registry = Registry::bundled();
    let model = registry.of_enabler(dunlin_lwm2m::LwM2mVersion::V1_0);
    let definition = model
        .object(path(TEMPERATURE).object_id().unwrap())
        .unwrap();
    let at = path(TEMPERATURE);
    let decoded =
        dunlin_lwm2m::format::decode(answer.format, at, &answer.payload, &**definition).unwrap();
    let number = |node: &dunlin_lwm2m::Node| node.values(at)[0].1.as_number().unwrap();
    if decoded.history.is_empty() {
        return vec![(None, number(&decoded.node))];
    }
    let timed = decoded.history.iter().map(|timed| {
        let ms = match timed.at {
            Some(Timestamp::Unix { ms }) => Some(ms - BEGIN.0 as i64),
            _ => None,
        };
        (ms.map(|ms| ms / 1_000), number(&timed.node))
    });
    timed.collect()
}

fn registers(world: &World) -> usize {
    world.servers[0].kinds().matches('R').count()
}

/// Cuts the wire, lets values change, and mends it after so many seconds.
fn miss(world: &mut World, offline_s: u64) {
    world.cut = true;
    for celsius in [21.0, 22.0, 23.0] {
        set(world, celsius);
        world.pass_s(10);
    }
    world.pass_s(offline_s - 30);
    world.cut = false;
}

#[test]
fn ts_e_2_int_560_json_has_all_that_was_missed_in_order_and_with_times() {
    let mut world = observing(ContentFormat::JSON);
    miss(&mut world, 130);
    world.pass_s(60);
    assert_eq!(
        notified(&mut world),
        [(Some(0), 21.0), (Some(10), 22.0), (Some(20), 23.0)]
    );
    // An Update came first, and the observation lives on as before.
    assert_eq!(world.servers[0].kinds(), "RU");
    set(&mut world, 24.0);
    assert_eq!(notified(&mut world), [(None, 24.0)]);
}

#[test]
fn ts_e_2_int_560_tlv_and_text_have_the_newest_value() {
    for format in [ContentFormat::TLV, ContentFormat::TEXT] {
        let mut world = observing(format);
        miss(&mut world, 130);
        world.pass_s(60);
        assert_eq!(notified(&mut world), [(None, 23.0)]);
    }
}

#[test]
fn ts_e_2_a_server_that_is_away_longer_is_waited_for_within_the_lifetime() {
    let mut world = observing(ContentFormat::JSON);
    assert_eq!(
        world.code(&write_text("/1/0/1", "3000")),
        ResponseCode::Changed
    );
    world.pass_s(1);
    world.servers[0].uplinks.clear();
    world.told();
    miss(&mut world, 600);
    let failed = |event: &Event| matches!(event, Event::RegistrationFailed { .. });
    assert!(world.told().iter().any(failed), "the embedder hears of it");
    world.pass_s(120);
    assert_eq!(world.servers[0].kinds(), "U", "no new Register");
    let missed: Vec<f64> = notified(&mut world)
        .iter()
        .map(|(_, value)| *value)
        .collect();
    assert_eq!(missed, [21.0, 22.0, 23.0]);
}

#[test]
fn ts_5_3_when_the_lifetime_is_over_the_client_registers_anew_and_nothing_is_observed() {
    let mut world = observing(ContentFormat::JSON);
    miss(&mut world, 900);
    world.pass_s(700);
    assert_eq!(registers(&world), 2);
    set(&mut world, 30.0);
    assert!(world.servers[0].notified.is_empty());
}

#[test]
fn ts_e_2_without_storing_what_is_missed_is_missed() {
    let mut world = observing(ContentFormat::JSON);
    assert_eq!(
        world.code(&write_text("/1/0/6", "0")),
        ResponseCode::Changed
    );
    miss(&mut world, 130);
    world.pass_s(200);
    assert!(world.servers[0].notified.is_empty());
    let ended = |event: &Event| matches!(event, Event::ObservationEnded { .. });
    assert!(world.told().iter().any(ended));
}

#[test]
fn ts_e_2_disable_ends_what_is_observed_and_stores_nothing() {
    let mut world = observing(ContentFormat::JSON);
    world.ask(&write_text("/1/0/5", "60"));
    world.ask(&execute("/1/0/4"));
    set(&mut world, 21.0);
    world.pass_s(100);
    assert_eq!(registers(&world), 2);
    assert!(world.servers[0].notified.is_empty());
}

#[test]
fn ts_5_5_2_a_late_acknowledgement_is_one_and_only_the_newest_value_follows() {
    let mut world = observing(ContentFormat::JSON);
    world.cut = true;
    for celsius in [21.0, 22.0, 23.0] {
        set(&mut world, celsius);
    }
    world.cut = false;
    world.pass_s(10);
    let values = world.servers[0]
        .notified
        .iter()
        .map(|(_, answer)| text(answer).to_owned());
    let values: Vec<String> = values.collect();
    assert_eq!(values.len(), 2, "{values:?}");
    assert!(
        values[0].contains("21") && values[1].contains("23"),
        "{values:?}"
    );
    assert!(
        values.iter().all(|value| !value.contains("\"t\"")),
        "{values:?}"
    );
}

#[test]
fn ts_5_1_2_what_attributes_would_not_have_told_is_not_stored() {
    let mut world = observing(ContentFormat::JSON);
    world.ask(&attributes(TEMPERATURE, &["pmin=15", "st=2"]));
    world.pass_s(20);
    world.cut = true;
    for celsius in [25.0, 26.0, 28.0, 29.5, 31.0, 32.0] {
        set(&mut world, celsius);
        world.pass_s(10);
    }
    world.pass_s(80);
    world.cut = false;
    world.pass_s(60);
    let values: Vec<f64> = notified(&mut world)
        .iter()
        .map(|(_, value)| *value)
        .collect();
    // 26 and 29.5 are no step of 2 from the one before; the value of now closes the list.
    assert_eq!(values, [25.0, 28.0, 31.0, 32.0]);
}

#[test]
fn what_is_stored_is_bounded_and_the_newest_is_worth_the_most() {
    let mut world = observing(ContentFormat::JSON);
    world.cut = true;
    for number in 0..200 {
        set(&mut world, 30.0 + f64::from(number));
        world.pass(std::time::Duration::from_millis(100));
    }
    world.pass_s(110);
    world.cut = false;
    world.pass_s(60);
    let values: Vec<f64> = notified(&mut world)
        .iter()
        .map(|(_, value)| *value)
        .collect();
    assert_eq!(values.len(), 64);
    assert_eq!(values.last(), Some(&229.0));
    assert!(values.windows(2).all(|pair| pair[0] < pair[1]));
}
