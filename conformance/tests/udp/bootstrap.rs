//! The Bootstrap interface (TS 1.0 §5.2).

use std::net::SocketAddr;

use dunlin_client::{Config, Credentials, Event, Factory};
use dunlin_coap::{Code, MessageType};
use dunlin_lwm2m::operation::Binding;

use crate::common::{Device, Got, LINK, Peer, Serve, TEXT, TLV, accepting, in_format, registered};

/// Our Client with an account of this scripted Bootstrap-Server and no other: what it asked, which
/// is answered.
fn asking(bootstrap_server: &mut Peer) -> (Device, Got) {
    let uri = format!("coap://{}", bootstrap_server.address());
    let account = move |factory: &mut Factory, _: &mut Config| {
        let added = factory.add_bootstrap_server(&uri, &Credentials::NoSec, 0, 0);
        added.expect("an address");
    };
    let device = Device::start("device", &[], Binding::U, account);
    let request = bootstrap_server.hear_request("POST /bs");
    bootstrap_server.answer(&request, Code::CHANGED, &[], b"");
    (device, request)
}

/// Single Resources with short values in TLV.
fn tlv(resources: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (id, value) in resources {
        let length = u8::try_from(value.len()).expect("short");
        bytes.extend([0xc8, *id, length]);
        bytes.extend(*value);
    }
    bytes
}

/// A Security instance without security for this address, with Short Server ID 101.
fn security(server: SocketAddr) -> Vec<u8> {
    let uri = format!("coap://{server}");
    tlv(&[
        (0, uri.as_bytes()),
        (1, &[0]),
        (2, &[3]),
        (3, &[]),
        (4, &[]),
        (5, &[]),
        (10, &[101]),
    ])
}

#[test]
fn int_0_client_initiated_bootstrap() {
    let (mut bootstrap_server, mut server) = (Peer::new(), Peer::new());
    let (device, request) = asking(&mut bootstrap_server);
    assert_eq!(request.line(), "POST /bs?ep=device");
    assert_eq!(request.message_type, MessageType::Confirmable);
    let client = request.from;
    let mut ask = |line: &str, payload: &[u8]| {
        let options = in_format(TLV);
        let options = if payload.is_empty() {
            &[]
        } else {
            &options[..]
        };
        bootstrap_server.code(client, line, options, payload)
    };
    assert_eq!(ask("DELETE /", b""), Code::DELETED);
    assert_eq!(ask("PUT /0/1", &security(server.address())), Code::CHANGED);
    let account = tlv(&[(0, &[101]), (1, &[120]), (6, &[1]), (7, b"U")]);
    assert_eq!(ask("PUT /1/0", &account), Code::CHANGED);
    assert_eq!(
        ask("GET /0/1", b""),
        Code::METHOD_NOT_ALLOWED,
        "no Bootstrap-Read in 1.0"
    );
    let found = bootstrap_server.ask(client, "GET /", &accepting(LINK), b"");
    let listed = found.text();
    assert!(listed.contains("</0/1>;ssid=101"), "{listed}");
    assert!(listed.contains("</1/0>;ssid=101"), "{listed}");
    assert!(!server.has(|_| true), "it registers after the Finish");
    assert_eq!(
        bootstrap_server.code(client, "POST /bs", &[], b""),
        Code::CHANGED
    );
    let register = server.take_register();
    assert!(register.queries().contains(&"lt=120".into()));
    device.wait(|event| matches!(event, Event::Registered { .. }));
}

#[test]
fn lwm2m_boot_016_c_o_a_configuration_without_a_server_is_refused() {
    let mut bootstrap_server = Peer::new();
    let (_device, request) = asking(&mut bootstrap_server);
    let client = request.from;
    let uri = in_format(TEXT);
    let written = bootstrap_server.code(client, "PUT /0/5/0", &uri, b"coap://127.0.0.1");
    assert_eq!(written, Code::CHANGED);
    let finish = bootstrap_server.ask(client, "POST /bs", &[], b"");
    assert_eq!(finish.code, Code::NOT_ACCEPTABLE);
    assert!(!finish.payload.is_empty(), "it says what is wrong");
}

// Our Bootstrap-Server, which answers at the Server's own port too.

/// A strict Server whose profile gives every Client an account of this Server.
fn providing() -> Serve {
    let serve = Serve::strict();
    let profile = serde_json::json!({
        "servers": [{
            "short_server_id": 101,
            "uri": format!("coap://{}", serve.coap),
            "keys": { "mode": "nosec" },
            "lifetime_s": 300,
            "binding": "U",
        }],
    });
    let reply = serve.ask("PUT", "/profiles/everybody", &profile.to_string());
    assert!((200..300).contains(&reply.status), "{reply:?}");
    serve
}

#[test]
fn int_0_client_and_bootstrap_server_of_ours() {
    let serve = providing();
    let uri = format!("coap://{}", serve.coap);
    let account = move |factory: &mut Factory, _: &mut Config| {
        let added = factory.add_bootstrap_server(&uri, &Credentials::NoSec, 0, 0);
        added.expect("an address");
    };
    let device = Device::start("device", &[], Binding::U, account);
    registered(&device);
    assert_eq!(serve.get("/clients/device")["lifetime_s"], 300);
    assert_eq!(serve.value("device/1/0/0"), 101);
    assert_eq!(serve.events("bootstrapped").next()["endpoint"], "device");
    let runs = serve.get("/bootstrap/runs?endpoint=device");
    assert_eq!(runs["runs"][0]["state"], "succeeded", "{runs}");
}

/// Answers what the Bootstrap-Server of ours asks, until it has finished; what it asked.
fn bootstrapped(peer: &mut Peer, finish: Code) -> Vec<String> {
    let mut asked = Vec::new();
    loop {
        let got = peer.hear_where("a step", |got| got.code.is_request());
        assert_eq!(got.message_type, MessageType::Confirmable);
        assert!(!peer.has(|other| other.code.is_request()), "one at a time");
        asked.push(got.line());
        match asked.last().map(String::as_str) {
            Some("POST /bs") => {
                peer.answer(&got, finish, &[], b"");
                return asked;
            }
            // As 1.0 prints it.
            Some("GET /") => {
                let found = b"lwm2m=\"1.0\",</0/0>,</1/0>;ssid=5,</3/0>";
                peer.answer(&got, Code::CONTENT, &in_format(LINK), found);
            }
            Some(line) if line.starts_with("DELETE") => peer.answer(&got, Code::DELETED, &[], b""),
            _ => peer.answer(&got, Code::CHANGED, &[], b""),
        }
    }
}

#[test]
fn bs_d_01_05_06_07_12_the_way_through_a_run() {
    let (serve, mut peer) = (providing(), Peer::new());
    let answer = peer.ask(serve.coap, "POST /bs?ep=a", &[], b"");
    assert_eq!(answer.code, Code::CHANGED);
    let asked = bootstrapped(&mut peer, Code::CHANGED);
    let expected = [
        "GET /",
        "DELETE /0",
        "DELETE /1",
        "PUT /0/1",
        "PUT /1/0",
        "POST /bs",
    ];
    assert_eq!(asked, expected, "around the account that is at /0/0");
    assert_eq!(serve.events("bootstrapped").next()["endpoint"], "a");
}

#[test]
fn bs_d_07_a_configuration_that_the_client_refuses_is_told() {
    let (serve, mut peer) = (providing(), Peer::new());
    assert_eq!(
        peer.code(serve.coap, "POST /bs?ep=a", &[], b""),
        Code::CHANGED
    );
    bootstrapped(&mut peer, Code::NOT_ACCEPTABLE);
    assert_eq!(serve.events("bootstrap_failed").next()["endpoint"], "a");
}

#[test]
fn bs_d_03_who_is_nobody_s_business_is_refused() {
    let (serve, mut peer) = (Serve::strict(), Peer::new());
    for line in ["POST /bs?ep=a", "POST /bs", "POST /bs?ep="] {
        assert_eq!(
            peer.code(serve.coap, line, &[], b""),
            Code::BAD_REQUEST,
            "{line}"
        );
    }
    let profile = serde_json::json!({
        "endpoint": "b",
        "servers": [{ "short_server_id": 1, "uri": "coap://127.0.0.1", "keys": { "mode": "nosec" },
            "lifetime_s": 300, "binding": "U" }],
    });
    assert!(serve.ask("PUT", "/profiles/b", &profile.to_string()).status < 300);
    assert_eq!(
        peer.code(serve.coap, "POST /bs?ep=a", &[], b""),
        Code::BAD_REQUEST
    );
    assert_eq!(
        peer.code(serve.coap, "POST /bs?ep=b", &[], b""),
        Code::CHANGED
    );
}

#[test]
fn bs_d_13_a_profile_with_two_accounts_of_one_number_is_refused() {
    let serve = Serve::strict();
    let account = serde_json::json!({ "short_server_id": 1, "uri": "coap://127.0.0.1",
        "keys": { "mode": "nosec" }, "lifetime_s": 300, "binding": "U" });
    let profile = serde_json::json!({ "servers": [account, account] });
    let reply = serve.ask("PUT", "/profiles/twice", &profile.to_string());
    assert_eq!(
        (reply.status, &reply.json["code"]),
        (400, &"profile_invalid".into())
    );
}
