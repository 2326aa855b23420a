//! `dunlin token`: who may use the API.

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use dunlin_api::segment;
use serde_json::json;
use ureq::http::Method;

use crate::api::Api;
use crate::table::{Table, say};
use crate::view;

/// Make, list and remove tokens for the API
#[derive(ClapArgs)]
#[command(after_help = "Example:
  dunlin token add me                               the first token is always admin
  export DUNLIN_TOKEN=dunlin_…                      from now on every request needs one
  dunlin token add dashboard --role read")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make a token and print it, this once
    #[command(after_help = "Example:\n  dunlin token add dashboard --role read")]
    Add {
        /// Name: letters, digits and .-_@
        name: String,
        /// What it allows; operate without it, admin for the first one
        #[arg(long)]
        role: Option<Role>,
        #[command(flatten)]
        api: Api,
    },
    /// List the names of the tokens
    #[command(after_help = "Example:\n  dunlin token list")]
    List {
        #[command(flatten)]
        api: Api,
    },
    /// Remove a token
    #[command(after_help = "Example:\n  dunlin token remove dashboard")]
    Remove {
        /// Its name
        name: String,
        #[command(flatten)]
        api: Api,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Role {
    /// Look at everything that dunlin knows
    Read,
    /// Also talk to Clients
    Operate,
    /// Also tokens and object definitions
    Admin,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::Add { name, role, api } => {
                let role = role.map(|role| match role {
                    Role::Read => "read",
                    Role::Operate => "operate",
                    Role::Admin => "admin",
                });
                let answer = api.ask(
                    Method::POST,
                    "/tokens",
                    Some(&json!({"name": name, "role": role})),
                )?;
                if api.json {
                    say!("{}", answer.json);
                } else {
                    // Alone on standard output, so that a script can take it: TOKEN=$(dunlin token add ci)
                    say!("{}", view::text(&answer.json["token"]));
                    eprintln!(
                        "This is the token \"{name}\" with the role {}. It is not shown again.",
                        view::text(&answer.json["role"])
                    );
                }
                Ok(())
            }
            Action::List { api } => {
                let list = api.get("/tokens")?;
                if api.json {
                    say!("{}", list["tokens"]);
                    return Ok(());
                }
                let mut table = Table::new(&["NAME", "ROLE", "CREATED"]);
                for token in list["tokens"].as_array().into_iter().flatten() {
                    table.row([
                        view::text(&token["name"]),
                        view::text(&token["role"]),
                        view::time(&token["created_at"]),
                    ]);
                }
                Ok(table.print()?)
            }
            Action::Remove { name, api } => {
                api.ask(Method::DELETE, &format!("/tokens/{}", segment(&name)), None)?;
                Ok(())
            }
        }
    }
}
