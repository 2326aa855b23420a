//! The short way of a refresh, which is most of what a Server with many Clients hears.
//!
//! A Server hands every datagram in here first. Of one that is a Confirmable Update without any change
//! (TS 1.0 §5.3.2) in its usual spelling, it gets a [`Refresh`] and says at once what becomes of it. Everything
//! else, and every refresh that needs a second look, goes the way of all messages.

use core::net::IpAddr;

use dunlin_coap::{Admitted, Barrier, Code, MessageId, Token};

use super::{Transmit, Transport};
use crate::address::Address;
use crate::event::LOCATION_LENGTH;
use crate::now::Now;
use crate::peer::PeerId;
use crate::port::Port;

/// A Client has said that it is there, and waits for its 2.04: [`Transport::answer_refresh`], or
/// [`Transport::tell_refresh`] where it is not as simple as that.
#[derive(Debug)]
#[must_use]
pub struct Refresh {
    /// Where the registration lies.
    pub location: [u8; LOCATION_LENGTH],
    admitted: Admitted,
}

impl Refresh {
    /// Who says so.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.admitted.peer()
    }
}

/// What [`Transport::receive_refresh`] made of a datagram.
#[derive(Debug)]
pub enum Received {
    /// Answer it.
    Refresh(Refresh),
    /// It is dealt with: a duplicate, or more than its sender may send. Poll the output.
    Done,
    /// It is something else: hand it to [`Transport::handle_receive`].
    Other,
}

impl Transport {
    /// Takes in a datagram, if it is a refresh in the clear. For Servers; a Client is never refreshed.
    pub fn receive_refresh(
        &mut self,
        now: Now,
        port: Port,
        from: &Address,
        local: Option<IpAddr>,
        bytes: &[u8],
    ) -> Received {
        if port != Port::Coap {
            return Received::Other;
        }
        let Some((message_id, token, location)) = decode_refresh_datagram(bytes) else {
            return Received::Other;
        };
        self.now = now.instant;
        let peer = self.peers.heard(now.instant, port, from, local);
        self.forget_surplus();
        if !self.is_within_budget(peer, bytes) {
            self.wall = now.wall;
            self.turn_away(peer, bytes);
            return Received::Done;
        }
        let admitted = self
            .coap
            .admit_request(now.instant, peer, Code::POST, message_id, token);
        match admitted {
            Some(admitted) => Received::Refresh(Refresh { location, admitted }),
            None => {
                self.heard = self.peers.is_held(peer).then_some(peer);
                Received::Done
            }
        }
    }

    /// Answers 2.04. The datagram is for the caller to send to whom the refresh came from; no
    /// [`crate::Event::Heard`] is told for it.
    pub fn answer_refresh(
        &mut self,
        refresh: Refresh,
        port: Port,
        from: &Address,
        local: Option<IpAddr>,
        barrier: Barrier,
    ) -> Transmit {
        let bytes = self
            .coap
            .answer_admitted(refresh.admitted, Code::CHANGED, barrier);
        Transmit {
            to: from.clone(),
            local,
            port,
            bytes,
            barrier,
        }
    }

    /// Lets the refresh go the way of all messages: it is told as an event. `bytes` are the datagram it came in.
    pub fn tell_refresh(&mut self, now: Now, refresh: Refresh, bytes: &[u8]) {
        let peer = refresh.peer();
        self.heard = self.peers.is_held(peer).then_some(peer);
        self.coap
            .tell_admitted(now.instant, refresh.admitted, bytes);
    }
}

/// The options of `POST /rd/{id}` up to the id: Uri-Path `rd`, and Uri-Path of 26 bytes (RFC 7252 §3.1).
const OPTIONS: &[u8] = &[0xb2, b'r', b'd', 0x0d, LOCATION_LENGTH as u8 - 13];

/// Reads a Confirmable POST on `/rd/{id}` without any other option and without a payload. Whatever deviates in
/// the least, though it means the same, is left to the way of all messages.
fn decode_refresh_datagram(bytes: &[u8]) -> Option<(MessageId, Token, [u8; LOCATION_LENGTH])> {
    let [first, code, high, low, rest @ ..] = bytes else {
        return None;
    };
    // Version 1, Confirmable.
    if first >> 4 != 0b0100 || Code(*code) != Code::POST {
        return None;
    }
    let (token, options) = rest.split_at_checked(usize::from(first & 0x0f))?;
    let location: &[u8; LOCATION_LENGTH] = options.strip_prefix(OPTIONS)?.try_into().ok()?;
    // All of them, since stopping at the first that is wrong costs more than going on to the end.
    let fits = location
        .iter()
        .fold(true, |fits, byte| fits & byte.is_ascii_alphanumeric());
    if !fits {
        return None;
    }
    let message_id = MessageId(u16::from_be_bytes([*high, *low]));
    Some((message_id, Token::new(token)?, *location))
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use dunlin_coap::wire::datagram;
    use dunlin_coap::{Message, MessageType, OptionList, OptionNumber};
    use proptest::prelude::*;

    use super::*;

    fn refresh(location: &[u8], token: &[u8], message_type: MessageType) -> Vec<u8> {
        let mut options = OptionList::new();
        options.push(OptionNumber::URI_PATH, b"rd");
        options.push(OptionNumber::URI_PATH, location);
        let mut bytes = Vec::new();
        let message = Message {
            message_type,
            code: Code::POST,
            message_id: MessageId(0x1234),
            token: Token::new(token).expect("short"),
            options: options.view(),
            payload: &[],
        };
        datagram::encode(&message, &mut bytes);
        bytes
    }

    #[test]
    fn a_refresh_is_known_by_its_bytes() {
        let location = b"0123456789ABCDEFGHJKMNPQRS";
        for token in [&b""[..], b"1", b"12345678"] {
            let bytes = refresh(location, token, MessageType::Confirmable);
            let (message_id, read, at) = decode_refresh_datagram(&bytes).expect("a refresh");
            assert_eq!(
                (message_id.0, read.as_bytes(), &at),
                (0x1234, token, location)
            );
            for end in 0..bytes.len() {
                assert_eq!(decode_refresh_datagram(&bytes[..end]), None);
            }
        }
        let other = refresh(location, b"1", MessageType::NonConfirmable);
        assert_eq!(decode_refresh_datagram(&other), None);
        let short = refresh(&location[1..], b"1", MessageType::Confirmable);
        assert_eq!(decode_refresh_datagram(&short), None);
        let dots = refresh(
            b"..........................",
            b"1",
            MessageType::Confirmable,
        );
        assert_eq!(decode_refresh_datagram(&dots), None);
    }

    proptest! {
        /// What is taken the short way is, for the way of all messages, a refresh with the same parts.
        #[test]
        fn the_short_way_and_the_long_one_read_the_same(
            mut bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..80),
                proptest::collection::vec(any::<u8>(), 0..9).prop_map(|token|
                    refresh(b"0123456789ABCDEFGHJKMNPQRS", &token[..token.len().min(8)], MessageType::Confirmable)),
            ],
            flip in proptest::option::of((0usize..80, any::<u8>())),
        ) {
            if let Some((at, with)) = flip && let Some(byte) = bytes.get_mut(at) {
                *byte ^= with;
            }
            if let Some((message_id, token, location)) = decode_refresh_datagram(&bytes) {
                let message = datagram::decode(&bytes).expect("a message");
                prop_assert_eq!(message.message_type, MessageType::Confirmable);
                prop_assert_eq!((message.code, message.message_id), (Code::POST, message_id));
                prop_assert_eq!(message.token, token);
                prop_assert!(message.payload.is_empty());
                let paths: Vec<_> = message.options.into_iter().map(|option| (option.number, option.value)).collect();
                prop_assert_eq!(paths, [(OptionNumber::URI_PATH, &b"rd"[..]), (OptionNumber::URI_PATH, &location[..])]);
            }
        }
    }
}
