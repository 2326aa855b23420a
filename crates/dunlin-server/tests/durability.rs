//! The heart of durability: whatever happens, the changes that were committed are enough to build
//! the same Server again.
//!
//! Random conversations - devices that register, move, answer, stay silent, notify; operators that
//! ask and cancel; time, failing stores, restarts - and after every step the committed changes are
//! restored into a second Server, whose views must be those of the first.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::{Device, Got, World, name, path, registry};
use dunlin_lwm2m::operation::{Arguments, WriteMode};
use dunlin_lwm2m::{ContentFormat, Node, Resource, Value};
use dunlin_server::change::Registration;
use dunlin_server::command::{CancelBy, Failed, Outcome, RequestState};
use dunlin_server::{ClientFilter, Command, ListedClient, RequestId, Server, Settings, Snapshot};
use dunlin_transport::coap::{Code, MessageType};
use proptest::prelude::*;

const DEVICES: usize = 3;
const PATHS: [&str; 3] = ["/3/0/9", "/3/0", "/3303"];

/// One step of a conversation.
#[derive(Clone, Debug)]
enum Step {
    Register {
        device: usize,
        lifetime_s: u32,
        queue: bool,
    },
    Refresh {
        device: usize,
    },
    ChangeLifetime {
        device: usize,
        lifetime_s: u32,
    },
    ChangeLinks {
        device: usize,
    },
    Move {
        device: usize,
    },
    Deregister {
        device: usize,
    },
    Notify {
        device: usize,
        sequence: u32,
        error: bool,
    },
    Answer {
        device: usize,
        how: u8,
    },
    Read {
        device: usize,
        path: usize,
    },
    Write {
        device: usize,
    },
    Execute {
        device: usize,
        queue: bool,
    },
    Observe {
        device: usize,
        path: usize,
        renew: bool,
    },
    CancelObservation {
        device: usize,
        path: usize,
        reset: bool,
    },
    CancelRequest {
        nth: usize,
    },
    Forget {
        device: usize,
    },
    Pass {
        seconds: u64,
    },
    Health {
        healthy: bool,
    },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let device = 0..DEVICES;
    let lifetimes = prop_oneof![Just(60u32), Just(600), Just(86_400)];
    prop_oneof![
        4 => (device.clone(), lifetimes.clone(), any::<bool>())
            .prop_map(|(device, lifetime_s, queue)| Step::Register { device, lifetime_s, queue }),
        4 => device.clone().prop_map(|device| Step::Refresh { device }),
        1 => (device.clone(), lifetimes)
            .prop_map(|(device, lifetime_s)| Step::ChangeLifetime { device, lifetime_s }),
        1 => device.clone().prop_map(|device| Step::ChangeLinks { device }),
        1 => device.clone().prop_map(|device| Step::Move { device }),
        1 => device.clone().prop_map(|device| Step::Deregister { device }),
        4 => (device.clone(), 0u32..20, proptest::bool::weighted(0.1))
            .prop_map(|(device, sequence, error)| Step::Notify { device, sequence, error }),
        6 => (device.clone(), 0u8..5).prop_map(|(device, how)| Step::Answer { device, how }),
        2 => (device.clone(), 0..PATHS.len())
            .prop_map(|(device, path)| Step::Read { device, path }),
        2 => device.clone().prop_map(|device| Step::Write { device }),
        2 => (device.clone(), any::<bool>())
            .prop_map(|(device, queue)| Step::Execute { device, queue }),
        3 => (device.clone(), 0..PATHS.len(), any::<bool>())
            .prop_map(|(device, path, renew)| Step::Observe { device, path, renew }),
        1 => (device.clone(), 0..PATHS.len(), any::<bool>())
            .prop_map(|(device, path, reset)| Step::CancelObservation { device, path, reset }),
        1 => (0usize..4).prop_map(|nth| Step::CancelRequest { nth }),
        1 => device.prop_map(|device| Step::Forget { device }),
        4 => prop_oneof![Just(1u64), Just(40), Just(100), Just(700), Just(100_000), Just(700_000)]
            .prop_map(|seconds| Step::Pass { seconds }),
        1 => proptest::bool::weighted(0.7).prop_map(|healthy| Step::Health { healthy }),
        1 => Just(Step::Restart),
    ]
}

/// A conversation under way.
struct Play {
    world: World,
    devices: Vec<Device>,
    /// Requests of the Server that a device has not answered.
    unanswered: Vec<Vec<Got>>,
    /// Commands that were taken and have no outcome yet.
    open: BTreeSet<RequestId>,
    /// Expiry that a Client may count on, by name.
    promised: BTreeMap<String, u64>,
    healthy: bool,
    ports: u16,
}

impl Play {
    fn new() -> Self {
        let device = |index: usize| {
            Device::new(&format!("device-{index}"), 4000 + index as u16)
                .counting_from(1000 * index as u16)
        };
        Self {
            world: World::new(),
            devices: (0..DEVICES).map(device).collect(),
            unanswered: vec![Vec::new(); DEVICES],
            open: BTreeSet::new(),
            promised: BTreeMap::new(),
            healthy: true,
            ports: 5000,
        }
    }

    fn play(&mut self, step: &Step) {
        match *step {
            Step::Register {
                device,
                lifetime_s,
                queue,
            } => {
                self.register(device, lifetime_s, queue);
            }
            Step::Refresh { device } => self.update(device, &[], ""),
            Step::ChangeLifetime { device, lifetime_s } => {
                self.update(device, &[&format!("lt={lifetime_s}")], "");
            }
            Step::ChangeLinks { device } => self.update(device, &[], "</1/0>,</3/0>,</6/0>"),
            Step::Move { device } => {
                self.ports += 1;
                self.take_inboxes();
                let address = std::net::SocketAddr::from(([127, 0, 0, 1], self.ports));
                self.devices[device].address = address.into();
                self.unanswered[device].clear();
                self.update(device, &[], "");
            }
            Step::Deregister { device } => self.deregister(device),
            Step::Notify {
                device,
                sequence,
                error,
            } => self.notify(device, sequence, error),
            Step::Answer { device, how } => self.answer(device, how),
            Step::Read { device, path: at } => {
                self.ask(
                    device,
                    Command::Read {
                        path: path(PATHS[at]),
                    },
                    true,
                );
            }
            Step::Write { device } => {
                let node = Node::Resource(Resource::single(15, Value::String("UTC".into())));
                let mode = WriteMode::Replace;
                self.ask(
                    device,
                    Command::Write {
                        path: path("/3/0/15"),
                        mode,
                        node,
                    },
                    true,
                );
            }
            Step::Execute { device, queue } => {
                let command = Command::Execute {
                    path: path("/3/0/4"),
                    arguments: Arguments::NONE,
                };
                self.ask(device, command, queue);
            }
            Step::Observe {
                device,
                path: at,
                renew,
            } => {
                self.ask(
                    device,
                    Command::Observe {
                        path: path(PATHS[at]),
                        renew,
                    },
                    true,
                );
            }
            Step::CancelObservation {
                device,
                path: at,
                reset,
            } => {
                let by = if reset {
                    CancelBy::Reset
                } else {
                    CancelBy::Observe
                };
                self.ask(
                    device,
                    Command::Cancel {
                        path: path(PATHS[at]),
                        by,
                    },
                    true,
                );
            }
            Step::CancelRequest { nth } => {
                if let Some(request) = self.open.iter().nth(nth).copied() {
                    let _ = self.world.server.cancel(self.world.now, request);
                    self.world.drain();
                }
            }
            Step::Forget { device } => {
                let endpoint = name(&self.devices[device].endpoint);
                if self.world.server.forget(self.world.now, &endpoint).is_ok() {
                    self.promised.remove(endpoint.as_str());
                }
                self.world.drain();
            }
            Step::Pass { seconds } => self.world.pass(Duration::from_secs(seconds)),
            Step::Health { healthy } => {
                self.healthy = healthy;
                self.world.server.set_store_health(self.world.now, healthy);
                self.world.drain();
            }
            Step::Restart => self.restart(),
        }
        self.take_inboxes();
        self.take_outcomes();
    }

    fn register(&mut self, device: usize, lifetime_s: u32, queue: bool) {
        let Self { world, devices, .. } = self;
        let device = &mut devices[device];
        let ep = format!("ep={}", device.endpoint);
        let lt = format!("lt={lifetime_s}");
        let binding = if queue { "b=UQ" } else { "b=U" };
        let queries = [ep.as_str(), &lt, "lwm2m=1.0", binding];
        device.inbox(world);
        device.request(
            world,
            Code::POST,
            &["rd"],
            &queries,
            "</1/0>,</3/0>,</3303/0>",
        );
        let answer = device.answer(world);
        if answer.code == Code::CREATED {
            device.location = answer.location();
            let until = world.now.wall.0 + u64::from(lifetime_s) * 1000;
            self.promised.insert(device.endpoint.clone(), until);
        } else {
            assert!(!self.healthy, "{answer:?}");
        }
    }

    fn update(&mut self, index: usize, queries: &[&str], links: &str) {
        self.take_inboxes();
        let Self { world, devices, .. } = self;
        let device = &mut devices[index];
        if device.location.is_empty() {
            return;
        }
        let endpoint = name(&device.endpoint);
        let lifetime_s = world
            .server
            .client(world.now, &endpoint)
            .map_or(0, |view| u64::from(view.registration.lifetime_s));
        let answer = device.update(world, queries, links);
        let promised = self.promised.get(&device.endpoint).copied().unwrap_or(0);
        match answer.code {
            Code::CHANGED => {
                let view = world.server.client(world.now, &endpoint).unwrap();
                let until = world.now.wall.0 + u64::from(view.registration.lifetime_s) * 1000;
                assert_eq!(view.registration.expires_at.0, until);
                // What was answered without the store while it failed is no promise.
                if self.healthy {
                    self.promised.insert(device.endpoint.clone(), until);
                } else {
                    let kept = promised.min(world.now.wall.0 + lifetime_s * 1000);
                    self.promised.insert(device.endpoint.clone(), kept);
                }
            }
            Code::NOT_FOUND => {
                assert!(
                    promised <= world.now.wall.0,
                    "{endpoint} meets 4.04, {} ms before its time",
                    promised.saturating_sub(world.now.wall.0)
                );
            }
            code => assert!(
                !self.healthy && code == Code::SERVICE_UNAVAILABLE,
                "{answer:?}"
            ),
        }
    }

    fn deregister(&mut self, index: usize) {
        self.take_inboxes();
        let Self { world, devices, .. } = self;
        let device = &mut devices[index];
        if !device.location.is_empty() && device.deregister(world).code == Code::DELETED {
            self.promised.remove(&device.endpoint);
        }
    }

    fn notify(&mut self, index: usize, sequence: u32, error: bool) {
        self.take_inboxes();
        let Self { world, devices, .. } = self;
        let device = &mut devices[index];
        let endpoint = name(&device.endpoint);
        let observations = world.server.observations(&endpoint);
        let Some(observed) = observations.first() else {
            return;
        };
        let (code, sequence) = if error {
            (Code::NOT_FOUND, None)
        } else {
            (Code::CONTENT, Some(sequence))
        };
        device.notify(world, observed.token, code, sequence, "42");
        let healthy = self.healthy;
        let inbox = device.inbox(world);
        let acknowledged = inbox
            .iter()
            .any(|got| got.message_type == MessageType::Acknowledgement);
        assert!(
            healthy || !acknowledged,
            "told a device what the store does not know"
        );
        self.unanswered[index].extend(inbox.into_iter().filter(|got| got.code.is_request()));
    }

    fn answer(&mut self, index: usize, how: u8) {
        self.take_inboxes();
        let Some(asked) = self.unanswered[index].pop() else {
            return;
        };
        let device = self.devices[index].clone();
        let world = &mut self.world;
        let text = Some(ContentFormat::TEXT);
        match (how, asked.code, asked.observe()) {
            (0, ..) => device.respond(world, &asked, Code::NOT_FOUND, None, b""),
            (1, ..) => device.respond(world, &asked, Code::NOT_ACCEPTABLE, None, b""),
            (_, Code::GET, Some(0)) => {
                device.respond_observed(world, &asked, Code::CONTENT, Some(1), text, b"5");
            }
            (_, Code::GET, _) => device.respond(world, &asked, Code::CONTENT, text, b"5"),
            _ => device.respond(world, &asked, Code::CHANGED, None, b""),
        }
    }

    fn ask(&mut self, index: usize, command: Command, queue: bool) {
        let endpoint = name(&self.devices[index].endpoint);
        let settings = Settings {
            queue,
            ..Settings::default()
        };
        let ticket = self
            .world
            .server
            .request(self.world.now, &endpoint, command, settings);
        if let Ok(ticket) = ticket {
            assert!(self.open.insert(ticket.id), "ids are unique");
        }
        self.world.drain();
    }

    fn restart(&mut self) {
        let lost: BTreeSet<_> = self
            .open
            .iter()
            .filter(|request| !self.world.durable.requests.contains_key(request))
            .copied()
            .collect();
        self.world.restart();
        self.healthy = true;
        self.unanswered.iter_mut().for_each(Vec::clear);
        self.open.retain(|request| !lost.contains(request));
    }

    fn take_inboxes(&mut self) {
        for (index, device) in self.devices.iter().enumerate() {
            let inbox = device.inbox(&mut self.world);
            self.unanswered[index].extend(inbox.into_iter().filter(|got| got.code.is_request()));
        }
        self.world.sent.clear();
    }

    fn take_outcomes(&mut self) {
        for (request, outcome) in std::mem::take(&mut self.world.completed) {
            assert!(
                self.open.remove(&request),
                "{request} ends twice: {outcome:?}"
            );
            assert!(
                !self.world.durable.requests.contains_key(&request),
                "{request} lives on"
            );
        }
    }

    /// The committed changes, restored, look like the Server that committed them.
    fn check(&mut self) {
        let world = &mut self.world;
        let mut restored = Server::new(world.config.clone(), registry(), [99; 32]);
        restored.restore(world.now, world.durable.clone());
        let mut after = world.durable.clone();
        let mut ended = BTreeMap::new();
        while let Some((request, outcome)) = next_outcome(&mut restored, &mut after) {
            ended.insert(request, outcome);
        }
        let (live, again) = (views(&world.server, world), views(&restored, world));
        assert_eq!(
            live.keys().collect::<Vec<_>>(),
            again.keys().collect::<Vec<_>>()
        );
        for (endpoint, live) in &live {
            check_registration(live, &again[endpoint]);
            let promised = self.promised.get(endpoint).copied().unwrap_or(0);
            let kept = again[endpoint].expires_at.0;
            assert!(
                kept >= promised,
                "{endpoint} would expire {} ms early",
                promised - kept
            );
            let endpoint = name(endpoint);
            assert_eq!(
                world.server.observations(&endpoint),
                restored.observations(&endpoint),
                "{endpoint}"
            );
            check_requests(world, &restored, &ended, &endpoint);
        }
        assert_eq!(world.server.stats().departed, restored.stats().departed);
        assert_eq!(
            world.server.stats().observations,
            restored.stats().observations
        );
        // Nothing is stored of which the Server knows nothing.
        assert_eq!(
            world.durable.observations.len(),
            world.server.stats().observations
        );
        for request in world.durable.requests.keys() {
            assert!(world.server.request_view(world.now, *request).is_some());
        }
    }
}

/// Drains a restored Server: what it ends by itself.
fn next_outcome(server: &mut Server, after: &mut Snapshot) -> Option<(RequestId, Outcome)> {
    loop {
        match server.poll_output() {
            dunlin_server::Output::Commit(commit) => {
                commit.changes.iter().for_each(|change| after.apply(change));
            }
            dunlin_server::Output::Completed {
                request, outcome, ..
            } => {
                return Some((request, outcome));
            }
            dunlin_server::Output::Timeout(_) => return None,
            other => panic!("a restart says nothing to anybody: {other:?}"),
        }
    }
}

fn views(server: &Server, world: &World) -> BTreeMap<String, Registration> {
    let page = server.clients(world.now, None, usize::MAX, &ClientFilter::default());
    page.clients
        .into_iter()
        .map(|client| match client {
            ListedClient::Registered(view) => {
                (view.registration.endpoint.to_string(), view.registration)
            }
            ListedClient::Departed(gone) => panic!("{gone:?} is not registered"),
        })
        .collect()
}

/// What is stored lazily may lag, and only in its own direction.
fn check_registration(live: &Registration, again: &Registration) {
    let tenth_ms = u64::from(live.lifetime_s) * 100;
    assert!(again.contact_at <= live.contact_at);
    assert!(
        again.expires_at.0 <= live.expires_at.0 + tenth_ms,
        "not for ever"
    );
    let same = Registration {
        expires_at: live.expires_at,
        contact_at: live.contact_at,
        interval_s: live.interval_s,
        deviations: live.deviations,
        formats: live.formats,
        ..again.clone()
    };
    assert_eq!(*live, same);
}

/// Requests that wait are the same in the same order; one that was sent and cannot be repeated
/// ends as unknown; what was not stored is gone.
fn check_requests(
    world: &World,
    restored: &Server,
    ended: &BTreeMap<RequestId, Outcome>,
    endpoint: &dunlin_lwm2m::EndpointName,
) {
    let stored = |request: &RequestId| world.durable.requests.get(request);
    let mut expected = Vec::new();
    for view in world.server.requests(world.now, endpoint) {
        match stored(&view.id).map(|request| request.state) {
            Some(RequestState::Sent) => {
                assert_eq!(ended.get(&view.id), Some(&Outcome::Failed(Failed::Unknown)));
            }
            Some(_) => expected.push((view.id, view.command, view.expires_at)),
            None => {}
        }
    }
    let again: Vec<_> = restored
        .requests(world.now, endpoint)
        .into_iter()
        .map(|view| (view.id, view.command, view.expires_at))
        .collect();
    assert_eq!(again, expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_is_committed_is_enough(steps in proptest::collection::vec(step(), 1..80)) {
        let mut play = Play::new();
        for step in &steps {
            play.play(step);
            play.check();
        }
        // In the end everything has an outcome.
        play.play(&Step::Health { healthy: true });
        play.play(&Step::Pass { seconds: 8 * 86_400 });
        play.check();
        prop_assert!(play.open.is_empty(), "{:?} never end", play.open);
        prop_assert_eq!(play.world.server.stats().requests, 0);
    }
}

/// Found by the seeded universe: a refresh that comes while the store fails is answered and cannot be
/// stored. When the store works again it is, or the next crash would forget the Client too early.
#[test]
fn what_was_refreshed_while_the_store_failed_is_stored_when_it_works_again() {
    let mut world = World::new();
    let mut device = Device::new("lamp", 4000);
    device.register(&mut world, &["lt=3600"]);
    world.pass_s(3_000);
    world.server.set_store_health(world.now, false);
    world.drain();
    assert_eq!(device.update(&mut world, &[], "").code, Code::CHANGED);
    world.server.set_store_health(world.now, true);
    world.drain();
    world.restart();
    // The lifetime that was registered has ended, the one that was refreshed has not.
    world.pass_s(1_000);
    assert_eq!(device.update(&mut world, &[], "").code, Code::CHANGED);
}

/// A full disk: the commit of one Register can never be made. What needs no disk goes on all the same,
/// for no answer, request or outcome of it waits for that commit.
#[test]
fn while_nothing_can_be_stored_refreshes_and_reads_wait_for_no_commit() {
    let mut world = World::new();
    let mut old = Device::new("old", 4000);
    old.register(&mut world, &[]);
    let durable = world.commits;
    Device::new("new", 4001).register(&mut world, &[]);
    let unstorable = world.commits;
    assert_eq!((world.barrier, unstorable), (durable + 1, durable + 1));
    world.server.set_store_health(world.now, false);
    world.drain();

    assert_eq!(old.update(&mut world, &[], "").code, Code::CHANGED);
    assert_eq!(world.barrier, 0, "a refresh is answered at once");
    let request = world.ask(
        "old",
        Command::Read {
            path: path("/3/0/9"),
        },
    );
    let asked = old.got(&mut world);
    assert!(world.barrier <= durable, "a Read is sent at once");
    old.respond(
        &mut world,
        &asked,
        Code::CONTENT,
        Some(ContentFormat::TEXT),
        b"60",
    );
    assert!(matches!(world.outcome(request), Some(Outcome::Answered(_))));
    assert!(world.told_barrier <= durable, "and its answer is told");
    assert_eq!(world.commits, unstorable, "nothing was to be stored");
}
