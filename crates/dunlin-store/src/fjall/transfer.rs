//! What backup and restore need of the store on disk.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fjall::Snapshot;

use super::tables::Tables;
use super::{FjallStore, Shared, StoreSettings, WriterState};
use crate::batch::{Batch, Table};
use crate::error::StoreError;
use crate::folder::{Folder, Watermark};
use crate::journal::RowVisitor;
use crate::log::{Log, OpenLog};
use crate::position::CommitNumber;

/// After a restore the next commit has a number this much higher: nobody knows how many commits the
/// store had after its backup, and none of their positions may be told again.
const COMMITS_SKIPPED_AFTER_RESTORE: u64 = 1 << 40;

/// The store as of one commit, for as long as this lives. Retention waits meanwhile.
pub(crate) struct BackupSource<'a> {
    pub(crate) commit: CommitNumber,
    pub(crate) virtual_shards: u16,
    shared: &'a Shared,
    tables: Arc<Tables>,
    snapshot: Snapshot,
}

impl FjallStore {
    pub(crate) fn backup_source(&self) -> Result<BackupSource<'_>, StoreError> {
        let shared = &*self.shared;
        let writer = shared.writer();
        match writer.state {
            WriterState::Ready => {}
            WriterState::Closed => return Err(StoreError::Closed),
            _ => return Err(StoreError::Failing),
        }
        let tables = shared.tables()?;
        shared.backups.fetch_add(1, Ordering::AcqRel);
        Ok(BackupSource {
            commit: writer.log.last(),
            virtual_shards: shared.settings.virtual_shards,
            shared,
            snapshot: tables.snapshot(),
            tables,
        })
    }
}

impl BackupSource<'_> {
    pub(crate) fn rows(&self, table: Table, row: &mut RowVisitor<'_>) -> Result<u64, StoreError> {
        self.tables.replay(&self.snapshot, table, row)
    }

    /// The commits of the log that are kept, up to that of the snapshot.
    pub(crate) fn commits(
        &self,
        visit: &mut dyn FnMut(u64, Batch) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.shared
            .reader
            .batches(0, &mut |number, batch| match number > self.commit.0 {
                true => Ok(()),
                false => visit(number, batch),
            })
    }
}

impl Drop for BackupSource<'_> {
    fn drop(&mut self) {
        self.shared.backups.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A data folder that is being filled from a backup.
pub(crate) struct Restored {
    folder: Folder,
    tables: Tables,
    log: Log,
    oldest: Option<u64>,
}

impl Restored {
    pub(crate) fn create(root: &Path, virtual_shards: u16) -> Result<Restored, StoreError> {
        let folder = Folder::open(root, virtual_shards)?;
        let settings = StoreSettings::default();
        let tables = Tables::open(&folder.tables(), settings.cache_bytes)?;
        let options = OpenLog {
            secret: folder.secret,
            segment_bytes: settings.segment_bytes,
            applied: 0,
            oldest: 1,
            synced: true,
        };
        let log = Log::open(&folder.log(), options, &mut |_, _| Ok(()))?;
        Ok(Restored {
            folder,
            tables,
            log,
            oldest: None,
        })
    }

    pub(crate) fn rows(&mut self, batches: &[Batch]) -> Result<(), StoreError> {
        self.tables.apply(batches)
    }

    /// Commits of the log, in order; where numbers jump, commits were lost before the backup.
    pub(crate) fn commits(&mut self, commits: Vec<(u64, Batch)>) -> Result<(), StoreError> {
        let mut group: Vec<Batch> = Vec::new();
        let mut first = 0;
        for (number, batch) in commits {
            if number != first + group.len() as u64 {
                self.append(first, &std::mem::take(&mut group))?;
                first = number;
            }
            group.push(batch);
        }
        self.append(first, &group)
    }

    fn append(&mut self, first: u64, group: &[Batch]) -> Result<(), StoreError> {
        if group.is_empty() {
            return Ok(());
        }
        if first <= self.log.last().0 {
            let why = format!("commit {first} follows commit {}", self.log.last());
            return Err(StoreError::damaged(&self.folder.root, None, why));
        }
        self.oldest.get_or_insert(first);
        self.log.jump_to(first);
        self.log.append(group)?;
        self.log.publish();
        Ok(())
    }

    pub(crate) fn finish(self, commit: CommitNumber) -> Result<(), StoreError> {
        self.log.sync_after(0)?;
        self.tables.flush(commit.0)?;
        let next = commit.0 + COMMITS_SKIPPED_AFTER_RESTORE;
        let watermark = Watermark {
            commit: commit.0,
            applied: commit.0,
            oldest: self.oldest.unwrap_or(commit.0 + 1),
            next,
            synced: true,
            restored: commit.0,
        };
        watermark.write(&self.folder.watermark())
    }
}
