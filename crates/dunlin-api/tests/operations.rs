//! The LwM2M operations: which command each route makes, and what an answer becomes.

mod common;

use std::time::Duration;

use common::{OK, Reply, call, fake, get};
use dunlin_api::backend::{
    CancelBy, Command, Completion, CompletionAnswer, OperateSettings, Outcome, Reading,
};
use dunlin_api::error::{CoapCode, Code, Problem};
use dunlin_api::fake::{self, NOW};
use dunlin_lwm2m::attribute::{AttributesChange, Change};
use dunlin_lwm2m::operation::{ResponseCode, WriteMode};
use dunlin_lwm2m::{
    ContentFormat, Instance, Node, ObjectId, ObjectInstanceId, ObjectVersion, Path, Resource,
    ResourceInstanceId, Value,
};
use serde_json::json;

fn path(ids: &[u16]) -> Path {
    Path::from_ids(ids).unwrap()
}

const WAIT: OperateSettings = OperateSettings {
    timeout: None,
    wait: true,
};

#[tokio::test]
async fn a_read_answers_with_names_types_and_units() {
    let fake = fake();
    let reply = get(&fake, "/clients/lamp/3/0/9").await;
    assert_eq!(reply.status, OK);
    assert_eq!(reply.header("dunlin-coap"), Some("2.05"));
    let json = reply.json();
    assert_eq!(json["path"], "/3/0/9");
    assert_eq!(json["at"], "2026-11-24T15:00:00.000Z");
    assert_eq!(json["node"]["kind"], "resource");
    assert_eq!(json["node"]["type"], "integer");
    assert_eq!(json["node"]["value"], 100);
    assert_eq!(json["node"]["unit"], "%");
    assert!(json["node"]["name"].as_str().unwrap().contains("Battery"));
    assert!(json.get("age_s").is_none());
    let multiple = get(&fake, "/clients/lamp/3/0/6").await.json();
    assert_eq!(multiple["node"]["values"], json!({"0": 1, "1": 5}));
    assert!(multiple["node"].get("value").is_none());
    let object = get(&fake, "/clients/lamp/3").await.json();
    assert_eq!(object["node"]["kind"], "object");
    assert_eq!(object["node"]["name"], "Device");
    assert_eq!(object["node"]["instances"][0]["kind"], "instance");
    assert_eq!(
        object["node"]["instances"][0]["resources"][0]["value"],
        "ACME"
    );
}

#[tokio::test]
async fn every_route_makes_its_command() {
    let fake = fake();
    let attributes = AttributesChange {
        pmin_s: Change::Set(10),
        gt: Change::Unset,
        ..AttributesChange::default()
    };
    let cases: Vec<(&str, &str, Command)> = vec![
        (
            "GET",
            "/3/0/9?format=tlv",
            Command::Read {
                path: path(&[3, 0, 9]),
                accept: Some(ContentFormat::TLV),
            },
        ),
        (
            "GET",
            "/3?format=11543",
            Command::Read {
                path: path(&[3]),
                accept: Some(ContentFormat::JSON),
            },
        ),
        ("GET", "/3/discover", Command::Discover { path: path(&[3]) }),
        (
            "GET",
            "/3/0/discover",
            Command::Discover {
                path: path(&[3, 0]),
            },
        ),
        (
            "GET",
            "/3/0/1/discover",
            Command::Discover {
                path: path(&[3, 0, 1]),
            },
        ),
        (
            "PUT",
            "/3/0/9/attributes?pmin=10&gt=",
            Command::WriteAttributes {
                path: path(&[3, 0, 9]),
                attributes,
            },
        ),
        (
            "POST",
            "/3/observe",
            Command::Observe {
                path: path(&[3]),
                accept: None,
            },
        ),
        (
            "POST",
            "/3/0/observe?format=json",
            Command::Observe {
                path: path(&[3, 0]),
                accept: Some(ContentFormat::JSON),
            },
        ),
        (
            "POST",
            "/3/0/9/observe",
            Command::Observe {
                path: path(&[3, 0, 9]),
                accept: None,
            },
        ),
        (
            "DELETE",
            "/3/observe",
            Command::Cancel {
                path: path(&[3]),
                by: CancelBy::Observe,
            },
        ),
        (
            "DELETE",
            "/3/0/observe?by=observe",
            Command::Cancel {
                path: path(&[3, 0]),
                by: CancelBy::Observe,
            },
        ),
        (
            "DELETE",
            "/3/0/9/observe?by=reset",
            Command::Cancel {
                path: path(&[3, 0, 9]),
                by: CancelBy::Reset,
            },
        ),
        (
            "DELETE",
            "/1/0",
            Command::Delete {
                path: path(&[1, 0]),
            },
        ),
    ];
    for (method, tail, command) in cases {
        let reply = call(&fake, method, &format!("/clients/lamp{tail}"), "").await;
        assert!(
            reply.status < 300 || reply.status == 404,
            "{tail}: {}",
            reply.text
        );
        assert_eq!(
            fake.take_commands(),
            [("lamp".to_string(), command, WAIT)],
            "{method} {tail}"
        );
    }
}

#[tokio::test]
async fn writes_become_typed_nodes() {
    let fake = fake();
    let time = |value| Resource::single(13, Value::Time(value));
    let offset = Resource::single(14, Value::String("+02:00".into()));
    let cases = [
        (
            "PUT",
            "/3/0/13",
            json!({"value": 60}),
            path(&[3, 0, 13]),
            WriteMode::Replace,
            Node::Resource(time(60)),
        ),
        (
            "PUT",
            "/3/0/13",
            json!({"kind": "resource", "id": 13, "name": "x", "type": "time", "value": "60"}),
            path(&[3, 0, 13]),
            WriteMode::Replace,
            Node::Resource(time(60)),
        ),
        (
            "PUT",
            "/3/0",
            json!({"resources": [{"id": 14, "value": "+02:00"}, {"id": 13, "value": 7}]}),
            path(&[3, 0]),
            WriteMode::Replace,
            Node::Instance(Instance::new(0).with(time(7)).with(offset.clone())),
        ),
        (
            "PATCH",
            "/3/0",
            json!({"id": 0, "kind": "instance", "resources": [{"id": 14, "value": "+02:00"}]}),
            path(&[3, 0]),
            WriteMode::Partial,
            Node::Instance(Instance::new(0).with(offset.clone())),
        ),
        (
            "PATCH",
            "/3/0/14",
            json!({"value": "+02:00"}),
            path(&[3, 0]),
            WriteMode::Partial,
            Node::Instance(Instance::new(0).with(offset)),
        ),
        (
            "PUT",
            "/2/0/2",
            json!({"values": {"1": 15, "101": 1}}),
            path(&[2, 0, 2]),
            WriteMode::Replace,
            Node::Resource(Resource::multiple(
                2,
                [(1, 15), (101, 1)]
                    .map(|(id, value)| (ResourceInstanceId(id), Value::Integer(value))),
            )),
        ),
        // Nothing is known of this Object: the form of the JSON decides, or the type that is given.
        (
            "PUT",
            "/65000/0/1",
            json!({"value": "AQI=", "type": "opaque"}),
            path(&[65000, 0, 1]),
            WriteMode::Replace,
            Node::Resource(Resource::single(1, Value::Opaque(vec![1, 2]))),
        ),
        (
            "PUT",
            "/65000/0/1",
            json!({"value": 1.5}),
            path(&[65000, 0, 1]),
            WriteMode::Replace,
            Node::Resource(Resource::single(1, Value::Float(1.5))),
        ),
        // A resource of the vendor's own in a known Object.
        (
            "PUT",
            "/3/0/26241",
            json!({"value": true, "type": "boolean"}),
            path(&[3, 0, 26241]),
            WriteMode::Replace,
            Node::Resource(Resource::single(26241, Value::Boolean(true))),
        ),
    ];
    for (method, tail, body, path, mode, node) in cases {
        let reply = call(
            &fake,
            method,
            &format!("/clients/lamp{tail}"),
            &body.to_string(),
        )
        .await;
        assert_eq!(
            (reply.status, reply.header("dunlin-coap")),
            (204, Some("2.04")),
            "{body}: {}",
            reply.text
        );
        let command = Command::Write {
            path,
            mode,
            format: None,
            node,
        };
        assert_eq!(
            fake.take_commands(),
            [("lamp".to_string(), command, WAIT)],
            "{body}"
        );
    }
}

#[tokio::test]
async fn creates_answer_with_the_place() {
    let fake = fake();
    let body = json!({"resources": [{"id": 1, "value": 60}]}).to_string();
    let reply = call(
        &fake,
        "POST",
        "/clients/lamp/1?format=tlv&timeout_s=5",
        &body,
    )
    .await;
    assert_eq!(
        (reply.status, reply.header("dunlin-coap")),
        (201, Some("2.01"))
    );
    assert_eq!(reply.header("location"), Some("/api/v1/clients/lamp/1/7"));
    assert_eq!(reply.json(), json!({"path": "/1/7"}));
    let settings = OperateSettings {
        timeout: Some(Duration::from_secs(5)),
        wait: true,
    };
    let command = |instance| Command::Create {
        object: ObjectId(1),
        instance,
        format: Some(ContentFormat::TLV),
        resources: vec![Resource::single(1, Value::Integer(60))],
    };
    assert_eq!(
        fake.take_commands(),
        [("lamp".to_string(), command(None), settings)]
    );
    let body =
        json!({"id": 4, "kind": "instance", "resources": [{"id": 1, "value": 60}]}).to_string();
    let reply = call(
        &fake,
        "POST",
        "/clients/lamp/1?format=tlv&timeout_s=5",
        &body,
    )
    .await;
    assert_eq!(reply.json(), json!({"path": "/1/4"}));
    assert_eq!(
        fake.take_commands(),
        [(
            "lamp".to_string(),
            command(Some(ObjectInstanceId(4))),
            settings
        )]
    );
}

#[tokio::test]
async fn execute_takes_arguments_or_nothing() {
    let fake = fake();
    for (body, arguments) in [
        ("", ""),
        ("{}", ""),
        (r#"{"arguments":null}"#, ""),
        (r#"{"arguments":"0='x',1"}"#, "0='x',1"),
    ] {
        let reply = call(&fake, "POST", "/clients/lamp/3/0/4", body).await;
        assert_eq!(
            (reply.status, reply.header("dunlin-coap")),
            (204, Some("2.04")),
            "{body}"
        );
        let command = Command::Execute {
            path: path(&[3, 0, 4]),
            arguments: arguments.parse().unwrap(),
        };
        assert_eq!(fake.take_commands(), [("lamp".to_string(), command, WAIT)]);
    }
    for (body, code) in [
        (r#"{"arguments":"a"}"#, "arguments_invalid"),
        (r#"{"arguments":"0=x"}"#, "arguments_invalid"),
        (r#"{"arguments":"0,0"}"#, "arguments_invalid"),
        (r#"{"arguments":5}"#, "arguments_invalid"),
        (r#"{"argument":"0"}"#, "body_invalid"),
        (r#"[]"#, "body_invalid"),
        (r#"{"#, "json_invalid"),
    ] {
        let reply = call(&fake, "POST", "/clients/lamp/3/0/4", body).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, code), "{body}");
    }
    assert!(fake.take_commands().is_empty());
}

#[tokio::test]
async fn values_that_do_not_fit_are_refused_with_field_and_reason() {
    let fake = fake();
    for (method, tail, body, code, field, says) in [
        (
            "PUT",
            "/3/0/13",
            r#"{"value":"x"}"#,
            "value_invalid",
            "value",
            "\"Current Time\": Expected a time",
        ),
        (
            "PUT",
            "/3/0/13",
            r#"{"values":{"0":1}}"#,
            "value_invalid",
            "values",
            "is single",
        ),
        (
            "PUT",
            "/2/0/2",
            r#"{"value":1}"#,
            "value_invalid",
            "value",
            "has instances",
        ),
        (
            "PUT",
            "/2/0/2",
            r#"{"values":{"x":1}}"#,
            "body_invalid",
            "values.x",
            "id from 0",
        ),
        (
            "PUT",
            "/2/0/2",
            r#"{"values":{"01":1}}"#,
            "body_invalid",
            "values.01",
            "id from 0",
        ),
        (
            "PUT",
            "/2/0/2",
            r#"{"values":{"3":"a"}}"#,
            "value_invalid",
            "values.3",
            "whole number",
        ),
        (
            "PUT",
            "/2/0/2",
            r#"{"values":[1]}"#,
            "body_invalid",
            "values",
            "found a list",
        ),
        (
            "PUT",
            "/3/0/13",
            r#"{"value":1,"values":{}}"#,
            "body_invalid",
            "",
            "either",
        ),
        ("PUT", "/3/0/13", r#"{}"#, "body_invalid", "", "is missing"),
        (
            "PUT",
            "/3/0/13",
            r#"{"value":1,"valeu":2}"#,
            "body_invalid",
            "valeu",
            "no member",
        ),
        (
            "PUT",
            "/3/0/13",
            r#"{"id":14,"value":1}"#,
            "body_invalid",
            "id",
            "the body 14",
        ),
        (
            "PUT",
            "/3/0/13",
            r#"{"kind":"instance","value":1}"#,
            "body_invalid",
            "kind",
            "\"resource\" only",
        ),
        (
            "PUT",
            "/3/0/13",
            r#"{"type":"string","value":"x"}"#,
            "value_invalid",
            "type",
            "of type time",
        ),
        (
            "PUT",
            "/3/0/13",
            r#"{"type":"text","value":"x"}"#,
            "body_invalid",
            "type",
            "one of string",
        ),
        (
            "PUT",
            "/3/0/13",
            r#"7"#,
            "body_invalid",
            "",
            "Expected an object, found 7",
        ),
        (
            "PUT",
            "/3/0/4",
            r#"{"value":1}"#,
            "value_invalid",
            "value",
            "executed",
        ),
        (
            "PUT",
            "/3/0/999",
            r#"{"value":1}"#,
            "value_invalid",
            "id",
            "defines no resource 999",
        ),
        (
            "PUT",
            "/65000/0/1",
            r#"{"value":null}"#,
            "value_invalid",
            "value",
            "found null",
        ),
        (
            "PUT",
            "/3/0",
            r#"{"value":1}"#,
            "body_invalid",
            "resources",
            "written as",
        ),
        (
            "PUT",
            "/3/0",
            r#"{"resources":{}}"#,
            "body_invalid",
            "resources",
            "a list",
        ),
        (
            "PUT",
            "/3/0",
            r#"{"resources":[{"value":1}]}"#,
            "body_invalid",
            "resources[0].id",
            "missing",
        ),
        (
            "PUT",
            "/3/0",
            r#"{"resources":[{"id":70000,"value":1}]}"#,
            "body_invalid",
            "resources[0].id",
            "65534",
        ),
        (
            "PUT",
            "/3/0",
            r#"{"id":1,"resources":[]}"#,
            "body_invalid",
            "id",
            "the body 1",
        ),
        (
            "PATCH",
            "/3/0",
            r#"{"resources":[{"id":14,"value":1}]}"#,
            "value_invalid",
            "resources[0].value",
            "a string",
        ),
        (
            "PATCH",
            "/3/0",
            r#"{"resources":[{"id":14,"value":"a"},{"id":14,"value":"b"}]}"#,
            "body_invalid",
            "resources[1]",
            "twice",
        ),
        (
            "POST",
            "/1",
            r#"{"id":65535,"resources":[]}"#,
            "body_invalid",
            "id",
            "65534",
        ),
        (
            "POST",
            "/1",
            r#"{"resources":[{"id":1,"value":1.5}]}"#,
            "value_invalid",
            "resources[0].value",
            "1.5",
        ),
        // Out of the range that the definition gives.
        (
            "PUT",
            "/1/0/0",
            r#"{"value":0}"#,
            "value_invalid",
            "value",
            "must be within",
        ),
        (
            "PUT",
            "/3/0/13?format=nonsense",
            r#"{"value":1}"#,
            "query_invalid",
            "format",
            "content format",
        ),
        (
            "PUT",
            "/3/0/13?timeout_s=-1",
            r#"{"value":1}"#,
            "query_invalid",
            "timeout_s",
            "seconds",
        ),
        (
            "PUT",
            "/3/0/13?tiemout_s=1",
            r#"{"value":1}"#,
            "query_invalid",
            "tiemout_s",
            "no parameter",
        ),
    ] {
        let reply = call(&fake, method, &format!("/clients/lamp{tail}"), body).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (400, code),
            "{tail} {body}: {}",
            reply.text
        );
        let json = reply.json();
        assert_eq!(json["field"].as_str().unwrap_or(""), field, "{tail} {body}");
        assert!(
            json["detail"].as_str().unwrap().contains(says),
            "{tail} {body}: {}",
            json["detail"]
        );
    }
    let reply = call(&fake, "PUT", "/clients/lamp/3/0/13", "{\n\"value\": }").await;
    assert_eq!(reply.code(), "json_invalid");
    assert_eq!(
        (&reply.json()["line"], &reply.json()["column"]),
        (&json!(2), &json!(10))
    );
    assert!(fake.take_commands().is_empty());
}

#[tokio::test]
async fn attributes_are_refused_by_name() {
    let fake = fake();
    for (tail, field) in [
        ("/3/0/9/attributes?pmin=x", Some("pmin")),
        ("/3/0/9/attributes?color=red", Some("color")),
        ("/3/0/9/attributes?st=-1", Some("st")),
        ("/3/0/9/attributes?dim=1", Some("dim")),
        ("/3/0/9/attributes?lt=5&gt=5", None),
        ("/3/0/attributes?gt=5", None),
        ("/3/0/9/attributes", None),
    ] {
        let reply = call(&fake, "PUT", &format!("/clients/lamp{tail}"), "").await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (400, "attributes_invalid"),
            "{tail}"
        );
        assert_eq!(reply.json()["field"].as_str(), field, "{tail}");
    }
    let twice = call(
        &fake,
        "PUT",
        "/clients/lamp/3/0/9/attributes?pmin=1&pmin=2",
        "",
    )
    .await;
    assert_eq!(twice.code(), "query_invalid");
    assert_eq!(
        call(&fake, "DELETE", "/clients/lamp/3/observe?by=magic", "")
            .await
            .code(),
        "query_invalid"
    );
    assert!(fake.take_commands().is_empty());
}

#[tokio::test]
async fn what_does_not_exist_at_a_level_says_where_it_does() {
    let fake = fake();
    for (method, tail, says) in [
        ("PUT", "/3", "Write its Instances"),
        ("PATCH", "/3", "Write its Instances"),
        ("DELETE", "/3", "Delete its Instances"),
        ("POST", "/3/0", "use PATCH"),
        ("DELETE", "/3/0/1", "Delete its Object Instance"),
    ] {
        let reply = call(&fake, method, &format!("/clients/lamp{tail}"), "{}").await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (405, "operation_not_allowed"),
            "{method} {tail}"
        );
        assert!(
            reply.json()["detail"].as_str().unwrap().contains(says),
            "{}",
            reply.text
        );
    }
    assert!(fake.take_commands().is_empty());
}

#[tokio::test]
async fn a_client_that_sleeps_gets_a_request() {
    let fake = fake();
    let assert_accepted = |reply: Reply, id: &str| {
        assert_eq!(reply.status, 202, "{}", reply.text);
        assert_eq!(
            reply.header("location"),
            Some(format!("/api/v1/requests/{id}").as_str())
        );
        assert_eq!(reply.header("dunlin-coap"), None);
        assert_eq!(reply.json()["request"]["id"], id);
        assert_eq!(reply.json()["request"]["state"], "queued");
    };
    let reply = call(&fake, "PUT", "/clients/meter/3/0/13", r#"{"value":1}"#).await;
    assert_eq!(reply.json()["request"]["operation"], "Write");
    assert_accepted(reply, "r1");
    assert_accepted(get(&fake, "/clients/lamp/3/0?wait=0").await, "r2");
    let settings: Vec<_> = fake
        .take_commands()
        .into_iter()
        .map(|(_, _, settings)| settings)
        .collect();
    assert_eq!(
        settings,
        [
            WAIT,
            OperateSettings {
                timeout: None,
                wait: false
            }
        ]
    );
}

#[tokio::test]
async fn answers_of_clients_become_statuses() {
    let fake = fake();
    for (coap, status, code) in [
        ("4.00", 400, "lwm2m_bad_request"),
        ("4.01", 403, "lwm2m_unauthorized"),
        ("4.03", 403, "lwm2m_forbidden"),
        ("4.04", 404, "lwm2m_not_found"),
        ("4.05", 405, "lwm2m_method_not_allowed"),
        ("4.06", 406, "lwm2m_not_acceptable"),
        ("4.08", 409, "lwm2m_request_incomplete"),
        ("4.12", 412, "lwm2m_precondition_failed"),
        ("4.13", 413, "lwm2m_too_large"),
        ("4.15", 415, "lwm2m_format_unsupported"),
        ("5.00", 502, "lwm2m_server_error"),
        ("5.03", 502, "lwm2m_server_error"),
        ("4.02", 502, "lwm2m_other"),
    ] {
        let problem = Problem::answered(CoapCode::parse(coap).unwrap(), "It said so.").unwrap();
        fake.state().script.push_back(Err(problem));
        let reply = get(&fake, "/clients/lamp/3/0/9").await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (status, code),
            "{coap}"
        );
        assert_eq!(reply.header("dunlin-coap"), Some(coap));
        assert_eq!(reply.json()["coap"], coap);
    }
    for (code, status) in [
        (Code::ClientTimeout, 504),
        (Code::ClientReset, 502),
        (Code::QueueFull, 429),
        (Code::Overloaded, 503),
    ] {
        fake.state()
            .script
            .push_back(Err(Problem::new(code, "So it is.").retry_after(7)));
        let reply = get(&fake, "/clients/lamp/3/0/9").await;
        assert_eq!(
            (reply.status, reply.header("retry-after")),
            (status, Some("7"))
        );
        assert_eq!(reply.header("dunlin-coap"), None);
    }
}

#[tokio::test]
async fn a_discover_answers_with_links_and_attributes() {
    let fake = fake();
    let reply = get(&fake, "/clients/lamp/3/0/discover").await;
    assert_eq!(
        (reply.status, reply.header("dunlin-coap")),
        (200, Some("2.05"))
    );
    assert_eq!(
        reply.json(),
        json!({"path": "/3/0", "links": [
            {"path": "/3/0", "attributes": {"pmin": 10}},
            {"path": "/3/0/1", "name": "Model Number", "dim": 2, "attributes": {}},
        ]})
    );
}

#[tokio::test]
async fn the_cache_answers_with_the_age_and_asks_nobody() {
    let fake = fake();
    let reply = get(&fake, "/clients/lamp/3/0/9?cached=true").await;
    assert_eq!((reply.status, reply.header("dunlin-coap")), (200, None));
    assert_eq!(
        (&reply.json()["age_s"], &reply.json()["node"]["value"]),
        (&json!(1.5), &json!(100))
    );
    let unknown = get(&fake, "/clients/lamp/3/0/1?cached=true").await;
    assert_eq!(
        (unknown.status, unknown.code().as_str()),
        (404, "value_unknown")
    );
    assert_eq!(
        get(&fake, "/clients/nobody/3/0/1?cached=true").await.code(),
        "client_unknown"
    );
    assert_eq!(
        get(&fake, "/clients/lamp/3/0/1?cached=true&format=tlv")
            .await
            .code(),
        "query_invalid"
    );
    assert!(fake.take_commands().is_empty());
}

#[tokio::test]
async fn a_cancellation_that_brings_the_value_shows_it() {
    let fake = fake();
    let path = path(&[3, 0, 9]);
    let reading = Reading {
        path,
        at: NOW,
        version: ObjectVersion::V1_0,
        node: Node::Resource(Resource::single(9, Value::Integer(99))),
    };
    let completion = Completion {
        code: ResponseCode::Content,
        at: NOW,
        answer: CompletionAnswer::Values(reading),
    };
    fake.state()
        .script
        .push_back(Ok(Outcome::Completed(completion)));
    fake.state()
        .script
        .push_back(Ok(Outcome::Completed(fake::done(ResponseCode::Changed))));
    let reply = call(&fake, "DELETE", "/clients/lamp/3/0/9/observe", "").await;
    assert_eq!(
        (reply.status, &reply.json()["node"]["value"]),
        (200, &json!(99))
    );
    let reply = call(&fake, "DELETE", "/clients/lamp/3/0/9/observe?by=reset", "").await;
    assert_eq!((reply.status, reply.text.as_str()), (204, ""));
}
