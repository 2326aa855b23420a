//! The package of the Firmware Update Object on this machine: where it is kept, how it comes over HTTP, and the
//! program that checks and installs it (`--firmware-hook`).
//!
//! The program is called as `CMD STEP FILE`; what it says by its exit status is an Update Result:
//!
//! | step | 0 | 1 | 2 | anything else |
//! |---|---|---|---|---|
//! | `verify` | good; lines `name=` and `version=` are PkgName and PkgVersion | 5, damaged | 6, no package of ours | 5 |
//! | `install` | 1, installed | 8 | 8 | 8 |
//! | `confirm`, after a restart while installing | 1, installed | 8 | 8 | 8 |

mod download;
mod store;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use dunlin_client::object::{Delivery, FirmwareUpdate, PullProtocol};
use dunlin_client::{Client, NeedId, PackageDone, PackageFault, PackageStep, Sample};
use dunlin_lwm2m::{Instance, ObjectId};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use self::download::Downloader;
use self::store::Store;
use super::program::Program;

/// How long a package may be checked.
const VERIFY_LIMIT: Duration = Duration::from_secs(300);

/// How long a package may be installed, by a program that does not restart the machine.
const INSTALL_LIMIT: Duration = Duration::from_secs(3_600);

/// The answer to a step that took longer.
pub(super) type PackageAnswer = (NeedId, Result<PackageDone, PackageFault>);

/// A place for one package.
#[derive(Debug)]
pub(super) struct Packages {
    store: Arc<Mutex<Store>>,
    hook: String,
    downloader: Downloader,
    answers: mpsc::UnboundedSender<PackageAnswer>,
}

/// What the command line says of packages.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// The program.
    pub(super) hook: String,
    /// Whom HTTPS trusts.
    pub(super) authorities: Option<PathBuf>,
    /// Where the package is kept.
    pub(super) folder: PathBuf,
}

impl Packages {
    pub(super) fn open(
        settings: &Settings,
        answers: mpsc::UnboundedSender<PackageAnswer>,
    ) -> anyhow::Result<Self> {
        let store = Store::open(&settings.folder)
            .with_context(|| format!("{}: cannot be written to", settings.folder.display()))?;
        Ok(Self {
            store: Arc::new(Mutex::new(store)),
            hook: settings.hook.clone(),
            downloader: Downloader::new(settings.authorities.as_deref())?,
            answers,
        })
    }

    /// The Object of a machine with such a place.
    pub(super) fn instance() -> Instance {
        let protocols = [PullProtocol::Coap, PullProtocol::Http, PullProtocol::Https];
        FirmwareUpdate::instance(&protocols, Delivery::Both)
    }

    /// What the Object says of this program, whatever was kept by another one. Without keys for any
    /// Server nothing can be pulled by `coaps`.
    pub(super) fn constants(client: &Client) -> Vec<Sample> {
        let mut protocols = vec![PullProtocol::Coap];
        let uris = client.tree().instances(ObjectId::SECURITY);
        let uris = uris.filter_map(|security| security.value(0)?.as_str());
        if uris.into_iter().any(|uri| uri.starts_with("coaps://")) {
            protocols.push(PullProtocol::Coaps);
        }
        protocols.extend([PullProtocol::Http, PullProtocol::Https]);
        let instance = FirmwareUpdate::instance(&protocols, Delivery::Both);
        let own = instance.into_resources().into_iter();
        own.filter(|resource| matches!(resource.id.0, 8 | 9))
            .map(|one| Sample::Value([5, 0, one.id.0].into(), one.value))
            .collect()
    }

    pub(super) fn take(
        &mut self,
        need: NeedId,
        step: PackageStep,
    ) -> Option<Result<PackageDone, PackageFault>> {
        match step {
            PackageStep::Resume { uri } => {
                let (length, etag) = lock(&self.store).resume(&uri);
                return Some(Ok(PackageDone::Kept { length, etag }));
            }
            PackageStep::Append {
                offset,
                bytes,
                size,
                origin,
            } => {
                let stored = lock(&self.store).append(offset, &bytes, size, origin);
                return Some(stored.map(|()| PackageDone::Done));
            }
            PackageStep::Discard => {
                self.downloader.stop();
                lock(&self.store).discard();
            }
            PackageStep::Download { uri } => {
                let (store, answers) = (self.store.clone(), self.answers.clone());
                self.downloader.start(uri, store, move |done| {
                    let _ = answers.send((need, done.map(|()| PackageDone::Done)));
                });
            }
            PackageStep::Verify => self.spawn(need, verify(self.store.clone(), self.hook.clone())),
            PackageStep::Install => self.spawn(need, self.install("install")),
            PackageStep::Confirm => self.spawn(need, self.install("confirm")),
            _ => return Some(Err(PackageFault::UpdateFailed)),
        }
        None
    }

    fn spawn(
        &self,
        need: NeedId,
        work: impl Future<Output = Result<PackageDone, PackageFault>> + Send + 'static,
    ) {
        let answers = self.answers.clone();
        tokio::spawn(async move {
            // Nobody listens any more: the Client has ended.
            let _ = answers.send((need, work.await));
        });
    }

    fn install(
        &self,
        step: &'static str,
    ) -> impl Future<Output = Result<PackageDone, PackageFault>> + Send + use<> {
        let (hook, file) = (self.hook.clone(), lock(&self.store).path());
        async move {
            match run(&hook, step, &file, INSTALL_LIMIT).await {
                Some((0, _)) => Ok(PackageDone::Done),
                _ => Err(PackageFault::UpdateFailed),
            }
        }
    }
}

impl Drop for Packages {
    fn drop(&mut self) {
        self.downloader.stop();
    }
}

fn lock(store: &Mutex<Store>) -> MutexGuard<'_, Store> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn verify(store: Arc<Mutex<Store>>, hook: String) -> Result<PackageDone, PackageFault> {
    let checked = tokio::task::spawn_blocking(move || {
        let (file, wanted) = {
            let mut store = lock(&store);
            store.sync()?;
            (store.path(), store.wanted_digest())
        };
        match wanted {
            Some(wanted) if digest(&file)? != wanted => Err(PackageFault::Damaged),
            _ => Ok(file),
        }
    });
    let file = checked.await.map_err(|_| PackageFault::Damaged)??;
    match run(&hook, "verify", &file, VERIFY_LIMIT).await {
        Some((0, said)) => Ok(PackageDone::Verified {
            name: line_after(&said, "name="),
            version: line_after(&said, "version="),
        }),
        Some((2, _)) => Err(PackageFault::UnsupportedType),
        _ => Err(PackageFault::Damaged),
    }
}

/// Exit status and output of the hook; `None` if it did not come to an end.
async fn run(hook: &str, step: &str, file: &Path, limit: Duration) -> Option<(i32, String)> {
    let script = format!("{hook} \"$@\"");
    let mut command = ["sh", "-c", &script, "dunlin", step]
        .map(String::from)
        .to_vec();
    command.push(file.to_str()?.to_owned());
    let program = Program { command, limit };
    match program.run(b"", &[]).await {
        Ok(ended) => {
            let said = String::from_utf8_lossy(&ended.output).into_owned();
            if !ended.status.success() {
                tracing::warn!(step, status = %ended.status, "the firmware hook does not agree");
            }
            Some((ended.status.code()?, said))
        }
        Err(error) => {
            tracing::error!(step, %error, "the firmware hook cannot be run");
            None
        }
    }
}

fn line_after(said: &str, prefix: &str) -> Option<String> {
    said.lines()
        .find_map(|line| line.strip_prefix(prefix))
        .map(|rest| rest.trim().to_owned())
}

/// SHA-256, in lower-case hexadecimal.
fn digest(file: &Path) -> Result<String, PackageFault> {
    let mut hasher = Sha256::new();
    let read = |hasher: &mut Sha256| -> std::io::Result<()> {
        let mut file = std::fs::File::open(file)?;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match std::io::Read::read(&mut file, &mut buffer)? {
                0 => return Ok(()),
                length => hasher.update(&buffer[..length]),
            }
        }
    };
    read(&mut hasher).map_err(|_| PackageFault::Damaged)?;
    Ok(data_encoding::HEXLOWER.encode(&hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunlin_client::PackageOrigin;

    async fn verified(bytes: &[u8], hook: &str, uri: &str) -> Result<PackageDone, PackageFault> {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let origin = PackageOrigin {
            uri: uri.into(),
            etag: None,
        };
        store.append(0, bytes, None, Some(origin)).unwrap();
        verify(Arc::new(Mutex::new(store)), hook.into()).await
    }

    #[tokio::test]
    async fn ts_e_6_the_hook_says_whether_the_package_is_good() {
        let hook = "sh -c 'test \"$1\" = verify && echo name=pump && echo version=$(cat \"$2\")' x";
        let good = verified(b"2.5", hook, "").await;
        let named = PackageDone::Verified {
            name: Some("pump".into()),
            version: Some("2.5".into()),
        };
        assert_eq!(good, Ok(named));
        for (hook, fault) in [
            ("exit 1;", PackageFault::Damaged),
            ("exit 2;", PackageFault::UnsupportedType),
            ("kill $$;", PackageFault::Damaged),
        ] {
            assert_eq!(verified(b"x", hook, "").await, Err(fault), "{hook}");
        }
    }

    #[tokio::test]
    async fn ts_e_6_a_digest_in_the_uri_is_held() {
        // SHA-256 of "abc" (FIPS 180-4).
        let right =
            "coap://h/f#sha256=BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD";
        assert!(verified(b"abc", "true", right).await.is_ok());
        assert_eq!(
            verified(b"abd", "true", right).await,
            Err(PackageFault::Damaged)
        );
        let broken = "coap://h/f#sha256=xyz";
        assert_eq!(
            verified(b"abc", "true", broken).await,
            Err(PackageFault::Damaged)
        );
        assert!(verified(b"abc", "true", "coap://h/f#other").await.is_ok());
    }
}
