//! Forgetting a peer with everything that is under way.

use alloc::vec::Vec;

use super::Endpoint;
use super::send::Purpose;
use crate::event::{Event, Failure, ObservationEnd, ObserverEnd};
use crate::id::{Instant, PeerId};
use crate::peers::{Slot, Waiting};

impl Endpoint {
    /// Drops everything about a peer. What we asked it fails with [`Failure::Forgotten`], observations and
    /// observers end; open exchanges of it end silently. After this its id may be used anew.
    pub fn forget_peer(&mut self, now: Instant, peer: PeerId) {
        while let Some(index) = self.observations.first_of(peer) {
            self.end_observation(index, ObservationEnd::Forgotten);
        }
        self.profiles.remove(&peer);
        let Some(slot) = self.peers.find(peer) else {
            return;
        };
        self.empty_lanes(slot);
        while let Some(index) = self.first_open(slot) {
            self.close_unanswered(index);
        }
        let Some(live) = self.peers.live(slot) else {
            return self.peers.remove(slot);
        };
        let (requests, bodies) = (live.requests.clone(), live.bodies.clone());
        let (served, observers) = (live.served.clone(), live.observers.clone());
        for index in requests {
            self.fail_request(now, index, Failure::Forgotten);
        }
        for index in observers {
            self.drop_observer(now, index, ObserverEnd::Forgotten);
        }
        for index in bodies {
            self.remove_body(index);
        }
        for index in served {
            self.remove_served(index);
        }
        let in_flight = self
            .peers
            .live(slot)
            .map_or_else(Vec::new, |live| live.in_flight.clone());
        for index in in_flight {
            if let Some(Purpose::Ping(ping)) = self.end_transmission(index) {
                self.outbox.event(Event::PingTimedOut { ping, peer });
            }
        }
        self.peers.remove(slot);
    }

    /// What waits for its turn must not get it while what is before it ends.
    fn empty_lanes(&mut self, slot: Slot) {
        let Some(live) = self.peers.live_mut(slot) else {
            return;
        };
        live.telling.waiting.clear();
        let peer = self.peers.id(slot);
        let Some(live) = self.peers.live_mut(slot) else {
            return;
        };
        for waiting in core::mem::take(&mut live.asking.waiting) {
            if let Waiting::Message(parcel) = waiting
                && let Purpose::Ping(ping) = parcel.purpose
            {
                self.outbox.event(Event::PingTimedOut { ping, peer });
            }
        }
    }
}
