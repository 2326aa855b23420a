//! `dunlin list`: the Clients.

use clap::Args as ClapArgs;
use serde_json::Value as Json;

use crate::api::Api;
use crate::arguments::encode;
use crate::table::{Table, say};
use crate::view;

/// Clients on one page of the API.
const PAGE: usize = 500;

/// List Clients
#[derive(ClapArgs)]
#[command(after_help = "Example:\n  dunlin list --query pump --limit 20")]
pub(crate) struct Args {
    /// Only Clients whose endpoint name contains this
    #[arg(long, short, value_name = "TEXT")]
    query: Option<String>,
    /// Clients whose registration has expired in the last days, instead of registered ones
    #[arg(long)]
    expired: bool,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[command(flatten)]
    api: Api,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let limit = self.limit as usize;
        let mut clients: Vec<Json> = Vec::new();
        let mut cursor: Option<String> = None;
        let mut total = None;
        loop {
            let mut query = format!("/clients?limit={}", PAGE.min(limit - clients.len()));
            if let Some(text) = &self.query {
                query.push_str(&format!("&q={}", encode(text)));
            }
            if self.expired {
                query.push_str("&registered=false");
            }
            if let Some(cursor) = &cursor {
                query.push_str(&format!("&cursor={}", encode(cursor)));
            }
            let mut page = self.api.get(&query)?;
            if let Json::Array(list) = page["clients"].take() {
                clients.extend(list);
            }
            total = page["total"].as_u64().or(total);
            cursor = page["next"].as_str().map(ToString::to_string);
            if cursor.is_none() || clients.len() >= limit {
                break;
            }
        }
        if self.api.json {
            say!("{}", Json::Array(clients));
            return Ok(());
        }
        print(&clients)?;
        if cursor.is_some() {
            let rest = total
                .map(|total| format!(" of {total}"))
                .unwrap_or_default();
            eprintln!(
                "These are the first {}{rest}; --limit shows more.",
                clients.len()
            );
        }
        Ok(())
    }
}

fn print(clients: &[Json]) -> anyhow::Result<()> {
    let mut table = Table::new(&[
        "ENDPOINT",
        "PRESENCE",
        "LAST CONTACT",
        "LIFETIME",
        "BINDING",
        "SECURITY",
        "ADDRESS",
        "OBJECTS",
    ]);
    for client in clients {
        let objects = client["objects"].as_object();
        let mut objects: Vec<u16> = objects
            .into_iter()
            .flat_map(|map| map.keys())
            .filter_map(|id| id.parse().ok())
            .collect();
        objects.sort_unstable();
        let objects: Vec<String> = objects.iter().map(ToString::to_string).collect();
        table.row([
            view::text(&client["endpoint"]),
            view::text(&client["presence"]),
            view::time(&client["last_contact_at"]),
            format!("{} s", client["lifetime_s"]),
            view::text(&client["binding"]),
            view::text(&client["security"]),
            view::text(&client["address"]),
            objects.join(" "),
        ]);
    }
    Ok(table.print()?)
}
