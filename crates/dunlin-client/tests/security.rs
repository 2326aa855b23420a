//! A Client and its Servers over DTLS (TS 1.0 §7.1): every security mode of an account, and what
//! becomes of lost sessions and wrong keys.

mod common;

use common::*;
use dunlin_client::{Credentials, Event, Factory, Reason};
use dunlin_lwm2m::operation::{Binding, Operation, ResponseCode};
use dunlin_lwm2m::{ContentFormat, Instance, ObjectId, Registry, Resource, Value};
use dunlin_transport::dtls::{Credential, Failure, Shown, SigningKey};
use dunlin_transport::{Failure as NoAnswer, Identity};
use rcgen::{CertificateParams, DnType, KeyPair, SanType};

const KEY: &[u8] = b"0123456789abcdef";

fn psk(identity: &str, key: &[u8]) -> Credentials {
    Credentials::Psk {
        identity: identity.into(),
        key: key.to_vec(),
    }
}

fn secure_uri(index: usize) -> String {
    format!("coaps://{}", server_address(index))
}

fn device(credentials: &Credentials) -> Factory {
    device_at(&secure_uri(0), credentials)
}

fn device_at(uri: &str, credentials: &Credentials) -> Factory {
    let mut factory = Factory::new(Registry::bundled()).unwrap();
    factory
        .add_secured_server(uri, credentials, LIFETIME_S, Binding::U)
        .unwrap();
    let sensor = Instance::new(0).with(Resource::single(5700, Value::Float(20.5)));
    factory.add_instance(ObjectId(3303), sensor).unwrap();
    factory
}

fn world_of(factory: Factory, server: Scripted) -> World {
    let mut world = World::with(factory.build());
    world.servers = vec![server];
    world
}

fn psk_server() -> Scripted {
    let mut server = Scripted::secured(0, None);
    server.keys.insert(b"urn:me".to_vec(), KEY.to_vec());
    server
}

fn registered() -> World {
    let mut world = world_of(device(&psk("urn:me", KEY)), psk_server());
    world.start();
    assert!(world.is_registered(0), "{:?}", world.news);
    world.news.clear();
    world
}

fn failure(world: &mut World) -> Reason {
    let told = world.told();
    let mut reasons = told.into_iter().filter_map(|event| match event {
        Event::RegistrationFailed { reason, .. } => Some(reason),
        _ => None,
    });
    reasons.next().expect("it failed")
}

/// Key, its private part as PKCS#8, its public part as SubjectPublicKeyInfo.
fn key_pair() -> (KeyPair, Vec<u8>, Vec<u8>) {
    let pair = KeyPair::generate().unwrap();
    let private = pair.serialize_der();
    let public = SigningKey::from_der(&private).unwrap().public_key();
    (pair, private, public)
}

fn certificate(pair: &KeyPair, common_name: &str, names: &[SanType]) -> Vec<u8> {
    let mut parameters = CertificateParams::default();
    parameters
        .distinguished_name
        .push(DnType::CommonName, common_name);
    parameters.subject_alt_names = names.to_vec();
    parameters.self_signed(pair).unwrap().der().to_vec()
}

#[test]
fn int_401_psk_registers_reads_and_observes() {
    let mut world = registered();
    let [Identity::PreSharedKey(identity)] = &world.servers[0].sessions[..] else {
        panic!("{:?}", world.servers[0].sessions)
    };
    assert_eq!(&identity[..], b"urn:me");
    assert_eq!(text(&world.ask(&read("/3303/0/5700"))), "20.5");
    world.observe("/3303/0/5700");
    world.set("/3303/0/5700", Value::Float(1.0));
    assert_eq!(world.servers[0].notified_texts().len(), 1);
    let clear = |bytes: &[u8]| bytes[0] & 0xc0 == 0x40;
    assert!(world.sent.iter().all(|(_, _, bytes)| !clear(bytes)));
}

#[test]
fn ts_7_1_7_an_identity_of_128_bytes_and_a_key_of_64_are_taken() {
    let (identity, key) = ("i".repeat(128), [7; 64]);
    let mut server = Scripted::secured(0, None);
    server
        .keys
        .insert(identity.clone().into_bytes(), key.to_vec());
    let mut world = world_of(device(&psk(&identity, &key)), server);
    world.start();
    assert!(world.is_registered(0), "{:?}", world.news);
}

#[test]
fn ts_7_1_refreshes_use_the_session_that_is_there() {
    let mut world = registered();
    world.pass_s(3_000);
    assert!(world.servers[0].updates().len() > 10);
    assert_eq!(world.servers[0].sessions.len(), 1);
}

#[test]
fn ts_7_1_a_client_that_stops_deregisters_and_ends_the_session() {
    let mut world = registered();
    world.client.stop(world.now);
    world.settle();
    assert!(world.client.is_idle());
    assert_eq!(world.servers[0].kinds(), "RD");
    assert_eq!(world.servers[0].transport.session_counts().0, 0);
}

#[test]
fn the_words_for_an_unknown_identity_and_for_another_key() {
    for credentials in [psk("urn:nobody", KEY), psk("urn:me", b"another key 16 b")] {
        let mut world = world_of(device(&credentials), psk_server());
        world.start();
        world.pass_s(120);
        let reason = failure(&mut world);
        assert_eq!(reason, Reason::Handshake(Failure::Unconfirmed));
        let words = reason.to_string();
        assert!(
            words.contains("does not know this identity, or has another key"),
            "{words}"
        );
        assert!(world.servers[0].uplinks.is_empty());
    }
}

#[test]
fn the_words_for_a_server_that_is_not_there() {
    let mut world = registered_later();
    world.cut = true;
    world.start();
    world.pass_s(120);
    let reason = failure(&mut world);
    assert_eq!(reason, Reason::Handshake(Failure::Timeout));
    assert!(reason.to_string().contains("is there a coaps server"));
    world.cut = false;
    world.pass_s(60);
    assert!(world.is_registered(0), "it tries again");
}

fn registered_later() -> World {
    world_of(device(&psk("urn:me", KEY)), psk_server())
}

#[test]
fn s_7_a_server_that_has_forgotten_the_session_is_met_with_a_handshake_and_a_register() {
    let mut world = registered();
    let kept = std::mem::replace(&mut world.servers[0], psk_server());
    drop(kept);
    world.pass_s(LIFETIME_S.into());
    let told = world.told();
    assert!(
        told.iter().any(|event| matches!(
            event,
            Event::RegistrationFailed {
                reason: Reason::NoAnswer(NoAnswer::TimedOut) | Reason::SessionLost(_),
                ..
            }
        )),
        "{told:?}"
    );
    world.pass_s(60);
    assert!(world.is_registered(0));
    assert_eq!(world.servers[0].kinds(), "R");
    assert_eq!(text(&world.ask(&read("/3303/0/5700"))), "20.5");
}

#[test]
fn rfc5246_7_3_a_new_session_with_the_same_server_is_resumed() {
    let mut world = registered();
    world.cut = true;
    world.pass_s(LIFETIME_S.into());
    world.cut = false;
    world.pass_s(120);
    assert!(world.is_registered(0));
    let told = world.told();
    assert!(
        told.iter()
            .any(|event| matches!(event, Event::Registered { .. }))
    );
    let stats = world.servers[0].transport.dtls_stats().unwrap();
    assert_eq!(
        stats.value(dunlin_transport::dtls::Counter::Resumed),
        1,
        "{stats:?}"
    );
}

#[test]
fn ts_e_2_a_server_that_ends_the_session_is_registered_with_anew_after_a_pause() {
    let mut world = registered();
    let client = world.servers[0].client.unwrap();
    world.servers[0]
        .transport
        .disconnect(world.now, client, 0)
        .unwrap();
    world.settle();
    let reason = failure(&mut world);
    assert!(matches!(reason, Reason::SessionLost(_)), "{reason:?}");
    assert!(!world.is_registered(0));
    world.pass_s(7);
    assert!(world.is_registered(0));
}

#[test]
fn ts_7_1_7_3_raw_public_keys_of_both_sides_are_those_of_the_account() {
    let (_, private, public) = key_pair();
    let (_, server_private, server_public) = key_pair();
    let (_, _, other_public) = key_pair();
    let server = || {
        let key = SigningKey::from_der(&server_private).unwrap();
        let mut server = Scripted::secured(0, Some(Credential::raw_public_key(key)));
        server.trusted.push(Shown::RawPublicKey(public.clone()));
        server
    };
    let account = |private: &[u8], server_public: &[u8]| Credentials::RawPublicKey {
        public_key: public.clone(),
        private_key: private.to_vec(),
        server_public_key: server_public.to_vec(),
    };
    let mut world = world_of(device(&account(&private, &server_public)), server());
    world.start();
    assert!(world.is_registered(0), "{:?}", world.news);
    assert!(matches!(
        world.servers[0].sessions[..],
        [Identity::RawPublicKey(_)]
    ));

    let mut world = world_of(device(&account(&private, &other_public)), server());
    world.start();
    let reason = failure(&mut world);
    assert!(matches!(reason, Reason::NotTheServer(_)), "{reason}");
    assert!(reason.to_string().contains("/0/x/4"));
    assert!(world.servers[0].uplinks.is_empty());

    let mut world = world_of(device(&account(&server_private, &server_public)), server());
    world.start();
    let reason = failure(&mut world);
    assert!(matches!(reason, Reason::Credentials(_)), "{reason}");

    let mut stranger = server();
    stranger.trusted.clear();
    let mut world = world_of(device(&account(&private, &server_public)), stranger);
    world.start();
    let reason = failure(&mut world);
    assert!(
        reason
            .to_string()
            .contains("refuses our certificate or key"),
        "{reason}"
    );
}

struct Certified {
    account: Credentials,
    server: Credential,
    shown: Shown,
}

/// Both sides with certificates of their own; the Server's is for these names.
fn certified(common_name: &str, names: &[SanType]) -> Certified {
    let (pair, private_key, _) = key_pair();
    let (server_pair, server_private, _) = key_pair();
    let certificate_of_client = certificate(&pair, "urn:me", &[]);
    let server_certificate = certificate(&server_pair, common_name, names);
    let key = SigningKey::from_der(&server_private).unwrap();
    Certified {
        server: Credential::certificates(key, vec![server_certificate.clone()]).unwrap(),
        shown: Shown::Chain(vec![certificate_of_client.clone()]),
        account: Credentials::Certificate {
            certificate: certificate_of_client,
            private_key,
            server_certificate,
        },
    }
}

fn certified_server(certified: &Certified) -> Scripted {
    let mut server = Scripted::secured(0, Some(certified.server.clone()));
    server.trusted.push(certified.shown.clone());
    server
}

#[test]
fn ts_7_1_7_4_certificates_are_the_very_ones_and_for_the_name_in_the_uri() {
    let here = "127.0.0.1";
    let ip = SanType::IpAddress(here.parse().unwrap());
    let uri = SanType::URI("coaps://127.0.0.1:5684".try_into().unwrap());
    let dns = SanType::DnsName("lwm2m.example".try_into().unwrap());
    let elsewhere = SanType::URI("coaps://127.0.0.2".try_into().unwrap());
    for (common_name, names, good) in [
        (here, vec![], true),
        ("x", vec![ip], true),
        ("x", vec![uri], true),
        ("x", vec![], false),
        (here, vec![dns], false),
        ("x", vec![elsewhere], false),
    ] {
        let certified = certified(common_name, &names);
        let mut world = world_of(device(&certified.account), certified_server(&certified));
        world.start();
        assert_eq!(world.is_registered(0), good, "{common_name} {names:?}");
        if !good {
            let reason = failure(&mut world);
            assert!(
                reason.to_string().contains("not for the name in the URI"),
                "{reason}"
            );
        }
    }
}

#[test]
fn ts_7_1_7_4_another_certificate_is_refused() {
    let one = certified("127.0.0.1", &[]);
    let other = certified("127.0.0.1", &[]);
    let mut world = world_of(device(&one.account), certified_server(&other));
    world.start();
    let reason = failure(&mut world);
    assert!(
        reason.to_string().contains("not the one of the account"),
        "{reason}"
    );
}

#[test]
fn ts_7_1_7_4_the_name_may_be_left_aside_and_authorities_added() {
    let pinned = certified("somebody else", &[]);
    let mut world = World::configured(device(&pinned.account).build(), |config| {
        config.check_server_name = false;
    });
    world.servers = vec![certified_server(&pinned)];
    world.start();
    assert!(world.is_registered(0));
}

#[test]
fn nothing_that_is_to_be_secure_goes_out_in_the_clear() {
    let mut world = World::with(device(&psk("urn:me", KEY)).build());
    let uri = format!("coap://{}", server_address(0));
    world.set("/0/0/0", Value::String(uri));
    world.start();
    assert_eq!(failure(&mut world), Reason::SecurityMode);
    assert!(world.sent.is_empty());
}

/// The Bootstrap-Server gives the Client an account of the second Server, with this mode and these
/// key Resources (3, 4, 5).
fn bootstrapped(account: &Credentials, servers: [Scripted; 2], mode: &str, keys: [&[u8]; 3]) {
    let mut factory = Factory::new(Registry::bundled()).unwrap();
    factory
        .add_bootstrap_server(&secure_uri(0), account, 0, 0)
        .unwrap();
    let mut world = World::with(factory.build());
    world.servers = servers.into();
    world.start();
    assert_eq!(world.servers[0].kinds(), "B");
    let mut put = |target: &str, format, payload: &[u8]| {
        let operation = Operation::BootstrapWrite {
            path: path(target),
            format,
            payload: payload.to_vec(),
        };
        assert_eq!(world.code(&operation), ResponseCode::Changed, "{target}");
    };
    for (target, text) in [
        ("/0/1/0", secure_uri(1).as_str()),
        ("/0/1/1", "0"),
        ("/0/1/2", mode),
        ("/0/1/10", "7"),
        ("/1/0/0", "7"),
        ("/1/0/1", "300"),
        ("/1/0/6", "1"),
        ("/1/0/7", "U"),
    ] {
        put(target, ContentFormat::TEXT, text.as_bytes());
    }
    for (target, bytes) in ["/0/1/3", "/0/1/4", "/0/1/5"].into_iter().zip(keys) {
        put(target, ContentFormat::OPAQUE, bytes);
    }
    assert_eq!(
        world.code(&Operation::BootstrapFinish),
        ResponseCode::Changed
    );
    assert!(
        world.client.servers().all(|(_, open)| open),
        "{:?}",
        world.news
    );
    assert_eq!(world.servers[1].kinds(), "R");
    let told = world.told();
    assert!(
        told.iter()
            .any(|event| matches!(event, Event::Bootstrapped { .. }))
    );
}

#[test]
fn int_1_bootstrap_over_psk_and_a_server_with_psk() {
    let (identity, key) = (&b"id-1"[..], &b"another key 16 b"[..]);
    let mut server = Scripted::secured(1, None);
    server.keys.insert(identity.to_vec(), key.to_vec());
    let servers = [psk_server(), server];
    bootstrapped(&psk("urn:me", KEY), servers, "0", [identity, b"", key]);
}

#[test]
fn int_2_bootstrap_over_certificates_and_a_server_with_certificates() {
    let (first, second) = (certified("127.0.0.1", &[]), certified("127.0.0.1", &[]));
    let mut server = Scripted::secured(1, Some(second.server.clone()));
    server.trusted.push(second.shown.clone());
    let Credentials::Certificate {
        certificate,
        private_key,
        server_certificate,
    } = &second.account
    else {
        panic!("they are certificates");
    };
    let keys = [&certificate[..], &server_certificate[..], &private_key[..]];
    let servers = [certified_server(&first), server];
    bootstrapped(&first.account, servers, "2", keys);
}

#[test]
fn ts_5_2_8_a_second_bootstrap_opens_a_session_of_its_own() {
    let mut factory = device_at(&secure_uri(1), &psk("urn:me", KEY));
    factory
        .add_bootstrap_server(&secure_uri(0), &psk("urn:me", KEY), 0, 0)
        .unwrap();
    let mut world = world_of(factory, psk_server());
    let mut server = Scripted::secured(1, None);
    server.keys.insert(b"urn:me".to_vec(), KEY.to_vec());
    world.servers.push(server);
    world.start();
    for sessions in 1..3 {
        assert!(world.client.bootstrap(world.now));
        world.settle();
        assert_eq!(
            world.code(&Operation::BootstrapFinish),
            ResponseCode::Changed
        );
        assert_eq!(world.servers[0].sessions.len(), sessions);
    }
    assert_eq!(world.servers[1].kinds(), "RRR");
    assert_eq!(
        world.servers[1].sessions.len(),
        1,
        "its account has not changed"
    );
}

#[test]
fn the_bootstrap_server_that_does_not_know_us_is_named_in_words() {
    let mut factory = Factory::new(Registry::bundled()).unwrap();
    factory
        .add_bootstrap_server(&secure_uri(0), &psk("urn:nobody", KEY), 0, 0)
        .unwrap();
    let mut world = world_of(factory, psk_server());
    world.start();
    world.pass_s(70);
    let told = world.told();
    assert!(
        matches!(
            told.first(),
            Some(Event::BootstrapFailed {
                reason: Reason::Handshake(Failure::Unconfirmed),
                again_in_s: Some(_)
            })
        ),
        "{told:?}"
    );
}

/// The device was switched off: keys and values are as they were kept, sessions are gone.
fn switched_on(world: &mut World, credentials: &Credentials) {
    world.restart(device(credentials).build());
    assert!(world.is_registered(0), "{:?}", world.news);
}

fn resumed(world: &World) -> bool {
    let server = dunlin_lwm2m::ShortServerId::new(1);
    world.news.contains(&Event::SessionResumed { server })
}

#[test]
fn rfc5246_7_3_after_a_restart_of_the_client_its_session_is_resumed() {
    let mut world = registered();
    switched_on(&mut world, &psk("urn:me", KEY));
    assert!(resumed(&world), "{:?}", world.news);
    assert_eq!(text(&world.ask(&read("/3303/0/5700"))), "20.5");
    // Also what the second session leaves is kept.
    switched_on(&mut world, &psk("urn:me", KEY));
    assert!(resumed(&world));
    assert_eq!(world.servers[0].kinds(), "RRR");
}

#[test]
fn a_server_that_has_forgotten_the_session_of_before_a_restart_gets_a_whole_handshake() {
    let mut world = registered();
    world.servers = vec![psk_server()];
    switched_on(&mut world, &psk("urn:me", KEY));
    assert!(!resumed(&world));
}

#[test]
fn ts_5_2_8_a_session_of_other_keys_is_not_resumed_after_a_restart() {
    let mut world = registered();
    world.servers[0]
        .keys
        .insert(b"urn:other".to_vec(), KEY.to_vec());
    // Somebody has changed the account while the device was off.
    let config =
        dunlin_client::Config::new(dunlin_lwm2m::EndpointName::new("thermometer").unwrap());
    let mut client =
        dunlin_client::Client::new(config, device(&psk("urn:me", KEY)).build(), [9; 32]);
    client.restore(world.state.as_ref().unwrap()).unwrap();
    let identity = Value::Opaque(b"urn:other".to_vec());
    client.set(world.now, path("/0/0/3"), identity).unwrap();
    world.client = client;
    world.commits = 0;
    world.news.clear();
    world.start();
    assert!(world.is_registered(0), "{:?}", world.news);
    assert!(!resumed(&world));
    let identities = &world.servers[0].sessions;
    assert_eq!(identities.len(), 2);
    assert!(
        matches!(&identities[1], Identity::PreSharedKey(identity) if **identity == b"urn:other"[..])
    );
}
