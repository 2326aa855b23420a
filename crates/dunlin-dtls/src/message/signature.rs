//! A digital signature (RFC 5246 §4.7): the body of CertificateVerify, and the end of an ECDHE
//! ServerKeyExchange.

use alloc::vec::Vec;

use super::codec::{Malformed, Reader, put_u16, put_vector16};
use super::extension::SCHEME_ECDSA_P256_SHA256;

/// Hash and algorithm as one number, and the signature itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Signature<'a> {
    pub(crate) scheme: u16,
    pub(crate) bytes: &'a [u8],
}

impl<'a> Signature<'a> {
    pub(crate) fn decode(reader: &mut Reader<'a>) -> Result<Signature<'a>, Malformed> {
        Ok(Signature {
            scheme: reader.u16()?,
            bytes: reader.vector16()?,
        })
    }

    /// As the body of a CertificateVerify.
    pub(crate) fn decode_all(body: &'a [u8]) -> Result<Signature<'a>, Malformed> {
        let mut reader = Reader::new(body);
        let signature = Signature::decode(&mut reader)?;
        reader.finish()?;
        Ok(signature)
    }

    /// One of ours, with ecdsa_secp256r1_sha256.
    pub(crate) fn p256(bytes: &'a [u8]) -> Signature<'a> {
        Signature {
            scheme: SCHEME_ECDSA_P256_SHA256,
            bytes,
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_u16(out, self.scheme);
        put_vector16(out, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_comes_back() {
        let mut bytes = Vec::new();
        Signature::p256(b"abc").encode(&mut bytes);
        assert_eq!(Signature::decode_all(&bytes), Ok(Signature::p256(b"abc")));
        bytes.push(0);
        assert!(Signature::decode_all(&bytes).is_err());
    }
}
