//! What waits to be taken by the driver, in order, and the buffers it is written into.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::code::Code;
use crate::event::{Event, Output, Transmit};
use crate::id::{Barrier, PeerId};
use crate::message::{MessageId, MessageType, Token};
use crate::option::{OptionNumber, OptionRef, Options, put_option};
use crate::stats::Stats;
use crate::wire::datagram::{put_header, put_payload};

/// Buffers kept for reuse: as many as one batch of datagrams that a driver sends at once.
const BUFFERS_MAX: usize = 64;
/// Larger buffers are let go, so that one big message does not stay for ever.
const BUFFER_CAPACITY_MAX: usize = 2048;

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Output>,
    buffers: Vec<Vec<u8>>,
    pub(crate) stats: Stats,
}

/// A message about to be written: what [`crate::Message`] is, with options to be merged in.
#[derive(Clone, Copy)]
pub(crate) struct Draft<'a> {
    pub(crate) message_type: MessageType,
    pub(crate) code: Code,
    pub(crate) message_id: MessageId,
    pub(crate) token: Token,
    pub(crate) options: Options<'a>,
    /// Options of the endpoint's own, by rising number; they replace those with the same number.
    pub(crate) extra: &'a [OptionRef<'a>],
    pub(crate) payload: &'a [u8],
}

impl Outbox {
    pub(crate) fn poll(&mut self) -> Option<Output> {
        self.queue.pop_front()
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.queue.push_back(Output::Event(event));
    }

    pub(crate) fn transmit(&mut self, peer: PeerId, bytes: Vec<u8>, barrier: Barrier) {
        self.stats.transmitted += 1;
        self.queue.push_back(Output::Transmit(Transmit {
            peer,
            bytes,
            barrier,
        }));
    }

    /// Sends a copy of bytes that are kept.
    pub(crate) fn transmit_copy(&mut self, peer: PeerId, bytes: &[u8], barrier: Barrier) {
        let mut buffer = self.buffer();
        buffer.extend_from_slice(bytes);
        self.transmit(peer, buffer, barrier);
    }

    /// Sends an empty message: an acknowledgement, a Reset.
    pub(crate) fn transmit_empty(
        &mut self,
        peer: PeerId,
        message_type: MessageType,
        message_id: MessageId,
        barrier: Barrier,
    ) {
        let mut buffer = self.buffer();
        put_header(
            &mut buffer,
            message_type,
            Code::EMPTY,
            message_id,
            Token::EMPTY,
        );
        self.transmit(peer, buffer, barrier);
    }

    pub(crate) fn buffer(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_default()
    }

    pub(crate) fn recycle(&mut self, mut buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        if self.buffers.len() < BUFFERS_MAX && (1..=BUFFER_CAPACITY_MAX).contains(&capacity) {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }

    /// Writes a message into a buffer.
    pub(crate) fn write(&mut self, draft: &Draft<'_>) -> Vec<u8> {
        let mut out = self.buffer();
        let encoded = draft.options.as_encoded();
        out.reserve(4 + draft.token.len() + encoded.len() + draft.payload.len() + 32);
        put_header(
            &mut out,
            draft.message_type,
            draft.code,
            draft.message_id,
            draft.token,
        );
        match draft.extra {
            [] => out.extend_from_slice(encoded),
            extra => merge(&mut out, draft.options, extra),
        }
        put_payload(&mut out, draft.payload);
        out
    }
}

fn merge(out: &mut Vec<u8>, options: Options<'_>, mut extra: &[OptionRef<'_>]) {
    let replaced = extra;
    let mut last = 0;
    let mut put = |option: &OptionRef<'_>| {
        put_option(out, option.number.0 - last, option.value);
        last = option.number.0;
    };
    for option in options {
        while let Some((first, rest)) = extra.split_first()
            && first.number < option.number
        {
            put(first);
            extra = rest;
        }
        if !replaced.iter().any(|own| own.number == option.number) {
            put(&option);
        }
    }
    extra.iter().for_each(put);
}

/// Options of the endpoint's own, gathered before a message is written; at most one of each number.
pub(crate) struct Extra<'a> {
    options: [OptionRef<'a>; Extra::MAX],
    used: usize,
}

impl<'a> Extra<'a> {
    /// Observe, ETag, Block1, Block2, Size1 or Size2, Max-Age.
    const MAX: usize = 6;

    pub(crate) fn new() -> Self {
        Self {
            options: [OptionRef {
                number: OptionNumber(0),
                value: &[],
            }; Self::MAX],
            used: 0,
        }
    }

    /// Adds an option if it is there.
    pub(crate) fn push(&mut self, number: OptionNumber, value: Option<&'a [u8]>) {
        if let Some(value) = value {
            let at = self.options[..self.used]
                .iter()
                .position(|option| option.number > number)
                .unwrap_or(self.used);
            self.options.copy_within(at..self.used, at + 1);
            self.options[at] = OptionRef { number, value };
            self.used += 1;
        }
    }

    pub(crate) fn as_slice(&self) -> &[OptionRef<'a>] {
        &self.options[..self.used]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::option::OptionList;

    #[test]
    fn options_of_the_endpoint_are_sorted_in_and_replace() {
        let mut own = OptionList::new();
        own.push(OptionNumber::URI_PATH, b"a")
            .push(OptionNumber::URI_PATH, b"b")
            .push_uint(OptionNumber::BLOCK2, 99)
            .push_uint(OptionNumber::SIZE1, 5);
        let mut extra = Extra::new();
        extra.push(OptionNumber::BLOCK2, Some(&[1]));
        extra.push(OptionNumber::OBSERVE, Some(&[2]));
        extra.push(OptionNumber::BLOCK1, None);
        extra.push(OptionNumber::ETAG, Some(&[3]));
        let draft = Draft {
            message_type: MessageType::Confirmable,
            code: Code::GET,
            message_id: MessageId(1),
            token: Token::EMPTY,
            options: own.view(),
            extra: extra.as_slice(),
            payload: &[],
        };
        let bytes = Outbox::default().write(&draft);
        let message = crate::wire::datagram::decode(&bytes).unwrap();
        let found: Vec<_> = message
            .options
            .iter()
            .map(|o| (o.number.0, o.value))
            .collect();
        let expected: [(u16, &[u8]); 6] = [
            (4, &[3]),
            (6, &[2]),
            (11, b"a"),
            (11, b"b"),
            (23, &[1]),
            (60, &[5]),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn buffers_come_back_unless_they_are_too_large() {
        let mut outbox = Outbox::default();
        outbox.recycle(Vec::with_capacity(100));
        outbox.recycle(Vec::with_capacity(BUFFER_CAPACITY_MAX + 1));
        outbox.recycle(Vec::new());
        assert_eq!(outbox.buffer().capacity(), 100);
        assert_eq!(outbox.buffer().capacity(), 0);
    }
}
