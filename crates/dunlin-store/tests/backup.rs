//! Backups: taken from a store at work, restored into a new folder, refused when damaged.

mod common;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Random, batch, settings, verify};
use dunlin_store::{
    BackupError, BackupSettings, FjallStore, Gap, History, Journal, Position, restore,
    verify_backup,
};

const SETTINGS: BackupSettings = BackupSettings {
    at_ms: 7,
    with_events: true,
};

fn fill(store: &FjallStore, commits: std::ops::RangeInclusive<u64>) {
    for first in commits.clone().step_by(20) {
        let group: Vec<_> = (first..=(first + 19).min(*commits.end()))
            .map(batch)
            .collect();
        store.commit_many(&group).expect("commits");
    }
}

fn open(root: &Path) -> FjallStore {
    FjallStore::open(root, settings()).expect("opens")
}

#[test]
fn a_backup_of_a_store_at_work_is_the_store_as_of_one_commit() {
    let folder = tempfile::tempdir().expect("a folder");
    let (root, file) = (folder.path().join("data"), folder.path().join("backup"));
    let store = open(&root);
    fill(&store, 1..=400);
    let done = AtomicBool::new(false);
    let summary = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 401;
            while !done.load(Ordering::Acquire) || n < 500 {
                fill(&store, n..=n);
                n += 1;
            }
        });
        let summary = store.backup(&file, SETTINGS).expect("written");
        done.store(true, Ordering::Release);
        summary
    });
    assert!(summary.commit.0 >= 400);
    assert_eq!(summary.commits, summary.commit.0);
    assert_eq!(verify_backup(&file).expect("sound"), summary);
    let lost_future = store.newest();
    store.close().expect("closes");

    let target = folder.path().join("restored");
    assert_eq!(restore(&file, &target).expect("restored"), summary);
    let restored = open(&target);
    assert_eq!(
        verify(&restored).expect("reads").expect("as it was"),
        summary.commit.0
    );
    // Who has seen more than the backup knows hears of it, before and after the next commit.
    let ahead = restored.read(lost_future, 10).expect("readable").gap;
    assert_eq!(
        ahead,
        Some(Gap::Ahead {
            newest: summary.commit
        })
    );
    let mut next = batch(1);
    next.tell("after the restore");
    let next = restored.commit(&next).expect("commits");
    assert!(next.0 > summary.commit.0 + (1 << 39), "{next}");
    let page = restored.read(lost_future, 10).expect("readable");
    assert_eq!(page.gap, Some(Gap::Lost { next }));
    assert_eq!(
        page.events.last().map(|e| &e.bytes[..]),
        Some(&b"after the restore"[..])
    );
    drop(restored);
    // All of it is there after another start.
    let reopened = open(&target);
    assert_eq!(reopened.last_commit(), next);
    assert_eq!(
        reopened
            .read(lost_future, 10)
            .expect("readable")
            .events
            .len(),
        page.events.len()
    );
    let all = reopened.read(Position::START, 10_000).expect("readable");
    assert_eq!(all.events.len() as u64, summary.events);
    // And a backup of that keeps the jump.
    let again = folder.path().join("again");
    let second = reopened.backup(&again, SETTINGS).expect("written");
    assert_eq!((second.commit, second.commits), (next, summary.commits + 1));
    restore(&again, folder.path().join("twice")).expect("restored");
    let twice = open(&folder.path().join("twice"));
    assert_eq!(twice.read(lost_future, 10).expect("readable").gap, page.gap);
}

#[test]
fn without_events_the_rows_are_there_and_the_log_begins_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let (root, file) = (folder.path().join("data"), folder.path().join("backup"));
    let store = open(&root);
    fill(&store, 1..=100);
    let settings = BackupSettings {
        with_events: false,
        ..SETTINGS
    };
    let summary = store.backup(&file, settings).expect("written");
    assert_eq!((summary.commit.0, summary.commits), (100, 0));
    let target = folder.path().join("restored");
    restore(&file, &target).expect("restored");
    for _ in 0..2 {
        let restored = open(&target);
        assert_eq!(restored.last_commit().0, 100);
        let page = restored
            .read("5-0".parse().expect("a position"), 10)
            .expect("readable");
        assert!(matches!(page.gap, Some(Gap::Trimmed { .. })) && page.events.is_empty());
        assert_eq!(page.next, restored.newest());
    }
}

#[test]
fn a_damaged_backup_is_refused_and_says_where() {
    let folder = tempfile::tempdir().expect("a folder");
    let (root, file) = (folder.path().join("data"), folder.path().join("backup"));
    let store = open(&root);
    fill(&store, 1..=2000);
    store.backup(&file, SETTINGS).expect("written");
    let sound = fs::read(&file).expect("readable");
    let mut random = Random::new();
    let damaged = folder.path().join("damaged");
    for round in 0..60 {
        let mut bytes = sound.clone();
        let at = random.below(sound.len() as u64) as usize;
        if round % 3 == 0 {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << random.below(8);
        }
        fs::write(&damaged, &bytes).expect("writable");
        match verify_backup(&damaged).expect_err("damaged") {
            BackupError::Damaged { offset, .. } => assert!(offset <= at as u64, "{offset} {at}"),
            BackupError::NotABackup { .. } | BackupError::Version { .. } => assert!(at < 12),
            other => panic!("{other}"),
        }
        if round % 20 == 0 {
            let target = folder.path().join("target");
            restore(&damaged, &target).expect_err("damaged");
            assert_eq!(
                fs::read_dir(folder.path()).expect("readable").count(),
                3,
                "nothing left"
            );
        }
    }
    let error = restore(&file, &root).expect_err("it is in use");
    assert!(matches!(error, BackupError::NotEmpty { .. }));
}
