//! Commit numbers, and positions in the event log.

use core::fmt;
use core::str::FromStr;

/// The number of a commit: it rises with every batch of the whole store and is never used twice,
/// not even after a loss that an operator has accepted. The first commit is 1; 0 means "none yet".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CommitNumber(pub u64);

impl CommitNumber {
    /// Before the first commit.
    pub const NONE: CommitNumber = CommitNumber(0);

    /// The number after this one.
    pub fn next(self) -> CommitNumber {
        CommitNumber(self.0 + 1)
    }
}

impl fmt::Display for CommitNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The place of one event: the commit that holds it, and its index in that commit.
///
/// Outside it is an opaque string ([`fmt::Display`], [`FromStr`]): consumers keep it and hand it
/// back, they do not compute with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The commit that holds the event.
    pub commit: CommitNumber,
    /// Its index in that commit, from 0.
    pub index: u32,
}

impl Position {
    /// Before everything.
    pub const START: Position = Position {
        commit: CommitNumber::NONE,
        index: u32::MAX,
    };

    /// After all events of this commit.
    pub fn end_of(commit: CommitNumber) -> Position {
        Position {
            commit,
            index: u32::MAX,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.index == u32::MAX {
            write!(f, "{:x}-end", self.commit.0)
        } else {
            write!(f, "{:x}-{:x}", self.commit.0, self.index)
        }
    }
}

/// The text is not a position of this store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an event position: use one as it was received, or \"start\"")]
pub struct PositionMalformed;

impl FromStr for Position {
    type Err = PositionMalformed;

    fn from_str(text: &str) -> Result<Position, PositionMalformed> {
        /// 16 digits, a dash, 8 digits.
        const TEXT_MAX: usize = 25;
        if text.len() > TEXT_MAX {
            return Err(PositionMalformed);
        }
        let (commit, index) = text.split_once('-').ok_or(PositionMalformed)?;
        let commit = CommitNumber(parse_hex(commit)?);
        let index = match index {
            "end" => u32::MAX,
            digits => u32::try_from(parse_hex(digits)?).map_err(|_| PositionMalformed)?,
        };
        Ok(Position { commit, index })
    }
}

/// Lower-case hexadecimal without sign or leading zeros, so that every position has one spelling.
fn parse_hex(text: &str) -> Result<u64, PositionMalformed> {
    let plain = text
        .bytes()
        .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if text.is_empty() || !plain || (text.len() > 1 && text.starts_with('0')) {
        return Err(PositionMalformed);
    }
    u64::from_str_radix(text, 16).map_err(|_| PositionMalformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn malformed_positions_are_refused() {
        for text in [
            "",
            "-",
            "1",
            "1-",
            "-1",
            "+1-0",
            "1-0-0",
            "01-0",
            "A-0",
            "1-100000000",
            "x-y",
        ] {
            assert_eq!(text.parse::<Position>(), Err(PositionMalformed), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_position_has_one_spelling(commit: u64, index: u32, text in "\\PC{0,30}") {
            let position = Position { commit: CommitNumber(commit), index };
            prop_assert_eq!(position.to_string().parse(), Ok(position));
            if let Ok(position) = text.parse::<Position>() {
                // "ffffffff" is the one index with two spellings, both of which mean the end.
                if position.index != u32::MAX {
                    prop_assert_eq!(position.to_string(), text);
                }
            }
        }
    }
}
