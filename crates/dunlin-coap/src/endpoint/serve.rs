//! The server role: a request from its coming to its answer.
//!
//! 1. Duplicates and what must be refused are dealt with at once.
//! 2. The rest becomes an exchange, told as `Event::Request`, or a block of a body (`bodies`).
//! 3. The answer rides on the acknowledgement if it comes in time, and goes separately if not.

use alloc::vec::Vec;

use super::send::{Parcel, Purpose};
use super::served::Sliced;
use super::watch::Noted;
use super::{Endpoint, Timer, is_answer};
use crate::block::BlockValue;
use crate::code::Code;
use crate::dedup::Remembered;
use crate::event::{Event, Refused};
use crate::id::{Barrier, ExchangeId, Instant, PeerId};
use crate::message::{Message, MessageId, MessageType, Request, Response, Token};
use crate::option::{OptionList, OptionNumber, UintValue};
use crate::outbox::{Draft, Extra, Outbox};
use crate::peers::{NONE, Slot};
use crate::slab::Slab;
use crate::stats::Drop;
use crate::survey::Survey;
use crate::timer::TimerKey;

/// Something received that the layer above must close.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(super) slot: Slot,
    /// The next open exchange of this peer.
    next: u32,
    pub(super) message_id: MessageId,
    pub(super) token: Token,
    pub(super) confirmable: bool,
    /// It got an empty acknowledgement.
    pub(super) acknowledged: bool,
    timer: TimerKey,
    pub(super) kind: Kind,
}

/// What kind of exchange it is.
#[derive(Debug)]
pub(crate) enum Kind {
    /// A request, or one block of it.
    Request(Asking),
    /// A notification that waits to be acknowledged or rejected; with its observation, if that goes on.
    Notification(Option<Noted>),
    /// A notification whose body is still being fetched.
    Fetching(Noted),
}

/// What the answer to a request must know of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking {
    pub(super) key: u64,
    pub(super) observe: Option<u32>,
    pub(super) block1: Option<BlockValue>,
    pub(super) block2: Option<BlockValue>,
    /// The body it is a block of: place and generation.
    pub(super) body: Option<(u32, u32)>,
}

impl Endpoint {
    pub(super) fn receive_request(&mut self, now: Instant, peer: PeerId, message: &Message<'_>) {
        let Some(slot) = self.admit(
            now,
            peer,
            message.message_type,
            message.code,
            message.message_id,
        ) else {
            return;
        };
        self.receive_admitted(now, slot, message);
    }

    /// A request that is no duplicate.
    pub(super) fn receive_admitted(&mut self, now: Instant, slot: Slot, message: &Message<'_>) {
        let survey = self.survey(message.code, message.options);
        if let Some(refusal) = self.refusal(&survey) {
            let Some(code) = refusal else {
                return self
                    .peers
                    .answer(slot, message.message_id, Remembered::Silent, 0);
            };
            return match message.message_type {
                MessageType::Confirmable => self.answer_at_once(slot, message, code, &[]),
                _ => self
                    .peers
                    .answer(slot, message.message_id, Remembered::Silent, 0),
            };
        }
        if survey.observe == Some(1) {
            self.deregister(now, slot, message.token);
        }
        if survey.block2.is_some_and(|block| block.number > 0)
            && self.serve_on(now, slot, message, &survey)
        {
            return;
        }
        match survey.block1.filter(|block| block.more || block.number > 0) {
            Some(block) => self.receive_block(now, slot, message, &survey, block),
            None => {
                let request = Request {
                    code: message.code,
                    options: OptionList::from_options_in(self.outbox.buffer(), message.options),
                    payload: message.payload.into(),
                };
                self.tell_request(now, slot, message, &survey, request);
            }
        }
    }

    /// Whether a request must be refused before it is told, and with which code.
    fn refusal(&mut self, survey: &Survey) -> Option<Option<Code>> {
        if survey.bad_option.is_some() {
            self.outbox.stats.drop(Drop::BadOption);
            return Some(Some(Code::BAD_OPTION));
        }
        if survey.proxy {
            self.outbox.stats.drop(Drop::Proxy);
            return Some(Some(Code::PROXYING_NOT_SUPPORTED));
        }
        if survey.bad_block {
            self.outbox.stats.drop(Drop::BadOption);
            return Some(Some(Code::BAD_REQUEST));
        }
        None
    }

    /// Opens an exchange for a whole request and tells it.
    pub(super) fn tell_request(
        &mut self,
        now: Instant,
        slot: Slot,
        message: &Message<'_>,
        survey: &Survey,
        request: Request,
    ) {
        let asking = Asking::of(survey, None);
        let Some(exchange) = self.open(now, slot, message, Kind::Request(asking)) else {
            return;
        };
        self.outbox.event(Event::Request {
            exchange,
            peer: self.peers.id(slot),
            confirmable: message.message_type == MessageType::Confirmable,
            token: message.token,
            request,
        });
    }

    /// Opens an exchange; `None` and a count if there are too many, and then the peer will send again.
    pub(super) fn open(
        &mut self,
        now: Instant,
        slot: Slot,
        message: &Message<'_>,
        kind: Kind,
    ) -> Option<ExchangeId> {
        let limits = &self.config.limits;
        let first = self.peers.first_exchange(slot);
        let open = Chain {
            exchanges: &self.exchanges,
            next: first,
        }
        .count();
        if open >= usize::from(limits.exchanges_per_peer_max)
            || self.exchanges.len() >= limits.exchanges_max
        {
            self.outbox.stats.drop(Drop::ExchangesFull);
            self.peers.forget_message(slot, message.message_id);
            return None;
        }
        let confirmable = message.message_type == MessageType::Confirmable;
        let profile = self.profile(self.peers.id(slot));
        let wait = match (&kind, confirmable) {
            (Kind::Request(_), true) => profile.acknowledge_after,
            // It is acknowledged when its body is there and safe, but before the peer gives up.
            (Kind::Fetching(_), true) => profile.max_transmit_span() / 2,
            (Kind::Notification(_), true) => profile.exchange_lifetime,
            (_, false) => profile.non_lifetime,
        };
        let index = self.exchanges.next_index();
        let timer = self
            .timers
            .insert(now.saturating_add(wait), Timer::Exchange(index));
        self.exchanges.insert(Exchange {
            slot,
            next: first,
            message_id: message.message_id,
            token: message.token,
            confirmable,
            acknowledged: false,
            timer,
            kind,
        });
        self.peers.set_first_exchange(slot, index);
        Some(ExchangeId::new(index, self.exchanges.generation(index)))
    }

    /// Whether a message is still being worked on, also when its peer's memory has no room for it.
    pub(super) fn is_open(&self, slot: Slot, message_id: MessageId) -> bool {
        let next = self.peers.first_exchange(slot);
        next != NONE
            && Chain {
                exchanges: &self.exchanges,
                next,
            }
            .any(|(_, exchange)| exchange.message_id == message_id)
    }

    /// The open exchange of this id.
    pub(super) fn exchange(&self, exchange: ExchangeId) -> Result<&Exchange, Refused> {
        let index = exchange.index();
        match self.exchanges.is_current(index, exchange.generation()) {
            true => self.exchanges.get(index).ok_or(Refused::UnknownExchange),
            false => Err(Refused::UnknownExchange),
        }
    }

    pub(super) fn asking(&self, exchange: ExchangeId) -> Result<Asking, Refused> {
        match self.exchange(exchange)?.kind {
            Kind::Request(asking) => Ok(asking),
            _ => Err(Refused::WrongExchange),
        }
    }

    /// Takes an exchange out of the books.
    pub(super) fn close(&mut self, index: u32) -> Option<Exchange> {
        let exchange = self.exchanges.get(index)?;
        let (slot, next, timer) = (exchange.slot, exchange.next, exchange.timer);
        self.timers.remove(timer);
        let first = self.peers.first_exchange(slot);
        if first == index {
            self.peers.set_first_exchange(slot, next);
        } else {
            let before = Chain {
                exchanges: &self.exchanges,
                next: first,
            }
            .find(|(_, exchange)| exchange.next == index)
            .map(|(before, _)| before);
            if let Some(before) = before.and_then(|before| self.exchanges.get_mut(before)) {
                before.next = next;
            }
        }
        self.exchanges.remove(index)
    }

    pub(super) fn first_open(&self, slot: Slot) -> Option<u32> {
        Some(self.peers.first_exchange(slot)).filter(|index| *index != NONE)
    }

    /// A request waits for its answer, or a notification for the rest of its body: an empty acknowledgement
    /// keeps the peer from sending again. And when the peer has long given up, the exchange is dropped.
    pub(super) fn exchange_timed_out(&mut self, now: Instant, index: u32) {
        let Some(exchange) = self.exchanges.get_mut(index) else {
            return;
        };
        let slot = exchange.slot;
        let waits = exchange.confirmable && !exchange.acknowledged;
        if !waits || matches!(exchange.kind, Kind::Notification(_)) {
            self.outbox.stats.drop(Drop::NeverAnswered);
            return self.close_unanswered(index);
        }
        exchange.acknowledged = true;
        let (message_id, acknowledgement) = (exchange.message_id, MessageType::Acknowledgement);
        let peer = self.peers.id(slot);
        self.peers
            .answer(slot, message_id, Remembered::Acknowledged, 0);
        self.outbox
            .transmit_empty(peer, acknowledgement, message_id, 0);
        self.let_exchange_live(now, index);
    }

    /// From now on the exchange is dropped only when nobody can wait for it any more.
    pub(super) fn let_exchange_live(&mut self, now: Instant, index: u32) {
        let Some(exchange) = self.exchanges.get_mut(index) else {
            return;
        };
        let peer = self.peers.id(exchange.slot);
        self.timers.remove(exchange.timer);
        let end = now.saturating_add(self.profile(peer).exchange_lifetime);
        let timer = self.timers.insert(end, Timer::Exchange(index));
        if let Some(exchange) = self.exchanges.get_mut(index) {
            exchange.timer = timer;
        }
    }

    /// Closes an exchange that gets no answer, and what hangs on it.
    pub(super) fn close_unanswered(&mut self, index: u32) {
        let Some(exchange) = self.close(index) else {
            return;
        };
        if let Kind::Request(Asking {
            body: Some((body, generation)),
            ..
        }) = exchange.kind
            && self.bodies.is_current(body, generation)
        {
            self.remove_body(body);
        }
        self.peers.settle(exchange.slot);
    }

    /// Answers a request. In time the answer rides on the acknowledgement; later it goes separately, as a
    /// Confirmable message if the request was one. A body longer than a block is kept and served block by block.
    /// A response that carries a Block2 option of its own is sent as it is.
    ///
    /// # Errors
    ///
    /// The exchange is not open, is a notification, or the code is no response code.
    pub fn respond(
        &mut self,
        now: Instant,
        exchange: ExchangeId,
        mut response: Response,
        barrier: Barrier,
    ) -> Result<(), Refused> {
        let asking = self.asking(exchange)?;
        if !is_answer(response.code) {
            return Err(Refused::WrongCode);
        }
        let sliced = self.slice(exchange, &asking, &mut response)?;
        self.answer(now, exchange, asking, response, sliced, None, barrier);
        Ok(())
    }

    /// Sends the answer and closes the exchange.
    #[allow(clippy::too_many_arguments)] // Two callers; the parts have been checked one by one.
    pub(super) fn answer(
        &mut self,
        now: Instant,
        id: ExchangeId,
        asking: Asking,
        response: Response,
        sliced: Sliced,
        observe: Option<u32>,
        barrier: Barrier,
    ) {
        let Some(exchange) = self.close(id.index()) else {
            return;
        };
        if let Some((body, generation)) = asking.body
            && self.bodies.is_current(body, generation)
        {
            self.remove_body(body);
        }
        let slot = exchange.slot;
        let (message_type, message_id) = match (exchange.confirmable, exchange.acknowledged) {
            (true, false) => (MessageType::Acknowledgement, exchange.message_id),
            (true, true) => (MessageType::Confirmable, MessageId(0)),
            (false, _) => (MessageType::NonConfirmable, self.message_id(slot)),
        };
        let block1 = asking.block1.map(|block| BlockValue {
            more: false,
            ..block
        });
        let draft = Draft {
            message_type,
            code: response.code,
            message_id,
            token: exchange.token,
            options: response.options.view(),
            extra: &[],
            payload: &response.payload,
        };
        let bytes = write_response(&mut self.outbox, draft, &sliced, observe, block1);
        match message_type {
            MessageType::Acknowledgement => {
                self.peers
                    .answer(slot, message_id, Remembered::Bytes(&bytes), barrier);
                self.outbox.transmit(self.peers.id(slot), bytes, barrier);
            }
            MessageType::Confirmable => {
                let purpose = Purpose::Response(id);
                self.post(
                    now,
                    slot,
                    Parcel {
                        bytes,
                        barrier,
                        purpose,
                    },
                );
            }
            _ => {
                self.peers
                    .answer(slot, exchange.message_id, Remembered::Silent, 0);
                self.send_non_confirmable(slot, bytes, barrier);
            }
        }
        self.keep_for_fetching(now, slot, asking.key, response, sliced, barrier);
        self.peers.settle(slot);
    }

    /// Answers a message of which no exchange was opened, on its acknowledgement if it is Confirmable.
    pub(super) fn answer_at_once(
        &mut self,
        slot: Slot,
        message: &Message<'_>,
        code: Code,
        extra: &[crate::option::OptionRef<'_>],
    ) {
        let confirmable = message.message_type == MessageType::Confirmable;
        let (message_type, message_id) = match confirmable {
            true => (MessageType::Acknowledgement, message.message_id),
            false => (MessageType::NonConfirmable, self.message_id(slot)),
        };
        let bytes = self.outbox.write(&Draft {
            message_type,
            code,
            message_id,
            token: message.token,
            options: crate::option::Options::EMPTY,
            extra,
            payload: &[],
        });
        let remembered = if confirmable {
            Remembered::Bytes(&bytes)
        } else {
            Remembered::Silent
        };
        self.peers.answer(slot, message.message_id, remembered, 0);
        self.outbox.transmit(self.peers.id(slot), bytes, 0);
    }

    /// Closes an exchange without any answer, as if its message had been lost: when the peer sends it again, it
    /// is told again. One that was acknowledged already does not come again.
    ///
    /// # Errors
    ///
    /// The exchange is not open.
    pub fn ignore(&mut self, now: Instant, exchange: ExchangeId) -> Result<(), Refused> {
        let _ = now;
        let open = self.exchange(exchange)?;
        let (slot, message_id, acknowledged) = (open.slot, open.message_id, open.acknowledged);
        if let Kind::Notification(noted) = open.kind {
            self.take_back(noted);
        }
        self.close_unanswered(exchange.index());
        if !acknowledged {
            self.peers.forget_message(slot, message_id);
        }
        Ok(())
    }
}

/// Writes a response with the options of the endpoint's own.
pub(super) fn write_response(
    outbox: &mut Outbox,
    draft: Draft<'_>,
    sliced: &Sliced,
    observe: Option<u32>,
    block1: Option<BlockValue>,
) -> Vec<u8> {
    let observe = observe.map(UintValue::new);
    let block1 = block1.map(|block| UintValue::new(block.to_uint()));
    let block2 = sliced.block.map(|block| UintValue::new(block.to_uint()));
    let size2 = sliced
        .is_first()
        .then(|| UintValue::new(draft.payload.len() as u32));
    let mut extra = Extra::new();
    extra.push(
        OptionNumber::OBSERVE,
        observe.as_ref().map(UintValue::as_bytes),
    );
    extra.push(
        OptionNumber::BLOCK1,
        block1.as_ref().map(UintValue::as_bytes),
    );
    extra.push(
        OptionNumber::BLOCK2,
        block2.as_ref().map(UintValue::as_bytes),
    );
    extra.push(
        OptionNumber::ETAG,
        sliced.etag.as_ref().map(|etag| &etag[..]),
    );
    extra.push(OptionNumber::SIZE2, size2.as_ref().map(UintValue::as_bytes));
    let payload = match sliced.block {
        Some(_) => &draft.payload[sliced.range.clone()],
        None => draft.payload,
    };
    outbox.write(&Draft {
        extra: extra.as_slice(),
        payload,
        ..draft
    })
}

impl Asking {
    pub(super) fn of(survey: &Survey, body: Option<(u32, u32)>) -> Self {
        Self {
            key: survey.key,
            observe: survey.observe,
            block1: survey.block1,
            block2: survey.block2,
            body,
        }
    }
}

/// The open exchanges of one peer.
struct Chain<'a> {
    exchanges: &'a Slab<Exchange>,
    next: u32,
}

impl<'a> Iterator for Chain<'a> {
    type Item = (u32, &'a Exchange);

    fn next(&mut self) -> Option<Self::Item> {
        let index = self.next;
        let exchange = self.exchanges.get(index)?;
        self.next = exchange.next;
        Some((index, exchange))
    }
}
