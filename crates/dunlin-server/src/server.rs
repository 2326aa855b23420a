//! The machine: one LwM2M Server, which is one shard.
//!
//! This file holds the order of things; what an uplink, a command, a notification or the passing
//! of time means is in the files below `server/`. Every mutation ends with [`Server::pump`], which
//! hands the news of the transport to those files until there is none, and then serves the
//! Clients that were found awake: the answer to an uplink leaves before what waited for it.

mod admitting;
mod asking;
mod bootstrapping;
mod leaving;
mod passing;
mod reporting;
mod restoring;
mod securing;
mod uplink;

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use dunlin_lwm2m::{EndpointName, Path, Registry};
use dunlin_transport::{
    Address, Event as WireEvent, Identity, Instant, Now, Output as WireOutput, PeerId, Port,
    Received, Side, Transport,
};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use self::bootstrapping::Bootstraps;
use self::reporting::Notification;
use self::uplink::Admission;
use crate::bootstrap::{Approach, BootstrapRun, Provision, Reach, RunFailure};
use crate::census::{Census, Counting};
use crate::change::{Departure, Snapshot};
use crate::command::{Command, Refused, RequestTicket, RequestView, Settings};
use crate::config::{DEPARTED_MAX, ServerConfig};
use crate::effects::{Effects, Output, Transmit};
use crate::event::LiveEvent;
use crate::id::{BootstrapRunId, RegistrationId, RequestId};
use crate::load::{Kind, Load, LoadView};
use crate::need::{Answer, NeedId};
use crate::observation::{Departures, Observations};
use crate::presence::{listens, presence};
use crate::queue::Requests;
use crate::registration::{Book, ClientKey, instant, ms};
use crate::timer::Wheel;
use crate::view::{
    ClientCursor, ClientFilter, ClientPage, ClientView, ListedClient, ObservationView, Stats,
};
use crate::waiting::WaitingRoom;

/// Clients looked at for one page of a list. A filter that fits few of a million must not hold up
/// the datagrams of the others.
const CLIENTS_SCANNED_MAX: usize = 20_000;

/// Clients whose timers are seen to in one call. After a long stop of the process all lifetimes may
/// have run out at once; they go into commits of this size, and datagrams are served between them.
const DUE_PER_TURN: usize = 512;

/// Clients that have gone are forgotten at this pace, some at a time.
const LEISURE: std::time::Duration = std::time::Duration::from_secs(1);

/// In a cursor: the list has come to those that have gone.
const DEPARTED_CURSOR: u64 = 1 << 63;

/// What a Server waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// A retransmission, a deadline or a memory of CoAP runs out.
    Transport,
    /// A Client falls asleep, is overdue or expires, or a request that waits for it does; perhaps
    /// none of these yet, because timers that move later are not taken out of their place.
    Client,
    /// A question to the node stays unanswered for too long.
    Admission,
    /// A bootstrap run takes too long, or the node does not say what its Client is to get.
    Bootstrap,
    /// A Client that has gone is to be forgotten.
    Departed,
    /// What could not be stored while the store failed is stored now.
    Arrears,
}

/// An LwM2M Server. One mutation (`handle_*`, `restore`, a command), then
/// [`Server::poll_output`] until it says [`Output::Timeout`].
#[derive(Debug)]
pub struct Server {
    config: ServerConfig,
    registry: Arc<Registry>,
    random: ChaCha12Rng,
    transport: Transport,
    effects: Effects,
    book: Book,
    timers: Wheel,
    requests: Requests,
    observations: Observations,
    departures: Departures,
    admissions: BTreeMap<NeedId, Admission>,
    bootstraps: Bootstraps,
    /// Questions of handshakes that the node has not answered yet.
    security_needs: BTreeMap<NeedId, securing::Asked>,
    last_need: u64,
    /// The stamp of the last request.
    last_stamp: u64,
    healthy: bool,
    load: Load,
    waiting: WaitingRoom,
    census: Counting,
    knocks: securing::KnockBudget,
    /// Clients of whom something was not stored because the store failed.
    arrears: BTreeSet<ClientKey>,
    arrears_timeout: Option<Instant>,
    /// Clients that were heard in this mutation and for whom something waits.
    ready: Vec<ClientKey>,
    transport_timeout: Option<Instant>,
    /// Who is known of those that were announced last; kept for its room.
    ahead: Vec<PeerId>,
    departed_timeout: Option<Instant>,
    /// What the last [`Output::Timeout`] said, until something changes: a refresh mostly changes none
    /// of what is waited for.
    said: Option<Option<Instant>>,
    stats: Stats,
}

impl Server {
    /// A Server that knows nobody. All chance it needs comes from `seed`.
    ///
    /// # Panics
    /// When the configuration owns no virtual shard.
    #[must_use]
    pub fn new(config: ServerConfig, registry: Arc<Registry>, seed: [u8; 32]) -> Self {
        assert!(
            !config.owned.is_empty(),
            "a Server owns at least one virtual shard"
        );
        let mut random = ChaCha12Rng::from_seed(seed);
        let mut transport_seed = [0; 32];
        random.fill_bytes(&mut transport_seed);
        let mut waiting_seed = [0; 32];
        random.fill_bytes(&mut waiting_seed);
        let side = Side::Server {
            strictness: config.strictness,
        };
        let coap = config.coap.clone();
        let dtls = config.dtls.clone();
        let config_of_transport = dunlin_transport::Config { side, coap, dtls };
        let mut transport = Transport::new(config_of_transport, transport_seed);
        transport.set_budget(config.budget);
        let mut server = Self {
            config,
            registry,
            random,
            transport,
            effects: Effects::default(),
            book: Book::new(),
            timers: Wheel::new(),
            requests: Requests::default(),
            observations: Observations::default(),
            departures: Departures::default(),
            admissions: BTreeMap::new(),
            bootstraps: Bootstraps::default(),
            security_needs: BTreeMap::new(),
            last_need: 0,
            last_stamp: 0,
            healthy: true,
            load: Load::default(),
            waiting: WaitingRoom::new(waiting_seed),
            census: Counting::default(),
            knocks: securing::KnockBudget::default(),
            arrears: BTreeSet::new(),
            arrears_timeout: None,
            ready: Vec::new(),
            transport_timeout: None,
            ahead: Vec::new(),
            departed_timeout: None,
            said: None,
            stats: Stats::default(),
        };
        server.change_cid_prefix();
        server
    }

    /// Takes up what was stored, before the first input. It may be called several times with parts
    /// of the whole, as long as a Client's registration does not come after what belongs to it.
    /// What it finds is told like anything else: requests that were sent and cannot be sent again
    /// end as unknown.
    pub fn restore(&mut self, now: Now, snapshot: Snapshot) {
        self.take_up(now, snapshot);
        self.pump(now);
    }

    /// A datagram came in at this door, at our address `local` where the driver knows that.
    pub fn handle_receive(
        &mut self,
        now: Now,
        port: Port,
        from: &Address,
        local: Option<IpAddr>,
        bytes: &[u8],
    ) {
        match self
            .transport
            .receive_refresh(now, port, from, local, bytes)
        {
            Received::Refresh(refresh) => match self.refreshed(&refresh) {
                Some(key) => return self.refresh_at_once(now, key, refresh, port, from, local),
                None => self.transport.tell_refresh(now, refresh, bytes),
            },
            Received::Done => {}
            Received::Other => self.transport.handle_receive(now, port, from, local, bytes),
        }
        self.pump(now);
    }

    /// Datagrams from there are about to be handed in, as many as a driver takes in at once. It
    /// changes nothing: what is held of their senders is fetched into the caches of the processor.
    /// With many Clients most of the time of an Update is the time to wait for memory; asked for
    /// one behind the other without anything in between, it comes for all of them at once.
    pub fn look_ahead(&mut self, port: Port, from: impl IntoIterator<Item = impl Borrow<Address>>) {
        self.ahead.clear();
        self.transport.look_ahead(port, from, &mut self.ahead);
        self.book.touch(&self.ahead);
    }

    /// The time of the last [`Output::Timeout`] has come, or any other time.
    pub fn handle_timeout(&mut self, now: Now) {
        self.transport.handle_timeout(now);
        for _ in 0..DUE_PER_TURN {
            let Some(key) = self.timers.poll(now.instant) else {
                break;
            };
            self.on_client_timer(now, key);
        }
        self.drop_late_admissions(now);
        self.end_late_bootstraps(now);
        if self.departed_timeout.is_some_and(|at| at <= now.instant) {
            self.departed_timeout = None;
            self.forget_departed(now);
        }
        if self.arrears_timeout.is_some_and(|at| at <= now.instant) {
            self.store_arrears(now);
        }
        self.pump(now);
    }

    /// The outside answers a [`crate::Need`]. Late and double answers are dropped.
    pub fn handle_answer(&mut self, now: Now, need: NeedId, answer: Answer) {
        match answer {
            Answer::Security(answer) => self.on_security_answer(now, need, answer),
            answer => self.on_answer(now, need, answer),
        }
        self.pump(now);
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Output {
        if let Some(output) = self.effects.poll() {
            return output;
        }
        let said = match self.said {
            Some(said) => said,
            None => self.next_timeout().map(|(at, _)| at),
        };
        self.said = Some(said);
        Output::Timeout(said)
    }

    /// Why the Server wants to be woken at the time that the last [`Output::Timeout`] said.
    #[must_use]
    pub fn timeout_reason(&self) -> Option<Timer> {
        self.next_timeout().map(|(_, timer)| timer)
    }

    /// Takes back the buffer of a [`crate::Transmit`] that has been sent.
    pub fn recycle(&mut self, buffer: Vec<u8>) {
        self.transport.recycle(buffer);
    }

    /// Whether commits can be made durable. While they cannot, what would need one is refused
    /// (5.03 with Max-Age to Clients), and refreshes and reads go on.
    pub fn set_store_health(&mut self, now: Now, healthy: bool) {
        self.healthy = healthy;
        self.store_arrears(now);
        self.pump(now);
    }

    /// How full what waits for this Server is, in thousandths of what may wait before something is
    /// lost or too late: to be said some times in a tenth of a second, as long as there is
    /// anything to do. What stays full makes the Server refuse, what costs most and matters least
    /// first: handshakes, then Registers (5.03, with a Max-Age that brings everybody back in turn),
    /// then Updates that change something. It puts nothing out.
    pub fn set_pressure(&mut self, now: Now, pressure: u32) {
        let Some(round) = self.load.sample(now, pressure) else {
            return;
        };
        let calm = self.load.is_calm();
        self.waiting.end_round(now.instant, round.span, calm);
        self.transport
            .shed_handshakes(self.load.share(Kind::Handshake));
    }

    /// Whether anything is refused because there is too much. Then [`Server::set_pressure`] is to be
    /// called even if nothing happens, or it stays so.
    #[must_use]
    pub fn is_strained(&self) -> bool {
        !self.load.is_calm()
    }

    /// What is refused because there is too much.
    #[must_use]
    pub fn load(&self, now: Now) -> LoadView {
        LoadView {
            waiting: self.waiting.waiting(now.instant),
            ..self.load.view()
        }
    }

    /// Asks a Client. The outcome comes as [`Output::Completed`] with the ticket's id.
    ///
    /// # Errors
    /// [`Refused`] says what the caller can do about it. Nothing has changed then.
    pub fn request(
        &mut self,
        now: Now,
        endpoint: &EndpointName,
        command: Command,
        settings: Settings,
    ) -> Result<RequestTicket, Refused> {
        let ticket = self.take_command(now, endpoint, command, settings);
        self.pump(now);
        ticket
    }

    /// Ends a request; its outcome is [`crate::command::Failed::Cancelled`]. One that has been
    /// sent may be done all the same.
    ///
    /// # Errors
    /// [`Refused::RequestUnknown`], [`Refused::StoreFailing`].
    pub fn cancel(&mut self, now: Now, request: RequestId) -> Result<(), Refused> {
        let done = self.take_cancel(now, request);
        self.pump(now);
        done
    }

    /// Removes a registration on an operator's word, with its observations and requests. The
    /// Client is not told: its next Update is answered 4.04, and it registers again.
    ///
    /// # Errors
    /// [`Refused::ClientUnknown`], [`Refused::StoreFailing`].
    pub fn forget(&mut self, now: Now, endpoint: &EndpointName) -> Result<RegistrationId, Refused> {
        let key = self.registered(endpoint)?;
        if !self.healthy {
            return Err(Refused::StoreFailing);
        }
        let id = self.book.client(key).id;
        self.depart(now, key, Departure::Forgotten);
        self.pump(now);
        Ok(id)
    }

    /// Ends the sessions of everybody whose identity this says yes to, for good: what a revoked
    /// credential comes to. Their registrations stay until they run out; nobody can update them.
    /// Returns how many sessions there were.
    pub fn revoke(&mut self, now: Now, is_revoked: impl FnMut(&Identity) -> bool) -> usize {
        let ended = self.end_sessions(now, is_revoked);
        self.pump(now);
        ended
    }

    /// Other settings of DTLS, for handshakes that begin from now on.
    pub fn set_dtls(&mut self, settings: dunlin_transport::dtls::Settings) {
        self.transport.set_dtls(settings);
    }

    /// Gives a Client up to another Server, which has claimed its name ([`crate::Need::Claim`]).
    /// Nothing is committed: the registration there will take the place of the stored one. What is
    /// returned goes into the [`Answer::Claimed`]; requests that were under way are over.
    pub fn evict(&mut self, now: Now, endpoint: &EndpointName) -> Snapshot {
        let snapshot = self.give_up(now, endpoint);
        self.pump(now);
        snapshot
    }

    /// Whether a claim of ours on this name waits for its answer. Until it has come, an
    /// [`Self::evict`] for another Server must wait: what is given up to us is to go on to that one.
    #[must_use]
    pub fn is_claiming(&self, endpoint: &EndpointName) -> bool {
        self.claims(endpoint)
    }

    /// Begins a bootstrap run without a Bootstrap-Request: the Server-initiated mode of TS 1.0
    /// §5.2.3.4, with a Client that we know how to reach. One under way ends for it. How it ends is
    /// told by an event.
    ///
    /// # Errors
    /// [`Refused::ClientUnreachable`], [`Refused::StoreFailing`], [`Refused::ServerFull`].
    pub fn bootstrap(
        &mut self,
        now: Now,
        endpoint: &EndpointName,
        provision: Provision,
    ) -> Result<BootstrapRunId, Refused> {
        let begun = self.begin_by_command(now, endpoint, provision, None);
        self.pump(now);
        begun
    }

    /// Begins a run with a Client that listens somewhere: the session is opened first, the Client
    /// being the DTLS server (TS 1.0 §5.2.3.4, §7.1.2), and ended after the run. A Client that is
    /// not there or does not take it is told by how the run ends.
    ///
    /// # Errors
    /// [`Refused::ClientUnreachable`], [`Refused::StoreFailing`], [`Refused::ServerFull`].
    pub fn bootstrap_at(
        &mut self,
        now: Now,
        endpoint: &EndpointName,
        provision: Provision,
        approach: Approach,
    ) -> Result<BootstrapRunId, Refused> {
        let begun = self.begin_by_command(now, endpoint, provision, Some(approach));
        self.pump(now);
        begun
    }

    /// What [`Server::bootstrap`] or [`Server::bootstrap_at`] can reach this Client by.
    ///
    /// # Errors
    /// [`Refused::ClientUnknown`], [`Refused::ClientUnreachable`].
    pub fn reaches_to_bootstrap(&self, endpoint: &EndpointName) -> Result<Reach, Refused> {
        self.reach_to_bootstrap(endpoint)
    }

    /// With whom a session is being opened at that address, to bootstrap it: what the other side
    /// shows has to be theirs.
    #[must_use]
    pub fn approached(&self, address: &Address) -> Option<&EndpointName> {
        self.bootstraps.approached(address)
    }

    /// Ends the run of a Client, if there is one: another Server of this node has taken its
    /// Bootstrap-Request, or an operator wants it.
    pub fn end_bootstrap(&mut self, now: Now, endpoint: &EndpointName, reason: RunFailure) -> bool {
        let ended = self.stop_bootstrap(now, endpoint, reason);
        self.pump(now);
        ended
    }

    /// The run of a Client that is under way.
    #[must_use]
    pub fn bootstrap_run(&self, endpoint: &EndpointName) -> Option<&BootstrapRun> {
        self.bootstraps.of(endpoint)
    }

    /// A Client that is registered.
    ///
    /// # Errors
    /// [`Refused::ClientUnknown`], or [`Refused::ClientExpired`] with the time.
    pub fn client(&self, now: Now, endpoint: &EndpointName) -> Result<ClientView, Refused> {
        Ok(self.view(now, self.registered(endpoint)?))
    }

    /// A part of the list of Clients, in no particular order.
    #[must_use]
    pub fn clients(
        &self,
        now: Now,
        after: Option<ClientCursor>,
        limit: usize,
        filter: &ClientFilter,
    ) -> ClientPage {
        let mut clients = Vec::new();
        let mut from = after.map_or(0, |cursor| cursor.0);
        let mut looked_at = 0;
        let fits = |name: &EndpointName| {
            filter.name.is_empty() || name.as_str().contains(filter.name.as_str())
        };
        if filter.registered.unwrap_or(true) && from & DEPARTED_CURSOR == 0 {
            for (key, client) in self.book.iter_from(from as usize) {
                if clients.len() >= limit || looked_at >= CLIENTS_SCANNED_MAX {
                    return ClientPage {
                        clients,
                        next: Some(ClientCursor(key.into())),
                    };
                }
                looked_at += 1;
                if fits(&client.endpoint) {
                    clients.push(ListedClient::Registered(Box::new(self.view(now, key))));
                }
            }
            return ClientPage {
                clients,
                next: None,
            };
        }
        from &= !DEPARTED_CURSOR;
        for (index, departed) in self.departures.iter_from(from as usize) {
            if clients.len() >= limit || looked_at >= CLIENTS_SCANNED_MAX {
                let next = Some(ClientCursor(DEPARTED_CURSOR | index as u64));
                return ClientPage { clients, next };
            }
            looked_at += 1;
            if departed.reason == Departure::Expired && fits(&departed.endpoint) {
                clients.push(ListedClient::Departed(departed.clone()));
            }
        }
        ClientPage {
            clients,
            next: None,
        }
    }

    /// What is observed at a Client, also at one that has gone and may come back.
    #[must_use]
    pub fn observations(&self, endpoint: &EndpointName) -> Vec<ObservationView> {
        let key = self.book.find(endpoint.as_str());
        let registration = key.map(|key| self.book.client(key).id);
        let observations = match key {
            Some(key) => self
                .book
                .client(key)
                .work
                .as_ref()
                .map_or(&[][..], |work| &work.observations),
            None => self.departures.observations(endpoint.as_str()),
        };
        let mut views: Vec<_> = observations
            .iter()
            .map(|observed| self.observations.get(*observed).view(registration))
            .collect();
        views.sort_by_key(|view| view.path);
        views
    }

    /// What is observed at this path.
    #[must_use]
    pub fn observation(&self, endpoint: &EndpointName, path: &Path) -> Option<ObservationView> {
        self.observations(endpoint)
            .into_iter()
            .find(|view| view.path == *path)
    }

    /// The requests of a Client, in the order in which they will be sent.
    #[must_use]
    pub fn requests(&self, now: Now, endpoint: &EndpointName) -> Vec<RequestView> {
        let Some(key) = self.book.find(endpoint.as_str()) else {
            return Vec::new();
        };
        let client = self.book.client(key);
        let Some(work) = &client.work else {
            return Vec::new();
        };
        let in_flight = match work.in_flight {
            Some(crate::registration::InFlight::Request(request)) => Some(request),
            Some(crate::registration::InFlight::Renewal(_)) | None => None,
        };
        let listens = listens(client, self.config.awake_window, ms(now.instant));
        in_flight
            .iter()
            .chain(&work.waiting)
            .map(|request| self.requests.get(*request).view(client, listens))
            .collect()
    }

    /// The requests of all Clients, at most `limit`, in no particular order.
    #[must_use]
    pub fn all_requests(&self, now: Now, limit: usize) -> Vec<RequestView> {
        let now = ms(now.instant);
        let requests = self.requests.iter().take(limit);
        requests
            .map(|request| {
                let client = self.book.client(request.client);
                request.view(client, listens(client, self.config.awake_window, now))
            })
            .collect()
    }

    /// A request that has not ended.
    #[must_use]
    pub fn request_view(&self, now: Now, request: RequestId) -> Option<RequestView> {
        let request = self.requests.get(self.requests.find(request)?);
        let client = self.book.client(request.client);
        let listens = listens(client, self.config.awake_window, ms(now.instant));
        Some(request.view(client, listens))
    }

    /// Counts Clients by presence and security, `limit` of them from where the last call ended. With a
    /// million Clients one look at all of them would hold up the datagrams; the census that is returned
    /// is the last whole one, and none before there was one.
    pub fn census(&mut self, now: Now, limit: usize) -> &Census {
        let from = self.census.next;
        let mut next = None;
        for (looked_at, (key, client)) in self.book.iter_from(from).enumerate() {
            if looked_at == limit {
                next = Some(key as usize);
                break;
            }
            let presence = presence(client, self.config.awake_window, ms(now.instant));
            self.census
                .count(presence, client.identity().security_name());
        }
        self.census.end_part(next);
        &self.census.whole
    }

    /// What was counted, and how much there is.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            registered: self.book.len(),
            departed: self.departures.len(),
            observations: self.observations.len(),
            requests: self.requests.len(),
            admissions: self.admissions.len(),
            bootstraps: self.bootstraps.len(),
            ..self.stats
        }
    }

    /// What the transport counted.
    #[must_use]
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// The definitions by which values are read.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Other definitions, from now on.
    pub fn set_registry(&mut self, registry: Arc<Registry>) {
        self.registry = registry;
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &ServerConfig {
        &self.config
    }

    fn next_timeout(&self) -> Option<(Instant, Timer)> {
        let admission = self.admissions.first_key_value();
        let timeouts = [
            (self.transport_timeout, Timer::Transport),
            (self.timers.next(), Timer::Client),
            (
                admission.map(|(_, admission)| instant(admission.deadline)),
                Timer::Admission,
            ),
            (self.bootstraps.next_timeout(), Timer::Bootstrap),
            (self.departed_timeout, Timer::Departed),
            (self.arrears_timeout, Timer::Arrears),
        ];
        let due = timeouts
            .into_iter()
            .filter_map(|(at, timer)| Some((at?, timer)));
        due.min_by_key(|(at, _)| *at)
    }

    fn view(&self, now: Now, key: ClientKey) -> ClientView {
        let client = self.book.client(key);
        let work = client.work.as_ref();
        ClientView {
            registration: client.record(now, self.transport.peer(client.peer)),
            presence: presence(client, self.config.awake_window, ms(now.instant)),
            requests: work.map_or(0, |work| {
                work.waiting.len() + usize::from(work.in_flight.is_some())
            }),
            observations: work.map_or(0, |work| work.observations.len()),
            over_budget: self.transport.over_budget(now, client.peer),
        }
    }

    #[inline]
    fn let_go(&mut self, transmit: dunlin_transport::Transmit) {
        let dunlin_transport::Transmit {
            to,
            local,
            port,
            bytes,
            barrier,
        } = transmit;
        let barrier = barrier.min(self.effects.latest());
        self.effects.transmit(Transmit {
            to,
            local,
            port,
            bytes,
            barrier,
        });
    }

    /// Takes all news of the transport, then serves the Clients that were heard.
    fn pump(&mut self, now: Now) {
        self.said = None;
        loop {
            match self.transport.poll_output() {
                WireOutput::Transmit(transmit) => self.let_go(transmit),
                WireOutput::Event(event) => self.on_event(now, event),
                WireOutput::Need { id, need } => self.on_security_need(id, need),
                WireOutput::Reserve { peer, up_to } => self.on_reserve(peer, up_to),
                WireOutput::Timeout(timeout) => {
                    let Some(key) = self.ready.pop() else {
                        self.transport_timeout = timeout;
                        break;
                    };
                    if self.book.get(key).is_some() {
                        self.dispatch(now, key);
                        self.rearm(now, key);
                    }
                }
            }
        }
        if self.departed_timeout.is_none() {
            let after = match self.departures.len() {
                0..=DEPARTED_MAX => self.departures.next(now.wall, self.config.departed_for),
                _ => Some(LEISURE),
            };
            self.departed_timeout = after.map(|after| now.instant + after.max(LEISURE));
        }
    }

    fn on_event(&mut self, now: Now, event: WireEvent) {
        match event {
            WireEvent::Uplink {
                peer,
                exchange,
                uplink,
            } => {
                self.on_uplink(now, peer, exchange, *uplink);
            }
            WireEvent::Refresh {
                peer,
                exchange,
                location,
            } => self.on_refresh(now, peer, exchange, location),
            WireEvent::Answered {
                request, answer, ..
            } => self.on_answered(now, request, &answer),
            WireEvent::Failed {
                request, failure, ..
            } => self.on_failed(now, request, failure),
            WireEvent::Notified {
                peer,
                relation,
                exchange,
                sequence,
                fresh,
                answer,
                ..
            } => {
                let token = relation.token;
                let notification = Notification {
                    peer,
                    token,
                    exchange,
                    sequence,
                    fresh,
                    answer,
                };
                self.on_notification(now, notification);
            }
            WireEvent::StrayNotification {
                peer,
                token,
                exchange,
                sequence,
                answer,
                ..
            } => {
                let sequence = Some(sequence);
                let notification = Notification {
                    peer,
                    token,
                    exchange,
                    sequence,
                    fresh: true,
                    answer,
                };
                self.on_notification(now, notification);
            }
            WireEvent::ObservationEnded {
                relation, reason, ..
            } => {
                self.on_observation_ended(now, relation, reason);
            }
            WireEvent::Heard { peer } => self.on_heard(now, peer),
            WireEvent::OverBudget { peer } => self.on_over_budget(now, peer),
            WireEvent::Violated {
                address, violation, ..
            } => {
                self.stats.violations += 1;
                self.effects.live(Output::Event(LiveEvent::Refused {
                    endpoint: None,
                    at: now.wall,
                    address,
                    identity: Identity::None,
                    code: violation.code,
                    reason: violation.what,
                }));
            }
            // A Client that acknowledges first and answers later is waited for until the deadline
            // of the request; the others belong to the client side. Each is named, so that news that
            // the transport learns to tell cannot be left unheard: an uplink would go unanswered.
            WireEvent::Acknowledged { .. }
            | WireEvent::Downlink { .. }
            | WireEvent::DownlinkBlock { .. }
            | WireEvent::Fetched { .. }
            | WireEvent::NotificationDelivered { .. }
            | WireEvent::NotificationLost { .. }
            | WireEvent::ObserverGone { .. }
            | WireEvent::Pinged { .. }
            | WireEvent::Accepted { .. }
            | WireEvent::Resumable { .. } => {}
            WireEvent::Disconnected { peer, reason } => {
                self.on_disconnected(now, peer);
                self.on_not_opened(now, peer, reason);
            }
            WireEvent::Moved { peer, .. } => self.on_moved(now, peer),
            WireEvent::Connected { peer, .. } => self.on_opened(now, peer),
            WireEvent::HandshakeFailed {
                address,
                port,
                claimed,
                reason,
            } => self.on_handshake_failed(now, address, port, claimed.as_ref(), reason),
        }
    }
}
