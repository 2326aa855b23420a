//! Access control, and several Servers on one Client (TS 1.0 §7.3, §5.1).

use dunlin_client::{Event, Factory};
use dunlin_coap::{Code, OptionNumber};
use dunlin_lwm2m::operation::Binding;
use dunlin_lwm2m::{Instance, ObjectId, Resource, Value};
use std::net::SocketAddr;

use crate::common::{Device, LINK, Peer, Serve, TEXT, TLV, accepting, in_format, integers};

/// An instance of Object 2: about this target, with these entries.
fn control(id: u16, target: (u16, u16), owner: u16, entries: &[(u16, i64)]) -> Instance {
    let number = |id: u16, value: u16| Resource::single(id, Value::Integer(value.into()));
    Instance::new(id)
        .with(number(0, target.0))
        .with(number(1, target.1))
        .with(Resource {
            id: 2.into(),
            value: integers(entries),
        })
        .with(number(3, owner))
}

/// Two scripted Servers with one Client. The first owns the sensor and lets the others read; the
/// second may create samplers.
fn two_servers() -> (Peer, Peer, Device, SocketAddr) {
    let (mut one, mut two) = (Peer::new(), Peer::new());
    let servers = [one.address(), two.address()];
    let entries = |factory: &mut Factory| {
        for instance in [
            control(0, (1, 0), 1, &[]),
            control(1, (1, 1), 2, &[]),
            control(2, (3, 0), 1, &[(2, 0b0001)]),
            control(3, (3303, 0), 1, &[(0, 0b0001)]),
            control(4, (33_555, 65_535), 65_535, &[(2, 0b10000)]),
        ] {
            factory
                .add_instance(ObjectId::ACCESS_CONTROL, instance)
                .expect("defined");
        }
    };
    let device = Device::start("device", &servers, Binding::U, |factory, _| {
        entries(factory)
    });
    let client = one.take_register().from;
    two.take_register();
    for _ in servers {
        device.wait(|event| matches!(event, Event::Registered { .. }));
    }
    (one, two, device, client)
}

#[test]
fn lwm2m_sec_008_c_o_rights_are_looked_at_before_operations() {
    let (mut one, mut two, _device, client) = two_servers();
    let text = in_format(TEXT);
    // The owner without an entry has every right, and still cannot write what is read-only.
    assert_eq!(
        one.code(client, "PUT /3/0/14", &text, b"+03:00"),
        Code::CHANGED
    );
    assert_eq!(
        one.code(client, "PUT /3/0/0", &text, b"x"),
        Code::METHOD_NOT_ALLOWED
    );
    // Who may read may read, and nothing else.
    assert_eq!(two.code(client, "GET /3/0/14", &[], b""), Code::CONTENT);
    assert_eq!(
        two.code(client, "PUT /3/0/14", &text, b"+04:00"),
        Code::UNAUTHORIZED
    );
    assert_eq!(
        two.code(client, "PUT /3/0/0", &text, b"x"),
        Code::UNAUTHORIZED
    );
    assert_eq!(
        two.code(client, "POST /3/0/4", &[], b""),
        Code::UNAUTHORIZED
    );
    // The default entry.
    assert_eq!(
        two.code(client, "GET /3303/0/5700", &[], b""),
        Code::CONTENT
    );
    assert_eq!(
        two.code(client, "DELETE /3303/0", &[], b""),
        Code::UNAUTHORIZED
    );
    // Without an instance of Object 2 nobody has a right, and Discover needs none.
    assert_eq!(
        one.code(client, "GET /33555/0", &[], b""),
        Code::UNAUTHORIZED
    );
    assert_eq!(
        one.code(client, "GET /33555/0", &accepting(LINK), b""),
        Code::CONTENT
    );
    assert_eq!(one.code(client, "GET /0/0", &[], b""), Code::UNAUTHORIZED);
}

#[test]
fn lwm2m_obj_003_c_o_who_creates_owns_and_the_owner_lets_others_in() {
    let (mut one, mut two, _device, client) = two_servers();
    let tlv = in_format(TLV);
    let made = b"\x03\x05\xc1\x00x";
    assert_eq!(
        one.code(client, "POST /33555", &tlv, made),
        Code::UNAUTHORIZED
    );
    assert_eq!(two.code(client, "POST /33555", &tlv, made), Code::CREATED);
    assert_eq!(two.code(client, "GET /33555/5/0", &[], b""), Code::CONTENT);
    assert_eq!(
        one.code(client, "GET /33555/5/0", &[], b""),
        Code::UNAUTHORIZED
    );
    // The new instance of Object 2 is /2/5; its owner writes an entry for the other Server.
    let entry = b"\x83\x02\x41\x01\x01";
    assert_eq!(
        one.code(client, "PUT /2/5/2", &tlv, entry),
        Code::UNAUTHORIZED
    );
    assert_eq!(two.code(client, "PUT /2/5/2", &tlv, entry), Code::CHANGED);
    assert_eq!(one.code(client, "GET /33555/5/0", &[], b""), Code::CONTENT);
    assert_eq!(
        two.code(client, "POST /2", &tlv, b"\xc1\x00\x03"),
        Code::UNAUTHORIZED
    );
    assert_eq!(two.code(client, "DELETE /33555/5", &[], b""), Code::DELETED);
    assert_eq!(two.code(client, "GET /2/5", &[], b""), Code::NOT_FOUND);
}

#[test]
fn tx_11_without_the_right_to_read_nothing_is_told() {
    let (mut one, mut two, device, client) = two_servers();
    let observe: &[(OptionNumber, &[u8])] = &[(OptionNumber::OBSERVE, &[])];
    let answer = two.ask(client, "GET /3303/0/5700", observe, b"");
    assert_eq!(answer.code, Code::CONTENT);
    let tlv = in_format(TLV);
    assert_eq!(
        one.code(client, "PUT /2/3/2", &tlv, b"\x83\x02\x41\x00\x00"),
        Code::CHANGED
    );
    device.set("/3303/0/5700", Value::Float(30.0));
    // Datagrams of one pair of sockets do not overtake each other.
    assert_eq!(
        two.code(client, "GET /3303/0/5700", &[], b""),
        Code::UNAUTHORIZED
    );
    assert!(!two.has(|got| got.token == answer.token));
}

#[test]
fn int_951_attributes_of_several_servers_are_apart() {
    let (one, two) = (Serve::strict(), Serve::strict());
    let servers = [one.coap, two.coap];
    let device = Device::start("device", &servers, Binding::U, |factory, _| {
        let all = control(0, (3, 0), 1, &[(1, 0b1111), (2, 0b1111)]);
        factory
            .add_instance(ObjectId::ACCESS_CONTROL, all)
            .expect("defined");
    });
    for _ in servers {
        device.wait(|event| matches!(event, Event::Registered { .. }));
    }
    one.operate("PUT", "device/3/0/attributes?pmin=2&pmax=10", "", "2.04");
    two.operate("PUT", "device/3/0/attributes?pmin=5&pmax=30", "", "2.04");
    let attributes = |serve: &Serve| {
        let found = serve.operate("GET", "device/3/0/discover", "", "2.05");
        found["links"][0]["attributes"].clone()
    };
    assert_eq!(attributes(&one), serde_json::json!({"pmin": 2, "pmax": 10}));
    assert_eq!(attributes(&two), serde_json::json!({"pmin": 5, "pmax": 30}));
}

#[test]
fn tx_18_servers_observe_apart() {
    let (mut one, mut two, device, client) = two_servers();
    let observe: &[(OptionNumber, &[u8])] = &[(OptionNumber::OBSERVE, &[])];
    assert_eq!(
        one.code(client, "PUT /3303/0/5700?gt=50", &[], b""),
        Code::CHANGED
    );
    let first = one.ask(client, "GET /3303/0/5700", observe, b"");
    let second = two.ask(client, "GET /3303/0/5700", observe, b"");
    device.set("/3303/0/5700", Value::Float(30.0));
    assert_eq!(two.hear_response(second.token).text(), "30");
    device.set("/3303/0/5700", Value::Float(60.0));
    assert_eq!(
        one.hear_response(first.token).text(),
        "60",
        "30 is not beyond its threshold"
    );
}
