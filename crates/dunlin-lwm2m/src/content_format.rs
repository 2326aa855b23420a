//! Numbers of content formats (TS 6.4, Annex I), with the old ones that devices still send.

use core::fmt;

/// How a payload is written, by its CoAP number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentFormat(pub u16);

impl ContentFormat {
    /// `text/plain`: one value of a single Resource.
    pub const TEXT: Self = Self(0);
    /// `application/link-format`
    pub const LINK: Self = Self(40);
    /// `application/octet-stream`: one Opaque value.
    pub const OPAQUE: Self = Self(42);
    /// `application/cbor` (1.1)
    pub const CBOR: Self = Self(60);
    /// `application/senml+json` (1.1)
    pub const SENML_JSON: Self = Self(110);
    /// `application/senml+cbor` (1.1)
    pub const SENML_CBOR: Self = Self(112);
    /// `application/vnd.oma.lwm2m+tlv`
    pub const TLV: Self = Self(11542);
    /// `application/vnd.oma.lwm2m+json`
    pub const JSON: Self = Self(11543);
    /// `application/vnd.oma.lwm2m+cbor` (1.2)
    pub const LWM2M_CBOR: Self = Self(11544);

    /// `text/plain` in candidates of 1.0.
    pub const OLD_TEXT: Self = Self(1541);
    /// TLV in candidates of 1.0.
    pub const OLD_TLV: Self = Self(1542);
    /// JSON in candidates of 1.0.
    pub const OLD_JSON: Self = Self(1543);
    /// Opaque in candidates of 1.0.
    pub const OLD_OPAQUE: Self = Self(1544);

    /// The registered number in place of an old one; any other stays.
    pub const fn modern(self) -> Self {
        match self {
            Self::OLD_TEXT => Self::TEXT,
            Self::OLD_TLV => Self::TLV,
            Self::OLD_JSON => Self::JSON,
            Self::OLD_OPAQUE => Self::OPAQUE,
            other => other,
        }
    }

    /// The old number in place of a registered one, for devices that showed they speak so.
    pub const fn old(self) -> Self {
        match self {
            Self::TEXT => Self::OLD_TEXT,
            Self::TLV => Self::OLD_TLV,
            Self::JSON => Self::OLD_JSON,
            Self::OPAQUE => Self::OLD_OPAQUE,
            other => other,
        }
    }

    /// Whether this is one of the numbers before registration.
    pub const fn is_old(self) -> bool {
        self.modern().0 != self.0
    }

    /// The short name used in REST and on the command line; `None` for a number we do not know.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.modern() {
            Self::TEXT => "text",
            Self::LINK => "link",
            Self::OPAQUE => "opaque",
            Self::CBOR => "cbor",
            Self::SENML_JSON => "senml-json",
            Self::SENML_CBOR => "senml-cbor",
            Self::TLV => "tlv",
            Self::JSON => "json",
            Self::LWM2M_CBOR => "lwm2m-cbor",
            _ => return None,
        })
    }

    /// The format of that short name.
    pub fn from_name(name: &str) -> Option<Self> {
        const NAMED: [ContentFormat; 9] = [
            ContentFormat::TEXT,
            ContentFormat::LINK,
            ContentFormat::OPAQUE,
            ContentFormat::CBOR,
            ContentFormat::SENML_JSON,
            ContentFormat::SENML_CBOR,
            ContentFormat::TLV,
            ContentFormat::JSON,
            ContentFormat::LWM2M_CBOR,
        ];
        NAMED.into_iter().find(|format| format.name() == Some(name))
    }
}

impl fmt::Display for ContentFormat {
    /// `tlv (11542)`, or the number alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({})", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ts_annex_i_old_numbers_stand_for_registered_ones() {
        for (old, new) in [(1541, 0), (1542, 11542), (1543, 11543), (1544, 42)] {
            assert_eq!(ContentFormat(old).modern(), ContentFormat(new));
            assert_eq!(ContentFormat(new).old(), ContentFormat(old));
            assert!(ContentFormat(old).is_old());
            assert!(!ContentFormat(new).is_old());
        }
        assert_eq!(ContentFormat(999).modern(), ContentFormat(999));
        assert_eq!(ContentFormat::from_name("tlv"), Some(ContentFormat::TLV));
        assert_eq!(ContentFormat(999).name(), None);
    }
}
