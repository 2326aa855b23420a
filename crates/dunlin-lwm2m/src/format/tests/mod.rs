//! The vectors of the standard (in their corrected form), the tables of what is tolerated, and
//! the properties that every format of the table has.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use data_encoding::HEXLOWER_PERMISSIVE;

use super::*;
use crate::definition::{ObjectDefinition, Operations, ResourceDefinition};
use crate::fuzz::EveryType;
use crate::id::{ObjectId, ObjectInstanceId, ResourceId, ResourceInstanceId};
use crate::node::{Instance, Object, Resource};
use crate::registry::Registry;
use crate::value::ObjectLink;
use crate::version::{LwM2mVersion, ObjectVersion};

mod json;
mod property;
mod single;
mod tlv;

fn resource(
    id: u16,
    value_type: ValueType,
    multiple: bool,
    range: &'static str,
) -> ResourceDefinition {
    ResourceDefinition {
        id: ResourceId(id),
        name: Cow::Borrowed("x"),
        operations: Operations::RW,
        multiple,
        mandatory: false,
        value_type,
        range_text: Cow::Borrowed(range),
        units: Cow::Borrowed(""),
        description: Cow::Borrowed(""),
    }
}

/// The two Objects of the standard's samples that are nobody's.
fn sample_types() -> Registry {
    let mut registry = Registry::bundled();
    for (id, resources) in [
        (
            65,
            vec![
                resource(0, ValueType::ObjectLink, true, ""),
                resource(1, ValueType::String, false, ""),
                resource(2, ValueType::Integer, false, ""),
            ],
        ),
        (
            66,
            vec![
                resource(0, ValueType::String, false, ""),
                resource(1, ValueType::String, false, ""),
                resource(2, ValueType::ObjectLink, false, ""),
            ],
        ),
        (72, vec![resource(2, ValueType::Float, false, "")]),
    ] {
        registry.insert(ObjectDefinition {
            id: ObjectId(id),
            version: ObjectVersion::V1_0,
            lwm2m_version: LwM2mVersion::V1_0,
            name: Cow::Borrowed("sample"),
            description: Cow::Borrowed(""),
            multiple: true,
            mandatory: false,
            resources: Cow::Owned(resources),
        });
    }
    registry
}

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).unwrap()
}

fn text(text: &str) -> Value {
    Value::String(text.into())
}

fn integers(id: u16, values: &[(u16, i64)]) -> Resource {
    Resource::multiple(
        id,
        values
            .iter()
            .map(|(id, value)| (ResourceInstanceId(*id), Value::Integer(*value))),
    )
}

fn link(object: u16, instance: u16) -> Value {
    Value::ObjectLink(ObjectLink {
        object: ObjectId(object),
        instance: ObjectInstanceId(instance),
    })
}

fn device() -> Instance {
    Instance::new(0)
        .with(Resource::single(0, text("Open Mobile Alliance")))
        .with(Resource::single(1, text("Lightweight M2M Client")))
        .with(Resource::single(2, text("345000123")))
        .with(Resource::single(3, text("1.0")))
        .with(integers(6, &[(0, 1), (1, 5)]))
        .with(integers(7, &[(0, 3800), (1, 5000)]))
        .with(integers(8, &[(0, 125), (1, 900)]))
        .with(Resource::single(9, Value::Integer(100)))
        .with(Resource::single(10, Value::Integer(15)))
        .with(integers(11, &[(0, 0)]))
        .with(Resource::single(13, Value::Time(1_367_491_215)))
        .with(Resource::single(14, text("+02:00")))
        .with(Resource::single(16, text("U")))
}
