//! A power cut, made: each file keeps what was synced, and a file whose name was not synced is gone.
//!
//! A preload library (`sync_record.c`) writes down what a process creates and syncs; when the process
//! has been killed, [`cut_power`] takes away the rest.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles the preload library; `None`, said aloud, where there is no compiler.
pub(crate) fn build_shim(folder: &Path) -> Option<PathBuf> {
    let source = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../dunlin-store/tests/sync_record.c"
    );
    let shim = folder.join("sync_record.so");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
        .args([shim.as_path(), Path::new(source)])
        .arg("-ldl")
        .status();
    match built {
        Ok(status) => {
            assert!(status.success(), "the preload library compiles");
            Some(shim)
        }
        Err(error) => {
            println!("skipped: a power cut is made with a C compiler, and cc gives {error}");
            None
        }
    }
}

#[derive(Default)]
struct Synced {
    length: u64,
    /// The folder that must be synced for the name to stay.
    unnamed_in: Option<u64>,
}

pub(crate) struct Cut {
    pub(crate) files: usize,
}

/// Reads what the shim has recorded and takes away everything that no sync covers.
pub(crate) fn cut_power(root: &Path, record: &Path) -> Cut {
    let mut files: HashMap<u64, Synced> = HashMap::new();
    for line in fs::read_to_string(record).expect("recorded").lines() {
        let mut words = line.split(' ');
        let kind = words.next().expect("a kind");
        let mut number = || {
            words
                .next()
                .and_then(|word| word.parse().ok())
                .expect("a number")
        };
        match kind {
            "created" => {
                let (inode, folder) = (number(), number());
                files.insert(
                    inode,
                    Synced {
                        length: 0,
                        unnamed_in: Some(folder),
                    },
                );
            }
            "synced" => {
                let (inode, length) = (number(), number());
                files.entry(inode).or_default().length = length;
            }
            "folder" => {
                let folder = number();
                for file in files.values_mut().filter(|f| f.unnamed_in == Some(folder)) {
                    file.unnamed_in = None;
                }
            }
            "moved" => {
                // A rename within the folder: the new name waits for the folder as well, and until
                // then the old content would be back. Everything renamed here was synced before.
                let (inode, folder) = (number(), number());
                files.entry(inode).or_default().unnamed_in = Some(folder);
            }
            other => panic!("{other}"),
        }
    }
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("readable") {
            let path = entry.expect("readable").path();
            let metadata = fs::metadata(&path).expect("readable");
            if metadata.is_dir() {
                folders.push(path);
                continue;
            }
            // The lock file is never synced, and nobody needs it.
            let Some(synced) = files.get(&metadata.ino()) else {
                continue;
            };
            let replaces = path
                .file_name()
                .is_some_and(|n| n == "watermark" || n == "current");
            if synced.unnamed_in.is_some() && !replaces {
                fs::remove_file(&path).expect("removable");
            } else if synced.length < metadata.len() {
                let file = OpenOptions::new()
                    .write(true)
                    .open(&path)
                    .expect("writable");
                file.set_len(synced.length).expect("can be cut");
            }
        }
    }
    Cut { files: files.len() }
}
