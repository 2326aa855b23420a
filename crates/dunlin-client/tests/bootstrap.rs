//! The bootstrap interface as a conversation (TS 1.0 §5.2). The Bootstrap-Server is the first of
//! the scripted Servers, those it tells of follow.

mod common;

use common::*;
use dunlin_client::{Credentials, Event, Factory, MODE_NOSEC, Reason, accounts, bootstrap_account};
use dunlin_lwm2m::operation::{Binding, Operation, ResponseCode, Uplink};
use dunlin_lwm2m::{
    ContentFormat, Instance, Node, Object, ObjectId, Path, Registry, Resource, ResourceInstanceId,
    ShortServerId, Value, format,
};
use dunlin_transport::{Answer, Failure};

const TLV: ContentFormat = ContentFormat::TLV;

/// A device from the factory: a Bootstrap-Server, and so many Servers.
fn device(servers: usize, hold_off_s: u32, timeout_s: u32) -> Factory {
    let mut factory = Factory::new(Registry::bundled()).unwrap();
    let uri = format!("coap://{}", server_address(0));
    factory
        .add_bootstrap_server(&uri, &Credentials::NoSec, hold_off_s, timeout_s)
        .unwrap();
    for index in 1..=servers {
        let uri = format!("coap://{}", server_address(index));
        factory.add_server(&uri, LIFETIME_S, Binding::U).unwrap();
    }
    factory.add_object(ObjectId::ACCESS_CONTROL).unwrap();
    let sensor = Instance::new(0).with(Resource::single(5700, Value::Float(20.5)));
    factory.add_instance(ObjectId(3303), sensor).unwrap();
    factory
}

/// Two Servers beside the Bootstrap-Server.
fn world_of(factory: Factory) -> World {
    let mut world = World::with(factory.build());
    world.servers = (0..3).map(Scripted::new).collect();
    world
}

/// A device without a Server, whose Bootstrap-Request has been answered.
fn asked() -> World {
    let mut world = world_of(device(0, 0, 0));
    world.start();
    assert_eq!(world.servers[0].kinds(), "B");
    world.news.clear();
    world
}

fn number(resource: u16, value: i64) -> Resource {
    Resource::single(resource, Value::Integer(value))
}

fn nothing(resource: u16) -> Resource {
    Resource::single(resource, Value::Opaque(vec![]))
}

/// An account in Object 0 for the scripted Server with this index, which is its Short Server ID.
fn security(id: u16, index: u16) -> Instance {
    let uri = format!("coap://{}", server_address(index.into()));
    Instance::new(id)
        .with(Resource::single(0, Value::String(uri)))
        .with(Resource::single(1, Value::Boolean(index == 0)))
        .with(number(2, MODE_NOSEC))
        .with(nothing(3))
        .with(nothing(4))
        .with(nothing(5))
        .with(number(10, index.max(1).into()))
}

fn server(id: u16, index: u16) -> Instance {
    Instance::new(id)
        .with(number(0, index.into()))
        .with(number(1, 600))
        .with(Resource::single(6, Value::Boolean(true)))
        .with(Resource::single(7, Value::String("U".into())))
}

/// An instance of Object 2: what it is about, whose it is, and who may do what.
fn control(id: u16, target: (u16, u16), owner: u16, rights: &[(u16, i64)]) -> Instance {
    let rights = rights.iter();
    let rights = rights.map(|(server, bits)| (ResourceInstanceId(*server), Value::Integer(*bits)));
    Instance::new(id)
        .with(number(0, target.0.into()))
        .with(number(1, target.1.into()))
        .with(Resource::multiple(2, rights))
        .with(number(3, owner.into()))
}

fn put(target: &str, node: &Node) -> Operation {
    Operation::BootstrapWrite {
        path: path(target),
        format: TLV,
        payload: format::encode(TLV, path(target), node).unwrap(),
    }
}

fn put_one(object: u16, instance: Instance) -> Operation {
    let target = format!("/{object}/{}", instance.id);
    put(&target, &Node::Instance(instance))
}

fn put_text(target: &str, text: &str) -> Operation {
    Operation::BootstrapWrite {
        path: path(target),
        format: ContentFormat::TEXT,
        payload: text.as_bytes().to_vec(),
    }
}

fn remove(target: &str) -> Operation {
    Operation::BootstrapDelete { path: path(target) }
}

fn look(target: &str) -> Operation {
    Operation::BootstrapDiscover { path: path(target) }
}

const FINISH: Operation = Operation::BootstrapFinish;

impl World {
    fn bs(&mut self, operation: &Operation) -> Answer {
        self.ask_as(0, operation)
    }

    fn bs_code(&mut self, operation: &Operation) -> ResponseCode {
        self.code_as(0, operation)
    }

    /// All of them with success.
    fn bs_all(&mut self, operations: &[Operation]) {
        for operation in operations {
            let answer = self.bs(operation);
            let success = answer.code.is_ok_and(|code| code.is_success());
            assert!(success, "{operation:?}: {answer:?}");
        }
    }

    /// An account for the scripted Server with this index.
    fn bs_account(&mut self, index: u16) {
        let write = [
            put_one(0, security(index + 10, index)),
            put_one(1, server(index, index)),
        ];
        self.bs_all(&write);
    }

    fn objects(&self, object: u16) -> Vec<u16> {
        let all = self.client.tree().instances(ObjectId(object));
        all.map(|one| one.id.0).collect()
    }
}

#[test]
fn int_0_client_initiated_bootstrap_in_the_order_of_the_figure() {
    let mut world = world_of(device(0, 0, 0));
    world.start();
    let Uplink::BootstrapRequest(request) = &world.servers[0].uplinks[0].1 else {
        panic!("it asks the Bootstrap-Server first");
    };
    assert_eq!(request.endpoint.as_str(), "thermometer");
    assert!(request.parameters.is_empty(), "1.0 knows ep alone");
    assert_eq!(world.bs_code(&remove("/")), ResponseCode::Deleted);
    world.bs_account(1);
    let owned = control(0, (3303, 0), 1, &[]);
    let sensor = Instance::new(0).with(Resource::single(5700, Value::Float(1.0)));
    world.bs_all(&[put_one(3303, sensor), put_one(2, owned)]);
    assert!(world.servers[1].uplinks.is_empty(), "not before Finish");
    assert_eq!(world.bs_code(&FINISH), ResponseCode::Changed);
    let register = world.servers[1].register(0);
    assert_eq!(register.lifetime_s, 600);
    let listed = String::from_utf8(register.payload()).unwrap();
    assert_eq!(listed, "</1/1>,</2/0>,</3/0>,</3303/0>");
    let told = world.told();
    let [
        Event::BootstrapStarted {
            server_initiated: false,
        },
        Event::Bootstrapped { servers },
        Event::Registered { .. },
    ] = &told[..]
    else {
        panic!("{told:?}")
    };
    assert_eq!(servers, &[ShortServerId::new(1).unwrap()]);
    assert!(!world.client.is_bootstrapping());
    assert_eq!(world.commits, 1, "the run is one commit");
}

#[test]
fn ts_5_2_3_no_server_account_means_bootstrap_and_the_hold_off_time_is_kept() {
    let mut world = world_of(device(0, 30, 0));
    world.start();
    world.pass_s(29);
    assert_eq!(world.servers[0].kinds(), "");
    world.pass_s(1);
    assert_eq!(world.servers[0].kinds(), "B");
}

#[test]
fn ts_5_2_3_with_an_account_it_registers_and_does_not_ask_the_bootstrap_server() {
    let mut world = world_of(device(1, 0, 0));
    world.start();
    assert!(world.is_registered(0));
    world.pass_s(10_000);
    assert_eq!(world.servers[0].kinds(), "");
}

#[test]
fn ts_5_2_3_when_every_server_has_failed_it_asks_the_bootstrap_server() {
    let mut world = world_of(device(2, 10, 0));
    for server in &mut world.servers[1..] {
        server.silent = true;
    }
    world.start();
    for _ in 0..30 {
        world.pass_s(60);
        if world.servers[0].kinds() == "B" {
            break;
        }
    }
    let attempts = |world: &World, server: usize| world.servers[server].kinds();
    assert_eq!(attempts(&world, 1), "RRRRR", "not after the first failure");
    assert_eq!(attempts(&world, 2), "RRRRR");
    assert_eq!(attempts(&world, 0), "B");
    world.bs_all(&[remove("/0"), remove("/1")]);
    world.servers[2].silent = false;
    world.servers[2].open.clear();
    world.bs_account(2);
    world.bs_all(&[FINISH]);
    assert_eq!(accounts(world.client.tree()).len(), 1);
    assert!(world.is_registered(1));
}

#[test]
fn ts_5_2_3_one_server_that_answers_is_enough() {
    let mut world = world_of(device(2, 0, 0));
    world.servers[1].silent = true;
    world.start();
    world.pass_s(5_000);
    assert!(world.is_registered(1));
    assert_eq!(world.servers[0].kinds(), "");
}

#[test]
fn ts_5_2_3_a_server_that_comes_back_in_the_hold_off_time_ends_the_wait() {
    let mut world = world_of(device(1, 3_600, 0));
    world.cut = true;
    world.start();
    world.pass_s(900);
    world.cut = false;
    world.pass_s(20_000);
    assert!(world.is_registered(0));
    assert_eq!(world.servers[0].kinds(), "");
}

#[test]
fn ts_5_2_4_a_refused_request_is_tried_again_after_growing_pauses() {
    let mut world = world_of(device(0, 0, 0));
    world.servers[0].refuse_next(ResponseCode::BadRequest);
    world.start();
    let mut pauses = Vec::new();
    for _ in 0..4 {
        let told = world.told();
        let Some(Event::BootstrapFailed { reason, again_in_s }) = told.last() else {
            panic!("{told:?}")
        };
        assert!(matches!(reason, Reason::Refused(0x80, _)));
        let pause = again_in_s.expect("it is tried again");
        pauses.push(pause);
        world.servers[0].refuse_next(ResponseCode::BadRequest);
        world.pass_s(pause + 1);
    }
    for (pause, nominal) in pauses.iter().zip([5.0, 10.0, 20.0, 40.0]) {
        let (least, most) = ((nominal * 0.8_f64) as u64, (nominal * 1.2_f64) as u64);
        assert!((least..=most).contains(pause), "{pauses:?}");
    }
    assert_eq!(world.servers[0].kinds(), "BBBBB");
}

#[test]
fn ts_5_2_4_a_bootstrap_server_that_does_not_answer_is_asked_for_ever() {
    let mut world = world_of(device(0, 0, 0));
    world.cut = true;
    world.start();
    world.pass_s(93);
    let told = world.told();
    assert!(
        matches!(
            told[..],
            [
                Event::BootstrapStarted { .. },
                Event::BootstrapFailed {
                    reason: Reason::NoAnswer(Failure::TimedOut),
                    ..
                },
                ..
            ]
        ),
        "{told:?}"
    );
    world.pass_s(36_000);
    world.cut = false;
    world.pass_s(720);
    assert!(world.servers[0].kinds().starts_with('B'));
}

#[test]
fn ts_5_2_4_the_bootstrap_server_is_heard_before_its_answer_has_come() {
    let mut world = world_of(device(0, 0, 0));
    world.servers[0].silent = true;
    world.start();
    world.bs_account(1);
    world.bs_all(&[FINISH]);
    assert!(world.is_registered(0));
    world.pass_s(400);
    assert_eq!(
        world.servers[0].kinds(),
        "B",
        "it was heard, so it is not asked again"
    );
}

#[test]
fn ts_5_2_4_without_finish_for_247_s_the_run_has_failed_and_everything_is_as_before() {
    let mut world = world_of(device(1, 0, 0));
    world.start();
    world.news.clear();
    assert!(world.client.bootstrap(world.now));
    world.settle();
    world.bs_all(&[remove("/0"), remove("/1")]);
    world.bs_account(2);
    world.pass_s(200);
    assert_eq!(
        world.bs_code(&put_text("/1/2/1", "77")),
        ResponseCode::Changed
    );
    world.pass_s(246);
    assert!(
        world.client.is_bootstrapping(),
        "every command begins the time anew"
    );
    let before = world.servers[1].kinds();
    assert_eq!(before, "R", "the Server is left alone in the run");
    world.pass_s(1);
    assert!(!world.client.is_bootstrapping());
    let told = world.told();
    assert!(
        told.iter().any(|event| matches!(
            event,
            Event::BootstrapFailed {
                reason: Reason::NotFinished,
                again_in_s: None
            }
        )),
        "{told:?}"
    );
    let known = accounts(world.client.tree());
    assert_eq!(known.len(), 1);
    assert_eq!(known[0].uri.port, server_address(1).port());
    assert_eq!(world.commits, 0, "nothing was kept");
    world.pass_s(10);
    assert!(world.is_registered(0), "it goes on with its Server");
    assert_eq!(world.servers[0].kinds(), "B");
}

#[test]
fn ts_5_2_7_3_discover_lists_instances_with_short_server_ids_and_no_resources() {
    let mut factory = device(2, 0, 0);
    let definition = Registry::bundled().latest(ObjectId(3303)).unwrap().clone();
    factory.add_object(ObjectId(3303)).unwrap().definition = definition;
    let mut world = world_of(factory);
    world.start();
    world.client.bootstrap(world.now);
    world.settle();
    let all = "</>;lwm2m=1.0,</0/0>,</0/1>;ssid=1,</0/2>;ssid=2,</1/0>;ssid=1,</1/1>;ssid=2,</2>,</3/0>,</3303>;ver=1.1,</3303/0>";
    assert_eq!(text(&world.bs(&look("/"))), all);
    let one = world.bs(&look("/0"));
    assert_eq!(one.format, Some(ContentFormat::LINK));
    assert_eq!(
        text(&one),
        "</>;lwm2m=1.0,</0/0>,</0/1>;ssid=1,</0/2>;ssid=2"
    );
    world.bs_all(&[remove("/0/2")]);
    assert_eq!(
        text(&world.bs(&look("/0"))),
        "</>;lwm2m=1.0,</0/0>,</0/1>;ssid=1"
    );
    assert_eq!(world.bs_code(&look("/9")), ResponseCode::NotFound);
}

#[test]
fn quirk_43_discover_begins_as_ts_1_0_prints_it_where_that_is_wanted() {
    let mut world = World::configured(device(0, 0, 0).build(), |config| {
        config.bare_version_in_discover = true;
    });
    world.servers = vec![Scripted::new(0)];
    world.start();
    assert_eq!(text(&world.bs(&look("/0"))), "lwm2m=\"1.0\",</0/0>");
}

#[test]
fn ts_5_2_7_4_write_takes_objects_instances_and_resources_whatever_their_operations() {
    let mut world = asked();
    let many = Object::new(0).with(security(4, 1)).with(security(5, 2));
    let servers = Object::new(1).with(server(7, 1)).with(server(8, 2));
    world.bs_all(&[
        put("/0", &Node::Object(many)),
        put("/1", &Node::Object(servers)),
        put_text("/1/8/1", "120"),
        put_text("/3/0/0", "written, though read-only"),
        FINISH,
    ]);
    assert_eq!(world.objects(0), [0, 4, 5], "what is not written stays");
    assert_eq!(world.servers[1].register(0).lifetime_s, 600);
    assert_eq!(world.servers[2].register(0).lifetime_s, 120);
    let shown = world.client.tree().value(ObjectId::DEVICE, 0.into(), 0);
    assert_eq!(
        shown,
        Some(&Value::String("written, though read-only".into()))
    );
}

#[test]
fn ts_5_2_7_4_a_written_instance_is_overwritten_whole_and_the_unknown_is_passed_over() {
    let mut world = asked();
    let odd = server(1, 1).with(number(2, 5)).with(number(999, 1));
    world.bs_all(&[
        put_one(1, odd),
        put_one(1, server(1, 1)),
        put_one(0, security(3, 1)),
        FINISH,
    ]);
    let tree = world.client.tree();
    assert_eq!(tree.value(ObjectId::SERVER, 1.into(), 2), None);
    assert_eq!(tree.value(ObjectId::SERVER, 1.into(), 999), None);
}

#[test]
fn leshan_an_optional_resource_that_is_written_as_nothing_is_not_there() {
    let mut world = asked();
    // What Leshan's Bootstrap-Server writes of an account without SMS.
    let account = security(1, 1)
        .with(number(6, 3))
        .with(nothing(7))
        .with(nothing(8))
        .with(Resource::single(9, Value::String(String::new())));
    world.bs_all(&[put_one(0, account), put_one(1, server(1, 1)), FINISH]);
    let tree = world.client.tree();
    assert_eq!(tree.value(ObjectId::SECURITY, 1.into(), 7), None);
    assert_eq!(tree.value(ObjectId::SECURITY, 1.into(), 8), None);
    assert_eq!(world.servers[1].register(0).lifetime_s, 600);
    // A key that is too short is still one.
    let short = security(1, 1).with(Resource::single(8, Value::Opaque(vec![1])));
    let mut world = asked();
    let answer = world.bs(&put_one(0, short));
    assert_eq!(answer.code, Ok(ResponseCode::BadRequest));
}

#[test]
fn ts_5_2_7_4_what_cannot_be_written_is_refused_and_changes_nothing() {
    use ResponseCode::{BadRequest, UnsupportedContentFormat};
    let mut world = asked();
    let cbor = Operation::BootstrapWrite {
        path: path("/1/0"),
        format: ContentFormat(60),
        payload: vec![1],
    };
    let rubbish = Operation::BootstrapWrite {
        path: path("/1/0"),
        format: TLV,
        payload: vec![0xc8, 0, 9],
    };
    let wrong = server(0, 1).with(number(1, -5));
    for (operation, code) in [
        (put_one(9, Instance::new(0)), BadRequest),
        (put_text("/1/0/77", "1"), BadRequest),
        (put_text("/1/0/1", "never"), BadRequest),
        (
            put_text("/0/0/3", "text for bytes"),
            UnsupportedContentFormat,
        ),
        (put_one(3, Instance::new(1)), BadRequest),
        (put_one(1, wrong), BadRequest),
        (put_one(1, Instance::new(u16::MAX)), BadRequest),
        (cbor, UnsupportedContentFormat),
        (rubbish, BadRequest),
    ] {
        let answer = world.bs(&operation);
        if code == UnsupportedContentFormat && operation.path().resource_id().is_some() {
            // Text can carry opaque values as base64; this one is none.
            assert!(
                answer.code.is_ok_and(|code| !code.is_success()),
                "{answer:?}"
            );
            continue;
        }
        assert_eq!(answer.code, Ok(code), "{operation:?}: {}", text(&answer));
    }
    assert_eq!(text(&world.bs(&look("/1"))), "</>;lwm2m=1.0,</1>");
}

#[test]
fn ts_5_2_7_5_delete_never_takes_the_bootstrap_server_account_or_the_device() {
    let mut world = world_of(device(2, 0, 0));
    world.start();
    world.client.bootstrap(world.now);
    world.settle();
    assert_eq!(world.bs_code(&remove("/")), ResponseCode::Deleted);
    let left = "</>;lwm2m=1.0,</0/0>,</1>,</2>,</3/0>,</3303>";
    assert_eq!(text(&world.bs(&look("/"))), left);
    for (target, code) in [
        ("/0", ResponseCode::Deleted),
        ("/3", ResponseCode::Deleted),
        ("/1/0", ResponseCode::Deleted),
        ("/0/0", ResponseCode::BadRequest),
        ("/3/0", ResponseCode::BadRequest),
        ("/9", ResponseCode::BadRequest),
        ("/9/0", ResponseCode::BadRequest),
    ] {
        assert_eq!(world.bs_code(&remove(target)), code, "{target}");
    }
    assert_eq!(text(&world.bs(&look("/"))), left);
    world.bs_account(1);
    world.bs_all(&[FINISH]);
    assert!(bootstrap_account(world.client.tree()).is_some());
    assert_eq!(world.objects(3), [0]);
    assert_eq!(world.objects(3303), [] as [u16; 0]);
}

/// Writes of a run, the last of which is Finish, and the words of its 4.06.
fn inconsistent(operations: &[Operation]) -> String {
    let mut world = asked();
    world.bs_all(operations);
    let answer = world.bs(&FINISH);
    assert_eq!(answer.code, Ok(ResponseCode::NotAcceptable));
    assert_eq!(world.commits, 0);
    text(&answer).to_string()
}

#[test]
fn ts_5_2_7_6_finish_is_4_06_when_the_configuration_makes_no_sense() {
    let account = || vec![put_one(0, security(1, 1)), put_one(1, server(1, 1))];
    let with = |more: Operation| {
        let mut all = account();
        all.push(more);
        inconsistent(&all)
    };
    assert_eq!(inconsistent(&[]), "there is no account of any Server");
    assert!(inconsistent(&account()[..1]).starts_with("/0/1: no instance of Object 1"));
    assert!(inconsistent(&account()[1..]).starts_with("/1/1: no instance of Object 0"));
    assert!(with(put_one(0, security(2, 0))).contains("a second account of a Bootstrap-Server"));
    assert!(with(put_one(0, security(2, 1))).contains("/0/2/10: a second account of Server 1"));
    assert!(with(put_one(1, server(2, 1))).contains("/1/2/0: a second instance for Server 1"));
    assert!(with(put_text("/1/1/7", "UQS")).contains("/1/1/7"));
    assert!(with(put_text("/0/1/0", "coaps://h")).contains("coaps://"));
    assert!(with(put_text("/0/1/0", "http://h")).contains("/0/1"));
    assert!(with(put_text("/0/1/2", "0")).contains("coap:// URI"));
    assert!(with(put_text("/0/1/2", "4")).contains("does not support"));
    let mut half = server(1, 1);
    half.remove(6.into());
    assert!(with(put_one(1, half)).contains("/1/1/6: is missing"));
    assert!(with(put_one(2, control(0, (77, 0), 1, &[]))).contains("no such Object"));
    assert!(with(put_one(2, control(0, (3303, 9), 1, &[]))).contains("no such Object Instance"));
}

#[test]
fn ts_5_2_7_6_several_servers_need_access_control() {
    let mut factory = Factory::new(Registry::bundled()).unwrap();
    let uri = format!("coap://{}", server_address(0));
    factory
        .add_bootstrap_server(&uri, &Credentials::NoSec, 0, 0)
        .unwrap();
    let mut world = world_of(factory);
    world.start();
    world.bs_account(1);
    world.bs_account(2);
    let answer = world.bs(&FINISH);
    assert_eq!(answer.code, Ok(ResponseCode::NotAcceptable));
    assert!(text(&answer).contains("Object 2"));
}

#[test]
fn ts_5_2_7_6_after_4_06_the_run_goes_on_and_may_be_mended() {
    let mut world = asked();
    world.bs_all(&[put_one(0, security(1, 1))]);
    assert_eq!(world.bs_code(&FINISH), ResponseCode::NotAcceptable);
    assert!(world.client.is_bootstrapping());
    world.bs_all(&[put_one(1, server(1, 1)), FINISH]);
    assert!(world.is_registered(0));
}

#[test]
fn ts_5_2_4_a_4_06_that_is_not_mended_leaves_the_old_accounts() {
    let mut world = world_of(device(1, 0, 0));
    world.start();
    world.client.bootstrap(world.now);
    world.settle();
    world.bs_all(&[remove("/")]);
    assert_eq!(world.bs_code(&FINISH), ResponseCode::NotAcceptable);
    world.pass_s(247);
    assert!(!world.client.is_bootstrapping());
    assert_eq!(world.objects(1), [0]);
    assert_eq!(world.objects(3303), [0]);
    world.pass_s(300);
    assert!(world.is_registered(0));
}

#[test]
fn ts_5_2_4_the_account_of_the_bootstrap_server_is_removed_after_its_timeout() {
    let mut world = world_of(device(0, 0, 60));
    world.start();
    world.bs_account(1);
    world.pass_s(100);
    world.bs_all(&[FINISH]);
    world.pass_s(59);
    assert!(bootstrap_account(world.client.tree()).is_some());
    world.pass_s(1);
    assert!(bootstrap_account(world.client.tree()).is_none());
    assert!(world.told().contains(&Event::BootstrapAccountRemoved));
    assert!(!world.client.bootstrap(world.now), "nobody is left to ask");
    assert_eq!(
        world.try_ask(0, &look("/")),
        None,
        "nor may it begin by itself"
    );
    assert_eq!(world.commits, 2, "that it is gone is kept");
}

#[test]
fn ts_5_2_4_the_timeout_of_the_account_runs_on_over_a_restart() {
    let mut world = world_of(device(0, 0, 600));
    world.start();
    world.bs_account(1);
    world.bs_all(&[FINISH]);
    world.pass_s(200);
    world.restart(device(0, 0, 600).build());
    assert!(world.is_registered(0), "accounts survive");
    world.pass_s(399);
    assert!(bootstrap_account(world.client.tree()).is_some());
    world.pass_s(1);
    assert!(bootstrap_account(world.client.tree()).is_none());
}

#[test]
fn ts_e_1_3_what_one_server_alone_could_reach_goes_with_its_account() {
    let mut factory = device(2, 0, 0);
    for instance in [
        control(0, (3303, 0), 2, &[]),
        control(1, (3303, 1), 2, &[(1, 1), (2, 15)]),
        control(2, (3303, 2), 1, &[(2, 1)]),
        control(3, (3, 0), 2, &[(2, 1)]),
    ] {
        factory
            .add_instance(ObjectId::ACCESS_CONTROL, instance)
            .unwrap();
    }
    for id in [1, 2] {
        let sensor = Instance::new(id).with(Resource::single(5700, Value::Float(1.0)));
        factory.add_instance(ObjectId(3303), sensor).unwrap();
    }
    let mut world = world_of(factory);
    world.start();
    world.client.bootstrap(world.now);
    world.settle();
    // Object 0: 0 is the Bootstrap-Server's, 1 and 2 are those of the Servers.
    world.bs_all(&[remove("/0/2"), FINISH]);
    assert_eq!(world.objects(1), [0], "its instance of Object 1");
    assert_eq!(world.objects(3303), [1, 2], "what it owned alone");
    assert_eq!(world.objects(3), [0], "but never the Device");
    assert_eq!(world.objects(2), [1, 2]);
    let tree = world.client.tree();
    let owner = tree.value(ObjectId::ACCESS_CONTROL, 1.into(), 3);
    assert_eq!(owner, Some(&Value::Integer(1)), "another owner");
    let rights = |id: u16| {
        let mut all = tree.instances(ObjectId::ACCESS_CONTROL);
        let control = all.find(|one| one.id.0 == id).unwrap();
        control.resource(2).unwrap().value.clone()
    };
    let one = |server: u16, bits| {
        Resource::multiple(2, [(ResourceInstanceId(server), Value::Integer(bits))]).value
    };
    assert_eq!(rights(1), one(1, 1));
    assert_eq!(rights(2), Resource::multiple(2, []).value);
    assert_eq!(world.servers[2].kinds(), "RD", "it is told good-bye");
    assert_eq!(world.servers[1].kinds(), "RR");
}

#[test]
fn ts_e_1_3_a_server_whose_account_is_written_anew_keeps_its_rights() {
    let mut factory = device(1, 0, 0);
    let owned = control(0, (3303, 0), 1, &[]);
    factory
        .add_instance(ObjectId::ACCESS_CONTROL, owned)
        .unwrap();
    let mut world = world_of(factory);
    world.start();
    world.client.bootstrap(world.now);
    world.settle();
    world.bs_all(&[remove("/0"), put_one(0, security(7, 1)), FINISH]);
    assert_eq!((world.objects(2), world.objects(3303)), (vec![0], vec![0]));
    assert_eq!(
        world.servers[1].kinds(),
        "RR",
        "the same Server, registered anew"
    );
}

#[test]
fn ts_5_2_4_a_server_that_moved_is_left_and_registered_with_at_its_new_place() {
    let mut world = world_of(device(1, 0, 0));
    world.start();
    world.observe_as(1, "/3303/0/5700");
    world.client.bootstrap(world.now);
    world.settle();
    let uri = format!("coap://{}", server_address(2));
    world.bs_all(&[put_text("/0/1/0", &uri), FINISH]);
    assert_eq!(world.servers[1].kinds(), "RD");
    assert_eq!(world.servers[2].kinds(), "R");
    world.set("/3303/0/5700", Value::Float(9.0));
    assert!(
        world.servers[1].notified.is_empty(),
        "its observation is over"
    );
}

#[test]
fn ts_5_2_the_bootstrap_server_may_begin_by_itself() {
    let mut world = world_of(device(1, 3_600, 0));
    world.start();
    world.news.clear();
    world.bs_all(&[remove("/0"), remove("/1")]);
    world.bs_account(2);
    assert!(matches!(
        world.news[..],
        [Event::BootstrapStarted {
            server_initiated: true
        }]
    ));
    world.bs_all(&[FINISH]);
    assert_eq!(world.servers[0].kinds(), "", "nobody has asked");
    assert!(world.is_registered(1));
}

#[test]
fn ts_5_2_where_that_is_not_wanted_it_is_not_heard() {
    let mut world = World::configured(device(1, 0, 0).build(), |config| {
        config.server_initiated_bootstrap = false;
    });
    world.servers = (0..2).map(Scripted::new).collect();
    world.start();
    assert_eq!(world.try_ask(0, &look("/")), None);
    world.give_up(0);
    world.client.bootstrap(world.now);
    world.settle();
    world.bs_all(&[look("/"), FINISH]);
    assert_eq!(world.try_ask(0, &remove("/")), None, "the run is over");
}

#[test]
fn ts_5_2_servers_are_not_heard_in_a_run_and_may_never_bootstrap() {
    let mut world = world_of(device(1, 0, 0));
    world.start();
    assert_eq!(
        world.code_as(1, &remove("/0")),
        ResponseCode::MethodNotAllowed
    );
    assert_eq!(world.code_as(1, &read("/3/0/0")), ResponseCode::NotFound);
    world.client.bootstrap(world.now);
    world.settle();
    assert_eq!(world.try_ask(1, &read("/3303/0/5700")), None);
    world.give_up(1);
    world.bs_all(&[FINISH]);
    assert_eq!(
        world.code_as(1, &read("/3303/0/5700")),
        ResponseCode::Content
    );
}

#[test]
fn values_that_the_device_sets_in_a_run_are_not_lost() {
    let mut world = asked();
    world.bs_account(1);
    world.set("/3303/0/5700", Value::Float(33.0));
    world.bs_all(&[FINISH]);
    let value = world.client.tree().value(ObjectId(3303), 0.into(), 5700);
    assert_eq!(value, Some(&Value::Float(33.0)));
}

#[test]
fn a_finish_that_is_repeated_is_answered_again_and_begins_nothing() {
    let mut world = asked();
    world.bs_account(1);
    world.bs_all(&[FINISH]);
    let last = world.servers[0].uplinks.len();
    world.pass_s(10);
    assert_eq!(world.servers[0].uplinks.len(), last);
    assert!(!world.client.is_bootstrapping());
}

#[test]
fn what_was_bootstrapped_survives_a_restart() {
    let mut world = asked();
    world.bs_account(2);
    world.bs_all(&[FINISH]);
    world.restart(device(0, 0, 0).build());
    assert_eq!(world.servers[0].kinds(), "B", "it need not ask again");
    assert_eq!(world.servers[2].kinds(), "RR");
    assert_eq!(
        Path::ROOT,
        look("/").path(),
        "and the account of the Bootstrap-Server is still there"
    );
    assert!(bootstrap_account(world.client.tree()).is_some());
}
