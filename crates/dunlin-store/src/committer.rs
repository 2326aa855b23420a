//! The committer: one thread that owns the writes of the process.
//!
//! 1. Shards submit batches; the queue is bounded, and a full one is said at once, so that the shard
//!    can answer 5.03 instead of waiting.
//! 2. The committer takes what waits, in order, as one group, and commits it with one sync. While
//!    the disk syncs, the next group gathers by itself.
//! 3. Each submission is completed in the order it was submitted, with its commit number.
//!
//! When a write fails the committer is *failing*: it keeps the group, tries again with a pause, and
//! tells its subscribers. Nothing is acknowledged that is not durable; nothing is forgotten. When
//! there is room again it goes on by itself.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::batch::{Batch, BatchRefused};
use crate::error::StoreError;
use crate::journal::Store;
use crate::position::CommitNumber;

/// A group is closed at this many batches. Larger groups gain nothing: the sync is long paid for.
const GROUP_BATCHES_MAX: usize = 4096;

/// A group is closed at this many bytes: the first in it waits for all of them to be written.
const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A group of so many facts and events is that of a busy Server.
const GROUP_BUSY_ITEMS: usize = 8;

/// After the group of a busy Server the next one gathers for this long: a sync costs as much as ten
/// registrations, and would come for every few of them. Whoever commits alone, one thing after the other,
/// never waits for it; and a Client that is answered a moment later has not noticed.
const GROUP_PAUSE: Duration = Duration::from_millis(2);

/// The first pause after a failed write.
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(100);

/// Pauses double up to this: how late the room on a disk is noticed.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(2);

/// What a submission is told: its commit number once it is durable and visible.
///
/// Called on the committer's thread, in the order of submission; it must not block and must not
/// submit to a full queue.
pub type Completion = Box<dyn FnOnce(Result<CommitNumber, Stopped>) + Send>;

/// The committer has ended before the batch was durable. It was not acknowledged, and it is not
/// there after the next start unless it was written in the very last moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store has stopped before this was committed")]
pub struct Stopped;

/// One batch on its way.
pub struct Submission {
    /// What to commit.
    pub batch: Batch,
    /// Whom to tell.
    pub done: Completion,
}

impl core::fmt::Debug for Submission {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Submission")
            .field("batch", &self.batch)
            .finish_non_exhaustive()
    }
}

/// Why a submission was not taken. It comes back whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitRefused {
    /// The disk does not keep up, or does not write at all: answer 5.03.
    #[error("the queue of the store is full")]
    Full(Submission),
    /// The batch breaks a limit.
    #[error("{0}")]
    Batch(BatchRefused, Submission),
    /// The committer has ended.
    #[error("the store has stopped")]
    Stopped(Submission),
}

/// How much may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitterSettings {
    /// Submissions in the queue.
    pub queue_batches_max: usize,
    /// Bytes in the queue, about. One submission is taken even if it is larger.
    pub queue_bytes_max: usize,
}

impl Default for CommitterSettings {
    /// A second of a busy fleet: 8,192 batches, 64 MiB.
    fn default() -> CommitterSettings {
        CommitterSettings {
            queue_batches_max: 8192,
            queue_bytes_max: 64 * 1024 * 1024,
        }
    }
}

/// How it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitterState {
    /// Commits become durable.
    Healthy,
    /// The disk refuses; what was submitted waits.
    Failing {
        /// What the store said, for the operator.
        reason: String,
    },
    /// The committer has ended.
    Stopped,
}

/// Counts since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CommitterStats {
    /// Groups, that is syncs.
    pub groups: u64,
    /// Batches committed.
    pub batches: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Bytes that wait in the queue.
    pub queued_bytes: u64,
}

type Subscriber = Box<dyn Fn(&CommitterState) + Send>;

/// The handle; share it in an `Arc`.
pub struct Committer {
    queue: Mutex<Option<SyncSender<Submission>>>,
    shared: Arc<Shared>,
    stop: SyncSender<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
    queue_bytes_max: usize,
}

#[derive(Default)]
struct Shared {
    state: Mutex<Option<CommitterState>>,
    subscribers: Mutex<Vec<Subscriber>>,
    /// Nothing more is taken; what was taken is committed.
    stopping: AtomicBool,
    queued_bytes: AtomicUsize,
    groups: AtomicU64,
    batches: AtomicU64,
    failures: AtomicU64,
}

impl Committer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        store: Arc<dyn Store>,
        settings: CommitterSettings,
    ) -> Result<Committer, std::io::Error> {
        let (queue, submissions) = sync_channel(settings.queue_batches_max);
        let (stop, stopped) = sync_channel(1);
        let shared = Arc::new(Shared::default());
        let work = Work {
            store,
            submissions,
            stopped,
            shared: shared.clone(),
        };
        let thread = thread::Builder::new()
            .name("committer".into())
            .spawn(move || work.run())?;
        Ok(Committer {
            queue: Mutex::new(Some(queue)),
            shared,
            stop,
            thread: Mutex::new(Some(thread)),
            queue_bytes_max: settings.queue_bytes_max,
        })
    }

    /// A submitter of its own for a shard: submits without a lock.
    ///
    /// # Errors
    /// [`Stopped`] after [`Committer::stop`].
    pub fn submitter(&self) -> Result<Submitter, Stopped> {
        let queue = self
            .queue
            .lock()
            .expect("nobody panics while holding it")
            .clone();
        Ok(Submitter {
            queue: queue.ok_or(Stopped)?,
            shared: self.shared.clone(),
            queue_bytes_max: self.queue_bytes_max,
        })
    }

    /// Submits one batch. Never waits.
    ///
    /// # Errors
    /// [`SubmitRefused`] gives the submission back.
    pub fn submit(&self, submission: Submission) -> Result<(), SubmitRefused> {
        match self.submitter() {
            Ok(submitter) => submitter.submit(submission),
            Err(Stopped) => Err(SubmitRefused::Stopped(submission)),
        }
    }

    /// Commits one batch and waits until it is durable; for threads that have nothing else to do.
    ///
    /// # Errors
    /// As [`Committer::submit`]; [`SubmitRefused::Stopped`] without the batch's contents when the
    /// committer ended meanwhile.
    pub fn commit(&self, batch: Batch) -> Result<CommitNumber, SubmitRefused> {
        let (told, outcome) = sync_channel(1);
        let done: Completion = Box::new(move |outcome| {
            let _ = told.send(outcome);
        });
        self.submit(Submission { batch, done })?;
        outcome.recv().unwrap_or(Err(Stopped)).map_err(|Stopped| {
            SubmitRefused::Stopped(Submission {
                batch: Batch::default(),
                done: Box::new(|_| {}),
            })
        })
    }

    /// How it goes.
    pub fn state(&self) -> CommitterState {
        self.shared.state()
    }

    /// Calls back on each change of state, on the committer's thread, and once now with the
    /// present one. The call-back must not block.
    pub fn subscribe(&self, subscriber: impl Fn(&CommitterState) + Send + 'static) {
        // Under the lock, so that no change comes between the present state and the next.
        let mut subscribers = self
            .shared
            .subscribers
            .lock()
            .expect("call-backs do not panic");
        subscriber(&self.state());
        subscribers.push(Box::new(subscriber));
    }

    /// Counts since the start.
    pub fn stats(&self) -> CommitterStats {
        let shared = &self.shared;
        CommitterStats {
            groups: shared.groups.load(Ordering::Relaxed),
            batches: shared.batches.load(Ordering::Relaxed),
            failures: shared.failures.load(Ordering::Relaxed),
            queued_bytes: shared.queued_bytes.load(Ordering::Relaxed) as u64,
        }
    }

    /// Commits what waits and ends the thread. While the store is failing, what waits is completed
    /// with [`Stopped`]. The store itself stays open.
    pub fn stop(&self) {
        self.queue
            .lock()
            .expect("nobody panics while holding it")
            .take();
        self.shared.stopping.store(true, Ordering::Release);
        let _ = self.stop.try_send(());
        let thread = self
            .thread
            .lock()
            .expect("nobody panics while holding it")
            .take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.stop();
    }
}

impl core::fmt::Debug for Committer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Committer")
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

/// The submitting end, one for each shard.
#[derive(Clone)]
pub struct Submitter {
    queue: SyncSender<Submission>,
    shared: Arc<Shared>,
    queue_bytes_max: usize,
}

impl core::fmt::Debug for Submitter {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Submitter").finish_non_exhaustive()
    }
}

impl Submitter {
    /// Submits one batch. Never waits. Batches of one submitter are committed in this order.
    ///
    /// # Errors
    /// [`SubmitRefused`] gives the submission back.
    pub fn submit(&self, submission: Submission) -> Result<(), SubmitRefused> {
        if let Err(refused) = submission.batch.validate() {
            return Err(SubmitRefused::Batch(refused, submission));
        }
        if self.shared.stopping.load(Ordering::Acquire) {
            return Err(SubmitRefused::Stopped(submission));
        }
        let bytes = submission.batch.bytes();
        let queued = self.shared.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        if queued > 0 && queued + bytes > self.queue_bytes_max {
            self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(SubmitRefused::Full(submission));
        }
        self.queue.try_send(submission).map_err(|refused| {
            self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            match refused {
                TrySendError::Full(submission) => SubmitRefused::Full(submission),
                TrySendError::Disconnected(submission) => SubmitRefused::Stopped(submission),
            }
        })
    }
}

impl Shared {
    fn state(&self) -> CommitterState {
        let state = self
            .state
            .lock()
            .expect("nobody panics while holding it")
            .clone();
        state.unwrap_or(CommitterState::Healthy)
    }

    fn change(&self, state: CommitterState) {
        let subscribers = self.subscribers.lock().expect("call-backs do not panic");
        if self.state() == state {
            return;
        }
        *self.state.lock().expect("nobody panics while holding it") = Some(state.clone());
        for subscriber in &*subscribers {
            subscriber(&state);
        }
    }
}

/// What the thread has.
struct Work {
    store: Arc<dyn Store>,
    submissions: Receiver<Submission>,
    stopped: Receiver<()>,
    shared: Arc<Shared>,
}

/// A group on its way.
#[derive(Default)]
struct Group {
    batches: Vec<Batch>,
    done: Vec<Completion>,
    bytes: usize,
}

impl Group {
    fn add(&mut self, submission: Submission) {
        self.bytes += submission.batch.bytes();
        self.batches.push(submission.batch);
        self.done.push(submission.done);
    }

    fn is_full(&self) -> bool {
        self.batches.len() >= GROUP_BATCHES_MAX || self.bytes >= GROUP_BYTES_MAX
    }

    fn is_busy(&self) -> bool {
        let items = |batch: &Batch| batch.facts.len() + batch.events.len();
        self.batches.iter().map(items).sum::<usize>() >= GROUP_BUSY_ITEMS
    }

    fn complete(&mut self, last: CommitNumber) {
        let first = last.0 + 1 - self.done.len() as u64;
        for (number, done) in (first..).zip(self.done.drain(..)) {
            done(Ok(CommitNumber(number)));
        }
    }
}

/// Says that the thread has ended, also when a panic in the store has ended it: a node must not
/// believe that all is well while nobody commits.
struct Ended<'a>(&'a Shared);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.stopping.store(true, Ordering::Release);
        self.0.change(CommitterState::Stopped);
    }
}

impl Work {
    fn run(self) {
        let _ended = Ended(&self.shared);
        let mut group = Group::default();
        let mut giving_up = false;
        while self.gather(&mut group) {
            giving_up = giving_up || !self.commit(&mut group);
            if giving_up {
                group.done.drain(..).for_each(|done| done(Err(Stopped)));
            }
            self.shared
                .queued_bytes
                .fetch_sub(group.bytes, Ordering::Relaxed);
            let pause = group.is_busy() && !group.is_full();
            group.batches.clear();
            group.bytes = 0;
            if pause {
                thread::sleep(GROUP_PAUSE);
            }
        }
    }

    /// Takes what waits, at least one. False when the last submitter is gone.
    fn gather(&self, group: &mut Group) -> bool {
        let first = loop {
            // Submitters may outlive the committer's handle; the stop is heard all the same.
            match self.submissions.recv_timeout(RETRY_PAUSE_MIN) {
                Ok(submission) => break submission,
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) if self.shared.stopping.load(Ordering::Acquire) => {
                    return false;
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        };
        group.add(first);
        while !group.is_full() {
            let Ok(submission) = self.submissions.try_recv() else {
                break;
            };
            group.add(submission);
        }
        true
    }

    /// Commits the group, however long it takes. False when told to stop while it does not work.
    fn commit(&self, group: &mut Group) -> bool {
        let before = self.store.last_commit();
        let mut pause = RETRY_PAUSE_MIN;
        let mut outcome = self.store.commit_many(&group.batches);
        loop {
            let error = match outcome {
                Ok(last) => {
                    self.count(group);
                    group.complete(last);
                    self.shared.change(CommitterState::Healthy);
                    return true;
                }
                Err(error) => error,
            };
            self.failing(&error);
            if self.stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                return false;
            }
            pause = (pause * 2).min(RETRY_PAUSE_MAX);
            outcome = self.store.recover().and_then(|()| {
                let last = self.store.last_commit();
                // All or none: what was written before the failure is not written twice.
                if last > before {
                    Ok(last)
                } else {
                    self.store.commit_many(&group.batches)
                }
            });
        }
    }

    fn count(&self, group: &Group) {
        self.shared.groups.fetch_add(1, Ordering::Relaxed);
        self.shared
            .batches
            .fetch_add(group.batches.len() as u64, Ordering::Relaxed);
    }

    fn failing(&self, error: &StoreError) {
        self.shared.failures.fetch_add(1, Ordering::Relaxed);
        let reason = error.to_string();
        if self.shared.state() == CommitterState::Healthy {
            tracing::error!(%reason, "commits fail; nothing is acknowledged until there is room");
        }
        self.shared.change(CommitterState::Failing { reason });
    }
}
