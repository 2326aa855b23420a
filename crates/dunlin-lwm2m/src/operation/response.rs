//! Answers: the codes of TS 8.5 by their meaning, and what may come along.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::content_format::ContentFormat;

/// What the answer says. The list of TS 8.5, and the four codes that the CoAP layer below adds
/// (TS 8.5, RFC 7959 §2.9, RFC 7252 §5.9); nothing else is a valid LwM2M answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResponseCode {
    /// 2.01: registered, or an instance is there.
    Created,
    /// 2.02: gone.
    Deleted,
    /// 2.04: done.
    Changed,
    /// 2.05: here it is.
    Content,
    /// 2.31: the block is here, send the next one.
    Continue,
    /// 4.00: not understood, or not possible as asked.
    BadRequest,
    /// 4.01: no access right.
    Unauthorized,
    /// 4.02: a critical option was not understood.
    BadOption,
    /// 4.03: not allowed to register.
    Forbidden,
    /// 4.04: no such target.
    NotFound,
    /// 4.05: the target has no such operation.
    MethodNotAllowed,
    /// 4.06: not in that format; or an inconsistent configuration, to Bootstrap-Finish.
    NotAcceptable,
    /// 4.08: a block is missing.
    RequestEntityIncomplete,
    /// 4.12: the versions do not fit.
    PreconditionFailed,
    /// 4.13: too large.
    RequestEntityTooLarge,
    /// 4.15: the payload's format is not supported.
    UnsupportedContentFormat,
    /// 5.00: could not be done, and no other code says why.
    InternalServerError,
    /// 5.01: not in this implementation.
    NotImplemented,
    /// 5.03: not now; come again.
    ServiceUnavailable,
}

impl ResponseCode {
    /// Every code, in the order of its number.
    pub const ALL: [Self; 19] = [
        Self::Created,
        Self::Deleted,
        Self::Changed,
        Self::Content,
        Self::Continue,
        Self::BadRequest,
        Self::Unauthorized,
        Self::BadOption,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::RequestEntityIncomplete,
        Self::PreconditionFailed,
        Self::RequestEntityTooLarge,
        Self::UnsupportedContentFormat,
        Self::InternalServerError,
        Self::NotImplemented,
        Self::ServiceUnavailable,
    ];

    /// Class and detail: (2, 5) for 2.05.
    pub const fn class_and_detail(self) -> (u8, u8) {
        match self {
            Self::Created => (2, 1),
            Self::Deleted => (2, 2),
            Self::Changed => (2, 4),
            Self::Content => (2, 5),
            Self::Continue => (2, 31),
            Self::BadRequest => (4, 0),
            Self::Unauthorized => (4, 1),
            Self::BadOption => (4, 2),
            Self::Forbidden => (4, 3),
            Self::NotFound => (4, 4),
            Self::MethodNotAllowed => (4, 5),
            Self::NotAcceptable => (4, 6),
            Self::RequestEntityIncomplete => (4, 8),
            Self::PreconditionFailed => (4, 12),
            Self::RequestEntityTooLarge => (4, 13),
            Self::UnsupportedContentFormat => (4, 15),
            Self::InternalServerError => (5, 0),
            Self::NotImplemented => (5, 1),
            Self::ServiceUnavailable => (5, 3),
        }
    }

    /// The byte that CoAP sends: 0x45 for 2.05.
    pub const fn to_byte(self) -> u8 {
        let (class, detail) = self.class_and_detail();
        class << 5 | detail
    }

    /// From the byte that CoAP sends; `None` for codes that LwM2M does not use.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.to_byte() == byte)
    }

    /// Whether the request was done (2.xx).
    pub const fn is_success(self) -> bool {
        self.class_and_detail().0 == 2
    }

    /// The name that CoAP gives to the code.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "Created",
            Self::Deleted => "Deleted",
            Self::Changed => "Changed",
            Self::Content => "Content",
            Self::Continue => "Continue",
            Self::BadRequest => "Bad Request",
            Self::Unauthorized => "Unauthorized",
            Self::BadOption => "Bad Option",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "Not Found",
            Self::MethodNotAllowed => "Method Not Allowed",
            Self::NotAcceptable => "Not Acceptable",
            Self::RequestEntityIncomplete => "Request Entity Incomplete",
            Self::PreconditionFailed => "Precondition Failed",
            Self::RequestEntityTooLarge => "Request Entity Too Large",
            Self::UnsupportedContentFormat => "Unsupported Content-Format",
            Self::InternalServerError => "Internal Server Error",
            Self::NotImplemented => "Not Implemented",
            Self::ServiceUnavailable => "Service Unavailable",
        }
    }
}

impl fmt::Display for ResponseCode {
    /// `2.05`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (class, detail) = self.class_and_detail();
        write!(f, "{class}.{detail:02}")
    }
}

/// An answer, up or down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// What it says.
    pub code: ResponseCode,
    /// Where the new thing is: segments of the path, exactly as sent (Register, Create). Some
    /// Servers send `rd/5a3f` as one segment, so they are never split or joined.
    pub location: Vec<String>,
    /// How the payload is written; Clients leave it out when there is none, some always.
    pub format: Option<ContentFormat>,
    /// What was asked for; empty if nothing was.
    pub payload: Vec<u8>,
}

impl Response {
    /// A code and nothing else.
    pub const fn new(code: ResponseCode) -> Self {
        Self {
            code,
            location: Vec::new(),
            format: None,
            payload: Vec::new(),
        }
    }

    /// 2.05 with a payload.
    pub const fn content(format: ContentFormat, payload: Vec<u8>) -> Self {
        Self {
            code: ResponseCode::Content,
            location: Vec::new(),
            format: Some(format),
            payload,
        }
    }

    /// 2.01 with the place of what was created.
    pub const fn created(location: Vec<String>) -> Self {
        Self {
            code: ResponseCode::Created,
            location,
            format: None,
            payload: Vec::new(),
        }
    }
}

impl From<ResponseCode> for Response {
    fn from(code: ResponseCode) -> Self {
        Self::new(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn ts_8_5_codes_have_their_numbers() {
        for (code, byte, text) in [
            (ResponseCode::Created, 0x41, "2.01"),
            (ResponseCode::Deleted, 0x42, "2.02"),
            (ResponseCode::Changed, 0x44, "2.04"),
            (ResponseCode::Content, 0x45, "2.05"),
            (ResponseCode::Continue, 0x5f, "2.31"),
            (ResponseCode::BadRequest, 0x80, "4.00"),
            (ResponseCode::PreconditionFailed, 0x8c, "4.12"),
            (ResponseCode::UnsupportedContentFormat, 0x8f, "4.15"),
            (ResponseCode::InternalServerError, 0xa0, "5.00"),
        ] {
            assert_eq!(code.to_byte(), byte);
            assert_eq!(code.to_string(), text);
        }
        for code in ResponseCode::ALL {
            assert_eq!(ResponseCode::from_byte(code.to_byte()), Some(code));
        }
        // 2.03 and 4.29 exist in CoAP and mean nothing in LwM2M.
        assert_eq!(ResponseCode::from_byte(0x43), None);
        assert_eq!(ResponseCode::from_byte(0x9d), None);
    }
}
