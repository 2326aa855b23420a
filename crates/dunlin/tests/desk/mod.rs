//! `dunlin serve` and the programs beside it as processes, for tests that look at `dunlin client`.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Nothing here takes longer, unless it is broken.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) fn dunlin(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dunlin"));
    command.args(arguments).stdin(Stdio::null());
    command
}

pub(crate) fn failure(arguments: &[&str]) -> String {
    let output = dunlin(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

/// Ends with the test, whatever happens.
pub(crate) struct Running {
    pub(crate) child: Child,
    out: Receiver<String>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // A thread reads, so that a program that says nothing can be given up.
        let (said, out) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if said.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, out }
    }

    /// The next line that contains this.
    pub(crate) fn line(&mut self, part: &str) -> String {
        let end = Instant::now() + DEADLINE;
        let mut seen = String::new();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(line) = self.out.recv_timeout(left) else {
                panic!("no {part:?} in {seen}");
            };
            if line.contains(part) {
                return line;
            }
            seen.push_str(&line);
            seen.push('\n');
        }
    }

    pub(crate) fn interrupt(mut self) -> String {
        let id = self.child.id().to_string();
        let kill = Command::new("kill").args(["-INT", &id]).status().unwrap();
        assert!(kill.success());
        let rest: Vec<String> = self.out.iter().collect();
        let rest = rest.join("\n");
        assert!(self.child.wait().unwrap().success(), "{rest}");
        rest
    }
}

impl Running {
    /// Ends without a word, as a power cut does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address of this machine where nobody listens.
pub(crate) fn free_port() -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().to_string()
}

pub(crate) struct Desk {
    server: Running,
    arguments: Vec<String>,
    pub(crate) coap: String,
    pub(crate) api: String,
}

impl Desk {
    pub(crate) fn open(folder: &Path) -> Self {
        Self::open_with(folder, &[])
    }

    /// With more doors than the one in the clear.
    pub(crate) fn open_with(folder: &Path, more: &[&str]) -> Self {
        let http = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
        let (coap, http) = (free_port(), http.unwrap().to_string());
        let data = folder.join("data");
        let data = data.to_str().unwrap();
        let mut arguments = vec!["serve", "--coap", &coap, "--http", &http, "--data", data];
        arguments.extend(more);
        let desk = Self {
            server: Running::start(&mut dunlin(&arguments)),
            arguments: arguments.iter().map(ToString::to_string).collect(),
            coap: format!("coap://{coap}"),
            api: format!("http://{http}"),
        };
        desk.wait();
        desk
    }

    fn wait(&self) {
        let begin = Instant::now();
        while !self.run(&["list"]).status.success() {
            assert!(begin.elapsed() < DEADLINE, "the server does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The Server ends without a word, and is there again.
    pub(crate) fn restart(&mut self) {
        self.server.child.kill().unwrap();
        self.server.child.wait().unwrap();
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        self.server = Running::start(&mut dunlin(&arguments));
        self.wait();
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = dunlin(arguments);
        command.env("DUNLIN_API", &self.api).output().unwrap()
    }

    pub(crate) fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }
}
