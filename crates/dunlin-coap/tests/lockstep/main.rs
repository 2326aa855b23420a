//! Scripts of raw messages: what the machine does to the byte and the millisecond, and what it does when the
//! peer is not polite.

#[path = "../support/mod.rs"]
mod support;

mod blockwise;
mod duplicates;
mod hurry;
mod malformed;
mod observing;
mod requests;
mod responses;
