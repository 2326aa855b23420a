//! The nouns and verbs of the LwM2M Core specification; nothing that happens over time.
//!
//! ```text
//! path, value, node      /3/0/1, typed values, trees of them
//! definition, registry   what Objects exist and what their Resources are
//! format                 trees to bytes and back, one file per content format
//! link, attribute        object lists, answers to Discover, pmin … st
//! operation              the four interfaces as data
//! deviation              what we tolerate, by name
//! ```
//!
//! Nothing here knows CoAP, peers or clocks: `dunlin-transport` spells these operations in CoAP,
//! the roles say when and why. Every parser takes hostile bytes with bounded memory.
//!
//! ```
//! use dunlin_lwm2m::{ContentFormat, Path, Registry, format};
//!
//! // What a device answers to a Read of its battery level, in TLV.
//! let path: Path = "/3/0/9".parse()?;
//! let read = format::decode(Some(ContentFormat::TLV), path, &[0xc1, 9, 100], &Registry::bundled())?;
//! let line = read.node.labelled(path, &Registry::bundled())[0].to_string();
//! assert_eq!(line, "/3/0/9 Battery Level: 100 %");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Features: `std` (default) adds the reading of object definitions from XML; without it the crate
//! needs `alloc` alone and has the bundled definitions as tables.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod attribute;
mod content_format;
pub mod definition;
mod deviation;
pub mod format;
#[doc(hidden)]
pub mod fuzz;
mod id;
mod label;
pub mod link;
mod node;
pub mod operation;
mod path;
mod registry;
mod value;
mod version;

pub use content_format::ContentFormat;
pub use deviation::{Deviation, Deviations};
pub use id::{
    ENDPOINT_NAME_BYTES_MAX, EndpointName, EndpointNameError, MAX_ID, ObjectId, ObjectInstanceId,
    ReservedShortServerId, ResourceId, ResourceInstanceId, ShortServerId,
};
pub use label::Labelled;
pub use node::{Instance, Node, Object, Resource, ResourceValue, Timed, Timestamp};
pub use path::{Level, Path, PathError};
pub use registry::{Model, Registry, Types};
pub use value::{ObjectLink, Value, ValueType};
pub use version::{LwM2mVersion, ObjectVersion, VersionError};
