//! CoAP as one endpoint lives it, as a machine without IO: RFC 7252 with Observe (RFC 7641), block-wise
//! transfers (RFC 7959) and FETCH, PATCH and iPATCH (RFC 8132).
//!
//! Read [`endpoint`] for the rhythm of the machine, [`event`] for what it tells, [`option`] and
//! [`message`] for what is said.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod block;
pub mod code;
pub mod config;
mod dedup;
mod directory;
pub mod endpoint;
pub mod event;
#[doc(hidden)]
pub mod fuzz;
mod id;
pub mod message;
pub mod observe;
pub mod option;
mod outbox;
mod peers;
pub mod profile;
mod round_trip;
mod slab;
pub mod stats;
mod survey;
pub mod timer;
pub mod wire;

pub use block::{BlockSize, BlockValue};
pub use code::Code;
pub use config::{Config, Limits};
pub use endpoint::{Admitted, Endpoint};
pub use event::{
    Event, Failure, KnownObservation, KnownObserver, ObservationEnd, ObserverEnd, Output, Refused,
    RequestSettings, Transmit,
};
pub use id::{
    Barrier, ExchangeId, Instant, LATEST, NotificationId, ObservationId, ObserverId, PeerId,
    PingId, RequestId,
};
pub use message::{Message, MessageId, MessageType, Payload, Request, Response, Token};
pub use option::{OptionList, OptionNumber, OptionRef, Options};
pub use profile::Profile;
pub use stats::Stats;
