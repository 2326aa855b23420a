//! Durable facts: the journal, the event log and the catalog, one file per backend.
//!
//! A [`Batch`] holds what one commit makes durable: facts for the tables and events for the log.
//! [`Journal`] takes batches and gives rows back, [`History`] reads the log forward from a
//! [`Position`], [`Catalog`] finds what people put in by typed keys. Two backends, one contract
//! ([`contract`]): [`FjallStore`] on disk and [`MemoryStore`].
//!
//! The [`Committer`] owns the writes of a process: it merges the batches of all shards into groups
//! with one sync each, and never acknowledges what is not durable.
//!
//! The store keeps and returns; it has no rules about what it keeps. Values are versioned bytes
//! ([`record`]).

mod backup;
mod batch;
mod catalog;
mod check;
mod committer;
mod error;
mod fjall;
mod folder;
mod history;
mod journal;
mod log;
mod memory;
mod position;

pub mod contract;
#[doc(hidden)]
pub mod fuzz;
pub mod record;

pub use crate::backup::{BackupError, BackupSettings, BackupSummary, restore, verify_backup};
pub use crate::batch::{
    BATCH_BYTES_MAX, BATCH_ITEMS_MAX, Batch, BatchRefused, EVENT_MAX, Fact, KEY_MAX, Table,
    VALUE_MAX,
};
pub use crate::catalog::{Catalog, CatalogKey, CredentialKey, ObjectKey, ProfileKey, TokenKey};
pub use crate::check::{CheckReport, Finding, FindingKind, Validate, check, repair};
pub use crate::committer::{
    Committer, CommitterSettings, CommitterState, CommitterStats, Completion, Stopped, Submission,
    SubmitRefused, Submitter,
};
pub use crate::error::StoreError;
pub use crate::fjall::{FjallStore, StoreSettings};
pub use crate::folder::VIRTUAL_SHARDS;
pub use crate::history::{
    Event, EventPage, Gap, History, PAGE_BYTES_MAX, PAGE_EVENTS_MAX, Retention,
};
pub use crate::journal::{
    Durability, Journal, Row, RowVisitor, SCAN_ROWS_MAX, Store, client_key, client_prefix,
    parse_client_key,
};
pub use crate::memory::MemoryStore;
pub use crate::position::{CommitNumber, Position, PositionMalformed};
