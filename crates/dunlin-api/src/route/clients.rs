//! Clients: the list, one of them, forgetting one, what is observed there.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::describe::{ClientPath, Failure};
use crate::auth::{AuthContext, Role};
use crate::backend::ClientQuery;
use crate::error::{Code, Problem};
use crate::extract::{Params, Target};
use crate::state::Api;
use crate::view::{Client, ClientsView, ObservationView, ObservationsView};

/// A cursor longer than this is none of ours.
const CURSOR_BYTES_MAX: usize = 1024;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show, forget))
        .routes(routes!(observations))
}

/// Lists Clients.
#[utoipa::path(
    get, operation_id = "list_clients", path = "/clients", tag = "clients",
    params(
        ("q" = Option<String>, Query, description = "Part of the endpoint name."),
        ("limit" = Option<u32>, Query, description = "Clients on a page: 100, or 1 to 1000."),
        ("cursor" = Option<String>, Query, description = "`next` of the page before."),
        ("registered" = Option<bool>, Query,
            description = "false: those whose registration expired in the last days."),
    ),
    responses((status = 200, body = ClientsView), Failure),
)]
async fn list(
    auth: AuthContext,
    State(api): State<Api>,
    mut params: Params,
) -> Result<Json<ClientsView>, Problem> {
    auth.require(Role::Read)?;
    let limit = params.take_limit()?;
    let query = ClientQuery {
        q: params.take("q").filter(|q| !q.is_empty()),
        limit,
        cursor: params.take("cursor").filter(|cursor| !cursor.is_empty()),
        registered: params.take_bool("registered")?.unwrap_or(true),
    };
    params.finish()?;
    if query
        .cursor
        .as_ref()
        .is_some_and(|cursor| cursor.len() > CURSOR_BYTES_MAX)
    {
        return Err(Problem::new(Code::CursorInvalid, "The cursor is too long."));
    }
    let page = api.backend.clients(query).await?;
    Ok(Json(ClientsView {
        clients: page.clients,
        next: page.next,
        total: page.total,
    }))
}

/// Shows a Client.
#[utoipa::path(
    get, operation_id = "show_client", path = "/clients/{ep}", tag = "clients", params(ClientPath),
    responses((status = 200, body = Client), Failure),
)]
async fn show(
    auth: AuthContext,
    State(api): State<Api>,
    target: Target,
    params: Params,
) -> Result<Json<Client>, Problem> {
    auth.require(Role::Read)?;
    params.finish()?;
    Ok(Json(api.backend.client(&target.endpoint).await?))
}

/// Forgets a registration, as if the Client had de-registered.
#[utoipa::path(
    delete, operation_id = "forget_client", path = "/clients/{ep}", tag = "clients", params(ClientPath),
    responses((status = 204), Failure),
)]
async fn forget(
    auth: AuthContext,
    State(api): State<Api>,
    target: Target,
    params: Params,
) -> Result<StatusCode, Problem> {
    auth.require(Role::Operate)?;
    params.finish()?;
    api.backend.forget(&target.endpoint).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists what is observed at a Client, with the last values.
#[utoipa::path(
    get, operation_id = "list_observations", path = "/clients/{ep}/observations", tag = "reporting", params(ClientPath),
    responses((status = 200, body = ObservationsView), Failure),
)]
async fn observations(
    auth: AuthContext,
    State(api): State<Api>,
    target: Target,
    params: Params,
) -> Result<Json<ObservationsView>, Problem> {
    auth.require(Role::Read)?;
    params.finish()?;
    let observations = api.backend.observations(&target.endpoint).await?;
    let definitions = api.backend.definitions();
    let observations = observations
        .iter()
        .map(|observation| ObservationView::new(observation, &definitions));
    Ok(Json(ObservationsView {
        observations: observations.collect(),
    }))
}
