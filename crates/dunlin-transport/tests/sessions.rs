//! Two transports that talk over DTLS, without a network between them.

use std::collections::VecDeque;
use std::time::Duration;

use dunlin_lwm2m::link::ObjectLinks;
use dunlin_lwm2m::operation::{
    Binding, Operation, Register, Response, ResponseCode, Strictness, Update, Uplink,
};
use dunlin_lwm2m::{Deviations, EndpointName, LwM2mVersion};
use dunlin_transport::dtls::{
    ClientSettings, CloseReason, Failure as DtlsFailure, Question, Secret, ServerSettings,
    Settings, Verdict,
};
use dunlin_transport::{
    Address, Carriage, Config, DisconnectReason, Event, Identity, Now, Output, PeerId, Port,
    SecurityAnswer, SecurityRefused, Side, Transmit, Transport, UplinkAnswer, WallTime,
};

const IDENTITY: &[u8] = b"urn:dev:1";
const KEY: &[u8] = b"0123456789abcdef";

fn server_address() -> Address {
    Address::Udp("127.0.0.1:5684".parse().unwrap())
}

fn client_address(port: u16) -> Address {
    Address::Udp(([127, 0, 0, 2], port).into())
}

fn dtls_of_server() -> Settings {
    Settings {
        server: Some(ServerSettings::default()),
        cid_prefix: vec![0, 7, 0xa5],
        reserve_window: 16,
        ..Settings::default()
    }
}

fn server(seed: u8) -> Transport {
    let side = Side::Server {
        strictness: Strictness::Lenient,
    };
    let coap = dunlin_transport::coap::Config::default();
    let dtls = Some(dtls_of_server());
    Transport::new(Config { side, coap, dtls }, [seed; 32])
}

fn client() -> Transport {
    let side = Side::Client {
        root: String::new(),
    };
    let coap = dunlin_transport::coap::Config::default();
    let dtls = Some(Settings::default());
    Transport::new(Config { side, coap, dtls }, [9; 32])
}

fn register() -> Register {
    Register {
        endpoint: EndpointName::new("urn:dev:1").unwrap(),
        lifetime_s: 300,
        version: LwM2mVersion::V1_0,
        binding: Binding::default(),
        sms_number: None,
        links: ObjectLinks::parse(b"</1/0>,</3/0>").unwrap().links,
        parameters: Vec::new(),
        deviations: Deviations::default(),
    }
}

/// A Server, a Client, and the wire between them.
struct Pair {
    now: Now,
    server: Transport,
    client: Transport,
    /// Where the Server sees the Client.
    seen_at: Address,
    port: Port,
    /// What the key of an identity is; the Server's book of credentials.
    key: Option<Secret>,
    to_server: VecDeque<Vec<u8>>,
    to_client: VecDeque<Vec<u8>>,
    at_server: Vec<Event>,
    at_client: Vec<Event>,
    asked: Vec<(Address, Port, Question)>,
    reserved: Vec<(PeerId, u64)>,
    /// All that the Server sent, in order.
    sent: Vec<Transmit>,
    next_commit: u64,
}

impl Pair {
    fn new() -> Self {
        Self {
            now: Now {
                instant: Duration::from_secs(10),
                wall: WallTime(1_000_000),
            },
            server: server(1),
            client: client(),
            seen_at: client_address(4000),
            port: Port::Coaps,
            key: Some(Secret::from(KEY)),
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            at_server: Vec::new(),
            at_client: Vec::new(),
            asked: Vec::new(),
            reserved: Vec::new(),
            sent: Vec::new(),
            next_commit: 100,
        }
    }

    fn connect(&mut self) -> PeerId {
        let settings = ClientSettings::psk(IDENTITY, KEY);
        let to = server_address();
        self.client
            .connect(self.now, Port::Coaps, &to, None, settings)
            .unwrap()
    }

    fn drain_server(&mut self) {
        loop {
            match self.server.poll_output() {
                Output::Transmit(transmit) => {
                    self.to_client.push_back(transmit.bytes.clone());
                    self.sent.push(transmit);
                }
                Output::Need { id, need } => {
                    self.asked.push((need.address, need.port, need.question));
                    let answer = match &self.asked.last().expect("just now").2 {
                        Question::Resumption { .. } => SecurityAnswer::Verdict(Verdict::Accept),
                        _ => SecurityAnswer::Psk(self.key.clone()),
                    };
                    self.server.handle_answer(self.now, id, answer);
                }
                Output::Reserve { peer, up_to } => {
                    self.reserved.push((peer, up_to));
                    self.next_commit += 1;
                    self.server.reserved(peer, up_to, self.next_commit);
                }
                Output::Event(event) => self.at_server.push(event),
                Output::Timeout(_) => return,
            }
        }
    }

    fn drain_client(&mut self) {
        loop {
            match self.client.poll_output() {
                Output::Transmit(transmit) => {
                    assert_eq!(transmit.to, server_address());
                    assert_eq!(transmit.port, Port::Coaps);
                    self.to_server.push_back(transmit.bytes);
                }
                Output::Event(event) => self.at_client.push(event),
                Output::Timeout(_) => return,
                other => panic!("a client asks nothing here: {other:?}"),
            }
        }
    }

    fn deliver_to_server(&mut self, bytes: &[u8]) {
        let from = self.seen_at.clone();
        let local = Some([127, 0, 0, 1].into());
        self.server
            .handle_receive(self.now, self.port, &from, local, bytes);
        self.drain_server();
    }

    fn deliver_to_client(&mut self, bytes: &[u8]) {
        let from = server_address();
        self.client
            .handle_receive(self.now, Port::Coaps, &from, None, bytes);
        self.drain_client();
    }

    /// Until nobody has anything to say. A Register is answered, an Update too.
    fn settle(&mut self) {
        self.drain_client();
        self.drain_server();
        loop {
            if let Some(bytes) = self.to_server.pop_front() {
                self.deliver_to_server(&bytes);
            } else if let Some(bytes) = self.to_client.pop_front() {
                self.deliver_to_client(&bytes);
            } else {
                return;
            }
        }
    }

    /// The first uplink that the Server heard and nobody took yet.
    fn take_uplink(&mut self) -> Option<(PeerId, dunlin_transport::ExchangeId, Uplink)> {
        let found = self
            .at_server
            .iter()
            .position(|event| matches!(event, Event::Uplink { .. }))?;
        match self.at_server.remove(found) {
            Event::Uplink {
                peer,
                exchange,
                uplink,
            } => Some((peer, exchange, *uplink)),
            _ => None,
        }
    }

    /// A Client that has registered, and its peers on both sides.
    fn registered() -> (Self, PeerId, PeerId) {
        let mut pair = Self::new();
        let to_server = pair.connect();
        pair.client.hold(to_server);
        pair.client
            .register(pair.now, to_server, &register(), Carriage::default())
            .unwrap();
        pair.settle();
        let (peer, exchange, _) = pair.take_uplink().expect("it registered");
        pair.server.hold(peer);
        let created = UplinkAnswer::Created(vec!["rd".into(), "x".into()]);
        pair.server
            .answer_uplink(pair.now, exchange, &created, 0)
            .unwrap();
        pair.settle();
        (pair, peer, to_server)
    }

    fn update(&mut self, to_server: PeerId) {
        let location = ["rd".to_owned(), "x".to_owned()];
        let update = Update {
            lifetime_s: Some(60),
            ..Update::default()
        };
        self.client
            .update(self.now, to_server, &location, &update, Carriage::default())
            .unwrap();
        self.drain_client();
    }

    /// The Server's process is another one now.
    fn restart(&mut self, exported: &Secret, reserved: u64) -> PeerId {
        self.server = server(2);
        self.at_server.clear();
        self.sent.clear();
        let peer = self
            .server
            .import(self.now, None, exported.expose(), reserved)
            .unwrap();
        self.server.hold(peer);
        self.drain_server();
        peer
    }

    fn passes(&mut self, time: Duration) {
        self.now = self.now.plus(time);
        self.client.handle_timeout(self.now);
        self.server.handle_timeout(self.now);
        self.drain_client();
        self.drain_server();
    }
}

/// The number of a record, and whether it has a Connection ID.
fn number(datagram: &[u8]) -> u64 {
    u64::from_be_bytes([
        0,
        0,
        datagram[5],
        datagram[6],
        datagram[7],
        datagram[8],
        datagram[9],
        datagram[10],
    ])
}

fn moved(events: &[Event]) -> Option<(Address, Address)> {
    events.iter().find_map(|event| match event {
        Event::Moved { from, to, .. } => Some((from.clone(), to.clone())),
        _ => None,
    })
}

#[test]
fn a_register_waits_for_its_session_and_is_known_by_its_identity() {
    let (mut pair, peer, to_server) = Pair::registered();
    pair.at_client
        .retain(|event| !matches!(event, Event::Heard { .. }));
    assert!(matches!(
        pair.at_client[..],
        [
            Event::Connected { resumed: false, .. },
            Event::Resumable { .. },
            Event::Answered { .. }
        ]
    ));
    let known = pair.server.peer(peer).unwrap();
    assert_eq!(known.identity, Identity::PreSharedKey(IDENTITY.into()));
    assert_eq!(
        (known.address, known.port),
        (client_address(4000), Port::Coaps)
    );
    assert_eq!(known.local, Some([127, 0, 0, 1].into()));
    let local = Some([127, 0, 0, 1].into());
    assert!(pair.sent.iter().all(|sent| sent.local == local));
    assert!(pair.sent.iter().all(|sent| sent.port == Port::Coaps));
    let (address, port, question) = &pair.asked[0];
    assert_eq!((address, *port), (&client_address(4000), Port::Coaps));
    assert!(matches!(question, Question::PskFor { identity, .. } if identity == IDENTITY));
    assert_eq!(
        pair.client.peer(to_server).unwrap().identity,
        Identity::PreSharedKey(IDENTITY.into())
    );
    assert_eq!(
        pair.server.connection_id(peer).unwrap().0[..3],
        [0, 7, 0xa5]
    );

    // And down again.
    let operation = Operation::Read {
        path: "/3".parse().unwrap(),
        accept: None,
    };
    let request = pair
        .server
        .request(pair.now, peer, "", &operation, Carriage::default())
        .unwrap();
    pair.settle();
    let asked = pair.at_client.iter().rev().find_map(|event| match event {
        Event::Downlink { exchange, .. } => Some(*exchange),
        _ => None,
    });
    let refused = Response::new(ResponseCode::NotFound);
    pair.client
        .answer_downlink(pair.now, asked.expect("it was asked"), refused, 0)
        .unwrap();
    pair.settle();
    assert!(pair.at_server.iter().any(
        |event| matches!(event, Event::Answered { request: answered, .. } if *answered == request)
    ));
}

#[test]
fn an_unknown_identity_is_told_as_somebody_who_knocked() {
    let mut pair = Pair::new();
    pair.key = None;
    let peer = pair.connect();
    pair.client
        .register(pair.now, peer, &register(), Carriage::default())
        .unwrap();
    pair.settle();
    for _ in 0..100 {
        pair.passes(Duration::from_secs(1));
        pair.settle();
    }
    let knock = pair.at_server.iter().find_map(|event| match event {
        Event::HandshakeFailed {
            address,
            port,
            claimed,
            reason,
        } => Some((address.clone(), *port, claimed.clone(), *reason)),
        _ => None,
    });
    let claimed = Some(Identity::PreSharedKey(IDENTITY.into()));
    let unknown = DtlsFailure::UnknownIdentity;
    assert_eq!(
        knock,
        Some((client_address(4000), Port::Coaps, claimed, unknown))
    );
    assert!(pair.at_client.iter().any(|event| matches!(
        event,
        Event::Disconnected {
            reason: DisconnectReason::Failed(DtlsFailure::Unconfirmed),
            ..
        }
    )));
    assert_eq!(pair.server.session_counts(), (0, 0));
    assert_eq!(pair.server.peer_count(), 0);
}

#[test]
fn rfc9146_6_a_client_that_moves_keeps_its_name_and_its_session() {
    let (mut pair, peer, to_server) = Pair::registered();
    pair.seen_at = client_address(5555);
    pair.update(to_server);
    pair.settle();
    let (heard, _, _) = pair.take_uplink().expect("it updates");
    assert_eq!(heard, peer);
    assert_eq!(
        moved(&pair.at_server),
        Some((client_address(4000), client_address(5555)))
    );
    assert_eq!(
        pair.server.peer(peer).unwrap().address,
        client_address(5555)
    );
    assert_eq!(pair.asked.len(), 1, "there was no other handshake");
}

#[test]
fn a_peer_that_nobody_holds_is_forgotten_and_its_session_stays() {
    let (mut pair, peer, to_server) = Pair::registered();
    pair.server.release(peer);
    pair.passes(Duration::from_secs(300));
    assert_eq!(pair.server.peer_count(), 0);
    assert_eq!(pair.server.session_counts(), (1, 0));
    pair.update(to_server);
    pair.settle();
    let (again, ..) = pair.take_uplink().expect("it is heard");
    let known = pair.server.peer(again).unwrap();
    assert_eq!(known.identity, Identity::PreSharedKey(IDENTITY.into()));
}

#[test]
fn a_session_that_is_ended_leaves_its_peer_and_takes_its_messages() {
    let (mut pair, peer, to_server) = Pair::registered();
    let revoked = |identity: &Identity| *identity == Identity::PreSharedKey(IDENTITY.into());
    assert_eq!(pair.server.disconnect_all(pair.now, 7, |_| false), 0);
    assert_eq!(pair.server.disconnect_all(pair.now, 7, revoked), 1);
    pair.settle();
    assert_eq!(pair.sent.last().unwrap().barrier, 7);
    let closed = |reason| DisconnectReason::Closed(reason);
    assert!(
        matches!(pair.at_server.last(), Some(Event::Disconnected { peer: gone, reason })
        if *gone == peer && *reason == closed(CloseReason::Local))
    );
    assert!(
        matches!(pair.at_client.last(), Some(Event::Disconnected { reason, .. })
        if *reason == closed(CloseReason::Peer))
    );
    assert!(pair.server.peer(peer).is_some());
    assert!(!pair.server.is_connected(peer));
    let sent = pair.sent.len();
    pair.server.ping(pair.now, peer).unwrap();
    pair.settle();
    assert_eq!(pair.sent.len(), sent, "there is nothing to send it on");
    assert_eq!(pair.server.export(peer), Err(SecurityRefused::NotConnected));
    assert!(!pair.client.is_connected(to_server));
}

#[test]
fn a_client_that_gives_up_connecting_is_told_so() {
    let mut pair = Pair::new();
    let peer = pair.connect();
    pair.client.disconnect(pair.now, peer, 0).unwrap();
    pair.drain_client();
    assert!(matches!(
        pair.at_client[..],
        [Event::Disconnected {
            reason: DisconnectReason::Closed(CloseReason::Local),
            ..
        }]
    ));
    let clear = pair.client.connect(
        pair.now,
        Port::Coap,
        &server_address(),
        None,
        ClientSettings::psk(b"a", b"b"),
    );
    assert_eq!(clear, Err(SecurityRefused::NotSecure));
}

#[test]
fn a_session_outlives_a_restart_without_a_handshake() {
    let (mut pair, peer, to_server) = Pair::registered();
    let exported = pair.server.export(peer).unwrap();
    let before: Vec<u64> = pair.sent.iter().map(|sent| number(&sent.bytes)).collect();
    let peer = pair.restart(&exported, 0);
    let known = pair.server.peer(peer).unwrap();
    assert_eq!(known.identity, Identity::PreSharedKey(IDENTITY.into()));
    assert_eq!(
        (known.address, known.port),
        (client_address(4000), Port::Coaps)
    );

    // The first request is dropped, a ping is answered, and the repeated request is heard.
    pair.update(to_server);
    pair.settle();
    assert!(pair.take_uplink().is_none());
    assert_eq!(pair.server.stale(), 1);
    pair.passes(Duration::from_secs(4));
    pair.settle();
    let (heard, ..) = pair.take_uplink().expect("the repeated one is heard");
    assert_eq!(heard, peer);
    assert_eq!(pair.asked.len(), 1, "there was no other handshake");
    let after: Vec<u64> = pair.sent.iter().map(|sent| number(&sent.bytes)).collect();
    let newest = before.iter().max().unwrap();
    assert!(after.iter().all(|number| number > newest));
}

#[test]
fn a_request_of_ours_is_answered_on_a_session_that_is_not_fresh() {
    let (mut pair, peer, _) = Pair::registered();
    let exported = pair.server.export(peer).unwrap();
    let peer = pair.restart(&exported, 0);
    let operation = Operation::Read {
        path: "/3".parse().unwrap(),
        accept: None,
    };
    pair.server
        .request(pair.now, peer, "", &operation, Carriage::default())
        .unwrap();
    pair.settle();
    let asked = pair.at_client.iter().rev().find_map(|event| match event {
        Event::Downlink { exchange, .. } => Some(*exchange),
        _ => None,
    });
    let refused = Response::new(ResponseCode::NotFound);
    pair.client
        .answer_downlink(pair.now, asked.unwrap(), refused, 0)
        .unwrap();
    pair.settle();
    assert!(
        pair.at_server
            .iter()
            .any(|event| matches!(event, Event::Answered { .. }))
    );
}

#[test]
fn what_was_heard_before_a_restart_moves_nothing_and_is_not_done_again() {
    let (mut pair, peer, to_server) = Pair::registered();
    let exported = pair.server.export(peer).unwrap();
    pair.update(to_server);
    let captured: Vec<Vec<u8>> = pair.to_server.iter().cloned().collect();
    pair.settle();
    let (_, exchange, _) = pair.take_uplink().expect("it updates");
    pair.server
        .answer_uplink(pair.now, exchange, &UplinkAnswer::Changed, 0)
        .unwrap();
    pair.settle();

    let peer = pair.restart(&exported, 0);
    pair.seen_at = client_address(666);
    for record in &captured {
        pair.deliver_to_server(record);
        pair.deliver_to_server(record);
    }
    assert!(pair.take_uplink().is_none());
    assert_eq!(moved(&pair.at_server), None);
    assert_eq!(
        pair.server.peer(peer).unwrap().address,
        client_address(4000)
    );
    let pings: Vec<_> = pair.sent.iter().map(|sent| sent.to.clone()).collect();
    assert_eq!(pings, [client_address(666)], "who says so is asked there");

    // The thief cannot answer; the Client does, from elsewhere, and is followed.
    pair.to_client.clear();
    pair.seen_at = client_address(7777);
    pair.update(to_server);
    pair.settle();
    assert_eq!(
        moved(&pair.at_server),
        Some((client_address(4000), client_address(7777)))
    );
    pair.seen_at = client_address(666);
    pair.deliver_to_server(&captured[0]);
    assert!(pair.take_uplink().is_none());
    assert_eq!(
        pair.server.peer(peer).unwrap().address,
        client_address(7777)
    );
}

#[test]
fn records_wait_for_the_commit_that_reserved_their_numbers() {
    let (mut pair, peer, _) = Pair::registered();
    pair.server.export(peer).unwrap();
    let first = pair.sent.len();
    for _ in 0..40 {
        pair.server.ping(pair.now, peer).unwrap();
        pair.settle();
    }
    assert!(pair.reserved.len() >= 2);
    let begin = pair.reserved[0].1 - 16;
    for sent in &pair.sent[first..] {
        let number = number(&sent.bytes);
        let due = pair
            .reserved
            .iter()
            .position(|(_, up_to)| number < *up_to)
            .map(|index| 101 + index as u64);
        match due {
            Some(commit) if number >= begin => assert_eq!(sent.barrier, commit, "{number}"),
            _ => assert_eq!(sent.barrier, 0, "{number}"),
        }
    }
}

#[test]
fn no_number_is_used_twice_whatever_was_lost_in_the_crash() {
    let (mut pair, mut peer, to_server) = Pair::registered();
    let exported = pair.server.export(peer).unwrap();
    let sealed = |sent: &&Transmit| sent.bytes[4] == 1;
    let numbers = |sent: &Transmit| number(&sent.bytes);
    let mut used: Vec<u64> = Vec::new();
    let mut durable = 0;
    for life in 0..12u64 {
        for _ in 0..life * 3 + 1 {
            // The Client does not answer everything.
            pair.server.ping(pair.now, peer).unwrap();
            pair.drain_server();
            pair.to_client.clear();
            pair.passes(Duration::from_secs(300));
        }
        // The last reservation was not durable when the power went: what waited for it was not sent.
        let lost = (life % 2 == 1)
            .then(|| pair.reserved.pop().map(|_| pair.next_commit))
            .flatten();
        let left = |sent: &&Transmit| lost.is_none_or(|commit| sent.barrier < commit);
        used.extend(pair.sent.iter().filter(left).filter(sealed).map(numbers));
        pair.sent.clear();
        durable = pair
            .reserved
            .iter()
            .map(|one| one.1)
            .max()
            .unwrap_or(durable);
        peer = pair.restart(&exported, durable);
    }
    let count = used.len();
    used.sort_unstable();
    used.dedup();
    assert!(count > 60, "{count}");
    assert_eq!(used.len(), count, "no number twice");
    // And the Client still understands.
    pair.to_client.clear();
    pair.update(to_server);
    pair.settle();
    pair.passes(Duration::from_secs(4));
    pair.settle();
    assert!(pair.take_uplink().is_some());
    assert_eq!(pair.asked.len(), 1);
}

#[test]
fn without_settings_of_dtls_secure_doors_hear_nothing() {
    let mut pair = Pair::new();
    pair.server = Transport::new(
        Config {
            side: Side::Server {
                strictness: Strictness::Lenient,
            },
            coap: dunlin_transport::coap::Config::default(),
            dtls: None,
        },
        [3; 32],
    );
    pair.connect();
    pair.settle();
    assert!(pair.sent.is_empty());
    assert_eq!(pair.server.noise(), 1);
}

#[test]
fn after_a_revocation_nobody_resumes() {
    let (mut pair, ..) = Pair::registered();
    let state = pair.at_client.iter().find_map(|event| match event {
        Event::Resumable { state, .. } => Some((**state).clone()),
        _ => None,
    });
    let state = state.expect("it can be resumed");
    let resume = |pair: &mut Pair, port: u16| {
        pair.at_client.clear();
        pair.seen_at = client_address(port);
        let mut settings = ClientSettings::psk(IDENTITY, KEY);
        settings.resume = Some(state.clone());
        let to = server_address();
        pair.client
            .connect(pair.now, Port::Coaps, &to, None, settings)
            .unwrap();
        pair.settle();
        pair.at_client.iter().find_map(|event| match event {
            Event::Connected { resumed, .. } => Some(*resumed),
            _ => None,
        })
    };
    assert_eq!(resume(&mut pair, 4001), Some(true));
    pair.server.disconnect_all(pair.now, 0, |_| false);
    assert_eq!(resume(&mut pair, 4002), Some(false));
}
