//! The routes, one file per noun, and the table that joins them; a route and its description are one macro, so none is
//! forgotten in `openapi.json`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use axum::{Router, middleware};
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder, RefOr, Response as OpenApiResponse};
use utoipa_axum::router::OpenApiRouter;

use crate::backend::Backend;
use crate::error::{Code, Problem};
use crate::state::{Api, Settings};
use crate::{guard, ui};

mod bootstrap;
mod clients;
mod credentials;
mod describe;
mod events;
mod knocks;
mod objects;
mod operations;
mod requests;
mod system;
mod tokens;

/// The largest body of a route without a limit of its own: names, arguments, attributes.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// The routes under `/api/v1`. One line adds a noun.
fn table() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .merge(clients::routes())
        .merge(operations::routes())
        .merge(requests::routes())
        .merge(events::routes())
        .merge(knocks::routes())
        .merge(credentials::routes())
        .merge(bootstrap::routes())
        .merge(objects::routes())
        .merge(tokens::routes())
        .merge(system::routes())
}

/// The whole HTTP side: API, health, metrics and UI, over a backend.
pub fn router(backend: Arc<dyn Backend>, settings: Settings) -> Router {
    let api = Api::new(backend, settings);
    let (routes, _) = OpenApiRouter::new()
        .nest("/api/v1", table())
        .split_for_parts();
    routes
        .merge(system::health())
        .fallback(ui::fallback)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(api.clone(), guard::guard))
        .layer(middleware::from_fn(ui::headers))
        .with_state(api)
}

/// The description of the API as OpenAPI 3.1.
pub fn openapi() -> OpenApi {
    let info = InfoBuilder::new()
        .title("dunlin")
        .version("v1")
        .description(Some(
            "LwM2M Clients over HTTP. Paths mirror LwM2M; errors are application/problem+json with a stable code.",
        ))
        .license(Some(utoipa::openapi::License::new("Apache-2.0 OR MIT")));
    let base = OpenApiBuilder::new().info(info.build()).build();
    let (_, mut openapi) = OpenApiRouter::with_openapi(base)
        .nest("/api/v1", table())
        .split_for_parts();
    for item in openapi.paths.paths.values_mut() {
        let operations = [
            &mut item.get,
            &mut item.put,
            &mut item.post,
            &mut item.patch,
            &mut item.delete,
        ];
        for operation in operations.into_iter().flatten() {
            describe(&mut operation.responses.responses);
        }
    }
    openapi
}

/// Every answer must have a description; most need no other than what their status says.
fn describe(responses: &mut BTreeMap<String, RefOr<OpenApiResponse>>) {
    for (status, response) in responses {
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            response.description = match status.as_str() {
                "201" => "Created",
                "204" => "Done",
                _ => "The answer",
            }
            .to_string();
        }
    }
}

/// A route that exists, with a method that it does not take. axum adds the Allow header.
async fn method_not_allowed(method: Method) -> Response {
    Problem::new(
        Code::MethodNotAllowed,
        format!("This route does not take {method}."),
    )
    .into_response()
}
