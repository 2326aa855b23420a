//! What happens to sessions: Connection IDs and moves, restarts, resumption, closing, limits.

mod common;

use std::time::Duration;

use common::*;
use dunlin_dtls::*;

const SECOND: Duration = Duration::from_secs(1);
const CCM8: CipherSuite = CipherSuite::PskAes128Ccm8;

fn elsewhere() -> Address {
    Address::other(*b"client..........", 60_000)
}

fn without_cid() -> ClientSettings {
    ClientSettings {
        connection_id: CidOffer::Not,
        ..psk_client()
    }
}

/// The client says something; what the server heard of it.
fn hear(world: &mut World, client: SessionId, words: &[u8]) -> Vec<Event> {
    world.server.events.clear();
    world.client.dtls.send(world.now, client, words, 0).unwrap();
    world.run(SECOND);
    world.server.events.clone()
}

fn value(side: &Side, counter: Counter) -> u64 {
    side.dtls.stats().value(counter)
}

/// The last datagram that the client sent.
fn last_of_client(world: &World) -> Letter {
    world
        .sent
        .iter()
        .rev()
        .find(|letter| letter.to == server_address())
        .unwrap()
        .clone()
}

// ---- Connection IDs -----------------------------------------------------------------------------

#[test]
fn rfc9146_every_record_after_the_handshake_carries_the_cid_finished_included() {
    let mut settings_of_server = settings(&[CCM8], Some(server()));
    settings_of_server.cid_prefix = vec![0xab, 0xcd, 0x07];
    let mut world = World::new(settings(&[CCM8], None), settings_of_server, 1);
    let (client, _) = world.connected(psk_client());
    let cid = world.server.connected().unwrap().cid.unwrap();
    hear(&mut world, client, b"x");
    assert_eq!(cid.0[..3], [0xab, 0xcd, 0x07]);
    assert_eq!(
        ConnectionId::of_datagram(&last_of_client(&world).bytes),
        Some(cid)
    );
    for letter in world
        .sent
        .iter()
        .filter(|letter| letter.to == server_address())
    {
        let mut at = 0;
        while at < letter.bytes.len() {
            let with_cid = letter.bytes[at] == 25;
            let epoch = u16::from_be_bytes([letter.bytes[at + 3], letter.bytes[at + 4]]);
            assert_eq!(epoch == 1, with_cid);
            let header = if with_cid { 21 } else { 13 };
            let length = &letter.bytes[at + header - 2..at + header];
            at += header + usize::from(u16::from_be_bytes([length[0], length[1]]));
        }
    }
}

#[test]
fn rfc9146_a_client_may_have_a_cid_too() {
    let mut world = World::psk(CCM8, 2);
    let asked = ClientSettings {
        connection_id: CidOffer::Both,
        ..psk_client()
    };
    let (_, server) = world.connected(asked);
    assert!(world.client.connected().unwrap().cid.is_some());
    world
        .server
        .dtls
        .send(world.now, server, b"down", 0)
        .unwrap();
    world.run(SECOND);
    assert_eq!(world.client.data(), [b"down"]);
    assert_eq!(world.sent.last().unwrap().bytes[0], 25);
}

#[test]
fn rfc9146_either_side_can_do_without() {
    for (asked, offered) in [
        (CidOffer::Not, true),
        (CidOffer::Both, false),
        (CidOffer::SendOnly, false),
    ] {
        let server = ServerSettings {
            connection_id: offered,
            ..server()
        };
        let mut world = World::new(settings(&[CCM8], None), settings(&[CCM8], Some(server)), 3);
        let asked = ClientSettings {
            connection_id: asked,
            ..psk_client()
        };
        let (client, _) = world.connected(asked);
        assert_eq!(world.server.connected().unwrap().cid, None);
        assert_eq!(world.client.connected().unwrap().cid, None);
        hear(&mut world, client, b"x");
        assert_eq!(world.server.data(), [b"x"]);
        assert_eq!(last_of_client(&world).bytes[0], 23);
    }
}

#[test]
fn rfc9146_6_a_newer_record_from_elsewhere_moves_the_session() {
    let mut world = World::psk(CCM8, 4);
    let (client, server) = world.connected(psk_client());
    world.seen_as = elsewhere();
    let heard = hear(&mut world, client, b"from elsewhere");
    let moved = Event::Moved {
        session: server,
        from: client_address(),
        to: elsewhere(),
    };
    assert_eq!(heard[0], moved);
    assert!(matches!(&heard[1], Event::Data { from, newest: true, .. } if *from == elsewhere()));
    world
        .server
        .dtls
        .send(world.now, server, b"answer", 0)
        .unwrap();
    world.settle();
    assert_eq!(world.sent.last().unwrap().to, elsewhere());
}

#[test]
fn rfc9146_6_neither_an_older_nor_a_copied_nor_a_forged_record_moves_it() {
    let mut world = World::psk(CCM8, 5);
    let (client, server) = world.connected(psk_client());
    world.filter = Some(|_, _| false);
    world
        .client
        .dtls
        .send(world.now, client, b"older", 0)
        .unwrap();
    world.settle();
    let mut older = last_of_client(&world);
    world.filter = None;
    hear(&mut world, client, b"newest");
    let mut copy = last_of_client(&world);
    world.server.events.clear();
    older.from = elsewhere();
    world.deliver(&older);
    assert!(matches!(
        world.server.events[..],
        [Event::Data { newest: false, .. }]
    ));
    copy.from = elsewhere();
    world.deliver(&copy);
    let mut forged = copy.clone();
    forged.bytes[8] = 0x7f;
    world.deliver(&forged);
    assert_eq!(world.server.events.len(), 1);
    assert_eq!(world.server.dtls.address(server), Some(client_address()));
    assert_eq!(value(&world.server, Counter::Replayed), 1);
    assert_eq!(value(&world.server, Counter::NotAuthentic), 1);
}

#[test]
fn without_a_cid_a_record_from_elsewhere_is_nobodys() {
    let mut world = World::psk(CCM8, 6);
    let (client, _) = world.connected(without_cid());
    world.seen_as = elsewhere();
    assert!(hear(&mut world, client, b"lost").is_empty());
    assert_eq!(value(&world.server, Counter::UnknownAddress), 1);
}

// ---- Attacks on what is established -------------------------------------------------------------

#[test]
fn decisions_8_no_unprotected_record_touches_a_session() {
    let mut world = World::psk(CCM8, 7);
    let (client, _) = world.connected(psk_client());
    let sent = world.sent.len();
    let unprotected = |content_type: u8, fragment: &[u8]| {
        let mut bytes = vec![content_type, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0];
        bytes.push(fragment.len() as u8);
        bytes.extend_from_slice(fragment);
        Letter {
            from: client_address(),
            to: server_address(),
            bytes,
        }
    };
    for (content_type, fragment) in [
        (21, &[2, 40][..]),
        (21, &[1, 0]),
        (20, &[1]),
        (22, &[20, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0]),
    ] {
        world.deliver(&unprotected(content_type, fragment));
    }
    world.deliver(&unprotected(23, b"plain"));
    assert_eq!(world.sent.len(), sent);
    assert_eq!(value(&world.server, Counter::UnprotectedForSession), 5);
    hear(&mut world, client, b"still here");
    assert_eq!(world.server.data(), [b"still here"]);
}

#[test]
fn rfc6347_4_2_8_a_new_handshake_replaces_the_session_only_once_it_is_proved() {
    for cid in [true, false] {
        let mut world = World::psk(CCM8, 8);
        let (old_client, old_server) =
            world.connected(if cid { psk_client() } else { without_cid() });
        // Somebody at the same address who does not have the key.
        world.client = Side::new(settings(&[CCM8], None), 77, client_address());
        world.connect(ClientSettings::psk(IDENTITY, b"wrong"));
        world.run(SECOND * 3);
        assert_eq!(
            world.server.dtls.identity(old_server).unwrap().as_bytes(),
            IDENTITY
        );
        world.run(SECOND * 90);
        // The device after a reboot, with the key.
        world.client = Side::new(settings(&[CCM8], None), 78, client_address());
        world.server.events.clear();
        world.connect(if cid { psk_client() } else { without_cid() });
        world.run(SECOND * 3);
        let new = world.server.connected().unwrap().session;
        assert_ne!(new, old_server);
        assert!(world.server.events.iter().any(|event| matches!(
            event,
            Event::Closed { session, reason: CloseReason::Superseded, .. } if *session == old_server
        )));
        assert_eq!(world.server.dtls.session_count(), 1);
        let _ = old_client;
    }
}

#[test]
fn a_session_goes_on_while_somebody_else_tries_a_handshake_from_its_address() {
    let mut world = World::psk(CCM8, 9);
    let (client, _) = world.connected(without_cid());
    // A second machine behind the same address, whose handshake hangs in the middle.
    let mut other = Dtls::new(settings(&[CCM8], None), [99; 32]);
    other
        .connect(world.now, server_address(), without_cid())
        .unwrap();
    for _ in 0..2 {
        while let Output::Transmit(transmit) = other.poll_output() {
            let (from, to) = (client_address(), transmit.to);
            world.deliver(&Letter {
                from,
                to,
                bytes: transmit.bytes,
            });
        }
        let answer = world.sent.last().unwrap().bytes.clone();
        other.handle_receive(world.now, server_address(), &answer);
    }
    assert_eq!(world.server.dtls.handshake_count(), 1);
    hear(&mut world, client, b"unmoved");
    assert_eq!(world.server.data(), [b"unmoved"]);
}

#[test]
fn a_late_copy_of_the_client_hello_begins_nothing() {
    let mut world = World::psk(CCM8, 10);
    world.connected(psk_client());
    let hellos: Vec<Letter> = world
        .sent
        .iter()
        .filter(|letter| letter.bytes[13] == 1)
        .cloned()
        .collect();
    assert_eq!(hellos.len(), 2);
    world.deliver(&hellos[1]);
    assert_eq!(value(&world.server, Counter::LateClientHello), 1);
    assert_eq!(world.server.dtls.handshake_count(), 0);
}

#[test]
fn a_repeated_client_hello_is_answered_with_the_same_flight() {
    let mut world = World::psk(CCM8, 11);
    world.server.answer = |_| None;
    world.connect(psk_client());
    world.run(SECOND / 2);
    let hello = world
        .sent
        .iter()
        .filter(|letter| letter.bytes[13] == 1)
        .nth(1)
        .unwrap()
        .clone();
    let first = world
        .sent
        .iter()
        .find(|letter| letter.bytes[13] == 2)
        .unwrap()
        .clone();
    world.now += SECOND;
    world.deliver(&hello);
    let again = world
        .sent
        .iter()
        .rev()
        .find(|letter| letter.bytes[13] == 2)
        .unwrap();
    // The ServerHello itself; what follows it has new record numbers.
    let server_hello = 13..13 + 12 + 66;
    assert_eq!(again.bytes[server_hello.clone()], first.bytes[server_hello]);
    assert_eq!(value(&world.server, Counter::RepeatedClientHello), 1);
    assert_eq!(world.server.dtls.handshake_count(), 1);
}

// ---- Restart ------------------------------------------------------------------------------------

/// The server starts anew with what was exported.
fn restart(world: &mut World, exported: &Secret, reserved: u64) -> SessionId {
    let answer = world.server.answer;
    world.server = Side::new(settings(&[CCM8], Some(server())), 200, server_address());
    world.server.answer = answer;
    let session = world
        .server
        .dtls
        .import(world.now, exported.expose(), reserved)
        .unwrap();
    world.settle();
    session
}

#[test]
fn decisions_3_a_session_outlives_a_restart_of_the_server() {
    for asked in [psk_client(), without_cid()] {
        let mut world = World::psk(CCM8, 12);
        let (client, server) = world.connected(asked);
        hear(&mut world, client, b"before");
        let exported = world.server.dtls.export(server).unwrap();
        let server = restart(&mut world, &exported, 0);
        assert_eq!(
            world.server.dtls.identity(server).unwrap().as_bytes(),
            IDENTITY
        );
        hear(&mut world, client, b"after");
        assert!(matches!(
            world.server.events[..],
            [Event::Data {
                fresh: false,
                newest: true,
                ..
            }]
        ));
        world
            .server
            .dtls
            .send(world.now, server, b"ping", 0)
            .unwrap();
        world.run(SECOND);
        assert_eq!(world.client.data(), [b"ping"]);
        world
            .server
            .dtls
            .confirm_round_trip(world.now, server, client_address())
            .unwrap();
        hear(&mut world, client, b"fresh");
        assert!(matches!(
            world.server.events[..],
            [Event::Data { fresh: true, .. }]
        ));
    }
}

#[test]
fn decisions_3_send_numbers_are_reserved_before_use_and_never_used_twice() {
    let mut world = World::new(
        settings(&[CCM8], None),
        Settings {
            reserve_window: 16,
            ..settings(&[CCM8], Some(server()))
        },
        13,
    );
    let (_, mut server) = world.connected(psk_client());
    world.filter = Some(|_, _| false);
    let mut used = std::collections::BTreeSet::new();
    let mut committed = 0;
    for _ in 0..5 {
        let exported = world.server.dtls.export(server).unwrap();
        for _ in 0..37 {
            let before = world.sent.len();
            world.server.dtls.send(world.now, server, b"x", 0).unwrap();
            world.settle();
            committed = world
                .server
                .reserved
                .get(&server)
                .copied()
                .unwrap_or(0)
                .max(committed);
            for letter in &world.sent[before..] {
                assert!(used.insert(letter.bytes[5..11].to_vec()), "a number twice");
            }
        }
        // The process dies; only the first export and the reservations were stored.
        world.server = Side::new(
            Settings {
                reserve_window: 16,
                ..settings(&[CCM8], Some(common::server()))
            },
            201,
            server_address(),
        );
        server = world
            .server
            .dtls
            .import(world.now, exported.expose(), committed)
            .unwrap();
        world.settle();
        committed = committed.max(world.server.reserved[&server]);
    }
    assert_eq!(used.len(), 5 * 37);
}

#[test]
fn decisions_3_before_a_round_trip_a_replay_moves_nothing_and_after_it_is_not_heard() {
    let mut world = World::psk(CCM8, 14);
    let (client, server) = world.connected(psk_client());
    hear(&mut world, client, b"stored");
    let exported = world.server.dtls.export(server).unwrap();
    hear(&mut world, client, b"received after the export");
    let captured = last_of_client(&world);
    let server = restart(&mut world, &exported, 0);
    // From another address, as an attacker would.
    let mut replay = captured.clone();
    replay.from = elsewhere();
    world.deliver(&replay);
    assert!(
        matches!(&world.server.events[..], [Event::Data { fresh: false, from, .. }] if *from == elsewhere())
    );
    assert_eq!(world.server.dtls.address(server), Some(client_address()));
    // The ping goes to where the record came from, and the true client never hears it there.
    world
        .server
        .dtls
        .send_to(world.now, server, elsewhere(), b"ping", 0)
        .unwrap();
    world.settle();
    assert_eq!(world.sent.last().unwrap().to, elsewhere());
    // The true client is heard, and answers.
    hear(&mut world, client, b"pong");
    world
        .server
        .dtls
        .confirm_round_trip(world.now, server, client_address())
        .unwrap();
    world.server.events.clear();
    world.deliver(&replay);
    world.deliver(&captured);
    assert!(world.server.events.is_empty());
    assert_eq!(world.server.dtls.address(server), Some(client_address()));
}

#[test]
fn a_round_trip_with_a_peer_behind_a_new_address_moves_the_session() {
    let mut world = World::psk(CCM8, 15);
    let (client, server) = world.connected(psk_client());
    let exported = world.server.dtls.export(server).unwrap();
    let server = restart(&mut world, &exported, 0);
    world.seen_as = elsewhere();
    hear(&mut world, client, b"from a new address");
    world
        .server
        .dtls
        .confirm_round_trip(world.now, server, elsewhere())
        .unwrap();
    world.settle();
    assert!(world.server.events.contains(&Event::Moved {
        session: server,
        from: client_address(),
        to: elsewhere()
    }));
}

#[test]
fn a_session_is_imported_once_and_only_from_its_own_bytes() {
    let mut world = World::psk(CCM8, 16);
    let (_, server) = world.connected(psk_client());
    let exported = world.server.dtls.export(server).unwrap();
    restart(&mut world, &exported, 0);
    let now = world.now;
    let dtls = &mut world.server.dtls;
    assert_eq!(
        dtls.import(now, exported.expose(), 0),
        Err(ImportError::Alive)
    );
    assert_eq!(
        dtls.import(now, &exported.expose()[1..], 0),
        Err(ImportError::Malformed)
    );
}

#[test]
fn a_client_can_sleep_as_bytes_too() {
    let mut world = World::psk(CCM8, 17);
    let (client, _) = world.connected(psk_client());
    let exported = world.client.dtls.export(client).unwrap();
    world.client = Side::new(settings(&[CCM8], None), 55, client_address());
    let client = world
        .client
        .dtls
        .import(world.now, exported.expose(), 0)
        .unwrap();
    hear(&mut world, client, b"awake");
    assert_eq!(world.server.data(), [b"awake"]);
}

// ---- Resumption ---------------------------------------------------------------------------------

fn kept(side: &Side) -> ResumptionState {
    let state = side.events.iter().find_map(|event| match event {
        Event::Resumable { state, .. } => Some(state.clone()),
        _ => None,
    });
    state.expect("the server offers resumption")
}

/// Connects, forgets, connects again with what was kept; what the server says of it.
fn resume(world: &mut World, asked: ClientSettings) -> Connected {
    let (client, _) = world.connected(asked.clone());
    let state = kept(&world.client);
    world.client.dtls.close(world.now, client, 0).unwrap();
    world.run(SECOND);
    world.connected(ClientSettings {
        resume: Some(state),
        ..asked
    });
    world.server.connected().unwrap().clone()
}

#[test]
fn rfc5077_a_psk_session_is_resumed_by_ticket() {
    let mut world = World::psk(CCM8, 18);
    let again = resume(&mut world, psk_client());
    assert!(again.resumed && world.client.connected().unwrap().resumed);
    assert_eq!(again.identity.as_bytes(), IDENTITY);
    assert!(again.cid.is_some(), "connection ids are agreed on anew");
    let client = world.client.connected().unwrap().session;
    hear(&mut world, client, b"resumed");
    assert_eq!(world.server.data(), [b"resumed"]);
    assert!(
        world
            .server
            .needs
            .iter()
            .any(|need| matches!(need.question, Question::Resumption { .. }))
    );
}

#[test]
fn rfc5246_7_3_a_certificate_session_is_resumed_by_id_without_certificates() {
    let pki = Pki::new();
    let suite = [CipherSuite::EcdheEcdsaAes128Ccm8];
    let server = settings(&suite, Some(pki.server_settings()));
    let mut world = World::new(settings(&suite, None), server, 19);
    let again = resume(&mut world, pki.client_settings(CertificateType::X509));
    assert!(again.resumed);
    assert_eq!(
        *again.identity,
        PeerIdentity::Certificate(pki.client_chain[0].clone())
    );
    let verdicts = world.server.needs.iter();
    let verdicts = verdicts
        .filter(|need| matches!(need.question, Question::VerdictOn { .. }))
        .count();
    assert_eq!(verdicts, 1);
}

#[test]
fn a_peer_that_is_not_trusted_any_more_cannot_resume() {
    let mut world = World::psk(CCM8, 20);
    world.server.answer = |need| match need.question {
        Question::Resumption { .. } => Some(Answer::Verdict(Verdict::Refuse(
            AlertDescription::CERTIFICATE_UNKNOWN,
        ))),
        _ => trusting(need),
    };
    assert!(!resume(&mut world, psk_client()).resumed);
}

#[test]
fn a_server_that_forgot_makes_a_full_handshake() {
    let mut world = World::psk(CCM8, 21);
    world.connected(psk_client());
    let state = kept(&world.client);
    world.server = Side::new(settings(&[CCM8], Some(server())), 202, server_address());
    world.client = Side::new(settings(&[CCM8], None), 56, client_address());
    world.connected(ClientSettings {
        resume: Some(state),
        ..psk_client()
    });
    assert!(!world.client.connected().unwrap().resumed);
}

#[test]
fn rfc6066_3_a_session_for_another_name_is_not_resumed() {
    let mut world = World::psk(CCM8, 22);
    let named = ClientSettings {
        server_name: Some("one.example".to_string()),
        ..psk_client()
    };
    world.connected(named.clone());
    let state = kept(&world.client);
    world.client = Side::new(settings(&[CCM8], None), 57, client_address());
    let other = ClientSettings {
        server_name: Some("two.example".to_string()),
        resume: Some(state),
        ..psk_client()
    };
    world.connected(other);
    assert!(!world.server.connected().unwrap().resumed);
}

#[test]
fn resumption_can_be_switched_off() {
    let server = ServerSettings {
        resumption: false,
        ..server()
    };
    let mut world = World::new(settings(&[CCM8], None), settings(&[CCM8], Some(server)), 23);
    world.connected(psk_client());
    assert!(
        !world
            .client
            .events
            .iter()
            .any(|event| matches!(event, Event::Resumable { .. }))
    );
}

#[test]
fn a_lost_last_flight_of_a_resumption_comes_again() {
    let mut world = World::psk(CCM8, 24);
    world.connected(psk_client());
    let state = kept(&world.client);
    world.client = Side::new(settings(&[CCM8], None), 58, client_address());
    world.server.events.clear();
    // Lose the client's ChangeCipherSpec and Finished once.
    world.filter = Some(|letter, random| {
        use rand_core::Rng;
        !(letter.bytes[0] == 20 && letter.to == server_address()) || random.next_u32() % 4 == 0
    });
    world.connect(ClientSettings {
        resume: Some(state),
        ..psk_client()
    });
    world.run(SECOND * 60);
    assert!(world.server.connected().expect("at last").resumed);
}

// ---- Closing and limits -------------------------------------------------------------------------

#[test]
fn rfc5246_7_2_1_close_notify_ends_the_session_on_both_sides() {
    let mut world = World::psk(CCM8, 25);
    let (client, server) = world.connected(psk_client());
    world.client.dtls.close(world.now, client, 5).unwrap();
    world.settle();
    assert_eq!(world.barriers.last(), Some(&5));
    world.run(SECOND);
    for (side, session, reason) in [
        (&world.client, client, CloseReason::Local),
        (&world.server, server, CloseReason::Peer),
    ] {
        assert!(side.events.iter().any(|event| matches!(
            event,
            Event::Closed { session: closed, reason: why, .. } if (*closed, *why) == (session, reason)
        )));
        assert_eq!(side.dtls.session_count(), 0);
    }
}

#[test]
fn one_session_too_many_evicts_one_that_is_idle() {
    let limited = Settings {
        sessions_max: 3,
        ..settings(&[CCM8], Some(server()))
    };
    let mut world = World::new(settings(&[CCM8], None), limited, 26);
    let mut sessions = Vec::new();
    for port in 1..=4 {
        world.client = Side::new(settings(&[CCM8], None), port, client_address());
        world.seen_as = Address::other([port; 16], u16::from(port));
        world.server.events.clear();
        // Answers go to an address that is not the client's usual one: hand them over.
        world
            .client
            .dtls
            .connect(world.now, server_address(), psk_client())
            .unwrap();
        world.run(SECOND * 10);
        sessions.push(world.server.connected().unwrap().session);
    }
    assert_eq!(world.server.dtls.session_count(), 3);
    assert!(world.server.events.iter().any(|event| matches!(
        event,
        Event::Closed { session, reason: CloseReason::Evicted, .. } if *session == sessions[0]
    )));
}

#[test]
fn handshakes_under_way_are_bounded_and_those_of_one_host_too() {
    for (by_host, counter) in [
        (false, Counter::HandshakesFull),
        (true, Counter::HandshakesLimited),
    ] {
        let mut limited = settings(&[CCM8], Some(server()));
        if by_host {
            (limited.handshake_burst, limited.handshakes_per_second) = (5, 1);
        } else {
            limited.handshakes_max = 5;
        }
        let mut world = World::new(settings(&[CCM8], None), limited, 27);
        world.server.answer = |_| None;
        for port in 0..10 {
            world.client = Side::new(settings(&[CCM8], None), port, client_address());
            world.seen_as = Address::other([if by_host { 1 } else { port }; 16], u16::from(port));
            world
                .client
                .dtls
                .connect(world.now, server_address(), psk_client())
                .unwrap();
            world.run(SECOND / 10);
        }
        assert_eq!(world.server.dtls.handshake_count(), 5);
        assert_eq!(value(&world.server, counter), 5);
        world.run(SECOND * 60);
        assert_eq!(world.server.dtls.handshake_count(), 0);
    }
}

#[test]
fn new_settings_are_for_new_handshakes() {
    let mut world = World::psk(CCM8, 30);
    let (client, server) = world.connected(psk_client());
    assert_eq!(world.server.dtls.sessions().collect::<Vec<_>>(), [server]);
    world.server.dtls.replace_settings(settings(
        &[CipherSuite::PskAes128Gcm],
        Some(common::server()),
    ));
    hear(&mut world, client, b"as before");
    assert_eq!(world.server.data(), [b"as before"]);
    world.client = Side::new(settings(&[CCM8], None), 61, client_address());
    world.connect(psk_client());
    world.run(SECOND);
    assert_eq!(world.server.failure(), Some(Failure::NoCommonSuite));
    assert_eq!(world.server.dtls.sessions().collect::<Vec<_>>(), [server]);
}

#[test]
fn neither_keys_nor_payload_are_printed() {
    let mut world = World::psk(CCM8, 29);
    let (client, server) = world.connected(psk_client());
    world
        .client
        .dtls
        .send(world.now, client, b"payload", 0)
        .unwrap();
    world.run(SECOND);
    let exported = world.server.dtls.export(server).unwrap();
    let printed = format!("{:?} {exported:?} {:?}", world.server.events, psk_client());
    assert!(printed.contains("Data 7 bytes"));
    for secret in ["payload", "112, 97, 121", "a key of sixteen", "97, 32, 107"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

#[test]
fn a_machine_can_be_handed_to_another_task() {
    fn sendable<T: Send>() {}
    sendable::<Dtls>();
}
