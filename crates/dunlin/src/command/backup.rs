//! `dunlin backup`: the whole store in one checksummed file.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args as ClapArgs;
use dunlin_node::Config;
use dunlin_store::{BackupSettings, BackupSummary, FjallStore, StoreSettings};
use ureq::http::Method;

use crate::api::Api;
use crate::table::say;

/// Write the whole store into one checksummed file
#[derive(ClapArgs)]
#[command(after_help = "Example:
  dunlin backup monday.dunlin --running                  of the serve that runs; DUNLIN_API says where
  dunlin backup monday.dunlin --data /var/lib/dunlin     while serve is stopped

Two files of the data folder are never in a backup; keep them in another place:
  key                       without it a backup opens no credential and no session
  server.key, server.crt    who the Server is to Clients with a raw public key or certificate")]
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
    /// Ask the running serve for it, which goes on meanwhile
    #[arg(long, conflicts_with_all = ["config", "data"])]
    running: bool,
    #[command(flatten)]
    api: Api,
}

impl Args {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let summary = if self.running {
            self.download()?
        } else {
            self.write()?
        };
        say!(
            "{}: {} rows and {} events, up to commit {}",
            self.file.display(),
            summary.rows,
            summary.events,
            summary.commit.0
        );
        // Not in the table's stream: scripts read that.
        eprintln!(
            "Not in it: the key file (key) and the Server's own key (server.key, server.crt). Keep them in another place."
        );
        Ok(())
    }

    /// Beside its place first, and checked, so that what is there already is replaced by a whole one.
    fn download(&self) -> anyhow::Result<BackupSummary> {
        let mut aside = self.file.clone().into_os_string();
        aside.push(".new");
        let aside = PathBuf::from(aside);
        let summary = self.fetch(&aside);
        match summary {
            Ok(summary) => {
                std::fs::rename(&aside, &self.file)?;
                Ok(summary)
            }
            Err(error) => {
                let _ = std::fs::remove_file(&aside);
                Err(error)
            }
        }
    }

    fn fetch(&self, aside: &Path) -> anyhow::Result<BackupSummary> {
        let mut file =
            File::create(aside).with_context(|| format!("cannot write {}", aside.display()))?;
        let path = format!("/backup?with_events={}", !self.without_events);
        let mut backup = self.api.download(Method::POST, &path)?;
        std::io::copy(&mut backup, &mut file).context("the backup broke off")?;
        file.sync_all()?;
        Ok(dunlin_store::verify_backup(aside)?)
    }

    fn write(&self) -> anyhow::Result<BackupSummary> {
        let environment: Vec<(String, String)> = std::env::vars().collect();
        let config = Config::read(self.config.as_deref(), &environment)?;
        let folder = self.data.clone().unwrap_or(config.data);
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
        Ok(store.backup(&self.file, settings)?)
    }
}
