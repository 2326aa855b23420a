//! What a message costs: the codec, and the refreshing Update through an endpoint with 100 000 peers.
//! Before the timings it prints allocations per exchange and bytes per remembered peer.
#![allow(unsafe_code)] // A counting allocator is the only way to count what is allocated.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dunlin_coap::wire::datagram;
use dunlin_coap::{
    Code, Config, Endpoint, Event, Message, MessageId, MessageType, OptionList, OptionNumber,
    Output, PeerId, Request, Response, Token,
};

/// The time this thread has had the processor, so that neighbours do not count.
struct ThreadTime;

fn thread_time() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

impl Measurement for ThreadTime {
    type Intermediate = u64;
    type Value = u64;

    fn start(&self) -> u64 {
        thread_time()
    }

    fn end(&self, start: u64) -> u64 {
        thread_time() - start
    }

    fn add(&self, one: &u64, other: &u64) -> u64 {
        one + other
    }

    fn zero(&self) -> u64 {
        0
    }

    fn to_f64(&self, value: &u64) -> f64 {
        *value as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        &Nanoseconds
    }
}

struct Nanoseconds;

impl ValueFormatter for Nanoseconds {
    fn scale_values(&self, _: f64, _: &mut [f64]) -> &'static str {
        "ns"
    }

    fn scale_throughputs(&self, _: f64, _: &Throughput, _: &mut [f64]) -> &'static str {
        "ns"
    }

    fn scale_for_machines(&self, _: &mut [f64]) -> &'static str {
        "ns"
    }
}

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(layout.size() as u64, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size() as u64, Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn encoded(request: &Request, message_id: u16) -> Vec<u8> {
    let mut bytes = vec![];
    datagram::encode(
        &Message {
            message_type: MessageType::Confirmable,
            code: request.code,
            message_id: MessageId(message_id),
            token: Token::new(&[1, 2, 3, 4, 5, 6, 7, 8]).unwrap(),
            options: request.options.view(),
            payload: &request.payload,
        },
        &mut bytes,
    );
    bytes
}

fn update() -> Vec<u8> {
    encoded(
        &Request::new(Code::POST).with_path("rd/0002JG00000000000000000000"),
        1,
    )
}

fn register() -> Vec<u8> {
    let links = b"</>;rt=\"oma.lwm2m\";ct=11543,</1/0>,</3/0>,</4/0>,</5/0>,</6/0>,</3303/0>";
    let mut request = Request::new(Code::POST).with_path("rd").with_payload(links);
    request.options.push_uint(OptionNumber::CONTENT_FORMAT, 40);
    for query in [
        "ep=urn:imei:490154203237518",
        "lt=86400",
        "lwm2m=1.0",
        "b=U",
    ] {
        request
            .options
            .push(OptionNumber::URI_QUERY, query.as_bytes());
    }
    encoded(&request, 1)
}

/// One refreshing Update: in, told, answered 2.04, out.
fn exchange(endpoint: &mut Endpoint, now: Duration, peer: PeerId, bytes: &[u8]) {
    endpoint.handle_receive(now, peer, bytes);
    loop {
        match endpoint.poll_output() {
            Output::Event(Event::Request {
                exchange, request, ..
            }) => {
                black_box(&request);
                endpoint
                    .respond(now, exchange, Response::new(Code::CHANGED), 7)
                    .unwrap();
            }
            Output::Transmit(transmit) => {
                black_box(&transmit.bytes);
                endpoint.recycle(transmit.bytes);
            }
            Output::Event(other) => panic!("{other:?}"),
            Output::Timeout(when) => {
                black_box(when);
                return;
            }
        }
    }
}

/// Endpoints with peers that each did so many exchanges.
fn populated(peers: u32, exchanges: u16) -> (Endpoint, Duration) {
    let mut endpoint = Endpoint::new(Config::default(), [1; 32]);
    let mut bytes = update();
    let mut now = Duration::from_secs(1);
    for turn in 0..exchanges {
        for peer in 0..peers {
            bytes[2..4].copy_from_slice(&(turn + 1).to_be_bytes());
            exchange(&mut endpoint, now, PeerId(peer), &bytes);
            now += Duration::from_micros(10);
        }
    }
    (endpoint, now)
}

fn report() {
    for exchanges in [1, 2, 4] {
        let before = BYTES.load(Ordering::Relaxed);
        let (endpoint, _) = populated(1 << 20, exchanges);
        let held = BYTES.load(Ordering::Relaxed) - before;
        let peers = endpoint.peers() as u64;
        println!(
            "memory: {exchanges} exchanges each, {} bytes per peer",
            held / peers
        );
    }
    let (mut endpoint, now) = populated(1000, 3);
    let mut bytes = update();
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for peer in 0..1000 {
        bytes[2..4].copy_from_slice(&100u16.to_be_bytes());
        exchange(&mut endpoint, now, PeerId(peer), &bytes);
    }
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
    println!(
        "allocations: {} per Update exchange",
        allocations as f64 / 1000.0
    );
}

fn codec(criterion: &mut Criterion<ThreadTime>) {
    report();
    let mut group = criterion.benchmark_group("codec");
    for (name, bytes) in [("update", update()), ("register", register())] {
        group.bench_function(format!("decode {name}"), |bencher| {
            bencher.iter(|| black_box(datagram::decode(black_box(&bytes)).unwrap()));
        });
    }
    let mut options = OptionList::new();
    options
        .push(OptionNumber::LOCATION_PATH, b"rd")
        .push(OptionNumber::LOCATION_PATH, b"0002JG00000000000000000000");
    let mut out = Vec::with_capacity(256);
    group.bench_function("encode 2.01 with a location", |bencher| {
        bencher.iter(|| {
            out.clear();
            let message = Message {
                message_type: MessageType::Acknowledgement,
                code: Code::CREATED,
                message_id: black_box(MessageId(7)),
                token: Token::new(&[1, 2, 3, 4]).unwrap(),
                options: options.view(),
                payload: &[],
            };
            datagram::encode(&message, &mut out);
            black_box(&out);
        });
    });
    group.finish();
}

fn endpoint(criterion: &mut Criterion<ThreadTime>) {
    let mut group = criterion.benchmark_group("endpoint");
    for peers in [1_000u32, 100_000, 1_000_000] {
        let (mut endpoint, mut now) = populated(peers, 1);
        let mut bytes = update();
        let (mut turn, mut step) = (0u32, 0u16);
        // Every peer once a minute, and the clock looked at once in a batch, as a driver does.
        let pace = Duration::from_secs(60) / peers;
        group.bench_function(format!("refreshing Update, {peers} peers"), |bencher| {
            bencher.iter(|| {
                // A stride, so that neighbours in memory do not follow each other.
                turn = (turn + 61_927) % peers;
                step = step.wrapping_add(1);
                now += pace;
                if step.is_multiple_of(64) {
                    endpoint.handle_timeout(now);
                }
                bytes[2..4].copy_from_slice(&step.to_be_bytes());
                exchange(&mut endpoint, now, PeerId(turn), &bytes);
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .with_measurement(ThreadTime)
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = codec, endpoint
}
criterion_main!(benches);
