//! What the Clients of a fleet are like and what befalls them: a TOML file, every key optional.
//!
//! `docs/reference/fleet.md` describes the keys for users; `packaging/scenarios/` holds examples.
//! An unknown key is an error with its line and column, as everywhere in dunlin.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Deserializer};

use super::tree::{SENSORS_MAX, TEMPERATURE};
use super::values::Values;

/// The Clients and their fate.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// What every Endpoint Client Name begins with; a number of seven digits follows.
    pub endpoint_prefix: String,
    /// The registration lifetime (TS 5.3.1).
    pub lifetime_s: u32,
    /// The version of LwM2M that Register tells.
    pub lwm2m: String,
    /// How many Temperature instances (object 3303) a Client has: 1 to 70.
    pub sensors: u16,
    /// How the Temperature moves.
    pub values: Values,
    /// Sensors beside Temperature.
    pub object: Vec<SensorObject>,
    /// Gives every Client instance numbers of its own, so that no two register the same links.
    pub distinct_links: bool,
    /// De-register at the end.
    pub deregister: bool,
    /// How registering is retried.
    pub register: Register,
    /// When Updates are sent.
    pub update: Update,
    /// When observed values are notified.
    pub notify: Notify,
    /// Queue mode; absent: the Clients are always awake.
    pub queue: Option<Queue>,
    /// What happens to datagrams.
    pub network: Network,
    /// Clients that restart and register anew, now and then.
    pub reboot: Option<NowAndThen>,
    /// Clients whose NAT gives them another port, now and then.
    pub rebind: Option<NowAndThen>,
    /// Many restarts at once.
    pub storm: Vec<Storm>,
    /// Clients whose firmware is bad.
    pub bad_firmware: Vec<BadFirmware>,
    /// The transmission parameters of CoAP.
    pub coap: Coap,
}

/// A sensor of the IPSO kind: Sensor Value (5700), Sensor Units (5701), Reset (5605).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SensorObject {
    /// Its object, 8 or more.
    pub id: u16,
    /// How many of them a Client has.
    #[serde(default = "one")]
    pub instances: u16,
    /// The Sensor Units.
    #[serde(default)]
    pub unit: String,
    /// How it moves.
    #[serde(default)]
    pub values: Values,
}

fn one() -> u16 {
    1
}

/// What Clients do whose firmware is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Misbehaviour {
    /// They restart and register anew, again and again.
    Reboots,
    /// They send Updates without waiting for the answer to the one before (against NSTART,
    /// RFC 7252 §4.7).
    Floods,
    /// They send datagrams that are no CoAP.
    Garbage,
    /// They hear no request: nothing is acknowledged or answered.
    Deaf,
    /// Their values do not parse in the format they claim.
    Nonsense,
}

/// Clients whose firmware is bad: they were given it at some time, and misbehave from then on.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BadFirmware {
    /// What they do.
    pub does: Misbehaviour,
    /// The part of the Clients that have it, 0 to 1.
    pub share: f64,
    /// From when on, from the start of the run.
    #[serde(rename = "at_s", default, deserialize_with = "seconds")]
    pub at: Duration,
    /// How often each of them does it, at random with this mean; `deaf` and `nonsense` are always.
    #[serde(rename = "every_s", default = "a_second", deserialize_with = "seconds")]
    pub every: Duration,
}

fn a_second() -> Duration {
    Duration::from_secs(1)
}

/// How registering is retried.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Register {
    /// How long to wait after a Register that failed; up to half of it is added at random.
    #[serde(rename = "retry_s", deserialize_with = "seconds")]
    pub retry: Duration,
    /// After so many failed attempts in a row a Client gives up.
    pub attempts: u8,
}

/// When Updates are sent. Neither key: at nine tenths of the lifetime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Update {
    /// Between two Updates of a Client.
    #[serde(rename = "every_s", deserialize_with = "some_seconds")]
    pub every: Option<Duration>,
    /// Updates of the whole fleet in a second, instead of `every_s`.
    pub per_s: Option<f64>,
    /// The part of the Updates that change something (the lifetime), 0 to 1.
    pub changing: f64,
}

/// When observed values are notified. Neither key: every 30 s.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Notify {
    /// Between two notifications of an observation.
    #[serde(rename = "every_s", deserialize_with = "some_seconds")]
    pub every: Option<Duration>,
    /// Notifications of the whole fleet in a second, when each Client has one observation.
    pub per_s: Option<f64>,
    /// The part of the notifications that are Confirmable, 0 to 1.
    pub confirmable: f64,
}

/// Queue mode (TS 8.3).
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Queue {
    /// How long a Client hears after it last sent or received something.
    #[serde(rename = "awake_s", deserialize_with = "seconds")]
    pub awake: Duration,
    /// The part of the Clients that sleep, 0 to 1.
    pub share: f64,
}

/// What happens to datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// The part of the datagrams that is lost, in each direction, 0 to less than 1.
    pub loss: f64,
}

/// Something that befalls each Client once in a while, at random.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NowAndThen {
    /// The mean time between two times for one Client.
    #[serde(rename = "every_s", deserialize_with = "seconds")]
    pub every: Duration,
}

/// Many Clients restart at once, as after a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storm {
    /// When it begins, from the start of the run.
    #[serde(rename = "at_s", deserialize_with = "seconds")]
    pub at: Duration,
    /// Over how long it spreads.
    #[serde(rename = "within_s", deserialize_with = "seconds")]
    pub within: Duration,
    /// The part of the Clients it hits, 0 to 1.
    pub share: f64,
}

/// The transmission parameters of RFC 7252 §4.8, with its names and defaults.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Coap {
    /// ACK_TIMEOUT.
    #[serde(rename = "ack_timeout_s", deserialize_with = "seconds")]
    pub ack_timeout: Duration,
    /// ACK_RANDOM_FACTOR.
    pub ack_random_factor: f64,
    /// MAX_RETRANSMIT.
    pub max_retransmit: u8,
}

impl Default for Scenario {
    fn default() -> Self {
        Scenario {
            endpoint_prefix: "urn:dunlin:fleet-".to_owned(),
            lifetime_s: 86_400,
            lwm2m: "1.0".to_owned(),
            sensors: 1,
            values: Values::default(),
            object: Vec::new(),
            distinct_links: false,
            deregister: false,
            register: Register::default(),
            update: Update::default(),
            notify: Notify::default(),
            queue: None,
            network: Network::default(),
            reboot: None,
            rebind: None,
            storm: Vec::new(),
            bad_firmware: Vec::new(),
            coap: Coap::default(),
        }
    }
}

impl Default for Register {
    fn default() -> Self {
        Register {
            retry: Duration::from_secs(10),
            attempts: 5,
        }
    }
}

impl Default for Notify {
    fn default() -> Self {
        Notify {
            every: None,
            per_s: None,
            confirmable: 1.0,
        }
    }
}

impl Default for Queue {
    fn default() -> Self {
        // MAX_TRANSMIT_WAIT of RFC 7252 §4.8.2, which TS 8.3 names.
        Queue {
            awake: Duration::from_secs(93),
            share: 1.0,
        }
    }
}

impl Default for Coap {
    fn default() -> Self {
        Coap {
            ack_timeout: Duration::from_secs(2),
            ack_random_factor: 1.5,
            max_retransmit: 4,
        }
    }
}

/// The longest Sensor Units that a short answer has room for.
const UNIT_MAX: usize = 64;

/// The longest Endpoint Client Name that a Register of ours has room for.
const ENDPOINT_MAX: usize = 240;

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    ///
    /// What does not parse, with line and column, and what makes no sense, by its key.
    pub fn parse(text: &str) -> Result<Self> {
        let scenario: Scenario = toml::from_str(text)?;
        scenario.check()?;
        Ok(scenario)
    }

    /// Reads a scenario file.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse), and when the file cannot be read; the file is named.
    pub fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("the scenario {} cannot be read", file.display()))?;
        Self::parse(&text).with_context(|| format!("in the scenario {}", file.display()))
    }

    fn check(&self) -> Result<()> {
        let part = |key: &str, value: f64| {
            ensure!(
                (0.0..=1.0).contains(&value),
                "{key} is a part, from 0 to 1, not {value}"
            );
            Ok(())
        };
        part("update.changing", self.update.changing)?;
        part("notify.confirmable", self.notify.confirmable)?;
        part("network.loss", self.network.loss)?;
        ensure!(
            self.network.loss < 1.0,
            "network.loss of 1 would lose everything"
        );
        ensure!(
            (1..=SENSORS_MAX).contains(&self.sensors),
            "sensors must be 1 to {SENSORS_MAX}, so that the links fit one datagram"
        );
        ensure!(
            !self.distinct_links || self.sensors >= 2,
            "distinct_links needs sensors = 2 or more, to have numbers enough"
        );
        ensure!(
            (1..=ENDPOINT_MAX).contains(&self.endpoint_prefix.len()),
            "endpoint_prefix must have 1 to {ENDPOINT_MAX} bytes"
        );
        ensure!(self.lifetime_s > 0, "lifetime_s must be at least 1");
        ensure!(
            self.register.attempts > 0,
            "register.attempts must be at least 1"
        );
        ensure!(
            self.coap.ack_random_factor >= 1.0 && self.coap.ack_random_factor <= 10.0,
            "coap.ack_random_factor must be 1 to 10"
        );
        ensure!(
            self.coap.max_retransmit <= 20,
            "coap.max_retransmit must be at most 20"
        );
        for (key, every, per_s) in [
            ("update", self.update.every, self.update.per_s),
            ("notify", self.notify.every, self.notify.per_s),
        ] {
            ensure!(
                every.is_none() || per_s.is_none(),
                "{key} has every_s and per_s: give one"
            );
            if per_s.is_some_and(|per_s| !per_s.is_finite() || per_s <= 0.0) {
                bail!("{key}.per_s must be more than 0");
            }
            ensure!(
                every != Some(Duration::ZERO),
                "{key}.every_s must be more than 0"
            );
        }
        for (key, now_and_then) in [("reboot", self.reboot), ("rebind", self.rebind)] {
            let never = now_and_then.is_some_and(|event| event.every.is_zero());
            ensure!(!never, "{key}.every_s must be more than 0");
        }
        for storm in &self.storm {
            part("storm.share", storm.share)?;
        }
        for bad in &self.bad_firmware {
            part("bad_firmware.share", bad.share)?;
            ensure!(
                !bad.every.is_zero(),
                "bad_firmware.every_s must be more than 0"
            );
        }
        self.check_objects()?;
        if let Some(queue) = self.queue {
            part("queue.share", queue.share)?;
        }
        Ok(())
    }

    fn check_objects(&self) -> Result<()> {
        let of_objects = self.object.iter().map(|one| one.values);
        for values in of_objects.chain([self.values]) {
            ensure!(
                values.are_valid(),
                "values: low must not be above high, and period must be at least 1"
            );
        }
        let mut seen = vec![TEMPERATURE];
        let mut instances = u32::from(self.sensors);
        for object in &self.object {
            ensure!(
                object.id >= 8,
                "object.id must be 8 or more: 0 to 7 are not sensors"
            );
            ensure!(
                !seen.contains(&object.id),
                "object.id {} stands twice; Temperature (3303) is always there, see sensors",
                object.id
            );
            ensure!(object.instances > 0, "object.instances must be at least 1");
            ensure!(
                object.unit.len() <= UNIT_MAX,
                "object.unit must have at most {UNIT_MAX} bytes"
            );
            seen.push(object.id);
            instances += u32::from(object.instances);
        }
        ensure!(
            instances <= u32::from(SENSORS_MAX),
            "sensors and object.instances must be {SENSORS_MAX} at most together, so that the links \
             fit one datagram"
        );
        Ok(())
    }

    /// Between two Updates of one Client, in a fleet of `clients`.
    pub fn update_every(&self, clients: u32) -> Duration {
        match (self.update.every, self.update.per_s) {
            (Some(every), _) => every,
            (None, Some(per_s)) => pace(clients, per_s),
            (None, None) => Duration::from_secs(u64::from(self.lifetime_s)).mul_f64(0.9),
        }
    }

    /// Between two notifications of one observation, in a fleet of `clients`.
    pub fn notify_every(&self, clients: u32) -> Duration {
        match (self.notify.every, self.notify.per_s) {
            (Some(every), _) => every,
            (None, Some(per_s)) => pace(clients, per_s),
            (None, None) => Duration::from_secs(30),
        }
    }
}

/// How long one of `clients` waits when all together do something `per_s` times a second. At least
/// a millisecond, which is the resolution of our timers.
fn pace(clients: u32, per_s: f64) -> Duration {
    let seconds = (f64::from(clients) / per_s).clamp(0.001, 1e9);
    Duration::from_secs_f64(seconds)
}

/// Longer than any run, and short enough to be added to any instant.
const SECONDS_MAX: f64 = 1e9;

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    if !(0.0..=SECONDS_MAX).contains(&seconds) {
        return Err(serde::de::Error::custom(
            "a number of seconds, 0 to 1e9, is wanted",
        ));
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn some_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    seconds(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_the_default() {
        assert_eq!(Scenario::parse("").expect("valid"), Scenario::default());
    }

    #[test]
    fn an_unknown_key_is_an_error_with_its_line() {
        let error = Scenario::parse("sensors = 2\nsensor = 3\n").expect_err("unknown");
        let text = format!("{error:#}");
        assert!(text.contains("line 2") && text.contains("sensor"), "{text}");
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (text, key) in [
            ("[network]\nloss = 1.0", "network.loss"),
            ("[network]\nloss = -0.1", "network.loss"),
            ("sensors = 0", "sensors"),
            ("sensors = 1000", "sensors"),
            ("distinct_links = true", "distinct_links"),
            ("lifetime_s = 0", "lifetime_s"),
            ("[update]\nevery_s = 1\nper_s = 2", "update"),
            ("[notify]\nper_s = 0", "notify.per_s"),
            ("[reboot]\nevery_s = 0", "reboot.every_s"),
            (
                "[[storm]]\nat_s = 1\nwithin_s = 1\nshare = 2",
                "storm.share",
            ),
            ("[values]\nlow = 3\nhigh = 2", "values"),
            ("[[object]]\nid = 3", "object.id"),
            ("[[object]]\nid = 3303", "3303"),
            ("[[object]]\nid = 3304\ninstances = 70", "object.instances"),
            (
                "[[bad_firmware]]\ndoes = \"reboots\"\nshare = 1\nevery_s = 0",
                "bad_firmware.every_s",
            ),
            ("[[bad_firmware]]\ndoes = \"sings\"\nshare = 1", "does"),
            ("[coap]\nack_random_factor = 0.5", "coap.ack_random_factor"),
            ("[coap]\nack_timeout_s = -1", "seconds"),
        ] {
            let error = format!("{:#}", Scenario::parse(text).expect_err(text));
            assert!(error.contains(key), "{text}: {error}");
        }
    }

    #[test]
    fn a_pace_of_the_fleet_becomes_one_of_a_client() {
        let scenario = Scenario::parse("[update]\nper_s = 500\n[notify]\nevery_s = 0.5").unwrap();
        assert_eq!(scenario.update_every(1000), Duration::from_secs(2));
        assert_eq!(scenario.notify_every(1000), Duration::from_millis(500));
        let quiet = Scenario {
            lifetime_s: 100,
            ..Scenario::default()
        };
        assert_eq!(quiet.update_every(7), Duration::from_secs(90));
    }

    #[test]
    fn the_examples_are_valid() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/scenarios");
        let mut count = 0;
        for entry in std::fs::read_dir(folder).expect("the folder of examples") {
            let file = entry.expect("an entry").path();
            Scenario::read(&file).expect("a valid example");
            count += 1;
        }
        assert!(count >= 5, "only {count} examples");
    }
}
