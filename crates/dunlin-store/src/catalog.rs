//! The catalog: what people put in - credentials, profiles, object definitions, tokens - found by
//! typed keys.
//!
//! Values stay bytes here. Writing goes through the same batches as everything else (one writer,
//! one order); the keys below make the facts.

use crate::batch::{Fact, Table};
use crate::error::StoreError;
use crate::journal::{Journal, SCAN_ROWS_MAX};

/// A key of one of the tables that people fill.
pub trait CatalogKey: Sized {
    /// The table it belongs to.
    const TABLE: Table;

    /// The bytes of the key; their order is the order of listings.
    fn encode(&self) -> Vec<u8>;

    /// The key with these bytes, `None` if there is none.
    fn decode(bytes: &[u8]) -> Option<Self>;

    /// The fact that sets this entry.
    fn put(&self, value: impl Into<Vec<u8>>) -> Fact {
        Fact::put(Self::TABLE, self.encode(), value)
    }

    /// The fact that removes this entry.
    fn delete(&self) -> Fact {
        Fact::delete(Self::TABLE, self.encode())
    }
}

macro_rules! name_key {
    ($(#[$doc:meta])* $name:ident, $table:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(
            /// The name; not empty.
            pub String,
        );

        impl CatalogKey for $name {
            const TABLE: Table = Table::$table;

            fn encode(&self) -> Vec<u8> {
                self.0.as_bytes().to_vec()
            }

            fn decode(bytes: &[u8]) -> Option<$name> {
                String::from_utf8(bytes.to_vec()).ok().map($name)
            }
        }
    };
}

name_key!(
    /// Credentials, by endpoint name or PSK identity as the node decides.
    CredentialKey,
    Credentials
);
name_key!(
    /// A profile of the Bootstrap-Server, by its name.
    ProfileKey,
    Profiles
);
name_key!(
    /// A token of the REST API, by its name.
    TokenKey,
    Tokens
);

/// An object definition, by id and version; versions of one object stand together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// The Object ID.
    pub id: u16,
    /// The version, major and minor.
    pub version: (u8, u8),
}

impl CatalogKey for ObjectKey {
    const TABLE: Table = Table::Objects;

    fn encode(&self) -> Vec<u8> {
        let [high, low] = self.id.to_be_bytes();
        vec![high, low, self.version.0, self.version.1]
    }

    fn decode(bytes: &[u8]) -> Option<ObjectKey> {
        let &[high, low, major, minor] = bytes else {
            return None;
        };
        Some(ObjectKey {
            id: u16::from_be_bytes([high, low]),
            version: (major, minor),
        })
    }
}

/// Reading the catalog; every [`Journal`] can.
pub trait Catalog: Journal {
    /// The entry with this key.
    ///
    /// # Errors
    /// When the table does not read.
    fn entry<K: CatalogKey>(&self, key: &K) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(K::TABLE, &key.encode())
    }

    /// Up to `limit` entries after this key, or from the first one, in order.
    ///
    /// # Errors
    /// When the table does not read, or holds a key that is none.
    fn entries<K: CatalogKey>(
        &self,
        after: Option<&K>,
        limit: usize,
    ) -> Result<Vec<(K, Vec<u8>)>, StoreError> {
        let mut from = after.map(K::encode).unwrap_or_default();
        if after.is_some() {
            from.push(0);
        }
        let rows = self.scan(K::TABLE, &from, limit.min(SCAN_ROWS_MAX))?;
        rows.into_iter()
            .map(|row| {
                let key = K::decode(&row.key).ok_or_else(|| {
                    let why = format!("key {:?}", String::from_utf8_lossy(&row.key));
                    StoreError::damaged(K::TABLE.name(), None, why)
                })?;
                Ok((key, row.value))
            })
            .collect()
    }
}

impl<T: Journal + ?Sized> Catalog for T {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back_and_keep_versions_together() {
        let keys = [(3, (1, 0)), (3, (1, 1)), (3, (2, 0)), (300, (1, 0))]
            .map(|(id, version)| ObjectKey { id, version });
        let mut bytes: Vec<_> = keys.iter().map(CatalogKey::encode).collect();
        assert!(bytes.is_sorted());
        assert_eq!(ObjectKey::decode(&bytes[1]), Some(keys[1]));
        bytes[0].push(0);
        assert_eq!(ObjectKey::decode(&bytes[0]), None);
        assert_eq!(CredentialKey::decode(&[0xff]), None);
        assert_eq!(
            ProfileKey::decode(b"default"),
            Some(ProfileKey("default".into()))
        );
    }
}
