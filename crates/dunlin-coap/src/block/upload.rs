//! Sending a large request body with Block1, as the client (RFC 7959 §2.5 and §3.2).

use super::{BlockSize, BlockValue};
use crate::code::Code;

/// A body begun anew more often than this is not wanted by the peer: once for a lost block (4.08), and
/// the sizes only shrink.
const RESTARTS_MAX: u8 = 1;

/// Where a body that goes out stands.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    total: usize,
    offset: usize,
    size: BlockSize,
    restarts: u8,
}

/// What a response to a block means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Send the block that [`Upload::block`] now gives.
    Next,
    /// It is the answer to the request.
    Final,
}

impl Upload {
    /// `None` if the blocks of the body could not be numbered.
    pub(crate) fn new(total: usize, size: BlockSize) -> Option<Self> {
        let last = total.saturating_sub(1) / size.bytes();
        (last <= BlockValue::NUMBER_MAX as usize).then_some(Self {
            total,
            offset: 0,
            size,
            restarts: 0,
        })
    }

    /// The block to be sent, and the range of its bytes.
    pub(crate) fn block(&self) -> (BlockValue, core::ops::Range<usize>) {
        let end = self.total.min(self.offset + self.size.bytes());
        let number = (self.offset / self.size.bytes()) as u32;
        let more = end < self.total;
        (
            BlockValue {
                number,
                more,
                size: self.size,
            },
            self.offset..end,
        )
    }

    /// Whether the block to be sent is the first.
    pub(crate) fn is_first(&self) -> bool {
        self.offset == 0
    }

    /// The response to the block that was sent last.
    pub(crate) fn take_response(&mut self, code: Code, block1: Option<BlockValue>) -> Sent {
        let (sent, range) = self.block();
        let smaller = block1
            .map(|block| block.size)
            .filter(|size| *size < self.size);
        match code {
            Code::REQUEST_ENTITY_TOO_LARGE => match smaller {
                Some(size) => self.begin_again(size),
                None => Sent::Final,
            },
            Code::REQUEST_ENTITY_INCOMPLETE if self.restarts < RESTARTS_MAX => {
                self.restarts += 1;
                self.begin_again(self.size)
            }
            // Some stacks say 2.04 in the middle where 2.31 belongs, and some count Block1 in a way of
            // their own; Message ID and token tell already which block it answers.
            code if code.is_success() && sent.more => {
                self.offset = range.end;
                if let Some(size) = smaller {
                    self.shrink(size);
                }
                Sent::Next
            }
            _ => Sent::Final,
        }
    }

    fn begin_again(&mut self, size: BlockSize) -> Sent {
        self.offset = 0;
        self.shrink(size);
        Sent::Next
    }

    /// Smaller blocks, unless they could not be numbered: then the peer must live with the present ones.
    fn shrink(&mut self, size: BlockSize) {
        let last = self.total.saturating_sub(1) / size.bytes();
        if last <= BlockValue::NUMBER_MAX as usize {
            self.size = size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(bytes: usize) -> BlockSize {
        BlockSize::fitting(bytes)
    }

    fn value(number: u32, more: bool, bytes: usize) -> Option<BlockValue> {
        Some(BlockValue {
            number,
            more,
            size: size(bytes),
        })
    }

    #[test]
    fn rfc7959_3_2_late_negotiation_goes_on_behind_what_was_taken() {
        let mut upload = Upload::new(300, size(128)).unwrap();
        assert_eq!(upload.block(), (value(0, true, 128).unwrap(), 0..128));
        assert_eq!(
            upload.take_response(Code::CONTINUE, value(0, true, 32)),
            Sent::Next
        );
        assert_eq!(upload.block(), (value(4, true, 32).unwrap(), 128..160));
        for _ in 0..5 {
            assert_eq!(upload.take_response(Code::CONTINUE, None), Sent::Next);
        }
        assert_eq!(upload.block(), (value(9, false, 32).unwrap(), 288..300));
        assert_eq!(
            upload.take_response(Code::CHANGED, value(9, false, 32)),
            Sent::Final
        );
    }

    #[test]
    fn a_4_13_with_a_smaller_size_begins_anew_and_without_one_ends() {
        let mut upload = Upload::new(300, size(128)).unwrap();
        let too_large = Code::REQUEST_ENTITY_TOO_LARGE;
        assert_eq!(
            upload.take_response(too_large, value(0, true, 64)),
            Sent::Next
        );
        assert_eq!(upload.block(), (value(0, true, 64).unwrap(), 0..64));
        assert_eq!(
            upload.take_response(too_large, value(0, true, 64)),
            Sent::Final
        );
        assert_eq!(upload.take_response(too_large, None), Sent::Final);
    }

    #[test]
    fn a_4_08_begins_anew_once() {
        let mut upload = Upload::new(300, size(128)).unwrap();
        upload.take_response(Code::CHANGED, None);
        let incomplete = Code::REQUEST_ENTITY_INCOMPLETE;
        assert_eq!(upload.take_response(incomplete, None), Sent::Next);
        assert!(upload.is_first());
        assert_eq!(upload.take_response(incomplete, None), Sent::Final);
    }

    #[test]
    fn two_megabytes_fit_at_every_size() {
        for exponent in 0..=6 {
            let size = BlockSize::from_exponent(exponent).unwrap();
            assert!(Upload::new(2 << 20, size).is_some());
        }
        assert!(Upload::new(16 << 20, BlockSize::SMALLEST).is_some());
        assert!(Upload::new((16 << 20) + 1, BlockSize::SMALLEST).is_none());
    }
}
