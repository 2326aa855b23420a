//! Handshakes and data over a network that loses, doubles, reorders and changes datagrams, over
//! paths of many widths, from many seeds. Without corruption the only way to fail is that the time
//! runs out; with it a handshake may fail in the ways listed here, and is then tried again.

mod common;

use std::time::Duration;

use common::*;
use dunlin_dtls::*;

const SECOND: Duration = Duration::from_secs(1);
const WIDTHS: [usize; 5] = [300, 440, 600, 900, 1200];
const SAYINGS: usize = 12;

#[derive(Clone, Copy)]
enum Kind {
    Psk,
    Certificates,
    RawPublicKeys,
}

struct Scene {
    suite: CipherSuite,
    kind: Kind,
    weather: Weather,
    seeds: std::ops::Range<u64>,
}

fn weather(loss: u64, duplication: u64, reordering: u64, corruption: u64) -> Weather {
    Weather {
        loss,
        duplication,
        reordering,
        corruption,
    }
}

/// Runs a scene; how many handshakes ended in time-outs.
fn play(scene: &Scene) -> usize {
    let pki = matches!(scene.kind, Kind::Certificates | Kind::RawPublicKeys).then(Pki::new);
    let mut timeouts = 0;
    for seed in scene.seeds.clone() {
        let width = WIDTHS[seed as usize % WIDTHS.len()];
        let server_settings = pki.as_ref().map_or(server(), Pki::server_settings);
        let mut of_client = settings(&[scene.suite], None);
        let mut of_server = settings(&[scene.suite], Some(server_settings));
        (of_client.datagram_max, of_server.datagram_max) = (width, width);
        let mut world = World::new(of_client, of_server, seed);
        world.weather = scene.weather;
        let asked = match (&scene.kind, &pki) {
            (Kind::Certificates, Some(pki)) => pki.client_settings(CertificateType::X509),
            (Kind::RawPublicKeys, Some(pki)) => pki.client_settings(CertificateType::RawPublicKey),
            _ => psk_client(),
        };
        timeouts += connect(&mut world, &asked, seed);
        talk(&mut world, seed);
    }
    timeouts
}

/// Tries until it connects; how many tries ran out of time.
fn connect(world: &mut World, asked: &ClientSettings, seed: u64) -> usize {
    for tries in 0..8 {
        world.client.events.clear();
        world.connect(asked.clone());
        for _ in 0..20 {
            world.run(SECOND * 5);
            if world.client.connected().is_some() && world.server.connected().is_some() {
                return tries;
            }
            if world.client.failure().is_some() {
                break;
            }
        }
        for side in [&world.client, &world.server] {
            for event in &side.events {
                if let Event::Failed { reason, .. } = event {
                    assert!(may_fail(*reason, world.weather), "seed {seed}: {reason:?}");
                }
            }
        }
    }
    panic!("seed {seed}: never connected");
}

fn may_fail(reason: Failure, weather: Weather) -> bool {
    match reason {
        Failure::Timeout | Failure::Unconfirmed => true,
        // A turned bit in what nothing authenticates yet.
        Failure::Alerted(_)
        | Failure::WrongKey
        | Failure::UnknownIdentity
        | Failure::WrongFinished
        | Failure::BadSignature
        | Failure::BadKeyShare
        | Failure::UnusableCertificate
        | Failure::CertificateMissing
        | Failure::UnexpectedMessage
        | Failure::UnsolicitedExtension
        | Failure::NoCommonSuite
        | Failure::NoCommonCertificateType
        | Failure::ExtendedMasterSecretMissing
        | Failure::ProtocolVersion
        | Failure::IllegalParameter(_) => weather.corruption > 0,
        _ => false,
    }
}

/// Both talk, the client moves half-way; nothing arrives twice, nothing arrives changed.
fn talk(world: &mut World, seed: u64) {
    let client = world.client.connected().unwrap().session;
    let server = world.server.connected().unwrap().session;
    world.client.events.clear();
    world.server.events.clear();
    for number in 0..SAYINGS {
        if number == SAYINGS / 2 {
            world.seen_as = Address::other([7; 16], seed as u16);
        }
        let (up, down) = (format!("up {number}"), format!("down {number}"));
        world
            .client
            .dtls
            .send(world.now, client, up.as_bytes(), 0)
            .unwrap();
        world.run(SECOND);
        if world.server.dtls.address(server).is_none() {
            panic!("seed {seed}: the session is gone");
        }
        world
            .server
            .dtls
            .send(world.now, server, down.as_bytes(), 0)
            .unwrap();
        world.run(SECOND);
    }
    for (side, word) in [(&world.server, "up"), (&world.client, "down")] {
        let mut heard: Vec<Vec<u8>> = side.data().into_iter().map(<[u8]>::to_vec).collect();
        let total = heard.len();
        heard.sort();
        heard.dedup();
        assert_eq!(heard.len(), total, "seed {seed}: heard twice");
        let said: Vec<Vec<u8>> = (0..SAYINGS)
            .map(|number| format!("{word} {number}").into_bytes())
            .collect();
        assert!(
            heard.iter().all(|heard| said.contains(heard)),
            "seed {seed}: heard wrongly"
        );
        if world.weather.loss + world.weather.corruption == 0 {
            assert_eq!(total, SAYINGS, "seed {seed}: not all heard");
        }
    }
}

#[test]
fn doubled_and_reordered_datagrams_cost_nothing() {
    for (suite, kind) in [
        (CipherSuite::PskAes128Ccm8, Kind::Psk),
        (CipherSuite::EcdheEcdsaAes128Ccm8, Kind::Certificates),
        (CipherSuite::EcdheEcdsaAes128Gcm, Kind::RawPublicKeys),
    ] {
        let timeouts = play(&Scene {
            suite,
            kind,
            weather: weather(0, 30, 100, 0),
            seeds: 0..20,
        });
        assert_eq!(timeouts, 0);
    }
}

#[test]
fn lost_datagrams_are_sent_again_psk() {
    let scene = Scene {
        suite: CipherSuite::PskAes128Ccm8,
        kind: Kind::Psk,
        weather: weather(20, 10, 50, 0),
        seeds: 100..250,
    };
    let timeouts = play(&scene);
    assert!(timeouts < 8, "{timeouts} time-outs in 150 handshakes");
}

#[test]
fn lost_datagrams_are_sent_again_certificates() {
    let scene = Scene {
        suite: CipherSuite::EcdheEcdsaAes128Ccm8,
        kind: Kind::Certificates,
        weather: weather(15, 10, 50, 0),
        seeds: 300..340,
    };
    let timeouts = play(&scene);
    assert!(timeouts < 8, "{timeouts} time-outs in 40 handshakes");
}

#[test]
fn lost_datagrams_are_sent_again_raw_public_keys() {
    let scene = Scene {
        suite: CipherSuite::EcdheEcdsaAes128Ccm,
        kind: Kind::RawPublicKeys,
        weather: weather(20, 10, 50, 0),
        seeds: 400..430,
    };
    assert!(play(&scene) < 6);
}

#[test]
fn changed_datagrams_lead_to_no_wrong_connection() {
    for suite in CipherSuite::ALL {
        let kind = if suite.is_psk() {
            Kind::Psk
        } else {
            Kind::Certificates
        };
        let seeds = if suite.is_psk() { 500..530 } else { 500..506 };
        play(&Scene {
            suite,
            kind,
            weather: weather(5, 5, 20, 10),
            seeds,
        });
    }
}

/// `cargo test -p dunlin-dtls --test weather -- --ignored`, with `DUNLIN_SEEDS` seeds (2000).
#[test]
#[ignore = "takes minutes"]
fn a_long_spell_of_every_weather() {
    let seeds = std::env::var("DUNLIN_SEEDS")
        .ok()
        .and_then(|seeds| seeds.parse().ok());
    let seeds: u64 = seeds.unwrap_or(2000);
    for (suite, kind) in [
        (CipherSuite::PskAes128Ccm8, Kind::Psk),
        (CipherSuite::PskAes128Cbc, Kind::Psk),
        (CipherSuite::EcdheEcdsaAes128Ccm8, Kind::Certificates),
        (CipherSuite::EcdheEcdsaAes128Gcm, Kind::RawPublicKeys),
    ] {
        for (name, weather) in [
            ("reordered", weather(0, 30, 100, 0)),
            ("lost", weather(20, 10, 100, 0)),
            ("changed", weather(5, 5, 20, 10)),
        ] {
            let timeouts = play(&Scene {
                suite,
                kind,
                weather,
                seeds: 10_000..10_000 + seeds,
            });
            println!("{suite}, {name}: {timeouts} of {seeds} handshakes tried again");
        }
    }
}
