//! The Objects of a Client and their values, and what the operations of device management do to
//! them (TS 1.0 §5.4, §6.1).
//!
//! Values are data: every Object is a definition and a map of instances, whatever it means. What
//! makes an Object more than data - a clock that is read, a reboot that is executed - is its
//! [`Behaviour`]. An operation either succeeds as a whole or changes nothing: it works on a copy of
//! the one instance it touches.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use dunlin_lwm2m::definition::{ObjectDefinition, ResourceDefinition};
use dunlin_lwm2m::operation::{Arguments, ResponseCode, WriteMode};
use dunlin_lwm2m::{
    Instance, Level, Node, Object, ObjectId, ObjectInstanceId, Path, Resource, ResourceId,
    ResourceValue, Value, ValueType,
};
use dunlin_transport::{Now, WallTime};

use crate::object::{Action, Behaviour, Traffic};

/// More instances than this a Server cannot create in one Object: each costs memory on a device.
pub const INSTANCES_PER_OBJECT_MAX: usize = 64;

/// More Resource Instances than this a Server cannot write into one Resource.
pub const RESOURCE_INSTANCES_MAX: usize = 256;

/// An Object with everything that belongs to it.
#[derive(Debug)]
pub struct Slot {
    /// What it may hold.
    pub definition: Arc<ObjectDefinition>,
    /// What it does.
    pub behaviour: Box<dyn Behaviour>,
    /// What it holds.
    pub instances: BTreeMap<ObjectInstanceId, Instance>,
}

/// The Objects of a Client.
#[derive(Debug, Default)]
pub struct Tree {
    slots: BTreeMap<ObjectId, Slot>,
}

/// Why an operation was refused: the code for the Server, and words for the person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code.
    pub code: ResponseCode,
    /// One sentence.
    pub what: &'static str,
}

impl Refusal {
    pub(crate) const fn new(code: ResponseCode, what: &'static str) -> Self {
        Self { code, what }
    }
}

const NO_OBJECT: Refusal = Refusal::new(ResponseCode::NotFound, "no such Object");
const NO_INSTANCE: Refusal = Refusal::new(ResponseCode::NotFound, "no such Object Instance");
const NO_RESOURCE: Refusal = Refusal::new(ResponseCode::NotFound, "no such Resource");

type Done<T> = Result<T, Refusal>;

impl Tree {
    /// Puts an Object in, in place of the one with the same id.
    pub fn insert(&mut self, slot: Slot) {
        self.slots.insert(slot.definition.id, slot);
    }

    /// All Objects in the order of their ids.
    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.values()
    }

    /// An Object.
    #[must_use]
    pub fn slot(&self, object: ObjectId) -> Option<&Slot> {
        self.slots.get(&object)
    }

    pub(crate) fn slot_mut(&mut self, object: ObjectId) -> Option<&mut Slot> {
        self.slots.get_mut(&object)
    }

    /// The instances of an Object; none if there is no such Object.
    pub fn instances(&self, object: ObjectId) -> impl Iterator<Item = &Instance> {
        self.slots
            .get(&object)
            .into_iter()
            .flat_map(|slot| slot.instances.values())
    }

    /// The stored value of a single Resource.
    #[must_use]
    pub fn value(
        &self,
        object: ObjectId,
        instance: ObjectInstanceId,
        resource: u16,
    ) -> Option<&Value> {
        self.slots
            .get(&object)?
            .instances
            .get(&instance)?
            .value(resource)
    }

    /// The definition of the Resource that a path names or lies in.
    #[must_use]
    pub fn definition_at(&self, path: Path) -> Option<&ResourceDefinition> {
        self.slots
            .get(&path.object_id()?)?
            .definition
            .resource(path.resource_id()?)
    }

    /// Whether the target exists: the Object, the instance, or the Resource in it.
    pub fn find(&self, path: Path) -> Done<()> {
        let slot = self.object_of(path)?;
        if path.level() == Level::Object {
            return Ok(());
        }
        let instance = instance_of(slot, path)?;
        if path.level() == Level::Instance {
            return Ok(());
        }
        let id = path.resource_id().ok_or(NO_RESOURCE)?;
        let definition = slot.definition.resource(id).ok_or(NO_RESOURCE)?;
        if is_instantiated(slot, instance, definition) {
            Ok(())
        } else {
            Err(NO_RESOURCE)
        }
    }

    fn object_of(&self, path: Path) -> Done<&Slot> {
        path.object_id()
            .and_then(|id| self.slots.get(&id))
            .ok_or(NO_OBJECT)
    }

    /// Read (TS 1.0 §5.4.1): of an Object and an instance what is readable, of a Resource its value.
    pub fn read(&self, path: Path, wall: WallTime) -> Done<Node> {
        let slot = self.object_of(path)?;
        match path.level() {
            Level::Object => {
                let mut object = Object::new(slot.definition.id);
                object.extend(slot.instances.values().map(|one| readable(slot, one, wall)));
                Ok(Node::Object(object))
            }
            Level::Instance => Ok(Node::Instance(readable(
                slot,
                instance_of(slot, path)?,
                wall,
            ))),
            Level::Resource => read_resource(slot, path, wall).map(Node::Resource),
            Level::Root | Level::ResourceInstance => Err(Refusal::new(
                ResponseCode::MethodNotAllowed,
                "this level cannot be read",
            )),
        }
    }

    /// The Resources that an instance has now, executable ones too, in the order of their ids.
    pub fn instantiated(
        &self,
        path: Path,
    ) -> impl Iterator<Item = (&ResourceDefinition, Option<&ResourceValue>)> {
        let found = path
            .object_id()
            .and_then(|id| self.slots.get(&id))
            .and_then(|slot| Some((slot, slot.instances.get(&path.instance_id()?)?)));
        found.into_iter().flat_map(|(slot, instance)| {
            slot.definition
                .resources
                .iter()
                .filter(move |definition| is_instantiated(slot, instance, definition))
                .map(move |definition| {
                    (
                        definition,
                        instance.resource(definition.id).map(|found| &found.value),
                    )
                })
        })
    }

    /// Whether a Write may go to the target, whatever it brings: it is there or can be made, and it
    /// is writable.
    pub fn find_writable(&self, path: Path) -> Done<()> {
        let slot = self.object_of(path)?;
        instance_of(slot, path)?;
        let Some(id) = path.resource_id() else {
            return Ok(());
        };
        let definition = slot.definition.resource(id).ok_or(NO_RESOURCE)?;
        check_writable(definition)
    }

    /// Write (TS 1.0 §5.4.3). Gives the paths of the Resources that were written.
    pub fn write(&mut self, path: Path, mode: WriteMode, node: Node, now: Now) -> Done<Vec<Path>> {
        let slot = self.object_of(path)?;
        let instance = instance_of(slot, path)?;
        let written = match (path.level(), node) {
            (Level::Instance, Node::Instance(new)) => write_instance(slot, instance, mode, new)?,
            (Level::Resource, Node::Resource(new)) => write_resource(slot, instance, path, new)?,
            _ => {
                let what = "the payload is not of the level of its target";
                return Err(Refusal::new(ResponseCode::BadRequest, what));
            }
        };
        let paths = differences(path, instance, &written);
        slot.behaviour.check(&written)?;
        let ids: Vec<ResourceId> = paths.iter().filter_map(Path::resource_id).collect();
        let behaviour = &mut self.replace(path, written).behaviour;
        ids.into_iter().for_each(|id| behaviour.written(id, now));
        Ok(paths)
    }

    fn replace(&mut self, path: Path, written: Instance) -> &mut Slot {
        let object = path
            .object_id()
            .expect("a path into an instance has an Object");
        let slot = self.slots.get_mut(&object).expect("it was found before");
        slot.instances.insert(written.id, written);
        slot
    }

    /// Execute (TS 1.0 §5.4.5): what is to be done once the answer has gone out, and the paths of
    /// what changed at once.
    pub fn execute(
        &mut self,
        path: Path,
        arguments: &Arguments,
        now: Now,
    ) -> Done<(Action, Vec<Path>)> {
        let no = |what| Refusal::new(ResponseCode::MethodNotAllowed, what);
        if path.level() != Level::Resource {
            return Err(no("only Resources can be executed"));
        }
        let slot = self.object_of(path)?;
        let instance = instance_of(slot, path)?;
        let id = path.resource_id().expect("a Resource path has a Resource");
        let definition = slot.definition.resource(id).ok_or(NO_RESOURCE)?;
        if !is_instantiated(slot, instance, definition) {
            return Err(NO_RESOURCE);
        }
        if !definition.operations.execute {
            return Err(no("this Resource is not executable"));
        }
        let object = path.object_id().expect("it was found");
        let slot = self.slots.get_mut(&object).expect("it was found");
        let instance = path.instance_id().expect("a Resource path has an instance");
        let values = slot.instances.get_mut(&instance).expect("it was found");
        let before = values.clone();
        let action = slot.behaviour.execute(values, id, arguments, now)?;
        Ok((action, differences(path, &before, values)))
    }

    /// Create (TS 1.0 §5.4.6), all of what is brought or nothing. Gives the new instances' paths.
    pub fn create(&mut self, object: ObjectId, made: Created) -> Done<Vec<Path>> {
        let slot = self.slots.get(&object).ok_or(NO_OBJECT)?;
        if !slot.behaviour.creatable() {
            let what = "instances of this Object cannot be created";
            return Err(Refusal::new(ResponseCode::MethodNotAllowed, what));
        }
        let instances = match made {
            Created::Named(named) => named,
            Created::Unnamed(unnamed) => numbered(slot, unnamed)?,
        };
        let mut new = Vec::with_capacity(instances.len());
        for instance in instances {
            new.push(created(slot, &new, instance)?);
        }
        for instance in &new {
            slot.behaviour.check(instance)?;
        }
        let slot = self.slots.get_mut(&object).expect("it was found");
        let mut paths = Vec::with_capacity(new.len());
        for instance in new {
            paths.push(Path::instance(object, instance.id));
            slot.instances.insert(instance.id, instance);
        }
        Ok(paths)
    }

    /// Delete (TS 1.0 §5.4.7).
    pub fn delete(&mut self, path: Path) -> Done<()> {
        let slot = self.object_of(path)?;
        let instance = instance_of(slot, path)?.id;
        if !slot.behaviour.deletable() {
            let what = "instances of this Object cannot be deleted";
            return Err(Refusal::new(ResponseCode::MethodNotAllowed, what));
        }
        let object = slot.definition.id;
        self.slots
            .get_mut(&object)
            .expect("it was found")
            .instances
            .remove(&instance);
        Ok(())
    }

    /// Sets a value from inside the device: also what a Server can only read. The instance is made
    /// if it is not there. Gives the paths of what has changed.
    pub fn set(&mut self, path: Path, value: ResourceValue) -> Done<Vec<Path>> {
        let slot = self.object_of(path)?;
        let (Some(id), Some(resource)) = (path.instance_id(), path.resource_id()) else {
            return Err(NO_RESOURCE);
        };
        let definition = slot.definition.resource(resource).ok_or(NO_RESOURCE)?;
        let value = typed(definition, value)?;
        let before = slot
            .instances
            .get(&id)
            .cloned()
            .unwrap_or_else(|| Instance::new(id));
        let mut after = before.clone();
        after.insert(Resource {
            id: resource,
            value,
        });
        slot.behaviour.follow(&before, &mut after, resource);
        let paths = differences(path, &before, &after);
        self.replace(path, after);
        Ok(paths)
    }

    /// Takes a value away from inside the device. Gives the path if there was one.
    pub(crate) fn unset(&mut self, path: Path) -> Option<Path> {
        let slot = self.slots.get_mut(&path.object_id()?)?;
        let instance = slot.instances.get_mut(&path.instance_id()?)?;
        instance.remove(path.resource_id()?).map(|_| path)
    }

    /// Hands the counters of the network to an Object. Gives the paths of what has changed.
    pub(crate) fn count(&mut self, object: ObjectId, traffic: &Traffic, now: Now) -> Vec<Path> {
        let mut changed = Vec::new();
        let Some(slot) = self.slots.get_mut(&object) else {
            return changed;
        };
        for instance in slot.instances.values_mut() {
            let before = instance.clone();
            slot.behaviour.count(instance, traffic, now);
            let path = Path::instance(object, instance.id);
            changed.extend(differences(path, &before, instance));
        }
        changed
    }
}

/// What a Create brings.
#[derive(Clone, Debug, PartialEq)]
pub enum Created {
    /// Instances with the numbers that the Server chose.
    Named(Vec<Instance>),
    /// An instance whose number is ours to choose; the one it carries means nothing.
    Unnamed(Vec<Instance>),
}

fn numbered(slot: &Slot, unnamed: Vec<Instance>) -> Done<Vec<Instance>> {
    let free = (0..u16::MAX)
        .map(ObjectInstanceId)
        .find(|id| !slot.instances.contains_key(id))
        .filter(|id| slot.definition.multiple || id.0 == 0);
    let what = "the Object has room for no other instance";
    let id = free.ok_or(Refusal::new(ResponseCode::BadRequest, what))?;
    let mut instance = Instance::new(id);
    instance.extend(unnamed.into_iter().flat_map(Instance::into_resources));
    Ok(alloc::vec![instance])
}

fn instance_of(slot: &Slot, path: Path) -> Done<&Instance> {
    path.instance_id()
        .and_then(|id| slot.instances.get(&id))
        .ok_or(NO_INSTANCE)
}

/// Executable Resources have no value: they are there when they do something.
fn is_instantiated(slot: &Slot, instance: &Instance, definition: &ResourceDefinition) -> bool {
    if definition.operations.execute {
        return slot.behaviour.executes(definition);
    }
    instance.resource(definition.id).is_some()
}

fn readable(slot: &Slot, instance: &Instance, wall: WallTime) -> Instance {
    let mut read = Instance::new(instance.id);
    for resource in instance.resources() {
        let Some(definition) = slot.definition.resource(resource.id) else {
            continue;
        };
        if definition.operations.read {
            read.insert(current(slot, instance, resource, wall));
        }
    }
    read
}

fn current(slot: &Slot, instance: &Instance, stored: &Resource, wall: WallTime) -> Resource {
    match slot.behaviour.read(instance, stored.id, wall) {
        Some(value) => Resource {
            id: stored.id,
            value,
        },
        None => stored.clone(),
    }
}

fn read_resource(slot: &Slot, path: Path, wall: WallTime) -> Done<Resource> {
    let instance = instance_of(slot, path)?;
    let id = path.resource_id().ok_or(NO_RESOURCE)?;
    let definition = slot.definition.resource(id).ok_or(NO_RESOURCE)?;
    if !is_instantiated(slot, instance, definition) {
        return Err(NO_RESOURCE);
    }
    if !definition.operations.read {
        return Err(Refusal::new(
            ResponseCode::MethodNotAllowed,
            "this Resource is not readable",
        ));
    }
    let stored = instance.resource(id).ok_or(NO_RESOURCE)?;
    Ok(current(slot, instance, stored, wall))
}

fn write_instance(slot: &Slot, old: &Instance, mode: WriteMode, new: Instance) -> Done<Instance> {
    let mut written = old.clone();
    if mode == WriteMode::Replace {
        for definition in slot
            .definition
            .resources
            .iter()
            .filter(|one| one.operations.write)
        {
            if definition.mandatory && new.resource(definition.id).is_none() {
                let what = "a mandatory Resource is missing in what replaces the instance";
                return Err(Refusal::new(ResponseCode::BadRequest, what));
            }
            if new.resource(definition.id).is_none() {
                written.remove(definition.id);
            }
        }
    }
    for resource in new.into_resources() {
        // What this Object does not know is passed over (TS 1.0 §5.4.6 says so for Create).
        let Some(definition) = slot.definition.resource(resource.id) else {
            continue;
        };
        let resource = writable(definition, resource)?;
        match (
            mode,
            written
                .resource(resource.id)
                .map(|stored| stored.value.clone()),
            resource.value,
        ) {
            (
                WriteMode::Partial,
                Some(ResourceValue::Multiple(mut all)),
                ResourceValue::Multiple(some),
            ) => {
                all.extend(some);
                let value = bounded(ResourceValue::Multiple(all))?;
                written.insert(Resource {
                    id: resource.id,
                    value,
                });
            }
            (_, _, value) => {
                written.insert(Resource {
                    id: resource.id,
                    value,
                });
            }
        }
    }
    Ok(written)
}

fn write_resource(slot: &Slot, old: &Instance, path: Path, new: Resource) -> Done<Instance> {
    let id = path.resource_id().ok_or(NO_RESOURCE)?;
    let definition = slot.definition.resource(id).ok_or(NO_RESOURCE)?;
    let mut written = old.clone();
    written.insert(writable(definition, new)?);
    Ok(written)
}

fn check_writable(definition: &ResourceDefinition) -> Done<()> {
    if definition.operations.write {
        return Ok(());
    }
    Err(Refusal::new(
        ResponseCode::MethodNotAllowed,
        "a Resource is not writable",
    ))
}

fn writable(definition: &ResourceDefinition, resource: Resource) -> Done<Resource> {
    check_writable(definition)?;
    Ok(Resource {
        id: resource.id,
        value: typed(definition, resource.value)?,
    })
}

/// The value as the definition wants it: single or multiple, of its type, within its range.
pub(crate) fn typed(definition: &ResourceDefinition, value: ResourceValue) -> Done<ResourceValue> {
    let value = match (definition.multiple, value) {
        (true, ResourceValue::Multiple(values)) => ResourceValue::Multiple(values),
        (false, ResourceValue::Single(one)) => ResourceValue::Single(one),
        (true, ResourceValue::Single(_)) => {
            let what = "a single value for a Resource that may have several";
            return Err(Refusal::new(ResponseCode::BadRequest, what));
        }
        (false, ResourceValue::Multiple(_)) => {
            let what = "several values for a Resource that has one";
            return Err(Refusal::new(ResponseCode::BadRequest, what));
        }
    };
    let range = definition.range();
    let check = |one: &Value| {
        if !fits(definition.value_type, one) {
            return Err(Refusal::new(
                ResponseCode::BadRequest,
                "a value has the wrong type",
            ));
        }
        if !range.contains(one) {
            return Err(Refusal::new(
                ResponseCode::BadRequest,
                "a value is out of its range",
            ));
        }
        Ok(())
    };
    match &value {
        ResourceValue::Single(one) => check(one)?,
        ResourceValue::Multiple(values) => values.values().try_for_each(check)?,
    }
    bounded(value)
}

fn bounded(value: ResourceValue) -> Done<ResourceValue> {
    match &value {
        ResourceValue::Multiple(values) if values.len() > RESOURCE_INSTANCES_MAX => Err(
            Refusal::new(ResponseCode::BadRequest, "too many Resource Instances"),
        ),
        _ => Ok(value),
    }
}

fn fits(wanted: ValueType, value: &Value) -> bool {
    value.value_type() == wanted
}

fn created(slot: &Slot, siblings: &[Instance], given: Instance) -> Done<Instance> {
    let no = |what| Err(Refusal::new(ResponseCode::BadRequest, what));
    let id = given.id;
    let taken = slot.instances.contains_key(&id) || siblings.iter().any(|one| one.id == id);
    if taken {
        return no("an instance with this number is there already");
    }
    if id.0 == u16::MAX || (!slot.definition.multiple && id.0 != 0) {
        return no("the Object cannot have an instance with this number");
    }
    if slot.instances.len() + siblings.len() >= INSTANCES_PER_OBJECT_MAX {
        return no("the Object has room for no other instance");
    }
    let mut instance = Instance::new(id);
    for resource in given.into_resources() {
        let Some(definition) = slot.definition.resource(resource.id) else {
            continue;
        };
        // Read-only Resources are the Client's to fill in.
        if definition.operations.write {
            instance.insert(writable(definition, resource)?);
        }
    }
    slot.behaviour.fill(&mut instance);
    let missing = slot.definition.resources.iter().any(|definition| {
        definition.mandatory
            && definition.operations.write
            && instance.resource(definition.id).is_none()
    });
    if missing {
        return no("a mandatory Resource is missing");
    }
    Ok(instance)
}

/// The paths of all Resources of an instance that are not the same before and after.
fn differences(path: Path, before: &Instance, after: &Instance) -> Vec<Path> {
    let object = path
        .object_id()
        .expect("a path into an instance has an Object");
    let mut ids: Vec<ResourceId> = before
        .resources()
        .iter()
        .chain(after.resources())
        .map(|resource| resource.id)
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids.retain(|id| before.resource(*id) != after.resource(*id));
    ids.into_iter()
        .map(|id| Path::resource(object, after.id, id))
        .collect()
}
