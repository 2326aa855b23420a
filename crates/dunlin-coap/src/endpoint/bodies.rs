//! Request bodies that a peer sends in blocks (Block1), in the server role.
//!
//! A body is known by its peer and the key of its request (RFC 7959 §2.5); the token may change from block to
//! block. It is gathered here and told as one request, or each block is handed up and waits to be taken.

use alloc::vec::Vec;

use super::serve::{Asking, Kind};
use super::{Endpoint, Timer};
use crate::block::{Assembly, BlockValue, Piece, Refusal};
use crate::code::Code;
use crate::dedup::Remembered;
use crate::event::{Event, Refused};
use crate::id::{Barrier, ExchangeId, Instant};
use crate::message::{Message, MessageType, Request, Response};
use crate::option::{OptionList, OptionNumber, OptionRef, UintValue};
use crate::outbox::Draft;
use crate::peers::Slot;
use crate::stats::Drop;
use crate::survey::Survey;
use crate::timer::TimerKey;

/// A request body that is coming.
#[derive(Debug)]
pub(crate) struct Body {
    slot: Slot,
    key: u64,
    /// Of the first block, without those of the block layer.
    options: OptionList,
    assembly: Assembly,
    /// The block that the layer above has been told and has not taken yet.
    pending: Option<Vec<u8>>,
    held: usize,
    timer: TimerKey,
}

impl Endpoint {
    /// One block of several of a request body.
    pub(super) fn receive_block(
        &mut self,
        now: Instant,
        slot: Slot,
        message: &Message<'_>,
        survey: &Survey,
        block: BlockValue,
    ) {
        let known = self.body_of(slot, survey.key);
        if block.number == 0 {
            // Whether it is the first block once more or the first of another body cannot be told, so it
            // begins anew.
            if let Some(index) = known {
                self.remove_body(index);
            }
            return self.begin_body(now, slot, message, survey, block);
        }
        match known {
            Some(index) => self.continue_body(now, slot, message, survey, block, index),
            None => {
                self.outbox.stats.drop(Drop::BlockOutOfOrder);
                self.refuse_block(slot, message, block, Code::REQUEST_ENTITY_INCOMPLETE);
            }
        }
    }

    fn body_of(&self, slot: Slot, key: u64) -> Option<u32> {
        let live = self.peers.live(slot)?;
        let of_key = |index: &u32| self.bodies.get(*index).is_some_and(|body| body.key == key);
        live.bodies.iter().copied().find(of_key)
    }

    fn begin_body(
        &mut self,
        now: Instant,
        slot: Slot,
        message: &Message<'_>,
        survey: &Survey,
        block: BlockValue,
    ) {
        let body_max = self.config.limits.body_max;
        let ask = self.config.ask_for_bodies;
        if !ask && survey.size1.is_some_and(|size1| size1 as usize > body_max) {
            self.outbox.stats.drop(Drop::BodyTooLarge);
            return self.refuse_block(slot, message, block, Code::REQUEST_ENTITY_TOO_LARGE);
        }
        let assembly = match ask {
            true => Assembly::streaming(),
            false => Assembly::gathering(body_max, survey.size1),
        };
        if let Err(refusal) = assembly.check(block, message.payload.len()) {
            return self.refuse(slot, message, block, refusal);
        }
        let held = assembly.held() + message.payload.len();
        if self.bodies_held + held > self.config.limits.bodies_total_max {
            self.outbox.stats.drop(Drop::BodyTooLarge);
            return self.refuse_block(slot, message, block, Code::SERVICE_UNAVAILABLE);
        }
        self.make_room_for_body(slot);
        let mut options = OptionList::from_options(message.options);
        for own in [
            OptionNumber::OBSERVE,
            OptionNumber::BLOCK1,
            OptionNumber::BLOCK2,
        ] {
            options.remove(own);
        }
        let index = self.bodies.next_index();
        let lifetime = now.saturating_add(self.config.limits.body_lifetime);
        let timer = self.timers.insert(lifetime, Timer::Body(index));
        let pending = None;
        let key = survey.key;
        self.bodies.insert(Body {
            slot,
            key,
            options,
            assembly,
            pending,
            held: 0,
            timer,
        });
        self.peers.enliven(slot).bodies.push(index);
        if ask {
            self.tell_block(now, slot, message, survey, block, index);
        } else {
            self.take_block(now, index, message.payload);
            self.continue_with(slot, message, block);
        }
    }

    fn continue_body(
        &mut self,
        now: Instant,
        slot: Slot,
        message: &Message<'_>,
        survey: &Survey,
        block: BlockValue,
        index: u32,
    ) {
        let Some(body) = self.bodies.get(index) else {
            return;
        };
        if body.pending.is_some() {
            // The layer above has not said yet what is to become of the block before: when it has, the
            // peer's next transmission of this one will be taken.
            self.outbox.stats.drop(Drop::BlockOutOfOrder);
            return self.peers.forget_message(slot, message.message_id);
        }
        match body.assembly.check(block, message.payload.len()) {
            Ok(Piece::Again) => self.continue_with(slot, message, block),
            Err(refusal) => {
                if refusal == Refusal::TooLarge {
                    self.remove_body(index);
                }
                self.refuse(slot, message, block, refusal);
            }
            Ok(Piece::Following) if body.assembly.is_streaming() => {
                self.tell_block(now, slot, message, survey, block, index);
            }
            Ok(Piece::Following) if block.more => {
                self.take_block(now, index, message.payload);
                if self.bodies_held > self.config.limits.bodies_total_max {
                    self.remove_body(index);
                    self.outbox.stats.drop(Drop::BodyTooLarge);
                    let code = Code::SERVICE_UNAVAILABLE;
                    return self.refuse_block(slot, message, block, code);
                }
                self.continue_with(slot, message, block);
            }
            Ok(Piece::Following) => {
                self.take_block(now, index, message.payload);
                let Some(body) = self.remove_body(index) else {
                    return;
                };
                let options = with_own_options(body.options, survey);
                let payload = body.assembly.into_body().into();
                let request = Request {
                    code: message.code,
                    options,
                    payload,
                };
                self.tell_request(now, slot, message, survey, request);
            }
        }
    }

    /// Hands a block up.
    fn tell_block(
        &mut self,
        now: Instant,
        slot: Slot,
        message: &Message<'_>,
        survey: &Survey,
        block: BlockValue,
        index: u32,
    ) {
        let generation = self.bodies.generation(index);
        let kind = Kind::Request(Asking::of(survey, Some((index, generation))));
        let Some(exchange) = self.open(now, slot, message, kind) else {
            return;
        };
        let Some(body) = self.bodies.get_mut(index) else {
            return;
        };
        body.pending = Some(message.payload.to_vec());
        let options = with_own_options(body.options.clone(), survey);
        self.outbox.event(Event::Block {
            exchange,
            peer: self.peers.id(slot),
            confirmable: message.message_type == MessageType::Confirmable,
            token: message.token,
            offset: block.offset(),
            more: block.more,
            request: Request {
                code: message.code,
                options,
                payload: message.payload.into(),
            },
        });
    }

    /// Answers the first [`Event::Block`] of a body: the rest is gathered here, up to `body_max` bytes, and told as
    /// one [`Event::Request`].
    ///
    /// # Errors
    ///
    /// The exchange is not an open first block.
    pub fn gather(
        &mut self,
        now: Instant,
        exchange: ExchangeId,
        body_max: usize,
    ) -> Result<(), Refused> {
        let (index, block) = self.pending_block(exchange)?;
        let body = self.bodies.get_mut(index).ok_or(Refused::UnknownExchange)?;
        if block.number != 0 {
            return Err(Refused::WrongExchange);
        }
        let size1 = body.options.view().size1();
        body.assembly = Assembly::gathering(body_max, size1);
        let length = body.pending.as_ref().map_or(0, Vec::len);
        let too_large = size1.is_some_and(|size1| size1 as usize > body_max);
        if too_large || body.assembly.check(block, length).is_err() {
            self.outbox.stats.drop(Drop::BodyTooLarge);
            let hint = UintValue::new(body_max as u32);
            let response = Response::new(Code::REQUEST_ENTITY_TOO_LARGE)
                .with(OptionNumber::SIZE1, hint.as_bytes());
            return self.respond(now, exchange, response, 0);
        }
        self.take_pending(now, exchange, index, block, 0);
        Ok(())
    }

    /// Answers an [`Event::Block`] that is not the last: the block was taken, the next may come (2.31).
    ///
    /// # Errors
    ///
    /// The exchange is not an open block with more to follow.
    pub fn proceed(
        &mut self,
        now: Instant,
        exchange: ExchangeId,
        barrier: Barrier,
    ) -> Result<(), Refused> {
        let (index, block) = self.pending_block(exchange)?;
        self.take_pending(now, exchange, index, block, barrier);
        Ok(())
    }

    fn pending_block(&self, exchange: ExchangeId) -> Result<(u32, BlockValue), Refused> {
        let asking = self.asking(exchange)?;
        let (index, generation) = asking.body.ok_or(Refused::WrongExchange)?;
        if !self.bodies.is_current(index, generation) {
            return Err(Refused::UnknownExchange);
        }
        let block = asking
            .block1
            .filter(|block| block.more)
            .ok_or(Refused::WrongExchange)?;
        Ok((index, block))
    }

    fn take_pending(
        &mut self,
        now: Instant,
        exchange: ExchangeId,
        index: u32,
        block: BlockValue,
        barrier: Barrier,
    ) {
        let pending = self
            .bodies
            .get_mut(index)
            .and_then(|body| body.pending.take());
        self.take_block(now, index, &pending.unwrap_or_default());
        let Some(exchange) = self.close(exchange.index()) else {
            return;
        };
        let slot = exchange.slot;
        let size = block.size.min(self.profile(self.peers.id(slot)).block_size);
        let block1 = UintValue::new(BlockValue { size, ..block }.to_uint());
        let option = OptionRef {
            number: OptionNumber::BLOCK1,
            value: block1.as_bytes(),
        };
        let message_type = match (exchange.confirmable, exchange.acknowledged) {
            (true, false) => MessageType::Acknowledgement,
            (true, true) => MessageType::Confirmable,
            (false, _) => MessageType::NonConfirmable,
        };
        let message_id = match message_type {
            MessageType::Acknowledgement => exchange.message_id,
            _ => self.message_id(slot),
        };
        let bytes = self.outbox.write(&Draft {
            message_type,
            code: Code::CONTINUE,
            message_id,
            token: exchange.token,
            options: crate::option::Options::EMPTY,
            extra: &[option],
            payload: &[],
        });
        match message_type {
            MessageType::Acknowledgement => {
                self.peers
                    .answer(slot, message_id, Remembered::Bytes(&bytes), barrier);
                self.outbox.transmit(self.peers.id(slot), bytes, barrier);
            }
            MessageType::Confirmable => {
                let purpose = super::send::Purpose::Continue;
                self.post(
                    now,
                    slot,
                    super::Parcel {
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
    }

    fn take_block(&mut self, now: Instant, index: u32, bytes: &[u8]) {
        let lifetime = now.saturating_add(self.config.limits.body_lifetime);
        let Some(body) = self.bodies.get_mut(index) else {
            return;
        };
        body.assembly.take(bytes);
        let held = body.assembly.held();
        self.bodies_held = self.bodies_held - body.held + held;
        body.held = held;
        self.timers.reset(body.timer, lifetime);
    }

    /// 2.31: the block is taken, and from now on blocks of our size are wished for.
    fn continue_with(&mut self, slot: Slot, message: &Message<'_>, block: BlockValue) {
        let size = block.size.min(self.profile(self.peers.id(slot)).block_size);
        let value = UintValue::new(BlockValue { size, ..block }.to_uint());
        let option = OptionRef {
            number: OptionNumber::BLOCK1,
            value: value.as_bytes(),
        };
        self.answer_at_once(slot, message, Code::CONTINUE, &[option]);
    }

    fn refuse(&mut self, slot: Slot, message: &Message<'_>, block: BlockValue, refusal: Refusal) {
        let (cause, code) = match refusal {
            Refusal::Incomplete => (Drop::BlockOutOfOrder, Code::REQUEST_ENTITY_INCOMPLETE),
            Refusal::TooLarge => (Drop::BodyTooLarge, Code::REQUEST_ENTITY_TOO_LARGE),
            Refusal::Malformed => (Drop::BlockOutOfOrder, Code::BAD_REQUEST),
        };
        self.outbox.stats.drop(cause);
        self.refuse_block(slot, message, block, code);
    }

    fn refuse_block(&mut self, slot: Slot, message: &Message<'_>, block: BlockValue, code: Code) {
        let block1 = UintValue::new(
            BlockValue {
                more: false,
                ..block
            }
            .to_uint(),
        );
        let limit = UintValue::new(self.config.limits.body_max as u32);
        let block1 = OptionRef {
            number: OptionNumber::BLOCK1,
            value: block1.as_bytes(),
        };
        let size1 = OptionRef {
            number: OptionNumber::SIZE1,
            value: limit.as_bytes(),
        };
        match code {
            // How much would have been taken (RFC 7959 §4).
            Code::REQUEST_ENTITY_TOO_LARGE => {
                self.answer_at_once(slot, message, code, &[block1, size1]);
            }
            _ => self.answer_at_once(slot, message, code, &[block1]),
        }
    }

    /// The oldest body of a peer gives way to a new one.
    fn make_room_for_body(&mut self, slot: Slot) {
        let most = usize::from(self.config.limits.bodies_per_peer_max.max(1));
        let oldest = self
            .peers
            .live(slot)
            .filter(|live| live.bodies.len() >= most);
        if let Some(index) = oldest.and_then(|live| live.bodies.first().copied()) {
            self.outbox.stats.drop(Drop::BodyAbandoned);
            self.remove_body(index);
        }
    }

    pub(super) fn remove_body(&mut self, index: u32) -> Option<Body> {
        let body = self.bodies.remove(index)?;
        self.timers.remove(body.timer);
        self.bodies_held -= body.held;
        if let Some(live) = self.peers.live_mut(body.slot) {
            live.bodies.retain(|other| *other != index);
        }
        self.peers.settle(body.slot);
        Some(body)
    }

    pub(super) fn body_timed_out(&mut self, index: u32) {
        self.outbox.stats.drop(Drop::BodyAbandoned);
        self.remove_body(index);
    }
}

/// The options of a body as they are told: those of its first block, and what the block at hand says itself.
fn with_own_options(mut options: OptionList, survey: &Survey) -> OptionList {
    if let Some(observe) = survey.observe {
        options.push_uint(OptionNumber::OBSERVE, observe);
    }
    if let Some(block2) = survey.block2 {
        options.push_block(OptionNumber::BLOCK2, block2);
    }
    options
}
