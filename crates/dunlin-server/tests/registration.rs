//! The registration interface, as a Client lives it; TS 1.0 §5.3.

mod common;

use common::{Device, World, name, path};
use dunlin_lwm2m::operation::{ResponseCode, Strictness};
use dunlin_lwm2m::{Deviation, LwM2mVersion};
use dunlin_server::change::Departure;
use dunlin_server::config::Admission;
use dunlin_server::{
    Answer, ClientFilter, Command, EventKind, ListedClient, LiveEvent, Need, Presence, Refused,
    ServerConfig,
};
use dunlin_transport::coap::Code;

const LINKS: &str = "</1/0>,</3/0>,</3303/0>";

#[test]
fn ts_5_3_1_register_is_answered_with_a_location_after_it_is_durable() {
    let mut world = World::new();
    let mut device = Device::new("lamp", 4000);
    device.register(&mut world, &["lt=300", "b=UQ", "sms=491701234567"]);
    assert_eq!(device.location[0], "rd");
    assert_eq!(device.location[1].len(), 26);
    let stored = &world.durable.registrations[&name("lamp")];
    assert_eq!(stored.id.to_string(), device.location[1]);
    assert_eq!((stored.lifetime_s, stored.binding.as_str()), (300, "UQ"));
    let view = world.server.client(world.now, &name("lamp")).unwrap();
    assert_eq!(view.registration, *stored);
    assert_eq!(view.presence, Presence::Awake);
    assert!(matches!(
        world.last_event(),
        EventKind::Registered { replaced: None, registration } if **registration == *stored
    ));
}

#[test]
fn ts_5_3_1_a_second_register_replaces_the_first() {
    let mut world = World::new();
    let mut device = Device::new("lamp", 4000);
    device.register(&mut world, &[]);
    let first = device.location.clone();
    device.register(&mut world, &["lt=60"]);
    assert_ne!(first, device.location);
    assert!(matches!(
        world.last_event(),
        EventKind::Registered { replaced: Some(id), .. } if id.to_string() == first[1]
    ));
    assert_eq!(world.server.stats().registered, 1);
    let mut lost = device.clone();
    lost.location = first;
    assert_eq!(lost.update(&mut world, &[], "").code, Code::NOT_FOUND);
}

#[test]
fn ts_5_3_1_the_number_for_sms_is_kept() {
    let mut world = World::new();
    let mut device = Device::new("lamp", 4000);
    device.register(&mut world, &["b=UQS", "sms=491701234567"]);
    let kept = world.durable.registrations[&name("lamp")]
        .sms_number
        .clone();
    assert_eq!(
        kept.map(|number| number.to_string()),
        Some("491701234567".into())
    );
}

#[test]
fn ts_5_3_1_objects_that_nobody_knows_are_kept() {
    let mut world = World::new();
    let mut device = Device::new("lamp", 4000);
    let links = "</1/0>,</3/0>,</64999/7>,</33555>;ver=\"9.9\",</33555/1>";
    let queries = ["ep=lamp", "lt=60", "lwm2m=1.0"];
    device.request(&mut world, Code::POST, &["rd"], &queries, links);
    assert_eq!(device.got(&mut world).code, Code::CREATED);
    let kept = world.durable.registrations[&name("lamp")].links.to_string();
    assert!(
        kept.contains("</64999/7>") && kept.contains("9.9"),
        "{kept}"
    );
}

#[test]
fn ts_5_3_1_versions_that_are_not_served_get_4_12() {
    let mut world = World::new();
    let mut device = Device::new("lamp", 4000);
    for version in ["lwm2m=0.9", "lwm2m=2.0"] {
        device.request(
            &mut world,
            Code::POST,
            &["rd"],
            &["ep=lamp", "lt=60", version],
            LINKS,
        );
        assert_eq!(device.got(&mut world).code, Code::PRECONDITION_FAILED);
    }
    assert!(world.durable.is_empty() && world.log.is_empty());
    assert!(matches!(
        world.live.last(),
        Some(LiveEvent::Refused {
            code: ResponseCode::PreconditionFailed,
            ..
        })
    ));
}

#[test]
fn leshan_2_a_client_of_a_later_minor_version_is_served_with_what_1_0_has() {
    let queries = ["ep=lamp", "lt=60", "lwm2m=1.1", "b=U", "Q"];
    let links = "</>;rt=\"oma.lwm2m\";ct=\"60 110 112 11542 11543\",</1>;ver=1.1,</1/0>,</3/0>";
    let mut world = World::new();
    let mut device = Device::new("lamp", 4000);
    device.request(&mut world, Code::POST, &["rd"], &queries, links);
    assert_eq!(device.got(&mut world).code, Code::CREATED);
    let view = world.server.client(world.now, &name("lamp")).unwrap();
    let registration = view.registration;
    assert_eq!(registration.version, LwM2mVersion::V1_1);
    assert_eq!(registration.binding.as_str(), "UQ");
    assert!(registration.deviations.contains(Deviation::VersionLater));
    // It may answer in SenML if it is left to choose, and that is not read here.
    world.ask("lamp", Command::Read { path: path("/3/0") });
    assert_eq!(device.got(&mut world).accept(), Some(11542));

    let mut world = World::with(ServerConfig {
        strictness: Strictness::Strict,
        ..ServerConfig::default()
    });
    device.request(&mut world, Code::POST, &["rd"], &queries[..4], links);
    assert_eq!(device.got(&mut world).code, Code::PRECONDITION_FAILED);
}

#[test]
fn ts_5_3_1_missing_parameters_are_tolerated_or_refused_when_strict() {
    let mut world = World::new();
    let mut device = Device::new("lamp", 4000);
    device.request(&mut world, Code::POST, &["rd"], &["ep=lamp"], LINKS);
    assert_eq!(device.got(&mut world).code, Code::CREATED);
    let view = world
        .server
        .client(world.now, &name("lamp"))
        .unwrap()
        .registration;
    assert_eq!(view.lifetime_s, 86_400);
    assert_eq!(view.deviations.iter().count(), 2);

    let mut world = World::with(ServerConfig {
        strictness: Strictness::Strict,
        ..ServerConfig::default()
    });
    device.request(&mut world, Code::POST, &["rd"], &["ep=lamp"], LINKS);
    assert_eq!(device.got(&mut world).code, Code::BAD_REQUEST);
}

#[test]
fn decisions_1_a_refresh_writes_nothing_until_a_tenth_is_reached() {
    let mut world = World::new();
    let mut device = Device::new("lamp", 4000);
    device.register(&mut world, &["lt=1000"]);
    world.told();
    let stored = world.durable.clone();
    world.pass_s(90);
    assert_eq!(device.update(&mut world, &[], "").code, Code::CHANGED);
    assert_eq!(world.durable, stored, "within the tenth nothing is written");
    world.pass_s(30);
    assert_eq!(device.update(&mut world, &[], "").code, Code::CHANGED);
    let expires_at = world.durable.registrations[&name("lamp")].expires_at;
    assert_eq!(
        expires_at
            .since(stored.registrations[&name("lamp")].expires_at)
            .as_secs(),
        120
    );
    assert_eq!(world.told(), Vec::<&str>::new(), "a refresh is no news");
    assert_eq!(world.server.stats().refreshes, 2);
}

#[test]
fn decisions_1_no_client_that_was_told_2_04_meets_4_04_after_a_restart() {
    let mut world = World::new();
    let mut device = Device::new("lamp", 4000);
    device.register(&mut world, &["lt=1000"]);
    world.pass_s(99);
    assert_eq!(device.update(&mut world, &[], "").code, Code::CHANGED);
    world.restart();
    // The lifetime that was promised, to its last second.
    world.pass_s(999);
    assert_eq!(device.update(&mut world, &[], "").code, Code::CHANGED);
}

#[test]
fn ts_5_3_2_an_update_that_changes_something_is_stored_and_told() {
    let mut world = World::new();
    let mut device = Device::new("lamp", 4000);
    device.register(&mut world, &["lt=1000"]);
    let answer = device.update(&mut world, &["lt=50", "b=UQ"], "</1/0>,</3/0>,</5/0>");
    assert_eq!(answer.code, Code::CHANGED);
    let EventKind::Updated {
        registration,
        changed,
    } = world.last_event()
    else {
        panic!("{:?}", world.last_event())
    };
    assert_eq!(
        changed.names().collect::<Vec<_>>(),
        ["lifetime", "binding", "objects"]
    );
    assert_eq!(registration.links.to_string(), "</1/0>,</3/0>,</5/0>");
    assert_eq!(**registration, world.durable.registrations[&name("lamp")]);
    // The same again changes nothing.
    world.told();
    device.update(&mut world, &["lt=50", "b=UQ"], "</1/0>,</3/0>,</5/0>");
    assert_eq!(world.told(), Vec::<&str>::new());
}

#[test]
fn ts_5_3_2_update_of_an_unknown_location_gets_4_04() {
    let mut world = World::new();
    let mut device = Device::new("lamp", 4000);
    for location in ["00000000000000000000000000", "5a3f"] {
        device.location = vec!["rd".into(), location.into()];
        assert_eq!(device.update(&mut world, &[], "").code, Code::NOT_FOUND);
        assert_eq!(device.deregister(&mut world).code, Code::NOT_FOUND);
    }
}

#[test]
fn quirk_45_46_old_forms_of_update_are_taken() {
    let mut world = World::new();
    let mut device = Device::new("lamp", 4000);
    device.register(&mut world, &[]);
    let id = device.location[1].clone();
    for (code, segments) in [
        (Code::PUT, vec!["rd", id.as_str()]),
        (Code::POST, vec![id.as_str()]),
        (Code::POST, vec!["rd", id.as_str(), ""]),
        (Code::POST, vec!["rd"]),
    ] {
        device.request(&mut world, code, &segments, &[], "");
        assert_eq!(
            device.got(&mut world).code,
            Code::CHANGED,
            "{code} {segments:?}"
        );
    }
}

#[test]
fn quirk_62_63_an_update_from_another_address_moves_the_client() {
    let mut world = World::new();
    let mut device = Device::new("lamp", 4000);
    device.register(&mut world, &[]);
    let mut moved = Device::new("lamp", 4001);
    moved.location = device.location.clone();
    assert_eq!(moved.update(&mut world, &[], "").code, Code::CHANGED);
    assert_eq!(
        world.durable.registrations[&name("lamp")].address,
        moved.address
    );
    assert_eq!(
        world
            .server
            .client(world.now, &name("lamp"))
            .unwrap()
            .registration
            .address,
        moved.address
    );
    assert!(matches!(world.last_event(), EventKind::Updated { changed, .. } if changed.address));

    let mut world = World::with(ServerConfig {
        nosec_moves: false,
        ..ServerConfig::default()
    });
    device.register(&mut world, &[]);
    moved.location = device.location.clone();
    assert_eq!(moved.update(&mut world, &[], "").code, Code::NOT_FOUND);
    assert_eq!(device.update(&mut world, &[], "").code, Code::CHANGED);
}

#[test]
fn two_clients_at_one_address_are_told_apart_by_their_locations() {
    let mut world = World::new();
    let mut one = Device::new("one", 4000);
    let mut two = Device::new("two", 4002).counting_from(5000);
    one.register(&mut world, &[]);
    two.register(&mut world, &[]);
    two.address = one.address.clone();
    for _ in 0..3 {
        one.update(&mut world, &[], "");
        two.update(&mut world, &[], "");
    }
    assert_eq!(world.server.stats().registered, 2);
    let at = |endpoint| {
        world
            .server
            .client(world.now, &name(endpoint))
            .unwrap()
            .registration
    };
    assert_eq!(at("one").address, at("two").address);
}

#[test]
fn ts_5_3_3_deregister_ends_the_registration() {
    let mut world = World::new();
    let mut device = Device::new("lamp", 4000);
    device.register(&mut world, &[]);
    assert_eq!(device.deregister(&mut world).code, Code::DELETED);
    assert_eq!(world.told(), ["registered", "deregistered"]);
    assert!(world.durable.registrations.is_empty());
    assert!(matches!(
        world.server.client(world.now, &name("lamp")),
        Err(Refused::ClientExpired {
            reason: Departure::Deregistered,
            ..
        })
    ));
    assert_eq!(device.update(&mut world, &[], "").code, Code::NOT_FOUND);
}

#[test]
fn a_lifetime_that_runs_out_ends_the_registration_and_is_remembered() {
    let mut world = World::new();
    let mut device = Device::new("lamp", 4000);
    device.register(&mut world, &["lt=60"]);
    world.pass_s(59);
    assert_eq!(world.server.stats().registered, 1);
    world.pass_s(2);
    assert_eq!(world.told(), ["registered", "expired"]);
    let expired = ClientFilter {
        registered: Some(false),
        ..ClientFilter::default()
    };
    let page = world.server.clients(world.now, None, 10, &expired);
    assert!(
        matches!(&page.clients[..], [ListedClient::Departed(gone)] if gone.endpoint == name("lamp"))
    );
    world.pass_s(8 * 86_400);
    assert!(
        world.durable.is_empty(),
        "after a week nothing is remembered"
    );
    assert!(matches!(
        world.server.client(world.now, &name("lamp")),
        Err(Refused::ClientUnknown)
    ));
}

#[test]
fn a_client_that_comes_back_is_departed_no_more() {
    let mut world = World::new();
    let mut device = Device::new("lamp", 4000);
    device.register(&mut world, &["lt=60"]);
    world.pass_s(70);
    device.register(&mut world, &["lt=60"]);
    assert!(world.durable.departed.is_empty());
    assert_eq!(world.server.stats().departed, 0);
}

#[test]
fn decisions_6_presence_of_a_client_that_sleeps() {
    let mut world = World::new();
    let mut device = Device::new("lamp", 4000);
    device.register(&mut world, &["lt=3600", "b=UQ"]);
    let presence = |world: &World| {
        world
            .server
            .client(world.now, &name("lamp"))
            .unwrap()
            .presence
    };
    world.pass_s(92);
    assert_eq!(presence(&world), Presence::Awake);
    world.pass_s(2);
    assert_eq!(presence(&world), Presence::Asleep);
    // It learns that this Client comes every 300 s.
    for _ in 0..3 {
        world.pass_s(300);
        device.update(&mut world, &[], "");
    }
    assert_eq!(presence(&world), Presence::Awake);
    world.pass_s(300);
    assert_eq!(presence(&world), Presence::Asleep);
    world.pass_s(250);
    assert_eq!(presence(&world), Presence::Overdue);
    device.update(&mut world, &[], "");
    let told: Vec<_> = world
        .live
        .iter()
        .filter_map(|event| match event {
            LiveEvent::Presence { presence, .. } => Some(presence.name()),
            _ => None,
        })
        .collect();
    let (again, last) = (["asleep", "awake"], ["asleep", "overdue", "awake"]);
    assert_eq!(told, [&again[..], &again, &again, &last].concat());
}

#[test]
fn a_bootstrap_request_is_refused_with_words() {
    let mut world = World::new();
    let mut device = Device::new("lamp", 4000);
    device.request(&mut world, Code::POST, &["bs"], &["ep=lamp"], "");
    let answer = device.got(&mut world);
    assert_eq!(answer.code, Code::BAD_REQUEST);
    assert!(answer.text().contains("Bootstrap-Server"));
}

#[test]
fn decisions_1_while_the_store_fails_refreshes_go_on_and_the_rest_gets_5_03() {
    let mut world = World::new();
    let mut device = Device::new("lamp", 4000);
    device.register(&mut world, &["lt=600"]);
    let stored = world.durable.clone();
    world.server.set_store_health(world.now, false);
    world.pass_s(300);
    assert_eq!(device.update(&mut world, &[], "").code, Code::CHANGED);
    let refused = device.update(&mut world, &["lt=50"], "");
    assert_eq!(refused.code, Code::SERVICE_UNAVAILABLE);
    assert_eq!(refused.options.view().max_age_s(), Some(30));
    assert_eq!(
        device.deregister(&mut world).code,
        Code::SERVICE_UNAVAILABLE
    );
    let mut other = Device::new("other", 4001);
    other.request(
        &mut world,
        Code::POST,
        &["rd"],
        &["ep=other", "lt=60", "lwm2m=1.0"],
        LINKS,
    );
    assert_eq!(other.got(&mut world).code, Code::SERVICE_UNAVAILABLE);
    // Nothing expires that could not be stored.
    world.pass_s(700);
    assert_eq!(world.durable, stored);
    assert_eq!(world.server.stats().registered, 1);
    world.server.set_store_health(world.now, true);
    world.pass_s(20);
    assert_eq!(world.server.stats().registered, 0);
}

#[test]
fn a_name_that_another_shard_may_have_is_claimed_first() {
    let mut world = World::with(ServerConfig {
        claims: true,
        ..ServerConfig::default()
    });
    let mut device = Device::new("lamp", 4000);
    device.request(
        &mut world,
        Code::POST,
        &["rd"],
        &["ep=lamp", "lt=60", "lwm2m=1.0"],
        LINKS,
    );
    assert!(device.inbox(&mut world).is_empty());
    let (id, need) = world.needs.pop().unwrap();
    assert_eq!(
        need,
        Need::Claim {
            endpoint: name("lamp")
        }
    );
    world
        .server
        .handle_answer(world.now, id, Answer::Claimed(Box::default()));
    world.drain();
    assert_eq!(device.got(&mut world).code, Code::CREATED);
    // An answer that comes twice is dropped.
    world
        .server
        .handle_answer(world.now, id, Answer::Unavailable);
    world.drain();
    assert!(device.inbox(&mut world).is_empty());
}

#[test]
fn a_question_that_nobody_answers_ends_in_5_03() {
    let mut world = World::with(ServerConfig {
        claims: true,
        ..ServerConfig::default()
    });
    let mut device = Device::new("lamp", 4000);
    device.request(
        &mut world,
        Code::POST,
        &["rd"],
        &["ep=lamp", "lt=60", "lwm2m=1.0"],
        LINKS,
    );
    world.pass_s(19);
    assert!(
        device
            .inbox(&mut world)
            .iter()
            .all(|got| got.code == Code::EMPTY)
    );
    world.pass_s(2);
    assert_eq!(device.inbox(&mut world)[0].code, Code::SERVICE_UNAVAILABLE);
    assert_eq!(world.server.stats().admissions, 0);
}

#[test]
fn an_operator_can_forget_a_registration() {
    let mut world = World::new();
    let mut device = Device::new("lamp", 4000);
    device.register(&mut world, &[]);
    world.server.forget(world.now, &name("lamp")).unwrap();
    world.drain();
    assert!(world.durable.is_empty());
    assert_eq!(
        world.server.forget(world.now, &name("lamp")),
        Err(Refused::ClientUnknown)
    );
    assert_eq!(device.update(&mut world, &[], "").code, Code::NOT_FOUND);
}

#[test]
fn lists_come_in_pages_and_by_part_of_a_name() {
    let mut world = World::with(ServerConfig {
        admission: Admission::Any,
        ..ServerConfig::default()
    });
    for index in 0..25 {
        Device::new(&format!("lamp-{index}"), 4000 + index).register(&mut world, &[]);
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = world
            .server
            .clients(world.now, after, 10, &ClientFilter::default());
        assert!(page.clients.len() <= 10);
        seen.extend(page.clients.iter().map(|client| match client {
            ListedClient::Registered(view) => view.registration.endpoint.to_string(),
            ListedClient::Departed(gone) => gone.endpoint.to_string(),
        }));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 25);
    let filter = ClientFilter {
        name: "-2".into(),
        registered: None,
    };
    assert_eq!(
        world
            .server
            .clients(world.now, None, 100, &filter)
            .clients
            .len(),
        6
    );
}

#[test]
fn many_lifetimes_that_run_out_at_once_go_into_several_commits() {
    let mut world = World::new();
    for index in 0..1200u16 {
        Device::new(&format!("lamp-{index}"), 4000 + index).register(&mut world, &["lt=60"]);
    }
    world.told();
    // The process was stopped for an hour.
    world.now = world.now.plus(std::time::Duration::from_secs(3600));
    let mut turns = 0;
    while world.server.stats().registered > 0 {
        let before = world.server.stats().registered;
        world.server.handle_timeout(world.now);
        world.drain();
        assert!(before - world.server.stats().registered <= 512);
        turns += 1;
    }
    assert_eq!((turns, world.told().len()), (3, 1200));
    world.pass_s(8 * 86_400);
    assert!(world.durable.is_empty());
}
