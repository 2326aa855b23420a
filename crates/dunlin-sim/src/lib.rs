//! The seeded universe, and the fleet.

pub mod demo;
pub mod fleet;
