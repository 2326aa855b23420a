//! Check and repair: each kind of damage is found, said, and set right as far as it can be.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{batch, settings, verify};
use dunlin_store::{
    Batch, CheckReport, CommitNumber, FindingKind, FjallStore, Gap, History, Journal, Position,
    StoreError, Table, check, repair,
};

/// Commits in every store of these tests; flushed up to [`FLUSHED`].
const COMMITS: u64 = 1000;
const FLUSHED: u64 = 700;

/// A store as a kill leaves it.
fn build(root: &Path) {
    let open = root.with_extension("open");
    let mut settings = settings();
    settings.segment_bytes = 40_000;
    let store = FjallStore::open(&open, settings).expect("opens");
    for first in (1..=COMMITS).step_by(10) {
        let group: Vec<_> = (first..first + 10).map(batch).collect();
        store.commit_many(&group).expect("commits");
        if first + 9 == FLUSHED {
            store.flush().expect("flushes");
        }
    }
    copy(&open, root);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("creatable");
    for entry in fs::read_dir(from).expect("readable") {
        let path = entry.expect("readable").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else if path.extension().is_none_or(|e| e != "jnl") {
            fs::copy(&path, &target).expect("copied");
        } else {
            fs::write(target, []).expect("written");
        }
    }
}

fn segments(root: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(root.join("log")).expect("readable");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("readable").path())
        .collect();
    paths.sort();
    paths
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("readable");
    bytes[at] ^= 4;
    fs::write(path, bytes).expect("writable");
}

fn checked(root: &Path) -> CheckReport {
    check(root, &mut |_, _, _| Ok(())).expect("can be checked")
}

fn repaired(root: &Path) -> CheckReport {
    let report = repair(root, &mut |_, _, _| Ok(())).expect("can be repaired");
    assert!(
        report
            .findings
            .iter()
            .all(|f| f.repaired || f.kind == FindingKind::Note)
    );
    assert!(checked(root).is_sound(), "{:?}", checked(root).findings);
    report
}

fn refused(root: &Path) -> StoreError {
    FjallStore::open(root, settings()).expect_err("it is damaged")
}

fn open(root: &Path) -> FjallStore {
    FjallStore::open(root, settings()).expect("opens")
}

/// All events from the start, by the commit that holds them, and the gaps on the way.
fn told(store: &FjallStore) -> (Vec<u64>, Vec<Gap>) {
    let (mut after, mut commits, mut gaps) = (Position::START, Vec::new(), Vec::new());
    loop {
        let page = store.read(after, 500).expect("readable");
        gaps.extend(page.gap);
        commits.extend(page.events.iter().map(|event| event.position.commit.0));
        after = page.next;
        if page.end {
            commits.dedup();
            return (commits, gaps);
        }
    }
}

#[test]
fn a_sound_store_is_read_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("data");
    build(&root);
    for _ in 0..2 {
        let report = checked(&root);
        assert!(report.findings.is_empty(), "{:?}", report.findings);
        assert_eq!(
            (report.commits, report.last),
            (COMMITS, CommitNumber(COMMITS))
        );
        assert_eq!(report.events, (1..=COMMITS).map(|n| n % 3).sum());
        assert!(report.segments > 3 && report.compared > 100);
        let rows = report
            .rows
            .iter()
            .find(|(table, _)| *table == Table::Observations);
        assert_eq!(rows.expect("listed").1, FLUSHED / 5);
    }
    let report = repaired(&root);
    assert!(report.findings.is_empty());
    assert_eq!(
        verify(&open(&root)).expect("reads").expect("whole"),
        COMMITS
    );
    let store = open(&root.with_extension("open"));
    let error = check(root.with_extension("open"), &mut |_, _, _| Ok(())).expect_err("in use");
    assert!(matches!(error, StoreError::Locked { .. }));
    drop(store);
}

#[test]
fn a_damaged_record_is_dropped_and_all_others_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("data");
    // Once where the tables have its facts already, and once where they do not.
    for flushed in [true, false] {
        let _ = fs::remove_dir_all(&root);
        let _ = fs::remove_dir_all(root.with_extension("open"));
        build(&root);
        let paths = segments(&root);
        let path = if flushed {
            &paths[1]
        } else {
            &paths[paths.len() - 2]
        };
        flip(path, 5000);
        if !flushed {
            let error = refused(&root).to_string();
            assert!(error.contains(&*path.to_string_lossy()), "{error}");
        }
        let report = checked(&root);
        assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
        let finding = &report.findings[0];
        assert_eq!(
            (&finding.path, finding.kind),
            (path, FindingKind::Repairable)
        );
        let hint = if flushed {
            "facts are in the tables"
        } else {
            "facts are lost"
        };
        assert!(finding.repair.contains(hint), "{finding}");
        assert_eq!(report.commits, COMMITS - 1);
        repaired(&root);
        assert!(
            root.join("log.replaced").exists(),
            "what was dropped is kept aside"
        );
        let store = open(&root);
        assert_eq!(store.last_commit().0, COMMITS);
        let (commits, gaps) = told(&store);
        let missing: Vec<u64> = (1..=COMMITS)
            .filter(|n| n % 3 > 0 && !commits.contains(n))
            .collect();
        assert!(missing.len() <= 1, "{missing:?}");
        assert!(matches!(gaps[..], [Gap::Lost { .. }]), "{gaps:?}");
        let next = store.commit(&batch(1)).expect("commits");
        assert!(next.0 > COMMITS);
    }
}

#[test]
fn a_missing_segment_is_said_and_accepted() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("data");
    build(&root);
    let paths = segments(&root);
    fs::remove_file(&paths[2]).expect("removable");
    let error = refused(&root);
    assert!(
        matches!(&error, StoreError::Missing { path, .. } if *path == paths[2]),
        "{error}"
    );
    let report = repaired(&root);
    assert!(
        report.findings[0].what.contains("missing"),
        "{}",
        report.findings[0]
    );
    let (commits, gaps) = told(&open(&root));
    assert!(matches!(gaps[..], [Gap::Lost { .. }]));
    assert!(commits.len() > 300 && commits.len() < 667);

    // The oldest one as well, which only the watermark knows of.
    let oldest = &segments(&root)[0];
    fs::remove_file(oldest).expect("removable");
    assert!(matches!(refused(&root), StoreError::Missing { .. }));
    repaired(&root);
    assert!(told(&open(&root)).0.len() < commits.len());
}

#[test]
fn a_lost_tail_is_refused_until_it_is_accepted() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("data");
    build(&root);
    drop(open(&root));
    fs::remove_file(segments(&root).last().expect("some")).expect("removable");
    let error = refused(&root);
    let StoreError::LostTail {
        found, watermark, ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!(watermark, CommitNumber(COMMITS));
    let report = repaired(&root);
    assert!(report.findings[0].repair.contains("accepted"));
    let store = open(&root);
    assert_eq!(store.last_commit(), found);
    assert!(store.commit(&batch(1)).expect("commits").0 > COMMITS + 1_000_000);
    let gap = store
        .read(Position::end_of(CommitNumber(COMMITS)), 10)
        .expect("readable")
        .gap;
    assert!(matches!(gap, Some(Gap::Lost { .. })), "{gap:?}");
}

#[test]
fn a_lost_watermark_is_written_anew_and_nothing_else_changes() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("data");
    build(&root);
    fs::remove_file(root.join("watermark")).expect("removable");
    assert!(matches!(refused(&root), StoreError::Missing { .. }));
    repaired(&root);
    assert_eq!(
        verify(&open(&root)).expect("reads").expect("whole"),
        COMMITS
    );
}

#[test]
fn a_row_that_is_no_record_is_dropped() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("data");
    build(&root);
    let mut bad = Batch::new(1);
    bad.put(Table::Profiles, "odd", [9, 9]);
    open(&root).commit(&bad).expect("commits");
    let mut validate = |table, _: &[u8], value: &[u8]| match (table, value) {
        (Table::Profiles, [9, ..]) => Err("version 9".to_owned()),
        _ => Ok(()),
    };
    let report = check(&root, &mut validate).expect("can be checked");
    assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
    assert!(
        report.findings[0]
            .what
            .contains("row \"odd\" of profiles: version 9")
    );
    repair(&root, &mut validate).expect("can be repaired");
    assert!(
        check(&root, &mut validate)
            .expect("can be checked")
            .is_sound()
    );
    assert_eq!(
        open(&root).get(Table::Profiles, b"odd").expect("readable"),
        None
    );
}

#[test]
fn tables_older_than_promised_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("data");
    build(&root);
    let old = folder.path().join("old");
    copy(&root.join("tables"), &old);
    drop(open(&root));
    fs::remove_dir_all(root.join("tables")).expect("removable");
    copy(&old, &root.join("tables"));
    let error = refused(&root);
    assert!(
        matches!(&error, StoreError::Damaged { path, .. } if path.ends_with("tables")),
        "{error}"
    );
    let report = checked(&root);
    assert!(
        report.findings.iter().any(|f| f.kind == FindingKind::Fatal),
        "{:?}",
        report.findings
    );
}
