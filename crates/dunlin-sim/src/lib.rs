//! The seeded universe, and the fleet.
