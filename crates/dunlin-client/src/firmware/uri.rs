//! Where a package is pulled from: the URI of `/5/0/1`, taken apart (RFC 3986, RFC 7252 §6.4).

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::object::PullProtocol;

/// A URI that can be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PackageUri {
    pub(super) protocol: PullProtocol,
    /// Without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// The segments of the path, decoded.
    pub(super) path: Vec<String>,
    /// The parts of the query, decoded.
    pub(super) queries: Vec<String>,
}

/// Why a text is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UriFault {
    /// A scheme by which nothing is pulled.
    Scheme,
    /// Broken.
    Syntax,
}

impl PackageUri {
    pub(super) fn parse(text: &str) -> Result<Self, UriFault> {
        let (scheme, rest) = text.split_once("://").ok_or(UriFault::Syntax)?;
        let scheme_is_one = !scheme.is_empty()
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        if !scheme_is_one {
            return Err(UriFault::Syntax);
        }
        let (protocol, default_port) = match scheme.to_ascii_lowercase().as_str() {
            "coap" => (PullProtocol::Coap, 5683),
            "coaps" => (PullProtocol::Coaps, 5684),
            "http" => (PullProtocol::Http, 80),
            "https" => (PullProtocol::Https, 443),
            _ => return Err(UriFault::Scheme),
        };
        // A fragment is for whoever has the representation.
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let (rest, query) = match rest.split_once('?') {
            Some((before, query)) => (before, Some(query)),
            None => (rest, None),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = split_authority(authority).ok_or(UriFault::Syntax)?;
        let decoded = |parts: &str, at: char| -> Result<Vec<String>, UriFault> {
            let parts = parts.split(at);
            parts
                .map(|one| decode(one).ok_or(UriFault::Syntax))
                .collect()
        };
        Ok(Self {
            protocol,
            host: host.to_string(),
            port: port.unwrap_or(default_port),
            path: match path {
                "" => Vec::new(),
                some => decoded(some, '/')?,
            },
            queries: match query {
                None | Some("") => Vec::new(),
                Some(some) => decoded(some, '&')?,
            },
        })
    }
}

fn split_authority(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            host.parse::<core::net::Ipv6Addr>().ok()?;
            match rest {
                "" => (host, None),
                _ => (host, Some(rest.strip_prefix(':')?)),
            }
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let written = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    if host.is_empty() || !host.bytes().all(written) {
        return None;
    }
    let port = match port {
        None | Some("") => None,
        Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(text.parse().ok().filter(|port| *port != 0)?)
        }
        Some(_) => return None,
    };
    Some((host, port))
}

/// Undoes percent-encoding; `None` for what a URI cannot hold.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let value = digit()? * 16 + digit()?;
                bytes.push(u8::try_from(value).ok()?);
            }
            0..=b' ' | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | 127.. => {
                return None;
            }
            _ => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc7252_6_4_a_uri_is_taken_apart() {
        let uri = PackageUri::parse("coap://fw.example:5700/a%20b//v2?x=1&y=%26#end").unwrap();
        assert_eq!(uri.protocol, PullProtocol::Coap);
        assert_eq!((uri.host.as_str(), uri.port), ("fw.example", 5700));
        assert_eq!(uri.path, ["a b", "", "v2"]);
        assert_eq!(uri.queries, ["x=1", "y=&"]);
        let bare = PackageUri::parse("COAPS://[2001:db8::1]").unwrap();
        assert_eq!((bare.host.as_str(), bare.port), ("2001:db8::1", 5684));
        assert_eq!(bare.protocol, PullProtocol::Coaps);
        assert!(bare.path.is_empty() && bare.queries.is_empty());
        assert_eq!(PackageUri::parse("https://h/").unwrap().port, 443);
        assert_eq!(PackageUri::parse("http://h:/f").unwrap().port, 80);
    }

    #[test]
    fn what_is_no_uri_is_told_from_an_unknown_scheme() {
        for text in ["ftp://h/f", "mailto://h", "coap+tcp://h/f"] {
            assert_eq!(PackageUri::parse(text), Err(UriFault::Scheme), "{text}");
        }
        for text in [
            "",
            "h/f",
            "coap:/h",
            "coap://",
            "coap:///f",
            "coap://h:0/f",
            "coap://h:65536/",
            "coap://h:x/",
            "coap://[::1",
            "coap://[::g]/",
            "coap://a b/",
            "coap://h/%4",
            "coap://h/%zz",
            "coap://h/a b",
            "coap://h/\u{e4}",
            "coap://h/%ff",
            "://h/f",
            "a b://h",
        ] {
            assert_eq!(PackageUri::parse(text), Err(UriFault::Syntax), "{text}");
        }
    }
}
