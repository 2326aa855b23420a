//! What both roles of a handshake share: the transcript, both flights, and the way from a
//! premaster secret to keys.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::Context;
use super::failure::Failure;
use crate::Role;
use crate::address::Address;
use crate::association::Association;
use crate::crypto::protect::{Scheme, key_block};
use crate::crypto::suite::KeyExchange;
use crate::crypto::{HASH_LENGTH, prf};
use crate::flight::{Flight, Item, Packing};
use crate::identity::PeerIdentity;
use crate::message::{VERIFY_DATA_LENGTH, encode_whole, kind};
use crate::reassembly::{Message, Reassembly};
use crate::record::PLAINTEXT_MAX;
use crate::record::cid::{ConnectionId, PeerCid};
use crate::record::window::ReplayWindow;
use crate::resumption::Resumable;

/// Bodies kept of a peer that may send certificates: a chain of four with RSA keys.
const REASSEMBLY_CERTIFICATES_MAX: usize = 16 * 1024;
/// Bodies kept of a peer with a PSK: an identity, and some room.
const REASSEMBLY_PSK_MAX: usize = 4 * 1024;

/// See the module.
pub(crate) struct Exchange {
    pub(crate) role: Role,
    pub(crate) address: Address,
    transcript: Sha256,
    pub(crate) reassembly: Reassembly,
    pub(crate) flight: Flight,
    /// The number of our next message.
    pub(crate) next_message: u16,
    pub(crate) client_random: [u8; 32],
    pub(crate) server_random: [u8; 32],
    pub(crate) scheme: Option<Scheme>,
    pub(crate) extended_master_secret: bool,
    pub(crate) master_secret: Zeroizing<[u8; 48]>,
    pub(crate) own_cid: Option<ConnectionId>,
    pub(crate) peer_cid: PeerCid,
    pub(crate) plaintext_max: usize,
    /// Claimed until the Finished, proved from then on.
    pub(crate) identity: Option<Arc<PeerIdentity>>,
    pub(crate) server_name: Option<Box<str>>,
    /// The session to be, as soon as there are keys.
    pub(crate) keys: Option<Box<Association>>,
}

impl Exchange {
    /// Our records of epoch 0 count from `next_sequence`.
    pub(crate) fn new(
        role: Role,
        address: Address,
        next_sequence: u64,
        retransmit_first: Duration,
    ) -> Exchange {
        Exchange {
            role,
            address,
            transcript: Sha256::new(),
            reassembly: Reassembly::new(0, REASSEMBLY_PSK_MAX),
            flight: Flight::new(next_sequence, retransmit_first),
            next_message: 0,
            client_random: [0; 32],
            server_random: [0; 32],
            scheme: None,
            extended_master_secret: false,
            master_secret: Zeroizing::new([0; 48]),
            own_cid: None,
            peer_cid: PeerCid::default(),
            plaintext_max: PLAINTEXT_MAX,
            identity: None,
            server_name: None,
            keys: None,
        }
    }

    /// Waits for the message with this number next, with as much room as the peer's may need.
    pub(crate) fn await_from(&mut self, number: u16, key_exchange: KeyExchange) {
        let bytes_max = match key_exchange {
            KeyExchange::Psk => REASSEMBLY_PSK_MAX,
            KeyExchange::EcdheEcdsa => REASSEMBLY_CERTIFICATES_MAX,
        };
        self.reassembly = Reassembly::new(number, bytes_max);
    }

    /// Forgets all messages: a second ClientHello begins anew (RFC 6347 §4.2.1).
    pub(crate) fn restart_transcript(&mut self) {
        self.transcript = Sha256::new();
    }

    pub(crate) fn scheme(&self) -> Scheme {
        self.scheme
            .expect("the suite is agreed on in the first flight")
    }

    pub(crate) fn hash_received(&mut self, message: &Message) {
        self.transcript.update(message.hashed());
    }

    pub(crate) fn hash_bytes(&mut self, bytes: &[u8]) {
        self.transcript.update(bytes);
    }

    /// The hash of all messages so far.
    pub(crate) fn transcript_hash(&self) -> [u8; HASH_LENGTH] {
        self.transcript.clone().finalize().into()
    }

    /// Adds a message of ours to flight and transcript.
    pub(crate) fn push(&mut self, kind: u8, body: Vec<u8>) {
        let number = self.next_message;
        self.next_message += 1;
        self.transcript.update(encode_whole(kind, number, &body));
        self.flight.push(Item::Message { kind, number, body });
    }

    /// Adds our ChangeCipherSpec and Finished.
    pub(crate) fn push_finished(&mut self) {
        let body = self.verify_data(self.role).to_vec();
        let number = self.next_message;
        self.next_message += 1;
        self.transcript
            .update(encode_whole(kind::FINISHED, number, &body));
        self.flight.push(Item::ChangeCipherSpec);
        self.flight.push(Item::Finished { number, body });
    }

    /// The other side's role.
    pub(crate) fn peer_role(&self) -> Role {
        match self.role {
            Role::Client => Role::Server,
            Role::Server => Role::Client,
        }
    }

    /// Checks the peer's Finished and adds it to the transcript.
    pub(crate) fn check_finished(&mut self, message: &Message) -> Result<(), Failure> {
        let expected = self.verify_data(self.peer_role());
        if !bool::from(expected[..].ct_eq(&message.body)) {
            return Err(Failure::WrongFinished);
        }
        self.hash_received(message);
        Ok(())
    }

    /// Sends the flight and starts its timer.
    pub(crate) fn send_flight(&mut self, context: &mut Context<'_>) {
        let packing = self.packing(context);
        self.flight.send(
            context.now,
            packing,
            self.keys.as_deref_mut(),
            context.datagrams,
        );
    }

    pub(crate) fn packing(&self, context: &Context<'_>) -> Packing {
        let datagram_max = context.settings.datagram_max;
        Packing {
            datagram_max,
            plaintext_max: self.plaintext_max,
        }
    }

    /// RFC 5246 §8.1, or RFC 7627 §4 once the ClientKeyExchange is in the transcript.
    pub(crate) fn derive_master_secret(&mut self, premaster: &[u8]) {
        if self.extended_master_secret {
            let hash = self.transcript_hash();
            let out = &mut self.master_secret[..];
            prf(premaster, b"extended master secret", &[&hash], out);
        } else {
            let seed: [&[u8]; 2] = [&self.client_random, &self.server_random];
            prf(
                premaster,
                b"master secret",
                &seed,
                &mut self.master_secret[..],
            );
        }
    }

    /// The keys of both directions, and with them the session to be. The peer's claimed identity
    /// has to be there.
    pub(crate) fn derive_keys(&mut self) {
        let scheme = self.scheme();
        let keys = key_block(
            scheme.suite,
            &self.master_secret[..],
            &self.client_random,
            &self.server_random,
        );
        let (send_keys, receive_keys) = match self.role {
            Role::Client => (keys.client_write, keys.server_write),
            Role::Server => (keys.server_write, keys.client_write),
        };
        self.keys = Some(Box::new(Association {
            address: self.address,
            role: self.role,
            scheme,
            send_keys,
            receive_keys,
            send_next: 0,
            send_reserved: u64::MAX,
            window: ReplayWindow::default(),
            own_cid: self.own_cid,
            peer_cid: self.peer_cid,
            plaintext_max: self.plaintext_max as u16,
            fresh: true,
            last_heard_s: 0,
            identity: self
                .identity
                .clone()
                .expect("claimed before keys are derived"),
            server_name: self.server_name.clone(),
            final_flight: None,
        }));
    }

    /// What has to be kept to resume this session.
    pub(crate) fn resumable(&self, context: &Context<'_>) -> Resumable {
        Resumable {
            suite: self.scheme().suite,
            extended_master_secret: self.extended_master_secret,
            master_secret: self.master_secret.clone(),
            identity: self
                .identity
                .clone()
                .expect("claimed before keys are derived"),
            server_name: self.server_name.clone(),
            made: context.now,
        }
    }

    /// Takes the secrets of a session that is resumed.
    pub(crate) fn resume(&mut self, kept: &Resumable) {
        self.extended_master_secret = kept.extended_master_secret;
        self.master_secret = kept.master_secret.clone();
        self.identity = Some(kept.identity.clone());
    }

    /// The peer takes no more plaintext than this in one record.
    pub(crate) fn limit_plaintext(&mut self, max: usize) {
        self.plaintext_max = self.plaintext_max.min(max);
    }

    pub(super) fn verify_data(&self, of: Role) -> [u8; VERIFY_DATA_LENGTH] {
        let label: &[u8] = match of {
            Role::Client => b"client finished",
            Role::Server => b"server finished",
        };
        let mut out = [0; VERIFY_DATA_LENGTH];
        prf(
            &self.master_secret[..],
            label,
            &[&self.transcript_hash()],
            &mut out,
        );
        out
    }
}

/// The premaster secret of a PSK (RFC 4279 §2).
pub(crate) fn psk_premaster(key: &[u8]) -> Zeroizing<Vec<u8>> {
    let length = (key.len() as u16).to_be_bytes();
    let mut premaster = Zeroizing::new(Vec::with_capacity(4 + 2 * key.len()));
    premaster.extend_from_slice(&length);
    premaster.resize(2 + key.len(), 0);
    premaster.extend_from_slice(&length);
    premaster.extend_from_slice(key);
    premaster
}

/// The hash that a server's ephemeral key is signed over (RFC 8422 §5.4).
pub(crate) fn signed_parameters(
    client_random: &[u8; 32],
    server_random: &[u8; 32],
    parameters: &[u8],
) -> [u8; HASH_LENGTH] {
    let mut hash = Sha256::new();
    hash.update(client_random);
    hash.update(server_random);
    hash.update(parameters);
    hash.finalize().into()
}
