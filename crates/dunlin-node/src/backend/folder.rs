//! A backup of the store while it runs.

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;

use dunlin_api::error::{Code, Problem};
use dunlin_net::clock;
use dunlin_store::{BackupSettings, FjallStore};

use super::Done;

/// What a backup is called while it is sent; nobody else sees it.
const FILE: &str = "backup.new";

/// A store that is on a disk.
pub(crate) struct Folder {
    store: Arc<FjallStore>,
    path: PathBuf,
    /// One backup at a time: each needs as much room as the store has.
    making: tokio::sync::Mutex<()>,
}

impl Folder {
    pub(crate) fn new(store: Arc<FjallStore>, path: PathBuf) -> Self {
        Self {
            store,
            path,
            making: tokio::sync::Mutex::default(),
        }
    }

    /// The whole store as of one commit, in a file that is gone when it is closed.
    pub(super) async fn backup(&self, with_events: bool) -> Done<File> {
        let Ok(_one) = self.making.try_lock() else {
            let detail = "Another backup is being made.";
            return Err(Problem::new(Code::Overloaded, detail).retry_after(10));
        };
        let store = self.store.clone();
        let path = self.path.join(FILE);
        let settings = BackupSettings {
            at_ms: clock::wall_ms(),
            with_events,
        };
        let made = tokio::task::spawn_blocking(move || {
            store
                .backup(&path, settings)
                .map_err(|error| error.to_string())?;
            let file = File::open(&path).map_err(|error| error.to_string())?;
            // Open, it can be read to its end; a name would be left behind by a kill.
            fs::remove_file(&path).map_err(|error| error.to_string())?;
            Ok::<_, String>(file)
        });
        match made.await {
            Ok(Ok(file)) => Ok(file),
            Ok(Err(error)) => Err(Problem::new(Code::StoreUnavailable, format!("{error}."))),
            Err(_) => Err(Problem::new(Code::Internal, "The backup was interrupted.")),
        }
    }
}
