//! The Client's loop: one machine, its sockets, its clock.
//!
//! Every turn feeds one input - a datagram, a command, a time that has come, a name that was looked
//! up - and drains the machine: what is to be kept is kept before the datagrams that promise it
//! leave.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use dunlin_client::lwm2m::{Path, ResourceValue};
use dunlin_client::{
    Address, Answer, Client, Event, Need, NeedId, Now, Output, PackageDone, PackageFault,
    PackageStep, Port, Sample,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

pub use crate::clock::now;
use crate::clock::{self, sleep_until};
use crate::way::{self, Turn, Watch, Ways};

/// The longest datagram that is read: what UDP carries.
const DATAGRAM_MAX: usize = 65_535;

/// Commands that wait for the loop. An embedder that sets values faster than they can be told
/// waits, too.
const COMMANDS_MAX: usize = 64;

/// Does something to the machine, at its time.
pub type Command = Box<dyn FnOnce(&mut Client, Now) + Send>;

/// What the loop leaves to its owner.
pub trait Host: Send {
    /// Keeps the state in place of the one before, durably.
    ///
    /// # Errors
    /// Nothing that depends on it is answered; the next change tries again.
    fn keep(&mut self, state: &[u8]) -> io::Result<()>;

    /// News of the Client.
    fn event(&mut self, client: &mut Client, now: Now, event: Event);

    /// Does what a package of the Firmware Update Object needs. `None`: it takes longer, and is
    /// answered with [`ClientHandle::answer_package`]. Nobody is asked whose Client has no Object 5.
    fn package(
        &mut self,
        need: NeedId,
        step: PackageStep,
    ) -> Option<Result<PackageDone, PackageFault>> {
        let _ = (need, step);
        Some(Err(PackageFault::NoRoom))
    }

    /// The content of the smartcard's file EF(LwM2M_Bootstrap), read now; `None` without a card.
    fn smartcard(&mut self) -> Option<Vec<u8>> {
        None
    }

    /// From which address of this machine datagrams to this place leave now; `None` when there is no
    /// way. A Server hears of it when that has changed. The system knows.
    fn source_of(&mut self, to: SocketAddr) -> Option<IpAddr> {
        way::source_of(to)
    }

    /// Whether this datagram is lost on purpose, in or out: for trials of bad networks.
    fn loses(&mut self) -> bool {
        false
    }
}

/// The handle of a running Client.
#[derive(Clone, Debug)]
pub struct ClientHandle {
    commands: mpsc::Sender<Command>,
    network: Arc<Notify>,
}

impl ClientHandle {
    /// Does something to the machine; waits until the loop has room for it. `false`: the loop has
    /// ended.
    pub async fn run(&self, command: impl FnOnce(&mut Client, Now) + Send + 'static) -> bool {
        self.commands.send(Box::new(command)).await.is_ok()
    }

    /// Sets a Resource; Servers that observe it are told as their attributes say. `false`: the loop
    /// has ended. A value that does not fit the definition is left out, and logged.
    pub async fn set(&self, path: Path, value: impl Into<ResourceValue>) -> bool {
        let value = value.into();
        self.take(vec![Sample::Value(path, value)]).await
    }

    /// Takes in what a [`Source`](dunlin_client::Source) says, all at once.
    pub async fn take(&self, samples: Vec<Sample>) -> bool {
        self.run(move |client, now| {
            for (path, what) in client.take(now, samples) {
                tracing::debug!(%path, what, "a value does not fit and is left out");
            }
        })
        .await
    }

    /// The network may be another one: looks from which address each Server is reached now. On Linux
    /// the loop hears of it by itself.
    pub fn network_changed(&self) {
        self.network.notify_one();
    }

    /// Answers what [`Host::package`] left open.
    pub async fn answer_package(
        &self,
        need: NeedId,
        answer: Result<PackageDone, PackageFault>,
    ) -> bool {
        let answer = Answer::Package(answer);
        self.run(move |client, now| client.handle_answer(now, need, answer))
            .await
    }
}

/// A Client with its loop, not yet running.
#[derive(Debug)]
pub struct ClientLoop<H> {
    client: Client,
    host: H,
    commands: mpsc::Receiver<Command>,
    network: Arc<Notify>,
    ways: Ways,
    v4: Option<UdpSocket>,
    v6: Option<UdpSocket>,
    /// Where the Client is to be found, rather than at any port that is free.
    listens: Vec<SocketAddr>,
    lookups: JoinSet<(NeedId, Option<Address>)>,
    /// How many names were looked up: each time the next address of a name is taken, so that a
    /// Server is found that listens on one of them alone.
    looked_up: usize,
    /// The last commit that was kept.
    kept: u64,
    stopping: bool,
}

impl<H: Host> ClientLoop<H> {
    /// Takes a machine that has not been started.
    #[must_use]
    pub fn new(client: Client, host: H) -> (Self, ClientHandle) {
        let (sender, commands) = mpsc::channel(COMMANDS_MAX);
        let network = Arc::new(Notify::new());
        let this = Self {
            client,
            host,
            commands,
            network: network.clone(),
            ways: Ways::default(),
            v4: None,
            v6: None,
            listens: Vec::new(),
            lookups: JoinSet::new(),
            looked_up: 0,
            kept: 0,
            stopping: false,
        };
        let commands = sender;
        (this, ClientHandle { commands, network })
    }

    /// Uses these addresses, one of IPv4, one of IPv6 or both, from the start: a Bootstrap-Server
    /// that begins by itself knows them (TS 1.0 §5.2.3.4, §7.1.2).
    #[must_use]
    pub fn listening(mut self, at: Vec<SocketAddr>) -> Self {
        self.listens = at;
        self
    }

    /// Runs until every handle is gone and the Client has de-registered everywhere, or the grace
    /// time for that is over.
    ///
    /// # Errors
    /// A socket cannot be opened.
    pub async fn run(mut self, grace: Duration) -> io::Result<()> {
        for at in std::mem::take(&mut self.listens) {
            let socket = Some(open(at)?);
            match at {
                SocketAddr::V4(_) => self.v4 = socket,
                SocketAddr::V6(_) => self.v6 = socket,
            }
        }
        self.client.start(now());
        let mut timeout = self.drain().await?;
        let mut end = None;
        let mut watch = Watch::new();
        let mut buffer = vec![0; DATAGRAM_MAX];
        let mut buffer6 = vec![0; DATAGRAM_MAX];
        while !(self.stopping && self.client.is_idle()) {
            let wake = [timeout, end, self.ways.next()].into_iter().flatten().min();
            tokio::select! {
                received = receive(self.v4.as_ref(), &mut buffer) => {
                    self.received(received, &buffer);
                }
                received = receive(self.v6.as_ref(), &mut buffer6) => {
                    self.received(received, &buffer6);
                }
                command = self.commands.recv(), if !self.stopping => match command {
                    Some(command) => command(&mut self.client, now()),
                    None => {
                        self.stopping = true;
                        end = Some(clock::instant() + grace);
                        self.client.stop(now());
                    }
                },
                Some(found) = self.lookups.join_next() => {
                    if let Ok((need, address)) = found {
                        self.client.handle_answer(now(), need, Answer::Resolved(address));
                    }
                }
                () = watch.changed() => self.ways.doubt(clock::instant()),
                () = self.network.notified() => self.ways.doubt(clock::instant()),
                () = sleep_until(wake) => self.client.handle_timeout(now()),
            }
            if self.ways.next().is_some_and(|at| at <= clock::instant()) {
                self.look();
            }
            timeout = self.drain().await?;
            if end.is_some_and(|end| end <= clock::instant()) {
                break;
            }
        }
        Ok(())
    }

    /// Tells the machine which Servers are reached another way than before.
    fn look(&mut self) {
        let servers: Vec<_> = self.client.ways().collect();
        let host = &mut self.host;
        for (server, turn) in self.ways.look(&servers, |to| host.source_of(to)) {
            tracing::info!(%server, ?turn, "the way to a server");
            match turn {
                Turn::Changed => self.client.address_changed(now(), server),
                Turn::Back => self.client.way_is_back(now(), server),
            }
        }
    }

    fn received(&mut self, received: io::Result<(usize, SocketAddr)>, buffer: &[u8]) {
        // An error here is an earlier datagram that was refused (ICMP): retransmission sees to it.
        let Ok((length, from)) = received else { return };
        if self.host.loses() {
            return;
        }
        let from = Address::Udp(SocketAddr::new(from.ip().to_canonical(), from.port()));
        let datagram = &buffer[..length];
        self.client
            .handle_receive(now(), port_of(datagram), &from, None, datagram);
    }

    /// Does what the machine wants; says when it wants to be woken.
    async fn drain(&mut self) -> io::Result<Option<Duration>> {
        loop {
            match self.client.poll_output() {
                Output::Commit(commit) => match self.host.keep(&commit.state) {
                    Ok(()) => self.kept = commit.number,
                    Err(error) => {
                        tracing::error!(%error, "the client's state cannot be kept; what depends on it is not answered");
                    }
                },
                Output::Transmit(transmit) => {
                    if transmit.barrier <= self.kept && !self.host.loses() {
                        self.transmit(&transmit.to, &transmit.bytes).await?;
                    }
                    self.client.recycle(transmit.bytes);
                }
                Output::Need(need, Need::Resolve { host, port }) => {
                    let turn = self.looked_up;
                    self.looked_up = turn.wrapping_add(1);
                    self.lookups
                        .spawn(async move { (need, resolve(&host, port, turn).await) });
                }
                Output::Need(need, Need::Package(step)) => {
                    if let Some(answer) = self.host.package(need, step) {
                        let answer = Answer::Package(answer);
                        self.client.handle_answer(now(), need, answer);
                    }
                }
                Output::Need(need, Need::Smartcard) => {
                    let answer = Answer::Smartcard(self.host.smartcard());
                    self.client.handle_answer(now(), need, answer);
                }
                Output::Need(need, _) => {
                    self.client
                        .handle_answer(now(), need, Answer::Resolved(None));
                }
                Output::Event(event) => {
                    if matches!(
                        event,
                        Event::Registered { .. } | Event::RegistrationFailed { .. }
                    ) {
                        self.ways.doubt(clock::instant());
                    }
                    self.host.event(&mut self.client, now(), event);
                }
                Output::Timeout(timeout) => return Ok(timeout),
            }
        }
    }

    async fn transmit(&mut self, to: &Address, bytes: &[u8]) -> io::Result<()> {
        let Address::Udp(to) = to else { return Ok(()) };
        let (socket, any) = match to {
            SocketAddr::V4(_) => (&mut self.v4, SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))),
            SocketAddr::V6(_) => (&mut self.v6, SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))),
        };
        if socket.is_none() {
            *socket = Some(open(any)?);
        }
        let socket = socket.as_ref().expect("it was opened");
        if let Err(error) = socket.send_to(bytes, to).await {
            // A network that is down now may be up at the next retransmission.
            tracing::debug!(%error, %to, "a datagram was not sent");
        }
        Ok(())
    }
}

/// A socket at this address. One of IPv6 leaves IPv4 to the other.
fn open(at: SocketAddr) -> io::Result<UdpSocket> {
    let kind = Domain::for_address(at);
    let socket = Socket::new(kind, Type::DGRAM, Some(Protocol::UDP))?;
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    UdpSocket::from_std(socket.into())
}

/// In the clear or not: one socket serves both, and the first byte tells records of DTLS from
/// messages of CoAP (RFC 7983 §7).
fn port_of(datagram: &[u8]) -> Port {
    match datagram.first() {
        Some(20..=63) => Port::Coaps,
        _ => Port::Coap,
    }
}

async fn receive(socket: Option<&UdpSocket>, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    match socket {
        Some(socket) => socket.recv_from(buffer).await,
        None => std::future::pending().await,
    }
}

/// An address of the name: another one each turn, in the order in which the system prefers them.
async fn resolve(host: &str, port: u16, turn: usize) -> Option<Address> {
    let found = tokio::net::lookup_host((host, port)).await.ok()?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    let chosen = turn.checked_rem(addresses.len())?;
    Some(Address::Udp(addresses[chosen]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_gives_its_addresses_in_turn_and_no_name_gives_none() {
        let first = resolve("127.0.0.1", 5683, 0).await;
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 5683));
        assert_eq!(first, Some(Address::Udp(loopback)));
        assert_eq!(resolve("127.0.0.1", 5683, 7).await, first);
        assert_eq!(resolve("", 5683, 0).await, None);
    }
}
