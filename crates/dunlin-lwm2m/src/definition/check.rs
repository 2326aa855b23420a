//! Whether values are what a definition allows. A Client asks before it takes a Write, a Server
//! before it sends one, so that the mistake is found where it was made.

use alloc::string::ToString;

use thiserror::Error;

use super::{OutOfRange, Range, ResourceDefinition};
use crate::node::{Resource, ResourceValue};
use crate::value::{Value, ValueType};

/// What is wrong with a value; the answer to a Write is 4.00 (TS 8.5).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CheckError {
    /// A value of another type.
    #[error("the resource holds values of type {expected}, not {found}")]
    Type {
        /// What the definition says.
        expected: ValueType,
        /// What it is.
        found: ValueType,
    },
    /// One value where there may be many, or the other way round.
    #[error("the resource is {}", if *.multiple { "multiple" } else { "single" })]
    Multiplicity {
        /// What the definition says.
        multiple: bool,
    },
    /// A value outside of what is allowed.
    #[error(transparent)]
    Range(#[from] OutOfRange),
}

impl ResourceDefinition {
    /// Whether a Resource is as this definition says: single or multiple, type, range.
    pub fn check(&self, resource: &Resource) -> Result<(), CheckError> {
        let range = self.range();
        match (&resource.value, self.multiple) {
            (ResourceValue::Single(value), false) => self.check_within(value, &range),
            (ResourceValue::Multiple(values), true) => values
                .values()
                .try_for_each(|value| self.check_within(value, &range)),
            (_, multiple) => Err(CheckError::Multiplicity { multiple }),
        }
    }

    /// Whether one value is as this definition says: type and range.
    pub fn check_value(&self, value: &Value) -> Result<(), CheckError> {
        self.check_within(value, &self.range())
    }

    fn check_within(&self, value: &Value, range: &Range) -> Result<(), CheckError> {
        let found = value.value_type();
        if found != self.value_type {
            return Err(CheckError::Type {
                expected: self.value_type,
                found,
            });
        }
        if !range.contains(value) {
            return Err(OutOfRange {
                allowed: self.range_text.to_string(),
            }
            .into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{ObjectId, ResourceInstanceId};
    use crate::registry::Registry;

    #[test]
    fn ts_5_4_3_type_range_and_number_of_values_are_checked() {
        let registry = Registry::bundled();
        let device = registry.latest(ObjectId::DEVICE).unwrap();
        let battery = device.resource(9).unwrap();
        assert_eq!(
            battery.check(&Resource::single(9, Value::Integer(100))),
            Ok(())
        );
        assert_eq!(
            battery.check_value(&Value::Integer(101)),
            Err(OutOfRange {
                allowed: "0..100".into()
            }
            .into())
        );
        assert_eq!(
            battery.check_value(&Value::Float(1.0)),
            Err(CheckError::Type {
                expected: ValueType::Integer,
                found: ValueType::Float
            })
        );
        let many = Resource::multiple(9, [(ResourceInstanceId(0), Value::Integer(1))]);
        assert_eq!(
            battery.check(&many),
            Err(CheckError::Multiplicity { multiple: false })
        );
        let sources = device.resource(6).unwrap();
        assert_eq!(
            sources.check(&Resource::single(6, Value::Integer(1))),
            Err(CheckError::Multiplicity { multiple: true })
        );
        let wrong = Resource::multiple(6, [(ResourceInstanceId(0), Value::Integer(8))]);
        assert!(matches!(sources.check(&wrong), Err(CheckError::Range(_))));
        let reboot = device.resource(4).unwrap();
        assert!(matches!(
            reboot.check_value(&Value::Integer(1)),
            Err(CheckError::Type {
                expected: ValueType::None,
                ..
            })
        ));
    }
}
