//! Reading options in the encoded form, in place.

use core::fmt;

use super::{Format, OptionNumber, uint};
use crate::block::BlockValue;
use crate::wire::datagram::{Malformed, What};

/// One option as it stands in a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OptionRef<'a> {
    /// Its number.
    pub number: OptionNumber,
    /// Its value, as it came.
    pub value: &'a [u8],
}

impl<'a> OptionRef<'a> {
    /// The value as a number; `None` if it does not fit 32 bits.
    pub fn as_uint(&self) -> Option<u32> {
        uint(self.value)
    }

    /// The value as text; `None` if it is not UTF-8.
    pub fn as_text(&self) -> Option<&'a str> {
        core::str::from_utf8(self.value).ok()
    }

    /// Whether the value has a length that the definition allows; true for an unknown option.
    pub fn has_valid_length(&self) -> bool {
        self.number.definition().is_none_or(|definition| {
            let (least, most) = definition.length;
            (usize::from(least)..=usize::from(most)).contains(&self.value.len())
        })
    }
}

impl fmt::Display for OptionRef<'_> {
    /// `Uri-Path: rd`, `Block1: 3/1/64`, `Option 2049: 0a0b`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number)?;
        if matches!(self.number, OptionNumber::BLOCK1 | OptionNumber::BLOCK2)
            && let Some(block) = self.as_uint().and_then(BlockValue::from_uint)
        {
            return write!(f, ": {block}");
        }
        let format = self
            .number
            .definition()
            .map_or(Format::Opaque, |known| known.format);
        match (format, self.as_uint(), self.as_text()) {
            (Format::Empty, ..) if self.value.is_empty() => Ok(()),
            (Format::Uint, Some(number), _) => write!(f, ": {number}"),
            (Format::Text, _, Some(text)) => write!(f, ": {}", text.escape_debug()),
            _ => {
                f.write_str(": ")?;
                self.value
                    .iter()
                    .try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

impl fmt::Debug for OptionRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The options of a message in their encoded form, known to be well-formed. Copying it copies a slice.
///
/// The getters look from the start each time: a message has few options, and walking them costs less
/// than filing them. Where an option may come once only, a getter gives the first one.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Options<'a> {
    encoded: &'a [u8],
}

impl<'a> Options<'a> {
    /// No options.
    pub const EMPTY: Options<'static> = Options { encoded: &[] };

    /// Checks the option part of a message, up to the payload marker or the end. Gives the options and
    /// the place of the first byte behind them, which is the marker if it is there.
    ///
    /// # Errors
    ///
    /// An option reaches past the end, uses a reserved nibble, or has a number beyond 65535.
    pub fn decode(bytes: &'a [u8]) -> Result<(Self, usize), Malformed> {
        let mut at = 0;
        let mut number = 0u32;
        while let Some(&first) = bytes.get(at) {
            if first == 0xff {
                break;
            }
            let option_at = at;
            at += 1;
            let delta = extended(first >> 4, bytes, &mut at).map_err(|what| Malformed {
                offset: option_at,
                what,
            })?;
            let length = extended(first & 0x0f, bytes, &mut at).map_err(|what| Malformed {
                offset: option_at,
                what,
            })?;
            number += delta;
            if number > u32::from(u16::MAX) {
                return Err(Malformed {
                    offset: option_at,
                    what: What::OptionNumberTooLarge,
                });
            }
            at += length as usize;
            if at > bytes.len() {
                return Err(Malformed {
                    offset: option_at,
                    what: What::OptionTruncated,
                });
            }
        }
        Ok((
            Self {
                encoded: &bytes[..at],
            },
            at,
        ))
    }

    /// The caller knows the bytes to be well-formed.
    pub(crate) fn from_checked(encoded: &'a [u8]) -> Self {
        Self { encoded }
    }

    /// The options as they stand on the wire, without a payload marker.
    pub fn as_encoded(&self) -> &'a [u8] {
        self.encoded
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.encoded.is_empty()
    }

    /// All options in the order of the message, which is the order of their numbers.
    pub fn iter(&self) -> Iter<'a> {
        Iter {
            bytes: self.encoded,
            at: 0,
            number: 0,
        }
    }

    /// The first option with this number.
    pub fn first(&self, number: OptionNumber) -> Option<OptionRef<'a>> {
        self.iter()
            .take_while(|option| option.number <= number)
            .find(|o| o.number == number)
    }

    /// Whether an option with this number is there.
    pub fn contains(&self, number: OptionNumber) -> bool {
        self.first(number).is_some()
    }

    /// The values of every option with this number.
    pub fn all(&self, number: OptionNumber) -> Segments<'a> {
        Segments {
            options: self.iter(),
            number,
        }
    }

    fn number_of(&self, number: OptionNumber) -> Option<u32> {
        self.first(number)
            .filter(OptionRef::has_valid_length)
            .and_then(|o| o.as_uint())
    }

    /// The segments of Uri-Path, as bytes: UTF-8 is the caller's to check.
    pub fn uri_path(&self) -> Segments<'a> {
        self.all(OptionNumber::URI_PATH)
    }

    /// The arguments of Uri-Query, as bytes: UTF-8 is the caller's to check.
    pub fn uri_query(&self) -> Segments<'a> {
        self.all(OptionNumber::URI_QUERY)
    }

    /// The segments of Location-Path.
    pub fn location_path(&self) -> Segments<'a> {
        self.all(OptionNumber::LOCATION_PATH)
    }

    /// Observe: 0 or 1 in a request, the sequence number in a notification.
    pub fn observe(&self) -> Option<u32> {
        self.number_of(OptionNumber::OBSERVE)
    }

    /// Content-Format; `None` also if it is too long to be one.
    pub fn content_format(&self) -> Option<u16> {
        self.number_of(OptionNumber::CONTENT_FORMAT)
            .and_then(|n| n.try_into().ok())
    }

    /// Accept.
    pub fn accept(&self) -> Option<u16> {
        self.number_of(OptionNumber::ACCEPT)
            .and_then(|n| n.try_into().ok())
    }

    /// Max-Age in seconds; `None` if absent, which means 60 (RFC 7252 §5.10.5).
    pub fn max_age_s(&self) -> Option<u32> {
        self.number_of(OptionNumber::MAX_AGE)
    }

    /// The first ETag.
    pub fn etag(&self) -> Option<&'a [u8]> {
        self.first(OptionNumber::ETAG)
            .filter(OptionRef::has_valid_length)
            .map(|o| o.value)
    }

    /// Block1; `None` if absent or of a reserved size.
    pub fn block1(&self) -> Option<BlockValue> {
        self.number_of(OptionNumber::BLOCK1)
            .and_then(BlockValue::from_uint)
    }

    /// Block2; `None` if absent or of a reserved size.
    pub fn block2(&self) -> Option<BlockValue> {
        self.number_of(OptionNumber::BLOCK2)
            .and_then(BlockValue::from_uint)
    }

    /// Size1: the size of the whole request body, in bytes.
    pub fn size1(&self) -> Option<u32> {
        self.number_of(OptionNumber::SIZE1)
    }

    /// Size2: the size of the whole response body, in bytes.
    pub fn size2(&self) -> Option<u32> {
        self.number_of(OptionNumber::SIZE2)
    }

    /// Echo (RFC 9175).
    pub fn echo(&self) -> Option<&'a [u8]> {
        self.first(OptionNumber::ECHO).map(|o| o.value)
    }
}

impl<'a> IntoIterator for Options<'a> {
    type Item = OptionRef<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Walks over options.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    bytes: &'a [u8],
    at: usize,
    number: u16,
}

impl<'a> Iterator for Iter<'a> {
    type Item = OptionRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<OptionRef<'a>> {
        let first = *self.bytes.get(self.at)?;
        self.at += 1;
        // The bytes were checked when the view was made; a failure here only ends the walk.
        let delta = extended(first >> 4, self.bytes, &mut self.at).ok()?;
        let length = extended(first & 0x0f, self.bytes, &mut self.at).ok()? as usize;
        self.number = self.number.wrapping_add(delta as u16);
        let value = self.bytes.get(self.at..self.at + length)?;
        self.at += length;
        Some(OptionRef {
            number: OptionNumber(self.number),
            value,
        })
    }
}

/// The values of the options with one number.
#[derive(Clone, Debug)]
pub struct Segments<'a> {
    options: Iter<'a>,
    number: OptionNumber,
}

impl<'a> Iterator for Segments<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let option = self.options.next()?;
            if option.number == self.number {
                return Some(option.value);
            }
            if option.number > self.number {
                self.options.at = self.options.bytes.len();
                return None;
            }
        }
    }
}

/// The nibble of a delta or a length, with its one or two bytes more (RFC 7252 §3.1).
#[inline]
fn extended(nibble: u8, bytes: &[u8], at: &mut usize) -> Result<u32, What> {
    match nibble {
        0..=12 => Ok(u32::from(nibble)),
        13 => {
            let byte = *bytes.get(*at).ok_or(What::OptionTruncated)?;
            *at += 1;
            Ok(u32::from(byte) + 13)
        }
        14 => {
            let (Some(&high), Some(&low)) = (bytes.get(*at), bytes.get(*at + 1)) else {
                return Err(What::OptionTruncated);
            };
            *at += 2;
            Ok(u32::from(u16::from_be_bytes([high, low])) + 269)
        }
        _ => Err(What::OptionReservedNibble),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    #[test]
    fn typed_getters_read_what_a_register_carries() {
        let encoded = b"\xb2rd\x11\x28\x37lt=1200\x05b=UQS\x81\x0e";
        let (options, end) = Options::decode(encoded).unwrap();
        assert_eq!(end, encoded.len());
        assert_eq!(options.uri_path().collect::<Vec<_>>(), [b"rd"]);
        assert_eq!(
            options.uri_query().collect::<Vec<_>>(),
            [&b"lt=1200"[..], b"b=UQS"]
        );
        assert_eq!(options.content_format(), Some(40));
        assert_eq!(options.block1(), None);
        assert_eq!(options.accept(), None);
        let block2 = options.first(OptionNumber::BLOCK2).unwrap();
        assert_eq!(block2.to_string(), "Block2: 0/1/1024");
    }

    #[test]
    fn malformed_options_are_named_with_their_place() {
        for (bytes, offset, what) in [
            (&b"\xb2r"[..], 0, What::OptionTruncated),
            (b"\x00\xd0", 1, What::OptionTruncated),
            (b"\x00\xe0\x01", 1, What::OptionTruncated),
            (b"\xf0", 0, What::OptionReservedNibble),
            (b"\x0f", 0, What::OptionReservedNibble),
            (b"\xe0\xff\xff", 0, What::OptionNumberTooLarge),
            (b"\xe0\xfe\xf2\x10", 3, What::OptionNumberTooLarge),
        ] {
            assert_eq!(
                Options::decode(bytes),
                Err(Malformed { offset, what }),
                "{bytes:x?}"
            );
        }
        assert!(
            Options::decode(b"\xe0\xfe\xf2").is_ok(),
            "number 65535 is the last"
        );
    }

    #[test]
    fn a_value_of_a_wrong_length_is_not_read() {
        let (options, _) = Options::decode(b"\x64\x00\x00\x00\x01").unwrap();
        assert_eq!(options.observe(), None, "Observe has at most three bytes");
        assert!(options.contains(OptionNumber::OBSERVE));
    }
}
