//! The records of peers: the memory of their last exchanges, and what is under way with them.
//!
//! A record is made when a peer is first heard or spoken to, and dropped when EXCHANGE_LIFETIME has passed
//! without a word and nothing is under way. A million peers that are silent cost nothing.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use hashbrown::HashMap;

use crate::dedup::{Answers, LIFETIME_MAX, Memory, Overflow, Remembered, Seen, prune_overflow};
use crate::directory::Directory;
use crate::id::{Barrier, Instant, PeerId};
use crate::message::MessageId;
use crate::round_trip::RoundTrips;
use crate::slab::Slab;

/// The place of a peer's record.
pub(crate) type Slot = u32;

pub(crate) const NONE: u32 = u32::MAX;

/// Records looked at in one go for those whose memory has run out: a few hundred kilobytes, so that a
/// million peers are swept in small steps. Where there are fewer, all are looked at, and only when the
/// first of them is due.
const SWEEP: usize = 4096;
/// A record that still has something under way when its memory runs out is looked at again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// If nobody has looked for so long, the host has slept; the small clocks in the records may have turned,
/// so nothing in them is believed.
const SLEPT: Duration = Duration::from_secs(3600);

/// Records fetched beside each other: more than a processor has loads under way.
const AHEAD: usize = 32;

#[derive(Debug)]
struct Record {
    memory: Memory,
    id: PeerId,
    /// In `lives`; for a vacant record the next vacant one.
    live: u32,
    /// The first open exchange, which names the next.
    exchanges: u32,
    next_message_id: u16,
    /// When the memory runs out, in seconds; 16 bits are eighteen hours.
    until: u16,
    overflowing: bool,
    vacant: bool,
}

/// What is under way with one peer, by places in the slabs of the endpoint.
#[derive(Debug, Default)]
pub(crate) struct Live {
    /// What we ask it: requests and pings.
    pub(crate) asking: Lane,
    /// What we tell it: separate responses and Confirmable notifications.
    pub(crate) telling: Lane,
    /// Confirmable messages not acknowledged yet.
    pub(crate) in_flight: Vec<u32>,
    pub(crate) requests: Vec<u32>,
    /// Request bodies it is sending.
    pub(crate) bodies: Vec<u32>,
    /// Response bodies it may go on fetching.
    pub(crate) served: Vec<u32>,
    pub(crate) observers: Vec<u32>,
}

impl Live {
    fn is_idle(&self) -> bool {
        self.asking.is_idle()
            && self.telling.is_idle()
            && self.in_flight.is_empty()
            && self.requests.is_empty()
            && self.bodies.is_empty()
            && self.served.is_empty()
            && self.observers.is_empty()
    }
}

/// What may be outstanding is bounded by NSTART; the rest waits here in order (RFC 7252 §4.7).
#[derive(Debug, Default)]
pub(crate) struct Lane {
    pub(crate) outstanding: u16,
    pub(crate) waiting: VecDeque<Waiting>,
}

impl Lane {
    fn is_idle(&self) -> bool {
        self.outstanding == 0 && self.waiting.is_empty()
    }
}

/// Something that waits for its turn.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// A request of ours.
    Request(u32),
    /// A written message whose Message ID is still to be set.
    Message(crate::endpoint::Parcel),
}

#[derive(Debug)]
pub(crate) struct Peers {
    directory: Directory,
    records: Vec<Record>,
    vacant: u32,
    /// The next record to be looked at, and when.
    sweep_at: usize,
    sweep_next: Option<Instant>,
    overflow: HashMap<Slot, Overflow>,
    answers: Answers,
    pub(crate) round_trips: RoundTrips,
    lives: Slab<Live>,
    peers_max: u32,
    answers_total_max: usize,
    message_ids_per_peer_max: u16,
}

impl Peers {
    pub(crate) fn new(limits: &crate::config::Limits) -> Self {
        Self {
            directory: Directory::default(),
            records: Vec::new(),
            vacant: NONE,
            sweep_at: 0,
            sweep_next: None,
            overflow: HashMap::new(),
            answers: Answers::default(),
            round_trips: RoundTrips::default(),
            lives: Slab::new(),
            peers_max: limits.peers_max,
            answers_total_max: limits.answers_total_max,
            message_ids_per_peer_max: limits.message_ids_per_peer_max,
        }
    }

    /// How many records there are.
    pub(crate) fn len(&self) -> usize {
        self.directory.len()
    }

    /// Whether nothing is held for any peer.
    pub(crate) fn is_blank(&self) -> bool {
        self.directory.is_empty()
            && self.overflow.is_empty()
            && self.lives.len() == 0
            && self.answers.is_empty()
            && self.round_trips.is_empty()
    }

    #[inline]
    pub(crate) fn find(&self, peer: PeerId) -> Option<Slot> {
        self.directory.find(peer.0)
    }

    /// Fetches records into the caches of the processor.
    pub(crate) fn touch(&self, peers: &[PeerId]) {
        for peers in peers.chunks(AHEAD) {
            let mut slots = [NONE; AHEAD];
            for (slot, peer) in slots.iter_mut().zip(peers) {
                *slot = self.find(*peer).unwrap_or(NONE);
            }
            let records = slots
                .iter()
                .filter_map(|slot| self.records.get(*slot as usize));
            let read = records.fold(0, |read, record| {
                read ^ record.until ^ record.memory.touch()
            });
            core::hint::black_box(read);
        }
    }

    /// The record of a peer, made if it is missing. `None` if there are too many.
    #[inline]
    pub(crate) fn find_or_insert(&mut self, peer: PeerId, first_message_id: u16) -> Option<Slot> {
        if let Some(slot) = self.find(peer) {
            return Some(slot);
        }
        if self.directory.len() >= self.peers_max as usize {
            return None;
        }
        let record = Record {
            memory: Memory::NEW,
            id: peer,
            live: NONE,
            exchanges: NONE,
            next_message_id: first_message_id,
            until: 0,
            overflowing: false,
            vacant: false,
        };
        let slot = self.vacant;
        let slot = match self.records.get_mut(slot as usize) {
            Some(place) => {
                self.vacant = place.live;
                *place = record;
                slot
            }
            None => {
                self.records.push(record);
                (self.records.len() - 1) as u32
            }
        };
        self.directory.insert(peer.0, slot);
        Some(slot)
    }

    pub(crate) fn id(&self, slot: Slot) -> PeerId {
        self.records[slot as usize].id
    }

    /// The record lives at least this long from now.
    #[inline]
    pub(crate) fn keep(&mut self, now: Instant, slot: Slot, lifetime: Duration) {
        let end = now.saturating_add(lifetime.min(LIFETIME_MAX) + Duration::from_secs(1));
        self.records[slot as usize].until = end.as_secs() as u16;
        if self.sweep_next.is_none_or(|next| next > end) {
            self.sweep_next = Some(end);
        }
    }

    #[inline]
    pub(crate) fn look_up(
        &self,
        now: Instant,
        slot: Slot,
        message_id: MessageId,
        lifetime: Duration,
    ) -> Seen<'_> {
        let record = &self.records[slot as usize];
        let overflow = if record.overflowing {
            self.overflow.get(&slot)
        } else {
            None
        };
        record
            .memory
            .look_up(now, message_id, lifetime, &self.answers, overflow)
    }

    #[inline]
    pub(crate) fn remember(
        &mut self,
        now: Instant,
        slot: Slot,
        message_id: MessageId,
        once: bool,
        lifetime: Duration,
    ) {
        let record = &mut self.records[slot as usize];
        let out = record
            .memory
            .remember(now, message_id, once, lifetime, &mut self.answers);
        if let Some(older) = out {
            record.overflowing = true;
            let overflow = self.overflow.entry(slot).or_default();
            prune_overflow(overflow, now, lifetime);
            if overflow.len() >= usize::from(self.message_ids_per_peer_max) {
                overflow.pop_front();
            }
            overflow.push_back(older);
        }
        self.keep(now, slot, lifetime);
    }

    #[inline]
    pub(crate) fn answer(
        &mut self,
        slot: Slot,
        message_id: MessageId,
        remembered: Remembered<'_>,
        barrier: Barrier,
    ) {
        let memory = &mut self.records[slot as usize].memory;
        memory.answer(
            message_id,
            remembered,
            barrier,
            &mut self.answers,
            self.answers_total_max,
        );
    }

    /// Forgets a message that was admitted and could not be taken: its next copy is as good as the first.
    pub(crate) fn forget_message(&mut self, slot: Slot, message_id: MessageId) {
        self.records[slot as usize]
            .memory
            .forget(message_id, &mut self.answers);
    }

    /// The counter of Message IDs towards a peer.
    pub(crate) fn next_message_id(&mut self, slot: Slot) -> u16 {
        let record = &mut self.records[slot as usize];
        let id = record.next_message_id;
        record.next_message_id = id.wrapping_add(1);
        id
    }

    pub(crate) fn first_exchange(&self, slot: Slot) -> u32 {
        self.records[slot as usize].exchanges
    }

    pub(crate) fn set_first_exchange(&mut self, slot: Slot, exchange: u32) {
        self.records[slot as usize].exchanges = exchange;
    }

    pub(crate) fn live(&self, slot: Slot) -> Option<&Live> {
        self.lives.get(self.records[slot as usize].live)
    }

    pub(crate) fn live_mut(&mut self, slot: Slot) -> Option<&mut Live> {
        self.lives.get_mut(self.records[slot as usize].live)
    }

    /// What is under way, made if nothing was.
    pub(crate) fn enliven(&mut self, slot: Slot) -> &mut Live {
        let record = &mut self.records[slot as usize];
        if record.live == NONE {
            record.live = self.lives.insert(Live::default());
        }
        self.lives
            .get_mut(record.live)
            .expect("a record names a live place or none")
    }

    /// Lets go of what is no longer under way.
    pub(crate) fn settle(&mut self, slot: Slot) {
        let record = &mut self.records[slot as usize];
        if self.lives.get(record.live).is_some_and(Live::is_idle) {
            self.lives.remove(record.live);
            record.live = NONE;
        }
    }

    /// Drops records whose memory has run out.
    pub(crate) fn expire(&mut self, now: Instant) {
        if self.sweep_next.is_none_or(|next| next > now) {
            return;
        }
        self.wake_up(now);
        let end = self.records.len().min(self.sweep_at + SWEEP);
        let mut first_due = None;
        for slot in self.sweep_at..end {
            let record = &mut self.records[slot];
            if record.vacant {
                continue;
            }
            let mut left = record.until.wrapping_sub(now.as_secs() as u16) as i16;
            if left <= 0 && record.live == NONE && record.exchanges == NONE {
                self.remove(slot as Slot);
                continue;
            } else if left <= 0 {
                left = LOOK_AGAIN.as_secs() as i16;
                record.until = (now + LOOK_AGAIN).as_secs() as u16;
            }
            first_due = Some(first_due.map_or(left, |due: i16| due.min(left)));
        }
        self.sweep_at = if end < self.records.len() { end } else { 0 };
        let steps = self.records.len().div_ceil(SWEEP) as u32;
        self.sweep_next = match steps {
            _ if self.directory.is_empty() => None,
            0 | 1 => first_due.map(|left| {
                let due = now.as_secs().saturating_add(left as u64);
                Duration::from_secs(due)
            }),
            // A whole turn takes a quarter of what a record lives.
            _ => Some(now + Duration::from_secs(60) / steps),
        };
    }

    /// After a long sleep of the host no record is believed.
    #[inline]
    pub(crate) fn wake_up(&mut self, now: Instant) {
        if self
            .sweep_next
            .is_none_or(|next| now < next.saturating_add(SLEPT))
        {
            return;
        }
        for record in &mut self.records {
            record.memory.release(&mut self.answers);
            record.until = now.as_secs() as u16;
        }
        self.overflow.clear();
        self.sweep_next = Some(now);
    }

    pub(crate) fn next_wakeup(&self) -> Option<Instant> {
        self.sweep_next
    }

    /// Drops a record, with nothing under way.
    pub(crate) fn remove(&mut self, slot: Slot) {
        let record = &mut self.records[slot as usize];
        if record.vacant {
            return;
        }
        let id = record.id;
        record.vacant = true;
        record.memory.release(&mut self.answers);
        self.lives.remove(record.live);
        record.live = self.vacant;
        self.vacant = slot;
        if record.overflowing {
            self.overflow.remove(&slot);
        }
        self.round_trips.remove(slot);
        self.directory.remove(id.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;

    const LIFETIME: Duration = Duration::from_secs(247);

    #[test]
    fn a_record_is_small() {
        assert!(size_of::<Record>() <= 88, "{}", size_of::<Record>());
    }

    #[test]
    fn a_record_lives_as_long_as_its_memory_and_its_place_is_used_again() {
        let mut peers = Peers::new(&Limits::default());
        let start = Duration::from_secs(1000);
        for peer in 0..100 {
            let slot = peers.find_or_insert(PeerId(peer), 0).unwrap();
            peers.remember(start, slot, MessageId(1), true, LIFETIME);
        }
        peers.expire(start + LIFETIME);
        assert_eq!(peers.len(), 100);
        peers.expire(start + LIFETIME + Duration::from_secs(1));
        assert_eq!(peers.len(), 0);
        for peer in 100..200 {
            peers.find_or_insert(PeerId(peer), 0).unwrap();
        }
        assert_eq!(peers.records.len(), 100);
    }

    #[test]
    fn many_records_are_swept_in_steps() {
        let mut peers = Peers::new(&Limits::default());
        let start = Duration::from_secs(1000);
        for peer in 0..3 * SWEEP as u32 {
            let slot = peers.find_or_insert(PeerId(peer), 0).unwrap();
            peers.remember(start, slot, MessageId(1), true, LIFETIME);
        }
        let mut steps = 0;
        while let Some(next) = peers.next_wakeup() {
            assert!(next >= start + LIFETIME && next < start + LIFETIME + Duration::from_secs(90));
            let before = peers.len();
            peers.expire(next);
            assert_eq!(before - peers.len(), SWEEP);
            steps += 1;
        }
        assert_eq!((steps, peers.len()), (3, 0));
    }

    #[test]
    fn after_a_long_sleep_nothing_is_a_duplicate() {
        let mut peers = Peers::new(&Limits::default());
        let start = Duration::from_secs(1000);
        let slot = peers.find_or_insert(PeerId(1), 0).unwrap();
        peers.remember(start, slot, MessageId(1), true, LIFETIME);
        // The small clock of the memory has turned exactly once.
        let morning = start + Duration::from_secs(1 << 15);
        assert_ne!(
            peers.look_up(morning, slot, MessageId(1), LIFETIME),
            Seen::New
        );
        peers.wake_up(morning);
        assert_eq!(
            peers.look_up(morning, slot, MessageId(1), LIFETIME),
            Seen::New
        );
        peers.expire(morning);
        assert_eq!(peers.len(), 0);
    }

    #[test]
    fn there_is_a_limit_of_peers_and_of_their_message_ids() {
        let limits = Limits {
            peers_max: 1,
            message_ids_per_peer_max: 4,
            ..Limits::default()
        };
        let mut peers = Peers::new(&limits);
        let slot = peers.find_or_insert(PeerId(1), 0).unwrap();
        assert_eq!(peers.find_or_insert(PeerId(2), 0), None);
        assert_eq!(peers.find_or_insert(PeerId(1), 0), Some(slot));
        let now = Duration::from_secs(5);
        for id in 0..20 {
            peers.remember(now, slot, MessageId(id), true, LIFETIME);
        }
        let known =
            (0..20).filter(|id| peers.look_up(now, slot, MessageId(*id), LIFETIME) != Seen::New);
        assert_eq!(known.count(), 2 + 3 + 4);
    }
}
