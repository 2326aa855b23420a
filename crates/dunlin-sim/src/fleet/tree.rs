//! The objects of a Client of the fleet: Server (1), Device (3) and some Temperature (3303)
//! instances. Just enough for a server to take it for real: Read, Observe, Discover, Write and
//! Execute are answered in text and TLV.
//!
//! Nothing is stored per Client but its lifetime and how often it has notified: every other value
//! follows from its number. The fleet spells its few values itself and does not use the formats of
//! `dunlin-lwm2m`, so that a mistake in those, which the server under test may share, is seen.

use std::fmt::Write;

use dunlin_coap::Code;
use dunlin_lwm2m::ContentFormat;
use dunlin_lwm2m::Path;

use super::scenario::SensorObject;
use super::values::Values;

/// As many Temperature instances as links fit 1024 bytes, which a server must take without
/// block-wise transfer (RFC 7252 §4.6): 14 bytes each at most.
pub(crate) const SENSORS_MAX: u16 = 70;

const SERVER: u16 = 1;
const DEVICE: u16 = 3;
/// Temperature (IPSO).
pub(crate) const TEMPERATURE: u16 = 3303;

/// The Sensor Value of a Temperature instance.
const SENSOR_VALUE: u16 = 5700;

/// Instance numbers below this tell Clients apart when all links are to be distinct.
const DISTINCT: u32 = 60_000;

/// The instances behind the second, when all links are to be distinct.
const BEYOND_DISTINCT: u16 = 65_000;

/// What the tree of one Client is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tree<'a> {
    /// The number of the Client.
    pub(crate) number: u32,
    pub(crate) endpoint: &'a str,
    pub(crate) lifetime_s: u32,
    /// "U" or "UQ".
    pub(crate) binding: &'static str,
    /// What the sensors show: the number of the last notification.
    pub(crate) reading: u32,
    pub(crate) sensors: u16,
    pub(crate) distinct: bool,
    /// How the Temperature moves.
    pub(crate) values: Values,
    /// Sensors beside Temperature.
    pub(crate) others: &'a [SensorObject],
}

/// What a request for an action asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Registration Update Trigger, `/1/0/8`.
    Update,
    /// Reboot, `/3/0/4`.
    Reboot,
    /// Reset of the measured extremes: nothing to do.
    Nothing,
}

/// A value of a Resource.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Value<'a> {
    Text(&'a str),
    Integer(i64),
    Float(f32),
    /// One Resource Instance, 0.
    Multiple(i64),
    /// Can be executed and not read.
    Action(Action),
}

/// The Resources of an object that we have.
fn resources(object: u16) -> &'static [u16] {
    match object {
        SERVER => &[0, 1, 6, 7, 8],
        DEVICE => &[0, 1, 2, 3, 4, 9, 11, 16],
        // Temperature, and whatever a scenario adds: all of one shape.
        _ => &[5605, SENSOR_VALUE, 5701],
    }
}

impl Tree<'_> {
    /// The links of a Register (TS 5.3.1).
    pub(crate) fn links(&self, out: &mut Vec<u8>) {
        put(out, format_args!("</1/0>,</3/0>"));
        for sensor in 0..self.sensors {
            put(
                out,
                format_args!(",</{TEMPERATURE}/{}>", self.instance(sensor)),
            );
        }
        for other in self.others {
            for instance in 0..other.instances {
                put(out, format_args!(",</{}/{instance}>", other.id));
            }
        }
    }

    /// What the Sensor Value at `path` shows now: of the Temperature, or of another sensor.
    pub(crate) fn sensor_value(&self, path: Path) -> f32 {
        let object = path.ids().first().copied();
        let other = self.others.iter().find(|other| Some(other.id) == object);
        let values = other.map_or(self.values, |other| other.values);
        values.at(self.number, self.reading)
    }

    /// Reads `path` in the format that was asked for, or in TLV. Appends the payload to `out` and
    /// returns its format.
    pub(crate) fn read(
        &self,
        path: Path,
        accept: Option<u16>,
        out: &mut Vec<u8>,
    ) -> Result<ContentFormat, Code> {
        let asked = accept.map_or(ContentFormat::TLV, |number| ContentFormat(number).modern());
        match (asked, path.ids()) {
            (ContentFormat::TEXT, &[object, instance, resource]) => {
                match self.value(object, instance, resource)? {
                    Value::Text(text) => out.extend_from_slice(text.as_bytes()),
                    Value::Integer(integer) => put(out, format_args!("{integer}")),
                    Value::Float(float) => put(out, format_args!("{float}")),
                    Value::Multiple(_) => return Err(Code::NOT_ACCEPTABLE),
                    Value::Action(_) => return Err(Code::METHOD_NOT_ALLOWED),
                }
                Ok(ContentFormat::TEXT)
            }
            (ContentFormat::TLV, &[object, instance, resource]) => {
                match self.value(object, instance, resource)? {
                    Value::Action(_) => return Err(Code::METHOD_NOT_ALLOWED),
                    value => tlv_resource(resource, value, out),
                }
                Ok(ContentFormat::TLV)
            }
            (ContentFormat::TLV, &[object, instance]) => {
                self.tlv_resources(object, instance, out)?;
                Ok(ContentFormat::TLV)
            }
            (ContentFormat::TLV, &[object]) => {
                let mut inner = Vec::new();
                for instance in self.instances(object)? {
                    inner.clear();
                    self.tlv_resources(object, instance, &mut inner)?;
                    tlv(TLV_INSTANCE, instance, &inner, out);
                }
                Ok(ContentFormat::TLV)
            }
            (_, &[] | &[_, _, _, _]) => Err(Code::NOT_FOUND),
            _ => Err(Code::NOT_ACCEPTABLE),
        }
    }

    /// The links of a Discover (TS 5.4.2), below `path`.
    pub(crate) fn discover(&self, path: Path, out: &mut Vec<u8>) -> Result<(), Code> {
        match *path.ids() {
            [object] => {
                put(out, format_args!("</{object}>"));
                for instance in self.instances(object)? {
                    put(out, format_args!(",</{object}/{instance}>"));
                    self.discover_resources(object, instance, out);
                }
            }
            [object, instance] => {
                self.has_instance(object, instance)?;
                put(out, format_args!("</{object}/{instance}>"));
                self.discover_resources(object, instance, out);
            }
            [object, instance, resource] => {
                self.value(object, instance, resource)?;
                put(out, format_args!("</{object}/{instance}/{resource}>"));
            }
            _ => return Err(Code::NOT_FOUND),
        }
        Ok(())
    }

    /// A Write: only the Lifetime, `/1/0/1`, can be written; its new value is returned.
    pub(crate) fn write(
        &self,
        path: Path,
        format: Option<u16>,
        payload: &[u8],
    ) -> Result<u32, Code> {
        let format = format.map_or(ContentFormat::TEXT, |number| ContentFormat(number).modern());
        match *path.ids() {
            [object, instance, resource] => {
                self.value(object, instance, resource)?;
                if [object, instance, resource] != [SERVER, 0, 1] {
                    return Err(Code::METHOD_NOT_ALLOWED);
                }
            }
            [object, instance] => {
                self.has_instance(object, instance)?;
                if object != SERVER || format == ContentFormat::TEXT {
                    return Err(Code::METHOD_NOT_ALLOWED);
                }
            }
            _ => return Err(Code::METHOD_NOT_ALLOWED),
        }
        let lifetime = match format {
            ContentFormat::TEXT => std::str::from_utf8(payload)
                .ok()
                .and_then(|text| text.trim().parse().ok()),
            ContentFormat::TLV => read_lifetime(payload),
            _ => return Err(Code::UNSUPPORTED_CONTENT_FORMAT),
        };
        lifetime
            .filter(|&lifetime| lifetime > 0)
            .ok_or(Code::BAD_REQUEST)
    }

    /// An Execute.
    pub(crate) fn execute(&self, path: Path) -> Result<Action, Code> {
        match *path.ids() {
            [object, instance, resource] => match self.value(object, instance, resource)? {
                Value::Action(action) => Ok(action),
                _ => Err(Code::METHOD_NOT_ALLOWED),
            },
            _ => Err(Code::METHOD_NOT_ALLOWED),
        }
    }

    /// Whether there is such a thing.
    pub(crate) fn find(&self, path: Path) -> Result<(), Code> {
        match *path.ids() {
            [object] => self.instances(object).map(drop),
            [object, instance] => self.has_instance(object, instance),
            [object, instance, resource] => self.value(object, instance, resource).map(drop),
            _ => Err(Code::NOT_FOUND),
        }
    }

    /// The instance number of a sensor.
    fn instance(&self, sensor: u16) -> u16 {
        if !self.distinct {
            return sensor;
        }
        match sensor {
            0 => (self.number % DISTINCT) as u16,
            1 => (DISTINCT + self.number / DISTINCT) as u16,
            _ => BEYOND_DISTINCT + sensor,
        }
    }

    fn instances(&self, object: u16) -> Result<impl Iterator<Item = u16>, Code> {
        let count = match object {
            SERVER | DEVICE => 1,
            TEMPERATURE => self.sensors,
            _ => self.other(object)?.instances,
        };
        let tree = *self;
        Ok((0..count).map(move |n| {
            if object == TEMPERATURE {
                tree.instance(n)
            } else {
                n
            }
        }))
    }

    fn other(&self, object: u16) -> Result<&SensorObject, Code> {
        let mut others = self.others.iter();
        others
            .find(|other| other.id == object)
            .ok_or(Code::NOT_FOUND)
    }

    fn has_instance(&self, object: u16, instance: u16) -> Result<(), Code> {
        self.instances(object)?
            .find(|&one| one == instance)
            .map(drop)
            .ok_or(Code::NOT_FOUND)
    }

    fn value(&self, object: u16, instance: u16, resource: u16) -> Result<Value<'_>, Code> {
        self.has_instance(object, instance)?;
        Ok(match (object, resource) {
            (SERVER, 0) => Value::Integer(1),
            (SERVER, 1) => Value::Integer(self.lifetime_s.into()),
            (SERVER, 6) => Value::Integer(0),
            (SERVER, 7) | (DEVICE, 16) => Value::Text(self.binding),
            (SERVER, 8) => Value::Action(Action::Update),
            (DEVICE, 0) => Value::Text("dunlin"),
            (DEVICE, 1) => Value::Text("fleet"),
            (DEVICE, 2) => Value::Text(self.endpoint),
            (DEVICE, 3) => Value::Text(env!("CARGO_PKG_VERSION")),
            (DEVICE, 4) => Value::Action(Action::Reboot),
            (DEVICE, 9) => Value::Integer(i64::from(self.number % 101)),
            (DEVICE, 11) => Value::Multiple(0),
            (TEMPERATURE, SENSOR_VALUE) => Value::Float(self.values.at(self.number, self.reading)),
            (TEMPERATURE, 5701) => Value::Text("Cel"),
            (SERVER | DEVICE, _) => return Err(Code::NOT_FOUND),
            (other, SENSOR_VALUE) => {
                Value::Float(self.other(other)?.values.at(self.number, self.reading))
            }
            (other, 5701) => Value::Text(&self.other(other)?.unit),
            (_, 5605) => Value::Action(Action::Nothing),
            _ => return Err(Code::NOT_FOUND),
        })
    }

    fn tlv_resources(&self, object: u16, instance: u16, out: &mut Vec<u8>) -> Result<(), Code> {
        self.has_instance(object, instance)?;
        for &resource in resources(object) {
            match self.value(object, instance, resource)? {
                Value::Action(_) => {}
                value => tlv_resource(resource, value, out),
            }
        }
        Ok(())
    }

    fn discover_resources(&self, object: u16, instance: u16, out: &mut Vec<u8>) {
        for &resource in resources(object) {
            put(out, format_args!(",</{object}/{instance}/{resource}>"));
            if (object, resource) == (DEVICE, 11) {
                put(out, format_args!(";dim=1"));
            }
        }
    }
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    struct Bytes<'a>(&'a mut Vec<u8>);
    impl Write for Bytes<'_> {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0.extend_from_slice(text.as_bytes());
            Ok(())
        }
    }
    Bytes(out).write_fmt(text).expect("memory takes all text");
}

// The kinds of a TLV, in the two upper bits of its first byte (TS 6.4.3).
const TLV_INSTANCE: u8 = 0b00;
const TLV_RESOURCE_INSTANCE: u8 = 0b01;
const TLV_MULTIPLE: u8 = 0b10;
const TLV_RESOURCE: u8 = 0b11;

fn tlv_resource(resource: u16, value: Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Text(text) => tlv(TLV_RESOURCE, resource, text.as_bytes(), out),
        Value::Float(float) => tlv(TLV_RESOURCE, resource, &float.to_be_bytes(), out),
        Value::Integer(integer) => {
            let (bytes, skip) = shortest(integer);
            tlv(TLV_RESOURCE, resource, &bytes[skip..], out);
        }
        Value::Multiple(integer) => {
            let (bytes, skip) = shortest(integer);
            let mut inner = Vec::with_capacity(12);
            tlv(TLV_RESOURCE_INSTANCE, 0, &bytes[skip..], &mut inner);
            tlv(TLV_MULTIPLE, resource, &inner, out);
        }
        Value::Action(_) => {}
    }
}

/// An integer in 1, 2, 4 or 8 bytes: where the shortest form that keeps the sign begins.
fn shortest(integer: i64) -> ([u8; 8], usize) {
    let length = match integer {
        -0x80..=0x7f => 1,
        -0x8000..=0x7fff => 2,
        -0x8000_0000..=0x7fff_ffff => 4,
        _ => 8,
    };
    (integer.to_be_bytes(), 8 - length)
}

fn tlv(kind: u8, id: u16, value: &[u8], out: &mut Vec<u8>) {
    let long_id = u8::from(id > 0xff) << 5;
    let (length_bits, length_bytes) = match value.len() {
        0..=7 => (value.len() as u8, 0),
        8..=0xff => (1 << 3, 1),
        0x100..=0xffff => (2 << 3, 2),
        _ => (3 << 3, 3),
    };
    out.push(kind << 6 | long_id | length_bits);
    out.extend_from_slice(&id.to_be_bytes()[usize::from(long_id == 0)..]);
    out.extend_from_slice(&(value.len() as u32).to_be_bytes()[4 - length_bytes..]);
    out.extend_from_slice(value);
}

/// Finds the Lifetime among the Resources of a TLV; `None` if it is not there or does not parse.
fn read_lifetime(mut bytes: &[u8]) -> Option<u32> {
    let mut lifetime = None;
    while let Some((&first, rest)) = bytes.split_first() {
        let id_length = 1 + usize::from(first >> 5 & 1);
        let (id, rest) = rest.split_at_checked(id_length)?;
        let length_bytes = usize::from(first >> 3 & 3);
        let (length, rest) = rest.split_at_checked(length_bytes)?;
        let length = match length_bytes {
            0 => usize::from(first & 7),
            _ => number(length)? as usize,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        if first >> 6 == TLV_RESOURCE && number(id)? == 1 {
            lifetime = u32::try_from(number(value)?).ok();
        }
        bytes = rest;
    }
    lifetime
}

/// An unsigned number of 1 to 8 bytes.
fn number(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() || bytes.len() > 8 {
        return None;
    }
    Some(
        bytes
            .iter()
            .fold(0, |number, &byte| number << 8 | u64::from(byte)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::values::Moves;
    use std::collections::HashSet;

    fn tree() -> Tree<'static> {
        Tree {
            number: 42,
            endpoint: "urn:x-0000042",
            lifetime_s: 86_400,
            binding: "U",
            reading: 10,
            sensors: 2,
            distinct: false,
            values: Values::default(),
            others: &[],
        }
    }

    fn path(text: &str) -> Path {
        text.parse().expect("a path")
    }

    fn read(text: &str, accept: Option<u16>) -> Result<(u16, Vec<u8>), Code> {
        let mut out = Vec::new();
        let format = tree().read(path(text), accept, &mut out)?;
        Ok((format.0, out))
    }

    #[test]
    fn single_values_are_read_in_text_and_tlv() {
        assert_eq!(read("/3303/0/5700", Some(0)), Ok((0, b"2.5".to_vec())));
        assert_eq!(
            read("/3303/1/5700", None),
            Ok((
                11542,
                [&[0xe4, 0x16, 0x44][..], &2.5f32.to_be_bytes()].concat()
            ))
        );
        assert_eq!(read("/1/0/1", Some(1541)), Ok((0, b"86400".to_vec())));
        assert_eq!(
            read("/1/0/1", Some(1542)),
            Ok((11542, vec![0xc4, 1, 0, 1, 0x51, 0x80]))
        );
        assert_eq!(
            read("/3/0/11", None),
            Ok((11542, vec![0x83, 11, 0x41, 0, 0]))
        );
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        assert_eq!(read("/3/0/4", None), Err(Code::METHOD_NOT_ALLOWED));
        assert_eq!(read("/3/0/11", Some(0)), Err(Code::NOT_ACCEPTABLE));
        assert_eq!(read("/3/0", Some(0)), Err(Code::NOT_ACCEPTABLE));
        assert_eq!(read("/3/0/0", Some(60)), Err(Code::NOT_ACCEPTABLE));
        for missing in ["/9", "/3/1", "/3/0/99", "/3303/2/5700", "/3/0/11/0"] {
            assert_eq!(read(missing, None), Err(Code::NOT_FOUND), "{missing}");
        }
    }

    #[test]
    fn instances_and_objects_are_tlv_of_their_parts() {
        let (_, server) = read("/1/0", None).expect("readable");
        assert_eq!(server[..3], [0xc1, 0, 1]);
        assert_eq!(server[3..9], [0xc4, 1, 0, 1, 0x51, 0x80]);
        let (_, object) = read("/3303", None).expect("readable");
        // Object Instance 0 with a length of one byte, and instance 1 behind it.
        assert_eq!(object[..2], [0x08, 0]);
        let second = 3 + usize::from(object[2]);
        assert_eq!(object[second..second + 2], [0x08, 1]);
    }

    #[test]
    fn only_the_lifetime_can_be_written() {
        let tree = tree();
        assert_eq!(tree.write(path("/1/0/1"), Some(0), b"60"), Ok(60));
        assert_eq!(
            tree.write(path("/1/0/1"), Some(11542), &[0xc1, 1, 60]),
            Ok(60)
        );
        assert_eq!(
            tree.write(path("/1/0"), Some(11542), &[0xc1, 0, 9, 0xc2, 1, 1, 0]),
            Ok(256)
        );
        assert_eq!(
            tree.write(path("/1/0/1"), Some(0), b"soon"),
            Err(Code::BAD_REQUEST)
        );
        assert_eq!(
            tree.write(path("/1/0/1"), Some(0), b"0"),
            Err(Code::BAD_REQUEST)
        );
        assert_eq!(
            tree.write(path("/1/0/1"), Some(11542), &[0xc8]),
            Err(Code::BAD_REQUEST)
        );
        assert_eq!(
            tree.write(path("/1/0/1"), Some(60), b"x"),
            Err(Code::UNSUPPORTED_CONTENT_FORMAT)
        );
        assert_eq!(
            tree.write(path("/3/0/0"), Some(0), b"x"),
            Err(Code::METHOD_NOT_ALLOWED)
        );
        assert_eq!(
            tree.write(path("/3/1/0"), Some(0), b"x"),
            Err(Code::NOT_FOUND)
        );
    }

    #[test]
    fn actions_are_told_from_values() {
        let tree = tree();
        assert_eq!(tree.execute(path("/1/0/8")), Ok(Action::Update));
        assert_eq!(tree.execute(path("/3/0/4")), Ok(Action::Reboot));
        assert_eq!(tree.execute(path("/3303/1/5605")), Ok(Action::Nothing));
        assert_eq!(tree.execute(path("/3/0/0")), Err(Code::METHOD_NOT_ALLOWED));
        assert_eq!(tree.execute(path("/3303/9/5605")), Err(Code::NOT_FOUND));
    }

    #[test]
    fn discover_lists_what_is_below() {
        let mut out = Vec::new();
        tree().discover(path("/3303/1"), &mut out).expect("there");
        assert_eq!(
            String::from_utf8(out).expect("text"),
            "</3303/1>,</3303/1/5605>,</3303/1/5700>,</3303/1/5701>"
        );
        assert_eq!(
            tree().discover(path("/4"), &mut Vec::new()),
            Err(Code::NOT_FOUND)
        );
    }

    #[test]
    fn the_most_links_fit_a_message_and_distinct_ones_differ() {
        let mut sets = HashSet::new();
        for number in [
            0, 1, 59_999, 60_000, 60_001, 119_999, 120_000, 999_999, 9_999_999,
        ] {
            let tree = Tree {
                number,
                sensors: SENSORS_MAX,
                distinct: true,
                ..tree()
            };
            let mut out = Vec::new();
            tree.links(&mut out);
            assert!(out.len() <= 1024, "{} bytes", out.len());
            let mut instances: Vec<u16> = tree.instances(3303).expect("there").collect();
            instances.sort_unstable();
            instances.dedup();
            assert_eq!(instances.len(), usize::from(SENSORS_MAX), "{number}");
            assert!(sets.insert(out), "{number}");
        }
    }

    #[test]
    fn readings_are_exact_and_never_the_same_twice() {
        for n in [1, 2, 3, 1_000_001, 0x00ff_ffff] {
            let reading = |n| {
                Tree {
                    reading: n,
                    ..tree()
                }
                .sensor_value(path("/3303/0/5700"))
            };
            assert_ne!(reading(n), reading(n - 1));
            assert_eq!(f64::from(reading(n)), f64::from(n) / 4.0);
        }
    }

    #[test]
    fn objects_of_the_scenario_stand_beside_temperature() {
        let humidity = SensorObject {
            id: 3304,
            instances: 2,
            unit: "%RH".to_owned(),
            values: Values {
                moves: Moves::Still,
                low: 40.5,
                ..Values::default()
            },
        };
        let tree = Tree {
            others: std::slice::from_ref(&humidity),
            ..tree()
        };
        let mut links = Vec::new();
        tree.links(&mut links);
        assert!(links.ends_with(b",</3304/0>,</3304/1>"));
        let mut out = Vec::new();
        assert_eq!(
            tree.read(path("/3304/1/5700"), Some(0), &mut out),
            Ok(ContentFormat::TEXT)
        );
        assert_eq!(out, b"40.5");
        assert_eq!(tree.sensor_value(path("/3304/1/5700")), 40.5);
        assert_eq!(tree.sensor_value(path("/3303/0/5700")), 2.5);
        for missing in ["/3304/2", "/3305", "/3304/0/9"] {
            assert_eq!(tree.find(path(missing)), Err(Code::NOT_FOUND), "{missing}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_can_be_written(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..40)) {
            for format in [0, 11542] {
                if let Ok(lifetime) = tree().write(path("/1/0/1"), Some(format), &bytes) {
                    proptest::prop_assert!(lifetime > 0);
                }
            }
        }
    }
}
