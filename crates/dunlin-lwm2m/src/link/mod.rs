//! CoRE links (RFC 6690), as far as LwM2M uses them: object lists in Register and Update
//! ([`ObjectLinks`]) and answers to Discover ([`Discovered`]).
//!
//! This file holds the grammar, read tolerantly: one bad link never spoils the others, blanks may
//! stand between links, values may be quoted or not, and an entry without `<…>` is read because
//! LwM2M 1.0 itself prints one (`lwm2m="1.0"`). Writing is strict.

mod discovered;
mod objects;
mod reading;

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use thiserror::Error;

use crate::content_format::ContentFormat;

pub use discovered::{Discovered, DiscoveredLink};
pub use objects::{
    FORMATS_MAX, ObjectEntry, ObjectLinks, ObjectLinksBuilder, ParsedLinks, ROOT_BYTES_MAX,
};

/// An object list or Discover answer larger than this is not read. It is what one UDP datagram
/// can carry, and the largest devices seen send a fraction of it.
pub const LINKS_BYTES_MAX: usize = 65_535;

/// More links than this are not kept. A gateway with a few hundred instances fits; a list made to
/// exhaust memory does not.
pub const LINKS_MAX: usize = 4_096;

/// Why links are not read at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LinkError {
    /// More than [`LINKS_BYTES_MAX`] bytes.
    #[error("the list of links has {bytes} bytes, {LINKS_BYTES_MAX} are the most")]
    TooLong {
        /// How many.
        bytes: usize,
    },
    /// More than [`LINKS_MAX`] links.
    #[error("the list has more than {LINKS_MAX} links")]
    TooMany,
    /// Nothing in it names an Object.
    #[error("the list of links names no object")]
    Empty,
    /// The bytes of a stored object list are not what `encode` makes.
    #[error("the stored object list is damaged")]
    Damaged,
    /// An alternate path is too long, or would be taken for Objects.
    #[error(
        "an alternate path has at most {ROOT_BYTES_MAX} bytes and no numbers between its slashes"
    )]
    Root,
}

/// One entry of a list, borrowed from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link<'a> {
    /// What stands between `<` and `>`; `None` for an entry without.
    pub(crate) target: Option<&'a str>,
    params: &'a str,
}

impl<'a> Link<'a> {
    /// The parameters, in their order.
    pub(crate) fn params(self) -> Params<'a> {
        Params { rest: self.params }
    }
}

/// The entries of a list, one after the other. Entries that cannot be read are `Err` with nothing
/// in it, and the next one is found behind the next comma.
#[derive(Debug, Clone)]
pub(crate) struct Links<'a> {
    rest: &'a str,
    /// Whether blanks stood where none belong.
    pub(crate) whitespace: bool,
}

impl<'a> Links<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            rest: text,
            whitespace: false,
        }
    }
}

impl<'a> Iterator for Links<'a> {
    type Item = Result<Link<'a>, ()>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self
            .rest
            .trim_start_matches(|c: char| c == ',' || c.is_whitespace());
        let skipped = &self.rest[..self.rest.len() - start.len()];
        self.whitespace |= skipped.contains(char::is_whitespace);
        self.rest = start;
        if start.is_empty() {
            return None;
        }
        let (target, params) = match start.strip_prefix('<') {
            None => (None, start),
            Some(inside) => match inside.find(['>', ',']) {
                Some(end) if inside.as_bytes()[end] == b'>' => {
                    (Some(&inside[..end]), &inside[end + 1..])
                }
                // No end of the target before the next link: pass over it.
                Some(comma) => {
                    self.rest = &inside[comma..];
                    return Some(Err(()));
                }
                None => {
                    self.rest = "";
                    return Some(Err(()));
                }
            },
        };
        let end = find_unquoted(params, b',');
        let link = Link {
            target,
            params: &params[..end],
        };
        self.rest = &params[end..];
        Some(Ok(link))
    }
}

/// The parameters of one link, in their order.
#[derive(Debug, Clone)]
pub(crate) struct Params<'a> {
    rest: &'a str,
}

/// One parameter of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Param<'a> {
    pub(crate) name: &'a str,
    /// What follows `=`, without its quotes; `None` without `=`.
    pub(crate) value: Option<Cow<'a, str>>,
    /// Whether it stood in quotes.
    pub(crate) is_quoted: bool,
}

impl<'a> Iterator for Params<'a> {
    type Item = Param<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let start = self
                .rest
                .trim_start_matches(|c: char| c == ';' || c.is_whitespace());
            if start.is_empty() {
                return None;
            }
            let end = find_unquoted(start, b';');
            self.rest = &start[end..];
            let (name, value) = match start[..end].split_once('=') {
                Some((name, value)) => (name.trim(), Some(value.trim())),
                None => (start[..end].trim(), None),
            };
            if !name.is_empty() {
                let is_quoted = value.is_some_and(|value| value.starts_with('"'));
                return Some(Param {
                    name,
                    value: value.map(unquote),
                    is_quoted,
                });
            }
        }
    }
}

/// Where `byte` first stands outside of quotes, or the end.
fn find_unquoted(text: &str, byte: u8) -> usize {
    let bytes = text.as_bytes();
    let mut quoted = false;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => quoted = !quoted,
            b'\\' if quoted => at += 1,
            other if other == byte && !quoted => return at,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

fn unquote(value: &str) -> Cow<'_, str> {
    let Some(inside) = value.strip_prefix('"') else {
        return Cow::Borrowed(value);
    };
    // A quote without an end reaches to the end of the link.
    let inside = inside.strip_suffix('"').unwrap_or(inside);
    if !inside.contains('\\') {
        return Cow::Borrowed(inside);
    }
    let mut text = String::with_capacity(inside.len());
    let mut chars = inside.chars();
    while let Some(char) = chars.next() {
        text.extend(if char == '\\' {
            chars.next()
        } else {
            Some(char)
        });
    }
    Cow::Owned(text)
}

/// Reads `11542 11543` into `formats`, each once and [`FORMATS_MAX`] at most; numbers that are none
/// are passed over.
fn collect_formats(value: &str, formats: &mut Vec<ContentFormat>) {
    for number in value.split_whitespace().filter_map(crate::path::parse_id) {
        if formats.len() < FORMATS_MAX && !formats.contains(&ContentFormat(number)) {
            formats.push(ContentFormat(number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read<'a> = Result<(Option<&'a str>, Vec<(&'a str, Option<String>)>), ()>;

    fn read(text: &str) -> Vec<Read<'_>> {
        Links::new(text)
            .map(|link| {
                link.map(|link| {
                    let params = link
                        .params()
                        .map(|param| (param.name, param.value.map(Cow::into_owned)))
                        .collect();
                    (link.target, params)
                })
            })
            .collect()
    }

    #[test]
    fn rfc6690_2_targets_and_parameters() {
        assert_eq!(
            read("</3>;pmin=10,</3/0>;a;b=\"x,;y\",</4>"),
            [
                Ok((Some("/3"), [("pmin", Some("10".into()))].to_vec())),
                Ok((
                    Some("/3/0"),
                    [("a", None), ("b", Some("x,;y".into()))].to_vec()
                )),
                Ok((Some("/4"), Vec::new())),
            ]
        );
        assert_eq!(
            read("</0>;uri=\"a\\\"b\\\\\""),
            [Ok((Some("/0"), [("uri", Some("a\"b\\".into()))].to_vec()))]
        );
    }

    #[test]
    fn quirks_34_36_43_blanks_bad_links_and_bare_entries() {
        assert_eq!(
            read("lwm2m=\"1.0\", \r\n</1> ; ver = \"1.1\" ,,</3"),
            [
                Ok((None, [("lwm2m", Some("1.0".into()))].to_vec())),
                Ok((Some("/1"), [("ver", Some("1.1".into()))].to_vec())),
                Err(()),
            ]
        );
        assert_eq!(
            read("</1,</3/0>"),
            [Err(()), Ok((Some("/3/0"), Vec::new()))]
        );
        assert_eq!(read("<"), [Err(())]);
        assert_eq!(read(""), []);
        let mut links = Links::new("</1>, </2>");
        links.by_ref().for_each(drop);
        assert!(links.whitespace);
    }

    #[test]
    fn an_open_quote_swallows_the_rest_and_nothing_more() {
        assert_eq!(
            read("</1>;a=\"x,</2>"),
            [Ok((Some("/1"), [("a", Some("x,</2>".into()))].to_vec()))]
        );
        assert_eq!(
            read("</1>;a=\"x\\"),
            [Ok((Some("/1"), [("a", Some("x".into()))].to_vec()))]
        );
    }
}
