//! One walk over the options of a message: what the endpoint itself acts on, what it must refuse, and the
//! key by which two requests are the same.

use core::hash::{BuildHasher, Hasher};

use hashbrown::DefaultHashBuilder;

use crate::block::BlockValue;
use crate::code::Code;
use crate::option::{OptionNumber, Options};

/// What a walk over the options found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Survey {
    /// Stands for method and options as far as they say which body is meant (RFC 7252 §5.4.6, RFC 7959
    /// §2.4 and §2.5). Seeded, and compared within one peer only.
    pub(crate) key: u64,
    pub(crate) observe: Option<u32>,
    pub(crate) block1: Option<BlockValue>,
    pub(crate) block2: Option<BlockValue>,
    pub(crate) size1: Option<u32>,
    /// The first critical option that is not understood, or stands where or as it must not.
    pub(crate) bad_option: Option<OptionNumber>,
    /// A block option of the reserved size.
    pub(crate) bad_block: bool,
    /// The request wants a proxy.
    pub(crate) proxy: bool,
}

impl Survey {
    #[inline]
    pub(crate) fn of(
        code: Code,
        options: Options<'_>,
        understood: &[OptionNumber],
        hasher: &DefaultHashBuilder,
    ) -> Self {
        let mut survey = Self::default();
        let mut key = hasher.build_hasher();
        key.write_u8(code.0);
        let mut previous = None;
        for option in options {
            let number = option.number;
            let known = number.definition();
            let repeated = previous.replace(number) == Some(number)
                && known.is_some_and(|definition| !definition.repeatable);
            let supported = match number {
                // Known by name, and not spoken here; preconditions are the layer above's to speak.
                OptionNumber::OSCORE
                | OptionNumber::Q_BLOCK1
                | OptionNumber::Q_BLOCK2
                | OptionNumber::IF_MATCH
                | OptionNumber::IF_NONE_MATCH => false,
                _ => known.is_some(),
            } || understood.contains(&number);
            if !supported || repeated || !option.has_valid_length() {
                if number.is_critical() {
                    survey.bad_option.get_or_insert(number);
                }
                continue; // An elective one is as if it were not there (RFC 7252 §5.4.1).
            }
            match number {
                OptionNumber::OBSERVE => survey.observe = option.as_uint(),
                OptionNumber::BLOCK1 | OptionNumber::BLOCK2 => {
                    let block = option.as_uint().and_then(BlockValue::from_uint);
                    survey.bad_block |= block.is_none();
                    match number {
                        OptionNumber::BLOCK1 => survey.block1 = block,
                        _ => survey.block2 = block,
                    }
                }
                OptionNumber::SIZE1 => survey.size1 = option.as_uint(),
                OptionNumber::PROXY_URI | OptionNumber::PROXY_SCHEME => survey.proxy = true,
                // Some block layers send it on the first block only.
                OptionNumber::CONTENT_FORMAT => {}
                _ if number.is_no_cache_key() => {}
                _ => {
                    key.write_u16(number.0);
                    key.write(option.value);
                }
            }
        }
        survey.key = key.finish();
        survey
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::option::OptionList;

    fn survey(list: &OptionList, hasher: &DefaultHashBuilder) -> Survey {
        Survey::of(Code::PUT, list.view(), &[OptionNumber(2049)], hasher)
    }

    #[test]
    fn rfc7252_5_4_critical_options_that_must_be_refused() {
        let hasher = DefaultHashBuilder::default();
        for (number, value, bad) in [
            (2049, &b"x"[..], false), // understood by the layer above
            (2051, b"x", true),
            (2050, b"x", false),
            (9, b"", true),
            (1, b"x", true),
            (5, b"", true),
            (7, b"\x01\x02\x03", true),
            (11, &[b'a'; 256], true),
            (6, b"\x01\x02\x03\x04", false),
            (17, b"\x00\x00\x00", true),
        ] {
            let mut list = OptionList::new();
            list.push(OptionNumber(number), value);
            let found = survey(&list, &hasher).bad_option;
            assert_eq!(found, bad.then_some(OptionNumber(number)));
        }
    }

    #[test]
    fn rfc7252_5_4_5_what_is_repeated_must_be_repeatable() {
        let hasher = DefaultHashBuilder::default();
        for (number, bad) in [
            (11, false),
            (15, false),
            (17, true),
            (12, false),
            (23, true),
        ] {
            let mut list = OptionList::new();
            list.push(OptionNumber(number), b"\x01")
                .push(OptionNumber(number), b"\x01");
            assert_eq!(survey(&list, &hasher).bad_option.is_some(), bad, "{number}");
        }
    }

    #[test]
    fn the_key_leaves_out_what_differs_between_the_blocks_of_one_body() {
        let hasher = DefaultHashBuilder::default();
        let mut first = OptionList::new();
        first
            .push(OptionNumber::URI_PATH, b"5")
            .push(OptionNumber::URI_PATH, b"0");
        let plain = survey(&first, &hasher);
        let mut block = first.clone();
        block
            .push_uint(OptionNumber::BLOCK1, 0x1a)
            .push_uint(OptionNumber::SIZE1, 900)
            .push_uint(OptionNumber::CONTENT_FORMAT, 42);
        assert_eq!(survey(&block, &hasher).key, plain.key);
        let mut tagged = first.clone();
        tagged.push(OptionNumber::REQUEST_TAG, b"1");
        assert_ne!(survey(&tagged, &hasher).key, plain.key);
        let mut other = OptionList::new();
        other.push(OptionNumber::URI_PATH, b"50");
        assert_ne!(survey(&other, &hasher).key, plain.key);
    }
}
