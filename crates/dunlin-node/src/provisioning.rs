//! What a Client is given when it bootstraps, and what the Server must know of it before.
//!
//! A shard asks [`Provisioning::decide`]: may this identity use the name, which profile is for it,
//! which keys are made. Keys that were made become credentials in the commit that begins the run:
//! the Client may use them at once. Once it has taken them, those of its runs before are removed;
//! until then they stay, because a Client whose run fails goes on with what it had.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand;
use dunlin_api::credential::{Change, Credential, Doors, Key, NewCredential, Proof, fingerprint};
use dunlin_api::time::Timestamp;
use dunlin_lwm2m::EndpointName;
use dunlin_server::NoProfile;
use dunlin_server::bootstrap::{
    BootstrapRun, KeyPair, KeySource, MadeCredential, MadeProof, PairKind, Profile, Provision,
    RunState, Secret,
};
use dunlin_store::Store;
use dunlin_transport::Identity;
use dunlin_transport::dtls::{ClientSettings, Credential as Own};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, PKCS_ECDSA_P256_SHA256, PublicKeyData as _,
};
use zeroize::Zeroizing;

use crate::approach::{self, Approaches};
use crate::bootstraps;
use crate::credentials::{Credentials, Door, Prepared};
use crate::profiles::Profiles;
use crate::teller::Known;

/// Made credentials of runs that may have arrived that are kept besides the last that surely did:
/// more failures than this in a row, and the first of them will not be what the Client has.
const UNCONFIRMED_KEPT: usize = 3;

/// The longest common name; RFC 5280 §A.1 (ub-common-name).
const COMMON_NAME_BYTES_MAX: usize = 64;

/// Decides what Clients are given. Clones share it.
#[derive(Clone)]
pub(crate) struct Provisioning(Arc<Parts>);

/// What it is made of.
pub(crate) struct Parts {
    pub(crate) profiles: Profiles,
    pub(crate) credentials: Credentials,
    pub(crate) known: Arc<Known>,
    pub(crate) store: Arc<dyn Store>,
    /// What the Server shows to Clients.
    pub(crate) server: ServerPublic,
    /// The shard that has the run of a Client: there is one run per name in all shards.
    pub(crate) runs: Mutex<HashMap<EndpointName, usize>>,
    /// What we show to Clients that listen for us.
    pub(crate) own: Option<Own>,
    /// Which shard speaks to which Client that has not asked.
    pub(crate) approaches: Approaches,
}

/// What the Server shows to Clients, in DER: Clients that are to trust it need it beforehand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerPublic {
    /// Its SubjectPublicKeyInfo.
    pub public_key: Option<Vec<u8>>,
    /// Its certificate.
    pub certificate: Option<Vec<u8>>,
}

impl fmt::Debug for Provisioning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Provisioning(..)")
    }
}

impl Provisioning {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// What the Server shows to Clients.
    pub(crate) fn server(&self) -> &ServerPublic {
        &self.0.server
    }

    pub(crate) fn credentials(&self) -> &Credentials {
        &self.0.credentials
    }

    /// What a Client is to get that asks under this name with this identity.
    pub(crate) fn decide(
        &self,
        endpoint: &EndpointName,
        identity: &Identity,
    ) -> Result<Provision, NoProfile> {
        let allowed = self
            .0
            .credentials
            .allows(Door::Bootstrap, identity, endpoint);
        match (allowed, identity) {
            (Ok(()), _) => self.provision(endpoint),
            (Err(reason), Identity::None) => Err(NoProfile::Forbidden { reason }),
            (Err(reason), _) => Err(NoProfile::Mismatch { reason }),
        }
    }

    /// What a Client is to get, whoever asks.
    pub(crate) fn provision(&self, endpoint: &EndpointName) -> Result<Provision, NoProfile> {
        let profile = self.0.profiles.choose(endpoint).ok_or(NoProfile::Unknown)?;
        self.provision_by(&profile, endpoint)
            .map_err(|reason| NoProfile::Unusable { reason })
    }

    /// What a Client would get by this profile.
    pub(crate) fn provision_by(
        &self,
        profile: &Profile,
        endpoint: &EndpointName,
    ) -> Result<Provision, String> {
        let mut keys = Source(&self.0.server);
        profile
            .provision(endpoint, &self.0.known.registry(), &mut keys)
            .map_err(|error| format!("profile \"{}\": {error}", profile.name))
    }

    /// How a session may be opened with a Client that listens for its Bootstrap-Server.
    pub(crate) fn sessions(&self, endpoint: &EndpointName) -> Vec<ClientSettings> {
        approach::sessions(&self.0.credentials, self.0.own.as_ref(), endpoint)
    }

    pub(crate) fn approaches(&self) -> &Approaches {
        &self.0.approaches
    }

    /// The run of this Client is at that shard from now on; where it was before.
    pub(crate) fn claim(&self, endpoint: &EndpointName, shard: usize) -> Option<usize> {
        let mut runs = self.0.runs.lock().expect("nobody panics with it");
        runs.insert(endpoint.clone(), shard)
    }

    /// That shard has no run of this Client any more.
    pub(crate) fn release(&self, endpoint: &EndpointName, shard: usize) {
        let mut runs = self.0.runs.lock().expect("nobody panics with it");
        if runs.get(endpoint) == Some(&shard) {
            runs.remove(endpoint);
        }
    }

    /// The shard that has the run of this Client.
    pub(crate) fn shard_of(&self, endpoint: &EndpointName) -> Option<usize> {
        let runs = self.0.runs.lock().expect("nobody panics with it");
        runs.get(endpoint).copied()
    }

    // What was made becomes credentials, and is removed again. The caller has
    // [`Credentials::writing`].

    /// Enters what was made for a run that begins, and removes what no run that may have arrived
    /// can have left at the Client.
    pub(crate) fn prepare_begin(
        &self,
        now: Timestamp,
        endpoint: &EndpointName,
        made: &[MadeCredential],
    ) -> Result<Prepared, String> {
        let added: Result<Vec<_>, _> = made.iter().map(credential).collect();
        let mut changes = self.removals(
            endpoint,
            made.iter().map(|made| &made.proof),
            UNCONFIRMED_KEPT,
        );
        changes.push((endpoint.clone(), Change::Add(added?)));
        let prepared = self.0.credentials.prepare(now, &changes);
        prepared.map_err(|refused| refused.reason)
    }

    /// Removes what earlier runs made, now that the Client has what this one made. `None`: there
    /// is nothing to remove.
    pub(crate) fn prepare_success(&self, now: Timestamp, run: &BootstrapRun) -> Option<Prepared> {
        if run.made.is_empty() {
            return None;
        }
        let changes = self.removals(&run.endpoint, run.made.iter(), 0);
        if changes.is_empty() {
            return None;
        }
        match self.0.credentials.prepare(now, &changes) {
            Ok(prepared) => Some(prepared),
            Err(refused) => {
                tracing::warn!(client = %run.endpoint, reason = %refused.reason, "replaced credentials cannot be removed; it is tried again at the next bootstrap");
                None
            }
        }
    }

    /// What earlier runs of this Client made and nobody needs: all but what is made now, what the
    /// last run that succeeded made, and what so many later ones made, which may have arrived.
    fn removals<'a>(
        &self,
        endpoint: &EndpointName,
        now_made: impl Iterator<Item = &'a MadeProof>,
        unconfirmed_kept: usize,
    ) -> Vec<(EndpointName, Change)> {
        let history = bootstraps::history(endpoint, &*self.0.store).unwrap_or_default();
        let mut kept: Vec<MadeProof> = now_made.cloned().collect();
        let made_any = history.iter().filter(|run| !run.made.is_empty());
        let mut unconfirmed = 0;
        let mut dropped = Vec::new();
        let mut confirmed = unconfirmed_kept == 0;
        for run in made_any {
            let keep = match run.state {
                RunState::Succeeded => !std::mem::replace(&mut confirmed, true),
                _ if confirmed => false,
                _ => {
                    unconfirmed += 1;
                    unconfirmed <= unconfirmed_kept
                }
            };
            let list = if keep { &mut kept } else { &mut dropped };
            list.extend(run.made.iter().cloned());
        }
        let known = self.0.credentials.of(endpoint);
        let gone = dropped.iter().filter(|made| !kept.contains(made));
        let gone = gone.filter_map(|made| known.iter().find(|one| is(one, made)));
        gone.map(|one| (endpoint.clone(), Change::Remove(one.id)))
            .collect()
    }
}

/// Whether a credential is the one that was made.
fn is(credential: &Credential, made: &MadeProof) -> bool {
    match (&credential.proof, made) {
        (Proof::Psk { identity }, MadeProof::PreSharedKey(made)) => *identity == made.as_bytes(),
        (Proof::Rpk { fingerprint: known }, MadeProof::RawPublicKey(made))
        | (
            Proof::Certificate {
                fingerprint: known, ..
            },
            MadeProof::Certificate(made),
        ) => *known == fingerprint(made),
        _ => false,
    }
}

/// What was made, as a credential for the door it was made for.
fn credential(made: &MadeCredential) -> Result<NewCredential, String> {
    let doors = match made.server {
        Some(_) => Doors::Server,
        None => Doors::Bootstrap,
    };
    match (&made.proof, &made.key) {
        (MadeProof::PreSharedKey(identity), Some(key)) => {
            let key = Key::new(Zeroizing::new(key.as_bytes().to_vec()))?;
            NewCredential::psk(identity.as_bytes(), key, doors)
        }
        (MadeProof::PreSharedKey(_), None) => Err("A pre-shared key is missing.".into()),
        (MadeProof::RawPublicKey(key), _) => NewCredential::rpk(&base64(key), doors),
        (MadeProof::Certificate(certificate), _) => {
            NewCredential::certificate(&base64(certificate), doors)
        }
    }
}

/// As the API takes keys and certificates.
fn base64(bytes: &[u8]) -> String {
    data_encoding::BASE64.encode(bytes)
}

/// A certificate signed by its own key: the Server knows it by its fingerprint, so nobody has to
/// vouch for it. The name in it is for people; Clients without a clock need no dates in it, and it
/// has those that are always right.
fn certificate_of(pair: &rcgen::KeyPair, endpoint: &EndpointName) -> Result<Vec<u8>, rcgen::Error> {
    let name = endpoint.as_str();
    let end = (0..=COMMON_NAME_BYTES_MAX.min(name.len()))
        .rev()
        .find(|at| name.is_char_boundary(*at));
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, &name[..end.unwrap_or(0)]);
    let mut params = CertificateParams::default();
    params.distinguished_name = subject;
    Ok(params.self_signed(pair)?.der().to_vec())
}

/// Keys from the system's randomness.
struct Source<'a>(&'a ServerPublic);

impl KeySource for Source<'_> {
    fn random(&mut self, bytes: &mut [u8]) {
        rand::fill(bytes).expect("the operating system gives random bytes");
    }

    fn key_pair(&mut self, kind: PairKind, endpoint: &EndpointName) -> Option<KeyPair> {
        let pair = rcgen::KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).ok()?;
        let private = Secret::new(Zeroizing::new(pair.serialize_der()).as_slice());
        let public = match kind {
            PairKind::RawPublicKey => pair.subject_public_key_info(),
            PairKind::Certificate => certificate_of(&pair, endpoint).ok()?,
        };
        Some(KeyPair { public, private })
    }

    fn server_public(&self, kind: PairKind) -> Option<Vec<u8>> {
        match kind {
            PairKind::RawPublicKey => self.0.public_key.clone(),
            PairKind::Certificate => self.0.certificate.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootstraps::tests::run;
    use crate::vault::Vault;
    use dunlin_lwm2m::ShortServerId;
    use dunlin_server::bootstrap::{Keys, ProfileName, RunFailure, Selector, ServerAccount};
    use dunlin_store::{Batch, Journal as _, MemoryStore, Retention};

    struct Fixture {
        store: Arc<MemoryStore>,
        provisioning: Provisioning,
        clock_ms: u64,
    }

    impl Fixture {
        fn new() -> Self {
            let store = Arc::new(MemoryStore::new(Retention::default()));
            let vault = Arc::new(Vault::ephemeral());
            let known = Arc::new(Known::default());
            known.set_registry(dunlin_lwm2m::Registry::bundled());
            let provisioning = Provisioning::new(Parts {
                profiles: Profiles::load(&*store, vault.clone()).unwrap(),
                credentials: Credentials::load(&*store, vault).unwrap(),
                known,
                store: store.clone(),
                server: ServerPublic {
                    public_key: Some(vec![0x30, 1, 0]),
                    certificate: Some(vec![0x30, 1, 0]),
                },
                runs: Mutex::default(),
                own: None,
                approaches: Approaches::default(),
            });
            Self {
                store,
                provisioning,
                clock_ms: 1_000,
            }
        }

        fn apply(&self, mut prepared: Prepared) {
            let mut batch = Batch::default();
            batch.facts.append(&mut prepared.facts);
            self.store.commit_many(&[batch]).unwrap();
            self.provisioning.credentials().apply(prepared);
        }

        /// A run of this Client from its begin to its end; what it made.
        fn run(&mut self, keys: Keys, state: RunState) -> Vec<MadeCredential> {
            self.clock_ms += 1;
            let (at, name) = (Timestamp(self.clock_ms), EndpointName::new("lamp").unwrap());
            let id = ShortServerId::new(1).unwrap();
            let mut profile = Profile::new(ProfileName::new("p").unwrap(), Selector::Default);
            profile
                .servers
                .push(ServerAccount::new(id, "coaps://a", keys));
            let provision = self.provisioning.provision_by(&profile, &name).unwrap();
            let made = provision.made;
            let prepared = self.provisioning.prepare_begin(at, &name, &made).unwrap();
            self.apply(prepared);
            let mut ended = run("lamp", self.clock_ms.into(), self.clock_ms);
            ended.state = state;
            ended.made = made.iter().map(|one| one.proof.clone()).collect();
            let mut batch = Batch::default();
            bootstraps::end(&ended, &*self.store, &mut batch);
            self.store.commit_many(&[batch]).unwrap();
            if ended.state == RunState::Succeeded
                && let Some(prepared) = self.provisioning.prepare_success(at, &ended)
            {
                self.apply(prepared);
            }
            made
        }

        fn opens(&self, made: &MadeCredential) -> bool {
            let credentials = self.provisioning.credentials();
            match &made.proof {
                MadeProof::PreSharedKey(identity) => {
                    let key = credentials.psk(Door::Server, identity.as_bytes());
                    key.is_some_and(|key| key.expose() == made.key.as_ref().unwrap().as_bytes())
                }
                MadeProof::RawPublicKey(key) => credentials.rpk(Door::Server, &fingerprint(key)),
                MadeProof::Certificate(one) => {
                    credentials.certificate(Door::Server, &fingerprint(one))
                }
            }
        }
    }

    fn psk() -> Keys {
        Keys::PreSharedKey {
            identity: None,
            key: None,
        }
    }

    #[test]
    fn keys_that_were_made_open_at_once_and_old_ones_no_longer_than_needed() {
        let mut fixture = Fixture::new();
        let failed = || RunState::Failed(RunFailure::Inconsistent { said: None });
        let first = fixture.run(psk(), RunState::Succeeded);
        let second = fixture.run(psk(), failed());
        assert!(fixture.opens(&first[0]), "the Client may have it still");
        assert!(fixture.opens(&second[0]), "or this one already");
        let third = fixture.run(psk(), RunState::Succeeded);
        assert!(fixture.opens(&third[0]));
        assert!(!fixture.opens(&first[0]) && !fixture.opens(&second[0]));
        let name = EndpointName::new("lamp").unwrap();
        assert_eq!(fixture.provisioning.credentials().of(&name).len(), 1);
        // Any number of failures fills nothing.
        let failures: Vec<_> = (0..30).map(|_| fixture.run(psk(), failed())).collect();
        assert!(fixture.opens(&failures[29][0]) && fixture.opens(&failures[27][0]));
        assert!(!fixture.opens(&failures[0][0]));
        let left = fixture.provisioning.credentials().of(&name).len();
        assert!(left <= 2 + UNCONFIRMED_KEPT, "{left}");
    }

    #[test]
    fn key_pairs_and_certificates_are_made_and_known() {
        let mut fixture = Fixture::new();
        let rpk = Keys::RawPublicKey {
            client: None,
            server: None,
        };
        let made = fixture.run(rpk, RunState::Succeeded);
        assert!(fixture.opens(&made[0]));
        let x509 = Keys::Certificate {
            client: None,
            server: None,
        };
        let certificate = fixture.run(x509, RunState::Succeeded);
        assert!(fixture.opens(&certificate[0]) && !fixture.opens(&made[0]));
        let name = EndpointName::new("lamp").unwrap();
        let known = fixture.provisioning.credentials().of(&name);
        assert!(matches!(
            &known[0].proof,
            Proof::Certificate { subject: Some(subject), .. } if subject == "lamp"
        ));
        let long = EndpointName::new(&"ü".repeat(100)).unwrap();
        let source = ServerPublic::default();
        assert!(
            Source(&source)
                .key_pair(PairKind::Certificate, &long)
                .is_some()
        );
    }

    #[test]
    fn credentials_of_the_operator_stay() {
        let mut fixture = Fixture::new();
        let name = EndpointName::new("lamp").unwrap();
        let key = Key::new(Zeroizing::new(vec![7; 16])).unwrap();
        let own = NewCredential::psk(b"lamp", key, Doors::Server).unwrap();
        let change = [(name.clone(), Change::Add(vec![own]))];
        let prepared = fixture
            .provisioning
            .credentials()
            .prepare(Timestamp(1), &change)
            .unwrap();
        fixture.apply(prepared);
        for _ in 0..3 {
            fixture.run(psk(), RunState::Succeeded);
        }
        assert_eq!(fixture.provisioning.credentials().of(&name).len(), 2);
        assert!(
            fixture
                .provisioning
                .credentials()
                .psk(Door::Server, b"lamp")
                .is_some()
        );
    }

    #[test]
    fn who_may_not_bootstrap_is_told_what_differs() {
        let fixture = Fixture::new();
        let name = EndpointName::new("lamp").unwrap();
        let decide = |identity: &Identity| fixture.provisioning.decide(&name, identity);
        assert_eq!(decide(&Identity::None), Err(NoProfile::Unknown));
        let stranger = Identity::PreSharedKey((*b"other").into());
        assert!(matches!(decide(&stranger), Err(NoProfile::Mismatch { .. })));
        let key = Key::new(Zeroizing::new(vec![7; 16])).unwrap();
        let own = NewCredential::psk(b"lamp", key, Doors::Bootstrap).unwrap();
        let change = [(name.clone(), Change::Add(vec![own]))];
        let credentials = fixture.provisioning.credentials();
        let prepared = credentials.prepare(Timestamp(1), &change).unwrap();
        fixture.apply(prepared);
        assert!(matches!(
            decide(&Identity::None),
            Err(NoProfile::Forbidden { .. })
        ));
        let own = Identity::PreSharedKey((*b"lamp").into());
        assert_eq!(decide(&own), Err(NoProfile::Unknown));
    }
}
