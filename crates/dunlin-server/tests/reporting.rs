//! Information reporting: observations over notifications, restarts and registrations;
//! TS 1.0 §5.5.

mod common;

use common::{Device, Got, World, name, path};
use dunlin_lwm2m::{ContentFormat, Node, Resource, Value};
use dunlin_server::change::Departure;
use dunlin_server::command::{CancelBy, Outcome};
use dunlin_server::event::ObservationEnd;
use dunlin_server::{Command, EventKind, Refused, Settings};
use dunlin_transport::coap::{Code, MessageType, Token};

fn observe(target: &str) -> Command {
    Command::Observe {
        path: path(target),
        renew: true,
    }
}

fn cancel(target: &str, by: CancelBy) -> Command {
    Command::Cancel {
        path: path(target),
        by,
    }
}

/// A device whose battery level is observed, and the token of that.
fn observed(world: &mut World) -> (Device, Token) {
    let mut device = Device::new("lamp", 4000);
    device.register(world, &[]);
    world.ask("lamp", observe("/3/0/9"));
    let token = agree(world, &device, "100");
    world.told();
    (device, token)
}

/// Agrees to the observation that was just asked for.
fn agree(world: &mut World, device: &Device, value: &str) -> Token {
    let asked = device.got(world);
    assert_eq!(
        (asked.code, asked.observe()),
        (Code::GET, Some(0)),
        "{asked:?}"
    );
    let text = Some(ContentFormat::TEXT);
    device.respond_observed(
        world,
        &asked,
        Code::CONTENT,
        Some(1),
        text,
        value.as_bytes(),
    );
    asked.token
}

fn level(world: &World) -> Option<(i64, bool)> {
    match world.last_event() {
        EventKind::Notified {
            path: at,
            values,
            late,
        } => {
            assert_eq!(*at, path("/3/0/9"));
            match &values.last()?.node {
                Node::Resource(Resource { id, .. }) if id.0 != 9 => None,
                Node::Resource(resource) => Some((resource.value()?.as_integer()?, *late)),
                _ => None,
            }
        }
        _ => None,
    }
}

fn is_reset(got: &Got) -> bool {
    got.message_type == MessageType::Reset
}

#[test]
fn ts_5_5_1_an_observation_is_durable_when_it_is_agreed() {
    let mut world = World::new();
    let mut device = Device::new("lamp", 4000);
    device.register(&mut world, &[]);
    let request = world.ask("lamp", observe("/3/0/9"));
    assert!(world.durable.observations.is_empty());
    let token = agree(&mut world, &device, "100");
    let stored = &world.durable.observations[&(name("lamp"), path("/3/0/9"))];
    assert_eq!(stored.token, token);
    assert_eq!(
        stored.established,
        Some(world.durable.registrations[&name("lamp")].id)
    );
    match world.outcome(request) {
        Some(Outcome::Answered(answered)) => assert_eq!(answered.observation, Some(token)),
        other => panic!("{other:?}"),
    }
    let again = world.server.request(
        world.now,
        &name("lamp"),
        observe("/3/0/9"),
        Settings::default(),
    );
    assert_eq!(
        again,
        Err(Refused::AlreadyObserved {
            path: path("/3/0/9")
        })
    );
}

#[test]
fn ts_5_5_2_a_notification_is_told_and_acknowledged_when_durable() {
    let mut world = World::new();
    let (mut device, token) = observed(&mut world);
    device.notify(&mut world, token, Code::CONTENT, Some(2), "99");
    assert_eq!(level(&world), Some((99, false)));
    let acknowledged = device.got(&mut world);
    assert_eq!(
        (acknowledged.message_type, acknowledged.code),
        (MessageType::Acknowledgement, Code::EMPTY)
    );
    assert_eq!(world.barrier, world.commits, "not before it is stored");
    let stored = &world.durable.observations[&(name("lamp"), path("/3/0/9"))];
    assert_eq!(stored.last.unwrap().sequence, 2);
}

#[test]
fn rfc7641_3_4_a_late_notification_is_history() {
    let mut world = World::new();
    let (mut device, token) = observed(&mut world);
    device.notify(&mut world, token, Code::CONTENT, Some(5), "50");
    device.notify(&mut world, token, Code::CONTENT, Some(4), "60");
    assert_eq!(level(&world), Some((60, true)));
    assert_eq!(device.inbox(&mut world).len(), 2, "both are acknowledged");
    let view = world
        .server
        .observation(&name("lamp"), &path("/3/0/9"))
        .unwrap();
    assert_eq!(view.last.unwrap().sequence, 5);
}

#[test]
fn decisions_1_a_retransmission_over_a_restart_is_taken_once() {
    let mut world = World::new();
    let (mut device, token) = observed(&mut world);
    device.notify(&mut world, token, Code::CONTENT, Some(2), "99");
    world.restart();
    world.told();
    device.notify(&mut world, token, Code::CONTENT, Some(2), "99");
    assert_eq!(
        device.got(&mut world).message_type,
        MessageType::Acknowledgement
    );
    assert_eq!(world.told(), Vec::<&str>::new());
    device.notify(&mut world, token, Code::CONTENT, Some(3), "98");
    assert_eq!(level(&world), Some((98, false)));
}

#[test]
fn quirk_75_an_observation_outlives_our_restart_and_unknown_ones_are_reset() {
    let mut world = World::new();
    let (mut device, token) = observed(&mut world);
    world.restart();
    assert!(
        world
            .server
            .observation(&name("lamp"), &path("/3/0/9"))
            .unwrap()
            .established
    );
    device.notify(&mut world, token, Code::CONTENT, Some(9), "42");
    assert_eq!(level(&world), Some((42, false)));
    device.inbox(&mut world);
    let stray = Token::new(&[1, 2, 3, 4]).unwrap();
    device.notify(&mut world, stray, Code::CONTENT, Some(9), "42");
    assert!(is_reset(&device.got(&mut world)));
}

#[test]
fn ts_5_5_1_observations_are_made_again_after_a_register() {
    let mut world = World::new();
    let (mut device, old) = observed(&mut world);
    device.register(&mut world, &[]);
    assert!(
        !world
            .server
            .observation(&name("lamp"), &path("/3/0/9"))
            .unwrap()
            .established
    );
    let new = agree(&mut world, &device, "77");
    assert_eq!(level(&world), Some((77, false)));
    assert!(
        world
            .server
            .observation(&name("lamp"), &path("/3/0/9"))
            .unwrap()
            .established
    );
    device.notify(&mut world, new, Code::CONTENT, Some(2), "76");
    assert_eq!(level(&world), Some((76, false)));
    device.inbox(&mut world);
    if old != new {
        device.notify(&mut world, old, Code::CONTENT, Some(3), "1");
        assert!(is_reset(&device.got(&mut world)));
    }
}

#[test]
fn an_observation_waits_for_a_client_that_has_gone() {
    for end in [Departure::Deregistered, Departure::Expired] {
        let mut world = World::new();
        let (mut device, _) = observed(&mut world);
        match end {
            Departure::Deregistered => drop(device.deregister(&mut world)),
            _ => world.pass_s(3700),
        }
        assert_eq!(world.server.observations(&name("lamp")).len(), 1);
        world.restart();
        assert_eq!(world.server.observations(&name("lamp")).len(), 1);
        device.register(&mut world, &[]);
        agree(&mut world, &device, "5");
        assert_eq!(level(&world), Some((5, false)));
    }
}

#[test]
fn an_observation_that_is_not_to_be_renewed_ends_with_its_registration() {
    let mut world = World::new();
    let mut device = Device::new("lamp", 4000);
    device.register(&mut world, &[]);
    world.ask(
        "lamp",
        Command::Observe {
            path: path("/3/0/9"),
            renew: false,
        },
    );
    agree(&mut world, &device, "1");
    device.register(&mut world, &[]);
    assert!(device.inbox(&mut world).is_empty());
    assert!(world.durable.observations.is_empty());
    assert!(world.log.iter().any(|event| matches!(
        event.kind,
        EventKind::ObservationEnded {
            reason: ObservationEnd::RegistrationEnded,
            ..
        }
    )));
}

#[test]
fn rfc7641_4_2_an_error_ends_the_observation() {
    let mut world = World::new();
    let (mut device, token) = observed(&mut world);
    device.notify(&mut world, token, Code::NOT_FOUND, None, "");
    assert!(matches!(
        world.last_event(),
        EventKind::ObservationEnded {
            reason: ObservationEnd::Error(_),
            ..
        }
    ));
    assert!(world.durable.observations.is_empty());
    assert_eq!(
        device.got(&mut world).message_type,
        MessageType::Acknowledgement
    );
}

#[test]
fn ts_5_5_3_cancel_by_observe_asks_with_the_token() {
    let mut world = World::new();
    let (mut device, token) = observed(&mut world);
    let request = world.ask("lamp", cancel("/3/0/9", CancelBy::Observe));
    let asked = device.got(&mut world);
    assert_eq!((asked.observe(), asked.token), (Some(1), token));
    assert_eq!(asked.path(), "/3/0/9");
    device.respond(
        &mut world,
        &asked,
        Code::CONTENT,
        Some(ContentFormat::TEXT),
        b"3",
    );
    assert!(matches!(world.outcome(request), Some(Outcome::Answered(_))));
    assert!(world.durable.observations.is_empty());
    device.notify(&mut world, token, Code::CONTENT, Some(9), "2");
    assert!(is_reset(&device.got(&mut world)));
}

/// Found by the seeded universe: the Client had cancelled, its answer was lost, and we went on believing
/// that it observes.
#[test]
fn ts_5_5_3_a_cancel_that_is_not_answered_ends_the_observation_over_a_crash_too() {
    let mut world = World::new();
    let (mut device, token) = observed(&mut world);
    let request = world.ask("lamp", cancel("/3/0/9", CancelBy::Observe));
    device.got(&mut world);
    assert_eq!(
        world.barrier, world.commits,
        "the end is durable before it is asked for"
    );
    assert!(world.durable.observations.is_empty());
    world.pass_s(100);
    assert!(matches!(world.outcome(request), Some(Outcome::Failed(_))));
    device.inbox(&mut world);
    world.restart();
    device.notify(&mut world, token, Code::CONTENT, Some(9), "2");
    assert!(is_reset(&device.got(&mut world)));
}

#[test]
fn ts_5_5_3_cancel_by_reset_rejects_the_next_notification() {
    let mut world = World::new();
    let (mut device, token) = observed(&mut world);
    let request = world.ask("lamp", cancel("/3/0/9", CancelBy::Reset));
    assert_eq!(world.outcome(request), Some(&Outcome::Done));
    assert!(world.durable.observations.is_empty());
    assert!(device.inbox(&mut world).is_empty(), "nothing is sent");
    device.notify(&mut world, token, Code::CONTENT, Some(9), "2");
    assert!(is_reset(&device.got(&mut world)));
    let refused = world.server.request(
        world.now,
        &name("lamp"),
        cancel("/3/0/9", CancelBy::Reset),
        Settings::default(),
    );
    assert_eq!(
        refused,
        Err(Refused::NotObserved {
            path: path("/3/0/9")
        })
    );
}

/// Found by the seeded universe: the answer to an Observe is lost, and a notification comes instead. CoAP
/// takes it for the answer and acknowledges it; the value must be durable before that leaves.
#[test]
fn a_notification_that_stands_for_the_answer_is_acknowledged_when_durable() {
    let mut world = World::new();
    let (mut device, _) = observed(&mut world);
    device.register(&mut world, &[]);
    let asked = device.got(&mut world);
    let mut twin = device.clone();
    device.notify(&mut world, asked.token, Code::CONTENT, Some(2), "77");
    assert_eq!(level(&world), Some((77, false)));
    assert_eq!(
        device.got(&mut world).message_type,
        MessageType::Acknowledgement
    );
    assert_eq!(world.barrier, world.commits);
    // The same datagram again, while the disk still works on the commit.
    twin.notify(&mut world, asked.token, Code::CONTENT, Some(2), "77");
    assert_eq!(
        device.got(&mut world).message_type,
        MessageType::Acknowledgement
    );
    assert_eq!(world.barrier, world.commits);
}

/// Found by the seeded universe: the network gives a Client another address, and it notifies before
/// it updates. A Reset would end the observation at the Client, while we believe in it for ever.
#[test]
fn a_notification_from_elsewhere_is_not_reset_and_comes_again_after_the_update() {
    let mut world = World::new();
    let (mut device, token) = observed(&mut world);
    device.address = std::net::SocketAddr::from(([127, 0, 0, 1], 4_444)).into();
    device.notify(&mut world, token, Code::CONTENT, Some(9), "2");
    assert!(device.inbox(&mut world).is_empty(), "neither ACK nor Reset");
    assert!(world.told().is_empty());
    assert_eq!(device.update(&mut world, &[], "").code, Code::CHANGED);
    device.notify(&mut world, token, Code::CONTENT, Some(10), "3");
    let acknowledged = device.got(&mut world);
    assert_eq!(acknowledged.message_type, MessageType::Acknowledgement);
    assert_eq!(level(&world), Some((3, false)));
}

#[test]
fn a_value_that_does_not_decode_is_told_raw_and_acknowledged() {
    let mut world = World::new();
    let mut device = Device::new("lamp", 4000);
    device.register(&mut world, &[]);
    world.ask("lamp", observe("/3/0"));
    let asked = device.got(&mut world);
    let tlv = Some(ContentFormat::TLV);
    device.respond_observed(
        &mut world,
        &asked,
        Code::CONTENT,
        Some(1),
        tlv,
        &[0xc1, 9, 100],
    );
    // Text cannot be an instance.
    device.notify(&mut world, asked.token, Code::CONTENT, Some(2), "nonsense");
    assert!(matches!(
        world.last_event(),
        EventKind::Undecodable { payload, .. } if payload == b"nonsense"
    ));
    assert_eq!(
        device.got(&mut world).message_type,
        MessageType::Acknowledgement
    );
}

#[test]
fn while_the_store_fails_notifications_are_not_acknowledged() {
    let mut world = World::new();
    let (mut device, token) = observed(&mut world);
    world.server.set_store_health(world.now, false);
    device.notify(&mut world, token, Code::CONTENT, Some(2), "99");
    assert!(device.inbox(&mut world).is_empty());
    assert_eq!(world.told(), Vec::<&str>::new());
    world.server.set_store_health(world.now, true);
    device.notify(&mut world, token, Code::CONTENT, Some(2), "99");
    assert_eq!(level(&world), Some((99, false)));
}

#[test]
fn notifications_follow_a_client_that_moves() {
    let mut world = World::new();
    let (device, token) = observed(&mut world);
    let mut moved = Device::new("lamp", 4001).counting_from(900);
    moved.location = device.location.clone();
    moved.update(&mut world, &[], "");
    moved.notify(&mut world, token, Code::CONTENT, Some(2), "99");
    assert_eq!(level(&world), Some((99, false)));
    assert_eq!(
        moved.got(&mut world).message_type,
        MessageType::Acknowledgement
    );
}

#[test]
fn a_forgotten_client_takes_its_observations_along() {
    let mut world = World::new();
    let (mut device, token) = observed(&mut world);
    world.server.forget(world.now, &name("lamp")).unwrap();
    world.drain();
    assert!(world.durable.is_empty());
    device.notify(&mut world, token, Code::CONTENT, Some(2), "99");
    assert!(is_reset(&device.got(&mut world)));
}

#[test]
fn a_value_by_definition_keeps_its_type() {
    let mut world = World::new();
    let (mut device, token) = observed(&mut world);
    device.notify(&mut world, token, Code::CONTENT, Some(2), "7");
    let EventKind::Notified { values, .. } = world.last_event() else {
        panic!()
    };
    let node = Node::Resource(Resource::single(9, Value::Integer(7)));
    assert_eq!(
        (values.len(), &values[0].node, values[0].at),
        (1, &node, world.now.wall)
    );
}

#[test]
fn an_observation_can_be_cancelled_while_it_is_made_again() {
    let mut world = World::new();
    let (mut device, _) = observed(&mut world);
    device.register(&mut world, &[]);
    let asked = device.got(&mut world);
    assert_eq!(asked.observe(), Some(0));
    let request = world.ask("lamp", cancel("/3/0/9", CancelBy::Observe));
    assert_eq!(world.outcome(request), Some(&Outcome::Done));
    let text = Some(ContentFormat::TEXT);
    device.respond_observed(&mut world, &asked, Code::CONTENT, Some(1), text, b"5");
    assert!(world.durable.observations.is_empty());
    // The device observes for nobody now; it learns that with its next notification.
    device.inbox(&mut world);
    device.notify(&mut world, asked.token, Code::CONTENT, Some(2), "4");
    assert!(is_reset(&device.got(&mut world)));
}
