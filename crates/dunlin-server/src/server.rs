//! The machine: one LwM2M Server, which is one shard.

use std::net::IpAddr;

use dunlin_lwm2m::{EndpointName, Path};
use dunlin_transport::{Address, Now};

use crate::change::Snapshot;
use crate::command::{Command, Refused, RequestTicket, RequestView, Settings};
use crate::config::ServerConfig;
use crate::effects::{Effects, Output};
use crate::id::{RegistrationId, RequestId};
use crate::need::{Answer, NeedId};
use crate::view::{ClientCursor, ClientFilter, ClientPage, ClientView, ObservationView, Stats};

/// An LwM2M Server. One mutation (`handle_*`, `restore`, a command), then
/// [`Server::poll_output`] until it says [`Output::Timeout`].
#[derive(Debug)]
pub struct Server {
    config: ServerConfig,
    effects: Effects,
    stats: Stats,
}

impl Server {
    /// A Server that knows nobody. All chance it needs comes from `seed`.
    #[must_use]
    pub fn new(config: ServerConfig, seed: [u8; 32]) -> Self {
        let _ = seed;
        Self {
            config,
            effects: Effects::default(),
            stats: Stats::default(),
        }
    }

    /// Takes up what was stored, before the first input. It may be called several times with parts
    /// of the whole, as long as a Client's registration does not come after what belongs to it.
    /// What it finds is told like anything else: requests that were sent and cannot be sent again
    /// end as unknown.
    pub fn restore(&mut self, now: Now, snapshot: Snapshot) {
        let _ = (now, snapshot);
    }

    /// A datagram came, at our address `local` where the driver knows that.
    pub fn handle_receive(
        &mut self,
        now: Now,
        from: &Address,
        local: Option<IpAddr>,
        bytes: &[u8],
    ) {
        let _ = (now, from, local, bytes);
    }

    /// The time of the last [`Output::Timeout`] has come, or any other time.
    pub fn handle_timeout(&mut self, now: Now) {
        let _ = now;
    }

    /// The outside answers a [`crate::Need`]. Late and double answers are dropped.
    pub fn handle_answer(&mut self, now: Now, need: NeedId, answer: Answer) {
        let _ = (now, need, answer);
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Output {
        self.effects.poll().unwrap_or(Output::Timeout(None))
    }

    /// Takes back the buffer of a [`crate::Transmit`] that has been sent.
    pub fn recycle(&mut self, buffer: Vec<u8>) {
        drop(buffer);
    }

    /// Whether commits can be made durable. While they cannot, what would need one is refused
    /// (5.03 with Max-Age to Clients), and refreshes and reads go on.
    pub fn set_store_health(&mut self, now: Now, healthy: bool) {
        let _ = (now, healthy);
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
        let _ = (now, endpoint, command, settings);
        Err(Refused::ClientUnknown)
    }

    /// Ends a request; its outcome is [`crate::command::Failed::Cancelled`]. One that has been
    /// sent may be done all the same.
    ///
    /// # Errors
    /// [`Refused::RequestUnknown`], [`Refused::StoreFailing`].
    pub fn cancel(&mut self, now: Now, request: RequestId) -> Result<(), Refused> {
        let _ = (now, request);
        Err(Refused::RequestUnknown)
    }

    /// Removes a registration on an operator's word, with its observations and requests. The
    /// Client is not told: its next Update is answered 4.04, and it registers again.
    ///
    /// # Errors
    /// [`Refused::ClientUnknown`], [`Refused::StoreFailing`].
    pub fn forget(&mut self, now: Now, endpoint: &EndpointName) -> Result<RegistrationId, Refused> {
        let _ = (now, endpoint);
        Err(Refused::ClientUnknown)
    }

    /// Gives a Client up to another Server, which has claimed its name ([`crate::Need::Claim`]).
    /// Nothing is committed: the registration there will take the place of the stored one. What is
    /// returned goes into the [`Answer::Claimed`]; requests that were under way are over.
    pub fn evict(&mut self, now: Now, endpoint: &EndpointName) -> Snapshot {
        let _ = (now, endpoint);
        Snapshot::default()
    }

    /// A Client that is registered.
    ///
    /// # Errors
    /// [`Refused::ClientUnknown`], or [`Refused::ClientExpired`] with the time.
    pub fn client(&self, now: Now, endpoint: &EndpointName) -> Result<ClientView, Refused> {
        let _ = (now, endpoint);
        Err(Refused::ClientUnknown)
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
        let _ = (now, after, limit, filter);
        ClientPage {
            clients: Vec::new(),
            next: None,
        }
    }

    /// What is observed at a Client, also at one that has gone and may come back.
    #[must_use]
    pub fn observations(&self, endpoint: &EndpointName) -> Vec<ObservationView> {
        let _ = endpoint;
        Vec::new()
    }

    /// What is observed at this path.
    #[must_use]
    pub fn observation(&self, endpoint: &EndpointName, path: &Path) -> Option<ObservationView> {
        let _ = (endpoint, path);
        None
    }

    /// The requests of a Client, in the order in which they will be sent.
    #[must_use]
    pub fn requests(&self, now: Now, endpoint: &EndpointName) -> Vec<RequestView> {
        let _ = (now, endpoint);
        Vec::new()
    }

    /// A request that has not ended.
    #[must_use]
    pub fn request_view(&self, now: Now, request: RequestId) -> Option<RequestView> {
        let _ = (now, request);
        None
    }

    /// What was counted, and how much there is.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &ServerConfig {
        &self.config
    }
}
