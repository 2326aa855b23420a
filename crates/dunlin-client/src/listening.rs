//! The Client as DTLS server: in the Server-initiated mode the Bootstrap-Server opens the session
//! (TS 1.0 §5.2.3.4, §7.1.2). One handshake is answered: that of the Bootstrap-Server, by the
//! credentials of its account, as long as the account is there.
//!
//! 1. `follow_listening`: what we show follows the account.
//! 2. `admits`: a handshake asks for the key, or for a verdict on what the other side shows.
//! 3. `accepted`: the session is the Bootstrap-Server's from its first word on. One that bootstraps
//!    already has begun anew, and what it did before is dropped.

use dunlin_lwm2m::{Instance, ObjectId};
use dunlin_transport::dtls::{
    AlertDescription, CertificateType, Credential, ServerSettings, Settings, Shown, SigningKey,
    Verdict,
};
use dunlin_transport::{Interface, PeerId, SecurityAnswer};

use crate::account::{bootstrap_account, is_bootstrap};
use crate::client::Client;
use crate::credentials::Credentials;
use crate::event::Reason;

/// Handshakes of others that a Client takes part in at once: there is one Bootstrap-Server, and
/// what strangers begin is to leave the device its memory.
const HALF_OPEN_MAX: usize = 4;

impl Client {
    /// Listens for the Bootstrap-Server with what its account holds now, or for nobody.
    pub(crate) fn follow_listening(&mut self) {
        let wanted = self.config.server_initiated_bootstrap && !self.stopping;
        let mut all = self.tree.instances(ObjectId::SECURITY);
        let account = all.find(|one| wanted && is_bootstrap(one));
        if account == self.listening.as_ref() {
            return;
        }
        let account = account.cloned();
        let settings = Settings {
            server: account.as_ref().and_then(server_settings),
            ..self.config.dtls.clone()
        };
        self.transport.set_dtls(settings);
        self.listening = account;
    }

    /// The key of the Bootstrap-Server, if that is what the other side claims to be.
    pub(crate) fn key_for(&self, claimed: &[u8]) -> SecurityAnswer {
        let credentials = self.listening.as_ref().and_then(Credentials::of);
        SecurityAnswer::Psk(match credentials {
            Some(Credentials::Psk { identity, key }) if identity == claimed => {
                Some(key.as_slice().into())
            }
            _ => None,
        })
    }

    /// Whether who opens a session with us is the Bootstrap-Server (TS 1.0 §7.1.7.3, §7.1.7.4).
    pub(crate) fn admits(&self, shown: &Shown) -> SecurityAnswer {
        let account = bootstrap_account(&self.tree);
        let credentials = self.listening.as_ref().and_then(Credentials::of);
        let good = account
            .zip(credentials)
            .is_some_and(|(account, mine)| self.accept(&account.uri, &mine, shown).is_ok());
        SecurityAnswer::Verdict(match good {
            true => Verdict::Accept,
            false => Verdict::Refuse(AlertDescription::CERTIFICATE_UNKNOWN),
        })
    }

    /// The Bootstrap-Server has opened a session.
    pub(crate) fn accepted(&mut self, peer: PeerId) {
        if self.listening.is_none() {
            // Its account was removed during the handshake.
            return self.closing.push(peer);
        }
        self.transport.hold(peer);
        self.transport.use_interface(peer, Interface::Bootstrap);
        let before = self.bootstrap.peer.replace(peer);
        if self.bootstrap.is_active() {
            self.bootstrap_failed(Reason::BegunAnew);
        }
        if let Some(before) = before {
            self.close(before);
        }
    }
}

/// What we show to the Bootstrap-Server; `None` where it is not to come under DTLS, or our own
/// keys cannot be used.
fn server_settings(account: &Instance) -> Option<ServerSettings> {
    let key = |der: &[u8]| SigningKey::from_der(der).ok();
    let (credential, shown) = match Credentials::of(account)? {
        Credentials::NoSec => return None,
        Credentials::Psk { .. } => (None, CertificateType::RawPublicKey),
        Credentials::RawPublicKey { private_key, .. } => {
            let credential = Credential::raw_public_key(key(&private_key)?);
            (Some(credential), CertificateType::RawPublicKey)
        }
        Credentials::Certificate {
            certificate,
            private_key,
            ..
        } => {
            let chain = alloc::vec![certificate];
            let credential = Credential::certificates(key(&private_key)?, chain).ok()?;
            (Some(credential), CertificateType::X509)
        }
    };
    Some(ServerSettings {
        credential,
        client_certificate_types: alloc::vec![shown],
        // Bootstrap information wants a new session each time (TS 1.0 §5.2.8).
        resumption: false,
        half_open_max: HALF_OPEN_MAX,
        // Where both begin at once, the Bootstrap-Server gives way.
        gives_way: false,
        ..ServerSettings::default()
    })
}
