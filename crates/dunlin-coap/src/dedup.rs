//! The memory of answered messages (RFC 7252 §4.5): for each peer its last two exchanges with their
//! answers, and the Message IDs of those before that must not run twice.
//!
//! A record is kept small, because it lives for EXCHANGE_LIFETIME after every message of every peer.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::time::Duration;

use crate::id::{Barrier, Instant};
use crate::message::MessageId;
use crate::slab::Slab;

/// Answers up to this length stand in the record itself: an acknowledgement of 2.04 with a token of eight
/// bytes has twelve.
const INLINE_MAX: usize = 14;
/// Message IDs before the last two exchanges that stand in the record itself: with an Update every minute,
/// that is all there are within EXCHANGE_LIFETIME.
const OLDER_INLINE: usize = 3;
/// No exchange is remembered longer, whatever its profile says: the small clocks of a record turn in twice
/// this and a little.
pub(crate) const LIFETIME_MAX: Duration = Duration::from_secs(1000);
/// `Recent::at` keeps this many bits of the second; a record is dropped long before they repeat.
const AT_MASK: u16 = 0x7fff;
/// The bit of `Recent::at` that says the exchange must not run again.
const ONCE: u16 = 0x8000;

/// What was answered to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// No exchange stands here.
    Vacant,
    /// It is being worked on.
    Pending,
    /// Nothing was or will be sent in answer.
    Silent,
    /// An empty acknowledgement.
    Acknowledged,
    /// A Reset.
    Reset,
    Inline(u8, [u8; INLINE_MAX]),
    /// A longer answer, in [`Answers`].
    Stored(u32),
}

/// One exchange in the memory of a peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recent {
    barrier: [u32; 2],
    answer: Answer,
    message_id: u16,
    at: u16,
}

const VACANT: Recent = Recent {
    barrier: [0; 2],
    answer: Answer::Vacant,
    message_id: 0,
    at: 0,
};

/// The memory of one peer.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    recent: [Recent; 2],
    older: [u16; OLDER_INLINE],
    /// In units of eight seconds.
    older_at: [u8; OLDER_INLINE],
    older_used: u8,
}

/// What the memory says of a message that came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen<'a> {
    /// Not known: it is to be run.
    New,
    /// A duplicate of something still being worked on, or to which nothing is answered.
    Silent,
    /// A duplicate; the empty acknowledgement is due again.
    Acknowledged(Barrier),
    /// A duplicate; the Reset is due again.
    Reset,
    /// A duplicate; this answer is due again.
    Answer(&'a [u8], Barrier),
    /// A duplicate whose answer is forgotten; it must not run again.
    Old,
}

/// What is remembered of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Remembered<'a> {
    Silent,
    Acknowledged,
    Reset,
    Bytes(&'a [u8]),
}

/// Answers too long for a record, of all peers.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    stored: Slab<Box<[u8]>>,
    bytes: usize,
}

/// A Message ID that must not run again, and when it came in units of eight seconds.
pub(crate) type OlderId = (u16, u8);

/// Message IDs that no longer fit the record of their peer, oldest first.
pub(crate) type Overflow = VecDeque<OlderId>;

/// Takes away what is older than the lifetime.
pub(crate) fn prune_overflow(overflow: &mut Overflow, now: Instant, lifetime: Duration) {
    while overflow
        .front()
        .is_some_and(|(_, at)| age_s(now, *at) > seconds(lifetime))
    {
        overflow.pop_front();
    }
}

fn seconds(lifetime: Duration) -> u16 {
    lifetime.min(LIFETIME_MAX).as_secs() as u16
}

impl Memory {
    pub(crate) const NEW: Memory = Memory {
        recent: [VACANT; 2],
        older: [0; OLDER_INLINE],
        older_at: [0; OLDER_INLINE],
        older_used: 0,
    };

    /// Reads from both ends, so that all of it is in the caches of the processor.
    #[inline]
    pub(crate) fn touch(&self) -> u16 {
        self.recent[0].message_id ^ self.recent[1].message_id ^ u16::from(self.older_used)
    }

    /// Looks for a message.
    #[inline]
    pub(crate) fn look_up<'a>(
        &'a self,
        now: Instant,
        message_id: MessageId,
        lifetime: Duration,
        answers: &'a Answers,
        overflow: Option<&Overflow>,
    ) -> Seen<'a> {
        let second = now.as_secs() as u16;
        let lifetime_s = seconds(lifetime);
        for recent in &self.recent {
            if recent.message_id == message_id.0
                && recent.answer != Answer::Vacant
                && second.wrapping_sub(recent.at) & AT_MASK <= lifetime_s
            {
                return recent.seen(answers);
            }
        }
        let is_old = |(id, at): OlderId| id == message_id.0 && age_s(now, at) <= lifetime_s;
        let mut old = false;
        for (i, (id, at)) in self.older.into_iter().zip(self.older_at).enumerate() {
            old |= i < usize::from(self.older_used) && is_old((id, at));
        }
        if old || overflow.is_some_and(|overflow| overflow.iter().copied().any(is_old)) {
            Seen::Old
        } else {
            Seen::New
        }
    }

    /// Remembers that a message is being worked on. `once`: it must not run again even when its answer is
    /// forgotten. Gives the Message ID that found no room in the record, for the overflow.
    #[inline]
    pub(crate) fn remember(
        &mut self,
        now: Instant,
        message_id: MessageId,
        once: bool,
        lifetime: Duration,
        answers: &mut Answers,
    ) -> Option<OlderId> {
        self.prune(now, lifetime);
        let leaving = self.recent[1];
        self.recent[1] = self.recent[0];
        let at = now.as_secs() as u16 & AT_MASK | if once { ONCE } else { 0 };
        self.recent[0] = Recent {
            barrier: [0; 2],
            answer: Answer::Pending,
            message_id: message_id.0,
            at,
        };
        answers.release(leaving.answer);
        if leaving.answer == Answer::Vacant || leaving.at & ONCE == 0 {
            return None;
        }
        let ago = (now.as_secs() as u16).wrapping_sub(leaving.at) & AT_MASK;
        if ago > seconds(lifetime) {
            return None;
        }
        let left = now.saturating_sub(Duration::from_secs(u64::from(ago)));
        self.push_older(leaving.message_id, coarse(left))
    }

    /// The coarse clock of the older ones turns every half hour, so they must go before.
    fn prune(&mut self, now: Instant, lifetime: Duration) {
        let used = usize::from(self.older_used);
        let gone = (0..used).take_while(|&i| age_s(now, self.older_at[i]) > seconds(lifetime));
        let gone = gone.count();
        if gone > 0 {
            self.older.copy_within(gone.., 0);
            self.older_at.copy_within(gone.., 0);
            self.older_used -= gone as u8;
        }
    }

    fn push_older(&mut self, message_id: u16, at: u8) -> Option<OlderId> {
        let used = usize::from(self.older_used);
        if used < OLDER_INLINE {
            self.older[used] = message_id;
            self.older_at[used] = at;
            self.older_used += 1;
            return None;
        }
        let out = (self.older[0], self.older_at[0]);
        self.older.copy_within(1.., 0);
        self.older_at.copy_within(1.., 0);
        self.older[OLDER_INLINE - 1] = message_id;
        self.older_at[OLDER_INLINE - 1] = at;
        Some(out)
    }

    /// Remembers what was answered. Of a message that has left the last two nothing can be kept.
    #[inline]
    pub(crate) fn answer(
        &mut self,
        message_id: MessageId,
        remembered: Remembered<'_>,
        barrier: Barrier,
        answers: &mut Answers,
        answers_total_max: usize,
    ) {
        let same = |recent: &&mut Recent| {
            recent.message_id == message_id.0 && recent.answer != Answer::Vacant
        };
        let Some(recent) = self.recent.iter_mut().find(same) else {
            return;
        };
        answers.release(recent.answer);
        recent.barrier = [(barrier >> 32) as u32, barrier as u32];
        recent.answer = match remembered {
            Remembered::Silent => Answer::Silent,
            Remembered::Acknowledged => Answer::Acknowledged,
            Remembered::Reset => Answer::Reset,
            Remembered::Bytes(bytes) if bytes.len() <= INLINE_MAX => {
                let mut inline = [0; INLINE_MAX];
                inline[..bytes.len()].copy_from_slice(bytes);
                Answer::Inline(bytes.len() as u8, inline)
            }
            Remembered::Bytes(bytes) => match answers.store(bytes, answers_total_max) {
                Some(index) => Answer::Stored(index),
                // Without room, what may run twice does, and what may not stays unanswered.
                None if recent.at & ONCE == 0 => Answer::Vacant,
                None => Answer::Silent,
            },
        };
    }

    /// Forgets a message, if it is one of the last two.
    pub(crate) fn forget(&mut self, message_id: MessageId, answers: &mut Answers) {
        for recent in &mut self.recent {
            if recent.message_id == message_id.0 {
                answers.release(recent.answer);
                *recent = VACANT;
            }
        }
    }

    /// Gives back what the record holds outside of itself.
    pub(crate) fn release(&mut self, answers: &mut Answers) {
        for recent in &mut self.recent {
            answers.release(recent.answer);
            *recent = VACANT;
        }
        self.older_used = 0;
    }
}

impl Recent {
    fn seen<'a>(&'a self, answers: &'a Answers) -> Seen<'a> {
        let barrier = u64::from(self.barrier[0]) << 32 | u64::from(self.barrier[1]);
        match &self.answer {
            Answer::Vacant => Seen::New,
            Answer::Pending | Answer::Silent => Seen::Silent,
            Answer::Acknowledged => Seen::Acknowledged(barrier),
            Answer::Reset => Seen::Reset,
            Answer::Inline(length, bytes) => Seen::Answer(&bytes[..usize::from(*length)], barrier),
            Answer::Stored(index) => answers
                .stored
                .get(*index)
                .map_or(Seen::Old, |bytes| Seen::Answer(bytes, barrier)),
        }
    }
}

impl Answers {
    fn store(&mut self, bytes: &[u8], total_max: usize) -> Option<u32> {
        if self.bytes + bytes.len() > total_max {
            return None;
        }
        self.bytes += bytes.len();
        Some(self.stored.insert(bytes.into()))
    }

    fn release(&mut self, answer: Answer) {
        if let Answer::Stored(index) = answer
            && let Some(bytes) = self.stored.remove(index)
        {
            self.bytes -= bytes.len();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.stored.len() == 0 && self.bytes == 0
    }

    /// Bytes held.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The time of an older Message ID, in units of eight seconds.
fn coarse(now: Instant) -> u8 {
    (now.as_secs() / 8) as u8
}

/// How long ago that was; right up to half an hour.
fn age_s(now: Instant, at: u8) -> u16 {
    u16::from(coarse(now).wrapping_sub(at)) * 8
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIME: Duration = Duration::from_secs(247);
    const TOTAL: usize = 1000;

    fn at(seconds: u64) -> Instant {
        Duration::from_secs(seconds)
    }

    struct Book {
        memory: Memory,
        answers: Answers,
    }

    impl Book {
        fn new() -> Self {
            Self {
                memory: Memory::NEW,
                answers: Answers::default(),
            }
        }

        fn run(&mut self, second: u64, id: u16, once: bool, answer: &[u8]) -> Option<OlderId> {
            let now = at(second);
            let out = self
                .memory
                .remember(now, MessageId(id), once, LIFETIME, &mut self.answers);
            let remembered = Remembered::Bytes(answer);
            self.memory
                .answer(MessageId(id), remembered, 9, &mut self.answers, TOTAL);
            out
        }

        fn look_up(&self, second: u64, id: u16) -> Seen<'_> {
            self.memory
                .look_up(at(second), MessageId(id), LIFETIME, &self.answers, None)
        }
    }

    #[test]
    fn a_record_is_small() {
        assert!(size_of::<Memory>() <= 68, "{}", size_of::<Memory>());
    }

    #[test]
    fn rfc7252_4_5_the_last_two_are_answered_again_with_their_barrier() {
        let mut book = Book::new();
        book.run(0, 1, true, b"one");
        book.run(1, 2, true, b"a longer answer than fits the record");
        assert_eq!(book.look_up(2, 1), Seen::Answer(b"one", 9));
        let long = &b"a longer answer than fits the record"[..];
        assert_eq!(book.look_up(2, 2), Seen::Answer(long, 9));
        assert_eq!(book.look_up(2, 3), Seen::New);
        assert_eq!(book.look_up(247, 1), Seen::Answer(b"one", 9));
        assert_eq!(book.look_up(248, 1), Seen::New, "EXCHANGE_LIFETIME is over");
    }

    #[test]
    fn what_came_before_is_not_run_again_unless_it_may_be() {
        let mut book = Book::new();
        book.run(0, 1, true, b"post");
        book.run(0, 2, false, b"get");
        book.run(1, 3, true, b"");
        assert_eq!(book.run(1, 4, true, b""), None);
        assert_eq!(book.look_up(2, 1), Seen::Old);
        assert_eq!(book.look_up(2, 2), Seen::New);
        assert_eq!(book.look_up(300, 1), Seen::New);
        for id in 5..7 {
            assert_eq!(book.run(2, id, true, b""), None);
        }
        assert_eq!(book.run(2, 7, true, b"").map(|(id, _)| id), Some(1));
    }

    #[test]
    fn pruning_keeps_old_seconds_from_coming_back() {
        let mut book = Book::new();
        for id in 1..=3 {
            book.run(0, id, true, b"");
        }
        assert_eq!(book.look_up(1, 1), Seen::Old);
        // Messages go on and on, and none of them is to be kept; 2048 seconds later the coarse clock has
        // turned once.
        for turn in 1..=20 {
            book.run(turn * 103, 1000 + turn as u16, false, b"");
        }
        assert_eq!(book.look_up(2060, 1), Seen::New);
    }

    #[test]
    fn long_answers_are_bounded_over_all_and_given_back() {
        let mut book = Book::new();
        book.run(0, 1, false, &[1; 600]);
        book.run(0, 2, false, &[2; 600]);
        assert_eq!(book.answers.bytes(), 600);
        assert_eq!(book.look_up(1, 2), Seen::New, "may run twice, so it does");
        book.run(0, 3, true, &[3; 600]);
        book.run(0, 4, true, &[4; 600]);
        assert_eq!(
            book.answers.bytes(),
            600,
            "the first has left, the third has come"
        );
        assert_eq!(
            book.look_up(1, 4),
            Seen::Silent,
            "must not run twice, so it stays silent"
        );
        book.memory.release(&mut book.answers);
        assert_eq!(book.answers.bytes(), 0);
    }
}
