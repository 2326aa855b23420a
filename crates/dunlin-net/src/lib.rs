//! Bearers and drivers: sockets, clock and entropy.
