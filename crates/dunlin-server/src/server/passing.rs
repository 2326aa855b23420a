//! What time does to Clients: presence, lifetimes, waiting requests, and the memory of those that
//! have gone.

use dunlin_lwm2m::operation::ResponseCode;
use dunlin_transport::{Now, PeerId, WallTime};

use super::{DUE_PER_TURN, Server};
use crate::change::{Change, Departure};
use crate::command::{Failed, Outcome};
use crate::config::DEPARTED_MAX;
use crate::effects::Output;
use crate::event::{LiveEvent, ObservationEnd, Presence};
use crate::presence::{overdue_from, presence, sleeps, window_end};
use crate::registration::{ClientKey, Ms, instant, ms};

/// While the store fails, what is due is looked at again after this.
const POSTPONED_MS: Ms = 10_000;

/// Clients that are forgotten in one turn.
const FORGOTTEN_PER_TURN: usize = 1_000;

impl Server {
    /// Somebody sends more than he may. Of a Client it is told by name; a stranger is a knock.
    pub(super) fn on_over_budget(&mut self, now: Now, peer: PeerId) {
        let Some(at) = self.transport.peer(peer) else {
            return;
        };
        let mut next = self.book.first_at_peer(peer);
        if next.is_none() {
            self.effects.live(Output::Event(LiveEvent::Refused {
                endpoint: None,
                at: now.wall,
                address: at.address,
                identity: at.identity,
                code: ResponseCode::ServiceUnavailable,
                reason: "more messages come from there than one Client may send; those beyond are dropped".into(),
            }));
            return;
        }
        while let Some(key) = next {
            next = self.book.next_at_peer(key);
            let endpoint = self.book.client(key).endpoint.clone();
            self.effects.live(Output::Event(LiveEvent::OverBudget {
                endpoint,
                at: now.wall,
                address: at.address.clone(),
            }));
        }
    }

    /// Any authentic message of a peer: its Clients are awake (TS 8.3), and what waits for them
    /// can go, after the answer to that message.
    pub(super) fn on_heard(&mut self, now: Now, peer: PeerId) {
        let mut next = self.book.first_at_peer(peer);
        while let Some(key) = next {
            next = self.book.next_at_peer(key);
            self.wake(now, key);
        }
    }

    /// A Client was heard.
    pub(super) fn wake(&mut self, now: Now, key: ClientKey) {
        let client = self.book.client_mut(key);
        client.contact = ms(now.instant);
        client.silent = false;
        client.unanswered = 0;
        if client.work.is_some() {
            self.ready.push(key);
        }
        self.update_presence(now, key);
        self.rearm(now, key);
    }

    /// Tells a change of presence. A Client that falls asleep has its queue stored.
    pub(super) fn update_presence(&mut self, now: Now, key: ClientKey) {
        let client = self.book.client(key);
        let presence = presence(client, self.config.awake_window, ms(now.instant));
        if presence == client.told {
            return;
        }
        let endpoint = client.endpoint.clone();
        self.book.client_mut(key).told = presence;
        let event = LiveEvent::Presence {
            endpoint,
            at: now.wall,
            presence,
        };
        self.effects.live(Output::Event(event));
        if presence != Presence::Awake && sleeps(self.book.client(key)) {
            self.store_queue(now, key);
        }
    }

    /// Sets the one timer of a Client to the next moment at which something may change for it.
    pub(super) fn rearm(&mut self, now: Now, key: ClientKey) {
        let client = self.book.client(key);
        let mut at = client.expires;
        if client.told != Presence::Overdue {
            at = at.min(overdue_from(client));
        }
        if client.told == Presence::Awake && sleeps(client) {
            at = at.min(window_end(client, self.config.awake_window));
        }
        if let Some(work) = &client.work {
            let send_from = self.send_from(key);
            if send_from > ms(now.instant) {
                at = at.min(send_from);
            }
            let expiries = work
                .waiting
                .iter()
                .map(|request| self.requests.get(*request).expires);
            at = expiries.min().map_or(at, |expiry| at.min(expiry));
        }
        // One that fires too early comes back here. So a Client that goes on refreshing does not
        // touch the wheel.
        let client = self.book.client_mut(key);
        if at < client.armed {
            client.armed = at;
            self.said = None;
            self.timers.set(key, instant(at));
        }
    }

    /// The timer of a Client: whatever is due, and the timer again.
    pub(super) fn on_client_timer(&mut self, now: Now, key: ClientKey) {
        let at = ms(now.instant);
        let client = self.book.client_mut(key);
        client.armed = Ms::MAX;
        if client.expires <= at {
            if self.healthy {
                self.stats.expirations += 1;
                self.depart(now, key, Departure::Expired);
            } else {
                client.armed = at + POSTPONED_MS;
                self.timers.set(key, instant(at + POSTPONED_MS));
            }
            return;
        }
        self.update_presence(now, key);
        if self.healthy {
            self.expire_requests(now, key);
        }
        self.dispatch(now, key);
        self.rearm(now, key);
        if !self.healthy {
            // What is due and cannot be done now must not wake us at once again.
            let client = self.book.client_mut(key);
            client.armed = client.expires.min(at + POSTPONED_MS);
            let earliest = instant(client.armed);
            self.timers.clear(key);
            self.timers.set(key, earliest);
        }
    }

    /// Requests that have waited longer than they may.
    fn expire_requests(&mut self, now: Now, key: ClientKey) {
        let at = ms(now.instant);
        let Self { book, requests, .. } = self;
        let Some(work) = &mut book.client_mut(key).work else {
            return;
        };
        let mut due = Vec::new();
        work.waiting.retain(|request| {
            let waits = requests.get(*request).expires > at;
            if !waits {
                due.push(*request);
            }
            waits
        });
        for request in due {
            self.complete(now, request, Outcome::Failed(Failed::Expired));
        }
        self.book.client_mut(key).tidy();
    }

    /// The store works again: stores what it could not take, a bounded part at a time.
    pub(super) fn store_arrears(&mut self, now: Now) {
        self.arrears_timeout = None;
        if !self.healthy {
            return;
        }
        for _ in 0..DUE_PER_TURN {
            let Some(key) = self.arrears.pop_first() else {
                return;
            };
            // The key may have been given to another Client since: then nothing is due.
            let Some(client) = self.book.get(key) else {
                continue;
            };
            let sleeps = client.told != Presence::Awake && sleeps(client);
            self.store_expiry_if_due(now, key);
            if sleeps {
                self.store_queue(now, key);
            }
        }
        self.arrears_timeout = Some(now.instant);
    }

    /// Drops the memory of Clients that have been gone for long enough.
    pub(super) fn forget_departed(&mut self, now: Now) {
        if !self.healthy {
            return;
        }
        let keep_ms = u64::try_from(self.config.departed_for.as_millis()).unwrap_or(u64::MAX);
        let before = WallTime(now.wall.0.saturating_sub(keep_ms));
        for _ in 0..FORGOTTEN_PER_TURN {
            let Some(endpoint) = self.departures.surplus(before, DEPARTED_MAX) else {
                return;
            };
            for observed in self.departures.observations(endpoint.as_str()).to_vec() {
                self.end_observation(now, observed, ObservationEnd::Forgotten);
            }
            self.departures.remove(endpoint.as_str());
            self.effects.change(Change::Forget { endpoint });
        }
    }
}
