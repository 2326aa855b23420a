//! The Clients of `dunlin demo`: real ones in one process, each with its own socket and its own
//! temper, so that a visitor sees every kind of device a Server meets.
//!
//! Each is the Client's machine in the Client's loop over real UDP; what differs is one line in the
//! table of `kinds.rs`. A reboot is a real one: the loop is dropped in the middle of whatever it does,
//! and a new machine begins with what was kept and another port.

mod coffee;
mod kinds;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dunlin_client::{Client, Config, Credentials, Event, Factory, Now};
use dunlin_lwm2m::definition::parse_ddf;
use dunlin_lwm2m::operation::Binding;
use dunlin_lwm2m::{EndpointName, Registry};
use dunlin_net::client::{ClientLoop, Host};
use dunlin_net::seed;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

pub use kinds::QUEUE_AWAKE_WINDOW;
use kinds::{KINDS, Kind};

/// Definitions that the demo's Clients use and that are not bundled: the Server needs them to give
/// names to what it sees.
pub const DEFINITIONS: [&str; 1] = [coffee::DDF];

/// More Clients than this are the fleet's business, which makes thousands with few sockets.
pub const CLIENTS_MAX: usize = 200;

/// How long Clients may take to say goodbye when the demo ends.
const GRACE: Duration = Duration::from_secs(2);

/// How often values move.
const TICK: Duration = Duration::from_secs(1);

/// How long a device goes on after it has promised to reboot: the promise is to arrive.
const REBOOT_DELAY: Duration = Duration::from_millis(500);

/// How long a device is away when it reboots.
const BOOT_TIME: Duration = Duration::from_secs(3);

/// One of the demo's Clients.
#[derive(Clone)]
pub struct DemoClient {
    /// Its name.
    pub endpoint: String,
    /// A value that is worth watching, such as `3303/0/5700`.
    pub observed: &'static str,
    kind: &'static Kind,
}

/// By what a demo Client and its Servers know each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DemoSecurity {
    /// Nothing.
    NoSec,
    /// A pre-shared key.
    PreSharedKey,
    /// Raw public keys.
    RawPublicKey,
    /// Certificates.
    Certificate,
}

impl DemoClient {
    /// What kind of thing it is; several Clients may be of one kind, and their names begin with it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind.name
    }

    /// How it is secured.
    #[must_use]
    pub fn security(&self) -> DemoSecurity {
        self.kind.security
    }

    /// The lifetime that suits it, in seconds.
    #[must_use]
    pub fn lifetime_s(&self) -> u32 {
        self.kind.lifetime_s
    }

    /// The binding that suits it.
    #[must_use]
    pub fn binding(&self) -> Binding {
        self.kind.binding
    }
}

/// What a demo Client knows when it is switched on for the first time.
#[derive(Clone, Debug)]
pub enum Provisioned {
    /// Its Server, by this URI and without security.
    Server(String),
    /// Its Bootstrap-Server alone.
    BootstrapServer {
        /// Where it is.
        uri: String,
        /// By what they know each other.
        credentials: Credentials,
    },
}

/// `count` Clients of all kinds in turn; no more than [`CLIENTS_MAX`].
#[must_use]
pub fn demo_clients(count: usize) -> Vec<DemoClient> {
    let clients = (0..count.min(CLIENTS_MAX)).map(|index| {
        let kind = &KINDS[index % KINDS.len()];
        let endpoint = match index / KINDS.len() {
            0 => kind.name.to_owned(),
            round => format!("{}-{}", kind.name, round + 1),
        };
        DemoClient {
            endpoint,
            observed: kind.observed,
            kind,
        }
    });
    clients.collect()
}

/// Runs these Clients until `stop` is done; then they de-register.
pub async fn run_demo_clients(
    clients: Vec<(DemoClient, Provisioned)>,
    stop: impl Future<Output = ()>,
) {
    let (stopping, stopped) = watch::channel(false);
    let mut lives = JoinSet::new();
    for (client, provisioned) in clients {
        let DemoClient { endpoint, kind, .. } = client;
        lives.spawn(live(kind, endpoint, provisioned, stopped.clone()));
    }
    stop.await;
    // Nobody listening means that all have ended by themselves.
    let _ = stopping.send(true);
    while lives.join_next().await.is_some() {}
}

/// Why a life ends.
enum End {
    Stopped,
    Reboot,
    FactoryReset,
}

/// A device, over all its reboots.
async fn live(
    kind: &'static Kind,
    name: String,
    provisioned: Provisioned,
    mut stopped: watch::Receiver<bool>,
) {
    let kept = Arc::new(Mutex::new(None));
    let mut age_s = 0;
    loop {
        let end = match one_life(kind, &name, &provisioned, &kept, &mut age_s, &mut stopped).await {
            Ok(end) => end,
            Err(error) => {
                tracing::warn!(client = %name, %error, "a demo client cannot run");
                End::Reboot
            }
        };
        match end {
            End::Stopped => return,
            End::Reboot => {}
            End::FactoryReset => *kept.lock().unwrap_or_else(PoisonError::into_inner) = None,
        }
        tokio::select! {
            () = tokio::time::sleep(BOOT_TIME) => {}
            () = until(&mut stopped) => return,
        }
    }
}

/// Waits for the end of the demo.
async fn until(stopped: &mut watch::Receiver<bool>) {
    // A sender that is gone has ended, too.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn one_life(
    kind: &'static Kind,
    name: &str,
    provisioned: &Provisioned,
    kept: &Arc<Mutex<Option<Vec<u8>>>>,
    age_s: &mut u64,
    stopped: &mut watch::Receiver<bool>,
) -> io::Result<End> {
    let client = client(kind, name, provisioned, kept)?;
    let (orders, mut ordered) = mpsc::unbounded_channel();
    let host = DemoHost {
        kept: kept.clone(),
        loss_percent: kind.loss_percent,
        installed: kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some(),
        random: ChaCha8Rng::from_seed(seed::draw()?),
        orders,
    };
    let (looped, handle) = ClientLoop::new(client, host);
    let mut running = tokio::spawn(looped.run(GRACE));
    let mut ticks = tokio::time::interval(TICK);
    let reboot = async {
        match kind.reboots_every {
            Some(every) => tokio::time::sleep(every).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(reboot);
    let end = loop {
        tokio::select! {
            () = until(stopped) => break End::Stopped,
            ended = &mut running => return ended.map_err(io::Error::other)?.map(|()| End::Reboot),
            () = &mut reboot => break End::Reboot,
            Some(order) = ordered.recv() => {
                tokio::time::sleep(REBOOT_DELAY).await;
                break order;
            }
            _ = ticks.tick() => {
                *age_s += 1;
                let seconds = *age_s;
                handle.run(move |client, now| (kind.tick)(client, now, seconds)).await;
            }
        }
    };
    drop(handle);
    match end {
        // Without a handle the loop de-registers and ends.
        End::Stopped => running.await.map_err(io::Error::other)??,
        // A reboot says goodbye to nobody.
        End::Reboot | End::FactoryReset => running.abort(),
    }
    Ok(end)
}

fn client(
    kind: &Kind,
    name: &str,
    provisioned: &Provisioned,
    kept: &Mutex<Option<Vec<u8>>>,
) -> io::Result<Client> {
    let mut factory = Factory::new(registry()).map_err(io::Error::other)?;
    match provisioned {
        Provisioned::Server(uri) => factory
            .add_server(uri, kind.lifetime_s, kind.binding)
            .map(drop),
        Provisioned::BootstrapServer { uri, credentials } => {
            factory.add_bootstrap_server(uri, credentials, 0, 0)
        }
    }
    .map_err(io::Error::other)?;
    (kind.build)(&mut factory, name).map_err(io::Error::other)?;
    let mut config = Config::new(EndpointName::new(name).map_err(io::Error::other)?);
    config.awake_window = QUEUE_AWAKE_WINDOW;
    let mut client = Client::new(config, factory.build(), seed::draw()?);
    let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(state) = kept.as_ref() {
        client.restore(state).map_err(io::Error::other)?;
    }
    Ok(client)
}

/// What the demo's Clients know: the bundled definitions and those of [`DEFINITIONS`].
fn registry() -> Registry {
    let mut registry = Registry::bundled();
    for definition in DEFINITIONS {
        let definitions = parse_ddf(definition.as_bytes()).expect("our own definitions are good");
        for definition in definitions {
            registry.insert(definition);
        }
    }
    registry
}

/// What a demo Client does beside speaking LwM2M.
struct DemoHost {
    /// Its disk.
    kept: Arc<Mutex<Option<Vec<u8>>>>,
    /// How much of what passes is lost, each way.
    loss_percent: u32,
    /// It has been registered: it hangs where it belongs, and where its radio is bad.
    installed: bool,
    random: ChaCha8Rng,
    orders: mpsc::UnboundedSender<End>,
}

impl Host for DemoHost {
    fn keep(&mut self, state: &[u8]) -> io::Result<()> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Some(state.to_vec());
        Ok(())
    }

    fn event(&mut self, _client: &mut Client, _now: Now, event: Event) {
        if matches!(event, Event::Registered { .. }) {
            self.installed = true;
        }
        let order = match event {
            Event::Reboot => End::Reboot,
            Event::FactoryReset => End::FactoryReset,
            other => return tracing::debug!(event = ?other, "a demo client"),
        };
        // Nobody to hear it means that this life is over already.
        let _ = self.orders.send(order);
    }

    fn loses(&mut self) -> bool {
        self.loss_percent > 0 && self.installed && self.random.next_u32() % 100 < self.loss_percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_built_and_moves_its_values() {
        for kind in &KINDS {
            let kept = Mutex::new(None);
            let server = Provisioned::Server("coap://127.0.0.1:5683".into());
            let mut client = client(kind, kind.name, &server, &kept).expect("it is built");
            let before = format!("{:?}", client.tree());
            for seconds in 1..=60 {
                (kind.tick)(&mut client, Now::default(), seconds);
            }
            assert_ne!(format!("{:?}", client.tree()), before, "{}", kind.name);
        }
    }

    #[test]
    fn names_stay_apart_when_kinds_repeat() {
        let clients = demo_clients(12);
        let names: Vec<&str> = clients.iter().map(|one| one.endpoint.as_str()).collect();
        assert_eq!(names[0], "weather-station");
        assert_eq!(names[5], "weather-station-2");
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), 12);
        assert_eq!(demo_clients(usize::MAX).len(), CLIENTS_MAX);
    }
}
