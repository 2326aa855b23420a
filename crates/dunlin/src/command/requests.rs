//! `dunlin requests`: what waits for Clients, and taking it back.

use clap::{Args as ClapArgs, Subcommand};
use dunlin_api::segment;
use serde_json::Value as Json;
use ureq::http::Method;

use crate::api::Api;
use crate::sse::Follower;
use crate::table::{Table, say};
use crate::view;

/// Show and cancel requests that wait for Clients
#[derive(ClapArgs)]
#[command(after_help = "Example:\n  dunlin requests list meter\n  dunlin requests cancel ID")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List the requests for a Client, or for all
    #[command(after_help = "Example:\n  dunlin requests list meter")]
    List {
        /// Endpoint name; all Clients without it
        endpoint: Option<String>,
        #[command(flatten)]
        api: Api,
    },
    /// Show a request and how it ended
    #[command(after_help = "Example:\n  dunlin requests show ID\n  dunlin requests show ID --wait")]
    Show {
        /// The request
        id: String,
        /// Wait until it has ended
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        api: Api,
    },
    /// Cancel a request that has not ended
    #[command(after_help = "Example:\n  dunlin requests cancel ID")]
    Cancel {
        /// The request
        id: String,
        #[command(flatten)]
        api: Api,
    },
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::List { endpoint, api } => {
                let path = match &endpoint {
                    Some(endpoint) => format!("/clients/{}/requests", segment(endpoint)),
                    None => "/requests?limit=1000".into(),
                };
                let list = api.get(&path)?;
                if api.json {
                    say!("{}", list["requests"]);
                    return Ok(());
                }
                print(
                    list["requests"]
                        .as_array()
                        .map(Vec::as_slice)
                        .unwrap_or_default(),
                )
            }
            Action::Show { id, wait, api } => {
                let path = format!("/requests/{}", segment(&id));
                // Listen before looking, or the end could come in between.
                let mut follower = match wait {
                    true => Some(Follower::open(&api, "?types=completed", None)?),
                    false => None,
                };
                let mut request = api.get(&path)?;
                while let (Some(follower), true) = (&mut follower, request["ended_at"].is_null()) {
                    let event = follower.next()?;
                    if event.data["request"]["id"] == request["id"] {
                        request = api.get(&path)?;
                    }
                }
                show(&api, &request)
            }
            Action::Cancel { id, api } => {
                let answer =
                    api.ask(Method::DELETE, &format!("/requests/{}", segment(&id)), None)?;
                show(&api, &answer.json)
            }
        }
    }
}

fn print(requests: &[Json]) -> anyhow::Result<()> {
    let mut table = Table::new(&[
        "ID",
        "ENDPOINT",
        "OPERATION",
        "PATH",
        "STATE",
        "CREATED",
        "EXPIRES",
        "OUTCOME",
    ]);
    for request in requests {
        table.row([
            view::text(&request["id"]),
            view::text(&request["endpoint"]),
            view::text(&request["operation"]),
            view::text(&request["path"]),
            view::text(&request["state"]),
            view::time(&request["created_at"]),
            view::time(&request["expires_at"]),
            view::outcome(&request["outcome"]),
        ]);
    }
    Ok(table.print()?)
}

fn show(api: &Api, request: &Json) -> anyhow::Result<()> {
    if api.json {
        say!("{request}");
        return Ok(());
    }
    print(std::slice::from_ref(request))?;
    let outcome = &request["outcome"];
    if outcome["node"].is_object() {
        say!("");
        let reading = serde_json::json!({"path": request["path"], "node": outcome["node"]});
        view::print_reading(&reading)?;
    }
    if let Some(detail) = outcome["problem"]["detail"].as_str() {
        say!(
            "{}",
            crate::table::plain(&format!(
                "{detail} {}",
                view::text(&outcome["problem"]["remedy"])
            ))
        );
    }
    Ok(())
}
