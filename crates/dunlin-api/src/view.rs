//! The JSON that the API writes, one type per noun. `docs/reference/rest.md` shows each of them.
//!
//! Everything here is for readers: names and units are filled in from the object definitions, times are RFC 3339,
//! ids are opaque strings. Backends make [`Client`] themselves; the other views are made from the typed answers of
//! [`crate::backend`].

use std::collections::BTreeMap;

use dunlin_lwm2m::attribute::Attributes;
use dunlin_lwm2m::definition::ObjectDefinition;
use dunlin_lwm2m::link::Discovered;
use dunlin_lwm2m::{EndpointName, Path, Registry};
use serde::Serialize;
use serde_json::{Map, Value as Json};
use utoipa::ToSchema;

use crate::auth::{Role, TokenRecord};
use crate::backend::{Completion, CompletionAnswer, Observation, Reading, Request, RequestState};
use crate::error::ProblemView;
use crate::event::{Event, News};
use crate::time::Timestamp;
use crate::tree::{self, NodeView};

/// A Client and its registration.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Client {
    /// Its Endpoint Client Name.
    pub endpoint: String,
    /// The registration; null when it has ended.
    pub registration_id: Option<String>,
    /// When it registered.
    pub registered_at: Timestamp,
    /// When it last registered or updated, refreshes included.
    pub updated_at: Timestamp,
    /// When the registration ends unless it is refreshed.
    pub expires_at: Timestamp,
    /// When the registration has ended without being refreshed; absent while it is registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expired_at: Option<Timestamp>,
    /// When the last message of any kind came from it.
    pub last_contact_at: Timestamp,
    /// When the next message is due, as learnt from its habit; absent when nothing was learnt yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_contact_at: Option<Timestamp>,
    /// The lifetime of its registration in seconds.
    pub lifetime_s: u32,
    /// The version of LwM2M it speaks, such as `1.0`.
    pub version: String,
    /// The binding it has announced, such as `U` or `UQ`.
    pub binding: String,
    /// Whether it is in queue mode.
    pub queue: bool,
    /// The number for SMS, if it has given one.
    pub sms_number: Option<String>,
    /// Where its messages come from, such as `192.0.2.7:41022`.
    pub address: String,
    /// What carries its messages, such as `udp`.
    pub bearer: String,
    /// How they are secured.
    pub security: Security,
    /// Who it has proven to be: a PSK identity, a fingerprint or a subject; null without security.
    pub identity: Option<String>,
    /// The path under which its Objects lie; `/` unless it has named another.
    pub root: String,
    /// The Objects and their instances, by Object ID.
    #[schema(value_type = BTreeMap<String, ObjectInstancesView>)]
    pub objects: ObjectsView,
    /// Whether it can be reached, or should have been heard.
    pub presence: Presence,
    /// It sends more than it may, and what is beyond is dropped; null unless it did in the last ten minutes.
    pub over_budget: Option<OverBudget>,
    /// What it does other than the standard says, and dunlin tolerates.
    pub deviations: Vec<Deviation>,
    /// Parameters of its registration that LwM2M does not define.
    pub attributes: BTreeMap<String, String>,
}

/// Objects with their instances, by Object ID; in JSON the ids are strings.
pub type ObjectsView = BTreeMap<u16, ObjectInstancesView>;

/// The instances of an Object at a Client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ObjectInstancesView {
    /// The version of the Object.
    pub version: String,
    /// The ids of its instances.
    pub instances: Vec<u16>,
}

/// How far a Client is beyond what it may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct OverBudget {
    /// When its first message was dropped for it.
    pub since: Timestamp,
    /// When the last one was.
    pub last_at: Timestamp,
    /// How many were.
    pub dropped: u64,
}

/// How a transport is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// Not at all.
    Nosec,
    /// By a pre-shared key.
    Psk,
    /// By a raw public key.
    Rpk,
    /// By a certificate.
    X509,
}

/// Whether a Client can be reached, or should have been heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// It can be reached now.
    Awake,
    /// It sleeps as it said it would; what is asked of it waits.
    Asleep,
    /// It should have been heard by now, or its registration has expired.
    Overdue,
}

/// Something that a Client does other than the standard says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Deviation {
    /// A stable name for programs.
    pub code: String,
    /// What it is, for people.
    pub sentence: String,
}

/// A page of Clients.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ClientsView {
    pub(crate) clients: Vec<Client>,
    /// The `cursor` of the next page; null on the last.
    pub(crate) next: Option<String>,
    /// How many there are on all pages; absent where counting them would cost too much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) total: Option<u64>,
}

/// The answer to a Read.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReadingView {
    /// The target.
    #[schema(example = "/3/0")]
    pub(crate) path: String,
    /// When the values arrived, or were measured if the Client has said so.
    pub(crate) at: Timestamp,
    /// With `cached=true`: how old the values are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) age_s: Option<f64>,
    /// The values.
    pub(crate) node: NodeView,
}

impl ReadingView {
    pub(crate) fn new(reading: &Reading, definitions: &Registry) -> ReadingView {
        ReadingView {
            path: reading.path.to_string(),
            at: reading.at,
            age_s: None,
            node: tree::view(reading, definitions),
        }
    }
}

/// The answer to a Discover.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DiscoveredView {
    /// The target.
    #[schema(example = "/3/0")]
    pub(crate) path: String,
    /// What exists there.
    pub(crate) links: Vec<LinkView>,
}

/// One thing that exists.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LinkView {
    #[schema(example = "/3/0/7")]
    pub(crate) path: String,
    /// Its name by the definition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// How many Resource Instances a multiple Resource has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dim: Option<u16>,
    /// The version of an Object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<String>,
    /// The notification attributes: `pmin`, `pmax`, `gt`, `lt`, `st`.
    #[schema(value_type = BTreeMap<String, f64>)]
    pub(crate) attributes: BTreeMap<String, Json>,
}

impl DiscoveredView {
    pub(crate) fn new(
        path: Path,
        discovered: &Discovered,
        definition: Option<&ObjectDefinition>,
    ) -> DiscoveredView {
        let links = discovered.links.iter().map(|link| LinkView {
            path: link.path.to_string(),
            name: tree::name(link.path, definition),
            dim: link.dimension,
            version: link.version.map(|version| version.to_string()),
            attributes: attributes(&link.attributes),
        });
        DiscoveredView {
            path: path.to_string(),
            links: links.collect(),
        }
    }
}

fn attributes(attributes: &Attributes) -> BTreeMap<String, Json> {
    let Attributes {
        pmin_s,
        pmax_s,
        gt,
        lt,
        st,
    } = *attributes;
    let periods =
        [("pmin", pmin_s), ("pmax", pmax_s)].map(|(name, value)| (name, value.map(Json::from)));
    let thresholds =
        [("gt", gt), ("lt", lt), ("st", st)].map(|(name, value)| (name, value.map(Json::from)));
    periods
        .into_iter()
        .chain(thresholds)
        .filter_map(|(name, value)| Some((name.to_string(), value?)))
        .collect()
}

/// The answer to a Create.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CreatedView {
    /// Where the new Object Instance is.
    #[schema(example = "/12/2")]
    pub(crate) path: String,
}

/// What is observed at a Client.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ObservationsView {
    pub(crate) observations: Vec<ObservationView>,
}

/// One observation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ObservationView {
    #[schema(example = "/3303/0/5700")]
    pub(crate) path: String,
    /// Since when; null while the Client has not confirmed it.
    pub(crate) since: Option<Timestamp>,
    /// How many notifications have come.
    pub(crate) notifications: u64,
    /// The last values; null before the first.
    pub(crate) last: Option<ReadingView>,
}

impl ObservationView {
    pub(crate) fn new(observation: &Observation, definitions: &Registry) -> ObservationView {
        ObservationView {
            path: observation.path.to_string(),
            since: observation.since,
            notifications: observation.notifications,
            last: observation
                .last
                .as_ref()
                .map(|last| ReadingView::new(last, definitions)),
        }
    }
}

/// The requests for a Client.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RequestsView {
    pub(crate) requests: Vec<RequestView>,
}

/// The answer 202: what was accepted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AcceptedView {
    pub(crate) request: RequestView,
}

/// A downlink request.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Request)]
pub(crate) struct RequestView {
    /// Opaque.
    pub(crate) id: String,
    pub(crate) endpoint: String,
    /// The standard's name, such as `Write-Attributes`.
    pub(crate) operation: &'static str,
    pub(crate) path: String,
    pub(crate) state: RequestState,
    pub(crate) created_at: Timestamp,
    /// When it is given up.
    pub(crate) expires_at: Timestamp,
    pub(crate) ended_at: Option<Timestamp>,
    /// How it ended; null until then.
    pub(crate) outcome: Option<OutcomeView>,
}

/// How a request ended.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OutcomeView {
    /// What the Client answered, such as `2.05`; null if it did not.
    pub(crate) coap: Option<String>,
    /// The values: Read, Observe, Cancel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<NodeView>,
    /// The links: Discover.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) links: Option<Vec<LinkView>>,
    /// The new Object Instance: Create.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<String>,
    /// Why it failed; null if it did not.
    pub(crate) problem: Option<ProblemView>,
}

impl RequestView {
    pub(crate) fn new(request: &Request, definitions: &Registry) -> RequestView {
        RequestView {
            id: request.id.0.clone(),
            endpoint: request.endpoint.as_str().to_string(),
            operation: request.operation,
            path: request.path.to_string(),
            state: request.state,
            created_at: request.created_at,
            expires_at: request.expires_at,
            ended_at: request.ended_at,
            outcome: request.outcome.as_ref().map(|outcome| match outcome {
                Ok(completion) => OutcomeView::completed(request.path, completion, definitions),
                Err(problem) => OutcomeView {
                    coap: problem.coap.map(|code| code.to_string()),
                    node: None,
                    links: None,
                    created: None,
                    problem: Some(problem.view()),
                },
            }),
        }
    }
}

impl OutcomeView {
    fn completed(path: Path, completion: &Completion, definitions: &Registry) -> OutcomeView {
        let mut view = OutcomeView {
            coap: Some(completion.code.to_string()),
            node: None,
            links: None,
            created: None,
            problem: None,
        };
        match &completion.answer {
            CompletionAnswer::Done => {}
            CompletionAnswer::Values(reading) => view.node = Some(tree::view(reading, definitions)),
            CompletionAnswer::Links(links) => {
                let definition = tree::newest_definition(path, definitions);
                view.links = Some(DiscoveredView::new(path, links, definition).links);
            }
            CompletionAnswer::Created(path) => view.created = Some(path.to_string()),
        }
        view
    }
}

/// The tokens.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokensView {
    pub(crate) tokens: Vec<TokenView>,
}

/// What is told of a token. The token itself is kept nowhere.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenView {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) created_at: Timestamp,
}

/// A token that was just made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IssuedTokenView {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) created_at: Timestamp,
    /// The token. It is shown here and never again.
    pub(crate) token: String,
}

impl From<&TokenRecord> for TokenView {
    fn from(record: &TokenRecord) -> TokenView {
        TokenView {
            name: record.name.clone(),
            role: record.role,
            created_at: record.created_at,
        }
    }
}

/// The `data:` of an event. Which members there are depends on the type; `docs/reference/events.md` lists them.
pub(crate) fn event_json(event: &Event, definitions: &Registry) -> Json {
    let mut data = Map::new();
    data.insert(
        "endpoint".into(),
        event.endpoint.as_ref().map(EndpointName::as_str).into(),
    );
    data.insert("at".into(), event.at.to_string().into());
    match &event.news {
        News::Registered(news) => {
            data.insert(
                "registration_id".into(),
                news.registration_id.clone().into(),
            );
            data.insert("replaced".into(), news.replaced.clone().into());
            data.insert("lifetime_s".into(), news.lifetime_s.into());
            data.insert("version".into(), news.version.clone().into());
            data.insert("binding".into(), news.binding.clone().into());
            data.insert("address".into(), news.address.clone().into());
            data.insert("security".into(), to_json(&news.security));
            data.insert("objects".into(), to_json(&news.objects));
        }
        News::Updated(news) => {
            data.insert(
                "registration_id".into(),
                news.registration_id.clone().into(),
            );
            let mut changes = Map::new();
            if let Some(lifetime_s) = news.lifetime_s {
                changes.insert("lifetime_s".into(), lifetime_s.into());
            }
            let texts = [
                ("binding", &news.binding),
                ("sms_number", &news.sms_number),
                ("address", &news.address),
            ];
            for (name, text) in texts {
                if let Some(text) = text {
                    changes.insert(name.into(), text.clone().into());
                }
            }
            if let Some(objects) = &news.objects {
                changes.insert("objects".into(), to_json(objects));
            }
            data.insert("changes".into(), changes.into());
        }
        News::Deregistered {
            registration_id,
            forgotten,
        } => {
            data.insert("registration_id".into(), registration_id.clone().into());
            data.insert("forgotten".into(), (*forgotten).into());
        }
        News::Expired { registration_id } => {
            data.insert("registration_id".into(), registration_id.clone().into());
        }
        News::Awake | News::Asleep => {}
        News::Notified(reading) => {
            data.insert("path".into(), reading.path.to_string().into());
            data.insert("measured_at".into(), reading.at.to_string().into());
            data.insert("node".into(), to_json(&tree::view(reading, definitions)));
        }
        News::Sent(readings) => {
            // Most bring one value; then it stands where that of a notification stands.
            if let [reading] = readings.as_slice() {
                data.insert("path".into(), reading.path.to_string().into());
                data.insert("node".into(), to_json(&tree::view(reading, definitions)));
            }
            let views = readings
                .iter()
                .map(|reading| ReadingView::new(reading, definitions));
            data.insert("readings".into(), to_json(&views.collect::<Vec<_>>()));
        }
        News::Completed(request) => {
            data.insert("path".into(), request.path.to_string().into());
            data.insert(
                "request".into(),
                to_json(&RequestView::new(request, definitions)),
            );
        }
        News::Bootstrapped { summary } => {
            data.insert("summary".into(), summary.clone().into());
        }
        News::BootstrapFailed { reason } => {
            data.insert("reason".into(), reason.clone().into());
        }
        News::Refused {
            address,
            reason,
            remedy,
            ..
        } => {
            data.insert("address".into(), address.clone().into());
            data.insert("reason".into(), reason.clone().into());
            data.insert("remedy".into(), remedy.clone().into());
        }
        News::OverBudget { address } => {
            data.insert("address".into(), address.clone().into());
        }
    }
    Json::Object(data)
}

/// A view as JSON. Ours have string keys and no failing writers, so it cannot fail.
fn to_json(view: &impl Serialize) -> Json {
    serde_json::to_value(view).expect("views are plain data")
}
