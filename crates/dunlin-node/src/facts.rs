//! From the Server machine's changes to rows of the store; `loading` reads them back at a start.
//!
//! A change that amends a row (a lifetime that is longer, an address that moved, a notification
//! that came) is a small row of its own beside the large one, so that nothing is read before it is
//! written. Every row carries a *stamp* that rises with each change of this shard; at the start the
//! rows of one Client are laid over each other in the order of their stamps.

use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dunlin_lwm2m::{EndpointName, Path};
use dunlin_server::change::{Change, Departed, NotificationKey, Observation, Registration};
use dunlin_server::{Commit, Event, EventKind, RequestId};
use dunlin_store::{Batch, Fact, Store, StoreError, Table};
use dunlin_transport::{Address, WallTime};

use crate::bootstraps;
use crate::record::event::encode_with;
use crate::record::{
    Bytes, Item as _, RecordError, Written as _, begin, decode, encode, structure,
};
use crate::vault::Vault;

/// A registration.
pub(crate) const REGISTRATION: u8 = b'r';
/// A registration that lives longer than its own row says.
pub(crate) const RENEWAL: u8 = b'e';
/// A session of DTLS, sealed.
pub(crate) const SESSION: u8 = b's';
/// Numbers of a session that may be in use beyond what its own row says.
pub(crate) const RESERVATION: u8 = b'q';
/// A registration that is reached elsewhere than its own row says.
pub(crate) const MOVE: u8 = b'm';
/// A registration that has ended.
pub(crate) const DEPARTED: u8 = b'd';
/// An observation.
pub(crate) const OBSERVATION: u8 = b'o';
/// The last notification of an observation.
pub(crate) const NOTIFICATION: u8 = b'n';

/// Why the stored state cannot be taken up.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The store does not read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A row is not what it should be.
    #[error("table {table}, key {key}: {error}; 'dunlin check --data' scans the whole store")]
    Row {
        /// Where.
        table: Table,
        /// The key, in hexadecimal digits.
        key: String,
        /// What is wrong.
        error: RecordError,
    },
    /// A sealed row does not open.
    #[error("table {table}, row of \"{key}\": {what}")]
    Sealed {
        /// Where.
        table: Table,
        /// Whose it is.
        key: String,
        /// What is wrong.
        what: String,
    },
}

/// A row and when it was written, in the order of changes.
pub(crate) struct Stamped<T> {
    pub(crate) stamp: u64,
    pub(crate) fact: T,
}

macro_rules! stamped {
    ($($type:ty),+ $(,)?) => {$(structure!(Stamped<$type> { stamp, fact });)+};
}

pub(crate) struct Renewal {
    pub(crate) expires_at: WallTime,
    pub(crate) contact_at: WallTime,
    pub(crate) interval_s: u32,
}
structure!(Renewal {
    expires_at,
    contact_at,
    interval_s
});

pub(crate) struct SealedSession {
    pub(crate) exported: Bytes,
    pub(crate) reserved: u64,
}
structure!(SealedSession { exported, reserved });

pub(crate) struct Moved {
    pub(crate) address: Address,
    pub(crate) local: Option<IpAddr>,
}
structure!(Moved { address, local });

stamped!(
    Registration,
    Renewal,
    Moved,
    SealedSession,
    u64,
    Departed,
    Observation,
    NotificationKey
);

/// Turns the commits of one shard into batches.
#[derive(Debug)]
pub(crate) struct Recorder {
    stamp: u64,
    /// The last stamp of all shards: a Client goes from one to another, and rows that the second writes
    /// must come after those of the first.
    stamps: Arc<AtomicU64>,
    vault: Arc<Vault>,
    /// The registration that was written last, and its bytes: the event that tells it holds the same.
    written: Option<Arc<Registration>>,
    bytes: Vec<u8>,
}

impl Recorder {
    /// A recorder for a new store; see [`Self::come_after`]. All shards share the stamps.
    pub(crate) fn new(stamps: Arc<AtomicU64>, vault: Arc<Vault>) -> Self {
        Self {
            stamp: 0,
            stamps,
            vault,
            written: None,
            bytes: Vec::new(),
        }
    }

    /// Stamps come after this one from now on: a row of a fact that is being taken up has it.
    pub(crate) fn come_after(&mut self, stamp: u64) {
        self.stamps.fetch_max(stamp, Ordering::Relaxed);
    }

    /// Adds a commit to the batch of this turn.
    pub(crate) fn record(&mut self, commit: &Commit, store: &dyn Store, batch: &mut Batch) {
        for change in &commit.changes {
            self.stamp = self.next_stamp(batch.at_ms);
            self.change(change, store, batch);
        }
        batch
            .events
            .extend(commit.events.iter().map(|event| self.event(event)));
        self.written = None;
    }

    fn next_stamp(&self, at_ms: u64) -> u64 {
        let next = |last: u64| (last + 1).max(at_ms.saturating_mul(1_000));
        let before = self
            .stamps
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                Some(next(last))
            });
        next(before.expect("it is always updated"))
    }

    fn event(&self, event: &Event) -> Vec<u8> {
        let (EventKind::Registered { registration, .. } | EventKind::Updated { registration, .. }) =
            &event.kind
        else {
            return encode(event);
        };
        let written = self.written.as_ref();
        written
            .filter(|written| Arc::ptr_eq(written, registration))
            .and_then(|_| encode_with(event, &self.bytes))
            .unwrap_or_else(|| encode(event))
    }

    /// The row of a registration, as [`Stamped`] is written; the bytes of the registration are kept.
    fn registration_row(&mut self, registration: &Arc<Registration>) -> Vec<u8> {
        let mut bytes = minicbor::Encoder::new(std::mem::take(&mut self.bytes));
        bytes.writer_mut().clear();
        registration.write(&mut bytes);
        self.bytes = bytes.into_writer();
        self.written = Some(registration.clone());
        let mut row = begin();
        row.array(2).done();
        self.stamp.write(&mut row);
        row.writer_mut().extend_from_slice(&self.bytes);
        row.into_writer()
    }

    fn stamped<T>(&self, fact: T) -> Stamped<T> {
        Stamped {
            stamp: self.stamp,
            fact,
        }
    }

    fn change(&mut self, change: &Change, store: &dyn Store, batch: &mut Batch) {
        let registrations = Table::Registrations;
        match change {
            Change::Register(registration) => {
                let key = client_key(REGISTRATION, &registration.endpoint);
                batch.put(registrations, key, self.registration_row(registration));
            }
            Change::Renew {
                endpoint,
                expires_at,
                contact_at,
                interval_s,
            } => {
                let row = self.stamped(Renewal {
                    expires_at: *expires_at,
                    contact_at: *contact_at,
                    interval_s: *interval_s,
                });
                batch.put(registrations, client_key(RENEWAL, endpoint), encode(&row));
            }
            Change::Move {
                endpoint,
                address,
                local,
            } => {
                let row = self.stamped(Moved {
                    address: address.clone(),
                    local: *local,
                });
                batch.put(registrations, client_key(MOVE, endpoint), encode(&row));
            }
            Change::Depart(departed) => {
                let endpoint = &departed.endpoint;
                let row = encode(&self.stamped(departed.clone()));
                batch.put(registrations, client_key(DEPARTED, endpoint), row);
                for kind in [REGISTRATION, RENEWAL, MOVE, SESSION, RESERVATION] {
                    batch.delete(registrations, client_key(kind, endpoint));
                }
            }
            Change::Session(session) => {
                let key = client_key(SESSION, &session.endpoint);
                let sealed = self.vault.seal(&key, session.exported.expose());
                let row = self.stamped(SealedSession {
                    exported: Bytes(sealed),
                    reserved: session.reserved,
                });
                batch.put(registrations, key, encode(&row));
            }
            Change::Reserve { endpoint, up_to } => {
                let row = encode(&self.stamped(*up_to));
                batch.put(registrations, client_key(RESERVATION, endpoint), row);
            }
            Change::EndSession { endpoint } => {
                for kind in [SESSION, RESERVATION] {
                    batch.delete(registrations, client_key(kind, endpoint));
                }
            }
            Change::Forget { endpoint } => {
                batch.delete(registrations, client_key(DEPARTED, endpoint));
                forget_observations(endpoint, store, batch);
                crate::values::forget(endpoint, store, batch);
            }
            Change::Observe(observation) => {
                let key = observation_key(OBSERVATION, &observation.endpoint, observation.path);
                let row = self.stamped(Observation::clone(observation));
                batch.put(Table::Observations, key, encode(&row));
            }
            Change::Notified {
                endpoint,
                path,
                key,
            } => {
                let row = encode(&self.stamped(*key));
                let key = observation_key(NOTIFICATION, endpoint, *path);
                batch.put(Table::Observations, key, row);
            }
            Change::Unobserve { endpoint, path } => {
                for kind in [OBSERVATION, NOTIFICATION] {
                    batch.delete(Table::Observations, observation_key(kind, endpoint, *path));
                }
            }
            Change::Request(request) => {
                batch.put(Table::Requests, request_key(request.id), encode(&**request));
            }
            Change::EndRequest(id) => batch.delete(Table::Requests, request_key(*id)),
            // What was made for the Client is added to the credentials by the shard.
            Change::BeginBootstrap { run, .. } => bootstraps::begin(run, batch),
            Change::EndBootstrap(run) => bootstraps::end(run, store, batch),
        }
    }
}

fn client_key(kind: u8, endpoint: &EndpointName) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + endpoint.as_str().len());
    key.push(kind);
    key.extend_from_slice(endpoint.as_str().as_bytes());
    key
}

/// The kind, the name with its length before it, and the ids of the path.
fn observation_key(kind: u8, endpoint: &EndpointName, path: Path) -> Vec<u8> {
    let mut key = observations_of(kind, endpoint);
    path.ids()
        .iter()
        .for_each(|id| key.extend_from_slice(&id.to_be_bytes()));
    key
}

fn observations_of(kind: u8, endpoint: &EndpointName) -> Vec<u8> {
    let name = endpoint.as_str().as_bytes();
    let mut key = Vec::with_capacity(2 + name.len() + 8);
    key.push(kind);
    key.push(u8::try_from(name.len()).expect("an endpoint name has at most 252 bytes"));
    key.extend_from_slice(name);
    key
}

fn request_key(id: RequestId) -> Vec<u8> {
    id.to_bits().to_be_bytes().to_vec()
}

/// The rows of a Client's observations, found by their common beginning: a Client that is
/// forgotten is rare, and has few.
fn forget_observations(endpoint: &EndpointName, store: &dyn Store, batch: &mut Batch) {
    for kind in [OBSERVATION, NOTIFICATION] {
        let begin = observations_of(kind, endpoint);
        // A table that does not read loses nothing here: the rows stay, and belong to nobody.
        let rows = store
            .scan(Table::Observations, &begin, 1_000)
            .unwrap_or_default();
        let own = rows
            .into_iter()
            .take_while(|row| row.key.starts_with(&begin));
        batch
            .facts
            .extend(own.map(|row| Fact::delete(Table::Observations, row.key)));
    }
}

pub(crate) fn read_row<T: crate::record::Item>(
    table: Table,
    key: &[u8],
    value: &[u8],
) -> Result<T, LoadError> {
    decode(value).map_err(|error| {
        let key = key.iter().map(|byte| format!("{byte:02x}")).collect();
        LoadError::Row { table, key, error }
    })
}

/// Visits every row of a table until one does not read.
pub(crate) fn walk(
    store: &dyn Store,
    table: Table,
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), LoadError>,
) -> Result<(), LoadError> {
    let mut failed = None;
    store.replay(table, &mut |key, value| match visit(key, value) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    })?;
    failed.map_or(Ok(()), Err)
}

/// Whether a row of the two tables of this module reads; says why not.
pub(crate) fn validate(key: &[u8], value: &[u8]) -> Result<(), String> {
    let read = match key.first().copied() {
        Some(REGISTRATION) => decode::<Stamped<Registration>>(value).map(drop),
        Some(RENEWAL) => decode::<Stamped<Renewal>>(value).map(drop),
        Some(MOVE) => decode::<Stamped<Moved>>(value).map(drop),
        Some(RESERVATION) => decode::<Stamped<u64>>(value).map(drop),
        Some(SESSION) => {
            let row = decode::<Stamped<SealedSession>>(value).map_err(|error| error.to_string())?;
            return crate::vault::validate(&row.fact.exported.0).map_err(|error| error.to_string());
        }
        Some(DEPARTED) => decode::<Stamped<Departed>>(value).map(drop),
        Some(OBSERVATION) => decode::<Stamped<Observation>>(value).map(drop),
        Some(NOTIFICATION) => decode::<Stamped<NotificationKey>>(value).map(drop),
        _ => return Err("a row of no known kind".to_owned()),
    };
    read.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use dunlin_lwm2m::link::ObjectLinks;
    use dunlin_lwm2m::operation::Binding;
    use dunlin_lwm2m::{Deviations, LwM2mVersion};
    use dunlin_server::RegistrationId;
    use dunlin_server::change::{Departure, FormatMemory};
    use dunlin_server::event::Changed;
    use dunlin_store::{MemoryStore, Retention};
    use dunlin_transport::Identity;

    use super::*;

    fn registration(address: Address) -> Arc<Registration> {
        Arc::new(Registration {
            endpoint: EndpointName::new("urn:imei:490154203237518").expect("a name"),
            id: RegistrationId::from_bits(7 << 100 | 5),
            registered_at: WallTime(1_767_225_600_000),
            updated_at: WallTime(1_767_225_600_001),
            expires_at: WallTime(1_767_225_900_000),
            contact_at: WallTime(1_767_225_600_000),
            interval_s: 60,
            lifetime_s: 300,
            version: LwM2mVersion::V1_0,
            binding: Binding::parse("UQ").expect("a binding"),
            sms_number: None,
            links: ObjectLinks::builder().instance(1, 0).instance(3, 0).build(),
            address,
            local: Some("::1".parse().expect("an address")),
            identity: Identity::None,
            parameters: vec![("x".into(), "y".into())],
            deviations: Deviations::default(),
            formats: FormatMemory::default(),
        })
    }

    fn event(registration: &Registration, kind: EventKind) -> Event {
        Event {
            endpoint: registration.endpoint.clone(),
            at: registration.updated_at,
            kind,
        }
    }

    /// The event of a registration copies what was written for the row: both must read as if each
    /// had been written by itself.
    #[test]
    fn a_registration_is_written_once_and_reads_twice() {
        let longest = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535";
        let addresses = ["192.168.100.200:56830", "[2001:db8::1]:5683", longest];
        let addresses = addresses.map(|text| Address::Udp(text.parse().expect("an address")));
        let sms = Address::Sms("+41791234567".into());
        for address in addresses.into_iter().chain([sms]) {
            let (stored, other) = (
                registration(address),
                registration(Address::Sms("1".into())),
            );
            let kinds = [
                EventKind::Registered {
                    registration: stored.clone(),
                    replaced: Some(other.id),
                },
                EventKind::Updated {
                    registration: stored.clone(),
                    changed: Changed::default(),
                },
                // Not the one that is stored: nothing may be copied.
                EventKind::Updated {
                    registration: other.clone(),
                    changed: Changed::default(),
                },
                EventKind::Departed {
                    id: stored.id,
                    reason: Departure::Expired,
                },
            ];
            let commit = Commit {
                number: 1,
                changes: vec![Change::Register(stored.clone())],
                events: kinds.map(|kind| event(&stored, kind)).into(),
            };
            let store = MemoryStore::new(Retention::default());
            let mut batch = Batch::new(1);
            Recorder::new(Arc::default(), Arc::new(Vault::ephemeral()))
                .record(&commit, &store, &mut batch);
            let row = batch.facts[0].value().expect("it is put");
            let row: Stamped<Registration> = decode(row).expect("it reads");
            assert_eq!((row.stamp, &row.fact), (1_000, &*stored));
            for (told, bytes) in commit.events.iter().zip(&batch.events) {
                assert_eq!(*bytes, encode(told));
                assert_eq!(decode::<Event>(bytes).expect("it reads"), *told);
            }
        }
    }
}
