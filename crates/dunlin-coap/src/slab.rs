//! Storage with small numbers as names. A place that is used again has a new generation, so that an old
//! name is noticed.

use alloc::vec::Vec;

const END: u32 = u32::MAX;

#[derive(Clone, Debug)]
struct Place<T> {
    generation: u32,
    content: Content<T>,
}

#[derive(Clone, Debug)]
enum Content<T> {
    Free(u32),
    Used(T),
}

/// Values under dense numbers.
#[derive(Clone, Debug)]
pub(crate) struct Slab<T> {
    places: Vec<Place<T>>,
    free: u32,
    count: u32,
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self {
            places: Vec::new(),
            free: END,
            count: 0,
        }
    }

    pub(crate) fn len(&self) -> u32 {
        self.count
    }

    /// The place that the next value will have.
    pub(crate) fn next_index(&self) -> u32 {
        match self.free {
            END => self.places.len() as u32,
            free => free,
        }
    }

    #[inline]
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        self.count += 1;
        let index = self.free;
        if let Some(place) = self.places.get_mut(index as usize) {
            if let Content::Free(next) = place.content {
                self.free = next;
            }
            place.content = Content::Used(value);
            return index;
        }
        self.places.push(Place {
            generation: 0,
            content: Content::Used(value),
        });
        (self.places.len() - 1) as u32
    }

    #[inline]
    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let place = self.places.get_mut(index as usize)?;
        if matches!(place.content, Content::Free(_)) {
            return None;
        }
        place.generation = place.generation.wrapping_add(1);
        self.count -= 1;
        let free = core::mem::replace(&mut self.free, index);
        match core::mem::replace(&mut place.content, Content::Free(free)) {
            Content::Used(value) => Some(value),
            Content::Free(_) => None,
        }
    }

    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        match &self.places.get(index as usize)?.content {
            Content::Used(value) => Some(value),
            Content::Free(_) => None,
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        match &mut self.places.get_mut(index as usize)?.content {
            Content::Used(value) => Some(value),
            Content::Free(_) => None,
        }
    }

    /// How often the place was freed.
    pub(crate) fn generation(&self, index: u32) -> u32 {
        self.places
            .get(index as usize)
            .map_or(0, |place| place.generation)
    }

    /// Whether the name of this generation still holds.
    #[inline]
    pub(crate) fn is_current(&self, index: u32, generation: u32) -> bool {
        self.places
            .get(index as usize)
            .is_some_and(|p| p.generation == generation && matches!(p.content, Content::Used(_)))
    }
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_used_again_has_another_generation() {
        let mut slab = Slab::new();
        let a = slab.insert('a');
        let generation = slab.generation(a);
        assert!(slab.is_current(a, generation));
        assert_eq!(slab.remove(a), Some('a'));
        assert_eq!(slab.remove(a), None);
        let b = slab.insert('b');
        assert_eq!(a, b);
        assert!(!slab.is_current(a, generation));
        assert_eq!(slab.get(b), Some(&'b'));
        assert_eq!(slab.len(), 1);
    }
}
