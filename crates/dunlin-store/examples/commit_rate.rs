//! How fast the store is: commits by batch size, a start with many registrations, reading the log.
//!
//! `cargo run --release -p dunlin-store --example commit_rate -- [FOLDER] [SECONDS] [REGISTRATIONS]`
//!
//! One writer commits batches of 1, 100 and 1,000 operations, half of them overwriting a random
//! registration of 200 bytes, half of them telling an event of 100 bytes; then eight threads submit
//! batches of 8 to the committer. Every figure is durable operations per second, beside the bare
//! append and sync of the same disk.

use std::fs::{self, File};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use dunlin_store::{
    Batch, Committer, CommitterSettings, Durability, FjallStore, History, Journal, Position, Store,
    StoreSettings, Submission, SubmitRefused, Table,
};

const REGISTRATIONS: u64 = 200_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().map_or_else(
        || std::env::temp_dir().join(format!("dunlin-commit-rate-{}", std::process::id())),
        PathBuf::from,
    );
    let seconds = arguments.next().map_or(Ok(3.0), |text| text.parse())?;
    let many = arguments
        .next()
        .map_or(Ok(1_000_000), |text| text.parse())?;
    let time = Duration::from_secs_f64(seconds);
    fs::create_dir_all(&folder)?;
    floor(&folder, time)?;
    for durability in [Durability::Sync, Durability::Memory] {
        for size in [1, 100, 1000] {
            one_writer(&folder.join("one"), durability, size, time)?;
        }
    }
    through_the_committer(&folder.join("committer"), time)?;
    start(&folder.join("start"), many)?;
    fs::remove_dir_all(&folder)?;
    Ok(())
}

/// What the disk can do at all.
fn floor(folder: &Path, time: Duration) -> std::io::Result<()> {
    let path = folder.join("floor");
    for bytes in [4096, 65_536] {
        let (mut file, mut count, began) = (File::create(&path)?, 0u32, Instant::now());
        let block = vec![0xa5; bytes];
        while began.elapsed() < time {
            file.write_all(&block)?;
            file.sync_data()?;
            count += 1;
        }
        println!(
            "append {bytes} B + fdatasync: {:.0}/s",
            f64::from(count) / time.as_secs_f64()
        );
    }
    fs::remove_file(path)
}

struct Load {
    random: u64,
    operation: u64,
}

impl Load {
    fn batch(&mut self, size: u64) -> Batch {
        let mut batch = Batch::new(self.operation);
        for _ in 0..size {
            self.operation += 1;
            if self.operation.is_multiple_of(2) {
                self.random ^= self.random << 13;
                self.random ^= self.random >> 7;
                self.random ^= self.random << 17;
                batch.put(
                    Table::Registrations,
                    name(self.random % REGISTRATIONS),
                    value(),
                );
            } else {
                batch.tell(vec![0x5a; 100]);
            }
        }
        batch
    }
}

fn name(number: u64) -> String {
    format!("urn:dev:node-{number:011}")
}

fn value() -> Vec<u8> {
    vec![0xa5; 200]
}

fn one_writer(
    folder: &Path,
    durability: Durability,
    size: u64,
    time: Duration,
) -> Result<(), Box<dyn std::error::Error>> {
    let store = FjallStore::open(
        folder,
        StoreSettings {
            durability,
            ..StoreSettings::default()
        },
    )?;
    let mut load = Load {
        random: 7,
        operation: 0,
    };
    let (began, cpu, written) = (Instant::now(), cpu_seconds(), written_bytes());
    let (mut waits, mut payload) = (Vec::new(), 0);
    while began.elapsed() < time {
        let batch = load.batch(size);
        payload += batch.bytes() as u64;
        let asked = Instant::now();
        store.commit(&batch)?;
        waits.push(asked.elapsed());
    }
    let elapsed = began.elapsed().as_secs_f64();
    let cpu = cpu_seconds() - cpu;
    store.close()?;
    waits.sort();
    let quantile = |q: f64| waits[((waits.len() - 1) as f64 * q) as usize].as_secs_f64() * 1e3;
    println!(
        "{durability:?}, batches of {size}: {:.0} operations/s, {:.0} per CPU-second; \
         commit p50 {:.2} ms, p99 {:.2} ms; {:.2} bytes written per byte",
        load.operation as f64 / elapsed,
        load.operation as f64 / cpu,
        quantile(0.5),
        quantile(0.99),
        (written_bytes() - written) as f64 / payload as f64,
    );
    fs::remove_dir_all(folder)?;
    Ok(())
}

fn through_the_committer(folder: &Path, time: Duration) -> Result<(), Box<dyn std::error::Error>> {
    let store = Arc::new(FjallStore::open(folder, StoreSettings::default())?);
    let committer = Arc::new(Committer::start(
        store.clone() as Arc<dyn Store>,
        CommitterSettings::default(),
    )?);
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let shards: Vec<_> = (1..=8)
        .map(|shard| {
            let submitter = committer.submitter();
            std::thread::spawn(move || {
                let submitter = submitter.expect("running");
                let mut load = Load {
                    random: shard,
                    operation: 0,
                };
                // A shard goes on receiving while this many of its effects wait.
                let (done, waiting) = sync_channel::<()>(1024);
                let mut in_flight = 0;
                while began.elapsed() < time {
                    let told = done.clone();
                    let mut submission = Submission {
                        batch: load.batch(8),
                        done: Box::new(move |_| told.send(()).expect("the shard waits")),
                    };
                    in_flight += 1;
                    while let Err(SubmitRefused::Full(back)) = submitter.submit(submission) {
                        submission = back;
                        std::thread::yield_now();
                    }
                    while in_flight >= 256 || waiting.try_recv().map(|()| in_flight -= 1).is_ok() {
                        if in_flight >= 256 && waiting.recv().is_ok() {
                            in_flight -= 1;
                        }
                    }
                }
                while in_flight > 0 && waiting.recv().is_ok() {
                    in_flight -= 1;
                }
                load.operation
            })
        })
        .collect();
    let operations: u64 = shards
        .into_iter()
        .map(|shard| shard.join().expect("sound"))
        .sum();
    let (elapsed, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let stats = committer.stats();
    println!(
        "committer, 8 shards with batches of 8: {:.0} operations/s, {:.0} per CPU-second, \
         {:.1} batches per sync",
        operations as f64 / elapsed,
        operations as f64 / cpu,
        stats.batches as f64 / stats.groups as f64,
    );
    committer.stop();
    store.close()?;
    fs::remove_dir_all(folder)?;
    Ok(())
}

/// A start with many registrations, after a proper end and after a kill.
fn start(folder: &Path, many: u64) -> Result<(), Box<dyn std::error::Error>> {
    let store = FjallStore::open(folder, StoreSettings::default())?;
    for first in (0..many).step_by(1000) {
        let mut batch = Batch::new(first);
        for number in first..(first + 1000).min(many) {
            batch.put(Table::Registrations, name(number), value());
            batch.tell(vec![0x5a; 100]);
        }
        store.commit(&batch)?;
    }
    store.close()?;
    drop(store);
    // A process that was killed at the worst moment: the tables would just have been flushed.
    let normal = StoreSettings::default();
    let settings = StoreSettings {
        flush_bytes: u64::MAX,
        ..normal.clone()
    };
    let store = FjallStore::open(folder, settings)?;
    let mut load = Load {
        random: 7,
        operation: 0,
    };
    let before = store.bytes();
    while store.bytes() - before < normal.flush_bytes {
        store.commit(&load.batch(1000))?;
    }
    let killed = folder.with_extension("killed");
    copy(folder, &killed)?;
    store.close()?;
    drop(store);
    for (how, folder) in [("a proper end", folder), ("a kill", &killed)] {
        let began = Instant::now();
        let store = FjallStore::open(folder, StoreSettings::default())?;
        let opened = began.elapsed();
        let mut bytes = 0;
        let rows = store.replay(Table::Registrations, &mut |key, value| {
            bytes += key.len() + value.len();
            ControlFlow::Continue(())
        })?;
        let all = began.elapsed();
        println!(
            "start after {how}: opened in {:.2} s, {rows} registrations read in {:.2} s, \
             {:.0} rows/s, {:.0} MB resident",
            opened.as_secs_f64(),
            all.as_secs_f64(),
            rows as f64 / (all - opened).as_secs_f64(),
            resident_bytes() as f64 / 1e6,
        );
        let began = Instant::now();
        let (mut after, mut events) = (Position::START, 0);
        loop {
            let page = store.read(after, 1000)?;
            events += page.events.len();
            after = page.next;
            if page.end {
                break;
            }
        }
        println!(
            "  the log: {:.0} events/s",
            events as f64 / began.elapsed().as_secs_f64()
        );
        store.close()?;
        drop(store);
        fs::remove_dir_all(folder)?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy(&path, &target)?;
        } else if path.exists() {
            fs::copy(&path, &target)?;
        }
    }
    Ok(())
}

/// Of the whole process, by the kernel's count.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    let ticks: u64 = after_name
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|word| word.parse::<u64>().ok())
        .sum();
    ticks as f64 / 100.0
}

/// Handed to the disk by this process.
fn written_bytes() -> u64 {
    let io = fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Of the whole process.
fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}
