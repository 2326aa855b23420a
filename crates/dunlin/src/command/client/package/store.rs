//! One package in a folder: its bytes, and beside them where they come from and how many of them are surely there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use dunlin_client::{PackageFault, PackageOrigin};
use serde_json::{Value as Json, json};

/// The bytes.
const PACKAGE: &str = "package";

/// Where they come from, and how many are durable.
const NOTE: &str = "package.json";

/// What is written first, and then takes the name of [`NOTE`].
const NOTE_NEXT: &str = "package.json.next";

/// So many bytes are written between two syncs: what a power cut can take back.
const SYNC_BYTES: u64 = 64 * 1024;

/// A package that is longer than this is none for a machine like this.
const PACKAGE_BYTES_MAX: u64 = 512 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
    file: Option<File>,
    length: u64,
    synced: u64,
    origin: Option<PackageOrigin>,
}

impl Store {
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            file: None,
            length: 0,
            synced: 0,
            origin: None,
        })
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(PACKAGE)
    }

    /// How much of the package at this URI is there, and of which version.
    pub(super) fn resume(&mut self, uri: &str) -> (u64, Option<Vec<u8>>) {
        if self.file.is_none() {
            self.reopen();
        }
        match &self.origin {
            Some(origin) if origin.uri == uri => (self.length, origin.etag.clone()),
            _ => (0, None),
        }
    }

    /// Takes up what was there before this process; what is broken counts as not there.
    fn reopen(&mut self) {
        let Ok(text) = fs::read(self.folder.join(NOTE)) else {
            return;
        };
        let Ok(note) = serde_json::from_slice::<Json>(&text) else {
            return;
        };
        let (Some(uri), Some(length)) = (note["uri"].as_str(), note["length"].as_u64()) else {
            return;
        };
        let etag = note["etag"]
            .as_str()
            .and_then(|etag| data_encoding::HEXLOWER.decode(etag.as_bytes()).ok());
        let Ok(file) = OpenOptions::new().write(true).open(self.path()) else {
            return;
        };
        // What lies behind may not have come to the disk whole.
        let there = file.metadata().map_or(0, |metadata| metadata.len());
        if there < length || file.set_len(length).is_err() {
            return;
        }
        self.file = Some(file);
        (self.length, self.synced) = (length, length);
        self.origin = Some(PackageOrigin {
            uri: uri.into(),
            etag,
        });
    }

    /// Stores bytes at their place; what lies behind it goes.
    pub(super) fn append(
        &mut self,
        offset: u64,
        bytes: &[u8],
        size: Option<u64>,
        origin: Option<PackageOrigin>,
    ) -> Result<(), PackageFault> {
        let end = offset.saturating_add(bytes.len() as u64);
        if end.max(size.unwrap_or(0)) > PACKAGE_BYTES_MAX {
            return Err(PackageFault::NoRoom);
        }
        if offset == 0 {
            self.discard();
            self.origin = origin;
        } else if offset > self.length {
            return Err(PackageFault::Damaged);
        }
        self.write(offset, bytes).map_err(|error| fault(&error))?;
        if self.length - self.synced >= SYNC_BYTES {
            self.sync()?;
        }
        Ok(())
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            empty => {
                let mut options = OpenOptions::new();
                options.write(true).create(true).truncate(true).mode(0o600);
                empty.insert(options.open(self.folder.join(PACKAGE))?)
            }
        };
        if offset < self.length {
            file.set_len(offset)?;
        }
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(bytes)?;
        self.length = offset + bytes.len() as u64;
        self.synced = self.synced.min(offset);
        Ok(())
    }

    /// Makes what is there durable, and notes it.
    pub(super) fn sync(&mut self) -> Result<(), PackageFault> {
        self.try_sync().map_err(|error| fault(&error))
    }

    fn try_sync(&mut self) -> io::Result<()> {
        if let Some(file) = &self.file {
            file.sync_data()?;
        }
        self.synced = self.length;
        let Some(origin) = &self.origin else {
            return Ok(());
        };
        let etag = origin.etag.as_deref();
        let note = json!({
            "uri": origin.uri,
            "etag": etag.map(|etag| data_encoding::HEXLOWER.encode(etag)),
            "length": self.length,
        });
        let next = self.folder.join(NOTE_NEXT);
        let mut file = File::create(&next)?;
        file.write_all(note.to_string().as_bytes())?;
        file.sync_all()?;
        fs::rename(&next, self.folder.join(NOTE))?;
        File::open(&self.folder)?.sync_all()
    }

    /// Forgets the package.
    pub(super) fn discard(&mut self) {
        self.file = None;
        (self.length, self.synced, self.origin) = (0, 0, None);
        for name in [NOTE, PACKAGE] {
            match fs::remove_file(self.folder.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(%error, name, "a package cannot be removed");
                }
                _ => {}
            }
        }
    }

    /// The SHA-256 that the URI asks for: `…#sha256=HEX`. The fragment of a URI is for whoever receives the
    /// representation, no server sees it (RFC 3986 §3.5).
    pub(super) fn wanted_digest(&self) -> Option<String> {
        let (_, fragment) = self.origin.as_ref()?.uri.split_once('#')?;
        Some(fragment.strip_prefix("sha256=")?.to_ascii_lowercase())
    }
}

/// What an error of the disk means to the Server.
fn fault(error: &io::Error) -> PackageFault {
    tracing::error!(%error, "a package cannot be stored");
    match error.kind() {
        io::ErrorKind::OutOfMemory => PackageFault::NoMemory,
        _ => PackageFault::NoRoom,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(etag: &[u8]) -> Option<PackageOrigin> {
        Some(PackageOrigin {
            uri: "coap://h/f".into(),
            etag: Some(etag.to_vec()),
        })
    }

    #[test]
    fn a_package_is_kept_up_to_the_last_sync_and_no_further() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        assert_eq!(store.resume("coap://h/f"), (0, None));
        let block = [7; 1024];
        for number in 0..300_u64 {
            store
                .append(number * 1024, &block, None, origin(b"v1"))
                .unwrap();
        }
        assert_eq!(
            store.resume("coap://h/f"),
            (300 * 1024, Some(b"v1".to_vec()))
        );
        assert_eq!(store.resume("coap://h/other"), (0, None));
        // The process is gone; a power cut may have taken what was not synced.
        let kept = 300 * 1024 / SYNC_BYTES * SYNC_BYTES;
        let mut again = Store::open(folder.path()).unwrap();
        assert_eq!(again.resume("coap://h/f"), (kept, Some(b"v1".to_vec())));
        assert_eq!(fs::metadata(again.path()).unwrap().len(), kept);
        again.append(kept, b"tail", None, origin(b"v1")).unwrap();
        again.sync().unwrap();
        let bytes = fs::read(again.path()).unwrap();
        assert_eq!(bytes.len() as u64, kept + 4);
        assert!(bytes.ends_with(b"\x07tail"));
        again.discard();
        assert!(!again.path().exists());
        assert_eq!(
            Store::open(folder.path()).unwrap().resume("coap://h/f"),
            (0, None)
        );
    }

    #[test]
    fn a_note_that_is_broken_or_says_too_much_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let good = r#"{"uri":"u","etag":"01","length":3}"#;
        fs::write(folder.path().join(PACKAGE), b"abc").unwrap();
        fs::write(folder.path().join(NOTE), good).unwrap();
        let resumed = || Store::open(folder.path()).unwrap().resume("u");
        assert_eq!(resumed(), (3, Some(vec![1])));
        for bad in ["", "{", "[]", r#"{"uri":"u"}"#, r#"{"uri":"u","length":4}"#] {
            fs::write(folder.path().join(NOTE), bad).unwrap();
            assert_eq!(resumed(), (0, None), "{bad}");
        }
    }

    #[test]
    fn holes_and_giants_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        store.append(0, b"abc", None, None).unwrap();
        assert_eq!(
            store.append(4, b"d", None, None),
            Err(PackageFault::Damaged)
        );
        let size = Some(PACKAGE_BYTES_MAX + 1);
        assert_eq!(store.append(0, b"d", size, None), Err(PackageFault::NoRoom));
        // Less than was there: the rest goes.
        store.append(1, b"x", None, None).unwrap();
        store.sync().unwrap();
        assert_eq!(fs::read(store.path()).unwrap(), b"ax");
    }
}
