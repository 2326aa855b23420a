//! What people ask of the Bootstrap-Server: profiles, plans, runs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dunlin_api::ClientAddress;
use dunlin_api::backend::{ProfilePut, ProfileRefused};
use dunlin_api::error::{Code, Problem};
use dunlin_lwm2m::{EndpointName, Path};
use dunlin_server::bootstrap::{Approach, BootstrapRun, Plan, Profile, ProfileName, Reach};
use dunlin_server::{BootstrapRunId, NoProfile};
use dunlin_store::Batch;
use dunlin_transport::{Address, Identity};
use tokio::sync::oneshot;

use super::{Done, NodeBackend, SHARD_PATIENCE, busy};
use crate::bootstraps;
use crate::credentials::Door;
use crate::profiles::{PROFILES_MAX, Refused};
use crate::view;

/// A name that is not found by then is taken for one that has no address.
const RESOLVE_PATIENCE: Duration = Duration::from_secs(5);

/// What is wrong, for people.
pub(crate) fn sentences(refused: &ProfileRefused) -> Vec<String> {
    match refused {
        ProfileRefused::Faults(faults) => faults.iter().map(ToString::to_string).collect(),
        ProfileRefused::Taken { by } => vec![format!("profile \"{by}\" is for the same Clients")],
        ProfileRefused::TooMany { max } => vec![format!("there are {max} profiles already")],
    }
}

fn refused(refused: Refused) -> ProfileRefused {
    match refused {
        Refused::Faults(faults) => ProfileRefused::Faults(faults),
        Refused::Taken { by } => ProfileRefused::Taken { by },
        Refused::TooMany => ProfileRefused::TooMany { max: PROFILES_MAX },
    }
}

impl NodeBackend {
    /// All profiles, by name.
    pub(crate) fn all_profiles(&self) -> Vec<Arc<Profile>> {
        self.profiles.all()
    }

    /// Adds a profile, or puts it in the place of the one with its name; with `dry_run` it is
    /// checked alone.
    pub(crate) async fn enter_profile(
        &self,
        profile: Profile,
        dry_run: bool,
    ) -> Done<Result<ProfilePut, ProfileRefused>> {
        let _one = self.profiles.writing().await;
        let prepared = match self.profiles.prepare(profile, &self.known.registry()) {
            Ok(prepared) => prepared,
            Err(why) => return Ok(Err(refused(why))),
        };
        let put = ProfilePut {
            replaced: prepared.existed,
            advice: prepared.advice.clone(),
        };
        if !dry_run {
            self.keep_profile(prepared).await?;
        }
        Ok(Ok(put))
    }

    /// Removes a profile; whether there was one.
    pub(crate) async fn drop_profile(&self, name: ProfileName) -> Done<bool> {
        let _one = self.profiles.writing().await;
        let Some(prepared) = self.profiles.prepare_removal(&name) else {
            return Ok(false);
        };
        self.keep_profile(prepared).await?;
        Ok(true)
    }

    async fn keep_profile(&self, prepared: crate::profiles::Prepared) -> Done<()> {
        let mut batch = Batch::new(dunlin_net::clock::wall_ms());
        batch.facts.push(prepared.fact.clone());
        self.keep(batch).await?;
        self.profiles.apply(prepared);
        Ok(())
    }

    /// What a Client would be given, and in which steps: by the profile of that name, or by the
    /// one that is for it. Keys that would be made are made for show. A Client that is registered
    /// is taken to have what it registered.
    pub(crate) async fn plan_of(
        &self,
        endpoint: &EndpointName,
        by: Option<ProfileName>,
    ) -> Done<(ProfileName, Plan)> {
        let profile = match by {
            Some(name) => self.profiles.named(&name),
            None => self.profiles.choose(endpoint),
        };
        let profile = profile.ok_or_else(|| no_profile(endpoint, &NoProfile::Unknown))?;
        let registered = self.registration(endpoint).await;
        let links: Vec<Path> = registered.map_or_else(
            |_| Vec::new(),
            |registration| {
                let objects = registration.links.objects();
                objects
                    .flat_map(|object| {
                        let instances = object.instances();
                        instances.map(move |instance| Path::instance(object.id, instance))
                    })
                    .collect()
            },
        );
        let unusable = |reason: String| no_profile(endpoint, &NoProfile::Unusable { reason });
        let provision = self
            .provisioning
            .provision_by(&profile, endpoint)
            .map_err(unusable)?;
        let plan = Plan::preview(&provision, links).map_err(|error| unusable(error.to_string()))?;
        Ok((profile.name.clone(), plan))
    }

    /// Begins a run with a Client that the Bootstrap-Server can reach.
    pub(crate) async fn begin_run(
        &self,
        endpoint: &EndpointName,
        at: Option<ClientAddress>,
    ) -> Done<BootstrapRunId> {
        let (shard, approach) = match at {
            Some(at) => {
                let shard = self.directory.owner(endpoint).unwrap_or(0);
                (shard, Some(self.approach(endpoint, &at).await?))
            }
            None => self.way_to_bootstrap(endpoint).await?,
        };
        let provision = self
            .provisioning
            .provision(endpoint)
            .map_err(|refused| no_profile(endpoint, &refused))?;
        let (told, begun) = oneshot::channel();
        let name = endpoint.clone();
        self.on(shard, move |shard, now| {
            shard.begin_bootstrap(now, name, provision, approach, told);
        })
        .await?;
        match tokio::time::timeout(SHARD_PATIENCE, begun).await {
            Ok(Ok(begun)) => begun.map_err(|refused| view::refused(endpoint, refused)),
            _ => Err(busy()),
        }
    }

    /// How to speak to a Client that listens there.
    async fn approach(&self, endpoint: &EndpointName, at: &ClientAddress) -> Done<Approach> {
        let mut sessions = self.provisioning.sessions(endpoint);
        let secure = at.secure.unwrap_or(!sessions.is_empty());
        if secure && sessions.is_empty() {
            return Err(no_credential(endpoint));
        }
        if !secure {
            // Else whoever takes its address would be given the keys that are made for it.
            let allowed = self
                .credentials
                .allows(Door::Bootstrap, &Identity::None, endpoint);
            allowed.map_err(|reason| Problem::new(Code::NotSupported, sentence(&reason)))?;
            sessions.clear();
        }
        let found = resolve(&at.host, at.port_or_default(secure)).await;
        let unknown = || {
            let detail = format!("The host \"{}\" has no address.", at.host);
            Problem::new(Code::QueryInvalid, detail).at_field("address")
        };
        let address = Address::Udp(found.ok_or_else(unknown)?);
        Ok(Approach { address, sessions })
    }

    /// The shard that knows the Client, as one that is registered or by its last bootstrap, and how
    /// to open a session with it where it has none.
    async fn way_to_bootstrap(&self, endpoint: &EndpointName) -> Done<(usize, Option<Approach>)> {
        let owner = self.directory.owner(endpoint);
        let mut first = None;
        for shard in owner.into_iter().chain(0..self.shards.len()) {
            let name = endpoint.clone();
            let reaches = self
                .on(shard, move |shard, _| {
                    shard.server().reaches_to_bootstrap(&name)
                })
                .await?;
            match reaches {
                Ok(Reach::Now) => return Ok((shard, None)),
                Ok(Reach::At(address)) => {
                    let sessions = self.provisioning.sessions(endpoint);
                    if sessions.is_empty() {
                        return Err(no_credential(endpoint));
                    }
                    return Ok((shard, Some(Approach { address, sessions })));
                }
                Err(refused) => drop(first.get_or_insert(refused)),
            }
        }
        let refused = first.unwrap_or(dunlin_server::Refused::ClientUnknown);
        Err(view::refused(endpoint, refused))
    }

    /// Bootstrap runs, the newest first: those of one Client, or the last of all.
    pub(crate) async fn runs(
        &self,
        endpoint: Option<EndpointName>,
        limit: usize,
    ) -> Done<Vec<BootstrapRun>> {
        let mut runs = match endpoint {
            Some(endpoint) => self.runs_of(&endpoint).await?,
            None => self.known.recent_bootstraps(limit),
        };
        runs.truncate(limit);
        Ok(runs)
    }

    async fn runs_of(&self, endpoint: &EndpointName) -> Done<Vec<BootstrapRun>> {
        let mut runs = Vec::new();
        if let Some(shard) = self.provisioning.shard_of(endpoint) {
            let name = endpoint.clone();
            let running = self
                .on(shard, move |shard, _| {
                    shard.server().bootstrap_run(&name).cloned()
                })
                .await?;
            runs.extend(running);
        }
        let ended = bootstraps::history(endpoint, &*self.store);
        let unread = |error: dunlin_store::StoreError| {
            Problem::new(Code::StoreUnavailable, format!("{error}."))
        };
        runs.extend(ended.map_err(unread)?);
        Ok(runs)
    }
}

fn no_credential(endpoint: &EndpointName) -> Problem {
    let detail = format!(
        "No session can be opened with \"{endpoint}\": it has no credential for the Bootstrap-Server (dunlin credential add {endpoint} --for bootstrap)."
    );
    Problem::new(Code::NotSupported, detail)
}

/// A reason as a sentence.
fn sentence(reason: &str) -> String {
    match reason.ends_with('.') {
        true => reason.to_owned(),
        false => format!("{reason}."),
    }
}

/// The first address of a host.
async fn resolve(host: &str, port: u16) -> Option<SocketAddr> {
    let found = tokio::time::timeout(RESOLVE_PATIENCE, tokio::net::lookup_host((host, port))).await;
    found.ok()?.ok()?.next()
}

fn no_profile(endpoint: &EndpointName, refused: &NoProfile) -> Problem {
    match refused {
        NoProfile::Unusable { reason } => Problem::new(
            Code::ProfileUnusable,
            format!("\"{endpoint}\" cannot be bootstrapped: {reason}."),
        ),
        _ => Problem::new(
            Code::ProfileUnknown,
            format!("No bootstrap profile is for \"{endpoint}\"."),
        ),
    }
}
