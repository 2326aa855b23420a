//! The vectors of the standard (in their corrected form), the tables of what is tolerated, and
//! the properties that every format of the table has.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use data_encoding::HEXLOWER_PERMISSIVE;
use proptest::prelude::*;

use super::*;
use crate::definition::{ObjectDefinition, Operations, ResourceDefinition};
use crate::id::{ObjectId, ObjectInstanceId, ResourceId, ResourceInstanceId};
use crate::node::{Instance, Object, Resource};
use crate::registry::Registry;
use crate::value::{ObjectLink, Value};
use crate::version::{LwM2mVersion, ObjectVersion};

/// Ten Resources, one of each type, and the same multiple from 10 on; of any Object, and again
/// from 20 on.
struct EveryType(Vec<ResourceDefinition>);

impl EveryType {
    fn new() -> Self {
        let definition = |id: usize| resource(id as u16, ValueType::ALL[id % 10], id >= 10, "");
        Self((0..20).map(definition).collect())
    }
}

impl Types for EveryType {
    fn resource(&self, _: ObjectId, resource: ResourceId) -> Option<&ResourceDefinition> {
        self.0.get(resource.0 as usize % 20)
    }
}

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

const DEVICE_TLV: &str = "c80014 4f70656e204d6f62696c6520416c6c69616e6365
    c80116 4c69676874776569676874204d324d20436c69656e74 c80209 333435303030313233
    c303 312e30 8606 410001 410105 8807 08 42000ed8 42011388 8708 41007d 42010384
    c10964 c10a0f 830b 410000 c40d 5182428f c60e 2b30323a3030 c11055";

fn access_control(id: u16, values: [i64; 2], acl: &[(u16, i64)], owner: i64) -> Instance {
    Instance::new(id)
        .with(Resource::single(0, Value::Integer(values[0])))
        .with(Resource::single(1, Value::Integer(values[1])))
        .with(integers(2, acl))
        .with(Resource::single(3, Value::Integer(owner)))
}

fn service(id: u16, name: &str, address: &str, to: Value) -> Instance {
    Instance::new(id)
        .with(Resource::single(0, text(name)))
        .with(Resource::single(1, text(address)))
        .with(Resource::single(2, to))
}

/// The vectors of TS 6.4.3 without their printing errors.
fn tlv_vectors() -> Vec<(Path, Node, String)> {
    let device_tlv = DEVICE_TLV.to_string();
    vec![
        (Path::from([3, 0]), Node::Instance(device()), device_tlv.clone()),
        (
            Path::from([3]),
            Node::Object(Object::new(3).with(device())),
            alloc::format!("080079 {device_tlv}"),
        ),
        (
            Path::from([2]),
            Node::Object(
                Object::new(2)
                    .with(access_control(0, [1, 0], &[(127, 7)], 127))
                    .with(access_control(2, [3, 0], &[(127, 7), (310, 1)], 127)),
            ),
            "08000e c10001 c10100 8302 417f07 c1037f
             080212 c10003 c10100 8702 417f07 61013601 c1037f"
                .into(),
        ),
        (
            Path::from([1]),
            Node::Object(
                Object::new(1).with(
                    Instance::new(0)
                        .with(Resource::single(0, Value::Integer(1)))
                        .with(Resource::single(1, Value::Integer(86400)))
                        .with(Resource::single(6, Value::Boolean(true)))
                        .with(Resource::single(7, text("U"))),
                ),
            ),
            "08000f c10001 c40100015180 c10601 c10755".into(),
        ),
        (
            Path::from([65, 0]),
            Node::Instance(
                Instance::new(0)
                    .with(Resource::multiple(0, [
                        (ResourceInstanceId(0), link(66, 0)),
                        (ResourceInstanceId(1), link(66, 1)),
                    ]))
                    .with(Resource::single(1, text("8613800755500")))
                    .with(Resource::single(2, Value::Integer(0x1234_5678))),
            ),
            "88000c 440000420000 440100420001 c8010d 38363133383030373535353030 c40212345678".into(),
        ),
        (
            Path::from([66]),
            Node::Object(
                Object::new(66)
                    .with(service(0, "myService 1", "Internet.15.234", link(67, 0)))
                    .with(service(1, "myService 2", "Internet.15.235", link(65535, 65535))),
            ),
            "080026 c8000b 6d7953657276696365 2031 c8010f 496e7465726e65742e31352e323334 c40200430000
             080126 c8000b 6d7953657276696365 2032 c8010f 496e7465726e65742e31352e323335 c402ffffffff"
                .into(),
        ),
    ]
}

#[test]
fn ts_6_4_3_the_samples_of_tlv() {
    let types = sample_types();
    let lengths = [121, 124, 38, 18, 37, 82];
    for ((path, node, bytes), length) in tlv_vectors().into_iter().zip(lengths) {
        let bytes = hex(&bytes);
        assert_eq!(bytes.len(), length, "{path}");
        assert_eq!(
            encode(ContentFormat::TLV, path, &node).unwrap(),
            bytes,
            "{path}"
        );
        let decoded = decode(Some(ContentFormat::TLV), path, &bytes, &types).unwrap();
        assert_eq!(decoded, Decoded::now(node, Deviations::NONE), "{path}");
    }
}

fn tlv(path: &[u16], bytes: &str) -> Result<Decoded, DecodeError> {
    decode(
        Some(ContentFormat::TLV),
        Path::from_ids(path).unwrap(),
        &hex(bytes),
        &EveryType::new(),
    )
}

#[test]
fn ts_6_4_3_long_ids_and_all_lengths_of_length() {
    for (length, head) in [
        (7, "e71200"),
        (8, "e8120008"),
        (256, "f012000100"),
        (65536, "f81200010000"),
    ] {
        let path = Path::from([1, 0, 0x1200]);
        let node = Node::Resource(Resource::single(0x1200, text(&"x".repeat(length))));
        let bytes = encode(ContentFormat::TLV, path, &node).unwrap();
        assert_eq!(bytes[..head.len() / 2], hex(head), "{length}");
        // 0x1200 is 8 modulo 20, a CoreLink.
        let decoded = decode(Some(ContentFormat::TLV), path, &bytes, &EveryType::new()).unwrap();
        let Node::Resource(read) = decoded.node else {
            panic!("a resource")
        };
        assert_eq!(read.value().unwrap().as_str().unwrap().len(), length);
    }
    // Longer forms than needed are read: a 16-bit id below 256, three bytes of length.
    let long = tlv(&[1, 0, 0], "f80000000001 61").unwrap();
    assert_eq!(long.node, Node::Resource(Resource::single(0, text("a"))));
}

#[test]
fn ts_annex_c_values_of_tlv_by_length() {
    use Deviation as D;
    // Resources: 1 Integer, 2 Unsigned, 3 Float, 4 Boolean, 6 Time, 7 ObjectLink.
    for (id, bytes, value, deviation) in [
        (1, "c101ff", Value::Integer(-1), None),
        (1, "c2010080", Value::Integer(128), None),
        (1, "c401ffff0000", Value::Integer(-65536), None),
        (1, "c801088000000000000000", Value::Integer(i64::MIN), None),
        (1, "c301ffffff", Value::Integer(-1), Some(D::IntegerLength)),
        (
            1,
            "c5010000000001",
            Value::Integer(1),
            Some(D::IntegerLength),
        ),
        (2, "c102ff", Value::Unsigned(255), None),
        (2, "c80208ffffffffffffffff", Value::Unsigned(u64::MAX), None),
        (3, "c4033fc00000", Value::Float(1.5), None),
        (
            3,
            "c803083ff0000000000001",
            Value::Float(1.0 + f64::EPSILON),
            None,
        ),
        (4, "c10401", Value::Boolean(true), None),
        (6, "c40654000000", Value::Time(0x5400_0000), None),
        (
            6,
            "c80608 0000018bcfe56800",
            Value::Time(1_700_000_000_000),
            Some(D::TimeInMilliseconds),
        ),
        (7, "c407ffffffff", Value::ObjectLink(ObjectLink::NULL), None),
        (
            7,
            "c007",
            Value::ObjectLink(ObjectLink::NULL),
            Some(D::ObjectLinkEmpty),
        ),
        (0, "c100ff", Value::Opaque(vec![0xff]), Some(D::TypeClash)),
        (1, "c001", Value::Opaque(vec![]), Some(D::TypeClash)),
        (
            3,
            "c203 0001",
            Value::Opaque(vec![0, 1]),
            Some(D::TypeClash),
        ),
        (4, "c10402", Value::Opaque(vec![2]), Some(D::TypeClash)),
        (9, "c10902", Value::Opaque(vec![2]), Some(D::TypeClash)),
    ] {
        let decoded = tlv(&[1, 0, id], bytes).unwrap();
        assert_eq!(
            decoded.node,
            Node::Resource(Resource::single(id, value)),
            "{bytes}"
        );
        let expected = deviation.map(Deviations::from).unwrap_or_default();
        assert_eq!(decoded.deviations, expected, "{bytes}");
    }
}

#[test]
fn quirks_15_a_positive_number_without_its_sign_byte() {
    let definition = ObjectDefinition {
        resources: Cow::Owned(vec![
            resource(0, ValueType::Integer, false, "0..255"),
            resource(1, ValueType::Integer, false, "-128..127"),
        ]),
        ..(**Registry::bundled().latest(ObjectId(3)).unwrap()).clone()
    };
    let read = |bytes: &str| {
        decode(
            Some(ContentFormat::TLV),
            Path::from([3, 0]),
            &hex(bytes),
            &definition,
        )
        .unwrap()
    };
    let counter = read("c100ff");
    assert_eq!(
        counter.node,
        Node::Instance(Instance::new(0).with(Resource::single(0, Value::Integer(255))))
    );
    assert_eq!(counter.deviations, Deviation::IntegerWithoutSign.into());
    assert_eq!(
        read("c101ff").node,
        Node::Instance(Instance::new(0).with(Resource::single(1, Value::Integer(-1))))
    );
}

#[test]
fn quirks_11_to_14_instances_around_and_missing_and_twice() {
    use Deviation as D;
    let one = || Resource::single(1, Value::Integer(1));
    let instance = |id: u16| Node::Instance(Instance::new(id).with(one()));
    let object = |id: u16| Node::Object(Object::new(7).with(Instance::new(id).with(one())));
    for (path, bytes, node, deviation) in [
        (
            &[7, 2][..],
            "0302 c10101",
            instance(2),
            Some(D::TlvInstanceWrapped),
        ),
        (
            &[7, 2],
            "0305 c10101 c10101",
            instance(2),
            Some(D::RecordSkipped),
        ),
        (
            &[7, 2, 1],
            "0302 c10101",
            Node::Resource(one()),
            Some(D::TlvInstanceWrapped),
        ),
        (&[7], "c10101", object(0), Some(D::TlvInstanceMissing)),
        (&[7, 2], "c10102 c10101", instance(2), Some(D::ValueTwice)),
        (
            &[7],
            "0303 c10102 0303 c10101",
            object(3),
            Some(D::ValueTwice),
        ),
        (
            &[7, 2, 1],
            "c10202 c10101",
            Node::Resource(one()),
            Some(D::RecordSkipped),
        ),
        (
            &[7, 2, 11],
            "c10b01",
            Node::Resource(integers(11, &[(0, 1)])),
            Some(D::MultipleAsSingle),
        ),
        (
            &[7, 2, 1],
            "8301 410001",
            Node::Resource(integers(1, &[(0, 1)])),
            Some(D::SingleAsMultiple),
        ),
        (
            &[7, 2, 11],
            "830b 410001",
            Node::Resource(integers(11, &[(0, 1)])),
            None,
        ),
        (&[7, 2, 11], "800b", Node::Resource(integers(11, &[])), None),
        (&[7], "", Node::Object(Object::new(7)), None),
        (&[7, 2], "", Node::Instance(Instance::new(2)), None),
        (
            &[7, 2, 0],
            "",
            Node::Resource(Resource::single(0, text(""))),
            None,
        ),
    ] {
        let decoded = tlv(path, bytes).unwrap_or_else(|error| panic!("{bytes}: {error}"));
        assert_eq!(decoded.node, node, "{bytes}");
        assert_eq!(
            decoded.deviations,
            deviation.map(Deviations::from).unwrap_or_default(),
            "{bytes}"
        );
        assert_eq!(
            decoded.unnamed_instance,
            deviation == Some(D::TlvInstanceMissing),
            "{bytes}"
        );
    }
}

#[test]
fn ts_6_4_3_what_is_not_tlv_is_refused() {
    use DecodeError as E;
    let malformed = |offset, what| E::Malformed { offset, what };
    let cut = "an entry is cut short";
    let past = "a value runs past the end";
    let outside = "a resource instance stands outside of a resource";
    for (path, bytes, error) in [
        (&[7, 2][..], "c1", malformed(0, cut)),
        (&[7, 2], "c10101 e1", malformed(3, cut)),
        (&[7, 2], "c801", malformed(0, cut)),
        (&[7, 2], "c101", malformed(0, past)),
        (&[7, 2], "f801ffffff00", malformed(0, past)),
        (&[7, 2], "410001", malformed(0, outside)),
        (&[7], "0302 410001", malformed(2, outside)),
        (
            &[7],
            "0301 010000",
            malformed(2, "an object instance stands within another"),
        ),
        (
            &[7, 2],
            "830b c10001",
            malformed(2, "a multiple resource has resource instances only"),
        ),
        (&[7, 2], "840b 410001 00", malformed(5, cut)),
        (
            &[7, 2, 1],
            "",
            E::NoValue {
                path: Path::from([7, 2, 1]),
            },
        ),
        (
            &[7, 2, 1],
            "c10201",
            E::NoValue {
                path: Path::from([7, 2, 1]),
            },
        ),
        (
            &[],
            "",
            E::Target {
                id: ContentFormat::TLV,
                path: Path::ROOT,
            },
        ),
        (
            &[7, 2, 1, 0],
            "",
            E::Target {
                id: ContentFormat::TLV,
                path: Path::from([7, 2, 1, 0]),
            },
        ),
    ] {
        assert_eq!(tlv(path, bytes), Err(error), "{bytes}");
    }
    let many = [0xc0, 0x01].repeat(VALUES_MAX + 1);
    let decoded = decode(
        Some(ContentFormat::TLV),
        Path::from([7, 0]),
        &many,
        &EveryType::new(),
    );
    assert_eq!(decoded, Err(E::TooMany));
}

#[test]
fn what_is_not_defined_is_kept_as_bytes() {
    let decoded = decode(
        Some(ContentFormat::TLV),
        Path::from([999, 0]),
        &hex("c10161 8302 410001"),
        &Registry::bundled(),
    );
    assert_eq!(
        decoded.unwrap().node,
        Node::Instance(
            Instance::new(0)
                .with(Resource::single(1, Value::Opaque(vec![0x61])))
                .with(Resource::multiple(
                    2,
                    [(ResourceInstanceId(0), Value::Opaque(vec![1]))]
                )),
        )
    );
}

#[test]
fn ts_6_4_4_the_samples_of_json() {
    let types = sample_types();
    for (path, node, json) in [
        (
            Path::from([3, 0]),
            Node::Instance(device()),
            r#"{"bn":"/3/0/","e":[{"n":"0","sv":"Open Mobile Alliance"},{"n":"1","sv":"Lightweight M2M Client"},{"n":"2","sv":"345000123"},{"n":"3","sv":"1.0"},{"n":"6/0","v":1},{"n":"6/1","v":5},{"n":"7/0","v":3800},{"n":"7/1","v":5000},{"n":"8/0","v":125},{"n":"8/1","v":900},{"n":"9","v":100},{"n":"10","v":15},{"n":"11/0","v":0},{"n":"13","v":1367491215},{"n":"14","sv":"+02:00"},{"n":"16","sv":"U"}]}"#,
        ),
        (
            Path::from([3, 0, 0]),
            Node::Resource(Resource::single(0, text("Open Mobile Alliance"))),
            r#"{"bn":"/3/0/0","e":[{"sv":"Open Mobile Alliance"}]}"#,
        ),
        (
            Path::from([3, 0, 6]),
            Node::Resource(integers(6, &[(0, 1), (1, 5)])),
            r#"{"bn":"/3/0/6/","e":[{"n":"0","v":1},{"n":"1","v":5}]}"#,
        ),
    ] {
        let bytes = encode(ContentFormat::JSON, path, &node).unwrap();
        assert_eq!(core::str::from_utf8(&bytes).unwrap(), json);
        let decoded = decode(Some(ContentFormat::JSON), path, &bytes, &types).unwrap();
        assert_eq!(decoded, Decoded::now(node, Deviations::NONE), "{json}");
    }
    // A base name of everything, as a sample of the standard has it.
    let all = br#"{"bn":"/","e":[{"n":"65/0/0/0","ov":"66:0"},{"n":"65/0/0/1","ov":"66:1"},{"n":"65/0/1","sv":"8613800755500"},{"n":"66/0/0","sv":"linked"}]}"#;
    let decoded = decode(Some(ContentFormat::JSON), Path::from([65, 0]), all, &types).unwrap();
    let Node::Instance(instance) = &decoded.node else {
        panic!("an instance")
    };
    assert_eq!(instance.value(1), Some(&text("8613800755500")));
    assert_eq!(decoded.deviations, Deviation::RecordSkipped.into());
}

#[test]
fn ts_6_4_4_notifications_with_times_are_a_history() {
    let types = sample_types();
    let payload = br#"{"bn":"/72/","e":[{"n":"1/2","v":22.4,"t":-5},{"n":"1/2","v":22.9,"t":-30},{"n":"1/2","v":24.1,"t":-50}],"bt":25462634}"#;
    let decoded = decode(Some(ContentFormat::JSON), Path::from([72]), payload, &types).unwrap();
    let at = |value: f64| {
        let instance = Instance::new(1).with(Resource::single(2, Value::Float(value)));
        Node::Object(Object::new(72).with(instance))
    };
    assert_eq!(decoded.node, at(22.4));
    assert_eq!(decoded.at, Some(Timestamp::Unix { ms: 25_462_629_000 }));
    let read: Vec<_> = decoded
        .history
        .iter()
        .map(|timed| (timed.at.unwrap(), timed.node.clone()))
        .collect();
    assert_eq!(
        read,
        [
            (Timestamp::Unix { ms: 25_462_584_000 }, at(24.1)),
            (Timestamp::Unix { ms: 25_462_604_000 }, at(22.9)),
            (Timestamp::Unix { ms: 25_462_629_000 }, at(22.4)),
        ]
    );
    assert_eq!(decoded.deviations, Deviations::NONE);

    // Without a base time they are before now, and without any time a value is of now.
    let payload = br#"{"bn":"/72/1/2","e":[{"v":1,"t":-0.5},{"v":2}]}"#;
    let path = Path::from([72, 1, 2]);
    let decoded = decode(Some(ContentFormat::JSON), path, payload, &types).unwrap();
    assert_eq!(
        decoded.node,
        Node::Resource(Resource::single(2, Value::Float(2.0)))
    );
    assert_eq!(decoded.at, Some(Timestamp::ago(0)));
    assert_eq!(decoded.history[0].at, Some(Timestamp::ago(500)));

    // What is written is read again; TLV takes the newest.
    let json = format(ContentFormat::JSON).unwrap();
    let mut out = Vec::new();
    json.encode_history(path, &decoded.history, &mut out)
        .unwrap();
    let again = decode(Some(ContentFormat::JSON), path, &out, &types).unwrap();
    assert_eq!(again.history, decoded.history);
    out.clear();
    format(ContentFormat::TLV)
        .unwrap()
        .encode_history(path, &decoded.history, &mut out)
        .unwrap();
    assert_eq!(out, hex("c402 40000000"));
}

fn json(path: &[u16], payload: &str) -> Result<Decoded, DecodeError> {
    let path = Path::from_ids(path).unwrap();
    decode(
        Some(ContentFormat::JSON),
        path,
        payload.as_bytes(),
        &EveryType::new(),
    )
}

#[test]
fn quirks_21_names_are_put_together_with_too_few_and_too_many_slashes() {
    let one = || Node::Instance(Instance::new(2).with(Resource::single(1, Value::Integer(1))));
    for (payload, spelled) in [
        (r#"{"bn":"/7/2/","e":[{"n":"1","v":1}]}"#, true),
        (r#"{"e":[{"n":"/7/2/1","v":1}]}"#, true),
        (r#"{"e":[{"n":"1","v":1}]}"#, true),
        (r#"{"bn":"/lwm2m/7/2/","e":[{"n":"1","v":1}]}"#, true),
        (r#"{"bn":"/7/2","e":[{"n":"1","v":1}]}"#, false),
        (r#"{"bn":"/7/2","e":[{"n":"/1","v":1}]}"#, true),
        (r#"{"bn":"/7/2/","e":[{"n":"/1","v":1}]}"#, false),
        (r#"{"bn":"7/2/","e":[{"n":"1","v":1}]}"#, false),
        (r#"{"bn":"/7/2/1/","e":[{"v":1}]}"#, false),
        (r#"{"bn":"/7/2/1","e":[{"n":"","v":1}]}"#, true),
        (r#"{"e":[{"n":"1/","v":1}]}"#, false),
    ] {
        let decoded = json(&[7, 2], payload).unwrap_or_else(|error| panic!("{payload}: {error}"));
        assert_eq!(decoded.node, one(), "{payload}");
        assert_eq!(
            decoded.deviations.is_empty(),
            spelled,
            "{payload}: {:?}",
            decoded.deviations
        );
    }
}

#[test]
fn ts_annex_c_values_of_json_in_their_members_and_in_others() {
    use Deviation as D;
    let opaque = || Value::Opaque(vec![1, 2, 3, 4, 5]);
    for (id, value, expected, deviation) in [
        (0, r#""sv":"a\u00e4""#, text("aä"), None),
        (
            1,
            r#""v":9223372036854775807"#,
            Value::Integer(i64::MAX),
            None,
        ),
        (1, r#""v":5.0"#, Value::Integer(5), None),
        (1, r#""v":-1e3"#, Value::Integer(-1000), None),
        (1, r#""sv":"5""#, Value::Integer(5), Some(D::JsonMember)),
        (1, r#""v":5.5"#, Value::Float(5.5), Some(D::TypeClash)),
        (1, r#""bv":true"#, Value::Boolean(true), Some(D::TypeClash)),
        (
            2,
            r#""v":18446744073709551615"#,
            Value::Unsigned(u64::MAX),
            None,
        ),
        (2, r#""v":-1"#, Value::Integer(-1), Some(D::TypeClash)),
        (3, r#""v":3"#, Value::Float(3.0), None),
        (3, r#""v":1e-3"#, Value::Float(0.001), None),
        (4, r#""bv":false"#, Value::Boolean(false), None),
        (4, r#""v":1"#, Value::Boolean(true), Some(D::JsonMember)),
        (5, r#""sv":"AQIDBAU=""#, opaque(), None),
        (5, r#""sv":"AQIDBAU""#, opaque(), Some(D::Base64Spelling)),
        (
            5,
            r#""sv":"-_8""#,
            Value::Opaque(vec![0xfb, 0xff]),
            Some(D::Base64Spelling),
        ),
        (5, r#""sv":"*""#, text("*"), Some(D::TypeClash)),
        (6, r#""v":1476186613"#, Value::Time(1_476_186_613), None),
        (
            6,
            r#""v":1476186613000"#,
            Value::Time(1_476_186_613_000),
            Some(D::TimeInMilliseconds),
        ),
        (7, r#""ov":"66:0""#, link(66, 0), None),
        (7, r#""ov":"FFFF:FFFF""#, link(65535, 65535), None),
        (7, r#""sv":"66:0""#, link(66, 0), Some(D::JsonMember)),
    ] {
        let payload = alloc::format!(r#"{{"bn":"/7/0/{id}","e":[{{{value}}}]}}"#);
        let decoded =
            json(&[7, 0, id], &payload).unwrap_or_else(|error| panic!("{value}: {error}"));
        assert_eq!(
            decoded.node,
            Node::Resource(Resource::single(id, expected)),
            "{value}"
        );
        assert_eq!(
            decoded.deviations,
            deviation.map(Deviations::from).unwrap_or_default(),
            "{value}"
        );
    }
}

#[test]
fn one_bad_record_does_not_spoil_the_others() {
    for bad in [
        r#"{"n":"9/9/9/9","v":1}"#,
        r#"{"n":"x","v":1}"#,
        r#"{"n":"2"}"#,
        r#"{"n":"2","v":null}"#,
        r#"{"n":"2","v":0.-5}"#,
        r#"{"n":"7","ov":"no link"}"#,
        r#"{"n":"2","v":[{"deep":1}]}"#,
        "17",
    ] {
        let payload = alloc::format!(r#"{{"bn":"/7/2/","x":{{}},"e":[{bad},{{"n":"1","v":1}}]}}"#);
        let decoded = json(&[7, 2], &payload).unwrap_or_else(|error| panic!("{bad}: {error}"));
        let one = Instance::new(2).with(Resource::single(1, Value::Integer(1)));
        assert_eq!(decoded.node, Node::Instance(one), "{bad}");
        assert!(
            decoded.deviations.contains(Deviation::RecordSkipped),
            "{bad}"
        );
    }
}

#[test]
fn ts_6_4_4_what_is_not_json_or_says_nothing_is_refused() {
    for payload in [
        "",
        "[]",
        "{}",
        r#"{"e":1}"#,
        r#"{"e":[}"#,
        r#"{"e":[]} x"#,
        r#"{"e":[{"n":"1""#,
    ] {
        let refused = json(&[7, 2], payload);
        assert!(
            matches!(refused, Err(DecodeError::Malformed { .. })),
            "{payload}: {refused:?}"
        );
    }
    let latin = decode(
        Some(ContentFormat::JSON),
        Path::from([7, 2]),
        b"{\"\xe4\"",
        &EveryType::new(),
    );
    assert!(matches!(
        latin,
        Err(DecodeError::Malformed { offset: 2, .. })
    ));
    let nothing = DecodeError::NoValue {
        path: Path::from([7, 2, 1]),
    };
    assert_eq!(json(&[7, 2, 1], r#"{"e":[]}"#), Err(nothing));
    assert_eq!(
        json(&[7, 2, 1], r#"{"e":[{"n":"/8/0/0","v":1}]}"#),
        Err(nothing)
    );
    assert_eq!(
        json(&[7], r#"{"e":[]}"#).unwrap().node,
        Node::Object(Object::new(7))
    );
    assert_eq!(
        json(&[7, 2, 11], r#"{"e":[]}"#).unwrap().node,
        Node::Resource(integers(11, &[]))
    );
    let many = alloc::format!(r#"{{"e":[{}{{}}]}}"#, "{},".repeat(VALUES_MAX));
    assert_eq!(json(&[7, 2], &many), Err(DecodeError::TooMany));
}

#[test]
fn ts_5_4_6_an_instance_without_number_is_told_apart() {
    let path = Path::from([7]);
    let node = Node::Instance(Instance::new(0).with(Resource::single(1, Value::Integer(1))));
    for id in [ContentFormat::TLV, ContentFormat::JSON] {
        let bytes = encode(id, path, &node).unwrap();
        let decoded = decode(Some(id), path, &bytes, &EveryType::new()).unwrap();
        assert!(decoded.unnamed_instance, "{id}");
        let Node::Instance(instance) = node.clone() else {
            panic!("an instance")
        };
        assert_eq!(
            decoded.node,
            Node::Object(Object::new(7).with(instance)),
            "{id}"
        );
        let named = encode(id, path, &decoded.node).unwrap();
        assert!(
            !decode(Some(id), path, &named, &EveryType::new())
                .unwrap()
                .unnamed_instance
        );
    }
}

#[test]
fn ts_6_4_1_text_is_one_value() {
    use Deviation as D;
    for (id, payload, expected, deviation) in [
        (
            0,
            "Open Mobile Alliance",
            text("Open Mobile Alliance"),
            None,
        ),
        (0, "", text(""), None),
        (0, " a ", text(" a "), None),
        (1, "-9223372036854775808", Value::Integer(i64::MIN), None),
        (1, "+5", Value::Integer(5), Some(D::TextSpelling)),
        (1, " 5\n", Value::Integer(5), Some(D::TextSpelling)),
        (1, "5.0", Value::Integer(5), Some(D::TextSpelling)),
        (1, "abc", text("abc"), Some(D::TypeClash)),
        (2, "18446744073709551615", Value::Unsigned(u64::MAX), None),
        (
            3,
            "0.00000000006667",
            Value::Float(0.000_000_000_066_67),
            None,
        ),
        (3, "1.000000", Value::Float(1.0), None),
        (3, "1e3", Value::Float(1000.0), None),
        (3, "+1.5", Value::Float(1.5), Some(D::TextSpelling)),
        (3, "NaN", text("NaN"), Some(D::TypeClash)),
        (4, "1", Value::Boolean(true), None),
        (4, "False", Value::Boolean(false), Some(D::TextSpelling)),
        (5, "AQIDBAU=", Value::Opaque(vec![1, 2, 3, 4, 5]), None),
        (
            5,
            "AQIDBAU",
            Value::Opaque(vec![1, 2, 3, 4, 5]),
            Some(D::Base64Spelling),
        ),
        (6, "1476186613", Value::Time(1_476_186_613), None),
        (7, "66:0", link(66, 0), None),
    ] {
        let path = Path::from([7, 0, id]);
        let decoded = decode(
            Some(ContentFormat::TEXT),
            path,
            payload.as_bytes(),
            &EveryType::new(),
        )
        .unwrap();
        assert_eq!(
            decoded.node,
            Node::Resource(Resource::single(id, expected)),
            "{payload:?}"
        );
        let contains = deviation.is_none_or(|deviation| decoded.deviations.contains(deviation));
        assert!(
            contains && decoded.deviations.is_empty() == deviation.is_none(),
            "{payload:?}"
        );
    }
    let types = EveryType::new();
    let read = |ids: &[u16], payload: &[u8]| {
        decode(
            Some(ContentFormat::TEXT),
            Path::from_ids(ids).unwrap(),
            payload,
            &types,
        )
    };
    assert_eq!(
        read(&[7, 0, 1], b""),
        Err(DecodeError::NoValue {
            path: Path::from([7, 0, 1])
        })
    );
    assert!(matches!(
        read(&[7, 0], b"1"),
        Err(DecodeError::Target { .. })
    ));
    let multiple = read(&[7, 0, 11], b"5").unwrap();
    assert_eq!(multiple.node, Node::Resource(integers(11, &[(0, 5)])));
    assert_eq!(multiple.deviations, D::MultipleAsSingle.into());
    assert_eq!(
        read(&[7, 0, 0], b"\xff").unwrap().deviations,
        D::TypeClash.into()
    );
}

#[test]
fn ts_6_4_2_opaque_is_the_bytes() {
    let types = EveryType::new();
    let read = |id, payload: &[u8]| {
        decode(
            Some(ContentFormat::OPAQUE),
            Path::from([7, 0, id]),
            payload,
            &types,
        )
        .unwrap()
    };
    let bytes = Node::Resource(Resource::single(5, Value::Opaque(vec![0, 255])));
    assert_eq!(
        read(5, &[0, 255]),
        Decoded::now(bytes.clone(), Deviations::NONE)
    );
    assert_eq!(read(0, &[1]).deviations, Deviation::TypeClash.into());
    let path = Path::from([7, 0, 5]);
    assert_eq!(
        encode(ContentFormat::OPAQUE, path, &bytes).unwrap(),
        [0, 255]
    );
    let not = Node::Resource(Resource::single(5, text("a")));
    assert_eq!(
        encode(ContentFormat::OPAQUE, path, &not),
        Err(EncodeError::NotExpressible {
            id: ContentFormat::OPAQUE
        })
    );
}

#[test]
fn quirks_1_and_2_old_numbers_and_none_at_all() {
    let types = EveryType::new();
    let path = Path::from([7, 0, 1]);
    let one = Node::Resource(Resource::single(1, Value::Integer(5)));
    for (id, payload, deviation) in [
        (
            Some(ContentFormat::OLD_TEXT),
            &b"5"[..],
            Deviation::OldContentFormat,
        ),
        (
            Some(ContentFormat::OLD_TLV),
            b"\xc1\x01\x05",
            Deviation::OldContentFormat,
        ),
        (
            Some(ContentFormat::OLD_JSON),
            br#"{"e":[{"n":"/7/0/1","v":5}]}"#,
            Deviation::OldContentFormat,
        ),
        (None, b"5", Deviation::ContentFormatMissing),
        (None, b"\xc1\x01\x05", Deviation::ContentFormatMissing),
        (
            None,
            br#"{"e":[{"n":"/7/0/1","v":5}]}"#,
            Deviation::ContentFormatMissing,
        ),
    ] {
        let decoded = decode(id, path, payload, &types).unwrap();
        assert_eq!(
            decoded,
            Decoded::now(one.clone(), deviation.into()),
            "{id:?} {payload:?}"
        );
    }
    let raw = decode(None, Path::from([7, 0, 5]), b"\xc1\xff", &types).unwrap();
    assert_eq!(
        raw.node,
        Node::Resource(Resource::single(5, Value::Opaque(vec![0xc1, 0xff])))
    );
    let unknown = ContentFormat(999);
    assert_eq!(
        decode(Some(unknown), path, b"", &types),
        Err(DecodeError::Unsupported { id: unknown })
    );
    assert_eq!(
        DecodeError::Unsupported { id: unknown }.code(),
        ResponseCode::UnsupportedContentFormat
    );
}

#[test]
fn a_tree_that_does_not_stand_there_is_not_written() {
    let instance = Node::Instance(device());
    for id in [ContentFormat::TLV, ContentFormat::JSON] {
        for path in [Path::ROOT, Path::from([3, 0, 1]), Path::from([3, 0, 6, 1])] {
            assert_eq!(
                encode(id, path, &instance),
                Err(EncodeError::Shape { path }),
                "{id} {path}"
            );
        }
        let other = Node::Resource(Resource::single(2, Value::Integer(1)));
        let path = Path::from([3, 0, 1]);
        assert_eq!(encode(id, path, &other), Err(EncodeError::Shape { path }));
    }
    let nan = Node::Resource(Resource::single(3, Value::Float(f64::NAN)));
    for id in [ContentFormat::TEXT, ContentFormat::JSON] {
        assert_eq!(
            encode(id, Path::from([7, 0, 3]), &nan),
            Err(EncodeError::NotExpressible { id })
        );
    }
}

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
    (0..3276u16, 0..9usize, any::<bool>()).prop_flat_map(|(twenty, index, multiple)| {
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
    fn every_format_takes_hostile_bytes(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ids in proptest::collection::vec(any::<u16>(), 0..5),
    ) {
        fuzz_format(&ids, &bytes);
    }

    #[test]
    fn every_format_takes_damaged_payloads(
        (path, node) in any_node(), at in any::<prop::sample::Index>(), byte in any::<u8>()
    ) {
        for format in FORMATS {
            let mut bytes = Vec::new();
            if format.encode(path, &node, &mut bytes).is_ok() && !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
                fuzz_format(path.ids(), &bytes);
            }
        }
    }
}

fn fuzz_format(ids: &[u16], bytes: &[u8]) {
    let Some(path) = Path::from_ids(ids) else {
        return;
    };
    let types = EveryType::new();
    for format in FORMATS {
        if let Ok(decoded) = format.decode(path, bytes, &types) {
            assert!(decoded.node.values(path).len() <= VALUES_MAX);
        }
    }
    let _ = decode(None, path, bytes, &types);
}
