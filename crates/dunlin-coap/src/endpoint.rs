//! The machine: one CoAP endpoint with many peers, client and server at once.
//!
//! The way of a datagram: [`Endpoint::handle_receive`] decodes it and sorts it by type and code.
//! 1. Empty ones end a transmission (`send`).
//! 2. Requests pass the memory of answered messages and the options, then either belong to a body in blocks
//!    (`bodies`), ask for a later block of an answer (`served`), or become an exchange that the layer above
//!    answers (`serve`).
//! 3. Responses are matched by token and peer: to a request of ours (`ask`), or to an observation (`watch`).
//!
//! What goes out Confirmable is sent again until it is acknowledged (`send`), and waits for its turn before
//! (NSTART). Observers of ours are told by `notify`.

mod ask;
mod at_once;
mod bodies;
mod forget;
mod notify;
mod send;
mod serve;
mod served;
mod watch;

use alloc::vec::Vec;
use core::time::Duration;

use hashbrown::{DefaultHashBuilder, HashMap};
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use crate::code::{Class, Code};
use crate::config::Config;
use crate::dedup::{Remembered, Seen};
use crate::event::Output;
use crate::id::{Instant, PeerId};
use crate::message::{MessageId, MessageType, Token};
use crate::outbox::Outbox;
use crate::peers::{Peers, Slot};
use crate::profile::Timing;
use crate::slab::Slab;
use crate::stats::{Drop, Stats};
use crate::timer::Timers;
use crate::wire::datagram::{self, What};

pub use at_once::Admitted;
pub(crate) use send::Parcel;

/// Timers of a millisecond: fine enough for a back-off that begins at two seconds.
const TICK: Duration = Duration::from_millis(1);

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    /// A Confirmable message was not acknowledged in time: it is sent again, or given up.
    Transmission(u32),
    /// An exchange was not closed in time: it gets an empty acknowledgement, and later is dropped.
    Exchange(u32),
    /// A request of ours that was acknowledged, or is Non-confirmable, was never answered.
    NoResponse(u32),
    /// The deadline that was given with a request of ours has come.
    Deadline(u32),
    /// A body that a peer was sending stopped half-way.
    Body(u32),
    /// A response body was not fetched any further.
    Served(u32),
}

/// One CoAP endpoint.
///
/// Feed it with `handle_receive`, `handle_timeout` or one command, then call [`Endpoint::poll_output`]
/// until it says [`Output::Timeout`].
#[derive(Debug)]
pub struct Endpoint {
    config: Config,
    random: ChaCha12Rng,
    hasher: DefaultHashBuilder,
    outbox: Outbox,
    peers: Peers,
    /// Which of the other profiles a peer has, for those that have one.
    profiles: HashMap<PeerId, u8>,
    /// The default profile, then the others.
    timing: Vec<Timing>,
    timers: Timers<Timer>,
    transmissions: Slab<send::Transmission>,
    exchanges: Slab<serve::Exchange>,
    requests: Slab<ask::Asked>,
    bodies: Slab<bodies::Body>,
    served: Slab<served::Served>,
    /// Bytes held by bodies that come and bodies that are kept for fetching.
    bodies_held: usize,
    observers: Slab<notify::Observer>,
    observations: watch::Observations,
    next_notification: u64,
    next_ping: u64,
}

impl Endpoint {
    /// An endpoint without peers. All chance it needs comes from `seed`.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        Self {
            random: ChaCha12Rng::from_seed(seed),
            hasher: DefaultHashBuilder::default(),
            outbox: Outbox::default(),
            peers: Peers::new(&config.limits),
            profiles: HashMap::new(),
            timing: core::iter::once(&config.profile)
                .chain(&config.other_profiles)
                .map(Timing::of)
                .collect(),
            timers: Timers::new(TICK),
            transmissions: Slab::new(),
            exchanges: Slab::new(),
            requests: Slab::new(),
            bodies: Slab::new(),
            served: Slab::new(),
            bodies_held: 0,
            observers: Slab::new(),
            observations: watch::Observations::default(),
            next_notification: 0,
            next_ping: 0,
            config,
        }
    }

    /// A datagram came from a peer.
    pub fn handle_receive(&mut self, now: Instant, peer: PeerId, bytes: &[u8]) {
        self.outbox.stats.received += 1;
        self.peers.wake_up(now);
        let message = match datagram::decode(bytes) {
            Ok(message) => message,
            Err(malformed) => return self.receive_malformed(peer, bytes, malformed.what),
        };
        use MessageType::{Acknowledgement, Confirmable, NonConfirmable, Reset};
        match (message.message_type, message.code.class()) {
            (Confirmable | NonConfirmable, Class::Request) => {
                self.receive_request(now, peer, &message);
            }
            (Confirmable | NonConfirmable, Class::Response) => {
                self.receive_response(now, peer, &message);
            }
            (Acknowledgement, Class::Response) => self.receive_piggybacked(now, peer, &message),
            (Acknowledgement, Class::Empty) => {
                self.receive_acknowledgement(now, peer, message.message_id);
            }
            (Reset, Class::Empty) => self.receive_reset(now, peer, message.message_id),
            // A ping (RFC 7252 §4.3).
            (Confirmable, Class::Empty) => self.send_reset(peer, message.message_id),
            (Confirmable, Class::Reserved) => {
                self.outbox.stats.drop(Drop::WrongCode);
                self.send_reset(peer, message.message_id);
            }
            (NonConfirmable | Acknowledgement | Reset, _) => {
                self.outbox.stats.drop(Drop::WrongCode);
            }
        }
    }

    /// Datagrams of these peers are about to be handed in. It changes nothing: what is held of them is
    /// fetched into the caches of the processor, step by step for all of them, so that the waits for memory
    /// lie beside each other and not one behind the other.
    pub fn look_ahead(&self, peers: &[PeerId]) {
        self.peers.touch(peers);
    }

    /// A datagram came from a peer to a multicast group. It is counted, never answered and never told.
    pub fn handle_multicast(&mut self, now: Instant, peer: PeerId, bytes: &[u8]) {
        let _ = (now, peer, bytes);
        self.outbox.stats.received += 1;
        self.outbox.stats.drop(Drop::Multicast);
    }

    /// The time of the last [`Output::Timeout`] has come, or any other time.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.peers.expire(now);
        while let Some(timer) = self.timers.pop_expired(now) {
            match timer {
                Timer::Transmission(index) => self.transmission_timed_out(now, index),
                Timer::Exchange(index) => self.exchange_timed_out(now, index),
                Timer::NoResponse(index) => self.response_timed_out(now, index),
                Timer::Deadline(index) => self.deadline_passed(now, index),
                Timer::Body(index) => self.body_timed_out(index),
                Timer::Served(index) => self.served_timed_out(index),
            }
        }
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Output {
        if let Some(output) = self.outbox.poll() {
            return output;
        }
        let (timers, memory) = (self.timers.next_wakeup(), self.peers.next_wakeup());
        Output::Timeout(timers.into_iter().chain(memory).min())
    }

    /// Takes back the buffer of a [`crate::Transmit`] that has been sent, or of the options of a
    /// request that has been read.
    pub fn recycle(&mut self, buffer: Vec<u8>) {
        self.outbox.recycle(buffer);
    }

    /// Gives a peer one of the [`Config::other_profiles`], or with `None` the default one. A place that does not
    /// exist is the default one too.
    pub fn use_profile(&mut self, peer: PeerId, other_profile: Option<u8>) {
        match other_profile.filter(|&at| usize::from(at) < self.config.other_profiles.len()) {
            Some(at) => self.profiles.insert(peer, at),
            None => self.profiles.remove(&peer),
        };
    }

    /// What was counted so far.
    pub fn stats(&self) -> &Stats {
        &self.outbox.stats
    }

    /// How many peers have a record now: those heard or spoken to within EXCHANGE_LIFETIME, and those with
    /// something under way.
    pub fn peers(&self) -> usize {
        self.peers.len()
    }

    /// Whether nothing is held or under way: what must be so when every peer has been forgotten.
    #[doc(hidden)]
    pub fn is_blank(&self) -> bool {
        let counts = [
            self.transmissions.len(),
            self.exchanges.len(),
            self.requests.len(),
            self.bodies.len(),
            self.served.len(),
            self.observers.len(),
        ];
        counts == [0; 6]
            && self.bodies_held == 0
            && self.timers.is_empty()
            && self.observations.is_empty()
            && self.peers.is_blank()
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    #[inline]
    fn profile(&self, peer: PeerId) -> &Timing {
        match self.profiles.is_empty() {
            true => &self.timing[0],
            false => {
                &self.timing[self
                    .profiles
                    .get(&peer)
                    .map_or(0, |at| usize::from(*at) + 1)]
            }
        }
    }

    /// The record of a peer; `None` and a count if there is no room.
    fn slot(&mut self, now: Instant, peer: PeerId) -> Option<Slot> {
        if let Some(slot) = self.peers.find(peer) {
            return Some(slot);
        }
        let first = self.random.next_u32() as u16;
        match self.peers.find_or_insert(peer, first) {
            Some(slot) => {
                let lifetime = self.profile(peer).exchange_lifetime;
                self.peers.keep(now, slot, lifetime);
                Some(slot)
            }
            None => {
                self.outbox.stats.drop(Drop::PeersFull);
                None
            }
        }
    }

    /// A token nobody can guess, whose first byte finds the way back to us.
    fn new_token(&mut self) -> Token {
        let mut bytes = self.random.next_u64().to_be_bytes();
        bytes[0] = self.config.token_prefix;
        Token::new(&bytes).expect("a token of eight bytes")
    }

    fn receive_malformed(&mut self, peer: PeerId, bytes: &[u8], what: What) {
        let header = datagram::decode_header(bytes);
        match (what, header) {
            (What::HeaderTruncated | What::Version, _) | (_, None) => {
                self.outbox.stats.drop(Drop::NotCoap);
            }
            (_, Some((message_type, message_id))) => {
                self.outbox.stats.drop(Drop::Malformed);
                if message_type == MessageType::Confirmable {
                    self.send_reset(peer, message_id);
                }
            }
        }
    }

    fn send_reset(&mut self, peer: PeerId, message_id: MessageId) {
        self.outbox
            .transmit_empty(peer, MessageType::Reset, message_id, 0);
    }

    /// Holds a Confirmable or Non-confirmable message against the memory. Gives the record of the peer if the
    /// message is to be run; a duplicate has been dealt with.
    #[inline]
    fn admit(
        &mut self,
        now: Instant,
        peer: PeerId,
        message_type: MessageType,
        code: Code,
        message_id: MessageId,
    ) -> Option<Slot> {
        let slot = self.slot(now, peer)?;
        let confirmable = message_type == MessageType::Confirmable;
        let profile = self.profile(peer);
        let exchange_lifetime = profile.exchange_lifetime;
        let lifetime = if confirmable {
            exchange_lifetime
        } else {
            profile.non_lifetime
        };
        match self.peers.look_up(now, slot, message_id, lifetime) {
            Seen::New => {}
            Seen::Silent => return self.drop_duplicate(Drop::Duplicate),
            Seen::Old => return self.drop_duplicate(Drop::OldDuplicate),
            _ if !confirmable => return self.drop_duplicate(Drop::Duplicate),
            Seen::Acknowledged(barrier) => {
                let acknowledgement = MessageType::Acknowledgement;
                self.outbox
                    .transmit_empty(peer, acknowledgement, message_id, barrier);
                return self.drop_duplicate(Drop::Duplicate);
            }
            Seen::Reset => {
                self.send_reset(peer, message_id);
                return self.drop_duplicate(Drop::Duplicate);
            }
            Seen::Answer(bytes, barrier) => {
                self.outbox.transmit_copy(peer, bytes, barrier);
                return self.drop_duplicate(Drop::Duplicate);
            }
        }
        if self.is_open(slot, message_id) {
            return self.drop_duplicate(Drop::Duplicate);
        }
        let once = !code.is_idempotent();
        self.peers
            .remember(now, slot, message_id, once, exchange_lifetime);
        Some(slot)
    }

    fn drop_duplicate(&mut self, cause: Drop) -> Option<Slot> {
        self.outbox.stats.drop(cause);
        None
    }

    /// Rejects a message that was admitted: with a Reset if it is Confirmable, silently if not.
    fn reject_message(&mut self, slot: Slot, message_type: MessageType, message_id: MessageId) {
        let confirmable = message_type == MessageType::Confirmable;
        let remembered = if confirmable {
            Remembered::Reset
        } else {
            Remembered::Silent
        };
        self.peers.answer(slot, message_id, remembered, 0);
        if confirmable {
            self.send_reset(self.peers.id(slot), message_id);
        }
    }

    /// Acknowledges a message that was admitted, if it is Confirmable.
    fn acknowledge_message(
        &mut self,
        slot: Slot,
        message_type: MessageType,
        message_id: MessageId,
        barrier: u64,
    ) {
        if message_type != MessageType::Confirmable {
            return self.peers.answer(slot, message_id, Remembered::Silent, 0);
        }
        self.peers
            .answer(slot, message_id, Remembered::Acknowledged, barrier);
        let peer = self.peers.id(slot);
        self.outbox
            .transmit_empty(peer, MessageType::Acknowledgement, message_id, barrier);
    }
}

/// Whether a code may stand in a response that the layer above gives.
fn is_answer(code: Code) -> bool {
    code.is_response() && code != Code::CONTINUE
}
