//! The Clients of `dunlin demo`: five kinds of device, each a real Client over real UDP.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use dunlin_client::lwm2m::operation::Binding;
use dunlin_client::lwm2m::{
    EndpointName, Instance, ObjectId, Path, Registry, Resource, ResourceValue, Value,
    definition::parse_ddf,
};
use dunlin_client::{Client, Config, Event, Factory, Now};
use dunlin_net::client::{ClientHandle, ClientLoop, Host};

/// The object of the coffee machine: nobody but its maker knows it, and its definition is all it
/// takes to be shown with names and units.
pub(crate) const COFFEE_MACHINE: &str = include_str!("demo/coffee-machine.xml");

/// Object ID of the coffee machine.
const COFFEE: u16 = 31_001;

/// How long the sleeping meter listens after it has said something; the demo's Server is told the
/// same.
pub(crate) const AWAKE_WINDOW: Duration = Duration::from_secs(8);

/// How often values move.
const STEP: Duration = Duration::from_secs(2);

/// How long the street lamp runs before it loses its power.
const UPTIME: Duration = Duration::from_secs(45);

/// How long it is dark.
const DOWNTIME: Duration = Duration::from_secs(6);

/// The kinds of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Always on.
    WeatherStation,
    /// Sleeps, and wakes twice a minute.
    WaterMeter,
    /// Loses every fifth datagram.
    GarageDoor,
    /// Reboots.
    StreetLamp,
    /// Has an object of its maker's own.
    CoffeeMachine,
}

const KINDS: [Kind; 5] = [
    Kind::WeatherStation,
    Kind::WaterMeter,
    Kind::GarageDoor,
    Kind::StreetLamp,
    Kind::CoffeeMachine,
];

/// One device of the demo.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) kind: Kind,
    pub(crate) endpoint: String,
}

/// So many devices, kind by kind.
pub(crate) fn devices(count: usize) -> Vec<Device> {
    (0..count)
        .map(|index| {
            let kind = KINDS[index % KINDS.len()];
            let round = index / KINDS.len();
            let suffix = if round == 0 {
                String::new()
            } else {
                format!("-{}", round + 1)
            };
            Device {
                kind,
                endpoint: format!("{}{suffix}", kind.name()),
            }
        })
        .collect()
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::WeatherStation => "weather-station",
            Self::WaterMeter => "water-meter",
            Self::GarageDoor => "garage-door",
            Self::StreetLamp => "street-lamp",
            Self::CoffeeMachine => "coffee-machine",
        }
    }

    /// What the demo's operator observes, so that there is something to see.
    pub(crate) fn observed(self) -> &'static str {
        match self {
            Self::WeatherStation | Self::GarageDoor => "3303/0/5700",
            Self::WaterMeter => "3300/0/5700",
            Self::StreetLamp => "3311/0/5851",
            Self::CoffeeMachine => "31001/0/1",
        }
    }

    fn lifetime_s(self) -> u32 {
        match self {
            // It is refreshed half a lifetime before the end: every thirty seconds.
            Self::WaterMeter => 60,
            Self::StreetLamp => 60,
            _ => 300,
        }
    }

    fn binding(self) -> Binding {
        if self == Self::WaterMeter {
            Binding::UQ
        } else {
            Binding::U
        }
    }
}

/// Runs one device until the future is dropped.
pub(crate) async fn run(device: Device, server: SocketAddr) -> anyhow::Result<()> {
    loop {
        let running = life(&device, server);
        if device.kind != Kind::StreetLamp {
            return running.await;
        }
        // The power fails: nothing is said, and what was in memory is gone.
        if let Ok(ended) = tokio::time::timeout(UPTIME, running).await {
            return ended;
        }
        tokio::time::sleep(DOWNTIME).await;
    }
}

async fn life(device: &Device, server: SocketAddr) -> anyhow::Result<()> {
    let client = build(device, server)?;
    let loss = if device.kind == Kind::GarageDoor {
        0.2
    } else {
        0.0
    };
    let host = DemoHost {
        loss,
        chance: Chance::new(&device.endpoint),
    };
    let (client_loop, handle) = ClientLoop::new(client, host);
    let moving = values(device.kind, handle);
    tokio::select! {
        ended = client_loop.run(Duration::ZERO) => Ok(ended?),
        () = moving => Ok(()),
    }
}

fn build(device: &Device, server: SocketAddr) -> anyhow::Result<Client> {
    let mut registry = Registry::bundled();
    for definition in parse_ddf(COFFEE_MACHINE.as_bytes())? {
        registry.insert(definition);
    }
    let mut factory = Factory::new(registry)?;
    factory.add_server(
        &format!("coap://{server}"),
        device.kind.lifetime_s(),
        device.kind.binding(),
    )?;
    factory.add_instance(ObjectId::DEVICE, about(device.kind))?;
    for (object, instance) in objects(device.kind) {
        factory.add_instance(object, instance)?;
    }
    let mut config = Config::new(EndpointName::new(&device.endpoint)?);
    config.awake_window = AWAKE_WINDOW;
    Ok(Client::new(
        config,
        factory.build(),
        dunlin_net::seed::draw()?,
    ))
}

fn text(id: u16, text: &str) -> Resource {
    Resource::single(id, Value::String(text.into()))
}

fn float(id: u16, number: f64) -> Resource {
    Resource::single(id, Value::Float(number))
}

fn about(kind: Kind) -> Instance {
    let (model, serial) = match kind {
        Kind::WeatherStation => ("Vane 2", "WS-20417"),
        Kind::WaterMeter => ("Drop 1", "WM-88310"),
        Kind::GarageDoor => ("Lift 5", "GD-01122"),
        Kind::StreetLamp => ("Glow 3", "SL-55190"),
        Kind::CoffeeMachine => ("Crema 7", "CM-70007"),
    };
    Instance::new(0)
        .with(text(0, "Shoreline Devices"))
        .with(text(1, model))
        .with(text(2, serial))
        .with(text(3, env!("CARGO_PKG_VERSION")))
        .with(text(14, "+00:00"))
        .with(Resource::single(9, Value::Integer(87)))
        .with(text(17, kind.name()))
}

fn sensor(instance: u16, value: f64, unit: &str, place: &str) -> Instance {
    Instance::new(instance)
        .with(float(5601, value))
        .with(float(5602, value))
        .with(float(5700, value))
        .with(text(5701, unit))
        .with(text(5750, place))
}

fn objects(kind: Kind) -> Vec<(ObjectId, Instance)> {
    let truth = |id: u16, value: bool| Resource::single(id, Value::Boolean(value));
    match kind {
        Kind::WeatherStation => vec![
            (
                ObjectId(3303),
                sensor(0, 14.0, "Cel", "outside, north wall"),
            ),
            (ObjectId(3303), sensor(1, 21.0, "Cel", "inside")),
            (
                ObjectId(3304),
                sensor(0, 61.0, "%RH", "outside, north wall"),
            ),
        ],
        Kind::WaterMeter => vec![(ObjectId(3300), sensor(0, 1_284.5, "m3", "main pipe"))],
        Kind::GarageDoor => vec![
            (
                ObjectId(3342),
                Instance::new(0)
                    .with(truth(5500, false))
                    .with(text(5750, "door")),
            ),
            (ObjectId(3303), sensor(0, 9.0, "Cel", "motor")),
        ],
        Kind::StreetLamp => vec![(
            ObjectId(3311),
            Instance::new(0)
                .with(truth(5850, true))
                .with(Resource::single(5851, Value::Integer(70)))
                .with(text(5750, "corner of Mill Lane")),
        )],
        Kind::CoffeeMachine => vec![(
            ObjectId(COFFEE),
            Instance::new(0)
                .with(text(0, "Kitchen, second floor"))
                .with(Resource::single(1, Value::Integer(0)))
                .with(float(2, 91.0))
                .with(Resource::single(3, Value::Integer(62)))
                .with(truth(4, false)),
        )],
    }
}

/// Moves the values of a device for ever.
async fn values(kind: Kind, handle: ClientHandle) {
    let mut step = tokio::time::interval(STEP);
    for turn in 0_u32.. {
        step.tick().await;
        if kind == Kind::WaterMeter && turn % 10 != 0 {
            // It measures rarely: whoever sleeps does not chatter.
            continue;
        }
        let alive = handle
            .run(move |client, now| {
                for (path, value) in moved(kind, turn) {
                    // The values fit their definitions; a test holds it.
                    let _ = client.set(now, path, value);
                }
            })
            .await;
        if !alive {
            return;
        }
    }
}

fn moved(kind: Kind, turn: u32) -> Vec<(Path, ResourceValue)> {
    let at = |ids: [u16; 3]| Path::from_ids(&ids).expect("three ids are a path");
    let wave = |middle: f64, swing: f64, period: f64| {
        let angle = f64::from(turn) * std::f64::consts::TAU / period;
        ((middle + swing * angle.sin() + 0.2 * (angle * 7.3).cos()) * 10.0).round() / 10.0
    };
    let float = |number| ResourceValue::Single(Value::Float(number));
    match kind {
        Kind::WeatherStation => vec![
            (at([3303, 0, 5700]), float(wave(14.0, 6.0, 90.0))),
            (at([3303, 1, 5700]), float(wave(21.5, 1.0, 140.0))),
            (at([3304, 0, 5700]), float(wave(61.0, 12.0, 110.0))),
        ],
        Kind::WaterMeter => {
            let total = (1_284.5 + f64::from(turn) * 0.003) * 1_000.0;
            vec![(at([3300, 0, 5700]), float(total.round() / 1_000.0))]
        }
        Kind::GarageDoor => vec![
            (at([3303, 0, 5700]), float(wave(9.0, 3.0, 60.0))),
            (
                at([3342, 0, 5500]),
                ResourceValue::Single(Value::Boolean(turn / 15 % 2 == 1)),
            ),
        ],
        Kind::StreetLamp => {
            let level = wave(60.0, 35.0, 40.0).clamp(0.0, 100.0) as i64;
            vec![(
                at([3311, 0, 5851]),
                ResourceValue::Single(Value::Integer(level)),
            )]
        }
        Kind::CoffeeMachine => {
            let cups = ResourceValue::Single(Value::Integer(i64::from(turn / 5)));
            let water = 62 - i64::from(turn / 5 % 60);
            vec![
                (at([COFFEE, 0, 1]), cups),
                (at([COFFEE, 0, 2]), float(wave(91.0, 2.5, 25.0))),
                (
                    at([COFFEE, 0, 3]),
                    ResourceValue::Single(Value::Integer(water.max(0))),
                ),
            ]
        }
    }
}

/// Keeps nothing, and loses what a bad network would lose.
struct DemoHost {
    loss: f64,
    chance: Chance,
}

impl Host for DemoHost {
    fn keep(&mut self, _state: &[u8]) -> io::Result<()> {
        // A device of the demo forgets with the process.
        Ok(())
    }

    fn event(&mut self, _client: &mut Client, _now: Now, event: Event) {
        tracing::debug!(?event, "a client of the demo");
    }

    fn loses(&mut self) -> bool {
        self.loss > 0.0 && self.chance.next() < self.loss
    }
}

/// Chance enough to lose a datagram by.
struct Chance(u64);

impl Chance {
    fn new(name: &str) -> Self {
        Self(name.bytes().fold(0x9e37_79b9_7f4a_7c15, |sum, byte| {
            (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        }))
    }

    /// From 0 to 1.
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_of_every_device_fits_its_definition() {
        let server: SocketAddr = ([127, 0, 0, 1], 5683).into();
        for device in devices(7) {
            let mut client = build(&device, server).unwrap();
            for turn in 0..200 {
                for (path, value) in moved(device.kind, turn) {
                    let set = client.set(Now::default(), path, value);
                    assert!(set.is_ok(), "{device:?} {path} {set:?}");
                }
            }
        }
    }

    #[test]
    fn names_stay_apart_when_kinds_repeat() {
        let names: Vec<String> = devices(7)
            .into_iter()
            .map(|device| device.endpoint)
            .collect();
        assert_eq!(names[0], "weather-station");
        assert_eq!(names[5], "weather-station-2");
    }
}
