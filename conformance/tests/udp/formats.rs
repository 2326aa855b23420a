//! Data formats (TS 1.0 §6.4).

use dunlin_coap::Code;
use serde_json::Value as Json;

use crate::common::{
    JSON, OPAQUE, TEXT, TLV, accepting, both, exchange, in_format, scripted_client, scripted_server,
};

/// What our Server makes of this answer of a Client.
fn read(path: &str, format: &[u8], payload: &[u8]) -> Json {
    let (serve, mut peer) = scripted_client();
    let (asked, line) = (format!("a{path}"), format!("GET {path}"));
    let ask = ("GET", asked.as_str(), "");
    let (_, reply) = exchange(&serve, &mut peer, ask, &line, |peer, got| {
        peer.answer(got, Code::CONTENT, &in_format(format), payload);
    });
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json["node"].clone()
}

#[test]
fn lwm2m_df_001_s_m_plain_text() {
    assert_eq!(read("/3/0/0", TEXT, "Öre".as_bytes())["value"], "Öre");
    assert_eq!(read("/3/0/9", TEXT, b"80")["value"], 80);
    assert_eq!(read("/3303/0/5700", TEXT, b"-0.5")["value"], -0.5);
}

#[test]
fn lwm2m_df_002_s_m_opaque() {
    assert_eq!(read("/33555/0/4", OPAQUE, b"\x01\x02\xff")["value"], "AQL/");
}

#[test]
fn lwm2m_df_003_s_m_tlv() {
    let device = read("/3", TLV, b"\x08\x00\x08\xc1\x09\x50\x83\x06\x41\x00\x01");
    assert_eq!(device["instances"][0]["id"], 0);
    let power = read("/3/0/6", TLV, b"\x86\x06\x41\x00\x01\x41\x01\x05");
    assert_eq!(power["values"], serde_json::json!({"0": 1, "1": 5}));
}

#[test]
fn lwm2m_df_004_s_m_json() {
    let json = br#"{"bn":"/3/0/","e":[{"n":"0","sv":"ACME"},{"n":"6/0","v":1},{"n":"6/1","v":5},{"n":"9","v":80}]}"#;
    let device = read("/3/0", JSON, json);
    assert_eq!(device["resources"][0]["value"], "ACME");
    assert_eq!(
        device["resources"][1]["values"],
        serde_json::json!({"0": 1, "1": 5})
    );
}

#[test]
fn lwm2m_df_003_s_m_a_read_asks_for_the_format_that_is_wanted() {
    let (serve, mut peer) = scripted_client();
    for (name, number) in [("text", 0), ("tlv", 11542), ("json", 11543)] {
        let path = format!("a/3/0/9?format={name}");
        let ask = ("GET", path.as_str(), "");
        let (got, _) = exchange(&serve, &mut peer, ask, "GET /3/0/9", |peer, got| {
            peer.answer(got, Code::CONTENT, &in_format(TEXT), b"80");
        });
        assert_eq!(got.accept(), Some(number), "{name}");
    }
}

#[test]
fn lwm2m_df_001_c_o_plain_text() {
    let (mut server, _device, client) = scripted_server();
    for (target, text) in [
        ("/33555/0/0", "first"),
        ("/33555/0/1", "-70000"),
        ("/33555/0/2", "2.5"),
        ("/33555/0/3", "1"),
        ("/33555/0/4", "AQL/"),
        ("/33555/0/5", "1700000000"),
        ("/33555/0/6", "3:0"),
    ] {
        let answer = server.ask(client, &format!("GET {target}"), &accepting(TEXT), b"");
        assert_eq!((answer.code, answer.text().as_str()), (Code::CONTENT, text));
        let put = format!("PUT {target}");
        let payload = text.as_bytes();
        assert_eq!(
            server.code(client, &put, &in_format(TEXT), payload),
            Code::CHANGED,
            "{target}"
        );
    }
}

#[test]
fn lwm2m_df_002_c_o_opaque() {
    let (mut server, _device, client) = scripted_server();
    let bytes = server.ask(client, "GET /33555/0/4", &accepting(OPAQUE), b"");
    assert_eq!(
        (bytes.format(), bytes.payload.as_slice()),
        (Some(42), &b"\x01\x02\xff"[..])
    );
    let unasked = server.ask(client, "GET /33555/0/4", &[], b"");
    assert_eq!(
        unasked.format(),
        Some(42),
        "bytes by themselves are told as bytes"
    );
    assert_eq!(
        server.code(client, "PUT /33555/0/4", &in_format(OPAQUE), b"\x00"),
        Code::CHANGED
    );
    assert_eq!(
        server.ask(client, "GET /33555/0/4", &[], b"").payload,
        b"\x00"
    );
    let wrong = server.code(client, "GET /33555/0/1", &accepting(OPAQUE), b"");
    assert_eq!(wrong, Code::NOT_ACCEPTABLE);
    let wrong = server.code(client, "PUT /33555/0/1", &in_format(OPAQUE), b"\x00");
    assert_eq!(wrong, Code::UNSUPPORTED_CONTENT_FORMAT);
}

#[test]
fn lwm2m_df_003_c_m_tlv() {
    let (mut server, _device, client) = scripted_server();
    let mut read = |target: &str| {
        let answer = server.ask(client, &format!("GET {target}"), &accepting(TLV), b"");
        assert_eq!((answer.code, answer.format()), (Code::CONTENT, Some(11542)));
        answer.payload
    };
    assert_eq!(read("/33555/0/1"), b"\xc4\x01\xff\xfe\xee\x90");
    assert_eq!(read("/33555/0/7"), b"\x87\x07\x41\x00\x01\x42\x05\xfe\xd4");
    assert!(
        read("/3303").starts_with(b"\x08\x00"),
        "an instance around the Resources"
    );
    let answer = server.code(client, "PUT /33555/0/1", &in_format(TLV), b"\xc1\x01\x05");
    assert_eq!(answer, Code::CHANGED);
    assert_eq!(server.ask(client, "GET /33555/0/1", &[], b"").text(), "5");
    for bad in [
        &b"\xc1"[..],
        b"\xc8\x01\xff\x00",
        b"\x41\x01\x05",
        b"\x82\x01\x41\x00",
    ] {
        let code = server.code(client, "PUT /33555/0/1", &in_format(TLV), bad);
        assert_eq!(code, Code::BAD_REQUEST, "{bad:02x?}");
    }
}

#[test]
fn lwm2m_df_004_c_o_json() {
    let (mut server, _device, client) = scripted_server();
    let answer = server.ask(client, "GET /3/0/6", &accepting(JSON), b"");
    assert_eq!(answer.format(), Some(11543));
    let json: Json = serde_json::from_slice(&answer.payload).expect("JSON");
    assert_eq!(json["e"].as_array().map(Vec::len), Some(2));
    let write =
        br#"{"bn":"/33555/0/","e":[{"n":"1","v":5},{"n":"3","bv":false},{"n":"0","sv":"x"}]}"#;
    let code = server.code(client, "POST /33555/0", &in_format(JSON), write);
    assert_eq!(code, Code::CHANGED);
    assert_eq!(server.ask(client, "GET /33555/0/3", &[], b"").text(), "0");
    for bad in [&b"{"[..], b"[]", b"{\"e\":{}}", b"\xff"] {
        let code = server.code(client, "POST /33555/0", &in_format(JSON), bad);
        assert_eq!(code, Code::BAD_REQUEST, "{bad:02x?}");
    }
}

#[test]
fn tx_08_instances_and_multiple_resources_have_their_own_entries_whatever_their_number() {
    let (mut server, _device, client) = scripted_server();
    let object = server.ask(client, "GET /1", &accepting(TLV), b"").payload;
    assert_eq!(
        object[0] >> 6,
        0b00,
        "one instance of Object 1, with its entry"
    );
    let errors = server
        .ask(client, "GET /3/0/11", &accepting(TLV), b"")
        .payload;
    assert_eq!(
        errors, b"\x83\x0b\x41\x00\x00",
        "one error code, and a multiple Resource"
    );
}

// Both: ETS 201 to 220 through REST.

#[test]
fn int_201_read_in_plain_text() {
    let (serve, _device) = both();
    assert_eq!(serve.value("device/3/0/0?format=text"), "dunlin");
    assert_eq!(serve.value("device/3/0/9?format=text"), 80);
}

#[test]
fn int_202_read_in_opaque() {
    let (serve, _device) = both();
    assert_eq!(serve.value("device/33555/0/4?format=opaque"), "AQL/");
}

#[test]
fn int_203_read_in_tlv() {
    let (serve, _device) = both();
    let device = serve.operate("GET", "device/3/0?format=tlv", "", "2.05");
    assert_eq!(device["node"]["resources"][0]["value"], "dunlin");
}

#[test]
fn int_204_read_in_json() {
    let (serve, _device) = both();
    let device = serve.operate("GET", "device/3/0?format=json", "", "2.05");
    assert_eq!(device["node"]["resources"][0]["value"], "dunlin");
    let link = serve.value("device/33555/0/6?format=json");
    assert_eq!(link, "3:0");
}

/// A scripted Server writes the lifetime in this format, and reads it back.
fn write(line: &str, format: &[u8], payload: &[u8], target: &str, text: &str) {
    let (mut server, _device, client) = scripted_server();
    assert_eq!(
        server.code(client, line, &in_format(format), payload),
        Code::CHANGED
    );
    let now = server.ask(client, &format!("GET {target}"), &accepting(TEXT), b"");
    assert_eq!(now.text(), text);
}

#[test]
fn int_205_write_in_plain_text() {
    write("PUT /1/0/1", TEXT, b"900", "/1/0/1", "900");
}

#[test]
fn int_210_write_in_opaque() {
    write("PUT /33555/0/4", OPAQUE, b"\x05\x06", "/33555/0/4", "BQY=");
}

#[test]
fn int_215_write_in_tlv() {
    write(
        "POST /1/0",
        TLV,
        b"\xc2\x01\x03\x84\xc1\x02\x05",
        "/1/0/2",
        "5",
    );
}

#[test]
fn int_220_write_in_json() {
    let json = br#"{"bn":"/1/0/","e":[{"n":"1","v":900},{"n":"2","v":7}]}"#;
    write("POST /1/0", JSON, json, "/1/0/2", "7");
}
