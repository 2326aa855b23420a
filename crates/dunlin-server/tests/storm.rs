//! A storm of Registers at ten times what a Server is able to, by a clock that is turned by hand: what
//! each message costs is made up, what the Server decides is its own.

mod common;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use common::{Device, World};
use dunlin_server::{Kind, ServerConfig};
use dunlin_transport::coap::Code;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a Register costs, in microseconds: so many can be served in a second.
const REGISTER_US: u64 = 4_000;
const PER_SECOND: usize = 250;
/// A refused one is decoded and answered, and nothing is stored.
const REFUSAL_US: u64 = 500;
const REFRESH_US: u64 = 200;
/// Datagrams that wait, half a second of work; the kernel drops those beyond.
const QUEUE_MAX: usize = 120;
/// Clients that are registered before it begins, and update every two seconds.
const LIVE: usize = 200;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Send {
    at_ms: u64,
    client: usize,
    attempt: u32,
}

struct Storm {
    world: World,
    random: ChaCha12Rng,
    devices: Vec<Device>,
    sends: BinaryHeap<Reverse<Send>>,
    queue: VecDeque<(usize, u32)>,
    at_ms: u64,
    /// The Server has worked until then.
    busy_until_us: u64,
    /// Registers served in each second.
    served: Vec<u32>,
    registered: usize,
    refused: usize,
    dropped: usize,
    refused_live: usize,
    refreshes: usize,
    controlled: bool,
}

impl Storm {
    fn new(seed: u8, clients: usize, known: bool, controlled: bool) -> Self {
        let mut storm = Self {
            world: World::with(ServerConfig::default()),
            random: ChaCha12Rng::from_seed([seed; 32]),
            devices: Vec::new(),
            sends: BinaryHeap::new(),
            queue: VecDeque::new(),
            at_ms: 0,
            busy_until_us: 0,
            served: Vec::new(),
            registered: 0,
            refused: 0,
            dropped: 0,
            refused_live: 0,
            refreshes: 0,
            controlled,
        };
        for client in 0..LIVE + clients {
            let name = format!("urn:dev:{client:05}");
            let mut device = Device::new(&name, 1_000 + client as u16);
            if client < LIVE || known {
                device.register(&mut storm.world, &["lt=86400"]);
            }
            storm.devices.push(device);
        }
        storm.world.server.set_pressure(storm.world.now, 0);
        storm
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.random.next_u64() % below
    }

    /// Everybody sends for the first time within `over_ms`; the live ones go on as ever.
    fn begin(&mut self, over_ms: u64) {
        for client in 0..self.devices.len() {
            let at_ms = match client {
                0..LIVE => self.draw(2_000),
                _ => 2_000 + self.draw(over_ms),
            };
            self.sends.push(Reverse(Send {
                at_ms,
                client,
                attempt: 0,
            }));
        }
    }

    /// One millisecond: what was sent arrives, and the Server works as long as there is time.
    fn tick(&mut self) {
        self.at_ms += 1;
        self.world.pass(Duration::from_millis(1));
        while let Some(Reverse(send)) = self.sends.peek().copied()
            && send.at_ms <= self.at_ms
        {
            self.sends.pop();
            if self.queue.len() < QUEUE_MAX {
                self.queue.push_back((send.client, send.attempt));
            } else {
                self.lost(send);
            }
        }
        self.busy_until_us = self.busy_until_us.max(self.at_ms * 1_000);
        while self.busy_until_us < (self.at_ms + 1) * 1_000
            && let Some((client, _)) = self.queue.pop_front()
        {
            self.busy_until_us += self.serve(client);
        }
        if self.controlled && self.at_ms.is_multiple_of(10) {
            let pressure = self.queue.len() * 1_000 / QUEUE_MAX;
            let now = self.world.now;
            self.world.server.set_pressure(now, pressure as u32);
        }
    }

    /// Sent again as CoAP does (RFC 7252 §4.2); who gets no answer at all begins anew after half a minute.
    fn lost(&mut self, send: Send) {
        self.dropped += 1;
        let pause = match send.attempt {
            attempt @ 0..4 => (2_000 + self.draw(1_000)) << attempt,
            _ => 30_000 + self.draw(15_000),
        };
        self.sends.push(Reverse(Send {
            at_ms: self.at_ms + pause,
            attempt: (send.attempt + 1) % 5,
            ..send
        }));
    }

    fn serve(&mut self, client: usize) -> u64 {
        let device = &mut self.devices[client];
        if client < LIVE {
            let answer = device.update(&mut self.world, &[], "");
            self.refused_live += usize::from(answer.code != Code::CHANGED);
            self.refreshes += 1;
            let at_ms = self.at_ms + 2_000;
            self.sends.push(Reverse(Send {
                at_ms,
                client,
                attempt: 0,
            }));
            return REFRESH_US;
        }
        let ep = format!("ep={}", device.endpoint);
        let queries = [ep.as_str(), "lwm2m=1.0", "lt=86400"];
        device.request(&mut self.world, Code::POST, &["rd"], &queries, "</3/0>");
        let answer = device.answer(&mut self.world);
        if answer.code == Code::CREATED {
            let second = (self.at_ms / 1_000) as usize;
            self.served.resize(self.served.len().max(second + 1), 0);
            self.served[second] += 1;
            self.registered += 1;
            return REGISTER_US;
        }
        assert_eq!(answer.code, Code::SERVICE_UNAVAILABLE);
        self.refused += 1;
        let max_age_s = answer
            .options
            .view()
            .max_age_s()
            .expect("it says when to come");
        // Whoever waits so long adds something of his own.
        let at_ms = self.at_ms + u64::from(max_age_s) * 1_000 + self.draw(1_000);
        self.sends.push(Reverse(Send {
            at_ms,
            client,
            attempt: 0,
        }));
        REFUSAL_US
    }

    /// Until all are registered, or for so long.
    fn run(&mut self, clients: usize, seconds_max: u64) -> u64 {
        while self.registered < clients && self.at_ms < seconds_max * 1_000 {
            self.tick();
        }
        self.at_ms / 1_000
    }
}

/// Ten times what it is able to: all within three times the time that it must take, and never less
/// than a third of what it is able to, as long as somebody waits.
fn recovers(seed: u8, known: bool) {
    const CLIENTS: usize = 2_500;
    let mut storm = Storm::new(seed, CLIENTS, known, true);
    storm.begin(1_000);
    let took = storm.run(CLIENTS, 120);
    let summary = format!(
        "seed {seed}: {took} s, {} refused, {} dropped, {:?}, {:?}",
        storm.refused,
        storm.dropped,
        storm.served,
        storm.world.server.load(storm.world.now),
    );
    println!("{summary}");
    assert_eq!(storm.registered, CLIENTS, "{summary}");
    assert!(took <= 2 + 3 * (CLIENTS / PER_SECOND) as u64, "{summary}");
    // From the first whole second of the storm until nine of ten are there.
    let mut sum = 0;
    for window in storm.served[2..].windows(3) {
        sum += window[0] as usize;
        if sum > CLIENTS * 9 / 10 {
            break;
        }
        let served: u32 = window.iter().sum();
        assert!(served as usize > PER_SECOND, "a third: {summary}");
    }
    // Nobody who was there before was refused anything, and nobody was asked again and again.
    assert_eq!(storm.refused_live, 0, "{summary}");
    assert!(
        storm.refreshes as u64 > (took - 2) * LIVE as u64 / 3,
        "{summary}"
    );
    assert!(storm.refused < 3 * CLIENTS, "{summary}");
    // And then it is over.
    for _ in 0..20_000 {
        storm.tick();
    }
    assert!(!storm.world.server.is_strained());
    assert_eq!(storm.world.server.load(storm.world.now).since, None);
    assert_eq!(storm.world.server.load(storm.world.now).waiting, 0);
}

#[test]
fn a_storm_of_new_clients_is_served_in_turn() {
    for seed in 1..=2 {
        recovers(seed, false);
    }
}

#[test]
fn a_fleet_that_had_a_power_cut_is_served_in_turn() {
    recovers(1, true);
}

#[test]
fn who_comes_early_gains_nothing_and_who_comes_in_time_is_served() {
    let mut storm = Storm::new(9, 2, false, false);
    for tenth in 0..40 {
        storm.world.pass(Duration::from_millis(50));
        let now = storm.world.now;
        storm
            .world
            .server
            .set_pressure(now, if tenth < 20 { 1_000 } else { 200 });
    }
    let ask = |storm: &mut Storm, client: usize| {
        let mut device = storm.devices[client].clone();
        let ep = format!("ep={}", device.endpoint);
        device.request(
            &mut storm.world,
            Code::POST,
            &["rd"],
            &[&ep, "lwm2m=1.0", "lt=60"],
            "</3/0>",
        );
        storm.devices[client] = device.clone();
        let answer = device.answer(&mut storm.world);
        (answer.code, answer.options.view().max_age_s())
    };
    // One of sixteen is let in; the second is not the sixteenth.
    let (code, wait) = ask(&mut storm, LIVE);
    assert_eq!(code, Code::SERVICE_UNAVAILABLE);
    let wait = wait.expect("it says when");
    storm.world.pass_s(1);
    let early = ask(&mut storm, LIVE);
    assert_eq!(early, (Code::SERVICE_UNAVAILABLE, Some(wait - 1)));
    storm.world.pass_s(u64::from(wait) - 1);
    // Half full from the last sample to this one: those who waited are served again, others are not.
    let now = storm.world.now;
    storm.world.server.set_pressure(now, 200);
    let mut level = storm.world.server.load(now).level;
    while level > 3_000 {
        storm.world.pass(Duration::from_millis(100));
        let now = storm.world.now;
        storm.world.server.set_pressure(now, 0);
        level = storm.world.server.load(now).level;
    }
    assert!(level > 2_000, "others are refused: {level}");
    assert_eq!(ask(&mut storm, LIVE + 1).0, Code::SERVICE_UNAVAILABLE);
    assert_eq!(ask(&mut storm, LIVE).0, Code::CREATED);
    let shed = storm.world.server.load(storm.world.now).shed;
    assert_eq!(shed[Kind::Newcomer as usize], 3);
}
