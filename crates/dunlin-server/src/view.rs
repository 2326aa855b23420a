//! What operators see of Clients: copies, made when asked for.

use dunlin_lwm2m::{ContentFormat, EndpointName, Path};
use dunlin_transport::{OverBudget, Token, WallTime};

use crate::change::{Departed, NotificationKey, Registration};
use crate::event::Presence;

/// A Client that is registered.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientView {
    /// Its registration. `expires_at` and `contact_at` are the true ones here.
    pub registration: Registration,
    /// Whether it can be spoken to.
    pub presence: Presence,
    /// Requests that wait for it or are on their way.
    pub requests: usize,
    /// Paths that are observed or shall be.
    pub observations: usize,
    /// How far it is beyond what it may send, if it was in the last minutes.
    pub over_budget: Option<OverBudget>,
}

/// A Client in a list.
#[derive(Clone, Debug, PartialEq)]
pub enum ListedClient {
    /// It is registered.
    Registered(Box<ClientView>),
    /// It was.
    Departed(Departed),
}

/// Which Clients are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientFilter {
    /// A part of the endpoint name; empty for all.
    pub name: String,
    /// `true` (or nothing) lists the registered ones, `false` those that have expired.
    pub registered: Option<bool>,
}

/// Where a list goes on. It holds as long as the Server runs; a Client that registers while a
/// list is read may be missed, none is listed twice unless it registers anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientCursor(pub u64);

/// A part of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientPage {
    /// The Clients. There may be fewer than asked for, even none, and more to come.
    pub clients: Vec<ListedClient>,
    /// Where to go on; `None` at the end.
    pub next: Option<ClientCursor>,
}

/// An observation.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservationView {
    /// The Client.
    pub endpoint: EndpointName,
    /// What is observed.
    pub path: Path,
    /// The token of its notifications.
    pub token: Token,
    /// Whether the Client has agreed; if not, it will be asked when it is awake.
    pub established: bool,
    /// Whether it is made again after a new Register.
    pub renew: bool,
    /// The format the Client was asked for.
    pub format: Option<ContentFormat>,
    /// When it was asked for first.
    pub made_at: WallTime,
    /// The last notification.
    pub last: Option<NotificationKey>,
}

/// Counters since the start, and how much there is of everything now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Clients that are registered.
    pub registered: usize,
    /// Clients remembered as departed.
    pub departed: usize,
    /// Observations.
    pub observations: usize,
    /// Requests that wait or are on their way.
    pub requests: usize,
    /// Registers that wait for the node's answer.
    pub admissions: usize,
    /// Bootstrap runs under way.
    pub bootstraps: usize,
    /// Bootstrap runs that began.
    pub bootstraps_begun: u64,
    /// Bootstrap runs that ended well.
    pub bootstraps_succeeded: u64,
    /// Bootstrap runs that failed.
    pub bootstraps_failed: u64,
    /// Registers answered 2.01.
    pub registers: u64,
    /// Updates that changed nothing, answered 2.04.
    pub refreshes: u64,
    /// Updates that changed something, answered 2.04.
    pub updates: u64,
    /// De-registers answered 2.02.
    pub deregisters: u64,
    /// Registrations that expired.
    pub expirations: u64,
    /// Clients that were heard from elsewhere on the session they have.
    pub moves: u64,
    /// Handshakes of DTLS that somebody began with us and that failed.
    pub handshakes_failed: u64,
    /// Uplinks that were refused.
    pub refused: u64,
    /// Those of them that were refused because there was too much.
    pub refused_for_load: u64,
    /// Those that were refused because nothing could be stored or decided.
    pub refused_unavailable: u64,
    /// Notifications taken.
    pub notifications: u64,
    /// Notifications that were late.
    pub notifications_late: u64,
    /// Notifications known already, from before a restart.
    pub notifications_duplicate: u64,
    /// Notifications that did not decode.
    pub notifications_undecodable: u64,
    /// Notifications that no observation explains, answered with Reset.
    pub notifications_stray: u64,
    /// Requests sent to Clients, every attempt.
    pub requests_sent: u64,
    /// Requests answered.
    pub requests_answered: u64,
    /// Requests that ended without an answer.
    pub requests_failed: u64,
    /// Well-formed requests that no operation explains, answered by the transport.
    pub violations: u64,
}
