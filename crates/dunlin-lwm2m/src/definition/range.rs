//! Which values a Resource may have. Definitions say it in words of their authors: `0..100`,
//! `0-255 bytes`, `1,2,3`, `0: off` per line, or a sentence. What is understood is checked, what is
//! not restricts nothing.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use thiserror::Error;

use crate::value::{Value, ValueType};

/// Longer texts are prose; they are not searched for numbers.
const TEXT_BYTES_MAX: usize = 512;

/// More alternatives than this are not kept; the longest list in the public registry has 20.
const ALTERNATIVES_MAX: usize = 64;

/// Which values are allowed.
#[derive(Debug, Clone, PartialEq)]
pub enum Range {
    /// Any value, or the text was not understood.
    Any,
    /// Numbers in one of these spans.
    Numbers(Vec<Span>),
    /// Texts and bytes whose length is in one of these spans.
    Bytes(Vec<Span>),
    /// One of these texts.
    Texts(Vec<String>),
}

/// From one number to another, both included. Bounds beyond 2^53 are as exact as `f64` is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// The smallest.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

/// A value is not among those that a definition allows.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the value is not within {allowed}")]
pub struct OutOfRange {
    /// What the definition says.
    pub allowed: String,
}

impl Range {
    /// Reads the words of a definition for a Resource of that type.
    pub fn parse(text: &str, value_type: ValueType) -> Self {
        let text = text.trim();
        if text.is_empty() || text.len() > TEXT_BYTES_MAX {
            return Self::Any;
        }
        match value_type {
            ValueType::Integer | ValueType::Unsigned | ValueType::Float | ValueType::Time => {
                parse_spans(text).map_or(Self::Any, Self::Numbers)
            }
            ValueType::String | ValueType::Opaque | ValueType::CoreLink => {
                parse_lengths(text, value_type)
                    .map(Self::Bytes)
                    .or_else(|| parse_texts(text))
                    .unwrap_or(Self::Any)
            }
            ValueType::Boolean | ValueType::ObjectLink | ValueType::None => Self::Any,
        }
    }

    /// Whether `value` is allowed.
    pub fn contains(&self, value: &Value) -> bool {
        match self {
            Self::Any => true,
            Self::Numbers(spans) => value.as_number().is_none_or(|number| within(spans, number)),
            Self::Bytes(spans) => match value {
                Value::String(text) | Value::CoreLink(text) => within(spans, text.len() as f64),
                Value::Opaque(bytes) => within(spans, bytes.len() as f64),
                _ => true,
            },
            Self::Texts(texts) => value
                .as_str()
                .is_none_or(|text| texts.iter().any(|allowed| allowed == text)),
        }
    }

    /// Whether no negative number is allowed.
    pub fn is_never_negative(&self) -> bool {
        matches!(self, Self::Numbers(spans) if spans.iter().all(|span| span.min >= 0.0))
    }
}

fn within(spans: &[Span], number: f64) -> bool {
    spans
        .iter()
        .any(|span| span.min <= number && number <= span.max)
}

/// `0..100`, `0-100`, `[1:4]`, `5, 10, 15`, `0..3, 99`, or lines of `0: off`. A single number may
/// mean anything and is not understood.
fn parse_spans(text: &str) -> Option<Vec<Span>> {
    if text.contains(": ") || text.contains('\n') {
        return parse_labels(text);
    }
    let inside = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    let parts: Vec<&str> = inside.split([',', ';']).map(str::trim).collect();
    if parts.len() > ALTERNATIVES_MAX {
        return None;
    }
    if let [single] = parts[..]
        && number(single).is_some()
    {
        return None;
    }
    parts.into_iter().map(parse_span).collect()
}

fn parse_span(text: &str) -> Option<Span> {
    if let Some(single) = number(text) {
        return Some(Span {
            min: single,
            max: single,
        });
    }
    let (first, second) = ["...", "..", ":"]
        .into_iter()
        .find_map(|separator| text.split_once(separator))
        // A minus sign separates where it is not the sign of the first number.
        .or_else(|| {
            let at = text.get(1..)?.find('-')? + 1;
            Some((&text[..at], &text[at + 1..]))
        })?;
    let (first, second) = (number(first.trim())?, number(second.trim())?);
    Some(Span {
        min: first.min(second),
        max: first.max(second),
    })
}

/// Lines such as `0: disabled`, one number each.
fn parse_labels(text: &str) -> Option<Vec<Span>> {
    let mut spans = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let single = number(line.split_once(':')?.0.trim())?;
        spans.push(Span {
            min: single,
            max: single,
        });
    }
    (2..=ALTERNATIVES_MAX)
        .contains(&spans.len())
        .then_some(spans)
}

/// `0..255 bytes`, `16-32-48 bytes`, `10 or 26 Bytes`, `6 bytes`; for texts `0..255` means the same. One
/// length alone is exact for bytes, such as a key; for a text, such as the Data Description of Object 19,
/// it is the greatest.
fn parse_lengths(text: &str, value_type: ValueType) -> Option<Vec<Span>> {
    let lower = text.to_ascii_lowercase();
    let plain = ["bytes", "byte"]
        .into_iter()
        .find_map(|unit| lower.strip_suffix(unit));
    let Some(lengths) = plain.map(str::trim) else {
        return parse_spans(text).filter(|spans| spans.iter().all(|span| span.min >= 0.0));
    };
    let choices = lengths.replace(" or ", ",");
    if let Some(single) = number(&choices) {
        return Some(
            [Span {
                min: match value_type {
                    ValueType::Opaque => single,
                    _ => 0.0,
                },
                max: single,
            }]
            .to_vec(),
        );
    }
    parse_spans(&choices).or_else(|| parse_spans(&choices.replace('-', ",")))
}

/// `U, UQ, S`: at least two words.
fn parse_texts(text: &str) -> Option<Range> {
    let words: Vec<String> = text
        .split([',', ';'])
        .map(|word| word.trim().to_string())
        .collect();
    let is_word = |word: &String| {
        (1..=32).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_graphic())
    };
    ((2..=ALTERNATIVES_MAX).contains(&words.len()) && words.iter().all(is_word))
        .then_some(Range::Texts(words))
}

fn number(text: &str) -> Option<f64> {
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || b"+-.".contains(&byte));
    text.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(text: &str) -> Vec<(f64, f64)> {
        match Range::parse(text, ValueType::Integer) {
            Range::Numbers(spans) => spans.iter().map(|span| (span.min, span.max)).collect(),
            Range::Any => Vec::new(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn ts_annex_d_the_spellings_of_the_registry_are_understood() {
        for (text, spans) in [
            ("0..100", &[(0.0, 100.0)][..]),
            ("0-50", &[(0.0, 50.0)]),
            ("1...15", &[(1.0, 15.0)]),
            ("[1:4]", &[(1.0, 4.0)]),
            ("-30..-120", &[(-120.0, -30.0)]),
            ("-24..24", &[(-24.0, 24.0)]),
            ("-5-5", &[(-5.0, 5.0)]),
            ("0.000001..1.0", &[(0.000001, 1.0)]),
            ("0..3, 99", &[(0.0, 3.0), (99.0, 99.0)]),
            ("0; 3.8..20.5", &[(0.0, 0.0), (3.8, 20.5)]),
            ("5, 10", &[(5.0, 5.0), (10.0, 10.0)]),
            ("0: off\r\n\t1: on", &[(0.0, 0.0), (1.0, 1.0)]),
            ("", &[]),
            ("255", &[]),
            ("8-Bits", &[]),
            ("<7 to >12.5", &[]),
            ("see the specification, chapter 5", &[]),
        ] {
            assert_eq!(numbers(text), spans, "{text}");
        }
    }

    #[test]
    fn lengths_of_texts_and_bytes() {
        for (text, spans) in [
            ("0..255 bytes", &[(0.0, 255.0)][..]),
            ("1..64 Bytes", &[(1.0, 64.0)]),
            (
                "16-32-48 bytes",
                &[(16.0, 16.0), (32.0, 32.0), (48.0, 48.0)],
            ),
            ("0-255 bytes", &[(0.0, 255.0)]),
            ("10 or 26 Bytes", &[(10.0, 10.0), (26.0, 26.0)]),
            ("6 bytes", &[(6.0, 6.0)]),
            ("0..32", &[(0.0, 32.0)]),
        ] {
            let Range::Bytes(read) = Range::parse(text, ValueType::Opaque) else {
                panic!("{text}");
            };
            let read: Vec<_> = read.iter().map(|span| (span.min, span.max)).collect();
            assert_eq!(read, spans, "{text}");
        }
        assert_eq!(Range::parse("12", ValueType::String), Range::Any);
        let note = Range::parse("32 bytes", ValueType::String);
        assert!(note.contains(&Value::String("x".into())));
        assert!(!note.contains(&Value::String("x".repeat(33))));
    }

    #[test]
    fn what_is_allowed_is_told_from_what_is_not() {
        let percent = Range::parse("0..100", ValueType::Integer);
        assert!(percent.contains(&Value::Integer(100)));
        assert!(!percent.contains(&Value::Integer(101)));
        assert!(percent.is_never_negative());
        assert!(!Range::parse("-1..1", ValueType::Float).is_never_negative());
        assert!(!Range::Any.is_never_negative());
        let uri = Range::parse("0..3 bytes", ValueType::String);
        assert!(uri.contains(&Value::String("abc".into())));
        assert!(!uri.contains(&Value::String("ä€".into())));
        let binding = Range::parse("U, UQ, S", ValueType::String);
        assert!(binding.contains(&Value::String("UQ".into())));
        assert!(!binding.contains(&Value::String("X".into())));
        let all = Range::parse("0..9223372036854775807", ValueType::Integer);
        assert!(all.contains(&Value::Integer(i64::MAX)));
    }
}
