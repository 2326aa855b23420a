//! Several Servers and the Access Control Object (TS 1.0 §7.3): 4.04 before 4.01 before 4.05.

mod common;

use common::*;
use dunlin_lwm2m::operation::{Binding, ResponseCode, WriteMode};
use dunlin_lwm2m::{ContentFormat, Instance, ObjectId, Resource, ResourceInstanceId, Value};

use ResponseCode::{
    BadRequest, Changed, Content, Created, Deleted, MethodNotAllowed, NotFound, Unauthorized,
};

const READ: i64 = 1;
const WRITE: i64 = 2;
const EXECUTE: i64 = 4;
const DELETE: i64 = 8;
const CREATE: i64 = 16;

/// An instance of Object 2: about `/object/instance`, owned by `owner`, with these entries.
fn control(id: u16, object: u16, instance: u16, owner: u16, entries: &[(u16, i64)]) -> Instance {
    let number = |value: u16| Value::Integer(i64::from(value));
    let entries = entries
        .iter()
        .map(|(server, rights)| (ResourceInstanceId(*server), Value::Integer(*rights)));
    Instance::new(id)
        .with(Resource::single(0, number(object)))
        .with(Resource::single(1, number(instance)))
        .with(Resource::multiple(2, entries))
        .with(Resource::single(3, number(owner)))
}

/// Two Servers: number 1 owns its account and thermometer 0, number 2 may read what 1 owns.
fn world() -> World {
    let mut factory = factory(2, Binding::U);
    for one in [
        control(0, 1, 0, 1, &[]),
        control(1, 1, 1, 2, &[]),
        control(2, 3, 0, 1, &[(0, READ)]),
        control(3, 3303, 0, 1, &[(2, READ | WRITE)]),
        control(4, 3303, u16::MAX, u16::MAX, &[(1, CREATE)]),
    ] {
        factory.add_instance(ObjectId::ACCESS_CONTROL, one).unwrap();
    }
    let mut world = World::with(factory.build());
    world.start();
    assert!(world.is_registered(0) && world.is_registered(1));
    world
}

#[test]
fn ts_5_3_1_it_registers_with_every_server_it_has_an_account_for() {
    let world = world();
    for server in 0..2 {
        let listed = String::from_utf8(world.servers[server].register(0).payload()).unwrap();
        assert!(
            listed.starts_with("</1/0>,</1/1>,</2/0>,</2/1>,"),
            "{listed}"
        );
    }
}

#[test]
fn ts_7_3_2_rights_by_owner_entry_and_default() {
    let mut world = world();
    for (server, operation, code) in [
        // The owner without an entry has all rights.
        (0, read("/3303/0/5700"), Content),
        (0, write_text("/1/0/2", "3"), Changed),
        (0, execute("/3303/0/5605"), Changed),
        // An entry of its own.
        (1, read("/3303/0/5700"), Content),
        (1, execute("/3303/0/5605"), Unauthorized),
        (1, delete("/3303/0"), Unauthorized),
        // The default entry.
        (1, read("/3/0/0"), Content),
        (1, write_text("/3/0/14", "+09:00"), Unauthorized),
        (1, execute("/3/0/4"), Unauthorized),
        // The account of another.
        (1, read("/1/0/1"), Unauthorized),
        (1, write_text("/1/0/1", "1"), Unauthorized),
        // Nobody's, for nobody.
        (0, read("/3303/1/5700"), Unauthorized),
        (1, read("/3303/1"), Unauthorized),
        // Discover needs no right, Write-Attributes that to read.
        (1, discover("/3303/1"), Content),
        (1, attributes("/3303", &["pmin=1"]), Changed),
        (1, attributes("/3303/0/5700", &["pmin=1"]), Changed),
        (1, attributes("/3303/1/5700", &["pmin=1"]), Unauthorized),
        // What is not there is said before what is not allowed.
        (1, read("/3303/9/5700"), NotFound),
        (1, read("/9"), NotFound),
        (1, delete("/3303/9"), NotFound),
        // And what is not allowed before what is not possible.
        (1, write_text("/3/0/0", "x"), Unauthorized),
        (0, write_text("/3/0/0", "x"), MethodNotAllowed),
        (0, delete("/3/0"), MethodNotAllowed),
        (0, read("/0/0/0"), Unauthorized),
    ] {
        assert_eq!(
            world.code_as(server, &operation),
            code,
            "{server} {operation:?}"
        );
    }
}

#[test]
fn ts_7_3_2_an_entry_of_its_own_limits_the_owner() {
    let mut world = world();
    let entry = write(
        "/2/3",
        WriteMode::Partial,
        ContentFormat::TLV,
        b"\x83\x02\x41\x01\x01",
    );
    assert_eq!(world.code_as(0, &entry), Changed);
    assert_eq!(world.code_as(0, &read("/3303/0/5700")), Content);
    assert_eq!(world.code_as(0, &execute("/3303/0/5605")), Unauthorized);
}

#[test]
fn ts_5_4_1_read_of_an_object_shows_the_instances_one_may_read() {
    let mut world = world();
    let first = world.ask_as(0, &read("/1"));
    let second = world.ask_as(1, &read("/1"));
    assert_eq!(
        (first.payload[1], second.payload[1]),
        (0, 1),
        "its own alone"
    );
    assert_eq!(world.ask_as(1, &read("/3303")).payload[..2], [0x08, 0]);
}

#[test]
fn ts_7_3_3_who_creates_owns() {
    let mut world = world();
    assert_eq!(
        world.code_as(1, &create(3303, b"\x08\x05\x00")),
        Unauthorized
    );
    assert_eq!(world.code_as(0, &create(3303, b"\x08\x05\x00")), Created);
    assert_eq!(world.code_as(0, &read("/3303/5")), Content);
    assert_eq!(world.code_as(1, &read("/3303/5")), Unauthorized);
    let tree = world.client.tree();
    let made = tree.instances(ObjectId::ACCESS_CONTROL).last().unwrap();
    assert_eq!(made, &control(5, 3303, 5, 1, &[]));
    assert_eq!(world.code_as(0, &delete("/3303/5")), Deleted);
    let controls = world.client.tree().instances(ObjectId::ACCESS_CONTROL);
    assert_eq!(controls.count(), 5, "and is gone with it");
}

#[test]
fn ts_7_3_the_owner_alone_writes_and_hands_over() {
    let mut world = world();
    let entry = |rights: u8| {
        let payload = [0x83, 0x02, 0x41, 0x02, rights];
        write("/2/3", WriteMode::Partial, ContentFormat::TLV, payload)
    };
    assert_eq!(world.code_as(1, &entry(15)), Unauthorized);
    assert_eq!(world.code_as(0, &entry((READ | EXECUTE) as u8)), Changed);
    assert_eq!(world.code_as(1, &execute("/3303/0/5605")), Changed);
    assert_eq!(world.code_as(1, &write_text("/1/1/2", "1")), Changed);
    for (server, operation) in [
        (0, write_text("/2/3/0", "7")),
        (0, write_text("/2/4/3", "1")),
        (0, delete("/2/3")),
        (0, create(2, b"")),
    ] {
        assert_eq!(
            world.code_as(server, &operation),
            Unauthorized,
            "{operation:?}"
        );
    }
    assert_eq!(world.code_as(1, &read("/2/3")), Content, "open to read");
    assert_eq!(world.code_as(0, &write_text("/2/3/3", "2")), Changed);
    assert_eq!(world.code_as(0, &read("/3303/0")), Unauthorized);
    assert_eq!(world.code_as(1, &write_text("/2/3/3", "70000")), BadRequest);
}

#[test]
fn ts_5_5_2_without_the_right_to_read_nothing_is_told_until_it_is_back() {
    let mut world = world();
    world.observe_as(1, "/3303/0/5700");
    let entry = |rights: i64| {
        let payload = [0x83, 0x02, 0x41, 0x02, rights as u8];
        write("/2/3", WriteMode::Partial, ContentFormat::TLV, payload)
    };
    assert_eq!(world.code_as(0, &entry(WRITE | DELETE)), Changed);
    world.set("/3303/0/5700", Value::Float(30.0));
    world.pass_s(100);
    assert!(world.servers[1].notified.is_empty());
    assert_eq!(world.code_as(0, &entry(READ)), Changed);
    world.set("/3303/0/5700", Value::Float(31.0));
    assert_eq!(world.servers[1].notified_texts().len(), 1);
}

#[test]
fn ts_5_5_2_neither_pmin_nor_pmax_tells_what_may_not_be_read_any_more() {
    let mut world = world();
    let queries = ["pmin=20", "pmax=50"];
    world.ask_as(1, &attributes("/3303/0/5700", &queries));
    world.observe_as(1, "/3303/0/5700");
    world.set("/3303/0/5700", Value::Float(30.0));
    let payload = [0x83, 0x02, 0x41, 0x02, WRITE as u8];
    let entry = write("/2/3", WriteMode::Partial, ContentFormat::TLV, payload);
    assert_eq!(world.code_as(0, &entry), Changed);
    world.pass_s(200);
    assert!(world.servers[1].notified.is_empty());
}

#[test]
fn attributes_and_observations_are_each_server_s_own() {
    let mut world = world();
    world.ask_as(0, &attributes("/3303/0/5700", &["pmin=60"]));
    world.observe_as(0, "/3303/0/5700");
    world.observe_as(1, "/3303/0/5700");
    world.set("/3303/0/5700", Value::Float(30.0));
    assert!(world.servers[0].notified.is_empty());
    assert_eq!(world.servers[1].notified.len(), 1);
    let other = world.ask_as(1, &discover("/3303/0/5700"));
    assert_eq!(text(&other), "</3303/0/5700>");
    world.pass_s(60);
    assert_eq!(world.servers[0].notified.len(), 1);
}

#[test]
fn one_server_that_is_away_does_not_keep_the_other() {
    let mut world = world();
    world.servers[0].refuse_next(NotFound);
    world.ask_as(0, &execute("/1/0/8"));
    assert_eq!(world.servers[0].kinds(), "RUR");
    assert_eq!(world.servers[1].kinds(), "R");
    world.ask_as(0, &write_text("/1/0/5", "50"));
    world.ask_as(0, &execute("/1/0/4"));
    assert!(!world.is_registered(0));
    assert_eq!(world.code_as(1, &read("/3/0/0")), Content);
}

#[test]
fn ts_7_3_1_the_only_server_has_all_rights_unless_an_instance_says_otherwise() {
    let mut factory = factory(1, Binding::U);
    let only = control(0, 3303, 0, u16::MAX, &[(1, READ)]);
    factory
        .add_instance(ObjectId::ACCESS_CONTROL, only)
        .unwrap();
    let mut world = World::with(factory.build());
    world.start();
    assert_eq!(world.code(&write_text("/3/0/14", "+01:00")), Changed);
    assert_eq!(world.code(&create(3303, b"\x08\x05\x00")), Created);
    assert_eq!(world.code(&read("/3303/0/5700")), Content);
    assert_eq!(world.code(&execute("/3303/0/5605")), Unauthorized);
}
