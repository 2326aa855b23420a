//! The operator of the made world: reads, writes, executes, creates, deletes, observes, cancels and
//! changes his mind, at Clients chosen by chance.

use std::time::Duration;

use dunlin_lwm2m::attribute::AttributesChange;
use dunlin_lwm2m::operation::{Arguments, WriteMode};
use dunlin_lwm2m::{Instance, Node, Path, Resource, Value};
use dunlin_server::command::CancelBy;
use dunlin_server::{Command, RequestId, Settings};

use super::chance::Chance;
use super::device::{DO, MARK, SETTING, WITNESS};

/// How many instances a Client may be made to have.
const INSTANCES_MAX: u16 = 8;

/// The operator.
#[derive(Debug)]
pub(crate) struct Operator {
    pub(crate) chance: Chance,
    /// Between two commands for one Client, on average.
    every: Duration,
    next_number: u64,
    /// Requests that might still be cancelled.
    recent: Vec<(usize, RequestId)>,
}

/// What he wants now.
#[derive(Debug)]
pub(crate) enum Wish {
    Ask {
        device: usize,
        command: Command,
        settings: Settings,
        number: Option<u64>,
    },
    Withdraw(RequestId),
}

impl Operator {
    pub(crate) fn new(seed: u64, every: Duration) -> Self {
        Self {
            chance: Chance::of(seed, 3),
            every,
            next_number: 1,
            recent: Vec::new(),
        }
    }

    /// When he wants something next, with this many Clients.
    pub(crate) fn pause(&mut self, devices: usize) -> Duration {
        self.chance.every(self.every / devices as u32)
    }

    pub(crate) fn remember(&mut self, device: usize, request: RequestId) {
        if self.recent.len() == 64 {
            self.recent.remove(0);
        }
        self.recent.push((device, request));
    }

    pub(crate) fn forget_all(&mut self) {
        self.recent.clear();
    }

    /// What he wants.
    pub(crate) fn wish(&mut self, devices: usize) -> Wish {
        if self.chance.happens(0.03) && !self.recent.is_empty() {
            let chosen = self.chance.below(self.recent.len());
            return Wish::Withdraw(self.recent.swap_remove(chosen).1);
        }
        let device = self.chance.below(devices);
        let (command, number) = self.command();
        let expires_s = match self.chance.below(4) {
            0 => 600,
            1 => 7_200,
            _ => 3 * 86_400,
        };
        let settings = Settings {
            expires: Duration::from_secs(expires_s),
            queue: self.chance.happens(0.9),
            ..Settings::default()
        };
        Wish::Ask {
            device,
            command,
            settings,
            number,
        }
    }

    fn command(&mut self) -> (Command, Option<u64>) {
        let paths = [[3303, 0, 5700].into(), [3303, 0].into(), [3, 0].into()];
        let path: Path = paths[self.chance.below(3)];
        match self.chance.below(20) {
            0 | 1 => (Command::Read { path }, None),
            2 => (Command::Discover { path }, None),
            3..=6 => {
                let number = self.number();
                let arguments: Arguments = format!("0='{number}'").parse().expect("digits");
                let path = Path::from([WITNESS.0, 0, DO]);
                (Command::Execute { path, arguments }, Some(number))
            }
            7 | 8 => {
                let number = self.number();
                let instance = Instance::new(0).with(mark(number));
                let command = Command::Write {
                    path: Path::from([WITNESS.0, 0]),
                    mode: WriteMode::Partial,
                    node: Node::Instance(instance),
                };
                (command, Some(number))
            }
            9 | 10 => {
                let value = Value::Integer(self.chance.below(1_000) as i64);
                let command = Command::Write {
                    path: Path::from([WITNESS.0, 0, SETTING]),
                    mode: WriteMode::Replace,
                    node: Node::Resource(Resource::single(SETTING, value)),
                };
                (command, None)
            }
            11 | 12 => {
                let number = self.number();
                let command = Command::Create {
                    object: WITNESS,
                    instance: None,
                    resources: vec![mark(number)],
                };
                (command, Some(number))
            }
            13 | 14 => {
                let instance = 1 + self.chance.below(usize::from(INSTANCES_MAX)) as u16;
                let path = Path::from([WITNESS.0, instance]);
                (Command::Delete { path }, None)
            }
            15 => (self.lifetime(), None),
            16 => (self.attributes(), None),
            17 => {
                let by = if self.chance.happens(0.5) {
                    CancelBy::Reset
                } else {
                    CancelBy::Observe
                };
                (Command::Cancel { path, by }, None)
            }
            _ => {
                let renew = self.chance.happens(0.9);
                (Command::Observe { path, renew }, None)
            }
        }
    }

    fn lifetime(&mut self) -> Command {
        let lifetimes = [60, 300, 3_600, 86_400];
        let lifetime_s = lifetimes[self.chance.below(lifetimes.len())];
        Command::Write {
            path: Path::from([1, 0, 1]),
            mode: WriteMode::Replace,
            node: Node::Resource(Resource::single(1, Value::Integer(lifetime_s))),
        }
    }

    fn attributes(&mut self) -> Command {
        let pmin_s = self.chance.below(30);
        let text = if self.chance.happens(0.5) {
            format!("pmin={pmin_s}&pmax={}", 600 + self.chance.below(3_000))
        } else {
            "pmin&pmax".to_owned()
        };
        Command::WriteAttributes {
            path: Path::from([3303, 0, 5700]),
            attributes: attributes_change(&text),
        }
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number - 1
    }
}

fn attributes_change(text: &str) -> AttributesChange {
    AttributesChange::parse(text.split('&')).expect("they are ours")
}

fn mark(number: u64) -> Resource {
    Resource::single(MARK, Value::String(number.to_string()))
}
