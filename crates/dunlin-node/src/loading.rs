//! The durable state, read back part by part at a start.
//!
//! A fleet of a million Clients is a gigabyte when it is read whole, and what was freed of it would
//! stay in the process for good. So the rows are walked once, in the order of their names; where
//! several rows make one fact - a registration, its longer lifetime, its new address - their kinds
//! are walked beside each other, and never more than a page of each is in memory. What comes of it
//! goes to the shard that owns it in parts of [`PART`], and the shards take them up at the same time.
//!
//! The order is that in which a Server wants them: registrations, sessions, departed Clients,
//! observations, and then requests and bootstrap runs.

use std::cell::Cell;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::net::SocketAddr;

use dunlin_lwm2m::EndpointName;
use dunlin_server::Snapshot;
use dunlin_server::change::{
    Departed, NotificationKey, Observation, Registration, Request, Session,
};
use dunlin_store::{Row, Store, Table};
use dunlin_transport::dtls::Secret;
use dunlin_transport::{Address, Identity};

use crate::bootstraps;
use crate::credentials::{Credentials, Door};
use crate::directory::Directory;
use crate::facts::{
    DEPARTED, LoadError, MOVE, Moved, NOTIFICATION, OBSERVATION, REGISTRATION, RENEWAL,
    RESERVATION, Renewal, SESSION, SealedSession, Stamped, read_row, walk,
};
use crate::record::Item;
use crate::teller::Known;
use crate::vault::Vault;

/// Facts in one part: handing one over costs nothing beside reading it, and those on the way are
/// less than a megabyte.
const PART: usize = 1_024;

/// Rows of one kind that are in memory at once.
const PAGE: usize = 1_024;

/// Facts of some Clients of one shard.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) snapshot: Snapshot,
    /// No row of these facts has a greater stamp.
    pub(crate) last_stamp: u64,
}

/// What was read in all.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) registrations: usize,
    /// Where sessions are, by address, for records without a Connection ID: with one shard nobody
    /// asks.
    pub(crate) session_shards: HashMap<SocketAddr, u16>,
}

/// Where the facts come from, and what has to know of them beside the shards.
pub(crate) struct Sources<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) vault: &'a Vault,
    pub(crate) credentials: &'a Credentials,
    pub(crate) directory: &'a Directory,
    pub(crate) known: &'a Known,
    /// How many shards there are.
    pub(crate) shards: usize,
}

/// Takes the parts, each with its shard.
pub(crate) type Deliver<'a> = &'a mut dyn FnMut(usize, Part);

/// Reads everything and hands it over.
pub(crate) fn load(sources: &Sources<'_>, deliver: Deliver<'_>) -> Result<Loaded, LoadError> {
    let stamps = Cell::new(0);
    let mut loading = Loading {
        sources,
        stamps: &stamps,
        parts: (0..sources.shards).map(|_| Filling::default()).collect(),
        secured: HashMap::new(),
        loaded: Loaded::default(),
        deliver,
    };
    let departed = loading.registrations()?;
    loading.sessions()?;
    for departed in departed {
        loading.depart(departed);
    }
    loading.flush();
    loading.observations()?;
    loading.flush();
    loading.requests()?;
    loading.bootstraps()?;
    loading.flush();
    Ok(loading.loaded)
}

/// A part that grows, and how many facts it has.
#[derive(Debug, Default)]
struct Filling {
    snapshot: Snapshot,
    facts: usize,
}

/// A registration that may have a session, while the sessions are looked for.
struct Secured {
    shard: usize,
    address: Address,
}

struct Loading<'a> {
    sources: &'a Sources<'a>,
    stamps: &'a Cell<u64>,
    parts: Vec<Filling>,
    secured: HashMap<EndpointName, Secured>,
    loaded: Loaded,
    deliver: Deliver<'a>,
}

impl<'a> Loading<'a> {
    fn rows<T>(&self, table: Table, kind: u8) -> Result<Rows<'a, T>, LoadError>
    where
        Stamped<T>: Item,
    {
        Rows::begin(self.sources.store, table, kind, self.stamps)
    }

    /// Returns those that have gone: they come after all that are there.
    fn registrations(&mut self) -> Result<Vec<Departed>, LoadError> {
        let table = Table::Registrations;
        let mut gone = Vec::new();
        let mut departed = self.rows::<Departed>(table, DEPARTED)?;
        let mut renewals = self.rows::<Renewal>(table, RENEWAL)?;
        let mut moves = self.rows::<Moved>(table, MOVE)?;
        let mut registrations = self.rows::<Registration>(table, REGISTRATION)?;
        while let Some(Stored { name, stamp, fact }) = registrations.next()? {
            while let Some(other) = departed.next_before(&name)? {
                gone.push(other.fact);
            }
            if let Some(later) = departed.at(&name)?.filter(|other| other.stamp > stamp) {
                gone.push(later.fact);
                continue;
            }
            let mut row = fact;
            if let Some(renewal) = renewals.at(&name)?.filter(|other| other.stamp > stamp) {
                let renewal = renewal.fact;
                row.expires_at = renewal.expires_at;
                row.contact_at = renewal.contact_at;
                row.interval_s = renewal.interval_s;
            }
            if let Some(moved) = moves.at(&name)?.filter(|other| other.stamp > stamp) {
                row.address = moved.fact.address;
                row.local = moved.fact.local;
            }
            self.register(row);
        }
        while let Some(other) = departed.next()? {
            gone.push(other.fact);
        }
        renewals.pass()?;
        moves.pass()?;
        self.flush();
        Ok(gone)
    }

    fn register(&mut self, registration: Registration) {
        let shard = usize::from(registration.id.virtual_shard().0) % self.sources.shards;
        self.loaded.registrations += 1;
        self.sources.directory.claim(&registration.endpoint, shard);
        self.sources.known.learn_versions(&registration);
        // A session whose credential was revoked while its record was not yet removed does not live
        // again.
        let (identity, endpoint) = (&registration.identity, &registration.endpoint);
        let may_have = *identity != Identity::None;
        let credentials = self.sources.credentials;
        if may_have && credentials.allows(Door::Server, identity, endpoint).is_ok() {
            let address = registration.address.clone();
            self.secured
                .insert(endpoint.clone(), Secured { shard, address });
        }
        self.part(shard)
            .registrations
            .insert(registration.endpoint.clone(), registration);
        self.full(shard);
    }

    fn depart(&mut self, departed: Departed) {
        let shard = usize::from(departed.id.virtual_shard().0) % self.sources.shards;
        self.sources.directory.claim(&departed.endpoint, shard);
        self.part(shard)
            .departed
            .insert(departed.endpoint.clone(), departed);
    }

    fn sessions(&mut self) -> Result<(), LoadError> {
        let table = Table::Registrations;
        let mut reservations = self.rows::<u64>(table, RESERVATION)?;
        let mut sessions = self.rows::<SealedSession>(table, SESSION)?;
        while let Some(Stored { name, stamp, fact }) = sessions.next()? {
            let later = reservations.at(&name)?.filter(|other| other.stamp > stamp);
            let reserved = later.map_or(fact.reserved, |other| other.fact.max(fact.reserved));
            self.session(&name, &fact.exported.0, reserved);
        }
        reservations.pass()?;
        self.secured = HashMap::new();
        self.flush();
        Ok(())
    }

    /// A session that does not open - the key file is another one - costs its Client a handshake,
    /// and nothing else.
    fn session(&mut self, name: &[u8], sealed: &[u8], reserved: u64) {
        let endpoint = std::str::from_utf8(name)
            .ok()
            .and_then(|name| EndpointName::new(name).ok());
        let Some((endpoint, secured)) =
            endpoint.and_then(|endpoint| self.secured.remove_entry(&endpoint))
        else {
            return;
        };
        let key = [&[SESSION], name].concat();
        let exported = match self.sources.vault.open_sealed(&key, sealed) {
            Ok(exported) => Secret::from(&exported[..]),
            Err(error) => {
                return tracing::warn!(%endpoint, %error, "a stored session does not open; its client makes a new one");
            }
        };
        let Secured { shard, address } = secured;
        if let (Address::Udp(at), true) = (address, self.sources.shards > 1) {
            let index = u16::try_from(shard).expect("there are at most 256 shards");
            self.loaded.session_shards.insert(at, index);
        }
        let session = Session {
            endpoint: endpoint.clone(),
            exported,
            reserved,
        };
        self.part(shard).sessions.insert(endpoint, session);
        self.full(shard);
    }

    fn observations(&mut self) -> Result<(), LoadError> {
        let table = Table::Observations;
        let mut notifications = self.rows::<NotificationKey>(table, NOTIFICATION)?;
        let mut observations = self.rows::<Observation>(table, OBSERVATION)?;
        while let Some(Stored { name, stamp, fact }) = observations.next()? {
            let mut row = fact;
            if let Some(last) = notifications.at(&name)?.filter(|other| other.stamp > stamp) {
                row.last = Some(last.fact);
            }
            let shard = self.shard_of(&row.endpoint);
            self.part(shard)
                .observations
                .insert((row.endpoint.clone(), row.path), row);
            self.full(shard);
        }
        notifications.pass()
    }

    /// In one part for each shard: queues are made in the order in which requests were, and their
    /// keys are in another. A request that waits is rare beside the Clients.
    fn requests(&mut self) -> Result<(), LoadError> {
        walk(self.sources.store, Table::Requests, |key, value| {
            let request: Request = read_row(Table::Requests, key, value)?;
            let shard = self.shard_of(&request.endpoint);
            self.part(shard).requests.insert(request.id, request);
            Ok(())
        })
    }

    fn bootstraps(&mut self) -> Result<(), LoadError> {
        let mut all = Snapshot::default();
        bootstraps::load(self.sources.store, &mut all)?;
        for (id, run) in all.bootstraps {
            let shard = usize::from(id.virtual_shard().0) % self.sources.shards;
            self.part(shard).bootstraps.insert(id, run);
        }
        Ok(())
    }

    fn shard_of(&self, endpoint: &EndpointName) -> usize {
        self.sources.directory.owner(endpoint).unwrap_or(0)
    }

    fn part(&mut self, shard: usize) -> &mut Snapshot {
        let filling = &mut self.parts[shard];
        filling.facts += 1;
        &mut filling.snapshot
    }

    fn full(&mut self, shard: usize) {
        if self.parts[shard].facts >= PART {
            self.hand_over(shard);
        }
    }

    fn flush(&mut self) {
        (0..self.parts.len()).for_each(|shard| self.hand_over(shard));
    }

    fn hand_over(&mut self, shard: usize) {
        let Filling { snapshot, facts } = std::mem::take(&mut self.parts[shard]);
        if facts > 0 {
            let last_stamp = self.stamps.get();
            (self.deliver)(
                shard,
                Part {
                    snapshot,
                    last_stamp,
                },
            );
        }
    }
}

/// A row without its kind.
struct Stored<T> {
    /// What follows the kind in the key.
    name: Vec<u8>,
    stamp: u64,
    fact: T,
}

/// The rows of one kind, in the order of their names.
struct Rows<'a, T> {
    store: &'a dyn Store,
    table: Table,
    kind: u8,
    stamps: &'a Cell<u64>,
    page: std::vec::IntoIter<Row>,
    /// Where the next page begins; `None` after the last.
    from: Option<Vec<u8>>,
    facts: PhantomData<fn() -> T>,
}

impl<'a, T> Rows<'a, T>
where
    Stamped<T>: Item,
{
    fn begin(
        store: &'a dyn Store,
        table: Table,
        kind: u8,
        stamps: &'a Cell<u64>,
    ) -> Result<Self, LoadError> {
        let mut rows = Self {
            store,
            table,
            kind,
            stamps,
            page: Vec::new().into_iter(),
            from: Some(vec![kind]),
            facts: PhantomData,
        };
        rows.turn_page()?;
        Ok(rows)
    }

    fn turn_page(&mut self) -> Result<(), LoadError> {
        let Some(from) = self.from.take() else {
            return Ok(());
        };
        let page = self
            .store
            .scan_prefix(self.table, &[self.kind], &from, PAGE)?;
        if page.len() == PAGE
            && let Some(last) = page.last()
        {
            self.from = Some([&last.key, &[0][..]].concat());
        }
        self.page = page.into_iter();
        Ok(())
    }

    /// The name of the next row.
    fn peek(&self) -> Option<&[u8]> {
        self.page.as_slice().first().map(|row| &row.key[1..])
    }

    fn next(&mut self) -> Result<Option<Stored<T>>, LoadError> {
        let Some(Row { mut key, value }) = self.page.next() else {
            return Ok(None);
        };
        if self.page.as_slice().is_empty() {
            self.turn_page()?;
        }
        let row: Stamped<T> = read_row(self.table, &key, &value)?;
        self.stamps.set(self.stamps.get().max(row.stamp));
        key.remove(0);
        Ok(Some(Stored {
            name: key,
            stamp: row.stamp,
            fact: row.fact,
        }))
    }

    /// The next row, if its name comes before this one.
    fn next_before(&mut self, name: &[u8]) -> Result<Option<Stored<T>>, LoadError> {
        match self.peek() {
            Some(next) if next < name => self.next(),
            _ => Ok(None),
        }
    }

    /// The row of this name. Those before it belong to nobody.
    fn at(&mut self, name: &[u8]) -> Result<Option<Stored<T>>, LoadError> {
        while self.next_before(name)?.is_some() {}
        match self.peek() {
            Some(next) if next == name => self.next(),
            _ => Ok(None),
        }
    }

    /// The rest belongs to nobody; but what is written from now on comes after it.
    fn pass(&mut self) -> Result<(), LoadError> {
        while self.next()?.is_some() {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dunlin_lwm2m::Path;
    use dunlin_lwm2m::link::ObjectLinks;
    use dunlin_lwm2m::operation::Binding;
    use dunlin_lwm2m::{Deviations, LwM2mVersion};
    use dunlin_server::change::{Change, Departure, FormatMemory};
    use dunlin_server::{Commit, RegistrationId};
    use dunlin_store::{Batch, Journal as _, MemoryStore, Retention};
    use dunlin_transport::{Token, WallTime};

    use super::*;
    use crate::facts::Recorder;

    /// A store and what fills it.
    struct Filled {
        store: MemoryStore,
        vault: Arc<Vault>,
        recorder: Recorder,
    }

    impl Filled {
        fn new() -> Self {
            let vault = Arc::new(Vault::ephemeral());
            Self {
                store: MemoryStore::new(Retention::default()),
                recorder: Recorder::new(Arc::default(), vault.clone()),
                vault,
            }
        }

        /// Commits changes at a time.
        fn commit(&mut self, at_ms: u64, changes: Vec<Change>) {
            let commit = Commit {
                number: 1,
                changes,
                events: Vec::new(),
            };
            let mut batch = Batch::new(at_ms);
            self.recorder.record(&commit, &self.store, &mut batch);
            self.store.commit(&batch).expect("it is memory");
        }

        /// What every shard gets, and the parts by their size.
        fn load(&self, shards: usize) -> (Vec<Snapshot>, Vec<usize>, u64) {
            let credentials = Credentials::load(&self.store, self.vault.clone()).expect("none");
            let sources = Sources {
                store: &self.store,
                vault: &self.vault,
                credentials: &credentials,
                directory: &Directory::default(),
                known: &Known::default(),
                shards,
            };
            let mut snapshots = vec![Snapshot::default(); shards];
            let (mut sizes, mut last) = (Vec::new(), 0);
            let loaded = load(&sources, &mut |shard, part| {
                let Part {
                    snapshot,
                    last_stamp,
                } = part;
                sizes.push(snapshot.registrations.len());
                last = last_stamp;
                let all = &mut snapshots[shard];
                all.registrations.extend(snapshot.registrations);
                all.departed.extend(snapshot.departed);
                all.observations.extend(snapshot.observations);
            });
            let registrations: usize = snapshots.iter().map(|one| one.registrations.len()).sum();
            assert_eq!(loaded.expect("it reads").registrations, registrations);
            (snapshots, sizes, last)
        }
    }

    fn endpoint(name: &str) -> EndpointName {
        EndpointName::new(name).expect("a name")
    }

    fn registration(name: &str, virtual_shard: u128) -> Registration {
        let id = RegistrationId::from_bits(virtual_shard << 104 | 5);
        Registration {
            endpoint: endpoint(name),
            id,
            registered_at: WallTime(1),
            updated_at: WallTime(1),
            expires_at: WallTime(300_000),
            contact_at: WallTime(1),
            interval_s: 0,
            lifetime_s: 300,
            version: LwM2mVersion::V1_0,
            binding: Binding::parse("U").expect("a binding"),
            sms_number: None,
            links: ObjectLinks::builder().instance(3, 0).build(),
            address: Address::Udp("192.0.2.1:1000".parse().expect("an address")),
            local: None,
            identity: Identity::None,
            parameters: Vec::new(),
            deviations: Deviations::default(),
            formats: FormatMemory::default(),
        }
    }

    fn register(name: &str, shard: u128) -> Change {
        Change::Register(Arc::new(registration(name, shard)))
    }

    fn departed(name: &str) -> Change {
        Change::Depart(Departed {
            endpoint: endpoint(name),
            id: registration(name, 0).id,
            at: WallTime(9),
            reason: Departure::Expired,
        })
    }

    fn renewed(name: &str, expires_at: u64) -> Change {
        Change::Renew {
            endpoint: endpoint(name),
            expires_at: WallTime(expires_at),
            contact_at: WallTime(2),
            interval_s: 7,
        }
    }

    #[test]
    fn rows_of_one_client_are_laid_over_each_other_in_the_order_of_their_stamps() {
        let mut filled = Filled::new();
        let moved = Change::Move {
            endpoint: endpoint("b"),
            address: Address::Udp("192.0.2.9:9".parse().expect("an address")),
            local: None,
        };
        filled.commit(1, vec![register("b", 0), register("bb", 0)]);
        filled.commit(2, vec![renewed("b", 400_000), moved]);
        // A renewal of before the Client registered anew says nothing of its new registration.
        filled.commit(3, vec![renewed("bb", 900_000), register("bb", 0)]);
        // Gone, gone and back, and gone without a trace of a registration.
        filled.commit(4, vec![register("a", 0), departed("a"), departed("c")]);
        filled.commit(5, vec![departed("b"), register("d", 0)]);
        filled.commit(6, vec![register("b", 0), renewed("b", 500_000)]);
        let (snapshots, ..) = filled.load(1);
        let found: Vec<(&str, u64)> = snapshots[0]
            .registrations
            .values()
            .map(|one| (one.endpoint.as_str(), one.expires_at.0))
            .collect();
        assert_eq!(found, [("b", 500_000), ("bb", 300_000), ("d", 300_000)]);
        let gone: Vec<&str> = snapshots[0]
            .departed
            .keys()
            .map(EndpointName::as_str)
            .collect();
        assert_eq!(gone, ["a", "c"]);
        let address = &snapshots[0].registrations[&endpoint("b")].address;
        assert_eq!(*address, registration("b", 0).address, "it left that place");
    }

    #[test]
    fn a_fleet_comes_in_parts_each_to_its_shard() {
        let mut filled = Filled::new();
        let count = 3 * PART + PART / 2;
        let name = |n: usize| format!("client-{n:06}");
        for n in 0..count {
            filled.commit(n as u64, vec![register(&name(n), n as u128 % 256)]);
        }
        for n in (0..count).step_by(5) {
            filled.commit(count as u64, vec![renewed(&name(n), 1_000_000 + n as u64)]);
        }
        let (snapshots, sizes, _) = filled.load(3);
        assert!(sizes.iter().all(|size| *size <= PART), "{sizes:?}");
        let mut all = 0;
        for (shard, snapshot) in snapshots.iter().enumerate() {
            all += snapshot.registrations.len();
            for one in snapshot.registrations.values() {
                assert_eq!(usize::from(one.id.virtual_shard().0) % 3, shard);
                let n: usize = one.endpoint.as_str()[7..].parse().expect("a number");
                let wanted = if n.is_multiple_of(5) {
                    1_000_000 + n as u64
                } else {
                    300_000
                };
                assert_eq!(one.expires_at.0, wanted, "{n}");
            }
        }
        assert_eq!(all, count);
    }

    #[test]
    fn an_observation_is_read_with_its_last_notification_and_stamps_go_on_after_every_row() {
        let mut filled = Filled::new();
        let (name, path) = (endpoint("watched"), Path::from([3, 0, 1]));
        let key = NotificationKey {
            sequence: 4,
            digest: 5,
            at: WallTime(6),
        };
        let observation = Observation {
            endpoint: name.clone(),
            path,
            token: Token::new(&[1, 2]).expect("short"),
            established: None,
            renew: true,
            format: None,
            made_at: WallTime(1),
            last: None,
        };
        let notified = Change::Notified {
            endpoint: name.clone(),
            path,
            key,
        };
        let observe = Change::Observe(Box::new(observation));
        filled.commit(1, vec![register("watched", 0), observe, notified]);
        // A row that belongs to nobody any more has a stamp all the same.
        filled.commit(70, vec![renewed("zz", 1)]);
        filled.commit(1, vec![]);
        let (snapshots, _, last) = filled.load(1);
        assert_eq!(snapshots[0].observations[&(name, path)].last, Some(key));
        assert_eq!(last, 70_000);
    }
}
