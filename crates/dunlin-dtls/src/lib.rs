//! DTLS 1.2 for LwM2M, as a machine without IO (RFC 6347; RFC 7925 for the choices).
//!
//! [`Dtls`] plays both roles over any number of associations. Datagrams and time go in, datagrams,
//! questions and news come out; there is no socket, no clock and no source of randomness but the
//! seed given at the start. A good way into the sources:
//!
//! 1. `record/` and `message/`: how bytes are spelled, nothing about order.
//! 2. `crypto/`: primitives, and how one record is protected.
//! 3. `association`: one established session; `export`: how it outlives a restart.
//! 4. `reassembly`, `flight`: what makes messages of datagrams and datagrams of messages.
//! 5. `handshake/`: `server12` and `client12` begin with their flow; `mod` with what they share.
//! 6. `sessions`, `cookie`, `limit`: finding the owner of a datagram, and who may become one.
//! 7. `dtls`: the machine, which holds the order of all this.
//!
//! Two machines that talk, without a network between them:
//!
//! ```
//! use dunlin_dtls::*;
//! use std::time::Duration;
//!
//! let now = Duration::from_secs(1);
//! let (here, there) = (Address::other([1; 16], 5684), Address::other([2; 16], 49152));
//! let settings = Settings { server: Some(ServerSettings::default()), ..Settings::default() };
//! let mut server = Dtls::new(settings, [1; 32]);
//! let mut client = Dtls::new(Settings::default(), [2; 32]);
//!
//! client.connect(now, here, ClientSettings::psk(b"urn:dev:1", b"a shared secret")).unwrap();
//! let mut heard = Vec::new();
//! while heard.is_empty() {
//!     // Whatever the client wants: its datagrams go straight to the server.
//!     match client.poll_output() {
//!         Output::Transmit(transmit) => server.handle_receive(now, there, &transmit.bytes),
//!         Output::Event(Event::Connected(connected)) => {
//!             client.send(now, connected.session, b"hello", 0).unwrap();
//!         }
//!         _ => {}
//!     }
//!     // And the server, which asks for the key of whoever calls.
//!     match server.poll_output() {
//!         Output::Transmit(transmit) => client.handle_receive(now, here, &transmit.bytes),
//!         Output::Need(need) => {
//!             let key = Secret::from(&b"a shared secret"[..]);
//!             server.handle_answer(now, need.id, Answer::Psk(Some(key)));
//!         }
//!         Output::Event(Event::Data { plaintext, .. }) => heard = plaintext,
//!         _ => {}
//!     }
//! }
//! assert_eq!(heard, b"hello");
//! ```
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod address;
mod alert;
mod association;
mod cookie;
mod crypto;
mod dtls;
mod event;
mod export;
mod flight;
#[cfg(feature = "certificates")]
#[doc(hidden)]
pub mod fuzz;
mod handshake;
pub mod identity;
mod limit;
mod message;
mod reassembly;
mod record;
mod resumption;
mod sessions;
mod settings;
mod stats;

pub use address::{ADDRESS_LENGTH, Address};
pub use alert::AlertDescription;
pub use crypto::Secret;
pub use crypto::suite::CipherSuite;
pub use dtls::Dtls;
pub use event::{
    Answer, CloseReason, Connected, Event, Need, NeedId, Output, Question, Refused, SessionId,
    Shown, Transmit, Verdict,
};
pub use export::ImportError;
pub use handshake::Failure;
pub use identity::{Credential, PeerIdentity, SigningKey};
pub use message::extension::{CertificateType, MaxFragmentLength};
pub use record::cid::{CID_PREFIX_LENGTH_MAX, ConnectionId, OWN_CID_LENGTH};
pub use resumption::ResumptionState;
pub use settings::{
    CidOffer, ClientCredentials, ClientSettings, DATAGRAM_MIN, ServerSettings, Settings,
};
pub use stats::{Counter, Stats};

/// Time since an origin that the driver chose; never goes back.
pub type Instant = core::time::Duration;

/// Who began a handshake.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Role {
    /// It sent the ClientHello.
    Client,
    /// It answered one.
    Server,
}

/// The machine's one generator.
type Random = rand_chacha::ChaCha20Rng;
/// How its maps hash: with a seed of their own, so that nobody can choose collisions.
type Hashing = foldhash::quality::FixedState;
