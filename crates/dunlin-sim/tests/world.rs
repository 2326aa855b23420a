//! Short lives of seeded universes: what `./test` has time for on every run. Days and weeks are
//! lived by `examples/world.rs`.

use std::time::Duration;

use dunlin_sim::world::{Faults, Universe, Verdict, Weather, run};

const HOUR: Duration = Duration::from_secs(3_600);

/// More goes wrong in an hour than otherwise in a day.
fn stormy(seed: u64, clients: usize, hours: u32) -> Universe {
    Universe {
        weather: Weather {
            rebinding: Some(HOUR),
            partition: Some(HOUR),
            ..Weather::ROUGH
        },
        faults: Faults {
            reboot: Some(HOUR * 4),
            crash: Some(HOUR / 2),
            full_disk: Some(HOUR),
            clock_jump: Some(HOUR * 8),
        },
        commands_every: HOUR / 6,
        ..Universe::rough(seed, clients, HOUR * hours)
    }
}

fn held(verdict: &Verdict) {
    if let Some(failure) = &verdict.failure {
        let trace = failure.trace.join("\n");
        let (seed, what, device) = (verdict.seed, &failure.what, failure.device);
        panic!("seed {seed}, Client {device:?}: {what}\n{trace}");
    }
}

#[test]
fn the_truths_hold_in_stormy_hours() {
    for seed in 0..4 {
        let verdict = run(&stormy(seed, 12, 4));
        held(&verdict);
        let tally = verdict.tally;
        assert!(tally.crashes > 0 && tally.reboots > 0 && tally.acknowledged > 0);
        assert!(tally.lost > 0 && tally.doubled > 0 && tally.done > 0);
    }
}

#[test]
fn in_fair_weather_nothing_is_lost() {
    let universe = Universe {
        weather: Weather::FAIR,
        faults: Faults::NONE,
        ..Universe::rough(3, 10, HOUR * 12)
    };
    let verdict = run(&universe);
    held(&verdict);
    let tally = verdict.tally;
    assert_eq!((tally.registered, tally.lost, tally.crashes), (10, 0, 0));
    assert_eq!((tally.unknown_explained, tally.late), (0, 0));
    assert_eq!(tally.unknown, 0, "every Execute has an answer");
}

#[test]
fn a_seed_is_a_universe() {
    let first = run(&stormy(7, 10, 2));
    let again = run(&stormy(7, 10, 2));
    let other = run(&stormy(8, 10, 2));
    assert_eq!(first.trace_hash, again.trace_hash);
    assert_eq!(first.tally, again.tally);
    assert_ne!(first.trace_hash, other.trace_hash);
}
