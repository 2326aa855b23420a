//! What protects the port: Host, Origin, content types, limits, tokens and roles; and that no route is without them.

mod common;

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, header};
use common::{call, fake, get, raw, reply, request};
use dunlin_api::Settings;
use dunlin_api::auth::{self, Role};
use dunlin_api::fake::{Fake, NOW};
use serde_json::json;

fn with_token(fake: &Arc<Fake>, name: &str, role: Role) -> String {
    let (token, record) = auth::issue(name, role, NOW, &[name.len() as u8; 32]);
    fake.state().tokens.push(record);
    token
}

async fn ask(
    fake: &Arc<Fake>,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> common::Reply {
    ask_with(fake, Settings::default(), method, path, headers).await
}

async fn ask_with(
    fake: &Arc<Fake>,
    settings: Settings,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> common::Reply {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    reply(raw(fake, settings, request.body(Body::empty()).unwrap()).await).await
}

const HERE: (&str, &str) = ("host", "127.0.0.1:8080");
const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn a_rebound_name_is_refused_everywhere() {
    let fake = fake();
    for path in ["/", "/api/v1/clients", "/metrics", "/healthz", "/dunlin.js"] {
        let refused = ask(&fake, "GET", path, &[("host", "attacker.example:8080")]).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (403, "host_not_allowed"),
            "{path}"
        );
        assert_eq!(
            ask(&fake, "GET", path, &[]).await.code(),
            "host_not_allowed"
        );
    }
    let settings = || Settings {
        hosts: vec!["dunlin.example.com".into()],
        ..Settings::default()
    };
    let host = [("host", "dunlin.example.com")];
    assert_eq!(
        ask_with(&fake, settings(), "GET", "/api/v1/clients", &host)
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused() {
    let fake = fake();
    let path = "/api/v1/clients/lamp/3/0/4";
    for origin in ["https://attacker.example", "null", "http://localhost:8080"] {
        let refused = ask(&fake, "POST", path, &[HERE, JSON, ("origin", origin)]).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (403, "origin_not_allowed"),
            "{origin}"
        );
        assert_eq!(refused.header("access-control-allow-origin"), None);
    }
    let ours = ask(
        &fake,
        "POST",
        path,
        &[HERE, JSON, ("origin", "http://127.0.0.1:8080")],
    )
    .await;
    assert_eq!(ours.status, 204, "{}", ours.text);
    let preflight = [
        HERE,
        ("origin", "http://127.0.0.1:8080"),
        ("access-control-request-method", "PUT"),
    ];
    let preflight = ask(&fake, "OPTIONS", path, &preflight).await;
    assert_eq!(preflight.status, 405);
    assert_eq!(preflight.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn every_request_that_changes_something_must_be_json() {
    let fake = fake();
    for (method, path) in [
        ("POST", "/api/v1/clients/lamp/3/0/4"),
        ("PUT", "/api/v1/clients/lamp/3/0/13"),
        ("PATCH", "/api/v1/clients/lamp/3/0"),
        ("DELETE", "/api/v1/clients/lamp"),
        ("DELETE", "/api/v1/requests/r1"),
        ("POST", "/api/v1/tokens"),
        ("POST", "/api/v1/nothing"),
    ] {
        for media_type in [
            None,
            Some("text/plain"),
            Some("application/x-www-form-urlencoded"),
            Some("application/xml"),
        ] {
            let mut headers = vec![HERE];
            headers.extend(media_type.map(|media_type| ("content-type", media_type)));
            let refused = ask(&fake, method, path, &headers).await;
            assert_eq!(
                (refused.status, refused.code().as_str()),
                (415, "media_type_unsupported"),
                "{method} {path}"
            );
        }
    }
    assert!(fake.take_commands().is_empty());
    assert!(fake.state().clients.contains_key("lamp"));
}

#[tokio::test]
async fn bodies_have_limits() {
    let fake = fake();
    let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(64 * 1024));
    let refused = call(&fake, "POST", "/tokens", &long).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (413, "body_too_large")
    );
    // A Write takes more: firmware goes through it.
    let long = format!(r#"{{"value":"{}"}}"#, "AAAA".repeat(256 * 1024));
    assert_eq!(
        call(&fake, "PUT", "/clients/lamp/5/0/0", &long)
            .await
            .status,
        204
    );
    let long = " ".repeat(24 * 1024 * 1024 + 1);
    assert_eq!(
        call(&fake, "PUT", "/clients/lamp/5/0/0", &long)
            .await
            .code(),
        "body_too_large"
    );
}

#[tokio::test]
async fn from_the_first_token_on_every_request_needs_one() {
    let fake = fake();
    assert_eq!(get(&fake, "/clients").await.status, 200);
    let token = with_token(&fake, "ci", Role::Read);
    for path in [
        "/api/v1/clients",
        "/metrics",
        "/api/v1/openapi.json",
        "/api/v1/events",
        "/api/v1/profiles",
    ] {
        let missing = ask(&fake, "GET", path, &[HERE]).await;
        assert_eq!(
            (missing.status, missing.code().as_str()),
            (401, "token_missing"),
            "{path}"
        );
        assert_eq!(missing.header("www-authenticate"), Some("Bearer"));
        let wrong = ask(
            &fake,
            "GET",
            path,
            &[HERE, ("authorization", "Bearer dunlin_x")],
        )
        .await;
        assert_eq!(
            (wrong.status, wrong.code().as_str()),
            (401, "token_unknown"),
            "{path}"
        );
    }
    let basic = ask(
        &fake,
        "GET",
        "/api/v1/clients",
        &[HERE, ("authorization", "Basic eA==")],
    )
    .await;
    assert_eq!(basic.code(), "token_missing");
    let bearer = format!("bearer {token}");
    assert_eq!(
        ask(
            &fake,
            "GET",
            "/api/v1/clients",
            &[HERE, ("authorization", &bearer)]
        )
        .await
        .status,
        200
    );
    for path in ["/healthz", "/readyz", "/"] {
        assert_eq!(ask(&fake, "GET", path, &[HERE]).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn an_exposed_port_needs_a_token_even_while_there_is_none() {
    let fake = fake();
    let settings = Settings {
        exposed: true,
        ..Settings::default()
    };
    let refused = ask_with(&fake, settings, "GET", "/api/v1/clients", &[HERE]).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (401, "token_missing")
    );
}

/// Walks over every route of the description, so that none is added without a role.
#[tokio::test]
async fn no_route_is_without_a_role() {
    let fake = fake();
    with_token(&fake, "root", Role::Admin);
    let read = format!("Bearer {}", with_token(&fake, "reader", Role::Read));
    let operate = format!("Bearer {}", with_token(&fake, "operator", Role::Operate));
    let openapi = serde_json::to_value(dunlin_api::openapi()).unwrap();
    let mut routes = 0;
    for (path, methods) in openapi["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            let uri = path
                .replace("{ep}", "lamp")
                .replace("{o}", "3")
                .replace("{i}", "0")
                .replace("{r}", "9")
                .replace("{id}", "3")
                .replace("{name}", "nobody")
                .replace("{version}", "1.0");
            routes += 1;
            let missing = ask(&fake, &method, &uri, &[HERE, JSON]).await;
            assert_eq!(missing.code(), "token_missing", "{method} {path}");
            // What only reads dunlin's own knowledge is open to the role read, what reaches a Client is not,
            // and what changes dunlin is for admin alone.
            let admin = path.contains("/tokens")
                || path.ends_with("/backup")
                || (path.contains("/objects") && method == "PUT")
                || (path.contains("/credentials") && method != "GET")
                || (path.contains("/profiles") && method != "GET");
            let operation = path.contains("{o}")
                || path.ends_with("/bootstrap")
                || (method == "DELETE" && !admin);
            if admin || operation {
                let refused = ask(
                    &fake,
                    &method,
                    &uri,
                    &[HERE, JSON, ("authorization", &read)],
                )
                .await;
                assert_eq!(
                    (refused.status, refused.code().as_str()),
                    (403, "role_insufficient"),
                    "{method} {path}"
                );
            }
            if admin {
                let refused = ask(
                    &fake,
                    &method,
                    &uri,
                    &[HERE, JSON, ("authorization", &operate)],
                )
                .await;
                assert_eq!(refused.code(), "role_insufficient", "{method} {path}");
            }
        }
    }
    assert!(routes > 40, "only {routes} routes were walked");
    assert!(fake.take_commands().is_empty());
    let cached = "/api/v1/clients/lamp/3/0/9?cached=true";
    assert_eq!(
        ask(&fake, "GET", cached, &[HERE, ("authorization", &read)])
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn tokens_are_made_listed_and_removed() {
    let fake = fake();
    let first = call(&fake, "POST", "/tokens", r#"{"name":"me"}"#).await;
    assert_eq!(first.status, 201);
    assert_eq!(first.json()["role"], "admin");
    let token = first.json()["token"].as_str().unwrap().to_string();
    assert!(!format!("{:?}", fake.state().tokens).contains(&token));
    let bearer = format!("Bearer {token}");
    let admin = async |method: &str, path: &str, body: &str| {
        let mut request = request(method, &format!("/api/v1{path}"), body.to_string());
        request
            .headers_mut()
            .insert(header::AUTHORIZATION, bearer.parse().unwrap());
        reply(raw(&fake, Settings::default(), request).await).await
    };
    let second = admin("POST", "/tokens", r#"{"name":"ci"}"#).await;
    assert_eq!(
        (second.status, &second.json()["role"]),
        (201, &json!("operate"))
    );
    assert_ne!(second.json()["token"], token.as_str());
    let list = admin("GET", "/tokens", "").await;
    assert!(!list.text.contains("dunlin_"));
    assert_eq!(
        list.json()["tokens"][0],
        json!({"name": "me", "role": "admin", "created_at": "2026-11-24T15:00:00.000Z"})
    );
    for (body, status, code) in [
        (r#"{"name":"ci"}"#, 409, "token_name_taken"),
        (r#"{"name":""}"#, 400, "body_invalid"),
        (r#"{"name":"a b"}"#, 400, "body_invalid"),
        (r#"{}"#, 400, "body_invalid"),
        (r#"{"name":"x","role":"root"}"#, 400, "body_invalid"),
        (r#"{"name":"x","rule":"read"}"#, 400, "body_invalid"),
    ] {
        let refused = admin("POST", "/tokens", body).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (status, code),
            "{body}"
        );
    }
    let last = admin("DELETE", "/tokens/me", "").await;
    assert_eq!((last.status, last.code().as_str()), (409, "token_needed"));
    assert_eq!(
        admin("DELETE", "/tokens/nobody", "").await.code(),
        "token_name_unknown"
    );
    assert_eq!(admin("DELETE", "/tokens/ci", "").await.status, 204);
    assert_eq!(admin("DELETE", "/tokens/me", "").await.status, 204);
    assert_eq!(get(&fake, "/clients").await.status, 200);
}

#[tokio::test]
async fn the_first_token_must_be_able_to_make_others() {
    let fake = fake();
    let refused = call(&fake, "POST", "/tokens", r#"{"name":"ci","role":"read"}"#).await;
    assert_eq!(
        (refused.code().as_str(), &refused.json()["field"]),
        ("body_invalid", &json!("role"))
    );
    assert!(fake.state().tokens.is_empty());
}
