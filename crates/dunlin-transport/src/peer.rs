//! The other side before we know its name: its id in this machine, and what security proved of it.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::address::Address;

pub use dunlin_coap::PeerId;

/// What the association proved of the peer; TS 1.0 §7.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Nothing: a datagram in the clear, known by its address alone.
    None,
    /// The PSK identity whose key the peer holds.
    PreSharedKey(Box<[u8]>),
    /// SHA-256 over the SubjectPublicKeyInfo whose private key the peer holds.
    RawPublicKey([u8; 32]),
    /// A certificate that the node's verdict accepted.
    Certificate {
        /// The subject's common name.
        common_name: Option<String>,
        /// Its alternative names of type DNS and URI.
        alternative_names: Vec<String>,
    },
}

impl Identity {
    /// The word used in REST and events: `nosec`, `psk`, `rpk`, `x509`.
    #[must_use]
    pub fn security_name(&self) -> &'static str {
        match self {
            Self::None => "nosec",
            Self::PreSharedKey(_) => "psk",
            Self::RawPublicKey(_) => "rpk",
            Self::Certificate { .. } => "x509",
        }
    }
}

/// What the machine keeps of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where it was last heard, and where answers go.
    pub address: Address,
    /// The address of ours it spoke to, so that answers leave from there.
    pub local: Option<IpAddr>,
    /// What security proved of it.
    pub identity: Identity,
}
