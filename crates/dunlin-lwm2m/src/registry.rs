//! The definitions a Server, Client or tool knows, looked up by Object and version.
//!
//! Several versions of an Object stand side by side. A Client's own view of them, by the versions
//! it registered with, is a [`Model`]; formats ask it for types ([`Types`]).

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::definition::{BUNDLED, ObjectDefinition, ResourceDefinition};
use crate::id::{ObjectId, ResourceId};
use crate::link::ObjectLinks;
use crate::path::Path;
use crate::version::{LwM2mVersion, ObjectVersion};

/// Object definitions by id and version. Clones share the definitions.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    definitions: BTreeMap<(ObjectId, ObjectVersion), Arc<ObjectDefinition>>,
}

/// What a format asks: the definition of a Resource, and so its type.
pub trait Types {
    /// The Resource of that Object; `None` if it is not known.
    fn resource(&self, object: ObjectId, resource: ResourceId) -> Option<&ResourceDefinition>;
}

impl Registry {
    /// Without any definition.
    pub fn empty() -> Self {
        Self::default()
    }

    /// With the definitions that come along: the Objects of LwM2M 1.0 and a few others.
    pub fn bundled() -> Self {
        let mut registry = Self::default();
        for definition in BUNDLED {
            registry.insert((*definition).clone());
        }
        registry
    }

    /// Puts a definition in, in place of the one with the same id and version, which is returned.
    pub fn insert(&mut self, definition: ObjectDefinition) -> Option<Arc<ObjectDefinition>> {
        self.definitions
            .insert((definition.id, definition.version), Arc::new(definition))
    }

    /// The definition of exactly that version.
    pub fn exact(&self, id: ObjectId, version: ObjectVersion) -> Option<&Arc<ObjectDefinition>> {
        self.definitions.get(&(id, version))
    }

    /// The definition to use for an Object of that version: the same, else the highest minor of
    /// the same major, since minor differences are compatible (TS 6.2).
    pub fn lookup(&self, id: ObjectId, version: ObjectVersion) -> Option<&Arc<ObjectDefinition>> {
        self.exact(id, version)
            .or_else(|| self.highest_minor(id, version.major))
    }

    /// The definition of the highest minor version within a major one.
    pub fn highest_minor(&self, id: ObjectId, major: u8) -> Option<&Arc<ObjectDefinition>> {
        let first = (id, ObjectVersion { major, minor: 0 });
        let last = (
            id,
            ObjectVersion {
                major,
                minor: u8::MAX,
            },
        );
        self.definitions
            .range(first..=last)
            .next_back()
            .map(|(_, definition)| definition)
    }

    /// The definition of the highest version.
    pub fn latest(&self, id: ObjectId) -> Option<&Arc<ObjectDefinition>> {
        self.versions(id).next_back()
    }

    /// All versions of an Object, in their order.
    pub fn versions(
        &self,
        id: ObjectId,
    ) -> impl DoubleEndedIterator<Item = &Arc<ObjectDefinition>> {
        let first = (id, ObjectVersion { major: 0, minor: 0 });
        let last = (
            id,
            ObjectVersion {
                major: u8::MAX,
                minor: u8::MAX,
            },
        );
        self.definitions
            .range(first..=last)
            .map(|(_, definition)| definition)
    }

    /// All definitions, by id and version.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<ObjectDefinition>> {
        self.definitions.values()
    }

    /// How many definitions there are.
    pub fn len(&self) -> usize {
        self.definitions.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.definitions.is_empty()
    }

    /// What is known of the Objects of one Client: each in the version it registered with, or the
    /// one that its enabler implies.
    pub fn model(&self, links: &ObjectLinks, lwm2m: LwM2mVersion) -> Model<'_> {
        let stated = links
            .objects()
            .filter_map(|entry| Some((entry.id, entry.version?)))
            .collect();
        Model {
            registry: self,
            lwm2m,
            stated,
        }
    }

    /// What is known where nobody has registered: the versions that this enabler implies.
    pub fn of_enabler(&self, lwm2m: LwM2mVersion) -> Model<'_> {
        Model {
            registry: self,
            lwm2m,
            stated: Vec::new(),
        }
    }
}

/// The definitions in the versions of one Client.
#[derive(Debug, Clone)]
pub struct Model<'a> {
    registry: &'a Registry,
    lwm2m: LwM2mVersion,
    /// Versions the Client stated, by id.
    stated: Vec<(ObjectId, ObjectVersion)>,
}

impl<'a> Model<'a> {
    /// The definition of an Object in the version of this Client, see [`Registry::lookup`].
    pub fn object(&self, id: ObjectId) -> Option<&'a Arc<ObjectDefinition>> {
        self.registry.lookup(id, self.version(id))
    }

    /// The version of an Object that this Client has.
    pub fn version(&self, id: ObjectId) -> ObjectVersion {
        match self.stated.binary_search_by_key(&id, |(object, _)| *object) {
            Ok(at) => self.stated[at].1,
            Err(_) => self.lwm2m.default_object_version(id),
        }
    }

    /// The definition of a Resource. One that the Client's version does not have is looked for in
    /// higher minor versions: many Clients add Resources and do not say so.
    pub fn resource(&self, object: ObjectId, id: ResourceId) -> Option<&'a ResourceDefinition> {
        let version = self.version(object);
        self.registry
            .lookup(object, version)?
            .resource(id)
            .or_else(|| {
                self.registry
                    .highest_minor(object, version.major)?
                    .resource(id)
            })
    }

    /// The definition of the Resource that a path names or lies in.
    pub fn resource_at(&self, path: &Path) -> Option<&'a ResourceDefinition> {
        self.resource(path.object_id()?, path.resource_id()?)
    }
}

impl Types for Model<'_> {
    fn resource(&self, object: ObjectId, resource: ResourceId) -> Option<&ResourceDefinition> {
        Model::resource(self, object, resource)
    }
}

impl Types for Registry {
    /// By the highest version of the Object.
    fn resource(&self, object: ObjectId, resource: ResourceId) -> Option<&ResourceDefinition> {
        self.latest(object)?.resource(resource)
    }
}

impl Types for ObjectDefinition {
    /// By this definition alone.
    fn resource(&self, object: ObjectId, resource: ResourceId) -> Option<&ResourceDefinition> {
        if object == self.id {
            self.resource(resource)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::borrow::Cow;

    fn registry() -> Registry {
        let mut registry = Registry::empty();
        for (id, major, minor) in [
            (9, 1, 0),
            (9, 1, 2),
            (9, 2, 1),
            (10, 1, 0),
            (3, 1, 0),
            (3, 1, 1),
        ] {
            registry.insert(ObjectDefinition {
                id: ObjectId(id),
                version: ObjectVersion { major, minor },
                lwm2m_version: LwM2mVersion::V1_0,
                name: Cow::Borrowed("x"),
                description: Cow::Borrowed(""),
                multiple: false,
                mandatory: false,
                resources: Cow::Borrowed(&[]),
            });
        }
        registry
    }

    #[test]
    fn ts_6_2_minor_differences_are_compatible_and_major_ones_are_not() {
        let registry = registry();
        let found = |major, minor| {
            registry
                .lookup(ObjectId(9), ObjectVersion { major, minor })
                .map(|found| found.version)
        };
        let version = |major, minor| Some(ObjectVersion { major, minor });
        assert_eq!(found(1, 0), version(1, 0));
        assert_eq!(found(1, 1), version(1, 2));
        assert_eq!(found(1, 7), version(1, 2));
        assert_eq!(found(2, 0), version(2, 1));
        assert_eq!(found(3, 0), None);
        assert_eq!(
            registry.latest(ObjectId(9)).map(|found| found.version),
            version(2, 1)
        );
        assert_eq!(registry.versions(ObjectId(9)).count(), 3);
        assert!(registry.latest(ObjectId(8)).is_none());
    }

    #[test]
    fn ts_6_2_a_model_takes_the_versions_that_a_client_states_or_implies() {
        let registry = registry();
        let links = ObjectLinks::parse(b"</1/0>,</3/0>,</9>;ver=2.1,</10/0>")
            .unwrap()
            .links;
        let model = registry.model(&links, LwM2mVersion::V1_1);
        assert_eq!(
            model.object(ObjectId(9)).unwrap().version,
            ObjectVersion { major: 2, minor: 1 }
        );
        assert_eq!(
            model.object(ObjectId(3)).unwrap().version,
            ObjectVersion { major: 1, minor: 1 }
        );
        let first = registry.model(&links, LwM2mVersion::V1_0);
        assert_eq!(
            first.object(ObjectId(3)).unwrap().version,
            ObjectVersion::V1_0
        );
        assert!(first.object(ObjectId(1)).is_none());
    }
}
