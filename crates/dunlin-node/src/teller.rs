//! What is told when it is durable: the event feed, the last values, the requests that ended.
//!
//! Shards hand over what a commit told, in the order of the commits (the committer calls back on
//! one thread); one thread here turns it into what the API shows. The hot path pays for one send.

use std::collections::{HashMap, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use dunlin_api::backend::{Reading, Request, RequestId, RequestState};
use dunlin_api::event::{Event as ApiEvent, Feed};
use dunlin_api::time::Timestamp;
use dunlin_lwm2m::{EndpointName, ObjectVersion, Registry};
use dunlin_server::bootstrap::BootstrapRun;
use dunlin_server::change::Departure;
use dunlin_server::event::Sample;
use dunlin_server::{Event, EventKind, LiveEvent};

use crate::values::{Checkpoints, Values};
use crate::view;

/// Requests that have ended are shown for a while: this many of all Clients.
const ENDED_MAX: usize = 20_000;

/// Bootstrap runs of all Clients that are shown together; each Client has its own history besides.
const BOOTSTRAPS_MAX: usize = 1_000;

/// The thread that tells looks no more often than this whether a checkpoint is due.
const PAUSE_MIN: Duration = Duration::from_secs(1);

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
    pub(crate) values: Values,
    ended: Mutex<Ended>,
    /// The newest last.
    bootstraps: Mutex<VecDeque<BootstrapRun>>,
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
        self.values.set_versions(&registration.endpoint, versions);
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
            self.values.version(&event.endpoint, path)
        })
    }

    /// Remembers what an event tells.
    pub(crate) fn learn(&self, event: &Event) {
        self.learn_from(event, true);
    }

    /// Remembers what an event tells beside values: those of before a checkpoint are known.
    pub(crate) fn learn_end(&self, event: &Event) {
        self.learn_from(event, false);
    }

    fn learn_from(&self, event: &Event, values_too: bool) {
        match &event.kind {
            EventKind::Registered { registration, .. }
            | EventKind::Updated { registration, .. }
                if values_too =>
            {
                self.learn_versions(registration);
            }
            EventKind::Notified {
                path,
                values,
                late: false,
            } if values_too => {
                if let Some(Sample { at, node }) = values.last() {
                    let reading = Reading {
                        path: *path,
                        at: view::time(*at),
                        version: self.values.version(&event.endpoint, *path),
                        node: node.clone(),
                    };
                    self.values
                        .remember(&event.endpoint, reading, values.len() as u64);
                }
            }
            EventKind::Completed {
                request,
                command,
                outcome,
            } => {
                let version = self.values.version(&event.endpoint, command.path());
                let ended = view::ended(
                    *request,
                    &event.endpoint,
                    event.at,
                    command,
                    outcome,
                    version,
                );
                if values_too
                    && let Some(Ok(completion)) = &ended.outcome
                    && let dunlin_api::backend::CompletionAnswer::Values(reading) =
                        &completion.answer
                    && ended.state == RequestState::Completed
                {
                    self.values.remember(&event.endpoint, reading.clone(), 0);
                }
                self.end(ended);
            }
            EventKind::Departed {
                reason: Departure::Forgotten,
                ..
            } if values_too => self.values.forget(&event.endpoint),
            EventKind::Bootstrapped { run } | EventKind::BootstrapFailed { run } => {
                self.bootstrap_ended(run);
            }
            _ => {}
        }
    }
}

/// Starts the thread that tells. It ends when the last [`Teller`] is gone.
pub(crate) fn start(
    known: Arc<Known>,
    checkpoints: Checkpoints,
) -> std::io::Result<(Teller, std::thread::JoinHandle<()>)> {
    let (sender, receiver) = channel();
    let thread = std::thread::Builder::new()
        .name("teller".into())
        .spawn(move || run(&known, checkpoints, &receiver))?;
    Ok((Teller { sender }, thread))
}

fn run(known: &Known, mut checkpoints: Checkpoints, told: &Receiver<Told>) {
    loop {
        // A pause of nothing would make an idle thread turn.
        match told.recv_timeout(checkpoints.pause().max(PAUSE_MIN)) {
            Ok(Told::Durable(durable)) => {
                for (index, event) in durable.events.iter().enumerate() {
                    known.learn(event);
                    // Who begins to listen reads what came before from the log.
                    if known.feed.has_consumers()
                        && let Some(event) = known.shown(durable.commit, index, event)
                    {
                        known.feed.publish(Arc::new(event));
                    }
                }
                checkpoints.learnt(durable.commit, durable.events.len());
            }
            Ok(Told::Live(event)) => {
                if let Some(event) = view::live(&event) {
                    known.feed.publish(Arc::new(event));
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        checkpoints.make_if_due(&known.values);
    }
}
