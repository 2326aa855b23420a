//! `dunlin bootstrap`: begin a bootstrap run, and how runs went.

use anyhow::bail;
use clap::{Args as ClapArgs, Subcommand};
use dunlin_api::segment;
use serde_json::Value as Json;
use ureq::http::Method;

use crate::api::Api;
use crate::table::{Table, say};
use crate::view;

/// Bootstrap a Client now, or show how bootstrap runs went
#[derive(ClapArgs)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Example:
  dunlin bootstrap lamp            where it registered or was bootstrapped last
  dunlin bootstrap lamp --address 192.0.2.7:5684
  dunlin bootstrap history lamp"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// Endpoint name of the Client
    endpoint: Option<String>,
    /// Where the Client listens: HOST or HOST:PORT, or coap://HOST without security
    #[arg(long, value_name = "HOST:PORT", requires = "endpoint")]
    address: Option<String>,
    #[command(flatten)]
    api: Api,
}

#[derive(Subcommand)]
enum Action {
    /// Show bootstrap runs, the newest first
    #[command(
        after_help = "Example:\n  dunlin bootstrap history\n  dunlin bootstrap history lamp --steps"
    )]
    History {
        /// Endpoint name; the last runs of all without it
        endpoint: Option<String>,
        /// Show every step
        #[arg(long)]
        steps: bool,
        #[command(flatten)]
        api: Api,
    },
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match (self.action, self.endpoint) {
            (
                Some(Action::History {
                    endpoint,
                    steps,
                    api,
                }),
                _,
            ) => history(&api, endpoint.as_deref(), steps),
            (None, Some(endpoint)) => {
                let mut path = format!("/clients/{}/bootstrap", segment(&endpoint));
                if let Some(address) = &self.address {
                    path.push_str("?address=");
                    path.push_str(&view::query_value(address));
                }
                let answer = self.api.ask(Method::POST, &path, None)?.json;
                if self.api.json {
                    say!("{answer}");
                } else {
                    eprintln!("It has begun; 'dunlin bootstrap history' shows how it goes.");
                }
                Ok(())
            }
            (None, None) => {
                bail!("name the Client: dunlin bootstrap ENDPOINT, or dunlin bootstrap history")
            }
        }
    }
}

fn history(api: &Api, endpoint: Option<&str>, steps: bool) -> anyhow::Result<()> {
    let query = endpoint
        .map(|name| format!("?endpoint={}", view::query_value(name)))
        .unwrap_or_default();
    let list = api.get(&format!("/bootstrap/runs{query}"))?;
    if api.json {
        say!("{}", list["runs"]);
        return Ok(());
    }
    let runs = list["runs"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if runs.is_empty() {
        eprintln!("There were no bootstrap runs.");
        return Ok(());
    }
    if steps {
        return by_step(runs);
    }
    let mut table = Table::new(&[
        "STARTED", "ENDPOINT", "BY", "PROFILE", "SECURITY", "STATE", "WHY",
    ]);
    for run in runs {
        table.row([
            view::time(&run["started_at"]),
            view::text(&run["endpoint"]),
            view::text(&run["initiator"]),
            view::text(&run["profile"]),
            view::text(&run["security"]),
            view::text(&run["state"]),
            view::text(&run["reason"]),
        ]);
    }
    Ok(table.print()?)
}

fn by_step(runs: &[Json]) -> anyhow::Result<()> {
    let mut table = Table::new(&["STARTED", "ENDPOINT", "STEP", "PATH", "OUTCOME", "ANSWER"]);
    for run in runs {
        for step in run["steps"].as_array().into_iter().flatten() {
            table.row([
                view::time(&run["started_at"]),
                view::text(&run["endpoint"]),
                view::text(&step["operation"]),
                view::text(&step["path"]),
                view::text(&step["outcome"]).replace('_', " "),
                view::text(&step["code"]),
            ]);
        }
    }
    Ok(table.print()?)
}
