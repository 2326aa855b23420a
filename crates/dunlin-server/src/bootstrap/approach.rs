//! How the Bootstrap-Server reaches a Client that has not asked (TS 1.0 §5.2.3.4).

use dunlin_transport::Address;
use dunlin_transport::dtls::ClientSettings;

/// More ways than this to open a session with one Client are not tried: each may take a minute.
pub const APPROACHES_MAX: usize = 4;

/// Where a Client listens, and by what the two know each other.
#[derive(Clone, Debug)]
pub struct Approach {
    /// Where.
    pub address: Address,
    /// How a session is opened there, the Client being the DTLS server (TS 1.0 §7.1.2): the first
    /// that opens one is used. Nothing: the Client is spoken to in the clear.
    pub sessions: Vec<ClientSettings>,
}

/// What a Client can be reached by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// At once: on the session of its last bootstrap, or in the clear where it registered so.
    Now,
    /// It registered with security from there; whether it listens there is to be found out by an
    /// [`Approach`].
    At(Address),
}
