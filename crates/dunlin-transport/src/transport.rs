//! The machine: datagrams on one side, LwM2M operations of known peers on the other.
//!
//! Below it lies one CoAP endpoint, and for what comes in at secure doors one DTLS machine between
//! the two (`transport/sessions.rs`). Above it stands one role, which answers [`Event`]s with
//! commands. The rhythm is that of every machine: one mutation, then [`Transport::poll_output`]
//! until it says [`Output::Timeout`].

mod refresh;
mod sessions;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::borrow::Borrow;
use core::net::IpAddr;

use dunlin_coap::{
    Barrier, Config as CoapConfig, Endpoint, Event as CoapEvent, KnownObservation, RequestSettings,
    Stats,
};
use dunlin_lwm2m::operation::{
    BootstrapRequest, Operation, Register, Response, Strictness, Update, Uplink,
};

use crate::address::Address;
use crate::budget::{Budget, Budgets, OverBudget};
use crate::event::{
    Event, ExchangeId, Failure, NotificationId, ObservationId, ObserverId, Relation, RequestId,
    Token, UplinkAnswer, Violation,
};
use crate::map::request::{
    Interface, decode_operation, decode_refresh, decode_uplink, encode_bootstrap_request,
    encode_deregister, encode_operation, encode_register, encode_update,
};
use crate::map::response::{
    decode_answer, decode_block, encode_downlink_answer, encode_refusal, encode_uplink_answer,
};
use crate::need::{SecurityNeed, SecurityNeedId};
use crate::now::{Instant, Now, WallTime};
use crate::peer::{Peer, PeerId, Peers};
use crate::port::Port;
use crate::route::is_request;
use crate::security::Security;
use crate::transport::sessions::Polled;

pub use dunlin_coap::Refused;
pub use refresh::{Received, Refresh};

/// Which side of LwM2M this machine speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Side {
    /// LwM2M Server and Bootstrap-Server: requests that come in are uplinks.
    Server {
        /// Whether deviations of Clients are tolerated and noted, or refused.
        strictness: Strictness,
    },
    /// LwM2M Client: requests that come in are downlinks.
    Client {
        /// The alternate path under which the Objects lie (TS 1.0 §8.2.2); mostly empty.
        root: String,
    },
}

/// Settings of a [`Transport`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Which side.
    pub side: Side,
    /// Settings of CoAP.
    pub coap: CoapConfig,
    /// Settings of DTLS; without them there is none, and what comes in at a secure port is dropped.
    pub dtls: Option<dunlin_dtls::Settings>,
}

/// What the driver, or the role on its behalf, does next.
#[derive(Debug)]
pub enum Output {
    /// Send this datagram.
    Transmit(Transmit),
    /// A question of security to the outside; [`Transport::handle_answer`] takes the answer.
    Need {
        /// To name in the answer.
        id: SecurityNeedId,
        /// The question.
        need: Box<SecurityNeed>,
    },
    /// Store that numbers below `up_to` may be in use on this peer's session, and say with
    /// [`Transport::reserved`], before anything else is polled, which commit does. What uses these
    /// numbers carries that barrier then. Only for sessions that have been exported.
    Reserve {
        /// Whose session.
        peer: PeerId,
        /// The first number that is not reserved; for [`Transport::import`].
        up_to: u64,
    },
    /// Tell the role.
    Event(Event),
    /// Nothing more; wake the machine at this time, if any.
    Timeout(Option<Instant>),
}

/// A datagram to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub to: Address,
    /// From which address of ours, where it matters.
    pub local: Option<IpAddr>,
    /// By which door of ours.
    pub port: Port,
    /// The bytes; give the buffer back with [`Transport::recycle`].
    pub bytes: Vec<u8>,
    /// The commit that must be durable before they leave; 0 for none, and more than there are for
    /// all there are by now.
    pub barrier: Barrier,
}

/// How a request is to be carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carriage {
    /// The commit that must be durable before the request leaves; 0 for none.
    pub barrier: Barrier,
    /// When to give up, whatever the state; `None` leaves it to the transmission parameters.
    pub deadline: Option<Instant>,
}

impl Carriage {
    pub(crate) fn settings(self, observe: bool) -> RequestSettings {
        RequestSettings {
            barrier: self.barrier,
            deadline: self.deadline,
            observe,
            ..RequestSettings::default()
        }
    }
}

/// Datagrams on one side, operations of known peers on the other.
#[derive(Debug)]
pub struct Transport {
    pub(crate) side: Side,
    pub(crate) coap: Endpoint,
    pub(crate) peers: Peers,
    events: VecDeque<Event>,
    /// The peer of the datagram that was handed in last, told when all it caused has been told.
    heard: Option<PeerId>,
    /// Requests for one block each; CoAP bounds how many there are.
    pub(crate) fetches: Vec<RequestId>,
    /// DTLS, where there is any.
    security: Option<Box<Security>>,
    noise: u64,
    stale: u64,
    unsendable: u64,
    /// What peers may send, if it is bounded.
    budgets: Option<Budgets>,
    pub(crate) now: Instant,
    /// The time of the last datagram, for what is shown.
    wall: WallTime,
}

impl Transport {
    /// A machine without peers. All chance it needs comes from `seed`.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        let mut coap = config.coap;
        // A Client takes large values block by block: a package has more bytes than its memory.
        coap.ask_for_bodies = matches!(config.side, Side::Client { .. });
        Self {
            side: config.side,
            coap: Endpoint::new(coap, seed),
            peers: Peers::default(),
            events: VecDeque::new(),
            heard: None,
            fetches: Vec::new(),
            security: config.dtls.map(|settings| Security::new(settings, seed)),
            noise: 0,
            stale: 0,
            unsendable: 0,
            budgets: None,
            now: Instant::ZERO,
            wall: WallTime(0),
        }
    }

    /// A datagram came in at this door, and at our address `local` where the driver knows that.
    pub fn handle_receive(
        &mut self,
        now: Now,
        port: Port,
        from: &Address,
        local: Option<IpAddr>,
        bytes: &[u8],
    ) {
        self.now = now.instant;
        self.wall = now.wall;
        if port.is_secure() {
            return self.receive_secured(port, from, local, bytes);
        }
        if !may_be_coap(bytes) {
            // Not worth a place in the table of peers.
            self.noise += 1;
            return;
        }
        let peer = self.peers.heard(now.instant, port, from, local);
        self.forget_surplus();
        if !self.is_within_budget(peer, bytes) {
            return self.turn_away(peer, bytes);
        }
        self.heard = self.peers.is_held(peer).then_some(peer);
        self.coap.handle_receive(now.instant, peer, bytes);
    }

    /// Datagrams from there are about to be handed in. It changes nothing: what is held of those of
    /// their senders that are known is fetched into the caches of the processor, and they are appended
    /// to `known`: a hint, since by chance there may be others among them.
    pub fn look_ahead(
        &self,
        port: Port,
        from: impl IntoIterator<Item = impl Borrow<Address>>,
        known: &mut Vec<PeerId>,
    ) {
        let before = known.len();
        self.peers.look_ahead(port, from, known);
        self.coap.look_ahead(&known[before..]);
    }

    /// The time of the last [`Output::Timeout`] has come, or any other time.
    pub fn handle_timeout(&mut self, now: Now) {
        self.now = now.instant;
        self.coap.handle_timeout(now.instant);
        if let Some(security) = &mut self.security {
            security.receiving = None;
            security.dtls.handle_timeout(now.instant);
        }
        while let Some(peer) = self.peers.next_stale(now.instant) {
            self.let_go(peer);
            self.remove(peer);
        }
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Output {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Output::Event(event);
            }
            match self.coap.poll_output() {
                dunlin_coap::Output::Transmit(transmit) => {
                    if let Some(transmit) = self.addressed(transmit) {
                        return Output::Transmit(transmit);
                    }
                }
                dunlin_coap::Output::Event(event) => {
                    if let Some(event) = self.translated(event) {
                        return Output::Event(event);
                    }
                }
                dunlin_coap::Output::Timeout(timeout) => {
                    let timeout = match self.poll_security() {
                        Polled::Output(output) => return output,
                        Polled::Fed => continue,
                        Polled::Idle(at) => earlier(timeout, at),
                    };
                    if let Some(peer) = self.heard.take() {
                        return Output::Event(Event::Heard { peer });
                    }
                    return Output::Timeout(earlier(timeout, self.peers.next_timeout()));
                }
            }
        }
    }

    /// Takes back the buffer of a [`Transmit`] that has been sent.
    pub fn recycle(&mut self, buffer: Vec<u8>) {
        self.coap.recycle(buffer);
    }

    /// What was counted so far.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        self.coap.stats()
    }

    /// Datagrams that were no CoAP at all, dropped without a trace.
    #[must_use]
    pub fn noise(&self) -> u64 {
        self.noise
    }

    /// Requests that were dropped because their session was not fresh after a restart; their
    /// senders repeat them.
    #[must_use]
    pub fn stale(&self) -> u64 {
        self.stale
    }

    /// Messages that were too long for the records that their peer takes.
    #[must_use]
    pub fn unsendable(&self) -> u64 {
        self.unsendable
    }

    // Peers.

    /// The peer in the clear at this address and door, made known if it is not: to be spoken to
    /// first, or restored.
    pub fn peer_at(
        &mut self,
        now: Now,
        port: Port,
        address: &Address,
        local: Option<IpAddr>,
    ) -> PeerId {
        self.peers.heard(now.instant, port, address, local)
    }

    /// What each peer may send from now on; without a budget, anything. It counts for a session of
    /// DTLS, or for an address and port without security, never for a host: many Clients may stand
    /// behind one. What is beyond is dropped unread, and a Confirmable request is answered 5.03 now
    /// and then.
    pub fn set_budget(&mut self, budget: Option<Budget>) {
        self.budgets = budget.map(Budgets::new);
    }

    /// How far a peer is beyond its budget, if it was in the last minutes.
    #[must_use]
    pub fn over_budget(&self, now: Now, peer: PeerId) -> Option<OverBudget> {
        self.budgets.as_ref()?.get(now, peer)
    }

    /// How many peers were beyond their budget in the last minutes, at most [`crate::OVER_BUDGET_MAX`].
    #[must_use]
    pub fn over_budget_count(&self, now: Now) -> usize {
        self.budgets
            .as_ref()
            .map_or(0, |budgets| budgets.count(now))
    }

    /// What is known of a peer.
    #[must_use]
    pub fn peer(&self, peer: PeerId) -> Option<Peer> {
        self.peers.peer(peer)
    }

    /// How many peers are known, held or not.
    #[must_use]
    pub fn peer_count(&self) -> usize {
        self.peers.len()
    }

    /// Keeps a peer until as many calls of [`Transport::release`]. One that nobody holds is
    /// forgotten after EXCHANGE_LIFETIME of silence.
    pub fn hold(&mut self, peer: PeerId) {
        self.peers.hold(peer);
    }

    /// Undoes one [`Transport::hold`].
    pub fn release(&mut self, peer: PeerId) {
        self.peers.release(self.now, peer);
    }

    /// Forgets a peer at once, with all that is under way with it and its session.
    pub fn forget(&mut self, now: Now, peer: PeerId) {
        self.now = now.instant;
        self.close_quietly(peer);
        self.remove(peer);
    }

    /// `peer` has moved to where `seen_as` was heard: datagrams from there are its own from now
    /// on, and answers go there. What is under way with `seen_as` still ends under that name.
    pub fn move_peer(&mut self, peer: PeerId, seen_as: PeerId) {
        self.peers.move_to(peer, seen_as);
    }

    // Server side: uplinks and their answers.

    /// Answers an uplink, once commit number `barrier` is durable.
    ///
    /// # Errors
    ///
    /// The exchange is not open.
    pub fn answer_uplink(
        &mut self,
        now: Now,
        exchange: ExchangeId,
        answer: &UplinkAnswer,
        barrier: Barrier,
    ) -> Result<(), Refused> {
        self.coap
            .respond(now.instant, exchange, encode_uplink_answer(answer), barrier)
    }

    // Server side: downlinks and observations.

    /// Asks a Client whose Objects lie under `root`. Ends in [`Event::Answered`] or
    /// [`Event::Failed`]. A [`Operation::CancelObservation`] sent this way cancels by path alone;
    /// [`Transport::cancel_by_observe`] uses the token, as RFC 7641 §3.6 wants.
    ///
    /// # Errors
    ///
    /// Too much is under way.
    pub fn request(
        &mut self,
        now: Now,
        peer: PeerId,
        root: &str,
        operation: &Operation,
        carriage: Carriage,
    ) -> Result<RequestId, Refused> {
        let observe = matches!(operation, Operation::Observe { .. });
        let mut request = encode_operation(operation, root);
        if matches!(operation, Operation::CancelObservation { .. }) {
            request
                .options
                .push_uint(dunlin_coap::OptionNumber::OBSERVE, 1);
        }
        self.coap
            .request(now.instant, peer, request, carriage.settings(observe))
    }

    /// Ends a request of ours; [`Failure::Cancelled`] follows.
    ///
    /// # Errors
    ///
    /// It is not under way.
    pub fn cancel_request(&mut self, now: Now, request: RequestId) -> Result<(), Refused> {
        self.coap.cancel(now.instant, request)
    }

    /// Acknowledges a notification, once commit number `barrier` is durable.
    ///
    /// # Errors
    ///
    /// The exchange is not open.
    pub fn acknowledge(
        &mut self,
        now: Now,
        exchange: ExchangeId,
        barrier: Barrier,
    ) -> Result<(), Refused> {
        self.coap.acknowledge(now.instant, exchange, barrier)
    }

    /// Leaves a notification unanswered: the peer sends it again. What a Server does whose store
    /// is full.
    ///
    /// # Errors
    ///
    /// The exchange is not open.
    pub fn ignore(&mut self, now: Now, exchange: ExchangeId) -> Result<(), Refused> {
        self.coap.ignore(now.instant, exchange)
    }

    /// Rejects a notification: the peer forgets that we observe (RFC 7641 §3.6).
    ///
    /// # Errors
    ///
    /// The exchange is not open.
    pub fn reject(&mut self, now: Now, exchange: ExchangeId) -> Result<(), Refused> {
        self.coap.reject(now.instant, exchange)
    }

    /// Takes up an observation of before a restart: of `operation` (an Observe), by its token.
    ///
    /// # Errors
    ///
    /// Too many observations.
    pub fn restore_observation(
        &mut self,
        now: Now,
        peer: PeerId,
        root: &str,
        operation: &Operation,
        token: Token,
        sequence: Option<u32>,
    ) -> Result<ObservationId, Refused> {
        self.coap.restore_observation(KnownObservation {
            peer,
            token,
            request: encode_operation(operation, root),
            last: sequence.map(|sequence| (sequence, now.instant)),
        })
    }

    /// Cancels an observation the quiet way: its next notification is rejected (TS 1.0 §5.5.3).
    ///
    /// # Errors
    ///
    /// The observation is not known.
    pub fn cancel_by_reset(&mut self, observation: ObservationId) -> Result<(), Refused> {
        // Forgotten rather than marked: the next notification is a stray, which is rejected, and where
        // none ever comes nothing is left.
        self.coap.remove_observation(observation)
    }

    /// Cancels an observation by asking: GET with Observe 1 and its token (TS 1.0 §5.5.3).
    ///
    /// # Errors
    ///
    /// The observation is not known, or too much is under way.
    pub fn cancel_by_observe(
        &mut self,
        now: Now,
        observation: ObservationId,
        carriage: Carriage,
    ) -> Result<RequestId, Refused> {
        self.coap
            .cancel_by_request(now.instant, observation, carriage.settings(false))
    }

    /// Asks a peer whether it is there; ends in [`Event::Pinged`].
    ///
    /// # Errors
    ///
    /// Too much is under way.
    pub fn ping(&mut self, now: Now, peer: PeerId) -> Result<(), Refused> {
        self.coap.ping(now.instant, peer).map(drop)
    }

    // Client side: uplinks.

    /// Registers; ends in [`Event::Answered`] with the location, or [`Event::Failed`].
    ///
    /// # Errors
    ///
    /// Too much is under way.
    pub fn register(
        &mut self,
        now: Now,
        peer: PeerId,
        register: &Register,
        carriage: Carriage,
    ) -> Result<RequestId, Refused> {
        self.coap.request(
            now.instant,
            peer,
            encode_register(register),
            carriage.settings(false),
        )
    }

    /// Updates the registration at `location`, the segments that the Server gave.
    ///
    /// # Errors
    ///
    /// Too much is under way.
    pub fn update(
        &mut self,
        now: Now,
        peer: PeerId,
        location: &[String],
        update: &Update,
        carriage: Carriage,
    ) -> Result<RequestId, Refused> {
        let request = encode_update(location, update);
        self.coap
            .request(now.instant, peer, request, carriage.settings(false))
    }

    /// De-registers from `location`.
    ///
    /// # Errors
    ///
    /// Too much is under way.
    pub fn deregister(
        &mut self,
        now: Now,
        peer: PeerId,
        location: &[String],
        carriage: Carriage,
    ) -> Result<RequestId, Refused> {
        let request = encode_deregister(location);
        self.coap
            .request(now.instant, peer, request, carriage.settings(false))
    }

    /// Asks the Bootstrap-Server for configuration.
    ///
    /// # Errors
    ///
    /// Too much is under way.
    pub fn bootstrap_request(
        &mut self,
        now: Now,
        peer: PeerId,
        asked: &BootstrapRequest,
        carriage: Carriage,
    ) -> Result<RequestId, Refused> {
        let request = encode_bootstrap_request(asked);
        self.coap
            .request(now.instant, peer, request, carriage.settings(false))
    }

    // Client side: downlinks and notifications.

    /// From now on this peer speaks on that interface: what it asks is read as such.
    pub fn use_interface(&mut self, peer: PeerId, interface: Interface) {
        self.peers.use_interface(peer, interface);
    }

    /// Answers a downlink.
    ///
    /// # Errors
    ///
    /// The exchange is not open.
    pub fn answer_downlink(
        &mut self,
        now: Now,
        exchange: ExchangeId,
        answer: Response,
        barrier: Barrier,
    ) -> Result<(), Refused> {
        self.coap.respond(
            now.instant,
            exchange,
            encode_downlink_answer(answer),
            barrier,
        )
    }

    /// Answers an Observe and takes the asker as an observer.
    ///
    /// # Errors
    ///
    /// The exchange is not open or not an Observe, the answer is an error, or the peer has too many
    /// observers; then a plain [`Transport::answer_downlink`] is still possible.
    pub fn answer_observe(
        &mut self,
        now: Now,
        exchange: ExchangeId,
        answer: Response,
        barrier: Barrier,
    ) -> Result<ObserverId, Refused> {
        self.coap.respond_observed(
            now.instant,
            exchange,
            encode_downlink_answer(answer),
            barrier,
        )
    }

    /// Leaves a downlink unanswered, as a Client must that is not to hear this Server now.
    ///
    /// # Errors
    ///
    /// The exchange is not open.
    pub fn ignore_downlink(&mut self, now: Now, exchange: ExchangeId) -> Result<(), Refused> {
        self.coap.ignore(now.instant, exchange)
    }

    /// Notifies an observer.
    ///
    /// # Errors
    ///
    /// The observer is gone, or too many notifications wait.
    pub fn notify(
        &mut self,
        now: Now,
        observer: ObserverId,
        answer: Response,
        confirmable: bool,
        barrier: Barrier,
    ) -> Result<NotificationId, Refused> {
        let response = encode_downlink_answer(answer);
        self.coap
            .notify(now.instant, observer, response, confirmable, barrier)
    }

    /// Forgets an observer without telling it.
    ///
    /// # Errors
    ///
    /// It is not known.
    pub fn remove_observer(&mut self, now: Now, observer: ObserverId) -> Result<(), Refused> {
        self.coap.remove_observer(now.instant, observer)
    }

    // Private.

    fn forget_surplus(&mut self) {
        while let Some(peer) = self.peers.surplus() {
            self.let_go(peer);
            self.remove(peer);
        }
    }

    fn remove(&mut self, peer: PeerId) {
        self.coap.forget_peer(self.now, peer);
        self.peers.remove(peer);
        if let Some(budgets) = &mut self.budgets {
            budgets.remove(peer);
        }
    }

    #[inline]
    fn is_within_budget(&mut self, peer: PeerId, bytes: &[u8]) -> bool {
        match &mut self.budgets {
            Some(budgets) => budgets.allows(self.now, peer, bytes),
            None => true,
        }
    }

    /// A message is more than its peer may send.
    fn turn_away(&mut self, peer: PeerId, bytes: &[u8]) {
        let Some(budgets) = &mut self.budgets else {
            return;
        };
        let turned = budgets.turn_away(self.now, self.wall, peer);
        self.coap.turn_away(peer, bytes, turned.answer_s);
        if turned.first {
            self.events.push_back(Event::OverBudget { peer });
        }
    }

    /// What CoAP sends, with its address; nothing for a peer with security, whose records DTLS gives
    /// out.
    fn addressed(&mut self, transmit: dunlin_coap::Transmit) -> Option<Transmit> {
        let barrier = match (&self.side, transmit.barrier) {
            // What a Server answers to a Client's registration is not kept by the Client.
            (Side::Client { .. }, dunlin_coap::LATEST) => 0,
            (_, barrier) => barrier,
        };
        if self.peers.is_secured(transmit.peer) {
            self.send_secured(transmit.peer, transmit.bytes, barrier);
            return None;
        }
        let (to, local, port) = self.peers.route(transmit.peer)?;
        Some(Transmit {
            to,
            local,
            port,
            bytes: transmit.bytes,
            barrier,
        })
    }

    fn translated(&mut self, event: CoapEvent) -> Option<Event> {
        Some(match event {
            CoapEvent::Request {
                exchange,
                peer,
                confirmable,
                token,
                request,
            } => {
                let event = self.asked(exchange, peer, confirmable, token, &request);
                self.coap.recycle(request.options.into_buffer());
                return event;
            }
            CoapEvent::Block {
                exchange,
                peer,
                token,
                offset,
                more,
                request,
                ..
            } => return self.asked_in_part(exchange, peer, token, offset, more, &request),
            CoapEvent::Acknowledged { request, peer } => Event::Acknowledged { request, peer },
            CoapEvent::Response {
                request,
                peer,
                response,
                ..
            } if self.fetched(request) => Event::Fetched {
                request,
                peer,
                block: decode_block(&response),
            },
            CoapEvent::Response {
                request,
                peer,
                observation,
                token,
                response,
            } => {
                let relation = observation.map(|id| (id, token));
                Event::Answered {
                    request,
                    peer,
                    answer: decode_answer(response, relation),
                }
            }
            CoapEvent::Failed {
                request,
                peer,
                failure,
            } => {
                self.fetched(request);
                Event::Failed {
                    request,
                    peer,
                    failure: failed(failure),
                }
            }
            CoapEvent::Notification {
                exchange,
                observation,
                peer,
                token,
                sequence,
                fresh,
                confirmable,
                response,
            } => Event::Notified {
                peer,
                relation: Relation {
                    id: observation,
                    token,
                },
                exchange,
                sequence,
                fresh,
                confirmable,
                answer: decode_answer(response, None),
            },
            CoapEvent::UnknownNotification {
                exchange,
                peer,
                token,
                sequence,
                confirmable,
                response,
            } => Event::StrayNotification {
                peer,
                token,
                exchange,
                sequence,
                confirmable,
                answer: decode_answer(response, None),
            },
            CoapEvent::ObservationEnded {
                observation,
                peer,
                token,
                reason,
            } => Event::ObservationEnded {
                peer,
                relation: Relation {
                    id: observation,
                    token,
                },
                reason,
            },
            CoapEvent::NotificationAcknowledged {
                notification,
                observer,
            } => Event::NotificationDelivered {
                notification,
                observer,
            },
            CoapEvent::NotificationTimedOut {
                notification,
                observer,
            } => Event::NotificationLost {
                notification,
                observer,
            },
            CoapEvent::ObserverGone {
                observer,
                peer,
                reason,
            } => Event::ObserverGone {
                observer,
                peer,
                reason,
            },
            CoapEvent::Pong { peer, .. } => Event::Pinged { peer, alive: true },
            CoapEvent::PingTimedOut { peer, .. } => Event::Pinged { peer, alive: false },
            // The peer has its answer or asks again; no role acts on it.
            _ => return None,
        })
    }

    fn asked(
        &mut self,
        exchange: ExchangeId,
        peer: PeerId,
        confirmable: bool,
        token: Token,
        request: &dunlin_coap::Request,
    ) -> Option<Event> {
        if matches!(self.side, Side::Server { .. })
            && confirmable
            && let Some(location) = decode_refresh(request)
        {
            return Some(Event::Refresh {
                peer,
                exchange,
                location,
            });
        }
        let read = match &self.side {
            Side::Server { strictness } => decode_uplink(request, *strictness)
                .and_then(|uplink| check_confirmable(uplink, confirmable, *strictness))
                .map(|uplink| Event::Uplink {
                    peer,
                    exchange,
                    uplink: Box::new(uplink),
                }),
            Side::Client { root } => decode_operation(request, self.peers.interface(peer), root)
                .map(|operation| Event::Downlink {
                    peer,
                    exchange,
                    operation: Box::new(operation),
                    token,
                }),
        };
        match read {
            Ok(event) => Some(event),
            Err(violation) => {
                let refusal = encode_refusal(violation.code, &violation.what, None);
                // An exchange that has ended meanwhile needs no answer.
                let _ = self.coap.respond(self.now, exchange, refusal, 0);
                let (address, ..) = self.peers.route(peer)?;
                Some(Event::Violated {
                    peer,
                    address,
                    violation,
                })
            }
        }
    }
}

/// Every LwM2M request is Confirmable (TS 1.0 §8.2): a Register that is not would be answered into
/// the blue, and its answer be lost unnoticed.
fn check_confirmable(
    uplink: Uplink,
    confirmable: bool,
    strictness: Strictness,
) -> Result<Uplink, Violation> {
    if confirmable || strictness == Strictness::Lenient && !matches!(uplink, Uplink::Register(_)) {
        return Ok(uplink);
    }
    Err(Violation {
        code: dunlin_lwm2m::operation::ResponseCode::BadRequest,
        what: "requests of LwM2M are Confirmable messages".into(),
    })
}

/// CoAP's version 1 with a whole header: enough to tell it from noise and from DTLS records.
fn may_be_coap(bytes: &[u8]) -> bool {
    bytes.len() >= 4 && bytes[0] >> 6 == 1
}

fn failed(failure: dunlin_coap::Failure) -> Failure {
    match failure {
        dunlin_coap::Failure::Timeout
        | dunlin_coap::Failure::NoResponse
        | dunlin_coap::Failure::Deadline => Failure::TimedOut,
        dunlin_coap::Failure::Reset => Failure::Reset,
        dunlin_coap::Failure::TooLarge => Failure::TooLarge,
        dunlin_coap::Failure::Changed => Failure::Changed,
        dunlin_coap::Failure::Cancelled | dunlin_coap::Failure::Forgotten => Failure::Cancelled,
        _ => Failure::Unintelligible,
    }
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
