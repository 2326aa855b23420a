//! The durable facts: what this Server must still know after a restart, and nothing else.
//!
//! A [`Change`] is a put, a small amendment or a removal in one of five tables, each with its own
//! key. [`Snapshot`] is those tables, and [`Snapshot::apply`] says exactly what a change does to
//! them: a store that keeps the tables, or a log that replays the changes, ends with the same
//! snapshot. [`crate::Server::restore`] turns a snapshot back into a living Server.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use dunlin_lwm2m::link::ObjectLinks;
use dunlin_lwm2m::operation::{Binding, SmsNumber};
use dunlin_lwm2m::{ContentFormat, Deviations, EndpointName, LwM2mVersion, Path};
use dunlin_transport::dtls::Secret;
use dunlin_transport::{Address, Identity, Token, WallTime};

use crate::bootstrap::{BootstrapRun, MadeCredential};
use crate::command::{Command, RequestState};
use crate::id::{BootstrapRunId, RegistrationId, RequestId};

/// A registration as it is stored; key: the endpoint name.
#[derive(Clone, Debug, PartialEq)]
pub struct Registration {
    /// The Client.
    pub endpoint: EndpointName,
    /// The id in its location.
    pub id: RegistrationId,
    /// When it registered.
    pub registered_at: WallTime,
    /// When it last registered or changed something by Update.
    pub updated_at: WallTime,
    /// When it expires, as far as it is stored: the true time may be later by a tenth of the
    /// lifetime (refreshes are stored lazily), and after a restart that tenth is added.
    pub expires_at: WallTime,
    /// When the Client was last heard, as far as it is stored.
    pub contact_at: WallTime,
    /// The interval between its refreshes that was learnt; zero while none was.
    pub interval_s: u32,
    /// Its lifetime in seconds.
    pub lifetime_s: u32,
    /// The version of the enabler it speaks.
    pub version: LwM2mVersion,
    /// Its binding, with queue mode.
    pub binding: Binding,
    /// Its number for SMS.
    pub sms_number: Option<SmsNumber>,
    /// What it has: root path, objects with versions, instances, formats.
    pub links: ObjectLinks,
    /// Where it is reached.
    pub address: Address,
    /// The address of ours that it speaks to.
    pub local: Option<IpAddr>,
    /// What security proved of it.
    pub identity: Identity,
    /// Parameters of Register and Update that the standard does not define, as they came.
    pub parameters: Vec<(String, String)>,
    /// Where it departs from the standard, tolerated.
    pub deviations: Deviations,
    /// What was learnt about the formats it takes.
    pub formats: FormatMemory,
}

/// What was learnt about a Client's formats by trying; quirks of the field, rows 1 and 6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FormatMemory {
    /// It writes the numbers from before the registry (1541-1544): so do we, to it.
    pub old_numbers: bool,
    /// It answered 4.06 to the usual one; this one, or none, is asked for instead.
    pub read: Option<AcceptRule>,
    /// It answered 4.15 to the usual one; this one is written instead.
    pub write: Option<ContentFormat>,
}

/// What a Read says about the wanted format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AcceptRule {
    /// Ask for this one.
    Ask(ContentFormat),
    /// Do not ask: the Client takes its own.
    Leave,
}

/// A registration that has ended, remembered for a while; key: the endpoint name. Its
/// observations are kept as long, to be made again when the Client comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departed {
    /// The Client.
    pub endpoint: EndpointName,
    /// The id of the registration that ended.
    pub id: RegistrationId,
    /// When it ended.
    pub at: WallTime,
    /// How it ended.
    pub reason: Departure,
}

/// How a registration ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Departure {
    /// The Client de-registered; TS 1.0 §5.3.3.
    Deregistered,
    /// Its lifetime ran out.
    Expired,
    /// An operator removed it.
    Forgotten,
}

impl Departure {
    /// The word used in REST and events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deregistered => "deregistered",
            Self::Expired => "expired",
            Self::Forgotten => "forgotten",
        }
    }
}

/// An observation; key: endpoint name and path. It outlives registrations: see `established`.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// The Client.
    pub endpoint: EndpointName,
    /// What is observed.
    pub path: Path,
    /// The token that its notifications carry, from the first request on and over renewals.
    pub token: Token,
    /// The registration under which the Client agreed. Another one, or none, means that it has to
    /// be asked (again): a Client drops its observations when it registers (TS 5.5.1).
    pub established: Option<RegistrationId>,
    /// Whether it is made again after a new Register.
    pub renew: bool,
    /// The format the Client was asked for.
    pub format: Option<ContentFormat>,
    /// When it was asked for first.
    pub made_at: WallTime,
    /// The last notification that was taken.
    pub last: Option<NotificationKey>,
}

/// What tells a notification from its retransmission after a restart of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NotificationKey {
    /// Its Observe number; RFC 7641 §4.4.
    pub sequence: u32,
    /// A digest of its code, format and payload.
    pub digest: u64,
    /// When it came.
    pub at: WallTime,
}

/// A request that must survive a restart; key: its id.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Its id.
    pub id: RequestId,
    /// For whom.
    pub endpoint: EndpointName,
    /// What.
    pub command: Command,
    /// How long the Client may take to answer.
    pub timeout: Duration,
    /// The format to ask for or to write in.
    pub format: Option<ContentFormat>,
    /// When the command was given.
    pub made_at: WallTime,
    /// Until when it may wait.
    pub expires_at: WallTime,
    /// How far it has come: `Queued`, or `Sent` when it must not be sent a second time.
    pub state: RequestState,
    /// How often it was sent and not answered.
    pub attempts: u8,
}

/// A session of DTLS that is to outlive a restart; key: the endpoint name of the registration that
/// was made on it. A session has at most one record, whoever else is registered on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// The Client.
    pub endpoint: EndpointName,
    /// What [`dunlin_transport::Transport::export`] gave: as secret as a key.
    pub exported: Secret,
    /// The numbers below this may have been used since.
    pub reserved: u64,
}

/// One durable fact.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Put: a new registration, or a registration as it is after a change. Ends the memory of a
    /// departed one of the same name. The event that tells it shares it.
    Register(Arc<Registration>),
    /// Amend: the registration lives longer.
    Renew {
        /// The Client.
        endpoint: EndpointName,
        /// When it expires now.
        expires_at: WallTime,
        /// When it was last heard.
        contact_at: WallTime,
        /// The learnt interval of its refreshes.
        interval_s: u32,
    },
    /// Amend: the Client is reached elsewhere.
    Move {
        /// The Client.
        endpoint: EndpointName,
        /// Where.
        address: Address,
        /// The address of ours that it speaks to.
        local: Option<IpAddr>,
    },
    /// Put: the session on which a Client is registered now.
    Session(Box<Session>),
    /// Amend: numbers of its session below this may be in use.
    Reserve {
        /// The Client.
        endpoint: EndpointName,
        /// The first number that is not reserved.
        up_to: u64,
    },
    /// Remove: the Client has no session any more that could go on.
    EndSession {
        /// The Client.
        endpoint: EndpointName,
    },
    /// The registration ends, and is remembered as departed. Its session ends with it.
    Depart(Departed),
    /// Remove: a departed registration is remembered no longer, nor are its observations.
    Forget {
        /// The Client.
        endpoint: EndpointName,
    },
    /// Put: an observation is wanted, agreed or renewed.
    Observe(Box<Observation>),
    /// Amend: a notification came.
    Notified {
        /// The Client.
        endpoint: EndpointName,
        /// What is observed.
        path: Path,
        /// Which one.
        key: NotificationKey,
    },
    /// Remove: the observation is over.
    Unobserve {
        /// The Client.
        endpoint: EndpointName,
        /// What was observed.
        path: Path,
    },
    /// Put: a request waits, or was sent and must not be sent again.
    Request(Box<Request>),
    /// Remove: the request is over.
    EndRequest(RequestId),
    /// Put: a bootstrap run begins. What was made for its Client is known to the Server from the
    /// same commit on: the Client may use it at once.
    BeginBootstrap {
        /// The run.
        run: Box<BootstrapRun>,
        /// Credentials that this Client will have.
        made: Vec<MadeCredential>,
    },
    /// The run is over, and becomes history.
    EndBootstrap(Box<BootstrapRun>),
}

impl Change {
    /// The Client it is about; `None` for the end of a request, which is found by its id.
    #[must_use]
    pub fn endpoint(&self) -> Option<&EndpointName> {
        match self {
            Self::Register(registration) => Some(&registration.endpoint),
            Self::Observe(observation) => Some(&observation.endpoint),
            Self::Request(request) => Some(&request.endpoint),
            Self::Depart(departed) => Some(&departed.endpoint),
            Self::Session(session) => Some(&session.endpoint),
            Self::Renew { endpoint, .. }
            | Self::Move { endpoint, .. }
            | Self::Reserve { endpoint, .. }
            | Self::EndSession { endpoint }
            | Self::Forget { endpoint }
            | Self::Notified { endpoint, .. }
            | Self::Unobserve { endpoint, .. } => Some(endpoint),
            Self::BeginBootstrap { run, .. } | Self::EndBootstrap(run) => Some(&run.endpoint),
            Self::EndRequest(_) => None,
        }
    }
}

/// All durable facts of some Clients: of a Server, or of any part of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Who is registered.
    pub registrations: BTreeMap<EndpointName, Registration>,
    /// The sessions of those who are.
    pub sessions: BTreeMap<EndpointName, Session>,
    /// Who was, lately.
    pub departed: BTreeMap<EndpointName, Departed>,
    /// What is observed.
    pub observations: BTreeMap<(EndpointName, Path), Observation>,
    /// What waits, or was sent and has no outcome.
    pub requests: BTreeMap<RequestId, Request>,
    /// Bootstrap runs that have begun and not ended.
    pub bootstraps: BTreeMap<BootstrapRunId, BootstrapRun>,
}

impl Snapshot {
    /// What a change does to the tables: the meaning of [`Change`], for every store. Applying the
    /// same changes a second time, from the first to the last, ends in the same tables.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Register(registration) => {
                self.departed.remove(&registration.endpoint);
                self.registrations.insert(
                    registration.endpoint.clone(),
                    Registration::clone(registration),
                );
            }
            Change::Renew {
                endpoint,
                expires_at,
                contact_at,
                interval_s,
            } => {
                if let Some(registration) = self.registrations.get_mut(endpoint) {
                    registration.expires_at = *expires_at;
                    registration.contact_at = *contact_at;
                    registration.interval_s = *interval_s;
                }
            }
            Change::Move {
                endpoint,
                address,
                local,
            } => {
                if let Some(registration) = self.registrations.get_mut(endpoint) {
                    registration.address = address.clone();
                    registration.local = *local;
                }
            }
            Change::Session(session) => {
                self.sessions
                    .insert(session.endpoint.clone(), Session::clone(session));
            }
            Change::Reserve { endpoint, up_to } => {
                if let Some(session) = self.sessions.get_mut(endpoint) {
                    session.reserved = session.reserved.max(*up_to);
                }
            }
            Change::EndSession { endpoint } => {
                self.sessions.remove(endpoint);
            }
            Change::Depart(departed) => {
                self.registrations.remove(&departed.endpoint);
                self.sessions.remove(&departed.endpoint);
                self.departed
                    .insert(departed.endpoint.clone(), departed.clone());
            }
            Change::Forget { endpoint } => {
                self.departed.remove(endpoint);
                let of_client = (endpoint.clone(), Path::ROOT)..;
                let paths: Vec<_> = self
                    .observations
                    .range(of_client)
                    .take_while(|((name, _), _)| name == endpoint)
                    .map(|(key, _)| key.clone())
                    .collect();
                paths
                    .iter()
                    .for_each(|key| drop(self.observations.remove(key)));
            }
            Change::Observe(observation) => {
                let key = (observation.endpoint.clone(), observation.path);
                self.observations
                    .insert(key, Observation::clone(observation));
            }
            Change::Notified {
                endpoint,
                path,
                key,
            } => {
                if let Some(observation) = self.observations.get_mut(&(endpoint.clone(), *path)) {
                    observation.last = Some(*key);
                }
            }
            Change::Unobserve { endpoint, path } => {
                self.observations.remove(&(endpoint.clone(), *path));
            }
            Change::Request(request) => {
                self.requests.insert(request.id, Request::clone(request));
            }
            Change::EndRequest(id) => {
                self.requests.remove(id);
            }
            Change::BeginBootstrap { run, .. } => {
                self.bootstraps.insert(run.id, BootstrapRun::clone(run));
            }
            Change::EndBootstrap(run) => {
                self.bootstraps.remove(&run.id);
            }
        }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.registrations.is_empty()
            && self.sessions.is_empty()
            && self.departed.is_empty()
            && self.observations.is_empty()
            && self.requests.is_empty()
            && self.bootstraps.is_empty()
    }
}
