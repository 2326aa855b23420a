//! The book of Clients: who is registered, found by name, by location and by peer.
//!
//! It is the largest thing in a Server, so it is packed: one record in a slab, three tables of
//! indices, lists of objects shared by all Clients that have the same ones, and boxes only for
//! Clients that have something unusual, or something to do.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use dunlin_lwm2m::link::ObjectLinks;
use dunlin_lwm2m::operation::{Binding, SmsNumber};
use dunlin_lwm2m::{Deviations, EndpointName, LwM2mVersion};
use dunlin_transport::{Identity, Instant, Now, Peer, PeerId, WallTime};
use hashbrown::{DefaultHashBuilder, HashTable};
use slab::Slab;

use crate::change::{FormatMemory, Registration};
use crate::event::Presence;
use crate::id::RegistrationId;
use crate::links::SharedLinks;

/// A Client's place in the book.
pub(crate) type ClientKey = u32;

/// Clients fetched beside each other: more than a processor has loads under way.
const AHEAD: usize = 32;

pub(crate) const NO_CLIENT: ClientKey = u32::MAX;

/// Milliseconds on the driver's clock; negative for what was before the driver began.
pub(crate) type Ms = i64;

pub(crate) fn ms(instant: Instant) -> Ms {
    Ms::try_from(instant.as_millis()).unwrap_or(Ms::MAX / 2)
}

pub(crate) fn instant(at: Ms) -> Instant {
    Instant::from_millis(at.max(0).unsigned_abs())
}

pub(crate) fn seconds(seconds: u32) -> Ms {
    Ms::from(seconds) * 1000
}

/// The date of a moment on the driver's clock.
pub(crate) fn wall_of(now: Now, at: Ms) -> WallTime {
    WallTime(now.wall.0.saturating_add_signed(at - ms(now.instant)))
}

/// The moment of a date on the driver's clock.
pub(crate) fn ms_of(now: Now, at: WallTime) -> Ms {
    let now_wall = Ms::try_from(now.wall.0).unwrap_or(Ms::MAX / 2);
    let at = Ms::try_from(at.0).unwrap_or(Ms::MAX / 2);
    ms(now.instant) + (at - now_wall)
}

/// A registered Client.
///
/// In this order: what a refresh looks at and changes comes first and stands together, because with
/// many Clients the time of a refresh is the time to fetch their memory.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Client {
    pub(crate) id: RegistrationId,
    pub(crate) peer: PeerId,
    next_at_peer: ClientKey,
    pub(crate) lifetime_s: u32,
    /// The learnt interval of its refreshes; zero while none is.
    pub(crate) interval_s: u32,
    pub(crate) expires: Ms,
    /// When it was last heard.
    pub(crate) contact: Ms,
    /// When its lifetime last began anew.
    pub(crate) refreshed: Ms,
    /// When its timer fires; later than any moment there is while it has none. It may fire too
    /// early, never too late.
    pub(crate) armed: Ms,
    /// The expiry that the store has.
    pub(crate) stored_expires_at: WallTime,
    pub(crate) details: Option<Box<Details>>,
    pub(crate) work: Option<Box<Work>>,
    pub(crate) deviations: Deviations,
    pub(crate) binding: Binding,
    /// Requests in a row that it did not answer.
    pub(crate) unanswered: u8,
    /// It did not answer in its awake window: it is taken to sleep until it is heard.
    pub(crate) silent: bool,
    /// The session of its peer has its record under this name.
    pub(crate) keeps_session: bool,
    /// The presence that was last told.
    pub(crate) told: Presence,
    pub(crate) version: LwM2mVersion,
    pub(crate) formats: FormatMemory,
    pub(crate) endpoint: EndpointName,
    pub(crate) links: ObjectLinks,
    pub(crate) registered_at: WallTime,
    pub(crate) updated_at: WallTime,
}

/// What few Clients have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Details {
    pub(crate) identity: Identity,
    pub(crate) sms_number: Option<SmsNumber>,
    pub(crate) parameters: Vec<(String, String)>,
}

impl Default for Details {
    fn default() -> Self {
        Self {
            identity: Identity::None,
            sms_number: None,
            parameters: Vec::new(),
        }
    }
}

impl Details {
    /// Boxed, unless there is nothing in it.
    pub(crate) fn pack(self) -> Option<Box<Self>> {
        let empty = self.identity == Identity::None
            && self.sms_number.is_none()
            && self.parameters.is_empty();
        (!empty).then(|| Box::new(self))
    }
}

/// What we want of a Client.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// Its observations.
    pub(crate) observations: Vec<u32>,
    /// Requests in the order in which they will be sent.
    pub(crate) waiting: VecDeque<u32>,
    /// The one that is under way: NSTART is 1 (RFC 7252 §4.7).
    pub(crate) in_flight: Option<InFlight>,
    /// Nothing is sent before this.
    pub(crate) not_before: Ms,
}

impl Work {
    pub(crate) fn is_empty(&self) -> bool {
        self.observations.is_empty() && self.waiting.is_empty() && self.in_flight.is_none()
    }
}

/// What is under way to a Client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InFlight {
    /// A request of an operator, by its key.
    Request(u32),
    /// An observation that is made again, by its key.
    Renewal(u32),
}

impl Client {
    /// From its record, as it registers or after a restart. `expires` is left to the caller.
    pub(crate) fn new(registration: &Registration, peer: PeerId, now: Now) -> Self {
        let details = Details {
            identity: registration.identity.clone(),
            sms_number: registration.sms_number.clone(),
            parameters: registration.parameters.clone(),
        };
        Self {
            endpoint: registration.endpoint.clone(),
            id: registration.id,
            links: registration.links.clone(),
            deviations: registration.deviations,
            registered_at: registration.registered_at,
            updated_at: registration.updated_at,
            stored_expires_at: registration.expires_at,
            expires: ms_of(now, registration.expires_at),
            armed: Ms::MAX,
            contact: ms_of(now, registration.contact_at),
            refreshed: ms_of(now, registration.contact_at),
            lifetime_s: registration.lifetime_s,
            interval_s: registration.interval_s,
            peer,
            next_at_peer: NO_CLIENT,
            version: registration.version,
            binding: registration.binding,
            formats: registration.formats,
            unanswered: 0,
            silent: false,
            keeps_session: false,
            told: Presence::Awake,
            details: details.pack(),
            work: None,
        }
    }

    /// Its record. Expiry and contact are the true ones.
    pub(crate) fn record(&self, now: Now, peer: Option<Peer>) -> Registration {
        let peer = peer.expect("the transport forgets no peer that is held");
        let Peer { address, local, .. } = peer;
        let details = self.details.as_deref();
        Registration {
            endpoint: self.endpoint.clone(),
            id: self.id,
            registered_at: self.registered_at,
            updated_at: self.updated_at,
            expires_at: wall_of(now, self.expires),
            contact_at: wall_of(now, self.contact),
            interval_s: self.interval_s,
            lifetime_s: self.lifetime_s,
            version: self.version,
            binding: self.binding,
            sms_number: details.and_then(|details| details.sms_number.clone()),
            links: self.links.clone(),
            address,
            local,
            identity: self.identity().clone(),
            parameters: details
                .map(|details| details.parameters.clone())
                .unwrap_or_default(),
            deviations: self.deviations,
            formats: self.formats,
        }
    }

    /// What security proved when it registered.
    pub(crate) fn identity(&self) -> &Identity {
        self.details
            .as_deref()
            .map_or(&Identity::None, |details| &details.identity)
    }

    /// A tenth of its lifetime: how far its true expiry may be ahead of the stored one.
    pub(crate) fn tenth(&self) -> Ms {
        seconds(self.lifetime_s) / 10
    }

    pub(crate) fn work(&mut self) -> &mut Work {
        self.work.get_or_insert_default()
    }

    /// Drops the box when nothing is in it.
    pub(crate) fn tidy(&mut self) {
        if self.work.as_ref().is_some_and(|work| work.is_empty()) {
            self.work = None;
        }
    }

    /// Learns from a refresh how long it stays away: the longest counts, and fades.
    pub(crate) fn learn_interval(&mut self, now: Ms) {
        let seen = u32::try_from((now - self.refreshed) / 1000).unwrap_or(0);
        self.interval_s = match self.interval_s {
            known if seen >= known => seen,
            known => known - (known - seen) / 8,
        };
    }
}

/// The book.
#[derive(Debug)]
pub(crate) struct Book {
    clients: Slab<Client>,
    by_endpoint: HashTable<ClientKey>,
    by_id: HashTable<ClientKey>,
    /// The first Client at each peer; the others follow in `next_at_peer`.
    at_peer: Vec<ClientKey>,
    links: SharedLinks,
    hasher: DefaultHashBuilder,
}

impl Book {
    pub(crate) fn new() -> Self {
        Self {
            clients: Slab::new(),
            by_endpoint: HashTable::new(),
            by_id: HashTable::new(),
            at_peer: Vec::new(),
            links: SharedLinks::new(),
            hasher: DefaultHashBuilder::default(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }

    pub(crate) fn get(&self, key: ClientKey) -> Option<&Client> {
        self.clients.get(key as usize)
    }

    /// # Panics
    /// When there is no such Client: keys are removed from wherever they stand when it goes.
    pub(crate) fn client(&self, key: ClientKey) -> &Client {
        &self.clients[key as usize]
    }

    /// As [`Self::client`].
    pub(crate) fn client_mut(&mut self, key: ClientKey) -> &mut Client {
        &mut self.clients[key as usize]
    }

    pub(crate) fn find(&self, endpoint: &str) -> Option<ClientKey> {
        let hash = self.hasher.hash_one(endpoint);
        self.by_endpoint
            .find(hash, |key| {
                self.clients[*key as usize].endpoint.as_str() == endpoint
            })
            .copied()
    }

    pub(crate) fn find_id(&self, id: RegistrationId) -> Option<ClientKey> {
        self.by_id
            .find(hash_id(id), |key| self.clients[*key as usize].id == id)
            .copied()
    }

    /// The Client with this id at this peer: what most datagrams name, found without hashing. Where
    /// many share an address, only the first few are looked at.
    pub(crate) fn find_at(&self, peer: PeerId, id: RegistrationId) -> Option<ClientKey> {
        const LOOKED_AT: usize = 4;
        let first = self.first_at_peer(peer);
        core::iter::successors(first, |key| self.next_at_peer(*key))
            .take(LOOKED_AT)
            .find(|key| self.clients[*key as usize].id == id)
    }

    /// Fetches the first Client at each of these peers into the caches of the processor, in two steps
    /// for all of them: the waits for memory then lie beside each other.
    pub(crate) fn touch(&self, peers: &[PeerId]) {
        for peers in peers.chunks(AHEAD) {
            let mut keys = [NO_CLIENT; AHEAD];
            for (key, peer) in keys.iter_mut().zip(peers) {
                *key = self.first_at_peer(*peer).unwrap_or(NO_CLIENT);
            }
            // One word from each line of the cache that a refresh reads.
            let clients = keys.iter().filter_map(|key| self.get(*key));
            let read = clients.fold(0, |read, client| {
                read ^ client.lifetime_s ^ client.expires as u32 ^ u32::from(client.unanswered)
            });
            core::hint::black_box(read);
        }
    }

    /// A Client at this peer. Mostly it is the only one; gateways have more.
    pub(crate) fn first_at_peer(&self, peer: PeerId) -> Option<ClientKey> {
        self.at_peer
            .get(peer.0 as usize)
            .copied()
            .filter(|key| *key != NO_CLIENT)
    }

    /// The next Client at the same peer.
    pub(crate) fn next_at_peer(&self, key: ClientKey) -> Option<ClientKey> {
        Some(self.clients[key as usize].next_at_peer).filter(|key| *key != NO_CLIENT)
    }

    /// Enters a Client under a name and an id that nobody has.
    pub(crate) fn insert(&mut self, mut client: Client) -> ClientKey {
        client.links = self.links.share(client.links);
        let name_hash = self.hasher.hash_one(client.endpoint.as_str());
        let (id, peer) = (client.id, client.peer);
        let key = ClientKey::try_from(self.clients.insert(client))
            .expect("fewer than 2^32 Clients fit into memory");
        let Self {
            clients,
            by_endpoint,
            by_id,
            hasher,
            ..
        } = self;
        by_endpoint.insert_unique(name_hash, key, |key| {
            hasher.hash_one(clients[*key as usize].endpoint.as_str())
        });
        by_id.insert_unique(hash_id(id), key, |key| hash_id(clients[*key as usize].id));
        self.link(key, peer);
        key
    }

    pub(crate) fn remove(&mut self, key: ClientKey) -> Client {
        self.unlink(key);
        let client = self.clients.remove(key as usize);
        let name_hash = self.hasher.hash_one(client.endpoint.as_str());
        if let Ok(entry) = self
            .by_endpoint
            .find_entry(name_hash, |other| *other == key)
        {
            entry.remove();
        }
        if let Ok(entry) = self
            .by_id
            .find_entry(hash_id(client.id), |other| *other == key)
        {
            entry.remove();
        }
        client
    }

    pub(crate) fn set_links(&mut self, key: ClientKey, links: ObjectLinks) {
        self.clients[key as usize].links = self.links.share(links);
    }

    /// The Client is at another peer now.
    pub(crate) fn set_peer(&mut self, key: ClientKey, peer: PeerId) {
        self.unlink(key);
        self.clients[key as usize].peer = peer;
        self.link(key, peer);
    }

    /// The Clients from this key on, in the order of keys.
    pub(crate) fn iter_from(&self, from: usize) -> impl Iterator<Item = (ClientKey, &Client)> {
        // A slab cannot begin in the middle: ask it key by key.
        (from..self.clients.capacity())
            .filter_map(|key| Some((key as ClientKey, self.clients.get(key)?)))
    }

    fn link(&mut self, key: ClientKey, peer: PeerId) {
        let index = peer.0 as usize;
        if index >= self.at_peer.len() {
            self.at_peer.resize(index + 1, NO_CLIENT);
        }
        self.clients[key as usize].next_at_peer = std::mem::replace(&mut self.at_peer[index], key);
    }

    fn unlink(&mut self, key: ClientKey) {
        let Client {
            peer, next_at_peer, ..
        } = self.clients[key as usize];
        let mut at = self.at_peer[peer.0 as usize];
        if at == key {
            self.at_peer[peer.0 as usize] = next_at_peer;
            return;
        }
        while self.clients[at as usize].next_at_peer != key {
            at = self.clients[at as usize].next_at_peer;
        }
        self.clients[at as usize].next_at_peer = next_at_peer;
    }
}

/// Ids are random already, and only we make them.
fn hash_id(id: RegistrationId) -> u64 {
    id.to_bits() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn at(book: &Book, peer: u32) -> Vec<ClientKey> {
        std::iter::successors(book.first_at_peer(PeerId(peer)), |key| {
            book.next_at_peer(*key)
        })
        .collect()
    }

    fn client(name: &str, id: u128, peer: u32) -> Client {
        let now = Now::default();
        let links = ObjectLinks::builder().instance(1, 0).instance(3, 0).build();
        let registration = Registration {
            endpoint: EndpointName::new(name).unwrap(),
            id: RegistrationId::from_bits(id),
            registered_at: now.wall,
            updated_at: now.wall,
            expires_at: now.wall,
            contact_at: now.wall,
            interval_s: 0,
            lifetime_s: 60,
            version: LwM2mVersion::V1_0,
            binding: Binding::U,
            sms_number: None,
            links,
            address: SocketAddr::from(([127, 0, 0, 1], 1)).into(),
            local: None,
            identity: Identity::None,
            parameters: Vec::new(),
            deviations: Deviations::NONE,
            formats: FormatMemory::default(),
        };
        Client::new(&registration, PeerId(peer), now)
    }

    #[test]
    fn a_client_is_found_by_name_id_and_peer_until_it_goes() {
        let mut book = Book::new();
        let one = book.insert(client("one", 1, 7));
        let two = book.insert(client("two", 2, 7));
        let three = book.insert(client("three", 3, 2));
        assert_eq!(book.find("two"), Some(two));
        assert_eq!(
            book.find_at(PeerId(7), RegistrationId::from_bits(1)),
            Some(one)
        );
        assert_eq!(
            book.find_at(PeerId(7), RegistrationId::from_bits(3)),
            None,
            "it is at another peer"
        );
        assert_eq!(book.find_id(RegistrationId::from_bits(3)), Some(three));
        assert_eq!(at(&book, 7), [two, one]);
        book.remove(one);
        assert_eq!(at(&book, 7), [two]);
        book.set_peer(two, PeerId(2));
        assert_eq!(at(&book, 7), []);
        assert_eq!(at(&book, 2).len(), 2);
        book.remove(three);
        book.remove(two);
        assert_eq!(book.len(), 0);
        assert_eq!(
            (book.find("two"), book.find_id(RegistrationId::from_bits(2))),
            (None, None)
        );
        assert_eq!(at(&book, 9), []);
    }

    #[test]
    fn the_longest_interval_is_learnt_and_fades() {
        let mut client = client("one", 1, 1);
        client.learn_interval(60_000);
        assert_eq!(client.interval_s, 60);
        client.refreshed = 60_000;
        client.learn_interval(80_000);
        assert_eq!(client.interval_s, 55);
    }

    #[test]
    fn a_record_stays_small() {
        // A million of them are the larger part of a Server's memory.
        assert!(size_of::<Client>() <= 192, "{}", size_of::<Client>());
    }
}
