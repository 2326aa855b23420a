//! The time a driver hands in: one reading of both clocks per wake-up.
//!
//! Machines never read a clock. `instant` drives protocol timers and never goes back; `wall` is for
//! what people and other machines read: registration dates, event times, certificates.

use core::time::Duration;

/// Time since an origin that the driver chose; it never goes back.
pub type Instant = Duration;

/// Milliseconds since 1970-01-01T00:00:00Z. It may jump, as clocks of the world do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(pub u64);

impl WallTime {
    /// The time `after` later, saturating.
    #[must_use]
    pub fn plus(self, after: Duration) -> Self {
        let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(after_ms))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Both clocks, read once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For protocol timers.
    pub instant: Instant,
    /// For dates.
    pub wall: WallTime,
}

impl Now {
    /// Both clocks `after` later: what a simulator does to time.
    #[must_use]
    pub fn plus(self, after: Duration) -> Self {
        Self {
            instant: self.instant.saturating_add(after),
            wall: self.wall.plus(after),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_saturates_at_both_ends() {
        assert_eq!(
            WallTime(u64::MAX).plus(Duration::from_secs(1)),
            WallTime(u64::MAX)
        );
        assert_eq!(WallTime(5).since(WallTime(9)), Duration::ZERO);
        assert_eq!(WallTime(1_500).since(WallTime(500)), Duration::from_secs(1));
    }
}
