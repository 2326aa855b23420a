//! `dunlin events`: what happens, from a position on.

use clap::Args as ClapArgs;
use serde_json::json;

use crate::api::Api;
use crate::arguments::encode;
use crate::sse::Follower;
use crate::table::say;
use crate::view;

/// Follow events
#[derive(ClapArgs)]
#[command(after_help = "Example:
  dunlin events                                     from now on, until Ctrl-C
  dunlin events --after start --types registered,notified --count 10")]
pub(crate) struct Args {
    /// Begin after this position: the id of an event, or 'start' for the oldest that is kept
    #[arg(long, value_name = "POSITION")]
    after: Option<String>,
    /// Only these types, with commas between
    #[arg(long, value_name = "TYPES")]
    types: Option<String>,
    /// Only events of this Client
    #[arg(long, value_name = "ENDPOINT")]
    endpoint: Option<String>,
    /// End after so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    api: Api,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let mut query = String::new();
        for (name, value) in [("types", &self.types), ("endpoint", &self.endpoint)] {
            if let Some(value) = value {
                query.push(if query.is_empty() { '?' } else { '&' });
                query.push_str(&format!("{name}={}", encode(value)));
            }
        }
        let mut follower = Follower::open(&self.api, &query, self.after.clone())?;
        let mut left = self.count;
        while left != Some(0) {
            let event = follower.next()?;
            if self.api.json {
                say!(
                    "{}",
                    json!({"id": event.id, "type": event.kind, "data": event.data})
                );
            } else {
                say!("{}", view::event_line(&event.kind, &event.data));
            }
            left = left.map(|left| left - 1);
        }
        Ok(())
    }
}
