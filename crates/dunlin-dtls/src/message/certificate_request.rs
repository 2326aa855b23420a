//! CertificateRequest (RFC 5246 §7.4.4).

use alloc::vec::Vec;

use super::codec::{Malformed, Reader, put_u16, put_vector8, put_vector16};
use super::extension::SCHEME_ECDSA_P256_SHA256;

/// ecdsa_sign (RFC 8422 §5.5).
const TYPE_ECDSA_SIGN: u8 = 64;

/// Reads a request; true if a P-256 key with SHA-256 can answer it. The names of authorities
/// are not looked at: we have one certificate to show or none.
pub(crate) fn decode(body: &[u8]) -> Result<bool, Malformed> {
    let mut reader = Reader::new(body);
    let types = reader.vector8()?;
    let schemes = reader.vector16()?;
    let mut authorities = Reader::new(reader.vector16()?);
    reader.finish()?;
    while !authorities.is_empty() {
        authorities.vector16()?;
    }
    let scheme = SCHEME_ECDSA_P256_SHA256.to_be_bytes();
    Ok(types.contains(&TYPE_ECDSA_SIGN) && schemes.chunks_exact(2).any(|pair| pair == scheme))
}

/// The request for a P-256 key, of any authority.
pub(crate) fn encode() -> Vec<u8> {
    let mut out = Vec::new();
    put_vector8(&mut out, &[TYPE_ECDSA_SIGN]);
    put_vector16(&mut out, &SCHEME_ECDSA_P256_SHA256.to_be_bytes());
    put_u16(&mut out, 0);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_request_can_be_answered_and_one_for_rsa_cannot() {
        assert_eq!(decode(&encode()), Ok(true));
        assert_eq!(decode(&[1, 1, 0, 2, 4, 1, 0, 0]), Ok(false));
        assert!(decode(&[1, 64, 0, 2, 4, 3, 0, 2, 0, 9]).is_err());
    }
}
