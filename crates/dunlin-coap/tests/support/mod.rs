//! An endpoint on a bench: raw messages in, raw messages and events out, and a clock that only moves when it
//! is told to.
#![allow(dead_code, unreachable_pub, unused_imports)] // Each test binary uses its part.

use std::collections::VecDeque;
use std::time::Duration;

use dunlin_coap::option::OptionNumber;
use dunlin_coap::wire::datagram;
use dunlin_coap::{
    Code, Config, Endpoint, Event, ExchangeId, Message, MessageId, MessageType, OptionList, Output,
    PeerId, Request, Token,
};

pub use MessageType::{
    Acknowledgement as ACK, Confirmable as CON, NonConfirmable as NON, Reset as RST,
};

pub const PEER: PeerId = PeerId(7);

pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A message with parts of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    pub message_type: MessageType,
    pub code: Code,
    pub message_id: u16,
    pub token: Token,
    pub options: OptionList,
    pub payload: Vec<u8>,
}

pub fn raw(message_type: MessageType, code: Code, message_id: u16, token: &[u8]) -> Raw {
    Raw {
        message_type,
        code,
        message_id,
        token: Token::new(token).unwrap(),
        options: OptionList::new(),
        payload: vec![],
    }
}

pub fn empty(message_type: MessageType, message_id: u16) -> Raw {
    raw(message_type, Code::EMPTY, message_id, &[])
}

impl Raw {
    pub fn path(mut self, path: &str) -> Self {
        for segment in path.split('/') {
            self.options
                .push(OptionNumber::URI_PATH, segment.as_bytes());
        }
        self
    }

    pub fn option(mut self, number: OptionNumber, value: &[u8]) -> Self {
        self.options.push(number, value);
        self
    }

    pub fn uint(mut self, number: OptionNumber, value: u32) -> Self {
        self.options.push_uint(number, value);
        self
    }

    /// A block option as number, more, size in bytes.
    pub fn block(self, option: OptionNumber, number: u32, more: bool, bytes: usize) -> Self {
        let exponent = (bytes / 16).trailing_zeros();
        self.uint(option, number << 4 | u32::from(more) << 3 | exponent)
    }

    pub fn payload(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = vec![];
        let message = Message {
            message_type: self.message_type,
            code: self.code,
            message_id: MessageId(self.message_id),
            token: self.token,
            options: self.options.view(),
            payload: &self.payload,
        };
        datagram::encode(&message, &mut out);
        out
    }
}

/// A message that the endpoint sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub at: Duration,
    pub peer: PeerId,
    pub barrier: u64,
    pub bytes: Vec<u8>,
    pub raw: Raw,
}

impl std::ops::Deref for Sent {
    type Target = Raw;

    fn deref(&self) -> &Raw {
        &self.raw
    }
}

pub struct Bench {
    pub endpoint: Endpoint,
    pub now: Duration,
    wake: Option<Duration>,
    events: VecDeque<Event>,
    sent: VecDeque<Sent>,
}

impl Bench {
    pub fn new() -> Self {
        Self::with(Config::default())
    }

    pub fn with(config: Config) -> Self {
        Self {
            endpoint: Endpoint::new(config, [42; 32]),
            now: seconds(1000),
            wake: None,
            events: VecDeque::new(),
            sent: VecDeque::new(),
        }
    }

    /// Takes everything the endpoint has to say.
    pub fn drain(&mut self) {
        loop {
            match self.endpoint.poll_output() {
                Output::Transmit(transmit) => {
                    let message = datagram::decode(&transmit.bytes).expect("we send what we read");
                    let raw = Raw {
                        message_type: message.message_type,
                        code: message.code,
                        message_id: message.message_id.0,
                        token: message.token,
                        options: OptionList::from_options(message.options),
                        payload: message.payload.to_vec(),
                    };
                    let (at, peer, barrier) = (self.now, transmit.peer, transmit.barrier);
                    let bytes = transmit.bytes.clone();
                    self.sent.push_back(Sent {
                        at,
                        peer,
                        barrier,
                        bytes,
                        raw,
                    });
                    self.endpoint.recycle(transmit.bytes);
                }
                Output::Event(event) => self.events.push_back(event),
                Output::Timeout(wake) => {
                    self.wake = wake;
                    return;
                }
            }
        }
    }

    pub fn receive(&mut self, raw: Raw) {
        self.receive_bytes(&raw.bytes());
    }

    pub fn receive_bytes(&mut self, bytes: &[u8]) {
        self.receive_from(PEER, bytes);
    }

    pub fn receive_from(&mut self, peer: PeerId, bytes: &[u8]) {
        self.endpoint.handle_receive(self.now, peer, bytes);
        self.drain();
    }

    /// A command, and what comes of it.
    pub fn command<T>(&mut self, command: impl FnOnce(&mut Endpoint, Duration) -> T) -> T {
        let done = command(&mut self.endpoint, self.now);
        self.drain();
        done
    }

    /// Lets time pass, waking the endpoint when it wished to be woken.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        self.drain();
        while let Some(wake) = self.wake.filter(|wake| *wake <= end) {
            self.now = self.now.max(wake);
            self.endpoint.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
        self.endpoint.handle_timeout(self.now);
        self.drain();
    }

    #[track_caller]
    pub fn sent(&mut self) -> Sent {
        self.sent.pop_front().expect("something was to be sent")
    }

    #[track_caller]
    pub fn event(&mut self) -> Event {
        self.events.pop_front().expect("something was to be told")
    }

    /// Everything sent and not looked at yet.
    pub fn all_sent(&mut self) -> Vec<Sent> {
        self.sent.drain(..).collect()
    }

    #[track_caller]
    pub fn silent(&self) {
        assert_eq!(self.sent, [], "nothing was to be sent");
        assert_eq!(self.events, [], "nothing was to be told");
    }

    #[track_caller]
    pub fn request(&mut self) -> (ExchangeId, Request) {
        match self.event() {
            Event::Request {
                exchange, request, ..
            } => (exchange, request),
            other => panic!("a request was to be told, not {other:?}"),
        }
    }

    pub fn dropped(&self, name: &str) -> u64 {
        let mut drops = self.endpoint.stats().drops();
        drops
            .find(|(cause, _)| cause.name() == name)
            .expect("a cause with this name")
            .1
    }
}
