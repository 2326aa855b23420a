//! What comes along with an Execute: `0,2='10.3'` (TS 5.4.5).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use thiserror::Error;

/// The arguments of an Execute, in the order they were given; each digit at most once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Arguments(Vec<Argument>);

/// One argument: a digit, with a value or without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// 0 to 9.
    pub digit: u8,
    /// Printable ASCII without space, quotes and backslash; `None` for a bare digit.
    pub value: Option<String>,
}

impl Arguments {
    /// No arguments.
    pub const NONE: Self = Self(Vec::new());

    /// Checks digits, characters and that no digit comes twice.
    pub fn new(arguments: Vec<Argument>) -> Result<Self, ArgumentsError> {
        let mut seen = 0u16;
        for Argument { digit, value } in &arguments {
            if *digit > 9 {
                return Err(ArgumentsError::NotADigit);
            }
            if seen & 1 << digit != 0 {
                return Err(ArgumentsError::Duplicate { digit: *digit });
            }
            seen |= 1 << digit;
            if value
                .as_ref()
                .is_some_and(|value| !value.bytes().all(is_value_byte))
            {
                return Err(ArgumentsError::Character { digit: *digit });
            }
        }
        Ok(Self(arguments))
    }

    /// From the payload of an Execute; no bytes are no arguments.
    pub fn decode(payload: &[u8]) -> Result<Self, ArgumentsError> {
        core::str::from_utf8(payload)
            .map_err(|_| ArgumentsError::NotText)?
            .parse()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The arguments in their order.
    pub fn as_slice(&self) -> &[Argument] {
        &self.0
    }

    /// The argument of that digit.
    pub fn argument(&self, digit: u8) -> Option<&Argument> {
        self.0.iter().find(|argument| argument.digit == digit)
    }
}

impl FromStr for Arguments {
    type Err = ArgumentsError;

    /// The grammar of TS 5.4.5. Spaces after a comma are tolerated, because a sample of the
    /// standard has them.
    fn from_str(text: &str) -> Result<Self, ArgumentsError> {
        let mut arguments = Vec::new();
        let mut rest = text;
        while !rest.is_empty() || !arguments.is_empty() {
            let (argument, after) = parse_argument(rest)?;
            // Ten digits exist, so an eleventh argument repeats one: stop before it is kept.
            if arguments.len() == 10 {
                return Err(ArgumentsError::Duplicate {
                    digit: argument.digit,
                });
            }
            arguments.push(argument);
            match after.strip_prefix(',') {
                Some(after) => rest = after.trim_start_matches(' '),
                None if after.is_empty() => break,
                None => return Err(ArgumentsError::NoComma),
            }
        }
        Self::new(arguments)
    }
}

fn parse_argument(text: &str) -> Result<(Argument, &str), ArgumentsError> {
    let digit = text
        .bytes()
        .next()
        .filter(u8::is_ascii_digit)
        .map(|byte| byte - b'0')
        .ok_or(ArgumentsError::NotADigit)?;
    let Some(quoted) = text[1..].strip_prefix('=') else {
        return Ok((Argument { digit, value: None }, &text[1..]));
    };
    let quoted = quoted
        .strip_prefix('\'')
        .ok_or(ArgumentsError::NotQuoted { digit })?;
    let (value, after) = quoted
        .split_once('\'')
        .ok_or(ArgumentsError::NotQuoted { digit })?;
    Ok((
        Argument {
            digit,
            value: Some(value.into()),
        },
        after,
    ))
}

/// `!`, and `#` to `~` without apostrophe and backslash.
fn is_value_byte(byte: u8) -> bool {
    matches!(byte, b'!' | 0x23..=0x26 | 0x28..=0x5b | 0x5d..=0x7e)
}

impl fmt::Display for Arguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Argument { digit, value }) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            match value {
                Some(value) => write!(f, "{digit}='{value}'")?,
                None => write!(f, "{digit}")?,
            }
        }
        Ok(())
    }
}

/// Why a text is no list of arguments; the answer is 4.00.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ArgumentsError {
    /// Not UTF-8, let alone ASCII.
    #[error("arguments are ASCII text")]
    NotText,
    /// An argument does not begin with a digit.
    #[error("an argument begins with a digit from 0 to 9, such as 0 or 2='10.3'")]
    NotADigit,
    /// `=` is not followed by a value in single quotes.
    #[error("the value of argument {digit} must stand in single quotes, such as {digit}='10.3'")]
    NotQuoted {
        /// Of which argument.
        digit: u8,
    },
    /// Something other than a comma follows an argument.
    #[error("arguments are separated by commas")]
    NoComma,
    /// A digit that came before.
    #[error("argument {digit} is given twice")]
    Duplicate {
        /// Which.
        digit: u8,
    },
    /// A character the grammar does not have.
    #[error(
        "the value of argument {digit} may have printable ASCII only, without space, quotes and backslash"
    )]
    Character {
        /// Of which argument.
        digit: u8,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn ts_5_4_5_samples_are_read_and_written() {
        for text in [
            "",
            "5",
            "2='10.3'",
            "7,0='https://www.oma.org'",
            "0,1,2,3,4",
            "3=''",
        ] {
            assert_eq!(text.parse::<Arguments>().unwrap().to_string(), text);
        }
        let arguments: Arguments = "7,0='https://www.oma.org'".parse().unwrap();
        assert_eq!(
            arguments.argument(0),
            Some(&Argument {
                digit: 0,
                value: Some("https://www.oma.org".into())
            })
        );
        assert_eq!(
            arguments.argument(7),
            Some(&Argument {
                digit: 7,
                value: None
            })
        );
        assert_eq!(arguments.argument(1), None);
        // Spaces after commas, as a sample of the standard prints them.
        assert_eq!(
            "0, 1,  2".parse::<Arguments>().unwrap().to_string(),
            "0,1,2"
        );
    }

    #[test]
    fn ts_5_4_5_what_the_grammar_does_not_have_is_refused() {
        for (text, error) in [
            ("a", ArgumentsError::NotADigit),
            (",", ArgumentsError::NotADigit),
            ("0,", ArgumentsError::NotADigit),
            (" 0", ArgumentsError::NotADigit),
            ("10", ArgumentsError::NoComma),
            ("0 ,1", ArgumentsError::NoComma),
            ("0=1", ArgumentsError::NotQuoted { digit: 0 }),
            ("0='1", ArgumentsError::NotQuoted { digit: 0 }),
            ("0='a b'", ArgumentsError::Character { digit: 0 }),
            ("0='a\\b'", ArgumentsError::Character { digit: 0 }),
            ("0='a\"b'", ArgumentsError::Character { digit: 0 }),
            ("0='ä'", ArgumentsError::Character { digit: 0 }),
            ("1,2,1", ArgumentsError::Duplicate { digit: 1 }),
            (
                "0,1,2,3,4,5,6,7,8,9,0",
                ArgumentsError::Duplicate { digit: 0 },
            ),
        ] {
            assert_eq!(text.parse::<Arguments>(), Err(error), "{text}");
        }
        assert_eq!(Arguments::decode(b"\xff"), Err(ArgumentsError::NotText));
    }
}
