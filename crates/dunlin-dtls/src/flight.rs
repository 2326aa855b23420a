//! What is sent together and retransmitted together (RFC 6347 §4.2.4): messages cut into records
//! and packed into datagrams, and the timer that sends them again.

use alloc::vec::Vec;
use core::time::Duration;

use crate::Instant;
use crate::association::Association;
use crate::message::{self, encode_fragment, kind};
use crate::record::{self, HEADER_LENGTH, SEQUENCE_MAX, VERSION_1_2, content_type};
use crate::settings::DATAGRAM_MIN;

/// Waits do not double beyond this (RFC 6347 §4.2.4.1).
const INTERVAL_MAX: Duration = Duration::from_secs(60);
/// A peer that repeats its flight gets ours again this often; more would let it amplify.
pub(crate) const RESENDS_MAX: u8 = 8;
/// A smaller piece than this is not worth a record header: start a new datagram.
const PIECE_MIN: usize = 32;

/// One thing of a flight.
pub(crate) enum Item {
    /// A message without protection.
    Message {
        kind: u8,
        number: u16,
        body: Vec<u8>,
    },
    /// Not a handshake message, and without a number.
    ChangeCipherSpec,
    /// The one message under protection.
    Finished { number: u16, body: Vec<u8> },
}

/// How large things may be.
#[derive(Clone, Copy)]
pub(crate) struct Packing {
    /// Bytes of one datagram.
    pub(crate) datagram_max: usize,
    /// Bytes of plaintext in one record.
    pub(crate) plaintext_max: usize,
}

/// The flight we sent last, and its timer.
pub(crate) struct Flight {
    items: Vec<Item>,
    /// The next record number of epoch 0.
    next_sequence: u64,
    interval_first: Duration,
    interval: Duration,
    sent_at: Instant,
    deadline: Option<Instant>,
    retransmissions: u8,
    resends: u8,
}

impl Flight {
    /// Nothing sent yet; records of epoch 0 will count from `next_sequence`.
    pub(crate) fn new(next_sequence: u64, interval_first: Duration) -> Flight {
        Flight {
            items: Vec::new(),
            next_sequence,
            interval_first,
            interval: interval_first,
            sent_at: Instant::ZERO,
            deadline: None,
            retransmissions: 0,
            resends: 0,
        }
    }

    /// Forgets what was sent: the peer has answered it.
    pub(crate) fn begin(&mut self) {
        self.items.clear();
        self.retransmissions = 0;
        self.resends = 0;
        self.interval = self.interval_first;
    }

    pub(crate) fn push(&mut self, item: Item) {
        self.items.push(item);
    }

    /// When to send it again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Sends it for the first time and starts the timer.
    pub(crate) fn send(
        &mut self,
        now: Instant,
        packing: Packing,
        keys: Option<&mut Association>,
        datagrams: &mut Vec<Vec<u8>>,
    ) {
        self.sent_at = now;
        self.deadline = Some(now + self.interval);
        self.write(packing, keys, datagrams);
    }

    /// The timer ran out: sends again and waits twice as long. False if that was often enough.
    pub(crate) fn retransmit(
        &mut self,
        now: Instant,
        count_max: u8,
        packing: Packing,
        keys: Option<&mut Association>,
        datagrams: &mut Vec<Vec<u8>>,
    ) -> bool {
        if self.retransmissions >= count_max {
            return false;
        }
        self.retransmissions += 1;
        self.interval = (self.interval * 2).min(INTERVAL_MAX);
        self.send(now, packing, keys, datagrams);
        true
    }

    /// The peer repeated its flight, so ours is lost: sends again, but neither at once after the
    /// last time (copies of one datagram) nor without end. False if not sent.
    pub(crate) fn resend(
        &mut self,
        now: Instant,
        packing: Packing,
        keys: Option<&mut Association>,
        datagrams: &mut Vec<Vec<u8>>,
    ) -> bool {
        let soon = now < self.sent_at + self.interval_first / 4;
        if self.items.is_empty() || soon || self.resends >= RESENDS_MAX {
            return false;
        }
        self.resends += 1;
        self.sent_at = now;
        self.write(packing, keys, datagrams);
        true
    }

    /// What remains to be kept when this flight was the last of the handshake.
    pub(crate) fn into_final(self, client_random: &[u8; 32]) -> FinalFlight {
        FinalFlight {
            items: self.items,
            next_sequence: self.next_sequence,
            resends: 0,
            client_random: *client_random,
        }
    }

    fn write(
        &mut self,
        packing: Packing,
        keys: Option<&mut Association>,
        datagrams: &mut Vec<Vec<u8>>,
    ) {
        write_items(
            &self.items,
            &mut self.next_sequence,
            packing,
            keys,
            datagrams,
        );
    }
}

/// The last flight of a handshake, kept by who sent it until the peer shows that it came.
pub(crate) struct FinalFlight {
    items: Vec<Item>,
    next_sequence: u64,
    resends: u8,
    /// By this a late copy of the ClientHello is known.
    pub(crate) client_random: [u8; 32],
}

impl FinalFlight {
    /// Writes it again, within the limit.
    pub(crate) fn resend(
        &mut self,
        packing: Packing,
        keys: &mut Association,
        datagrams: &mut Vec<Vec<u8>>,
    ) {
        if self.resends < RESENDS_MAX {
            self.resends += 1;
            write_items(
                &self.items,
                &mut self.next_sequence,
                packing,
                Some(keys),
                datagrams,
            );
        }
    }
}

fn write_items(
    items: &[Item],
    next_sequence: &mut u64,
    packing: Packing,
    mut keys: Option<&mut Association>,
    datagrams: &mut Vec<Vec<u8>>,
) {
    let mut packer = Packer {
        max: packing.datagram_max.max(DATAGRAM_MIN),
        plaintext_max: packing.plaintext_max,
        current: Vec::new(),
        next_sequence,
        datagrams,
    };
    for item in items {
        match item {
            // A server need not keep state for a ClientHello in pieces, so ours is never one.
            Item::Message {
                kind: kind::CLIENT_HELLO,
                number,
                body,
            } => {
                packer.piece(kind::CLIENT_HELLO, *number, body, 0, body.len());
            }
            Item::Message { kind, number, body } => packer.message(*kind, *number, body),
            Item::ChangeCipherSpec => packer.change_cipher_spec(),
            Item::Finished { number, body } => {
                let keys = keys
                    .as_deref_mut()
                    .expect("keys come before the first Finished");
                packer.finished(*number, body, keys);
            }
        }
    }
    packer.flush();
}

/// Fills datagrams.
struct Packer<'a> {
    max: usize,
    plaintext_max: usize,
    current: Vec<u8>,
    next_sequence: &'a mut u64,
    datagrams: &'a mut Vec<Vec<u8>>,
}

impl Packer<'_> {
    fn message(&mut self, kind: u8, number: u16, body: &[u8]) {
        let overhead = HEADER_LENGTH + message::HEADER_LENGTH;
        let mut from = 0;
        loop {
            let left = body.len() - from;
            if self.room() < overhead + left.min(PIECE_MIN) {
                self.flush();
            }
            let piece_max = (self.room() - overhead).min(
                self.plaintext_max
                    .saturating_sub(message::HEADER_LENGTH)
                    .max(PIECE_MIN),
            );
            let to = from + left.min(piece_max);
            self.piece(kind, number, body, from, to);
            from = to;
            if from == body.len() {
                return;
            }
        }
    }

    fn piece(&mut self, kind: u8, number: u16, body: &[u8], from: usize, to: usize) {
        let at = self.begin(content_type::HANDSHAKE);
        encode_fragment(&mut self.current, kind, number, body, from, to);
        record::end(&mut self.current, at);
    }

    fn change_cipher_spec(&mut self) {
        if self.room() < HEADER_LENGTH + 1 {
            self.flush();
        }
        let at = self.begin(content_type::CHANGE_CIPHER_SPEC);
        self.current.push(1);
        record::end(&mut self.current, at);
    }

    fn finished(&mut self, number: u16, body: &[u8], keys: &mut Association) {
        let whole = message::encode_whole(kind::FINISHED, number, body);
        let mut sealed = Vec::new();
        // A Finished that finds no number left is simply lost; a fresh epoch always has some.
        if keys
            .seal(content_type::HANDSHAKE, &whole, &mut sealed)
            .is_err()
        {
            return;
        }
        if self.room() < sealed.len() {
            self.flush();
        }
        self.current.extend_from_slice(&sealed);
    }

    fn begin(&mut self, content_type: u8) -> usize {
        let sequence = (*self.next_sequence).min(SEQUENCE_MAX);
        *self.next_sequence = sequence + 1;
        let number = record::number(0, sequence);
        record::begin(&mut self.current, content_type, VERSION_1_2, number, &[])
    }

    fn room(&self) -> usize {
        self.max.saturating_sub(self.current.len())
    }

    fn flush(&mut self) {
        if !self.current.is_empty() {
            self.datagrams.push(core::mem::take(&mut self.current));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::association::tests::pair;
    use crate::crypto::suite::CipherSuite;
    use crate::message::Fragment;
    use crate::message::codec::Reader;
    use crate::reassembly::Reassembly;
    use crate::record::Record;
    use alloc::vec;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn certificates(lengths: &[usize]) -> Flight {
        let mut flight = Flight::new(3, SECOND);
        for (number, length) in lengths.iter().enumerate() {
            let body = (0..*length).map(|at| (at % 251) as u8).collect();
            let number = number as u16;
            flight.push(Item::Message {
                kind: kind::CERTIFICATE,
                number,
                body,
            });
        }
        flight
    }

    fn packing(datagram_max: usize, plaintext_max: usize) -> Packing {
        Packing {
            datagram_max,
            plaintext_max,
        }
    }

    #[test]
    fn rfc6347_4_2_4_1_waits_double_and_end() {
        let mut flight = certificates(&[10]);
        let mut datagrams = Vec::new();
        flight.send(SECOND, packing(500, 500), None, &mut datagrams);
        assert_eq!(flight.deadline(), Some(2 * SECOND));
        assert!(flight.retransmit(2 * SECOND, 2, packing(500, 500), None, &mut datagrams));
        assert_eq!(flight.deadline(), Some(4 * SECOND));
        assert!(flight.retransmit(4 * SECOND, 2, packing(500, 500), None, &mut datagrams));
        assert_eq!(flight.deadline(), Some(8 * SECOND));
        assert!(!flight.retransmit(8 * SECOND, 2, packing(500, 500), None, &mut datagrams));
        assert_eq!(datagrams.len(), 3);
    }

    #[test]
    fn every_sending_takes_new_record_numbers() {
        let mut flight = certificates(&[10, 10]);
        let mut datagrams = Vec::new();
        flight.send(SECOND, packing(500, 500), None, &mut datagrams);
        flight.retransmit(2 * SECOND, 5, packing(500, 500), None, &mut datagrams);
        let numbers: Vec<u64> = datagrams
            .iter()
            .flat_map(|datagram| {
                let (first, rest) = Record::decode(datagram).unwrap();
                [first.sequence(), Record::decode(rest).unwrap().0.sequence()]
            })
            .collect();
        assert_eq!(numbers, [3, 4, 5, 6]);
    }

    #[test]
    fn a_peer_that_repeats_itself_is_answered_within_limits() {
        let mut flight = certificates(&[10]);
        let mut datagrams = Vec::new();
        let packing = packing(500, 500);
        flight.send(Instant::ZERO, packing, None, &mut datagrams);
        assert!(!flight.resend(Instant::ZERO, packing, None, &mut datagrams));
        let answered =
            (1..100).filter(|n| flight.resend(SECOND * *n, packing, None, &mut datagrams));
        assert_eq!(answered.count(), usize::from(RESENDS_MAX));
    }

    #[test]
    fn a_finished_is_sealed_anew_each_time() {
        let (mut client, mut server) = pair(CipherSuite::PskAes128Ccm8, None);
        let mut flight = Flight::new(0, SECOND);
        flight.push(Item::ChangeCipherSpec);
        flight.push(Item::Finished {
            number: 4,
            body: vec![9; 12],
        });
        let mut datagrams = Vec::new();
        flight.send(SECOND, packing(500, 500), Some(&mut client), &mut datagrams);
        flight.retransmit(
            SECOND,
            1,
            packing(500, 500),
            Some(&mut client),
            &mut datagrams,
        );
        for datagram in &datagrams {
            let (spec, rest) = Record::decode(datagram).unwrap();
            assert_eq!((spec.content_type, spec.fragment), (20, &[1][..]));
            let (finished, _) = Record::decode(rest).unwrap();
            assert_eq!(server.open(&finished).unwrap().plaintext[12..], [9; 12]);
        }
    }

    proptest! {
        #[test]
        fn datagrams_fit_and_join_again(
            lengths in prop::collection::vec(0usize..3000, 1..5),
            datagram_max in DATAGRAM_MIN..1500,
            plaintext_max in 64usize..2000,
        ) {
            let mut flight = certificates(&lengths);
            let mut datagrams = Vec::new();
            flight.send(SECOND, packing(datagram_max, plaintext_max), None, &mut datagrams);
            let mut reassembly = Reassembly::new(0, 20_000);
            for datagram in &datagrams {
                prop_assert!(datagram.len() <= datagram_max);
                let mut rest = &datagram[..];
                while let Some((record, more)) = Record::decode(rest) {
                    prop_assert!(record.fragment.len() <= plaintext_max);
                    let fragment = Fragment::decode(&mut Reader::new(record.fragment)).unwrap();
                    reassembly.take(&fragment, false);
                    rest = more;
                }
                prop_assert!(rest.is_empty());
            }
            for length in lengths {
                prop_assert_eq!(reassembly.next().unwrap().body.len(), length);
            }
        }
    }
}
