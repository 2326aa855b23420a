//! All sessions and handshakes of a machine, found by name, by Connection ID and by address.
//!
//! An address leads to at most one session and one handshake: the session is the newest made
//! there, and only records without a Connection ID need it.

use alloc::boxed::Box;
use alloc::vec::Vec;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use rand_core::Rng;

use crate::address::Address;
use crate::association::Association;
use crate::event::SessionId;
use crate::handshake::Handshake;
use crate::record::cid::ConnectionId;
use crate::{Hashing, Random};

/// No slot.
const NONE: u32 = u32::MAX;
/// Slots looked at to find the idlest session: enough that it is old, too few to be felt.
const EVICTION_SAMPLE: usize = 16;
/// Tries to come upon a session among empty slots.
const EVICTION_TRIES: usize = 256;

/// What a slot holds. Boxed, so that a growing table moves no keys about and leaves no copies.
pub(crate) enum State {
    Handshake(Box<Handshake>),
    Established(Box<Association>),
}

struct Slot {
    generation: u32,
    state: Option<State>,
}

#[derive(Clone, Copy)]
struct Place {
    established: u32,
    handshake: u32,
}

/// See the module.
pub(crate) struct Sessions {
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_cid: HashMap<ConnectionId, u32, Hashing>,
    by_address: HashMap<Address, Place, Hashing>,
    handshakes: usize,
    established: usize,
}

impl Sessions {
    pub(crate) fn new(hashing: Hashing) -> Sessions {
        Sessions {
            slots: Vec::new(),
            free: Vec::new(),
            by_cid: HashMap::with_hasher(hashing.clone()),
            by_address: HashMap::with_hasher(hashing),
            handshakes: 0,
            established: 0,
        }
    }

    pub(crate) fn handshakes(&self) -> usize {
        self.handshakes
    }

    pub(crate) fn established(&self) -> usize {
        self.established
    }

    /// The name of what is in a slot.
    pub(crate) fn id(&self, index: u32) -> SessionId {
        SessionId {
            index,
            generation: self.slots[index as usize].generation,
        }
    }

    /// The slot of a name, if that is still in use.
    pub(crate) fn index(&self, id: SessionId) -> Option<u32> {
        let slot = self.slots.get(id.index as usize)?;
        (slot.generation == id.generation && slot.state.is_some()).then_some(id.index)
    }

    /// A name for something that is over before it began.
    pub(crate) fn spent_id(&mut self) -> SessionId {
        let index = self.take_slot();
        let id = self.id(index);
        self.release(index);
        id
    }

    pub(crate) fn state_mut(&mut self, index: u32) -> Option<&mut State> {
        self.slots.get_mut(index as usize)?.state.as_mut()
    }

    pub(crate) fn handshake_mut(&mut self, index: u32) -> Option<&mut Handshake> {
        match self.state_mut(index)? {
            State::Handshake(handshake) => Some(handshake),
            State::Established(_) => None,
        }
    }

    pub(crate) fn association_mut(&mut self, index: u32) -> Option<&mut Association> {
        match self.state_mut(index)? {
            State::Established(association) => Some(association),
            State::Handshake(_) => None,
        }
    }

    pub(crate) fn association(&self, index: u32) -> Option<&Association> {
        match self.slots.get(index as usize)?.state.as_ref()? {
            State::Established(association) => Some(association),
            State::Handshake(_) => None,
        }
    }

    pub(crate) fn by_cid(&self, cid: ConnectionId) -> Option<u32> {
        self.by_cid.get(&cid).copied()
    }

    /// The session that records from here without a Connection ID belong to.
    pub(crate) fn established_at(&self, address: Address) -> Option<u32> {
        self.by_address
            .get(&address)
            .map(|place| place.established)
            .filter(|index| *index != NONE)
    }

    /// The handshake with this address.
    pub(crate) fn handshake_at(&self, address: Address) -> Option<u32> {
        self.by_address
            .get(&address)
            .map(|place| place.handshake)
            .filter(|index| *index != NONE)
    }

    /// The names of all sessions.
    pub(crate) fn established_ids(&self) -> impl Iterator<Item = SessionId> + '_ {
        let slots = self.slots.iter().zip(0u32..);
        slots.filter_map(|(slot, index)| match slot.state {
            Some(State::Established(_)) => Some(SessionId {
                index,
                generation: slot.generation,
            }),
            _ => None,
        })
    }

    /// A Connection ID that nobody here has.
    pub(crate) fn draw_cid(&self, prefix: &[u8], random: &mut Random) -> ConnectionId {
        loop {
            let cid = ConnectionId::draw(prefix, random);
            if !self.by_cid.contains_key(&cid) {
                return cid;
            }
        }
    }

    /// Enters a handshake; there must be none at its address.
    pub(crate) fn insert_handshake(&mut self, handshake: Handshake) -> SessionId {
        let index = self.take_slot();
        self.place_mut(handshake.address()).handshake = index;
        if let Some(cid) = handshake.registered_cid {
            self.by_cid.insert(cid, index);
        }
        self.slots[index as usize].state = Some(State::Handshake(Box::new(handshake)));
        self.handshakes += 1;
        self.id(index)
    }

    /// Enters a session from elsewhere. It gets its address only if nobody has it.
    pub(crate) fn insert_imported(&mut self, association: Box<Association>) -> SessionId {
        let index = self.take_slot();
        if let Some(cid) = association.own_cid {
            self.by_cid.insert(cid, index);
        }
        self.enter_address(index, association.address);
        self.slots[index as usize].state = Some(State::Established(association));
        self.established += 1;
        self.id(index)
    }

    /// Takes a handshake out of its slot, which stays taken for `establish` or `release`.
    pub(crate) fn take_handshake(&mut self, index: u32) -> Option<Box<Handshake>> {
        let slot = &mut self.slots[index as usize];
        let handshake = match slot.state.take()? {
            State::Handshake(handshake) => handshake,
            other @ State::Established(_) => {
                slot.state = Some(other);
                return None;
            }
        };
        self.handshakes -= 1;
        if let Some(cid) = handshake.registered_cid {
            self.by_cid.remove(&cid);
        }
        let address = handshake.address();
        self.place_mut(address).handshake = NONE;
        self.drop_empty_place(address);
        Some(handshake)
    }

    /// Puts the session into the slot its handshake had; its address is its own from now on.
    pub(crate) fn establish(&mut self, index: u32, association: Box<Association>) {
        if let Some(cid) = association.own_cid {
            self.by_cid.insert(cid, index);
        }
        self.place_mut(association.address).established = index;
        self.slots[index as usize].state = Some(State::Established(association));
        self.established += 1;
    }

    /// Takes a session out and gives its slot back.
    pub(crate) fn remove_association(&mut self, index: u32) -> Option<Box<Association>> {
        let slot = &mut self.slots[index as usize];
        let association = match slot.state.take()? {
            State::Established(association) => association,
            other @ State::Handshake(_) => {
                slot.state = Some(other);
                return None;
            }
        };
        self.established -= 1;
        if let Some(cid) = association.own_cid {
            self.by_cid.remove(&cid);
        }
        self.leave_address(index, association.address);
        self.release(index);
        Some(association)
    }

    /// Gives a slot back; its name is never used again.
    pub(crate) fn release(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        slot.state = None;
        // A slot whose names are used up is left alone.
        if let Some(generation) = slot.generation.checked_add(1) {
            slot.generation = generation;
            self.free.push(index);
        }
    }

    /// The session is elsewhere now.
    pub(crate) fn move_to(&mut self, index: u32, to: Address) -> Option<Address> {
        let association = self.association_mut(index)?;
        let from = core::mem::replace(&mut association.address, to);
        self.leave_address(index, from);
        self.enter_address(index, to);
        Some(from)
    }

    /// Among some sessions taken by chance, the one that nothing was heard of for longest.
    pub(crate) fn idle_session(&self, random: &mut Random) -> Option<u32> {
        let mut sample = Vec::with_capacity(EVICTION_SAMPLE);
        for _ in 0..EVICTION_TRIES {
            if self.slots.is_empty() || sample.len() == EVICTION_SAMPLE {
                break;
            }
            let index = (random.next_u64() % self.slots.len() as u64) as u32;
            if let Some(association) = self.association(index) {
                sample.push((association.last_heard_s, index));
            }
        }
        if sample.is_empty() {
            // A few sessions among many empty slots: look at all of them.
            let indices = 0..self.slots.len() as u32;
            let last_heard = |index: u32| Some((self.association(index)?.last_heard_s, index));
            sample.extend(indices.filter_map(last_heard));
        }
        sample.into_iter().min().map(|(_, index)| index)
    }

    fn take_slot(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                state: None,
            });
            self.slots.len() as u32 - 1
        })
    }

    fn place_mut(&mut self, address: Address) -> &mut Place {
        self.by_address.entry(address).or_insert(Place {
            established: NONE,
            handshake: NONE,
        })
    }

    fn enter_address(&mut self, index: u32, address: Address) {
        let place = self.place_mut(address);
        if place.established == NONE {
            place.established = index;
        }
    }

    fn leave_address(&mut self, index: u32, address: Address) {
        if let Some(place) = self.by_address.get_mut(&address)
            && place.established == index
        {
            place.established = NONE;
        }
        self.drop_empty_place(address);
    }

    fn drop_empty_place(&mut self, address: Address) {
        if let Entry::Occupied(place) = self.by_address.entry(address)
            && place.get().established == NONE
            && place.get().handshake == NONE
        {
            place.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::association::tests::pair;
    use crate::crypto::suite::CipherSuite;
    use rand_core::SeedableRng;

    fn session(cid: u8, port: u16) -> Box<Association> {
        let cid = Some(ConnectionId([cid; 8]));
        let (_, mut server) = pair(CipherSuite::PskAes128Ccm8, cid);
        server.address = Address::other([0; 16], port);
        server.last_heard_s = port.into();
        Box::new(server)
    }

    #[test]
    fn a_name_is_never_used_again() {
        let mut sessions = Sessions::new(Hashing::with_seed(1));
        let first = sessions.insert_imported(session(1, 1));
        assert_eq!(sessions.index(first), Some(first.index));
        sessions.remove_association(first.index).unwrap();
        let second = sessions.insert_imported(session(2, 2));
        assert_eq!(first.index, second.index);
        assert_eq!(sessions.index(first), None);
    }

    #[test]
    fn a_session_that_moves_does_not_take_another_ones_address() {
        let mut sessions = Sessions::new(Hashing::with_seed(1));
        let first = sessions.insert_imported(session(1, 1));
        let second = sessions.insert_imported(session(2, 2));
        let (one, two) = (Address::other([0; 16], 1), Address::other([0; 16], 2));
        assert_eq!(sessions.move_to(second.index, one), Some(two));
        assert_eq!(sessions.established_at(one), Some(first.index));
        assert_eq!(sessions.established_at(two), None);
        sessions.remove_association(second.index);
        assert_eq!(sessions.established_at(one), Some(first.index));
    }

    #[test]
    fn nothing_is_left_behind() {
        let mut sessions = Sessions::new(Hashing::with_seed(1));
        for port in 1..100 {
            let id = sessions.insert_imported(session(port as u8, port));
            sessions.move_to(id.index, Address::other([1; 16], port));
            sessions.remove_association(id.index);
        }
        assert!(sessions.by_address.is_empty() && sessions.by_cid.is_empty());
        assert_eq!((sessions.slots.len(), sessions.established()), (1, 0));
    }

    #[test]
    fn the_idlest_of_a_sample_is_found() {
        let mut sessions = Sessions::new(Hashing::with_seed(1));
        let mut random = Random::from_seed([1; 32]);
        assert_eq!(sessions.idle_session(&mut random), None);
        for port in 1..10 {
            sessions.insert_imported(session(port as u8, port));
        }
        let mut found: Vec<_> = (0..100)
            .filter_map(|_| sessions.idle_session(&mut random))
            .collect();
        found.sort_unstable();
        assert_eq!(found[50], 0);
    }
}
