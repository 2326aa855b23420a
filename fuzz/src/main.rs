//! Fuzzing without a fuzzer: mutates the seeds of every target for a while, on any toolchain.
//!
//! It finds less than a guided run in the same time, and it runs everywhere: `./test` uses it.
//! `fuzz-short [SECONDS] [NAME…]`: so long in all, shared among the targets. An input that breaks
//! a property is written to `fuzz/artifacts/` and named.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dunlin_fuzz::{TARGETS, Target};

/// Longer inputs than this find what shorter ones find.
const INPUT_BYTES_MAX: usize = 4_096;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let seconds: f64 = arguments
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20.0);
    let names: Vec<String> = arguments.collect();
    let chosen: Vec<_> = TARGETS
        .iter()
        .filter(|(name, _)| names.is_empty() || names.iter().any(|one| one == name))
        .collect();
    if chosen.is_empty() {
        eprintln!("fuzz-short: no such target; there are:");
        TARGETS.iter().for_each(|(name, _)| eprintln!("  {name}"));
        std::process::exit(2);
    }
    let share = Duration::from_secs_f64(seconds / chosen.len() as f64);
    let seed = Instant::now().elapsed().subsec_nanos() as u64 ^ std::process::id() as u64;
    let mut chance = Chance(seed | 1);
    for (name, target) in chosen {
        let runs = run(name, *target, share, &mut chance);
        println!("{name}: {runs} inputs, none broke it");
    }
}

fn run(name: &str, target: Target, share: Duration, chance: &mut Chance) -> u64 {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut seeds = read_seeds(&folder.join("corpus").join(name));
    for seed in &seeds {
        try_one(name, target, seed, &folder);
    }
    seeds.push(Vec::new());
    let begin = Instant::now();
    let mut runs = seeds.len() as u64;
    while begin.elapsed() < share {
        for _ in 0..64 {
            let input = mutate(&seeds, chance);
            try_one(name, target, &input, &folder);
            runs += 1;
        }
    }
    runs
}

fn read_seeds(folder: &Path) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
        .iter()
        .filter_map(|path| std::fs::read(path).ok())
        .collect()
}

fn try_one(name: &str, target: Target, input: &[u8], folder: &Path) {
    let Err(reason) = std::panic::catch_unwind(|| target(input)) else {
        return;
    };
    let artifacts = folder.join("artifacts").join(name);
    let file = artifacts.join(format!("broken-{:016x}", hash(input)));
    let kept = std::fs::create_dir_all(&artifacts).and_then(|()| std::fs::write(&file, input));
    let place = if kept.is_ok() {
        file.display().to_string()
    } else {
        "nowhere".to_owned()
    };
    eprintln!("{name} is broken by {} bytes, kept in {place}", input.len());
    std::panic::resume_unwind(reason);
}

fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn mutate(seeds: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let mut input = seeds[chance.below(seeds.len())].clone();
    for _ in 0..=chance.below(6) {
        let at = chance.below(input.len() + 1);
        match chance.below(7) {
            0 => input.insert(at, chance.byte()),
            1 if at < input.len() => {
                input.remove(at);
            }
            2 if at < input.len() => input[at] ^= 1 << chance.below(8),
            3 if at < input.len() => input[at] = [0, 0xff, 0x7f, 0x80][chance.below(4)],
            4 => input.truncate(at),
            5 => {
                let other = &seeds[chance.below(seeds.len())];
                let from = chance.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ => {
                let run: Vec<u8> = (0..chance.below(9)).map(|_| chance.byte()).collect();
                input.splice(at..at, run);
            }
        }
    }
    input.truncate(INPUT_BYTES_MAX);
    input
}

/// Chance enough to mutate by.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn byte(&mut self) -> u8 {
        (self.next() >> 32) as u8
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 16) as usize % bound.max(1)
    }
}
