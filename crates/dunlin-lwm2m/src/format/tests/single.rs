//! Formats of one value, and what is common to all.

use super::*;

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
