//! The credentials in memory: by endpoint name for people, by proof for handshakes.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use dunlin_api::credential::{Change, Credential, CredentialId, Proof, Query, Refused};
use dunlin_lwm2m::EndpointName;
use dunlin_transport::Identity;

use super::{BELONGS_TO, Door, Kept, modes, pinned};

/// All of them.
#[derive(Default)]
pub(super) struct Index {
    /// In the order of names; lists are never empty.
    by_endpoint: BTreeMap<EndpointName, Vec<Kept>>,
    server: HashMap<Shown, Owner>,
    bootstrap: HashMap<Shown, Owner>,
}

/// What a peer shows, as a key: a proof without what is for people alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Shown {
    Psk(Box<[u8]>),
    Rpk([u8; 32]),
    Certificate([u8; 32]),
    Subject(Box<str>),
}

impl From<&Proof> for Shown {
    fn from(proof: &Proof) -> Self {
        match proof {
            Proof::Psk { identity } => Self::Psk(identity.as_slice().into()),
            Proof::Rpk { fingerprint } => Self::Rpk(*fingerprint),
            Proof::Certificate { fingerprint, .. } => Self::Certificate(*fingerprint),
            Proof::Subject(name) => Self::Subject(name.as_str().into()),
        }
    }
}

#[derive(Clone, Debug)]
struct Owner {
    endpoint: EndpointName,
    id: CredentialId,
}

impl Index {
    fn door(&self, door: Door) -> &HashMap<Shown, Owner> {
        match door {
            Door::Server => &self.server,
            Door::Bootstrap => &self.bootstrap,
        }
    }

    fn door_mut(&mut self, door: Door) -> &mut HashMap<Shown, Owner> {
        match door {
            Door::Server => &mut self.server,
            Door::Bootstrap => &mut self.bootstrap,
        }
    }

    /// Takes a credential in, as the store has it.
    pub(super) fn insert(&mut self, endpoint: EndpointName, kept: Kept) {
        self.enter(&endpoint, &kept);
        let list = self.by_endpoint.entry(endpoint).or_default();
        // Most names have one, and there may be a million names.
        list.reserve_exact(1);
        list.push(kept);
        list.sort_by_key(|one| (one.added_at, one.id));
    }

    fn enter(&mut self, endpoint: &EndpointName, kept: &Kept) {
        for door in [Door::Server, Door::Bootstrap] {
            if door.is_among(kept.doors) {
                let owner = Owner {
                    endpoint: endpoint.clone(),
                    id: kept.id,
                };
                self.door_mut(door).insert(Shown::from(&kept.proof), owner);
            }
        }
    }

    /// Exchanges the list of a name, and returns what stood there.
    pub(super) fn replace(&mut self, endpoint: &EndpointName, mut after: Vec<Kept>) -> Vec<Kept> {
        after.shrink_to_fit();
        let before = self.by_endpoint.remove(endpoint).unwrap_or_default();
        for old in &before {
            for door in [Door::Server, Door::Bootstrap] {
                let shown = Shown::from(&old.proof);
                let entries = self.door_mut(door);
                // Another name may have taken it over in the same change.
                if entries
                    .get(&shown)
                    .is_some_and(|owner| owner.endpoint == *endpoint)
                {
                    entries.remove(&shown);
                }
            }
        }
        for one in &after {
            self.enter(endpoint, one);
        }
        if !after.is_empty() {
            self.by_endpoint.insert(endpoint.clone(), after);
        }
        before
    }

    pub(super) fn of(&self, endpoint: &EndpointName) -> &[Kept] {
        self.by_endpoint.get(endpoint).map_or(&[], Vec::as_slice)
    }

    pub(super) fn count(&self) -> usize {
        self.by_endpoint.values().map(Vec::len).sum()
    }

    /// The credential that this proof is, at this door.
    pub(super) fn find(&self, door: Door, proof: &Proof) -> Option<&Kept> {
        let owner = self.door(door).get(&Shown::from(proof))?;
        self.of(&owner.endpoint)
            .iter()
            .find(|one| one.id == owner.id)
    }

    pub(super) fn list(&self, query: &Query) -> Vec<(EndpointName, Vec<Credential>)> {
        let from = query
            .after
            .as_deref()
            .map_or(Bound::Unbounded, Bound::Excluded);
        self.by_endpoint
            .range::<str, _>((from, Bound::Unbounded))
            .filter_map(|(endpoint, kept)| {
                let shown = kept.iter().map(Kept::shown);
                let shown: Vec<_> = shown
                    .filter(|one| query.fits(endpoint.as_str(), one))
                    .collect();
                (!shown.is_empty()).then(|| (endpoint.clone(), shown))
            })
            .take(query.limit)
            .collect()
    }

    /// Whether a change leaves every proof with one name at each door.
    pub(super) fn check(
        &self,
        after: &BTreeMap<EndpointName, Vec<Kept>>,
        changes: &[(EndpointName, Change)],
    ) -> Result<(), Refused> {
        for door in [Door::Server, Door::Bootstrap] {
            let mut claims: HashMap<Shown, &EndpointName> = HashMap::new();
            for (endpoint, kept) in after {
                for one in kept.iter().filter(|one| door.is_among(one.doors)) {
                    let shown = Shown::from(&one.proof);
                    let owner = self.door(door).get(&shown).map(|owner| &owner.endpoint);
                    // Of a name that changes as well, what it has afterwards counts.
                    let owner = owner.filter(|owner| !after.contains_key(*owner));
                    let other = claims.insert(shown, endpoint).or(owner);
                    if let Some(other) = other.filter(|other| *other != endpoint) {
                        let (change, credential) = place(changes, endpoint, &one.proof);
                        return Err(Refused {
                            change,
                            credential,
                            reason: format!("{} {BELONGS_TO} \"{other}\" already", one.proof),
                            taken: true,
                        });
                    }
                }
            }
        }
        Ok(())
    }

    /// See [`super::Credentials::allows`].
    pub(super) fn allows(
        &self,
        door: Door,
        identity: &Identity,
        endpoint: &EndpointName,
    ) -> Result<(), String> {
        match identity {
            Identity::None => self.without_security(door, endpoint),
            Identity::PreSharedKey(identity) => self.owned(
                door,
                &Proof::Psk {
                    identity: identity.to_vec(),
                },
                endpoint,
            ),
            Identity::RawPublicKey(fingerprint) => self.owned(
                door,
                &Proof::Rpk {
                    fingerprint: *fingerprint,
                },
                endpoint,
            ),
            Identity::Certificate(shown) => {
                let pin = pinned(&shown.fingerprint);
                if self.find(door, &pin).is_some() {
                    return self.owned(door, &pin, endpoint);
                }
                let names: Vec<&str> = shown
                    .common_name
                    .iter()
                    .chain(&shown.alternative_names)
                    .map(String::as_str)
                    .collect();
                self.issued(door, &names, endpoint)
            }
        }
    }

    fn at(&self, door: Door, endpoint: &EndpointName) -> Vec<&Kept> {
        let kept = self.of(endpoint).iter();
        kept.filter(|one| door.is_among(one.doors)).collect()
    }

    fn without_security(&self, door: Door, endpoint: &EndpointName) -> Result<(), String> {
        let kept = self.at(door, endpoint);
        if kept.is_empty() {
            return Ok(());
        }
        Err(format!(
            "\"{endpoint}\" has credentials ({}) and is not let in without security",
            modes(&kept)
        ))
    }

    /// A proof that belongs to one name.
    fn owned(&self, door: Door, proof: &Proof, endpoint: &EndpointName) -> Result<(), String> {
        match self.door(door).get(&Shown::from(proof)) {
            Some(owner) if owner.endpoint == *endpoint => Ok(()),
            Some(owner) => Err(format!(
                "{proof} {BELONGS_TO} \"{}\", and the name given is \"{endpoint}\"",
                owner.endpoint
            )),
            None => Err(format!("{proof} is not known here, or not any more")),
        }
    }

    /// A certificate that is known by its names alone.
    fn issued(&self, door: Door, names: &[&str], endpoint: &EndpointName) -> Result<(), String> {
        let owner = |name: &&str| {
            let owner = self.door(door).get(&Shown::Subject((*name).into()))?;
            Some((name.to_string(), &owner.endpoint))
        };
        let owners: Vec<_> = names.iter().filter_map(owner).collect();
        if owners.iter().any(|(_, owner)| *owner == endpoint) {
            return Ok(());
        }
        if let Some((name, owner)) = owners.first() {
            return Err(format!(
                "the certificate name \"{name}\" {BELONGS_TO} \"{owner}\", and the name given is \"{endpoint}\""
            ));
        }
        let kept = self.at(door, endpoint);
        if !kept.is_empty() {
            return Err(format!(
                "\"{endpoint}\" has other credentials ({}), and this certificate is none of them",
                modes(&kept)
            ));
        }
        if names.contains(&endpoint.as_str()) {
            return Ok(());
        }
        let bears = match names {
            [] => "bears no name".to_owned(),
            names => format!("is for \"{}\"", names.join("\", \"")),
        };
        Err(format!(
            "the certificate {bears}, and the name given is \"{endpoint}\""
        ))
    }
}

/// Where in the changes a proof of a name was asked for.
fn place(
    changes: &[(EndpointName, Change)],
    endpoint: &EndpointName,
    proof: &Proof,
) -> (usize, usize) {
    for (number, (name, change)) in changes.iter().enumerate() {
        let (Change::Replace(added) | Change::Add(added)) = change else {
            continue;
        };
        let at = added.iter().position(|new| new.proof.is_same(proof));
        if let Some(at) = at.filter(|_| name == endpoint) {
            return (number, at);
        }
    }
    (0, 0)
}
