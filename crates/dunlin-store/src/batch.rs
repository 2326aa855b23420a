//! What one commit holds: facts for the tables, events for the log.
//!
//! A shard collects the effects of the datagrams it has just handled into one [`Batch`]; the batch
//! becomes durable whole or not at all, and only then may answers leave and events be told. The
//! store does not know what a registration is: keys and values are bytes, and the node's record
//! layer gives them meaning (see [`crate::record`]).

/// The kinds of facts, one table each.
///
/// The numbers are written to disk and into backups; they are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Table {
    /// Registrations, by endpoint name.
    Registrations = 1,
    /// Observations and their duplicate keys.
    Observations = 2,
    /// Downlink requests: waiting, sent, ended.
    Requests = 3,
    /// The newest value of each path of each Client.
    LastValues = 4,
    /// Who may connect, and with what.
    Credentials = 5,
    /// What the Bootstrap-Server writes.
    Profiles = 6,
    /// Object definitions added at run time.
    Objects = 7,
    /// Tokens of the REST API.
    Tokens = 8,
    /// Bootstrap runs and their outcome.
    Bootstraps = 9,
    /// Facts about the data folder itself, such as the number of virtual shards.
    Meta = 10,
}

impl Table {
    /// Every table, in the order of their numbers.
    pub const ALL: [Table; 10] = [
        Table::Registrations,
        Table::Observations,
        Table::Requests,
        Table::LastValues,
        Table::Credentials,
        Table::Profiles,
        Table::Objects,
        Table::Tokens,
        Table::Bootstraps,
        Table::Meta,
    ];

    /// The table with this number on disk.
    pub fn from_number(number: u8) -> Option<Table> {
        Table::ALL.into_iter().find(|table| *table as u8 == number)
    }

    /// The name used for the keyspace, in reports and in messages.
    pub fn name(self) -> &'static str {
        match self {
            Table::Registrations => "registrations",
            Table::Observations => "observations",
            Table::Requests => "requests",
            Table::LastValues => "last_values",
            Table::Credentials => "credentials",
            Table::Profiles => "profiles",
            Table::Objects => "objects",
            Table::Tokens => "tokens",
            Table::Bootstraps => "bootstraps",
            Table::Meta => "meta",
        }
    }
}

impl core::fmt::Display for Table {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

/// The longest key. Endpoint names end at 252 bytes; keys are made of one or two of them.
pub const KEY_MAX: usize = 4 * 1024;

/// The longest value. Firmware images do not belong in a table; the largest honest value is an
/// object definition of some hundred kilobytes.
pub const VALUE_MAX: usize = 8 * 1024 * 1024;

/// The longest event. The largest honest one carries a Read of a whole Client.
pub const EVENT_MAX: usize = 8 * 1024 * 1024;

/// The most bytes one batch may hold; a log record counts its length in 32 bits, and a committer
/// that merged larger ones would make every Client wait for one.
pub const BATCH_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The most facts, and the most events, in one batch.
pub const BATCH_ITEMS_MAX: usize = 1_000_000;

/// One durable change of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// The row has this value from now on.
    Put {
        /// Where it belongs.
        table: Table,
        /// 1 to [`KEY_MAX`] bytes.
        key: Vec<u8>,
        /// At most [`VALUE_MAX`] bytes; the first is the version of the record.
        value: Vec<u8>,
    },
    /// The row is gone. Deleting what is not there is no error.
    Delete {
        /// Where it was.
        table: Table,
        /// 1 to [`KEY_MAX`] bytes.
        key: Vec<u8>,
    },
}

impl Fact {
    /// A fact that sets a row.
    pub fn put(table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Fact {
        Fact::Put {
            table,
            key: key.into(),
            value: value.into(),
        }
    }

    /// A fact that removes a row.
    pub fn delete(table: Table, key: impl Into<Vec<u8>>) -> Fact {
        Fact::Delete {
            table,
            key: key.into(),
        }
    }

    /// The table it concerns.
    pub fn table(&self) -> Table {
        match self {
            Fact::Put { table, .. } | Fact::Delete { table, .. } => *table,
        }
    }

    /// The key it concerns.
    pub fn key(&self) -> &[u8] {
        match self {
            Fact::Put { key, .. } | Fact::Delete { key, .. } => key,
        }
    }

    /// The new value, `None` when the row is removed.
    pub fn value(&self) -> Option<&[u8]> {
        match self {
            Fact::Put { value, .. } => Some(value),
            Fact::Delete { .. } => None,
        }
    }
}

/// Facts and events that become durable together.
///
/// Facts apply in order: of two facts about one row the later wins. A batch without facts and
/// events is legal and takes a commit number all the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Wall time of the commit, in milliseconds since 1970. The store has no clock of its own:
    /// retention by age counts by this.
    pub at_ms: u64,
    /// The rows that change.
    pub facts: Vec<Fact>,
    /// What the log keeps, in order; opaque versioned bytes of at most [`EVENT_MAX`] each.
    pub events: Vec<Vec<u8>>,
}

impl Batch {
    /// An empty batch of this wall time.
    pub fn new(at_ms: u64) -> Batch {
        Batch {
            at_ms,
            ..Batch::default()
        }
    }

    /// Adds a fact that sets a row.
    pub fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.facts.push(Fact::put(table, key, value));
    }

    /// Adds a fact that removes a row.
    pub fn delete(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.facts.push(Fact::delete(table, key));
    }

    /// Adds an event.
    pub fn tell(&mut self, event: impl Into<Vec<u8>>) {
        self.events.push(event.into());
    }

    /// True when there is neither a fact nor an event.
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty() && self.events.is_empty()
    }

    /// The payload in bytes, without the log's own framing.
    pub fn bytes(&self) -> usize {
        let facts = self
            .facts
            .iter()
            .map(|f| f.key().len() + f.value().map_or(0, <[u8]>::len));
        facts.sum::<usize>() + self.events.iter().map(Vec::len).sum::<usize>()
    }

    /// Checks the limits above.
    ///
    /// # Errors
    /// The first limit that does not hold.
    pub fn validate(&self) -> Result<(), BatchRefused> {
        for fact in &self.facts {
            let (table, length) = (fact.table(), fact.key().len());
            if length == 0 || length > KEY_MAX {
                return Err(BatchRefused::Key { table, length });
            }
            let length = fact.value().map_or(0, <[u8]>::len);
            if length > VALUE_MAX {
                return Err(BatchRefused::Value { table, length });
            }
        }
        if let Some(event) = self.events.iter().find(|event| event.len() > EVENT_MAX) {
            return Err(BatchRefused::Event {
                length: event.len(),
            });
        }
        if self.facts.len() > BATCH_ITEMS_MAX || self.events.len() > BATCH_ITEMS_MAX {
            return Err(BatchRefused::Items);
        }
        let length = self.bytes();
        if length > BATCH_BYTES_MAX {
            return Err(BatchRefused::Bytes { length });
        }
        Ok(())
    }
}

/// Why a batch cannot be committed, whatever the disk says. A mistake of the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchRefused {
    /// A key is empty or too long.
    #[error("a key of table {table} has {length} bytes; 1 to {KEY_MAX} are allowed")]
    Key {
        /// Where.
        table: Table,
        /// How long.
        length: usize,
    },
    /// A value is too long.
    #[error("a value of table {table} has {length} bytes; at most {VALUE_MAX} are allowed")]
    Value {
        /// Where.
        table: Table,
        /// How long.
        length: usize,
    },
    /// An event is too long.
    #[error("an event has {length} bytes; at most {EVENT_MAX} are allowed")]
    Event {
        /// How long.
        length: usize,
    },
    /// Too many facts or events.
    #[error("a batch may hold {BATCH_ITEMS_MAX} facts and as many events")]
    Items,
    /// Too many bytes in all.
    #[error("a batch has {length} bytes; at most {BATCH_BYTES_MAX} are allowed: split it")]
    Bytes {
        /// How many.
        length: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_numbers_are_unique_and_found_again() {
        for table in Table::ALL {
            assert_eq!(Table::from_number(table as u8), Some(table));
        }
        assert_eq!(Table::from_number(0), None);
        assert_eq!(Table::from_number(11), None);
    }

    #[test]
    fn a_batch_beyond_its_limits_is_refused_by_name() {
        let mut batch = Batch::new(1);
        assert!(batch.validate().is_ok());
        batch.put(Table::Meta, "", "v");
        assert!(matches!(
            batch.validate(),
            Err(BatchRefused::Key { length: 0, .. })
        ));
        batch.facts[0] = Fact::put(Table::Meta, vec![1; KEY_MAX], "v");
        assert!(batch.validate().is_ok());
        batch.facts[0] = Fact::put(Table::Meta, vec![1; KEY_MAX + 1], "v");
        assert!(matches!(batch.validate(), Err(BatchRefused::Key { .. })));
        batch.facts[0] = Fact::put(Table::Meta, "k", vec![1; VALUE_MAX + 1]);
        assert!(matches!(batch.validate(), Err(BatchRefused::Value { .. })));
        batch.facts.clear();
        batch.tell(vec![0; EVENT_MAX + 1]);
        assert!(matches!(batch.validate(), Err(BatchRefused::Event { .. })));
        batch.events = vec![vec![0; EVENT_MAX]; 9];
        assert!(matches!(batch.validate(), Err(BatchRefused::Bytes { .. })));
    }
}
