//! The demo's Clients against the Server's machine behind a socket.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dunlin_client::{Address, Now, Port};
use dunlin_lwm2m::definition::parse_ddf;
use dunlin_lwm2m::operation::{Arguments, ResponseCode};
use dunlin_lwm2m::{EndpointName, Node, Path, Registry, Resource, ResourceValue, Value};
use dunlin_net::client::now;
use dunlin_net::clock;
use dunlin_server::command::{Content, Outcome};
use dunlin_server::{Command, EventKind, Output, Server, ServerConfig, Settings};
use dunlin_sim::demo::{DEFINITIONS, Provisioned, demo_clients, run_demo_clients};
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Nothing here takes longer, unless it is broken.
const DEADLINE: Duration = Duration::from_secs(15);

/// A Server that keeps nothing, driven by the test.
struct Desk {
    server: Server,
    socket: UdpSocket,
    wake_up: Option<Duration>,
    events: Vec<(EndpointName, EventKind)>,
    completed: Vec<Outcome>,
}

impl Desk {
    async fn open() -> (Self, SocketAddr) {
        let mut registry = Registry::bundled();
        for definition in DEFINITIONS
            .iter()
            .flat_map(|xml| parse_ddf(xml.as_bytes()).unwrap())
        {
            registry.insert(definition);
        }
        let server = Server::new(ServerConfig::default(), Arc::new(registry), [3; 32]);
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let desk = Self {
            server,
            socket,
            wake_up: None,
            events: Vec::new(),
            completed: Vec::new(),
        };
        (desk, address)
    }

    /// One datagram, or the passing of a moment.
    async fn turn(&mut self) {
        let mut buffer = [0; 2_048];
        let wait = self.wake_up.map_or(Duration::from_millis(50), |wake_up| {
            wake_up.saturating_sub(clock::instant())
        });
        let wait = wait.clamp(Duration::from_millis(1), Duration::from_millis(50));
        match tokio::time::timeout(wait, self.socket.recv_from(&mut buffer)).await {
            Ok(Ok((length, from))) => {
                let from: Address = from.into();
                self.server
                    .handle_receive(now(), Port::Coap, &from, None, &buffer[..length]);
            }
            Ok(Err(_)) => {}
            Err(_) => self.server.handle_timeout(now()),
        }
        self.drain().await;
    }

    async fn drain(&mut self) {
        loop {
            match self.server.poll_output() {
                Output::Commit(commit) => {
                    let events = commit.events.into_iter();
                    self.events
                        .extend(events.map(|event| (event.endpoint, event.kind)));
                }
                Output::Transmit(transmit) => {
                    if let Address::Udp(to) = transmit.to {
                        let _ = self.socket.send_to(&transmit.bytes, to).await;
                    }
                }
                Output::Completed { outcome, .. } => self.completed.push(outcome),
                Output::Timeout(timeout) => {
                    self.wake_up = timeout;
                    return;
                }
                _ => {}
            }
        }
    }

    async fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let end = clock::instant() + DEADLINE;
        while !done(self) {
            assert!(clock::instant() < end, "{what}: {:?}", self.events);
            self.turn().await;
        }
    }

    fn names(&self, wanted: &str) -> BTreeSet<String> {
        let events = self.events.iter();
        events
            .filter(|(_, kind)| kind.name() == wanted)
            .map(|(endpoint, _)| endpoint.as_str().to_owned())
            .collect()
    }

    async fn ask(&mut self, endpoint: &str, command: Command) -> (ResponseCode, Content) {
        let name = EndpointName::new(endpoint).unwrap();
        let now: Now = now();
        self.server
            .request(now, &name, command, Settings::default())
            .unwrap();
        self.drain().await;
        self.until("an answer", |desk| !desk.completed.is_empty())
            .await;
        match self.completed.remove(0) {
            Outcome::Answered(answered) => (answered.code.unwrap(), answered.content),
            other => panic!("{other:?}"),
        }
    }
}

fn path(text: &str) -> Path {
    text.parse().unwrap()
}

fn run(address: SocketAddr, count: usize) -> (oneshot::Sender<()>, JoinHandle<()>) {
    let (stop, stopped) = oneshot::channel::<()>();
    let server = Provisioned::Server(format!("coap://{address}"));
    let clients = demo_clients(count).into_iter();
    let clients = clients.map(|client| (client, server.clone())).collect();
    let clients = tokio::spawn(run_demo_clients(clients, async {
        let _ = stopped.await;
    }));
    (stop, clients)
}

#[tokio::test]
async fn all_kinds_register_under_names_of_their_own_and_leave_at_the_end() {
    let (mut desk, address) = Desk::open().await;
    let (stop, clients) = run(address, 7);
    desk.until("seven registrations", |desk| {
        desk.names("registered").len() == 7
    })
    .await;
    let names = desk.names("registered");
    assert!(names.contains("weather-station") && names.contains("water-meter-2"));
    stop.send(()).unwrap();
    // One of them loses datagrams, and may not be heard in time.
    desk.until("they leave", |desk| desk.names("deregistered").len() >= 6)
        .await;
    clients.await.unwrap();
}

#[tokio::test]
async fn the_coffee_machine_makes_a_cup_and_tells_of_it() {
    let (mut desk, address) = Desk::open().await;
    let (stop, clients) = run(address, 5);
    let machine = "coffee-machine";
    desk.until("it registers", |desk| {
        desk.names("registered").contains(machine)
    })
    .await;
    let observe = Command::Observe {
        path: path("/31001/0/6"),
        renew: true,
    };
    assert_eq!(desk.ask(machine, observe).await.0, ResponseCode::Content);
    let start = || Command::Execute {
        path: path("/31001/0/5"),
        arguments: Arguments::NONE,
    };
    assert_eq!(desk.ask(machine, start()).await.0, ResponseCode::Changed);
    let (code, words) = desk.ask(machine, start()).await;
    assert_eq!(code, ResponseCode::InternalServerError);
    let busy = "a cup is in the making already".to_owned();
    assert_eq!(words, Content::Diagnostic(busy));
    let state = |kind: &EventKind, wanted| match kind {
        EventKind::Notified { .. } => format!("{kind:?}").contains(wanted),
        _ => false,
    };
    for wanted in ["Integer(10)", "Integer(0)"] {
        desk.until(wanted, |desk| {
            let mut events = desk.events.iter();
            events.any(|(_, kind)| state(kind, wanted))
        })
        .await;
    }
    let cups = Command::Read {
        path: path("/31001/0/1"),
    };
    let (_, content) = desk.ask(machine, cups).await;
    let one = ResourceValue::Single(Value::Integer(1));
    let one = Node::Resource(Resource {
        id: 1.into(),
        value: one,
    });
    assert_eq!(content, Content::Node(one));
    drop(stop);
    desk.until("it leaves", |desk| {
        desk.names("deregistered").contains(machine)
    })
    .await;
    clients.await.unwrap();
}

#[tokio::test]
async fn a_reboot_on_command_registers_again_from_another_port() {
    let (mut desk, address) = Desk::open().await;
    let (stop, clients) = run(address, 1);
    let station = "weather-station";
    desk.until("it registers", |desk| {
        desk.names("registered").contains(station)
    })
    .await;
    let reboot = Command::Execute {
        path: path("/3/0/4"),
        arguments: Arguments::NONE,
    };
    assert_eq!(desk.ask(station, reboot).await.0, ResponseCode::Changed);
    desk.until("it registers again", |desk| {
        let registered = desk.events.iter();
        registered
            .filter(|(_, kind)| matches!(kind, EventKind::Registered { .. }))
            .count()
            == 2
    })
    .await;
    drop(stop);
    desk.until("it leaves", |desk| {
        desk.names("deregistered").contains(station)
    })
    .await;
    clients.await.unwrap();
}
