//! One request to the router over the fake backend, and what came back.

#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::Response;
use dunlin_api::Settings;
use dunlin_api::fake::Fake;
use http_body_util::BodyExt;
use serde_json::Value as Json;
use tower::ServiceExt;

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The code of a problem, which must be complete.
    pub(crate) fn code(&self) -> String {
        let json = self.json();
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{json}"
        );
        assert_eq!(json["status"], self.status, "{json}");
        let code = json["code"].as_str().unwrap().to_string();
        assert_eq!(json["type"], format!("docs/reference/errors.md#{code}"));
        for member in ["title", "detail", "remedy"] {
            assert!(
                !json[member].as_str().unwrap().is_empty(),
                "{member} of {json}"
            );
        }
        code
    }
}

pub(crate) async fn raw(fake: &Arc<Fake>, settings: Settings, request: Request<Body>) -> Response {
    dunlin_api::router(fake.clone(), settings)
        .oneshot(request)
        .await
        .unwrap()
}

pub(crate) async fn reply(response: Response) -> Reply {
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Reply {
        status: parts.status.as_u16(),
        headers: parts.headers,
        text: String::from_utf8(bytes.to_vec()).unwrap(),
    }
}

/// A request as a program makes it: from here, declared as JSON.
pub(crate) fn request(method: &str, path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "127.0.0.1:8080")
        .header(header::CONTENT_TYPE, "application/json")
        .body(body.into())
        .unwrap()
}

/// Asks for `path` under `/api/v1`.
pub(crate) async fn call(fake: &Arc<Fake>, method: &str, path: &str, body: &str) -> Reply {
    let request = request(method, &format!("/api/v1{path}"), body.to_string());
    reply(raw(fake, Settings::default(), request).await).await
}

pub(crate) async fn get(fake: &Arc<Fake>, path: &str) -> Reply {
    call(fake, "GET", path, "").await
}

pub(crate) fn fake() -> Arc<Fake> {
    Arc::new(Fake::new())
}

pub(crate) const OK: u16 = StatusCode::OK.as_u16();
