//! `dunlin serve`: the Server, its API and its UI in one process.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args as ClapArgs, ValueEnum};
use dunlin_node::config::NoSec;
use dunlin_node::{Config, Data, Node, Port};
use tracing_subscriber::EnvFilter;

/// Run the LwM2M Server with REST API, UI and metrics
#[derive(ClapArgs)]
#[command(after_help = "Example:
  dunlin serve                                        needs no configuration
  dunlin serve --data /var/lib/dunlin --nosec any     hear clients without security from everywhere
  DUNLIN__HTTP__BIND=127.0.0.1:9000 dunlin serve      settings come from the environment as well")]
pub(crate) struct Args {
    /// Settings file; docs/reference/config.md lists every setting
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data folder [default: dunlin-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where clients without security are heard; may be given more than once [default: port 5683 of all addresses]
    #[arg(long, value_name = "ADDR")]
    coap: Vec<SocketAddr>,
    /// Where clients with DTLS are heard [default: port 5684]. With any of these four given, the others are closed
    #[arg(long, value_name = "ADDR")]
    coaps: Vec<SocketAddr>,
    /// Where the Bootstrap-Server hears clients without security [default: port 5783]
    #[arg(long, value_name = "ADDR")]
    bootstrap_coap: Vec<SocketAddr>,
    /// Where the Bootstrap-Server hears clients with DTLS [default: port 5784]
    #[arg(long, value_name = "ADDR")]
    bootstrap_coaps: Vec<SocketAddr>,
    /// Where REST, UI and metrics answer [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    http: Option<SocketAddr>,
    /// Who may register without security [default: loopback]
    #[arg(long)]
    nosec: Option<NoSecFlag>,
    /// Shards, one thread each [default: one per core]
    #[arg(long, value_name = "N")]
    shards: Option<usize>,
}

#[derive(Clone, Copy, ValueEnum)]
enum NoSecFlag {
    /// Nobody
    Off,
    /// Clients on this machine
    Loopback,
    /// Everybody
    Any,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let config = self.settings()?;
        start_logs(&config)?;
        let node = Node::start(&config, &Data::Folder)?;
        announce(&config, &node);
        wait_for_end(&node)?;
        tracing::info!("stopping");
        node.stop();
        Ok(())
    }

    fn settings(self) -> anyhow::Result<Config> {
        let environment: Vec<(String, String)> = std::env::vars().collect();
        let mut config = Config::read(self.config.as_deref(), &environment)?;
        if let Some(data) = self.data {
            config.data = data;
        }
        let server = &mut config.server;
        let given = [
            &self.coap,
            &self.coaps,
            &self.bootstrap_coap,
            &self.bootstrap_coaps,
        ];
        if given.iter().any(|addresses| !addresses.is_empty()) {
            server.coap = self.coap;
            server.coaps = self.coaps;
            server.bootstrap_coap = self.bootstrap_coap;
            server.bootstrap_coaps = self.bootstrap_coaps;
        }
        if let Some(http) = self.http {
            config.http.bind = http;
        }
        if let Some(shards) = self.shards {
            config.shards = shards;
        }
        if let Some(nosec) = self.nosec {
            config.server.nosec = match nosec {
                NoSecFlag::Off => NoSec::Off,
                NoSecFlag::Loopback => NoSec::Loopback,
                NoSecFlag::Any => NoSec::Any,
            };
        }
        Ok(config)
    }
}

/// Logs go to standard error, so that what a command prints can be piped.
pub(crate) fn start_logs(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log.filter)
        .with_context(|| format!("log.filter = \"{}\"", config.log.filter))?;
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let started = if config.log.json {
        logs.json().try_init()
    } else {
        logs.try_init()
    };
    started.map_err(|error| anyhow::anyhow!("logs cannot be started: {error}"))
}

fn announce(config: &Config, node: &Node) {
    for (port, address) in node.doors() {
        tracing::info!(%address, "{}", said_of(*port, config.server.nosec));
    }
    tracing::info!(
        data = %config.data.display(),
        registrations = node.restored(),
        "the store is open"
    );
    for warning in node.warnings() {
        tracing::warn!("{warning}");
    }
    tracing::info!("ready: http://{}/", node.http());
}

/// What is heard at a door.
fn said_of(port: Port, nosec: NoSec) -> String {
    let who = match port.is_bootstrap() {
        true => "clients that bootstrap are heard",
        false => "clients are heard",
    };
    let how = match (port.is_secure(), nosec) {
        (true, _) => "DTLS",
        (false, NoSec::Off) => "no security: nobody is let in, --nosec is off",
        (false, NoSec::Loopback) => "no security: from this machine alone, --nosec any lets all in",
        (false, NoSec::Any) => "no security, from everywhere",
    };
    format!("{who} ({}, {how})", port.name())
}

/// Waits for Ctrl-C or the signal to end, or for a shard that cannot go on.
fn wait_for_end(node: &Node) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut look = tokio::time::interval(std::time::Duration::from_secs(1));
        let mut end = std::pin::pin!(interrupted());
        loop {
            tokio::select! {
                ended = &mut end => return ended,
                _ = look.tick() => if !node.is_alive() {
                    anyhow::bail!("a shard has ended because it could not keep its promises; see the log above");
                }
            }
        }
    })
}

/// Ends when the process is told to.
pub(crate) async fn interrupted() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = tokio::signal::ctrl_c() => ended?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
