//! Definitions written in Rust: an Object of one's own in a few lines.

use alloc::borrow::Cow;

use super::{ObjectDefinition, Operations, ResourceDefinition};
use crate::id::{ObjectId, ResourceId};
use crate::value::ValueType;
use crate::version::{LwM2mVersion, ObjectVersion};

type Text = Cow<'static, str>;

impl ObjectDefinition {
    /// An Object of version 1.0 with at most one instance, that a Client may have or not, and as yet without
    /// Resources. Numbers from 26241 on are for whoever wants one, others are registered with OMNA.
    pub fn new(id: impl Into<ObjectId>, name: impl Into<Text>) -> Self {
        Self {
            id: id.into(),
            version: ObjectVersion::V1_0,
            lwm2m_version: LwM2mVersion::V1_0,
            name: name.into(),
            description: Text::default(),
            multiple: false,
            mandatory: false,
            resources: Cow::Borrowed(&[]),
        }
    }

    /// It may have more than one instance.
    #[must_use]
    pub fn multiple(mut self) -> Self {
        self.multiple = true;
        self
    }

    /// It has this version.
    #[must_use]
    pub fn version(mut self, version: ObjectVersion) -> Self {
        self.version = version;
        self
    }

    /// What it is for.
    #[must_use]
    pub fn description(mut self, description: impl Into<Text>) -> Self {
        self.description = description.into();
        self
    }

    /// Adds a Resource, in place of one with the same number.
    #[must_use]
    pub fn with(mut self, resource: ResourceDefinition) -> Self {
        let resources = self.resources.to_mut();
        match resources.binary_search_by_key(&resource.id, |one| one.id) {
            Ok(at) => resources[at] = resource,
            Err(at) => resources.insert(at, resource),
        }
        self
    }
}

impl ResourceDefinition {
    /// A Resource with one value, that Servers read and that an instance may have or not.
    pub fn new(id: impl Into<ResourceId>, name: impl Into<Text>, value_type: ValueType) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            operations: Operations::R,
            multiple: false,
            mandatory: false,
            value_type,
            range_text: Text::default(),
            units: Text::default(),
            description: Text::default(),
        }
    }

    /// A Resource that Servers execute.
    pub fn executable(id: impl Into<ResourceId>, name: impl Into<Text>) -> Self {
        Self::new(id, name, ValueType::None).operations(Operations::E)
    }

    /// What Servers may do with it.
    #[must_use]
    pub fn operations(mut self, operations: Operations) -> Self {
        self.operations = operations;
        self
    }

    /// Servers write it, too.
    #[must_use]
    pub fn writable(self) -> Self {
        self.operations(Operations::RW)
    }

    /// It may have more than one value.
    #[must_use]
    pub fn multiple(mut self) -> Self {
        self.multiple = true;
        self
    }

    /// Every instance has it.
    #[must_use]
    pub fn mandatory(mut self) -> Self {
        self.mandatory = true;
        self
    }

    /// Which values it may have, as definitions write it: `0..100`, or `0..64 bytes` for texts.
    #[must_use]
    pub fn allowed(mut self, range: impl Into<Text>) -> Self {
        self.range_text = range.into();
        self
    }

    /// The unit of its values.
    #[must_use]
    pub fn units(mut self, units: impl Into<Text>) -> Self {
        self.units = units.into();
        self
    }

    /// What it means.
    #[must_use]
    pub fn description(mut self, description: impl Into<Text>) -> Self {
        self.description = description.into();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_found_whatever_the_order_they_were_added_in() {
        let door = ObjectDefinition::new(26_241, "Door")
            .with(ResourceDefinition::executable(2, "Close"))
            .with(ResourceDefinition::new(0, "Ajar", ValueType::String))
            .with(ResourceDefinition::new(0, "Open", ValueType::Boolean).mandatory());
        assert_eq!(door.resources.len(), 2);
        let open = door.resource(0).unwrap();
        assert_eq!((&*open.name, open.mandatory), ("Open", true));
        assert!(door.resource(2).unwrap().operations.execute);
        assert_eq!(door.urn(), "urn:oma:lwm2m:x:26241:1.0");
    }
}
