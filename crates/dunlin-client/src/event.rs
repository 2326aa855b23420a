//! What a Client tells its embedder, and what it asks of it.

use alloc::string::String;
use alloc::vec::Vec;

use dunlin_lwm2m::operation::{Arguments, ResponseCode};
use dunlin_lwm2m::{Path, ShortServerId};
use dunlin_transport::{Address, Failure, Instant, Transmit, dtls};

use crate::bootstrap::SESSION_TIMEOUT;
use crate::firmware::{FirmwareState, PackageDone, PackageFault, PackageStep};
use crate::smartcard::SmartcardError;

/// What the driver does next.
#[derive(Debug)]
pub enum Output {
    /// Make this durable: datagrams whose barrier is this number or greater wait for it.
    Commit(Commit),
    /// Send a datagram, once its barrier is durable.
    Transmit(Transmit),
    /// A question; answered with `handle_answer`.
    Need(NeedId, Need),
    /// News.
    Event(Event),
    /// Nothing more; wake the machine at this time, if any.
    Timeout(Option<Instant>),
}

/// What must survive a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Rises by one with each.
    pub number: u64,
    /// The whole of it, to be kept in place of the one before; read by `Client::restore`.
    pub state: Vec<u8>,
}

/// Names a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NeedId(pub(crate) u64);

/// A question to the outside.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Need {
    /// The address of a host that is written as a name.
    Resolve {
        /// The name.
        host: String,
        /// The port.
        port: u16,
    },
    /// The content of the smartcard's file EF(LwM2M_Bootstrap), read now.
    Smartcard,
    /// Something to be done with the package of the Firmware Update Object. Answered at once or
    /// later; only one that is answered is followed by the next.
    Package(PackageStep),
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// The address; `None` if there is none.
    Resolved(Option<Address>),
    /// What the smartcard holds; `None` if there is none any more.
    Smartcard(Option<Vec<u8>>),
    /// How a [`PackageStep`] went.
    Package(Result<PackageDone, PackageFault>),
}

/// News for the embedder.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A Server has accepted the registration.
    Registered {
        /// Which Server.
        server: ShortServerId,
        /// Under which location.
        location: String,
    },
    /// An earlier session with a Server goes on, by a handshake of one round trip less and without
    /// the work for keys; it may be one of before a restart.
    SessionResumed {
        /// Which Server; `None` for the Bootstrap-Server.
        server: Option<ShortServerId>,
    },
    /// A Server has answered an Update.
    Updated {
        /// Which Server.
        server: ShortServerId,
        /// Whether it told something new, or only that the Client is there.
        changed: bool,
    },
    /// A registration could not be made or kept; it is tried again.
    RegistrationFailed {
        /// Which Server.
        server: ShortServerId,
        /// Why.
        reason: Reason,
        /// In how many seconds it is tried again.
        again_in_s: u64,
    },
    /// The Client has de-registered.
    Deregistered {
        /// From which Server.
        server: ShortServerId,
    },
    /// A Server has written these Resources.
    Written {
        /// Which Server.
        server: ShortServerId,
        /// What has changed.
        paths: Vec<Path>,
    },
    /// A Server has executed a Resource that is the embedder's to carry out.
    Executed {
        /// Which Server.
        server: ShortServerId,
        /// Which Resource.
        path: Path,
        /// With what.
        arguments: Arguments,
    },
    /// A Server has created instances.
    Created {
        /// Which Server.
        server: ShortServerId,
        /// Which instances.
        paths: Vec<Path>,
    },
    /// A Server has deleted an instance.
    Deleted {
        /// Which Server.
        server: ShortServerId,
        /// Which instance.
        path: Path,
    },
    /// A Server observes from now on.
    Observed {
        /// Which Server.
        server: ShortServerId,
        /// What.
        path: Path,
    },
    /// An observation is over.
    ObservationEnded {
        /// Whose.
        server: ShortServerId,
        /// Of what.
        path: Path,
    },
    /// A notification has been acknowledged.
    Notified {
        /// By which Server.
        server: ShortServerId,
        /// Of what.
        path: Path,
    },
    /// A bootstrap has begun: the Client has asked for it, or the Bootstrap-Server began by itself.
    BootstrapStarted {
        /// Whether the Bootstrap-Server began.
        server_initiated: bool,
    },
    /// A bootstrap run has ended well: its writes are in force, and the Client registers anew.
    Bootstrapped {
        /// The Servers it has accounts for now.
        servers: Vec<ShortServerId>,
    },
    /// A bootstrap has failed; everything is as it was before it.
    BootstrapFailed {
        /// Why.
        reason: Reason,
        /// In how many seconds it is tried again; `None` if nothing calls for that.
        again_in_s: Option<u64>,
    },
    /// A request of the Bootstrap-Server was refused.
    BootstrapRefused {
        /// About what.
        path: Path,
        /// With what.
        code: ResponseCode,
        /// Why.
        what: String,
    },
    /// The smartcard has other content than before, which is in force now.
    SmartcardTaken,
    /// The smartcard is gone, and what came from it.
    SmartcardGone,
    /// The smartcard's content cannot be used; what came from it is gone.
    SmartcardRefused(SmartcardError),
    /// The Bootstrap-Server Account was removed, its time being over (`/0/x/12`).
    BootstrapAccountRemoved,
    /// A request was refused.
    Refused {
        /// Whose.
        server: ShortServerId,
        /// About what.
        path: Path,
        /// With which code.
        code: ResponseCode,
        /// Why.
        what: &'static str,
    },
    /// The Firmware Update Object has come to this state.
    Firmware {
        /// Which.
        state: FirmwareState,
        /// Update Result (`/5/0/5`).
        result: i64,
    },
    /// The Client does not listen from now on, until it has something to say (TS 1.0 §8.3).
    Asleep,
    /// The Client listens again.
    Awake,
    /// A Server wants the device to reboot; the answer has gone out before.
    Reboot,
    /// A Server wants the device as it came from the factory; the answer has gone out before.
    FactoryReset,
}

/// Why a registration failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The Server's name has no address.
    #[error("the name {0} has no address")]
    Unresolved(String),
    /// Mode and URI of the account do not go together, or the mode is not known here.
    #[error("the account's security mode does not go with its URI, or is not known to this client")]
    SecurityMode,
    /// The account's own keys cannot be used.
    #[error("{0}")]
    Credentials(&'static str),
    /// No session could be opened.
    #[error("{}", handshake_words(*.0))]
    Handshake(dtls::Failure),
    /// The Server is not the one of the account.
    #[error("this is not the server of the account: {0}")]
    NotTheServer(&'static str),
    /// The session has ended.
    #[error("{}", close_words(*.0))]
    SessionLost(dtls::CloseReason),
    /// No answer.
    #[error("no answer ({0:?})")]
    NoAnswer(Failure),
    /// The Server refused; the code's byte, and its words.
    #[error("refused with {}.{:02}{}", .0 >> 5, .0 & 31, after_colon(.1))]
    Refused(u8, String),
    /// The Bootstrap-Server has begun and not come to an end.
    #[error("the bootstrap server has said nothing for {} s and not finished", SESSION_TIMEOUT.as_secs())]
    NotFinished,
    /// The Bootstrap-Server has opened a session of its own meanwhile.
    #[error("the bootstrap server has begun anew")]
    BegunAnew,
    /// Nothing could be sent.
    #[error("too much is under way")]
    Busy,
}

/// What to look at when a board does not get through.
fn handshake_words(failure: dtls::Failure) -> String {
    use dtls::Failure;
    let what = match failure {
        Failure::Timeout => {
            "no answer to the DTLS handshake: is there a coaps server at this address and port, and does UDP get through?"
        }
        Failure::Unconfirmed => {
            "the server answers, but does not accept who we are: it does not know this identity, or has another key for it"
        }
        Failure::WrongKey => "the server has another key for this identity",
        Failure::Alerted(alert) => return alert_words(alert),
        Failure::NoCommonSuite => "the server has no cipher suite in common with us",
        Failure::NoCommonCertificateType => {
            "the server takes neither the kind of key nor the kind of certificate of this account"
        }
        other => return alloc::format!("the DTLS handshake failed: {other}"),
    };
    what.into()
}

/// Alerts by their number (RFC 5246 §7.2, RFC 4279 §2).
fn alert_words(alert: dtls::AlertDescription) -> String {
    let what = match alert.0 {
        20 | 51 => "the server has another key for this identity",
        40 => {
            "the server has nothing in common with this account: another mode, cipher suite, or no such client"
        }
        42 | 43 | 46 | 48 => {
            "the server refuses our certificate or key: it is not among those it knows"
        }
        44 => "the server has revoked our certificate",
        45 => "the server finds our certificate out of date",
        49 => "the server knows us and denies access",
        115 => "the server does not know this identity",
        _ => return alloc::format!("the server ended the handshake: {alert}"),
    };
    alloc::format!("{what} ({alert})")
}

fn close_words(reason: dtls::CloseReason) -> String {
    use dtls::CloseReason;
    match reason {
        CloseReason::Peer => "the server has ended the session".into(),
        CloseReason::Alert(alert) => {
            alloc::format!("the server has broken off the session ({alert})")
        }
        CloseReason::Local => "we have ended the session".into(),
        other => alloc::format!("the session is over ({other:?})"),
    }
}

fn after_colon(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        alloc::format!(": {text}")
    }
}
