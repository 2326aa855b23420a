//! What can go wrong with the store as a whole: which file, and what to do.

use std::io;
use std::path::{Path, PathBuf};

use crate::batch::BatchRefused;
use crate::position::CommitNumber;

/// The store cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The batch breaks a limit; nothing was written.
    #[error(transparent)]
    Batch(#[from] BatchRefused),
    /// The operating system refused.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was being done, as "cannot write".
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has the data folder.
    #[error("the data folder {} is in use{}: stop the other dunlin, or choose another folder", path.display(), by_process(*.pid))]
    Locked {
        /// The folder.
        path: PathBuf,
        /// The other process, if it has said so.
        pid: Option<u32>,
    },
    /// The folder holds something else.
    #[error("{} is not a data folder of dunlin, and it is not empty: choose another folder", path.display())]
    NotAStore {
        /// The folder.
        path: PathBuf,
    },
    /// Written by a newer dunlin.
    #[error("{} has format {found}, this dunlin reads {supported}: use the dunlin that wrote it, or a newer one", path.display())]
    FormatVersion {
        /// The file that says so.
        path: PathBuf,
        /// The version found.
        found: u32,
        /// The version this dunlin reads.
        supported: u32,
    },
    /// A file is not what was written.
    #[error("{}{} is damaged ({why}): restore a backup, or see what `dunlin check --data --repair` would drop", path.display(), at_offset(*.offset))]
    Damaged {
        /// The file, or the folder when the storage engine does not say which file.
        path: PathBuf,
        /// Where in it, when that is known.
        offset: Option<u64>,
        /// What does not fit.
        why: String,
    },
    /// A file that must be there is not.
    #[error("{} is missing ({why}): restore a backup, or see what `dunlin check --data --repair` would drop", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// How it is known that it must be there.
        why: String,
    },
    /// Commits that were acknowledged are gone.
    #[error("{} ends with commit {found}, but commit {watermark} was acknowledged: \
        restore a backup, or accept the loss with `dunlin check --data --repair`", path.display())]
    LostTail {
        /// The log.
        path: PathBuf,
        /// The last commit that is there.
        found: CommitNumber,
        /// The last commit that is known to have been acknowledged.
        watermark: CommitNumber,
    },
    /// The data folder was made for another number of virtual shards.
    #[error("{} was made with {found} virtual shards, this dunlin has {expected}: ids carry them, they cannot change", path.display())]
    VirtualShards {
        /// The folder.
        path: PathBuf,
        /// What the folder says.
        found: u16,
        /// What was asked for.
        expected: u16,
    },
    /// The storage engine of the tables refused.
    #[error("the tables in {}: {source}", path.display())]
    Engine {
        /// The folder of the tables.
        path: PathBuf,
        /// What the engine said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An earlier write failed; nothing is accepted until [`crate::Journal::recover`] succeeds.
    #[error(
        "the store does not accept commits since a write failed; it tries again by itself when there is room"
    )]
    Failing,
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    pub(crate) fn io(
        doing: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(io::Error) -> StoreError {
        move |source| StoreError::Io {
            doing,
            path: path.as_ref().to_path_buf(),
            source,
        }
    }

    pub(crate) fn damaged(
        path: impl AsRef<Path>,
        offset: Option<u64>,
        why: impl Into<String>,
    ) -> StoreError {
        StoreError::Damaged {
            path: path.as_ref().to_path_buf(),
            offset,
            why: why.into(),
        }
    }

    /// True when the data that is there is not all that was acknowledged, or not as it was
    /// written: trying again does not help.
    pub fn is_loss(&self) -> bool {
        matches!(
            self,
            StoreError::Damaged { .. } | StoreError::Missing { .. } | StoreError::LostTail { .. }
        )
    }
}

fn by_process(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" by process {pid}"))
}

fn at_offset(offset: Option<u64>) -> String {
    offset.map_or_else(String::new, |offset| format!(" at byte {offset}"))
}
