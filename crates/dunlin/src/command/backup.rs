//! `dunlin backup`: the whole store in one checksummed file.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use dunlin_node::Config;
use dunlin_store::{BackupSettings, FjallStore, StoreSettings};

/// Write the whole store into one checksummed file
#[derive(ClapArgs)]
#[command(after_help = "Example:
  dunlin backup monday.dunlin --data /var/lib/dunlin     while serve is stopped

A running serve holds its data folder; stop it first.")]
pub(crate) struct Args {
    /// The file to write; one of that name is replaced when the new one is complete
    file: PathBuf,
    /// Settings file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data folder, instead of that of the settings
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Leave the event log out
    #[arg(long)]
    without_events: bool,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let environment: Vec<(String, String)> = std::env::vars().collect();
        let config = Config::read(self.config.as_deref(), &environment)?;
        let folder = self.data.unwrap_or(config.data);
        if !folder.is_dir() {
            anyhow::bail!(
                "{} is no data folder; name it with --data DIR",
                folder.display()
            );
        }
        let store = FjallStore::open(&folder, StoreSettings::default())?;
        let settings = BackupSettings {
            at_ms: dunlin_net::clock::wall_ms(),
            with_events: !self.without_events,
        };
        let summary = store.backup(&self.file, settings)?;
        println!(
            "{}: {} rows and {} events, up to commit {}",
            self.file.display(),
            summary.rows,
            summary.events,
            summary.commit.0
        );
        Ok(())
    }
}
