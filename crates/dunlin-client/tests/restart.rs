//! What a Client keeps over a restart, and what it must not.

mod common;

use common::*;
use dunlin_client::{Client, Config, StateError};
use dunlin_lwm2m::operation::{Binding, ResponseCode};
use dunlin_lwm2m::{EndpointName, Value};

#[test]
fn what_servers_have_written_survives_and_it_registers_anew() {
    let mut world = World::registered();
    world.ask(&write_text("/1/0/1", "120"));
    world.ask(&write_text("/3/0/14", "+05:45"));
    world.ask(&attributes("/3303/0/5700", &["pmin=5", "gt=-1.5"]));
    world.ask(&create(3303, b"\x08\x07\x00"));
    world.ask(&delete("/3303/1"));
    world.observe("/3303/0/5700");
    world.restart(factory(1, Binding::U).build());
    assert!(world.servers[0].kinds().ends_with('R'));
    let register = world.servers[0].register(1);
    assert_eq!(register.lifetime_s, 120);
    let listed = String::from_utf8(register.payload()).unwrap();
    assert_eq!(listed, "</1/0>,</3/0>,</3303/0>,</3303/7>");
    assert_eq!(text(&world.ask(&read("/3/0/14"))), "+05:45");
    let found = world.ask(&discover("/3303/0/5700"));
    assert_eq!(text(&found), "</3303/0/5700>;pmin=5;gt=-1.5");
    world.set("/3303/0/5700", Value::Float(99.0));
    world.pass_s(10);
    assert!(
        world.servers[0].notified.is_empty(),
        "a new registration begins without observations"
    );
}

#[test]
fn values_of_every_kind_come_back_as_they_were() {
    let tree = || factory(1, Binding::U).build();
    let mut world = World::with(tree());
    world.start();
    for value in [0.1, -1e300, f64::from(f32::MAX), 1.0 / 3.0] {
        world.set("/3303/0/5700", Value::Float(value));
        world.set("/3/0/10", Value::Integer(i64::MIN + 7));
        world.ask(&write_text("/3/0/15", "Europe/Zürich"));
        let before = format!(
            "{:?}",
            world
                .client
                .tree()
                .slots()
                .map(|slot| &slot.instances)
                .collect::<Vec<_>>()
        );
        let state = world.state.clone().unwrap();
        let config = Config::new(EndpointName::new("x").unwrap());
        let mut other = Client::new(config, tree(), [1; 32]);
        other.restore(&state).unwrap();
        let after = format!(
            "{:?}",
            other
                .tree()
                .slots()
                .map(|slot| &slot.instances)
                .collect::<Vec<_>>()
        );
        assert_eq!(after, before);
    }
}

#[test]
fn nothing_is_kept_for_what_is_only_read_or_refused() {
    let mut world = World::registered();
    world.ask(&read("/3/0"));
    world.ask(&discover("/3"));
    world.observe("/3303/0/5700");
    world.ask(&write_text("/3/0/0", "x"));
    world.ask(&execute("/1/0/8"));
    assert_eq!(world.commits, 0);
}

#[test]
fn a_damaged_state_changes_nothing() {
    let mut world = World::registered();
    world.ask(&write_text("/3/0/14", "+05:45"));
    let state = world.state.clone().unwrap();
    let config = Config::new(EndpointName::new("x").unwrap());
    for end in 0..state.len() {
        let mut client = Client::new(config.clone(), factory(1, Binding::U).build(), [1; 32]);
        let before = format!("{:?}", client.tree());
        assert_eq!(client.restore(&state[..end]), Err(StateError::Damaged));
        assert_eq!(format!("{:?}", client.tree()), before);
    }
}

#[test]
fn any_bytes_for_a_state_leave_the_client_standing() {
    let mut world = World::registered();
    world.ask(&write_text("/3/0/14", "+05:45"));
    let state = world.state.clone().unwrap();
    let config = Config::new(EndpointName::new("x").unwrap());
    for at in 0..state.len() {
        for change in [1, 0x80, 0xff] {
            let mut bytes = state.clone();
            bytes[at] ^= change;
            let mut client = Client::new(config.clone(), factory(1, Binding::U).build(), [1; 32]);
            let _ = client.restore(&bytes);
            client.start(world.now);
            while !matches!(client.poll_output(), dunlin_client::Output::Timeout(_)) {}
        }
    }
}

#[test]
fn a_clock_that_a_server_has_set_is_not_believed_after_a_restart() {
    let mut world = World::registered();
    world.ask(&write_text("/3/0/13", "1000000000"));
    world.restart(factory(1, Binding::U).build());
    assert_eq!(text(&world.ask(&read("/3/0/13"))), "1767225600");
    assert_eq!(world.code(&read("/3/0/13")), ResponseCode::Content);
}
