//! Whose is this datagram? Asked of the bytes alone, before anything else is known of them.
//!
//! One socket per shard shares a port, and the kernel chooses among them by address. What names its
//! owner in its bytes - an Update by the registration it writes to, a response by its token, an
//! empty message by the Message ID it answers - goes to the owner whatever its address is now.
//! Everything else stays where it came in.

use dunlin_coap::{Code, MessageType, wire};
use dunlin_dtls::ConnectionId;

/// What a datagram says of its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// It writes to a registration of this virtual shard.
    VirtualShard(u8),
    /// It answers a request whose token begins with this byte.
    Token(u8),
    /// It answers a message of ours with this Message ID.
    MessageId(u16),
    /// It says nothing: it belongs where it came in.
    Here,
}

/// Whether a datagram asks something, as far as its header tells: so a role can leave requests
/// unheard before they are taken in, and hear them when they are repeated.
#[must_use]
pub fn is_request(bytes: &[u8]) -> bool {
    bytes.len() >= 4 && bytes[0] >> 6 == 1 && matches!(bytes[1], 1..=31)
}

/// The characters of a registration id; see `dunlin-server`, which writes them.
const REGISTRATION_ID_LENGTH: usize = 26;

/// Whether these bytes are a ClientHello of DTLS: the first thing that somebody says who has no
/// session, or wants another one.
#[must_use]
pub fn is_client_hello(bytes: &[u8]) -> bool {
    // Handshake, version, epoch 0, number, length, ClientHello (RFC 6347 §4.1, §4.2.2).
    matches!(bytes, [22, _, _, 0, 0, _, _, _, _, _, _, _, _, 1, ..])
}

/// Reads what a datagram says of its owner: a record of DTLS by its Connection ID, which begins
/// with our node's number and a virtual shard; a message of CoAP as said above. Other bytes say
/// nothing.
#[must_use]
pub fn route(bytes: &[u8]) -> Route {
    if let Some(ConnectionId([_, _, virtual_shard, ..])) = ConnectionId::of_datagram(bytes) {
        return Route::VirtualShard(virtual_shard);
    }
    let Ok(message) = wire::datagram::decode(bytes) else {
        return Route::Here;
    };
    if message.code == Code::EMPTY {
        return match message.message_type {
            MessageType::Acknowledgement | MessageType::Reset => {
                Route::MessageId(message.message_id.0)
            }
            _ => Route::Here,
        };
    }
    if message.code.is_response() {
        return match message.token.as_bytes() {
            // Only tokens of ours are this long.
            [prefix, rest @ ..] if rest.len() == 7 => Route::Token(*prefix),
            _ => Route::Here,
        };
    }
    let mut segments = message
        .options
        .uri_path()
        .filter(|segment| !segment.is_empty());
    let last = match (segments.next(), segments.next()) {
        (Some(b"rd"), Some(id)) => id,
        (Some(id), None) => id,
        _ => return Route::Here,
    };
    virtual_shard(last).map_or(Route::Here, Route::VirtualShard)
}

/// The virtual shard of a registration id: bits 111 to 104 of its 128, in Crockford's base 32.
fn virtual_shard(id: &[u8]) -> Option<u8> {
    if id.len() != REGISTRATION_ID_LENGTH {
        return None;
    }
    // The first character holds the three highest bits, every other one five.
    let (high, middle, low) = (digit(id[3])?, digit(id[4])?, digit(id[5])?);
    Some((high & 0b11) << 6 | middle << 1 | low >> 4)
}

fn digit(character: u8) -> Option<u8> {
    const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let upper = match character.to_ascii_uppercase() {
        b'O' => b'0',
        b'I' | b'L' => b'1',
        other => other,
    };
    ALPHABET
        .iter()
        .position(|one| *one == upper)
        .map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn datagram(first: u8, code: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = alloc::vec![first, code, 0xa1, 0x02];
        bytes.extend_from_slice(rest);
        bytes
    }

    #[test]
    fn empty_messages_go_by_the_message_id_they_answer() {
        assert_eq!(route(&datagram(0x60, 0, &[])), Route::MessageId(0xa102));
        assert_eq!(route(&datagram(0x70, 0, &[])), Route::MessageId(0xa102));
        assert_eq!(
            route(&datagram(0x40, 0, &[])),
            Route::Here,
            "a ping is anybody's"
        );
    }

    #[test]
    fn responses_go_by_their_token() {
        let token = [7, 1, 2, 3, 4, 5, 6, 9];
        assert_eq!(route(&datagram(0x68, 0x45, &token)), Route::Token(7));
        assert_eq!(route(&datagram(0x62, 0x45, &token[..2])), Route::Here);
    }

    #[test]
    fn rfc9146_4_records_go_by_their_connection_id() {
        let mut record = alloc::vec![25, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9];
        record.extend_from_slice(&[0, 0, 0xa5, 1, 2, 3, 4, 5, 0, 20]);
        assert_eq!(route(&record), Route::VirtualShard(0xa5));
        assert_eq!(route(&record[..15]), Route::Here);
        record[0] = 23;
        assert_eq!(route(&record), Route::Here);
    }

    #[test]
    fn updates_go_by_the_registration_they_write_to() {
        let at = |id: &[u8]| {
            let mut rest = alloc::vec![0xb2, b'r', b'd', 0x0d, (id.len() - 13) as u8];
            rest.extend_from_slice(id);
            route(&datagram(0x40, 2, &rest))
        };
        // Node 0, virtual shard 0xa5: bits 111 to 104 are 1010_0101.
        assert_eq!(at(b"0002JG00000000000000000000"), Route::VirtualShard(0xa5));
        assert_eq!(at(b"0002jgooooooooooooooooiill"), Route::VirtualShard(0xa5));
        assert_eq!(at(b"0002JU00000000000000000000"), Route::Here);
        assert_eq!(at(b"somewhere_else"), Route::Here);
        assert_eq!(route(&datagram(0x40, 2, &[0xb2, b'r', b'd'])), Route::Here);
        assert_eq!(route(b"\x16\xfe\xfd"), Route::Here);
    }
}
