//! The server role of Observe: those who observe our resources, and what they are told (RFC 7641 §4).

use alloc::vec::Vec;

use super::Endpoint;
use super::send::{Parcel, Purpose};
use super::serve::write_response;
use crate::event::{Event, KnownObserver, ObserverEnd, Refused};
use crate::id::{Barrier, ExchangeId, Instant, NotificationId, ObserverId, PeerId};
use crate::message::{MessageId, MessageType, Response, Token};
use crate::observe::{CONFIRMABLE_EVERY, next_sequence};
use crate::outbox::Draft;
use crate::peers::{Slot, Waiting};

/// Message IDs of the last Non-confirmable notifications of an observer, by which a Reset finds it. More
/// would be sent only to a peer that lets several pass before it says that it does not want them.
const RECENT_MAX: usize = 4;

/// A peer that observes one of our resources.
#[derive(Debug)]
pub(crate) struct Observer {
    slot: Slot,
    token: Token,
    /// Of its request, so that the rest of a large notification is found.
    key: u64,
    sequence: u32,
    last_confirmable: Instant,
    recent: [Option<MessageId>; RECENT_MAX],
}

impl Endpoint {
    /// Answers a request that registers an observer, and takes it as one. The Observe option is added. One
    /// with the same token is replaced.
    ///
    /// # Errors
    ///
    /// As [`Endpoint::respond`]; also if the request did not carry Observe 0, the response is an error,
    /// or the peer has too many observers. Then nothing was sent, and a plain `respond` is still possible.
    pub fn respond_observed(
        &mut self,
        now: Instant,
        exchange: ExchangeId,
        mut response: Response,
        barrier: Barrier,
    ) -> Result<ObserverId, Refused> {
        let asking = self.asking(exchange)?;
        if asking.observe != Some(0) {
            return Err(Refused::WrongExchange);
        }
        if !response.code.is_success() || !super::is_answer(response.code) {
            return Err(Refused::WrongCode);
        }
        let (slot, token) = self
            .exchange(exchange)
            .map(|open| (open.slot, open.token))?;
        let known = self.observer_with_token(slot, token);
        // A late copy of the request must not set the order of notifications back (RFC 7641 §4.4).
        let sequence = known
            .and_then(|index| self.observers.get(index))
            .map_or(1, |observer| (observer.sequence + 1) & 0xff_ffff);
        if known.is_none() {
            self.check_room_for_observer(slot)?;
        }
        let sliced = self.slice(exchange, &asking, &mut response)?;
        if let Some(index) = known {
            self.drop_observer(now, index, ObserverEnd::Replaced);
        }
        let observer = self.insert_observer(now, slot, token, asking.key, sequence);
        self.answer(
            now,
            exchange,
            asking,
            response,
            sliced,
            Some(sequence),
            barrier,
        );
        Ok(observer)
    }

    /// Notifies an observer. A large body is notified with its first block and kept for fetching. An error
    /// code ends the observer. Non-confirmable ones become Confirmable once a day (RFC 7641 §4.5). A
    /// Confirmable one waits until those before it are acknowledged or given up; of a Non-confirmable one
    /// nothing is told, unless the peer resets it.
    ///
    /// # Errors
    ///
    /// The observer is gone, too many notifications wait, or the code is no response code.
    pub fn notify(
        &mut self,
        now: Instant,
        observer: ObserverId,
        response: Response,
        confirmable: bool,
        barrier: Barrier,
    ) -> Result<NotificationId, Refused> {
        let (slot, token, key) = self
            .observer(observer)
            .map(|observer| (observer.slot, observer.token, observer.key))?;
        if !super::is_answer(response.code) {
            return Err(Refused::WrongCode);
        }
        let waiting = self
            .peers
            .live(slot)
            .map_or(0, |live| live.telling.waiting.len());
        if confirmable && waiting >= usize::from(self.config.limits.replies_waiting_max) {
            return Err(Refused::PeerFull);
        }
        let size = self.profile(self.peers.id(slot)).block_size;
        let sliced = self.slice_for(None, size, &response)?;
        let notification = NotificationId(self.next_notification);
        self.next_notification += 1;
        let Some(book) = self.observers.get_mut(observer.index()) else {
            return Err(Refused::UnknownObserver);
        };
        let confirmable =
            confirmable || now >= book.last_confirmable.saturating_add(CONFIRMABLE_EVERY);
        book.sequence = next_sequence(book.sequence);
        let sequence = response.code.is_success().then_some(book.sequence);
        if confirmable {
            book.last_confirmable = now;
        }
        let (message_type, message_id) = match confirmable {
            true => (MessageType::Confirmable, MessageId(0)),
            false => (MessageType::NonConfirmable, self.message_id(slot)),
        };
        let draft = Draft {
            message_type,
            code: response.code,
            message_id,
            token,
            options: response.options.view(),
            extra: &[],
            payload: &response.payload,
        };
        let bytes = write_response(&mut self.outbox, draft, &sliced, sequence, None);
        let ends = !response.code.is_success();
        self.keep_for_fetching(now, slot, key, response, sliced, barrier);
        if confirmable {
            let purpose = Purpose::Notification(observer, notification);
            self.post(
                now,
                slot,
                Parcel {
                    bytes,
                    barrier,
                    purpose,
                },
            );
        } else {
            self.send_non_confirmable(slot, bytes, barrier);
            if let Some(book) = self.observers.get_mut(observer.index()) {
                book.recent.rotate_right(1);
                book.recent[0] = Some(message_id);
            }
        }
        if ends {
            self.drop_observer(now, observer.index(), ObserverEnd::Final);
        }
        Ok(notification)
    }

    /// Forgets an observer, without telling it. Its waiting notifications are not sent any more.
    ///
    /// # Errors
    ///
    /// The observer is not known.
    pub fn remove_observer(&mut self, now: Instant, observer: ObserverId) -> Result<(), Refused> {
        self.observer(observer)?;
        self.take_observer(now, observer.index(), true);
        Ok(())
    }

    /// The last sequence number that was used for an observer, to be stored with it.
    ///
    /// # Errors
    ///
    /// The observer is not known.
    pub fn observer_sequence(&self, observer: ObserverId) -> Result<u32, Refused> {
        self.observer(observer).map(|observer| observer.sequence)
    }

    /// Takes up an observer from before a restart.
    ///
    /// # Errors
    ///
    /// Too many observers, or too many peers.
    pub fn restore_observer(
        &mut self,
        now: Instant,
        known: KnownObserver,
    ) -> Result<ObserverId, Refused> {
        let KnownObserver {
            peer,
            token,
            request,
            sequence,
        } = known;
        let slot = self.slot(now, peer).ok_or(Refused::EndpointFull)?;
        match self.observer_with_token(slot, token) {
            Some(index) => {
                self.take_observer(now, index, true);
            }
            None => self.check_room_for_observer(slot)?,
        }
        let key = self.survey(request.code, request.options.view()).key;
        Ok(self.insert_observer(now, slot, token, key, sequence))
    }

    pub(super) fn observer(&self, observer: ObserverId) -> Result<&Observer, Refused> {
        let index = observer.index();
        match self.observers.is_current(index, observer.generation()) {
            true => self.observers.get(index).ok_or(Refused::UnknownObserver),
            false => Err(Refused::UnknownObserver),
        }
    }

    fn check_room_for_observer(&self, slot: Slot) -> Result<(), Refused> {
        let observers = self.peers.live(slot).map_or(0, |live| live.observers.len());
        match observers < usize::from(self.config.limits.observers_per_peer_max) {
            true => Ok(()),
            false => Err(Refused::PeerFull),
        }
    }

    fn insert_observer(
        &mut self,
        now: Instant,
        slot: Slot,
        token: Token,
        key: u64,
        sequence: u32,
    ) -> ObserverId {
        let recent = [None; RECENT_MAX];
        let last_confirmable = now;
        let index = self.observers.insert(Observer {
            slot,
            token,
            key,
            sequence,
            last_confirmable,
            recent,
        });
        self.peers.enliven(slot).observers.push(index);
        ObserverId::new(index, self.observers.generation(index))
    }

    fn observer_with_token(&self, slot: Slot, token: Token) -> Option<u32> {
        let live = self.peers.live(slot)?;
        let has_token = |index: &u32| self.observers.get(*index).is_some_and(|o| o.token == token);
        live.observers.iter().copied().find(has_token)
    }

    /// The observer that was told something in a Non-confirmable message with this id.
    pub(super) fn observer_notified_with(&self, slot: Slot, message_id: MessageId) -> Option<u32> {
        let live = self.peers.live(slot)?;
        let was_told = |index: &u32| {
            self.observers
                .get(*index)
                .is_some_and(|o| o.recent.contains(&Some(message_id)))
        };
        live.observers.iter().copied().find(was_told)
    }

    /// The peer asks with Observe 1.
    pub(super) fn deregister(&mut self, now: Instant, slot: Slot, token: Token) {
        if let Some(index) = self.observer_with_token(slot, token) {
            self.drop_observer(now, index, ObserverEnd::Deregistered);
        }
    }

    /// An observer is gone, and the layer above hears of it.
    pub(super) fn drop_observer(&mut self, now: Instant, index: u32, reason: ObserverEnd) {
        let observer = ObserverId::new(index, self.observers.generation(index));
        // The error that ends it is still to be delivered.
        let silence = reason != ObserverEnd::Final;
        if let Some(peer) = self.take_observer(now, index, silence) {
            self.outbox.event(Event::ObserverGone {
                observer,
                peer,
                reason,
            });
        }
    }

    /// Takes an observer out of the books, and its notifications out of the way if it is to hear no more.
    fn take_observer(&mut self, now: Instant, index: u32, silence: bool) -> Option<PeerId> {
        let id = ObserverId::new(index, self.observers.generation(index));
        let observer = self.observers.remove(index)?;
        let slot = observer.slot;
        let Some(live) = self.peers.live_mut(slot) else {
            return Some(self.peers.id(slot));
        };
        live.observers.retain(|other| *other != index);
        if silence {
            let is_of =
                |purpose: &Purpose| matches!(purpose, Purpose::Notification(of, _) if *of == id);
            live.telling.waiting.retain(|waiting| match waiting {
                Waiting::Message(parcel) => !is_of(&parcel.purpose),
                Waiting::Request(_) => true,
            });
            let in_flight: Vec<u32> = live
                .in_flight
                .iter()
                .copied()
                .filter(|at| {
                    self.transmissions
                        .get(*at)
                        .is_some_and(|t| is_of(&t.purpose))
                })
                .collect();
            for transmission in in_flight {
                self.end_transmission(transmission);
                self.leave_lane(now, slot, false);
            }
        }
        self.peers.settle(slot);
        Some(self.peers.id(slot))
    }
}
