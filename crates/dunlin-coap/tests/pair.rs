//! Two endpoints over a network that loses, doubles and reorders, by a seed. What must hold whatever the
//! network does: nothing runs twice, every request ends once, bodies arrive whole, and nothing is left.

mod support;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use dunlin_coap::{
    BlockSize, Code, Config, Endpoint, Event, Failure, ObserverId, Output, Payload, PeerId,
    Profile, Request, RequestId, RequestSettings, Response,
};
use support::seconds;

/// A small generator of its own, so that a seed means the same for ever.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % limit
    }
}

#[derive(Clone, Copy)]
struct Weather {
    loss_percent: u64,
    double_percent: u64,
    delay_ms: u64,
}

const CALM: Weather = Weather {
    loss_percent: 0,
    double_percent: 0,
    delay_ms: 1,
};
const STORM: Weather = Weather {
    loss_percent: 20,
    double_percent: 15,
    delay_ms: 3000,
};

/// What the endpoint on one side does with its events.
trait Side {
    fn told(&mut self, now: Duration, endpoint: &mut Endpoint, event: Event);
}

/// When it arrives, its number, at which end, and its bytes.
type UnderWay = (Duration, u64, usize, Vec<u8>);

struct Pair<A, B> {
    now: Duration,
    ends: [Endpoint; 2],
    a: A,
    b: B,
    wakes: [Option<Duration>; 2],
    under_way: BinaryHeap<Reverse<UnderWay>>,
    count: u64,
    chance: Chance,
    weather: Weather,
    sent: u64,
}

impl<A: Side, B: Side> Pair<A, B> {
    fn new(config: Config, weather: Weather, seed: u64, a: A, b: B) -> Self {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let end = |byte: u64| Endpoint::new(config.clone(), [byte as u8; 32]);
        Self {
            now: seconds(1),
            ends: [end(chance.below(256)), end(chance.below(256))],
            a,
            b,
            wakes: [None; 2],
            under_way: BinaryHeap::new(),
            count: 0,
            chance,
            weather,
            sent: 0,
        }
    }

    fn drain(&mut self, end: usize) {
        loop {
            match self.ends[end].poll_output() {
                Output::Transmit(transmit) => {
                    self.sent += 1;
                    assert_eq!(transmit.peer, PeerId(1 - end as u32));
                    let copies =
                        1 + u64::from(self.chance.below(100) < self.weather.double_percent);
                    for _ in 0..copies {
                        if self.chance.below(100) < self.weather.loss_percent {
                            continue;
                        }
                        let delay = 1 + self.chance.below(self.weather.delay_ms);
                        let at = self.now + Duration::from_millis(delay);
                        self.count += 1;
                        let bytes = transmit.bytes.clone();
                        self.under_way
                            .push(Reverse((at, self.count, 1 - end, bytes)));
                    }
                    self.ends[end].recycle(transmit.bytes);
                }
                Output::Event(event) => match end {
                    0 => self.a.told(self.now, &mut self.ends[0], event),
                    _ => self.b.told(self.now, &mut self.ends[1], event),
                },
                Output::Timeout(wake) => {
                    self.wakes[end] = wake;
                    return;
                }
            }
        }
    }

    /// Lets everything happen until nothing is awaited, or the time has come.
    fn run(&mut self, until: Duration) {
        self.drain(0);
        self.drain(1);
        loop {
            let datagram = self.under_way.peek().map(|Reverse((at, ..))| *at);
            let next = self.wakes.iter().flatten().copied().chain(datagram).min();
            let Some(next) = next.filter(|next| *next <= until) else {
                break;
            };
            self.now = self.now.max(next);
            if datagram == Some(next) {
                let Reverse((_, _, end, bytes)) = self.under_way.pop().unwrap();
                self.ends[end].handle_receive(self.now, PeerId(1 - end as u32), &bytes);
                self.drain(end);
                continue;
            }
            for end in 0..2 {
                self.ends[end].handle_timeout(self.now);
                self.drain(end);
            }
        }
        self.now = self.now.max(until);
    }
}

fn body(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8)
        .collect()
}

/// Asks, and keeps what came of it.
#[derive(Default)]
struct Asker {
    ended: HashMap<RequestId, Result<Response, Failure>>,
}

impl Side for Asker {
    fn told(&mut self, _: Duration, _: &mut Endpoint, event: Event) {
        let (request, end) = match event {
            Event::Response {
                request, response, ..
            } => (request, Ok(response)),
            Event::Failed {
                request, failure, ..
            } => (request, Err(failure)),
            Event::Acknowledged { .. } => return,
            other => panic!("the asker was told {other:?}"),
        };
        assert!(
            self.ended.insert(request, end).is_none(),
            "a request ends once"
        );
    }
}

/// Answers: a POST counts by its payload, a GET gives a body, a PUT takes one.
#[derive(Default)]
struct Answerer {
    ran: HashMap<Vec<u8>, u32>,
    taken: Vec<Vec<u8>>,
    given: Option<Arc<[u8]>>,
    late: bool,
    waiting: Vec<(dunlin_coap::ExchangeId, Response)>,
}

impl Side for Answerer {
    fn told(&mut self, now: Duration, endpoint: &mut Endpoint, event: Event) {
        let (exchange, request) = match event {
            Event::Request {
                exchange, request, ..
            } => (exchange, request),
            Event::ResponseLost { .. } => return,
            other => panic!("the answerer was told {other:?}"),
        };
        let response = match request.code {
            Code::POST => {
                *self.ran.entry(request.payload.to_vec()).or_default() += 1;
                Response::new(Code::CHANGED).with_payload(request.payload)
            }
            Code::PUT => {
                self.taken.push(request.payload.into_vec());
                Response::new(Code::CHANGED)
            }
            _ => {
                let given = self.given.clone().expect("something to give");
                Response::new(Code::CONTENT).with_payload(Payload::Shared(given))
            }
        };
        if self.late {
            self.waiting.push((exchange, response));
        } else {
            endpoint.respond(now, exchange, response, 0).unwrap();
        }
    }
}

#[test]
fn nothing_runs_twice_and_every_request_ends() {
    for seed in 0..40 {
        let config = Config::default();
        let mut pair = Pair::new(config, STORM, seed, Asker::default(), Answerer::default());
        let mut requests = vec![];
        for number in 0..20u8 {
            let request = Request::new(Code::POST)
                .with_path("x")
                .with_payload(&[number]);
            let settings = RequestSettings::default();
            let asked = pair.ends[0]
                .request(pair.now, PeerId(1), request, settings)
                .unwrap();
            requests.push((number, asked));
            pair.run(pair.now + seconds(u64::from(number % 5)));
        }
        pair.run(pair.now + seconds(3000));
        let answered = requests
            .iter()
            .filter(|(_, id)| pair.a.ended[id].is_ok())
            .count();
        for (number, id) in requests {
            let ran = pair.b.ran.get(&vec![number]).copied().unwrap_or(0);
            match &pair.a.ended[&id] {
                Ok(response) => {
                    assert_eq!(&response.payload[..], [number], "seed {seed}");
                    assert_eq!(ran, 1, "seed {seed}: an answered request ran once");
                }
                Err(_) => assert!(ran <= 1, "seed {seed}: {number} ran {ran} times"),
            }
        }
        assert!(
            answered >= 15,
            "seed {seed}: only {answered} of 20 were answered"
        );
        pair.run(pair.now + seconds(1000));
        assert!(pair.ends.iter().all(Endpoint::is_blank), "nothing is left");
    }
}

#[test]
fn late_answers_arrive_too() {
    for seed in 0..20 {
        let answerer = Answerer {
            late: true,
            ..Default::default()
        };
        let mut pair = Pair::new(Config::default(), STORM, seed, Asker::default(), answerer);
        let request = Request::new(Code::POST)
            .with_path("x")
            .with_payload(b"late");
        let id = pair.ends[0]
            .request(pair.now, PeerId(1), request, RequestSettings::default())
            .unwrap();
        for _ in 0..60 {
            pair.run(pair.now + seconds(5));
            for (exchange, response) in std::mem::take(&mut pair.b.waiting) {
                pair.ends[1]
                    .respond(pair.now, exchange, response, 0)
                    .unwrap();
            }
        }
        pair.run(pair.now + seconds(1000));
        assert!(pair.a.ended.contains_key(&id));
        assert!(pair.b.ran.values().all(|ran| *ran == 1), "seed {seed}");
    }
}

fn config_for(bytes: usize, body_max: usize) -> Config {
    let mut config = Config {
        profile: Profile {
            block_size: BlockSize::fitting(bytes),
            ..Profile::UDP
        },
        ..Config::default()
    };
    config.limits.body_max = body_max;
    config.limits.response_max = body_max;
    config
}

#[test]
fn two_megabytes_go_both_ways_at_every_block_size() {
    const LENGTH: usize = 2 << 20;
    let image: Arc<[u8]> = body(LENGTH).into();
    for exponent in 0..=6 {
        let bytes = 16 << exponent;
        // The least sizes cost a hundred thousand messages: one direction each is enough there.
        let directions: &[Code] = match exponent {
            0 => &[Code::PUT],
            1 => &[Code::GET],
            _ => &[Code::PUT, Code::GET],
        };
        for code in directions {
            let config = config_for(bytes, LENGTH);
            let answerer = Answerer {
                given: Some(image.clone()),
                ..Default::default()
            };
            let mut pair = Pair::new(config, CALM, 1, Asker::default(), answerer);
            let mut request = Request::new(*code).with_path("5/0/0");
            if *code == Code::PUT {
                request.payload = Payload::Shared(image.clone());
            }
            let settings = RequestSettings::default();
            let id = pair.ends[0]
                .request(pair.now, PeerId(1), request, settings)
                .unwrap();
            pair.run(pair.now + seconds(100_000));
            let response = pair.a.ended[&id].as_ref().unwrap();
            match *code {
                Code::PUT => assert!(pair.b.taken[0] == image[..]),
                _ => assert!(response.payload[..] == image[..]),
            }
            assert_eq!(pair.sent, 2 * (LENGTH / bytes) as u64);
        }
    }
}

#[test]
fn bodies_arrive_whole_through_the_storm() {
    let weather = Weather {
        delay_ms: 400,
        ..STORM
    };
    let image: Arc<[u8]> = body(5000).into();
    let mut whole = 0;
    for seed in 0..30 {
        let bytes = 16 << (seed % 7);
        let config = config_for(bytes, 10_000);
        let answerer = Answerer {
            given: Some(image.clone()),
            ..Default::default()
        };
        let mut pair = Pair::new(config, weather, seed, Asker::default(), answerer);
        let put = Request::new(Code::PUT)
            .with_path("5/0/0")
            .with_payload(image.clone());
        let get = Request::new(Code::GET).with_path("3");
        for request in [put, get] {
            let code = request.code;
            let settings = RequestSettings::default();
            let id = pair.ends[0]
                .request(pair.now, PeerId(1), request, settings)
                .unwrap();
            pair.run(pair.now + seconds(20_000));
            match (&pair.a.ended[&id], code) {
                (Ok(response), Code::GET) => assert!(response.payload[..] == image[..]),
                (Ok(response), _) => assert_eq!(response.code, Code::CHANGED),
                (Err(failure), _) => {
                    assert_eq!(*failure, Failure::Timeout, "seed {seed}");
                    continue;
                }
            }
            whole += 1;
        }
        assert!(
            pair.b.taken.iter().all(|taken| taken[..] == image[..]),
            "seed {seed}"
        );
        assert!(pair.b.taken.len() <= 1, "a body is taken once");
        pair.run(pair.now + seconds(1000));
        assert!(pair.ends.iter().all(Endpoint::is_blank), "nothing is left");
    }
    assert!(whole >= 40, "{whole} of 60");
}

/// Observes, and acknowledges what it is told.
#[derive(Default)]
struct Watcher {
    fresh: Vec<u32>,
    late: u32,
    began: bool,
}

impl Side for Watcher {
    fn told(&mut self, now: Duration, endpoint: &mut Endpoint, event: Event) {
        match event {
            Event::Response { observation, .. } => self.began = observation.is_some(),
            Event::Notification {
                exchange,
                fresh,
                response,
                ..
            } => {
                endpoint.acknowledge(now, exchange, 0).unwrap();
                let value = u32::from_be_bytes(response.payload[..4].try_into().unwrap());
                if fresh {
                    self.fresh.push(value);
                } else {
                    self.late += 1;
                }
            }
            Event::UnknownNotification { exchange, .. } => {
                endpoint.acknowledge(now, exchange, 0).unwrap();
            }
            Event::Acknowledged { .. } | Event::Failed { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[derive(Default)]
struct Watched {
    observer: Option<ObserverId>,
    acknowledged: u32,
}

impl Side for Watched {
    fn told(&mut self, now: Duration, endpoint: &mut Endpoint, event: Event) {
        match event {
            Event::Request {
                exchange, request, ..
            } => {
                let response = Response::new(Code::CONTENT).with_payload(&[0; 4]);
                if request.options.view().observe() == Some(0) {
                    self.observer = Some(
                        endpoint
                            .respond_observed(now, exchange, response, 0)
                            .unwrap(),
                    );
                } else {
                    endpoint.respond(now, exchange, response, 0).unwrap();
                }
            }
            Event::NotificationAcknowledged { .. } => self.acknowledged += 1,
            Event::NotificationTimedOut { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn values_never_go_back_for_an_observer() {
    let mut late = 0;
    for seed in 0..30 {
        let config = Config::default();
        let mut pair = Pair::new(config, STORM, seed, Watcher::default(), Watched::default());
        let request = Request::new(Code::GET).with_path("3303/0/5700");
        let settings = RequestSettings {
            observe: true,
            ..Default::default()
        };
        pair.ends[0]
            .request(pair.now, PeerId(1), request, settings)
            .unwrap();
        pair.run(pair.now + seconds(100));
        let Some(observer) = pair.b.observer else {
            continue;
        };
        if !pair.a.began {
            continue;
        }
        for value in 1..=60u32 {
            let response = Response::new(Code::CONTENT).with_payload(&value.to_be_bytes());
            let confirmable = value % 3 == 0;
            // A full line is the storm's doing; the next value will do.
            let _ = pair.ends[1].notify(pair.now, observer, response, confirmable, 0);
            pair.run(pair.now + seconds(1));
        }
        pair.run(pair.now + seconds(100));
        assert!(
            pair.a.fresh.windows(2).all(|two| two[0] < two[1]),
            "{:?}",
            pair.a.fresh
        );
        assert!(pair.a.fresh.len() > 10, "seed {seed}: {:?}", pair.a.fresh);
        assert!(pair.b.acknowledged > 3, "seed {seed}");
        late += pair.a.late;
    }
    assert!(late > 0, "the storm did reorder");
}
