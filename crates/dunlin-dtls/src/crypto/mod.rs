//! The primitives, and nothing that knows the protocol's order: hashing and the PRF here, record
//! protection in `protect`, its modes in `aead`, MAC-then-encrypt in `cbc`, elliptic curves in `ecc`.
//!
//! RustCrypto does the symmetric part, because sessions keep raw keys and expand them per record
//! (an AES-128 key schedule costs less than the memory it would take a million times);
//! `aws-lc-rs` does P-256.

pub(crate) mod aead;
pub(crate) mod cbc;
#[cfg_attr(not(feature = "certificates"), path = "ecc_absent.rs")]
pub(crate) mod ecc;
pub(crate) mod protect;
pub(crate) mod suite;

use alloc::vec::Vec;
use core::fmt;

use hmac::{Hmac, KeyInit, Mac};
#[cfg(all(test, feature = "certificates"))]
use sha2::Digest;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use aead::Aead;

/// Length of every hash, HMAC and MAC key here: all suites use SHA-256.
pub(crate) const HASH_LENGTH: usize = 32;

/// Bytes that nobody may see: wiped when dropped, compared in constant time, absent from `Debug`.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over.
    pub fn new(bytes: Vec<u8>) -> Secret {
        Secret(Zeroizing::new(bytes))
    }

    /// The bytes themselves; do not let them get far.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for Secret {
    fn from(bytes: &[u8]) -> Secret {
        Secret::new(bytes.to_vec())
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// SHA-256 of the bytes.
#[cfg(all(test, feature = "certificates"))]
pub(crate) fn sha256(bytes: &[u8]) -> [u8; HASH_LENGTH] {
    Sha256::digest(bytes).into()
}

/// HMAC-SHA-256 over the parts, one after the other.
pub(crate) fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; HASH_LENGTH] {
    let mut state = keyed(key);
    for part in parts {
        state.update(part);
    }
    state.finalize().into_bytes().into()
}

/// The TLS 1.2 pseudo-random function with SHA-256 (RFC 5246 §5); fills `out`.
pub(crate) fn prf(secret: &[u8], label: &[u8], seed: &[&[u8]], out: &mut [u8]) {
    // The key is hashed once; each block clones the keyed state.
    let base = keyed(secret);
    let mut first = base.clone();
    first.update(label);
    for part in seed {
        first.update(part);
    }
    let mut chain = first.finalize().into_bytes();
    for block in out.chunks_mut(HASH_LENGTH) {
        let mut state = base.clone();
        state.update(&chain);
        state.update(label);
        for part in seed {
            state.update(part);
        }
        block.copy_from_slice(&state.finalize().into_bytes()[..block.len()]);
        let mut next = base.clone();
        next.update(&chain);
        chain = next.finalize().into_bytes();
    }
}

/// AES-128-GCM over bytes that are no record.
pub(crate) fn seal_bytes(
    key: &[u8; aead::KEY_LENGTH],
    nonce: &[u8; aead::NONCE_LENGTH],
    covered: &[u8],
    plaintext: &[u8],
) -> Vec<u8> {
    let mut sealed = plaintext.to_vec();
    let tag = Aead::Gcm.seal(key, nonce, covered, &mut sealed);
    sealed.extend_from_slice(tag.as_slice());
    sealed
}

/// The plaintext of what `seal_bytes` made, if nobody changed it.
pub(crate) fn open_bytes(
    key: &[u8; aead::KEY_LENGTH],
    nonce: &[u8; aead::NONCE_LENGTH],
    covered: &[u8],
    sealed: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let length = sealed.len().checked_sub(Aead::Gcm.tag_length())?;
    let (ciphertext, tag) = sealed.split_at(length);
    let mut plaintext = Zeroizing::new(ciphertext.to_vec());
    Aead::Gcm
        .open(key, nonce, covered, &mut plaintext, tag)
        .then_some(plaintext)
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;

    #[test]
    fn prf_of_the_known_sha256_vector() {
        // The vector for P_SHA256 that circulated on the TLS working group's list.
        let secret = [
            0x9b, 0xbe, 0x43, 0x6b, 0xa9, 0x40, 0xf0, 0x17, 0xb1, 0x76, 0x52, 0x84, 0x9a, 0x71,
            0xdb, 0x35,
        ];
        let seed = [
            0xa0, 0xba, 0x9f, 0x93, 0x6c, 0xda, 0x31, 0x18, 0x27, 0xa6, 0xf7, 0x96, 0xff, 0xd5,
            0x19, 0x8c,
        ];
        let mut out = [0; 100];
        prf(&secret, b"test label", &[&seed], &mut out);
        let hex: String = out.iter().map(|byte| format!("{byte:02x}")).collect();
        let expected = concat!(
            "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791",
            "e90d35c9c9a46b4e14baf9af0fa022f7077def17abfd3797c0564bab4fbc91666e9def9b",
            "97fce34f796789baa48082d122ee42c5a72e5a5110fff70187347b66",
        );
        assert_eq!(hex, expected);
    }

    #[test]
    fn a_secret_does_not_print_itself() {
        assert_eq!(
            format!("{:?}", Secret::new(b"hunter2".to_vec())),
            "Secret(..)"
        );
    }
}
