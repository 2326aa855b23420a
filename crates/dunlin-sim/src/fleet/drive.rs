//! The loop that gives the machine its time and its bytes, and ends the run.
//!
//! One thread does all. Each turn: read the sockets that have something, let the machine do what is
//! due, send what it said; and when there is nothing to do, sleep until there is.

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use anyhow::{Context as _, Result};
use dunlin_net::bearer::batch::{ReceiveBatch, SendBatch};
use dunlin_net::bearer::udp::{UdpBearer, UdpOptions, UdpStatistics};
use dunlin_net::socket::SocketOptions;
use dunlin_net::{clock, seed};
use indicatif::{ProgressBar, ProgressStyle};

use super::ledger::{Acknowledged, Ledger};
use super::machine::{Fact, Machine};
use super::plan::Plan;
use super::reads::Readers;
use super::report::{Generator, Kind, Report};
use super::secured::{self, Secured};
use super::settings::{FleetSettings, SHARED_SOCKETS};
use super::timeline::Timeline;

/// What is known while a run goes on; told five times a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// Since the start.
    pub elapsed: Duration,
    /// How many Clients there are.
    pub clients: u32,
    /// How many have a registration now.
    pub registered: u32,
    /// Registers answered with 2.01 so far.
    pub registers: u64,
    /// Updates answered with 2.04 so far.
    pub updates: u64,
    /// Notifications sent so far; of Confirmable ones, those acknowledged.
    pub notifications: u64,
    /// Requests of the server answered so far.
    pub requests_answered: u64,
    /// Observations entered so far.
    pub observations: u64,
    /// What went wrong so far.
    pub errors: u64,
    /// Messages sent again so far.
    pub retransmissions: u64,
}

/// How often progress is told, and the ledger written to its file.
const TELL: Duration = Duration::from_millis(200);

/// How long answers are awaited after the end: a server that is slower than this is told as such by
/// what it did before.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// The first source address; Clients follow in order.
const SOURCE_BASE: u32 = 0x7f01_0000;

/// Batches read from one socket before the others have their turn.
const READ_TURNS: usize = 8;

/// Runs a fleet to its end, in the calling thread.
///
/// Must not be called from inside an async runtime.
///
/// # Errors
///
/// When the settings make no sense, sockets are not to be had, or the ledger cannot be written.
/// What the server does wrong is no error but stands in the report.
pub fn run(settings: FleetSettings) -> Result<Report> {
    run_watched(settings, |_| ControlFlow::Continue(()))
}

/// Writes the keys of a fleet for `dunlin credential import`. They follow from the numbers of the
/// Clients and are known to everybody: for trials alone.
///
/// # Errors
///
/// When the file cannot be written.
pub fn write_credentials(settings: &FleetSettings, file: &Path) -> Result<()> {
    let mut plan = Plan::new(settings.scenario.clone(), settings.clients, settings.rate);
    plan.first = settings.first;
    let name = |client| plan.endpoint(client);
    let table = secured::credentials(settings.first, settings.clients, name);
    std::fs::write(file, table)
        .with_context(|| format!("the keys cannot be written to {}", file.display()))
}

/// As [`run`]; `watch` is told the progress five times a second, and may end the run early.
///
/// # Errors
///
/// As [`run`].
pub fn run_watched(
    settings: FleetSettings,
    watch: impl FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Report> {
    settings.check()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let interrupt = settings.stop_on_interrupt;
    runtime.block_on(async {
        let mut drive = Drive::new(settings, watch)?;
        if interrupt {
            tokio::pin! { let interrupted = tokio::signal::ctrl_c(); }
            tokio::select! {
                report = drive.run(None) => return report,
                _ = &mut interrupted => {}
            }
            return drive.run(Some(())).await;
        }
        drive.run(None).await
    })
}

struct Drive<W> {
    settings: FleetSettings,
    watch: W,
    origin: Duration,
    machine: Machine,
    ports: Ports,
    secured: Option<Secured>,
    seed: seed::Seed,
    readers: Option<Readers>,
    inwards: ReceiveBatch,
    ledger: Option<Ledger>,
    facts: Vec<Fact>,
    told: Duration,
    closed: Option<Duration>,
    line: ProgressBar,
    timeline: Timeline,
}

impl<W: FnMut(&Progress) -> ControlFlow<()>> Drive<W> {
    fn new(settings: FleetSettings, watch: W) -> Result<Self> {
        let mut plan = Plan::new(settings.scenario.clone(), settings.clients, settings.rate);
        plan.first = settings.first;
        plan.wants_facts = settings.ledger.is_some();
        plan.secured = settings.secured;
        // With a socket per Client, a binding is the number of its socket, and every one is new.
        plan.bindings = if settings.shares_sockets() {
            SHARED_SOCKETS
        } else {
            u16::MAX
        };
        let ledger = match &settings.ledger {
            Some(file) => Some(
                Ledger::create(file)
                    .with_context(|| format!("the ledger {} cannot be made", file.display()))?,
            ),
            None => None,
        };
        let seed = match settings.seed {
            Some(number) => {
                let mut seed = seed::Seed::default();
                seed[..8].copy_from_slice(&number.to_le_bytes());
                seed
            }
            None => seed::draw().context("the system gives no entropy")?,
        };
        let secured = settings
            .secured
            .then(|| Secured::new(settings.clients, settings.first, seed));
        Ok(Drive {
            secured,
            seed,
            readers: None,
            ports: Ports::new(&settings)?,
            line: progress_line(&settings),
            machine: Machine::new(plan, seed),
            settings,
            watch,
            origin: clock::instant(),
            inwards: ReceiveBatch::default(),
            ledger,
            facts: Vec::new(),
            told: Duration::ZERO,
            closed: None,
            timeline: Timeline::default(),
        })
    }

    /// Goes on until the end; with `end`, that is now.
    async fn run(&mut self, end: Option<()>) -> Result<Report> {
        if end.is_some() {
            self.close();
        }
        loop {
            let heard = self.receive()?;
            let now = self.now();
            let more = self.machine.handle_timeout(now);
            self.secure(now);
            self.ports
                .send(&mut self.machine, &mut self.secured)
                .await?;
            self.machine.take_facts(&mut self.facts);
            self.write_facts()?;
            if self.is_over(now)? {
                return self.finish();
            }
            if heard || more {
                // The runtime looks at the sockets only when it is given the time.
                tokio::task::yield_now().await;
            } else {
                self.sleep(now).await;
            }
        }
    }

    /// What the machine says goes into sessions, and what came out of them goes into the machine:
    /// until neither says anything more.
    fn secure(&mut self, now: Duration) {
        let Some(secured) = &mut self.secured else {
            return;
        };
        secured.handle_timeout(now);
        for client in self.machine.restarted.drain(..) {
            secured.forget(now, client);
        }
        loop {
            let plan = &self.machine.plan;
            for outgoing in self.machine.outgoing() {
                let name = |client| plan.endpoint(client);
                let (client, binding) = (outgoing.client, outgoing.binding);
                secured.send(now, client, binding, outgoing.bytes, name);
            }
            self.machine.sent();
            for failure in secured.failures.drain(..) {
                self.machine.statistics.error(failure.to_owned());
            }
            if secured.inwards.is_empty() {
                return;
            }
            for (client, bytes) in std::mem::take(&mut secured.inwards) {
                let binding = self.machine.binding(client);
                self.machine.handle_receive(now, client, binding, &bytes);
            }
        }
    }

    fn now(&self) -> Duration {
        clock::instant().saturating_sub(self.origin)
    }

    /// Reads the sockets that have something. Returns whether any had.
    fn receive(&mut self) -> Result<bool> {
        let mut heard = false;
        let mut ready = self.ports.take_ready();
        for index in ready.drain(..) {
            for turn in 0..READ_TURNS {
                let Some(port) = self.ports.all.get_mut(index).and_then(Option::as_mut) else {
                    break;
                };
                let mut context = Context::from_waker(&port.waker);
                if port.bearer.poll_receive_ready(&mut context)?.is_pending() {
                    break;
                }
                let count = port.bearer.try_receive(&mut self.inwards)?;
                if count > 0 {
                    heard = true;
                    let (binding, now) = (port.binding, self.now());
                    self.hand_over(now, index, binding);
                }
                if turn + 1 == READ_TURNS {
                    self.ports.ready.push(index);
                }
            }
        }
        Ok(heard)
    }

    fn hand_over(&mut self, now: Duration, index: usize, binding: u16) {
        for datagram in self.inwards.iter() {
            if datagram.from != self.settings.server {
                self.machine
                    .statistics
                    .error("datagram_from_a_stranger".to_owned());
                continue;
            }
            if datagram.truncated {
                self.machine
                    .statistics
                    .error("datagram_too_long".to_owned());
                continue;
            }
            let client = if self.ports.shared {
                client_of(datagram.local)
            } else {
                Some(index as u32)
            };
            let Some(client) = client else {
                self.machine
                    .statistics
                    .error("datagram_for_nobody".to_owned());
                continue;
            };
            match &mut self.secured {
                // What the network loses, and what comes to an address that a NAT has forgotten.
                Some(_) if self.machine.is_lost() => {}
                Some(_) if self.machine.binding(client) != binding => {}
                Some(secured) => secured.receive(now, client, datagram.bytes),
                None => self
                    .machine
                    .handle_receive(now, client, binding, datagram.bytes),
            }
        }
    }

    fn write_facts(&mut self) -> Result<()> {
        let Some(ledger) = &mut self.ledger else {
            return Ok(());
        };
        let at_ms = clock::wall_ms();
        for fact in self.facts.drain(..) {
            let (client, path);
            let location;
            let acknowledged = match fact {
                Fact::Registered {
                    client: whose,
                    lifetime_s,
                } => {
                    client = whose;
                    location = self.machine.location(client);
                    Acknowledged::Registered {
                        location: &location,
                        lifetime_s,
                    }
                }
                Fact::Updated {
                    client: whose,
                    lifetime_s,
                } => {
                    client = whose;
                    Acknowledged::Updated { lifetime_s }
                }
                Fact::Notified {
                    client: whose,
                    path: place,
                    reading: id,
                    value,
                } => {
                    client = whose;
                    path = place.to_string();
                    Acknowledged::Notified {
                        path: &path,
                        id,
                        value: value.into(),
                    }
                }
                Fact::Deregistered { client: whose } => {
                    client = whose;
                    Acknowledged::Deregistered
                }
            };
            let endpoint = self.machine.plan.endpoint(client);
            ledger
                .write(at_ms, &endpoint, acknowledged)
                .context("the ledger cannot be written")?;
        }
        Ok(())
    }

    fn is_over(&mut self, now: Duration) -> Result<bool> {
        if now.saturating_sub(self.told) >= TELL {
            self.told = now;
            self.tell(now)?;
        }
        if self.readers.is_none()
            && self.closed.is_none()
            && self.machine.is_settled()
            && let Some(reads) = &self.settings.reads
        {
            self.readers = Some(Readers::start(reads, &self.machine.plan, self.seed)?);
        }
        let time_is_up = match self.settings.duration {
            Some(duration) => now >= duration,
            None => self.machine.is_settled(),
        };
        if time_is_up {
            self.close();
        }
        let Some(closed) = self.closed else {
            return Ok(false);
        };
        let leaving = if self.settings.scenario.deregister {
            Duration::from_secs_f64(f64::from(self.settings.clients) / self.settings.rate)
        } else {
            Duration::ZERO
        };
        Ok(self.machine.is_closed() || now >= closed + leaving + DRAIN_MAX)
    }

    fn close(&mut self) {
        if self.closed.is_none() {
            let now = self.now();
            self.closed = Some(now);
            self.machine.close(now);
            if let Some(readers) = &self.readers {
                readers.stop();
            }
        }
    }

    fn tell(&mut self, now: Duration) -> Result<()> {
        if let Some(ledger) = &mut self.ledger {
            ledger.flush().context("the ledger cannot be written")?;
        }
        let progress = self.progress(now);
        self.line.set_position(progress.registered.into());
        self.line.set_message(format!(
            "{} updates, {} notifications, {} errors, {} sent again",
            progress.updates, progress.notifications, progress.errors, progress.retransmissions
        ));
        if self.timeline.is_due(now) {
            self.sample(progress);
        }
        if (self.watch)(&progress).is_break() {
            self.close();
        }
        Ok(())
    }

    fn sample(&mut self, progress: Progress) {
        let latency_ms = self.machine.statistics.take_recent_latency_ms();
        self.timeline.take(progress, latency_ms);
    }

    fn progress(&self, now: Duration) -> Progress {
        let statistics = &self.machine.statistics;
        Progress {
            elapsed: now,
            clients: self.settings.clients,
            registered: self.machine.registered(),
            registers: statistics.count(Kind::Register),
            updates: statistics.count(Kind::Update),
            notifications: statistics.notifications(),
            requests_answered: statistics.requests_answered,
            observations: statistics.observations,
            errors: statistics.errors.values().sum(),
            retransmissions: statistics.retransmissions,
        }
    }

    /// Waits until something comes or something is due.
    async fn sleep(&mut self, now: Duration) {
        let secured = self.secured.as_mut().and_then(Secured::next_timeout);
        let due = self
            .machine
            .next_timeout()
            .into_iter()
            .chain(secured)
            .min()
            .unwrap_or(Duration::MAX)
            .min(now + TELL);
        let until = clock::at(self.origin + due.max(now));
        tokio::select! {
            () = self.ports.readable() => {}
            () = tokio::time::sleep_until(until.into()) => {}
        }
    }

    fn finish(&mut self) -> Result<Report> {
        let now = self.now();
        self.tell(now)?;
        self.sample(self.progress(now));
        self.line.finish_and_clear();
        let net = self.ports.statistics();
        let failures = [
            ("send_unreachable", net.unreachable),
            ("send_no_buffers", net.no_buffers),
            ("send_forbidden", net.forbidden),
            ("send_too_long", net.too_long),
        ];
        for (name, count) in failures {
            if count > 0 {
                self.machine
                    .statistics
                    .errors
                    .insert(name.to_owned(), count);
            }
        }
        let generator = Generator {
            cpu_s: cpu_s(),
            overflowed: net.overflowed,
            sent: net.sent,
            received: net.received,
            handshakes: self.secured.as_ref().map_or(0, |one| one.handshakes),
            ..Generator::default()
        };
        let mut report = self.machine.report(now, generator);
        if let Some(secured) = &self.secured {
            report.handshakes_per_s = secured.handshakes_per_s();
        }
        if let Some(readers) = self.readers.take() {
            let (reads, bare) = readers.end();
            report.counts.insert("rest_read", reads.count());
            for (name, seen) in [("rest_read", reads), ("bare_udp", bare)] {
                report
                    .latency_ms
                    .extend(seen.latency().map(|latency| (name, latency)));
                report.errors.extend(seen.errors);
            }
        }
        report.timeline = self.timeline.samples().to_vec();
        Ok(report)
    }
}

/// CPU seconds of this thread, where the system tells.
fn cpu_s() -> f64 {
    #[cfg(target_os = "linux")]
    return clock::thread_cpu().as_secs_f64();
    #[cfg(not(target_os = "linux"))]
    0.0
}

fn progress_line(settings: &FleetSettings) -> ProgressBar {
    if !settings.progress {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{elapsed} {bar:20} {pos}/{len} registered, {msg}");
    ProgressBar::new(settings.clients.into()).with_style(style.expect("the template is a constant"))
}

// ---- sockets ---------------------------------------------------------------------------------

/// The sockets: a few that all Clients share, or one for each.
struct Ports {
    shared: bool,
    server: SocketAddr,
    all: Vec<Option<Port>>,
    /// Sockets that were not read to their end.
    ready: Vec<usize>,
    woken: Arc<Woken>,
    /// What went through sockets that are gone.
    gone: UdpStatistics,
    /// Sockets that have something to send.
    sending: Vec<usize>,
}

struct Port {
    bearer: UdpBearer,
    binding: u16,
    outwards: SendBatch,
    waker: Waker,
}

/// The sockets that became readable, and the driver that wants to know.
#[derive(Default)]
struct Woken {
    inner: Mutex<(Vec<usize>, Option<Waker>)>,
}

/// Tells which socket became readable, so that sixteen thousand need not all be asked.
struct SocketWaker {
    index: usize,
    woken: Arc<Woken>,
}

impl Wake for SocketWaker {
    fn wake(self: Arc<Self>) {
        let mut inner = self
            .woken
            .inner
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        inner.0.push(self.index);
        if let Some(driver) = inner.1.take() {
            driver.wake();
        }
    }
}

impl Ports {
    fn new(settings: &FleetSettings) -> Result<Self> {
        let shared = settings.shares_sockets();
        let mut ports = Ports {
            shared,
            server: settings.server,
            all: Vec::new(),
            ready: Vec::new(),
            woken: Arc::default(),
            gone: UdpStatistics::default(),
            sending: Vec::new(),
        };
        if shared {
            for binding in 0..SHARED_SOCKETS {
                let port = ports.open(usize::from(binding), binding)?;
                ports.all.push(Some(port));
            }
        } else {
            ports.all.resize_with(settings.clients as usize, || None);
        }
        Ok(ports)
    }

    fn open(&mut self, index: usize, binding: u16) -> Result<Port> {
        let any = match self.server.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let mut options = UdpOptions::default();
        let mut waiting_max = 256;
        // Our datagrams are short, and a generator must be cheap.
        options.socket.dont_fragment = true;
        if !self.shared {
            // A Client alone has little to say, and there may be thousands.
            let buffer = 64 << 10;
            options.socket = SocketOptions {
                receive_buffer: buffer,
                send_buffer: buffer,
                ..options.socket
            };
            waiting_max = 1;
        }
        let bearer = UdpBearer::bind(SocketAddr::new(any, 0), &options).with_context(|| {
            format!("socket {index} cannot be opened; `ulimit -n` says how many files may be open")
        })?;
        let waker = Waker::from(Arc::new(SocketWaker {
            index,
            woken: Arc::clone(&self.woken),
        }));
        self.ready.push(index);
        Ok(Port {
            bearer,
            binding,
            outwards: SendBatch::with_capacity(waiting_max),
            waker,
        })
    }

    fn take_ready(&mut self) -> Vec<usize> {
        let mut ready = std::mem::take(&mut self.ready);
        let mut inner = self
            .woken
            .inner
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        ready.append(&mut inner.0);
        ready
    }

    /// Waits until a socket becomes readable.
    async fn readable(&self) {
        poll_fn(|context| {
            let mut inner = self
                .woken
                .inner
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if !inner.0.is_empty() || !self.ready.is_empty() {
                return Poll::Ready(());
            }
            inner.1 = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Sends all that the machine has said.
    async fn send(&mut self, machine: &mut Machine, secured: &mut Option<Secured>) -> Result<()> {
        for outgoing in machine.outgoing() {
            self.push(outgoing.client, outgoing.binding, outgoing.bytes)
                .await?;
        }
        machine.sent();
        if let Some(secured) = secured {
            for (client, binding, bytes) in secured.outwards.drain(..) {
                if machine.is_lost() {
                    continue;
                }
                self.push(client, binding, &bytes).await?;
            }
        }
        for index in self.sending.drain(..) {
            if let Some(port) = &mut self.all[index] {
                port.bearer.send(&mut port.outwards).await?;
            }
        }
        Ok(())
    }

    async fn push(&mut self, client: u32, binding: u16, bytes: &[u8]) -> Result<()> {
        let index = if self.shared {
            usize::from(binding)
        } else {
            self.own_port(client as usize, binding)?;
            client as usize
        };
        let port = self.all[index]
            .as_mut()
            .expect("it was opened above or at the start");
        if port.outwards.is_full() {
            port.bearer.send(&mut port.outwards).await?;
        }
        if port.outwards.is_empty() {
            self.sending.push(index);
        }
        let source = self.shared.then(|| source(client));
        port.outwards
            .push(self.server, source, bytes)
            .expect("there is room now");
        Ok(())
    }

    /// Sees to it that a Client has the socket that belongs to its binding: a new one if it changed.
    fn own_port(&mut self, client: usize, binding: u16) -> Result<()> {
        if self.all[client]
            .as_ref()
            .is_some_and(|port| port.binding == binding)
        {
            return Ok(());
        }
        let port = self.open(client, binding)?;
        if let Some(old) = self.all[client].replace(port) {
            add(&mut self.gone, old.bearer.statistics());
        }
        Ok(())
    }

    fn statistics(&self) -> UdpStatistics {
        let mut sum = self.gone;
        for port in self.all.iter().flatten() {
            add(&mut sum, port.bearer.statistics());
        }
        sum
    }
}

fn add(sum: &mut UdpStatistics, other: UdpStatistics) {
    sum.received += other.received;
    sum.overflowed += other.overflowed;
    sum.sent += other.sent;
    sum.unreachable += other.unreachable;
    sum.no_buffers += other.no_buffers;
    sum.forbidden += other.forbidden;
    sum.too_long += other.too_long;
}

/// The source address of a Client among those that share sockets.
fn source(client: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(SOURCE_BASE + client))
}

/// Whose address that is.
fn client_of(local: Option<IpAddr>) -> Option<u32> {
    match local {
        Some(IpAddr::V4(ip)) => u32::from(ip).checked_sub(SOURCE_BASE),
        _ => None,
    }
}
