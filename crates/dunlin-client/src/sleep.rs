//! Queue mode as the Client lives it (TS 1.0 §8.3): it listens for a while after it has sent
//! something, then sleeps until it has something to say.

use core::time::Duration;

use dunlin_transport::Instant;

use crate::event::Event;

/// Whether the Client listens.
#[derive(Clone, Debug)]
pub(crate) struct Sleep {
    window: Duration,
    /// Until when it listens; `None`: without end, as a Client without queue mode does.
    until: Option<Instant>,
    asleep: bool,
    last_sent: Instant,
}

impl Sleep {
    pub(crate) fn new(window: Duration) -> Self {
        Self {
            window,
            until: None,
            asleep: false,
            last_sent: Instant::ZERO,
        }
    }

    pub(crate) fn is_asleep(&self) -> bool {
        self.asleep
    }

    /// Something is sent: the window begins anew.
    pub(crate) fn sent(&mut self, now: Instant) -> Option<Event> {
        self.last_sent = now;
        core::mem::take(&mut self.asleep).then_some(Event::Awake)
    }

    /// After every input: whether to go to sleep now.
    pub(crate) fn settle(&mut self, now: Instant, queued: bool, busy: bool) -> Option<Event> {
        if self.asleep {
            return None;
        }
        self.until = (queued && !busy).then(|| self.last_sent + self.window);
        self.asleep = self.until.is_some_and(|until| until <= now);
        self.asleep.then_some(Event::Asleep)
    }

    /// When it will sleep.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.until.filter(|_| !self.asleep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(seconds: u64) -> Instant {
        Duration::from_secs(seconds)
    }

    #[test]
    fn ts_8_3_it_listens_for_the_window_after_the_last_message() {
        let mut sleep = Sleep::new(second(93));
        sleep.sent(second(10));
        assert_eq!(sleep.settle(second(10), true, false), None);
        assert_eq!(sleep.next(), Some(second(103)));
        assert_eq!(sleep.settle(second(102), true, false), None);
        assert_eq!(
            sleep.settle(second(103), true, true),
            None,
            "an answer is awaited"
        );
        assert_eq!(sleep.settle(second(103), true, false), Some(Event::Asleep));
        assert!(sleep.is_asleep());
        assert_eq!(sleep.sent(second(200)), Some(Event::Awake));
        assert!(!sleep.is_asleep());
    }

    #[test]
    fn without_queue_mode_it_never_sleeps() {
        let mut sleep = Sleep::new(second(93));
        sleep.sent(second(0));
        assert_eq!(sleep.settle(second(100_000), false, false), None);
        assert_eq!(sleep.next(), None);
    }
}
