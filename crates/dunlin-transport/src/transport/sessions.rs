//! Sessions: who opens and ends them, what DTLS says of them, and how they outlive a restart.
//!
//! A record becomes a message of the peer whose session it belongs to; the peer is made known when
//! it says its first word. A session of before a restart is not fresh: what it says may be a replay
//! of what was heard before. Until a ping of ours has been answered on it, responses and empty
//! messages pass - they repeat nothing - and requests are dropped, for their sender repeats them
//! in a record of its own.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::IpAddr;

use dunlin_coap::Barrier;
use dunlin_dtls::{
    Address as Path, ClientSettings, ConnectionId, Event as SessionEvent, Output as DtlsOutput,
    Role, Secret, SessionId, Settings,
};

use super::{Output, Side, Transmit, Transport, is_request, may_be_coap};
use crate::address::Address;
use crate::event::Event;
use crate::need::{
    DisconnectReason, SecurityAnswer, SecurityNeed, SecurityNeedId, SecurityRefused,
};
use crate::now::{Instant, Now};
use crate::peer::{Identity, PeerId};
use crate::port::Port;
use crate::security::{identity_of, path, place};

/// What DTLS came to.
pub(super) enum Polled {
    /// Something for the driver.
    Output(Output),
    /// CoAP may have something to say now.
    Fed,
    /// Nothing, until then.
    Idle(Option<Instant>),
}

impl Transport {
    /// Opens a session with a peer that listens there; [`Event::Connected`] or
    /// [`Event::Disconnected`] follows. What is asked of the peer before is held back until the
    /// session is there.
    ///
    /// # Errors
    /// The port is not a secure one, or DTLS cannot do it with these settings, or not now.
    pub fn connect(
        &mut self,
        now: Now,
        port: Port,
        address: &Address,
        local: Option<IpAddr>,
        settings: ClientSettings,
    ) -> Result<PeerId, SecurityRefused> {
        self.now = now.instant;
        let security = self
            .security
            .as_mut()
            .filter(|_| port.is_secure())
            .ok_or(SecurityRefused::NotSecure)?;
        let to = path(port, address).ok_or(SecurityRefused::Address)?;
        let session = security
            .dtls
            .connect(now.instant, to, settings)
            .map_err(SecurityRefused::Dtls)?;
        security.locals.insert(to, local);
        let peer = self
            .peers
            .enter_connecting(now.instant, port, address, local, session);
        self.forget_surplus();
        Ok(peer)
    }

    /// Ends a peer's session, once commit number `barrier` is durable, or gives up opening one.
    /// [`Event::Disconnected`] follows; the peer is remembered as long as it is held, and what is
    /// under way with it ends by time, or by [`Transport::forget`].
    ///
    /// # Errors
    /// It has none.
    pub fn disconnect(
        &mut self,
        now: Now,
        peer: PeerId,
        barrier: Barrier,
    ) -> Result<(), SecurityRefused> {
        self.now = now.instant;
        let session = self
            .peers
            .session(peer)
            .ok_or(SecurityRefused::NotConnected)?;
        let security = self.security.as_mut().ok_or(SecurityRefused::NotSecure)?;
        let closed = security.dtls.close(now.instant, session, barrier);
        if !self.peers.is_connected(peer) {
            // A handshake ends without a word of DTLS.
            let reason = DisconnectReason::Closed(dunlin_dtls::CloseReason::Local);
            self.end_session(session, reason);
        }
        closed.map_err(SecurityRefused::Dtls)
    }

    /// Ends the sessions of everybody whose identity this says yes to, whether a role holds the
    /// peer or not: what a revoked credential comes to. Nobody can resume an earlier session after
    /// this. Returns how many there were.
    pub fn disconnect_all(
        &mut self,
        now: Now,
        barrier: Barrier,
        mut is_revoked: impl FnMut(&Identity) -> bool,
    ) -> usize {
        self.now = now.instant;
        let Some(security) = &mut self.security else {
            return 0;
        };
        security.dtls.forget_resumptions();
        let sessions: Vec<SessionId> = security.dtls.sessions().collect();
        let mut ended = 0;
        for session in sessions {
            let identity = security.dtls.identity(session);
            if identity.is_some_and(|identity| is_revoked(&identity_of(identity))) {
                // It has just been listed.
                let _ = security.dtls.close(now.instant, session, barrier);
                ended += 1;
            }
        }
        ended
    }

    /// Answers an [`Output::Need`]. One that comes too late is dropped.
    pub fn handle_answer(&mut self, now: Now, need: SecurityNeedId, answer: SecurityAnswer) {
        self.now = now.instant;
        if let Some(security) = &mut self.security {
            security.receiving = None;
            security.dtls.handle_answer(now.instant, need, answer);
        }
    }

    /// The peer's session as bytes, for [`Transport::import`] after a restart: as secret as a key.
    /// From now on its numbers are reserved by [`Output::Reserve`] before they are used.
    ///
    /// # Errors
    /// It has none.
    pub fn export(&mut self, peer: PeerId) -> Result<Secret, SecurityRefused> {
        let session = self
            .peers
            .session(peer)
            .ok_or(SecurityRefused::NotConnected)?;
        let security = self.security.as_mut().ok_or(SecurityRefused::NotSecure)?;
        security.dtls.export(session).map_err(SecurityRefused::Dtls)
    }

    /// Makes an exported session live again, with its peer at the address of then. `reserved` is
    /// the highest [`Output::Reserve`] that was stored for it since, or 0. **Each only once.**
    ///
    /// # Errors
    /// The bytes are not what `export` gave, or there is no room.
    pub fn import(
        &mut self,
        now: Now,
        local: Option<IpAddr>,
        exported: &[u8],
        reserved: u64,
    ) -> Result<PeerId, SecurityRefused> {
        self.now = now.instant;
        let security = self.security.as_mut().ok_or(SecurityRefused::NotSecure)?;
        let session = security
            .dtls
            .import(now.instant, exported, reserved)
            .map_err(SecurityRefused::Import)?;
        let at = security.dtls.address(session);
        let peer = self.peer_of(session, at.expect("it was just made"), local);
        Ok(peer.expect("it was just made"))
    }

    /// A peer of before a restart whose session is lost: it is remembered with its identity, and
    /// what is sent to it is lost until it is back under another name.
    pub fn restore_peer(
        &mut self,
        now: Now,
        port: Port,
        address: &Address,
        local: Option<IpAddr>,
        identity: Identity,
    ) -> PeerId {
        self.peers
            .enter_secured(now.instant, port, address, local, identity, None)
    }

    /// What an [`Output::Reserve`] came to: the commit that makes it durable. Records that use the
    /// numbers carry it as their barrier.
    pub fn reserved(&mut self, peer: PeerId, up_to: u64, barrier: Barrier) {
        if let Some(security) = &self.security {
            let from = up_to.saturating_sub(security.reserve_window);
            self.peers.set_floor(peer, from, barrier);
        }
    }

    /// Whether the peer can be spoken to: it is in the clear, or has a session.
    #[must_use]
    pub fn is_connected(&self, peer: PeerId) -> bool {
        self.peers.is_connected(peer)
    }

    /// The Connection ID by which a peer's records come, if it uses one.
    #[must_use]
    pub fn connection_id(&self, peer: PeerId) -> Option<ConnectionId> {
        let session = self.peers.session(peer)?;
        self.security.as_ref()?.dtls.connection_id(session)
    }

    /// Connection IDs begin with this from now on.
    pub fn set_cid_prefix(&mut self, prefix: &[u8]) {
        if let Some(security) = &mut self.security {
            security.dtls.set_cid_prefix(prefix);
        }
    }

    /// Other settings of DTLS, for handshakes that begin from now on.
    pub fn set_dtls(&mut self, settings: Settings) {
        if let Some(security) = &mut self.security {
            security.reserve_window = settings.reserve_window;
            security.dtls.replace_settings(settings);
        }
    }

    /// Of a thousand handshakes that others begin, so many are not answered from now on.
    pub fn shed_handshakes(&mut self, of_a_thousand: u32) {
        if let Some(security) = &mut self.security {
            security.dtls.shed_handshakes(of_a_thousand);
        }
    }

    /// What DTLS counted, if there is any.
    #[must_use]
    pub fn dtls_stats(&self) -> Option<&dunlin_dtls::Stats> {
        Some(self.security.as_ref()?.dtls.stats())
    }

    /// Sessions that are established, and handshakes under way.
    #[must_use]
    pub fn session_counts(&self) -> (usize, usize) {
        self.security.as_ref().map_or((0, 0), |security| {
            (
                security.dtls.session_count(),
                security.dtls.handshake_count(),
            )
        })
    }

    // Private.

    /// A datagram came in at a secure door.
    pub(super) fn receive_secured(
        &mut self,
        port: Port,
        from: &Address,
        local: Option<IpAddr>,
        bytes: &[u8],
    ) {
        let (Some(security), Some(from)) = (&mut self.security, path(port, from)) else {
            self.noise += 1;
            return;
        };
        security.receiving = Some((from, local));
        security.dtls.handle_receive(self.now, from, bytes);
    }

    /// A message of CoAP for a peer with security: sealed, held back while its session is being
    /// opened, or lost if there is none.
    pub(super) fn send_secured(&mut self, peer: PeerId, bytes: Vec<u8>, barrier: Barrier) {
        let Some(session) = self.peers.session(peer) else {
            return self.coap.recycle(bytes);
        };
        if !self.peers.is_connected(peer) {
            return self.peers.hold_back(peer, bytes, barrier);
        }
        if let Some(security) = &mut self.security
            && security
                .dtls
                .send(self.now, session, &bytes, barrier)
                .is_err()
        {
            // Too long for what the peer takes, or no numbers are left: lost like any datagram.
            self.unsendable += 1;
        }
        self.coap.recycle(bytes);
    }

    /// The next thing that DTLS says.
    pub(super) fn poll_security(&mut self) -> Polled {
        let Some(security) = &mut self.security else {
            return Polled::Idle(None);
        };
        match security.dtls.poll_output() {
            DtlsOutput::Transmit(transmit) => Polled::Output(self.sealed(transmit)),
            DtlsOutput::Need(need) => {
                if let Some((from, local)) = security.receiving
                    && from == need.address
                {
                    security.locals.insert(from, local);
                }
                let (port, address) = place(need.address);
                let question = need.question;
                Polled::Output(Output::Need {
                    id: need.id,
                    need: Box::new(SecurityNeed {
                        address,
                        port,
                        question,
                    }),
                })
            }
            DtlsOutput::Reserve { session, up_to } => match self.peers.of_session(session) {
                Some(peer) => Polled::Output(Output::Reserve { peer, up_to }),
                None => Polled::Fed,
            },
            DtlsOutput::Event(event) => {
                self.on_session(event);
                Polled::Fed
            }
            DtlsOutput::Timeout(timeout) => Polled::Idle(timeout),
        }
    }

    fn sealed(&self, transmit: dunlin_dtls::Transmit) -> Output {
        let (port, to) = place(transmit.to);
        let peer = transmit
            .session
            .and_then(|session| self.peers.of_session(session));
        let local = match peer {
            Some(peer) => self.peers.route(peer).and_then(|(_, local, _)| local),
            None => self
                .security
                .as_ref()
                .and_then(|security| security.local_for(transmit.to)),
        };
        let floor = peer.map_or(0, |peer| self.peers.floor(peer, number_of(&transmit.bytes)));
        Output::Transmit(Transmit {
            to,
            local,
            port,
            bytes: transmit.bytes,
            barrier: transmit.barrier.max(floor),
        })
    }

    fn on_session(&mut self, event: SessionEvent) {
        match event {
            SessionEvent::Connected(connected) => {
                if let Some(security) = &mut self.security {
                    security.locals.remove(&connected.address);
                }
                let identity = identity_of(&connected.identity);
                match (connected.role, &self.side) {
                    (Role::Client, _) => {
                        self.on_connected(connected.session, identity, connected.resumed);
                    }
                    // A Client has to say who that is before the first word is read.
                    (Role::Server, Side::Client { .. }) => {
                        let peer = self.peer_of(connected.session, connected.address, None);
                        if let Some(peer) = peer {
                            self.events.push_back(Event::Accepted { peer });
                        }
                    }
                    // A Server waits for the peer's first word.
                    (Role::Server, Side::Server { .. }) => {}
                }
            }
            SessionEvent::Data {
                session,
                plaintext,
                from,
                fresh,
                ..
            } => self.on_data(session, &plaintext, from, fresh),
            SessionEvent::Moved { session, from, to } => {
                let local = self
                    .security
                    .as_ref()
                    .and_then(|security| security.local_for(to));
                let ((_, from), (_, to)) = (place(from), place(to));
                if let Some(peer) = self.peers.of_session(session) {
                    self.peers.moved(peer, &to, local);
                    self.events.push_back(Event::Moved { peer, from, to });
                }
            }
            SessionEvent::Resumable { session, state } => {
                if let Some(peer) = self.peers.of_session(session) {
                    let state = Box::new(state);
                    self.events.push_back(Event::Resumable { peer, state });
                }
            }
            SessionEvent::Closed {
                session, reason, ..
            } => self.end_session(session, DisconnectReason::Closed(reason)),
            SessionEvent::Failed {
                session,
                role,
                address,
                claimed,
                reason,
            } => {
                if let Some(security) = &mut self.security {
                    security.locals.remove(&address);
                }
                if role == Role::Client {
                    return self.end_session(session, DisconnectReason::Failed(reason));
                }
                let (port, address) = place(address);
                self.events.push_back(Event::HandshakeFailed {
                    address,
                    port,
                    claimed: claimed.map(|claimed| identity_of(&claimed)),
                    reason,
                });
            }
            // News that this version does not know changes nothing of what is kept here.
            _ => {}
        }
    }

    fn on_connected(&mut self, session: SessionId, identity: Identity, resumed: bool) {
        let Some(peer) = self.peers.of_session(session) else {
            return;
        };
        let held_back = self.peers.connected(peer, identity);
        self.events.push_back(Event::Connected { peer, resumed });
        for (bytes, barrier) in held_back {
            self.send_secured(peer, bytes, barrier);
        }
    }

    fn on_data(&mut self, session: SessionId, message: &[u8], from: Path, fresh: bool) {
        let local = self
            .security
            .as_ref()
            .and_then(|security| security.local_for(from));
        let Some(peer) = self.peer_of(session, from, local) else {
            return;
        };
        if !may_be_coap(message) {
            self.noise += 1;
            return;
        }
        if !fresh && !self.passes_stale(session, message, from) {
            return;
        }
        self.peers
            .heard_again(self.now, peer, local.filter(|_| fresh));
        if !self.is_within_budget(peer, message) {
            return self.turn_away(peer, message);
        }
        self.heard = self.peers.is_held(peer).then_some(peer);
        self.coap.handle_receive(self.now, peer, message);
    }

    /// Whether a message on a session that is not fresh is taken in. What begins something may be
    /// a replay: whether its sender is there is found out by a ping to where it came from.
    fn passes_stale(&mut self, session: SessionId, message: &[u8], from: Path) -> bool {
        let Some(security) = &mut self.security else {
            return false;
        };
        if security.is_pong(session, message) {
            security.end_challenges(session);
            // Moves the session if it was heard from elsewhere.
            let _ = security.dtls.confirm_round_trip(self.now, session, from);
            return false;
        }
        const ACKNOWLEDGEMENT_OR_RESET: u8 = 0b10;
        let begins = message[0] >> 4 & ACKNOWLEDGEMENT_OR_RESET == 0;
        if begins && let Some(ping) = security.challenge(self.now, session, from) {
            let _ = security.dtls.send_to(self.now, session, from, &ping, 0);
        }
        let passes = !is_request(message);
        self.stale += u64::from(!passes);
        passes
    }

    /// The peer of a session, made known if it is not.
    fn peer_of(&mut self, session: SessionId, from: Path, local: Option<IpAddr>) -> Option<PeerId> {
        if let Some(peer) = self.peers.of_session(session) {
            return Some(peer);
        }
        let identity = identity_of(self.security.as_ref()?.dtls.identity(session)?);
        let (port, address) = place(from);
        let peer =
            self.peers
                .enter_secured(self.now, port, &address, local, identity, Some(session));
        self.forget_surplus();
        Some(peer)
    }

    fn end_session(&mut self, session: SessionId, reason: DisconnectReason) {
        if let Some(security) = &mut self.security {
            security.end_challenges(session);
        }
        if let Some(peer) = self.peers.of_session(session) {
            self.peers.detach(peer);
            self.events.push_back(Event::Disconnected { peer, reason });
        }
    }

    /// A peer is forgotten. What a Client opened it closes; a Server keeps the sessions of peers
    /// that nobody holds, as far as there is room: they have proved who they are, and come back
    /// without a handshake.
    pub(super) fn let_go(&mut self, peer: PeerId) {
        if matches!(self.side, Side::Client { .. }) {
            self.close_quietly(peer);
        }
    }

    pub(super) fn close_quietly(&mut self, peer: PeerId) {
        if let (Some(session), Some(security)) = (self.peers.session(peer), &mut self.security) {
            // Over already, at worst.
            let _ = security.dtls.close(self.now, session, 0);
            security.end_challenges(session);
        }
    }
}

/// The number of the first record in a datagram (RFC 6347 §4.1, RFC 9146 §4): as many as can be
/// where it is not one of application data.
fn number_of(datagram: &[u8]) -> u64 {
    match datagram {
        [_, _, _, 0, 1, a, b, c, d, e, f, ..] => u64::from_be_bytes([0, 0, *a, *b, *c, *d, *e, *f]),
        _ => u64::MAX,
    }
}
