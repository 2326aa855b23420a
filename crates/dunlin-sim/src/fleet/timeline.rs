//! A run over time: what happened in each second, for the report and its picture.
//!
//! The driver takes a [`Sample`] a second. A run that lasts longer than [`SAMPLES_MAX`] seconds gets
//! coarser samples instead of more of them, so that a soak of a week costs what an hour does.

use std::time::Duration;

use serde::Serialize;

use super::drive::Progress;

/// More samples than this are merged in pairs: a picture has no more columns, and the report stays
/// readable.
pub const SAMPLES_MAX: usize = 1_200;

/// What happened since the sample before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Sample {
    /// Its end, in seconds since the start of the run.
    pub at_s: f64,
    /// How many Clients had a registration then.
    pub registered: u32,
    /// Registers answered well, per second.
    pub registers_per_s: f64,
    /// Updates answered well, per second.
    pub updates_per_s: f64,
    /// Notifications sent, per second; of Confirmable ones, those acknowledged.
    pub notifications_per_s: f64,
    /// What went wrong, per second.
    pub errors_per_s: f64,
    /// Milliseconds from due to answered, of all kinds together, at the median; 0 if nothing was answered.
    pub latency_p50_ms: f64,
    /// The same at the 99th percentile.
    pub latency_p99_ms: f64,
}

/// The samples of a run.
#[derive(Debug)]
pub(crate) struct Timeline {
    samples: Vec<Sample>,
    every: Duration,
    last: Progress,
}

impl Default for Timeline {
    fn default() -> Self {
        Timeline {
            samples: Vec::new(),
            every: Duration::from_secs(1),
            last: Progress::default(),
        }
    }
}

impl Timeline {
    /// Whether the next sample is to be taken.
    pub(crate) fn is_due(&self, now: Duration) -> bool {
        now >= self.last.elapsed + self.every
    }

    /// Takes a sample; `latency_ms` are the median and the 99th percentile since the one before.
    pub(crate) fn take(&mut self, progress: Progress, latency_ms: (f64, f64)) {
        let last = std::mem::replace(&mut self.last, progress);
        let seconds = progress.elapsed.saturating_sub(last.elapsed).as_secs_f64();
        if seconds <= 0.0 {
            return;
        }
        let per_s = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        self.samples.push(Sample {
            at_s: progress.elapsed.as_secs_f64(),
            registered: progress.registered,
            registers_per_s: per_s(progress.registers, last.registers),
            updates_per_s: per_s(progress.updates, last.updates),
            notifications_per_s: per_s(progress.notifications, last.notifications),
            errors_per_s: per_s(progress.errors, last.errors),
            latency_p50_ms: latency_ms.0,
            latency_p99_ms: latency_ms.1,
        });
        if self.samples.len() > SAMPLES_MAX {
            self.halve();
        }
    }

    pub(crate) fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// Makes one sample of two: rates are averaged, of latencies the worse one stays.
    fn halve(&mut self) {
        self.every *= 2;
        self.samples = self.samples.chunks(2).map(merged).collect();
    }
}

fn merged(pair: &[Sample]) -> Sample {
    let [one, two] = pair else { return pair[0] };
    Sample {
        at_s: two.at_s,
        registered: two.registered,
        registers_per_s: f64::midpoint(one.registers_per_s, two.registers_per_s),
        updates_per_s: f64::midpoint(one.updates_per_s, two.updates_per_s),
        notifications_per_s: f64::midpoint(one.notifications_per_s, two.notifications_per_s),
        errors_per_s: f64::midpoint(one.errors_per_s, two.errors_per_s),
        latency_p50_ms: one.latency_p50_ms.max(two.latency_p50_ms),
        latency_p99_ms: one.latency_p99_ms.max(two.latency_p99_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(second: u64, updates: u64) -> Progress {
        Progress {
            elapsed: Duration::from_secs(second),
            updates,
            ..Progress::default()
        }
    }

    #[test]
    fn a_sample_tells_the_rate_since_the_one_before() {
        let mut timeline = Timeline::default();
        assert!(!timeline.is_due(Duration::from_millis(999)));
        assert!(timeline.is_due(Duration::from_secs(1)));
        timeline.take(progress(1, 100), (1.0, 2.0));
        timeline.take(progress(3, 500), (0.5, 9.0));
        timeline.take(progress(3, 500), (0.5, 9.0));
        let [one, two] = timeline.samples() else {
            panic!("two samples: nothing has passed before the third")
        };
        assert_eq!((one.updates_per_s, one.latency_p99_ms), (100.0, 2.0));
        assert_eq!((two.updates_per_s, two.latency_p99_ms), (200.0, 9.0));
    }

    #[test]
    fn a_long_run_gets_coarser_samples_and_not_more() {
        let mut timeline = Timeline::default();
        for second in 1..=3_000 {
            let now = Duration::from_secs(second);
            if timeline.is_due(now) {
                let worst = if second == 700 { 80.0 } else { 1.0 };
                timeline.take(progress(second, second * 10), (1.0, worst));
            }
        }
        let samples = timeline.samples();
        assert!(samples.len() <= SAMPLES_MAX);
        assert!(samples.len() >= SAMPLES_MAX / 2);
        assert!(
            samples
                .iter()
                .all(|one| (one.updates_per_s - 10.0).abs() < 1e-9)
        );
        assert!(samples.iter().any(|one| one.latency_p99_ms == 80.0));
    }
}
