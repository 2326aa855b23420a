//! `dunlin fleet`: many simulated Clients in one process, against any server.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args as ClapArgs;
use dunlin_sim::fleet::{FleetSettings, Scenario, plot, run};
use serde_json::json;

use crate::api::Api;

/// How long the yardstick measures unless told otherwise.
const YARDSTICK_S: f64 = 5.0;

/// Simulate many clients against a server, or measure this machine's UDP
#[derive(ClapArgs)]
#[command(after_help = "Example:
  dunlin fleet --server coap://127.0.0.1:5683 --clients 1000 --duration 60
  dunlin fleet --server coap://127.0.0.1:5683 --clients 50000 --rate 5000 --scenario meters.toml --plot run.svg
  dunlin fleet --server coaps://127.0.0.1 --clients 1000 --credentials keys.csv && dunlin credential import keys.csv
  dunlin fleet --server coaps://127.0.0.1 --clients 1000
  dunlin fleet --yardstick                            what this machine can do in bare UDP")]
pub(crate) struct Args {
    /// The server: coap://HOST or coap://HOST:PORT, or coaps:// for DTLS with a pre-shared key for each client
    #[arg(long, value_name = "URI", required_unless_present = "yardstick")]
    server: Option<String>,
    /// How many clients
    #[arg(long, value_name = "N", default_value_t = 100)]
    clients: u32,
    /// How many begin to register in a second
    #[arg(long, value_name = "R")]
    rate: Option<f64>,
    /// What the clients are like (docs/reference/fleet.md)
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Seconds until the end; without it the run ends when all have registered
    #[arg(long, value_name = "S")]
    duration: Option<f64>,
    /// The number of the first client, so that several fleets stand beside each other
    #[arg(long, value_name = "N", default_value_t = 0)]
    first: u32,
    /// Write down what the server acknowledged, one JSON object per line
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// Write the keys of the clients for 'dunlin credential import' to this file, and run nothing
    #[arg(long, value_name = "FILE")]
    credentials: Option<PathBuf>,
    /// Where chance comes from: the same seed chooses the same
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Draw rates and latency over time into this SVG file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Ask so many clients a second through the REST API, once all have registered, and report how long that takes
    #[arg(long, value_name = "R", requires = "duration")]
    reads: Option<f64>,
    #[command(flatten)]
    api: Api,
    /// Measure bare UDP on this machine instead
    #[arg(long, conflicts_with_all = ["server", "scenario", "ledger", "plot"])]
    yardstick: bool,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let duration = self.duration.map(seconds).transpose()?;
        if self.yardstick {
            return yardstick(
                duration.unwrap_or(Duration::from_secs_f64(YARDSTICK_S)),
                self.api.json,
            );
        }
        let server = self.server.as_deref().unwrap_or_default();
        let mut settings = FleetSettings::new(server, self.clients)?;
        if let Some(rate) = self.rate {
            settings.rate = rate;
        }
        if let Some(path) = &self.scenario {
            settings.scenario = Scenario::read(path)?;
        }
        settings.first = self.first;
        if let Some(path) = &self.credentials {
            return dunlin_sim::fleet::write_credentials(&settings, path);
        }
        settings.duration = duration;
        settings.ledger = self.ledger;
        settings.seed = self.seed;
        settings.progress = true;
        settings.reads = self.reads.map(|per_s| self.api.reads(per_s)).transpose()?;
        settings.stop_on_interrupt = true;
        let report = run(settings)?;
        if let Some(path) = &self.plot {
            let title = format!("dunlin fleet: {} Clients against {server}", self.clients);
            std::fs::write(path, plot::svg(&report, &title))
                .with_context(|| format!("the picture {} cannot be written", path.display()))?;
        }
        if self.api.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            println!("{report}");
        }
        Ok(())
    }
}

fn seconds(seconds: f64) -> anyhow::Result<Duration> {
    Duration::try_from_secs_f64(seconds)
        .with_context(|| format!("--duration {seconds}: give a number of seconds above 0"))
}

fn yardstick(duration: Duration, as_json: bool) -> anyhow::Result<()> {
    let measured = dunlin_net::yardstick::run(duration).context("the yardstick cannot measure")?;
    if as_json {
        let pairs = json!({
            "pairs_per_s": measured.pairs_per_s.round(),
            "pairs_per_cpu_s": measured.pairs_per_cpu_s.round(),
            "server_cpu": measured.server_cpu,
        });
        println!("{}", serde_json::to_string_pretty(&pairs)?);
        return Ok(());
    }
    println!(
        "bare UDP on this machine: {:.0} request/response pairs per second, {:.0} per CPU-second of the answering thread ({:.0} % of a core)",
        measured.pairs_per_s,
        measured.pairs_per_cpu_s,
        measured.server_cpu * 100.0
    );
    Ok(())
}
