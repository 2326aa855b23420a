//! Who may do what: the Access Control Object read as rights (TS 1.0 §7.3).

use dunlin_lwm2m::operation::{Operation, ResponseCode};
use dunlin_lwm2m::{
    Instance, Level, ObjectId, ObjectInstanceId, Path, ResourceInstanceId, ResourceValue,
    ShortServerId, Value,
};

use crate::tree::{Refusal, Tree};

/// Read, Observe, Write-Attributes.
pub(crate) const READ: i64 = 1;
/// Write.
pub(crate) const WRITE: i64 = 2;
/// Execute.
pub(crate) const EXECUTE: i64 = 4;
/// Delete.
pub(crate) const DELETE: i64 = 8;
/// Create.
pub(crate) const CREATE: i64 = 16;
/// What the owner has who is not limited by an entry of its own.
const ALL: i64 = READ | WRITE | EXECUTE | DELETE;

/// Object ID in Object 2.
pub(crate) const TARGET_OBJECT: u16 = 0;
/// Object Instance ID in Object 2.
pub(crate) const TARGET_INSTANCE: u16 = 1;
/// ACL in Object 2.
pub(crate) const ACL: u16 = 2;
/// Access Control Owner in Object 2.
pub(crate) const OWNER: u16 = 3;

const UNAUTHORIZED: Refusal = Refusal::new(
    ResponseCode::Unauthorized,
    "this Server has no right to do that",
);

/// One Server, in a Client that has so many of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    pub(crate) server: ShortServerId,
    /// The only Server has all rights where nothing else is said (TS 1.0 §7.3.1).
    pub(crate) alone: bool,
}

/// Whether the operation may be tried; whether the target has it is another question. What is not
/// there is said before what is not allowed: 4.04 tells nobody more than Discover does.
pub(crate) fn authorize(tree: &Tree, asker: Asker, operation: &Operation) -> Result<(), Refusal> {
    let path = operation.path();
    if path.object_id() == Some(ObjectId::SECURITY) {
        return Err(Refusal::new(
            ResponseCode::Unauthorized,
            "no Server has access to the Security Object",
        ));
    }
    let need = match operation {
        Operation::Create { object, .. } => return authorize_create(tree, asker, *object),
        Operation::Discover { .. } => return Ok(()),
        // On the level of Objects instances are left out one by one, or the operation is none.
        _ if path.level() == Level::Object => return Ok(()),
        Operation::Read { .. }
        | Operation::Observe { .. }
        | Operation::CancelObservation { .. }
        | Operation::WriteAttributes { .. } => READ,
        Operation::Write { .. } => WRITE,
        Operation::Execute { .. } => EXECUTE,
        Operation::Delete { .. } => DELETE,
        Operation::BootstrapDiscover { .. }
        | Operation::BootstrapWrite { .. }
        | Operation::BootstrapDelete { .. }
        | Operation::BootstrapFinish => return Err(UNAUTHORIZED),
    };
    authorize_instance(tree, asker, path, need)
}

/// Whether this Server may read there; asked again for every notification (TS 1.0 §5.5.2).
pub(crate) fn authorize_read(tree: &Tree, asker: Asker, path: Path) -> Result<(), Refusal> {
    match path.level() {
        Level::Object => Ok(()),
        _ => authorize_instance(tree, asker, path, READ),
    }
}

fn authorize_instance(tree: &Tree, asker: Asker, path: Path, need: i64) -> Result<(), Refusal> {
    let (Some(object), Some(instance)) = (path.object_id(), path.instance_id()) else {
        return Err(UNAUTHORIZED);
    };
    tree.find(Path::instance(object, instance))?;
    if object == ObjectId::ACCESS_CONTROL {
        return authorize_own(tree, asker, instance, path, need);
    }
    if rights(tree, asker, object, instance) & need == 0 {
        Err(UNAUTHORIZED)
    } else {
        Ok(())
    }
}

fn authorize_create(tree: &Tree, asker: Asker, object: ObjectId) -> Result<(), Refusal> {
    tree.find(Path::object(object))?;
    if object == ObjectId::ACCESS_CONTROL {
        return Err(UNAUTHORIZED);
    }
    let entry = match entry_of(tree, object, ObjectInstanceId(u16::MAX)) {
        Some(control) => acl(control, asker.server.value()).unwrap_or(0),
        None if asker.alone => CREATE,
        None => 0,
    };
    if entry & CREATE == 0 {
        Err(UNAUTHORIZED)
    } else {
        Ok(())
    }
}

/// Access to the Access Control Object itself: open to read, written by the owner alone.
fn authorize_own(
    tree: &Tree,
    asker: Asker,
    instance: ObjectInstanceId,
    path: Path,
    need: i64,
) -> Result<(), Refusal> {
    let owned = tree
        .value(ObjectId::ACCESS_CONTROL, instance, OWNER)
        .and_then(Value::as_integer)
        == Some(i64::from(asker.server.value()));
    let writable = path
        .resource_id()
        .is_none_or(|resource| matches!(resource.0, ACL | OWNER));
    match need {
        READ => Ok(()),
        WRITE if owned && writable => Ok(()),
        _ => Err(UNAUTHORIZED),
    }
}

/// The rights of a Server on an instance, as the bits of the ACL.
pub(crate) fn rights(
    tree: &Tree,
    asker: Asker,
    object: ObjectId,
    instance: ObjectInstanceId,
) -> i64 {
    if object == ObjectId::ACCESS_CONTROL {
        return READ;
    }
    let Some(control) = entry_of(tree, object, instance) else {
        return if asker.alone { ALL } else { 0 };
    };
    let server = asker.server.value();
    let owns = control.value(OWNER).and_then(Value::as_integer) == Some(i64::from(server));
    match acl(control, server) {
        Some(own) => own,
        None if owns => ALL,
        None => acl(control, 0).unwrap_or(0),
    }
}

fn acl(control: &Instance, server: u16) -> Option<i64> {
    match &control.resource(ACL)?.value {
        ResourceValue::Multiple(entries) => entries
            .get(&ResourceInstanceId(server))
            .and_then(Value::as_integer),
        ResourceValue::Single(_) => None,
    }
}

/// The instance of Object 2 that is about this target.
pub(crate) fn entry_of(
    tree: &Tree,
    object: ObjectId,
    instance: ObjectInstanceId,
) -> Option<&Instance> {
    let is = |control: &Instance, resource: u16, id: u16| {
        control.value(resource).and_then(Value::as_integer) == Some(i64::from(id))
    };
    tree.instances(ObjectId::ACCESS_CONTROL).find(|control| {
        is(control, TARGET_OBJECT, object.0) && is(control, TARGET_INSTANCE, instance.0)
    })
}
