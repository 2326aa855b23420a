//! The seeded universe, and the fleet.

mod check;
pub mod demo;
mod fault;
pub mod fleet;
mod network;
pub mod world;
