//! Requests: what waits for a Client, how it went, and taking it back.

use axum::Json;
use axum::extract::{Path, State};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::describe::{ClientPath, Failure};
use crate::auth::{AuthContext, Role};
use crate::backend::RequestId;
use crate::error::{Code, Problem};
use crate::extract::{Params, Target};
use crate::state::Api;
use crate::view::{RequestView, RequestsView};

/// An id longer than this is none of ours.
const REQUEST_ID_BYTES_MAX: usize = 64;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(list_all))
        .routes(routes!(show, cancel))
}

/// Lists the requests for a Client: those that wait, are under way, or ended lately.
#[utoipa::path(
    get, operation_id = "list_client_requests", path = "/clients/{ep}/requests", tag = "requests", params(ClientPath),
    responses((status = 200, body = RequestsView), Failure),
)]
async fn list(
    auth: AuthContext,
    State(api): State<Api>,
    target: Target,
    params: Params,
) -> Result<Json<RequestsView>, Problem> {
    auth.require(Role::Read)?;
    params.finish()?;
    let requests = api.backend.requests(&target.endpoint).await?;
    let definitions = api.backend.definitions();
    let requests = requests
        .iter()
        .map(|request| RequestView::new(request, &definitions));
    Ok(Json(RequestsView {
        requests: requests.collect(),
    }))
}

/// Lists the requests for all Clients: first those that wait or are under way, the oldest first.
#[utoipa::path(
    get, operation_id = "list_requests", path = "/requests", tag = "requests",
    params(("limit" = Option<u32>, Query, description = "At most so many: 100, or 1 to 1000.")),
    responses((status = 200, body = RequestsView), Failure),
)]
async fn list_all(
    auth: AuthContext,
    State(api): State<Api>,
    mut params: Params,
) -> Result<Json<RequestsView>, Problem> {
    auth.require(Role::Read)?;
    let limit = params.take_limit()?;
    params.finish()?;
    let requests = api.backend.all_requests(limit).await?;
    let definitions = api.backend.definitions();
    let requests = requests
        .iter()
        .map(|request| RequestView::new(request, &definitions));
    Ok(Json(RequestsView {
        requests: requests.collect(),
    }))
}

/// Shows a request.
#[utoipa::path(
    get, operation_id = "show_request", path = "/requests/{id}", tag = "requests",
    params(("id" = String, Path, description = "The request.")),
    responses((status = 200, body = RequestView), Failure),
)]
async fn show(
    auth: AuthContext,
    State(api): State<Api>,
    Path(id): Path<String>,
    params: Params,
) -> Result<Json<RequestView>, Problem> {
    auth.require(Role::Read)?;
    params.finish()?;
    let request = api.backend.request(&request_id(id)?).await?;
    Ok(Json(RequestView::new(&request, &api.backend.definitions())))
}

/// Cancels a request that has not ended. What was sent already may still be carried out.
#[utoipa::path(
    delete, operation_id = "cancel_request", path = "/requests/{id}", tag = "requests",
    params(("id" = String, Path, description = "The request.")),
    responses((status = 200, body = RequestView), Failure),
)]
async fn cancel(
    auth: AuthContext,
    State(api): State<Api>,
    Path(id): Path<String>,
    params: Params,
) -> Result<Json<RequestView>, Problem> {
    auth.require(Role::Operate)?;
    params.finish()?;
    let request = api.backend.cancel_request(&request_id(id)?).await?;
    Ok(Json(RequestView::new(&request, &api.backend.definitions())))
}

fn request_id(id: String) -> Result<RequestId, Problem> {
    if id.len() > REQUEST_ID_BYTES_MAX {
        return Err(Problem::new(
            Code::RequestUnknown,
            "An id of a request is not that long.",
        ));
    }
    Ok(RequestId(id))
}
