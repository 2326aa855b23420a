//! Receiving a large request body with Block1, as the server (RFC 7959 §2.5).

use alloc::vec::Vec;

use super::BlockValue;

/// Room made for a body at most, before its bytes come.
const RESERVE_MAX: usize = 16 * 1024;

/// Where a body that comes in stands.
#[derive(Clone, Debug)]
pub(crate) struct Assembly {
    body: Vec<u8>,
    next: u64,
    body_max: usize,
    kept: bool,
}

/// What a block means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// It follows: to be taken with [`Assembly::take`].
    Following,
    /// It is the one before once more; it is acknowledged as it was.
    Again,
}

/// Why a block is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It does not follow the one before: 4.08.
    Incomplete,
    /// The body is longer than allowed: 4.13.
    TooLarge,
    /// A block in the middle that is not full, or one that is more than full: 4.00.
    Malformed,
}

impl Assembly {
    /// Joins the blocks, up to so many bytes.
    pub(crate) fn gathering(body_max: usize, size1: Option<u32>) -> Self {
        let room = (size1.unwrap_or(0) as usize).min(RESERVE_MAX).min(body_max);
        Self {
            body: Vec::with_capacity(room),
            next: 0,
            body_max,
            kept: true,
        }
    }

    /// Keeps account of the blocks and hands each one up.
    pub(crate) fn streaming() -> Self {
        Self {
            body: Vec::new(),
            next: 0,
            body_max: usize::MAX,
            kept: false,
        }
    }

    /// Whether the blocks are handed up.
    pub(crate) fn is_streaming(&self) -> bool {
        !self.kept
    }

    /// Holds a block against what came before.
    pub(crate) fn check(&self, block: BlockValue, length: usize) -> Result<Piece, Refusal> {
        let full = block.size.bytes();
        if length > full || (block.more && length != full) {
            return Err(Refusal::Malformed);
        }
        let end = block.offset() + length as u64;
        if block.offset() == self.next {
            return match end > self.body_max as u64 {
                true => Err(Refusal::TooLarge),
                false => Ok(Piece::Following),
            };
        }
        match block.more && end == self.next {
            true => Ok(Piece::Again),
            false => Err(Refusal::Incomplete),
        }
    }

    /// Takes a block that follows.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        self.next += bytes.len() as u64;
        if self.kept {
            self.body.extend_from_slice(bytes);
        }
    }

    /// The whole body.
    pub(crate) fn into_body(self) -> Vec<u8> {
        self.body
    }

    /// How many bytes it holds.
    pub(crate) fn held(&self) -> usize {
        self.body.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::BlockSize;

    fn block(number: u32, more: bool) -> BlockValue {
        BlockValue {
            number,
            more,
            size: BlockSize::SMALLEST,
        }
    }

    #[test]
    fn rfc7959_2_5_blocks_follow_each_other() {
        let mut assembly = Assembly::gathering(40, None);
        assert_eq!(assembly.check(block(1, true), 16), Err(Refusal::Incomplete));
        assert_eq!(assembly.check(block(0, true), 16), Ok(Piece::Following));
        assembly.take(&[1; 16]);
        assert_eq!(assembly.check(block(0, true), 16), Ok(Piece::Again));
        assert_eq!(assembly.check(block(2, true), 16), Err(Refusal::Incomplete));
        assert_eq!(assembly.check(block(1, true), 15), Err(Refusal::Malformed));
        assert_eq!(assembly.check(block(1, false), 17), Err(Refusal::Malformed));
        assert_eq!(assembly.check(block(1, true), 16), Ok(Piece::Following));
        assembly.take(&[2; 16]);
        assert_eq!(assembly.check(block(2, false), 9), Err(Refusal::TooLarge));
        assert_eq!(assembly.check(block(2, false), 8), Ok(Piece::Following));
        assembly.take(&[3; 8]);
        assert_eq!(assembly.into_body().len(), 40);
    }

    #[test]
    fn a_stream_is_counted_and_not_kept() {
        let mut assembly = Assembly::streaming();
        for number in 0..1000 {
            assert_eq!(
                assembly.check(block(number, true), 16),
                Ok(Piece::Following)
            );
            assembly.take(&[0; 16]);
        }
        assert_eq!(assembly.held(), 0);
    }
}
