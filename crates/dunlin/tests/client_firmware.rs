//! Firmware Update over processes: `dunlin serve` and `dunlin client`, a CoAP and an HTTP server with a package, and a Client that is
//! killed in the middle.
//!
//! With the standard size this takes seconds. 10 MB through 5 % loss, with what the Client's memory came to:
//!
//! ```sh
//! cargo test -p dunlin --release --test client_firmware -- --ignored --nocapture
//! ```
//!
//! `DUNLIN_FIRMWARE_BYTES` sets another size, `DUNLIN_LOSES_EVERY` loses one of so many datagrams (20).

mod desk;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use desk::{Desk, Running, dunlin};
use dunlin_coap::wire::datagram;
use dunlin_coap::{BlockValue, Code, Message, MessageType, OptionList, OptionNumber};

/// A package of the standard run: some blocks, and some syncs.
const LENGTH: usize = 300_000;

fn package(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// A Server, a Client that installs packages by copying them, and where.
struct Bench {
    desk: Desk,
    folder: tempfile::TempDir,
    client: Option<Running>,
    /// A factory file, for a Client of several Servers.
    factory: Option<PathBuf>,
    /// Whom downloads over HTTPS trust.
    authorities: Option<PathBuf>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let desk = Desk::open(folder.path());
        let mut bench = Self {
            desk,
            folder,
            client: None,
            factory: None,
            authorities: None,
        };
        bench.start(None);
        bench
    }

    fn installed(&self) -> PathBuf {
        self.folder.path().join("installed")
    }

    /// Starts the Client, which registers at this address or directly.
    fn start(&mut self, through: Option<SocketAddr>) {
        let server = through.map_or(self.desk.coap.clone(), |at| format!("coap://{at}"));
        let hook = self.folder.path().join("hook");
        let script = format!(
            "#!/bin/sh\ncase $1 in\nverify) echo name=test; echo version=2.0;;\ninstall) cp \"$2\" {};;\nesac\n",
            self.installed().display()
        );
        fs::write(&hook, script).unwrap();
        let state = self.folder.path().join("state");
        let hook = format!("sh {}", hook.display());
        let mut command = dunlin(&["client", "--endpoint", "pump"]);
        match &self.factory {
            Some(factory) => command.arg("--factory").arg(factory),
            None => command.args(["--server", &server]),
        };
        command
            .args(["--firmware-hook", &hook])
            .arg("--state")
            .arg(state);
        if let Some(authorities) = &self.authorities {
            command.arg("--firmware-ca").arg(authorities);
        }
        let mut client = Running::start(&mut command);
        client.line("registered with");
        self.client = Some(client);
    }

    fn kill(&mut self) {
        self.client.take().expect("it runs").kill();
    }

    fn client(&mut self) -> &mut Running {
        self.client.as_mut().expect("it runs")
    }

    fn pull(&self, uri: &str) {
        self.desk.says(&["write", "pump", "/5/0/1", uri]);
    }

    /// Waits for this State and Update Result.
    fn comes_to(&self, state: &str, result: &str, patience: Duration) {
        let begin = Instant::now();
        loop {
            let said = self.desk.run(&["read", "pump", "/5/0"]);
            let said = String::from_utf8(said.stdout).unwrap();
            let value = |path: &str| {
                let line = said.lines().find(|line| line.starts_with(path));
                line.and_then(|line| line.split_whitespace().next_back().map(String::from))
            };
            let found = (value("/5/0/3 "), value("/5/0/5 "));
            if found == (Some(state.into()), Some(result.into())) {
                return;
            }
            assert!(begin.elapsed() < patience, "{said}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn install(&mut self, bytes: &[u8]) {
        self.desk.says(&["execute", "pump", "/5/0/2"]);
        self.comes_to("0", "1", desk::DEADLINE);
        assert!(
            fs::read(self.installed()).unwrap() == bytes,
            "another package was installed"
        );
        assert!(self.desk.says(&["read", "pump", "/3/0/3"]).contains("2.0"));
    }

    /// The most memory that the Client has had, in kB.
    fn memory_kb(&mut self) -> u64 {
        let id = self.client().child.id();
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        line.unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap()
    }
}

/// A CoAP server that gives one representation block by block, and loses every so many answers.
struct CoapFiles {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<u64>>>,
}

impl CoapFiles {
    /// It ends when it has been silent for a while.
    fn start(body: Vec<u8>, loses_every: usize) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(120)))
            .unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = asked.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 2_048];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let Ok(request) = datagram::decode(&buffer[..length]) else {
                    continue;
                };
                let Some(block) = request.options.block2() else {
                    continue;
                };
                let count = {
                    let mut seen = seen.lock().unwrap();
                    seen.push(block.offset());
                    seen.len()
                };
                if !count.is_multiple_of(loses_every) {
                    let _ = socket.send_to(&answer(&request, block, &body), from);
                }
            }
        });
        Self { address, asked }
    }

    fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

fn answer(request: &Message<'_>, block: BlockValue, body: &[u8]) -> Vec<u8> {
    let begin = usize::try_from(block.offset()).unwrap().min(body.len());
    let end = body.len().min(begin + block.size.bytes());
    let mut options = OptionList::new();
    options.push(OptionNumber::ETAG, b"v1");
    let more = end < body.len();
    options.push_block(OptionNumber::BLOCK2, BlockValue { more, ..block });
    let message = Message {
        message_type: MessageType::Acknowledgement,
        code: Code::CONTENT,
        message_id: request.message_id,
        token: request.token,
        options: options.view(),
        payload: &body[begin..end],
    };
    let mut bytes = Vec::new();
    datagram::encode(&message, &mut bytes);
    bytes
}

/// An HTTP server that gives one representation, and at each connection no more than so many bytes of it.
struct HttpFiles {
    address: SocketAddr,
    /// Where each connection was asked to begin.
    asked: Arc<Mutex<Vec<u64>>>,
    limit: Arc<AtomicU64>,
}

impl HttpFiles {
    fn start(body: Vec<u8>, limit: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let limit = Arc::new(AtomicU64::new(limit));
        let (seen, bound) = (asked.clone(), limit.clone());
        // The thread ends with the test: it waits for connections and holds nothing else.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(stream);
                let mut begin = 0;
                loop {
                    let mut line = String::new();
                    if reader.read_line(&mut line).unwrap_or(0) <= 2 {
                        break;
                    }
                    let line = line.to_ascii_lowercase();
                    if let Some(range) = line.strip_prefix("range: bytes=") {
                        begin = range.trim().trim_end_matches('-').parse().unwrap();
                    }
                }
                seen.lock().unwrap().push(begin);
                let rest = &body[usize::try_from(begin).unwrap()..];
                let head = match begin {
                    0 => "HTTP/1.1 200 OK".into(),
                    begin => format!(
                        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {begin}-{}/{}",
                        body.len() - 1,
                        body.len()
                    ),
                };
                let length = rest.len();
                let end = length.min(usize::try_from(bound.load(Ordering::Acquire)).unwrap());
                let mut stream = reader.into_inner();
                let _ = write!(
                    stream,
                    "{head}\r\nETag: \"v1\"\r\nContent-Length: {length}\r\n\r\n"
                );
                let _ = stream.write_all(&rest[..end]);
            }
        });
        Self {
            address,
            asked,
            limit,
        }
    }
}

/// An HTTPS server that gives one representation to whoever trusts its certificate, which is the second.
fn https_files(body: Vec<u8>) -> (SocketAddr, String) {
    let signed = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let settings = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key.into())
        .unwrap();
    let settings = Arc::new(settings);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // The thread ends with the test: it waits for connections and holds nothing else.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = rustls::ServerConnection::new(settings.clone()).unwrap();
            let mut reader = BufReader::new(rustls::StreamOwned::new(connection, stream));
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|length| length > 2) {
                line.clear();
            }
            let stream = reader.get_mut();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(&body).and_then(|()| stream.flush());
        }
    });
    let text = data_encoding::BASE64.encode(signed.cert.der());
    let lines: Vec<&str> = (0..text.len())
        .step_by(64)
        .map(|at| &text[at..text.len().min(at + 64)])
        .collect();
    let lines = lines.join("\n");
    let pem = format!("-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n");
    (address, pem)
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_package_is_pulled_over_coap_through_loss_and_a_kill_without_starting_over() {
    let mut bench = Bench::new();
    let body = package(LENGTH);
    let files = CoapFiles::start(body.clone(), 90);
    bench.pull(&format!("coap://{}/fw", files.address));
    wait_for("half of it", || files.count() > 150);
    bench.kill();
    let before = files.count();
    bench.start(None);
    bench.comes_to("2", "0", Duration::from_secs(60));
    let first = files.asked.lock().unwrap()[before];
    assert!(
        first >= 65_536 && first < LENGTH as u64,
        "it goes on at {first}"
    );
    bench.install(&body);
}

#[test]
fn a_package_is_pulled_over_http_through_an_interruption_and_a_kill_without_starting_over() {
    let mut bench = Bench::new();
    let body = package(LENGTH);
    let files = HttpFiles::start(body.clone(), 100_000);
    bench.pull(&format!("http://{}/fw", files.address));
    wait_for("two connections", || files.asked.lock().unwrap().len() >= 2);
    bench.kill();
    files.limit.store(u64::MAX, Ordering::Release);
    let before = files.asked.lock().unwrap().len();
    bench.start(None);
    bench.comes_to("2", "0", Duration::from_secs(60));
    let asked = files.asked.lock().unwrap().clone();
    assert_eq!(asked[0], 0);
    assert!(asked[1] >= 65_536, "{asked:?}");
    assert!(asked[before] >= asked[1], "{asked:?}");
    bench.install(&body);
}

#[test]
fn a_package_is_pushed_and_what_is_wrong_with_one_is_a_result() {
    let mut bench = Bench::new();
    let body = package(LENGTH);
    let file = bench.folder.path().join("image");
    fs::write(&file, &body).unwrap();
    let image = format!("@{}", file.display());
    bench
        .desk
        .says(&["write", "pump", "/5/0/0", &image, "--timeout", "30"]);
    bench.comes_to("2", "0", desk::DEADLINE);
    bench.install(&body);
    for (uri, result) in [
        ("http://127.0.0.1:9/fw#sha256=00", None),
        ("ftp://127.0.0.1/fw", Some("9")),
        ("coap://", Some("7")),
    ] {
        bench.pull(uri);
        if let Some(result) = result {
            bench.comes_to("0", result, desk::DEADLINE);
        }
        bench.desk.says(&["write", "pump", "/5/0/1", ""]);
        bench.comes_to("0", "0", desk::DEADLINE);
    }
    let files = HttpFiles::start(body, u64::MAX);
    bench.pull(&format!("http://{}/fw#sha256=00", files.address));
    bench.comes_to("0", "5", desk::DEADLINE);
}

#[test]
fn a_package_is_pulled_over_https_from_whom_the_client_trusts() {
    let body = package(50_000);
    let (files, certificate) = https_files(body.clone());
    let mut bench = Bench::new();
    let uri = format!("https://localhost:{}/fw", files.port());
    // Nobody vouches for that certificate.
    bench.pull(&uri);
    bench.comes_to("0", "4", desk::DEADLINE);
    bench.client.take().unwrap().interrupt();
    let authorities = bench.folder.path().join("authorities.pem");
    fs::write(&authorities, certificate).unwrap();
    bench.authorities = Some(authorities);
    bench.start(None);
    bench.pull(&uri);
    bench.comes_to("2", "0", desk::DEADLINE);
    bench.install(&body);
}

/// Carries datagrams between a Client and the Server, and loses every so many of them.
fn lossy_way(server: &str, loses_every: usize) -> SocketAddr {
    let to: SocketAddr = server.trim_start_matches("coap://").parse().unwrap();
    let near = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
    let far = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
    far.connect(to).unwrap();
    let address = near.local_addr().unwrap();
    let client = Arc::new(Mutex::new(None));
    let count = Arc::new(AtomicUsize::new(0));
    let lost = move |count: &AtomicUsize| {
        (count.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(loses_every)
    };
    for socket in [&near, &far] {
        socket
            .set_read_timeout(Some(Duration::from_secs(300)))
            .unwrap();
    }
    let (from_near, to_far, known, counted) =
        (near.clone(), far.clone(), client.clone(), count.clone());
    std::thread::spawn(move || {
        let mut buffer = [0; 2_048];
        while let Ok((length, from)) = from_near.recv_from(&mut buffer) {
            *known.lock().unwrap() = Some(from);
            if !lost(&counted) {
                let _ = to_far.send(&buffer[..length]);
            }
        }
    });
    std::thread::spawn(move || {
        let mut buffer = [0; 2_048];
        while let Ok(length) = far.recv(&mut buffer) {
            let to = *client.lock().unwrap();
            if let Some(to) = to.filter(|_| !lost(&count)) {
                let _ = near.send_to(&buffer[..length], to);
            }
        }
    });
    address
}

fn setting(name: &str, otherwise: usize) -> usize {
    let text = std::env::var(name).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn report(what: &str, begin: Instant, memory: (u64, u64)) {
    println!(
        "{what}: {:.0} s, the client had {} kB before and {} kB at most",
        begin.elapsed().as_secs_f64(),
        memory.0,
        memory.1
    );
}

#[test]
#[ignore = "takes half an hour"]
fn ten_megabytes_are_pulled_through_5_percent_loss_and_a_kill() {
    let mut bench = Bench::new();
    let body = package(setting("DUNLIN_FIRMWARE_BYTES", 10_000_000));
    let files = CoapFiles::start(body.clone(), setting("DUNLIN_LOSES_EVERY", 20));
    let (begin, before) = (Instant::now(), bench.memory_kb());
    bench.pull(&format!("coap://{}/fw", files.address));
    while files.count() < body.len() / 2_048 {
        std::thread::sleep(Duration::from_secs(1));
    }
    bench.kill();
    let count = files.count();
    bench.start(None);
    bench.comes_to("2", "0", Duration::from_secs(3_600));
    let first = files.asked.lock().unwrap()[count];
    assert!(first > body.len() as u64 * 2 / 5, "it goes on at {first}");
    let memory = (before, bench.memory_kb());
    report("10 MB pulled over CoAP", begin, memory);
    assert!(memory.1 < memory.0 + 8_192, "{memory:?}");
    bench.install(&body);
}

#[test]
#[ignore = "takes half an hour"]
fn ten_megabytes_are_pushed_through_5_percent_loss() {
    let mut bench = Bench::new();
    bench.client.take().unwrap().interrupt();
    let way = lossy_way(&bench.desk.coap, setting("DUNLIN_LOSES_EVERY", 20));
    bench.start(Some(way));
    let body = package(setting("DUNLIN_FIRMWARE_BYTES", 10_000_000));
    let file = bench.folder.path().join("image");
    fs::write(&file, &body).unwrap();
    let (begin, before) = (Instant::now(), bench.memory_kb());
    push(&bench.desk, &file);
    bench.comes_to("2", "0", Duration::from_secs(3_600));
    let memory = (before, bench.memory_kb());
    report("10 MB pushed", begin, memory);
    assert!(memory.1 < memory.0 + 8_192, "{memory:?}");
    bench.install(&body);
}

#[test]
fn a_client_that_is_pushed_to_answers_another_server_meanwhile() {
    let mut bench = Bench::new();
    bench.client.take().unwrap().interrupt();
    let other = tempfile::tempdir().unwrap();
    let reader = Desk::open(other.path());
    let way = lossy_way(&bench.desk.coap, setting("DUNLIN_LOSES_EVERY", 40));
    let factory = bench.folder.path().join("factory.toml");
    let servers = format!(
        "[[server]]\nuri = \"coap://{way}\"\n[[server]]\nuri = \"{}\"\n",
        reader.coap
    );
    fs::write(&factory, servers).unwrap();
    bench.factory = Some(factory);
    bench.start(None);
    bench.client().line("registered with");
    let body = package(setting("DUNLIN_FIRMWARE_BYTES", 60_000));
    let file = bench.folder.path().join("image");
    fs::write(&file, &body).unwrap();
    let before = bench.memory_kb();
    let mut took = Vec::new();
    let mut pushing = begin_push(&bench.desk, &file);
    let pushed = loop {
        let begin = Instant::now();
        let uri = format!("{}/api/v1/clients/pump/3/0/0", reader.api);
        let read = ureq::get(&uri).call().expect("the client answers");
        assert_eq!(read.status(), 200);
        took.push(begin.elapsed().as_millis());
        if let Some(status) = pushing.child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    assert!(pushed.success());
    bench.comes_to("2", "0", desk::DEADLINE);
    took.sort_unstable();
    let at = |part: usize| took[(took.len() - 1) * part / 100];
    println!(
        "{} Reads during the push: p50 {} ms, p99 {} ms, slowest {} ms; the client had {before} kB before and {} kB at most",
        took.len(),
        at(50),
        at(99),
        at(100),
        bench.memory_kb()
    );
    assert!(took.len() > 10, "{took:?}");
    bench.install(&body);
}

#[test]
fn a_push_that_a_power_cut_interrupts_begins_again_by_itself_and_ends_well() {
    let mut bench = Bench::new();
    bench.client.take().unwrap().interrupt();
    let way = lossy_way(&bench.desk.coap, setting("DUNLIN_LOSES_EVERY", 20));
    bench.start(Some(way));
    let body = package(setting("DUNLIN_FIRMWARE_BYTES", 60_000));
    let file = bench.folder.path().join("image");
    fs::write(&file, &body).unwrap();
    let mut pushing = begin_push(&bench.desk, &file);
    wait_for("a block", || {
        let package = bench.folder.path().join("state/firmware/package");
        fs::metadata(package).is_ok_and(|one| one.len() > body.len() as u64 / 8)
    });
    bench.kill();
    bench.start(Some(way));
    // The Client says that it has not what comes before the next block, and the Server begins anew by
    // itself (4.08, RFC 7959 §2.9.2).
    let begin = Instant::now();
    assert!(pushing.child.wait().unwrap().success());
    println!(
        "the push ends {:.1} s after the restart",
        begin.elapsed().as_secs_f64()
    );
    bench.comes_to("2", "0", desk::DEADLINE);
    bench.install(&body);
}

fn begin_push(desk: &Desk, file: &Path) -> Running {
    let image = format!("@{}", file.display());
    let write = ["write", "pump", "/5/0/0", &image, "--timeout", "3600"];
    Running::start(dunlin(&write).env("DUNLIN_API", &desk.api))
}

fn push(desk: &Desk, file: &Path) {
    let image = format!("@{}", file.display());
    desk.says(&["write", "pump", "/5/0/0", &image, "--timeout", "3600"]);
}
