//! What the machines cost without sockets, beside the yardstick of the same run.
//!
//! `cargo run --release -p dunlin-sim --example machines [-- CLIENTS] [in-order] [bare]`.
//! CLIENTS (100 000) register at one `dunlin-server` on its `dunlin-transport`; then each sends
//! Updates that refresh, round after round, in an order that no cache foresees, or with
//! `in-order` as they registered. Rounds of the machines and runs of the yardstick take turns, so
//! that whatever else the machine does meets both; the best of each counts. With `bare` the
//! yardstick is left out, as under an instruction counter. The program fails when the machines
//! take less than four times what the yardstick answers.
#![allow(unsafe_code)] // An allocator that counts has to be one.

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dunlin_coap::wire::datagram;
use dunlin_coap::{Code, Message, MessageId, MessageType, OptionList, OptionNumber, Token};
use dunlin_lwm2m::Registry;
use dunlin_net::{clock, yardstick};
use dunlin_server::{Output, Server, ServerConfig};
use dunlin_transport::{Address, Now, Port, WallTime};

/// The system's allocator, and how often it was asked.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const LINKS: &[u8] = b"</>;rt=\"oma.lwm2m\",</1/0>,</2/0>,</3/0>,</4/0>,</5/0>,</6/0>,</7/0>,\
                       </3303/0>,</3303/1>,</3304/0>";

/// What issue and product ask for: refreshes in the time of one pair of the yardstick.
const RATIO: f64 = 4.0;

/// Datagrams that a driver takes in with one call of the system.
const BATCH: usize = dunlin_net::bearer::batch::BATCH_MAX;

const ROUNDS: usize = 6;

struct Client {
    address: Address,
    /// Its Update; the Message ID in it is all that changes.
    update: Box<[u8]>,
}

fn main() -> ExitCode {
    let given = |word: &str| std::env::args().any(|argument| argument == word);
    let count = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(100_000usize);
    let (mut bench, mut clients) = (Bench::new(), Vec::with_capacity(count));
    for index in 0..count {
        clients.push(bench.register(index));
    }
    if !given("in-order") {
        shuffle(&mut clients);
    }
    let (mut machines, mut raw) = (Duration::MAX, 0.0f64);
    for round in 0..ROUNDS {
        let asked = ALLOCATIONS.load(Ordering::Relaxed);
        let spent = bench.refresh_all(&mut clients, round as u16 + 2);
        let asked = ALLOCATIONS.load(Ordering::Relaxed) - asked;
        machines = machines.min(spent);
        let each = spent.as_nanos() as f64 / count as f64;
        let allocations = asked as f64 / count as f64;
        print!("refresh {each:>7.0} ns, {allocations:.2} allocations");
        if !given("bare") {
            let yardstick = yardstick::run(Duration::from_secs(1)).expect("loopback");
            raw = raw.max(yardstick.pairs_per_cpu_s);
            print!("; yardstick {:>7.0} ns", 1e9 / yardstick.pairs_per_cpu_s);
        }
        println!();
    }
    let rate = count as f64 / machines.as_secs_f64();
    println!("{count} Clients: {rate:.0} refreshes per CPU-second");
    if given("bare") {
        return ExitCode::SUCCESS;
    }
    let ratio = rate / raw;
    println!("yardstick: {raw:.0} pairs per CPU-second; ratio {ratio:.2}, asked for {RATIO}");
    if ratio < RATIO {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

struct Bench {
    server: Server,
    now: Now,
}

impl Bench {
    fn new() -> Self {
        Self {
            server: Server::new(
                ServerConfig::default(),
                Arc::new(Registry::bundled()),
                [7; 32],
            ),
            now: Now {
                instant: Duration::from_secs(10),
                wall: WallTime(1_767_225_600_000),
            },
        }
    }

    /// Hands in one datagram. The answer goes to `answered`, and its buffer back, as a driver does.
    fn feed(&mut self, from: &Address, bytes: &[u8], mut answered: impl FnMut(&[u8])) {
        self.now = self.now.plus(Duration::from_micros(10));
        self.server
            .handle_receive(self.now, Port::Coap, from, None, bytes);
        loop {
            match self.server.poll_output() {
                Output::Transmit(transmit) => {
                    answered(&transmit.bytes);
                    self.server.recycle(transmit.bytes);
                }
                Output::Timeout(_) => return,
                _ => {}
            }
        }
    }

    fn register(&mut self, index: usize) -> Client {
        let [_, a, b, c] = (index as u32).to_be_bytes();
        let address: Address = SocketAddr::from(([127, a, b, c], 5683)).into();
        let mut options = OptionList::new();
        options.push(OptionNumber::URI_PATH, b"rd");
        options.push_uint(OptionNumber::CONTENT_FORMAT, 40);
        let ep = format!("ep=urn:imei:{index:015}");
        for query in [ep.as_str(), "lt=86400", "lwm2m=1.0", "b=U"] {
            options.push(OptionNumber::URI_QUERY, query.as_bytes());
        }
        let mut at = OptionList::new();
        self.feed(&address, &post(1, &options, LINKS), |answer| {
            let answer = datagram::decode(answer).expect("it is ours");
            assert_eq!(answer.code, Code::CREATED);
            for segment in answer.options.location_path() {
                at.push(OptionNumber::URI_PATH, segment);
            }
        });
        Client {
            address,
            update: post(2, &at, &[]).into(),
        }
    }

    /// One refresh of every Client; the CPU time of this thread.
    fn refresh_all(&mut self, clients: &mut [Client], message_id: u16) -> Duration {
        // A minute passes: what is answered again and again would not be a refresh of the field.
        self.now = self.now.plus(Duration::from_secs(60));
        self.server.handle_timeout(self.now);
        while !matches!(self.server.poll_output(), Output::Timeout(_)) {}
        // As a driver has them: one behind the other in one buffer.
        let length = clients[0].update.len();
        let mut datagrams = Vec::with_capacity(clients.len() * length);
        for client in clients.iter_mut() {
            client.update[2..4].copy_from_slice(&message_id.to_be_bytes());
            datagrams.extend_from_slice(&client.update);
        }
        let (began, mut changed) = (clock::thread_cpu(), 0);
        for (clients, datagrams) in clients.chunks(BATCH).zip(datagrams.chunks(BATCH * length)) {
            self.server
                .look_ahead(Port::Coap, clients.iter().map(|client| &client.address));
            for (client, datagram) in clients.iter().zip(datagrams.chunks_exact(length)) {
                self.feed(&client.address, datagram, |answer| {
                    changed += usize::from(answer[1] == Code::CHANGED.0);
                });
            }
        }
        let spent = clock::thread_cpu() - began;
        assert_eq!(changed, clients.len(), "every Client has its 2.04");
        spent
    }
}

fn post(message_id: u16, options: &OptionList, payload: &[u8]) -> Vec<u8> {
    let message = Message {
        message_type: MessageType::Confirmable,
        code: Code::POST,
        message_id: MessageId(message_id),
        token: Token::new(&[1, 2, 3, 4]).expect("four bytes"),
        options: options.view(),
        payload,
    };
    let mut bytes = Vec::new();
    datagram::encode(&message, &mut bytes);
    bytes
}

/// Fisher and Yates, with the simplest generator there is: the order must be mixed, not secret.
fn shuffle<T>(all: &mut [T]) {
    let mut state = 88_172_645_463_325_252u64;
    for at in (1..all.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        all.swap(at, (state % (at as u64 + 1)) as usize);
    }
}
