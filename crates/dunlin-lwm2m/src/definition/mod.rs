//! Object definitions: what an Object is called, which Resources it has, of which type, and what
//! may be done with them (TS 6.2, Annex D).
//!
//! They come from two places: the standard's Objects are bundled as tables ([`BUNDLED`]), and with
//! the feature `std` any definition file can be read ([`parse_ddf`]). [`crate::Registry`] keeps
//! them side by side, by id and version.

mod builder;
mod bundled;
mod check;
#[cfg(feature = "std")]
mod ddf;
mod ddf_writer;
mod range;

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;

use crate::id::{ObjectId, ResourceId};
use crate::value::ValueType;
use crate::version::{LwM2mVersion, ObjectVersion};

pub use bundled::BUNDLED;
pub use check::CheckError;
#[cfg(feature = "std")]
pub use ddf::{DDF_BYTES_MAX, DDF_RESOURCES_MAX, DdfError, DdfProblem, parse_ddf};
pub use range::{OutOfRange, Range, Span};

/// One version of one Object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectDefinition {
    /// Its number.
    pub id: ObjectId,
    /// Its version.
    pub version: ObjectVersion,
    /// The lowest version of the enabler that has what the Object needs.
    pub lwm2m_version: LwM2mVersion,
    /// What people call it.
    pub name: Cow<'static, str>,
    /// What it is for.
    pub description: Cow<'static, str>,
    /// Whether it may have more than one instance.
    pub multiple: bool,
    /// Whether every Client has it.
    pub mandatory: bool,
    /// Its Resources, in the order of their ids.
    pub resources: Cow<'static, [ResourceDefinition]>,
}

/// One Resource of an Object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceDefinition {
    /// Its number.
    pub id: ResourceId,
    /// What people call it.
    pub name: Cow<'static, str>,
    /// What a Server may do with it.
    pub operations: Operations,
    /// Whether it may have more than one instance.
    pub multiple: bool,
    /// Whether every instance of the Object has it.
    pub mandatory: bool,
    /// What it holds; [`ValueType::None`] if it is executed.
    pub value_type: ValueType,
    /// Which values it may have, in the words of the definition; see [`Self::range`].
    pub range_text: Cow<'static, str>,
    /// The unit of its values; empty if it has none.
    pub units: Cow<'static, str>,
    /// What it means.
    pub description: Cow<'static, str>,
}

/// What a Server may do with a Resource. Reading includes observing, discovering and writing
/// attributes (TS Annex D). Nothing at all: only a Bootstrap-Server reaches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Operations {
    /// R
    pub read: bool,
    /// W
    pub write: bool,
    /// E
    pub execute: bool,
}

impl ObjectDefinition {
    /// The Resource of that number.
    pub fn resource(&self, id: impl Into<ResourceId>) -> Option<&ResourceDefinition> {
        let at = self
            .resources
            .binary_search_by_key(&id.into(), |resource| resource.id)
            .ok()?;
        self.resources.get(at)
    }

    /// The Resource of that name, as people type it: whatever the case.
    pub fn resource_named(&self, name: &str) -> Option<&ResourceDefinition> {
        self.resources
            .iter()
            .find(|resource| resource.name.eq_ignore_ascii_case(name))
    }

    /// The Object URN with its version (TS 6.2).
    pub fn urn(&self) -> String {
        let class = match self.id.0 {
            0..=1023 => "oma",
            1024..=10240 => "ext",
            10241.. => "x",
        };
        alloc::format!("urn:oma:lwm2m:{class}:{}:{}", self.id, self.version)
    }
}

impl ResourceDefinition {
    /// Which values it may have, as far as the words of the definition can be understood.
    pub fn range(&self) -> Range {
        Range::parse(&self.range_text, self.value_type)
    }
}

impl Operations {
    /// None: reachable for a Bootstrap-Server alone.
    pub const NONE: Self = Self {
        read: false,
        write: false,
        execute: false,
    };
    /// R
    pub const R: Self = Self {
        read: true,
        write: false,
        execute: false,
    };
    /// W
    pub const W: Self = Self {
        read: false,
        write: true,
        execute: false,
    };
    /// RW
    pub const RW: Self = Self {
        read: true,
        write: true,
        execute: false,
    };
    /// E
    pub const E: Self = Self {
        read: false,
        write: false,
        execute: true,
    };

    /// Reads the letters R, W and E, in any order; `None` for others.
    pub fn parse(text: &str) -> Option<Self> {
        let mut operations = Self::NONE;
        for letter in text.chars() {
            match letter {
                'R' | 'r' => operations.read = true,
                'W' | 'w' => operations.write = true,
                'E' | 'e' => operations.execute = true,
                ' ' => {}
                _ => return None,
            }
        }
        Some(operations)
    }
}

impl fmt::Display for Operations {
    /// `R`, `W`, `RW`, `E`, or nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (allowed, letter) in [(self.read, "R"), (self.write, "W"), (self.execute, "E")] {
            if allowed {
                f.write_str(letter)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn ts_annex_d_operations_are_three_letters() {
        for (text, operations) in [
            ("", Operations::NONE),
            ("R", Operations::R),
            ("W", Operations::W),
            ("RW", Operations::RW),
            ("E", Operations::E),
        ] {
            assert_eq!(Operations::parse(text), Some(operations));
            assert_eq!(operations.to_string(), text);
        }
        assert_eq!(Operations::parse("X"), None);
    }
}
