//! How full what waits for a shard is: the Server refuses by it (`dunlin-server/load.rs`).
//!
//! Three things wait: datagrams in the kernel's buffers, what other tasks and shards have handed in,
//! and answers for the disk. The fullest counts. It is looked at a hundred times a second at most, at the
//! end of a turn, so that nothing is measured per datagram.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dunlin_net::bearer::udp::UdpBearer;
use dunlin_transport::{Now, Port};

/// Ten samples make a round of the load.
const SAMPLE_EVERY: Duration = Duration::from_millis(10);

/// A commit that takes this long is as bad as a buffer that is full: Clients wait for their answer and
/// send again after two to three seconds (ACK_TIMEOUT, RFC 7252 §4.8), which doubles the work.
const COMMIT_TOO_LATE: Duration = Duration::from_millis(1_500);

/// The upper bounds of the buckets of commit latency, in microseconds.
pub(crate) const COMMIT_BUCKETS: [u64; 10] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 2_000_000,
];

/// How long commits take, from their hand-over to the committer to the sync.
#[derive(Debug, Default)]
pub(crate) struct CommitTimes {
    /// Not cumulative; the last is for what is beyond all bounds.
    buckets: [AtomicU64; COMMIT_BUCKETS.len() + 1],
    microseconds: AtomicU64,
}

impl CommitTimes {
    fn record(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = COMMIT_BUCKETS.partition_point(|bound| *bound < took);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.microseconds.fetch_add(took, Ordering::Relaxed);
    }

    /// Adds these to sums of several shards: a count for each bucket, and the time of all.
    pub(crate) fn add_to(&self, counts: &mut [u64; COMMIT_BUCKETS.len() + 1], time: &mut Duration) {
        for (sum, bucket) in counts.iter_mut().zip(&self.buckets) {
            *sum += bucket.load(Ordering::Relaxed);
        }
        *time += Duration::from_micros(self.microseconds.load(Ordering::Relaxed));
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    next: Duration,
    /// The last number of each batch that is on its way to the disk, and since when.
    under_way: VecDeque<(u64, Duration)>,
    /// Datagrams that the kernel had dropped by the last sample.
    overflowed: u64,
}

impl Pressure {
    /// A batch was handed to the committer.
    pub(super) fn submitted(&mut self, now: Duration, last: u64) {
        self.under_way.push_back((last, now));
    }

    /// All up to this number is durable.
    pub(super) fn durable(&mut self, now: Duration, durable: u64, times: &CommitTimes) {
        while let Some((last, since)) = self.under_way.front()
            && *last <= durable
        {
            times.record(now.saturating_sub(*since));
            self.under_way.pop_front();
        }
    }

    /// Whether it is time to look.
    pub(super) fn is_due(&mut self, now: Now) -> bool {
        let is_due = self.next <= now.instant;
        if is_due {
            self.next = now.instant + SAMPLE_EVERY;
        }
        is_due
    }

    /// How full it is, in thousandths, and how many datagrams the kernel has dropped since the last time.
    pub(super) fn look(
        &mut self,
        now: Now,
        bearers: &[(Port, UdpBearer)],
        inbox: (usize, usize),
    ) -> (u32, u64) {
        let buffers = bearers.iter().filter_map(|(_, bearer)| bearer.fullness());
        let buffers = buffers.max().unwrap_or(0);
        let (waiting, room) = inbox;
        let inbox = waiting as u64 * 1_000 / room.max(1) as u64;
        let late = self.under_way.front().map_or(0, |(_, since)| {
            let late = now.instant.saturating_sub(*since).as_millis();
            late as u64 * 1_000 / COMMIT_TOO_LATE.as_millis() as u64
        });
        let fullest = u64::from(buffers).max(inbox).max(late);
        let dropped = bearers
            .iter()
            .map(|(_, bearer)| bearer.statistics().overflowed);
        let dropped = dropped.sum();
        let lost = dropped - self.overflowed.min(dropped);
        self.overflowed = dropped;
        (u32::try_from(fullest).unwrap_or(u32::MAX), lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Now {
        Now {
            instant: Duration::from_millis(milliseconds),
            wall: dunlin_transport::WallTime(milliseconds),
        }
    }

    #[test]
    fn a_commit_that_does_not_come_is_pressure_and_one_that_came_is_a_time() {
        let mut pressure = Pressure::default();
        let times = CommitTimes::default();
        assert_eq!(pressure.look(at(0), &[], (0, 1)), (0, 0));
        pressure.submitted(at(100).instant, 7);
        pressure.submitted(at(104).instant, 9);
        assert_eq!(pressure.look(at(700), &[], (0, 1)), (400, 0));
        pressure.durable(at(705).instant, 8, &times);
        assert_eq!(pressure.look(at(854), &[], (0, 1)), (500, 0));
        pressure.durable(at(905).instant, 9, &times);
        assert_eq!(pressure.look(at(5_000), &[], (0, 1)), (0, 0));
        let (mut counts, mut time) = ([0; COMMIT_BUCKETS.len() + 1], Duration::ZERO);
        times.add_to(&mut counts, &mut time);
        assert_eq!((counts[9], time), (2, Duration::from_millis(605 + 801)));
    }

    #[test]
    fn the_fullest_counts_and_nobody_looks_too_often() {
        let mut pressure = Pressure::default();
        assert_eq!(pressure.look(at(0), &[], (1_024, 4_096)), (250, 0));
        assert!(pressure.is_due(at(0)));
        assert!(!pressure.is_due(at(9)));
        assert!(pressure.is_due(at(10)));
    }
}
