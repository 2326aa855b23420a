//! Where a peer can be reached: the bearer and the host on it.

use alloc::boxed::Box;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

/// The kinds of bearer that carry datagrams; TS 1.0 §8.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bearer {
    /// UDP over IPv4 or IPv6; TS 1.0 §8.6.1.
    Udp,
    /// Short messages; TS 1.0 §8.6.2.
    Sms,
}

impl Bearer {
    /// The word used in REST, events and configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Sms => "sms",
        }
    }
}

/// An address on a bearer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// An IP address and a port. IPv4 is never written as mapped IPv6: drivers unmap it.
    Udp(SocketAddr),
    /// A subscriber's number, digits only (3GPP TS 23.003).
    Sms(Box<str>),
}

impl Address {
    /// The bearer that carries datagrams for this address.
    #[must_use]
    pub fn bearer(&self) -> Bearer {
        match self {
            Self::Udp(_) => Bearer::Udp,
            Self::Sms(_) => Bearer::Sms,
        }
    }

    /// The IP address, where the bearer has one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Udp(socket) => Some(socket.ip()),
            Self::Sms(_) => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp(socket) => socket.fmt(f),
            Self::Sms(number) => write!(f, "sms:{number}"),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(socket: SocketAddr) -> Self {
        Self::Udp(socket)
    }
}
