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
        observed: Vec::new(),
        next_message_id: 1000,
    };
    let even = bytes.len().is_multiple_of(2);
    let mut rest = bytes.get(1..).unwrap_or_default();
    while let [what, length, more @ ..] = rest {
        let take = usize::from(*length % 80).min(more.len());
        let (data, after) = more.split_at(take);
        life.step(*what, data);
        rest = after;
    }
    if even {
        // Either time takes care of it, but for observers and observations, or it is told to forget.
        for _ in 0..4 {
            life.pass(Duration::from_secs(700));
        }
        assert!(life.endpoint.peers() <= 3);
    }
    for peer in 0..4 {
        life.endpoint.forget_peer(life.now, PeerId(peer));
        life.drain(0);
    }
    assert!(
        life.endpoint.is_blank(),
        "nothing is left of peers that were forgotten"
    );
}

struct Life {
    endpoint: Endpoint,
    now: Duration,
    open: Vec<crate::ExchangeId>,
    notified: Vec<crate::ExchangeId>,
    observers: Vec<ObserverId>,
    observations: Vec<crate::ObservationId>,
    /// To whom, Message ID and token of what was sent, so that answers may fit.
    last_sent: Vec<(PeerId, crate::MessageId, crate::Token)>,
    /// Whose observations go on, and under which token.
    observed: Vec<(PeerId, crate::Token)>,
    next_message_id: u16,
}

impl Life {
    fn step(&mut self, what: u8, data: &[u8]) {
        let now = self.now;
        // One peer does most of it, so that its limits are met.
        let peer = PeerId(if what & 0xc0 == 0xc0 {
            u32::from(what & 3)
        } else {
            0
        });
        let body: &[u8] = &[b'x'; 200][..usize::from(what) / 2 + data.len().min(70)];
        match what & 0x1f {
            0..=8 => self.endpoint.handle_receive(now, peer, data),
            9..=16 => self.receive_answer(what, data),
            17 => self.pass(Duration::from_millis(u64::from(what) * 9)),
            18 if what & 0x60 == 0 => self.pass(Duration::from_secs(130)),
            18..=20 => self.request(peer, what, body),
            21..=24 => self.respond(what, body),
            25 | 26 => self.close(what),
            27..=29 => self.notify(what, body),
            30 if what & 0x20 == 0 => self.cancel(what),
            30 => drop(self.endpoint.ping(now, peer)),
            _ if what & 0x60 == 0 => self.endpoint.forget_peer(now, peer),
            _ => self.endpoint.handle_multicast(now, peer, data),
        }
        self.drain(data.len());
    }

    fn request(&mut self, peer: PeerId, what: u8, body: &[u8]) {
        let payload = if what & 0x10 == 0 { body } else { &[] };
        let request = Request::new(Code(what & 7 | 1))
            .with_path("a")
            .with_payload(payload);
        let settings = RequestSettings {
            confirmable: what & 0x20 == 0,
            observe: body.len() % 2 == 1,
            ..RequestSettings::default()
        };
        let _ = self.endpoint.request(self.now, peer, request, settings);
    }

    fn respond(&mut self, what: u8, body: &[u8]) {
        let now = self.now;
        for exchange in core::mem::take(&mut self.open) {
            let response = Response::new(Code::CONTENT).with_payload(body);
            match what >> 5 {
                0..=2 => drop(self.endpoint.proceed(now, exchange, 1)),
                3 => drop(self.endpoint.gather(now, exchange, 100)),
                4 => drop(self.endpoint.ignore(now, exchange)),
                _ => {}
            }
            match self
                .endpoint
                .respond_observed(now, exchange, response.clone(), 1)
            {
                Ok(observer) => self.observers.push(observer),
                Err(_) => drop(self.endpoint.respond(now, exchange, response, 1)),
            }
        }
    }

    fn close(&mut self, what: u8) {
        for exchange in core::mem::take(&mut self.notified) {
            let _ = match what >> 5 {
                0 => self.endpoint.reject(self.now, exchange),
                1 => self.endpoint.ignore(self.now, exchange),
                _ => self.endpoint.acknowledge(self.now, exchange, 2),
            };
        }
    }

    fn notify(&mut self, what: u8, body: &[u8]) {
        let Some(observer) = self.observers.last().copied() else {
            return;
        };
        let code = if what & 0xe0 == 0 {
            Code::NOT_FOUND
        } else {
            Code::CONTENT
        };
        let response = Response::new(code).with_payload(body);
        let told = self
            .endpoint
            .notify(self.now, observer, response, what & 1 == 1, 3);
        if told == Err(crate::Refused::UnknownObserver) {
            self.observers.pop();
        }
    }

    fn cancel(&mut self, what: u8) {
        let Some(observation) = self.observations.pop() else {
            return;
        };
        let _ = match what & 0x40 {
            0 => self.endpoint.cancel_by_reset(observation),
            _ => {
                let settings = RequestSettings::default();
                self.endpoint
                    .cancel_by_request(self.now, observation, settings)
                    .map(drop)
            }
        };
    }

    /// A datagram whose Message ID and token are those of something we sent, or the token is that of an
    /// observation.
    fn receive_answer(&mut self, what: u8, data: &[u8]) {
        let known = self.observed.last().copied().filter(|_| what & 0x40 != 0);
        let (peer, message_id, token) = match (known, self.last_sent.last().copied()) {
            (Some((peer, token)), _) => {
                self.next_message_id += u16::from(what & 1);
                (peer, crate::MessageId(self.next_message_id), token)
            }
            (None, Some(sent)) => sent,
            (None, None) => return,
        };
        let message_type = match (known.is_some(), what >> 4 & 3) {
            (true, bits) => MessageType::from_bits(bits & 1),
            (false, bits) => MessageType::from_bits(bits),
        };
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
                    let waits = matches!(
                        message.message_type,
                        MessageType::Confirmable | MessageType::NonConfirmable
                    );
                    if waits {
                        let sent = (transmit.peer, message.message_id, message.token);
                        self.last_sent.truncate(16);
                        self.last_sent.push(sent);
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
            Event::Response {
                observation: Some(observation),
                peer,
                token,
                ..
            } => {
                self.observations.push(observation);
                self.observed.push((peer, token));
            }
            _ => {}
        }
    }
}
