//! TLV: type, length, value, the format that every Client has (TS 6.4.3).
//!
//! ```text
//! type   kind (2 bits) | long id (1) | length of the length (2) | short length (3)
//! id     1 or 2 bytes
//! length 0 to 3 bytes
//! value  the value, or entries of the next level
//! ```
//!
//! Three levels and no more: Object Instance, multiple Resource, Resource Instance. So reading is
//! three nested loops and never recursive.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::{DecodeError, Decoded, EncodeError, Format, VALUES_MAX, build, check_length};
use crate::content_format::ContentFormat;
use crate::definition::ResourceDefinition;
use crate::deviation::{Deviation, Deviations};
use crate::id::{ObjectId, ObjectInstanceId, ResourceId, ResourceInstanceId};
use crate::node::{Instance, Node, Object, Resource, ResourceValue};
use crate::path::{Level, Path};
use crate::registry::Types;
use crate::value::{ObjectLink, Value, ValueType};

/// `application/vnd.oma.lwm2m+tlv`
pub(super) struct Tlv;

/// The longest value that three bytes of length can say.
const VALUE_BYTES_MAX: usize = 0xff_ffff;

/// What an entry is: the upper two bits of its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    ObjectInstance,
    ResourceInstance,
    MultipleResource,
    Resource,
}

impl Format for Tlv {
    fn id(&self) -> ContentFormat {
        ContentFormat::TLV
    }

    fn is_structured(&self) -> bool {
        true
    }

    fn encode(&self, path: Path, node: &Node, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match (path.level(), node) {
            (Level::Object, Node::Object(object)) => {
                for instance in object.instances() {
                    let length = resources_length(instance);
                    put_header(Kind::ObjectInstance, instance.id.0, length, out)?;
                    put_resources(instance, out)?;
                }
                Ok(())
            }
            // Without the entry of the instance, the receiver chooses its number (TS 5.4.6).
            (Level::Object | Level::Instance, Node::Instance(instance)) => {
                put_resources(instance, out)
            }
            (Level::Resource, Node::Resource(resource))
                if path.resource_id() == Some(resource.id) =>
            {
                put_resource(resource, out)
            }
            _ => Err(EncodeError::Shape { path }),
        }
    }

    fn decode(
        &self,
        path: Path,
        payload: &[u8],
        types: &dyn Types,
    ) -> Result<Decoded, DecodeError> {
        check_length(payload)?;
        let target = DecodeError::Target {
            id: self.id(),
            path,
        };
        let object = path.object_id().ok_or(target)?;
        let mut decoder = Decoder {
            object,
            types,
            values: 0,
            deviations: Deviations::NONE,
        };
        let entries = Entries {
            payload,
            at: 0,
            end: payload.len(),
        };
        match path.level() {
            Level::Root | Level::ResourceInstance => Err(target),
            Level::Object => decoder.object(entries),
            Level::Instance => {
                let id = path.instance_id().ok_or(target)?;
                let instance = decoder.instance_of(id, entries)?;
                Ok(Decoded::now(Node::Instance(instance), decoder.deviations))
            }
            Level::Resource => {
                let resource = decoder.resource_at(path, entries)?;
                Ok(Decoded::now(Node::Resource(resource), decoder.deviations))
            }
        }
    }
}

/// The entries of one level.
#[derive(Clone, Copy)]
struct Entries<'a> {
    payload: &'a [u8],
    at: usize,
    end: usize,
}

/// One entry; its value is `payload[start..end]`.
struct Entry<'a> {
    kind: Kind,
    id: u16,
    /// Where the entry begins, for errors.
    offset: usize,
    inside: Entries<'a>,
}

impl<'a> Entry<'a> {
    fn value(&self) -> &'a [u8] {
        &self.inside.payload[self.inside.at..self.inside.end]
    }

    fn malformed<T>(&self, what: &'static str) -> Result<T, DecodeError> {
        Err(DecodeError::Malformed {
            offset: self.offset,
            what,
        })
    }
}

impl<'a> Entries<'a> {
    fn next(&mut self) -> Result<Option<Entry<'a>>, DecodeError> {
        let offset = self.at;
        if offset == self.end {
            return Ok(None);
        }
        let cut = DecodeError::Malformed {
            offset,
            what: "an entry is cut short",
        };
        let byte = self.take(1).ok_or(cut)? as u8;
        let kind = match byte >> 6 {
            0b00 => Kind::ObjectInstance,
            0b01 => Kind::ResourceInstance,
            0b10 => Kind::MultipleResource,
            _ => Kind::Resource,
        };
        let id = self.take(if byte & 0x20 == 0 { 1 } else { 2 }).ok_or(cut)? as u16;
        let length = match byte >> 3 & 0b11 {
            0 => (byte & 0b111) as usize,
            bytes => self.take(bytes as usize).ok_or(cut)? as usize,
        };
        let start = self.at;
        let end = start + length;
        if end > self.end {
            return Err(DecodeError::Malformed {
                offset,
                what: "a value runs past the end",
            });
        }
        self.at = end;
        let inside = Entries {
            payload: self.payload,
            at: start,
            end,
        };
        Ok(Some(Entry {
            kind,
            id,
            offset,
            inside,
        }))
    }

    /// A big-endian number of that many bytes, at most three.
    fn take(&mut self, bytes: usize) -> Option<u32> {
        let end = self.at + bytes;
        if end > self.end {
            return None;
        }
        let number = self.payload[self.at..end]
            .iter()
            .fold(0, |number, byte| number << 8 | u32::from(*byte));
        self.at = end;
        Some(number)
    }
}

struct Decoder<'a> {
    object: ObjectId,
    types: &'a dyn Types,
    values: usize,
    deviations: Deviations,
}

impl Decoder<'_> {
    fn object(mut self, mut entries: Entries<'_>) -> Result<Decoded, DecodeError> {
        let mut instances = Vec::new();
        let mut unnamed = Vec::new();
        while let Some(entry) = entries.next()? {
            match entry.kind {
                Kind::ObjectInstance => {
                    self.count()?;
                    let resources = self.resources(entry.inside)?;
                    instances.push(self.gather(ObjectInstanceId(entry.id), resources));
                }
                Kind::Resource | Kind::MultipleResource => unnamed.push(self.resource(&entry)?),
                Kind::ResourceInstance => {
                    return entry.malformed("a resource instance stands outside of a resource");
                }
            }
        }
        let unnamed_instance = !unnamed.is_empty();
        if unnamed_instance {
            self.deviations.insert(Deviation::TlvInstanceMissing);
            instances.push(self.gather(ObjectInstanceId(0), unnamed));
        }
        let (object, twice) = Object::gather(self.object, instances);
        self.note_twice(twice);
        let decoded = Decoded::now(Node::Object(object), self.deviations);
        Ok(Decoded {
            unnamed_instance,
            ..decoded
        })
    }

    /// The Resources of one instance, with or without the entry of the instance around them.
    fn instance_of(
        &mut self,
        id: ObjectInstanceId,
        mut entries: Entries<'_>,
    ) -> Result<Instance, DecodeError> {
        let mut resources = Vec::new();
        while let Some(entry) = entries.next()? {
            match entry.kind {
                Kind::ObjectInstance if entry.id == id.0 => {
                    self.deviations.insert(Deviation::TlvInstanceWrapped);
                    resources.append(&mut self.resources(entry.inside)?);
                }
                Kind::ObjectInstance => self.deviations.insert(Deviation::RecordSkipped),
                Kind::Resource | Kind::MultipleResource => resources.push(self.resource(&entry)?),
                Kind::ResourceInstance => {
                    return entry.malformed("a resource instance stands outside of a resource");
                }
            }
        }
        Ok(self.gather(id, resources))
    }

    fn resources(&mut self, mut entries: Entries<'_>) -> Result<Vec<Resource>, DecodeError> {
        let mut resources = Vec::new();
        while let Some(entry) = entries.next()? {
            resources.push(self.resource(&entry)?);
        }
        Ok(resources)
    }

    fn gather(&mut self, id: ObjectInstanceId, resources: Vec<Resource>) -> Instance {
        let (instance, twice) = Instance::gather(id, resources);
        self.note_twice(twice);
        instance
    }

    /// The one Resource that the path names; other entries are passed over.
    fn resource_at(
        &mut self,
        path: Path,
        mut entries: Entries<'_>,
    ) -> Result<Resource, DecodeError> {
        let no_value = DecodeError::NoValue { path };
        let id = path.resource_id().ok_or(no_value)?;
        let is_empty = entries.at == entries.end;
        let mut found = None;
        while let Some(entry) = entries.next()? {
            match entry.kind {
                Kind::ObjectInstance if path.instance_id() == Some(ObjectInstanceId(entry.id)) => {
                    self.deviations.insert(Deviation::TlvInstanceWrapped);
                    let resources = self.resources(entry.inside)?;
                    found = resources
                        .into_iter()
                        .rfind(|resource| resource.id == id)
                        .or(found);
                }
                Kind::Resource | Kind::MultipleResource if entry.id == id.0 => {
                    let resource = self.resource(&entry)?;
                    self.note_twice(found.is_some());
                    found = Some(resource);
                }
                _ => self.deviations.insert(Deviation::RecordSkipped),
            }
        }
        match found {
            Some(resource) => Ok(resource),
            None if is_empty => self.empty_resource(path, id).ok_or(no_value),
            None => Err(no_value),
        }
    }

    /// No bytes at all mean an empty value, where there is one.
    fn empty_resource(&self, path: Path, id: ResourceId) -> Option<Resource> {
        let definition = build::definition_at(path, self.types)?;
        let value = match definition.value_type {
            _ if definition.multiple => ResourceValue::Multiple(BTreeMap::new()),
            ValueType::String => ResourceValue::Single(Value::String(String::new())),
            ValueType::CoreLink => ResourceValue::Single(Value::CoreLink(String::new())),
            ValueType::Opaque => ResourceValue::Single(Value::Opaque(Vec::new())),
            _ => return None,
        };
        Some(Resource { id, value })
    }

    fn resource(&mut self, entry: &Entry<'_>) -> Result<Resource, DecodeError> {
        let id = ResourceId(entry.id);
        let definition = self.types.resource(self.object, id);
        let value = match entry.kind {
            Kind::Resource => {
                self.count()?;
                let value = decode_value(entry.value(), definition, &mut self.deviations);
                build::single(value, definition, &mut self.deviations)
            }
            Kind::MultipleResource => {
                if definition.is_some_and(|definition| !definition.multiple) {
                    self.deviations.insert(Deviation::SingleAsMultiple);
                }
                ResourceValue::Multiple(self.resource_instances(entry.inside, definition)?)
            }
            Kind::ObjectInstance => {
                return entry.malformed("an object instance stands within another");
            }
            Kind::ResourceInstance => {
                return entry.malformed("a resource instance stands outside of a resource");
            }
        };
        Ok(Resource { id, value })
    }

    fn resource_instances(
        &mut self,
        mut entries: Entries<'_>,
        definition: Option<&ResourceDefinition>,
    ) -> Result<BTreeMap<ResourceInstanceId, Value>, DecodeError> {
        let mut values = BTreeMap::new();
        self.count()?;
        while let Some(entry) = entries.next()? {
            if entry.kind != Kind::ResourceInstance {
                return entry.malformed("a multiple resource has resource instances only");
            }
            self.count()?;
            let value = decode_value(entry.value(), definition, &mut self.deviations);
            let twice = values.insert(ResourceInstanceId(entry.id), value).is_some();
            self.note_twice(twice);
        }
        Ok(values)
    }

    fn count(&mut self) -> Result<(), DecodeError> {
        self.values += 1;
        if self.values > VALUES_MAX {
            Err(DecodeError::TooMany)
        } else {
            Ok(())
        }
    }

    fn note_twice(&mut self, twice: bool) {
        if twice {
            self.deviations.insert(Deviation::ValueTwice);
        }
    }
}

/// A value by its type; what does not fit is kept as bytes, and noted.
fn decode_value(
    bytes: &[u8],
    definition: Option<&ResourceDefinition>,
    deviations: &mut Deviations,
) -> Value {
    let Some(definition) = definition else {
        return Value::Opaque(bytes.into());
    };
    let value = match definition.value_type {
        ValueType::String => String::from_utf8(bytes.into()).ok().map(Value::String),
        ValueType::CoreLink => String::from_utf8(bytes.into()).ok().map(Value::CoreLink),
        ValueType::Opaque => Some(Value::Opaque(bytes.into())),
        ValueType::Integer => decode_integer(bytes, definition, deviations).map(Value::Integer),
        ValueType::Time => decode_integer(bytes, definition, deviations)
            .map(|seconds| build::time(seconds, deviations)),
        ValueType::Unsigned => decode_unsigned(bytes, deviations).map(Value::Unsigned),
        ValueType::Float => decode_float(bytes).map(Value::Float),
        ValueType::Boolean => match bytes {
            [0] => Some(Value::Boolean(false)),
            [1] => Some(Value::Boolean(true)),
            _ => None,
        },
        ValueType::ObjectLink => decode_link(bytes, deviations).map(Value::ObjectLink),
        ValueType::None => None,
    };
    value.unwrap_or_else(|| {
        deviations.insert(Deviation::TypeClash);
        Value::Opaque(bytes.into())
    })
}

/// Big-endian two's complement of 1, 2, 4 or 8 bytes. Other lengths up to 8 have been seen from
/// devices that strip leading bytes, and positive numbers from devices that strip one too many.
fn decode_integer(
    bytes: &[u8],
    definition: &ResourceDefinition,
    deviations: &mut Deviations,
) -> Option<i64> {
    let unsigned = decode_unsigned(bytes, deviations)?;
    let unused = 64 - 8 * bytes.len() as u32;
    let signed = (unsigned << unused) as i64 >> unused;
    let strange = signed < 0 && bytes.len() < 8 && definition.range().is_never_negative();
    if strange {
        deviations.insert(Deviation::IntegerWithoutSign);
        return Some(unsigned as i64);
    }
    Some(signed)
}

fn decode_unsigned(bytes: &[u8], deviations: &mut Deviations) -> Option<u64> {
    match bytes.len() {
        1 | 2 | 4 | 8 => {}
        3 | 5 | 6 | 7 => deviations.insert(Deviation::IntegerLength),
        _ => return None,
    }
    Some(
        bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)),
    )
}

fn decode_float(bytes: &[u8]) -> Option<f64> {
    if let Ok(short) = bytes.try_into() {
        return Some(f64::from(f32::from_be_bytes(short)));
    }
    Some(f64::from_be_bytes(bytes.try_into().ok()?))
}

fn decode_link(bytes: &[u8], deviations: &mut Deviations) -> Option<ObjectLink> {
    if bytes.is_empty() {
        deviations.insert(Deviation::ObjectLinkEmpty);
        return Some(ObjectLink::NULL);
    }
    let [a, b, c, d] = bytes.try_into().ok()?;
    Some(ObjectLink {
        object: ObjectId(u16::from_be_bytes([a, b])),
        instance: ObjectInstanceId(u16::from_be_bytes([c, d])),
    })
}

fn put_resources(instance: &Instance, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    instance
        .resources()
        .iter()
        .try_for_each(|resource| put_resource(resource, out))
}

fn put_resource(resource: &Resource, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    match &resource.value {
        ResourceValue::Single(value) => put_value(Kind::Resource, resource.id.0, value, out),
        ResourceValue::Multiple(values) => {
            put_header(
                Kind::MultipleResource,
                resource.id.0,
                instances_length(values),
                out,
            )?;
            values
                .iter()
                .try_for_each(|(id, value)| put_value(Kind::ResourceInstance, id.0, value, out))
        }
    }
}

fn put_value(kind: Kind, id: u16, value: &Value, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let length = value_length(value);
    put_header(kind, id, length, out)?;
    match value {
        Value::String(text) | Value::CoreLink(text) => out.extend_from_slice(text.as_bytes()),
        Value::Opaque(bytes) => out.extend_from_slice(bytes),
        Value::Integer(number) | Value::Time(number) => {
            out.extend_from_slice(&number.to_be_bytes()[8 - length..]);
        }
        Value::Unsigned(number) => out.extend_from_slice(&number.to_be_bytes()[8 - length..]),
        Value::Float(number) if length == 4 => {
            out.extend_from_slice(&(*number as f32).to_be_bytes());
        }
        Value::Float(number) => out.extend_from_slice(&number.to_be_bytes()),
        Value::Boolean(boolean) => out.push(u8::from(*boolean)),
        Value::ObjectLink(link) => {
            out.extend_from_slice(&link.object.0.to_be_bytes());
            out.extend_from_slice(&link.instance.0.to_be_bytes());
        }
    }
    Ok(())
}

/// The smallest forms of id and length (TS 6.4.3).
fn put_header(kind: Kind, id: u16, length: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if length > VALUE_BYTES_MAX {
        return Err(EncodeError::TooLong);
    }
    let kind_bits = match kind {
        Kind::ObjectInstance => 0b00,
        Kind::ResourceInstance => 0b01,
        Kind::MultipleResource => 0b10,
        Kind::Resource => 0b11,
    } << 6;
    let id_bit = if id > 0xff { 0x20 } else { 0 };
    let length_bytes = length_of_length(length);
    let short_length = if length_bytes == 0 { length as u8 } else { 0 };
    out.push(kind_bits | id_bit | (length_bytes as u8) << 3 | short_length);
    if id > 0xff {
        out.push((id >> 8) as u8);
    }
    out.push(id as u8);
    out.extend_from_slice(&(length as u32).to_be_bytes()[4 - length_bytes..]);
    Ok(())
}

const fn length_of_length(length: usize) -> usize {
    match length {
        0..=7 => 0,
        8..=0xff => 1,
        0x100..=0xffff => 2,
        _ => 3,
    }
}

const fn entry_length(id: u16, length: usize) -> usize {
    let id_bytes = if id > 0xff { 2 } else { 1 };
    1 + id_bytes + length_of_length(length) + length
}

fn resources_length(instance: &Instance) -> usize {
    let length = |resource: &Resource| {
        entry_length(
            resource.id.0,
            match &resource.value {
                ResourceValue::Single(value) => value_length(value),
                ResourceValue::Multiple(values) => instances_length(values),
            },
        )
    };
    instance.resources().iter().map(length).sum()
}

fn instances_length(values: &BTreeMap<ResourceInstanceId, Value>) -> usize {
    values
        .iter()
        .map(|(id, value)| entry_length(id.0, value_length(value)))
        .sum()
}

fn value_length(value: &Value) -> usize {
    match value {
        Value::String(text) | Value::CoreLink(text) => text.len(),
        Value::Opaque(bytes) => bytes.len(),
        Value::Integer(number) | Value::Time(number) => integer_length(*number),
        Value::Unsigned(number) => match number {
            0..=0xff => 1,
            0x100..=0xffff => 2,
            0x1_0000..=0xffff_ffff => 4,
            _ => 8,
        },
        // Half the bytes where nothing is lost: all small whole numbers, and what was a 32-bit
        // float in the first place.
        Value::Float(number) => {
            if f64::from(*number as f32).to_bits() == number.to_bits() {
                4
            } else {
                8
            }
        }
        Value::Boolean(_) => 1,
        Value::ObjectLink(_) => 4,
    }
}

fn integer_length(number: i64) -> usize {
    if i8::try_from(number).is_ok() {
        1
    } else if i16::try_from(number).is_ok() {
        2
    } else if i32::try_from(number).is_ok() {
        4
    } else {
        8
    }
}
