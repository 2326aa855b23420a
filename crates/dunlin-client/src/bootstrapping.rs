//! Carries out what [`crate::bootstrap`] decides: asks the Bootstrap-Server, does what it says in
//! one transaction, and begins anew with what came of it (TS 1.0 §5.2).
//!
//! The sequence of §5.2.3 is this: Factory and Smartcard have had their turn before there is a
//! Client, for their accounts are in its Objects; Servers with an account are registered with; if
//! none of them can be reached, or there is none, the Bootstrap-Server has the hold-off time to
//! begin by itself, and then is asked.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use dunlin_lwm2m::link::{Discovered, DiscoveredLink};
use dunlin_lwm2m::operation::{BootstrapRequest, Operation, Response, ResponseCode};
use dunlin_lwm2m::{
    ContentFormat, Deviations, Instance, LwM2mVersion, ObjectId, ObjectVersion, Path, Resource,
    ShortServerId,
};
use dunlin_transport::{
    Address, Answer, Carriage, ExchangeId, Failure, Interface, PeerId, Port, RequestId,
};
use rand_core::Rng;

use crate::account::{
    BootstrapAccount, MODE_NOSEC, PUBLIC_KEY_OR_IDENTITY, SECRET_KEY, SECURITY_MODE,
    SECURITY_SHORT_SERVER_ID, SERVER_PUBLIC_KEY, URI, accounts, bootstrap_account, is_bootstrap,
    short_server_id,
};
use crate::bootstrap::{Phase, SESSION_TIMEOUT, Step};
use crate::client::{Client, Party};
use crate::connecting::Reached;
use crate::consistency;
use crate::downlink::{check_format, is_harmless};
use crate::draft::Draft;
use crate::event::{Event, Need, NeedId, Output, Reason};
use crate::object::server::SHORT_SERVER_ID;
use crate::registering::refusal;
use crate::registration::RESOLVE_TIMEOUT;
use crate::tree::{Refusal, Tree};

impl Client {
    /// Asks the Bootstrap-Server now, whether or not Servers answer: what a button on the device
    /// does. `false`: there is no Bootstrap-Server Account.
    pub fn bootstrap(&mut self, now: crate::Now) -> bool {
        let known = bootstrap_account(&self.tree).is_some();
        self.bootstrap.wanted |= known;
        if let (true, Phase::Waiting { at }) = (known, &mut self.bootstrap.phase) {
            *at = now.instant;
        }
        self.proceed(now);
        known
    }

    /// Whether a bootstrap run is under way. Servers are not heard meanwhile.
    #[must_use]
    pub fn is_bootstrapping(&self) -> bool {
        self.bootstrap.is_active()
    }

    /// Brings the bootstrap to where it should be; before anything is done for Servers.
    pub(crate) fn follow_bootstrap(&mut self) {
        self.end_account_in_time();
        self.follow_listening();
        let Some(account) = bootstrap_account(&self.tree) else {
            return self.forget_bootstrap_server();
        };
        if self.bootstrap.address.is_none() {
            let ip = account.uri.host.parse::<IpAddr>().ok();
            self.bootstrap.address = ip.map(|ip| Address::Udp((ip, account.uri.port).into()));
        }
        let hold_off = match self.bootstrap.wanted {
            true => Duration::ZERO,
            false => Duration::from_secs(account.hold_off_s.into()),
        };
        let called_for = self.bootstrap_called_for();
        match self.bootstrap.step(self.now.instant, called_for, hold_off) {
            Step::Ask => self.find_bootstrap_server(&account),
            Step::GiveUp => self.bootstrap_failed(Reason::Unresolved(account.uri.host)),
            Step::Expire => self.bootstrap_failed(Reason::NotFinished),
            Step::Nothing => self.learn_where_it_is(&account),
        }
    }

    /// A Bootstrap-Server without security is known by its address, also before it was asked for
    /// anything: its name is looked up once.
    fn learn_where_it_is(&mut self, account: &BootstrapAccount) {
        let by_address = self.config.server_initiated_bootstrap && account.mode == MODE_NOSEC;
        if by_address
            && self.bootstrap.address.is_none()
            && !self.bootstrap.is_active()
            && !core::mem::replace(&mut self.bootstrap.looked_up, true)
        {
            self.look_up_bootstrap_server(account);
        }
    }

    fn look_up_bootstrap_server(&mut self, account: &BootstrapAccount) -> NeedId {
        let need = NeedId(self.next_need);
        self.next_need += 1;
        self.needs.insert(need, Party::Bootstrap);
        let (host, port) = (account.uri.host.clone(), account.uri.port);
        let question = Need::Resolve { host, port };
        self.outputs.push_back(Output::Need(need, question));
        need
    }

    /// Whether no Server can be reached any more, or there is none (TS 1.0 §5.2.3, point 4).
    fn bootstrap_called_for(&self) -> bool {
        if self.stopping {
            return false;
        }
        let attempts = self.config.registration_attempts_max;
        let known = accounts(&self.tree);
        self.bootstrap.wanted
            || known.iter().all(|account| {
                let registration = self.registrations.get(&account.short_server_id);
                registration.is_some_and(|one| one.has_failed(attempts))
            })
    }

    fn forget_bootstrap_server(&mut self) {
        if let Some(peer) = self.bootstrap.peer.take() {
            self.close(peer);
        }
        self.resumable.remove(&Party::Bootstrap);
        self.bootstrap = crate::bootstrap::Bootstrap::default();
    }

    /// The account is removed when its time is over (TS 1.0 §5.2.4).
    fn end_account_in_time(&mut self) {
        let over = self.bootstrap.account_ends;
        if over.is_none_or(|at| at > self.now.instant) || self.bootstrap.is_active() {
            return;
        }
        self.bootstrap.account_ends = None;
        let Some(account) = bootstrap_account(&self.tree) else {
            return;
        };
        if let Some(slot) = self.tree.slot_mut(ObjectId::SECURITY) {
            slot.instances.remove(&account.security);
            self.commit();
            self.tell(Event::BootstrapAccountRemoved);
        }
    }

    fn find_bootstrap_server(&mut self, account: &BootstrapAccount) {
        if let Ok(ip) = account.uri.host.parse::<IpAddr>() {
            return self.reach_bootstrap_server(&Address::Udp((ip, account.uri.port).into()));
        }
        let need = self.look_up_bootstrap_server(account);
        let until = self.now.instant + RESOLVE_TIMEOUT;
        self.bootstrap.phase = Phase::Resolving { need, until };
    }

    pub(crate) fn bootstrap_server_found(&mut self, need: NeedId, address: Option<Address>) {
        let waits =
            matches!(self.bootstrap.phase, Phase::Resolving { need: asked, .. } if asked == need);
        if !waits {
            if self.bootstrap.address.is_none() {
                self.bootstrap.address = address;
            }
            return;
        }
        match address {
            Some(address) => self.reach_bootstrap_server(&address),
            None => {
                let account = bootstrap_account(&self.tree);
                let host = account.map(|account| account.uri.host);
                self.bootstrap_failed(Reason::Unresolved(host.unwrap_or_default()));
            }
        }
    }

    fn reach_bootstrap_server(&mut self, address: &Address) {
        self.bootstrap.address = Some(address.clone());
        // Bootstrap information wants a new session (TS 1.0 §5.2.8).
        self.doubt_session(self.bootstrap.peer);
        let reached = match self.reach(Party::Bootstrap, address, None) {
            Ok(reached) => reached,
            Err(reason) => return self.bootstrap_failed(reason),
        };
        let (Reached::Peer(peer) | Reached::Connecting(peer)) = reached;
        if let Some(old) = self.bootstrap.peer.replace(peer) {
            self.close(old);
        }
        match reached {
            Reached::Peer(peer) => self.ask_bootstrap_server(peer),
            Reached::Connecting(_) => self.bootstrap.phase = Phase::Connecting,
        }
    }

    /// The session with the Bootstrap-Server is over, or was never there.
    pub(crate) fn bootstrap_disconnected(&mut self, reason: Reason) {
        match self.bootstrap.phase {
            Phase::Connecting | Phase::Requesting { .. } | Phase::Session { .. } => {
                self.bootstrap_failed(reason);
            }
            Phase::Idle | Phase::Waiting { .. } | Phase::Resolving { .. } => {}
        }
    }

    pub(crate) fn ask_bootstrap_server(&mut self, peer: PeerId) {
        self.transport.use_interface(peer, Interface::Bootstrap);
        let asking = BootstrapRequest {
            endpoint: self.config.endpoint.clone(),
            parameters: Vec::new(),
            deviations: Deviations::default(),
        };
        let asked = self
            .transport
            .bootstrap_request(self.now, peer, &asking, Carriage::default());
        match asked {
            Ok(request) => {
                self.bootstrap.phase = Phase::Requesting { request };
                let server_initiated = false;
                self.tell(Event::BootstrapStarted { server_initiated });
            }
            Err(_) => self.bootstrap_failed(Reason::Busy),
        }
    }

    /// Whether a datagram from there may be of the Bootstrap-Server, who may begin by itself as
    /// long as it has an account without security. Where a Server that knows us speaks from the
    /// same address, it is that Server.
    pub(crate) fn hears_bootstrap_server(&mut self, from: &Address) -> bool {
        if self.bootstrap.address.as_ref() != Some(from) {
            return false;
        }
        let known = self.bootstrap.peer.is_some();
        let clear = bootstrap_account(&self.tree).is_some_and(|one| one.mode == MODE_NOSEC);
        if !known && clear && self.config.server_initiated_bootstrap {
            let peer = self.transport.peer_at(self.now, Port::Coap, from, None);
            if self.server_at(peer).is_none() {
                self.transport.hold(peer);
                self.transport.use_interface(peer, Interface::Bootstrap);
                self.bootstrap.peer = Some(peer);
            }
        }
        self.bootstrap.peer.is_some()
    }

    pub(crate) fn bootstrap_answered(&mut self, asked: RequestId, answer: &Answer) -> bool {
        let success = answer.code.is_ok_and(|code| code.is_success());
        match &mut self.bootstrap.phase {
            Phase::Requesting { request } if *request == asked && success => {
                self.begin_session(None);
            }
            Phase::Requesting { request } if *request == asked => {
                self.bootstrap_failed(refusal(answer));
            }
            Phase::Session { request, .. } if *request == Some(asked) => *request = None,
            _ => return false,
        }
        true
    }

    pub(crate) fn bootstrap_unanswered(&mut self, asked: RequestId, failure: Failure) -> bool {
        match &mut self.bootstrap.phase {
            Phase::Requesting { request } if *request == asked => {
                let peer = self.bootstrap.peer;
                self.bootstrap_failed(Reason::NoAnswer(failure));
                self.doubt_session(peer);
            }
            // It acts, so it has heard us.
            Phase::Session { request, .. } if *request == Some(asked) => *request = None,
            _ => return false,
        }
        true
    }

    /// The Bootstrap-Server may write from now on; `request` is a Bootstrap-Request of ours whose
    /// answer is still to come.
    fn begin_session(&mut self, request: Option<RequestId>) {
        self.bootstrap.phase = Phase::Session {
            until: self.now.instant + SESSION_TIMEOUT,
            draft: Draft::default(),
            request,
        };
    }

    /// Everything is as it was: what was written lies in the draft alone.
    pub(crate) fn bootstrap_failed(&mut self, reason: Reason) {
        let jitter = 0.8 + 0.4 * f64::from(self.random.next_u32()) / f64::from(u32::MAX);
        let hold_off = bootstrap_account(&self.tree).map_or(0, |account| account.hold_off_s);
        let hold_off = Duration::from_secs(hold_off.into());
        self.bootstrap.wanted = false;
        let called_for = self.bootstrap_called_for();
        self.bootstrap.phase = Phase::Idle;
        let now = self.now.instant;
        let pause = self.bootstrap.failed(now, called_for, hold_off, jitter);
        self.tell(Event::BootstrapFailed {
            reason,
            again_in_s: pause.map(|pause| pause.as_secs()),
        });
    }

    /// The Bootstrap-Server asks. What it asks outside of a run begins one.
    pub(crate) fn bootstrap_asked(&mut self, exchange: ExchangeId, operation: &Operation) {
        match self.bootstrap.phase {
            Phase::Session { .. } => {}
            // Its answer to our request is late, or lost.
            Phase::Requesting { request } => self.begin_session(Some(request)),
            _ if self.config.server_initiated_bootstrap && !self.stopping => {
                self.begin_session(None);
                let server_initiated = true;
                self.tell(Event::BootstrapStarted { server_initiated });
            }
            _ => {
                let _ = self.transport.ignore_downlink(self.now, exchange);
                return;
            }
        }
        let path = operation.path();
        let (response, barrier) = match self.bootstrap_operate(operation) {
            Ok(answer) => answer,
            Err((code, what)) => {
                let mut response = Response::new(code);
                response.payload = what.clone().into_bytes();
                self.tell(Event::BootstrapRefused { path, code, what });
                (response, 0)
            }
        };
        let finished = *operation == Operation::BootstrapFinish && response.code.is_success();
        // The Bootstrap-Server may have given up meanwhile; then nobody waits for this.
        let _ = self
            .transport
            .answer_downlink(self.now, exchange, response, barrier);
        if finished {
            // The answer first: what follows may go to the same peer.
            self.flush_transport();
            self.bootstrapped();
        } else if let Phase::Session { until, .. } = &mut self.bootstrap.phase {
            *until = self.now.instant + SESSION_TIMEOUT;
        }
    }

    fn bootstrap_operate(
        &mut self,
        operation: &Operation,
    ) -> Result<(Response, u64), (ResponseCode, String)> {
        let words = |refusal: Refusal| (refusal.code, refusal.what.to_string());
        match operation {
            Operation::BootstrapDiscover { path } => {
                let payload = self.bootstrap_discover(*path).map_err(words)?;
                let response = Response::content(ContentFormat::LINK, payload.into_bytes());
                Ok((response, 0))
            }
            Operation::BootstrapWrite {
                path,
                format,
                payload,
            } => {
                self.bootstrap_write(*path, *format, payload)
                    .map_err(words)?;
                Ok((Response::new(ResponseCode::Changed), 0))
            }
            Operation::BootstrapDelete { path } => {
                let (draft, tree) = self.draft();
                draft.delete(tree, *path).map_err(words)?;
                Ok((Response::new(ResponseCode::Deleted), 0))
            }
            Operation::BootstrapFinish => {
                let barrier = self.finish()?;
                Ok((Response::new(ResponseCode::Changed), barrier))
            }
            _ => {
                let what = "a Bootstrap-Server may not do that".to_string();
                Err((ResponseCode::MethodNotAllowed, what))
            }
        }
    }

    fn draft(&mut self) -> (&mut Draft, &Tree) {
        let Phase::Session { draft, .. } = &mut self.bootstrap.phase else {
            unreachable!("commands of the Bootstrap-Server begin a session");
        };
        (draft, &self.tree)
    }

    fn bootstrap_write(
        &mut self,
        path: Path,
        format: ContentFormat,
        payload: &[u8],
    ) -> Result<(), Refusal> {
        let bad = |what| Refusal::new(ResponseCode::BadRequest, what);
        let slot = path.object_id().and_then(|object| self.tree.slot(object));
        slot.ok_or(bad("this Client has no such Object"))?;
        if path.resource_id().is_some() {
            let definition = self.tree.definition_at(path);
            let what = "the Object has no such Resource";
            check_format(definition.ok_or(bad(what))?, format)?;
        }
        let node = self.decode(path, format, payload, is_harmless)?.node;
        let (draft, tree) = self.draft();
        draft.write(tree, path, node)
    }

    /// Every Object and its instances, Object 0 too, no Resources (TS 1.0 §5.2.7.3).
    fn bootstrap_discover(&mut self, path: Path) -> Result<String, Refusal> {
        let bare = self.config.bare_version_in_discover;
        let (draft, tree) = self.draft();
        let view = draft.view(tree);
        let wanted = path.object_id();
        let mut found = Discovered {
            version: Some(LwM2mVersion::V1_0),
            ..Discovered::default()
        };
        if wanted.is_some_and(|object| !view.contains_key(&object)) {
            let what = "this Client has no such Object";
            return Err(Refusal::new(ResponseCode::NotFound, what));
        }
        let objects = view.iter();
        for (object, instances) in objects.filter(|(id, _)| wanted.is_none_or(|one| one == **id)) {
            let slot = tree.slot(*object);
            let version = slot.map_or(ObjectVersion::V1_0, |slot| slot.definition.version);
            if instances.is_empty() || version != ObjectVersion::V1_0 {
                let mut link = DiscoveredLink::new(Path::object(*object));
                link.version = (version != ObjectVersion::V1_0).then_some(version);
                found.links.push(link);
            }
            for (id, instance) in instances {
                let mut link = DiscoveredLink::new(Path::instance(*object, *id));
                link.short_server_id = server_of(*object, instance);
                found.links.push(link);
            }
        }
        Ok(match bare {
            true => found.write_with_bare_version(),
            false => found.write(""),
        })
    }

    /// Makes the run's changes if they make sense; gives the commit that holds them.
    fn finish(&mut self) -> Result<u64, (ResponseCode, String)> {
        let (draft, tree) = self.draft();
        let mut whole = draft.clone();
        whole.unbootstrap(tree);
        let no = |what| (ResponseCode::NotAcceptable, what);
        if consistency::check(tree, &whole).map_err(no)? == 0 {
            return Err(no("there is no account of any Server".into()));
        }
        Ok(self.adopt(whole))
    }

    /// Makes the changes of a draft that has been checked; gives the commit that holds them.
    pub(crate) fn adopt(&mut self, whole: Draft) -> u64 {
        let before = securities(&self.tree);
        let asked_at = bootstrap_account(&self.tree).map(|account| account.uri);
        let paths = whole.apply(&mut self.tree, self.now);
        for path in &paths {
            let (object, instance) = (path.object_id(), path.instance_id());
            if let (Some(object), Some(instance)) = (object, instance)
                && self.tree.find(Path::instance(object, instance)).is_err()
            {
                self.attributes.forget(*path);
            }
        }
        self.leave_changed(&before);
        let account = bootstrap_account(&self.tree);
        if account.as_ref().map(|account| &account.uri) != asked_at.as_ref() {
            self.bootstrap.address = None;
            self.bootstrap.looked_up = false;
        }
        let timeout_s = account.map_or(0, |account| account.timeout_s);
        let span = Duration::from_secs(timeout_s.into());
        self.bootstrap.account_ends = (timeout_s > 0).then(|| self.now.instant + span);
        self.commit()
    }

    /// Servers whose credentials are others now, or that have no account any more, are left: their
    /// sessions are not used again (TS 1.0 §5.2.8, §E.1.3).
    fn leave_changed(&mut self, before: &[(ShortServerId, Material)]) {
        let after = securities(&self.tree);
        let changed = before.iter().filter(|one| !after.contains(one));
        for (server, _) in changed.cloned().collect::<Vec<_>>() {
            self.forget_server(server);
        }
    }

    /// The run is over: every Server is registered with anew (TS 1.0 §5.2.4).
    fn bootstrapped(&mut self) {
        self.bootstrap.settle();
        let servers: Vec<ShortServerId> = self.registrations.keys().copied().collect();
        for server in servers {
            self.end_observations(server);
        }
        let now = self.now.instant;
        let all = self.registrations.values_mut();
        all.for_each(|registration| registration.renew(now));
        let known = accounts(&self.tree).into_iter();
        let servers = known.map(|account| account.short_server_id).collect();
        self.tell(Event::Bootstrapped { servers });
    }
}

/// The Server that an instance of Object 0 or 1 belongs to; the Bootstrap-Server has no number.
fn server_of(object: ObjectId, instance: &Instance) -> Option<ShortServerId> {
    match object {
        ObjectId::SECURITY if !is_bootstrap(instance) => {
            short_server_id(instance, SECURITY_SHORT_SERVER_ID)
        }
        ObjectId::SERVER => short_server_id(instance, SHORT_SERVER_ID),
        _ => None,
    }
}

/// URI, mode and keys of an account.
type Material = Vec<Resource>;

fn securities(tree: &Tree) -> Vec<(ShortServerId, Material)> {
    let parts = [
        URI,
        SECURITY_MODE,
        PUBLIC_KEY_OR_IDENTITY,
        SERVER_PUBLIC_KEY,
        SECRET_KEY,
    ];
    let all = tree.instances(ObjectId::SECURITY);
    all.filter(|one| !is_bootstrap(one))
        .filter_map(|one| {
            let server = short_server_id(one, SECURITY_SHORT_SERVER_ID)?;
            let material = parts.iter().filter_map(|part| one.resource(*part).cloned());
            Some((server, material.collect()))
        })
        .collect()
}
