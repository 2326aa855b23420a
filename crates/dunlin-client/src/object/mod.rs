//! What makes an Object more than data: one file per Object that does something, and the table.
//!
//! An Object without behaviour of its own is [`Plain`]: its values are stored, read and written, and
//! what is executed is told to the embedder.

pub(crate) mod device;
pub(crate) mod firmware;
mod fixed;
mod plain;
mod security;
mod sensor;
pub(crate) mod server;
mod statistics;

use alloc::boxed::Box;
use core::fmt;

use dunlin_lwm2m::definition::ResourceDefinition;
use dunlin_lwm2m::operation::Arguments;
use dunlin_lwm2m::{Instance, ObjectId, ResourceId, ResourceValue};
use dunlin_transport::{Now, WallTime};

pub use device::{Device, ErrorCode};
pub use firmware::{Delivery, FirmwareUpdate, PullProtocol};
pub use fixed::Fixed;
pub use plain::Plain;
pub use security::Security;
pub use sensor::Sensor;
pub use server::Server;
pub use statistics::{ConnectivityStatistics, Traffic};

use crate::tree::Refusal;

/// What an Object does beyond keeping values. Every method has a default: the Object is data.
pub trait Behaviour: fmt::Debug + Send {
    /// The value of a Resource at this moment, where it is not the stored one.
    fn read(
        &self,
        instance: &Instance,
        resource: ResourceId,
        wall: WallTime,
    ) -> Option<ResourceValue> {
        let _ = (instance, resource, wall);
        None
    }

    /// Whether an instance may look like this after a Write or Create: what types and ranges of the
    /// definition do not say.
    ///
    /// # Errors
    ///
    /// The refusal to answer with; nothing is changed then.
    fn check(&self, written: &Instance) -> Result<(), Refusal> {
        let _ = written;
        Ok(())
    }

    /// A Server has written this Resource.
    fn written(&mut self, resource: ResourceId, now: Now) {
        let _ = (resource, now);
    }

    /// Adds to a new instance what the Client itself supplies.
    fn fill(&self, created: &mut Instance) {
        let _ = created;
    }

    /// Adjusts other Resources when the device sets `changed`: a maximum that follows its value.
    fn follow(&self, before: &Instance, after: &mut Instance, changed: ResourceId) {
        let _ = (before, after, changed);
    }

    /// Whether this Resource, if it is executable, does something here.
    fn executes(&self, definition: &ResourceDefinition) -> bool {
        let _ = definition;
        true
    }

    /// Executes a Resource. Changes of values are made at once; what reaches beyond the Object is
    /// returned, and done after the answer has gone out.
    ///
    /// # Errors
    ///
    /// The refusal to answer with.
    fn execute(
        &mut self,
        instance: &mut Instance,
        resource: ResourceId,
        arguments: &Arguments,
        now: Now,
    ) -> Result<Action, Refusal> {
        let _ = (instance, resource, arguments, now);
        Ok(Action::Tell)
    }

    /// The counters of the network stand here now ([`crate::Sample::Traffic`]).
    fn count(&mut self, instance: &mut Instance, traffic: &Traffic, now: Now) {
        let _ = (instance, traffic, now);
    }

    /// Whether a Server may create instances.
    fn creatable(&self) -> bool {
        true
    }

    /// Whether a Server may delete instances.
    fn deletable(&self) -> bool {
        true
    }
}

/// What follows from an Execute, once its answer is on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Tell the embedder, who knows what it means.
    Tell,
    /// Nothing more: it is done.
    Nothing,
    /// Send an Update to the Server of this instance of Object 1 (`/1/x/8`).
    Update,
    /// De-register from the Server of this instance and stay away for a while (`/1/x/4`).
    Disable,
    /// Reboot the device (`/3/0/4`).
    Reboot,
    /// Install the package that is downloaded (`/5/0/2`).
    Install,
    /// Bring the device back to its first state (`/3/0/5`).
    FactoryReset,
}

/// The behaviour that belongs to an Object.
#[must_use]
pub fn behaviour_of(object: ObjectId) -> Box<dyn Behaviour> {
    special_behaviour_of(object).unwrap_or_else(|| Box::new(Plain))
}

/// The behaviour that belongs to an Object that is more than data here; `None` for all others.
#[must_use]
pub fn special_behaviour_of(object: ObjectId) -> Option<Box<dyn Behaviour>> {
    Some(match object {
        ObjectId::SECURITY => Box::new(Security),
        ObjectId::SERVER => Box::new(Server),
        ObjectId::DEVICE => Box::new(Device::default()),
        ObjectId::CONNECTIVITY_MONITORING | ObjectId::LOCATION => Box::new(Fixed),
        ObjectId::CONNECTIVITY_STATISTICS => Box::new(ConnectivityStatistics::default()),
        ObjectId::FIRMWARE_UPDATE => Box::new(FirmwareUpdate),
        ObjectId(3300..=3304 | 3315..=3325) => Box::new(Sensor),
        _ => return None,
    })
}
