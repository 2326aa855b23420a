//! Clients: the list and its pages, one Client, forgetting, observations, requests.

mod common;

use common::{OK, call, fake, get};
use dunlin_api::backend::{Observation, Reading, RequestState};
use dunlin_api::error::Problem;
use dunlin_api::event::News;
use dunlin_api::fake::{self, NOW};
use dunlin_api::time::Timestamp;
use dunlin_api::view::Presence;
use dunlin_lwm2m::operation::ResponseCode;
use dunlin_lwm2m::{Node, ObjectVersion, Path, Resource, Value};
use serde_json::json;

#[tokio::test]
async fn a_client_is_shown_with_all_its_members() {
    let fake = fake();
    let reply = get(&fake, "/clients/lamp").await;
    assert_eq!(reply.status, OK);
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(
        reply.json(),
        json!({
            "endpoint": "lamp", "registration_id": "0000000000000000000000000A",
            "registered_at": "2026-11-24T14:59:00.000Z", "updated_at": "2026-11-24T14:59:30.000Z",
            "expires_at": "2026-11-25T14:59:30.000Z", "last_contact_at": "2026-11-24T14:59:55.000Z",
            "lifetime_s": 86400, "version": "1.0", "binding": "U", "queue": false, "sms_number": null,
            "address": "127.0.0.1:41022", "bearer": "udp", "security": "nosec", "identity": null, "root": "/",
            "objects": {"1": {"version": "1.0", "instances": [0]}, "3": {"version": "1.0", "instances": [0]}},
            "presence": "awake", "over_budget": null,
            "deviations": [{"code": "lifetime_missing", "sentence": "The Client registered without a lifetime."}],
            "attributes": {},
        })
    );
}

#[tokio::test]
async fn the_list_comes_in_pages() {
    let fake = fake();
    for number in 0..5 {
        let name = format!("node{number}");
        let client = fake::client(&name, "U", Presence::Awake);
        fake.state().clients.insert(name, client);
    }
    let first = get(&fake, "/clients?limit=2&q=NODE").await.json();
    assert_eq!(first["clients"].as_array().unwrap().len(), 2);
    assert_eq!(first["total"], 5);
    let cursor = first["next"].as_str().unwrap();
    let second = get(&fake, &format!("/clients?limit=2&q=node&cursor={cursor}"))
        .await
        .json();
    assert_eq!(second["clients"][0]["endpoint"], "node2");
    let cursor = second["next"].as_str().unwrap();
    let third = get(&fake, &format!("/clients?limit=2&q=node&cursor={cursor}"))
        .await
        .json();
    assert_eq!(third["clients"].as_array().unwrap().len(), 1);
    assert_eq!(third["next"], json!(null));
    assert_eq!(
        get(&fake, "/clients").await.json()["clients"]
            .as_array()
            .unwrap()
            .len(),
        7
    );
}

#[tokio::test]
async fn expired_clients_are_listed_apart_and_answer_with_the_time() {
    let fake = fake();
    let mut gone = fake::client("gone", "U", Presence::Overdue);
    gone.expired_at = Some(NOW);
    gone.registration_id = None;
    fake.state().clients.insert("gone".into(), gone);
    let listed = get(&fake, "/clients?registered=false").await.json();
    assert_eq!(listed["clients"][0]["endpoint"], "gone");
    assert_eq!(listed["clients"][0]["registration_id"], json!(null));
    assert_eq!(
        listed["clients"][0]["expired_at"],
        "2026-11-24T15:00:00.000Z"
    );
    assert_eq!(get(&fake, "/clients").await.json()["total"], 2);
    let reply = get(&fake, "/clients/gone/3/0").await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (404, "client_expired")
    );
    assert_eq!(reply.json()["expired_at"], "2026-11-24T15:00:00.000Z");
}

#[tokio::test]
async fn names_come_percent_encoded_or_as_base64url() {
    let fake = fake();
    for name in ["urn:imei:1", "a b", "é", "..", "a/b", "50%", "~x"] {
        fake.state()
            .clients
            .insert(name.into(), fake::client(name, "U", Presence::Awake));
    }
    for (segment, name) in [
        ("urn:imei:1", "urn:imei:1"),
        ("urn%3Aimei%3A1", "urn:imei:1"),
        ("a%20b", "a b"),
        ("%C3%A9", "é"),
        ("~Li4", ".."),
        ("~YS9i", "a/b"),
        ("a%2Fb", "a/b"),
        ("50%25", "50%"),
        ("~fng", "~x"),
    ] {
        let reply = get(&fake, &format!("/clients/{segment}")).await;
        assert_eq!(reply.status, OK, "{segment}: {}", reply.text);
        assert_eq!(reply.json()["endpoint"], name);
    }
}

#[tokio::test]
async fn bad_questions_are_refused_with_the_reason() {
    let fake = fake();
    let long = "x".repeat(253);
    for (path, status, code, field) in [
        ("/clients?limit=0", 400, "query_invalid", Some("limit")),
        ("/clients?limit=1001", 400, "query_invalid", Some("limit")),
        ("/clients?limit=x", 400, "query_invalid", Some("limit")),
        (
            "/clients?registered=perhaps",
            400,
            "query_invalid",
            Some("registered"),
        ),
        ("/clients?Q=x", 400, "query_invalid", Some("Q")),
        ("/clients?q=a&q=b", 400, "query_invalid", Some("q")),
        ("/clients?cursor=none", 400, "cursor_invalid", None),
        ("/clients/nobody", 404, "client_unknown", None),
        ("/clients/lamp?x=1", 400, "query_invalid", Some("x")),
        ("/clients/%FF", 400, "endpoint_invalid", None),
        ("/clients/~!", 400, "endpoint_invalid", None),
        ("/clients/nobody/observations", 404, "client_unknown", None),
        ("/clients/nobody/requests", 404, "client_unknown", None),
        ("/requests/r9", 404, "request_unknown", None),
        ("/requests?limit=0", 400, "query_invalid", Some("limit")),
        ("/clients/lamp/3/0/1/2/3", 404, "route_unknown", None),
        ("/nothing", 404, "route_unknown", None),
        ("/clients/lamp/device", 400, "path_invalid", None),
        ("/clients/lamp/3/0/65535", 400, "path_invalid", None),
        ("/clients/lamp/03", 400, "path_invalid", None),
        ("/profiles/default", 404, "profile_unknown", None),
        ("/knocks?limit=1", 400, "query_invalid", Some("limit")),
    ] {
        let reply = get(&fake, path).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (status, code),
            "{path}: {}",
            reply.text
        );
        assert_eq!(reply.json()["field"].as_str(), field, "{path}");
    }
    assert_eq!(
        get(&fake, &format!("/clients/{long}")).await.code(),
        "endpoint_invalid"
    );
    assert_eq!(
        get(&fake, &format!("/clients?cursor={}", "x".repeat(1025)))
            .await
            .code(),
        "cursor_invalid"
    );
    assert!(fake.take_commands().is_empty());
}

#[tokio::test]
async fn methods_that_a_route_does_not_take_are_named() {
    let fake = fake();
    let reply = call(&fake, "PUT", "/clients/lamp", "{}").await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (405, "method_not_allowed")
    );
    let allow = reply.header("allow").unwrap();
    assert!(allow.contains("GET") && allow.contains("DELETE"), "{allow}");
}

#[tokio::test]
async fn a_registration_can_be_forgotten() {
    let fake = fake();
    let reply = call(&fake, "DELETE", "/clients/lamp", "").await;
    assert_eq!((reply.status, reply.text.as_str()), (204, ""));
    assert_eq!(
        call(&fake, "DELETE", "/clients/lamp", "").await.code(),
        "client_unknown"
    );
}

#[tokio::test]
async fn observations_have_their_last_value() {
    let fake = fake();
    let path = Path::from_ids(&[3303, 0, 5700]).unwrap();
    let last = Reading {
        path,
        at: NOW,
        version: ObjectVersion::V1_0,
        node: Node::Resource(Resource::single(5700, Value::Float(f64::NAN))),
    };
    let observation = Observation {
        path,
        since: Some(NOW),
        notifications: 3,
        last: Some(last),
    };
    let waiting = Observation {
        path: Path::from_ids(&[3]).unwrap(),
        since: None,
        notifications: 0,
        last: None,
    };
    fake.state()
        .observations
        .insert("lamp".into(), vec![waiting, observation]);
    let json = get(&fake, "/clients/lamp/observations").await.json();
    assert_eq!(
        json["observations"][0],
        json!({"path": "/3", "since": null, "notifications": 0, "last": null})
    );
    let second = &json["observations"][1];
    assert_eq!(second["since"], "2026-11-24T15:00:00.000Z");
    assert_eq!(second["notifications"], 3);
    assert_eq!(second["last"]["node"]["value"], "NaN");
    assert_eq!(second["last"]["path"], "/3303/0/5700");
}

#[tokio::test]
async fn requests_are_listed_shown_and_cancelled() {
    let fake = fake();
    let path = Path::from_ids(&[3, 0, 4]).unwrap();
    let queued = fake::request("r1", "meter", "Execute", path);
    let mut failed = fake::request("r2", "meter", "Read", path);
    failed.state = RequestState::Failed;
    failed.ended_at = Some(Timestamp(NOW.0 + 1));
    failed.outcome = Some(Err(Problem::answered(
        ResponseCode::MethodNotAllowed.into(),
        "Not readable.",
    )
    .unwrap()));
    for request in [queued, failed] {
        fake.state().requests.insert(request.id.0.clone(), request);
    }
    let list = get(&fake, "/clients/meter/requests").await.json();
    assert_eq!(
        list["requests"][0],
        json!({
            "id": "r1", "endpoint": "meter", "operation": "Execute", "path": "/3/0/4", "state": "queued",
            "created_at": "2026-11-24T15:00:00.000Z", "expires_at": "2026-11-24T15:01:00.000Z",
            "ended_at": null, "outcome": null,
        })
    );
    assert_eq!(list["requests"][1]["outcome"]["coap"], "4.05");
    assert_eq!(
        list["requests"][1]["outcome"]["problem"]["code"],
        "lwm2m_method_not_allowed"
    );
    assert_eq!(
        get(&fake, "/requests").await.json()["requests"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        get(&fake, "/requests?limit=1").await.json()["requests"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        get(&fake, "/clients/lamp/requests").await.json(),
        json!({"requests": []})
    );
    assert_eq!(get(&fake, "/requests/r1").await.json()["state"], "queued");
    let cancelled = call(&fake, "DELETE", "/requests/r1", "").await;
    assert_eq!(
        (cancelled.status, &cancelled.json()["state"]),
        (200, &json!("cancelled"))
    );
    let again = call(&fake, "DELETE", "/requests/r1", "").await;
    assert_eq!(
        (again.status, again.code().as_str()),
        (409, "request_ended")
    );
    assert_eq!(
        call(&fake, "DELETE", "/requests/r9", "").await.code(),
        "request_unknown"
    );
    assert_eq!(
        call(
            &fake,
            "DELETE",
            &format!("/requests/{}", "r".repeat(65)),
            ""
        )
        .await
        .code(),
        "request_unknown"
    );
}

#[tokio::test]
async fn knocks_are_listed_with_what_would_let_them_in() {
    let fake = fake();
    assert_eq!(get(&fake, "/knocks").await.json(), json!({"knocks": []}));
    let refused = News::Refused {
        address: "192.0.2.7:41022".into(),
        reason: "Clients without security are heard on this machine alone.".into(),
        remedy: Some("dunlin serve --nosec any".into()),
        offered: None,
    };
    fake.tell("pump", refused.clone());
    fake.tell("pump", refused);
    fake.tell("pump", News::Awake);
    assert_eq!(
        get(&fake, "/knocks").await.json(),
        json!({"knocks": [{
            "address": "192.0.2.7:41022", "endpoint": "pump", "count": 2,
            "reason": "Clients without security are heard on this machine alone.",
            "remedy": "dunlin serve --nosec any",
            "offered": null,
            "first_at": "2026-11-24T15:00:00.000Z", "last_at": "2026-11-24T15:00:00.000Z",
        }]})
    );
}
