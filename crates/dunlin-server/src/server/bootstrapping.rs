//! The bootstrap interface; TS 1.0 §5.2: who may bootstrap, and the way through a run.
//!
//! 1. Bootstrap-Request: [`Need::Profile`] to the node, which holds the name against the identity.
//! 2. The answer brings what the Client is to get. The run is committed with the credentials made
//!    for it, 2.04 leaves after that, and then the first step.
//! 3. Each answer leads to the next step ([`Run`]), one at a time.
//!    With a Client that is to be reached (TS 1.0 §5.2.3.4) a session is opened before the first.
//! 4. The end is committed and told. There is one run per name: a new Bootstrap-Request ends the
//!    old run, for the Client has begun anew.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use dunlin_lwm2m::EndpointName;
use dunlin_lwm2m::operation::{BootstrapRequest, Operation, ResponseCode};
use dunlin_transport::dtls::{ClientSettings, Failure as DtlsFailure, Refused as DtlsRefused};
use dunlin_transport::{
    Address, Answer as WireAnswer, Carriage, DisconnectReason, ExchangeId, Failure, Identity,
    Instant, Now, PeerId, Port, RequestId as WireId, SecurityRefused, UplinkAnswer,
};

use super::Server;
use super::uplink::Refusal;
use crate::bootstrap::{
    APPROACHES_MAX, Advance, Approach, BootstrapRun, Initiator, Provision, Reach, Run, RunFailure,
    RunState,
};
use crate::change::Change;
use crate::command::Refused;
use crate::config::{ADMISSIONS_MAX, BootstrapConfig, NEED_TIMEOUT};
use crate::effects::Output;
use crate::event::{Event, EventKind};
use crate::id::BootstrapRunId;
use crate::need::{Answer, Need, NeedId, NoProfile};

/// Clients whose last session with the Bootstrap-Server is remembered, to begin a run on it. More
/// than this lose the first by name: they can still ask by themselves.
const SESSIONS_MAX: usize = 10_000;

/// Bootstrap-Requests that wait for the node, and runs under way.
#[derive(Debug, Default)]
pub(super) struct Bootstraps {
    asked: BTreeMap<NeedId, Asked>,
    runs: BTreeMap<EndpointName, Active>,
    by_wire: BTreeMap<WireId, EndpointName>,
    /// With whom sessions are being opened, and where.
    opening: BTreeMap<PeerId, (EndpointName, Address)>,
    /// Who is bootstrapped on a session that we opened.
    opened: BTreeMap<PeerId, EndpointName>,
    deadlines: BTreeSet<(Instant, EndpointName)>,
    /// Where a Client was last bootstrapped with security.
    sessions: BTreeMap<EndpointName, Session>,
    last_stamp: u64,
}

/// A Bootstrap-Request that waits for the node.
#[derive(Debug)]
struct Asked {
    peer: PeerId,
    exchange: ExchangeId,
    endpoint: EndpointName,
    deadline: Instant,
}

/// A run and what it is carried by.
#[derive(Debug)]
struct Active {
    run: Run,
    peer: PeerId,
    wire: Option<WireId>,
    deadline: Instant,
    /// We have opened the session, and end it after the run.
    opened: bool,
    /// What else may open one, while none is there.
    others: VecDeque<ClientSettings>,
}

/// A peer that may be somebody else when it is looked at again.
#[derive(Debug)]
struct Session {
    peer: PeerId,
    address: Address,
    identity: Identity,
}

/// How the Bootstrap-Server reaches a Client that has not asked.
#[derive(Debug)]
enum Way {
    Session(PeerId),
    InTheClear(Address, Option<IpAddr>),
    /// It registered with security from there, and may listen there.
    Secured(Address),
}

impl Bootstraps {
    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    pub(super) fn of(&self, endpoint: &EndpointName) -> Option<&BootstrapRun> {
        self.runs.get(endpoint).map(|active| &active.run.record)
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let run = self.deadlines.first().map(|(at, _)| *at);
        // Ids rise with deadlines, so the first is the earliest.
        let asked = self.asked.first_key_value();
        let asked = asked.map(|(_, asked)| asked.deadline);
        match (run, asked) {
            (Some(run), Some(asked)) => Some(run.min(asked)),
            (run, asked) => run.or(asked),
        }
    }

    fn insert(&mut self, active: Active) {
        let endpoint = active.run.record.endpoint.clone();
        self.deadlines.insert((active.deadline, endpoint.clone()));
        if active.opened {
            self.opened.insert(active.peer, endpoint.clone());
        }
        self.runs.insert(endpoint, active);
    }

    fn remove(&mut self, endpoint: &EndpointName) -> Option<Active> {
        let active = self.runs.remove(endpoint)?;
        self.deadlines.remove(&(active.deadline, endpoint.clone()));
        if let Some(wire) = active.wire {
            self.by_wire.remove(&wire);
        }
        self.opening.remove(&active.peer);
        self.opened.remove(&active.peer);
        Some(active)
    }

    pub(super) fn approached(&self, address: &Address) -> Option<&EndpointName> {
        let mut all = self.opening.values();
        all.find(|(_, at)| at == address)
            .map(|(endpoint, _)| endpoint)
    }

    fn remember(&mut self, endpoint: EndpointName, session: Session) {
        self.sessions.insert(endpoint, session);
        if self.sessions.len() > SESSIONS_MAX {
            self.sessions.pop_first();
        }
    }
}

impl Server {
    pub(super) fn on_bootstrap_request(
        &mut self,
        now: Now,
        peer: PeerId,
        exchange: ExchangeId,
        request: BootstrapRequest,
    ) -> Result<(), Refusal> {
        if self.config.bootstrap.is_none() {
            return Err(Refusal::new(
                ResponseCode::BadRequest,
                "there is no Bootstrap-Server at this address",
            ));
        }
        let endpoint = request.endpoint;
        self.admit(now, &endpoint)?;
        let known = self.transport.peer(peer);
        let identity = known.map_or(Identity::None, |peer| peer.identity);
        if self.bootstraps.asked.len() >= ADMISSIONS_MAX {
            return Err(Refusal::unavailable("too many Clients bootstrap at once"));
        }
        self.last_need += 1;
        let id = NeedId(self.last_need);
        let asked = Asked {
            peer,
            exchange,
            endpoint: endpoint.clone(),
            deadline: now.instant + NEED_TIMEOUT,
        };
        self.bootstraps.asked.insert(id, asked);
        let need = Need::Profile { endpoint, identity };
        self.effects.live(Output::Need { id, need });
        Ok(())
    }

    /// The node says what the Client is to get.
    pub(super) fn on_profile(&mut self, now: Now, need: NeedId, answer: Answer) {
        let Some(asked) = self.bootstraps.asked.remove(&need) else {
            return;
        };
        let Asked {
            peer,
            exchange,
            endpoint,
            ..
        } = asked;
        let begun = match answer {
            Answer::Profile(Ok(provision)) => {
                self.begin_asked(now, peer, exchange, &endpoint, *provision)
            }
            Answer::Profile(Err(refused)) => Err(refusal(refused)),
            _ => Err(Refusal::unavailable(
                "the bootstrap cannot be decided at present",
            )),
        };
        if let Err(refusal) = begun {
            self.refuse(now, peer, exchange, Some(endpoint), refusal);
        }
    }

    fn begin_asked(
        &mut self,
        now: Now,
        peer: PeerId,
        exchange: ExchangeId,
        endpoint: &EndpointName,
        provision: Provision,
    ) -> Result<(), Refusal> {
        if !self.healthy {
            return Err(Refusal::store_failing());
        }
        let limits = self.config.bootstrap.unwrap_or_default();
        if self.bootstraps.len() >= limits.runs_max && self.bootstraps.of(endpoint).is_none() {
            return Err(Refusal::unavailable("too many Clients bootstrap at once"));
        }
        let Some(run) = self.begin(now, peer, endpoint, Initiator::Client, provision) else {
            // It has been forgotten while it waited; nobody hears an answer.
            return Ok(());
        };
        // The answer comes before the first step (TS 1.0 §5.2.3.3).
        self.answer(now, exchange, &UplinkAnswer::Changed);
        self.step(now, run, limits);
        Ok(())
    }

    /// A run that a command begins.
    pub(super) fn begin_by_command(
        &mut self,
        now: Now,
        endpoint: &EndpointName,
        provision: Provision,
        approach: Option<Approach>,
    ) -> Result<BootstrapRunId, Refused> {
        if !self.healthy {
            return Err(Refused::StoreFailing);
        }
        let limits = self.config.bootstrap.ok_or(Refused::ClientUnreachable {
            reason: "there is no Bootstrap-Server here",
        })?;
        let full = self.bootstraps.len() >= limits.runs_max;
        if full && self.bootstraps.of(endpoint).is_none() {
            let limit = limits.runs_max;
            return Err(Refused::ServerFull { limit });
        }
        let (peer, others) = match approach {
            None => (self.bootstrap_peer(now, endpoint)?, None),
            Some(approach) => self.approach(now, endpoint, approach)?,
        };
        let mut run = self
            .begin(now, peer, endpoint, Initiator::Server, provision)
            .ok_or(Refused::ClientUnknown)?;
        let id = run.run.record.id;
        match others {
            None => self.step(now, run, limits),
            Some(others) => {
                run.others = others;
                self.await_session(run);
            }
        }
        Ok(id)
    }

    /// A peer where the Client is said to listen. With sessions: one is being opened, and these are
    /// the others to try.
    fn approach(
        &mut self,
        now: Now,
        endpoint: &EndpointName,
        approach: Approach,
    ) -> Result<(PeerId, Option<VecDeque<ClientSettings>>), Refused> {
        // One that is being opened there would be in the way.
        self.stop_bootstrap(now, endpoint, RunFailure::Superseded);
        let Approach { address, sessions } = approach;
        let mut sessions: VecDeque<ClientSettings> = sessions.into();
        sessions.truncate(APPROACHES_MAX);
        let Some(first) = sessions.pop_front() else {
            // From our own door, as ever.
            let peer = self
                .transport
                .peer_at(now, Port::BootstrapCoap, &address, None);
            return Ok((peer, None));
        };
        let peer = self.open(now, &address, first)?;
        Ok((peer, Some(sessions)))
    }

    fn open(
        &mut self,
        now: Now,
        address: &Address,
        settings: ClientSettings,
    ) -> Result<PeerId, Refused> {
        let port = Port::BootstrapCoaps;
        let opened = self.transport.connect(now, port, address, None, settings);
        opened.map_err(|refused| Refused::ClientUnreachable {
            reason: match refused {
                SecurityRefused::NotSecure => "DTLS is off here",
                SecurityRefused::Dtls(DtlsRefused::HandshakeUnderWay) => {
                    "a handshake with that address is under way"
                }
                SecurityRefused::Dtls(DtlsRefused::Full) => "too many handshakes are under way",
                _ => "no session can be opened to that address",
            },
        })
    }

    fn await_session(&mut self, mut active: Active) {
        active.opened = true;
        let endpoint = active.run.record.endpoint.clone();
        let at = active.run.record.address.clone();
        let opening = &mut self.bootstraps.opening;
        opening.insert(active.peer, (endpoint, at));
        self.bootstraps.insert(active);
    }

    /// A session that we wanted is there.
    pub(super) fn on_opened(&mut self, now: Now, peer: PeerId) {
        let Some((endpoint, _)) = self.bootstraps.opening.remove(&peer) else {
            return;
        };
        let Some(mut active) = self.bootstraps.remove(&endpoint) else {
            return;
        };
        if let Some(there) = self.transport.peer(peer) {
            active.run.record.identity = there.identity;
        }
        let limits = self.config.bootstrap.unwrap_or_default();
        self.step(now, active, limits);
    }

    /// A session that we wanted will not be there: the next way is tried. Or it was there, and is
    /// over before the run is.
    pub(super) fn on_not_opened(&mut self, now: Now, peer: PeerId, reason: DisconnectReason) {
        let Some((endpoint, address)) = self.bootstraps.opening.remove(&peer) else {
            if let Some(endpoint) = self.bootstraps.opened.get(&peer).cloned() {
                self.stop_bootstrap(now, &endpoint, RunFailure::SessionEnded);
            }
            return;
        };
        let Some(mut active) = self.bootstraps.remove(&endpoint) else {
            return;
        };
        if reason == DisconnectReason::Failed(DtlsFailure::GaveWay) {
            // The Client comes by itself.
            return self.end(now, active, RunState::Failed(RunFailure::Superseded));
        }
        if let Some(next) = active.others.pop_front()
            && let Ok(peer) = self.open(now, &address, next)
        {
            self.transport.hold(peer);
            self.transport
                .release(core::mem::replace(&mut active.peer, peer));
            return self.await_session(active);
        }
        let reason = match reason {
            DisconnectReason::Failed(failure) => failure.to_string(),
            DisconnectReason::Closed(closed) => format!("it was ended ({closed:?})"),
            _ => "it was not possible".into(),
        };
        self.end(
            now,
            active,
            RunState::Failed(RunFailure::NotOpened { reason }),
        );
    }

    /// Where the Bootstrap-Server can speak to a Client first: on the session of its last
    /// bootstrap, as long as that lives, or in the clear where it registered in the clear.
    fn bootstrap_peer(&mut self, now: Now, endpoint: &EndpointName) -> Result<PeerId, Refused> {
        match self.way_to_bootstrap(endpoint)? {
            Way::Session(peer) => Ok(peer),
            // From our own door: that is how the Client knows who speaks.
            Way::InTheClear(address, local) => {
                let port = Port::BootstrapCoap;
                Ok(self.transport.peer_at(now, port, &address, local))
            }
            Way::Secured(_) => Err(Refused::ClientUnreachable {
                reason: "it is registered with security, and its session with the Bootstrap-Server has ended: it must ask by itself, or listen where the Bootstrap-Server can reach it",
            }),
        }
    }

    pub(super) fn reach_to_bootstrap(&self, endpoint: &EndpointName) -> Result<Reach, Refused> {
        Ok(match self.way_to_bootstrap(endpoint)? {
            Way::Session(_) | Way::InTheClear(..) => Reach::Now,
            Way::Secured(address) => Reach::At(address),
        })
    }

    fn way_to_bootstrap(&self, endpoint: &EndpointName) -> Result<Way, Refused> {
        if self.config.bootstrap.is_none() {
            let reason = "there is no Bootstrap-Server here";
            return Err(Refused::ClientUnreachable { reason });
        }
        if let Some(session) = self.bootstraps.sessions.get(endpoint)
            && let Some(peer) = self.transport.peer(session.peer)
            && (&peer.identity, &peer.address) == (&session.identity, &session.address)
            && self.transport.is_connected(session.peer)
        {
            return Ok(Way::Session(session.peer));
        }
        let key = self.registered(endpoint)?;
        let client = self.book.client(key);
        let at = self
            .transport
            .peer(client.peer)
            .ok_or(Refused::ClientUnknown)?;
        Ok(match *client.identity() {
            Identity::None => Way::InTheClear(at.address, at.local),
            _ => Way::Secured(at.address),
        })
    }

    /// Ends the old run of this name, and commits the new one. `None`: the peer is not known.
    fn begin(
        &mut self,
        now: Now,
        peer: PeerId,
        endpoint: &EndpointName,
        initiator: Initiator,
        provision: Provision,
    ) -> Option<Active> {
        let at = self.transport.peer(peer)?;
        self.stop_bootstrap(now, endpoint, RunFailure::Superseded);
        let stamp = (self.bootstraps.last_stamp + 1).max(now.wall.0);
        self.bootstraps.last_stamp = stamp;
        let shard = self.config.owned.choose(&mut self.random);
        let record = BootstrapRun {
            id: BootstrapRunId::stamped(self.config.node, shard, stamp, &mut self.random),
            endpoint: endpoint.clone(),
            initiator,
            profile: provision.profile.clone(),
            address: at.address.clone(),
            identity: at.identity.clone(),
            started_at: now.wall,
            ended_at: None,
            state: RunState::Running,
            version: None,
            steps: Vec::new(),
            made: provision
                .made
                .iter()
                .map(|made| made.proof.clone())
                .collect(),
        };
        if at.identity != Identity::None {
            let session = Session {
                peer,
                address: at.address,
                identity: at.identity,
            };
            self.bootstraps.remember(endpoint.clone(), session);
        }
        self.transport.hold(peer);
        self.stats.bootstraps_begun += 1;
        self.effects.change(Change::BeginBootstrap {
            run: Box::new(record.clone()),
            made: provision.made.clone(),
        });
        let limits = self.config.bootstrap.unwrap_or_default();
        Some(Active {
            run: Run::new(record, provision),
            peer,
            wire: None,
            deadline: now.instant + limits.run_timeout,
            opened: false,
            others: VecDeque::new(),
        })
    }

    fn step(&mut self, now: Now, mut active: Active, limits: BootstrapConfig) {
        let advance = active.run.begin();
        self.advance(now, active, advance, limits);
    }

    pub(super) fn on_step_answered(&mut self, now: Now, wire: WireId, answer: &WireAnswer) {
        let Some(mut active) = self.active(wire) else {
            return;
        };
        let advance = active.run.answered(answer);
        let limits = self.config.bootstrap.unwrap_or_default();
        self.advance(now, active, advance, limits);
    }

    pub(super) fn on_step_failed(&mut self, now: Now, wire: WireId, failure: Failure) {
        let Some(mut active) = self.active(wire) else {
            return;
        };
        let failure = active.run.unanswered(failure);
        self.end(now, active, RunState::Failed(failure));
    }

    /// The run that a request belongs to, taken out; the request is over.
    fn active(&mut self, wire: WireId) -> Option<Active> {
        let endpoint = self.bootstraps.by_wire.get(&wire)?.clone();
        let mut active = self.bootstraps.remove(&endpoint)?;
        active.wire = None;
        Some(active)
    }

    fn advance(&mut self, now: Now, active: Active, advance: Advance, limits: BootstrapConfig) {
        match advance {
            Advance::Ask(operation) => self.ask_step(now, active, &operation, limits),
            Advance::Succeeded => self.end(now, active, RunState::Succeeded),
            Advance::Failed(failure) => self.end(now, active, RunState::Failed(failure)),
        }
    }

    fn ask_step(
        &mut self,
        now: Now,
        mut active: Active,
        operation: &Operation,
        limits: BootstrapConfig,
    ) {
        let deadline = (now.instant + limits.step_timeout).min(active.deadline);
        let carriage = Carriage {
            barrier: self.effects.latest(),
            deadline: Some(deadline),
        };
        // Paths of this interface have no root (TS 1.0 §8.2.2).
        let asked = self
            .transport
            .request(now, active.peer, "", operation, carriage);
        let Ok(wire) = asked else {
            return self.end(now, active, RunState::Failed(RunFailure::Overloaded));
        };
        active.wire = Some(wire);
        let endpoint = active.run.record.endpoint.clone();
        self.bootstraps.by_wire.insert(wire, endpoint);
        self.bootstraps.insert(active);
    }

    /// Commits and tells the end of a run that is in no table any more.
    fn end(&mut self, now: Now, active: Active, state: RunState) {
        if active.opened {
            // Each bootstrap has a session of its own (TS 1.0 §5.2.8). One that was never there, or
            // is over, cannot be ended.
            let _ = self.transport.disconnect(now, active.peer, 0);
        }
        self.transport.release(active.peer);
        let run = Box::new(active.run.end(now.wall, state));
        self.tell_end(now, run);
    }

    fn tell_end(&mut self, now: Now, run: Box<BootstrapRun>) {
        // Also while the store fails: there are no more of these than runs.
        self.effects.change(Change::EndBootstrap(run.clone()));
        let endpoint = run.endpoint.clone();
        let kind = if run.state == RunState::Succeeded {
            self.stats.bootstraps_succeeded += 1;
            EventKind::Bootstrapped { run }
        } else {
            self.stats.bootstraps_failed += 1;
            EventKind::BootstrapFailed { run }
        };
        self.effects.event(Event {
            endpoint,
            at: now.wall,
            kind,
        });
    }

    pub(super) fn stop_bootstrap(
        &mut self,
        now: Now,
        endpoint: &EndpointName,
        reason: RunFailure,
    ) -> bool {
        let Some(active) = self.bootstraps.remove(endpoint) else {
            return false;
        };
        if let Some(wire) = active.wire {
            // One that has just been answered is over, which is as good.
            let _ = self.transport.cancel_request(now, wire);
        }
        self.end(now, active, RunState::Failed(reason));
        true
    }

    /// Runs that take too long, and questions that nobody answered.
    pub(super) fn end_late_bootstraps(&mut self, now: Now) {
        while let Some((at, endpoint)) = self.bootstraps.deadlines.first().cloned()
            && at <= now.instant
        {
            let limits = self.config.bootstrap.unwrap_or_default();
            let limit_s = limits.run_timeout.as_secs();
            self.stop_bootstrap(now, &endpoint, RunFailure::TookTooLong { limit_s });
        }
        while let Some(entry) = self.bootstraps.asked.first_entry()
            && entry.get().deadline <= now.instant
        {
            let id = *entry.key();
            self.on_profile(now, id, Answer::Unavailable);
        }
    }

    /// A run that was under way when we stopped: the Client has lost us, and begins anew.
    pub(super) fn restore_bootstrap(&mut self, now: Now, mut run: BootstrapRun) {
        run.ended_at = Some(now.wall);
        run.state = RunState::Failed(RunFailure::Restarted);
        self.tell_end(now, Box::new(run));
    }
}

fn refusal(refused: NoProfile) -> Refusal {
    match refused {
        NoProfile::Unknown => Refusal::new(
            ResponseCode::BadRequest,
            "no bootstrap profile is for this endpoint name",
        ),
        NoProfile::Mismatch { reason } => Refusal::new(ResponseCode::BadRequest, reason),
        NoProfile::Forbidden { reason } => Refusal::new(ResponseCode::Forbidden, reason),
        NoProfile::Unusable { reason } => Refusal::new(ResponseCode::InternalServerError, reason),
    }
}
