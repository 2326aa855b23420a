//! A Client, Servers that do as the script says, a wire between them that can be cut, and a clock
//! that is turned by hand: what a conversation needs.
#![allow(dead_code)] // Every conversation uses its own part of this.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use dunlin_client::{
    Address, Client, Config, Event, Factory, Need, NeedId, Now, Output, Tree, WallTime,
};
use dunlin_lwm2m::attribute::AttributesChange;
use dunlin_lwm2m::operation::{
    Arguments, Binding, Operation, Register, Response, ResponseCode, Strictness, Update, Uplink,
    WriteMode,
};
use dunlin_lwm2m::{
    ContentFormat, EndpointName, Instance, ObjectId, Path, Registry, Resource, ResourceValue,
    ShortServerId, Value,
};
use dunlin_transport::coap::wire::datagram;
use dunlin_transport::coap::{
    Code, Message, MessageId, MessageType, OptionList, OptionNumber, Token,
};
use dunlin_transport::dtls::{
    AlertDescription, Credential, Question, ServerSettings, Shown, Verdict,
};
use dunlin_transport::{
    Answer, Carriage, Config as TransportConfig, Event as Heard, ExchangeId, Identity,
    Output as WireOutput, PeerId, Port, Relation, RequestId, SecurityAnswer, Side, Transport,
    UplinkAnswer, dtls,
};

/// 2026-01-01: a date that is recognised in a failure.
pub(crate) const BEGIN: WallTime = WallTime(1_767_225_600_000);

/// The lifetime of the accounts of [`factory`].
pub(crate) const LIFETIME_S: u32 = 300;

/// More wake-ups than this without time passing, and the machine spins.
const WAKE_UPS_MAX: u32 = 100;

/// The Server with this number.
pub(crate) fn server_address(index: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 5683 + u16::try_from(index).unwrap()))
}

/// Two thermometers, and as many Servers as wanted.
pub(crate) fn factory(servers: usize, binding: Binding) -> Factory {
    let mut factory = Factory::new(Registry::bundled()).unwrap();
    for index in 0..servers {
        let uri = format!("coap://{}", server_address(index));
        factory.add_server(&uri, LIFETIME_S, binding).unwrap();
    }
    let device = Instance::new(0)
        .with(Resource::single(0, Value::String("ACME".into())))
        .with(Resource::single(9, Value::Integer(20)))
        .with(Resource::single(14, Value::String("+01:00".into())));
    factory.add_instance(ObjectId::DEVICE, device).unwrap();
    for id in [0, 1] {
        let sensor = Instance::new(id)
            .with(Resource::single(5700, Value::Float(20.5)))
            .with(Resource::single(5701, Value::String("Cel".into())));
        factory.add_instance(ObjectId(3303), sensor).unwrap();
    }
    factory
}

/// A Client, and the Servers it knows.
pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) servers: Vec<Scripted>,
    pub(crate) now: Now,
    /// What the Client told its embedder.
    pub(crate) news: Vec<Event>,
    pub(crate) needs: Vec<(NeedId, Need)>,
    /// What was kept last.
    pub(crate) state: Option<Vec<u8>>,
    /// How often something was kept.
    pub(crate) commits: u64,
    /// All datagrams that have left the Client.
    pub(crate) sent: Vec<(Duration, Address, Vec<u8>)>,
    /// Where the Client is: datagrams to any other place of its own are lost.
    pub(crate) at: Address,
    /// Whether datagrams are lost, all of them.
    pub(crate) cut: bool,
    wire: VecDeque<(Address, Address, Vec<u8>)>,
    wake_up: Option<Duration>,
}

impl World {
    /// One Server, a Client that always listens, registered.
    pub(crate) fn registered() -> Self {
        let mut world = Self::new(1, Binding::U);
        world.start();
        assert!(matches!(world.news[..], [Event::Registered { .. }]));
        world.news.clear();
        world
    }

    pub(crate) fn new(servers: usize, binding: Binding) -> Self {
        Self::with(factory(servers, binding).build())
    }

    pub(crate) fn with(tree: Tree) -> Self {
        Self::configured(tree, |_| {})
    }

    pub(crate) fn configured(tree: Tree, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new(EndpointName::new("thermometer").unwrap());
        change(&mut config);
        let servers = dunlin_client::accounts(&tree).len();
        Self {
            client: Client::new(config, tree, [7; 32]),
            servers: (0..servers).map(Scripted::new).collect(),
            now: Now {
                instant: Duration::from_secs(1_000),
                wall: BEGIN,
            },
            news: Vec::new(),
            needs: Vec::new(),
            state: None,
            commits: 0,
            sent: Vec::new(),
            at: client_address(),
            cut: false,
            wire: VecDeque::new(),
            wake_up: None,
        }
    }

    pub(crate) fn start(&mut self) {
        self.client.start(self.now);
        self.settle();
    }

    /// Carries datagrams to and fro until nobody has anything more to say.
    pub(crate) fn settle(&mut self) {
        loop {
            self.drain_client();
            self.drain_servers();
            let Some((from, to, bytes)) = self.wire.pop_front() else {
                return;
            };
            if self.cut {
                continue;
            }
            match self.servers.iter_mut().find(|one| one.address == to) {
                Some(server) => {
                    let port = server.port;
                    server
                        .transport
                        .handle_receive(self.now, port, &from, None, &bytes);
                }
                None if to != self.at => {}
                None => {
                    let sender = self.servers.iter().find(|one| one.address == from);
                    let port = sender.map_or(Port::Coap, |sender| sender.port);
                    self.client
                        .handle_receive(self.now, port, &from, None, &bytes);
                }
            }
        }
    }

    fn drain_client(&mut self) {
        loop {
            match self.client.poll_output() {
                Output::Commit(commit) => {
                    self.commits += 1;
                    assert_eq!(commit.number, self.commits, "commits have no gaps");
                    self.state = Some(commit.state);
                }
                Output::Transmit(transmit) => {
                    assert!(transmit.barrier <= self.commits, "sent before it was kept");
                    assert!(!self.client.is_asleep(), "a sleeping Client is silent");
                    let record = (
                        self.now.instant,
                        transmit.to.clone(),
                        transmit.bytes.clone(),
                    );
                    self.sent.push(record);
                    self.wire
                        .push_back((self.at.clone(), transmit.to, transmit.bytes));
                }
                Output::Need(id, need) => self.needs.push((id, need)),
                Output::Event(event) => self.news.push(event),
                Output::Timeout(timeout) => {
                    self.wake_up = timeout;
                    return;
                }
            }
        }
    }

    fn drain_servers(&mut self) {
        for server in &mut self.servers {
            server.drain(self.now, &mut self.wire);
        }
    }

    /// Lets time pass, waking everybody when they want to be woken.
    pub(crate) fn pass(&mut self, span: Duration) {
        let until = self.now.plus(span);
        let mut wake_ups = 0;
        loop {
            let servers = self.servers.iter().filter_map(|server| server.wake_up);
            let next = servers.chain(self.wake_up).min();
            let Some(next) = next.filter(|next| *next <= until.instant) else {
                break;
            };
            let after = next.saturating_sub(self.now.instant);
            wake_ups = if after.is_zero() { wake_ups + 1 } else { 0 };
            assert!(wake_ups < WAKE_UPS_MAX, "somebody spins at {next:?}");
            self.now = self.now.plus(after);
            if self.wake_up.is_some_and(|at| at <= self.now.instant) {
                self.client.handle_timeout(self.now);
            }
            for server in &mut self.servers {
                if server.wake_up.is_some_and(|at| at <= self.now.instant) {
                    server.transport.handle_timeout(self.now);
                }
            }
            self.settle();
        }
        self.now = until;
    }

    pub(crate) fn pass_s(&mut self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    pub(crate) fn set(&mut self, target: &str, value: impl Into<ResourceValue>) {
        let done = self.client.set(self.now, path(target), value);
        done.expect("the device sets what it has");
        self.settle();
    }

    /// The only Server asks, and is answered.
    pub(crate) fn ask(&mut self, operation: &Operation) -> Answer {
        self.ask_as(0, operation)
    }

    pub(crate) fn ask_as(&mut self, server: usize, operation: &Operation) -> Answer {
        self.try_ask(server, operation)
            .unwrap_or_else(|| panic!("no answer to {operation:?}"))
    }

    /// The code of the answer.
    pub(crate) fn code(&mut self, operation: &Operation) -> ResponseCode {
        self.ask(operation).code.expect("a code of LwM2M")
    }

    pub(crate) fn code_as(&mut self, server: usize, operation: &Operation) -> ResponseCode {
        let answer = self.ask_as(server, operation);
        answer.code.expect("a code of LwM2M")
    }

    /// A Server asks; `None` when no answer comes at once.
    pub(crate) fn try_ask(&mut self, server: usize, operation: &Operation) -> Option<Answer> {
        let root = self.servers[server].root.clone();
        let one = &mut self.servers[server];
        let peer = match one.port {
            Port::Coap => one.transport.peer_at(self.now, Port::Coap, &self.at, None),
            _ => one
                .client
                .expect("a session is spoken on that was spoken on"),
        };
        let asked = one
            .transport
            .request(self.now, peer, &root, operation, Carriage::default())
            .unwrap();
        // A Server does not forget a Client that it knows.
        one.transport.hold(peer);
        one.asked = Some(asked);
        self.settle();
        let heard = &mut self.servers[server].heard;
        let at = heard.iter().position(
            |event| matches!(event, Heard::Answered { request, .. } if *request == asked),
        )?;
        let Heard::Answered { answer, .. } = heard.remove(at) else {
            unreachable!("it was found there");
        };
        Some(answer)
    }

    /// A Server waits no longer for the answer to what it asked last.
    pub(crate) fn give_up(&mut self, server: usize) {
        let one = &mut self.servers[server];
        let asked = one.asked.take().expect("it asked something");
        one.transport.cancel_request(self.now, asked).unwrap();
        self.settle();
    }

    /// Observes, and keeps what notifications say from now on.
    pub(crate) fn observe(&mut self, target: &str) -> Relation {
        self.observe_as(0, target)
    }

    pub(crate) fn observe_as(&mut self, server: usize, target: &str) -> Relation {
        let accept = None;
        let path = path(target);
        let answer = self.ask_as(server, &Operation::Observe { path, accept });
        assert_eq!(answer.code, Ok(ResponseCode::Content));
        answer.observation.expect("the Client observes")
    }

    /// A raw CoAP message from the only Server; gives the messages with its token or Message ID
    /// that come back.
    pub(crate) fn raw(&mut self, message: &Message<'_>) -> Vec<Got> {
        let mut bytes = Vec::new();
        datagram::encode(message, &mut bytes);
        let before = self.sent.len();
        let from = self.servers[0].address.clone();
        self.client
            .handle_receive(self.now, Port::Coap, &from, None, &bytes);
        self.settle();
        let sent = self.sent[before..].iter();
        sent.map(|(_, _, bytes)| Got::read(bytes))
            .filter(|got| got.message_id == message.message_id || got.token == message.token)
            .collect()
    }

    /// A raw Confirmable request, answered on its acknowledgement.
    pub(crate) fn raw_request(
        &mut self,
        code: Code,
        segments: &[&str],
        options: &[(OptionNumber, &[u8])],
        payload: &[u8],
    ) -> Got {
        self.servers[0].next_message_id += 1;
        let message_id = MessageId(self.servers[0].next_message_id);
        let mut list = OptionList::new();
        let path = segments
            .iter()
            .map(|one| (OptionNumber::URI_PATH, one.as_bytes()));
        let mut all: Vec<(OptionNumber, &[u8])> = path.chain(options.iter().copied()).collect();
        all.sort_by_key(|(number, _)| *number);
        for (number, value) in all {
            list.push(number, value);
        }
        let message = Message {
            message_type: MessageType::Confirmable,
            code,
            message_id,
            token: Token::new(&message_id.0.to_be_bytes()).unwrap(),
            options: list.view(),
            payload,
        };
        let mut got = self.raw(&message);
        assert_eq!(got.len(), 1, "one answer to {code:?} {segments:?}");
        got.remove(0)
    }

    /// The Client stops, and comes back with what was kept.
    pub(crate) fn restart(&mut self, tree: Tree) {
        let config = Config::new(EndpointName::new("thermometer").unwrap());
        self.client = Client::new(config, tree, [8; 32]);
        let state = self.state.clone().expect("something was kept");
        self.client.restore(&state).expect("what was kept is read");
        self.commits = 0;
        self.news.clear();
        self.wire.clear();
        self.start();
    }

    /// The news since the last call.
    pub(crate) fn told(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.news)
    }

    pub(crate) fn is_registered(&self, server: usize) -> bool {
        let id = ShortServerId::new(u16::try_from(server + 1).unwrap());
        let mut all = self.client.servers();
        all.any(|(account, open)| Some(account.short_server_id) == id && open)
    }
}

pub(crate) fn client_address() -> Address {
    SocketAddr::from(([127, 0, 0, 1], 40_000)).into()
}

pub(crate) fn path(text: &str) -> Path {
    text.parse().expect("a path")
}

/// A Server that does as the script says.
pub(crate) struct Scripted {
    pub(crate) address: Address,
    pub(crate) transport: Transport,
    /// Whether it speaks DTLS.
    pub(crate) port: Port,
    /// Who spoke last.
    pub(crate) client: Option<PeerId>,
    /// Pre-shared keys by identity.
    pub(crate) keys: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What a Client may show.
    pub(crate) trusted: Vec<Shown>,
    /// Who spoke, one after the other, each time under what was proved.
    pub(crate) sessions: Vec<Identity>,
    /// The alternate path of the Client.
    pub(crate) root: String,
    /// Everything that was heard and not looked at.
    pub(crate) heard: Vec<Heard>,
    /// What the Client asked, with the time.
    pub(crate) uplinks: Vec<(Duration, Uplink)>,
    /// What is not answered yet, while `silent`.
    pub(crate) open: VecDeque<ExchangeId>,
    /// Does not answer by itself.
    pub(crate) silent: bool,
    /// Answers the next uplink with this.
    pub(crate) next_refusal: Option<UplinkAnswer>,
    /// What notifications said, with the time.
    pub(crate) notified: Vec<(Duration, Answer)>,
    /// Resets notifications instead of acknowledging them.
    pub(crate) resets: bool,
    /// What it answers a GET with: it is no Server then, but one that has files.
    pub(crate) file: Option<Vec<u8>>,
    asked: Option<RequestId>,
    locations: u32,
    pub(crate) next_message_id: u16,
    wake_up: Option<Duration>,
}

impl Scripted {
    pub(crate) fn new(index: usize) -> Self {
        let side = Side::Server {
            strictness: Strictness::Strict,
        };
        let coap = dunlin_transport::coap::Config::default();
        let seed = [u8::try_from(index).unwrap() + 100; 32];
        Self {
            address: server_address(index).into(),
            transport: Transport::new(
                TransportConfig {
                    side,
                    coap,
                    dtls: None,
                },
                seed,
            ),
            port: Port::Coap,
            client: None,
            keys: BTreeMap::new(),
            trusted: Vec::new(),
            sessions: Vec::new(),
            root: String::new(),
            heard: Vec::new(),
            uplinks: Vec::new(),
            open: VecDeque::new(),
            silent: false,
            next_refusal: None,
            notified: Vec::new(),
            resets: false,
            file: None,
            asked: None,
            locations: 0,
            next_message_id: 7_000,
            wake_up: None,
        }
    }

    /// One that speaks DTLS, and shows this to who wants more than a pre-shared key.
    pub(crate) fn secured(index: usize, credential: Option<Credential>) -> Self {
        let mut this = Self::new(index);
        let server = ServerSettings {
            credential,
            ..ServerSettings::default()
        };
        let dtls = dtls::Settings {
            server: Some(server),
            cid_prefix: vec![0, 1, 7],
            ..dtls::Settings::default()
        };
        this.secure(
            index,
            Side::Server {
                strictness: Strictness::Strict,
            },
            dtls,
        );
        this
    }

    /// One that has a file, and gives it to who has the right key. The path is taken for one of LwM2M.
    pub(crate) fn with_file(index: usize, file: Vec<u8>) -> Self {
        let mut this = Self::new(index);
        let dtls = dtls::Settings {
            server: Some(ServerSettings::default()),
            cid_prefix: vec![0, 1, 8],
            ..dtls::Settings::default()
        };
        let root = String::new();
        this.secure(index, Side::Client { root }, dtls);
        this.file = Some(file);
        this
    }

    fn secure(&mut self, index: usize, side: Side, dtls: dtls::Settings) {
        let coap = dunlin_transport::coap::Config::default();
        let dtls = Some(dtls);
        let seed = [u8::try_from(index).unwrap() + 200; 32];
        self.transport = Transport::new(TransportConfig { side, coap, dtls }, seed);
        self.port = Port::Coaps;
    }

    fn security_answer(&self, question: &Question) -> SecurityAnswer {
        match question {
            Question::PskFor { identity, .. } => {
                let key = self.keys.get(identity);
                SecurityAnswer::Psk(key.map(|key| key.as_slice().into()))
            }
            Question::VerdictOn { shown, .. } if !self.trusted.contains(shown) => {
                SecurityAnswer::Verdict(Verdict::Refuse(AlertDescription::CERTIFICATE_UNKNOWN))
            }
            _ => SecurityAnswer::Verdict(Verdict::Accept),
        }
    }

    fn drain(&mut self, now: Now, wire: &mut VecDeque<(Address, Address, Vec<u8>)>) {
        loop {
            match self.transport.poll_output() {
                WireOutput::Transmit(transmit) => {
                    wire.push_back((self.address.clone(), transmit.to, transmit.bytes));
                }
                WireOutput::Event(event) => self.hear(now, event),
                WireOutput::Need { id, need } => {
                    let answer = self.security_answer(&need.question);
                    self.transport.handle_answer(now, id, answer);
                }
                WireOutput::Reserve { .. } => unreachable!("nothing is exported here"),
                WireOutput::Timeout(timeout) => {
                    self.wake_up = timeout;
                    return;
                }
            }
        }
    }

    fn hear(&mut self, now: Now, event: Heard) {
        match event {
            Heard::Uplink {
                peer,
                exchange,
                uplink,
            } => {
                if self.client != Some(peer) {
                    let identity = self.transport.peer(peer).expect("it speaks").identity;
                    self.sessions.push(identity);
                }
                self.client = Some(peer);
                let answer = self.answer_to(&uplink);
                self.uplinks.push((now.instant, *uplink));
                if self.silent {
                    self.open.push_back(exchange);
                } else {
                    self.transport
                        .answer_uplink(now, exchange, &answer, 0)
                        .unwrap();
                }
            }
            Heard::Downlink { exchange, .. } => {
                let file = self.file.clone().unwrap_or_default();
                let content = Response::content(ContentFormat::OPAQUE, file);
                self.transport
                    .answer_downlink(now, exchange, content, 0)
                    .unwrap();
            }
            Heard::Notified {
                exchange, answer, ..
            } => {
                self.notified.push((now.instant, answer));
                if self.resets {
                    self.transport.reject(now, exchange).unwrap();
                } else {
                    self.transport.acknowledge(now, exchange, 0).unwrap();
                }
            }
            Heard::Heard { .. } => {}
            other => self.heard.push(other),
        }
    }

    fn answer_to(&mut self, uplink: &Uplink) -> UplinkAnswer {
        if let Some(refusal) = self.next_refusal.take() {
            return refusal;
        }
        match uplink {
            Uplink::Register(_) => {
                self.locations += 1;
                let id = format!("client-{}", self.locations);
                UplinkAnswer::Created(vec!["rd".into(), id])
            }
            Uplink::Deregister(_) => UplinkAnswer::Deleted,
            Uplink::Update(_) | Uplink::BootstrapRequest(_) => UplinkAnswer::Changed,
        }
    }

    pub(crate) fn refuse_next(&mut self, code: ResponseCode) {
        self.next_refusal = Some(UplinkAnswer::Refused {
            code,
            diagnostic: String::new(),
            max_age_s: None,
        });
    }

    pub(crate) fn register(&self, index: usize) -> &Register {
        let mut all = self.uplinks.iter().filter_map(|(_, uplink)| match uplink {
            Uplink::Register(register) => Some(register),
            _ => None,
        });
        all.nth(index).expect("so many Registers")
    }

    /// The Updates, with their times.
    pub(crate) fn updates(&self) -> Vec<(u64, &Update)> {
        let updates = self.uplinks.iter().filter_map(|(at, uplink)| match uplink {
            Uplink::Update(update) => Some((at.as_secs(), update)),
            _ => None,
        });
        updates.collect()
    }

    /// The kinds of what the Client asked: `R`, `U`, `D`.
    pub(crate) fn kinds(&self) -> String {
        let kinds = self.uplinks.iter().map(|(_, uplink)| match uplink {
            Uplink::Register(_) => 'R',
            Uplink::Update(_) => 'U',
            Uplink::Deregister(_) => 'D',
            Uplink::BootstrapRequest(_) => 'B',
        });
        kinds.collect()
    }

    /// What notifications of single Resources said as text, since the last call.
    pub(crate) fn notified_texts(&mut self) -> Vec<(u64, String)> {
        let all = self.notified.drain(..);
        all.map(|(at, answer)| {
            (
                at.as_secs(),
                String::from_utf8(answer.payload).expect("text"),
            )
        })
        .collect()
    }
}

/// A message that the Client sent.
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
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let message = datagram::decode(bytes).expect("the Client sends CoAP");
        Self {
            message_type: message.message_type,
            code: message.code,
            message_id: message.message_id,
            token: message.token,
            options: OptionList::from_options(message.options),
            payload: message.payload.to_vec(),
        }
    }
}

pub(crate) fn read(target: &str) -> Operation {
    Operation::Read {
        path: path(target),
        accept: None,
    }
}

pub(crate) fn read_as(target: &str, accept: ContentFormat) -> Operation {
    Operation::Read {
        path: path(target),
        accept: Some(accept),
    }
}

pub(crate) fn discover(target: &str) -> Operation {
    Operation::Discover { path: path(target) }
}

pub(crate) fn write_text(target: &str, text: &str) -> Operation {
    write(target, WriteMode::Replace, ContentFormat::TEXT, text)
}

pub(crate) fn write(
    target: &str,
    mode: WriteMode,
    format: ContentFormat,
    payload: impl AsRef<[u8]>,
) -> Operation {
    Operation::Write {
        path: path(target),
        mode,
        format,
        payload: payload.as_ref().to_vec(),
    }
}

pub(crate) fn execute(target: &str) -> Operation {
    Operation::Execute {
        path: path(target),
        arguments: Arguments::NONE,
    }
}

pub(crate) fn create(object: u16, payload: impl AsRef<[u8]>) -> Operation {
    Operation::Create {
        object: ObjectId(object),
        format: ContentFormat::TLV,
        payload: payload.as_ref().to_vec(),
    }
}

pub(crate) fn delete(target: &str) -> Operation {
    Operation::Delete { path: path(target) }
}

pub(crate) fn attributes(target: &str, queries: &[&str]) -> Operation {
    let attributes = AttributesChange::parse(queries.iter().copied()).expect("attributes");
    let path = path(target);
    Operation::WriteAttributes { path, attributes }
}

pub(crate) fn text(answer: &Answer) -> &str {
    std::str::from_utf8(&answer.payload).expect("text")
}
