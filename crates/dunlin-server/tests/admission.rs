//! What a Server does when there is too much: a Client that floods, and a storm of Registers.

mod common;

use std::time::Duration;

use common::{Device, World, name};
use dunlin_server::{LiveEvent, ServerConfig};
use dunlin_transport::Budget;
use dunlin_transport::coap::stats::Drop;
use dunlin_transport::coap::{Code, MessageType};

fn world(burst: u32, per_second: u32) -> World {
    World::with(ServerConfig {
        budget: Some(Budget { burst, per_second }),
        ..ServerConfig::default()
    })
}

#[test]
fn a_client_that_floods_is_held_to_its_budget_and_named_and_its_neighbours_are_not_slowed() {
    let mut world = world(20, 10);
    let mut rogue = Device::new("rogue", 4000);
    let mut lamp = Device::new("lamp", 4001);
    rogue.register(&mut world, &["lt=3600"]);
    lamp.register(&mut world, &["lt=600"]);
    world.pass_s(10);
    // A thousand Updates a second for ten seconds; every second the neighbour says one.
    let (mut served, mut refused) = (0, 0);
    let location = rogue.location.clone();
    let location: Vec<&str> = location.iter().map(String::as_str).collect();
    for round in 0..10_000 {
        rogue.request(&mut world, Code::POST, &location, &[], "");
        world.pass(Duration::from_millis(1));
        for answer in rogue.inbox(&mut world) {
            match answer.code {
                Code::CHANGED => served += 1,
                Code::SERVICE_UNAVAILABLE => {
                    refused += 1;
                    assert_eq!(answer.message_type, MessageType::Acknowledgement);
                    assert_eq!(answer.options.view().max_age_s(), Some(2));
                }
                other => panic!("{other}"),
            }
        }
        if round % 1_000 == 999 {
            assert_eq!(lamp.update(&mut world, &[], "").code, Code::CHANGED);
        }
    }
    assert!(
        (110..=120).contains(&served),
        "{served}: a burst of 20, and 10 a second"
    );
    assert!((9..=10).contains(&refused), "{refused}: once a second");
    let dropped = world.server.transport().stats().dropped(Drop::OverBudget);
    assert_eq!(dropped, 10_000 - served);
    // It is named once, and shown with what was dropped.
    let named: Vec<_> = world
        .live
        .iter()
        .filter_map(|event| match event {
            LiveEvent::OverBudget { endpoint, .. } => Some(endpoint.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(named, ["rogue"]);
    let over = |world: &World, of| {
        world
            .server
            .client(world.now, &name(of))
            .expect("there")
            .over_budget
    };
    assert_eq!(
        over(&world, "rogue").map(|over| over.dropped),
        Some(dropped)
    );
    assert_eq!(over(&world, "lamp"), None);
    // It has lost nothing for later: after a while it is a Client like any other.
    world.pass_s(30);
    assert_eq!(rogue.update(&mut world, &[], "").code, Code::CHANGED);
    world.pass_s(600);
    assert_eq!(over(&world, "rogue"), None);
}

#[test]
fn a_stranger_that_floods_is_a_knock() {
    let mut world = world(5, 1);
    let stranger = Device::new("stranger", 4000);
    for _ in 0..20 {
        let bytes = stranger.encode(Code::GET, &["rd"]);
        world.receive(&stranger.address, &bytes);
    }
    let knocks = world.live.iter().filter(|event| {
        matches!(event, LiveEvent::Refused { endpoint: None, reason, .. } if reason.contains("than one Client may send"))
    });
    assert_eq!(knocks.count(), 1);
}

#[test]
fn what_answers_the_server_costs_a_client_little() {
    let mut world = world(4, 1);
    let mut lamp = Device::new("lamp", 4000);
    lamp.register(&mut world, &["lt=600"]);
    world.pass_s(10);
    for _ in 0..100 {
        world.receive(&lamp.address, &[0x60, 0, 0, 1]);
    }
    assert_eq!(lamp.update(&mut world, &[], "").code, Code::CHANGED);
}
