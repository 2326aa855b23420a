//! One name, several Servers: a Client that registers elsewhere takes along what waits for it.

mod common;

use common::{Device, World, name, path};
use dunlin_lwm2m::ContentFormat;
use dunlin_server::{Answer, Command, EventKind, Need, ServerConfig, VirtualShards};
use dunlin_transport::coap::Code;
use dunlin_transport::{Route, route};

fn shard(index: usize) -> World {
    let owned = VirtualShards::share(index, 2);
    World::with(ServerConfig {
        owned,
        claims: true,
        ..ServerConfig::default()
    })
}

/// The device registers with `world`; `other` is asked to give its name up.
fn register(world: &mut World, other: &mut World, device: &mut Device, binding: &str) {
    let ep = format!("ep={}", device.endpoint);
    let queries = [ep.as_str(), "lt=86400", "lwm2m=1.0", binding];
    device.request(world, Code::POST, &["rd"], &queries, "</1/0>,</3/0>");
    if let Some((id, Need::Claim { endpoint })) = world.needs.pop() {
        let snapshot = other.server.evict(other.now, &endpoint);
        other.drain();
        world
            .server
            .handle_answer(world.now, id, Answer::Claimed(Box::new(snapshot)));
        world.drain();
    }
    let answer = device.answer(world);
    assert_eq!(answer.code, Code::CREATED);
    device.location = answer.location();
}

#[test]
fn decisions_2_a_client_on_another_shard_takes_its_queue_and_observations_along() {
    let (mut one, mut two) = (shard(0), shard(1));
    let mut device = Device::new("lamp", 4000);
    register(&mut one, &mut two, &mut device, "b=UQ");
    let shard_one = one.durable.registrations[&name("lamp")].id.virtual_shard();
    assert!(one.config.owned.contains(shard_one));
    one.ask(
        "lamp",
        Command::Observe {
            path: path("/3/0/9"),
            renew: true,
        },
    );
    let asked = device.got(&mut one);
    let text = Some(ContentFormat::TEXT);
    device.respond_observed(&mut one, &asked, Code::CONTENT, Some(1), text, b"9");
    one.pass_s(100);
    let request = one.ask(
        "lamp",
        Command::Read {
            path: path("/3/0/0"),
        },
    );
    assert_eq!(one.durable.requests.len(), 1);

    let one_registration = one.durable.registrations.get(&name("lamp")).cloned();
    // The store is one for both: what the first has committed is there.
    two.durable = one.durable.clone();
    two.now = one.now;
    register(&mut two, &mut one, &mut device, "b=UQ");
    assert_eq!(one.server.stats().registered, 0);
    assert_eq!(
        (one.server.stats().observations, one.server.stats().requests),
        (0, 0)
    );
    let shard_two = two.durable.registrations[&name("lamp")].id.virtual_shard();
    assert!(two.config.owned.contains(shard_two));
    // Whoever follows the log sees which registration it took the place of.
    let replaced = one_registration.map(|registration| registration.id);
    let said = two.log.iter().find_map(|event| match &event.kind {
        EventKind::Registered { replaced, .. } => Some(*replaced),
        _ => None,
    });
    assert_eq!(said, Some(replaced));
    // The observation first, then the queue.
    let asked = device.got(&mut two);
    assert_eq!(
        (asked.path().as_str(), asked.observe()),
        ("/3/0/9", Some(0))
    );
    device.respond_observed(&mut two, &asked, Code::CONTENT, Some(1), text, b"8");
    let asked = device.got(&mut two);
    assert_eq!(asked.path(), "/3/0/0");
    device.respond(&mut two, &asked, Code::CONTENT, text, b"ACME");
    assert!(two.outcome(request).is_some());
    assert!(two.durable.requests.is_empty());
    assert_eq!(two.durable.observations.len(), 1);
}

/// The driver lets an eviction wait for as long: what comes with the answer is to go on.
#[test]
fn a_name_that_is_being_claimed_is_given_on_only_when_it_is_here() {
    let (mut one, mut two) = (shard(0), shard(1));
    let mut device = Device::new("lamp", 4000);
    register(&mut one, &mut two, &mut device, "b=U");
    let observe = Command::Observe {
        path: path("/3/0/9"),
        renew: true,
    };
    one.ask("lamp", observe);
    let asked = device.got(&mut one);
    let text = Some(ContentFormat::TEXT);
    device.respond_observed(&mut one, &asked, Code::CONTENT, Some(1), text, b"9");
    two.durable = one.durable.clone();
    let mut elsewhere = Device::new("lamp", 4001);
    let queries = ["ep=lamp", "lt=86400", "lwm2m=1.0", "b=U"];
    elsewhere.request(&mut two, Code::POST, &["rd"], &queries, "</3/0>");
    let (id, _) = two.needs.pop().expect("it claims the name");
    assert!(two.server.is_claiming(&name("lamp")));
    assert!(!two.server.is_claiming(&name("other")));
    let snapshot = one.server.evict(one.now, &name("lamp"));
    one.drain();
    let answer = Answer::Claimed(Box::new(snapshot));
    two.server.handle_answer(two.now, id, answer);
    two.drain();
    assert!(!two.server.is_claiming(&name("lamp")));
    let given_on = two.server.evict(two.now, &name("lamp"));
    assert_eq!(given_on.registrations.len(), 1);
    assert_eq!(given_on.observations.len(), 1);
}

#[test]
fn a_client_that_is_here_already_is_not_claimed() {
    let (mut one, mut two) = (shard(0), shard(1));
    let mut device = Device::new("lamp", 4000);
    register(&mut one, &mut two, &mut device, "b=U");
    device.register(&mut one, &[]);
    assert!(one.needs.is_empty());
}

#[test]
fn decisions_2_an_id_routes_its_update_to_its_virtual_shard() {
    for index in 0..2 {
        let (mut one, mut two) = (shard(index), shard(1 - index));
        let mut device = Device::new("lamp", 4000);
        register(&mut one, &mut two, &mut device, "b=U");
        let id = one.durable.registrations[&name("lamp")].id;
        let update = device.encode(Code::POST, &["rd", &device.location[1]]);
        let virtual_shard = id.virtual_shard().0;
        assert_eq!(route(&update), Route::VirtualShard(virtual_shard));
    }
}

#[test]
fn an_observation_whose_token_leads_to_another_shard_is_made_again() {
    let (mut one, mut two) = (shard(0), shard(1));
    let mut device = Device::new("lamp", 4000);
    register(&mut one, &mut two, &mut device, "b=U");
    one.ask(
        "lamp",
        Command::Observe {
            path: path("/3/0/9"),
            renew: true,
        },
    );
    let asked = device.got(&mut one);
    let text = Some(ContentFormat::TEXT);
    device.respond_observed(&mut one, &asked, Code::CONTENT, Some(1), text, b"9");
    one.restart();
    assert!(
        one.server
            .observation(&name("lamp"), &path("/3/0/9"))
            .unwrap()
            .established
    );
    // More cores, and this shard is another one now.
    one.config.coap.token_prefix = 7;
    one.restart();
    assert!(
        !one.server
            .observation(&name("lamp"), &path("/3/0/9"))
            .unwrap()
            .established
    );
    assert_eq!(device.update(&mut one, &[], "").code, Code::CHANGED);
    let asked = device.got(&mut one);
    assert_eq!((asked.observe(), asked.token.as_bytes()[0]), (Some(0), 7));
}
