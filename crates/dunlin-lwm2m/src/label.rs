//! Trees for people: every value in a line with its name and unit, as a command line or a table
//! shows it.

use alloc::vec::Vec;
use core::fmt;

use crate::definition::ResourceDefinition;
use crate::node::Node;
use crate::path::Path;
use crate::registry::Types;
use crate::value::Value;

/// One value with what its definition says of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Labelled<'a> {
    /// Where it stands, down to the Resource Instance of a multiple Resource.
    pub path: Path,
    /// The definition of its Resource, if there is one.
    pub definition: Option<&'a ResourceDefinition>,
    /// The value.
    pub value: &'a Value,
}

impl Labelled<'_> {
    /// What people call the Resource; empty if it is not defined.
    pub fn name(&self) -> &str {
        self.definition.map_or("", |definition| &definition.name)
    }

    /// The unit of the value; empty if it has none.
    pub fn units(&self) -> &str {
        self.definition.map_or("", |definition| &definition.units)
    }
}

impl fmt::Display for Labelled<'_> {
    /// `/3/0/9 Battery Level: 100 %`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path)?;
        if !self.name().is_empty() {
            write!(f, " {}", self.name())?;
        }
        write!(f, ": {}", self.value)?;
        if !self.units().is_empty() {
            write!(f, " {}", self.units())?;
        }
        Ok(())
    }
}

impl Node {
    /// Every value in it, labelled; `at` is where the node stands.
    pub fn labelled<'a>(&'a self, at: Path, types: &'a dyn Types) -> Vec<Labelled<'a>> {
        let definition = |path: Path| types.resource(path.object_id()?, path.resource_id()?);
        self.values(at)
            .into_iter()
            .map(|(path, value)| Labelled {
                path,
                definition: definition(path),
                value,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ResourceInstanceId;
    use crate::node::{Instance, Resource};
    use crate::registry::Registry;
    use alloc::string::ToString;

    #[test]
    fn values_have_names_and_units() {
        let registry = Registry::bundled();
        let node = Node::Instance(
            Instance::new(0)
                .with(Resource::single(9, Value::Integer(100)))
                .with(Resource::multiple(
                    7,
                    [(ResourceInstanceId(1), Value::Integer(3800))],
                ))
                .with(Resource::single(999, Value::Boolean(true))),
        );
        let lines: Vec<_> = node
            .labelled(Path::from([3, 0]), &registry)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            lines,
            [
                "/3/0/7/1 Power Source Voltage: 3800 mV",
                "/3/0/9 Battery Level: 100 %",
                "/3/0/999: true",
            ]
        );
    }
}
