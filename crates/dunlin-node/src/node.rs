//! Who is handed to whom: the product as something that starts and stops.
//!
//! Order of a start: folder and lock, store, what it holds, committer, teller, sockets, shards with
//! their part of what was stored, HTTP. Order of a stop: HTTP takes nothing new, shards let go what
//! waits for the disk, the committer ends, the store closes.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use dunlin_lwm2m::definition::parse_ddf;
use dunlin_lwm2m::operation::Strictness;
use dunlin_lwm2m::{EndpointName, Registry};
use dunlin_net::bearer::udp::{IoPath, UdpBearer};
use dunlin_net::socket::{Granted, SocketOptions};
use dunlin_net::{clock, seed};
use dunlin_server::bootstrap::{BootstrapRun, Finding, Profile};
use dunlin_server::config::Admission;
use dunlin_server::{
    BootstrapConfig, BootstrapRunId, Server, ServerConfig, Snapshot, VirtualShards,
};
use dunlin_store::{
    Committer, CommitterSettings, CommitterState, Durability, FjallStore, MemoryStore, Retention,
    Store, StoreError, StoreSettings, Table,
};
use dunlin_transport::{Address, Port};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::backend::{Folder, NodeBackend};
use crate::config::{self, Config};
use crate::credentials::{Credentials, Door};
use crate::directory::Directory;
use crate::facts::{self, LoadError, Recorder};
use crate::identity::{IdentityError, ServerIdentity};
use crate::profiles::Profiles;
use crate::provisioning::{self, Provisioning, ServerPublic};
use crate::record::decode;
use crate::shard::{
    INBOX_MAX, Input, LoopStats, Parts, Revocations, Shard, ShardHandle, message_id_bits,
};
use crate::telemetry::Telemetry;
use crate::teller::{self, Known, Teller};
use crate::tokens;
use crate::vault::{Vault, VaultError};

/// Threads of the HTTP side. It waits for shards and disks, and computes little.
const HTTP_THREADS: usize = 2;

/// Events of the log that are read again at a start, for the values and requests shown last.
const RECALL_EVENTS_MAX: usize = 50_000;

/// How often old events are let go of.
const HOUSEKEEPING: Duration = Duration::from_secs(60);

/// How long a stop waits for what is under way.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// Where the data is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// In the folder of the configuration.
    Folder,
    /// In memory: gone with the process. For trials and tests.
    Memory,
}

/// Why a node does not start. Each says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The store does not open, or does not read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What it holds does not read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A socket cannot be opened.
    #[error(
        "{what} cannot listen on {address}: {error}; is another program there? Choose another with {setting}"
    )]
    Bind {
        /// Which listener.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
        /// The flag that changes it.
        setting: &'static str,
    },
    /// The key file cannot be used.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The Server's key, its certificate or the authorities of Clients cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// No Client can reach the Server.
    #[error("no address is left on which Clients are heard; set server.coaps or server.coap")]
    NoCoap,
    /// The system gives no thread or no entropy.
    #[error("the system refuses {what}: {error}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What it says.
        error: io::Error,
    },
}

/// A running node.
pub struct Node {
    http: SocketAddr,
    doors: Vec<(Port, SocketAddr)>,
    warnings: Vec<String>,
    restored: usize,
    shards: Arc<Vec<ShardHandle>>,
    threads: Vec<JoinHandle<()>>,
    http_thread: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    teller_thread: Option<JoinHandle<()>>,
    committer: Arc<Committer>,
    store: Arc<dyn Store>,
    backend: Arc<NodeBackend>,
    ready: Arc<AtomicBool>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("http", &self.http)
            .field("doors", &self.doors)
            .finish()
    }
}

impl Node {
    /// Starts everything. When this returns, Clients are heard and the API answers.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running then.
    pub fn start(config: &Config, data: &Data) -> Result<Self, StartError> {
        let mut warnings = Vec::new();
        survive_file_size_limit()?;
        let (store, folder_store) = open_store(config, data)?;
        let known = Arc::new(Known::default());
        known.set_registry(load_registry(&*store)?);
        let tokens = tokens::load(&*store)?;
        let vault = Arc::new(open_vault(config, data, &*store)?);
        let credentials = Credentials::load(&*store, vault.clone())?;
        let profiles = Profiles::load(&*store, vault.clone())?;
        let folder = (*data == Data::Folder).then_some(config.data.as_path());
        let identity = ServerIdentity::open(config, folder)?;
        let mut loaded = facts::load(&*store, &vault)?;
        drop_revoked(&credentials, &mut loaded.snapshot);
        let restored = loaded.snapshot.registrations.len();
        recall(&known, &*store, &loaded.snapshot);

        let count = shard_count(config);
        let sockets = open_sockets(config, count, &mut warnings)?;
        let doors = sockets.addresses.clone();
        let http_listener = open_http(config.http.bind)?;
        let http = http_listener
            .local_addr()
            .map_err(|error| system("an address", error))?;

        let committer = Committer::start(store.clone(), CommitterSettings::default())
            .map_err(|error| system("a thread", error))?;
        let committer = Arc::new(committer);
        let (teller, teller_thread) =
            teller::start(known.clone()).map_err(|error| system("a thread", error))?;
        let ready = Arc::new(AtomicBool::new(false));
        let provisioning = Provisioning::new(provisioning::Parts {
            profiles: profiles.clone(),
            credentials: credentials.clone(),
            known: known.clone(),
            store: store.clone(),
            server: ServerPublic {
                public_key: Some(identity.public_key.clone()),
                certificate: identity.chain.first().cloned(),
            },
            runs: Mutex::default(),
        });
        let mut started = Started {
            config,
            count,
            store: store.clone(),
            committer: committer.clone(),
            teller,
            known: known.clone(),
            directory: Arc::default(),
            provisioning: provisioning.clone(),
            stats: (0..count).map(|_| Arc::default()).collect(),
            last_stamp: loaded.last_stamp,
            vault,
            dtls: identity.settings(config, count),
            client_anchors: Arc::new(identity.client_anchors.clone()),
            revocations: (0..count).map(|_| Arc::default()).collect(),
        };
        let (shards, threads) = started.shards(sockets, loaded.snapshot)?;
        subscribe(&committer, &shards);
        watch(&credentials, &shards, &started.revocations);
        let backend = Arc::new(NodeBackend {
            shards: shards.clone(),
            directory: started.directory.clone(),
            folder: folder_store.map(|store| Folder::new(store, config.data.clone())),
            store: store.clone(),
            committer: committer.clone(),
            known,
            tokens: RwLock::new(Arc::new(tokens)),
            credentials,
            profiles,
            provisioning,
            identity,
            catalog: Mutex::new(()),
            telemetry: Telemetry {
                loops: started.stats.clone(),
            },
            ready: ready.clone(),
        });
        drop(started);
        let settings = dunlin_api::Settings {
            hosts: config.http.hosts.clone(),
            exposed: !http.ip().is_loopback(),
        };
        let http_thread = serve_http(http_listener, backend.clone(), settings)?;
        ready.store(true, Ordering::Release);
        Ok(Self {
            http,
            doors,
            warnings,
            restored,
            shards,
            threads,
            http_thread: Some(http_thread),
            teller_thread: Some(teller_thread),
            committer,
            store,
            backend,
            ready,
        })
    }

    /// Where the API answers.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where Clients are heard, and how.
    #[must_use]
    pub fn doors(&self) -> &[(Port, SocketAddr)] {
        &self.doors
    }

    /// Where Clients without security are heard.
    #[must_use]
    pub fn coap(&self) -> Vec<SocketAddr> {
        self.at(Port::Coap)
    }

    /// Where Clients are heard at this door.
    #[must_use]
    pub fn at(&self, port: Port) -> Vec<SocketAddr> {
        let doors = self.doors.iter().filter(|door| door.0 == port);
        doors.map(|door| door.1).collect()
    }

    /// What the operator should know, one sentence each.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What the Server shows to its Clients: they need it to trust the Server.
    #[must_use]
    pub fn server_public(&self) -> &ServerPublic {
        self.backend.provisioning.server()
    }

    /// Adds a bootstrap profile, or puts it in the place of the one with its name. What is worth a
    /// second look is returned.
    ///
    /// # Errors
    /// What is wrong with it, or why it cannot be kept, as sentences.
    pub async fn put_profile(&self, profile: Profile) -> Result<Vec<Finding>, Vec<String>> {
        match self.backend.enter_profile(profile, false).await {
            Ok(Ok(put)) => Ok(put.advice),
            Ok(Err(refused)) => Err(crate::backend::sentences(&refused)),
            Err(problem) => Err(vec![problem.detail]),
        }
    }

    /// Bootstrap runs, the newest first: those of one Client, or the last of all.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub async fn bootstrap_runs(
        &self,
        endpoint: Option<&EndpointName>,
        limit: usize,
    ) -> Result<Vec<BootstrapRun>, String> {
        let runs = self.backend.runs(endpoint.cloned(), limit).await;
        runs.map_err(|problem| problem.detail)
    }

    /// Begins a bootstrap run with a Client that the Bootstrap-Server can reach.
    ///
    /// # Errors
    /// Why it does not begin.
    pub async fn bootstrap(&self, endpoint: &EndpointName) -> Result<BootstrapRunId, String> {
        let begun = self.backend.begin_run(endpoint).await;
        begun.map_err(|problem| problem.detail)
    }

    /// How many registrations were taken up from the store.
    #[must_use]
    pub fn restored(&self) -> usize {
        self.restored
    }

    /// Whether all shards still run. A shard that cannot keep its promises ends, and the node
    /// with it.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.threads.iter().all(|thread| !thread.is_finished())
    }

    /// Stops gently: what waits for the disk is let go, then everything is closed.
    pub fn stop(mut self) {
        self.halt();
    }

    fn halt(&mut self) {
        self.ready.store(false, Ordering::Release);
        if let Some((stop, thread)) = self.http_thread.take() {
            let _ = stop.send(());
            let _ = thread.join();
        }
        for shard in self.shards.iter() {
            // A full inbox empties itself.
            while let Err(mpsc::error::TrySendError::Full(_)) = shard.inbox.try_send(Input::Stop) {
                std::thread::yield_now();
            }
        }
        let deadline = clock::instant() + STOP_PATIENCE;
        for thread in self.threads.drain(..) {
            while !thread.is_finished() && clock::instant() < deadline {
                std::thread::park_timeout(Duration::from_millis(2));
            }
            if thread.is_finished() {
                let _ = thread.join();
            }
        }
        self.committer.stop();
        if let Err(error) = self.store.close() {
            tracing::warn!(%error, "the store did not close cleanly; what was acknowledged is safe");
        }
        self.teller_thread.take();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.http_thread.is_some() {
            self.halt();
        }
    }
}

fn system(what: &'static str, error: io::Error) -> StartError {
    StartError::System { what, error }
}

/// A limit on the size of files ends a process unless it has taken the signal for it; taken, a write
/// fails as on a full disk, and the store waits for room. The registration outlives its runtime.
fn survive_file_size_limit() -> Result<(), StartError> {
    /// SIGXFSZ of Linux.
    const FILE_SIZE_EXCEEDED: i32 = 25;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(|error| system("a thread", error))?;
    let _inside = runtime.enter();
    let kind = tokio::signal::unix::SignalKind::from_raw(FILE_SIZE_EXCEEDED);
    drop(tokio::signal::unix::signal(kind).map_err(|error| system("a signal", error))?);
    Ok(())
}

fn shard_count(config: &Config) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let count = if config.shards == 0 {
        cores
    } else {
        config.shards
    };
    count.clamp(1, 256)
}

/// The store, and the same again where it is a folder.
type OpenedStore = (Arc<dyn Store>, Option<Arc<FjallStore>>);

fn open_store(config: &Config, data: &Data) -> Result<OpenedStore, StartError> {
    let retention = Retention {
        bytes_max: config.store.log_bytes_max,
        age_max_ms: config.store.log_age_max_s.saturating_mul(1_000),
    };
    if *data == Data::Memory {
        return Ok((Arc::new(MemoryStore::new(retention)), None));
    }
    let durability = match config.store.durability {
        config::Durability::Sync => Durability::Sync,
        config::Durability::Memory => Durability::Memory,
    };
    let settings = StoreSettings {
        durability,
        retention,
        ..StoreSettings::default()
    };
    let store = Arc::new(FjallStore::open(&config.data, settings)?);
    Ok((store.clone(), Some(store)))
}

fn open_vault(config: &Config, data: &Data, store: &dyn Store) -> Result<Vault, StartError> {
    if *data == Data::Memory {
        return Ok(Vault::ephemeral());
    }
    let has_sealed = [Table::Credentials, Table::Profiles]
        .into_iter()
        .map(|table| store.scan(table, &[], 1).map(|rows| !rows.is_empty()))
        .collect::<Result<Vec<_>, _>>()?
        .contains(&true);
    Ok(Vault::open(&config.key_file(), has_sealed)?)
}

/// The bundled definitions, and those that were added.
fn load_registry(store: &dyn Store) -> Result<Registry, StartError> {
    let mut registry = Registry::bundled();
    let mut failed = None;
    store.replay(Table::Objects, &mut |key, value| {
        let parsed = decode::<String>(value).map(|xml| parse_ddf(xml.as_bytes()));
        match parsed {
            Ok(Ok(definitions)) => {
                definitions
                    .into_iter()
                    .for_each(|one| drop(registry.insert(one)));
            }
            // It was read when it was added; a later dunlin may be stricter, and says so.
            Ok(Err(error)) => tracing::warn!(%error, "an added object definition does not read"),
            Err(error) => {
                let key = key.iter().map(|byte| format!("{byte:02x}")).collect();
                failed = Some(LoadError::Row {
                    table: Table::Objects,
                    key,
                    error,
                });
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    })?;
    failed.map_or(Ok(registry), |error| Err(error.into()))
}

/// Reads the newest part of the log again: last values, and requests that ended lately.
fn recall(known: &Known, store: &dyn Store, snapshot: &Snapshot) {
    snapshot
        .registrations
        .values()
        .for_each(|one| known.learn_versions(one));
    let newest = store.newest();
    let mut at = store.oldest();
    // Commits have about one event each in a quiet fleet: begin so many commits before the end.
    let begin = newest.commit.0.saturating_sub(RECALL_EVENTS_MAX as u64);
    if at.commit.0 < begin {
        at = dunlin_store::Position::end_of(dunlin_store::CommitNumber(begin));
    }
    let mut left = RECALL_EVENTS_MAX;
    while left > 0 {
        let Ok(page) = store.read(at, left.min(1_000)) else {
            return;
        };
        for event in &page.events {
            if let Ok(stored) = decode::<dunlin_server::Event>(&event.bytes) {
                known.learn(&stored);
            }
        }
        left -= page.events.len().min(left);
        if page.end || page.next == at {
            return;
        }
        at = page.next;
    }
}

/// A socket, and what the kernel granted of its buffers.
type Opened = (std::net::UdpSocket, Granted);

/// The sockets of all shards.
struct Sockets {
    addresses: Vec<(Port, SocketAddr)>,
    /// By shard: one for each address.
    bearers: Vec<Vec<(Port, Opened)>>,
}

fn open_sockets(
    config: &Config,
    shards: usize,
    warnings: &mut Vec<String>,
) -> Result<Sockets, StartError> {
    let mut sockets = Sockets {
        addresses: Vec::new(),
        bearers: Vec::new(),
    };
    sockets.bearers.resize_with(shards, Vec::new);
    let doors = Port::ALL.into_iter().flat_map(|port| {
        let addresses = config.server.addresses(port).iter();
        addresses.map(move |address| (port, address))
    });
    for (port, address) in doors {
        match open_shared(*address, shards, warnings) {
            Ok((bound, opened)) => {
                sockets.addresses.push((port, bound));
                sockets
                    .bearers
                    .iter_mut()
                    .zip(opened)
                    .for_each(|(own, socket)| own.push((port, socket)));
            }
            Err(error) if is_no_ipv6(*address, &error) => {
                warnings.push(format!("this machine has no IPv6: {address} is left out"));
            }
            Err(error) => {
                let (address, setting) = (*address, flag_of(port));
                return Err(StartError::Bind {
                    what: port.name(),
                    address,
                    error,
                    setting,
                });
            }
        }
    }
    if sockets.addresses.is_empty() {
        return Err(StartError::NoCoap);
    }
    Ok(sockets)
}

fn flag_of(port: Port) -> &'static str {
    match port {
        Port::Coap => "--coap ADDR",
        Port::Coaps => "--coaps ADDR",
        Port::BootstrapCoap => "--bootstrap-coap ADDR",
        Port::BootstrapCoaps => "--bootstrap-coaps ADDR",
    }
}

fn is_no_ipv6(address: SocketAddr, error: &io::Error) -> bool {
    /// EAFNOSUPPORT of Linux.
    const NO_FAMILY: i32 = 97;
    address.is_ipv6()
        && (error.kind() == io::ErrorKind::AddrNotAvailable
            || error.raw_os_error() == Some(NO_FAMILY))
}

/// Opens one socket per shard on one address. The first is opened alone, so that a port which
/// another process has is noticed and not shared with it.
fn open_shared(
    address: SocketAddr,
    shards: usize,
    warnings: &mut Vec<String>,
) -> io::Result<(SocketAddr, Vec<Opened>)> {
    let alone = SocketOptions {
        dont_fragment: true,
        ..SocketOptions::default()
    };
    let (first, granted) = dunlin_net::socket::bind_udp(address, &alone)?;
    let bound = first.local_addr()?;
    if !granted.covers(&alone) && warnings.iter().all(|one| !one.contains("rmem_max")) {
        warnings.push(format!(
            "the kernel grants {} KiB of receive buffer where 8 MiB were asked for; bursts may be lost: raise net.core.rmem_max and net.core.wmem_max",
            granted.receive_buffer / 1024
        ));
    }
    if shards == 1 {
        return Ok((bound, vec![(first, granted)]));
    }
    drop(first);
    let shared = SocketOptions {
        reuse_port: true,
        ..alone
    };
    let opened: io::Result<Vec<_>> = (0..shards)
        .map(|_| dunlin_net::socket::bind_udp(bound, &shared))
        .collect();
    Ok((bound, opened?))
}

fn open_http(address: SocketAddr) -> Result<std::net::TcpListener, StartError> {
    let open = || {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    open().map_err(|error| StartError::Bind {
        what: "http",
        address,
        error,
        setting: "--http ADDR",
    })
}

/// What shards are made from.
struct Started<'a> {
    config: &'a Config,
    count: usize,
    store: Arc<dyn Store>,
    committer: Arc<Committer>,
    teller: Teller,
    known: Arc<Known>,
    directory: Arc<Directory>,
    provisioning: Provisioning,
    stats: Vec<Arc<LoopStats>>,
    last_stamp: u64,
    vault: Arc<Vault>,
    dtls: dunlin_transport::dtls::Settings,
    client_anchors: Arc<Vec<Vec<u8>>>,
    /// By shard.
    revocations: Vec<Revocations>,
}

type Running = (Arc<Vec<ShardHandle>>, Vec<JoinHandle<()>>);

impl Started<'_> {
    fn shards(&mut self, sockets: Sockets, snapshot: Snapshot) -> Result<Running, StartError> {
        let mut snapshots = self.divide(snapshot);
        let session_shards = Arc::new(self.session_shards(&snapshots));
        let (handles, inboxes): (Vec<_>, Vec<_>) = (0..self.count)
            .map(|_| mpsc::channel(INBOX_MAX))
            .map(|(inbox, receiver)| (ShardHandle { inbox }, receiver))
            .unzip();
        let handles = Arc::new(handles);
        let mut threads = Vec::with_capacity(self.count);
        let parts = sockets
            .bearers
            .into_iter()
            .zip(inboxes)
            .zip(snapshots.drain(..));
        for (index, ((sockets, inbox), snapshot)) in parts.enumerate() {
            let (told, started) = std::sync::mpsc::channel();
            let make = self.maker(index, handles.clone(), session_shards.clone())?;
            let thread = std::thread::Builder::new()
                .name(format!("shard-{index}"))
                .spawn(move || run_shard(make, sockets, snapshot, inbox, &told));
            threads.push(thread.map_err(|error| system("a thread", error))?);
            let started = started.recv().unwrap_or(Ok(()));
            started.map_err(|error| system("a socket", error))?;
        }
        Ok((handles, threads))
    }

    /// What was stored, by the shard that owns the virtual shard of each registration.
    fn divide(&self, snapshot: Snapshot) -> Vec<Snapshot> {
        let mut parts: Vec<Snapshot> = (0..self.count).map(|_| Snapshot::default()).collect();
        for (name, registration) in snapshot.registrations {
            let shard = usize::from(registration.id.virtual_shard().0) % self.count;
            self.directory.claim(&name, shard);
            parts[shard].registrations.insert(name, registration);
        }
        for (name, session) in snapshot.sessions {
            let shard = self.directory.owner(&name).unwrap_or(0);
            parts[shard].sessions.insert(name, session);
        }
        for (name, departed) in snapshot.departed {
            let shard = usize::from(departed.id.virtual_shard().0) % self.count;
            self.directory.claim(&name, shard);
            parts[shard].departed.insert(name, departed);
        }
        for (key, observation) in snapshot.observations {
            let shard = self.directory.owner(&key.0).unwrap_or(0);
            parts[shard].observations.insert(key, observation);
        }
        for (id, request) in snapshot.requests {
            let shard = self.directory.owner(&request.endpoint).unwrap_or(0);
            parts[shard].requests.insert(id, request);
        }
        for (id, run) in snapshot.bootstraps {
            let shard = usize::from(id.virtual_shard().0) % self.count;
            parts[shard].bootstraps.insert(id, run);
        }
        parts
    }

    /// Where the sessions of before this start are, by address: with one shard nobody asks.
    fn session_shards(&self, parts: &[Snapshot]) -> HashMap<SocketAddr, u16> {
        let mut shards = HashMap::new();
        if self.count == 1 {
            return shards;
        }
        for (index, part) in (0..).zip(parts) {
            for name in part.sessions.keys() {
                if let Some(Address::Udp(at)) = part.registrations.get(name).map(|one| &one.address)
                {
                    shards.insert(*at, index);
                }
            }
        }
        shards
    }

    /// Everything a shard needs that can be handed to its thread.
    fn maker(
        &self,
        index: usize,
        peers: Arc<Vec<ShardHandle>>,
        session_shards: Arc<HashMap<SocketAddr, u16>>,
    ) -> Result<impl FnOnce(Vec<(Port, UdpBearer)>) -> Shard + Send + use<>, StartError> {
        let seed = seed::draw().map_err(|error| system("entropy", error))?;
        let mut config = server_config(self.config, index, self.count);
        config.dtls = Some(self.dtls.clone());
        let client_anchors = self.client_anchors.clone();
        let revocations = self.revocations[index].clone();
        let nosec = self.config.server.nosec;
        let registry = self.known.registry();
        let submitter = self.committer.submitter().expect("it was just started");
        let (store, teller) = (self.store.clone(), self.teller.clone());
        let (directory, stats) = (self.directory.clone(), self.stats[index].clone());
        let provisioning = self.provisioning.clone();
        let (last_stamp, vault) = (self.last_stamp, self.vault.clone());
        Ok(move |bearers| {
            Shard::new(Parts {
                index,
                server: Server::new(config, registry, seed),
                nosec,
                bearers,
                client_anchors,
                revocations,
                session_shards,
                recorder: Recorder::new(last_stamp, vault),
                store,
                submitter,
                teller,
                directory,
                provisioning,
                peers,
                stats,
            })
        })
    }
}

fn server_config(config: &Config, index: usize, shards: usize) -> ServerConfig {
    let server = &config.server;
    let mut made = ServerConfig {
        owned: VirtualShards::share(index, shards),
        claims: shards > 1,
        strictness: if server.strict {
            Strictness::Strict
        } else {
            Strictness::Lenient
        },
        awake_window: Duration::from_secs(server.awake_window_s),
        queue_depth: server.queue_depth_max,
        departed_for: Duration::from_secs(server.departed_for_s),
        bootstrap: Some(BootstrapConfig::default()),
        admission: Admission::Ask,
        ..ServerConfig::default()
    };
    made.coap.token_prefix = u8::try_from(index).expect("there are at most 256 shards");
    made.coap.message_id_shard_bits = message_id_bits(shards);
    made.coap.message_id_shard = u16::try_from(index).expect("there are at most 256 shards");
    made
}

/// A shard's thread: a runtime of its own, sockets that belong to it, its part of what was stored.
fn run_shard(
    make: impl FnOnce(Vec<(Port, UdpBearer)>) -> Shard,
    sockets: Vec<(Port, Opened)>,
    snapshot: Snapshot,
    inbox: mpsc::Receiver<Input>,
    started: &std::sync::mpsc::Sender<io::Result<()>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return drop(started.send(Err(error))),
    };
    runtime.block_on(async {
        let bearers: io::Result<Vec<(Port, UdpBearer)>> = sockets
            .into_iter()
            .map(|(port, (socket, granted))| {
                let bearer = UdpBearer::from_socket(socket, granted, IoPath::default())?;
                Ok((port, bearer))
            })
            .collect();
        let mut shard = match bearers {
            Ok(bearers) => make(bearers),
            Err(error) => return drop(started.send(Err(error))),
        };
        shard.restore(snapshot);
        let _ = started.send(Ok(()));
        shard.run(inbox).await;
    });
}

fn subscribe(committer: &Committer, shards: &Arc<Vec<ShardHandle>>) {
    let shards = shards.clone();
    committer.subscribe(move |state| {
        let healthy = *state == CommitterState::Healthy;
        for shard in shards.iter() {
            // A shard with a full inbox finds out by what waits for the disk.
            let _ = shard.inbox.try_send(Input::Health(healthy));
        }
    });
}

/// Shards hear of revoked credentials.
fn watch(credentials: &Credentials, shards: &Arc<Vec<ShardHandle>>, waiting: &[Revocations]) {
    let (shards, waiting) = (shards.clone(), waiting.to_vec());
    credentials.subscribe(move |changed| {
        for (shard, waiting) in shards.iter().zip(&waiting) {
            let mut waiting = waiting.lock().expect("nobody panics with it");
            waiting.push(changed.clone());
            // A full inbox wakes the shard as well, and it looks there each turn.
            let _ = shard.inbox.try_send(Input::Revoked);
        }
    });
}

/// A session whose credential was revoked while its record was not yet removed does not live again.
fn drop_revoked(credentials: &Credentials, snapshot: &mut Snapshot) {
    let registrations = &snapshot.registrations;
    snapshot.sessions.retain(|name, _| {
        registrations.get(name).is_some_and(|registration| {
            let identity = &registration.identity;
            credentials.allows(Door::Server, identity, name).is_ok()
        })
    });
}

type HttpThread = (oneshot::Sender<()>, JoinHandle<()>);

fn serve_http(
    listener: std::net::TcpListener,
    backend: Arc<NodeBackend>,
    settings: dunlin_api::Settings,
) -> Result<HttpThread, StartError> {
    let (stop, stopped) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(HTTP_THREADS)
        .thread_name("http")
        .enable_all()
        .build()
        .map_err(|error| system("a thread", error))?;
    let thread = std::thread::Builder::new()
        .name("http".into())
        .spawn(move || {
            runtime.block_on(async move {
                let listener = match TcpListener::from_std(listener) {
                    Ok(listener) => listener,
                    Err(error) => return tracing::error!(%error, "the API cannot be served"),
                };
                tokio::spawn(keep_house(backend.store.clone()));
                let router = dunlin_api::router(backend, settings);
                let stop = async {
                    let _ = stopped.await;
                };
                dunlin_api::serve(listener, router, stop).await;
            });
        });
    Ok((stop, thread.map_err(|error| system("a thread", error))?))
}

/// Events grow old also when nothing happens: now and then the log lets go of them.
async fn keep_house(store: Arc<dyn Store>) {
    let mut pause = tokio::time::interval(HOUSEKEEPING);
    loop {
        pause.tick().await;
        let store = store.clone();
        let trimmed = tokio::task::spawn_blocking(move || store.trim(clock::wall_ms())).await;
        if let Ok(Err(error)) = trimmed {
            tracing::warn!(%error, "old events cannot be removed; it is tried again");
        }
    }
}

/// Whether an address may speak without security.
pub(crate) fn nosec_allows(nosec: config::NoSec, from: IpAddr) -> bool {
    match nosec {
        config::NoSec::Off => false,
        config::NoSec::Loopback => from.is_loopback(),
        config::NoSec::Any => true,
    }
}
