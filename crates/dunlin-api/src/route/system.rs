//! Health, metrics and the description of the API.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio::io::AsyncReadExt as _;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::describe::Failure;
use crate::auth::{AuthContext, Role};
use crate::error::Problem;
use crate::extract::Params;
use crate::state::Api;

/// What is read of a backup at once.
const CHUNK_BYTES: usize = 64 * 1024;

#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes the query; Params reads it")]
struct BackupQuery {
    /// false: leave the event log out.
    with_events: Option<bool>,
}

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(openapi))
        .routes(routes!(backup))
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

/// Writes a backup of the whole store and sends it, while everything goes on.
#[utoipa::path(
    post, operation_id = "backup", path = "/backup", tag = "system", params(BackupQuery),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>), Failure),
)]
async fn backup(
    auth: AuthContext,
    State(api): State<Api>,
    mut params: Params,
) -> Result<Response, Problem> {
    auth.require(Role::Admin)?;
    let with_events = params.take_bool("with_events")?.unwrap_or(true);
    params.finish()?;
    let file = api.backend.backup(with_events).await?;
    let length = file.metadata().map(|metadata| metadata.len()).ok();
    let chunks = futures_util::stream::unfold(tokio::fs::File::from_std(file), |mut file| async {
        let mut chunk = vec![0; CHUNK_BYTES];
        match file.read(&mut chunk).await {
            Ok(0) => None,
            Ok(read) => {
                chunk.truncate(read);
                Some((Ok(chunk), file))
            }
            // The answer breaks off, which whoever reads notices by its length.
            Err(error) => Some((Err(error), file)),
        }
    });
    let mut response = Body::from_stream(chunks).into_response();
    let headers = response.headers_mut();
    let media_type = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, media_type);
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(response)
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
