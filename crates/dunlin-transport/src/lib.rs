//! The Transport Bindings of LwM2M: who is the peer, and how is an operation spelled.
//!
//! Bytes of a bearer come in, LwM2M operations of known peers come out, and back. This crate alone
//! names CoAP and DTLS; the roles above know neither message ids nor records. Read [`Transport`]
//! for the machine, [`Event`] for what it tells, and the two files in `map` for the spelling.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod address;
mod blocks;
mod budget;
mod certificate;
mod event;
mod map;
mod need;
mod now;
mod peer;
mod places;
mod port;
mod route;
mod security;
mod transport;

pub use address::{Address, Bearer};
pub use budget::{Budget, OVER_BUDGET_MAX, OverBudget};
pub use certificate::{ALTERNATIVE_NAMES_MAX, CertificateNames, certificate_names};
pub use dunlin_coap as coap;
pub use dunlin_dtls as dtls;
pub use event::{
    Answer, Event, ExchangeId, Failure, Fetch, FetchedBlock, LOCATION_LENGTH, NotificationId,
    ObservationEnd, ObservationId, ObserverEnd, ObserverId, Relation, RequestId, Token,
    UplinkAnswer, Violation, WrittenBlock,
};
pub use map::request::Interface;
pub use need::{DisconnectReason, SecurityAnswer, SecurityNeed, SecurityNeedId, SecurityRefused};
pub use now::{Instant, Now, WallTime};
pub use peer::{CertificateIdentity, Identity, Peer, PeerId, STRANGERS_MAX};
pub use port::Port;
pub use route::{Route, is_client_hello, is_request, route};
pub use security::identity_of;
pub use transport::{
    Carriage, Config, Output, Received, Refresh, Refused, Side, Transmit, Transport,
};
