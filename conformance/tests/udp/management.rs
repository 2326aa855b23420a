//! The Device Management & Service Enablement interface (TS 1.0 §5.4).

use dunlin_client::Event;
use dunlin_coap::{Code, MessageType, OptionNumber};

use crate::common::{
    LINK, Serve, TEXT, TLV, accepting, both, exchange, in_format, integers, scripted_client,
    scripted_server,
};

// The Server, answered by a scripted Client.

#[test]
fn lwm2m_dmse_001_s_m_read() {
    let (serve, mut peer) = scripted_client();
    let ask = ("GET", "a/3/0/9", "");
    let (got, reply) = exchange(&serve, &mut peer, ask, "GET /3/0/9", |peer, got| {
        peer.answer(got, Code::CONTENT, &in_format(TEXT), b"80");
    });
    assert_eq!(got.message_type, MessageType::Confirmable);
    assert_eq!((got.accept(), got.observe()), (Some(11542), None));
    assert_eq!((reply.status, reply.coap.as_str()), (200, "2.05"));
    assert_eq!(reply.json["node"]["value"], 80);
    for (code, status) in [
        (Code::BAD_REQUEST, 400),
        (Code::UNAUTHORIZED, 403),
        (Code::NOT_FOUND, 404),
        (Code::METHOD_NOT_ALLOWED, 405),
        (Code::INTERNAL_SERVER_ERROR, 502),
    ] {
        let (_, reply) = exchange(&serve, &mut peer, ask, "GET /3/0/9", |peer, got| {
            peer.answer(got, code, &[], b"");
        });
        assert_eq!(reply.status, status, "{code:?}");
    }
}

#[test]
fn lwm2m_dmse_002_s_m_discover() {
    let (serve, mut peer) = scripted_client();
    let ask = ("GET", "a/3/0/discover", "");
    let (got, reply) = exchange(&serve, &mut peer, ask, "GET /3/0", |peer, got| {
        let links = b"</3/0>;pmin=10,</3/0/6>;dim=2,</3/0/9>;gt=50.5;lt=-3";
        peer.answer(got, Code::CONTENT, &in_format(LINK), links);
    });
    assert_eq!(got.accept(), Some(40));
    let links = &reply.json["links"];
    assert_eq!(links[0]["attributes"]["pmin"], 10, "{links}");
    assert_eq!(links[1]["dim"], 2);
    assert_eq!(links[2]["attributes"]["gt"], 50.5);
}

#[test]
fn lwm2m_dmse_003_s_m_write_replaces_with_put_and_updates_with_post() {
    let (serve, mut peer) = scripted_client();
    let body = "{\"resources\":[{\"id\":1,\"value\":60}]}";
    for (method, line) in [("PUT", "PUT /1/0"), ("PATCH", "POST /1/0")] {
        let ask = (method, "a/1/0", body);
        let (got, reply) = exchange(&serve, &mut peer, ask, line, |peer, got| {
            peer.answer(got, Code::CHANGED, &[], b"");
        });
        assert_eq!(
            (got.format(), got.payload.as_slice()),
            (Some(11542), &b"\xc1\x01\x3c"[..])
        );
        assert_eq!(reply.status, 204);
    }
}

/// What Write-Attributes with this query is on the wire.
fn attribute(query: &str) {
    let (serve, mut peer) = scripted_client();
    let path = format!("a/3303/0/5700/attributes?{query}");
    let ask = ("PUT", path.as_str(), "");
    let (got, reply) = exchange(&serve, &mut peer, ask, "PUT /3303/0/5700", |peer, got| {
        peer.answer(got, Code::CHANGED, &[], b"");
    });
    assert_eq!(got.line(), format!("PUT /3303/0/5700?{query}"));
    assert_eq!((got.format(), got.payload.len()), (None, 0));
    assert_eq!(reply.status, 204);
}

#[test]
fn lwm2m_dmse_004_s_m_write_attributes() {
    attribute("pmin=10&pmax=60&gt=50&lt=42.2&st=1");
}

#[test]
fn lwm2m_dmse_005_s_m_minimum_period() {
    attribute("pmin=10");
}

#[test]
fn lwm2m_dmse_006_s_m_maximum_period() {
    attribute("pmax=60");
}

#[test]
fn lwm2m_dmse_007_s_m_greater_than() {
    attribute("gt=-42.5");
}

#[test]
fn lwm2m_dmse_008_s_m_less_than() {
    attribute("lt=0.5");
}

#[test]
fn lwm2m_dmse_009_s_m_step() {
    attribute("st=2.5");
}

#[test]
fn lwm2m_dmse_010_s_m_execute() {
    let (serve, mut peer) = scripted_client();
    for (body, payload) in [("{}", ""), ("{\"arguments\":\"0='x',1\"}", "0='x',1")] {
        let ask = ("POST", "a/3/0/4", body);
        let (got, reply) = exchange(&serve, &mut peer, ask, "POST /3/0/4", |peer, got| {
            peer.answer(got, Code::CHANGED, &[], b"");
        });
        assert_eq!(got.text(), payload);
        assert_eq!(reply.status, 204);
    }
}

#[test]
fn lwm2m_dmse_011_s_m_create_with_a_number_and_without() {
    let (serve, mut peer) = scripted_client();
    let created = |path: &'static [u8]| {
        [
            (OptionNumber::LOCATION_PATH, &b"3303"[..]),
            (OptionNumber::LOCATION_PATH, path),
        ]
    };
    let ask = (
        "POST",
        "a/3303",
        "{\"resources\":[{\"id\":5701,\"value\":\"C\"}]}",
    );
    let (got, reply) = exchange(&serve, &mut peer, ask, "POST /3303", |peer, got| {
        peer.answer(got, Code::CREATED, &created(b"4"), b"");
    });
    assert_eq!(
        got.payload, b"\xe1\x16\x45C",
        "Resources alone: the Client chooses the number"
    );
    assert_eq!(
        (reply.status, &reply.json["path"]),
        (201, &"/3303/4".into())
    );
    let ask = (
        "POST",
        "a/3303",
        "{\"id\":7,\"resources\":[{\"id\":5701,\"value\":\"C\"}]}",
    );
    let (got, _) = exchange(&serve, &mut peer, ask, "POST /3303", |peer, got| {
        peer.answer(got, Code::CREATED, &created(b"7"), b"");
    });
    assert_eq!(got.payload, b"\x04\x07\xe1\x16\x45C");
}

#[test]
fn lwm2m_dmse_012_s_m_delete() {
    let (serve, mut peer) = scripted_client();
    let ask = ("DELETE", "a/3303/0", "");
    let (got, reply) = exchange(&serve, &mut peer, ask, "DELETE /3303/0", |peer, got| {
        peer.answer(got, Code::DELETED, &[], b"");
    });
    assert_eq!((got.payload.len(), reply.status), (0, 204));
}

#[test]
fn tx_04_the_server_asks_under_the_alternate_path() {
    let (serve, mut peer) = (Serve::strict(), crate::common::Peer::new());
    let links = "</lwm2m>;rt=\"oma.lwm2m\",</lwm2m/1/0>,</lwm2m/3/0>";
    let answer = peer.register_with(serve.coap, "ep=a&lt=600&lwm2m=1.0", links);
    assert_eq!(answer.code, Code::CREATED);
    let ask = ("GET", "a/3/0/9", "");
    let (_, reply) = exchange(&serve, &mut peer, ask, "GET /lwm2m/3/0/9", |peer, got| {
        peer.answer(got, Code::CONTENT, &in_format(TEXT), b"80");
    });
    assert_eq!(reply.json["path"], "/3/0/9");
}

// The Client, asked by a scripted Server.

#[test]
fn lwm2m_dmse_001_c_m_read_at_every_level_and_what_it_refuses() {
    let (mut server, _device, client) = scripted_server();
    for (target, format) in [
        ("/3", 11542),
        ("/3/0", 11542),
        ("/3/0/6", 11542),
        ("/3/0/0", 0),
    ] {
        let answer = server.ask(client, &format!("GET {target}"), &[], b"");
        assert_eq!(
            (answer.code, answer.format()),
            (Code::CONTENT, Some(format)),
            "{target}"
        );
    }
    for (target, code) in [
        ("/5", Code::NOT_FOUND),
        ("/3/1", Code::NOT_FOUND),
        ("/3/0/99", Code::NOT_FOUND),
        ("/3/0/4", Code::METHOD_NOT_ALLOWED),
        ("/0", Code::UNAUTHORIZED),
        ("/0/0/5", Code::UNAUTHORIZED),
        ("/", Code::METHOD_NOT_ALLOWED),
        ("/rd", Code::NOT_FOUND),
    ] {
        assert_eq!(
            server.code(client, &format!("GET {target}"), &[], b""),
            code,
            "{target}"
        );
    }
    let text = accepting(TEXT);
    assert_eq!(
        server.code(client, "GET /3/0", &text, b""),
        Code::NOT_ACCEPTABLE
    );
}

#[test]
fn lwm2m_dmse_002_c_m_discover_at_every_level() {
    let (mut server, _device, client) = scripted_server();
    let write = "PUT /33555/0/7?pmin=10";
    assert_eq!(server.code(client, write, &[], b""), Code::CHANGED);
    assert_eq!(
        server.code(client, "PUT /33555?pmax=60", &[], b""),
        Code::CHANGED
    );
    let mut discover = |target: &str| {
        let answer = server.ask(client, &format!("GET {target}"), &accepting(LINK), b"");
        assert_eq!((answer.code, answer.format()), (Code::CONTENT, Some(40)));
        answer.text()
    };
    let resources: String = (0..=8).map(|id| format!(",</33555/0/{id}>")).collect();
    assert_eq!(
        discover("/33555"),
        format!("</33555>;ver=1.1;pmax=60,</33555/0>{resources}")
    );
    let dim = resources.replace("</33555/0/7>", "</33555/0/7>;dim=2;pmin=10");
    assert_eq!(discover("/33555/0"), format!("</33555/0>{dim}"));
    assert_eq!(discover("/33555/0/7"), "</33555/0/7>;dim=2;pmin=10;pmax=60");
}

#[test]
fn lwm2m_dmse_003_c_m_write_replaces_updates_and_refuses_as_a_whole() {
    let (mut server, _device, client) = scripted_server();
    let tlv = in_format(TLV);
    // What is read-only spoils the whole Write.
    let spoilt = b"\xc1\x01\x3c\xc1\x00\x07";
    assert_eq!(
        server.code(client, "POST /1/0", &tlv, spoilt),
        Code::METHOD_NOT_ALLOWED
    );
    assert_eq!(server.ask(client, "GET /1/0/1", &[], b"").text(), "600");
    assert_eq!(
        server.code(client, "POST /1/0", &tlv, b"\xc1\x01\x3c"),
        Code::CHANGED
    );
    assert_eq!(server.ask(client, "GET /1/0/1", &[], b"").text(), "60");
    // A Replace takes the optional Resources away that it does not name.
    assert_eq!(
        server.code(client, "PUT /33555/0", &tlv, b"\xc1\x00x"),
        Code::CHANGED
    );
    assert_eq!(
        server.code(client, "GET /33555/0/1", &[], b""),
        Code::NOT_FOUND
    );
    for (line, options, payload, code) in [
        (
            "PUT /3303",
            &tlv[..],
            &b"\xc1\x00x"[..],
            Code::METHOD_NOT_ALLOWED,
        ),
        (
            "PUT /3303/0/5700",
            &in_format(TEXT),
            b"1",
            Code::METHOD_NOT_ALLOWED,
        ),
        ("PUT /1/0/1", &in_format(TEXT), b"soon", Code::BAD_REQUEST),
        ("PUT /1/0/1", &[], b"60", Code::BAD_REQUEST),
        (
            "PUT /1/0/1",
            &in_format(&[60]),
            b"\x18\x3c",
            Code::UNSUPPORTED_CONTENT_FORMAT,
        ),
        ("PUT /1/7/1", &in_format(TEXT), b"60", Code::NOT_FOUND),
        (
            "PUT /0/0/0",
            &in_format(TEXT),
            b"coap://elsewhere",
            Code::UNAUTHORIZED,
        ),
    ] {
        assert_eq!(server.code(client, line, options, payload), code, "{line}");
    }
}

#[test]
fn lwm2m_dmse_004_c_m_write_attributes_and_what_it_refuses() {
    let (mut server, _device, client) = scripted_server();
    for (line, code) in [
        (
            "PUT /3303/0/5700?pmin=1&pmax=5&gt=50&lt=42.2&st=1",
            Code::CHANGED,
        ),
        ("PUT /3303/0/5700?st", Code::CHANGED),
        ("PUT /3303?pmin=10", Code::CHANGED),
        ("PUT /3303/0?pmin=10&pmax=5", Code::CHANGED),
        ("PUT /3303/0/5700?gt=1", Code::BAD_REQUEST),
        ("PUT /3303/0?gt=1", Code::BAD_REQUEST),
        ("PUT /3303/0/5701?gt=1", Code::BAD_REQUEST),
        ("PUT /3303/0/5700?pmin=-1", Code::BAD_REQUEST),
        ("PUT /3303/0/5700?dim=1", Code::BAD_REQUEST),
        ("PUT /3303/0/5700?color=1", Code::BAD_REQUEST),
        ("PUT /3/0/4?pmin=1", Code::METHOD_NOT_ALLOWED),
        ("PUT /3303/7?pmin=1", Code::NOT_FOUND),
        ("PUT /0/0?pmin=1", Code::UNAUTHORIZED),
    ] {
        assert_eq!(server.code(client, line, &[], b""), code, "{line}");
    }
    let both = server.code(client, "PUT /3303/0/5700?pmin=1", &in_format(TEXT), b"7");
    assert_eq!(both, Code::BAD_REQUEST, "attributes and a value");
}

#[test]
fn lwm2m_dmse_011_c_m_execute_with_arguments_and_what_it_refuses() {
    let (mut server, device, client) = scripted_server();
    let text = in_format(TEXT);
    assert_eq!(
        server.code(
            client,
            "POST /33555/0/8",
            &text,
            b"7,0='https://www.oma.org'"
        ),
        Code::CHANGED
    );
    let executed = device.wait(|event| matches!(event, Event::Executed { .. }));
    let Event::Executed { arguments, .. } = executed else {
        unreachable!("it was waited for");
    };
    assert_eq!(arguments.to_string(), "7,0='https://www.oma.org'");
    for (line, options, payload, code) in [
        ("POST /33555/0/8", &text[..], &b"0='"[..], Code::BAD_REQUEST),
        ("POST /33555/0/8", &text, b"10", Code::BAD_REQUEST),
        (
            "POST /33555/0/8",
            &in_format(TLV),
            b"\xc1\x00x",
            Code::UNSUPPORTED_CONTENT_FORMAT,
        ),
        ("POST /33555/0/0", &[], b"", Code::METHOD_NOT_ALLOWED),
        ("POST /33555/0/99", &[], b"", Code::NOT_FOUND),
    ] {
        assert_eq!(server.code(client, line, options, payload), code, "{line}");
    }
}

#[test]
fn lwm2m_dmse_012_c_m_create_and_what_it_refuses() {
    let (mut server, device, client) = scripted_server();
    let tlv = in_format(TLV);
    let chosen = server.ask(client, "POST /33555", &tlv, b"\xc1\x00x");
    assert_eq!(
        (chosen.code, chosen.location()),
        (Code::CREATED, vec!["33555".into(), "1".into()])
    );
    let given = server.ask(client, "POST /33555", &tlv, b"\x03\x09\xc1\x00x");
    assert_eq!(given.location(), ["33555", "9"]);
    device.wait(|event| matches!(event, Event::Created { .. }));
    for (line, payload, code) in [
        ("POST /33555", &b"\x03\x09\xc1\x00x"[..], Code::BAD_REQUEST),
        ("POST /33555", b"\x23\xff\xff\xc1\x00x", Code::BAD_REQUEST),
        ("POST /33555", b"\x03\x0a\xc1\x01\x05", Code::BAD_REQUEST),
        ("POST /64999", b"\xc1\x00x", Code::NOT_FOUND),
        ("POST /0", b"\xc1\x00x", Code::UNAUTHORIZED),
    ] {
        assert_eq!(server.code(client, line, &tlv, payload), code, "{line}");
    }
    assert_eq!(
        server.code(client, "POST /33555", &[], b"\xc1\x00x"),
        Code::BAD_REQUEST
    );
    assert_eq!(
        server.code(client, "POST /33555", &in_format(LINK), b"x"),
        Code::UNSUPPORTED_CONTENT_FORMAT
    );
}

#[test]
fn tx_09_create_makes_all_instances_or_none() {
    let (mut server, _device, client) = scripted_server();
    // The second has no mandatory Resource.
    let two = b"\x03\x05\xc1\x00x\x03\x06\xc1\x01\x05";
    assert_eq!(
        server.code(client, "POST /33555", &in_format(TLV), two),
        Code::BAD_REQUEST
    );
    assert_eq!(
        server.code(client, "GET /33555/5", &[], b""),
        Code::NOT_FOUND
    );
    let two = b"\x03\x05\xc1\x00x\x03\x06\xc1\x00y";
    assert_eq!(
        server.code(client, "POST /33555", &in_format(TLV), two),
        Code::CREATED
    );
    assert_eq!(server.code(client, "GET /33555/6", &[], b""), Code::CONTENT);
}

#[test]
fn lwm2m_dmse_013_c_m_delete_and_what_it_refuses() {
    let (mut server, _device, client) = scripted_server();
    for (line, code) in [
        ("DELETE /33555/0", Code::DELETED),
        ("DELETE /33555/0", Code::NOT_FOUND),
        ("DELETE /33555", Code::METHOD_NOT_ALLOWED),
        ("DELETE /3303/0/5700", Code::METHOD_NOT_ALLOWED),
        ("DELETE /", Code::METHOD_NOT_ALLOWED),
        ("DELETE /3/0", Code::METHOD_NOT_ALLOWED),
        ("DELETE /0/0", Code::UNAUTHORIZED),
    ] {
        assert_eq!(server.code(client, line, &[], b""), code, "{line}");
    }
}

#[test]
fn tx_05_a_value_of_many_blocks_is_written_and_read() {
    let (serve, _device) = both();
    // 3000 bytes in base64.
    let value = "QUJD".repeat(1000);
    let body = format!("{{\"value\":\"{value}\"}}");
    serve.operate("PUT", "device/33555/0/4", &body, "2.04");
    assert!(serve.value("device/33555/0/4") == value, "another value");
}

#[test]
fn tx_07_the_device_instance_is_never_deleted_nor_made() {
    let (mut server, _device, client) = scripted_server();
    assert_eq!(
        server.code(client, "DELETE /3/0", &[], b""),
        Code::METHOD_NOT_ALLOWED
    );
    assert_eq!(server.code(client, "GET /3/0/0", &[], b""), Code::CONTENT);
}

// Both.

#[test]
fn int_241_executable_resource() {
    let (serve, device) = both();
    serve.operate("POST", "device/3/0/4", "{}", "2.04");
    device.wait(|event| matches!(event, Event::Reboot));
}

#[test]
fn int_260_discover() {
    let (serve, _device) = both();
    serve.operate(
        "PUT",
        "device/3303/0/5700/attributes?pmin=10&gt=50",
        "",
        "2.04",
    );
    let found = serve.operate("GET", "device/3303/0/discover", "", "2.05");
    let links = found["links"].as_array().expect("links");
    let of = |path: &str| {
        links
            .iter()
            .find(|link| link["path"] == path)
            .expect("listed")
    };
    assert_eq!(of("/3303/0/5700")["attributes"]["pmin"], 10);
    assert_eq!(of("/3303/0/5700")["attributes"]["gt"], 50.0);
    assert_eq!(of("/3303/0/5701")["attributes"], serde_json::json!({}));
    let found = serve.operate("GET", "device/33555/discover", "", "2.05");
    assert_eq!(found["links"][0]["version"], "1.1");
}

#[test]
fn int_270_create_an_instance_whose_number_the_client_chooses() {
    let (serve, _device) = both();
    let body = "{\"resources\":[{\"id\":0,\"value\":\"made\"},{\"id\":1,\"value\":7}]}";
    let made = serve.operate("POST", "device/33555", body, "2.01");
    assert_eq!(made["path"], "/33555/1");
    assert_eq!(serve.value("device/33555/1/1"), 7);
    let mut updated = serve.events("updated");
    assert!(
        updated.next()["changes"]["objects"].is_object(),
        "the new list is told"
    );
}

#[test]
fn int_271_create_an_instance_with_a_number() {
    let (serve, _device) = both();
    let body = "{\"id\":9,\"resources\":[{\"id\":0,\"value\":\"made\"}]}";
    let made = serve.operate("POST", "device/33555", body, "2.01");
    assert_eq!(made["path"], "/33555/9");
    assert_eq!(
        serve.ask("POST", "/clients/device/33555", body).coap,
        "4.00",
        "it is there"
    );
}

#[test]
fn int_290_delete_an_instance() {
    let (serve, _device) = both();
    serve.operate("DELETE", "device/33555/0", "", "2.02");
    serve.operate("GET", "device/33555/0", "", "4.04");
}

#[test]
fn int_551_read_and_write_the_server_object() {
    let (serve, _device) = both();
    assert_eq!(serve.value("device/1/0/0"), 1);
    for (resource, value) in [(2, "5"), (3, "120"), (5, "30"), (6, "false"), (1, "300")] {
        serve.operate(
            "PUT",
            &format!("device/1/0/{resource}"),
            &format!("{{\"value\":{value}}}"),
            "2.04",
        );
        assert_eq!(
            serve.value(&format!("device/1/0/{resource}")).to_string(),
            value
        );
    }
    serve.operate("PUT", "device/1/0/0", "{\"value\":9}", "4.05");
}

#[test]
fn int_556_registration_update_trigger() {
    let (serve, device) = both();
    serve.operate("POST", "device/1/0/8", "{}", "2.04");
    device.wait(|event| matches!(event, Event::Updated { changed: false, .. }));
}

#[test]
fn int_565_566_create_and_delete_a_server_instance() {
    let (serve, _device) = both();
    let body = "{\"id\":1,\"resources\":[{\"id\":1,\"value\":300},{\"id\":6,\"value\":true},{\"id\":7,\"value\":\"U\"}]}";
    let made = serve.operate("POST", "device/1", body, "2.01");
    assert_eq!(made["path"], "/1/1");
    assert_eq!(serve.value("device/1/1/1"), 300);
    serve.operate("DELETE", "device/1/1", "", "2.02");
    serve.operate("GET", "device/1/1", "", "4.04");
}

#[test]
fn int_651_query_the_device() {
    let (serve, _device) = both();
    let device = serve.operate("GET", "device/3/0", "", "2.05");
    let resources = device["node"]["resources"].as_array().expect("Resources");
    let of = |id: u16| {
        resources
            .iter()
            .find(|one| one["id"] == id)
            .expect("it has one")
    };
    assert_eq!(of(0)["value"], "dunlin");
    assert_eq!(of(6)["values"], serde_json::json!({"0": 1, "1": 5}));
    assert_eq!(of(11)["values"], serde_json::json!({"0": 0}));
    assert_eq!(of(16)["value"], "UQ");
    assert!(
        resources.iter().all(|one| one["id"] != 4),
        "what is executed is not read"
    );
}

#[test]
fn int_652_query_the_firmware_version() {
    let (serve, _device) = both();
    assert_eq!(serve.value("device/3/0/3"), "1.0");
}

#[test]
fn int_655_reboot() {
    let (serve, device) = both();
    serve.operate("POST", "device/3/0/4", "{}", "2.04");
    device.wait(|event| matches!(event, Event::Reboot));
}

#[test]
fn int_656_factory_reset() {
    let (serve, device) = both();
    serve.operate("POST", "device/3/0/5", "{}", "2.04");
    device.wait(|event| matches!(event, Event::FactoryReset));
}

#[test]
fn int_657_reset_error_code() {
    let (serve, device) = both();
    device.set("/3/0/11", integers(&[(0, 1), (1, 5)]));
    let errors =
        |serve: &Serve| serve.operate("GET", "device/3/0/11", "", "2.05")["node"]["values"].clone();
    assert_eq!(errors(&serve), serde_json::json!({"0": 1, "1": 5}));
    serve.operate("POST", "device/3/0/12", "{}", "2.04");
    assert_eq!(errors(&serve), serde_json::json!({"0": 0}));
}

#[test]
fn int_670_set_the_time() {
    let (serve, _device) = both();
    serve.operate("PUT", "device/3/0/13", "{\"value\":1367491215}", "2.04");
    let now = serve.value("device/3/0/13").as_i64().expect("a time");
    assert!((1_367_491_215..1_367_491_315).contains(&now), "{now}");
}

#[test]
fn int_680_the_device_cannot_be_created() {
    let (serve, _device) = both();
    serve.operate(
        "POST",
        "device/3",
        "{\"resources\":[{\"id\":14,\"value\":\"+01:00\"}]}",
        "4.05",
    );
}

#[test]
fn int_685_the_device_cannot_be_deleted() {
    let (serve, _device) = both();
    serve.operate("DELETE", "device/3/0", "", "4.05");
}
