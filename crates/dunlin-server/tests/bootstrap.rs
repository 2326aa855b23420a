//! The bootstrap interface (TS 1.0 §5.2) as conversations with devices that speak raw CoAP.

mod common;

use std::time::Duration;

use common::{Device, Got, World, name, path, registry};
use dunlin_lwm2m::operation::ResponseCode;
use dunlin_lwm2m::{ContentFormat, EndpointName, Node, ShortServerId, format};
use dunlin_server::bootstrap::{
    Initiator, KeyPair, KeySource, Keys, PairKind, Profile, ProfileName, Provision, RunFailure,
    RunState, Secret, Selector, ServerAccount, StepOutcome,
};
use dunlin_server::command::Refused;
use dunlin_server::{Answer, BootstrapConfig, EventKind, LiveEvent, Need, NoProfile, ServerConfig};
use dunlin_transport::coap::{Code, MessageType};
use dunlin_transport::{Identity, Port};

/// A node without chance: every key is the same.
struct Fixed;

impl KeySource for Fixed {
    fn random(&mut self, bytes: &mut [u8]) {
        bytes.fill(0xab);
    }

    fn key_pair(&mut self, _: PairKind, _: &EndpointName) -> Option<KeyPair> {
        None
    }

    fn server_public(&self, _: PairKind) -> Option<Vec<u8>> {
        None
    }
}

fn profile() -> Profile {
    let name = ProfileName::new("fleet").unwrap();
    let mut profile = Profile::new(name, Selector::Default);
    let keys = Keys::PreSharedKey {
        identity: None,
        key: None,
    };
    let id = ShortServerId::new(101).unwrap();
    profile
        .servers
        .push(ServerAccount::new(id, "coaps://server.example", keys));
    assert_eq!(profile.check(&registry()).faults, []);
    profile
}

fn provision(endpoint: &str) -> Provision {
    profile()
        .provision(&name(endpoint), &registry(), &mut Fixed)
        .unwrap()
}

fn world() -> World {
    let mut world = World::with(ServerConfig {
        bootstrap: Some(BootstrapConfig::default()),
        ..ServerConfig::default()
    });
    world.port = Port::BootstrapCoap;
    world
}

/// Asks to bootstrap; the node has been asked then, and nothing is answered yet.
fn ask(world: &mut World, device: &mut Device) {
    let ep = format!("ep={}", device.endpoint);
    device.request(world, Code::POST, &["bs"], &[&ep], "");
}

fn answer_need(world: &mut World, answer: Answer) {
    let (id, need) = world.needs.pop().expect("the node is asked");
    assert!(matches!(need, Need::Profile { .. }), "{need:?}");
    world.server.handle_answer(world.now, id, answer);
    world.drain();
}

/// Asks, is allowed, hears 2.04; what comes back is the first step.
fn begin(world: &mut World, device: &mut Device) -> Got {
    ask(world, device);
    assert!(
        device.inbox(world).is_empty(),
        "nothing before the node knows"
    );
    let provision = Box::new(provision(&device.endpoint));
    answer_need(world, Answer::Profile(Ok(provision)));
    let mut inbox = device.inbox(world);
    assert_eq!(inbox.len(), 2, "{inbox:?}");
    assert_eq!(inbox[0].code, Code::CHANGED);
    inbox.remove(1)
}

/// Answers a step and takes the next one.
fn next(world: &mut World, device: &Device, step: &Got, code: Code, payload: &[u8]) -> Option<Got> {
    let format = (!payload.is_empty()).then_some(ContentFormat(40));
    device.respond(world, step, code, format, payload);
    let mut inbox = device.inbox(world);
    assert!(inbox.len() <= 1, "one request at a time: {inbox:?}");
    inbox.pop()
}

/// Walks on while the device answers well, and says what it was asked.
fn walk(world: &mut World, device: &Device, first: Got) -> Vec<String> {
    let mut asked = Vec::new();
    let mut step = Some(first);
    while let Some(got) = step {
        asked.push(format!("{} {}", method(&got), got.path()));
        let (code, payload): (_, &[u8]) = match got.code {
            Code::GET => (Code::CONTENT, b"lwm2m=\"1.0\",</0/0>,</1>,</3/0>"),
            Code::DELETE => (Code::DELETED, b""),
            _ => (Code::CHANGED, b""),
        };
        step = next(world, device, &got, code, payload);
    }
    asked
}

fn method(got: &Got) -> &'static str {
    match got.code {
        Code::GET => "GET",
        Code::PUT => "PUT",
        Code::POST => "POST",
        Code::DELETE => "DELETE",
        other => panic!("{other:?}"),
    }
}

fn failure(world: &World) -> RunFailure {
    match world.last_event() {
        EventKind::BootstrapFailed { run } => match &run.state {
            RunState::Failed(failure) => failure.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn int_0_client_initiated_bootstrap() {
    let mut world = world();
    let mut device = Device::new("lamp", 4000);
    let first = begin(&mut world, &mut device);
    assert_eq!(first.message_type, MessageType::Confirmable);
    assert_eq!(first.accept(), Some(40));
    assert_eq!(
        world.durable.bootstraps.values().next().unwrap().state,
        RunState::Running,
        "it is stored before it is answered"
    );
    assert_eq!(
        walk(&mut world, &device, first),
        [
            "GET ",
            "DELETE /0",
            "DELETE /1",
            "PUT /0/1",
            "PUT /1/0",
            "POST /bs"
        ]
    );
    let EventKind::Bootstrapped { run } = world.last_event() else {
        panic!("{:?}", world.last_event())
    };
    assert_eq!(run.state, RunState::Succeeded);
    assert_eq!(
        (run.initiator, run.profile.as_str()),
        (Initiator::Client, "fleet")
    );
    assert_eq!(run.steps.len(), 6);
    assert!(world.durable.is_empty(), "it is history");
    let stats = world.server.stats();
    assert_eq!((stats.bootstraps, stats.bootstraps_succeeded), (0, 1));
}

#[test]
fn int_1_the_security_instance_carries_the_key_that_was_made() {
    let mut world = world();
    let mut device = Device::new("lamp", 4000);
    let mut step = begin(&mut world, &mut device);
    let written = loop {
        if step.code == Code::PUT {
            break step;
        }
        let code = if step.code == Code::GET {
            Code::METHOD_NOT_ALLOWED
        } else {
            Code::DELETED
        };
        step = next(&mut world, &device, &step, code, b"").unwrap();
    };
    assert_eq!(written.path(), "/0/10");
    let format = ContentFormat(written.content_format().unwrap());
    let decoded =
        format::decode(Some(format), path("/0/10"), &written.payload, &*registry()).unwrap();
    let Node::Instance(instance) = decoded.node else {
        panic!("{decoded:?}")
    };
    let text: Vec<String> = instance
        .resources()
        .iter()
        .map(|resource| format!("{}={}", resource.id, resource.value().unwrap()))
        .collect();
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    assert_eq!(
        text,
        [
            "0=coaps://server.example".into(),
            "1=false".into(),
            "2=0".into(),
            format!("3={}", hex(b"lamp.abababababababab")),
            "4=".into(),
            format!("5={}", "ab".repeat(16)),
            "10=101".to_string(),
        ]
    );
}

#[test]
fn ts_8_5_who_may_not_is_told_why() {
    for (answer, code, words) in [
        (
            Answer::Profile(Err(NoProfile::Unknown)),
            ResponseCode::BadRequest,
            "no bootstrap profile is for this endpoint name",
        ),
        (
            Answer::Profile(Err(NoProfile::Mismatch {
                reason: "the key is another's".into(),
            })),
            ResponseCode::BadRequest,
            "the key is another's",
        ),
        (
            Answer::Profile(Err(NoProfile::Forbidden {
                reason: "not here".into(),
            })),
            ResponseCode::Forbidden,
            "not here",
        ),
        (
            Answer::Profile(Err(NoProfile::Unusable {
                reason: "no key".into(),
            })),
            ResponseCode::InternalServerError,
            "no key",
        ),
        (
            Answer::Unavailable,
            ResponseCode::ServiceUnavailable,
            "the bootstrap cannot be decided at present",
        ),
    ] {
        let mut world = world();
        let mut device = Device::new("lamp", 4000);
        ask(&mut world, &mut device);
        answer_need(&mut world, answer);
        let got = device.got(&mut world);
        assert_eq!((got.code.0, got.text()), (code.to_byte(), words));
        assert!(matches!(
            world.live.last(),
            Some(LiveEvent::Refused { endpoint: Some(endpoint), .. }) if *endpoint == name("lamp")
        ));
        assert!(world.log.is_empty() && world.durable.is_empty());
    }
}

#[test]
fn ts_8_5_without_a_name_it_is_a_bad_request() {
    let mut world = world();
    let mut device = Device::new("lamp", 4000);
    for queries in [vec![], vec!["ep="], vec!["ep=a", "ep=b"], vec!["ep=a\nb"]] {
        device.request(&mut world, Code::POST, &["bs"], &queries, "");
        assert_eq!(
            device.got(&mut world).code,
            Code::BAD_REQUEST,
            "{queries:?}"
        );
    }
    let long = format!("ep={}", "x".repeat(253));
    device.request(&mut world, Code::POST, &["bs"], &[&long], "");
    // An option of this length is none that CoAP knows (RFC 7252 §5.4.3).
    assert_eq!(device.got(&mut world).code, Code::BAD_OPTION);
    assert!(world.needs.is_empty());
}

#[test]
fn names_that_are_only_strange_are_asked_for_as_they_are() {
    let mut world = world();
    let names = ["../../etc/passwd", "ü/\u{202e}x", "'; --", "a&b=c"];
    for (endpoint, port) in names.into_iter().zip(4000..) {
        let mut device = Device::new(endpoint, port);
        let first = begin(&mut world, &mut device);
        walk(&mut world, &device, first);
        assert_eq!(world.log.last().unwrap().endpoint.as_str(), endpoint);
    }
}

#[test]
fn where_there_is_no_bootstrap_server_it_says_so() {
    let mut world = World::new();
    let mut device = Device::new("lamp", 4000);
    ask(&mut world, &mut device);
    let got = device.got(&mut world);
    assert_eq!(got.code, Code::BAD_REQUEST);
    assert_eq!(got.text(), "there is no Bootstrap-Server at this address");
}

#[test]
fn the_servers_own_port_bootstraps_too() {
    let mut world = world();
    world.port = Port::Coap;
    let mut device = Device::new("lamp", 4000);
    device.register(&mut world, &[]);
    let first = begin(&mut world, &mut device);
    assert_eq!(walk(&mut world, &device, first).len(), 6);
    assert_eq!(device.update(&mut world, &[], "").code, Code::CHANGED);
}

#[test]
fn ts_5_2_5_nobody_registers_at_the_bootstrap_server() {
    let mut world = world();
    let mut device = Device::new("lamp", 4000);
    device.request(
        &mut world,
        Code::POST,
        &["rd"],
        &["ep=lamp", "lt=60", "lwm2m=1.0"],
        "</1/0>",
    );
    let got = device.got(&mut world);
    assert_eq!(got.code, Code::BAD_REQUEST);
    assert!(got.text().contains("Bootstrap-Server"), "{}", got.text());
    device.request(&mut world, Code::POST, &["rd", &"0".repeat(26)], &[], "");
    assert_eq!(device.got(&mut world).code, Code::BAD_REQUEST);
    device.request(&mut world, Code::DELETE, &["rd", "x"], &[], "");
    assert_eq!(device.got(&mut world).code, Code::BAD_REQUEST);
    assert_eq!(world.server.stats().registered, 0);
}

#[test]
fn every_step_that_fails_fails_the_run_with_its_reason() {
    for failing in 0..6 {
        for code in [Code::INTERNAL_SERVER_ERROR, Code::UNAUTHORIZED, Code(0x9d)] {
            let mut world = world();
            let mut device = Device::new("lamp", 4000);
            let mut step = begin(&mut world, &mut device);
            for _ in 0..failing {
                let code = match step.code {
                    Code::GET => Code::NOT_FOUND,
                    Code::DELETE => Code::DELETED,
                    _ => Code::CHANGED,
                };
                step = next(&mut world, &device, &step, code, b"").unwrap();
            }
            let asked = step.path();
            let after = next(&mut world, &device, &step, code, b"");
            if failing == 0 || failing < 3 && code == Code::UNAUTHORIZED {
                assert!(after.is_some(), "Discover and old accounts are optional");
                continue;
            }
            assert!(after.is_none(), "no step after one that failed");
            let RunFailure::Refused {
                path, code: told, ..
            } = failure(&world)
            else {
                panic!("{:?}", failure(&world))
            };
            let byte = told.map_or_else(|byte| byte, ResponseCode::to_byte);
            assert_eq!(byte, code.0);
            if failing < 5 {
                assert_eq!(path.to_string(), asked);
            }
            assert!(world.durable.is_empty());
            assert_eq!(world.server.stats().bootstraps, 0);
        }
    }
}

#[test]
fn ts_5_2_7_2_inconsistent_is_told_as_such() {
    let mut world = world();
    let mut device = Device::new("lamp", 4000);
    let mut step = begin(&mut world, &mut device);
    while step.code != Code::POST {
        let code = match step.code {
            Code::GET => Code::NOT_FOUND,
            Code::DELETE => Code::DELETED,
            _ => Code::CHANGED,
        };
        step = next(&mut world, &device, &step, code, b"").unwrap();
    }
    let words = b"/2/0 names an Object that is not there";
    device.respond(&mut world, &step, Code::NOT_ACCEPTABLE, None, words);
    assert!(device.inbox(&mut world).is_empty());
    let said = Some(String::from_utf8(words.to_vec()).unwrap());
    assert_eq!(failure(&world), RunFailure::Inconsistent { said });
    assert_eq!(world.told(), ["bootstrap_failed"]);
}

#[test]
fn silence_ends_the_run_when_its_step_times_out() {
    let mut world = world();
    let mut device = Device::new("lamp", 4000);
    begin(&mut world, &mut device);
    world.pass_s(94);
    assert!(matches!(failure(&world), RunFailure::NoAnswer { .. }));
    let EventKind::BootstrapFailed { run } = world.last_event() else {
        panic!("it failed")
    };
    assert_eq!(run.steps[0].outcome, Some(StepOutcome::Unanswered));
    let span = run.ended_at.unwrap().since(run.started_at);
    assert!(
        (45_000..=93_100).contains(&(span.as_millis() as u64)),
        "{span:?}"
    );
}

#[test]
fn a_client_that_dawdles_is_given_up_in_the_end() {
    let mut world = World::with(ServerConfig {
        bootstrap: Some(BootstrapConfig {
            run_timeout: Duration::from_secs(100),
            ..BootstrapConfig::default()
        }),
        ..ServerConfig::default()
    });
    let mut device = Device::new("lamp", 4000);
    let mut step = begin(&mut world, &mut device);
    for _ in 0..3 {
        world.pass_s(30);
        device.inbox(&mut world);
        step = next(&mut world, &device, &step, Code::DELETED, b"").unwrap();
    }
    world.pass_s(30);
    assert!(matches!(
        failure(&world),
        RunFailure::TookTooLong { limit_s: 100 } | RunFailure::NoAnswer { .. }
    ));
    assert_eq!(world.server.stats().bootstraps, 0);
}

#[test]
fn a_new_request_ends_the_old_run() {
    let mut world = world();
    let mut device = Device::new("lamp", 4000);
    let old = begin(&mut world, &mut device);
    let mut moved = Device::new("lamp", 4001);
    let first = begin(&mut world, &mut moved);
    assert_eq!(failure(&world), RunFailure::Superseded);
    assert_eq!(world.server.stats().bootstraps, 1);
    // The old device's answer comes late and leads nowhere.
    assert!(next(&mut world, &device, &old, Code::NOT_FOUND, b"").is_none());
    assert_eq!(walk(&mut world, &moved, first).len(), 6);
    assert_eq!(world.told(), ["bootstrap_failed", "bootstrapped"]);
    // From the same address it is the same.
    let first = begin(&mut world, &mut moved);
    begin(&mut world, &mut moved);
    assert!(next(&mut world, &moved, &first, Code::NOT_FOUND, b"").is_none());
    assert_eq!(world.told(), ["bootstrap_failed"]);
}

#[test]
fn rfc7252_4_5_a_duplicate_request_begins_nothing() {
    let mut world = world();
    let mut device = Device::new("lamp", 4000);
    let again = device.clone();
    let first = begin(&mut world, &mut device);
    let mut copy = again;
    ask(&mut world, &mut copy);
    assert!(
        world.needs.is_empty(),
        "the node is not asked a second time"
    );
    assert_eq!(
        device.got(&mut world).code,
        Code::CHANGED,
        "the answer again"
    );
    assert_eq!(walk(&mut world, &device, first).len(), 6);
    assert_eq!(world.told(), ["bootstrapped"]);
}

#[test]
fn answers_out_of_order_are_no_answers() {
    let mut world = world();
    let mut device = Device::new("lamp", 4000);
    let first = begin(&mut world, &mut device);
    let second = next(&mut world, &device, &first, Code::NOT_FOUND, b"").unwrap();
    // The first answer once more, with another content.
    assert!(
        next(
            &mut world,
            &device,
            &first,
            Code::INTERNAL_SERVER_ERROR,
            b""
        )
        .is_none()
    );
    // An answer to nothing.
    let mut stray = second.clone();
    stray.message_id.0 ^= 0x7fff;
    stray.token = first.token;
    device.respond(&mut world, &stray, Code::INTERNAL_SERVER_ERROR, None, b"");
    // From somebody else.
    let thief = Device::new("thief", 4009);
    thief.respond(&mut world, &second, Code::DELETED, None, b"");
    thief.inbox(&mut world);
    assert!(world.log.is_empty());
    assert!(next(&mut world, &device, &second, Code::DELETED, b"").is_some());
}

#[test]
fn hostile_discoveries_are_read_or_passed_over() {
    let long = "</0/0>,".repeat(20_000);
    for payload in [
        "\u{0}\u{ff}",
        "<<<>>>,,,;;=",
        "</0/65535>;ssid=1",
        "</0/x>",
        &long[..900],
    ] {
        let mut world = world();
        let mut device = Device::new("lamp", 4000);
        let first = begin(&mut world, &mut device);
        let step = next(
            &mut world,
            &device,
            &first,
            Code::CONTENT,
            payload.as_bytes(),
        )
        .unwrap();
        assert_eq!(walk(&mut world, &device, step).last().unwrap(), "POST /bs");
    }
}

#[test]
fn a_run_that_was_under_way_ends_with_the_restart() {
    let mut world = world();
    let mut device = Device::new("lamp", 4000);
    begin(&mut world, &mut device);
    world.restart();
    assert_eq!(failure(&world), RunFailure::Restarted);
    assert!(world.durable.is_empty());
    let first = begin(&mut world, &mut device.clone().counting_from(500));
    assert_eq!(walk(&mut world, &device, first).len(), 6);
}

#[test]
fn while_nothing_can_be_stored_nobody_bootstraps() {
    let mut world = world();
    let mut device = Device::new("lamp", 4000);
    world.server.set_store_health(world.now, false);
    ask(&mut world, &mut device);
    let provision = Box::new(provision("lamp"));
    answer_need(&mut world, Answer::Profile(Ok(provision)));
    assert_eq!(device.got(&mut world).code, Code::SERVICE_UNAVAILABLE);
    assert_eq!(world.commits, 0);
}

#[test]
fn an_unanswered_need_is_given_up() {
    let mut world = world();
    let mut device = Device::new("lamp", 4000);
    ask(&mut world, &mut device);
    world.pass_s(21);
    // CoAP acknowledged meanwhile, and the answer comes by itself.
    let codes: Vec<_> = device
        .inbox(&mut world)
        .iter()
        .map(|got| got.code)
        .collect();
    assert!(codes.contains(&Code::SERVICE_UNAVAILABLE), "{codes:?}");
}

#[test]
fn ts_5_2_3_4_the_bootstrap_server_begins_with_a_client_it_knows() {
    let mut world = world();
    world.port = Port::Coap;
    let mut device = Device::new("lamp", 4000);
    let endpoint = name("lamp");
    let unknown = world
        .server
        .bootstrap(world.now, &endpoint, provision("lamp"));
    assert_eq!(unknown, Err(Refused::ClientUnknown));
    device.register(&mut world, &[]);
    let id = world
        .server
        .bootstrap(world.now, &endpoint, provision("lamp"))
        .unwrap();
    world.drain();
    let first = device.got(&mut world);
    assert_eq!(world.server.bootstrap_run(&endpoint).unwrap().id, id);
    // It came from the Bootstrap-Server's door, so the answers come in there.
    world.port = Port::BootstrapCoap;
    assert_eq!(walk(&mut world, &device, first).len(), 6);
    let EventKind::Bootstrapped { run } = world.last_event() else {
        panic!("{:?}", world.last_event())
    };
    assert_eq!((run.id, run.initiator), (id, Initiator::Server));
}

#[test]
fn the_node_hears_what_security_proved() {
    let mut world = world();
    let mut device = Device::new("lamp", 4000);
    ask(&mut world, &mut device);
    assert_eq!(
        world.needs.last().unwrap().1,
        Need::Profile {
            endpoint: name("lamp"),
            identity: Identity::None
        }
    );
}

#[test]
fn an_operator_ends_a_run() {
    let mut world = world();
    let mut device = Device::new("lamp", 4000);
    begin(&mut world, &mut device);
    let endpoint = name("lamp");
    assert!(
        world
            .server
            .end_bootstrap(world.now, &endpoint, RunFailure::Cancelled)
    );
    world.drain();
    assert_eq!(failure(&world), RunFailure::Cancelled);
    assert!(
        !world
            .server
            .end_bootstrap(world.now, &endpoint, RunFailure::Cancelled)
    );
}

#[test]
fn secrets_are_in_no_debug_text_of_commits() {
    let made = provision("lamp").made;
    let text = format!("{made:?}");
    assert!(text.contains("16 secret bytes"), "{text}");
    assert_eq!(Secret::new([1; 3]).as_bytes(), [1; 3]);
}
