//! Where a peer stands, by the hash of its address: the first thing that is looked up of every datagram.
//!
//! Eight bytes for each place, of the hash and of the number side by side: one look at memory finds the number, and
//! the table grows without asking anybody for hashes. A place is the number's home or, when that is taken, one of
//! those behind it.

use alloc::vec;
use alloc::vec::Vec;

/// A place that nobody has. The last of all numbers is given to no peer: that many do not fit into memory.
const VACANT: u64 = u64::MAX;

/// The fewest places there are.
const PLACES_MIN: usize = 16;

/// Numbers under hashes.
#[derive(Debug)]
pub(crate) struct Places {
    /// The upper half of a hash over a number. As many as a power of two, never more than three quarters taken.
    places: Vec<u64>,
    /// The home of a hash is what is left of its upper half after this many bits.
    shift: u32,
    taken: usize,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            places: vec![VACANT; PLACES_MIN],
            shift: u32::BITS - PLACES_MIN.trailing_zeros(),
            taken: 0,
        }
    }
}

impl Places {
    /// The number under this hash of which `is` says yes.
    #[inline]
    pub(crate) fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        let mut at = self.home(hash);
        loop {
            let place = self.places[at];
            if place == VACANT {
                return None;
            }
            if place >> 32 == hash >> 32 && is(place as u32) {
                return Some(place as u32);
            }
            at = self.behind(at);
        }
    }

    /// Reads the home of a hash, so that it is in the caches of the processor.
    #[inline]
    pub(crate) fn touch(&self, hash: u64) -> u64 {
        self.places[self.home(hash)]
    }

    /// Enters a number that is not there yet.
    pub(crate) fn insert(&mut self, hash: u64, number: u32) {
        self.taken += 1;
        if self.taken * 4 > self.places.len() * 3 {
            self.grow();
        }
        self.put(hash & !u64::from(u32::MAX) | u64::from(number));
    }

    /// Takes a number out, and moves those up that stand behind their home because of it.
    pub(crate) fn remove(&mut self, hash: u64, number: u32) {
        let mut vacant = self.home(hash);
        loop {
            let place = self.places[vacant];
            if place == VACANT {
                return;
            }
            if place as u32 == number {
                break;
            }
            vacant = self.behind(vacant);
        }
        self.taken -= 1;
        let last = self.places.len() - 1;
        let mut at = self.behind(vacant);
        while self.places[at] != VACANT {
            let from_home = at.wrapping_sub(self.home(self.places[at])) & last;
            let from_vacant = at.wrapping_sub(vacant) & last;
            if from_home >= from_vacant {
                self.places[vacant] = self.places[at];
                vacant = at;
            }
            at = self.behind(at);
        }
        self.places[vacant] = VACANT;
    }

    #[inline]
    fn home(&self, hash: u64) -> usize {
        (hash >> 32) as usize >> self.shift
    }

    #[inline]
    fn behind(&self, at: usize) -> usize {
        (at + 1) & (self.places.len() - 1)
    }

    fn put(&mut self, place: u64) {
        let mut at = self.home(place);
        while self.places[at] != VACANT {
            at = self.behind(at);
        }
        self.places[at] = place;
    }

    fn grow(&mut self) {
        let doubled = vec![VACANT; self.places.len() * 2];
        let before = core::mem::replace(&mut self.places, doubled);
        self.shift -= 1;
        for place in before.into_iter().filter(|place| *place != VACANT) {
            self.put(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a map; few homes, so that numbers stand behind each other and around the end.
        #[test]
        fn numbers_are_found_until_they_are_taken_out(
            steps in proptest::collection::vec((0u32..60, 0u64..7, any::<bool>()), 1..300)
        ) {
            let hash_of = |home: u64, number: u32| (home.wrapping_mul(0x2aaa_aaaa) & 0xffff_ffff) << 32 | u64::from(number);
            let (mut places, mut model) = (Places::default(), BTreeMap::new());
            for (number, home, enters) in steps {
                match model.get(&number).copied() {
                    None if enters => {
                        places.insert(hash_of(home, number), number);
                        model.insert(number, home);
                    }
                    Some(home) if !enters => {
                        places.remove(hash_of(home, number), number);
                        model.remove(&number);
                    }
                    _ => {}
                }
                prop_assert_eq!(places.taken, model.len());
                for number in 0..60 {
                    let home = model.get(&number).copied();
                    let hash = hash_of(home.unwrap_or(3), number);
                    let found = places.find(hash, |one| one == number);
                    prop_assert_eq!(found, home.map(|_| number));
                }
            }
        }
    }

    #[test]
    fn many_numbers_are_found_again() {
        let mut places = Places::default();
        let hash = |number: u32| u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for number in 0..100_000 {
            places.insert(hash(number), number);
        }
        for number in (0..100_000).step_by(2) {
            places.remove(hash(number), number);
        }
        for number in 0..100_000 {
            let found = places.find(hash(number), |one| one == number);
            assert_eq!(found, (number % 2 == 1).then_some(number));
        }
    }
}
