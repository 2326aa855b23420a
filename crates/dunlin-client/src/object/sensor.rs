//! The sensors of the IPSO family (3300 Generic, 3303 Temperature, 3304 Humidity, 3315 Barometer …): a value
//! with the smallest and the greatest ever measured.

use dunlin_lwm2m::definition::ResourceDefinition;
use dunlin_lwm2m::operation::Arguments;
use dunlin_lwm2m::{Instance, Resource, ResourceId, Value};
use dunlin_transport::Now;

use super::{Action, Behaviour};
use crate::tree::Refusal;

/// Min Measured Value.
const MIN: u16 = 5601;
/// Max Measured Value.
const MAX: u16 = 5602;
/// Reset Min and Max Measured Values.
const RESET: u16 = 5605;
/// Sensor Value.
const VALUE: u16 = 5700;

/// A sensor. Setting its value moves the extremes; executing the reset brings them back to it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sensor;

impl Behaviour for Sensor {
    fn follow(&self, _before: &Instance, after: &mut Instance, changed: ResourceId) {
        if changed.0 != VALUE {
            return;
        }
        let Some(value) = after.value(VALUE).and_then(Value::as_number) else {
            return;
        };
        for (extreme, beyond) in [(MIN, f64::min as fn(f64, f64) -> f64), (MAX, f64::max)] {
            let known = after
                .value(extreme)
                .and_then(Value::as_number)
                .unwrap_or(value);
            after.insert(Resource::single(
                extreme,
                Value::Float(beyond(known, value)),
            ));
        }
    }

    fn executes(&self, definition: &ResourceDefinition) -> bool {
        definition.id.0 == RESET
    }

    fn execute(
        &mut self,
        instance: &mut Instance,
        _resource: ResourceId,
        _arguments: &Arguments,
        _now: Now,
    ) -> Result<Action, Refusal> {
        if let Some(value) = instance.value(VALUE).cloned() {
            instance.insert(Resource::single(MIN, value.clone()));
            instance.insert(Resource::single(MAX, value));
        }
        Ok(Action::Nothing)
    }
}
