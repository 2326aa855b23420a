//! `dunlin delete`: removes an Object Instance.

use clap::Args as ClapArgs;
use dunlin_lwm2m::Level;
use ureq::http::Method;

use crate::api::Api;
use crate::arguments::{Target, Waiting, print_done};

/// Delete an Object Instance of a Client
#[derive(ClapArgs)]
#[command(after_help = "Example:\n  dunlin delete lamp /1/1")]
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
        self.target.require(&[Level::Instance], "/1/1")?;
        let path = format!("{}{}", self.target.url(), self.waiting.query(&[]));
        let answer = self.api.ask(Method::DELETE, &path, None)?;
        print_done(&self.api, &self.target.endpoint, &answer)?;
        Ok(())
    }
}
