//! The only `now()` of dunlin.
//!
//! A driver reads the clock once per wake-up and hands the reading to its machines, so that all
//! that happens in one turn happens at one time. Protocol timers use [`instant`], which never goes
//! back; dates and certificates use [`wall_ms`], which an administrator or NTP may move.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dunlin_transport::{Now, WallTime};

/// The origin of [`instant`], the same for all threads of the process.
static ORIGIN: OnceLock<Instant> = OnceLock::new();

/// Monotonic time since an origin that is fixed at the first call in this process.
///
/// All shards, the client's loop and the fleet share the origin, so instants may be compared across
/// threads, and never across processes or restarts.
pub fn instant() -> Duration {
    ORIGIN.get_or_init(Instant::now).elapsed()
}

/// Wall time in milliseconds since 1970-01-01 UTC; 0 when the clock stands before that.
pub fn wall_ms() -> u64 {
    // A device without a battery-backed clock starts in 1970, and a wrong one may stand before it:
    // zero is the honest lower bound, and no reason to stop.
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Both clocks at once: what a machine is told with each input.
pub fn now() -> Now {
    Now {
        instant: instant(),
        wall: WallTime(wall_ms()),
    }
}

/// Sleeps until an instant of ours; for ever without one. Must be called inside a tokio runtime.
pub async fn sleep_until(wake: Option<Duration>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(at(wake).into()).await,
        None => std::future::pending().await,
    }
}

/// The moment of `std` that stands for an instant of ours: what a runtime's timer wants.
///
/// An instant too far away to be represented becomes one that lies a year ahead.
pub fn at(instant: Duration) -> Instant {
    /// Long enough that nobody waits for it, and short enough for every platform's clock.
    const FAR: Duration = Duration::from_secs(365 * 86_400);
    let origin = *ORIGIN.get_or_init(Instant::now);
    origin
        .checked_add(instant)
        .unwrap_or_else(|| Instant::now() + FAR)
}

/// CPU time that the calling thread has used.
#[cfg(target_os = "linux")]
pub fn thread_cpu() -> Duration {
    crate::kernel::cpu_time(crate::kernel::CpuClock::Thread)
}

/// CPU time that the whole process has used, all threads together.
#[cfg(target_os = "linux")]
pub fn process_cpu() -> Duration {
    crate::kernel::cpu_time(crate::kernel::CpuClock::Process)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_never_go_back_and_share_an_origin() {
        let before = instant();
        let elsewhere = std::thread::spawn(instant)
            .join()
            .expect("the thread only reads a clock");
        let after = instant();
        assert!(before <= elsewhere && elsewhere <= after);
    }

    #[tokio::test]
    async fn a_sleep_ends_not_before_its_instant() {
        let wake = now().instant + Duration::from_millis(2);
        sleep_until(Some(wake)).await;
        assert!(instant() >= wake);
    }

    #[test]
    fn an_instant_becomes_a_moment_of_std_and_back() {
        let now = instant();
        let origin = at(Duration::ZERO);
        assert_eq!(at(now).duration_since(origin), now);
        assert!(at(Duration::MAX) > Instant::now());
    }

    #[test]
    fn wall_time_is_later_than_the_writing_of_this_line() {
        assert!(wall_ms() > 1_700_000_000_000);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn cpu_time_grows_with_work_and_the_process_has_used_at_least_as_much() {
        let before = thread_cpu();
        let mut sum = 0u64;
        while thread_cpu() == before {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(process_cpu() >= thread_cpu() - before);
    }
}
