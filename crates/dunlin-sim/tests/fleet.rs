//! The fleet over real sockets, against a server of a few lines that answers well and observes.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dunlin_coap::wire::datagram;
use dunlin_coap::{Code, Message, MessageId, MessageType, OptionList, OptionNumber, Token};
use dunlin_sim::fleet::reads::Reads;
use dunlin_sim::fleet::{FleetSettings, Scenario, run, run_watched};

/// What the server has seen.
#[derive(Debug, Default)]
struct Seen {
    /// By name: every address a Register came from.
    registered: HashMap<String, Vec<SocketAddr>>,
    updates: u64,
    deregisters: u64,
    notifications: u64,
    /// Addresses that anything came from.
    sources: HashSet<SocketAddr>,
}

/// A server in a thread, which ends when it is dropped, and after a minute in any case.
struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Seen>>,
}

impl Server {
    fn start(bind: &str, observes: bool) -> Self {
        let socket = UdpSocket::bind(bind).expect("a port");
        let address = socket.local_addr().expect("bound");
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .expect("a timeout");
        let stop = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&stop);
        let thread = std::thread::spawn(move || serve(&socket, &ended, observes));
        Server {
            address,
            stop,
            thread: Some(thread),
        }
    }

    fn end(mut self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .take()
            .expect("once")
            .join()
            .expect("the server does not panic")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn serve(socket: &UdpSocket, stop: &AtomicBool, observes: bool) -> Seen {
    let mut seen = Seen::default();
    let began = Instant::now();
    let mut buffer = [0; 2048];
    while !stop.load(Ordering::Relaxed) && began.elapsed() < Duration::from_secs(60) {
        let Ok((len, from)) = socket.recv_from(&mut buffer) else {
            continue;
        };
        let message = datagram::decode(&buffer[..len]).expect("the fleet speaks CoAP");
        seen.sources.insert(from);
        if let Some(answer) = answer(&mut seen, from, &message) {
            socket.send_to(&answer, from).expect("loopback takes it");
        }
        if observes && message.code == Code::POST && message.payload.starts_with(b"<") {
            let observe = observe_request();
            socket.send_to(&observe, from).expect("loopback takes it");
        }
    }
    seen
}

fn answer(seen: &mut Seen, from: SocketAddr, message: &Message<'_>) -> Option<Vec<u8>> {
    let mut options = OptionList::new();
    let path: Vec<&[u8]> = message.options.uri_path().collect();
    let code = match (message.code, path.len()) {
        (Code::POST, 1) => {
            let name = message
                .options
                .uri_query()
                .find_map(|query| query.strip_prefix(b"ep="))
                .expect("a Register tells its name");
            let name = String::from_utf8(name.to_vec()).expect("text");
            options.push(OptionNumber::LOCATION_PATH, b"rd");
            options.push(OptionNumber::LOCATION_PATH, name.as_bytes());
            seen.registered.entry(name).or_default().push(from);
            Code::CREATED
        }
        (Code::POST, 2) => {
            seen.updates += 1;
            let name = std::str::from_utf8(path[1]).expect("text");
            if seen.registered.contains_key(name) {
                Code::CHANGED
            } else {
                Code::NOT_FOUND
            }
        }
        (Code::DELETE, 2) => {
            seen.deregisters += 1;
            Code::DELETED
        }
        (Code::CONTENT, _) if message.message_type == MessageType::Confirmable => {
            seen.notifications += 1;
            Code::EMPTY
        }
        _ => return None,
    };
    let mut bytes = Vec::new();
    let token = if code == Code::EMPTY {
        Token::EMPTY
    } else {
        message.token
    };
    let answer = Message {
        message_type: MessageType::Acknowledgement,
        code,
        message_id: message.message_id,
        token,
        options: options.view(),
        payload: &[],
    };
    datagram::encode(&answer, &mut bytes);
    Some(bytes)
}

fn observe_request() -> Vec<u8> {
    let mut options = OptionList::new();
    options.push_uint(OptionNumber::OBSERVE, 0);
    for segment in ["3303", "0", "5700"] {
        options.push(OptionNumber::URI_PATH, segment.as_bytes());
    }
    let mut bytes = Vec::new();
    let request = Message {
        message_type: MessageType::Confirmable,
        code: Code::GET,
        message_id: MessageId(1),
        token: Token::new(b"ob").expect("short"),
        options: options.view(),
        payload: &[],
    };
    datagram::encode(&request, &mut bytes);
    bytes
}

fn settings(server: &Server, clients: u32, scenario: &str) -> FleetSettings {
    let uri = format!("coap://{}", server.address);
    let mut settings = FleetSettings::new(&uri, clients).expect("a URI");
    settings.scenario = Scenario::parse(scenario).expect("a scenario");
    settings.rate = 2_000.0;
    settings.seed = Some(1);
    settings
}

#[test]
fn every_client_registers_from_an_address_of_its_own() {
    let server = Server::start("127.0.0.1:0", false);
    let report = run(settings(&server, 500, "")).expect("a run");
    let seen = server.end();
    assert_eq!((report.clients, report.registered), (500, 500), "{report}");
    assert_eq!(seen.registered.len(), 500);
    let ips: HashSet<_> = seen.sources.iter().map(SocketAddr::ip).collect();
    assert_eq!(ips.len(), 500);
    assert_eq!(report.counts["register"], 500);
    assert!(report.registers_per_s > 0.0 && report.latency_ms.contains_key("register"));
    assert!(report.generator.client_bytes > 0);
}

#[test]
fn elsewhere_every_client_has_a_socket_of_its_own() {
    let server = Server::start("[::1]:0", false);
    // An answer to an address of before is lost, and the question must be asked again.
    let scenario = "deregister = true\n[rebind]\nevery_s = 0.2\n[update]\nevery_s = 0.1\n\
                    [coap]\nack_timeout_s = 0.05";
    let mut settings = settings(&server, 20, scenario);
    settings.duration = Some(Duration::from_millis(600));
    let report = run(settings).expect("a run");
    let seen = server.end();
    assert_eq!(
        (report.registered, report.counts["deregister"]),
        (20, 20),
        "{report}"
    );
    assert!(seen.deregisters >= 20);
    assert!(
        seen.sources.len() > 20,
        "{} addresses, rebinds among them",
        seen.sources.len()
    );
    assert!(report.counts["rebinds"] > 0);
}

#[test]
fn updates_notifications_and_the_end() {
    let server = Server::start("127.0.0.1:0", true);
    let scenario = "deregister = true\n[update]\nper_s = 400\n[notify]\nevery_s = 0.1";
    let folder = tempfile::tempdir().expect("a folder");
    let mut settings = settings(&server, 50, scenario);
    settings.duration = Some(Duration::from_secs(1));
    settings.ledger = Some(folder.path().join("ledger"));
    let report = run(settings).expect("a run");
    let seen = server.end();
    let counts = &report.counts;
    assert_eq!(counts["deregister"], 50, "{report}");
    assert!(
        counts["update"] >= 50 && counts["update"] <= seen.updates,
        "{report}"
    );
    assert!(
        counts["notify"] >= 50 && counts["notify"] <= seen.notifications,
        "{report}"
    );
    assert_eq!(counts["observations"], 50);

    let text = std::fs::read_to_string(folder.path().join("ledger")).expect("the ledger");
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let of = |what: &str| lines.iter().filter(|line| line["what"] == what).count() as u64;
    assert_eq!((of("registered"), of("deregistered")), (50, 50));
    assert_eq!(of("notified"), counts["notify"]);
    for line in lines.iter().filter(|line| line["what"] == "notified") {
        let (id, value) = (line["id"].as_f64(), line["value"].as_f64());
        assert_eq!(id.map(|id| id / 4.0), value);
        assert_eq!(line["path"], "/3303/0/5700");
    }
    let registered: HashSet<&str> = lines
        .iter()
        .filter(|line| line["what"] == "registered")
        .filter_map(|line| line["endpoint"].as_str())
        .collect();
    assert_eq!(
        registered,
        seen.registered.keys().map(String::as_str).collect()
    );
}

#[test]
fn a_server_that_is_not_there_is_told_and_the_run_ends() {
    let nobody = UdpSocket::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("bound");
    let mut settings = FleetSettings::new(&format!("coap://{nobody}"), 10).expect("a URI");
    settings.scenario = Scenario::parse(
        "[coap]\nack_timeout_s = 0.02\nmax_retransmit = 1\n[register]\nattempts = 2\nretry_s = 0.01",
    )
    .expect("a scenario");
    let report = run(settings).expect("a run");
    assert_eq!(report.registered, 0);
    assert_eq!(report.errors["register_given_up"], 10, "{report}");
    assert_eq!(
        (report.errors["register_timeout"], report.retransmissions),
        (20, 20)
    );
}

/// A REST interface that answers every Read with 5, until it has answered so many.
fn rest(answers: usize) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let thread = std::thread::spawn(move || {
        let (told, asked) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let told = told.clone();
                std::thread::spawn(move || {
                    let mut lines = BufReader::new(stream.try_clone().expect("a clone")).lines();
                    while let Some(Ok(line)) = lines.next() {
                        if line.is_empty() {
                            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n5";
                            let _ = stream.write_all(answer);
                        } else if line.starts_with("GET") || line.starts_with("Auth") {
                            let _ = told.send(line);
                        }
                    }
                });
            }
        });
        asked.iter().take(answers).collect()
    });
    (address, thread)
}

#[test]
fn reads_through_rest_are_timed_beside_bare_datagrams() {
    let server = Server::start("127.0.0.1:0", false);
    let (address, asked) = rest(40);
    let mut settings = settings(&server, 10, "");
    let mut reads = Reads::new(200.0, &format!("http://{address}")).expect("a URI");
    reads.token = Some("secret".to_owned());
    settings.reads = Some(reads);
    let without_end = run(settings.clone()).expect_err("it needs an end");
    assert!(
        without_end.to_string().contains("duration"),
        "{without_end}"
    );
    settings.duration = Some(Duration::from_secs(1));
    let report = run(settings).expect("a run");
    assert!(report.counts["rest_read"] >= 40, "{report}");
    for name in ["rest_read", "bare_udp"] {
        assert!(report.latency_ms[name].p99 > 0.0, "{report}");
    }
    let asked = asked.join().expect("it does not panic");
    // Several connections, whose lines come mixed.
    for line in &asked {
        let is_a_read = line.starts_with("GET /api/v1/clients/urn:dunlin:fleet-000000")
            && line.contains("/3/0/9 ");
        assert!(
            is_a_read || line == "Authorization: Bearer secret",
            "{line}"
        );
    }
    assert!(asked.iter().any(|line| line.starts_with("GET")));
    assert!(asked.iter().any(|line| line.starts_with("Auth")));
}

#[test]
fn whoever_watches_may_end_the_run() {
    let server = Server::start("127.0.0.1:0", false);
    let mut settings = settings(&server, 10, "");
    settings.duration = Some(Duration::from_secs(50));
    let mut told = Vec::new();
    let report = run_watched(settings, |progress| {
        told.push(*progress);
        if progress.registered == 10 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })
    .expect("a run");
    assert_eq!(report.registered, 10);
    assert!(report.elapsed_s < 40.0);
    assert_eq!(told.last().map(|progress| progress.registers), Some(10));
}

#[test]
fn settings_that_make_no_sense_are_an_error() {
    let server = Server::start("127.0.0.1:0", false);
    let error = run(FleetSettings {
        clients: 0,
        ..settings(&server, 1, "")
    })
    .expect_err("none");
    assert!(error.to_string().contains("Clients"), "{error}");
    let ledger = Some("/nowhere/at/all".into());
    let error = run(FleetSettings {
        ledger,
        ..settings(&server, 1, "")
    })
    .expect_err("no folder");
    assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
}
