//! The seeded universe, and the fleet.

pub mod fleet;
