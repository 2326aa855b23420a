//! Device management as a conversation: every code of the standard's tables, in the order of the
//! checks, and that what is refused has changed nothing (TS 1.0 §5.4).

mod common;

use common::*;
use dunlin_client::Event;
use dunlin_lwm2m::operation::{Argument, Arguments, Operation, ResponseCode, WriteMode};
use dunlin_lwm2m::{ContentFormat, Path, Value};
use dunlin_transport::Port;
use dunlin_transport::coap::{
    Code, Message, MessageId, MessageType, OptionList, OptionNumber, Token,
};

const TLV: ContentFormat = ContentFormat::TLV;
const JSON: ContentFormat = ContentFormat::JSON;
const TEXT: ContentFormat = ContentFormat::TEXT;

/// The answer's code as CoAP writes it.
fn refused(world: &mut World, cases: &[(Operation, ResponseCode)]) {
    for (operation, code) in cases {
        let before = format!("{:?}", world.client.tree());
        let (kept, sent) = (world.commits, world.servers[0].uplinks.len());
        assert_eq!(world.code(operation), *code, "{operation:?}");
        assert_eq!(
            format!("{:?}", world.client.tree()),
            before,
            "{operation:?} changed something"
        );
        assert_eq!(
            (world.commits, world.servers[0].uplinks.len()),
            (kept, sent)
        );
        assert!(
            matches!(world.told()[..], [Event::Refused { code: told, .. }] if told == *code),
            "the embedder hears of it"
        );
    }
}

#[test]
fn ts_5_4_1_read_of_a_resource_is_text_and_of_more_is_tlv() {
    let mut world = World::registered();
    let one = world.ask(&read("/3/0/0"));
    assert_eq!(
        (one.code, one.format),
        (Ok(ResponseCode::Content), Some(TEXT))
    );
    assert_eq!(text(&one), "ACME");
    let float = world.ask(&read("/3303/0/5700"));
    assert_eq!(text(&float), "20.5");
    let instance = world.ask(&read("/3303/0"));
    assert_eq!(instance.format, Some(TLV));
    // 5700 as a 4-byte float, 5701 "Cel".
    assert_eq!(
        instance.payload,
        b"\xe4\x16\x44\x41\xa4\x00\x00\xe3\x16\x45Cel"
    );
    let object = world.ask(&read("/3303"));
    assert_eq!(object.payload.len(), 2 * (3 + 13));
    let several = world.ask(&read("/3/0/11"));
    assert_eq!(several.format, Some(TLV));
    assert_eq!(several.payload, b"\x83\x0b\x41\x00\x00");
}

#[test]
fn ts_5_4_1_read_takes_the_format_that_is_accepted() {
    let mut world = World::registered();
    let json = world.ask(&read_as("/3303/0/5700", JSON));
    assert_eq!(json.format, Some(JSON));
    assert_eq!(text(&json), r#"{"bn":"/3303/0/5700","e":[{"v":20.5}]}"#);
    let tlv = world.ask(&read_as("/3/0/0", TLV));
    assert_eq!(tlv.payload, b"\xc4\x00ACME");
}

#[test]
fn ts_5_4_1_read_of_an_object_without_instances_is_empty() {
    let mut world = World::registered();
    world.ask(&delete("/3303/0"));
    world.ask(&delete("/3303/1"));
    let nothing = world.ask(&read("/3303"));
    assert_eq!(nothing.code, Ok(ResponseCode::Content));
    assert!(nothing.payload.is_empty());
}

#[test]
fn ts_5_4_1_read_leaves_out_what_is_not_readable() {
    let mut world = World::registered();
    let device = world.ask(&read_as("/3/0", JSON));
    assert!(!text(&device).contains(r#""n":"4""#), "{}", text(&device));
    assert!(text(&device).contains(r#""n":"13","v":1767225600"#));
}

#[test]
fn ts_8_5_read_refusals() {
    let mut world = World::registered();
    refused(
        &mut world,
        &[
            (read("/0"), ResponseCode::Unauthorized),
            (read("/0/0"), ResponseCode::Unauthorized),
            (read("/0/0/5"), ResponseCode::Unauthorized),
            (read("/0/7/5"), ResponseCode::Unauthorized),
            (read("/9"), ResponseCode::NotFound),
            (read("/3/1"), ResponseCode::NotFound),
            (read("/3/0/1"), ResponseCode::NotFound),
            (read("/3/0/99"), ResponseCode::NotFound),
            (read("/3/0/4"), ResponseCode::MethodNotAllowed),
            (read("/3303/0/5605"), ResponseCode::MethodNotAllowed),
            (read_as("/3/0", TEXT), ResponseCode::NotAcceptable),
            (read_as("/3/0/11", TEXT), ResponseCode::NotAcceptable),
            (
                read_as("/3/0/0", ContentFormat::OPAQUE),
                ResponseCode::NotAcceptable,
            ),
            (
                read_as("/3/0/0", ContentFormat(12_345)),
                ResponseCode::NotAcceptable,
            ),
        ],
    );
}

#[test]
fn ts_8_5_targets_that_are_no_paths_are_refused() {
    let mut world = World::registered();
    for (code, segments, answer) in [
        (Code::GET, &[][..], Code::METHOD_NOT_ALLOWED),
        (Code::GET, &["3", "0", "11", "0"], Code::METHOD_NOT_ALLOWED),
        (Code::GET, &["a"], Code::NOT_FOUND),
        (Code::GET, &["3", "0", "0", "0", "0"], Code::NOT_FOUND),
        (Code::GET, &["70000"], Code::NOT_FOUND),
        (Code::POST, &["bs"], Code::NOT_FOUND),
        (Code::DELETE, &["3"], Code::METHOD_NOT_ALLOWED),
        (Code::DELETE, &["3", "0", "0"], Code::METHOD_NOT_ALLOWED),
        (Code::DELETE, &[], Code::METHOD_NOT_ALLOWED),
    ] {
        let got = world.raw_request(code, segments, &[], b"");
        assert_eq!(got.code, answer, "{code:?} {segments:?}");
    }
}

#[test]
fn ts_5_4_2_discover_of_each_level() {
    let mut world = World::registered();
    world.ask(&attributes("/3303", &["pmin=10"]));
    world.ask(&attributes("/3303/0", &["pmax=60"]));
    world.ask(&attributes("/3303/0/5700", &["gt=50", "lt=42.2"]));
    let found = |world: &mut World, target| text(&world.ask(&discover(target))).to_owned();
    assert_eq!(
        found(&mut world, "/3303"),
        "</3303>;pmin=10,</3303/0>,</3303/0/5605>,</3303/0/5700>,</3303/0/5701>,\
         </3303/1>,</3303/1/5605>,</3303/1/5700>,</3303/1/5701>"
    );
    assert_eq!(
        found(&mut world, "/3303/0"),
        "</3303/0>;pmax=60,</3303/0/5605>,</3303/0/5700>;gt=50;lt=42.2,</3303/0/5701>"
    );
    assert_eq!(
        found(&mut world, "/3303/0/5700"),
        "</3303/0/5700>;pmin=10;pmax=60;gt=50;lt=42.2"
    );
    assert_eq!(found(&mut world, "/3/0/11"), "</3/0/11>;dim=1");
    assert!(found(&mut world, "/1/0").starts_with("</1/0>,</1/0/0>,</1/0/1>,</1/0/4>"));
}

#[test]
fn ts_8_5_discover_refusals() {
    let mut world = World::registered();
    refused(
        &mut world,
        &[
            (discover("/0"), ResponseCode::Unauthorized),
            (discover("/9"), ResponseCode::NotFound),
            (discover("/3/1"), ResponseCode::NotFound),
            (discover("/3/0/1"), ResponseCode::NotFound),
        ],
    );
}

#[test]
fn ts_5_4_3_write_replaces_a_resource_and_is_kept_before_it_is_answered() {
    let mut world = World::registered();
    let offset = write_text("/3/0/14", "+02:00");
    assert_eq!(world.code(&offset), ResponseCode::Changed);
    assert_eq!(text(&world.ask(&read("/3/0/14"))), "+02:00");
    assert_eq!(world.commits, 1);
    assert!(
        matches!(&world.news[0], Event::Written { paths, .. } if *paths == [path("/3/0/14")]),
        "{:?}",
        world.news
    );
}

#[test]
fn ts_5_4_3_write_makes_a_resource_that_is_not_there_yet() {
    let mut world = World::registered();
    assert_eq!(world.code(&read("/3/0/15")), ResponseCode::NotFound);
    let zone = write_text("/3/0/15", "Europe/Berlin");
    assert_eq!(world.code(&zone), ResponseCode::Changed);
    assert_eq!(text(&world.ask(&read("/3/0/15"))), "Europe/Berlin");
}

#[test]
fn ts_5_4_3_replace_of_an_instance_removes_optional_resources_that_are_not_named() {
    let mut world = World::registered();
    world.ask(&write_text("/1/0/2", "5"));
    // Lifetime 60, Notification Storing true, Binding U.
    let payload = b"\xc1\x01\x3c\xc1\x06\x01\xc1\x07U";
    let replace = write("/1/0", WriteMode::Replace, TLV, payload);
    assert_eq!(world.code(&replace), ResponseCode::Changed);
    assert_eq!(world.code(&read("/1/0/2")), ResponseCode::NotFound);
    assert_eq!(
        text(&world.ask(&read("/1/0/0"))),
        "1",
        "read-only ones stay"
    );
    assert_eq!(text(&world.ask(&read("/1/0/1"))), "60");
}

#[test]
fn ts_5_4_3_partial_update_leaves_the_rest() {
    let mut world = World::registered();
    world.ask(&write_text("/1/0/2", "5"));
    let partial = write("/1/0", WriteMode::Partial, TLV, b"\xc1\x03\x3c");
    assert_eq!(world.code(&partial), ResponseCode::Changed);
    assert_eq!(text(&world.ask(&read("/1/0/2"))), "5");
    assert_eq!(text(&world.ask(&read("/1/0/3"))), "60");
    let json = write(
        "/1/0",
        WriteMode::Partial,
        JSON,
        r#"{"e":[{"n":"2","v":7},{"n":"1","v":600}]}"#,
    );
    assert_eq!(world.code(&json), ResponseCode::Changed);
    assert_eq!(text(&world.ask(&read("/1/0/2"))), "7");
    assert_eq!(text(&world.ask(&read("/1/0/1"))), "600");
}

#[test]
fn quirk_11_the_instance_may_be_wrapped_around_its_resources() {
    let mut world = World::registered();
    let wrapped = write("/1/0", WriteMode::Partial, TLV, b"\x03\x00\xc1\x02\x09");
    assert_eq!(world.code(&wrapped), ResponseCode::Changed);
    assert_eq!(text(&world.ask(&read("/1/0/2"))), "9");
    let of_another = write("/1/0", WriteMode::Partial, TLV, b"\x03\x05\xc1\x02\x09");
    assert_eq!(world.code(&of_another), ResponseCode::BadRequest);
}

#[test]
fn ts_8_5_write_refusals() {
    let mut world = World::registered();
    let partial = |target, payload: &[u8]| write(target, WriteMode::Partial, TLV, payload);
    refused(
        &mut world,
        &[
            (write_text("/0/0/0", "coap://x"), ResponseCode::Unauthorized),
            (write_text("/9/0/0", "x"), ResponseCode::NotFound),
            (write_text("/3/1/14", "x"), ResponseCode::NotFound),
            (write_text("/3/0/99", "x"), ResponseCode::NotFound),
            (write_text("/3/0/0", "x"), ResponseCode::MethodNotAllowed),
            (write_text("/3/0/4", ""), ResponseCode::MethodNotAllowed),
            // What cannot be written is said before the format and the payload are looked at.
            (
                write("/3/0/0", WriteMode::Replace, ContentFormat(77), "x"),
                ResponseCode::MethodNotAllowed,
            ),
            (
                write("/3/0/14", WriteMode::Replace, ContentFormat(77), "x"),
                ResponseCode::UnsupportedContentFormat,
            ),
            (
                write("/1/0", WriteMode::Replace, TEXT, "x"),
                ResponseCode::UnsupportedContentFormat,
            ),
            (
                write("/3/0/14", WriteMode::Replace, ContentFormat::OPAQUE, "x"),
                ResponseCode::UnsupportedContentFormat,
            ),
            (
                write("/1/0/1", WriteMode::Replace, ContentFormat::OPAQUE, "x"),
                ResponseCode::UnsupportedContentFormat,
            ),
            (write_text("/1/0/1", "soon"), ResponseCode::BadRequest),
            (write_text("/1/0/1", "-1"), ResponseCode::BadRequest),
            (write_text("/1/0/1", "4294967296"), ResponseCode::BadRequest),
            (write_text("/1/0/6", "2"), ResponseCode::BadRequest),
            (write_text("/1/0/7", "UQSQ"), ResponseCode::BadRequest),
            (
                write("/1/0", WriteMode::Replace, JSON, "{\"e\":["),
                ResponseCode::BadRequest,
            ),
            // A mandatory Resource is missing in what replaces.
            (
                write("/1/0", WriteMode::Replace, TLV, b"\xc1\x01\x3c"),
                ResponseCode::BadRequest,
            ),
            // Short Server ID is read-only: nothing of the whole is written.
            (
                partial("/1/0", b"\xc1\x01\x3c\xc1\x00\x05"),
                ResponseCode::MethodNotAllowed,
            ),
            // A good value before a bad one.
            (
                partial("/1/0", b"\xc1\x01\x3c\xc1\x06\x09"),
                ResponseCode::BadRequest,
            ),
            // A multiple Resource for a single one.
            (
                partial("/1/0", b"\x83\x01\x41\x00\x05"),
                ResponseCode::BadRequest,
            ),
            // Cut short.
            (partial("/1/0", b"\xc4\x01\x00"), ResponseCode::BadRequest),
        ],
    );
}

#[test]
fn ts_8_2_5_a_write_without_content_format_is_refused() {
    let mut world = World::registered();
    let got = world.raw_request(Code::PUT, &["3", "0", "14"], &[], b"+02:00");
    assert_eq!(got.code, Code::BAD_REQUEST);
    let got = world.raw_request(Code::PUT, &["3", "0", "14"], &[], b"");
    assert_eq!(got.code, Code::BAD_REQUEST);
    assert_eq!(text(&world.ask(&read("/3/0/14"))), "+01:00");
    let tlv: &[u8] = &[0x2d, 0x16];
    let format = [(OptionNumber::CONTENT_FORMAT, tlv)];
    let got = world.raw_request(Code::PUT, &["3303"], &format, b"\xc1\x00\x00");
    assert_eq!(
        got.code,
        Code::METHOD_NOT_ALLOWED,
        "an Object is not written"
    );
}

#[test]
fn quirk_1_the_old_number_of_tlv_is_read() {
    let mut world = World::registered();
    let old = write(
        "/1/0",
        WriteMode::Partial,
        ContentFormat::OLD_TLV,
        b"\xc1\x02\x09",
    );
    assert_eq!(world.code(&old), ResponseCode::Changed);
    assert_eq!(text(&world.ask(&read("/1/0/2"))), "9");
}

#[test]
fn rfc7959_a_long_value_is_written_and_read_in_blocks() {
    let mut world = World::registered();
    let long = "Europe/".repeat(500);
    assert_eq!(
        world.code(&write_text("/3/0/15", &long)),
        ResponseCode::Changed
    );
    assert_eq!(text(&world.ask(&read("/3/0/15"))), long);
}

#[test]
fn ts_5_4_4_write_attributes_refusals() {
    let mut world = World::registered();
    refused(
        &mut world,
        &[
            (attributes("/0", &["pmin=1"]), ResponseCode::Unauthorized),
            (attributes("/9", &["pmin=1"]), ResponseCode::NotFound),
            (attributes("/3/1", &["pmin=1"]), ResponseCode::NotFound),
            (attributes("/3/0/1", &["pmin=1"]), ResponseCode::NotFound),
            (
                attributes("/3/0/4", &["pmin=1"]),
                ResponseCode::MethodNotAllowed,
            ),
            (attributes("/3/0/0", &["gt=1"]), ResponseCode::BadRequest),
            (attributes("/3/0", &["gt=1"]), ResponseCode::BadRequest),
            (attributes("/3", &["st=1"]), ResponseCode::BadRequest),
            (
                attributes("/3303/0/5700", &["lt=10", "gt=10"]),
                ResponseCode::BadRequest,
            ),
            (
                attributes("/3303/0/5700", &["lt=1", "gt=10", "st=5"]),
                ResponseCode::BadRequest,
            ),
        ],
    );
    for query in [
        "", "pmin=x", "pmin=-1", "st=-1", "dim=3", "ver=1.0", "what=1",
    ] {
        let queries = [(OptionNumber::URI_QUERY, query.as_bytes())];
        let got = world.raw_request(Code::PUT, &["3303", "0", "5700"], &queries, b"");
        assert_eq!(got.code, Code::BAD_REQUEST, "{query:?}");
    }
    let twice: [(OptionNumber, &[u8]); 2] = [(OptionNumber::URI_QUERY, b"pmin=1"); 2];
    let got = world.raw_request(Code::PUT, &["3303", "0"], &twice, b"");
    assert_eq!(got.code, Code::BAD_REQUEST);
    let both = [(OptionNumber::URI_QUERY, &b"pmin=1"[..])];
    let got = world.raw_request(Code::PUT, &["3303", "0"], &both, b"x");
    assert_eq!(got.code, Code::BAD_REQUEST);
}

#[test]
fn ts_5_1_2_attributes_are_checked_with_those_that_are_there_and_unset_one_by_one() {
    let mut world = World::registered();
    let target = "/3303/0/5700";
    assert_eq!(
        world.code(&attributes(target, &["gt=50"])),
        ResponseCode::Changed
    );
    assert_eq!(
        world.code(&attributes(target, &["lt=60"])),
        ResponseCode::BadRequest
    );
    assert_eq!(
        world.code(&attributes(target, &["gt", "lt=-60", "pmin=5", "pmax=3"])),
        ResponseCode::Changed,
        "a pmax below pmin is no error"
    );
    assert_eq!(
        text(&world.ask(&discover(target))),
        "</3303/0/5700>;pmin=5;pmax=3;lt=-60"
    );
    assert_eq!(
        world.code(&attributes(target, &["lt", "pmin", "pmax"])),
        ResponseCode::Changed
    );
    assert_eq!(text(&world.ask(&discover(target))), "</3303/0/5700>");
}

#[test]
fn ts_5_4_5_execute_answers_first_and_tells_the_embedder() {
    let mut world = World::registered();
    let before = world.sent.len();
    assert_eq!(world.code(&execute("/3/0/4")), ResponseCode::Changed);
    assert_eq!(world.told(), [Event::Reboot]);
    assert_eq!(world.sent.len(), before + 1, "the answer is on its way");
    assert_eq!(world.code(&execute("/3/0/5")), ResponseCode::Changed);
    assert_eq!(world.told(), [Event::FactoryReset]);
}

#[test]
fn ts_e_4_reset_error_code_leaves_one_instance_that_says_none() {
    let mut world = World::registered();
    let errors = [(0, 7), (1, 8)]
        .map(|(id, code)| (dunlin_lwm2m::ResourceInstanceId(id), Value::Integer(code)));
    world.set(
        "/3/0/11",
        dunlin_lwm2m::ResourceValue::Multiple(errors.into_iter().collect()),
    );
    world.observe("/3/0/11");
    assert_eq!(world.code(&execute("/3/0/12")), ResponseCode::Changed);
    let told = &world.servers[0].notified;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].1.payload, b"\x83\x0b\x41\x00\x00");
}

#[test]
fn a_sensor_s_extremes_follow_and_are_reset_by_execute() {
    let mut world = World::registered();
    for value in [25.0, 10.0, 15.0] {
        world.set("/3303/0/5700", Value::Float(value));
    }
    assert_eq!(text(&world.ask(&read("/3303/0/5601"))), "10");
    assert_eq!(text(&world.ask(&read("/3303/0/5602"))), "25");
    assert_eq!(world.code(&execute("/3303/0/5605")), ResponseCode::Changed);
    assert_eq!(text(&world.ask(&read("/3303/0/5601"))), "15");
    assert_eq!(text(&world.ask(&read("/3303/0/5602"))), "15");
}

#[test]
fn ts_8_5_execute_refusals() {
    let mut world = World::registered();
    refused(
        &mut world,
        &[
            (execute("/0/0/0"), ResponseCode::Unauthorized),
            (execute("/9/0/0"), ResponseCode::NotFound),
            (execute("/3/1/4"), ResponseCode::NotFound),
            (execute("/3/0/99"), ResponseCode::NotFound),
            (execute("/3/0/1"), ResponseCode::NotFound),
            (execute("/3/0/0"), ResponseCode::MethodNotAllowed),
            (execute("/3303/0/5700"), ResponseCode::MethodNotAllowed),
        ],
    );
    for payload in [&b"x"[..], b"0=1", b"0='a", b"10", b"0,0", b"0='\"'", b","] {
        let got = world.raw_request(Code::POST, &["3", "0", "4"], &[], payload);
        assert_eq!(got.code, Code::BAD_REQUEST, "{payload:?}");
    }
    let tlv: &[u8] = &[0x2d, 0x16];
    let format = [(OptionNumber::CONTENT_FORMAT, tlv)];
    let got = world.raw_request(Code::POST, &["3", "0", "4"], &format, b"0");
    assert_eq!(got.code, Code::UNSUPPORTED_CONTENT_FORMAT);
    assert!(!world.told().contains(&Event::Reboot));
}

#[test]
fn ts_5_4_5_arguments_reach_the_embedder() {
    let mut world = World::registered();
    let given = Arguments::new(vec![Argument {
        digit: 2,
        value: Some("10.3".into()),
    }])
    .unwrap();
    let reset = Operation::Execute {
        path: path("/3/0/12"),
        arguments: given.clone(),
    };
    assert_eq!(world.code(&reset), ResponseCode::Changed);
    let told = world.told();
    let [Event::Executed { arguments, .. }] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(*arguments, given);
}

#[test]
fn ts_5_4_6_create_with_a_number_and_without() {
    let mut world = World::registered();
    let named = world.ask(&create(3303, b"\x08\x07\x00"));
    assert_eq!(named.code, Ok(ResponseCode::Created));
    assert_eq!(named.location, ["3303", "7"]);
    let free = world.ask(&create(3303, b""));
    assert_eq!(free.code, Ok(ResponseCode::Created));
    assert_eq!(free.location, ["3303", "2"], "the lowest that is free");
    let told = world.told();
    let created = told.iter().filter_map(|event| match event {
        Event::Created { paths, .. } => Some(paths.clone()),
        _ => None,
    });
    let created: Vec<Path> = created.flatten().collect();
    assert_eq!(created, [path("/3303/7"), path("/3303/2")]);
    for made in ["/3303/7", "/3303/2"] {
        assert_eq!(world.code(&read(made)), ResponseCode::Content);
    }
}

/// Leshan 1.x writes Object Links into `sv`.
#[test]
fn a_value_in_another_member_of_json_is_taken_when_it_can_be_read() {
    let mut world = World::registered();
    let lifetime = |payload: &str| write("/1/0", WriteMode::Partial, JSON, payload);
    let taken = lifetime("{\"e\":[{\"n\":\"1\",\"sv\":\"77\"}]}");
    assert_eq!(world.code(&taken), ResponseCode::Changed);
    assert_eq!(text(&world.ask(&read("/1/0/1"))), "77");
    let senseless = lifetime("{\"e\":[{\"n\":\"1\",\"sv\":\"long\"}]}");
    assert_eq!(world.code(&senseless), ResponseCode::BadRequest);
}

#[test]
fn ts_5_4_6_create_takes_bare_resources_as_an_instance_without_a_number() {
    let mut world = World::registered();
    let bare = world.ask(&create(3303, b"\xe8\x16\x44\x08\x40\x35\x80\0\0\0\0\0"));
    assert_eq!(bare.code, Ok(ResponseCode::Created));
    assert_eq!(bare.location, ["3303", "2"], "the lowest that is free");
    // A Resource beside an instance says two things at once.
    let mixed = b"\x08\x05\x00\xe8\x16\x44\x08\x40\x35\x80\0\0\0\0\0";
    assert_eq!(world.code(&create(3303, mixed)), ResponseCode::BadRequest);
}

#[test]
fn ts_5_4_6_create_ignores_what_it_does_not_know_and_what_is_read_only() {
    let mut world = World::registered();
    // Lifetime, Storing, Binding, an unknown Resource 200, and Short Server ID (read-only).
    let payload = b"\x08\x05\x0f\xc1\x01\x3c\xc1\x06\x01\xc1\x07U\xc1\xc8\x01\xc1\x00\x05";
    let made = world.ask(&create(1, payload));
    assert_eq!(made.code, Ok(ResponseCode::Created));
    assert_eq!(made.location, ["1", "5"]);
    assert_eq!(world.code(&read("/1/5/200")), ResponseCode::NotFound);
    assert_eq!(world.code(&read("/1/5/0")), ResponseCode::NotFound);
    assert_eq!(text(&world.ask(&read("/1/5/1"))), "60");
    assert_eq!(world.code(&delete("/1/5")), ResponseCode::Deleted);
}

#[test]
fn ts_8_5_create_refusals() {
    let mut world = World::registered();
    let create_as = |format: ContentFormat| Operation::Create {
        object: dunlin_lwm2m::ObjectId(3303),
        format,
        payload: b"\x08\x05\x00".to_vec(),
    };
    refused(
        &mut world,
        &[
            (create(0, b""), ResponseCode::Unauthorized),
            (create(9, b""), ResponseCode::NotFound),
            (create(3, b"\x08\x01\x00"), ResponseCode::MethodNotAllowed),
            (create(3303, b"\x08\x00\x00"), ResponseCode::BadRequest),
            (create(3303, b"\x28\xff\xff\x00"), ResponseCode::BadRequest),
            // One that is new and one that is there.
            (
                create(3303, b"\x08\x08\x00\x08\x00\x00"),
                ResponseCode::BadRequest,
            ),
            // Mandatory Resources are missing.
            (
                create(1, b"\x08\x05\x03\xc1\x01\x3c"),
                ResponseCode::BadRequest,
            ),
            (create(3303, b"\x08\x05\x09\x00"), ResponseCode::BadRequest),
            (create_as(TEXT), ResponseCode::UnsupportedContentFormat),
            (
                create_as(ContentFormat(999)),
                ResponseCode::UnsupportedContentFormat,
            ),
        ],
    );
    let got = world.raw_request(Code::POST, &["3303"], &[], b"\x08\x05\x00");
    assert_eq!(got.code, Code::BAD_REQUEST, "no Content-Format");
}

#[test]
fn ts_5_4_7_delete_and_its_refusals() {
    let mut world = World::registered();
    assert_eq!(world.code(&delete("/3303/1")), ResponseCode::Deleted);
    assert_eq!(world.code(&read("/3303/1")), ResponseCode::NotFound);
    assert!(world.news.iter().any(
        |event| matches!(event, Event::Deleted { path: gone, .. } if *gone == path("/3303/1"))
    ));
    world.told();
    refused(
        &mut world,
        &[
            (delete("/0/0"), ResponseCode::Unauthorized),
            (delete("/9/0"), ResponseCode::NotFound),
            (delete("/3303/1"), ResponseCode::NotFound),
            (delete("/3/0"), ResponseCode::MethodNotAllowed),
        ],
    );
}

#[test]
fn attributes_go_with_the_instance_they_were_written_at() {
    let mut world = World::registered();
    world.ask(&attributes("/3303/1/5700", &["pmin=7"]));
    world.ask(&attributes("/3303/1", &["pmax=70"]));
    world.ask(&delete("/3303/1"));
    world.ask(&create(3303, b"\x08\x01\x00"));
    let found = world.ask(&discover("/3303/1"));
    assert_eq!(text(&found), "</3303/1>,</3303/1/5605>");
}

#[test]
fn deleting_its_own_account_makes_the_client_leave() {
    let mut world = World::registered();
    assert_eq!(world.code(&delete("/1/0")), ResponseCode::Deleted);
    assert_eq!(world.servers[0].kinds(), "RD");
    world.pass_s(1_000);
    assert_eq!(world.servers[0].kinds(), "RD");
}

#[test]
fn ts_e_4_a_written_clock_runs_on() {
    let mut world = World::registered();
    assert_eq!(text(&world.ask(&read("/3/0/13"))), "1767225600");
    assert_eq!(
        world.code(&write_text("/3/0/13", "1000000000")),
        ResponseCode::Changed
    );
    world.pass_s(90);
    assert_eq!(text(&world.ask(&read("/3/0/13"))), "1000000090");
}

#[test]
fn rfc7252_4_5_a_repeated_execute_is_answered_again_and_done_once() {
    let mut world = World::registered();
    let first = world.raw_request(Code::POST, &["3", "0", "4"], &[], b"");
    assert_eq!(first.code, Code::CHANGED);
    let (_, _, bytes) = world.sent.last().cloned().unwrap();
    assert_eq!(world.told(), [Event::Reboot]);
    let mut list = OptionList::new();
    for segment in ["3", "0", "4"] {
        list.push(OptionNumber::URI_PATH, segment.as_bytes());
    }
    let again = Message {
        message_type: MessageType::Confirmable,
        code: Code::POST,
        message_id: first.message_id,
        token: first.token,
        options: list.view(),
        payload: b"",
    };
    assert_eq!(world.raw(&again).len(), 1);
    assert_eq!(world.sent.last().unwrap().2, bytes, "the same answer");
    assert!(world.told().is_empty());
}

#[test]
fn any_bytes_from_the_server_leave_the_client_standing() {
    let mut world = World::registered();
    let mut state = 0x1234_5678_u32;
    let from = world.servers[0].address.clone();
    for _ in 0..3_000 {
        let mut bytes = vec![0x40, 0x01, 0, 0];
        for _ in 0..state % 40 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            bytes.push((state >> 24) as u8);
        }
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        bytes[0] = 0x40 | (state >> 20) as u8 & 0x38;
        bytes[1] = (state >> 8) as u8 & 7;
        bytes[2..4].copy_from_slice(&state.to_le_bytes()[..2]);
        world
            .client
            .handle_receive(world.now, Port::Coap, &from, None, &bytes);
        world.settle();
    }
    assert_eq!(world.code(&read("/3/0/0")), ResponseCode::Content);
}

/// Found by the seeded universe: a late copy of the request set the numbers of its notifications back, and a
/// Server takes what follows for old.
#[test]
fn rfc7641_4_4_an_observe_that_comes_again_does_not_set_the_order_back() {
    let mut world = World::registered();
    let mut list = OptionList::new();
    list.push(OptionNumber::OBSERVE, b"");
    for segment in ["3303", "0", "5700"] {
        list.push(OptionNumber::URI_PATH, segment.as_bytes());
    }
    let mut ask = |message_id| {
        let got = world.raw(&Message {
            message_type: MessageType::Confirmable,
            code: Code::GET,
            message_id: MessageId(message_id),
            token: Token::new(b"again").unwrap(),
            options: list.view(),
            payload: b"",
        });
        got[0].options.view().observe()
    };
    assert_eq!((ask(9_001), ask(9_002)), (Some(1), Some(2)));
}
