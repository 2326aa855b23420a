//! Objects 3, 4, 6 and 7 as Servers see them, with what the device says of itself (TS 1.0 §E.4 to §E.8).

mod common;

use common::*;
use dunlin_client::object::{ConnectivityStatistics, ErrorCode, Traffic};
use dunlin_client::{Fix, Sample, WallTime};
use dunlin_lwm2m::operation::{Binding, ResponseCode};
use dunlin_lwm2m::{
    ContentFormat, Instance, ObjectId, Path, ResourceInstanceId, ResourceValue, Value,
};

fn world() -> World {
    let mut factory = factory(1, Binding::U);
    let statistics = ConnectivityStatistics::instance();
    factory
        .add_instance(ObjectId::CONNECTIVITY_STATISTICS, statistics)
        .unwrap();
    for object in [ObjectId::CONNECTIVITY_MONITORING, ObjectId::LOCATION] {
        factory.add_instance(object, Instance::new(0)).unwrap();
    }
    let mut world = World::with(factory.build());
    world.start();
    world.news.clear();
    world
}

fn take(world: &mut World, samples: Vec<Sample>) {
    let now = world.now;
    assert_eq!(world.client.take(now, samples), []);
    world.settle();
}

fn value(world: &mut World, target: &str) -> String {
    text(&world.ask(&read(target))).into()
}

fn errors(world: &mut World) -> Vec<(u16, i64)> {
    let node = world.client.read(path("/3/0/11")).unwrap();
    let values = node.values(path("/3/0/11")).into_iter();
    let number = |(at, value): (Path, &Value)| {
        let id = at.resource_instance_id().unwrap();
        (id.0, value.as_integer().unwrap())
    };
    values.map(number).collect()
}

#[test]
fn ts_e_4_error_codes_come_and_go_one_instance_each() {
    let mut world = world();
    world.observe("/3/0/11");
    assert_eq!(errors(&mut world), [(0, 0)]);
    take(&mut world, vec![Sample::Raised(ErrorCode::LowBattery)]);
    assert_eq!(errors(&mut world), [(0, 1)]);
    take(&mut world, vec![Sample::Raised(ErrorCode::OutOfMemory)]);
    assert_eq!(errors(&mut world), [(0, 1), (1, 5)]);
    // What is there already is not told once more.
    let told = world.servers[0].notified.len();
    take(&mut world, vec![Sample::Raised(ErrorCode::OutOfMemory)]);
    assert_eq!((told, world.servers[0].notified.len()), (2, 2));
    take(&mut world, vec![Sample::Cleared(ErrorCode::LowBattery)]);
    assert_eq!(errors(&mut world), [(1, 5)]);
    take(&mut world, vec![Sample::Raised(ErrorCode::IpFailure)]);
    assert_eq!(errors(&mut world), [(0, 7), (1, 5)]);
    let all = [ErrorCode::IpFailure, ErrorCode::OutOfMemory];
    take(&mut world, all.map(Sample::Cleared).to_vec());
    assert_eq!(errors(&mut world), [(0, 0)]);
}

#[test]
fn ts_e_4_int_657_a_reset_clears_and_what_still_holds_is_raised_again() {
    let mut world = world();
    let low = vec![Sample::Raised(ErrorCode::LowBattery)];
    take(&mut world, low.clone());
    assert_eq!(world.code(&execute("/3/0/12")), ResponseCode::Changed);
    assert_eq!(errors(&mut world), [(0, 0)]);
    take(&mut world, low);
    assert_eq!(errors(&mut world), [(0, 1)]);
}

#[test]
fn ts_e_5_int_701_connectivity_is_what_the_device_says() {
    let mut world = world();
    let several = |values: &[Value]| {
        let ids = (0..).map(ResourceInstanceId);
        ResourceValue::Multiple(ids.zip(values.iter().cloned()).collect())
    };
    take(
        &mut world,
        vec![
            Sample::single([4, 0, 0], Value::Integer(21)),
            Sample::Value([4, 0, 1].into(), several(&[Value::Integer(21)])),
            Sample::single([4, 0, 2], Value::Integer(-61)),
            Sample::Value(
                [4, 0, 4].into(),
                several(&[Value::String("192.0.2.7".into())]),
            ),
        ],
    );
    let monitoring = world.ask(&read_as("/4/0", ContentFormat::JSON));
    assert_eq!(
        text(&monitoring),
        r#"{"bn":"/4/0/","e":[{"n":"0","v":21},{"n":"1/0","v":21},{"n":"2","v":-61},{"n":"4/0","sv":"192.0.2.7"}]}"#
    );
    take(&mut world, vec![Sample::Gone([4, 0, 2].into())]);
    assert_eq!(world.code(&read("/4/0/2")), ResponseCode::NotFound);
    for operation in [create(4, b""), delete("/4/0"), write_text("/4/0/0", "1")] {
        assert_eq!(world.code(&operation), ResponseCode::MethodNotAllowed);
    }
}

#[test]
fn ts_e_7_int_801_a_place_is_told_as_a_whole() {
    let mut world = world();
    world.observe("/6/0");
    let mut fix = Fix {
        latitude: -43.5723,
        longitude: 153.2176,
        altitude: Some(12.5),
        at: WallTime(1_500),
        ..Fix::default()
    };
    take(&mut world, fix.samples());
    assert_eq!(
        world.servers[0].notified.len(),
        1,
        "one moment, one notification"
    );
    assert_eq!(value(&mut world, "/6/0/0"), "-43.5723");
    assert_eq!(value(&mut world, "/6/0/5"), "1");
    fix.altitude = None;
    take(&mut world, fix.samples());
    assert_eq!(world.code(&read("/6/0/2")), ResponseCode::NotFound);
}

#[test]
fn what_does_not_fit_the_objects_is_given_back() {
    let mut world = world();
    let now = world.now;
    let samples = vec![
        Sample::single([9, 0, 0], Value::Integer(1)),
        Sample::single([4, 0, 0], Value::Integer(99)),
        Sample::single([4, 0, 0], Value::Integer(41)),
    ];
    let refused = world.client.take(now, samples);
    assert_eq!(
        refused,
        [
            (path("/9/0/0"), "no such Object"),
            (path("/4/0/0"), "a value is out of its range"),
        ]
    );
    assert_eq!(value(&mut world, "/4/0/0"), "41");
}

fn traffic(tx: u64, rx: u64, messages: u64) -> Vec<Sample> {
    vec![Sample::Traffic(Traffic {
        tx_bytes: tx,
        rx_bytes: rx,
        messages,
        ..Traffic::default()
    })]
}

/// Tx Data, Rx Data, Average Message Size.
fn counted(world: &mut World) -> [i64; 3] {
    ["/7/0/2", "/7/0/3", "/7/0/5"].map(|target| value(world, target).parse().unwrap())
}

#[test]
fn ts_e_8_int_901_counting_begins_with_start_and_ends_with_stop() {
    let mut world = world();
    take(&mut world, traffic(1_000_000, 5_000_000, 10_000));
    assert_eq!(counted(&mut world), [0, 0, 0]);
    assert_eq!(world.code(&execute("/7/0/6")), ResponseCode::Changed);
    take(&mut world, traffic(1_004_000, 5_016_000, 10_040));
    assert_eq!(counted(&mut world), [4, 16, 500]);
    assert_eq!(world.code(&execute("/7/0/7")), ResponseCode::Changed);
    take(&mut world, traffic(2_000_000, 6_000_000, 20_000));
    assert_eq!(counted(&mut world), [4, 16, 500]);
    // Start begins at nothing again.
    world.ask(&execute("/7/0/6"));
    assert_eq!(counted(&mut world), [0, 0, 0]);
    take(&mut world, traffic(2_001_000, 6_000_000, 20_001));
    assert_eq!(counted(&mut world), [1, 0, 1_000]);
}

#[test]
fn ts_e_8_a_collection_period_ends_by_itself() {
    let mut world = world();
    take(&mut world, traffic(0, 0, 0));
    assert_eq!(
        world.code(&write_text("/7/0/8", "60")),
        ResponseCode::Changed
    );
    assert_eq!(
        world.code(&write_text("/7/0/8", "-1")),
        ResponseCode::BadRequest
    );
    world.ask(&execute("/7/0/6"));
    for second in 1..=10_u64 {
        world.pass_s(10);
        take(&mut world, traffic(second * 1_000, 0, second));
    }
    assert_eq!(counted(&mut world), [6, 0, 1_000]);
}

#[test]
fn ts_e_8_counters_that_begin_anew_lose_nothing() {
    let mut world = world();
    take(&mut world, traffic(900_000, 0, 900));
    world.ask(&execute("/7/0/6"));
    take(&mut world, traffic(902_000, 0, 902));
    take(&mut world, traffic(3_000, 0, 3));
    assert_eq!(counted(&mut world), [5, 0, 1_000]);
}
