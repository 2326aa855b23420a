//! Sessions and what they prove: questions of handshakes, sessions that go into the store and come
//! back out of it, Clients that move without a word, and those that knock in vain; TS 1.0 §7.1.
//!
//! The session of a registration is stored in the commit of the Register, and again where its
//! Client moves. A number of a record is used only when a commit has reserved it: so no restart, and
//! no crash at any moment, uses one twice under a key.

use dunlin_lwm2m::EndpointName;
use dunlin_lwm2m::operation::ResponseCode;
use dunlin_transport::dtls::{Failure, Question};
use dunlin_transport::{
    Address, Identity, Now, PeerId, Port, SecurityAnswer, SecurityNeed, SecurityNeedId, WallTime,
};

use super::Server;
use crate::change::{Change, Session};
use crate::effects::Output;
use crate::event::{Changed, LiveEvent};
use crate::need::{Need, NeedId};
use crate::presence::UNANSWERED_MAX;
use crate::registration::ClientKey;

/// Questions of handshakes that the node has not answered: as many as there are handshakes at once.
const SECURITY_NEEDS_MAX: usize = 10_000;

/// Handshakes that failed are told at most so often: whoever floods us with them fills nothing.
const KNOCKS_PER_SECOND_MAX: u32 = 16;

/// A question of a handshake, and who asks.
#[derive(Debug)]
pub(super) struct Asked {
    id: SecurityNeedId,
    address: Address,
    port: Port,
    /// The PSK identity that is claimed.
    claimed: Option<Identity>,
}

/// How many knocks were told in this second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KnockBudget {
    second: u64,
    told: u32,
}

impl KnockBudget {
    fn take(&mut self, at: WallTime) -> bool {
        let second = at.0 / 1_000;
        if second != self.second {
            *self = Self { second, told: 0 };
        }
        self.told += 1;
        self.told <= KNOCKS_PER_SECOND_MAX
    }
}

impl Server {
    // Handshakes.

    pub(super) fn on_security_need(&mut self, asked: SecurityNeedId, need: Box<SecurityNeed>) {
        self.change_cid_prefix();
        let claimed = match &need.question {
            Question::PskFor { identity, .. } => {
                Some(Identity::PreSharedKey(identity.as_slice().into()))
            }
            _ => None,
        };
        let asked = Asked {
            id: asked,
            address: need.address.clone(),
            port: need.port,
            claimed,
        };
        self.last_need += 1;
        let id = NeedId(self.last_need);
        if self.security_needs.len() >= SECURITY_NEEDS_MAX {
            // Its handshake has run out of time long ago.
            self.security_needs.pop_first();
        }
        self.security_needs.insert(id, asked);
        let need = Need::Security(need);
        self.effects.live(Output::Need { id, need });
    }

    /// The next session belongs to one of our virtual shards by its Connection ID, to another one
    /// each time, so that a change of their number spreads them evenly. The ID is in ServerHello,
    /// before anything is asked: so it is set beforehand.
    pub(super) fn change_cid_prefix(&mut self) {
        let shard = self.config.owned.choose(&mut self.random);
        let [high, low] = self.config.node.to_be_bytes();
        self.transport.set_cid_prefix(&[high, low, shard.0]);
    }

    pub(super) fn on_security_answer(&mut self, now: Now, need: NeedId, answer: SecurityAnswer) {
        let Some(asked) = self.security_needs.remove(&need) else {
            return;
        };
        let unknown = answer == SecurityAnswer::Psk(None);
        self.transport.handle_answer(now, asked.id, answer);
        if unknown {
            // The handshake goes on with a random key and ends in a minute; who waits for a reason
            // has it now.
            let claimed = asked.claimed.as_ref();
            self.knock(
                now,
                asked.address,
                asked.port,
                claimed,
                Failure::UnknownIdentity,
            );
        }
    }

    /// Somebody tried to open a session and failed.
    pub(super) fn on_handshake_failed(
        &mut self,
        now: Now,
        address: Address,
        port: Port,
        claimed: Option<&Identity>,
        failure: Failure,
    ) {
        self.stats.handshakes_failed += 1;
        // Who was silent before it said anything is noise, and an unknown identity has been told.
        let is_noise = claimed.is_none() && failure == Failure::Timeout;
        if !is_noise && failure != Failure::UnknownIdentity {
            self.knock(now, address, port, claimed, failure);
        }
    }

    fn knock(
        &mut self,
        now: Now,
        address: Address,
        port: Port,
        claimed: Option<&Identity>,
        failure: Failure,
    ) {
        if !self.knocks.take(now.wall) {
            return;
        }
        let who = claimed.map(shown).unwrap_or_default();
        self.effects.live(Output::Event(LiveEvent::Refused {
            endpoint: claimed.and_then(name_of),
            at: now.wall,
            address,
            identity: claimed.cloned().unwrap_or(Identity::None),
            code: ResponseCode::Unauthorized,
            reason: format!(
                "the DTLS handshake at {} failed{who}: {failure}",
                port.name()
            ),
        }));
    }

    // Sessions over a restart.

    /// Puts the session of a Client's peer into the commit in the making, for a restart. Nothing
    /// for a peer in the clear, and for one whose session is kept under another name already.
    pub(super) fn store_session(&mut self, key: ClientKey) {
        let client = self.book.client(key);
        let (peer, kept) = (client.peer, client.keeps_session);
        let endpoint = client.endpoint.clone();
        let elsewhere = self
            .clients_at(peer)
            .into_iter()
            .any(|other| other != key && self.book.client(other).keeps_session);
        let exported = match elsewhere {
            true => None,
            false => self.transport.export(peer).ok(),
        };
        self.book.client_mut(key).keeps_session = exported.is_some();
        match exported {
            Some(exported) => self.effects.change(Change::Session(Box::new(Session {
                endpoint,
                exported,
                reserved: 0,
            }))),
            None if kept => self.effects.change(Change::EndSession { endpoint }),
            None => {}
        }
    }

    /// Numbers of a session are to be reserved: what uses them waits for this commit.
    pub(super) fn on_reserve(&mut self, peer: PeerId, up_to: u64) {
        for key in self.clients_at(peer) {
            let client = self.book.client(key);
            if client.keeps_session {
                let endpoint = client.endpoint.clone();
                self.effects.change(Change::Reserve { endpoint, up_to });
            }
        }
        // Without a Client that keeps it, its record is gone with the last commit at the latest.
        let barrier = self.effects.latest();
        self.transport.reserved(peer, up_to, barrier);
    }

    /// The session of a stored registration lives again.
    pub(super) fn restore_session(&mut self, now: Now, session: &Session) {
        let Some(key) = self.book.find(session.endpoint.as_str()) else {
            return;
        };
        let client = self.book.client(key);
        if *client.identity() == Identity::None {
            return;
        }
        let before = client.peer;
        let local = self.transport.peer(before).and_then(|peer| peer.local);
        let exported = session.exported.expose();
        // What cannot be brought back costs its Client a handshake.
        let Ok(peer) = self
            .transport
            .import(now, local, exported, session.reserved)
        else {
            return;
        };
        self.seat(now, key, peer);
        let client = self.book.client_mut(key);
        client.keeps_session = true;
        client.unanswered = 0;
        client.silent = false;
        self.tell_nothing(now, key);
        self.rearm(now, key);
    }

    // Sessions that move, and end.

    /// A Client is heard from elsewhere on the session it has (RFC 9146 §6): its network gave it
    /// another address. It said nothing of it, and need not.
    pub(super) fn on_moved(&mut self, now: Now, peer: PeerId) {
        self.stats.moves += 1;
        if !self.healthy {
            // After a restart its first word is answered with a ping, and it is found again.
            return;
        }
        for key in self.clients_at(peer) {
            if self.book.client(key).keeps_session {
                self.store_session(key);
            }
            let changed = Changed {
                address: true,
                ..Changed::default()
            };
            self.store_registration(now, key, changed);
        }
    }

    /// A session is over: what was under way waits for the next one.
    pub(super) fn on_disconnected(&mut self, now: Now, peer: PeerId) {
        for key in self.clients_at(peer) {
            self.stop_in_flight(now, key);
            self.take_for_asleep(key);
            self.update_presence(now, key);
            self.rearm(now, key);
        }
    }

    /// Without a session nothing reaches a Client until it is heard.
    pub(super) fn take_for_asleep(&mut self, key: ClientKey) {
        let client = self.book.client_mut(key);
        client.unanswered = client.unanswered.max(UNANSWERED_MAX);
        client.silent = true;
    }

    /// See [`Server::revoke`].
    pub(super) fn end_sessions(
        &mut self,
        now: Now,
        mut is_revoked: impl FnMut(&Identity) -> bool,
    ) -> usize {
        let concerned: Vec<ClientKey> = self
            .book
            .iter_from(0)
            .filter(|(_, client)| {
                let identity = client.identity();
                *identity != Identity::None && is_revoked(identity)
            })
            .map(|(key, _)| key)
            .collect();
        for key in concerned {
            let client = self.book.client_mut(key);
            if std::mem::take(&mut client.keeps_session) {
                let endpoint = client.endpoint.clone();
                self.effects.change(Change::EndSession { endpoint });
            }
        }
        let barrier = self.effects.barrier();
        self.transport.disconnect_all(now, barrier, is_revoked)
    }

    /// A Client has left this peer: a session on which nobody is registered any more is closed,
    /// because its Client has another one.
    pub(super) fn retire(&mut self, now: Now, peer: PeerId) {
        let secured = self
            .transport
            .peer(peer)
            .is_some_and(|peer| peer.port.is_secure());
        if secured && self.book.first_at_peer(peer).is_none() {
            let barrier = self.effects.latest();
            // It may have ended by itself.
            let _ = self.transport.disconnect(now, peer, barrier);
        }
    }

    fn clients_at(&self, peer: PeerId) -> Vec<ClientKey> {
        let first = self.book.first_at_peer(peer);
        std::iter::successors(first, |key| self.book.next_at_peer(*key)).collect()
    }
}

/// An identity as part of a sentence.
fn shown(identity: &Identity) -> String {
    match identity {
        Identity::None => String::new(),
        Identity::PreSharedKey(identity) => {
            format!(
                " for PSK identity \"{}\"",
                String::from_utf8_lossy(identity).escape_debug()
            )
        }
        Identity::RawPublicKey(digest) => format!(" for the raw public key sha256:{}", hex(digest)),
        Identity::Certificate(shown) => match &shown.common_name {
            Some(name) => format!(" for the certificate of \"{}\"", name.escape_debug()),
            None => format!(" for the certificate sha256:{}", hex(&shown.fingerprint)),
        },
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The endpoint name that an identity most likely stands for (TS 1.0 §7.1.7).
fn name_of(identity: &Identity) -> Option<EndpointName> {
    match identity {
        Identity::PreSharedKey(identity) => {
            EndpointName::new(core::str::from_utf8(identity).ok()?).ok()
        }
        Identity::Certificate(shown) => EndpointName::new(shown.common_name.as_ref()?).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knocks_are_told_so_often_in_a_second_and_no_more() {
        let mut budget = KnockBudget::default();
        let told = (0..100).filter(|_| budget.take(WallTime(5_000))).count();
        assert_eq!(told, KNOCKS_PER_SECOND_MAX as usize);
        assert!(budget.take(WallTime(6_000)));
    }

    #[test]
    fn an_identity_that_is_no_text_is_shown_without_harm() {
        let identity = Identity::PreSharedKey((*b"a\x1b[2J\xff").into());
        assert_eq!(
            shown(&identity),
            " for PSK identity \"a\\u{1b}[2J\u{fffd}\""
        );
        assert_eq!(name_of(&identity), None);
    }
}
