//! Messages: the view over a received datagram, and the owned requests and responses that travel
//! between this crate and the layer above.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;

use crate::code::Code;
use crate::option::{OptionList, OptionNumber, Options};

/// The type of a message (RFC 7252 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageType {
    /// Asks to be acknowledged.
    Confirmable,
    /// Does not.
    NonConfirmable,
    /// Acknowledges a Confirmable message, with or without a response in it.
    Acknowledgement,
    /// Says that a message could not be made sense of.
    Reset,
}

impl MessageType {
    pub(crate) const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::Confirmable,
            1 => Self::NonConfirmable,
            2 => Self::Acknowledgement,
            _ => Self::Reset,
        }
    }

    pub(crate) const fn to_bits(self) -> u8 {
        match self {
            Self::Confirmable => 0,
            Self::NonConfirmable => 1,
            Self::Acknowledgement => 2,
            Self::Reset => 3,
        }
    }
}

impl fmt::Display for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Confirmable => "CON",
            Self::NonConfirmable => "NON",
            Self::Acknowledgement => "ACK",
            Self::Reset => "RST",
        })
    }
}

/// Names a message for the message layer alone (RFC 7252 §4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u16);

/// Ties a response to its request (RFC 7252 §5.3.1): 0 to 8 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Token {
    length: u8,
    bytes: [u8; Token::LENGTH_MAX],
}

impl Token {
    /// The longest token.
    pub const LENGTH_MAX: usize = 8;

    /// The token of no bytes.
    pub const EMPTY: Token = Token {
        length: 0,
        bytes: [0; 8],
    };

    /// A token of these bytes; `None` if there are more than eight.
    #[inline]
    pub fn new(token: &[u8]) -> Option<Self> {
        let mut bytes = [0; Self::LENGTH_MAX];
        bytes.get_mut(..token.len())?.copy_from_slice(token);
        Some(Self {
            length: token.len() as u8,
            bytes,
        })
    }

    /// Its bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        usize::from(self.length)
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({self})")
    }
}

/// One message; it borrows the datagram it was read from, or the parts it will be written from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its type.
    pub message_type: MessageType,
    /// Its code.
    pub code: Code,
    /// Its Message ID.
    pub message_id: MessageId,
    /// Its token.
    pub token: Token,
    /// Its options.
    pub options: Options<'a>,
    /// Its payload, empty if there is none.
    pub payload: &'a [u8],
}

impl fmt::Display for Message<'_> {
    /// One line that names everything but the payload: `CON 0.02 mid=b60b token=2161 [Uri-Path: rd] 0 bytes`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.message_type, self.code)?;
        write!(f, " mid={:04x} token={}", self.message_id.0, self.token)?;
        write!(f, " {:?} {} bytes", self.options, self.payload.len())
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The body of a request or a response: bytes of its own, or bytes shared by many (a firmware image that
/// thousands of peers fetch is held once).
#[derive(Clone)]
pub enum Payload {
    /// Bytes of its own.
    Owned(Vec<u8>),
    /// Bytes held elsewhere too.
    Shared(Arc<[u8]>),
}

impl Payload {
    /// No bytes.
    pub const EMPTY: Payload = Payload::Owned(Vec::new());

    /// The bytes as a vector; copies only if they are shared.
    pub fn into_vec(self) -> Vec<u8> {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Shared(bytes) => bytes.to_vec(),
        }
    }

    /// How many bytes this value alone holds in memory.
    pub(crate) fn held(&self) -> usize {
        match self {
            Self::Owned(bytes) => bytes.capacity(),
            Self::Shared(_) => 0,
        }
    }
}

impl Default for Payload {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Owned(bytes)
    }
}

impl From<&[u8]> for Payload {
    fn from(bytes: &[u8]) -> Self {
        Self::Owned(bytes.to_vec())
    }
}

impl<const N: usize> From<&[u8; N]> for Payload {
    fn from(bytes: &[u8; N]) -> Self {
        Self::Owned(bytes.to_vec())
    }
}

impl From<Arc<[u8]>> for Payload {
    fn from(bytes: Arc<[u8]>) -> Self {
        Self::Shared(bytes)
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Payload {}

impl fmt::Debug for Payload {
    /// The length alone: payloads are never logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

/// A request, as asked or as received. Received ones come whole: blocks are joined before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub code: Code,
    /// Its options. Block1, Block2 and Observe are the endpoint's to set; see each command.
    pub options: OptionList,
    /// Its body.
    pub payload: Payload,
}

impl Request {
    /// A request without options and body.
    pub fn new(code: Code) -> Self {
        Self {
            code,
            options: OptionList::new(),
            payload: Payload::EMPTY,
        }
    }

    /// Adds one option.
    #[must_use]
    pub fn with(mut self, number: OptionNumber, value: &[u8]) -> Self {
        self.options.push(number, value);
        self
    }

    /// Adds a Uri-Path option for each segment between slashes; an empty segment adds none.
    #[must_use]
    pub fn with_path(mut self, path: &str) -> Self {
        for segment in path.split('/').filter(|segment| !segment.is_empty()) {
            self.options
                .push(OptionNumber::URI_PATH, segment.as_bytes());
        }
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn with_payload(mut self, payload: impl Into<Payload>) -> Self {
        self.payload = payload.into();
        self
    }
}

/// A response, as given or as received. Received ones come whole: blocks are joined before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The response code.
    pub code: Code,
    /// Its options. Block1, Block2 and Observe are the endpoint's to set; see each command.
    pub options: OptionList,
    /// Its body.
    pub payload: Payload,
}

impl Response {
    /// A response without options and body. Allocates nothing.
    pub fn new(code: Code) -> Self {
        Self {
            code,
            options: OptionList::new(),
            payload: Payload::EMPTY,
        }
    }

    /// Adds one option.
    #[must_use]
    pub fn with(mut self, number: OptionNumber, value: &[u8]) -> Self {
        self.options.push(number, value);
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn with_payload(mut self, payload: impl Into<Payload>) -> Self {
        self.payload = payload.into();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_message_describes_itself_without_its_payload() {
        let request = Request::new(Code::POST)
            .with_path("/rd/5a3f")
            .with(OptionNumber::URI_QUERY, b"lt=60");
        let message = Message {
            message_type: MessageType::Confirmable,
            code: request.code,
            message_id: MessageId(0x1234),
            token: Token::new(&[0xab, 0x01]).unwrap(),
            options: request.options.view(),
            payload: b"secret",
        };
        assert_eq!(
            message.to_string(),
            "CON 0.02 mid=1234 token=ab01 [Uri-Path: rd, Uri-Path: 5a3f, Uri-Query: lt=60] 6 bytes"
        );
    }

    #[test]
    fn a_token_has_at_most_eight_bytes() {
        assert_eq!(Token::new(&[1; 9]), None);
        assert_eq!(Token::new(&[1; 8]).unwrap().len(), 8);
        assert!(Token::new(&[]).unwrap().is_empty());
        assert_ne!(Token::new(&[0]), Token::new(&[0, 0]));
    }
}
