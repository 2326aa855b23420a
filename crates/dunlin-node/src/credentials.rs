//! Who may connect, and under which name: the credentials of all Clients, in memory and in the store.
//!
//! Shards ask while a handshake or a Register waits, so every answer comes from memory; each row of
//! the store is sealed ([`crate::vault`]). A change is prepared (checked against everything else),
//! committed by whoever prepared it, then applied: the index changes and everybody who subscribed
//! hears whose proof is not good any more.
//!
//! The rules of TS 1.0 §7.1.7 to §7.1.10, as [`Credentials::allows`] has them:
//! - a PSK identity, a raw public key and a pinned certificate belong to one endpoint name at each
//!   door, and open for that name alone;
//! - a certificate that a trusted authority issued opens for the name to which its common name or one
//!   of its alternative names was entered; where nothing was entered for a name, it opens for the name
//!   that it bears itself;
//! - without security, only a name with no credentials is let in: otherwise whoever knows a name could
//!   take the place of the Client that has proved it.

mod index;
mod row;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, RwLock};

use dunlin_api::credential::{
    CREDENTIALS_PER_ENDPOINT_MAX, Change, Counts, Credential, CredentialId, Doors, Key,
    NewCredential, Proof, Query, Refused,
};
use dunlin_api::time::Timestamp;
use dunlin_lwm2m::EndpointName;
use dunlin_store::{Fact, Store};
use dunlin_transport::Identity;

use crate::facts::LoadError;
use crate::vault::Vault;
use index::Index;
pub(crate) use row::validate;

/// How a refusal says that what was shown is somebody else's: then there is no line that would let it in.
pub(crate) const BELONGS_TO: &str = "belongs to";

/// Where a Client knocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Door {
    /// The Server.
    Server,
    /// The Bootstrap-Server.
    Bootstrap,
}

impl Door {
    fn is_among(self, doors: Doors) -> bool {
        match self {
            Self::Server => doors.server(),
            Self::Bootstrap => doors.bootstrap(),
        }
    }
}

/// A credential as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) id: CredentialId,
    pub(crate) proof: Proof,
    pub(crate) key: Option<Key>,
    pub(crate) doors: Doors,
    pub(crate) added_at: Timestamp,
}

impl Kept {
    fn is(&self, new: &NewCredential) -> bool {
        self.proof.is_same(&new.proof) && self.key == new.key && self.doors == new.doors
    }

    /// What may be shown of it.
    pub(crate) fn shown(&self) -> Credential {
        Credential {
            id: self.id,
            proof: self.proof.clone(),
            doors: self.doors,
            added_at: self.added_at,
        }
    }
}

/// A change that was checked: its facts are to be committed, then it is applied.
#[derive(Debug)]
pub(crate) struct Prepared {
    after: BTreeMap<EndpointName, Vec<Kept>>,
    pub(crate) facts: Vec<Fact>,
    pub(crate) counts: Counts,
}

/// A proof that is not good any more, or not for all the doors where it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Revoked {
    /// Whose it was.
    pub(crate) endpoint: EndpointName,
    /// Where it does not open any more.
    pub(crate) doors: Doors,
    /// The proof.
    pub(crate) proof: Proof,
}

impl Revoked {
    /// Whether a peer with this identity, let in at this door, was let in by the revoked proof.
    #[must_use]
    pub(crate) fn concerns(&self, door: Door, identity: &Identity) -> bool {
        door.is_among(self.doors)
            && match (&self.proof, identity) {
                (Proof::Psk { identity }, Identity::PreSharedKey(shown)) => **shown == **identity,
                (Proof::Rpk { fingerprint }, Identity::RawPublicKey(shown)) => shown == fingerprint,
                (Proof::Certificate { fingerprint, .. }, Identity::Certificate(shown)) => {
                    shown.fingerprint == *fingerprint
                }
                (Proof::Subject(name), Identity::Certificate(shown)) => {
                    shown.common_name.as_ref() == Some(name)
                        || shown.alternative_names.iter().any(|one| one == name)
                }
                _ => false,
            }
    }
}

/// What subscribers hear after a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changed {
    /// The names whose credentials are others now: what is live under them may be judged anew with
    /// [`Credentials::allows`].
    pub(crate) endpoints: Vec<EndpointName>,
    /// The proofs that are not good any more: sessions made by them are to be closed.
    pub(crate) revoked: Vec<Revoked>,
}

type Listener = Box<dyn Fn(&Arc<Changed>) + Send + Sync>;

/// All credentials. Clones share them.
#[derive(Clone)]
pub(crate) struct Credentials(Arc<Shared>);

struct Shared {
    vault: Arc<Vault>,
    /// Held for a look-up, and by a writer for the exchange of what changed; never over a commit.
    index: RwLock<Index>,
    listeners: Mutex<Vec<Listener>>,
    /// One change at a time, from its preparation until it is applied.
    writing: tokio::sync::Mutex<()>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

impl Credentials {
    /// Reads what the store holds.
    pub(crate) fn load(store: &dyn Store, vault: Arc<Vault>) -> Result<Self, LoadError> {
        let mut index = Index::default();
        row::load(store, &vault, |endpoint, kept| index.insert(endpoint, kept))?;
        Ok(Self(Arc::new(Shared {
            vault,
            index: RwLock::new(index),
            listeners: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
        })))
    }

    fn index(&self) -> std::sync::RwLockReadGuard<'_, Index> {
        self.0.index.read().expect("nobody panics while writing")
    }

    // What shards ask.

    /// The key of a PSK identity at this door.
    #[must_use]
    pub(crate) fn psk(&self, door: Door, identity: &[u8]) -> Option<Key> {
        let proof = Proof::Psk {
            identity: identity.to_vec(),
        };
        self.index().find(door, &proof)?.key.clone()
    }

    /// Whether the key pair with this public key (SHA-256 over its SubjectPublicKeyInfo) opens here.
    #[must_use]
    pub(crate) fn rpk(&self, door: Door, spki_sha256: &[u8; 32]) -> bool {
        let fingerprint = *spki_sha256;
        self.index()
            .find(door, &Proof::Rpk { fingerprint })
            .is_some()
    }

    /// Whether this very certificate (SHA-256 over its DER) was entered: then it is good whoever issued
    /// it. Any other one is good only with a path to a trust anchor.
    #[must_use]
    pub(crate) fn certificate(&self, door: Door, fingerprint: &[u8; 32]) -> bool {
        self.index().find(door, &pinned(fingerprint)).is_some()
    }

    /// Whether a peer with this proved identity may use this endpoint name here.
    ///
    /// # Errors
    /// What differed, as a sentence for the peer and for whoever reads the knocks.
    pub(crate) fn allows(
        &self,
        door: Door,
        identity: &Identity,
        endpoint: &EndpointName,
    ) -> Result<(), String> {
        self.index().allows(door, identity, endpoint)
    }

    /// What to do after every change, such as to wake the shards. Called by whoever makes the change:
    /// must not wait.
    pub(crate) fn subscribe(&self, listener: impl Fn(&Arc<Changed>) + Send + Sync + 'static) {
        let mut listeners = self.0.listeners.lock().expect("nobody panics with it");
        listeners.push(Box::new(listener));
    }

    // What the API asks.

    /// The credentials of one endpoint name, the oldest first.
    pub(crate) fn of(&self, endpoint: &EndpointName) -> Vec<Credential> {
        self.index().of(endpoint).iter().map(Kept::shown).collect()
    }

    /// What a Client and this door know each other by, with the keys, the newest first.
    pub(crate) fn of_door(&self, door: Door, endpoint: &EndpointName) -> Vec<(Proof, Option<Key>)> {
        let index = self.index();
        let all = index.of(endpoint).iter().rev();
        all.filter(|one| door.is_among(one.doors))
            .map(|one| (one.proof.clone(), one.key.clone()))
            .collect()
    }

    /// A page of endpoint names with their credentials, in order.
    pub(crate) fn list(&self, query: &Query) -> Vec<(EndpointName, Vec<Credential>)> {
        self.index().list(query)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.index().count()
    }

    // Changing them.

    /// Keeps others from changing anything while a change is prepared, committed and applied.
    pub(crate) async fn writing(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.0.writing.lock().await
    }

    /// Checks changes against each other and against everything there is. Every endpoint name
    /// may stand in several of them.
    pub(crate) fn prepare(
        &self,
        now: Timestamp,
        changes: &[(EndpointName, Change)],
    ) -> Result<Prepared, Refused> {
        let index = self.index();
        let mut after: BTreeMap<EndpointName, Vec<Kept>> = BTreeMap::new();
        let mut counts = Counts::default();
        for (number, (endpoint, change)) in changes.iter().enumerate() {
            let kept = after
                .entry(endpoint.clone())
                .or_insert_with(|| index.of(endpoint).to_vec());
            make(kept, change, now, &mut counts).map_err(|(credential, reason)| Refused {
                change: number,
                credential,
                reason: format!("{endpoint}: {reason}"),
                taken: false,
            })?;
        }
        index.check(&after, changes)?;
        let facts = self.facts(&index, &after);
        Ok(Prepared {
            after,
            facts,
            counts,
        })
    }

    fn facts(&self, index: &Index, after: &BTreeMap<EndpointName, Vec<Kept>>) -> Vec<Fact> {
        let mut facts = Vec::new();
        for (endpoint, kept) in after {
            let before = index.of(endpoint);
            for old in before {
                if kept.iter().all(|one| one.id != old.id) {
                    facts.push(row::delete(endpoint, old.id));
                }
            }
            for one in kept.iter().filter(|one| !before.contains(one)) {
                facts.push(row::put(&self.0.vault, endpoint, one));
            }
        }
        facts
    }

    /// Makes a change visible, after its facts are durable, and tells the subscribers.
    pub(crate) fn apply(&self, prepared: Prepared) {
        let mut changed = Changed::default();
        {
            let mut index = self.0.index.write().expect("nobody panics while writing");
            for (endpoint, after) in prepared.after {
                let before = index.replace(&endpoint, after.clone());
                if before == after {
                    continue;
                }
                let gone = before
                    .iter()
                    .filter_map(|old| revoked(&endpoint, old, &after));
                changed.revoked.extend(gone);
                changed.endpoints.push(endpoint);
            }
        }
        if changed.endpoints.is_empty() {
            return;
        }
        let changed = Arc::new(changed);
        let listeners = self.0.listeners.lock().expect("nobody panics with it");
        for listener in listeners.iter() {
            listener(&changed);
        }
    }
}

fn pinned(fingerprint: &[u8; 32]) -> Proof {
    Proof::Certificate {
        fingerprint: *fingerprint,
        subject: None,
        not_after: None,
    }
}

/// Carries one change out on the list of its endpoint name.
fn make(
    kept: &mut Vec<Kept>,
    change: &Change,
    now: Timestamp,
    counts: &mut Counts,
) -> Result<(), (usize, String)> {
    match change {
        Change::Remove(id) => {
            let before = kept.len();
            kept.retain(|one| one.id != *id);
            counts.removed += before - kept.len();
        }
        Change::Add(added) => {
            for (number, new) in added.iter().enumerate() {
                add(kept, new, now, counts).map_err(|reason| (number, reason))?;
            }
        }
        Change::Replace(added) => {
            distinct(added)?;
            let before = kept.len();
            kept.retain(|one| {
                added
                    .iter()
                    .any(|new| one.proof.is_same(&new.proof) && one.doors.overlap(new.doors))
            });
            counts.removed += before - kept.len();
            for (number, new) in added.iter().enumerate() {
                add(kept, new, now, counts).map_err(|reason| (number, reason))?;
            }
        }
    }
    Ok(())
}

/// In a list that is to be the whole, one proof twice is a mistake.
fn distinct(added: &[NewCredential]) -> Result<(), (usize, String)> {
    for (number, new) in added.iter().enumerate() {
        let twice = added[..number]
            .iter()
            .any(|one| one.proof.is_same(&new.proof) && one.doors.overlap(new.doors));
        if twice {
            return Err((number, format!("{} stands twice", new.proof)));
        }
    }
    Ok(())
}

fn add(
    kept: &mut Vec<Kept>,
    new: &NewCredential,
    now: Timestamp,
    counts: &mut Counts,
) -> Result<(), String> {
    if kept.iter().any(|one| one.is(new)) {
        counts.unchanged += 1;
        return Ok(());
    }
    let before = kept.len();
    let takes_place = |one: &Kept| one.proof.is_same(&new.proof) && one.doors.overlap(new.doors);
    kept.retain(|one| !takes_place(one));
    if kept.len() < before {
        counts.altered += 1;
    } else {
        counts.added += 1;
    }
    if kept.len() >= CREDENTIALS_PER_ENDPOINT_MAX {
        return Err(format!(
            "{CREDENTIALS_PER_ENDPOINT_MAX} credentials are the most for one name; remove an old one first"
        ));
    }
    kept.push(Kept {
        id: fresh_id(kept),
        proof: new.proof.clone(),
        key: new.key.clone(),
        doors: new.doors,
        added_at: now,
    });
    Ok(())
}

/// A number that no other credential of the name has.
fn fresh_id(kept: &[Kept]) -> CredentialId {
    loop {
        let mut bytes = [0; 4];
        aws_lc_rs::rand::fill(&mut bytes).expect("the operating system gives random bytes");
        let id = CredentialId(u32::from_be_bytes(bytes));
        if kept.iter().all(|one| one.id != id) {
            return id;
        }
    }
}

/// Where a proof opened before and does not now, if anywhere. With another key it is another proof.
fn revoked(endpoint: &EndpointName, old: &Kept, after: &[Kept]) -> Option<Revoked> {
    let still = |door: Door| {
        after.iter().any(|one| {
            one.proof.is_same(&old.proof) && one.key == old.key && door.is_among(one.doors)
        })
    };
    let gone = |door: Door| door.is_among(old.doors) && !still(door);
    let doors = match (gone(Door::Server), gone(Door::Bootstrap)) {
        (true, true) => Doors::Both,
        (true, false) => Doors::Server,
        (false, true) => Doors::Bootstrap,
        (false, false) => return None,
    };
    Some(Revoked {
        endpoint: endpoint.clone(),
        doors,
        proof: old.proof.clone(),
    })
}

/// Names of the modes that stand for a name, for a sentence.
fn modes(kept: &[&Kept]) -> String {
    let modes: BTreeSet<&str> = kept.iter().map(|one| one.proof.mode()).collect();
    modes.into_iter().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use dunlin_store::{Batch, Journal as _, MemoryStore, Retention};

    use super::*;
    use dunlin_transport::CertificateIdentity;

    const ONE: &str = "000102030405060708090a0b0c0d0e0f";
    const TWO: &str = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff";

    fn name(text: &str) -> EndpointName {
        EndpointName::new(text).unwrap()
    }

    fn psk(identity: &str, key: &str, doors: Doors) -> NewCredential {
        NewCredential::psk(identity.as_bytes(), Key::parse(key).unwrap(), doors).unwrap()
    }

    fn of(proof: Proof, doors: Doors) -> NewCredential {
        NewCredential {
            proof,
            key: None,
            doors,
        }
    }

    fn subject(text: &str) -> NewCredential {
        NewCredential::subject(text, Doors::Both).unwrap()
    }

    fn issued(names: &[&str]) -> Identity {
        let mut names = names.iter().map(ToString::to_string);
        Identity::Certificate(Box::new(CertificateIdentity {
            fingerprint: [9; 32],
            common_name: names.next(),
            alternative_names: names.collect(),
        }))
    }

    struct Fixture {
        store: MemoryStore,
        vault: Arc<Vault>,
        credentials: Credentials,
        heard: Arc<Mutex<Vec<Arc<Changed>>>>,
    }

    impl Fixture {
        fn new() -> Self {
            let retention = Retention {
                bytes_max: 1_000_000,
                age_max_ms: 1_000_000,
            };
            let store = MemoryStore::new(retention);
            let vault = Arc::new(Vault::ephemeral());
            let credentials = Credentials::load(&store, vault.clone()).unwrap();
            let heard: Arc<Mutex<Vec<Arc<Changed>>>> = Arc::default();
            let into = heard.clone();
            credentials.subscribe(move |changed| into.lock().unwrap().push(changed.clone()));
            Self {
                store,
                vault,
                credentials,
                heard,
            }
        }

        fn change(&self, changes: &[(&str, Change)]) -> Result<Counts, Refused> {
            let changes: Vec<_> = changes
                .iter()
                .map(|(endpoint, change)| (name(endpoint), change.clone()))
                .collect();
            let prepared = self.credentials.prepare(Timestamp(7), &changes)?;
            let counts = prepared.counts;
            let mut batch = Batch::new(7);
            batch.facts.extend(prepared.facts.iter().cloned());
            self.store.commit(&batch).unwrap();
            self.credentials.apply(prepared);
            Ok(counts)
        }

        fn put(&self, endpoint: &str, added: &[NewCredential]) -> Result<Counts, Refused> {
            self.change(&[(endpoint, Change::Replace(added.to_vec()))])
        }

        fn allows(&self, identity: &Identity, endpoint: &str) -> Result<(), String> {
            self.credentials
                .allows(Door::Server, identity, &name(endpoint))
        }

        fn revoked(&self) -> Vec<Revoked> {
            let heard = std::mem::take(&mut *self.heard.lock().unwrap());
            heard.iter().flat_map(|one| one.revoked.clone()).collect()
        }
    }

    #[test]
    fn ts_7_1_7_a_psk_identity_opens_for_its_own_name_alone() {
        let fixture = Fixture::new();
        fixture
            .put("lamp", &[psk("id-1", ONE, Doors::Server)])
            .unwrap();
        let key = fixture.credentials.psk(Door::Server, b"id-1").unwrap();
        assert_eq!(key, Key::parse(ONE).unwrap());
        assert_eq!(fixture.credentials.psk(Door::Bootstrap, b"id-1"), None);
        assert_eq!(fixture.credentials.psk(Door::Server, b"id-2"), None);
        let identity = Identity::PreSharedKey((*b"id-1").into());
        assert_eq!(fixture.allows(&identity, "lamp"), Ok(()));
        // Also not for the name that equals the identity: it was entered for another.
        let refused = fixture.allows(&identity, "id-1").unwrap_err();
        assert!(
            refused.contains("\"lamp\"") && refused.contains("\"id-1\""),
            "{refused}"
        );
        let unknown = Identity::PreSharedKey((*b"id-2").into());
        assert!(fixture.allows(&unknown, "lamp").is_err());
    }

    #[test]
    fn ts_7_1_8_a_raw_public_key_is_looked_up() {
        let fixture = Fixture::new();
        let fingerprint = [5; 32];
        let key = of(Proof::Rpk { fingerprint }, Doors::Both);
        fixture.put("lamp", &[key]).unwrap();
        assert!(fixture.credentials.rpk(Door::Bootstrap, &fingerprint));
        assert!(!fixture.credentials.rpk(Door::Server, &[6; 32]));
        let identity = Identity::RawPublicKey(fingerprint);
        assert_eq!(fixture.allows(&identity, "lamp"), Ok(()));
        assert!(
            fixture
                .allows(&identity, "other")
                .unwrap_err()
                .contains("\"lamp\"")
        );
    }

    #[test]
    fn ts_7_1_9_certificates_open_by_pin_by_entered_name_or_by_their_own() {
        let fixture = Fixture::new();
        assert_eq!(fixture.allows(&issued(&["lamp"]), "lamp"), Ok(()));
        assert_eq!(
            fixture.allows(&issued(&["x", "urn:uuid:1"]), "urn:uuid:1"),
            Ok(())
        );
        let refused = fixture
            .allows(&issued(&["lamp", "urn:1"]), "bulb")
            .unwrap_err();
        assert!(refused.contains("\"lamp\", \"urn:1\""), "{refused}");
        assert!(
            fixture
                .allows(&issued(&[]), "lamp")
                .unwrap_err()
                .contains("no name")
        );

        fixture.put("lamp", &[subject("CN of lamp")]).unwrap();
        assert_eq!(fixture.allows(&issued(&["CN of lamp"]), "lamp"), Ok(()));
        let refused = fixture.allows(&issued(&["lamp"]), "lamp").unwrap_err();
        assert!(refused.contains("other credentials (x509)"), "{refused}");
        // The entered name wins over the equal one.
        assert!(
            fixture
                .allows(&issued(&["CN of lamp"]), "CN of lamp")
                .is_err()
        );

        fixture
            .put("pinned", &[of(pinned(&[9; 32]), Doors::Server)])
            .unwrap();
        assert!(fixture.credentials.certificate(Door::Server, &[9; 32]));
        assert!(!fixture.credentials.certificate(Door::Bootstrap, &[9; 32]));
        assert_eq!(fixture.allows(&issued(&["whatever"]), "pinned"), Ok(()));
        // A certificate that is pinned for one name cannot claim another by what it says of itself.
        assert!(fixture.allows(&issued(&["CN of lamp"]), "lamp").is_err());
    }

    #[test]
    fn without_security_a_name_with_credentials_is_not_given_away() {
        let fixture = Fixture::new();
        assert_eq!(fixture.allows(&Identity::None, "lamp"), Ok(()));
        fixture
            .put("lamp", &[psk("id", ONE, Doors::Server)])
            .unwrap();
        let refused = fixture.allows(&Identity::None, "lamp").unwrap_err();
        assert!(refused.contains("(psk)"), "{refused}");
        let door = Door::Bootstrap;
        assert!(
            fixture
                .credentials
                .allows(door, &Identity::None, &name("lamp"))
                .is_ok()
        );
    }

    #[test]
    fn rows_are_sealed_and_come_back_at_the_next_start() {
        let fixture = Fixture::new();
        let added = [
            psk("id-1", ONE, Doors::Server),
            of(pinned(&[3; 32]), Doors::Both),
            of(
                Proof::Rpk {
                    fingerprint: [4; 32],
                },
                Doors::Bootstrap,
            ),
            subject("CN"),
        ];
        fixture.put("lamp", &added).unwrap();
        let rows = fixture
            .store
            .scan(dunlin_store::Table::Credentials, &[], 10)
            .unwrap();
        assert_eq!(rows.len(), 4);
        let key = Key::parse(ONE).unwrap();
        for row in &rows {
            assert!(!row.value.windows(16).any(|window| window == key.expose()));
            assert!(!row.value.windows(4).any(|window| window == b"id-1"));
            assert_eq!(validate(&row.key, &row.value), Ok(()));
        }
        let again = Credentials::load(&fixture.store, fixture.vault.clone()).unwrap();
        let sorted = |mut list: Vec<Credential>| {
            list.sort_by_key(|one| one.id);
            list
        };
        let lamp = name("lamp");
        assert_eq!(
            sorted(again.of(&lamp)),
            sorted(fixture.credentials.of(&lamp))
        );
        assert_eq!(again.psk(Door::Server, b"id-1"), Some(key));
        let stranger = Arc::new(Vault::ephemeral());
        let error = Credentials::load(&fixture.store, stranger)
            .unwrap_err()
            .to_string();
        assert!(error.contains("key file"), "{error}");
    }

    #[test]
    fn roll_over_has_two_at_a_time_and_loses_one() {
        let fixture = Fixture::new();
        let (old, new) = (psk("old", ONE, Doors::Both), psk("new", TWO, Doors::Both));
        fixture.put("lamp", std::slice::from_ref(&old)).unwrap();
        fixture.change(&[("lamp", Change::Add(vec![new]))]).unwrap();
        for identity in ["old", "new"] {
            let identity = Identity::PreSharedKey(identity.as_bytes().into());
            assert_eq!(fixture.allows(&identity, "lamp"), Ok(()));
        }
        assert_eq!(fixture.revoked(), []);
        let id = fixture.credentials.of(&name("lamp"))[0].id;
        fixture.change(&[("lamp", Change::Remove(id))]).unwrap();
        let [gone] = &fixture.revoked()[..] else {
            panic!("one is gone");
        };
        assert_eq!((&gone.proof, gone.doors), (&old.proof, Doors::Both));
        assert!(gone.concerns(Door::Server, &Identity::PreSharedKey((*b"old").into())));
        assert!(!gone.concerns(Door::Server, &Identity::PreSharedKey((*b"new").into())));
        assert_eq!(fixture.credentials.psk(Door::Server, b"old"), None);
    }

    #[test]
    fn another_key_or_fewer_doors_revoke_what_was() {
        let fixture = Fixture::new();
        fixture.put("lamp", &[psk("id", ONE, Doors::Both)]).unwrap();
        assert_eq!(
            fixture
                .put("lamp", &[psk("id", TWO, Doors::Both)])
                .unwrap()
                .altered,
            1
        );
        assert_eq!(fixture.revoked()[0].doors, Doors::Both);
        fixture
            .put("lamp", &[psk("id", TWO, Doors::Server)])
            .unwrap();
        assert_eq!(fixture.revoked()[0].doors, Doors::Bootstrap);
        let key = fixture.credentials.psk(Door::Server, b"id").unwrap();
        assert_eq!(key, Key::parse(TWO).unwrap());
    }

    #[test]
    fn the_same_again_changes_nothing() {
        let fixture = Fixture::new();
        let both = [psk("id", ONE, Doors::Both), subject("CN")];
        assert_eq!(fixture.put("lamp", &both).unwrap().added, 2);
        let before = fixture.credentials.of(&name("lamp"));
        fixture.heard.lock().unwrap().clear();
        let changes = [(name("lamp"), Change::Replace(both.to_vec()))];
        let prepared = fixture.credentials.prepare(Timestamp(8), &changes).unwrap();
        assert!(prepared.facts.is_empty());
        fixture.credentials.apply(prepared);
        assert_eq!(fixture.credentials.of(&name("lamp")), before);
        assert!(fixture.heard.lock().unwrap().is_empty());
    }

    #[test]
    fn one_proof_belongs_to_one_name_at_each_door() {
        let fixture = Fixture::new();
        fixture
            .put("lamp", &[psk("id", ONE, Doors::Server)])
            .unwrap();
        let refused = fixture
            .put("bulb", &[psk("id", TWO, Doors::Both)])
            .unwrap_err();
        assert!(
            refused.taken && refused.reason.contains("\"lamp\""),
            "{refused:?}"
        );
        fixture
            .put("bulb", &[psk("id", TWO, Doors::Bootstrap)])
            .unwrap();
        // Within one change as well, and in either order.
        for names in [["a", "b"], ["b", "a"]] {
            let change = |name| (name, Change::Add(vec![psk("new", ONE, Doors::Both)]));
            assert!(fixture.change(&names.map(change)).unwrap_err().taken);
        }
        // It moves where the other gives it up in the same change.
        let moved = [
            ("lamp", Change::Replace(vec![])),
            ("torch", Change::Add(vec![psk("id", ONE, Doors::Server)])),
        ];
        fixture.change(&moved).unwrap();
        let identity = Identity::PreSharedKey((*b"id").into());
        assert_eq!(fixture.allows(&identity, "torch"), Ok(()));
        assert_eq!(fixture.revoked().len(), 1, "what lamp has open is closed");
        let twice = [psk("x", ONE, Doors::Both), psk("x", TWO, Doors::Server)];
        let refused = fixture.put("lamp", &twice).unwrap_err();
        assert_eq!((refused.credential, refused.taken), (1, false));
    }

    #[test]
    fn a_name_has_few_credentials_and_lists_are_paged() {
        let fixture = Fixture::new();
        let many: Vec<_> = (0..17)
            .map(|number| psk(&format!("id-{number}"), ONE, Doors::Both))
            .collect();
        let refused = fixture.put("lamp", &many).unwrap_err();
        assert_eq!(refused.credential, 16);
        for (number, endpoint) in ["a", "b", "c"].into_iter().enumerate() {
            let identity = format!("id-{number}");
            fixture
                .put(endpoint, &[psk(&identity, ONE, Doors::Server)])
                .unwrap();
        }
        let list = |after: Option<&str>, limit, q: Option<&str>, doors| {
            let page = fixture.credentials.list(&Query {
                q: q.map(str::to_owned),
                doors: Some(doors),
                limit,
                after: after.map(str::to_owned),
            });
            let names = page.into_iter().map(|(endpoint, _)| endpoint.to_string());
            names.collect::<Vec<_>>()
        };
        assert_eq!(list(None, 2, None, Doors::Server), ["a", "b"]);
        assert_eq!(list(Some("b"), 2, None, Doors::Server), ["c"]);
        assert_eq!(list(None, 2, Some("C"), Doors::Both), ["c"]);
        assert!(list(None, 9, None, Doors::Bootstrap).is_empty());
        assert_eq!(fixture.credentials.count(), 3);
    }
}
