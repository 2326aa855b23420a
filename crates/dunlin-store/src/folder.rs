//! The data folder: its format file, its lock, and the watermark.
//!
//! ```text
//! DIR/dunlin-store    format, the folder's secret, the number of virtual shards; written once
//! DIR/lock            held by the process that has the folder; its number for the message
//! DIR/watermark       what is known to be durable, about once a second
//! DIR/log/            the log: one segment file after another
//! DIR/tables/         the tables, as the storage engine keeps them
//! ```
//!
//! The small files are text with a checksum as last line, written aside, synced and renamed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use crate::error::StoreError;
use crate::log::sync_folder;

/// The version of the layout above.
const FORMAT_VERSION: u32 = 1;

const FORMAT_FILE: &str = "dunlin-store";
const LOCK_FILE: &str = "lock";
const WATERMARK_FILE: &str = "watermark";

/// The small files have a few lines; more is not ours.
const SMALL_FILE_BYTES_MAX: u64 = 4096;

/// Virtual shards of a new folder. Ids carry them, so the number is fixed for ever; 256 are enough
/// for every machine and small enough to be owned in bulk.
pub const VIRTUAL_SHARDS: u16 = 256;

/// A data folder that this process holds.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) root: PathBuf,
    pub(crate) secret: u64,
    /// Released when dropped.
    _lock: File,
}

impl Folder {
    /// Takes the folder, making it if there is none.
    pub(crate) fn open(root: &Path, virtual_shards: u16) -> Result<Folder, StoreError> {
        fs::create_dir_all(root).map_err(StoreError::io("cannot create", root))?;
        let is_new = !root.join(FORMAT_FILE).exists();
        if is_new && !is_empty(root)? {
            return Err(StoreError::NotAStore {
                path: root.to_path_buf(),
            });
        }
        let lock = take_lock(root)?;
        // Another process may have made it while we waited for the lock.
        if !root.join(FORMAT_FILE).exists() {
            if has_commits(root) {
                let path = root.join(FORMAT_FILE);
                let why = "there are commits in the log".to_owned();
                return Err(StoreError::Missing { path, why });
            }
            create(root, virtual_shards)?;
        }
        let format = read_format(root)?;
        if format.virtual_shards != virtual_shards {
            return Err(StoreError::VirtualShards {
                path: root.to_path_buf(),
                found: format.virtual_shards,
                expected: virtual_shards,
            });
        }
        Ok(Folder {
            root: root.to_path_buf(),
            secret: format.secret,
            _lock: lock,
        })
    }

    /// Takes a folder that must be there, whatever its number of virtual shards.
    pub(crate) fn open_existing(root: &Path) -> Result<(Folder, u16), StoreError> {
        if !root.join(FORMAT_FILE).exists() {
            let why = "every data folder of dunlin has it".to_owned();
            return Err(StoreError::Missing {
                path: root.join(FORMAT_FILE),
                why,
            });
        }
        let lock = take_lock(root)?;
        let format = read_format(root)?;
        let folder = Folder {
            root: root.to_path_buf(),
            secret: format.secret,
            _lock: lock,
        };
        Ok((folder, format.virtual_shards))
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    pub(crate) fn tables(&self) -> PathBuf {
        self.root.join("tables")
    }

    pub(crate) fn watermark(&self) -> PathBuf {
        self.root.join(WATERMARK_FILE)
    }
}

/// Files that are there before the format file is: of a first start that was cut off.
fn is_empty(root: &Path) -> Result<bool, StoreError> {
    let ours = [LOCK_FILE, WATERMARK_FILE, "log", "tables", "lost+found"];
    let entries = fs::read_dir(root).map_err(StoreError::io("cannot read", root))?;
    for entry in entries {
        let name = entry
            .map_err(StoreError::io("cannot read", root))?
            .file_name();
        let name = name.to_string_lossy();
        if !ours.contains(&&*name) && !name.ends_with(".new") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A log with segments, or a watermark that has seen a commit: not a first start.
fn has_commits(root: &Path) -> bool {
    let watermark = Watermark::read(&root.join(WATERMARK_FILE));
    let has_log = fs::read_dir(root.join("log")).is_ok_and(|mut entries| entries.next().is_some());
    has_log || watermark.is_ok_and(|watermark| watermark.commit > 0)
}

fn take_lock(root: &Path) -> Result<File, StoreError> {
    let path = root.join(LOCK_FILE);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(StoreError::io("cannot open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let _ = file.read_to_string(&mut text);
            let pid = text.trim().parse().ok();
            return Err(StoreError::Locked {
                path: root.to_path_buf(),
                pid,
            });
        }
        Err(TryLockError::Error(e)) => return Err(StoreError::io("cannot lock", &path)(e)),
    }
    // For the message only; a full disk must not keep anyone from opening.
    let _ = file.set_len(0);
    let _ = file.rewind();
    let _ = writeln!(file, "{}", std::process::id());
    Ok(file)
}

fn create(root: &Path, virtual_shards: u16) -> Result<(), StoreError> {
    for name in ["log", "tables"] {
        let path = root.join(name);
        fs::create_dir_all(&path).map_err(StoreError::io("cannot create", &path))?;
    }
    Watermark::new_store().write(&root.join(WATERMARK_FILE))?;
    let format = Format {
        secret: random_secret(),
        virtual_shards,
    };
    // Last, so that a folder with a format file has everything else.
    write_small(&root.join(FORMAT_FILE), &format.lines())
}

/// Not a key: it only has to be unknown to those who send us bytes. The standard library seeds its
/// hash maps from the system's entropy.
fn random_secret() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[derive(Debug)]
struct Format {
    secret: u64,
    virtual_shards: u16,
}

impl Format {
    fn lines(&self) -> String {
        let Format {
            secret,
            virtual_shards,
        } = self;
        format!(
            "dunlin-store {FORMAT_VERSION}\nsecret {secret:016x}\n\
             virtual_shards {virtual_shards}\n"
        )
    }
}

fn read_format(root: &Path) -> Result<Format, StoreError> {
    let path = root.join(FORMAT_FILE);
    let small = SmallFile::read(&path, FORMAT_FILE)?;
    let secret = u64::from_str_radix(small.field("secret")?, 16)
        .map_err(|_| StoreError::damaged(&path, None, "secret"))?;
    Ok(Format {
        secret,
        virtual_shards: small.number("virtual_shards")? as u16,
    })
}

/// What is known to be durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Watermark {
    /// The last commit that was acknowledged when this was written.
    pub(crate) commit: u64,
    /// The tables hold every commit up to this one, synced.
    pub(crate) applied: u64,
    /// The first commit the log must have; one more than `commit` when it may be empty.
    pub(crate) oldest: u64,
    /// The next commit has at least this number: after an accepted loss numbers jump.
    pub(crate) next: u64,
    /// Every group was synced before it was acknowledged.
    pub(crate) synced: bool,
    /// The store was restored from a backup of this commit; 0 if never.
    pub(crate) restored: u64,
}

impl Watermark {
    pub(crate) fn new_store() -> Watermark {
        Watermark {
            commit: 0,
            applied: 0,
            oldest: 1,
            next: 1,
            synced: true,
            restored: 0,
        }
    }

    pub(crate) fn read(path: &Path) -> Result<Watermark, StoreError> {
        let small = SmallFile::read(path, "dunlin-watermark")?;
        Ok(Watermark {
            commit: small.number("commit")?,
            applied: small.number("applied")?,
            oldest: small.number("oldest")?,
            next: small.number("next")?,
            synced: small.number("synced")? == 1,
            restored: small.number("restored")?,
        })
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), StoreError> {
        let Watermark {
            commit,
            applied,
            oldest,
            next,
            synced,
            restored,
        } = self;
        let synced = u8::from(*synced);
        write_small(
            path,
            &format!(
                "dunlin-watermark {FORMAT_VERSION}\ncommit {commit}\napplied {applied}\n\
                 oldest {oldest}\nnext {next}\nsynced {synced}\nrestored {restored}\n"
            ),
        )
    }
}

/// A small text file: "name version", lines of "key value", and "check" with a checksum.
struct SmallFile<'a> {
    path: &'a Path,
    text: String,
}

impl<'a> SmallFile<'a> {
    fn read(path: &'a Path, name: &str) -> Result<SmallFile<'a>, StoreError> {
        let damaged = |why: &str| StoreError::damaged(path, None, why);
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let why = "every data folder of dunlin has it".to_owned();
                return Err(StoreError::Missing {
                    path: path.to_path_buf(),
                    why,
                });
            }
            Err(e) => return Err(StoreError::io("cannot open", path)(e)),
        };
        let mut bytes = Vec::new();
        file.take(SMALL_FILE_BYTES_MAX)
            .read_to_end(&mut bytes)
            .map_err(StoreError::io("cannot read", path))?;
        let text = String::from_utf8(bytes).map_err(|_| damaged("not text"))?;
        let at = text.rfind("check ").ok_or_else(|| damaged("no checksum"))?;
        if text[at..] != format!("check {:016x}\n", xxh3_64(&text.as_bytes()[..at])) {
            return Err(damaged("the checksum does not fit"));
        }
        let small = SmallFile { path, text };
        let found = small.number(name)?;
        if found != u64::from(FORMAT_VERSION) {
            let (found, supported) = (found as u32, FORMAT_VERSION);
            return Err(StoreError::FormatVersion {
                path: path.to_path_buf(),
                found,
                supported,
            });
        }
        Ok(small)
    }

    fn field(&self, key: &str) -> Result<&str, StoreError> {
        self.text
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
            .ok_or_else(|| StoreError::damaged(self.path, None, format!("no line \"{key}\"")))
    }

    fn number(&self, key: &str) -> Result<u64, StoreError> {
        let field = self.field(key)?;
        field
            .parse()
            .map_err(|_| StoreError::damaged(self.path, None, format!("\"{key}\" is no number")))
    }
}

fn write_small(path: &Path, lines: &str) -> Result<(), StoreError> {
    let aside = path.with_extension("new");
    let text = format!("{lines}check {:016x}\n", xxh3_64(lines.as_bytes()));
    let mut file = File::create(&aside).map_err(StoreError::io("cannot create", &aside))?;
    file.write_all(text.as_bytes())
        .map_err(StoreError::io("cannot write", &aside))?;
    file.sync_all()
        .map_err(StoreError::io("cannot sync", &aside))?;
    fs::rename(&aside, path).map_err(StoreError::io("cannot rename", &aside))?;
    path.parent().map_or(Ok(()), sync_folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_opener_is_refused_with_the_process_that_has_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = Folder::open(dir.path(), 256).expect("new");
        let error = Folder::open(dir.path(), 256).expect_err("locked");
        let pid = std::process::id();
        assert!(matches!(error, StoreError::Locked { pid: Some(by), .. } if by == pid));
        assert!(error.to_string().contains("stop the other dunlin"));
        let secret = folder.secret;
        drop(folder);
        assert_eq!(Folder::open(dir.path(), 256).expect("free").secret, secret);
    }

    #[test]
    fn a_folder_of_others_and_other_shards_are_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("thesis.tex"), "x").expect("write");
        let error = Folder::open(dir.path(), 256).expect_err("not ours");
        assert!(matches!(error, StoreError::NotAStore { .. }));
        fs::remove_file(dir.path().join("thesis.tex")).expect("remove");
        drop(Folder::open(dir.path(), 256).expect("empty"));
        let error = Folder::open(dir.path(), 128).expect_err("256");
        assert!(matches!(
            error,
            StoreError::VirtualShards {
                found: 256,
                expected: 128,
                ..
            }
        ));
    }

    #[test]
    fn a_folder_without_its_format_file_is_new_only_without_commits() {
        let dir = tempfile::tempdir().expect("a folder");
        drop(Folder::open(dir.path(), 256).expect("new"));
        fs::remove_file(dir.path().join(FORMAT_FILE)).expect("remove");
        // As a first start leaves it that was cut off.
        drop(Folder::open(dir.path(), 256).expect("new again"));
        fs::remove_file(dir.path().join(FORMAT_FILE)).expect("remove");
        fs::write(dir.path().join("log/00000000000000000001.log"), "x").expect("write");
        let error = Folder::open(dir.path(), 256).expect_err("not new");
        assert!(matches!(error, StoreError::Missing { .. }));
    }

    #[test]
    fn a_newer_format_is_refused_by_its_number() {
        let dir = tempfile::tempdir().expect("a folder");
        drop(Folder::open(dir.path(), 256).expect("new"));
        let path = dir.path().join(FORMAT_FILE);
        write_small(&path, "dunlin-store 2\nsecret 0\n").expect("write");
        let error = Folder::open(dir.path(), 256).expect_err("newer");
        assert!(matches!(
            error,
            StoreError::FormatVersion {
                found: 2,
                supported: 1,
                ..
            }
        ));
        assert!(error.to_string().contains("use the dunlin that wrote it"));
    }

    #[test]
    fn a_flipped_bit_in_the_watermark_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join(WATERMARK_FILE);
        let watermark = Watermark {
            commit: 70,
            applied: 60,
            ..Watermark::new_store()
        };
        watermark.write(&path).expect("write");
        assert_eq!(Watermark::read(&path).expect("sound"), watermark);
        let sound = fs::read(&path).expect("read");
        for bit in 0..sound.len() * 8 {
            let mut bytes = sound.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &bytes).expect("write");
            assert!(Watermark::read(&path).is_err(), "bit {bit}");
        }
    }
}
