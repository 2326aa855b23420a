//! Kill points by chance: a server dies in the middle of traffic, comes back with what was durable,
//! and an attacker plays everything again that was ever on the wire, from elsewhere.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::*;
use dunlin_dtls::*;
use rand_core::Rng;

const SECOND: Duration = Duration::from_secs(1);
const CCM8: CipherSuite = CipherSuite::PskAes128Ccm8;
const WINDOW: u64 = 16;

fn attacker() -> Address {
    Address::other(*b"attacker........", 666)
}

fn server_settings() -> Settings {
    Settings {
        reserve_window: WINDOW,
        ..settings(&[CCM8], Some(server()))
    }
}

/// What the store holds of the session: bytes and the highest reservation, as of some moment.
struct Stored {
    bytes: Secret,
    reserved: u64,
}

struct Story {
    world: World,
    client: SessionId,
    server: SessionId,
    stored: Stored,
    /// What the server did for good, by message: what came `fresh`.
    done: BTreeMap<Vec<u8>, usize>,
    numbers: BTreeSet<Vec<u8>>,
    said: u32,
    seen: usize,
}

impl Story {
    fn new(seed: u64) -> Story {
        let mut world = World::new(settings(&[CCM8], None), server_settings(), seed);
        let (client, server) = world.connected(psk_client());
        let stored = Stored {
            bytes: world.server.dtls.export(server).unwrap(),
            reserved: 0,
        };
        world.server.events.clear();
        let seen = world.sent.len();
        Story {
            world,
            client,
            server,
            stored,
            done: BTreeMap::new(),
            numbers: BTreeSet::new(),
            said: 0,
            seen,
        }
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.world.random.next_u64() % 100 < percent
    }

    /// Some traffic both ways; reservations are stored as they come.
    fn talk(&mut self) {
        for _ in 0..self.world.random.next_u64() % 30 {
            self.said += 1;
            let words = format!("up {}", self.said);
            self.world
                .client
                .dtls
                .send(self.world.now, self.client, words.as_bytes(), 0)
                .unwrap();
            self.world
                .server
                .dtls
                .send(self.world.now, self.server, b"down", 0)
                .unwrap();
            self.world.run(SECOND / 10);
            self.take_note();
            if self.chance(10) {
                let bytes = self.world.server.dtls.export(self.server).unwrap();
                let reserved = self.stored.reserved;
                self.stored = Stored { bytes, reserved };
            }
        }
    }

    /// Looks at all that left and all that came since the last time.
    fn take_note(&mut self) {
        let reserved = self
            .world
            .server
            .reserved
            .get(&self.server)
            .copied()
            .unwrap_or(0);
        self.stored.reserved = self.stored.reserved.max(reserved);
        for letter in &self.world.sent[self.seen..] {
            if letter.from == server_address() {
                let new = self.numbers.insert(letter.bytes[3..11].to_vec());
                assert!(new, "a number used twice");
            }
        }
        self.seen = self.world.sent.len();
        for event in std::mem::take(&mut self.world.server.events) {
            match event {
                Event::Data {
                    plaintext,
                    fresh: true,
                    ..
                } => {
                    *self.done.entry(plaintext).or_default() += 1;
                }
                Event::Data { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The server dies and comes back with what is stored.
    fn die(&mut self) {
        self.world.server = Side::new(server_settings(), self.said as u8, server_address());
        let Stored { bytes, reserved } = &self.stored;
        let now = self.world.now;
        self.server = self
            .world
            .server
            .dtls
            .import(now, bytes.expose(), *reserved)
            .unwrap();
        self.world.settle();
        self.take_note();
    }

    /// Everything that the client ever sent comes again, from elsewhere and from its own address.
    fn replay(&mut self) {
        let to_server = self
            .world
            .sent
            .iter()
            .filter(|letter| letter.to == server_address())
            .cloned();
        for letter in to_server.collect::<Vec<_>>() {
            for from in [attacker(), client_address()] {
                self.world.deliver(&Letter {
                    from,
                    ..letter.clone()
                });
            }
        }
        // Cookies may have been sent for old hellos; they are no news.
        self.seen = self.world.sent.len();
        self.take_note();
        let address = self.world.server.dtls.address(self.server);
        assert_eq!(
            address,
            Some(client_address()),
            "a replay has moved the session"
        );
    }

    /// The server asks, the true client answers.
    fn confirm(&mut self) {
        self.world
            .server
            .dtls
            .send(self.world.now, self.server, b"ping", 0)
            .unwrap();
        self.world
            .client
            .dtls
            .send(self.world.now, self.client, b"pong", 0)
            .unwrap();
        self.world.run(SECOND);
        self.take_note();
        let (now, from) = (self.world.now, client_address());
        self.world
            .server
            .dtls
            .confirm_round_trip(now, self.server, from)
            .unwrap();
    }
}

#[test]
fn decisions_3_over_random_kill_points_nothing_is_done_twice_and_no_number_used_twice() {
    for seed in 0..40 {
        let mut story = Story::new(seed);
        for _ in 0..4 {
            story.talk();
            story.die();
            if story.chance(50) {
                story.replay();
            }
            story.confirm();
            story.replay();
        }
        story.talk();
        assert!(
            story.done.values().all(|times| *times == 1),
            "seed {seed}: done twice"
        );
        assert!(story.done.len() > 10, "seed {seed}: much is done");
    }
}
