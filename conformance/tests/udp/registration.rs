//! The Client Registration interface (TS 1.0 §5.3).

use std::net::SocketAddr;

use dunlin_client::Event;
use dunlin_coap::{Code, MessageType, OptionNumber};
use dunlin_lwm2m::operation::{Binding, SmsNumber};

use crate::common::{Device, Got, LINKS, Peer, Serve, both};

/// Parameters that a Server must take.
fn named(name: &str) -> String {
    format!("ep={name}&lt=600&lwm2m=1.0")
}

const CF_LINK: &[(OptionNumber, &[u8])] = &[(OptionNumber::CONTENT_FORMAT, &[40])];

/// A scripted Server, and our Client that has registered with it: what it said.
fn registered_client() -> (Peer, Device, Got) {
    let mut server = Peer::new();
    let device = Device::start("device", &[server.address()], Binding::U, |_, _| {});
    let register = server.take_register();
    device.wait(|event| matches!(event, Event::Registered { .. }));
    (server, device, register)
}

// The Server, asked by a scripted Client.

#[test]
fn lwm2m_cr_001_s_m_register_is_answered_with_a_location() {
    let (serve, mut peer) = (Serve::strict(), Peer::new());
    let answer = peer.register_with(serve.coap, &named("lamp"), LINKS);
    assert_eq!(answer.code, Code::CREATED);
    let location = answer.location();
    assert_eq!((location.len(), location[0].as_str()), (2, "rd"));
    assert_eq!(
        serve.get("/clients/lamp")["address"],
        peer.address().to_string()
    );
}

#[test]
fn lwm2m_cr_002_s_m_the_name_is_demanded_and_kept() {
    let (serve, mut peer) = (Serve::strict(), Peer::new());
    for without in [
        "lt=600&lwm2m=1.0",
        "ep=&lt=600&lwm2m=1.0",
        "ep=a&ep=b&lt=600&lwm2m=1.0",
    ] {
        let answer = peer.register_with(serve.coap, without, LINKS);
        assert_eq!(answer.code, Code::BAD_REQUEST, "{without}");
    }
    let name = "urn:imei:490154203237518";
    peer.register(serve.coap, &named(name));
    assert_eq!(serve.get(&format!("/clients/{name}"))["endpoint"], name);
}

#[test]
fn lwm2m_cr_003_s_m_the_lifetime_is_demanded_and_kept_to() {
    let (serve, mut peer) = (Serve::strict(), Peer::new());
    for wrong in [
        "ep=a&lwm2m=1.0",
        "ep=a&lwm2m=1.0&lt=",
        "ep=a&lwm2m=1.0&lt=x",
        "ep=a&lwm2m=1.0&lt=0",
    ] {
        let answer = peer.register_with(serve.coap, wrong, LINKS);
        assert_eq!(answer.code, Code::BAD_REQUEST, "{wrong}");
    }
    let location = peer.register(serve.coap, "ep=short&lt=1&lwm2m=1.0");
    assert_eq!(serve.get("/clients/short")["lifetime_s"], 1);
    let expired = serve.events("expired").next();
    assert_eq!(expired["endpoint"], "short");
    let update = format!("POST {location}");
    assert_eq!(peer.code(serve.coap, &update, &[], b""), Code::NOT_FOUND);
}

#[test]
fn lwm2m_cr_004_s_m_the_version_is_demanded_and_must_be_served() {
    let (serve, mut peer) = (Serve::strict(), Peer::new());
    for (version, code) in [
        ("", Code::BAD_REQUEST),
        ("&lwm2m=x", Code::BAD_REQUEST),
        ("&lwm2m=1.1", Code::PRECONDITION_FAILED),
        ("&lwm2m=2.0", Code::PRECONDITION_FAILED),
        ("&lwm2m=1.0", Code::CREATED),
    ] {
        let answer = peer.register_with(serve.coap, &format!("ep=a&lt=600{version}"), LINKS);
        assert_eq!(answer.code, code, "{version}");
    }
}

#[test]
fn lwm2m_cr_005_s_m_the_binding_is_kept_and_one_of_six() {
    let (serve, mut peer) = (Serve::strict(), Peer::new());
    for (binding, kept) in [("", "U"), ("&b=U", "U"), ("&b=UQ", "UQ"), ("&b=UQS", "UQS")] {
        peer.register(serve.coap, &(named("a") + binding));
        assert_eq!(serve.get("/clients/a")["binding"], kept);
    }
    let answer = peer.register_with(serve.coap, &(named("a") + "&b=UQSQ"), LINKS);
    assert_eq!(answer.code, Code::BAD_REQUEST);
}

#[test]
fn lwm2m_cr_006_s_m_the_number_for_sms_is_kept() {
    let (serve, mut peer) = (Serve::strict(), Peer::new());
    peer.register(serve.coap, &(named("a") + "&b=UQS&sms=491701234567"));
    assert_eq!(serve.get("/clients/a")["sms_number"], "491701234567");
    let answer = peer.register_with(serve.coap, &(named("a") + "&sms=null"), LINKS);
    assert_eq!(answer.code, Code::BAD_REQUEST);
}

#[test]
fn lwm2m_cr_007_s_m_the_list_of_objects_is_demanded_and_unknown_ones_are_no_fault() {
    let (serve, mut peer) = (Serve::strict(), Peer::new());
    let links =
        "</>;rt=\"oma.lwm2m\",</1/0>,</3/0>,</64999/7>,</5>,</33555>;ver=\"9.9\",</33555/1>";
    let answer = peer.register_with(serve.coap, &named("a"), links);
    assert_eq!(answer.code, Code::CREATED, "{}", answer.text());
    let objects = serve.get("/clients/a")["objects"].clone();
    assert_eq!(objects["64999"]["instances"][0], 7);
    assert_eq!(objects["33555"]["version"], "9.9");
    assert_eq!(objects["5"]["instances"], serde_json::json!([]));
    let answer = peer.register_with(serve.coap, &named("a"), "");
    assert_eq!(answer.code, Code::BAD_REQUEST);
}

#[test]
fn lwm2m_cr_008_s_m_update_changes_what_it_names_and_keeps_the_rest() {
    let (serve, mut peer) = (Serve::strict(), Peer::new());
    let location = peer.register(serve.coap, &(named("a") + "&b=UQ"));
    let at = |rest: &str| format!("POST {location}{rest}");
    assert_eq!(peer.code(serve.coap, &at(""), &[], b""), Code::CHANGED);
    assert_eq!(
        peer.code(serve.coap, &at("?lt=900"), &[], b""),
        Code::CHANGED
    );
    let links = b"</1/0>,</3/0>,</3303/0>,</3303/1>";
    assert_eq!(
        peer.code(serve.coap, &at(""), CF_LINK, links),
        Code::CHANGED
    );
    let client = serve.get("/clients/a");
    assert_eq!(
        (&client["lifetime_s"], &client["binding"]),
        (&900.into(), &"UQ".into())
    );
    assert_eq!(
        client["objects"]["3303"]["instances"],
        serde_json::json!([0, 1])
    );
    for (line, code) in [
        ("POST /rd/0000000000000000000000000Z", Code::NOT_FOUND),
        ("POST /rd/nobody", Code::NOT_FOUND),
        (at("?ep=b").as_str(), Code::BAD_REQUEST),
        (at("?lwm2m=1.0").as_str(), Code::BAD_REQUEST),
        (format!("PUT {location}").as_str(), Code::METHOD_NOT_ALLOWED),
    ] {
        assert_eq!(peer.code(serve.coap, line, &[], b""), code, "{line}");
    }
}

#[test]
fn lwm2m_cr_009_s_m_deregister_ends_the_registration() {
    let (serve, mut peer) = (Serve::strict(), Peer::new());
    let location = peer.register(serve.coap, &named("a"));
    let leave = format!("DELETE {location}");
    assert_eq!(peer.code(serve.coap, &leave, &[], b""), Code::DELETED);
    assert_eq!(serve.events("deregistered").next()["endpoint"], "a");
    assert_eq!(serve.ask("GET", "/clients/a", "").status, 404);
    assert_eq!(peer.code(serve.coap, &leave, &[], b""), Code::NOT_FOUND);
}

#[test]
fn tx_02_a_second_register_takes_the_place_of_the_first() {
    let (serve, mut first, mut second) = (Serve::strict(), Peer::new(), Peer::new());
    let before = first.register(serve.coap, &named("a"));
    let after = second.register(serve.coap, &named("a"));
    assert_ne!(before, after);
    assert_eq!(
        first.code(serve.coap, &format!("POST {before}"), &[], b""),
        Code::NOT_FOUND
    );
    assert_eq!(
        second.code(serve.coap, &format!("POST {after}"), &[], b""),
        Code::CHANGED
    );
    let mut events = serve.events("registered");
    let replaced = (
        events.next()["registration_id"].clone(),
        events.next()["replaced"].clone(),
    );
    assert_eq!(replaced.0, replaced.1);
}

#[test]
fn lwm2m_mec_002_s_m_hostile_datagrams_do_not_keep_the_server_from_serving() {
    let (serve, mut peer) = (Serve::strict(), Peer::new());
    for bytes in [
        &b""[..],
        b"\xff",
        b"\x40\x02\x00",
        b"\x4f\x02\x00\x01",
        b"\x40\x02\x00\x01\xff",
        &[0x7f; 1400],
    ] {
        peer.send_bytes(serve.coap, bytes);
    }
    peer.register(serve.coap, &named("a"));
}

#[test]
fn lwm2m_sec_005_s_m_without_security_only_where_it_is_allowed() {
    let serve = Serve::with(|config| config.server.nosec = dunlin_node::config::NoSec::Off);
    let mut peer = Peer::new();
    let mut refused = serve.news("refused");
    peer.request(
        serve.coap,
        MessageType::Confirmable,
        &format!("POST /rd?{}", named("a")),
        CF_LINK,
        LINKS.as_bytes(),
    );
    assert_eq!(refused.next()["type"], "refused");
    assert_eq!(serve.ask("GET", "/clients/a", "").status, 404);
    let serve = Serve::strict();
    peer.register(serve.coap, &named("a"));
    assert_eq!(serve.get("/clients/a")["security"], "nosec");
}

// The Client, with a scripted Server.

#[test]
fn lwm2m_cr_001_c_m_the_client_registers_with_one_confirmable_request() {
    let (_server, _device, register) = registered_client();
    assert_eq!(register.message_type, MessageType::Confirmable);
    assert_eq!(register.format(), Some(40));
}

#[test]
fn lwm2m_cr_002_003_004_005_c_m_the_parameters_of_a_register() {
    let (_server, _device, register) = registered_client();
    assert_eq!(
        register.queries(),
        ["ep=device", "lt=600", "lwm2m=1.0", "b=U"]
    );
}

#[test]
fn lwm2m_cr_006_c_o_the_number_for_sms_is_told() {
    let mut server = Peer::new();
    let _device = Device::start("device", &[server.address()], Binding::U, |_, config| {
        config.sms_number = SmsNumber::new("491701234567");
    });
    let register = server.take_register();
    assert!(register.queries().contains(&"sms=491701234567".into()));
}

#[test]
fn lwm2m_cr_007_0011_0012_c_m_the_list_has_all_objects_but_security_and_versions_above_1_0() {
    let (_server, _device, register) = registered_client();
    assert_eq!(
        register.text(),
        "</1/0>,</3/0>,</3303/0>,</33555>;ver=1.1,</33555/0>"
    );
}

#[test]
fn lwm2m_cr_008_c_m_what_changes_is_told_and_nothing_else() {
    let (mut server, _device, register) = registered_client();
    let client = register.from;
    assert_eq!(server.code(client, "POST /1/0/8", &[], b""), Code::CHANGED);
    let update = server.hear_request("POST /rd/here");
    assert_eq!(
        (update.line().as_str(), update.text().as_str()),
        ("POST /rd/here", "")
    );
    assert_eq!(update.message_type, MessageType::Confirmable);
    server.answer(&update, Code::CHANGED, &[], b"");
    let text = &[(OptionNumber::CONTENT_FORMAT, &b""[..])];
    assert_eq!(
        server.code(client, "PUT /1/0/1", text, b"20"),
        Code::CHANGED
    );
    let update = server.hear_request("POST /rd/here");
    assert_eq!(
        (update.line().as_str(), update.text().as_str()),
        ("POST /rd/here?lt=20", "")
    );
    server.answer(&update, Code::CHANGED, &[], b"");
    let tlv = &[(OptionNumber::CONTENT_FORMAT, &11542_u16.to_be_bytes()[..])];
    assert_eq!(
        server.code(client, "POST /33555", tlv, b"\x08\x05\x04\xc2\x00ab"),
        Code::CREATED
    );
    let update = server.hear_request("POST /rd/here");
    assert_eq!(update.line(), "POST /rd/here");
    assert!(update.text().contains("</33555/5>") && update.text().contains("</1/0>"));
    server.answer(&update, Code::CHANGED, &[], b"");
}

#[test]
fn tx_03_an_update_that_is_not_known_is_followed_by_a_register() {
    let (mut server, device, _) = registered_client();
    device.run(|client, now| client.update(now));
    let update = server.hear_request("POST /rd/here");
    server.answer(&update, Code::NOT_FOUND, &[], b"");
    let again = server.take_register();
    assert!(again.queries().contains(&"ep=device".into()));
}

#[test]
fn tx_03_a_client_whose_address_changes_registers_anew() {
    let (mut server, device, _) = registered_client();
    device.moves_to([127, 0, 0, 7].into());
    let again = server.take_register();
    assert!(again.queries().contains(&"ep=device".into()));
}

#[test]
fn lwm2m_cr_009_c_o_the_client_deregisters_when_it_stops() {
    let (mut server, device, _) = registered_client();
    let stopping = std::thread::spawn(move || device.stop());
    let leave = server.hear_request("DELETE /rd/here");
    server.answer(&leave, Code::DELETED, &[], b"");
    stopping.join().expect("it stops");
}

#[test]
fn tx_01_before_its_register_is_answered_the_client_answers_nobody() {
    let mut server = Peer::new();
    let _device = Device::start("device", &[server.address()], Binding::U, |_, _| {});
    let register = server.hear_request("POST /rd");
    let client = register.from;
    let early = server.request(client, MessageType::Confirmable, "GET /3/0/0", &[], b"");
    let location: &[(OptionNumber, &[u8])] = &[(OptionNumber::LOCATION_PATH, b"rd")];
    server.answer(&register, Code::CREATED, location, b"");
    // Datagrams of one pair of sockets do not overtake each other: were there an answer to the
    // early request, it would have come before this one.
    assert_eq!(server.code(client, "GET /3/0/0", &[], b""), Code::CONTENT);
    assert!(!server.has(|got| got.token == early));
}

#[test]
fn tx_04_the_alternate_path_is_told_and_answered_under() {
    let mut server = Peer::new();
    let _device = Device::start("device", &[server.address()], Binding::U, |_, config| {
        config.root = "/lwm2m".into();
    });
    let register = server.take_register();
    assert!(
        register
            .text()
            .starts_with("</lwm2m>;rt=\"oma.lwm2m\",</lwm2m/1/0>"),
        "{}",
        register.text()
    );
    assert_eq!(
        server.code(register.from, "GET /lwm2m/3/0/0", &[], b""),
        Code::CONTENT
    );
}

// Both.

#[test]
fn int_101_registration() {
    let (serve, _device) = both();
    let client = serve.get("/clients/device");
    assert_eq!(
        (&client["version"], &client["binding"]),
        (&"1.0".into(), &"U".into())
    );
    assert_eq!(client["lifetime_s"], 600);
    assert_eq!(client["objects"]["3"]["instances"], serde_json::json!([0]));
    assert!(client["objects"].get("0").is_none(), "Object 0 is nobody's");
}

#[test]
fn int_102_registration_update() {
    let (serve, device) = both();
    serve.operate("PUT", "device/1/0/1", "{\"value\":20}", "2.04");
    let updated = serve.events("updated").next();
    assert_eq!(updated["changes"]["lifetime_s"], 20);
    device.wait(|event| matches!(event, Event::Updated { changed: true, .. }));
    assert_eq!(serve.get("/clients/device")["lifetime_s"], 20);
}

#[test]
fn int_103_deregistration() {
    let (serve, device) = both();
    serve.operate("POST", "device/1/0/4", "{}", "2.04");
    assert_eq!(serve.events("deregistered").next()["endpoint"], "device");
    device.wait(|event| matches!(event, Event::Deregistered { .. }));
}

#[test]
fn int_104_registration_update_trigger() {
    let (serve, device) = both();
    serve.operate("POST", "device/1/0/8", "{}", "2.04");
    device.wait(|event| matches!(event, Event::Updated { changed: false, .. }));
}

#[test]
fn int_555_disable_leaves_and_comes_back_after_the_timeout() {
    let (serve, device) = both();
    serve.operate("PUT", "device/1/0/5", "{\"value\":1}", "2.04");
    serve.operate("POST", "device/1/0/4", "{}", "2.04");
    device.wait(|event| matches!(event, Event::Deregistered { .. }));
    device.wait(|event| matches!(event, Event::Registered { .. }));
    let mut events = serve.events("registered,deregistered");
    let told: Vec<String> = (0..3).map(|_| events.next()["type"].to_string()).collect();
    assert_eq!(
        told,
        ["\"registered\"", "\"deregistered\"", "\"registered\""]
    );
}

#[test]
fn int_950_registration_with_several_servers() {
    let (one, two) = (Serve::strict(), Serve::strict());
    let servers: [SocketAddr; 2] = [one.coap, two.coap];
    let device = Device::registered("device", &servers);
    assert_eq!(one.get("/clients/device")["lifetime_s"], 600);
    assert_eq!(two.get("/clients/device")["lifetime_s"], 600);
    device.stop();
    assert_eq!(one.events("deregistered").next()["endpoint"], "device");
    assert_eq!(two.events("deregistered").next()["endpoint"], "device");
}
