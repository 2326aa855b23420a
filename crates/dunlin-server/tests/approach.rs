//! The Bootstrap-Server opens the session (TS 1.0 §5.2.3.4, §7.1.2): what becomes of the run when
//! the Client takes it, does not, is not there, or begins by itself at the same moment.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use dunlin_lwm2m::operation::{BootstrapRequest, Operation, Response, ResponseCode};
use dunlin_lwm2m::{Deviations, EndpointName, Registry, ShortServerId};
use dunlin_server::bootstrap::{
    Approach, BootstrapRun, Initiator, KeyPair, KeySource, Keys, PairKind, Profile, ProfileName,
    Provision, RunFailure, RunState, Selector, ServerAccount,
};
use dunlin_server::{Answer, BootstrapConfig, EventKind, Need, Output, Server, ServerConfig};
use dunlin_transport::dtls::{ClientSettings, Question, ServerSettings, Settings as Dtls};
use dunlin_transport::{
    Address, Carriage, Config, Event as Heard, Identity, Interface, Now, Output as WireOutput,
    PeerId, Port, SecurityAnswer, Side, Transport, WallTime,
};

const NAME: &str = "lamp";
const KEY: &[u8] = b"0123456789abcdef";
const OLD: &[u8] = b"what it had once";

struct NoKeys;

impl KeySource for NoKeys {
    fn random(&mut self, bytes: &mut [u8]) {
        bytes.fill(7);
    }

    fn key_pair(&mut self, _: PairKind, _: &EndpointName) -> Option<KeyPair> {
        None
    }

    fn server_public(&self, _: PairKind) -> Option<Vec<u8>> {
        None
    }
}

fn name() -> EndpointName {
    EndpointName::new(NAME).unwrap()
}

fn client_at() -> Address {
    Address::Udp(([127, 0, 0, 1], 4000).into())
}

fn server_at() -> Address {
    Address::Udp(([127, 0, 0, 1], 5784).into())
}

fn provision() -> Provision {
    let mut profile = Profile::new(ProfileName::new("fleet").unwrap(), Selector::Default);
    let id = ShortServerId::new(101).unwrap();
    let account = ServerAccount::new(id, "coap://server.example", Keys::NoSec);
    profile.servers.push(account);
    let registry = Registry::bundled();
    profile.provision(&name(), &registry, &mut NoKeys).unwrap()
}

/// A Server, and a Client that listens as DTLS server and does whatever it is told.
struct World {
    now: Now,
    server: Server,
    server_wakes: Option<Duration>,
    client: Transport,
    client_wakes: Option<Duration>,
    /// There is a Client at the address.
    present: bool,
    /// The session that the Bootstrap-Server has opened.
    accepted: Option<PeerId>,
    asked: Vec<Operation>,
    /// It answers so many steps, and then ends the session.
    patience: usize,
    ended: Vec<BootstrapRun>,
    wire: VecDeque<(bool, Vec<u8>)>,
}

impl World {
    fn new() -> Self {
        let config = ServerConfig {
            bootstrap: Some(BootstrapConfig::default()),
            dtls: Some(Dtls {
                server: Some(ServerSettings::default()),
                ..Dtls::default()
            }),
            ..ServerConfig::default()
        };
        let listening = ServerSettings {
            gives_way: false,
            ..ServerSettings::default()
        };
        let device = Config {
            side: Side::Client {
                root: String::new(),
            },
            coap: dunlin_transport::coap::Config::default(),
            dtls: Some(Dtls {
                server: Some(listening),
                ..Dtls::default()
            }),
        };
        Self {
            now: Now {
                instant: Duration::from_secs(10),
                wall: WallTime(1_700_000_000_000),
            },
            server: Server::new(config, Arc::new(Registry::bundled()), [1; 32]),
            server_wakes: None,
            client: Transport::new(device, [2; 32]),
            client_wakes: None,
            present: true,
            accepted: None,
            asked: Vec::new(),
            patience: usize::MAX,
            ended: Vec::new(),
            wire: VecDeque::new(),
        }
    }

    fn begin(&mut self, keys: &[&[u8]]) {
        let sessions = keys.iter();
        let approach = Approach {
            address: client_at(),
            sessions: sessions
                .map(|key| ClientSettings::psk(NAME.as_bytes(), key))
                .collect(),
        };
        let begun = self
            .server
            .bootstrap_at(self.now, &name(), provision(), approach);
        begun.unwrap();
    }

    fn settle(&mut self) {
        loop {
            self.drain_server();
            self.drain_client();
            let Some((to_client, bytes)) = self.wire.pop_front() else {
                return;
            };
            if to_client && self.present {
                let from = server_at();
                self.client
                    .handle_receive(self.now, Port::Coaps, &from, None, &bytes);
            } else if !to_client {
                let port = Port::BootstrapCoaps;
                self.server
                    .handle_receive(self.now, port, &client_at(), None, &bytes);
            }
        }
    }

    fn pass_s(&mut self, seconds: u64) {
        let end = self.now.instant + Duration::from_secs(seconds);
        self.settle();
        while let Some(at) = [self.server_wakes, self.client_wakes]
            .into_iter()
            .flatten()
            .min()
            .filter(|at| *at <= end)
        {
            self.now = self.now.plus(at.saturating_sub(self.now.instant));
            self.server.handle_timeout(self.now);
            self.client.handle_timeout(self.now);
            self.settle();
        }
        self.now = self.now.plus(end.saturating_sub(self.now.instant));
    }

    fn drain_server(&mut self) {
        loop {
            match self.server.poll_output() {
                Output::Commit(commit) => {
                    for event in commit.events {
                        match event.kind {
                            EventKind::Bootstrapped { run }
                            | EventKind::BootstrapFailed { run } => {
                                self.ended.push(*run);
                            }
                            _ => {}
                        }
                    }
                }
                Output::Transmit(transmit) => {
                    assert_eq!(transmit.port, Port::BootstrapCoaps, "from its own door");
                    self.wire.push_back((true, transmit.bytes));
                }
                Output::Need { id, need } => {
                    let answer = match need {
                        Need::Profile { .. } => Answer::Profile(Ok(Box::new(provision()))),
                        Need::Security(need) => match need.question {
                            Question::PskFor { .. } => {
                                Answer::Security(SecurityAnswer::Psk(Some(KEY.into())))
                            }
                            other => panic!("{other:?}"),
                        },
                        other => panic!("{other:?}"),
                    };
                    self.server.handle_answer(self.now, id, answer);
                }
                Output::Completed { .. } | Output::Event(_) => {}
                Output::Timeout(at) => {
                    self.server_wakes = at;
                    return;
                }
            }
        }
    }

    fn drain_client(&mut self) {
        loop {
            match self.client.poll_output() {
                WireOutput::Transmit(transmit) => self.wire.push_back((false, transmit.bytes)),
                WireOutput::Need { id, need } => {
                    let answer = match need.question {
                        Question::PskFor { server_name, .. } => {
                            // TS 1.0 §7.1.2: the same name everywhere.
                            assert!(server_name.is_none_or(|name| name == NAME));
                            SecurityAnswer::Psk(Some(KEY.into()))
                        }
                        other => panic!("{other:?}"),
                    };
                    self.client.handle_answer(self.now, id, answer);
                }
                WireOutput::Event(Heard::Accepted { peer }) => {
                    self.client.hold(peer);
                    self.client.use_interface(peer, Interface::Bootstrap);
                    self.accepted = Some(peer);
                }
                WireOutput::Event(Heard::Downlink {
                    peer,
                    exchange,
                    operation,
                    ..
                }) => {
                    if self.asked.len() == self.patience {
                        self.client.disconnect(self.now, peer, 0).unwrap();
                        continue;
                    }
                    let code = match &*operation {
                        Operation::BootstrapDiscover { .. } => ResponseCode::NotFound,
                        Operation::BootstrapDelete { .. } => ResponseCode::Deleted,
                        _ => ResponseCode::Changed,
                    };
                    self.asked.push(*operation);
                    let answer = Response::new(code);
                    self.client
                        .answer_downlink(self.now, exchange, answer, 0)
                        .unwrap();
                }
                WireOutput::Event(_) | WireOutput::Reserve { .. } => {}
                WireOutput::Timeout(at) => {
                    self.client_wakes = at;
                    return;
                }
            }
        }
    }

    fn only_end(&self) -> &BootstrapRun {
        let [run] = &self.ended[..] else {
            panic!("{:?}", self.ended)
        };
        assert_eq!(run.initiator, Initiator::Server);
        run
    }

    fn reason(&self) -> &RunFailure {
        match &self.only_end().state {
            RunState::Failed(failure) => failure,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn ts_7_1_2_the_session_is_opened_used_and_ended_with_the_run() {
    let mut world = World::new();
    world.begin(&[KEY]);
    world.pass_s(1);
    let run = world.only_end();
    assert_eq!(run.state, RunState::Succeeded);
    assert_eq!(run.identity, Identity::PreSharedKey(NAME.as_bytes().into()));
    assert_eq!(world.asked.last(), Some(&Operation::BootstrapFinish));
    // TS 1.0 §5.2.8: the next bootstrap is to have a session of its own.
    assert!(!world.client.is_connected(world.accepted.unwrap()));
    assert!(world.server.approached(&client_at()).is_none());
}

#[test]
fn the_credentials_are_tried_one_after_the_other() {
    let mut world = World::new();
    world.begin(&[OLD, KEY]);
    assert_eq!(world.server.approached(&client_at()), Some(&name()));
    world.pass_s(300);
    assert_eq!(world.only_end().state, RunState::Succeeded);
}

#[test]
fn who_is_not_there_or_has_another_key_ends_the_run_with_what_to_look_at() {
    let mut world = World::new();
    world.present = false;
    world.begin(&[KEY]);
    world.pass_s(300);
    let reason = "the peer did not answer".into();
    assert_eq!(*world.reason(), RunFailure::NotOpened { reason });

    let mut world = World::new();
    world.begin(&[OLD]);
    world.pass_s(300);
    let reason = "the server does not confirm our key or identity".into();
    assert_eq!(*world.reason(), RunFailure::NotOpened { reason });
    assert_eq!(world.asked, []);
}

#[test]
fn a_client_that_ends_the_session_ends_the_run() {
    let mut world = World::new();
    world.patience = 1;
    world.begin(&[KEY]);
    world.pass_s(1);
    assert_eq!(*world.reason(), RunFailure::SessionEnded);
}

#[test]
fn a_run_that_begins_anew_takes_the_place_of_the_one_whose_session_is_not_there_yet() {
    let mut world = World::new();
    world.present = false;
    world.begin(&[KEY]);
    world.settle();
    world.present = true;
    world.begin(&[KEY]);
    world.pass_s(1);
    let states: Vec<_> = world.ended.iter().map(|run| run.state.clone()).collect();
    let superseded = RunState::Failed(RunFailure::Superseded);
    assert_eq!(states, [superseded, RunState::Succeeded]);
}

#[test]
fn a_client_that_asks_at_the_same_moment_is_bootstrapped_as_it_asked() {
    let mut world = World::new();
    world.begin(&[KEY]);
    let settings = ClientSettings::psk(NAME.as_bytes(), KEY);
    let peer = world
        .client
        .connect(world.now, Port::Coaps, &server_at(), None, settings)
        .unwrap();
    world.client.hold(peer);
    world.client.use_interface(peer, Interface::Bootstrap);
    let request = BootstrapRequest {
        endpoint: name(),
        parameters: Vec::new(),
        deviations: Deviations::default(),
    };
    let carriage = Carriage::default();
    world
        .client
        .bootstrap_request(world.now, peer, &request, carriage)
        .unwrap();
    world.pass_s(60);
    let ends: Vec<_> = world
        .ended
        .iter()
        .map(|run| (run.initiator, run.state.clone()))
        .collect();
    let superseded = RunState::Failed(RunFailure::Superseded);
    assert_eq!(
        ends,
        [
            (Initiator::Server, superseded),
            (Initiator::Client, RunState::Succeeded)
        ]
    );
}
