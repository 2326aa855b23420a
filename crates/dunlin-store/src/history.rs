//! The event log as its readers see it, and the last values.

use crate::error::StoreError;
use crate::position::{CommitNumber, Position};

/// The most events in one page, whatever is asked for.
pub const PAGE_EVENTS_MAX: usize = 10_000;

/// A page is closed when its events have this many bytes: a consumer that comes back after a week
/// must not make the server hold the week in memory.
pub const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One event of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its place.
    pub position: Position,
    /// Wall time of its commit, in milliseconds since 1970.
    pub at_ms: u64,
    /// What was told.
    pub bytes: Vec<u8>,
}

/// Why a reader cannot be given everything since its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// Retention has removed events after the position; the page begins with the oldest kept.
    Trimmed {
        /// The first commit that is still there.
        oldest: CommitNumber,
    },
    /// Commits were lost, and an operator has accepted it, or may have been lost because durability
    /// was `memory` and the process was not ended properly; the page begins after the loss.
    Lost {
        /// The first commit after the loss.
        next: CommitNumber,
    },
    /// The position is after the newest commit: the store was restored from an older backup, or
    /// the position belongs to another one. The page is empty; `next` is the newest end.
    Ahead {
        /// The newest commit.
        newest: CommitNumber,
    },
}

/// Some events in order, and where to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPage {
    /// The events after the position asked for.
    pub events: Vec<Event>,
    /// Ask for this position next. It moves on even when no event was found.
    pub next: Position,
    /// Nothing more was there when the page was read.
    pub end: bool,
    /// Events before the first of this page are missing.
    pub gap: Option<Gap>,
}

/// How much of the log is kept. Both limits hold; whole segments go at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// The log is kept at about this size, at most one segment more.
    pub bytes_max: u64,
    /// Commits older than this many milliseconds go.
    pub age_max_ms: u64,
}

impl Default for Retention {
    /// 1 GiB and 7 days: a consumer may be away over a long week-end.
    fn default() -> Retention {
        Retention {
            bytes_max: 1 << 30,
            age_max_ms: 7 * 24 * 3_600_000,
        }
    }
}

/// The durable log of events.
pub trait History: Send + Sync {
    /// The events after `after`, at most `limit` of them, in order. [`Position::START`] reads from
    /// the oldest kept, which is no gap.
    ///
    /// # Errors
    /// When the log does not read: which file, and where.
    fn read(&self, after: Position, limit: usize) -> Result<EventPage, StoreError>;

    /// The position before the oldest event that is kept.
    fn oldest(&self) -> Position;

    /// The position after the newest event.
    fn newest(&self) -> Position;

    /// Removes what retention no longer wants, seen from this wall time. Never blocks a commit for
    /// longer than a file takes to be removed; called by the store itself as commits come, and by
    /// the node now and then, so that age counts in a silent night as well.
    ///
    /// # Errors
    /// When a file cannot be removed; it is tried again the next time.
    fn trim(&self, now_ms: u64) -> Result<(), StoreError>;

    /// The bytes the log takes on disk, or in memory.
    fn bytes(&self) -> u64;
}
