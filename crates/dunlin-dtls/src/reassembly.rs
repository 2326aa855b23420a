//! Handshake messages from fragments that come in any order, twice, or not at all
//! (RFC 6347 §4.2.3), within bounds that no peer can move.

use alloc::vec::Vec;

use crate::message::{Fragment, encode_whole};

/// Messages ahead of the next one that are kept. The longest flight has six.
const AHEAD_MAX: u16 = 8;
/// Pieces of one message with holes between them.
const HOLES_MAX: usize = 32;

/// A whole message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Message {
    pub(crate) kind: u8,
    pub(crate) number: u16,
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// The bytes that enter the transcript.
    pub(crate) fn hashed(&self) -> Vec<u8> {
        encode_whole(self.kind, self.number, &self.body)
    }
}

/// What became of a fragment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Taken {
    /// Kept.
    New,
    /// Of a message that was taken out before: the peer repeats a flight.
    Repeated,
    /// Beyond a limit.
    Refused,
}

struct Part {
    kind: u8,
    number: u16,
    /// Came under protection: such a part gives way to no other.
    protected: bool,
    body: Vec<u8>,
    /// Ranges present, sorted and apart.
    present: Vec<(usize, usize)>,
}

impl Part {
    fn is_whole(&self) -> bool {
        self.body.is_empty() || self.present == [(0, self.body.len())]
    }

    /// False if there would be too many holes.
    fn fill(&mut self, offset: usize, bytes: &[u8]) -> bool {
        let end = offset + bytes.len();
        self.body[offset..end].copy_from_slice(bytes);
        self.present.push((offset, end));
        self.present.sort_unstable();
        let mut merged: Vec<(usize, usize)> = Vec::with_capacity(self.present.len());
        for &(from, to) in &self.present {
            match merged.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => merged.push((from, to)),
            }
        }
        self.present = merged;
        self.present.len() <= HOLES_MAX
    }
}

/// The messages of one direction of one handshake.
pub(crate) struct Reassembly {
    next: u16,
    bytes_max: usize,
    parts: Vec<Part>,
}

impl Reassembly {
    /// `next` is the number of the message expected first; no more than `bytes_max` bytes of
    /// bodies are kept.
    pub(crate) fn new(next: u16, bytes_max: usize) -> Reassembly {
        Reassembly {
            next,
            bytes_max,
            parts: Vec::new(),
        }
    }

    /// Takes a fragment. One that contradicts what is there of the same message replaces it, as
    /// either may be the forged one; unless only the older was protected.
    pub(crate) fn take(&mut self, fragment: &Fragment<'_>, protected: bool) -> Taken {
        if fragment.number < self.next {
            return Taken::Repeated;
        }
        if fragment.number - self.next >= AHEAD_MAX {
            return Taken::Refused;
        }
        let known = self
            .parts
            .iter()
            .position(|part| part.number == fragment.number);
        if let Some(at) = known {
            let part = &self.parts[at];
            if part.protected && !protected {
                return Taken::Refused;
            }
            let agrees = part.kind == fragment.kind
                && part.body.len() == fragment.length
                && part.protected == protected;
            if !agrees {
                self.parts.swap_remove(at);
                return self.take(fragment, protected);
            }
            if !self.parts[at].fill(fragment.offset, fragment.body) {
                self.parts.swap_remove(at);
                return Taken::Refused;
            }
            return Taken::New;
        }
        let kept: usize = self.parts.iter().map(|part| part.body.len()).sum();
        if kept + fragment.length > self.bytes_max {
            return Taken::Refused;
        }
        let mut part = Part {
            kind: fragment.kind,
            number: fragment.number,
            protected,
            body: alloc::vec![0; fragment.length],
            present: Vec::new(),
        };
        part.fill(fragment.offset, fragment.body);
        self.parts.push(part);
        Taken::New
    }

    /// The next message, once it is whole. It counts as received; `await_again` undoes that.
    pub(crate) fn next(&mut self) -> Option<Message> {
        let at = self
            .parts
            .iter()
            .position(|part| part.number == self.next && part.is_whole())?;
        let part = self.parts.swap_remove(at);
        self.next += 1;
        Some(Message {
            kind: part.kind,
            number: part.number,
            body: part.body,
        })
    }

    /// The message taken out last was no good: wait for its next copy.
    pub(crate) fn await_again(&mut self) {
        self.next -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fragment(number: u16, offset: usize, body: &[u8]) -> Fragment<'_> {
        Fragment {
            kind: 11,
            length: 10,
            number,
            offset,
            body,
        }
    }

    #[test]
    fn fragments_join_in_any_order() {
        let mut reassembly = Reassembly::new(1, 100);
        assert_eq!(reassembly.take(&fragment(1, 6, b"6789"), false), Taken::New);
        assert_eq!(reassembly.take(&fragment(1, 0, b"0123"), false), Taken::New);
        assert!(reassembly.next().is_none());
        assert_eq!(
            reassembly.take(&fragment(1, 2, b"23456"), false),
            Taken::New
        );
        assert_eq!(reassembly.next().unwrap().body, b"0123456789");
        assert_eq!(
            reassembly.take(&fragment(1, 2, b"23456"), false),
            Taken::Repeated
        );
    }

    #[test]
    fn a_message_comes_out_only_when_those_before_it_have() {
        let mut reassembly = Reassembly::new(0, 100);
        reassembly.take(&fragment(1, 0, b"0123456789"), false);
        assert!(reassembly.next().is_none());
        reassembly.take(&fragment(0, 0, b"abcdefghij"), false);
        assert_eq!(reassembly.next().unwrap().number, 0);
        assert_eq!(reassembly.next().unwrap().number, 1);
    }

    #[test]
    fn memory_is_bounded() {
        let mut reassembly = Reassembly::new(0, 25);
        assert_eq!(reassembly.take(&fragment(0, 0, b""), false), Taken::New);
        assert_eq!(reassembly.take(&fragment(1, 0, b""), false), Taken::New);
        assert_eq!(reassembly.take(&fragment(2, 0, b""), false), Taken::Refused);
        assert_eq!(reassembly.take(&fragment(8, 0, b""), false), Taken::Refused);
        let huge = Fragment {
            length: 0xff_ffff,
            ..fragment(2, 0, b"")
        };
        assert_eq!(reassembly.take(&huge, false), Taken::Refused);
    }

    #[test]
    fn a_protected_part_gives_way_to_no_unprotected_one() {
        let mut reassembly = Reassembly::new(0, 100);
        reassembly.take(&fragment(0, 0, b"01234"), true);
        assert_eq!(
            reassembly.take(&fragment(0, 5, b"xxxxx"), false),
            Taken::Refused
        );
        reassembly.take(&fragment(0, 5, b"56789"), true);
        assert_eq!(reassembly.next().unwrap().body, b"0123456789");
    }

    #[test]
    fn a_bad_message_can_come_again() {
        let mut reassembly = Reassembly::new(0, 100);
        reassembly.take(&fragment(0, 0, b"0123456789"), false);
        reassembly.next().unwrap();
        reassembly.await_again();
        assert_eq!(
            reassembly.take(&fragment(0, 0, b"0123456789"), false),
            Taken::New
        );
        assert!(reassembly.next().is_some());
    }

    proptest! {
        #[test]
        fn any_order_of_any_pieces_gives_the_message(
            pieces in prop::collection::vec((0usize..10, 1usize..10), 0..40),
        ) {
            let whole = b"0123456789";
            let mut reassembly = Reassembly::new(0, 100);
            let mut got = [false; 10];
            for (from, length) in pieces {
                let to = (from + length).min(10);
                reassembly.take(&fragment(0, from, &whole[from..to]), false);
                got[from..to].fill(true);
            }
            let message = reassembly.next();
            prop_assert_eq!(message.is_some(), got == [true; 10]);
            if let Some(message) = message {
                prop_assert_eq!(message.body, whole.to_vec());
            }
        }
    }
}
