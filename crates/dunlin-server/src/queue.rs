//! Requests to Clients, from the command to the outcome: what waits, and what is under way.

use std::collections::VecDeque;
use std::time::Duration;

use dunlin_lwm2m::ContentFormat;
use dunlin_transport::{Now, RequestId as WireId, WallTime};
use hashbrown::HashMap;
use slab::Slab;

use crate::change;
use crate::command::{Command, RequestState, RequestView, Settings};
use crate::id::RequestId;
use crate::registration::{Client, ClientKey, InFlight, Ms, ms, ms_of};

/// A request that has not ended.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) id: RequestId,
    pub(crate) client: ClientKey,
    pub(crate) command: Command,
    pub(crate) timeout: Duration,
    pub(crate) format: Option<ContentFormat>,
    /// Whether it may wait for a Client that sleeps.
    pub(crate) queue: bool,
    pub(crate) made_at: WallTime,
    pub(crate) expires_at: WallTime,
    pub(crate) expires: Ms,
    pub(crate) attempts: u8,
    /// Whether the store has a record of it.
    pub(crate) stored: bool,
    /// What is under way for it below.
    pub(crate) wire: Option<WireId>,
    /// Another format was tried already.
    pub(crate) fell_back: bool,
}

impl Request {
    pub(crate) fn new(
        id: RequestId,
        client: ClientKey,
        command: Command,
        settings: Settings,
        now: Now,
    ) -> Self {
        let expires_ms = Ms::try_from(settings.expires.as_millis()).unwrap_or(Ms::MAX / 4);
        Self {
            id,
            client,
            command,
            timeout: settings.timeout,
            format: settings.format,
            queue: settings.queue,
            made_at: now.wall,
            expires_at: now.wall.plus(settings.expires),
            expires: ms(now.instant).saturating_add(expires_ms),
            attempts: 0,
            stored: false,
            wire: None,
            fell_back: false,
        }
    }

    /// As it was stored, while it waited.
    pub(crate) fn restored(record: change::Request, client: ClientKey, now: Now) -> Self {
        Self {
            id: record.id,
            client,
            command: record.command,
            timeout: record.timeout,
            format: record.format,
            queue: true,
            made_at: record.made_at,
            expires_at: record.expires_at,
            expires: ms_of(now, record.expires_at),
            attempts: record.attempts,
            stored: true,
            wire: None,
            fell_back: false,
        }
    }

    /// Its record.
    pub(crate) fn record(&self, client: &Client, state: RequestState) -> change::Request {
        change::Request {
            id: self.id,
            endpoint: client.endpoint.clone(),
            command: self.command.clone(),
            timeout: self.timeout,
            format: self.format,
            made_at: self.made_at,
            expires_at: self.expires_at,
            state,
            attempts: self.attempts,
        }
    }

    /// What operators see of it. `listens`: whether the Client is awake.
    pub(crate) fn view(&self, client: &Client, listens: bool) -> RequestView {
        let state = match self.wire {
            Some(_) => RequestState::Sent,
            None if listens => RequestState::Waiting,
            None => RequestState::Queued,
        };
        RequestView {
            id: self.id,
            endpoint: client.endpoint.clone(),
            command: self.command.clone(),
            state,
            made_at: self.made_at,
            expires_at: self.expires_at,
            attempts: self.attempts,
        }
    }
}

/// All requests, found by key, by id, and by what is under way below.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    requests: Slab<Request>,
    by_id: HashMap<RequestId, u32>,
    by_wire: HashMap<WireId, (ClientKey, InFlight)>,
}

impl Requests {
    pub(crate) fn len(&self) -> usize {
        self.requests.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Request> {
        self.requests.iter().map(|(_, request)| request)
    }

    /// Puts a request that was sent back to where it waited: the stamps of ids rise, and after a restart they
    /// are the order, too. Mostly that is the head.
    pub(crate) fn put_back(&self, waiting: &mut VecDeque<u32>, request: u32) {
        let stamp = self.get(request).id.stamp();
        let later = |other: &u32| self.get(*other).id.stamp() > stamp;
        let at = waiting.iter().position(later).unwrap_or(waiting.len());
        waiting.insert(at, request);
    }

    pub(crate) fn insert(&mut self, request: Request) -> u32 {
        let id = request.id;
        let key = self.requests.insert(request) as u32;
        self.by_id.insert(id, key);
        key
    }

    /// # Panics
    /// When there is no such request: a key is dropped from its Client's list when it ends.
    pub(crate) fn get(&self, key: u32) -> &Request {
        &self.requests[key as usize]
    }

    /// As [`Self::get`].
    pub(crate) fn get_mut(&mut self, key: u32) -> &mut Request {
        &mut self.requests[key as usize]
    }

    pub(crate) fn find(&self, id: RequestId) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    pub(crate) fn remove(&mut self, key: u32) -> Request {
        let request = self.requests.remove(key as usize);
        self.by_id.remove(&request.id);
        if let Some(wire) = request.wire {
            self.by_wire.remove(&wire);
        }
        request
    }

    /// Something is under way under this name below.
    pub(crate) fn sent(&mut self, wire: WireId, client: ClientKey, what: InFlight) {
        if let InFlight::Request(key) = what {
            self.get_mut(key).wire = Some(wire);
        }
        self.by_wire.insert(wire, (client, what));
    }

    /// What was under way has ended, well or not; `None` when nobody waits for it any more.
    pub(crate) fn ended(&mut self, wire: WireId) -> Option<(ClientKey, InFlight)> {
        let (client, what) = self.by_wire.remove(&wire)?;
        if let InFlight::Request(key) = what {
            self.get_mut(key).wire = None;
        }
        Some((client, what))
    }
}
