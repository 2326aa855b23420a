//! Server-initiated bootstrap under DTLS (TS 1.0 §5.2.3.4, §7.1.2): the Client is the DTLS server.
//! The Bootstrap-Server is the first of the scripted Servers, the one it tells of the second.

mod common;

use common::*;
use dunlin_client::{Client, Config, Credentials, Event, Factory, Reason, bootstrap_account};
use dunlin_lwm2m::operation::{Binding, Operation, ResponseCode};
use dunlin_lwm2m::{
    ContentFormat, EndpointName, Instance, Node, ObjectId, Registry, Resource, Value, format,
};
use dunlin_transport::dtls::{
    AlertDescription, CertificateType, ClientCredentials, ClientSettings, Credential, Failure,
    Shown, SigningKey,
};
use dunlin_transport::{DisconnectReason, Event as Heard, PeerId, Port};
use rcgen::{CertificateParams, DnType, KeyPair};

const KEY: &[u8] = b"0123456789abcdef";

/// A device that waits for its Bootstrap-Server for a long time before it asks by itself.
fn device(credentials: &Credentials) -> Factory {
    let mut factory = Factory::new(Registry::bundled()).unwrap();
    let uri = format!("coaps://{}", server_address(0));
    factory
        .add_bootstrap_server(&uri, credentials, 3_600, 0)
        .unwrap();
    factory
}

fn psk(identity: &str, key: &[u8]) -> Credentials {
    Credentials::Psk {
        identity: identity.into(),
        key: key.to_vec(),
    }
}

/// The device waits, and nothing has been said.
fn waiting(credentials: &Credentials) -> World {
    let mut world = World::with(device(credentials).build());
    world.servers = vec![Scripted::secured(0, None), Scripted::new(1)];
    world.start();
    assert!(world.sent.is_empty(), "it holds off");
    world
}

/// The Bootstrap-Server opens a session; whether it gets one.
fn open(world: &mut World, settings: ClientSettings) -> Result<PeerId, DisconnectReason> {
    let bootstrap_server = &mut world.servers[0];
    let to = client_address();
    let opened = bootstrap_server
        .transport
        .connect(world.now, Port::Coaps, &to, None, settings);
    let peer = opened.expect("it tries");
    bootstrap_server.transport.hold(peer);
    bootstrap_server.client = Some(peer);
    world.settle();
    world.pass_s(120);
    let heard = std::mem::take(&mut world.servers[0].heard);
    let mut ends = heard.into_iter().filter_map(|event| match event {
        Heard::Connected { peer: who, .. } if who == peer => Some(Ok(peer)),
        Heard::Disconnected { peer: who, reason } if who == peer => Some(Err(reason)),
        _ => None,
    });
    ends.next().expect("it succeeds or fails")
}

fn put(target: &str, instance: Instance) -> Operation {
    let tlv = ContentFormat::TLV;
    let node = Node::Instance(instance);
    Operation::BootstrapWrite {
        path: path(target),
        format: tlv,
        payload: format::encode(tlv, path(target), &node).unwrap(),
    }
}

/// What gives the device an account with the second Server, in the clear.
fn account() -> [Operation; 2] {
    let nothing = |id| Resource::single(id, Value::Opaque(vec![]));
    let number = |id, value| Resource::single(id, Value::Integer(value));
    let uri = format!("coap://{}", server_address(1));
    let security = Instance::new(5)
        .with(Resource::single(0, Value::String(uri)))
        .with(Resource::single(1, Value::Boolean(false)))
        .with(number(2, 3))
        .with(nothing(3))
        .with(nothing(4))
        .with(nothing(5))
        .with(number(10, 1));
    let server = Instance::new(1)
        .with(number(0, 1))
        .with(number(1, 600))
        .with(Resource::single(6, Value::Boolean(false)))
        .with(Resource::single(7, Value::String("U".into())));
    [put("/0/5", security), put("/1/1", server)]
}

/// A whole run on the session that is there, after which the device registers.
fn bootstrap(world: &mut World) {
    let found = world.ask(&Operation::BootstrapDiscover { path: path("/0") });
    assert_eq!(text(&found), "</>;lwm2m=1.0,</0/0>");
    for step in account() {
        assert_eq!(world.code(&step), ResponseCode::Changed);
    }
    assert!(world.servers[1].uplinks.is_empty(), "not before Finish");
    assert_eq!(
        world.code(&Operation::BootstrapFinish),
        ResponseCode::Changed
    );
    assert_eq!(world.servers[1].kinds(), "R");
    let told = world.told();
    assert!(told.contains(&Event::BootstrapStarted {
        server_initiated: true
    }));
    assert!(
        told.iter()
            .any(|event| matches!(event, Event::Bootstrapped { .. }))
    );
}

fn clear_datagrams_to(world: &World, index: usize) -> usize {
    let to = world.servers[index].address.clone();
    let all = world.sent.iter();
    all.filter(|(_, address, bytes)| *address == to && bytes[0] & 0xc0 == 0x40)
        .count()
}

fn key_pair() -> (KeyPair, Vec<u8>, Vec<u8>) {
    let pair = KeyPair::generate().unwrap();
    let private = pair.serialize_der();
    let public = SigningKey::from_der(&private).unwrap().public_key();
    (pair, private, public)
}

fn certificate(pair: &KeyPair, common_name: &str) -> Vec<u8> {
    let mut parameters = CertificateParams::default();
    parameters
        .distinguished_name
        .push(DnType::CommonName, common_name);
    parameters.self_signed(pair).unwrap().der().to_vec()
}

fn signed(credential: Credential, kind: CertificateType) -> ClientSettings {
    ClientSettings::new(ClientCredentials::Signature {
        credential,
        present: kind,
        accept: vec![kind],
    })
}

#[test]
fn ts_5_2_3_4_the_bootstrap_server_opens_a_psk_session_and_bootstraps_the_client() {
    let mut world = waiting(&psk("thermometer", KEY));
    open(&mut world, ClientSettings::psk(b"thermometer", KEY)).unwrap();
    bootstrap(&mut world);
    assert_eq!(clear_datagrams_to(&world, 0), 0);
    // And again, as long as the account is retained.
    open(&mut world, ClientSettings::psk(b"thermometer", KEY)).unwrap();
    let again = account();
    assert_eq!(world.code(&again[0]), ResponseCode::Changed);
    assert_eq!(
        world.code(&Operation::BootstrapFinish),
        ResponseCode::Changed
    );
    assert_eq!(world.servers[1].kinds(), "RR");
}

#[test]
fn ts_7_1_2_another_key_or_identity_opens_nothing() {
    for (identity, key) in [
        (&b"thermometer"[..], &b"another key 16 b"[..]),
        (b"somebody else", KEY),
    ] {
        let mut world = waiting(&psk("thermometer", KEY));
        let refused = open(&mut world, ClientSettings::psk(identity, key));
        assert_eq!(refused, Err(DisconnectReason::Failed(Failure::Unconfirmed)));
        assert_eq!(world.told(), []);
    }
}

#[test]
fn ts_7_1_2_raw_public_keys_have_to_be_those_of_the_account() {
    let (_, own_private, own_public) = key_pair();
    let (_, their_private, their_public) = key_pair();
    let mine = Credentials::raw_public_key(own_private, their_public).unwrap();
    let mut world = waiting(&mine);
    let raw = |private: &[u8]| {
        let key = SigningKey::from_der(private).unwrap();
        signed(
            Credential::raw_public_key(key),
            CertificateType::RawPublicKey,
        )
    };
    // The Bootstrap-Server has to know the device's key, too.
    let refused = open(&mut world, raw(&their_private));
    let unknown = AlertDescription::CERTIFICATE_UNKNOWN;
    assert_eq!(
        refused,
        Err(DisconnectReason::Failed(Failure::Refused(unknown)))
    );
    world.servers[0].trusted = vec![Shown::RawPublicKey(own_public)];
    let (_, stranger, _) = key_pair();
    let refused = open(&mut world, raw(&stranger));
    assert_eq!(
        refused,
        Err(DisconnectReason::Failed(Failure::Alerted(unknown)))
    );
    open(&mut world, raw(&their_private)).unwrap();
    bootstrap(&mut world);
}

#[test]
fn ts_7_1_2_certificates_have_to_be_those_of_the_account() {
    let (own_pair, own_private, _) = key_pair();
    let (their_pair, their_private, _) = key_pair();
    let own = certificate(&own_pair, "thermometer");
    let theirs = certificate(&their_pair, "127.0.0.1");
    let mine = Credentials::Certificate {
        certificate: own.clone(),
        private_key: own_private,
        server_certificate: theirs.clone(),
    };
    let mut world = waiting(&mine);
    world.servers[0].trusted = vec![Shown::Chain(vec![own])];
    let show = |private: &[u8], certificate: &[u8]| {
        let key = SigningKey::from_der(private).unwrap();
        let chain = vec![certificate.to_vec()];
        signed(
            Credential::certificates(key, chain).unwrap(),
            CertificateType::X509,
        )
    };
    let (stranger_pair, stranger, _) = key_pair();
    let false_one = certificate(&stranger_pair, "127.0.0.1");
    let refused = open(&mut world, show(&stranger, &false_one));
    assert_eq!(
        refused,
        Err(DisconnectReason::Failed(Failure::Alerted(
            AlertDescription::CERTIFICATE_UNKNOWN
        )))
    );
    open(&mut world, show(&their_private, &theirs)).unwrap();
    bootstrap(&mut world);
}

#[test]
fn ts_5_2_3_without_the_account_or_the_will_nobody_is_let_in() {
    let settings = || ClientSettings::psk(b"thermometer", KEY);
    let silent = Err(DisconnectReason::Failed(Failure::Timeout));
    let tree = device(&psk("thermometer", KEY)).build();
    let mut world = World::configured(tree, |config| config.server_initiated_bootstrap = false);
    world.servers = vec![Scripted::secured(0, None)];
    world.start();
    assert_eq!(open(&mut world, settings()), silent);

    let mut world = World::with(factory(1, Binding::U).build());
    world.servers.insert(0, Scripted::secured(9, None));
    world.start();
    assert_eq!(open(&mut world, settings()), silent);
}

#[test]
fn ts_5_2_3_the_account_that_a_bootstrap_wrote_is_the_one_that_is_listened_with() {
    let mut world = waiting(&psk("thermometer", KEY));
    open(&mut world, ClientSettings::psk(b"thermometer", KEY)).unwrap();
    let key = Operation::BootstrapWrite {
        path: path("/0/0/5"),
        format: ContentFormat::OPAQUE,
        payload: b"a newer key, too".to_vec(),
    };
    assert_eq!(world.code(&key), ResponseCode::Changed);
    bootstrap(&mut world);
    let old = open(&mut world, ClientSettings::psk(b"thermometer", KEY));
    assert_eq!(old, Err(DisconnectReason::Failed(Failure::Unconfirmed)));
    open(
        &mut world,
        ClientSettings::psk(b"thermometer", b"a newer key, too"),
    )
    .unwrap();
}

#[test]
fn a_bootstrap_server_that_begins_anew_ends_what_it_began_before() {
    let mut world = waiting(&psk("thermometer", KEY));
    open(&mut world, ClientSettings::psk(b"thermometer", KEY)).unwrap();
    for step in account() {
        world.code(&step);
    }
    // It restarts, has forgotten the session, and finishes something else.
    world.servers[0] = Scripted::secured(0, None);
    open(&mut world, ClientSettings::psk(b"thermometer", KEY)).unwrap();
    let finished = world.ask(&Operation::BootstrapFinish);
    assert_eq!(finished.code, Ok(ResponseCode::NotAcceptable));
    assert!(world.servers[1].uplinks.is_empty());
    assert!(bootstrap_account(world.client.tree()).is_some());
}

#[test]
fn where_both_begin_at_once_the_client_s_own_handshake_goes_on() {
    let mut factory = Factory::new(Registry::bundled()).unwrap();
    let uri = format!("coaps://{}", server_address(0));
    factory
        .add_bootstrap_server(&uri, &psk("thermometer", KEY), 0, 0)
        .unwrap();
    let mut world = World::with(factory.build());
    let mut bootstrap_server = Scripted::secured(0, None);
    bootstrap_server
        .keys
        .insert(b"thermometer".to_vec(), KEY.to_vec());
    world.servers = vec![bootstrap_server, Scripted::new(1)];
    // Both ClientHellos are on their way before either arrives.
    world.client.start(world.now);
    let refused = open(&mut world, ClientSettings::psk(b"thermometer", KEY));
    assert_eq!(
        refused,
        Err(DisconnectReason::Failed(Failure::GaveWay)),
        "{:?}",
        world.news
    );
    assert_eq!(world.servers[0].kinds(), "B");
}

#[test]
fn strangers_that_begin_handshakes_do_not_keep_the_client_from_its_own() {
    let config = Config::new(EndpointName::new("thermometer").unwrap());
    let tree = device(&psk("thermometer", KEY)).build();
    let mut client = Client::new(config, tree, [1; 32]);
    let mut world = waiting(&psk("thermometer", KEY));
    std::mem::swap(&mut world.client, &mut client);
    world.start();
    // Ten strangers with real addresses, who go as far as they can and then say nothing more.
    for index in 10..20 {
        world.servers.push(Scripted::secured(index, None));
        let stranger = world.servers.last_mut().unwrap();
        let settings = ClientSettings::psk(b"thermometer", b"not the real key");
        let to = client_address();
        let begun = stranger
            .transport
            .connect(world.now, Port::Coaps, &to, None, settings);
        begun.unwrap();
    }
    world.settle();
    let server_hellos = world.sent.iter().filter(|(_, _, bytes)| bytes[13] == 2);
    assert_eq!(server_hellos.count(), 4, "there is room for four");
    world.servers.truncate(2);
    world.servers[0]
        .keys
        .insert(b"thermometer".to_vec(), KEY.to_vec());
    assert!(world.client.bootstrap(world.now));
    world.settle();
    assert_eq!(world.servers[0].kinds(), "B");
    assert!(!world.news.iter().any(
        |event| matches!(event, Event::BootstrapFailed { reason, .. } if *reason == Reason::Busy)
    ));
}

#[test]
fn ts_5_2_3_a_bootstrap_server_in_the_clear_is_known_by_its_name_before_it_is_asked() {
    let mut factory = Factory::new(Registry::bundled()).unwrap();
    factory
        .add_bootstrap_server("coap://bs.example:5683", &Credentials::NoSec, 3_600, 0)
        .unwrap();
    factory.add_object(ObjectId::ACCESS_CONTROL).unwrap();
    let mut world = World::with(factory.build());
    world.servers = vec![Scripted::new(0), Scripted::new(1)];
    world.start();
    let [(need, _)] = world.needs[..] else {
        panic!("it asks where that is: {:?}", world.needs)
    };
    let at = Some(server_address(0).into());
    let answer = dunlin_client::Answer::Resolved(at);
    world.client.handle_answer(world.now, need, answer);
    world.settle();
    assert!(world.sent.is_empty(), "it holds off");
    bootstrap(&mut world);
}
