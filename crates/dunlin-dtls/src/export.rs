//! Live sessions as bytes, to outlive a restart. Versioned; everything that is needed to go on,
//! and no more.
//!
//! The send number in the bytes is the first that was *not reserved* when they were made, so a
//! session brought back can never use a number again, however stale the bytes. What was received
//! since is unknown; so the window opens above what is stored, and the session is not `fresh`
//! until a round trip.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::Role;
use crate::address::Address;
use crate::association::Association;
use crate::crypto::Secret;
use crate::crypto::protect::{DirectionKeys, Scheme};
use crate::crypto::suite::CipherSuite;
use crate::identity::PeerIdentity;
use crate::message::codec::{Malformed, Reader, put_u16, put_vector8, put_vector16};
use crate::record::cid::{ConnectionId, PeerCid};
use crate::record::window::ReplayWindow;
use crate::record::{PLAINTEXT_MAX, SEQUENCE_MAX};

/// The only version so far.
const VERSION: u8 = 1;

const FLAG_SERVER: u8 = 1;
const FLAG_ENCRYPT_THEN_MAC: u8 = 2;
const FLAG_OWN_CID: u8 = 4;
const FLAG_RECEIVED: u8 = 8;
const FLAGS: u8 = 15;

/// Why bytes could not be made a session again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// Not what `export` made, or of a later version.
    #[error("not an exported session")]
    Malformed,
    /// A live session has its Connection ID.
    #[error("a live session has the same connection id")]
    Alive,
    /// As many sessions as there may be.
    #[error("too many sessions")]
    Full,
}

/// The bytes of a session that will go on at its reserved number.
pub(crate) fn encode(association: &Association) -> Secret {
    let mut out = Vec::with_capacity(256);
    let newest = association.window.newest();
    let mut flags = 0;
    let mut set = |flag, condition: bool| flags |= if condition { flag } else { 0 };
    set(FLAG_SERVER, association.role == Role::Server);
    set(FLAG_ENCRYPT_THEN_MAC, association.scheme.encrypt_then_mac);
    set(FLAG_OWN_CID, association.own_cid.is_some());
    set(FLAG_RECEIVED, newest.is_some());
    out.push(VERSION);
    out.push(flags);
    put_u16(&mut out, association.scheme.suite.code());
    for keys in [&association.send_keys, &association.receive_keys] {
        out.extend_from_slice(&keys.key);
        out.extend_from_slice(&keys.implicit_nonce);
        out.extend_from_slice(keys.mac_key.as_ref().map_or(&[], |key| &key[..]));
    }
    out.extend_from_slice(&association.send_reserved.to_be_bytes());
    out.extend_from_slice(&newest.unwrap_or_default().to_be_bytes());
    out.extend_from_slice(association.own_cid.as_ref().map_or(&[], |cid| &cid.0));
    put_vector8(&mut out, association.peer_cid.as_slice());
    put_u16(&mut out, association.plaintext_max);
    out.extend_from_slice(&association.address.to_bytes());
    put_vector8(
        &mut out,
        association
            .server_name
            .as_deref()
            .unwrap_or_default()
            .as_bytes(),
    );
    out.push(association.identity.code());
    put_vector16(&mut out, association.identity.as_bytes());
    Secret::new(out)
}

/// The session, not `fresh`, with numbers reserved up to where the bytes (or a later
/// reservation) say and thus none left to send with: the caller reserves more first.
pub(crate) fn decode(bytes: &[u8], reserved: u64) -> Result<Association, Malformed> {
    let mut reader = Reader::new(bytes);
    if reader.u8()? != VERSION {
        return Err(reader.malformed("another version"));
    }
    let flags = reader.u8()?;
    if flags & !FLAGS != 0 {
        return Err(reader.malformed("unknown flags"));
    }
    let suite =
        CipherSuite::from_code(reader.u16()?).ok_or(reader.malformed("an unknown suite"))?;
    let send_keys = decode_keys(&mut reader, suite)?;
    let receive_keys = decode_keys(&mut reader, suite)?;
    let send_next = reader.u64()?.max(reserved);
    if send_next > SEQUENCE_MAX {
        return Err(reader.malformed("no send number left"));
    }
    let newest = reader.u64()?;
    let own_cid = match flags & FLAG_OWN_CID {
        0 => None,
        _ => Some(ConnectionId(reader.array()?)),
    };
    let peer_cid =
        PeerCid::new(reader.vector8()?).ok_or(reader.malformed("a connection id too long"))?;
    let plaintext_max = reader.u16()?;
    if plaintext_max == 0 || usize::from(plaintext_max) > PLAINTEXT_MAX {
        return Err(reader.malformed("an impossible limit"));
    }
    let address = Address::from_bytes(reader.array()?);
    let server_name = core::str::from_utf8(reader.vector8()?)
        .map_err(|_| reader.malformed("a name that is no text"))?;
    let server_name: Option<Box<str>> = (!server_name.is_empty()).then(|| server_name.into());
    let code = reader.u8()?;
    let identity = PeerIdentity::from_code(code, reader.vector16()?.to_vec())
        .ok_or(reader.malformed("an unknown kind of identity"))?;
    reader.finish()?;
    Ok(Association {
        address,
        role: if flags & FLAG_SERVER != 0 {
            Role::Server
        } else {
            Role::Client
        },
        scheme: Scheme {
            suite,
            encrypt_then_mac: flags & FLAG_ENCRYPT_THEN_MAC != 0,
        },
        send_keys,
        receive_keys,
        send_next,
        send_reserved: send_next,
        window: ReplayWindow::after((flags & FLAG_RECEIVED != 0).then_some(newest)),
        own_cid,
        peer_cid,
        plaintext_max,
        fresh: false,
        last_heard_s: 0,
        identity: Arc::new(identity),
        server_name,
        final_flight: None,
    })
}

fn decode_keys(reader: &mut Reader<'_>, suite: CipherSuite) -> Result<DirectionKeys, Malformed> {
    Ok(DirectionKeys {
        key: reader.array()?,
        implicit_nonce: reader.array()?,
        mac_key: if suite.is_cbc() {
            Some(Box::new(reader.array()?))
        } else {
            None
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::association::tests::pair;
    use crate::record::Record;
    use proptest::prelude::*;

    fn sealed(association: &mut Association) -> Vec<u8> {
        let mut datagram = Vec::new();
        association.seal(23, b"x", &mut datagram).unwrap();
        datagram
    }

    #[test]
    fn a_session_goes_on_after_its_reserved_number() {
        for suite in CipherSuite::ALL {
            for cid in [None, Some(ConnectionId(*b"12345678"))] {
                let (mut client, mut server) = pair(suite, cid);
                client.send_reserved = 50;
                let before = sealed(&mut client);
                let mut back = decode(encode(&client).expose(), 0).unwrap();
                assert_eq!(back.send_next, 50);
                assert!(!back.fresh);
                back.send_reserved = 100;
                let after = sealed(&mut back);
                for datagram in [&before, &after] {
                    let (record, _) = Record::decode(datagram).unwrap();
                    assert_eq!(server.open(&record).unwrap().plaintext, b"x");
                }
            }
        }
    }

    #[test]
    fn a_later_reservation_counts() {
        let (mut client, _) = pair(CipherSuite::PskAes128Ccm8, None);
        client.send_reserved = 50;
        let bytes = encode(&client);
        assert_eq!(decode(bytes.expose(), 1074).unwrap().send_next, 1074);
        assert!(
            decode(bytes.expose(), 0)
                .unwrap()
                .seal(23, b"x", &mut Vec::new())
                .is_err()
        );
    }

    #[test]
    fn decisions_3_nothing_that_was_stored_as_received_is_taken_again() {
        let (mut client, mut server) = pair(CipherSuite::PskAes128Ccm8, None);
        let old: Vec<Vec<u8>> = (0..5).map(|_| sealed(&mut client)).collect();
        let (record, _) = Record::decode(&old[3]).unwrap();
        server.open(&record).unwrap();
        server.send_reserved = 50;
        let mut back = decode(encode(&server).expose(), 0).unwrap();
        for datagram in &old[..4] {
            let (record, _) = Record::decode(datagram).unwrap();
            assert!(back.open(&record).is_err());
        }
        let (record, _) = Record::decode(&old[4]).unwrap();
        assert!(back.open(&record).is_ok());
    }

    #[test]
    fn cut_or_foreign_bytes_are_refused() {
        let (client, _) = pair(CipherSuite::EcdheEcdsaAes128Cbc, Some(ConnectionId([1; 8])));
        let bytes = encode(&client);
        for length in 0..bytes.expose().len() {
            assert!(decode(&bytes.expose()[..length], 0).is_err());
        }
        let mut later = bytes.expose().to_vec();
        later[0] = 2;
        assert!(decode(&later, 0).is_err());
    }

    proptest! {
        #[test]
        fn decode_never_panics(mut bytes: Vec<u8>, reserved: u64) {
            bytes.splice(0..0, [VERSION, 5, 0xc0, 0xa8]);
            let _ = decode(&bytes, reserved);
        }
    }
}
