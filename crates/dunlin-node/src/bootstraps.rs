//! Bootstrap runs in the store: those under way, and the history of each Client.
//!
//! A run that begins is a row, so that a restart ends it with a reason; one that ends becomes a row
//! of its Client's history, which has a fixed length.

use dunlin_lwm2m::EndpointName;
use dunlin_server::bootstrap::BootstrapRun;
use dunlin_server::change::Snapshot;
use dunlin_store::{Batch, Fact, Store, StoreError, Table, client_prefix};

use crate::facts::{LoadError, read_row, walk};
use crate::record::{decode, encode};

/// A run under way.
const ACTIVE: u8 = b'a';
/// A run that has ended.
const ENDED: u8 = b'e';

/// Ended runs that are kept of each Client: enough to see a Client that fails again and again.
pub(crate) const RUNS_KEPT: usize = 20;

/// Rows looked at to keep the history short: one more than are kept, and some that a crash left.
const SCAN_MAX: usize = 4 * RUNS_KEPT;

fn active_key(run: &BootstrapRun) -> Vec<u8> {
    let mut key = of_client(ACTIVE, &run.endpoint);
    key.extend_from_slice(&run.id.to_bits().to_be_bytes());
    key
}

/// In the order of time.
fn ended_key(run: &BootstrapRun) -> Vec<u8> {
    let mut key = of_client(ENDED, &run.endpoint);
    key.extend_from_slice(&run.started_at.0.to_be_bytes());
    key.extend_from_slice(&run.id.to_bits().to_be_bytes());
    key
}

fn of_client(kind: u8, endpoint: &EndpointName) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend(client_prefix(endpoint.as_str()));
    key
}

/// A run has begun.
pub(crate) fn begin(run: &BootstrapRun, batch: &mut Batch) {
    batch.put(Table::Bootstraps, active_key(run), encode(run));
}

/// A run has ended.
pub(crate) fn end(run: &BootstrapRun, store: &dyn Store, batch: &mut Batch) {
    batch.delete(Table::Bootstraps, active_key(run));
    batch.put(Table::Bootstraps, ended_key(run), encode(run));
    // A table that does not read loses nothing here: the history is longer for once.
    let keys = ended_keys(&run.endpoint, store).unwrap_or_default();
    let surplus = (keys.len() + 1).saturating_sub(RUNS_KEPT);
    let oldest = keys.into_iter().take(surplus);
    batch
        .facts
        .extend(oldest.map(|key| Fact::delete(Table::Bootstraps, key)));
}

fn ended_keys(endpoint: &EndpointName, store: &dyn Store) -> Result<Vec<Vec<u8>>, StoreError> {
    let begin = of_client(ENDED, endpoint);
    let rows = store.scan(Table::Bootstraps, &begin, SCAN_MAX)?;
    let own = rows
        .into_iter()
        .take_while(|row| row.key.starts_with(&begin));
    Ok(own.map(|row| row.key).collect())
}

/// The runs of a Client that have ended, the newest first.
pub(crate) fn history(
    endpoint: &EndpointName,
    store: &dyn Store,
) -> Result<Vec<BootstrapRun>, StoreError> {
    let begin = of_client(ENDED, endpoint);
    let rows = store.scan(Table::Bootstraps, &begin, SCAN_MAX)?;
    let own = rows
        .iter()
        .take_while(|row| row.key.starts_with(&begin))
        .filter_map(|row| decode::<BootstrapRun>(&row.value).ok());
    let mut runs: Vec<_> = own.collect();
    runs.reverse();
    Ok(runs)
}

/// Takes up the runs that were under way.
pub(crate) fn load(store: &dyn Store, snapshot: &mut Snapshot) -> Result<(), LoadError> {
    walk(store, Table::Bootstraps, |key, value| {
        if key.first() == Some(&ACTIVE) {
            let run: BootstrapRun = read_row(Table::Bootstraps, key, value)?;
            snapshot.bootstraps.insert(run.id, run);
        }
        Ok(())
    })
}

/// Whether a row reads; says why not.
pub(crate) fn validate(key: &[u8], value: &[u8]) -> Result<(), String> {
    match key.first() {
        Some(&(ACTIVE | ENDED)) => decode::<BootstrapRun>(value)
            .map(drop)
            .map_err(|error| error.to_string()),
        _ => Err("a row of no known kind".to_owned()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use dunlin_server::BootstrapRunId;
    use dunlin_server::bootstrap::{Initiator, ProfileName, RunFailure, RunState};
    use dunlin_store::{Journal, MemoryStore, Retention};
    use dunlin_transport::{Identity, WallTime};

    pub(crate) fn run(endpoint: &str, id: u128, started_ms: u64) -> BootstrapRun {
        BootstrapRun {
            id: BootstrapRunId::from_bits(id),
            endpoint: EndpointName::new(endpoint).unwrap(),
            initiator: Initiator::Client,
            profile: ProfileName::new("fleet").unwrap(),
            address: std::net::SocketAddr::from(([127, 0, 0, 1], 5)).into(),
            identity: Identity::None,
            started_at: WallTime(started_ms),
            ended_at: None,
            state: RunState::Running,
            version: None,
            steps: Vec::new(),
            made: Vec::new(),
        }
    }

    fn commit(store: &MemoryStore, make: impl FnOnce(&mut Batch)) {
        let mut batch = Batch::default();
        make(&mut batch);
        store.commit_many(&[batch]).unwrap();
    }

    #[test]
    fn history_has_a_fixed_length_and_belongs_to_its_client() {
        let store = MemoryStore::new(Retention::default());
        for number in 0..30 {
            // Ids do not rise with time here: they begin with a shard.
            let mut one = run("lamp", 1000 - number, 100 + number as u64);
            commit(&store, |batch| begin(&one, batch));
            one.state = RunState::Failed(RunFailure::Restarted);
            commit(&store, |batch| end(&one, &store, batch));
        }
        commit(&store, |batch| end(&run("lamp-2", 1, 1), &store, batch));
        let kept = history(&EndpointName::new("lamp").unwrap(), &store).unwrap();
        let times: Vec<u64> = kept.iter().map(|run| run.started_at.0).collect();
        assert_eq!(times, (110..130).rev().collect::<Vec<_>>());
        assert!(
            history(&EndpointName::new("lam").unwrap(), &store)
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn what_was_under_way_is_found_at_the_next_start() {
        let store = MemoryStore::new(Retention::default());
        let (one, other) = (run("lamp", 1, 1), run("lamp", 2, 2));
        commit(&store, |batch| begin(&one, batch));
        // Another shard took the Client over: its run begins before the first has ended.
        commit(&store, |batch| begin(&other, batch));
        commit(&store, |batch| end(&one, &store, batch));
        let mut snapshot = Snapshot::default();
        load(&store, &mut snapshot).unwrap();
        assert_eq!(
            snapshot.bootstraps.into_keys().collect::<Vec<_>>(),
            [other.id]
        );
    }
}
