//! The Bootstrap interface (TS 1.0 §5.2).

use std::net::SocketAddr;

use dunlin_client::{Config, Credentials, Event, Factory};
use dunlin_coap::{Code, MessageType};
use dunlin_lwm2m::operation::Binding;

use crate::common::{Device, Got, LINK, Peer, TEXT, TLV, accepting, in_format};

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
