//! JSON of LwM2M 1.0: a base name and records, each one value (TS 6.4.4).
//!
//! ```text
//! {"bn":"/3/0/","e":[{"n":"0","sv":"ACME"},{"n":"6/0","v":1}],"bt":1700000000}
//! ```
//!
//! Records carry their full names, so the tree is put together value by value. With times it is a
//! history; without, each name comes once.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use data_encoding::BASE64;

use super::build::{self, Place};
use super::json_reader::{Reader, Scalar};
use super::{DecodeError, Decoded, EncodeError, Format, VALUES_MAX, check_length};
use crate::attribute::parse_number;
use crate::content_format::ContentFormat;
use crate::definition::ResourceDefinition;
use crate::deviation::{Deviation, Deviations};
use crate::id::{ObjectInstanceId, ResourceId};
use crate::node::{Node, ResourceValue, Timed, Timestamp};
use crate::path::{Level, Path, parse_id};
use crate::registry::Types;
use crate::value::{ObjectLink, Value, ValueType};

/// `application/vnd.oma.lwm2m+json`
pub(super) struct Json;

/// A name longer than this names nothing: four ids, their slashes and an alternate path.
const NAME_BYTES_MAX: usize = 256;

impl Format for Json {
    fn id(&self) -> ContentFormat {
        ContentFormat::JSON
    }

    fn is_structured(&self) -> bool {
        true
    }

    fn has_times(&self) -> bool {
        true
    }

    fn encode(&self, path: Path, node: &Node, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut writer = Writer::new(path, node)?;
        writer.put_tree(path, node, None)?;
        writer.finish(out);
        Ok(())
    }

    fn encode_history(
        &self,
        path: Path,
        history: &[Timed],
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let mut writer = Writer::new(path, &history.first().ok_or(EncodeError::Empty)?.node)?;
        for timed in history {
            writer.put_tree(path, &timed.node, timed.at)?;
        }
        writer.finish(out);
        Ok(())
    }

    fn decode(
        &self,
        path: Path,
        payload: &[u8],
        types: &dyn Types,
    ) -> Result<Decoded, DecodeError> {
        check_length(payload)?;
        if build::empty(path, types).is_none() {
            return Err(DecodeError::Target {
                id: self.id(),
                path,
            });
        }
        let text = core::str::from_utf8(payload).map_err(|error| DecodeError::Malformed {
            offset: error.valid_up_to(),
            what: "this is not UTF-8",
        })?;
        let (pack, deviations) = read_pack(text)?;
        Decoder {
            path,
            types,
            deviations,
            unnamed_instance: false,
        }
        .decode(&pack)
    }
}

/// The one object of a payload.
#[derive(Default)]
struct Pack<'a> {
    base_name: Option<Cow<'a, str>>,
    base_time: Option<f64>,
    records: Vec<Record<'a>>,
}

/// One element of `e`.
#[derive(Default)]
struct Record<'a> {
    name: Option<Cow<'a, str>>,
    time: Option<f64>,
    value: Option<Raw<'a>>,
}

/// A value as it is written, before its type is known.
enum Raw<'a> {
    /// `v`
    Number(&'a str),
    /// `bv`
    Boolean(bool),
    /// `sv`
    Text(Cow<'a, str>),
    /// `ov`
    Link(Cow<'a, str>),
}

fn read_pack(text: &str) -> Result<(Pack<'_>, Deviations), DecodeError> {
    let mut pack = Pack::default();
    let mut deviations = Deviations::NONE;
    let mut has_records = false;
    let mut reader = Reader::new(text);
    reader.object(|reader, name| {
        match name {
            "bn" => match reader.scalar()? {
                Scalar::Text(text) => pack.base_name = Some(text),
                _ => deviations.insert(Deviation::RecordSkipped),
            },
            "bt" => pack.base_time = number(reader.scalar()?),
            "e" => {
                has_records = true;
                reader.array(|reader| {
                    if pack.records.len() == VALUES_MAX {
                        return Err(DecodeError::TooMany);
                    }
                    if !reader.is_object() {
                        deviations.insert(Deviation::RecordSkipped);
                        return reader.scalar().map(drop);
                    }
                    pack.records.push(read_record(reader)?);
                    Ok(())
                })?;
            }
            _ => drop(reader.scalar()?),
        }
        Ok(())
    })?;
    reader.end()?;
    if !has_records {
        return Err(DecodeError::Malformed {
            offset: 0,
            what: "the array of records is missing",
        });
    }
    Ok((pack, deviations))
}

fn read_record<'a>(reader: &mut Reader<'a>) -> Result<Record<'a>, DecodeError> {
    let mut record = Record::default();
    reader.object(|reader, name| {
        let scalar = reader.scalar()?;
        match (name, scalar) {
            ("n", Scalar::Text(text)) => record.name = Some(text),
            ("t", scalar) => record.time = number(scalar),
            ("v" | "bv" | "sv", Scalar::Number(number)) => record.value = Some(Raw::Number(number)),
            ("v" | "bv" | "sv", Scalar::Boolean(value)) => record.value = Some(Raw::Boolean(value)),
            ("v" | "bv" | "sv", Scalar::Text(text)) => record.value = Some(Raw::Text(text)),
            ("ov", Scalar::Text(text)) => record.value = Some(Raw::Link(text)),
            _ => {}
        }
        Ok(())
    })?;
    Ok(record)
}

fn number(scalar: Scalar<'_>) -> Option<f64> {
    match scalar {
        Scalar::Number(text) => parse_number(text),
        Scalar::Boolean(_) | Scalar::Text(_) | Scalar::Other => None,
    }
}

struct Decoder<'a> {
    path: Path,
    types: &'a dyn Types,
    deviations: Deviations,
    unnamed_instance: bool,
}

impl Decoder<'_> {
    fn decode(mut self, pack: &Pack<'_>) -> Result<Decoded, DecodeError> {
        let has_times =
            pack.base_time.is_some() || pack.records.iter().any(|record| record.time.is_some());
        let mut values = Vec::with_capacity(pack.records.len());
        for record in &pack.records {
            match self.read(pack, record) {
                Some((place, value)) => {
                    values.push((has_times.then(|| self.time(pack, record)), place, value));
                }
                None => self.deviations.insert(Deviation::RecordSkipped),
            }
        }
        // Trees grow fastest in their own order, which a stranger need not keep.
        values.sort_by_key(|(at, place, _)| (*at, *place));
        if values
            .windows(2)
            .any(|pair| (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1))
        {
            self.deviations.insert(Deviation::ValueTwice);
        }
        let history = if has_times {
            self.history(&values)
        } else {
            Vec::new()
        };
        // The newest value of each place is the last that is put there.
        values.sort_by_key(|(at, place, _)| (*place, *at));
        let node = match values.is_empty() {
            true => self.nothing(pack)?,
            false => self.tree(values.into_iter().map(|(_, place, value)| (place, value))),
        };
        Ok(Decoded {
            node,
            unnamed_instance: self.unnamed_instance,
            at: history.last().and_then(|timed| timed.at),
            history,
            deviations: self.deviations,
        })
    }

    /// One tree for each time, given values in the order of their times.
    fn history(&self, values: &[(Option<Timestamp>, Place, Value)]) -> Vec<Timed> {
        let one = |values: &[(Option<Timestamp>, Place, Value)]| Timed {
            at: values[0].0,
            node: self.tree(
                values
                    .iter()
                    .map(|(_, place, value)| (*place, value.clone())),
            ),
        };
        values.chunk_by(|a, b| a.0 == b.0).map(one).collect()
    }

    fn tree(&self, values: impl Iterator<Item = (Place, Value)>) -> Node {
        let mut node = build::empty(self.path, self.types).expect("the target was checked");
        values.for_each(|(place, value)| build::put(&mut node, place, value));
        node
    }

    /// No record at all: that is an Object without instances, an instance without Resources, or a
    /// multiple Resource without values.
    fn nothing(&self, pack: &Pack<'_>) -> Result<Node, DecodeError> {
        let no_value = DecodeError::NoValue { path: self.path };
        match build::empty(self.path, self.types).ok_or(no_value)? {
            Node::Resource(resource) if matches!(resource.value, ResourceValue::Single(_)) => {
                Err(no_value)
            }
            _ if !pack.records.is_empty() => Err(no_value),
            node => Ok(node),
        }
    }

    fn read(&mut self, pack: &Pack<'_>, record: &Record<'_>) -> Option<(Place, Value)> {
        let raw = record.value.as_ref()?;
        let base = pack.base_name.as_deref();
        let mut place = self.place(base, record.name.as_deref().unwrap_or(""))?;
        let definition = self.types.resource(self.path.object_id()?, place.resource);
        let value = self.value(raw, definition)?;
        match (
            definition.map(|definition| definition.multiple),
            place.resource_instance,
        ) {
            (Some(true), None) => {
                self.deviations.insert(Deviation::MultipleAsSingle);
                place.resource_instance = Some(0.into());
            }
            (Some(false), Some(_)) => self.deviations.insert(Deviation::SingleAsMultiple),
            _ => {}
        }
        Some((place, value))
    }

    /// Where a record goes: base name and name put together (TS 6.4.4). Where that does not lie
    /// under the target, a slash between them may be missing.
    fn place(&mut self, base: Option<&str>, name: &str) -> Option<Place> {
        if base.map_or(0, str::len) + name.len() > NAME_BYTES_MAX {
            return None;
        }
        let joined = match base {
            Some(base) => alloc::format!("{base}{name}"),
            None if name.starts_with('/') => name.into(),
            None => alloc::format!("{}/{name}", self.path),
        };
        if let Some(place) = self.place_of(&joined) {
            let is_plain = joined.starts_with('/') && !joined.contains("//");
            if !is_plain || joined.ends_with('/') {
                self.deviations.insert(Deviation::NameSpelling);
            }
            return Some(place);
        }
        // Without slash between, or relative to the target in spite of a base name.
        let repaired = alloc::format!("{}/{name}", base.unwrap_or(""));
        let relative = alloc::format!("{}/{name}", self.path);
        let place = self
            .place_of(&repaired)
            .or_else(|| self.place_of(&relative))?;
        self.deviations.insert(Deviation::NameSpelling);
        Some(place)
    }

    /// The place of a full name, if it lies under the target. An alternate path before it is
    /// passed over: the standard does not say whether it belongs there.
    fn place_of(&mut self, name: &str) -> Option<Place> {
        let segments = name.split('/').filter(|segment| !segment.is_empty());
        let path =
            Path::from_segments(segments.skip_while(|segment| parse_id(segment).is_none())).ok()?;
        if !self.path.contains(&path) {
            return None;
        }
        match (path.ids(), self.path.level()) {
            ([_, resource], Level::Object) => {
                self.unnamed_instance = true;
                self.deviations.insert(Deviation::TlvInstanceMissing);
                Some(Place {
                    instance: ObjectInstanceId(0),
                    resource: ResourceId(*resource),
                    resource_instance: None,
                })
            }
            ([_, instance, resource, rest @ ..], _) => Some(Place {
                instance: ObjectInstanceId(*instance),
                resource: ResourceId(*resource),
                resource_instance: rest.first().map(|id| (*id).into()),
            }),
            _ => None,
        }
    }

    /// Times above zero are of the clock, others before now; those that can only be milliseconds
    /// are taken as such.
    fn time(&mut self, pack: &Pack<'_>, record: &Record<'_>) -> Timestamp {
        let seconds = pack.base_time.unwrap_or(0.0) + record.time.unwrap_or(0.0);
        if seconds <= 0.0 {
            return Timestamp::ago(rounded(-seconds * 1000.0) as u64);
        }
        if seconds >= build::TIME_IN_MS_MIN as f64 {
            self.deviations.insert(Deviation::TimeInMilliseconds);
            return Timestamp::Unix {
                ms: rounded(seconds),
            };
        }
        Timestamp::Unix {
            ms: rounded(seconds * 1000.0),
        }
    }

    fn value(&mut self, raw: &Raw<'_>, definition: Option<&ResourceDefinition>) -> Option<Value> {
        let Some(definition) = definition else {
            return natural(raw);
        };
        typed(raw, definition.value_type, &mut self.deviations).or_else(|| {
            self.deviations.insert(Deviation::TypeClash);
            natural(raw)
        })
    }
}

/// To the nearest whole number; what does not fit becomes the nearest that does.
fn rounded(number: f64) -> i64 {
    (number + if number < 0.0 { -0.5 } else { 0.5 }) as i64
}

/// A value whose type is not known: as JSON itself has it.
fn natural(raw: &Raw<'_>) -> Option<Value> {
    Some(match raw {
        Raw::Number(text) => match (build::signed(text), build::unsigned(text)) {
            // Only a float has a negative zero.
            (Some(0), _) if text.starts_with('-') => Value::Float(-0.0),
            (Some(integer), _) => Value::Integer(integer),
            (None, Some(unsigned)) => Value::Unsigned(unsigned),
            (None, None) => Value::Float(parse_number(text)?),
        },
        Raw::Boolean(boolean) => Value::Boolean(*boolean),
        Raw::Text(text) => Value::String(String::from(&**text)),
        Raw::Link(text) => Value::ObjectLink(ObjectLink::parse(text)?),
    })
}

fn typed(raw: &Raw<'_>, value_type: ValueType, deviations: &mut Deviations) -> Option<Value> {
    let misplaced = Deviation::JsonMember;
    Some(match (value_type, raw) {
        (ValueType::String, Raw::Text(text)) => Value::String(String::from(&**text)),
        (ValueType::CoreLink, Raw::Text(text)) => Value::CoreLink(String::from(&**text)),
        (ValueType::Opaque, Raw::Text(text)) => Value::Opaque(build::base64(text, deviations)?),
        (ValueType::Boolean, Raw::Boolean(boolean)) => Value::Boolean(*boolean),
        (ValueType::ObjectLink, Raw::Link(text)) => Value::ObjectLink(ObjectLink::parse(text)?),
        (ValueType::Float, Raw::Number(text)) => Value::Float(parse_number(text)?),
        (ValueType::Integer, Raw::Number(text)) => Value::Integer(integer(text)?),
        (ValueType::Time, Raw::Number(text)) => build::time(integer(text)?, deviations),
        (ValueType::Unsigned, Raw::Number(text)) => Value::Unsigned(
            build::unsigned(text).or_else(|| build::exact_unsigned(parse_number(text)?))?,
        ),
        (ValueType::Boolean, Raw::Number(text)) if matches!(*text, "0" | "1") => {
            deviations.insert(misplaced);
            Value::Boolean(*text == "1")
        }
        (ValueType::String, Raw::Number(text)) => {
            deviations.insert(misplaced);
            Value::String((*text).into())
        }
        // Whatever else came as text is read as plain text is.
        (value_type, Raw::Text(text) | Raw::Link(text)) => {
            deviations.insert(misplaced);
            build::from_text(text, value_type, deviations)?
        }
        (_, Raw::Number(_) | Raw::Boolean(_)) => return None,
    })
}

/// An integer, or a number that is exactly one: `5.0`.
fn integer(text: &str) -> Option<i64> {
    build::signed(text).or_else(|| build::exact_integer(parse_number(text)?))
}

/// A payload in the making.
struct Writer {
    text: String,
    base: Path,
    is_first: bool,
}

impl Writer {
    fn new(path: Path, node: &Node) -> Result<Self, EncodeError> {
        let fits = match (path.level(), node) {
            (Level::Object, Node::Object(_) | Node::Instance(_)) => true,
            (Level::Instance, Node::Instance(_)) => true,
            (Level::Resource, Node::Resource(resource)) => path.resource_id() == Some(resource.id),
            _ => false,
        };
        if !fits {
            return Err(EncodeError::Shape { path });
        }
        // The base name of a single Resource is its path and leaves no name to the record.
        let slash = match node {
            Node::Resource(resource) if resource.value().is_some() => "",
            _ => "/",
        };
        Ok(Self {
            text: alloc::format!("{{\"bn\":\"{path}{slash}\",\"e\":["),
            base: path,
            is_first: true,
        })
    }

    fn put_tree(
        &mut self,
        path: Path,
        node: &Node,
        at: Option<Timestamp>,
    ) -> Result<(), EncodeError> {
        // An instance at the path of its Object is one without number: its names begin with the
        // Resource. Two ids would be taken for instance and Resource.
        if let (Level::Object, Node::Instance(_)) = (path.level(), node) {
            let values = node.values(Path::ROOT);
            if values.iter().any(|(name, _)| name.level() != Level::Object) {
                return Err(EncodeError::NotExpressible {
                    id: ContentFormat::JSON,
                });
            }
            return values
                .into_iter()
                .try_for_each(|(name, value)| self.put_record(name.ids(), value, at));
        }
        let depth = self.base.ids().len();
        node.values(path)
            .into_iter()
            .try_for_each(|(name, value)| self.put_record(&name.ids()[depth..], value, at))
    }

    fn put_record(
        &mut self,
        name: &[u16],
        value: &Value,
        at: Option<Timestamp>,
    ) -> Result<(), EncodeError> {
        self.text.push_str(if self.is_first { "{" } else { ",{" });
        self.is_first = false;
        if !name.is_empty() {
            self.text.push_str("\"n\":\"");
            for (index, id) in name.iter().enumerate() {
                let _ = write!(self.text, "{}{id}", if index > 0 { "/" } else { "" });
            }
            self.text.push_str("\",");
        }
        self.put_value(value)?;
        match at {
            None => {}
            Some(Timestamp::Unix { ms }) => self.put_time(ms),
            Some(Timestamp::Ago { ms }) => {
                self.put_time(i64::try_from(ms.0).map_or(i64::MIN, |ms| -ms));
            }
        }
        self.text.push('}');
        Ok(())
    }

    /// Seconds, with as many digits behind the point as there are.
    fn put_time(&mut self, ms: i64) {
        let sign = if ms < 0 { "-" } else { "" };
        let (seconds, rest) = (ms.unsigned_abs() / 1000, ms.unsigned_abs() % 1000);
        let _ = write!(self.text, ",\"t\":{sign}{seconds}");
        if rest > 0 {
            let _ = write!(self.text, ".{rest:03}");
        }
    }

    fn put_value(&mut self, value: &Value) -> Result<(), EncodeError> {
        let _ = match value {
            Value::String(text) | Value::CoreLink(text) => {
                self.text.push_str("\"sv\":");
                self.put_string(text);
                Ok(())
            }
            Value::Integer(number) | Value::Time(number) => write!(self.text, "\"v\":{number}"),
            Value::Unsigned(number) => write!(self.text, "\"v\":{number}"),
            Value::Float(number) if number.is_finite() => write!(self.text, "\"v\":{number}"),
            Value::Float(_) => {
                return Err(EncodeError::NotExpressible {
                    id: ContentFormat::JSON,
                });
            }
            Value::Boolean(boolean) => write!(self.text, "\"bv\":{boolean}"),
            Value::Opaque(bytes) => write!(self.text, "\"sv\":\"{}\"", BASE64.encode(bytes)),
            Value::ObjectLink(link) => write!(self.text, "\"ov\":\"{link}\""),
        };
        Ok(())
    }

    fn put_string(&mut self, text: &str) {
        self.text.push('"');
        for char in text.chars() {
            match char {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\t' => self.text.push_str("\\t"),
                control if (control as u32) < 0x20 => {
                    let _ = write!(self.text, "\\u{:04x}", control as u32);
                }
                char => self.text.push(char),
            }
        }
        self.text.push('"');
    }

    fn finish(mut self, out: &mut Vec<u8>) {
        self.text.push_str("]}");
        out.extend_from_slice(self.text.as_bytes());
    }
}
