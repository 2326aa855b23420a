//! The thin room around the machine: a socket, a clock, a seed, and answers to its questions.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // A driver has a socket and a clock.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dunlin_dtls::{
    Address, AlertDescription, Answer, Dtls, Event, Need, Output, Question, ResumptionState, Role,
    SessionId, Shown, Verdict, identity,
};

use crate::options::Options;

/// See the module.
pub(crate) struct Driver<'a> {
    pub(crate) dtls: Dtls,
    pub(crate) resumed: bool,
    options: &'a Options,
    socket: UdpSocket,
    started: Instant,
    timeout: Option<Duration>,
    events: Vec<Event>,
}

impl<'a> Driver<'a> {
    pub(crate) fn new(options: &'a Options) -> Driver<'a> {
        let socket = UdpSocket::bind(options.bind).expect("a free port");
        Driver {
            dtls: Dtls::new(options.settings(), seed()),
            resumed: false,
            options,
            socket,
            started: Instant::now(),
            timeout: None,
            events: Vec::new(),
        }
    }

    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn local_address(&self) -> SocketAddr {
        self.socket.local_addr().expect("a bound socket")
    }

    pub(crate) fn is_over(&self) -> bool {
        self.now() > Duration::from_secs(self.options.seconds)
    }

    /// Waits for a datagram or a timer, and feeds the machine.
    pub(crate) fn step(&mut self) {
        self.drain();
        let longest = Duration::from_millis(200);
        let wait = self
            .timeout
            .map_or(longest, |at| at.saturating_sub(self.now()).min(longest));
        self.socket
            .set_read_timeout(Some(wait.max(Duration::from_millis(1))))
            .expect("a positive time");
        let mut buffer = [0; 2048];
        if let Ok((length, from)) = self.socket.recv_from(&mut buffer) {
            self.dtls
                .handle_receive(self.now(), Address::from(from), &buffer[..length]);
        }
        self.dtls.handle_timeout(self.now());
        self.drain();
    }

    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    pub(crate) fn say(&mut self, session: SessionId, words: &[u8]) {
        if let Err(refused) = self.dtls.send(self.now(), session, words, 0) {
            println!("not sent: {refused}");
        }
        self.drain();
    }

    pub(crate) fn close(&mut self, session: SessionId) {
        let _ = self.dtls.close(self.now(), session, 0);
        self.drain();
    }

    /// A new machine with nothing of the old one but the exported session.
    pub(crate) fn restart(&mut self, session: SessionId) -> SessionId {
        let bytes = self.dtls.export(session).expect("a live session");
        self.drain();
        self.dtls = Dtls::new(self.options.settings(), seed());
        let session = self
            .dtls
            .import(self.now(), bytes.expose(), 0)
            .expect("an exported session");
        println!("restarted with {} bytes", bytes.expose().len());
        session
    }

    /// Connects once more, by resumption.
    pub(crate) fn resume(&mut self, state: ResumptionState) {
        self.resumed = true;
        let mut settings = self.options.client_settings();
        settings.resume = Some(state);
        let to = Address::from(self.options.to.expect("only clients resume"));
        self.dtls
            .connect(self.now(), to, settings)
            .expect("no other handshake");
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            match self.dtls.poll_output() {
                Output::Transmit(transmit) => {
                    let to = transmit
                        .to
                        .to_socket_addr()
                        .expect("all our addresses are UDP");
                    let _ = self.socket.send_to(&transmit.bytes, to);
                }
                Output::Need(need) => {
                    let answer = self.answer(&need);
                    self.dtls.handle_answer(self.now(), need.id, answer);
                }
                // A real driver commits this before it sends anything more.
                Output::Reserve { .. } => {}
                Output::Event(event) => self.events.push(event),
                Output::Timeout(timeout) => {
                    self.timeout = timeout;
                    return;
                }
            }
        }
    }

    fn answer(&self, need: &Need) -> Answer {
        match &need.question {
            Question::PskFor { identity, .. } => {
                let known = identity == self.options.identity.as_bytes();
                Answer::Psk(known.then(|| self.options.key.clone()))
            }
            Question::VerdictOn {
                shown: Shown::Chain(chain),
                role,
                ..
            } => Answer::Verdict(self.judge(chain, *role)),
            // The script compares keys by what the event line says.
            _ => Answer::Verdict(Verdict::Accept),
        }
    }

    fn judge(&self, chain: &[Vec<u8>], role: Role) -> Verdict {
        let Some(anchor) = &self.options.anchor else {
            return Verdict::Accept;
        };
        let wall_s = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |wall| wall.as_secs());
        let name = self
            .options
            .name
            .as_deref()
            .filter(|_| role == Role::Server);
        match identity::verify_chain(chain, std::slice::from_ref(anchor), role, wall_s, name) {
            Ok(()) => Verdict::Accept,
            Err(rejected) => {
                println!("{rejected}");
                Verdict::Refuse(AlertDescription::BAD_CERTIFICATE)
            }
        }
    }
}

/// Good enough for an example on the loopback: the process and the clock. A product takes the
/// operating system's entropy.
fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    let nanos = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |wall| wall.as_nanos());
    seed[..16].copy_from_slice(&nanos.to_be_bytes());
    seed[16..20].copy_from_slice(&std::process::id().to_be_bytes());
    seed
}
