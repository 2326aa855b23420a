//! What is told when it is durable: the event feed, the last values, the requests that ended.
//!
//! Shards hand over what a commit told, in the order of the commits (the committer calls back on
//! one thread); one thread here turns it into what the API shows. The hot path pays for one send.

use std::collections::{HashMap, VecDeque};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, RwLock};

use dunlin_api::backend::{Reading, Request, RequestId, RequestState};
use dunlin_api::event::{Event as ApiEvent, Feed};
use dunlin_api::time::Timestamp;
use dunlin_lwm2m::{EndpointName, ObjectVersion, Path, Registry};
use dunlin_server::bootstrap::BootstrapRun;
use dunlin_server::event::Sample;
use dunlin_server::{Event, EventKind, LiveEvent};

use crate::view;

/// Requests that have ended are shown for a while: this many of all Clients.
const ENDED_MAX: usize = 20_000;

/// Bootstrap runs of all Clients that are shown together; each Client has its own history besides.
const BOOTSTRAPS_MAX: usize = 1_000;

/// Values that are remembered of one Client: a path each.
const VALUES_PER_CLIENT_MAX: usize = 1_024;

/// Up to so many values of one Client no room is kept for more.
const FEW_VALUES: usize = 4;

/// What a commit told.
#[derive(Debug)]
pub(crate) struct Durable {
    pub(crate) commit: u64,
    pub(crate) events: Vec<Event>,
}

enum Told {
    Durable(Durable),
    Live(LiveEvent),
}

/// The end through which shards tell.
#[derive(Clone, Debug)]
pub(crate) struct Teller {
    sender: Sender<Told>,
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Told")
    }
}

impl Teller {
    pub(crate) fn durable(&self, durable: Durable) {
        // The other end goes last of all.
        let _ = self.sender.send(Told::Durable(durable));
    }

    pub(crate) fn live(&self, event: LiveEvent) {
        let _ = self.sender.send(Told::Live(event));
    }
}

/// What is known without asking a shard.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) feed: Feed,
    pub(crate) registry: RwLock<Arc<Registry>>,
    values: Mutex<HashMap<EndpointName, ClientValues>>,
    ended: Mutex<Ended>,
    /// The newest last.
    bootstraps: Mutex<VecDeque<BootstrapRun>>,
}

#[derive(Debug, Default)]
struct ClientValues {
    /// Versions of the Objects the Client stated.
    versions: Vec<(u16, ObjectVersion)>,
    /// By path. A vector, because most Clients have one or a few, and a tree would take room for
    /// eleven: at a million Clients with one value each that is more than all the rest of them.
    paths: Vec<Value>,
}

impl ClientValues {
    fn find(&self, path: &Path) -> Result<usize, usize> {
        self.paths
            .binary_search_by(|value| value.reading.path.cmp(path))
    }
}

#[derive(Clone, Debug)]
struct Value {
    reading: Reading,
    notifications: u64,
}

#[derive(Debug, Default)]
struct Ended {
    requests: HashMap<RequestId, Request>,
    order: VecDeque<RequestId>,
    /// When requests that are still under way were made.
    made: HashMap<RequestId, (Timestamp, Timestamp)>,
}

impl Known {
    pub(crate) fn registry(&self) -> Arc<Registry> {
        self.registry
            .read()
            .expect("nobody panics while writing")
            .clone()
    }

    pub(crate) fn set_registry(&self, registry: Registry) {
        *self.registry.write().expect("nobody panics while writing") = Arc::new(registry);
    }

    /// The last value at exactly this path, or of something around it.
    pub(crate) fn value(&self, endpoint: &EndpointName, path: Path) -> Option<(Reading, u64)> {
        let values = self.values.lock().expect("nobody panics while holding it");
        let known = values.get(endpoint)?;
        let value = &known.paths[known.find(&path).ok()?];
        Some((value.reading.clone(), value.notifications))
    }

    /// What is known of a path: its own last value, or the part of a wider one, or wider ones put
    /// together of its parts, whichever is newest.
    pub(crate) fn cached(&self, endpoint: &EndpointName, path: Path) -> Option<Reading> {
        let values = self.values.lock().expect("nobody panics while holding it");
        let known = values.get(endpoint)?;
        let readings = known.paths.iter().map(|value| &value.reading);
        view::assemble(path, readings)
    }

    /// The bootstrap runs that ended last, the newest first.
    pub(crate) fn recent_bootstraps(&self, limit: usize) -> Vec<BootstrapRun> {
        let runs = self
            .bootstraps
            .lock()
            .expect("nobody panics while holding it");
        runs.iter().rev().take(limit).cloned().collect()
    }

    fn bootstrap_ended(&self, run: &BootstrapRun) {
        let mut runs = self
            .bootstraps
            .lock()
            .expect("nobody panics while holding it");
        runs.push_back(run.clone());
        while runs.len() > BOOTSTRAPS_MAX {
            runs.pop_front();
        }
    }

    /// A value that came as the answer to a Read.
    pub(crate) fn answered(&self, endpoint: &EndpointName, reading: Reading) {
        self.remember(endpoint, reading, 0);
    }

    fn remember(&self, endpoint: &EndpointName, reading: Reading, notifications: u64) {
        let mut values = self.values.lock().expect("nobody panics while holding it");
        let known = values.entry(endpoint.clone()).or_default();
        match known.find(&reading.path) {
            Ok(at) => {
                let value = &mut known.paths[at];
                value.notifications += notifications;
                value.reading = reading;
            }
            Err(_) if known.paths.len() >= VALUES_PER_CLIENT_MAX => {}
            Err(at) => {
                if known.paths.len() < FEW_VALUES {
                    known.paths.reserve_exact(1);
                }
                let value = Value {
                    reading,
                    notifications,
                };
                known.paths.insert(at, value);
            }
        }
    }

    /// The version of the Object that this Client has, as far as it is known.
    pub(crate) fn version(&self, endpoint: &EndpointName, path: Path) -> ObjectVersion {
        let values = self.values.lock().expect("nobody panics while holding it");
        let object = path.object_id().map_or(0, |object| object.0);
        values
            .get(endpoint)
            .and_then(|known| known.versions.iter().find(|(id, _)| *id == object))
            .map_or(ObjectVersion::V1_0, |(_, version)| *version)
    }

    /// The versions of a Client's Objects, from its registration.
    pub(crate) fn learn_versions(&self, registration: &dunlin_server::change::Registration) {
        let versions: Vec<_> = registration
            .links
            .objects()
            .map(|entry| {
                let implied = registration.version.default_object_version(entry.id);
                (entry.id.0, entry.version.unwrap_or(implied))
            })
            .filter(|(_, version)| *version != ObjectVersion::V1_0)
            .collect();
        if versions.is_empty() {
            return;
        }
        let mut values = self.values.lock().expect("nobody panics while holding it");
        values
            .entry(registration.endpoint.clone())
            .or_default()
            .versions = versions;
    }

    /// A request was made.
    pub(crate) fn made(&self, id: RequestId, at: Timestamp, until: Timestamp) {
        let mut ended = self.ended.lock().expect("nobody panics while holding it");
        ended.made.insert(id, (at, until));
    }

    /// A request that has ended.
    pub(crate) fn ended(&self, id: &RequestId) -> Option<Request> {
        let ended = self.ended.lock().expect("nobody panics while holding it");
        ended.requests.get(id).cloned()
    }

    /// Requests of a Client, or of all, that have ended, the oldest first.
    pub(crate) fn ended_of(&self, endpoint: Option<&EndpointName>, limit: usize) -> Vec<Request> {
        let ended = self.ended.lock().expect("nobody panics while holding it");
        let all = ended
            .order
            .iter()
            .rev()
            .filter_map(|id| ended.requests.get(id));
        let own = all.filter(|request| endpoint.is_none_or(|name| request.endpoint == *name));
        let mut found: Vec<Request> = own.take(limit).cloned().collect();
        found.reverse();
        found
    }

    fn end(&self, mut request: Request) {
        let mut ended = self.ended.lock().expect("nobody panics while holding it");
        if let Some((made, until)) = ended.made.remove(&request.id) {
            request.created_at = made;
            request.expires_at = until;
        }
        let id = request.id.clone();
        if ended.requests.insert(id.clone(), request).is_none() {
            ended.order.push_back(id);
        }
        while ended.order.len() > ENDED_MAX {
            if let Some(oldest) = ended.order.pop_front() {
                ended.requests.remove(&oldest);
            }
        }
    }

    /// An event of the log as one of the API. `None`: it is nothing that the event stream knows.
    pub(crate) fn shown(&self, commit: u64, index: usize, event: &Event) -> Option<ApiEvent> {
        view::event(commit, index, event, &|path| {
            self.version(&event.endpoint, path)
        })
    }

    /// Remembers what an event tells.
    pub(crate) fn learn(&self, event: &Event) {
        match &event.kind {
            EventKind::Registered { registration, .. }
            | EventKind::Updated { registration, .. } => self.learn_versions(registration),
            EventKind::Notified {
                path,
                values,
                late: false,
            } => {
                if let Some(Sample { at, node }) = values.last() {
                    let reading = Reading {
                        path: *path,
                        at: view::time(*at),
                        version: self.version(&event.endpoint, *path),
                        node: node.clone(),
                    };
                    self.remember(&event.endpoint, reading, values.len() as u64);
                }
            }
            EventKind::Completed {
                request,
                command,
                outcome,
            } => {
                let version = self.version(&event.endpoint, command.path());
                let ended = view::ended(
                    *request,
                    &event.endpoint,
                    event.at,
                    command,
                    outcome,
                    version,
                );
                if let Some(Ok(completion)) = &ended.outcome
                    && let dunlin_api::backend::CompletionAnswer::Values(reading) =
                        &completion.answer
                    && ended.state == RequestState::Completed
                {
                    self.answered(&event.endpoint, reading.clone());
                }
                self.end(ended);
            }
            EventKind::Bootstrapped { run } | EventKind::BootstrapFailed { run } => {
                self.bootstrap_ended(run);
            }
            _ => {}
        }
    }
}

/// Starts the thread that tells. It ends when the last [`Teller`] is gone.
pub(crate) fn start(known: Arc<Known>) -> std::io::Result<(Teller, std::thread::JoinHandle<()>)> {
    let (sender, receiver) = channel();
    let thread = std::thread::Builder::new()
        .name("teller".into())
        .spawn(move || run(&known, &receiver))?;
    Ok((Teller { sender }, thread))
}

fn run(known: &Known, told: &Receiver<Told>) {
    for told in told {
        match told {
            Told::Durable(durable) => {
                for (index, event) in durable.events.iter().enumerate() {
                    known.learn(event);
                    // Who begins to listen reads what came before from the log.
                    if known.feed.has_consumers()
                        && let Some(event) = known.shown(durable.commit, index, event)
                    {
                        known.feed.publish(Arc::new(event));
                    }
                }
            }
            Told::Live(event) => {
                if let Some(event) = view::live(&event) {
                    known.feed.publish(Arc::new(event));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunlin_lwm2m::{Node, Resource, Value as Content};

    fn reading(path: &str, value: i64) -> Reading {
        Reading {
            path: path.parse().expect("a path"),
            at: Timestamp(1),
            version: ObjectVersion::V1_0,
            node: Node::Resource(Resource::single(5700, Content::Integer(value))),
        }
    }

    #[test]
    fn a_client_with_one_value_keeps_room_for_one_and_a_newer_value_takes_the_place_of_the_older() {
        let known = Known::default();
        let name = EndpointName::new("meter").expect("a name");
        for n in 1..=3 {
            known.remember(&name, reading("/3/0/9", n), 1);
        }
        {
            let values = known.values.lock().expect("nobody panicked");
            assert_eq!(values[&name].paths.capacity(), 1);
        }
        let (kept, notifications) = known.value(&name, "/3/0/9".parse().unwrap()).expect("kept");
        assert_eq!((kept.node, notifications), (reading("/3/0/9", 3).node, 3));

        for n in (0..20).rev() {
            known.remember(&name, reading(&format!("/3303/{n}/5700"), n), 1);
        }
        for n in 0..20 {
            let path = format!("/3303/{n}/5700").parse().expect("a path");
            let (kept, _) = known.value(&name, path).expect("kept");
            assert_eq!(kept.node, reading("/3303/0/5700", n).node);
        }
    }
}
