//! The journal: batches go in and become durable, facts come out again.

use core::ops::ControlFlow;

use crate::batch::{Batch, Table};
use crate::error::StoreError;
use crate::history::History;
use crate::position::CommitNumber;

/// What "committed" means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// A commit survives a power cut: it returns after the disk has said so.
    #[default]
    Sync,
    /// A commit survives the end of the process, not that of the machine. After a power cut the
    /// newest commits may be gone, and the store opens nevertheless, with a warning. Since nobody can
    /// tell after a kill, readers of the log meet a [`crate::Gap::Lost`] there.
    Memory,
}

/// The most rows of one [`Journal::scan`].
pub const SCAN_ROWS_MAX: usize = 10_000;

/// One row of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its key.
    pub key: Vec<u8>,
    /// Its value: a version byte and a record.
    pub value: Vec<u8>,
}

/// What the keys of all rows of one Client begin with, in tables that have many for each: the length
/// of its name, then the name, so that no name is the beginning of another's.
pub fn client_prefix(endpoint: &str) -> Vec<u8> {
    let length = u16::try_from(endpoint.len()).expect("KEY_MAX is far below 64 KiB");
    [&length.to_be_bytes(), endpoint.as_bytes()].concat()
}

/// The key of one row of a Client: its prefix, then what tells its rows apart.
pub fn client_key(endpoint: &str, rest: &[u8]) -> Vec<u8> {
    [&client_prefix(endpoint), rest].concat()
}

/// The two parts of a [`client_key`], `None` if it is none.
pub fn parse_client_key(key: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = key.split_first_chunk::<2>()?;
    let (name, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    Some((core::str::from_utf8(name).ok()?, rest))
}

/// Called with key and value of each row; breaking ends the walk.
pub type RowVisitor<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// Durable facts. One writer at a time (the committer); any number of readers.
pub trait Journal: Send + Sync {
    /// Makes all batches durable with one sync, each of them atomic and with a number of its own,
    /// in this order. Returns the number of the last; those before count down from it. Without a
    /// batch it returns the last commit.
    ///
    /// # Errors
    /// Nothing is acknowledged. [`StoreError::Batch`] means that a batch is at fault and nothing
    /// has happened. After any other error nothing is accepted until [`Journal::recover`] has
    /// succeeded; then either all of the batches are committed or none, and
    /// [`Journal::last_commit`] tells which.
    fn commit_many(&self, batches: &[Batch]) -> Result<CommitNumber, StoreError>;

    /// Makes one batch durable.
    ///
    /// # Errors
    /// See [`Journal::commit_many`].
    fn commit(&self, batch: &Batch) -> Result<CommitNumber, StoreError> {
        self.commit_many(core::slice::from_ref(batch))
    }

    /// After an error: brings the store back to a state in which it takes commits. Does nothing
    /// when all is well.
    ///
    /// # Errors
    /// The reason is still there; try again later.
    fn recover(&self) -> Result<(), StoreError>;

    /// The last commit that is durable and visible.
    fn last_commit(&self) -> CommitNumber;

    /// The value of a row.
    ///
    /// # Errors
    /// When the table does not read.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Up to `limit` rows whose key is `from` or greater, in the order of their keys. To go on, ask
    /// from the last key followed by a zero byte.
    ///
    /// # Errors
    /// When the table does not read.
    fn scan(&self, table: Table, from: &[u8], limit: usize) -> Result<Vec<Row>, StoreError>;

    /// Up to `limit` rows whose key begins with `prefix`, from `from` on, in the order of their keys;
    /// see [`client_prefix`]. An empty `from` begins with the first.
    ///
    /// # Errors
    /// When the table does not read.
    fn scan_prefix(
        &self,
        table: Table,
        prefix: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let mut rows = self.scan(table, prefix.max(from), limit)?;
        rows.truncate(rows.partition_point(|row| row.key.starts_with(prefix)));
        Ok(rows)
    }

    /// Walks through a whole table as it is now, in the order of the keys: what a start does.
    /// Returns the number of rows visited.
    ///
    /// # Errors
    /// When the table does not read.
    fn replay(&self, table: Table, row: &mut RowVisitor<'_>) -> Result<u64, StoreError>;

    /// Writes everything out and lets go of the folder. What comes later gets
    /// [`StoreError::Closed`].
    ///
    /// # Errors
    /// When something could not be written; what was committed is safe all the same.
    fn close(&self) -> Result<(), StoreError>;
}

/// Everything a node needs of its store.
pub trait Store: Journal + History {}

impl<T: Journal + History> Store for T {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_a_client_are_its_own() {
        let key = client_key("node", b"/3/0");
        assert_eq!(parse_client_key(&key), Some(("node", &b"/3/0"[..])));
        assert!(key.starts_with(&client_prefix("node")));
        assert!(!client_key("node-1", b"").starts_with(&client_prefix("node")));
        assert_eq!(parse_client_key(&[0, 9, b'a']), None);
        assert_eq!(parse_client_key(&[0]), None);
    }
}
