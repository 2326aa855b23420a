//! How facts and events look as bytes.
//!
//! A record is one version byte and one CBOR item (RFC 8949). Structures are arrays of their fields
//! in order; a field that a later version adds comes at the end, and a reader passes over what it
//! does not know and takes a default for what is not there. So a program reads what an older one
//! wrote, and a newer version byte is refused by name.

mod bootstrap;
pub(crate) mod event;
mod lwm2m;
mod server;

use std::sync::Arc;

use minicbor::data::Type;
use minicbor::decode::Error;
use minicbor::{Decoder, Encoder};

/// The version that is written.
const VERSION: u8 = 1;

/// Why bytes of the store are no record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Nothing there.
    #[error("an empty record")]
    Empty,
    /// Written by a later version of dunlin.
    #[error("a record of version {version}; this dunlin reads up to {VERSION}: use a newer one")]
    Later {
        /// Which.
        version: u8,
    },
    /// Not what was written.
    #[error("a damaged record: {0}")]
    Damaged(#[from] Error),
}

pub(crate) type Writer = Encoder<Vec<u8>>;
pub(crate) type Reader<'a> = Decoder<'a>;
pub(crate) type Read<T> = Result<T, Error>;

/// Something that is written as one CBOR item.
pub(crate) trait Item: Sized {
    fn write(&self, w: &mut Writer);
    fn read(r: &mut Reader<'_>) -> Read<Self>;
}

/// Room for most records, so that writing one does not make its buffer grow step by step.
const RECORD_BYTES: usize = 256;

/// A record to be written: its version, and nothing yet.
pub(crate) fn begin() -> Writer {
    let mut bytes = Vec::with_capacity(RECORD_BYTES);
    bytes.push(VERSION);
    Encoder::new(bytes)
}

/// The bytes of a record.
pub(crate) fn encode<T: Item>(item: &T) -> Vec<u8> {
    let mut writer = begin();
    item.write(&mut writer);
    writer.into_writer()
}

/// The record in these bytes.
pub(crate) fn decode<T: Item>(bytes: &[u8]) -> Result<T, RecordError> {
    let (version, body) = bytes.split_first().ok_or(RecordError::Empty)?;
    if *version > VERSION {
        return Err(RecordError::Later { version: *version });
    }
    Ok(T::read(&mut Decoder::new(body))?)
}

/// Writes into memory do not fail.
pub(crate) trait Written {
    fn done(self);
}

impl<T> Written for Result<T, minicbor::encode::Error<std::convert::Infallible>> {
    fn done(self) {
        self.expect("a vector takes everything");
    }
}

/// The fields of a structure while it is read: ends where the array ends, so that a shorter one
/// gives defaults and a longer one is passed over.
pub(crate) struct Fields<'a, 'b> {
    reader: &'a mut Reader<'b>,
    left: u64,
}

impl<'a, 'b> Fields<'a, 'b> {
    pub(crate) fn begin(reader: &'a mut Reader<'b>) -> Read<Self> {
        let left = length(reader)?;
        Ok(Self { reader, left })
    }

    pub(crate) fn next<T: Item>(&mut self) -> Read<T> {
        if self.left == 0 {
            return Err(Error::message("a field is missing"));
        }
        self.left -= 1;
        T::read(self.reader)
    }

    pub(crate) fn end(self) -> Read<()> {
        for _ in 0..self.left {
            self.reader.skip()?;
        }
        Ok(())
    }
}

/// The length of an array; we write none without.
pub(crate) fn length(reader: &mut Reader<'_>) -> Read<u64> {
    reader
        .array()?
        .ok_or_else(|| Error::message("an array of unknown length"))
}

/// A structure: an array of its fields in this order.
macro_rules! structure {
    ($type:path { $($field:ident),+ $(,)? }) => {
        impl $crate::record::Item for $type {
            fn write(&self, w: &mut $crate::record::Writer) {
                use $crate::record::Written as _;
                w.array([$(stringify!($field)),+].len() as u64).done();
                $($crate::record::Item::write(&self.$field, w);)+
            }

            fn read(r: &mut $crate::record::Reader<'_>) -> $crate::record::Read<Self> {
                let mut fields = $crate::record::Fields::begin(r)?;
                let read = Self { $($field: fields.next()?),+ };
                fields.end()?;
                Ok(read)
            }
        }
    };
}

/// A closed set without contents: a number each, never reused.
macro_rules! numbered {
    ($type:path { $($number:literal => $variant:ident),+ $(,)? }) => {
        impl $crate::record::Item for $type {
            fn write(&self, w: &mut $crate::record::Writer) {
                use $crate::record::Written as _;
                w.u8(match self { $(Self::$variant => $number),+ }).done();
            }

            fn read(r: &mut $crate::record::Reader<'_>) -> $crate::record::Read<Self> {
                match r.u8()? {
                    $($number => Ok(Self::$variant),)+
                    _ => Err(minicbor::decode::Error::message(concat!("no ", stringify!($type)))),
                }
            }
        }
    };
}

pub(crate) use {numbered, structure};

macro_rules! plain {
    ($($type:ty: $method:ident),+ $(,)?) => {$(
        impl Item for $type {
            fn write(&self, w: &mut Writer) {
                w.$method(*self).done();
            }

            fn read(r: &mut Reader<'_>) -> Read<Self> {
                r.$method()
            }
        }
    )+};
}

plain!(u8: u8, u16: u16, u32: u32, u64: u64, i64: i64, f64: f64, bool: bool);

impl Item for String {
    fn write(&self, w: &mut Writer) {
        w.str(self).done();
    }

    fn read(r: &mut Reader<'_>) -> Read<Self> {
        r.str().map(str::to_owned)
    }
}

/// Bytes, as against a list of numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Item for Bytes {
    fn write(&self, w: &mut Writer) {
        w.bytes(&self.0).done();
    }

    fn read(r: &mut Reader<'_>) -> Read<Self> {
        r.bytes().map(|bytes| Self(bytes.to_vec()))
    }
}

impl<T: Item> Item for Option<T> {
    fn write(&self, w: &mut Writer) {
        match self {
            Some(item) => item.write(w),
            None => w.null().done(),
        }
    }

    fn read(r: &mut Reader<'_>) -> Read<Self> {
        if r.datatype()? == Type::Null {
            r.null()?;
            return Ok(None);
        }
        T::read(r).map(Some)
    }
}

impl<T: Item> Item for Vec<T> {
    fn write(&self, w: &mut Writer) {
        w.array(self.len() as u64).done();
        self.iter().for_each(|item| item.write(w));
    }

    fn read(r: &mut Reader<'_>) -> Read<Self> {
        // The length is not trusted with memory: a damaged one ends when the bytes do.
        let length = length(r)?;
        (0..length).map(|_| T::read(r)).collect()
    }
}

impl<T: Item> Item for Arc<T> {
    fn write(&self, w: &mut Writer) {
        T::write(self, w);
    }

    fn read(r: &mut Reader<'_>) -> Read<Self> {
        T::read(r).map(Arc::new)
    }
}

impl<T: Item> Item for Box<T> {
    fn write(&self, w: &mut Writer) {
        T::write(self, w);
    }

    fn read(r: &mut Reader<'_>) -> Read<Self> {
        T::read(r).map(Box::new)
    }
}

impl<A: Item, B: Item> Item for (A, B) {
    fn write(&self, w: &mut Writer) {
        w.array(2).done();
        self.0.write(w);
        self.1.write(w);
    }

    fn read(r: &mut Reader<'_>) -> Read<Self> {
        let mut fields = Fields::begin(r)?;
        let pair = (fields.next()?, fields.next()?);
        fields.end()?;
        Ok(pair)
    }
}

impl Item for std::time::Duration {
    fn write(&self, w: &mut Writer) {
        w.u64(u64::try_from(self.as_millis()).unwrap_or(u64::MAX))
            .done();
    }

    fn read(r: &mut Reader<'_>) -> Read<Self> {
        r.u64().map(Self::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Old {
        one: u8,
    }
    structure!(Old { one });

    #[derive(Debug, PartialEq)]
    struct New {
        one: u8,
        two: Vec<Option<String>>,
    }
    structure!(New { one, two });

    #[test]
    fn a_record_of_a_later_layout_is_read_as_far_as_it_is_known() {
        let new = New {
            one: 7,
            two: vec![None, Some("x".into())],
        };
        let bytes = encode(&new);
        assert_eq!(decode::<New>(&bytes).unwrap(), new);
        assert_eq!(decode::<Old>(&bytes).unwrap(), Old { one: 7 });
    }

    #[test]
    fn what_is_no_record_is_refused_by_name() {
        assert!(matches!(decode::<Old>(&[]), Err(RecordError::Empty)));
        assert!(matches!(
            decode::<Old>(&[9, 0x81, 1]),
            Err(RecordError::Later { version: 9 })
        ));
        assert!(matches!(
            decode::<Old>(&[1, 0xff]),
            Err(RecordError::Damaged(_))
        ));
        let whole = encode(&New {
            one: 7,
            two: vec![Some("text".into())],
        });
        for end in 1..whole.len() {
            assert!(decode::<New>(&whole[..end]).is_err(), "{end}");
        }
    }
}
