//! One flipped bit in any file: the store refuses and names a file, or everything that was
//! acknowledged is there. Never does it open with less and say nothing.

mod common;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use common::{Random, batch, rounds, settings, verify};
use dunlin_store::{FjallStore, Journal, StoreError};

const COMMITS: u64 = 1500;

/// A store that is still open, or was closed: what lies on the disk differs.
fn build(root: &Path, closed: bool) {
    let mut settings = settings();
    settings.segment_bytes = 60_000;
    let store = FjallStore::open(root, settings).expect("opens");
    for first in (1..=COMMITS).step_by(30) {
        let group: Vec<_> = (first..first + 30).map(batch).collect();
        store.commit_many(&group).expect("commits");
        if first == 301 || first == 901 {
            store.flush().expect("flushes");
        }
    }
    if closed {
        store.close().expect("closes");
    }
    // As a kill leaves it, when the store is open while its files are copied.
    copy(root, &root.with_extension("copy"));
    drop(store);
    fs::remove_dir_all(root).expect("removable");
    fs::rename(root.with_extension("copy"), root).expect("renamed");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("creatable");
    for entry in fs::read_dir(from).expect("readable") {
        let path = entry.expect("readable").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else if path.extension().is_some_and(|e| e == "jnl") {
            // 64 MB of zeros follow.
            let bytes = fs::read(&path).expect("readable");
            let used = bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
            fs::write(target, &bytes[..used]).expect("writable");
        } else {
            fs::copy(&path, &target).expect("copied");
        }
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            files(&path, found);
        } else if fs::metadata(&path).expect("readable").len() > 0 {
            found.push(path);
        }
    }
}

/// Opens and reads all; the error must name something in the folder.
fn outcome(root: &Path) -> String {
    let run = || -> Result<Result<u64, String>, StoreError> {
        verify(&FjallStore::open(root, settings())?)
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Err(_) => "panicked".into(),
        Ok(Err(error)) => {
            let text = error.to_string();
            let names = text.contains(&*root.to_string_lossy());
            if names {
                "refused".into()
            } else {
                format!("no file is named: {text}")
            }
        }
        Ok(Ok(Err(difference))) => format!("opened silently: {difference}"),
        Ok(Ok(Ok(COMMITS))) => "whole".into(),
        Ok(Ok(Ok(last))) => format!("opened silently with {last} of {COMMITS} commits"),
    }
}

fn flip_bits(closed: bool, count: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let image = folder.path().join("image");
    build(&image, closed);
    assert_eq!(outcome_of_copy(&image, folder.path(), |_| {}), "whole");
    let mut random = Random::new();
    let (mut paths, mut refused) = (Vec::new(), 0);
    files(&image, &mut paths);
    paths.sort();
    for round in 0..count {
        let path = &paths[random.below(paths.len() as u64) as usize];
        let relative = path.strip_prefix(&image).expect("in it");
        let bit = random.below(fs::metadata(path).expect("readable").len() * 8);
        let outcome = outcome_of_copy(&image, folder.path(), |copy| {
            let path = copy.join(relative);
            let mut bytes = fs::read(&path).expect("readable");
            bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
            fs::write(&path, bytes).expect("writable");
        });
        let place = format!("round {round}: {} bit {bit}: {outcome}", relative.display());
        assert!(outcome == "refused" || outcome == "whole", "{place}");
        refused += u64::from(outcome == "refused");
    }
    assert!(refused > 0, "flipped bits are noticed");
    println!("{count} flips, {refused} refused, the rest harmless");
}

fn outcome_of_copy(image: &Path, folder: &Path, change: impl FnOnce(&Path)) -> String {
    let trial = folder.join("trial");
    let _ = fs::remove_dir_all(&trial);
    copy(image, &trial);
    change(&trial);
    outcome(&trial)
}

#[test]
fn a_flipped_bit_after_a_kill_is_refused_or_harmless() {
    flip_bits(false, rounds(25));
}

#[test]
fn a_flipped_bit_after_a_clean_end_is_refused_or_harmless() {
    flip_bits(true, rounds(25));
}
