//! The machine: Objects on one side, Servers on the other.
//!
//! The order of things after every input: what the transport tells is applied (`hear`), then the
//! state is compared with what the Servers know (`reconcile`), which registers, updates and
//! notifies. Nothing else sends. Parts decide, this file carries out.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use dunlin_lwm2m::operation::SmsNumber;
use dunlin_lwm2m::{EndpointName, Instance, Node, Path, ResourceValue, ShortServerId};
use dunlin_transport::{
    Address, Config as TransportConfig, Event as Heard, Instant, Now, Output as TransportOutput,
    PeerId, Port, Side, Transport, is_request,
};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::account::Account;
use crate::attributes::AttributeBook;
use crate::bootstrap::Bootstrap;
use crate::change::Snapshot;
use crate::connecting::Resumable;
use crate::event::{Answer, Commit, Event, NeedId, Output, Reason};
use crate::firmware::Firmware;
use crate::notify::Observation;
use crate::registration::{Phase, Registration};
use crate::sleep::Sleep;
use crate::smartcard::Smartcard;
use crate::tree::{Refusal, Tree};

/// Settings of a [`Client`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Who we are.
    pub endpoint: EndpointName,
    /// Our number for SMS, told to Servers.
    pub sms_number: Option<SmsNumber>,
    /// The alternate path under which the Objects lie (TS 1.0 §8.2.2); mostly empty.
    pub root: String,
    /// Whether notifications ask to be acknowledged. Without it one a day does (RFC 7641 §4.5).
    pub confirmable_notifications: bool,
    /// How long the Client listens after it has sent something, in queue mode (TS 1.0 §8.3).
    pub awake_window: Duration,
    /// After so many Registers in a row that failed with every Server the Bootstrap-Server is
    /// asked, where there is one (TS 1.0 §5.2.3). With growing pauses five take some minutes.
    pub registration_attempts_max: u32,
    /// Whether the Bootstrap-Server may begin a bootstrap that nobody asked for (TS 1.0 §5.2.3).
    /// Where its account has keys the Client answers its handshake, as DTLS server; the embedder
    /// sees to it that the Client is found where the Bootstrap-Server looks for it.
    pub server_initiated_bootstrap: bool,
    /// Whether Bootstrap-Discover is answered with the version as TS 1.0 prints it, without a
    /// target, which is no link format. Some Bootstrap-Servers want that, others refuse it.
    pub bare_version_in_discover: bool,
    /// Authorities (certificates in DER) that may vouch for Servers beside the certificate in their
    /// account. LwM2M 1.0 knows none: it is empty unless the device has a reason.
    pub trust_anchors: Vec<Vec<u8>>,
    /// Whether a Server's certificate has to be for the host in its URI (TS 1.0 §7.1.7.4); later
    /// versions drop that where it is the very certificate of the account.
    pub check_server_name: bool,
    /// Settings of CoAP.
    pub coap: dunlin_transport::coap::Config,
    /// Settings of DTLS.
    pub dtls: dunlin_transport::dtls::Settings,
}

impl Config {
    /// The settings that suit most devices.
    #[must_use]
    pub fn new(endpoint: EndpointName) -> Self {
        Self {
            endpoint,
            sms_number: None,
            root: String::new(),
            confirmable_notifications: true,
            awake_window: crate::registration::MAX_TRANSMIT_WAIT,
            registration_attempts_max: 5,
            server_initiated_bootstrap: true,
            bare_version_in_discover: false,
            trust_anchors: Vec::new(),
            check_server_name: true,
            coap: dunlin_transport::coap::Config::default(),
            dtls: dunlin_transport::dtls::Settings::default(),
        }
    }
}

/// With whom the Client speaks: for whom a name is looked up, a session is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Party {
    Server(ShortServerId),
    Bootstrap,
    /// The server that a package is downloaded from (TS 1.0 §E.6).
    Package,
}

/// An LwM2M Client: its Objects, and its registrations with every Server it has an account for.
#[derive(Debug)]
pub struct Client {
    pub(crate) config: Config,
    pub(crate) tree: Tree,
    pub(crate) attributes: AttributeBook,
    pub(crate) observations: Vec<Observation>,
    pub(crate) registrations: BTreeMap<ShortServerId, Registration>,
    pub(crate) bootstrap: Bootstrap,
    /// The Bootstrap-Server's account as the Client listens for it under DTLS now.
    pub(crate) listening: Option<Instance>,
    pub(crate) card: Smartcard,
    /// When the Bootstrap-Server Account ends, as it was kept; read at the start.
    account_ends_ms: Option<u64>,
    pub(crate) transport: Transport,
    /// What earlier sessions are resumed with.
    pub(crate) resumable: BTreeMap<Party, Resumable>,
    /// Whose key or certificate was refused last, and why.
    pub(crate) verdict: Option<(Party, &'static str)>,
    /// Peers whose sessions end when everything has been said.
    pub(crate) closing: Vec<PeerId>,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) sleep: Sleep,
    pub(crate) firmware: Firmware,
    /// Names that are being looked up.
    pub(crate) needs: BTreeMap<NeedId, Party>,
    pub(crate) next_need: u64,
    next_commit: u64,
    started: bool,
    pub(crate) stopping: bool,
    pub(crate) random: ChaCha8Rng,
    pub(crate) now: Now,
    transport_timeout: Option<Instant>,
}

impl Client {
    /// A Client with these Objects. It does nothing before [`Client::start`]. All chance it needs
    /// comes from `seed`.
    #[must_use]
    pub fn new(config: Config, tree: Tree, seed: [u8; 32]) -> Self {
        let mut random = ChaCha8Rng::from_seed(seed);
        let mut transport_seed = [0; 32];
        random.fill_bytes(&mut transport_seed);
        let side = Side::Client {
            root: config.root.clone(),
        };
        let transport = TransportConfig {
            side,
            coap: config.coap.clone(),
            dtls: Some(config.dtls.clone()),
        };
        Self {
            sleep: Sleep::new(config.awake_window),
            firmware: Firmware::default(),
            config,
            tree,
            attributes: AttributeBook::default(),
            observations: Vec::new(),
            registrations: BTreeMap::new(),
            bootstrap: Bootstrap::default(),
            listening: None,
            card: Smartcard::default(),
            account_ends_ms: None,
            transport: Transport::new(transport, transport_seed),
            resumable: BTreeMap::new(),
            verdict: None,
            closing: Vec::new(),
            outputs: VecDeque::new(),
            needs: BTreeMap::new(),
            next_need: 0,
            next_commit: 0,
            started: false,
            stopping: false,
            random,
            now: Now::default(),
            transport_timeout: None,
        }
    }

    /// Puts back what the last [`Output::Commit`] kept, before [`Client::start`].
    ///
    /// # Errors
    ///
    /// The state is not one of ours, or of a later version; nothing is changed then.
    pub fn restore(&mut self, state: &[u8]) -> Result<(), crate::change::StateError> {
        let snapshot = Snapshot::decode(state)?;
        self.account_ends_ms = snapshot.account_ends_ms;
        self.card.content.clone_from(&snapshot.card);
        let kept = snapshot.sessions.iter().cloned();
        self.resumable = kept
            .map(|(server, session)| (server.map_or(Party::Bootstrap, Party::Server), session))
            .collect();
        snapshot.apply(&mut self.tree, &mut self.attributes);
        Ok(())
    }

    /// The network is there: register with every Server, or ask the Bootstrap-Server.
    pub fn start(&mut self, now: Now) {
        self.now = now;
        self.started = true;
        self.resume_firmware();
        if let (Some(at), Some(account)) = (
            self.account_ends_ms.take(),
            crate::account::bootstrap_account(&self.tree),
        ) {
            // A clock that was set back does not make it longer than it was at first.
            let left = Duration::from_millis(at.saturating_sub(now.wall.0));
            let left = left.min(Duration::from_secs(account.timeout_s.into()));
            self.bootstrap.account_ends = Some(now.instant + left);
        }
        self.proceed(now);
    }

    /// De-registers from every Server. When [`Client::is_idle`] the device may switch off.
    pub fn stop(&mut self, now: Now) {
        self.now = now;
        self.stopping = true;
        self.bootstrap.settle();
        let open: Vec<ShortServerId> = self
            .registrations
            .iter()
            .filter(|(_, registration)| registration.is_open())
            .map(|(server, _)| *server)
            .collect();
        open.into_iter().for_each(|server| self.leave(server, None));
        for registration in self.registrations.values_mut() {
            match &mut registration.phase {
                Phase::Leaving { again, .. } => *again = None,
                // The Server may know us already: once it has answered, we leave.
                Phase::Registering { .. } => {}
                phase => *phase = Phase::Stopped,
            }
        }
        self.proceed(now);
    }

    /// Whether, after [`Client::stop`], nothing is under way any more.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.registrations
            .values()
            .all(|registration| registration.phase == Phase::Stopped)
    }

    // What comes in.

    /// A datagram came in at the door in the clear or at the one under DTLS. A Client that sleeps
    /// does not hear it.
    pub fn handle_receive(
        &mut self,
        now: Now,
        port: Port,
        from: &Address,
        local: Option<IpAddr>,
        bytes: &[u8],
    ) {
        // A request of somebody who may not speak now is as good as lost: when it is repeated after
        // our Register was answered, it is new (TS 1.0 §5.3.1, §E.2).
        self.now = now;
        if self.sleep.is_asleep()
            || (port == Port::Coap && is_request(bytes) && !self.listens_to(from))
        {
            return;
        }
        self.transport.handle_receive(now, port, from, local, bytes);
        self.proceed(now);
    }

    /// The time of the last [`Output::Timeout`] has come, or any other time.
    pub fn handle_timeout(&mut self, now: Now) {
        self.now = now;
        self.transport.handle_timeout(now);
        self.proceed(now);
    }

    /// A question is answered. Answers to questions that are over are passed over.
    pub fn handle_answer(&mut self, now: Now, need: NeedId, answer: Answer) {
        self.now = now;
        if self.firmware.awaits(need) {
            self.package_answered(answer);
            return self.proceed(now);
        }
        if let Answer::Smartcard(content) = &answer {
            self.card_answered(need, content.as_deref());
            return self.proceed(now);
        }
        let Some(asked) = self.needs.remove(&need) else {
            return;
        };
        let Answer::Resolved(address) = answer else {
            return;
        };
        match asked {
            Party::Server(server) => self.server_found(server, need, address),
            Party::Bootstrap => self.bootstrap_server_found(need, address),
            // Its questions are those of `firmware`.
            Party::Package => {}
        }
        self.proceed(now);
    }

    fn server_found(&mut self, server: ShortServerId, need: NeedId, address: Option<Address>) {
        let waits = self.registrations.get(&server).is_some_and(
            |one| matches!(one.phase, Phase::Resolving { need: asked, .. } if asked == need),
        );
        if waits {
            match address {
                Some(address) => self.reach_server(server, &address),
                None => {
                    let host = self.registrations[&server].account.uri.host.clone();
                    self.fail(server, Reason::Unresolved(host));
                }
            }
        }
    }

    // Commands of the embedder.

    /// Sets a Resource from inside the device, also one that Servers can only read; the instance is
    /// made if it is not there. Servers that observe it are told as their attributes say.
    ///
    /// # Errors
    ///
    /// The Object or Resource is not known, or the value does not fit its definition.
    pub fn set(
        &mut self,
        now: Now,
        path: Path,
        value: impl Into<ResourceValue>,
    ) -> Result<(), Refusal> {
        self.now = now;
        let changed = self.tree.set(path, value.into())?;
        self.values_changed(&changed);
        self.proceed(now);
        Ok(())
    }

    /// Sends an Update to every Server, as if each had asked for it.
    pub fn update(&mut self, now: Now) {
        for registration in self.registrations.values_mut() {
            registration.update_wanted = true;
        }
        self.proceed(now);
    }

    /// The Objects and their values.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// What the target holds now, as the device itself sees it; `None` if it is not there or has no
    /// value.
    #[must_use]
    pub fn read(&self, path: Path) -> Option<Node> {
        self.tree.read(path, self.now.wall).ok()
    }

    /// The Servers, and whether each knows us now.
    pub fn servers(&self) -> impl Iterator<Item = (&Account, bool)> {
        self.registrations
            .values()
            .map(|one| (&one.account, one.is_open()))
    }

    /// Whether the Client sleeps: it neither hears nor says anything.
    #[must_use]
    pub fn is_asleep(&self) -> bool {
        self.sleep.is_asleep()
    }

    /// Takes back the buffer of a datagram that has been sent.
    pub fn recycle(&mut self, buffer: Vec<u8>) {
        self.transport.recycle(buffer);
    }

    // What goes out.

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Output {
        self.outputs
            .pop_front()
            .unwrap_or_else(|| Output::Timeout(self.next_timeout()))
    }

    fn next_timeout(&self) -> Option<Instant> {
        let observations = self.observations.iter().filter_map(|one| {
            let registration = self.registrations.get(&one.server)?;
            let sleeps = self.sleep.is_asleep();
            let open = registration.hears() || sleeps && !registration.doubted;
            one.next(&self.attributes.in_force(&registration.account, one.path))
                .filter(|_| open)
        });
        let registrations = self
            .registrations
            .iter()
            .filter(|(server, _)| !self.card.is_read_for(**server))
            .filter_map(|(_, one)| one.next());
        // In a bootstrap run nothing is done for Servers, however late it is.
        let idle = !self.bootstrap.is_active();
        let (observations, registrations) = (
            observations.filter(|_| idle),
            registrations.filter(|_| idle),
        );
        observations
            .chain(registrations)
            .chain(self.transport_timeout)
            .chain(self.sleep.next().filter(|_| idle))
            .chain(self.firmware.next())
            .chain(self.bootstrap.next())
            .chain(self.card.next())
            .min()
    }

    /// Everything after an input, in its order.
    pub(crate) fn proceed(&mut self, now: Now) {
        self.now = now;
        self.hear();
        if self.started {
            self.drive_firmware();
            self.reconcile();
            self.hear();
        }
        if self.end_sessions() {
            self.hear();
        }
        if let Some(event) = self
            .sleep
            .settle(now.instant, self.is_queued(), self.is_busy())
        {
            self.outputs.push_back(Output::Event(event));
        }
    }

    /// Whether a Server that may speak now is there.
    fn listens_to(&mut self, from: &Address) -> bool {
        if self.hears_bootstrap_server(from) {
            return true;
        }
        if self.bootstrap.is_active() {
            return false;
        }
        let mut open = self.registrations.values().filter(|one| one.is_open());
        open.any(|one| {
            let peer = one.peer.and_then(|peer| self.transport.peer(peer));
            peer.is_some_and(|peer| peer.address == *from)
        })
    }

    fn is_queued(&self) -> bool {
        let open = self.registrations.values().filter(|one| one.is_open());
        let mut bindings = open
            .filter_map(|one| one.told.as_ref())
            .map(|told| told.binding);
        bindings
            .next()
            .is_some_and(dunlin_lwm2m::operation::Binding::queues)
            && bindings.all(dunlin_lwm2m::operation::Binding::queues)
    }

    /// Whether something of ours is unanswered: a Client that waits for an answer stays awake.
    fn is_busy(&self) -> bool {
        let registering = self.registrations.values().any(|one| {
            !matches!(
                one.phase,
                Phase::Registered | Phase::Due { .. } | Phase::Stopped
            )
        });
        self.bootstrap.is_active()
            || registering
            || self.firmware.is_busy()
            || self.observations.iter().any(|one| one.under_way.is_some())
    }

    /// Drains the transport.
    fn hear(&mut self) {
        loop {
            match self.transport.poll_output() {
                TransportOutput::Transmit(transmit) => {
                    if let Some(event) = self.sleep.sent(self.now.instant) {
                        self.outputs.push_back(Output::Event(event));
                    }
                    self.outputs.push_back(Output::Transmit(transmit));
                }
                TransportOutput::Event(event) => self.heard(event),
                TransportOutput::Need { id, need } => {
                    let answer = self.judge(&need);
                    self.transport.handle_answer(self.now, id, answer);
                }
                // A Client exports no session: a new one costs a device little.
                TransportOutput::Reserve { .. } => {}
                TransportOutput::Timeout(timeout) => {
                    self.transport_timeout = timeout;
                    return;
                }
            }
        }
    }

    fn heard(&mut self, heard: Heard) {
        match heard {
            Heard::Downlink {
                peer,
                exchange,
                operation,
                token,
            } => {
                self.asked(peer, exchange, *operation, token);
            }
            Heard::DownlinkBlock {
                peer,
                exchange,
                block,
                ..
            } => self.asked_in_part(peer, exchange, *block),
            Heard::Fetched { request, block, .. } if self.firmware.fetches(request) => {
                self.package_fetched(block);
            }
            Heard::Failed {
                request, failure, ..
            } if self.firmware.fetches(request) => self.package_not_fetched(failure),
            Heard::Answered {
                request, answer, ..
            } => self.answered(request, &answer),
            Heard::Failed {
                request, failure, ..
            } => self.unanswered(request, failure),
            Heard::Connected { peer, resumed } => self.connected(peer, resumed),
            Heard::Accepted { peer } => self.accepted(peer),
            Heard::Disconnected { peer, reason } => self.disconnected(peer, reason),
            Heard::Resumable { peer, state } => self.resumable(peer, *state),
            Heard::NotificationDelivered {
                notification,
                observer,
            } => {
                self.delivered(notification, observer);
            }
            Heard::NotificationLost {
                notification,
                observer,
            } => self.lost(notification, observer),
            Heard::ObserverGone { observer, .. } => self.observer_gone(observer),
            // The rest concerns Servers, or nobody.
            _ => {}
        }
    }

    /// Keeps what a Server has changed; the answer waits for the number that is returned.
    pub(crate) fn commit(&mut self) -> u64 {
        self.next_commit += 1;
        let mut snapshot = Snapshot::take(&self.tree, &self.attributes);
        snapshot.account_ends_ms = self.bootstrap.account_ends.map(|at| {
            let left = at.saturating_sub(self.now.instant);
            let left = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
            self.now.wall.0.saturating_add(left)
        });
        snapshot.card.clone_from(&self.card.content);
        let kept = self.resumable.iter().filter_map(|(party, session)| {
            let server = match party {
                Party::Server(server) => Some(*server),
                Party::Bootstrap => None,
                // A download begins with a handshake of its own.
                Party::Package => return None,
            };
            Some((server, session.clone()))
        });
        snapshot.sessions = kept.collect();
        let state = snapshot.encode();
        let number = self.next_commit;
        self.outputs
            .push_back(Output::Commit(Commit { number, state }));
        number
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}
