//! Fuzz targets: hostile bytes in, a property asserted. Plain functions, so that the corpus can be
//! replayed by any test.

use crate::log::frame::{Body, Place, encode_frame};
use crate::log::segment::{Cursor, HEADER_BYTES, Header, walk};
use crate::position::Position;
use crate::record::{Record, decode_record, encode_record};

const SECRET: u64 = 1;

/// A segment of the log: what reads is in order and does not overlap, and no record is made up.
pub fn walk_segment(bytes: &[u8]) {
    let _ = Header::parse(bytes);
    let start = Cursor {
        offset: HEADER_BYTES.min(bytes.len()),
        commit: 1,
        chain: 0,
    };
    let (mut cursor, mut at) = (start, start.offset);
    for synced in [true, false] {
        cursor = start;
        at = start.offset;
        walk(bytes, SECRET, &mut cursor, synced, |from, frame| {
            assert!(from.offset == at && frame.end <= bytes.len());
            at = frame.end;
        });
    }
    assert_eq!(cursor.offset, at);
}

/// The body of a record: what reads is written again to the same bytes.
pub fn record_body(bytes: &[u8]) {
    let Ok(batch) = Body::parse(bytes).and_then(Body::to_batch) else {
        return;
    };
    let mut out = Vec::new();
    let place = Place {
        base: 0,
        secret: SECRET,
        group: 1,
    };
    encode_frame(&mut out, place, 1, 0, &batch);
    let mut cursor = Cursor {
        offset: 0,
        commit: 1,
        chain: 0,
    };
    let mut again = None;
    walk(&out, SECRET, &mut cursor, true, |_, frame| {
        again = Some(frame.body.to_vec())
    });
    assert_eq!(again.as_deref(), Some(bytes));
}

/// A position: one spelling.
pub fn parse_position(bytes: &[u8]) {
    let Ok(text) = core::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(position) = text.parse::<Position>() {
        assert_eq!(position.to_string().parse(), Ok(position));
    }
}

/// Any record type: decoding after encoding what was decoded is identity.
pub fn record<R: Record + PartialEq + core::fmt::Debug>(bytes: &[u8]) {
    let Ok(record) = decode_record::<R>(bytes) else {
        return;
    };
    assert_eq!(decode_record(&encode_record(&record)), Ok(record));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Batch, Table};
    use proptest::prelude::*;

    fn sound() -> Vec<u8> {
        let header = Header {
            first: 1,
            before: 0,
            before_last: 0,
            chain: 0,
            at_ms: 0,
            secret: SECRET,
        };
        let mut bytes = header.encode().to_vec();
        let mut chain = 0;
        for commit in 1..4 {
            let mut batch = Batch::new(commit);
            batch.put(Table::Meta, "key", vec![0; 700]);
            batch.tell("event");
            let mut out = Vec::new();
            let place = Place {
                base: bytes.len() as u64,
                secret: SECRET,
                group: commit,
            };
            chain = encode_frame(&mut out, place, commit, chain, &batch);
            bytes.extend(out);
        }
        bytes
    }

    proptest! {
        #[test]
        fn hostile_segments(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            walk_segment(&bytes);
            record_body(&bytes);
            parse_position(&bytes);
        }

        #[test]
        fn segments_that_were_changed(at in 0usize..2500, with: Vec<u8>, cut in 0usize..100) {
            let mut bytes = sound();
            let at = at.min(bytes.len());
            let end = (at + cut).min(bytes.len());
            bytes.splice(at..end, with);
            walk_segment(&bytes);
        }
    }
}
