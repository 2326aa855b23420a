//! The contract of every backend, as tests.
//!
//! [`run`] takes a [`Backend`] that opens an empty store and opens it again, and panics with the
//! clause that does not hold.

use core::ops::ControlFlow;
use std::sync::Arc;

use crate::batch::{Batch, BatchRefused, Fact, Table};
use crate::catalog::{Catalog, CatalogKey, ObjectKey};
use crate::error::StoreError;
use crate::history::{Gap, Retention};
use crate::journal::Store;
use crate::position::{CommitNumber, Position};

/// How the contract gets its stores.
pub trait Backend {
    /// An empty store with this retention; small steps are wanted, so that few commits show it.
    fn create(&mut self, retention: Retention) -> Arc<dyn Store>;

    /// The store of the last `create`, closed and opened again.
    fn reopen(&mut self, store: Arc<dyn Store>) -> Arc<dyn Store>;
}

/// Runs every clause.
///
/// # Panics
/// When one does not hold.
pub fn run(backend: &mut dyn Backend) {
    commits_are_numbered_and_atomic(backend);
    later_facts_win(backend);
    a_refused_batch_changes_nothing(backend);
    scans_are_ordered_and_resumable(backend);
    positions_read_forward_in_pages(backend);
    everything_is_there_after_reopening(backend);
    retention_by_bytes_trims_whole_commits(backend);
    retention_by_age_trims_whole_commits(backend);
    a_closed_store_says_so(backend);
    the_catalog_lists_by_key(backend);
    random_histories_match_a_model(backend);
}

fn keep_all() -> Retention {
    Retention {
        bytes_max: u64::MAX,
        age_max_ms: u64::MAX,
    }
}

fn batch(at_ms: u64, facts: &[(&str, Option<&str>)], events: &[&str]) -> Batch {
    let mut batch = Batch::new(at_ms);
    for (key, value) in facts {
        batch.facts.push(match value {
            Some(value) => Fact::put(Table::Registrations, *key, *value),
            None => Fact::delete(Table::Registrations, *key),
        });
    }
    batch.events = events
        .iter()
        .map(|event| event.as_bytes().to_vec())
        .collect();
    batch
}

fn value(store: &dyn Store, key: &str) -> Option<String> {
    let value = store
        .get(Table::Registrations, key.as_bytes())
        .expect("readable");
    value.map(|value| String::from_utf8(value).expect("text"))
}

fn events(store: &dyn Store, after: Position) -> Vec<String> {
    let page = store.read(after, 1000).expect("readable");
    assert!(page.end, "a thousand events are enough for these tests");
    page.events
        .into_iter()
        .map(|e| String::from_utf8(e.bytes).expect("text"))
        .collect()
}

fn commits_are_numbered_and_atomic(backend: &mut dyn Backend) {
    let store = backend.create(keep_all());
    assert_eq!(store.last_commit(), CommitNumber::NONE);
    assert_eq!(store.newest(), store.oldest());
    let first = store.commit(&batch(1, &[("a", Some("1")), ("b", Some("1"))], &["x"]));
    assert_eq!(first.expect("commits"), CommitNumber(1));
    let group = [
        batch(2, &[("a", None)], &[]),
        Batch::new(2),
        batch(2, &[], &["y", "z"]),
    ];
    assert_eq!(store.commit_many(&group).expect("commits"), CommitNumber(4));
    assert_eq!(
        store.commit_many(&[]).expect("nothing to do"),
        CommitNumber(4)
    );
    assert_eq!(store.last_commit(), CommitNumber(4));
    assert_eq!(
        (value(&*store, "a"), value(&*store, "b")),
        (None, Some("1".into()))
    );
    assert_eq!(events(&*store, Position::START), ["x", "y", "z"]);
    // The same key in another table is another row.
    assert_eq!(
        store.get(Table::Observations, b"b").expect("readable"),
        None
    );
    store.recover().expect("all is well");
}

fn later_facts_win(backend: &mut dyn Backend) {
    let store = backend.create(keep_all());
    let one = batch(
        1,
        &[
            ("k", Some("1")),
            ("k", None),
            ("k", Some("2")),
            ("gone", Some("1")),
        ],
        &[],
    );
    let two = batch(
        1,
        &[("gone", None), ("k", Some("3")), ("k", Some("4"))],
        &[],
    );
    store.commit_many(&[one, two]).expect("commits");
    assert_eq!(
        (value(&*store, "k"), value(&*store, "gone")),
        (Some("4".into()), None)
    );
    let store = backend.reopen(store);
    assert_eq!(
        (value(&*store, "k"), value(&*store, "gone")),
        (Some("4".into()), None)
    );
}

fn a_refused_batch_changes_nothing(backend: &mut dyn Backend) {
    let store = backend.create(keep_all());
    let group = [
        batch(1, &[("a", Some("1"))], &["x"]),
        batch(1, &[("", Some("1"))], &[]),
    ];
    let refused = store.commit_many(&group).expect_err("an empty key");
    assert!(matches!(
        refused,
        StoreError::Batch(BatchRefused::Key { .. })
    ));
    assert_eq!(
        (store.last_commit(), value(&*store, "a")),
        (CommitNumber::NONE, None)
    );
    // And the store goes on without being recovered.
    store.commit(&group[0]).expect("commits");
}

fn scans_are_ordered_and_resumable(backend: &mut dyn Backend) {
    let store = backend.create(keep_all());
    let mut all = Batch::new(1);
    for i in (0..100u8).rev() {
        all.put(Table::Requests, [i, 0], [i]);
    }
    all.put(Table::Registrations, [7], [7]);
    store.commit(&all).expect("commits");
    let mut from = Vec::new();
    let mut seen = Vec::new();
    loop {
        let rows = store.scan(Table::Requests, &from, 7).expect("readable");
        let Some(last) = rows.last() else { break };
        from = [last.key.as_slice(), &[0]].concat();
        seen.extend(rows.into_iter().map(|row| row.value[0]));
    }
    assert_eq!(seen, (0..100).collect::<Vec<u8>>());
    let rows = store
        .scan_prefix(Table::Requests, &[9], &[], 100)
        .expect("readable");
    assert_eq!(rows.iter().map(|row| row.value[0]).collect::<Vec<_>>(), [9]);
    assert!(
        store
            .scan_prefix(Table::Requests, &[9], &[9, 1], 100)
            .expect("readable")
            .is_empty()
    );
    let mut seen = Vec::new();
    let count = store.replay(Table::Requests, &mut |key, _| {
        seen.push(key[0]);
        // The visitor may ask the store.
        assert!(
            store
                .get(Table::Registrations, &[7])
                .expect("readable")
                .is_some()
        );
        if key[0] == 49 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert_eq!((count.expect("readable"), seen), (50, (0..50).collect()));
}

fn positions_read_forward_in_pages(backend: &mut dyn Backend) {
    let store = backend.create(keep_all());
    for commit in 0..20u64 {
        // Every third commit has no event; the others have one to four.
        let count = if commit % 3 == 0 { 0 } else { commit % 4 + 1 };
        let mut batch = Batch::new(1000 + commit);
        (0..count).for_each(|index| batch.tell(format!("{}/{index}", commit + 1)));
        store.commit(&batch).expect("commits");
    }
    let all = events(&*store, Position::START);
    assert_eq!(all.len(), 32);
    for limit in [1, 2, 5, 100] {
        let (mut after, mut seen) = (store.oldest(), Vec::new());
        loop {
            let page = store.read(after, limit).expect("readable");
            assert!(page.events.len() <= limit && page.gap.is_none());
            for event in &page.events {
                let place = format!("{}/{}", event.position.commit, event.position.index);
                assert_eq!(
                    (&event.bytes[..], event.at_ms),
                    (place.as_bytes(), 999 + event.position.commit.0)
                );
            }
            seen.extend(page.events.iter().map(|e| e.position));
            // Opaque outside: through text and back.
            after = page.next.to_string().parse().expect("its own spelling");
            if page.end {
                break;
            }
        }
        assert_eq!(seen.len(), all.len(), "limit {limit}");
        assert!(seen.is_sorted());
    }
    assert_eq!(
        events(&*store, "2-0".parse().expect("a position"))[0],
        "2/1"
    );
    let page = store.read(store.newest(), 5).expect("readable");
    assert!(page.events.is_empty() && page.end && page.next == store.newest());
    let page = store
        .read(Position::end_of(CommitNumber(21)), 5)
        .expect("readable");
    assert_eq!(
        page.gap,
        Some(Gap::Ahead {
            newest: CommitNumber(20)
        })
    );
    assert_eq!(page.next, store.newest());
}

fn everything_is_there_after_reopening(backend: &mut dyn Backend) {
    let mut store = backend.create(keep_all());
    for round in 0..4u64 {
        for i in 0..5 {
            let number = round * 5 + i;
            let key = format!("k{number:02}");
            let commit = batch(number, &[(&key, Some("v")), ("last", Some(&key))], &[&key]);
            assert_eq!(
                store.commit(&commit).expect("commits"),
                CommitNumber(number + 1)
            );
        }
        store = backend.reopen(store);
        let count = round * 5 + 5;
        assert_eq!(store.last_commit(), CommitNumber(count));
        assert_eq!(events(&*store, Position::START).len() as u64, count);
        let rows = store
            .scan(Table::Registrations, b"k", 100)
            .expect("readable");
        assert_eq!(rows.len() as u64, count + 1);
        assert_eq!(value(&*store, "last"), Some(format!("k{:02}", count - 1)));
    }
}

/// Commits of 1,000 bytes, one a second.
fn fill(store: &dyn Store, commits: core::ops::Range<u64>) {
    for second in commits {
        let mut batch = Batch::new(second * 1000);
        batch.tell(vec![b'e'; 1000]);
        store.commit(&batch).expect("commits");
    }
}

fn retention_by_bytes_trims_whole_commits(backend: &mut dyn Backend) {
    let store = backend.create(Retention {
        bytes_max: 50_000,
        age_max_ms: u64::MAX,
    });
    fill(&*store, 0..200);
    let early = Position::end_of(CommitNumber(3));
    let store = settle(backend, store, 200_000);
    assert!(store.bytes() <= 75_000, "{} bytes are kept", store.bytes());
    assert!(store.bytes() >= 30_000, "{} bytes are kept", store.bytes());
    let oldest = store.oldest();
    assert!(oldest.commit > CommitNumber(100) && oldest.index == u32::MAX);
    let page = store.read(early, 1000).expect("readable");
    assert_eq!(
        page.gap,
        Some(Gap::Trimmed {
            oldest: oldest.commit.next()
        })
    );
    assert_eq!(page.events[0].position.commit, oldest.commit.next());
    assert_eq!(
        page.events.last().map(|e| e.position.commit),
        Some(CommitNumber(200))
    );
    // Nothing is missing for one who has seen exactly what was trimmed, or asks for the oldest.
    assert_eq!(store.read(oldest, 10).expect("readable").gap, None);
    assert_eq!(store.read(Position::START, 10).expect("readable").gap, None);
    let store = backend.reopen(store);
    assert_eq!(store.oldest(), oldest);
    assert_eq!(store.last_commit(), CommitNumber(200));
}

fn retention_by_age_trims_whole_commits(backend: &mut dyn Backend) {
    let store = backend.create(Retention {
        bytes_max: u64::MAX,
        age_max_ms: 50_000,
    });
    fill(&*store, 0..200);
    let store = settle(backend, store, 200_000);
    let oldest = store.oldest().commit;
    assert!(
        (120..=150).contains(&oldest.0),
        "commits up to {oldest} are gone"
    );
    // A silent night: only the node's clock moves on. What cannot be told from the newest stays.
    store.trim(10_000_000).expect("trims");
    assert!(store.oldest().commit > oldest);
    assert_eq!(store.last_commit(), CommitNumber(200));
}

/// Retention waits for what the tables still need; after closing and opening that is nothing.
fn settle(backend: &mut dyn Backend, store: Arc<dyn Store>, now_ms: u64) -> Arc<dyn Store> {
    let store = backend.reopen(store);
    store.trim(now_ms).expect("trims");
    store
}

fn a_closed_store_says_so(backend: &mut dyn Backend) {
    let store = backend.create(keep_all());
    store
        .commit(&batch(1, &[("a", Some("1"))], &[]))
        .expect("commits");
    store.close().expect("closes");
    assert!(matches!(
        store.commit(&Batch::new(1)),
        Err(StoreError::Closed)
    ));
    assert!(matches!(
        store.get(Table::Registrations, b"a"),
        Err(StoreError::Closed)
    ));
    store.close().expect("closing twice is nothing");
    let store = backend.reopen(store);
    assert_eq!(value(&*store, "a"), Some("1".into()));
}

fn the_catalog_lists_by_key(backend: &mut dyn Backend) {
    let store = backend.create(keep_all());
    let keys =
        [(3, (1, 0)), (3, (1, 1)), (10, (1, 0))].map(|(id, version)| ObjectKey { id, version });
    let mut batch = Batch::new(1);
    keys.iter()
        .for_each(|key| batch.facts.push(key.put(key.id.to_string())));
    store.commit(&batch).expect("commits");
    let store = &store;
    assert_eq!(
        store.entry(&keys[2]).expect("readable"),
        Some(b"10".to_vec())
    );
    let listed = store.entries::<ObjectKey>(None, 2).expect("readable");
    assert_eq!(
        listed.iter().map(|(key, _)| *key).collect::<Vec<_>>(),
        keys[..2]
    );
    let rest = store.entries(Some(&listed[1].0), 10).expect("readable");
    assert_eq!(rest, [(keys[2], b"10".to_vec())]);
}

/// Small random histories, compared with a map after every reopening. Seeded, so that a failure
/// repeats.
fn random_histories_match_a_model(backend: &mut dyn Backend) {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let mut store = backend.create(keep_all());
    let mut model = std::collections::BTreeMap::new();
    let mut told = Vec::new();
    for round in 0..6 {
        for _ in 0..random(12) {
            let group: Vec<Batch> = (0..random(5))
                .map(|_| {
                    let mut batch = Batch::new(round);
                    for _ in 0..random(6) {
                        let key = format!("k{}", random(20));
                        if random(3) == 0 {
                            batch.delete(Table::Observations, key.clone());
                            model.remove(&key);
                        } else {
                            let value = random(u64::MAX).to_string();
                            batch.put(Table::Observations, key.clone(), value.clone());
                            model.insert(key, value);
                        }
                    }
                    for _ in 0..random(3) {
                        let event = random(u64::MAX).to_string();
                        batch.tell(event.clone());
                        told.push(event);
                    }
                    batch
                })
                .collect();
            store.commit_many(&group).expect("commits");
        }
        if round % 2 == 1 {
            store = backend.reopen(store);
        }
        let rows = store.scan(Table::Observations, b"", 100).expect("readable");
        let rows: Vec<_> = rows.into_iter().map(|row| (row.key, row.value)).collect();
        let model: Vec<_> = model
            .iter()
            .map(|(k, v)| (k.clone().into_bytes(), v.clone().into_bytes()))
            .collect();
        assert_eq!(rows, model, "round {round}");
        assert_eq!(events(&*store, Position::START), told, "round {round}");
    }
}
