//! The machine: one CoAP endpoint with many peers, client and server at once.

use alloc::vec::Vec;

use crate::config::Config;
use crate::event::{KnownObservation, KnownObserver, Output, Refused, RequestSettings};
use crate::id::{
    Barrier, ExchangeId, Instant, NotificationId, ObservationId, ObserverId, PeerId, PingId,
    RequestId,
};
use crate::message::{Request, Response};
use crate::stats::{Drop, Stats};

/// One CoAP endpoint.
///
/// Feed it with `handle_receive`, `handle_timeout` or one command, then call [`Endpoint::poll_output`]
/// until it says [`Output::Timeout`].
#[derive(Debug)]
pub struct Endpoint {
    config: Config,
    stats: Stats,
}

impl Endpoint {
    /// An endpoint without peers. All chance it needs comes from `seed`.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        let _ = seed;
        Self {
            config,
            stats: Stats::default(),
        }
    }

    /// A datagram came from a peer.
    pub fn handle_receive(&mut self, now: Instant, peer: PeerId, bytes: &[u8]) {
        let _ = (now, peer, bytes);
        self.stats.received += 1;
    }

    /// A datagram came from a peer to a multicast group. It is counted, never answered and never told.
    pub fn handle_multicast(&mut self, now: Instant, peer: PeerId, bytes: &[u8]) {
        let _ = (now, peer, bytes);
        self.stats.received += 1;
        self.stats.drop(Drop::Multicast);
    }

    /// The time of the last [`Output::Timeout`] has come, or any other time.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Output {
        Output::Timeout(None)
    }

    /// Takes back the buffer of a [`crate::Transmit`] that has been sent.
    pub fn recycle(&mut self, buffer: Vec<u8>) {
        drop(buffer);
    }

    // Server role.

    /// Answers a request. In time the answer rides on the acknowledgement; later it goes separately, as a
    /// Confirmable message if the request was one. A body longer than a block is kept and served block by block.
    /// A response that carries a Block2 option of its own is sent as it is.
    ///
    /// # Errors
    ///
    /// The exchange is not open, is a notification, or the code is no response code.
    pub fn respond(
        &mut self,
        now: Instant,
        exchange: ExchangeId,
        response: Response,
        barrier: Barrier,
    ) -> Result<(), Refused> {
        let _ = (now, exchange, response, barrier);
        Err(Refused::UnknownExchange)
    }

    /// Answers a request that registers an observer, and takes it as one. The Observe option is added.
    ///
    /// # Errors
    ///
    /// As [`Endpoint::respond`]; also if the request did not carry Observe 0, the response is an error,
    /// or the peer has too many observers. Then nothing was sent, and a plain `respond` is still possible.
    pub fn respond_observed(
        &mut self,
        now: Instant,
        exchange: ExchangeId,
        response: Response,
        barrier: Barrier,
    ) -> Result<ObserverId, Refused> {
        let _ = (now, exchange, response, barrier);
        Err(Refused::UnknownExchange)
    }

    /// Ends a request without any answer: as if it had been lost.
    ///
    /// # Errors
    ///
    /// The exchange is not open.
    pub fn ignore(&mut self, now: Instant, exchange: ExchangeId) -> Result<(), Refused> {
        let _ = (now, exchange);
        Err(Refused::UnknownExchange)
    }

    /// Answers the first [`crate::Event::Block`] of a body: the rest is gathered here, up to `body_max`
    /// bytes, and told as one [`crate::Event::Request`].
    ///
    /// # Errors
    ///
    /// The exchange is not an open first block.
    pub fn gather(
        &mut self,
        now: Instant,
        exchange: ExchangeId,
        body_max: usize,
    ) -> Result<(), Refused> {
        let _ = (now, exchange, body_max);
        Err(Refused::UnknownExchange)
    }

    /// Answers an [`crate::Event::Block`] that is not the last: the block was taken, the next may come (2.31).
    ///
    /// # Errors
    ///
    /// The exchange is not an open block with more to follow.
    pub fn proceed(
        &mut self,
        now: Instant,
        exchange: ExchangeId,
        barrier: Barrier,
    ) -> Result<(), Refused> {
        let _ = (now, exchange, barrier);
        Err(Refused::UnknownExchange)
    }

    /// Notifies an observer. A large body is notified with its first block and kept for fetching. An
    /// error code ends the observer. Non-confirmable ones become Confirmable once a day (RFC 7641 §4.5).
    ///
    /// # Errors
    ///
    /// The observer is gone, or too many notifications wait.
    pub fn notify(
        &mut self,
        now: Instant,
        observer: ObserverId,
        response: Response,
        confirmable: bool,
        barrier: Barrier,
    ) -> Result<NotificationId, Refused> {
        let _ = (now, observer, response, confirmable, barrier);
        Err(Refused::UnknownObserver)
    }

    /// Forgets an observer, without telling it.
    ///
    /// # Errors
    ///
    /// The observer is not known.
    pub fn remove_observer(&mut self, observer: ObserverId) -> Result<(), Refused> {
        let _ = observer;
        Err(Refused::UnknownObserver)
    }

    /// Takes up an observer from before a restart.
    ///
    /// # Errors
    ///
    /// Too many observers.
    pub fn restore_observer(
        &mut self,
        now: Instant,
        known: KnownObserver,
    ) -> Result<ObserverId, Refused> {
        let _ = (now, known);
        Err(Refused::PeerFull)
    }

    // Client role.

    /// Asks a peer. A large body goes block by block, a large answer is fetched the same way, and the end is one
    /// [`crate::Event::Response`] or [`crate::Event::Failed`].
    ///
    /// # Errors
    ///
    /// Too many requests, no method, or a body too large for the block size.
    pub fn request(
        &mut self,
        now: Instant,
        peer: PeerId,
        request: Request,
        settings: RequestSettings,
    ) -> Result<RequestId, Refused> {
        let _ = (now, peer, request, settings);
        Err(Refused::EndpointFull)
    }

    /// Ends a request of ours with [`crate::Failure::Cancelled`]; nothing more is sent for it.
    ///
    /// # Errors
    ///
    /// The request is not under way.
    pub fn cancel(&mut self, now: Instant, request: RequestId) -> Result<(), Refused> {
        let _ = (now, request);
        Err(Refused::UnknownRequest)
    }

    /// Acknowledges a notification, once it is safe under `barrier`. Of a Non-confirmable one it only ends the
    /// exchange.
    ///
    /// # Errors
    ///
    /// The exchange is not an open notification.
    pub fn acknowledge(
        &mut self,
        now: Instant,
        exchange: ExchangeId,
        barrier: Barrier,
    ) -> Result<(), Refused> {
        let _ = (now, exchange, barrier);
        Err(Refused::UnknownExchange)
    }

    /// Rejects a notification with a Reset, which tells the peer to forget us as an observer. Of a request it
    /// says that it could not be made sense of.
    ///
    /// # Errors
    ///
    /// The exchange is not open.
    pub fn reject(&mut self, now: Instant, exchange: ExchangeId) -> Result<(), Refused> {
        let _ = (now, exchange);
        Err(Refused::UnknownExchange)
    }

    /// Takes up an observation from before a restart.
    ///
    /// # Errors
    ///
    /// Too many observations.
    pub fn restore_observation(
        &mut self,
        known: KnownObservation,
    ) -> Result<ObservationId, Refused> {
        let _ = known;
        Err(Refused::EndpointFull)
    }

    /// Cancels an observation the quiet way: its next notification is rejected with a Reset (RFC 7641 §3.6).
    /// It is not told any more.
    ///
    /// # Errors
    ///
    /// The observation is not known.
    pub fn cancel_by_reset(&mut self, observation: ObservationId) -> Result<(), Refused> {
        let _ = observation;
        Err(Refused::UnknownObservation)
    }

    /// Cancels an observation by its request with Observe 1 and the same token. The answer comes as that of any
    /// request.
    ///
    /// # Errors
    ///
    /// The observation is not known, or too many requests.
    pub fn cancel_by_request(
        &mut self,
        now: Instant,
        observation: ObservationId,
        settings: RequestSettings,
    ) -> Result<RequestId, Refused> {
        let _ = (now, observation, settings);
        Err(Refused::UnknownObservation)
    }

    // Peers.

    /// Asks whether a peer is there: an empty Confirmable message, to be reset (RFC 7252 §4.3).
    ///
    /// # Errors
    ///
    /// Too many requests.
    pub fn ping(&mut self, now: Instant, peer: PeerId) -> Result<PingId, Refused> {
        let _ = (now, peer);
        Err(Refused::PeerFull)
    }

    /// Gives a peer one of the [`Config::other_profiles`], or with `None` the default one.
    pub fn use_profile(&mut self, peer: PeerId, other_profile: Option<u8>) {
        let _ = (peer, other_profile);
    }

    /// Drops everything about a peer. What we asked it fails with [`crate::Failure::Forgotten`], observations
    /// and observers end; open exchanges of it end silently. After this its id may be used anew.
    pub fn forget_peer(&mut self, now: Instant, peer: PeerId) {
        let _ = (now, peer);
    }

    /// What was counted so far.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }
}
