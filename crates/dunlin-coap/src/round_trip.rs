//! How long a peer takes to acknowledge, measured while a body goes block by block, so that a block
//! that is lost is sent again as soon as it is clear that it was.
//!
//! RFC 7252 §4.8.1 lets ACK_TIMEOUT be smaller where something keeps congestion in check. Here that is
//! the estimate of RFC 6298 §2 with Karn's rule (§3), under these bounds:
//!
//! * only blocks of a transfer are measured and hurried: a first message knows nothing yet;
//! * never below [`crate::Profile::hurry_min`], never above what ACK_TIMEOUT gives;
//! * after a loss the next wait stays stretched until an acknowledgement came without a repetition;
//! * each wait is three times the one before, and the last one is the standard's, so that a peer is
//!   given up no sooner than after four fifths of MAX_TRANSMIT_WAIT;
//! * what was measured [`FRESH`] ago is not used any more.

use core::num::NonZeroU32;
use core::time::Duration;

use hashbrown::HashMap;

use crate::id::Instant;
use crate::peers::Slot;

/// A way may be another one after this long (what CoCoA lets pass before it ages a small estimate).
const FRESH: Duration = Duration::from_secs(30);

/// How much longer each wait of a hurried message is than the one before: more than the standard's
/// two, because it begins lower.
pub(crate) const BACK_OFF: NonZeroU32 = NonZeroU32::new(3).unwrap();

/// Peers that are measured at a time. Transfers to more of them use the standard's wait.
const PEERS_MAX: usize = 100_000;

/// What was measured of one peer.
#[derive(Clone, Copy, Debug)]
struct RoundTrip {
    /// SRTT.
    smoothed: Duration,
    /// RTTVAR.
    variation: Duration,
    measured_at: Instant,
    /// The last message had to be repeated.
    strained: bool,
}

impl RoundTrip {
    fn first(now: Instant, sample: Duration) -> Self {
        Self {
            smoothed: sample,
            variation: sample / 2,
            measured_at: now,
            strained: false,
        }
    }

    fn add(&mut self, now: Instant, sample: Duration) {
        let off = self.smoothed.abs_diff(sample);
        self.variation = self.variation * 3 / 4 + off / 4;
        self.smoothed = self.smoothed * 7 / 8 + sample / 8;
        self.measured_at = now;
        self.strained = false;
    }

    /// RTO.
    fn wait(&self, least: Duration) -> Duration {
        let wait = (self.smoothed + self.variation * 4).max(least);
        match self.strained {
            true => wait * BACK_OFF.get(),
            false => wait,
        }
    }
}

/// What was measured, by the record of the peer.
#[derive(Debug, Default)]
pub(crate) struct RoundTrips(HashMap<Slot, RoundTrip>);

impl RoundTrips {
    /// A block was acknowledged after this long.
    pub(crate) fn add(&mut self, now: Instant, slot: Slot, sample: Duration) {
        if let Some(known) = self.0.get_mut(&slot) {
            known.add(now, sample);
        } else if self.0.len() < PEERS_MAX {
            self.0.insert(slot, RoundTrip::first(now, sample));
        }
    }

    /// A block had to be repeated: how long its acknowledgement took says nothing, as it may be that of
    /// either copy.
    pub(crate) fn strain(&mut self, slot: Slot) {
        if let Some(known) = self.0.get_mut(&slot) {
            known.strained = true;
        }
    }

    /// How long to wait for the acknowledgement of a block, if that is known.
    pub(crate) fn wait(&self, now: Instant, slot: Slot, least: Duration) -> Option<Duration> {
        let known = self.0.get(&slot)?;
        let fresh = now.saturating_sub(known.measured_at) < FRESH;
        fresh.then(|| known.wait(least))
    }

    /// The record is gone, and its place will be another peer's.
    pub(crate) fn remove(&mut self, slot: Slot) {
        if !self.0.is_empty() {
            self.0.remove(&slot);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const LEAST: Duration = Duration::from_millis(500);

    #[test]
    fn rfc6298_2_the_wait_follows_the_mean_and_its_spread() {
        let mut trips = RoundTrips::default();
        let now = Duration::from_secs(5);
        assert_eq!(trips.wait(now, 1, LEAST), None);
        trips.add(now, 1, 400 * MS);
        // R + 4 * R/2, and with a second one alike 3/4 of that spread.
        assert_eq!(trips.wait(now, 1, LEAST), Some(1200 * MS));
        trips.add(now, 1, 400 * MS);
        assert_eq!(trips.wait(now, 1, LEAST), Some(1000 * MS));
        assert_eq!(trips.wait(now, 2, LEAST), None, "each peer has its own");
        for _ in 0..100 {
            trips.add(now, 1, MS);
        }
        assert_eq!(trips.wait(now, 1, LEAST), Some(LEAST));
    }

    #[test]
    fn rfc6298_3_after_a_loss_the_wait_is_longer_until_something_was_measured() {
        let mut trips = RoundTrips::default();
        let now = Duration::from_secs(5);
        trips.add(now, 1, MS);
        trips.strain(1);
        assert_eq!(trips.wait(now, 1, LEAST), Some(1500 * MS));
        trips.add(now, 1, MS);
        assert_eq!(trips.wait(now, 1, LEAST), Some(LEAST));
    }

    #[test]
    fn what_is_old_or_of_a_peer_that_is_gone_is_not_used() {
        let mut trips = RoundTrips::default();
        trips.add(Duration::ZERO, 1, MS);
        assert!(trips.wait(FRESH - MS, 1, LEAST).is_some());
        assert_eq!(trips.wait(FRESH, 1, LEAST), None);
        trips.remove(1);
        assert!(trips.is_empty());
    }
}
