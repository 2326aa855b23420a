//! Fetching a large response body with Block2, as the client (RFC 7959 §2.4 and §3.3).

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{BlockSize, BlockValue};
use crate::code::Code;
use crate::event::Failure;
use crate::message::{Message, Response};
use crate::option::{OptionList, OptionNumber};

/// A representation that changes while it is fetched is fetched anew this often.
const RESTARTS_MAX: u8 = 1;
/// A peer that answers so many requests with a block that was not asked for does not know Block2.
const WRONG_MAX: u8 = 2;
/// A hint of the size is believed up to this, when room is made for a body.
const RESERVE_MAX: usize = 64 * 1024;

/// Where a body that comes in stands.
#[derive(Clone, Debug)]
pub(crate) struct Download {
    code: Code,
    options: OptionList,
    etag: Option<Box<[u8]>>,
    body: Vec<u8>,
    size: BlockSize,
    body_max: usize,
    restarts: u8,
    wrong: u8,
}

/// What a block means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fetched {
    /// Ask for the block that [`Download::wanted`] now gives.
    Next,
    /// It is the last one.
    Complete(Response),
    /// It will not come to an end.
    Failed(Failure),
}

impl Download {
    /// Begins with the first block of several.
    ///
    /// # Errors
    ///
    /// It is not the first, is broken, or says that the whole is too large.
    pub(crate) fn begin(
        message: &Message<'_>,
        block: BlockValue,
        body_max: usize,
    ) -> Result<Self, Failure> {
        let size2 = message.options.size2().unwrap_or(0) as usize;
        if size2 > body_max || message.payload.len() > body_max {
            return Err(Failure::TooLarge);
        }
        if block.number != 0 || message.payload.len() != block.size.bytes() {
            return Err(Failure::WrongBlock);
        }
        let mut download = Self {
            code: message.code,
            options: OptionList::new(),
            etag: None,
            body: Vec::with_capacity(size2.min(RESERVE_MAX)),
            size: block.size,
            body_max,
            restarts: 0,
            wrong: 0,
        };
        download.adopt(message);
        download.body.extend_from_slice(message.payload);
        Ok(download)
    }

    /// The block to be asked for.
    pub(crate) fn wanted(&self) -> BlockValue {
        let number = (self.body.len() / self.size.bytes()) as u32;
        BlockValue {
            number,
            more: false,
            size: self.size,
        }
    }

    /// Takes the response to the request for [`Download::wanted`].
    pub(crate) fn take(&mut self, message: &Message<'_>) -> Fetched {
        if message.code != self.code {
            // An error, or another answer altogether: it takes the place of the body.
            return Fetched::Complete(response_of(message));
        }
        let Some(block) = message.options.block2() else {
            return Fetched::Failed(Failure::WrongBlock);
        };
        if self.body.is_empty() {
            self.adopt(message);
        } else if message.options.etag() != self.etag.as_deref() {
            return self.begin_again();
        }
        // A server may give smaller blocks from the second one on (RFC 7959 §2.4).
        if block.size <= self.size && block.offset() == self.body.len() as u64 {
            self.size = block.size;
        } else {
            self.wrong += 1;
            return match self.wrong < WRONG_MAX {
                true => Fetched::Next,
                false => Fetched::Failed(Failure::WrongBlock),
            };
        }
        let length = message.payload.len();
        if length > self.size.bytes() || (block.more && length != self.size.bytes()) {
            return Fetched::Failed(Failure::WrongBlock);
        }
        if self.body.len() + length > self.body_max {
            return Fetched::Failed(Failure::TooLarge);
        }
        if block.more && block.number == BlockValue::NUMBER_MAX {
            return Fetched::Failed(Failure::TooLarge);
        }
        self.body.extend_from_slice(message.payload);
        self.keep_content_format(message);
        match block.more {
            true => Fetched::Next,
            false => Fetched::Complete(self.complete()),
        }
    }

    /// How many bytes it holds.
    pub(crate) fn held(&self) -> usize {
        self.body.capacity()
    }

    fn begin_again(&mut self) -> Fetched {
        if self.restarts >= RESTARTS_MAX {
            return Fetched::Failed(Failure::Changed);
        }
        self.restarts += 1;
        self.body.clear();
        Fetched::Next
    }

    /// Learns what the first block says of the representation.
    fn adopt(&mut self, message: &Message<'_>) {
        self.options = OptionList::from_options(message.options);
        self.options
            .remove(OptionNumber::BLOCK2)
            .remove(OptionNumber::BLOCK1);
        self.etag = message.options.etag().map(Into::into);
    }

    /// Block layers are known to repeat Content-Format on some blocks only: any of them tells it.
    fn keep_content_format(&mut self, message: &Message<'_>) {
        let known = self.options.view().contains(OptionNumber::CONTENT_FORMAT);
        if let (false, Some(format)) = (known, message.options.content_format()) {
            self.options
                .push_uint(OptionNumber::CONTENT_FORMAT, u32::from(format));
        }
    }

    fn complete(&mut self) -> Response {
        Response {
            code: self.code,
            options: core::mem::take(&mut self.options),
            payload: core::mem::take(&mut self.body).into(),
        }
    }
}

/// A response as it stands in one message.
pub(crate) fn response_of(message: &Message<'_>) -> Response {
    Response {
        code: message.code,
        options: OptionList::from_options(message.options),
        payload: message.payload.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{MessageId, MessageType, Token};

    struct Part {
        options: OptionList,
        payload: Vec<u8>,
    }

    fn part(number: u32, more: bool, etag: u8, fill: u8) -> Part {
        let mut options = OptionList::new();
        let block = BlockValue {
            number,
            more,
            size: BlockSize::SMALLEST,
        };
        options
            .push(OptionNumber::ETAG, &[etag])
            .push_block(OptionNumber::BLOCK2, block);
        Part {
            options,
            payload: alloc::vec![fill; if more { 16 } else { 5 }],
        }
    }

    fn message(part: &Part) -> Message<'_> {
        Message {
            message_type: MessageType::Acknowledgement,
            code: Code::CONTENT,
            message_id: MessageId(1),
            token: Token::EMPTY,
            options: part.options.view(),
            payload: &part.payload,
        }
    }

    fn begin(part: &Part, body_max: usize) -> Result<Download, Failure> {
        let message = message(part);
        Download::begin(&message, message.options.block2().unwrap(), body_max)
    }

    #[test]
    fn rfc7959_3_3_blocks_are_joined() {
        let mut download = begin(&part(0, true, 1, b'a'), 100).unwrap();
        assert_eq!(download.wanted().number, 1);
        assert_eq!(
            download.take(&message(&part(1, true, 1, b'b'))),
            Fetched::Next
        );
        let Fetched::Complete(response) = download.take(&message(&part(2, false, 1, b'c'))) else {
            panic!("the last block completes it");
        };
        assert_eq!(
            &response.payload[..],
            b"aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccc"
        );
        assert_eq!(response.options.view().block2(), None);
        assert_eq!(response.options.view().etag(), Some(&[1][..]));
    }

    #[test]
    fn rfc7959_2_4_a_changed_etag_begins_anew_once() {
        let mut download = begin(&part(0, true, 1, b'a'), 100).unwrap();
        assert_eq!(
            download.take(&message(&part(1, false, 2, b'b'))),
            Fetched::Next
        );
        assert_eq!(download.wanted().number, 0);
        assert_eq!(
            download.take(&message(&part(0, true, 2, b'x'))),
            Fetched::Next
        );
        assert_eq!(download.wanted().number, 1);
        let changed = download.take(&message(&part(1, false, 3, b'b')));
        assert_eq!(changed, Fetched::Failed(Failure::Changed));
    }

    #[test]
    fn a_peer_that_always_gives_the_first_block_is_given_up() {
        let mut download = begin(&part(0, true, 1, b'a'), 100).unwrap();
        assert_eq!(
            download.take(&message(&part(0, true, 1, b'a'))),
            Fetched::Next
        );
        let second = download.take(&message(&part(0, true, 1, b'a')));
        assert_eq!(second, Fetched::Failed(Failure::WrongBlock));
    }

    #[test]
    fn bodies_have_a_limit() {
        let mut download = begin(&part(0, true, 1, b'a'), 20).unwrap();
        let second = download.take(&message(&part(1, true, 1, b'b')));
        assert_eq!(second, Fetched::Failed(Failure::TooLarge));
        assert_eq!(
            begin(&part(0, true, 1, b'a'), 15).unwrap_err(),
            Failure::TooLarge
        );
        let mut hinted = part(0, true, 1, b'a');
        hinted.options.push_uint(OptionNumber::SIZE2, 21);
        assert_eq!(begin(&hinted, 20).unwrap_err(), Failure::TooLarge);
    }

    #[test]
    fn a_block_in_the_middle_must_be_full() {
        let mut short = part(0, true, 1, b'a');
        short.payload.pop();
        assert_eq!(begin(&short, 100).unwrap_err(), Failure::WrongBlock);
        assert_eq!(
            begin(&part(3, true, 1, b'a'), 100).unwrap_err(),
            Failure::WrongBlock
        );
    }
}
