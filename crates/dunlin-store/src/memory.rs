//! The store in memory: for tests, for the simulator, and for trying things out.
//!
//! A [`MemoryStore`] is a handle; [`MemoryStore::reopen`] makes another one on the same contents, as
//! if the process had ended and come back.

use core::ops::{Bound, ControlFlow};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::batch::{Batch, Fact, Table};
use crate::error::StoreError;
use crate::history::{Event, EventPage, Gap, History, PAGE_BYTES_MAX, PAGE_EVENTS_MAX, Retention};
use crate::journal::{Journal, Row, RowVisitor, SCAN_ROWS_MAX};
use crate::position::{CommitNumber, Position};

/// A store that keeps nothing when the last handle is gone.
#[derive(Debug)]
pub struct MemoryStore {
    contents: Arc<Mutex<Contents>>,
    closed: Mutex<bool>,
}

#[derive(Debug, Default)]
struct Contents {
    tables: BTreeMap<Table, BTreeMap<Vec<u8>, Vec<u8>>>,
    log: VecDeque<Commit>,
    log_bytes: u64,
    last: u64,
    retention: Retention,
}

#[derive(Debug)]
struct Commit {
    number: u64,
    at_ms: u64,
    events: Vec<Vec<u8>>,
}

impl Commit {
    /// What a commit costs beside its events, so that retention by bytes also ends commits that
    /// have none.
    const OVERHEAD_BYTES: u64 = 64;

    fn bytes(&self) -> u64 {
        Commit::OVERHEAD_BYTES + self.events.iter().map(|e| e.len() as u64).sum::<u64>()
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new(retention: Retention) -> MemoryStore {
        let contents = Contents {
            retention,
            ..Contents::default()
        };
        MemoryStore {
            contents: Arc::new(Mutex::new(contents)),
            closed: Mutex::new(false),
        }
    }

    /// Another handle on the same contents.
    pub fn reopen(&self) -> MemoryStore {
        MemoryStore {
            contents: self.contents.clone(),
            closed: Mutex::new(false),
        }
    }

    fn contents(&self) -> Result<MutexGuard<'_, Contents>, StoreError> {
        if *self.closed.lock().expect("nobody panics while holding it") {
            return Err(StoreError::Closed);
        }
        Ok(self.look())
    }

    fn look(&self) -> MutexGuard<'_, Contents> {
        self.contents
            .lock()
            .expect("nobody panics while holding it")
    }
}

impl Journal for MemoryStore {
    fn commit_many(&self, batches: &[Batch]) -> Result<CommitNumber, StoreError> {
        let mut contents = self.contents()?;
        batches.iter().try_for_each(Batch::validate)?;
        for batch in batches {
            contents.take(batch);
        }
        if let Some(newest) = batches.last() {
            contents.trim(newest.at_ms);
        }
        Ok(CommitNumber(contents.last))
    }

    fn recover(&self) -> Result<(), StoreError> {
        self.contents().map(|_| ())
    }

    fn last_commit(&self) -> CommitNumber {
        CommitNumber(self.look().last)
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let contents = self.contents()?;
        Ok(contents
            .tables
            .get(&table)
            .and_then(|rows| rows.get(key))
            .cloned())
    }

    fn scan(&self, table: Table, from: &[u8], limit: usize) -> Result<Vec<Row>, StoreError> {
        let contents = self.contents()?;
        let Some(rows) = contents.tables.get(&table) else {
            return Ok(Vec::new());
        };
        let range = rows.range::<[u8], _>((Bound::Included(from), Bound::Unbounded));
        let rows = range.take(limit.min(SCAN_ROWS_MAX));
        Ok(rows
            .map(|(key, value)| Row {
                key: key.clone(),
                value: value.clone(),
            })
            .collect())
    }

    fn replay(&self, table: Table, row: &mut RowVisitor<'_>) -> Result<u64, StoreError> {
        // A copy, so that the visitor may ask the store.
        let rows = self
            .contents()?
            .tables
            .get(&table)
            .cloned()
            .unwrap_or_default();
        let mut count = 0;
        for (key, value) in &rows {
            count += 1;
            if let ControlFlow::Break(()) = row(key, value) {
                break;
            }
        }
        Ok(count)
    }

    fn close(&self) -> Result<(), StoreError> {
        *self.closed.lock().expect("nobody panics while holding it") = true;
        Ok(())
    }
}

impl History for MemoryStore {
    fn read(&self, after: Position, limit: usize) -> Result<EventPage, StoreError> {
        Ok(self
            .contents()?
            .read(after, limit.clamp(1, PAGE_EVENTS_MAX)))
    }

    fn oldest(&self) -> Position {
        let contents = self.look();
        let first = contents
            .log
            .front()
            .map_or(contents.last + 1, |commit| commit.number);
        Position::end_of(CommitNumber(first - 1))
    }

    fn newest(&self) -> Position {
        Position::end_of(CommitNumber(self.look().last))
    }

    fn trim(&self, now_ms: u64) -> Result<(), StoreError> {
        self.contents()?.trim(now_ms);
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.look().log_bytes
    }
}

impl Contents {
    fn take(&mut self, batch: &Batch) {
        for fact in &batch.facts {
            let rows = self.tables.entry(fact.table()).or_default();
            match fact {
                Fact::Put { key, value, .. } => rows.insert(key.clone(), value.clone()),
                Fact::Delete { key, .. } => rows.remove(key),
            };
        }
        self.last += 1;
        let commit = Commit {
            number: self.last,
            at_ms: batch.at_ms,
            events: batch.events.clone(),
        };
        self.log_bytes += commit.bytes();
        self.log.push_back(commit);
    }

    /// The newest commit always stays, as the active segment does on disk.
    fn trim(&mut self, now_ms: u64) {
        let before_ms = now_ms.saturating_sub(self.retention.age_max_ms);
        while self.log.len() > 1 {
            let oldest = &self.log[0];
            if self.log_bytes <= self.retention.bytes_max && oldest.at_ms >= before_ms {
                break;
            }
            self.log_bytes -= oldest.bytes();
            self.log.pop_front();
        }
    }

    fn read(&self, after: Position, limit: usize) -> EventPage {
        let last = CommitNumber(self.last);
        let mut page = EventPage {
            events: Vec::new(),
            next: after,
            end: true,
            gap: None,
        };
        if after.commit > last {
            page.gap = Some(Gap::Ahead { newest: last });
            page.next = Position::end_of(last);
            return page;
        }
        let first = self
            .log
            .front()
            .map_or(self.last + 1, |commit| commit.number);
        let wanted = if after.index == u32::MAX {
            after.commit.0 + 1
        } else {
            after.commit.0
        };
        if wanted < first && after != Position::START {
            page.gap = Some(Gap::Trimmed {
                oldest: CommitNumber(first),
            });
        }
        let mut bytes = 0;
        for commit in self.log.range(wanted.saturating_sub(first) as usize..) {
            let number = CommitNumber(commit.number);
            for (index, event) in commit.events.iter().enumerate() {
                let position = Position {
                    commit: number,
                    index: index as u32,
                };
                if position <= after {
                    continue;
                }
                if page.events.len() >= limit || bytes >= PAGE_BYTES_MAX {
                    page.end = false;
                    return page;
                }
                bytes += event.len();
                page.events.push(Event {
                    position,
                    at_ms: commit.at_ms,
                    bytes: event.clone(),
                });
                page.next = position;
            }
            page.next = Position::end_of(number);
        }
        page
    }
}
