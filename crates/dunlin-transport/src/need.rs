//! Questions of security to the outside, and what becomes of sessions.

use dunlin_dtls::Question;

use crate::address::Address;
use crate::port::Port;

/// Names a question of security, for the answer.
pub use dunlin_dtls::NeedId as SecurityNeedId;

/// The answer to a [`SecurityNeed`]: a key, or a verdict.
pub use dunlin_dtls::Answer as SecurityAnswer;

/// What a handshake has to ask. It waits for [`crate::Transport::handle_answer`] until
/// `need_timeout` of the settings; nothing else waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityNeed {
    /// Where the peer is.
    pub address: Address,
    /// The door it knocks at.
    pub port: Port,
    /// What is asked.
    pub question: Question,
}

/// Why a peer is not connected any more, or never was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The session is over.
    Closed(dunlin_dtls::CloseReason),
    /// The handshake failed.
    Failed(dunlin_dtls::Failure),
}

/// Why a session could not be opened, or made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecurityRefused {
    /// [`crate::Config::dtls`] says that there is no DTLS, or the port is one without.
    NotSecure,
    /// The bearer's addresses are too long for DTLS here.
    Address,
    /// The peer has no session.
    NotConnected,
    /// DTLS refuses.
    Dtls(dunlin_dtls::Refused),
    /// What was exported cannot be read, or is alive already.
    Import(dunlin_dtls::ImportError),
}

impl core::fmt::Display for SecurityRefused {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NotSecure => f.write_str("there is no DTLS at this port"),
            Self::Address => f.write_str("the address is too long"),
            Self::NotConnected => f.write_str("the peer has no session"),
            Self::Dtls(refused) => refused.fmt(f),
            Self::Import(refused) => refused.fmt(f),
        }
    }
}

impl core::error::Error for SecurityRefused {}
