//! What holds for every format of the table.

use proptest::prelude::*;

use super::*;
use crate::fuzz;

fn value_of(value_type: ValueType) -> BoxedStrategy<Value> {
    let text = "[ -~äß\n\t\u{1}\u{1f600}]{0,12}";
    match value_type {
        ValueType::String => text.prop_map(Value::String).boxed(),
        ValueType::CoreLink => text.prop_map(Value::CoreLink).boxed(),
        ValueType::Integer => any::<i64>().prop_map(Value::Integer).boxed(),
        ValueType::Unsigned => any::<u64>().prop_map(Value::Unsigned).boxed(),
        ValueType::Float => prop_oneof![
            any::<f64>().prop_filter("finite", |number| number.is_finite()),
            any::<f32>()
                .prop_filter("finite", |number| number.is_finite())
                .prop_map(f64::from),
        ]
        .prop_map(Value::Float)
        .boxed(),
        ValueType::Boolean => any::<bool>().prop_map(Value::Boolean).boxed(),
        ValueType::Opaque | ValueType::None => proptest::collection::vec(any::<u8>(), 0..300)
            .prop_map(Value::Opaque)
            .boxed(),
        ValueType::Time => (i64::MIN..build::TIME_IN_MS_MIN)
            .prop_map(Value::Time)
            .boxed(),
        ValueType::ObjectLink => any::<(u16, u16)>()
            .prop_map(|(object, instance)| link(object, instance))
            .boxed(),
    }
}

/// A Resource that fits [`EveryType`]; a multiple one has at least one value, since JSON cannot
/// say less. Nothing has the type of what is executed.
fn any_resource() -> impl Strategy<Value = Resource> {
    (0..1638u16, 0..9usize, any::<bool>()).prop_flat_map(|(twenty, index, multiple)| {
        let value_type = ValueType::ALL[index];
        let id = twenty * 20 + index as u16;
        match multiple {
            false => value_of(value_type)
                .prop_map(move |value| Resource::single(id, value))
                .boxed(),
            true => proptest::collection::btree_map(any::<u16>(), value_of(value_type), 1..4)
                .prop_map(move |values| {
                    let values = values.into_iter();
                    Resource::multiple(id + 10, values.map(|(id, value)| (id.into(), value)))
                })
                .boxed(),
        }
    })
}

fn any_instance() -> impl Strategy<Value = Instance> {
    (0..65535u16, proptest::collection::vec(any_resource(), 1..6)).prop_map(|(id, resources)| {
        let mut instance = Instance::new(id);
        instance.extend(resources);
        instance
    })
}

fn any_node() -> impl Strategy<Value = (Path, Node)> {
    prop_oneof![
        (any_resource(), any::<(u16, u16)>()).prop_map(|(resource, (object, instance))| {
            (
                Path::from([object, instance, resource.id.0]),
                Node::Resource(resource),
            )
        }),
        (any_instance(), any::<u16>()).prop_map(|(instance, object)| {
            (
                Path::from([object, instance.id.0]),
                Node::Instance(instance),
            )
        }),
        (
            proptest::collection::vec(any_instance(), 0..4),
            any::<u16>()
        )
            .prop_map(|(instances, id)| {
                let mut object = Object::new(id);
                object.extend(instances);
                (Path::from([id]), Node::Object(object))
            }),
    ]
}

proptest! {
    #[test]
    fn every_format_reads_what_it_writes((path, node) in any_node()) {
        let types = EveryType::new();
        for format in FORMATS {
            let mut bytes = Vec::new();
            match format.encode(path, &node, &mut bytes) {
                Ok(()) => {}
                Err(EncodeError::NotExpressible { .. }) if !format.is_structured() => continue,
                Err(error) => panic!("{}: {error}", format.id()),
            }
            let decoded = format.decode(path, &bytes, &types);
            prop_assert_eq!(decoded, Ok(Decoded::now(node.clone(), Deviations::NONE)));
        }
    }

    #[test]
    fn every_format_takes_hostile_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        fuzz::tlv(&bytes);
        fuzz::json(&bytes);
        fuzz::text(&bytes);
    }

    #[test]
    fn every_format_takes_damaged_payloads(
        (path, node) in any_node(), first in any::<u8>(), at in any::<prop::sample::Index>(), byte in any::<u8>()
    ) {
        for format in FORMATS {
            let mut bytes = vec![first];
            if format.encode(path, &node, &mut bytes).is_ok() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
                fuzz::tlv(&bytes);
                fuzz::json(&bytes);
                fuzz::text(&bytes);
            }
        }
    }

    #[test]
    fn json_of_odd_numbers_and_names_is_stable(
        first in any::<u8>(),
        records in proptest::collection::vec((
            prop::sample::select(vec!["", "1", "/7/2/1", "2/1", "10/3", "/7/2/10/5", "/7/2/4", "7", "40000"]),
            prop::sample::select(vec!["v", "bv", "sv", "ov"]),
            prop::sample::select(vec![
                "1", "-0", "5.0", "5.5", "1e300", "1e-300", "18446744073709551616", "9007199254740993.0",
                "true", "\"1\"", "\"true\"", "\"66:0\"", "\"AQ==\"", "\"\\u0001\"", "null", "0.-5",
            ]),
            prop::option::of(prop::sample::select(vec!["1", "-5", "1e12", "1e300", "0.0005"])),
        ), 0..6),
    ) {
        let records: Vec<String> = records.into_iter().map(|(name, member, value, time)| {
            let time = time.map(|time| alloc::format!(",\"t\":{time}")).unwrap_or_default();
            alloc::format!("{{\"n\":\"{name}\",\"{member}\":{value}{time}}}")
        }).collect();
        let text = alloc::format!("{{\"e\":[{}]}}", records.join(","));
        let mut bytes = vec![first];
        bytes.extend_from_slice(text.as_bytes());
        fuzz::json(&bytes);
    }
}
