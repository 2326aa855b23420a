//! Connection IDs (RFC 9146): ours of one length, so that a record can be read without knowing
//! whose it is; the peer's of any length up to a limit.

use core::fmt;

use rand_core::Rng;

use super::content_type;
use crate::Random;

/// All Connection IDs that we give out have this many bytes.
pub const OWN_CID_LENGTH: usize = 8;
/// A prefix longer than this would leave too little chance in a Connection ID.
pub const CID_PREFIX_LENGTH_MAX: usize = 4;
/// A peer that wants longer ones gets none. Everybody known uses 8 or less; DTLS over QUIC-like
/// proxies uses up to 20.
pub(crate) const PEER_CID_LENGTH_MAX: usize = 20;

/// A Connection ID that we gave out: the configured prefix (node, virtual shard), then chance.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub [u8; OWN_CID_LENGTH]);

impl ConnectionId {
    /// The Connection ID that a datagram is addressed to, read from its first record without any
    /// key; nothing if it carries none. What it says is not authenticated: use it to steer.
    pub fn of_datagram(datagram: &[u8]) -> Option<ConnectionId> {
        if *datagram.first()? != content_type::TLS12_CID {
            return None;
        }
        let cid = datagram.get(11..11 + OWN_CID_LENGTH)?;
        Some(ConnectionId(cid.try_into().ok()?))
    }

    /// Draws one that begins with the prefix.
    pub(crate) fn draw(prefix: &[u8], random: &mut Random) -> ConnectionId {
        let mut bytes = [0; OWN_CID_LENGTH];
        random.fill_bytes(&mut bytes);
        let length = prefix.len().min(CID_PREFIX_LENGTH_MAX);
        bytes[..length].copy_from_slice(&prefix[..length]);
        ConnectionId(bytes)
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The Connection ID that the peer wants on its records; empty means none.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PeerCid {
    length: u8,
    bytes: [u8; PEER_CID_LENGTH_MAX],
}

impl PeerCid {
    /// Nothing if it is longer than we keep.
    pub(crate) fn new(cid: &[u8]) -> Option<PeerCid> {
        let mut bytes = [0; PEER_CID_LENGTH_MAX];
        bytes.get_mut(..cid.len())?.copy_from_slice(cid);
        Some(PeerCid {
            length: cid.len() as u8,
            bytes,
        })
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;

    #[test]
    fn own_cids_begin_with_the_prefix_and_differ() {
        let mut random = Random::from_seed([1; 32]);
        let one = ConnectionId::draw(&[0xab, 0xcd, 0x07], &mut random);
        let two = ConnectionId::draw(&[0xab, 0xcd, 0x07], &mut random);
        assert_eq!(one.0[..3], [0xab, 0xcd, 0x07]);
        assert_ne!(one, two);
    }

    #[test]
    fn a_cid_is_read_from_the_first_record_of_a_datagram() {
        let mut datagram = [0; 30];
        datagram[0] = 25;
        datagram[11..19].copy_from_slice(b"abcdefgh");
        assert_eq!(
            ConnectionId::of_datagram(&datagram),
            Some(ConnectionId(*b"abcdefgh"))
        );
        assert_eq!(ConnectionId::of_datagram(&datagram[..18]), None);
        datagram[0] = 23;
        assert_eq!(ConnectionId::of_datagram(&datagram), None);
    }

    #[test]
    fn a_peer_cid_has_a_limit() {
        assert_eq!(PeerCid::new(&[9; 20]).unwrap().as_slice(), [9; 20]);
        assert!(PeerCid::new(&[9; 21]).is_none());
    }
}
