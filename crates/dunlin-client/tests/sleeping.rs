//! Queue mode as the Client lives it (TS 1.0 §8.3). A Client that sleeps really hears nothing and
//! says nothing: the world holds that no datagram leaves it.

mod common;

use common::*;
use dunlin_client::Event;
use dunlin_lwm2m::Value;
use dunlin_lwm2m::operation::{Binding, ResponseCode};

const TEMPERATURE: &str = "/3303/0/5700";

fn registered() -> World {
    let mut world = World::new(1, Binding::UQ);
    world.start();
    assert_eq!(world.servers[0].register(0).binding, Binding::UQ);
    world.news.clear();
    world
}

#[test]
fn ts_8_3_it_sleeps_93_seconds_after_its_last_message() {
    let mut world = registered();
    world.pass_s(10);
    world.ask(&read("/3/0/0"));
    world.pass_s(92);
    assert!(!world.client.is_asleep());
    assert_eq!(world.code(&read("/3/0/0")), ResponseCode::Content);
    world.pass_s(93);
    assert!(world.client.is_asleep());
    assert_eq!(world.told(), [Event::Asleep]);
}

#[test]
fn ts_8_3_asleep_it_does_not_hear_and_wakes_to_refresh() {
    let mut world = registered();
    world.pass_s(93);
    let sent = world.sent.len();
    assert!(world.try_ask(0, &read("/3/0/0")).is_none());
    world.pass_s(60);
    assert_eq!(world.sent.len(), sent, "not even an acknowledgement");
    assert!(world.client.is_asleep());
    world.give_up(0);
    // 207 seconds after the Register: the refresh.
    world.pass_s(54);
    assert!(!world.client.is_asleep());
    assert_eq!(world.servers[0].kinds(), "RU");
    assert_eq!(world.code(&read("/3/0/0")), ResponseCode::Content);
    world.pass_s(93);
    assert!(world.client.is_asleep());
}

#[test]
fn ts_8_3_with_something_to_tell_it_wakes_with_an_update_then_notifies_and_serves() {
    let mut world = registered();
    world.observe(TEMPERATURE);
    world.pass_s(93);
    assert!(world.client.is_asleep());
    world.told();
    world.sent.clear();
    world.set(TEMPERATURE, Value::Float(30.0));
    assert_eq!(world.servers[0].kinds(), "RU");
    assert_eq!(world.servers[0].notified_texts().len(), 1);
    let told = world.told();
    let order: Vec<_> = told
        .iter()
        .map(|event| match event {
            Event::Awake => "awake",
            Event::Updated { changed: false, .. } => "updated",
            Event::Notified { .. } => "notified",
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(order, ["awake", "updated", "notified"]);
    let codes: Vec<u8> = world.sent.iter().map(|(_, _, bytes)| bytes[1]).collect();
    assert_eq!(codes, [0x02, 0x45], "POST, then 2.05");
    // What was queued at the Server.
    assert_eq!(world.code(&read("/3/0/0")), ResponseCode::Content);
    world.pass_s(93);
    assert!(world.client.is_asleep());
}

#[test]
fn ts_8_3_what_changes_asleep_within_pmin_is_told_when_it_has_passed() {
    let mut world = registered();
    world.ask(&attributes(TEMPERATURE, &["pmin=120"]));
    world.observe(TEMPERATURE);
    let begin = world.now.instant.as_secs();
    world.pass_s(93);
    world.set(TEMPERATURE, Value::Float(30.0));
    assert!(world.client.is_asleep(), "it is not time yet");
    world.pass_s(27);
    assert_eq!(
        world.servers[0].notified_texts(),
        [(begin + 120, "30".into())]
    );
}

#[test]
fn pmax_wakes_a_sleeping_client() {
    let mut world = registered();
    world.ask(&attributes(TEMPERATURE, &["pmax=150"]));
    world.observe(TEMPERATURE);
    let begin = world.now.instant.as_secs();
    world.pass_s(150);
    assert_eq!(
        world.servers[0].notified_texts(),
        [(begin + 150, "20.5".into())]
    );
}

#[test]
fn several_observations_wake_it_once() {
    let mut world = registered();
    for target in [TEMPERATURE, "/3303/1/5700", "/3/0/9"] {
        world.observe(target);
    }
    world.pass_s(93);
    world.set(TEMPERATURE, Value::Float(30.0));
    world.set("/3303/1/5700", Value::Float(31.0));
    world.set("/3/0/9", Value::Integer(99));
    assert_eq!(world.servers[0].kinds(), "RU");
    assert_eq!(world.servers[0].notified.len(), 3);
}

#[test]
fn changes_that_nobody_observes_let_it_sleep() {
    let mut world = registered();
    world.pass_s(93);
    world.set(TEMPERATURE, Value::Float(30.0));
    assert!(world.client.is_asleep());
    assert_eq!(world.servers[0].kinds(), "R");
}

#[test]
fn it_does_not_sleep_while_an_answer_is_awaited() {
    let mut world = registered();
    world.observe(TEMPERATURE);
    world.cut = true;
    world.set(TEMPERATURE, Value::Float(30.0));
    world.pass_s(60);
    assert!(!world.client.is_asleep(), "it repeats its notification");
}

#[test]
fn quirk_56_leaving_queue_mode_is_a_changed_binding() {
    let mut world = registered();
    world.ask(&write_text("/1/0/7", "U"));
    assert_eq!(world.servers[0].updates()[0].1.binding, Some(Binding::U));
    world.pass_s(150);
    assert!(!world.client.is_asleep());
    world.ask(&write_text("/1/0/7", "UQ"));
    world.pass_s(93);
    assert!(world.client.is_asleep());
}

#[test]
fn a_shorter_window_is_kept_to() {
    let tree = factory(1, Binding::UQ).build();
    let mut world = World::configured(tree, |config| {
        config.awake_window = std::time::Duration::from_secs(8);
    });
    world.start();
    world.pass_s(8);
    assert!(world.client.is_asleep());
}

#[test]
fn the_embedder_wakes_it_with_an_update() {
    let mut world = registered();
    world.pass_s(93);
    world.client.update(world.now);
    world.settle();
    assert!(!world.client.is_asleep());
    assert_eq!(world.servers[0].kinds(), "RU");
}

#[test]
fn a_sleeping_client_that_stops_wakes_to_leave() {
    let mut world = registered();
    world.pass_s(93);
    world.client.stop(world.now);
    world.settle();
    assert_eq!(world.servers[0].kinds(), "RD");
    assert!(world.client.is_idle());
}

#[test]
fn with_one_server_that_wants_it_awake_it_stays_awake() {
    let mut world = World::new(2, Binding::UQ);
    world
        .client
        .set(world.now, path("/1/1/7"), Value::String("U".into()))
        .unwrap();
    world.start();
    world.pass_s(500);
    assert!(!world.client.is_asleep());
}
