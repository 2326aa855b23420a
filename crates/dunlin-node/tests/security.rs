//! Clients with DTLS against a whole node: sockets, shards, store, REST. The node ends and starts
//! again under them, their addresses change, and their credentials are revoked.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use dunlin_lwm2m::link::ObjectLinks;
use dunlin_lwm2m::operation::{Binding, Register, Response, ResponseCode, Update};
use dunlin_lwm2m::{ContentFormat, Deviations, EndpointName, LwM2mVersion};
use dunlin_net::clock;
use dunlin_node::{Config, Data, Node, Port};
use dunlin_transport::dtls::{CidOffer, ClientSettings, Settings as Dtls};
use dunlin_transport::{
    Address, Carriage, Config as TransportConfig, Event, Now, Output, PeerId, Side, Transport,
    WallTime,
};

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

fn now() -> Now {
    Now {
        instant: clock::instant(),
        wall: WallTime(clock::wall_ms()),
    }
}

fn key(number: usize) -> [u8; 16] {
    let mut key = [7; 16];
    key[..8].copy_from_slice(&(number as u64).to_be_bytes());
    key
}

fn name(number: usize) -> String {
    format!("urn:dev:{number}")
}

/// A Client with a socket of its own.
struct Device {
    number: usize,
    socket: UdpSocket,
    transport: Transport,
    server: SocketAddr,
    cid: CidOffer,
    peer: Option<PeerId>,
    location: Vec<String>,
    answered: usize,
    refused: Vec<ResponseCode>,
    connected: usize,
    disconnected: usize,
    asked: usize,
}

impl Device {
    fn new(number: usize, server: SocketAddr, cid: CidOffer) -> Self {
        let side = Side::Client {
            root: String::new(),
        };
        let coap = dunlin_transport::coap::Config::default();
        let config = TransportConfig {
            side,
            coap,
            dtls: Some(Dtls::default()),
        };
        let mut seed = [1; 32];
        seed[..8].copy_from_slice(&(number as u64).to_be_bytes());
        Self {
            number,
            socket: socket(),
            transport: Transport::new(config, seed),
            server,
            cid,
            peer: None,
            location: Vec::new(),
            answered: 0,
            refused: Vec::new(),
            connected: 0,
            disconnected: 0,
            asked: 0,
        }
    }

    fn connect(&mut self) {
        let mut settings = ClientSettings::psk(name(self.number).as_bytes(), &key(self.number));
        settings.connection_id = self.cid;
        let to = Address::Udp(self.server);
        let connected = self
            .transport
            .connect(now(), Port::Coaps, &to, None, settings);
        let peer = connected.expect("nothing else is under way");
        self.transport.hold(peer);
        self.peer = Some(peer);
    }

    fn register(&mut self) {
        let register = Register {
            endpoint: EndpointName::new(&name(self.number)).unwrap(),
            lifetime_s: 86_400,
            version: LwM2mVersion::V1_0,
            binding: Binding::U,
            sms_number: None,
            links: ObjectLinks::parse(b"</1/0>,</3/0>").unwrap().links,
            parameters: Vec::new(),
            deviations: Deviations::default(),
        };
        let peer = self.peer.unwrap();
        self.transport
            .register(now(), peer, &register, Carriage::default())
            .unwrap();
    }

    fn update(&mut self) {
        let peer = self.peer.unwrap();
        let update = Update::default();
        let carriage = Carriage::default();
        self.transport
            .update(now(), peer, &self.location.clone(), &update, carriage)
            .unwrap();
    }

    /// What has come is taken in, and what is to be said is said.
    fn turn(&mut self) {
        let mut buffer = [0; 2_048];
        while let Ok((length, from)) = self.socket.recv_from(&mut buffer) {
            let from = Address::Udp(from);
            self.transport
                .handle_receive(now(), Port::Coaps, &from, None, &buffer[..length]);
            self.drain();
        }
        self.transport.handle_timeout(now());
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            match self.transport.poll_output() {
                Output::Transmit(transmit) => {
                    // Lost like any datagram if the kernel has no room.
                    let _ = self.socket.send_to(&transmit.bytes, self.server);
                }
                Output::Event(event) => self.hear(event),
                Output::Timeout(_) => return,
                Output::Need { .. } | Output::Reserve { .. } => {}
            }
        }
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Answered { answer, .. } => match answer.code.unwrap() {
                ResponseCode::Created => {
                    self.location = answer.location;
                    self.answered += 1;
                }
                ResponseCode::Changed => self.answered += 1,
                // The session is with another shard than the registration: it is made anew there.
                ResponseCode::NotFound => self.register(),
                code => self.refused.push(code),
            },
            Event::Downlink { exchange, .. } => {
                self.asked += 1;
                let content = Response::content(ContentFormat::TEXT, b"17".to_vec());
                let _ = self.transport.answer_downlink(now(), exchange, content, 0);
            }
            Event::Connected { .. } => self.connected += 1,
            Event::Disconnected { .. } => self.disconnected += 1,
            _ => {}
        }
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

fn until(devices: &mut [Device], what: &str, done: impl Fn(&Device) -> bool) {
    let begin = Instant::now();
    loop {
        devices.iter_mut().for_each(Device::turn);
        let left = devices.iter().filter(|device| !done(device)).count();
        if left == 0 {
            return;
        }
        assert!(begin.elapsed() < PATIENCE, "{what}: {left} are not there");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A node with two shards, whose data is in a folder.
struct World {
    folder: tempfile::TempDir,
    config: Config,
    node: Option<Node>,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let loopback: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let mut config = Config {
            data: folder.path().join("data"),
            shards: 2,
            ..Config::default()
        };
        config.server.close_doors();
        config.server.coaps = vec![loopback];
        config.http.bind = loopback;
        config.dtls.host_handshakes_per_second = 100_000;
        let mut world = Self {
            folder,
            config,
            node: None,
        };
        world.start();
        world.config.server.coaps = world.node().at(Port::Coaps);
        world.config.http.bind = world.node().http();
        world
    }

    fn node(&self) -> &Node {
        self.node.as_ref().expect("it runs")
    }

    fn start(&mut self) {
        self.node = Some(Node::start(&self.config, &Data::Folder).expect("the node starts"));
    }

    fn restart(&mut self) {
        self.node.take().expect("it runs").stop();
        self.start();
    }

    fn server(&self) -> SocketAddr {
        self.node().at(Port::Coaps)[0]
    }

    fn http(&self, method: &str, path: &str, kind: &str, body: &str) -> String {
        let at = self.node().http();
        let mut stream = TcpStream::connect(at).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 2"),
            "{method} {path}: {answer}"
        );
        answer
    }

    fn provision(&self, count: usize) {
        let mut table = "endpoint,mode,identity,key\n".to_owned();
        for number in 0..count {
            let digits = key(number).iter().fold(String::new(), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            });
            let name = name(number);
            let _ = writeln!(table, "{name},psk,{name},{digits}");
        }
        self.http("POST", "/api/v1/credentials/import", "text/csv", &table);
    }

    fn metric(&self, row: &str) -> u64 {
        let page = self.http("GET", "/metrics", "text/plain", "");
        let line = page.lines().find(|line| line.starts_with(row));
        let value = line.and_then(|line| line.rsplit_once(' '));
        value
            .unwrap_or_else(|| panic!("no {row}: {page}"))
            .1
            .parse()
            .unwrap()
    }

    fn handshakes(&self) -> u64 {
        self.metric("dunlin_dtls_handshakes_total{outcome=\"connected\"}")
    }
}

fn restart_under(count: usize) {
    let mut world = World::new();
    world.provision(count);
    let server = world.server();
    let mut devices: Vec<Device> = (0..count)
        .map(|number| {
            // One in four without a Connection ID.
            let cid = [CidOffer::SendOnly, CidOffer::Not][usize::from(number % 4 == 3)];
            Device::new(number, server, cid)
        })
        .collect();
    for group in devices.chunks_mut(250) {
        for device in group.iter_mut() {
            device.connect();
            device.register();
        }
        until(group, "registered", |device| device.answered == 1);
    }
    assert_eq!(world.handshakes(), count as u64);
    assert_eq!(
        world.metric("dunlin_clients{state=\"registered\"}"),
        count as u64
    );

    world.restart();
    assert_eq!(world.node().restored(), count);
    assert_eq!(world.metric("dunlin_dtls_sessions"), count as u64);
    for group in devices.chunks_mut(250) {
        group.iter_mut().for_each(Device::update);
        until(group, "updated after the restart", |device| {
            device.answered == 2
        });
    }
    for number in [0, 1, 2, 3] {
        // The REST call waits for the answer of the Client.
        let path = format!("/api/v1/clients/{}/3/0/9", name(number));
        let world = &world;
        let device = &mut devices[number];
        std::thread::scope(|scope| {
            let read = scope.spawn(move || world.http("GET", &path, "application/json", ""));
            while !read.is_finished() {
                device.turn();
                std::thread::sleep(Duration::from_millis(1));
            }
            assert!(read.join().unwrap().contains("17"));
        });
    }
    assert_eq!(world.handshakes(), 0, "nobody made a handshake");
    assert!(devices.iter().all(|device| device.connected == 1));
    drop(world.folder);
}

#[test]
fn a_restart_costs_no_client_a_handshake() {
    restart_under(40);
}

/// `cargo test -p dunlin-node --release --test security -- --ignored`: needs 10 000 files.
#[test]
#[ignore = "a minute, and ten thousand sockets"]
fn a_restart_costs_ten_thousand_clients_no_handshake() {
    restart_under(10_000);
}

#[test]
fn a_client_whose_address_changes_is_followed_by_its_connection_id() {
    let world = World::new();
    world.provision(2);
    let server = world.server();
    let mut devices = vec![
        Device::new(0, server, CidOffer::SendOnly),
        Device::new(1, server, CidOffer::Not),
    ];
    for device in &mut devices {
        device.connect();
        device.register();
    }
    until(&mut devices, "registered", |device| device.answered == 1);
    // Several times, so that it comes in at the socket of the other shard, too.
    for turn in 2..8 {
        devices[0].socket = socket();
        devices[0].update();
        until(&mut devices[..1], "heard from elsewhere", |device| {
            device.answered == turn
        });
    }
    assert_eq!(world.handshakes(), 2);
    assert_eq!(world.metric("dunlin_dtls_moves_total"), 6);

    // Without a Connection ID nothing tells whose the records are: a handshake helps.
    devices[1].socket = socket();
    devices[1].connect();
    devices[1].update();
    until(&mut devices[1..], "on a new session", |device| {
        device.answered == 2
    });
    assert_eq!(world.handshakes(), 3);
    assert!(devices[1].refused.is_empty());
}

#[test]
fn a_revoked_credential_ends_the_session_and_stays_revoked() {
    let mut world = World::new();
    world.provision(2);
    let server = world.server();
    let mut devices: Vec<Device> = (0..2)
        .map(|number| Device::new(number, server, CidOffer::SendOnly))
        .collect();
    for device in &mut devices {
        device.connect();
        device.register();
    }
    until(&mut devices, "registered", |device| device.answered == 1);
    let path = format!("/api/v1/credentials/{}", name(0));
    world.http("DELETE", &path, "application/json", "");
    until(&mut devices[..1], "told so", |device| {
        device.disconnected == 1
    });
    world.restart();
    assert_eq!(world.metric("dunlin_dtls_sessions"), 1);
    devices[1].update();
    until(&mut devices[1..], "the other one goes on", |device| {
        device.answered == 2
    });

    devices[0].connect();
    let begin = Instant::now();
    loop {
        devices[0].turn();
        let knocks = world.http("GET", "/api/v1/knocks", "application/json", "");
        if knocks.contains("unknown PSK identity") && knocks.contains(&name(0)) {
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "{knocks}");
    }
    assert_eq!(world.handshakes(), 0);
}

/// ClientHellos from so many addresses, each with a socket of its own, while a Client goes on.
fn flood(addresses: u32) {
    let world = World::new();
    world.provision(1);
    let mut devices = vec![Device::new(0, world.server(), CidOffer::SendOnly)];
    devices[0].connect();
    devices[0].register();
    until(&mut devices, "registered", |device| device.answered == 1);
    let mut stranger = Device::new(1, world.server(), CidOffer::SendOnly);
    stranger.connect();
    let hello = match stranger.transport.poll_output() {
        Output::Transmit(transmit) => transmit.bytes,
        other => panic!("{other:?}"),
    };
    let mut updates = 1;
    let memory = world.metric("process_resident_memory_bytes");
    for number in 0..addresses {
        let from = std::net::Ipv4Addr::from(0x7f10_0000 + number);
        let socket = UdpSocket::bind((from, 0)).unwrap();
        socket.send_to(&hello, world.server()).unwrap();
        if number % 500 == 499 {
            updates += 1;
            devices[0].update();
            until(&mut devices, "served in the flood", |device| {
                device.answered == updates
            });
        }
    }
    let row = "dunlin_dtls_dropped_total{cause=\"cookie_sent\"}";
    // What the kernel had no room for is lost.
    assert!(world.metric(row) > u64::from(addresses) / 2);
    let grown = world
        .metric("process_resident_memory_bytes")
        .saturating_sub(memory);
    assert!(grown < 16 << 20, "{grown} bytes more");
    assert_eq!(world.handshakes(), 1);
    assert_eq!(devices[0].disconnected, 0);
}

#[test]
fn client_hellos_from_everywhere_leave_nothing_behind() {
    flood(2_000);
}

/// `cargo test -p dunlin-node --release --test security -- --ignored`.
#[test]
#[ignore = "half a minute"]
fn client_hellos_from_a_hundred_thousand_addresses_leave_nothing_behind() {
    flood(100_000);
}
