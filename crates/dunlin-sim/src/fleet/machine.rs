//! The fleet as one machine: time and bytes in, bytes and facts out, like every machine of dunlin.
//!
//! The flow of one Client:
//!
//! 1. Its time in the schedule comes: *Registering*, a Register goes out.
//! 2. 2.01 makes it *Registered*; Updates follow at their pace, and notifications once the server
//!    observes something. One Confirmable message waits for its answer at a time (NSTART = 1); what
//!    becomes due meanwhile goes out behind it and is measured from when it was due.
//! 3. No answer: the message goes out again at doubling intervals (RFC 7252 §4.2), and is given up.
//! 4. 4.04 on an Update: the server has forgotten it, it registers anew. So it does after a reboot.
//! 5. At the end it may de-register.
//!
//! The parts: `exchange` (what is sent and waited for), `receive` (what a server says), `answer`
//! (what it asks).

mod answer;
mod exchange;
mod receive;

use std::time::Duration;

use dunlin_coap::wire::datagram;
use dunlin_coap::{Code, Message, MessageId, MessageType, OptionList};
use dunlin_lwm2m::Path;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::client::{Client, Flags, Locations, NEVER, Observations, Phase};
use super::message::{Outgoing, Tray, empty, token};
use super::plan::{Disturbance, DisturbanceKind, Pace, Plan, milliseconds};
use super::report::{Ended, Generator, Kind, Report, Statistics};
use super::scenario::Misbehaviour;
use super::tree::Tree;
use super::wheel::{Milliseconds, Wheel};

/// How many Clients are woken before the driver looks at its sockets again: some hundred
/// microseconds of work, so that answers do not wait for long.
const WAKE_BATCH: usize = 256;

/// A separate response is awaited as long as a Confirmable message may travel: MAX_TRANSMIT_WAIT
/// (RFC 7252 §4.8.2).
const SEPARATE_WAIT_MS: u32 = 93_000;

/// A server that is busy tells how long to stay away (5.03 with Max-Age); without, RFC 7252 §5.10.5
/// says this.
const MAX_AGE_DEFAULT_S: u32 = 60;

/// What a server has acknowledged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fact {
    Registered {
        client: u32,
        lifetime_s: u32,
    },
    Updated {
        client: u32,
        lifetime_s: u32,
    },
    Notified {
        client: u32,
        path: Path,
        reading: u32,
        value: f32,
    },
    Deregistered {
        client: u32,
    },
}

/// The machine.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) plan: Plan,
    pub(crate) clients: Vec<Client>,
    locations: Locations,
    pub(crate) observations: Observations,
    wheel: Wheel,
    random: ChaCha8Rng,
    pub(crate) statistics: Statistics,
    disturbances: Vec<Disturbance>,
    /// The next Client to be switched on.
    arriving: u32,
    /// Clients whose first registering has come to an end.
    settled: u32,
    /// Clients that have a registration.
    registered: u32,
    /// How many had one when de-registering began.
    registered_before: Option<u32>,
    /// Exchanges that wait for an answer.
    outstanding: u32,
    /// Nothing new begins; with the next Client to de-register.
    closing: Option<(Duration, u32)>,
    tray: Tray,
    facts: Vec<Fact>,
    /// Clients that have restarted, and so have no session any more.
    pub(crate) restarted: Vec<u32>,
    due: Vec<(Milliseconds, u32)>,
    scratch: Vec<u8>,
}

impl Machine {
    pub(crate) fn new(plan: Plan, seed: [u8; 32]) -> Self {
        let count = plan.clients as usize;
        let mut random = ChaCha8Rng::from_seed(seed);
        let clients = (0..plan.clients)
            .map(|number| {
                let mut client = Client::new(plan.scenario.lifetime_s);
                client.message_id = random.next_u32() as u16;
                client.binding = (number % u32::from(plan.bindings)) as u16;
                client.flags.set(Flags::QUEUE, plan.is_sleeper(number));
                client
            })
            .collect();
        let complete = plan.arrival(plan.clients);
        Machine {
            disturbances: plan.disturbances(),
            plan,
            clients,
            locations: Locations::new(count),
            observations: Observations::new(),
            wheel: Wheel::new(),
            random,
            statistics: Statistics::new(complete),
            arriving: 0,
            settled: 0,
            registered: 0,
            registered_before: None,
            outstanding: 0,
            closing: None,
            tray: Tray::default(),
            facts: Vec::new(),
            restarted: Vec::new(),
            due: Vec::with_capacity(WAKE_BATCH),
            scratch: Vec::new(),
        }
    }

    /// A datagram has come for a Client at one of its addresses.
    pub(crate) fn handle_receive(
        &mut self,
        now: Duration,
        client: u32,
        binding: u16,
        bytes: &[u8],
    ) {
        let Some(record) = self.clients.get(client as usize).copied() else {
            return self.statistics.error("datagram_for_nobody".to_owned());
        };
        if !self.plan.secured && self.is_lost() {
            return;
        }
        // What was sent to an address that the Client no longer has does not reach it; and who is
        // not switched on hears nothing.
        if record.binding != binding || record.phase == Phase::Absent {
            return;
        }
        if self.is_asleep(now, client) {
            self.statistics.requests_slept_through += 1;
            return;
        }
        match datagram::decode(bytes) {
            Ok(message) => self.receive(now, client, &message),
            Err(_) => {
                self.statistics.error("malformed_datagram".to_owned());
                if let Some((MessageType::Confirmable, id)) = datagram::decode_header(bytes) {
                    self.send(now, client, &empty(MessageType::Reset, id));
                }
            }
        }
        self.schedule(client);
    }

    /// Time has passed. Returns whether there is more to do at this very moment.
    pub(crate) fn handle_timeout(&mut self, now: Duration) -> bool {
        let mut more = self.arrive(now);
        more |= self.disturb(now);
        let mut due = std::mem::take(&mut self.due);
        more |= !self.wheel.take(milliseconds(now), WAKE_BATCH, &mut due);
        for (at, client) in due.drain(..) {
            let record = &mut self.clients[client as usize];
            if record.wake_ms == at {
                record.wake_ms = NEVER;
                self.statistics.begun(from_ms(at), now);
                self.wake(now, client);
                self.schedule(client);
            }
        }
        self.due = due;
        more | self.leave(now)
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do next.
    pub(crate) fn next_timeout(&self) -> Option<Duration> {
        let arrival = (self.closing.is_none() && self.arriving < self.plan.clients)
            .then(|| self.plan.arrival(self.arriving));
        let disturbance = self
            .closing
            .is_none()
            .then(|| self.disturbances.iter().map(|one| one.next).min())
            .flatten();
        let leaving = self
            .closing
            .filter(|&(_, next)| next < self.plan.clients)
            .map(|(since, next)| since + self.plan.arrival(next));
        let wake = self.wheel.next().map(from_ms);
        [arrival, disturbance, leaving, wake]
            .into_iter()
            .flatten()
            .min()
    }

    /// Datagrams to be sent; afterwards [`sent`](Self::sent) is to be called.
    pub(crate) fn outgoing(&self) -> impl Iterator<Item = Outgoing<'_>> {
        self.tray.iter()
    }

    /// All that was outgoing has been sent.
    pub(crate) fn sent(&mut self) {
        self.tray.clear();
    }

    /// The present address of a Client; for a number that is nobody's, the first.
    pub(crate) fn binding(&self, client: u32) -> u16 {
        let record = self.clients.get(client as usize);
        record.map_or(0, |record| record.binding)
    }

    /// What was acknowledged since the last call.
    pub(crate) fn take_facts(&mut self, into: &mut Vec<Fact>) {
        into.append(&mut self.facts);
    }

    /// Where the registration of a Client is.
    pub(crate) fn location(&self, client: u32) -> String {
        self.locations.text(client as usize)
    }

    /// Begins nothing new; what waits for an answer goes on waiting. De-registers if that was wished.
    pub(crate) fn close(&mut self, now: Duration) {
        if self.closing.is_none() {
            let nobody_leaves = !self.plan.scenario.deregister;
            self.closing = Some((now, if nobody_leaves { self.plan.clients } else { 0 }));
            self.registered_before = Some(self.registered);
        }
    }

    /// Whether [`close`](Self::close) was called and nothing waits any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.outstanding == 0
            && self
                .closing
                .is_some_and(|(_, next)| next >= self.plan.clients)
    }

    /// Whether every Client has registered or has given up.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled == self.plan.clients
    }

    /// How many Clients have a registration.
    pub(crate) fn registered(&self) -> u32 {
        self.registered
    }

    /// What has been seen so far.
    pub(crate) fn report(&self, elapsed: Duration, mut generator: Generator) -> Report {
        let records = self.clients.capacity() * size_of::<Client>();
        let parts = self.locations.memory() + self.observations.memory() + self.wheel.memory();
        generator.client_bytes = (records + parts) as u64;
        self.statistics.report(Ended {
            clients: self.plan.clients,
            registered: self.registered_before.unwrap_or(self.registered),
            elapsed,
            generator,
        })
    }

    // ---- time --------------------------------------------------------------------------------

    /// Switches on whose time has come.
    fn arrive(&mut self, now: Duration) -> bool {
        for _ in 0..WAKE_BATCH {
            if self.closing.is_some() || self.arriving >= self.plan.clients {
                return false;
            }
            let due = self.plan.arrival(self.arriving);
            if due > now {
                return false;
            }
            let client = self.arriving;
            self.arriving += 1;
            self.statistics.begun(due, now);
            let record = &mut self.clients[client as usize];
            record.phase = Phase::Registering;
            record.update_ms = milliseconds(due);
            self.begin(now, client, Kind::Register, micros(due));
            self.schedule(client);
        }
        true
    }

    /// Lets befall what is to befall.
    fn disturb(&mut self, now: Duration) -> bool {
        if self.closing.is_some() {
            return false;
        }
        let mut budget = WAKE_BATCH;
        for index in 0..self.disturbances.len() {
            while self.disturbances[index].next <= now {
                if budget == 0 {
                    return true;
                }
                budget -= 1;
                let (client, kind) = self.next_victim(index);
                match kind {
                    DisturbanceKind::Reboot => self.reboot(now, client),
                    DisturbanceKind::Rebind => self.rebind(client),
                    DisturbanceKind::BadFirmware { index, .. } => {
                        let does = self.plan.scenario.bad_firmware[index].does;
                        self.misbehave(now, client, does);
                    }
                }
            }
        }
        self.disturbances.retain(|one| one.next < Duration::MAX);
        false
    }

    /// Whom a disturbance strikes now; and sets its next time.
    fn next_victim(&mut self, index: usize) -> (u32, DisturbanceKind) {
        let uniform = self.uniform();
        let among = match self.disturbances[index].kind {
            DisturbanceKind::BadFirmware { count, .. } => count,
            DisturbanceKind::Reboot | DisturbanceKind::Rebind => self.plan.clients,
        };
        let any = ((u64::from(self.random.next_u32()) * u64::from(among)) >> 32) as u32;
        let any = self.plan.spread(any, among);
        let one = &mut self.disturbances[index];
        let client = match &mut one.pace {
            Pace::AtRandom { mean } => {
                // Exponential gaps make events that know nothing of each other.
                one.next += mean.mul_f64(-(1.0 - uniform).ln());
                any
            }
            Pace::Evenly { gap, count, done } => {
                let client = self.plan.spread(*done, *count);
                *done += 1;
                one.next = if *done < *count {
                    one.next + *gap
                } else {
                    Duration::MAX
                };
                client
            }
        };
        (client, one.kind)
    }

    /// De-registers whose turn it is.
    fn leave(&mut self, now: Duration) -> bool {
        let Some((since, mut next)) = self.closing else {
            return false;
        };
        let mut budget = WAKE_BATCH;
        while next < self.plan.clients && since + self.plan.arrival(next) <= now && budget > 0 {
            let record = &mut self.clients[next as usize];
            if record.phase == Phase::Registered {
                record.flags.set(Flags::LEAVING, true);
                let due = since + self.plan.arrival(next);
                record.update_ms = milliseconds(due);
                if record.pending.is_none() {
                    self.begin(now, next, Kind::Deregister, micros(due));
                    self.schedule(next);
                }
            }
            next += 1;
            budget -= 1;
        }
        self.closing = Some((since, next));
        budget == 0
    }

    /// A Client's time has come: something to send, or to send again.
    fn wake(&mut self, now: Duration, client: u32) {
        let now_ms = milliseconds(now);
        let record = self.clients[client as usize];
        if record.pending.is_some() {
            if record.timeout_ms <= now_ms {
                self.retransmit(now, client);
            }
            return;
        }
        let leaving = record.flags.has(Flags::LEAVING);
        if self.closing.is_some() && !leaving {
            return;
        }
        let due_us = u64::from(record.update_ms) * 1000;
        match record.phase {
            Phase::Registered if leaving => self.begin(now, client, Kind::Deregister, due_us),
            Phase::Registering if record.update_ms <= now_ms => {
                self.begin(now, client, Kind::Register, due_us);
            }
            Phase::Registered if record.update_ms.min(record.notify_ms) <= now_ms => {
                if record.update_ms <= record.notify_ms {
                    self.begin_update(now, client, due_us);
                } else {
                    self.begin_notifications(now, client);
                }
            }
            _ => {}
        }
    }

    /// Enters the Client's next time into the calendar, if it is not there already.
    fn schedule(&mut self, client: u32) {
        let closing = self.closing.is_some();
        let record = &mut self.clients[client as usize];
        let wake = match (record.pending, record.phase) {
            (Some(_), _) => record.timeout_ms,
            (None, _) if closing => NEVER,
            (None, Phase::Registering) => record.update_ms,
            (None, Phase::Registered) => record.update_ms.min(record.notify_ms),
            _ => NEVER,
        };
        if wake != record.wake_ms {
            record.wake_ms = wake;
            if wake != NEVER {
                // A time that is past gets the next slot, and is known by it.
                record.wake_ms = self.wheel.insert(wake, client);
            }
        }
    }

    // ---- what befalls ------------------------------------------------------------------------

    /// The Client restarts: it knows nothing of before, and registers.
    pub(crate) fn reboot(&mut self, now: Duration, client: u32) {
        let fresh_id = self.random.next_u32() as u16;
        let record = &mut self.clients[client as usize];
        if !matches!(record.phase, Phase::Registering | Phase::Registered) {
            return;
        }
        self.statistics.reboots += 1;
        if self.plan.secured {
            self.restarted.push(client);
        }
        if record.pending.take().is_some() {
            self.outstanding -= 1;
        }
        record.message_id = fresh_id;
        record.lifetime_s = self.plan.scenario.lifetime_s;
        record.attempts = 0;
        self.forget_registration(client);
        self.clients[client as usize].update_ms = milliseconds(now);
        self.begin(now, client, Kind::Register, micros(now));
        self.schedule(client);
    }

    /// The Client's NAT gives it another port; it does not know.
    fn rebind(&mut self, client: u32) {
        let record = &mut self.clients[client as usize];
        if record.phase != Phase::Absent {
            record.binding = (record.binding + 1) % self.plan.bindings;
            self.statistics.rebinds += 1;
        }
    }

    /// A Client with a bad firmware does what it does.
    fn misbehave(&mut self, now: Duration, client: u32, does: Misbehaviour) {
        let record = &mut self.clients[client as usize];
        if record.phase != Phase::Registered {
            return;
        }
        let binding = record.binding;
        match does {
            Misbehaviour::Reboots => self.reboot(now, client),
            Misbehaviour::Floods => {
                let message_id = record.message_id;
                record.message_id = message_id.wrapping_add(1);
                let options = OptionList::from_options(self.locations.path(client as usize));
                let update = Message {
                    message_type: MessageType::Confirmable,
                    code: Code::POST,
                    message_id: MessageId(message_id),
                    token: token(message_id, client),
                    options: options.view(),
                    payload: &[],
                };
                self.send(now, client, &update);
            }
            Misbehaviour::Garbage => {
                let mut bytes = [0; 24];
                self.random.fill_bytes(&mut bytes);
                self.tray.push_bytes(client, binding, &bytes);
            }
            // States, and no acts: see `Plan::does`.
            Misbehaviour::Deaf | Misbehaviour::Nonsense => return,
        }
        self.statistics.misbehaved += 1;
    }

    // ---- small things ------------------------------------------------------------------------

    pub(crate) fn tree<'a>(&'a self, client: u32, endpoint: &'a str) -> Tree<'a> {
        let record = &self.clients[client as usize];
        Tree {
            number: self.plan.first.wrapping_add(client),
            endpoint,
            lifetime_s: record.lifetime_s,
            binding: binding(record),
            reading: record.reading,
            sensors: self.plan.scenario.sensors,
            distinct: self.plan.scenario.distinct_links,
            values: self.plan.scenario.values,
            others: &self.plan.scenario.object,
        }
    }

    /// Puts a message into the tray, unless the network loses it.
    pub(crate) fn send(&mut self, now: Duration, client: u32, message: &Message<'_>) {
        let binding = self.clients[client as usize].binding;
        self.tray.push(client, binding, message);
        if !self.plan.secured && self.is_lost() {
            self.tray.lose_last();
        }
        self.stay_awake(now, client);
    }

    fn is_asleep(&self, now: Duration, client: u32) -> bool {
        let record = &self.clients[client as usize];
        record.flags.has(Flags::QUEUE)
            && record.pending.is_none()
            && record.awake_ms < milliseconds(now)
    }

    fn stay_awake(&mut self, now: Duration, client: u32) {
        let until = milliseconds(now).saturating_add(self.plan.awake_ms);
        self.clients[client as usize].awake_ms = until;
    }

    /// Whether the network loses the next datagram.
    pub(crate) fn is_lost(&mut self) -> bool {
        let loss = self.plan.scenario.network.loss;
        let lost = loss > 0.0 && self.uniform() < loss;
        self.statistics.lost += u64::from(lost);
        lost
    }

    fn fact(&mut self, fact: Fact) {
        if self.plan.wants_facts {
            self.facts.push(fact);
        }
    }

    /// 0 to less than 1.
    fn uniform(&mut self) -> f64 {
        f64::from(self.random.next_u32()) / 4_294_967_296.0
    }

    /// Cancels what waits for an answer without counting anything: it makes no sense any more.
    pub(crate) fn abandon(&mut self, client: u32) {
        if self.clients[client as usize].pending.take().is_some() {
            self.outstanding -= 1;
        }
    }
}

fn binding(record: &Client) -> &'static str {
    if record.flags.has(Flags::QUEUE) {
        "UQ"
    } else {
        "U"
    }
}

fn from_ms(ms: Milliseconds) -> Duration {
    Duration::from_millis(ms.into())
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
