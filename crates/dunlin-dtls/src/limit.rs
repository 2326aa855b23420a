//! How many handshakes one host may start: token buckets in a table of fixed size.
//!
//! A host has the bucket that a keyed hash gives it. Two hosts may share one, which costs them
//! something only while one of them floods; in return no flood of addresses can grow the table.

use core::hash::BuildHasher;

use alloc::boxed::Box;
use alloc::vec;

use foldhash::quality::FixedState;

use crate::Instant;
use crate::address::Address;

/// Buckets; 64 KiB in all.
const BUCKETS: usize = 4096;

#[derive(Clone, Copy)]
struct Bucket {
    /// Milliseconds of the machine's clock when it was filled up last.
    filled_ms: u64,
    /// Thousandths of a handshake.
    tokens: u64,
}

/// See the module.
pub(crate) struct HostLimit {
    buckets: Box<[Bucket]>,
    hash: FixedState,
    burst: u64,
    per_second: u64,
}

impl HostLimit {
    pub(crate) fn new(burst: u32, per_second: u32, hash: FixedState) -> HostLimit {
        let full = u64::from(burst) * 1000;
        HostLimit {
            buckets: vec![
                Bucket {
                    filled_ms: 0,
                    tokens: full
                };
                BUCKETS
            ]
            .into_boxed_slice(),
            hash,
            burst: full,
            per_second: per_second.into(),
        }
    }

    /// Changes both limits; what hosts have used up stays used up.
    pub(crate) fn set(&mut self, burst: u32, per_second: u32) {
        self.burst = u64::from(burst) * 1000;
        self.per_second = per_second.into();
    }

    /// Takes one handshake from the host's budget; false if there is none left.
    pub(crate) fn allow(&mut self, now: Instant, from: Address) -> bool {
        let at = self.hash.hash_one(from.neighbourhood()) as usize % BUCKETS;
        let bucket = &mut self.buckets[at];
        let now_ms = now.as_millis() as u64;
        // A thousandth of a handshake per millisecond is one per second.
        let grown = now_ms
            .saturating_sub(bucket.filled_ms)
            .saturating_mul(self.per_second);
        bucket.tokens = bucket.tokens.saturating_add(grown).min(self.burst);
        bucket.filled_ms = now_ms;
        match bucket.tokens.checked_sub(1000) {
            Some(tokens) => {
                bucket.tokens = tokens;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn a_host_has_a_burst_and_then_a_rate_whatever_the_port() {
        let mut limit = HostLimit::new(3, 2, FixedState::with_seed(1));
        let from = |port| Address::other([9; 16], port);
        let at = Duration::from_secs(100);
        assert_eq!(
            (0..10).filter(|port| limit.allow(at, from(*port))).count(),
            3
        );
        let later = at + Duration::from_secs(1);
        assert_eq!(
            (0..10)
                .filter(|port| limit.allow(later, from(*port)))
                .count(),
            2
        );
    }

    #[test]
    fn another_host_has_its_own() {
        let mut limit = HostLimit::new(1, 0, FixedState::with_seed(1));
        assert!(limit.allow(Duration::ZERO, Address::other([1; 16], 0)));
        assert!(!limit.allow(Duration::ZERO, Address::other([1; 16], 0)));
        assert!(limit.allow(Duration::ZERO, Address::other([2; 16], 0)));
    }
}
