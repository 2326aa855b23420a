//! Whether a configuration makes sense as a whole: what Bootstrap-Finish asks before it is answered
//! with 2.04 (TS 1.0 §5.2.7.6), and the sentence that goes out with 4.06 if it does not.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;

use dunlin_lwm2m::operation::Binding;
use dunlin_lwm2m::{Instance, ObjectId, ObjectInstanceId, ShortServerId, Value};

use crate::access::{TARGET_INSTANCE, TARGET_OBJECT};
use crate::account::{
    MODE_NOSEC, MODE_PSK, MODE_RPK, MODE_X509, PUBLIC_KEY_OR_IDENTITY, SECRET_KEY, SECURITY_MODE,
    SECURITY_SHORT_SERVER_ID, SERVER_PUBLIC_KEY, Scheme, ServerUri, URI, is_bootstrap,
    short_server_id,
};
use crate::draft::{Draft, View};
use crate::object::server::{BINDING, SHORT_SERVER_ID};
use crate::tree::Tree;

/// Supported Binding and Modes in Object 3.
const SUPPORTED_BINDING: u16 = 16;

/// `Err` says what is wrong, in one sentence with its path; otherwise how many Servers there are.
pub(crate) fn check(tree: &Tree, draft: &Draft) -> Result<usize, String> {
    let view = draft.view(tree);
    mandatory(tree, draft, &view)?;
    let securities = securities(&view)?;
    let servers = servers(&view)?;
    for (server, id) in &securities {
        if !servers.contains_key(server) {
            return Err(format!(
                "/0/{id}: no instance of Object 1 has its Short Server ID {server}"
            ));
        }
    }
    for (server, id) in &servers {
        if !securities.contains_key(server) {
            return Err(format!(
                "/1/{id}: no instance of Object 0 has its Short Server ID {server}"
            ));
        }
    }
    if securities.len() > 1 && !view.contains_key(&ObjectId::ACCESS_CONTROL) {
        return Err("several Servers, and this Client has no Object 2 (Access Control)".into());
    }
    access_control(&view)?;
    Ok(securities.len())
}

/// Every instance of the Objects that accounts are made of, and every one that was written, has
/// what it must have.
fn mandatory(tree: &Tree, draft: &Draft, view: &View<'_>) -> Result<(), String> {
    for (object, instances) in view {
        let Some(slot) = tree.slot(*object) else {
            continue;
        };
        let account = matches!(
            *object,
            ObjectId::SECURITY | ObjectId::SERVER | ObjectId::ACCESS_CONTROL
        );
        for (id, instance) in instances {
            if !account && !draft.has_written(*object, *id) {
                continue;
            }
            let missing = slot.definition.resources.iter().find(|one| {
                // What is read-only the device supplies itself.
                let theirs = account || one.operations.write;
                one.mandatory
                    && theirs
                    && !one.operations.execute
                    && instance.resource(one.id).is_none()
            });
            if let Some(missing) = missing {
                let resource = missing.id;
                return Err(format!("/{object}/{id}/{resource}: is missing"));
            }
        }
    }
    Ok(())
}

fn instances<'a>(
    view: &'a View<'a>,
    object: ObjectId,
) -> impl Iterator<Item = (ObjectInstanceId, &'a Instance)> {
    let all = view.get(&object).into_iter().flatten();
    all.map(|(id, instance)| (*id, *instance))
}

type ByServer = BTreeMap<ShortServerId, ObjectInstanceId>;

fn securities(view: &View<'_>) -> Result<ByServer, String> {
    let mut found = ByServer::new();
    let mut bootstrap = 0;
    for (id, security) in instances(view, ObjectId::SECURITY) {
        credentials(security).map_err(|what| format!("/0/{id}: {what}"))?;
        if is_bootstrap(security) {
            bootstrap += 1;
            if bootstrap > 1 {
                return Err(format!("/0/{id}: a second account of a Bootstrap-Server"));
            }
            continue;
        }
        let server = short_server_id(security, SECURITY_SHORT_SERVER_ID)
            .ok_or_else(|| format!("/0/{id}/10: no Short Server ID from 1 to 65534"))?;
        if found.insert(server, id).is_some() {
            return Err(format!("/0/{id}/10: a second account of Server {server}"));
        }
    }
    Ok(found)
}

/// URI, mode and keys fit together (TS 1.0 §7.1, §E.1.1).
fn credentials(security: &Instance) -> Result<(), &'static str> {
    let uri = security.value(URI).and_then(Value::as_str).unwrap_or("");
    let uri =
        ServerUri::parse(uri).map_err(|_| "the URI is neither coap:// nor coaps:// with a host")?;
    let mode = security.value(SECURITY_MODE).and_then(Value::as_integer);
    let has = |resource: u16| match security.value(resource) {
        Some(Value::Opaque(bytes)) => !bytes.is_empty(),
        _ => false,
    };
    match (mode, uri.scheme) {
        (Some(MODE_NOSEC), Scheme::Coap) => Ok(()),
        (Some(MODE_NOSEC), Scheme::Coaps) => Err("mode 3 (no security) with a coaps:// URI"),
        (Some(MODE_PSK | MODE_RPK | MODE_X509), Scheme::Coap) => {
            Err("a mode with security and a coap:// URI")
        }
        (Some(MODE_PSK), Scheme::Coaps) if !has(PUBLIC_KEY_OR_IDENTITY) || !has(SECRET_KEY) => {
            Err("mode 0 needs an identity (3) and a key (5)")
        }
        (Some(MODE_PSK), Scheme::Coaps) => Ok(()),
        (Some(MODE_RPK | MODE_X509), Scheme::Coaps)
            if !has(PUBLIC_KEY_OR_IDENTITY) || !has(SECRET_KEY) || !has(SERVER_PUBLIC_KEY) =>
        {
            Err(
                "modes 1 and 2 need our key or certificate (3), the Server's (4) and our private key (5)",
            )
        }
        (Some(MODE_RPK | MODE_X509), Scheme::Coaps) => Ok(()),
        _ => Err("this Client does not support that security mode"),
    }
}

fn servers(view: &View<'_>) -> Result<ByServer, String> {
    let supported = instances(view, ObjectId::DEVICE)
        .next()
        .and_then(|(_, device)| device.value(SUPPORTED_BINDING).and_then(Value::as_str))
        .unwrap_or(Binding::UQ.as_str());
    let mut found = ByServer::new();
    for (id, server) in instances(view, ObjectId::SERVER) {
        let binding = server.value(BINDING).and_then(Value::as_str).unwrap_or("");
        if !binding.chars().all(|letter| supported.contains(letter)) {
            return Err(format!(
                "/1/{id}/7: the binding {binding} is not among those of this device ({supported})"
            ));
        }
        let short = short_server_id(server, SHORT_SERVER_ID)
            .ok_or_else(|| format!("/1/{id}/0: no Short Server ID from 1 to 65534"))?;
        if found.insert(short, id).is_some() {
            return Err(format!("/1/{id}/0: a second instance for Server {short}"));
        }
    }
    Ok(found)
}

/// Access Control speaks of Objects and instances that are there.
fn access_control(view: &View<'_>) -> Result<(), String> {
    for (id, control) in instances(view, ObjectId::ACCESS_CONTROL) {
        let number = |resource: u16| {
            let number = control.value(resource).and_then(Value::as_integer);
            number.and_then(|number| u16::try_from(number).ok())
        };
        let object = number(TARGET_OBJECT).map(ObjectId);
        let Some(targets) = object.and_then(|object| view.get(&object)) else {
            return Err(format!("/2/{id}/0: this Client has no such Object"));
        };
        let instance = number(TARGET_INSTANCE).map(ObjectInstanceId);
        // 65535 stands for the right to create instances.
        let there = instance.is_some_and(|one| one.0 == u16::MAX || targets.contains_key(&one));
        if !there {
            return Err(format!("/2/{id}/1: there is no such Object Instance"));
        }
    }
    Ok(())
}
