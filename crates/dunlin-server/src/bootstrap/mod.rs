//! The Bootstrap-Server's part: what is written, in which steps, and how it went; TS 1.0 §5.2.
//!
//! ```text
//! profile    what operators put in: accounts, access rights, other instances; for whom
//! check      what is wrong with it, before it is used
//! provision  the same for one Client: keys made, names filled in
//! plan       the steps as data: Discover, Deletes, Writes, Finish
//! run        one walk through them, and what is remembered of it
//! ```
//!
//! All of it is data and pure functions. [`crate::Server`] asks the node for a [`Provision`]
//! ([`crate::Need::Profile`]), walks the [`Plan`], and commits how it ended.

mod approach;
mod check;
mod plan;
mod profile;
mod provision;
mod run;

pub use approach::{APPROACHES_MAX, Approach, Reach};
pub use check::{Finding, Findings, Wrong};
pub use plan::{Plan, PlanError, Shown, Step, StepKind};
pub use profile::{
    AccessControl, AccessTarget, BootstrapAccount, CLIENT_KEY_BYTES, IDENTITY_BYTES_MAX,
    InstanceData, KEY_BYTES_MAX, KeyPair, Keys, PATTERN_BYTES_MAX, PROFILE_INSTANCES_MAX,
    PROFILE_SERVERS_MAX, Profile, ProfileName, ProfileNameError, Removal, Secret, Selector,
    ServerAccount, choose,
};
pub use provision::{
    Draft, KeySource, MadeCredential, MadeProof, PairKind, Placement, Provision, Unprovided,
};
pub(crate) use run::{Advance, Run};
pub use run::{BootstrapRun, Initiator, RunFailure, RunState, StepOutcome, StepRecord};
