//! The product as a library: shards, committer, and who is handed to whom.
//!
//! [`Node::start`] takes a [`Config`] and gives a running LwM2M Server with its store and API. Read
//! `node` for the order of things, `shard` for the loop that everything goes through, `facts` for
//! what survives a restart.

mod approach;
mod backend;
mod bootstraps;
pub mod config;
mod credentials;
mod directory;
mod facts;
mod identity;
mod loading;
mod node;
mod profiles;
mod provisioning;
mod record;
mod scan;
mod shard;
mod telemetry;
mod teller;
mod tokens;
mod values;
mod vault;
mod view;

pub use config::{Config, ConfigError};
/// What the Bootstrap-Server gives to Clients: the types of [`Node::put_profile`].
pub use dunlin_server::bootstrap;
pub use dunlin_transport::Port;
pub use facts::LoadError;
pub use identity::IdentityError;
pub use node::{Data, Node, StartError};
pub use provisioning::ServerPublic;
pub use scan::validate;
pub use telemetry::METRICS;
pub use vault::VaultError;
