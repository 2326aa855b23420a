//! What neither `std` nor `socket2` offers and Linux does: the only `unsafe` code of dunlin.
//!
//! Five things, each with its reason:
//!
//! 1. `recvmmsg` and `sendmmsg`: 32 datagrams a system call are 1.4 times the requests per
//!    CPU-second of one datagram a call.
//! 2. `IP_PKTINFO` and `IPV6_RECVPKTINFO`: on a socket that is bound to all addresses, only these
//!    tell which address a datagram was sent to, and only these let the answer leave from it. A
//!    Client behind a connected socket or a firewall drops an answer from any other address.
//! 3. `SO_RXQ_OVFL`: how many datagrams the kernel dropped because we did not read fast enough.
//!    Nothing else tells it per socket.
//! 4. `IP_MTU_DISCOVER`, see [`crate::socket::SocketOptions::dont_fragment`].
//! 5. CPU time of a thread and of the process, for figures per CPU-second.
//!
//! The rules that keep this sound are few. No pointer outlives the call it is made for: headers are
//! built on the stack, from slices that are borrowed for the call. Everything the kernel writes
//! into is initialised before and is plain data for which every bit pattern is valid. Lengths that
//! come back are clamped to what was offered before they index anything.

#![allow(unsafe_code)]
#![deny(clippy::undocumented_unsafe_blocks)]

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::time::Duration;

use libc::{c_int, c_void};

/// Datagrams per system call. Measured between 8 and 128: within noise of each other above 8, and
/// at 32 the headers still fit the stack and the first-level cache.
pub(crate) const BATCH: usize = 32;

/// Room for ancillary data: packet information (at most 40 bytes with its header) and the overflow
/// count (24), rounded up.
const CONTROL_SIZE: usize = 96;

/// Ancillary data, aligned as the kernel's `cmsghdr` wants it.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL_SIZE]);

/// A socket address of either family, as the kernel spells it.
#[repr(C)]
#[derive(Clone, Copy)]
union Name {
    family: libc::sa_family_t,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

/// The length the kernel may write into a [`Name`].
const NAME_SIZE: libc::socklen_t = size_of::<Name>() as libc::socklen_t;

/// What came with one datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    /// Who sent it.
    pub(crate) from: SocketAddr,
    /// Which of our addresses to answer from; `None` when the kernel did not say.
    pub(crate) local: Option<IpAddr>,
    /// How many bytes of it lie in the buffer.
    pub(crate) len: usize,
    /// The datagram was longer than the buffer and its end is lost.
    pub(crate) truncated: bool,
    /// How many datagrams this socket has dropped so far for want of room; 0 when never any.
    pub(crate) overflow: u32,
}

/// Whether a receive call may sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Return at once, with `WouldBlock` when there is nothing.
    Never,
    /// Sleep until the first datagram, or the socket's read timeout.
    ForOne,
}

/// Receives up to [`BATCH`] datagrams into `buffers`, which is cut into slots of `size` bytes, and
/// appends what came with each to `received`. The n-th new entry describes the n-th slot.
///
/// A datagram whose source is of no family we know (there is none on a UDP socket) ends the batch.
pub(crate) fn receive_many(
    socket: BorrowedFd<'_>,
    buffers: &mut [u8],
    size: usize,
    received: &mut Vec<Received>,
    wait: Wait,
) -> io::Result<usize> {
    let empty = libc::iovec {
        iov_base: ptr::null_mut(),
        iov_len: 0,
    };
    let mut vectors = [empty; BATCH];
    let mut names = [zeroed_name(); BATCH];
    let mut controls = [Control([0; CONTROL_SIZE]); BATCH];
    let mut headers = [zeroed_header(); BATCH];
    let mut count = 0;
    for slot in buffers.chunks_exact_mut(size).take(BATCH) {
        vectors[count] = libc::iovec {
            iov_base: slot.as_mut_ptr().cast(),
            iov_len: slot.len(),
        };
        let header = &mut headers[count].msg_hdr;
        header.msg_iov = &raw mut vectors[count];
        header.msg_iovlen = 1;
        header.msg_name = (&raw mut names[count]).cast();
        header.msg_namelen = NAME_SIZE;
        header.msg_control = (&raw mut controls[count]).cast();
        header.msg_controllen = CONTROL_SIZE as _;
        count += 1;
    }
    let flags = match wait {
        Wait::Never => libc::MSG_DONTWAIT,
        Wait::ForOne => libc::MSG_WAITFORONE,
    };
    // SAFETY: `headers` holds `count` initialised headers; each points at one slot of `buffers`, one
    // name and one control block, all distinct, alive and unused by anybody else until the call
    // returns, with their true lengths. The descriptor is open for as long as it is borrowed.
    let result = unsafe {
        libc::recvmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            count as _,
            flags as _,
            ptr::null_mut(),
        )
    };
    let filled = checked(result)?.min(count);
    for (index, header) in headers[..filled].iter().enumerate() {
        let Some(from) = read_name(&names[index]) else {
            return Ok(index);
        };
        let given = header.msg_hdr.msg_controllen.min(CONTROL_SIZE);
        let (local, overflow) = read_controls(&controls[index].0[..given]);
        received.push(Received {
            from,
            local,
            len: (header.msg_len as usize).min(size),
            truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            overflow,
        });
    }
    Ok(filled)
}

/// One datagram to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing<'a> {
    /// Its destination; `None` on a connected socket.
    pub(crate) to: Option<SocketAddr>,
    /// Which of our addresses it leaves from; `None` lets the kernel choose.
    pub(crate) from: Option<IpAddr>,
    pub(crate) bytes: &'a [u8],
}

/// Sends the first [`BATCH`] of `datagrams` at most, without sleeping, and returns how many left.
///
/// An error speaks of the first datagram alone: the kernel reports one only when none has left.
pub(crate) fn send_many(socket: BorrowedFd<'_>, datagrams: &[Outgoing<'_>]) -> io::Result<usize> {
    let empty = libc::iovec {
        iov_base: ptr::null_mut(),
        iov_len: 0,
    };
    let mut vectors = [empty; BATCH];
    let mut names = [zeroed_name(); BATCH];
    let mut controls = [Control([0; CONTROL_SIZE]); BATCH];
    let mut headers = [zeroed_header(); BATCH];
    let count = datagrams.len().min(BATCH);
    for (index, datagram) in datagrams[..count].iter().enumerate() {
        // The kernel only reads through this pointer, whatever its type says.
        vectors[index] = libc::iovec {
            iov_base: datagram.bytes.as_ptr().cast_mut().cast(),
            iov_len: datagram.bytes.len(),
        };
        let header = &mut headers[index].msg_hdr;
        header.msg_iov = &raw mut vectors[index];
        header.msg_iovlen = 1;
        if let Some(to) = datagram.to {
            header.msg_namelen = write_name(&mut names[index], to);
            header.msg_name = (&raw mut names[index]).cast();
        }
        if let Some(from) = datagram.from {
            let scope = match datagram.to {
                Some(SocketAddr::V6(to)) => to.scope_id(),
                _ => 0,
            };
            header.msg_controllen = write_source(&mut controls[index].0, from, scope) as _;
            header.msg_control = (&raw mut controls[index]).cast();
        }
    }
    // SAFETY: `headers` holds `count` initialised headers; each points at bytes that `datagrams`
    // keeps alive, and at a name and a control block of this frame, with their true lengths. The
    // kernel writes nothing but `msg_len` in the headers.
    let result = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            count as _,
            libc::MSG_DONTWAIT as _,
        )
    };
    checked(result)
}

/// Sends `bytes` on a connected socket as datagrams of `segment` bytes each, in one call and one
/// walk through the kernel (`UDP_SEGMENT`): the cheapest way to make load, for one destination.
pub(crate) fn send_segments(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    segment: u16,
) -> io::Result<usize> {
    let mut control = Control([0; CONTROL_SIZE]);
    let used = write_control(
        &mut control.0,
        libc::SOL_UDP,
        libc::UDP_SEGMENT,
        &segment.to_ne_bytes(),
    );
    let mut vector = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    let mut header = zeroed_header().msg_hdr;
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    header.msg_control = (&raw mut control).cast();
    header.msg_controllen = used as _;
    // SAFETY: the header is initialised and points at `bytes` and at a control block of this frame,
    // with their true lengths; the kernel only reads.
    let result =
        unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, libc::MSG_DONTWAIT) };
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Options of a socket that `socket2` has no words for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flag {
    /// Tell the local address of every IPv4 datagram.
    PacketInfoV4,
    /// Tell the local address of every IPv6 datagram.
    PacketInfoV6,
    /// Tell how many datagrams were dropped for want of room.
    ReceiveOverflow,
    /// Forbid routers to cut IPv4 datagrams, and refuse what is longer than the path is known to take.
    DontFragment,
    /// Cut IPv4 datagrams that are longer than the path is known to take.
    Fragment,
}

/// `SO_MEMINFO` of asm-generic/socket.h, since Linux 4.12.
const SO_MEMINFO: c_int = 55;

/// Turns an option of a socket on.
pub(crate) fn enable(socket: BorrowedFd<'_>, flag: Flag) -> io::Result<()> {
    let (level, name, on) = match flag {
        Flag::PacketInfoV4 => (libc::IPPROTO_IP, libc::IP_PKTINFO, 1),
        Flag::PacketInfoV6 => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1),
        Flag::ReceiveOverflow => (libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1),
        Flag::DontFragment => (
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            libc::IP_PMTUDISC_DO,
        ),
        Flag::Fragment => (
            libc::IPPROTO_IP,
            libc::IP_MTU_DISCOVER,
            libc::IP_PMTUDISC_WANT,
        ),
    };
    let on: c_int = on;
    // SAFETY: the value is a live `c_int` and its length is told; the descriptor is borrowed.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const on).cast::<c_void>(),
            size_of::<c_int>() as libc::socklen_t,
        )
    };
    checked(result).map(drop)
}

/// A socket that becomes readable when an address, a link or a route of the machine has changed.
pub(crate) fn watch_routes() -> io::Result<socket2::Socket> {
    let domain = socket2::Domain::from(libc::AF_NETLINK);
    let protocol = socket2::Protocol::from(libc::NETLINK_ROUTE);
    let kind = socket2::Type::RAW.nonblocking().cloexec();
    let socket = socket2::Socket::new_raw(domain, kind, Some(protocol))?;
    let groups = libc::RTMGRP_LINK
        | libc::RTMGRP_IPV4_IFADDR
        | libc::RTMGRP_IPV4_ROUTE
        | libc::RTMGRP_IPV6_IFADDR
        | libc::RTMGRP_IPV6_ROUTE;
    // SAFETY: the storage is larger than `sockaddr_nl` and zeroed, and all of that is written or may
    // be zero; the length told is that of the address.
    let ((), address) = unsafe {
        socket2::SockAddr::try_init(|storage, length| {
            let address = storage.cast::<libc::sockaddr_nl>();
            (*address).nl_family = libc::AF_NETLINK as libc::sa_family_t;
            (*address).nl_groups = groups as u32;
            *length = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
            Ok(())
        })
    }?;
    socket.bind(&address)?;
    Ok(socket)
}

/// What lies in a socket's receive buffer, in the kernel's own bytes, and how much may.
pub(crate) fn receive_backlog(socket: BorrowedFd<'_>) -> io::Result<(u32, u32)> {
    // What linux/sock_diag.h calls SK_MEMINFO_RMEM_ALLOC and SK_MEMINFO_RCVBUF.
    const ALLOCATED: usize = 0;
    const BUFFER: usize = 1;
    let mut info = [0_u32; 9];
    let mut length = size_of_val(&info) as libc::socklen_t;
    // SAFETY: `info` is alive and writable, and its length is told; the descriptor is borrowed.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_MEMINFO,
            info.as_mut_ptr().cast::<c_void>(),
            &raw mut length,
        )
    };
    checked(result)?;
    Ok((info[ALLOCATED], info[BUFFER]))
}

/// Whose CPU time is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CpuClock {
    /// The calling thread.
    Thread,
    /// All threads of the process.
    Process,
}

/// CPU time used so far.
pub(crate) fn cpu_time(clock: CpuClock) -> Duration {
    let clock = match clock {
        CpuClock::Thread => libc::CLOCK_THREAD_CPUTIME_ID,
        CpuClock::Process => libc::CLOCK_PROCESS_CPUTIME_ID,
    };
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is alive and writable. Both clocks exist since Linux 2.6.12, so that the call
    // cannot fail; if it did, the time would read zero.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    Duration::new(
        time.tv_sec.unsigned_abs(),
        time.tv_nsec.unsigned_abs() as u32,
    )
}

fn checked(result: c_int) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

fn zeroed_header() -> libc::mmsghdr {
    // SAFETY: a header is integers and pointers, for which zero is a valid value (null).
    unsafe { mem::zeroed() }
}

fn zeroed_name() -> Name {
    // SAFETY: both families are integers and arrays of them.
    unsafe { mem::zeroed() }
}

fn write_name(name: &mut Name, address: SocketAddr) -> libc::socklen_t {
    match address {
        SocketAddr::V4(v4) => {
            name.v4 = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: in_addr(*v4.ip()),
                sin_zero: [0; 8],
            };
            size_of::<libc::sockaddr_in>() as libc::socklen_t
        }
        SocketAddr::V6(v6) => {
            name.v6 = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr {
                    s6_addr: v6.ip().octets(),
                },
                sin6_scope_id: v6.scope_id(),
            };
            size_of::<libc::sockaddr_in6>() as libc::socklen_t
        }
    }
}

fn read_name(name: &Name) -> Option<SocketAddr> {
    // SAFETY: every field of every member is an integer or an array of them, and the union was
    // zeroed before the kernel wrote into it: whichever member is read, its bytes are initialised.
    let (family, v4, v6) = unsafe { (name.family, name.v4, name.v6) };
    match c_int::from(family) {
        libc::AF_INET => {
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 => {
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            // The flow label of a request says nothing about the way of the answer.
            Some(SocketAddrV6::new(ip, u16::from_be(v6.sin6_port), 0, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

fn in_addr(ip: Ipv4Addr) -> libc::in_addr {
    libc::in_addr {
        s_addr: u32::from(ip).to_be(),
    }
}

/// Bytes of a `cmsghdr`, after which its data begin: a length, a level and a type, aligned.
const CONTROL_HEADER: usize = size_of::<libc::cmsghdr>();

/// Control messages begin at multiples of the size of a length.
const CONTROL_ALIGN: usize = size_of::<usize>();

/// Writes one control message and returns the bytes used. The layout is the kernel's: a `size_t`
/// that counts header and data, then level and type as `int`, then the data.
fn write_control(into: &mut [u8; CONTROL_SIZE], level: c_int, kind: c_int, data: &[u8]) -> usize {
    let len = CONTROL_HEADER + data.len();
    into[..CONTROL_ALIGN].copy_from_slice(&len.to_ne_bytes());
    into[CONTROL_ALIGN..CONTROL_ALIGN + 4].copy_from_slice(&level.to_ne_bytes());
    into[CONTROL_ALIGN + 4..CONTROL_ALIGN + 8].copy_from_slice(&kind.to_ne_bytes());
    into[CONTROL_HEADER..len].copy_from_slice(data);
    len.next_multiple_of(CONTROL_ALIGN)
}

/// Writes the packet information that makes a datagram leave from `source`.
fn write_source(into: &mut [u8; CONTROL_SIZE], source: IpAddr, scope: u32) -> usize {
    match source {
        IpAddr::V4(ip) => {
            // Interface index (0: whichever the route says), source address, unused.
            let mut data = [0; 12];
            data[4..8].copy_from_slice(&ip.octets());
            write_control(into, libc::IPPROTO_IP, libc::IP_PKTINFO, &data)
        }
        IpAddr::V6(ip) => {
            let mut data = [0; 20];
            data[..16].copy_from_slice(&ip.octets());
            // A link-local source is one only on its link; elsewhere the route decides.
            if ip.is_unicast_link_local() {
                data[16..].copy_from_slice(&scope.to_ne_bytes());
            }
            write_control(into, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &data)
        }
    }
}

/// Reads what we asked the kernel to tell: the local address, and how many datagrams it dropped.
fn read_controls(mut control: &[u8]) -> (Option<IpAddr>, u32) {
    let (mut local, mut overflow) = (None, 0);
    while control.len() >= CONTROL_HEADER {
        let word = |at: usize| {
            let mut bytes = [0; 4];
            bytes.copy_from_slice(&control[at..at + 4]);
            c_int::from_ne_bytes(bytes)
        };
        let mut bytes = [0; CONTROL_ALIGN];
        bytes.copy_from_slice(&control[..CONTROL_ALIGN]);
        let len = usize::from_ne_bytes(bytes);
        if len < CONTROL_HEADER || len > control.len() {
            break;
        }
        let data = &control[CONTROL_HEADER..len];
        match (word(CONTROL_ALIGN), word(CONTROL_ALIGN + 4)) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                // The second field is the address to answer from, also where the datagram went to
                // a group and the third field names that group.
                let octets = data
                    .get(4..8)
                    .and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
                local = octets.map(|octets| IpAddr::V4(octets.into()));
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                let octets = data
                    .get(..16)
                    .and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
                // Nothing may leave from a group's address: then the kernel chooses.
                local = octets
                    .map(Ipv6Addr::from)
                    .filter(|ip| !ip.is_multicast())
                    .map(IpAddr::V6);
            }
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                let bytes = data
                    .get(..4)
                    .and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
                overflow = bytes.map_or(0, u32::from_ne_bytes);
            }
            _ => {}
        }
        control = control
            .get(len.next_multiple_of(CONTROL_ALIGN)..)
            .unwrap_or_default();
    }
    (local, overflow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_layout_of_control_messages_is_that_of_libc() {
        assert_eq!(CONTROL_HEADER, 16);
        // SAFETY: both are arithmetic on their argument.
        let (len, space) = unsafe { (libc::CMSG_LEN(12), libc::CMSG_SPACE(12)) };
        let mut control = [0; CONTROL_SIZE];
        let used = write_control(&mut control, libc::IPPROTO_IP, libc::IP_PKTINFO, &[7; 12]);
        assert_eq!(used, space as usize);
        assert_eq!(control[..8], (len as usize).to_ne_bytes());
        assert_eq!(control[16..28], [7; 12]);
    }

    #[test]
    fn a_source_that_is_written_is_read_again() {
        for ip in ["127.3.2.1", "::1", "fd00::7"] {
            let ip: IpAddr = ip.parse().expect("an address");
            let mut control = [0; CONTROL_SIZE];
            let used = write_source(&mut control, ip, 0);
            assert_eq!(read_controls(&control[..used]), (Some(ip), 0));
        }
    }

    #[test]
    fn torn_control_messages_end_the_reading() {
        let mut control = [0; CONTROL_SIZE];
        let used = write_source(&mut control, IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        for end in 0..used - 4 {
            assert_eq!(read_controls(&control[..end]), (None, 0), "cut at {end}");
        }
        control[0] = 3;
        assert_eq!(
            read_controls(&control[..used]),
            (None, 0),
            "a length below its header"
        );
    }

    #[test]
    fn names_survive_the_way_to_the_kernel_and_back() {
        for address in ["127.9.8.7:5683", "[::1]:5684", "[fe80::1%3]:61616"] {
            let address: SocketAddr = address.parse().expect("an address");
            let mut name = zeroed_name();
            write_name(&mut name, address);
            assert_eq!(read_name(&name), Some(address));
        }
        assert_eq!(read_name(&zeroed_name()), None);
    }

    proptest::proptest! {
        #[test]
        fn any_control_bytes_are_read_without_panic(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..CONTROL_SIZE)
        ) {
            let (local, _) = read_controls(&bytes);
            proptest::prop_assert!(!local.is_some_and(|ip| ip.is_ipv6() && ip.is_multicast()));
        }
    }
}
