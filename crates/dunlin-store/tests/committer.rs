//! The committer: order, groups, a bounded queue, and a disk that is full for a while.

use std::ops::Deref;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dunlin_store::{
    Batch, CommitNumber, Committer, CommitterSettings, CommitterState, EventPage, History, Journal,
    MemoryStore, Position, Retention, Row, RowVisitor, Stopped, Store, StoreError, Submission,
    SubmitRefused, Table,
};

/// Long enough for a busy machine; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A batch of this time makes the store panic.
const PANICS_AT: u64 = 666;

/// A memory store that can be told to fail, and to hold each commit until it is let go.
struct Fragile {
    inner: MemoryStore,
    /// Commits that will fail before anything is written.
    failures: AtomicU32,
    /// Commits that will fail after they were written.
    late_failures: AtomicU32,
    gate: Mutex<Option<Receiver<()>>>,
    groups: Mutex<Vec<usize>>,
}

impl Fragile {
    fn new() -> Arc<Fragile> {
        Arc::new(Fragile {
            inner: MemoryStore::new(Retention::default()),
            failures: AtomicU32::new(0),
            late_failures: AtomicU32::new(0),
            gate: Mutex::new(None),
            groups: Mutex::new(Vec::new()),
        })
    }

    fn shut_gate(&self) -> SyncSender<()> {
        let (open, gate) = sync_channel(100);
        *self.gate.lock().expect("sound") = Some(gate);
        open
    }
}

fn take_one(counter: &AtomicU32) -> bool {
    counter
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
        .is_ok()
}

impl Journal for Fragile {
    fn commit_many(&self, batches: &[Batch]) -> Result<CommitNumber, StoreError> {
        if let Some(gate) = &*self.gate.lock().expect("sound") {
            let _ = gate.recv();
        }
        assert!(
            batches.iter().all(|batch| batch.at_ms != PANICS_AT),
            "a mistake in the store"
        );
        if take_one(&self.failures) {
            return Err(StoreError::Failing);
        }
        self.groups.lock().expect("sound").push(batches.len());
        let last = self.inner.commit_many(batches)?;
        if take_one(&self.late_failures) {
            Err(StoreError::Failing)
        } else {
            Ok(last)
        }
    }

    fn recover(&self) -> Result<(), StoreError> {
        self.inner.recover()
    }
    fn last_commit(&self) -> CommitNumber {
        self.inner.last_commit()
    }
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(table, key)
    }
    fn scan(&self, table: Table, from: &[u8], limit: usize) -> Result<Vec<Row>, StoreError> {
        self.inner.scan(table, from, limit)
    }
    fn replay(&self, table: Table, row: &mut RowVisitor<'_>) -> Result<u64, StoreError> {
        self.inner.replay(table, row)
    }
    fn close(&self) -> Result<(), StoreError> {
        self.inner.close()
    }
}

impl History for Fragile {
    fn read(&self, after: Position, limit: usize) -> Result<EventPage, StoreError> {
        self.inner.read(after, limit)
    }
    fn oldest(&self) -> Position {
        self.inner.oldest()
    }
    fn newest(&self) -> Position {
        self.inner.newest()
    }
    fn trim(&self, now_ms: u64) -> Result<(), StoreError> {
        self.inner.trim(now_ms)
    }
    fn bytes(&self) -> u64 {
        self.inner.bytes()
    }
}

fn start(store: Arc<Fragile>, settings: CommitterSettings) -> Committer {
    Committer::start(store as Arc<dyn Store>, settings).expect("a thread")
}

fn told(number: u64) -> Batch {
    let mut batch = Batch::new(number);
    batch.tell(number.to_string());
    batch
}

type Outcomes = Arc<Mutex<Vec<(u64, Result<CommitNumber, Stopped>)>>>;

fn submit(committer: &Committer, number: u64, outcomes: &Outcomes) -> Result<(), SubmitRefused> {
    let outcomes = outcomes.clone();
    let done = Box::new(move |outcome| outcomes.lock().expect("sound").push((number, outcome)));
    committer.submit(Submission {
        batch: told(number),
        done,
    })
}

fn events(store: &Fragile) -> Vec<u64> {
    let page = store.read(Position::START, 1000).expect("readable");
    let text = page
        .events
        .iter()
        .map(|e| std::str::from_utf8(&e.bytes).expect("text"));
    text.map(|text| text.parse().expect("a number")).collect()
}

#[test]
fn what_waits_is_committed_as_one_group_in_order() {
    let store = Fragile::new();
    let open = store.shut_gate();
    let committer = start(store.clone(), CommitterSettings::default());
    let outcomes = Outcomes::default();
    for number in 1..=50 {
        submit(&committer, number, &outcomes).expect("room");
    }
    open.send(()).expect("the first group");
    open.send(()).expect("the rest");
    // Whatever was gathered before the gate was reached, no third group is needed.
    open.send(()).expect("to spare");
    committer.stop();
    let expected: Vec<_> = (1..=50).map(|n| (n, Ok(CommitNumber(n)))).collect();
    assert_eq!(*outcomes.lock().expect("sound"), expected);
    assert_eq!(events(&store), (1..=50).collect::<Vec<_>>());
    assert_eq!(
        store.groups.lock().expect("sound").iter().sum::<usize>(),
        50
    );
    assert!(store.groups.lock().expect("sound").len() <= 3);
    assert_eq!(committer.state(), CommitterState::Stopped);
    assert!(matches!(
        committer.commit(told(51)),
        Err(SubmitRefused::Stopped(_))
    ));
}

#[test]
fn a_full_queue_is_said_at_once_and_gives_the_batch_back() {
    let store = Fragile::new();
    let open = store.shut_gate();
    let settings = CommitterSettings {
        queue_batches_max: 3,
        queue_bytes_max: 1000,
    };
    let committer = start(store.clone(), settings);
    let outcomes = Outcomes::default();
    let mut taken = 0;
    let refused = loop {
        match submit(&committer, taken + 1, &outcomes) {
            Ok(()) => taken += 1,
            Err(refused) => break refused,
        }
        assert!(taken <= 1000, "the queue is bounded");
    };
    let SubmitRefused::Full(submission) = refused else {
        panic!("{refused}")
    };
    assert_eq!(submission.batch, told(taken + 1));
    let mut large = Batch::new(1);
    large.tell(vec![0; 2000]);
    let refused = committer.submit(Submission {
        batch: large,
        done: Box::new(|_| {}),
    });
    assert!(matches!(refused, Err(SubmitRefused::Full(_))));
    drop(open);
    committer.stop();
    assert_eq!(events(&store).len() as u64, taken);
    assert_eq!(committer.stats().queued_bytes, 0);
}

#[test]
fn a_failing_store_is_tried_again_and_nothing_is_lost_or_doubled() {
    for late in [false, true] {
        let store = Fragile::new();
        let failures = if late {
            &store.late_failures
        } else {
            &store.failures
        };
        failures.store(if late { 1 } else { 3 }, Ordering::SeqCst);
        let committer = start(store.clone(), CommitterSettings::default());
        let (tell, states) = channel();
        committer.subscribe(move |state| tell.send(state.clone()).expect("the test listens"));
        assert_eq!(
            committer.commit(told(1)).expect("in the end"),
            CommitNumber(1)
        );
        assert_eq!(committer.commit(told(2)).expect("at once"), CommitNumber(2));
        assert_eq!(events(&store), [1, 2]);
        let next = || states.recv_timeout(PATIENCE).expect("a state");
        let mut seen = vec![next(), next()];
        if seen[0] == CommitterState::Healthy {
            seen.remove(0);
            seen.push(next());
        }
        assert!(matches!(&seen[0], CommitterState::Failing { reason } if !reason.is_empty()));
        assert_eq!(seen[1], CommitterState::Healthy);
        assert_eq!(committer.stats().failures, if late { 1 } else { 3 });
    }
}

#[test]
fn stopping_while_failing_acknowledges_nothing() {
    let store = Fragile::new();
    store.failures.store(u32::MAX, Ordering::SeqCst);
    let committer = start(store.clone(), CommitterSettings::default());
    let (failing, is_failing) = channel();
    committer.subscribe(move |state| {
        if matches!(state, CommitterState::Failing { .. }) {
            let _ = failing.send(());
        }
    });
    // A shard that still holds its submitter must not keep the committer from ending.
    let submitter = committer.submitter().expect("running");
    let outcomes = Outcomes::default();
    submit(&committer, 1, &outcomes).expect("room");
    is_failing.recv_timeout(PATIENCE).expect("it fails");
    submit(&committer, 2, &outcomes).expect("room");
    committer.stop();
    assert_eq!(
        outcomes.lock().expect("sound").deref(),
        &[(1, Err(Stopped)), (2, Err(Stopped))]
    );
    assert_eq!(events(&store), [0; 0]);
    let late = submitter.submit(Submission {
        batch: told(3),
        done: Box::new(|_| {}),
    });
    assert!(matches!(late, Err(SubmitRefused::Stopped(_))));
}

#[test]
fn a_panic_in_the_store_is_no_silence() {
    let store = Fragile::new();
    let committer = start(store.clone(), CommitterSettings::default());
    let (tell, states) = channel();
    committer.subscribe(move |state| {
        let _ = tell.send(state.clone());
    });
    assert!(committer.commit(told(PANICS_AT)).is_err());
    let state = states
        .iter()
        .find(|state| *state != CommitterState::Healthy);
    assert_eq!(state, Some(CommitterState::Stopped));
    assert!(matches!(
        committer.commit(told(1)),
        Err(SubmitRefused::Stopped(_))
    ));
}
