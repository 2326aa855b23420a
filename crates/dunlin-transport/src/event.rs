//! What the transport machine tells the role above it, and what the role answers.
//!
//! A role speaks of operations, peers and observations. Message ids, blocks, options and records
//! stay below: whoever needs one of those is on the wrong floor.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use dunlin_coap::{BlockSize, BlockValue};
use dunlin_dtls::ResumptionState;
use dunlin_lwm2m::operation::{Operation, ResponseCode, Uplink};
use dunlin_lwm2m::{ContentFormat, Path};

use crate::address::Address;
use crate::need::DisconnectReason;
use crate::peer::{Identity, PeerId};
use crate::port::Port;

pub use dunlin_coap::{
    ExchangeId, NotificationId, ObservationEnd, ObservationId, ObserverEnd, ObserverId, RequestId,
    Token,
};

/// The length of the registration ids that `dunlin-server` gives.
pub const LOCATION_LENGTH: usize = 26;

/// News from the wire. A closed set: whoever takes it decides about each, and news without anybody
/// who acts on it does not compile.
#[derive(Debug)]
pub enum Event {
    /// A Client asks (server side): the role answers with `answer_uplink`.
    Uplink {
        /// Who asks.
        peer: PeerId,
        /// What the answer is given for.
        exchange: ExchangeId,
        /// What is asked.
        uplink: Box<Uplink>,
    },
    /// A Client says that it is there (server side): an Update of the registration at `location`
    /// that tells nothing else. The role answers with `answer_uplink`. It has an event of its own
    /// because most datagrams of a fleet are this one, and so it takes no memory; one whose
    /// location does not look like a registration id comes as an `Uplink`.
    Refresh {
        /// Who asks.
        peer: PeerId,
        /// What the answer is given for.
        exchange: ExchangeId,
        /// The last segment of the location: 26 ASCII letters and digits.
        location: [u8; LOCATION_LENGTH],
    },
    /// A Server asks (client side): the role answers with `answer_downlink`.
    Downlink {
        /// Who asks.
        peer: PeerId,
        /// What the answer is given for.
        exchange: ExchangeId,
        /// What is asked.
        operation: Box<Operation>,
        /// The token, which names an observation for as long as it lives (RFC 7641 §4.1).
        token: Token,
    },
    /// A Server writes a Resource block by block (client side), and this is one block. The role takes
    /// it with `proceed_downlink`, has the whole gathered with `gather_downlink` (at the first
    /// block), or ends it with `answer_downlink`, which is the only way at the last one.
    DownlinkBlock {
        /// Who writes.
        peer: PeerId,
        /// What the answer is given for; another one for each block.
        exchange: ExchangeId,
        /// The token of this block.
        token: Token,
        /// What is written.
        block: Box<WrittenBlock>,
    },
    /// A server answered a `fetch` of ours (client side); the request is over.
    Fetched {
        /// Which request.
        request: RequestId,
        /// Who answered.
        peer: PeerId,
        /// What it gave.
        block: FetchedBlock,
    },
    /// The peer answered a request of ours; the request is over.
    Answered {
        /// Which request.
        request: RequestId,
        /// Who answered.
        peer: PeerId,
        /// What it said.
        answer: Answer,
    },
    /// A request of ours ended without an answer.
    Failed {
        /// Which request.
        request: RequestId,
        /// Who did not answer.
        peer: PeerId,
        /// Why.
        failure: Failure,
    },
    /// The peer has acknowledged a request of ours and will answer later (RFC 7252 §5.2.2).
    Acknowledged {
        /// Which request.
        request: RequestId,
        /// Who acknowledged it.
        peer: PeerId,
    },
    /// A notification for an observation that is known here. It is acknowledged by the role, with
    /// `acknowledge`, once what it told is durable.
    Notified {
        /// Who tells.
        peer: PeerId,
        /// The observation.
        relation: Relation,
        /// What is acknowledged or rejected.
        exchange: ExchangeId,
        /// The Observe number (RFC 7641 §4.4); `None` for an answer without one, which ends the
        /// observation.
        sequence: Option<u32>,
        /// False when a newer one came before it; RFC 7641 §3.4.
        fresh: bool,
        /// Whether the peer waits for an acknowledgement.
        confirmable: bool,
        /// The value.
        answer: Answer,
    },
    /// A notification whose token no observation here explains. It ends in `acknowledge` or, to
    /// cancel it at the peer, `reject`.
    StrayNotification {
        /// Who tells.
        peer: PeerId,
        /// The token.
        token: Token,
        /// What is acknowledged or rejected.
        exchange: ExchangeId,
        /// The Observe number.
        sequence: u32,
        /// Whether the peer waits for an acknowledgement.
        confirmable: bool,
        /// The value.
        answer: Answer,
    },
    /// An observation of ours is over.
    ObservationEnded {
        /// Whose resource it was.
        peer: PeerId,
        /// The observation.
        relation: Relation,
        /// Why.
        reason: ObservationEnd,
    },
    /// A notification of ours was acknowledged (client side).
    NotificationDelivered {
        /// Which.
        notification: NotificationId,
        /// Of which observer.
        observer: ObserverId,
    },
    /// A confirmable notification of ours was never acknowledged (client side). The observer stays
    /// until `remove_observer`.
    NotificationLost {
        /// Which.
        notification: NotificationId,
        /// Of which observer.
        observer: ObserverId,
    },
    /// An observer of ours is gone: it reset a notification, cancelled, or asked anew (client side).
    ObserverGone {
        /// Which.
        observer: ObserverId,
        /// Who it was.
        peer: PeerId,
        /// Why.
        reason: ObserverEnd,
    },
    /// A ping was answered, or not: `alive` says which.
    Pinged {
        /// Who.
        peer: PeerId,
        /// Whether it answered.
        alive: bool,
    },
    /// Something well-formed that no operation of LwM2M explains; it has been answered as the
    /// standard says. Told because `dunlin knocks` and the trace show it.
    Violated {
        /// Who.
        peer: PeerId,
        /// From where.
        address: Address,
        /// What was wrong, and how it was answered.
        violation: Violation,
    },
    /// This peer has sent more than its budget (server side): the first message was dropped for it.
    /// How many follow is known from `over_budget`.
    OverBudget {
        /// Who.
        peer: PeerId,
    },
    /// Any authentic message of this peer arrived: the queue's awake window opens.
    Heard {
        /// Who.
        peer: PeerId,
    },
    /// A session that was asked for with `connect` is there: what was held back for it leaves now
    /// (client side).
    Connected {
        /// With whom.
        peer: PeerId,
        /// An earlier session was resumed, without a full handshake.
        resumed: bool,
    },
    /// A peer has opened a session with us, and has not spoken yet (client side: the session of a
    /// Bootstrap-Server that begins, TS 1.0 §7.1.2). Say at once what it may ask.
    Accepted {
        /// Who.
        peer: PeerId,
    },
    /// A peer has no session any more, or never got one. The peer is remembered as long as it is
    /// held; what is sent to it is lost.
    Disconnected {
        /// Who.
        peer: PeerId,
        /// Why.
        reason: DisconnectReason,
    },
    /// The session can be resumed with this, also after a restart (client side).
    Resumable {
        /// With whom.
        peer: PeerId,
        /// For [`dunlin_dtls::ClientSettings::resume`].
        state: Box<ResumptionState>,
    },
    /// A peer is reached elsewhere from now on: its session was heard from there, by an authentic
    /// record newer than all before it (RFC 9146 §6). Its name stays.
    Moved {
        /// Who.
        peer: PeerId,
        /// Where it was.
        from: Address,
        /// Where it is.
        to: Address,
    },
    /// Somebody tried to open a session with us and failed (server side). Told because `dunlin
    /// knocks` shows it.
    HandshakeFailed {
        /// From where.
        address: Address,
        /// At which door.
        port: Port,
        /// Who it said it was, as far as it came; nothing of it is proved.
        claimed: Option<Identity>,
        /// Why it failed.
        reason: dunlin_dtls::Failure,
    },
}

/// One block of a Resource's new value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenBlock {
    /// The Resource.
    pub path: Path,
    /// How the whole is written.
    pub format: ContentFormat,
    /// Where the block begins in the whole. 0 begins anew, also in the middle of one.
    pub offset: u64,
    /// Whether more blocks follow.
    pub more: bool,
    /// How long the whole is, if the Server says so.
    pub size: Option<u64>,
    /// The bytes of this block.
    pub bytes: Vec<u8>,
}

/// What is asked of any CoAP server: one block of the representation at a URI (RFC 7252 §6.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The host as the URI has it, if it is a name.
    pub host: Option<String>,
    /// The segments of the path, decoded.
    pub path: Vec<String>,
    /// The parts of the query, decoded.
    pub queries: Vec<String>,
    /// Which block, and how large.
    pub block: BlockValue,
}

/// What a CoAP server gave for a [`Fetch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedBlock {
    /// The code; `Err` holds the byte of one that LwM2M does not define.
    pub code: Result<ResponseCode, u8>,
    /// Where the block begins in the whole; 0 for an answer that is no block.
    pub offset: u64,
    /// Whether more blocks follow.
    pub more: bool,
    /// The size of the server's blocks; `None` for an answer that is no block.
    pub block_size: Option<BlockSize>,
    /// How long the whole is, if the server says so.
    pub size: Option<u64>,
    /// Which version of the representation this is of.
    pub etag: Option<Vec<u8>>,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// The peer's answer to a request of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The code; `Err` holds the byte of one that LwM2M does not define.
    pub code: Result<ResponseCode, u8>,
    /// The format of the payload.
    pub format: Option<ContentFormat>,
    /// The payload, whole: blocks have been joined.
    pub payload: Vec<u8>,
    /// Location-Path segments, for Create and Register.
    pub location: Vec<String>,
    /// The observation that this answer established; `None` when the peer established none.
    pub observation: Option<Relation>,
    /// Max-Age in seconds where the peer gave it (5.03 says with it when to come back).
    pub max_age_s: Option<u32>,
}

/// An observation at a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relation {
    /// Its name while this machine lives.
    pub id: ObservationId,
    /// Its token: its name for the peer, and over a restart of ours.
    pub token: Token,
}

/// Why a request ended without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// No acknowledgement after all retransmissions, or no answer before the deadline.
    TimedOut,
    /// The peer reset the message.
    Reset,
    /// The answer is larger than `Config::body_max`, or its blocks do not fit together.
    TooLarge,
    /// The blocks of the answer changed under way (another ETag), again after a new start.
    Changed,
    /// The peer answered with a critical option that we do not know, or against the protocol.
    Unintelligible,
    /// The peer was forgotten, or the request cancelled, on our side.
    Cancelled,
}

/// What a peer did against LwM2M.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// One sentence for people.
    pub what: String,
    /// How it was answered.
    pub code: ResponseCode,
}

/// The Server's answer to an uplink; TS 1.0 §8.5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UplinkAnswer {
    /// 2.01 with Location-Path, one option per segment.
    Created(Vec<String>),
    /// 2.04.
    Changed,
    /// 2.02.
    Deleted,
    /// Any refusal, with words for the person who reads the packet.
    Refused {
        /// The code.
        code: ResponseCode,
        /// Diagnostic payload; RFC 7252 §5.5.2.
        diagnostic: String,
        /// When to come back (5.03).
        max_age_s: Option<u32>,
    },
}
