//! Codes of CoAP: methods, response codes and the empty code (RFC 7252 §12.1, RFC 8132, RFC 7959 §6,
//! RFC 8516). A code is one byte, three bits of class and five of detail; any byte can be carried, and
//! whether it means something is asked with the methods below.

use core::fmt;

/// The code of a message, `c.dd`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub u8);

/// What kind of message a code announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// 0.00, a message without anything.
    Empty,
    /// 0.01 to 0.31.
    Request,
    /// Classes 2, 4 and 5.
    Response,
    /// Classes 1, 3, 6 and 7: nothing a datagram may carry (RFC 7252 §4.2, §4.3).
    Reserved,
}

macro_rules! codes {
    ($($name:ident = $class:literal . $detail:literal, $text:literal;)*) => {
        impl Code {
            $(
                #[doc = concat!("`", $class, ".", $detail, "` ", $text, ".")]
                pub const $name: Code = Code($class << 5 | $detail);
            )*

            /// The registered name, such as `Content`; `None` for a code without one.
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $(Code::$name => Some($text),)*
                    _ => None,
                }
            }

            /// Every code with a registered name that this crate knows.
            pub const NAMED: &'static [Code] = &[$(Code::$name),*];
        }
    };
}

codes! {
    EMPTY = 0 . 0, "Empty";
    GET = 0 . 1, "GET";
    POST = 0 . 2, "POST";
    PUT = 0 . 3, "PUT";
    DELETE = 0 . 4, "DELETE";
    FETCH = 0 . 5, "FETCH";
    PATCH = 0 . 6, "PATCH";
    IPATCH = 0 . 7, "iPATCH";
    CREATED = 2 . 1, "Created";
    DELETED = 2 . 2, "Deleted";
    VALID = 2 . 3, "Valid";
    CHANGED = 2 . 4, "Changed";
    CONTENT = 2 . 5, "Content";
    CONTINUE = 2 . 31, "Continue";
    BAD_REQUEST = 4 . 0, "Bad Request";
    UNAUTHORIZED = 4 . 1, "Unauthorized";
    BAD_OPTION = 4 . 2, "Bad Option";
    FORBIDDEN = 4 . 3, "Forbidden";
    NOT_FOUND = 4 . 4, "Not Found";
    METHOD_NOT_ALLOWED = 4 . 5, "Method Not Allowed";
    NOT_ACCEPTABLE = 4 . 6, "Not Acceptable";
    REQUEST_ENTITY_INCOMPLETE = 4 . 8, "Request Entity Incomplete";
    CONFLICT = 4 . 9, "Conflict";
    PRECONDITION_FAILED = 4 . 12, "Precondition Failed";
    REQUEST_ENTITY_TOO_LARGE = 4 . 13, "Request Entity Too Large";
    UNSUPPORTED_CONTENT_FORMAT = 4 . 15, "Unsupported Content-Format";
    UNPROCESSABLE_ENTITY = 4 . 22, "Unprocessable Entity";
    TOO_MANY_REQUESTS = 4 . 29, "Too Many Requests";
    INTERNAL_SERVER_ERROR = 5 . 0, "Internal Server Error";
    NOT_IMPLEMENTED = 5 . 1, "Not Implemented";
    BAD_GATEWAY = 5 . 2, "Bad Gateway";
    SERVICE_UNAVAILABLE = 5 . 3, "Service Unavailable";
    GATEWAY_TIMEOUT = 5 . 4, "Gateway Timeout";
    PROXYING_NOT_SUPPORTED = 5 . 5, "Proxying Not Supported";
    HOP_LIMIT_REACHED = 5 . 8, "Hop Limit Reached";
}

impl Code {
    /// The three upper bits, 0 to 7.
    pub const fn class_number(self) -> u8 {
        self.0 >> 5
    }

    /// The five lower bits, 0 to 31.
    pub const fn detail(self) -> u8 {
        self.0 & 0x1f
    }

    /// What kind of message this code announces.
    pub const fn class(self) -> Class {
        match (self.class_number(), self.detail()) {
            (0, 0) => Class::Empty,
            (0, _) => Class::Request,
            (2 | 4 | 5, _) => Class::Response,
            _ => Class::Reserved,
        }
    }

    /// Whether this is a method, known or not.
    pub const fn is_request(self) -> bool {
        matches!(self.class(), Class::Request)
    }

    /// Whether this is a response code, known or not.
    pub const fn is_response(self) -> bool {
        matches!(self.class(), Class::Response)
    }

    /// Whether this is a response of class 2.
    pub const fn is_success(self) -> bool {
        self.class_number() == 2
    }

    /// Whether a request with this method may be run twice with the effect of once (RFC 7252 §5.1,
    /// RFC 8132 §2 and §3). Unknown methods are not.
    pub const fn is_idempotent(self) -> bool {
        matches!(
            self,
            Code::GET | Code::PUT | Code::DELETE | Code::FETCH | Code::IPATCH
        )
    }
}

impl fmt::Display for Code {
    /// `2.05`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.class_number(), self.detail())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{self} {name}"),
            None => write!(f, "{self}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn bytes_and_text_of_the_standard() {
        for (code, byte, text) in [
            (Code::POST, 0x02, "0.02"),
            (Code::CREATED, 0x41, "2.01"),
            (Code::CONTENT, 0x45, "2.05"),
            (Code::CONTINUE, 0x5f, "2.31"),
            (Code::REQUEST_ENTITY_TOO_LARGE, 0x8d, "4.13"),
            (Code::TOO_MANY_REQUESTS, 0x9d, "4.29"),
            (Code::PROXYING_NOT_SUPPORTED, 0xa5, "5.05"),
        ] {
            assert_eq!(code.0, byte);
            assert_eq!(code.to_string(), text);
        }
        assert_eq!(Code::CONTENT.name(), Some("Content"));
        assert_eq!(Code(0x46).name(), None);
    }

    #[test]
    fn classes_follow_the_three_upper_bits() {
        for byte in 0..=255u8 {
            let expected = match byte >> 5 {
                0 if byte == 0 => Class::Empty,
                0 => Class::Request,
                2 | 4 | 5 => Class::Response,
                _ => Class::Reserved,
            };
            assert_eq!(Code(byte).class(), expected, "{byte:#x}");
        }
        assert!(!Code::POST.is_idempotent() && !Code::PATCH.is_idempotent());
        assert!(Code::GET.is_idempotent() && Code::IPATCH.is_idempotent());
    }
}
