//! The kinds of Clients in the demo: one line in the table each, and what makes their values move.

use std::f64::consts::TAU;
use std::time::Duration;

use dunlin_client::{Client, Factory, FactoryError, Now};
use dunlin_lwm2m::operation::Binding;
use dunlin_lwm2m::{Instance, ObjectId, ObjectInstanceId, Resource, ResourceInstanceId, Value};

use super::{DemoSecurity, coffee};

/// How long the demo's Clients in queue mode listen after they have spoken. Far shorter than the 93
/// seconds of the standard, so that one can watch them sleep; the demo's Server is to know it.
pub const QUEUE_AWAKE_WINDOW: Duration = Duration::from_secs(8);

/// The meter wakes this often.
const METER_PERIOD_S: u64 = 30;

const TEMPERATURE: ObjectId = ObjectId(3303);
const HUMIDITY: ObjectId = ObjectId(3304);
const GENERIC: ObjectId = ObjectId(3300);
const LIGHT: ObjectId = ObjectId(3311);
const SWITCH: ObjectId = ObjectId(3342);

/// One kind of device.
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// What is worth watching.
    pub(super) observed: &'static str,
    pub(super) lifetime_s: u32,
    pub(super) binding: Binding,
    pub(super) security: DemoSecurity,
    /// How much of its datagrams is lost, each way.
    pub(super) loss_percent: u32,
    /// How often it reboots by itself.
    pub(super) reboots_every: Option<Duration>,
    pub(super) build: fn(&mut Factory, &str) -> Result<(), FactoryError>,
    /// Called once a second with the seconds of its life.
    pub(super) tick: fn(&mut Client, Now, u64),
}

/// The demo's Clients, in the order in which they come.
pub(super) static KINDS: [Kind; 5] = [
    Kind {
        name: "weather-station",
        observed: "3303/0/5700",
        lifetime_s: 300,
        binding: Binding::U,
        security: DemoSecurity::PreSharedKey,
        loss_percent: 0,
        reboots_every: None,
        build: build_weather_station,
        tick: tick_weather_station,
    },
    Kind {
        name: "water-meter",
        observed: "3300/0/5700",
        lifetime_s: 120,
        binding: Binding::UQ,
        security: DemoSecurity::PreSharedKey,
        loss_percent: 0,
        reboots_every: None,
        build: build_meter,
        tick: tick_meter,
    },
    Kind {
        name: "garage-door",
        observed: "3303/0/5700",
        lifetime_s: 120,
        binding: Binding::U,
        security: DemoSecurity::NoSec,
        loss_percent: 20,
        reboots_every: None,
        build: build_door,
        tick: tick_door,
    },
    Kind {
        name: "street-lamp",
        observed: "3311/0/5805",
        lifetime_s: 60,
        binding: Binding::U,
        security: DemoSecurity::RawPublicKey,
        loss_percent: 0,
        reboots_every: Some(Duration::from_secs(45)),
        build: build_lamp,
        tick: tick_lamp,
    },
    Kind {
        name: "coffee-machine",
        observed: "31001/0/2",
        lifetime_s: 300,
        binding: Binding::U,
        security: DemoSecurity::Certificate,
        loss_percent: 0,
        reboots_every: None,
        build: build_coffee_machine,
        tick: coffee::tick,
    },
];

fn text(value: &str) -> Value {
    Value::String(value.into())
}

/// The Device Object: what is written on the thing.
fn device(
    factory: &mut Factory,
    serial: &str,
    model: &str,
    kind: &str,
    more: &[(u16, i64)],
) -> Result<(), FactoryError> {
    let mut device = Instance::new(0)
        .with(Resource::single(0, text("dunlin")))
        .with(Resource::single(1, text(model)))
        .with(Resource::single(2, text(serial)))
        .with(Resource::single(3, text(env!("CARGO_PKG_VERSION"))))
        .with(Resource::single(14, text("+00:00")))
        .with(Resource::single(15, text("Etc/UTC")))
        .with(Resource::single(17, text(kind)));
    for (id, number) in more {
        device.insert(Resource::single(*id, Value::Integer(*number)));
    }
    factory.add_instance(ObjectId::DEVICE, device)
}

fn sensor(
    factory: &mut Factory,
    object: ObjectId,
    instance: u16,
    value: f64,
    unit: &str,
    purpose: Option<&str>,
) -> Result<(), FactoryError> {
    let mut sensor = Instance::new(instance)
        .with(Resource::single(5700, Value::Float(value)))
        .with(Resource::single(5701, text(unit)));
    if let Some(purpose) = purpose {
        sensor.insert(Resource::single(5750, text(purpose)));
    }
    factory.add_instance(object, sensor)
}

/// Sets a value; the table and the factory agree on what there is.
pub(super) fn set(client: &mut Client, now: Now, path: &str, value: Value) {
    let path = path.parse().expect("paths in this file are paths");
    let done = client.set(now, path, value);
    done.expect("the factory has made what this sets");
}

fn set_float(client: &mut Client, now: Now, path: &str, value: f64) {
    set(client, now, path, Value::Float(value));
}

/// To one decimal: what such sensors resolve.
pub(super) fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// From -1 to 1 and back in `period_s`.
fn wave(seconds: u64, period_s: f64) -> f64 {
    (seconds as f64 / period_s * TAU).sin()
}

/// From -1 to 1 without a pattern to the eye.
pub(super) fn noise(seconds: u64) -> f64 {
    let mixed = seconds.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 40) as f64 / f64::from(1 << 23) - 1.0
}

fn build_weather_station(factory: &mut Factory, serial: &str) -> Result<(), FactoryError> {
    device(
        factory,
        serial,
        "WS-1",
        "weather station",
        &[(10, 180), (21, 512)],
    )?;
    sensor(factory, TEMPERATURE, 0, 12.0, "Cel", None)?;
    sensor(factory, TEMPERATURE, 1, 21.0, "Cel", None)?;
    sensor(factory, HUMIDITY, 0, 60.0, "%RH", None)?;
    sensor(factory, GENERIC, 0, 1_013.0, "hPa", Some("Barometer"))
}

fn tick_weather_station(client: &mut Client, now: Now, seconds: u64) {
    let temperature = 12.0 + 6.0 * wave(seconds, 240.0) + 0.3 * noise(seconds);
    let humidity = 60.0 - 15.0 * wave(seconds, 240.0) + noise(seconds + 7);
    let pressure = 1_013.0 + 4.0 * wave(seconds, 600.0) + 0.2 * noise(seconds + 13);
    set_float(client, now, "/3303/0/5700", tenth(temperature));
    let inside = 21.5 + wave(seconds, 400.0) + 0.1 * noise(seconds + 3);
    set_float(client, now, "/3303/1/5700", tenth(inside));
    set_float(client, now, "/3304/0/5700", tenth(humidity));
    set_float(client, now, "/3300/0/5700", tenth(pressure));
}

fn build_meter(factory: &mut Factory, serial: &str) -> Result<(), FactoryError> {
    device(factory, serial, "WM-1", "water meter", &[(9, 100), (20, 0)])?;
    let one = |value| [(ResourceInstanceId(0), Value::Integer(value))];
    let battery = Instance::new(0)
        .with(Resource::multiple(6, one(1)))
        .with(Resource::multiple(7, one(3_600)));
    factory.add_instance(ObjectId::DEVICE, battery)?;
    sensor(factory, GENERIC, 0, 1_204.0, "m3", Some("Water meter"))?;
    sensor(factory, TEMPERATURE, 0, 9.0, "Cel", None)
}

/// It measures when it wakes, and wakes with an Update whether or not anybody observes.
fn tick_meter(client: &mut Client, now: Now, seconds: u64) {
    if !seconds.is_multiple_of(METER_PERIOD_S) {
        return;
    }
    let volume = 1_204.0 + seconds as f64 / 500.0;
    set_float(
        client,
        now,
        "/3300/0/5700",
        (volume * 1_000.0).round() / 1_000.0,
    );
    set_float(client, now, "/3303/0/5700", tenth(9.0 + noise(seconds)));
    let left = i64::try_from(100 - (seconds / 120).min(95)).expect("a percentage");
    set(client, now, "/3/0/9", Value::Integer(left));
    client.update(now);
}

fn build_coffee_machine(factory: &mut Factory, serial: &str) -> Result<(), FactoryError> {
    device(
        factory,
        serial,
        "CM-1",
        "coffee machine",
        &[(10, 64), (21, 256)],
    )?;
    coffee::build(factory)
}

fn build_door(factory: &mut Factory, serial: &str) -> Result<(), FactoryError> {
    device(
        factory,
        serial,
        "GD-1",
        "garage door",
        &[(10, 90), (21, 256)],
    )?;
    sensor(factory, TEMPERATURE, 0, 9.0, "Cel", None)?;
    let door = Instance::new(0)
        .with(Resource::single(5500, Value::Boolean(false)))
        .with(Resource::single(5501, Value::Integer(0)))
        .with(Resource::single(5750, text("Door")));
    factory.add_instance(SWITCH, door)
}

/// It opens and closes now and then; its motor gets warm while it is open.
fn tick_door(client: &mut Client, now: Now, seconds: u64) {
    let one = ObjectInstanceId(0);
    let mut open = client.tree().value(SWITCH, one, 5500) == Some(&Value::Boolean(true));
    if seconds.is_multiple_of(20) {
        open = !open;
        let count = client.tree().value(SWITCH, one, 5501);
        let count = count.and_then(Value::as_integer).unwrap_or(0);
        set(client, now, "/3342/0/5500", Value::Boolean(open));
        set(client, now, "/3342/0/5501", Value::Integer(count + 1));
    }
    let warmth = client.tree().value(TEMPERATURE, one, 5700);
    let warmth = warmth.and_then(Value::as_number).unwrap_or(9.0);
    let goal = if open { 16.0 } else { 8.0 };
    let next = warmth + (goal - warmth) * 0.05 + 0.1 * noise(seconds);
    set_float(client, now, "/3303/0/5700", (next * 100.0).round() / 100.0);
}

fn build_lamp(factory: &mut Factory, serial: &str) -> Result<(), FactoryError> {
    device(
        factory,
        serial,
        "SL-1",
        "street lamp",
        &[(10, 90), (21, 256)],
    )?;
    let lamp = Instance::new(0)
        .with(Resource::single(5850, Value::Boolean(true)))
        .with(Resource::single(5851, Value::Integer(70)))
        .with(Resource::single(5805, Value::Float(0.0)))
        .with(Resource::single(5701, text("Wh")))
        .with(Resource::single(5750, text("Corner of Mill Lane")));
    factory.add_instance(LIGHT, lamp)
}

/// What it uses follows what is written to it from afar.
fn tick_lamp(client: &mut Client, now: Now, seconds: u64) {
    let lamp = ObjectInstanceId(0);
    let on = client.tree().value(LIGHT, lamp, 5850) == Some(&Value::Boolean(true));
    let dimmer = client.tree().value(LIGHT, lamp, 5851);
    let dimmer = dimmer.and_then(Value::as_number).unwrap_or(100.0);
    let used = client.tree().value(LIGHT, lamp, 5805);
    let used = used.and_then(Value::as_number).unwrap_or(0.0);
    let power = if on { dimmer / 100.0 } else { 0.0 };
    let next = used + power * (2.0 + 0.2 * noise(seconds));
    set_float(client, now, "/3311/0/5805", tenth(next));
}
