//! What a run of the fleet is told.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::reads::Reads;
use super::scenario::Scenario;

/// The most Clients in one process: their addresses are numbered in 127.1.0.0 to 127.153.150.127,
/// and their names with seven digits.
pub const CLIENTS_MAX: u32 = 10_000_000;

/// The most Clients that need a socket each: below the usual limits of open files and of ports.
pub const SOCKETS_MAX: u32 = 16_000;

/// The sockets that all Clients share where addresses can be chosen: enough that a burst of answers
/// finds room, few enough to be read in turn.
pub const SHARED_SOCKETS: u16 = 4;

/// What a run is told.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetSettings {
    /// The server. On IPv4 loopback every Client gets a source address of its own (127.1.0.0
    /// onwards) over a few sockets; elsewhere a socket of its own, and there are at most
    /// [`SOCKETS_MAX`].
    pub server: SocketAddr,
    /// Whether Clients speak DTLS, with a pre-shared key and a Connection ID each.
    pub secured: bool,
    /// How many Clients, 1 to [`CLIENTS_MAX`].
    pub clients: u32,
    /// The number of the first Client: a second fleet beside the first begins behind it.
    pub first: u32,
    /// How many Clients begin to register in a second; de-registering goes at the same pace.
    pub rate: f64,
    /// When the run ends. Without, it ends when every Client has registered or has given up.
    pub duration: Option<Duration>,
    /// What the Clients are like.
    pub scenario: Scenario,
    /// Where to write what was acknowledged.
    pub ledger: Option<PathBuf>,
    /// What chance comes from; without, from the operating system. Two runs with the same seed
    /// choose the same, and differ only by what the network and the server do.
    pub seed: Option<u64>,
    /// Reads through the server's REST once every Client was switched on and has registered or has
    /// given up, until the end.
    pub reads: Option<Reads>,
    /// Show a line of progress on a terminal.
    pub progress: bool,
    /// End early, with a report, when the terminal says so (Ctrl-C).
    pub stop_on_interrupt: bool,
}

/// What `--rate` is when it is not given.
pub const RATE_DEFAULT: f64 = 1000.0;

impl FleetSettings {
    /// A fleet of `clients` for the server at `uri` (`coap://host` or `coap://host:port`; with
    /// `coaps://` it speaks DTLS), with the default scenario.
    ///
    /// # Errors
    ///
    /// When the URI is not one, names another scheme, or its host is not found.
    pub fn new(uri: &str, clients: u32) -> Result<Self> {
        Ok(FleetSettings {
            server: resolve(uri)?,
            secured: uri.starts_with("coaps://"),
            clients,
            first: 0,
            rate: RATE_DEFAULT,
            duration: None,
            scenario: Scenario::default(),
            ledger: None,
            seed: None,
            reads: None,
            progress: false,
            stop_on_interrupt: false,
        })
    }

    /// Whether all Clients share a few sockets.
    pub(crate) fn shares_sockets(&self) -> bool {
        cfg!(target_os = "linux") && matches!(self.server.ip(), IpAddr::V4(ip) if ip.is_loopback())
    }

    pub(crate) fn check(&self) -> Result<()> {
        ensure!(
            (1..=CLIENTS_MAX).contains(&self.clients),
            "a fleet has 1 to {CLIENTS_MAX} Clients, not {}",
            self.clients
        );
        ensure!(
            self.shares_sockets() || self.clients <= SOCKETS_MAX,
            "against {} every Client needs a socket of its own, and there are at most {SOCKETS_MAX}; \
             larger fleets need a server on 127.0.0.1",
            self.server.ip()
        );
        ensure!(
            self.rate.is_finite() && self.rate > 0.0,
            "the rate must be more than 0"
        );
        ensure!(
            self.reads.is_none() || self.duration.is_some(),
            "Reads begin when all have registered: say with a duration when they end"
        );
        Ok(())
    }
}

fn resolve(uri: &str) -> Result<SocketAddr> {
    let Some((scheme, rest)) = uri.split_once("://") else {
        bail!("{uri:?} is no URI; a server is named like coap://127.0.0.1:5683");
    };
    let port = match scheme {
        "coap" => 5683,
        "coaps" => 5684,
        _ => bail!("the fleet speaks coap:// and coaps:// over UDP, not {scheme}://"),
    };
    let host = rest.trim_end_matches('/');
    ensure!(
        !host.is_empty() && !host.contains('/'),
        "{uri:?} must name a host and no path"
    );
    let has_port = match host.rfind(':') {
        Some(colon) => {
            !host[colon..].contains(']') && (host.starts_with('[') || host.find(':') == Some(colon))
        }
        None => false,
    };
    let with_port = if has_port {
        host.to_owned()
    } else {
        format!("{host}:{port}")
    };
    with_port
        .to_socket_addrs()
        .with_context(|| format!("{host:?} is no address and no known host"))?
        .next()
        .with_context(|| format!("{host:?} has no address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_by_uri() {
        for (uri, address) in [
            ("coap://127.0.0.1", "127.0.0.1:5683"),
            ("coaps://127.0.0.1", "127.0.0.1:5684"),
            ("coap://127.0.0.1:7000/", "127.0.0.1:7000"),
            ("coap://[::1]", "[::1]:5683"),
            ("coap://[::1]:7000", "[::1]:7000"),
        ] {
            assert_eq!(
                resolve(uri).expect(uri),
                address.parse().expect("an address")
            );
        }
        for (uri, hint) in [
            ("127.0.0.1:5683", "coap://"),
            ("http://127.0.0.1", "coap://"),
            ("coap://127.0.0.1/rd", "no path"),
            ("coap://", "host"),
        ] {
            let error = format!("{:#}", resolve(uri).expect_err(uri));
            assert!(error.contains(hint), "{uri}: {error}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let good = FleetSettings::new("coap://127.0.0.1", 10).expect("valid");
        assert!(good.check().is_ok());
        for bad in [
            FleetSettings {
                clients: 0,
                ..good.clone()
            },
            FleetSettings {
                clients: CLIENTS_MAX + 1,
                ..good.clone()
            },
            FleetSettings {
                rate: 0.0,
                ..good.clone()
            },
            FleetSettings {
                rate: f64::NAN,
                ..good.clone()
            },
            FleetSettings {
                clients: SOCKETS_MAX + 1,
                server: "[::1]:5683".parse().unwrap(),
                ..good
            },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
