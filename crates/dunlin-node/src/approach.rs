//! Reaching a Client that listens for its Bootstrap-Server (TS 1.0 §5.2.3.4, §7.1.2): by which of its
//! credentials a session is opened, and which shard opens it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use dunlin_api::credential::Proof;
use dunlin_lwm2m::EndpointName;
use dunlin_server::bootstrap::APPROACHES_MAX;
use dunlin_transport::dtls::{
    CertificateType, CidOffer, ClientCredentials, ClientSettings, Credential, Secret,
};

use crate::credentials::{Credentials, Door};

/// The longest name that is sent as SNI (RFC 1035 §2.3.4).
const SERVER_NAME_BYTES_MAX: usize = 255;

/// Which shard speaks to which Client that has not asked: the kernel brings the answers to any.
#[derive(Debug, Default)]
pub(crate) struct Approaches {
    /// Asked for each datagram without a Connection ID, and zero nearly always.
    count: AtomicUsize,
    shards: Mutex<HashMap<SocketAddr, usize>>,
}

impl Approaches {
    pub(crate) fn enter(&self, at: SocketAddr, shard: usize) {
        self.change(|shards| {
            shards.insert(at, shard);
        });
    }

    pub(crate) fn leave(&self, at: SocketAddr, shard: usize) {
        self.change(|shards| {
            if shards.get(&at) == Some(&shard) {
                shards.remove(&at);
            }
        });
    }

    pub(crate) fn shard_of(&self, at: SocketAddr) -> Option<usize> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.shards
            .lock()
            .expect("nobody panics with it")
            .get(&at)
            .copied()
    }

    fn change(&self, change: impl FnOnce(&mut HashMap<SocketAddr, usize>)) {
        let mut shards = self.shards.lock().expect("nobody panics with it");
        change(&mut shards);
        self.count.store(shards.len(), Ordering::Release);
    }
}

/// How a session with this Client may be opened: by its credentials for the Bootstrap-Server, the
/// newest first. What we show where it wants more than a pre-shared key is `own`.
pub(crate) fn sessions(
    credentials: &Credentials,
    own: Option<&Credential>,
    endpoint: &EndpointName,
) -> Vec<ClientSettings> {
    let mut kinds = Vec::new();
    let mut all = Vec::new();
    for (proof, key) in credentials.of_door(Door::Bootstrap, endpoint) {
        let opened = match (&proof, key) {
            (Proof::Psk { identity }, Some(key)) => ClientCredentials::Psk {
                identity: identity.clone(),
                key: Secret::from(key.expose()),
            },
            (Proof::Psk { .. }, None) => continue,
            (_, _) => {
                let kind = match proof {
                    Proof::Rpk { .. } => CertificateType::RawPublicKey,
                    _ => CertificateType::X509,
                };
                let Some(own) = own.filter(|_| !kinds.contains(&kind)) else {
                    continue;
                };
                kinds.push(kind);
                ClientCredentials::Signature {
                    credential: own.clone(),
                    present: kind,
                    accept: vec![kind],
                }
            }
        };
        let mut settings = ClientSettings::new(opened);
        // What the Client answers is to come to the shard that asked.
        settings.connection_id = CidOffer::Both;
        settings.server_name = server_name(endpoint);
        all.push(settings);
        if all.len() == APPROACHES_MAX {
            break;
        }
    }
    all
}

/// The Client's name as it is to be in the handshake (TS 1.0 §7.1.2), where it has a form there.
fn server_name(endpoint: &EndpointName) -> Option<String> {
    let name = endpoint.as_str();
    let fits =
        name.len() <= SERVER_NAME_BYTES_MAX && name.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_belongs_to_the_shard_that_asked_last_until_that_is_over() {
        let approaches = Approaches::default();
        let at: SocketAddr = "192.0.2.1:5684".parse().unwrap();
        assert_eq!(approaches.shard_of(at), None);
        approaches.enter(at, 1);
        approaches.enter(at, 2);
        approaches.leave(at, 1);
        assert_eq!(approaches.shard_of(at), Some(2));
        approaches.leave(at, 2);
        assert_eq!(approaches.shard_of(at), None);
    }
}
