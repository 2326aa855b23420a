//! `dunlin discover`: what exists at a Client.

use clap::Args as ClapArgs;
use ureq::http::Method;

use crate::api::Api;
use crate::arguments::{Target, Waiting, print_done};
use crate::table::Table;
use crate::view;

/// Discover what a Client has, and the attributes that are set
#[derive(ClapArgs)]
#[command(after_help = "Example:\n  dunlin discover lamp /3/0")]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    api: Api,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let path = format!("{}/discover{}", self.target.url(), self.waiting.query(&[]));
        let answer = self.api.ask(Method::GET, &path, None)?;
        if self.api.json || answer.status == 202 {
            print_done(&self.api, &self.target.endpoint, &answer)?;
            return Ok(());
        }
        let mut table = Table::new(&["PATH", "NAME", "INSTANCES", "ATTRIBUTES"]);
        for link in answer.json["links"].as_array().into_iter().flatten() {
            let attributes = link["attributes"].as_object().into_iter().flatten();
            let mut attributes: Vec<String> = attributes
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            if let Some(version) = link["version"].as_str() {
                attributes.insert(0, format!("ver={version}"));
            }
            table.row([
                view::text(&link["path"]),
                view::text(&link["name"]),
                view::text(&link["dim"]),
                attributes.join(" "),
            ]);
        }
        Ok(table.print()?)
    }
}
