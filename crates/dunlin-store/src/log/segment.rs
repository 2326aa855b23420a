//! One file of the log: a header, then records. How a segment is read, and what is made of a
//! place where the next record should be and is not.
//!
//! Three things can stand there, and only the first may be dropped without a word:
//!
//! 1. **A write that a crash cut off.** After a kill the file holds a beginning of what was written:
//!    the last record lacks its end, and nothing follows. After a power cut any page of the last,
//!    unsynced write may be missing, and reads as zeros. Nobody was told of these commits.
//! 2. **Damage**: the record was complete, and something changed it since. Its foot, or a later
//!    record, bears witness. Opening is refused.
//! 3. **Damage of a marker alone**: the other marker and the body vouch for the record
//!    ([`crate::log::frame`]); it is read.

use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use super::frame::{
    Frame, MARKER_BYTES, Marker, NoFrame, SECTOR_BYTES, read_frame, u32_at, u64_at,
};

/// The length of the header of a segment.
pub(crate) const HEADER_BYTES: usize = 72;

/// All of the header but its checksum.
const CHECKED_BYTES: usize = HEADER_BYTES - 8;

const HEADER_MAGIC: [u8; 8] = *b"dunlnlog";

/// The version of the layout of segments and records.
pub(crate) const LOG_VERSION: u32 = 1;

/// What stands at the beginning of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// The first commit of this segment; also its name.
    pub(crate) first: u64,
    /// The first commit of the segment before, 0 when there was none: a missing file is found.
    pub(crate) before: u64,
    /// The last commit of the segment before. Numbers jump behind it where commits were lost and an
    /// operator has accepted it.
    pub(crate) before_last: u64,
    /// The sum of the last record before.
    pub(crate) chain: u64,
    /// Wall time of the first commit.
    pub(crate) at_ms: u64,
    /// The secret of the data folder.
    pub(crate) secret: u64,
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&HEADER_MAGIC);
        bytes[8..12].copy_from_slice(&LOG_VERSION.to_le_bytes());
        let Header {
            first,
            before,
            before_last,
            chain,
            at_ms,
            secret,
        } = *self;
        let fields = [first, before, before_last, chain, at_ms, secret];
        for (place, field) in bytes[16..CHECKED_BYTES].chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        let check = xxh3_64(&bytes[..CHECKED_BYTES]);
        bytes[CHECKED_BYTES..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Header, HeaderBad> {
        if bytes.len() < HEADER_BYTES || bytes[..HEADER_BYTES].iter().all(|b| *b == 0) {
            return Err(HeaderBad::Unfinished);
        }
        if bytes[..8] != HEADER_MAGIC
            || xxh3_64(&bytes[..CHECKED_BYTES]) != u64_at(bytes, CHECKED_BYTES)
        {
            return Err(HeaderBad::Damaged);
        }
        if u32_at(bytes, 8) != LOG_VERSION {
            return Err(HeaderBad::Version(u32_at(bytes, 8)));
        }
        Ok(Header {
            first: u64_at(bytes, 16),
            before: u64_at(bytes, 24),
            before_last: u64_at(bytes, 32),
            chain: u64_at(bytes, 40),
            at_ms: u64_at(bytes, 48),
            secret: u64_at(bytes, 56),
        })
    }
}

/// Why a header does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderBad {
    /// The file was being made when the process ended; no record can follow.
    Unfinished,
    Damaged,
    Version(u32),
}

/// The file of the segment that begins with this commit.
pub(crate) fn segment_path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.log"))
}

/// The first commit, by the name of a segment file.
pub(crate) fn segment_first(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit()))
        .then(|| digits.parse().ok())?
}

/// How far a walk through records has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Where the next record begins.
    pub(crate) offset: usize,
    /// The number it must have.
    pub(crate) commit: u64,
    /// The sum of the record before.
    pub(crate) chain: u64,
}

/// What ended a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tail {
    /// The bytes ended with a record.
    Clean,
    /// A write that was never finished, and never acknowledged, begins at the cursor.
    Torn,
    /// The record at the cursor was complete once. `later` is a commit that is still there.
    Damaged { later: u64 },
}

/// Walks through the records of `bytes` from the cursor on.
///
/// `synced` tells that every group was synced before the next was written, as it is unless
/// durability is `memory`.
pub(crate) fn walk<'a>(
    bytes: &'a [u8],
    secret: u64,
    cursor: &mut Cursor,
    synced: bool,
    mut visit: impl FnMut(Cursor, Frame<'a>),
) -> Tail {
    loop {
        match read_frame(bytes, cursor.offset, secret, cursor.commit, cursor.chain) {
            Ok(frame) => {
                visit(*cursor, frame);
                let commit = cursor.commit + 1;
                *cursor = Cursor {
                    offset: frame.end,
                    commit,
                    chain: frame.sum,
                };
            }
            Err(NoFrame::End) => return Tail::Clean,
            Err(NoFrame::Broken) => return judge(bytes, secret, *cursor, synced),
        }
    }
}

/// Tells a write that was cut off from damage.
fn judge(bytes: &[u8], secret: u64, cursor: Cursor, synced: bool) -> Tail {
    let mut own = Marker::parse(bytes, cursor.offset, secret)
        .filter(|head| head.is_head && head.commit == cursor.commit);
    let mut witness: Option<(usize, u64)> = None;
    for at in cursor.offset + 1..bytes.len().saturating_sub(MARKER_BYTES - 1) {
        if !Marker::may_begin(&bytes[at..]) {
            continue;
        }
        let Some(marker) = Marker::parse(bytes, at, secret) else {
            continue;
        };
        if marker.commit < cursor.commit || (marker.is_head && marker.commit == cursor.commit) {
            continue;
        }
        if synced && marker.group > cursor.commit {
            // A later group was written only after the sync of this one had come back.
            return Tail::Damaged {
                later: marker.commit,
            };
        }
        if marker.commit == cursor.commit {
            own.get_or_insert(marker);
        }
        witness.get_or_insert((at, marker.commit));
    }
    let Some((at, later)) = witness else {
        return Tail::Torn;
    };
    let (extent, zero_by_right) = match own {
        Some(own) => (2 * MARKER_BYTES + own.body_bytes as usize, own.zero_sectors),
        None => (at - cursor.offset, 0),
    };
    let zero = zero_sectors_around(bytes, cursor.offset, cursor.offset + extent);
    if zero > zero_by_right {
        Tail::Torn
    } else {
        Tail::Damaged { later }
    }
}

/// How many sectors of the file that overlap this range are zero. Those at its edges hold markers,
/// so that none of them is zero by right.
fn zero_sectors_around(bytes: &[u8], from: usize, to: usize) -> u32 {
    let from = from / SECTOR_BYTES * SECTOR_BYTES;
    let to = to.next_multiple_of(SECTOR_BYTES).min(bytes.len());
    let sectors = bytes[from..to].chunks(SECTOR_BYTES);
    sectors
        .map(|sector| u32::from(sector.iter().all(|byte| *byte == 0)))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::super::frame::{Place, encode_frame};
    use super::*;
    use crate::batch::{Batch, Table};

    const SECRET: u64 = 42;
    const START: Cursor = Cursor {
        offset: 0,
        commit: 1,
        chain: 7,
    };

    /// Groups of records of about 1,500 bytes each: enough for whole sectors.
    fn write(groups: &[u64]) -> Vec<u8> {
        write_filled(groups, 0xa5)
    }

    fn write_filled(groups: &[u64], fill: u8) -> Vec<u8> {
        let (mut bytes, mut chain, mut commit) = (Vec::new(), START.chain, 1);
        for records in groups {
            let place = Place {
                base: 0,
                secret: SECRET,
                group: commit,
            };
            for _ in 0..*records {
                let mut batch = Batch::new(commit);
                batch.put(Table::Registrations, "k", vec![fill; 1_500]);
                chain = encode_frame(&mut bytes, place, commit, chain, &batch);
                commit += 1;
            }
        }
        bytes
    }

    fn walk_all(bytes: &[u8], synced: bool) -> (u64, Tail) {
        let (mut cursor, mut count) = (START, 0);
        let tail = walk(bytes, SECRET, &mut cursor, synced, |_, _| count += 1);
        (count, tail)
    }

    #[test]
    fn a_kill_at_any_byte_leaves_a_torn_tail_and_no_damage() {
        let bytes = write(&[1, 2]);
        for length in 0..bytes.len() {
            let (_, tail) = walk_all(&bytes[..length], true);
            assert!(
                !matches!(tail, Tail::Damaged { .. }),
                "cut at {length}: {tail:?}"
            );
        }
        assert_eq!(walk_all(&bytes, true), (3, Tail::Clean));
    }

    #[test]
    fn a_flipped_bit_never_drops_a_record_silently() {
        // A value of zeros must not make a damaged record look like a power cut.
        for sound in [write(&[1, 2]), write_filled(&[1, 2], 0)] {
            for bit in (0..sound.len() * 8).step_by(3) {
                let mut bytes = sound.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                let (count, tail) = walk_all(&bytes, true);
                let all = count == 3 && tail == Tail::Clean;
                assert!(
                    all || matches!(tail, Tail::Damaged { .. }),
                    "{bit}: {count} {tail:?}"
                );
            }
        }
    }

    #[test]
    fn a_page_missing_from_the_last_group_is_a_power_cut() {
        let sound = write(&[1, 3]);
        let one = sound.len() / 4;
        // Zero each sector of the unsynced group in turn: never damage, the first record stays.
        for sector in one.div_ceil(512)..sound.len() / 512 {
            let mut bytes = sound.clone();
            bytes[sector * 512..(sector + 1) * 512].fill(0);
            let (count, tail) = walk_all(&bytes, true);
            assert!(
                count >= 1 && tail == Tail::Torn,
                "sector {sector}: {count} {tail:?}"
            );
        }
    }

    #[test]
    fn a_page_missing_from_a_synced_group_is_damage() {
        let mut bytes = write(&[1, 1]);
        bytes[512..1024].fill(0);
        assert_eq!(walk_all(&bytes, true), (0, Tail::Damaged { later: 2 }));
        // Without syncs the same bytes are what a power cut may leave.
        assert_eq!(walk_all(&bytes, false), (0, Tail::Torn));
    }

    #[test]
    fn a_header_reads_back_and_shows_damage() {
        let header = Header {
            first: 5,
            before: 1,
            before_last: 4,
            chain: 9,
            at_ms: 3,
            secret: 4,
        };
        let bytes = header.encode();
        assert_eq!(Header::parse(&bytes), Ok(header));
        assert_eq!(Header::parse(&bytes[..20]), Err(HeaderBad::Unfinished));
        assert_eq!(
            Header::parse(&[0; HEADER_BYTES]),
            Err(HeaderBad::Unfinished)
        );
        for bit in 0..HEADER_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::parse(&flipped).is_err());
        }
        assert_eq!(segment_first("00000000000000000017.log"), Some(17));
        assert_eq!(segment_first("17.log"), None);
    }
}
