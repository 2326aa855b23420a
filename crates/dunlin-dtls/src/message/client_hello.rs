//! ClientHello (RFC 5246 §7.4.1.2, with the cookie of RFC 6347 §4.2.1).

use alloc::vec::Vec;

use super::codec::{Malformed, Reader, put_u16, put_vector8, put_vector16};
use super::extension::{Extensions, Hello};
use crate::record::VERSION_1_2;

/// Session ids are at most this long (RFC 5246 §7.4.1.2).
pub(crate) const SESSION_ID_LENGTH_MAX: usize = 32;
/// The suite number by which a client says that it knows RFC 5746.
pub(crate) const RENEGOTIATION_SCSV: u16 = 0x00ff;

/// A ClientHello; lists stay bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ClientHello<'a> {
    pub(crate) version: [u8; 2],
    pub(crate) random: [u8; 32],
    pub(crate) session_id: &'a [u8],
    pub(crate) cookie: &'a [u8],
    /// Pairs of bytes.
    pub(crate) suites: &'a [u8],
    pub(crate) extensions: Extensions<'a>,
}

/// A ClientHello's body without its session id and cookie: what the cookie has to bind (RFC 6347 §4.2.1). The
/// session id ought to stay the same too, but Mbed TLS 2.28 draws a new one each time when it shows a ticket,
/// and an address is proved as well without it.
pub(crate) struct AroundCookie<'a> {
    pub(crate) before: &'a [u8],
    pub(crate) after: &'a [u8],
}

impl<'a> ClientHello<'a> {
    pub(crate) fn decode(body: &'a [u8]) -> Result<ClientHello<'a>, Malformed> {
        let mut reader = Reader::new(body);
        let version = reader.array()?;
        let random = reader.array()?;
        let session_id = reader.vector8()?;
        if session_id.len() > SESSION_ID_LENGTH_MAX {
            return Err(reader.malformed("a session id too long"));
        }
        let cookie = reader.vector8()?;
        let suites = reader.vector16()?;
        if suites.is_empty() || suites.len() % 2 != 0 {
            return Err(reader.malformed("a list of suites that is none"));
        }
        if !reader.vector8()?.contains(&0) {
            return Err(reader.malformed("no way without compression"));
        }
        let extensions = Extensions::decode(&mut reader, Hello::Client)?;
        reader.finish()?;
        Ok(ClientHello {
            version,
            random,
            session_id,
            cookie,
            suites,
            extensions,
        })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(&self.version);
        out.extend_from_slice(&self.random);
        put_vector8(&mut out, self.session_id);
        put_vector8(&mut out, self.cookie);
        put_vector16(&mut out, self.suites);
        put_vector8(&mut out, &[0]);
        self.extensions.encode(&mut out, Hello::Client);
        out
    }

    /// Splits a body, decoded before, around its session id and cookie.
    pub(crate) fn around_cookie(body: &'a [u8]) -> Result<AroundCookie<'a>, Malformed> {
        let mut reader = Reader::new(body);
        let before = reader.take(2 + 32)?;
        reader.vector8()?;
        reader.vector8()?;
        Ok(AroundCookie {
            before,
            after: reader.rest(),
        })
    }

    /// DTLS 1.2 or newer: the version counts downwards.
    pub(crate) fn speaks_1_2(&self) -> bool {
        self.version[0] == VERSION_1_2[0] && self.version[1] <= VERSION_1_2[1]
    }

    pub(crate) fn offers_suite(&self, code: u16) -> bool {
        self.suites
            .chunks_exact(2)
            .any(|pair| pair == code.to_be_bytes())
    }

    /// RFC 5746 §3.6: by suite or by extension.
    pub(crate) fn knows_renegotiation_info(&self) -> bool {
        self.offers_suite(RENEGOTIATION_SCSV) || self.extensions.renegotiation_info.is_some()
    }
}

/// A list of suites as the wire has it.
pub(crate) fn encode_suites(codes: impl Iterator<Item = u16>) -> Vec<u8> {
    let mut out = Vec::new();
    codes.for_each(|code| put_u16(&mut out, code));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hello() -> ClientHello<'static> {
        ClientHello {
            version: VERSION_1_2,
            random: [7; 32],
            session_id: b"session",
            cookie: b"cookie",
            suites: &[0xc0, 0xa8, 0x00, 0xff],
            extensions: Extensions {
                extended_master_secret: true,
                ..Extensions::default()
            },
        }
    }

    #[test]
    fn a_client_hello_comes_back() {
        let bytes = hello().encode();
        assert_eq!(ClientHello::decode(&bytes), Ok(hello()));
        for length in 0..bytes.len() {
            let without_extensions = length == bytes.len() - 6;
            assert_eq!(
                ClientHello::decode(&bytes[..length]).is_ok(),
                without_extensions
            );
        }
    }

    #[test]
    fn mbed_tls_2_a_session_id_may_change_while_the_cookie_comes_back_and_nothing_else() {
        let around = |hello: &ClientHello<'_>| {
            let bytes = hello.encode();
            let around = ClientHello::around_cookie(&bytes).unwrap();
            (around.before.to_vec(), around.after.to_vec())
        };
        let first = hello();
        let (mut again, mut other) = (hello(), hello());
        again.session_id = &[9; 32];
        again.cookie = b"another";
        assert_eq!(around(&first), around(&again));
        other.suites = &[0xc0, 0xae];
        assert_ne!(around(&first), around(&other));
        other = hello();
        other.random[0] ^= 1;
        assert_ne!(around(&first), around(&other));
    }

    #[test]
    fn versions_count_downwards() {
        let mut hello = hello();
        for (minor, good) in [(0xfd, true), (0xfc, true), (0xff, false)] {
            hello.version[1] = minor;
            assert_eq!(hello.speaks_1_2(), good);
        }
    }

    proptest! {
        #[test]
        fn what_is_decoded_is_encoded_the_same(mut bytes: Vec<u8>, cut in 0usize..80) {
            let _ = ClientHello::decode(&bytes);
            let whole = hello().encode();
            bytes.splice(0..0, whole[..cut.min(whole.len())].iter().copied());
            if let Ok(hello) = ClientHello::decode(&bytes) {
                let again = hello.encode();
                prop_assert_eq!(ClientHello::decode(&again).map(|again| again.random), Ok(hello.random));
            }
        }
    }
}
