//! How the values of sensors move: a function of the Client and of how often it has notified.
//!
//! Nothing is stored per Client, and the n-th notification carries the same value however often it
//! is sent, so that what a server remembers tells which notification it was.

use std::f64::consts::TAU;

use serde::Deserialize;

/// How a value moves from one notification to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Moves {
    /// The n-th notification carries n/4, never the same twice; `low` and `high` do not matter.
    #[default]
    Count,
    /// It stays at `low`.
    Still,
    /// A sine between `low` and `high`, each Client with a phase of its own.
    Wave,
    /// Between `low` and `high` with no memory of before.
    Random,
    /// Between `low` and `high`, each value near the one before.
    Drift,
}

/// The values of the sensors of one object.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Values {
    /// How they move.
    pub moves: Moves,
    /// The lowest.
    pub low: f64,
    /// The highest.
    pub high: f64,
    /// After so many notifications a wave begins anew, and a drift has turned elsewhere.
    pub period: u32,
}

impl Default for Values {
    fn default() -> Self {
        Values {
            moves: Moves::Count,
            low: 0.0,
            high: 100.0,
            period: 120,
        }
    }
}

impl Values {
    /// Whether the numbers make sense.
    pub(crate) fn are_valid(&self) -> bool {
        self.low.is_finite() && self.high.is_finite() && self.low <= self.high && self.period > 0
    }

    /// What the n-th notification of a Client carries. Values between `low` and `high` have two
    /// decimals, as a sensor's have.
    pub(crate) fn at(&self, client: u32, notification: u32) -> f32 {
        let part = match self.moves {
            // 24 bits of mantissa: beyond 2^24 steps, values would no longer be exact.
            Moves::Count => return (notification & 0x00ff_ffff) as f32 * 0.25,
            Moves::Still => 0.0,
            Moves::Wave => {
                let turns = f64::from(notification % self.period) / f64::from(self.period);
                (TAU * (turns + chance(client, 0))).sin() / 2.0 + 0.5
            }
            Moves::Random => chance(client, notification),
            Moves::Drift => {
                // From one point met by chance to the next, a period apart.
                let (knot, step) = (notification / self.period, notification % self.period);
                let way = f64::from(step) / f64::from(self.period);
                let (from, to) = (chance(client, knot), chance(client, knot + 1));
                from + (to - from) * way
            }
        };
        let value = self.low + (self.high - self.low) * part;
        ((value * 100.0).round() / 100.0) as f32
    }
}

/// 0 to less than 1, by chance, and the same for the same numbers.
fn chance(client: u32, number: u32) -> f64 {
    // The finaliser of SplitMix64: every bit of the input moves every bit of the output.
    let mut bits =
        (u64::from(client) << 32 | u64::from(number)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits ^ bits >> 31) as f64 / 2f64.powi(64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(moves: Moves) -> Values {
        Values {
            moves,
            low: -5.0,
            high: 30.0,
            period: 100,
        }
    }

    #[test]
    fn all_stay_between_low_and_high_and_are_the_same_when_asked_again() {
        for moves in [Moves::Still, Moves::Wave, Moves::Random, Moves::Drift] {
            let values = values(moves);
            for n in 0..1_000 {
                let value = values.at(7, n);
                assert!((-5.0..=30.0).contains(&value), "{moves:?} {n}: {value}");
                assert_eq!(value, values.at(7, n));
            }
        }
    }

    #[test]
    fn each_moves_in_its_own_way() {
        assert_eq!(values(Moves::Count).at(7, 10), 2.5);
        assert_eq!(values(Moves::Still).at(7, 10), -5.0);
        let span = |moves: Moves, over: u32| {
            let all = (0..over).map(|n| values(moves).at(7, n));
            all.clone().fold(f32::MIN, f32::max) - all.fold(f32::MAX, f32::min)
        };
        assert!(span(Moves::Wave, 100) > 34.0);
        assert!(span(Moves::Random, 100) > 30.0);
        assert!(span(Moves::Drift, 10_000) > 25.0);
        // Neighbours are near in a wave and in a drift; Clients differ.
        for n in 0..500 {
            for (moves, most) in [(Moves::Wave, 1.2), (Moves::Drift, 0.4)] {
                let step = (values(moves).at(7, n) - values(moves).at(7, n + 1)).abs();
                assert!(step < most, "{moves:?} {n}: {step}");
            }
        }
        assert_ne!(values(Moves::Wave).at(7, 3), values(Moves::Wave).at(8, 3));
    }
}
