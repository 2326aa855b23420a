//! The store on disk after the process was killed, while the disk is full, and after a power cut.

mod common;
#[path = "common/power.rs"]
mod power;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::{Random, Worker, rounds, settings, verify};
use dunlin_store::{FjallStore, Journal};
use power::{build_shim, cut_power};

#[test]
fn child() {
    common::child_main();
}

/// Opens what a crash has left and compares it; returns the last commit.
fn survey(root: &Path, acknowledged: u64) -> u64 {
    let store = FjallStore::open(root, settings()).expect("opens after a crash");
    let last = verify(&store).expect("reads").expect("as committed");
    assert!(
        last >= acknowledged,
        "commit {acknowledged} was acknowledged, {last} is the last"
    );
    last
}

#[test]
fn kill_9_loses_no_acknowledged_batch_and_tears_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut random = Random::new();
    let mut last = 0;
    for round in 0..rounds(10) {
        let mut worker = Worker::start(folder.path(), |_| {});
        worker
            .until(|line| line.starts_with("ack "))
            .expect("it works");
        worker.listen(Duration::from_millis(random.below(120)));
        let acknowledged = worker.kill();
        assert!(acknowledged > last, "round {round} has committed something");
        // Every other round the next child itself finds the crash.
        if round % 2 == 0 {
            last = survey(folder.path(), acknowledged);
        }
    }
    survey(folder.path(), last);
}

#[test]
fn a_full_disk_stops_acknowledging_and_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut worker = Worker::start(folder.path(), |_| {});
    worker.until(|line| line == "ack 100").expect("it works");
    // No file may grow beyond this: segments of the log and files of the tables want to.
    limit_file_size(worker.pid(), "20000");
    let failing = worker
        .until(|line| line.starts_with("state Failing"))
        .expect("it fails");
    assert!(
        failing.contains("cannot write") || failing.contains("tables"),
        "{failing}"
    );
    let acknowledged = worker.acknowledged;
    worker.listen(Duration::from_millis(400));
    assert_eq!(
        worker.acknowledged, acknowledged,
        "nothing is acknowledged while it fails"
    );
    limit_file_size(worker.pid(), "unlimited");
    worker
        .until(|line| line == "state Healthy")
        .expect("it recovers by itself");
    let goal = format!("ack {}", acknowledged + 3000);
    worker.until(|line| line == goal).expect("it goes on");
    let acknowledged = worker.kill();
    survey(folder.path(), acknowledged);
}

/// The files of the tables are larger than the segments of the log here: the log is written, the
/// tables cannot follow. They are opened again when they can, and the log brings them up to date;
/// what was written and not acknowledged is not written twice.
#[test]
fn tables_that_cannot_be_written_are_opened_again_from_the_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut worker = Worker::start(folder.path(), |command| {
        command.env("DUNLIN_STORE_CHILD_SEGMENT", "10000");
    });
    worker.until(|line| line == "ack 100").expect("it works");
    for _ in 0..3 {
        limit_file_size(worker.pid(), "40000");
        let failing = worker
            .until(|line| line.starts_with("state Failing"))
            .expect("it fails");
        assert!(failing.contains("tables"), "{failing}");
        limit_file_size(worker.pid(), "unlimited");
        worker
            .until(|line| line == "state Healthy")
            .expect("it recovers");
        let goal = format!("ack {}", worker.acknowledged + 500);
        worker.until(|line| line == goal).expect("it goes on");
    }
    let acknowledged = worker.kill();
    survey(folder.path(), acknowledged);
}

fn limit_file_size(pid: u32, limit: &str) {
    // The soft limit only, so that it can be lifted again.
    let limit = format!("--fsize={limit}:unlimited");
    let status = Command::new("prlimit")
        .args(["--pid", &pid.to_string(), &limit])
        .status();
    assert!(status.expect("prlimit of util-linux").success());
}

/// A power cut: each file keeps what was synced, and a file whose name was not synced is gone.
#[test]
fn a_power_cut_loses_no_acknowledged_batch() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(shim) = build_shim(folder.path()) else {
        return;
    };
    let mut random = Random::new();
    let root = folder.path().join("data");
    for _ in 0..rounds(6) {
        let record = folder.path().join("record");
        let worker = recorded(&root, &shim, &record, random.below(300), false);
        let cut = cut_power(&root, &record);
        survey(&root, worker);
        // Known as synced from now on.
        assert!(cut.files > 0);
        fs::remove_file(&record).expect("recorded");
    }
}

/// The same without syncs loses commits, and is opened nevertheless: this shows that the cut cuts.
#[test]
fn a_power_cut_in_memory_mode_loses_commits_and_opens_with_the_rest() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(shim) = build_shim(folder.path()) else {
        return;
    };
    // A kill right after a sync loses nothing; not five times in a row.
    let lost = (0..5).any(|attempt| {
        let root = folder.path().join(format!("data{attempt}"));
        let record = folder.path().join(format!("record{attempt}"));
        let acknowledged = recorded(&root, &shim, &record, 400, true);
        cut_power(&root, &record);
        let store = FjallStore::open(&root, settings()).expect("opens");
        let last = verify(&store).expect("reads").expect("as committed");
        // Numbers are not used twice.
        let next = Journal::commit(&store, &common::batch(1)).expect("commits");
        assert!(next.0 > acknowledged, "{next} was acknowledged before");
        last < acknowledged
    });
    assert!(lost, "without a sync a power cut takes something");
}

/// Runs a child under the shim and kills it; returns what was acknowledged.
fn recorded(root: &Path, shim: &Path, record: &Path, wait_ms: u64, memory: bool) -> u64 {
    let mut worker = Worker::start(root, |command| {
        command.env("LD_PRELOAD", shim).env("SYNC_RECORD", record);
        if memory {
            command.env("DUNLIN_STORE_CHILD_MEMORY", "1");
        }
    });
    worker
        .until(|line| line.starts_with("ack "))
        .expect("it works");
    worker.listen(Duration::from_millis(wait_ms));
    worker.kill()
}
