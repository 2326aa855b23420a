//! What can be asked of a Client through this Server, and how it may end.

use std::time::Duration;

use dunlin_lwm2m::attribute::AttributesChange;
use dunlin_lwm2m::link::Discovered;
use dunlin_lwm2m::operation::{Arguments, ResponseCode, WriteMode};
use dunlin_lwm2m::{
    ContentFormat, EndpointName, Node, ObjectId, ObjectInstanceId, Path, Resource, ResourceValue,
    Value,
};
use dunlin_transport::{Token, WallTime};
use thiserror::Error;

use crate::id::RequestId;

/// How long a Client may take to answer, unless the command says otherwise. Slow modems answer
/// after tens of seconds (an empty acknowledgement first, the answer later).
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);

/// How long a request may wait for a sleeping Client, unless the command says otherwise.
pub const EXPIRES_DEFAULT: Duration = Duration::from_secs(7 * 24 * 3600);

/// An operation on a Client; TS 1.0 §5.4 and §5.5. Values are typed here and encoded when the
/// request leaves, in the format that this Client takes.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Values of an Object, Object Instance or Resource (TS 5.4.1).
    Read {
        /// The target.
        path: Path,
    },
    /// What exists at the target, with attributes (TS 5.4.2).
    Discover {
        /// The target.
        path: Path,
    },
    /// New values for an Object Instance or a Resource (TS 5.4.3).
    Write {
        /// The target.
        path: Path,
        /// Whether what is not named stays.
        mode: WriteMode,
        /// The values: an instance at an instance's path, a resource at a resource's.
        node: Node,
    },
    /// New notification attributes (TS 5.4.4).
    WriteAttributes {
        /// The target.
        path: Path,
        /// What is set and what is unset.
        attributes: AttributesChange,
    },
    /// Do it (TS 5.4.5).
    Execute {
        /// The Resource.
        path: Path,
        /// How to do it.
        arguments: Arguments,
    },
    /// A new Object Instance (TS 5.4.6).
    Create {
        /// The Object.
        object: ObjectId,
        /// The number it shall have; `None` lets the Client choose.
        instance: Option<ObjectInstanceId>,
        /// Its Resources.
        resources: Vec<Resource>,
    },
    /// Remove an Object Instance (TS 5.4.7).
    Delete {
        /// The instance.
        path: Path,
    },
    /// Read, and tell from now on (TS 5.5.1).
    Observe {
        /// The target.
        path: Path,
        /// Whether the observation is made again when the Client registers again.
        renew: bool,
    },
    /// No more notifications of this target (TS 5.5.3).
    Cancel {
        /// The target that is observed.
        path: Path,
        /// Which of the two ways.
        by: CancelBy,
    },
}

/// The two ways of ending an observation; TS 1.0 §5.5.3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CancelBy {
    /// A GET with Observe = 1: the Client hears it at once.
    #[default]
    Observe,
    /// A Reset to the next notification: costs nothing, and is heard only then.
    Reset,
}

/// The most bytes of values that a request which must be durable may write. A store keeps rows of 8 MiB; a
/// firmware image goes to a Client that listens, by a Write that may be repeated, or is fetched by the Client.
pub const KEPT_VALUES_MAX: usize = 4 * 1024 * 1024;

/// The log says of a request that wrote more than this what it was and how it ended, not the values.
const LOGGED_VALUES_MAX: usize = 64 * 1024;

impl Command {
    /// How many bytes of text and opaque values it writes.
    pub(crate) fn value_bytes(&self) -> usize {
        match self {
            Self::Write { node, .. } => match node {
                Node::Object(object) => object
                    .instances()
                    .iter()
                    .map(|instance| bytes_of(instance.resources()))
                    .sum(),
                Node::Instance(instance) => bytes_of(instance.resources()),
                Node::Resource(resource) => bytes_of(std::slice::from_ref(resource)),
            },
            Self::Create { resources, .. } => bytes_of(resources),
            _ => 0,
        }
    }

    /// The command as the log has it.
    pub(crate) fn logged(mut self) -> Self {
        if self.value_bytes() <= LOGGED_VALUES_MAX {
            return self;
        }
        match &mut self {
            Self::Write { node, .. } => match node {
                Node::Object(object) => *object = dunlin_lwm2m::Object::new(object.id),
                Node::Instance(instance) => *instance = dunlin_lwm2m::Instance::new(instance.id),
                Node::Resource(resource) => {
                    resource.value = ResourceValue::Multiple(std::collections::BTreeMap::new());
                }
            },
            Self::Create { resources, .. } => resources.clear(),
            _ => {}
        }
        self
    }

    /// The target.
    #[must_use]
    pub fn path(&self) -> Path {
        match self {
            Self::Read { path }
            | Self::Discover { path }
            | Self::Write { path, .. }
            | Self::WriteAttributes { path, .. }
            | Self::Execute { path, .. }
            | Self::Delete { path }
            | Self::Observe { path, .. }
            | Self::Cancel { path, .. } => *path,
            Self::Create { object, .. } => Path::object(*object),
        }
    }

    /// The standard's name of the operation.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Read { .. } => "Read",
            Self::Discover { .. } => "Discover",
            Self::Write { .. } => "Write",
            Self::WriteAttributes { .. } => "Write-Attributes",
            Self::Execute { .. } => "Execute",
            Self::Create { .. } => "Create",
            Self::Delete { .. } => "Delete",
            Self::Observe { .. } => "Observe",
            Self::Cancel { .. } => "Cancel Observation",
        }
    }

    /// Whether doing it twice is doing it once. What is not is never sent a second time when the
    /// first may have arrived.
    #[must_use]
    pub const fn is_idempotent(&self) -> bool {
        match self {
            Self::Read { .. }
            | Self::Discover { .. }
            | Self::Write {
                mode: WriteMode::Replace,
                ..
            }
            | Self::WriteAttributes { .. }
            | Self::Delete { .. }
            | Self::Observe { .. }
            | Self::Cancel { .. } => true,
            Self::Write {
                mode: WriteMode::Partial,
                ..
            }
            | Self::Execute { .. }
            | Self::Create { .. } => false,
        }
    }
}

/// How a command is to be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long the Client may take to answer, from the moment the request leaves.
    pub timeout: Duration,
    /// How long the request may wait in the queue of a Client that sleeps.
    pub expires: Duration,
    /// Whether it may wait at all. Without it a sleeping Client is an error at once.
    pub queue: bool,
    /// The format to ask for or to write in; `None` takes what suits the Client.
    pub format: Option<ContentFormat>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            timeout: TIMEOUT_DEFAULT,
            expires: EXPIRES_DEFAULT,
            queue: true,
            format: None,
        }
    }
}

/// What a command returns at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestTicket {
    /// The request: its outcome comes as [`crate::Output::Completed`] under this id.
    pub id: RequestId,
    /// What became of it so far.
    pub state: RequestState,
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestState {
    /// The Client sleeps; the request is kept, over restarts too, until it wakes.
    Queued,
    /// The Client is awake, and another request of ours is still unanswered (NSTART = 1).
    Waiting,
    /// It is on its way.
    Sent,
}

impl RequestState {
    /// The word used in REST and events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Waiting => "waiting",
            Self::Sent => "sent",
        }
    }
}

/// Why a command was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refused {
    /// Nobody of that name is registered, nor was lately.
    #[error("no Client of that name is registered")]
    ClientUnknown,
    /// It was registered, and is no more.
    #[error("the Client's registration has ended")]
    ClientExpired {
        /// When it ended.
        at: WallTime,
        /// How it ended.
        reason: crate::change::Departure,
    },
    /// It sleeps, and the command may not wait.
    #[error("the Client sleeps, and the request may not be queued")]
    ClientAsleep,
    /// Too many requests wait for this Client already.
    #[error("{limit} requests wait for this Client already")]
    QueueFull {
        /// `QUEUE_DEPTH_MAX`, or what the configuration says.
        limit: usize,
    },
    /// Too many requests wait in this Server.
    #[error("{limit} requests wait in this Server already")]
    ServerFull {
        /// `REQUESTS_MAX`.
        limit: usize,
    },
    /// The operation has no meaning at this path.
    #[error("{operation} is not possible at {path}: {reason}")]
    NotPossible {
        /// The operation's name.
        operation: &'static str,
        /// The target.
        path: Path,
        /// One sentence.
        reason: &'static str,
    },
    /// The request has to be kept, because the Client sleeps or because it must not run twice, and is too long
    /// for that.
    #[error(
        "a request with {bytes} bytes of values cannot be kept until it is delivered, at most {limit} can: \
         write it while the Client is awake with a Write that replaces, or let the Client fetch it"
    )]
    TooLargeToKeep {
        /// How many bytes its values have.
        bytes: usize,
        /// [`KEPT_VALUES_MAX`].
        limit: usize,
    },
    /// The values cannot be written in any format this Client takes, or in the one asked for.
    #[error("the value cannot be encoded: {reason}")]
    Unencodable {
        /// One sentence.
        reason: String,
    },
    /// The Bootstrap-Server has no way to the Client: without an address it knows only where those
    /// are that are registered or were bootstrapped.
    #[error("the Bootstrap-Server cannot reach this Client: {reason}")]
    ClientUnreachable {
        /// One sentence.
        reason: &'static str,
    },
    /// The path is not observed.
    #[error("{path} is not observed")]
    NotObserved {
        /// The target.
        path: Path,
    },
    /// The path is observed already.
    #[error("{path} is observed already")]
    AlreadyObserved {
        /// The target.
        path: Path,
    },
    /// Too many observations on this Client.
    #[error("{limit} paths of this Client are observed already")]
    TooManyObservations {
        /// `OBSERVATIONS_MAX`.
        limit: usize,
    },
    /// No request of that id, or it has ended.
    #[error("no such request, or it has ended")]
    RequestUnknown,
    /// What the command needs to remember cannot be stored now.
    #[error("the store does not take records at present")]
    StoreFailing,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The Client answered, well or not.
    Answered(Box<Answered>),
    /// It is done, and the Client did not have to be asked: an observation was cancelled by Reset,
    /// or one that the Client does not hold at present.
    Done,
    /// It did not, or was never asked.
    Failed(Failed),
}

/// What a Client answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// Its code; `Err` holds the byte of one that LwM2M does not define.
    pub code: Result<ResponseCode, u8>,
    /// The format it wrote in.
    pub format: Option<ContentFormat>,
    /// What it said.
    pub content: Content,
    /// Where the new instance is (Create).
    pub location: Option<Path>,
    /// The observation that was established (Observe).
    pub observation: Option<Token>,
}

/// A payload, read.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// There was none.
    None,
    /// Values, with the definitions of this Client.
    Node(Node),
    /// What exists, with attributes (Discover).
    Links(Discovered),
    /// The diagnostic text of an error; RFC 7252 §5.5.2.
    Diagnostic(String),
    /// Bytes that did not decode: kept, so that a person can look.
    Raw {
        /// The payload.
        payload: Vec<u8>,
        /// Why it did not decode.
        reason: String,
    },
}

/// Why a request ended without an answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Failed {
    /// No answer in time, after all retransmissions. It may have been done all the same.
    #[error("the Client did not answer in time")]
    TimedOut,
    /// The Client reset the message.
    #[error("the Client reset the message")]
    Reset,
    /// The answer is larger than we take, or its blocks do not fit together.
    #[error("the answer is too large or came in pieces that do not fit")]
    TooLarge,
    /// The answer makes no sense to CoAP.
    #[error("the answer cannot be understood")]
    Unintelligible,
    /// It waited longer than it may.
    #[error("the request waited longer than it may")]
    Expired,
    /// The registration ended before the request could be sent.
    #[error("the Client's registration ended")]
    ClientGone,
    /// Cancelled from our side.
    #[error("the request was cancelled")]
    Cancelled,
    /// It had been sent, cannot be sent again, and the answer was lost with a restart of ours or
    /// of the Client: it may have been done.
    #[error("whether the Client has done it is not known")]
    Unknown,
    /// The values cannot be written in a format the Client takes.
    #[error("the value cannot be encoded: {0}")]
    Unencodable(String),
}

impl Failed {
    /// The stable code used in REST and events.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::TimedOut => "timed_out",
            Self::Reset => "client_reset",
            Self::TooLarge => "answer_too_large",
            Self::Unintelligible => "answer_unintelligible",
            Self::Expired => "request_expired",
            Self::ClientGone => "client_gone",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
            Self::Unencodable(_) => "unencodable",
        }
    }
}

/// A request as operators see it.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestView {
    /// Its id.
    pub id: RequestId,
    /// For whom.
    pub endpoint: EndpointName,
    /// What.
    pub command: Command,
    /// How far it has come.
    pub state: RequestState,
    /// When the command was given.
    pub made_at: WallTime,
    /// Until when it may wait.
    pub expires_at: WallTime,
    /// How often it was sent and not answered.
    pub attempts: u8,
}

fn bytes_of(resources: &[Resource]) -> usize {
    let one = |value: &Value| match value {
        Value::String(text) | Value::CoreLink(text) => text.len(),
        Value::Opaque(bytes) => bytes.len(),
        _ => 0,
    };
    let of = |resource: &Resource| match &resource.value {
        ResourceValue::Single(value) => one(value),
        ResourceValue::Multiple(values) => values.values().map(one).sum(),
    };
    resources.iter().map(of).sum()
}
