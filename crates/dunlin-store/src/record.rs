//! Versioned records: what the bytes of a row or an event look like.
//!
//! The first byte is the version, the rest is CBOR. A reader takes its own version and all older
//! ones; a newer one is refused by name, so that a downgrade says what is wrong instead of
//! misreading. Within one version fields are only added, as optional ones.

use minicbor::{Decode, Decoder, Encode};

/// A type that is kept in a table or in the log.
///
/// ```
/// use dunlin_store::record::{Record, decode_record, encode_record};
///
/// #[derive(Debug, PartialEq, minicbor::Encode, minicbor::Decode)]
/// struct Profile {
///     #[n(0)]
///     server: String,
/// }
/// impl Record for Profile {
///     const NAME: &'static str = "profile";
///     const VERSION: u8 = 1;
/// }
///
/// let bytes = encode_record(&Profile { server: "coap://[::1]".into() });
/// assert_eq!(bytes[0], 1);
/// assert_eq!(decode_record::<Profile>(&bytes)?.server, "coap://[::1]");
/// # Ok::<(), dunlin_store::record::RecordError>(())
/// ```
pub trait Record: Encode<()> + for<'b> Decode<'b, ()> {
    /// The name in messages: "registration", "observation".
    const NAME: &'static str;
    /// The version that is written. 0 is never used, so that zeroed bytes are not a record.
    const VERSION: u8;

    /// Reads the body of an older version. A type that has had only one version leaves it alone.
    ///
    /// # Errors
    /// [`RecordError::VersionUnknown`] when this version never was, [`RecordError::Malformed`].
    fn decode_older(version: u8, body: &[u8]) -> Result<Self, RecordError> {
        let _ = body;
        Err(RecordError::VersionUnknown {
            record: Self::NAME,
            version,
            newest: Self::VERSION,
        })
    }
}

/// The bytes of a record: version, then CBOR.
pub fn encode_record<R: Record>(record: &R) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    bytes.push(R::VERSION);
    minicbor::encode(record, &mut bytes).expect("writing to a Vec cannot fail");
    bytes
}

/// Reads a record.
///
/// # Errors
/// [`RecordError`], with the name of the record and what to do.
pub fn decode_record<R: Record>(bytes: &[u8]) -> Result<R, RecordError> {
    let (&version, body) = bytes
        .split_first()
        .ok_or(RecordError::Empty { record: R::NAME })?;
    if version > R::VERSION || version == 0 {
        let newest = R::VERSION;
        return Err(RecordError::VersionUnknown {
            record: R::NAME,
            version,
            newest,
        });
    }
    if version < R::VERSION {
        return R::decode_older(version, body);
    }
    let mut decoder = Decoder::new(body);
    let record = decoder.decode::<R>().map_err(|e| malformed::<R>(&e))?;
    if decoder.position() != body.len() {
        let why = "bytes follow the end of the record".into();
        return Err(RecordError::Malformed {
            record: R::NAME,
            why,
        });
    }
    Ok(record)
}

/// For [`Record::decode_older`]: turns a CBOR error into a [`RecordError`].
pub fn malformed<R: Record>(error: &minicbor::decode::Error) -> RecordError {
    RecordError::Malformed {
        record: R::NAME,
        why: error.to_string(),
    }
}

/// The bytes are not a record that this version of dunlin can read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// No bytes at all.
    #[error("an empty {record} record; `dunlin check --data` finds the row")]
    Empty {
        /// Its name.
        record: &'static str,
    },
    /// Written by a newer dunlin, or damaged.
    #[error(
        "a {record} record of version {version}, this dunlin reads up to {newest}: \
         use the dunlin that wrote this data folder, or a newer one"
    )]
    VersionUnknown {
        /// Its name.
        record: &'static str,
        /// The version found.
        version: u8,
        /// The newest one that can be read.
        newest: u8,
    },
    /// The version is known and the body does not read.
    #[error("a {record} record does not read ({why}); `dunlin check --data` finds the row")]
    Malformed {
        /// Its name.
        record: &'static str,
        /// What the reader said.
        why: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, PartialEq, Encode, Decode)]
    struct Sample {
        #[n(0)]
        name: String,
        #[n(1)]
        count: Option<u64>,
    }

    impl Record for Sample {
        const NAME: &'static str = "sample";
        const VERSION: u8 = 2;

        fn decode_older(version: u8, body: &[u8]) -> Result<Self, RecordError> {
            match version {
                1 => {
                    let name = minicbor::decode(body).map_err(|e| malformed::<Self>(&e))?;
                    Ok(Sample { name, count: None })
                }
                _ => Err(RecordError::VersionUnknown {
                    record: Self::NAME,
                    version,
                    newest: Self::VERSION,
                }),
            }
        }
    }

    #[test]
    fn a_newer_version_is_refused_by_name() {
        let mut bytes = encode_record(&Sample {
            name: "a".into(),
            count: Some(1),
        });
        bytes[0] = 3;
        let error = decode_record::<Sample>(&bytes).expect_err("version 3 is unknown");
        assert_eq!(
            error,
            RecordError::VersionUnknown {
                record: "sample",
                version: 3,
                newest: 2
            }
        );
        bytes[0] = 0;
        assert!(decode_record::<Sample>(&bytes).is_err());
        assert!(matches!(
            decode_record::<Sample>(&[]),
            Err(RecordError::Empty { .. })
        ));
    }

    #[test]
    fn an_older_version_is_read_and_trailing_bytes_are_not() {
        let mut old = vec![1];
        minicbor::encode("b", &mut old).expect("a Vec");
        assert_eq!(
            decode_record::<Sample>(&old),
            Ok(Sample {
                name: "b".into(),
                count: None
            })
        );
        let mut bytes = encode_record(&Sample {
            name: "a".into(),
            count: None,
        });
        bytes.push(0);
        assert!(matches!(
            decode_record::<Sample>(&bytes),
            Err(RecordError::Malformed { .. })
        ));
    }

    proptest! {
        #[test]
        fn decode_after_encode_is_identity(name in ".{0,40}", count: Option<u64>) {
            let sample = Sample { name, count };
            prop_assert_eq!(decode_record(&encode_record(&sample)), Ok(sample));
        }

        #[test]
        fn hostile_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode_record::<Sample>(&bytes);
        }
    }
}
