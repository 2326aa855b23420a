//! One record of the log: a commit with its events and its facts, between two markers.
//!
//! ```text
//! head  magic, body length, commit, group, sum, zero sectors, check   48 bytes
//! body  time, events, facts                                            as long as the head says
//! foot  the same fields with another magic                             48 bytes
//! ```
//!
//! - `sum` covers the body and is seeded with the sum of the record before, so that a record that
//!   is missing, doubled or moved breaks the chain.
//! - `check` covers the marker itself, seeded with the secret of the data folder, so that bytes
//!   which a Client sends cannot look like a marker.
//! - The marker stands twice so that damage can be told from a write that a crash cut off. One
//!   flipped bit hits one marker, and the other one tells that the record was complete; a
//!   record that was never finished has no foot. See [`crate::log::segment`].
//! - `group` is the first commit of the records that were written and synced together.
//! - `zero sectors` counts the sectors of the file inside this record that are zero by right. A
//!   power cut leaves zeros where a page was not written yet; more of them than counted here tell it
//!   from a record that merely carries zeros.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::batch::{BATCH_ITEMS_MAX, Batch, Fact, Table};

/// The length of a head or foot.
pub(crate) const MARKER_BYTES: usize = 48;

/// What disks write as one. A power cut leaves whole ones of them unwritten.
pub(crate) const SECTOR_BYTES: usize = 512;

const HEAD_MAGIC: [u8; 4] = *b"dnH1";
const FOOT_MAGIC: [u8; 4] = *b"dnF1";

/// A head or a foot that has passed its check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marker {
    pub(crate) is_head: bool,
    pub(crate) body_bytes: u32,
    pub(crate) commit: u64,
    pub(crate) group: u64,
    pub(crate) sum: u64,
    pub(crate) zero_sectors: u32,
}

impl Marker {
    /// The marker at this offset, if there is a sound one.
    pub(crate) fn parse(bytes: &[u8], at: usize, secret: u64) -> Option<Marker> {
        let bytes = bytes.get(at..at.checked_add(MARKER_BYTES)?)?;
        let is_head = match bytes[..4] {
            ref magic if *magic == HEAD_MAGIC => true,
            ref magic if *magic == FOOT_MAGIC => false,
            _ => return None,
        };
        if xxh3_64_with_seed(&bytes[..40], secret) != u64_at(bytes, 40) {
            return None;
        }
        Some(Marker {
            is_head,
            body_bytes: u32_at(bytes, 4),
            commit: u64_at(bytes, 8),
            group: u64_at(bytes, 16),
            sum: u64_at(bytes, 24),
            zero_sectors: u32_at(bytes, 32),
        })
    }

    fn encode(&self, secret: u64) -> [u8; MARKER_BYTES] {
        let mut bytes = [0; MARKER_BYTES];
        bytes[..4].copy_from_slice(if self.is_head {
            &HEAD_MAGIC
        } else {
            &FOOT_MAGIC
        });
        bytes[4..8].copy_from_slice(&self.body_bytes.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.commit.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.group.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.sum.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.zero_sectors.to_le_bytes());
        let check = xxh3_64_with_seed(&bytes[..40], secret);
        bytes[40..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// True when a marker's magic begins here; a cheap look before [`Marker::parse`].
    pub(crate) fn may_begin(bytes: &[u8]) -> bool {
        bytes.starts_with(b"dn")
    }
}

/// The sum of a body: what the next record's sum is seeded with.
fn sum_of(body: &[u8], chain: u64, commit: u64) -> u64 {
    xxh3_64_with_seed(body, chain.wrapping_add(xxh3_64(&commit.to_le_bytes())))
}

/// Where the bytes of a buffer will stand in the file, and by what they are bound to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// The offset in the file of the first byte of the buffer.
    pub(crate) base: u64,
    /// The secret of the data folder.
    pub(crate) secret: u64,
    /// The first commit that is written together with this one.
    pub(crate) group: u64,
}

/// Appends the record of a batch and returns its sum.
pub(crate) fn encode_frame(
    out: &mut Vec<u8>,
    place: Place,
    commit: u64,
    chain: u64,
    batch: &Batch,
) -> u64 {
    let Place {
        base,
        secret,
        group,
    } = place;
    let head_at = out.len();
    out.extend_from_slice(&[0; MARKER_BYTES]);
    let body_at = out.len();
    encode_body(out, batch);
    let sum = sum_of(&out[body_at..], chain, commit);
    let body_bytes = u32::try_from(out.len() - body_at).expect("BATCH_BYTES_MAX holds");
    let zero_sectors = count_zero_sectors(&out[body_at..], base + body_at as u64);
    let mut marker = Marker {
        is_head: true,
        body_bytes,
        commit,
        group,
        sum,
        zero_sectors,
    };
    out[head_at..body_at].copy_from_slice(&marker.encode(secret));
    marker.is_head = false;
    out.extend_from_slice(&marker.encode(secret));
    sum
}

/// How many whole sectors of the file are zero in `bytes`, which stand at `offset`.
fn count_zero_sectors(bytes: &[u8], offset: u64) -> u32 {
    let sector = SECTOR_BYTES as u64;
    let skip = (offset.next_multiple_of(sector) - offset) as usize;
    let aligned = bytes.get(skip..).unwrap_or(&[]).chunks_exact(SECTOR_BYTES);
    let zero = aligned
        .filter(|sector| sector.iter().all(|byte| *byte == 0))
        .count();
    u32::try_from(zero).expect("BATCH_BYTES_MAX holds")
}

/// A sound record in a buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    pub(crate) commit: u64,
    pub(crate) sum: u64,
    pub(crate) body: &'a [u8],
    /// Where the next record begins.
    pub(crate) end: usize,
    /// One of the two markers was damaged; the other and the body vouch for the record.
    pub(crate) healed: bool,
}

/// Why there is no record at an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoFrame {
    /// The bytes end here.
    End,
    /// Something is here, and it is not the record that should be.
    Broken,
}

/// The record of `commit` at this offset.
pub(crate) fn read_frame(
    bytes: &[u8],
    at: usize,
    secret: u64,
    commit: u64,
    chain: u64,
) -> Result<Frame<'_>, NoFrame> {
    if at >= bytes.len() {
        return Err(NoFrame::End);
    }
    let head = Marker::parse(bytes, at, secret).filter(|m| m.is_head && m.commit == commit);
    let foot_at = match head {
        Some(head) => at + MARKER_BYTES + head.body_bytes as usize,
        None => find_foot(bytes, at, secret, commit).ok_or(NoFrame::Broken)?,
    };
    let foot = Marker::parse(bytes, foot_at, secret).filter(|m| !m.is_head && m.commit == commit);
    let marker = head.or(foot).ok_or(NoFrame::Broken)?;
    let end = foot_at + MARKER_BYTES;
    if end > bytes.len() {
        return Err(NoFrame::Broken);
    }
    let body = &bytes[at + MARKER_BYTES..foot_at];
    if sum_of(body, chain, commit) != marker.sum {
        return Err(NoFrame::Broken);
    }
    let healed = head.is_none() || foot.is_none();
    Ok(Frame {
        commit,
        sum: marker.sum,
        body,
        end,
        healed,
    })
}

/// The foot that belongs to a record whose head, at `at`, does not read.
fn find_foot(bytes: &[u8], at: usize, secret: u64, commit: u64) -> Option<usize> {
    let first = at + MARKER_BYTES;
    (first..bytes.len().saturating_sub(MARKER_BYTES - 1)).find(|&foot_at| {
        Marker::may_begin(&bytes[foot_at..])
            && Marker::parse(bytes, foot_at, secret).is_some_and(|m| {
                let body_at = foot_at.checked_sub(m.body_bytes as usize);
                !m.is_head && m.commit == commit && body_at == Some(first)
            })
    })
}

fn encode_body(out: &mut Vec<u8>, batch: &Batch) {
    out.extend_from_slice(&batch.at_ms.to_le_bytes());
    put_count(out, batch.events.len());
    put_count(out, batch.facts.len());
    for event in &batch.events {
        put_bytes(out, event);
    }
    for fact in &batch.facts {
        out.push(fact.table() as u8);
        put_bytes(out, fact.key());
        match fact.value() {
            Some(value) => {
                out.push(1);
                put_bytes(out, value);
            }
            None => out.push(0),
        }
    }
}

/// The body, read piece by piece; nothing is copied until it is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Body<'a> {
    pub(crate) at_ms: u64,
    pub(crate) event_count: u32,
    fact_count: u32,
    rest: &'a [u8],
}

/// The sum of a body was right and its contents do not read: a mistake of the writer, or a format
/// from the future.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BodyMalformed;

impl<'a> Body<'a> {
    pub(crate) fn parse(body: &'a [u8]) -> Result<Body<'a>, BodyMalformed> {
        let mut reader = Reader(body);
        let at_ms = u64_at(reader.take(8)?, 0);
        let (event_count, fact_count) = (reader.u32()?, reader.u32()?);
        if event_count as usize > BATCH_ITEMS_MAX || fact_count as usize > BATCH_ITEMS_MAX {
            return Err(BodyMalformed);
        }
        Ok(Body {
            at_ms,
            event_count,
            fact_count,
            rest: reader.0,
        })
    }

    /// Calls back with each event, and returns what follows the last one.
    pub(crate) fn events(
        &self,
        mut event: impl FnMut(u32, &'a [u8]),
    ) -> Result<BodyFacts<'a>, BodyMalformed> {
        let mut reader = Reader(self.rest);
        for index in 0..self.event_count {
            event(index, reader.bytes()?);
        }
        Ok(BodyFacts {
            count: self.fact_count,
            rest: reader.0,
        })
    }

    /// All of it as a batch again.
    pub(crate) fn to_batch(self) -> Result<Batch, BodyMalformed> {
        let mut batch = Batch::new(self.at_ms);
        let facts = self.events(|_, event| batch.events.push(event.to_vec()))?;
        batch.facts = facts.read()?;
        Ok(batch)
    }
}

/// The facts of a body, which follow its events.
pub(crate) struct BodyFacts<'a> {
    count: u32,
    rest: &'a [u8],
}

impl BodyFacts<'_> {
    pub(crate) fn read(&self) -> Result<Vec<Fact>, BodyMalformed> {
        let mut reader = Reader(self.rest);
        // The count comes from the disk: grow with what is really there.
        let mut facts = Vec::new();
        for _ in 0..self.count {
            let table = Table::from_number(reader.take(1)?[0]).ok_or(BodyMalformed)?;
            let key = reader.bytes()?;
            facts.push(match reader.take(1)?[0] {
                0 => Fact::delete(table, key),
                1 => Fact::put(table, key, reader.bytes()?),
                _ => return Err(BodyMalformed),
            });
        }
        if reader.0.is_empty() {
            Ok(facts)
        } else {
            Err(BodyMalformed)
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], BodyMalformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(BodyMalformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, BodyMalformed> {
        Ok(u32_at(self.take(4)?, 0))
    }

    fn bytes(&mut self) -> Result<&'a [u8], BodyMalformed> {
        let count = self.u32()? as usize;
        self.take(count)
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("BATCH_ITEMS_MAX holds");
    out.extend_from_slice(&count.to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_count(out, bytes.len());
    out.extend_from_slice(bytes);
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECRET: u64 = 0x1234_5678_9abc_def0;
    const PLACE: Place = Place {
        base: 64,
        secret: SECRET,
        group: 5,
    };

    fn sample() -> Batch {
        let mut batch = Batch::new(77);
        batch.put(Table::Registrations, "node-1", "value");
        batch.delete(Table::Requests, "old");
        batch.tell("registered");
        batch.tell("");
        batch
    }

    #[test]
    fn a_frame_reads_back_and_is_bound_to_its_place() {
        let mut bytes = Vec::new();
        let sum = encode_frame(&mut bytes, PLACE, 5, 9, &sample());
        let frame = read_frame(&bytes, 0, SECRET, 5, 9).expect("sound");
        assert_eq!(
            (frame.sum, frame.end, frame.healed),
            (sum, bytes.len(), false)
        );
        let body = Body::parse(frame.body).expect("sound");
        assert_eq!(body.to_batch(), Ok(sample()));
        assert_eq!(
            read_frame(&bytes, 0, SECRET, 6, 9).err(),
            Some(NoFrame::Broken)
        );
        assert_eq!(
            read_frame(&bytes, 0, SECRET, 5, 8).err(),
            Some(NoFrame::Broken)
        );
        assert_eq!(
            read_frame(&bytes, 0, SECRET + 1, 5, 9).err(),
            Some(NoFrame::Broken)
        );
        assert_eq!(
            read_frame(&bytes, bytes.len(), SECRET, 6, sum).err(),
            Some(NoFrame::End)
        );
    }

    #[test]
    fn one_flipped_bit_is_healed_in_a_marker_and_found_in_a_body() {
        let mut sound = Vec::new();
        encode_frame(&mut sound, PLACE, 5, 9, &sample());
        for bit in 0..sound.len() * 8 {
            let mut bytes = sound.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let in_marker = bit / 8 < MARKER_BYTES || bit / 8 >= sound.len() - MARKER_BYTES;
            match read_frame(&bytes, 0, SECRET, 5, 9) {
                Ok(frame) => assert!(in_marker && frame.healed, "bit {bit}"),
                Err(_) => assert!(!in_marker, "bit {bit}"),
            }
        }
    }

    #[test]
    fn a_frame_that_was_cut_off_is_no_frame() {
        let mut sound = Vec::new();
        encode_frame(&mut sound, PLACE, 5, 9, &sample());
        for length in 1..sound.len() {
            assert!(
                read_frame(&sound[..length], 0, SECRET, 5, 9).is_err(),
                "{length}"
            );
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_frame(&bytes, 0, SECRET, 1, 0);
            if let Ok(body) = Body::parse(&bytes) {
                let _ = body.to_batch();
            }
        }
    }
}
