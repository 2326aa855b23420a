//! Questions that this machine cannot answer itself, and their answers.

use dunlin_lwm2m::EndpointName;
use dunlin_transport::{Identity, SecurityAnswer, SecurityNeed};

use crate::bootstrap::Provision;

/// Names a question in its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NeedId(pub u64);

/// A question to the node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Need {
    /// May a peer with this identity register under this name (TS 1.0 §7.1.7 to §7.1.9)? Asked
    /// where [`crate::config::Admission`] leaves it open. The answer is [`Answer::Admission`].
    Admission {
        /// The name.
        endpoint: EndpointName,
        /// What security proved.
        identity: Identity,
    },
    /// A handshake asks: which key has this identity, may this key or certificate be trusted, may
    /// this session be resumed? The answer is [`Answer::Security`].
    Security(Box<SecurityNeed>),
    /// Is this name registered with another Server of this node or cluster? That one evicts it
    /// ([`crate::Server::evict`]) before the answer, which is [`Answer::Claimed`]. Asked only when
    /// [`crate::ServerConfig::claims`] says that there are others.
    Claim {
        /// The name.
        endpoint: EndpointName,
    },
    /// What is a Client to get that asks for its configuration under this name, if it may ask with
    /// this identity? The answer is [`Answer::Profile`]. Asked only when
    /// [`crate::ServerConfig::bootstrap`] has a Bootstrap-Server.
    Profile {
        /// The name.
        endpoint: EndpointName,
        /// What security proved.
        identity: Identity,
    },
}

/// The node's answer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Answer {
    /// To [`Need::Admission`].
    Admission(Verdict),
    /// To [`Need::Security`].
    Security(SecurityAnswer),
    /// To [`Need::Claim`]: the name is ours. What the evicting Server knew comes along: its
    /// observations, to be made again, and its queue.
    Claimed(Box<crate::change::Snapshot>),
    /// To [`Need::Profile`].
    Profile(Result<Box<Provision>, NoProfile>),
    /// It cannot be answered now: the Client hears 5.03.
    Unavailable,
}

/// Why a Client gets no configuration. The words go to the Client and to whoever looks for the
/// reason.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoProfile {
    /// Nobody knows the name: 4.00 (TS 1.0 §8.5).
    Unknown,
    /// The identity belongs to another name: 4.00 (TS 1.0 §7.1.7, §8.5).
    Mismatch {
        /// What differs.
        reason: String,
    },
    /// It may not bootstrap here: 4.03.
    Forbidden {
        /// Why.
        reason: String,
    },
    /// There is a profile, and it does not work for this Client: 5.00.
    Unusable {
        /// Why.
        reason: String,
    },
}

/// What the node says of an identity that wants a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Allowed,
    /// The identity belongs to another name: 4.00, and this is said to people.
    Differs(String),
    /// The identity belongs to another name: 4.00 (TS 1.0 §7.1.7, §8.5).
    Mismatch,
    /// The name may not register here: 4.03, and this is said to people.
    Forbidden(String),
}
