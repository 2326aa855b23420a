//! Credentials: what proves that a Client is who it says, one file of types for routes and backends.
//!
//! A key goes in and never comes out: [`Credential`], which is listed, has no member for one, and [`Key`], which carries
//! it inwards, is wiped when dropped, compared in constant time and absent from `Debug`. Everything here is checked when it
//! is made: a [`NewCredential`] that exists is well formed.
//!
//! Who may use which name follows TS 1.0 §7.1.7 to §7.1.10: a PSK identity or a raw public key belongs to the endpoint
//! name under which it was entered; a certificate is either pinned (that very one) or known by its subject.

use std::fmt;

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::der;
use crate::extract::excerpt;
use crate::time::Timestamp;

/// Credentials of one endpoint name: roll-over needs two at a time, a careful operator three.
pub const CREDENTIALS_PER_ENDPOINT_MAX: usize = 16;

/// The longest PSK identity. 128 bytes must be possible (TS 1.0 §7.1.7); fingerprints and URNs stay below this.
pub const PSK_IDENTITY_BYTES_MAX: usize = 512;

/// Shorter keys are passwords, which must not be used with these suites (RFC 7925 §4.2).
pub const KEY_BYTES_MIN: usize = 8;

/// What RFC 7925 and TS 1.0 §7.1.7 recommend as the least; shorter ones are taken with a warning.
pub const KEY_BYTES_ADVISED: usize = 16;

/// 64 bytes must be possible (TS 1.0 §7.1.7).
pub const KEY_BYTES_MAX: usize = 128;

/// The longest certificate or public key: chains on devices are far smaller.
const DER_BYTES_MAX: usize = 16 * 1024;

/// A pre-shared key on its way in.
#[derive(Clone)]
pub struct Key(Zeroizing<Vec<u8>>);

impl Key {
    /// The key of these bytes.
    ///
    /// # Errors
    /// What is wrong with its length, as a sentence.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Result<Key, String> {
        if bytes.len() < KEY_BYTES_MIN {
            return Err(format!(
                "The key has {} bytes; {KEY_BYTES_ADVISED} random ones are advised, and fewer than {KEY_BYTES_MIN} are not taken.",
                bytes.len()
            ));
        }
        if bytes.len() > KEY_BYTES_MAX {
            return Err(format!(
                "The key has {} bytes; {KEY_BYTES_MAX} are the most.",
                bytes.len()
            ));
        }
        Ok(Key(bytes))
    }

    /// Reads a key: hexadecimal if it is digits throughout, base64 otherwise; `hex:` and `base64:` before it decide.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence that does not repeat it.
    pub fn parse(text: &str) -> Result<Key, String> {
        let text = text.trim();
        let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let decoded = if let Some(text) = text.strip_prefix("hex:") {
            decode(text, Encoding::Hex)
        } else if let Some(text) = text.strip_prefix("base64:") {
            decode(text, Encoding::Base64)
        } else if is_hex(text) {
            decode(text, Encoding::Hex)
        } else {
            decode(text, Encoding::Base64)
        };
        let bytes = decoded
            .ok_or("The key is neither hexadecimal (an even number of digits) nor base64.")?;
        Key::new(bytes)
    }

    /// The bytes themselves; do not let them get far.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

#[derive(Clone, Copy)]
enum Encoding {
    Hex,
    Base64,
}

fn decode(text: &str, encoding: Encoding) -> Option<Zeroizing<Vec<u8>>> {
    let encoding = match encoding {
        Encoding::Hex => &HEXLOWER_PERMISSIVE,
        Encoding::Base64 => &BASE64,
    };
    let mut bytes = Zeroizing::new(vec![0; encoding.decode_len(text.len()).ok()?]);
    let length = encoding.decode_mut(text.as_bytes(), &mut bytes).ok()?;
    bytes.truncate(length);
    Some(bytes)
}

/// The doors at which a credential opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Doors {
    /// The Server's.
    Server,
    /// The Bootstrap-Server's.
    Bootstrap,
    /// The Server's and the Bootstrap-Server's.
    #[default]
    Both,
}

impl Doors {
    /// The word used in JSON, CSV and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Doors::Server => "server",
            Doors::Bootstrap => "bootstrap",
            Doors::Both => "both",
        }
    }

    /// The doors of this word.
    pub fn from_name(name: &str) -> Option<Doors> {
        [Doors::Server, Doors::Bootstrap, Doors::Both]
            .into_iter()
            .find(|doors| doors.name() == name)
    }

    /// Whether the Server's door is among them.
    pub const fn server(self) -> bool {
        matches!(self, Doors::Server | Doors::Both)
    }

    /// Whether the Bootstrap-Server's door is among them.
    pub const fn bootstrap(self) -> bool {
        matches!(self, Doors::Bootstrap | Doors::Both)
    }

    /// Whether there is a door that both open.
    pub const fn overlap(self, other: Doors) -> bool {
        (self.server() && other.server()) || (self.bootstrap() && other.bootstrap())
    }
}

/// How a Client proves itself, without the proof.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Proof {
    /// By the key to this PSK identity.
    Psk {
        /// As the Client sends it, nearly always a text.
        identity: Vec<u8>,
    },
    /// By the private key to this public key.
    Rpk {
        /// SHA-256 over its SubjectPublicKeyInfo (DER).
        fingerprint: [u8; 32],
    },
    /// By this very certificate, whoever issued it.
    Certificate {
        /// SHA-256 over it (DER).
        fingerprint: [u8; 32],
        /// Its common name, for people.
        subject: Option<String>,
        /// When it ends, for people.
        not_after: Option<Timestamp>,
    },
    /// By a certificate that a trusted authority issued to this name, as its common name or one of its alternative names.
    Subject(String),
}

impl Proof {
    /// The word used in JSON, CSV and on the command line: `psk`, `rpk` or `x509`.
    pub const fn mode(&self) -> &'static str {
        match self {
            Proof::Psk { .. } => "psk",
            Proof::Rpk { .. } => "rpk",
            Proof::Certificate { .. } | Proof::Subject(_) => "x509",
        }
    }

    /// Whether both are shown by the same identity, key, certificate or name: then no more than one can stand.
    pub fn is_same(&self, other: &Proof) -> bool {
        match (self, other) {
            (
                Proof::Certificate { fingerprint, .. },
                Proof::Certificate {
                    fingerprint: other, ..
                },
            ) => fingerprint == other,
            _ => self == other,
        }
    }
}

/// What a person calls it: `the PSK identity "lamp"`.
impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Proof::Psk { identity } => {
                write!(
                    f,
                    "the PSK identity \"{}\"",
                    excerpt(&String::from_utf8_lossy(identity))
                )
            }
            Proof::Rpk { fingerprint } => write!(f, "the public key {}", short(fingerprint)),
            Proof::Certificate { fingerprint, .. } => {
                write!(f, "the certificate {}", short(fingerprint))
            }
            Proof::Subject(name) => write!(f, "the certificate name \"{}\"", excerpt(name)),
        }
    }
}

/// Names a credential among those of its endpoint: eight hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CredentialId(pub u32);

impl CredentialId {
    /// Reads what `Display` has written.
    pub fn parse(text: &str) -> Option<CredentialId> {
        let plain = text.len() == 8 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        u32::from_str_radix(text, 16)
            .ok()
            .filter(|_| plain)
            .map(CredentialId)
    }
}

impl fmt::Display for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// A credential as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// Names it.
    pub id: CredentialId,
    /// How the Client proves itself.
    pub proof: Proof,
    /// Where it opens.
    pub doors: Doors,
    /// Since when it stands.
    pub added_at: Timestamp,
}

/// A credential on its way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCredential {
    /// How the Client proves itself.
    pub proof: Proof,
    /// The key, of [`Proof::Psk`] alone.
    pub key: Option<Key>,
    /// Where it opens.
    pub doors: Doors,
}

impl NewCredential {
    /// By a pre-shared key.
    ///
    /// # Errors
    /// What is wrong with the identity, as a sentence.
    pub fn psk(identity: &[u8], key: Key, doors: Doors) -> Result<NewCredential, String> {
        if identity.is_empty() || identity.len() > PSK_IDENTITY_BYTES_MAX {
            return Err(format!(
                "A PSK identity has 1 to {PSK_IDENTITY_BYTES_MAX} bytes."
            ));
        }
        Ok(NewCredential {
            proof: Proof::Psk {
                identity: identity.to_vec(),
            },
            key: Some(key),
            doors,
        })
    }

    /// By a raw public key: PEM, base64 or hexadecimal of its SubjectPublicKeyInfo, or its fingerprint as a knock shows it.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn rpk(public_key: &str, doors: Doors) -> Result<NewCredential, String> {
        if let Some(fingerprint) = parse_fingerprint(public_key) {
            return Ok(NewCredential {
                proof: Proof::Rpk {
                    fingerprint: fingerprint?,
                },
                key: None,
                doors,
            });
        }
        let der = bytes_of(public_key, "PUBLIC KEY")?;
        if !der::is_p256_public_key(&der) {
            return Err(
                "This is not a public key on P-256 (an uncompressed SubjectPublicKeyInfo in DER has 91 bytes).".into(),
            );
        }
        Ok(NewCredential {
            proof: Proof::Rpk {
                fingerprint: fingerprint(&der),
            },
            key: None,
            doors,
        })
    }

    /// By one certificate: PEM, base64 or hexadecimal of its DER, or its fingerprint. Of a chain the first counts.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn certificate(text: &str, doors: Doors) -> Result<NewCredential, String> {
        if let Some(fingerprint) = parse_fingerprint(text) {
            return Ok(NewCredential {
                proof: Proof::Certificate {
                    fingerprint: fingerprint?,
                    subject: None,
                    not_after: None,
                },
                key: None,
                doors,
            });
        }
        let der = bytes_of(text, "CERTIFICATE")?;
        let names = der::names(&der).ok_or("This is not an X.509 certificate.")?;
        Ok(NewCredential {
            proof: Proof::Certificate {
                fingerprint: fingerprint(&der),
                subject: names.common_name,
                not_after: names.not_after,
            },
            key: None,
            doors,
        })
    }

    /// By a certificate for this name from a trusted authority.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn subject(name: &str, doors: Doors) -> Result<NewCredential, String> {
        if name.is_empty()
            || name.len() > PSK_IDENTITY_BYTES_MAX
            || name.chars().any(char::is_control)
        {
            return Err(format!(
                "A certificate's name has 1 to {PSK_IDENTITY_BYTES_MAX} bytes and no control characters."
            ));
        }
        Ok(NewCredential {
            proof: Proof::Subject(name.to_owned()),
            key: None,
            doors,
        })
    }

    /// What the operator should know of it, though it is taken.
    pub fn warning(&self) -> Option<String> {
        let bytes = self.key.as_ref()?.expose().len();
        (bytes < KEY_BYTES_ADVISED).then(|| {
            format!(
                "The key of {} has {bytes} bytes; {KEY_BYTES_ADVISED} random ones are advised.",
                self.proof
            )
        })
    }
}

/// What shall become of the credentials of one endpoint name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// These and no others.
    Replace(Vec<NewCredential>),
    /// These as well; one that is shown by the same identity, key, certificate or name at the same door takes the place
    /// of the old one.
    Add(Vec<NewCredential>),
    /// The one with this id goes.
    Remove(CredentialId),
}

/// Why a change cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Which change, counted from 0.
    pub change: usize,
    /// Which credential of it, counted from 0.
    pub credential: usize,
    /// Why, as a sentence.
    pub reason: String,
    /// True where another endpoint name has it.
    pub taken: bool,
}

/// How many credentials changes add, alter, leave as they are and remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// New ones.
    pub added: usize,
    /// Those with another key, or other doors, than before.
    pub altered: usize,
    /// Those that stood there already.
    pub unchanged: usize,
    /// Those that are gone.
    pub removed: usize,
}

/// Which credentials are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Part of the endpoint name, compared without regard to ASCII case; `None` for all.
    pub q: Option<String>,
    /// Those that open there alone; `None` for all.
    pub doors: Option<Doors>,
    /// Endpoint names on the page.
    pub limit: usize,
    /// The last endpoint name of the page before.
    pub after: Option<String>,
}

impl Query {
    /// Whether a credential of this name is asked for.
    pub fn fits(&self, endpoint: &str, credential: &Credential) -> bool {
        let q = self.q.as_deref().unwrap_or("").to_ascii_lowercase();
        self.doors
            .is_none_or(|doors| doors.overlap(credential.doors))
            && endpoint.to_ascii_lowercase().contains(&q)
    }
}

/// What Clients must know of the Server to trust it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerIdentity {
    /// Its public key: a SubjectPublicKeyInfo in DER.
    pub public_key: Vec<u8>,
    /// Its certificates in DER, its own first.
    pub chain: Vec<Vec<u8>>,
}

/// SHA-256, by which keys and certificates are known.
pub fn fingerprint(der: &[u8]) -> [u8; 32] {
    Sha256::digest(der).into()
}

/// A fingerprint as it is shown: `sha256:` and 64 digits.
pub fn fingerprint_text(fingerprint: &[u8; 32]) -> String {
    format!("sha256:{}", HEXLOWER_PERMISSIVE.encode(fingerprint))
}

/// Reads what [`fingerprint_text`] has written, also with colons and in capitals; `None` for another text.
fn parse_fingerprint(text: &str) -> Option<Result<[u8; 32], String>> {
    let digits: String = text.trim().strip_prefix("sha256:")?.replace(':', "");
    let bytes = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok();
    let fingerprint = bytes.and_then(|bytes| bytes.try_into().ok());
    Some(
        fingerprint.ok_or_else(|| "A fingerprint is sha256: and 64 hexadecimal digits.".to_owned()),
    )
}

fn short(fingerprint: &[u8; 32]) -> String {
    format!("sha256:{}…", HEXLOWER_PERMISSIVE.encode(&fingerprint[..6]))
}

/// DER out of PEM with this label, base64 or hexadecimal; a private key is refused.
pub(crate) fn bytes_of(text: &str, label: &str) -> Result<Vec<u8>, String> {
    if text.contains("PRIVATE KEY-----") {
        return Err("This is a private key; the Client keeps it to itself, and its public key or certificate goes here.".into());
    }
    Ok(der_of(text, label)?.to_vec())
}

/// DER out of PEM with this label, base64 or hexadecimal.
pub(crate) fn der_of(text: &str, label: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    let text = text.trim();
    let body = if text.starts_with("-----BEGIN ") {
        let begin = format!("-----BEGIN {label}-----");
        let end = format!("-----END {label}-----");
        let (_, rest) = text
            .split_once(&begin)
            .ok_or_else(|| format!("The PEM text has no \"{label}\"."))?;
        rest.split_once(&end)
            .ok_or_else(|| format!("The PEM text has no \"{end}\"."))?
            .0
    } else {
        text
    };
    let compact: Zeroizing<String> =
        Zeroizing::new(body.chars().filter(|c| !c.is_ascii_whitespace()).collect());
    if compact.len() > 2 * DER_BYTES_MAX {
        return Err(format!("More than {DER_BYTES_MAX} bytes are not taken."));
    }
    let hex = compact.bytes().all(|byte| byte.is_ascii_hexdigit());
    let encoding = if hex { Encoding::Hex } else { Encoding::Base64 };
    decode(&compact, encoding)
        .ok_or_else(|| "This is neither PEM nor base64 nor hexadecimal.".to_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEnoRKmXh5gzpCFpZnZtgq5Vgg0IKu\n6MS8ysyQGkDFlpJ4jpvgbz9dWzOsbQ7uEJwNFR2BV+MFdM5CK+AE6G5+fw==\n-----END PUBLIC KEY-----";

    pub(crate) const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMIIBozCCAUmgAwIBAgIUc1uprCMTkGppYiVDVBTEc7mxYiIwCgYIKoZIzj0EAwIw\nJzEQMA4GA1UECgwHRXhhbXBsZTETMBEGA1UEAwwKdXJuOmxhbXA6MTAeFw0yNjEx\nMjQxODQxMzNaFw0zNjExMjExODQxMzNaMCcxEDAOBgNVBAoMB0V4YW1wbGUxEzAR\nBgNVBAMMCnVybjpsYW1wOjEwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASehEqZ\neHmDOkIWlmdm2CrlWCDQgq7oxLzKzJAaQMWWkniOm+BvP11bM6xtDu4QnA0VHYFX\n4wV0zkIr4ATobn5/o1MwUTAdBgNVHQ4EFgQU0vD6srfeTsRjntHmRFFz/HKE9Bsw\nHwYDVR0jBBgwFoAU0vD6srfeTsRjntHmRFFz/HKE9BswDwYDVR0TAQH/BAUwAwEB\n/zAKBggqhkjOPQQDAgNIADBFAiEA0hDYhZZD7V5xzpmJTPSC2OwMt+9xrnLgy8c7\nvnqKKDUCIH9Ag7K68vaWPWLYdXynMAngRemeH2yGdn1P/tSIQuOR\n-----END CERTIFICATE-----";

    #[test]
    fn keys_are_hexadecimal_or_base64_and_show_themselves_nowhere() {
        let key = Key::parse("000102030405060708090a0b0c0d0e0F").unwrap();
        assert_eq!(key.expose(), (0..16).collect::<Vec<u8>>());
        assert_eq!(Key::parse("AAECAwQFBgcICQoLDA0ODw==").unwrap(), key);
        assert_eq!(
            Key::parse(" base64:AAECAwQFBgcICQoLDA0ODw==\n").unwrap(),
            key
        );
        // Twelve digits that are meant as base64.
        assert_eq!(Key::parse("base64:000102030405").unwrap().expose().len(), 9);
        assert_eq!(format!("{key:?}"), "Key(..)");
        let new = NewCredential::psk(b"lamp", key, Doors::Both).unwrap();
        assert!(!format!("{new:?}").contains("1, 2"), "{new:?}");
        for text in [
            "",
            "00",
            "0001020304050g",
            "00010203040506070",
            "secret!!secret",
            &"00".repeat(129),
        ] {
            let error = Key::parse(text).unwrap_err();
            assert!(text.is_empty() || !error.contains(text), "{error}");
        }
    }

    #[test]
    fn short_keys_are_warned_of() {
        let new =
            |text| NewCredential::psk(b"lamp", Key::parse(text).unwrap(), Doors::Both).unwrap();
        assert!(
            new("0001020304050607")
                .warning()
                .unwrap()
                .contains("8 bytes")
        );
        assert_eq!(new("000102030405060708090a0b0c0d0e0f").warning(), None);
        let key = Key::parse("0001020304050607").unwrap();
        assert!(NewCredential::psk(b"", key.clone(), Doors::Both).is_err());
        assert!(NewCredential::psk(&[b'x'; 513], key, Doors::Both).is_err());
    }

    #[test]
    fn public_keys_and_certificates_are_known_by_their_fingerprint() {
        let by_pem = NewCredential::rpk(PUBLIC_KEY, Doors::Server).unwrap();
        let base64: String = PUBLIC_KEY
            .lines()
            .filter(|line| !line.starts_with('-'))
            .collect();
        assert_eq!(NewCredential::rpk(&base64, Doors::Server).unwrap(), by_pem);
        let Proof::Rpk { fingerprint } = by_pem.proof else {
            panic!("a raw public key");
        };
        assert_eq!(
            fingerprint_text(&fingerprint),
            "sha256:f9b839d2079a9d07ffa8022e0d82bd65c2476625c7348e234c1b51c67b4f64f6"
        );
        let by_pem = NewCredential::certificate(CERTIFICATE, Doors::Both).unwrap();
        let Proof::Certificate {
            fingerprint,
            subject,
            not_after,
        } = &by_pem.proof
        else {
            panic!("a certificate");
        };
        assert_eq!(fingerprint[..4], [0x6b, 0x2e, 0x66, 0x21]);
        let known =
            NewCredential::certificate(&fingerprint_text(fingerprint), Doors::Both).unwrap();
        assert!(known.proof.is_same(&by_pem.proof));
        assert!(NewCredential::rpk("sha256:00", Doors::Both).is_err());
        assert_eq!(subject.as_deref(), Some("urn:lamp:1"));
        assert_eq!(not_after.unwrap().to_string(), "2036-11-21T18:41:33.000Z");
    }

    #[test]
    fn what_is_no_key_is_refused_and_a_private_one_is_not_repeated() {
        let private = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----";
        for text in ["", "x", "AAAA", CERTIFICATE, private, &PUBLIC_KEY[..60]] {
            let error = NewCredential::rpk(text, Doors::Both).unwrap_err();
            assert!(!error.contains("MHcC"), "{error}");
        }
        for text in ["", "x", "AAAA", PUBLIC_KEY, private, &CERTIFICATE[..90]] {
            assert!(
                NewCredential::certificate(text, Doors::Both).is_err(),
                "{text}"
            );
        }
        assert!(NewCredential::subject("", Doors::Both).is_err());
        assert!(NewCredential::subject("a\nb", Doors::Both).is_err());
    }

    #[test]
    fn doors_overlap_where_both_open() {
        for (one, other, overlap) in [
            (Doors::Server, Doors::Bootstrap, false),
            (Doors::Server, Doors::Server, true),
            (Doors::Both, Doors::Bootstrap, true),
            (Doors::Both, Doors::Both, true),
        ] {
            assert_eq!(one.overlap(other), overlap, "{one:?} {other:?}");
            assert_eq!(Doors::from_name(one.name()), Some(one));
        }
    }
}
