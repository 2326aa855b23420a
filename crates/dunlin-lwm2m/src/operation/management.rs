//! What is asked of a Client: device management, reporting, bootstrap (TS 5.4, 5.5, 5.2.7).

use alloc::vec::Vec;

use super::arguments::Arguments;
use crate::attribute::AttributesChange;
use crate::content_format::ContentFormat;
use crate::id::ObjectId;
use crate::path::Path;

/// A downlink operation. On the wire several of them look alike; who asks decides (a Server or
/// the Bootstrap-Server), and here they are told apart.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    /// The values of an Object, Object Instance or Resource (TS 5.4.1).
    Read {
        /// The target.
        path: Path,
        /// The format that is wanted, if any in particular.
        accept: Option<ContentFormat>,
    },
    /// What exists at the target, and its attributes (TS 5.4.2).
    Discover {
        /// The target.
        path: Path,
    },
    /// New values for an Object Instance or a Resource (TS 5.4.3).
    Write {
        /// The target.
        path: Path,
        /// Whether what is not in the payload stays.
        mode: WriteMode,
        /// How the payload is written.
        format: ContentFormat,
        /// The values.
        payload: Vec<u8>,
    },
    /// New notification attributes (TS 5.4.4).
    WriteAttributes {
        /// The target.
        path: Path,
        /// What is set and what is unset.
        attributes: AttributesChange,
    },
    /// Do it (TS 5.4.5).
    Execute {
        /// The Resource.
        path: Path,
        /// How to do it.
        arguments: Arguments,
    },
    /// A new Object Instance, or several (TS 5.4.6).
    Create {
        /// The Object.
        object: ObjectId,
        /// How the payload is written.
        format: ContentFormat,
        /// The instances, or the Resources of one whose number the Client chooses.
        payload: Vec<u8>,
    },
    /// Remove an Object Instance (TS 5.4.7).
    Delete {
        /// The instance.
        path: Path,
    },
    /// Read, and tell me from now on (TS 5.5.1).
    Observe {
        /// The target.
        path: Path,
        /// The format that is wanted, if any in particular.
        accept: Option<ContentFormat>,
    },
    /// No more notifications of this target (TS 5.5.3).
    CancelObservation {
        /// The target that was observed.
        path: Path,
    },
    /// Which instances exist, to the Bootstrap-Server (TS 5.2.7.3).
    BootstrapDiscover {
        /// Everything, or an Object.
        path: Path,
    },
    /// Configuration, written whether or not the target exists (TS 5.2.7.4).
    BootstrapWrite {
        /// An Object, Object Instance or Resource.
        path: Path,
        /// How the payload is written.
        format: ContentFormat,
        /// The values.
        payload: Vec<u8>,
    },
    /// Remove configuration (TS 5.2.7.5).
    BootstrapDelete {
        /// Everything, an Object or an Object Instance.
        path: Path,
    },
    /// All is written: check it and go to work (TS 5.2.7.2).
    BootstrapFinish,
}

/// What a Write does with what its payload does not name (TS 5.4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WriteMode {
    /// It goes (PUT).
    Replace,
    /// It stays (POST).
    Partial,
}

impl Operation {
    /// The target; the root for [`Operation::BootstrapFinish`].
    pub fn path(&self) -> Path {
        match self {
            Self::Read { path, .. }
            | Self::Discover { path }
            | Self::Write { path, .. }
            | Self::WriteAttributes { path, .. }
            | Self::Execute { path, .. }
            | Self::Delete { path }
            | Self::Observe { path, .. }
            | Self::CancelObservation { path }
            | Self::BootstrapDiscover { path }
            | Self::BootstrapWrite { path, .. }
            | Self::BootstrapDelete { path } => *path,
            Self::Create { object, .. } => Path::object(*object),
            Self::BootstrapFinish => Path::ROOT,
        }
    }

    /// The standard's name of the operation.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Read { .. } => "Read",
            Self::Discover { .. } => "Discover",
            Self::Write { .. } => "Write",
            Self::WriteAttributes { .. } => "Write-Attributes",
            Self::Execute { .. } => "Execute",
            Self::Create { .. } => "Create",
            Self::Delete { .. } => "Delete",
            Self::Observe { .. } => "Observe",
            Self::CancelObservation { .. } => "Cancel Observation",
            Self::BootstrapDiscover { .. } => "Bootstrap-Discover",
            Self::BootstrapWrite { .. } => "Bootstrap-Write",
            Self::BootstrapDelete { .. } => "Bootstrap-Delete",
            Self::BootstrapFinish => "Bootstrap-Finish",
        }
    }

    /// Whether doing it twice is doing it once. What is not must never be sent again after a
    /// crash: the Client may have done it already.
    pub const fn is_idempotent(&self) -> bool {
        match self {
            Self::Read { .. }
            | Self::Discover { .. }
            | Self::Write {
                mode: WriteMode::Replace,
                ..
            }
            | Self::WriteAttributes { .. }
            | Self::Delete { .. }
            | Self::Observe { .. }
            | Self::CancelObservation { .. }
            | Self::BootstrapDiscover { .. }
            | Self::BootstrapWrite { .. }
            | Self::BootstrapDelete { .. } => true,
            Self::Write {
                mode: WriteMode::Partial,
                ..
            }
            | Self::Execute { .. }
            | Self::Create { .. }
            | Self::BootstrapFinish => false,
        }
    }
}
