//! The key under which the machine knows where a datagram came from and where one goes.
//!
//! The machine never interprets an address: it compares it, hashes it into cookies and hands it
//! back. The layer above may put anything in it that tells two paths apart.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes of an [`Address`]: 16 for a host, 2 for a port, 1 for the kind, 1 to spare.
pub const ADDRESS_LENGTH: usize = 20;

const KIND_OTHER: u8 = 0;
const KIND_IPV4: u8 = 4;
const KIND_IPV6: u8 = 6;

/// Where a peer is, as an opaque key. Two addresses are the same path exactly if all bytes agree.
///
/// The first 16 bytes name the host; handshakes are rate-limited by them (all ports of one host
/// share a budget, and with IPv6 all hosts of one /64).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address([u8; ADDRESS_LENGTH]);

impl Address {
    /// An address of a bearer of your own, for example an MSISDN: 16 bytes of host, and a port.
    pub const fn other(host: [u8; 16], port: u16) -> Address {
        Address::assemble(host, port, KIND_OTHER)
    }

    /// The address with exactly these bytes, as [`Address::to_bytes`] gave them.
    pub const fn from_bytes(bytes: [u8; ADDRESS_LENGTH]) -> Address {
        Address(bytes)
    }

    /// All bytes, for storing.
    pub const fn to_bytes(self) -> [u8; ADDRESS_LENGTH] {
        self.0
    }

    /// The socket address this was made from, if it was made from one.
    pub fn to_socket_addr(self) -> Option<SocketAddr> {
        let port = u16::from_be_bytes([self.0[16], self.0[17]]);
        let ip = match self.0[18] {
            KIND_IPV4 => IpAddr::V4(Ipv4Addr::new(
                self.0[12], self.0[13], self.0[14], self.0[15],
            )),
            KIND_IPV6 => IpAddr::V6(Ipv6Addr::from(self.host())),
            _ => return None,
        };
        Some(SocketAddr::new(ip, port))
    }

    /// Who shares a budget of handshakes: all ports of a host, and with IPv6 all hosts of a /64,
    /// as whoever has one has all of them.
    pub(crate) fn neighbourhood(self) -> [u8; 16] {
        let mut shared = self.host();
        if self.0[18] == KIND_IPV6 {
            shared[8..].fill(0);
        }
        shared
    }

    fn host(self) -> [u8; 16] {
        let mut host = [0; 16];
        host.copy_from_slice(&self.0[..16]);
        host
    }

    const fn assemble(host: [u8; 16], port: u16, kind: u8) -> Address {
        let mut bytes = [0; ADDRESS_LENGTH];
        let mut at = 0;
        while at < 16 {
            bytes[at] = host[at];
            at += 1;
        }
        [bytes[16], bytes[17]] = port.to_be_bytes();
        bytes[18] = kind;
        Address(bytes)
    }
}

impl From<SocketAddr> for Address {
    /// Scope and flow label of IPv6 are not part of the key.
    fn from(socket: SocketAddr) -> Address {
        match socket.ip() {
            IpAddr::V4(ip) => {
                Address::assemble(ip.to_ipv6_mapped().octets(), socket.port(), KIND_IPV4)
            }
            IpAddr::V6(ip) => Address::assemble(ip.octets(), socket.port(), KIND_IPV6),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_socket_addr() {
            Some(socket) => write!(f, "{socket}"),
            None => write!(f, "{:02x?}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_address_comes_back_whole() {
        for text in ["127.0.0.1:5684", "[2001:db8::7]:1", "0.0.0.0:0"] {
            let socket: SocketAddr = text.parse().unwrap();
            assert_eq!(Address::from(socket).to_socket_addr(), Some(socket));
        }
    }

    #[test]
    fn an_ipv4_host_and_its_mapped_ipv6_form_are_two_paths() {
        let four: SocketAddr = "192.0.2.1:5684".parse().unwrap();
        let six: SocketAddr = "[::ffff:192.0.2.1]:5684".parse().unwrap();
        assert_ne!(Address::from(four), Address::from(six));
    }

    #[test]
    fn all_of_an_ipv6_subnet_share_a_budget_and_no_two_ipv4_hosts_do() {
        let neighbourhood =
            |text: &str| Address::from(text.parse::<SocketAddr>().unwrap()).neighbourhood();
        assert_eq!(
            neighbourhood("[2001:db8::1]:1"),
            neighbourhood("[2001:db8::ffff:2]:2")
        );
        assert_ne!(
            neighbourhood("[2001:db8::1]:1"),
            neighbourhood("[2001:db8:0:1::1]:1")
        );
        assert_eq!(neighbourhood("192.0.2.1:1"), neighbourhood("192.0.2.1:2"));
        assert_ne!(neighbourhood("192.0.2.1:1"), neighbourhood("192.0.2.2:1"));
    }

    #[test]
    fn an_address_of_another_bearer_is_no_socket_address() {
        assert_eq!(
            Address::other(*b"491701234567\0\0\0\0", 0).to_socket_addr(),
            None
        );
    }
}
