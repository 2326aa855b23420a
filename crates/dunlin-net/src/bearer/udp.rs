//! UDP inside a tokio current-thread runtime, many datagrams per system call.
//!
//! The way: wait until the socket is readable, take up to [`BATCH_MAX`] datagrams with one
//! `recvmmsg`, let the machines speak, send what they said with one `sendmmsg`. Where the system
//! has neither call, or [`IoPath::Portable`] is asked for, the same happens one datagram at a time.
//!
//! Nothing is lost without a number in [`UdpStatistics`]: neither what the kernel dropped before we
//! read it, nor what was too long, nor what could not be sent.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

#[cfg(target_os = "linux")]
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::batch::{Arrival, BATCH_MAX, ReceiveBatch, SendBatch};
#[cfg(target_os = "linux")]
use crate::kernel;
use crate::socket::{Granted, SocketOptions, bind_udp};

/// How datagrams pass between us and the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoPath {
    /// Many per system call; Linux only.
    Batched,
    /// One per system call, everywhere. Local addresses are not told, and answers leave from
    /// whichever address the system chooses.
    Portable,
}

impl Default for IoPath {
    /// The best the system has.
    fn default() -> Self {
        if cfg!(target_os = "linux") {
            IoPath::Batched
        } else {
            IoPath::Portable
        }
    }
}

/// How a bearer is to be opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpOptions {
    /// The socket beneath.
    pub socket: SocketOptions,
    /// Which system calls are used.
    pub path: IoPath,
}

/// What went through a bearer, and what did not. All counts rise for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpStatistics {
    /// Datagrams received, the truncated ones among them.
    pub received: u64,
    /// System calls that brought at least one.
    pub receive_calls: u64,
    /// Datagrams longer than a slot of the batch.
    pub truncated: u64,
    /// Datagrams that the kernel dropped because its buffer was full. Known when the next one
    /// arrives; counts modulo 2^32.
    pub overflowed: u64,
    /// Errors of earlier sends that the kernel told us at a receive, such as a port unreachable.
    pub receive_errors: u64,
    /// Datagrams handed to the kernel.
    pub sent: u64,
    /// System calls that sent at least one.
    pub send_calls: u64,
    /// How often the kernel's buffer was full; what waited was sent later.
    pub would_block: u64,
    /// Datagrams given up because a queue of the system was full (`ENOBUFS`, `ENOMEM`).
    pub no_buffers: u64,
    /// Datagrams given up because their destination cannot be reached: refused, no route, down.
    pub unreachable: u64,
    /// Datagrams given up because they are too long for one datagram.
    pub too_long: u64,
    /// Datagrams given up because the system does not permit them: a packet filter, or an address
    /// that is not ours (any more).
    pub forbidden: u64,
}

impl UdpStatistics {
    /// Datagrams that were given up instead of sent, for whatever reason.
    pub fn send_failures(&self) -> u64 {
        self.no_buffers + self.unreachable + self.too_long + self.forbidden
    }
}

/// A UDP socket as a shard, a Client or the fleet uses it.
#[derive(Debug)]
pub struct UdpBearer {
    socket: UdpSocket,
    granted: Granted,
    path: IoPath,
    statistics: UdpStatistics,
    /// Datagrams that do not fit the path are cut: one has been met.
    cuts: bool,
}

impl UdpBearer {
    /// Opens a socket on `address`. Must be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// What the system says: the port is taken, the address is not ours; or the batched path was
    /// asked for on a system that has none.
    pub fn bind(address: SocketAddr, options: &UdpOptions) -> io::Result<Self> {
        let (socket, granted) = bind_udp(address, &options.socket)?;
        Self::from_socket(socket, granted, options.path)
    }

    /// Takes over a socket from [`bind_udp`]. Must be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// When the runtime cannot watch it, or the system has no such `path`.
    pub fn from_socket(
        socket: std::net::UdpSocket,
        granted: Granted,
        path: IoPath,
    ) -> io::Result<Self> {
        if path == IoPath::Batched && !cfg!(target_os = "linux") {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "this system has no batched datagrams; use the portable path",
            ));
        }
        let socket = UdpSocket::from_std(socket)?;
        Ok(UdpBearer {
            socket,
            granted,
            path,
            statistics: UdpStatistics::default(),
            cuts: false,
        })
    }

    /// The address the socket is bound to, with the port that was chosen.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// What the kernel granted of the buffers that were asked for.
    pub fn granted(&self) -> Granted {
        self.granted
    }

    /// What went through so far.
    pub fn statistics(&self) -> UdpStatistics {
        self.statistics
    }

    /// How full the kernel's receive buffer is, in thousandths; beyond 1000 it drops what comes. The
    /// kernel gives back the room of what was read some of it at a time, so that up to a quarter may be
    /// more than there is. `None` where the system does not tell.
    pub fn fullness(&self) -> Option<u32> {
        #[cfg(target_os = "linux")]
        {
            use std::os::fd::AsFd;
            let (used, room) = kernel::receive_backlog(self.socket.as_fd()).ok()?;
            let of_a_thousand = u64::from(used) * 1_000 / u64::from(room.max(1));
            u32::try_from(of_a_thousand).ok()
        }
        #[cfg(not(target_os = "linux"))]
        None
    }

    /// Waits for datagrams and takes up to [`BATCH_MAX`] of them into `batch`, whose earlier
    /// content is gone. Returns how many there are: at least 1.
    ///
    /// May be dropped while it waits (in a `select`) without losing anything.
    ///
    /// # Errors
    ///
    /// Only what concerns the socket as a whole. What a peer caused is counted and passed over.
    pub async fn receive(&mut self, batch: &mut ReceiveBatch) -> io::Result<usize> {
        loop {
            self.socket.readable().await?;
            // A socket that is never empty must leave time for the other tasks of the runtime.
            tokio::task::coop::consume_budget().await;
            match self.try_receive(batch)? {
                0 => {}
                count => return Ok(count),
            }
        }
    }

    /// Takes what has arrived already into `batch`, whose earlier content is gone: up to
    /// [`BATCH_MAX`] datagrams, and 0 when there is none.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive).
    pub fn try_receive(&mut self, batch: &mut ReceiveBatch) -> io::Result<usize> {
        batch.received.clear();
        let result = match self.path {
            IoPath::Batched => receive_many(&self.socket, batch),
            IoPath::Portable => receive_one_by_one(&self.socket, batch),
        };
        match result {
            Err(error) if is_a_pause(&error) => Ok(0),
            result => self.account_receive(result, batch),
        }
    }

    /// Whether [`try_receive`](Self::try_receive) is worth a try; if not, `context` is woken when it
    /// is. For drivers that watch many bearers at once.
    ///
    /// # Errors
    ///
    /// When the runtime is being shut down.
    pub fn poll_receive_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_recv_ready(context)
    }

    /// Sends as much of `batch` as the kernel takes now, in order, and returns how many datagrams
    /// are still waiting in it: 0 unless the kernel's buffer is full. Those that cannot be sent at
    /// all are counted, and the rest goes on.
    ///
    /// # Errors
    ///
    /// Only what concerns the socket as a whole; the datagram that met it stays in the batch.
    pub fn try_send(&mut self, batch: &mut SendBatch) -> io::Result<usize> {
        while !batch.is_empty() {
            let result = match self.path {
                IoPath::Batched => send_many(&self.socket, batch),
                IoPath::Portable => send_one(&self.socket, batch),
            };
            match result {
                Ok(sent) => {
                    self.statistics.sent += sent as u64;
                    self.statistics.send_calls += 1;
                    batch.discard(sent);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.statistics.would_block += 1;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Once more, and from now on cut.
                Err(error) if is_too_long(&error) && self.begin_to_cut() => {}
                Err(error) => {
                    *self.count_of(&error).ok_or(error)? += 1;
                    batch.discard(1);
                }
            }
        }
        Ok(batch.len())
    }

    /// Sends all of `batch`, waiting where the kernel's buffer is full. When dropped while it
    /// waits, what was not sent is still in the batch.
    ///
    /// # Errors
    ///
    /// As [`try_send`](Self::try_send).
    pub async fn send(&mut self, batch: &mut SendBatch) -> io::Result<()> {
        while self.try_send(batch)? > 0 {
            self.socket.writable().await?;
        }
        Ok(())
    }

    /// A path takes less than we send: a socket that does not cut ([`SocketOptions::dont_fragment`])
    /// does so from now on, or whoever is behind that path would never get a long answer. True the
    /// first time.
    fn begin_to_cut(&mut self) -> bool {
        #[cfg(target_os = "linux")]
        if !self.cuts {
            use std::os::fd::AsFd;
            self.cuts = true;
            return kernel::enable(self.socket.as_fd(), kernel::Flag::Fragment).is_ok();
        }
        false
    }

    fn account_receive(
        &mut self,
        result: io::Result<usize>,
        batch: &mut ReceiveBatch,
    ) -> io::Result<usize> {
        match result {
            Ok(count) => {
                self.statistics.received += count as u64;
                self.statistics.receive_calls += u64::from(count > 0);
                let truncated = batch.iter().filter(|datagram| datagram.truncated).count();
                self.statistics.truncated += truncated as u64;
                let overflow = batch.received.iter().map(|arrival| arrival.overflow).max();
                self.statistics.overflowed = self
                    .statistics
                    .overflowed
                    .max(u64::from(overflow.unwrap_or(0)));
                Ok(count)
            }
            // The kernel tells here what became of something we sent earlier. It is no news about
            // the datagrams that wait, and it is gone by having been told.
            Err(error) if is_of_a_peer(&error) => {
                batch.received.clear();
                self.statistics.receive_errors += 1;
                Ok(0)
            }
            Err(error) => {
                batch.received.clear();
                Err(error)
            }
        }
    }

    /// The count that an error of one datagram belongs to; `None` if it concerns the socket.
    fn count_of(&mut self, error: &io::Error) -> Option<&mut u64> {
        use io::ErrorKind as Kind;
        let statistics = &mut self.statistics;
        if is_of_a_peer(error) {
            return Some(&mut statistics.unreachable);
        }
        #[cfg(target_os = "linux")]
        match error.raw_os_error() {
            Some(libc::ENOBUFS | libc::ENOMEM) => return Some(&mut statistics.no_buffers),
            Some(libc::EMSGSIZE) => return Some(&mut statistics.too_long),
            _ => {}
        }
        match error.kind() {
            Kind::OutOfMemory => Some(&mut statistics.no_buffers),
            // A source address that is not ours any more reads as an invalid argument, and so does
            // port 0.
            Kind::PermissionDenied | Kind::InvalidInput | Kind::AddrNotAvailable => {
                Some(&mut statistics.forbidden)
            }
            _ => None,
        }
    }
}

fn is_too_long(error: &io::Error) -> bool {
    #[cfg(target_os = "linux")]
    return error.raw_os_error() == Some(libc::EMSGSIZE);
    #[cfg(not(target_os = "linux"))]
    false
}

/// Whether an error speaks of a destination and not of our socket.
fn is_of_a_peer(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    #[cfg(target_os = "linux")]
    if matches!(
        error.raw_os_error(),
        Some(
            libc::EHOSTDOWN | libc::EPROTO | libc::ENOPROTOOPT | libc::ENONET | libc::EAFNOSUPPORT
        )
    ) {
        return true;
    }
    matches!(
        error.kind(),
        Kind::ConnectionRefused
            | Kind::ConnectionReset
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NetworkDown
    )
}

/// Whether an error only says: not now.
fn is_a_pause(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

#[cfg(target_os = "linux")]
fn receive_many(socket: &UdpSocket, batch: &mut ReceiveBatch) -> io::Result<usize> {
    use std::os::fd::AsFd;
    let ReceiveBatch {
        buffers,
        size,
        received,
    } = batch;
    socket.try_io(Interest::READABLE, || {
        kernel::receive_many(
            socket.as_fd(),
            buffers,
            *size,
            received,
            kernel::Wait::Never,
        )
    })
}

#[cfg(target_os = "linux")]
fn send_many(socket: &UdpSocket, batch: &SendBatch) -> io::Result<usize> {
    use kernel::Outgoing;
    use std::os::fd::AsFd;
    const NONE: Outgoing<'static> = Outgoing {
        to: None,
        from: None,
        bytes: &[],
    };
    let mut datagrams = [NONE; BATCH_MAX];
    let mut count = 0;
    for (place, waiting) in datagrams.iter_mut().zip(batch.iter()) {
        *place = Outgoing {
            to: Some(waiting.to),
            from: waiting.from,
            bytes: waiting.bytes,
        };
        count += 1;
    }
    socket.try_io(Interest::WRITABLE, || {
        kernel::send_many(socket.as_fd(), &datagrams[..count])
    })
}

/// Never reached: such a bearer cannot be made.
#[cfg(not(target_os = "linux"))]
fn receive_many(_socket: &UdpSocket, _batch: &mut ReceiveBatch) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Never reached: such a bearer cannot be made.
#[cfg(not(target_os = "linux"))]
fn send_many(_socket: &UdpSocket, _batch: &SendBatch) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

fn receive_one_by_one(socket: &UdpSocket, batch: &mut ReceiveBatch) -> io::Result<usize> {
    let ReceiveBatch {
        buffers,
        size,
        received,
    } = batch;
    for slot in buffers.chunks_exact_mut(*size).take(BATCH_MAX) {
        match socket.try_recv_from(slot) {
            Ok((len, from)) => {
                received.push(Arrival {
                    from,
                    local: None,
                    len,
                    truncated: false,
                    overflow: 0,
                });
            }
            // The first failure is told; a later one comes again with the next call.
            Err(error) if received.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(received.len())
}

fn send_one(socket: &UdpSocket, batch: &SendBatch) -> io::Result<usize> {
    match batch.iter().next() {
        Some(waiting) => socket.try_send_to(waiting.bytes, waiting.to).map(|_| 1),
        None => Ok(0),
    }
}
