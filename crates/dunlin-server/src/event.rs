//! News: what is told to the event stream, webhooks and histories.
//!
//! An [`Event`] is logged in the commit that makes it true, and is told when that commit is
//! durable. A [`LiveEvent`] is told at once and kept by nobody: presence, knocks at the door.

use std::sync::Arc;

use dunlin_lwm2m::operation::ResponseCode;
use dunlin_lwm2m::{ContentFormat, EndpointName, Node, Path};
use dunlin_transport::{Address, Identity, WallTime};

use crate::bootstrap::BootstrapRun;
use crate::change::{Departure, Registration};
use crate::command::{Command, Outcome};
use crate::id::{RegistrationId, RequestId};

/// Something that happened to a Client, to be logged.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// To whom.
    pub endpoint: EndpointName,
    /// When.
    pub at: WallTime,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum EventKind {
    /// It registered.
    Registered {
        /// As what.
        registration: Arc<Registration>,
        /// The registration that this one replaced.
        replaced: Option<RegistrationId>,
    },
    /// It changed something by Update, or is reached elsewhere. A refresh is no event.
    Updated {
        /// What it is now.
        registration: Arc<Registration>,
        /// What changed.
        changed: Changed,
    },
    /// Its registration ended: by its wish, by time, or by an operator.
    Departed {
        /// The registration that ended.
        id: RegistrationId,
        /// How.
        reason: Departure,
    },
    /// It told a value of an observation.
    Notified {
        /// What is observed.
        path: Path,
        /// The values, the newest last. Several come when the Client has stored them.
        values: Vec<Sample>,
        /// A newer one came before it: it is history, and not the last value.
        late: bool,
    },
    /// It told something of an observation that does not decode with its definitions.
    Undecodable {
        /// What is observed.
        path: Path,
        /// The format as it came.
        format: Option<ContentFormat>,
        /// The payload as it came.
        payload: Vec<u8>,
        /// Why it does not decode.
        reason: String,
    },
    /// An observation ended.
    ObservationEnded {
        /// What was observed.
        path: Path,
        /// Why.
        reason: ObservationEnd,
    },
    /// A Client took its configuration from the Bootstrap-Server.
    Bootstrapped {
        /// How it went.
        run: Box<BootstrapRun>,
    },
    /// A bootstrap run failed.
    BootstrapFailed {
        /// How far it came, and why.
        run: Box<BootstrapRun>,
    },
    /// A request has its outcome.
    Completed {
        /// Which.
        request: RequestId,
        /// What was asked.
        command: Box<Command>,
        /// How it ended.
        outcome: Outcome,
    },
}

impl EventKind {
    /// The `event:` of the event stream.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Registered { .. } => "registered",
            Self::Updated { .. } => "updated",
            Self::Departed {
                reason: Departure::Expired,
                ..
            } => "expired",
            Self::Departed { .. } => "deregistered",
            Self::Notified { .. } => "notified",
            Self::Undecodable { .. } => "undecodable",
            Self::ObservationEnded { .. } => "observation_ended",
            Self::Bootstrapped { .. } => "bootstrapped",
            Self::BootstrapFailed { .. } => "bootstrap_failed",
            Self::Completed { .. } => "completed",
        }
    }
}

/// A value and its time.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// When it was measured, as far as the Client says; else when it came.
    pub at: WallTime,
    /// The value.
    pub node: Node,
}

/// Which parts of a registration an Update changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// The lifetime.
    pub lifetime: bool,
    /// The binding.
    pub binding: bool,
    /// The SMS number.
    pub sms_number: bool,
    /// Objects and instances.
    pub links: bool,
    /// The address.
    pub address: bool,
    /// Parameters that the standard does not define.
    pub parameters: bool,
}

impl Changed {
    /// Whether anything did.
    #[must_use]
    pub fn any(self) -> bool {
        self != Self::default()
    }

    /// The names of what changed, as REST has them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        [
            (self.lifetime, "lifetime"),
            (self.binding, "binding"),
            (self.sms_number, "sms_number"),
            (self.links, "objects"),
            (self.address, "address"),
            (self.parameters, "parameters"),
        ]
        .into_iter()
        .filter_map(|(changed, name)| changed.then_some(name))
    }
}

/// Why an observation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ObservationEnd {
    /// We cancelled it.
    Cancelled,
    /// The Client notified an error, which ends it; RFC 7641 §4.2.
    Error(Result<ResponseCode, u8>),
    /// The Client refused it when it was made again after a Register.
    NotRenewed(Result<ResponseCode, u8>),
    /// The Client answers, and does not observe.
    NotEstablished,
    /// The registration under which it was made has ended, and it was not to be renewed.
    RegistrationEnded,
    /// The Client has been gone for so long that nothing of it is remembered.
    Forgotten,
}

/// News that is told at once and logged by nobody.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum LiveEvent {
    /// The Client's presence changed.
    Presence {
        /// The Client.
        endpoint: EndpointName,
        /// Since when.
        at: WallTime,
        /// What it is now.
        presence: Presence,
    },
    /// Somebody asked to register, or changed a registration, and was refused.
    Refused {
        /// The name given, if it is one.
        endpoint: Option<EndpointName>,
        /// When.
        at: WallTime,
        /// From where.
        address: Address,
        /// What it proved; after a handshake that failed, what it said it was.
        identity: Identity,
        /// How it was answered.
        code: ResponseCode,
        /// Why, for people.
        reason: String,
    },
    /// A Client sends more than it may, and what is beyond is dropped. Told when it begins; how much
    /// it is, is in its [`crate::ClientView`].
    OverBudget {
        /// The Client.
        endpoint: EndpointName,
        /// Since when.
        at: WallTime,
        /// From where.
        address: Address,
    },
}

/// Whether a Client can be spoken to; it is derived, never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Presence {
    /// It listens.
    Awake,
    /// It sleeps until it says something; TS 1.0 §8.3.
    Asleep,
    /// It should have been heard by now.
    Overdue,
}

impl Presence {
    /// The word used in REST and events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Awake => "awake",
            Self::Asleep => "asleep",
            Self::Overdue => "overdue",
        }
    }
}
