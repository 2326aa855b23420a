//! Why handshakes fail, and what the peer is told of it.

use crate::alert::AlertDescription;
use crate::message::codec::Malformed;

/// Why a handshake failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The peer did not answer.
    #[error("the peer did not answer")]
    Timeout,
    /// The server answered, and fell silent when it had our last words: most likely it does not
    /// know our PSK identity, or has another key for it, and does not say so.
    #[error("the server does not confirm our key or identity")]
    Unconfirmed,
    /// Its Finished could not be decrypted: most likely another pre-shared key.
    #[error("the peer seems to have another key")]
    WrongKey,
    /// There is no key for its PSK identity.
    #[error("unknown PSK identity")]
    UnknownIdentity,
    /// A `Need` was not answered in time, or not with an answer to its question.
    #[error("the credentials were not looked up in time")]
    NeedUnanswered,
    /// The peer sent this alert.
    #[error("the peer said {0}")]
    Alerted(AlertDescription),
    /// The layer above refused the peer's certificate or key.
    #[error("the peer's certificate or key was refused: {0}")]
    Refused(AlertDescription),
    /// A message that is not allowed now.
    #[error("a message that is not allowed now")]
    UnexpectedMessage,
    /// The peer does not speak DTLS 1.2.
    #[error("the peer does not speak DTLS 1.2")]
    ProtocolVersion,
    /// No suite that both sides have, with credentials that fit it.
    #[error("no common cipher suite")]
    NoCommonSuite,
    /// The peer neither shows nor takes a kind of certificate that we do.
    #[error("no common certificate type")]
    NoCommonCertificateType,
    /// The settings require extended master secret and the peer does not have it, or it did for
    /// the session that it resumes.
    #[error("extended master secret is missing")]
    ExtendedMasterSecretMissing,
    /// A value that the standard rules out.
    #[error("illegal parameter: {0}")]
    IllegalParameter(&'static str),
    /// The server answered an extension that we did not send.
    #[error("an extension that was not asked for")]
    UnsolicitedExtension,
    /// A signature does not hold.
    #[error("a signature does not hold")]
    BadSignature,
    /// Not a point of the curve.
    #[error("a key share that is none")]
    BadKeyShare,
    /// The peer shows no certificate.
    #[error("the peer shows no certificate")]
    CertificateMissing,
    /// The peer's certificate is not one with a P-256 key.
    #[error("the peer's certificate or key cannot be used")]
    UnusableCertificate,
    /// The Finished message is wrong: somebody changed the handshake.
    #[error("the handshake was tampered with")]
    WrongFinished,
    /// The peer opens a session with us, and ours gave way to it.
    #[error("the peer opens a session itself")]
    GaveWay,
    /// The crypto library failed where it never does.
    #[error("the crypto library failed")]
    Crypto,
}

impl Failure {
    /// What the peer is told; nothing where it is gone, knows already, or should not know.
    pub(crate) fn alert(self) -> Option<AlertDescription> {
        Some(match self {
            Failure::Timeout
            | Failure::Unconfirmed
            | Failure::WrongKey
            | Failure::UnknownIdentity
            | Failure::GaveWay
            | Failure::Alerted(_) => return None,
            Failure::Refused(description) => description,
            Failure::UnexpectedMessage => AlertDescription::UNEXPECTED_MESSAGE,
            Failure::ProtocolVersion => AlertDescription::PROTOCOL_VERSION,
            Failure::NoCommonSuite
            | Failure::ExtendedMasterSecretMissing
            | Failure::CertificateMissing => AlertDescription::HANDSHAKE_FAILURE,
            Failure::NoCommonCertificateType => AlertDescription::UNSUPPORTED_CERTIFICATE,
            Failure::IllegalParameter(_) | Failure::BadKeyShare => {
                AlertDescription::ILLEGAL_PARAMETER
            }
            Failure::UnsolicitedExtension => AlertDescription::UNSUPPORTED_EXTENSION,
            Failure::BadSignature | Failure::WrongFinished => AlertDescription::DECRYPT_ERROR,
            Failure::UnusableCertificate => AlertDescription::BAD_CERTIFICATE,
            Failure::NeedUnanswered | Failure::Crypto => AlertDescription::INTERNAL_ERROR,
        })
    }
}

/// What can be wrong with a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// It cannot be read. Nothing authenticates it, so its next copy may be whole.
    Malformed,
    /// It can be read and ends the handshake.
    Fatal(Failure),
}

impl From<Malformed> for Fault {
    fn from(_: Malformed) -> Fault {
        Fault::Malformed
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Fault {
        Fault::Fatal(failure)
    }
}
