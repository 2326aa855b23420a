//! The log: every commit in order, in append-only segment files.
//!
//! It is the journal and the event log at once. A commit is durable when its record is synced here;
//! the tables ([`crate::fjall`]) follow and are rebuilt from here after a crash, so one sync per
//! group of commits is all that a Client waits for. Events are written once and never moved again;
//! retention removes whole segments from the old end.
//!
//! The flow of a commit: `append` (encode and write), `sync`, then the tables are brought up to
//! date, then `publish` makes it visible to readers. When a write or a sync fails, `rollback`
//! cuts the file back to the last published byte before anything else happens: what a failed sync
//! has left in the page cache cannot be trusted.

pub(crate) mod frame;
pub(crate) mod read;
pub(crate) mod salvage;
pub(crate) mod segment;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use crate::batch::Batch;
use crate::error::StoreError;
use crate::position::CommitNumber;
use frame::{Body, Place, encode_frame};
use read::LogReader;
use segment::{Cursor, HEADER_BYTES, Header, HeaderBad, Tail, segment_first, segment_path, walk};

/// Records this far apart are remembered, so that reading from a position reads little more than
/// what it returns.
const INDEX_STEP_BYTES: u64 = 64 * 1024;

/// An encoding buffer larger than this is not kept: one large batch should not cost memory for ever.
const BUFFER_KEPT_BYTES: usize = 4 * 1024 * 1024;

/// One segment, as readers and retention see it.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) header: Header,
    pub(crate) path: PathBuf,
    /// The last published commit in it; `header.first - 1` while there is none.
    pub(crate) last: u64,
    /// The bytes up to the end of the last published commit.
    pub(crate) end: u64,
    /// Where some of the records begin, the first one always; built when first needed for
    /// segments that were not read at start.
    pub(crate) index: Option<Arc<Vec<Cursor>>>,
}

/// The segments, oldest first. The writer adds and removes; readers look.
pub(crate) type Segments = Arc<RwLock<Vec<Segment>>>;

/// The writer's side of the log.
#[derive(Debug)]
pub(crate) struct Log {
    folder: PathBuf,
    secret: u64,
    segment_bytes: u64,
    segments: Segments,
    active: Option<File>,
    last: u64,
    /// The number of the next commit: `last + 1`, except after an accepted loss.
    next: u64,
    chain: u64,
    pending: Option<Pending>,
    buffer: Vec<u8>,
}

/// What has been written and not yet published.
#[derive(Debug)]
struct Pending {
    last: u64,
    chain: u64,
    end: u64,
    index: Vec<Cursor>,
}

/// How a log is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenLog {
    pub(crate) secret: u64,
    pub(crate) segment_bytes: u64,
    /// The last commit that the tables hold for certain.
    pub(crate) applied: u64,
    /// The first commit that must be here; one more than `applied` when the log may be empty.
    pub(crate) oldest: u64,
    /// Every group was synced before the next: false after a run with durability `memory`.
    pub(crate) synced: bool,
}

impl Log {
    /// Opens the log, reads and verifies everything after `applied`, and hands each of those
    /// commits to `replay`. A write that a crash cut off is cut off for good.
    pub(crate) fn open(
        folder: &Path,
        options: OpenLog,
        replay: &mut dyn FnMut(u64, Batch) -> Result<(), StoreError>,
    ) -> Result<Log, StoreError> {
        let mut segments = list_segments(folder, options.secret)?;
        let first = segments
            .first()
            .map_or(options.applied + 1, |s| s.header.first);
        if first > options.oldest {
            let path = segment_path(folder, options.oldest);
            let why = format!(
                "commits {} to {} were kept there",
                options.oldest,
                first - 1
            );
            return Err(StoreError::Missing { path, why });
        }
        let mut last = options.applied;
        let mut chain = 0;
        let start = segments.partition_point(|s| s.header.first <= options.applied + 1);
        for at in start.saturating_sub(1)..segments.len() {
            let newest = at + 1 == segments.len();
            let read = read_segment(&segments[at], options, newest, replay)?;
            if let Some(following) = segments.get(at + 1) {
                check_joint(&read, following)?;
            }
            (last, chain) = (read.segment.last, read.chain);
            segments[at] = read.segment;
        }
        let active = segments
            .last()
            .map(|newest| open_active(&newest.path))
            .transpose()?;
        Ok(Log {
            folder: folder.to_path_buf(),
            secret: options.secret,
            segment_bytes: options.segment_bytes,
            segments: Arc::new(RwLock::new(segments)),
            active,
            last,
            next: last + 1,
            chain,
            pending: None,
            buffer: Vec::new(),
        })
    }

    /// The last published commit.
    pub(crate) fn last(&self) -> CommitNumber {
        CommitNumber(self.last)
    }

    /// A reader; it sees what is published.
    pub(crate) fn reader(&self) -> LogReader {
        LogReader::new(self.secret, self.segments.clone())
    }

    /// Lets the next commit have this number, after a loss that was accepted. Not less than one
    /// more than the last.
    pub(crate) fn jump_to(&mut self, next: u64) {
        assert!(next > self.last, "commit numbers rise");
        self.next = next;
    }

    /// Writes the batches as commits `next`, `next + 1`, …; nothing is durable or visible yet.
    pub(crate) fn append(&mut self, batches: &[Batch]) -> Result<(), StoreError> {
        assert!(self.pending.is_none(), "one group at a time");
        let Some(oldest) = batches.first() else {
            return Ok(());
        };
        let base = self.make_room(oldest.at_ms)?;
        self.buffer.clear();
        let place = Place {
            base,
            secret: self.secret,
            group: self.next,
        };
        let mut cursor = Cursor {
            offset: base as usize,
            commit: self.next,
            chain: self.chain,
        };
        let mut indexed = self.indexed_to();
        let mut index = Vec::new();
        for batch in batches {
            if indexed.is_none_or(|at| cursor.offset as u64 >= at + INDEX_STEP_BYTES) {
                indexed = Some(cursor.offset as u64);
                index.push(cursor);
            }
            let chain = encode_frame(&mut self.buffer, place, cursor.commit, cursor.chain, batch);
            let offset = base as usize + self.buffer.len();
            cursor = Cursor {
                offset,
                commit: cursor.commit + 1,
                chain,
            };
        }
        let end = cursor.offset as u64;
        self.pending = Some(Pending {
            last: cursor.commit - 1,
            chain: cursor.chain,
            end,
            index,
        });
        let file = self.active.as_mut().expect("make_room has opened it");
        let written = file.write_all(&self.buffer);
        if self.buffer.capacity() > BUFFER_KEPT_BYTES {
            self.buffer = Vec::new();
        }
        written.map_err(StoreError::io("cannot write", self.active_path()))
    }

    /// Makes what was appended survive a power cut.
    pub(crate) fn sync(&mut self) -> Result<(), StoreError> {
        let Some(file) = &self.active else {
            return Ok(());
        };
        file.sync_data()
            .map_err(StoreError::io("cannot sync", self.active_path()))
    }

    /// Syncs every segment that has commits after this one: at a start, for what the last run had
    /// written and not yet synced.
    pub(crate) fn sync_after(&self, applied: u64) -> Result<(), StoreError> {
        for segment in read_lock(&self.segments)
            .iter()
            .filter(|s| s.last > applied)
        {
            let path = &segment.path;
            let file = open_active(path)?;
            file.sync_all()
                .map_err(StoreError::io("cannot sync", path))?;
        }
        Ok(())
    }

    /// Makes what was appended visible. Cannot fail.
    pub(crate) fn publish(&mut self) {
        let Some(pending) = self.pending.take() else {
            return;
        };
        let mut segments = write_lock(&self.segments);
        let active = segments.last_mut().expect("an append has made it");
        (active.last, active.end) = (pending.last, pending.end);
        let index = active.index.get_or_insert_default();
        Arc::make_mut(index).extend(pending.index);
        (self.last, self.next, self.chain) = (pending.last, pending.last + 1, pending.chain);
    }

    /// Cuts the active segment back to what is published. To be repeated until it succeeds; no
    /// append in between.
    pub(crate) fn rollback(&mut self) -> Result<(), StoreError> {
        let Some((path, end)) = self.newest(|s| (s.path.clone(), s.end)) else {
            self.pending = None;
            return Ok(());
        };
        self.active = None;
        let file = OpenOptions::new()
            .write(true)
            .open(&path)
            .map_err(StoreError::io("cannot open", &path))?;
        file.set_len(end)
            .map_err(StoreError::io("cannot cut back", &path))?;
        file.sync_all()
            .map_err(StoreError::io("cannot sync", &path))?;
        self.active = Some(open_active(&path)?);
        self.pending = None;
        Ok(())
    }

    /// How many of the oldest segments retention wants to be gone: those that the tables no longer
    /// need (`applied`), while the rest is more than `bytes_max` or their newest commit is older
    /// than `before_ms`. The active segment always stays.
    pub(crate) fn expired(&self, applied: u64, bytes_max: u64, before_ms: u64) -> usize {
        let segments = read_lock(&self.segments);
        let mut bytes: u64 = segments.iter().map(|s| s.end).sum();
        let mut count = 0;
        for pair in segments.windows(2) {
            // The following segment's first commit is as good as this one's last.
            let old = bytes > bytes_max || pair[1].header.at_ms < before_ms;
            if pair[0].last > applied || !old {
                break;
            }
            bytes -= pair[0].end;
            count += 1;
        }
        count
    }

    /// The first commit that stays when this many of the oldest segments go.
    pub(crate) fn oldest_without(&self, count: usize) -> u64 {
        read_lock(&self.segments)
            .get(count)
            .map_or(self.next, |s| s.header.first)
    }

    /// Removes the oldest segments. Readers that have one open keep it until they are done.
    pub(crate) fn remove_oldest(&mut self, count: usize) -> Result<(), StoreError> {
        for _ in 0..count {
            let path = read_lock(&self.segments)[0].path.clone();
            fs::remove_file(&path).map_err(StoreError::io("cannot remove", &path))?;
            write_lock(&self.segments).remove(0);
        }
        if count > 0 {
            sync_folder(&self.folder)
        } else {
            Ok(())
        }
    }

    /// The bytes of all segments.
    pub(crate) fn bytes(&self) -> u64 {
        read_lock(&self.segments).iter().map(|s| s.end).sum()
    }

    /// Opens a segment with room in it and returns the offset of the next record.
    fn make_room(&mut self, at_ms: u64) -> Result<u64, StoreError> {
        let newest = self.newest(|s| (s.header.first, s.last, s.end));
        if let Some((first, last, end)) = newest {
            let fits = end < self.segment_bytes && self.next == last + 1;
            if self.active.is_some() && (fits || last < first && self.next == first) {
                return Ok(end);
            }
        }
        let header = Header {
            first: self.next,
            before: newest.map_or(0, |(first, ..)| first),
            before_last: self.last,
            chain: self.chain,
            at_ms,
            secret: self.secret,
        };
        // Without syncs too a segment is whole on disk before the next one begins: only the newest
        // can end early.
        self.sync()?;
        self.active = None;
        let path = segment_path(&self.folder, header.first);
        match create_segment(&path, &header) {
            Ok(file) => self.active = Some(file),
            Err(error) => {
                // An empty beginning would be dropped at the next start; better now.
                let _ = fs::remove_file(&path);
                return Err(error);
            }
        }
        sync_folder(&self.folder)?;
        let (last, end) = (header.first - 1, HEADER_BYTES as u64);
        let segment = Segment {
            header,
            path,
            last,
            end,
            index: None,
        };
        write_lock(&self.segments).push(segment);
        Ok(end)
    }

    fn indexed_to(&self) -> Option<u64> {
        self.newest(|s| Some(s.index.as_ref()?.last()?.offset as u64))
            .flatten()
    }

    fn active_path(&self) -> PathBuf {
        self.newest(|s| s.path.clone())
            .unwrap_or_else(|| self.folder.clone())
    }

    fn newest<T>(&self, look: impl FnOnce(&Segment) -> T) -> Option<T> {
        read_lock(&self.segments).last().map(look)
    }
}

fn create_segment(path: &Path, header: &Header) -> Result<File, StoreError> {
    // Truncating is right: the name is the number of a commit that was never published.
    let mut file = File::create(path).map_err(StoreError::io("cannot create", path))?;
    file.write_all(&header.encode())
        .map_err(StoreError::io("cannot write", path))?;
    file.sync_all()
        .map_err(StoreError::io("cannot sync", path))?;
    drop(file);
    open_active(path)
}

fn open_active(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new()
        .append(true)
        .open(path)
        .map_err(StoreError::io("cannot open", path))
}

/// The headers of all segments, in order and without holes.
pub(crate) fn list_segments(folder: &Path, secret: u64) -> Result<Vec<Segment>, StoreError> {
    let entries = fs::read_dir(folder).map_err(StoreError::io("cannot read", folder))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(StoreError::io("cannot read", folder))?;
        names.extend(entry.file_name().to_str().and_then(segment_first));
    }
    names.sort_unstable();
    let mut segments: Vec<Segment> = Vec::with_capacity(names.len());
    for (at, first) in names.iter().enumerate() {
        let path = segment_path(folder, *first);
        let newest = at + 1 == names.len();
        let Some(segment) = look_at(path, *first, newest, secret)? else {
            continue;
        };
        if let Some(before) = segments.last_mut() {
            if segment.header.before != before.header.first {
                let path = segment_path(folder, segment.header.before);
                let why = format!("{} follows it", segment.path.display());
                return Err(StoreError::Missing { path, why });
            }
            before.last = segment.header.before_last;
        }
        segments.push(segment);
    }
    Ok(segments)
}

/// One segment by its header alone. `None` for a newest one that a crash has left without a header.
fn look_at(
    path: PathBuf,
    first: u64,
    newest: bool,
    secret: u64,
) -> Result<Option<Segment>, StoreError> {
    let file = File::open(&path).map_err(StoreError::io("cannot open", &path))?;
    let end = file
        .metadata()
        .map_err(StoreError::io("cannot read", &path))?
        .len();
    let bytes = read::read_range(&file, &path, 0, (HEADER_BYTES as u64).min(end))?;
    let damaged = |why: &str| StoreError::damaged(&path, Some(0), why);
    let header = match Header::parse(&bytes) {
        Ok(header) => header,
        Err(HeaderBad::Unfinished) if newest && end <= HEADER_BYTES as u64 => {
            fs::remove_file(&path).map_err(StoreError::io("cannot remove", &path))?;
            return Ok(None);
        }
        Err(HeaderBad::Version(found)) => {
            let supported = segment::LOG_VERSION;
            return Err(StoreError::FormatVersion {
                path,
                found,
                supported,
            });
        }
        Err(_) => return Err(damaged("the header of a log segment")),
    };
    if header.first != first {
        return Err(damaged("its name is not that of its first commit"));
    }
    if header.secret != secret {
        return Err(damaged("it belongs to another data folder"));
    }
    Ok(Some(Segment {
        header,
        path,
        last: first - 1,
        end,
        index: None,
    }))
}

/// What reading a whole segment has shown.
struct ReadSegment {
    segment: Segment,
    chain: u64,
}

fn read_segment(
    segment: &Segment,
    options: OpenLog,
    newest: bool,
    replay: &mut dyn FnMut(u64, Batch) -> Result<(), StoreError>,
) -> Result<ReadSegment, StoreError> {
    let path = &segment.path;
    let bytes = fs::read(path).map_err(StoreError::io("cannot read", path))?;
    let (header, secret) = (segment.header, options.secret);
    let mut cursor = Cursor {
        offset: HEADER_BYTES,
        commit: header.first,
        chain: header.chain,
    };
    let mut index = Indexer::default();
    let mut failed = None;
    let mut healed = 0;
    let tail = walk(
        &bytes,
        secret,
        &mut cursor,
        options.synced,
        |cursor, frame| {
            index.saw(cursor);
            healed += u64::from(frame.healed);
            if frame.commit > options.applied && failed.is_none() {
                let batch = Body::parse(frame.body).and_then(Body::to_batch);
                let batch = batch.map_err(|_| {
                    StoreError::damaged(path, Some(cursor.offset as u64), "a record does not read")
                });
                failed = batch.and_then(|batch| replay(frame.commit, batch)).err();
            }
        },
    );
    if let Some(error) = failed {
        return Err(error);
    }
    if healed > 0 {
        tracing::warn!(file = %path.display(), records = healed, "markers in the log are damaged; \
            the records are whole: check the disk");
    }
    match tail {
        Tail::Clean => {}
        Tail::Torn if newest => cut_off(path, cursor.offset as u64)?,
        Tail::Torn => {
            let why = format!("it ends in commit {}, and a segment follows", cursor.commit);
            return Err(StoreError::damaged(path, Some(cursor.offset as u64), why));
        }
        Tail::Damaged { later } => {
            let why = format!(
                "commit {} does not read, commit {later} does",
                cursor.commit
            );
            return Err(StoreError::damaged(path, Some(cursor.offset as u64), why));
        }
    }
    let segment = Segment {
        last: cursor.commit - 1,
        end: cursor.offset as u64,
        index: Some(Arc::new(index.cursors)),
        ..segment.clone()
    };
    Ok(ReadSegment {
        segment,
        chain: cursor.chain,
    })
}

/// The following segment must continue where this one ends.
fn check_joint(read: &ReadSegment, following: &Segment) -> Result<(), StoreError> {
    let (before, header) = (&read.segment, following.header);
    if header.before_last == before.last && header.first > before.last && header.chain == read.chain
    {
        return Ok(());
    }
    let why = format!(
        "it ends with commit {}, commit {} follows",
        before.last, header.first
    );
    Err(StoreError::damaged(&before.path, Some(before.end), why))
}

/// Removes an unfinished write from the end, so that the next one begins at a clean place.
fn cut_off(path: &Path, at: u64) -> Result<(), StoreError> {
    tracing::info!(file = %path.display(), at, "an unfinished write at the end of the log is cut off");
    let file = OpenOptions::new()
        .write(true)
        .open(path)
        .map_err(StoreError::io("cannot open", path))?;
    file.set_len(at)
        .map_err(StoreError::io("cannot cut back", path))?;
    file.sync_all().map_err(StoreError::io("cannot sync", path))
}

/// Remembers cursors at least [`INDEX_STEP_BYTES`] apart.
#[derive(Debug, Default)]
pub(crate) struct Indexer {
    pub(crate) cursors: Vec<Cursor>,
}

impl Indexer {
    pub(crate) fn saw(&mut self, cursor: Cursor) {
        let next = self
            .cursors
            .last()
            .map_or(0, |last| last.offset as u64 + INDEX_STEP_BYTES);
        if cursor.offset as u64 >= next {
            self.cursors.push(cursor);
        }
    }
}

/// Makes created, renamed and removed names survive a power cut.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(StoreError::io("cannot sync", folder))
}

pub(crate) fn read_lock(segments: &Segments) -> std::sync::RwLockReadGuard<'_, Vec<Segment>> {
    segments.read().expect("nobody panics while holding it")
}

pub(crate) fn write_lock(segments: &Segments) -> std::sync::RwLockWriteGuard<'_, Vec<Segment>> {
    segments.write().expect("nobody panics while holding it")
}
