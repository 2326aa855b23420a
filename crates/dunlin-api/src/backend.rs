//! All that the API may ask of the product behind it, as one trait; routes know nothing else.
//!
//! `dunlin-node` implements [`Backend`] over its shards and stores, the tests over a table in memory. What goes in is
//! typed (an [`EndpointName`], a [`Path`], a [`Node`] that was held against its definition), so a backend checks no
//! texts; what comes out is a view or a [`Problem`] from the one table of codes.
//!
//! The methods answer by boxed futures, so that the trait can be used as `Arc<dyn Backend>`. A future that is dropped,
//! because the caller hung up, cancels the waiting and not the request.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use dunlin_lwm2m::attribute::AttributesChange;
use dunlin_lwm2m::link::Discovered;
use dunlin_lwm2m::operation::{Arguments, ResponseCode, WriteMode};
use dunlin_lwm2m::{
    ContentFormat, EndpointName, Node, ObjectId, ObjectInstanceId, ObjectVersion, Path, Registry,
    Resource,
};

use dunlin_server::BootstrapRunId;
use dunlin_server::bootstrap::{BootstrapRun, Finding, Plan, Profile, ProfileName};

use crate::address::ClientAddress;
use crate::auth::{TokenRecord, Tokens};
use crate::credential::{self, Credential, ServerIdentity};
use crate::error::{Code, Problem};
use crate::event::{Event, Live, Position};
use crate::time::Timestamp;
use crate::view::Client;

/// What every method answers with.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Problem>> + Send + 'a>>;

/// The product, as the API sees it.
pub trait Backend: Send + Sync + 'static {
    /// A page of the Clients that fit, in an order that stays the same from page to page.
    fn clients(&self, query: ClientQuery) -> Answer<'_, ClientPage>;

    /// One registered Client. Fails with `client_unknown`, or `client_expired` or `client_deregistered` and the time.
    fn client<'a>(&'a self, endpoint: &'a EndpointName) -> Answer<'a, Client>;

    /// Removes the registration, as if the Client had de-registered. Fails like [`Backend::client`].
    fn forget<'a>(&'a self, endpoint: &'a EndpointName) -> Answer<'a, ()>;

    /// Asks the Client to do something. With `settings.wait`, a Client that is awake is waited for until it has
    /// answered or the time is over; a Client that sleeps gets the request queued, which is
    /// [`Outcome::Accepted`]. An answer of the Client that is no success is a [`Problem`] made by
    /// [`Problem::answered`]; no answer is `client_timeout`.
    fn operate<'a>(
        &'a self,
        endpoint: &'a EndpointName,
        command: Command,
        settings: OperateSettings,
    ) -> Answer<'a, Outcome>;

    /// The last known value at the path, put together from what was observed, sent and read. Fails with
    /// `value_unknown` when there is none.
    fn cached<'a>(&'a self, endpoint: &'a EndpointName, path: Path) -> Answer<'a, Reading>;

    /// What is observed at this Client, in the order of the paths.
    fn observations<'a>(&'a self, endpoint: &'a EndpointName) -> Answer<'a, Vec<Observation>>;

    /// The requests for this Client that wait, are under way, or ended lately; the oldest first.
    fn requests<'a>(&'a self, endpoint: &'a EndpointName) -> Answer<'a, Vec<Request>>;

    /// The requests for all Clients that wait or are under way, the oldest first, at most `limit`; then those that ended
    /// lately as far as there is room.
    fn all_requests(&self, limit: usize) -> Answer<'_, Vec<Request>> {
        let _ = limit;
        let problem = Problem::new(Code::NotSupported, "Ask for the requests of one Client.");
        Box::pin(std::future::ready(Err(problem)))
    }

    /// One request. Fails with `request_unknown`.
    fn request<'a>(&'a self, id: &'a RequestId) -> Answer<'a, Request>;

    /// Ends a request that has not ended, and returns it. What was sent already may still be carried out. Fails with
    /// `request_unknown` or `request_ended`.
    fn cancel_request<'a>(&'a self, id: &'a RequestId) -> Answer<'a, Request>;

    /// The committed events after a position, the oldest first, at most about `limit`. Fails with `position_invalid` for a
    /// position that was never given out.
    fn replay(&self, after: Position, limit: usize) -> Answer<'_, Replay>;

    /// The position of the newest committed event.
    fn head(&self) -> Position;

    /// A subscription to the events from now on: everything committed later than [`Backend::head`] says *after*
    /// this call comes through it, in the order of the positions.
    fn live(&self) -> Result<Live, Problem>;

    /// The object definitions, as a snapshot.
    fn definitions(&self) -> Arc<Registry>;

    /// Adds object definitions and keeps them over a restart. The files were read without a fault by
    /// the API. Fails with `definition_protected` where one may not be replaced.
    fn add_definitions(&self, files: Vec<DefinitionFile>) -> Answer<'_, ()>;

    /// The tokens, as a snapshot. Asked for every request: must not wait.
    fn tokens(&self) -> Arc<Tokens>;

    /// Keeps a token, durably before it answers. Fails with `token_name_taken`.
    fn add_token(&self, token: TokenRecord) -> Answer<'_, ()>;

    /// Removes a token, durably before it answers. Fails with `token_name_unknown`.
    fn remove_token<'a>(&'a self, name: &'a str) -> Answer<'a, ()>;

    /// A page of endpoint names with their credentials, in the order of the names.
    fn credentials(&self, query: credential::Query) -> Answer<'_, CredentialPage>;

    /// The credentials of one endpoint name, the oldest first; empty if there are none.
    fn credentials_of<'a>(&'a self, endpoint: &'a EndpointName) -> Answer<'a, Vec<Credential>>;

    /// Makes all of the changes or none, durably before it answers; with `dry_run` it only says what they would do. The same
    /// changes again are no error and change nothing. Sessions made by what is revoked are closed.
    fn change_credentials(
        &self,
        changes: Vec<(EndpointName, credential::Change)>,
        dry_run: bool,
    ) -> Answer<'_, Result<credential::Counts, credential::Refused>>;

    /// What Clients must know of the Server to trust it. Fails with `not_supported` where it has no keys.
    fn server_identity(&self) -> Answer<'_, ServerIdentity> {
        let problem = Problem::new(Code::NotSupported, "This Server has no key of its own.");
        Box::pin(std::future::ready(Err(problem)))
    }

    /// The bootstrap profiles, by name.
    fn profiles(&self) -> Result<Vec<Arc<Profile>>, Problem>;

    /// Adds a bootstrap profile, or puts it in the place of the one with its name, durably before it answers; with
    /// `dry_run` it is checked alone.
    fn put_profile(
        &self,
        profile: Profile,
        dry_run: bool,
    ) -> Answer<'_, Result<ProfilePut, ProfileRefused>>;

    /// Removes a bootstrap profile; false if there is none of this name.
    fn remove_profile(&self, name: ProfileName) -> Answer<'_, bool>;

    /// What a Client would be given, in which steps: by the profile of this name, or by the one that is for it. Fails with
    /// `profile_unknown` and `profile_unusable`.
    fn bootstrap_plan<'a>(
        &'a self,
        endpoint: &'a EndpointName,
        by: Option<ProfileName>,
    ) -> Answer<'a, (ProfileName, Plan)>;

    /// Bootstrap runs, the newest first, at most `limit`: those of one Client, or the last of all.
    fn bootstrap_runs(
        &self,
        endpoint: Option<EndpointName>,
        limit: usize,
    ) -> Answer<'_, Vec<BootstrapRun>>;

    /// Begins a bootstrap run with a Client that can be reached: where it listens, if that is said, else where it
    /// registered or was bootstrapped last. Fails with `client_unknown`, `profile_unknown`, `profile_unusable` and
    /// `not_supported`.
    fn begin_bootstrap<'a>(
        &'a self,
        endpoint: &'a EndpointName,
        at: Option<ClientAddress>,
    ) -> Answer<'a, BootstrapRunId>;

    /// Writes the whole store, as of one commit, into a file that nobody else sees, while everything goes on. The
    /// file stands at its beginning, and is gone when it is closed.
    fn backup(&self, with_events: bool) -> Answer<'_, std::fs::File> {
        let _ = with_events;
        let problem = Problem::new(Code::NotSupported, "This store is not on a disk.");
        Box::pin(std::future::ready(Err(problem)))
    }

    /// Whether requests can be served now; otherwise the reason, for `/readyz`.
    fn ready(&self) -> Result<(), String>;

    /// The metrics in the text format of Prometheus.
    fn metrics(&self) -> String;

    /// The wall clock.
    fn now(&self) -> Timestamp;
}

/// Which Clients are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientQuery {
    /// Part of the endpoint name, compared without regard to ASCII case; `None` for all.
    pub q: Option<String>,
    /// At most so many.
    pub limit: usize,
    /// `next` of the page before. The backend's own; anyone may have typed it, so it fails with `cursor_invalid`.
    pub cursor: Option<String>,
    /// True for registered Clients, false for those whose registration has expired.
    pub registered: bool,
}

/// A page of Clients.
#[derive(Debug, Clone)]
pub struct ClientPage {
    /// The Clients.
    pub clients: Vec<Client>,
    /// Where the next page begins; `None` if this is the last.
    pub next: Option<String>,
    /// How many Clients fit in all; `None` where counting them would cost too much.
    pub total: Option<u64>,
}

/// What came of putting a bootstrap profile.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfilePut {
    /// Whether one of this name was there before.
    pub replaced: bool,
    /// What is worth a second look.
    pub advice: Vec<Finding>,
}

/// Why a bootstrap profile was not put.
#[derive(Debug, Clone, PartialEq)]
pub enum ProfileRefused {
    /// It cannot be used.
    Faults(Vec<Finding>),
    /// Another one is for exactly the same Clients.
    Taken {
        /// Its name.
        by: ProfileName,
    },
    /// There are too many.
    TooMany {
        /// How many there may be.
        max: usize,
    },
}

/// A page of credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialPage {
    /// Endpoint names with their credentials.
    pub endpoints: Vec<(EndpointName, Vec<Credential>)>,
    /// Whether there are more.
    pub more: bool,
    /// Credentials in all, whether they fit or not.
    pub total: u64,
}

/// What a Client is asked to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// The values at an Object, Object Instance or Resource.
    Read {
        /// The target.
        path: Path,
        /// The format that is wanted; `None` leaves it to the backend.
        accept: Option<ContentFormat>,
    },
    /// What exists at the target, and its attributes.
    Discover {
        /// The target.
        path: Path,
    },
    /// New values for an Object Instance or a Resource. `Partial` comes with an Object Instance alone: a partial
    /// write of a Resource was turned into one of its instance.
    Write {
        /// The target.
        path: Path,
        /// Whether what is not in `node` stays.
        mode: WriteMode,
        /// The format that is wanted; `None` leaves it to the backend.
        format: Option<ContentFormat>,
        /// The values: an Instance or a Resource, as the path says.
        node: Node,
    },
    /// New notification attributes.
    WriteAttributes {
        /// The target.
        path: Path,
        /// What is set and what is unset.
        attributes: AttributesChange,
    },
    /// Executes a Resource.
    Execute {
        /// The Resource.
        path: Path,
        /// Its arguments, possibly none.
        arguments: Arguments,
    },
    /// A new Object Instance.
    Create {
        /// The Object.
        object: ObjectId,
        /// Its number; `None` leaves it to the Client.
        instance: Option<ObjectInstanceId>,
        /// The format that is wanted; `None` leaves it to the backend.
        format: Option<ContentFormat>,
        /// What it holds.
        resources: Vec<Resource>,
    },
    /// Removes an Object Instance.
    Delete {
        /// The instance.
        path: Path,
    },
    /// Reads, and reports from now on.
    Observe {
        /// The target.
        path: Path,
        /// The format that is wanted; `None` leaves it to the backend.
        accept: Option<ContentFormat>,
    },
    /// No more reports of this target. Fails with `observation_unknown`.
    Cancel {
        /// The target that was observed.
        path: Path,
        /// How the Client is told.
        by: CancelBy,
    },
}

impl Command {
    /// The target.
    pub fn path(&self) -> Path {
        match self {
            Command::Read { path, .. }
            | Command::Discover { path }
            | Command::Write { path, .. }
            | Command::WriteAttributes { path, .. }
            | Command::Execute { path, .. }
            | Command::Delete { path }
            | Command::Observe { path, .. }
            | Command::Cancel { path, .. } => *path,
            Command::Create { object, .. } => Path::object(*object),
        }
    }

    /// The standard's name of the operation.
    pub const fn name(&self) -> &'static str {
        match self {
            Command::Read { .. } => "Read",
            Command::Discover { .. } => "Discover",
            Command::Write { .. } => "Write",
            Command::WriteAttributes { .. } => "Write-Attributes",
            Command::Execute { .. } => "Execute",
            Command::Create { .. } => "Create",
            Command::Delete { .. } => "Delete",
            Command::Observe { .. } => "Observe",
            Command::Cancel { .. } => "Cancel Observation",
        }
    }
}

/// The two ways to cancel an observation (TS 5.5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CancelBy {
    /// Answer the next notification with a Reset: nothing is sent now, and this is done at once.
    Reset,
    /// Send a request with Observe = 1: the Client answers with the current value.
    #[default]
    Observe,
}

/// How a command is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperateSettings {
    /// How long the request may take from now until its answer, its time in the queue included; `None` for the
    /// backend's default.
    pub timeout: Option<Duration>,
    /// False to be answered with the request at once, even when the Client is awake.
    pub wait: bool,
}

/// How a command went, so far.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The Client has answered well.
    Completed(Completion),
    /// The request waits, or is under way.
    Accepted(Request),
}

/// A Client's good answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The code: 2.01, 2.02, 2.04 or 2.05.
    pub code: ResponseCode,
    /// When it arrived.
    pub at: Timestamp,
    /// What came with it.
    pub answer: CompletionAnswer,
}

/// What comes with a good answer.
#[derive(Debug, Clone, PartialEq)]
pub enum CompletionAnswer {
    /// Nothing: Write, Write-Attributes, Execute, Delete, Cancel by Reset.
    Done,
    /// The values: Read, Observe, Cancel by Observe.
    Values(Reading),
    /// The links: Discover.
    Links(Discovered),
    /// Where the new Object Instance is: Create.
    Created(Path),
}

/// Values with their time and the version of their definition.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The target that was read.
    pub path: Path,
    /// When the values arrived, or when they were measured if the Client said so.
    pub at: Timestamp,
    /// The version of the Object that the Client announced, for names and units.
    pub version: ObjectVersion,
    /// The values.
    pub node: Node,
}

/// An observation of a Client.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// What is observed.
    pub path: Path,
    /// Since when; `None` while the Client has not confirmed it.
    pub since: Option<Timestamp>,
    /// How many notifications have come.
    pub notifications: u64,
    /// The last values.
    pub last: Option<Reading>,
}

/// The name of a request, opaque to callers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub String);

/// A downlink request as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Its name.
    pub id: RequestId,
    /// For whom it is.
    pub endpoint: EndpointName,
    /// The standard's name of the operation, such as `Write-Attributes`.
    pub operation: &'static str,
    /// The target.
    pub path: Path,
    /// How far it is.
    pub state: RequestState,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it is given up.
    pub expires_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How it ended, if the Client answered or it failed.
    pub outcome: Option<Result<Completion, Problem>>,
}

/// How far a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestState {
    /// It waits for the Client to be awake, or for the request before it.
    Queued,
    /// It was sent; the answer is awaited.
    Sent,
    /// The Client answered well.
    Completed,
    /// The Client refused it, or did not answer.
    Failed,
    /// Someone cancelled it.
    Cancelled,
    /// It waited too long.
    Expired,
    /// It was sent before a restart, and nobody knows whether it was carried out.
    Unknown,
}

/// A part of the committed events.
#[derive(Debug, Clone)]
pub struct Replay {
    /// Events are missing between the position asked for and the first of these: they are not kept any more.
    pub gap: bool,
    /// The events, the oldest first. There may be none although the end is not reached.
    pub events: Vec<Arc<Event>>,
    /// The position to ask for next: not before the last of these.
    pub next: Position,
    /// Nothing more was committed when this was read.
    pub end: bool,
}

/// An object definition file that was read without a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionFile {
    /// The Object it defines.
    pub object: ObjectId,
    /// In which version.
    pub version: ObjectVersion,
    /// The file, as it was sent.
    pub xml: String,
}

impl Outcome {
    /// The completion; a request that was accepted only is `client_timeout`. For callers that waited.
    pub fn completed(self) -> Result<Completion, Problem> {
        match self {
            Outcome::Completed(completion) => Ok(completion),
            Outcome::Accepted(request) => Err(Problem::new(
                Code::ClientTimeout,
                format!("The request {} is still under way.", request.id.0),
            )),
        }
    }
}
