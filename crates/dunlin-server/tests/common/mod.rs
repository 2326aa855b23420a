//! A Server with a store that never fails, a clock that is turned by hand, and devices that speak
//! raw CoAP: what a conversation needs.
#![allow(dead_code)] // Every conversation uses its own part of this.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dunlin_lwm2m::{ContentFormat, EndpointName, Path, Registry};
use dunlin_server::command::Outcome;
use dunlin_server::{
    Command, Event, EventKind, LiveEvent, Need, NeedId, Output, RequestId, Server, ServerConfig,
    Settings, Snapshot,
};
use dunlin_transport::coap::wire::datagram;
use dunlin_transport::coap::{
    Code, Message, MessageId, MessageType, OptionList, OptionNumber, Token,
};
use dunlin_transport::{Address, Now, Port, WallTime};

/// 2026-01-01: a date that is recognised in a failure.
const BEGIN: WallTime = WallTime(1_767_225_600_000);

pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) config: ServerConfig,
    pub(crate) now: Now,
    /// The door at which datagrams come in.
    pub(crate) port: Port,
    /// What the store has.
    pub(crate) durable: Snapshot,
    pub(crate) log: Vec<Event>,
    pub(crate) live: Vec<LiveEvent>,
    pub(crate) completed: Vec<(RequestId, Outcome)>,
    pub(crate) needs: Vec<(NeedId, Need)>,
    /// Datagrams that have left.
    pub(crate) sent: VecDeque<(Address, Vec<u8>)>,
    pub(crate) commits: u64,
    /// The barrier of the last datagram that left, and of the last outcome.
    pub(crate) barrier: u64,
    pub(crate) told_barrier: u64,
    wake_up: Option<Duration>,
    lives: u8,
}

pub(crate) fn registry() -> Arc<Registry> {
    Arc::new(Registry::bundled())
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(ServerConfig::default())
    }

    pub(crate) fn with(config: ServerConfig) -> Self {
        let now = Now {
            instant: Duration::from_secs(1000),
            wall: BEGIN,
        };
        Self {
            server: Server::new(config.clone(), registry(), [1; 32]),
            config,
            now,
            port: Port::Coap,
            durable: Snapshot::default(),
            log: Vec::new(),
            live: Vec::new(),
            completed: Vec::new(),
            needs: Vec::new(),
            sent: VecDeque::new(),
            commits: 0,
            barrier: 0,
            told_barrier: 0,
            wake_up: None,
            lives: 1,
        }
    }

    /// Takes all outputs, and holds them against the rule of order.
    pub(crate) fn drain(&mut self) {
        loop {
            match self.server.poll_output() {
                Output::Commit(commit) => {
                    assert_eq!(commit.number, self.commits + 1, "commits have no gaps");
                    self.commits = commit.number;
                    commit
                        .changes
                        .iter()
                        .for_each(|change| self.durable.apply(change));
                    self.log.extend(commit.events);
                }
                Output::Transmit(transmit) => {
                    assert!(transmit.barrier <= self.commits, "sent before its commit");
                    self.barrier = transmit.barrier;
                    self.sent.push_back((transmit.to, transmit.bytes));
                }
                Output::Need { id, need } => self.needs.push((id, need)),
                Output::Event(event) => self.live.push(event),
                Output::Completed {
                    request,
                    outcome,
                    barrier,
                } => {
                    assert!(barrier <= self.commits, "told before its commit");
                    self.told_barrier = barrier;
                    self.completed.push((request, outcome));
                }
                Output::Timeout(timeout) => {
                    self.wake_up = timeout;
                    return;
                }
            }
        }
    }

    /// Lets time pass, waking the Server whenever it wants.
    pub(crate) fn pass(&mut self, span: Duration) {
        let until = self.now.plus(span);
        while let Some(wake_up) = self.wake_up.filter(|wake_up| *wake_up <= until.instant) {
            let after = wake_up.saturating_sub(self.now.instant);
            self.now = self.now.plus(
                after
                    .max(Duration::from_millis(1))
                    .min(until.instant - self.now.instant),
            );
            self.server.handle_timeout(self.now);
            self.drain();
            if self.now == until {
                break;
            }
        }
        self.now = until;
    }

    pub(crate) fn pass_s(&mut self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    /// The process dies and comes back with what the store has; the clock of the driver starts
    /// anew.
    pub(crate) fn restart(&mut self) {
        self.lives += 1;
        self.server = Server::new(self.config.clone(), registry(), [self.lives; 32]);
        self.now.instant = Duration::from_secs(5);
        self.commits = 0;
        self.sent.clear();
        self.completed.clear();
        self.needs.clear();
        self.live.clear();
        self.server.restore(self.now, self.durable.clone());
        self.drain();
    }

    pub(crate) fn receive(&mut self, from: &Address, bytes: &[u8]) {
        self.server
            .handle_receive(self.now, self.port, from, None, bytes);
        self.drain();
    }

    pub(crate) fn ask(&mut self, endpoint: &str, command: Command) -> RequestId {
        self.ask_with(endpoint, command, Settings::default())
    }

    pub(crate) fn ask_with(
        &mut self,
        endpoint: &str,
        command: Command,
        settings: Settings,
    ) -> RequestId {
        let name = name(endpoint);
        let ticket = self.server.request(self.now, &name, command, settings);
        self.drain();
        ticket.expect("the command is taken").id
    }

    pub(crate) fn outcome(&self, request: RequestId) -> Option<&Outcome> {
        self.completed
            .iter()
            .find(|(id, _)| *id == request)
            .map(|(_, outcome)| outcome)
    }

    /// The names of the events logged since the last call.
    pub(crate) fn told(&mut self) -> Vec<&'static str> {
        self.log.drain(..).map(|event| event.kind.name()).collect()
    }

    pub(crate) fn last_event(&self) -> &EventKind {
        &self.log.last().expect("something was told").kind
    }
}

pub(crate) fn name(endpoint: &str) -> EndpointName {
    EndpointName::new(endpoint).expect("a name")
}

pub(crate) fn path(text: &str) -> Path {
    text.parse().expect("a path")
}

/// A message that a device got.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) message_type: MessageType,
    pub(crate) code: Code,
    pub(crate) message_id: MessageId,
    pub(crate) token: Token,
    pub(crate) options: OptionList,
    pub(crate) payload: Vec<u8>,
}

impl Got {
    fn read(bytes: &[u8]) -> Self {
        let message = datagram::decode(bytes).expect("the Server sends CoAP");
        Self {
            message_type: message.message_type,
            code: message.code,
            message_id: message.message_id,
            token: message.token,
            options: OptionList::from_options(message.options),
            payload: message.payload.to_vec(),
        }
    }

    pub(crate) fn path(&self) -> String {
        let mut path = String::new();
        for segment in self.options.view().all(OptionNumber::URI_PATH) {
            path.push('/');
            path.push_str(std::str::from_utf8(segment).unwrap());
        }
        path
    }

    pub(crate) fn accept(&self) -> Option<u16> {
        self.options.view().accept()
    }

    pub(crate) fn content_format(&self) -> Option<u16> {
        self.options.view().content_format()
    }

    pub(crate) fn observe(&self) -> Option<u32> {
        self.options.view().observe()
    }

    pub(crate) fn location(&self) -> Vec<String> {
        self.options
            .view()
            .all(OptionNumber::LOCATION_PATH)
            .map(|segment| String::from_utf8(segment.to_vec()).unwrap())
            .collect()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).unwrap()
    }
}

/// A device at an address, with nothing but a counter of messages.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) endpoint: String,
    pub(crate) address: Address,
    pub(crate) location: Vec<String>,
    next_message_id: u16,
}

impl Device {
    pub(crate) fn new(endpoint: &str, port: u16) -> Self {
        Self {
            endpoint: endpoint.into(),
            address: SocketAddr::from(([127, 0, 0, 1], port)).into(),
            location: Vec::new(),
            next_message_id: 100,
        }
    }

    /// Messages are numbered from here on: two devices behind one address must not number theirs
    /// alike, or CoAP takes one for the duplicate of the other.
    pub(crate) fn counting_from(self, next_message_id: u16) -> Self {
        Self {
            next_message_id,
            ..self
        }
    }

    /// What was sent to this device, oldest first.
    pub(crate) fn inbox(&self, world: &mut World) -> Vec<Got> {
        let (mine, others): (Vec<_>, Vec<_>) = world
            .sent
            .drain(..)
            .partition(|(to, _)| *to == self.address);
        world.sent = others.into();
        mine.iter().map(|(_, bytes)| Got::read(bytes)).collect()
    }

    /// The one message that was sent to this device.
    pub(crate) fn got(&self, world: &mut World) -> Got {
        let mut inbox = self.inbox(world);
        assert_eq!(inbox.len(), 1, "{inbox:?}");
        inbox.remove(0)
    }

    fn send(&self, world: &mut World, message: &Message<'_>) {
        let mut bytes = Vec::new();
        datagram::encode(message, &mut bytes);
        world.receive(&self.address, &bytes);
    }

    /// Sends a Confirmable request; what comes back is in the inbox.
    pub(crate) fn request(
        &mut self,
        world: &mut World,
        code: Code,
        segments: &[&str],
        queries: &[&str],
        links: &str,
    ) {
        let mut options = OptionList::new();
        for segment in segments {
            options.push(OptionNumber::URI_PATH, segment.as_bytes());
        }
        if !links.is_empty() {
            options.push_uint(OptionNumber::CONTENT_FORMAT, 40);
        }
        for query in queries {
            options.push(OptionNumber::URI_QUERY, query.as_bytes());
        }
        let message_id = self.message_id();
        let message = Message {
            message_type: MessageType::Confirmable,
            code,
            message_id,
            token: Token::new(&message_id.0.to_be_bytes()).unwrap(),
            options: options.view(),
            payload: links.as_bytes(),
        };
        self.send(world, &message);
    }

    /// A Confirmable request as bytes.
    pub(crate) fn encode(&self, code: Code, segments: &[&str]) -> Vec<u8> {
        let mut options = OptionList::new();
        for segment in segments {
            options.push(OptionNumber::URI_PATH, segment.as_bytes());
        }
        let message = Message {
            message_type: MessageType::Confirmable,
            code,
            message_id: MessageId(1),
            token: Token::EMPTY,
            options: options.view(),
            payload: b"",
        };
        let mut bytes = Vec::new();
        datagram::encode(&message, &mut bytes);
        bytes
    }

    fn message_id(&mut self) -> MessageId {
        self.next_message_id = self.next_message_id.wrapping_add(1);
        MessageId(self.next_message_id)
    }

    /// Registers with these further parameters, and takes the location. What the Server sends
    /// after its answer stays in the inbox.
    pub(crate) fn register(&mut self, world: &mut World, parameters: &[&str]) {
        let ep = format!("ep={}", self.endpoint);
        let mut queries = vec![ep.as_str(), "lwm2m=1.0"];
        queries.extend(parameters);
        if !parameters
            .iter()
            .any(|parameter| parameter.starts_with("lt="))
        {
            queries.push("lt=3600");
        }
        self.request(
            world,
            Code::POST,
            &["rd"],
            &queries,
            "</1/0>,</3/0>,</3303/0>",
        );
        let answer = self.answer(world);
        assert_eq!(answer.code, Code::CREATED, "{}", answer.text());
        self.location = answer.location();
    }

    /// The answer to what was asked last; later messages stay.
    pub(crate) fn answer(&self, world: &mut World) -> Got {
        let mut inbox = self.inbox(world);
        assert!(!inbox.is_empty(), "no answer");
        let first = inbox.remove(0);
        for got in inbox {
            let mut bytes = Vec::new();
            let message = Message {
                message_type: got.message_type,
                code: got.code,
                message_id: got.message_id,
                token: got.token,
                options: got.options.view(),
                payload: &got.payload,
            };
            datagram::encode(&message, &mut bytes);
            world.sent.push_back((self.address.clone(), bytes));
        }
        first
    }

    pub(crate) fn update(&mut self, world: &mut World, queries: &[&str], links: &str) -> Got {
        let location = self.location.clone();
        let segments: Vec<&str> = location.iter().map(String::as_str).collect();
        self.request(world, Code::POST, &segments, queries, links);
        self.answer(world)
    }

    pub(crate) fn deregister(&mut self, world: &mut World) -> Got {
        let location = self.location.clone();
        let segments: Vec<&str> = location.iter().map(String::as_str).collect();
        self.request(world, Code::DELETE, &segments, &[], "");
        self.answer(world)
    }

    /// Answers a request of the Server on its acknowledgement.
    pub(crate) fn respond(
        &self,
        world: &mut World,
        to: &Got,
        code: Code,
        format: Option<ContentFormat>,
        payload: &[u8],
    ) {
        self.respond_observed(world, to, code, None, format, payload);
    }

    pub(crate) fn respond_observed(
        &self,
        world: &mut World,
        to: &Got,
        code: Code,
        observe: Option<u32>,
        format: Option<ContentFormat>,
        payload: &[u8],
    ) {
        let options = Self::options(observe, format);
        let message = Message {
            message_type: MessageType::Acknowledgement,
            code,
            message_id: to.message_id,
            token: to.token,
            options: options.view(),
            payload,
        };
        self.send(world, &message);
    }

    fn options(observe: Option<u32>, format: Option<ContentFormat>) -> OptionList {
        let mut options = OptionList::new();
        if let Some(sequence) = observe {
            options.push_uint(OptionNumber::OBSERVE, sequence);
        }
        if let Some(format) = format {
            options.push_uint(OptionNumber::CONTENT_FORMAT, u32::from(format.0));
        }
        options
    }

    /// Notifies; the Server's acknowledgement or reset is in the inbox.
    pub(crate) fn notify(
        &mut self,
        world: &mut World,
        token: Token,
        code: Code,
        sequence: Option<u32>,
        text: &str,
    ) {
        let options = Self::options(sequence, Some(ContentFormat::TEXT));
        let message = Message {
            message_type: MessageType::Confirmable,
            code,
            message_id: self.message_id(),
            token,
            options: options.view(),
            payload: text.as_bytes(),
        };
        self.send(world, &message);
    }
}
