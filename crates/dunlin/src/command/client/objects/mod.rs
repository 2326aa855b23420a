//! Objects from a file (`--objects`): what they are, where their values come from, and what follows when a Server
//! writes or executes. `docs/reference/objects.md` is the description for people.
//!
//! `file` reads the file, `value` makes values of what it says, `feed` brings values in from outside, `hook` carries
//! out what Servers order.

mod feed;
mod file;
mod hook;
mod value;

use std::collections::{BTreeMap, BTreeSet};

use dunlin_client::lwm2m::definition::{ObjectDefinition, ResourceDefinition};
use dunlin_client::object::{Behaviour, special_behaviour_of};
use dunlin_client::{Factory, FactoryError, Sample};
use dunlin_lwm2m::{Instance, ObjectId, Path, Registry, ResourceId};

pub(super) use feed::Feed;
pub(super) use file::read;
pub(super) use hook::Hooks;

use self::hook::Hook;

/// All that a file says, or several of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Objects {
    definitions: Vec<ObjectDefinition>,
    instances: Vec<(ObjectId, Instance)>,
    pub(super) feeds: Vec<Feed>,
    hooks: BTreeMap<(ObjectId, ResourceId), Hook>,
}

impl Objects {
    /// What is known of Objects, with those of the files.
    pub(super) fn registry(&self) -> Registry {
        let mut registry = Registry::bundled();
        for definition in &self.definitions {
            registry.insert(definition.clone());
        }
        registry
    }

    /// Puts the Objects into a Client that is being made.
    pub(super) fn add_to(&self, factory: &mut Factory) -> Result<(), FactoryError> {
        for definition in &self.definitions {
            let executable = self
                .hooks
                .keys()
                .filter(|(object, _)| *object == definition.id);
            let slot = factory.add_object(definition.id)?;
            if special_behaviour_of(definition.id).is_none() {
                slot.behaviour = Box::new(FromFile {
                    runs: executable.map(|(_, resource)| *resource).collect(),
                });
            }
        }
        for (object, instance) in &self.instances {
            factory.add_instance(*object, instance.clone())?;
        }
        Ok(())
    }

    /// Whether a file says what this Object is.
    pub(super) fn defines(&self, object: ObjectId) -> bool {
        self.definitions.iter().any(|one| one.id == object)
    }

    /// Whether a file says what this Resource holds.
    pub(super) fn says(&self, path: Path) -> bool {
        let (Some(object), Some(resource)) = (path.object_id(), path.resource_id()) else {
            return false;
        };
        let feeds = self.feeds.iter();
        let mut feeds = feeds.map(|feed| (feed.object(), feed.resource()));
        feeds.any(|fed| fed == (object, resource))
            || self
                .instances
                .iter()
                .any(|(id, instance)| *id == object && instance.resource(resource).is_some())
    }

    /// The constants that no Server can write: the file wins over what was kept. An instance that a Server has
    /// deleted comes back with them.
    pub(super) fn constants(&self) -> Vec<Sample> {
        let mut samples = Vec::new();
        for (object, instance) in &self.instances {
            let definition = self.definitions.iter().find(|one| one.id == *object);
            for resource in instance.resources() {
                let known = definition.and_then(|one| one.resource(resource.id));
                if known.is_some_and(|known| !known.operations.write) {
                    let path = Path::resource(*object, instance.id, resource.id);
                    samples.push(Sample::Value(path, resource.value.clone()));
                }
            }
        }
        samples
    }

    pub(super) fn hooks(&self) -> Hooks {
        Hooks::start(&self.hooks)
    }
}

/// An Object of a file: data, and what is executed only where the file says what that means.
#[derive(Debug)]
struct FromFile {
    runs: BTreeSet<ResourceId>,
}

impl Behaviour for FromFile {
    fn executes(&self, definition: &ResourceDefinition) -> bool {
        self.runs.contains(&definition.id)
    }
}
