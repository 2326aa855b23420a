//! The two files where an operation becomes CoAP and back (TS 1.0 §8.2), and nowhere else.

pub(crate) mod request;
pub(crate) mod response;
