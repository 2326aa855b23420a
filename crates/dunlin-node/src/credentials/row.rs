//! Credentials as rows of the store: one each, sealed for its own key, so that a row that was moved to
//! another name does not open.

use dunlin_api::credential::{CredentialId, Doors, Key, Proof};
use dunlin_api::time::Timestamp;
use dunlin_lwm2m::EndpointName;
use dunlin_store::{Fact, Store, Table, client_key, parse_client_key};
use minicbor::Encoder;
use minicbor::decode::Error;
use zeroize::Zeroizing;

use super::Kept;
use crate::facts::LoadError;
use crate::record::{Bytes, Item, Read, Reader, RecordError, Writer, Written as _, structure};
use crate::vault::{self, Vault};

/// The largest record: identity, key and a certificate's subject. The buffer is as large from the
/// start, because one that grows leaves copies of a key in freed memory.
const RECORD_BYTES: usize = 2 * 1024;

/// The version of a record, as in [`crate::record`].
const VERSION: u8 = 1;

/// A credential as a record.
struct Row {
    doors: Doors,
    added_at_ms: u64,
    proof: Proof,
    key: Option<Key>,
}
structure!(Row {
    doors,
    added_at_ms,
    proof,
    key
});

crate::record::numbered!(Doors { 0 => Server, 1 => Bootstrap, 2 => Both });

impl Item for Key {
    fn write(&self, w: &mut Writer) {
        w.bytes(self.expose()).done();
    }

    fn read(r: &mut Reader<'_>) -> Read<Self> {
        let bytes = Zeroizing::new(r.bytes()?.to_vec());
        Key::new(bytes).map_err(|_| Error::message("no key"))
    }
}

impl Item for Proof {
    fn write(&self, w: &mut Writer) {
        match self {
            Proof::Psk { identity } => (0u8, Bytes(identity.clone())).write(w),
            Proof::Rpk { fingerprint } => (1u8, Bytes(fingerprint.to_vec())).write(w),
            Proof::Certificate {
                fingerprint,
                subject,
                not_after,
            } => {
                w.array(4).done();
                w.u8(2).done();
                w.bytes(fingerprint).done();
                subject.write(w);
                not_after.map(|at| at.0).write(w);
            }
            Proof::Subject(name) => (3u8, name.clone()).write(w),
        }
    }

    fn read(r: &mut Reader<'_>) -> Read<Self> {
        let items = crate::record::length(r)?;
        let fingerprint = |r: &mut Reader<'_>| -> Read<[u8; 32]> {
            let bytes = Bytes::read(r)?.0;
            bytes.try_into().map_err(|_| Error::message("no SHA-256"))
        };
        Ok(match (r.u8()?, items) {
            (0, 2) => Proof::Psk {
                identity: Bytes::read(r)?.0,
            },
            (1, 2) => Proof::Rpk {
                fingerprint: fingerprint(r)?,
            },
            (2, 4) => Proof::Certificate {
                fingerprint: fingerprint(r)?,
                subject: Item::read(r)?,
                not_after: Option::<u64>::read(r)?.map(Timestamp),
            },
            (3, 2) => Proof::Subject(Item::read(r)?),
            _ => return Err(Error::message("no proof")),
        })
    }
}

fn key_of(endpoint: &EndpointName, id: CredentialId) -> Vec<u8> {
    client_key(endpoint.as_str(), &id.0.to_be_bytes())
}

/// The fact that keeps a credential.
pub(super) fn put(vault: &Vault, endpoint: &EndpointName, kept: &Kept) -> Fact {
    let row = Row {
        doors: kept.doors,
        added_at_ms: kept.added_at.0,
        proof: kept.proof.clone(),
        key: kept.key.clone(),
    };
    let mut plain = Vec::with_capacity(RECORD_BYTES);
    plain.push(VERSION);
    let mut writer = Encoder::new(plain);
    row.write(&mut writer);
    let plain = Zeroizing::new(writer.into_writer());
    let key = key_of(endpoint, kept.id);
    let sealed = vault.seal(&key, &plain);
    Fact::put(Table::Credentials, key, sealed)
}

/// The fact that removes it.
pub(super) fn delete(endpoint: &EndpointName, id: CredentialId) -> Fact {
    Fact::delete(Table::Credentials, key_of(endpoint, id))
}

/// Reads all rows.
pub(super) fn load(
    store: &dyn Store,
    vault: &Vault,
    mut found: impl FnMut(EndpointName, Kept),
) -> Result<(), LoadError> {
    crate::facts::walk(store, Table::Credentials, |key, value| {
        let failed = |what: String| LoadError::Sealed {
            table: Table::Credentials,
            key: String::from_utf8_lossy(key).into_owned(),
            what,
        };
        let (endpoint, id) = name_of(key).ok_or_else(|| failed("no key of a row".into()))?;
        let plain = vault
            .open_sealed(key, value)
            .map_err(|error| failed(error.to_string()))?;
        let row: Row = crate::record::decode(&plain)
            .map_err(|error: RecordError| failed(error.to_string()))?;
        found(
            endpoint,
            Kept {
                id,
                proof: row.proof,
                key: row.key,
                doors: row.doors,
                added_at: Timestamp(row.added_at_ms),
            },
        );
        Ok(())
    })
}

fn name_of(key: &[u8]) -> Option<(EndpointName, CredentialId)> {
    let (name, id) = parse_client_key(key)?;
    let id = CredentialId(u32::from_be_bytes(id.try_into().ok()?));
    Some((EndpointName::new(name).ok()?, id))
}

/// Whether this may be a row of credentials, as far as can be said without the key file.
pub(crate) fn validate(key: &[u8], value: &[u8]) -> Result<(), String> {
    name_of(key).ok_or("no key of a credential")?;
    vault::validate(value).map_err(|error| error.to_string())
}
