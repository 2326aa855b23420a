//! Protection of single records: keys of one direction, what the tag covers, seal and open.

use alloc::boxed::Box;
use alloc::vec::Vec;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::aead::{KEY_LENGTH, NONCE_LENGTH};
use super::suite::{CipherSuite, Protection};
use super::{HASH_LENGTH, cbc, prf};
use crate::record::cid::PEER_CID_LENGTH_MAX;
use crate::record::content_type;

/// The part of the nonce that both sides derive (RFC 5288 §3, RFC 6655 §3).
pub(crate) const IMPLICIT_NONCE_LENGTH: usize = 4;
/// The part of the nonce that each record carries; we use epoch and sequence number.
const EXPLICIT_NONCE_LENGTH: usize = 8;
/// Room for the longest input of RFC 9146 §5: 23 bytes and the Connection ID.
const ADDITIONAL_DATA_LENGTH_MAX: usize = 23 + PEER_CID_LENGTH_MAX;
/// No suite makes a record longer than its plaintext by more than this: CBC with an IV of 16, a
/// MAC of 32, up to 16 of padding, and the inner content type.
pub(crate) const EXPANSION_MAX: usize = 16 + HASH_LENGTH + 16 + 1;

/// Keys of one direction. Raw, 36 bytes (68 with CBC); the AES schedule is expanded per record.
#[derive(Clone)]
pub(crate) struct DirectionKeys {
    pub(crate) key: [u8; KEY_LENGTH],
    pub(crate) implicit_nonce: [u8; IMPLICIT_NONCE_LENGTH],
    /// Only with CBC.
    pub(crate) mac_key: Option<Box<[u8; HASH_LENGTH]>>,
}

impl Drop for DirectionKeys {
    fn drop(&mut self) {
        self.key.zeroize();
        self.implicit_nonce.zeroize();
        if let Some(mac_key) = &mut self.mac_key {
            mac_key.zeroize();
        }
    }
}

impl ZeroizeOnDrop for DirectionKeys {}

/// How an association protects records: the suite, and whether CBC authenticates the ciphertext.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Scheme {
    pub(crate) suite: CipherSuite,
    /// RFC 7366; means something for CBC only.
    pub(crate) encrypt_then_mac: bool,
}

/// What the tag covers besides the plaintext: the record's header.
pub(crate) struct Covered<'a> {
    pub(crate) content_type: u8,
    pub(crate) version: [u8; 2],
    /// Epoch (2 bytes) and sequence number (6 bytes) as on the wire.
    pub(crate) number: [u8; 8],
    /// Empty unless `content_type` is `tls12_cid`.
    pub(crate) cid: &'a [u8],
}

/// The additional data of one record, without a heap.
pub(crate) struct AdditionalData {
    bytes: [u8; ADDITIONAL_DATA_LENGTH_MAX],
    length: usize,
}

impl AdditionalData {
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }
}

impl Covered<'_> {
    /// RFC 5246 §6.2.3.3, or RFC 9146 §5 for records with a Connection ID. `length` is that of
    /// the plaintext, or for encrypt-then-MAC that of IV and ciphertext.
    pub(crate) fn additional_data(&self, length: usize) -> AdditionalData {
        let mut data = AdditionalData {
            bytes: [0; ADDITIONAL_DATA_LENGTH_MAX],
            length: 0,
        };
        if self.content_type == content_type::TLS12_CID {
            data.push(&[0xff; 8]);
            data.push(&[
                content_type::TLS12_CID,
                self.cid.len() as u8,
                content_type::TLS12_CID,
            ]);
            data.push(&self.version);
            data.push(&self.number);
            data.push(self.cid);
        } else {
            data.push(&self.number);
            data.push(&[self.content_type]);
            data.push(&self.version);
        }
        data.push(&(length as u16).to_be_bytes());
        data
    }
}

impl DirectionKeys {
    /// Appends the protected fragment of `content` to `out`. `inner_type` is the true content
    /// type, put inside the encryption when a Connection ID is used (RFC 9146 §4).
    pub(crate) fn seal(
        &self,
        scheme: Scheme,
        covered: &Covered<'_>,
        content: &[u8],
        inner_type: Option<u8>,
        out: &mut Vec<u8>,
    ) {
        let aead = match scheme.suite.protection() {
            Protection::Aead(aead) => aead,
            Protection::Cbc => {
                let encrypt_then_mac = scheme.encrypt_then_mac;
                return cbc::seal(self, encrypt_then_mac, covered, content, inner_type, out);
            }
        };
        out.extend_from_slice(&covered.number);
        let start = out.len();
        out.extend_from_slice(content);
        out.extend(inner_type);
        let data = covered.additional_data(out.len() - start);
        let nonce = self.nonce(&covered.number);
        let tag = aead.seal(&self.key, &nonce, data.as_slice(), &mut out[start..]);
        out.extend_from_slice(tag.as_slice());
    }

    /// The plaintext of a protected fragment, or nothing if it is not authentic. With a
    /// Connection ID the inner content type is still at its end.
    pub(crate) fn open(
        &self,
        scheme: Scheme,
        covered: &Covered<'_>,
        fragment: &[u8],
    ) -> Option<Vec<u8>> {
        let aead = match scheme.suite.protection() {
            Protection::Aead(aead) => aead,
            Protection::Cbc => {
                return cbc::open(self, scheme.encrypt_then_mac, covered, fragment);
            }
        };
        let (explicit, sealed) = fragment.split_first_chunk::<EXPLICIT_NONCE_LENGTH>()?;
        let length = sealed.len().checked_sub(aead.tag_length())?;
        let (ciphertext, tag) = sealed.split_at(length);
        let data = covered.additional_data(length);
        let mut plaintext = ciphertext.to_vec();
        let nonce = self.nonce(explicit);
        aead.open(&self.key, &nonce, data.as_slice(), &mut plaintext, tag)
            .then_some(plaintext)
    }

    fn nonce(&self, explicit: &[u8; EXPLICIT_NONCE_LENGTH]) -> [u8; NONCE_LENGTH] {
        let mut nonce = [0; NONCE_LENGTH];
        nonce[..4].copy_from_slice(&self.implicit_nonce);
        nonce[4..].copy_from_slice(explicit);
        nonce
    }
}

/// Keys of both directions.
pub(crate) struct KeyPair {
    pub(crate) client_write: DirectionKeys,
    pub(crate) server_write: DirectionKeys,
}

/// Cuts the key block (RFC 5246 §6.3) of a master secret into keys.
pub(crate) fn key_block(
    suite: CipherSuite,
    master_secret: &[u8],
    client_random: &[u8; 32],
    server_random: &[u8; 32],
) -> KeyPair {
    let cbc = suite.protection() == Protection::Cbc;
    let mut block = Zeroizing::new([0; 2 * (HASH_LENGTH + KEY_LENGTH)]);
    prf(
        master_secret,
        b"key expansion",
        &[server_random, client_random],
        &mut block[..],
    );
    let mut rest = &block[..];
    let mut mac_keys = [None, None];
    if cbc {
        for mac_key in &mut mac_keys {
            *mac_key = Some(Box::new(cut(&mut rest)));
        }
    }
    let keys: [[u8; KEY_LENGTH]; 2] = [cut(&mut rest), cut(&mut rest)];
    let nonces = if cbc {
        [[0; 4]; 2]
    } else {
        [cut(&mut rest), cut(&mut rest)]
    };
    let [client_mac, server_mac] = mac_keys;
    KeyPair {
        client_write: DirectionKeys {
            key: keys[0],
            implicit_nonce: nonces[0],
            mac_key: client_mac,
        },
        server_write: DirectionKeys {
            key: keys[1],
            implicit_nonce: nonces[1],
            mac_key: server_mac,
        },
    }
}

fn cut<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let (head, tail) = rest
        .split_first_chunk::<N>()
        .expect("the block is as long as its parts");
    *rest = tail;
    *head
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const NUMBER: [u8; 8] = [0, 1, 0, 0, 0, 0, 0, 9];

    fn keys(suite: CipherSuite) -> DirectionKeys {
        key_block(suite, &[7; 48], &[1; 32], &[2; 32]).client_write
    }

    fn covered(cid: &[u8]) -> Covered<'_> {
        let content_type = if cid.is_empty() {
            content_type::APPLICATION_DATA
        } else {
            content_type::TLS12_CID
        };
        Covered {
            content_type,
            version: [0xfe, 0xfd],
            number: NUMBER,
            cid,
        }
    }

    fn schemes() -> impl Iterator<Item = Scheme> {
        CipherSuite::ALL.into_iter().flat_map(|suite| {
            [false, true].map(|encrypt_then_mac| Scheme {
                suite,
                encrypt_then_mac,
            })
        })
    }

    #[test]
    fn every_scheme_opens_what_it_sealed_and_nothing_else() {
        for scheme in schemes() {
            let keys = keys(scheme.suite);
            for cid in [&b""[..], &b"12345678"[..]] {
                for length in [0, 1, 15, 16, 17, 64, 300] {
                    let content = vec![0xa5; length];
                    let inner = (!cid.is_empty()).then_some(23);
                    let mut sealed = Vec::new();
                    keys.seal(scheme, &covered(cid), &content, inner, &mut sealed);
                    assert!(sealed.len() <= length + EXPANSION_MAX, "{scheme:?}");
                    let mut expected = content.clone();
                    expected.extend(inner);
                    assert_eq!(keys.open(scheme, &covered(cid), &sealed), Some(expected));
                    let flip = (length * 7) % sealed.len();
                    sealed[flip] ^= 0x10;
                    assert_eq!(
                        keys.open(scheme, &covered(cid), &sealed),
                        None,
                        "{scheme:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_header_is_covered() {
        for scheme in schemes() {
            let keys = keys(scheme.suite);
            let mut sealed = Vec::new();
            keys.seal(
                scheme,
                &covered(b"12345678"),
                b"hello",
                Some(23),
                &mut sealed,
            );
            assert!(keys.open(scheme, &covered(b"12345679"), &sealed).is_none());
            let mut other = covered(b"12345678");
            other.number[7] ^= 1;
            assert!(keys.open(scheme, &other, &sealed).is_none());
        }
    }

    #[test]
    fn short_fragments_are_refused() {
        for scheme in schemes() {
            for length in 0..64 {
                let fragment = vec![0; length];
                assert!(
                    keys(scheme.suite)
                        .open(scheme, &covered(b""), &fragment)
                        .is_none()
                );
            }
        }
    }

    #[test]
    fn the_two_directions_differ() {
        let pair = key_block(CipherSuite::PskAes128Cbc, &[7; 48], &[1; 32], &[2; 32]);
        assert_ne!(pair.client_write.key, pair.server_write.key);
        assert_ne!(pair.client_write.mac_key, pair.server_write.mac_key);
    }
}
