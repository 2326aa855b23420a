//! The gate: who may begin a handshake with us (RFC 6347 §4.2.1). Nothing is kept of a client
//! until a cookie comes back, and then only within limits.

use super::Dtls;
use crate::address::Address;
use crate::alert::Alert;
use crate::event::{Event, Output, Transmit};
use crate::handshake::{Failure, Handshake, Progress, ServerStart};
use crate::message::client_hello::ClientHello;
use crate::message::codec::Reader;
use crate::message::hello_verify_request::HelloVerifyRequest;
use crate::message::{self, Fragment, kind};
use crate::record::{self, Record, VERSION_1_0, content_type};
use crate::stats::Counter;
use crate::{Instant, Role};
use alloc::vec::Vec;

/// A first ClientHello has number 0, one with a cookie 1; a server that restarts asks again.
const HELLO_NUMBER_MAX: u16 = 8;

impl Dtls {
    /// A ClientHello came.
    pub(super) fn handle_hello(&mut self, now: Instant, from: Address, record: &Record<'_>) {
        if self.parts.settings.server.is_none() {
            return self.count(Counter::NotServer);
        }
        let Ok(fragment) = Fragment::decode(&mut Reader::new(record.fragment)) else {
            return self.count(Counter::MalformedMessage);
        };
        if !fragment.is_whole() {
            return self.count(Counter::FragmentedClientHello);
        }
        let around = ClientHello::around_cookie(fragment.body);
        let (Ok(hello), Ok(around)) = (ClientHello::decode(fragment.body), around) else {
            return self.count(Counter::MalformedMessage);
        };
        if fragment.number > HELLO_NUMBER_MAX {
            return self.count(Counter::MalformedMessage);
        }
        // Whoever has a cookie has come so far already, and goes on.
        if hello.cookie.is_empty() && self.is_shed() {
            return self.count(Counter::HandshakeShed);
        }
        self.cookies.rotate(now, &mut self.parts.random);
        if !self.cookies.verify(from, &around, hello.cookie) {
            let cookie = self.cookies.make(from, &around);
            self.count(Counter::CookieSent);
            return self.send_cookie(from, record.sequence(), &cookie);
        }
        if self.is_late_copy(from, &hello.random) {
            return self.count(Counter::LateClientHello);
        }
        if let Some(index) = self.sessions.handshake_at(from)
            && let Some(handshake) = self.sessions.handshake_mut(index)
            && handshake.answers(&hello.random)
        {
            self.parts.stats.count(Counter::RepeatedClientHello);
            handshake.handle_repeated_hello(&mut self.parts.context(now));
            return self.settle(now, index, Ok(Progress::Waiting));
        }
        self.begin_server(now, from, &fragment, record.sequence());
    }

    /// Whether a handshake that begins now is one of those that are shed.
    fn is_shed(&mut self) -> bool {
        self.shed_rest += self.shed;
        let is_shed = self.shed_rest >= 1_000;
        self.shed_rest -= if is_shed { 1_000 } else { 0 };
        is_shed
    }

    fn send_cookie(&mut self, to: Address, sequence: u64, cookie: &[u8]) {
        let body = HelloVerifyRequest { cookie }.encode();
        let whole = message::encode_whole(kind::HELLO_VERIFY_REQUEST, 0, &body);
        let mut bytes = Vec::new();
        let handshake = content_type::HANDSHAKE;
        record::encode_plain(&mut bytes, handshake, VERSION_1_0, sequence, &whole);
        self.output.push_back(Output::Transmit(Transmit {
            to,
            bytes,
            barrier: 0,
            session: None,
        }));
    }

    /// A copy of the ClientHello that led to the session at this address?
    fn is_late_copy(&self, from: Address, client_random: &[u8; 32]) -> bool {
        self.sessions
            .established_at(from)
            .and_then(|index| self.sessions.association(index)?.final_flight.as_ref())
            .is_some_and(|last| last.client_random == *client_random)
    }

    /// A client has proved that it is where it says.
    fn begin_server(
        &mut self,
        now: Instant,
        from: Address,
        fragment: &Fragment<'_>,
        sequence: u64,
    ) {
        if !self.limit.allow(now, from) {
            return self.count(Counter::HandshakesLimited);
        }
        let (gives_way, half_open_max) = match &self.parts.settings.server {
            Some(server) => (server.gives_way, server.half_open_max),
            None => (false, 0),
        };
        if let Some(earlier) = self.sessions.handshake_at(from) {
            let ours = self
                .sessions
                .handshake_mut(earlier)
                .is_some_and(|handshake| handshake.role() == Role::Client);
            if ours && !gives_way {
                return self.count(Counter::HelloCrossed);
            }
            self.count(Counter::HandshakeReplaced);
            if ours {
                // Whoever asked for it hears of it.
                self.fail(earlier, Failure::GaveWay);
            } else {
                self.take_handshake(earlier);
                self.sessions.release(earlier);
            }
        }
        let limit = self.parts.settings.handshakes_max.min(half_open_max);
        if self.sessions.handshakes() >= limit {
            return self.count(Counter::HandshakesFull);
        }
        let wanted = self
            .parts
            .settings
            .server
            .as_ref()
            .is_some_and(|server| server.connection_id);
        let cid = wanted.then(|| self.draw_cid());
        let start = ServerStart {
            address: from,
            hello: fragment.body,
            number: fragment.number,
            sequence,
            cid,
        };
        match Handshake::server(start, &mut self.parts.context(now)) {
            Ok((handshake, progress)) => {
                let session = self.sessions.insert_handshake(handshake);
                self.settle(now, session.index, Ok(progress));
            }
            Err(reason) => self.refuse_hello(from, sequence, reason),
        }
    }

    fn refuse_hello(&mut self, address: Address, sequence: u64, reason: Failure) {
        if let Some(description) = reason.alert() {
            let alert = Alert::fatal(description).encode();
            let mut bytes = Vec::new();
            let version = record::VERSION_1_2;
            record::encode_plain(&mut bytes, content_type::ALERT, version, sequence, &alert);
            let transmit = Transmit {
                to: address,
                bytes,
                barrier: 0,
                session: None,
            };
            self.output.push_back(Output::Transmit(transmit));
        }
        self.count(Counter::Failed);
        let session = self.sessions.spent_id();
        let role = Role::Server;
        self.tell(Event::Failed {
            session,
            role,
            address,
            claimed: None,
            reason,
        });
    }
}
