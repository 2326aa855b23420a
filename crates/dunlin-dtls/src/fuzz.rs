//! What fuzzing calls: each function takes any bytes and asserts a property.
//!
//! `record`, `message` and `import` read the bytes as they are. The two handshake targets read
//! them as a plan of mischief: a true handshake runs between two machines, and for each datagram to
//! the side under test one byte of the plan says what happens to it (delivered, lost, twice, cut,
//! bits turned, replaced by bytes of the plan).

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use crate::alert::Alert;
use crate::crypto::Secret;
use crate::event::{Answer, Event, Output, Question, Verdict};
use crate::message::client_hello::ClientHello;
use crate::message::codec::Reader;
use crate::message::hello_verify_request::HelloVerifyRequest;
use crate::message::key_exchange::{self, ServerEcdhe};
use crate::message::server_hello::ServerHello;
use crate::message::session_ticket::NewSessionTicket;
use crate::message::signature::Signature;
use crate::message::{Fragment, certificate, certificate_request};
use crate::reassembly::Reassembly;
use crate::record::{HEADER_LENGTH, OWN_CID_HEADER_LENGTH, Record};
use crate::settings::{CidOffer, ClientSettings, ServerSettings, Settings};
use crate::{
    Address, CertificateType, CipherSuite, ClientCredentials, Credential, Dtls, Instant, Role,
    SessionId, SigningKey,
};

const IDENTITY: &[u8] = b"device";
const KEY: &[u8] = b"0123456789abcdef";

/// Records of a datagram are cut without losing or inventing a byte.
pub fn record(bytes: &[u8]) {
    let mut rest = bytes;
    while let Some((record, more)) = Record::decode(rest) {
        let header = if record.cid.is_some() {
            OWN_CID_HEADER_LENGTH
        } else {
            HEADER_LENGTH
        };
        assert_eq!(rest.len(), header + record.fragment.len() + more.len());
        rest = more;
    }
    let _ = Alert::decode(bytes);
}

/// Hellos that can be read come back the same; all other messages are read without panic; what
/// is reassembled stays within its limit.
pub fn message(bytes: &[u8]) {
    if let Ok(hello) = ClientHello::decode(bytes) {
        let again = hello.encode();
        assert_eq!(ClientHello::decode(&again).as_ref(), Ok(&hello));
    }
    if let Ok(hello) = ServerHello::decode(bytes) {
        let again = hello.encode();
        assert_eq!(ServerHello::decode(&again).as_ref(), Ok(&hello));
    }
    let _ = HelloVerifyRequest::decode(bytes);
    let _ = ServerEcdhe::decode(bytes);
    let _ = key_exchange::decode_client_point(bytes);
    let _ = key_exchange::decode_psk_identity(bytes);
    let _ = certificate::decode_chain(bytes);
    let _ = certificate::decode_raw_public_key(bytes);
    let _ = certificate_request::decode(bytes);
    let _ = Signature::decode_all(bytes);
    let _ = NewSessionTicket::decode(bytes);
    let mut reassembly = Reassembly::new(0, 1000);
    let mut reader = Reader::new(bytes);
    while let Ok(fragment) = Fragment::decode(&mut reader) {
        reassembly.take(&fragment, fragment.offset % 2 == 0);
        while let Some(message) = reassembly.next() {
            assert!(message.body.len() <= 1000);
        }
    }
}

/// Bytes that make a session make one that can be exported, the same but for its numbers.
pub fn import(bytes: &[u8]) {
    let mut dtls = Dtls::new(Settings::default(), [1; 32]);
    let Ok(session) = dtls.import(Duration::ZERO, bytes, 0) else {
        return;
    };
    let exported = dtls
        .export(session)
        .expect("an imported session can be exported");
    assert_eq!(exported.expose().len(), bytes.len());
    let _ = dtls.send(Duration::ZERO, session, b"x", 0);
    let mut outputs = 0;
    while !matches!(dtls.poll_output(), Output::Timeout(_)) {
        outputs += 1;
    }
    assert!(outputs <= 3);
}

/// Mischief with what a server hears.
pub fn handshake_server(bytes: &[u8]) {
    mischief(bytes, Role::Server);
}

/// Mischief with what a client hears.
pub fn handshake_client(bytes: &[u8]) {
    mischief(bytes, Role::Client);
}

/// Runs a handshake under a plan. Whoever connects is connected with the other, and what it hears
/// is what the other said.
fn mischief(plan: &[u8], target: Role) {
    let Some((first, plan)) = plan.split_first() else {
        return;
    };
    let mut pair = Pair::new(*first, target, plan);
    for _ in 0..12 {
        pair.round();
        pair.now += Duration::from_secs(3);
    }
    for side in [&pair.client, &pair.server] {
        assert!(side.dtls.handshake_count() <= 1);
        assert!(side.heard.iter().all(|heard| heard == b"hello"));
    }
}

struct Side {
    dtls: Dtls,
    connected: Option<SessionId>,
    heard: Vec<Vec<u8>>,
    out: Vec<Vec<u8>>,
}

struct Pair<'a> {
    now: Instant,
    client: Side,
    server: Side,
    target: Role,
    plan: &'a [u8],
}

impl<'a> Pair<'a> {
    fn new(choice: u8, target: Role, plan: &'a [u8]) -> Pair<'a> {
        let suite = CipherSuite::ALL[usize::from(choice & 7)];
        let credential = (!suite.is_psk()).then(|| Credential::raw_public_key(fixed_key()));
        let server = ServerSettings {
            credential: credential.clone(),
            connection_id: choice & 8 == 0,
            ..ServerSettings::default()
        };
        let settings = Settings {
            suites: vec![suite],
            ..Settings::default()
        };
        let of_server = Settings {
            server: Some(server),
            ..settings.clone()
        };
        let side = |settings, seed| Side {
            dtls: Dtls::new(settings, [seed; 32]),
            connected: None,
            heard: Vec::new(),
            out: Vec::new(),
        };
        let mut pair = Pair {
            now: Duration::from_secs(1),
            client: side(settings, 1),
            server: side(of_server, 2),
            target,
            plan,
        };
        let mut asked = match credential {
            None => ClientSettings::psk(IDENTITY, KEY),
            Some(credential) => ClientSettings::new(ClientCredentials::Signature {
                credential,
                present: CertificateType::RawPublicKey,
                accept: vec![CertificateType::RawPublicKey],
            }),
        };
        asked.connection_id = if choice & 16 == 0 {
            CidOffer::Both
        } else {
            CidOffer::SendOnly
        };
        pair.client
            .dtls
            .connect(pair.now, address(Role::Server), asked)
            .expect("nothing else is under way");
        pair
    }

    /// Lets both talk until neither has anything to say, then lets time pass.
    fn round(&mut self) {
        for _ in 0..8 {
            for role in [Role::Client, Role::Server] {
                let now = self.now;
                let side = self.side(role);
                side.drain(now);
                for bytes in core::mem::take(&mut side.out) {
                    self.deliver(role, bytes);
                }
            }
        }
        let later = self.now + Duration::from_secs(3);
        self.client.dtls.handle_timeout(later);
        self.server.dtls.handle_timeout(later);
    }

    fn side(&mut self, role: Role) -> &mut Side {
        match role {
            Role::Client => &mut self.client,
            Role::Server => &mut self.server,
        }
    }

    fn deliver(&mut self, from: Role, bytes: Vec<u8>) {
        let to = if from == Role::Client {
            Role::Server
        } else {
            Role::Client
        };
        let copies = if to == self.target {
            self.mischief(bytes)
        } else {
            vec![bytes]
        };
        let now = self.now;
        for bytes in copies {
            self.side(to)
                .dtls
                .handle_receive(now, address(from), &bytes);
        }
    }

    fn mischief(&mut self, mut bytes: Vec<u8>) -> Vec<Vec<u8>> {
        let what = self.next();
        match what & 7 {
            1 => return Vec::new(),
            2 => return vec![bytes.clone(), bytes],
            3 => bytes.truncate(usize::from(self.next())),
            4 => {
                for _ in 0..=what >> 5 {
                    let at = usize::from(self.next()) | usize::from(self.next() & 3) << 8;
                    let turn = self.next();
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= turn;
                    }
                }
            }
            5 => {
                let length = usize::from(self.next()).min(self.plan.len());
                let (own, rest) = self.plan.split_at(length);
                self.plan = rest;
                return vec![own.to_vec(), bytes];
            }
            _ => {}
        }
        vec![bytes]
    }

    fn next(&mut self) -> u8 {
        match self.plan.split_first() {
            Some((first, rest)) => {
                self.plan = rest;
                *first
            }
            None => 0,
        }
    }
}

impl Side {
    fn drain(&mut self, now: Instant) {
        loop {
            match self.dtls.poll_output() {
                Output::Transmit(transmit) => self.out.push(transmit.bytes),
                Output::Need(need) => {
                    let answer = match need.question {
                        Question::PskFor { identity, .. } => {
                            Answer::Psk((identity == IDENTITY).then(|| Secret::from(KEY)))
                        }
                        _ => Answer::Verdict(Verdict::Accept),
                    };
                    self.dtls.handle_answer(now, need.id, answer);
                }
                Output::Event(Event::Connected(connected)) => {
                    self.connected = Some(connected.session);
                    let _ = self.dtls.send(now, connected.session, b"hello", 0);
                }
                Output::Event(Event::Data { plaintext, .. }) => self.heard.push(plaintext),
                Output::Event(_) | Output::Reserve { .. } => {}
                Output::Timeout(_) => return,
            }
        }
    }
}

fn address(role: Role) -> Address {
    Address::other([role as u8; 16], 5684)
}

/// The key with the scalar 1, in SEC 1.
pub(crate) fn fixed_key() -> SigningKey {
    let mut der = vec![0; 51];
    der[..7].copy_from_slice(&[0x30, 0x31, 0x02, 0x01, 0x01, 0x04, 0x20]);
    der[38] = 1;
    der[39..].copy_from_slice(&[
        0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
    ]);
    SigningKey::from_der(&der).expect("a fixed key")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn without_mischief_everybody_connects_and_hears() {
        for choice in 0..32 {
            let mut pair = Pair::new(choice, Role::Server, &[]);
            pair.round();
            assert!(pair.client.connected.is_some() && pair.server.connected.is_some());
            assert_eq!(
                (pair.client.heard.len(), pair.server.heard.len()),
                (1, 1),
                "{choice}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_plan(plan in prop::collection::vec(any::<u8>(), 0..200)) {
            handshake_server(&plan);
            handshake_client(&plan);
        }

        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            record(&bytes);
            message(&bytes);
            import(&bytes);
        }
    }

    /// `cargo test -p dunlin-dtls -- --ignored campaign`, for `DUNLIN_PLANS` plans (20000).
    #[test]
    #[ignore = "takes minutes"]
    fn a_campaign_of_mischief() {
        use rand_core::{Rng, SeedableRng};
        let plans = std::env::var("DUNLIN_PLANS")
            .ok()
            .and_then(|plans| plans.parse().ok());
        let plans: u64 = plans.unwrap_or(20_000);
        let seed = std::env::var("DUNLIN_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let mut random = crate::Random::seed_from_u64(seed.unwrap_or(1));
        for _ in 0..plans {
            let mut plan = vec![0; random.next_u32() as usize % 400];
            random.fill_bytes(&mut plan);
            // Mostly peace, so that the mischief comes late as well as early.
            let peace = random.next_u32() % 100;
            for byte in &mut plan {
                if random.next_u32() % 100 < peace {
                    *byte = 0;
                }
            }
            handshake_server(&plan);
            handshake_client(&plan);
            record(&plan);
            message(&plan);
            import(&plan);
        }
    }
}
