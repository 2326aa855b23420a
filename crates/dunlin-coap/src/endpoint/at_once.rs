//! The short way of a request that the layer above can answer before it does anything else.
//!
//! Most of what a Server with a million Clients hears says nothing but "I am here". Such a request needs no
//! exchange that waits, no timer and no queue of events: it is admitted like any other, which takes care
//! of duplicates, and answered in the same breath. What turns out to need more goes the long way.

use alloc::vec::Vec;

use super::Endpoint;
use crate::code::{Class, Code};
use crate::dedup::Remembered;
use crate::id::{Barrier, Instant, PeerId};
use crate::message::{MessageId, MessageType, Token};
use crate::option::{OptionNumber, Options, UintValue};
use crate::outbox::{Draft, Extra};
use crate::peers::Slot;
use crate::stats::Drop;
use crate::wire::datagram;

/// A Confirmable request that was admitted, and that must be answered with [`Endpoint::answer_admitted`] or
/// told with [`Endpoint::tell_admitted`], before anything else is handed in.
#[derive(Debug)]
#[must_use]
pub struct Admitted {
    slot: Slot,
    peer: PeerId,
    message_id: MessageId,
    token: Token,
}

impl Endpoint {
    /// Takes in a Confirmable request of which the caller has read the header and knows that it could be
    /// answered at once. `None`: it was a duplicate, which has been dealt with, or there is no room for its
    /// sender; the output is to be polled.
    pub fn admit_request(
        &mut self,
        now: Instant,
        peer: PeerId,
        code: Code,
        message_id: MessageId,
        token: Token,
    ) -> Option<Admitted> {
        self.outbox.stats.received += 1;
        self.peers.wake_up(now);
        let slot = self.admit(now, peer, MessageType::Confirmable, code, message_id)?;
        Some(Admitted {
            slot,
            peer,
            message_id,
            token,
        })
    }

    /// Answers on the acknowledgement, with neither options nor a payload. The bytes are for the caller to send,
    /// once commit number `barrier` is durable; a duplicate gets them again.
    pub fn answer_admitted(&mut self, admitted: Admitted, code: Code, barrier: Barrier) -> Vec<u8> {
        let Admitted {
            slot,
            message_id,
            token,
            ..
        } = admitted;
        let bytes = self.outbox.write(&Draft {
            message_type: MessageType::Acknowledgement,
            code,
            message_id,
            token,
            options: Options::EMPTY,
            extra: &[],
            payload: &[],
        });
        self.peers
            .answer(slot, message_id, Remembered::Bytes(&bytes), barrier);
        self.outbox.stats.transmitted += 1;
        bytes
    }

    /// A message that is more than its peer may send is dropped unread. A Confirmable request is told with 5.03
    /// to wait for `answer_s` seconds, if there are any; nothing is remembered of it.
    pub fn turn_away(&mut self, peer: PeerId, bytes: &[u8], answer_s: Option<u32>) {
        self.outbox.stats.received += 1;
        self.outbox.stats.drop(Drop::OverBudget);
        let Some(max_age_s) = answer_s else { return };
        let Ok(message) = datagram::decode(bytes) else {
            return;
        };
        if message.message_type != MessageType::Confirmable
            || message.code.class() != Class::Request
        {
            return;
        }
        let max_age = UintValue::new(max_age_s);
        let mut extra = Extra::new();
        extra.push(OptionNumber::MAX_AGE, Some(max_age.as_bytes()));
        let bytes = self.outbox.write(&Draft {
            message_type: MessageType::Acknowledgement,
            code: Code::SERVICE_UNAVAILABLE,
            message_id: message.message_id,
            token: message.token,
            options: Options::EMPTY,
            extra: extra.as_slice(),
            payload: b"too many messages from here",
        });
        self.outbox.transmit(peer, bytes, 0);
    }

    /// Sends the request the long way after all: `bytes` are the datagram it came in.
    pub fn tell_admitted(&mut self, now: Instant, admitted: Admitted, bytes: &[u8]) {
        match datagram::decode(bytes) {
            Ok(message) if message.message_id == admitted.message_id => {
                self.receive_admitted(now, admitted.slot, &message);
            }
            // Not what was admitted; as if it had never come.
            _ => self
                .peers
                .forget_message(admitted.slot, admitted.message_id),
        }
    }
}

impl Admitted {
    /// Who asks.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.peer
    }
}
