//! What survives the program: one file, replaced as a whole and durably, in a folder that one process
//! owns at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, bail};

/// The file in the folder.
const FILE: &str = "client.state";

/// What is written first, and then takes the name of [`FILE`].
const NEXT: &str = "client.state.next";

/// Locked as long as the process lives.
const LOCK: &str = "client.lock";

/// Where the state is kept: in a folder, or in memory alone, where it survives a reboot that a
/// Server orders and nothing else.
#[derive(Clone, Debug)]
pub(super) struct State {
    folder: Option<Arc<Folder>>,
    latest: Arc<Mutex<Option<Vec<u8>>>>,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// Holds the lock.
    _lock: File,
}

impl State {
    pub(super) fn in_memory() -> Self {
        Self {
            folder: None,
            latest: Arc::default(),
        }
    }

    /// Opens a folder, made if it is not there, for this process alone.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        fs::create_dir_all(path).with_context(|| format!("--state {shown}: cannot be made"))?;
        let lock = File::create(path.join(LOCK))
            .with_context(|| format!("--state {shown}: cannot be written to"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "--state {shown}: another dunlin client uses this folder; stop it, or give this one a folder of its own"
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("--state {shown}: cannot be locked"));
            }
        }
        let latest = match fs::read(path.join(FILE)) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                return Err(error).with_context(|| format!("--state {shown}: cannot be read"));
            }
        };
        Ok(Self {
            folder: Some(Arc::new(Folder {
                path: path.to_owned(),
                _lock: lock,
            })),
            latest: Arc::new(Mutex::new(latest)),
        })
    }

    /// What was kept last.
    pub(super) fn read(&self) -> Option<Vec<u8>> {
        self.latest
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Where it is, for people; `otherwise` when it is nowhere.
    pub(super) fn name(&self, otherwise: &str) -> String {
        match &self.folder {
            Some(folder) => folder.path.join(FILE).display().to_string(),
            None => otherwise.to_owned(),
        }
    }

    /// Keeps this in place of what was kept before. When it returns well, a power cut does not
    /// bring the old state back; when it does not, the old state stands.
    pub(super) fn keep(&self, state: &[u8]) -> io::Result<()> {
        if let Some(folder) = &self.folder {
            let next = folder.path.join(NEXT);
            // Accounts may hold keys one day: nobody else reads this.
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&next)?;
            file.write_all(state)?;
            file.sync_all()?;
            fs::rename(&next, folder.path.join(FILE))?;
            sync_folder(&folder.path)?;
        }
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(state.to_vec());
        Ok(())
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) -> anyhow::Result<()> {
        if let Some(folder) = &self.folder {
            let file = folder.path.join(FILE);
            match fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error)
                        .with_context(|| format!("{}: cannot be removed", file.display()));
                }
                _ => {}
            }
            sync_folder(&folder.path)?;
        }
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }
}

/// A rename is durable when the folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_by_the_next_process_and_cleared_by_a_factory_reset() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/down");
        let state = State::open(&path).unwrap();
        assert_eq!(state.read(), None);
        state.keep(b"one").unwrap();
        state.keep(b"two").unwrap();
        assert!(!path.join(NEXT).exists());
        drop(state);
        let mut state = State::open(&path).unwrap();
        assert_eq!(state.read().as_deref(), Some(&b"two"[..]));
        state.clear().unwrap();
        assert_eq!(state.read(), None);
        drop(state);
        assert_eq!(State::open(&path).unwrap().read(), None);
    }

    #[test]
    fn a_folder_belongs_to_one_process() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        let error = State::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("another dunlin client"), "{error}");
        drop(state);
        assert!(State::open(folder.path()).is_ok());
    }

    #[test]
    fn a_half_written_state_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        state.keep(b"good").unwrap();
        drop(state);
        fs::write(folder.path().join(NEXT), b"ba").unwrap();
        let state = State::open(folder.path()).unwrap();
        assert_eq!(state.read().as_deref(), Some(&b"good"[..]));
    }
}
