//! DTLS between the machine of the fleet and its sockets: one machine of DTLS with a session for
//! each Client, keyed by the number of the Client where others have an address.
//!
//! A Client makes its session when it has something to say, with a pre-shared key of its own and a
//! Connection ID for what it sends. The keys follow from the numbers: they are for trials, and
//! [`credentials`] writes them down for the server.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use dunlin_transport::dtls::{Address, ClientSettings, Dtls, Event, Output, SessionId, Settings};

/// Messages that wait for a handshake; a Client has one request under way.
const HELD_MAX: usize = 8;

/// What a Client's session is.
#[derive(Default)]
enum Session {
    #[default]
    None,
    Opening(Vec<Vec<u8>>),
    Open(SessionId),
}

/// DTLS for all Clients.
pub(crate) struct Secured {
    dtls: Dtls,
    first: u32,
    sessions: Vec<Session>,
    bindings: Vec<u16>,
    clients: HashMap<SessionId, u32>,
    /// Datagrams that are to be sent: the Client, its binding, the bytes.
    pub(crate) outwards: Vec<(u32, u16, Vec<u8>)>,
    /// Messages that came: the Client, and the bytes.
    pub(crate) inwards: Vec<(u32, Vec<u8>)>,
    /// Handshakes that ended well.
    pub(crate) handshakes: u64,
    /// When the first and the last of them did.
    span: Option<(Duration, Duration)>,
    /// Handshakes that failed, and sessions that the server ended.
    pub(crate) failures: Vec<&'static str>,
}

/// The name that stands for a Client in the tables of DTLS.
fn place(client: u32) -> Address {
    let mut host = [0; 16];
    host[..4].copy_from_slice(&client.to_be_bytes());
    Address::other(host, 0)
}

fn client_at(place: Address) -> u32 {
    let [a, b, c, d, ..] = place.to_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// The key of a Client, by its number: 16 bytes that everybody knows.
fn key(number: u32) -> [u8; 16] {
    let mut key = *b"dunlin fleet\0\0\0\0";
    key[12..].copy_from_slice(&number.to_be_bytes());
    key
}

/// A table for `dunlin credential import`, with the key of every Client by its name.
pub(crate) fn credentials(first: u32, clients: u32, name: impl Fn(u32) -> String) -> String {
    let mut table = "endpoint,mode,identity,key\n".to_owned();
    for client in 0..clients {
        let name = name(client);
        let _ = write!(table, "{name},psk,{name},");
        for byte in key(first + client) {
            let _ = write!(table, "{byte:02x}");
        }
        table.push('\n');
    }
    table
}

impl Secured {
    pub(crate) fn new(clients: u32, first: u32, seed: [u8; 32]) -> Self {
        let settings = Settings {
            handshakes_max: clients as usize,
            sessions_max: clients as usize + 1,
            ..Settings::default()
        };
        Self {
            dtls: Dtls::new(settings, seed),
            first,
            sessions: (0..clients).map(|_| Session::None).collect(),
            bindings: vec![0; clients as usize],
            clients: HashMap::new(),
            outwards: Vec::new(),
            inwards: Vec::new(),
            handshakes: 0,
            span: None,
            failures: Vec::new(),
        }
    }

    /// A Client says this in the clear.
    pub(crate) fn send(
        &mut self,
        now: Duration,
        client: u32,
        binding: u16,
        bytes: &[u8],
        name: impl Fn(u32) -> String,
    ) {
        let index = client as usize;
        self.bindings[index] = binding;
        match &mut self.sessions[index] {
            Session::Open(session) => {
                // What is too long is lost, and shows as an answer that does not come.
                let _ = self.dtls.send(now, *session, bytes, 0);
            }
            Session::Opening(held) if held.len() < HELD_MAX => held.push(bytes.to_vec()),
            Session::Opening(_) => {}
            Session::None => {
                let settings =
                    ClientSettings::psk(name(client).as_bytes(), &key(self.first + client));
                if self.dtls.connect(now, place(client), settings).is_ok() {
                    self.sessions[index] = Session::Opening(vec![bytes.to_vec()]);
                }
            }
        }
        self.drain(now);
    }

    /// A datagram came for a Client.
    pub(crate) fn receive(&mut self, now: Duration, client: u32, bytes: &[u8]) {
        if (client as usize) < self.sessions.len() {
            self.dtls.handle_receive(now, place(client), bytes);
            self.drain(now);
        }
    }

    /// Handshakes per second between the first and the last.
    pub(crate) fn handshakes_per_s(&self) -> f64 {
        let (first, last) = self.span.unwrap_or_default();
        let seconds = last.saturating_sub(first).as_secs_f64();
        if seconds > 0.0 {
            (self.handshakes - 1) as f64 / seconds
        } else {
            0.0
        }
    }

    /// A Client has restarted and knows nothing of a session; nor does it say goodbye.
    pub(crate) fn forget(&mut self, now: Duration, client: u32) {
        match &mut self.sessions[client as usize] {
            Session::None => {}
            // Its handshake goes on, as it would have done with other numbers.
            Session::Opening(held) => held.clear(),
            Session::Open(session) => {
                let session = *session;
                self.clients.remove(&session);
                self.sessions[client as usize] = Session::None;
                let before = self.outwards.len();
                if self.dtls.close(now, session, 0).is_ok() {
                    self.drain(now);
                }
                self.outwards.truncate(before);
            }
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Duration) {
        self.dtls.handle_timeout(now);
        self.drain(now);
    }

    pub(crate) fn next_timeout(&mut self) -> Option<Duration> {
        match self.dtls.poll_output() {
            Output::Timeout(at) => at,
            // Everything is drained after every call.
            _ => None,
        }
    }

    fn drain(&mut self, now: Duration) {
        loop {
            match self.dtls.poll_output() {
                Output::Transmit(transmit) => {
                    let client = client_at(transmit.to);
                    let binding = self.bindings[client as usize];
                    self.outwards.push((client, binding, transmit.bytes));
                }
                Output::Event(event) => self.hear(now, event),
                Output::Timeout(_) => return,
                Output::Need(_) | Output::Reserve { .. } => {}
            }
        }
    }

    fn hear(&mut self, now: Duration, event: Event) {
        match event {
            Event::Connected(connected) => {
                let client = client_at(connected.address);
                self.handshakes += 1;
                let (first, _) = self.span.unwrap_or((now, now));
                self.span = Some((first, now));
                self.clients.insert(connected.session, client);
                let open = Session::Open(connected.session);
                let before = std::mem::replace(&mut self.sessions[client as usize], open);
                if let Session::Opening(held) = before {
                    for bytes in held {
                        let _ = self.dtls.send(now, connected.session, &bytes, 0);
                    }
                }
            }
            Event::Data {
                session, plaintext, ..
            } => {
                if let Some(client) = self.clients.get(&session) {
                    self.inwards.push((*client, plaintext));
                }
            }
            Event::Closed { session, .. } => {
                if let Some(client) = self.clients.remove(&session) {
                    self.sessions[client as usize] = Session::None;
                    self.failures.push("session_ended");
                }
            }
            Event::Failed { address, .. } => {
                self.sessions[client_at(address) as usize] = Session::None;
                self.failures.push("handshake_failed");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunlin_transport::dtls::{Answer, Question, Secret, ServerSettings};

    fn name(client: u32) -> String {
        format!("urn:fleet:{client}")
    }

    /// Carries what is said to and fro until nobody says anything; what the server heard.
    fn talk(server: &mut Dtls, fleet: &mut Secured, now: Duration) -> Vec<Vec<u8>> {
        let mut heard = Vec::new();
        while !fleet.outwards.is_empty() {
            for (client, _, bytes) in std::mem::take(&mut fleet.outwards) {
                server.handle_receive(now, place(client), &bytes);
            }
            loop {
                match server.poll_output() {
                    Output::Transmit(transmit) => {
                        fleet.receive(now, client_at(transmit.to), &transmit.bytes);
                    }
                    Output::Need(need) => {
                        let Question::PskFor { identity, .. } = &need.question else {
                            panic!("{need:?}")
                        };
                        let client = client_at(need.address);
                        assert_eq!(*identity, name(client).into_bytes());
                        let key = Secret::from(&key(7 + client)[..]);
                        server.handle_answer(now, need.id, Answer::Psk(Some(key)));
                    }
                    Output::Event(Event::Data { plaintext, .. }) => heard.push(plaintext),
                    Output::Timeout(_) => break,
                    _ => {}
                }
            }
        }
        heard
    }

    #[test]
    fn each_client_has_a_session_with_its_own_key() {
        let table = credentials(7, 3, name);
        assert_eq!(table.lines().count(), 4);
        assert!(table.contains("urn:fleet:2,psk,urn:fleet:2,64756e6c696e20666c65657400000009"));

        let server = Settings {
            server: Some(ServerSettings::default()),
            ..Settings::default()
        };
        let mut server = Dtls::new(server, [1; 32]);
        let mut fleet = Secured::new(3, 7, [2; 32]);
        let now = Duration::from_secs(1);
        for client in 0..3 {
            fleet.send(now, client, 5, &[client as u8; 4], name);
        }
        let mut heard = talk(&mut server, &mut fleet, now);
        heard.sort();
        assert_eq!(heard, [[0; 4], [1; 4], [2; 4]]);
        assert_eq!((fleet.handshakes, fleet.failures.len()), (3, 0));

        // One restarts: it says nothing of that, and shakes hands anew when it has something to say.
        fleet.forget(now, 1);
        assert!(fleet.outwards.is_empty());
        // Another has moved to another port meanwhile, and its session with it.
        fleet.send(now, 2, 6, b"moved", name);
        fleet.send(now, 1, 5, b"back", name);
        let mut bindings: Vec<_> = fleet.outwards.iter().map(|one| (one.0, one.1)).collect();
        bindings.sort_unstable();
        assert_eq!(bindings, [(1, 5), (2, 6)]);
        let mut heard = talk(&mut server, &mut fleet, now);
        heard.sort();
        assert_eq!(heard, [&b"back"[..], b"moved"]);
        assert_eq!((fleet.handshakes, fleet.failures.len()), (4, 0));
    }
}
