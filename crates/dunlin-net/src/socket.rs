//! How a UDP socket is opened, and what the kernel granted of what we asked.
//!
//! IPv4 and IPv6 are separate sockets (`IPV6_V6ONLY`), so that an address is never seen in two
//! spellings and a Client has one identity per address.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

/// What we ask for in each direction: at 250 000 datagrams a second, and some 700 bytes of kernel
/// memory for the smallest datagram, this holds about 50 ms, longer than a sync of a slow disk.
pub const BUFFER_SIZE: usize = 8 << 20;

/// How a UDP socket is to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// Bytes of kernel buffer to ask for, inwards.
    pub receive_buffer: usize,
    /// Bytes of kernel buffer to ask for, outwards.
    pub send_buffer: usize,
    /// Share the port with other sockets of this user (`SO_REUSEPORT`): the kernel then spreads
    /// senders over them. One per shard.
    pub reuse_port: bool,
    /// Be told which local address each datagram was sent to, so that the answer can leave from it.
    /// Only a socket bound to all addresses needs it; Linux only.
    pub packet_info: bool,
    /// Do not cut our IPv4 datagrams, until one does not fit its path: then the bearer turns this off
    /// (Linux only). Routers are forbidden to cut them either way. The kernel need
    /// not number such datagrams, which on a socket with many peers is a tenth of the work of
    /// sending; and a forged fragment cannot be joined with an answer of ours.
    pub dont_fragment: bool,
}

impl Default for SocketOptions {
    fn default() -> Self {
        SocketOptions {
            receive_buffer: BUFFER_SIZE,
            send_buffer: BUFFER_SIZE,
            reuse_port: false,
            packet_info: true,
            dont_fragment: false,
        }
    }
}

/// What the kernel granted. A server says so when it is less than what was asked, together with the
/// setting that raises it (`net.core.rmem_max`, `net.core.wmem_max`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Bytes of buffer inwards that a sender can fill.
    pub receive_buffer: usize,
    /// Bytes of buffer outwards.
    pub send_buffer: usize,
}

impl Granted {
    /// Whether both buffers are at least as large as `asked`.
    pub fn covers(&self, asked: &SocketOptions) -> bool {
        self.receive_buffer >= asked.receive_buffer && self.send_buffer >= asked.send_buffer
    }
}

/// Opens a non-blocking UDP socket on `address`.
///
/// # Errors
///
/// What the system says: the port is taken, the address is not ours, the family is not there.
/// A buffer smaller than asked is no error.
pub fn bind_udp(address: SocketAddr, options: &SocketOptions) -> io::Result<(UdpSocket, Granted)> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    #[cfg(unix)]
    if options.reuse_port {
        socket.set_reuse_port(true)?;
    }
    // Some systems refuse a size above their limit instead of granting the limit.
    let _ = socket.set_recv_buffer_size(options.receive_buffer);
    let _ = socket.set_send_buffer_size(options.send_buffer);
    #[cfg(target_os = "linux")]
    {
        use crate::kernel::{Flag, enable};
        use std::os::fd::AsFd;
        enable(socket.as_fd(), Flag::ReceiveOverflow)?;
        if options.packet_info {
            let flag = if address.is_ipv4() {
                Flag::PacketInfoV4
            } else {
                Flag::PacketInfoV6
            };
            enable(socket.as_fd(), flag)?;
        }
        if options.dont_fragment && address.is_ipv4() {
            enable(socket.as_fd(), Flag::DontFragment)?;
        }
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    let granted = Granted {
        receive_buffer: usable(socket.recv_buffer_size()?),
        send_buffer: usable(socket.send_buffer_size()?),
    };
    Ok((socket.into(), granted))
}

/// Linux doubles what is asked, to pay for its own bookkeeping, and reports the double.
fn usable(reported: usize) -> usize {
    if cfg!(target_os = "linux") {
        reported / 2
    } else {
        reported
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_buffers_are_granted_and_larger_ones_than_the_limit_are_reported() {
        let small = SocketOptions {
            receive_buffer: 64 << 10,
            send_buffer: 64 << 10,
            ..SocketOptions::default()
        };
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (_socket, granted) = bind_udp(any, &small).expect("a port");
        assert!(granted.covers(&small), "{granted:?}");
        let huge = SocketOptions {
            receive_buffer: 1 << 30,
            ..small
        };
        let (_socket, granted) = bind_udp(any, &huge).expect("a port");
        assert!(!granted.covers(&huge), "{granted:?}");
    }

    #[test]
    fn a_port_is_shared_only_when_both_say_so() {
        let shared = SocketOptions {
            reuse_port: true,
            ..SocketOptions::default()
        };
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (first, _) = bind_udp(any, &shared).expect("a port");
        let taken = first.local_addr().expect("bound");
        assert!(bind_udp(taken, &shared).is_ok());
        let alone = bind_udp(taken, &SocketOptions::default());
        assert_eq!(alone.expect_err("taken").kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn both_families_may_have_the_same_port() {
        let options = SocketOptions::default();
        let (six, _) = bind_udp("[::]:0".parse().expect("an address"), &options).expect("a port");
        let port = six.local_addr().expect("bound").port();
        // Another process may hold the IPv4 port; then this test has nothing to say.
        match bind_udp(SocketAddr::from(([0, 0, 0, 0], port)), &options) {
            Ok(_) => {}
            Err(error) => {
                let holder = UdpSocket::bind(("127.0.0.1", port));
                assert!(holder.is_err(), "the port was free, and yet: {error}");
            }
        }
    }
}
