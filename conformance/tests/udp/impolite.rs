//! What a polite peer never says, and what the field says all the same: each is answered as the
//! standard wants it, and everything goes on.

use dunlin_coap::{Code, MessageType, OptionNumber};

use crate::common::{
    Got, JSON, LINK, LINKS, OPAQUE, Peer, Serve, TEXT, TLV, accepting, exchange, in_format,
    scripted_client, scripted_server,
};

/// A critical option that nobody knows.
const UNKNOWN_CRITICAL: &[(OptionNumber, &[u8])] = &[(OptionNumber(2049), b"x")];

// To the Client.

#[test]
fn rfc7252_5_4_1_an_unknown_critical_option_is_4_02() {
    let (mut server, _device, client) = scripted_server();
    let read = "GET /3/0/0";
    assert_eq!(
        server.code(client, read, UNKNOWN_CRITICAL, b""),
        Code::BAD_OPTION
    );
    let elective: &[(OptionNumber, &[u8])] = &[(OptionNumber(2048), b"x")];
    assert_eq!(server.code(client, read, elective, b""), Code::CONTENT);
    let (serve, mut peer) = scripted_client();
    let register = "POST /rd?ep=a&lt=60&lwm2m=1.0";
    let code = peer.code(serve.coap, register, UNKNOWN_CRITICAL, LINKS.as_bytes());
    assert_eq!(code, Code::BAD_OPTION);
}

#[test]
fn rfc7252_4_3_what_is_no_coap_changes_nothing() {
    let (mut server, _device, client) = scripted_server();
    for bytes in [
        &b""[..],
        b"\x40",
        b"\x4f\x01\x00\x01",
        b"\x40\x01\x00\x01\xff",
        b"\xc0\x01\x00\x01",
        &[0xff; 1200],
    ] {
        server.send_bytes(client, bytes);
    }
    assert_eq!(server.code(client, "GET /3/0/0", &[], b""), Code::CONTENT);
}

#[test]
fn ts_8_2_a_request_that_asks_for_no_acknowledgement_is_answered_likewise() {
    let (mut server, _device, client) = scripted_server();
    let token = server.request(client, MessageType::NonConfirmable, "GET /3/0/0", &[], b"");
    let answer = server.hear_response(token);
    assert_eq!(
        (answer.code, answer.text().as_str()),
        (Code::CONTENT, "dunlin")
    );
}

#[test]
fn ts_8_2_5_paths_that_are_none_and_paths_with_a_slash_too_many() {
    let (mut server, _device, client) = scripted_server();
    for (line, code) in [
        ("GET /3/0/11/0", Code::METHOD_NOT_ALLOWED),
        ("GET /3/0/0/0/0", Code::NOT_FOUND),
        ("GET /99999", Code::NOT_FOUND),
        ("GET /-1", Code::NOT_FOUND),
        ("GET /bs", Code::NOT_FOUND),
        ("POST /bs", Code::NOT_FOUND),
        ("DELETE /bs", Code::NOT_FOUND),
    ] {
        let got = server.code(client, line, &[], b"");
        let refused = got == code || got == Code::METHOD_NOT_ALLOWED;
        assert!(refused, "{line}: {got:?}");
    }
    let slash: &[(OptionNumber, &[u8])] = &[
        (OptionNumber::URI_PATH, b"3"),
        (OptionNumber::URI_PATH, b"0"),
        (OptionNumber::URI_PATH, b""),
    ];
    assert_eq!(server.code(client, "GET /", slash, b""), Code::CONTENT);
}

#[test]
fn ts_8_2_5_formats_that_are_not_known_are_4_06_and_4_15() {
    let (mut server, _device, client) = scripted_server();
    for format in [&[60][..], &[110], &[112], b"\xff\xff"] {
        let read = server.code(client, "GET /3/0", &accepting(format), b"");
        assert_eq!(read, Code::NOT_ACCEPTABLE, "{format:?}");
        let write = server.code(client, "PUT /1/0/1", &in_format(format), b"60");
        assert_eq!(write, Code::UNSUPPORTED_CONTENT_FORMAT, "{format:?}");
    }
    // Some Servers send Accept with everything.
    let both = [
        (OptionNumber::CONTENT_FORMAT, TEXT),
        (OptionNumber::ACCEPT, TLV),
    ];
    assert_eq!(
        server.code(client, "PUT /1/0/1", &both, b"60"),
        Code::CHANGED
    );
}

#[test]
fn ts_5_4_3_what_the_object_does_not_know_is_passed_over_in_a_partial_update() {
    let (mut server, _device, client) = scripted_server();
    let unknown = b"\xc1\x01\x3c\xc1\x63\x07";
    assert_eq!(
        server.code(client, "POST /1/0", &in_format(TLV), unknown),
        Code::CHANGED
    );
    assert_eq!(server.ask(client, "GET /1/0/1", &[], b"").text(), "60");
}

#[test]
fn rfc7959_2_9_2_a_block_without_those_before_it_is_4_08() {
    let (mut server, _device, client) = scripted_server();
    // Number 3, more to come, 16 bytes.
    let third: &[(OptionNumber, &[u8])] = &[
        (OptionNumber::CONTENT_FORMAT, OPAQUE),
        (OptionNumber::BLOCK1, &[0x38]),
    ];
    let code = server.code(client, "PUT /33555/0/4", third, &[7; 16]);
    assert_eq!(code, Code::REQUEST_ENTITY_INCOMPLETE);
}

#[test]
fn rfc7959_2_3_a_write_in_blocks_is_put_together() {
    let (mut server, _device, client) = scripted_server();
    for (block, code) in [
        (0x08_u8, Code::CONTINUE),
        (0x18, Code::CONTINUE),
        (0x20, Code::CHANGED),
    ] {
        let options: &[(OptionNumber, &[u8])] = &[
            (OptionNumber::CONTENT_FORMAT, OPAQUE),
            (OptionNumber::BLOCK1, &[block]),
        ];
        assert_eq!(
            server.code(client, "PUT /33555/0/4", options, &[block; 16]),
            code
        );
    }
    let read = server.ask(client, "GET /33555/0/4", &accepting(OPAQUE), b"");
    assert_eq!(read.payload.len(), 48);
}

// To the Server.

#[test]
fn ts_8_2_4_what_is_no_operation_of_a_server_is_refused() {
    let (serve, mut peer) = (Serve::strict(), Peer::new());
    for (line, code) in [
        ("GET /rd", Code::METHOD_NOT_ALLOWED),
        ("PUT /rd?ep=a&lt=60&lwm2m=1.0", Code::METHOD_NOT_ALLOWED),
        ("DELETE /rd", Code::METHOD_NOT_ALLOWED),
        ("POST /", Code::NOT_FOUND),
        ("POST /dp", Code::NOT_FOUND),
        ("GET /3/0", Code::NOT_FOUND),
        ("POST /rd/a/b", Code::NOT_FOUND),
    ] {
        assert_eq!(peer.code(serve.coap, line, &[], b""), code, "{line}");
    }
}

#[test]
fn ts_8_5_a_strict_server_refuses_parameters_that_it_does_not_know() {
    let (serve, mut peer) = (Serve::strict(), Peer::new());
    let queries = "ep=a&lt=60&lwm2m=1.0&et=thing";
    assert_eq!(
        peer.register_with(serve.coap, queries, LINKS).code,
        Code::BAD_REQUEST
    );
    let lenient = Serve::with(|_| {});
    let answer = peer.register_with(lenient.coap, queries, LINKS);
    assert_eq!(answer.code, Code::CREATED);
    let client = lenient.get("/clients/a");
    assert_eq!(client["attributes"]["et"], "thing");
    assert!(!client["deviations"].as_array().expect("a list").is_empty());
}

#[test]
fn decisions_8_a_lenient_server_takes_what_is_missing_and_says_so() {
    let (lenient, mut peer) = (Serve::with(|_| {}), Peer::new());
    let answer = peer.register_with(lenient.coap, "ep=a", LINKS);
    assert_eq!(answer.code, Code::CREATED, "{}", answer.text());
    let client = lenient.get("/clients/a");
    assert_eq!(
        (&client["lifetime_s"], &client["version"]),
        (&86_400.into(), &"1.0".into())
    );
    assert_eq!(client["deviations"].as_array().map(Vec::len), Some(2));
}

#[test]
fn rfc7959_2_3_a_long_list_of_objects_comes_in_blocks() {
    let (serve, mut peer) = (Serve::strict(), Peer::new());
    let links: String = (0..100).map(|id| format!("</3303/{id}>,")).collect();
    let links = format!("{links}</1/0>,</3/0>");
    let blocks: Vec<&[u8]> = links.as_bytes().chunks(512).collect();
    for (number, block) in (0_u8..).zip(&blocks) {
        let last = usize::from(number) + 1 == blocks.len();
        // 512 bytes are size 5.
        let value = [number << 4 | if last { 0 } else { 8 } | 5];
        let options: &[(OptionNumber, &[u8])] = &[
            (OptionNumber::CONTENT_FORMAT, LINK),
            (OptionNumber::BLOCK1, &value),
        ];
        let answer = peer.ask(serve.coap, "POST /rd?ep=a&lt=60&lwm2m=1.0", options, block);
        let expected = if last { Code::CREATED } else { Code::CONTINUE };
        assert_eq!(answer.code, expected, "{}", answer.text());
    }
    let objects = serve.get("/clients/a")["objects"].clone();
    let instances = objects["3303"]["instances"].as_array();
    assert_eq!(instances.map(Vec::len), Some(100));
}

const READ: (&str, &str, &str) = ("GET", "a/3/0/9", "");

/// What REST makes of a Read that the Client answers like this.
fn answered(answer: impl FnOnce(&mut Peer, &Got)) -> (u16, serde_json::Value) {
    let (serve, mut peer) = scripted_client();
    let (_, reply) = exchange(&serve, &mut peer, READ, "GET /3/0/9", answer);
    // Whatever that was, the next one is asked and answered.
    let (_, next) = exchange(&serve, &mut peer, READ, "GET /3/0/9", |peer, got| {
        peer.answer(got, Code::CONTENT, &in_format(TEXT), b"80");
    });
    assert_eq!(next.json["node"]["value"], 80);
    (reply.status, reply.json)
}

#[test]
fn rfc7252_5_2_2_a_separate_response_is_an_answer() {
    let (status, json) = answered(|peer, got| {
        peer.empty(got, MessageType::Acknowledgement);
        let confirmable = MessageType::Confirmable;
        peer.respond(
            got.from,
            confirmable,
            got.token,
            Code::CONTENT,
            &in_format(TEXT),
            b"70",
        );
    });
    assert_eq!((status, &json["node"]["value"]), (200, &70.into()));
}

#[test]
fn rfc7252_4_2_a_reset_is_no_answer() {
    let (status, json) = answered(|peer, got| peer.empty(got, MessageType::Reset));
    assert_eq!((status, &json["code"]), (502, &"client_reset".into()));
}

#[test]
fn quirks_2_and_10_values_without_a_format_and_in_another_one_are_read() {
    let (_, json) = answered(|peer, got| peer.answer(got, Code::CONTENT, &[], b"70"));
    assert_eq!(json["node"]["value"], 70);
    let (_, json) = answered(|peer, got| {
        let pack = br#"{"bn":"/3/0/9","e":[{"v":70}]}"#;
        peer.answer(got, Code::CONTENT, &in_format(JSON), pack);
    });
    assert_eq!(json["node"]["value"], 70);
}

#[test]
fn an_answer_that_makes_no_sense_is_the_client_s_fault() {
    for (format, payload) in [
        (TLV, &b"\xc8\x09\xff"[..]),
        (JSON, b"{"),
        (&[60][..], b"\x18\x46"),
    ] {
        let (status, json) = answered(|peer, got| {
            peer.answer(got, Code::CONTENT, &in_format(format), payload);
        });
        assert_eq!(status, 502, "{json}");
    }
}

#[test]
fn an_answer_that_nobody_asked_for_changes_nothing() {
    let (status, json) = answered(|peer, got| {
        let token = dunlin_coap::Token::new(b"other").expect("five bytes");
        let confirmable = MessageType::Confirmable;
        peer.respond(
            got.from,
            confirmable,
            token,
            Code::CONTENT,
            &in_format(TEXT),
            b"1",
        );
        peer.answer(got, Code::CONTENT, &in_format(TEXT), b"70");
    });
    assert_eq!((status, &json["node"]["value"]), (200, &70.into()));
}
