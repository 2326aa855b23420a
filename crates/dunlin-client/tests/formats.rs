//! Formats on the Client's side: what it gives by Accept and what it takes by Content-Format (TS 1.0 §6.4), with an
//! Object of an application that exists by its definition alone.

mod common;

use common::*;
use dunlin_client::Factory;
use dunlin_lwm2m::definition::{ObjectDefinition, Operations, ResourceDefinition, parse_ddf};
use dunlin_lwm2m::operation::{Binding, Operation, ResponseCode, WriteMode};
use dunlin_lwm2m::{ContentFormat, Instance, Registry, ValueType};

const TEXT: ContentFormat = ContentFormat::TEXT;
const OPAQUE: ContentFormat = ContentFormat::OPAQUE;
const TLV: ContentFormat = ContentFormat::TLV;
const JSON: ContentFormat = ContentFormat::JSON;

/// As it comes from a registry: the XML, and nothing else.
fn definition() -> ObjectDefinition {
    let application = ObjectDefinition::new(10_290, "Application Data")
        .multiple()
        .with(ResourceDefinition::new(0, "Blob", ValueType::Opaque).writable())
        .with(ResourceDefinition::new(1, "Note", ValueType::String).writable())
        .with(ResourceDefinition::new(2, "Count", ValueType::Integer).writable())
        .with(ResourceDefinition::new(3, "Level", ValueType::Float).writable())
        .with(ResourceDefinition::new(4, "On", ValueType::Boolean).writable())
        .with(ResourceDefinition::new(5, "At", ValueType::Time).writable())
        .with(ResourceDefinition::new(6, "Link", ValueType::ObjectLink).writable())
        .with(
            ResourceDefinition::new(7, "Parts", ValueType::Opaque)
                .writable()
                .multiple(),
        )
        .with(ResourceDefinition::new(8, "Inbox", ValueType::Opaque).operations(Operations::W));
    parse_ddf(application.to_ddf().as_bytes())
        .unwrap()
        .remove(0)
}

fn world() -> World {
    let mut registry = Registry::bundled();
    registry.insert(definition());
    let mut factory = Factory::new(registry).unwrap();
    let uri = format!("coap://{}", server_address(0));
    factory.add_server(&uri, LIFETIME_S, Binding::U).unwrap();
    factory
        .add_instance(10_290.into(), Instance::new(0))
        .unwrap();
    factory.add_object(19.into()).unwrap();
    let mut world = World::with(factory.build());
    world.start();
    world.news.clear();
    world
}

fn put(world: &mut World, target: &str, format: ContentFormat, payload: &[u8]) -> ResponseCode {
    world.code(&write(target, WriteMode::Replace, format, payload))
}

/// Format and payload of an answer.
fn got(world: &mut World, target: &str, accept: Option<ContentFormat>) -> (u16, Vec<u8>) {
    let path = path(target);
    let answer = world.ask(&Operation::Read { path, accept });
    assert_eq!(
        answer.code,
        Ok(ResponseCode::Content),
        "{target} {accept:?}"
    );
    (answer.format.unwrap().0, answer.payload)
}

#[test]
fn ts_6_4_int_201_to_220_every_type_in_every_format_there_and_back() {
    let mut world = world();
    let cases: &[(&str, &[u8], &[u8], &str)] = &[
        (
            "/10290/0/0",
            b"AQL/",
            b"\xc3\x00\x01\x02\xff",
            r#""sv":"AQL/""#,
        ),
        ("/10290/0/1", b"a b", b"\xc3\x01a b", r#""sv":"a b""#),
        ("/10290/0/2", b"-300", b"\xc2\x02\xfe\xd4", r#""v":-300"#),
        (
            "/10290/0/3",
            b"1.5",
            b"\xc4\x03\x3f\xc0\x00\x00",
            r#""v":1.5"#,
        ),
        ("/10290/0/4", b"1", b"\xc1\x04\x01", r#""bv":true"#),
        ("/10290/0/5", b"1000", b"\xc2\x05\x03\xe8", r#""v":1000"#),
        (
            "/10290/0/6",
            b"3:0",
            b"\xc4\x06\x00\x03\x00\x00",
            r#""ov":"3:0""#,
        ),
    ];
    for (target, text, tlv, json) in cases {
        let json = format!(r#"{{"bn":"{target}","e":[{{{json}}}]}}"#).into_bytes();
        for (format, payload) in [(TEXT, *text), (TLV, *tlv), (JSON, &json[..])] {
            assert_eq!(
                put(&mut world, target, format, payload),
                ResponseCode::Changed,
                "{target} {format}"
            );
            for (accept, wanted) in [(TEXT, *text), (TLV, *tlv), (JSON, &json[..])] {
                let (given, payload) = got(&mut world, target, Some(accept));
                assert_eq!(
                    (given, &payload[..]),
                    (accept.0, wanted),
                    "{target} written as {format}"
                );
            }
        }
    }
}

#[test]
fn ts_6_4_2_int_202_210_bytes_go_as_bytes() {
    let mut world = world();
    assert_eq!(
        put(&mut world, "/10290/0/0", OPAQUE, b"\x00\xff"),
        ResponseCode::Changed
    );
    for accept in [None, Some(OPAQUE)] {
        assert_eq!(
            got(&mut world, "/10290/0/0", accept),
            (42, b"\x00\xff".to_vec())
        );
    }
    // Nothing is a value, too.
    assert_eq!(
        put(&mut world, "/10290/0/0", OPAQUE, b""),
        ResponseCode::Changed
    );
    assert_eq!(got(&mut world, "/10290/0/0", None).1, b"");
    // Only bytes are bytes, and only one value of them.
    assert_eq!(
        put(&mut world, "/10290/0/1", OPAQUE, b"x"),
        ResponseCode::UnsupportedContentFormat
    );
    assert_eq!(
        put(&mut world, "/10290/0/7", OPAQUE, b"x"),
        ResponseCode::UnsupportedContentFormat
    );
    assert_eq!(
        put(&mut world, "/10290/0/7", TLV, b"\x85\x07\x43\x02abc"),
        ResponseCode::Changed
    );
    for accept in [TEXT, OPAQUE] {
        assert_eq!(
            world.code(&read_as("/10290/0/7", accept)),
            ResponseCode::NotAcceptable
        );
    }
    let (_, json) = got(&mut world, "/10290/0/7", Some(JSON));
    assert_eq!(json, br#"{"bn":"/10290/0/7/","e":[{"n":"2","sv":"YWJj"}]}"#);
}

#[test]
fn what_a_server_only_writes_arrives_and_is_not_given_back() {
    let mut world = world();
    assert_eq!(
        put(&mut world, "/10290/0/8", OPAQUE, b"for the application"),
        ResponseCode::Changed
    );
    assert_eq!(
        world.code(&read("/10290/0/8")),
        ResponseCode::MethodNotAllowed
    );
    let (_, all) = got(&mut world, "/10290/0", Some(TLV));
    assert!(all.is_empty(), "{all:?}");
    let slot = world.client.tree().slot(10_290.into()).unwrap();
    let instance = slot.instances.values().next().unwrap();
    let kept = instance.resource(8).unwrap();
    assert_eq!(kept.value, b"for the application".to_vec().into());
}

#[test]
fn ts_5_4_6_application_data_is_created_observed_and_deleted_without_code() {
    let mut world = world();
    // Binary App Data Container: Data {0: "ab"}, Data Description "x".
    assert_eq!(
        world.code(&create(19, b"\x84\x00\x42\x00ab\xc1\x03x")),
        ResponseCode::Created
    );
    world.observe("/19/0/0");
    world.set(
        "/19/0/0",
        dunlin_lwm2m::ResourceValue::Multiple(
            [(dunlin_lwm2m::ResourceInstanceId(0), b"cd".to_vec().into())].into(),
        ),
    );
    assert_eq!(
        world.servers[0].notified[0].1.payload,
        b"\x84\x00\x42\x00cd"
    );
    assert_eq!(world.code(&delete("/19/0")), ResponseCode::Deleted);
}

#[test]
fn quirk_1_old_numbers_are_read_and_answered_as_they_were_asked() {
    let mut world = world();
    let old = [(1_541, &b"7"[..]), (1_542, b"\xc1\x02\x07")];
    for (number, payload) in old {
        let format = ContentFormat(number);
        assert_eq!(
            put(&mut world, "/10290/0/2", format, payload),
            ResponseCode::Changed
        );
        assert_eq!(
            got(&mut world, "/10290/0/2", Some(format)),
            (number, payload.to_vec())
        );
    }
    let (number, _) = got(&mut world, "/10290/0/2", Some(ContentFormat(1_543)));
    assert_eq!(number, 1_543);
}

#[test]
fn ts_6_4_what_is_no_value_of_the_type_is_refused_and_changes_nothing() {
    let mut world = world();
    put(&mut world, "/10290/0/2", TEXT, b"7");
    put(&mut world, "/10290/0/4", TEXT, b"1");
    for (target, format, payload) in [
        ("/10290/0/2", TEXT, &b"7.5"[..]),
        ("/10290/0/2", TEXT, b" 7"),
        ("/10290/0/2", TEXT, b""),
        ("/10290/0/2", TLV, b"\xc3\x02\x00\x00\x07"),
        ("/10290/0/2", JSON, br#"{"e":[{"n":"/10290/0/2","v":7.5}]}"#),
        ("/10290/0/2", JSON, b"{"),
        ("/10290/0/4", TEXT, b"true"),
        ("/10290/0/4", TLV, b"\xc1\x04\x02"),
        ("/10290/0/0", TEXT, b"not base64!"),
        ("/10290/0/3", TEXT, b"NaN"),
        ("/10290/0/6", TEXT, b"3"),
        ("/10290/0/1", TEXT, b"\xff"),
        // Another target than the one that is written.
        ("/10290/0/2", TLV, b"\xc1\x04\x01"),
    ] {
        let before = format!("{:?}", world.client.tree());
        assert_eq!(
            put(&mut world, target, format, payload),
            ResponseCode::BadRequest,
            "{target} {format} {payload:?}"
        );
        assert_eq!(format!("{:?}", world.client.tree()), before);
    }
    assert_eq!(
        put(&mut world, "/10290/0/2", ContentFormat(60), b"\x07"),
        ResponseCode::UnsupportedContentFormat
    );
}
