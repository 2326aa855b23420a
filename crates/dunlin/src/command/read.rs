//! `dunlin read`: values of a Client.

use clap::Args as ClapArgs;
use ureq::http::Method;

use crate::api::Api;
use crate::arguments::{Target, Waiting, print_done};
use crate::view;

/// Read values from a Client
#[derive(ClapArgs)]
#[command(after_help = "Example:\n  dunlin read lamp /3/0\n  dunlin read lamp /3/0/9 --cached")]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// The last known value, without asking the Client
    #[arg(long)]
    cached: bool,
    /// Content format to ask for: tlv, json, text, opaque, or a number
    #[arg(long, value_name = "FORMAT", conflicts_with = "cached")]
    format: Option<String>,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    api: Api,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let cached = self.cached.then_some("true");
        let query = if self.cached {
            "?cached=true".to_string()
        } else {
            self.waiting
                .query(&[("cached", cached), ("format", self.format.as_deref())])
        };
        let answer = self
            .api
            .ask(Method::GET, &format!("{}{query}", self.target.url()), None)?;
        if self.api.json || answer.status == 202 {
            print_done(&self.api, &self.target.endpoint, &answer)?;
            return Ok(());
        }
        view::print_reading(&answer.json)
    }
}
