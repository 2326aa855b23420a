//! The loop around one Server machine: feed, drain, commit, transmit, tell.
//!
//! A turn takes what has come - datagrams in batches, commands, a time - and feeds it input by
//! input, draining the machine after each. The commits of a turn become one batch for the
//! committer. A datagram or an outcome whose barrier is durable leaves at once; the others wait in
//! order until the committer says so. Meanwhile the loop goes on.

mod bootstrapping;
pub(crate) mod pressure;
mod security;

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use dunlin_lwm2m::EndpointName;
use dunlin_net::bearer::batch::{ReceiveBatch, SendBatch};
use dunlin_net::bearer::udp::UdpBearer;
use dunlin_net::clock::{self, now, sleep_until};
use dunlin_server::{Answer, Commit, LiveEvent, Need, NeedId, Outcome, Output, RequestId, Server};
use dunlin_store::{Batch, Store, Submission, SubmitRefused, Submitter};
use dunlin_transport::{Address, Now, Port};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::config::NoSec;
use crate::credentials::Changed;
use crate::directory::Directory;
use crate::facts::Recorder;
use crate::loading::Part;
use crate::node::nosec_allows;
use crate::provisioning::Provisioning;
use crate::teller::{Durable, Teller};
use bootstrapping::Making;
pub(crate) use bootstrapping::Provisioned;
use pressure::{CommitTimes, Pressure};

/// Batches of datagrams that one turn takes before it looks at commands and time again: a turn
/// lasts about a millisecond at most.
const BATCHES_PER_TURN: usize = 8;

/// The longest datagram that is read; longer ones are cut and dropped. CoAP over UDP should fit
/// 1280 bytes (RFC 7252 §4.6), yet some Clients send a whole list of Objects in one.
const DATAGRAM_MAX: usize = 4_096;

/// Inputs from other tasks that wait for a shard. Senders wait, too, or say that it is busy.
pub(crate) const INBOX_MAX: usize = 4_096;

/// Datagrams and outcomes that wait for the disk. When there are more, what needs the disk is
/// refused (5.03) until half of them have left.
const PENDING_MAX: usize = 65_536;

/// How often a batch is offered again that the committer had no room for.
const OFFER_AGAIN: Duration = Duration::from_millis(5);

/// How long an eviction waits for a claim of this shard. Who asks waits longer, so that what is given
/// up still finds it.
const EVICTION_WAITS_MAX: Duration = Duration::from_secs(5);

/// How often the load is looked at while something is refused for it and nothing happens.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A command or question of the API.
pub(crate) type Run = Box<dyn FnOnce(&mut Shard, Now) + Send>;

/// Something to do for a shard.
pub(crate) enum Input {
    /// A datagram that came in at another shard's socket.
    Datagram {
        port: Port,
        from: SocketAddr,
        local: Option<IpAddr>,
        bytes: Vec<u8>,
    },
    /// Runs on the machine; commands and questions of the API.
    Run(Run),
    /// Another shard has claimed this name: give the Client up.
    Evict {
        endpoint: EndpointName,
        asker: usize,
        need: NeedId,
    },
    /// The answer to a need of this shard.
    Answer { need: NeedId, answer: Answer },
    /// What a Client is to get, with the credentials it needs.
    Provisioned(Box<Provisioned>),
    /// Credentials have changed; which ones is in the revocations.
    Revoked,
    /// Whether the store takes commits.
    Health(bool),
    /// No more new work; end when the pending has left.
    Stop,
}

/// Waits for the end of a request.
pub(crate) type Waiter = oneshot::Sender<Outcome>;

/// What the committer has made durable for one shard.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    durable: AtomicU64,
    stopped: AtomicBool,
    changed: Notify,
}

/// The ends through which others reach a shard.
#[derive(Clone, Debug)]
pub(crate) struct ShardHandle {
    pub(crate) inbox: mpsc::Sender<Input>,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Datagram { .. } => "Datagram",
            Self::Run(_) => "Run",
            Self::Evict { .. } => "Evict",
            Self::Answer { .. } => "Answer",
            Self::Provisioned(_) => "Provisioned",
            Self::Revoked => "Revoked",
            Self::Health(_) => "Health",
            Self::Stop => "Stop",
        })
    }
}

/// Something that waits for a commit.
enum Pending {
    Transmit {
        port: Port,
        to: SocketAddr,
        local: Option<IpAddr>,
        bytes: Vec<u8>,
    },
    Completed {
        request: RequestId,
        outcome: Outcome,
    },
    /// What a caller of the API is told.
    Told(Box<dyn FnOnce() + Send>),
}

/// Changes of credentials, for one shard. Beside its inbox, because that may be full.
pub(crate) type Revocations = Arc<Mutex<Vec<Arc<Changed>>>>;

/// Counters of the loop, read by the metrics.
#[derive(Debug, Default)]
pub(crate) struct LoopStats {
    pub(crate) received: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) truncated: AtomicU64,
    pub(crate) turned_away: AtomicU64,
    pub(crate) send_failures: AtomicU64,
    pub(crate) handed_over: AtomicU64,
    pub(crate) handed_over_lost: AtomicU64,
    pub(crate) pending: AtomicU64,
    pub(crate) commits: AtomicU64,
    /// Datagrams that the kernel dropped because its buffer was full.
    pub(crate) overflowed: AtomicU64,
    /// How full what waits for the shard was at the last look, in thousandths.
    pub(crate) pressure: AtomicU64,
    /// Inputs of other tasks and shards that waited at the last look.
    pub(crate) inbox: AtomicU64,
    pub(crate) commit_times: CommitTimes,
}

/// What a shard is made of.
pub(crate) struct Parts {
    pub(crate) index: usize,
    pub(crate) server: Server,
    pub(crate) nosec: NoSec,
    /// A socket for each door and address.
    pub(crate) bearers: Vec<(Port, UdpBearer)>,
    /// Authorities whose certificates Clients may show.
    pub(crate) client_anchors: Arc<Vec<Vec<u8>>>,
    /// Changes of credentials that this shard has not acted on yet.
    pub(crate) revocations: Revocations,
    pub(crate) recorder: Recorder,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) submitter: Submitter,
    pub(crate) teller: Teller,
    pub(crate) directory: Arc<Directory>,
    pub(crate) provisioning: Provisioning,
    pub(crate) peers: Arc<Vec<ShardHandle>>,
    pub(crate) stats: Arc<LoopStats>,
}

/// One shard with its loop.
pub(crate) struct Shard {
    parts: Parts,
    gate: Arc<Gate>,
    /// The commits of this turn, and the number of the last of them.
    batch: Batch,
    batch_events: Vec<dunlin_server::Event>,
    batch_last: u64,
    /// Credentials for the bootstrap run that begins in this mutation.
    making: Option<Making>,
    /// Where sessions of before the start belong that have no Connection ID.
    session_shards: Arc<HashMap<SocketAddr, u16>>,
    /// Names that other shards want, while a claim of this one waits for its answer; and until when
    /// that may last.
    evictions: Vec<(EndpointName, usize, NeedId, Duration)>,
    /// Batches that the committer had no room for.
    backlog: VecDeque<(Batch, Vec<dunlin_server::Event>, u64)>,
    pending: VecDeque<(u64, Pending)>,
    outgoing: Vec<SendBatch>,
    /// The door of each bearer, and whether it is one of IPv4.
    doors: Vec<(Port, bool)>,
    /// Of each bearer, whether it has all addresses of ours: then it is told from which to send.
    everywhere: Vec<bool>,
    /// The bearer that is looked at first the next time, so that none waits for another.
    next_bearer: usize,
    waiters: HashMap<RequestId, Waiter>,
    pressure: Pressure,
    timeout: Option<Duration>,
    knock_told: Duration,
    store_healthy: bool,
    told_healthy: bool,
    stopping: bool,
}

impl Shard {
    pub(crate) fn new(parts: Parts) -> Self {
        let is_ipv4 = |bearer: &UdpBearer| bearer.local_addr().is_ok_and(|at| at.is_ipv4());
        let door = |(port, bearer): &(Port, UdpBearer)| (*port, is_ipv4(bearer));
        let doors = parts.bearers.iter().map(door).collect();
        let is_everywhere = |(_, bearer): &(Port, UdpBearer)| {
            bearer.local_addr().is_ok_and(|at| at.ip().is_unspecified())
        };
        let everywhere = parts.bearers.iter().map(is_everywhere).collect();
        let outgoing = parts
            .bearers
            .iter()
            .map(|_| SendBatch::with_capacity(64))
            .collect();
        Self {
            parts,
            gate: Arc::default(),
            batch: Batch::default(),
            batch_events: Vec::new(),
            batch_last: 0,
            making: None,
            session_shards: Arc::default(),
            evictions: Vec::new(),
            backlog: VecDeque::new(),
            pending: VecDeque::new(),
            outgoing,
            doors,
            everywhere,
            next_bearer: 0,
            waiters: HashMap::new(),
            pressure: Pressure::default(),
            timeout: None,
            knock_told: Duration::ZERO,
            store_healthy: true,
            told_healthy: true,
            stopping: false,
        }
    }

    /// The machine, for questions.
    pub(crate) fn server(&self) -> &Server {
        &self.parts.server
    }

    /// The machine, for commands; what it puts out is drained when the command returns.
    pub(crate) fn server_mut(&mut self) -> &mut Server {
        &mut self.parts.server
    }

    /// Runs a command or question and tells what came of it: when it has made a commit, not before
    /// that is durable.
    pub(crate) fn run_and_tell<T: Send + 'static>(
        &mut self,
        now: Now,
        run: impl FnOnce(&mut Self, Now) -> T,
        tell: impl FnOnce(T) + Send + 'static,
    ) {
        let before = self.batch_last;
        let told = run(self, now);
        self.drain(now);
        if self.batch_last == before {
            return tell(told);
        }
        self.out(self.batch_last, Pending::Told(Box::new(move || tell(told))));
    }

    /// Tells the waiter how the request ends.
    pub(crate) fn wait_for(&mut self, request: RequestId, waiter: Waiter) {
        self.waiters.insert(request, waiter);
    }

    /// Takes up a part of what was stored.
    pub(crate) fn restore(&mut self, part: Part) {
        let now = now();
        self.parts.recorder.come_after(part.last_stamp);
        self.parts.server.restore(now, part.snapshot);
        self.drain(now);
        self.end_turn(now);
    }

    /// Learns where all sessions are that were taken up.
    pub(crate) fn learn_sessions(&mut self, shards: Arc<HashMap<SocketAddr, u16>>) {
        self.session_shards = shards;
    }

    /// Runs until told to stop.
    pub(crate) async fn run(mut self, mut inbox: mpsc::Receiver<Input>) {
        let mut batches: Vec<ReceiveBatch> = self
            .parts
            .bearers
            .iter()
            .map(|_| ReceiveBatch::new(DATAGRAM_MAX))
            .collect();
        while !(self.stopping && self.pending.is_empty() && self.backlog.is_empty()) {
            let gate = self.gate.clone();
            let wake = self.wake();
            tokio::select! {
                biased;
                () = gate.changed.notified() => {}
                input = inbox.recv() => self.take(input, &mut inbox),
                ready = first_ready(&mut self.parts.bearers, &mut batches, self.next_bearer) => {
                    self.next_bearer = ready + 1;
                    self.receive(ready, &mut batches);
                }
                () = sleep_until(wake) => {}
            }
            let now = now();
            if self.timeout.is_some_and(|timeout| timeout <= now.instant) {
                self.parts.server.handle_timeout(now);
                self.drain(now);
            }
            self.end_turn(now);
            self.look_at_pressure(now, inbox.len());
            if self.gate.stopped.load(Ordering::Acquire) {
                break;
            }
        }
    }

    fn wake(&self) -> Option<Duration> {
        let again = match (self.backlog.is_empty(), self.parts.server.is_strained()) {
            (false, _) => OFFER_AGAIN,
            (true, true) => LOOK_AGAIN,
            (true, false) => return self.timeout,
        };
        let again = clock::instant() + again;
        Some(self.timeout.map_or(again, |timeout| timeout.min(again)))
    }

    // What comes in.

    fn take(&mut self, input: Option<Input>, inbox: &mut mpsc::Receiver<Input>) {
        let mut next = input;
        if next.is_none() {
            self.stopping = true;
        }
        // A turn takes a bounded part of what waits.
        for _ in 0..256 {
            let Some(input) = next else { return };
            let now = now();
            self.apply(now, input);
            self.drain(now);
            next = inbox.try_recv().ok();
        }
        if let Some(input) = next {
            let now = now();
            self.apply(now, input);
            self.drain(now);
        }
    }

    fn apply(&mut self, now: Now, input: Input) {
        match input {
            Input::Datagram {
                port,
                from,
                local,
                bytes,
            } => {
                let from = Address::Udp(from);
                self.parts
                    .server
                    .handle_receive(now, port, &from, local, &bytes);
            }
            Input::Revoked => self.revoke_changed(now),
            Input::Run(run) => run(self, now),
            Input::Evict {
                endpoint,
                asker,
                need,
            } => self.give_up(now, &endpoint, asker, need),
            Input::Answer { need, answer } => {
                self.parts.server.handle_answer(now, need, answer);
                self.drain(now);
                self.give_up_waiting(now);
            }
            Input::Provisioned(provisioned) => self.provisioned(now, *provisioned),
            Input::Health(healthy) => self.store_healthy = healthy,
            Input::Stop => self.stopping = true,
        }
    }

    /// Gives a Client to the shard that asks. What this shard has committed of it goes to the
    /// committer first: the other one's registration must be the last of the two, on the disk too.
    fn give_up(&mut self, now: Now, endpoint: &EndpointName, asker: usize, need: NeedId) {
        if self.parts.server.is_claiming(endpoint) {
            // Three shards want the name, one after the other: each gets it from the one before.
            let waits = now.instant + EVICTION_WAITS_MAX;
            self.evictions.push((endpoint.clone(), asker, need, waits));
            return;
        }
        self.submit();
        if !self.backlog.is_empty() {
            // The disk does not keep up: the Client asks again.
            return self.answer(asker, need, Answer::Unavailable);
        }
        let snapshot = self.parts.server.evict(now, endpoint);
        self.drain(now);
        self.submit();
        self.answer(asker, need, Answer::Claimed(Box::new(snapshot)));
    }

    /// Evictions that waited for a claim of this shard, which has been answered or is late.
    fn give_up_waiting(&mut self, now: Now) {
        for (endpoint, asker, need, until) in std::mem::take(&mut self.evictions) {
            if now.instant < until {
                self.give_up(now, &endpoint, asker, need);
            } else {
                self.answer(asker, need, Answer::Unavailable);
            }
        }
    }

    fn answer(&mut self, asker: usize, need: NeedId, answer: Answer) {
        if asker == self.parts.index {
            let now = now();
            self.parts.server.handle_answer(now, need, answer);
            return;
        }
        // A shard whose inbox is full lets the Client ask again.
        let _ = self.parts.peers[asker]
            .inbox
            .try_send(Input::Answer { need, answer });
    }

    fn receive(&mut self, ready: usize, batches: &mut [ReceiveBatch]) {
        let (port, _) = self.doors[ready];
        for round in 0..BATCHES_PER_TURN {
            let now = now();
            let batch = &mut batches[ready];
            let stats = self.parts.stats.clone();
            stats
                .received
                .fetch_add(batch.len() as u64, Ordering::Relaxed);
            // The batch is taken out so that the machine can be fed from it.
            let taken = std::mem::replace(batch, ReceiveBatch::without_room());
            let senders = taken.iter().map(|datagram| Address::Udp(datagram.from));
            self.parts.server.look_ahead(port, senders);
            for datagram in taken.iter() {
                if datagram.truncated {
                    stats.truncated.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                self.datagram(now, port, datagram.from, datagram.local, datagram.bytes);
            }
            batches[ready] = taken;
            self.end_turn(now);
            if round + 1 == BATCHES_PER_TURN {
                return;
            }
            match self.parts.bearers[ready].1.try_receive(&mut batches[ready]) {
                Ok(count) if count > 0 => {}
                _ => return,
            }
        }
    }

    fn datagram(
        &mut self,
        now: Now,
        port: Port,
        from: SocketAddr,
        local: Option<IpAddr>,
        bytes: &[u8],
    ) {
        if !port.is_secure() && !nosec_allows(self.parts.nosec, from.ip()) {
            return self.turn_away(now, from);
        }
        let owner = self.owner_of(port, from, bytes);
        if owner != self.parts.index {
            let input = Input::Datagram {
                port,
                from,
                local,
                bytes: bytes.to_vec(),
            };
            let lost = self.parts.peers[owner].inbox.try_send(input).is_err();
            let stats = &self.parts.stats;
            let counter = if lost {
                &stats.handed_over_lost
            } else {
                &stats.handed_over
            };
            counter.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.parts
            .server
            .handle_receive(now, port, &Address::Udp(from), local, bytes);
        self.drain(now);
    }

    /// A datagram without security from where none is allowed: not answered, and told at most once
    /// a second, so that who made a mistake finds it and who floods us fills nothing.
    fn turn_away(&mut self, now: Now, from: SocketAddr) {
        self.parts.stats.turned_away.fetch_add(1, Ordering::Relaxed);
        if now.instant < self.knock_told + Duration::from_secs(1) {
            return;
        }
        self.knock_told = now.instant;
        self.live(LiveEvent::Refused {
            endpoint: None,
            at: now.wall,
            address: Address::Udp(from),
            identity: dunlin_transport::Identity::None,
            code: dunlin_lwm2m::operation::ResponseCode::Forbidden,
            reason: "clients without security are heard on this machine alone; --nosec any lets them in from everywhere".into(),
        });
    }

    fn owner_of(&self, port: Port, from: SocketAddr, bytes: &[u8]) -> usize {
        let shards = self.parts.peers.len();
        if shards == 1 {
            return self.parts.index;
        }
        let route = dunlin_transport::route(bytes);
        if port.is_secure() {
            return match route {
                dunlin_transport::Route::VirtualShard(shard) => usize::from(shard) % shards,
                _ => self.session_shard(from).unwrap_or(self.parts.index),
            };
        }
        match route {
            dunlin_transport::Route::VirtualShard(virtual_shard) => {
                usize::from(virtual_shard) % shards
            }
            dunlin_transport::Route::Token(prefix) if usize::from(prefix) < shards => {
                usize::from(prefix)
            }
            dunlin_transport::Route::MessageId(id) => {
                let owner = usize::from(id >> (16 - message_id_bits(shards)));
                if owner < shards {
                    owner
                } else {
                    self.parts.index
                }
            }
            _ => self.parts.index,
        }
    }

    // What goes out.

    fn drain(&mut self, now: Now) {
        loop {
            match self.parts.server.poll_output() {
                Output::Commit(commit) => self.commit(now, *commit),
                Output::Transmit(transmit) => {
                    let Address::Udp(to) = transmit.to else {
                        continue;
                    };
                    let pending = Pending::Transmit {
                        port: transmit.port,
                        to,
                        local: transmit.local,
                        bytes: transmit.bytes,
                    };
                    self.out(transmit.barrier, pending);
                }
                Output::Completed {
                    request,
                    outcome,
                    barrier,
                } => {
                    self.out(barrier, Pending::Completed { request, outcome });
                }
                Output::Need { id, need } => self.need(now, id, need),
                Output::Event(event) => self.live(event),
                Output::Timeout(timeout) => {
                    self.timeout = timeout;
                    return;
                }
            }
        }
    }

    fn commit(&mut self, now: Now, commit: Commit) {
        self.batch.at_ms = now.wall.0;
        self.parts
            .recorder
            .record(&commit, &*self.parts.store, &mut self.batch);
        self.bootstraps_committed(now, &commit);
        self.batch_last = commit.number;
        self.batch_events.extend(commit.events);
    }

    fn out(&mut self, barrier: u64, pending: Pending) {
        if barrier <= self.gate.durable.load(Ordering::Acquire) {
            self.leave(pending);
        } else {
            self.pending.push_back((barrier, pending));
        }
    }

    fn leave(&mut self, pending: Pending) {
        match pending {
            Pending::Transmit {
                port,
                to,
                local,
                bytes,
            } => {
                self.transmit(port, to, local, &bytes);
                self.parts.server.recycle(bytes);
            }
            Pending::Completed { request, outcome } => {
                if let Some(waiter) = self.waiters.remove(&request) {
                    // Whoever waited may have hung up.
                    let _ = waiter.send(outcome);
                }
            }
            Pending::Told(tell) => tell(),
        }
    }

    fn transmit(&mut self, port: Port, to: SocketAddr, local: Option<IpAddr>, bytes: &[u8]) {
        let door = (port, to.is_ipv4());
        let found = self.doors.iter().position(|one| *one == door);
        let Some(bearer) = found else { return };
        let local = local.filter(|_| self.everywhere[bearer]);
        if self.outgoing[bearer].is_full() {
            self.flush(bearer);
        }
        if self.outgoing[bearer].push(to, local, bytes).is_err() {
            self.parts
                .stats
                .send_failures
                .fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flush(&mut self, bearer: usize) {
        let batch = &mut self.outgoing[bearer];
        if batch.is_empty() {
            return;
        }
        let count = batch.len();
        // What the kernel has no room for is lost like any datagram; CoAP sends again.
        let left = self.parts.bearers[bearer]
            .1
            .try_send(batch)
            .unwrap_or(count);
        batch.discard(batch.len());
        let stats = &self.parts.stats;
        stats
            .sent
            .fetch_add((count - left.min(count)) as u64, Ordering::Relaxed);
        stats
            .send_failures
            .fetch_add(left as u64, Ordering::Relaxed);
    }

    fn need(&mut self, now: Now, id: NeedId, need: Need) {
        match need {
            Need::Claim { endpoint } => {
                let index = self.parts.index;
                match self.parts.directory.claim(&endpoint, index) {
                    Some(owner) if owner != index => {
                        let evict = Input::Evict {
                            endpoint,
                            asker: index,
                            need: id,
                        };
                        if self.parts.peers[owner].inbox.try_send(evict).is_err() {
                            self.parts
                                .server
                                .handle_answer(now, id, Answer::Unavailable);
                        }
                    }
                    _ => {
                        let nothing = Answer::Claimed(Box::default());
                        self.parts.server.handle_answer(now, id, nothing);
                    }
                }
            }
            Need::Profile { endpoint, identity } => {
                self.profile_needed(now, id, &endpoint, &identity);
            }
            Need::Security(need) => self.security_needed(now, id, *need),
            Need::Admission { endpoint, identity } => {
                self.admission_needed(now, id, &endpoint, &identity);
            }
            _ => self
                .parts
                .server
                .handle_answer(now, id, Answer::Unavailable),
        }
    }

    fn live(&mut self, event: LiveEvent) {
        self.parts.teller.live(event);
    }

    // The end of a turn.

    fn end_turn(&mut self, now: Now) {
        self.revoke_changed(now);
        self.submit();
        let durable = self.gate.durable.load(Ordering::Acquire);
        self.pressure
            .durable(now.instant, durable, &self.parts.stats.commit_times);
        while self
            .pending
            .front()
            .is_some_and(|(barrier, _)| *barrier <= durable)
        {
            if let Some((_, pending)) = self.pending.pop_front() {
                self.leave(pending);
            }
        }
        (0..self.outgoing.len()).for_each(|bearer| self.flush(bearer));
        self.parts
            .stats
            .pending
            .store(self.pending.len() as u64, Ordering::Relaxed);
        self.tell_health(now);
    }

    /// The machine hears how full what waits for it is.
    fn look_at_pressure(&mut self, now: Now, inbox: usize) {
        if !self.pressure.is_due(now) {
            return;
        }
        let waiting = (inbox, INBOX_MAX);
        let (pressure, lost) = self.pressure.look(now, &self.parts.bearers, waiting);
        self.parts.server.set_pressure(now, pressure);
        let stats = &self.parts.stats;
        stats.overflowed.fetch_add(lost, Ordering::Relaxed);
        stats.pressure.store(pressure.into(), Ordering::Relaxed);
        stats.inbox.store(inbox as u64, Ordering::Relaxed);
    }

    /// The machine hears whether it may make commits: the disk takes them, and not too much waits.
    fn tell_health(&mut self, now: Now) {
        let limit = if self.told_healthy {
            PENDING_MAX
        } else {
            PENDING_MAX / 2
        };
        let healthy = self.store_healthy && self.backlog.is_empty() && self.pending.len() < limit;
        if healthy != self.told_healthy {
            self.told_healthy = healthy;
            self.parts.server.set_store_health(now, healthy);
            self.drain(now);
        }
    }

    fn submit(&mut self) {
        if !self.batch.is_empty() {
            let batch = std::mem::take(&mut self.batch);
            let events = std::mem::take(&mut self.batch_events);
            self.backlog.push_back((batch, events, self.batch_last));
        }
        while let Some((batch, events, last)) = self.backlog.pop_front() {
            let submission = self.submission(batch, events, last);
            self.parts.stats.commits.fetch_add(1, Ordering::Relaxed);
            match self.parts.submitter.submit(submission) {
                Ok(()) => self.pressure.submitted(clock::instant(), last),
                Err(SubmitRefused::Full(submission)) => {
                    self.put_back(submission, last);
                    return;
                }
                Err(refused) => {
                    tracing::error!(shard = self.parts.index, reason = %refused, "a commit was refused; the shard ends, so that nothing is acknowledged that is not kept");
                    self.gate.stopped.store(true, Ordering::Release);
                    return;
                }
            }
        }
    }

    fn submission(&self, batch: Batch, events: Vec<dunlin_server::Event>, last: u64) -> Submission {
        let gate = self.gate.clone();
        let teller = self.parts.teller.clone();
        let done = Box::new(move |outcome: Result<dunlin_store::CommitNumber, _>| {
            match outcome {
                Ok(commit) => {
                    if !events.is_empty() {
                        teller.durable(Durable {
                            commit: commit.0,
                            events,
                        });
                    }
                    gate.durable.store(last, Ordering::Release);
                }
                Err(dunlin_store::Stopped) => gate.stopped.store(true, Ordering::Release),
            }
            gate.changed.notify_one();
        });
        Submission { batch, done }
    }

    /// The committer had no room. The events went into the call-back; they are read back from the
    /// batch's own bytes.
    fn put_back(&mut self, submission: Submission, last: u64) {
        let batch = submission.batch;
        let events = batch
            .events
            .iter()
            .filter_map(|bytes| crate::record::decode(bytes).ok())
            .collect();
        self.backlog.push_front((batch, events, last));
    }
}

/// How many upper bits of our Message IDs name one of so many shards.
pub(crate) fn message_id_bits(shards: usize) -> u8 {
    u8::try_from(shards.next_power_of_two().trailing_zeros()).unwrap_or(8)
}

/// Waits until a bearer has datagrams, and takes them into its batch. The search begins at
/// `first`, and may be given up without losing anything.
async fn first_ready(
    bearers: &mut [(Port, UdpBearer)],
    batches: &mut [ReceiveBatch],
    first: usize,
) -> usize {
    let count = bearers.len();
    loop {
        let ready = std::future::poll_fn(|context| {
            let mut places = (first..first + count).map(|place| place % count);
            let ready = places.find(|at| bearers[*at].1.poll_receive_ready(context).is_ready());
            ready.map_or(Poll::Pending, Poll::Ready)
        });
        let ready = ready.await;
        // Sockets that are never empty must leave time for the other tasks of the runtime.
        tokio::task::coop::consume_budget().await;
        match bearers[ready].1.try_receive(&mut batches[ready]) {
            Ok(0) => {}
            // What is wrong with a socket shows at its next use, too.
            _ => return ready,
        }
    }
}
