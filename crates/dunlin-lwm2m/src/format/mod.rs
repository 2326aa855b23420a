//! Content formats: trees of values to bytes and back, one file per format and the table here
//! (TS 6.4).
//!
//! A format that is added has a file with its [`Format`] and a line in [`FORMATS`]; tests of
//! round trip and hostile bytes run over the table.
//!
//! Decoding needs types, because bytes have none: they come from the definitions ([`Types`]).
//! What is not defined is kept as it came. Real devices deviate, so decoding is tolerant: one
//! value that makes no sense does not spoil the others, and everything tolerated is listed in
//! [`Decoded::deviations`], where a strict receiver (a Client that is written to) can refuse it.

mod build;
mod json;
mod json_reader;
mod opaque;
mod text;
mod tlv;

use alloc::vec::Vec;

use thiserror::Error;

use crate::content_format::ContentFormat;
use crate::deviation::{Deviation, Deviations};
use crate::node::{Node, Timed, Timestamp};
use crate::operation::ResponseCode;
use crate::path::{Level, Path};
use crate::registry::Types;
use crate::value::{Value, ValueType};

/// The longest payload that is decoded: the longest single value that TLV can carry (TS 6.4.3),
/// with its header.
pub const PAYLOAD_BYTES_MAX: usize = 0xff_ffff + 6;

/// More values in one payload are refused. In memory a value takes some 60 bytes, on the wire
/// two, so the number and not the bytes must be bounded; an Object of a thousand instances with
/// sixteen Resources each still fits.
pub const VALUES_MAX: usize = 16_384;

/// One content format.
pub trait Format: Sync {
    /// Its number.
    fn id(&self) -> ContentFormat;

    /// Whether it can carry more than one value, and so any target.
    fn is_structured(&self) -> bool;

    /// Whether it can say when a value was so.
    fn has_times(&self) -> bool {
        false
    }

    /// Appends `node`, which stands at `path`. An instance at the path of its Object is one whose
    /// number the receiver is to choose (Create).
    fn encode(&self, path: Path, node: &Node, out: &mut Vec<u8>) -> Result<(), EncodeError>;

    /// Appends trees of several times at one `path`, the oldest first. A format without time
    /// stamps takes the newest value of each.
    fn encode_history(
        &self,
        path: Path,
        history: &[Timed],
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let newest = build::newest(history).ok_or(EncodeError::Empty)?;
        self.encode(path, &newest, out)
    }

    /// Reads a payload about `path`.
    fn decode(&self, path: Path, payload: &[u8], types: &dyn Types)
    -> Result<Decoded, DecodeError>;
}

/// Every format for values. Link format is not among them: it carries no values
/// ([`crate::link`]).
pub static FORMATS: [&dyn Format; 4] = [&text::Text, &opaque::Opaque, &tlv::Tlv, &json::Json];

/// The format of that number; the old numbers name the same formats.
pub fn format(id: ContentFormat) -> Option<&'static dyn Format> {
    FORMATS
        .into_iter()
        .find(|format| format.id() == id.modern())
}

/// Encodes `node` at `path` in the format of that number.
pub fn encode(id: ContentFormat, path: Path, node: &Node) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::new();
    format(id)
        .ok_or(EncodeError::Unsupported { id })?
        .encode(path, node, &mut out)?;
    Ok(out)
}

/// Decodes a payload about `path` whose format is stated, or not: some Clients forget it, and
/// then it is guessed.
pub fn decode(
    id: Option<ContentFormat>,
    path: Path,
    payload: &[u8],
    types: &dyn Types,
) -> Result<Decoded, DecodeError> {
    let Some(id) = id else {
        let mut decoded = guess(path, payload, types)?;
        decoded.deviations.insert(Deviation::ContentFormatMissing);
        return Ok(decoded);
    };
    let format = format(id).ok_or(DecodeError::Unsupported { id })?;
    let mut decoded = format.decode(path, payload, types)?;
    if id.is_old() {
        decoded.deviations.insert(Deviation::OldContentFormat);
    }
    Ok(decoded)
}

/// What was read from a payload.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The values, the newest of each where the payload has several.
    pub node: Node,
    /// Whether an Object's payload had an instance without number; it stands under 0. In a Create
    /// this leaves the number to the Client (TS 5.4.6).
    pub unnamed_instance: bool,
    /// When the newest value is from, if the payload says.
    pub at: Option<Timestamp>,
    /// All values by time, the oldest first and the newest included; empty if the payload has no
    /// times.
    pub history: Vec<Timed>,
    /// What was tolerated.
    pub deviations: Deviations,
}

impl Decoded {
    fn now(node: Node, deviations: Deviations) -> Self {
        Self {
            node,
            unnamed_instance: false,
            at: None,
            history: Vec::new(),
            deviations,
        }
    }
}

/// Why a tree cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// No such format here.
    #[error("the content format {id} is not supported")]
    Unsupported {
        /// Which was asked for.
        id: ContentFormat,
    },
    /// The tree does not stand at such a path.
    #[error("the values do not fit the path {path}")]
    Shape {
        /// Which.
        path: Path,
    },
    /// The format has no spelling for it.
    #[error("the format {id} cannot express this")]
    NotExpressible {
        /// Which format.
        id: ContentFormat,
    },
    /// Longer than the format can say.
    #[error("a value is too long for its format")]
    TooLong,
    /// Nothing to write.
    #[error("there is nothing to encode")]
    Empty,
}

impl EncodeError {
    /// What a Client answers to a Read that meets this (TS 8.5).
    pub const fn code(&self) -> ResponseCode {
        match self {
            Self::Unsupported { .. } | Self::NotExpressible { .. } => ResponseCode::NotAcceptable,
            Self::Shape { .. } | Self::TooLong | Self::Empty => ResponseCode::InternalServerError,
        }
    }
}

/// Why a payload cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// No such format here.
    #[error("the content format {id} is not supported")]
    Unsupported {
        /// Which it was.
        id: ContentFormat,
    },
    /// The format cannot speak of such a target.
    #[error("the format {id} cannot speak of {path}")]
    Target {
        /// Which format.
        id: ContentFormat,
        /// Which target.
        path: Path,
    },
    /// Not what the format says.
    #[error("at byte {offset}: {what}")]
    Malformed {
        /// Where.
        offset: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// More than [`PAYLOAD_BYTES_MAX`].
    #[error("the payload has {bytes} bytes, {PAYLOAD_BYTES_MAX} are the most")]
    TooLong {
        /// How many.
        bytes: usize,
    },
    /// More than [`VALUES_MAX`].
    #[error("the payload has more than {VALUES_MAX} values")]
    TooMany,
    /// Nothing about the target.
    #[error("the payload has no value for {path}")]
    NoValue {
        /// Which target.
        path: Path,
    },
}

impl DecodeError {
    /// What a Client answers to a Write that meets this (TS 8.5).
    pub const fn code(&self) -> ResponseCode {
        match self {
            Self::Unsupported { .. } | Self::Target { .. } => {
                ResponseCode::UnsupportedContentFormat
            }
            Self::TooLong { .. } => ResponseCode::RequestEntityTooLarge,
            Self::Malformed { .. } | Self::TooMany | Self::NoValue { .. } => {
                ResponseCode::BadRequest
            }
        }
    }
}

/// See [`crate::Value::parse`].
pub(crate) fn value_from_text(text: &str, value_type: ValueType) -> Option<Value> {
    build::from_text(text, value_type, &mut Deviations::default())
}

/// What every decoder does first.
fn check_length(payload: &[u8]) -> Result<(), DecodeError> {
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(DecodeError::TooLong {
            bytes: payload.len(),
        });
    }
    Ok(())
}

/// Reads a payload whose format nobody states: what is perfect TLV is TLV, what begins like JSON
/// is JSON, and for a single value text or, by its type, opaque remains.
fn guess(path: Path, payload: &[u8], types: &dyn Types) -> Result<Decoded, DecodeError> {
    let tlv = tlv::Tlv.decode(path, payload, types);
    if tlv
        .as_ref()
        .is_ok_and(|decoded| decoded.deviations.is_empty())
    {
        return tlv;
    }
    if payload.trim_ascii_start().starts_with(b"{")
        && let Ok(decoded) = json::Json.decode(path, payload, types)
    {
        return Ok(decoded);
    }
    if path.level() != Level::Resource {
        return tlv;
    }
    if build::type_at(path, types) == Some(ValueType::Opaque) {
        return opaque::Opaque.decode(path, payload, types);
    }
    text::Text.decode(path, payload, types)
}

#[cfg(test)]
mod tests;
