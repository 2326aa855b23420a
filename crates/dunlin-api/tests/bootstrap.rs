//! The Bootstrap-Server over REST: profiles, plans, runs.

mod common;

use common::{call, fake, get};
use dunlin_lwm2m::EndpointName;
use dunlin_server::BootstrapRunId;
use dunlin_server::bootstrap::{BootstrapRun, Initiator, ProfileName, RunFailure, RunState};
use serde_json::json;

fn fleet() -> String {
    json!({"pattern": "lamp-*", "servers": [
        {"short_server_id": 1, "uri": "coaps://lwm2m.example.com", "keys": {"mode": "psk"}}
    ]})
    .to_string()
}

#[tokio::test]
async fn profiles_are_put_listed_shown_and_removed() {
    let fake = fake();
    let dry = call(&fake, "PUT", "/profiles/fleet?dry_run=true", &fleet()).await;
    assert_eq!(dry.status, 200, "{}", dry.text);
    assert_eq!(
        (&dry.json()["dry_run"], &dry.json()["replaced"]),
        (&json!(true), &json!(false))
    );
    assert!(fake.state().profiles.is_empty());
    call(&fake, "PUT", "/profiles/fleet", &fleet()).await;
    let again = call(&fake, "PUT", "/profiles/fleet", &fleet()).await.json();
    assert_eq!(again["replaced"], true);
    let shown = get(&fake, "/profiles/fleet").await.json();
    assert_eq!(
        shown["servers"][0]["keys"],
        json!({"mode": "psk", "made": true})
    );
    assert_eq!(
        get(&fake, "/profiles").await.json()["profiles"],
        json!([shown])
    );
    // What is shown can be put again.
    let back = call(&fake, "PUT", "/profiles/fleet", &shown.to_string()).await;
    assert_eq!(back.status, 200, "{}", back.text);

    let taken = call(&fake, "PUT", "/profiles/other", &fleet()).await;
    assert_eq!(
        (taken.status, taken.code().as_str()),
        (409, "profile_taken")
    );
    let wrong = fleet().replace("coaps:", "coap:");
    let refused = call(&fake, "PUT", "/profiles/wrong", &wrong).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (400, "profile_invalid")
    );
    assert_eq!(refused.json()["field"], "servers[0].uri");
    assert_eq!(
        call(&fake, "PUT", "/profiles/a%20b", &fleet()).await.code(),
        "profile_invalid"
    );

    assert_eq!(
        call(&fake, "DELETE", "/profiles/fleet", "").await.status,
        204
    );
    for path in ["/profiles/fleet", "/profiles/a%20b"] {
        let unknown = call(&fake, "DELETE", path, "").await;
        assert_eq!(
            (unknown.status, unknown.code().as_str()),
            (404, "profile_unknown")
        );
    }
}

#[tokio::test]
async fn the_plan_shows_every_step_and_no_key() {
    let fake = fake();
    call(&fake, "PUT", "/profiles/fleet", &fleet()).await;
    let plan = get(&fake, "/bootstrap/plan/lamp-7").await.json();
    assert_eq!(plan["profile"], "fleet");
    let steps = plan["steps"].as_array().unwrap();
    assert_eq!(steps.first().unwrap()["operation"], "discover");
    assert_eq!(
        steps.last().unwrap(),
        &json!({"operation": "finish", "path": "/"})
    );
    let values = steps
        .iter()
        .flat_map(|step| step["values"].as_array().into_iter().flatten());
    let values: Vec<_> = values.collect();
    let key = values
        .iter()
        .find(|value| value["name"] == "Secret Key")
        .unwrap();
    let identity = values
        .iter()
        .find(|value| value["name"] == "Public Key or Identity")
        .unwrap();
    let text = identity["text"].as_str().unwrap();
    assert!(text.starts_with("lamp-7"), "{text}");
    assert!(identity["value"].is_string());
    assert_eq!(
        (&key["secret_bytes"], &key["value"]),
        (&json!(16), &json!(null))
    );
    assert!(
        values
            .iter()
            .any(|value| value["value"] == "coaps://lwm2m.example.com")
    );
    let by_name = get(&fake, "/bootstrap/plan/meter?profile=fleet").await;
    assert_eq!(by_name.status, 200);
    for path in [
        "/bootstrap/plan/meter",
        "/bootstrap/plan/meter?profile=none",
    ] {
        assert_eq!(get(&fake, path).await.code(), "profile_unknown", "{path}");
    }
}

#[tokio::test]
async fn runs_are_begun_and_remembered() {
    let fake = fake();
    let begun = call(&fake, "POST", "/clients/lamp/bootstrap", "").await;
    assert_eq!(begun.status, 202, "{}", begun.text);
    assert_eq!(
        call(&fake, "POST", "/clients/nobody/bootstrap", "")
            .await
            .code(),
        "client_unknown"
    );
    let run = |endpoint: &str, state| BootstrapRun {
        id: BootstrapRunId::from_bits(1),
        endpoint: EndpointName::new(endpoint).unwrap(),
        initiator: Initiator::Client,
        profile: ProfileName::new("fleet").unwrap(),
        address: std::net::SocketAddr::from(([192, 0, 2, 1], 5)).into(),
        identity: dunlin_transport::Identity::None,
        started_at: dunlin_transport::WallTime(dunlin_api::fake::NOW.0),
        ended_at: None,
        state,
        version: None,
        steps: Vec::new(),
        made: Vec::new(),
    };
    fake.state().runs = vec![
        run("lamp", RunState::Running),
        run(
            "meter",
            RunState::Failed(RunFailure::Inconsistent { said: None }),
        ),
    ];
    let all = get(&fake, "/bootstrap/runs").await.json();
    assert_eq!(all["runs"].as_array().unwrap().len(), 2);
    let one = get(&fake, "/bootstrap/runs?endpoint=meter").await.json();
    let one = &one["runs"][0];
    assert_eq!(
        (&one["state"], &one["failure"]),
        (&json!("failed"), &json!("inconsistent"))
    );
    assert!(one["reason"].as_str().unwrap().contains("4.06"));
    assert_eq!(one["address"], "192.0.2.1:5");
    assert_eq!(
        get(&fake, "/bootstrap/runs?endpoint=").await.code(),
        "query_invalid"
    );
}
