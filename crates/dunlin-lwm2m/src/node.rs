//! Trees of values: what a Read brings back and a Write takes along.
//!
//! Formats ([`crate::format`]) turn bytes into a [`Node`] and back. A tree is canonical: children
//! are kept in the order of their ids, each id once, so that equal contents are equal trees
//! whatever the order on the wire.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use crate::id::{ObjectId, ObjectInstanceId, ResourceId, ResourceInstanceId};
use crate::path::Path;
use crate::value::Value;

/// A subtree as an operation sees it: an Object, one of its instances, or one Resource. It does
/// not say where it hangs; the path of the operation does.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// An Object with its instances.
    Object(Object),
    /// An Object Instance with its Resources.
    Instance(Instance),
    /// A Resource.
    Resource(Resource),
}

/// A Resource and what it holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// Which.
    pub id: ResourceId,
    /// What it holds.
    pub value: ResourceValue,
}

/// One value, or any number of them by Resource Instance.
#[derive(Debug, Clone, PartialEq)]
pub enum ResourceValue {
    /// A single Resource.
    Single(Value),
    /// A multiple Resource, whatever the number of its instances (TS 6.4.3).
    Multiple(BTreeMap<ResourceInstanceId, Value>),
}

/// An Object Instance: Resources in the order of their ids, each at most once.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// Which.
    pub id: ObjectInstanceId,
    resources: Vec<Resource>,
}

/// An Object: instances in the order of their ids, each at most once.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Which.
    pub id: ObjectId,
    instances: Vec<Instance>,
}

macro_rules! single_values_from {
    ($($rust:ty),+) => {
        $(impl From<$rust> for ResourceValue {
            fn from(value: $rust) -> Self {
                Self::Single(value.into())
            }
        })+
    };
}

single_values_from!(
    bool,
    i32,
    i64,
    f32,
    f64,
    &str,
    String,
    Vec<u8>,
    crate::value::ObjectLink
);

impl From<Value> for ResourceValue {
    fn from(value: Value) -> Self {
        Self::Single(value)
    }
}

impl Resource {
    /// A single Resource.
    pub fn single(id: impl Into<ResourceId>, value: Value) -> Self {
        Self {
            id: id.into(),
            value: ResourceValue::Single(value),
        }
    }

    /// A multiple Resource.
    pub fn multiple(
        id: impl Into<ResourceId>,
        values: impl IntoIterator<Item = (ResourceInstanceId, Value)>,
    ) -> Self {
        Self {
            id: id.into(),
            value: ResourceValue::Multiple(values.into_iter().collect()),
        }
    }

    /// The value of a single Resource; `None` for a multiple one.
    pub fn value(&self) -> Option<&Value> {
        match &self.value {
            ResourceValue::Single(value) => Some(value),
            ResourceValue::Multiple(_) => None,
        }
    }
}

impl Instance {
    /// An instance without Resources.
    pub fn new(id: impl Into<ObjectInstanceId>) -> Self {
        Self {
            id: id.into(),
            resources: Vec::new(),
        }
    }

    /// From Resources in any order; of several with one id the last counts, and the second of the
    /// pair says that there were such.
    pub fn gather(id: impl Into<ObjectInstanceId>, mut resources: Vec<Resource>) -> (Self, bool) {
        let twice = gather(&mut resources, |resource| resource.id);
        (
            Self {
                id: id.into(),
                resources,
            },
            twice,
        )
    }

    /// The same with one Resource more, or another in its place.
    #[must_use]
    pub fn with(mut self, resource: Resource) -> Self {
        self.insert(resource);
        self
    }

    /// Puts a Resource in and returns the one whose place it takes.
    pub fn insert(&mut self, resource: Resource) -> Option<Resource> {
        insert(&mut self.resources, resource, |resource| resource.id)
    }

    /// Takes a Resource out.
    pub fn remove(&mut self, id: ResourceId) -> Option<Resource> {
        let at = self
            .resources
            .binary_search_by_key(&id, |resource| resource.id)
            .ok()?;
        Some(self.resources.remove(at))
    }

    /// The Resources in the order of their ids.
    pub fn resources(&self) -> &[Resource] {
        &self.resources
    }

    /// The Resource of that id.
    pub fn resource(&self, id: impl Into<ResourceId>) -> Option<&Resource> {
        let at = self
            .resources
            .binary_search_by_key(&id.into(), |resource| resource.id)
            .ok()?;
        self.resources.get(at)
    }

    /// The Resource of that id, to be changed; its id stays.
    pub(crate) fn resource_mut(&mut self, id: ResourceId) -> Option<&mut Resource> {
        let at = self
            .resources
            .binary_search_by_key(&id, |resource| resource.id)
            .ok()?;
        self.resources.get_mut(at)
    }

    /// The value of a single Resource of that id.
    pub fn value(&self, id: impl Into<ResourceId>) -> Option<&Value> {
        self.resource(id)?.value()
    }

    /// The Resources, owned.
    pub fn into_resources(self) -> Vec<Resource> {
        self.resources
    }
}

impl Object {
    /// An Object without instances.
    pub fn new(id: impl Into<ObjectId>) -> Self {
        Self {
            id: id.into(),
            instances: Vec::new(),
        }
    }

    /// From instances in any order; of several with one id the last counts, and the second of the
    /// pair says that there were such.
    pub fn gather(id: impl Into<ObjectId>, mut instances: Vec<Instance>) -> (Self, bool) {
        let twice = gather(&mut instances, |instance| instance.id);
        (
            Self {
                id: id.into(),
                instances,
            },
            twice,
        )
    }

    /// The same with one instance more, or another in its place.
    #[must_use]
    pub fn with(mut self, instance: Instance) -> Self {
        self.insert(instance);
        self
    }

    /// Puts an instance in and returns the one whose place it takes.
    pub fn insert(&mut self, instance: Instance) -> Option<Instance> {
        insert(&mut self.instances, instance, |instance| instance.id)
    }

    /// The instances in the order of their ids.
    pub fn instances(&self) -> &[Instance] {
        &self.instances
    }

    /// The instance of that id.
    pub fn instance(&self, id: impl Into<ObjectInstanceId>) -> Option<&Instance> {
        let at = self
            .instances
            .binary_search_by_key(&id.into(), |instance| instance.id)
            .ok()?;
        self.instances.get(at)
    }

    /// The instance of that id, put in empty if it is not there.
    pub fn instance_entry(&mut self, id: ObjectInstanceId) -> &mut Instance {
        let at = match self
            .instances
            .binary_search_by_key(&id, |instance| instance.id)
        {
            Ok(at) => at,
            Err(at) => {
                self.instances.insert(at, Instance::new(id));
                at
            }
        };
        &mut self.instances[at]
    }

    /// The instances, owned.
    pub fn into_instances(self) -> Vec<Instance> {
        self.instances
    }
}

/// Puts `item` into its place in a vector sorted by `key`. Devices list their Resources in
/// order, so the place is nearly always the end.
fn insert<T, K: Ord>(items: &mut Vec<T>, item: T, key: impl Fn(&T) -> K) -> Option<T> {
    if items.last().is_none_or(|last| key(last) < key(&item)) {
        items.push(item);
        return None;
    }
    match items.binary_search_by(|other| key(other).cmp(&key(&item))) {
        Ok(at) => Some(core::mem::replace(&mut items[at], item)),
        Err(at) => {
            items.insert(at, item);
            None
        }
    }
}

impl Extend<Resource> for Instance {
    fn extend<T: IntoIterator<Item = Resource>>(&mut self, resources: T) {
        self.resources.extend(resources);
        gather(&mut self.resources, |resource| resource.id);
    }
}

impl Extend<Instance> for Object {
    fn extend<T: IntoIterator<Item = Instance>>(&mut self, instances: T) {
        self.instances.extend(instances);
        gather(&mut self.instances, |instance| instance.id);
    }
}

/// Puts items into order and keeps the last of each key; `true` if there were others. One sort,
/// because items from a stranger that come in the worst order must not cost their square.
fn gather<T, K: Ord>(items: &mut Vec<T>, key: impl Fn(&T) -> K) -> bool {
    if items.is_sorted_by(|a, b| key(a) < key(b)) {
        return false;
    }
    items.sort_by_key(&key);
    items.reverse();
    let before = items.len();
    items.dedup_by_key(|item| key(item));
    items.reverse();
    items.len() < before
}

impl Node {
    /// Every value in it with its full path, in the order of the tree; `at` is where the node
    /// itself stands.
    pub fn values(&self, at: Path) -> Vec<(Path, &Value)> {
        let mut values = Vec::new();
        match self {
            Self::Object(object) => {
                for instance in &object.instances {
                    collect_instance(
                        Path::instance(object.id, instance.id),
                        instance,
                        &mut values,
                    );
                }
            }
            Self::Instance(instance) => collect_instance(at, instance, &mut values),
            Self::Resource(resource) => collect_resource(at, resource, &mut values),
        }
        values
    }
}

fn collect_instance<'a>(at: Path, instance: &'a Instance, values: &mut Vec<(Path, &'a Value)>) {
    for resource in &instance.resources {
        let below = at
            .child(resource.id.0)
            .expect("an instance has room for a resource below");
        collect_resource(below, resource, values);
    }
}

fn collect_resource<'a>(at: Path, resource: &'a Resource, values: &mut Vec<(Path, &'a Value)>) {
    match &resource.value {
        ResourceValue::Single(value) => values.push((at, value)),
        ResourceValue::Multiple(instances) => values.extend(instances.iter().map(|(id, value)| {
            (
                at.child(id.0)
                    .expect("a resource has room for an instance below"),
                value,
            )
        })),
    }
}

/// When a value was measured, as the Client told it (TS 6.4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timestamp {
    /// So many milliseconds before the message was sent.
    Ago {
        /// How many; the greater, the older.
        ms: core::cmp::Reverse<u64>,
    },
    /// Milliseconds since 1970 in UTC, by the Client's clock.
    Unix {
        /// How many.
        ms: i64,
    },
}

impl Timestamp {
    /// So many milliseconds before the message.
    pub const fn ago(ms: u64) -> Self {
        Self::Ago {
            ms: core::cmp::Reverse(ms),
        }
    }

    /// Milliseconds since 1970, given when the message arrived in the same measure.
    pub fn resolve(self, arrived_ms: i64) -> i64 {
        match self {
            Self::Ago { ms } => arrived_ms.saturating_sub_unsigned(ms.0),
            Self::Unix { ms } => ms,
        }
    }
}

/// A tree and the time it is of.
#[derive(Debug, Clone, PartialEq)]
pub struct Timed {
    /// When; `None` if the Client did not say, which means now.
    pub at: Option<Timestamp>,
    /// What.
    pub node: Node,
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn a_tree_is_canonical_whatever_the_order() {
        let one = Resource::single(1, Value::Integer(1));
        let two = Resource::single(2, Value::Integer(2));
        let forth = Instance::new(0).with(one.clone()).with(two.clone());
        let back = Instance::new(0).with(two).with(one);
        assert_eq!(forth, back);
    }

    #[test]
    fn the_last_of_two_wins_and_the_first_is_returned() {
        let mut instance = Instance::new(0).with(Resource::single(2, Value::Integer(2)));
        let first = instance.insert(Resource::single(2, Value::Integer(3)));
        assert_eq!(first, Some(Resource::single(2, Value::Integer(2))));
        assert_eq!(instance.value(2), Some(&Value::Integer(3)));
        assert_eq!(instance.resources().len(), 1);
        assert!(instance.remove(ResourceId(2)).is_some());
        assert!(instance.remove(ResourceId(2)).is_none());
    }

    #[test]
    fn any_order_is_put_in_order_and_the_last_counts() {
        let resource = |id: u16, value| Resource::single(id, Value::Integer(value));
        let (instance, twice) = Instance::gather(
            0,
            vec![
                resource(9, 1),
                resource(2, 2),
                resource(9, 3),
                resource(1, 4),
            ],
        );
        assert!(twice);
        assert_eq!(
            instance.resources(),
            [resource(1, 4), resource(2, 2), resource(9, 3)]
        );
        let (same, twice) = Instance::gather(0, instance.resources().to_vec());
        assert!(!twice);
        assert_eq!(same, instance);
        let mut extended = Instance::new(0);
        extended.extend([resource(9, 1), resource(2, 2), resource(9, 3)]);
        extended.extend([resource(1, 4)]);
        assert_eq!(extended, instance);
    }

    #[test]
    fn values_are_listed_with_their_paths() {
        let object = Object::new(3).with(
            Instance::new(0)
                .with(Resource::single(9, Value::Integer(100)))
                .with(Resource::multiple(
                    6,
                    [(ResourceInstanceId(1), Value::Integer(5))],
                )),
        );
        assert_eq!(
            Node::Object(object).values(Path::from([3])),
            vec![
                (Path::from([3, 0, 6, 1]), &Value::Integer(5)),
                (Path::from([3, 0, 9]), &Value::Integer(100)),
            ]
        );
    }

    #[test]
    fn ts_6_4_4_relative_times_lie_before_the_arrival() {
        assert_eq!(Timestamp::ago(5_000).resolve(60_000), 55_000);
        assert_eq!(Timestamp::Unix { ms: 7 }.resolve(60_000), 7);
        assert!(Timestamp::ago(10) < Timestamp::ago(5));
    }
}
