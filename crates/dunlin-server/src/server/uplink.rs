//! The registration interface; TS 1.0 §5.3: Register, Update, De-register, and the lifetime.

use std::net::IpAddr;
use std::sync::Arc;

use dunlin_lwm2m::operation::{Deregister, Register, ResponseCode, Strictness, Update, Uplink};
use dunlin_lwm2m::{Deviation, EndpointName};
use dunlin_transport::{
    Address, ExchangeId, Identity, LOCATION_LENGTH, Now, PeerId, Port, Refresh, UplinkAnswer,
    WallTime,
};

use super::Server;
use crate::change::{Change, Departure, FormatMemory, Registration};
use crate::config::{ADMISSIONS_MAX, NEED_TIMEOUT, RETRY_AFTER_S, Ruling};
use crate::effects::Output;
use crate::event::{Changed, Event, EventKind, LiveEvent, ObservationEnd};
use crate::id::{RegistrationId, VirtualShard};
use crate::need::{Answer, Need, NeedId, Verdict};
use crate::registration::{Client, ClientKey, Details, Ms, ms, seconds, wall_of};

/// A Register that waits for the node.
#[derive(Debug)]
pub(super) struct Admission {
    peer: PeerId,
    exchange: ExchangeId,
    register: Box<Register>,
    question: Question,
    pub(super) deadline: Ms,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    Identity,
    Claim,
}

/// Why an uplink is refused.
pub(super) struct Refusal {
    code: ResponseCode,
    reason: String,
    max_age_s: Option<u32>,
    /// It is one of very many and no fault of the Client: counted, and not told.
    quiet: bool,
}

impl Refusal {
    pub(super) fn new(code: ResponseCode, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
            max_age_s: None,
            quiet: false,
        }
    }

    /// There is too much; come again after this time.
    pub(super) fn overloaded(max_age_s: u32) -> Self {
        Self {
            code: ResponseCode::ServiceUnavailable,
            reason: "too many at once: come again after Max-Age".into(),
            max_age_s: Some(max_age_s),
            quiet: true,
        }
    }

    pub(super) fn unavailable(reason: &str) -> Self {
        Self {
            code: ResponseCode::ServiceUnavailable,
            reason: reason.into(),
            max_age_s: Some(RETRY_AFTER_S),
            quiet: false,
        }
    }

    pub(super) fn store_failing() -> Self {
        Self::unavailable("nothing can be stored at present")
    }

    fn unknown_location() -> Self {
        Self::new(
            ResponseCode::NotFound,
            "no such registration: register again",
        )
    }
}

impl Server {
    pub(super) fn on_uplink(
        &mut self,
        now: Now,
        peer: PeerId,
        exchange: ExchangeId,
        uplink: Uplink,
    ) {
        let (endpoint, done) = match uplink {
            Uplink::Register(_) | Uplink::Update(_) | Uplink::Deregister(_)
                if self.came_to_bootstrap(peer) =>
            {
                let endpoint = match uplink {
                    Uplink::Register(register) => Some(register.endpoint),
                    _ => None,
                };
                let refusal = Refusal::new(
                    ResponseCode::BadRequest,
                    "this is the Bootstrap-Server: it takes Bootstrap-Requests (POST /bs?ep=) alone",
                );
                (endpoint, Err(refusal))
            }
            Uplink::Register(register) => (
                Some(register.endpoint.clone()),
                self.on_register(now, peer, exchange, register),
            ),
            Uplink::Update(update) => (None, self.on_update(now, peer, exchange, update)),
            Uplink::Deregister(deregister) => {
                (None, self.on_deregister(now, peer, exchange, &deregister))
            }
            Uplink::BootstrapRequest(request) => (
                Some(request.endpoint.clone()),
                self.on_bootstrap_request(now, peer, exchange, request),
            ),
        };
        if let Err(refusal) = done {
            self.refuse(now, peer, exchange, endpoint, refusal);
        }
    }

    /// Whether a peer speaks to the Bootstrap-Server's own door.
    fn came_to_bootstrap(&self, peer: PeerId) -> bool {
        let peer = self.transport.peer(peer);
        peer.is_some_and(|peer| peer.port.is_bootstrap())
    }

    pub(super) fn refuse(
        &mut self,
        now: Now,
        peer: PeerId,
        exchange: ExchangeId,
        endpoint: Option<EndpointName>,
        refusal: Refusal,
    ) {
        self.stats.refused += 1;
        let Refusal {
            code,
            reason,
            max_age_s,
            quiet,
        } = refusal;
        self.stats.refused_for_load += u64::from(quiet);
        let unavailable = code == ResponseCode::ServiceUnavailable && !quiet;
        self.stats.refused_unavailable += u64::from(unavailable);
        if !quiet && let Some(peer) = self.transport.peer(peer) {
            self.effects.live(Output::Event(LiveEvent::Refused {
                endpoint,
                at: now.wall,
                address: peer.address,
                identity: peer.identity,
                code,
                reason: reason.clone(),
            }));
        }
        self.answer(
            now,
            exchange,
            &UplinkAnswer::Refused {
                code,
                diagnostic: reason,
                max_age_s,
            },
        );
    }

    /// Answers an uplink when what it changed is durable.
    pub(super) fn answer(&mut self, now: Now, exchange: ExchangeId, answer: &UplinkAnswer) {
        let barrier = self.effects.barrier();
        // Refused only when the exchange has ended: then nobody waits for the answer.
        let _ = self.transport.answer_uplink(now, exchange, answer, barrier);
    }

    // Register.

    fn on_register(
        &mut self,
        now: Now,
        peer: PeerId,
        exchange: ExchangeId,
        mut register: Register,
    ) -> Result<(), Refusal> {
        self.admit(now, &register.endpoint)?;
        let served = self.config.version;
        if !served.serves(register.version) {
            // A later minor version only adds, and a Server may serve it with what it has; Leshan 2
            // has Clients that never say 1.0 and understand every operation of it.
            if register.version.major != served.major
                || self.config.strictness == Strictness::Strict
            {
                return Err(Refusal::new(
                    ResponseCode::PreconditionFailed,
                    format!("LwM2M {} is not served, {served} is", register.version),
                ));
            }
            register.deviations.insert(Deviation::VersionLater);
        }
        let identity = self
            .transport
            .peer(peer)
            .map_or(Identity::None, |peer| peer.identity);
        if identity == Identity::None && self.is_secured(register.endpoint.as_str()) {
            return Err(Refusal::new(
                ResponseCode::Forbidden,
                "this name is registered with security, and is not given up without",
            ));
        }
        match self
            .config
            .admission
            .rule(register.endpoint.as_str(), &identity)
        {
            Ruling::Allowed => self.claim(now, peer, exchange, Box::new(register)),
            Ruling::Mismatch => Err(mismatch()),
            Ruling::Ask => {
                let need = Need::Admission {
                    endpoint: register.endpoint.clone(),
                    identity,
                };
                self.ask(
                    now,
                    peer,
                    exchange,
                    Box::new(register),
                    Question::Identity,
                    need,
                )
            }
        }
    }

    fn is_secured(&self, endpoint: &str) -> bool {
        self.book
            .find(endpoint)
            .is_some_and(|key| *self.book.client(key).identity() != Identity::None)
    }

    /// The name may be taken: by us at once, or after the other Servers have given it up.
    fn claim(
        &mut self,
        now: Now,
        peer: PeerId,
        exchange: ExchangeId,
        register: Box<Register>,
    ) -> Result<(), Refusal> {
        if !self.healthy {
            return Err(Refusal::store_failing());
        }
        if self.config.claims && self.book.find(register.endpoint.as_str()).is_none() {
            let need = Need::Claim {
                endpoint: register.endpoint.clone(),
            };
            return self.ask(now, peer, exchange, register, Question::Claim, need);
        }
        self.enter(now, peer, exchange, *register, None);
        Ok(())
    }

    fn ask(
        &mut self,
        now: Now,
        peer: PeerId,
        exchange: ExchangeId,
        register: Box<Register>,
        question: Question,
        need: Need,
    ) -> Result<(), Refusal> {
        if self.admissions.len() >= ADMISSIONS_MAX {
            return Err(Refusal::unavailable("too many Clients register at once"));
        }
        self.last_need += 1;
        let id = NeedId(self.last_need);
        let deadline = ms(now.instant + NEED_TIMEOUT);
        let admission = Admission {
            peer,
            exchange,
            register,
            question,
            deadline,
        };
        self.admissions.insert(id, admission);
        self.effects.live(Output::Need { id, need });
        Ok(())
    }

    pub(super) fn on_answer(&mut self, now: Now, need: NeedId, answer: Answer) {
        let Some(admission) = self.admissions.remove(&need) else {
            return self.on_profile(now, need, answer);
        };
        let Admission {
            peer,
            exchange,
            register,
            question,
            ..
        } = admission;
        let endpoint = register.endpoint.clone();
        let done = match (question, answer) {
            (Question::Identity, Answer::Admission(Verdict::Allowed)) => {
                self.claim(now, peer, exchange, register)
            }
            (Question::Identity, Answer::Admission(Verdict::Mismatch)) => Err(mismatch()),
            (Question::Identity, Answer::Admission(Verdict::Differs(how))) => {
                Err(Refusal::new(ResponseCode::BadRequest, how))
            }
            (Question::Identity, Answer::Admission(Verdict::Forbidden(why))) => {
                Err(Refusal::new(ResponseCode::Forbidden, why))
            }
            (Question::Claim, Answer::Claimed(snapshot)) => {
                // Healthy or not: the other Server has let go, and nobody else has the name now.
                let registered = snapshot.registrations.get(&endpoint);
                let elsewhere = registered.map(|registration| registration.id);
                self.enter(now, peer, exchange, *register, elsewhere);
                self.take_over(now, &endpoint, *snapshot);
                Ok(())
            }
            (_, _) => Err(Refusal::unavailable(
                "the registration cannot be decided at present",
            )),
        };
        if let Err(refusal) = done {
            self.refuse(now, peer, exchange, Some(endpoint), refusal);
        }
    }

    /// Whether a claim on this name waits for its answer.
    pub(super) fn claims(&self, endpoint: &EndpointName) -> bool {
        self.admissions.values().any(|admission| {
            admission.question == Question::Claim && admission.register.endpoint == *endpoint
        })
    }

    /// Questions that nobody answered.
    pub(super) fn drop_late_admissions(&mut self, now: Now) {
        // Ids rise with deadlines, so the first is the earliest.
        while let Some(entry) = self.admissions.first_entry()
            && entry.get().deadline <= ms(now.instant)
        {
            let id = *entry.key();
            self.on_answer(now, id, Answer::Unavailable);
        }
    }

    /// Enters a Client into the book and answers 2.01; TS 5.3.1. `elsewhere` is the registration
    /// that another Server has given up for it.
    fn enter(
        &mut self,
        now: Now,
        peer: PeerId,
        exchange: ExchangeId,
        register: Register,
        elsewhere: Option<RegistrationId>,
    ) {
        let registration = Arc::new(self.registration_of(now, peer, register));
        let endpoint = registration.endpoint.clone();
        let id = registration.id;
        self.transport.hold(peer);
        let mut client = Client::new(&registration, peer, now);
        let replaced = self
            .book
            .find(endpoint.as_str())
            .map(|key| self.replace(now, key));
        if let Some(before) = &replaced {
            client.interval_s = before.interval_s;
        }
        let replaced_id = replaced.as_ref().map(|before| before.id).or(elsewhere);
        let left = replaced.as_ref().map(|before| before.peer);
        client.keeps_session = replaced
            .as_ref()
            .map_or(elsewhere.is_some(), |before| before.keeps_session);
        client.work = replaced.and_then(|before| before.work);
        let secured = registration.identity != Identity::None;
        let key = self.book.insert(client);
        self.effects.change(Change::Register(registration.clone()));
        if secured || self.book.client(key).keeps_session {
            self.store_session(key);
        }
        if let Some(left) = left {
            self.retire(now, left);
        }
        self.adopt(now, key);
        let kind = EventKind::Registered {
            registration,
            replaced: replaced_id,
        };
        self.effects.event(Event {
            endpoint,
            at: now.wall,
            kind,
        });
        self.stats.registers += 1;
        self.answer(
            now,
            exchange,
            &UplinkAnswer::Created(vec!["rd".into(), id.to_string()]),
        );
        self.wake(now, key);
    }

    fn registration_of(&mut self, now: Now, peer: PeerId, register: Register) -> Registration {
        // What names a shard in its bytes names the same one, so that a session and what is registered
        // on it stay together when the number of shards changes.
        let by_session = self
            .transport
            .connection_id(peer)
            .map(|cid| VirtualShard(cid.0[2]))
            .filter(|shard| self.config.owned.contains(*shard));
        let shard = by_session.unwrap_or_else(|| self.config.owned.choose(&mut self.random));
        let id = RegistrationId::random(self.config.node, shard, &mut self.random);
        let lifetime_s = register.lifetime_s.max(self.config.lifetime_min_s);
        let at = self.transport.peer(peer).expect("it has just been heard");
        Registration {
            endpoint: register.endpoint,
            id,
            registered_at: now.wall,
            updated_at: now.wall,
            expires_at: lifetime_end(now, lifetime_s),
            contact_at: now.wall,
            interval_s: 0,
            lifetime_s,
            version: register.version,
            binding: register.binding,
            sms_number: register.sms_number,
            links: register.links,
            address: at.address,
            local: at.local,
            identity: at.identity,
            parameters: register.parameters,
            deviations: register.deviations,
            formats: FormatMemory::default(),
        }
    }

    /// Takes the registration that a new one replaces out of the book. What we want of the Client
    /// stays with its name; what was under way is over, for who registers anew has forgotten it.
    fn replace(&mut self, now: Now, key: ClientKey) -> Client {
        self.stop_in_flight(now, key);
        self.remove(key)
    }

    /// Gives the new registration what waited for its Client: the requests and observations of the
    /// registration it replaces, or those of before it left.
    pub(super) fn adopt(&mut self, now: Now, key: ClientKey) {
        let endpoint = self.book.client(key).endpoint.clone();
        if let Some(waiting) = self.departures.remove(endpoint.as_str())
            && !waiting.is_empty()
        {
            self.book
                .client_mut(key)
                .work()
                .observations
                .extend(waiting);
        }
        let Some(work) = &self.book.client(key).work else {
            return;
        };
        let observations = work.observations.clone();
        for request in work.waiting.iter().copied().collect::<Vec<_>>() {
            self.requests.get_mut(request).client = key;
        }
        for observation in observations {
            self.detach(observation);
            let observed = self.observations.get_mut(observation);
            observed.client = key;
            observed.renewals = 0;
            if !observed.renew {
                self.end_observation(now, observation, ObservationEnd::RegistrationEnded);
            }
        }
        self.book.client_mut(key).tidy();
    }

    // Update.

    /// An Update that tells nothing but that the Client is there. From where it was heard before
    /// this is the short way of [`Server::on_update`]; from elsewhere it is an Update like any other.
    pub(super) fn on_refresh(
        &mut self,
        now: Now,
        peer: PeerId,
        exchange: ExchangeId,
        location: [u8; LOCATION_LENGTH],
    ) {
        // Who is at the same peer has the same identity: a session has one.
        let here = RegistrationId::parse(&location).and_then(|id| self.book.find_at(peer, id));
        if let Some(key) = here {
            self.refresh(now, key);
            return self.answer(now, exchange, &UplinkAnswer::Changed);
        }
        let update = Update {
            location: String::from_utf8_lossy(&location).into_owned(),
            ..Update::default()
        };
        self.on_uplink(now, peer, exchange, Uplink::Update(update));
    }

    /// The Client that a refresh is of, if it can be answered at once: it is where it was, it needs
    /// no proof of who it is, and nothing waits for it to be heard.
    pub(super) fn refreshed(&self, refresh: &Refresh) -> Option<ClientKey> {
        let key = self.book.first_at_peer(refresh.peer())?;
        let client = self.book.client(key);
        let simple = *client.identity() == Identity::None && client.work.is_none();
        // A gateway has more Clients at one address, and all of them are heard.
        let alone = self.book.next_at_peer(key).is_none();
        (simple && alone && client.id.is_written(&refresh.location)).then_some(key)
    }

    /// Refreshes a Client, lets it be heard and answers it.
    pub(super) fn refresh_at_once(
        &mut self,
        now: Now,
        key: ClientKey,
        refresh: Refresh,
        port: Port,
        from: &Address,
        local: Option<IpAddr>,
    ) {
        self.refresh(now, key);
        self.wake(now, key);
        let barrier = self.effects.barrier();
        let transmit = self
            .transport
            .answer_refresh(refresh, port, from, local, barrier);
        self.let_go(transmit);
        if self.transport_timeout.is_none() {
            self.pump(now);
        }
    }

    /// A registration lives on for its lifetime from now.
    fn refresh(&mut self, now: Now, key: ClientKey) {
        let at = ms(now.instant);
        let client = self.book.client_mut(key);
        client.learn_interval(at);
        client.refreshed = at;
        client.contact = at;
        client.expires = at + seconds(client.lifetime_s);
        self.stats.refreshes += 1;
        self.store_expiry_if_due(now, key);
    }

    fn on_update(
        &mut self,
        now: Now,
        peer: PeerId,
        exchange: ExchangeId,
        update: Update,
    ) -> Result<(), Refusal> {
        let key = self.located(peer, &update.location)?;
        self.check_identity(key, peer)?;
        let moves = self.book.client(key).peer != peer;
        if moves && self.book.client(key).identity() == &Identity::None && !self.config.nosec_moves
        {
            return Err(Refusal::unknown_location());
        }
        let changed = Changed {
            address: moves,
            ..self.changed_by(key, &update)
        };
        if changed.any() {
            if !self.healthy {
                return Err(Refusal::store_failing());
            }
            self.admit_change()?;
        }
        if moves {
            self.move_client(now, key, peer);
        }
        let client = self.book.client_mut(key);
        client.deviations.extend(update.deviations);
        if changed.any() {
            let at = ms(now.instant);
            client.learn_interval(at);
            client.refreshed = at;
            client.contact = at;
            self.apply(now, key, update, changed);
        } else {
            self.refresh(now, key);
        }
        self.answer(now, exchange, &UplinkAnswer::Changed);
        // A peer that was known before tells by itself that it was heard, after the answer.
        if moves {
            self.wake(now, key);
        }
        Ok(())
    }

    /// The registration that a location names; without one, the one at this peer.
    fn located(&self, peer: PeerId, location: &str) -> Result<ClientKey, Refusal> {
        let found = if location.is_empty() {
            // Several Clients at one address cannot be told apart without a location.
            self.book
                .first_at_peer(peer)
                .filter(|key| self.book.next_at_peer(*key).is_none())
        } else {
            RegistrationId::parse(location.as_bytes()).and_then(|id| {
                let here = self.book.find_at(peer, id);
                here.or_else(|| self.book.find_id(id))
            })
        };
        found.ok_or_else(Refusal::unknown_location)
    }

    /// Who updates must be who registered (TS 1.0 §7.1.7): the same identity, on whatever session.
    fn check_identity(&self, key: ClientKey, peer: PeerId) -> Result<(), Refusal> {
        let client = self.book.client(key);
        if client.peer == peer {
            return Ok(());
        }
        let identity = self
            .transport
            .peer(peer)
            .map_or(Identity::None, |peer| peer.identity);
        if *client.identity() == identity {
            Ok(())
        } else {
            Err(mismatch())
        }
    }

    /// What an Update changes, against what is known.
    fn changed_by(&self, key: ClientKey, update: &Update) -> Changed {
        if update.is_refresh() {
            return Changed::default();
        }
        let client = self.book.client(key);
        let details = client.details.as_deref();
        let lifetime_s = update
            .lifetime_s
            .map(|asked| asked.max(self.config.lifetime_min_s));
        Changed {
            lifetime: lifetime_s.is_some_and(|lifetime_s| lifetime_s != client.lifetime_s),
            binding: update
                .binding
                .is_some_and(|binding| binding != client.binding),
            sms_number: update.sms_number.is_some()
                && update.sms_number != details.and_then(|details| details.sms_number.clone()),
            links: update
                .links_after(&client.links)
                .is_some_and(|links| links != client.links),
            address: false,
            parameters: !update.parameters.is_empty()
                && details.is_none_or(|details| details.parameters != update.parameters),
        }
    }

    /// Applies an Update that changes something; TS 5.3.2.
    fn apply(&mut self, now: Now, key: ClientKey, update: Update, changed: Changed) {
        if let Some(links) = update.links_after(&self.book.client(key).links) {
            self.book.set_links(key, links);
        }
        let lifetime_min_s = self.config.lifetime_min_s;
        let client = self.book.client_mut(key);
        if let Some(lifetime_s) = update.lifetime_s {
            client.lifetime_s = lifetime_s.max(lifetime_min_s);
        }
        client.binding = update.binding.unwrap_or(client.binding);
        if changed.sms_number || changed.parameters {
            let mut details = client
                .details
                .take()
                .map_or_else(Details::default, |known| *known);
            details.sms_number = update.sms_number.or(details.sms_number);
            if changed.parameters {
                details.parameters = update.parameters;
            }
            client.details = details.pack();
        }
        client.expires = ms(now.instant) + seconds(client.lifetime_s);
        client.updated_at = now.wall;
        self.stats.updates += 1;
        self.store_registration(now, key, changed);
    }

    /// A refresh writes a record only when the true expiry would get further ahead of the stored
    /// one than is made good after a restart; then the answer waits for it, and no Client that was
    /// told 2.04 meets 4.04.
    pub(super) fn store_expiry_if_due(&mut self, now: Now, key: ClientKey) {
        let client = self.book.client_mut(key);
        let expires_at = wall_of(now, client.expires);
        let ahead = expires_at.since(client.stored_expires_at);
        if ahead.as_millis() <= client.tenth().unsigned_abs().into() {
            return;
        }
        if !self.healthy {
            self.arrears.insert(key);
            return;
        }
        let contact_at = wall_of(now, client.contact);
        client.stored_expires_at = expires_at;
        self.effects.change(Change::Renew {
            endpoint: client.endpoint.clone(),
            expires_at,
            contact_at,
            interval_s: client.interval_s,
        });
    }

    /// Writes the whole registration, and tells what changed.
    pub(super) fn store_registration(&mut self, now: Now, key: ClientKey, changed: Changed) {
        let client = self.book.client(key);
        let registration = Arc::new(client.record(now, self.transport.peer(client.peer)));
        let endpoint = registration.endpoint.clone();
        self.book.client_mut(key).stored_expires_at = registration.expires_at;
        self.effects.change(Change::Register(registration.clone()));
        let kind = EventKind::Updated {
            registration,
            changed,
        };
        self.effects.event(Event {
            endpoint,
            at: now.wall,
            kind,
        });
    }

    /// The Client is heard from another peer now: its network gave it another address, or its
    /// session is a new one. What we asked it and what it tells us goes on there.
    fn move_client(&mut self, now: Now, key: ClientKey, peer: PeerId) {
        let before = self.book.client(key).peer;
        let alone = self.book.first_at_peer(before) == Some(key)
            && self.book.next_at_peer(key).is_none()
            && self.book.first_at_peer(peer).is_none();
        let secured = *self.book.client(key).identity() != Identity::None;
        if alone && !secured {
            self.transport.move_peer(before, peer);
            return;
        }
        self.seat(now, key, peer);
        if secured {
            self.store_session(key);
        }
        self.retire(now, before);
    }

    /// A Client is at another peer now, with all that is under way.
    pub(super) fn seat(&mut self, now: Now, key: ClientKey, peer: PeerId) {
        let before = self.book.client(key).peer;
        self.stop_in_flight(now, key);
        self.transport.hold(peer);
        self.book.set_peer(key, peer);
        self.transport.release(before);
        let observations = self.book.client(key).work.as_ref();
        for observation in observations
            .map(|work| work.observations.clone())
            .unwrap_or_default()
        {
            self.detach(observation);
            self.attach(now, observation);
        }
    }

    // De-register.

    fn on_deregister(
        &mut self,
        now: Now,
        peer: PeerId,
        exchange: ExchangeId,
        deregister: &Deregister,
    ) -> Result<(), Refusal> {
        let key = self.located(peer, &deregister.location)?;
        self.check_identity(key, peer)?;
        if !self.healthy {
            return Err(Refusal::store_failing());
        }
        self.depart(now, key, Departure::Deregistered);
        self.stats.deregisters += 1;
        self.answer(now, exchange, &UplinkAnswer::Deleted);
        Ok(())
    }
}

fn mismatch() -> Refusal {
    Refusal::new(
        ResponseCode::BadRequest,
        "the endpoint name does not belong to the identity that security proved",
    )
}

fn lifetime_end(now: Now, lifetime_s: u32) -> WallTime {
    now.wall
        .plus(std::time::Duration::from_secs(u64::from(lifetime_s)))
}
