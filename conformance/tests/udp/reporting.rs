//! The Information Reporting interface (TS 1.0 §5.5), and queue mode (§8.3).

use dunlin_client::Event;
use dunlin_coap::{Code, MessageType, OptionNumber, Token};
use dunlin_lwm2m::Value;
use dunlin_lwm2m::operation::Binding;

use crate::common::{
    Device, Peer, Serve, TEXT, both, exchange, in_format, scripted_client, scripted_server,
};

/// The options of a notification with this order number and a text.
fn observed(number: &[u8]) -> [(OptionNumber, &[u8]); 2] {
    [
        (OptionNumber::OBSERVE, number),
        (OptionNumber::CONTENT_FORMAT, TEXT),
    ]
}

const OBSERVE: &[(OptionNumber, &[u8])] = &[(OptionNumber::OBSERVE, &[])];
const CANCEL: &[(OptionNumber, &[u8])] = &[(OptionNumber::OBSERVE, &[1])];

// The Server, and a scripted Client that it observes.

fn observing() -> (Serve, Peer, Token) {
    let (serve, mut peer) = scripted_client();
    let ask = ("POST", "a/3/0/9/observe", "");
    let (got, reply) = exchange(&serve, &mut peer, ask, "GET /3/0/9", |peer, got| {
        peer.answer(got, Code::CONTENT, &observed(&[1]), b"80");
    });
    assert_eq!((got.observe(), got.token.is_empty()), (Some(0), false));
    assert_eq!(reply.json["node"]["value"], 80);
    (serve, peer, got.token)
}

#[test]
fn lwm2m_ir_001_s_m_observe() {
    let (serve, _peer, _token) = observing();
    let observations = serve.get("/clients/a/observations");
    assert_eq!(observations["observations"][0]["path"], "/3/0/9");
}

#[test]
fn lwm2m_ir_002_s_m_notifications_of_either_kind_are_told() {
    let (serve, mut peer, token) = observing();
    let to = serve.coap;
    peer.respond(
        to,
        MessageType::Confirmable,
        token,
        Code::CONTENT,
        &observed(&[2]),
        b"70",
    );
    let answer = peer.hear();
    assert_eq!(answer.message_type, MessageType::Acknowledgement);
    peer.respond(
        to,
        MessageType::NonConfirmable,
        token,
        Code::CONTENT,
        &observed(&[3]),
        b"60",
    );
    let mut events = serve.events("notified");
    assert_eq!(events.next()["node"]["value"], 70);
    assert_eq!(events.next()["node"]["value"], 60);
}

#[test]
fn lwm2m_ir_002_s_m_a_notification_that_nobody_asked_for_is_reset() {
    let (serve, mut peer) = scripted_client();
    let token = Token::new(b"stranger").expect("eight bytes");
    peer.respond(
        serve.coap,
        MessageType::Confirmable,
        token,
        Code::CONTENT,
        &observed(&[2]),
        b"70",
    );
    assert_eq!(peer.hear().message_type, MessageType::Reset);
}

#[test]
fn lwm2m_ir_003_s_m_cancel_by_observe_1() {
    let (serve, mut peer, token) = observing();
    let ask = ("DELETE", "a/3/0/9/observe", "");
    let (got, reply) = exchange(&serve, &mut peer, ask, "GET /3/0/9", |peer, got| {
        peer.answer(got, Code::CONTENT, &in_format(TEXT), b"75");
    });
    assert_eq!((got.observe(), got.token), (Some(1), token));
    assert_eq!(reply.json["node"]["value"], 75);
}

#[test]
fn lwm2m_ir_003_s_m_cancel_by_reset() {
    let (serve, mut peer, token) = observing();
    let reply = serve.ask("DELETE", "/clients/a/3/0/9/observe?by=reset", "");
    assert_eq!(reply.status, 204);
    peer.respond(
        serve.coap,
        MessageType::Confirmable,
        token,
        Code::CONTENT,
        &observed(&[2]),
        b"70",
    );
    assert_eq!(peer.hear().message_type, MessageType::Reset);
}

#[test]
fn tx_10_observations_are_made_again_after_a_register() {
    let (serve, mut peer, before) = observing();
    peer.register(serve.coap, "ep=a&lt=600&lwm2m=1.0");
    let again = peer.hear_request("GET /3/0/9");
    assert_eq!(again.observe(), Some(0));
    peer.answer(&again, Code::CONTENT, &observed(&[1]), b"50");
    assert_eq!(serve.events("notified").next()["node"]["value"], 50);
    assert_ne!(before, again.token);
}

#[test]
fn lwm2m_mec_001_s_m_requests_wait_for_a_client_that_sleeps() {
    let serve = Serve::with(|config| {
        config.server.strict = true;
        config.server.awake_window_s = 1;
    });
    let mut asleep = serve.news("asleep");
    let mut peer = Peer::new();
    let location = peer.register(serve.coap, "ep=a&lt=600&lwm2m=1.0&b=UQ");
    assert_eq!(asleep.next()["endpoint"], "a");
    for path in ["/clients/a/3/0/9", "/clients/a/3/0/0"] {
        assert_eq!(serve.ask("GET", path, "").status, 202);
    }
    let update = peer.ask(serve.coap, &format!("POST {location}"), &[], b"");
    assert_eq!(update.code, Code::CHANGED);
    assert!(
        !peer.has(|got| got.code.is_request()),
        "the answer comes first"
    );
    let first = peer.hear_request("GET /3/0/9");
    // One at a time: the second waits for the answer to the first.
    peer.answer(&first, Code::CONTENT, &in_format(TEXT), b"80");
    let second = peer.hear_request("GET /3/0/0");
    peer.answer(&second, Code::CONTENT, &in_format(TEXT), b"ACME");
    let mut events = serve.events("completed");
    assert_eq!(events.next()["request"]["path"], "/3/0/9");
    assert_eq!(events.next()["request"]["path"], "/3/0/0");
}

// The Client, observed by a scripted Server.

fn temperature(device: &Device, value: f64) {
    device.set("/3303/0/5700", Value::Float(value));
}

#[test]
fn lwm2m_ir_001_c_m_observe_answers_with_the_value_and_refuses_as_read_does() {
    let (mut server, _device, client) = scripted_server();
    for target in ["/3303/0/5700", "/3303/0", "/3303"] {
        let answer = server.ask(client, &format!("GET {target}"), OBSERVE, b"");
        assert_eq!(answer.code, Code::CONTENT);
        assert!(answer.observe().is_some(), "{target}");
    }
    for (target, code) in [
        ("/3/0/4", Code::METHOD_NOT_ALLOWED),
        ("/3/0/99", Code::NOT_FOUND),
        ("/0/0/0", Code::UNAUTHORIZED),
    ] {
        let answer = server.ask(client, &format!("GET {target}"), OBSERVE, b"");
        assert_eq!((answer.code, answer.observe()), (code, None), "{target}");
    }
}

#[test]
fn lwm2m_ir_002_c_m_every_change_is_told_in_order() {
    let (mut server, device, client) = scripted_server();
    let answer = server.ask(client, "GET /3303/0/5700", OBSERVE, b"");
    let mut last = answer.observe().expect("it observes");
    for (value, text) in [(22.0, "22"), (23.5, "23.5")] {
        temperature(&device, value);
        let told = server.hear_response(answer.token);
        assert_eq!(
            (told.text().as_str(), told.format()),
            (text, answer.format())
        );
        let number = told.observe().expect("a notification");
        assert!(number > last, "{last} then {number}");
        last = number;
        server.empty(&told, MessageType::Acknowledgement);
        device.wait(|event| matches!(event, Event::Notified { .. }));
    }
}

#[test]
fn lwm2m_ir_003_c_m_cancel_by_reset() {
    let (mut server, device, client) = scripted_server();
    let answer = server.ask(client, "GET /3303/0/5700", OBSERVE, b"");
    temperature(&device, 22.0);
    let told = server.hear_response(answer.token);
    server.empty(&told, MessageType::Reset);
    device.wait(|event| matches!(event, Event::ObservationEnded { .. }));
}

#[test]
fn lwm2m_dmse_010_ir_003_c_cancel_by_observe_1() {
    let (mut server, device, client) = scripted_server();
    let answer = server.ask(client, "GET /3303/0/5700", OBSERVE, b"");
    let confirmable = MessageType::Confirmable;
    let (token, line) = (answer.token, "GET /3303/0/5700");
    server.request_with(client, confirmable, token, line, CANCEL, b"");
    let last = server.hear_response(token);
    assert_eq!((last.code, last.observe()), (Code::CONTENT, None));
    device.wait(|event| matches!(event, Event::ObservationEnded { .. }));
}

#[test]
fn lwm2m_dmse_005_c_o_minimum_period() {
    let (mut server, device, client) = scripted_server();
    assert_eq!(
        server.code(client, "PUT /3303/0/5700?pmin=1", &[], b""),
        Code::CHANGED
    );
    let answer = server.ask(client, "GET /3303/0/5700", OBSERVE, b"");
    // All within the first second: the last of them is told, once.
    for value in [22.0, 23.0, 24.0] {
        temperature(&device, value);
    }
    let told = server.hear_response(answer.token);
    assert_eq!(told.text(), "24");
    server.empty(&told, MessageType::Acknowledgement);
}

#[test]
fn lwm2m_dmse_006_c_o_maximum_period() {
    let (mut server, _device, client) = scripted_server();
    assert_eq!(
        server.code(client, "PUT /3303/0/5700?pmax=1", &[], b""),
        Code::CHANGED
    );
    let answer = server.ask(client, "GET /3303/0/5700", OBSERVE, b"");
    let told = server.hear_response(answer.token);
    assert_eq!(
        told.text(),
        answer.text(),
        "nothing has changed, and it is told"
    );
    server.empty(&told, MessageType::Acknowledgement);
}

/// With these attributes, of these values those are told. The values are set one by one; one that
/// is told is acknowledged before the next is set.
fn conditions(query: &str, values: &[(f64, bool)]) {
    let (mut server, device, client) = scripted_server();
    temperature(&device, values[0].0);
    let write = format!("PUT /3303/0/5700?{query}");
    assert_eq!(server.code(client, &write, &[], b""), Code::CHANGED);
    let answer = server.ask(client, "GET /3303/0/5700", OBSERVE, b"");
    for (value, is_told) in &values[1..] {
        temperature(&device, *value);
        if *is_told {
            let told = server.hear_response(answer.token);
            assert_eq!(told.text(), value.to_string(), "{query}");
            server.empty(&told, MessageType::Acknowledgement);
            device.wait(|event| matches!(event, Event::Notified { .. }));
        }
    }
}

#[test]
fn lwm2m_dmse_007_c_o_greater_than_in_both_directions() {
    conditions(
        "gt=50",
        &[
            (40.0, true),
            (45.0, false),
            (50.0, false),
            (55.0, true),
            (60.0, false),
            (45.0, true),
        ],
    );
}

#[test]
fn lwm2m_dmse_008_c_o_less_than_in_both_directions() {
    conditions(
        "lt=10",
        &[
            (20.0, true),
            (15.0, false),
            (10.0, false),
            (5.0, true),
            (1.0, false),
            (15.0, true),
        ],
    );
}

#[test]
fn lwm2m_dmse_009_c_o_step() {
    conditions(
        "st=10",
        &[
            (20.0, true),
            (29.0, false),
            (30.0, true),
            (21.0, false),
            (20.0, true),
        ],
    );
}

#[test]
fn lwm2m_mec_001_c_o_queue_mode() {
    let mut server = Peer::new();
    let device = Device::start("device", &[server.address()], Binding::UQ, |_, config| {
        config.awake_window = std::time::Duration::from_millis(300);
    });
    let register = server.take_register();
    assert!(register.queries().contains(&"b=UQ".into()));
    let client = register.from;
    let pmax = server.code(client, "PUT /3303/0/5700?pmax=2", &[], b"");
    assert_eq!(pmax, Code::CHANGED);
    let answer = server.ask(client, "GET /3303/0/5700", OBSERVE, b"");
    device.wait(|event| matches!(event, Event::Asleep));
    // What is sent meanwhile is not heard; what it has to tell after two seconds wakes it.
    let lost = server.request(client, MessageType::Confirmable, "GET /3/0/0", &[], b"");
    let update = server.hear_request("POST /rd/here");
    assert_eq!(
        update.message_type,
        MessageType::Confirmable,
        "it wakes with an Update"
    );
    server.answer(&update, Code::CHANGED, &[], b"");
    let told = server.hear_response(answer.token);
    assert_eq!(told.text(), "21.5");
    server.empty(&told, MessageType::Acknowledgement);
    assert!(!server.has(|got| got.token == lost));
}

// Both.

#[test]
fn int_301_observation_and_notification() {
    let (serve, device) = both();
    serve.operate("PUT", "device/3303/0/5700/attributes?gt=30", "", "2.04");
    serve.operate("POST", "device/3303/0/5700/observe", "", "2.05");
    temperature(&device, 25.0);
    temperature(&device, 31.0);
    assert_eq!(serve.events("notified").next()["node"]["value"], 31.0);
}

#[test]
fn int_302_cancel_by_reset() {
    let (serve, device) = both();
    serve.operate("POST", "device/3303/0/5700/observe", "", "2.05");
    let reply = serve.ask("DELETE", "/clients/device/3303/0/5700/observe?by=reset", "");
    assert_eq!(reply.status, 204);
    temperature(&device, 31.0);
    device.wait(|event| matches!(event, Event::ObservationEnded { .. }));
}

#[test]
fn int_303_cancel_by_observe_1() {
    let (serve, device) = both();
    serve.operate("POST", "device/3303/0/5700/observe", "", "2.05");
    serve.operate("DELETE", "device/3303/0/5700/observe", "", "2.05");
    device.wait(|event| matches!(event, Event::ObservationEnded { .. }));
    let observations = serve.get("/clients/device/observations");
    assert_eq!(observations["observations"], serde_json::json!([]));
}

#[test]
fn int_660_observe_the_device_object() {
    let (serve, device) = both();
    serve.operate("POST", "device/3/observe", "", "2.05");
    device.set("/3/0/9", Value::Integer(50));
    let told = serve.events("notified").next();
    let resources = told["node"]["instances"][0]["resources"].clone();
    let resources = resources.as_array().expect("the whole Object");
    let of = |id: u16| {
        resources
            .iter()
            .find(|one| one["id"] == id)
            .expect("it has one")
    };
    assert_eq!(
        (&of(9)["value"], &of(0)["value"]),
        (&50.into(), &"dunlin".into())
    );
}

#[test]
fn int_661_observe_a_resource_of_the_device() {
    let (serve, device) = both();
    serve.operate("PUT", "device/3/0/9/attributes?lt=20", "", "2.04");
    serve.operate("POST", "device/3/0/9/observe", "", "2.05");
    device.set("/3/0/9", Value::Integer(50));
    device.set("/3/0/9", Value::Integer(15));
    assert_eq!(serve.events("notified").next()["node"]["value"], 15);
}
