//! What handshakes and Registers ask of the credentials, and what becomes of sessions when a
//! credential is revoked.

use std::net::SocketAddr;
use std::sync::Arc;

use dunlin_api::credential::fingerprint;
use dunlin_lwm2m::EndpointName;
use dunlin_server::{Answer, NeedId, Verdict};
use dunlin_transport::dtls::identity::verify_chain;
use dunlin_transport::dtls::{
    AlertDescription, PeerIdentity, Question, Role, Secret, Shown, Verdict as Trust,
};
use dunlin_transport::{Address, Identity, Now, Port, SecurityAnswer, SecurityNeed, identity_of};

use super::Shard;
use crate::credentials::{Changed, Credentials, Door};

/// The doors whose credentials are good at a port. The Bootstrap-Server is served at the Server's
/// port, too, for Clients that know no other: who has only its credential there may bootstrap.
fn doors(port: Port) -> &'static [Door] {
    match port {
        Port::Coap | Port::Coaps => &[Door::Server, Door::Bootstrap],
        Port::BootstrapCoap | Port::BootstrapCoaps => &[Door::Bootstrap],
    }
}

impl Shard {
    /// A handshake asks: answered from memory.
    pub(super) fn security_needed(&mut self, now: Now, id: NeedId, need: SecurityNeed) {
        let credentials = self.parts.provisioning.credentials();
        let answer = match need.question {
            Question::PskFor { identity, .. } => {
                let key = doors(need.port)
                    .iter()
                    .find_map(|door| credentials.psk(*door, &identity));
                SecurityAnswer::Psk(key.map(|key| Secret::from(key.expose())))
            }
            Question::VerdictOn { shown, role, .. } => {
                let anchors = &self.parts.client_anchors;
                let wall_s = now.wall.0 / 1_000;
                let mut verdict = judged(credentials, anchors, need.port, &shown, wall_s);
                if role == Role::Server && !self.is_the_one_we_want(&need.address, &shown) {
                    verdict = Trust::Refuse(AlertDescription::CERTIFICATE_UNKNOWN);
                }
                SecurityAnswer::Verdict(verdict)
            }
            Question::Resumption { identity } => {
                SecurityAnswer::Verdict(known_still(credentials, need.port, &identity))
            }
            _ => SecurityAnswer::Psk(None),
        };
        let answer = Answer::Security(answer);
        self.parts.server.handle_answer(now, id, answer);
    }

    /// Whether this is the Client that we open a session with, to bootstrap it.
    fn is_the_one_we_want(&self, at: &Address, shown: &Shown) -> bool {
        let Some(endpoint) = self.parts.server.approached(at) else {
            return false;
        };
        let identity = match shown {
            Shown::RawPublicKey(key) => PeerIdentity::RawPublicKey(key.clone()),
            Shown::Chain(chain) => match chain.first() {
                Some(own) => PeerIdentity::Certificate(own.clone()),
                None => return false,
            },
        };
        let credentials = self.parts.provisioning.credentials();
        let allowed = credentials.allows(Door::Bootstrap, &identity_of(&identity), endpoint);
        if let Err(reason) = &allowed {
            tracing::info!(client = %endpoint, %reason, "who listens there is not the client");
        }
        allowed.is_ok()
    }

    /// A Register asks whether its sender may use the name.
    pub(super) fn admission_needed(
        &mut self,
        now: Now,
        id: NeedId,
        endpoint: &EndpointName,
        identity: &Identity,
    ) {
        let credentials = self.parts.provisioning.credentials();
        let verdict = match credentials.allows(Door::Server, identity, endpoint) {
            Ok(()) => Verdict::Allowed,
            Err(reason) if *identity == Identity::None => Verdict::Forbidden(reason),
            Err(reason) => Verdict::Differs(reason),
        };
        let answer = Answer::Admission(verdict);
        self.parts.server.handle_answer(now, id, answer);
    }

    /// Credentials have changed: sessions that were made by revoked ones are over.
    pub(super) fn revoke_changed(&mut self, now: Now) {
        let changes: Vec<Arc<Changed>> = {
            let mut waiting = self
                .parts
                .revocations
                .lock()
                .expect("nobody panics with it");
            std::mem::take(&mut *waiting)
        };
        for changed in changes.iter().filter(|changed| !changed.revoked.is_empty()) {
            self.parts.server.revoke(now, |identity| {
                let concerned = |door| {
                    let mut revoked = changed.revoked.iter();
                    revoked.any(|one| one.concerns(door, identity))
                };
                concerned(Door::Server) || concerned(Door::Bootstrap)
            });
            self.drain(now);
        }
    }

    /// The shard of a session without a Connection ID that came over a restart, or that we open: the
    /// kernel may bring its records elsewhere.
    pub(super) fn session_shard(&self, from: SocketAddr) -> Option<usize> {
        let before = self.session_shards.get(&from);
        let approached = self.parts.provisioning.approaches().shard_of(from);
        approached.or(before.map(|shard| usize::from(*shard)))
    }
}

/// May a peer be trusted that shows this, should it hold the private key?
fn judged(
    credentials: &Credentials,
    anchors: &[Vec<u8>],
    port: Port,
    shown: &Shown,
    wall_s: u64,
) -> Trust {
    let open = |good: &dyn Fn(Door) -> bool| doors(port).iter().any(|door| good(*door));
    let good = match shown {
        Shown::RawPublicKey(key) => open(&|door| credentials.rpk(door, &fingerprint(key))),
        Shown::Chain(chain) => {
            let pinned = chain.first().is_some_and(|own| {
                let digest = fingerprint(own);
                open(&|door| credentials.certificate(door, &digest))
            });
            if !pinned && let Err(reason) = verify_chain(chain, anchors, Role::Client, wall_s, None)
            {
                tracing::debug!(%reason, "a client's certificate is not trusted");
                return Trust::Refuse(AlertDescription::BAD_CERTIFICATE);
            }
            true
        }
    };
    match good {
        true => Trust::Accept,
        false => Trust::Refuse(AlertDescription::CERTIFICATE_UNKNOWN),
    }
}

/// May an earlier session be resumed? A certificate that is not pinned is shown again, so that its
/// chain and its dates are looked at anew.
fn known_still(credentials: &Credentials, port: Port, identity: &PeerIdentity) -> Trust {
    let known = doors(port).iter().any(|door| match identity {
        PeerIdentity::Psk(identity) => credentials.psk(*door, identity).is_some(),
        PeerIdentity::RawPublicKey(key) => credentials.rpk(*door, &fingerprint(key)),
        PeerIdentity::Certificate(der) => credentials.certificate(*door, &fingerprint(der)),
    });
    match known {
        true => Trust::Accept,
        false => Trust::Refuse(AlertDescription::CERTIFICATE_UNKNOWN),
    }
}
