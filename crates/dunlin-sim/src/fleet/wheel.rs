//! When which Client is to be woken: a calendar of wake-ups in milliseconds.
//!
//! Entries are appended and never taken back. A Client that changes its mind gets a second entry,
//! and the first is recognised as void when its time comes, because the Client's own record says
//! another one. So a change costs eight bytes written in order, and touches no other Client's
//! memory; a wheel that unlinks touches three.
//!
//! Three rings: milliseconds up to 4 s, spans of 4.096 s up to 70 minutes, spans of 70 minutes.

/// Milliseconds since the start of the run: enough for 49 days.
pub(crate) type Milliseconds = u32;

const FINE_BITS: u32 = 12;
const FINE: usize = 1 << FINE_BITS;
const COARSE_BITS: u32 = 10;
const COARSE: usize = 1 << COARSE_BITS;
const FAR: usize = 1 << (32 - FINE_BITS - COARSE_BITS);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    at: Milliseconds,
    client: u32,
}

/// The calendar.
#[derive(Debug)]
pub(crate) struct Wheel {
    /// All entries before this have been taken out.
    now: Milliseconds,
    fine: Vec<Vec<Entry>>,
    coarse: Vec<Vec<Entry>>,
    far: Vec<Vec<Entry>>,
    /// One bit per fine slot that holds something, so that the next wake-up is found quickly.
    occupied: [u64; FINE / 64],
    len: usize,
}

impl Wheel {
    pub(crate) fn new() -> Self {
        Wheel {
            now: 0,
            fine: vec![Vec::new(); FINE],
            coarse: vec![Vec::new(); COARSE],
            far: vec![Vec::new(); FAR],
            occupied: [0; FINE / 64],
            len: 0,
        }
    }

    /// Enters a wake-up, and returns the time it stands at: one that is past comes as soon as may be.
    pub(crate) fn insert(&mut self, at: Milliseconds, client: u32) -> Milliseconds {
        let at = at.max(self.now);
        self.len += 1;
        self.place(Entry { at, client });
        at
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        let rings = [&self.fine, &self.coarse, &self.far];
        let slots: usize = rings.iter().map(|ring| ring.capacity()).sum();
        let entries: usize = rings
            .iter()
            .flat_map(|ring| ring.iter())
            .map(|slot| slot.capacity())
            .sum();
        slots * size_of::<Vec<Entry>>() + entries * size_of::<Entry>()
    }

    fn place(&mut self, entry: Entry) {
        let at = entry.at;
        if at >> FINE_BITS == self.now >> FINE_BITS {
            let slot = at as usize % FINE;
            self.fine[slot].push(entry);
            self.occupied[slot / 64] |= 1 << (slot % 64);
        } else if at >> (FINE_BITS + COARSE_BITS) == self.now >> (FINE_BITS + COARSE_BITS) {
            self.coarse[(at >> FINE_BITS) as usize % COARSE].push(entry);
        } else {
            self.far[(at >> (FINE_BITS + COARSE_BITS)) as usize].push(entry);
        }
    }

    /// Takes out entries that are due at `now` at the latest and appends their time and Client to
    /// `due`, oldest first. Stops after the millisecond in which `due` reached `enough`, and
    /// returns whether all were taken.
    pub(crate) fn take(
        &mut self,
        now: Milliseconds,
        enough: usize,
        due: &mut Vec<(Milliseconds, u32)>,
    ) -> bool {
        while self.now <= now {
            if due.len() >= enough {
                return false;
            }
            match self.occupied_from(self.now) {
                Some(at) if at <= now => {
                    let slot = at as usize % FINE;
                    // The slot keeps its memory: it is filled again in four seconds.
                    self.len -= self.fine[slot].len();
                    due.extend(
                        self.fine[slot]
                            .drain(..)
                            .map(|entry| (entry.at, entry.client)),
                    );
                    self.occupied[slot / 64] &= !(1 << (slot % 64));
                    self.advance(at + 1);
                }
                _ => {
                    // Nothing more in this span; go on to the next, or to the end.
                    let span_end = (self.now | (FINE as u32 - 1)).saturating_add(1);
                    if span_end > now.saturating_add(1) || span_end == u32::MAX {
                        self.now = now.saturating_add(1).max(self.now);
                        return true;
                    }
                    self.advance(span_end);
                }
            }
        }
        true
    }

    /// The earliest time at which [`take`](Self::take) may find something; `None` when empty.
    pub(crate) fn next(&self) -> Option<Milliseconds> {
        if self.len == 0 {
            return None;
        }
        // Past this span, its end is near enough: nobody sleeps longer than four seconds.
        Some(
            self.occupied_from(self.now)
                .unwrap_or(self.now | (FINE as u32 - 1)),
        )
    }

    /// Moves on to `to`, and brings what waits in the outer rings closer where a span begins.
    fn advance(&mut self, to: Milliseconds) {
        let before = self.now;
        self.now = to;
        if before >> (FINE_BITS + COARSE_BITS) != to >> (FINE_BITS + COARSE_BITS) {
            let slot = (to >> (FINE_BITS + COARSE_BITS)) as usize;
            for entry in std::mem::take(&mut self.far[slot]) {
                self.place(entry);
            }
        }
        if before >> FINE_BITS != to >> FINE_BITS {
            let slot = (to >> FINE_BITS) as usize % COARSE;
            for entry in std::mem::take(&mut self.coarse[slot]) {
                self.place(entry);
            }
        }
    }

    /// The first occupied fine slot of the current span at or behind `from`.
    fn occupied_from(&self, from: Milliseconds) -> Option<Milliseconds> {
        let span = from & !(FINE as u32 - 1);
        let start = from as usize % FINE;
        let mut word = start / 64;
        let mut bits = self.occupied[word] & (u64::MAX << (start % 64));
        loop {
            if bits != 0 {
                return Some(span + (word * 64) as u32 + bits.trailing_zeros());
            }
            word += 1;
            bits = *self.occupied.get(word)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(wheel: &mut Wheel, now: Milliseconds) -> Vec<(Milliseconds, u32)> {
        let mut due = Vec::new();
        assert!(wheel.take(now, usize::MAX, &mut due));
        due
    }

    #[test]
    fn entries_of_every_ring_come_in_time_and_in_order() {
        let times = [
            0, 1, 63, 64, 4095, 4096, 4097, 90_000, 4_194_303, 4_194_304, 20_000_000,
        ];
        let mut wheel = Wheel::new();
        for (client, &at) in times.iter().enumerate().rev() {
            wheel.insert(at, client as u32);
        }
        for (client, &at) in times.iter().enumerate() {
            if at > 0 {
                assert_eq!(drain(&mut wheel, at - 1), [], "before {at}");
            }
            assert!(wheel.next().is_some_and(|next| next <= at));
            assert_eq!(drain(&mut wheel, at), [(at, client as u32)]);
        }
        assert_eq!(wheel.next(), None);
    }

    #[test]
    fn a_long_sleep_misses_nothing() {
        let mut wheel = Wheel::new();
        let times: Vec<u32> = (0..500).map(|n| n * 37_021).collect();
        for &at in &times {
            wheel.insert(at, at);
        }
        let due = drain(&mut wheel, 500 * 37_021);
        assert_eq!(due, times.iter().map(|&at| (at, at)).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_past_comes_at_once() {
        let mut wheel = Wheel::new();
        assert_eq!(drain(&mut wheel, 10_000), []);
        wheel.insert(3, 7);
        assert_eq!(wheel.next(), Some(10_001));
        assert_eq!(drain(&mut wheel, 10_001), [(10_001, 7)]);
    }

    #[test]
    fn taking_stops_when_it_is_enough_and_goes_on_later() {
        let mut wheel = Wheel::new();
        for client in 0..10 {
            wheel.insert(client / 2, client);
        }
        let mut due = Vec::new();
        assert!(!wheel.take(100, 3, &mut due));
        assert_eq!(due.len(), 4);
        due.clear();
        assert!(wheel.take(100, 100, &mut due));
        assert_eq!(due.len(), 6);
    }

    #[test]
    fn the_end_of_time_is_reached_without_overflow() {
        let mut wheel = Wheel::new();
        wheel.insert(u32::MAX, 1);
        wheel.insert(u32::MAX - 5000, 2);
        let mut due = Vec::new();
        wheel.take(u32::MAX - 1, usize::MAX, &mut due);
        assert_eq!(due, [(u32::MAX - 5000, 2)]);
    }
}
