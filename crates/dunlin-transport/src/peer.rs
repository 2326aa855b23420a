//! The other side before we know its name: its id in this machine, and what security proved of it.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::borrow::Borrow;
use core::hash::BuildHasher;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use dunlin_coap::Barrier;
use dunlin_dtls::SessionId;
use hashbrown::{DefaultHashBuilder, HashMap};

use crate::address::Address;
use crate::map::request::Interface;
use crate::now::Instant;
use crate::places::Places;
use crate::port::Port;

pub use dunlin_coap::PeerId;

/// What the association proved of the peer; TS 1.0 §7.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Nothing: a datagram in the clear, known by its address alone.
    None,
    /// The PSK identity whose key the peer holds.
    PreSharedKey(Box<[u8]>),
    /// SHA-256 over the SubjectPublicKeyInfo whose private key the peer holds.
    RawPublicKey([u8; 32]),
    /// A certificate that the node's verdict accepted. Boxed: an identity is kept of every Client,
    /// and of most it is the name of a pre-shared key.
    Certificate(Box<CertificateIdentity>),
}

/// What a certificate proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateIdentity {
    /// SHA-256 over the certificate (DER): names can be claimed by any self-signed one.
    pub fingerprint: [u8; 32],
    /// The subject's common name.
    pub common_name: Option<String>,
    /// Its alternative names of type DNS and URI.
    pub alternative_names: Vec<String>,
}

impl Identity {
    /// The word used in REST and events: `nosec`, `psk`, `rpk`, `x509`.
    #[must_use]
    pub fn security_name(&self) -> &'static str {
        match self {
            Self::None => "nosec",
            Self::PreSharedKey(_) => "psk",
            Self::RawPublicKey(_) => "rpk",
            Self::Certificate { .. } => "x509",
        }
    }
}

/// What the machine keeps of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where it was last heard, and where answers go.
    pub address: Address,
    /// The address of ours it spoke to, so that answers leave from there.
    pub local: Option<IpAddr>,
    /// The door of ours it came in at, and answers leave by.
    pub port: Port,
    /// What security proved of it.
    pub identity: Identity,
}

/// How long a stranger is remembered after it was last heard: as long as its messages may be
/// duplicated (EXCHANGE_LIFETIME, RFC 7252 §4.8.2).
const STRANGER_LIFETIME: Duration = Duration::from_secs(247);

/// More peers than this that no role holds are not remembered: the oldest is forgotten for a new
/// one, so that made-up source addresses cannot fill the memory (about 200 bytes each).
pub const STRANGERS_MAX: usize = 200_000;

/// Peers fetched beside each other: more than a processor has loads under way.
const AHEAD: usize = 32;

/// The peers of one machine, by id and by address.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    by_address: Places,
    by_session: HashMap<SessionId, u32>,
    hasher: DefaultHashBuilder,
    /// Peers that nobody holds, by the time at which they may be stale. One that is held
    /// meanwhile, or heard again, is found out when its turn comes.
    strangers: VecDeque<(Instant, u32)>,
}

/// In this order and of this size: the entry of a Client that refreshes is fetched from memory for each of its
/// datagrams, and 64 bytes at their place are fetched at once.
#[derive(Debug)]
#[repr(C, align(64))]
struct Entry {
    address: Address,
    local: Option<IpAddr>,
    marks: Marks,
    holds: u16,
    /// In whole seconds, rounded up. Of a peer that is held it stands still: what counts then is when it
    /// is released.
    heard_s: u32,
    /// Of a peer at a secure door.
    secure: Option<Box<Secure>>,
}

/// What of a peer fits into a few bits.
#[derive(Clone, Copy, Debug)]
struct Marks(u8);

impl Marks {
    /// The door, as its place in [`Port::ALL`].
    const PORT: u8 = 0b11;
    /// In `strangers`, once.
    const QUEUED: u8 = 0b100;
    /// Datagrams from `address` are its own; not after it has moved on under another id.
    const MAPPED: u8 = 0b1000;
    /// It is spoken to on the bootstrap interface.
    const BOOTSTRAP: u8 = 0b1_0000;

    fn new(port: Port, marks: u8) -> Self {
        Self(port.index() as u8 | marks)
    }

    #[inline]
    fn port(self) -> Port {
        Port::ALL[usize::from(self.0 & Self::PORT)]
    }

    fn set_port(&mut self, port: Port) {
        self.0 = self.0 & !Self::PORT | port.index() as u8;
    }

    fn has(self, mark: u8) -> bool {
        self.0 & mark != 0
    }

    /// Sets or takes away a mark. Whether it was there.
    fn set(&mut self, mark: u8, on: bool) -> bool {
        let was = self.has(mark);
        self.0 = if on { self.0 | mark } else { self.0 & !mark };
        was
    }
}

impl Entry {
    fn heard(&self) -> Instant {
        Duration::from_secs(self.heard_s.into())
    }

    #[inline]
    fn set_heard(&mut self, now: Instant) {
        self.heard_s = whole_seconds(now);
    }

    #[inline]
    fn is_at(&self, port: Port, address: &Address) -> bool {
        self.marks.port() == port && self.address == *address
    }
}

fn whole_seconds(now: Instant) -> u32 {
    let seconds = now.as_secs() + u64::from(now.subsec_nanos() != 0);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// What is kept of a peer at a secure door.
#[derive(Debug)]
struct Secure {
    /// What security proved.
    identity: Identity,
    /// None once it is over.
    session: Option<SessionId>,
    /// The handshake is over.
    connected: bool,
    /// From which number of a record on which commit has to be durable: the last two reservations.
    floors: [(u64, Barrier); 2],
    /// What waits for the handshake.
    held_back: Vec<(Vec<u8>, Barrier)>,
}

impl Secure {
    fn new(identity: Identity, session: Option<SessionId>) -> Self {
        Self {
            identity,
            session,
            connected: session.is_some(),
            floors: <[(u64, Barrier); 2]>::default(),
            held_back: Vec::new(),
        }
    }
}

/// More messages than this do not wait for a handshake: a Client has one request under way with a
/// Server it is not registered with (NSTART, RFC 7252 §4.7).
const HELD_BACK_MAX: usize = 8;

impl Peers {
    /// The peer in the clear at this address and door, new if there was none, heard at `now`.
    pub(crate) fn heard(
        &mut self,
        now: Instant,
        port: Port,
        address: &Address,
        local: Option<IpAddr>,
    ) -> PeerId {
        let hash = hash(&self.hasher, port, address);
        let found = self
            .by_address
            .find(hash, |index| is_at(&self.entries, index, port, address));
        if let Some(index) = found {
            let entry = self.entries[index as usize]
                .as_mut()
                .expect("the table names live entries");
            // What has not changed is not written: it need not go back to memory.
            if entry.holds == 0 {
                entry.set_heard(now);
            }
            if local.is_some() && entry.local != local {
                entry.local = local;
            }
            return PeerId(index);
        }
        let index = self.insert(Entry {
            address: address.clone(),
            local,
            marks: Marks::new(port, Marks::QUEUED | Marks::MAPPED),
            holds: 0,
            heard_s: whole_seconds(now),
            secure: None,
        });
        self.strangers.push_back((now + STRANGER_LIFETIME, index));
        self.map(index);
        PeerId(index)
    }

    /// A peer at a secure door, found by its session and not by its address.
    pub(crate) fn enter_secured(
        &mut self,
        now: Instant,
        port: Port,
        address: &Address,
        local: Option<IpAddr>,
        identity: Identity,
        session: Option<SessionId>,
    ) -> PeerId {
        let index = self.insert(Entry {
            address: address.clone(),
            local,
            marks: Marks::new(port, Marks::QUEUED),
            holds: 0,
            heard_s: whole_seconds(now),
            secure: Some(Box::new(Secure::new(identity, session))),
        });
        self.strangers.push_back((now + STRANGER_LIFETIME, index));
        if let Some(session) = session {
            self.by_session.insert(session, index);
        }
        PeerId(index)
    }

    /// A peer with which a session is being opened.
    pub(crate) fn enter_connecting(
        &mut self,
        now: Instant,
        port: Port,
        address: &Address,
        local: Option<IpAddr>,
        session: SessionId,
    ) -> PeerId {
        let none = Identity::None;
        let peer = self.enter_secured(now, port, address, local, none, Some(session));
        if let Some(secure) = self.secure_mut(peer) {
            secure.connected = false;
        }
        peer
    }

    /// The session is there; what was held back for it.
    pub(crate) fn connected(
        &mut self,
        peer: PeerId,
        identity: Identity,
    ) -> Vec<(Vec<u8>, Barrier)> {
        let Some(secure) = self.secure_mut(peer) else {
            return Vec::new();
        };
        secure.identity = identity;
        secure.connected = true;
        core::mem::take(&mut secure.held_back)
    }

    /// Keeps a message until the session is there. A retransmission is not kept a second time.
    pub(crate) fn hold_back(&mut self, peer: PeerId, bytes: Vec<u8>, barrier: Barrier) {
        if let Some(secure) = self.secure_mut(peer)
            && secure.held_back.len() < HELD_BACK_MAX
            && secure.held_back.iter().all(|(held, _)| *held != bytes)
        {
            secure.held_back.push((bytes, barrier));
        }
    }

    /// The session is over.
    pub(crate) fn detach(&mut self, peer: PeerId) {
        let Some(secure) = self.secure_mut(peer) else {
            return;
        };
        let identity = core::mem::replace(&mut secure.identity, Identity::None);
        let session = core::mem::replace(secure, Secure::new(identity, None)).session;
        if let Some(session) = session {
            self.by_session.remove(&session);
        }
    }

    pub(crate) fn of_session(&self, session: SessionId) -> Option<PeerId> {
        self.by_session.get(&session).map(|index| PeerId(*index))
    }

    /// The session of a peer, established or on its way.
    pub(crate) fn session(&self, peer: PeerId) -> Option<SessionId> {
        self.entry(peer)?.secure.as_ref()?.session
    }

    pub(crate) fn is_secured(&self, peer: PeerId) -> bool {
        self.entry(peer).is_some_and(|entry| entry.secure.is_some())
    }

    /// Whether it is in the clear, or its session is established.
    pub(crate) fn is_connected(&self, peer: PeerId) -> bool {
        self.entry(peer)
            .is_some_and(|entry| entry.secure.as_ref().is_none_or(|secure| secure.connected))
    }

    /// Its session is heard from there now.
    pub(crate) fn moved(&mut self, peer: PeerId, to: &Address, local: Option<IpAddr>) {
        if let Some(entry) = self.entry_mut(peer) {
            entry.address = to.clone();
            entry.local = local.or(entry.local);
        }
    }

    pub(crate) fn heard_again(&mut self, now: Instant, peer: PeerId, local: Option<IpAddr>) {
        if let Some(entry) = self.entry_mut(peer) {
            entry.set_heard(now);
            entry.local = local.or(entry.local);
        }
    }

    /// Records from this number on wait for the commit, until the next reservation but one.
    pub(crate) fn set_floor(&mut self, peer: PeerId, from: u64, barrier: Barrier) {
        if let Some(secure) = self.secure_mut(peer) {
            secure.floors = [secure.floors[1], (from, barrier)];
        }
    }

    /// The commit that a record with this number waits for.
    pub(crate) fn floor(&self, peer: PeerId, number: u64) -> Barrier {
        let secure = self.entry(peer).and_then(|entry| entry.secure.as_ref());
        secure.map_or(0, |secure| {
            let floors = secure.floors.iter().filter(|(from, _)| *from <= number);
            floors.map(|(_, barrier)| *barrier).max().unwrap_or(0)
        })
    }

    fn secure_mut(&mut self, peer: PeerId) -> Option<&mut Secure> {
        self.entry_mut(peer)?.secure.as_deref_mut()
    }

    /// Fetches what is held of the peers in the clear at these addresses into the caches of the processor, in steps
    /// for all of them, so that the waits for memory lie beside each other. Those that are probably known
    /// are appended to `known`.
    pub(crate) fn look_ahead(
        &self,
        port: Port,
        addresses: impl IntoIterator<Item = impl Borrow<Address>>,
        known: &mut Vec<PeerId>,
    ) {
        let mut addresses = addresses.into_iter();
        loop {
            let (mut hashes, mut count, mut read) = ([0; AHEAD], 0, 0);
            for (hash_of, address) in hashes.iter_mut().zip(&mut addresses) {
                *hash_of = hash(&self.hasher, port, address.borrow());
                read ^= self.by_address.touch(*hash_of);
                count += 1;
            }
            core::hint::black_box(read);
            let before = known.len();
            let found = hashes[..count]
                .iter()
                .filter_map(|hash| self.by_address.find(*hash, |_| true));
            known.extend(found.map(PeerId));
            let read = known[before..].iter().fold(0, |read, peer| {
                read ^ self.entry(*peer).map_or(0, |entry| entry.holds)
            });
            core::hint::black_box(read);
            if count < AHEAD {
                return;
            }
        }
    }

    fn insert(&mut self, entry: Entry) -> u32 {
        if let Some(index) = self.free.pop() {
            self.entries[index as usize] = Some(entry);
            return index;
        }
        self.entries.push(Some(entry));
        u32::try_from(self.entries.len() - 1).expect("fewer than 2^32 peers fit into memory")
    }

    fn map(&mut self, index: u32) {
        let Self {
            entries,
            by_address,
            hasher,
            ..
        } = self;
        let entry = entries[index as usize]
            .as_ref()
            .expect("it was just entered");
        let hash = hash(hasher, entry.marks.port(), &entry.address);
        by_address.insert(hash, index);
    }

    fn unmap(&mut self, index: u32) {
        let Self {
            entries,
            by_address,
            hasher,
            ..
        } = self;
        let Some(entry) = entries[index as usize].as_mut() else {
            return;
        };
        if entry.marks.set(Marks::MAPPED, false) {
            let hash = hash(hasher, entry.marks.port(), &entry.address);
            by_address.remove(hash, index);
        }
    }

    fn entry(&self, peer: PeerId) -> Option<&Entry> {
        self.entries.get(peer.0 as usize)?.as_ref()
    }

    fn entry_mut(&mut self, peer: PeerId) -> Option<&mut Entry> {
        self.entries.get_mut(peer.0 as usize)?.as_mut()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    pub(crate) fn peer(&self, peer: PeerId) -> Option<Peer> {
        let entry = self.entry(peer)?;
        Some(Peer {
            address: entry.address.clone(),
            local: entry.local,
            port: entry.marks.port(),
            identity: entry
                .secure
                .as_ref()
                .map_or(Identity::None, |secure| secure.identity.clone()),
        })
    }

    /// Where datagrams for this peer go, and from where they leave.
    pub(crate) fn route(&self, peer: PeerId) -> Option<(Address, Option<IpAddr>, Port)> {
        self.entry(peer)
            .map(|entry| (entry.address.clone(), entry.local, entry.marks.port()))
    }

    pub(crate) fn is_held(&self, peer: PeerId) -> bool {
        self.entry(peer).is_some_and(|entry| entry.holds > 0)
    }

    pub(crate) fn interface(&self, peer: PeerId) -> Interface {
        match self.entry(peer) {
            Some(entry) if entry.marks.has(Marks::BOOTSTRAP) => Interface::Bootstrap,
            _ => Interface::Management,
        }
    }

    pub(crate) fn use_interface(&mut self, peer: PeerId, interface: Interface) {
        if let Some(entry) = self.entry_mut(peer) {
            let bootstrap = interface == Interface::Bootstrap;
            entry.marks.set(Marks::BOOTSTRAP, bootstrap);
        }
    }

    pub(crate) fn hold(&mut self, peer: PeerId) {
        if let Some(entry) = self.entry_mut(peer) {
            entry.holds = entry.holds.saturating_add(1);
        }
    }

    pub(crate) fn release(&mut self, now: Instant, peer: PeerId) {
        let Some(entry) = self.entry_mut(peer) else {
            return;
        };
        entry.holds = entry.holds.saturating_sub(1);
        if entry.holds > 0 {
            return;
        }
        entry.set_heard(now);
        if !entry.marks.set(Marks::QUEUED, true) {
            self.strangers.push_back((now + STRANGER_LIFETIME, peer.0));
        }
    }

    /// `peer` is now where `seen_as` was heard; `seen_as` keeps its address for what is under way.
    pub(crate) fn move_to(&mut self, peer: PeerId, seen_as: PeerId) {
        if peer == seen_as || self.entry(peer).is_none() || self.is_secured(peer) {
            return;
        }
        let Some((address, local, port)) = self.route(seen_as) else {
            return;
        };
        self.unmap(peer.0);
        self.unmap(seen_as.0);
        let entry = self.entry_mut(peer).expect("asked above");
        entry.address = address;
        entry.local = local;
        entry.marks.set_port(port);
        entry.marks.set(Marks::MAPPED, true);
        self.map(peer.0);
    }

    /// Removes a peer; its id may be given anew.
    pub(crate) fn remove(&mut self, peer: PeerId) {
        self.unmap(peer.0);
        self.detach(peer);
        if let Some(entry) = self.entries.get_mut(peer.0 as usize)
            && let Some(entry) = entry.take()
        {
            if entry.marks.has(Marks::QUEUED) {
                self.strangers.retain(|(_, index)| *index != peer.0);
            }
            self.free.push(peer.0);
        }
    }

    /// A peer that nobody holds and that was silent for too long, to be forgotten and removed.
    pub(crate) fn next_stale(&mut self, now: Instant) -> Option<PeerId> {
        while let Some((due, index)) = self.strangers.front().copied() {
            if due > now {
                return None;
            }
            self.strangers.pop_front();
            let entry = self
                .entry_mut(PeerId(index))
                .expect("queued peers are there");
            let due = entry.heard() + STRANGER_LIFETIME;
            let stays = entry.holds == 0 && due > now;
            entry.marks.set(Marks::QUEUED, stays);
            if stays {
                self.strangers.push_back((due, index));
            } else if entry.holds == 0 {
                return Some(PeerId(index));
            }
        }
        None
    }

    /// The oldest stranger, if there are too many: to be forgotten and removed.
    pub(crate) fn surplus(&mut self) -> Option<PeerId> {
        while self.strangers.len() > STRANGERS_MAX {
            let (_, index) = self.strangers.pop_front()?;
            let entry = self
                .entry_mut(PeerId(index))
                .expect("queued peers are there");
            entry.marks.set(Marks::QUEUED, false);
            if entry.holds == 0 {
                return Some(PeerId(index));
            }
        }
        None
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.strangers.front().map(|(due, _)| *due)
    }
}

/// An address and a door in few words: every datagram is looked up by them. The seed of the hasher
/// keeps its sender from choosing where it falls.
#[inline]
fn hash(hasher: &DefaultHashBuilder, port: Port, address: &Address) -> u64 {
    let door = (port.index() as u64) << 48;
    match address {
        Address::Udp(SocketAddr::V4(socket)) => hasher
            .hash_one(door | u64::from(u32::from(*socket.ip())) << 16 | u64::from(socket.port())),
        Address::Udp(SocketAddr::V6(socket)) => hasher.hash_one((
            u128::from(*socket.ip()),
            door | u64::from(socket.scope_id()) << 16 | u64::from(socket.port()),
        )),
        Address::Sms(number) => hasher.hash_one((door, number)),
    }
}

#[inline]
fn is_at(entries: &[Option<Entry>], index: u32, port: Port, address: &Address) -> bool {
    entries[index as usize]
        .as_ref()
        .is_some_and(|entry| entry.is_at(port, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> Address {
        Address::Udp(([127, 0, 0, 1], port).into())
    }

    fn second(seconds: u64) -> Instant {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_identity_is_small_because_one_is_kept_of_every_client() {
        assert!(size_of::<Identity>() <= 40, "{}", size_of::<Identity>());
    }

    #[test]
    fn a_peer_has_one_line_of_the_cache() {
        assert_eq!(size_of::<Option<Entry>>(), 64);
    }

    #[test]
    fn an_address_is_one_peer_until_it_is_silent() {
        let mut peers = Peers::default();
        let one = peers.heard(second(0), Port::Coap, &address(1), None);
        assert_eq!(peers.heard(second(200), Port::Coap, &address(1), None), one);
        assert_eq!(peers.next_stale(second(246)), None);
        assert_eq!(peers.next_stale(second(300)), None, "it was heard at 200 s");
        assert_eq!(peers.next_stale(second(447)), Some(one));
        peers.remove(one);
        assert_eq!(peers.len(), 0);
        assert_eq!(peers.next_timeout(), None);
    }

    #[test]
    fn a_held_peer_stays() {
        let mut peers = Peers::default();
        let one = peers.heard(second(0), Port::Coap, &address(1), None);
        peers.hold(one);
        assert_eq!(peers.next_stale(second(1_000)), None);
        peers.release(second(1_000), one);
        assert_eq!(peers.next_stale(second(1_246)), None);
        assert_eq!(peers.next_stale(second(1_247)), Some(one));
    }

    #[test]
    fn a_peer_that_moved_is_known_by_its_new_address_alone() {
        let mut peers = Peers::default();
        let old = peers.heard(second(0), Port::Coap, &address(1), None);
        peers.hold(old);
        let seen_as = peers.heard(second(1), Port::Coap, &address(2), None);
        peers.move_to(old, seen_as);
        assert_eq!(peers.heard(second(2), Port::Coap, &address(2), None), old);
        assert_eq!(peers.route(old).unwrap().0, address(2));
        assert_eq!(
            peers.route(seen_as).unwrap().0,
            address(2),
            "its answer still finds the way"
        );
        let other = peers.heard(second(3), Port::Coap, &address(1), None);
        assert_ne!(
            other, old,
            "the old address belongs to whoever comes there next"
        );
        assert_eq!(peers.next_stale(second(248)), Some(seen_as));
    }

    #[test]
    fn strangers_are_bounded() {
        let mut peers = Peers::default();
        let first = peers.heard(
            second(0),
            Port::Coap,
            &Address::Udp(([127, 0, 0, 1], 9).into()),
            None,
        );
        for index in 0..STRANGERS_MAX as u32 {
            let ip = core::net::Ipv4Addr::from(0x7f01_0000 + index);
            peers.heard(second(0), Port::Coap, &Address::Udp((ip, 1).into()), None);
        }
        assert_eq!(peers.surplus(), Some(first));
        peers.remove(first);
        assert_eq!(peers.surplus(), None);
    }
}
