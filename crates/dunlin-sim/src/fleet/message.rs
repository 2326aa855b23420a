//! What Clients say, spelled in CoAP, and the tray in which it waits to be sent.

use dunlin_coap::wire::datagram;
use dunlin_coap::{
    Code, Message, MessageId, MessageType, OptionList, OptionNumber, Options, Token,
};
use dunlin_lwm2m::ContentFormat;

/// Datagrams that wait to be sent, each with the Client it comes from and that Client's address.
#[derive(Debug, Default)]
pub(crate) struct Tray {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    client: u32,
    binding: u16,
    start: usize,
    end: usize,
}

/// A datagram in the tray.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outgoing<'a> {
    pub(crate) client: u32,
    pub(crate) binding: u16,
    pub(crate) bytes: &'a [u8],
}

impl Tray {
    pub(crate) fn push(&mut self, client: u32, binding: u16, message: &Message<'_>) {
        let start = self.bytes.len();
        datagram::encode(message, &mut self.bytes);
        self.entries.push(Entry {
            client,
            binding,
            start,
            end: self.bytes.len(),
        });
    }

    /// Bytes that are no message.
    pub(crate) fn push_bytes(&mut self, client: u32, binding: u16, bytes: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.entries.push(Entry {
            client,
            binding,
            start,
            end: self.bytes.len(),
        });
    }

    /// Takes the last one back: the network has lost it.
    pub(crate) fn lose_last(&mut self) {
        if let Some(entry) = self.entries.pop() {
            self.bytes.truncate(entry.start);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Outgoing<'_>> {
        self.entries.iter().map(|entry| Outgoing {
            client: entry.client,
            binding: entry.binding,
            bytes: &self.bytes[entry.start..entry.end],
        })
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }
}

/// The token of a request of a Client: enough to tell a late answer from the one that is awaited.
pub(crate) fn token(pending_id: u16, client: u32) -> Token {
    let [a, b] = pending_id.to_be_bytes();
    let [_, _, c, d] = client.to_be_bytes();
    Token::new(&[a, b, c, d]).expect("four bytes fit")
}

/// What a Register tells besides its links (TS 5.3.1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct RegisterTells<'a> {
    pub(crate) endpoint: &'a str,
    pub(crate) lifetime_s: u32,
    pub(crate) lwm2m: &'a str,
    pub(crate) binding: &'a str,
}

/// The options of a Register.
pub(crate) fn register_options(tells: RegisterTells<'_>) -> OptionList {
    let mut options = OptionList::new();
    options.push(OptionNumber::URI_PATH, b"rd");
    options.push_uint(OptionNumber::CONTENT_FORMAT, ContentFormat::LINK.0.into());
    let RegisterTells {
        endpoint,
        lifetime_s,
        lwm2m,
        binding,
    } = tells;
    for query in [
        format!("ep={endpoint}"),
        format!("lt={lifetime_s}"),
        format!("lwm2m={lwm2m}"),
        format!("b={binding}"),
    ] {
        options.push(OptionNumber::URI_QUERY, query.as_bytes());
    }
    options
}

/// The options of an Update that tells the lifetime (TS 5.3.2).
pub(crate) fn update_options(location: Options<'_>, lifetime_s: u32) -> OptionList {
    let mut options = OptionList::from_options(location);
    options.push(
        OptionNumber::URI_QUERY,
        format!("lt={lifetime_s}").as_bytes(),
    );
    options
}

/// An empty message: an acknowledgement, or a Reset (RFC 7252 §4.2).
pub(crate) fn empty(message_type: MessageType, message_id: MessageId) -> Message<'static> {
    Message {
        message_type,
        code: Code::EMPTY,
        message_id,
        token: Token::EMPTY,
        options: Options::default(),
        payload: &[],
    }
}
