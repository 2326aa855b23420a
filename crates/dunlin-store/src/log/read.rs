//! Reading the log forward from a position, while the writer goes on.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::frame::Body;
use super::segment::{Cursor, HEADER_BYTES, Tail, walk};
use super::{Indexer, Segment, Segments, read_lock, write_lock};
use crate::batch::Batch;
use crate::error::StoreError;
use crate::history::{Event, EventPage, Gap, PAGE_BYTES_MAX, PAGE_EVENTS_MAX};
use crate::position::{CommitNumber, Position};

/// A page reads at most this much from disk before it is returned, full or not: most commits of a
/// fleet may carry facts and no events.
const PAGE_READ_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The readers' side of the log. Cheap to clone; sees what is published.
#[derive(Debug, Clone)]
pub(crate) struct LogReader {
    secret: u64,
    segments: Segments,
}

/// Some whole records of one segment.
struct Chunk {
    path: PathBuf,
    start: Cursor,
    end: u64,
}

/// Where the next event is looked for.
enum Place {
    Chunk(Chunk),
    /// The segment has no index yet.
    NeedsIndex(Segment),
    Gap(Gap, Position),
    End,
}

impl LogReader {
    pub(crate) fn new(secret: u64, segments: Segments) -> LogReader {
        LogReader { secret, segments }
    }

    /// The first commit that is kept, if there is a segment.
    pub(crate) fn oldest(&self) -> Option<u64> {
        read_lock(&self.segments).first().map(|s| s.header.first)
    }

    /// The last commit that is published, or 0.
    fn published(&self) -> u64 {
        read_lock(&self.segments).last().map_or(0, |s| s.last)
    }

    /// See [`crate::History::read`]. `last` is the last commit of the store, which may have been
    /// restored without a log.
    pub(crate) fn read(
        &self,
        after: Position,
        limit: usize,
        last: CommitNumber,
    ) -> Result<EventPage, StoreError> {
        let limit = limit.clamp(1, PAGE_EVENTS_MAX);
        // What is published may be read before the store counts it as its last.
        let last = last.max(CommitNumber(self.published()));
        let mut page = EventPage {
            events: Vec::new(),
            next: after,
            end: false,
            gap: None,
        };
        if after.commit > last {
            page.gap = Some(Gap::Ahead { newest: last });
            (page.next, page.end) = (Position::end_of(last), true);
            return Ok(page);
        }
        let mut collected = Collector {
            limit,
            bytes: 0,
            read: 0,
        };
        while !collected.is_full(&page) {
            match self.place(page.next, last) {
                Place::Chunk(chunk) => self.collect(&chunk, &mut page, &mut collected)?,
                Place::NeedsIndex(segment) => self.build_index(&segment)?,
                // A gap in the middle begins a new page, so that the consumer hears of it in order.
                Place::Gap(..) if !page.events.is_empty() => return Ok(page),
                Place::Gap(gap, next) => {
                    page.next = next;
                    if after != Position::START {
                        page.gap = Some(gap);
                    }
                }
                Place::End => {
                    page.end = true;
                    return Ok(page);
                }
            }
        }
        Ok(page)
    }

    /// Hands every published commit after `after` to `visit`, in order.
    pub(crate) fn batches(
        &self,
        after: u64,
        visit: &mut dyn FnMut(u64, Batch) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let segments = read_lock(&self.segments).clone();
        for segment in segments
            .iter()
            .filter(|s| s.last > after && s.last >= s.header.first)
        {
            let path = &segment.path;
            let file = File::open(path).map_err(StoreError::io("cannot open", path))?;
            let bytes = read_range(&file, path, 0, segment.end)?;
            let header = segment.header;
            let mut cursor = Cursor {
                offset: HEADER_BYTES,
                commit: header.first,
                chain: header.chain,
            };
            let mut outcome = Ok(());
            let tail = walk(&bytes, self.secret, &mut cursor, true, |at, frame| {
                if frame.commit <= after || outcome.is_err() {
                    return;
                }
                let batch = Body::parse(frame.body)
                    .and_then(Body::to_batch)
                    .map_err(|_| {
                        StoreError::damaged(path, Some(at.offset as u64), "a record does not read")
                    });
                outcome = batch.and_then(|batch| visit(frame.commit, batch));
            });
            outcome?;
            if tail != Tail::Clean {
                let offset = Some(cursor.offset as u64);
                return Err(StoreError::damaged(path, offset, "a record does not read"));
            }
        }
        Ok(())
    }

    fn place(&self, after: Position, last: CommitNumber) -> Place {
        let wanted = match after.index {
            u32::MAX => after.commit.0 + 1,
            _ => after.commit.0,
        };
        let segments = read_lock(&self.segments);
        let at = segments.partition_point(|s| s.header.first <= wanted);
        let Some(at) = at.checked_sub(1) else {
            let Some(first) = segments.first().map(|s| s.header.first) else {
                return no_segments(wanted, last);
            };
            let oldest = CommitNumber(first);
            return Place::Gap(
                Gap::Trimmed { oldest },
                Position::end_of(CommitNumber(first - 1)),
            );
        };
        let segment = &segments[at];
        if wanted > segment.last {
            return match segments.get(at + 1) {
                Some(after_loss) => {
                    let next = CommitNumber(after_loss.header.first);
                    Place::Gap(
                        Gap::Lost { next },
                        Position::end_of(CommitNumber(next.0 - 1)),
                    )
                }
                None => Place::End,
            };
        }
        let Some(index) = &segment.index else {
            return Place::NeedsIndex(segment.clone());
        };
        let following = index.partition_point(|cursor| cursor.commit <= wanted);
        let end = index
            .get(following)
            .map_or(segment.end, |cursor| cursor.offset as u64);
        Place::Chunk(Chunk {
            path: segment.path.clone(),
            start: index[following - 1],
            end,
        })
    }

    fn collect(
        &self,
        chunk: &Chunk,
        page: &mut EventPage,
        collected: &mut Collector,
    ) -> Result<(), StoreError> {
        let path = &chunk.path;
        let file = match File::open(path) {
            Ok(file) => file,
            // Retention was faster; the next look finds the gap.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !self.knows(path) => {
                return Ok(());
            }
            Err(e) => return Err(StoreError::io("cannot open", path)(e)),
        };
        let base = chunk.start.offset;
        let bytes = read_range(&file, path, base as u64, chunk.end - base as u64)?;
        let mut cursor = Cursor {
            offset: 0,
            ..chunk.start
        };
        let mut malformed = None;
        let tail = walk(&bytes, self.secret, &mut cursor, true, |at, frame| {
            if frame.commit < page.next.commit.0 || collected.is_full(page) {
                return;
            }
            let events =
                Body::parse(frame.body).and_then(|b| collected.take(page, frame.commit, b));
            if events.is_err() {
                malformed.get_or_insert(at.offset);
            }
        });
        if tail != Tail::Clean {
            malformed.get_or_insert(cursor.offset);
        }
        collected.read += bytes.len();
        match malformed {
            None => Ok(()),
            Some(offset) => {
                let offset = Some((base + offset) as u64);
                Err(StoreError::damaged(path, offset, "a record does not read"))
            }
        }
    }

    fn build_index(&self, segment: &Segment) -> Result<(), StoreError> {
        let path = &segment.path;
        let file = File::open(path).map_err(StoreError::io("cannot open", path))?;
        let bytes = read_range(&file, path, 0, segment.end)?;
        let header = segment.header;
        let mut cursor = Cursor {
            offset: HEADER_BYTES,
            commit: header.first,
            chain: header.chain,
        };
        let mut index = Indexer::default();
        let tail = walk(&bytes, self.secret, &mut cursor, true, |cursor, _| {
            index.saw(cursor)
        });
        if tail != Tail::Clean {
            let offset = Some(cursor.offset as u64);
            return Err(StoreError::damaged(path, offset, "a record does not read"));
        }
        let mut segments = write_lock(&self.segments);
        if let Some(known) = segments.iter_mut().find(|s| s.header.first == header.first) {
            known.index.get_or_insert(Arc::new(index.cursors));
        }
        Ok(())
    }

    fn knows(&self, path: &Path) -> bool {
        read_lock(&self.segments).iter().any(|s| s.path == path)
    }
}

/// A store that was restored without events, or a new one.
fn no_segments(wanted: u64, last: CommitNumber) -> Place {
    if wanted > last.0 {
        return Place::End;
    }
    Place::Gap(
        Gap::Trimmed {
            oldest: last.next(),
        },
        Position::end_of(last),
    )
}

/// Counts what a page holds and what it has cost.
struct Collector {
    limit: usize,
    bytes: usize,
    read: usize,
}

impl Collector {
    fn is_full(&self, page: &EventPage) -> bool {
        page.events.len() >= self.limit
            || self.bytes >= PAGE_BYTES_MAX
            || self.read >= PAGE_READ_BYTES_MAX
    }

    fn take(
        &mut self,
        page: &mut EventPage,
        commit: u64,
        body: Body<'_>,
    ) -> Result<(), super::frame::BodyMalformed> {
        let commit = CommitNumber(commit);
        let from = page.next;
        let mut complete = true;
        body.events(|index, bytes| {
            let position = Position { commit, index };
            if position <= from {
                return;
            }
            if self.is_full(page) {
                complete = false;
                return;
            }
            self.bytes += bytes.len();
            page.events.push(Event {
                position,
                at_ms: body.at_ms,
                bytes: bytes.to_vec(),
            });
            page.next = position;
        })?;
        if complete {
            page.next = Position::end_of(commit);
        }
        Ok(())
    }
}

/// Reads exactly these bytes of a file.
pub(crate) fn read_range(
    file: &File,
    path: &Path,
    offset: u64,
    length: u64,
) -> Result<Vec<u8>, StoreError> {
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, offset)
        .map_err(StoreError::io("cannot read", path))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::{Log, OpenLog};
    use super::*;

    #[test]
    fn a_reader_who_is_ahead_of_the_count_of_the_store_by_a_moment_hears_of_no_gap() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = OpenLog {
            secret: 1,
            segment_bytes: 1 << 20,
            applied: 0,
            oldest: 1,
            synced: true,
        };
        let mut log = Log::open(folder.path(), options, &mut |_, _| Ok(())).expect("a new log");
        let batch = Batch {
            at_ms: 1,
            events: vec![b"one".to_vec()],
            ..Batch::default()
        };
        log.append(&[batch.clone(), batch]).expect("written");
        log.publish();
        let reader = log.reader();
        let counted = CommitNumber(0);
        let page = reader.read(Position::START, 1, counted).expect("a page");
        assert_eq!((page.events.len(), page.gap), (1, None));
        let rest = reader.read(page.next, 9, counted).expect("a page");
        assert_eq!((rest.events.len(), rest.gap, rest.end), (1, None, true));
        let ahead = Position::end_of(CommitNumber(3));
        let gap = reader.read(ahead, 9, counted).expect("a page").gap;
        assert_eq!(
            gap,
            Some(Gap::Ahead {
                newest: CommitNumber(2)
            })
        );
    }
}
