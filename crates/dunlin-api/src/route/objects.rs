//! Object definitions: what is known, and adding more as the standard's DDF files.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, header};
use dunlin_lwm2m::definition::{DDF_BYTES_MAX, ObjectDefinition, ResourceDefinition, parse_ddf};
use dunlin_lwm2m::{ObjectId, ObjectVersion};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::describe::Failure;
use crate::auth::{AuthContext, Role};
use crate::backend::DefinitionFile;
use crate::error::{Code, Problem};
use crate::extract::{Body, Params, excerpt};
use crate::state::Api;
use crate::tree::Members;
use crate::value;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, add))
        .routes(routes!(show, put))
        .routes(routes!(show_version, put_version))
        // JSON around the file escapes its quotes and line ends.
        .layer(DefaultBodyLimit::max(2 * DDF_BYTES_MAX))
}

/// The definitions.
#[derive(Serialize, ToSchema)]
struct ObjectsListView {
    objects: Vec<ObjectSummaryView>,
}

/// A definition in short.
#[derive(Serialize, ToSchema)]
struct ObjectSummaryView {
    id: u16,
    version: String,
    name: String,
    /// Whether it may have more than one instance.
    multiple: bool,
    /// Whether every Client has it.
    mandatory: bool,
}

/// A definition.
#[derive(Serialize, ToSchema)]
struct ObjectDefinitionView {
    id: u16,
    version: String,
    /// All versions that are known, this one included.
    versions: Vec<String>,
    /// The lowest version of LwM2M that has what the Object needs.
    lwm2m_version: String,
    urn: String,
    name: String,
    description: String,
    /// Whether it may have more than one instance.
    multiple: bool,
    /// Whether every Client has it.
    mandatory: bool,
    resources: Vec<ResourceDefinitionView>,
}

/// The definition of a Resource.
#[derive(Serialize, ToSchema)]
struct ResourceDefinitionView {
    id: u16,
    name: String,
    /// `R`, `W`, `RW`, `E`, or empty for what only a Bootstrap-Server reaches.
    operations: String,
    multiple: bool,
    mandatory: bool,
    /// `string integer float boolean opaque time objlnk unsigned corelnk none`
    r#type: &'static str,
    /// In the words of the definition.
    range: Option<String>,
    unit: Option<String>,
    description: String,
}

/// A DDF file as JSON; `application/xml` takes it as it is.
#[derive(ToSchema)]
#[allow(
    dead_code,
    reason = "describes the body; it is read member by member for exact problems"
)]
struct NewDefinition {
    xml: String,
}

/// The definitions that were added.
#[derive(Serialize, ToSchema)]
struct AddedView {
    objects: Vec<ObjectSummaryView>,
}

/// Lists the object definitions.
#[utoipa::path(
    get, operation_id = "list_objects", path = "/objects", tag = "objects",
    responses((status = 200, body = ObjectsListView), Failure),
)]
async fn list(
    auth: AuthContext,
    State(api): State<Api>,
    params: Params,
) -> Result<Json<ObjectsListView>, Problem> {
    auth.require(Role::Read)?;
    params.finish()?;
    let definitions = api.backend.definitions();
    let objects = definitions
        .iter()
        .map(|definition| summary(definition))
        .collect();
    Ok(Json(ObjectsListView { objects }))
}

/// Shows the newest definition of an Object.
#[utoipa::path(
    get, operation_id = "show_object", path = "/objects/{id}", tag = "objects",
    params(("id" = u16, Path, description = "Object ID.")),
    responses((status = 200, body = ObjectDefinitionView), Failure),
)]
async fn show(
    auth: AuthContext,
    State(api): State<Api>,
    Path(id): Path<String>,
    params: Params,
) -> Result<Json<ObjectDefinitionView>, Problem> {
    auth.require(Role::Read)?;
    params.finish()?;
    find(&api, &id, None).map(Json)
}

/// Shows the definition of an Object in one version.
#[utoipa::path(
    get, operation_id = "show_object_version", path = "/objects/{id}/{version}", tag = "objects",
    params(
        ("id" = u16, Path, description = "Object ID."),
        ("version" = String, Path, description = "Such as 1.0."),
    ),
    responses((status = 200, body = ObjectDefinitionView), Failure),
)]
async fn show_version(
    auth: AuthContext,
    State(api): State<Api>,
    Path((id, version)): Path<(String, String)>,
    params: Params,
) -> Result<Json<ObjectDefinitionView>, Problem> {
    auth.require(Role::Read)?;
    params.finish()?;
    find(&api, &id, Some(&version)).map(Json)
}

/// Adds the object definitions of a DDF file, or replaces those of the same id and version.
#[utoipa::path(
    put, operation_id = "add_objects", path = "/objects", tag = "objects",
    request_body(content(
        (String = "application/xml", example = "<LWM2M>…</LWM2M>"),
        (NewDefinition = "application/json"),
    )),
    responses((status = 200, body = AddedView), Failure),
)]
async fn add(
    auth: AuthContext,
    State(api): State<Api>,
    params: Params,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<AddedView>, Problem> {
    auth.require(Role::Admin)?;
    params.finish()?;
    store(&api, &headers, &body, None, None).await
}

/// Adds or replaces a definition of this Object.
#[utoipa::path(
    put, operation_id = "put_object", path = "/objects/{id}", tag = "objects",
    params(("id" = u16, Path, description = "Object ID.")),
    request_body(content((String = "application/xml"), (NewDefinition = "application/json"))),
    responses((status = 200, body = AddedView), Failure),
)]
async fn put(
    auth: AuthContext,
    State(api): State<Api>,
    Path(id): Path<String>,
    params: Params,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<AddedView>, Problem> {
    auth.require(Role::Admin)?;
    params.finish()?;
    store(&api, &headers, &body, Some(&id), None).await
}

/// Adds or replaces the definition of this Object in this version.
#[utoipa::path(
    put, operation_id = "put_object_version", path = "/objects/{id}/{version}", tag = "objects",
    params(
        ("id" = u16, Path, description = "Object ID."),
        ("version" = String, Path, description = "Such as 1.0."),
    ),
    request_body(content((String = "application/xml"), (NewDefinition = "application/json"))),
    responses((status = 200, body = AddedView), Failure),
)]
async fn put_version(
    auth: AuthContext,
    State(api): State<Api>,
    Path((id, version)): Path<(String, String)>,
    params: Params,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<AddedView>, Problem> {
    auth.require(Role::Admin)?;
    params.finish()?;
    store(&api, &headers, &body, Some(&id), Some(&version)).await
}

/// Reads a DDF file and hands it on. Where the path names an Object or a version, the file must define that and
/// nothing else.
async fn store(
    api: &Api,
    headers: &HeaderMap,
    body: &Body,
    id: Option<&str>,
    version: Option<&str>,
) -> Result<Json<AddedView>, Problem> {
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.to_ascii_lowercase().contains("json"));
    let xml = if is_json {
        xml_in_json(body)?
    } else {
        body.0.to_vec()
    };
    let definitions = parse_ddf(&xml).map_err(|error| {
        Problem::new(Code::DefinitionInvalid, format!("{}.", error.problem))
            .at_place(error.line as u64, error.column as u64)
    })?;
    for definition in &definitions {
        let other_id = id.is_some_and(|id| definition.id.to_string() != id);
        let other_version =
            version.is_some_and(|version| definition.version.to_string() != version);
        if other_id || other_version {
            let detail = format!(
                "The file defines the Object {} in version {}, which is not what the path says.",
                definition.id, definition.version
            );
            return Err(Problem::new(Code::DefinitionInvalid, detail));
        }
    }
    let objects = definitions.iter().map(summary).collect();
    let text = String::from_utf8_lossy(&xml);
    let files = definitions
        .iter()
        .map(|definition| DefinitionFile {
            object: definition.id,
            version: definition.version,
            xml: text.clone().into_owned(),
        })
        .collect();
    api.backend.add_definitions(files).await?;
    Ok(Json(AddedView { objects }))
}

fn xml_in_json(body: &Body) -> Result<Vec<u8>, Problem> {
    let json = body.json()?;
    let mut members = Members::of(&json, "")?;
    let xml = members.take("xml");
    members.finish()?;
    let invalid = |detail: String| Problem::new(Code::BodyInvalid, detail).at_field("xml");
    match xml {
        Some(serde_json::Value::String(xml)) => Ok(xml.clone().into_bytes()),
        Some(other) => Err(invalid(format!(
            "Expected a string, found {}.",
            value::found(other)
        ))),
        None => Err(invalid("\"xml\" is missing.".into())),
    }
}

fn find(api: &Api, id: &str, version: Option<&str>) -> Result<ObjectDefinitionView, Problem> {
    let unknown = || {
        let what = version.map(|version| format!(" in version {}", excerpt(version)));
        Problem::new(
            Code::DefinitionUnknown,
            format!(
                "The Object {}{} is not defined.",
                excerpt(id),
                what.unwrap_or_default()
            ),
        )
    };
    let object = ObjectId(id.parse().map_err(|_| unknown())?);
    let definitions = api.backend.definitions();
    let found = match version {
        None => definitions.latest(object),
        Some(version) => {
            let version: ObjectVersion = version.parse().map_err(|_| unknown())?;
            definitions.exact(object, version)
        }
    };
    let definition = found.ok_or_else(unknown)?;
    let versions: BTreeSet<_> = definitions
        .versions(object)
        .map(|found| found.version)
        .collect();
    Ok(ObjectDefinitionView {
        id: definition.id.0,
        version: definition.version.to_string(),
        versions: versions.iter().map(ObjectVersion::to_string).collect(),
        lwm2m_version: definition.lwm2m_version.to_string(),
        urn: definition.urn(),
        name: definition.name.to_string(),
        description: definition.description.to_string(),
        multiple: definition.multiple,
        mandatory: definition.mandatory,
        resources: definition.resources.iter().map(resource).collect(),
    })
}

fn summary(definition: &ObjectDefinition) -> ObjectSummaryView {
    ObjectSummaryView {
        id: definition.id.0,
        version: definition.version.to_string(),
        name: definition.name.to_string(),
        multiple: definition.multiple,
        mandatory: definition.mandatory,
    }
}

fn resource(definition: &ResourceDefinition) -> ResourceDefinitionView {
    let text = |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_string());
    ResourceDefinitionView {
        id: definition.id.0,
        name: definition.name.to_string(),
        operations: definition.operations.to_string(),
        multiple: definition.multiple,
        mandatory: definition.mandatory,
        r#type: definition.value_type.name(),
        range: text(&definition.range_text),
        unit: text(&definition.units),
        description: definition.description.to_string(),
    }
}
