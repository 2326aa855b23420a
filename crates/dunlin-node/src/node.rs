//! Who is handed to whom: the product as something that starts and stops.
//!
//! Order of a start: folder and lock, store, what it holds, committer, teller, sockets, shards with
//! their part of what was stored, HTTP. Order of a stop: HTTP takes nothing new, shards let go what
//! waits for the disk, the committer ends, the store closes.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
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
use dunlin_server::{BootstrapConfig, BootstrapRunId, Server, ServerConfig, VirtualShards};
use dunlin_store::{
    Committer, CommitterSettings, CommitterState, Durability, FjallStore, MemoryStore, Retention,
    Store, StoreError, StoreSettings, Table,
};
use dunlin_transport::{Budget, Port};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::approach::Approaches;
use crate::backend::{Folder, NodeBackend};
use crate::config::{self, Config};
use crate::credentials::Credentials;
use crate::directory::Directory;
use crate::facts::{LoadError, Recorder};
use crate::identity::{IdentityError, ServerIdentity};
use crate::loading::{self, Loaded, Part};
use crate::profiles::Profiles;
use crate::provisioning::{self, Provisioning, ServerPublic};
use crate::record::decode;
use crate::shard::{
    INBOX_MAX, Input, LoopStats, Parts, Revocations, Shard, ShardHandle, message_id_bits,
};
use crate::telemetry::Telemetry;
use crate::teller::{self, Known, Teller};
use crate::tokens;
use crate::values::{self, Checkpoints};
use crate::vault::{Vault, VaultError};

/// Threads of the HTTP side. It waits for shards and disks, and computes little.
const HTTP_THREADS: usize = 2;

/// Commits of the log that are read again at a start, for the requests that are shown last; last values
/// may want a few more, see [`values`].
const RECALL_COMMITS: u64 = 50_000;

/// Events that are read of it at once.
const RECALL_PAGE: usize = 1_000;

/// Parts of what was stored that wait for a shard at a start.
const PARTS_UNDER_WAY: usize = 4;

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
        let submitter = committer.submitter().expect("it was just started");
        let (teller, teller_thread) = teller::start(known.clone(), Checkpoints::new(submitter))
            .map_err(|error| system("a thread", error))?;
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
            own: Some(identity.credential.clone()),
            approaches: Approaches::default(),
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
            stamps: Arc::default(),
            vault,
            credentials: credentials.clone(),
            dtls: identity.settings(config, count),
            client_anchors: Arc::new(identity.client_anchors.clone()),
            revocations: (0..count).map(|_| Arc::default()).collect(),
        };
        let (shards, threads, restored) = started.shards(sockets)?;
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
        let begun = self.backend.begin_run(endpoint, None).await;
        begun.map_err(|problem| problem.detail)
    }

    /// Begins a bootstrap run with a Client that listens there: `HOST`, `HOST:PORT`, or either behind
    /// `coap://` or `coaps://` (TS 1.0 §5.2.3.4, §7.1.2).
    ///
    /// # Errors
    /// Why it does not begin.
    pub async fn bootstrap_at(
        &self,
        endpoint: &EndpointName,
        address: &str,
    ) -> Result<BootstrapRunId, String> {
        let at = address.parse();
        let at = at.map_err(|error: dunlin_api::NoAddress| error.to_string())?;
        let begun = self.backend.begin_run(endpoint, Some(at)).await;
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

/// Brings back what is known without asking a shard: last values from their table and from what the
/// log tells since, and from the newest part of the log the requests that ended lately.
fn recall(known: &Known, store: &dyn Store, directory: &Directory) -> Result<(), LoadError> {
    let mark = values::load(&known.values, store, directory)?;
    let newest = store.newest().commit.0;
    // Commits have about one event each in a quiet fleet: begin so many commits before the end.
    let lately = newest.saturating_sub(RECALL_COMMITS);
    let begin = mark.map_or(lately, |mark| mark.min(lately));
    let mut at = store.oldest();
    if at.commit.0 < begin {
        at = dunlin_store::Position::end_of(dunlin_store::CommitNumber(begin));
    }
    // What is committed from now on, the teller learns.
    loop {
        let page = match store.read(at, RECALL_PAGE) {
            Ok(page) => page,
            // A start verifies what is not yet in the tables; `dunlin check --data` verifies the rest.
            Err(error) => {
                tracing::warn!(%error, "the log does not read; last values may be older than they were");
                break;
            }
        };
        for event in &page.events {
            let commit = event.position.commit.0;
            if commit > newest {
                break;
            }
            // An event of a later dunlin is not for us.
            let Ok(stored) = decode::<dunlin_server::Event>(&event.bytes) else {
                continue;
            };
            if mark.is_some_and(|mark| commit <= mark) {
                known.learn_end(&stored);
            } else {
                known.learn(&stored);
            }
        }
        if page.end || page.next == at || page.next.commit.0 > newest {
            break;
        }
        at = page.next;
    }
    known.values.completed();
    Ok(())
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
        // On a socket of one address there is nothing to tell apart.
        packet_info: address.ip().is_unspecified(),
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

/// What a shard takes up before it hears its Clients.
enum Stored {
    /// Some of it.
    Part(Part),
    /// That was all; and where sessions are, by address.
    All(Arc<HashMap<SocketAddr, u16>>),
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
    stamps: Arc<AtomicU64>,
    vault: Arc<Vault>,
    credentials: Credentials,
    dtls: dunlin_transport::dtls::Settings,
    client_anchors: Arc<Vec<Vec<u8>>>,
    /// By shard.
    revocations: Vec<Revocations>,
}

/// The shards, their threads, and how many registrations they have taken up.
type Running = (Arc<Vec<ShardHandle>>, Vec<JoinHandle<()>>, usize);

impl Started<'_> {
    /// Starts the shards; all of them take up their parts of what was stored while it is read.
    fn shards(&mut self, sockets: Sockets) -> Result<Running, StartError> {
        let (handles, inboxes): (Vec<_>, Vec<_>) = (0..self.count)
            .map(|_| mpsc::channel(INBOX_MAX))
            .map(|(inbox, receiver)| (ShardHandle { inbox }, receiver))
            .unzip();
        let handles = Arc::new(handles);
        let mut threads = Vec::with_capacity(self.count);
        let mut starting = Vec::with_capacity(self.count);
        let mut restoring = Vec::with_capacity(self.count);
        for (index, (sockets, inbox)) in sockets.bearers.into_iter().zip(inboxes).enumerate() {
            let (parts, stored) = std::sync::mpsc::sync_channel(PARTS_UNDER_WAY);
            restoring.push(parts);
            let (told, started) = std::sync::mpsc::channel();
            starting.push(started);
            let make = self.maker(index, handles.clone())?;
            let thread = std::thread::Builder::new()
                .name(format!("shard-{index}"))
                .spawn(move || run_shard(make, sockets, &stored, inbox, &told));
            threads.push(thread.map_err(|error| system("a thread", error))?);
        }
        let loaded = self.restore(&restoring)?;
        recall(&self.known, &*self.store, &self.directory)?;
        let restored = loaded.registrations;
        let sessions = Arc::new(loaded.session_shards);
        for shard in restoring {
            // One that could not open its sockets has said so.
            let _ = shard.send(Stored::All(sessions.clone()));
        }
        for started in starting {
            let started = started.recv().unwrap_or(Ok(()));
            started.map_err(|error| system("a socket", error))?;
        }
        Ok((handles, threads, restored))
    }

    /// Reads what was stored, and hands it to the shards.
    fn restore(&self, shards: &[SyncSender<Stored>]) -> Result<Loaded, LoadError> {
        let sources = loading::Sources {
            store: &*self.store,
            vault: &self.vault,
            credentials: &self.credentials,
            directory: &self.directory,
            known: &self.known,
            shards: self.count,
        };
        loading::load(&sources, &mut |shard, part| {
            let _ = shards[shard].send(Stored::Part(part));
        })
    }

    /// Everything a shard needs that can be handed to its thread.
    fn maker(
        &self,
        index: usize,
        peers: Arc<Vec<ShardHandle>>,
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
        let (stamps, vault) = (self.stamps.clone(), self.vault.clone());
        Ok(move |bearers| {
            Shard::new(Parts {
                index,
                server: Server::new(config, registry, seed),
                nosec,
                bearers,
                client_anchors,
                revocations,
                recorder: Recorder::new(stamps, vault),
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
        budget: (server.client_messages_per_second > 0).then_some(Budget {
            burst: server.client_messages_burst,
            per_second: server.client_messages_per_second,
        }),
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
    stored: &std::sync::mpsc::Receiver<Stored>,
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
        loop {
            match stored.recv() {
                Ok(Stored::Part(part)) => shard.restore(part),
                Ok(Stored::All(sessions)) => break shard.learn_sessions(sessions),
                // What was stored does not read: nothing is started.
                Err(_) => return,
            }
        }
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
