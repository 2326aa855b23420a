//! Credentials over REST: keys go in and never come out, faults are named, imports are whole or not at all.

mod common;

use axum::http::header;
use common::{call, fake, get, raw, reply, request};
use dunlin_api::Settings;
use dunlin_api::fake::Fake;
use serde_json::json;
use std::sync::Arc;

const KEY: &str = "000102030405060708090a0b0c0d0e0f";

const PUBLIC_KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEnoRKmXh5gzpCFpZnZtgq5Vgg0IKu\
6MS8ysyQGkDFlpJ4jpvgbz9dWzOsbQ7uEJwNFR2BV+MFdM5CK+AE6G5+fw==";

async fn import(fake: &Arc<Fake>, query: &str, csv: &str) -> common::Reply {
    let path = format!("/api/v1/credentials/import{query}");
    let mut request = request("POST", &path, csv.to_string());
    let media_type = "text/csv; charset=utf-8".parse().unwrap();
    request
        .headers_mut()
        .insert(header::CONTENT_TYPE, media_type);
    reply(raw(fake, Settings::default(), request).await).await
}

#[tokio::test]
async fn keys_go_in_and_never_come_out() {
    let fake = fake();
    let body = json!({"for": "server", "credentials": [
        {"mode": "psk", "key": KEY},
        {"mode": "rpk", "public_key": PUBLIC_KEY, "for": "bootstrap"},
        {"mode": "x509", "subject": "CN of lamp"},
    ]});
    let put = call(&fake, "PUT", "/credentials/lamp", &body.to_string()).await;
    assert_eq!(put.status, 200, "{}", put.text);
    let list = get(&fake, "/credentials").await;
    let shown = get(&fake, "/credentials/lamp").await;
    for reply in [&put, &list, &shown] {
        assert!(!reply.text.contains("0102030405"), "{}", reply.text);
    }
    let shown = shown.json();
    assert_eq!(
        shown["credentials"][0],
        json!({"id": "00000001", "mode": "psk", "for": "server", "identity": "lamp", "added_at": "2026-11-24T15:00:00.000Z"})
    );
    let fingerprint = "sha256:f9b839d2079a9d07ffa8022e0d82bd65c2476625c7348e234c1b51c67b4f64f6";
    assert_eq!(shown["credentials"][1]["fingerprint"], fingerprint);
    assert_eq!(shown["credentials"][1]["for"], "bootstrap");
    assert_eq!(shown["credentials"][2]["subject"], "CN of lamp");
    assert_eq!(
        (&list.json()["total"], &list.json()["next"]),
        (&json!(3), &json!(null))
    );
    let server = get(&fake, "/credentials?for=server").await.json();
    assert_eq!(
        server["endpoints"][0]["credentials"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    // A request that is refused must not repeat the key it was given.
    let body = json!({"credentials": [{"mode": "psk", "key": format!("{KEY}0")}]});
    let refused = call(&fake, "PUT", "/credentials/lamp", &body.to_string()).await;
    assert_eq!(refused.code(), "credential_invalid");
    assert!(!refused.text.contains(KEY), "{}", refused.text);
}

#[tokio::test]
async fn roll_over_adds_one_and_removes_one() {
    let fake = fake();
    let body = |identity: &str| {
        json!({"credentials": [{"mode": "psk", "identity": identity, "key": KEY}]}).to_string()
    };
    assert_eq!(
        call(&fake, "PUT", "/credentials/lamp", &body("old"))
            .await
            .status,
        200
    );
    let both = call(&fake, "POST", "/credentials/lamp", &body("new"))
        .await
        .json();
    assert_eq!(both["credentials"].as_array().unwrap().len(), 2);
    let id = both["credentials"][0]["id"].as_str().unwrap();
    let removed = call(&fake, "DELETE", &format!("/credentials/lamp/{id}"), "").await;
    assert_eq!(removed.status, 204);
    let left = get(&fake, "/credentials/lamp").await.json();
    assert_eq!(left["credentials"][0]["identity"], "new");
    for path in [
        format!("/credentials/lamp/{id}"),
        "/credentials/lamp/x".into(),
        "/credentials/bulb".into(),
    ] {
        let unknown = call(&fake, "DELETE", &path, "").await;
        assert_eq!(
            (unknown.status, unknown.code().as_str()),
            (404, "credential_unknown"),
            "{path}"
        );
    }
    assert_eq!(
        call(&fake, "DELETE", "/credentials/lamp", "").await.status,
        204
    );
    assert_eq!(
        get(&fake, "/credentials/lamp").await.code(),
        "credential_unknown"
    );
}

#[tokio::test]
async fn what_is_not_well_formed_is_named() {
    let fake = fake();
    for (body, field) in [
        (json!({}), "credentials"),
        (json!({"credentials": []}), "credentials"),
        (
            json!({"credentials": [{"mode": "psk"}]}),
            "credentials[0].key",
        ),
        (
            json!({"credentials": [{"mode": "tls"}]}),
            "credentials[0].mode",
        ),
        (
            json!({"credentials": [{"mode": "psk", "key": "00"}]}),
            "credentials[0].key",
        ),
        (
            json!({"credentials": [{"mode": "psk", "key": 7}]}),
            "credentials[0].key",
        ),
        (
            json!({"credentials": [{"mode": "psk", "key": KEY, "identity_hex": "0"}]}),
            "credentials[0].identity_hex",
        ),
        (
            json!({"credentials": [{"mode": "rpk", "public_key": KEY}]}),
            "credentials[0].public_key",
        ),
        (
            json!({"credentials": [{"mode": "x509"}]}),
            "credentials[0].certificate",
        ),
        (
            json!({"credentials": [{"mode": "x509", "certificate": "AAAA"}]}),
            "credentials[0].certificate",
        ),
        (
            json!({"credentials": [{"mode": "psk", "key": KEY, "for": "x"}]}),
            "credentials[0].for",
        ),
    ] {
        let refused = call(&fake, "PUT", "/credentials/lamp", &body.to_string()).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (400, "credential_invalid"),
            "{body}"
        );
        assert_eq!(refused.json()["field"], field, "{}", refused.text);
    }
    let odd = json!({"credentials": [{"mode": "psk", "key": KEY, "colour": 1}]});
    let refused = call(&fake, "PUT", "/credentials/lamp", &odd.to_string()).await;
    assert_eq!(refused.json()["field"], "credentials[0].colour");
    assert!(fake.state().credentials.is_empty());
}

#[tokio::test]
async fn an_identity_of_another_name_is_refused() {
    let fake = fake();
    let body = json!({"credentials": [{"mode": "psk", "identity": "id", "key": KEY}]}).to_string();
    assert_eq!(
        call(&fake, "PUT", "/credentials/lamp", &body).await.status,
        200
    );
    let taken = call(&fake, "PUT", "/credentials/bulb", &body).await;
    assert_eq!(
        (taken.status, taken.code().as_str()),
        (409, "credential_taken")
    );
    assert!(
        taken.json()["detail"]
            .as_str()
            .unwrap()
            .contains("\"lamp\"")
    );
}

#[tokio::test]
async fn short_keys_are_taken_with_a_warning() {
    let fake = fake();
    let body = json!({"credentials": [{"mode": "psk", "key": "0001020304050607"}]}).to_string();
    let put = call(&fake, "PUT", "/credentials/lamp", &body).await.json();
    assert!(put["warnings"][0].as_str().unwrap().contains("8 bytes"));
    assert_eq!(
        get(&fake, "/credentials/lamp").await.json()["warnings"],
        json!(null)
    );
}

#[tokio::test]
async fn an_import_is_whole_or_not_at_all() {
    let fake = fake();
    let good = format!("endpoint,key,for\na,{KEY},server\nb,{KEY},both\n");
    let dry = import(&fake, "?dry_run=true", &good).await;
    assert_eq!(dry.status, 200, "{}", dry.text);
    assert_eq!(dry.json()["added"], 2);
    assert!(fake.state().credentials.is_empty());
    let done = import(&fake, "", &good).await.json();
    assert_eq!(
        done,
        json!({"dry_run": false, "rows": 2, "added": 2, "altered": 0, "unchanged": 0, "warnings": []})
    );
    let again = import(&fake, "", &good).await.json();
    assert_eq!(
        (&again["added"], &again["unchanged"]),
        (&json!(0), &json!(2))
    );

    let bad = format!("endpoint,key,for\nc,{KEY},server\nd,zz,both\ne,{KEY},front\n");
    let refused = import(&fake, "", &bad).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (400, "import_invalid")
    );
    let errors = refused.json()["errors"].clone();
    assert_eq!(
        (&errors[0]["row"], &errors[0]["column"]),
        (&json!(3), &json!("key"))
    );
    assert_eq!(
        (&errors[1]["row"], &errors[1]["column"]),
        (&json!(4), &json!("for"))
    );
    // One that is well formed and cannot be, because the identity is another's.
    let taken = import(
        &fake,
        "",
        &format!("endpoint,identity,key\nc,c,{KEY}\nd,a,{KEY}\n"),
    )
    .await;
    assert_eq!(taken.json()["errors"][0]["row"], 3, "{}", taken.text);
    assert_eq!(fake.state().credentials.len(), 2);
    let bytes = import(&fake, "", "").await;
    assert_eq!(bytes.json()["errors"][0]["row"], 1);
    let json = call(&fake, "POST", "/credentials/import", "{}").await;
    assert_eq!(json.code(), "media_type_unsupported");
}

#[tokio::test]
async fn pages_lead_to_each_other() {
    let fake = fake();
    let rows: String = ["a", "b", "c"]
        .map(|name| format!("{name},{KEY}\n"))
        .concat();
    import(&fake, "", &format!("endpoint,key\n{rows}")).await;
    let first = get(&fake, "/credentials?limit=2").await.json();
    assert_eq!(first["next"], "b");
    let second = get(&fake, "/credentials?limit=2&cursor=b").await.json();
    assert_eq!(
        (&second["endpoints"][0]["endpoint"], &second["next"]),
        (&json!("c"), &json!(null))
    );
    assert_eq!(
        get(&fake, "/credentials?q=B").await.json()["endpoints"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn the_server_shows_what_clients_must_know_of_it() {
    let fake = fake();
    let shown = get(&fake, "/server/identity").await.json();
    let key = shown["public_key"].as_str().unwrap();
    assert!(
        key.starts_with("-----BEGIN PUBLIC KEY-----\n")
            && key.ends_with("-----END PUBLIC KEY-----\n")
    );
    assert!(key.lines().all(|line| line.len() <= 64));
    assert!(
        shown["certificate_fingerprint"]
            .as_str()
            .unwrap()
            .starts_with("sha256:")
    );
}
