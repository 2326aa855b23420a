//! DTLS as the transport uses it: one machine for all secure doors, what it calls an address, what
//! it proves of a peer, and the pings by which a session proves itself after a restart.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use dunlin_dtls::{Address as Path, Dtls, PeerIdentity, SessionId, Settings};
use hashbrown::HashMap;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

use crate::address::Address;
use crate::certificate::certificate_names;
use crate::now::Instant;
use crate::peer::{CertificateIdentity, Identity};
use crate::port::Port;

/// A session that came over a restart is pinged at most so often at one address.
const CHALLENGE_INTERVAL: Duration = Duration::from_secs(1);

/// So many of the last pings to one session may be answered. More than one, because what came from
/// elsewhere may be a replay: it must not keep the ping of the true peer from being answered.
const CHALLENGES_MAX: usize = 4;

/// The interface of a link-local address is kept in six bits of a path.
const SCOPE_MAX: u32 = 63;

/// DTLS, and what it does not keep itself.
pub(crate) struct Security {
    pub(crate) dtls: Dtls,
    /// Where handshakes came in, so that all their datagrams leave from there.
    pub(crate) locals: HashMap<Path, Option<IpAddr>>,
    /// Where the datagram came from and came in that is being handled.
    pub(crate) receiving: Option<(Path, Option<IpAddr>)>,
    pub(crate) reserve_window: u64,
    challenges: HashMap<SessionId, Vec<Challenge>>,
    random: ChaCha12Rng,
}

/// A ping under way on a session that is not fresh.
#[derive(Clone, Copy)]
struct Challenge {
    message_id: u16,
    to: Path,
    at: Instant,
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Security")
            .field("sessions", &self.dtls.session_count())
            .field("handshakes", &self.dtls.handshake_count())
            .finish_non_exhaustive()
    }
}

impl Security {
    pub(crate) fn new(settings: Settings, seed: [u8; 32]) -> Box<Self> {
        Box::new(Self {
            reserve_window: settings.reserve_window,
            dtls: Dtls::new(settings, derived(&seed, b"dtls")),
            locals: HashMap::new(),
            receiving: None,
            challenges: HashMap::new(),
            random: ChaCha12Rng::from_seed(derived(&seed, b"challenges")),
        })
    }

    /// The ping for a session that is not fresh and was heard from there; nothing if one is under
    /// way to there already. An empty Confirmable message, which every endpoint resets (RFC 7252
    /// §4.3).
    pub(crate) fn challenge(
        &mut self,
        now: Instant,
        session: SessionId,
        to: Path,
    ) -> Option<[u8; 4]> {
        let challenges = self.challenges.entry(session).or_default();
        let waits =
            |known: &Challenge| known.to == to && now < known.at.saturating_add(CHALLENGE_INTERVAL);
        if challenges.iter().any(waits) {
            return None;
        }
        if challenges.len() == CHALLENGES_MAX {
            challenges.remove(0);
        }
        let message_id = self.random.next_u32() as u16;
        challenges.push(Challenge {
            message_id,
            to,
            at: now,
        });
        let [high, low] = message_id.to_be_bytes();
        Some([0x40, 0, high, low])
    }

    /// Whether this resets a ping of ours on the session.
    pub(crate) fn is_pong(&self, session: SessionId, message: &[u8]) -> bool {
        let [0x70, 0, high, low] = *message else {
            return false;
        };
        let answered = u16::from_be_bytes([high, low]);
        self.challenges
            .get(&session)
            .is_some_and(|known| known.iter().any(|one| one.message_id == answered))
    }

    /// The session is fresh, or over.
    pub(crate) fn end_challenges(&mut self, session: SessionId) {
        self.challenges.remove(&session);
    }

    /// From which of our addresses a datagram to there leaves that belongs to no peer yet.
    pub(crate) fn local_for(&self, to: Path) -> Option<IpAddr> {
        match self.receiving {
            Some((from, local)) if from == to => local,
            _ => self.locals.get(&to).copied().flatten(),
        }
    }
}

/// A seed of its own for a part of the machine.
fn derived(seed: &[u8; 32], part: &[u8]) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(seed);
    digest.update(part);
    digest.finalize().into()
}

/// What DTLS calls an address at a door: the same host at another door is another path. Nothing
/// for an address that is too long for it.
pub(crate) fn path(port: Port, address: &Address) -> Option<Path> {
    let (path, scope) = match address {
        Address::Udp(socket) => {
            let scope = match socket {
                SocketAddr::V6(six) if six.scope_id() <= SCOPE_MAX => six.scope_id(),
                _ => 0,
            };
            (Path::from(*socket), scope)
        }
        Address::Sms(number) => {
            let mut host = [0; 16];
            host.get_mut(..number.len())?
                .copy_from_slice(number.as_bytes());
            (Path::other(host, 0), 0)
        }
    };
    let mut bytes = path.to_bytes();
    // The byte to spare: two bits of door, six of scope.
    bytes[19] = port.index() as u8 | (scope as u8) << 2;
    Some(Path::from_bytes(bytes))
}

/// The door and address of a path.
pub(crate) fn place(path: Path) -> (Port, Address) {
    let bytes = path.to_bytes();
    let port = Port::ALL[usize::from(bytes[19] & 3)];
    let address = match path.to_socket_addr() {
        Some(SocketAddr::V6(mut six)) => {
            six.set_scope_id(u32::from(bytes[19] >> 2));
            Address::Udp(SocketAddr::V6(six))
        }
        Some(four) => Address::Udp(four),
        None => {
            let digits = bytes[..16].iter().take_while(|byte| **byte != 0);
            Address::Sms(digits.map(|byte| char::from(*byte)).collect())
        }
    };
    (port, address)
}

/// What a session proves, in the words of the roles.
#[must_use]
pub fn identity_of(peer: &PeerIdentity) -> Identity {
    match peer {
        PeerIdentity::Psk(identity) => Identity::PreSharedKey(identity.as_slice().into()),
        PeerIdentity::RawPublicKey(key) => Identity::RawPublicKey(Sha256::digest(key).into()),
        PeerIdentity::Certificate(der) => {
            let names = certificate_names(der);
            Identity::Certificate(Box::new(CertificateIdentity {
                fingerprint: Sha256::digest(der).into(),
                common_name: names.common_name,
                alternative_names: names.alternative_names,
            }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_back_to_its_door_and_address() {
        for port in Port::ALL {
            for text in ["127.0.0.1:5684", "[2001:db8::7]:1", "[fe80::1%7]:40000"] {
                let address = Address::Udp(text.parse().unwrap());
                assert_eq!(place(path(port, &address).unwrap()), (port, address));
            }
            let number = Address::Sms("491701234567890".into());
            assert_eq!(place(path(port, &number).unwrap()), (port, number));
        }
        let endless = Address::Sms("12345678901234567".into());
        assert_eq!(path(Port::Coaps, &endless), None);
    }

    #[test]
    fn one_host_at_two_doors_is_two_paths() {
        let address = Address::Udp("127.0.0.1:5684".parse().unwrap());
        let paths = Port::ALL.map(|port| path(port, &address).unwrap());
        assert_ne!(paths[1], paths[3]);
    }

    #[test]
    fn a_raw_public_key_is_known_by_its_digest() {
        let identity = identity_of(&PeerIdentity::RawPublicKey(b"abc".to_vec()));
        let Identity::RawPublicKey(digest) = identity else {
            panic!("a raw public key stays one")
        };
        // FIPS 180-2, appendix B.1.
        assert_eq!(digest[..4], [0xba, 0x78, 0x16, 0xbf]);
    }
}
