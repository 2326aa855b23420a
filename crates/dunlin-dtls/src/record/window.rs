//! Which record numbers were seen already (RFC 6347 §4.1.2.6).

/// Numbers remembered below the newest.
const WIDTH: u64 = 64;

/// The newest number and the 63 before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct ReplayWindow {
    newest: u64,
    /// Bit 0 is the newest; zero means that nothing came yet.
    seen: u64,
}

impl ReplayWindow {
    /// A window that takes only what is newer than this; `None` takes everything.
    pub(crate) fn after(newest: Option<u64>) -> ReplayWindow {
        match newest {
            Some(newest) => ReplayWindow {
                newest,
                seen: u64::MAX,
            },
            None => ReplayWindow::default(),
        }
    }

    /// The newest number seen.
    pub(crate) fn newest(&self) -> Option<u64> {
        (self.seen != 0).then_some(self.newest)
    }

    /// May a record with this number be new? Ask before decrypting.
    pub(crate) fn may_be_new(&self, number: u64) -> bool {
        if self.seen == 0 || number > self.newest {
            return true;
        }
        let age = self.newest - number;
        age < WIDTH && self.seen >> age & 1 == 0
    }

    /// Marks the number of an authentic record; true if it is newer than all before.
    pub(crate) fn mark(&mut self, number: u64) -> bool {
        if self.seen == 0 {
            *self = ReplayWindow {
                newest: number,
                seen: 1,
            };
            return true;
        }
        if number <= self.newest {
            let age = self.newest - number;
            if age < WIDTH {
                self.seen |= 1 << age;
            }
            return false;
        }
        let step = number - self.newest;
        self.seen = if step < WIDTH {
            self.seen << step | 1
        } else {
            1
        };
        self.newest = number;
        true
    }

    /// Takes nothing up to the newest any more: the gaps may hold what was received before a
    /// restart and is replayed now.
    pub(crate) fn close_gaps(&mut self) {
        *self = ReplayWindow::after(self.newest());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[test]
    fn a_number_is_new_once() {
        let mut window = ReplayWindow::default();
        assert!(window.may_be_new(0));
        assert!(window.mark(0));
        assert!(!window.may_be_new(0));
        assert!(window.mark(70));
        assert!(window.may_be_new(7));
        assert!(!window.may_be_new(6));
        assert!(!window.mark(7));
        assert!(!window.may_be_new(7));
    }

    #[test]
    fn a_restored_window_takes_only_newer_numbers() {
        let mut window = ReplayWindow::after(Some(100));
        assert!(!window.may_be_new(99) && !window.may_be_new(100));
        assert!(window.may_be_new(101));
        window.mark(110);
        assert!(window.may_be_new(105));
        window.close_gaps();
        assert!(!window.may_be_new(105));
        assert_eq!(ReplayWindow::after(None).newest(), None);
    }

    proptest! {
        #[test]
        fn no_number_is_ever_taken_twice(numbers in prop::collection::vec(0u64..200, 0..300)) {
            let mut window = ReplayWindow::default();
            let mut taken = BTreeSet::new();
            let mut order = Vec::new();
            for number in numbers {
                if window.may_be_new(number) {
                    let newest = order.iter().all(|before| *before < number);
                    prop_assert_eq!(window.mark(number), newest);
                    prop_assert!(taken.insert(number));
                    order.push(number);
                } else {
                    let far = order.iter().any(|before| *before >= number + WIDTH);
                    prop_assert!(far || taken.contains(&number));
                }
            }
        }
    }
}
