//! A Client in the made world: the machine of `dunlin-client`, its clock, what it keeps over a
//! reboot, and what it measures.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use dunlin_client::{Client, Config, Factory, Transmit};
use dunlin_lwm2m::definition::{ObjectDefinition, Operations, ResourceDefinition};
use dunlin_lwm2m::operation::Binding;
use dunlin_lwm2m::{
    EndpointName, Instance, LwM2mVersion, ObjectId, ObjectVersion, Path, Registry, Resource,
    ResourceId, Value, ValueType,
};
use dunlin_transport::{Now, WallTime};

use super::chance::Chance;

/// Where the Server is.
pub(crate) const SERVER_URI: &str = "coap://203.0.113.1:5683";

/// The Object whose operations are counted: what is done to it must not be done twice.
pub(crate) const WITNESS: ObjectId = ObjectId(26_241);
/// A text that is written; the number of a command is in it.
pub(crate) const MARK: u16 = 0;
/// A number that is written.
pub(crate) const SETTING: u16 = 1;
/// Executed with the number of a command.
pub(crate) const DO: u16 = 2;

/// The definitions that Servers and Clients share.
pub(crate) fn registry() -> &'static Arc<Registry> {
    static REGISTRY: OnceLock<Arc<Registry>> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        let mut registry = Registry::bundled();
        registry.insert(witness());
        Arc::new(registry)
    })
}

fn witness() -> ObjectDefinition {
    let resource = |id, name: &'static str, operations, value_type, mandatory| ResourceDefinition {
        id: ResourceId(id),
        name: name.into(),
        operations,
        multiple: false,
        mandatory,
        value_type,
        range_text: "".into(),
        units: "".into(),
        description: "".into(),
    };
    let execute = Operations {
        execute: true,
        ..Operations::NONE
    };
    let write = Operations {
        read: true,
        write: true,
        execute: false,
    };
    ObjectDefinition {
        id: WITNESS,
        version: ObjectVersion::V1_0,
        lwm2m_version: LwM2mVersion::V1_0,
        name: "Witness".into(),
        description: "What is done to it is counted.".into(),
        multiple: true,
        mandatory: false,
        resources: Cow::Owned(vec![
            resource(MARK, "Mark", write, ValueType::String, true),
            resource(SETTING, "Setting", write, ValueType::Integer, false),
            resource(DO, "Do", execute, ValueType::None, false),
        ]),
    }
}

/// A Client and what is around it.
pub(crate) struct Device {
    pub(crate) name: EndpointName,
    pub(crate) lifetime_s: u32,
    pub(crate) binding: Binding,
    /// How often it measures, on average.
    pub(crate) measures_every: Duration,
    /// The machine, unless the power is off.
    pub(crate) client: Option<Client>,
    /// Counts the lives of the machine.
    pub(crate) life: u32,
    /// The world's time at which the machine's clock began.
    pub(crate) clock_began: Duration,
    /// The wake-up that stands in the queue of the world.
    pub(crate) scheduled: Option<Duration>,
    /// What a reboot finds.
    pub(crate) kept: Option<Vec<u8>>,
    /// Commits that are not kept yet.
    pub(crate) keeping: VecDeque<(u64, Vec<u8>)>,
    pub(crate) kept_number: u64,
    /// Datagrams that wait for a commit.
    pub(crate) held: VecDeque<Transmit>,
    /// It has been told to stop, and the power goes off when it is idle.
    pub(crate) stopping: bool,
    /// The observations it holds, by its own news.
    pub(crate) observed: BTreeMap<Path, u32>,
    /// The number of its last measurement, and the quantity it measures.
    pub(crate) sample: u64,
    quantity: u64,
    pub(crate) chance: Chance,
}

impl Device {
    pub(crate) fn new(seed: u64, index: usize) -> Self {
        let mut chance = Chance::of(seed, 1_000 + index as u64);
        // Many with an hour, some with a minute, some with a day.
        let lifetime_s = match chance.below(10) {
            0 => 60,
            1 => 120,
            2 => 300,
            3..=5 => 3_600,
            6 | 7 => 21_600,
            _ => 86_400,
        };
        let queues = chance.happens(0.4);
        let measures_every = chance.between(Duration::from_secs(60), Duration::from_secs(1_800));
        Self {
            name: EndpointName::new(&format!("client-{index:04}")).expect("a name"),
            lifetime_s,
            binding: if queues { Binding::UQ } else { Binding::U },
            measures_every,
            client: None,
            life: 0,
            clock_began: Duration::ZERO,
            scheduled: None,
            kept: None,
            keeping: VecDeque::new(),
            kept_number: 0,
            held: VecDeque::new(),
            stopping: false,
            observed: BTreeMap::new(),
            sample: 0,
            quantity: 40,
            chance,
        }
    }

    /// The time on both clocks of the Client. Its wall clock is right; what it tells has no dates.
    pub(crate) fn now(&self, at: Duration) -> Now {
        Now {
            instant: at - self.clock_began,
            wall: WallTime(super::BEGIN.0 + at.as_millis() as u64),
        }
    }

    /// The world's time of one of the machine's.
    pub(crate) fn world_time(&self, instant: Duration) -> Duration {
        self.clock_began.saturating_add(instant)
    }

    /// The power comes on.
    pub(crate) fn power_on(&mut self, at: Duration) {
        let registry = Registry::clone(registry());
        let mut factory = Factory::new(registry).expect("the Objects of 1.0 are there");
        factory
            .add_server(SERVER_URI, self.lifetime_s, self.binding)
            .expect("the address is one");
        let sensor = Instance::new(0).with(Resource::single(5701, Value::String("Cel".into())));
        factory
            .add_instance(ObjectId(3303), sensor)
            .expect("it is bundled");
        let witness = Instance::new(0).with(Resource::single(MARK, Value::String("-".into())));
        factory
            .add_instance(WITNESS, witness)
            .expect("it was added");
        let config = Config::new(self.name.clone());
        let mut client = Client::new(config, factory.build(), self.chance.seed());
        if let Some(kept) = &self.kept {
            client.restore(kept).expect("we kept it ourselves");
        }
        self.life += 1;
        self.clock_began = at;
        self.kept_number = 0;
        self.client = Some(client);
        self.measure(at);
        let now = self.now(at);
        self.client.as_mut().expect("it is on").start(now);
    }

    /// The power goes off: all that is not kept is gone.
    pub(crate) fn power_off(&mut self) {
        self.client = None;
        self.scheduled = None;
        self.keeping.clear();
        self.held.clear();
        self.observed.clear();
        self.stopping = false;
    }

    /// Takes a measurement. The value walks, and carries the number of the measurement in its small
    /// digits, so that it can be recognised.
    pub(crate) fn measure(&mut self, at: Duration) {
        let now = self.now(at);
        let Some(client) = &mut self.client else {
            return;
        };
        self.sample += 1;
        let step = self.chance.below(3) as u64;
        self.quantity = (self.quantity + step).saturating_sub(1).clamp(10, 100);
        let value = self.quantity as f64 / 2.0 + self.sample as f64 * SAMPLE_UNIT;
        let path = Path::from([3303, 0, 5700]);
        let value = dunlin_lwm2m::ResourceValue::Single(Value::Float(value));
        client.set(now, path, value).expect("it is a sensor");
    }
}

const SAMPLE_UNIT: f64 = 1e-7;

/// The number of the measurement that a value carries.
pub(crate) fn sample_of(value: f64) -> u64 {
    let whole = (value * 2.0).floor() / 2.0;
    ((value - whole) / SAMPLE_UNIT).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_carries_its_number() {
        for sample in [1, 17, 123_456, 3_999_999] {
            let value = 21.5 + sample as f64 * SAMPLE_UNIT;
            assert_eq!(sample_of(value), sample);
        }
    }

    #[test]
    fn a_device_lives_without_a_network() {
        let mut device = Device::new(1, 1);
        device.power_on(Duration::from_secs(3));
        let tree = device.client.as_ref().unwrap().tree();
        let value = tree.value(ObjectId(3303), 0.into(), 5700).unwrap();
        assert_eq!(sample_of(value.as_number().unwrap()), 1);
    }
}
