//! The seeded universe: one clock, one queue of happenings, Clients and a Server of the product
//! joined by a made network, on a made disk. Nothing else is made: what is tested is the product.
//!
//! A universe is its seed. [`run`] lives it: weather and faults for as many days as asked, then
//! they stop, and the world must come to rest - every Client known, every request ended, nothing
//! left over. `check` says what must hold on the way; the first thing that does not ends
//! the run, with the last lines of the trace.
//!
//! - `device`: a Client and what it keeps. `process`: the Server's shards and the disk.
//! - `operator`: who gives commands. `network` and `fault`: what goes wrong.
//! - `rest`: what must be true when everything has come to rest.

pub(crate) mod chance;
mod clients;
pub(crate) mod device;
mod operator;
pub(crate) mod process;
mod rest;
mod server;
pub(crate) mod verdict;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use dunlin_transport::{Address, WallTime};

use self::chance::Chance;
use self::device::Device;
use self::operator::{Operator, Wish};
use self::process::{Handed, Process};
pub use self::verdict::{Failure, Tally, Verdict};
use self::verdict::{Line, Trace};
use crate::check::wire::Note;
use crate::check::{Asked, Broken, Ledger};
pub(crate) use crate::network::Datagram;
use crate::network::{Direction, Network};

pub use crate::fault::Faults;
pub use crate::network::Weather;

use crate::fault::{Fault, until_it_heals};

/// 2026-01-01.
pub(crate) const BEGIN: WallTime = WallTime(1_767_225_600_000);

/// How often the Servers' state is held against what the disk would restore.
const AUDIT_EVERY: Duration = Duration::from_secs(6 * 3600);

/// What a universe is like.
#[derive(Clone, Debug)]
pub struct Universe {
    /// Everything follows from this.
    pub seed: u64,
    /// How many Clients.
    pub clients: usize,
    /// How many shards the Server has.
    pub shards: usize,
    /// How long weather and faults last.
    pub span: Duration,
    /// What the network does.
    pub weather: Weather,
    /// What breaks.
    pub faults: Faults,
    /// Between two commands of the operator for one Client, on average.
    pub commands_every: Duration,
}

impl Universe {
    /// The universe of the issue: 20 % lost, 10 % doubled, reboots, crashes; one shard if the seed
    /// is even, three if it is odd.
    #[must_use]
    pub fn rough(seed: u64, clients: usize, span: Duration) -> Self {
        Self {
            seed,
            clients,
            shards: if seed.is_multiple_of(2) { 1 } else { 3 },
            span,
            weather: Weather::ROUGH,
            faults: Faults::MANY,
            commands_every: Duration::from_secs(3_600),
        }
    }
}

/// Lives a universe to its end, or to the first thing that breaks a truth.
#[must_use]
pub fn run(universe: &Universe) -> Verdict {
    let mut world = World::new(universe);
    let done = world.live();
    let failure = done.err().map(|(device, what)| Failure {
        at: world.at,
        device,
        what,
        trace: world.trace.tail(device),
    });
    Verdict {
        seed: universe.seed,
        failure,
        trace_hash: world.trace.hash(),
        tally: world.tally,
    }
}

/// Something that happens at its time.
#[derive(Debug)]
enum Happening {
    /// A Client's timer, in one of its lives.
    DeviceTimer(usize, u32),
    /// What a Client has written is kept.
    DeviceKept(usize, u32, u64),
    /// A Client measures.
    Measurement(usize),
    /// A shard's timer, in one life of the process.
    ShardTimer(usize, u32),
    /// A datagram arrives.
    Arrival(Box<Datagram>),
    /// One shard hands something to another.
    Handover(usize, u32, Box<Handed>),
    /// The disk has synced, in one life of the process.
    Synced(u32),
    /// The operator wants something.
    Wish,
    /// Something breaks or heals.
    Fault(Fault),
    /// The state is looked at.
    Audit,
}

struct Entry {
    at: Duration,
    sequence: u64,
    what: Happening,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

/// What broke, and the Client it concerns.
type Break = (Option<usize>, Broken);

/// Everything there is.
struct World {
    universe: Universe,
    at: Duration,
    queue: BinaryHeap<Reverse<Entry>>,
    sequence: u64,
    chance: Chance,
    network: Network,
    devices: Vec<Device>,
    process: Process,
    operator: Operator,
    ledger: Ledger,
    trace: Trace,
    tally: Tally,
    /// Weather and faults, until they stop.
    rough: bool,
    /// Whether Clients measure.
    measuring: bool,
    /// When the store was last found failing or the process started: before that, queues may wait.
    steady_since: Duration,
}

impl World {
    fn new(universe: &Universe) -> Self {
        let Universe { seed, clients, .. } = *universe;
        let mut world = Self {
            universe: universe.clone(),
            at: Duration::ZERO,
            queue: BinaryHeap::new(),
            sequence: 0,
            chance: Chance::of(seed, 4),
            network: Network::new(universe.weather, seed, clients),
            devices: (0..clients).map(|index| Device::new(seed, index)).collect(),
            process: Process::new(seed, universe.shards),
            operator: Operator::new(seed, universe.commands_every),
            ledger: Ledger::new(clients),
            trace: Trace::new(clients),
            tally: Tally::default(),
            rough: true,
            measuring: true,
            steady_since: Duration::ZERO,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        self.after(Duration::ZERO, Happening::Fault(Fault::Start));
        for device in 0..self.devices.len() {
            let power_on = self
                .chance
                .between(Duration::from_secs(1), Duration::from_secs(600));
            self.after(power_on, Happening::Fault(Fault::PowerOn(device)));
            self.next_fault(Fault::Reboot(device));
            self.next_fault(Fault::Rebind(device));
        }
        for fault in [
            Fault::Crash,
            Fault::DiskFull,
            Fault::ClockJump,
            Fault::Partition,
        ] {
            self.next_fault(fault);
        }
        let pause = self.operator.pause(self.devices.len());
        self.after(Duration::from_secs(700) + pause, Happening::Wish);
        self.after(AUDIT_EVERY, Happening::Audit);
    }

    fn live(&mut self) -> Result<(), Break> {
        self.run_until(self.universe.span)?;
        self.come_to_rest()
    }

    fn run_until(&mut self, end: Duration) -> Result<(), Break> {
        while let Some(Reverse(entry)) = self.queue.peek() {
            if entry.at > end {
                break;
            }
            let Reverse(Entry { at, what, .. }) = self.queue.pop().expect("it was just seen");
            self.at = self.at.max(at);
            self.tally.happenings += 1;
            self.happen(what)?;
        }
        self.at = end;
        Ok(())
    }

    fn after(&mut self, delay: Duration, what: Happening) {
        let at = self.at + delay;
        self.at_time(at, what);
    }

    fn at_time(&mut self, at: Duration, what: Happening) {
        self.sequence += 1;
        let sequence = self.sequence;
        self.queue.push(Reverse(Entry { at, sequence, what }));
    }

    fn happen(&mut self, what: Happening) -> Result<(), Break> {
        match what {
            Happening::DeviceTimer(device, life) => self.device_timer(device, life),
            Happening::DeviceKept(device, life, number) => self.device_kept(device, life, number),
            Happening::Measurement(device) => self.measurement(device),
            Happening::ShardTimer(shard, life) => self.shard_timer(shard, life),
            Happening::Arrival(datagram) => self.arrival(datagram),
            Happening::Handover(shard, life, handed) => self.handover(shard, life, *handed),
            Happening::Synced(life) => self.synced(life),
            Happening::Wish => self.wish(),
            Happening::Fault(fault) => self.fault(fault),
            Happening::Audit => {
                self.after(AUDIT_EVERY, Happening::Audit);
                self.audit()
            }
        }
    }

    fn text(&mut self, device: Option<usize>, text: impl Into<String>) {
        self.trace.line(self.at, device, Line::Text(text.into()));
    }

    // The network.

    /// A datagram leaves one side.
    fn carry(&mut self, device: usize, direction: Direction, outer: Address, bytes: Vec<u8>) {
        let note = Note::read(&bytes);
        let copies = self.network.carry(device);
        self.tally.datagrams += 1;
        self.tally.lost += u64::from(copies.is_empty());
        self.tally.doubled += u64::from(copies.len() > 1);
        self.trace.mix_bytes(&bytes);
        let line = Line::Sent(direction == Direction::Up, note, copies.len());
        self.trace.line(self.at, Some(device), line);
        for delay in copies {
            let datagram = Datagram {
                device,
                direction,
                outer: outer.clone(),
                bytes: bytes.clone(),
                note,
            };
            self.after(delay, Happening::Arrival(Box::new(datagram)));
        }
    }

    fn arrival(&mut self, datagram: Box<Datagram>) -> Result<(), Break> {
        let Datagram { device, note, .. } = *datagram;
        let up = datagram.direction == Direction::Up;
        let found = if up {
            self.process.is_up()
        } else {
            let own = Address::Udp(self.network.outer(device));
            self.devices[device].client.is_some() && datagram.outer == own
        };
        if !found {
            let line = Line::Nowhere(up, note);
            self.trace.line(self.at, Some(device), line);
            return Ok(());
        }
        if up {
            return self.at_socket(datagram);
        }
        let line = Line::Arrived(up, note);
        self.trace.line(self.at, Some(device), line);
        self.device_receives(*datagram)
    }

    // The operator.

    fn wish(&mut self) -> Result<(), Break> {
        if !self.rough {
            return Ok(());
        }
        let pause = self.operator.pause(self.devices.len());
        self.after(pause, Happening::Wish);
        if !self.process.is_up() {
            return Ok(());
        }
        match self.operator.wish(self.devices.len()) {
            Wish::Withdraw(request) => {
                for shard in 0..self.process.shards.len() {
                    let now = self.process.now(self.at);
                    let done = self.process.shards[shard].server.cancel(now, request);
                    self.drain(shard, None)?;
                    if done.is_ok() {
                        break;
                    }
                }
                Ok(())
            }
            Wish::Ask {
                device,
                command,
                settings,
                number,
            } => {
                let name = command.name();
                let shard = self.process.shard_of(&self.devices[device].name);
                let now = self.process.now(self.at);
                let server = &mut self.process.shards[shard].server;
                let ticket = server.request(now, &self.devices[device].name, command, settings);
                match ticket {
                    Err(refused) => {
                        self.tally.refused += 1;
                        self.text(Some(device), format!("{name} is refused: {refused}"));
                    }
                    Ok(ticket) => {
                        self.tally.asked += 1;
                        self.text(
                            Some(device),
                            format!("{name} {} number {number:?}: {:?}", ticket.id, ticket.state),
                        );
                        self.operator.remember(device, ticket.id);
                        let asked = Asked {
                            device,
                            number,
                            name,
                            at: self.at,
                            life: self.process.life,
                            accepted: false,
                            told: 0,
                            logged: 0,
                            outcome: None,
                        };
                        self.ledger.asked(ticket.id, asked);
                        let queued = ticket.state == dunlin_server::command::RequestState::Queued;
                        return self.drain_and_accept(shard, queued.then_some(ticket.id));
                    }
                }
                self.drain(shard, None)
            }
        }
    }

    // Faults.

    fn next_fault(&mut self, fault: Fault) {
        let Universe {
            faults, weather, ..
        } = &self.universe;
        let mean = match fault {
            Fault::Reboot(_) => faults.reboot,
            Fault::Crash => faults.crash,
            Fault::DiskFull => faults.full_disk,
            Fault::ClockJump => faults.clock_jump,
            Fault::Rebind(_) => weather.rebinding,
            Fault::Partition => weather.partition,
            Fault::PowerOn(_) | Fault::Start | Fault::DiskFreed | Fault::Healed => None,
        };
        if let Some(mean) = mean {
            let pause = self.chance.every(mean);
            self.after(pause, Happening::Fault(fault));
        }
    }

    fn heals(&mut self, fault: Fault, healing: Fault) {
        let pause = until_it_heals(fault, &mut self.chance);
        self.after(pause, Happening::Fault(healing));
    }

    fn fault(&mut self, fault: Fault) -> Result<(), Break> {
        let breaks = !matches!(
            fault,
            Fault::PowerOn(_) | Fault::Start | Fault::DiskFreed | Fault::Healed
        );
        if breaks && !self.rough {
            return Ok(());
        }
        self.next_fault(fault);
        match fault {
            Fault::Reboot(device) => self.reboot(device),
            Fault::PowerOn(device) => self.power_on(device),
            Fault::Rebind(device) => {
                self.network.rebind(device);
                self.tally.rebindings += 1;
                let outer = self.network.outer(device);
                self.text(Some(device), format!("is seen from {outer} now"));
                Ok(())
            }
            Fault::Crash => self.crash(),
            Fault::Start => self.start(),
            Fault::DiskFull => {
                self.tally.full_disks += 1;
                self.process.disk.full = true;
                self.text(None, "the disk is full");
                self.heals(fault, Fault::DiskFreed);
                Ok(())
            }
            Fault::DiskFreed => self.disk_freed(),
            Fault::ClockJump => {
                let span = self
                    .chance
                    .between(Duration::from_secs(1), Duration::from_secs(7_200));
                let sign = if self.chance.happens(0.5) { 1 } else { -1 };
                self.process.wall_off_ms += sign * span.as_millis() as i64;
                self.tally.clock_jumps += 1;
                self.ledger.clock_jumped(self.at);
                let off_ms = self.process.wall_off_ms;
                self.text(
                    None,
                    format!("the Server's wall clock is off by {off_ms} ms"),
                );
                Ok(())
            }
            Fault::Partition => {
                self.tally.partitions += 1;
                let eighths = 1 + self.chance.below(255) as u8;
                self.network.cut_off(eighths);
                self.text(None, format!("cut off: {eighths:08b}"));
                self.heals(fault, Fault::Healed);
                Ok(())
            }
            Fault::Healed => {
                self.network.cut_off(0);
                self.text(None, "the network is whole");
                Ok(())
            }
        }
    }
}
