//! `dunlin knocks`: who was refused, and what would let them in.

use clap::Args as ClapArgs;

use crate::api::Api;
use crate::table::{Table, say};
use crate::view;

/// Show who was refused since the Server started, and what would let them in
#[derive(ClapArgs)]
#[command(after_help = "Example:\n  dunlin knocks")]
pub(crate) struct Args {
    #[command(flatten)]
    api: Api,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let list = self.api.get("/knocks")?;
        if self.api.json {
            say!("{}", list["knocks"]);
            return Ok(());
        }
        let knocks = list["knocks"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        if knocks.is_empty() {
            eprintln!("Nobody was refused since the Server started.");
            return Ok(());
        }
        let mut table = Table::new(&["LAST", "TIMES", "FROM", "ENDPOINT", "WHY"]);
        for knock in knocks {
            let why = [&knock["reason"], &knock["remedy"]]
                .map(view::text)
                .join(" ");
            table.row([
                view::time(&knock["last_at"]),
                view::text(&knock["count"]),
                view::text(&knock["address"]),
                view::text(&knock["endpoint"]),
                why.trim().to_string(),
            ]);
        }
        Ok(table.print()?)
    }
}
