//! AES-128-CBC with HMAC-SHA-256: MAC-then-encrypt (RFC 5246 §6.2.3.2) and, where both sides
//! have it, encrypt-then-MAC (RFC 7366); both with the inputs of RFC 9146 §5 under a Connection ID.
//!
//! Only here because LwM2M 1.0 demands the suites of a Server; off by default. MAC-then-encrypt is
//! the ground of Lucky 13: padding and MAC are checked without a branch on either, and the number
//! of compressions is the same whatever the padding says.

use alloc::vec::Vec;

use aes::cipher::{
    BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, InnerIvInit, KeyInit, KeyIvInit,
};
use aes::{Aes128, Aes128Enc, Block};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq, ConstantTimeLess};

use super::protect::{Covered, DirectionKeys};
use super::{HASH_LENGTH, hmac};

const BLOCK_LENGTH: usize = 16;

/// Appends IV and ciphertext (and MAC) of `content` to `out`.
pub(super) fn seal(
    keys: &DirectionKeys,
    encrypt_then_mac: bool,
    covered: &Covered<'_>,
    content: &[u8],
    inner_type: Option<u8>,
    out: &mut Vec<u8>,
) {
    let cipher = Aes128Enc::new(&keys.key.into());
    let iv = unpredictable_iv(&cipher, covered.number);
    let iv_start = out.len();
    out.extend_from_slice(&iv);
    let start = out.len();
    out.extend_from_slice(content);
    out.extend(inner_type);
    if !encrypt_then_mac {
        let data = covered.additional_data(out.len() - start);
        let mac = hmac(mac_key(keys), &[data.as_slice(), &out[start..]]);
        out.extend_from_slice(&mac);
    }
    let padding = BLOCK_LENGTH - 1 - (out.len() - start) % BLOCK_LENGTH;
    out.resize(out.len() + padding + 1, padding as u8);
    let mut encryptor = cbc::Encryptor::inner_iv_init(cipher, &iv.into());
    for block in out[start..].chunks_exact_mut(BLOCK_LENGTH) {
        encryptor.encrypt_block(block.try_into().expect("chunks are blocks"));
    }
    if encrypt_then_mac {
        let data = covered.additional_data(out.len() - iv_start);
        let mac = hmac(mac_key(keys), &[data.as_slice(), &out[iv_start..]]);
        out.extend_from_slice(&mac);
    }
}

/// The plaintext of an authentic fragment; inner content type included.
pub(super) fn open(
    keys: &DirectionKeys,
    encrypt_then_mac: bool,
    covered: &Covered<'_>,
    fragment: &[u8],
) -> Option<Vec<u8>> {
    if encrypt_then_mac {
        let length = fragment.len().checked_sub(HASH_LENGTH)?;
        let (body, mac) = fragment.split_at(length);
        let data = covered.additional_data(length);
        let expected = hmac(mac_key(keys), &[data.as_slice(), body]);
        if !bool::from(expected[..].ct_eq(mac)) {
            return None;
        }
        let mut plaintext = decrypt(keys, body)?;
        // Authenticated, so a wrong padding here is the peer's own and hides nothing.
        let padding = usize::from(*plaintext.last()?);
        let length = plaintext.len().checked_sub(padding + 1)?;
        if plaintext[length..]
            .iter()
            .any(|byte| usize::from(*byte) != padding)
        {
            return None;
        }
        plaintext.truncate(length);
        return Some(plaintext);
    }
    open_mac_then_encrypt(keys, covered, fragment)
}

fn open_mac_then_encrypt(
    keys: &DirectionKeys,
    covered: &Covered<'_>,
    fragment: &[u8],
) -> Option<Vec<u8>> {
    let mut plaintext = decrypt(keys, fragment)?;
    let total = plaintext.len();
    // The least a record holds: a MAC and one byte of padding length.
    let room = total.checked_sub(HASH_LENGTH + 1)?;
    let claimed = u32::from(plaintext[total - 1]);
    let mut good = !(room as u32).ct_lt(&claimed);
    for (distance, byte) in plaintext.iter().rev().take(256).enumerate() {
        let inside = !claimed.ct_lt(&(distance as u32));
        good &= !inside | byte.ct_eq(&(claimed as u8));
    }
    // With a wrong padding the MAC is still computed, as if there were none.
    let padding = u32::conditional_select(&0, &claimed, good) as usize;
    let length = room - padding;
    let data = covered.additional_data(length);
    let mac = hmac(mac_key(keys), &[data.as_slice(), &plaintext[..length]]);
    let mut difference = Choice::from(1);
    difference &= mac[..].ct_eq(&plaintext[length..length + HASH_LENGTH]);
    even_out(data.as_slice().len(), length, room);
    if !bool::from(good & difference) {
        return None;
    }
    plaintext.truncate(length);
    Some(plaintext)
}

/// Runs as many compressions as a record without padding would have needed beyond this one.
fn even_out(data: usize, length: usize, longest: usize) {
    let blocks = |content: usize| (data + content + 9).div_ceil(64);
    let mut idle = Sha256::new();
    for _ in blocks(length)..blocks(longest) {
        idle.update([0; 64]);
    }
    core::hint::black_box(idle.finalize());
}

fn decrypt(keys: &DirectionKeys, fragment: &[u8]) -> Option<Vec<u8>> {
    let (iv, body) = fragment.split_first_chunk::<BLOCK_LENGTH>()?;
    if body.is_empty() || body.len() % BLOCK_LENGTH != 0 {
        return None;
    }
    let mut plaintext = body.to_vec();
    let mut decryptor = cbc::Decryptor::<Aes128>::new(&keys.key.into(), &(*iv).into());
    for block in plaintext.chunks_exact_mut(BLOCK_LENGTH) {
        decryptor.decrypt_block(block.try_into().expect("chunks are blocks"));
    }
    Some(plaintext)
}

/// The record number encrypted under the key: unique and unpredictable without any randomness
/// (NIST SP 800-38A, appendix C, first method).
fn unpredictable_iv(cipher: &Aes128Enc, number: [u8; 8]) -> [u8; BLOCK_LENGTH] {
    let mut block = Block::default();
    block[..8].copy_from_slice(&number);
    cipher.encrypt_block(&mut block);
    block.into()
}

fn mac_key(keys: &DirectionKeys) -> &[u8] {
    &keys
        .mac_key
        .as_ref()
        .expect("keys of a CBC suite have a MAC key")[..]
}
