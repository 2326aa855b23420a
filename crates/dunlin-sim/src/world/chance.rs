//! All chance of a universe comes from its seed, by one generator per concern, so that a change in
//! one does not shuffle the others.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// A generator.
#[derive(Debug)]
pub(crate) struct Chance(ChaCha8Rng);

impl Chance {
    /// The generator of `concern` in the universe of `seed`.
    pub(crate) fn of(seed: u64, concern: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        bytes[8..16].copy_from_slice(&concern.to_le_bytes());
        Self(ChaCha8Rng::from_seed(bytes))
    }

    /// A seed for a machine.
    pub(crate) fn seed(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// At least 0, below 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Whether something of this probability happens.
    pub(crate) fn happens(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Below `end`, which is not zero.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.0.next_u64() % end as u64) as usize
    }

    /// Evenly between the two.
    pub(crate) fn between(&mut self, from: Duration, to: Duration) -> Duration {
        from + to.saturating_sub(from).mul_f64(self.unit())
    }

    /// A time until something that happens every `mean`, on average.
    pub(crate) fn every(&mut self, mean: Duration) -> Duration {
        let stretch = -(1.0 - self.unit()).ln();
        mean.mul_f64(stretch.min(20.0)) + Duration::from_millis(1)
    }
}
