//! `dunlin serve`: the Server, its API and its UI in one process.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args as ClapArgs, ValueEnum};
use dunlin_node::config::NoSec;
use dunlin_node::{Config, Data, Node};
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
        if !self.coap.is_empty() {
            config.server.coap = self.coap;
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
    for address in node.coap() {
        tracing::info!(%address, "clients are heard (coap, no security)");
    }
    tracing::info!(
        data = %config.data.display(),
        registrations = node.restored(),
        "the store is open"
    );
    for warning in node.warnings() {
        tracing::warn!("{warning}");
    }
    if config.server.nosec == NoSec::Loopback {
        tracing::warn!(
            "coaps (DTLS) is not there yet: only clients on this machine are heard; --nosec any hears all, without security"
        );
    }
    tracing::info!("ready: http://{}/", node.http());
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
