//! Where a Client listens, as people write it.

use std::fmt;
use std::str::FromStr;

/// The longest host name (RFC 1035 §2.3.4).
const HOST_BYTES_MAX: usize = 255;

/// `HOST`, `HOST:PORT`, or either behind `coap://` or `coaps://`; an IPv6 address in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAddress {
    /// Whether DTLS is wanted; nothing where it follows from what is known of the Client.
    pub secure: Option<bool>,
    /// A name or an IP address, without brackets.
    pub host: String,
    /// The port; the default of the scheme where none is written.
    pub port: Option<u16>,
}

/// A text that is no [`ClientAddress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not HOST, HOST:PORT, coap://HOST or coaps://HOST")]
pub struct NoAddress;

impl FromStr for ClientAddress {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, NoAddress> {
        let (secure, rest) = match (text.strip_prefix("coaps://"), text.strip_prefix("coap://")) {
            (Some(rest), _) => (Some(true), rest),
            (None, Some(rest)) => (Some(false), rest),
            (None, None) => (None, text),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or(NoAddress)?;
                match rest.strip_prefix(':') {
                    Some(port) => (host, Some(port)),
                    None if rest.is_empty() => (host, None),
                    None => return Err(NoAddress),
                }
            }
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        let strange = |c: char| c.is_whitespace() || c.is_control() || "/?#@".contains(c);
        if host.is_empty() || host.len() > HOST_BYTES_MAX || host.contains(strange) {
            return Err(NoAddress);
        }
        let port = match port {
            None => None,
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                let port = port.parse().map_err(|_| NoAddress)?;
                Some(port).filter(|port| *port != 0)
            }
            Some(_) => return Err(NoAddress),
        };
        let host = host.to_owned();
        Ok(Self { secure, host, port })
    }
}

impl ClientAddress {
    /// The port, given whether there is DTLS.
    #[must_use]
    pub const fn port_or_default(&self, secure: bool) -> u16 {
        match (self.port, secure) {
            (Some(port), _) => port,
            (None, true) => 5684,
            (None, false) => 5683,
        }
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.secure {
            Some(true) => f.write_str("coaps://")?,
            Some(false) => f.write_str("coap://")?,
            None => {}
        }
        match self.host.contains(':') {
            true => write!(f, "[{}]", self.host)?,
            false => f.write_str(&self.host)?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_read_and_written_back() {
        for text in [
            "meter.example",
            "192.0.2.7:40000",
            "coap://[2001:db8::1]:7",
            "coaps://[::1]",
            "coaps://meter.example:1",
        ] {
            let address: ClientAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
        }
        let address: ClientAddress = "coaps://[::1]/".parse().unwrap();
        assert_eq!(
            (&*address.host, address.port_or_default(true)),
            ("::1", 5684)
        );
        for text in [
            "", ":1", "a:b", "a:1:2", "[::1", "[::1]x", "http://a", "a b", "a:65536", "a/b",
        ] {
            assert_eq!(text.parse::<ClientAddress>(), Err(NoAddress), "{text}");
        }
    }
}
