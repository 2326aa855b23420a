//! What must be true while the world lives, of its state as a whole, and when it has come to rest.

use std::collections::BTreeMap;
use std::time::Duration;

use dunlin_lwm2m::Path;
use dunlin_server::{ClientFilter, ListedClient, Presence, Server};

use super::device::{Device, sample_of};
use super::server::device_of;
use super::{Break, Happening, World};
use crate::fault::Fault;
use crate::network::Weather;

/// After this without faults every Client has found the Server again: its longest pause is twelve
/// minutes.
const CALM: Duration = Duration::from_secs(20 * 60);

/// Within this all Updates are answered, and no awake window has ended.
const JUST_HEARD: Duration = Duration::from_secs(60);

/// After this the last queue is served and the last message forgotten: EXCHANGE_LIFETIME, an awake
/// window, and a request that nobody answers.
const REST: Duration = Duration::from_secs(15 * 60);

impl World {
    /// The weather clears up, and everything must come to rest.
    pub(super) fn come_to_rest(&mut self) -> Result<(), Break> {
        self.rough = false;
        self.network.set_weather(Weather::FAIR);
        self.text(None, "the weather clears up");
        for device in 0..self.devices.len() {
            self.after(Duration::ZERO, Happening::Fault(Fault::PowerOn(device)));
        }
        self.after(Duration::ZERO, Happening::Fault(Fault::DiskFreed));
        self.after(Duration::ZERO, Happening::Fault(Fault::Start));
        self.run_until(self.at + CALM)?;
        self.everybody_is_known()?;
        // Those whom a double of an old Register has put out of the book find out now, and queues
        // of Clients that sleep for a day are served now.
        for device in 0..self.devices.len() {
            let now = self.devices[device].now(self.at);
            if let Some(client) = &mut self.devices[device].client {
                client.update(now);
            }
            self.devices[device].measure(self.at);
            self.drain_device(device)?;
        }
        self.run_until(self.at + JUST_HEARD)?;
        self.everybody_is_awake()?;
        self.run_until(self.at + CALM)?;
        self.measuring = false;
        self.run_until(self.at + REST)?;
        self.audit()?;
        self.nothing_is_left()
    }

    /// Every Client that believes to be registered is.
    fn everybody_is_known(&self) -> Result<(), Break> {
        for (index, device) in self.devices.iter().enumerate() {
            let believes = is_registered(device);
            if !believes {
                return Err((Some(index), "does not find the Server again".to_owned()));
            }
            let known = self.server_of(device).is_some();
            if !known && !self.ledger.is_superseded(index) {
                let what = "believes to be registered, and is not known".to_owned();
                return Err((Some(index), what));
            }
        }
        Ok(())
    }

    /// All have been heard lately, so all are told to be awake.
    fn everybody_is_awake(&self) -> Result<(), Break> {
        let now = self.process.now(self.at);
        for (index, device) in self.devices.iter().enumerate() {
            let view = self
                .server_of(device)
                .and_then(|server| server.client(now, &device.name).ok());
            let presence = view.map(|view| view.presence);
            if presence != Some(Presence::Awake) {
                let what = format!("has just updated, and its presence is {presence:?}");
                return Err((Some(index), what));
            }
        }
        Ok(())
    }

    fn server_of(&self, device: &Device) -> Option<&Server> {
        let now = self.process.now(self.at);
        let mut servers = self.servers();
        servers.find(|server| server.client(now, &device.name).is_ok())
    }

    fn nothing_is_left(&mut self) -> Result<(), Break> {
        let now = self.process.now(self.at);
        for (index, device) in self.devices.iter().enumerate() {
            let broken = |what: String| Err((Some(index), what));
            let Some(server) = self.server_of(device) else {
                return broken("is not known when everything is at rest".to_owned());
            };
            let view = server.client(now, &device.name).expect("it was just found");
            let queues = view.registration.binding.queues();
            // Whether it is overdue is a guess from its habits, and it has just lost them.
            let asleep = device.client.as_ref().is_some_and(|one| one.is_asleep());
            let right = match view.presence {
                Presence::Awake => !asleep,
                Presence::Asleep => queues,
                Presence::Overdue => true,
            };
            if !right {
                return broken(format!("is told to be {:?}", view.presence));
            }
            if view.registration.address != self.network.outer(index).into() {
                return broken("is looked for where it is not".to_owned());
            }
            let mut here: Vec<Path> = Vec::new();
            for observation in server.observations(&device.name) {
                if !observation.established {
                    let what = format!("{} is not observed again", observation.path);
                    return broken(what);
                }
                here.push(observation.path);
            }
            let there: Vec<Path> = device.observed.keys().copied().collect();
            // What was cancelled by Reset is given up with the next notification: of what never
            // changes there is none.
            let changes = |path: &&Path| path.object_id() == Some(3303.into());
            let missing = here.iter().any(|path| !there.contains(path));
            if missing
                || there
                    .iter()
                    .filter(changes)
                    .any(|path| !here.contains(path))
            {
                return broken(format!(
                    "the Server observes {here:?}, the Client tells {there:?}"
                ));
            }
            self.last_values_are_told(index, &here)?;
        }
        self.nothing_is_counted()?;
        self.ledger
            .settle(self.process.life)
            .map_err(|(device, what)| (Some(device), what))
    }

    fn last_values_are_told(&self, index: usize, observed: &[Path]) -> Result<(), Break> {
        let device = &self.devices[index];
        let tree = device.client.as_ref().map(|client| client.tree());
        let value = tree.and_then(|tree| tree.value(3303.into(), 0.into(), 5700));
        let Some(value) = value.and_then(|value| value.as_number()) else {
            return Ok(());
        };
        for path in observed {
            let told = self.ledger.last_told(index, *path);
            if path.object_id() == Some(3303.into())
                && told.is_some_and(|told| told != sample_of(value))
            {
                let is = sample_of(value);
                let what = format!("{path}: the last value told is {told:?}, and it is {is}");
                return Err((Some(index), what));
            }
        }
        Ok(())
    }

    fn nothing_is_counted(&self) -> Result<(), Break> {
        let mut registered = 0;
        for (index, shard) in self.process.shards.iter().enumerate() {
            let stats = shard.server.stats();
            registered += stats.registered;
            let peers = shard.server.transport().peer_count();
            let left = [
                ("requests", stats.requests),
                ("admissions", stats.admissions),
                ("effects that wait", shard.held.len()),
                ("peers too many", peers.saturating_sub(stats.registered)),
            ];
            for (what, count) in left {
                if count != 0 {
                    return Err((None, format!("shard {index} is left with {count} {what}")));
                }
            }
        }
        if registered != self.devices.len() {
            return Err((None, format!("{registered} Clients are registered")));
        }
        let durable = &self.process.disk.durable;
        if !durable.requests.is_empty() || !self.process.disk.waiting.is_empty() {
            let what = format!("the disk is left with {} requests", durable.requests.len());
            return Err((None, what));
        }
        Ok(())
    }

    /// What the Servers say is what their commits say.
    pub(super) fn audit(&mut self) -> Result<(), Break> {
        let mut peers = 0;
        let mut requests = 0;
        for server in self.process.shards.iter().map(|shard| &shard.server) {
            peers += server.transport().peer_count() as u64;
            requests += server.stats().requests as u64;
        }
        self.tally.peers_max = self.tally.peers_max.max(peers);
        self.tally.requests_max = self.tally.requests_max.max(requests);
        if !self.process.is_up() {
            return Ok(());
        }
        self.compare(&self.process.disk.believed(), false)
    }

    /// After a start the Servers say what the disk says.
    pub(super) fn compare_with_disk(&mut self) -> Result<(), Break> {
        self.compare(&self.process.disk.believed(), true)
    }

    fn compare(&self, stored: &dunlin_server::Snapshot, started: bool) -> Result<(), Break> {
        let now = self.process.now(self.at);
        let mut names = BTreeMap::new();
        for server in self.servers() {
            for listed in server
                .clients(now, None, usize::MAX, &ClientFilter::default())
                .clients
            {
                let ListedClient::Registered(view) = listed else {
                    continue;
                };
                let name = view.registration.endpoint.clone();
                let device = device_of(name.as_str());
                let Some(record) = stored.registrations.get(&name) else {
                    return Err((device, "is registered, and not stored".to_owned()));
                };
                let live = &view.registration;
                let same = record.id == live.id
                    && record.lifetime_s == live.lifetime_s
                    && record.links == live.links
                    && record.address == live.address
                    && record.binding == live.binding;
                if !same {
                    let what = format!("is stored as {record:?}, and is {live:?}");
                    return Err((device, what));
                }
                self.compare_observations(server, &view, stored, device)?;
                names.insert(name, ());
            }
        }
        for name in stored.registrations.keys() {
            // A Client that one shard gives up and the other has not entered yet is in no book.
            let moving = self.universe.shards > 1 && !started;
            if !names.contains_key(name) && !moving {
                let what = "is stored as registered, and is not".to_owned();
                return Err((device_of(name.as_str()), what));
            }
        }
        Ok(())
    }

    fn compare_observations(
        &self,
        server: &Server,
        view: &dunlin_server::ClientView,
        stored: &dunlin_server::Snapshot,
        device: Option<usize>,
    ) -> Result<(), Break> {
        let name = &view.registration.endpoint;
        let live = server.observations(name);
        let first = (name.clone(), Path::ROOT);
        let records: Vec<_> = stored
            .observations
            .range(first..)
            .take_while(|((of, _), _)| of == name)
            .map(|(_, record)| record)
            .collect();
        let same = live.len() == records.len()
            && live.iter().zip(&records).all(|(live, record)| {
                let id = view.registration.id;
                live.path == record.path
                    && live.token == record.token
                    && live.established == (record.established == Some(id))
                    && live.last == record.last
            });
        if same {
            return Ok(());
        }
        let what = format!("its observations are stored as {records:?}, and are {live:?}");
        Err((device, what))
    }
}

/// Whether a Client believes that the Server knows it.
fn is_registered(device: &Device) -> bool {
    let client = device.client.as_ref();
    client.is_some_and(|client| client.servers().all(|(_, open)| open))
}
