//! The fleet: thousands of Clients as one machine, against any LwM2M server.
//!
//! A fleet is a load and a witness. As a load it keeps its schedule whatever the server does, so
//! that a slow server shows as latency and not as a slower question; as a witness it writes down
//! what was acknowledged, so that a test can hold a server to it.
//!
//! - [`settings`]: what a run is told. [`scenario`]: what its Clients are like, as a TOML file.
//! - [`run`]: sockets, time, and the end of the run. [`report`]: what it has shown, [`timeline`]
//!   second by second, [`plot`] as a picture.
//! - `machine`: all the Clients, as one machine without IO; `client` holds what is kept for each,
//!   `wheel` when each is to be woken, `tree` the objects they have, [`values`] how these move.
//! - `secured`: DTLS below the machine. [`reads`]: Reads through the server's REST meanwhile.
//!
//! The fleet speaks CoAP over UDP, in the clear or over DTLS with a pre-shared key. It keeps its Clients apart by address, as servers do that know
//! no other identity: see [`settings::FleetSettings`].

mod client;
#[cfg(test)]
mod conversation_tests;
mod drive;
mod ledger;
mod machine;
mod message;
mod plan;
pub mod plot;
pub mod reads;
pub mod report;
pub mod scenario;
mod secured;
pub mod settings;
pub mod timeline;
mod tree;
pub mod values;
mod wheel;

pub use drive::{Progress, run, run_watched, write_credentials};
pub use report::Report;
pub use scenario::Scenario;
pub use settings::FleetSettings;
