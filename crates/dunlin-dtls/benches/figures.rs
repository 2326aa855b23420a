//! Figures on one core, without sockets: handshakes per second of the server's side alone, records
//! sealed and opened, bytes per session.
//!
//! ```text
//! cargo bench -p dunlin-dtls
//! ```
//!
//! Both sides run in this process and only the time inside the server is counted, the cookie round
//! included, scaled by the share of a core that the process got meanwhile (so a busy machine does
//! not spoil the figures much). Bytes per session are the growth of the resident set.

#![allow(clippy::disallowed_methods)] // A bench reads the clock.

use std::time::{Duration, Instant};

use dunlin_dtls::{
    Address, Answer, CertificateType, CidOffer, CipherSuite, ClientCredentials, ClientSettings,
    Credential, Dtls, Event, Output, Question, Secret, ServerSettings, SessionId, Settings,
    SigningKey, Verdict,
};

const KEY: &[u8] = b"0123456789abcdef";
const RECORD: [u8; 64] = [7; 64];
const SESSIONS: u32 = 100_000;

fn main() {
    // First, while nothing that was freed could be used again.
    memory();
    println!("handshakes, server side");
    let raw = [CertificateType::RawPublicKey];
    let x509 = [CertificateType::X509];
    handshakes("PSK CCM_8", CipherSuite::PskAes128Ccm8, &[], 20_000);
    handshakes("PSK GCM", CipherSuite::PskAes128Gcm, &[], 20_000);
    handshakes(
        "ECDHE RPK CCM_8",
        CipherSuite::EcdheEcdsaAes128Ccm8,
        &raw,
        2_000,
    );
    handshakes(
        "ECDHE X.509 CCM_8",
        CipherSuite::EcdheEcdsaAes128Ccm8,
        &x509,
        2_000,
    );
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

/// A server and one client, whose time is not counted.
struct Bench {
    server: Dtls,
    suite: CipherSuite,
    types: Vec<CertificateType>,
    client_credential: Option<Credential>,
    inside: Duration,
    seed: u32,
}

impl Bench {
    fn new(suite: CipherSuite, types: &[CertificateType]) -> Bench {
        let credential = |name: &str| {
            let key = rcgen::KeyPair::generate().expect("a key");
            let certificate = rcgen::CertificateParams::new(vec![name.to_string()])
                .and_then(|params| params.self_signed(&key))
                .expect("a certificate");
            let signing = SigningKey::from_der(&key.serialize_der()).expect("a P-256 key");
            Credential::certificates(signing, vec![certificate.der().to_vec()]).expect("its own")
        };
        let signed = !types.is_empty();
        let server = ServerSettings {
            credential: signed.then(|| credential("server")),
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
            client_credential: signed.then(|| credential("client")),
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
                    let answer = answer(&need.question);
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
                Output::Need(need) => client.handle_answer(now, need.id, answer(&need.question)),
                Output::Event(Event::Connected(news)) => theirs = Some(news.session),
                Output::Timeout(_) => panic!("the handshake hangs"),
                _ => {}
            }
        }
        (client, theirs.expect("connected"), ours.expect("connected"))
    }
}

fn answer(question: &Question) -> Answer {
    match question {
        Question::PskFor { .. } => Answer::Psk(Some(Secret::from(KEY))),
        _ => Answer::Verdict(Verdict::Accept),
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

fn handshakes(name: &str, suite: CipherSuite, types: &[CertificateType], count: u32) {
    let mut bench = Bench::new(suite, types);
    for number in 0..100 {
        bench.connect(number);
    }
    bench.inside = Duration::ZERO;
    let share = Share::begin();
    for number in 0..count {
        bench.connect(1000 + number);
    }
    let each = share.of(bench.inside) / count;
    println!(
        "  {name:<20} {:>8.0}/s  {each:>8.2?} each",
        1.0 / each.as_secs_f64()
    );
}

fn records(suite: CipherSuite, count: u32) {
    let mut bench = Bench::new(suite, &[]);
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

fn memory() {
    let mut bench = Bench::new(CipherSuite::PskAes128Ccm8, &[]);
    let before = resident();
    for number in 0..SESSIONS {
        let (mut client, theirs, _) = bench.connect(number);
        let now = Duration::from_secs(1);
        client.send(now, theirs, b"x", 0).expect("a session");
        while let Some(bytes) = next_datagram(&mut client) {
            bench.server_hears(number, &bytes);
        }
    }
    let bytes = resident().saturating_sub(before) / u64::from(SESSIONS);
    println!("memory: {bytes} bytes per PSK session, over {SESSIONS} sessions");
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
