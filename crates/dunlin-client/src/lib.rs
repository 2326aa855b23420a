//! The LwM2M Client as a machine without IO: Objects on one side, Servers on the other.
//!
//! An embedder gives it Objects ([`Tree`], [`Slot`]), datagrams and time, sets values as they
//! change, and carries out what Servers execute. Everything else - registering, answering,
//! notifying when attributes say so, sleeping in queue mode - the machine does by itself. Read
//! [`Client`] first, [`Behaviour`] for an Object that does something.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod access;
mod account;
mod attributes;
mod bootstrap;
mod bootstrapping;
mod change;
mod client;
mod connecting;
mod consistency;
mod credentials;
mod downlink;
mod draft;
mod event;
mod factory;
mod firmware;
#[doc(hidden)]
pub mod fuzz;
mod listening;
mod moving;
mod notify;
pub mod object;
mod registering;
mod registration;
mod reporting;
mod sleep;
mod smartcard;
mod source;
mod tree;

pub use account::{
    Account, BootstrapAccount, MODE_NOSEC, MODE_PSK, MODE_RPK, MODE_X509, Scheme, ServerUri,
    UriError, accounts, bootstrap_account,
};
pub use attributes::{ATTRIBUTED_TARGETS_MAX, AttributeBook};
pub use change::StateError;
pub use client::{Client, Config};
pub use credentials::Credentials;
pub use downlink::OBSERVATIONS_MAX;
pub use dunlin_lwm2m as lwm2m;
pub use dunlin_transport::{Address, Instant, Now, Port, Transmit, WallTime};
pub use event::{Answer, Commit, Event, Need, NeedId, Output, Reason};
pub use factory::{Factory, FactoryError};
pub use firmware::{FirmwareState, PackageDone, PackageFault, PackageOrigin, PackageStep};
pub use object::{Action, Behaviour};
pub use smartcard::{Card, CardError, SMARTCARD_BYTES_MAX, SmartcardError, read_card};
pub use source::{Fix, Sample, Source};
pub use tree::{Created, INSTANCES_PER_OBJECT_MAX, RESOURCE_INSTANCES_MAX, Refusal, Slot, Tree};
