//! The vault: secrets at rest, sealed under one key that lies in a file beside the data, or where
//! the operator says.
//!
//! What is sealed - pre-shared keys, profiles that hold keys, live DTLS sessions - is worthless
//! without the key file, so a backup of the store can be carried about as long as the key file goes
//! another way. Losing the key file is losing every stored secret: `docs/operating/security.md`.
//!
//! A sealed text is `version, nonce (24), ciphertext, tag (16)`. Each one has a key of its own: an
//! HMAC over the first half of the random nonce derives it, the second half is the nonce of
//! AES-256-GCM. Nonces of 96 bits drawn at random under one key may be used 2^32 times
//! (NIST SP 800-38D §8.3); a Server that keeps a session with every Register would be there within
//! a year, and with 192 bits never is.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hmac, rand};
use data_encoding::HEXLOWER_PERMISSIVE;
use zeroize::Zeroizing;

/// The only form there is.
const VERSION: u8 = 1;

/// Of the master key, and of each derived one.
const KEY_BYTES: usize = 32;

/// Half for the derivation of the key, half for AES-GCM.
const SALT_BYTES: usize = 12;

const HEAD_BYTES: usize = 1 + SALT_BYTES + NONCE_LEN;
const TAG_BYTES: usize = 16;

/// A key file has 64 digits and a line end; more is another file.
const FILE_BYTES_MAX: u64 = 256;

/// Why the key file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// The file cannot be read or made.
    #[error("the key file {}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It is no key file.
    #[error(
        "{} is no key file: it must hold 64 hexadecimal digits (such as from 'openssl rand -hex 32')",
        path.display()
    )]
    NotAKey {
        /// Which.
        path: PathBuf,
    },
    /// There are sealed rows and no key.
    #[error(
        "the store holds credentials sealed under a key, and the key file {} is not there: put it back, or name it with store.key_file",
        path.display()
    )]
    Missing {
        /// Where it was expected.
        path: PathBuf,
    },
    /// Others can read it.
    #[error(
        "the key file {} can be read by others (mode {mode:o}): chmod 600 it",
        path.display()
    )]
    Exposed {
        /// Which.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}

/// Why a text does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum OpenError {
    /// Too short, or of a later version.
    #[error("not sealed by this version of dunlin")]
    Form,
    /// Sealed under another key, for another place, or altered.
    #[error("it is damaged, or sealed under another key file than the one in use")]
    Key,
}

/// Seals and opens. Knows its key, and shows it to nobody.
pub(crate) struct Vault {
    derive: hmac::Key,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(..)")
    }
}

impl Vault {
    /// A vault whose key nobody keeps: for data in memory.
    #[must_use]
    pub(crate) fn ephemeral() -> Vault {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        rand::fill(&mut key[..]).expect("the operating system gives random bytes");
        Vault::of(&key)
    }

    /// The vault of this key file. Where there is none it is made, readable by its owner alone;
    /// but not where `has_sealed` says that something was sealed before, because no new key would
    /// open that.
    ///
    /// # Errors
    /// See [`VaultError`].
    pub(crate) fn open(path: &Path, has_sealed: bool) -> Result<Vault, VaultError> {
        let failed = |error| VaultError::File {
            path: path.to_owned(),
            error,
        };
        match fs::File::open(path) {
            Ok(file) => read(path, file),
            Err(error) if error.kind() == io::ErrorKind::NotFound && has_sealed => {
                Err(VaultError::Missing {
                    path: path.to_owned(),
                })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(path).map_err(failed),
            Err(error) => Err(failed(error)),
        }
    }

    fn of(key: &[u8; KEY_BYTES]) -> Vault {
        Vault {
            derive: hmac::Key::new(hmac::HMAC_SHA256, key),
        }
    }

    /// Seals a text for one place, such as the key of a row: it opens there only.
    #[must_use]
    pub(crate) fn seal(&self, place: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::with_capacity(HEAD_BYTES + plain.len() + TAG_BYTES);
        sealed.push(VERSION);
        sealed.resize(HEAD_BYTES, 0);
        rand::fill(&mut sealed[1..]).expect("the operating system gives random bytes");
        sealed.extend_from_slice(plain);
        let (head, body) = sealed.split_at_mut(HEAD_BYTES);
        let (key, nonce) = self.key(head);
        let tag = key
            .seal_in_place_separate_tag(nonce, Aad::from(place), body)
            .expect("AES-GCM seals everything that fits into memory");
        sealed.extend_from_slice(tag.as_ref());
        sealed
    }

    /// Opens what was sealed for this place.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub(crate) fn open_sealed(
        &self,
        place: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        validate(sealed)?;
        let (head, body) = sealed.split_at(HEAD_BYTES);
        let (key, nonce) = self.key(head);
        let mut plain = Zeroizing::new(body.to_vec());
        let length = key
            .open_in_place(nonce, Aad::from(place), &mut plain)
            .map_err(|_| OpenError::Key)?
            .len();
        plain.truncate(length);
        Ok(plain)
    }

    /// The key and the nonce of one sealed text, from its head.
    fn key(&self, head: &[u8]) -> (LessSafeKey, Nonce) {
        let (salt, nonce) = head[1..].split_at(SALT_BYTES);
        let mut context = hmac::Context::with_key(&self.derive);
        context.update(b"dunlin vault 1");
        context.update(salt);
        let derived = context.sign();
        let key = UnboundKey::new(&AES_256_GCM, derived.as_ref()).expect("SHA-256 has 32 bytes");
        let nonce = Nonce::try_assume_unique_for_key(nonce).expect("the head has its length");
        (LessSafeKey::new(key), nonce)
    }
}

/// Whether this looks like a sealed text; without the key no more can be said.
///
/// # Errors
/// [`OpenError::Form`].
pub(crate) fn validate(sealed: &[u8]) -> Result<(), OpenError> {
    if sealed.first() != Some(&VERSION) || sealed.len() < HEAD_BYTES + TAG_BYTES {
        return Err(OpenError::Form);
    }
    Ok(())
}

fn read(path: &Path, file: fs::File) -> Result<Vault, VaultError> {
    let failed = |error| VaultError::File {
        path: path.to_owned(),
        error,
    };
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    // A group may be meant (a service account); the world never is.
    if mode & 0o007 != 0 {
        return Err(VaultError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let mut text = Zeroizing::new(String::with_capacity(FILE_BYTES_MAX as usize));
    let not_a_key = || VaultError::NotAKey {
        path: path.to_owned(),
    };
    file.take(FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|_| not_a_key())?;
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    let digits = text.trim().as_bytes();
    if digits.len() != 2 * KEY_BYTES
        || HEXLOWER_PERMISSIVE
            .decode_mut(digits, &mut key[..])
            .is_err()
    {
        return Err(not_a_key());
    }
    Ok(Vault::of(&key))
}

/// Makes the file whole and then gives it its name, so that no kill leaves half a key.
fn make(path: &Path) -> io::Result<Vault> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    rand::fill(&mut key[..]).map_err(|_| io::Error::other("no random bytes"))?;
    let text = Zeroizing::new(HEXLOWER_PERMISSIVE.encode(&key[..]) + "\n");
    let aside = path.with_extension("new");
    let _ = fs::remove_file(&aside);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&aside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(Vault::of(&key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_at_its_place_and_nowhere_else() {
        let vault = Vault::ephemeral();
        let sealed = vault.seal(b"lamp", b"a secret of some length");
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
        let opened = vault.open_sealed(b"lamp", &sealed).unwrap();
        assert_eq!(&opened[..], b"a secret of some length");
        assert_eq!(vault.open_sealed(b"lamb", &sealed), Err(OpenError::Key));
        assert_eq!(
            Vault::ephemeral().open_sealed(b"lamp", &sealed),
            Err(OpenError::Key)
        );
        assert_ne!(vault.seal(b"lamp", b""), vault.seal(b"lamp", b""));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let vault = Vault::ephemeral();
        let sealed = vault.seal(b"place", b"text");
        for bit in 0..sealed.len() * 8 {
            let mut altered = sealed.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(vault.open_sealed(b"place", &altered).is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(vault.open_sealed(b"place", &sealed[..length]).is_err());
        }
    }

    #[test]
    fn the_key_file_is_made_once_and_is_its_owners() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let sealed = Vault::open(&path, false).unwrap().seal(b"", b"x");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = Vault::open(&path, true).unwrap();
        assert_eq!(&again.open_sealed(b"", &sealed).unwrap()[..], b"x");
        assert_eq!(format!("{again:?}"), "Vault(..)");
    }

    #[test]
    fn a_key_file_that_does_not_do_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let missing = Vault::open(&path, true).unwrap_err();
        assert!(matches!(missing, VaultError::Missing { .. }), "{missing}");
        assert!(!path.exists(), "no new key is made where it opens nothing");
        for text in ["", "abc", &"g".repeat(64), &"a".repeat(65)] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            let error = Vault::open(&path, false).unwrap_err();
            assert!(matches!(error, VaultError::NotAKey { .. }), "{text}");
        }
        fs::write(&path, "A".repeat(64)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(Vault::open(&path, false).is_ok());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = Vault::open(&path, false).unwrap_err();
        assert!(matches!(error, VaultError::Exposed { .. }), "{error}");
    }
}
