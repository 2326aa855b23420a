//! The LwM2M operations: a path of HTTP mirrors a path of LwM2M, listed by depth.
//!
//! Each route is a thin shell: it authorises, takes the query and the body apart, holds a body against the definition,
//! and hands one [`Command`] to the backend. What exists at one level only answers at the others with the reason.

#![allow(
    unused_qualifications,
    reason = "what utoipa makes of the names that the macros pass to it"
)]

use std::sync::Arc;

use axum::Json;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use dunlin_lwm2m::attribute::{Attributes, AttributesChange};
use dunlin_lwm2m::definition::ObjectDefinition;
use dunlin_lwm2m::operation::{Arguments, WriteMode};
use dunlin_lwm2m::{ContentFormat, Instance, Node, Path};
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::describe::{
    Accepted, AttributesQuery, CancelQuery, ExecuteArguments, Failure, FormatQuery, InstancePath,
    ObjectPath, OperateQuery, ReadQuery, ResourcePath, WriteInstance, WriteResource,
};
use crate::auth::{AuthContext, Role};
use crate::backend::{
    CancelBy, Command, Completion, CompletionAnswer, OperateSettings, Outcome, Request,
};
use crate::error::{COAP_HEADER, Code, Problem};
use crate::extract::{Body, Params, Target, excerpt, fault, segment};
use crate::state::Api;
use crate::tree::{self, Members};
use crate::value;
use crate::view::{AcceptedView, CreatedView, DiscoveredView, ReadingView, RequestView};

/// The largest body of a Write or Create: a TLV value has at most 16 777 215 bytes, and base64 needs a third more.
const VALUES_BYTES_MAX: usize = 24 * 1024 * 1024;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(
            read_object,
            write_object,
            patch_object,
            create,
            delete_object
        ))
        .routes(routes!(
            read_instance,
            write_instance,
            patch_instance,
            post_instance,
            delete_instance
        ))
        .routes(routes!(
            read_resource,
            write_resource,
            patch_resource,
            execute,
            delete_resource
        ))
        .layer(DefaultBodyLimit::max(VALUES_BYTES_MAX))
        .routes(routes!(discover_object))
        .routes(routes!(discover_instance))
        .routes(routes!(discover_resource))
        .routes(routes!(attributes_object))
        .routes(routes!(attributes_instance))
        .routes(routes!(attributes_resource))
        .routes(routes!(observe_object, cancel_object))
        .routes(routes!(observe_instance, cancel_instance))
        .routes(routes!(observe_resource, cancel_resource))
}

/// Declares a handler that only says why its level has no such operation.
macro_rules! refused {
    ($name:ident $method:ident $path:literal $params:ident $reason:literal) => {
        #[utoipa::path(
            $method, path = $path, tag = "management", params($params), responses(Failure),
            summary = "Refused: LwM2M has this operation at another level only.", description = $reason
        )]
        async fn $name(auth: AuthContext) -> Result<StatusCode, Problem> {
            auth.require(Role::Operate)?;
            Err(Problem::new(Code::OperationNotAllowed, $reason))
        }
    };
}

refused!(write_object put "/clients/{ep}/{o}" ObjectPath
    "An Object cannot be written as a whole. Write its Instances one by one (PUT …/{o}/{i}).");
refused!(patch_object patch "/clients/{ep}/{o}" ObjectPath
    "An Object cannot be written as a whole. Write its Instances one by one (PATCH …/{o}/{i}).");
refused!(delete_object delete "/clients/{ep}/{o}" ObjectPath
    "An Object cannot be deleted as a whole. Delete its Instances one by one (DELETE …/{o}/{i}).");
refused!(post_instance post "/clients/{ep}/{o}/{i}" InstancePath
    "POST creates an Instance at an Object (POST …/{o}) and executes a Resource (POST …/{o}/{i}/{r}); \
     for a partial Write of an Instance use PATCH.");
refused!(delete_resource delete "/clients/{ep}/{o}/{i}/{r}" ResourcePath
    "A Resource cannot be deleted. Delete its Object Instance (DELETE …/{o}/{i}), or write the Instance without it (PUT).");

/// Declares the handlers of one operation without a body at each depth, over one function that does the work.
macro_rules! operation {
    ($work:ident $method:ident $tag:literal $query:ident $responses:tt $doc:literal {
        $($name:ident $path:literal $params:ident)+
    }) => {$(
        #[utoipa::path(
            $method, path = $path, tag = $tag, params($params, $query), responses $responses, summary = $doc
        )]
        async fn $name(
            auth: AuthContext,
            State(api): State<Api>,
            target: Target,
            params: Params,
        ) -> Result<Response, Problem> {
            $work(&auth, &api, target, params).await
        }
    )+};
}

/// Declares a handler of an operation with values as its body.
macro_rules! write_operation {
    ($work:ident $method:ident $name:ident $path:literal $params:ident $body:ident $responses:tt $doc:literal) => {
        #[utoipa::path(
            $method, path = $path, tag = "management", params($params, FormatQuery), request_body = $body,
            responses $responses, summary = $doc
        )]
        async fn $name(
            auth: AuthContext,
            State(api): State<Api>,
            target: Target,
            params: Params,
            body: Body,
        ) -> Result<Response, Problem> {
            auth.require(Role::Operate)?;
            $work(&api, target, params, body).await
        }
    };
}

operation!(read get "management" ReadQuery ((status = 200, body = ReadingView), Accepted, Failure)
    "Reads values from the Client; with cached=true the last known ones, for which the role read is enough." {
    read_object "/clients/{ep}/{o}" ObjectPath
    read_instance "/clients/{ep}/{o}/{i}" InstancePath
    read_resource "/clients/{ep}/{o}/{i}/{r}" ResourcePath
});

async fn read(
    auth: &AuthContext,
    api: &Api,
    target: Target,
    mut params: Params,
) -> Result<Response, Problem> {
    if params.take_bool("cached")? == Some(true) {
        auth.require(Role::Read)?;
        params.finish()?;
        let reading = api.backend.cached(&target.endpoint, target.path).await?;
        let mut view = ReadingView::new(&reading, &api.backend.definitions());
        view.age_s = Some(api.backend.now().0.saturating_sub(reading.at.0) as f64 / 1000.0);
        return Ok(Json(view).into_response());
    }
    auth.require(Role::Operate)?;
    let accept = params.take_format()?;
    let settings = params.take_settings()?;
    params.finish()?;
    operate(
        api,
        &target,
        Command::Read {
            path: target.path,
            accept,
        },
        settings,
    )
    .await
}

operation!(discover get "management" OperateQuery ((status = 200, body = DiscoveredView), Accepted, Failure)
    "Discovers what exists at the target, with the attributes that this Server has set." {
    discover_object "/clients/{ep}/{o}/discover" ObjectPath
    discover_instance "/clients/{ep}/{o}/{i}/discover" InstancePath
    discover_resource "/clients/{ep}/{o}/{i}/{r}/discover" ResourcePath
});

async fn discover(
    auth: &AuthContext,
    api: &Api,
    target: Target,
    mut params: Params,
) -> Result<Response, Problem> {
    auth.require(Role::Operate)?;
    let settings = params.take_settings()?;
    params.finish()?;
    operate(
        api,
        &target,
        Command::Discover { path: target.path },
        settings,
    )
    .await
}

operation!(write_attributes put "reporting" AttributesQuery ((status = 204), Accepted, Failure)
    "Writes notification attributes; an empty value unsets one." {
    attributes_object "/clients/{ep}/{o}/attributes" ObjectPath
    attributes_instance "/clients/{ep}/{o}/{i}/attributes" InstancePath
    attributes_resource "/clients/{ep}/{o}/{i}/{r}/attributes" ResourcePath
});

async fn write_attributes(
    auth: &AuthContext,
    api: &Api,
    target: Target,
    mut params: Params,
) -> Result<Response, Problem> {
    auth.require(Role::Operate)?;
    let settings = params.take_settings()?;
    let rest = params.into_rest();
    let mut queries = Vec::with_capacity(rest.len());
    for (name, value) in &rest {
        let query = if value.is_empty() {
            name.clone()
        } else {
            format!("{name}={value}")
        };
        // One by one first, so that the problem can name the one at fault.
        AttributesChange::parse([query.as_str()]).map_err(|error| {
            Problem::new(Code::AttributesInvalid, sentence(error)).at_field(excerpt(name))
        })?;
        queries.push(query);
    }
    let attributes = AttributesChange::parse(queries.iter().map(String::as_str))
        .and_then(|change| change.check_level(target.path.level()).map(|()| change))
        .and_then(|change| change.apply_to(Attributes::NONE).check().map(|()| change))
        .map_err(|error| Problem::new(Code::AttributesInvalid, sentence(error)))?;
    let command = Command::WriteAttributes {
        path: target.path,
        attributes,
    };
    operate(api, &target, command, settings).await
}

operation!(observe post "reporting" FormatQuery ((status = 200, body = ReadingView), Accepted, Failure)
    "Observes the target: reads it now, and events of type notified tell of changes from now on." {
    observe_object "/clients/{ep}/{o}/observe" ObjectPath
    observe_instance "/clients/{ep}/{o}/{i}/observe" InstancePath
    observe_resource "/clients/{ep}/{o}/{i}/{r}/observe" ResourcePath
});

async fn observe(
    auth: &AuthContext,
    api: &Api,
    target: Target,
    mut params: Params,
) -> Result<Response, Problem> {
    auth.require(Role::Operate)?;
    let accept = params.take_format()?;
    let settings = params.take_settings()?;
    params.finish()?;
    operate(
        api,
        &target,
        Command::Observe {
            path: target.path,
            accept,
        },
        settings,
    )
    .await
}

operation!(cancel delete "reporting" CancelQuery
    ((status = 200, body = ReadingView), (status = 204), Accepted, Failure)
    "Cancels an observation." {
    cancel_object "/clients/{ep}/{o}/observe" ObjectPath
    cancel_instance "/clients/{ep}/{o}/{i}/observe" InstancePath
    cancel_resource "/clients/{ep}/{o}/{i}/{r}/observe" ResourcePath
});

async fn cancel(
    auth: &AuthContext,
    api: &Api,
    target: Target,
    mut params: Params,
) -> Result<Response, Problem> {
    auth.require(Role::Operate)?;
    let by = match params.take("by").as_deref() {
        None | Some("observe") => CancelBy::Observe,
        Some("reset") => CancelBy::Reset,
        Some(other) => {
            let detail = format!("\"{}\" is neither observe nor reset.", excerpt(other));
            return Err(fault("by", detail));
        }
    };
    let settings = params.take_settings()?;
    params.finish()?;
    operate(
        api,
        &target,
        Command::Cancel {
            path: target.path,
            by,
        },
        settings,
    )
    .await
}

operation!(delete delete "management" OperateQuery ((status = 204), Accepted, Failure)
    "Deletes an Object Instance." {
    delete_instance "/clients/{ep}/{o}/{i}" InstancePath
});

async fn delete(
    auth: &AuthContext,
    api: &Api,
    target: Target,
    mut params: Params,
) -> Result<Response, Problem> {
    auth.require(Role::Operate)?;
    let settings = params.take_settings()?;
    params.finish()?;
    operate(
        api,
        &target,
        Command::Delete { path: target.path },
        settings,
    )
    .await
}

write_operation!(replace put write_instance "/clients/{ep}/{o}/{i}" InstancePath WriteInstance
    ((status = 204), Accepted, Failure)
    "Writes an Object Instance: what is not in the body goes.");
write_operation!(replace put write_resource "/clients/{ep}/{o}/{i}/{r}" ResourcePath WriteResource
    ((status = 204), Accepted, Failure)
    "Writes a Resource with all its instances.");
write_operation!(update patch patch_instance "/clients/{ep}/{o}/{i}" InstancePath WriteInstance
    ((status = 204), Accepted, Failure)
    "Writes some Resources of an Object Instance: what is not in the body stays.");
write_operation!(update patch patch_resource "/clients/{ep}/{o}/{i}/{r}" ResourcePath WriteResource
    ((status = 204), Accepted, Failure)
    "Writes a Resource as a partial Write of its Instance: Resource Instances that are not in the body stay.");
write_operation!(create_instance post create "/clients/{ep}/{o}" ObjectPath WriteInstance
    ((status = 201, body = CreatedView), Accepted, Failure)
    "Creates an Object Instance.");

/// A Write that replaces its target.
async fn replace(
    api: &Api,
    target: Target,
    params: Params,
    body: Body,
) -> Result<Response, Problem> {
    let (node, format, settings) = read_write(api, &target, params, &body).await?;
    let command = Command::Write {
        path: target.path,
        mode: WriteMode::Replace,
        format,
        node,
    };
    operate(api, &target, command, settings).await
}

/// A partial Write; LwM2M has it for Object Instances alone, so one Resource is written as a part of its Instance.
async fn update(
    api: &Api,
    target: Target,
    params: Params,
    body: Body,
) -> Result<Response, Problem> {
    let (node, format, settings) = read_write(api, &target, params, &body).await?;
    let (path, node) = match node {
        Node::Resource(resource) => {
            let path = target
                .path
                .parent()
                .expect("a resource lies in an instance");
            let instance = path
                .instance_id()
                .expect("the parent of a resource is an instance");
            (path, Node::Instance(Instance::new(instance).with(resource)))
        }
        other => (target.path, other),
    };
    let command = Command::Write {
        path,
        mode: WriteMode::Partial,
        format,
        node,
    };
    operate(api, &target, command, settings).await
}

/// The query and the values of a Write.
async fn read_write(
    api: &Api,
    target: &Target,
    mut params: Params,
    body: &Body,
) -> Result<(Node, Option<ContentFormat>, OperateSettings), Problem> {
    let format = params.take_format()?;
    let settings = params.take_settings()?;
    params.finish()?;
    let json = body.json()?;
    let definition = definition_of(api, target).await?;
    let definition = definition.as_deref();
    let node = match (target.path.resource_id(), target.path.instance_id()) {
        (Some(resource), _) => Node::Resource(tree::parse_resource(&json, resource, definition)?),
        (None, instance) => Node::Instance(tree::parse_instance(&json, instance, definition)?.1),
    };
    Ok((node, format, settings))
}

async fn create_instance(
    api: &Api,
    target: Target,
    mut params: Params,
    body: Body,
) -> Result<Response, Problem> {
    let format = params.take_format()?;
    let settings = params.take_settings()?;
    params.finish()?;
    let json = body.json()?;
    let definition = definition_of(api, &target).await?;
    let (id, instance) = tree::parse_instance(&json, None, definition.as_deref())?;
    let command = Command::Create {
        object: target.path.object_id().expect("the route has an object"),
        instance: id,
        format,
        resources: instance.into_resources(),
    };
    operate(api, &target, command, settings).await
}

/// Executes a Resource.
#[utoipa::path(
    post, path = "/clients/{ep}/{o}/{i}/{r}", tag = "management", params(ResourcePath, OperateQuery),
    request_body = ExecuteArguments, responses((status = 204), Accepted, Failure),
)]
async fn execute(
    auth: AuthContext,
    State(api): State<Api>,
    target: Target,
    mut params: Params,
    body: Body,
) -> Result<Response, Problem> {
    auth.require(Role::Operate)?;
    let settings = params.take_settings()?;
    params.finish()?;
    let json = body.json_or_empty()?;
    let mut members = Members::of(&json, "")?;
    let arguments = members.take("arguments");
    members.finish()?;
    let invalid =
        |detail: String| Problem::new(Code::ArgumentsInvalid, detail).at_field("arguments");
    let arguments = match arguments {
        None | Some(Value::Null) => Arguments::NONE,
        Some(Value::String(text)) => text
            .parse::<Arguments>()
            .map_err(|error| invalid(sentence(error)))?,
        Some(other) => {
            return Err(invalid(format!(
                "Expected a string, found {}.",
                value::found(other)
            )));
        }
    };
    operate(
        &api,
        &target,
        Command::Execute {
            path: target.path,
            arguments,
        },
        settings,
    )
    .await
}

/// The definition of the target's Object in the version that the Client has announced.
async fn definition_of(
    api: &Api,
    target: &Target,
) -> Result<Option<Arc<ObjectDefinition>>, Problem> {
    let object = target.path.object_id().expect("the route has an object");
    let client = api.backend.client(&target.endpoint).await?;
    let announced = client
        .objects
        .get(&object.0)
        .and_then(|found| found.version.parse().ok());
    let definitions = api.backend.definitions();
    let found = match announced {
        Some(version) => definitions.lookup(object, version),
        None => definitions.latest(object),
    };
    Ok(found.cloned())
}

/// Hands the command to the backend and turns the outcome into an answer.
async fn operate(
    api: &Api,
    target: &Target,
    command: Command,
    settings: OperateSettings,
) -> Result<Response, Problem> {
    let path = command.path();
    match api
        .backend
        .operate(&target.endpoint, command, settings)
        .await?
    {
        Outcome::Completed(completion) => Ok(completed(api, target, path, &completion)),
        Outcome::Accepted(request) => Ok(accepted(api, &request)),
    }
}

fn completed(api: &Api, target: &Target, path: Path, completion: &Completion) -> Response {
    let definitions = api.backend.definitions();
    let mut response = match &completion.answer {
        CompletionAnswer::Done => StatusCode::NO_CONTENT.into_response(),
        CompletionAnswer::Values(reading) => {
            Json(ReadingView::new(reading, &definitions)).into_response()
        }
        CompletionAnswer::Links(links) => {
            let definition = tree::newest_definition(path, &definitions);
            Json(DiscoveredView::new(path, links, definition)).into_response()
        }
        CompletionAnswer::Created(path) => {
            let view = CreatedView {
                path: path.to_string(),
            };
            let mut response = (StatusCode::CREATED, Json(view)).into_response();
            let location = format!(
                "/api/v1/clients/{}{path}",
                segment(target.endpoint.as_str())
            );
            let location = HeaderValue::from_str(&location).expect("a segment is plain ASCII");
            response.headers_mut().insert(header::LOCATION, location);
            response
        }
    };
    let code = HeaderValue::from_str(&completion.code.to_string()).expect("digits and a dot");
    response.headers_mut().insert(COAP_HEADER, code);
    response
}

fn accepted(api: &Api, request: &Request) -> Response {
    let view = AcceptedView {
        request: RequestView::new(request, &api.backend.definitions()),
    };
    let mut response = (StatusCode::ACCEPTED, Json(view)).into_response();
    let location = format!("/api/v1/requests/{}", segment(&request.id.0));
    let location = HeaderValue::from_str(&location).expect("a segment is plain ASCII");
    response.headers_mut().insert(header::LOCATION, location);
    response
}

/// An error of a parser as a sentence of ours.
fn sentence(error: impl std::fmt::Display) -> String {
    let text = error.to_string();
    let mut chars = text.chars();
    let first = chars
        .next()
        .map(|first| first.to_uppercase().to_string())
        .unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}
