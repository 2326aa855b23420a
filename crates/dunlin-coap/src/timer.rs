//! Timers for millions of things that are nearly always put off before they fire.
//!
//! [`Wheel`] keeps a deadline per small number (the place of a record in its slab) in 12 bytes. Putting a
//! deadline off is one store: the entry stays in its slot and is placed anew when the slot comes up.
//! [`Timers`] carries a value with each deadline, for timers that come and go.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use crate::id::Instant;
use crate::slab::Slab;

const NONE: u32 = u32::MAX;
/// Marks in `previous` that the entry is the first of the slot in the lower bits.
const HEAD: u32 = 1 << 31;
/// Marks in `previous` that the entry is in no slot.
const UNLINKED: u32 = u32::MAX;
/// Slots of a level.
const SLOTS: usize = 256;
/// Levels: four of eight bits each divide the 32 bits of a deadline.
const LEVELS: usize = 4;
/// How many ticks ahead a deadline can be told from one in the past.
const HORIZON: u64 = (1 << 31) - 1;

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The lower 32 bits of the tick.
    deadline: u32,
    next: u32,
    previous: u32,
}

const EMPTY: Entry = Entry {
    deadline: 0,
    next: NONE,
    previous: UNLINKED,
};

/// A lazy hierarchical timing wheel over dense keys.
///
/// A deadline never fires early, and fires at the first call of [`Wheel::pop_expired`] after its tick has
/// begun. One that is further away than 2³¹ ticks is brought forward to that horizon: an owner with
/// deadlines that far away compares on expiry and sets again.
#[derive(Clone, Debug)]
pub struct Wheel {
    tick_ns: u64,
    /// Every deadline before this tick has fired.
    current: u64,
    entries: Vec<Entry>,
    heads: Box<[u32]>,
    occupied: [[u64; SLOTS / 64]; LEVELS],
    count: usize,
}

impl Wheel {
    /// An empty wheel that divides time into ticks of this length.
    ///
    /// # Panics
    ///
    /// If the tick is zero.
    pub fn new(tick: Duration) -> Self {
        assert!(!tick.is_zero(), "a tick has a length");
        Self {
            tick_ns: nanoseconds(tick),
            current: 0,
            entries: Vec::new(),
            heads: vec![NONE; SLOTS * LEVELS].into_boxed_slice(),
            occupied: [[0; SLOTS / 64]; LEVELS],
            count: 0,
        }
    }

    /// How many deadlines are set.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether no deadline is set.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Sets the deadline of a key, or moves it. Keys should be dense: memory is 12 bytes up to the highest.
    #[inline]
    pub fn set(&mut self, key: u32, deadline: Instant) {
        assert!(key < HEAD, "keys have 31 bits");
        if self.entries.len() <= key as usize {
            self.entries.resize(key as usize + 1, EMPTY);
        }
        let tick = self
            .tick_after(deadline)
            .clamp(self.current, self.current + HORIZON) as u32;
        let now = self.current as u32;
        let entry = &mut self.entries[key as usize];
        if entry.previous != UNLINKED {
            let was = entry.deadline;
            entry.deadline = tick;
            if tick.wrapping_sub(now) >= was.wrapping_sub(now) {
                return; // Later: its slot comes first, and there it is placed anew.
            }
            self.unlink(key);
        } else {
            entry.deadline = tick;
            self.count += 1;
        }
        self.link(key);
    }

    /// Takes the deadline of a key away; nothing happens if it has none.
    pub fn cancel(&mut self, key: u32) {
        if self.is_set(key) {
            self.unlink(key);
            self.count -= 1;
        }
    }

    /// Whether the key has a deadline.
    pub fn is_set(&self, key: u32) -> bool {
        self.entries
            .get(key as usize)
            .is_some_and(|entry| entry.previous != UNLINKED)
    }

    /// The next key whose deadline has come, which then has none any more.
    pub fn pop_expired(&mut self, now: Instant) -> Option<u32> {
        let target = nanoseconds(now) / self.tick_ns;
        loop {
            let key = self.heads[(self.current & 0xff) as usize];
            if key != NONE {
                self.unlink(key);
                if self.entries[key as usize].deadline == self.current as u32 {
                    self.count -= 1;
                    return Some(key);
                }
                self.link(key);
                continue;
            }
            if self.current >= target {
                return None;
            }
            match self.next_slot() {
                Some((level, slot, tick)) if tick <= target => {
                    self.current = tick;
                    if level > 0 {
                        self.cascade(level, slot);
                    }
                }
                _ => self.current = target,
            }
        }
    }

    /// When to call [`Wheel::pop_expired`] next; perhaps early, never late.
    pub fn next_wakeup(&self) -> Option<Instant> {
        if self.count == 0 {
            return None;
        }
        let tick = match self.heads[(self.current & 0xff) as usize] {
            NONE => self.next_slot().map(|(_, _, tick)| tick)?,
            _ => self.current,
        };
        Some(Duration::from_nanos(tick.saturating_mul(self.tick_ns)))
    }

    fn tick_after(&self, deadline: Instant) -> u64 {
        nanoseconds(deadline).div_ceil(self.tick_ns)
    }

    /// The next slot with something in it, and the tick at which it begins. Lower levels come first:
    /// they divide the slot of the level above in which we are.
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        for level in 0..LEVELS {
            let shift = 8 * level;
            let here = (self.current >> shift) as usize & 0xff;
            let base = self.current >> shift << shift;
            if let Some(slot) = self.first_occupied(level, here + 1) {
                return Some((level, slot, base + (((slot - here) as u64) << shift)));
            }
            if level == LEVELS - 1
                && let Some(slot) = self.first_occupied(level, 0)
                && slot < here
            {
                // The top level is a ring.
                return Some((
                    level,
                    slot,
                    base + (((SLOTS + slot - here) as u64) << shift),
                ));
            }
        }
        None
    }

    fn first_occupied(&self, level: usize, from: usize) -> Option<usize> {
        let mut word = from / 64;
        let mut mask = if word < 4 { !0u64 << (from % 64) } else { 0 };
        while word < SLOTS / 64 {
            let bits = self.occupied[level][word] & mask;
            if bits != 0 {
                return Some(word * 64 + bits.trailing_zeros() as usize);
            }
            mask = !0;
            word += 1;
        }
        None
    }

    fn cascade(&mut self, level: usize, slot: usize) {
        loop {
            let key = self.heads[level * SLOTS + slot];
            if key == NONE {
                return;
            }
            self.unlink(key);
            self.link(key);
        }
    }

    fn link(&mut self, key: u32) {
        let deadline = self.entries[key as usize].deadline;
        let differing = deadline ^ self.current as u32;
        let level = (31 - (differing | 1).leading_zeros()) as usize / 8;
        let slot = (deadline >> (8 * level)) as usize & 0xff;
        let place = level * SLOTS + slot;
        let next = core::mem::replace(&mut self.heads[place], key);
        if next != NONE {
            self.entries[next as usize].previous = key;
        }
        self.occupied[level][slot / 64] |= 1 << (slot % 64);
        let entry = &mut self.entries[key as usize];
        entry.next = next;
        entry.previous = HEAD | place as u32;
    }

    fn unlink(&mut self, key: u32) {
        let Entry { next, previous, .. } = self.entries[key as usize];
        if next != NONE {
            self.entries[next as usize].previous = previous;
        }
        if previous & HEAD == 0 {
            self.entries[previous as usize].next = next;
        } else {
            let place = (previous & !HEAD) as usize;
            self.heads[place] = next;
            if next == NONE {
                let (level, slot) = (place / SLOTS, place % SLOTS);
                self.occupied[level][slot / 64] &= !(1 << (slot % 64));
            }
        }
        self.entries[key as usize].previous = UNLINKED;
    }
}

/// 64 bits of nanoseconds are five hundred years; what lies behind is as good as never.
#[inline]
fn nanoseconds(time: Duration) -> u64 {
    time.as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::from(time.subsec_nanos()))
}

/// Names a timer of [`Timers`]. One that has fired or was removed names nothing, and is never mistaken for
/// another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerKey {
    index: u32,
    generation: u32,
}

/// Deadlines with a value each.
#[derive(Clone, Debug)]
pub struct Timers<T> {
    wheel: Wheel,
    values: Slab<T>,
}

impl<T> Timers<T> {
    /// No timers, in ticks of this length.
    pub fn new(tick: Duration) -> Self {
        Self {
            wheel: Wheel::new(tick),
            values: Slab::new(),
        }
    }

    /// Starts a timer.
    #[inline]
    pub fn insert(&mut self, deadline: Instant, value: T) -> TimerKey {
        let index = self.values.insert(value);
        self.wheel.set(index, deadline);
        TimerKey {
            index,
            generation: self.values.generation(index),
        }
    }

    /// Moves a timer; nothing happens if it has fired.
    pub fn reset(&mut self, key: TimerKey, deadline: Instant) {
        if self.values.is_current(key.index, key.generation) {
            self.wheel.set(key.index, deadline);
        }
    }

    /// Stops a timer; nothing happens if it has fired.
    #[inline]
    pub fn remove(&mut self, key: TimerKey) -> Option<T> {
        if !self.values.is_current(key.index, key.generation) {
            return None;
        }
        self.wheel.cancel(key.index);
        self.values.remove(key.index)
    }

    /// The value of the next timer whose time has come.
    pub fn pop_expired(&mut self, now: Instant) -> Option<T> {
        let key = self.wheel.pop_expired(now)?;
        self.values.remove(key)
    }

    /// When to call [`Timers::pop_expired`] next; perhaps early, never late.
    pub fn next_wakeup(&self) -> Option<Instant> {
        self.wheel.next_wakeup()
    }

    /// How many timers run.
    pub fn len(&self) -> usize {
        self.wheel.len()
    }

    /// Whether none runs.
    pub fn is_empty(&self) -> bool {
        self.wheel.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    fn fire_all(wheel: &mut Wheel, now: Instant) -> Vec<u32> {
        let mut fired = Vec::new();
        while let Some(key) = wheel.pop_expired(now) {
            fired.push(key);
        }
        fired
    }

    #[test]
    fn fires_at_its_tick_and_not_before() {
        let mut wheel = Wheel::new(MS);
        for (key, ms) in [
            (0, 3),
            (1, 300),
            (2, 70_000),
            (3, 20_000_000),
            (4, 500_000_000),
        ] {
            wheel.set(key, MS * ms);
            assert_eq!(fire_all(&mut wheel, MS * (ms - 1)), []);
            assert_eq!(fire_all(&mut wheel, MS * ms), [key]);
        }
        assert!(wheel.is_empty());
        assert_eq!(wheel.next_wakeup(), None);
    }

    #[test]
    fn putting_off_and_bringing_forward_both_hold() {
        let mut wheel = Wheel::new(MS);
        wheel.set(7, MS * 100);
        wheel.set(7, MS * 5000);
        assert_eq!(fire_all(&mut wheel, MS * 4999), []);
        wheel.set(7, MS * 90_000);
        wheel.set(7, MS * 5001);
        assert_eq!(fire_all(&mut wheel, MS * 5001), [7]);
        wheel.set(7, MS * 6000);
        wheel.cancel(7);
        assert_eq!(fire_all(&mut wheel, MS * 7000), []);
    }

    #[test]
    fn the_ring_of_ticks_may_wrap() {
        let mut wheel = Wheel::new(MS);
        let day = 86_400_000u64;
        let mut now = 0;
        // Two hundred days are four turns of 32 bits of milliseconds.
        for step in 0..200u32 {
            wheel.set(step, Duration::from_millis(now + day));
            assert_eq!(
                fire_all(&mut wheel, Duration::from_millis(now + day - 1)),
                []
            );
            now += day;
            assert_eq!(fire_all(&mut wheel, Duration::from_millis(now)), [step]);
        }
    }

    #[test]
    fn waking_up_only_when_told_fires_everything_in_time() {
        let mut wheel = Wheel::new(MS);
        let deadlines = [17u64, 255, 256, 257, 65_535, 65_536, 1_000_000, 17_000_000];
        for (key, ms) in deadlines.iter().enumerate() {
            wheel.set(key as u32, Duration::from_millis(*ms));
        }
        let mut wakeups = 0;
        while let Some(now) = wheel.next_wakeup() {
            for key in fire_all(&mut wheel, now) {
                assert_eq!(now, Duration::from_millis(deadlines[key as usize]));
            }
            wakeups += 1;
            assert!(wakeups < 40, "a wake-up must bring us nearer");
        }
        assert!(wheel.is_empty());
    }

    #[test]
    fn the_key_of_a_timer_that_fired_touches_no_other() {
        let mut timers = Timers::new(MS);
        let old = timers.insert(MS, 'a');
        assert_eq!(timers.pop_expired(MS), Some('a'));
        let new = timers.insert(MS * 2, 'b');
        timers.reset(old, MS * 9);
        assert_eq!(timers.remove(old), None);
        assert_eq!(timers.pop_expired(MS * 2), Some('b'));
        assert_eq!(timers.remove(new), None);
    }

    proptest! {
        #[test]
        fn agrees_with_a_sorted_map(steps in prop::collection::vec((0u8..4, 0u32..20, 0u64..200_000), 1..200)) {
            let mut wheel = Wheel::new(MS);
            let mut model = BTreeMap::<u32, u64>::new();
            let mut now = 0u64;
            for (what, key, ms) in steps {
                match what {
                    0 | 1 => {
                        wheel.set(key, Duration::from_millis(now + ms));
                        model.insert(key, now + ms);
                    }
                    2 => {
                        wheel.cancel(key);
                        model.remove(&key);
                    }
                    _ => {
                        now += ms / 2;
                        let mut fired = fire_all(&mut wheel, Duration::from_millis(now));
                        fired.sort();
                        let due: Vec<u32> =
                            model.iter().filter(|(_, at)| **at <= now).map(|(key, _)| *key).collect();
                        prop_assert_eq!(&fired, &due);
                        model.retain(|_, at| *at > now);
                    }
                }
                prop_assert_eq!(wheel.len(), model.len());
                if let Some(first) = model.values().min() {
                    prop_assert!(wheel.next_wakeup().unwrap() <= Duration::from_millis(*first));
                }
            }
        }
    }
}
