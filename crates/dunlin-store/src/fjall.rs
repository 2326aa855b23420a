//! The store on disk: the log is the truth, the tables follow it.
//!
//! The flow of a group of commits (one writer at a time):
//!
//! 1. The batches are written to the log and synced ([`crate::log`]): now they are durable.
//! 2. Their facts are applied to the tables, without a sync ([`tables`]).
//! 3. They are published: events can be read, `last_commit` moves.
//!
//! Beside it the keeper ([`keeper`]) writes the watermark about once a second, flushes the tables
//! when the log has grown enough since the last flush (so that a start has little to apply again),
//! and removes what retention no longer wants.
//!
//! A start takes the lock, verifies the log from the last flush on, opens the tables as they were
//! flushed, and applies the rest of the log. It refuses when an acknowledged commit is missing.

mod keeper;
pub(crate) mod tables;
mod transfer;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use crate::batch::{Batch, Table};
use crate::error::StoreError;
use crate::folder::{Folder, VIRTUAL_SHARDS, Watermark};
use crate::history::{EventPage, History, Retention};
use crate::journal::{Durability, Journal, Row, RowVisitor};
use crate::log::read::LogReader;
use crate::log::{Log, OpenLog};
use crate::position::{CommitNumber, Position};
use keeper::Keeper;
use tables::Tables;
pub(crate) use transfer::Restored;

/// After an accepted loss the next commit has a number this much higher: the watermark is about a
/// second old, and no position that was told in that second may be told again.
pub(crate) const COMMITS_SKIPPED_AFTER_LOSS: u64 = 1 << 24;

/// While the log is replayed, facts are applied in groups of about this many bytes.
const REPLAY_GROUP_BYTES: usize = 1024 * 1024;

/// Before the tables are opened again after a failed write, this much is written at most to see
/// whether there is room.
const PROBED_BYTES_MAX: u64 = 16 * 1024 * 1024;

const PROBE_FILE: &str = "room.new";

/// How a store on disk behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// What a commit survives.
    pub durability: Durability,
    /// How much of the log is kept.
    pub retention: Retention,
    /// A segment of the log is closed at this size; retention works in these steps.
    pub segment_bytes: u64,
    /// The tables are flushed when the log has grown by this much: what a start after a crash has
    /// to apply again, about 10 MB of it in a tenth of a second.
    pub flush_bytes: u64,
    /// What the storage engine may keep of its files in memory.
    pub cache_bytes: u64,
    /// The number of virtual shards; fixed when the folder is made.
    pub virtual_shards: u16,
}

impl Default for StoreSettings {
    fn default() -> StoreSettings {
        StoreSettings {
            durability: Durability::Sync,
            retention: Retention::default(),
            segment_bytes: 16 * 1024 * 1024,
            flush_bytes: 32 * 1024 * 1024,
            cache_bytes: 32 * 1024 * 1024,
            virtual_shards: VIRTUAL_SHARDS,
        }
    }
}

/// The store in one data folder.
#[derive(Debug)]
pub struct FjallStore {
    shared: Arc<Shared>,
    keeper: Mutex<Option<Keeper>>,
}

/// What writer, readers and keeper share.
#[derive(Debug)]
struct Shared {
    settings: StoreSettings,
    tables_folder: PathBuf,
    watermark_path: PathBuf,
    writer: Mutex<Writer>,
    /// `None` while the tables are being opened again, and after the end.
    tables: RwLock<Option<Arc<Tables>>>,
    reader: LogReader,
    closed: AtomicBool,
    flushing: Mutex<()>,
    /// Backups that are being taken; retention waits for them.
    backups: AtomicUsize,
    last: AtomicU64,
    /// The log has grown by this much since the tables were flushed.
    unflushed_bytes: AtomicU64,
    /// Wall time of the newest commit.
    newest_ms: AtomicU64,
    watermark: Mutex<Watermark>,
}

#[derive(Debug)]
struct Writer {
    log: Log,
    folder: Option<Folder>,
    state: WriterState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WriterState {
    Ready,
    /// The log must be cut back to what is published.
    LogFailed,
    /// The tables must be opened again and brought up to date.
    TablesFailed,
    Closed,
}

impl FjallStore {
    /// Opens the data folder, making it if there is none.
    ///
    /// # Errors
    /// When another process has it, when a file is damaged or missing, when acknowledged commits
    /// are gone: [`StoreError`] says which file and what to do.
    pub fn open(root: impl AsRef<Path>, settings: StoreSettings) -> Result<FjallStore, StoreError> {
        let folder = Folder::open(root.as_ref(), settings.virtual_shards)?;
        // Left by a process that was killed while its disk was full.
        let _ = fs::remove_file(folder.root.join(PROBE_FILE));
        let mut watermark = Watermark::read(&folder.watermark())?;
        let mut log = open_log(&folder, &watermark, settings.segment_bytes)?;
        check_tail(&folder, &watermark, &log)?;
        let next = next_commit(&watermark, log.last().0);
        log.jump_to(next);
        // What was read is about to be told, and the last run may not have come to sync it.
        log.sync_after(watermark.applied)?;
        let tables = Tables::open(&folder.tables(), settings.cache_bytes)?;
        tables.check_flushed(watermark.applied)?;
        let (reader, last) = (log.reader(), log.last().0);
        let replayed_bytes = replay(&reader, watermark.applied, &tables)?;
        watermark = Watermark {
            commit: last,
            next,
            synced: settings.durability == Durability::Sync,
            ..watermark
        };
        watermark.write(&folder.watermark())?;
        let shared = Arc::new(Shared {
            tables_folder: folder.tables(),
            watermark_path: folder.watermark(),
            writer: Mutex::new(Writer {
                log,
                folder: Some(folder),
                state: WriterState::Ready,
            }),
            tables: RwLock::new(Some(Arc::new(tables))),
            reader,
            last: AtomicU64::new(last),
            closed: AtomicBool::new(false),
            flushing: Mutex::new(()),
            backups: AtomicUsize::new(0),
            // What was just applied again is not flushed yet.
            unflushed_bytes: AtomicU64::new(replayed_bytes),
            newest_ms: AtomicU64::new(0),
            watermark: Mutex::new(watermark),
            settings,
        });
        let keeper = Keeper::start(shared.clone())?;
        Ok(FjallStore {
            shared,
            keeper: Mutex::new(Some(keeper)),
        })
    }

    /// The bytes of the tables on disk, without the log.
    pub fn table_bytes(&self) -> u64 {
        self.shared.tables().map_or(0, |tables| tables.disk_bytes())
    }

    /// Writes the tables out now, so that the next start has nothing to apply again.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.shared.flush()
    }
}

/// Opens and verifies the log from the watermark on.
fn open_log(folder: &Folder, watermark: &Watermark, segment_bytes: u64) -> Result<Log, StoreError> {
    let options = OpenLog {
        secret: folder.secret,
        segment_bytes,
        applied: watermark.applied,
        oldest: watermark.oldest,
        synced: watermark.synced,
    };
    Log::open(&folder.log(), options, &mut |_, _| Ok(()))
}

/// Acknowledged commits must be there. In a run without syncs the newest may be gone after a power
/// cut; what is in the tables may not.
fn check_tail(folder: &Folder, watermark: &Watermark, log: &Log) -> Result<(), StoreError> {
    let (found, commit) = (log.last(), CommitNumber(watermark.commit));
    if found >= commit {
        return Ok(());
    }
    if watermark.synced || found.0 < watermark.applied {
        return Err(StoreError::LostTail {
            path: folder.log(),
            found,
            watermark: commit,
        });
    }
    tracing::warn!(%found, watermark = %commit, "the newest commits are gone: \
        durability is \"memory\", and the machine has stopped");
    Ok(())
}

/// The number of the next commit. A run without syncs that was not ended properly may have lost
/// commits, and told their positions: these numbers are left out.
fn next_commit(watermark: &Watermark, last: u64) -> u64 {
    let next = watermark.next.max(last + 1);
    let ended_properly = watermark.commit == last && watermark.applied == last;
    match watermark.synced || ended_properly {
        true => next,
        false => next + COMMITS_SKIPPED_AFTER_LOSS,
    }
}

/// Applies every commit after `applied` to the tables; tells how many bytes that was.
fn replay(reader: &LogReader, applied: u64, tables: &Tables) -> Result<u64, StoreError> {
    let (mut group, mut bytes, mut all) = (Vec::new(), 0, 0);
    reader.batches(applied, &mut |_, batch| {
        bytes += batch.bytes();
        group.push(batch);
        if bytes < REPLAY_GROUP_BYTES {
            return Ok(());
        }
        all += std::mem::take(&mut bytes) as u64;
        tables.apply(&std::mem::take(&mut group))
    })?;
    tables.apply(&group)?;
    Ok(all + bytes as u64)
}

impl Shared {
    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().expect("nobody panics while holding it")
    }

    fn watermark(&self) -> MutexGuard<'_, Watermark> {
        self.watermark
            .lock()
            .expect("nobody panics while holding it")
    }

    fn tables(&self) -> Result<Arc<Tables>, StoreError> {
        self.tables_now()
            .ok_or_else(|| match self.closed.load(Ordering::Acquire) {
                true => StoreError::Closed,
                false => StoreError::Failing,
            })
    }

    fn tables_now(&self) -> Option<Arc<Tables>> {
        self.tables
            .read()
            .expect("nobody panics while holding it")
            .clone()
    }

    fn put_tables(&self, tables: Option<Tables>) {
        *self.tables.write().expect("nobody panics while holding it") = tables.map(Arc::new);
    }

    fn last(&self) -> CommitNumber {
        CommitNumber(self.last.load(Ordering::Acquire))
    }

    /// Steps 1 to 3 above; the state tells how far it came.
    fn commit(&self, writer: &mut Writer, batches: &[Batch]) -> Result<(), StoreError> {
        let before = writer.log.bytes();
        writer.state = WriterState::LogFailed;
        writer.log.append(batches)?;
        if self.settings.durability == Durability::Sync {
            writer.log.sync()?;
        }
        writer.state = WriterState::TablesFailed;
        let applied = self.tables().and_then(|tables| tables.apply(batches));
        writer.log.publish();
        let grown = writer.log.bytes() - before;
        self.unflushed_bytes.fetch_add(grown, Ordering::Relaxed);
        self.newest_ms
            .store(batches.last().map_or(0, |b| b.at_ms), Ordering::Relaxed);
        self.last.store(writer.log.last().0, Ordering::Release);
        applied?;
        writer.state = WriterState::Ready;
        Ok(())
    }

    fn recover(&self, writer: &mut Writer) -> Result<(), StoreError> {
        match writer.state {
            WriterState::Ready => Ok(()),
            WriterState::Closed => Err(StoreError::Closed),
            WriterState::LogFailed => {
                writer.log.rollback()?;
                // The same full disk may have met the tables.
                let healthy = self.tables_now().is_some_and(|t| t.check_health().is_ok());
                writer.state = if healthy {
                    WriterState::Ready
                } else {
                    WriterState::TablesFailed
                };
                self.recover(writer)
            }
            WriterState::TablesFailed => {
                self.reopen_tables()?;
                writer.state = WriterState::Ready;
                Ok(())
            }
        }
    }

    /// Readers that still have the old tables keep the engine's lock until they are done; then the
    /// next attempt succeeds.
    fn reopen_tables(&self) -> Result<(), StoreError> {
        // The engine that has given up still reads: keep it until a new one has a chance.
        self.probe_room()?;
        self.put_tables(None);
        let applied = self.watermark().applied;
        let tables = Tables::open(&self.tables_folder, self.settings.cache_bytes)?;
        tables.check_flushed(applied)?;
        replay(&self.reader, applied, &tables)?;
        self.put_tables(Some(tables));
        Ok(())
    }

    /// Tries whether as much can be written as the engine will write when the log is applied again.
    fn probe_room(&self) -> Result<(), StoreError> {
        let path = self.watermark_path.with_file_name(PROBE_FILE);
        let wanted = self
            .unflushed_bytes
            .load(Ordering::Relaxed)
            .min(PROBED_BYTES_MAX);
        let write = || {
            let mut file = File::create(&path)?;
            let block = [0xff; 64 * 1024];
            (0..=wanted / block.len() as u64).try_for_each(|_| file.write_all(&block))
        };
        let written = write().map_err(StoreError::io("no room: cannot write", &path));
        let _ = fs::remove_file(&path);
        written
    }

    fn flush(&self) -> Result<(), StoreError> {
        // One at a time, so that what is flushed only rises.
        let _flushing = self
            .flushing
            .lock()
            .expect("nobody panics while holding it");
        let (tables, commit, oldest) = {
            let mut writer = self.writer();
            match writer.state {
                WriterState::Ready => {}
                WriterState::Closed => return Err(StoreError::Closed),
                _ => return Err(StoreError::Failing),
            }
            if self.settings.durability == Durability::Memory {
                // The tables must never be ahead of the log.
                writer.log.sync()?;
            }
            let tables = self.tables_now().ok_or(StoreError::Failing)?;
            (tables, writer.log.last().0, writer.log.oldest_without(0))
        };
        if self.watermark().applied == commit {
            return self.flushed(commit, oldest);
        }
        let unflushed = self.unflushed_bytes.swap(0, Ordering::Relaxed);
        let flushed = tables
            .flush(commit)
            .and_then(|()| self.flushed(commit, oldest));
        if flushed.is_err() {
            // Not flushed after all: the keeper tries again at its next look.
            self.unflushed_bytes.fetch_add(unflushed, Ordering::Relaxed);
        }
        flushed
    }

    fn flushed(&self, commit: u64, oldest: u64) -> Result<(), StoreError> {
        self.write_watermark(|watermark| {
            watermark.applied = watermark.applied.max(commit);
            watermark.commit = watermark.commit.max(commit);
            // A log without segments begins with the next commit.
            watermark.oldest = watermark.oldest.max(oldest);
        })
    }

    /// Changes the watermark, on disk first.
    fn write_watermark(&self, change: impl FnOnce(&mut Watermark)) -> Result<(), StoreError> {
        let mut current = self.watermark();
        let mut watermark = *current;
        watermark.commit = watermark.commit.max(self.last().0);
        watermark.next = watermark.next.max(watermark.commit + 1);
        change(&mut watermark);
        if watermark != *current {
            watermark.write(&self.watermark_path)?;
            *current = watermark;
        }
        Ok(())
    }

    fn trim(&self, now_ms: u64) -> Result<(), StoreError> {
        let applied = self.watermark().applied;
        let Retention {
            bytes_max,
            age_max_ms,
        } = self.settings.retention;
        let before_ms = now_ms.saturating_sub(age_max_ms);
        let (count, oldest) = {
            let writer = self.writer();
            if self.backups.load(Ordering::Acquire) > 0 {
                return Ok(());
            }
            let count = writer.log.expired(applied, bytes_max, before_ms);
            (count, writer.log.oldest_without(count))
        };
        if count == 0 {
            return Ok(());
        }
        // First the promise is taken back, then the file goes: never the other way round.
        self.write_watermark(|watermark| watermark.oldest = oldest)?;
        let mut writer = self.writer();
        if self.backups.load(Ordering::Acquire) > 0 {
            return Ok(());
        }
        let still = writer.log.expired(applied, bytes_max, before_ms);
        writer.log.remove_oldest(count.min(still))
    }

    fn close(&self) -> Result<(), StoreError> {
        let flushed = match self.flush() {
            Err(StoreError::Closed) => return Ok(()),
            flushed => flushed,
        };
        let mut writer = self.writer();
        writer.state = WriterState::Closed;
        self.closed.store(true, Ordering::Release);
        self.put_tables(None);
        writer.folder = None;
        flushed
    }
}

impl Journal for FjallStore {
    fn commit_many(&self, batches: &[Batch]) -> Result<CommitNumber, StoreError> {
        let mut writer = self.shared.writer();
        match writer.state {
            WriterState::Ready => {}
            WriterState::Closed => return Err(StoreError::Closed),
            _ => return Err(StoreError::Failing),
        }
        batches.iter().try_for_each(Batch::validate)?;
        if !batches.is_empty() {
            self.shared.commit(&mut writer, batches)?;
        }
        Ok(writer.log.last())
    }

    fn recover(&self) -> Result<(), StoreError> {
        let mut writer = self.shared.writer();
        self.shared.recover(&mut writer)
    }

    fn last_commit(&self) -> CommitNumber {
        self.shared.last()
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.shared.tables()?.get(table, key)
    }

    fn scan(&self, table: Table, from: &[u8], limit: usize) -> Result<Vec<Row>, StoreError> {
        self.shared.tables()?.scan(table, from, limit)
    }

    fn replay(&self, table: Table, row: &mut RowVisitor<'_>) -> Result<u64, StoreError> {
        let tables = self.shared.tables()?;
        let snapshot = tables.snapshot();
        tables.replay(&snapshot, table, row)
    }

    fn close(&self) -> Result<(), StoreError> {
        let keeper = self
            .keeper
            .lock()
            .expect("nobody panics while holding it")
            .take();
        if let Some(keeper) = keeper {
            keeper.stop();
        }
        self.shared.close()
    }
}

impl History for FjallStore {
    fn read(&self, after: Position, limit: usize) -> Result<EventPage, StoreError> {
        self.shared.reader.read(after, limit, self.shared.last())
    }

    fn oldest(&self) -> Position {
        let next = self.shared.last().next().0;
        Position::end_of(CommitNumber(
            self.shared.reader.oldest().unwrap_or(next) - 1,
        ))
    }

    fn newest(&self) -> Position {
        Position::end_of(self.shared.last())
    }

    fn trim(&self, now_ms: u64) -> Result<(), StoreError> {
        self.shared.trim(now_ms)
    }

    fn bytes(&self) -> u64 {
        self.shared.writer().log.bytes()
    }
}

impl Drop for FjallStore {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "the tables could not be written out; the next start applies \
                the log again");
        }
    }
}
