//! Objects 4 and 7: the interfaces of the machine, the way out, and what has gone over it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use dunlin_client::object::Traffic;
use dunlin_client::{Now, Sample, Source};
use dunlin_lwm2m::{ResourceInstanceId, ResourceValue, Value};

use super::{line_of, names_in, number_of, text_of};

/// Network Bearer of Object 4: LTE, for whatever modem it is.
const LTE: i64 = 6;
/// Wireless LAN.
const WLAN: i64 = 21;
/// IEEE 802.15.4.
const IEEE_802_15_4: i64 = 23;
/// Ethernet, and what looks like it.
const ETHERNET: i64 = 41;

/// The header in front of the IP packet, which Linux counts and Object 7 does not.
const ETHERNET_HEADER: u64 = 14;

/// More addresses than this nobody needs to see.
const ADDRESSES_MAX: usize = 16;

#[derive(Debug)]
pub(crate) struct Network {
    root: PathBuf,
    /// When the bytes of the way out were counted last, and how many there were.
    last: Option<(Duration, u64)>,
}

/// An interface that is up.
#[derive(Debug)]
struct Interface {
    name: String,
    bearer: i64,
    /// Its kind of header, as Linux numbers them.
    kind: i64,
}

impl Network {
    pub(crate) fn new() -> Self {
        Self {
            root: "/".into(),
            last: None,
        }
    }

    /// The interfaces that are up, without the loopback unless it is the only one.
    fn interfaces(&self) -> Vec<Interface> {
        let folder = self.root.join("sys/class/net");
        let mut found = Vec::new();
        for name in names_in(&folder) {
            let at = folder.join(&name);
            let Some(kind) = number_of(&at.join("type")) else {
                continue;
            };
            if line_of(&at.join("operstate")).as_deref() == Some("down") {
                continue;
            }
            let event = text_of(&at.join("uevent")).unwrap_or_default();
            let bearer = if at.join("wireless").exists() || event.contains("DEVTYPE=wlan") {
                WLAN
            } else if event.contains("DEVTYPE=wwan") {
                LTE
            } else if kind == 804 {
                IEEE_802_15_4
            } else {
                ETHERNET
            };
            found.push(Interface { name, bearer, kind });
        }
        if found.iter().any(|one| one.name != "lo") {
            found.retain(|one| one.name != "lo");
        }
        found
    }

    fn counter(&self, interface: &Interface, name: &str) -> u64 {
        let path = format!("sys/class/net/{}/statistics/{name}", interface.name);
        let counted = number_of(&self.root.join(path)).unwrap_or(0);
        u64::try_from(counted).unwrap_or(0)
    }

    fn traffic(&self, interface: &Interface) -> Traffic {
        let [tx, rx, tx_packets, rx_packets] = ["tx_bytes", "rx_bytes", "tx_packets", "rx_packets"]
            .map(|name| self.counter(interface, name));
        let header = if interface.kind == 1 {
            ETHERNET_HEADER
        } else {
            0
        };
        Traffic {
            tx_bytes: tx.saturating_sub(tx_packets.saturating_mul(header)),
            rx_bytes: rx.saturating_sub(rx_packets.saturating_mul(header)),
            messages: tx_packets.saturating_add(rx_packets),
            ..Traffic::default()
        }
    }

    /// How much of what the interface could carry it has carried since the last time, in percent.
    fn utilization(&mut self, way: &Interface, now: Now) -> Option<i64> {
        let bytes = self.counter(way, "tx_bytes") + self.counter(way, "rx_bytes");
        let (before, known) = self.last.replace((now.instant, bytes))?;
        let speed = format!("sys/class/net/{}/speed", way.name);
        let megabits = number_of(&self.root.join(speed)).filter(|speed| *speed > 0)?;
        let seconds = now.instant.saturating_sub(before).as_secs_f64();
        let bits = bytes.saturating_sub(known) as f64 * 8.0;
        let percent = bits / (megabits as f64 * 1e6 * seconds.max(0.001)) * 100.0;
        Some((percent.round() as i64).clamp(0, 100))
    }

    /// Signal in dBm and quality, of a wireless interface.
    fn signal(&self, name: &str) -> Option<(i64, i64)> {
        let text = text_of(&self.root.join("proc/net/wireless"))?;
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'))?;
        let number = |at: usize| {
            let field = line.split_whitespace().nth(at)?.trim_end_matches('.');
            field.parse::<i64>().ok()
        };
        Some((number(2)?, number(1)?))
    }
}

impl Source for Network {
    fn measure(&mut self, now: Now) -> Vec<Sample> {
        let interfaces = self.interfaces();
        let routes = text_of(&self.root.join("proc/net/route")).unwrap_or_default();
        let route = default_route(&routes);
        let way = route
            .as_ref()
            .and_then(|(name, _)| interfaces.iter().find(|one| one.name == *name));
        let Some(way) = way.or(interfaces.first()) else {
            return Vec::new();
        };
        let mut bearers: Vec<i64> = interfaces.iter().map(|one| one.bearer).collect();
        bearers.sort_unstable();
        bearers.dedup();
        let signal = (way.bearer == WLAN)
            .then(|| self.signal(&way.name))
            .flatten();
        let addresses = self.addresses();
        let mut samples = vec![
            Sample::single([4, 0, 0], Value::Integer(way.bearer)),
            several(1, bearers.into_iter().map(Value::Integer)),
            // Everybody has this Resource; a wire has no radio.
            Sample::single(
                [4, 0, 2],
                Value::Integer(signal.map_or(0, |(level, _)| level)),
            ),
            several(4, addresses.into_iter().map(Value::String)),
            several(
                5,
                route
                    .into_iter()
                    .map(|(_, router)| Value::String(router.to_string())),
            ),
        ];
        let utilization = self.utilization(way, now);
        for (id, value) in [(3, signal.map(|(_, quality)| quality)), (6, utilization)] {
            samples.push(match value {
                Some(value) => Sample::single([4, 0, id], Value::Integer(value)),
                None => Sample::Gone([4, 0, id].into()),
            });
        }
        let all = interfaces.iter().map(|one| self.traffic(one));
        let sum = all.fold(Traffic::default(), |sum, one| Traffic {
            tx_bytes: sum.tx_bytes.saturating_add(one.tx_bytes),
            rx_bytes: sum.rx_bytes.saturating_add(one.rx_bytes),
            messages: sum.messages.saturating_add(one.messages),
            ..Traffic::default()
        });
        samples.push(Sample::Traffic(sum));
        samples
    }
}

impl Network {
    /// The addresses of the machine that others can use; the loopback's where there are no others.
    fn addresses(&self) -> Vec<String> {
        let v4 = text_of(&self.root.join("proc/net/fib_trie")).unwrap_or_default();
        let v6 = text_of(&self.root.join("proc/net/if_inet6")).unwrap_or_default();
        let (v4, v6) = (local_v4(&v4), local_v6(&v6));
        let v4 = v4.iter().map(ToString::to_string);
        let mut all: Vec<String> = v4.chain(v6.iter().map(ToString::to_string)).collect();
        all.truncate(ADDRESSES_MAX);
        if all.is_empty() {
            all.push(Ipv4Addr::LOCALHOST.to_string());
        }
        all
    }
}

fn several(resource: u16, values: impl Iterator<Item = Value>) -> Sample {
    let values: BTreeMap<_, _> = (0..).map(ResourceInstanceId).zip(values).collect();
    match values.is_empty() {
        true => Sample::Gone([4, 0, resource].into()),
        false => Sample::Value(
            [4, 0, resource].into(),
            ResourceValue::Multiple(values.into_iter().collect()),
        ),
    }
}

/// Interface and router of the default route, from the table in `/proc/net/route`.
fn default_route(table: &str) -> Option<(String, Ipv4Addr)> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace();
        let (name, destination, router) = (fields.next()?, fields.next()?, fields.next()?);
        let router = u32::from_str_radix(router, 16)
            .ok()
            .filter(|one| *one != 0)?;
        // In the order of this machine's bytes.
        let router = Ipv4Addr::from(router.to_ne_bytes());
        (destination == "00000000").then(|| (name.to_owned(), router))
    })
}

/// The IPv4 addresses of the machine, from the routing table in `/proc/net/fib_trie`.
fn local_v4(table: &str) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    let mut last = None;
    for line in table.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse::<Ipv4Addr>().ok();
        } else if line.starts_with("/32 host LOCAL")
            && let Some(address) = last.take()
            && !address.is_loopback()
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found
}

/// The IPv6 addresses of the machine, from `/proc/net/if_inet6`.
fn local_v6(table: &str) -> Vec<Ipv6Addr> {
    let addresses = table.lines().filter_map(|line| {
        let bits = u128::from_str_radix(line.split_whitespace().next()?, 16).ok()?;
        Some(Ipv6Addr::from(bits))
    });
    addresses
        .filter(|address| !address.is_loopback() && !address.is_unicast_link_local())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::client::source::put;

    fn measured(root: &std::path::Path, network: &mut Network, second: u64) -> Vec<Sample> {
        network.root = root.to_owned();
        network.measure(Now {
            instant: Duration::from_secs(second),
            ..Now::default()
        })
    }

    fn interface(root: &std::path::Path, name: &str, kind: &str, tx: u64, packets: u64) {
        let at = format!("sys/class/net/{name}");
        put(root, &format!("{at}/type"), kind);
        put(root, &format!("{at}/operstate"), "up\n");
        put(root, &format!("{at}/statistics/tx_bytes"), &tx.to_string());
        put(
            root,
            &format!("{at}/statistics/tx_packets"),
            &packets.to_string(),
        );
    }

    #[test]
    fn ts_e_5_the_way_out_is_the_bearer() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        assert_eq!(measured(root, &mut Network::new(), 0), []);
        interface(root, "lo", "772\n", 5_000, 5);
        interface(root, "eth0", "1\n", 1_000_000, 1_000);
        interface(root, "wlan0", "1\n", 2_000, 10);
        put(root, "sys/class/net/wlan0/wireless/x", "");
        put(root, "sys/class/net/eth0/speed", "100\n");
        put(root, "sys/class/net/eth1/type", "1\n");
        put(root, "sys/class/net/eth1/operstate", "down\n");
        put(
            root,
            "proc/net/route",
            "Iface Destination Gateway Flags\nwlan0 0002A8C0 00000000 0001\nwlan0 00000000 0102A8C0 0003\n",
        );
        put(
            root,
            "proc/net/wireless",
            "head\nhead\n wlan0: 0000   54.  -56.  -256        0\n",
        );
        put(
            root,
            "proc/net/fib_trie",
            "Main:\n  +-- 0.0.0.0/0\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 192.168.2.7\n        /32 host LOCAL\n     |-- 192.168.2.255\n        /32 link BROADCAST\n",
        );
        put(
            root,
            "proc/net/if_inet6",
            "20010db8000000000000000000000007 02 40 00 80 wlan0\nfe800000000000000000000000000007 02 40 20 80 wlan0\n00000000000000000000000000000001 01 80 10 80 lo\n",
        );
        let mut network = Network::new();
        let samples = measured(root, &mut network, 10);
        for sample in [
            Sample::single([4, 0, 0], Value::Integer(21)),
            several(1, [21, 41].map(Value::Integer).into_iter()),
            Sample::single([4, 0, 2], Value::Integer(-56)),
            Sample::single([4, 0, 3], Value::Integer(54)),
            several(
                4,
                ["192.168.2.7", "2001:db8::7"].map(Value::from).into_iter(),
            ),
            several(5, [Value::from("192.168.2.1")].into_iter()),
            Sample::Gone([4, 0, 6].into()),
            Sample::Traffic(Traffic {
                tx_bytes: 1_000_000 - 14_000 + 2_000 - 140,
                messages: 1_010,
                ..Traffic::default()
            }),
        ] {
            assert!(samples.contains(&sample), "{sample:?} in {samples:?}");
        }
        // Without a wireless way out it is the wire, with 100 Mbit/s.
        put(
            root,
            "proc/net/route",
            "Iface Destination Gateway\neth0 00000000 0102A8C0\n",
        );
        measured(root, &mut network, 20);
        interface(root, "eth0", "1\n", 1_000_000 + 12_500_000, 1_000);
        let samples = measured(root, &mut network, 30);
        assert!(samples.contains(&Sample::single([4, 0, 0], Value::Integer(41))));
        assert!(
            samples.contains(&Sample::single([4, 0, 6], Value::Integer(10))),
            "{samples:?}"
        );
    }

    #[test]
    fn broken_tables_are_passed_over() {
        assert_eq!(default_route("a\nb\nc 00000000\nd 00000000 zz\n"), None);
        assert_eq!(
            local_v4("|-- x\n/32 host LOCAL\n/32 host LOCAL"),
            [] as [Ipv4Addr; 0]
        );
        assert_eq!(local_v6("zz\n\n"), [] as [Ipv6Addr; 0]);
    }
}
