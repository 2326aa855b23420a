//! Credentials: who may connect, and with what. Keys go in and never come out.

use axum::Json;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use data_encoding::{BASE64, HEXLOWER};
use dunlin_lwm2m::EndpointName;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::describe::{ClientPath, Failure};
use crate::auth::{AuthContext, Role};
use crate::credential::{
    CREDENTIALS_PER_ENDPOINT_MAX, Change, Counts, Credential, CredentialId, Doors, Key,
    NewCredential, Proof, Query, Refused, fingerprint, fingerprint_text,
};
use crate::csv;
use crate::error::{Code, Fault, Problem};
use crate::extract::{Body, Params, Target, fault, parse_endpoint};
use crate::state::Api;
use crate::time::Timestamp;
use crate::tree::Members;

/// The largest import: a hundred thousand rows with long names.
const IMPORT_BYTES_MAX: usize = 16 * 1024 * 1024;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(import))
        .layer(DefaultBodyLimit::max(IMPORT_BYTES_MAX))
        .routes(routes!(list))
        .routes(routes!(show, replace, add, remove_all))
        .routes(routes!(remove))
        .routes(routes!(server_identity))
}

/// A page of credentials.
#[derive(Serialize, ToSchema)]
struct CredentialsPageView {
    /// By endpoint name.
    endpoints: Vec<EndpointCredentialsView>,
    /// `cursor` for the next page; null if this is the last.
    next: Option<String>,
    /// Credentials in all.
    total: u64,
}

/// The credentials of one endpoint name.
#[derive(Serialize, ToSchema)]
struct EndpointCredentialsView {
    endpoint: String,
    /// The oldest first.
    credentials: Vec<CredentialView>,
    /// What the operator should know of what was just put in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// A credential, without its key.
#[derive(Serialize, ToSchema)]
#[schema(as = Credential)]
struct CredentialView {
    /// Names it among those of its endpoint name.
    #[schema(example = "9f3c01aa")]
    id: String,
    /// `psk`, `rpk` or `x509`
    mode: &'static str,
    r#for: Doors,
    /// Of a PSK: what the Client sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    /// Of a PSK whose identity is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    identity_hex: Option<String>,
    /// Of a public key or a pinned certificate: SHA-256 over its DER.
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    /// Of a certificate: the name that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    /// Of a pinned certificate: when it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_after: Option<Timestamp>,
    added_at: Timestamp,
}

/// What an import does, or would do.
#[derive(Serialize, ToSchema)]
struct ImportView {
    /// True when nothing was changed.
    dry_run: bool,
    /// Rows with a credential.
    rows: usize,
    /// Credentials that are new.
    added: usize,
    /// Credentials with another key, or other doors, than before.
    altered: usize,
    /// Credentials that stood there already.
    unchanged: usize,
    /// What the operator should know, by row; at most 100.
    warnings: Vec<Fault>,
}

/// What Clients must know of the Server to trust it.
#[derive(Serialize, ToSchema)]
struct ServerIdentityView {
    /// PEM, for raw public keys.
    public_key: String,
    /// SHA-256 over its DER.
    public_key_fingerprint: String,
    /// PEM, its own certificate first; null where it has none.
    certificate: Option<String>,
    /// SHA-256 over the DER of its own certificate.
    certificate_fingerprint: Option<String>,
}

/// Credentials to put in.
#[derive(ToSchema)]
#[schema(example = json!({"credentials": [{"mode": "psk", "identity": "lamp", "key": "000102030405060708090a0b0c0d0e0f"}]}))]
#[allow(
    dead_code,
    reason = "describes the body; it is read member by member for exact problems"
)]
struct NewCredentials {
    credentials: Vec<NewCredentialBody>,
    /// Of those that do not say it themselves; `both` without it.
    r#for: Option<Doors>,
}

/// A credential to put in.
#[derive(ToSchema)]
#[allow(
    dead_code,
    reason = "describes the body; it is read member by member for exact problems"
)]
struct NewCredentialBody {
    /// `psk`, `rpk` or `x509`
    mode: String,
    /// Of a PSK: what the Client sends; the endpoint name without it.
    identity: Option<String>,
    /// Instead of `identity`, where that is no text.
    identity_hex: Option<String>,
    /// Of a PSK: hexadecimal or base64.
    key: Option<String>,
    /// Of `rpk`: PEM, or base64 of its DER.
    public_key: Option<String>,
    /// Of `x509`: this very certificate, in PEM, or base64 of its DER.
    certificate: Option<String>,
    /// Of `x509`: any certificate for this name from an authority that the Server trusts.
    subject: Option<String>,
    r#for: Option<Doors>,
}

#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes the query; Params reads it")]
struct ListQuery {
    /// Part of the endpoint name.
    q: Option<String>,
    /// `server` or `bootstrap`: those that open there.
    r#for: Option<String>,
    /// Endpoint names on the page, 1 to 1000.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes the query; Params reads it")]
struct ImportQuery {
    /// true: check the whole file and say what it would do.
    dry_run: Option<bool>,
}

/// Lists who may connect.
#[utoipa::path(
    get, operation_id = "list_credentials", path = "/credentials", tag = "credentials", params(ListQuery),
    responses((status = 200, body = CredentialsPageView), Failure),
)]
async fn list(
    auth: AuthContext,
    State(api): State<Api>,
    mut params: Params,
) -> Result<Json<CredentialsPageView>, Problem> {
    auth.require(Role::Read)?;
    let doors = match params.take("for").as_deref() {
        None => None,
        Some(word) => Some(
            Doors::from_name(word)
                .ok_or_else(|| fault("for", "Expected server, bootstrap or both.".into()))?,
        ),
    };
    let query = Query {
        q: params.take("q").filter(|q| !q.is_empty()),
        doors,
        limit: params.take_limit()?,
        after: params.take("cursor"),
    };
    params.finish()?;
    let page = api.backend.credentials(query).await?;
    let last = page
        .endpoints
        .last()
        .map(|(endpoint, _)| endpoint.to_string());
    Ok(Json(CredentialsPageView {
        next: last.filter(|_| page.more),
        total: page.total,
        endpoints: page
            .endpoints
            .iter()
            .map(|(endpoint, credentials)| view(endpoint, credentials, Vec::new()))
            .collect(),
    }))
}

/// Shows the credentials of one endpoint name.
#[utoipa::path(
    get, operation_id = "show_credentials", path = "/credentials/{ep}", tag = "credentials", params(ClientPath),
    responses((status = 200, body = EndpointCredentialsView), Failure),
)]
async fn show(
    auth: AuthContext,
    State(api): State<Api>,
    target: Target,
    params: Params,
) -> Result<Json<EndpointCredentialsView>, Problem> {
    auth.require(Role::Read)?;
    params.finish()?;
    let credentials = api.backend.credentials_of(&target.endpoint).await?;
    if credentials.is_empty() {
        return Err(unknown(&target.endpoint));
    }
    Ok(Json(view(&target.endpoint, &credentials, Vec::new())))
}

/// Puts the credentials of one endpoint name in the place of all it had.
#[utoipa::path(
    put, operation_id = "replace_credentials", path = "/credentials/{ep}", tag = "credentials", params(ClientPath),
    request_body = NewCredentials, responses((status = 200, body = EndpointCredentialsView), Failure),
)]
async fn replace(
    auth: AuthContext,
    State(api): State<Api>,
    target: Target,
    params: Params,
    body: Body,
) -> Result<Json<EndpointCredentialsView>, Problem> {
    auth.require(Role::Admin)?;
    params.finish()?;
    put(&api, &target.endpoint, &body, Change::Replace).await
}

/// Adds credentials to those that an endpoint name has: the new key of a roll-over.
#[utoipa::path(
    post, operation_id = "add_credentials", path = "/credentials/{ep}", tag = "credentials", params(ClientPath),
    request_body = NewCredentials, responses((status = 200, body = EndpointCredentialsView), Failure),
)]
async fn add(
    auth: AuthContext,
    State(api): State<Api>,
    target: Target,
    params: Params,
    body: Body,
) -> Result<Json<EndpointCredentialsView>, Problem> {
    auth.require(Role::Admin)?;
    params.finish()?;
    put(&api, &target.endpoint, &body, Change::Add).await
}

/// Removes all credentials of an endpoint name, and closes the sessions made by them.
#[utoipa::path(
    delete, operation_id = "remove_credentials", path = "/credentials/{ep}", tag = "credentials", params(ClientPath),
    responses((status = 204), Failure),
)]
async fn remove_all(
    auth: AuthContext,
    State(api): State<Api>,
    target: Target,
    params: Params,
) -> Result<StatusCode, Problem> {
    auth.require(Role::Admin)?;
    params.finish()?;
    let changes = vec![(target.endpoint.clone(), Change::Replace(Vec::new()))];
    let counts = change(&api, changes, false).await?.map_err(refused)?;
    if counts.removed == 0 {
        return Err(unknown(&target.endpoint));
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Removes one credential of an endpoint name, and closes the sessions made by it.
#[utoipa::path(
    delete, operation_id = "remove_credential", path = "/credentials/{ep}/{id}", tag = "credentials",
    params(
        ("ep" = String, Path, description = "The endpoint name, percent-encoded, or `~` and its base64url form."),
        ("id" = String, Path, description = "The credential's id."),
    ),
    responses((status = 204), Failure),
)]
async fn remove(
    auth: AuthContext,
    State(api): State<Api>,
    Path((endpoint, id)): Path<(String, String)>,
    params: Params,
) -> Result<StatusCode, Problem> {
    auth.require(Role::Admin)?;
    params.finish()?;
    let endpoint = parse_endpoint(&endpoint)?;
    let counts = match CredentialId::parse(&id) {
        Some(id) => {
            let changes = vec![(endpoint.clone(), Change::Remove(id))];
            change(&api, changes, false).await?.map_err(refused)?
        }
        None => Counts::default(),
    };
    if counts.removed == 0 {
        let detail = format!("\"{endpoint}\" has no credential with this id.");
        return Err(Problem::new(Code::CredentialUnknown, detail));
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Adds the credentials of a CSV file: all of them, or none if there is a fault.
#[utoipa::path(
    post, operation_id = "import_credentials", path = "/credentials/import", tag = "credentials", params(ImportQuery),
    request_body(content = String, content_type = "text/csv", example = "endpoint,key,for\nlamp,000102030405060708090a0b0c0d0e0f,both\n"),
    responses((status = 200, body = ImportView), Failure),
)]
async fn import(
    auth: AuthContext,
    State(api): State<Api>,
    mut params: Params,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ImportView>, Problem> {
    auth.require(Role::Admin)?;
    let dry_run = params.take_bool("dry_run")?.unwrap_or(false);
    params.finish()?;
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    if !media_type.is_some_and(|value| value.trim_start().starts_with("text/csv")) {
        let detail = "An import is a CSV file: send it with 'Content-Type: text/csv'.";
        return Err(Problem::new(Code::MediaTypeUnsupported, detail));
    }
    let text = std::str::from_utf8(&body.0).map_err(|error| {
        let row = body.0[..error.valid_up_to()]
            .split(|byte| *byte == b'\n')
            .count();
        let detail = "The file is not UTF-8; save it as \"CSV UTF-8\".".to_owned();
        faulty(vec![Fault {
            row,
            column: None,
            detail,
        }])
    })?;
    let read = csv::read(text).map_err(faulty)?;
    let rows = read.rows;
    let counts = change(&api, read.changes, dry_run)
        .await?
        .map_err(|refused| {
            let row = rows.get(refused.change).copied().unwrap_or(1);
            let detail = format!("{}.", refused.reason);
            faulty(vec![Fault {
                row,
                column: None,
                detail,
            }])
        })?;
    Ok(Json(ImportView {
        dry_run,
        rows: rows.len(),
        added: counts.added,
        altered: counts.altered,
        unchanged: counts.unchanged,
        warnings: read.warnings,
    }))
}

/// Shows the Server's public key and certificate, which Clients are given to know it by.
#[utoipa::path(
    get, operation_id = "show_server_identity", path = "/server/identity", tag = "credentials",
    responses((status = 200, body = ServerIdentityView), Failure),
)]
async fn server_identity(
    auth: AuthContext,
    State(api): State<Api>,
    params: Params,
) -> Result<Json<ServerIdentityView>, Problem> {
    auth.require(Role::Read)?;
    params.finish()?;
    let identity = api.backend.server_identity().await?;
    let chain = identity.chain.iter().map(|der| pem("CERTIFICATE", der));
    Ok(Json(ServerIdentityView {
        public_key: pem("PUBLIC KEY", &identity.public_key),
        public_key_fingerprint: fingerprint_text(&fingerprint(&identity.public_key)),
        certificate: (!identity.chain.is_empty()).then(|| chain.collect()),
        certificate_fingerprint: identity
            .chain
            .first()
            .map(|der| fingerprint_text(&fingerprint(der))),
    }))
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let lines: Vec<&str> = (0..text.len())
        .step_by(64)
        .map(|at| &text[at..text.len().min(at + 64)])
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

fn view(
    endpoint: &EndpointName,
    credentials: &[Credential],
    warnings: Vec<String>,
) -> EndpointCredentialsView {
    EndpointCredentialsView {
        endpoint: endpoint.to_string(),
        credentials: credentials.iter().map(CredentialView::from).collect(),
        warnings,
    }
}

impl From<&Credential> for CredentialView {
    fn from(credential: &Credential) -> CredentialView {
        let mut view = CredentialView {
            id: credential.id.to_string(),
            mode: credential.proof.mode(),
            r#for: credential.doors,
            identity: None,
            identity_hex: None,
            fingerprint: None,
            subject: None,
            not_after: None,
            added_at: credential.added_at,
        };
        match &credential.proof {
            Proof::Psk { identity } => match std::str::from_utf8(identity) {
                Ok(text) => view.identity = Some(text.to_owned()),
                Err(_) => view.identity_hex = Some(HEXLOWER.encode(identity)),
            },
            Proof::Rpk { fingerprint } => view.fingerprint = Some(fingerprint_text(fingerprint)),
            Proof::Certificate {
                fingerprint,
                subject,
                not_after,
            } => {
                view.fingerprint = Some(fingerprint_text(fingerprint));
                view.subject.clone_from(subject);
                view.not_after = *not_after;
            }
            Proof::Subject(name) => view.subject = Some(name.clone()),
        }
        view
    }
}

fn unknown(endpoint: &EndpointName) -> Problem {
    let detail = format!("\"{endpoint}\" has no credentials.");
    Problem::new(Code::CredentialUnknown, detail)
}

fn refused(refused: Refused) -> Problem {
    let code = if refused.taken {
        Code::CredentialTaken
    } else {
        Code::CredentialInvalid
    };
    let field = format!("credentials[{}]", refused.credential);
    Problem::new(code, format!("{}.", refused.reason)).at_field(field)
}

fn faulty(faults: Vec<Fault>) -> Problem {
    let first = &faults[0];
    let column = first
        .column
        .as_ref()
        .map(|column| format!(", column {column}"));
    let others = match faults.len() {
        1 => String::new(),
        count => format!(" There are {} more.", count - 1),
    };
    let detail = format!(
        "Row {}{}: {}{others}",
        first.row,
        column.unwrap_or_default(),
        first.detail
    );
    Problem::new(Code::ImportInvalid, detail).with_faults(faults)
}

async fn change(
    api: &Api,
    changes: Vec<(EndpointName, Change)>,
    dry_run: bool,
) -> Result<Result<Counts, Refused>, Problem> {
    api.backend.change_credentials(changes, dry_run).await
}

async fn put(
    api: &Api,
    endpoint: &EndpointName,
    body: &Body,
    how: impl FnOnce(Vec<NewCredential>) -> Change,
) -> Result<Json<EndpointCredentialsView>, Problem> {
    let json = body.json()?;
    let new = parse(&json, endpoint)?;
    let warnings = new.iter().filter_map(NewCredential::warning).collect();
    change(api, vec![(endpoint.clone(), how(new))], false)
        .await?
        .map_err(refused)?;
    let credentials = api.backend.credentials_of(endpoint).await?;
    Ok(Json(view(endpoint, &credentials, warnings)))
}

fn wrong(field: &str, detail: impl Into<String>) -> Problem {
    Problem::new(Code::CredentialInvalid, detail).at_field(field)
}

fn parse(json: &Value, endpoint: &EndpointName) -> Result<Vec<NewCredential>, Problem> {
    let mut members = Members::of(json, "")?;
    let doors = doors(members.take("for"), "for", Doors::Both)?;
    let list = members.take("credentials");
    members.finish()?;
    let list = list
        .and_then(Value::as_array)
        .filter(|list| !list.is_empty() && list.len() <= CREDENTIALS_PER_ENDPOINT_MAX)
        .ok_or_else(|| {
            wrong(
                "credentials",
                format!("Expected a list of 1 to {CREDENTIALS_PER_ENDPOINT_MAX} credentials."),
            )
        })?;
    list.iter()
        .enumerate()
        .map(|(number, one)| parse_one(one, &format!("credentials[{number}]"), doors, endpoint))
        .collect()
}

fn doors(json: Option<&Value>, field: &str, without: Doors) -> Result<Doors, Problem> {
    match json {
        None | Some(Value::Null) => Ok(without),
        Some(word) => word
            .as_str()
            .and_then(Doors::from_name)
            .ok_or_else(|| wrong(field, "Expected server, bootstrap or both.")),
    }
}

fn parse_one(
    json: &Value,
    at: &str,
    without: Doors,
    endpoint: &EndpointName,
) -> Result<NewCredential, Problem> {
    let mut members = Members::of(json, at)?;
    let doors = doors(members.take("for"), &members.field("for"), without)?;
    let mode = members.take("mode").and_then(Value::as_str);
    let mut text = |name: &'static str| match members.take(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(wrong(&members.field(name), "Expected a string.")),
    };
    let field = |name: &str| format!("{at}.{name}");
    let missing = |name: &str| wrong(&field(name), "It is missing.");
    let new = match mode {
        Some("psk") => {
            let identity = match (text("identity")?, text("identity_hex")?) {
                (Some(identity), None) => identity.as_bytes().to_vec(),
                (None, Some(digits)) => data_encoding::HEXLOWER_PERMISSIVE
                    .decode(digits.as_bytes())
                    .map_err(|_| {
                        wrong(
                            &field("identity_hex"),
                            "Expected an even number of hexadecimal digits.",
                        )
                    })?,
                (None, None) => endpoint.as_str().as_bytes().to_vec(),
                (Some(_), Some(_)) => {
                    return Err(wrong(
                        &field("identity_hex"),
                        "Give identity or identity_hex, not both.",
                    ));
                }
            };
            let key = Key::parse(text("key")?.ok_or_else(|| missing("key"))?)
                .map_err(|detail| wrong(&field("key"), detail))?;
            NewCredential::psk(&identity, key, doors)
                .map_err(|detail| wrong(&field("identity"), detail))
        }
        Some("rpk") => {
            let key = text("public_key")?.ok_or_else(|| missing("public_key"))?;
            NewCredential::rpk(key, doors).map_err(|detail| wrong(&field("public_key"), detail))
        }
        Some("x509") => match (text("certificate")?, text("subject")?) {
            (Some(certificate), None) => NewCredential::certificate(certificate, doors)
                .map_err(|detail| wrong(&field("certificate"), detail)),
            (None, Some(name)) => NewCredential::subject(name, doors)
                .map_err(|detail| wrong(&field("subject"), detail)),
            _ => Err(wrong(
                &field("certificate"),
                "Expected certificate or subject, one of them.",
            )),
        },
        _ => Err(wrong(&field("mode"), "Expected psk, rpk or x509.")),
    }?;
    members.finish()?;
    Ok(new)
}
