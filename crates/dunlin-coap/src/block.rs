//! Block-wise transfers (RFC 7959): the value of the two options, and the transfers themselves.

mod value;

pub use value::{BlockSize, BlockValue};
