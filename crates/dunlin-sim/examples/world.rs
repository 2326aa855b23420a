//! Lives seeded universes and says what they have shown: one line for each seed, and for one that
//! broke a truth the end of its trace and the command that repeats it.
//!
//! `cargo run --release -p dunlin-sim --example world -- --seeds 0..3 --days 1 --clients 200`

use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use dunlin_sim::world::{self, Tally, Universe, Verdict};

struct Wanted {
    seeds: std::ops::Range<u64>,
    days: f64,
    clients: usize,
    threads: usize,
    figures: bool,
}

fn wanted() -> Result<Wanted, String> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut wanted = Wanted {
        seeds: 0..3,
        days: 1.0,
        clients: 200,
        threads,
        figures: false,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        if name == "--figures" {
            wanted.figures = true;
            continue;
        }
        let value = arguments.next().ok_or(format!("{name} wants a value"))?;
        let wrong = |_| format!("{name}: {value} is not understood");
        match name.as_str() {
            "--seeds" => wanted.seeds = seeds(&value).ok_or(format!("{value} is no A..B"))?,
            "--days" => wanted.days = value.parse().map_err(|_| wrong(()))?,
            "--clients" => wanted.clients = value.parse().map_err(|_| wrong(()))?,
            "--threads" => wanted.threads = value.parse().map_err(|_| wrong(()))?,
            _ => {
                return Err(format!(
                    "{name}: known are --seeds, --days, --clients, --threads, --figures"
                ));
            }
        }
    }
    Ok(wanted)
}

fn seeds(text: &str) -> Option<std::ops::Range<u64>> {
    if let Some((from, to)) = text.split_once("..") {
        return Some(from.parse().ok()?..to.parse().ok()?);
    }
    let one: u64 = text.parse().ok()?;
    Some(one..one + 1)
}

fn main() -> ExitCode {
    let wanted = match wanted() {
        Ok(wanted) => wanted,
        Err(what) => {
            eprintln!("world: {what}");
            return ExitCode::from(2);
        }
    };
    let todo: Mutex<VecDeque<u64>> = Mutex::new(wanted.seeds.clone().collect());
    let (done, verdicts) = mpsc::channel();
    let mut total = Tally::default();
    let mut failed = 0;
    std::thread::scope(|scope| {
        for _ in 0..wanted.threads.max(1) {
            let done = done.clone();
            scope.spawn(|| work(&todo, &wanted, done));
        }
        drop(done);
        for (verdict, took) in verdicts {
            report(&wanted, &verdict, took);
            total.add(&verdict.tally);
            failed += u64::from(verdict.failure.is_some());
        }
    });
    let count = wanted.seeds.end - wanted.seeds.start;
    println!("{} of {count} universes held", count - failed);
    if wanted.figures {
        for (name, figure) in total.figures() {
            println!("{name:>26} {figure:>14}");
        }
    }
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn work(todo: &Mutex<VecDeque<u64>>, wanted: &Wanted, done: mpsc::Sender<(Verdict, Duration)>) {
    loop {
        let next = todo.lock().expect("nobody panics with it").pop_front();
        let Some(seed) = next else { return };
        let span = Duration::from_secs_f64(wanted.days * 86_400.0);
        let universe = Universe::rough(seed, wanted.clients, span);
        let began = Instant::now();
        let verdict = world::run(&universe);
        // The receiver lives until all are done.
        let _ = done.send((verdict, began.elapsed()));
    }
}

fn report(wanted: &Wanted, verdict: &Verdict, took: Duration) {
    let Tally {
        happenings,
        datagrams,
        registered,
        updated,
        acknowledged,
        asked,
        done,
        crashes,
        reboots,
        unknown_explained,
        late,
        ..
    } = verdict.tally;
    let word = if verdict.failure.is_some() {
        "FAILED"
    } else {
        "held"
    };
    println!(
        "seed {}: {word}, {happenings} happenings, {datagrams} datagrams, {registered} registers, \
         {updated} updates, {acknowledged} notifications ({late} late), {asked} commands, {done} done, \
         {crashes} crashes, {reboots} reboots, {unknown_explained} explained 4.04, trace {:016x}, {:.1} s",
        verdict.seed,
        verdict.trace_hash,
        took.as_secs_f64(),
    );
    if let Some(failure) = &verdict.failure {
        for line in &failure.trace {
            println!("    {line}");
        }
        let who = failure.device.map_or("the world".to_owned(), |device| {
            format!("client-{device:04}")
        });
        println!("  {who}: {}", failure.what);
        println!(
            "  repeat: cargo run --release -p dunlin-sim --example world -- --seeds {} --days {} --clients {}",
            verdict.seed, wanted.days, wanted.clients
        );
    }
}
