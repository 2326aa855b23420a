//! Response bodies that a peer fetches in blocks (Block2), in the server role.
//!
//! A body is kept under the key of its request, so that the layer above is asked once for all its blocks; if
//! it had to go, the layer above is asked again, for the block that is wanted.

use core::ops::Range;

use rand_core::Rng;

use super::serve::{Asking, write_response};
use super::{Endpoint, Timer};
use crate::block::{BlockSize, BlockValue};
use crate::code::Code;
use crate::dedup::Remembered;
use crate::event::Refused;
use crate::id::{Barrier, ExchangeId, Instant};
use crate::message::{Message, MessageType, Payload, Response};
use crate::option::OptionNumber;
use crate::outbox::Draft;
use crate::peers::Slot;
use crate::stats::Drop;
use crate::survey::Survey;
use crate::timer::TimerKey;

/// Shared bodies up to this length get an ETag made of their content when the layer above gave none;
/// longer ones a random one, because reading megabytes for each fetcher costs more than one fetched twice.
const DIGEST_MAX: usize = 64 * 1024;
/// Bodies kept for one peer to fetch: one it fetches, and those of a few notifications.
const SERVED_PER_PEER_MAX: usize = 4;

/// A response body kept for fetching.
#[derive(Debug)]
pub(crate) struct Served {
    slot: Slot,
    key: u64,
    response: Response,
    etag: Option<[u8; 8]>,
    barrier: Barrier,
    held: usize,
    timer: TimerKey,
}

/// Which part of a response body goes into the message.
#[derive(Clone, Debug)]
pub(crate) struct Sliced {
    /// `None`: the body goes whole, or the layer above has sliced it.
    pub(super) block: Option<BlockValue>,
    pub(super) range: Range<usize>,
    /// An ETag to be added.
    pub(super) etag: Option<[u8; 8]>,
}

impl Sliced {
    pub(super) const WHOLE: Sliced = Sliced {
        block: None,
        range: 0..0,
        etag: None,
    };

    pub(super) fn is_first(&self) -> bool {
        self.block.is_some_and(|block| block.number == 0)
    }
}

impl Endpoint {
    /// Which part of a response answers a request. A block behind its end makes it a bad request.
    pub(super) fn slice(
        &mut self,
        exchange: ExchangeId,
        asking: &Asking,
        response: &mut Response,
    ) -> Result<Sliced, Refused> {
        let size = self
            .profile(self.peers.id(self.exchange(exchange)?.slot))
            .block_size;
        let behind = asking.block2.is_some_and(|block| {
            block.number > 0 && block.offset() >= response.payload.len() as u64
        });
        if behind
            && response.code.is_success()
            && !response.options.view().contains(OptionNumber::BLOCK2)
        {
            self.outbox.stats.drop(Drop::BlockOutOfOrder);
            *response = Response::new(Code::BAD_REQUEST);
            return Ok(Sliced::WHOLE);
        }
        self.slice_for(asking.block2, size, response)
    }

    pub(super) fn slice_for(
        &mut self,
        wanted: Option<BlockValue>,
        size: BlockSize,
        response: &Response,
    ) -> Result<Sliced, Refused> {
        let total = response.payload.len();
        let own = response.options.view().contains(OptionNumber::BLOCK2);
        let size = wanted.map_or(size, |block| block.size.min(size));
        let offset = wanted.map_or(0, |block| block.offset());
        // A block behind the end, or of an answer that is none: the answer stands for itself.
        let whole = (total <= size.bytes() && offset == 0) || offset >= total as u64;
        if own || whole {
            return Ok(Sliced::WHOLE);
        }
        if total.div_ceil(size.bytes()) > BlockValue::NUMBER_MAX as usize + 1 {
            return Err(Refused::TooLarge);
        }
        let has_etag = response.options.view().contains(OptionNumber::ETAG);
        let etag = if has_etag {
            None
        } else {
            Some(self.etag(&response.payload))
        };
        Ok(cut(total, offset as usize, size, etag))
    }

    fn etag(&mut self, payload: &Payload) -> [u8; 8] {
        match payload {
            Payload::Shared(bytes) if bytes.len() > DIGEST_MAX => {
                self.random.next_u64().to_be_bytes()
            }
            _ => digest(payload).to_be_bytes(),
        }
    }

    /// Keeps a response for the requests that fetch the rest of it.
    pub(super) fn keep_for_fetching(
        &mut self,
        now: Instant,
        slot: Slot,
        key: u64,
        response: Response,
        sliced: Sliced,
        barrier: Barrier,
    ) {
        let kept = self.served_of(slot, key);
        if !sliced.block.is_some_and(|block| block.more) {
            // A fresh representation that needs no fetching takes the place of an old one that did.
            if let Some(index) = kept.filter(|_| sliced.block.is_none()) {
                self.remove_served(index);
            }
            return;
        }
        if let Some(index) = kept {
            self.remove_served(index);
        }
        let held = response.payload.held();
        if self.bodies_held + held > self.config.limits.bodies_total_max {
            return; // The layer above will be asked for each block.
        }
        let full = self
            .peers
            .live(slot)
            .filter(|live| live.served.len() >= SERVED_PER_PEER_MAX);
        if let Some(index) = full.and_then(|live| live.served.first().copied()) {
            self.remove_served(index);
        }
        self.bodies_held += held;
        let index = self.served.next_index();
        let lifetime = now.saturating_add(self.config.limits.body_lifetime);
        let timer = self.timers.insert(lifetime, Timer::Served(index));
        let etag = sliced.etag;
        self.served.insert(Served {
            slot,
            key,
            response,
            etag,
            barrier,
            held,
            timer,
        });
        self.peers.enliven(slot).served.push(index);
    }

    fn served_of(&self, slot: Slot, key: u64) -> Option<u32> {
        let live = self.peers.live(slot)?;
        let of_key = |index: &u32| {
            self.served
                .get(*index)
                .is_some_and(|served| served.key == key)
        };
        live.served.iter().copied().find(of_key)
    }

    /// Answers the request for a later block from what is kept. False if nothing is.
    pub(super) fn serve_on(
        &mut self,
        now: Instant,
        slot: Slot,
        message: &Message<'_>,
        survey: &Survey,
    ) -> bool {
        let Some(block) = survey.block2 else {
            return false;
        };
        let Some(index) = self.served_of(slot, survey.key) else {
            return false;
        };
        let size = self.profile(self.peers.id(slot)).block_size.min(block.size);
        let lifetime = now.saturating_add(self.config.limits.body_lifetime);
        let (confirmable, message_type, message_id) = match message.message_type {
            MessageType::Confirmable => (true, MessageType::Acknowledgement, message.message_id),
            _ => (false, MessageType::NonConfirmable, self.message_id(slot)),
        };
        let Some(served) = self.served.get(index) else {
            return false;
        };
        let Served {
            response,
            etag,
            barrier,
            timer,
            ..
        } = served;
        let total = response.payload.len();
        if block.offset() >= total as u64 {
            self.outbox.stats.drop(Drop::BlockOutOfOrder);
            self.answer_at_once(slot, message, Code::BAD_REQUEST, &[]);
            return true;
        }
        self.timers.reset(*timer, lifetime);
        let sliced = cut(total, block.offset() as usize, size, *etag);
        let draft = Draft {
            message_type,
            code: response.code,
            message_id,
            token: message.token,
            options: response.options.view(),
            extra: &[],
            payload: &response.payload,
        };
        let bytes = write_response(&mut self.outbox, draft, &sliced, None, None);
        let remembered = if confirmable {
            Remembered::Bytes(&bytes)
        } else {
            Remembered::Silent
        };
        self.peers
            .answer(slot, message.message_id, remembered, *barrier);
        self.outbox.transmit(self.peers.id(slot), bytes, *barrier);
        true
    }

    pub(super) fn remove_served(&mut self, index: u32) {
        if let Some(served) = self.served.remove(index) {
            self.timers.remove(served.timer);
            self.bodies_held -= served.held;
            if let Some(live) = self.peers.live_mut(served.slot) {
                live.served.retain(|other| *other != index);
            }
            self.peers.settle(served.slot);
        }
    }

    pub(super) fn served_timed_out(&mut self, index: u32) {
        self.remove_served(index);
    }
}

/// The block that begins at this offset.
fn cut(total: usize, offset: usize, size: BlockSize, etag: Option<[u8; 8]>) -> Sliced {
    let end = total.min(offset + size.bytes());
    let number = (offset / size.bytes()) as u32;
    let block = Some(BlockValue {
        number,
        more: end < total,
        size,
    });
    Sliced {
        block,
        range: offset..end,
        etag,
    }
}

/// FNV-1a of 64 bits: enough to tell that a representation has changed, which is all an ETag says.
fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
