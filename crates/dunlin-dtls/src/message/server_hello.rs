//! ServerHello (RFC 5246 §7.4.1.3).

use alloc::vec::Vec;

use super::client_hello::SESSION_ID_LENGTH_MAX;
use super::codec::{Malformed, Reader, put_u16, put_vector8};
use super::extension::{Extensions, Hello};

/// A ServerHello; lists stay bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ServerHello<'a> {
    pub(crate) version: [u8; 2],
    pub(crate) random: [u8; 32],
    pub(crate) session_id: &'a [u8],
    pub(crate) suite: u16,
    pub(crate) extensions: Extensions<'a>,
}

impl<'a> ServerHello<'a> {
    pub(crate) fn decode(body: &'a [u8]) -> Result<ServerHello<'a>, Malformed> {
        let mut reader = Reader::new(body);
        let version = reader.array()?;
        let random = reader.array()?;
        let session_id = reader.vector8()?;
        if session_id.len() > SESSION_ID_LENGTH_MAX {
            return Err(reader.malformed("a session id too long"));
        }
        let suite = reader.u16()?;
        if reader.u8()? != 0 {
            return Err(reader.malformed("a compression method"));
        }
        let extensions = Extensions::decode(&mut reader, Hello::Server)?;
        reader.finish()?;
        Ok(ServerHello {
            version,
            random,
            session_id,
            suite,
            extensions,
        })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        out.extend_from_slice(&self.version);
        out.extend_from_slice(&self.random);
        put_vector8(&mut out, self.session_id);
        put_u16(&mut out, self.suite);
        out.push(0);
        self.extensions.encode(&mut out, Hello::Server);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::VERSION_1_2;
    use proptest::prelude::*;

    #[test]
    fn a_server_hello_comes_back() {
        let hello = ServerHello {
            version: VERSION_1_2,
            random: [9; 32],
            session_id: &[5; 32],
            suite: 0xc0a8,
            extensions: Extensions {
                connection_id: Some(b"12345678"),
                ..Extensions::default()
            },
        };
        let mut bytes = hello.encode();
        assert_eq!(ServerHello::decode(&bytes), Ok(hello));
        bytes[34] = 33;
        assert!(ServerHello::decode(&bytes).is_err());
    }

    proptest! {
        #[test]
        fn decode_never_panics(bytes: Vec<u8>) {
            let _ = ServerHello::decode(&bytes);
        }
    }
}
