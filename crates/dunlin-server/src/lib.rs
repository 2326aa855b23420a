//! The LwM2M Server and the Bootstrap-Server, as machines without IO.
//!
//! One [`Server`] is one shard: it owns some virtual shards, all registrations in them, and what is
//! observed and asked there. Datagrams, answers of the node and commands of operators go in; out
//! come, in this order, durable facts ([`Commit`]), datagrams, and news ([`Output`]).
//!
//! ```text
//! server        the machine: feeds the parts, applies what they say
//! registration  the book of Clients          presence      awake, asleep, overdue
//! downlink      commands into operations     queue         who waits for whom
//! observation   what we asked to be told     model         a Client's definitions
//! bootstrap     what new Clients are given   change        the durable facts
//! event         the news
//! ```

pub mod bootstrap;
mod census;
pub mod change;
pub mod command;
pub mod config;
mod downlink;
mod effects;
pub mod event;
#[doc(hidden)]
pub mod fuzz;
mod id;
mod links;
mod load;
mod need;
mod observation;
mod presence;
mod queue;
mod registration;
mod server;
mod timer;
pub mod view;
mod waiting;

pub use census::Census;
pub use change::{Change, Snapshot};
pub use command::{
    Command, KEPT_VALUES_MAX, Outcome, Refused, RequestTicket, RequestView, Settings,
};
pub use config::{BootstrapConfig, ServerConfig};
pub use effects::{Commit, Output, Transmit};
pub use event::{Event, EventKind, LiveEvent, Presence};
pub use id::{
    BootstrapRunId, ID_CHARACTERS, NoId, RegistrationId, RequestId, VIRTUAL_SHARDS, VirtualShard,
    VirtualShards,
};
pub use load::{Kind, LoadView};
pub use need::{Answer, Need, NeedId, NoProfile, Verdict};
pub use server::{Server, Timer};
pub use view::{
    ClientCursor, ClientFilter, ClientPage, ClientView, ListedClient, ObservationView, Stats,
};
