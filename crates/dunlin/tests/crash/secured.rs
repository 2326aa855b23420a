//! `kill -9` of the Server under live Clients with DTLS: nobody shakes hands again, and everybody is there.

use std::net::UdpSocket;
use std::path::Path;
use std::time::{Duration, Instant};

use super::live::{Fleet, Random, Serve, Setup, program, setting, until};

/// Each Client speaks every two seconds, and goes on when it is not answered.
const TALKERS: &str =
    "endpoint_prefix = \"talker-\"\n[update]\nevery_s = 2\n[coap]\nmax_retransmit = 8\n";

/// So many Clients are read from beside one another.
const READERS: usize = 8;

#[test]
#[ignore = "wants a release build: ./test --only crash"]
fn kill_9_under_live_dtls_clients_costs_no_handshake() {
    let clients = setting("DUNLIN_CRASH_SECURED_CLIENTS", 300);
    let rounds = setting("DUNLIN_CRASH_SECURED_ROUNDS", 2);
    let mut random = Random::new();
    let folder = tempfile::tempdir().expect("a folder");
    let mut setup = Setup::new(&folder.path().join("data"));
    let door = free_port();
    setup.more = vec!["--coaps".into(), door.clone()];
    let mut serve = Serve::start(&mut setup);
    let uri = format!("coaps://{door}");
    provision(&serve, folder.path(), &uri, clients);
    let arguments = [
        ("clients", clients),
        ("rate", clients / 2),
        ("duration", 3600),
    ];
    let mut fleet = Fleet::start_at(folder.path(), "talkers", &uri, &arguments, TALKERS);
    until("all register", || registered(&serve) == clients);
    assert_eq!(handshakes(&serve), clients);

    for round in 1..=rounds {
        // Amid Updates, and before the next record of most.
        std::thread::sleep(Duration::from_millis(random.below(2_500)));
        serve.kill();
        serve = Serve::start(&mut setup);
        assert_eq!(metric(&serve, "dunlin_dtls_sessions"), clients);
        let begun = Instant::now();
        let updates = || metric(&serve, "dunlin_uplinks_total");
        until("all speak again", || updates() >= clients);
        everybody_answers(&serve, clients);
        assert!(fleet.is_running());
        assert_eq!(registered(&serve), clients);
        assert_eq!(
            handshakes(&serve),
            0,
            "somebody shook hands again in life {round}"
        );
        println!(
            "life {round}: {clients} sessions after {:?}, all heard and read within {:?}, no handshake",
            serve.started_in,
            begun.elapsed()
        );
    }
    fleet.stop();
    let report = std::fs::read_to_string(folder.path().join("talkers.out")).expect("a report");
    let whole = format!("\"handshakes\":{clients}");
    let report = report.replace(char::is_whitespace, "");
    assert!(report.contains(&whole), "not {whole}: {report}");
}

fn free_port() -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.local_addr().expect("it is bound").to_string()
}

/// Keys for the whole fleet, by the commands that people use.
fn provision(serve: &Serve, folder: &Path, uri: &str, clients: u64) {
    let scenario = folder.join("keys.toml");
    std::fs::write(&scenario, TALKERS).expect("writable");
    let keys = folder.join("keys.csv");
    let written = program()
        .args([
            "fleet",
            "--server",
            uri,
            "--clients",
            &clients.to_string(),
            "--scenario",
        ])
        .arg(&scenario)
        .arg("--credentials")
        .arg(&keys)
        .output()
        .expect("the program starts");
    assert!(written.status.success(), "{written:?}");
    let imported = program()
        .args(["credential", "import", "--api", &serve.http])
        .arg(&keys)
        .output()
        .expect("the program starts");
    assert!(imported.status.success(), "{imported:?}");
}

/// The sum of all rows of the metrics that begin so.
fn metric(serve: &Serve, name: &str) -> u64 {
    let (agent, http) = serve.api();
    let address = format!("{http}/metrics");
    let page = agent.get(address).call().expect("the metrics");
    let text = page.into_body().read_to_string().expect("text");
    let rows = text.lines().filter(|line| line.starts_with(name));
    let values = rows.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum::<f64>() as u64
}

fn registered(serve: &Serve) -> u64 {
    metric(serve, "dunlin_clients{state=\"registered\"}")
}

/// Those that ended well, by full handshake or resumption, or not at all.
fn handshakes(serve: &Serve) -> u64 {
    metric(serve, "dunlin_dtls_handshakes_total")
}

/// Each Client is read from, and answers.
fn everybody_answers(serve: &Serve, clients: u64) {
    let names: Vec<String> = serve.clients().into_keys().collect();
    assert_eq!(names.len() as u64, clients);
    std::thread::scope(|scope| {
        for some in names.chunks(names.len().div_ceil(READERS)) {
            scope.spawn(move || {
                for name in some {
                    serve.get(&format!("/clients/{name}/3/0"));
                }
            });
        }
    });
}
