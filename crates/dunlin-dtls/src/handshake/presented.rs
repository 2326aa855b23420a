//! Certificate messages: both roles show and read them alike (RFC 5246 §7.4.2, RFC 7250 §4).

use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Step;
use super::exchange::Exchange;
use super::failure::{Failure, Fault};
use crate::crypto::ecc::{self, POINT_LENGTH};
use crate::event::{Question, Shown};
use crate::identity::{Credential, PeerIdentity};
use crate::message::certificate;
use crate::message::extension::CertificateType;
use crate::reassembly::Message;

/// The body of our own; an empty one if we have nothing to show.
pub(super) fn body(credential: Option<&Credential>, certificate_type: CertificateType) -> Vec<u8> {
    match (certificate_type, credential) {
        (CertificateType::X509, Some(credential)) => certificate::encode_chain(credential.chain()),
        (CertificateType::X509, None) => certificate::encode_chain(&[]),
        (CertificateType::RawPublicKey, Some(credential)) => {
            certificate::encode_raw_public_key(&credential.public_key())
        }
        (CertificateType::RawPublicKey, None) => certificate::encode_raw_public_key(&[]),
    }
}

/// Takes in what the peer shows, as claimed: its public key, and the question whether it is to be trusted.
pub(super) fn take(
    exchange: &mut Exchange,
    message: &Message,
    expected: CertificateType,
) -> Result<([u8; POINT_LENGTH], Step), Fault> {
    let peer = Presented::decode(expected, &message.body)?;
    exchange.hash_received(message);
    exchange.identity = Some(Arc::new(peer.identity));
    let question = Question::VerdictOn {
        shown: peer.shown,
        role: exchange.peer_role(),
        server_name: exchange.server_name.as_deref().map(ToString::to_string),
    };
    Ok((peer.point, Step::Ask(question)))
}

struct Presented {
    shown: Shown,
    point: [u8; POINT_LENGTH],
    identity: PeerIdentity,
}

impl Presented {
    fn decode(expected: CertificateType, body: &[u8]) -> Result<Presented, Fault> {
        match expected {
            CertificateType::X509 => {
                let chain: Vec<Vec<u8>> = certificate::decode_chain(body)?
                    .into_iter()
                    .map(<[u8]>::to_vec)
                    .collect();
                let own = chain.first().ok_or(Failure::CertificateMissing)?.clone();
                let point = ecc::point_of_certificate(&own).ok_or(Failure::UnusableCertificate)?;
                let identity = PeerIdentity::Certificate(own);
                Ok(Presented {
                    shown: Shown::Chain(chain),
                    point,
                    identity,
                })
            }
            CertificateType::RawPublicKey => {
                let key = certificate::decode_raw_public_key(body)?.to_vec();
                if key.is_empty() {
                    return Err(Failure::CertificateMissing.into());
                }
                let point = ecc::point_of(&key).ok_or(Failure::UnusableCertificate)?;
                let identity = PeerIdentity::RawPublicKey(key.clone());
                Ok(Presented {
                    shown: Shown::RawPublicKey(key),
                    point,
                    identity,
                })
            }
        }
    }
}
