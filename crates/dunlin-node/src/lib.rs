//! The product as a library: shards, committer, and who is handed to whom.

mod record;
