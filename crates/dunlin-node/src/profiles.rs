//! What the Bootstrap-Server writes and to whom: the profiles, in memory and sealed in the store.
//!
//! As with credentials, a change is prepared (checked), its fact is committed by whoever prepared
//! it, then it is applied. Shards ask for the profile of a Client, and get it from memory.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, RwLock};

use dunlin_lwm2m::{EndpointName, Registry};
use dunlin_server::bootstrap::{Finding, Profile, ProfileName, choose};
use dunlin_store::{CatalogKey as _, Fact, ProfileKey, Store, Table};
use zeroize::Zeroizing;

use crate::facts::{LoadError, walk};
use crate::record::{decode, encode};
use crate::vault::{self, Vault};

/// Profiles at most. Each is looked at for every Client that bootstraps; a fleet has patterns.
pub(crate) const PROFILES_MAX: usize = 10_000;

/// All profiles. Clones share them.
#[derive(Clone)]
pub(crate) struct Profiles(Arc<Shared>);

struct Shared {
    vault: Arc<Vault>,
    profiles: RwLock<BTreeMap<ProfileName, Arc<Profile>>>,
    /// One change at a time, from its preparation until it is applied.
    writing: tokio::sync::Mutex<()>,
}

impl fmt::Debug for Profiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Profiles(..)")
    }
}

/// A change that was checked: its fact is to be committed, then it is applied.
#[derive(Debug)]
pub(crate) struct Prepared {
    name: ProfileName,
    after: Option<Profile>,
    pub(crate) fact: Fact,
    /// What is worth a second look.
    pub(crate) advice: Vec<Finding>,
    /// Whether a profile of this name was there before.
    pub(crate) existed: bool,
}

/// Why a profile is not taken.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It is wrong in itself.
    Faults(Vec<Finding>),
    /// Another profile is for exactly the same Clients.
    Taken {
        /// Its name.
        by: ProfileName,
    },
    /// There are too many.
    TooMany,
}

impl Profiles {
    /// Reads what the store holds.
    pub(crate) fn load(store: &dyn Store, vault: Arc<Vault>) -> Result<Self, LoadError> {
        let mut profiles = BTreeMap::new();
        walk(store, Table::Profiles, |key, value| {
            let failed = |what: String| LoadError::Sealed {
                table: Table::Profiles,
                key: String::from_utf8_lossy(key).into_owned(),
                what,
            };
            let plain = vault
                .open_sealed(key, value)
                .map_err(|error| failed(error.to_string()))?;
            let profile: Profile = decode(&plain).map_err(|error| failed(error.to_string()))?;
            profiles.insert(profile.name.clone(), Arc::new(profile));
            Ok(())
        })?;
        Ok(Self(Arc::new(Shared {
            vault,
            profiles: RwLock::new(profiles),
            writing: tokio::sync::Mutex::default(),
        })))
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<ProfileName, Arc<Profile>>> {
        let profiles = self.0.profiles.read();
        profiles.expect("nobody panics while writing")
    }

    /// The profile for a Client.
    pub(crate) fn choose(&self, endpoint: &EndpointName) -> Option<Arc<Profile>> {
        let profiles = self.read();
        let chosen = choose(profiles.values().map(|profile| &**profile), endpoint)?;
        profiles.get(&chosen.name).cloned()
    }

    /// The profile of that name.
    pub(crate) fn named(&self, name: &ProfileName) -> Option<Arc<Profile>> {
        self.read().get(name).cloned()
    }

    /// All of them, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Profile>> {
        self.read().values().cloned().collect()
    }

    /// Keeps others from changing anything while a change is prepared, committed and applied.
    pub(crate) async fn writing(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.0.writing.lock().await
    }

    /// Checks a profile that is to be added, or to take the place of the one with its name.
    pub(crate) fn prepare(
        &self,
        profile: Profile,
        registry: &Registry,
    ) -> Result<Prepared, Refused> {
        let findings = profile.check(registry);
        if !findings.faults.is_empty() {
            return Err(Refused::Faults(findings.faults));
        }
        let profiles = self.read();
        let existed = profiles.contains_key(&profile.name);
        if !existed && profiles.len() >= PROFILES_MAX {
            return Err(Refused::TooMany);
        }
        let same = |other: &&Arc<Profile>| {
            other.name != profile.name && other.selector == profile.selector
        };
        if let Some(other) = profiles.values().find(same) {
            let by = other.name.clone();
            return Err(Refused::Taken { by });
        }
        let key = ProfileKey(profile.name.as_str().to_owned());
        let plain = Zeroizing::new(encode(&profile));
        let sealed = self.0.vault.seal(&key.encode(), &plain);
        Ok(Prepared {
            name: profile.name.clone(),
            after: Some(profile),
            fact: key.put(sealed),
            advice: findings.advice,
            existed,
        })
    }

    /// Checks that a profile is there, which is to be removed.
    pub(crate) fn prepare_removal(&self, name: &ProfileName) -> Option<Prepared> {
        self.read().contains_key(name).then(|| Prepared {
            name: name.clone(),
            after: None,
            fact: ProfileKey(name.as_str().to_owned()).delete(),
            advice: Vec::new(),
            existed: true,
        })
    }

    /// Makes a change visible, after its fact is durable.
    pub(crate) fn apply(&self, prepared: Prepared) {
        let profiles = self.0.profiles.write();
        let mut profiles = profiles.expect("nobody panics while writing");
        match prepared.after {
            Some(profile) => drop(profiles.insert(prepared.name, Arc::new(profile))),
            None => drop(profiles.remove(&prepared.name)),
        }
    }
}

/// Whether a row looks like a sealed profile; without the key no more can be said.
pub(crate) fn validate(value: &[u8]) -> Result<(), String> {
    vault::validate(value).map_err(|error| error.to_string())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use dunlin_lwm2m::ShortServerId;
    use dunlin_server::bootstrap::{Keys, Secret, Selector, ServerAccount};
    use dunlin_store::{Batch, Journal as _, MemoryStore, Retention};

    fn profile(name: &str, selector: Selector, key: &[u8]) -> Profile {
        let mut profile = Profile::new(ProfileName::new(name).unwrap(), selector);
        let keys = Keys::PreSharedKey {
            identity: Some("{endpoint}".into()),
            key: Some(Secret::new(key)),
        };
        let id = ShortServerId::new(1).unwrap();
        profile
            .servers
            .push(ServerAccount::new(id, "coaps://a", keys));
        profile
    }

    fn keep(store: &MemoryStore, profiles: &Profiles, prepared: Prepared) {
        let mut batch = Batch::default();
        batch.facts.push(prepared.fact.clone());
        store.commit_many(&[batch]).unwrap();
        profiles.apply(prepared);
    }

    #[test]
    fn profiles_are_sealed_and_found_again() {
        let store = MemoryStore::new(Retention::default());
        let vault = Arc::new(Vault::ephemeral());
        let profiles = Profiles::load(&store, vault.clone()).unwrap();
        let registry = Registry::bundled();
        let secret = b"a key that is secret";
        let all = profile("all", Selector::Default, secret);
        let lamps = profile("lamps", Selector::Pattern("lamp-*".into()), secret);
        for one in [all.clone(), lamps.clone()] {
            let prepared = profiles.prepare(one, &registry).unwrap();
            assert!(!prepared.existed);
            keep(&store, &profiles, prepared);
        }
        let again = Profiles::load(&store, vault).unwrap();
        assert_eq!(
            again.all(),
            [Arc::new(all.clone()), Arc::new(lamps.clone())]
        );
        let lamp = EndpointName::new("lamp-1").unwrap();
        assert_eq!(again.choose(&lamp).unwrap().name, lamps.name);
        for row in store.scan(Table::Profiles, &[], 10).unwrap() {
            assert!(!row.value.windows(8).any(|part| secret.starts_with(part)));
            assert!(validate(&row.value).is_ok());
        }
        let removed = again.prepare_removal(&lamps.name).unwrap();
        keep(&store, &again, removed);
        assert_eq!(again.choose(&lamp).unwrap().name, all.name);
        assert!(again.prepare_removal(&lamps.name).is_none());
        assert!(Profiles::load(&store, Arc::new(Vault::ephemeral())).is_err());
    }

    #[test]
    fn a_profile_that_cannot_be_used_is_not_taken() {
        let store = MemoryStore::new(Retention::default());
        let profiles = Profiles::load(&store, Arc::new(Vault::ephemeral())).unwrap();
        let registry = Registry::bundled();
        let mut wrong = profile("a", Selector::Default, &[1; 16]);
        wrong.servers[0].uri = "coap://a".into();
        assert!(matches!(
            profiles.prepare(wrong, &registry),
            Err(Refused::Faults(faults)) if faults.len() == 1
        ));
        let first = profile("a", Selector::Default, &[1; 16]);
        let prepared = profiles.prepare(first.clone(), &registry).unwrap();
        keep(&store, &profiles, prepared);
        let second = profile("b", Selector::Default, &[1; 16]);
        assert!(matches!(
            profiles.prepare(second, &registry),
            Err(Refused::Taken { by }) if by == first.name
        ));
        assert!(profiles.prepare(first, &registry).unwrap().existed);
    }
}
