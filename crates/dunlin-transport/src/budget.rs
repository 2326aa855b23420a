//! What one peer may send, and who sends more.
//!
//! 1. Every message is counted for this second in a table of fixed size, by its peer's id. That is all
//!    that most messages pay: one counter in the processor's cache, and nothing in the peer's own row.
//! 2. A counter that gets hot has a peer behind it that may send too much, or two that share it. From
//!    then on these have rows of their own, with exact buckets: a debt that grows by every message and
//!    is paid by time. So nobody is refused anything for what another one sends.
//! 3. A message beyond the bucket is dropped before it is read, and its peer is shown.

use alloc::boxed::Box;
use alloc::vec;
use core::time::Duration;

use hashbrown::HashMap;

use crate::now::{Instant, Now, WallTime};
use crate::peer::PeerId;

/// Peers beyond their budget, or near it, that have a row at once. One more takes the place of the one
/// that was quiet for longest.
pub const OVER_BUDGET_MAX: usize = 4_096;

/// A peer is shown for so long after the last message that was dropped: an operator who looks now
/// and then shall see it.
const SHOWN_FOR: Duration = Duration::from_secs(600);

/// A peer that floods is told so at most this often: an answer to each message would be a flood of
/// our own, to an address that may be made up.
const ANSWER_PAUSE: Duration = Duration::from_secs(1);

/// An acknowledgement or a Reset costs this part of a message. They answer what we sent - a package
/// of ten thousand blocks is ten thousand of them - and one that answers nothing is soon dropped.
const ACKNOWLEDGEMENTS_PER_MESSAGE: u32 = 64;

/// Counters of the table: 32 KiB, which stay in the second-level cache. At 200 000 messages a second
/// each has a dozen, and none is hot.
const COUNTERS: usize = 16_384;

/// What a peer may send: so many messages at once, and per second from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Messages at once; at least 1.
    pub burst: u32,
    /// Messages per second, up to 1 000 000; at least 1.
    pub per_second: u32,
}

/// How far a peer is beyond its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverBudget {
    /// When the first of its messages was dropped for it.
    pub since: WallTime,
    /// When the last was.
    pub last_at: WallTime,
    /// How many were.
    pub dropped: u64,
}

/// A budget in the units of a debt: microseconds.
#[derive(Clone, Copy, Debug)]
struct Price {
    message: u32,
    /// A message that would raise the debt beyond this is dropped.
    debt_max: u32,
    /// A counter that comes to this within a second is hot: half of what is allowed.
    hot: u16,
}

impl Price {
    fn of(budget: Budget) -> Self {
        let message = (1_000_000 / budget.per_second.max(1)).max(1);
        let hot = budget.per_second.min(budget.burst) / 2;
        Self {
            message,
            debt_max: message.saturating_mul(budget.burst.max(1)),
            hot: u16::try_from(hot).unwrap_or(u16::MAX).max(1),
        }
    }

    /// What this datagram of CoAP costs.
    fn of_message(self, bytes: &[u8]) -> u32 {
        // The upper one of the two bits of its type: an acknowledgement or a Reset (RFC 7252 §3).
        const ANSWERS: u8 = 0b0010_0000;
        match bytes.first() {
            Some(first) if first & ANSWERS != 0 => self.message / ACKNOWLEDGEMENTS_PER_MESSAGE,
            _ => self.message,
        }
    }

    /// When all debt is paid: what a Client that is refused is told to wait.
    fn all_paid_s(self) -> u32 {
        (self.debt_max / 1_000_000).clamp(1, 60)
    }
}

/// A peer that is watched.
#[derive(Debug)]
struct Row {
    debt: u32,
    /// When it was heard last, and when a message of it was dropped last.
    heard: Instant,
    dropped: Option<Instant>,
    answered: Option<Instant>,
    shown: OverBudget,
}

impl Row {
    fn new(now: Instant) -> Self {
        Self {
            debt: 0,
            heard: now,
            dropped: None,
            answered: None,
            shown: OverBudget {
                since: WallTime(0),
                last_at: WallTime(0),
                dropped: 0,
            },
        }
    }

    /// A message that costs so much: false if that is too much.
    fn charge(&mut self, now: Instant, cost: u32, debt_max: u32) -> bool {
        let silent = now.saturating_sub(self.heard);
        self.heard = now;
        // 4,095 seconds fit into 32 bits of microseconds, and pay all debts there are.
        let paid = match silent.as_secs() {
            seconds @ 0..4_095 => seconds as u32 * 1_000_000 + silent.subsec_micros(),
            _ => u32::MAX,
        };
        self.debt = self.debt.saturating_sub(paid);
        let grown = self.debt.saturating_add(cost);
        let within = grown <= debt_max;
        if within {
            self.debt = grown;
        }
        within
    }

    fn is_shown(&self, now: Instant) -> bool {
        self.dropped.is_some_and(|at| at + SHOWN_FOR >= now)
    }
}

/// What becomes of a message beyond the budget.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Turned {
    /// It is the first one, which is news.
    pub(crate) first: bool,
    /// The peer is told to be silent for so many seconds.
    pub(crate) answer_s: Option<u32>,
}

/// The budgets of all peers of a machine.
#[derive(Debug)]
pub(crate) struct Budgets {
    price: Price,
    /// Messages in this second, by the lower bits of the peer's id.
    counters: Box<[u16]>,
    second: u64,
    rows: HashMap<PeerId, Row>,
}

impl Budgets {
    pub(crate) fn new(budget: Budget) -> Self {
        Self {
            price: Price::of(budget),
            counters: vec![0; COUNTERS].into_boxed_slice(),
            second: 0,
            rows: HashMap::new(),
        }
    }

    /// A message of this peer came: whether it is within its budget.
    #[inline]
    pub(crate) fn allows(&mut self, now: Instant, peer: PeerId, bytes: &[u8]) -> bool {
        let second = now.as_secs();
        if second != self.second {
            self.second = second;
            self.counters.fill(0);
        }
        let counter = &mut self.counters[peer.0 as usize % COUNTERS];
        *counter = counter.saturating_add(1);
        *counter < self.price.hot || self.charge(now, peer, bytes)
    }

    #[cold]
    fn charge(&mut self, now: Instant, peer: PeerId, bytes: &[u8]) -> bool {
        let price = self.price;
        if !self.rows.contains_key(&peer) {
            self.make_room();
            self.rows.insert(peer, Row::new(now));
        }
        let row = self.rows.get_mut(&peer).expect("it was just entered");
        let cost = price.of_message(bytes);
        let within = row.charge(now, cost, price.debt_max);
        if self.counters[peer.0 as usize % COUNTERS] == price.hot {
            // What was not charged in this second before it got hot is made good.
            row.debt = row.debt.saturating_add(cost * u32::from(price.hot - 1));
        }
        within
    }

    /// A message of this peer is dropped.
    pub(crate) fn turn_away(&mut self, now: Instant, wall: WallTime, peer: PeerId) -> Turned {
        let row = self.rows.entry(peer).or_insert_with(|| Row::new(now));
        let first = !row.is_shown(now);
        if first {
            (row.shown.since, row.shown.dropped) = (wall, 0);
        }
        row.shown.dropped += 1;
        row.shown.last_at = wall;
        row.dropped = Some(now);
        let due = row.answered.is_none_or(|at| at + ANSWER_PAUSE <= now);
        if due {
            row.answered = Some(now);
        }
        Turned {
            first,
            answer_s: due.then(|| self.price.all_paid_s()),
        }
    }

    fn make_room(&mut self) {
        if self.rows.len() < OVER_BUDGET_MAX {
            return;
        }
        let quiet = self.rows.iter().min_by_key(|(_, row)| row.heard);
        if let Some(peer) = quiet.map(|(peer, _)| *peer) {
            self.rows.remove(&peer);
        }
    }

    pub(crate) fn get(&self, now: Now, peer: PeerId) -> Option<OverBudget> {
        if self.rows.is_empty() {
            return None;
        }
        let row = self.rows.get(&peer)?;
        row.is_shown(now.instant).then_some(row.shown)
    }

    /// How many are shown.
    pub(crate) fn count(&self, now: Now) -> usize {
        let rows = self.rows.values();
        rows.filter(|row| row.is_shown(now.instant)).count()
    }

    /// The peer's id may be given anew.
    pub(crate) fn remove(&mut self, peer: PeerId) {
        if !self.rows.is_empty() {
            self.rows.remove(&peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIRMABLE: &[u8] = &[0x40];

    /// How many of the messages at these times are within the budget.
    fn taken(budget: Budget, at: impl Iterator<Item = Duration>) -> usize {
        let mut budgets = Budgets::new(budget);
        at.filter(|now| budgets.allows(*now, PeerId(7), CONFIRMABLE))
            .count()
    }

    fn at(second: u64) -> Now {
        Now {
            instant: Duration::from_secs(second),
            wall: WallTime(second * 1_000),
        }
    }

    #[test]
    fn a_burst_is_taken_and_then_a_rate() {
        let budget = Budget {
            burst: 50,
            per_second: 10,
        };
        let burst = taken(budget, (0..1_000).map(|_| Duration::ZERO));
        assert_eq!(burst, 50, "what was not charged at first is made good");
        // A thousand a second for ten seconds: the burst, and about ten a second.
        let flood = taken(budget, (0..10_000).map(Duration::from_millis));
        assert!((145..=160).contains(&flood), "{flood}");
        // Ten a second for an hour are all taken, and so is one after a week.
        let steady = (0..36_000).map(|tenth| Duration::from_millis(tenth * 100));
        assert_eq!(taken(budget, steady), 36_000);
        let late = [0, 1, 2].map(|week| Duration::from_secs(week * 604_800));
        assert_eq!(taken(budget, late.into_iter()), 3);
    }

    #[test]
    fn who_shares_a_counter_with_a_flood_is_not_refused() {
        let mut budgets = Budgets::new(Budget {
            burst: 50,
            per_second: 10,
        });
        let (rogue, other) = (PeerId(7), PeerId(7 + COUNTERS as u32));
        let mut refused = 0;
        for milliseconds in 0..20_000 {
            let now = Duration::from_millis(milliseconds);
            refused += u32::from(!budgets.allows(now, rogue, CONFIRMABLE));
            if milliseconds % 200 == 199 {
                assert!(budgets.allows(now, other, CONFIRMABLE), "{now:?}");
            }
        }
        assert!(refused > 19_500, "{refused}");
    }

    #[test]
    fn answers_to_us_cost_little() {
        let mut budgets = Budgets::new(Budget {
            burst: 4,
            per_second: 1,
        });
        let mut allows = |first| budgets.allows(Duration::ZERO, PeerId(7), &[first]);
        assert!((0..64).all(|_| allows(0x60) && allows(0x70)));
        assert!(allows(0x40) && allows(0x50) && !allows(0x40));
    }

    #[test]
    fn who_is_beyond_is_told_once_a_second_and_shown_for_a_while() {
        let mut budgets = Budgets::new(Budget {
            burst: 100,
            per_second: 10,
        });
        let peer = PeerId(7);
        let mut turn = |second, milliseconds| {
            let instant = Duration::from_secs(second) + Duration::from_millis(milliseconds);
            budgets.turn_away(instant, at(second).wall, peer)
        };
        let turned = |first, answer_s| Turned { first, answer_s };
        assert_eq!(turn(5, 0), turned(true, Some(10)));
        assert_eq!(turn(5, 999), turned(false, None));
        assert_eq!(turn(6, 0), turned(false, Some(10)));
        assert_eq!(turn(606, 0), turned(false, Some(10)));
        assert_eq!(turn(1_300, 0), turned(true, Some(10)));
        let shown = OverBudget {
            since: WallTime(1_300_000),
            last_at: WallTime(1_300_000),
            dropped: 1,
        };
        assert_eq!(budgets.get(at(1_900), peer), Some(shown));
        assert_eq!(budgets.get(at(1_901), peer), None);
        assert_eq!((budgets.count(at(1_900)), budgets.count(at(1_901))), (1, 0));
    }

    #[test]
    fn those_who_have_a_row_are_bounded() {
        let mut budgets = Budgets::new(Budget {
            burst: 1,
            per_second: 1,
        });
        for peer in 0..OVER_BUDGET_MAX as u32 + 1 {
            let now = Duration::from_micros(peer.into());
            assert!(budgets.allows(now, PeerId(peer), CONFIRMABLE));
        }
        assert_eq!(budgets.rows.len(), OVER_BUDGET_MAX);
        assert!(!budgets.rows.contains_key(&PeerId(0)));
    }
}
