//! What a datagram says, as far as the checkers ask: read beside the machines, by nobody else.

use dunlin_server::RegistrationId;
use dunlin_transport::coap::wire::datagram;
use dunlin_transport::coap::{Code, MessageType, Token};

/// What a datagram says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Note {
    /// A Client registers.
    Register { token: Token, lifetime_s: u32 },
    /// A Client updates or leaves a registration.
    Update {
        token: Token,
        location: Option<RegistrationId>,
        lifetime_s: Option<u32>,
    },
    /// A Client de-registers.
    Deregister { token: Token },
    /// A notification or answer of a Client with an Observe number.
    Notification {
        token: Token,
        sequence: u32,
        message_id: u16,
        confirmable: bool,
    },
    /// Any other answer.
    Answer {
        token: Token,
        code: Code,
        location: Option<RegistrationId>,
    },
    /// A request of a Server.
    Request { token: Token, code: Code },
    /// An acknowledgement without an answer.
    Acknowledgement { message_id: u16 },
    /// A reset.
    Reset { message_id: u16 },
    /// Something else.
    Other,
}

impl Note {
    /// Reads a datagram.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let Ok(message) = datagram::decode(bytes) else {
            return Self::Other;
        };
        let token = message.token;
        let message_id = message.message_id.0;
        if message.code == Code::EMPTY {
            return match message.message_type {
                MessageType::Acknowledgement => Self::Acknowledgement { message_id },
                MessageType::Reset => Self::Reset { message_id },
                _ => Self::Other,
            };
        }
        if message.code.is_response() {
            if let Some(sequence) = message.options.observe() {
                return Self::Notification {
                    token,
                    sequence,
                    message_id,
                    confirmable: message.message_type == MessageType::Confirmable,
                };
            }
            return Self::Answer {
                token,
                code: message.code,
                location: message
                    .options
                    .location_path()
                    .find_map(RegistrationId::parse),
            };
        }
        let mut path = message.options.uri_path();
        if path.next() != Some(b"rd") {
            let code = message.code;
            return Self::Request { token, code };
        }
        let lifetime_s = message.options.uri_query().find_map(|query| {
            let text = query.strip_prefix(b"lt=")?;
            std::str::from_utf8(text).ok()?.parse().ok()
        });
        match (message.code, path.next()) {
            (Code::POST, None) => Self::Register {
                token,
                lifetime_s: lifetime_s.unwrap_or(86_400),
            },
            (Code::POST, Some(location)) => Self::Update {
                token,
                location: RegistrationId::parse(location),
                lifetime_s,
            },
            _ => Self::Deregister { token },
        }
    }
}
