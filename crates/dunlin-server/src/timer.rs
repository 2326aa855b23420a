//! One timer per Client, for millions: a lazy wheel.
//!
//! Most timers are lifetimes that a refresh moves later long before they are due. Moving later is
//! one store: the entry stays in its slot, and when the slot's turn comes it is put where it
//! belongs. Moving earlier unlinks it. Slots are an eighth of a second wide near by and some eight
//! minutes wide beyond that; bitmaps find the next one without walking over empty ones.

use std::cell::Cell;
use std::time::Duration;

use dunlin_transport::Instant;

/// Width of a near slot. Timers here are lifetimes, awake windows and queue deadlines; nobody
/// counts on more precision.
const TICK_MS: u64 = 125;

/// Slots of each level: one word of words.
const SLOTS: u32 = 4096;
const SLOT_BITS: u32 = 12;

const NIL: u32 = u32::MAX;
/// In `previous`: what follows is the slot whose head the entry is.
const HEAD: u32 = 1 << 31;
/// In `placed`: the entry is in no slot.
const NOWHERE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Entry {
    deadline: u32,
    placed: u32,
    next: u32,
    previous: u32,
}

/// Timers by key, which is a small number: the index of a Client.
#[derive(Debug)]
pub(crate) struct Wheel {
    entries: Vec<Entry>,
    near: Level,
    far: Level,
    tick: u32,
    /// What [`Wheel::next`] said, until something changes: it is asked after every datagram, and
    /// refreshes change nothing here.
    said: Cell<Option<Option<Instant>>>,
}

impl Wheel {
    pub(crate) fn new() -> Self {
        Self {
            entries: Vec::new(),
            near: Level::new(),
            far: Level::new(),
            tick: 0,
            said: Cell::new(None),
        }
    }

    /// Sets or moves the timer of `key`. It fires up to a tick late, never early.
    pub(crate) fn set(&mut self, key: u32, deadline: Instant) {
        let index = key as usize;
        if index >= self.entries.len() {
            let free = Entry {
                deadline: NOWHERE,
                placed: NOWHERE,
                next: NIL,
                previous: NIL,
            };
            self.entries.resize(index + 1, free);
        }
        let deadline = tick_at_or_after(deadline).max(self.tick + 1);
        let entry = &mut self.entries[index];
        entry.deadline = deadline;
        if entry.placed == NOWHERE {
            self.place(key);
        } else if deadline < entry.placed {
            self.unlink(key);
            self.place(key);
        }
    }

    /// Removes the timer of `key`, if it has one.
    pub(crate) fn clear(&mut self, key: u32) {
        if self
            .entries
            .get(key as usize)
            .is_some_and(|entry| entry.placed != NOWHERE)
        {
            self.unlink(key);
        }
    }

    /// A timer that is due, now removed.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<u32> {
        self.said.set(None);
        let now = tick_at_or_before(now);
        loop {
            let next = self.next_tick().filter(|next| *next <= now);
            let Some(next) = next else {
                self.tick = self.tick.max(now);
                return None;
            };
            self.tick = next;
            let key = self.first_of_tick();
            self.unlink(key);
            if self.entries[key as usize].deadline <= next {
                return Some(key);
            }
            self.place(key);
        }
    }

    /// When to poll next: not after the first timer is due, perhaps earlier.
    pub(crate) fn next(&self) -> Option<Instant> {
        if let Some(said) = self.said.get() {
            return said;
        }
        let next = self
            .next_tick()
            .map(|tick| Duration::from_millis(u64::from(tick) * TICK_MS));
        self.said.set(Some(next));
        next
    }

    fn next_tick(&self) -> Option<u32> {
        let near = self.near.next_from(self.tick);
        let far = self.far.next_from(self.tick >> SLOT_BITS);
        let far = far.map(|slot| (slot << SLOT_BITS).max(self.tick));
        match (near, far) {
            (Some(near), Some(far)) => Some(near.min(far)),
            (near, far) => near.or(far),
        }
    }

    /// An entry in a slot of the current tick; `next_tick` has said that there is one. The far
    /// slot comes first: it may hold entries for the near one.
    fn first_of_tick(&self) -> u32 {
        let far = self.far.heads[slot(self.tick >> SLOT_BITS)];
        if far != NIL {
            far
        } else {
            self.near.heads[slot(self.tick)]
        }
    }

    fn place(&mut self, key: u32) {
        self.said.set(None);
        let deadline = self.entries[key as usize].deadline.max(self.tick);
        let (level, at, placed, far) = if deadline - self.tick < SLOTS {
            (&mut self.near, slot(deadline), deadline, 0)
        } else {
            // Farther than the wheel reaches: the last slot, from which it is placed again.
            let last = (self.tick >> SLOT_BITS) + SLOTS - 1;
            let period = (deadline >> SLOT_BITS).min(last);
            (&mut self.far, slot(period), period << SLOT_BITS, SLOTS)
        };
        let next = std::mem::replace(&mut level.heads[at], key);
        level.mark(at);
        let entry = &mut self.entries[key as usize];
        entry.placed = placed;
        entry.next = next;
        entry.previous = HEAD | far | at as u32;
        if next != NIL {
            self.entries[next as usize].previous = key;
        }
    }

    fn unlink(&mut self, key: u32) {
        self.said.set(None);
        let Entry { next, previous, .. } = self.entries[key as usize];
        if previous & HEAD == 0 {
            self.entries[previous as usize].next = next;
        } else {
            let at = slot(previous);
            let level = if previous & SLOTS == 0 {
                &mut self.near
            } else {
                &mut self.far
            };
            level.heads[at] = next;
            if next == NIL {
                level.unmark(at);
            }
        }
        if next != NIL {
            self.entries[next as usize].previous = previous;
        }
        self.entries[key as usize].placed = NOWHERE;
    }
}

fn slot(tick: u32) -> usize {
    (tick & (SLOTS - 1)) as usize
}

/// Seventeen years fit; what is later fires then, and whoever it belongs to sets it again.
fn tick_at_or_after(instant: Instant) -> u32 {
    clamp(instant.as_millis().div_ceil(u128::from(TICK_MS)))
}

fn tick_at_or_before(instant: Instant) -> u32 {
    clamp(instant.as_millis() / u128::from(TICK_MS))
}

fn clamp(tick: u128) -> u32 {
    u32::try_from(tick)
        .unwrap_or(u32::MAX)
        .min(u32::MAX - 2 * SLOTS)
}

/// A ring of slots with the map of those that are not empty.
#[derive(Debug)]
struct Level {
    heads: Box<[u32]>,
    occupied: [u64; 64],
    words: u64,
}

impl Level {
    fn new() -> Self {
        Self {
            heads: vec![NIL; SLOTS as usize].into(),
            occupied: [0; 64],
            words: 0,
        }
    }

    fn mark(&mut self, at: usize) {
        self.occupied[at / 64] |= 1 << (at % 64);
        self.words |= 1 << (at / 64);
    }

    fn unmark(&mut self, at: usize) {
        self.occupied[at / 64] &= !(1 << (at % 64));
        if self.occupied[at / 64] == 0 {
            self.words &= !(1 << (at / 64));
        }
    }

    /// The first time at or after `from` whose slot is not empty.
    fn next_from(&self, from: u32) -> Option<u32> {
        if self.words == 0 {
            return None;
        }
        let at = slot(from);
        let here = self.occupied[at / 64] & (u64::MAX << (at % 64));
        if here != 0 {
            return Some(from - at as u32 + (at / 64 * 64) as u32 + here.trailing_zeros());
        }
        // The words after this one, around the ring, this one last.
        let turned = self.words.rotate_right(at as u32 / 64 + 1);
        let word = (at / 64 + 1 + turned.trailing_zeros() as usize) % 64;
        let found = word as u32 * 64 + self.occupied[word].trailing_zeros();
        Some(from + (found + SLOTS - at as u32) % SLOTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn seconds(seconds: u64) -> Instant {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_timer_that_moves_later_fires_once_and_late() {
        let mut wheel = Wheel::new();
        wheel.set(0, seconds(10));
        wheel.set(0, seconds(86_400));
        assert!(wheel.next().unwrap() <= seconds(10));
        assert_eq!(wheel.poll(seconds(20)), None);
        assert_eq!(wheel.poll(seconds(86_399)), None);
        assert_eq!(wheel.poll(seconds(86_401)), Some(0));
        assert_eq!(wheel.poll(seconds(1_000_000)), None);
        assert_eq!(wheel.next(), None);
    }

    #[test]
    fn a_timer_that_moves_earlier_fires_early() {
        let mut wheel = Wheel::new();
        wheel.set(3, seconds(100_000));
        wheel.set(5, seconds(100_000));
        wheel.set(3, seconds(2));
        assert_eq!(wheel.poll(seconds(3)), Some(3));
        assert_eq!(wheel.poll(seconds(99_999)), None);
        assert_eq!(wheel.poll(seconds(100_001)), Some(5));
    }

    #[test]
    fn the_longest_lifetime_is_farther_than_the_wheel_reaches() {
        let mut wheel = Wheel::new();
        wheel.set(0, seconds(u64::from(u32::MAX)));
        assert_eq!(wheel.poll(seconds(400 * 86_400)), None);
        assert!(wheel.next().is_some());
    }

    proptest! {
        /// Against the plainest thing that keeps time.
        #[test]
        fn it_fires_what_a_map_would(steps in proptest::collection::vec(
            prop_oneof![
                (0u32..20, 0u64..5_000_000).prop_map(|(key, after)| (Some(key), after)),
                (0u64..700_000).prop_map(|after| (None, after)),
                (0u64..5_000_000).prop_map(|after| (None, after)),
            ], 1..60))
        {
            let mut wheel = Wheel::new();
            let mut model: BTreeMap<u32, u64> = BTreeMap::new();
            let mut now_ms = 0;
            for (key, after) in steps {
                if let Some(key) = key {
                    wheel.set(key, Duration::from_millis(now_ms + after));
                    model.insert(key, now_ms + after);
                    if after % 7 == 0 {
                        wheel.clear(key);
                        model.remove(&key);
                    }
                    continue;
                }
                now_ms += after;
                let first = model.values().min().copied();
                prop_assert_eq!(wheel.next().is_some(), first.is_some());
                while let Some(key) = wheel.poll(Duration::from_millis(now_ms)) {
                    let due = model.remove(&key);
                    prop_assert!(due.is_some_and(|due| due <= now_ms), "{} was early", key);
                }
                // Two ticks: one for rounding up, one for timers set in the current tick.
                let left = model.values().find(|due| **due + 2 * TICK_MS < now_ms);
                prop_assert_eq!(left, None);
            }
        }
    }
}
