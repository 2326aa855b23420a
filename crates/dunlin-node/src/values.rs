//! The last value of each path of each Client: in memory for whoever asks, and kept over a restart.
//!
//! The event log tells every value, and lets go of what is old; a value that was told a year ago is
//! still the last one. So now and then the values that have changed are written into a table of
//! their own, all that changed in between once - a *checkpoint* - together with the commit that they
//! are as of. A start reads the table, and of the log only what comes after.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use dunlin_api::backend::Reading;
use dunlin_api::time::Timestamp;
use dunlin_lwm2m::{EndpointName, Node, ObjectVersion, Path};
use dunlin_net::clock;
use dunlin_store::{
    Batch, Store, Submission, SubmitRefused, Submitter, Table, VALUE_MAX, client_key,
    client_prefix, parse_client_key,
};

use crate::directory::Directory;
use crate::facts::{LoadError, read_row, walk};
use crate::record::{encode, structure};
use crate::view;

/// Values that are remembered of one Client: a path each.
const VALUES_PER_CLIENT_MAX: usize = 1_024;

/// Up to so many values of one Client no room is kept for more.
const FEW_VALUES: usize = 4;

/// A checkpoint is made when the log tells this many events that the table does not know: what a
/// start reads again, in about a tenth of a second.
const EVENTS_BETWEEN: u64 = 50_000;

/// And when the oldest of them is this old, so that a quiet fleet is written soon after it speaks; a
/// path that is told each second is written once in that time.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(30);

/// Rows in one batch of a checkpoint: it must not hold up the Clients' commits.
const ROWS_PER_BATCH: usize = 1_000;

/// Bytes in one batch of a checkpoint, for the same reason.
const BYTES_PER_BATCH: usize = 1024 * 1024;

/// The row that says up to which commit the table is. No Client has an empty name.
const MARK: &[u8] = b"checkpoint";

/// A row of the table.
struct LastValue {
    path: Path,
    at_ms: u64,
    version: (u8, u8),
    node: Node,
    notifications: u64,
}
structure!(LastValue {
    path,
    at_ms,
    version,
    node,
    notifications
});

/// The values.
#[derive(Debug, Default)]
pub(crate) struct Values(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    clients: HashMap<EndpointName, ClientValues>,
    /// What the table does not know yet.
    changed: HashSet<Place>,
    /// Everything is here that was told before the start.
    complete: bool,
}

#[derive(Debug, Default)]
struct ClientValues {
    /// Versions of the Objects the Client stated.
    versions: Vec<(u16, ObjectVersion)>,
    /// By path. A vector, because most Clients have one or a few, and a tree would take room for
    /// eleven: at a million Clients with one value each that is more than all the rest of them.
    paths: Vec<Value>,
}

impl ClientValues {
    fn find(&self, path: &Path) -> Result<usize, usize> {
        self.paths
            .binary_search_by(|value| value.reading.path.cmp(path))
    }

    fn value(&self, path: &Path) -> Option<&Value> {
        self.find(path).ok().map(|at| &self.paths[at])
    }
}

/// Where a value is.
type Place = (EndpointName, Path);

#[derive(Clone, Debug)]
struct Value {
    reading: Reading,
    notifications: u64,
}

impl Values {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("nobody panics while holding it")
    }

    /// The last value at exactly this path, or of something around it, and how often it was told.
    pub(crate) fn value(&self, endpoint: &EndpointName, path: Path) -> Option<(Reading, u64)> {
        let inner = self.inner();
        let value = inner.clients.get(endpoint)?.value(&path)?;
        Some((value.reading.clone(), value.notifications))
    }

    /// What is known of a path: its own last value, or the part of a wider one, or wider ones put
    /// together of its parts, whichever is newest.
    pub(crate) fn cached(&self, endpoint: &EndpointName, path: Path) -> Option<Reading> {
        let inner = self.inner();
        let known = inner.clients.get(endpoint)?;
        let readings = known.paths.iter().map(|value| &value.reading);
        view::assemble(path, readings)
    }

    /// A value that was told, so many times.
    pub(crate) fn remember(&self, endpoint: &EndpointName, reading: Reading, notifications: u64) {
        let path = reading.path;
        let mut inner = self.inner();
        if inner.put(endpoint, reading, notifications) {
            inner.changed.insert((endpoint.clone(), path));
        }
    }

    /// The Client is forgotten, and what it told.
    pub(crate) fn forget(&self, endpoint: &EndpointName) {
        let mut inner = self.inner();
        if let Some(known) = inner.clients.remove(endpoint) {
            for value in known.paths {
                let path = value.reading.path;
                inner.changed.remove(&(endpoint.clone(), path));
            }
        }
    }

    /// The version of the Object that this Client has, as far as it is known.
    pub(crate) fn version(&self, endpoint: &EndpointName, path: Path) -> ObjectVersion {
        let object = path.object_id().map_or(0, |object| object.0);
        self.inner()
            .clients
            .get(endpoint)
            .and_then(|known| known.versions.iter().find(|(id, _)| *id == object))
            .map_or(ObjectVersion::V1_0, |(_, version)| *version)
    }

    /// The versions of a Client's Objects, where they are not the first ones.
    pub(crate) fn set_versions(&self, endpoint: &EndpointName, of: Vec<(u16, ObjectVersion)>) {
        self.inner()
            .clients
            .entry(endpoint.clone())
            .or_default()
            .versions = of;
    }

    /// What was told before the start is here: checkpoints may be made.
    pub(crate) fn completed(&self) {
        self.inner().complete = true;
    }

    fn is_complete(&self) -> bool {
        self.inner().complete
    }

    fn has_changed(&self) -> bool {
        !self.inner().changed.is_empty()
    }

    fn take_changed(&self) -> Vec<Place> {
        std::mem::take(&mut self.inner().changed)
            .into_iter()
            .collect()
    }

    fn put_back(&self, places: Vec<Place>) {
        self.inner().changed.extend(places);
    }

    /// A row for the table; `None` if the Client was forgotten meanwhile, or if the value is so long
    /// that only the log has it.
    fn row(&self, (endpoint, path): &Place) -> Option<Vec<u8>> {
        let inner = self.inner();
        let value = inner.clients.get(endpoint)?.value(path)?;
        Some(encode(&row_of(value))).filter(|row| row.len() <= VALUE_MAX)
    }
}

impl Inner {
    /// Says whether it is remembered.
    fn put(&mut self, endpoint: &EndpointName, reading: Reading, notifications: u64) -> bool {
        let known = self.clients.entry(endpoint.clone()).or_default();
        match known.find(&reading.path) {
            Ok(at) => {
                let value = &mut known.paths[at];
                value.notifications += notifications;
                value.reading = reading;
            }
            Err(_) if known.paths.len() >= VALUES_PER_CLIENT_MAX => return false,
            Err(at) => {
                if known.paths.len() < FEW_VALUES {
                    known.paths.reserve_exact(1);
                }
                let value = Value {
                    reading,
                    notifications,
                };
                known.paths.insert(at, value);
            }
        }
        true
    }
}

fn row_of(value: &Value) -> LastValue {
    let Reading {
        path,
        at,
        version,
        node,
    } = &value.reading;
    LastValue {
        path: *path,
        at_ms: at.0,
        version: (version.major, version.minor),
        node: node.clone(),
        notifications: value.notifications,
    }
}

fn key_of(endpoint: &EndpointName, path: Path) -> Vec<u8> {
    let ids: Vec<u8> = path.ids().iter().flat_map(|id| id.to_be_bytes()).collect();
    client_key(endpoint.as_str(), &ids)
}

/// Reads the table. Returns the commit that it is as of, if it was ever written.
pub(crate) fn load(
    values: &Values,
    store: &dyn Store,
    directory: &Directory,
) -> Result<Option<u64>, LoadError> {
    let table = Table::LastValues;
    let mut mark = None;
    walk(store, table, |key, value| {
        let name = parse_client_key(key).map(|(name, _)| name);
        if name == Some("") {
            mark = Some(read_row(table, key, value)?);
            return Ok(());
        }
        let row: LastValue = read_row(table, key, value)?;
        let endpoint = name.and_then(|name| EndpointName::new(name).ok());
        // A value that was told in the moment in which its Client was forgotten belongs to nobody.
        if let Some(endpoint) = endpoint.filter(|name| directory.owner(name).is_some()) {
            let (major, minor) = row.version;
            let reading = Reading {
                path: row.path,
                at: Timestamp(row.at_ms),
                version: ObjectVersion { major, minor },
                node: row.node,
            };
            values.inner().put(&endpoint, reading, row.notifications);
        }
        Ok(())
    })?;
    Ok(mark)
}

/// The rows of a Client that is forgotten go.
pub(crate) fn forget(endpoint: &EndpointName, store: &dyn Store, batch: &mut Batch) {
    let prefix = client_prefix(endpoint.as_str());
    // A table that does not read loses nothing here: the rows stay, and belong to nobody.
    let rows = store.scan_prefix(Table::LastValues, &prefix, &[], VALUES_PER_CLIENT_MAX);
    for row in rows.unwrap_or_default() {
        batch.delete(Table::LastValues, row.key);
    }
}

/// Whether a row reads.
pub(crate) fn validate(key: &[u8], value: &[u8]) -> Result<(), String> {
    let read = match parse_client_key(key) {
        Some(("", MARK)) => crate::record::decode::<u64>(value).map(drop),
        Some((name, _)) if !name.is_empty() => crate::record::decode::<LastValue>(value).map(drop),
        _ => return Err("a row of nobody".to_owned()),
    };
    read.map_err(|error| error.to_string())
}

/// Makes the checkpoints.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    submitter: Submitter,
    /// The last commit whose values are known, and how many events since the last checkpoint.
    commit: u64,
    events: u64,
    last: Duration,
}

impl Checkpoints {
    pub(crate) fn new(submitter: Submitter) -> Self {
        Self {
            submitter,
            commit: 0,
            events: 0,
            last: clock::instant(),
        }
    }

    /// The values of a commit are known.
    pub(crate) fn learnt(&mut self, commit: u64, events: usize) {
        self.commit = commit;
        self.events += events as u64;
    }

    /// How long nothing has to be done if nothing is learnt.
    pub(crate) fn pause(&self) -> Duration {
        CHECKPOINT_EVERY.saturating_sub(clock::instant().saturating_sub(self.last))
    }

    /// Makes a checkpoint if one is due.
    pub(crate) fn make_if_due(&mut self, values: &Values) {
        if self.events < EVENTS_BETWEEN && !self.pause().is_zero() {
            return;
        }
        self.last = clock::instant();
        // An idle Server writes nothing, nor does one whose few events told no value.
        let due = self.events >= EVENTS_BETWEEN || values.has_changed();
        if due && values.is_complete() {
            self.make(values);
            self.events = 0;
        }
    }

    /// The rows go in batches; the last one has the mark.
    fn make(&self, values: &Values) {
        let mut places = values.take_changed();
        loop {
            let mut batch = Batch::new(clock::wall_ms());
            let (mut taken, mut bytes) = (Vec::new(), 0);
            while taken.len() < ROWS_PER_BATCH && bytes < BYTES_PER_BATCH {
                let Some(place) = places.pop() else { break };
                if let Some(row) = values.row(&place) {
                    bytes += row.len();
                    batch.put(Table::LastValues, key_of(&place.0, place.1), row);
                }
                taken.push(place);
            }
            let last = places.is_empty();
            // Before the first commit of this run the mark of the last one holds.
            if last && self.commit > 0 {
                let mark = client_key("", MARK);
                batch.put(Table::LastValues, mark, encode(&self.commit));
            }
            let done = Box::new(|_| {});
            match self.submitter.submit(Submission { batch, done }) {
                Ok(()) if last => return,
                Ok(()) => {}
                // The disk has enough to do: the next checkpoint takes them too.
                Err(SubmitRefused::Full(_)) => {
                    places.append(&mut taken);
                    return values.put_back(places);
                }
                Err(refused) => {
                    return tracing::debug!(reason = %refused, "last values are not written");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use dunlin_lwm2m::{Resource, Value as Content};
    use dunlin_store::{Committer, CommitterSettings, Journal as _, MemoryStore, Retention};

    use super::*;

    fn endpoint(name: &str) -> EndpointName {
        EndpointName::new(name).expect("a name")
    }

    fn reading(path: [u16; 3], at_ms: u64, value: i64) -> Reading {
        Reading {
            path: path.into(),
            at: Timestamp(at_ms),
            version: ObjectVersion { major: 1, minor: 1 },
            node: Node::Resource(Resource::single(path[2], Content::Integer(value))),
        }
    }

    #[test]
    fn a_client_with_one_value_keeps_room_for_one_and_a_newer_value_takes_the_place_of_the_older() {
        let values = Values::default();
        let (name, path) = (endpoint("meter"), Path::from([3, 0, 9]));
        for n in 1..=3 {
            values.remember(&name, reading([3, 0, 9], 1, n), 1);
        }
        assert_eq!(values.inner().clients[&name].paths.capacity(), 1);
        let (kept, notifications) = values.value(&name, path).expect("kept");
        assert_eq!((kept, notifications), (reading([3, 0, 9], 1, 3), 3));
        for n in (0..20).rev() {
            values.remember(&name, reading([3303, n, 5700], 1, n.into()), 1);
        }
        for n in 0..20 {
            let path = Path::from([3303, n, 5700]);
            let (kept, _) = values.value(&name, path).expect("kept");
            assert_eq!(kept, reading([3303, n, 5700], 1, n.into()));
        }
    }

    /// A checkpoint in a store of its own, with all it wrote.
    fn checkpoint(values: &Values, commit: u64, events: usize) -> std::sync::Arc<MemoryStore> {
        let store = std::sync::Arc::new(MemoryStore::new(Retention::default()));
        let committer = Committer::start(store.clone(), CommitterSettings::default()).expect("one");
        let mut checkpoints = Checkpoints::new(committer.submitter().expect("it runs"));
        checkpoints.learnt(commit, events);
        checkpoints.make_if_due(values);
        committer.stop();
        store
    }

    #[test]
    fn last_values_outlive_the_log() {
        let values = Values::default();
        let (one, other, gone) = (endpoint("one"), endpoint("other"), endpoint("gone"));
        for n in 0..i64::try_from(ROWS_PER_BATCH).expect("few") + 10 {
            let path = [3303, u16::try_from(n).expect("few"), 5700];
            let name = if n % 2 == 0 { &one } else { &other };
            values.remember(name, reading(path, 7, n), 2);
        }
        values.remember(&one, reading([3303, 0, 5700], 9, -1), 3);
        values.remember(&gone, reading([3, 0, 9], 9, 50), 1);
        values.completed();
        let store = checkpoint(&values, 41, 50_000);
        assert!(!values.has_changed());

        let directory = Directory::default();
        directory.claim(&one, 0);
        directory.claim(&other, 0);
        let found = Values::default();
        let mark = load(&found, &*store, &directory).expect("it reads");
        assert_eq!(mark, Some(41));
        for (name, path) in [
            (&one, [3303, 0, 5700]),
            (&one, [3303, 8, 5700]),
            (&other, [3303, 9, 5700]),
        ] {
            assert_eq!(
                found.value(name, path.into()),
                values.value(name, path.into())
            );
        }
        assert_eq!(
            found.value(&one, [3303, 0, 5700].into()).expect("there").1,
            5
        );
        assert_eq!(
            found.value(&gone, [3, 0, 9].into()),
            None,
            "nobody knows it"
        );
        for row in store.scan(Table::LastValues, &[], 10).expect("it reads") {
            assert_eq!(validate(&row.key, &row.value), Ok(()));
        }

        // A Client that is forgotten takes its values along.
        let mut batch = Batch::new(1);
        forget(&one, &*store, &mut batch);
        store.commit(&batch).expect("memory");
        let found = Values::default();
        load(&found, &*store, &directory).expect("it reads");
        assert_eq!(found.value(&one, [3303, 0, 5700].into()), None);
        assert!(found.value(&other, [3303, 9, 5700].into()).is_some());
    }

    #[test]
    fn a_checkpoint_waits_until_what_was_told_before_the_start_is_known() {
        let values = Values::default();
        values.remember(&endpoint("one"), reading([3, 0, 9], 1, 1), 1);
        let store = checkpoint(&values, 41, 50_000);
        assert_eq!(
            store.scan(Table::LastValues, &[], 10).expect("it reads"),
            []
        );
        assert!(values.has_changed());
    }

    #[test]
    fn a_few_new_values_wait_for_the_next_checkpoint() {
        let values = Values::default();
        values.completed();
        values.remember(&endpoint("one"), reading([3, 0, 9], 1, 1), 1);
        let store = checkpoint(&values, 41, 1);
        assert_eq!(
            store.scan(Table::LastValues, &[], 10).expect("it reads"),
            []
        );
    }
}
