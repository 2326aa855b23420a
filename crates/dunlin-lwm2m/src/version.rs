//! Versions: of the enabler (1.0, 1.1, 1.2) and of Objects. What differs between enabler versions
//! is data that asks this type, never a build switch.

use core::fmt;
use core::str::FromStr;

use thiserror::Error;

use crate::id::ObjectId;

/// The version of the LwM2M enabler a Client speaks, as it stands in `lwm2m=1.0` (TS 5.3.1).
/// Versions we do not know are kept as they are, so that a refusal can name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LwM2mVersion {
    /// Differs: the two do not understand each other.
    pub major: u8,
    /// Higher: the speaker knows more.
    pub minor: u8,
}

impl LwM2mVersion {
    /// LwM2M 1.0, 1.0.1 and 1.0.2.
    pub const V1_0: Self = Self { major: 1, minor: 0 };
    /// LwM2M 1.1 and 1.1.1.
    pub const V1_1: Self = Self { major: 1, minor: 1 };
    /// LwM2M 1.2, 1.2.1 and 1.2.2.
    pub const V1_2: Self = Self { major: 1, minor: 2 };

    /// Whether a Server of version `self` may serve this Client: same major, and no minor above
    /// its own. Otherwise the answer is 4.12 (TS 5.3.1).
    pub const fn serves(self, client: Self) -> bool {
        self.major == client.major && client.minor <= self.minor
    }

    /// The version of an Object for which a Client of this enabler states none: that of the
    /// enabler for its own Objects, else 1.0 (TS 6.2). The later enablers raised these Objects.
    pub const fn default_object_version(self, object: ObjectId) -> ObjectVersion {
        let minor = match (self.major, self.minor, object.0) {
            // 1.1 and 1.1.1 both say 1.1; the Objects of the later one can be read as the earlier.
            (1, 1, 0 | 1 | 3) => 1,
            (1, 1, 4) => 2,
            (1, 2, 0 | 1 | 3) => 2,
            (1, 2, 4) => 3,
            (1, 2, 2 | 5) => 1,
            _ => 0,
        };
        ObjectVersion { major: 1, minor }
    }
}

/// The version of an Object's definition: `ver=1.1` (TS 6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectVersion {
    /// Differs: Resources changed their meaning.
    pub major: u8,
    /// Higher: optional Resources were added.
    pub minor: u8,
}

impl ObjectVersion {
    /// The initial version, and the one that is meant where none is stated.
    pub const V1_0: Self = Self { major: 1, minor: 0 };

    /// Minor differences do not matter to a Server (TS 6.2).
    pub const fn is_compatible_with(self, other: Self) -> bool {
        self.major == other.major
    }
}

impl Default for ObjectVersion {
    fn default() -> Self {
        Self::V1_0
    }
}

macro_rules! text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}.{}", self.major, self.minor)
            }
        }

        impl FromStr for $name {
            type Err = VersionError;

            fn from_str(text: &str) -> Result<Self, VersionError> {
                let (major, minor) = parse(text)?;
                Ok(Self { major, minor })
            }
        }
    };
}

text!(LwM2mVersion);
text!(ObjectVersion);

fn parse(text: &str) -> Result<(u8, u8), VersionError> {
    let (major, minor) = text.split_once('.').ok_or(VersionError)?;
    Ok((parse_part(major)?, parse_part(minor)?))
}

fn parse_part(text: &str) -> Result<u8, VersionError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(VersionError);
    }
    text.parse().map_err(|_| VersionError)
}

/// A text is not `major.minor` with two decimal numbers of 0 to 255.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a version is two numbers with a dot, such as 1.0")]
pub struct VersionError;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn ts_6_2_versions_are_two_numbers() {
        assert_eq!("1.0".parse(), Ok(LwM2mVersion::V1_0));
        assert_eq!(
            "2.13".parse(),
            Ok(ObjectVersion {
                major: 2,
                minor: 13
            })
        );
        assert_eq!(
            ObjectVersion {
                major: 2,
                minor: 13
            }
            .to_string(),
            "2.13"
        );
        for text in ["", "1", "1.", ".1", "1.0.2", "1.x", "+1.0", "256.0", "1. 0"] {
            assert_eq!(text.parse::<ObjectVersion>(), Err(VersionError), "{text}");
        }
    }

    #[test]
    fn ts_5_3_1_a_server_serves_its_own_version_and_lower_minors() {
        assert!(LwM2mVersion::V1_0.serves(LwM2mVersion::V1_0));
        assert!(LwM2mVersion::V1_1.serves(LwM2mVersion::V1_0));
        assert!(!LwM2mVersion::V1_0.serves(LwM2mVersion::V1_1));
        assert!(!LwM2mVersion::V1_2.serves(LwM2mVersion { major: 2, minor: 0 }));
    }

    #[test]
    fn ts_6_2_an_object_without_version_is_that_of_its_enabler() {
        assert_eq!(
            LwM2mVersion::V1_0.default_object_version(ObjectId::DEVICE),
            ObjectVersion::V1_0
        );
        assert_eq!(
            LwM2mVersion::V1_1.default_object_version(ObjectId::DEVICE),
            ObjectVersion { major: 1, minor: 1 }
        );
        assert_eq!(
            LwM2mVersion::V1_1.default_object_version(ObjectId(3303)),
            ObjectVersion::V1_0
        );
    }
}
