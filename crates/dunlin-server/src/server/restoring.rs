//! From durable facts back to a living Server, and from one Server to another.

use dunlin_lwm2m::EndpointName;
use dunlin_transport::{Identity, Now, Port, Token};

use super::Server;
use crate::change::{self, Change, Registration, Snapshot};
use crate::command::{Failed, Outcome, RequestState};
use crate::event::{Event, EventKind};
use crate::observation::{GONE, Observation};
use crate::presence::presence;
use crate::queue::Request;
use crate::registration::{Client, ClientKey, ms};

impl Server {
    pub(super) fn take_up(&mut self, now: Now, snapshot: Snapshot) {
        for registration in snapshot.registrations.into_values() {
            self.restore_registration(now, &registration);
        }
        for session in snapshot.sessions.values() {
            self.restore_session(now, session);
        }
        let mut departed: Vec<_> = snapshot.departed.into_values().collect();
        departed.sort_by_key(|departed| departed.at);
        for departed in departed {
            if self.book.find(departed.endpoint.as_str()).is_none() {
                self.departures.insert(departed, Vec::new());
            }
        }
        for observation in snapshot.observations.into_values() {
            self.restore_observation(now, observation);
        }
        for run in snapshot.bootstraps.into_values() {
            self.restore_bootstrap(now, run);
        }
        // In the order in which they were made, so that queues are what they were.
        let mut requests: Vec<_> = snapshot.requests.into_values().collect();
        requests.sort_by_key(|request| request.id.stamp());
        for request in requests {
            self.restore_request(now, request);
        }
    }

    fn restore_registration(&mut self, now: Now, registration: &Registration) {
        if self.book.find(registration.endpoint.as_str()).is_some() {
            return;
        }
        let (address, local) = (&registration.address, registration.local);
        let identity = registration.identity.clone();
        let secured = identity != Identity::None;
        let peer = if secured {
            self.transport
                .restore_peer(now, Port::Coaps, address, local, identity)
        } else {
            self.transport.peer_at(now, Port::Coap, address, local)
        };
        self.transport.hold(peer);
        let mut client = Client::new(registration, peer, now);
        // Refreshes since the last record are not stored; they reach no further than this.
        client.expires += client.tenth();
        let key = self.book.insert(client);
        if secured {
            // Until its session is brought back.
            self.take_for_asleep(key);
        }
        self.tell_nothing(now, key);
        self.rearm(now, key);
    }

    /// What presence a Client has is no news.
    pub(super) fn tell_nothing(&mut self, now: Now, key: ClientKey) {
        let client = self.book.client_mut(key);
        client.told = presence(client, self.config.awake_window, ms(now.instant));
    }

    fn restore_observation(&mut self, now: Now, record: change::Observation) {
        let endpoint = record.endpoint.clone();
        let path = record.path;
        let key = self.book.find(endpoint.as_str());
        if let Some(key) = key {
            if self.observed_at(key, path).is_some() {
                return;
            }
            let mut observation = Observation::restored(record, key);
            if self.config.claims && !self.is_routed_here(observation.token) {
                observation.established = None;
            }
            let observed = self.observations.insert(observation);
            self.book.client_mut(key).work().observations.push(observed);
            self.attach(now, observed);
        } else if self.departures.get(endpoint.as_str()).is_some() {
            let observed = self
                .observations
                .insert(Observation::restored(record, GONE));
            if let Some(waiting) = self.departures.observations_mut(endpoint.as_str()) {
                waiting.push(observed);
            }
        } else {
            // Its Client is known no more: nobody would ever end it.
            self.effects.change(Change::Unobserve { endpoint, path });
        }
    }

    /// Whether notifications under this token find their way here. They do not when the number of
    /// shards has changed: then the observation is made again, under a token of ours.
    fn is_routed_here(&self, token: Token) -> bool {
        token.as_bytes().first() == Some(&self.config.coap.token_prefix)
    }

    fn restore_request(&mut self, now: Now, record: change::Request) {
        if self.requests.find(record.id).is_some() {
            return;
        }
        self.last_stamp = self.last_stamp.max(record.id.stamp());
        let key = self.book.find(record.endpoint.as_str());
        let failed = match (key, record.state) {
            (None, _) => Failed::ClientGone,
            (Some(_), RequestState::Sent) => Failed::Unknown,
            (Some(key), RequestState::Queued | RequestState::Waiting) => {
                return self.queue_restored(now, key, record);
            }
        };
        let outcome = Outcome::Failed(failed);
        self.stats.requests_failed += 1;
        self.effects.change(Change::EndRequest(record.id));
        let kind = EventKind::Completed {
            request: record.id,
            command: Box::new(record.command.logged()),
            outcome: outcome.clone(),
        };
        self.effects.event(Event {
            endpoint: record.endpoint,
            at: now.wall,
            kind,
        });
        self.effects
            .completed(record.id, outcome, self.effects.barrier());
    }

    fn queue_restored(&mut self, now: Now, key: ClientKey, record: change::Request) {
        let request = self.requests.insert(Request::restored(record, key, now));
        self.book.client_mut(key).work().waiting.push_back(request);
        self.rearm(now, key);
    }

    /// Gives a Client up to another Server; see [`Server::evict`].
    pub(super) fn give_up(&mut self, now: Now, endpoint: &EndpointName) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let mut observations = self
            .departures
            .remove(endpoint.as_str())
            .unwrap_or_default();
        if let Some(key) = self.book.find(endpoint.as_str()) {
            self.stop_in_flight(now, key);
            let waiting = self
                .book
                .client_mut(key)
                .work
                .as_mut()
                .map(|work| &mut work.waiting);
            for request in waiting.map(std::mem::take).unwrap_or_default() {
                if self.requests.get(request).stored {
                    let client = self.book.client(key);
                    let request = self.requests.remove(request);
                    let record = request.record(client, RequestState::Queued);
                    snapshot.requests.insert(record.id, record);
                } else {
                    self.complete(now, request, Outcome::Failed(Failed::ClientGone));
                }
            }
            let client = self.book.client(key);
            let record = client.record(now, self.transport.peer(client.peer));
            snapshot.registrations.insert(endpoint.clone(), record);
            let client = self.remove(key);
            observations.extend(
                client
                    .work
                    .map(|work| work.observations)
                    .unwrap_or_default(),
            );
        }
        for observed in observations {
            self.detach(observed);
            let record = self.observations.remove(observed).record();
            snapshot
                .observations
                .insert((record.endpoint.clone(), record.path), record);
        }
        snapshot
    }

    /// What another Server gave up is ours, now that its Client is here.
    pub(super) fn take_over(&mut self, now: Now, endpoint: &EndpointName, snapshot: Snapshot) {
        let Snapshot {
            observations,
            requests,
            ..
        } = snapshot;
        self.take_up(
            now,
            Snapshot {
                observations,
                requests,
                ..Snapshot::default()
            },
        );
        if let Some(key) = self.book.find(endpoint.as_str()) {
            self.adopt(now, key);
            self.wake(now, key);
        }
    }
}
