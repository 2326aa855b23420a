//! Options of CoAP: their numbers and what the standards say of each (RFC 7252 §5.4 and §5.10).
//!
//! [`Options`] reads the encoded form in place, [`OptionList`] owns one; neither allocates per option,
//! and options without a name here are kept like the others.

mod list;
mod view;

pub use list::OptionList;
pub(crate) use list::put_option;
pub use view::{OptionRef, Options, Segments};

use core::fmt;

/// The number of an option.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OptionNumber(pub u16);

/// How the value of an option is to be read (RFC 7252 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Always of length zero.
    Empty,
    /// Bytes without inner order.
    Opaque,
    /// An unsigned number in network order; leading zeros are accepted and not sent.
    Uint,
    /// UTF-8 text.
    Text,
}

/// What a standard says of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Its number.
    pub number: OptionNumber,
    /// Its registered name.
    pub name: &'static str,
    /// Whether it may come more than once.
    pub repeatable: bool,
    /// How its value is read.
    pub format: Format,
    /// The least and the greatest length of its value, in bytes.
    pub length: (u16, u16),
}

macro_rules! options {
    ($($name:ident = $number:literal $text:literal $repeatable:literal $format:ident $least:literal $most:literal $source:literal;)*) => {
        impl OptionNumber {
            $(
                #[doc = concat!($text, " (", $source, ").")]
                pub const $name: OptionNumber = OptionNumber($number);
            )*

            /// What the standards say of this number; `None` for one this crate does not know.
            pub const fn definition(self) -> Option<&'static Definition> {
                match self.0 {
                    $($number => Some(&Definition {
                        number: OptionNumber($number),
                        name: $text,
                        repeatable: $repeatable,
                        format: Format::$format,
                        length: ($least, $most),
                    }),)*
                    _ => None,
                }
            }

            /// Every option this crate knows, by rising number.
            pub const KNOWN: &'static [OptionNumber] = &[$(OptionNumber::$name),*];
        }
    };
}

options! {
    IF_MATCH = 1 "If-Match" true Opaque 0 8 "RFC 7252 §5.10.8.1";
    URI_HOST = 3 "Uri-Host" false Text 1 255 "RFC 7252 §5.10.1";
    ETAG = 4 "ETag" true Opaque 1 8 "RFC 7252 §5.10.6";
    IF_NONE_MATCH = 5 "If-None-Match" false Empty 0 0 "RFC 7252 §5.10.8.2";
    OBSERVE = 6 "Observe" false Uint 0 3 "RFC 7641 §2";
    URI_PORT = 7 "Uri-Port" false Uint 0 2 "RFC 7252 §5.10.1";
    LOCATION_PATH = 8 "Location-Path" true Text 0 255 "RFC 7252 §5.10.7";
    OSCORE = 9 "OSCORE" false Opaque 0 255 "RFC 8613 §2";
    URI_PATH = 11 "Uri-Path" true Text 0 255 "RFC 7252 §5.10.1";
    CONTENT_FORMAT = 12 "Content-Format" false Uint 0 2 "RFC 7252 §5.10.3";
    MAX_AGE = 14 "Max-Age" false Uint 0 4 "RFC 7252 §5.10.5";
    URI_QUERY = 15 "Uri-Query" true Text 0 255 "RFC 7252 §5.10.1";
    HOP_LIMIT = 16 "Hop-Limit" false Uint 1 1 "RFC 8768 §3";
    ACCEPT = 17 "Accept" false Uint 0 2 "RFC 7252 §5.10.4";
    Q_BLOCK1 = 19 "Q-Block1" false Uint 0 3 "RFC 9177 §4.1";
    LOCATION_QUERY = 20 "Location-Query" true Text 0 255 "RFC 7252 §5.10.7";
    BLOCK2 = 23 "Block2" false Uint 0 3 "RFC 7959 §2.1";
    BLOCK1 = 27 "Block1" false Uint 0 3 "RFC 7959 §2.1";
    SIZE2 = 28 "Size2" false Uint 0 4 "RFC 7959 §4";
    Q_BLOCK2 = 31 "Q-Block2" true Uint 0 3 "RFC 9177 §4.1";
    PROXY_URI = 35 "Proxy-Uri" false Text 1 1034 "RFC 7252 §5.10.2";
    PROXY_SCHEME = 39 "Proxy-Scheme" false Text 1 255 "RFC 7252 §5.10.2";
    SIZE1 = 60 "Size1" false Uint 0 4 "RFC 7252 §5.10.9";
    ECHO = 252 "Echo" false Opaque 1 40 "RFC 9175 §2.2.1";
    NO_RESPONSE = 258 "No-Response" false Uint 0 1 "RFC 7967 §2";
    REQUEST_TAG = 292 "Request-Tag" true Opaque 0 8 "RFC 9175 §3.2.1";
}

impl OptionNumber {
    /// Whether a message must be refused when this option is not understood (RFC 7252 §5.4.1).
    pub const fn is_critical(self) -> bool {
        self.0 & 1 == 1
    }

    /// Whether a proxy that does not understand it must not forward it (RFC 7252 §5.4.2).
    pub const fn is_unsafe_to_forward(self) -> bool {
        self.0 & 2 == 2
    }

    /// Whether it stands outside the key by which two requests are the same (RFC 7252 §5.4.6).
    pub const fn is_no_cache_key(self) -> bool {
        self.0 & 0x1e == 0x1c
    }

    /// Its registered name; `None` for a number this crate does not know.
    pub const fn name(self) -> Option<&'static str> {
        match self.definition() {
            Some(definition) => Some(definition.name),
            None => None,
        }
    }
}

impl fmt::Display for OptionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "Option {}", self.0),
        }
    }
}

impl fmt::Debug for OptionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The value of a number as an option carries it: no leading zeros, nothing at all for 0.
pub(crate) struct UintValue {
    bytes: [u8; 4],
    skip: u8,
}

impl UintValue {
    pub(crate) fn new(value: u32) -> Self {
        Self {
            bytes: value.to_be_bytes(),
            skip: (value.leading_zeros() / 8) as u8,
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[usize::from(self.skip)..]
    }
}

/// Reads a number as a recipient must: leading zeros are fine (RFC 7252 §3.2). `None` past 32 bits.
pub(crate) fn uint(value: &[u8]) -> Option<u32> {
    let first = value.iter().position(|&b| b != 0).unwrap_or(value.len());
    let significant = &value[first..];
    if significant.len() > 4 {
        return None;
    }
    Some(
        significant
            .iter()
            .fold(0, |number, &byte| number << 8 | u32::from(byte)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc7252_5_4_1_classes_come_from_the_number() {
        for (number, critical, unsafe_to_forward, no_cache_key) in [
            (OptionNumber::IF_MATCH, true, false, false),
            (OptionNumber::ETAG, false, false, false),
            (OptionNumber::OBSERVE, false, true, false),
            (OptionNumber::URI_PATH, true, true, false),
            (OptionNumber::MAX_AGE, false, true, false),
            (OptionNumber::BLOCK1, true, true, false),
            (OptionNumber::SIZE1, false, false, true),
            (OptionNumber::SIZE2, false, false, true),
            (OptionNumber::ECHO, false, false, true),
            (OptionNumber::REQUEST_TAG, false, false, false),
        ] {
            assert_eq!(number.is_critical(), critical, "{number}");
            assert_eq!(number.is_unsafe_to_forward(), unsafe_to_forward, "{number}");
            assert_eq!(number.is_no_cache_key(), no_cache_key, "{number}");
        }
    }

    #[test]
    fn numbers_are_shortest_when_sent_and_lenient_when_read() {
        assert_eq!(UintValue::new(0).as_bytes(), b"");
        assert_eq!(UintValue::new(255).as_bytes(), [255]);
        assert_eq!(UintValue::new(256).as_bytes(), [1, 0]);
        assert_eq!(UintValue::new(u32::MAX).as_bytes(), [255; 4]);
        assert_eq!(uint(&[]), Some(0));
        assert_eq!(uint(&[0, 0, 0, 0, 0, 7]), Some(7));
        assert_eq!(uint(&[1, 0, 0, 0, 0]), None);
    }

    #[test]
    fn known_options_rise() {
        assert!(OptionNumber::KNOWN.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(OptionNumber(65000).name(), None);
    }
}
