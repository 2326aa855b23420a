//! Clients with DTLS: who they are, where they move, and what a restart or a crash does to them.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use dunlin_lwm2m::link::ObjectLinks;
use dunlin_lwm2m::operation::{Binding, BootstrapRequest, Register, ResponseCode, Update};
use dunlin_lwm2m::{Deviations, EndpointName, LwM2mVersion, Registry};
use dunlin_server::change::Change;
use dunlin_server::command::RequestState;
use dunlin_server::config::{Admission, BootstrapConfig};
use dunlin_server::{
    Answer, Command, Event, EventKind, LiveEvent, Need, Output, Server, ServerConfig, Settings,
    Snapshot, Verdict, VirtualShard, VirtualShards,
};
use dunlin_transport::dtls::{ClientSettings, Question, Secret, ServerSettings, Settings as Dtls};
use dunlin_transport::{
    Address, Carriage, Config, Event as Heard, Identity, Now, Output as WireOutput, PeerId, Port,
    Route, SecurityAnswer, Side, Transport, WallTime, route,
};

const NAME: &str = "urn:dev:1";
const KEY: &[u8] = b"0123456789abcdef";

fn at(port: u16) -> Address {
    Address::Udp(([127, 0, 0, 1], port).into())
}

fn name() -> EndpointName {
    EndpointName::new(NAME).unwrap()
}

fn a_server(seed: u8) -> Server {
    let config = ServerConfig {
        admission: Admission::Ask,
        bootstrap: Some(BootstrapConfig::default()),
        dtls: Some(Dtls {
            server: Some(ServerSettings::default()),
            reserve_window: 16,
            ..Dtls::default()
        }),
        ..ServerConfig::default()
    };
    Server::new(config, Arc::new(Registry::bundled()), [seed; 32])
}

/// A Server with its store, and a Client with its session.
struct World {
    now: Now,
    server: Server,
    lives: u8,
    /// Commits that were made and not synced, and what is synced.
    unsynced: Vec<Vec<Change>>,
    durable: Snapshot,
    durable_commits: u64,
    commits: u64,
    syncs: bool,
    waiting: Vec<(u64, Vec<u8>)>,
    client: Transport,
    client_at: u16,
    to_client: VecDeque<Vec<u8>>,
    answered: Vec<ResponseCode>,
    asked: usize,
    key: Option<&'static [u8]>,
    verdict: Verdict,
    changes: Vec<Change>,
    events: Vec<Event>,
    refused: Vec<String>,
    /// Who asked for a bootstrap profile.
    bootstraps: Vec<Identity>,
    /// Numbers of the protected records that left the Server.
    numbers: Vec<u64>,
    /// The virtual shards that datagrams of the Client name.
    routed: Vec<u8>,
}

impl World {
    fn new() -> Self {
        let side = Side::Client {
            root: String::new(),
        };
        let coap = dunlin_transport::coap::Config::default();
        let dtls = Some(Dtls::default());
        Self {
            now: Now {
                instant: Duration::from_secs(10),
                wall: WallTime(1_700_000_000_000),
            },
            server: a_server(1),
            lives: 1,
            unsynced: Vec::new(),
            durable: Snapshot::default(),
            durable_commits: 0,
            commits: 0,
            syncs: true,
            waiting: Vec::new(),
            client: Transport::new(Config { side, coap, dtls }, [9; 32]),
            client_at: 4000,
            to_client: VecDeque::new(),
            answered: Vec::new(),
            asked: 0,
            key: Some(KEY),
            verdict: Verdict::Allowed,
            changes: Vec::new(),
            events: Vec::new(),
            refused: Vec::new(),
            bootstraps: Vec::new(),
            numbers: Vec::new(),
            routed: Vec::new(),
        }
    }

    fn connect(&mut self) -> PeerId {
        let settings = ClientSettings::psk(NAME.as_bytes(), KEY);
        let peer = self
            .client
            .connect(self.now, Port::Coaps, &at(5684), None, settings)
            .unwrap();
        self.client.hold(peer);
        peer
    }

    fn register(&mut self, peer: PeerId) {
        let register = Register {
            endpoint: name(),
            lifetime_s: 86_400,
            version: LwM2mVersion::V1_0,
            binding: Binding::U,
            sms_number: None,
            links: ObjectLinks::parse(b"</1/0>,</3/0>").unwrap().links,
            parameters: Vec::new(),
            deviations: Deviations::default(),
        };
        self.client
            .register(self.now, peer, &register, Carriage::default())
            .unwrap();
        self.settle();
    }

    fn update(&mut self, peer: PeerId) {
        let id = self.server.client(self.now, &name()).unwrap();
        let location = ["rd".to_owned(), id.registration.id.to_string()];
        let update = Update::default();
        let carriage = Carriage::default();
        self.client
            .update(self.now, peer, &location, &update, carriage)
            .unwrap();
        self.settle();
    }

    fn registered() -> (Self, PeerId) {
        let mut world = Self::new();
        let peer = world.connect();
        world.register(peer);
        assert_eq!(world.answered, [ResponseCode::Created]);
        world.answered.clear();
        (world, peer)
    }

    fn settle(&mut self) {
        loop {
            self.drain_server();
            self.sync();
            let mut quiet = true;
            while let Some(bytes) = self.to_client.pop_front() {
                quiet = false;
                self.client
                    .handle_receive(self.now, Port::Coaps, &at(5684), None, &bytes);
                self.drain_client();
            }
            quiet &= !self.drain_client();
            if quiet {
                return;
            }
        }
    }

    /// Whether it said anything.
    fn drain_client(&mut self) -> bool {
        let mut said = false;
        loop {
            match self.client.poll_output() {
                WireOutput::Transmit(transmit) => {
                    said = true;
                    let from = at(self.client_at);
                    let (now, bytes) = (self.now, transmit.bytes);
                    if let Route::VirtualShard(shard) = route(&bytes) {
                        self.routed.push(shard);
                    }
                    self.server
                        .handle_receive(now, Port::Coaps, &from, None, &bytes);
                    self.drain_server();
                }
                WireOutput::Event(Heard::Answered { answer, .. }) => {
                    self.answered.push(answer.code.unwrap());
                }
                WireOutput::Event(_) => {}
                WireOutput::Timeout(_) => return said,
                other => panic!("{other:?}"),
            }
        }
    }

    fn drain_server(&mut self) {
        loop {
            match self.server.poll_output() {
                Output::Commit(commit) => {
                    self.commits = commit.number;
                    self.changes.extend(commit.changes.iter().cloned());
                    self.events.extend(commit.events);
                    self.unsynced.push(commit.changes);
                }
                Output::Transmit(transmit) => {
                    self.waiting.push((transmit.barrier, transmit.bytes));
                }
                Output::Need { id, need } => {
                    let answer = match need {
                        Need::Security(need) => {
                            self.asked += 1;
                            let Question::PskFor { .. } = need.question else {
                                panic!("{need:?}")
                            };
                            Answer::Security(SecurityAnswer::Psk(self.key.map(Secret::from)))
                        }
                        Need::Admission { .. } => Answer::Admission(self.verdict.clone()),
                        Need::Profile { identity, .. } => {
                            self.bootstraps.push(identity);
                            Answer::Unavailable
                        }
                        _ => Answer::Unavailable,
                    };
                    self.server.handle_answer(self.now, id, answer);
                }
                Output::Event(LiveEvent::Refused { reason, .. }) => self.refused.push(reason),
                Output::Event(_) | Output::Completed { .. } => {}
                Output::Timeout(_) => return,
            }
        }
    }

    /// What is committed becomes durable, and what waited for it leaves.
    fn sync(&mut self) {
        if self.syncs {
            let changes = std::mem::take(&mut self.unsynced);
            changes
                .iter()
                .flatten()
                .for_each(|change| self.durable.apply(change));
            self.durable_commits = self.commits;
        }
        let durable = self.durable_commits;
        for (barrier, bytes) in std::mem::take(&mut self.waiting) {
            if barrier > durable {
                self.waiting.push((barrier, bytes));
                continue;
            }
            if bytes[4] == 1 {
                let mut number = [0; 8];
                number[2..].copy_from_slice(&bytes[5..11]);
                self.numbers.push(u64::from_be_bytes(number));
            }
            self.to_client.push_back(bytes);
        }
    }

    /// The Server's process ends at once, and another one begins with what was durable.
    fn crash(&mut self) {
        self.lives += 1;
        self.server = a_server(self.lives);
        self.unsynced.clear();
        self.waiting.clear();
        self.to_client.clear();
        (self.commits, self.durable_commits) = (0, 0);
        self.server.restore(self.now, self.durable.clone());
        self.settle();
    }

    fn passes(&mut self, time: Duration) {
        self.now = self.now.plus(time);
        self.client.handle_timeout(self.now);
        self.server.handle_timeout(self.now);
        self.settle();
    }

    fn session_changes(&self) -> Vec<&'static str> {
        self.changes
            .iter()
            .filter_map(|change| match change {
                Change::Session(_) => Some("put"),
                Change::EndSession { .. } => Some("end"),
                Change::Reserve { .. } => Some("reserve"),
                _ => None,
            })
            .collect()
    }
}

#[test]
fn ts_7_1_7_a_client_is_who_its_session_proves_it_to_be() {
    let (world, _) = World::registered();
    let view = world.server.client(world.now, &name()).unwrap();
    let identity = Identity::PreSharedKey(NAME.as_bytes().into());
    assert_eq!(view.registration.identity, identity);
    assert_eq!(world.asked, 1);
    assert_eq!(world.session_changes(), ["put"]);
    assert!(
        matches!(world.changes[..], [Change::Register(_), Change::Session(_)]),
        "both in one commit"
    );
    assert_eq!(world.commits, 1);
    let debug = format!("{:?}", world.changes);
    assert!(!debug.contains("0, 1, 2"), "keys are not printed: {debug}");
}

#[test]
fn ts_7_1_5_a_bootstrap_request_brings_what_its_session_proved() {
    let mut world = World::new();
    let peer = world.connect();
    let asking = BootstrapRequest {
        endpoint: name(),
        parameters: Vec::new(),
        deviations: Deviations::default(),
    };
    world
        .client
        .bootstrap_request(world.now, peer, &asking, Carriage::default())
        .unwrap();
    world.settle();
    let identity = Identity::PreSharedKey(NAME.as_bytes().into());
    assert_eq!(world.bootstraps, [identity]);
}

#[test]
fn a_name_that_is_not_the_identitys_is_refused_with_what_differed() {
    let mut world = World::new();
    world.verdict = Verdict::Differs("it opens for \"other\" alone".into());
    let peer = world.connect();
    world.register(peer);
    assert_eq!(world.answered, [ResponseCode::BadRequest]);
    assert_eq!(world.refused, ["it opens for \"other\" alone"]);
    assert_eq!(world.server.stats().registered, 0);
    assert!(world.changes.is_empty());
}

#[test]
fn an_unknown_identity_is_told_with_its_name() {
    let mut world = World::new();
    world.key = None;
    let peer = world.connect();
    world.register(peer);
    assert_eq!(
        world.refused,
        ["the DTLS handshake at coaps failed for PSK identity \"urn:dev:1\": unknown PSK identity"]
    );
    for _ in 0..100 {
        world.passes(Duration::from_secs(1));
    }
    assert_eq!(world.refused.len(), 1, "it is told once");
    assert_eq!(world.server.stats().handshakes_failed, 1);
}

#[test]
fn after_a_restart_a_client_is_reached_and_heard_without_a_handshake() {
    let (mut world, peer) = World::registered();
    world.crash();
    let ticket = world.server.request(
        world.now,
        &name(),
        Command::Read {
            path: "/3/0/1".parse().unwrap(),
        },
        Settings::default(),
    );
    world.drain_server();
    world.sync();
    assert!(ticket.is_ok());
    assert_eq!(world.to_client.len(), 1, "it is asked at once");
    world.to_client.clear();

    world.client_at = 5555;
    world.update(peer);
    world.passes(Duration::from_secs(4));
    assert_eq!(world.answered, [ResponseCode::Changed]);
    assert_eq!(world.asked, 1, "there was one handshake in all");
    let view = world.server.client(world.now, &name()).unwrap();
    assert_eq!(view.registration.address, at(5555));
    assert_eq!(world.durable.registrations[&name()].address, at(5555));
    assert_eq!(world.server.stats().moves, 1);
}

#[test]
fn rfc9146_6_a_client_that_moves_is_stored_where_it_is() {
    let (mut world, peer) = World::registered();
    world.client_at = 5555;
    world.update(peer);
    assert_eq!(world.answered, [ResponseCode::Changed]);
    assert_eq!(world.durable.registrations[&name()].address, at(5555));
    assert_eq!(world.session_changes(), ["put", "put"]);
    assert!(matches!(
        world.events.last().unwrap().kind,
        EventKind::Updated { changed, .. } if changed.address
    ));
    world.crash();
    world.update(peer);
    world.passes(Duration::from_secs(4));
    assert_eq!(world.server.stats().moves, 0, "it is where it was stored");
    assert_eq!(world.asked, 1);
}

#[test]
fn a_new_session_of_the_same_identity_takes_the_registration_over() {
    let (mut world, old) = World::registered();
    world.client_at = 5555;
    let new = world.connect();
    world.settle();
    world.update(new);
    assert_eq!(world.answered, [ResponseCode::Changed]);
    assert_eq!(world.session_changes(), ["put", "put"]);
    assert!(!world.client.is_connected(old), "the old one was closed");
    let (sessions, _) = world.server.transport().session_counts();
    assert_eq!(sessions, 1);
    world.crash();
    world.update(new);
    world.passes(Duration::from_secs(4));
    assert_eq!(world.asked, 2);
    assert_eq!(world.answered.last(), Some(&ResponseCode::Changed));
}

#[test]
fn a_revoked_session_is_over_and_stays_over() {
    let (mut world, peer) = World::registered();
    let now = world.now;
    assert_eq!(world.server.revoke(now, |_| false), 0);
    let ended = world.server.revoke(now, |identity| {
        *identity == Identity::PreSharedKey(NAME.as_bytes().into())
    });
    assert_eq!(ended, 1);
    world.settle();
    assert!(!world.client.is_connected(peer));
    assert!(world.durable.sessions.is_empty());
    let settings = Settings::default();
    let read = Command::Read {
        path: "/3/0/1".parse().unwrap(),
    };
    let refused = world.server.request(now, &name(), read, settings);
    let state = refused.unwrap().state;
    assert_eq!(state, RequestState::Queued, "nothing reaches it");
    world.crash();
    let (sessions, _) = world.server.transport().session_counts();
    assert_eq!(sessions, 0);
}

#[test]
fn a_client_that_goes_takes_its_session_out_of_the_store() {
    let (mut world, peer) = World::registered();
    let id = world
        .server
        .client(world.now, &name())
        .unwrap()
        .registration
        .id;
    let location = ["rd".to_owned(), id.to_string()];
    let carriage = Carriage::default();
    world
        .client
        .deregister(world.now, peer, &location, carriage)
        .unwrap();
    world.settle();
    assert_eq!(world.answered, [ResponseCode::Deleted]);
    assert!(world.durable.sessions.is_empty());
    // And it comes back on the session it has.
    world.register(peer);
    assert_eq!(world.asked, 1);
    assert_eq!(world.durable.sessions.len(), 1);
}

#[test]
fn no_number_is_used_twice_over_crashes_at_random_moments() {
    for seed in 0..24u64 {
        let (mut world, peer) = World::registered();
        let mut chance = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut draw = |below: u64| {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            chance % below
        };
        for _ in 0..6 {
            for _ in 0..draw(30) {
                // Sometimes the disk is behind, and what waits for it does not leave.
                world.syncs = draw(3) > 0;
                world.update(peer);
                world.passes(Duration::from_secs(draw(5)));
            }
            world.crash();
        }
        world.syncs = true;
        let count = world.numbers.len();
        let distinct: BTreeSet<u64> = world.numbers.iter().copied().collect();
        assert_eq!(
            distinct.len(),
            count,
            "seed {seed}: a number was used twice"
        );
        // What the Client asked before comes to an end first.
        for _ in 0..400 {
            world.passes(Duration::from_secs(1));
        }
        world.answered.clear();
        world.update(peer);
        world.passes(Duration::from_secs(4));
        assert_eq!(world.answered, [ResponseCode::Changed], "seed {seed}");
        assert_eq!(world.asked, 1, "seed {seed}: one handshake in all");
    }
}

#[test]
fn the_very_first_session_names_a_virtual_shard_of_its_server() {
    for seed in 1..6 {
        let mut world = World::new();
        let owned = VirtualShards::share(1, 2);
        let config = ServerConfig {
            owned,
            ..world.server.config().clone()
        };
        world.server = Server::new(config, Arc::new(Registry::bundled()), [seed; 32]);
        let peer = world.connect();
        world.register(peer);
        let view = world.server.client(world.now, &name()).unwrap();
        let Some(session) = world.durable.sessions.get(&name()) else {
            panic!("a session with a Connection ID is kept")
        };
        assert_eq!(session.endpoint, view.registration.endpoint);
        let routed = world.routed.last().copied();
        assert!(
            routed.is_some_and(|shard| owned.contains(VirtualShard(shard))),
            "{routed:?} of {owned:?}"
        );
    }
}
