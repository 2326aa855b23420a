//! What the crash tests share: a workload whose state after any commit is known, and a child process
//! that runs it.
//!
//! The child is this test binary, started again for the one test [`child_main`] belongs to. It
//! prints `ack N` when commit N was acknowledged, and `state …` when the committer's state changes.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use dunlin_store::{
    Batch, CommitNumber, Committer, CommitterSettings, Durability, FjallStore, History, Journal,
    Position, Retention, Stopped, Store, StoreError, StoreSettings, Submission, SubmitRefused,
    Table,
};

/// Long enough for a busy machine; a test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The child ends by itself after this, whatever happens to its parent.
const CHILD_LIFE: Duration = Duration::from_secs(60);

/// Rows that come and go.
const KEYS: u64 = 300;

/// Small steps, so that a short life sees segments, flushes and retention of everything.
pub(crate) fn settings() -> StoreSettings {
    StoreSettings {
        segment_bytes: 200_000,
        flush_bytes: 300_000,
        retention: Retention {
            bytes_max: u64::MAX,
            age_max_ms: u64::MAX,
        },
        ..StoreSettings::default()
    }
}

/// The batch that becomes commit `n`.
pub(crate) fn batch(n: u64) -> Batch {
    let mut batch = Batch::new(n);
    batch.put(Table::Registrations, key(n), value(n));
    batch.put(Table::Meta, "count", n.to_string());
    if n.is_multiple_of(3) {
        batch.delete(Table::Registrations, key(n + KEYS / 2));
    }
    if n.is_multiple_of(5) {
        batch.put(Table::Observations, n.to_be_bytes(), []);
    }
    for index in 0..n % 3 {
        batch.tell(format!("{n}/{index}"));
    }
    batch
}

fn key(n: u64) -> String {
    format!("key-{:03}", n % KEYS)
}

/// Some values are mostly zeros, as those of Clients are.
fn value(n: u64) -> Vec<u8> {
    let mut value = n.to_string().into_bytes();
    value.resize(
        if n.is_multiple_of(50) { 3000 } else { 150 },
        if n.is_multiple_of(2) { 0 } else { 0xa5 },
    );
    value
}

/// Everything the store must hold after some commit.
struct Expected {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    marks: BTreeSet<Vec<u8>>,
    events: Vec<String>,
}

fn expected(last: u64) -> Expected {
    let (mut rows, mut marks, mut events) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
    for n in 1..=last {
        rows.insert(key(n).into_bytes(), value(n));
        if n.is_multiple_of(3) {
            rows.remove(key(n + KEYS / 2).as_bytes());
        }
        if n.is_multiple_of(5) {
            marks.insert(n.to_be_bytes().to_vec());
        }
        events.extend((0..n % 3).map(|index| format!("{n}/{index}")));
    }
    Expected {
        rows,
        marks,
        events,
    }
}

/// Compares all of the store with what it must hold after its last commit; an error when the store
/// says that something does not read, a difference in words when it does not say so.
pub(crate) fn verify(store: &FjallStore) -> Result<Result<u64, String>, StoreError> {
    let last = store.last_commit().0;
    let Expected {
        rows,
        marks,
        events,
    } = expected(last);
    let mut found = BTreeMap::new();
    store.replay(Table::Registrations, &mut |key, value| {
        found.insert(key.to_vec(), value.to_vec());
        std::ops::ControlFlow::Continue(())
    })?;
    if found != rows {
        return Ok(Err(format!(
            "after commit {last}: {} rows, not {}",
            found.len(),
            rows.len()
        )));
    }
    let found = store.scan(Table::Observations, b"", 10_000)?;
    if !found
        .iter()
        .map(|row| &row.key)
        .eq(marks.iter().take(10_000))
    {
        return Ok(Err(format!("after commit {last}: the observations differ")));
    }
    let count = store.get(Table::Meta, b"count")?;
    if last > 0 && count != Some(last.to_string().into_bytes()) {
        return Ok(Err(format!("after commit {last}: the count is {count:?}")));
    }
    let (mut after, mut told) = (Position::START, Vec::new());
    loop {
        let page = store.read(after, 5000)?;
        if page.gap.is_some() {
            return Ok(Err(format!("{:?}", page.gap)));
        }
        told.extend(
            page.events
                .into_iter()
                .map(|e| String::from_utf8_lossy(&e.bytes).into_owned()),
        );
        after = page.next;
        if page.end {
            break;
        }
    }
    if told != events {
        return Ok(Err(format!(
            "after commit {last}: {} events, not {}",
            told.len(),
            events.len()
        )));
    }
    Ok(Ok(last))
}

/// Runs the workload if this process was started as a child; call it from a test named `child`.
pub(crate) fn child_main() {
    let Some(root) = std::env::var_os("DUNLIN_STORE_CHILD") else {
        return;
    };
    let mut settings = settings();
    if std::env::var_os("DUNLIN_STORE_CHILD_MEMORY").is_some() {
        settings.durability = Durability::Memory;
    }
    if let Some(bytes) = std::env::var("DUNLIN_STORE_CHILD_SEGMENT")
        .ok()
        .and_then(|b| b.parse().ok())
    {
        settings.segment_bytes = bytes;
    }
    let store = Arc::new(FjallStore::open(PathBuf::from(root), settings).expect("opens"));
    // At most this many are not acknowledged yet.
    let queue = CommitterSettings {
        queue_batches_max: 40,
        ..CommitterSettings::default()
    };
    let committer = Committer::start(store.clone() as Arc<dyn Store>, queue).expect("a thread");
    committer.subscribe(|state| say(&format!("state {state:?}")));
    let born = Instant::now();
    let reader = store.clone();
    std::thread::spawn(move || {
        // Someone reads all the time; `read N` is the count a reader sees.
        while born.elapsed() < CHILD_LIFE {
            std::thread::sleep(Duration::from_millis(5));
            match reader.get(Table::Meta, b"count") {
                Ok(count) => say(&format!(
                    "read {}",
                    String::from_utf8_lossy(&count.unwrap_or_default())
                )),
                Err(error) => say(&format!("unreadable {error}")),
            }
        }
    });
    for n in store.last_commit().0 + 1.. {
        let done = Box::new(move |outcome: Result<CommitNumber, Stopped>| {
            if let Ok(number) = outcome {
                assert_eq!(number.0, n, "commits are numbered in order");
                say(&format!("ack {n}"));
            }
        });
        let mut submission = Submission {
            batch: batch(n),
            done,
        };
        while let Err(refused) = committer.submit(submission) {
            let SubmitRefused::Full(back) = refused else {
                panic!("{refused}")
            };
            submission = back;
            std::thread::sleep(Duration::from_micros(200));
            if born.elapsed() > CHILD_LIFE {
                return;
            }
        }
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

/// A child at work.
pub(crate) struct Worker {
    child: Child,
    lines: Receiver<String>,
    /// The last commit that it has acknowledged.
    pub(crate) acknowledged: u64,
}

impl Worker {
    /// Starts the child on this folder; `prepare` may change how.
    pub(crate) fn start(root: &Path, prepare: impl FnOnce(&mut Command)) -> Worker {
        // A shell that ignores the signal of the file size limit, so that a write beyond it is an
        // error; the server does the same for itself.
        let mut command = Command::new("sh");
        command
            .args(["-c", "trap '' XFSZ; exec \"$0\" child --exact --nocapture"])
            .arg(std::env::current_exe().expect("this test"))
            .env("DUNLIN_STORE_CHILD", root)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        prepare(&mut command);
        let mut child = command.spawn().expect("starts");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        Worker {
            child,
            lines,
            acknowledged: 0,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Reads lines until `enough` says so; `None` when the child has ended.
    pub(crate) fn until(&mut self, mut enough: impl FnMut(&str) -> bool) -> Option<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    if let Some(n) = line.strip_prefix("ack ") {
                        self.acknowledged = n.parse().expect("a number");
                    }
                    if enough(&line) {
                        return Some(line);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => panic!("the child says nothing more"),
            }
        }
    }

    /// Reads on for this long.
    pub(crate) fn listen(&mut self, time: Duration) {
        let deadline = Instant::now() + time;
        while let Ok(line) = self
            .lines
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            if let Some(n) = line.strip_prefix("ack ") {
                self.acknowledged = n.parse().expect("a number");
            }
        }
    }

    /// Kills the child in the middle of what it does, and reads what it still had said.
    pub(crate) fn kill(mut self) -> u64 {
        self.child.kill().expect("it lives");
        self.child.wait().expect("it ends");
        let _ = self.until(|_| false);
        self.acknowledged
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A small generator, so that a failing round can be repeated from its seed.
pub(crate) struct Random(u64);

impl Random {
    /// From `DUNLIN_STORE_SEED`, or another one each time; the seed is printed.
    pub(crate) fn new() -> Random {
        let seed = std::env::var("DUNLIN_STORE_SEED")
            .ok()
            .and_then(|text| text.parse().ok());
        let seed = seed.unwrap_or_else(|| {
            std::time::UNIX_EPOCH
                .elapsed()
                .expect("after 1970")
                .as_nanos() as u64
                | 1
        });
        println!("DUNLIN_STORE_SEED={seed}");
        Random(seed)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// How often a random test repeats: `DUNLIN_STORE_ROUNDS`, or this many.
pub(crate) fn rounds(normally: u64) -> u64 {
    std::env::var("DUNLIN_STORE_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(normally)
}
