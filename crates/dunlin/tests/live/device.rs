//! A Client of few words: it sends one message at a time and answers what it is asked.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use dunlin_coap::wire::datagram::{decode, encode};
use dunlin_coap::{
    Code, Message, MessageId, MessageType, OptionList, OptionNumber, Options, Token,
};

/// The answer to a message.
#[derive(Clone, Debug)]
pub struct Answer {
    pub code: Code,
    pub location: Vec<String>,
    pub max_age_s: Option<u32>,
}

pub struct Device {
    pub name: String,
    pub location: Vec<String>,
    /// What it was asked: code and path.
    pub asked: Vec<(Code, String)>,
    socket: UdpSocket,
    message_id: u16,
}

impl Device {
    pub fn new(name: impl Into<String>, server: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.connect(server).expect("the address of the server");
        let message_id = socket.local_addr().expect("bound").port();
        Self {
            name: name.into(),
            location: Vec::new(),
            asked: Vec::new(),
            socket,
            message_id,
        }
    }

    /// Registers, sending once a second again until an answer comes or the time is over. A message of
    /// its own each time: what was sent before is forgotten.
    pub fn register(&mut self, queue: bool, within: Duration) -> Option<Answer> {
        let mut options = OptionList::new();
        options.push(OptionNumber::URI_PATH, b"rd");
        options.push(OptionNumber::CONTENT_FORMAT, &[40]);
        let name = format!("ep={}", self.name);
        let binding = if queue { "b=UQ" } else { "b=U" };
        for query in [name.as_str(), "lt=86400", "lwm2m=1.0", binding] {
            options.push(OptionNumber::URI_QUERY, query.as_bytes());
        }
        let answer = self.exchange(Code::POST, &options, b"</1/0>,</3/0>", within)?;
        if answer.code == Code::CREATED {
            self.location.clone_from(&answer.location);
        }
        Some(answer)
    }

    /// A refresh.
    pub fn update(&mut self, within: Duration) -> Option<Answer> {
        let mut options = OptionList::new();
        for segment in &self.location {
            options.push(OptionNumber::URI_PATH, segment.as_bytes());
        }
        self.exchange(Code::POST, &options, &[], within)
    }

    /// One request, sent again each second with the same Message ID.
    fn exchange(
        &mut self,
        code: Code,
        options: &OptionList,
        payload: &[u8],
        within: Duration,
    ) -> Option<Answer> {
        self.message_id = self.message_id.wrapping_add(1);
        let id = MessageId(self.message_id);
        let token = Token::new(&self.message_id.to_be_bytes()).expect("two bytes");
        let message = Message {
            message_type: MessageType::Confirmable,
            code,
            message_id: id,
            token,
            options: options.view(),
            payload,
        };
        let mut bytes = Vec::new();
        encode(&message, &mut bytes);
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            // A server that is being started again gives ECONNREFUSED: as good as a lost datagram.
            let _ = self.socket.send(&bytes);
            let again = (Instant::now() + Duration::from_secs(1)).min(deadline);
            while let Some(answer) = self.hear(again, Some((id, token))) {
                if let Some(answer) = answer {
                    return Some(answer);
                }
            }
        }
        None
    }

    /// Answers what it is asked, for a while.
    pub fn listen(&mut self, length: Duration) {
        let until = Instant::now() + length;
        while self.hear(until, None).is_some() {}
    }

    /// Takes one datagram: `None` when the time is over, the answer if it is the one waited for.
    fn hear(
        &mut self,
        until: Instant,
        awaited: Option<(MessageId, Token)>,
    ) -> Option<Option<Answer>> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        self.socket
            .set_read_timeout(Some(left.max(Duration::from_millis(1))))
            .expect("a time");
        let mut buffer = [0; 4096];
        let Ok(length) = self.socket.recv(&mut buffer) else {
            std::thread::sleep(Duration::from_millis(1));
            return Some(None);
        };
        let Ok(message) = decode(&buffer[..length]) else {
            panic!("{} was sent what is no CoAP", self.name);
        };
        if message.code.is_request() {
            let path: Vec<String> = message.options.uri_path().map(text).collect();
            self.asked
                .push((message.code, format!("/{}", path.join("/"))));
            self.reply(&message);
            return Some(None);
        }
        let is_awaited = awaited.is_some_and(|(id, token)| {
            message.message_id == id && message.token == token && message.code.is_response()
        });
        Some(is_awaited.then(|| Answer {
            code: message.code,
            location: message.options.location_path().map(text).collect(),
            max_age_s: message.options.max_age_s(),
        }))
    }

    fn reply(&self, request: &Message<'_>) {
        let mut options = OptionList::new();
        let (code, payload): (_, &[u8]) = if request.code == Code::GET {
            options.push(OptionNumber::CONTENT_FORMAT, &[]);
            (Code::CONTENT, b"60")
        } else {
            (Code::CHANGED, &[])
        };
        let message = Message {
            message_type: MessageType::Acknowledgement,
            code,
            message_id: request.message_id,
            token: request.token,
            options: options.view(),
            payload,
        };
        let mut bytes = Vec::new();
        encode(&message, &mut bytes);
        let _ = self.socket.send(&bytes);
    }
}

/// A message as bytes.
pub fn message(
    message_type: MessageType,
    code: Code,
    id: u16,
    token: &[u8],
    options: &OptionList,
    payload: &[u8],
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let message = Message {
        message_type,
        code,
        message_id: MessageId(id),
        token: Token::new(token).expect("at most eight bytes"),
        options: if options.is_empty() {
            Options::EMPTY
        } else {
            options.view()
        },
        payload,
    };
    encode(&message, &mut bytes);
    bytes
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
