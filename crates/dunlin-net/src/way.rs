//! From which address of this machine datagrams leave for a Server, and when that has changed: an
//! interface that comes or goes, a lease that is another one, a route.
//!
//! Linux says when something has changed (netlink), so that nothing is polled; elsewhere, and where
//! that socket is refused, it is looked up every half minute. The address is the one that a connected
//! socket gets: connecting a UDP socket sends nothing.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use dunlin_client::lwm2m::ShortServerId;

/// One change comes with several messages, and an address is not usable with the first of them.
const SETTLE: Duration = Duration::from_secs(1);

/// How often is looked where the system says nothing: a device that moves is found again well
/// within a minute, and three system calls for each Server do not wake it noticeably.
const POLL: Duration = Duration::from_secs(30);

/// The address from which datagrams to this place leave now; `None` when there is no way to it.
#[must_use]
pub fn source_of(to: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(to).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// What has become of the way to a Server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It begins at another address of ours.
    Changed,
    /// There was none, and now there is the same one again.
    Back,
}

#[derive(Clone, Copy, Debug)]
struct Way {
    to: SocketAddr,
    from: Option<IpAddr>,
    there: bool,
}

/// The ways to the Servers as they were when last looked at.
#[derive(Debug, Default)]
pub(crate) struct Ways {
    known: BTreeMap<ShortServerId, Way>,
    look_at: Option<Duration>,
}

impl Ways {
    /// Something may have changed: look in a moment.
    pub(crate) fn doubt(&mut self, now: Duration) {
        self.look_at.get_or_insert(now + SETTLE);
    }

    /// When to look.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.look_at
    }

    /// Looks, and says for which Servers something has changed.
    pub(crate) fn look(
        &mut self,
        servers: &[(ShortServerId, SocketAddr)],
        mut source_of: impl FnMut(SocketAddr) -> Option<IpAddr>,
    ) -> Vec<(ShortServerId, Turn)> {
        self.look_at = None;
        let mut turns = Vec::new();
        self.known
            .retain(|server, _| servers.iter().any(|(one, _)| one == server));
        for (server, to) in servers.iter().copied() {
            let found = source_of(to);
            let fresh = Way {
                to,
                from: found,
                there: found.is_some(),
            };
            let way = self.known.entry(server).or_insert(fresh);
            if way.to != to {
                *way = fresh;
            } else if let Some(found) = found {
                match way.from.replace(found) {
                    Some(before) if before != found => turns.push((server, Turn::Changed)),
                    _ if !way.there => turns.push((server, Turn::Back)),
                    _ => {}
                }
            }
            way.there = found.is_some();
        }
        turns
    }
}

/// Waits for the system to say that something has changed.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Netlink in the coat of a UDP socket: datagrams come in here as there.
    netlink: Option<tokio::net::UdpSocket>,
    poll: tokio::time::Interval,
}

impl Watch {
    /// Must be called inside a tokio runtime.
    pub(crate) fn new() -> Self {
        let netlink = netlink().inspect_err(
            |error| tracing::debug!(%error, "changes of addresses are looked for now and then"),
        );
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        Self {
            netlink: netlink.ok(),
            poll,
        }
    }

    /// Returns when something may have changed. What exactly is not read: that something has is
    /// enough.
    pub(crate) async fn changed(&mut self) {
        let mut buffer = [0; 4_096];
        match &self.netlink {
            Some(netlink) => {
                if let Err(error) = netlink.recv(&mut buffer).await {
                    // More was said than the kernel keeps: that is news, too, and nothing is amiss.
                    tracing::debug!(%error, "messages about addresses were lost");
                }
            }
            None => drop(self.poll.tick().await),
        }
    }
}

#[cfg(target_os = "linux")]
fn netlink() -> io::Result<tokio::net::UdpSocket> {
    tokio::net::UdpSocket::from_std(crate::kernel::watch_routes()?.into())
}

#[cfg(not(target_os = "linux"))]
fn netlink() -> io::Result<tokio::net::UdpSocket> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TO: ([u8; 4], u16) = ([127, 0, 0, 1], 5683);

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn server(id: u16) -> (ShortServerId, SocketAddr) {
        (ShortServerId::new(id).unwrap(), TO.into())
    }

    #[test]
    fn the_way_to_loopback_begins_at_loopback() {
        assert_eq!(source_of(TO.into()), Some(Ipv4Addr::LOCALHOST.into()));
    }

    #[test]
    fn what_is_seen_first_is_no_change_and_another_address_is_one() {
        let mut ways = Ways::default();
        let one = [server(1)];
        assert_eq!(ways.look(&one, |_| Some(ip(1))), []);
        assert_eq!(ways.look(&one, |_| Some(ip(1))), []);
        assert_eq!(
            ways.look(&one, |_| Some(ip(2))),
            [(one[0].0, Turn::Changed)]
        );
        assert_eq!(ways.look(&one, |_| Some(ip(2))), []);
    }

    #[test]
    fn a_way_that_was_away_is_back_or_is_another_one() {
        let mut ways = Ways::default();
        let one = [server(1)];
        ways.look(&one, |_| Some(ip(1)));
        assert_eq!(ways.look(&one, |_| None), []);
        assert_eq!(ways.look(&one, |_| Some(ip(1))), [(one[0].0, Turn::Back)]);
        ways.look(&one, |_| None);
        assert_eq!(
            ways.look(&one, |_| Some(ip(2))),
            [(one[0].0, Turn::Changed)]
        );
        // A device that starts without a network.
        let two = [server(2)];
        assert_eq!(ways.look(&two, |_| None), []);
        assert_eq!(ways.look(&two, |_| Some(ip(1))), [(two[0].0, Turn::Back)]);
    }

    #[test]
    fn a_server_at_another_place_is_looked_at_afresh() {
        let mut ways = Ways::default();
        let (id, _) = server(1);
        ways.look(&[(id, TO.into())], |_| Some(ip(1)));
        let elsewhere = [(id, SocketAddr::from(([127, 0, 0, 2], 5683)))];
        assert_eq!(ways.look(&elsewhere, |_| Some(ip(2))), []);
    }

    #[test]
    fn many_doubts_are_one_look_a_moment_later() {
        let mut ways = Ways::default();
        ways.doubt(Duration::from_secs(10));
        ways.doubt(Duration::from_millis(10_900));
        assert_eq!(ways.next(), Some(Duration::from_secs(11)));
        ways.look(&[], |_| None);
        assert_eq!(ways.next(), None);
    }
}
