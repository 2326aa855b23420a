//! Carries out what [`crate::registration`] decides: Register, Update and De-register go out, and
//! what comes back changes where a registration stands (TS 1.0 §5.3).

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use dunlin_lwm2m::link::ObjectLinks;
use dunlin_lwm2m::operation::{Register, ResponseCode, Update};
use dunlin_lwm2m::{Deviations, LwM2mVersion, ObjectId, ObjectVersion, ShortServerId};
use dunlin_transport::{Address, Answer, Carriage, Failure, Instant, Interface, PeerId, RequestId};
use rand_core::Rng;

use crate::account::{Account, accounts};
use crate::client::{Client, Party};
use crate::connecting::Reached;
use crate::event::{Event, Need, NeedId, Output, Reason};
use crate::registration::{ASKED_PAUSE_MAX, Phase, RESOLVE_TIMEOUT, Registration, Step, Told};

impl Client {
    /// Brings the registrations to what the Objects say, then tells what is due.
    pub(crate) fn reconcile(&mut self) {
        self.follow_card();
        self.follow_bootstrap();
        if self.bootstrap.is_active() {
            return;
        }
        self.follow_accounts();
        for server in self.registrations.keys().copied().collect::<Vec<_>>() {
            let registration = &self.registrations[&server];
            let desired = self.desired(&registration.account);
            let step = registration.step(self.now.instant, &desired);
            if matches!(step, Step::Register | Step::Update(_))
                && self.card.holds_back(server, self.now.instant)
            {
                self.ask_card();
                continue;
            }
            match step {
                Step::Register => self.find(server),
                Step::GiveUp => {
                    let host = registration.account.uri.host.clone();
                    self.fail(server, Reason::Unresolved(host));
                }
                Step::Update(update) => self.send_update(server, &update, desired),
                Step::Nothing => {}
            }
        }
        self.tell_what_is_due();
    }

    /// Accounts come and go with the instances of Objects 0 and 1.
    fn follow_accounts(&mut self) {
        let accounts = accounts(&self.tree);
        let gone: Vec<ShortServerId> = self
            .registrations
            .keys()
            .filter(|server| accounts.iter().all(|one| one.short_server_id != **server))
            .copied()
            .collect();
        for server in gone {
            self.forget_server(server);
        }
        if self.stopping {
            return;
        }
        for account in accounts {
            let server = account.short_server_id;
            let at = self.now.instant;
            let registration = self
                .registrations
                .entry(server)
                .or_insert_with(|| Registration::new(account.clone(), at));
            registration.account = account;
        }
    }

    pub(crate) fn forget_server(&mut self, server: ShortServerId) {
        if self
            .registrations
            .get(&server)
            .is_some_and(Registration::is_open)
        {
            self.leave(server, None);
        }
        self.end_observations(server);
        if let Some(registration) = self.registrations.remove(&server)
            && let Some(peer) = registration.peer
        {
            self.close(peer);
        }
        self.resumable.remove(&Party::Server(server));
    }

    /// What this Server should know of us.
    fn desired(&self, account: &Account) -> Told {
        Told {
            lifetime_s: account.lifetime_s,
            binding: account.binding,
            sms_number: self.config.sms_number.clone(),
            links: self.links(),
        }
    }

    /// Our Objects and their instances; never Object 0 (TS 1.0 §5.3.1).
    fn links(&self) -> ObjectLinks {
        let mut links = ObjectLinks::builder();
        if !self.config.root.is_empty() {
            links = links.root(&self.config.root).unwrap_or_default();
        }
        for slot in self.tree.slots() {
            let id = slot.definition.id;
            if id == ObjectId::SECURITY {
                continue;
            }
            links = links.object(id);
            if slot.definition.version != ObjectVersion::V1_0 {
                links = links.version(id, slot.definition.version);
            }
            for instance in slot.instances.keys() {
                links = links.instance(id, *instance);
            }
        }
        links.build()
    }

    /// Finds the Server's address, then registers.
    fn find(&mut self, server: ShortServerId) {
        self.end_observations(server);
        let account = &self.registrations[&server].account;
        let (host, port) = (account.uri.host.clone(), account.uri.port);
        if let Ok(ip) = host.parse::<IpAddr>() {
            return self.reach_server(server, &Address::Udp((ip, port).into()));
        }
        let need = NeedId(self.next_need);
        self.next_need += 1;
        self.needs.insert(need, Party::Server(server));
        let until = self.now.instant + RESOLVE_TIMEOUT;
        self.set_phase(server, Phase::Resolving { need, until });
        self.outputs
            .push_back(Output::Need(need, Need::Resolve { host, port }));
    }

    fn set_phase(&mut self, server: ShortServerId, phase: Phase) {
        if let Some(registration) = self.registrations.get_mut(&server) {
            registration.phase = phase;
        }
    }

    /// The Server is there: register, once there is a session if there has to be one.
    pub(crate) fn reach_server(&mut self, server: ShortServerId, address: &Address) {
        let known = self.registrations[&server].peer;
        let reached = match self.reach(Party::Server(server), address, known) {
            Ok(reached) => reached,
            Err(reason) => return self.fail(server, reason),
        };
        let (Reached::Peer(peer) | Reached::Connecting(peer)) = reached;
        let registration = self
            .registrations
            .get_mut(&server)
            .expect("asked for by id");
        if let Some(old) = registration.peer.replace(peer) {
            self.close(old);
        }
        match reached {
            Reached::Peer(peer) => self.register_with(server, peer),
            Reached::Connecting(_) => self.set_phase(server, Phase::Connecting),
        }
    }

    pub(crate) fn register_with(&mut self, server: ShortServerId, peer: PeerId) {
        self.transport.use_interface(peer, Interface::Management);
        let registration = self
            .registrations
            .get_mut(&server)
            .expect("asked for by id");
        registration.update_wanted = false;
        registration.sent_at = self.now.instant;
        let account = registration.account.clone();
        let telling = self.desired(&account);
        let register = Register {
            endpoint: self.config.endpoint.clone(),
            lifetime_s: telling.lifetime_s,
            version: LwM2mVersion::V1_0,
            binding: telling.binding,
            sms_number: telling.sms_number.clone(),
            links: telling.links.clone(),
            parameters: Vec::new(),
            deviations: Deviations::default(),
        };
        match self
            .transport
            .register(self.now, peer, &register, Carriage::default())
        {
            Ok(request) => self.set_phase(server, Phase::Registering { request, telling }),
            Err(_) => self.fail(server, Reason::Busy),
        }
    }

    fn send_update(&mut self, server: ShortServerId, update: &Update, telling: Told) {
        let registration = self
            .registrations
            .get_mut(&server)
            .expect("asked for by id");
        let Some(peer) = registration.peer else {
            return;
        };
        // Who asks for an Update from now on asks for the next one.
        registration.update_wanted = false;
        registration.sent_at = self.now.instant;
        let location = &registration.location;
        let sent = self
            .transport
            .update(self.now, peer, location, update, Carriage::default());
        match sent {
            Ok(request) => {
                let changed = !update.is_refresh();
                self.set_phase(
                    server,
                    Phase::Updating {
                        request,
                        telling,
                        changed,
                    },
                );
            }
            Err(_) => self.fail(server, Reason::Busy),
        }
    }

    /// De-registers; `again` is when to come back.
    pub(crate) fn leave(&mut self, server: ShortServerId, again: Option<Instant>) {
        let Some(registration) = self.registrations.get(&server) else {
            return;
        };
        let Some(peer) = registration.peer else {
            return;
        };
        let location = &registration.location;
        let sent = self
            .transport
            .deregister(self.now, peer, location, Carriage::default());
        self.end_observations(server);
        match (sent, again) {
            (Ok(request), again) => self.set_phase(server, Phase::Leaving { request, again }),
            (Err(_), Some(at)) => self.set_phase(server, Phase::Due { at }),
            (Err(_), None) => self.set_phase(server, Phase::Stopped),
        }
    }

    /// Which registration waits for the answer to this request.
    fn waiting_for(&self, asked: RequestId) -> Option<ShortServerId> {
        self.registrations
            .iter()
            .find_map(|(server, registration)| match &registration.phase {
                Phase::Registering { request, .. }
                | Phase::Updating { request, .. }
                | Phase::Leaving { request, .. }
                    if *request == asked =>
                {
                    Some(*server)
                }
                _ => None,
            })
    }

    pub(crate) fn answered(&mut self, request: RequestId, answer: &Answer) {
        if self.bootstrap_answered(request, answer) {
            return;
        }
        let Some(server) = self.waiting_for(request) else {
            return;
        };
        let registration = self.registrations.get_mut(&server).expect("it waits");
        let success = answer.code.is_ok_and(|code| code.is_success());
        let event = match registration.phase.clone() {
            Phase::Registering { telling, .. } if success => {
                registration.location.clone_from(&answer.location);
                registration.accepted(registration.sent_at, telling);
                Event::Registered {
                    server,
                    location: answer.location.join("/"),
                }
            }
            Phase::Updating {
                telling, changed, ..
            } if success => {
                registration.accepted(registration.sent_at, telling);
                Event::Updated { server, changed }
            }
            Phase::Leaving { again, .. } => {
                registration.phase = again.map_or(Phase::Stopped, |at| Phase::Due { at });
                let peer = registration.peer;
                // "Drop the network connection to that Server" (TS 1.0 §E.2).
                self.doubt_session(peer);
                Event::Deregistered { server }
            }
            Phase::Updating { .. } => return self.update_refused(server, answer),
            _ => return self.fail_for(server, refusal(answer), asked_pause(answer)),
        };
        self.tell(event);
        if self.stopping && self.registrations[&server].is_open() {
            self.leave(server, None);
        }
    }

    /// A Server that is overloaded keeps us and is told later. Whatever else it has against the
    /// Update, a new registration is the way (TS 1.0 §5.3.2).
    fn update_refused(&mut self, server: ShortServerId, answer: &Answer) {
        let now = self.now.instant;
        let registration = self.registrations.get_mut(&server).expect("it waits");
        if answer.code != Ok(ResponseCode::ServiceUnavailable) || answer.max_age_s.is_none() {
            registration.phase = Phase::Due { at: now };
            return self.end_observations(server);
        }
        let pause = asked_pause(answer);
        registration.postponed(now, pause);
        registration.update_wanted = true;
        self.tell(Event::RegistrationFailed {
            server,
            reason: refusal(answer),
            again_in_s: pause.as_secs(),
        });
    }

    pub(crate) fn unanswered(&mut self, request: RequestId, failure: Failure) {
        if self.bootstrap_unanswered(request, failure) {
            return;
        }
        let Some(server) = self.waiting_for(request) else {
            return;
        };
        let (jitter, waits) = (self.jitter(), self.waits_for_server(server));
        let now = self.now.instant;
        let registration = self.registrations.get_mut(&server).expect("it waits");
        match registration.phase.clone() {
            Phase::Leaving { again, .. } => {
                registration.phase = again.map_or(Phase::Stopped, |at| Phase::Due { at });
            }
            Phase::Updating { .. } if waits => {
                let pause = registration.out_of_reach(now, jitter);
                self.tell(Event::RegistrationFailed {
                    server,
                    reason: Reason::NoAnswer(failure),
                    again_in_s: pause.as_secs(),
                });
            }
            _ => {
                let peer = registration.peer;
                self.fail(server, Reason::NoAnswer(failure));
                self.doubt_session(peer);
            }
        }
    }

    /// Whether a Server that cannot be reached is waited for: it observes, wants what it misses kept
    /// (`/1/x/6`), and may know us still. A new Register would end its observations.
    fn waits_for_server(&self, server: ShortServerId) -> bool {
        let registration = &self.registrations[&server];
        !self.stopping
            && registration.account.stores_notifications
            && registration.expires_at > self.now.instant
            && self.observations.iter().any(|one| one.server == server)
    }

    fn jitter(&mut self) -> f64 {
        0.8 + 0.4 * f64::from(self.random.next_u32()) / f64::from(u32::MAX)
    }

    /// The session is over, or was never there. Whatever the Server knew of us, it hears it anew.
    pub(crate) fn server_disconnected(&mut self, server: ShortServerId, reason: Reason) {
        let Some(registration) = self.registrations.get_mut(&server) else {
            return;
        };
        match registration.phase {
            // Nothing was wanted of it.
            Phase::Due { .. } | Phase::Resolving { .. } | Phase::Stopped => {}
            Phase::Leaving { again, .. } => {
                registration.phase = again.map_or(Phase::Stopped, |at| Phase::Due { at });
            }
            Phase::Connecting
            | Phase::Registering { .. }
            | Phase::Registered
            | Phase::Updating { .. } => self.fail(server, reason),
        }
    }

    pub(crate) fn fail(&mut self, server: ShortServerId, reason: Reason) {
        self.fail_for(server, reason, Duration::ZERO);
    }

    fn fail_for(&mut self, server: ShortServerId, reason: Reason, asked_for: Duration) {
        self.end_observations(server);
        let jitter = self.jitter();
        let Some(registration) = self.registrations.get_mut(&server) else {
            return;
        };
        if self.stopping {
            registration.phase = Phase::Stopped;
            return;
        }
        let pause = registration.failed(self.now.instant, jitter, asked_for);
        self.tell(Event::RegistrationFailed {
            server,
            reason,
            again_in_s: pause.as_secs(),
        });
    }

    /// A sleeping Client has something to say: an Update, which wakes it.
    pub(crate) fn wake(&mut self, server: ShortServerId, account: &Account) {
        let desired = self.desired(account);
        if let Step::Update(update) = self.registrations[&server].step(self.now.instant, &desired) {
            self.send_update(server, &update, desired);
        }
    }

    /// Which Server speaks from there, if it may: it has answered our Register.
    pub(crate) fn server_at(&self, peer: PeerId) -> Option<ShortServerId> {
        let mut open = self.registrations.iter().filter(|(_, one)| one.is_open());
        open.find(|(_, one)| one.peer == Some(peer))
            .map(|(server, _)| *server)
    }
}

pub(crate) fn refusal(answer: &Answer) -> Reason {
    let code = answer.code.map_or_else(|byte| byte, ResponseCode::to_byte);
    let words = String::from_utf8_lossy(&answer.payload).to_string();
    Reason::Refused(code, words)
}

/// When a Server that is overloaded wants to be asked again (RFC 7252 §5.9.3.4).
fn asked_pause(answer: &Answer) -> Duration {
    match answer.code {
        Ok(ResponseCode::ServiceUnavailable) => {
            Duration::from_secs(answer.max_age_s.unwrap_or(0).into()).min(ASKED_PAUSE_MAX)
        }
        _ => Duration::ZERO,
    }
}
