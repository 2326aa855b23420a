//! Who the peer is, and what we show it. The machine proves that a peer holds a key; whether that
//! key or certificate is to be trusted it asks (`Question::Verdict`). For X.509 the usual judgement
//! is here as a pure function, [`verify_chain`], for the layer above to call with its clock.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::crypto::ecc;
pub use crate::crypto::ecc::SigningKey;
use crate::message::extension::CertificateType;

/// Who a peer has proved to be.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum PeerIdentity {
    /// It has the pre-shared key of this identity. For a client: its own identity, by whose key
    /// the server is known.
    Psk(Vec<u8>),
    /// It has the private key to this SubjectPublicKeyInfo (DER).
    RawPublicKey(Vec<u8>),
    /// It has the private key to this certificate (DER), and the chain was found good.
    Certificate(Vec<u8>),
}

impl PeerIdentity {
    /// The identity, key or certificate as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            PeerIdentity::Psk(bytes)
            | PeerIdentity::RawPublicKey(bytes)
            | PeerIdentity::Certificate(bytes) => bytes,
        }
    }

    /// A number per kind, for storing.
    pub(crate) fn code(&self) -> u8 {
        match self {
            PeerIdentity::Psk(_) => 1,
            PeerIdentity::RawPublicKey(_) => 2,
            PeerIdentity::Certificate(_) => 3,
        }
    }

    pub(crate) fn from_code(code: u8, bytes: Vec<u8>) -> Option<PeerIdentity> {
        Some(match code {
            1 => PeerIdentity::Psk(bytes),
            2 => PeerIdentity::RawPublicKey(bytes),
            3 => PeerIdentity::Certificate(bytes),
            _ => return None,
        })
    }
}

impl fmt::Debug for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerIdentity::Psk(identity) => {
                write!(f, "Psk({:?})", String::from_utf8_lossy(identity))
            }
            PeerIdentity::RawPublicKey(key) => write!(f, "RawPublicKey({} bytes)", key.len()),
            PeerIdentity::Certificate(der) => write!(f, "Certificate({} bytes)", der.len()),
        }
    }
}

/// A key pair and how it can be shown.
#[derive(Clone, Debug)]
pub struct Credential {
    key: SigningKey,
    chain: Vec<Vec<u8>>,
}

/// A key or certificate that cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyRejected {
    /// Neither PKCS#8 nor SEC 1, or not on P-256.
    #[error("not a P-256 private key in PKCS#8 or SEC 1 DER")]
    NotP256,
    /// The first certificate is not X.509 v3 with a P-256 key.
    #[error("not an X.509 certificate with a P-256 key")]
    NotCertificate,
    /// The certificate is for another key.
    #[error("the certificate does not belong to the private key")]
    Mismatch,
    /// Built without the feature `certificates`.
    #[error("built without the feature `certificates`")]
    NotBuilt,
}

impl Credential {
    /// A key pair shown bare (RFC 7250).
    pub fn raw_public_key(key: SigningKey) -> Credential {
        Credential {
            key,
            chain: Vec::new(),
        }
    }

    /// A key pair shown by a chain of DER certificates, its own first; or bare, where the peer
    /// prefers that.
    pub fn certificates(key: SigningKey, chain: Vec<Vec<u8>>) -> Result<Credential, KeyRejected> {
        let own = chain.first().ok_or(KeyRejected::NotCertificate)?;
        let point = ecc::point_of_certificate(own).ok_or(KeyRejected::NotCertificate)?;
        if ecc::point_of(&key.public_key()) != Some(point) {
            return Err(KeyRejected::Mismatch);
        }
        Ok(Credential { key, chain })
    }

    /// Our own public key as SubjectPublicKeyInfo (DER).
    pub fn public_key(&self) -> Vec<u8> {
        self.key.public_key()
    }

    pub(crate) fn key(&self) -> &SigningKey {
        &self.key
    }

    pub(crate) fn chain(&self) -> &[Vec<u8>] {
        &self.chain
    }

    pub(crate) fn can_show(&self, certificate_type: CertificateType) -> bool {
        match certificate_type {
            CertificateType::X509 => !self.chain.is_empty(),
            CertificateType::RawPublicKey => true,
        }
    }
}

/// Why a chain was not found good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainRejected {
    /// No certificate at all, or one that cannot be read.
    #[error("no readable certificate")]
    Unreadable,
    /// A trust anchor of ours cannot be read.
    #[error("a trust anchor cannot be read")]
    Anchor,
    /// No path to an anchor, expired, wrong usage …: what `webpki` says.
    #[error("no good path to a trust anchor: {0}")]
    Path(String),
    /// The certificate is for other names.
    #[error("the certificate is not for this name")]
    Name,
    /// Built without the feature `certificates`.
    #[error("built without the feature `certificates`")]
    NotBuilt,
}

/// Judges a chain as RFC 5280 wants: a path to one of the anchors (DER certificates), valid at
/// `wall_s` (seconds since 1970), allowed for the peer's role; and, if a name is given, issued
/// for that DNS name or IP address (RFC 6125).
#[cfg(feature = "certificates")]
pub fn verify_chain(
    chain: &[Vec<u8>],
    anchors: &[Vec<u8>],
    role: crate::Role,
    wall_s: u64,
    name: Option<&str>,
) -> Result<(), ChainRejected> {
    use core::time::Duration;
    use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

    let ders: Vec<CertificateDer<'_>> = chain
        .iter()
        .map(|der| CertificateDer::from(der.as_slice()))
        .collect();
    let (own, intermediates) = ders.split_first().ok_or(ChainRejected::Unreadable)?;
    let certificate =
        webpki::EndEntityCert::try_from(own).map_err(|_| ChainRejected::Unreadable)?;
    let anchor_ders: Vec<CertificateDer<'_>> = anchors
        .iter()
        .map(|der| CertificateDer::from(der.as_slice()))
        .collect();
    let trusted: Vec<_> = anchor_ders
        .iter()
        .map(webpki::anchor_from_trusted_cert)
        .collect::<Result<_, _>>()
        .map_err(|_| ChainRejected::Anchor)?;
    let usage = match role {
        crate::Role::Server => webpki::KeyUsage::server_auth(),
        crate::Role::Client => webpki::KeyUsage::client_auth(),
    };
    certificate
        .verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &trusted,
            intermediates,
            UnixTime::since_unix_epoch(Duration::from_secs(wall_s)),
            usage,
            None,
            None,
        )
        .map_err(|error| ChainRejected::Path(alloc::format!("{error:?}")))?;
    let Some(name) = name else { return Ok(()) };
    let name = ServerName::try_from(name).map_err(|_| ChainRejected::Name)?;
    certificate
        .verify_is_valid_for_subject_name(&name)
        .map_err(|_| ChainRejected::Name)
}

/// Whether a certificate is issued for this DNS name or IP address, by its alternative names
/// (RFC 6125). Nothing else of it is judged.
#[cfg(feature = "certificates")]
pub fn is_issued_for(certificate: &[u8], name: &str) -> bool {
    use rustls_pki_types::{CertificateDer, ServerName};

    let der = CertificateDer::from(certificate);
    let Ok(certificate) = webpki::EndEntityCert::try_from(&der) else {
        return false;
    };
    ServerName::try_from(name)
        .is_ok_and(|name| certificate.verify_is_valid_for_subject_name(&name).is_ok())
}

/// Always false without the feature `certificates`.
#[cfg(not(feature = "certificates"))]
pub fn is_issued_for(_certificate: &[u8], _name: &str) -> bool {
    false
}

/// Always [`ChainRejected::NotBuilt`] without the feature `certificates`.
#[cfg(not(feature = "certificates"))]
pub fn verify_chain(
    _chain: &[Vec<u8>],
    _anchors: &[Vec<u8>],
    _role: crate::Role,
    _wall_s: u64,
    _name: Option<&str>,
) -> Result<(), ChainRejected> {
    Err(ChainRejected::NotBuilt)
}
