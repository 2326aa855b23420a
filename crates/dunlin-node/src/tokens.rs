//! Tokens of the API as the store keeps them: a digest, never the token.

use dunlin_api::auth::{Role, TokenRecord, Tokens};
use dunlin_api::time::Timestamp;
use dunlin_store::{Store, StoreError, Table};

use crate::facts::LoadError;
use crate::record::{Bytes, decode, structure};

/// A row of the table of tokens.
pub(crate) struct Kept {
    name: String,
    role: String,
    digest: Bytes,
    created_at_ms: u64,
}
structure!(Kept {
    name,
    role,
    digest,
    created_at_ms
});

impl From<&TokenRecord> for Kept {
    fn from(record: &TokenRecord) -> Self {
        Self {
            name: record.name.clone(),
            role: record.role.name().to_owned(),
            digest: Bytes(record.digest.to_vec()),
            created_at_ms: record.created_at.0,
        }
    }
}

impl Kept {
    fn record(self) -> Option<TokenRecord> {
        Some(TokenRecord {
            name: self.name,
            role: Role::from_name(&self.role)?,
            digest: self.digest.0.try_into().ok()?,
            created_at: Timestamp(self.created_at_ms),
        })
    }
}

/// All tokens of the store.
pub(crate) fn load(store: &dyn Store) -> Result<Tokens, LoadError> {
    let mut records = Vec::new();
    let mut failed = None;
    store
        .replay(Table::Tokens, &mut |key, value| {
            match decode::<Kept>(value) {
                Ok(kept) => records.extend(kept.record()),
                Err(error) => {
                    let key = String::from_utf8_lossy(key).into_owned();
                    failed = Some(LoadError::Row {
                        table: Table::Tokens,
                        key,
                        error,
                    });
                }
            }
            std::ops::ControlFlow::Continue(())
        })
        .map_err(|error: StoreError| LoadError::Store(error))?;
    failed.map_or_else(|| Ok(Tokens::new(records)), Err)
}
