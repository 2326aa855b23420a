//! `dunlin execute`: runs a Resource.

use clap::Args as ClapArgs;
use dunlin_lwm2m::Level;
use serde_json::json;
use ureq::http::Method;

use crate::api::Api;
use crate::arguments::{Target, Waiting, print_done};

/// Execute a Resource of a Client
#[derive(ClapArgs)]
#[command(
    after_help = "Example:\n  dunlin execute lamp /3/0/4\n  dunlin execute lamp /3311/0/5850 \"0='on',1\""
)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Arguments: digits with or without a value, such as 0='on',1
    arguments: Option<String>,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    api: Api,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        self.target.require(&[Level::Resource], "/3/0/4")?;
        let body = json!({ "arguments": self.arguments });
        let path = format!("{}{}", self.target.url(), self.waiting.query(&[]));
        let answer = self.api.ask(Method::POST, &path, Some(&body))?;
        print_done(&self.api, &self.target.endpoint, &answer)?;
        Ok(())
    }
}
