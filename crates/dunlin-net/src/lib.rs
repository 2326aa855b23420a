//! Bearers and drivers: sockets, clock and entropy.
//!
//! The floors below are machines that are handed time, chance and bytes. This crate is where those
//! three come from, and nothing else: it knows no rule of CoAP or LwM2M.
//!
//! - [`client`]: the loop around a Client machine.
//! - [`clock`]: the only `now()`.
//! - [`seed`]: the only entropy of the operating system.
//! - [`socket`]: how a UDP socket is opened, and what the kernel granted of what we asked.
//! - [`bearer`]: datagrams in batches.
//! - [`way`]: from which address datagrams leave, and when that changes.
//! - [`yardstick`]: what this machine can do in bare UDP, the limit that figures stand beside.

pub mod bearer;
pub mod client;
pub mod clock;
#[cfg(target_os = "linux")]
mod kernel;
pub mod seed;
pub mod socket;
pub mod way;
#[cfg(target_os = "linux")]
pub mod yardstick;
