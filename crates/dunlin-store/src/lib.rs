//! Durable facts: the journal, the event log and the catalog, one file per backend.
