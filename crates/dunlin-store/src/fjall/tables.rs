//! The tables, in one database of the storage engine with one keyspace each.
//!
//! The tables are a view of the log: what they hold up to the watermark's `applied` is synced in
//! their sorted files, and everything later is applied again from the log at each start. So the
//! engine's own journal is never trusted and never needed: it is emptied before the engine opens,
//! which also keeps the engine from dropping the rest of a damaged journal without a word. The
//! engine's files have checksums that it verifies as it reads them, except for the lists of files
//! of each keyspace: those are verified here.

use core::ops::ControlFlow;
use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot};
use xxhash_rust::xxh3::xxh3_128;

use crate::batch::{Batch, Fact, Table};
use crate::error::StoreError;
use crate::journal::{Row, RowVisitor, SCAN_ROWS_MAX};
use crate::log::frame::u64_at;
use crate::log::sync_folder;

/// One thread flushes and compacts by turns. With two, the engine lets one of them turn idly, without
/// ever sleeping, while the other compacts.
const ENGINE_THREADS: usize = 1;

/// How often the end of a flush is looked for; the engine has no call-back for it.
const FLUSH_LOOK: Duration = Duration::from_millis(2);

/// A keyspace of the engine may hold this many bytes in memory. The keeper flushes all of them much
/// earlier; this is what the engine itself insists on.
const MEMTABLE_BYTES: u64 = 64 * 1024 * 1024;

/// The keyspace and the key of the commit that was flushed last.
const OWN_KEYSPACE: &str = "store";
const FLUSHED_KEY: &str = "flushed";

/// The open tables.
pub(crate) struct Tables {
    folder: PathBuf,
    database: Database,
    keyspaces: [Keyspace; Table::ALL.len()],
    /// What the store itself keeps beside the tables.
    own: Keyspace,
}

impl Tables {
    /// Opens the tables as they were when last flushed. Later commits must be applied again.
    pub(crate) fn open(folder: &Path, cache_bytes: u64) -> Result<Tables, StoreError> {
        if folder.join("version").exists() {
            verify_file_lists(folder)?;
            empty_journals(folder)?;
        }
        let database = Database::builder(folder)
            .worker_threads(ENGINE_THREADS)
            .cache_size(cache_bytes)
            .manual_journal_persist(true)
            .open()
            .map_err(|e| engine(folder, e))?;
        let open = |name: &str| {
            let options = KeyspaceCreateOptions::default()
                .manual_journal_persist(true)
                .max_memtable_size(MEMTABLE_BYTES);
            database
                .keyspace(name, || options)
                .map_err(|e| engine(folder, e))
        };
        let mut keyspaces = Vec::with_capacity(Table::ALL.len());
        for table in Table::ALL {
            keyspaces.push(open(table.name())?);
        }
        let own = open(OWN_KEYSPACE)?;
        let keyspaces = keyspaces
            .try_into()
            .map_err(|_| ())
            .expect("one for each table");
        Ok(Tables {
            folder: folder.to_path_buf(),
            database,
            keyspaces,
            own,
        })
    }

    /// The tables must hold every commit up to `applied`, as the watermark says.
    pub(crate) fn check_flushed(&self, applied: u64) -> Result<(), StoreError> {
        let flushed = self.flushed()?;
        if flushed >= applied {
            return Ok(());
        }
        let why = format!("the tables end with commit {flushed}, the watermark says {applied}");
        Err(StoreError::damaged(&self.folder, None, why))
    }

    /// The last commit that was flushed.
    pub(crate) fn flushed(&self) -> Result<u64, StoreError> {
        let flushed = self.own.get(FLUSHED_KEY).map_err(|e| self.failed(e))?;
        Ok(flushed
            .filter(|bytes| bytes.len() == 8)
            .map_or(0, |bytes| u64_at(&bytes, 0)))
    }

    /// Brings the tables up to date with these batches; of two facts about a row the last counts.
    pub(crate) fn apply(&self, batches: &[Batch]) -> Result<(), StoreError> {
        let facts = || batches.iter().flat_map(|batch| &batch.facts);
        let mut seen: HashSet<(Table, &[u8])> = HashSet::with_capacity(facts().count());
        let mut write = self.database.batch().durability(None);
        for fact in facts().rev() {
            if !seen.insert((fact.table(), fact.key())) {
                continue;
            }
            let keyspace = self.keyspace(fact.table());
            match fact {
                Fact::Put { key, value, .. } => write.insert(keyspace, &key[..], &value[..]),
                Fact::Delete { key, .. } => write.remove(keyspace, &key[..]),
            }
        }
        write.commit().map_err(|e| self.failed(e))
    }

    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.keyspace(table).get(key).map_err(|e| self.failed(e))?;
        Ok(value.map(|value| value.to_vec()))
    }

    pub(crate) fn scan(
        &self,
        table: Table,
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let snapshot = self.database.snapshot();
        let rows = snapshot.range(self.keyspace(table), from.to_vec()..);
        rows.take(limit.min(SCAN_ROWS_MAX))
            .map(|row| {
                let (key, value) = row.into_inner().map_err(|e| self.failed(e))?;
                Ok(Row {
                    key: key.to_vec(),
                    value: value.to_vec(),
                })
            })
            .collect()
    }

    /// The tables as they are now, for as long as the snapshot lives.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.database.snapshot()
    }

    pub(crate) fn replay(
        &self,
        snapshot: &Snapshot,
        table: Table,
        visit: &mut RowVisitor<'_>,
    ) -> Result<u64, StoreError> {
        let mut count = 0;
        for row in snapshot.iter(self.keyspace(table)) {
            let (key, value) = row.into_inner().map_err(|e| self.failed(e))?;
            count += 1;
            if let ControlFlow::Break(()) = visit(&key, &value) {
                break;
            }
        }
        Ok(count)
    }

    /// Writes everything up to this commit, which was applied before this call, into synced files.
    pub(crate) fn flush(&self, commit: u64) -> Result<(), StoreError> {
        self.check_health()?;
        for keyspace in &self.keyspaces {
            keyspace.rotate_memtable().map_err(|e| self.failed(e))?;
        }
        self.wait_for_flush(&self.keyspaces)?;
        // Last, so that it is there only if all the others are.
        self.own
            .insert(FLUSHED_KEY, commit.to_le_bytes())
            .map_err(|e| self.failed(e))?;
        self.own.rotate_memtable().map_err(|e| self.failed(e))?;
        self.wait_for_flush(std::slice::from_ref(&self.own))
    }

    fn wait_for_flush(&self, keyspaces: &[Keyspace]) -> Result<(), StoreError> {
        for keyspace in keyspaces {
            // A worker that has met a full disk never finishes; the engine's own wait would not
            // notice.
            while keyspace.sealed_memtable_count() > 0 {
                self.check_health()?;
                thread::sleep(FLUSH_LOOK);
            }
        }
        self.check_health()
    }

    /// An error once the engine has given up after a failed write: it must be opened again.
    pub(crate) fn check_health(&self) -> Result<(), StoreError> {
        self.database
            .persist(PersistMode::Buffer)
            .map_err(|e| self.failed(e))
    }

    /// The bytes on disk.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.keyspaces.iter().map(Keyspace::disk_space).sum()
    }

    fn keyspace(&self, table: Table) -> &Keyspace {
        &self.keyspaces[table as usize - 1]
    }

    fn failed(&self, error: fjall::Error) -> StoreError {
        engine(&self.folder, error)
    }
}

impl core::fmt::Debug for Tables {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Tables")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// The engine's error, told apart: damage stays, a full disk goes away.
fn engine(folder: &Path, error: fjall::Error) -> StoreError {
    let folder = folder.to_path_buf();
    match error {
        fjall::Error::Io(source) => StoreError::Io {
            doing: "cannot read or write the tables in",
            path: folder,
            source,
        },
        fjall::Error::Poisoned | fjall::Error::Locked => StoreError::Engine {
            path: folder,
            source: error.into(),
        },
        other => StoreError::damaged(folder, None, format!("the storage engine says: {other:?}")),
    }
}

/// Each keyspace has a file `current` that names its list of sorted files and the checksum of that
/// list; the engine reads both and compares nothing.
fn verify_file_lists(folder: &Path) -> Result<(), StoreError> {
    /// Version of the list, 128-bit checksum, kind of checksum.
    const CURRENT_BYTES: usize = 25;
    let keyspaces = folder.join("keyspaces");
    for path in entries(&keyspaces)? {
        let current = path.join("current");
        if !current.exists() {
            // A keyspace that was being made when the process ended.
            continue;
        }
        let bytes = fs::read(&current).map_err(StoreError::io("cannot read", &current))?;
        if bytes.len() != CURRENT_BYTES || bytes[24] != 0 {
            return Err(StoreError::damaged(&current, None, "it does not read"));
        }
        let list = path.join(format!("v{}", u64_at(&bytes, 0)));
        let wanted = u128::from_le_bytes(bytes[8..24].try_into().expect("sixteen bytes"));
        let content = match fs::read(&list) {
            Ok(content) => content,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let why = format!("{} names it", current.display());
                return Err(StoreError::Missing { path: list, why });
            }
            Err(e) => return Err(StoreError::io("cannot read", &list)(e)),
        };
        if xxh3_128(&content) != wanted {
            let why = format!(
                "it does not have the checksum that {} says",
                current.display()
            );
            return Err(StoreError::damaged(&list, None, why));
        }
    }
    Ok(())
}

/// Leaves the newest journal of the engine, empty: without any the engine would start its sequence
/// numbers anew.
fn empty_journals(folder: &Path) -> Result<(), StoreError> {
    let mut journals: Vec<(u64, PathBuf)> = entries(folder)?
        .into_iter()
        .filter_map(|path| {
            let number = path
                .file_name()?
                .to_str()?
                .strip_suffix(".jnl")?
                .parse()
                .ok()?;
            Some((number, path))
        })
        .collect();
    journals.sort_unstable();
    let newest = journals
        .pop()
        .map_or_else(|| folder.join("0.jnl"), |(_, path)| path);
    for (_, path) in journals {
        fs::remove_file(&path).map_err(StoreError::io("cannot remove", &path))?;
    }
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&newest)
        .map_err(StoreError::io("cannot empty", &newest))?;
    sync(&file, &newest)?;
    sync_folder(folder)
}

fn sync(file: &File, path: &Path) -> Result<(), StoreError> {
    file.sync_all().map_err(StoreError::io("cannot sync", path))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let entries = fs::read_dir(folder).map_err(StoreError::io("cannot read", folder))?;
    entries
        .map(|entry| Ok(entry.map_err(StoreError::io("cannot read", folder))?.path()))
        .collect()
}
