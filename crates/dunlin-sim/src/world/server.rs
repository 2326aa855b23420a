//! The Server's side of the world: the loop of `dunlin-node` in small, on the made disk.

use std::time::Duration;

use dunlin_server::{Answer, Commit, EventKind, LiveEvent, Need, NeedId, Output, Presence};
use dunlin_server::{RequestId, Server};
use dunlin_transport::{Address, Port};

use super::device::sample_of;
use super::process::{Cause, Handed, Held, Written};
use super::verdict::Line;
use super::{Break, Datagram, Happening, World};
use crate::check::wire::Note;
use crate::fault::Fault;
use crate::network::Direction;

/// A machine that wants to be woken this often at one instant spins.
const TURNS_MAX: u32 = 10_000;

/// A request that left this long ago may still be unanswered, and hold up the others.
const ANSWER_MAX: Duration = Duration::from_secs(65);

impl World {
    // The process.

    pub(super) fn start(&mut self) -> Result<(), Break> {
        if self.process.is_up() {
            return Ok(());
        }
        self.process.start(self.at);
        self.steady_since = self.at;
        let life = self.process.life;
        self.text(None, format!("the Server starts, life {life}"));
        for shard in 0..self.process.shards.len() {
            self.drain(shard, None)?;
        }
        self.compare_with_disk()
    }

    pub(super) fn crash(&mut self) -> Result<(), Break> {
        if !self.process.is_up() {
            return Ok(());
        }
        self.audit()?;
        self.tally.crashes += 1;
        let lost = self.process.crash();
        self.tally.commits_lost += lost as u64;
        self.ledger.crashed(self.at);
        self.operator.forget_all();
        self.text(None, format!("the Server crashes, {lost} commits are lost"));
        self.heals(Fault::Crash, Fault::Start);
        Ok(())
    }

    // The disk.

    fn sync(&mut self) {
        let disk = &mut self.process.disk;
        if disk.syncing > 0 || disk.waiting.is_empty() || disk.failing && disk.full {
            return;
        }
        disk.syncing = disk.waiting.len();
        // Mostly quick, now and then a disk that thinks.
        let takes = if self.chance.happens(0.01) {
            self.chance
                .between(Duration::from_millis(200), Duration::from_secs(4))
        } else {
            self.chance
                .between(Duration::from_micros(500), Duration::from_millis(20))
        };
        let life = self.process.life;
        self.after(takes, Happening::Synced(life));
    }

    pub(super) fn synced(&mut self, life: u32) -> Result<(), Break> {
        if life != self.process.life || !self.process.is_up() {
            return Ok(());
        }
        let count = std::mem::take(&mut self.process.disk.syncing);
        if self.process.disk.full {
            if !std::mem::replace(&mut self.process.disk.failing, true) {
                self.ledger.store_fails(self.at, true);
                self.text(None, "the store fails");
                self.tell_health(false)?;
            }
            return Ok(());
        }
        self.tally.syncs += 1;
        let written: Vec<Written> = self.process.disk.waiting.drain(..count).collect();
        for one in written {
            self.durable(one)?;
        }
        for shard in 0..self.process.shards.len() {
            self.release(shard)?;
        }
        if self.process.disk.failing && self.process.disk.waiting.is_empty() {
            self.process.disk.failing = false;
            self.ledger.store_fails(self.at, false);
            self.steady_since = self.at;
            self.text(None, "the store works");
            self.tell_health(true)?;
        }
        self.sync();
        Ok(())
    }

    pub(super) fn disk_freed(&mut self) -> Result<(), Break> {
        self.process.disk.full = false;
        self.text(None, "there is room on the disk");
        if self.process.disk.failing && self.process.disk.waiting.is_empty() {
            self.process.disk.failing = false;
            self.ledger.store_fails(self.at, false);
            self.steady_since = self.at;
            self.tell_health(true)?;
        }
        self.sync();
        Ok(())
    }

    fn tell_health(&mut self, healthy: bool) -> Result<(), Break> {
        let now = self.process.now(self.at);
        for shard in 0..self.process.shards.len() {
            let server = &mut self.process.shards[shard].server;
            server.set_store_health(now, healthy);
            self.drain(shard, None)?;
        }
        Ok(())
    }

    /// A commit is durable: its facts are in the tables, its news in the log.
    fn durable(&mut self, written: Written) -> Result<(), Break> {
        let Written {
            shard,
            commit,
            cause,
        } = written;
        self.tally.commits += 1;
        for change in &commit.changes {
            self.process.disk.durable.apply(change);
        }
        self.process.shards[shard].durable = commit.number;
        let mut of_cause = 0;
        for event in &commit.events {
            let device = device_of(event.endpoint.as_str());
            let broken = |what| (device, what);
            match &event.kind {
                EventKind::Notified { path, values, late } => {
                    self.tally.notified += 1;
                    self.tally.late += u64::from(*late);
                    of_cause += u32::from(cause.is_some_and(|one| Some(one.device) == device));
                    for sample in values {
                        self.value_is_logged(device, *path, &sample.node, *late)?;
                    }
                }
                EventKind::Undecodable { reason, .. } => {
                    return Err((device, format!("a notification does not decode: {reason}")));
                }
                EventKind::Completed {
                    request,
                    outcome,
                    command,
                } => {
                    // The first value of an observation is in the outcome.
                    let observes = matches!(**command, dunlin_server::Command::Observe { .. });
                    let its = cause.is_some_and(|one| Some(one.device) == device);
                    of_cause += u32::from(observes && its);
                    if let (true, dunlin_server::Outcome::Answered(answered)) = (observes, outcome)
                        && let dunlin_server::command::Content::Node(node) = &answered.content
                    {
                        self.value_is_logged(device, command.path(), node, false)?;
                    }
                    let done = self.ledger.logged_outcome(*request, outcome);
                    done.map_err(broken)?;
                }
                EventKind::Registered { .. }
                | EventKind::Departed { .. }
                | EventKind::ObservationEnded { .. } => {
                    let text = format!("log: {} {:?}", event.kind.name(), short(&event.kind));
                    self.text(device, text);
                }
                _ => {}
            }
        }
        if let Some(cause) = cause
            && of_cause > 0
        {
            let done = self.ledger.logged_notification(cause, of_cause);
            done.map_err(|what| (Some(cause.device), what))?;
        }
        Ok(())
    }

    /// A value is in the log: if it is a measurement, its number is held against those before.
    fn value_is_logged(
        &mut self,
        device: Option<usize>,
        path: dunlin_lwm2m::Path,
        node: &dunlin_lwm2m::Node,
        late: bool,
    ) -> Result<(), Break> {
        for (at, value) in node.values(path) {
            let is_sensor = at == [3303, 0, 5700].into();
            if let (true, Some(value), Some(device)) = (is_sensor, value.as_number(), device) {
                let done = self
                    .ledger
                    .logged_value(device, path, sample_of(value), late);
                done.map_err(|what| (Some(device), what))?;
            }
        }
        Ok(())
    }

    /// What waited for the disk and may leave now.
    fn release(&mut self, shard: usize) -> Result<(), Break> {
        let one = &mut self.process.shards[shard];
        let durable = one.durable;
        let (ready, held): (std::collections::VecDeque<_>, _) = std::mem::take(&mut one.held)
            .into_iter()
            .partition(|(barrier, _)| *barrier <= durable);
        one.held = held;
        for (_, held) in ready {
            self.leave(shard, held)?;
        }
        Ok(())
    }

    fn leave(&mut self, shard: usize, held: Held) -> Result<(), Break> {
        match held {
            Held::Transmit { to, bytes } => {
                let Some(device) = self.device_at(&to) else {
                    self.process.shards[shard].server.recycle(bytes);
                    return Ok(());
                };
                let note = Note::read(&bytes);
                let done = self
                    .ledger
                    .server_sends(self.at, device, note, &mut self.tally);
                done.map_err(|what| (Some(device), what))?;
                self.carry(device, Direction::Down, to, bytes);
            }
            Held::Told { request, outcome } => {
                let text = format!("outcome of {request}: {}", brief(&outcome));
                let done = self.ledger.told(request, outcome, &mut self.tally);
                let device = done.map_err(|what| (None, what))?;
                self.text(device, text);
            }
            Held::Accepted { request } => {
                self.tally.queued += 1;
                self.ledger.accepted(request);
            }
        }
        Ok(())
    }

    /// Whose this outer address is, or was.
    fn device_at(&self, address: &Address) -> Option<usize> {
        let Address::Udp(socket) = address else {
            return None;
        };
        self.network.whose(*socket)
    }

    // The shards.

    pub(super) fn at_socket(&mut self, datagram: Box<Datagram>) -> Result<(), Break> {
        let here = self.process.arrives_at(&datagram.outer);
        let owner = self.process.owner_of(here, &datagram.bytes);
        if owner != here {
            let life = self.process.life;
            let handed = Handed::Datagram(datagram);
            self.hand_over(owner, life, handed);
            return Ok(());
        }
        self.shard_receives(here, *datagram)
    }

    fn hand_over(&mut self, shard: usize, life: u32, handed: Handed) {
        let delay = self
            .chance
            .between(Duration::from_micros(10), Duration::from_millis(1));
        self.after(delay, Happening::Handover(shard, life, Box::new(handed)));
    }

    fn shard_receives(&mut self, shard: usize, datagram: Datagram) -> Result<(), Break> {
        let Datagram {
            device,
            outer,
            bytes,
            note,
            ..
        } = datagram;
        let line = Line::Arrived(true, note);
        self.trace.line(self.at, Some(device), line);
        let life = self.process.life;
        self.ledger
            .server_takes(self.at, life, device, &outer, note);
        let now = self.process.now(self.at);
        let server = &mut self.process.shards[shard].server;
        server.handle_receive(now, Port::Coap, &outer, None, &bytes);
        let cause = match note {
            Note::Notification {
                token,
                sequence,
                confirmable: true,
                ..
            } => Some(Cause {
                device,
                token,
                sequence,
            }),
            _ => None,
        };
        self.drain(shard, cause)
    }

    pub(super) fn handover(
        &mut self,
        shard: usize,
        life: u32,
        handed: Handed,
    ) -> Result<(), Break> {
        if life != self.process.life || !self.process.is_up() {
            return Ok(());
        }
        let now = self.process.now(self.at);
        match handed {
            Handed::Datagram(datagram) => return self.shard_receives(shard, *datagram),
            Handed::Evict {
                endpoint,
                asker,
                need,
            } => {
                if self.process.shards[shard].server.is_claiming(&endpoint) {
                    // What is given up to this shard is to go on to the one that asks.
                    let evict = Handed::Evict {
                        endpoint,
                        asker,
                        need,
                    };
                    self.hand_over(shard, life, evict);
                    return Ok(());
                }
                let snapshot = self.process.shards[shard].server.evict(now, &endpoint);
                self.drain(shard, None)?;
                let answer = Answer::Claimed(Box::new(snapshot));
                self.hand_over(asker, life, Handed::Answer { need, answer });
            }
            Handed::Answer { need, answer } => {
                let server = &mut self.process.shards[shard].server;
                server.handle_answer(now, need, answer);
            }
        }
        self.drain(shard, None)
    }

    pub(super) fn shard_timer(&mut self, shard: usize, life: u32) -> Result<(), Break> {
        if life != self.process.life || !self.process.is_up() {
            return Ok(());
        }
        let now = self.process.now(self.at);
        let one = &mut self.process.shards[shard];
        if one.scheduled != Some(self.at) {
            return Ok(());
        }
        one.scheduled = None;
        one.turns = if one.turned_at == self.at {
            one.turns + 1
        } else {
            0
        };
        one.turned_at = self.at;
        if one.turns > TURNS_MAX {
            return Err((None, format!("shard {shard} wakes without end")));
        }
        one.server.handle_timeout(now);
        self.drain(shard, None)
    }

    /// Takes all outputs of a shard, and then accepts a request as queued.
    pub(super) fn drain_and_accept(
        &mut self,
        shard: usize,
        request: Option<RequestId>,
    ) -> Result<(), Break> {
        self.drain(shard, None)?;
        if let Some(request) = request {
            let barrier = self.process.shards[shard].committed;
            self.out(shard, barrier, Held::Accepted { request })?;
        }
        Ok(())
    }

    /// Takes all outputs of a shard.
    pub(super) fn drain(&mut self, shard: usize, cause: Option<Cause>) -> Result<(), Break> {
        loop {
            match self.process.shards[shard].server.poll_output() {
                Output::Commit(commit) => self.commit(shard, *commit, cause)?,
                Output::Transmit(transmit) => {
                    let held = Held::Transmit {
                        to: transmit.to,
                        bytes: transmit.bytes,
                    };
                    self.out(shard, transmit.barrier, held)?;
                }
                Output::Completed {
                    request,
                    outcome,
                    barrier,
                } => {
                    self.out(shard, barrier, Held::Told { request, outcome })?;
                }
                Output::Need { id, need } => self.need(shard, id, need),
                Output::Event(event) => self.live_event(shard, &event)?,
                Output::Timeout(timeout) => {
                    if let Some(timeout) = timeout {
                        self.schedule_shard(shard, timeout);
                    }
                    self.sync();
                    return Ok(());
                }
            }
        }
    }

    fn schedule_shard(&mut self, shard: usize, timeout: Duration) {
        let when = self.process.world_time(timeout).max(self.at);
        let life = self.process.life;
        let one = &mut self.process.shards[shard];
        if one.scheduled.is_none_or(|scheduled| when < scheduled) {
            one.scheduled = Some(when);
            self.at_time(when, Happening::ShardTimer(shard, life));
        }
    }

    fn commit(&mut self, shard: usize, commit: Commit, cause: Option<Cause>) -> Result<(), Break> {
        let one = &mut self.process.shards[shard];
        if commit.number != one.committed + 1 {
            return Err((None, format!("commit {} has no place", commit.number)));
        }
        one.committed = commit.number;
        self.trace.mix(commit.number);
        self.trace.mix(commit.changes.len() as u64);
        self.process.disk.waiting.push_back(Written {
            shard,
            commit,
            cause,
        });
        Ok(())
    }

    fn out(&mut self, shard: usize, barrier: u64, held: Held) -> Result<(), Break> {
        let one = &mut self.process.shards[shard];
        if barrier > one.committed {
            let what = format!("something waits for commit {barrier}, which there is not");
            return Err((None, what));
        }
        if barrier > one.durable {
            one.held.push_back((barrier, held));
            return Ok(());
        }
        self.leave(shard, held)
    }

    fn need(&mut self, shard: usize, id: NeedId, need: Need) {
        let life = self.process.life;
        let Need::Claim { endpoint } = need else {
            let answer = Answer::Unavailable;
            return self.hand_over(shard, life, Handed::Answer { need: id, answer });
        };
        self.tally.claims += 1;
        let owner = self.process.directory.insert(endpoint.clone(), shard);
        match owner {
            Some(owner) if owner != shard => {
                let evict = Handed::Evict {
                    endpoint,
                    asker: shard,
                    need: id,
                };
                self.hand_over(owner, life, evict);
            }
            _ => {
                let answer = Answer::Claimed(Box::default());
                self.hand_over(shard, life, Handed::Answer { need: id, answer });
            }
        }
    }

    fn live_event(&mut self, shard: usize, event: &LiveEvent) -> Result<(), Break> {
        match event {
            LiveEvent::Presence {
                endpoint, presence, ..
            } => {
                let device = device_of(endpoint.as_str());
                self.text(device, format!("presence: {}", presence.name()));
                if *presence == Presence::Asleep
                    && let Some(device) = device
                {
                    let now = self.process.now(self.at);
                    let server = &self.process.shards[shard].server;
                    let waiting = server.requests(now, endpoint);
                    let waiting: Vec<_> = waiting.into_iter().map(|one| one.id).collect();
                    self.window_closed(device, &waiting)?;
                }
            }
            LiveEvent::Refused {
                endpoint,
                code,
                reason,
                ..
            } => {
                let device = endpoint.as_ref().and_then(|name| device_of(name.as_str()));
                self.text(device, format!("refused with {code:?}: {reason}"));
            }
            _ => {}
        }
        Ok(())
    }

    /// A Client's window has closed: if something still waits for it, something must have been
    /// asked in the meantime.
    fn window_closed(&mut self, device: usize, waiting: &[RequestId]) -> Result<(), Break> {
        let life = self.process.life;
        if let Some((heard, asked_at)) = self.ledger.heard(device, life)
            && heard > self.steady_since
            && !self.process.disk.failing
            && asked_at + ANSWER_MAX < heard
            && waiting
                .iter()
                .any(|one| self.ledger.was_asked_before(*one, heard))
        {
            let what = format!(
                "{waiting:?} wait, the Client was heard at {heard:?}, and nothing was asked"
            );
            return Err((Some(device), what));
        }
        Ok(())
    }

    /// All Servers.
    pub(super) fn servers(&self) -> impl Iterator<Item = &Server> {
        self.process.shards.iter().map(|shard| &shard.server)
    }
}

/// The Client of that name.
pub(super) fn device_of(endpoint: &str) -> Option<usize> {
    endpoint.strip_prefix("client-")?.parse().ok()
}

fn short(kind: &EventKind) -> String {
    match kind {
        EventKind::Registered {
            registration,
            replaced,
        } => format!("{} replaced {replaced:?}", registration.id),
        EventKind::Departed { id, reason } => format!("{id} {reason:?}"),
        EventKind::ObservationEnded { path, reason } => format!("{path} {reason:?}"),
        _ => String::new(),
    }
}

fn brief(outcome: &dunlin_server::Outcome) -> String {
    match outcome {
        dunlin_server::Outcome::Answered(answered) => format!("{:?}", answered.code),
        other => format!("{other:?}"),
    }
}
