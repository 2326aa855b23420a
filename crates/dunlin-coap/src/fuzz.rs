//! Properties to be held against arbitrary bytes, by fuzzers and by proptest alike.

use alloc::vec::Vec;
use core::time::Duration;

use crate::message::MessageType;
use crate::option::Options;
use crate::wire::datagram;
use crate::{
    BlockSize, Code, Config, Endpoint, Event, Limits, ObserverId, Output, PeerId, Profile, Request,
    RequestSettings, Response,
};

/// What can be decoded is encoded to a message that decodes to the same.
pub fn decode_message(bytes: &[u8]) {
    let Ok(message) = datagram::decode(bytes) else {
        return;
    };
    let mut out = Vec::new();
    datagram::encode(&message, &mut out);
    assert_eq!(
        datagram::decode(&out),
        Ok(message),
        "encode and decode are inverse"
    );
    // Everything that prints it goes through every option.
    let printed = alloc::format!("{message}");
    assert!(printed.len() >= 10);
}

/// Options walk over their bytes exactly, and pushing them one by one gives a list that reads the same.
pub fn decode_options(bytes: &[u8]) {
    let Ok((options, end)) = Options::decode(bytes) else {
        return;
    };
    assert!(end <= bytes.len());
    let list: crate::OptionList = options.iter().collect();
    assert!(list.view().iter().eq(options.iter()));
    assert!(list.view().as_encoded().len() <= options.as_encoded().len());
    let mut reversed = crate::OptionList::new();
    let mut all: Vec<_> = options.iter().collect();
    // Stable among equal numbers: those are pushed in their order.
    all.sort_by_key(|option| core::cmp::Reverse(option.number));
    for option in all {
        reversed.push(option.number, option.value);
    }
    assert_eq!(reversed, list);
}

/// Limits so small that they are met.
fn limits() -> Limits {
    Limits {
        body_max: 300,
        response_max: 300,
        bodies_total_max: 2000,
        bodies_per_peer_max: 2,
        exchanges_per_peer_max: 4,
        exchanges_max: 8,
        requests_per_peer_max: 4,
        requests_max: 8,
        replies_waiting_max: 4,
        observations_max: 4,
        observers_per_peer_max: 3,
        message_ids_per_peer_max: 4,
        peers_max: 3,
        answers_total_max: 500,
        ..Limits::default()
    }
}

/// An endpoint lives through whatever the bytes say: datagrams, time, commands. It never panics, answers
/// nothing that it could not read itself, and does not grow beyond its limits.
pub fn run_endpoint(bytes: &[u8]) {
    let config = Config {
        profile: Profile {
            block_size: BlockSize::SMALLEST,
            ..Profile::UDP
        },
        ask_for_bodies: bytes.first().is_some_and(|byte| byte & 1 == 1),
        limits: limits(),
        ..Config::default()
    };
    let mut life = Life {
        endpoint: Endpoint::new(config, [7; 32]),
        now: Duration::from_secs(1),
        open: Vec::new(),
        notified: Vec::new(),
        observers: Vec::new(),
        observations: Vec::new(),
        last_sent: Vec::new(),
    };
    let mut rest = bytes.get(1..).unwrap_or_default();
    while let [what, length, more @ ..] = rest {
        let take = usize::from(*length % 80).min(more.len());
        let (data, after) = more.split_at(take);
        life.step(*what, data);
        rest = after;
    }
    for _ in 0..4 {
        life.pass(Duration::from_secs(700));
    }
    assert!(life.endpoint.peers() <= 3);
}

struct Life {
    endpoint: Endpoint,
    now: Duration,
    open: Vec<crate::ExchangeId>,
    notified: Vec<crate::ExchangeId>,
    observers: Vec<ObserverId>,
    observations: Vec<crate::ObservationId>,
    /// Message ID and token of what was sent, so that answers may fit.
    last_sent: Vec<(crate::MessageId, crate::Token)>,
}

impl Life {
    fn step(&mut self, what: u8, data: &[u8]) {
        let (now, peer) = (self.now, PeerId(u32::from(what >> 6)));
        let body: &[u8] = &[b'x'; 200][..usize::from(what) / 2 + data.len().min(70)];
        match what & 0x1f {
            0..=5 => self.endpoint.handle_receive(now, peer, data),
            6..=11 => self.receive_answer(peer, what, data),
            12 => self.pass(Duration::from_millis(
                u64::from(data.first().copied().unwrap_or(9)) * 9,
            )),
            13 => self.pass(Duration::from_secs(30)),
            14..=16 => {
                let request = Request::new(Code(what & 7 | 1))
                    .with_path("a")
                    .with_payload(body);
                let settings = RequestSettings {
                    confirmable: what & 0x20 == 0,
                    observe: data.len() % 2 == 1,
                    ..RequestSettings::default()
                };
                let _ = self.endpoint.request(now, peer, request, settings);
            }
            17..=20 => {
                if let Some(exchange) = self.open.pop() {
                    let response = Response::new(Code::CONTENT).with_payload(body);
                    match what & 3 {
                        0 => drop(self.endpoint.proceed(now, exchange, 1)),
                        1 => drop(self.endpoint.gather(now, exchange, 100)),
                        2 => self.observers.extend(self.endpoint.respond_observed(
                            now,
                            exchange,
                            response.clone(),
                            1,
                        )),
                        _ => {}
                    }
                    let _ = self.endpoint.respond(now, exchange, response, 1);
                }
            }
            21 | 22 => {
                if let Some(exchange) = self.notified.pop() {
                    let _ = match what & 1 {
                        0 => self.endpoint.reject(now, exchange),
                        _ => self.endpoint.acknowledge(now, exchange, 2),
                    };
                }
            }
            23..=25 => {
                if let Some(observer) = self.observers.last().copied() {
                    let code = if what & 0x20 == 0 {
                        Code::CONTENT
                    } else {
                        Code::NOT_FOUND
                    };
                    let response = Response::new(code).with_payload(body);
                    let _ = self
                        .endpoint
                        .notify(now, observer, response, what & 1 == 1, 3);
                }
            }
            26 => {
                if let Some(observation) = self.observations.pop() {
                    let settings = RequestSettings::default();
                    let _ = match what & 0x20 {
                        0 => self.endpoint.cancel_by_reset(observation),
                        _ => self
                            .endpoint
                            .cancel_by_request(now, observation, settings)
                            .map(|_| ()),
                    };
                }
            }
            27 => drop(self.endpoint.ping(now, peer)),
            28 => self.endpoint.forget_peer(now, peer),
            _ => self.endpoint.handle_multicast(now, peer, data),
        }
        self.drain(data.len());
    }

    /// A datagram whose Message ID and token are those of something we sent.
    fn receive_answer(&mut self, peer: PeerId, what: u8, data: &[u8]) {
        let Some((message_id, token)) = self.last_sent.last().copied() else {
            return;
        };
        let message_type = MessageType::from_bits(what >> 4);
        let (code, rest) = data
            .split_first()
            .map_or((0, data), |(first, rest)| (*first, rest));
        let empty = code == 0;
        let mut out = Vec::new();
        let token = if empty { crate::Token::EMPTY } else { token };
        datagram::put_header(&mut out, message_type, Code(code), message_id, token);
        out.extend_from_slice(if empty { &[] } else { rest });
        self.endpoint.handle_receive(self.now, peer, &out);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.endpoint.handle_timeout(self.now);
        self.drain(0);
    }

    fn drain(&mut self, length: usize) {
        let mut count = 0;
        loop {
            match self.endpoint.poll_output() {
                Output::Transmit(transmit) => {
                    let message = datagram::decode(&transmit.bytes).expect("we send what we read");
                    assert!(transmit.bytes.len() < 700 + length, "an answer is bounded");
                    if message.message_type != MessageType::Reset {
                        self.last_sent.truncate(16);
                        self.last_sent.push((message.message_id, message.token));
                    }
                    self.endpoint.recycle(transmit.bytes);
                }
                Output::Event(event) => self.told(event),
                Output::Timeout(when) => {
                    let _ = when;
                    return;
                }
            }
            count += 1;
            assert!(count < 200, "one step has few consequences");
        }
    }

    fn told(&mut self, event: Event) {
        match event {
            Event::Request { exchange, .. } | Event::Block { exchange, .. } => {
                self.open.push(exchange);
            }
            Event::Notification { exchange, .. } | Event::UnknownNotification { exchange, .. } => {
                self.notified.push(exchange);
            }
            Event::Response { observation, .. } => self.observations.extend(observation),
            _ => {}
        }
    }
}
