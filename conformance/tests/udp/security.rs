//! DTLS (TS 1.0 §7.1): our Server and our Client, with every security mode, over real sockets.

use data_encoding::BASE64;
use dunlin_client::{Config, Credentials, Event, Factory};
use dunlin_lwm2m::Value;
use dunlin_lwm2m::operation::Binding;
use rcgen::{CertificateParams, DnType, KeyPair};
use serde_json::{Value as Json, json};

use crate::common::{Device, Serve, registered};

const KEY: &[u8] = b"0123456789abcdef";

fn psk(key: &[u8]) -> Credentials {
    Credentials::Psk {
        identity: b"device".to_vec(),
        key: key.to_vec(),
    }
}

/// Our Client with this account of our Server.
fn device(serve: &Serve, credentials: Credentials) -> Device {
    let uri = format!("coaps://{}", serve.coaps);
    let account = move |factory: &mut Factory, config: &mut Config| {
        // The Server's own certificate is pinned; what it is called says nothing more.
        config.check_server_name = false;
        let added = factory.add_secured_server(&uri, &credentials, 600, Binding::U);
        added.expect("they go together");
    };
    Device::start("device", &[], Binding::U, account)
}

/// Lets a Client in with this.
fn admit(serve: &Serve, endpoint: &str, credential: &Json) {
    let body = json!({ "for": "both", "credentials": [credential] }).to_string();
    let reply = serve.ask("PUT", &format!("/credentials/{endpoint}"), &body);
    assert!((200..300).contains(&reply.status), "{reply:?}");
}

/// What Clients must know of the Server, as DER.
fn identity(serve: &Serve, what: &str) -> Vec<u8> {
    let pem = serve.get("/server/identity")[what].clone();
    let pem = pem.as_str().expect("PEM").lines();
    let lines: String = pem.filter(|line| !line.starts_with("--")).collect();
    BASE64.decode(lines.as_bytes()).expect("base64")
}

/// The public half of a key pair on P-256 as SubjectPublicKeyInfo (RFC 5480 §2).
fn spki(pair: &KeyPair) -> Vec<u8> {
    const HEAD: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\
        \x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
    [HEAD, pair.public_key_raw()].concat()
}

fn pem(certificate: &[u8]) -> String {
    let body = BASE64.encode(certificate);
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
}

fn serves(serve: &Serve, device: &Device, security: &str) {
    registered(device);
    assert_eq!(serve.get("/clients/device")["security"], security);
    assert_eq!(serve.value("device/3303/0/5700"), 21.5);
    serve.operate("POST", "device/3303/0/5700/observe", "", "2.05");
    device.set("/3303/0/5700", Value::Float(30.0));
    assert_eq!(serve.events("notified").next()["node"]["value"], 30.0);
    // What it says goes on in the same session.
    device.run(|client, now| client.update(now));
    device.wait(|event| matches!(event, Event::Updated { .. }));
}

#[test]
fn int_401_dtls_with_a_pre_shared_key() {
    let serve = Serve::strict();
    let key = BASE64.encode(KEY);
    admit(
        &serve,
        "device",
        &json!({ "mode": "psk", "identity": "device", "key": key }),
    );
    serves(&serve, &device(&serve, psk(KEY)), "psk");
}

#[test]
fn lwm2m_sec_003_raw_public_keys() {
    let serve = Serve::strict();
    let pair = KeyPair::generate().expect("P-256");
    let public_key = BASE64.encode(&spki(&pair));
    admit(
        &serve,
        "device",
        &json!({ "mode": "rpk", "public_key": public_key }),
    );
    let credentials = Credentials::RawPublicKey {
        public_key: spki(&pair),
        private_key: pair.serialize_der(),
        server_public_key: identity(&serve, "public_key"),
    };
    serves(&serve, &device(&serve, credentials), "rpk");
}

#[test]
fn lwm2m_sec_004_certificates() {
    let serve = Serve::strict();
    let pair = KeyPair::generate().expect("P-256");
    let mut parameters = CertificateParams::default();
    let name = &mut parameters.distinguished_name;
    name.push(DnType::CommonName, "device");
    let certificate = parameters.self_signed(&pair).expect("signed");
    admit(
        &serve,
        "device",
        &json!({ "mode": "x509", "certificate": pem(certificate.der()) }),
    );
    let credentials = Credentials::Certificate {
        certificate: certificate.der().to_vec(),
        private_key: pair.serialize_der(),
        server_certificate: identity(&serve, "certificate"),
    };
    serves(&serve, &device(&serve, credentials), "x509");
}

#[test]
fn ts_7_1_7_a_name_that_is_not_that_of_the_key_is_refused() {
    let serve = Serve::strict();
    let key = BASE64.encode(KEY);
    admit(
        &serve,
        "somebody",
        &json!({ "mode": "psk", "identity": "device", "key": key }),
    );
    let device = device(&serve, psk(KEY));
    let failed = device.wait(|event| matches!(event, Event::RegistrationFailed { .. }));
    let Event::RegistrationFailed { reason, .. } = failed else {
        unreachable!("it was waited for");
    };
    assert!(reason.to_string().contains("4.00"), "{reason}");
    assert_eq!(serve.ask("GET", "/clients/device", "").status, 404);
}

#[test]
fn ts_7_1_7_whoever_is_revoked_is_heard_no_more() {
    let serve = Serve::strict();
    let key = BASE64.encode(KEY);
    admit(
        &serve,
        "device",
        &json!({ "mode": "psk", "identity": "device", "key": key }),
    );
    let device = device(&serve, psk(KEY));
    registered(&device);
    assert_eq!(serve.ask("DELETE", "/credentials/device", "").status, 204);
    device.run(|client, now| client.update(now));
    device.wait(|event| matches!(event, Event::RegistrationFailed { .. }));
}
