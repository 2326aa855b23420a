//! The way to a Server: what the Client does when its own address has changed, or when the network
//! is back (TS 1.0 §5.3.1).
//!
//! The driver looks which address the system would send from, for each place of
//! [`Client::ways`], and says what it found. In the clear the address is all that a Server knows
//! the Client by, so the Client registers anew. A session with a Connection ID goes on from
//! elsewhere, and an Update tells the Server where.

use core::net::SocketAddr;

use dunlin_lwm2m::ShortServerId;
use dunlin_transport::{Address, Now};

use crate::account::Scheme;
use crate::client::Client;

impl Client {
    /// The Servers that have been reached or tried, and where they are.
    pub fn ways(&self) -> impl Iterator<Item = (ShortServerId, SocketAddr)> {
        self.registrations.iter().filter_map(|(server, one)| {
            let Address::Udp(to) = self.transport.peer(one.peer?)?.address else {
                return None;
            };
            Some((*server, to))
        })
    }

    /// What goes to this Server has another source address from now on.
    pub fn address_changed(&mut self, now: Now, server: ShortServerId) {
        self.now = now;
        if let Some(registration) = self.registrations.get_mut(&server) {
            let at = now.instant;
            if registration.account.uri.scheme == Scheme::Coaps {
                registration.retry(at);
                registration.update_wanted = true;
            } else if registration.is_open() {
                registration.renew(at);
            } else {
                registration.retry(at);
            }
        }
        self.proceed(now);
    }

    /// There was no way to this Server, and now there is: what waits for another attempt is tried
    /// now, but no sooner than the Server asked for.
    pub fn way_is_back(&mut self, now: Now, server: ShortServerId) {
        self.now = now;
        if let Some(registration) = self.registrations.get_mut(&server) {
            registration.retry(now.instant);
        }
        self.proceed(now);
    }
}
