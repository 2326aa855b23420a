//! How the demo's devices come to their keys: as in a fleet. Each is let in at the Bootstrap-Server
//! with what it got in the factory, and a profile for its kind says what it is given there.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use dunlin_client::Credentials;
use dunlin_lwm2m::ShortServerId;
use dunlin_node::bootstrap::{Keys, Profile, ProfileName, Selector, ServerAccount};
use dunlin_node::{Config, Node, Port};
use dunlin_sim::demo::{DemoClient, DemoSecurity, Provisioned};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PublicKeyData as _};
use serde_json::{Value as Json, json};
use ureq::http::Method;

use crate::api::Api;

/// The demo's Server, for its devices.
const SHORT_SERVER_ID: u16 = 1;

/// Bytes of the keys that the devices got in the factory.
const KEY_BYTES: usize = 16;

/// A certificate of the Server for the address that the demo's devices know: they hold it against
/// their URI.
pub(super) fn make_certificate(config: &mut Config, folder: &Path) -> anyhow::Result<()> {
    let pair = KeyPair::generate()?;
    let (key, certificate) = (folder.join("demo.key"), folder.join("demo.crt"));
    let issued = named("127.0.0.1")?.self_signed(&pair)?;
    fs::write(&key, pem("PRIVATE KEY", &pair.serialize_der()))?;
    fs::write(&certificate, pem("CERTIFICATE", issued.der()))?;
    config.dtls.key = key;
    config.dtls.certificate = certificate;
    Ok(())
}

/// RFC 7468.
fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in data_encoding::BASE64.encode(der).as_bytes().chunks(64) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text + "-----END " + label + "-----\n"
}

fn named(name: &str) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, name.to_owned());
    Ok(params)
}

/// Profiles for all kinds among the devices.
pub(super) async fn put_profiles(node: &Node, devices: &[DemoClient]) -> anyhow::Result<()> {
    let mut kinds: Vec<&DemoClient> = Vec::new();
    for device in devices {
        if kinds.iter().all(|other| other.kind() != device.kind()) {
            kinds.push(device);
        }
    }
    for kind in kinds {
        let put = node.put_profile(profile(node, kind)?).await;
        put.map_err(|faults| anyhow!("profile {}: {}", kind.kind(), faults.join("; ")))?;
    }
    Ok(())
}

fn profile(node: &Node, device: &DemoClient) -> anyhow::Result<Profile> {
    let keys = match device.security() {
        DemoSecurity::NoSec => Keys::NoSec,
        DemoSecurity::PreSharedKey => Keys::PreSharedKey {
            identity: None,
            key: None,
        },
        DemoSecurity::RawPublicKey => Keys::RawPublicKey {
            client: None,
            server: None,
        },
        DemoSecurity::Certificate => Keys::Certificate {
            client: None,
            server: None,
        },
    };
    let uri = match device.security() {
        DemoSecurity::NoSec => format!("coap://{}", door(node, Port::Coap)?),
        _ => format!("coaps://{}", door(node, Port::Coaps)?),
    };
    let id = ShortServerId::new(SHORT_SERVER_ID).context("the demo's Server has a number")?;
    let mut account = ServerAccount::new(id, uri, keys);
    account.lifetime_s = device.lifetime_s();
    account.binding = device.binding();
    let selector = Selector::Pattern(format!("{}*", device.kind()));
    let mut profile = Profile::new(ProfileName::new(device.kind())?, selector);
    profile.servers.push(account);
    Ok(profile)
}

/// Where a door of the node is.
pub(super) fn door(node: &Node, port: Port) -> anyhow::Result<SocketAddr> {
    let doors = node.at(port);
    doors.first().copied().context("every door is open")
}

/// Gives a device its key for the Bootstrap-Server, and lets it in there.
pub(super) fn provision(
    node: &Node,
    api: &Api,
    device: &DemoClient,
) -> anyhow::Result<Provisioned> {
    let (credentials, entered) = made_in_the_factory(node, device)?;
    let uri = match device.security() {
        DemoSecurity::NoSec => format!("coap://{}", door(node, Port::BootstrapCoap)?),
        _ => format!("coaps://{}", door(node, Port::BootstrapCoaps)?),
    };
    if let Some(credential) = entered {
        let path = format!("/credentials/{}", dunlin_api::segment(&device.endpoint));
        let body = json!({"credentials": [credential], "for": "bootstrap"});
        api.ask(Method::PUT, &path, Some(&body))?;
    }
    Ok(Provisioned::BootstrapServer { uri, credentials })
}

/// What a device has, and what the operator enters of it.
fn made_in_the_factory(
    node: &Node,
    device: &DemoClient,
) -> anyhow::Result<(Credentials, Option<Json>)> {
    let server = node.server_public();
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    let pair = KeyPair::generate()?;
    let private_key = pair.serialize_der();
    Ok(match device.security() {
        DemoSecurity::NoSec => (Credentials::NoSec, None),
        DemoSecurity::PreSharedKey => {
            let seed = dunlin_net::seed::draw()?;
            let key = seed[..KEY_BYTES].to_vec();
            let entered = json!({"mode": "psk", "identity": device.endpoint, "key": hex(&key)});
            let identity = device.endpoint.clone().into_bytes();
            (Credentials::Psk { identity, key }, Some(entered))
        }
        DemoSecurity::RawPublicKey => {
            let public_key = pair.subject_public_key_info();
            let entered = json!({"mode": "rpk", "public_key": hex(&public_key)});
            let server_public_key = server.public_key.clone();
            let credentials = Credentials::RawPublicKey {
                public_key,
                private_key,
                server_public_key: server_public_key.context("the Server has a key")?,
            };
            (credentials, Some(entered))
        }
        DemoSecurity::Certificate => {
            let certificate = named(&device.endpoint)?.self_signed(&pair)?.der().to_vec();
            let entered = json!({"mode": "x509", "certificate": hex(&certificate)});
            let server_certificate = server.certificate.clone();
            let credentials = Credentials::Certificate {
                certificate,
                private_key,
                server_certificate: server_certificate.context("the Server has a certificate")?,
            };
            (credentials, Some(entered))
        }
    })
}
