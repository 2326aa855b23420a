//! Bearers: what carries bytes between us and a peer. One file each.
//!
//! | bearer | file | unit |
//! | --- | --- | --- |
//! | UDP | [`udp`] | datagrams, in batches ([`batch`]) |

pub mod batch;
pub mod udp;
