//! The Client's machine and the Server's, on one wire: what each believes of the other.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dunlin_client::{Client, Config, Event, Factory, Now, Output, WallTime};
use dunlin_lwm2m::operation::{Arguments, Binding, ResponseCode, WriteMode};
use dunlin_lwm2m::{
    EndpointName, Instance, Node, ObjectId, Path, Registry, Resource, ResourceValue, Value,
};
use dunlin_server::command::{CancelBy, Content, Outcome, RequestState};
use dunlin_server::{
    Command, EventKind, Presence, RequestId, Server, ServerConfig, Settings, Snapshot,
};
use dunlin_transport::{Address, Port};

const NAME: &str = "thermometer";
const TEMPERATURE: &str = "/3303/0/5700";

struct World {
    client: Client,
    server: Server,
    now: Now,
    client_wakes: Option<Duration>,
    server_wakes: Option<Duration>,
    wire: VecDeque<(bool, Vec<u8>)>,
    news: Vec<Event>,
    events: Vec<EventKind>,
    completed: Vec<(RequestId, Outcome)>,
    /// Every so many datagrams one is lost; 0 for never.
    loses_every: u32,
    carried: u32,
    lives: u8,
}

fn address(port: u16) -> Address {
    SocketAddr::from(([127, 0, 0, 1], port)).into()
}

fn name() -> EndpointName {
    EndpointName::new(NAME).unwrap()
}

fn path(text: &str) -> Path {
    text.parse().unwrap()
}

fn server(seed: u8) -> Server {
    let registry = Arc::new(Registry::bundled());
    Server::new(ServerConfig::default(), registry, [seed; 32])
}

impl World {
    fn new(binding: Binding) -> Self {
        let mut factory = Factory::new(Registry::bundled()).unwrap();
        factory
            .add_server("coap://127.0.0.1:5683", 300, binding)
            .unwrap();
        let sensor = Instance::new(0).with(Resource::single(5700, Value::Float(20.5)));
        factory.add_instance(ObjectId(3303), sensor).unwrap();
        let client = Client::new(Config::new(name()), factory.build(), [7; 32]);
        Self {
            client,
            server: server(1),
            now: Now {
                instant: Duration::from_secs(1_000),
                wall: WallTime(1_767_225_600_000),
            },
            client_wakes: None,
            server_wakes: None,
            wire: VecDeque::new(),
            news: Vec::new(),
            events: Vec::new(),
            completed: Vec::new(),
            loses_every: 0,
            carried: 0,
            lives: 1,
        }
    }

    fn registered(binding: Binding) -> Self {
        let mut world = Self::new(binding);
        world.client.start(world.now);
        world.settle();
        assert!(matches!(world.events[..], [EventKind::Registered { .. }]));
        world
    }

    fn settle(&mut self) {
        loop {
            self.drain();
            let Some((to_server, bytes)) = self.wire.pop_front() else {
                return;
            };
            self.carried += 1;
            if self.loses_every > 0 && self.carried.is_multiple_of(self.loses_every) {
                continue;
            }
            let (from, now) = (address(if to_server { 40_000 } else { 5683 }), self.now);
            if to_server {
                self.server
                    .handle_receive(now, Port::Coap, &from, None, &bytes);
            } else {
                self.client
                    .handle_receive(now, Port::Coap, &from, None, &bytes);
            }
        }
    }

    fn drain(&mut self) {
        self.client_wakes = loop {
            match self.client.poll_output() {
                Output::Transmit(transmit) => self.wire.push_back((true, transmit.bytes)),
                Output::Event(event) => self.news.push(event),
                Output::Timeout(timeout) => break timeout,
                Output::Commit(_) | Output::Need(..) => {}
            }
        };
        self.server_wakes = loop {
            match self.server.poll_output() {
                dunlin_server::Output::Transmit(transmit) => {
                    self.wire.push_back((false, transmit.bytes));
                }
                dunlin_server::Output::Commit(commit) => {
                    self.events
                        .extend(commit.events.into_iter().map(|event| event.kind));
                }
                dunlin_server::Output::Completed {
                    request, outcome, ..
                } => self.completed.push((request, outcome)),
                dunlin_server::Output::Timeout(timeout) => break timeout,
                _ => {}
            }
        };
    }

    fn pass_s(&mut self, seconds: u64) {
        let until = self.now.plus(Duration::from_secs(seconds));
        let mut wake_ups = 0;
        while let Some(next) = self
            .client_wakes
            .into_iter()
            .chain(self.server_wakes)
            .min()
            .filter(|next| *next <= until.instant)
        {
            let after = next.saturating_sub(self.now.instant);
            wake_ups = if after.is_zero() { wake_ups + 1 } else { 0 };
            assert!(wake_ups < 100, "somebody spins at {next:?}");
            self.now = self.now.plus(after);
            if self.client_wakes.is_some_and(|at| at <= self.now.instant) {
                self.client.handle_timeout(self.now);
            }
            if self.server_wakes.is_some_and(|at| at <= self.now.instant) {
                self.server.handle_timeout(self.now);
            }
            self.settle();
        }
        self.now = until;
    }

    fn order(&mut self, command: Command) -> (RequestId, RequestState) {
        let settings = Settings::default();
        let ticket = self.server.request(self.now, &name(), command, settings);
        let ticket = ticket.expect("the command is taken");
        self.settle();
        (ticket.id, ticket.state)
    }

    fn outcome(&self, request: RequestId) -> Option<&Outcome> {
        let mut all = self.completed.iter();
        all.find(|(id, _)| *id == request)
            .map(|(_, outcome)| outcome)
    }

    /// The answer, and what it holds.
    fn ask(&mut self, command: Command) -> (ResponseCode, Content) {
        let (request, _) = self.order(command);
        match self.outcome(request) {
            Some(Outcome::Answered(answered)) => (answered.code.unwrap(), answered.content.clone()),
            other => panic!("{other:?}"),
        }
    }

    fn read(&mut self, target: &str) -> Value {
        let path = path(target);
        match self.ask(Command::Read { path }) {
            (ResponseCode::Content, Content::Node(Node::Resource(resource))) => {
                resource.value().unwrap().clone()
            }
            other => panic!("{other:?}"),
        }
    }

    fn observe(&mut self, target: &str) {
        let path = path(target);
        let observed = self.ask(Command::Observe { path, renew: true });
        assert_eq!(observed.0, ResponseCode::Content);
    }

    fn warm(&mut self, value: f64) {
        let value = ResourceValue::Single(Value::Float(value));
        self.client.set(self.now, path(TEMPERATURE), value).unwrap();
        self.settle();
    }

    /// What the Server was told of the temperature.
    fn notified(&self) -> Vec<f64> {
        let told = self.events.iter().filter_map(|event| match event {
            EventKind::Notified { .. } => Some(format!("{event:?}")),
            _ => None,
        });
        told.map(|text| {
            let (_, rest) = text.split_once("Float(").expect("a float");
            rest.split_once(')').unwrap().0.parse().unwrap()
        })
        .collect()
    }

    fn presence(&self) -> Presence {
        self.server.client(self.now, &name()).unwrap().presence
    }
}

#[test]
fn every_operation_finds_its_way_and_back() {
    let mut world = World::registered(Binding::U);
    let view = world.server.client(world.now, &name()).unwrap();
    assert_eq!(view.registration.lifetime_s, 300);
    assert!(view.registration.deviations.is_empty(), "nothing odd");
    assert_eq!(world.read(TEMPERATURE), Value::Float(20.5));
    for target in ["/3", "/3/0", "/3303", "/1"] {
        let path = path(target);
        assert_eq!(world.ask(Command::Read { path }).0, ResponseCode::Content);
        let (code, links) = world.ask(Command::Discover { path });
        assert_eq!(code, ResponseCode::Content);
        assert!(matches!(links, Content::Links(_)), "{target} {links:?}");
    }
    let offset = Resource::single(14, Value::String("+09:00".into()));
    let written = world.ask(Command::Write {
        path: path("/3/0/14"),
        mode: WriteMode::Replace,
        node: Node::Resource(offset.clone()),
    });
    assert_eq!(written.0, ResponseCode::Changed);
    let partial = world.ask(Command::Write {
        path: path("/3/0"),
        mode: WriteMode::Partial,
        node: Node::Instance(Instance::new(0).with(offset)),
    });
    assert_eq!(partial.0, ResponseCode::Changed);
    let executed = world.ask(Command::Execute {
        path: path("/3/0/4"),
        arguments: Arguments::NONE,
    });
    assert_eq!(executed.0, ResponseCode::Changed);
    let missing = world.ask(Command::Read {
        path: path("/3/0/1"),
    });
    assert_eq!(
        missing,
        (
            ResponseCode::NotFound,
            Content::Diagnostic("no such Resource".into())
        )
    );
}

#[test]
fn what_is_created_and_deleted_is_seen_in_the_registration() {
    let mut world = World::registered(Binding::U);
    let (code, _) = world.ask(Command::Create {
        object: ObjectId(3303),
        instance: None,
        resources: Vec::new(),
    });
    assert_eq!(code, ResponseCode::Created);
    let links = |world: &World| {
        let view = world.server.client(world.now, &name()).unwrap();
        view.registration.links.to_string()
    };
    assert!(links(&world).contains("</3303/1>"), "{}", links(&world));
    let (code, _) = world.ask(Command::Delete {
        path: path("/3303/1"),
    });
    assert_eq!(code, ResponseCode::Deleted);
    assert!(!links(&world).contains("</3303/1>"));
}

#[test]
fn notifications_arrive_until_cancelled_in_either_way() {
    for by in [CancelBy::Observe, CancelBy::Reset] {
        let mut world = World::registered(Binding::U);
        world.observe(TEMPERATURE);
        world.warm(21.0);
        world.warm(22.0);
        assert_eq!(world.notified(), [21.0, 22.0]);
        world.order(Command::Cancel {
            path: path(TEMPERATURE),
            by,
        });
        world.warm(23.0);
        world.warm(24.0);
        assert_eq!(world.notified(), [21.0, 22.0], "{by:?}");
        let ended = |event: &&Event| matches!(event, Event::ObservationEnded { .. });
        assert_eq!(world.news.iter().filter(ended).count(), 1, "{by:?}");
    }
}

#[test]
fn ts_8_3_a_command_waits_for_a_sleeping_client_and_is_served_when_it_wakes() {
    let mut world = World::registered(Binding::UQ);
    world.pass_s(94);
    assert!(world.client.is_asleep());
    assert_eq!(world.presence(), Presence::Asleep);
    let (first, state) = world.order(Command::Read {
        path: path(TEMPERATURE),
    });
    assert_eq!(state, RequestState::Queued);
    let (second, _) = world.order(Command::Read { path: path("/3/0") });
    world.pass_s(60);
    assert!(world.completed.is_empty());
    world.pass_s(60);
    for request in [first, second] {
        assert!(matches!(world.outcome(request), Some(Outcome::Answered(_))));
    }
    assert_eq!(world.presence(), Presence::Awake);
    world.pass_s(94);
    assert!(world.client.is_asleep());
    assert_eq!(world.presence(), Presence::Asleep);
}

#[test]
fn ts_8_3_a_sleeping_client_wakes_to_tell_and_serves_what_waited() {
    let mut world = World::registered(Binding::UQ);
    world.observe(TEMPERATURE);
    world.pass_s(94);
    let (request, state) = world.order(Command::Read { path: path("/3/0") });
    assert_eq!(state, RequestState::Queued);
    world.warm(30.0);
    assert_eq!(world.notified(), [30.0]);
    assert!(matches!(world.outcome(request), Some(Outcome::Answered(_))));
}

#[test]
fn a_server_that_forgot_rejects_notifications_and_is_registered_with_anew() {
    let mut world = World::registered(Binding::U);
    world.observe(TEMPERATURE);
    world.server.forget(world.now, &name()).unwrap();
    world.settle();
    world.warm(21.0);
    assert!(matches!(
        world.news.last(),
        Some(Event::ObservationEnded { .. })
    ));
    world.pass_s(207);
    let registered = |event: &&EventKind| matches!(event, EventKind::Registered { .. });
    assert_eq!(world.events.iter().filter(registered).count(), 2);
    world.observe(TEMPERATURE);
    world.warm(25.0);
    assert_eq!(world.notified(), [25.0]);
}

#[test]
fn a_server_that_lost_everything_is_found_again() {
    let mut world = World::registered(Binding::U);
    world.lives += 1;
    world.server = server(world.lives);
    world.server.restore(world.now, Snapshot::default());
    world.settle();
    world.pass_s(207);
    assert_eq!(world.read(TEMPERATURE), Value::Float(20.5));
}

#[test]
fn the_client_reboots_and_the_server_observes_again() {
    let mut world = World::registered(Binding::U);
    world.observe(TEMPERATURE);
    let mut factory = Factory::new(Registry::bundled()).unwrap();
    factory
        .add_server("coap://127.0.0.1:5683", 300, Binding::U)
        .unwrap();
    let sensor = Instance::new(0).with(Resource::single(5700, Value::Float(1.0)));
    factory.add_instance(ObjectId(3303), sensor).unwrap();
    world.client = Client::new(Config::new(name()), factory.build(), [9; 32]);
    world.client.start(world.now);
    world.settle();
    world.pass_s(5);
    world.warm(2.0);
    assert_eq!(
        world.notified().last(),
        Some(&2.0),
        "{:?}",
        world.notified()
    );
}

#[test]
fn through_a_lossy_network_everything_is_told_in_order_and_nothing_ends() {
    let mut world = World::new(Binding::U);
    world.loses_every = 4;
    world.client.start(world.now);
    world.settle();
    world.pass_s(100);
    let (request, _) = world.order(Command::Observe {
        path: path(TEMPERATURE),
        renew: true,
    });
    world.pass_s(50);
    assert!(matches!(world.outcome(request), Some(Outcome::Answered(_))));
    for value in 0..60 {
        world.warm(f64::from(value));
        world.pass_s(20);
    }
    world.pass_s(100);
    let told = world.notified();
    assert!(told.is_sorted(), "{told:?}");
    assert_eq!(told.last(), Some(&59.0));
    let ended = |event: &Event| {
        matches!(
            event,
            Event::ObservationEnded { .. } | Event::RegistrationFailed { .. }
        )
    };
    assert!(!world.news.iter().any(ended), "{:?}", world.news);
    let registered = |event: &&EventKind| matches!(event, EventKind::Registered { .. });
    assert_eq!(world.events.iter().filter(registered).count(), 1);
}

#[test]
fn it_leaves_when_it_stops() {
    let mut world = World::registered(Binding::U);
    world.client.stop(world.now);
    world.settle();
    assert!(world.client.is_idle());
    assert!(matches!(
        world.events.last(),
        Some(EventKind::Departed { .. })
    ));
}
