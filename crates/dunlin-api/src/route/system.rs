//! Health, metrics and the description of the API.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::describe::Failure;
use crate::auth::{AuthContext, Role};
use crate::error::Problem;
use crate::extract::Params;
use crate::state::Api;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(openapi))
}

/// The routes outside of `/api`. Health needs no token: whoever watches a process has none.
pub(super) fn health() -> Router<Api> {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
}

/// Describes the API as OpenAPI 3.1.
#[utoipa::path(
    get, path = "/openapi.json", tag = "system",
    responses((status = 200, content_type = "application/json", body = serde_json::Value), Failure),
)]
async fn openapi(auth: AuthContext, params: Params) -> Result<Json<OpenApi>, Problem> {
    auth.require(Role::Read)?;
    params.finish()?;
    Ok(Json(super::openapi()))
}

async fn ready(State(api): State<Api>) -> Response {
    match api.backend.ready() {
        Ok(()) => "ready\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn metrics(State(api): State<Api>) -> Response {
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, media_type)], api.backend.metrics()).into_response()
}
