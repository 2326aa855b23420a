//! The client role of Observe: resources of peers that we observe, and their notifications (RFC 7641 §3).
//!
//! 1. The response to a request with Observe 0 begins an observation (`ask`).
//! 2. A notification is matched by peer and token, held against the last one, and told; if its body is
//!    large, the rest is fetched first.
//! 3. The layer above acknowledges it when what it says is safe, or rejects it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::num::NonZeroU64;
use core::time::Duration;

use hashbrown::HashMap;

use super::Endpoint;
use super::serve::Kind;
use crate::block::{BlockValue, Download, response_of};
use crate::code::Code;
use crate::event::{Event, KnownObservation, ObservationEnd, Refused, RequestSettings};
use crate::id::{Barrier, ExchangeId, Instant, ObservationId, PeerId, RequestId};
use crate::message::{Message, MessageType, Request, Response, Token};
use crate::observe::is_fresh;
use crate::option::{OptionList, Options};
use crate::peers::Slot;
use crate::slab::Slab;
use crate::stats::Drop;
use crate::wire::datagram::put_payload;

const END: u32 = u32::MAX;

/// A resource of a peer that we observe. There are several for each of a million peers, so it is small.
#[derive(Debug)]
struct Observation {
    peer: PeerId,
    token: Token,
    /// To be rejected with its next notification.
    cancelled: bool,
    /// The next one of this peer.
    next: u32,
    sequence: u32,
    /// When that came, in milliseconds; `None` before the first.
    at_ms: Option<NonZeroU64>,
    /// Code, options and payload of the request, as they stand on the wire.
    request: Box<[u8]>,
}

/// Every observation, found by peer and token.
#[derive(Debug, Default)]
pub(crate) struct Observations {
    slab: Slab<Observation>,
    /// The first observation of each peer that has any.
    first: HashMap<PeerId, u32>,
}

/// What a notification changed when it came, so that one that is not taken after all is as fresh when it
/// comes again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noted {
    pub(super) observation: ObservationId,
    sequence: u32,
    before: (u32, Option<NonZeroU64>),
}

impl Observations {
    /// Adds one, or takes the place of the one with the same token. `None` if there are too many.
    pub(super) fn insert(
        &mut self,
        peer: PeerId,
        token: Token,
        request: &Request,
        last: Option<(u32, Instant)>,
        observations_max: u32,
    ) -> Option<ObservationId> {
        let request = compact(request);
        let sequence = last.map_or(0, |(sequence, _)| sequence);
        let at_ms = last.map(|(_, at)| milliseconds(at));
        if let Some(index) = self.find(peer, token) {
            let known = self.slab.get_mut(index)?;
            (known.sequence, known.at_ms, known.request) = (sequence, at_ms, request);
            known.cancelled = false;
            return Some(self.id(index));
        }
        if self.slab.len() >= observations_max {
            return None;
        }
        let next = self.first.get(&peer).copied().unwrap_or(END);
        let cancelled = false;
        let index = self.slab.insert(Observation {
            peer,
            token,
            cancelled,
            next,
            sequence,
            at_ms,
            request,
        });
        self.first.insert(peer, index);
        Some(self.id(index))
    }

    fn id(&self, index: u32) -> ObservationId {
        ObservationId::new(index, self.slab.generation(index))
    }

    fn index(&self, observation: ObservationId) -> Result<u32, Refused> {
        match self
            .slab
            .is_current(observation.index(), observation.generation())
        {
            true => Ok(observation.index()),
            false => Err(Refused::UnknownObservation),
        }
    }

    fn find(&self, peer: PeerId, token: Token) -> Option<u32> {
        let mut index = *self.first.get(&peer)?;
        while let Some(observation) = self.slab.get(index) {
            if observation.token == token {
                return Some(index);
            }
            index = observation.next;
        }
        None
    }

    fn remove(&mut self, index: u32) -> Option<Observation> {
        let gone = self.slab.remove(index)?;
        let mut at = self.first.get(&gone.peer).copied().unwrap_or(END);
        if at == index {
            match gone.next {
                END => self.first.remove(&gone.peer),
                next => self.first.insert(gone.peer, next),
            };
            return Some(gone);
        }
        while let Some(observation) = self.slab.get_mut(at) {
            if observation.next == index {
                observation.next = gone.next;
                break;
            }
            at = observation.next;
        }
        Some(gone)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slab.len() == 0 && self.first.is_empty()
    }

    /// The first observation of a peer.
    pub(super) fn first_of(&self, peer: PeerId) -> Option<u32> {
        self.first.get(&peer).copied()
    }
}

impl Endpoint {
    /// Takes up an observation from before a restart. One with the same peer and token is replaced.
    ///
    /// # Errors
    ///
    /// Too many observations.
    pub fn restore_observation(
        &mut self,
        known: KnownObservation,
    ) -> Result<ObservationId, Refused> {
        let KnownObservation {
            peer,
            token,
            request,
            last,
        } = known;
        let observations_max = self.config.limits.observations_max;
        self.observations
            .insert(peer, token, &request, last, observations_max)
            .ok_or(Refused::EndpointFull)
    }

    /// Cancels an observation the quiet way: its next notification is rejected with a Reset (RFC 7641 §3.6)
    /// and not told any more; then the observation ends.
    ///
    /// # Errors
    ///
    /// The observation is not known.
    pub fn cancel_by_reset(&mut self, observation: ObservationId) -> Result<(), Refused> {
        let index = self.observations.index(observation)?;
        if let Some(observation) = self.observations.slab.get_mut(index) {
            observation.cancelled = true;
        }
        Ok(())
    }

    /// Cancels an observation by its request with Observe 1 and the same token. The answer comes as that of any
    /// request, and with it the observation ends.
    ///
    /// # Errors
    ///
    /// The observation is not known, or too many requests.
    pub fn cancel_by_request(
        &mut self,
        now: Instant,
        observation: ObservationId,
        settings: RequestSettings,
    ) -> Result<RequestId, Refused> {
        let index = self.observations.index(observation)?;
        let known = self
            .observations
            .slab
            .get(index)
            .ok_or(Refused::UnknownObservation)?;
        let (peer, token) = (known.peer, known.token);
        let request = expand(&known.request);
        self.ask(now, peer, request, settings, Some(token), Some(1), None)
            .map(|(id, _)| id)
    }

    /// Drops an observation without a word to the peer; its next notification will be unknown.
    ///
    /// # Errors
    ///
    /// The observation is not known.
    pub fn remove_observation(&mut self, observation: ObservationId) -> Result<(), Refused> {
        let index = self.observations.index(observation)?;
        self.observations.remove(index);
        Ok(())
    }

    /// Acknowledges a notification, once it is safe under `barrier`. Of a Non-confirmable one it only ends the
    /// exchange.
    ///
    /// # Errors
    ///
    /// The exchange is not an open notification.
    pub fn acknowledge(
        &mut self,
        now: Instant,
        exchange: ExchangeId,
        barrier: Barrier,
    ) -> Result<(), Refused> {
        let _ = now;
        if !matches!(self.exchange(exchange)?.kind, Kind::Notification(_)) {
            return Err(Refused::WrongExchange);
        }
        if let Some(closed) = self.close(exchange.index()) {
            let message_type = match closed.confirmable && !closed.acknowledged {
                true => MessageType::Confirmable,
                false => MessageType::NonConfirmable,
            };
            if !closed.acknowledged {
                self.acknowledge_message(closed.slot, message_type, closed.message_id, barrier);
            }
            self.peers.settle(closed.slot);
        }
        Ok(())
    }

    /// Rejects a notification with a Reset, which tells the peer to forget us as an observer; a known
    /// observation ends. Of a Confirmable request it says that it could not be made sense of; a Non-confirmable
    /// one, and one that was acknowledged already, is dropped.
    ///
    /// # Errors
    ///
    /// The exchange is not open.
    pub fn reject(&mut self, now: Instant, exchange: ExchangeId) -> Result<(), Refused> {
        let _ = now;
        self.exchange(exchange)?;
        let Some(exchange) = self
            .exchanges
            .get(exchange.index())
            .map(|_| exchange.index())
        else {
            return Err(Refused::UnknownExchange);
        };
        let Some(open) = self.exchanges.get(exchange) else {
            return Err(Refused::UnknownExchange);
        };
        let (slot, message_id) = (open.slot, open.message_id);
        let resets = open.confirmable && !open.acknowledged;
        let observation = match &open.kind {
            Kind::Notification(noted) => Some(noted.map(|noted| noted.observation)),
            Kind::Fetching(noted) => Some(Some(noted.observation)),
            Kind::Request(_) => None,
        };
        self.close_unanswered(exchange);
        if resets {
            self.reject_message(slot, MessageType::Confirmable, message_id);
        } else if observation.is_some() {
            // A Reset also cancels what was told Non-confirmable.
            self.send_reset(self.peers.id(slot), message_id);
        }
        if let Some(Some(observation)) = observation
            && let Ok(index) = self.observations.index(observation)
        {
            self.end_observation(index, ObservationEnd::Cancelled);
        }
        Ok(())
    }

    /// A response with a token that no request of ours has.
    pub(super) fn receive_notification(
        &mut self,
        now: Instant,
        peer: PeerId,
        message: &Message<'_>,
    ) {
        let known = self.observations.find(peer, message.token);
        let sequence = message.options.observe();
        if known.is_none() && sequence.is_none() && self.peers.find(peer).is_none() {
            // Nothing to remember it by, and nothing lost if it comes again.
            self.outbox.stats.drop(Drop::UnknownToken);
            if message.message_type == MessageType::Confirmable {
                self.send_reset(peer, message.message_id);
            }
            return;
        }
        let Some(slot) = self.admit(
            now,
            peer,
            message.message_type,
            message.code,
            message.message_id,
        ) else {
            return;
        };
        match (known, sequence) {
            (Some(index), _) => self.notified(now, slot, message, index, sequence),
            (None, Some(sequence)) => self.notified_unknown(now, slot, message, sequence),
            (None, None) => {
                self.outbox.stats.drop(Drop::UnknownToken);
                self.reject_message(slot, message.message_type, message.message_id);
            }
        }
    }

    fn notified_unknown(&mut self, now: Instant, slot: Slot, message: &Message<'_>, sequence: u32) {
        let kind = Kind::Notification(None);
        let Some(exchange) = self.open(now, slot, message, kind) else {
            return;
        };
        self.outbox.event(Event::UnknownNotification {
            exchange,
            peer: self.peers.id(slot),
            token: message.token,
            sequence,
            confirmable: message.message_type == MessageType::Confirmable,
            response: response_of(message),
        });
    }

    fn notified(
        &mut self,
        now: Instant,
        slot: Slot,
        message: &Message<'_>,
        index: u32,
        sequence: Option<u32>,
    ) {
        let survey = self.survey(message.code, message.options);
        let Some(observation) = self.observations.slab.get_mut(index) else {
            return;
        };
        if observation.cancelled || survey.bad_option.is_some() || survey.bad_block {
            if !observation.cancelled {
                self.outbox.stats.drop(Drop::BadOptionInResponse);
            }
            self.reject_message(slot, message.message_type, message.message_id);
            if message.message_type == MessageType::NonConfirmable {
                self.send_reset(self.peers.id(slot), message.message_id);
            }
            return self.end_observation(index, ObservationEnd::Cancelled);
        }
        // An error or an answer without Observe is the last word (RFC 7641 §3.2).
        let sequence = sequence.filter(|_| message.code.is_success());
        let before = (observation.sequence, observation.at_ms);
        let last = observation
            .at_ms
            .map(|at| (observation.sequence, Duration::from_millis(at.get())));
        let fresh = sequence.is_none_or(|sequence| is_fresh(last, sequence, now));
        if let (Some(sequence), true) = (sequence, fresh) {
            observation.sequence = sequence;
            observation.at_ms = Some(milliseconds(now));
        }
        let observation = self.observations.id(index);
        let noted = sequence.map(|sequence| Noted {
            observation,
            sequence,
            before,
        });
        let large = survey.block2.filter(|block| block.more);
        match (large, noted) {
            (Some(block), Some(noted)) if fresh => {
                self.fetch_rest(now, slot, message, block, noted);
            }
            // What could be fetched now is not what a late notification spoke of.
            (Some(_), Some(_)) => {
                self.outbox.stats.drop(Drop::BlockOutOfOrder);
                self.acknowledge_message(slot, message.message_type, message.message_id, 0);
            }
            _ => self.tell_notification(now, slot, message, observation, noted, fresh),
        }
    }

    fn tell_notification(
        &mut self,
        now: Instant,
        slot: Slot,
        message: &Message<'_>,
        observation: ObservationId,
        noted: Option<Noted>,
        fresh: bool,
    ) {
        let kind = Kind::Notification(noted);
        let Some(exchange) = self.open(now, slot, message, kind) else {
            return self.take_back(noted);
        };
        self.outbox.event(Event::Notification {
            exchange,
            observation,
            peer: self.peers.id(slot),
            token: message.token,
            sequence: noted.map(|noted| noted.sequence),
            fresh,
            confirmable: message.message_type == MessageType::Confirmable,
            response: response_of(message),
        });
        if noted.is_none() {
            self.end_observation(observation.index(), ObservationEnd::Final);
        }
    }

    /// The notification has the first block of its body; the rest is asked for under another token and
    /// without Observe (RFC 7959 §3.4).
    fn fetch_rest(
        &mut self,
        now: Instant,
        slot: Slot,
        message: &Message<'_>,
        block: BlockValue,
        noted: Noted,
    ) {
        let response_max = self.config.limits.response_max;
        let Ok(download) = Download::begin(message, block, response_max) else {
            self.outbox.stats.drop(Drop::BodyTooLarge);
            return self.acknowledge_message(slot, message.message_type, message.message_id, 0);
        };
        let Some(known) = self.observations.slab.get(noted.observation.index()) else {
            return;
        };
        let (peer, request) = (known.peer, expand(&known.request));
        let Some(exchange) = self.open(now, slot, message, Kind::Fetching(noted)) else {
            return self.take_back(Some(noted));
        };
        let settings = RequestSettings::default();
        let download = Some((download, exchange));
        let asked = self.ask(now, peer, request, settings, None, None, download);
        if asked.is_err() {
            self.notification_fetched(now, exchange, None);
        }
    }

    /// The rest of a notification's body has come, or will not come: then the peer may notify again.
    pub(super) fn notification_fetched(
        &mut self,
        now: Instant,
        exchange: ExchangeId,
        response: Option<Response>,
    ) {
        let Ok(open) = self.exchange(exchange) else {
            return;
        };
        let Kind::Fetching(noted) = open.kind else {
            return;
        };
        let (slot, message_id, confirmable) = (open.slot, open.message_id, open.confirmable);
        let observation = noted.observation;
        let known = self.observations.index(observation).ok();
        let known = known.and_then(|index| self.observations.slab.get(index));
        let whole = response.filter(|response| response.code.is_success());
        let (Some(known), Some(response)) = (known, whole) else {
            self.take_back(Some(noted));
            self.close_unanswered(exchange.index());
            return self.peers.forget_message(slot, message_id);
        };
        let (peer, token) = (known.peer, known.token);
        if let Some(open) = self.exchanges.get_mut(exchange.index()) {
            open.kind = Kind::Notification(Some(noted));
        }
        self.let_exchange_live(now, exchange.index());
        self.outbox.event(Event::Notification {
            exchange,
            observation,
            peer,
            token,
            sequence: Some(noted.sequence),
            fresh: true,
            confirmable,
            response,
        });
    }

    /// A notification was not taken: unless a newer one has come, it is as if it had not been seen.
    pub(super) fn take_back(&mut self, noted: Option<Noted>) {
        if let Some(noted) = noted
            && let Ok(index) = self.observations.index(noted.observation)
            && let Some(observation) = self.observations.slab.get_mut(index)
            && observation.sequence == noted.sequence
        {
            (observation.sequence, observation.at_ms) = noted.before;
        }
    }

    /// A request with Observe 1 was answered.
    pub(super) fn observation_cancelled(&mut self, peer: PeerId, token: Token) {
        if let Some(index) = self.observations.find(peer, token) {
            self.end_observation(index, ObservationEnd::Cancelled);
        }
    }

    pub(super) fn end_observation(&mut self, index: u32, reason: ObservationEnd) {
        let observation = self.observations.id(index);
        if let Some(Observation { peer, token, .. }) = self.observations.remove(index) {
            self.outbox.event(Event::ObservationEnded {
                observation,
                peer,
                token,
                reason,
            });
        }
    }
}

/// Never zero, so that it stands in the place of an option.
fn milliseconds(at: Instant) -> NonZeroU64 {
    NonZeroU64::new(at.as_millis() as u64).unwrap_or(NonZeroU64::MIN)
}

fn compact(request: &Request) -> Box<[u8]> {
    let options = request.options.view();
    let mut bytes = Vec::with_capacity(2 + options.as_encoded().len() + request.payload.len());
    bytes.push(request.code.0);
    bytes.extend_from_slice(options.as_encoded());
    put_payload(&mut bytes, &request.payload);
    bytes.into_boxed_slice()
}

fn expand(bytes: &[u8]) -> Request {
    let (code, rest) = bytes
        .split_first()
        .expect("a compact request begins with its code");
    let (options, end) = Options::decode(rest).expect("a compact request was written here");
    let payload = rest.get(end + 1..).unwrap_or_default();
    Request {
        code: Code(*code),
        options: OptionList::from_options(options),
        payload: payload.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observation_is_small() {
        assert!(
            size_of::<Observation>() <= 56,
            "{}",
            size_of::<Observation>()
        );
    }

    #[test]
    fn a_request_survives_being_made_compact() {
        for payload in [&b""[..], b"\xff", b"[{}]"] {
            let request = Request::new(Code::FETCH)
                .with_path("3/0")
                .with_payload(payload);
            assert_eq!(expand(&compact(&request)), request);
        }
    }

    #[test]
    fn observations_of_a_peer_are_found_by_token_and_taken_out_one_by_one() {
        let mut all = Observations::default();
        let request = Request::new(Code::GET).with_path("3/0/1");
        let token = |byte| Token::new(&[byte]).unwrap();
        for byte in 0..4 {
            assert!(
                all.insert(PeerId(7), token(byte), &request, None, 5)
                    .is_some()
            );
        }
        assert!(all.insert(PeerId(8), token(0), &request, None, 5).is_some());
        assert!(
            all.insert(PeerId(8), token(1), &request, None, 5).is_none(),
            "five is the limit"
        );
        assert!(
            all.insert(PeerId(8), token(0), &request, None, 5).is_some(),
            "replaced"
        );
        for byte in [1, 3, 0, 2] {
            let index = all.find(PeerId(7), token(byte)).unwrap();
            all.remove(index);
            assert_eq!(all.find(PeerId(7), token(byte)), None);
        }
        assert_eq!(all.first_of(PeerId(7)), None);
        assert!(all.find(PeerId(8), token(0)).is_some());
    }
}
