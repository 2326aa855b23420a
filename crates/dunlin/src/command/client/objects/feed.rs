//! Values that come from outside the machine: made up, read from files, said by programs.

use std::f64::consts::TAU;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path as FilePath, PathBuf};
use std::time::Duration;

use dunlin_client::Sample;
use dunlin_lwm2m::definition::ResourceDefinition;
use dunlin_lwm2m::{ObjectId, ObjectInstanceId, Path, ResourceId, ResourceValue};
use dunlin_net::client::ClientHandle;

use super::value;
use crate::command::client::program::{OUTPUT_BYTES_MAX, Program};

/// One Resource that is fed, in all instances that the file names.
#[derive(Clone, Debug)]
pub(crate) struct Feed {
    pub(super) object: ObjectId,
    pub(super) instances: Vec<u16>,
    pub(super) definition: ResourceDefinition,
    pub(super) origin: Origin,
    pub(super) every: Duration,
    /// What numbers are multiplied with.
    pub(super) scale: f64,
}

/// Where a value comes from.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    Sine {
        min: f64,
        max: f64,
        period: Duration,
    },
    Walk {
        min: f64,
        max: f64,
        step: f64,
    },
    Counter {
        from: f64,
        step: f64,
    },
    File(PathBuf),
    Command(Program),
}

/// Where a feed stands.
#[derive(Debug, Default)]
struct Standing {
    turns: u64,
    walked: Option<f64>,
    chance: u64,
    /// What was wrong last: the same is not said twice.
    complaint: Option<String>,
}

impl Feed {
    pub(super) fn object(&self) -> ObjectId {
        self.object
    }

    pub(super) fn resource(&self) -> ResourceId {
        self.definition.id
    }

    /// Feeds until the Client has ended.
    pub(crate) async fn run(self, handle: ClientHandle, seed: u64) {
        let mut standing = Standing {
            chance: seed | 1,
            ..Standing::default()
        };
        let mut interval = tokio::time::interval(self.every);
        // A program that is slower than its interval is not made up for.
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            interval.tick().await;
            match self.next(&mut standing).await {
                Ok(value) => {
                    standing.complaint = None;
                    if !self.hand_in(&handle, value).await {
                        return;
                    }
                }
                Err(complaint) if standing.complaint.as_ref() == Some(&complaint) => {}
                Err(complaint) => {
                    let path = Path::from([self.object.0, self.instances[0], self.definition.id.0]);
                    tracing::warn!(%path, complaint, "no value; the last one stays");
                    standing.complaint = Some(complaint);
                }
            }
        }
    }

    /// An instance that a Server has deleted does not come back by itself.
    async fn hand_in(&self, handle: &ClientHandle, value: ResourceValue) -> bool {
        let (object, resource) = (self.object, self.definition.id);
        let instances = self.instances.clone();
        handle
            .run(move |client, now| {
                let there = |id: &u16| {
                    let slot = client.tree().slot(object);
                    slot.is_some_and(|slot| slot.instances.contains_key(&ObjectInstanceId(*id)))
                };
                let samples: Vec<Sample> = instances
                    .iter()
                    .filter(|id| there(id))
                    .map(|id| {
                        let path = Path::from([object.0, *id, resource.0]);
                        Sample::Value(path, value.clone())
                    })
                    .collect();
                client.take(now, samples);
            })
            .await
    }

    async fn next(&self, standing: &mut Standing) -> Result<ResourceValue, String> {
        let turn = standing.turns;
        standing.turns += 1;
        let number = match &self.origin {
            Origin::Sine { min, max, period } => {
                let seconds = self.every.as_secs_f64() * turn as f64;
                let wave = (seconds / period.as_secs_f64() * TAU).sin();
                min + (max - min) * (wave + 1.0) / 2.0
            }
            Origin::Walk { min, max, step } => {
                let last = standing.walked.unwrap_or((min + max) / 2.0);
                let next = last + step * (2.0 * chance(&mut standing.chance) - 1.0);
                *standing.walked.insert(next.clamp(*min, *max))
            }
            Origin::Counter { from, step } => from + step * turn as f64,
            Origin::File(path) => {
                let said =
                    read_bounded(path).map_err(|error| format!("{}: {error}", path.display()))?;
                return value::from_bytes(&self.definition, &said, self.scale)
                    .map_err(|what| format!("{}: {what}", path.display()));
            }
            Origin::Command(program) => {
                let name = program.name();
                let ended = program.run(b"", &[]).await;
                let ended = ended.map_err(|error| format!("{name}: {error}"))?;
                if !ended.status.success() {
                    return Err(format!("{name}: {}", ended.status));
                }
                return value::from_bytes(&self.definition, &ended.output, self.scale)
                    .map_err(|what| format!("{name}: {what}"));
            }
        };
        // As many digits as a person reads.
        let number = (number * self.scale * 1_000.0).round() / 1_000.0;
        value::from_number(&self.definition, number)
    }
}

fn read_bounded(path: &FilePath) -> io::Result<Vec<u8>> {
    let mut said = Vec::new();
    let mut file = File::open(path)?.take(OUTPUT_BYTES_MAX + 1);
    file.read_to_end(&mut said)?;
    if said.len() as u64 > OUTPUT_BYTES_MAX {
        return Err(io::Error::other(format!(
            "it has more than {OUTPUT_BYTES_MAX} bytes"
        )));
    }
    Ok(said)
}

/// From 0 to 1; xorshift, for values that nobody bets on.
fn chance(state: &mut u64) -> f64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunlin_lwm2m::{Value, ValueType};

    async fn numbers(origin: Origin, value_type: ValueType, count: usize) -> Vec<f64> {
        let feed = Feed {
            object: ObjectId(26_241),
            instances: vec![0],
            definition: ResourceDefinition::new(0, "x", value_type),
            origin,
            every: Duration::from_secs(1),
            scale: 1.0,
        };
        let mut standing = Standing {
            chance: 7,
            ..Standing::default()
        };
        let mut all = Vec::new();
        for _ in 0..count {
            let ResourceValue::Single(value) = feed.next(&mut standing).await.unwrap() else {
                panic!("one value")
            };
            all.push(Value::as_number(&value).unwrap());
        }
        all
    }

    #[tokio::test]
    async fn generators_stay_in_their_bounds() {
        let sine = Origin::Sine {
            min: 10.0,
            max: 20.0,
            period: Duration::from_secs(4),
        };
        assert_eq!(
            numbers(sine, ValueType::Float, 5).await,
            [15.0, 20.0, 15.0, 10.0, 15.0]
        );
        let counter = Origin::Counter {
            from: 5.0,
            step: 2.0,
        };
        assert_eq!(
            numbers(counter, ValueType::Integer, 3).await,
            [5.0, 7.0, 9.0]
        );
        let walk = Origin::Walk {
            min: 0.0,
            max: 1.0,
            step: 0.4,
        };
        let walked = numbers(walk, ValueType::Float, 200).await;
        assert!(walked.iter().all(|number| (0.0..=1.0).contains(number)));
        assert!(
            walked
                .windows(2)
                .all(|pair| (pair[0] - pair[1]).abs() <= 0.401)
        );
        assert!(walked.windows(2).any(|pair| pair[0] != pair[1]));
    }
}
