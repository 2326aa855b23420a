//! Reading a log that may be damaged: what is whole, and what is not.
//!
//! Opening stops at the first damage; a check goes on behind it. Since each marker carries the sum
//! that the next record is seeded with, the records behind a damaged one can still be verified.

use std::fs;
use std::path::{Path, PathBuf};

use super::frame::{Body, MARKER_BYTES, Marker, read_frame};
use super::segment::{
    Cursor, HEADER_BYTES, Header, HeaderBad, LOG_VERSION, Tail, segment_first, segment_path, walk,
};
use crate::batch::Batch;
use crate::error::StoreError;

/// A piece of the log that is not there any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hole {
    /// The file it is in, or should be in.
    pub(crate) path: PathBuf,
    /// Where it begins there.
    pub(crate) offset: u64,
    /// The first commit that does not read.
    pub(crate) first: u64,
    /// The last commit that does not read, `None` if nothing follows.
    pub(crate) last: Option<u64>,
    pub(crate) why: &'static str,
}

/// What a walk through the whole log has found.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) segments: u64,
    pub(crate) bytes: u64,
    /// The first and the last commit that read.
    pub(crate) first: Option<u64>,
    pub(crate) last: u64,
    pub(crate) holes: Vec<Hole>,
    /// An unfinished write at the end; the next start cuts it off.
    pub(crate) torn: Option<(PathBuf, u64)>,
    /// Records of which one marker is damaged.
    pub(crate) healed: u64,
}

/// Walks through everything in the folder and hands out every commit that reads.
pub(crate) fn survey(
    folder: &Path,
    secret: u64,
    synced: bool,
    visit: &mut dyn FnMut(u64, Batch) -> Result<(), StoreError>,
) -> Result<Survey, StoreError> {
    let mut survey = Survey::default();
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(StoreError::io("cannot read", folder))? {
        let entry = entry.map_err(StoreError::io("cannot read", folder))?;
        names.extend(entry.file_name().to_str().and_then(segment_first));
    }
    names.sort_unstable();
    // Where the next segment must begin, and what its header must say of the one before.
    let mut before: Option<(u64, u64)> = None;
    for (at, first) in names.iter().enumerate() {
        let path = segment_path(folder, *first);
        let bytes = fs::read(&path).map_err(StoreError::io("cannot read", &path))?;
        survey.segments += 1;
        survey.bytes += bytes.len() as u64;
        let next = names.get(at + 1).copied();
        let header = match Header::parse(&bytes) {
            Ok(header) if header.first == *first && header.secret == secret => header,
            Err(HeaderBad::Version(found)) => {
                return Err(StoreError::FormatVersion {
                    path,
                    found,
                    supported: LOG_VERSION,
                });
            }
            Err(HeaderBad::Unfinished) if next.is_none() && bytes.len() <= HEADER_BYTES => continue,
            _ => {
                let last = next.map(|next| next - 1);
                let why = "the header of the segment";
                survey.holes.push(Hole {
                    path,
                    offset: 0,
                    first: *first,
                    last,
                    why,
                });
                before = None;
                continue;
            }
        };
        if let Some((segment, last)) = before
            && (header.before != segment || header.before_last != last)
        {
            let hole_path = segment_path(folder, header.before.max(last + 1));
            let (first, last) = (last + 1, Some(header.before_last));
            let why = "a segment is missing";
            survey.holes.push(Hole {
                path: hole_path,
                offset: 0,
                first,
                last,
                why,
            });
        }
        let segment = Segment {
            path,
            header,
            bytes,
            next,
            secret,
            synced,
        };
        let last = segment.survey(&mut survey, visit)?;
        before = last.map(|last| (header.first, last));
    }
    Ok(survey)
}

struct Segment {
    path: PathBuf,
    header: Header,
    bytes: Vec<u8>,
    next: Option<u64>,
    secret: u64,
    synced: bool,
}

impl Segment {
    /// The last commit, if it is known where the segment ends.
    fn survey(
        &self,
        survey: &mut Survey,
        visit: &mut dyn FnMut(u64, Batch) -> Result<(), StoreError>,
    ) -> Result<Option<u64>, StoreError> {
        let (first, chain) = (self.header.first, self.header.chain);
        let mut cursor = Cursor {
            offset: HEADER_BYTES,
            commit: first,
            chain,
        };
        loop {
            let mut failed = Ok(());
            let tail = walk(
                &self.bytes,
                self.secret,
                &mut cursor,
                self.synced,
                |at, frame| {
                    survey.healed += u64::from(frame.healed);
                    survey.first.get_or_insert(frame.commit);
                    survey.last = frame.commit;
                    if failed.is_ok() {
                        let batch = Body::parse(frame.body).and_then(Body::to_batch);
                        failed = batch
                            .map_err(|_| {
                                let offset = Some(at.offset as u64);
                                StoreError::damaged(&self.path, offset, "a record does not read")
                            })
                            .and_then(|batch| visit(frame.commit, batch));
                    }
                },
            );
            failed?;
            match tail {
                Tail::Clean => return Ok(Some(cursor.commit - 1)),
                Tail::Torn if self.next.is_none() => {
                    survey.torn = Some((self.path.clone(), cursor.offset as u64));
                    return Ok(None);
                }
                Tail::Torn | Tail::Damaged { .. } => {}
            }
            let (offset, first) = (cursor.offset as u64, cursor.commit);
            let behind = self.next_sound(cursor);
            let last = behind.map(|c| c.commit).or(self.next).map(|next| next - 1);
            let why = "a record";
            survey.holes.push(Hole {
                path: self.path.clone(),
                offset,
                first,
                last,
                why,
            });
            let Some(behind) = behind else {
                return Ok(None);
            };
            cursor = behind;
        }
    }

    /// The first record behind the cursor that can be verified.
    fn next_sound(&self, cursor: Cursor) -> Option<Cursor> {
        let (bytes, secret) = (&self.bytes, self.secret);
        (cursor.offset + MARKER_BYTES..bytes.len()).find_map(|offset| {
            if !Marker::may_begin(&bytes[offset..]) {
                return None;
            }
            let head = Marker::parse(bytes, offset, secret).filter(|m| m.is_head)?;
            let foot = Marker::parse(bytes, offset - MARKER_BYTES, secret)?;
            let follows = !foot.is_head && foot.commit + 1 == head.commit;
            if !follows || head.commit <= cursor.commit {
                return None;
            }
            let sound = Cursor {
                offset,
                commit: head.commit,
                chain: foot.sum,
            };
            read_frame(bytes, offset, secret, sound.commit, sound.chain)
                .ok()
                .map(|_| sound)
        })
    }
}
