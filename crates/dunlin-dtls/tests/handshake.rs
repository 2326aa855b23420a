//! Handshakes on a quiet network: every suite and kind of credential, and who is refused.

mod common;

use std::time::Duration;

use common::*;
use dunlin_dtls::*;

const SECOND: Duration = Duration::from_secs(1);

fn psk_suites() -> impl Iterator<Item = CipherSuite> {
    CipherSuite::ALL.into_iter().filter(|suite| suite.is_psk())
}

fn ecdhe_suites() -> impl Iterator<Item = CipherSuite> {
    CipherSuite::ALL.into_iter().filter(|suite| !suite.is_psk())
}

/// Both ways, and what was said arrives.
fn talk(world: &mut World, (client, server): (SessionId, SessionId)) {
    world.client.dtls.send(world.now, client, b"up", 0).unwrap();
    world
        .server
        .dtls
        .send(world.now, server, b"down", 0)
        .unwrap();
    world.run(SECOND);
    assert_eq!(world.server.data().last(), Some(&&b"up"[..]));
    assert_eq!(world.client.data().last(), Some(&&b"down"[..]));
}

#[test]
fn rfc4279_a_psk_of_every_suite_connects_and_talks() {
    for suite in psk_suites() {
        let mut world = World::psk(suite, 1);
        let both = world.connected(psk_client());
        let connected = world.server.connected().unwrap();
        assert_eq!(*connected.identity, PeerIdentity::Psk(IDENTITY.to_vec()));
        assert_eq!(
            (connected.suite, connected.role, connected.resumed),
            (suite, Role::Server, false)
        );
        assert!(connected.cid.is_some());
        talk(&mut world, both);
    }
}

#[test]
fn rfc8422_certificates_of_every_suite_connect_and_talk() {
    let pki = Pki::new();
    for suite in ecdhe_suites() {
        let server = settings(&[suite], Some(pki.server_settings()));
        let mut world = World::new(settings(&[suite], None), server, 2);
        let both = world.connected(pki.client_settings(CertificateType::X509));
        let server = world.server.connected().unwrap();
        let client = world.client.connected().unwrap();
        assert_eq!(
            *server.identity,
            PeerIdentity::Certificate(pki.client_chain[0].clone())
        );
        assert_eq!(
            *client.identity,
            PeerIdentity::Certificate(pki.server_chain[0].clone())
        );
        talk(&mut world, both);
    }
}

#[test]
fn rfc7250_raw_public_keys_of_every_suite_connect_and_talk() {
    let pki = Pki::new();
    for suite in ecdhe_suites() {
        let server = settings(&[suite], Some(pki.server_settings()));
        let mut world = World::new(settings(&[suite], None), server, 3);
        let both = world.connected(pki.client_settings(CertificateType::RawPublicKey));
        let server = world.server.connected().unwrap();
        let client = world.client.connected().unwrap();
        assert_eq!(
            *server.identity,
            PeerIdentity::RawPublicKey(pki.client.public_key())
        );
        assert_eq!(
            *client.identity,
            PeerIdentity::RawPublicKey(pki.server.public_key())
        );
        talk(&mut world, both);
    }
}

#[test]
fn one_server_takes_psk_and_certificates_at_once() {
    let pki = Pki::new();
    let server = settings(&CipherSuite::DEFAULT, Some(pki.server_settings()));
    for client in [
        psk_client(),
        pki.client_settings(CertificateType::X509),
        pki.client_settings(CertificateType::RawPublicKey),
    ] {
        let mut world = World::new(settings(&CipherSuite::DEFAULT, None), server.clone(), 4);
        let both = world.connected(client);
        talk(&mut world, both);
    }
}

#[test]
fn a_wrong_key_and_an_unknown_identity_look_alike_and_never_connect() {
    let mut seen = Vec::new();
    for (client, reason) in [
        (
            ClientSettings::psk(IDENTITY, b"another key"),
            Failure::WrongKey,
        ),
        (
            ClientSettings::psk(b"nobody", KEY),
            Failure::UnknownIdentity,
        ),
    ] {
        let mut world = World::psk(CipherSuite::PskAes128Ccm8, 5);
        world.connect(client);
        world.run(SECOND * 90);
        assert!(world.client.connected().is_none() && world.server.connected().is_none());
        assert_eq!(world.server.failure(), Some(reason));
        assert_eq!(world.client.failure(), Some(Failure::Unconfirmed));
        assert_eq!(world.server.dtls.handshake_count(), 0);
        let from_server = world
            .sent
            .iter()
            .filter(|letter| letter.from == server_address());
        seen.push(
            from_server
                .map(|letter| letter.bytes.len())
                .collect::<Vec<_>>(),
        );
    }
    assert_eq!(seen[0], seen[1]);
}

#[test]
fn the_failure_tells_the_server_who_knocked() {
    let mut world = World::psk(CipherSuite::PskAes128Ccm8, 5);
    world.connect(ClientSettings::psk(b"nobody", KEY));
    world.run(SECOND * 90);
    let claimed = world.server.events.iter().find_map(|event| match event {
        Event::Failed {
            claimed, address, ..
        } => Some((claimed.clone().unwrap(), *address)),
        _ => None,
    });
    let (claimed, address) = claimed.unwrap();
    assert_eq!(*claimed, PeerIdentity::Psk(b"nobody".to_vec()));
    assert_eq!(address, client_address());
}

#[test]
fn ts_6_7_a_certificate_that_is_refused_ends_in_an_alert() {
    let pki = Pki::new();
    let suite = [CipherSuite::EcdheEcdsaAes128Ccm8];
    let refuse = |need: &Need| match need.question {
        Question::VerdictOn { .. } => Some(Answer::Verdict(Verdict::Refuse(
            AlertDescription::CERTIFICATE_UNKNOWN,
        ))),
        _ => None,
    };
    for server_refuses in [true, false] {
        let server = settings(&suite, Some(pki.server_settings()));
        let mut world = World::new(settings(&suite, None), server, 6);
        let side = if server_refuses {
            &mut world.server
        } else {
            &mut world.client
        };
        side.answer = refuse;
        world.connect(pki.client_settings(CertificateType::X509));
        world.run(SECOND * 5);
        let (refused, told) = if server_refuses {
            (&world.server, &world.client)
        } else {
            (&world.client, &world.server)
        };
        let alert = AlertDescription::CERTIFICATE_UNKNOWN;
        assert_eq!(refused.failure(), Some(Failure::Refused(alert)));
        assert_eq!(told.failure(), Some(Failure::Alerted(alert)));
    }
}

#[test]
fn rfc5280_chains_are_judged_by_path_role_time_and_name() {
    let pki = Pki::new();
    let now = 1_800_000_000;
    let anchors = [pki.anchor.clone()];
    let judge = |chain: &[Vec<u8>], role, wall_s, name| {
        identity::verify_chain(chain, &anchors, role, wall_s, name)
    };
    assert_eq!(
        judge(&pki.server_chain, Role::Server, now, Some(SERVER_NAME)),
        Ok(())
    );
    assert_eq!(judge(&pki.client_chain, Role::Client, now, None), Ok(()));
    assert_eq!(
        judge(&pki.server_chain, Role::Server, now, Some("other.example")),
        Err(identity::ChainRejected::Name)
    );
    for bad in [
        judge(&pki.server_chain[..1], Role::Server, now, None),
        judge(&pki.client_chain, Role::Server, now, None),
        judge(&pki.client_chain, Role::Client, 100, None),
        judge(&Pki::new().client_chain, Role::Client, now, None),
    ] {
        assert!(
            matches!(bad, Err(identity::ChainRejected::Path(_))),
            "{bad:?}"
        );
    }
    assert_eq!(
        judge(&[], Role::Client, now, None),
        Err(identity::ChainRejected::Unreadable)
    );
}

#[test]
fn rfc6066_3_the_server_name_chooses_the_credential_and_reaches_the_questions() {
    let (first, second) = (Pki::new(), Pki::new());
    let server = ServerSettings {
        named_credentials: vec![(SERVER_NAME.to_string(), second.server.clone())],
        ..first.server_settings()
    };
    let suite = [CipherSuite::EcdheEcdsaAes128Gcm];
    for (name, chain) in [
        (Some(SERVER_NAME), &second.server_chain),
        (None, &first.server_chain),
    ] {
        let server = settings(&suite, Some(server.clone()));
        let mut world = World::new(settings(&suite, None), server, 7);
        let mut client = first.client_settings(CertificateType::X509);
        client.server_name = name.map(ToString::to_string);
        world.connected(client);
        let connected = world.client.connected().unwrap();
        assert_eq!(
            *connected.identity,
            PeerIdentity::Certificate(chain[0].clone())
        );
        let asked = world
            .server
            .needs
            .iter()
            .find_map(|need| match &need.question {
                Question::VerdictOn { server_name, .. } => Some(server_name.clone()),
                _ => None,
            });
        assert_eq!(asked.unwrap().as_deref(), name);
    }
}

#[test]
fn without_a_common_suite_or_certificate_type_there_is_an_alert() {
    let pki = Pki::new();
    let ccm8 = [CipherSuite::EcdheEcdsaAes128Ccm8];
    let gcm = [CipherSuite::EcdheEcdsaAes128Gcm];
    let only_raw = ServerSettings {
        client_certificate_types: vec![CertificateType::RawPublicKey],
        ..pki.server_settings()
    };
    for (client, server, reason, alert) in [
        (
            gcm,
            pki.server_settings(),
            Failure::NoCommonSuite,
            AlertDescription::HANDSHAKE_FAILURE,
        ),
        (
            ccm8,
            server(),
            Failure::NoCommonSuite,
            AlertDescription::HANDSHAKE_FAILURE,
        ),
        (
            ccm8,
            only_raw,
            Failure::NoCommonCertificateType,
            AlertDescription::UNSUPPORTED_CERTIFICATE,
        ),
    ] {
        let mut world = World::new(settings(&client, None), settings(&ccm8, Some(server)), 8);
        world.connect(pki.client_settings(CertificateType::X509));
        world.run(SECOND);
        assert_eq!(world.server.failure(), Some(reason));
        assert_eq!(world.client.failure(), Some(Failure::Alerted(alert)));
    }
}

#[test]
fn rfc7627_extended_master_secret_can_be_required() {
    let mut client = settings(&[CipherSuite::PskAes128Ccm8], None);
    client.require_extended_master_secret = true;
    let mut server = settings(&[CipherSuite::PskAes128Ccm8], Some(server()));
    server.require_extended_master_secret = true;
    let mut world = World::new(client, server, 9);
    world.connected(psk_client());
}

#[test]
fn a_question_that_nobody_answers_ends_the_handshake() {
    let mut world = World::psk(CipherSuite::PskAes128Ccm8, 10);
    world.server.answer = |_| None;
    world.connect(psk_client());
    world.run(SECOND * 15);
    assert_eq!(world.server.failure(), Some(Failure::NeedUnanswered));
    let late = world.server.needs[0].id;
    world
        .server
        .dtls
        .handle_answer(world.now, late, Answer::Psk(Some(Secret::from(KEY))));
    assert_eq!(world.server.dtls.stats().value(Counter::LateAnswer), 1);
}

#[test]
fn a_handshake_waits_for_its_answer_and_then_goes_on_with_what_came_meanwhile() {
    let mut world = World::psk(CipherSuite::PskAes128Ccm8, 11);
    world.server.answer = |_| None;
    world.connect(psk_client());
    world.run(SECOND * 5);
    assert_eq!(world.server.needs.len(), 1);
    let need = world.server.needs[0].id;
    world
        .server
        .dtls
        .handle_answer(world.now, need, Answer::Psk(Some(Secret::from(KEY))));
    world.run(SECOND);
    assert!(world.server.connected().is_some() && world.client.connected().is_some());
}

#[test]
fn rfc6347_4_2_1_nothing_is_kept_before_a_cookie_came_back() {
    let mut world = World::psk(CipherSuite::PskAes128Ccm8, 12);
    world.filter = Some(|letter, _| letter.to != client_address());
    world.connect(psk_client());
    world.run(SECOND * 10);
    assert_eq!(world.server.dtls.handshake_count(), 0);
    assert!(world.server.dtls.stats().value(Counter::CookieSent) >= 3);
    let (hello, request) = (&world.sent[0].bytes, &world.sent[1].bytes);
    assert!(request.len() < hello.len(), "a cookie is no amplification");
}

#[test]
fn rfc6066_4_and_rfc8449_records_are_as_small_as_asked_for() {
    let pki = Pki::new();
    let suite = [CipherSuite::EcdheEcdsaAes128Ccm8];
    for by_limit in [true, false] {
        let mut client = settings(&suite, None);
        client.record_size_limit = by_limit.then_some(512);
        let server = settings(&suite, Some(pki.server_settings()));
        let mut world = World::new(client, server, 13);
        let mut asked = pki.client_settings(CertificateType::X509);
        asked.max_fragment_length = Some(MaxFragmentLength::Bytes512);
        let (_, session) = world.connected(asked);
        assert_eq!(world.server.dtls.plaintext_max(session), Some(512));
        let refused = world.server.dtls.send(world.now, session, &[0; 513], 0);
        assert_eq!(refused, Err(Refused::TooLong { max: 512 }));
        assert!(
            world
                .server
                .dtls
                .send(world.now, session, &[0; 512], 0)
                .is_ok()
        );
    }
}

#[test]
fn datagrams_of_a_handshake_fit_the_path() {
    let pki = Pki::new();
    let suite = [CipherSuite::EcdheEcdsaAes128Ccm8];
    let mut client = settings(&suite, None);
    let mut server = settings(&suite, Some(pki.server_settings()));
    (client.datagram_max, server.datagram_max) = (300, 300);
    let mut world = World::new(client, server, 14);
    let both = world.connected(pki.client_settings(CertificateType::X509));
    assert!(world.sent.iter().all(|letter| letter.bytes.len() <= 300));
    talk(&mut world, both);
}

#[test]
fn a_barrier_goes_with_the_datagram() {
    let mut world = World::psk(CipherSuite::PskAes128Ccm8, 15);
    let (client, _) = world.connected(psk_client());
    assert!(world.barriers.iter().all(|barrier| *barrier == 0));
    world.client.dtls.send(world.now, client, b"x", 77).unwrap();
    world.settle();
    assert_eq!(world.barriers.last(), Some(&77));
}

#[test]
fn commands_that_cannot_be_carried_out_are_refused() {
    let mut world = World::psk(CipherSuite::PskAes128Ccm8, 16);
    let id = world.connect(psk_client());
    let now = world.now;
    let dtls = &mut world.client.dtls;
    assert_eq!(dtls.send(now, id, b"x", 0), Err(Refused::NotConnected));
    assert_eq!(dtls.export(id), Err(Refused::NotConnected));
    assert_eq!(
        dtls.connect(now, server_address(), psk_client()),
        Err(Refused::HandshakeUnderWay)
    );
    let pki = Pki::new();
    let elsewhere = Address::other([1; 16], 1);
    let signing = pki.client_settings(CertificateType::X509);
    assert_eq!(dtls.connect(now, elsewhere, signing), Err(Refused::NoSuite));
    assert_eq!(dtls.close(now, id, 0), Ok(()));
    assert_eq!(dtls.send(now, id, b"x", 0), Err(Refused::UnknownSession));
    assert_eq!(dtls.close(now, id, 0), Err(Refused::UnknownSession));
    assert_eq!(dtls.handshake_count(), 0);
}
