//! The value of Block1 and Block2 (RFC 7959 §2.2).

use core::fmt;

/// The size of a block: a power of two from 16 to 1024 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockSize(u8);

impl BlockSize {
    /// 16 bytes.
    pub const SMALLEST: BlockSize = BlockSize(0);
    /// 1024 bytes.
    pub const LARGEST: BlockSize = BlockSize(6);

    /// By its exponent, SZX; `None` for the reserved 7 and above.
    pub const fn from_exponent(exponent: u8) -> Option<Self> {
        if exponent <= 6 {
            Some(Self(exponent))
        } else {
            None
        }
    }

    /// The largest size of at most so many bytes, and 16 for less.
    pub const fn fitting(bytes: usize) -> Self {
        let mut size = Self::LARGEST;
        while size.0 > 0 && size.bytes() > bytes {
            size.0 -= 1;
        }
        size
    }

    /// SZX, 0 to 6.
    pub const fn exponent(self) -> u8 {
        self.0
    }

    /// How many bytes.
    pub const fn bytes(self) -> usize {
        16 << self.0
    }

    /// The next smaller size; `None` below 16 bytes.
    pub const fn smaller(self) -> Option<Self> {
        if self.0 > 0 {
            Some(Self(self.0 - 1))
        } else {
            None
        }
    }
}

/// Which block, how large, and whether more follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockValue {
    /// The number of the block, counted in blocks of `size`: at most [`BlockValue::NUMBER_MAX`].
    pub number: u32,
    /// Whether more blocks follow.
    pub more: bool,
    /// The size of a block.
    pub size: BlockSize,
}

impl BlockValue {
    /// A block number has twenty bits.
    pub const NUMBER_MAX: u32 = (1 << 20) - 1;

    /// From the number that the option carries; `None` for the reserved size or more than 24 bits.
    pub const fn from_uint(value: u32) -> Option<Self> {
        if value >> 24 != 0 {
            return None;
        }
        match BlockSize::from_exponent((value & 7) as u8) {
            Some(size) => Some(Self {
                number: value >> 4,
                more: value & 8 != 0,
                size,
            }),
            None => None,
        }
    }

    /// The number that the option carries.
    pub const fn to_uint(self) -> u32 {
        self.number << 4 | (self.more as u32) << 3 | self.size.0 as u32
    }

    /// Where the block begins in the body.
    pub const fn offset(self) -> u64 {
        (self.number as u64) << (self.size.0 + 4)
    }
}

impl fmt::Display for BlockValue {
    /// `number/more/bytes`, as RFC 7959 §3 writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{}/{}",
            self.number,
            u8::from(self.more),
            self.size.bytes()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn rfc7959_2_2_values_survive_the_way_there_and_back() {
        for exponent in 0..=6 {
            for number in [0, 1, 15, 16, 4095, 4096, BlockValue::NUMBER_MAX] {
                for more in [false, true] {
                    let size = BlockSize::from_exponent(exponent).unwrap();
                    let block = BlockValue { number, more, size };
                    assert_eq!(BlockValue::from_uint(block.to_uint()), Some(block));
                }
            }
        }
        assert_eq!(BlockValue::from_uint(7), None, "SZX 7 is reserved");
        assert_eq!(BlockValue::from_uint(1 << 24), None);
        let block = BlockValue::from_uint(0x3a).unwrap();
        assert_eq!(block.to_string(), "3/1/64");
        assert_eq!(block.offset(), 192);
    }

    #[test]
    fn a_size_is_chosen_to_fit() {
        for (bytes, size) in [
            (0, 16),
            (16, 16),
            (17, 16),
            (64, 64),
            (1023, 512),
            (5000, 1024),
        ] {
            assert_eq!(BlockSize::fitting(bytes).bytes(), size);
        }
        assert_eq!(BlockSize::SMALLEST.smaller(), None);
    }
}
