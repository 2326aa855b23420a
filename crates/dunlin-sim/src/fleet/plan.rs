//! A scenario with its numbers worked out for a fleet of a given size: what the machine is told.

use std::time::Duration;

use super::client::NEVER;
use super::scenario::{BadFirmware, Misbehaviour, Scenario, Storm};

/// What the machine has to know.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) scenario: Scenario,
    /// How many Clients.
    pub(crate) clients: u32,
    /// The number of the first.
    pub(crate) first: u32,
    /// How many begin to register in a second.
    pub(crate) rate: f64,
    /// How many addresses a Client can have, one at a time.
    pub(crate) bindings: u16,
    /// Whether they speak DTLS: what befalls datagrams befalls them below it.
    pub(crate) secured: bool,
    /// Whether somebody wants to know what was acknowledged.
    pub(crate) wants_facts: bool,
    pub(crate) update_ms: u32,
    pub(crate) notify_ms: u32,
    pub(crate) awake_ms: u32,
}

impl Plan {
    pub(crate) fn new(scenario: Scenario, clients: u32, rate: f64) -> Self {
        Plan {
            update_ms: milliseconds(scenario.update_every(clients)),
            notify_ms: milliseconds(scenario.notify_every(clients)),
            awake_ms: milliseconds(scenario.queue.unwrap_or_default().awake),
            scenario,
            clients,
            first: 0,
            rate,
            bindings: 1,
            secured: false,
            wants_facts: false,
        }
    }

    /// When the n-th Client is switched on: the schedule, whatever became of those before.
    pub(crate) fn arrival(&self, client: u32) -> Duration {
        Duration::from_secs_f64(f64::from(client) / self.rate)
    }

    /// Whether the n-th Client sleeps: the sleepers are spread evenly.
    pub(crate) fn is_sleeper(&self, client: u32) -> bool {
        let share = self.scenario.queue.map_or(0.0, |queue| queue.share);
        let before = |n: f64| (n * share).floor();
        before(f64::from(client) + 1.0) > before(f64::from(client))
    }

    /// The name of the n-th Client, 24 bytes with the default prefix.
    pub(crate) fn endpoint(&self, client: u32) -> String {
        let number = u64::from(self.first) + u64::from(client);
        format!("{}{number:07}", self.scenario.endpoint_prefix)
    }

    /// How many have a bad firmware.
    fn bad_count(&self, bad: &BadFirmware) -> u32 {
        (f64::from(self.clients) * bad.share).round() as u32
    }

    /// The n-th of `count` Clients that are spread evenly over the fleet.
    pub(crate) fn spread(&self, n: u32, count: u32) -> u32 {
        let product = u64::from(n) * u64::from(self.clients);
        (product / u64::from(count.max(1))) as u32
    }

    /// Whether a Client does this now, of what is not an act but a state.
    pub(crate) fn does(&self, now: Duration, client: u32, what: Misbehaviour) -> bool {
        let mut all = self.scenario.bad_firmware.iter();
        all.any(|bad| {
            let count = self.bad_count(bad);
            bad.does == what && now >= bad.at && count > 0 && {
                // The only one of the spread that this Client can be.
                let n = (u64::from(client) * u64::from(count)).div_ceil(self.clients.into());
                n < u64::from(count) && self.spread(n as u32, count) == client
            }
        })
    }

    /// What befalls Clients during the run.
    pub(crate) fn disturbances(&self) -> Vec<Disturbance> {
        let mut all = Vec::new();
        for (event, kind) in [
            (self.scenario.reboot, DisturbanceKind::Reboot),
            (self.scenario.rebind, DisturbanceKind::Rebind),
        ] {
            let Some(event) = event else { continue };
            let mean = event.every.div_f64(f64::from(self.clients.max(1)));
            all.push(Disturbance {
                kind,
                next: mean,
                pace: Pace::AtRandom { mean },
            });
        }
        for (index, bad) in self.scenario.bad_firmware.iter().enumerate() {
            let count = self.bad_count(bad);
            if count == 0 || !bad.does.is_an_act() {
                continue;
            }
            let mean = bad.every.div_f64(f64::from(count));
            all.push(Disturbance {
                kind: DisturbanceKind::BadFirmware { index, count },
                next: bad.at + mean,
                pace: Pace::AtRandom { mean },
            });
        }
        for &Storm { at, within, share } in &self.scenario.storm {
            let count = (f64::from(self.clients) * share).round() as u32;
            let Some(gap) = within.checked_div(count) else {
                continue;
            };
            let pace = Pace::Evenly {
                gap,
                count,
                done: 0,
            };
            all.push(Disturbance {
                kind: DisturbanceKind::Reboot,
                next: at,
                pace,
            });
        }
        all
    }
}

/// Something that befalls one Client after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Disturbance {
    pub(crate) kind: DisturbanceKind,
    /// When it strikes next.
    pub(crate) next: Duration,
    pub(crate) pace: Pace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DisturbanceKind {
    Reboot,
    Rebind,
    /// One of the `count` Clients with this bad firmware does what it does.
    BadFirmware {
        index: usize,
        count: u32,
    },
}

impl Misbehaviour {
    /// Whether it is done now and then, and not always.
    pub(crate) fn is_an_act(self) -> bool {
        !matches!(self, Misbehaviour::Deaf | Misbehaviour::Nonsense)
    }
}

/// How a disturbance goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// Any Client, at random times with this mean between them.
    AtRandom { mean: Duration },
    /// `count` Clients, each once, `gap` apart.
    Evenly {
        gap: Duration,
        count: u32,
        done: u32,
    },
}

/// In the resolution of the calendar; what is longer than it reaches never comes.
pub(crate) fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(NEVER - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::scenario::Queue;

    #[test]
    fn clients_come_by_the_schedule() {
        let plan = Plan::new(Scenario::default(), 10, 4.0);
        assert_eq!(plan.arrival(0), Duration::ZERO);
        assert_eq!(plan.arrival(6), Duration::from_millis(1500));
    }

    #[test]
    fn the_default_name_has_24_bytes() {
        let plan = Plan {
            first: 100,
            ..Plan::new(Scenario::default(), 10, 1.0)
        };
        assert_eq!(plan.endpoint(7), "urn:dunlin:fleet-0000107");
        assert_eq!(plan.endpoint(7).len(), 24);
    }

    #[test]
    fn as_many_have_a_bad_firmware_as_the_scenario_says() {
        for (clients, share, count) in [(1000, 0.3, 300), (7, 0.5, 4), (10, 1.0, 10), (10, 0.0, 0)]
        {
            let text = format!("[[bad_firmware]]\ndoes = \"deaf\"\nshare = {share}\nat_s = 5");
            let scenario = Scenario::parse(&text).expect("valid");
            let plan = Plan::new(scenario, clients, 1.0);
            let deaf = |at| {
                let all = 0..clients;
                all.filter(|&one| plan.does(Duration::from_secs(at), one, Misbehaviour::Deaf))
                    .count()
            };
            assert_eq!((deaf(4), deaf(5)), (0, count), "{share} of {clients}");
            assert!(plan.disturbances().is_empty());
        }
    }

    #[test]
    fn as_many_sleep_as_the_scenario_says() {
        let queue = Queue {
            share: 0.3,
            ..Queue::default()
        };
        let scenario = Scenario {
            queue: Some(queue),
            ..Scenario::default()
        };
        let plan = Plan::new(scenario, 1000, 1.0);
        assert_eq!((0..1000).filter(|&n| plan.is_sleeper(n)).count(), 300);
        let all = Plan::new(
            Scenario {
                queue: Some(Queue::default()),
                ..Scenario::default()
            },
            9,
            1.0,
        );
        assert!((0..9).all(|n| all.is_sleeper(n)));
        let none = Plan::new(Scenario::default(), 9, 1.0);
        assert!(!(0..9).any(|n| none.is_sleeper(n)));
    }
}
