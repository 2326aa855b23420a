//! How a Server is reached: in the clear at once, or by a session of DTLS that an account's keys
//! open (TS 1.0 §7.1).
//!
//! 1. `reach` gives a peer: the one of before, if its session lives; or it begins a handshake, and
//!    resumes an earlier session if the Server remembers it.
//! 2. A Server that shows a key or certificate is judged here: its account says what it has to be
//!    (TS 1.0 §7.1.7.3, §7.1.7.4).
//! 3. `Connected` goes on with Register or Bootstrap-Request. A session that is lost, by word or by
//!    silence, is opened anew, and then registered anew: what the Server knew went with it.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use dunlin_lwm2m::{ObjectId, ObjectInstanceId, Value};
use dunlin_transport::dtls::{
    AlertDescription, CertificateType, ClientCredentials, ClientSettings, Credential, Question,
    ResumptionState, Role, Shown, SigningKey, Verdict, identity,
};
use dunlin_transport::{
    Address, DisconnectReason, PeerId, Port, SecurityAnswer, SecurityNeed, certificate_names,
};
use sha2::{Digest, Sha256};

use crate::account::{Scheme, ServerUri, bootstrap_account};
use crate::bootstrap;
use crate::client::{Client, Party};
use crate::credentials::Credentials;
use crate::event::{Event, Reason};
use crate::registration::Phase;

/// A Server that can be spoken to, or will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    /// Now.
    Peer(PeerId),
    /// When the handshake with it has ended well.
    Connecting(PeerId),
}

/// What a session is resumed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resumable {
    /// Of URI and keys by which the session was made: under others it is not resumed, whoever has
    /// changed them, and be it while the Client was switched off.
    pub(crate) account: [u8; 32],
    pub(crate) state: ResumptionState,
}

/// Of everything in an account that a session depends on.
fn digest(uri: &ServerUri, credentials: &Credentials) -> [u8; 32] {
    let mut digest = Sha256::new();
    let mut take = |bytes: &[u8]| {
        digest.update((bytes.len() as u64).to_be_bytes());
        digest.update(bytes);
    };
    take(&[u8::from(uri.scheme == Scheme::Coaps)]);
    take(uri.host.as_bytes());
    take(&uri.port.to_be_bytes());
    for resource in credentials.resources() {
        match resource.value() {
            Some(Value::Opaque(bytes)) => take(bytes),
            _ => take(&credentials.mode().to_be_bytes()),
        }
    }
    digest.finalize().into()
}

impl Client {
    /// A peer to speak with, held once. `known` is the one of before, whose session is used again
    /// if it lives.
    pub(crate) fn reach(
        &mut self,
        party: Party,
        address: &Address,
        known: Option<PeerId>,
    ) -> Result<Reached, Reason> {
        let (uri, credentials) = self.keys_of(party)?;
        let Some(mut settings) = client_settings(&uri, &credentials)? else {
            let peer = self.transport.peer_at(self.now, Port::Coap, address, None);
            self.transport.hold(peer);
            return Ok(Reached::Peer(peer));
        };
        if let Some(peer) = known.filter(|peer| self.has_session(*peer, address)) {
            self.transport.hold(peer);
            return Ok(Reached::Peer(peer));
        }
        let account = digest(&uri, &credentials);
        let earlier = self.resumable.get(&party);
        settings.resume = earlier
            .filter(|earlier| earlier.account == account)
            .map(|earlier| earlier.state.clone());
        self.verdict = None;
        let opened = self
            .transport
            .connect(self.now, Port::Coaps, address, None, settings);
        let peer = opened.map_err(|_| Reason::Busy)?;
        self.transport.hold(peer);
        Ok(Reached::Connecting(peer))
    }

    fn has_session(&self, peer: PeerId, address: &Address) -> bool {
        let there = self.transport.peer(peer);
        there.is_some_and(|there| there.address == *address && there.port.is_secure())
            && self.transport.is_connected(peer)
    }

    /// Where a party is and what its account holds.
    fn keys_of(&self, party: Party) -> Result<(ServerUri, Credentials), Reason> {
        let account = match party {
            Party::Package => self.package_account(),
            Party::Bootstrap => bootstrap_account(&self.tree).map(|one| (one.uri, one.security)),
            Party::Server(server) => self.registrations.get(&server).map(|one| {
                let account = &one.account;
                (account.uri.clone(), account.security)
            }),
        };
        let (uri, security) = account.ok_or(Reason::Busy)?;
        let credentials = self.credentials(security);
        Ok((uri, credentials.ok_or(Reason::SecurityMode)?))
    }

    fn credentials(&self, security: ObjectInstanceId) -> Option<Credentials> {
        let mut all = self.tree.instances(ObjectId::SECURITY);
        Credentials::of(all.find(|one| one.id == security)?)
    }

    /// Whose peer this is.
    fn party_of(&self, peer: PeerId) -> Option<Party> {
        if self.bootstrap.peer == Some(peer) {
            return Some(Party::Bootstrap);
        }
        let mut all = self.registrations.iter();
        let found = all.find(|(_, one)| one.peer == Some(peer));
        let server = found.map(|(server, _)| Party::Server(*server));
        server.or_else(|| (self.firmware.peer() == Some(peer)).then_some(Party::Package))
    }

    /// The session that a Server has opened for us at that address already, if there is one.
    pub(crate) fn session_at(&self, address: &Address) -> Option<PeerId> {
        let peers = self.registrations.values().filter_map(|one| one.peer);
        let mut peers = peers.filter(|peer| self.has_session(*peer, address));
        peers.next()
    }

    pub(crate) fn connected(&mut self, peer: PeerId, resumed: bool) {
        let party = self.party_of(peer);
        match party.filter(|_| resumed) {
            Some(Party::Server(server)) => {
                let server = Some(server);
                self.tell(Event::SessionResumed { server });
            }
            Some(Party::Bootstrap) => self.tell(Event::SessionResumed { server: None }),
            Some(Party::Package) | None => {}
        }
        match party {
            Some(Party::Bootstrap) => {
                if matches!(self.bootstrap.phase, bootstrap::Phase::Connecting) {
                    self.ask_bootstrap_server(peer);
                }
            }
            Some(Party::Server(server)) => {
                if self.registrations[&server].phase == Phase::Connecting {
                    self.register_with(server, peer);
                }
            }
            Some(Party::Package) => self.package_server_connected(),
            // Nobody wants it any more.
            None => self.closing.push(peer),
        }
    }

    pub(crate) fn resumable(&mut self, peer: PeerId, state: ResumptionState) {
        let Some(party) = self.party_of(peer) else {
            return;
        };
        let Ok((uri, credentials)) = self.keys_of(party) else {
            return;
        };
        let account = digest(&uri, &credentials);
        self.resumable.insert(party, Resumable { account, state });
        if party != Party::Package {
            // After a restart the handshake is a short one.
            self.commit();
        }
    }

    pub(crate) fn disconnected(&mut self, peer: PeerId, reason: DisconnectReason) {
        let Some(party) = self.party_of(peer) else {
            return;
        };
        let reason = match (self.verdict.take(), reason) {
            (Some((refused, what)), DisconnectReason::Failed(_)) if refused == party => {
                Reason::NotTheServer(what)
            }
            (_, DisconnectReason::Failed(failure)) => Reason::Handshake(failure),
            (_, DisconnectReason::Closed(closed)) => Reason::SessionLost(closed),
            (_, _) => Reason::Busy,
        };
        match party {
            Party::Bootstrap => self.bootstrap_disconnected(reason),
            Party::Server(server) => self.server_disconnected(server, reason),
            Party::Package => self.package_server_lost(),
        }
    }

    /// The session of a party that does not answer is of no use any more: perhaps the other side
    /// has forgotten it. The next one is begun with a handshake.
    pub(crate) fn doubt_session(&mut self, peer: Option<PeerId>) {
        if let Some(peer) = peer.filter(|peer| self.is_secure(*peer)) {
            // One that is over already cannot be ended.
            let _ = self.transport.disconnect(self.now, peer, 0);
        }
    }

    fn is_secure(&self, peer: PeerId) -> bool {
        let there = self.transport.peer(peer);
        there.is_some_and(|there| there.port.is_secure())
    }

    /// A peer that nothing more is said to, once what is said to it now has gone out.
    pub(crate) fn close(&mut self, peer: PeerId) {
        self.closing.push(peer);
        self.transport.release(peer);
    }

    /// Ends the sessions that are not used any more.
    pub(crate) fn end_sessions(&mut self) -> bool {
        let closing = core::mem::take(&mut self.closing);
        let mut ended = false;
        for peer in closing {
            if self.party_of(peer).is_none() && self.is_secure(peer) {
                ended |= self.transport.disconnect(self.now, peer, 0).is_ok();
            }
        }
        ended
    }

    /// What a handshake asks: is this the Server of the account?
    pub(crate) fn judge(&mut self, need: &SecurityNeed) -> SecurityAnswer {
        let shown = match &need.question {
            Question::PskFor { identity, .. } => return self.key_for(identity),
            Question::VerdictOn {
                shown,
                role: Role::Client,
                ..
            } => return self.admits(shown),
            Question::VerdictOn { shown, .. } => shown,
            // Nothing of what others opened is resumed.
            _ => {
                let no = Verdict::Refuse(AlertDescription::CERTIFICATE_UNKNOWN);
                return SecurityAnswer::Verdict(no);
            }
        };
        let connecting = self.connecting_to(&need.address);
        let verdict = connecting.ok_or("nobody asked for that session");
        let verdict = verdict.and_then(|party| {
            let keys = self.keys_of(party).map_err(|_| "its account is gone");
            let judged = keys.and_then(|(uri, credentials)| self.accept(&uri, &credentials, shown));
            if let Err(what) = judged {
                self.verdict = Some((party, what));
            }
            judged
        });
        SecurityAnswer::Verdict(match verdict {
            Ok(()) => Verdict::Accept,
            Err(_) => Verdict::Refuse(AlertDescription::CERTIFICATE_UNKNOWN),
        })
    }

    /// For whom a handshake with that address is under way; there is one at most.
    fn connecting_to(&self, address: &Address) -> Option<Party> {
        let is = |peer: Option<PeerId>| {
            let there = peer.and_then(|peer| self.transport.peer(peer));
            there.is_some_and(|there| there.address == *address)
        };
        if matches!(self.bootstrap.phase, bootstrap::Phase::Connecting) && is(self.bootstrap.peer) {
            return Some(Party::Bootstrap);
        }
        let mut all = self.registrations.iter();
        let found = all.find(|(_, one)| one.phase == Phase::Connecting && is(one.peer));
        let server = found.map(|(server, _)| Party::Server(*server));
        let package = self.firmware.is_connecting() && is(self.firmware.peer());
        server.or_else(|| package.then_some(Party::Package))
    }

    pub(crate) fn accept(
        &self,
        uri: &ServerUri,
        credentials: &Credentials,
        shown: &Shown,
    ) -> Result<(), &'static str> {
        match (credentials, shown) {
            (
                Credentials::RawPublicKey {
                    server_public_key, ..
                },
                Shown::RawPublicKey(key),
            ) => {
                if key == server_public_key {
                    Ok(())
                } else {
                    Err("its public key is not the one of the account (/0/x/4)")
                }
            }
            (
                Credentials::Certificate {
                    server_certificate, ..
                },
                Shown::Chain(chain),
            ) => self.accept_certificate(uri, server_certificate, chain),
            _ => Err("it shows another kind of key than the account has"),
        }
    }

    /// Domain-issued certificates, which is all that 1.0 knows: the very certificate of the account
    /// (TS 1.0 §7.1.7.4), for the name in the URI. With trust anchors in the settings also one that
    /// they vouch for.
    fn accept_certificate(
        &self,
        uri: &ServerUri,
        expected: &[u8],
        chain: &[Vec<u8>],
    ) -> Result<(), &'static str> {
        let own = chain.first().ok_or("it shows no certificate")?;
        if own == expected {
            let named = !self.config.check_server_name || is_for(own, &uri.host);
            return match named {
                true => Ok(()),
                false => Err("its certificate is the right one, but not for the name in the URI"),
            };
        }
        if self.config.trust_anchors.is_empty() {
            return Err("its certificate is not the one of the account (/0/x/4)");
        }
        let anchors = &self.config.trust_anchors;
        let name = self.config.check_server_name.then_some(uri.host.as_str());
        let wall_s = self.now.wall.0 / 1_000;
        identity::verify_chain(chain, anchors, Role::Server, wall_s, name).map_err(|error| {
            match error {
                identity::ChainRejected::Name => "its certificate is not for the name in the URI",
                _ => "no trusted authority vouches for its certificate, or its time is over",
            }
        })
    }
}

/// How to open a session with these credentials; `None` in the clear.
fn client_settings(
    uri: &ServerUri,
    credentials: &Credentials,
) -> Result<Option<ClientSettings>, Reason> {
    let key = |der: &[u8]| {
        SigningKey::from_der(der)
            .map_err(|_| Reason::Credentials("the private key (/0/x/5) cannot be used: P-256 in PKCS#8 or SEC 1 is what is known here"))
    };
    let signed = |credential, kind| ClientCredentials::Signature {
        credential,
        present: kind,
        accept: alloc::vec![kind],
    };
    let credentials = match (credentials, uri.scheme) {
        (Credentials::NoSec, Scheme::Coap) => return Ok(None),
        // Nothing that is to be secure goes out in the clear.
        (Credentials::NoSec, _) | (_, Scheme::Coap) => return Err(Reason::SecurityMode),
        (Credentials::Psk { identity, key }, Scheme::Coaps) => ClientCredentials::Psk {
            identity: identity.clone(),
            key: key.as_slice().into(),
        },
        (
            Credentials::RawPublicKey {
                public_key,
                private_key,
                ..
            },
            Scheme::Coaps,
        ) => {
            let key = key(private_key)?;
            if !public_key.is_empty() && key.public_key() != *public_key {
                let what = "the private key (/0/x/5) is not that of the public key (/0/x/3)";
                return Err(Reason::Credentials(what));
            }
            signed(
                Credential::raw_public_key(key),
                CertificateType::RawPublicKey,
            )
        }
        (
            Credentials::Certificate {
                certificate,
                private_key,
                ..
            },
            Scheme::Coaps,
        ) => {
            let chain = alloc::vec![certificate.clone()];
            let credential = Credential::certificates(key(private_key)?, chain);
            let what =
                "the certificate (/0/x/3) cannot be used, or is not of the private key (/0/x/5)";
            signed(
                credential.map_err(|_| Reason::Credentials(what))?,
                CertificateType::X509,
            )
        }
    };
    let mut settings = ClientSettings::new(credentials);
    // Names alone, never addresses (RFC 6066 §3).
    settings.server_name = match uri.host.parse::<IpAddr>() {
        Ok(_) => None,
        Err(_) => Some(uri.host.clone()),
    };
    Ok(Some(settings))
}

/// Whether a certificate is for this host (TS 1.0 §7.1.7.4, RFC 7252 §9.1.3.3): by an alternative
/// name, the host of an alternative URI, or, where there is neither, the common name.
fn is_for(certificate: &[u8], host: &str) -> bool {
    if identity::is_issued_for(certificate, host) {
        return true;
    }
    let names = certificate_names(certificate);
    let mut uris = names.alternative_names.iter();
    let by_uri = |name: &String| {
        let rest = name.split_once("://").map(|(_, rest)| rest);
        rest.is_some_and(|rest| host_of(rest).eq_ignore_ascii_case(host))
    };
    let plain = |name: &String| !name.contains("://");
    uris.clone().any(by_uri)
        || !uris.any(plain)
            && names
                .common_name
                .is_some_and(|name| name.eq_ignore_ascii_case(host))
}

/// The host in what follows `://`.
fn host_of(authority: &str) -> &str {
    let end = authority.find('/').unwrap_or(authority.len());
    let authority = &authority[..end];
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next().unwrap_or("");
    }
    authority.split(':').next().unwrap_or("")
}
