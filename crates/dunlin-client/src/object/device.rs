//! Object 3, Device: the thing that one can hold (TS 1.0 §E.4).

use dunlin_lwm2m::definition::ResourceDefinition;
use dunlin_lwm2m::operation::Arguments;
use dunlin_lwm2m::{Instance, Resource, ResourceId, ResourceInstanceId, ResourceValue, Value};
use dunlin_transport::{Now, WallTime};

use super::{Action, Behaviour};
use crate::tree::Refusal;

/// Reboot.
const REBOOT: u16 = 4;
/// Factory Reset.
const FACTORY_RESET: u16 = 5;
/// Error Code.
pub(crate) const ERROR_CODE: u16 = 11;
/// Reset Error Code.
const RESET_ERROR_CODE: u16 = 12;
/// Current Time.
const CURRENT_TIME: u16 = 13;

/// Object 3. The clock is the one that the driver hands in; a Server that writes Current Time sets
/// how far this device's clock is ahead of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Device {
    /// The stored Current Time is a time and the moment it was set; see [`Device::read`].
    set_at: Option<WallTime>,
}

impl Behaviour for Device {
    fn read(
        &self,
        instance: &Instance,
        resource: ResourceId,
        wall: WallTime,
    ) -> Option<ResourceValue> {
        if resource.0 != CURRENT_TIME {
            return None;
        }
        let Some(Value::Time(stored)) = instance.value(CURRENT_TIME) else {
            return None;
        };
        let seconds = match self.set_at {
            // A Server has set the clock: it has run on since.
            Some(set_at) => stored.saturating_add(seconds(wall.since(set_at).as_secs())),
            None => seconds(wall.0 / 1_000),
        };
        Some(ResourceValue::Single(Value::Time(seconds)))
    }

    fn written(&mut self, resource: ResourceId, now: Now) {
        if resource.0 == CURRENT_TIME {
            self.set_at = Some(now.wall);
        }
    }

    fn executes(&self, definition: &ResourceDefinition) -> bool {
        matches!(definition.id.0, REBOOT | FACTORY_RESET | RESET_ERROR_CODE)
    }

    fn execute(
        &mut self,
        instance: &mut Instance,
        resource: ResourceId,
        _arguments: &Arguments,
        _now: Now,
    ) -> Result<Action, Refusal> {
        Ok(match resource.0 {
            REBOOT => Action::Reboot,
            FACTORY_RESET => Action::FactoryReset,
            _ => {
                // All instances go, and one says "no error"; the device sets again what still holds.
                let none = [(ResourceInstanceId(0), Value::Integer(0))];
                instance.insert(Resource::multiple(ERROR_CODE, none));
                Action::Tell
            }
        })
    }

    fn creatable(&self) -> bool {
        false
    }

    fn deletable(&self) -> bool {
        false
    }
}

fn seconds(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

/// An error of the device (`/3/0/11`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorCode {
    /// The battery is low.
    LowBattery = 1,
    /// The external power supply is off.
    ExternalPowerOff = 2,
    /// The receiver of a positioning system fails.
    GpsFailure = 3,
    /// The signal is weak.
    LowSignal = 4,
    /// There is no memory left.
    OutOfMemory = 5,
    /// SMS cannot be sent or received.
    SmsFailure = 6,
    /// There is no connection over IP.
    IpFailure = 7,
    /// Something that is connected to the device does not work as it should.
    PeripheralMalfunction = 8,
}

/// Adds or takes away an error (TS 1.0 §E.4): the first takes the place of "no error" in instance 0, each further
/// one has an instance of its own, and with the last one gone instance 0 says "no error" again. Gives whether
/// anything has changed.
pub(crate) fn set_error(device: &mut Instance, code: ErrorCode, there: bool) -> bool {
    let mut errors = match device.resource(ERROR_CODE).map(|one| &one.value) {
        Some(ResourceValue::Multiple(errors)) => errors.clone(),
        _ => Default::default(),
    };
    let error = Value::Integer(code as i64);
    let known = errors.values().any(|one| *one == error);
    if known == there {
        return false;
    }
    if there {
        errors.retain(|_, one| *one != Value::Integer(0));
        let free = (0..).map(ResourceInstanceId);
        let id = free.into_iter().find(|id| !errors.contains_key(id));
        errors.insert(id.expect("there are eight errors"), error);
    } else {
        errors.retain(|_, one| *one != error);
        if errors.is_empty() {
            errors.insert(ResourceInstanceId(0), Value::Integer(0));
        }
    }
    device.insert(Resource {
        id: ResourceId(ERROR_CODE),
        value: ResourceValue::Multiple(errors),
    });
    true
}
