//! One established session: keys, numbers, Connection IDs, who the peer is. Plain data of some
//! three hundred bytes, because a Server holds a million of them.
//!
//! A record in: window, decryption, window again (only what is authentic moves it). A record out:
//! the next number, which is never used twice: `seal` is the one place that takes numbers, and it
//! stops at what has been reserved.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::Role;
use crate::address::Address;
use crate::crypto::protect::{Covered, DirectionKeys, EXPANSION_MAX, Scheme};
use crate::flight::FinalFlight;
use crate::identity::PeerIdentity;
use crate::record::cid::{ConnectionId, PeerCid};
use crate::record::window::ReplayWindow;
use crate::record::{self, PLAINTEXT_MAX, Record, SEQUENCE_MAX, VERSION_1_2, content_type};
use crate::stats::Counter;

/// The only epoch under protection: there is no renegotiation.
pub(crate) const EPOCH: u16 = 1;

/// All send numbers of the epoch are used; the session has to be made anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Exhausted;

/// An authentic record.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Opened {
    pub(crate) content_type: u8,
    pub(crate) plaintext: Vec<u8>,
    /// Newer than all before it.
    pub(crate) newest: bool,
}

/// See the module.
pub(crate) struct Association {
    pub(crate) address: Address,
    pub(crate) role: Role,
    pub(crate) scheme: Scheme,
    pub(crate) send_keys: DirectionKeys,
    pub(crate) receive_keys: DirectionKeys,
    pub(crate) send_next: u64,
    /// Numbers below this may be used; moved ahead by `Output::Reserve`. All of them for a
    /// session that was never exported.
    pub(crate) send_reserved: u64,
    pub(crate) window: ReplayWindow,
    pub(crate) own_cid: Option<ConnectionId>,
    pub(crate) peer_cid: PeerCid,
    /// The most plaintext the peer takes in one record.
    pub(crate) plaintext_max: u16,
    /// False from import until a round trip proves that the peer is there now.
    pub(crate) fresh: bool,
    /// Seconds of the machine's clock when an authentic record came last.
    pub(crate) last_heard_s: u32,
    pub(crate) identity: Arc<PeerIdentity>,
    pub(crate) server_name: Option<Box<str>>,
    /// Ours, if it was the last of the handshake: the peer may not have it yet.
    pub(crate) final_flight: Option<Box<FinalFlight>>,
}

impl Association {
    /// Appends one protected record to the datagram.
    pub(crate) fn seal(
        &mut self,
        content_type: u8,
        content: &[u8],
        datagram: &mut Vec<u8>,
    ) -> Result<(), Exhausted> {
        if self.send_next > SEQUENCE_MAX || self.send_next >= self.send_reserved {
            return Err(Exhausted);
        }
        let number = record::number(EPOCH, self.send_next);
        self.send_next += 1;
        let cid = self.peer_cid.as_slice();
        let (outer, inner) = if cid.is_empty() {
            (content_type, None)
        } else {
            (content_type::TLS12_CID, Some(content_type))
        };
        datagram.reserve(record::HEADER_LENGTH + cid.len() + content.len() + EXPANSION_MAX);
        let at = record::begin(datagram, outer, VERSION_1_2, number, cid);
        let covered = Covered {
            content_type: outer,
            version: VERSION_1_2,
            number,
            cid,
        };
        self.send_keys
            .seal(self.scheme, &covered, content, inner, datagram);
        record::end(datagram, at);
        Ok(())
    }

    /// Opens a record of our epoch, or says why it is dropped. Only an authentic record changes
    /// anything.
    pub(crate) fn open(&mut self, record: &Record<'_>) -> Result<Opened, Counter> {
        if record.epoch() != EPOCH || record.version != VERSION_1_2 {
            return Err(Counter::WrongEpoch);
        }
        if record.cid != self.own_cid {
            return Err(Counter::WrongCidUse);
        }
        let sequence = record.sequence();
        if !self.window.may_be_new(sequence) {
            return Err(Counter::Replayed);
        }
        let cid = record.cid.as_ref().map_or(&[][..], |cid| &cid.0);
        let covered = Covered {
            content_type: record.content_type,
            version: record.version,
            number: record.number,
            cid,
        };
        let mut plaintext = self
            .receive_keys
            .open(self.scheme, &covered, record.fragment)
            .ok_or(Counter::NotAuthentic)?;
        let newest = self.window.mark(sequence);
        let content_type = if record.cid.is_some() {
            inner_content_type(&mut plaintext).ok_or(Counter::UnknownContent)?
        } else {
            record.content_type
        };
        if plaintext.len() > PLAINTEXT_MAX {
            return Err(Counter::RecordTooLong);
        }
        Ok(Opened {
            content_type,
            plaintext,
            newest,
        })
    }
}

/// Takes the padding and the true content type off the end (RFC 9146 §4).
fn inner_content_type(plaintext: &mut Vec<u8>) -> Option<u8> {
    loop {
        match plaintext.pop()? {
            0 => {}
            content_type => return Some(content_type),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::crypto::protect::key_block;
    use crate::crypto::suite::CipherSuite;

    /// Two ends of one session, the first the client's; `cid` is what the server wants.
    pub(crate) fn pair(
        suite: CipherSuite,
        cid: Option<ConnectionId>,
    ) -> (Association, Association) {
        let end = |role: Role| {
            let keys = key_block(suite, &[7; 48], &[1; 32], &[2; 32]);
            let (send_keys, receive_keys) = match role {
                Role::Client => (keys.client_write, keys.server_write),
                Role::Server => (keys.server_write, keys.client_write),
            };
            let peer_cid = cid.filter(|_| role == Role::Client).map(|cid| cid.0);
            Association {
                address: Address::other([role as u8; 16], 7),
                role,
                scheme: Scheme {
                    suite,
                    encrypt_then_mac: false,
                },
                send_keys,
                receive_keys,
                send_next: 0,
                send_reserved: u64::MAX,
                window: ReplayWindow::default(),
                own_cid: cid.filter(|_| role == Role::Server),
                peer_cid: PeerCid::new(peer_cid.as_ref().map_or(&[], |cid| &cid[..])).unwrap(),
                plaintext_max: 16384,
                fresh: true,
                last_heard_s: 0,
                identity: Arc::new(PeerIdentity::Psk(b"device".to_vec())),
                server_name: None,
                final_flight: None,
            }
        };
        (end(Role::Client), end(Role::Server))
    }

    const CID: ConnectionId = ConnectionId(*b"\x01\x02\x03----\x04");

    #[test]
    fn both_ends_understand_each_other_with_and_without_cid() {
        for suite in CipherSuite::ALL {
            for cid in [None, Some(CID)] {
                let (mut client, mut server) = pair(suite, cid);
                let mut datagram = Vec::new();
                client
                    .seal(content_type::APPLICATION_DATA, b"up", &mut datagram)
                    .unwrap();
                let (record, rest) = Record::decode(&datagram).unwrap();
                assert!(rest.is_empty());
                assert_eq!(record.cid, cid);
                let opened = server.open(&record).unwrap();
                assert_eq!(
                    (opened.content_type, &opened.plaintext[..]),
                    (23, &b"up"[..])
                );
                assert_eq!(server.open(&record), Err(Counter::Replayed));
                datagram.clear();
                server
                    .seal(content_type::ALERT, b"\x01\x00", &mut datagram)
                    .unwrap();
                let (record, _) = Record::decode(&datagram).unwrap();
                assert_eq!(client.open(&record).unwrap().content_type, 21);
            }
        }
    }

    #[test]
    fn rfc9146_3_plain_records_are_refused_once_a_cid_was_agreed_on() {
        let (mut with, _) = pair(CipherSuite::PskAes128Ccm8, Some(CID));
        with.peer_cid = PeerCid::default();
        let (_, mut server) = pair(CipherSuite::PskAes128Ccm8, Some(CID));
        let mut datagram = Vec::new();
        with.seal(23, b"x", &mut datagram).unwrap();
        let (record, _) = Record::decode(&datagram).unwrap();
        assert_eq!(server.open(&record), Err(Counter::WrongCidUse));
    }

    #[test]
    fn a_forged_record_does_not_move_the_window() {
        let (mut client, mut server) = pair(CipherSuite::PskAes128Ccm8, None);
        let mut datagram = Vec::new();
        client.seal(23, b"x", &mut datagram).unwrap();
        let (record, _) = Record::decode(&datagram).unwrap();
        let mut forged = record;
        forged.number = record::number(EPOCH, 1 << 40);
        assert_eq!(server.open(&forged), Err(Counter::NotAuthentic));
        assert!(server.open(&record).unwrap().newest);
    }

    #[test]
    fn no_number_is_used_beyond_the_reserved_ones() {
        let (mut client, _) = pair(CipherSuite::PskAes128Ccm8, None);
        client.send_reserved = 2;
        let mut datagram = Vec::new();
        assert!(client.seal(23, b"a", &mut datagram).is_ok());
        assert!(client.seal(23, b"b", &mut datagram).is_ok());
        assert_eq!(client.seal(23, b"c", &mut datagram), Err(Exhausted));
        client.send_reserved = u64::MAX;
        client.send_next = SEQUENCE_MAX + 1;
        assert_eq!(client.seal(23, b"c", &mut datagram), Err(Exhausted));
    }

    #[test]
    fn padding_inside_a_cid_record_is_taken_off() {
        assert_eq!(inner_content_type(&mut b"ab\x17\0\0".to_vec()), Some(23));
        assert_eq!(inner_content_type(&mut b"\0\0".to_vec()), None);
    }

    #[test]
    fn a_session_is_slim() {
        // The aim is some 400 bytes a session with all indices; this is the part we control.
        assert!(
            size_of::<Association>() <= 320,
            "{}",
            size_of::<Association>()
        );
    }
}
