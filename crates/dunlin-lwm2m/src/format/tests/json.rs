//! JSON: the samples of the standard, and what is tolerated.

use super::*;

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
fn what_is_not_defined_is_as_json_has_it() {
    for (value, expected) in [
        (r#""v":5"#, Value::Integer(5)),
        (r#""v":-0"#, Value::Float(-0.0)),
        (r#""v":18446744073709551615"#, Value::Unsigned(u64::MAX)),
        (r#""v":5.0"#, Value::Float(5.0)),
        (r#""bv":true"#, Value::Boolean(true)),
        (r#""sv":"AQ==""#, text("AQ==")),
        (r#""ov":"1:0""#, link(1, 0)),
    ] {
        let payload = alloc::format!(r#"{{"bn":"/7/0/65535","e":[{{{value}}}]}}"#);
        let decoded = json(&[7, 0, 65535], &payload).unwrap();
        assert_eq!(
            decoded.node,
            Node::Resource(Resource::single(65535, expected)),
            "{value}"
        );
        assert_eq!(decoded.deviations, Deviations::NONE, "{value}");
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
