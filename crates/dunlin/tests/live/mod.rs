//! What the tests against the running program share: `dunlin serve` as a process that can be killed,
//! its API, its event log, a fleet beside it, and a Client that says exactly what it is told to.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(unreachable_pub, reason = "shared by test binaries")]

pub mod device;

use std::io::{BufRead, BufReader, Read as _, Seek as _, SeekFrom};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value as Json;
use ureq::Agent;
use ureq::http::Request;

/// Long enough for a busy machine; what takes this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Numbers from a seed (xorshift): enough to choose moments and bytes.
pub struct Random(u64);

impl Random {
    /// From the environment variable `DUNLIN_SEED`, or from the clock; printed, so that a failure can
    /// be had again.
    pub fn new() -> Self {
        let given = std::env::var("DUNLIN_SEED")
            .ok()
            .and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| wall_ms() | 1);
        println!("seed {seed} (DUNLIN_SEED repeats it)");
        Self(seed.max(1))
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 16) % limit
    }
}

/// Milliseconds since 1970.
pub fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.expect("after 1970").as_millis()).expect("soon enough")
}

/// A number from the environment.
pub fn setting(name: &str, otherwise: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// The program under test: another one, already built, where `DUNLIN_BINARY` names it.
pub fn binary() -> PathBuf {
    let other = std::env::var_os("DUNLIN_BINARY");
    other.map_or_else(|| env!("CARGO_BIN_EXE_dunlin").into(), PathBuf::from)
}

/// The program, so that it ends with this process whatever happens to it.
pub fn program() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(binary());
    command
}

/// How a Server is started.
pub struct Setup {
    pub data: PathBuf,
    /// The port stays the same over restarts once it is known.
    pub coap: SocketAddr,
    pub environment: Vec<(String, String)>,
    /// What the program is started by: `strace -o …`.
    pub wrapper: Vec<String>,
    /// Further arguments of `serve`.
    pub more: Vec<String>,
}

impl Setup {
    pub fn new(data: &Path) -> Self {
        Self {
            data: data.to_path_buf(),
            coap: "127.0.0.1:0".parse().expect("an address"),
            environment: Vec::new(),
            wrapper: Vec::new(),
            more: Vec::new(),
        }
    }

    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.environment.push((name.into(), value.into()));
    }
}

/// A running `dunlin serve`.
pub struct Serve {
    child: Child,
    pub coap: SocketAddr,
    pub http: String,
    pub log: Arc<Mutex<Vec<String>>>,
    /// How long the start took until the API answered.
    pub started_in: Duration,
    agent: Agent,
}

impl Drop for Serve {
    fn drop(&mut self) {
        // It may have been killed before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Serve {
    /// Starts the Server and waits until it serves. The address of Clients is kept in `setup`.
    pub fn start(setup: &mut Setup) -> Self {
        let begun = Instant::now();
        let mut command = match setup.wrapper.split_first() {
            None => program(),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(binary());
                command
            }
        };
        let mut child = command
            .args(["serve", "--http", "127.0.0.1:0", "--coap"])
            .arg(setup.coap.to_string())
            .arg("--data")
            .arg(&setup.data)
            .args(&setup.more)
            .envs(setup.environment.iter().map(|(n, v)| (n, v)))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let (told, ready) = std::sync::mpsc::channel();
        let kept = log.clone();
        std::thread::spawn(move || {
            let (mut coap, mut told) = (None, Some(told));
            for line in lines.map_while(Result::ok) {
                if line.contains("clients are heard") && !line.contains("DTLS") {
                    coap = line.rsplit("address=").next().and_then(|a| a.parse().ok());
                }
                if let (Some(at), Some(http)) = (coap, line.split("ready: ").nth(1))
                    && let Some(told) = told.take()
                {
                    let _: Result<_, _> = told.send((at, http.trim_end_matches('/').to_owned()));
                }
                kept.lock().expect("nobody panics").push(line);
            }
        });
        let Ok((coap, http)) = ready.recv_timeout(PATIENCE) else {
            let _ = child.kill();
            panic!("serve does not start: {:#?}", log.lock().expect("kept"));
        };
        setup.coap = coap;
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build();
        Self {
            child,
            coap,
            http,
            log,
            started_in: begun.elapsed(),
            agent: agent.into(),
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Ends it as Ctrl-C does, and says whether it ended well.
    pub fn interrupt(mut self) -> bool {
        interrupt(&self.child);
        self.child.wait().is_ok_and(|status| status.success())
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks the API; `Err` when there is no answer.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Result<(u16, Json), ureq::Error> {
        ask(&self.agent, &self.http, method, path, body)
    }

    /// Asks for what must be there.
    pub fn get(&self, path: &str) -> Json {
        let (status, json) = self.ask("GET", path, "").expect("the API answers");
        assert_eq!(status, 200, "GET {path}: {json}");
        json
    }

    /// A second way to the API, for another thread.
    pub fn api(&self) -> (Agent, String) {
        (self.agent.clone(), self.http.clone())
    }

    /// All registered Clients by name, with their registration ids.
    pub fn clients(&self) -> std::collections::HashMap<String, Json> {
        let mut found = std::collections::HashMap::new();
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("/clients?limit=1000{cursor}"));
            for client in page["clients"].as_array().expect("a list") {
                let name = client["endpoint"].as_str().expect("a name").to_owned();
                found.insert(name, client.clone());
            }
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return found,
            }
        }
    }

    /// The event log after a position, until an event that was told after `until_ms`: all before it
    /// have been read then. Returns the events and the position of the last one.
    pub fn events(&self, after: &str, types: &str, until_ms: u64) -> (Vec<Event>, String) {
        let path = format!("{}/api/v1/events?types={types}&after={after}", self.http);
        // A busy machine reads a long stream for longer than any other answer.
        let request = self.agent.get(path).config();
        let request = request.timeout_global(Some(PATIENCE * 10)).build();
        let response = request.call().expect("the stream opens");
        assert_eq!(response.status().as_u16(), 200);
        let lines = BufReader::new(response.into_body().into_reader()).lines();
        let (mut events, mut position) = (Vec::new(), after.to_owned());
        let (mut id, mut kind, mut data) = (String::new(), String::new(), None);
        for line in lines {
            let line = line.expect("the stream goes on");
            if let Some(text) = line.strip_prefix("id: ") {
                text.clone_into(&mut id);
            } else if let Some(text) = line.strip_prefix("event: ") {
                text.clone_into(&mut kind);
            } else if let Some(text) = line.strip_prefix("data: ") {
                data = Some(serde_json::from_str::<Json>(text).expect("JSON"));
            } else if line.is_empty()
                && let Some(data) = data.take()
            {
                let at_ms = parse_time(data["at"].as_str().expect("a time"));
                if at_ms > until_ms {
                    return (events, position);
                }
                position.clone_from(&id);
                let kind = std::mem::take(&mut kind);
                events.push(Event { kind, data });
            }
        }
        panic!("the event stream ended");
    }

    /// Bytes of memory that are resident.
    pub fn resident(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let text = std::fs::read_to_string(path).expect("it runs");
        let line = text.lines().find(|line| line.starts_with("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        number.and_then(|n| n.parse::<u64>().ok()).expect("KiB") * 1024
    }
}

/// One question to the API.
pub fn ask(
    agent: &Agent,
    http: &str,
    method: &str,
    path: &str,
    body: &str,
) -> Result<(u16, Json), ureq::Error> {
    let request = Request::builder()
        .method(method)
        .uri(format!("{http}/api/v1{path}"))
        .header("Content-Type", "application/json");
    let response = if method == "GET" {
        agent.run(request.body(()).expect("a request"))?
    } else {
        agent.run(request.body(body.to_owned()).expect("a request"))?
    };
    let status = response.status().as_u16();
    let mut text = String::new();
    response
        .into_body()
        .into_reader()
        .read_to_string(&mut text)?;
    Ok((status, serde_json::from_str(&text).unwrap_or_default()))
}

/// One event of the log.
#[derive(Debug)]
pub struct Event {
    pub kind: String,
    pub data: Json,
}

/// RFC 3339 in UTC with milliseconds, as the API writes it.
fn parse_time(text: &str) -> u64 {
    let number = |from: usize, to: usize| -> u64 { text[from..to].parse().expect("digits") };
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    // Days since 1970, with years that begin in March.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day;
    let seconds = number(11, 13) * 3600 + number(14, 16) * 60 + number(17, 19);
    (days - 719_469) * 86_400_000 + seconds * 1000 + number(20, 23)
}

/// A running `dunlin fleet`.
pub struct Fleet {
    child: Child,
    ledger: PathBuf,
    /// How much of the ledger was taken.
    taken: usize,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Fleet {
    pub fn start(
        folder: &Path,
        name: &str,
        server: SocketAddr,
        arguments: &[(&str, u64)],
        scenario: &str,
    ) -> Self {
        Self::start_at(
            folder,
            name,
            &format!("coap://{server}"),
            arguments,
            scenario,
        )
    }

    /// The same, by URI.
    pub fn start_at(
        folder: &Path,
        name: &str,
        server: &str,
        arguments: &[(&str, u64)],
        scenario: &str,
    ) -> Self {
        let ledger = folder.join(format!("{name}.ledger"));
        let file = folder.join(format!("{name}.toml"));
        std::fs::write(&file, scenario).expect("writable");
        let mut command = program();
        command
            .args(["fleet", "--json", "--server", server, "--scenario"])
            .arg(file)
            .arg("--ledger")
            .arg(&ledger);
        for (name, value) in arguments {
            command.arg(format!("--{name}")).arg(value.to_string());
        }
        let output = std::fs::File::create(folder.join(format!("{name}.out"))).expect("writable");
        let child = command
            .stdin(Stdio::null())
            .stderr(output.try_clone().expect("writable"))
            .stdout(output)
            .spawn()
            .expect("the fleet starts");
        Self {
            child,
            ledger,
            taken: 0,
        }
    }

    /// What was acknowledged since the last call; lines reach the file within a second.
    pub fn acknowledged(&mut self) -> Vec<Json> {
        let mut text = String::new();
        // There is no file before the fleet has begun.
        let Ok(mut file) = std::fs::File::open(&self.ledger) else {
            return Vec::new();
        };
        file.seek(SeekFrom::Start(self.taken as u64))
            .expect("a file");
        file.read_to_string(&mut text).expect("text");
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        self.taken += whole;
        let line = |line| serde_json::from_str(line).expect("a line of the ledger");
        text[..whole].lines().map(line).collect()
    }

    /// Ends it and waits until the ledger is written.
    pub fn stop(&mut self) {
        interrupt(&self.child);
        self.child.wait().expect("it ends");
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

fn interrupt(child: &Child) {
    let status = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(status.expect("kill").success());
}

/// Waits until something holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
