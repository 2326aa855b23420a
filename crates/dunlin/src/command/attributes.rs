//! `dunlin attributes`: when a Client shall notify.

use anyhow::anyhow;
use clap::Args as ClapArgs;
use ureq::http::Method;

use crate::api::Api;
use crate::arguments::{Target, Waiting, print_done};

/// Write notification attributes: pmin, pmax, gt, lt, st
#[derive(ClapArgs)]
#[command(
    after_help = "Example:\n  dunlin attributes lamp /3303/0/5700 pmin=10 gt=25.5\n  dunlin attributes lamp /3303/0/5700 gt=      unsets gt"
)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// NAME=VALUE, or NAME= to unset it
    #[arg(required = true, value_name = "ATTRIBUTE")]
    attributes: Vec<String>,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    api: Api,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let mut parameters = Vec::new();
        for text in &self.attributes {
            let (name, value) = text
                .split_once('=')
                .ok_or_else(|| anyhow!("\"{text}\": write NAME=VALUE, or NAME= to unset it"))?;
            if !["pmin", "pmax", "gt", "lt", "st"].contains(&name) {
                anyhow::bail!("\"{name}\" is none of pmin, pmax, gt, lt and st");
            }
            parameters.push((name, Some(value)));
        }
        let path = format!(
            "{}/attributes{}",
            self.target.url(),
            self.waiting.query(&parameters)
        );
        let answer = self.api.ask(Method::PUT, &path, None)?;
        print_done(&self.api, &self.target.endpoint, &answer)?;
        Ok(())
    }
}
