//! Handshake messages: their bytes, and nothing about when they are allowed. A file per message;
//! `codec` reads and writes vectors, `extension` what both hellos carry.

pub(crate) mod certificate;
pub(crate) mod certificate_request;
pub(crate) mod client_hello;
pub(crate) mod codec;
pub(crate) mod extension;
pub(crate) mod hello_verify_request;
pub(crate) mod key_exchange;
pub(crate) mod server_hello;
pub(crate) mod session_ticket;
pub(crate) mod signature;

use alloc::vec::Vec;

use codec::{Malformed, Reader};

/// Message types (RFC 5246 §7.4, RFC 6347 §4.3.2, RFC 5077 §3.3).
pub(crate) mod kind {
    pub(crate) const CLIENT_HELLO: u8 = 1;
    pub(crate) const SERVER_HELLO: u8 = 2;
    pub(crate) const HELLO_VERIFY_REQUEST: u8 = 3;
    pub(crate) const NEW_SESSION_TICKET: u8 = 4;
    pub(crate) const CERTIFICATE: u8 = 11;
    pub(crate) const SERVER_KEY_EXCHANGE: u8 = 12;
    pub(crate) const CERTIFICATE_REQUEST: u8 = 13;
    pub(crate) const SERVER_HELLO_DONE: u8 = 14;
    pub(crate) const CERTIFICATE_VERIFY: u8 = 15;
    pub(crate) const CLIENT_KEY_EXCHANGE: u8 = 16;
    pub(crate) const FINISHED: u8 = 20;
}

/// Type, length, message number, fragment offset, fragment length (RFC 6347 §4.2.2).
pub(crate) const HEADER_LENGTH: usize = 12;
/// The body of a Finished message.
pub(crate) const VERIFY_DATA_LENGTH: usize = 12;

/// A piece of a message as one record carries it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fragment<'a> {
    pub(crate) kind: u8,
    /// Length of the whole body.
    pub(crate) length: usize,
    pub(crate) number: u16,
    pub(crate) offset: usize,
    pub(crate) body: &'a [u8],
}

impl<'a> Fragment<'a> {
    /// Reads the next fragment of a record.
    pub(crate) fn decode(reader: &mut Reader<'a>) -> Result<Fragment<'a>, Malformed> {
        let kind = reader.u8()?;
        let length = reader.u24()?;
        let number = reader.u16()?;
        let offset = reader.u24()?;
        let body = reader.vector24()?;
        if offset + body.len() > length {
            return Err(reader.malformed("a fragment beyond the end of its message"));
        }
        Ok(Fragment {
            kind,
            length,
            number,
            offset,
            body,
        })
    }

    /// True if the message is whole in this fragment.
    pub(crate) fn is_whole(&self) -> bool {
        self.body.len() == self.length
    }
}

/// Appends a fragment: the part `from..to` of a message's body.
pub(crate) fn encode_fragment(
    out: &mut Vec<u8>,
    kind: u8,
    number: u16,
    body: &[u8],
    from: usize,
    to: usize,
) {
    out.push(kind);
    codec::put_u24(out, body.len());
    codec::put_u16(out, number);
    codec::put_u24(out, from);
    codec::put_u24(out, to - from);
    out.extend_from_slice(&body[from..to]);
}

/// The message as if sent in one fragment: the form that is hashed (RFC 6347 §4.2.6).
pub(crate) fn encode_whole(kind: u8, number: u16, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_LENGTH + body.len());
    encode_fragment(&mut out, kind, number, body, 0, body.len());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_fragment_may_not_reach_beyond_its_message() {
        let mut bytes = Vec::new();
        encode_fragment(&mut bytes, kind::FINISHED, 3, b"0123456789ab", 4, 8);
        let fragment = Fragment::decode(&mut Reader::new(&bytes)).unwrap();
        assert_eq!(
            (fragment.offset, fragment.body, fragment.length),
            (4, &b"4567"[..], 12)
        );
        bytes[8] = 9;
        assert!(Fragment::decode(&mut Reader::new(&bytes)).is_err());
    }

    proptest! {
        #[test]
        fn decode_never_panics(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            while let Ok(fragment) = Fragment::decode(&mut reader) {
                prop_assert!(fragment.offset + fragment.body.len() <= fragment.length);
            }
        }
    }
}
