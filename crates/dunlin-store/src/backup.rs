//! Backup and restore: the whole store as of one commit, in one plain file.
//!
//! ```text
//! file    "dunlnbak", version, then blocks
//! block   kind, length, payload, checksum (seeded with the checksum of the block before)
//! ```
//!
//! The first block says what it is a backup of, the last one how much there was; a file that was cut
//! off, or had blocks removed or exchanged, is refused as one with a flipped bit is, and the message
//! says where. The file is also the way from one version of the folder's layout to the next.
//!
//! A backup is taken from a running store: a snapshot of the tables and the log up to the same
//! commit. A restore makes a new folder and gives it its name when everything is in it.

use core::ops::ControlFlow;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::batch::{Batch, Table};
use crate::error::StoreError;
use crate::fjall::{FjallStore, Restored};
use crate::log::frame::{u32_at, u64_at};
use crate::log::sync_folder;
use crate::position::CommitNumber;

const MAGIC: [u8; 8] = *b"dunlnbak";

/// The version of the layout above and of the payloads.
const BACKUP_VERSION: u32 = 1;

/// A block is closed at this size; one row or commit may make it longer.
const BLOCK_BYTES: usize = 256 * 1024;

/// A longer block is no block: the longest holds one commit with all its events.
const BLOCK_BYTES_MAX: u32 = 80 * 1024 * 1024;

/// Kind and length before the payload, checksum after it.
const BLOCK_HEAD_BYTES: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Begin = 1,
    Rows = 2,
    Commits = 3,
    End = 4,
}

/// What a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackupSummary {
    /// The last commit in it.
    pub commit: CommitNumber,
    /// Wall time when it was taken, in milliseconds since 1970.
    pub at_ms: u64,
    /// The number of virtual shards.
    pub virtual_shards: u16,
    /// Rows of all tables.
    pub rows: u64,
    /// Commits of the log, with or without events.
    pub commits: u64,
    /// Events of the log.
    pub events: u64,
}

/// What a backup takes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupSettings {
    /// Wall time, for the file.
    pub at_ms: u64,
    /// The event log as well: consumers of a restored store can then replay what was kept.
    pub with_events: bool,
}

/// A backup cannot be taken, or not be restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The store, old or new.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The backup file is not what was written.
    #[error("the backup {} is damaged at byte {offset} ({what}): use another one", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the block begins that does not fit.
        offset: u64,
        /// What does not fit.
        what: &'static str,
    },
    /// Not a backup of dunlin.
    #[error("{} is not a backup of dunlin", path.display())]
    NotABackup {
        /// The file.
        path: PathBuf,
    },
    /// Written by a newer dunlin.
    #[error("the backup {} has format {found}, this dunlin reads {BACKUP_VERSION}: use the dunlin that wrote it, or a newer one", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// The version found.
        found: u32,
    },
    /// A restore never touches what is there.
    #[error("{} is not empty: restore into a new folder, and start dunlin with that", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
}

impl FjallStore {
    /// Writes everything up to the present commit into one file, while the store goes on. An older
    /// file of that name is replaced once the new one is complete.
    ///
    /// # Errors
    /// When the file cannot be written or the store does not read; no file is left then.
    pub fn backup(
        &self,
        file: impl AsRef<Path>,
        settings: BackupSettings,
    ) -> Result<BackupSummary, BackupError> {
        let path = file.as_ref();
        let aside = aside(path);
        let written = self.write_backup(&aside, settings);
        if written.is_err() {
            let _ = fs::remove_file(&aside);
            return written;
        }
        fs::rename(&aside, path).map_err(StoreError::io("cannot rename", &aside))?;
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            sync_folder(folder)?;
        }
        written
    }

    fn write_backup(
        &self,
        path: &Path,
        settings: BackupSettings,
    ) -> Result<BackupSummary, BackupError> {
        let source = self.backup_source()?;
        let mut writer = Writer::create(path)?;
        let mut summary = BackupSummary {
            commit: source.commit,
            at_ms: settings.at_ms,
            virtual_shards: source.virtual_shards,
            ..BackupSummary::default()
        };
        writer.payload.extend_from_slice(&encode_summary(&summary));
        writer.block(Kind::Begin)?;
        for table in Table::ALL {
            let mut failed = Ok(());
            source.rows(table, &mut |key, value| {
                summary.rows += 1;
                writer.payload.push(table as u8);
                put_bytes(&mut writer.payload, key);
                put_bytes(&mut writer.payload, value);
                failed = writer.block_if_full(Kind::Rows);
                if failed.is_ok() {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })?;
            failed?;
        }
        writer.block(Kind::Rows)?;
        if settings.with_events {
            source.commits(&mut |number, batch| {
                summary.commits += 1;
                summary.events += batch.events.len() as u64;
                writer.payload.extend_from_slice(&number.to_le_bytes());
                writer.payload.extend_from_slice(&batch.at_ms.to_le_bytes());
                put_count(&mut writer.payload, batch.events.len());
                batch
                    .events
                    .iter()
                    .for_each(|event| put_bytes(&mut writer.payload, event));
                writer.block_if_full(Kind::Commits)
            })?;
            writer.block(Kind::Commits)?;
        }
        writer.payload.extend_from_slice(&encode_summary(&summary));
        writer.block(Kind::End)?;
        writer.finish()?;
        Ok(summary)
    }
}

/// Reads a whole backup without restoring it.
///
/// # Errors
/// Where it is damaged.
pub fn verify_backup(file: impl AsRef<Path>) -> Result<BackupSummary, BackupError> {
    read_backup(file.as_ref(), &mut |_, _| Ok(()), &mut |_| Ok(()))
}

/// Makes a new data folder from a backup. Commit numbers go on far above those of the backup, so that
/// no position of the time after it is told again.
///
/// # Errors
/// When the backup is damaged - where -, when the folder is there and not empty, when it cannot be
/// written; no folder is left then.
pub fn restore(
    file: impl AsRef<Path>,
    into: impl AsRef<Path>,
) -> Result<BackupSummary, BackupError> {
    let (file, into) = (file.as_ref(), into.as_ref());
    if fs::read_dir(into).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(BackupError::NotEmpty {
            path: into.to_path_buf(),
        });
    }
    let aside = aside(into);
    if aside.exists() {
        // Of a restore that was interrupted.
        fs::remove_dir_all(&aside).map_err(StoreError::io("cannot remove", &aside))?;
    }
    let restored = restore_aside(file, &aside).and_then(|summary| {
        if into.exists() {
            fs::remove_dir(into).map_err(StoreError::io("cannot replace", into))?;
        }
        fs::rename(&aside, into).map_err(StoreError::io("cannot rename", &aside))?;
        if let Some(folder) = into
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            sync_folder(folder)?;
        }
        Ok(summary)
    });
    if restored.is_err() {
        let _ = fs::remove_dir_all(&aside);
    }
    restored
}

fn restore_aside(file: &Path, aside: &Path) -> Result<BackupSummary, BackupError> {
    let begin = Reader::open(file)?.begin()?;
    let mut restored = Restored::create(aside, begin.virtual_shards)?;
    let mut batches = Vec::new();
    // Two call-backs, one writer: what is read is gathered first.
    let restored_cell = std::cell::RefCell::new(&mut restored);
    let summary = read_backup(
        file,
        &mut |rows, last| {
            batches.push(rows);
            if batches.len() < 16 && !last {
                return Ok(());
            }
            restored_cell
                .borrow_mut()
                .rows(&std::mem::take(&mut batches))
        },
        &mut |commits| restored_cell.borrow_mut().commits(commits),
    )?;
    restored.finish(summary.commit)?;
    Ok(summary)
}

type OnRows<'a> = dyn FnMut(Batch, bool) -> Result<(), StoreError> + 'a;
type OnCommits<'a> = dyn FnMut(Vec<(u64, Batch)>) -> Result<(), StoreError> + 'a;

/// Walks through a backup; every block is verified before it is handed out.
fn read_backup(
    path: &Path,
    rows: &mut OnRows<'_>,
    commits: &mut OnCommits<'_>,
) -> Result<BackupSummary, BackupError> {
    let mut reader = Reader::open(path)?;
    let mut summary = reader.begin()?;
    loop {
        let at = reader.offset;
        match reader.block()? {
            Kind::Begin => return Err(reader.damaged(at, "a second beginning")),
            Kind::Rows => {
                let batch = reader.rows().ok_or(reader.damaged(at, "rows"))?;
                summary.rows += batch.facts.len() as u64;
                rows(batch, false)?;
            }
            Kind::Commits => {
                let block = reader.commits().ok_or(reader.damaged(at, "commits"))?;
                summary.commits += block.len() as u64;
                summary.events += block
                    .iter()
                    .map(|(_, b)| b.events.len() as u64)
                    .sum::<u64>();
                commits(block)?;
            }
            Kind::End => {
                rows(Batch::default(), true)?;
                if decode_summary(&reader.payload) != Some(summary) {
                    return Err(reader.damaged(at, "the counts at the end"));
                }
                if reader
                    .file
                    .read(&mut [0])
                    .map_err(StoreError::io("cannot read", path))?
                    != 0
                {
                    return Err(reader.damaged(reader.offset, "bytes after the end"));
                }
                return Ok(summary);
            }
        }
    }
}

struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
    payload: Vec<u8>,
    sum: u64,
}

impl Writer {
    fn create(path: &Path) -> Result<Writer, StoreError> {
        let file = File::create(path).map_err(StoreError::io("cannot create", path))?;
        let mut file = BufWriter::new(file);
        file.write_all(&MAGIC)
            .and_then(|()| file.write_all(&BACKUP_VERSION.to_le_bytes()))
            .map_err(StoreError::io("cannot write", path))?;
        let payload = Vec::with_capacity(BLOCK_BYTES * 2);
        Ok(Writer {
            path: path.to_path_buf(),
            file,
            payload,
            sum: 0,
        })
    }

    fn block_if_full(&mut self, kind: Kind) -> Result<(), StoreError> {
        if self.payload.len() >= BLOCK_BYTES {
            self.block(kind)
        } else {
            Ok(())
        }
    }

    fn block(&mut self, kind: Kind) -> Result<(), StoreError> {
        let head = block_head(kind, self.payload.len());
        self.sum = block_sum(&head, &self.payload, self.sum);
        self.file
            .write_all(&head)
            .and_then(|()| self.file.write_all(&self.payload))
            .and_then(|()| self.file.write_all(&self.sum.to_le_bytes()))
            .map_err(StoreError::io("cannot write", &self.path))?;
        self.payload.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<(), StoreError> {
        self.file
            .flush()
            .map_err(StoreError::io("cannot write", &self.path))?;
        self.file
            .get_ref()
            .sync_all()
            .map_err(StoreError::io("cannot sync", &self.path))
    }
}

struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    payload: Vec<u8>,
    offset: u64,
    sum: u64,
}

impl Reader {
    fn open(path: &Path) -> Result<Reader, BackupError> {
        let file = File::open(path).map_err(StoreError::io("cannot open", path))?;
        let mut file = BufReader::with_capacity(BLOCK_BYTES, file);
        let mut head = [0; 12];
        if file.read_exact(&mut head).is_err() || head[..8] != MAGIC {
            return Err(BackupError::NotABackup {
                path: path.to_path_buf(),
            });
        }
        let found = u32_at(&head, 8);
        if found != BACKUP_VERSION {
            return Err(BackupError::Version {
                path: path.to_path_buf(),
                found,
            });
        }
        Ok(Reader {
            path: path.to_path_buf(),
            file,
            payload: Vec::new(),
            offset: 12,
            sum: 0,
        })
    }

    fn begin(&mut self) -> Result<BackupSummary, BackupError> {
        let at = self.offset;
        match self.block()? {
            Kind::Begin => decode_summary(&self.payload).ok_or(self.damaged(at, "the beginning")),
            _ => Err(self.damaged(at, "no beginning")),
        }
    }

    /// Reads and verifies the next block into `payload`.
    fn block(&mut self) -> Result<Kind, BackupError> {
        let at = self.offset;
        let mut head = [0; BLOCK_HEAD_BYTES];
        self.file
            .read_exact(&mut head)
            .map_err(|_| self.damaged(at, "it ends too early"))?;
        let length = u32_at(&head, 4);
        if length > BLOCK_BYTES_MAX {
            return Err(self.damaged(at, "the length of a block"));
        }
        self.payload.clear();
        // The length is not verified yet: take what is there, not what it says.
        let taken = (&mut self.file)
            .take(u64::from(length))
            .read_to_end(&mut self.payload);
        let mut sum = [0; 8];
        let complete = taken.is_ok_and(|taken| taken as u32 == length)
            && self.file.read_exact(&mut sum).is_ok();
        if !complete {
            return Err(self.damaged(at, "it ends too early"));
        }
        self.sum = block_sum(&head, &self.payload, self.sum);
        if self.sum != u64::from_le_bytes(sum) {
            return Err(self.damaged(at, "the checksum of a block"));
        }
        self.offset += (BLOCK_HEAD_BYTES + self.payload.len() + sum.len()) as u64;
        match head[0] {
            1 => Ok(Kind::Begin),
            2 => Ok(Kind::Rows),
            3 => Ok(Kind::Commits),
            4 => Ok(Kind::End),
            _ => Err(self.damaged(at, "the kind of a block")),
        }
    }

    fn rows(&self) -> Option<Batch> {
        let mut rest = Slice(&self.payload);
        let mut batch = Batch::default();
        while !rest.0.is_empty() {
            let table = Table::from_number(rest.take(1)?[0])?;
            let key = rest.bytes()?;
            batch.put(table, key, rest.bytes()?);
        }
        batch
            .facts
            .iter()
            .all(|fact| !fact.key().is_empty())
            .then_some(batch)
    }

    fn commits(&self) -> Option<Vec<(u64, Batch)>> {
        let mut rest = Slice(&self.payload);
        let mut commits = Vec::new();
        while !rest.0.is_empty() {
            let number = u64_at(rest.take(8)?, 0);
            let mut batch = Batch::new(u64_at(rest.take(8)?, 0));
            for _ in 0..u32_at(rest.take(4)?, 0) {
                batch.tell(rest.bytes()?);
            }
            commits.push((number, batch));
        }
        commits.is_sorted_by(|a, b| a.0 < b.0).then_some(commits)
    }

    fn damaged(&self, offset: u64, what: &'static str) -> BackupError {
        BackupError::Damaged {
            path: self.path.clone(),
            offset,
            what,
        }
    }
}

struct Slice<'a>(&'a [u8]);

impl<'a> Slice<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = u32_at(self.take(4)?, 0);
        self.take(count as usize)
    }
}

fn block_head(kind: Kind, length: usize) -> [u8; BLOCK_HEAD_BYTES] {
    let mut head = [0; BLOCK_HEAD_BYTES];
    head[0] = kind as u8;
    let length = u32::try_from(length).expect("one commit or BLOCK_BYTES");
    head[4..].copy_from_slice(&length.to_le_bytes());
    head
}

fn block_sum(head: &[u8], payload: &[u8], before: u64) -> u64 {
    xxh3_64_with_seed(payload, xxh3_64_with_seed(head, before))
}

fn encode_summary(summary: &BackupSummary) -> [u8; 48] {
    let BackupSummary {
        commit,
        at_ms,
        virtual_shards,
        rows,
        commits,
        events,
    } = *summary;
    let mut bytes = [0; 48];
    let fields = [
        commit.0,
        at_ms,
        u64::from(virtual_shards),
        rows,
        commits,
        events,
    ];
    for (place, field) in bytes.chunks_exact_mut(8).zip(fields) {
        place.copy_from_slice(&field.to_le_bytes());
    }
    bytes
}

fn decode_summary(bytes: &[u8]) -> Option<BackupSummary> {
    if bytes.len() != 48 {
        return None;
    }
    Some(BackupSummary {
        commit: CommitNumber(u64_at(bytes, 0)),
        at_ms: u64_at(bytes, 8),
        virtual_shards: u16::try_from(u64_at(bytes, 16)).ok()?,
        rows: u64_at(bytes, 24),
        commits: u64_at(bytes, 32),
        events: u64_at(bytes, 40),
    })
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("BATCH_ITEMS_MAX holds");
    out.extend_from_slice(&count.to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_count(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// The same name with an ending, in the same folder: what is renamed must not cross a file system.
fn aside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".unfinished");
    path.with_file_name(name)
}
