//! The Bootstrap-Server: profiles, the plan for a Client, beginning a run, the history of runs.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use dunlin_lwm2m::{EndpointName, Path as LwPath, Registry, Value as LwValue};
use dunlin_server::bootstrap::{BootstrapRun, Plan, ProfileName, RunState, Shown};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::describe::{ClientPath, Failure};
use crate::address::ClientAddress;
use crate::auth::{AuthContext, Role};
use crate::backend::{ProfilePut, ProfileRefused};
use crate::error::{Code, Problem};
use crate::extract::{Body, Params, Target, excerpt, fault, parse_endpoint};
use crate::profile::{self, ProfileBody};
use crate::state::Api;
use crate::time::Timestamp;
use crate::{tree, value};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_profiles))
        .routes(routes!(show_profile, put_profile, remove_profile))
        .routes(routes!(plan))
        .routes(routes!(runs))
        .routes(routes!(begin))
}

/// The profiles.
#[derive(Serialize, ToSchema)]
struct ProfilesView {
    /// By name, without their keys.
    #[schema(value_type = Vec<ProfileBody>)]
    profiles: Vec<Value>,
}

/// What came of putting a profile.
#[derive(Serialize, ToSchema)]
struct ProfilePutView {
    #[schema(value_type = ProfileBody)]
    profile: Value,
    /// True when nothing was changed.
    dry_run: bool,
    /// Whether one of this name was there before.
    replaced: bool,
    /// What is worth a second look.
    warnings: Vec<String>,
}

/// The steps of a bootstrap run, before it begins.
#[derive(Serialize, ToSchema)]
struct PlanView {
    endpoint: String,
    /// The profile that is for this Client.
    profile: String,
    steps: Vec<PlanStepView>,
}

/// A request to the Client.
#[derive(Serialize, ToSchema)]
struct PlanStepView {
    /// `discover`, `delete`, `write` or `finish`
    operation: &'static str,
    path: String,
    /// What is written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    values: Vec<PlanValueView>,
}

/// A value that is written.
#[derive(Serialize, ToSchema)]
struct PlanValueView {
    path: String,
    /// By the definition.
    name: Option<String>,
    /// Absent for a key.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    /// Of bytes that are text, such as a PSK identity: the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// Of a key: how many bytes it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_bytes: Option<usize>,
}

/// Bootstrap runs.
#[derive(Serialize, ToSchema)]
struct RunsView {
    /// The newest first.
    runs: Vec<RunView>,
}

/// A bootstrap run.
#[derive(Serialize, ToSchema)]
#[schema(as = BootstrapRun)]
struct RunView {
    id: String,
    endpoint: String,
    /// Who began: `client` or `server`
    initiator: &'static str,
    profile: String,
    address: String,
    /// `nosec`, `psk`, `rpk` or `x509`
    security: &'static str,
    started_at: Timestamp,
    ended_at: Option<Timestamp>,
    /// `running`, `succeeded` or `failed`
    state: &'static str,
    /// Why it failed, as a stable word.
    failure: Option<&'static str>,
    /// Why it failed, for people.
    reason: Option<String>,
    /// The version of LwM2M that the Client told.
    version: Option<String>,
    steps: Vec<RunStepView>,
}

/// A step that was taken.
#[derive(Serialize, ToSchema)]
struct RunStepView {
    /// `discover`, `delete`, `write` or `finish`
    operation: &'static str,
    path: String,
    /// `done`, `passed_over` (refused, and the run went on), `refused` or `unanswered`; null while it is under way
    outcome: Option<&'static str>,
    /// The Client's answer, such as `2.04`.
    code: Option<String>,
}

/// A run that has begun.
#[derive(Serialize, ToSchema)]
struct BegunView {
    /// Its id.
    run: String,
}

#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only describes the parameters")]
struct BeginParams {
    /// Where the Client listens: `HOST`, `HOST:PORT`, or either behind `coap://` or `coaps://`; where it registered without it.
    address: Option<String>,
}

#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes the query; Params reads it")]
struct PutQuery {
    /// true: check it alone.
    dry_run: Option<bool>,
}

#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes the query; Params reads it")]
struct PlanQuery {
    /// As if this profile were for the Client.
    profile: Option<String>,
}

#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes the query; Params reads it")]
struct RunsQuery {
    /// Those of one Client; the last of all without it.
    endpoint: Option<String>,
    /// 1 to 1000.
    limit: Option<u32>,
}

/// Lists the bootstrap profiles.
#[utoipa::path(
    get, operation_id = "list_profiles", path = "/profiles", tag = "bootstrap",
    responses((status = 200, body = ProfilesView), Failure),
)]
async fn list_profiles(
    auth: AuthContext,
    State(api): State<Api>,
    params: Params,
) -> Result<Json<ProfilesView>, Problem> {
    auth.require(Role::Read)?;
    params.finish()?;
    let definitions = api.backend.definitions();
    let profiles = api.backend.profiles()?;
    Ok(Json(ProfilesView {
        profiles: profiles
            .iter()
            .map(|one| profile::view(one, &definitions))
            .collect(),
    }))
}

/// Shows a bootstrap profile.
#[utoipa::path(
    get, operation_id = "show_profile", path = "/profiles/{name}", tag = "bootstrap",
    params(("name" = String, Path, description = "The profile's name.")),
    responses((status = 200, body = ProfileBody), Failure),
)]
async fn show_profile(
    auth: AuthContext,
    State(api): State<Api>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Json<Value>, Problem> {
    auth.require(Role::Read)?;
    params.finish()?;
    let profiles = api.backend.profiles()?;
    let found = profiles.iter().find(|one| one.name.as_str() == name);
    let found = found.ok_or_else(|| unknown(&name))?;
    Ok(Json(profile::view(found, &api.backend.definitions())))
}

/// Adds a bootstrap profile, or puts it in the place of the one with this name.
#[utoipa::path(
    put, operation_id = "put_profile", path = "/profiles/{name}", tag = "bootstrap",
    params(("name" = String, Path, description = "The profile's name."), PutQuery),
    request_body = ProfileBody, responses((status = 200, body = ProfilePutView), Failure),
)]
async fn put_profile(
    auth: AuthContext,
    State(api): State<Api>,
    Path(name): Path<String>,
    mut params: Params,
    body: Body,
) -> Result<Json<ProfilePutView>, Problem> {
    auth.require(Role::Admin)?;
    let dry_run = params.take_bool("dry_run")?.unwrap_or(false);
    params.finish()?;
    let name = ProfileName::new(&name).map_err(|error| {
        Problem::new(Code::ProfileInvalid, format!("{error}.")).at_field("name")
    })?;
    let definitions = api.backend.definitions();
    let parsed = profile::parse(name, &body.json()?, &definitions)?;
    let view = profile::view(&parsed, &definitions);
    let put = api.backend.put_profile(parsed, dry_run).await?;
    let ProfilePut { replaced, advice } = put.map_err(refused)?;
    Ok(Json(ProfilePutView {
        profile: view,
        dry_run,
        replaced,
        warnings: advice.iter().map(ToString::to_string).collect(),
    }))
}

/// Removes a bootstrap profile. What Clients were given stays with them.
#[utoipa::path(
    delete, operation_id = "remove_profile", path = "/profiles/{name}", tag = "bootstrap",
    params(("name" = String, Path, description = "The profile's name.")),
    responses((status = 204), Failure),
)]
async fn remove_profile(
    auth: AuthContext,
    State(api): State<Api>,
    Path(name): Path<String>,
    params: Params,
) -> Result<StatusCode, Problem> {
    auth.require(Role::Admin)?;
    params.finish()?;
    let removed = match ProfileName::new(&name) {
        Ok(parsed) => api.backend.remove_profile(parsed).await?,
        Err(_) => false,
    };
    if removed {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(unknown(&name))
    }
}

/// Shows what a Client would be given, in which steps. Keys that would be made are made for show.
#[utoipa::path(
    get, operation_id = "plan_bootstrap", path = "/bootstrap/plan/{ep}", tag = "bootstrap", params(ClientPath, PlanQuery),
    responses((status = 200, body = PlanView), Failure),
)]
async fn plan(
    auth: AuthContext,
    State(api): State<Api>,
    target: Target,
    mut params: Params,
) -> Result<Json<PlanView>, Problem> {
    auth.require(Role::Read)?;
    let by = match params.take("profile") {
        None => None,
        Some(name) => Some(ProfileName::new(&name).map_err(|_| unknown(&name))?),
    };
    params.finish()?;
    let (profile, plan) = api.backend.bootstrap_plan(&target.endpoint, by).await?;
    Ok(Json(plan_view(
        &target.endpoint,
        &profile,
        &plan,
        &api.backend.definitions(),
    )))
}

/// Lists bootstrap runs, the newest first. Of each Client the last 20 are kept.
#[utoipa::path(
    get, operation_id = "list_bootstrap_runs", path = "/bootstrap/runs", tag = "bootstrap", params(RunsQuery),
    responses((status = 200, body = RunsView), Failure),
)]
async fn runs(
    auth: AuthContext,
    State(api): State<Api>,
    mut params: Params,
) -> Result<Json<RunsView>, Problem> {
    auth.require(Role::Read)?;
    let endpoint = match params.take("endpoint") {
        None => None,
        Some(name) => {
            let parsed = EndpointName::new(&name);
            Some(parsed.map_err(|error| fault("endpoint", format!("{error}.")))?)
        }
    };
    let limit = params.take_limit()?;
    params.finish()?;
    let runs = api.backend.bootstrap_runs(endpoint, limit).await?;
    Ok(Json(RunsView {
        runs: runs.iter().map(RunView::from).collect(),
    }))
}

/// Bootstraps a Client now, without waiting for it to ask (server-initiated bootstrap).
#[utoipa::path(
    post, operation_id = "begin_bootstrap", path = "/clients/{ep}/bootstrap", tag = "bootstrap", params(ClientPath, BeginParams),
    responses((status = 202, description = "It has begun; the history of runs has how it goes", body = BegunView), Failure),
)]
async fn begin(
    auth: AuthContext,
    State(api): State<Api>,
    Path(endpoint): Path<String>,
    mut params: Params,
) -> Result<(StatusCode, Json<BegunView>), Problem> {
    auth.require(Role::Operate)?;
    let at = match params.take("address") {
        None => None,
        Some(text) => {
            let parsed: Result<ClientAddress, _> = text.parse();
            let wrong = |error| fault("address", format!("\"{}\": {error}.", excerpt(&text)));
            Some(parsed.map_err(wrong)?)
        }
    };
    params.finish()?;
    let endpoint = parse_endpoint(&endpoint)?;
    let run = api.backend.begin_bootstrap(&endpoint, at).await?;
    let run = run.to_string();
    Ok((StatusCode::ACCEPTED, Json(BegunView { run })))
}

fn unknown(name: &str) -> Problem {
    let detail = format!("No profile is named \"{}\".", excerpt(name));
    Problem::new(Code::ProfileUnknown, detail)
}

fn refused(refused: ProfileRefused) -> Problem {
    match refused {
        ProfileRefused::Faults(faults) => {
            let field = faults.first().map(|one| one.place.clone());
            let mut sentences = faults.iter().map(|one| one.wrong.to_string());
            let first = sentences.next().unwrap_or_default();
            let others: Vec<String> = faults.iter().skip(1).map(ToString::to_string).collect();
            let mut detail = format!("{first}.");
            if !others.is_empty() {
                detail = format!("{detail} Also: {}.", others.join("; "));
            }
            Problem::new(Code::ProfileInvalid, detail).at_field(field.unwrap_or_default())
        }
        ProfileRefused::Taken { by } => Problem::new(
            Code::ProfileTaken,
            format!("The profile \"{by}\" is for exactly the same Clients."),
        ),
        ProfileRefused::TooMany { max } => Problem::new(
            Code::ProfileTaken,
            format!("There are {max} profiles, more are not taken."),
        ),
    }
}

fn plan_view(
    endpoint: &EndpointName,
    profile: &ProfileName,
    plan: &Plan,
    definitions: &Registry,
) -> PlanView {
    let name = |path: LwPath| tree::name(path, tree::newest_definition(path, definitions));
    let steps = plan.steps.iter().map(|step| PlanStepView {
        operation: step.kind().name(),
        path: step.path().to_string(),
        values: step
            .values()
            .into_iter()
            .map(|(path, shown)| {
                let text = match &shown {
                    Shown::Value(LwValue::Opaque(bytes)) => text_of(bytes),
                    _ => None,
                };
                let (value, secret_bytes) = match shown {
                    Shown::Value(value) => (Some(value::to_json(&value)), None),
                    Shown::Secret { bytes } => (None, Some(bytes)),
                };
                PlanValueView {
                    path: path.to_string(),
                    name: name(path),
                    value,
                    text,
                    secret_bytes,
                }
            })
            .collect(),
    });
    PlanView {
        endpoint: endpoint.to_string(),
        profile: profile.to_string(),
        steps: steps.collect(),
    }
}

/// Bytes that a person can read: a PSK identity, as a rule.
fn text_of(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let is_readable = !text.is_empty() && !text.chars().any(char::is_control);
    is_readable.then(|| text.to_owned())
}

impl From<&BootstrapRun> for RunView {
    fn from(run: &BootstrapRun) -> RunView {
        let failure = match &run.state {
            RunState::Failed(failure) => Some(failure),
            RunState::Running | RunState::Succeeded => None,
        };
        RunView {
            id: run.id.to_string(),
            endpoint: run.endpoint.to_string(),
            initiator: run.initiator.name(),
            profile: run.profile.to_string(),
            address: run.address.to_string(),
            security: run.identity.security_name(),
            started_at: Timestamp(run.started_at.0),
            ended_at: run.ended_at.map(|at| Timestamp(at.0)),
            state: run.state.name(),
            failure: failure.map(|failure| failure.name()),
            reason: failure.map(ToString::to_string),
            version: run.version.map(|version| version.to_string()),
            steps: run
                .steps
                .iter()
                .map(|step| RunStepView {
                    operation: step.kind.name(),
                    path: step.path.to_string(),
                    outcome: step.outcome.map(|outcome| outcome.name()),
                    code: step.outcome.and_then(|outcome| outcome.code()),
                })
                .collect(),
        }
    }
}
