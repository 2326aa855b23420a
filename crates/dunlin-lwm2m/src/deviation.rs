//! What we tolerate and take note of: devices in the field deviate from the standard, and whoever
//! operates them should see how, on the registration.
//!
//! The rule behind it: accept what is unambiguous, emit only what is standard, record every
//! tolerated deviation.

use core::fmt;

macro_rules! deviations {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $sentence:literal;)*) => {
        /// One tolerated departure from the standard.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Deviation {
            $($(#[$doc])* $name,)*
        }

        impl Deviation {
            /// Every deviation. The order is that of the bits of [`Deviations::to_bits`], so new
            /// ones are put at the end.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The stable name for REST, metrics and documentation.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code),* }
            }

            /// What the Client did, in one sentence.
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$name => $sentence),* }
            }
        }
    };
}

deviations! {
    /// Register without `lt`.
    LifetimeMissing = "lifetime_missing",
        "The Client registered without a lifetime; 86400 seconds are assumed.";
    /// `lt` is zero, negative or no number.
    LifetimeInvalid = "lifetime_invalid",
        "The Client gave a lifetime that is not a positive number; 86400 seconds are assumed.";
    /// Register without `lwm2m`.
    VersionMissing = "version_missing",
        "The Client registered without its LwM2M version; 1.0 is assumed.";
    /// `lwm2m` with a third number.
    VersionWithPatch = "version_with_patch",
        "The Client gave its LwM2M version with three numbers; the third is ignored.";
    /// A parameter of Register or Update that the standard does not have.
    ParameterUnknown = "parameter_unknown",
        "The Client sent parameters that its version does not define; they are kept as attributes.";
    /// More unknown parameters than we keep.
    ParametersDropped = "parameters_dropped",
        "The Client sent more unknown parameters than are kept; the rest was dropped.";
    /// A parameter came twice.
    ParameterTwice = "parameter_twice",
        "The Client sent a parameter twice; the last one counts.";
    /// `b` in lower case, empty, or with a Q where 1.0 has none.
    BindingSpelling = "binding_spelling",
        "The Client spelled its binding mode in a way of its own; it was read as the nearest one.";
    /// `Q` as a parameter of its own, from a 1.0 Client.
    QueueParameter = "queue_parameter",
        "The Client asked for queue mode by the parameter of later versions.";
    /// `sms` with a plus sign or other decoration, or no number at all.
    SmsNumberSpelling = "sms_number_spelling",
        "The Client gave its SMS number with more than digits; only the digits are kept.";
    /// `ep` or `lwm2m` in an Update.
    UpdateParameter = "update_parameter",
        "The Client repeated parameters in an Update that belong to Register only; they are ignored.";
    /// The payload of a Register or Update has another content format than 40, or none.
    LinksFormat = "links_format",
        "The object list came without the content format of links.";
    /// Bytes that are not UTF-8.
    LinksNotText = "links_not_text",
        "The object list has bytes that are not UTF-8.";
    /// A link that cannot be read, or names nothing of LwM2M.
    LinkSkipped = "link_skipped",
        "The object list has entries that name no object; they are skipped.";
    /// Blanks or line ends around commas.
    LinkWhitespace = "link_whitespace",
        "The object list has blanks or line ends between its links.";
    /// `<3/0>`
    LinkWithoutSlash = "link_without_slash",
        "The object list has links without their first slash.";
    /// `</3/0/>`
    LinkTrailingSlash = "link_trailing_slash",
        "The object list has links with a slash at their end.";
    /// `/3/0/1` in an object list.
    LinkToResource = "link_to_resource",
        "The object list names resources; they are cut down to their instances.";
    /// `/0` in an object list.
    SecurityObjectListed = "security_object_listed",
        "The object list names the Security Object, which must never be shown; it is dropped.";
    /// `/1` or `/3` missing.
    MandatoryObjectMissing = "mandatory_object_missing",
        "The object list lacks the Server or the Device Object.";
    /// An instance of 65535.
    InstanceReserved = "instance_reserved",
        "The object list has an instance 65535, which is reserved; it is dropped.";
    /// `ver` on an instance.
    ObjectVersionOnInstance = "object_version_on_instance",
        "The object list states versions on instances, where they mean nothing; they are ignored.";
    /// `ver` that is no version.
    ObjectVersionInvalid = "object_version_invalid",
        "The object list states versions that are none; they are ignored.";
    /// The links have a prefix that no link with `rt` declares.
    RootInferred = "root_inferred",
        "The object list uses an alternate path without declaring it; it is inferred.";
    /// Content formats in `ct` without quotes, or more than once.
    ContentFormatsSpelling = "content_formats_spelling",
        "The object list states its content formats without quotes or more than once.";
    /// 1541 to 1544.
    OldContentFormat = "old_content_format",
        "The Client uses content format numbers from before their registration (1541 to 1544).";
    /// A payload without content format.
    ContentFormatMissing = "content_format_missing",
        "The Client sent a payload without saying its format; it was guessed.";
    /// An Object Instance TLV around the Resources of an instance.
    TlvInstanceWrapped = "tlv_instance_wrapped",
        "The Client wraps resources into their instance where the path already has it.";
    /// Resources without their instance on an Object.
    TlvInstanceMissing = "tlv_instance_missing",
        "The Client leaves out the instance around resources when it answers for an object.";
    /// The same id twice in one payload.
    ValueTwice = "value_twice",
        "The Client sent a value twice in one payload; the last one counts.";
    /// A multiple Resource as if it were single.
    MultipleAsSingle = "multiple_as_single",
        "The Client sent a multiple resource as a single value; it is taken as instance 0.";
    /// A single Resource as if it were multiple.
    SingleAsMultiple = "single_as_multiple",
        "The Client sent a single resource as a multiple one; it is taken as sent.";
    /// Integers of 3, 5, 6 or 7 bytes.
    IntegerLength = "integer_length",
        "The Client encodes integers with 3, 5, 6 or 7 bytes.";
    /// A positive number whose sign bit is set.
    IntegerWithoutSign = "integer_without_sign",
        "The Client leaves out the sign byte of integers; they were read as unsigned.";
    /// An Object link of no bytes.
    ObjectLinkEmpty = "object_link_empty",
        "The Client sends an object link of no bytes for the null link.";
    /// Milliseconds where seconds belong.
    TimeInMilliseconds = "time_in_milliseconds",
        "The Client sends times that can only be milliseconds; they are kept as sent.";
    /// A value that does not fit its type.
    TypeClash = "type_clash",
        "The Client sends values of another type than the definition says; they are kept as bytes or as sent.";
    /// A record of a payload that cannot be read.
    RecordSkipped = "record_skipped",
        "A record of a payload could not be read; the others are kept.";
    /// Names in JSON joined with too few or too many slashes.
    NameSpelling = "name_spelling",
        "The Client joins names in JSON with too few or too many slashes.";
    /// Base64 in the alphabet for URLs or without its padding.
    Base64Spelling = "base64_spelling",
        "The Client writes Base64 in the alphabet for URLs or without padding.";
    /// Object links in `sv`, or numbers and booleans in another member than theirs.
    JsonMember = "json_member",
        "The Client puts values into the wrong member of JSON.";
    /// Text with white space, plus sign or boolean words.
    TextSpelling = "text_spelling",
        "The Client writes numbers or booleans in plain text in a way of its own.";
    /// Time stamps in a Read answer.
    TimestampsInRead = "timestamps_in_read",
        "The Client sends times in answers to Read; the newest values count, the rest is history.";
    /// `lwm2m` with the major version of the Server and a later minor one.
    VersionLater = "version_later",
        "The Client speaks a later minor version of LwM2M; it is served with what 1.0 has.";
}

/// A set of deviations. Small, copied freely, and stored as its bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Deviations(u64);

const _: () = assert!(Deviation::ALL.len() <= 64, "a set of deviations is 64 bits");

impl Deviations {
    /// None: the Client keeps to the standard.
    pub const NONE: Self = Self(0);

    /// Puts one in.
    pub const fn insert(&mut self, deviation: Deviation) {
        self.0 |= 1 << deviation as u8;
    }

    /// The same with one more.
    #[must_use]
    pub const fn with(mut self, deviation: Deviation) -> Self {
        self.insert(deviation);
        self
    }

    /// Whether it is in.
    pub const fn contains(self, deviation: Deviation) -> bool {
        self.0 & 1 << deviation as u8 != 0
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Adds those of another set.
    pub const fn extend(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// As they are stored.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// As they were stored. Bits of a later version are kept and not listed.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Each of them, in the order of [`Deviation::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Deviation> {
        Deviation::ALL
            .iter()
            .copied()
            .filter(move |deviation| self.contains(*deviation))
    }
}

impl From<Deviation> for Deviations {
    fn from(deviation: Deviation) -> Self {
        Self::NONE.with(deviation)
    }
}

impl fmt::Debug for Deviations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn a_set_keeps_what_was_put_in() {
        let mut set = Deviations::NONE;
        assert!(set.is_empty());
        set.insert(Deviation::TimestampsInRead);
        set.insert(Deviation::LifetimeMissing);
        set.insert(Deviation::LifetimeMissing);
        assert_eq!(
            set.iter().collect::<Vec<_>>(),
            [Deviation::LifetimeMissing, Deviation::TimestampsInRead]
        );
        assert_eq!(Deviations::from_bits(set.to_bits()), set);
        assert!(!set.contains(Deviation::TypeClash));
    }

    #[test]
    fn codes_are_words_and_unique_sentences_end() {
        let mut codes: Vec<_> = Deviation::ALL
            .iter()
            .map(|deviation| deviation.code())
            .collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Deviation::ALL.len());
        for deviation in Deviation::ALL {
            assert!(
                deviation
                    .code()
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b"_0123456789".contains(&b))
            );
            assert!(deviation.sentence().ends_with('.'));
        }
    }
}
