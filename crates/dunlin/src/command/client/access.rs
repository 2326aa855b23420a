//! Who may do what on a Client that a factory file gave several Servers (TS 1.0 §7.3).

use std::collections::BTreeMap;

use dunlin_client::{Client, Now, accounts};
use dunlin_lwm2m::{ObjectId, ObjectInstanceId, Path, ResourceInstanceId, ResourceValue, Value};

/// What Servers that own nothing may do by the default entry.
const READ: i64 = 1;

/// With several Servers nobody may do anything that no instance of Object 2 allows, and a factory
/// file says nothing about that. So the first Server owns what there is, each its own account, and
/// the others may read. The owner may write other rights into `/2`; what is there already stays.
pub(super) fn share(client: &mut Client, now: Now) {
    let servers = accounts(client.tree());
    let settled = client.tree().instances(ObjectId::ACCESS_CONTROL).next();
    let [first, _, ..] = servers.as_slice() else {
        return;
    };
    if settled.is_some() {
        return;
    }
    let own = |object: ObjectId, instance: ObjectInstanceId| {
        let account = servers.iter().find(|one| one.server == instance);
        let account = account.filter(|_| object == ObjectId::SERVER);
        account.map_or(first.short_server_id, |one| one.short_server_id)
    };
    let targets: Vec<_> = client
        .tree()
        .slots()
        .filter(|slot| {
            ![ObjectId::SECURITY, ObjectId::ACCESS_CONTROL].contains(&slot.definition.id)
        })
        .flat_map(|slot| {
            let object = slot.definition.id;
            slot.instances
                .keys()
                .map(move |instance| (object, *instance))
        })
        .collect();
    let readers = BTreeMap::from([(ResourceInstanceId(0), Value::Integer(READ))]);
    for (at, (object, instance)) in (0..).zip(targets) {
        let number = |value: u16| ResourceValue::Single(Value::Integer(value.into()));
        let said = [
            (0, number(object.0)),
            (1, number(instance.0)),
            (2, ResourceValue::Multiple(readers.clone())),
            (3, number(own(object, instance).value())),
        ];
        for (resource, value) in said {
            let path = Path::resource(
                ObjectId::ACCESS_CONTROL,
                ObjectInstanceId(at),
                resource.into(),
            );
            client
                .set(now, path, value)
                .expect("the Object is defined and there, and its values fit");
        }
    }
}
