//! How registrations end, and what becomes of what we wanted of their Clients.

use dunlin_transport::Now;

use super::Server;
use crate::change::{Change, Departed, Departure};
use crate::command::{Failed, Outcome};
use crate::event::{Event, EventKind, ObservationEnd};
use crate::observation::GONE;
use crate::registration::{Client, ClientKey, InFlight};

impl Server {
    /// Ends a registration. Requests fail; observations wait for the Client to come back, unless
    /// an operator wants it forgotten.
    pub(super) fn depart(&mut self, now: Now, key: ClientKey, reason: Departure) {
        self.fail_all(now, key, Failed::ClientGone);
        let observations = match &self.book.client(key).work {
            Some(work) => work.observations.clone(),
            None => Vec::new(),
        };
        let forgotten = reason == Departure::Forgotten;
        for observation in observations {
            self.detach(observation);
            if forgotten {
                self.end_observation(now, observation, ObservationEnd::Forgotten);
            } else if !self.observations.get(observation).renew {
                self.end_observation(now, observation, ObservationEnd::RegistrationEnded);
            }
        }
        let client = self.remove(key);
        let waiting = client
            .work
            .map(|work| work.observations)
            .unwrap_or_default();
        for observation in &waiting {
            self.observations.get_mut(*observation).client = GONE;
        }
        let departed = Departed {
            endpoint: client.endpoint.clone(),
            id: client.id,
            at: now.wall,
            reason,
        };
        self.effects.change(Change::Depart(departed.clone()));
        if forgotten {
            self.effects.change(Change::Forget {
                endpoint: client.endpoint.clone(),
            });
        } else {
            self.departures.insert(departed, waiting);
        }
        let kind = EventKind::Departed {
            id: client.id,
            reason,
        };
        self.effects.event(Event {
            endpoint: client.endpoint,
            at: now.wall,
            kind,
        });
    }

    /// Takes a Client out of the book.
    pub(super) fn remove(&mut self, key: ClientKey) -> Client {
        self.timers.clear(key);
        let client = self.book.remove(key);
        self.transport.release(client.peer);
        client
    }

    /// What was under way ends, and all requests fail.
    pub(super) fn fail_all(&mut self, now: Now, key: ClientKey, failed: Failed) {
        self.stop_in_flight(now, key);
        let waiting = self
            .book
            .client_mut(key)
            .work
            .as_mut()
            .map(|work| &mut work.waiting);
        for request in waiting.map(std::mem::take).unwrap_or_default() {
            self.complete(now, request, Outcome::Failed(failed.clone()));
        }
    }

    /// What was sent and may be sent again goes back to the head of the queue; the rest is over.
    pub(super) fn stop_in_flight(&mut self, now: Now, key: ClientKey) {
        let Some(work) = &mut self.book.client_mut(key).work else {
            return;
        };
        match work.in_flight.take() {
            Some(InFlight::Request(request)) => {
                let wire = self.requests.get(request).wire;
                if let Some(wire) = wire {
                    self.requests.ended(wire);
                    let _ = self.transport.cancel_request(now, wire);
                }
                if self.requests.get(request).command.is_idempotent() {
                    self.requests.put_back(&mut work.waiting, request);
                } else {
                    self.complete(now, request, Outcome::Failed(Failed::Unknown));
                }
            }
            Some(InFlight::Renewal(observation)) => self.stop_renewal(now, observation),
            None => {}
        }
    }
}
