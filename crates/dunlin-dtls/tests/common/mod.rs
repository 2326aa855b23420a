//! Two machines, a made clock and a network with a will of its own, all from one seed.
#![allow(dead_code, unreachable_pub)] // Each test file uses its part.

use std::collections::BTreeMap;
use std::time::Duration;

use dunlin_dtls::{
    Address, AlertDescription, Answer, CertificateType, CipherSuite, ClientCredentials,
    ClientSettings, Connected, Credential, Dtls, Event, Failure, Need, Output, Question, Role,
    Secret, ServerSettings, SessionId, Settings, Shown, Verdict, identity,
};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

pub const IDENTITY: &[u8] = b"urn:dev:device-1";
pub const KEY: &[u8] = b"a key of sixteen";

pub fn server_address() -> Address {
    Address::other(*b"server..........", 5684)
}

pub fn client_address() -> Address {
    Address::other(*b"client..........", 49152)
}

/// What the network does to datagrams; chances in percent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    pub loss: u64,
    pub duplication: u64,
    pub reordering: u64,
    pub corruption: u64,
}

/// One side: a machine and what it said.
pub struct Side {
    pub dtls: Dtls,
    pub address: Address,
    pub events: Vec<Event>,
    pub reserved: BTreeMap<SessionId, u64>,
    /// Answers given to questions; `None` leaves it open.
    pub answer: fn(&Need) -> Option<Answer>,
    pub needs: Vec<Need>,
    timeout: Option<Duration>,
}

impl Side {
    pub fn new(settings: Settings, seed: u8, address: Address) -> Side {
        Side {
            dtls: Dtls::new(settings, [seed; 32]),
            address,
            events: Vec::new(),
            reserved: BTreeMap::new(),
            answer: trusting,
            needs: Vec::new(),
            timeout: None,
        }
    }

    pub fn connected(&self) -> Option<&Connected> {
        self.events.iter().rev().find_map(|event| match event {
            Event::Connected(connected) => Some(connected),
            _ => None,
        })
    }

    pub fn failure(&self) -> Option<Failure> {
        self.events.iter().rev().find_map(|event| match event {
            Event::Failed { reason, .. } => Some(*reason),
            _ => None,
        })
    }

    pub fn data(&self) -> Vec<&[u8]> {
        let data = self.events.iter().filter_map(|event| match event {
            Event::Data { plaintext, .. } => Some(&plaintext[..]),
            _ => None,
        });
        data.collect()
    }
}

/// Knows one key, and believes every certificate.
pub fn trusting(need: &Need) -> Option<Answer> {
    Some(match &need.question {
        Question::PskFor { identity, .. } => {
            Answer::Psk((identity == IDENTITY).then(|| Secret::from(KEY)))
        }
        _ => Answer::Verdict(Verdict::Accept),
    })
}

/// A datagram on its way.
#[derive(Clone)]
pub struct Letter {
    pub from: Address,
    pub to: Address,
    pub bytes: Vec<u8>,
}

pub struct World {
    pub now: Duration,
    pub client: Side,
    pub server: Side,
    pub weather: Weather,
    /// From which address the client is seen, which a NAT may change.
    pub seen_as: Address,
    /// Every datagram that a side sent, in order.
    pub sent: Vec<Letter>,
    /// Called for each datagram before the weather; false drops it.
    pub filter: Option<fn(&mut Letter, &mut ChaCha8Rng) -> bool>,
    pub barriers: Vec<u64>,
    post: BTreeMap<(Duration, u64), Letter>,
    order: u64,
    pub random: ChaCha8Rng,
}

impl World {
    pub fn new(client: Settings, server: Settings, seed: u64) -> World {
        World {
            now: Duration::from_secs(1000),
            client: Side::new(client, 1 + (seed as u8 & 0x7f), client_address()),
            server: Side::new(server, 129 + (seed as u8 & 0x3f), server_address()),
            weather: Weather::default(),
            seen_as: client_address(),
            sent: Vec::new(),
            filter: None,
            barriers: Vec::new(),
            post: BTreeMap::new(),
            order: 0,
            random: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// A world with one PSK suite.
    pub fn psk(suite: CipherSuite, seed: u64) -> World {
        World::new(
            settings(&[suite], None),
            settings(&[suite], Some(server())),
            seed,
        )
    }

    pub fn connect(&mut self, settings: ClientSettings) -> SessionId {
        let id = self
            .client
            .dtls
            .connect(self.now, server_address(), settings)
            .unwrap();
        self.settle();
        id
    }

    /// Connects and waits until both sides say so.
    pub fn connected(&mut self, settings: ClientSettings) -> (SessionId, SessionId) {
        self.client.events.clear();
        self.server.events.clear();
        self.connect(settings);
        self.run(Duration::from_secs(5));
        let client = self
            .client
            .connected()
            .expect("the client connects")
            .session;
        let server = self
            .server
            .connected()
            .expect("the server connects")
            .session;
        (client, server)
    }

    /// Lets time pass: letters arrive and timers ring in order.
    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            self.settle();
            let letter = self.post.keys().next().map(|(at, _)| *at);
            let timers = [self.client.timeout, self.server.timeout];
            let next = timers.into_iter().flatten().chain(letter).min();
            match next {
                Some(at) if at <= end => self.now = self.now.max(at),
                _ => break,
            }
            if let Some((key, letter)) = self.post.pop_first() {
                if key.0 <= self.now {
                    self.deliver(&letter);
                    continue;
                }
                self.post.insert(key, letter);
            }
            self.client.dtls.handle_timeout(self.now);
            self.server.dtls.handle_timeout(self.now);
        }
        self.now = end;
    }

    pub fn deliver(&mut self, letter: &Letter) {
        let side = if letter.to == server_address() {
            &mut self.server
        } else {
            &mut self.client
        };
        side.dtls
            .handle_receive(self.now, letter.from, &letter.bytes);
        self.settle();
    }

    /// Drains both sides.
    pub fn settle(&mut self) {
        while self.drain(true) | self.drain(false) {}
    }

    /// Datagrams that have not arrived yet.
    pub fn under_way(&self) -> usize {
        self.post.len()
    }

    fn drain(&mut self, client: bool) -> bool {
        let mut answered = false;
        loop {
            let side = if client {
                &mut self.client
            } else {
                &mut self.server
            };
            match side.dtls.poll_output() {
                Output::Transmit(transmit) => {
                    self.barriers.push(transmit.barrier);
                    let from = if client {
                        self.seen_as
                    } else {
                        server_address()
                    };
                    let to = transmit.to;
                    self.send(Letter {
                        from,
                        to,
                        bytes: transmit.bytes,
                    });
                }
                Output::Need(need) => {
                    if let Some(answer) = (side.answer)(&need) {
                        side.dtls.handle_answer(self.now, need.id, answer);
                        answered = true;
                    }
                    side.needs.push(need);
                }
                Output::Reserve { session, up_to } => {
                    side.reserved.insert(session, up_to);
                }
                Output::Event(event) => side.events.push(event),
                Output::Timeout(timeout) => {
                    side.timeout = timeout;
                    return answered;
                }
            }
        }
    }

    fn send(&mut self, mut letter: Letter) {
        self.sent.push(letter.clone());
        if let Some(filter) = self.filter
            && !filter(&mut letter, &mut self.random)
        {
            return;
        }
        let copies = 1 + u64::from(self.chance(self.weather.duplication));
        for _ in 0..copies {
            if self.chance(self.weather.loss) {
                continue;
            }
            let mut letter = letter.clone();
            if self.chance(self.weather.corruption) {
                let bit = self.random.next_u64() as usize % (letter.bytes.len() * 8);
                letter.bytes[bit / 8] ^= 1 << (bit % 8);
            }
            let mut delay = Duration::from_millis(20);
            if self.chance(self.weather.reordering) {
                delay += Duration::from_millis(self.random.next_u64() % 400);
            }
            self.order += 1;
            self.post.insert((self.now + delay, self.order), letter);
        }
    }

    fn chance(&mut self, percent: u64) -> bool {
        percent > 0 && self.random.next_u64() % 100 < percent
    }
}

pub fn settings(suites: &[CipherSuite], server: Option<ServerSettings>) -> Settings {
    Settings {
        suites: suites.to_vec(),
        server,
        ..Settings::default()
    }
}

pub fn server() -> ServerSettings {
    ServerSettings::default()
}

pub fn psk_client() -> ClientSettings {
    ClientSettings::psk(IDENTITY, KEY)
}

/// A certification authority and what it issued.
pub struct Pki {
    pub anchor: Vec<u8>,
    pub server: Credential,
    pub client: Credential,
    pub server_chain: Vec<Vec<u8>>,
    pub client_chain: Vec<Vec<u8>>,
}

pub const SERVER_NAME: &str = "lwm2m.example";

impl Pki {
    /// With an intermediate authority for the server.
    pub fn new() -> Pki {
        use rcgen::*;
        let authority = |name: &str| {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(DnType::CommonName, name);
            params
        };
        let root_key = KeyPair::generate().unwrap();
        let root_params = authority("root");
        let root = root_params.self_signed(&root_key).unwrap();
        let root_issuer = Issuer::from_params(&root_params, &root_key);
        let middle_key = KeyPair::generate().unwrap();
        let middle_params = authority("middle");
        let middle = middle_params.signed_by(&middle_key, &root_issuer).unwrap();
        let middle_issuer = Issuer::from_params(&middle_params, &middle_key);

        let server_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![SERVER_NAME.to_string()]).unwrap();
        params
            .extended_key_usages
            .push(ExtendedKeyUsagePurpose::ServerAuth);
        let server = params.signed_by(&server_key, &middle_issuer).unwrap();
        let client_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["device-1".to_string()]).unwrap();
        params
            .extended_key_usages
            .push(ExtendedKeyUsagePurpose::ClientAuth);
        let client = params.signed_by(&client_key, &root_issuer).unwrap();

        let server_chain = vec![server.der().to_vec(), middle.der().to_vec()];
        let client_chain = vec![client.der().to_vec()];
        let credential = |key: &KeyPair, chain: &[Vec<u8>]| {
            let key = dunlin_dtls::SigningKey::from_der(&key.serialize_der()).unwrap();
            Credential::certificates(key, chain.to_vec()).unwrap()
        };
        Pki {
            anchor: root.der().to_vec(),
            server: credential(&server_key, &server_chain),
            client: credential(&client_key, &client_chain),
            server_chain,
            client_chain,
        }
    }

    pub fn server_settings(&self) -> ServerSettings {
        ServerSettings {
            credential: Some(self.server.clone()),
            ..server()
        }
    }

    pub fn client_settings(&self, kind: CertificateType) -> ClientSettings {
        ClientSettings::new(ClientCredentials::Signature {
            credential: self.client.clone(),
            present: kind,
            accept: vec![kind],
        })
    }

    /// What a careful layer above would say to a chain at this time.
    pub fn judge(&self, need: &Need, wall_s: u64) -> Verdict {
        let Question::VerdictOn {
            shown: Shown::Chain(chain),
            role,
            server_name,
        } = &need.question
        else {
            return Verdict::Refuse(AlertDescription::CERTIFICATE_UNKNOWN);
        };
        let name = server_name.as_deref().filter(|_| *role == Role::Server);
        let anchors = [self.anchor.clone()];
        match identity::verify_chain(chain, &anchors, *role, wall_s, name) {
            Ok(()) => Verdict::Accept,
            Err(_) => Verdict::Refuse(AlertDescription::BAD_CERTIFICATE),
        }
    }
}
