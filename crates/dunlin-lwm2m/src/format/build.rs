//! What formats share: trees that grow value by value, and values from text.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD};

use crate::attribute::parse_number;
use crate::definition::ResourceDefinition;
use crate::deviation::{Deviation, Deviations};
use crate::id::{ObjectInstanceId, ResourceId, ResourceInstanceId};
use crate::node::{Instance, Node, Object, Resource, ResourceValue, Timed};
use crate::path::{Level, Path};
use crate::registry::Types;
use crate::value::{ObjectLink, Value, ValueType};

/// From here on a time can only be in milliseconds: as seconds it would be in the year 5138.
pub(super) const TIME_IN_MS_MIN: i64 = 100_000_000_000;

/// The definition of the Resource at `path`.
pub(super) fn definition_at(path: Path, types: &dyn Types) -> Option<&ResourceDefinition> {
    types.resource(path.object_id()?, path.resource_id()?)
}

/// The type of the Resource at `path`.
pub(super) fn type_at(path: Path, types: &dyn Types) -> Option<ValueType> {
    definition_at(path, types).map(|definition| definition.value_type)
}

/// The empty tree that stands at `path`, to be filled by [`put`].
pub(super) fn empty(path: Path, types: &dyn Types) -> Option<Node> {
    let object = path.object_id()?;
    Some(match path.level() {
        Level::Root | Level::ResourceInstance => return None,
        Level::Object => Node::Object(Object::new(object)),
        Level::Instance => Node::Instance(Instance::new(path.instance_id()?)),
        Level::Resource => {
            let multiple = definition_at(path, types).is_none_or(|definition| definition.multiple);
            // A single Resource has no empty form: `put` must follow.
            let value = match multiple {
                true => ResourceValue::Multiple(BTreeMap::new()),
                false => ResourceValue::Single(Value::Opaque(Vec::new())),
            };
            Node::Resource(Resource {
                id: path.resource_id()?,
                value,
            })
        }
    })
}

/// A value by itself is one value of a multiple Resource where the definition says so.
pub(super) fn single(
    value: Value,
    definition: Option<&ResourceDefinition>,
    deviations: &mut Deviations,
) -> ResourceValue {
    if definition.is_some_and(|definition| definition.multiple) {
        deviations.insert(Deviation::MultipleAsSingle);
        return ResourceValue::Multiple([(ResourceInstanceId(0), value)].into());
    }
    ResourceValue::Single(value)
}

/// Where a value goes within a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) instance: ObjectInstanceId,
    pub(super) resource: ResourceId,
    pub(super) resource_instance: Option<ResourceInstanceId>,
}

/// Puts a value into a tree, in place of the one that is there.
pub(super) fn put(node: &mut Node, place: Place, value: Value) {
    match node {
        Node::Object(object) => {
            put_into_instance(object.instance_entry(place.instance), place, value)
        }
        Node::Instance(instance) => put_into_instance(instance, place, value),
        Node::Resource(resource) => put_into_value(&mut resource.value, place, value),
    }
}

fn put_into_instance(instance: &mut Instance, place: Place, value: Value) {
    if let Some(resource) = instance.resource_mut(place.resource) {
        return put_into_value(&mut resource.value, place, value);
    }
    let value = match place.resource_instance {
        Some(id) => ResourceValue::Multiple([(id, value)].into()),
        None => ResourceValue::Single(value),
    };
    instance.insert(Resource {
        id: place.resource,
        value,
    });
}

fn put_into_value(at: &mut ResourceValue, place: Place, value: Value) {
    match (at, place.resource_instance) {
        (ResourceValue::Multiple(values), Some(id)) => {
            values.insert(id, value);
        }
        (at, Some(id)) => *at = ResourceValue::Multiple([(id, value)].into()),
        (at, None) => *at = ResourceValue::Single(value),
    }
}

/// The newest value of each place; `history` has the oldest first.
pub(super) fn newest(history: &[Timed]) -> Option<Node> {
    let (first, rest) = history.split_first()?;
    let mut node = first.node.clone();
    for timed in rest {
        merge(&mut node, &timed.node);
    }
    Some(node)
}

/// Puts what `newer` has over what `node` has.
fn merge(node: &mut Node, newer: &Node) {
    match (node, newer) {
        (Node::Object(object), Node::Object(newer)) => {
            for instance in newer.instances() {
                let entry = object.instance_entry(instance.id);
                instance
                    .resources()
                    .iter()
                    .for_each(|resource| merge_resource(entry, resource));
            }
        }
        (Node::Instance(instance), Node::Instance(newer)) => {
            newer
                .resources()
                .iter()
                .for_each(|resource| merge_resource(instance, resource));
        }
        (Node::Resource(resource), Node::Resource(newer)) => merge_value(resource, newer),
        // Trees of another kind do not stand at the same path; the newer one counts.
        (node, newer) => *node = newer.clone(),
    }
}

fn merge_resource(instance: &mut Instance, newer: &Resource) {
    match instance.resource_mut(newer.id) {
        Some(resource) => merge_value(resource, newer),
        None => {
            instance.insert(newer.clone());
        }
    }
}

fn merge_value(resource: &mut Resource, newer: &Resource) {
    match (&mut resource.value, &newer.value) {
        (ResourceValue::Multiple(values), ResourceValue::Multiple(newer)) => {
            values.extend(newer.iter().map(|(id, value)| (*id, value.clone())));
        }
        (value, newer) => *value = newer.clone(),
    }
}

/// A value from its text form (TS Annex C); `None` if it is none of that type.
pub(super) fn from_text(
    text: &str,
    value_type: ValueType,
    deviations: &mut Deviations,
) -> Option<Value> {
    let trimmed = text.trim();
    let spelling = Deviation::TextSpelling;
    match value_type {
        ValueType::String => return Some(Value::String(text.into())),
        ValueType::CoreLink => return Some(Value::CoreLink(text.into())),
        ValueType::None => return None,
        _ if trimmed.len() != text.len() => deviations.insert(spelling),
        _ => {}
    }
    Some(match value_type {
        ValueType::Integer => Value::Integer(integer(trimmed, deviations)?),
        ValueType::Time => time(integer(trimmed, deviations)?, deviations),
        ValueType::Unsigned => Value::Unsigned(unsigned(trimmed).or_else(|| {
            deviations.insert(spelling);
            exact_unsigned(parse_number(trimmed)?)
        })?),
        ValueType::Float => {
            if trimmed.starts_with('+') {
                deviations.insert(spelling);
            }
            Value::Float(parse_number(trimmed)?)
        }
        ValueType::Boolean => match trimmed {
            "0" => Value::Boolean(false),
            "1" => Value::Boolean(true),
            word => {
                deviations.insert(spelling);
                match word.to_ascii_lowercase().as_str() {
                    "true" => Value::Boolean(true),
                    "false" => Value::Boolean(false),
                    _ => return None,
                }
            }
        },
        ValueType::Opaque => Value::Opaque(base64(trimmed, deviations)?),
        ValueType::ObjectLink => Value::ObjectLink(ObjectLink::parse(trimmed)?),
        ValueType::String | ValueType::CoreLink | ValueType::None => {
            unreachable!("texts were returned above")
        }
    })
}

fn integer(text: &str, deviations: &mut Deviations) -> Option<i64> {
    if let Some(integer) = signed(text) {
        return Some(integer);
    }
    deviations.insert(Deviation::TextSpelling);
    text.strip_prefix('+')
        .and_then(signed)
        .or_else(|| exact_integer(parse_number(text)?))
}

/// A time, noted if it can only be in milliseconds.
pub(super) fn time(seconds: i64, deviations: &mut Deviations) -> Value {
    if seconds >= TIME_IN_MS_MIN {
        deviations.insert(Deviation::TimeInMilliseconds);
    }
    Value::Time(seconds)
}

/// Digits with an optional minus sign, and nothing else.
pub(super) fn signed(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

/// Digits, and nothing else.
pub(super) fn unsigned(text: &str) -> Option<u64> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

/// The integer that a number is exactly. Up to 2^53, since beyond it a number stands for several.
pub(super) fn exact_integer(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let integer = number as i64;
    (number.abs() <= EXACT && integer as f64 == number).then_some(integer)
}

/// The same without sign.
pub(super) fn exact_unsigned(number: f64) -> Option<u64> {
    exact_integer(number).and_then(|integer| integer.try_into().ok())
}

/// Base64 in the standard alphabet with padding, or any of the three spellings beside it.
pub(super) fn base64(text: &str, deviations: &mut Deviations) -> Option<Vec<u8>> {
    let bytes = text.as_bytes();
    if let Ok(decoded) = BASE64.decode(bytes) {
        return Some(decoded);
    }
    let decoded = [BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD]
        .iter()
        .find_map(|encoding| encoding.decode(bytes).ok())?;
    deviations.insert(Deviation::Base64Spelling);
    Some(decoded)
}

/// The text form of a value (TS Annex C); `None` if it has none.
pub(super) fn to_text(value: &Value) -> Option<String> {
    use alloc::string::ToString;
    Some(match value {
        Value::String(text) | Value::CoreLink(text) => text.clone(),
        Value::Integer(number) | Value::Time(number) => number.to_string(),
        Value::Unsigned(number) => number.to_string(),
        // Never an exponent: `Display` writes all digits.
        Value::Float(number) if number.is_finite() => number.to_string(),
        Value::Float(_) => return None,
        Value::Boolean(boolean) => u8::from(*boolean).to_string(),
        Value::Opaque(bytes) => BASE64.encode(bytes),
        Value::ObjectLink(link) => link.to_string(),
    })
}
