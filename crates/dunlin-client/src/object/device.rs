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
const ERROR_CODE: u16 = 11;
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
