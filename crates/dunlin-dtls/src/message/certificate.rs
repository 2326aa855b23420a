//! Certificate: a chain of X.509 (RFC 5246 §7.4.2) or a bare public key (RFC 7250 §3).

use alloc::vec::Vec;

use super::codec::{Malformed, Reader, put_vector24};

/// A longer chain than this belongs to nobody's device.
const CHAIN_LENGTH_MAX: usize = 10;

/// Reads a chain, the peer's own certificate first; it may be empty.
pub(crate) fn decode_chain(body: &[u8]) -> Result<Vec<&[u8]>, Malformed> {
    let mut reader = Reader::new(body);
    let mut list = Reader::new(reader.vector24()?);
    reader.finish()?;
    let mut chain = Vec::new();
    while !list.is_empty() {
        if chain.len() == CHAIN_LENGTH_MAX {
            return Err(list.malformed("a chain too long"));
        }
        chain.push(list.vector24()?);
    }
    Ok(chain)
}

/// The body for a chain.
pub(crate) fn encode_chain(chain: &[Vec<u8>]) -> Vec<u8> {
    let mut list = Vec::new();
    chain
        .iter()
        .for_each(|certificate| put_vector24(&mut list, certificate));
    let mut out = Vec::with_capacity(3 + list.len());
    put_vector24(&mut out, &list);
    out
}

/// Reads a SubjectPublicKeyInfo; it may be empty.
pub(crate) fn decode_raw_public_key(body: &[u8]) -> Result<&[u8], Malformed> {
    let mut reader = Reader::new(body);
    let key = reader.vector24()?;
    reader.finish()?;
    Ok(key)
}

/// The body for a SubjectPublicKeyInfo.
pub(crate) fn encode_raw_public_key(key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(3 + key.len());
    put_vector24(&mut out, key);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    #[test]
    fn chains_and_keys_come_back() {
        for chain in [
            vec![],
            vec![b"leaf".to_vec()],
            vec![b"leaf".to_vec(), b"ca".to_vec()],
        ] {
            assert_eq!(decode_chain(&encode_chain(&chain)).unwrap(), chain);
        }
        assert_eq!(
            decode_raw_public_key(&encode_raw_public_key(b"key")),
            Ok(&b"key"[..])
        );
    }

    #[test]
    fn a_chain_has_an_end() {
        assert!(decode_chain(&encode_chain(&vec![vec![]; 10])).is_ok());
        assert!(decode_chain(&encode_chain(&vec![vec![]; 11])).is_err());
    }

    proptest! {
        #[test]
        fn decode_never_panics(bytes: Vec<u8>) {
            let _ = decode_chain(&bytes);
            let _ = decode_raw_public_key(&bytes);
        }
    }
}
