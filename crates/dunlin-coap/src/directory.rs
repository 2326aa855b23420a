//! Finds the record of a peer by its number. Numbers are given densely by the layer below, so a table of
//! pages costs four bytes each and one look, where hashing costs ten bytes and two.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// Numbers of one page: four kilobytes.
const PAGE: usize = 1024;
const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Page {
    slots: [u32; PAGE],
    used: u16,
}

/// Numbers under numbers.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    pages: Vec<Option<Box<Page>>>,
    count: usize,
}

impl Directory {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    #[inline]
    pub(crate) fn find(&self, number: u32) -> Option<u32> {
        let page = self.pages.get(number as usize / PAGE)?.as_ref()?;
        Some(page.slots[number as usize % PAGE]).filter(|slot| *slot != NONE)
    }

    /// Enters a number that is not there yet.
    pub(crate) fn insert(&mut self, number: u32, slot: u32) {
        let at = number as usize / PAGE;
        if self.pages.len() <= at {
            self.pages.resize_with(at + 1, || None);
        }
        let page = self.pages[at].get_or_insert_with(|| {
            Box::new(Page {
                slots: [NONE; PAGE],
                used: 0,
            })
        });
        debug_assert_eq!(page.slots[number as usize % PAGE], NONE);
        page.slots[number as usize % PAGE] = slot;
        page.used += 1;
        self.count += 1;
    }

    /// Takes a number out.
    pub(crate) fn remove(&mut self, number: u32) {
        let Some(entry) = self.pages.get_mut(number as usize / PAGE) else {
            return;
        };
        let Some(page) = entry else { return };
        let slot = &mut page.slots[number as usize % PAGE];
        if core::mem::replace(slot, NONE) != NONE {
            page.used -= 1;
            self.count -= 1;
            if page.used == 0 {
                *entry = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_and_go_with_their_pages() {
        let mut directory = Directory::default();
        for number in (0..5000).chain([40_000_000]) {
            assert_eq!(directory.find(number), None);
            directory.insert(number, number ^ 1);
        }
        assert_eq!(directory.len(), 5001);
        assert_eq!(directory.find(4999), Some(4998));
        assert_eq!(directory.find(40_000_000), Some(40_000_001));
        for number in 0..5000 {
            directory.remove(number);
            directory.remove(number);
        }
        assert_eq!(directory.len(), 1);
        assert_eq!(
            directory.pages.iter().flatten().count(),
            1,
            "empty pages are given back"
        );
    }
}
