//! Many sessions, many lives (gate 7 of the trust gates): clients shake hands once and then talk for a day of
//! the machine's time, while the server is killed every hour and comes back with what was stored, be it old.
//! Nobody shakes hands again, no number is used twice under a key, half-open handshakes stay within their
//! bound, and memory stays where it was.
//!
//! ```text
//! DUNLIN_SOAK_SESSIONS=1000000 DUNLIN_SOAK_HOURS=24 cargo test --release -p dunlin-dtls --test soak -- --nocapture
//! ```

#![allow(clippy::disallowed_methods)] // How long it took is told.
#![allow(unsafe_code)] // An allocator that counts has to be one.

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};
use std::time::Duration;

use dunlin_dtls::*;

const HOUR: Duration = Duration::from_secs(3600);
const SERVER: u32 = u32::MAX;
const KEY: &[u8] = b"0123456789abcdef";
/// How many never finish what they began.
const HALF_OPEN: u32 = 600;
/// The bound of the server under test.
const HANDSHAKES_MAX: usize = 400;

/// The system's allocator, and how many bytes are in use that were asked for inside the server.
struct Counting;

static INSIDE: AtomicBool = AtomicBool::new(false);
static HELD: AtomicIsize = AtomicIsize::new(0);

fn count(bytes: isize) {
    if INSIDE.load(Ordering::Relaxed) {
        HELD.fetch_add(bytes, Ordering::Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What is asked for here is the server's.
fn inside<T>(run: impl FnOnce() -> T) -> T {
    INSIDE.store(true, Ordering::Relaxed);
    let made = run();
    INSIDE.store(false, Ordering::Relaxed);
    made
}

fn setting(name: &str, otherwise: u32) -> u32 {
    let text = std::env::var(name).unwrap_or_default();
    text.parse().unwrap_or(otherwise)
}

/// Where a device is: its number, and a port that changes when a NAT forgets it.
fn address(number: u32, port: u16) -> Address {
    Address::from(SocketAddr::from((Ipv4Addr::from(number), port)))
}

fn number_of(address: Address) -> usize {
    match address.to_socket_addr() {
        Some(SocketAddr::V4(there)) => u32::from(*there.ip()) as usize,
        other => panic!("nobody is at {other:?}"),
    }
}

/// What the server knows of a device, and what its store does.
struct Row {
    session: SessionId,
    stored: Vec<u8>,
    reserved: u64,
    /// Epoch and number of the last record that left for it.
    last: u64,
    port: u16,
}

struct Soak {
    now: Duration,
    server: Dtls,
    /// All devices in one machine: each has its own path to the server, by the address of it.
    devices: Dtls,
    device_sessions: Vec<SessionId>,
    rows: Vec<Row>,
    lives: u8,
    handshakes: u32,
    fresh: u32,
    heard: u32,
    moved: u32,
}

fn server(life: u8) -> Dtls {
    let settings = Settings {
        suites: vec![CipherSuite::PskAes128Ccm8],
        server: Some(ServerSettings::default()),
        cid_prefix: vec![1, 2, 3],
        handshake_burst: u32::MAX,
        handshakes_max: HANDSHAKES_MAX,
        // So small that every few words go through the store.
        reserve_window: 4,
        ..Settings::default()
    };
    Dtls::new(settings, [life; 32])
}

impl Soak {
    fn new() -> Soak {
        let settings = Settings {
            suites: vec![CipherSuite::PskAes128Ccm8],
            ..Settings::default()
        };
        Soak {
            now: Duration::from_secs(1),
            server: server(1),
            devices: Dtls::new(settings, [200; 32]),
            device_sessions: Vec::new(),
            rows: Vec::new(),
            lives: 1,
            handshakes: 0,
            fresh: 0,
            heard: 0,
            moved: 0,
        }
    }

    /// A device and the server speak until both are silent.
    fn run(&mut self) {
        while self.drain_devices() | self.drain_server() {}
    }

    fn drain_devices(&mut self) -> bool {
        let mut any = false;
        loop {
            match self.devices.poll_output() {
                Output::Transmit(transmit) => {
                    let number = number_of(transmit.to);
                    let port = self.rows.get(number).map_or(1, |row| row.port);
                    let (server, now) = (&mut self.server, self.now);
                    inside(|| {
                        server.handle_receive(now, address(number as u32, port), &transmit.bytes)
                    });
                }
                Output::Event(Event::Connected(connected)) => {
                    self.device_sessions.push(connected.session)
                }
                Output::Event(Event::Data { session, .. }) => {
                    self.heard += 1;
                    self.devices.send(self.now, session, b"pong", 0).unwrap();
                }
                Output::Event(Event::Failed { .. } | Event::Closed { .. }) => {
                    panic!("a device lost its session")
                }
                Output::Timeout(_) => return any,
                _ => {}
            }
            any = true;
        }
    }

    fn drain_server(&mut self) -> bool {
        let mut any = false;
        loop {
            let output = inside(|| self.server.poll_output());
            match &output {
                Output::Transmit(transmit) => {
                    self.check_numbers(transmit);
                    let from = address(number_of(transmit.to) as u32, 5684);
                    self.devices.handle_receive(self.now, from, &transmit.bytes);
                }
                Output::Need(need) => {
                    let (server, now) = (&mut self.server, self.now);
                    inside(|| {
                        server.handle_answer(now, need.id, Answer::Psk(Some(Secret::from(KEY))))
                    });
                }
                Output::Reserve { session, up_to } => {
                    let at = self.server.address(*session).map(number_of).unwrap();
                    self.rows[at].reserved = self.rows[at].reserved.max(*up_to);
                }
                Output::Event(Event::Connected(connected)) => {
                    self.handshakes += 1;
                    assert_eq!(number_of(connected.address), self.rows.len());
                    self.rows.push(Row {
                        session: connected.session,
                        stored: Vec::new(),
                        reserved: 0,
                        last: 0,
                        port: 1,
                    });
                }
                Output::Event(Event::Data {
                    session,
                    from,
                    fresh,
                    ..
                }) => {
                    self.fresh += u32::from(*fresh);
                    let confirmed = self.server.confirm_round_trip(self.now, *session, *from);
                    confirmed.expect("a live session");
                }
                Output::Event(Event::Moved { .. }) => self.moved += 1,
                Output::Event(Event::Closed { .. }) => panic!("the server lost a session"),
                Output::Timeout(_) => return any,
                _ => {}
            }
            inside(|| drop(output));
            any = true;
        }
    }

    /// No record bears a number that the one before it for the same device has reached.
    fn check_numbers(&mut self, transmit: &Transmit) {
        let Some(row) = self.rows.get_mut(number_of(transmit.to)) else {
            return; // Its handshake, which has keys of its own only at its end.
        };
        let mut rest = &transmit.bytes[..];
        while rest.len() >= 13 {
            let number = u64::from_be_bytes(rest[3..11].try_into().unwrap());
            assert!(
                number > row.last || row.last == 0,
                "a number was used twice"
            );
            row.last = number;
            rest = &rest[13 + usize::from(u16::from_be_bytes([rest[11], rest[12]]))..];
        }
    }

    fn connect(&mut self, number: u32) {
        let identity = format!("urn:imei:{number:015}");
        let asked = ClientSettings::psk(identity.as_bytes(), KEY);
        let to = address(number, 5684);
        self.devices
            .connect(self.now, to, asked)
            .expect("a free path");
        self.run();
    }

    fn store(&mut self, at: usize) {
        let exported = self
            .server
            .export(self.rows[at].session)
            .expect("a live session");
        self.rows[at].stored = exported.expose().to_vec();
    }

    /// Killed, and started with what the store has.
    fn restart(&mut self) {
        self.lives += 1;
        let (life, now) = (self.lives, self.now);
        let machine = &mut self.server;
        inside(|| *machine = server(life));
        for at in 0..self.rows.len() {
            let (machine, row) = (&mut self.server, &mut self.rows[at]);
            let imported = inside(|| machine.import(now, &row.stored, row.reserved));
            row.session = imported.expect("what was exported");
            self.drain_server();
        }
    }

    /// The server asks each device, and each answers; then each says a word of its own.
    fn talk(&mut self) {
        for at in 0..self.rows.len() {
            let (server, session, now) = (&mut self.server, self.rows[at].session, self.now);
            inside(|| server.send(now, session, b"ping", 0)).expect("a live session");
            self.run();
            let word = self.devices.send(now, self.device_sessions[at], b"word", 0);
            word.expect("a live session");
            self.run();
        }
    }

    /// Devices that answer the cookie and are never heard of again.
    fn abandon(&mut self) -> usize {
        let mut most = 0;
        for number in 0..HALF_OPEN {
            let mut device = Dtls::new(Settings::default(), [(number % 251) as u8; 32]);
            let to = address(SERVER, 5684);
            device
                .connect(self.now, to, ClientSettings::psk(b"nobody", KEY))
                .unwrap();
            let from = Address::from(SocketAddr::from((Ipv4Addr::from(0xc000_0000 + number), 1)));
            for _ in 0..2 {
                while let Output::Transmit(transmit) = device.poll_output() {
                    inside(|| self.server.handle_receive(self.now, from, &transmit.bytes));
                }
                loop {
                    let output = inside(|| self.server.poll_output());
                    let Output::Transmit(transmit) = &output else {
                        break;
                    };
                    device.handle_receive(self.now, to, &transmit.bytes);
                    inside(|| drop(output));
                }
            }
            most = most.max(self.server.handshake_count());
        }
        most
    }

    /// The timers of an hour, so that what was abandoned is given up.
    fn hour(&mut self) {
        for _ in 0..12 {
            self.now += HOUR / 12;
            inside(|| self.server.handle_timeout(self.now));
            while !matches!(inside(|| self.server.poll_output()), Output::Timeout(_)) {}
        }
    }
}

fn held_per(sessions: u32) -> isize {
    HELD.load(Ordering::Relaxed) / sessions as isize
}

#[test]
fn gate_7_sessions_outlive_restarts_and_no_number_is_used_twice() {
    let (sessions, hours) = (
        setting("DUNLIN_SOAK_SESSIONS", 100),
        setting("DUNLIN_SOAK_HOURS", 3),
    );
    let mut soak = Soak::new();
    let begun = std::time::Instant::now();
    for number in 0..sessions {
        soak.connect(number);
        soak.store(number as usize);
    }
    soak.talk();
    println!(
        "{sessions} handshakes, both sides, and a first word: {:.1?}; {} bytes of the server's for each",
        begun.elapsed(),
        held_per(sessions)
    );
    let first = held_per(sessions);
    for hour in 1..=hours {
        let begun = std::time::Instant::now();
        // A tenth is stored anew; the others come back from whatever was stored last, hours ago.
        for at in (hour as usize % 10..soak.rows.len()).step_by(10) {
            soak.store(at);
        }
        let exported = begun.elapsed();
        soak.hour();
        let begun = std::time::Instant::now();
        soak.restart();
        let imported = begun.elapsed();
        if hour % 3 == 0 {
            soak.rows.iter_mut().for_each(|row| row.port += 1);
        }
        (soak.fresh, soak.heard) = (0, 0);
        let begun = std::time::Instant::now();
        soak.talk();
        assert_eq!(soak.heard, sessions, "not every device was reached");
        assert!(
            soak.fresh >= sessions,
            "not every device was heard as fresh"
        );
        println!(
            "hour {hour}: a tenth exported {exported:.1?}, all imported {imported:.1?}, all talked {:.1?}, {} bytes for each",
            begun.elapsed(),
            held_per(sessions)
        );
    }
    assert_eq!(soak.handshakes, sessions, "somebody shook hands again");
    assert!(soak.moved >= hours / 3 * sessions, "somebody did not move");
    let grown = held_per(sessions) - first;
    assert!(grown <= first / 10, "memory grew by {grown} bytes for each");

    let most = soak.abandon();
    assert!(
        most <= Settings::default().handshakes_max,
        "{most} half-open"
    );
    assert!(most > 0);
    soak.hour();
    assert_eq!(soak.server.handshake_count(), 0);
    soak.talk();
    println!(
        "no handshake after the first {sessions}, {} moves, {} lives, {most} of {HALF_OPEN} abandoned handshakes open at once",
        soak.moved, soak.lives
    );
}
