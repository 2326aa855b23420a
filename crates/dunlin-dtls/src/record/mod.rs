//! The record layer: what a datagram is cut into (RFC 6347 §4.1, RFC 9146 §4).
//!
//! Here is only the spelling. Keys and sequence numbers live in `association`, the memory of
//! numbers already seen in `window`.

pub(crate) mod cid;
pub(crate) mod window;

use alloc::vec::Vec;

use cid::{ConnectionId, OWN_CID_LENGTH};

/// Content types (RFC 5246 §6.2.1, RFC 9146 §9).
pub(crate) mod content_type {
    pub(crate) const CHANGE_CIPHER_SPEC: u8 = 20;
    pub(crate) const ALERT: u8 = 21;
    pub(crate) const HANDSHAKE: u8 = 22;
    pub(crate) const APPLICATION_DATA: u8 = 23;
    pub(crate) const TLS12_CID: u8 = 25;
}

/// Header without a Connection ID.
pub(crate) const HEADER_LENGTH: usize = 13;
/// Header with one of our Connection IDs.
#[cfg(feature = "certificates")]
pub(crate) const OWN_CID_HEADER_LENGTH: usize = HEADER_LENGTH + OWN_CID_LENGTH;
/// DTLS 1.2.
pub(crate) const VERSION_1_2: [u8; 2] = [0xfe, 0xfd];
/// DTLS 1.0: first ClientHellos and HelloVerifyRequests may carry it.
pub(crate) const VERSION_1_0: [u8; 2] = [0xfe, 0xff];
/// Sequence numbers have 48 bits.
pub(crate) const SEQUENCE_MAX: u64 = (1 << 48) - 1;
/// No record may hold more plaintext (RFC 5246 §6.2.1).
pub(crate) const PLAINTEXT_MAX: usize = 1 << 14;

/// One record as it lies in the datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) content_type: u8,
    pub(crate) version: [u8; 2],
    /// Epoch and sequence number as on the wire.
    pub(crate) number: [u8; 8],
    /// Present exactly if the content type is `tls12_cid`.
    pub(crate) cid: Option<ConnectionId>,
    pub(crate) fragment: &'a [u8],
}

impl<'a> Record<'a> {
    /// Cuts the first record off; nothing if the bytes do not begin with a whole one. Records
    /// under a Connection ID are read as under one of ours.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<(Record<'a>, &'a [u8])> {
        let (header, rest) = bytes.split_first_chunk::<11>()?;
        if header[1] != VERSION_1_2[0] || !matches!(header[2], 0xfd | 0xff) {
            return None;
        }
        let content_type = header[0];
        let (cid, rest) = if content_type == content_type::TLS12_CID {
            let (cid, rest) = rest.split_first_chunk::<OWN_CID_LENGTH>()?;
            (Some(ConnectionId(*cid)), rest)
        } else {
            (None, rest)
        };
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (fragment, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        let mut number = [0; 8];
        number.copy_from_slice(&header[3..]);
        let version = [header[1], header[2]];
        Some((
            Record {
                content_type,
                version,
                number,
                cid,
                fragment,
            },
            rest,
        ))
    }

    pub(crate) fn epoch(&self) -> u16 {
        u16::from_be_bytes([self.number[0], self.number[1]])
    }

    pub(crate) fn sequence(&self) -> u64 {
        u64::from_be_bytes(self.number) & SEQUENCE_MAX
    }
}

/// Epoch and sequence number as on the wire.
pub(crate) fn number(epoch: u16, sequence: u64) -> [u8; 8] {
    let mut number = sequence.to_be_bytes();
    number[..2].copy_from_slice(&epoch.to_be_bytes());
    number
}

/// Appends a header without a Connection ID and with a length yet to come; the answer is where.
pub(crate) fn begin(
    out: &mut Vec<u8>,
    content_type: u8,
    version: [u8; 2],
    number: [u8; 8],
    cid: &[u8],
) -> usize {
    out.push(content_type);
    out.extend_from_slice(&version);
    out.extend_from_slice(&number);
    out.extend_from_slice(cid);
    let at = out.len();
    out.extend_from_slice(&[0, 0]);
    at
}

/// Fills in the length of the record begun at `at`.
pub(crate) fn end(out: &mut [u8], at: usize) {
    let length = out.len() - at - 2;
    out[at..at + 2].copy_from_slice(&(length as u16).to_be_bytes());
}

/// Appends a whole unprotected record.
pub(crate) fn encode_plain(
    out: &mut Vec<u8>,
    content_type: u8,
    version: [u8; 2],
    sequence: u64,
    fragment: &[u8],
) {
    let at = begin(out, content_type, version, number(0, sequence), &[]);
    out.extend_from_slice(fragment);
    end(out, at);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn records_of_one_datagram_are_cut_one_by_one() {
        let mut datagram = Vec::new();
        encode_plain(
            &mut datagram,
            content_type::HANDSHAKE,
            VERSION_1_0,
            5,
            b"abc",
        );
        encode_plain(
            &mut datagram,
            content_type::ALERT,
            VERSION_1_2,
            SEQUENCE_MAX,
            b"",
        );
        let (first, rest) = Record::decode(&datagram).unwrap();
        assert_eq!(
            (first.epoch(), first.sequence(), first.fragment),
            (0, 5, &b"abc"[..])
        );
        let (second, rest) = Record::decode(rest).unwrap();
        assert_eq!(
            (second.sequence(), second.fragment),
            (SEQUENCE_MAX, &b""[..])
        );
        assert!(rest.is_empty());
    }

    #[test]
    fn rfc9146_4_a_connection_id_stands_between_number_and_length() {
        let mut datagram = Vec::new();
        let at = begin(&mut datagram, 25, VERSION_1_2, number(1, 2), b"12345678");
        datagram.push(7);
        end(&mut datagram, at);
        let (record, _) = Record::decode(&datagram).unwrap();
        assert_eq!(record.cid, Some(ConnectionId(*b"12345678")));
        assert_eq!(
            (record.epoch(), record.sequence(), record.fragment),
            (1, 2, &[7][..])
        );
    }

    #[test]
    fn what_is_cut_short_is_no_record() {
        let mut datagram = Vec::new();
        encode_plain(
            &mut datagram,
            content_type::HANDSHAKE,
            VERSION_1_2,
            5,
            b"abc",
        );
        for length in 0..datagram.len() {
            assert_eq!(Record::decode(&datagram[..length]), None);
        }
        datagram[1] = 3;
        assert_eq!(Record::decode(&datagram), None);
    }

    proptest! {
        #[test]
        fn decode_never_panics_and_keeps_every_byte(bytes: Vec<u8>) {
            if let Some((record, rest)) = Record::decode(&bytes) {
                let header = bytes.len() - rest.len() - record.fragment.len();
                prop_assert_eq!(header, if record.cid.is_some() { 21 } else { 13 });
            }
        }
    }
}
