//! A CoAP message in one datagram (RFC 7252 §3): four bytes of header, token, options, payload.

use alloc::vec::Vec;

use crate::code::Code;
use crate::message::{Message, MessageId, MessageType, Token};
use crate::option::Options;

/// The length of the fixed header.
pub const HEADER_LENGTH: usize = 4;

/// The version every message must have (RFC 7252 §3).
const VERSION: u8 = 1;

/// What is wrong with a datagram, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset}: {what}")]
pub struct Malformed {
    /// The byte at which reading stopped.
    pub offset: usize,
    /// What is wrong there.
    pub what: What,
}

/// The ways in which a datagram breaks the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum What {
    /// Shorter than a header. Such a datagram is ignored.
    #[error("shorter than the header of four bytes")]
    HeaderTruncated,
    /// Another version than 1. Such a datagram is ignored (RFC 7252 §3).
    #[error("a version other than 1")]
    Version,
    /// A token length of 9 to 15 (RFC 7252 §3).
    #[error("a reserved token length")]
    TokenLength,
    /// The datagram ends in its token.
    #[error("the token reaches past the end")]
    TokenTruncated,
    /// A delta or a length of 15 that is no payload marker (RFC 7252 §3.1).
    #[error("a reserved option nibble")]
    OptionReservedNibble,
    /// The datagram ends in an option.
    #[error("an option reaches past the end")]
    OptionTruncated,
    /// The deltas sum up to more than an option number can be.
    #[error("an option number beyond 65535")]
    OptionNumberTooLarge,
    /// A payload marker with nothing behind it (RFC 7252 §3).
    #[error("a payload marker without a payload")]
    EmptyPayload,
    /// Code 0.00 with a token, options or payload (RFC 7252 §4.1).
    #[error("an empty message that is not empty")]
    EmptyMessageNotEmpty,
}

/// Reads the type and the Message ID alone, so that a malformed Confirmable message can be rejected.
/// `None` if the datagram has no header of version 1.
pub fn decode_header(bytes: &[u8]) -> Option<(MessageType, MessageId)> {
    if bytes.len() < HEADER_LENGTH || bytes[0] >> 6 != VERSION {
        return None;
    }
    let message_id = MessageId(u16::from_be_bytes([bytes[2], bytes[3]]));
    Some((MessageType::from_bits(bytes[0] >> 4), message_id))
}

/// Reads a datagram. The message borrows it.
///
/// # Errors
///
/// The first thing that breaks the format.
#[inline]
pub fn decode(bytes: &[u8]) -> Result<Message<'_>, Malformed> {
    let malformed = |offset, what| Err(Malformed { offset, what });
    if bytes.len() < HEADER_LENGTH {
        return malformed(bytes.len(), What::HeaderTruncated);
    }
    let Some((message_type, message_id)) = decode_header(bytes) else {
        return malformed(0, What::Version);
    };
    let code = Code(bytes[1]);
    let token_length = usize::from(bytes[0] & 0x0f);
    if token_length > Token::LENGTH_MAX {
        return malformed(0, What::TokenLength);
    }
    if code == Code::EMPTY && bytes.len() > HEADER_LENGTH {
        return malformed(HEADER_LENGTH, What::EmptyMessageNotEmpty);
    }
    if code == Code::EMPTY && token_length > 0 {
        return malformed(0, What::EmptyMessageNotEmpty);
    }
    let options_at = HEADER_LENGTH + token_length;
    let Some(token) = bytes.get(HEADER_LENGTH..options_at) else {
        return malformed(bytes.len(), What::TokenTruncated);
    };
    let token = Token::new(token).expect("its length was checked");
    let (options, end) = Options::decode(&bytes[options_at..]).map_err(|inner| Malformed {
        offset: inner.offset + options_at,
        ..inner
    })?;
    let marker_at = options_at + end;
    let payload = match bytes.get(marker_at + 1..) {
        Some([]) => return malformed(marker_at, What::EmptyPayload),
        Some(payload) => payload,
        None => &[],
    };
    Ok(Message {
        message_type,
        code,
        message_id,
        token,
        options,
        payload,
    })
}

/// Appends the message to `out`. A payload of no bytes is written without its marker.
#[inline]
pub fn encode(message: &Message<'_>, out: &mut Vec<u8>) {
    let Message {
        message_type,
        code,
        message_id,
        token,
        options,
        payload,
    } = message;
    out.reserve(HEADER_LENGTH + token.len() + options.as_encoded().len() + payload.len() + 1);
    put_header(out, *message_type, *code, *message_id, *token);
    out.extend_from_slice(options.as_encoded());
    put_payload(out, payload);
}

#[inline]
pub(crate) fn put_header(
    out: &mut Vec<u8>,
    message_type: MessageType,
    code: Code,
    message_id: MessageId,
    token: Token,
) {
    let first = VERSION << 6 | message_type.to_bits() << 4 | token.len() as u8;
    let [high, low] = message_id.0.to_be_bytes();
    out.extend_from_slice(&[first, code.0, high, low]);
    out.extend_from_slice(token.as_bytes());
}

#[inline]
pub(crate) fn put_payload(out: &mut Vec<u8>, payload: &[u8]) {
    if !payload.is_empty() {
        out.push(0xff);
        out.extend_from_slice(payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::option::{OptionList, OptionNumber};
    use alloc::vec;

    #[test]
    fn the_sms_trigger_of_the_annex_reads_as_execute_of_update_trigger() {
        let bytes = b"\x44\x02\xb6\x0b\x21\x61\xfb\x63\xb1\x31\x01\x30\x01\x38";
        let message = decode(bytes).unwrap();
        assert_eq!(message.message_type, MessageType::Confirmable);
        assert_eq!(message.code, Code::POST);
        assert_eq!(message.message_id, MessageId(0xb60b));
        assert_eq!(message.token.as_bytes(), [0x21, 0x61, 0xfb, 0x63]);
        let path: Vec<_> = message.options.uri_path().collect();
        assert_eq!(path, [b"1", b"0", b"8"]);
        let mut out = vec![];
        encode(&message, &mut out);
        assert_eq!(out, bytes);
    }

    #[test]
    fn rfc7252_3_format_errors_are_named() {
        for (bytes, offset, what) in [
            (&b""[..], 0, What::HeaderTruncated),
            (b"\x40\x01\x00", 3, What::HeaderTruncated),
            (b"\x00\x01\x00\x00", 0, What::Version),
            (b"\x80\x01\x00\x00", 0, What::Version),
            (b"\x49\x01\x00\x00123456789", 0, What::TokenLength),
            (b"\x4f\x01\x00\x00", 0, What::TokenLength),
            (b"\x42\x01\x00\x00\x01", 5, What::TokenTruncated),
            (b"\x40\x01\x00\x00\xff", 4, What::EmptyPayload),
            (b"\x40\x01\x00\x00\xb1a\xff", 6, What::EmptyPayload),
            (b"\x40\x01\x00\x00\xb1", 4, What::OptionTruncated),
            (b"\x40\x01\x00\x00\xf1a", 4, What::OptionReservedNibble),
            (b"\x41\x00\x00\x00", 0, What::EmptyMessageNotEmpty),
            (b"\x40\x00\x00\x00\x01", 4, What::EmptyMessageNotEmpty),
        ] {
            assert_eq!(decode(bytes), Err(Malformed { offset, what }), "{bytes:x?}");
        }
    }

    #[test]
    fn a_payload_may_hold_the_marker() {
        let mut options = OptionList::new();
        options.push_uint(OptionNumber::CONTENT_FORMAT, 42);
        let message = Message {
            message_type: MessageType::Acknowledgement,
            code: Code::CONTENT,
            message_id: MessageId(7),
            token: Token::new(b"ab").unwrap(),
            options: options.view(),
            payload: &[0xff, 0xff],
        };
        let mut out = vec![];
        encode(&message, &mut out);
        assert_eq!(out, b"\x62\x45\x00\x07ab\xc1\x2a\xff\xff\xff");
        assert_eq!(decode(&out), Ok(message));
    }
}
