//! Downlinks: from the command of an operator to the answer of a Client; TS 1.0 §5.4, §5.5, and
//! queue mode, TS 1.0 §8.3.

use dunlin_lwm2m::EndpointName;
use dunlin_lwm2m::operation::Operation;
use dunlin_transport::{Answer, Carriage, Failure, Now, RequestId as WireId};

use super::Server;
use crate::change::Change;
use crate::command::{
    CancelBy, Command, Failed, KEPT_VALUES_MAX, Outcome, Refused, RequestState, RequestTicket,
    Settings,
};
use crate::config::{ATTEMPTS_MAX, OBSERVATIONS_MAX, REQUESTS_MAX};
use crate::downlink::{self, Fallback, Manner, fallback, operation, read_answer};
use crate::event::{Event, EventKind, ObservationEnd};
use crate::id::RequestId;
use crate::presence::{listens, sleeps};
use crate::queue::Request;
use crate::registration::{ClientKey, InFlight, Ms, ms};

/// When the transport takes no more for this Client, we come back after this.
const RETRY_MS: Ms = 1_000;

/// What became of an attempt to send.
enum Sending {
    /// It is under way.
    UnderWay,
    /// It needed no asking, or cannot be asked: it is over.
    Over,
    /// The transport is full: later.
    Later,
}

impl Server {
    pub(super) fn take_command(
        &mut self,
        now: Now,
        endpoint: &EndpointName,
        command: Command,
        settings: Settings,
    ) -> Result<RequestTicket, Refused> {
        let key = self.registered(endpoint)?;
        downlink::check(&command)?;
        self.check_observation(key, &command)?;
        let client = self.book.client(key);
        operation(&command, Manner::of(client), settings.format)
            .map_err(|reason| Refused::Unencodable { reason })?;
        let asked = self.needs_asking(key, &command);
        let awake = listens(client, self.config.awake_window, ms(now.instant));
        if asked && !awake && !settings.queue {
            return Err(Refused::ClientAsleep);
        }
        let durable = !awake || !command.is_idempotent() || changes_observations(&command);
        if (durable || !asked) && !self.healthy {
            return Err(Refused::StoreFailing);
        }
        let bytes = command.value_bytes();
        if durable && bytes > KEPT_VALUES_MAX {
            return Err(Refused::TooLargeToKeep {
                bytes,
                limit: KEPT_VALUES_MAX,
            });
        }
        let limit = self.config.queue_depth;
        if client
            .work
            .as_ref()
            .is_some_and(|work| work.waiting.len() >= limit)
        {
            return Err(Refused::QueueFull { limit });
        }
        if self.requests.len() >= REQUESTS_MAX {
            return Err(Refused::ServerFull {
                limit: REQUESTS_MAX,
            });
        }
        let shard = client.id.virtual_shard();
        self.last_stamp = (self.last_stamp + 1).max(now.wall.0);
        let id = RequestId::stamped(self.config.node, shard, self.last_stamp, &mut self.random);
        let request = self
            .requests
            .insert(Request::new(id, key, command, settings, now));
        if !asked {
            self.cancel_quietly(now, key, request);
            return Ok(RequestTicket {
                id,
                state: RequestState::Sent,
            });
        }
        self.book.client_mut(key).work().waiting.push_back(request);
        if !awake {
            self.store_waiting(key, request);
        }
        self.dispatch(now, key);
        self.rearm(now, key);
        let state = match self
            .requests
            .find(id)
            .map(|request| self.requests.get(request).wire)
        {
            Some(None) if awake => RequestState::Waiting,
            Some(None) => RequestState::Queued,
            Some(Some(_)) | None => RequestState::Sent,
        };
        Ok(RequestTicket { id, state })
    }

    /// The Client of a command.
    pub(super) fn registered(&self, endpoint: &EndpointName) -> Result<ClientKey, Refused> {
        self.book.find(endpoint.as_str()).ok_or_else(|| {
            self.departures
                .get(endpoint.as_str())
                .map_or(Refused::ClientUnknown, |departed| Refused::ClientExpired {
                    at: departed.at,
                    reason: departed.reason,
                })
        })
    }

    fn check_observation(&self, key: ClientKey, command: &Command) -> Result<(), Refused> {
        let path = command.path();
        let observed = self.observed_at(key, path);
        match command {
            Command::Observe { .. } if observed.is_some() => Err(Refused::AlreadyObserved { path }),
            Command::Observe { .. } => {
                let work = self.book.client(key).work.as_ref();
                let count = work.map_or(0, |work| work.observations.len());
                if count >= OBSERVATIONS_MAX {
                    return Err(Refused::TooManyObservations {
                        limit: OBSERVATIONS_MAX,
                    });
                }
                Ok(())
            }
            Command::Cancel { .. } if observed.is_none() => Err(Refused::NotObserved { path }),
            _ => Ok(()),
        }
    }

    /// Whether the Client has to be asked. An observation that it does not hold at present, or
    /// whose next notification shall be reset, ends on our side.
    fn needs_asking(&self, key: ClientKey, command: &Command) -> bool {
        let Command::Cancel { path, by } = command else {
            return true;
        };
        let held = self
            .observed_at(key, *path)
            .is_some_and(|observed| self.observations.get(observed).relation.is_some());
        held && *by == CancelBy::Observe
    }

    fn cancel_quietly(&mut self, now: Now, key: ClientKey, request: u32) {
        let path = self.requests.get(request).command.path();
        if let Some(observed) = self.observed_at(key, path) {
            self.detach(observed);
            self.end_observation(now, observed, ObservationEnd::Cancelled);
        }
        self.complete(now, request, Outcome::Done);
        self.dispatch(now, key);
    }

    /// Writes the record of a request that waits for a Client that sleeps.
    fn store_waiting(&mut self, key: ClientKey, request: u32) {
        let client = self.book.client(key);
        let waiting = self.requests.get_mut(request);
        waiting.stored = true;
        let record = waiting.record(client, RequestState::Queued);
        self.effects.change(Change::Request(Box::new(record)));
    }

    /// The Client has fallen asleep: what waits for it is kept durably, or fails.
    pub(super) fn store_queue(&mut self, now: Now, key: ClientKey) {
        let Some(work) = &self.book.client(key).work else {
            return;
        };
        let unstored = |request: &&u32| !self.requests.get(**request).stored;
        for request in work
            .waiting
            .iter()
            .filter(unstored)
            .copied()
            .collect::<Vec<_>>()
        {
            let waiting = self.requests.get(request);
            if !waiting.queue || waiting.command.value_bytes() > KEPT_VALUES_MAX {
                let work = self.book.client_mut(key).work();
                work.waiting.retain(|waiting| *waiting != request);
                self.complete(now, request, Outcome::Failed(Failed::TimedOut));
            } else if self.healthy {
                self.store_waiting(key, request);
            } else {
                self.arrears.insert(key);
            }
        }
    }

    /// Sends the next request of a Client, if it listens and nothing else is under way. One at a
    /// time: NSTART is 1, and devices lose what comes at once.
    pub(super) fn dispatch(&mut self, now: Now, key: ClientKey) {
        let at = ms(now.instant);
        while self.may_send(key, at) {
            if let Some(observation) = self.next_renewal(key) {
                match self.renew(now, key, observation) {
                    Ok(()) => return,
                    Err(_) => return self.retry_later(now, key),
                }
            }
            let Some(request) = self.next_waiting(key) else {
                return;
            };
            match self.send(now, key, request) {
                Sending::UnderWay => return,
                Sending::Over => {}
                Sending::Later => {
                    self.wait_again(key, request);
                    return self.retry_later(now, key);
                }
            }
        }
    }

    fn may_send(&self, key: ClientKey, at: Ms) -> bool {
        let client = self.book.client(key);
        let Some(work) = &client.work else {
            return false;
        };
        work.in_flight.is_none()
            && at >= self.send_from(key)
            && listens(client, self.config.awake_window, at)
            && self.is_reachable_securely(key)
    }

    /// Before this a Client is left alone: it has just been answered, or the transport was full.
    pub(super) fn send_from(&self, key: ClientKey) -> Ms {
        let client = self.book.client(key);
        let settle = Ms::try_from(self.config.settle.as_millis()).unwrap_or(0);
        let not_before = client.work.as_ref().map_or(Ms::MIN, |work| work.not_before);
        not_before.max(if settle == 0 {
            Ms::MIN
        } else {
            client.refreshed + settle
        })
    }

    /// A Client that registered with security is spoken to with the same security, never without:
    /// after a restart it must be heard first.
    fn is_reachable_securely(&self, key: ClientKey) -> bool {
        let client = self.book.client(key);
        *client.identity() == dunlin_transport::Identity::None
            || self
                .transport
                .peer(client.peer)
                .is_some_and(|peer| peer.identity == *client.identity())
    }

    fn retry_later(&mut self, now: Now, key: ClientKey) {
        self.book.client_mut(key).work().not_before = ms(now.instant) + RETRY_MS;
        self.rearm(now, key);
    }

    /// Takes the next request off the queue. While the store fails, those that need it wait on.
    fn next_waiting(&mut self, key: ClientKey) -> Option<u32> {
        let Self { book, requests, .. } = self;
        let work = book.client_mut(key).work();
        let healthy = self.healthy;
        let at = work.waiting.iter().position(|request| {
            let request = requests.get(*request);
            healthy
                || !request.stored
                    && request.command.is_idempotent()
                    && !changes_observations(&request.command)
        })?;
        work.waiting.remove(at)
    }

    fn wait_again(&mut self, key: ClientKey, request: u32) {
        let waiting = &mut self.book.client_mut(key).work().waiting;
        self.requests.put_back(waiting, request);
    }

    fn send(&mut self, now: Now, key: ClientKey, request: u32) -> Sending {
        let client = self.book.client(key);
        let asked = self.requests.get(request);
        if let Command::Cancel { path, .. } = asked.command {
            return self.send_cancel(now, key, request, path);
        }
        let operation = match operation(&asked.command, Manner::of(client), asked.format) {
            Ok(operation) => operation,
            Err(reason) => {
                self.complete(now, request, Outcome::Failed(Failed::Unencodable(reason)));
                return Sending::Over;
            }
        };
        if !asked.command.is_idempotent() {
            // Once it is on its way it is never sent again: that must be known after a crash.
            let record = asked.record(client, RequestState::Sent);
            self.effects.change(Change::Request(Box::new(record)));
            self.requests.get_mut(request).stored = true;
        }
        match self.transmit(now, key, &operation, Some(request)) {
            Ok(wire) => {
                self.under_way(key, wire, InFlight::Request(request));
                Sending::UnderWay
            }
            Err(_) => Sending::Later,
        }
    }

    fn send_cancel(
        &mut self,
        now: Now,
        key: ClientKey,
        request: u32,
        path: dunlin_lwm2m::Path,
    ) -> Sending {
        let relation = self
            .observed_at(key, path)
            .and_then(|observed| self.observations.get(observed).relation);
        let Some(relation) = relation else {
            // Meanwhile the Client has dropped it: nothing is left to be asked.
            if let Some(observed) = self.observed_at(key, path) {
                self.end_observation(now, observed, ObservationEnd::Cancelled);
            }
            self.complete(now, request, Outcome::Done);
            return Sending::Over;
        };
        let carriage = Carriage {
            barrier: self.effects.upcoming(),
            ..self.carriage(now, self.requests.get(request).timeout)
        };
        match self.transport.cancel_by_observe(now, relation, carriage) {
            Ok(wire) => {
                // From here on nobody knows whether the Client still observes, so we do not say so;
                // what it tells all the same is reset. That must outlive a crash.
                if let Some(observed) = self.observed_at(key, path) {
                    self.detach(observed);
                    self.end_observation(now, observed, ObservationEnd::Cancelled);
                }
                self.under_way(key, wire, InFlight::Request(request));
                Sending::UnderWay
            }
            Err(_) => Sending::Later,
        }
    }

    /// Hands an operation to the transport.
    pub(super) fn transmit(
        &mut self,
        now: Now,
        key: ClientKey,
        operation: &Operation,
        request: Option<u32>,
    ) -> Result<WireId, dunlin_transport::Refused> {
        let timeout = request.map_or(crate::command::TIMEOUT_DEFAULT, |request| {
            self.requests.get(request).timeout
        });
        let carriage = self.carriage(now, timeout);
        let client = self.book.client(key);
        self.transport
            .request(now, client.peer, client.links.root(), operation, carriage)
    }

    /// A request never overtakes the answer to the uplink that set it free. While the store fails it
    /// waits for its own commit alone: the answers of other Clients may be held back for hours, and
    /// a Read needs no disk.
    fn carriage(&self, now: Now, timeout: std::time::Duration) -> Carriage {
        let barrier = if self.healthy {
            self.effects.latest()
        } else {
            self.effects.barrier()
        };
        Carriage {
            barrier,
            deadline: Some(now.instant.saturating_add(timeout)),
        }
    }

    pub(super) fn under_way(&mut self, key: ClientKey, wire: WireId, what: InFlight) {
        self.requests.sent(wire, key, what);
        self.book.client_mut(key).work().in_flight = Some(what);
        self.stats.requests_sent += 1;
    }

    // Answers.

    pub(super) fn on_answered(&mut self, now: Now, wire: WireId, answer: &Answer) {
        let Some((key, what)) = self.requests.ended(wire) else {
            return self.on_step_answered(now, wire, answer);
        };
        self.book.client_mut(key).work().in_flight = None;
        self.stats.requests_answered += 1;
        match what {
            InFlight::Request(request) => self.request_answered(now, key, request, answer),
            InFlight::Renewal(observation) => self.renewed(now, key, observation, answer),
        }
        self.book.client_mut(key).tidy();
        self.dispatch(now, key);
        self.rearm(now, key);
    }

    fn request_answered(&mut self, now: Now, key: ClientKey, request: u32, answer: &Answer) {
        let client = self.book.client(key);
        let asked = self.requests.get(request);
        if !asked.fell_back
            && asked.format.is_none()
            && let Some(next) = fallback(answer.code, &asked.command, Manner::of(client))
        {
            self.fall_back(key, next);
            self.requests.get_mut(request).fell_back = true;
            self.wait_again(key, request);
            return;
        }
        let model = self.registry.model(&client.links, client.version);
        let (answered, deviations) =
            read_answer(&asked.command, answer, client.links.root(), &model);
        let command = asked.command.clone();
        let client = self.book.client_mut(key);
        client.deviations.extend(deviations);
        client.formats.old_numbers |= answer
            .format
            .is_some_and(dunlin_lwm2m::ContentFormat::is_old);
        if let Command::Observe { path, renew } = command {
            self.established(now, key, path, renew, request, answer);
        }
        self.complete(now, request, Outcome::Answered(Box::new(answered)));
    }

    /// Remembers that the Client refuses the format that its version prescribes.
    pub(super) fn fall_back(&mut self, key: ClientKey, next: Fallback) {
        let formats = &mut self.book.client_mut(key).formats;
        match next {
            Fallback::Read(rule) => formats.read = Some(rule),
            Fallback::Write(format) => formats.write = Some(format),
        }
    }

    pub(super) fn on_failed(&mut self, now: Now, wire: WireId, failure: Failure) {
        let Some((key, what)) = self.requests.ended(wire) else {
            return self.on_step_failed(now, wire, failure);
        };
        let client = self.book.client_mut(key);
        client.work().in_flight = None;
        if failure == Failure::TimedOut {
            client.unanswered = client.unanswered.saturating_add(1);
            client.silent = sleeps(client);
        }
        match what {
            InFlight::Request(request) => self.request_failed(now, key, request, failure),
            InFlight::Renewal(observation) => self.renewal_failed(observation),
        }
        self.update_presence(now, key);
        self.book.client_mut(key).tidy();
        self.dispatch(now, key);
        self.rearm(now, key);
    }

    fn request_failed(&mut self, now: Now, key: ClientKey, request: u32, failure: Failure) {
        let silent = self.book.client(key).silent;
        let asked = self.requests.get_mut(request);
        asked.attempts = asked.attempts.saturating_add(1);
        let again = failure == Failure::TimedOut
            && silent
            && asked.queue
            && asked.command.is_idempotent()
            && asked.attempts < ATTEMPTS_MAX;
        if again {
            // It sleeps: the request is the first when it wakes.
            self.wait_again(key, request);
            if self.healthy {
                self.store_waiting(key, request);
            }
            return;
        }
        let failed = match failure {
            Failure::TimedOut => Failed::TimedOut,
            Failure::Reset => Failed::Reset,
            Failure::TooLarge | Failure::Changed => Failed::TooLarge,
            Failure::Cancelled => Failed::Cancelled,
            _ => Failed::Unintelligible,
        };
        self.complete(now, request, Outcome::Failed(failed));
    }

    /// A request is over. It stands in no list any more; here it is told.
    pub(super) fn complete(&mut self, now: Now, request: u32, outcome: Outcome) {
        let request = self.requests.remove(request);
        if !matches!(outcome, Outcome::Answered(_) | Outcome::Done) {
            self.stats.requests_failed += 1;
        }
        if request.stored {
            self.effects.change(Change::EndRequest(request.id));
        }
        // The end of a plain Read is told at once, and logged when it comes to that.
        let barrier = self.effects.barrier();
        if request.stored || self.healthy {
            let kind = EventKind::Completed {
                request: request.id,
                command: Box::new(request.command.logged()),
                outcome: outcome.clone(),
            };
            let endpoint = self.book.client(request.client).endpoint.clone();
            self.effects.event(Event {
                endpoint,
                at: now.wall,
                kind,
            });
        }
        self.effects.completed(request.id, outcome, barrier);
    }

    pub(super) fn take_cancel(&mut self, now: Now, id: RequestId) -> Result<(), Refused> {
        let request = self.requests.find(id).ok_or(Refused::RequestUnknown)?;
        let (stored, wire, key) = {
            let request = self.requests.get(request);
            (request.stored, request.wire, request.client)
        };
        if stored && !self.healthy {
            return Err(Refused::StoreFailing);
        }
        let work = self.book.client_mut(key).work();
        if let Some(wire) = wire {
            self.requests.ended(wire);
            work.in_flight = None;
            let _ = self.transport.cancel_request(now, wire);
        } else {
            work.waiting.retain(|waiting| *waiting != request);
        }
        self.complete(now, request, Outcome::Failed(Failed::Cancelled));
        self.book.client_mut(key).tidy();
        self.dispatch(now, key);
        self.rearm(now, key);
        Ok(())
    }
}

/// Whether something about an observation is stored when this is sent or answered.
fn changes_observations(command: &Command) -> bool {
    matches!(command, Command::Observe { .. } | Command::Cancel { .. })
}
