//! Illegal orders of messages, for each role and suite. A puppet plays the other side: it sends any
//! messages in any order and epoch, and its Finished is always right for what it sent and heard.
//! So what stops it is the order alone; nothing but the legal one may reach `Connected`.
//!
//! ChangeCipherSpec has no number, so a datagram with it may overtake or be overtaken: where it
//! stands is no part of the order, only that it comes.

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use rand_core::SeedableRng;
use zeroize::Zeroizing;

use super::exchange::{Exchange, psk_premaster, signed_parameters};
use crate::address::Address;
use crate::crypto::Secret;
use crate::crypto::ecc::EphemeralKey;
use crate::crypto::protect::Scheme;
use crate::crypto::suite::CipherSuite;
use crate::event::{Answer, Event, Output, Question, Verdict};
use crate::fuzz::fixed_key;
use crate::identity::{Credential, PeerIdentity};
use crate::message::client_hello::{ClientHello, encode_suites};
use crate::message::codec::Reader;
use crate::message::extension::Extensions;
use crate::message::hello_verify_request::HelloVerifyRequest;
use crate::message::key_exchange::{self, ServerEcdhe};
use crate::message::server_hello::ServerHello;
use crate::message::session_ticket::NewSessionTicket;
use crate::message::signature::Signature;
use crate::message::{Fragment, certificate, certificate_request, encode_whole, kind};
use crate::record::{self, Record, VERSION_1_2, content_type};
use crate::settings::{CidOffer, ClientCredentials, ClientSettings, ServerSettings, Settings};
use crate::{CertificateType, Dtls, Random, ResumptionState, Role};

const NOW: Duration = Duration::from_secs(1);
const IDENTITY: &[u8] = b"device";
const KEY: &[u8] = b"0123456789abcdef";

/// One thing a puppet does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Act {
    /// Sends a message where it belongs: a Finished under protection, others not.
    Say(u8),
    /// Sends a message in the other epoch.
    SayInWrongEpoch(u8),
    ChangeCipherSpec,
    /// Application data under protection.
    Data,
}

use Act::{ChangeCipherSpec, Data, Say, SayInWrongEpoch};

fn suites() -> [CipherSuite; 8] {
    CipherSuite::ALL
}

/// All that can be said, of either role.
const KINDS: [u8; 10] = [
    kind::SERVER_HELLO,
    kind::NEW_SESSION_TICKET,
    kind::CERTIFICATE,
    kind::SERVER_KEY_EXCHANGE,
    kind::CERTIFICATE_REQUEST,
    kind::SERVER_HELLO_DONE,
    kind::CERTIFICATE_VERIFY,
    kind::CLIENT_KEY_EXCHANGE,
    kind::FINISHED,
    99,
];

/// The legal acts with one omitted, one repeated, two swapped, one replaced, one added, one in
/// the wrong epoch.
fn variations(legal: &[Act]) -> Vec<Vec<Act>> {
    let mut all = vec![legal.to_vec()];
    let mut vary = |change: &dyn Fn(&mut Vec<Act>)| {
        let mut acts = legal.to_vec();
        change(&mut acts);
        all.push(acts);
    };
    for at in 0..legal.len() {
        vary(&|acts| {
            acts.remove(at);
        });
        vary(&|acts| acts.insert(at, legal[at]));
        vary(&|acts| acts.insert(at, Data));
        if let Say(kind) = legal[at] {
            vary(&|acts| acts[at] = SayInWrongEpoch(kind));
        }
        for other in at + 1..legal.len() {
            vary(&|acts| acts.swap(at, other));
        }
        for kind in KINDS {
            vary(&|acts| acts[at] = Say(kind));
            vary(&|acts| acts.insert(at, Say(kind)));
        }
    }
    all
}

/// What counts of an order.
fn essence(acts: &[Act]) -> Vec<Act> {
    acts.iter()
        .copied()
        .filter(|act| !matches!(act, ChangeCipherSpec | Data))
        .collect()
}

/// Does it begin with the legal order? What comes after that does not undo it.
fn is_legal(acts: &[Act], legal: &[Act]) -> bool {
    (1..=acts.len()).map(|end| &acts[..end]).any(|acts| {
        essence(acts) == essence(legal)
            && acts.contains(&ChangeCipherSpec) == legal.contains(&ChangeCipherSpec)
    })
}

/// The side under test.
struct Subject {
    dtls: Dtls,
    connected: bool,
    resumable: Option<ResumptionState>,
    heard: usize,
    datagrams: Vec<Vec<u8>>,
}

impl Subject {
    fn new(role: Role, suite: CipherSuite) -> Subject {
        let credential = Credential::raw_public_key(fixed_key());
        let server = ServerSettings {
            credential: Some(credential),
            ..ServerSettings::default()
        };
        let settings = Settings {
            suites: vec![suite],
            server: (role == Role::Server).then_some(server),
            ..Settings::default()
        };
        let dtls = Dtls::new(settings, [7; 32]);
        Subject {
            dtls,
            connected: false,
            resumable: None,
            heard: 0,
            datagrams: Vec::new(),
        }
    }

    fn hear(&mut self, datagram: &[u8]) {
        self.dtls.handle_receive(NOW, puppet_address(), datagram);
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            match self.dtls.poll_output() {
                Output::Transmit(transmit) => self.datagrams.push(transmit.bytes),
                Output::Need(need) => {
                    let answer = match need.question {
                        Question::PskFor { .. } => Answer::Psk(Some(Secret::from(KEY))),
                        _ => Answer::Verdict(Verdict::Accept),
                    };
                    self.dtls.handle_answer(NOW, need.id, answer);
                }
                Output::Event(Event::Connected(_)) => self.connected = true,
                Output::Event(Event::Resumable { state, .. }) => self.resumable = Some(state),
                Output::Event(Event::Data { .. }) => {
                    assert!(self.connected, "data before the handshake is over");
                    self.heard += 1;
                }
                Output::Event(_) | Output::Reserve { .. } => {}
                Output::Timeout(_) => return,
            }
        }
    }
}

fn puppet_address() -> Address {
    Address::other([2; 16], 2)
}

/// The side that does as it is told.
struct Puppet {
    subject: Subject,
    exchange: Exchange,
    suite: CipherSuite,
    random: Random,
    ephemeral: EphemeralKey,
    peer_point: Vec<u8>,
    sequence: u64,
    announce_ticket: bool,
    /// Of the session before, to be resumed.
    session_id: Vec<u8>,
    resuming: bool,
}

impl Puppet {
    fn new(role: Role, suite: CipherSuite) -> Puppet {
        let mut random = Random::from_seed([9; 32]);
        let under_test = if role == Role::Client {
            Role::Server
        } else {
            Role::Client
        };
        let mut exchange = Exchange::new(role, puppet_address(), 0, NOW);
        exchange.identity = Some(PeerIdentity::Psk(Vec::new()).into());
        exchange.scheme = Some(Scheme {
            suite,
            encrypt_then_mac: false,
        });
        exchange.extended_master_secret = true;
        Puppet {
            subject: Subject::new(under_test, suite),
            exchange,
            suite,
            ephemeral: EphemeralKey::draw(&mut random).unwrap(),
            random,
            peer_point: Vec::new(),
            sequence: 0,
            announce_ticket: false,
            session_id: Vec::new(),
            resuming: false,
        }
    }

    /// Begins a second handshake, with the secrets of the first.
    fn begin_again(&mut self) {
        let earlier = &self.exchange;
        let mut exchange = Exchange::new(earlier.role, puppet_address(), 0, NOW);
        exchange.identity = earlier.identity.clone();
        exchange.scheme = earlier.scheme;
        exchange.extended_master_secret = true;
        exchange.master_secret = earlier.master_secret.clone();
        exchange.client_random = [5; 32];
        exchange.server_random = [6; 32];
        self.exchange = exchange;
        self.subject.connected = false;
        self.resuming = true;
    }

    fn act(&mut self, act: Act) {
        match act {
            Say(kind) => self.say(kind, kind == kind::FINISHED),
            SayInWrongEpoch(kind) => self.say(kind, kind != kind::FINISHED),
            ChangeCipherSpec => self.send_plain(content_type::CHANGE_CIPHER_SPEC, &[1]),
            Data => self.send_protected(content_type::APPLICATION_DATA, b"data"),
        }
    }

    fn say(&mut self, kind: u8, protected: bool) {
        let body = self.body(kind);
        let number = self.exchange.next_message;
        self.exchange.next_message += 1;
        let whole = encode_whole(kind, number, &body);
        self.exchange.hash_bytes(&whole);
        if kind == kind::CLIENT_KEY_EXCHANGE && self.exchange.role == Role::Client {
            self.derive();
        }
        if kind == kind::SERVER_HELLO && self.resuming && self.exchange.keys.is_none() {
            self.exchange.derive_keys();
        }
        if protected {
            self.send_protected(content_type::HANDSHAKE, &whole);
        } else {
            self.send_plain(content_type::HANDSHAKE, &whole);
        }
    }

    /// A good body for each kind of message, as good as can be where it stands.
    fn body(&mut self, kind: u8) -> Vec<u8> {
        let exchange = &self.exchange;
        let psk = self.suite.is_psk();
        match kind {
            kind::SERVER_HELLO => self.server_hello(),
            kind::NEW_SESSION_TICKET => NewSessionTicket {
                lifetime_hint_s: 9,
                ticket: b"ticket",
            }
            .encode(),
            kind::CERTIFICATE => certificate::encode_raw_public_key(&fixed_key().public_key()),
            kind::SERVER_KEY_EXCHANGE if psk => key_exchange::encode_psk_identity(b"hint"),
            kind::SERVER_KEY_EXCHANGE => {
                let mut body = ServerEcdhe::encode_parameters(self.ephemeral.point());
                let hash =
                    signed_parameters(&exchange.client_random, &exchange.server_random, &body);
                Signature::p256(&fixed_key().sign(hash).unwrap()).encode(&mut body);
                body
            }
            kind::CERTIFICATE_REQUEST => certificate_request::encode(),
            kind::CLIENT_KEY_EXCHANGE if psk => key_exchange::encode_psk_identity(IDENTITY),
            kind::CLIENT_KEY_EXCHANGE => key_exchange::encode_client_point(self.ephemeral.point()),
            kind::CERTIFICATE_VERIFY => {
                let signature = fixed_key().sign(exchange.transcript_hash()).unwrap();
                let mut body = Vec::new();
                Signature::p256(&signature).encode(&mut body);
                body
            }
            kind::FINISHED => exchange.verify_data(exchange.role).to_vec(),
            _ => Vec::new(),
        }
    }

    fn server_hello(&self) -> Vec<u8> {
        let types = (!self.suite.is_psk()).then_some(&[2][..]);
        let extensions = Extensions {
            extended_master_secret: true,
            client_certificate_type: types,
            server_certificate_type: types,
            session_ticket: self.announce_ticket.then_some(&[]),
            ..Extensions::default()
        };
        ServerHello {
            version: VERSION_1_2,
            random: self.exchange.server_random,
            session_id: &self.session_id,
            suite: self.suite.code(),
            extensions,
        }
        .encode()
    }

    fn derive(&mut self) {
        let premaster = if self.suite.is_psk() {
            psk_premaster(KEY)
        } else {
            self.ephemeral
                .agree(&self.peer_point)
                .unwrap_or(Zeroizing::new(vec![0; 32]))
        };
        self.exchange.derive_master_secret(&premaster);
        self.exchange.derive_keys();
    }

    fn send_plain(&mut self, content_type: u8, fragment: &[u8]) {
        let mut datagram = Vec::new();
        record::encode_plain(
            &mut datagram,
            content_type,
            VERSION_1_2,
            self.sequence,
            fragment,
        );
        self.sequence += 1;
        self.subject.hear(&datagram);
    }

    /// Without keys, under those of a premaster secret of zeros, or of the session before.
    fn send_protected(&mut self, content_type: u8, content: &[u8]) {
        if self.exchange.keys.is_none() {
            if !self.resuming {
                self.exchange.derive_master_secret(&[0; 32]);
            }
            self.exchange.derive_keys();
        }
        let mut datagram = Vec::new();
        let keys = self.exchange.keys.as_mut().unwrap();
        keys.seal(content_type, content, &mut datagram).unwrap();
        self.subject.hear(&datagram);
    }

    /// Takes what the subject said, message by message.
    fn listen(&mut self) -> Vec<(u8, Vec<u8>)> {
        let mut heard = Vec::new();
        for datagram in core::mem::take(&mut self.subject.datagrams) {
            let mut rest = &datagram[..];
            while let Some((record, more)) = Record::decode(rest) {
                rest = more;
                let plaintext = match (record.epoch(), &mut self.exchange.keys) {
                    (0, _) if record.content_type == content_type::HANDSHAKE => {
                        record.fragment.to_vec()
                    }
                    (1, Some(keys)) => match keys.open(&record) {
                        Ok(opened) if opened.content_type == content_type::HANDSHAKE => {
                            opened.plaintext
                        }
                        _ => continue,
                    },
                    _ => continue,
                };
                let mut reader = Reader::new(&plaintext);
                while let Ok(fragment) = Fragment::decode(&mut reader) {
                    assert!(fragment.is_whole(), "the path is wide enough");
                    let body = fragment.body.to_vec();
                    self.exchange
                        .hash_bytes(&encode_whole(fragment.kind, fragment.number, &body));
                    self.understand(fragment.kind, &body);
                    heard.push((fragment.kind, body));
                }
            }
        }
        heard
    }

    fn understand(&mut self, kind: u8, body: &[u8]) {
        match kind {
            kind::SERVER_HELLO => {
                let hello = ServerHello::decode(body).unwrap();
                self.exchange.server_random = hello.random;
                self.session_id = hello.session_id.to_vec();
                if self.resuming {
                    self.exchange.derive_keys();
                }
            }
            kind::SERVER_KEY_EXCHANGE if !self.suite.is_psk() => {
                self.peer_point = ServerEcdhe::decode(body).unwrap().point.to_vec();
            }
            kind::CLIENT_KEY_EXCHANGE => {
                if !self.suite.is_psk() {
                    self.peer_point = key_exchange::decode_client_point(body).unwrap().to_vec();
                }
                self.derive();
            }
            _ => {}
        }
    }

    // ---- as a client

    fn hello(&self, cookie: &[u8]) -> Vec<u8> {
        let suites = encode_suites([self.suite.code()].into_iter());
        let types = (!self.suite.is_psk()).then_some(&[2][..]);
        let extensions = Extensions {
            extended_master_secret: true,
            client_certificate_type: types,
            server_certificate_type: types,
            ..Extensions::default()
        };
        let random = self.exchange.client_random;
        let version = VERSION_1_2;
        ClientHello {
            version,
            random,
            session_id: &self.session_id,
            cookie,
            suites: &suites,
            extensions,
        }
        .encode()
    }

    /// Both hellos and the server's first flight.
    fn greet_server(&mut self) {
        let hello = self.hello(&[]);
        self.send_plain(
            content_type::HANDSHAKE,
            &encode_whole(kind::CLIENT_HELLO, 0, &hello),
        );
        let request = self.listen().pop().unwrap().1;
        let cookie = HelloVerifyRequest::decode(&request)
            .unwrap()
            .cookie
            .to_vec();
        self.exchange.restart_transcript();
        let whole = encode_whole(kind::CLIENT_HELLO, 1, &self.hello(&cookie));
        self.exchange.hash_bytes(&whole);
        self.exchange.next_message = 2;
        self.send_plain(content_type::HANDSHAKE, &whole);
        let last = if self.resuming {
            kind::FINISHED
        } else {
            kind::SERVER_HELLO_DONE
        };
        assert_eq!(self.listen().last().unwrap().0, last);
    }

    // ---- as a server

    /// The client's first hello, answered without a cookie.
    fn be_greeted(&mut self) {
        let credentials = if self.suite.is_psk() {
            ClientCredentials::Psk {
                identity: IDENTITY.to_vec(),
                key: Secret::from(KEY),
            }
        } else {
            ClientCredentials::Signature {
                credential: Credential::raw_public_key(fixed_key()),
                present: CertificateType::RawPublicKey,
                accept: vec![CertificateType::RawPublicKey],
            }
        };
        let asked = ClientSettings {
            connection_id: CidOffer::Not,
            resume: self.subject.resumable.take(),
            ..ClientSettings::new(credentials)
        };
        self.subject
            .dtls
            .connect(NOW, puppet_address(), asked)
            .unwrap();
        self.subject.drain();
        let hello = self.listen().pop().unwrap().1;
        self.exchange.client_random = ClientHello::decode(&hello).unwrap().random;
        rand_core::Rng::fill_bytes(&mut self.random, &mut self.exchange.server_random);
    }
}

fn client_flight(suite: CipherSuite) -> Vec<Act> {
    let key_exchange = Say(kind::CLIENT_KEY_EXCHANGE);
    let end = [ChangeCipherSpec, Say(kind::FINISHED)];
    if suite.is_psk() {
        [&[key_exchange][..], &end].concat()
    } else {
        let begin = [
            Say(kind::CERTIFICATE),
            key_exchange,
            Say(kind::CERTIFICATE_VERIFY),
        ];
        [&begin[..], &end].concat()
    }
}

fn server_flight(suite: CipherSuite) -> Vec<Act> {
    let kinds: &[u8] = if suite.is_psk() {
        &[kind::SERVER_HELLO, kind::SERVER_HELLO_DONE]
    } else {
        &[
            kind::SERVER_HELLO,
            kind::CERTIFICATE,
            kind::SERVER_KEY_EXCHANGE,
            kind::CERTIFICATE_REQUEST,
            kind::SERVER_HELLO_DONE,
        ]
    };
    kinds.iter().map(|kind| Say(*kind)).collect()
}

/// A server may leave out what is not needed for its authentication.
fn is_legal_server_flight(acts: &[Act], suite: CipherSuite) -> bool {
    let legal = server_flight(suite);
    let mut with_hint = legal.clone();
    with_hint.insert(1, Say(kind::SERVER_KEY_EXCHANGE));
    let mut without_request = legal.clone();
    without_request.retain(|act| *act != Say(kind::CERTIFICATE_REQUEST));
    [
        legal,
        if suite.is_psk() {
            with_hint
        } else {
            without_request
        },
    ]
    .iter()
    .any(|legal| essence(acts) == essence(legal))
}

#[test]
fn a_server_connects_after_the_legal_order_and_no_other() {
    for suite in suites() {
        let legal = client_flight(suite);
        for acts in variations(&legal) {
            let mut puppet = Puppet::new(Role::Client, suite);
            puppet.greet_server();
            acts.iter().for_each(|act| puppet.act(*act));
            assert_eq!(
                puppet.subject.connected,
                is_legal(&acts, &legal),
                "{suite}: {acts:?}"
            );
        }
    }
}

#[test]
fn a_server_connects_after_no_other_order_of_three_or_four_things_either() {
    let alphabet = [
        Say(kind::CLIENT_KEY_EXCHANGE),
        ChangeCipherSpec,
        Say(kind::FINISHED),
        SayInWrongEpoch(kind::FINISHED),
        Say(kind::CERTIFICATE_VERIFY),
        Data,
    ];
    let suite = CipherSuite::PskAes128Ccm8;
    let legal = client_flight(suite);
    for number in 0..alphabet.len().pow(4) {
        let length = if number % 2 == 0 { 3 } else { 4 };
        let digits = (0..length).map(|place| number / alphabet.len().pow(place));
        let acts: Vec<Act> = digits
            .map(|digit| alphabet[digit % alphabet.len()])
            .collect();
        let mut puppet = Puppet::new(Role::Client, suite);
        puppet.greet_server();
        acts.iter().for_each(|act| puppet.act(*act));
        assert_eq!(
            puppet.subject.connected,
            is_legal(&acts, &legal),
            "{acts:?}"
        );
    }
}

#[test]
fn a_client_answers_the_legal_order_and_no_other() {
    for suite in suites() {
        for acts in variations(&server_flight(suite)) {
            let mut puppet = Puppet::new(Role::Server, suite);
            puppet.be_greeted();
            acts.iter().for_each(|act| puppet.act(*act));
            let answered = puppet
                .listen()
                .iter()
                .any(|(kind, _)| *kind == kind::CLIENT_KEY_EXCHANGE);
            let legal = (1..=acts.len()).any(|end| is_legal_server_flight(&acts[..end], suite));
            assert_eq!(answered, legal, "{suite}: {acts:?}");
            puppet.act(ChangeCipherSpec);
            puppet.act(Say(kind::FINISHED));
            let exactly = is_legal_server_flight(&acts, suite);
            assert_eq!(puppet.subject.connected, exactly, "{suite}: {acts:?}");
        }
    }
}

#[test]
fn a_client_connects_after_the_legal_end_and_no_other() {
    for suite in suites() {
        for ticket in [false, true] {
            let mut legal = vec![ChangeCipherSpec, Say(kind::FINISHED)];
            if ticket {
                legal.insert(0, Say(kind::NEW_SESSION_TICKET));
            }
            for acts in variations(&legal) {
                let mut puppet = Puppet::new(Role::Server, suite);
                puppet.announce_ticket = ticket;
                puppet.be_greeted();
                server_flight(suite).iter().for_each(|act| puppet.act(*act));
                puppet.listen();
                acts.iter().for_each(|act| puppet.act(*act));
                assert_eq!(
                    puppet.subject.connected,
                    is_legal(&acts, &legal),
                    "{suite}: {acts:?}"
                );
            }
        }
    }
}

#[test]
fn a_server_resumes_after_the_legal_order_and_no_other() {
    for suite in suites() {
        let legal = [ChangeCipherSpec, Say(kind::FINISHED)];
        for acts in variations(&legal) {
            let mut puppet = Puppet::new(Role::Client, suite);
            puppet.greet_server();
            client_flight(suite).iter().for_each(|act| puppet.act(*act));
            assert!(puppet.subject.connected);
            puppet.listen();
            puppet.begin_again();
            puppet.greet_server();
            acts.iter().for_each(|act| puppet.act(*act));
            assert_eq!(
                puppet.subject.connected,
                is_legal(&acts, &legal),
                "{suite}: {acts:?}"
            );
        }
    }
}

#[test]
fn a_client_resumes_after_the_legal_order_and_no_other() {
    for suite in suites() {
        let legal = [
            Say(kind::SERVER_HELLO),
            ChangeCipherSpec,
            Say(kind::FINISHED),
        ];
        for acts in variations(&legal) {
            let mut puppet = Puppet::new(Role::Server, suite);
            puppet.session_id = vec![3; 32];
            puppet.be_greeted();
            server_flight(suite).iter().for_each(|act| puppet.act(*act));
            puppet.listen();
            [ChangeCipherSpec, Say(kind::FINISHED)]
                .iter()
                .for_each(|act| puppet.act(*act));
            assert!(puppet.subject.connected);
            puppet.begin_again();
            puppet.be_greeted();
            acts.iter().for_each(|act| puppet.act(*act));
            assert_eq!(
                puppet.subject.connected,
                is_legal(&acts, &legal),
                "{suite}: {acts:?}"
            );
        }
    }
}
