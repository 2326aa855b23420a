//! Lists of objects, kept once for all Clients that have the same one.
//!
//! Devices of one kind register the same list; a fleet has a few dozen of them, or each device has
//! its own. A table of all lists would cost the second fleet a third of what a Client costs, so
//! this remembers a bounded number: a list that keeps coming stays, one that does not makes room.

use std::hash::BuildHasher;

use dunlin_lwm2m::link::ObjectLinks;
use hashbrown::DefaultHashBuilder;

/// Lists that are remembered. A place is 24 bytes; more kinds of devices than this behind one
/// shard share less, and lose nothing else.
const PLACES: usize = 4_096;

/// The memory of lists.
#[derive(Debug)]
pub(crate) struct SharedLinks {
    places: Box<[Option<(ObjectLinks, u8)>]>,
    hasher: DefaultHashBuilder,
}

impl SharedLinks {
    pub(crate) fn new() -> Self {
        Self {
            places: vec![None; PLACES].into(),
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// The list itself, or an equal one that somebody has already.
    pub(crate) fn share(&mut self, links: ObjectLinks) -> ObjectLinks {
        let place = &mut self.places[self.hasher.hash_one(&links) as usize % PLACES];
        match place {
            Some((known, uses)) if *known == links => {
                *uses = uses.saturating_add(1);
                return known.clone();
            }
            // It has been of use: it stays for as many strangers as it had uses.
            Some((_, uses)) if *uses > 0 => *uses -= 1,
            _ => *place = Some((links.clone(), 0)),
        }
        links
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(instance: u16) -> ObjectLinks {
        ObjectLinks::builder()
            .instance(1, 0)
            .instance(3303, instance)
            .build()
    }

    #[test]
    fn equal_lists_are_one() {
        let mut shared = SharedLinks::new();
        let first = shared.share(list(1));
        let second = shared.share(list(1));
        assert_eq!(first.encode().as_ptr(), second.encode().as_ptr());
    }

    #[test]
    fn a_list_that_keeps_coming_stays_among_strangers() {
        let mut shared = SharedLinks::new();
        let first = shared.share(list(0));
        for stranger in 1..50_000 {
            shared.share(list(stranger));
            if stranger % 8 == 0 {
                let again = shared.share(list(0));
                assert_eq!(
                    first.encode().as_ptr(),
                    again.encode().as_ptr(),
                    "at {stranger}"
                );
            }
        }
    }
}
