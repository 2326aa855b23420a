//! The made network: datagrams are lost, doubled, delayed and overtaken; the address under which a
//! Client is seen changes now and then (NAT); parts of the world are cut off for a while.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use dunlin_transport::Address;

use crate::check::wire::Note;
use crate::world::chance::Chance;

/// What the network does to datagrams.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weather {
    /// The part of the datagrams that is lost, in each direction.
    pub loss: f64,
    /// The part that arrives twice.
    pub duplication: f64,
    /// The part that is held up, and overtaken by what is sent after it.
    pub reordering: f64,
    /// How long a Client keeps its outer address, on average; `None` for ever.
    pub rebinding: Option<Duration>,
    /// How often a part of the network is cut off, on average; `None` never.
    pub partition: Option<Duration>,
}

impl Weather {
    /// What the issue asks for: 20 % lost, 10 % doubled, some overtaken, and addresses that hold for
    /// six hours.
    pub const ROUGH: Self = Self {
        loss: 0.2,
        duplication: 0.1,
        reordering: 0.05,
        rebinding: Some(Duration::from_secs(6 * 3600)),
        partition: Some(Duration::from_secs(8 * 3600)),
    };

    /// Nothing is lost.
    pub const FAIR: Self = Self {
        loss: 0.0,
        duplication: 0.0,
        reordering: 0.0,
        rebinding: None,
        partition: None,
    };
}

/// Nothing is under way for longer: MAX_LATENCY of RFC 7252 §4.8.2 is 100 s, and a world whose
/// datagrams live longer than CoAP believes breaks CoAP's promises, not ours.
pub(crate) const LATENCY_MAX: Duration = Duration::from_secs(60);

/// 10.0.0.0.
const FIRST_HOST: u32 = 0x0a00_0000;

/// A datagram under way.
#[derive(Debug)]
pub(crate) struct Datagram {
    /// The Client that sent it or shall get it.
    pub(crate) device: usize,
    pub(crate) direction: Direction,
    /// The outer address of the Client.
    pub(crate) outer: Address,
    pub(crate) bytes: Vec<u8>,
    pub(crate) note: Note,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Up,
    Down,
}

/// The network between the Clients and the Servers.
#[derive(Debug)]
pub(crate) struct Network {
    weather: Weather,
    chance: Chance,
    /// The outer address of each Client. One that was given up leads nowhere.
    outer: Vec<SocketAddr>,
    /// Whose each address that was ever given out is, or was.
    owners: Vec<usize>,
    /// Clients whose number modulo 8 is in this set are cut off.
    cut_off: u8,
}

impl Network {
    pub(crate) fn new(weather: Weather, seed: u64, devices: usize) -> Self {
        let mut network = Self {
            weather,
            chance: Chance::of(seed, 1),
            outer: Vec::with_capacity(devices),
            owners: Vec::new(),
            cut_off: 0,
        };
        for device in 0..devices {
            let address = network.fresh(device);
            network.outer.push(address);
        }
        network
    }

    /// An address that nobody has had.
    fn fresh(&mut self, device: usize) -> SocketAddr {
        let number = self.owners.len() as u32;
        self.owners.push(device);
        // Eight addresses share a host, as behind one NAT.
        let host = Ipv4Addr::from(FIRST_HOST | (number / 8));
        SocketAddr::from((
            host,
            10_000 + (number % 8) as u16 * 1_000 + (number / 8 % 1_000) as u16,
        ))
    }

    /// Whose an address is, or was.
    pub(crate) fn whose(&self, outer: SocketAddr) -> Option<usize> {
        let std::net::IpAddr::V4(host) = outer.ip() else {
            return None;
        };
        let host = u32::from(host) & !FIRST_HOST;
        let number = host * 8 + u32::from((outer.port() - 10_000) / 1_000);
        self.owners.get(number as usize).copied()
    }

    pub(crate) fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
        self.cut_off = 0;
    }

    /// A Client is seen from a new address from now on.
    pub(crate) fn rebind(&mut self, device: usize) {
        self.outer[device] = self.fresh(device);
    }

    pub(crate) fn outer(&self, device: usize) -> SocketAddr {
        self.outer[device]
    }

    /// Which eighths of the Clients hear nothing and are not heard.
    pub(crate) fn cut_off(&mut self, eighths: u8) {
        self.cut_off = eighths;
    }

    /// The delays after which copies of a datagram arrive; none if it is lost.
    pub(crate) fn carry(&mut self, device: usize) -> Vec<Duration> {
        let mut copies = Vec::new();
        if self.cut_off >> (device % 8) & 1 != 0 || self.chance.happens(self.weather.loss) {
            return copies;
        }
        copies.push(self.delay(device));
        if self.chance.happens(self.weather.duplication) {
            // Most doubles follow at once; some turn up when nobody thinks of them any more.
            let late = if self.chance.happens(0.1) {
                self.chance.between(Duration::ZERO, LATENCY_MAX / 2)
            } else {
                Duration::ZERO
            };
            let delay = self.delay(device) + late;
            copies.push(delay);
        }
        copies
    }

    fn delay(&mut self, device: usize) -> Duration {
        let base = Duration::from_millis(10 + 20 * (device as u64 % 16));
        let jitter = self
            .chance
            .between(Duration::ZERO, Duration::from_millis(50));
        let held_up = if self.chance.happens(self.weather.reordering) {
            self.chance.between(Duration::ZERO, LATENCY_MAX / 6)
        } else {
            Duration::ZERO
        };
        base + jitter + held_up
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weather_is_what_was_ordered() {
        let mut network = Network::new(Weather::ROUGH, 7, 8);
        let copies: Vec<usize> = (0..10_000).map(|_| network.carry(0).len()).collect();
        let part = |of: usize| copies.iter().filter(|one| **one == of).count();
        assert!((1_800..2_200).contains(&part(0)), "{} lost", part(0));
        assert!((650..950).contains(&part(2)), "{} doubled", part(2));
        network.cut_off(1);
        assert!(network.carry(0).is_empty() && network.carry(8).is_empty());
        assert!((0..64).any(|_| !network.carry(1).is_empty()));
    }

    #[test]
    fn a_new_address_is_new() {
        let mut network = Network::new(Weather::FAIR, 7, 3);
        let before = network.outer(1);
        network.rebind(1);
        assert!((0..3).all(|device| network.outer(device) != before));
        assert_eq!(network.whose(before), Some(1));
        assert_eq!(network.whose(network.outer(1)), Some(1));
        assert_eq!(network.whose(network.outer(2)), Some(2));
    }
}
