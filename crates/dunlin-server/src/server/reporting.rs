//! Information reporting; TS 1.0 §5.5: observations, what they tell, and how they live on.

use dunlin_lwm2m::Path;
use dunlin_lwm2m::operation::{Operation, ResponseCode};
use dunlin_transport::{
    Answer, ExchangeId, Now, ObservationEnd as WireEnd, PeerId, Relation, Token,
};
use dunlin_transport::{Refused as WireRefused, WallTime};

use super::Server;
use crate::change::{Change, NotificationKey};
use crate::command::Command;
use crate::downlink::{Manner, fallback, read_values};
use crate::event::{Event, EventKind, ObservationEnd, Sample};
use crate::observation::{GONE, Observation, RENEWALS_MAX, digest};
use crate::registration::{ClientKey, InFlight};

/// A sequence number older than this says nothing about the order of notifications (RFC 7641
/// §3.4): 128 s.
const FRESHNESS_MS: u64 = 128_000;

/// A notification, as it came.
pub(super) struct Notification {
    pub(super) peer: PeerId,
    pub(super) token: Token,
    pub(super) exchange: ExchangeId,
    pub(super) sequence: Option<u32>,
    pub(super) fresh: bool,
    pub(super) answer: Answer,
}

impl Server {
    /// The observation of a Client at this path.
    pub(super) fn observed_at(&self, key: ClientKey, path: Path) -> Option<u32> {
        let work = self.book.client(key).work.as_ref()?;
        let here = |observed: &&u32| self.observations.get(**observed).path == path;
        work.observations.iter().find(here).copied()
    }

    // Establishing.

    /// A Client has agreed to tell, or has answered without agreeing.
    pub(super) fn established(
        &mut self,
        now: Now,
        key: ClientKey,
        path: Path,
        renew: bool,
        request: u32,
        answer: &Answer,
    ) {
        let Some(relation) = answer.observation else {
            return;
        };
        if let Some(before) = self.observed_at(key, path) {
            // Two commands for one path crossed: the later one counts.
            self.detach(before);
            self.end_observation(now, before, ObservationEnd::Cancelled);
        }
        let client = self.book.client(key);
        let observation = Observation {
            endpoint: client.endpoint.clone(),
            client: key,
            path,
            token: relation.token,
            established: Some(client.id),
            renew,
            format: self.requests.get(request).format,
            made_at: now.wall,
            last: None,
            relation: Some(relation.id),
            renewal: None,
            skipped: false,
            renewals: 0,
        };
        self.effects
            .change(Change::Observe(Box::new(observation.record())));
        let observed = self.observations.insert(observation);
        self.book.client_mut(key).work().observations.push(observed);
    }

    /// The next observation of a Client that has to be made again: a Client drops its observations
    /// when it registers, and the Server makes those anew that it wants (TS 5.5.1).
    pub(super) fn next_renewal(&self, key: ClientKey) -> Option<u32> {
        if !self.healthy {
            return None;
        }
        let client = self.book.client(key);
        client
            .work
            .as_ref()?
            .observations
            .iter()
            .copied()
            .find(|observed| {
                let observed = self.observations.get(*observed);
                observed.established != Some(client.id) && observed.renewals < RENEWALS_MAX
            })
    }

    pub(super) fn renew(
        &mut self,
        now: Now,
        key: ClientKey,
        observed: u32,
    ) -> Result<(), WireRefused> {
        let observation = self.observations.get(observed);
        let accept = Manner::of(self.book.client(key)).accept(observation.format);
        let operation = Operation::Observe {
            path: observation.path,
            accept,
        };
        let wire = self.transmit(now, key, &operation, None)?;
        self.observations.get_mut(observed).renewal = Some(wire);
        self.under_way(key, wire, InFlight::Renewal(observed));
        Ok(())
    }

    pub(super) fn stop_renewal(&mut self, now: Now, observed: u32) {
        if let Some(wire) = self.observations.get_mut(observed).renewal.take() {
            self.requests.ended(wire);
            let _ = self.transport.cancel_request(now, wire);
        }
    }

    pub(super) fn renewal_failed(&mut self, observed: u32) {
        let observation = self.observations.get_mut(observed);
        observation.renewal = None;
        observation.renewals += 1;
    }

    pub(super) fn renewed(&mut self, now: Now, key: ClientKey, observed: u32, answer: &Answer) {
        let client = self.book.client(key);
        let observation = self.observations.get_mut(observed);
        observation.renewal = None;
        let (path, renew) = (observation.path, observation.renew);
        if observation.format.is_none()
            && client.formats.read.is_none()
            && let Some(next) = fallback(
                answer.code,
                &Command::Observe { path, renew },
                Manner::of(client),
            )
        {
            return self.fall_back(key, next);
        }
        let Some(relation) = answer.observation else {
            return self.not_renewed(now, observed, answer.code);
        };
        observation.established = Some(client.id);
        observation.relation = Some(relation.id);
        observation.renewals = 0;
        observation.last = None;
        self.observations.set_token(observed, relation.token);
        let record = self.observations.get(observed).record();
        self.effects.change(Change::Observe(Box::new(record)));
        let kind = self.told(now, key, path, answer, false);
        self.tell(now, observed, kind);
    }

    /// The Client answered, and does not observe.
    fn not_renewed(&mut self, now: Now, observed: u32, code: Result<ResponseCode, u8>) {
        match code {
            // Its table is full or it is busy: it may go better after its next message.
            Ok(ResponseCode::ServiceUnavailable | ResponseCode::InternalServerError) => {
                self.renewal_failed(observed);
            }
            Ok(code) if code.is_success() => {
                self.end_observation(now, observed, ObservationEnd::NotEstablished);
            }
            code => self.end_observation(now, observed, ObservationEnd::NotRenewed(code)),
        }
    }

    /// Lets go of the relation below: what still comes under its token is reset.
    pub(super) fn detach(&mut self, observed: u32) {
        if let Some(relation) = self.observations.get_mut(observed).relation.take() {
            // Refused only when it has ended there already.
            let _ = self.transport.cancel_by_reset(relation);
        }
    }

    /// Gives an established observation to the transport: after a restart, or when its Client is
    /// heard from another peer.
    pub(super) fn attach(&mut self, now: Now, observed: u32) {
        let observation = self.observations.get(observed);
        if observation.client == GONE || observation.relation.is_some() {
            return;
        }
        let client = self.book.client(observation.client);
        if observation.established != Some(client.id) {
            return;
        }
        let accept = Manner::of(client).accept(observation.format);
        let operation = Operation::Observe {
            path: observation.path,
            accept,
        };
        let last = observation
            .last
            .filter(|last| now.wall.0 < last.at.0 + FRESHNESS_MS);
        let relation = self.transport.restore_observation(
            now,
            client.peer,
            client.links.root(),
            &operation,
            observation.token,
            last.map(|last| last.sequence),
        );
        // Refused when there are too many: its notifications are strays then, and are taken up
        // one by one.
        self.observations.get_mut(observed).relation = relation.ok();
    }

    // Ending.

    pub(super) fn end_observation(&mut self, now: Now, observed: u32, reason: ObservationEnd) {
        if self.observations.get(observed).renewal.is_some() {
            // It is just being made again: that is over too.
            self.stop_renewal(now, observed);
            let client = self.observations.get(observed).client;
            self.book.client_mut(client).work().in_flight = None;
        }
        let observation = self.observations.remove(observed);
        let list = match observation.client {
            GONE => self
                .departures
                .observations_mut(observation.endpoint.as_str()),
            key => self
                .book
                .client_mut(key)
                .work
                .as_mut()
                .map(|work| &mut work.observations),
        };
        if let Some(list) = list {
            list.retain(|other| *other != observed);
        }
        let Observation { endpoint, path, .. } = observation;
        self.effects.change(Change::Unobserve {
            endpoint: endpoint.clone(),
            path,
        });
        let kind = EventKind::ObservationEnded { path, reason };
        self.effects.event(Event {
            endpoint,
            at: now.wall,
            kind,
        });
    }

    pub(super) fn on_observation_ended(&mut self, now: Now, relation: Relation, reason: WireEnd) {
        let Some(observed) = self.observations.find(relation.token) else {
            return;
        };
        if self.observations.get(observed).relation != Some(relation.id) {
            return;
        }
        self.observations.get_mut(observed).relation = None;
        // Cancelled and final ones end where we learn why; a peer that is forgotten is the
        // transport's memory running over, and the observation lives on at the Client.
        if reason == WireEnd::Final {
            self.end_observation(now, observed, ObservationEnd::NotEstablished);
        }
    }

    // Notifications.

    pub(super) fn on_notification(&mut self, now: Now, notification: Notification) {
        let exchange = notification.exchange;
        if self.comes_from_elsewhere(&notification) {
            let _ = self.transport.ignore(now, exchange);
            return;
        }
        let Some((key, observed)) = self.observation_of(&notification) else {
            // The Client observes for somebody that is no more: a Reset cancels it there.
            self.stats.notifications_stray += 1;
            let _ = self.transport.reject(now, exchange);
            return;
        };
        self.attach(now, observed);
        let ends = match (notification.answer.code, notification.sequence) {
            // Some send 2.04 or 2.03 instead of 2.05.
            (Ok(code), Some(_)) if code.is_success() => false,
            (Err(byte), Some(_)) if byte >> 5 == 2 => false,
            _ => true,
        };
        if !self.healthy {
            // Without an acknowledgement the Client sends it again, when we can keep it.
            let _ = self.transport.ignore(now, exchange);
            self.observations.get_mut(observed).skipped = true;
            return;
        }
        if ends {
            self.final_notification(now, observed, &notification);
        } else {
            self.take_notification(now, key, observed, &notification);
        }
        let _ = self
            .transport
            .acknowledge(now, exchange, self.effects.latest());
        self.book.client_mut(key).tidy();
        self.rearm(now, key);
    }

    /// The observation that a notification belongs to, if its Client holds it under its present
    /// registration and is heard where it is registered.
    fn observation_of(&self, notification: &Notification) -> Option<(ClientKey, u32)> {
        let observed = self.observations.find(notification.token)?;
        let observation = self.observations.get(observed);
        let key = observation.client;
        let client = self.book.get(key)?;
        let current =
            observation.established == Some(client.id) && client.peer == notification.peer;
        current.then_some((key, observed))
    }

    /// The token is that of an observation which its Client holds, and the Client is registered
    /// elsewhere: its network has given it another address, and it does not know yet. A Reset would
    /// end the observation there and not here. Unanswered, it stores the value, updates, and tells
    /// it again (RFC 7641 §4.5, TS 1.0 §5.5).
    fn comes_from_elsewhere(&self, notification: &Notification) -> bool {
        let observed = self.observations.find(notification.token);
        observed.is_some_and(|observed| {
            let observation = self.observations.get(observed);
            self.book.get(observation.client).is_some_and(|client| {
                observation.established == Some(client.id) && client.peer != notification.peer
            })
        })
    }

    fn take_notification(
        &mut self,
        now: Now,
        key: ClientKey,
        observed: u32,
        notification: &Notification,
    ) {
        let sequence = notification
            .sequence
            .expect("one without it ends the observation");
        let digest = digest(&notification.answer);
        let observation = self.observations.get(observed);
        let path = observation.path;
        let known = observation
            .last
            .is_some_and(|last| last.sequence == sequence && last.digest == digest);
        if known {
            self.stats.notifications_duplicate += 1;
            return;
        }
        self.stats.notifications += 1;
        let skipped = std::mem::take(&mut self.observations.get_mut(observed).skipped);
        let fresh = notification.fresh || skipped && self.is_newer(now, observed, sequence);
        if fresh {
            let last = NotificationKey {
                sequence,
                digest,
                at: now.wall,
            };
            self.observations.get_mut(observed).last = Some(last);
            let endpoint = self.book.client(key).endpoint.clone();
            self.effects.change(Change::Notified {
                endpoint,
                path,
                key: last,
            });
        } else {
            self.stats.notifications_late += 1;
        }
        let kind = self.told(now, key, path, &notification.answer, !fresh);
        self.tell(now, observed, kind);
    }

    /// Whether a sequence number is newer than the last one taken; RFC 7641 §3.4.
    fn is_newer(&self, now: Now, observed: u32, sequence: u32) -> bool {
        self.observations.get(observed).last.is_none_or(|last| {
            let ahead = sequence.wrapping_sub(last.sequence) & 0xff_ffff;
            (1..1 << 23).contains(&ahead) || now.wall.0 > last.at.0 + FRESHNESS_MS
        })
    }

    /// An error, or an answer without Observe: the Client tells no more (RFC 7641 §3.2, §4.2).
    fn final_notification(&mut self, now: Now, observed: u32, notification: &Notification) {
        self.observations.get_mut(observed).relation = None;
        let reason = match notification.answer.code {
            Ok(code) if code.is_success() => ObservationEnd::NotEstablished,
            code => ObservationEnd::Error(code),
        };
        self.end_observation(now, observed, reason);
    }

    fn tell(&mut self, now: Now, observed: u32, kind: EventKind) {
        let endpoint = self.observations.get(observed).endpoint.clone();
        self.effects.event(Event {
            endpoint,
            at: now.wall,
            kind,
        });
    }

    /// What was told, with the Client's definitions.
    fn told(
        &mut self,
        now: Now,
        key: ClientKey,
        path: Path,
        answer: &Answer,
        late: bool,
    ) -> EventKind {
        let client = self.book.client(key);
        let model = self.registry.model(&client.links, client.version);
        let decoded = match read_values(path, answer, &model) {
            Ok(decoded) => decoded,
            Err(reason) => {
                self.stats.notifications_undecodable += 1;
                return EventKind::Undecodable {
                    path,
                    format: answer.format,
                    payload: answer.payload.clone(),
                    reason,
                };
            }
        };
        let at = |time: Option<dunlin_lwm2m::Timestamp>| {
            let arrived_ms = i64::try_from(now.wall.0).unwrap_or(i64::MAX);
            let time = time.map_or(arrived_ms, |time| time.resolve(arrived_ms));
            WallTime(u64::try_from(time).unwrap_or(0))
        };
        let mut values: Vec<Sample> = decoded
            .history
            .into_iter()
            .map(|timed| Sample {
                at: at(timed.at),
                node: timed.node,
            })
            .collect();
        if values.is_empty() {
            values.push(Sample {
                at: at(decoded.at),
                node: decoded.node,
            });
        }
        let client = self.book.client_mut(key);
        client.deviations.extend(decoded.deviations);
        client.formats.old_numbers |= answer
            .format
            .is_some_and(dunlin_lwm2m::ContentFormat::is_old);
        EventKind::Notified { path, values, late }
    }
}
