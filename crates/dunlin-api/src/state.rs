//! What every handler shares: the backend and the settings.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::backend::Backend;

/// More event streams at once than this, and the next one is refused: each costs a connection and its share of the feed.
pub(crate) const EVENT_STREAMS_MAX: usize = 1024;

/// What the operator has set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Names under which the API may be called, beside addresses and `localhost`; without a port.
    pub hosts: Vec<String>,
    /// True when others than this machine can reach the port: then every request needs a token, even while there is
    /// none.
    pub exposed: bool,
}

/// The state of the router.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) event_streams: Arc<Semaphore>,
}

impl Api {
    pub(crate) fn new(backend: Arc<dyn Backend>, settings: Settings) -> Api {
        Api {
            backend,
            settings: Arc::new(settings),
            event_streams: Arc::new(Semaphore::new(EVENT_STREAMS_MAX)),
        }
    }
}
