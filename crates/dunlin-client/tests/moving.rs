//! A Client whose own address changes, or whose network goes and comes back (TS 1.0 §5.3.1).

mod common;

use std::net::SocketAddr;

use common::*;
use dunlin_client::{Credentials, Event, Factory};
use dunlin_lwm2m::operation::{Binding, ResponseCode};
use dunlin_lwm2m::{Registry, ShortServerId, Value};
use dunlin_transport::UplinkAnswer;

const KEY: &[u8] = b"0123456789abcdef";
const ELSEWHERE: ([u8; 4], u16) = ([127, 0, 0, 9], 41_000);

fn server() -> ShortServerId {
    ShortServerId::new(1).unwrap()
}

fn moves(world: &mut World) {
    world.at = SocketAddr::from(ELSEWHERE).into();
    world.client.address_changed(world.now, server());
    world.settle();
}

#[test]
fn ts_5_3_1_in_the_clear_a_new_address_means_a_new_registration() {
    let mut world = World::registered();
    world.observe("/3303/0/5700");
    moves(&mut world);
    assert_eq!(world.servers[0].kinds(), "RR");
    assert!(world.is_registered(0));
    // What was observed before, the Server observes anew (TS 1.0 §5.5.1); until then nothing is told.
    world.set("/3303/0/5700", Value::Float(99.0));
    assert!(world.servers[0].notified.is_empty());
    assert_eq!(text(&world.ask(&read("/3303/0/5700"))), "99");
}

#[test]
fn where_the_servers_are_is_said_for_each() {
    let world = World::registered();
    let ways: Vec<_> = world.client.ways().collect();
    assert_eq!(ways, [(server(), server_address(0))]);
}

#[test]
fn only_the_server_concerned_hears_of_it() {
    let mut world = World::new(2, Binding::U);
    world.start();
    world.client.address_changed(world.now, server());
    world.settle();
    assert_eq!(world.servers[0].kinds(), "RR");
    assert_eq!(world.servers[1].kinds(), "R");
}

#[test]
fn a_session_goes_on_from_the_new_address_with_an_update() {
    let mut factory = Factory::new(Registry::bundled()).unwrap();
    let credentials = Credentials::Psk {
        identity: "urn:me".into(),
        key: KEY.to_vec(),
    };
    let uri = format!("coaps://{}", server_address(0));
    factory
        .add_secured_server(&uri, &credentials, LIFETIME_S, Binding::U)
        .unwrap();
    let mut world = World::with(factory.build());
    let mut scripted = Scripted::secured(0, None);
    scripted.keys.insert(b"urn:me".to_vec(), KEY.to_vec());
    world.servers = vec![scripted];
    world.start();
    assert!(world.is_registered(0));
    moves(&mut world);
    assert_eq!(world.servers[0].kinds(), "RU");
    assert_eq!(world.servers[0].sessions.len(), 1, "it is the same session");
}

#[test]
fn a_sleeping_client_wakes_to_register_from_its_new_address() {
    let mut world = World::new(1, Binding::UQ);
    world.start();
    world.pass_s(100);
    assert!(world.client.is_asleep());
    moves(&mut world);
    assert_eq!(world.servers[0].kinds(), "RR");
}

#[test]
fn a_client_that_could_not_register_tries_at_once_when_the_network_is_back() {
    let mut world = World::new(1, Binding::U);
    world.cut = true;
    world.start();
    // Several attempts have failed, and the pause has grown.
    let long = |event: &Event| matches!(event, Event::RegistrationFailed { again_in_s, .. } if *again_in_s > 60);
    while !world.told().iter().any(long) {
        world.pass_s(1);
    }
    world.pass_s(2);
    world.cut = false;
    world.client.way_is_back(world.now, server());
    world.settle();
    assert!(world.is_registered(0));
}

#[test]
fn a_disabled_client_stays_away_wherever_it_is() {
    let mut world = World::registered();
    world.ask(&write_text("/1/0/5", "300"));
    world.ask(&execute("/1/0/4"));
    assert_eq!(world.servers[0].kinds(), "RD");
    moves(&mut world);
    world.client.way_is_back(world.now, server());
    world.settle();
    assert_eq!(world.servers[0].kinds(), "RD");
}

#[test]
fn rfc7252_5_9_3_4_a_pause_that_an_overloaded_server_asked_for_is_kept() {
    let mut world = World::new(1, Binding::U);
    world.servers[0].next_refusal = Some(UplinkAnswer::Refused {
        code: ResponseCode::ServiceUnavailable,
        diagnostic: "too many".into(),
        max_age_s: Some(120),
    });
    world.start();
    assert!(matches!(
        world.told()[..],
        [Event::RegistrationFailed { .. }]
    ));
    world.pass_s(30);
    world.client.way_is_back(world.now, server());
    world.settle();
    assert!(!world.is_registered(0));
    world.pass_s(120);
    assert!(world.is_registered(0));
}

#[test]
fn a_client_that_stops_does_not_register_again() {
    let mut world = World::registered();
    world.cut = true;
    world.client.stop(world.now);
    world.settle();
    world.cut = false;
    moves(&mut world);
    world.pass_s(100);
    assert!(world.client.is_idle());
    assert_eq!(world.servers[0].kinds().matches('R').count(), 1);
}
