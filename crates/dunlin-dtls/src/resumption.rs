//! Resuming sessions: what is kept of one, by whom, and in which bytes.
//!
//! A server keeps it by session id in a bounded table (RFC 5246 §7.3), or seals it into a ticket
//! that the client keeps for it (RFC 5077). A client keeps it with the layer above, as
//! [`ResumptionState`].

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use hashbrown::HashMap;
use rand_core::Rng;
use zeroize::Zeroizing;

use crate::crypto::aead::{KEY_LENGTH, NONCE_LENGTH};
use crate::crypto::suite::CipherSuite;
use crate::crypto::{Secret, open_bytes, seal_bytes};
use crate::identity::PeerIdentity;
use crate::message::codec::{Malformed, Reader, put_u16, put_vector8, put_vector16};
use crate::settings::ServerSettings;
use crate::{Hashing, Instant, Random};

/// Session ids that we make have this length.
pub(crate) const SESSION_ID_LENGTH: usize = 32;
/// Larger tickets would not fit a ClientHello on a narrow link: such sessions get an id.
const TICKET_LENGTH_MAX: usize = 400;
/// The form of [`ResumptionState`] and tickets.
const VERSION: u8 = 1;
const KEY_NAME_LENGTH: usize = 8;

/// What two handshakes have to agree on.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Resumable {
    pub(crate) suite: CipherSuite,
    pub(crate) extended_master_secret: bool,
    pub(crate) master_secret: Zeroizing<[u8; 48]>,
    pub(crate) identity: Arc<PeerIdentity>,
    pub(crate) server_name: Option<Box<str>>,
    /// On the machine's clock; a client's has no meaning.
    pub(crate) made: Instant,
}

impl Resumable {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        put_u16(out, self.suite.code());
        out.push(self.extended_master_secret.into());
        out.extend_from_slice(&self.master_secret[..]);
        out.extend_from_slice(&self.made.as_secs().to_be_bytes());
        put_vector8(
            out,
            self.server_name.as_deref().unwrap_or_default().as_bytes(),
        );
        out.push(self.identity.code());
        put_vector16(out, self.identity.as_bytes());
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Resumable, Malformed> {
        if reader.u8()? != VERSION {
            return Err(reader.malformed("another version"));
        }
        let suite =
            CipherSuite::from_code(reader.u16()?).ok_or(reader.malformed("an unknown suite"))?;
        let extended_master_secret = reader.u8()? == 1;
        let master_secret = Zeroizing::new(reader.array()?);
        let made = Duration::from_secs(reader.u64()?);
        let server_name = core::str::from_utf8(reader.vector8()?)
            .map_err(|_| reader.malformed("a name that is no text"))?;
        let server_name = (!server_name.is_empty()).then(|| server_name.into());
        let code = reader.u8()?;
        let identity = PeerIdentity::from_code(code, reader.vector16()?.to_vec())
            .ok_or(reader.malformed("an unknown kind of identity"))?;
        let identity = Arc::new(identity);
        Ok(Resumable {
            suite,
            extended_master_secret,
            master_secret,
            identity,
            server_name,
            made,
        })
    }
}

/// What a client needs to resume a session: opaque, and as secret as a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResumptionState(Secret);

impl ResumptionState {
    /// The bytes, for storing.
    pub fn as_secret(&self) -> &Secret {
        &self.0
    }

    /// From stored bytes. What cannot be read leads to a full handshake.
    pub fn from_secret(bytes: Secret) -> ResumptionState {
        ResumptionState(bytes)
    }

    pub(crate) fn assemble(kept: &Resumable, session_id: &[u8], ticket: &[u8]) -> ResumptionState {
        let mut bytes = Vec::new();
        put_vector8(&mut bytes, session_id);
        put_vector16(&mut bytes, ticket);
        kept.encode(&mut bytes);
        ResumptionState(Secret::new(bytes))
    }

    pub(crate) fn open(&self) -> Result<Offer, Malformed> {
        let mut reader = Reader::new(self.0.expose());
        let session_id = reader.vector8()?.to_vec();
        let ticket = reader.vector16()?.to_vec();
        let kept = Resumable::decode(&mut reader)?;
        reader.finish()?;
        Ok(Offer {
            session_id,
            ticket,
            kept,
        })
    }
}

/// What a client offers.
pub(crate) struct Offer {
    pub(crate) session_id: Vec<u8>,
    pub(crate) ticket: Vec<u8>,
    pub(crate) kept: Resumable,
}

struct TicketKey {
    name: [u8; KEY_NAME_LENGTH],
    key: Zeroizing<[u8; KEY_LENGTH]>,
}

impl TicketKey {
    fn draw(random: &mut Random) -> TicketKey {
        let mut name = [0; KEY_NAME_LENGTH];
        let mut key = Zeroizing::new([0; KEY_LENGTH]);
        random.fill_bytes(&mut name);
        random.fill_bytes(&mut key[..]);
        TicketKey { name, key }
    }
}

/// A server's memory of sessions.
pub(crate) struct Resumption {
    by_id: HashMap<[u8; SESSION_ID_LENGTH], Resumable, Hashing>,
    /// Oldest first; may name ids that are gone.
    order: VecDeque<[u8; SESSION_ID_LENGTH]>,
    current: TicketKey,
    previous: TicketKey,
    current_until: Instant,
}

impl Resumption {
    pub(crate) fn new(hashing: Hashing, random: &mut Random) -> Resumption {
        Resumption {
            by_id: HashMap::with_hasher(hashing),
            order: VecDeque::new(),
            current: TicketKey::draw(random),
            previous: TicketKey::draw(random),
            current_until: Instant::ZERO,
        }
    }

    /// Remembers a session by its id.
    pub(crate) fn remember(
        &mut self,
        settings: &ServerSettings,
        id: [u8; SESSION_ID_LENGTH],
        kept: Resumable,
    ) {
        while self.order.len() >= settings.resumption_cache_max {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            self.by_id.remove(&oldest);
        }
        self.by_id.insert(id, kept);
        self.order.push_back(id);
    }

    /// Seals a session into a ticket; nothing if it would be too long.
    pub(crate) fn ticket(
        &mut self,
        now: Instant,
        settings: &ServerSettings,
        kept: &Resumable,
        random: &mut Random,
    ) -> Option<Vec<u8>> {
        self.rotate(now, settings, random);
        let mut plaintext = Zeroizing::new(Vec::new());
        kept.encode(&mut plaintext);
        let mut nonce = [0; NONCE_LENGTH];
        random.fill_bytes(&mut nonce);
        let mut ticket = self.current.name.to_vec();
        ticket.extend_from_slice(&nonce);
        ticket.extend(seal_bytes(
            &self.current.key,
            &nonce,
            &self.current.name,
            &plaintext,
        ));
        (ticket.len() <= TICKET_LENGTH_MAX).then_some(ticket)
    }

    /// The session that a client wants to resume, by ticket or else by id, if it still can.
    pub(crate) fn find(
        &self,
        now: Instant,
        settings: &ServerSettings,
        session_id: &[u8],
        ticket: &[u8],
    ) -> Option<Resumable> {
        let kept = match self.open_ticket(ticket) {
            Some(kept) => kept,
            None => self.by_id.get(session_id)?.clone(),
        };
        let age = now.checked_sub(kept.made)?;
        (age < settings.resumption_lifetime).then_some(kept)
    }

    /// Forgets a session, whose peer is not trusted any more.
    pub(crate) fn forget(&mut self, session_id: &[u8]) {
        self.by_id.remove(session_id);
    }

    fn open_ticket(&self, ticket: &[u8]) -> Option<Resumable> {
        let (name, rest) = ticket.split_first_chunk::<KEY_NAME_LENGTH>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LENGTH>()?;
        let key = [&self.current, &self.previous]
            .into_iter()
            .find(|key| key.name == *name)?;
        let plaintext = open_bytes(&key.key, nonce, name, sealed)?;
        let mut reader = Reader::new(&plaintext);
        Resumable::decode(&mut reader).ok()
    }

    /// A key seals for one lifetime and opens for another.
    fn rotate(&mut self, now: Instant, settings: &ServerSettings, random: &mut Random) {
        if now >= self.current_until {
            let fresh = TicketKey::draw(random);
            self.previous = core::mem::replace(&mut self.current, fresh);
            self.current_until = now + settings.resumption_lifetime;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;

    fn kept(identity: &[u8], made: Instant) -> Resumable {
        Resumable {
            suite: CipherSuite::PskAes128Ccm8,
            extended_master_secret: true,
            master_secret: Zeroizing::new([9; 48]),
            identity: Arc::new(PeerIdentity::Psk(identity.to_vec())),
            server_name: Some("name".into()),
            made,
        }
    }

    fn store() -> (Resumption, Random, ServerSettings) {
        let mut random = Random::from_seed([1; 32]);
        let resumption = Resumption::new(Hashing::with_seed(1), &mut random);
        let settings = ServerSettings {
            resumption_lifetime: Duration::from_secs(100),
            resumption_cache_max: 2,
            ..ServerSettings::default()
        };
        (resumption, random, settings)
    }

    #[test]
    fn rfc5077_a_ticket_opens_until_it_is_too_old() {
        let (mut resumption, mut random, settings) = store();
        let at = Duration::from_secs(1000);
        let kept = kept(b"device", at);
        let mut ticket = resumption
            .ticket(at, &settings, &kept, &mut random)
            .unwrap();
        let find = |resumption: &Resumption, now, ticket: &[u8]| {
            resumption.find(now, &settings, b"", ticket)
        };
        assert!(find(&resumption, at, &ticket) == Some(kept.clone()));
        assert!(find(&resumption, at + Duration::from_secs(99), &ticket).is_some());
        assert!(find(&resumption, at + Duration::from_secs(100), &ticket).is_none());
        *ticket.last_mut().unwrap() ^= 1;
        assert!(find(&resumption, at, &ticket).is_none());
    }

    #[test]
    fn a_ticket_that_is_too_long_is_not_made() {
        let (mut resumption, mut random, settings) = store();
        let long = kept(&[7; 500], Duration::ZERO);
        assert!(
            resumption
                .ticket(Duration::ZERO, &settings, &long, &mut random)
                .is_none()
        );
    }

    #[test]
    fn the_oldest_id_goes_first() {
        let (mut resumption, _, settings) = store();
        for id in 1..=3 {
            resumption.remember(&settings, [id; 32], kept(&[id], Duration::ZERO));
        }
        let find = |id| {
            resumption
                .find(Duration::ZERO, &settings, &[id; 32], b"")
                .is_some()
        };
        assert_eq!([1, 2, 3].map(find), [false, true, true]);
    }

    #[test]
    fn what_a_client_keeps_comes_back() {
        let state = ResumptionState::assemble(&kept(b"d", Duration::ZERO), b"id", b"ticket");
        let offer = state.open().unwrap();
        assert_eq!(
            (&offer.session_id[..], &offer.ticket[..]),
            (&b"id"[..], &b"ticket"[..])
        );
        assert!(offer.kept == kept(b"d", Duration::ZERO));
        assert!(
            ResumptionState::from_secret(Secret::from(&b"rubbish"[..]))
                .open()
                .is_err()
        );
    }
}
