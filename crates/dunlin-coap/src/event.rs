//! What an endpoint puts out, and what its commands return.

use alloc::vec::Vec;

use crate::id::{
    Barrier, ExchangeId, Instant, NotificationId, ObservationId, ObserverId, PeerId, PingId,
    RequestId,
};
use crate::message::{Request, Response, Token};

/// One thing to do for the driver. Taken in this order until [`Output::Timeout`] comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send these bytes.
    Transmit(Transmit),
    /// Tell the layer above.
    Event(Event),
    /// Nothing more; call `handle_timeout` at this time, which may turn out to be a little early. `None`:
    /// no time is awaited.
    Timeout(Option<Instant>),
}

/// A datagram to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// To whom.
    pub peer: PeerId,
    /// The bytes. Give the buffer back with [`crate::Endpoint::recycle`] to spare an allocation.
    pub bytes: Vec<u8>,
    /// The commit that must be durable before they leave; 0 for none.
    pub barrier: Barrier,
}

/// News for the layer above.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Server role: a request came, whole. It waits for [`crate::Endpoint::respond`]. Its Observe option
    /// (0: register, 1: deregister) is there to be read; a register is accepted with
    /// [`crate::Endpoint::respond_observed`], a deregister has already taken effect when this is told.
    Request {
        /// What to answer with.
        exchange: ExchangeId,
        /// Who asks.
        peer: PeerId,
        /// Whether the peer waits for an acknowledgement, and sends again without it.
        confirmable: bool,
        /// The token, which names an observation for the peer.
        token: Token,
        /// What is asked.
        request: Request,
    },
    /// Server role: one block of a large request, handed up because the endpoint asks for bodies
    /// ([`crate::Config::ask_for_bodies`]) or because the layer above streams this body. Wait for:
    /// [`crate::Endpoint::gather`] (first block only: join the rest and tell it as one
    /// [`Event::Request`]), [`crate::Endpoint::proceed`] (the block was taken, send the next one),
    /// or [`crate::Endpoint::respond`] (the final answer, on the last block or before).
    Block {
        /// What to answer with; another one for each block.
        exchange: ExchangeId,
        /// Who sends.
        peer: PeerId,
        /// Whether the peer waits for an acknowledgement.
        confirmable: bool,
        /// The token of this block's request.
        token: Token,
        /// Where the block begins in the body. 0 begins the body anew, also in the middle of one.
        offset: u64,
        /// Whether more follow.
        more: bool,
        /// The request with the bytes of this block. Size1, if there, is the length of the whole body.
        request: Request,
    },
    /// Client role: the peer has our request and will answer later (RFC 7252 §5.2.2).
    Acknowledged {
        /// Our request.
        request: RequestId,
        /// Who acknowledged.
        peer: PeerId,
    },
    /// Client role: the answer, whole. The request has ended. A separate Confirmable answer is
    /// acknowledged by the endpoint.
    Response {
        /// Our request.
        request: RequestId,
        /// Who answers.
        peer: PeerId,
        /// The observation that begins with it, if one was asked for and granted.
        observation: Option<ObservationId>,
        /// The token of that observation, to be stored with it.
        token: Token,
        /// The answer.
        response: Response,
    },
    /// Client role: the request has ended without an answer.
    Failed {
        /// Our request.
        request: RequestId,
        /// Who did not answer.
        peer: PeerId,
        /// Why.
        failure: Failure,
    },
    /// Client role: a notification of an observation we hold. It waits for
    /// [`crate::Endpoint::acknowledge`] or [`crate::Endpoint::reject`], Confirmable or not.
    Notification {
        /// What to acknowledge or reject.
        exchange: ExchangeId,
        /// The observation.
        observation: ObservationId,
        /// Whose resource.
        peer: PeerId,
        /// The token of the observation.
        token: Token,
        /// The Observe option, 24 bits. `None`: an answer without one, which ends the observation.
        sequence: Option<u32>,
        /// Whether it is newer than all before it (RFC 7641 §3.4). Late ones are told too.
        fresh: bool,
        /// Whether the peer waits for the acknowledgement.
        confirmable: bool,
        /// What it says, whole.
        response: Response,
    },
    /// Client role: a notification whose observation is not known here, with its first block only if it is large.
    /// It waits for [`crate::Endpoint::acknowledge`] or [`crate::Endpoint::reject`]; the observation may be
    /// given back with [`crate::Endpoint::restore_observation`] before.
    UnknownNotification {
        /// What to acknowledge or reject.
        exchange: ExchangeId,
        /// Who notifies.
        peer: PeerId,
        /// The token it used.
        token: Token,
        /// The Observe option, 24 bits.
        sequence: u32,
        /// Whether the peer waits for the acknowledgement.
        confirmable: bool,
        /// What it says.
        response: Response,
    },
    /// Client role: an observation is over.
    ObservationEnded {
        /// The observation.
        observation: ObservationId,
        /// Whose resource.
        peer: PeerId,
        /// Its token.
        token: Token,
        /// Why.
        reason: ObservationEnd,
    },
    /// Server role: a Confirmable notification has been acknowledged.
    NotificationAcknowledged {
        /// The notification.
        notification: NotificationId,
        /// Its observer.
        observer: ObserverId,
    },
    /// Server role: a Confirmable notification was never acknowledged. The observer stays until
    /// [`crate::Endpoint::remove_observer`].
    NotificationTimedOut {
        /// The notification.
        notification: NotificationId,
        /// Its observer.
        observer: ObserverId,
    },
    /// Server role: an observer is gone, and its waiting notifications with it.
    ObserverGone {
        /// The observer.
        observer: ObserverId,
        /// Who observed.
        peer: PeerId,
        /// Why.
        reason: ObserverEnd,
    },
    /// Server role: a separate response was never acknowledged, or was reset.
    ResponseLost {
        /// The exchange it answered.
        exchange: ExchangeId,
        /// Who was answered.
        peer: PeerId,
        /// How it was lost.
        failure: Failure,
    },
    /// A ping was answered.
    Pong {
        /// The ping.
        ping: PingId,
        /// Who answered.
        peer: PeerId,
    },
    /// A ping was not answered.
    PingTimedOut {
        /// The ping.
        ping: PingId,
        /// Who did not answer.
        peer: PeerId,
    },
}

/// Why a request ended without an answer, or a response was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// No acknowledgement came for any of the transmissions.
    #[error("not acknowledged after all retransmissions")]
    Timeout,
    /// It was acknowledged or Non-confirmable, and no answer came within EXCHANGE_LIFETIME.
    #[error("acknowledged, but never answered")]
    NoResponse,
    /// The deadline of the request has come.
    #[error("the deadline passed")]
    Deadline,
    /// The peer rejected the message (RST).
    #[error("the peer reset it")]
    Reset,
    /// The answer is longer than allowed.
    #[error("the response is too large")]
    TooLarge,
    /// The representation changed between blocks, twice (RFC 7959 §2.4).
    #[error("the representation changed while it was fetched")]
    Changed,
    /// The blocks of the answer do not follow each other.
    #[error("the peer answered with a block that was not asked for")]
    WrongBlock,
    /// The answer carries a critical option that is not understood (RFC 7252 §5.4.1).
    #[error("the response has an unknown critical option")]
    BadOption,
    /// We cancelled it.
    #[error("cancelled")]
    Cancelled,
    /// The peer was forgotten.
    #[error("the peer was forgotten")]
    Forgotten,
}

/// Why an observation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ObservationEnd {
    /// A notification with an error code or without Observe, told just before (RFC 7641 §3.2).
    Final,
    /// We cancelled it, by a Reset or by a request that was answered.
    Cancelled,
    /// The peer was forgotten.
    Forgotten,
}

/// Why an observer is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ObserverEnd {
    /// The peer reset a notification.
    Reset,
    /// The peer asked with Observe 1.
    Deregistered,
    /// The peer registered again with the same token; the new observer takes its place.
    Replaced,
    /// We notified an error, which ends it (RFC 7641 §4.2).
    Final,
    /// The peer was forgotten.
    Forgotten,
}

/// Why a command was not taken. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The exchange has ended, or was answered already.
    #[error("the exchange is not open")]
    UnknownExchange,
    /// The request has ended.
    #[error("the request is not under way")]
    UnknownRequest,
    /// The observation has ended.
    #[error("the observation is not known")]
    UnknownObservation,
    /// The observer is gone.
    #[error("the observer is not known")]
    UnknownObserver,
    /// The exchange is of another kind than the command, such as a notification to be responded to.
    #[error("the exchange does not take this command")]
    WrongExchange,
    /// The code is no method, or no response code.
    #[error("the code does not fit the message")]
    WrongCode,
    /// Too many are under way towards this peer.
    #[error("too many under way for this peer")]
    PeerFull,
    /// Too many are under way over all.
    #[error("too many under way")]
    EndpointFull,
    /// The body cannot be numbered in blocks of the size.
    #[error("the body is too large for blocks of this size")]
    TooLarge,
}

/// How a request is to be carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestSettings {
    /// Confirmable, or Non-confirmable.
    pub confirmable: bool,
    /// The commit that must be durable before the request leaves; 0 for none.
    pub barrier: Barrier,
    /// When to give up, whatever the state. `None`: only the transmission parameters bound it.
    pub deadline: Option<Instant>,
    /// Whether to register as an observer (Observe 0).
    pub observe: bool,
    /// The largest blocks to use; `None`: those of the profile.
    pub block_size: Option<crate::block::BlockSize>,
    /// The longest response to gather; `None`: [`crate::Limits::response_max`].
    pub response_max: Option<usize>,
    /// Ask for this block of the response and no other, and tell it as it stands, with its Block2 option
    /// (RFC 7959 §2.4): for a body that is larger than memory, or that was fetched in part before.
    /// `None`: the whole response is gathered.
    pub block: Option<crate::block::BlockValue>,
}

impl Default for RequestSettings {
    /// Confirmable, at once, without deadline and observation.
    fn default() -> Self {
        Self {
            confirmable: true,
            barrier: 0,
            deadline: None,
            observe: false,
            block_size: None,
            response_max: None,
            block: None,
        }
    }
}

/// An observation as the layer above keeps it over a restart (client role).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownObservation {
    /// Whose resource.
    pub peer: PeerId,
    /// The token under which it was registered.
    pub token: Token,
    /// The request that registered it, as it was given to [`crate::Endpoint::request`].
    pub request: Request,
    /// The last sequence number and when it came, for freshness. `None`: the next notification is fresh.
    pub last: Option<(u32, Instant)>,
}

/// An observer as the layer above keeps it over a restart (server role).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownObserver {
    /// Who observes.
    pub peer: PeerId,
    /// The token it registered with.
    pub token: Token,
    /// The request it registered with.
    pub request: Request,
    /// The last sequence number that was used.
    pub sequence: u32,
}
