//! The event stream: server-sent events, from a position on.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName};
use axum::response::sse::{Event as ServerSent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::describe::Failure;
use crate::auth::{AuthContext, Role};
use crate::error::{Code, Problem};
use crate::event::{EventKind, Position};
use crate::extract::{Params, excerpt, fault};
use crate::state::Api;
use crate::stream::{Consumer, Filter, From, Told};
use crate::view;

/// A comment this often, so that proxies and NATs keep a silent stream open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What a browser waits before it comes back.
const RETRY: Duration = Duration::from_secs(2);

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(events))
}

/// Streams events.
#[utoipa::path(
    get, path = "/events", tag = "events",
    params(
        ("types" = Option<String>, Query,
            description = "Types of events, with commas between; all unless given."),
        ("endpoint" = Option<String>, Query, description = "The one Client whose events are wanted."),
        ("after" = Option<String>, Query,
            description = "The `id` of the last event seen, or `start` for the oldest kept; now unless given."),
        ("Last-Event-ID" = Option<String>, Header,
            description = "Like `after`, sent by browsers when they come back; counts before it."),
    ),
    responses(
        (status = 200, description = "The events", content_type = "text/event-stream", body = String),
        Failure,
    ),
)]
async fn events(
    auth: AuthContext,
    State(api): State<Api>,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, Problem> {
    auth.require(Role::Read)?;
    let filter = Filter {
        kinds: kinds(params.take("types"))?,
        endpoint: params.take("endpoint"),
    };
    let after = params.take("after");
    params.finish()?;
    let last = headers
        .get(LAST_EVENT_ID)
        .map(|value| value.to_str().unwrap_or("?").to_string());
    let from = match last.or(after).as_deref() {
        None | Some("") => From::Now,
        Some("start") => From::Oldest,
        Some(text) => From::After(Position::parse(text).ok_or_else(|| {
            let detail = format!("\"{}\" is no position.", excerpt(text));
            Problem::new(Code::PositionInvalid, detail)
        })?),
    };
    let place = api.event_streams.clone().try_acquire_owned().map_err(|_| {
        Problem::new(Code::Overloaded, "Too many event streams are open.").retry_after(5)
    })?;
    let consumer = Consumer::new(api.backend.clone(), from, filter);
    let listener = Listener {
        api,
        auth,
        consumer,
        phase: Phase::Hello,
        _place: place,
    };
    let stream = futures_util::stream::unfold(listener, async |mut listener| {
        listener
            .next()
            .await
            .map(|event| (Ok::<_, Infallible>(event), listener))
    });
    let mut response = Sse::new(stream)
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE).text("alive"))
        .into_response();
    // nginx would collect events before it passes them on.
    response.headers_mut().insert(
        HeaderName::from_static("x-accel-buffering"),
        "no".parse().expect("a word"),
    );
    Ok(response)
}

/// One open stream.
struct Listener {
    api: Api,
    auth: AuthContext,
    consumer: Consumer,
    phase: Phase,
    /// Counts the stream among those that are open.
    _place: OwnedSemaphorePermit,
}

enum Phase {
    Hello,
    Open,
    Closed,
}

impl Listener {
    /// The next thing to send; `None` at the end.
    async fn next(&mut self) -> Option<ServerSent> {
        match self.phase {
            Phase::Hello => {
                // The first bytes leave at once, so that the consumer knows that it is heard, and where it is even if it
                // is cut off before the first event: an id without data sets the position and nothing else.
                self.phase = Phase::Open;
                let position = self.consumer.position().to_string();
                Some(
                    ServerSent::default()
                        .comment("dunlin")
                        .retry(RETRY)
                        .id(position),
                )
            }
            Phase::Open => {
                let told = self.consumer.next().await?;
                if self.auth.holds(&self.api.backend.tokens()) {
                    return Some(sent(&self.api, told));
                }
                self.phase = Phase::Closed;
                Some(ServerSent::default().comment("the token is not valid any more"))
            }
            Phase::Closed => None,
        }
    }
}

fn kinds(types: Option<String>) -> Result<BTreeSet<EventKind>, Problem> {
    let Some(types) = types else {
        return Ok(BTreeSet::new());
    };
    types
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(|name| {
            EventKind::from_name(name).ok_or_else(|| {
                let all: Vec<_> = EventKind::ALL.iter().map(|kind| kind.name()).collect();
                let detail = format!(
                    "\"{}\" is no type of event; there are {}.",
                    excerpt(name),
                    all.join(", ")
                );
                fault("types", detail)
            })
        })
        .collect()
}

fn sent(api: &Api, told: Told) -> ServerSent {
    match told {
        Told::Event(event) => {
            let sent = ServerSent::default()
                .event(event.news.kind().name())
                .data(view::event_json(&event, &api.backend.definitions()).to_string());
            match event.position {
                Some(position) => sent.id(position.to_string()),
                None => sent,
            }
        }
        Told::Gap(after) => ServerSent::default()
            .event("gap")
            .data(json!({ "at": api.backend.now(), "after": after.to_string() }).to_string()),
        Told::Mark(position) => ServerSent::default().id(position.to_string()),
        Told::Comment(comment) => ServerSent::default().comment(comment),
    }
}
