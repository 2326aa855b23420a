//! Tokens: making, listing and removing them.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::describe::Failure;
use crate::auth::{self, AuthContext, Role, TOKENS_MAX};
use crate::error::{Code, Problem};
use crate::extract::{Body, Params};
use crate::state::Api;
use crate::tree::Members;
use crate::view::{IssuedTokenView, TokenView, TokensView};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, add))
        .routes(routes!(remove))
}

/// The body that makes a token.
#[derive(ToSchema)]
#[allow(
    dead_code,
    reason = "describes the body; it is read member by member for exact problems"
)]
struct NewToken {
    /// Letters, digits and `.-_@`, at most 64.
    name: String,
    /// `operate` unless said otherwise; the first token is always `admin`.
    role: Option<Role>,
}

/// Lists the tokens, without their texts.
#[utoipa::path(
    get, operation_id = "list_tokens", path = "/tokens", tag = "tokens",
    responses((status = 200, body = TokensView), Failure),
)]
async fn list(
    auth: AuthContext,
    State(api): State<Api>,
    params: Params,
) -> Result<Json<TokensView>, Problem> {
    auth.require(Role::Admin)?;
    params.finish()?;
    let tokens = api
        .backend
        .tokens()
        .records()
        .iter()
        .map(TokenView::from)
        .collect();
    Ok(Json(TokensView { tokens }))
}

/// Makes a token. From the first one on, every request needs one.
#[utoipa::path(
    post, operation_id = "add_token", path = "/tokens", tag = "tokens", request_body = NewToken,
    responses((status = 201, body = IssuedTokenView), Failure),
)]
async fn add(
    auth: AuthContext,
    State(api): State<Api>,
    params: Params,
    body: Body,
) -> Result<(StatusCode, Json<IssuedTokenView>), Problem> {
    auth.require(Role::Admin)?;
    params.finish()?;
    let json = body.json()?;
    let mut members = Members::of(&json, "")?;
    let (name, role) = (members.take("name"), members.take("role"));
    members.finish()?;
    let name = name
        .and_then(Value::as_str)
        .filter(|name| auth::is_token_name(name))
        .ok_or_else(|| {
            Problem::new(
                Code::BodyInvalid,
                "Expected 1 to 64 letters, digits or .-_@",
            )
            .at_field("name")
        })?;
    let role = match role {
        // The first one must be able to make the others.
        None | Some(Value::Null) if api.backend.tokens().is_empty() => Role::Admin,
        None | Some(Value::Null) => Role::Operate,
        Some(role) => role.as_str().and_then(Role::from_name).ok_or_else(|| {
            Problem::new(Code::BodyInvalid, "Expected read, operate or admin.").at_field("role")
        })?,
    };
    check_room(&api, name, role)?;
    let mut random = [0; 32];
    getrandom::fill(&mut random)
        .map_err(|error| Problem::new(Code::Internal, format!("No random numbers: {error}.")))?;
    let (token, record) = auth::issue(name, role, api.backend.now(), &random);
    let view = IssuedTokenView {
        name: record.name.clone(),
        role,
        created_at: record.created_at,
        token,
    };
    api.backend.add_token(record).await?;
    Ok((StatusCode::CREATED, Json(view)))
}

/// Refuses a token that would lock its maker out, or one too many.
fn check_room(api: &Api, name: &str, role: Role) -> Result<(), Problem> {
    let tokens = api.backend.tokens();
    if tokens.records().iter().any(|record| record.name == name) {
        let detail = format!("There is a token \"{name}\" already.");
        return Err(Problem::new(Code::TokenNameTaken, detail));
    }
    if tokens.is_empty() && role != Role::Admin {
        let detail = "The first token must have the role \"admin\": from then on every request needs a \
            token, and only this role makes others.";
        return Err(Problem::new(Code::BodyInvalid, detail).at_field("role"));
    }
    if tokens.records().len() >= TOKENS_MAX {
        let detail = format!("There are {TOKENS_MAX} tokens, more are not taken.");
        return Err(Problem::new(Code::BodyInvalid, detail));
    }
    Ok(())
}

/// Removes a token. When the last one is removed, requests need none again.
#[utoipa::path(
    delete, operation_id = "remove_token", path = "/tokens/{name}", tag = "tokens",
    params(("name" = String, Path, description = "The token's name.")),
    responses((status = 204), Failure),
)]
async fn remove(
    auth: AuthContext,
    State(api): State<Api>,
    Path(name): Path<String>,
    params: Params,
) -> Result<StatusCode, Problem> {
    auth.require(Role::Admin)?;
    params.finish()?;
    let tokens = api.backend.tokens();
    let others = || tokens.records().iter().filter(|record| record.name != name);
    let known = others().count() < tokens.records().len();
    if known && others().count() > 0 && !others().any(|record| record.role == Role::Admin) {
        let detail = format!("Without \"{name}\" nobody could make or remove tokens.");
        return Err(Problem::new(Code::TokenNeeded, detail));
    }
    api.backend.remove_token(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}
