//! HelloVerifyRequest (RFC 6347 §4.2.1).

use alloc::vec::Vec;

use super::codec::{Malformed, Reader, put_vector8};
use crate::record::VERSION_1_0;

/// The cookie that a client has to send back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct HelloVerifyRequest<'a> {
    pub(crate) cookie: &'a [u8],
}

impl<'a> HelloVerifyRequest<'a> {
    /// The version inside says nothing about what will be agreed on and is not looked at.
    pub(crate) fn decode(body: &'a [u8]) -> Result<HelloVerifyRequest<'a>, Malformed> {
        let mut reader = Reader::new(body);
        reader.take(2)?;
        let cookie = reader.vector8()?;
        reader.finish()?;
        Ok(HelloVerifyRequest { cookie })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = VERSION_1_0.to_vec();
        put_vector8(&mut out, self.cookie);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_verify_request_comes_back() {
        let request = HelloVerifyRequest { cookie: &[3; 16] };
        let mut bytes = request.encode();
        assert_eq!(HelloVerifyRequest::decode(&bytes), Ok(request));
        bytes.push(0);
        assert!(HelloVerifyRequest::decode(&bytes).is_err());
    }
}
