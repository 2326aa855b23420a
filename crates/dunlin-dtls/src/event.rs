//! What the machine says: datagrams to send, questions, and news.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::address::Address;
use crate::alert::AlertDescription;
use crate::crypto::Secret;
use crate::crypto::suite::CipherSuite;
use crate::handshake::Failure;
use crate::identity::PeerIdentity;
use crate::record::cid::ConnectionId;
use crate::resumption::ResumptionState;
use crate::{Instant, Role};

/// A session or a handshake on its way to one. Never used again for another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {}.{}", self.index, self.generation)
    }
}

/// Names a question, for the answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct NeedId {
    pub(crate) session: SessionId,
    pub(crate) number: u32,
}

/// What `poll_output` gives, one at a time until `Timeout`.
#[derive(Clone, PartialEq, Debug)]
pub enum Output {
    /// A datagram to send.
    Transmit(Transmit),
    /// A question; the handshake waits for `handle_answer` until its deadline.
    Need(Need),
    /// Store that send numbers below `up_to` may be in use for this session. **What is polled
    /// after this may leave only once it is durable**: it may use those numbers, and none may
    /// ever be used again. Comes long before the last window is used up, and only for sessions
    /// that have been exported. Give the highest stored value to `import`.
    Reserve {
        /// The session.
        session: SessionId,
        /// The first number not reserved.
        up_to: u64,
    },
    /// News.
    Event(Event),
    /// Nothing more; call `handle_timeout` then.
    Timeout(Option<Instant>),
}

/// A datagram to send.
#[derive(Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub to: Address,
    /// The payload.
    pub bytes: Vec<u8>,
    /// The commit that has to be durable before these bytes leave, as given to `send`; 0 for what
    /// the machine says of itself.
    pub barrier: u64,
    /// The session whose numbers these bytes use, if one is established.
    pub session: Option<SessionId>,
}

impl fmt::Debug for Transmit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} bytes to {:?}, barrier {}",
            self.bytes.len(),
            self.to,
            self.barrier
        )
    }
}

/// A question to the layer above.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Need {
    /// For the answer.
    pub id: NeedId,
    /// The handshake that waits.
    pub session: SessionId,
    /// Where the peer is.
    pub address: Address,
    /// What is asked.
    pub question: Question,
}

/// What a handshake may have to ask.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Question {
    /// The key of a PSK identity; answer with [`Answer::Psk`].
    PskFor {
        /// As the client sent it; not proved yet.
        identity: Vec<u8>,
        /// The name the client asked for (RFC 6066 §3).
        server_name: Option<String>,
    },
    /// Whether the peer may be trusted, should it prove that it holds the private key; answer
    /// with [`Answer::Verdict`].
    VerdictOn {
        /// What it showed.
        shown: Shown,
        /// The peer's role: a server's certificate has to be for `server_name`, a client's for
        /// what the layer above wants.
        role: Role,
        /// The name that the client asked for.
        server_name: Option<String>,
    },
    /// Whether a peer known from an earlier session may resume it, its credentials being as they
    /// are now; answer with [`Answer::Verdict`]. A no makes a full handshake of it.
    Resumption {
        /// Who it proved to be then.
        identity: Arc<PeerIdentity>,
    },
}

/// What a peer showed.
#[derive(Clone, PartialEq, Eq)]
pub enum Shown {
    /// DER certificates, its own first.
    Chain(Vec<Vec<u8>>),
    /// A SubjectPublicKeyInfo in DER.
    RawPublicKey(Vec<u8>),
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shown::Chain(chain) => write!(f, "Chain({} certificates)", chain.len()),
            Shown::RawPublicKey(key) => write!(f, "RawPublicKey({} bytes)", key.len()),
        }
    }
}

/// The answer to a [`Need`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The key, or that there is none: then the handshake goes on with a random one and never
    /// ends, so that nobody can ask us which identities exist.
    Psk(Option<Secret>),
    /// May the peer be trusted?
    Verdict(Verdict),
}

/// A judgement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Yes.
    Accept,
    /// No; the peer is told this, for example [`AlertDescription::CERTIFICATE_UNKNOWN`].
    Refuse(AlertDescription),
}

/// News; past tense.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A handshake ended well.
    Connected(Connected),
    /// Application data came.
    Data {
        /// On this session.
        session: SessionId,
        /// The content of one record.
        plaintext: Vec<u8>,
        /// From here, which need not be the session's address.
        from: Address,
        /// False after an import until `confirm_round_trip`: it may be a replay of what was
        /// received before the restart. Do nothing that must not happen twice.
        fresh: bool,
        /// The record is newer than all before it.
        newest: bool,
    },
    /// A newer authentic record came from elsewhere; we send there from now on.
    Moved {
        /// This session.
        session: SessionId,
        /// The old address.
        from: Address,
        /// The new one.
        to: Address,
    },
    /// The session can be resumed with this; comes after `Connected`, to clients.
    Resumable {
        /// The session.
        session: SessionId,
        /// For `ClientSettings::resume`, here or after a restart.
        state: ResumptionState,
    },
    /// The session is over and forgotten.
    Closed {
        /// The session.
        session: SessionId,
        /// Whose it was.
        identity: Arc<PeerIdentity>,
        /// Why.
        reason: CloseReason,
    },
    /// A handshake ended badly and is forgotten.
    Failed {
        /// What `connect` returned, or a number nobody has seen.
        session: SessionId,
        /// Our role.
        role: Role,
        /// Where the peer is.
        address: Address,
        /// Who it claimed to be, as far as it came.
        claimed: Option<Arc<PeerIdentity>>,
        /// Why.
        reason: Failure,
    },
}

impl fmt::Debug for Event {
    /// Says everything but what was said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Connected(connected) => connected.fmt(f),
            Event::Data {
                session,
                plaintext,
                from,
                fresh,
                newest,
            } => {
                let length = plaintext.len();
                write!(f, "Data {length} bytes on {session:?} from {from:?}")?;
                f.write_str(if *fresh { "" } else { ", not fresh" })?;
                f.write_str(if *newest { "" } else { ", not newest" })
            }
            Event::Moved { session, from, to } => {
                write!(f, "Moved {session:?} from {from:?} to {to:?}")
            }
            Event::Resumable { session, .. } => write!(f, "Resumable {session:?}"),
            Event::Closed {
                session,
                identity,
                reason,
            } => {
                write!(f, "Closed {session:?} of {identity:?}: {reason:?}")
            }
            Event::Failed {
                session,
                role,
                address,
                claimed,
                reason,
            } => {
                write!(f, "Failed {session:?} as {role:?} with {address:?}, ")?;
                write!(f, "who claimed to be {claimed:?}: {reason}")
            }
        }
    }
}

/// A new session.
#[derive(Clone, PartialEq, Debug)]
pub struct Connected {
    /// Its name here.
    pub session: SessionId,
    /// Our role.
    pub role: Role,
    /// Where the peer is.
    pub address: Address,
    /// Who the peer has proved to be.
    pub identity: Arc<PeerIdentity>,
    /// The name the client asked for.
    pub server_name: Option<String>,
    /// How it is protected.
    pub suite: CipherSuite,
    /// The Connection ID by which datagrams for us come.
    pub cid: Option<ConnectionId>,
    /// An earlier session was resumed.
    pub resumed: bool,
}

/// Why a session ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CloseReason {
    /// By `close`.
    Local,
    /// The peer said close_notify.
    Peer,
    /// The peer said this, fatally.
    Alert(AlertDescription),
    /// The same peer made a new session, or another one took over its address and without a
    /// Connection ID nothing could reach this one any more.
    Superseded,
    /// Room was needed, and nothing had come for longer than on others.
    Evicted,
}

/// A command that cannot be carried out; nothing happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// No such session, or no more.
    #[error("no such session")]
    UnknownSession,
    /// The handshake is not over yet.
    #[error("the handshake is not over yet")]
    NotConnected,
    /// One record cannot hold so much for this peer.
    #[error("one record holds at most {max} bytes for this peer")]
    TooLong {
        /// The most it takes.
        max: usize,
    },
    /// All record numbers are used; connect anew.
    #[error("all record numbers of the session are used")]
    Exhausted,
    /// Too many handshakes or sessions.
    #[error("too many handshakes or sessions at once")]
    Full,
    /// There is a handshake with this address under way already.
    #[error("a handshake with this address is under way")]
    HandshakeUnderWay,
    /// No suite of the settings fits the credentials.
    #[error("no suite in the settings fits the credentials")]
    NoSuite,
    /// The credentials cannot be shown in the way asked for, or are too long.
    #[error("the credentials cannot be used as asked for")]
    BadCredentials,
}
