//! TLV: the samples of the standard, and what is tolerated.

use super::*;

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
        (255, "e81200ff"),
        (256, "f012000100"),
        (65535, "f01200ffff"),
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
