//! A bootstrap run as one transaction: what the Bootstrap-Server writes and deletes is held here,
//! beside the Objects, until it says that it has finished and all of it makes sense together. A
//! run that fails leaves nothing behind (TS 1.0 §5.2.4 asks that much for the Bootstrap-Server
//! Account alone).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use dunlin_lwm2m::definition::ResourceDefinition;
use dunlin_lwm2m::operation::ResponseCode;
use dunlin_lwm2m::{
    Instance, Level, Node, ObjectId, ObjectInstanceId, Path, Resource, ResourceInstanceId,
    ResourceValue, ShortServerId, Value,
};
use dunlin_transport::Now;

use crate::access::{ACL, DELETE, OWNER, TARGET_INSTANCE, TARGET_OBJECT, WRITE};
use crate::account::{SECURITY_SHORT_SERVER_ID, is_bootstrap, short_server_id};
use crate::object::server::SHORT_SERVER_ID;
use crate::tree::{INSTANCES_PER_OBJECT_MAX, Refusal, Slot, Tree, typed};

/// Instances as they would be if the run ended now.
pub(crate) type View<'a> = BTreeMap<ObjectId, BTreeMap<ObjectInstanceId, &'a Instance>>;

const fn bad(what: &'static str) -> Refusal {
    Refusal::new(ResponseCode::BadRequest, what)
}

/// What a bootstrap run has changed so far. `None` is an instance that is deleted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft {
    changes: BTreeMap<(ObjectId, ObjectInstanceId), Option<Instance>>,
}

impl Draft {
    /// Everything as it would be.
    pub(crate) fn view<'a>(&'a self, tree: &'a Tree) -> View<'a> {
        let mut view = View::new();
        for slot in tree.slots() {
            let instances = slot.instances.iter().map(|(id, one)| (*id, one));
            view.insert(slot.definition.id, instances.collect());
        }
        for ((object, id), change) in &self.changes {
            let instances = view.entry(*object).or_default();
            match change {
                Some(instance) => {
                    instances.insert(*id, instance);
                }
                None => {
                    instances.remove(id);
                }
            }
        }
        view
    }

    /// Whether the run has written this instance.
    pub(crate) fn has_written(&self, object: ObjectId, id: ObjectInstanceId) -> bool {
        matches!(self.changes.get(&(object, id)), Some(Some(_)))
    }

    /// Bootstrap-Write (TS 1.0 §5.2.7.4): whatever the rights and the operations of the Resources
    /// are. `node` was read from the payload for `path`.
    pub(crate) fn write(&mut self, tree: &Tree, path: Path, node: Node) -> Result<(), Refusal> {
        let slot = path.object_id().and_then(|object| tree.slot(object));
        let slot = slot.ok_or(bad("this Client has no such Object"))?;
        let written = match (path.level(), node) {
            (Level::Object, Node::Object(object)) => {
                let all = object.into_instances().into_iter();
                all.map(|one| known(slot, one.id, one.into_resources()))
                    .collect::<Result<Vec<Instance>, Refusal>>()?
            }
            (Level::Instance, Node::Instance(instance)) => {
                let id = path.instance_id().ok_or(bad("no instance is named"))?;
                alloc::vec![known(slot, id, instance.into_resources())?]
            }
            (Level::Resource, Node::Resource(resource)) => {
                let id = path.instance_id().ok_or(bad("no instance is named"))?;
                let view = self.view(tree);
                let stored = view.get(&slot.definition.id).and_then(|all| all.get(&id));
                let resources = stored.map(|one| one.resources().to_vec());
                let mut all = resources.unwrap_or_default();
                all.retain(|one| one.id != resource.id);
                if slot.definition.resource(resource.id).is_none() {
                    return Err(bad("the Object has no such Resource"));
                }
                all.push(resource);
                alloc::vec![known(slot, id, all)?]
            }
            _ => return Err(bad("the payload is not of the level of its target")),
        };
        self.put(tree, slot.definition.id, written)
    }

    fn put(&mut self, tree: &Tree, object: ObjectId, new: Vec<Instance>) -> Result<(), Refusal> {
        let view = self.view(tree);
        let known = view.get(&object);
        let mut ids: BTreeSet<ObjectInstanceId> = new.iter().map(|one| one.id).collect();
        ids.extend(known.into_iter().flat_map(BTreeMap::keys));
        if ids.len() > INSTANCES_PER_OBJECT_MAX {
            return Err(bad("the Object has room for no other instance"));
        }
        for instance in new {
            self.changes.insert((object, instance.id), Some(instance));
        }
        Ok(())
    }

    /// Bootstrap-Delete (TS 1.0 §5.2.7.5). The Bootstrap-Server Account and the Device stay,
    /// whatever is asked for.
    pub(crate) fn delete(&mut self, tree: &Tree, path: Path) -> Result<(), Refusal> {
        let view = self.view(tree);
        let mut gone = Vec::new();
        match (path.object_id(), path.instance_id()) {
            (Some(object), _) if !view.contains_key(&object) => {
                return Err(bad("this Client has no such Object"));
            }
            (Some(object), Some(id)) => {
                if let Some(instance) = view[&object].get(&id) {
                    if stays(object, instance) {
                        let what = "the Device and the Bootstrap-Server Account cannot be deleted";
                        return Err(bad(what));
                    }
                    gone.push((object, id));
                }
            }
            (object, None) => {
                let targets = view.iter();
                for (one, instances) in targets.filter(|(one, _)| object.is_none_or(|o| o == **one))
                {
                    let all = instances
                        .iter()
                        .filter(|(_, instance)| !stays(*one, instance));
                    gone.extend(all.map(|(id, _)| (*one, *id)));
                }
            }
            (None, Some(_)) => return Err(bad("no such target")),
        }
        drop(view);
        self.changes.extend(gone.into_iter().map(|at| (at, None)));
        Ok(())
    }

    /// Takes an instance away, whatever it is; the Device alone stays.
    pub(crate) fn forget(&mut self, object: ObjectId, id: ObjectInstanceId) {
        if object != ObjectId::DEVICE {
            self.changes.insert((object, id), None);
        }
    }

    /// What goes with every Server that has no account any more (TS 1.0 §E.1.3): instances that it
    /// alone could reach, its rights on others, its instance of Object 1. What the run has written
    /// itself stays. Gives the Servers.
    pub(crate) fn unbootstrap(&mut self, tree: &Tree) -> Vec<ShortServerId> {
        let before: BTreeSet<ShortServerId> = servers(tree.instances(ObjectId::SECURITY)).collect();
        let view = self.view(tree);
        let securities = view.get(&ObjectId::SECURITY).into_iter();
        let after: BTreeSet<ShortServerId> =
            servers(securities.flat_map(|all| all.values().copied())).collect();
        drop(view);
        let gone: Vec<ShortServerId> = before.difference(&after).copied().collect();
        for server in &gone {
            self.forget_rights(tree, *server);
            self.forget_server(tree, *server);
        }
        gone
    }

    fn forget_server(&mut self, tree: &Tree, server: ShortServerId) {
        let view = self.view(tree);
        let all = view.get(&ObjectId::SERVER).into_iter().flatten();
        let ids: Vec<ObjectInstanceId> = all
            .filter(|(_, one)| short_server_id(one, SHORT_SERVER_ID) == Some(server))
            .map(|(id, _)| *id)
            .collect();
        drop(view);
        for id in ids {
            if !self.has_written(ObjectId::SERVER, id) {
                self.changes.insert((ObjectId::SERVER, id), None);
            }
        }
    }

    fn forget_rights(&mut self, tree: &Tree, server: ShortServerId) {
        let view = self.view(tree);
        let controls = view.get(&ObjectId::ACCESS_CONTROL).into_iter().flatten();
        let mut changes = Vec::new();
        for (id, control) in controls {
            if self.has_written(ObjectId::ACCESS_CONTROL, *id) {
                continue;
            }
            let owned = short_server_id(control, OWNER) == Some(server);
            let rights = acl(control);
            let own = ResourceInstanceId(server.value());
            let others: Vec<(ResourceInstanceId, i64)> =
                rights.into_iter().filter(|(id, _)| *id != own).collect();
            if owned && others.is_empty() {
                changes.push(((ObjectId::ACCESS_CONTROL, *id), None));
                changes.extend(
                    target(control)
                        .filter(|(object, target)| {
                            let instance = view.get(object).and_then(|all| all.get(target));
                            instance.is_some_and(|one| !stays(*object, one))
                                && !self.has_written(*object, *target)
                        })
                        .map(|at| (at, None)),
                );
                continue;
            }
            let mut kept = (*control).clone();
            if owned {
                let next = next_owner(&others);
                kept.insert(Resource::single(OWNER, Value::Integer(next.into())));
            }
            let entries = others.into_iter();
            let entries = entries.map(|(id, rights)| (id, Value::Integer(rights)));
            kept.insert(Resource::multiple(ACL, entries));
            changes.push(((ObjectId::ACCESS_CONTROL, *id), Some(kept)));
        }
        drop(view);
        self.changes.extend(changes);
    }

    /// Makes it so. What a device keeps of itself, such as its Firmware Update, it has again at
    /// once when it was deleted, and keeps beside what was written. Gives the paths of what has
    /// changed.
    pub(crate) fn apply(self, tree: &mut Tree, now: Now) -> Vec<Path> {
        let mut paths = Vec::new();
        for ((object, id), change) in self.changes {
            let Some(slot) = tree.slot_mut(object) else {
                continue;
            };
            let own = is_devices_own(slot);
            match change {
                None if own => continue,
                None => {
                    slot.instances.remove(&id);
                }
                Some(written) => {
                    let ids: Vec<_> = written.resources().iter().map(|one| one.id).collect();
                    match slot.instances.get_mut(&id) {
                        Some(stored) if own => stored.extend(written.into_resources()),
                        _ => {
                            slot.instances.insert(id, written);
                        }
                    }
                    ids.into_iter()
                        .for_each(|id| slot.behaviour.written(id, now));
                }
            }
            paths.push(Path::instance(object, id));
        }
        paths
    }
}

/// Whether the one instance of the Object is the device itself, or a part of it.
fn is_devices_own(slot: &Slot) -> bool {
    slot.definition.id != ObjectId::SECURITY && !slot.behaviour.deletable()
}

fn stays(object: ObjectId, instance: &Instance) -> bool {
    object == ObjectId::DEVICE || object == ObjectId::SECURITY && is_bootstrap(instance)
}

/// Whether an optional Resource is written as nothing where nothing is out of its range: it is not
/// there, then. Leshan's Bootstrap-Server writes the SMS keys that it does not have that way.
fn is_blank(definition: &ResourceDefinition, value: &ResourceValue) -> bool {
    let empty = match value {
        ResourceValue::Single(Value::Opaque(bytes)) => bytes.is_empty(),
        ResourceValue::Single(Value::String(text)) => text.is_empty(),
        ResourceValue::Single(_) | ResourceValue::Multiple(_) => false,
    };
    let fits = |one: &Value| definition.range().contains(one);
    empty && !definition.mandatory && matches!(value, ResourceValue::Single(one) if !fits(one))
}

/// The Resources that the Object knows, with their types and ranges checked.
fn known(slot: &Slot, id: ObjectInstanceId, resources: Vec<Resource>) -> Result<Instance, Refusal> {
    if id.0 == u16::MAX || (!slot.definition.multiple && id.0 != 0) {
        return Err(bad("the Object cannot have an instance with this number"));
    }
    let mut instance = Instance::new(id);
    for resource in resources {
        // What this Client does not know is passed over (TS 1.0 §5.2.7.4).
        let Some(definition) = slot.definition.resource(resource.id) else {
            continue;
        };
        if !definition.operations.execute && !is_blank(definition, &resource.value) {
            let value = typed(definition, resource.value)?;
            let id = resource.id;
            instance.insert(Resource { id, value });
        }
    }
    slot.behaviour.check(&instance)?;
    Ok(instance)
}

fn servers<'a>(
    securities: impl Iterator<Item = &'a Instance>,
) -> impl Iterator<Item = ShortServerId> {
    securities
        .filter(|one| !is_bootstrap(one))
        .filter_map(|one| short_server_id(one, SECURITY_SHORT_SERVER_ID))
}

fn acl(control: &Instance) -> Vec<(ResourceInstanceId, i64)> {
    match control.resource(ACL).map(|one| &one.value) {
        Some(ResourceValue::Multiple(entries)) => entries
            .iter()
            .filter_map(|(id, value)| Some((*id, value.as_integer()?)))
            .collect(),
        _ => Vec::new(),
    }
}

/// What an instance of Object 2 is about; none if it is about Create, or cannot be read.
fn target(control: &Instance) -> impl Iterator<Item = (ObjectId, ObjectInstanceId)> {
    let id = |resource: u16| {
        let number = control.value(resource).and_then(Value::as_integer)?;
        u16::try_from(number).ok()
    };
    let target = id(TARGET_OBJECT).zip(id(TARGET_INSTANCE));
    target
        .map(|(object, instance)| (ObjectId(object), ObjectInstanceId(instance)))
        .filter(|(_, instance)| instance.0 != u16::MAX)
        .into_iter()
}

/// Who owns an instance when its owner is gone: the Server with the most of Write and Delete; the
/// default entry (0) is nobody.
fn next_owner(others: &[(ResourceInstanceId, i64)]) -> u16 {
    let weight = |rights: i64| i64::from(rights & WRITE != 0) + i64::from(rights & DELETE != 0);
    let named = others.iter().filter(|(id, _)| id.0 != 0);
    // Of equals the one with the least number: `max_by_key` takes the last, so from the end.
    let best = named.rev().max_by_key(|(_, rights)| weight(*rights));
    // Where all share the default rights nobody is owner: 65535 is no Server.
    best.map_or(u16::MAX, |(id, _)| id.0)
}
