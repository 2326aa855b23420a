//! JSON, as far as [`super::json`] needs it: a reader that walks over the text once, keeps numbers
//! as text (so that 64-bit integers lose nothing) and borrows strings where it can.
//!
//! It is our own because a record that cannot be understood must not spoil the others, and because
//! it is small enough for the smallest Client.

use alloc::borrow::Cow;
use alloc::string::String;

use super::DecodeError;

/// Members that are not known are passed over, this deep and no deeper; the format has two levels.
const DEPTH_MAX: usize = 16;

/// A value of the kinds that records have.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar<'a> {
    /// A number, as it is written.
    Number(&'a str),
    /// `true` or `false`
    Boolean(bool),
    /// A string.
    Text(Cow<'a, str>),
    /// `null`, an object or an array: nothing that a record can hold.
    Other,
}

/// The text and where in it the reader is.
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Reads `{ … }`; `member` is called with each name and must read the value.
    pub(super) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &str) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        self.expect(b'{', "an object begins with {")?;
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            self.skip_blanks();
            let name = self.string()?;
            self.expect(b':', "a colon follows the name of a member")?;
            member(self, &name)?;
            if !self.take(b',') {
                return self.expect(b'}', "a member is followed by , or }");
            }
        }
    }

    /// Reads `[ … ]`; `element` must read each element.
    pub(super) fn array(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        self.expect(b'[', "an array begins with [")?;
        if self.take(b']') {
            return Ok(());
        }
        loop {
            element(self)?;
            if !self.take(b',') {
                return self.expect(b']', "an element is followed by , or ]");
            }
        }
    }

    /// Whether an object comes next.
    pub(super) fn is_object(&mut self) -> bool {
        self.skip_blanks();
        self.peek() == Some(b'{')
    }

    /// Reads any value; what is not scalar is passed over.
    pub(super) fn scalar(&mut self) -> Result<Scalar<'a>, DecodeError> {
        self.skip_blanks();
        match self.peek() {
            Some(b'"') => self.string().map(Scalar::Text),
            Some(b'{' | b'[') => self.skip_nested().map(|()| Scalar::Other),
            Some(b'-' | b'+' | b'.' | b'0'..=b'9') => Ok(Scalar::Number(self.run(is_number_byte))),
            Some(_) => match self.run(|byte| byte.is_ascii_alphabetic()) {
                "true" => Ok(Scalar::Boolean(true)),
                "false" => Ok(Scalar::Boolean(false)),
                "null" => Ok(Scalar::Other),
                _ => self.malformed("this is no value"),
            },
            None => self.malformed("a value is missing"),
        }
    }

    /// That nothing but blanks follows.
    pub(super) fn end(&mut self) -> Result<(), DecodeError> {
        self.skip_blanks();
        match self.peek() {
            None => Ok(()),
            Some(_) => self.malformed("something follows the end"),
        }
    }

    /// Passes over an object or array, counting brackets instead of recursing.
    fn skip_nested(&mut self) -> Result<(), DecodeError> {
        let mut depth = 0;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.string()?;
                    continue;
                }
                Some(b'{' | b'[') if depth == DEPTH_MAX => {
                    return self.malformed("the values are nested too deeply");
                }
                Some(b'{' | b'[') => depth += 1,
                Some(b'}' | b']') => depth -= 1,
                Some(_) => {}
                None => return self.malformed("an object or array does not end"),
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        self.expect(b'"', "a string begins with a quote")?;
        let start = self.at;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let text = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(Cow::Borrowed(text));
                }
                Some(b'\\') => return self.escaped_string(start).map(Cow::Owned),
                Some(0..0x20) => return self.malformed("a control character stands in a string"),
                Some(_) => self.at += 1,
                None => return self.malformed("a string does not end"),
            }
        }
    }

    /// The same from the first backslash on.
    fn escaped_string(&mut self, start: usize) -> Result<String, DecodeError> {
        let mut text = String::from(&self.text[start..self.at]);
        loop {
            let rest = &self.text[self.at..];
            let Some(char) = rest.chars().next() else {
                return self.malformed("a string does not end");
            };
            self.at += char.len_utf8();
            match char {
                '"' => return Ok(text),
                '\\' => text.push(self.escape()?),
                '\0'..='\x1f' => {
                    return self.malformed("a control character stands in a string");
                }
                char => text.push(char),
            }
        }
    }

    fn escape(&mut self) -> Result<char, DecodeError> {
        let byte = self.peek();
        self.at += usize::from(byte.is_some());
        Ok(match byte {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            Some(_) | None => {
                // Step back, so that a character of several bytes is not cut.
                self.at -= usize::from(byte.is_some());
                return self.malformed("this escape is not one of JSON");
            }
        })
    }

    /// Four digits, and four more where two make one character.
    fn unicode_escape(&mut self) -> Result<char, DecodeError> {
        let first = self.hex4()?;
        if !(0xd800..0xdc00).contains(&first) {
            // A second half without a first one is no character.
            return Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        if !self.text[self.at..].starts_with("\\u") {
            return Ok(char::REPLACEMENT_CHARACTER);
        }
        self.at += 2;
        let second = self.hex4()?;
        let joined = 0x10000 + ((first - 0xd800) << 10) + (second.wrapping_sub(0xdc00) & 0x3ff);
        let is_second = (0xdc00..0xe000).contains(&second);
        Ok(char::from_u32(joined)
            .filter(|_| is_second)
            .unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex4(&mut self) -> Result<u32, DecodeError> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let is_hex = |digits: &&[u8]| digits.iter().all(u8::is_ascii_hexdigit);
        let Some(digits) = digits.filter(is_hex) else {
            return self.malformed("four hexadecimal digits follow \\u");
        };
        self.at += 4;
        let text = core::str::from_utf8(digits).expect("hexadecimal digits are text");
        Ok(u32::from_str_radix(text, 16).expect("four hexadecimal digits are a number"))
    }

    fn run(&mut self, belongs: impl Fn(u8) -> bool) -> &'a str {
        let start = self.at;
        while self.peek().is_some_and(&belongs) {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    fn take(&mut self, byte: u8) -> bool {
        self.skip_blanks();
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), DecodeError> {
        if self.take(byte) {
            Ok(())
        } else {
            self.malformed(what)
        }
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn malformed<T>(&self, what: &'static str) -> Result<T, DecodeError> {
        Err(DecodeError::Malformed {
            offset: self.at,
            what,
        })
    }
}

const fn is_number_byte(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn scalar(text: &str) -> Result<Scalar<'_>, DecodeError> {
        let mut reader = Reader::new(text);
        let scalar = reader.scalar()?;
        reader.end()?;
        Ok(scalar)
    }

    #[test]
    fn rfc8259_scalars() {
        assert_eq!(
            scalar(" 18446744073709551615 "),
            Ok(Scalar::Number("18446744073709551615"))
        );
        assert_eq!(scalar("-1.5e3"), Ok(Scalar::Number("-1.5e3")));
        assert_eq!(scalar("true"), Ok(Scalar::Boolean(true)));
        assert_eq!(scalar("null"), Ok(Scalar::Other));
        assert_eq!(scalar("{\"a\":[1,{\"b\":\"]}\"}]}"), Ok(Scalar::Other));
        for (text, expected) in [
            ("\"\"", ""),
            ("\"a b\"", "a b"),
            ("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\u{8}\u{c}\n\r\t"),
            ("\"ä\\u00e4\\ud83d\\ude00x\"", "ää😀x"),
            ("\"\\ud83dx\"", "\u{fffd}x"),
            ("\"\\ude00\"", "\u{fffd}"),
            ("\"\\ud83d\\u0041\"", "\u{fffd}"),
        ] {
            assert_eq!(scalar(text), Ok(Scalar::Text(expected.into())), "{text}");
        }
    }

    #[test]
    fn rfc8259_what_is_not_json_is_refused_where_it_is() {
        for (text, offset) in [
            ("", 0),
            ("\"abc", 4),
            ("\"a\\", 3),
            ("\"a\\x\"", 3),
            ("\"a\\ä\"", 3),
            ("\"\\u12g4\"", 3),
            ("\"a\nb\"", 2),
            ("nul", 3),
            ("1 2", 2),
            ("[1", 2),
        ] {
            let result = scalar(text);
            assert!(
                matches!(result, Err(DecodeError::Malformed { offset: at, .. }) if at == offset),
                "{text}: {result:?}"
            );
        }
        let deep = "[".repeat(DEPTH_MAX + 1);
        assert!(scalar(&deep).is_err());
    }

    #[test]
    fn members_and_elements_are_walked_in_order() {
        let mut reader = Reader::new(" { \"a\" : [ 1 , 2 ] , \"b\" : {} } ");
        let mut seen = Vec::new();
        reader
            .object(|reader, name| {
                seen.push(String::from(name));
                if name == "a" {
                    return reader.array(|reader| {
                        if let Scalar::Number(number) = reader.scalar()? {
                            seen.push(number.into());
                        }
                        Ok(())
                    });
                }
                reader.scalar().map(drop)
            })
            .unwrap();
        reader.end().unwrap();
        assert_eq!(seen, ["a", "1", "2", "b"]);
        for text in ["{\"a\"}", "{\"a\":1,}", "{,}", "{\"a\":1"] {
            let read = Reader::new(text).object(|reader, _| reader.scalar().map(drop));
            assert!(read.is_err(), "{text}");
        }
    }
}
