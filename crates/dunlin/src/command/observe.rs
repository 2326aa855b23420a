//! `dunlin observe`: watches values of a Client.

use clap::Args as ClapArgs;
use dunlin_lwm2m::Path;
use ureq::http::Method;

use crate::api::Api;
use crate::arguments::{Target, Waiting, encode, print_done};
use crate::sse::Follower;
use crate::table::say;
use crate::view;

/// Observe values of a Client and follow their changes
#[derive(ClapArgs)]
#[command(after_help = "Example:
  dunlin observe lamp /3303/0/5700                  until Ctrl-C; the observation stays
  dunlin observe lamp /3303/0/5700 --count 5
  dunlin observe lamp /3303/0/5700 --cancel         ends the observation")]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// End after so many values, the first one included
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Cancel the observation instead
    #[arg(long, conflicts_with = "count")]
    cancel: bool,
    /// With --cancel: reject the next notification instead of asking the Client
    #[arg(long, requires = "cancel")]
    reset: bool,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    api: Api,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let endpoint = &self.target.endpoint;
        let url = format!("{}/observe", self.target.url());
        if self.cancel {
            let query = self.waiting.query(&[("by", self.reset.then_some("reset"))]);
            let answer = self
                .api
                .ask(Method::DELETE, &format!("{url}{query}"), None)?;
            print_done(&self.api, endpoint, &answer)?;
            return Ok(());
        }
        // Listen first: a notification may come right behind the answer.
        let query = format!("?types=notified&endpoint={}", encode(endpoint));
        let mut follower = Follower::open(&self.api, &query, None)?;
        let answer = self.api.ask(
            Method::POST,
            &format!("{url}{}", self.waiting.query(&[])),
            None,
        )?;
        let mut left = self.count;
        if answer.status == 202 {
            print_done(&self.api, endpoint, &answer)?;
        } else {
            self.print(&answer.json)?;
            left = left.map(|left| left - 1);
        }
        while left != Some(0) {
            let event = follower.next()?;
            let path = event.data["path"]
                .as_str()
                .and_then(|path| path.parse::<Path>().ok());
            if path == Some(self.target.path) {
                self.print(&event.data)?;
                left = left.map(|left| left - 1);
            }
        }
        Ok(())
    }

    fn print(&self, reading: &serde_json::Value) -> anyhow::Result<()> {
        if self.api.json {
            say!("{reading}");
            return Ok(());
        }
        view::print_values(reading)
    }
}
