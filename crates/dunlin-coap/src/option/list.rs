//! Options that are owned, kept in the encoded form: one buffer however many there are.

use alloc::vec::Vec;
use core::fmt;

use super::{OptionNumber, OptionRef, Options, UintValue};
use crate::block::BlockValue;

/// The largest encoded form of a list. Anything longer could not stand in one datagram anyway, and the
/// bound keeps a caller's slip from growing without end.
pub(crate) const ENCODED_MAX: usize = 65_535;

/// An owned, growing list of options. Pushing by rising number appends; any other order is sorted in, behind
/// the options with the same number.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct OptionList {
    encoded: Vec<u8>,
    last: u16,
}

impl OptionList {
    /// No options, nothing allocated.
    pub const fn new() -> Self {
        Self {
            encoded: Vec::new(),
            last: 0,
        }
    }

    /// Copies what a message carries.
    pub fn from_options(options: Options<'_>) -> Self {
        let last = options.iter().last().map_or(0, |option| option.number.0);
        Self {
            encoded: options.as_encoded().to_vec(),
            last,
        }
    }

    /// Copies what a message carries into a buffer that was used before.
    pub(crate) fn from_options_in(mut buffer: Vec<u8>, options: Options<'_>) -> Self {
        buffer.clear();
        buffer.extend_from_slice(options.as_encoded());
        let last = options.iter().last().map_or(0, |option| option.number.0);
        Self {
            encoded: buffer,
            last,
        }
    }

    /// The buffer, for [`crate::Endpoint::recycle`]: whoever has read a request and wants nothing
    /// more of it spares the next one an allocation.
    pub fn into_buffer(self) -> Vec<u8> {
        self.encoded
    }

    /// The options to be read.
    pub fn view(&self) -> Options<'_> {
        Options::from_checked(&self.encoded)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.encoded.is_empty()
    }

    /// Adds one option behind those with the same number.
    ///
    /// # Panics
    ///
    /// If the list would be longer than a datagram can be, 65 535 bytes.
    pub fn push(&mut self, number: OptionNumber, value: &[u8]) -> &mut Self {
        assert!(
            self.encoded.len() + value.len() + 5 <= ENCODED_MAX,
            "an option list never outgrows a datagram"
        );
        if number.0 >= self.last {
            put_option(&mut self.encoded, number.0 - self.last, value);
            self.last = number.0;
        } else {
            self.insert(number, value);
        }
        self
    }

    /// Adds a number, in its shortest form.
    pub fn push_uint(&mut self, number: OptionNumber, value: u32) -> &mut Self {
        self.push(number, UintValue::new(value).as_bytes())
    }

    /// Adds a block option.
    pub fn push_block(&mut self, number: OptionNumber, block: BlockValue) -> &mut Self {
        self.push_uint(number, block.to_uint())
    }

    /// Takes away every option with this number.
    pub fn remove(&mut self, number: OptionNumber) -> &mut Self {
        if self.view().contains(number) {
            let old = core::mem::take(self);
            for option in old.view().iter().filter(|option| option.number != number) {
                self.push(option.number, option.value);
            }
        }
        self
    }

    fn insert(&mut self, number: OptionNumber, value: &[u8]) {
        let old = core::mem::take(self);
        self.encoded.reserve(old.encoded.len() + value.len() + 5);
        let mut options = old.view().iter().peekable();
        while let Some(option) = options.next_if(|option| option.number <= number) {
            self.push(option.number, option.value);
        }
        self.push(number, value);
        for option in options {
            self.push(option.number, option.value);
        }
    }
}

impl From<Options<'_>> for OptionList {
    fn from(options: Options<'_>) -> Self {
        Self::from_options(options)
    }
}

impl<'a> FromIterator<OptionRef<'a>> for OptionList {
    fn from_iter<I: IntoIterator<Item = OptionRef<'a>>>(options: I) -> Self {
        let mut list = Self::new();
        for option in options {
            list.push(option.number, option.value);
        }
        list
    }
}

impl fmt::Debug for OptionList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

/// Writes one option (RFC 7252 §3.1).
#[inline]
pub(crate) fn put_option(out: &mut Vec<u8>, delta: u16, value: &[u8]) {
    let length = value.len() as u16;
    let (delta_nibble, delta_more) = split(delta);
    let (length_nibble, length_more) = split(length);
    out.push(delta_nibble << 4 | length_nibble);
    put_more(out, delta_nibble, delta_more);
    put_more(out, length_nibble, length_more);
    out.extend_from_slice(value);
}

#[inline]
fn split(number: u16) -> (u8, u16) {
    match number {
        0..=12 => (number as u8, 0),
        13..=268 => (13, number - 13),
        _ => (14, number - 269),
    }
}

#[inline]
fn put_more(out: &mut Vec<u8>, nibble: u8, more: u16) {
    match nibble {
        13 => out.push(more as u8),
        14 => out.extend_from_slice(&more.to_be_bytes()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_order_of_pushing_gives_the_order_of_numbers() {
        let mut list = OptionList::new();
        list.push(OptionNumber::URI_QUERY, b"lt=60")
            .push(OptionNumber::URI_PATH, b"rd")
            .push(OptionNumber::URI_PATH, b"x")
            .push_uint(OptionNumber::OBSERVE, 0)
            .push_uint(OptionNumber::SIZE1, 4000);
        let mut sorted = OptionList::new();
        sorted
            .push_uint(OptionNumber::OBSERVE, 0)
            .push(OptionNumber::URI_PATH, b"rd")
            .push(OptionNumber::URI_PATH, b"x")
            .push(OptionNumber::URI_QUERY, b"lt=60")
            .push_uint(OptionNumber::SIZE1, 4000);
        assert_eq!(list, sorted);
        assert_eq!(list.view().size1(), Some(4000));
        list.remove(OptionNumber::URI_PATH);
        assert_eq!(list.view().iter().count(), 3);
        assert_eq!(list.view().uri_path().next(), None);
    }

    #[test]
    fn long_values_and_far_numbers_use_the_longer_forms() {
        let mut list = OptionList::new();
        list.push(OptionNumber(12), &[1; 12])
            .push(OptionNumber(25), &[2; 13])
            .push(OptionNumber(293), &[3; 268])
            .push(OptionNumber(65_535), &[4; 269]);
        let view = list.view();
        let (checked, end) = Options::decode(view.as_encoded()).unwrap();
        assert_eq!(end, view.as_encoded().len());
        let lengths = [(12, 12), (25, 13), (293, 268), (65_535, 269)];
        for (option, (number, length)) in checked.iter().zip(lengths) {
            assert_eq!((option.number.0, option.value.len()), (number, length));
        }
    }
}
