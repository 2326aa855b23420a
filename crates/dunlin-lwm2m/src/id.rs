//! Identifiers: one type for each, so that a Resource ID cannot stand where an Object ID belongs.
//!
//! Every address in the model ([`crate::Path`]) is made of them. TS 6.3; ranges that the registry
//! assigns to organisations are deliberately not enforced.

use alloc::sync::Arc;
use core::fmt;
use core::str::FromStr;

use thiserror::Error;

/// The reserved instance number MAX_ID: never an Object Instance, and the "no object" of a null
/// link (TS 6.3, Annex C).
pub const MAX_ID: u16 = u16::MAX;

/// A name longer than this cannot be sent: `ep=` and the name share one Uri-Query option, which
/// ends at 255 bytes (RFC 7252 §5.10).
pub const ENDPOINT_NAME_BYTES_MAX: usize = 252;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u16);

        impl From<u16> for $name {
            fn from(id: u16) -> Self {
                Self(id)
            }
        }

        impl From<$name> for u16 {
            fn from(id: $name) -> u16 {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

id! {
    /// Which Object: 3 is Device. Assigned by the OMA registry, unique in a Client.
    ObjectId
}
id! {
    /// Which instance of an Object: 0..=65534; 65535 ([`MAX_ID`]) is reserved (TS 6.3).
    ObjectInstanceId
}
id! {
    /// Which Resource of an Object.
    ResourceId
}
id! {
    /// Which instance of a multiple Resource.
    ResourceInstanceId
}

impl ObjectId {
    /// LwM2M Security: never registered, never accessible to a Server (TS E.1).
    pub const SECURITY: Self = Self(0);
    /// LwM2M Server (TS E.2).
    pub const SERVER: Self = Self(1);
    /// LwM2M Access Control (TS E.3).
    pub const ACCESS_CONTROL: Self = Self(2);
    /// Device (TS E.4).
    pub const DEVICE: Self = Self(3);
    /// Connectivity Monitoring (TS E.5).
    pub const CONNECTIVITY_MONITORING: Self = Self(4);
    /// Firmware Update (TS E.6).
    pub const FIRMWARE_UPDATE: Self = Self(5);
    /// Location (TS E.7).
    pub const LOCATION: Self = Self(6);
    /// Connectivity Statistics (TS E.8).
    pub const CONNECTIVITY_STATISTICS: Self = Self(7);

    /// Whether the enabler itself defines the Object, so that its version follows from the
    /// enabler's version (TS 6.2).
    pub const fn is_of_enabler(self) -> bool {
        self.0 <= 7
    }
}

/// The number by which Client and Bootstrap-Server know a Server: 1..=65534 (TS 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShortServerId(u16);

impl ShortServerId {
    /// Takes 1..=65534; 0 and 65535 are reserved and never name a Server.
    pub const fn new(id: u16) -> Option<Self> {
        match id {
            0 | MAX_ID => None,
            _ => Some(Self(id)),
        }
    }

    /// The number itself.
    pub const fn value(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for ShortServerId {
    type Error = ReservedShortServerId;

    fn try_from(id: u16) -> Result<Self, Self::Error> {
        Self::new(id).ok_or(ReservedShortServerId { id })
    }
}

impl From<ShortServerId> for u16 {
    fn from(id: ShortServerId) -> u16 {
        id.0
    }
}

impl fmt::Display for ShortServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// 0 or 65535 was given where a Server must be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{id} is reserved and names no Server (1 to 65534 do)")]
pub struct ReservedShortServerId {
    /// What was given.
    pub id: u16,
}

/// The Endpoint Client Name: 1 to 252 bytes of UTF-8 without control characters, compared byte
/// by byte. Clones share the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointName(Arc<str>);

impl EndpointName {
    /// Checks length and characters. Any form of name is accepted, not only the URNs of TS 6.3.
    pub fn new(name: &str) -> Result<Self, EndpointNameError> {
        if name.is_empty() {
            return Err(EndpointNameError::Empty);
        }
        if name.len() > ENDPOINT_NAME_BYTES_MAX {
            return Err(EndpointNameError::TooLong { bytes: name.len() });
        }
        // A name ends up in logs, terminals and file names: a newline in it is an attack.
        if name.chars().any(char::is_control) {
            return Err(EndpointNameError::ControlCharacter);
        }
        Ok(Self(Arc::from(name)))
    }

    /// The name as it was sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EndpointName {
    type Err = EndpointNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

impl TryFrom<&str> for EndpointName {
    type Error = EndpointNameError;

    fn try_from(name: &str) -> Result<Self, Self::Error> {
        Self::new(name)
    }
}

impl AsRef<str> for EndpointName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl core::borrow::Borrow<str> for EndpointName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EndpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EndpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Why a text is no Endpoint Client Name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EndpointNameError {
    /// No character at all.
    #[error("the endpoint name is empty")]
    Empty,
    /// More than [`ENDPOINT_NAME_BYTES_MAX`] bytes.
    #[error("the endpoint name has {bytes} bytes, {ENDPOINT_NAME_BYTES_MAX} are the most")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// A control character, which no honest name has.
    #[error("the endpoint name has a control character")]
    ControlCharacter,
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    #[test]
    fn ts_6_3_short_server_id_excludes_0_and_65535() {
        for id in [1, 2, 101, 65534] {
            assert_eq!(ShortServerId::new(id).map(ShortServerId::value), Some(id));
        }
        assert_eq!(ShortServerId::new(0), None);
        assert_eq!(
            ShortServerId::try_from(65535),
            Err(ReservedShortServerId { id: 65535 })
        );
    }

    #[test]
    fn ts_6_3_any_utf8_is_an_endpoint_name_up_to_252_bytes() {
        for name in ["a", "urn:imei:123456789012345", "node 34141/ä<>", "例"] {
            assert_eq!(EndpointName::new(name).unwrap().as_str(), name);
        }
        let longest = "x".repeat(252);
        assert!(EndpointName::new(&longest).is_ok());
        let longer: String = "x".repeat(253);
        assert_eq!(
            EndpointName::new(&longer),
            Err(EndpointNameError::TooLong { bytes: 253 })
        );
        assert_eq!(EndpointName::new(""), Err(EndpointNameError::Empty));
        for name in ["a\nb", "\0", "a\u{9b}"] {
            assert_eq!(
                EndpointName::new(name),
                Err(EndpointNameError::ControlCharacter)
            );
        }
    }
}
