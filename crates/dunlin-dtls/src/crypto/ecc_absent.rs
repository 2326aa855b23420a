//! What `ecc` is without the feature `certificates`: keys that cannot be made, so that the
//! handshake files need no `cfg`, and a build with PSK alone needs no C compiler.

use alloc::vec::Vec;
use core::convert::Infallible;

use zeroize::Zeroizing;

use super::HASH_LENGTH;
use crate::Random;
use crate::identity::KeyRejected;

/// A point in uncompressed form: 4, x, y.
pub(crate) const POINT_LENGTH: usize = 65;

/// A P-256 private key that signs; there are none without the feature `certificates`.
#[derive(Clone, Debug)]
pub struct SigningKey(Infallible);

impl SigningKey {
    /// Always [`KeyRejected::NotBuilt`].
    pub fn from_der(_der: &[u8]) -> Result<SigningKey, KeyRejected> {
        Err(KeyRejected::NotBuilt)
    }

    /// The public key as SubjectPublicKeyInfo in DER.
    pub fn public_key(&self) -> Vec<u8> {
        match self.0 {}
    }

    pub(crate) fn sign(&self, _hash: [u8; HASH_LENGTH]) -> Option<Vec<u8>> {
        match self.0 {}
    }
}

pub(crate) fn verify(_point: &[u8], _hash: [u8; HASH_LENGTH], _signature: &[u8]) -> bool {
    false
}

pub(crate) fn point_of(_spki: &[u8]) -> Option<[u8; POINT_LENGTH]> {
    None
}

pub(crate) fn point_of_certificate(_der: &[u8]) -> Option<[u8; POINT_LENGTH]> {
    None
}

/// One side of an ECDHE exchange; cannot be drawn without the feature `certificates`.
pub(crate) struct EphemeralKey(Infallible);

impl EphemeralKey {
    pub(crate) fn draw(_random: &mut Random) -> Option<EphemeralKey> {
        None
    }

    pub(crate) fn point(&self) -> &[u8; POINT_LENGTH] {
        match self.0 {}
    }

    pub(crate) fn agree(&self, _peer: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        match self.0 {}
    }
}
