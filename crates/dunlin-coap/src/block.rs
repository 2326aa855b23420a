//! Block-wise transfers (RFC 7959): the value of the two options, and each side of a transfer as a value
//! that says what to do next. [`crate::Endpoint`] does it.

mod assembly;
mod download;
mod upload;
mod value;

pub(crate) use assembly::{Assembly, Piece, Refusal};
pub(crate) use download::{Download, Fetched, response_of};
pub(crate) use upload::{Sent, Upload};
pub use value::{BlockSize, BlockValue};
