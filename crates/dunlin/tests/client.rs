//! `dunlin client` against `dunlin serve`, each a process of its own, seen through REST.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Nothing here takes longer, unless it is broken.
const DEADLINE: Duration = Duration::from_secs(20);

fn dunlin(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn failure(arguments: &[&str]) -> String {
    let output = dunlin(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

/// Ends with the test, whatever happens.
struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    /// The next line that contains this.
    fn line(&mut self, part: &str) -> String {
        let begin = Instant::now();
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            let length = self.out.read_line(&mut line).unwrap();
            assert!(
                length > 0 && begin.elapsed() < DEADLINE,
                "no {part:?} in {seen}"
            );
            if line.contains(part) {
                return line;
            }
            seen.push_str(&line);
        }
    }

    fn interrupt(mut self) -> String {
        let id = self.child.id().to_string();
        let kill = Command::new("kill").args(["-INT", &id]).status().unwrap();
        assert!(kill.success());
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success(), "{rest}");
        rest
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Desk {
    _server: Running,
    coap: String,
    api: String,
}

impl Desk {
    fn open(folder: &Path) -> Self {
        let coap = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr();
        let http = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
        let (coap, http) = (coap.unwrap().to_string(), http.unwrap().to_string());
        let data = folder.join("data");
        let mut command = dunlin(&["serve", "--coap", &coap, "--http", &http]);
        let server = Running::start(command.arg("--data").arg(data));
        let desk = Self {
            _server: server,
            coap: format!("coap://{coap}"),
            api: format!("http://{http}"),
        };
        let begin = Instant::now();
        while !desk.run(&["list"]).status.success() {
            assert!(begin.elapsed() < DEADLINE, "the server does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        desk
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = dunlin(arguments);
        command.env("DUNLIN_API", &self.api).output().unwrap()
    }

    fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn a_client_registers_serves_reboots_remembers_and_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let desk = Desk::open(folder.path());
    let state = folder.path().join("state");
    let state = state.to_str().unwrap();
    let arguments = [
        "client",
        "--server",
        &desk.coap,
        "--endpoint",
        "lamp",
        "--state",
        state,
    ];
    let mut client = Running::start(&mut dunlin(&arguments));
    client.line("registered with");

    assert!(failure(&arguments).contains("another dunlin client"));
    let device = desk.says(&["read", "lamp", "/3/0"]);
    assert!(
        device.contains("dunlin") && device.contains("Memory Total"),
        "{device}"
    );
    assert!(
        desk.says(&["read", "lamp", "/3303/0/5700"])
            .contains("Sensor Value")
    );
    desk.says(&["write", "lamp", "/3/0/14", "+05:45"]);
    client.line("written by the server: /3/0/14 = +05:45");
    desk.says(&["observe", "lamp", "/3303/0/5700", "--count", "1"]);
    client.line("observed from now on: /3303/0/5700");

    desk.says(&["execute", "lamp", "/3/0/4"]);
    client.line("reboots");
    client.line("registered with");
    assert!(desk.says(&["read", "lamp", "/3/0/14"]).contains("+05:45"));
    assert!(client.interrupt().contains("de-registered from"));

    let mut client = Running::start(&mut dunlin(&arguments));
    client.line("registered with");
    assert!(desk.says(&["read", "lamp", "/3/0/14"]).contains("+05:45"));
    desk.says(&["execute", "lamp", "/3/0/5"]);
    client.line("is as new");
    client.line("registered with");
    assert!(!desk.says(&["read", "lamp", "/3/0/14"]).contains("+05:45"));
    client.interrupt();
}

#[test]
fn wrong_addresses_and_names_are_told_in_one_line() {
    for (arguments, words) in [
        (["--server", "http://a"], "begins with neither coap://"),
        (["--server", "coap://a:x"], "no number from 1 to 65535"),
        (["--server", "coaps://a"], "without security"),
    ] {
        let error = failure(&["client", arguments[0], arguments[1]]);
        assert!(error.contains(words), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    let error = failure(&["client", "--server", "coap://127.0.0.1:9", "--endpoint", ""]);
    assert!(error.contains("--endpoint"), "{error}");
}
