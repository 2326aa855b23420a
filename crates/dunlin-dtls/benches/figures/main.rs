//! Figures on one core, without sockets: handshakes per second of the server's side alone, records
//! sealed and opened, bytes per session; handshakes and bytes beside OpenSSL's, in turns in the same run,
//! where `cc` and its headers (Debian's libssl-dev) are there.
//!
//! ```text
//! cargo bench -p dunlin-dtls
//! ```
//!
//! Both sides run in this process and only the time inside the server is counted, the cookie round
//! included, scaled by the share of a core that the process got meanwhile (so a busy machine does
//! not spoil the figures much); `openssl.c` does it the same way. Bytes per session are what the server holds
//! by its allocator while its clients are gone, and the growth of the resident set.

#![allow(clippy::disallowed_methods)] // A bench reads the clock.
#![allow(unsafe_code)] // An allocator that counts has to be one.

mod beside;

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::time::{Duration, Instant};

use dunlin_dtls::{
    Address, Answer, CertificateType, CidOffer, CipherSuite, ClientCredentials, ClientSettings,
    Credential, Dtls, Event, Output, Question, Secret, ServerSettings, SessionId, Settings, Shown,
    Verdict, identity,
};

const KEY: &[u8] = b"0123456789abcdef";
const RECORD: [u8; 64] = [7; 64];
const SESSIONS: u32 = 100_000;
/// It holds sixty times as much.
const OPENSSL_SESSIONS: u32 = 5_000;

/// The system's allocator, and how many bytes of it are in use.
struct Counting;

static LIVE: AtomicIsize = AtomicIsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as isize, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.fetch_add(size as isize - layout.size() as isize, Ordering::Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What is compared: its name, our suite, OpenSSL's word for it, what is presented, how many handshakes.
type Case = (
    &'static str,
    CipherSuite,
    &'static str,
    &'static [CertificateType],
    u32,
);

const X509: &[CertificateType] = &[CertificateType::X509];
const CASES: [Case; 6] = [
    (
        "PSK CCM_8",
        CipherSuite::PskAes128Ccm8,
        "PSK-AES128-CCM8",
        &[],
        20_000,
    ),
    (
        "PSK GCM",
        CipherSuite::PskAes128Gcm,
        "PSK-AES128-GCM-SHA256",
        &[],
        20_000,
    ),
    (
        "ECDHE X.509 CCM_8",
        CipherSuite::EcdheEcdsaAes128Ccm8,
        "ECDHE-ECDSA-AES128-CCM8",
        X509,
        2_000,
    ),
    (
        "ECDHE X.509 GCM",
        CipherSuite::EcdheEcdsaAes128Gcm,
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        X509,
        2_000,
    ),
    // OpenSSL 3.0 has no raw public keys.
    (
        "ECDHE RPK CCM_8",
        CipherSuite::EcdheEcdsaAes128Ccm8,
        "",
        &[CertificateType::RawPublicKey],
        2_000,
    ),
    (
        "ECDHE RPK GCM",
        CipherSuite::EcdheEcdsaAes128Gcm,
        "",
        &[CertificateType::RawPublicKey],
        2_000,
    ),
];

fn main() {
    let files = beside::Files::new();
    let openssl = beside::OpenSsl::build(files.folder());
    // First, while nothing that was freed could be used again.
    memory(&CASES[0], openssl.as_ref(), files.folder());
    memory(&CASES[2], openssl.as_ref(), files.folder());
    match &openssl {
        Some(openssl) => println!("handshakes, server side, beside {}", openssl.version()),
        None => println!(
            "handshakes, server side; nothing to compare with: cc or libssl-dev is missing"
        ),
    }
    for case in &CASES {
        compared(case, openssl.as_ref(), files.folder());
    }
    println!("records of 64 bytes");
    for suite in [
        CipherSuite::PskAes128Ccm8,
        CipherSuite::PskAes128Ccm,
        CipherSuite::PskAes128Gcm,
        CipherSuite::PskAes128Cbc,
    ] {
        records(suite, 300_000);
    }
}

/// Ours and theirs in turns, three times: the machine is not the same from one minute to the next.
fn compared(case: &Case, openssl: Option<&beside::OpenSsl>, folder: &Path) {
    let (name, suite, word, types, count) = *case;
    for turn in 1..=3 {
        let ours = handshakes(suite, types, count, folder);
        let theirs = openssl
            .filter(|_| !word.is_empty())
            .map(|openssl| openssl.handshake(word, count, (!types.is_empty()).then_some(folder)));
        let per_second = |each: Duration| 1.0 / each.as_secs_f64();
        print!(
            "  {name:<18} turn {turn}: {:>7.0}/s {ours:>8.1?} each",
            per_second(ours)
        );
        if let Some(theirs) = theirs {
            let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
            print!(
                "; OpenSSL {:>7.0}/s {theirs:>8.1?} each; {ratio:.2} times as many",
                per_second(theirs)
            );
        }
        println!();
    }
}

/// A server and one client, whose time is not counted.
struct Bench {
    server: Dtls,
    suite: CipherSuite,
    types: Vec<CertificateType>,
    client_credential: Option<Credential>,
    anchor: Vec<u8>,
    inside: Duration,
    seed: u32,
}

impl Bench {
    fn new(suite: CipherSuite, types: &[CertificateType], folder: &Path) -> Bench {
        let signed = !types.is_empty();
        let server = ServerSettings {
            credential: signed.then(|| beside::credential(folder, "server")),
            ..ServerSettings::default()
        };
        let settings = Settings {
            suites: vec![suite],
            server: Some(server),
            cid_prefix: vec![1, 2, 3],
            handshake_burst: u32::MAX,
            ..Settings::default()
        };
        Bench {
            server: Dtls::new(settings, [1; 32]),
            suite,
            types: types.to_vec(),
            client_credential: signed.then(|| beside::credential(folder, "client")),
            anchor: beside::anchor(folder),
            inside: Duration::ZERO,
            seed: 0,
        }
    }

    fn server_hears(&mut self, number: u32, bytes: &[u8]) -> (Vec<Vec<u8>>, Option<SessionId>) {
        let mut out = Vec::new();
        let mut connected = None;
        let begun = Instant::now();
        self.server
            .handle_receive(Duration::from_secs(1), address(number), bytes);
        loop {
            match self.server.poll_output() {
                Output::Transmit(transmit) => out.push(transmit.bytes),
                Output::Need(need) => {
                    let answer = self.answer(&need.question);
                    self.server
                        .handle_answer(Duration::from_secs(1), need.id, answer);
                }
                Output::Event(Event::Connected(news)) => connected = Some(news.session),
                Output::Timeout(_) => break,
                _ => {}
            }
        }
        self.inside += begun.elapsed();
        (out, connected)
    }

    /// Chains are verified, as OpenSSL does it; a raw public key is compared with what is known, which costs
    /// nothing.
    fn answer(&self, question: &Question) -> Answer {
        match question {
            Question::PskFor { .. } => Answer::Psk(Some(Secret::from(KEY))),
            Question::VerdictOn {
                shown: Shown::Chain(chain),
                role,
                ..
            } => {
                let anchors = std::slice::from_ref(&self.anchor);
                let good = identity::verify_chain(chain, anchors, *role, beside::wall_s(), None);
                good.expect("our own authority");
                Answer::Verdict(Verdict::Accept)
            }
            _ => Answer::Verdict(Verdict::Accept),
        }
    }

    /// A whole handshake; the client and both names of the session.
    fn connect(&mut self, number: u32) -> (Dtls, SessionId, SessionId) {
        self.seed += 1;
        let mut seed = [9; 32];
        seed[..4].copy_from_slice(&self.seed.to_be_bytes());
        let settings = Settings {
            suites: vec![self.suite],
            ..Settings::default()
        };
        let mut client = Dtls::new(settings, seed);
        let credentials = match &self.client_credential {
            Some(credential) => ClientCredentials::Signature {
                credential: credential.clone(),
                present: self.types[0],
                accept: self.types.clone(),
            },
            None => ClientCredentials::Psk {
                identity: b"urn:imei:123456789012345".to_vec(),
                key: Secret::from(KEY),
            },
        };
        let asked = ClientSettings {
            connection_id: CidOffer::SendOnly,
            ..ClientSettings::new(credentials)
        };
        let now = Duration::from_secs(1);
        client
            .connect(now, address(0), asked)
            .expect("nothing else is under way");
        let (mut ours, mut theirs) = (None, None);
        while ours.is_none() || theirs.is_none() {
            match client.poll_output() {
                Output::Transmit(transmit) => {
                    let (answers, connected) = self.server_hears(number, &transmit.bytes);
                    ours = ours.or(connected);
                    for bytes in answers {
                        client.handle_receive(now, address(0), &bytes);
                    }
                }
                Output::Need(need) => {
                    let answer = self.answer(&need.question);
                    client.handle_answer(now, need.id, answer);
                }
                Output::Event(Event::Connected(news)) => theirs = Some(news.session),
                Output::Timeout(_) => panic!("the handshake hangs"),
                _ => {}
            }
        }
        (client, theirs.expect("connected"), ours.expect("connected"))
    }
}

fn address(number: u32) -> Address {
    let mut host = [0; 16];
    host[..4].copy_from_slice(&number.to_be_bytes());
    Address::other(host, 5684)
}

/// How much of the time since was spent on a processor.
struct Share {
    begun: Instant,
    cpu: Duration,
}

impl Share {
    fn begin() -> Share {
        Share {
            begun: Instant::now(),
            cpu: processor_time(),
        }
    }

    fn of(&self, span: Duration) -> Duration {
        let used = processor_time().saturating_sub(self.cpu).as_secs_f64();
        span.mul_f64((used / self.begun.elapsed().as_secs_f64()).clamp(0.01, 1.0))
    }
}

fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanoseconds = text
        .split(' ')
        .next()
        .and_then(|number| number.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

/// The time inside the server, for one.
fn handshakes(
    suite: CipherSuite,
    types: &[CertificateType],
    count: u32,
    folder: &Path,
) -> Duration {
    let mut bench = Bench::new(suite, types, folder);
    for number in 0..100 {
        bench.connect(number);
    }
    bench.inside = Duration::ZERO;
    let share = Share::begin();
    for number in 0..count {
        bench.connect(1000 + number);
    }
    share.of(bench.inside) / count
}

fn records(suite: CipherSuite, count: u32) {
    let mut bench = Bench::new(suite, &[], Path::new(""));
    let (mut client, theirs, ours) = bench.connect(1);
    let now = Duration::from_secs(1);
    let (mut open, mut seal) = (Duration::ZERO, Duration::ZERO);
    let share = Share::begin();
    for _ in 0..count {
        client.send(now, theirs, &RECORD, 0).expect("a session");
        let mut sent = None;
        while let Output::Transmit(_) | Output::Event(_) = {
            let output = client.poll_output();
            if let Output::Transmit(transmit) = &output {
                sent = Some(transmit.bytes.clone());
            }
            output
        } {}
        let sent = sent.expect("a datagram");
        let begun = Instant::now();
        bench.server.handle_receive(now, address(1), &sent);
        while !matches!(bench.server.poll_output(), Output::Timeout(_)) {}
        open += begun.elapsed();
        let begun = Instant::now();
        bench.server.send(now, ours, &RECORD, 0).expect("a session");
        while !matches!(bench.server.poll_output(), Output::Timeout(_)) {}
        seal += begun.elapsed();
    }
    let per_second = |span: Duration| f64::from(count) / share.of(span).as_secs_f64() / 1e6;
    println!(
        "  {suite:<42} opened {:.2} M/s, sealed {:.2} M/s",
        per_second(open),
        per_second(seal)
    );
}

/// What a session of the server holds once its client has said a word and is gone.
fn memory(case: &Case, openssl: Option<&beside::OpenSsl>, folder: &Path) {
    let (name, suite, word, types, _) = *case;
    let sessions = if types.is_empty() {
        SESSIONS
    } else {
        SESSIONS / 10
    };
    let mut bench = Bench::new(suite, types, folder);
    bench.connect(u32::MAX);
    let (live, before) = (LIVE.load(Ordering::Relaxed), resident());
    for number in 0..sessions {
        let (mut client, theirs, _) = bench.connect(number);
        let now = Duration::from_secs(1);
        client.send(now, theirs, b"x", 0).expect("a session");
        while let Some(bytes) = next_datagram(&mut client) {
            bench.server_hears(number, &bytes);
        }
    }
    let held = (LIVE.load(Ordering::Relaxed) - live) / sessions as isize;
    let grown = resident().saturating_sub(before) / u64::from(sessions);
    print!(
        "memory of a session, {name}: {held} B by allocator, {grown} B by RSS ({sessions} sessions)"
    );
    if let Some(openssl) = openssl {
        let (held, grown) = openssl.memory(
            word,
            OPENSSL_SESSIONS,
            (!types.is_empty()).then_some(folder),
        );
        print!("; OpenSSL {held} B, {grown} B ({OPENSSL_SESSIONS} sessions)");
    }
    println!();
}

fn next_datagram(dtls: &mut Dtls) -> Option<Vec<u8>> {
    loop {
        match dtls.poll_output() {
            Output::Transmit(transmit) => return Some(transmit.bytes),
            Output::Timeout(_) => return None,
            _ => {}
        }
    }
}

fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}
