//! A peer that says exactly what it is told to, as a Client to our Server or as a Server to our
//! Client.

use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use dunlin_coap::wire::datagram::{decode, encode};
use dunlin_coap::{Code, Message, MessageId, MessageType, OptionList, OptionNumber, Token};

use super::PATIENCE;

/// A message that the peer got.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) from: SocketAddr,
    pub(crate) message_type: MessageType,
    pub(crate) code: Code,
    pub(crate) message_id: MessageId,
    pub(crate) token: Token,
    pub(crate) options: OptionList,
    pub(crate) payload: Vec<u8>,
}

impl Got {
    /// `GET /3/0?pmin=1`
    pub(crate) fn line(&self) -> String {
        let words = |number| -> Vec<String> { self.options.view().all(number).map(text).collect() };
        let method = match self.code {
            Code::GET => "GET",
            Code::POST => "POST",
            Code::PUT => "PUT",
            Code::DELETE => "DELETE",
            _ => "response",
        };
        let path = words(OptionNumber::URI_PATH).join("/");
        let queries = words(OptionNumber::URI_QUERY).join("&");
        let mark = if queries.is_empty() { "" } else { "?" };
        format!("{method} /{path}{mark}{queries}")
    }

    pub(crate) fn queries(&self) -> Vec<String> {
        let options = self.options.view();
        options.uri_query().map(text).collect()
    }

    pub(crate) fn location(&self) -> Vec<String> {
        let options = self.options.view();
        options.location_path().map(text).collect()
    }

    pub(crate) fn accept(&self) -> Option<u16> {
        self.options.view().accept()
    }

    pub(crate) fn format(&self) -> Option<u16> {
        self.options.view().content_format()
    }

    pub(crate) fn observe(&self) -> Option<u32> {
        self.options.view().observe()
    }

    pub(crate) fn text(&self) -> String {
        text(&self.payload)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// Options in the order in which they are given.
pub(crate) type Options<'a> = [(OptionNumber, &'a [u8])];

pub(crate) struct Peer {
    socket: UdpSocket,
    next_message_id: u16,
    /// What was heard and not asked for yet.
    inbox: VecDeque<Got>,
    /// Confirmable messages that were heard before: a busy machine repeats them.
    known: Vec<(SocketAddr, MessageId)>,
}

impl Peer {
    pub(crate) fn new() -> Self {
        Self {
            socket: UdpSocket::bind("127.0.0.1:0").expect("a port"),
            next_message_id: 100,
            inbox: VecDeque::new(),
            known: Vec::new(),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("bound")
    }

    /// The next message, whatever it is.
    pub(crate) fn hear(&mut self) -> Got {
        self.hear_where("anything", |_| true)
    }

    /// The next message like this; others wait.
    pub(crate) fn hear_where(&mut self, what: &str, is: impl Fn(&Got) -> bool) -> Got {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.inbox.iter().position(&is) {
                return self.inbox.remove(at).expect("it was found there");
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "in vain: {what}; got {:?}", self.inbox);
            self.receive(left);
        }
    }

    /// The next request with this method and path, such as `POST /rd`.
    pub(crate) fn hear_request(&mut self, line: &str) -> Got {
        self.hear_where(line, |got| {
            got.code.is_request() && got.line().split('?').next() == Some(line)
        })
    }

    /// The next message with this token that is no request.
    pub(crate) fn hear_response(&mut self, token: Token) -> Got {
        self.hear_where("a response", |got| {
            got.code.is_response() && got.token == token
        })
    }

    /// Whether something like this was heard and not taken.
    pub(crate) fn has(&self, is: impl Fn(&Got) -> bool) -> bool {
        self.inbox.iter().any(is)
    }

    fn receive(&mut self, left: Duration) {
        let mut buffer = vec![0; 65_535];
        let socket = &self.socket;
        socket.set_read_timeout(Some(left)).expect("a timeout");
        // The time is over, or a peer that has ended refused what it was sent (ICMP).
        let Ok((length, from)) = socket.recv_from(&mut buffer) else {
            return;
        };
        let message = decode(&buffer[..length]).expect("our peers send CoAP");
        if message.message_type == MessageType::Confirmable {
            let key = (from, message.message_id);
            if self.known.contains(&key) {
                return;
            }
            self.known.push(key);
        }
        self.inbox.push_back(Got {
            from,
            message_type: message.message_type,
            code: message.code,
            message_id: message.message_id,
            token: message.token,
            options: OptionList::from_options(message.options),
            payload: message.payload.to_vec(),
        });
    }

    fn send(&self, to: SocketAddr, message: &Message<'_>) {
        let mut bytes = Vec::new();
        encode(message, &mut bytes);
        self.socket.send_to(&bytes, to).expect("sent");
    }

    /// Sends bytes that need not be CoAP.
    pub(crate) fn send_bytes(&self, to: SocketAddr, bytes: &[u8]) {
        self.socket.send_to(bytes, to).expect("sent");
    }

    /// Sends a request; its token is returned.
    pub(crate) fn request(
        &mut self,
        to: SocketAddr,
        message_type: MessageType,
        line: &str,
        options: &Options<'_>,
        payload: &[u8],
    ) -> Token {
        self.next_message_id += 1;
        let token = Token::new(&self.next_message_id.to_be_bytes()).expect("two bytes");
        self.request_with(to, message_type, token, line, options, payload);
        token
    }

    /// Sends a request with a token of ours.
    pub(crate) fn request_with(
        &mut self,
        to: SocketAddr,
        message_type: MessageType,
        token: Token,
        line: &str,
        options: &Options<'_>,
        payload: &[u8],
    ) {
        let (method, target) = line.split_once(' ').expect("a method and a path");
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let code = match method {
            "GET" => Code::GET,
            "POST" => Code::POST,
            "PUT" => Code::PUT,
            "DELETE" => Code::DELETE,
            other => panic!("no method {other}"),
        };
        let mut all: Vec<(OptionNumber, &[u8])> = options.to_vec();
        let segments = path.split('/').filter(|segment| !segment.is_empty());
        all.extend(segments.map(|segment| (OptionNumber::URI_PATH, segment.as_bytes())));
        let queries = query.split('&').filter(|query| !query.is_empty());
        all.extend(queries.map(|query| (OptionNumber::URI_QUERY, query.as_bytes())));
        all.sort_by_key(|(number, _)| *number);
        let mut list = OptionList::new();
        for (number, value) in all {
            list.push(number, value);
        }
        self.next_message_id += 1;
        let message = Message {
            message_type,
            code,
            message_id: MessageId(self.next_message_id),
            token,
            options: list.view(),
            payload,
        };
        self.send(to, &message);
    }

    /// Sends a Confirmable request and waits for its answer.
    pub(crate) fn ask(
        &mut self,
        to: SocketAddr,
        line: &str,
        options: &Options<'_>,
        payload: &[u8],
    ) -> Got {
        let token = self.request(to, MessageType::Confirmable, line, options, payload);
        self.hear_response(token)
    }

    /// The code of the answer.
    pub(crate) fn code(
        &mut self,
        to: SocketAddr,
        line: &str,
        options: &Options<'_>,
        payload: &[u8],
    ) -> Code {
        self.ask(to, line, options, payload).code
    }

    /// Answers a request on its acknowledgement.
    pub(crate) fn answer(&self, got: &Got, code: Code, options: &Options<'_>, payload: &[u8]) {
        let mut list = OptionList::new();
        for (number, value) in options {
            list.push(*number, value);
        }
        let message = Message {
            message_type: MessageType::Acknowledgement,
            code,
            message_id: got.message_id,
            token: got.token,
            options: list.view(),
            payload,
        };
        self.send(got.from, &message);
    }

    /// Acknowledges or resets a message.
    pub(crate) fn empty(&self, got: &Got, message_type: MessageType) {
        let none = OptionList::new();
        let message = Message {
            message_type,
            code: Code::EMPTY,
            message_id: got.message_id,
            token: Token::EMPTY,
            options: none.view(),
            payload: b"",
        };
        self.send(got.from, &message);
    }

    /// A notification, or a separate response.
    pub(crate) fn respond(
        &mut self,
        to: SocketAddr,
        message_type: MessageType,
        token: Token,
        code: Code,
        options: &Options<'_>,
        payload: &[u8],
    ) {
        let mut list = OptionList::new();
        for (number, value) in options {
            list.push(*number, value);
        }
        self.next_message_id += 1;
        let message = Message {
            message_type,
            code,
            message_id: MessageId(self.next_message_id),
            token,
            options: list.view(),
            payload,
        };
        self.send(to, &message);
    }

    // As a Client.

    /// Registers with our Server, which must take it: the location.
    pub(crate) fn register(&mut self, server: SocketAddr, queries: &str) -> String {
        let answer = self.register_with(server, queries, super::LINKS);
        assert_eq!(answer.code, Code::CREATED, "{}", answer.text());
        format!("/{}", answer.location().join("/"))
    }

    pub(crate) fn register_with(&mut self, server: SocketAddr, queries: &str, links: &str) -> Got {
        let link_format: &Options<'_> = &[(OptionNumber::CONTENT_FORMAT, &[40])];
        self.ask(
            server,
            &format!("POST /rd?{queries}"),
            link_format,
            links.as_bytes(),
        )
    }

    // As a Server.

    /// Waits for our Client to register and takes it: what it said.
    pub(crate) fn take_register(&mut self) -> Got {
        let register = self.hear_request("POST /rd");
        let location: &Options<'_> = &[
            (OptionNumber::LOCATION_PATH, b"rd"),
            (OptionNumber::LOCATION_PATH, b"here"),
        ];
        self.answer(&register, Code::CREATED, location, b"");
        register
    }
}
