//! The Server's process in the made world: its shards, the directory they share, and the disk.
//! The rules are those of `dunlin-node`: commit, transmit, tell; one sync for all shards.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use dunlin_lwm2m::EndpointName;
use dunlin_server::{
    Answer, Commit, NeedId, Outcome, RequestId, Server, ServerConfig, Snapshot, VirtualShards,
};
use dunlin_transport::coap::Token;
use dunlin_transport::{Address, Now, Route, WallTime, route};

use super::chance::Chance;
use super::device::registry;

/// The process, whether it runs or not.
pub(crate) struct Process {
    /// Counts the lives of the process.
    pub(crate) life: u32,
    /// Empty while it is down.
    pub(crate) shards: Vec<Shard>,
    pub(crate) directory: BTreeMap<EndpointName, usize>,
    pub(crate) disk: Disk,
    shard_count: usize,
    /// The world's time at which the clock of the process began.
    clock_began: Duration,
    /// How far the wall clock is off, in milliseconds.
    pub(crate) wall_off_ms: i64,
    chance: Chance,
}

/// One Server machine and its loop.
pub(crate) struct Shard {
    pub(crate) server: Server,
    pub(crate) scheduled: Option<Duration>,
    pub(crate) held: VecDeque<(u64, Held)>,
    /// The last commit put out, and the last that is durable.
    pub(crate) committed: u64,
    pub(crate) durable: u64,
    /// Turns without the world's clock moving on.
    pub(crate) turns: u32,
    pub(crate) turned_at: Duration,
}

/// What waits for the disk.
#[derive(Debug)]
pub(crate) enum Held {
    Transmit {
        to: Address,
        bytes: Vec<u8>,
    },
    Told {
        request: RequestId,
        outcome: Outcome,
    },
    Accepted {
        request: RequestId,
    },
}

/// Something that one shard hands another.
#[derive(Debug)]
pub(crate) enum Handed {
    Datagram(Box<super::Datagram>),
    Evict {
        endpoint: EndpointName,
        asker: usize,
        need: NeedId,
    },
    Answer {
        need: NeedId,
        answer: Answer,
    },
}

/// The notification that a datagram brought, whose traces in the log are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cause {
    pub(crate) device: usize,
    pub(crate) token: Token,
    pub(crate) sequence: u32,
}

/// A commit on its way to the disk.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) shard: usize,
    pub(crate) commit: Commit,
    pub(crate) cause: Option<Cause>,
}

/// The made disk: what is durable, and what is not yet.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub(crate) durable: Snapshot,
    pub(crate) waiting: VecDeque<Written>,
    /// How many of those that wait the sync under way will make durable.
    pub(crate) syncing: usize,
    pub(crate) full: bool,
    /// Whether the shards have been told that it is.
    pub(crate) failing: bool,
}

impl Disk {
    /// What the shards believe to be stored: the durable facts and all that wait.
    pub(crate) fn believed(&self) -> Snapshot {
        let mut believed = self.durable.clone();
        for written in &self.waiting {
            written
                .commit
                .changes
                .iter()
                .for_each(|change| believed.apply(change));
        }
        believed
    }
}

impl Process {
    pub(crate) fn new(seed: u64, shard_count: usize) -> Self {
        Self {
            life: 0,
            shards: Vec::new(),
            directory: BTreeMap::new(),
            disk: Disk::default(),
            shard_count,
            clock_began: Duration::ZERO,
            wall_off_ms: 0,
            chance: Chance::of(seed, 2),
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        !self.shards.is_empty()
    }

    pub(crate) fn now(&self, at: Duration) -> Now {
        let wall = super::BEGIN.0 + at.as_millis() as u64;
        Now {
            instant: at - self.clock_began + FIRST_INSTANT,
            wall: WallTime(wall.saturating_add_signed(self.wall_off_ms)),
        }
    }

    /// The world's time of one of the machines'.
    pub(crate) fn world_time(&self, instant: Duration) -> Duration {
        self.clock_began
            .saturating_add(instant)
            .saturating_sub(FIRST_INSTANT)
    }

    /// Starts with what is durable; the caller drains every shard.
    pub(crate) fn start(&mut self, at: Duration) {
        self.life += 1;
        self.clock_began = at;
        let parts = self.divide();
        let now = self.now(at);
        for (index, part) in parts.into_iter().enumerate() {
            let config = self.config(index);
            let mut server = Server::new(config, registry().clone(), self.chance.seed());
            server.restore(now, part);
            self.shards.push(Shard {
                server,
                scheduled: None,
                held: VecDeque::new(),
                committed: 0,
                durable: 0,
                turns: 0,
                turned_at: at,
            });
        }
    }

    fn config(&self, index: usize) -> ServerConfig {
        let mut config = ServerConfig {
            owned: VirtualShards::share(index, self.shard_count),
            claims: self.shard_count > 1,
            ..ServerConfig::default()
        };
        config.coap.token_prefix = index as u8;
        config.coap.message_id_shard_bits = self.message_id_bits();
        config.coap.message_id_shard = index as u16;
        config
    }

    fn message_id_bits(&self) -> u8 {
        self.shard_count.next_power_of_two().trailing_zeros() as u8
    }

    /// What is durable, by the owner of each Client.
    fn divide(&mut self) -> Vec<Snapshot> {
        let count = self.shard_count;
        let mut parts = vec![Snapshot::default(); count];
        let Snapshot {
            registrations,
            sessions,
            departed,
            observations,
            requests,
            bootstraps,
        } = self.disk.durable.clone();
        for (name, registration) in registrations {
            let shard = usize::from(registration.id.virtual_shard().0) % count;
            self.directory.insert(name.clone(), shard);
            parts[shard].registrations.insert(name, registration);
        }
        for (name, session) in sessions {
            let shard = self.directory.get(&name).copied().unwrap_or(0);
            parts[shard].sessions.insert(name, session);
        }
        for (name, departed) in departed {
            let shard = usize::from(departed.id.virtual_shard().0) % count;
            self.directory.insert(name.clone(), shard);
            parts[shard].departed.insert(name, departed);
        }
        for (key, observation) in observations {
            let shard = self.directory.get(&key.0).copied().unwrap_or(0);
            parts[shard].observations.insert(key, observation);
        }
        for (id, request) in requests {
            let shard = self.directory.get(&request.endpoint).copied().unwrap_or(0);
            parts[shard].requests.insert(id, request);
        }
        for (id, run) in bootstraps {
            let shard = usize::from(id.virtual_shard().0) % count;
            parts[shard].bootstraps.insert(id, run);
        }
        parts
    }

    /// Everything in memory is gone, and what the disk had not synced.
    pub(crate) fn crash(&mut self) -> usize {
        self.shards.clear();
        self.directory.clear();
        self.disk.syncing = 0;
        self.disk.full = false;
        self.disk.failing = false;
        let lost = self.disk.waiting.len();
        self.disk.waiting.clear();
        lost
    }

    /// Where the kernel delivers a datagram from there.
    pub(crate) fn arrives_at(&self, from: &Address) -> usize {
        let Address::Udp(socket) = from else { return 0 };
        let port = usize::from(socket.port());
        (port * 31 + usize::from(port as u8)) % self.shard_count
    }

    /// Whose a datagram is, that came in at `here`.
    pub(crate) fn owner_of(&self, here: usize, bytes: &[u8]) -> usize {
        let count = self.shard_count;
        if count == 1 {
            return 0;
        }
        let owner = match route(bytes) {
            Route::VirtualShard(shard) => usize::from(shard) % count,
            Route::Token(prefix) => usize::from(prefix),
            Route::MessageId(id) => usize::from(id >> (16 - self.message_id_bits())),
            Route::Here => here,
        };
        if owner < count { owner } else { here }
    }

    /// The shard that a command for this Client goes to.
    pub(crate) fn shard_of(&self, endpoint: &EndpointName) -> usize {
        self.directory.get(endpoint).copied().unwrap_or(0)
    }
}

/// The driver's clock does not begin at zero.
const FIRST_INSTANT: Duration = Duration::from_secs(5);
