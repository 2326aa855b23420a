//! ServerKeyExchange and ClientKeyExchange: with a PSK (RFC 4279 §2), with ECDHE (RFC 8422 §5.4
//! and §5.7).

use alloc::vec::Vec;

use super::codec::{Malformed, Reader, put_u16, put_vector8, put_vector16};
use super::extension::GROUP_P256;
use super::signature::Signature;

/// named_curve.
const CURVE_TYPE_NAMED: u8 = 3;

/// A server's ephemeral key, signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ServerEcdhe<'a> {
    /// Curve and point as the wire has them: what the signature covers besides the randoms.
    pub(crate) parameters: &'a [u8],
    pub(crate) group: u16,
    pub(crate) point: &'a [u8],
    pub(crate) signature: Signature<'a>,
}

impl<'a> ServerEcdhe<'a> {
    pub(crate) fn decode(body: &'a [u8]) -> Result<ServerEcdhe<'a>, Malformed> {
        let mut reader = Reader::new(body);
        if reader.u8()? != CURVE_TYPE_NAMED {
            return Err(reader.malformed("no named curve"));
        }
        let group = reader.u16()?;
        let point = reader.vector8()?;
        let parameters = &body[..reader.offset()];
        let signature = Signature::decode(&mut reader)?;
        reader.finish()?;
        Ok(ServerEcdhe {
            parameters,
            group,
            point,
            signature,
        })
    }

    /// The part that is signed.
    pub(crate) fn encode_parameters(point: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        out.push(CURVE_TYPE_NAMED);
        put_u16(&mut out, GROUP_P256);
        put_vector8(&mut out, point);
        out
    }
}

/// A client's ephemeral key.
pub(crate) fn decode_client_point(body: &[u8]) -> Result<&[u8], Malformed> {
    let mut reader = Reader::new(body);
    let point = reader.vector8()?;
    reader.finish()?;
    Ok(point)
}

pub(crate) fn encode_client_point(point: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_vector8(&mut out, point);
    out
}

/// A PSK identity, or as ServerKeyExchange the hint to one; both are spelled alike.
pub(crate) fn decode_psk_identity(body: &[u8]) -> Result<&[u8], Malformed> {
    let mut reader = Reader::new(body);
    let identity = reader.vector16()?;
    reader.finish()?;
    Ok(identity)
}

pub(crate) fn encode_psk_identity(identity: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_vector16(&mut out, identity);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_ephemeral_key_comes_back() {
        let mut body = ServerEcdhe::encode_parameters(&[4; 65]);
        let covered = body.len();
        Signature {
            scheme: 0x0403,
            bytes: b"signature",
        }
        .encode(&mut body);
        let decoded = ServerEcdhe::decode(&body).unwrap();
        assert_eq!(decoded.parameters, &body[..covered]);
        assert_eq!((decoded.group, decoded.point), (GROUP_P256, &[4; 65][..]));
        assert_eq!(decoded.signature.bytes, b"signature");
        assert_eq!(
            decode_client_point(&encode_client_point(&[4; 65])),
            Ok(&[4; 65][..])
        );
    }

    #[test]
    fn a_psk_identity_comes_back() {
        assert_eq!(
            decode_psk_identity(&encode_psk_identity(b"urn:x")),
            Ok(&b"urn:x"[..])
        );
        assert!(decode_psk_identity(&[0, 1, b'a', b'b']).is_err());
    }

    proptest! {
        #[test]
        fn decode_never_panics(bytes: Vec<u8>) {
            let _ = ServerEcdhe::decode(&bytes);
            let _ = decode_client_point(&bytes);
            let _ = decode_psk_identity(&bytes);
        }
    }
}
