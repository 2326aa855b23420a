//! The machine: finds whose a datagram is, lets that part take it, and applies what comes of it.
//!
//! Whose is it (RFC 6347 §4.2, RFC 9146 §6)? A record with a Connection ID is its owner's, from
//! whatever address. A ClientHello goes to the gate: without a good cookie it leaves no trace. All
//! other records without a Connection ID belong to the session or handshake at their address; where
//! both are there (the peer begins anew), the session is tried first and stays until the new one is
//! proved. Nothing that cannot be authenticated has any effect on an established session.
//!
//! Here are the calls from above; `routing` finds the owner, `gate` lets clients in, `progress`
//! applies what a handshake came to.

mod gate;
mod progress;
mod routing;

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use rand_core::{Rng, SeedableRng};

use crate::address::Address;
use crate::alert::{Alert, AlertDescription};
use crate::association::{Association, Exhausted};
use crate::cookie::Cookies;
use crate::crypto::Secret;
use crate::event::{Answer, CloseReason, Event, NeedId, Output, Refused, SessionId, Transmit};
use crate::export::{self, ImportError};
use crate::handshake::{Client12, Context, Handshake, Progress};
use crate::identity::PeerIdentity;
use crate::limit::HostLimit;
use crate::record::cid::{CID_PREFIX_LENGTH_MAX, ConnectionId};
use crate::record::{Record, content_type};
use crate::resumption::Resumption;
use crate::sessions::{Sessions, State};
use crate::settings::{ClientSettings, Settings};
use crate::stats::{Counter, Stats};
use crate::{Hashing, Instant, Random};

/// Smaller windows would put a commit before every few records.
const RESERVE_WINDOW_MIN: u64 = 16;

/// DTLS 1.2, both roles, any number of associations.
///
/// Rhythm: one call of `handle_…` or of a command, then [`Dtls::poll_output`] until it says
/// [`Output::Timeout`].
pub struct Dtls {
    parts: Parts,
    cookies: Cookies,
    limit: HostLimit,
    /// Of a thousand ClientHellos so many are shed; and what is left over of the last.
    shed: u32,
    shed_rest: u32,
    sessions: Sessions,
    /// When handshakes want to be woken.
    deadlines: BTreeSet<(Instant, u32)>,
    output: VecDeque<Output>,
}

/// What handshakes use of the machine, apart from the table in which they are.
struct Parts {
    settings: Settings,
    random: Random,
    resumption: Resumption,
    stats: Stats,
    datagrams: Vec<Vec<u8>>,
}

impl Parts {
    fn context(&mut self, now: Instant) -> Context<'_> {
        Context {
            now,
            settings: &self.settings,
            random: &mut self.random,
            resumption: &mut self.resumption,
            stats: &mut self.stats,
            datagrams: &mut self.datagrams,
        }
    }
}

impl Dtls {
    /// A machine whose whole chance comes from the seed; never use one seed twice.
    pub fn new(settings: Settings, seed: [u8; 32]) -> Dtls {
        let mut random = Random::from_seed(seed);
        let hashing = Hashing::with_seed(random.next_u64());
        let limit = HostLimit::new(
            settings.handshake_burst,
            settings.handshakes_per_second,
            hashing.clone(),
        );
        Dtls {
            cookies: Cookies::new(&mut random),
            limit,
            shed: 0,
            shed_rest: 500,
            sessions: Sessions::new(hashing.clone()),
            deadlines: BTreeSet::new(),
            output: VecDeque::new(),
            parts: Parts {
                settings,
                resumption: Resumption::new(hashing, &mut random),
                random,
                stats: Stats::new(),
                datagrams: Vec::new(),
            },
        }
    }

    /// From now on so many of a thousand handshakes that others begin are not answered, because there
    /// is too much to do. It costs less than a cookie, and clients try again (RFC 6347 §4.2.4).
    /// Handshakes under way and sessions go on.
    pub fn shed_handshakes(&mut self, of_a_thousand: u32) {
        self.shed = of_a_thousand.min(1_000);
    }

    /// A datagram came.
    pub fn handle_receive(&mut self, now: Instant, from: Address, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let Some((record, more)) = Record::decode(rest) else {
                return self.count(Counter::MalformedRecord);
            };
            let whole = &rest[..rest.len() - more.len()];
            self.handle_record(now, from, &record, whole);
            rest = more;
        }
    }

    /// The time of the last `Output::Timeout` has come; early calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((deadline, index)) = self.deadlines.first().copied() {
            if deadline > now {
                return;
            }
            self.deadlines.pop_first();
            let Some(handshake) = self.sessions.handshake_mut(index) else {
                continue;
            };
            handshake.scheduled = None;
            let result = handshake.handle_timeout(&mut self.parts.context(now));
            self.settle(now, index, result.map(|()| Progress::Waiting));
        }
    }

    /// The answer to a `Need`. One that comes too late is counted and forgotten.
    pub fn handle_answer(&mut self, now: Instant, need: NeedId, answer: Answer) {
        let index = self.sessions.index(need.session);
        let asked = index.and_then(|index| self.sessions.handshake_mut(index));
        let (Some(index), Some(handshake)) = (index, asked) else {
            return self.count(Counter::LateAnswer);
        };
        if !handshake.awaits_answer(need.number) {
            return self.count(Counter::LateAnswer);
        }
        let result = handshake.handle_answer(answer, &mut self.parts.context(now));
        self.settle(now, index, result);
    }

    /// Opens a session; `Event::Connected` or `Event::Failed` follows.
    pub fn connect(
        &mut self,
        now: Instant,
        to: Address,
        settings: ClientSettings,
    ) -> Result<SessionId, Refused> {
        if self.sessions.handshake_at(to).is_some() {
            return Err(Refused::HandshakeUnderWay);
        }
        if self.sessions.handshakes() >= self.parts.settings.handshakes_max {
            return Err(Refused::Full);
        }
        let cid = self.draw_cid();
        let mut context = self.parts.context(now);
        let (exchange, side) = Client12::begin(to, settings, cid, &mut context)?;
        let id = self
            .sessions
            .insert_handshake(Handshake::client(exchange, side));
        self.settle(now, id.index, Ok(Progress::Waiting));
        Ok(id)
    }

    /// Sends one record of application data to where the session is. `barrier` goes with the
    /// datagram.
    pub fn send(
        &mut self,
        now: Instant,
        session: SessionId,
        plaintext: &[u8],
        barrier: u64,
    ) -> Result<(), Refused> {
        let to = self.address(session).ok_or(self.not_connected(session))?;
        self.send_to(now, session, to, plaintext, barrier)
    }

    /// The same, but to this address: to find out whether the peer is where a record came from
    /// that is not `fresh`. The session does not move by it.
    pub fn send_to(
        &mut self,
        _now: Instant,
        session: SessionId,
        to: Address,
        plaintext: &[u8],
        barrier: u64,
    ) -> Result<(), Refused> {
        let index = self
            .sessions
            .index(session)
            .ok_or(Refused::UnknownSession)?;
        let association = self
            .sessions
            .association_mut(index)
            .ok_or(Refused::NotConnected)?;
        let max = usize::from(association.plaintext_max);
        if plaintext.len() > max {
            return Err(Refused::TooLong { max });
        }
        reserve_ahead(association, session, &self.parts.settings, &mut self.output);
        let mut bytes = Vec::new();
        association
            .seal(content_type::APPLICATION_DATA, plaintext, &mut bytes)
            .map_err(|Exhausted| Refused::Exhausted)?;
        let session = Some(session);
        self.output.push_back(Output::Transmit(Transmit {
            to,
            bytes,
            barrier,
            session,
        }));
        Ok(())
    }

    /// Ends a session with close_notify, or gives a handshake up. `barrier` as for `send`.
    pub fn close(
        &mut self,
        _now: Instant,
        session: SessionId,
        barrier: u64,
    ) -> Result<(), Refused> {
        let index = self
            .sessions
            .index(session)
            .ok_or(Refused::UnknownSession)?;
        let goodbye = match self.sessions.state_mut(index) {
            Some(State::Established(association)) => {
                reserve_ahead(association, session, &self.parts.settings, &mut self.output);
                let alert = Alert::warning(AlertDescription::CLOSE_NOTIFY).encode();
                let mut bytes = Vec::new();
                // Without a number left the peer will find out by itself.
                let sealed = association.seal(content_type::ALERT, &alert, &mut bytes);
                sealed.ok().map(|()| (association.address, bytes))
            }
            Some(State::Handshake(handshake)) => {
                let bytes = handshake.alert(AlertDescription::USER_CANCELED);
                Some((handshake.address(), bytes))
            }
            None => None,
        };
        if let Some((to, bytes)) = goodbye {
            let transmit = Transmit {
                to,
                bytes,
                barrier,
                session: Some(session),
            };
            self.output.push_back(Output::Transmit(transmit));
        }
        if self.take_handshake(index).is_some() {
            self.sessions.release(index);
        } else {
            self.end_session(index, CloseReason::Local);
        }
        Ok(())
    }

    /// The session as bytes, from which `import` makes it again after a restart. From now on its
    /// send numbers are reserved by `Output::Reserve` before they are used; the first window is
    /// reserved in the bytes themselves, so **store them before anything leaves that is sent after
    /// this call**.
    pub fn export(&mut self, session: SessionId) -> Result<Secret, Refused> {
        let index = self
            .sessions
            .index(session)
            .ok_or(Refused::UnknownSession)?;
        let association = self
            .sessions
            .association_mut(index)
            .ok_or(Refused::NotConnected)?;
        if association.send_reserved == u64::MAX {
            let window = reserve_window(&self.parts.settings);
            association.send_reserved = association.send_next + window;
        }
        Ok(export::encode(association))
    }

    /// Makes an exported session live again. `reserved` is the highest `Output::Reserve` stored
    /// for it since, or 0. Import each only once: two live copies would use numbers twice.
    ///
    /// Nothing older than what was stored is accepted, and until [`Dtls::confirm_round_trip`] the
    /// session's data is not `fresh` and its address does not move.
    pub fn import(
        &mut self,
        now: Instant,
        bytes: &[u8],
        reserved: u64,
    ) -> Result<SessionId, ImportError> {
        let mut association =
            export::decode(bytes, reserved).map_err(|_| ImportError::Malformed)?;
        if self.sessions.established() >= self.parts.settings.sessions_max {
            return Err(ImportError::Full);
        }
        if association
            .own_cid
            .is_some_and(|cid| self.sessions.by_cid(cid).is_some())
        {
            return Err(ImportError::Alive);
        }
        association.last_heard_s = now.as_secs() as u32;
        let session = self.sessions.insert_imported(Box::new(association));
        if let Some(association) = self.sessions.association_mut(session.index) {
            reserve_ahead(association, session, &self.parts.settings, &mut self.output);
        }
        Ok(session)
    }

    /// The peer answered something that was sent after the import, and its answer came from
    /// `from`: what comes from now on is `fresh`. Older records that are still on their way are
    /// not taken any more, as they may be replays.
    pub fn confirm_round_trip(
        &mut self,
        _now: Instant,
        session: SessionId,
        from: Address,
    ) -> Result<(), Refused> {
        let index = self
            .sessions
            .index(session)
            .ok_or(Refused::UnknownSession)?;
        let association = self
            .sessions
            .association_mut(index)
            .ok_or(Refused::NotConnected)?;
        if association.fresh {
            return Ok(());
        }
        association.fresh = true;
        association.window.close_gaps();
        if association.own_cid.is_some() && association.address != from {
            self.move_session(index, from);
        }
        Ok(())
    }

    /// The next thing to do for the caller; see [`Output`].
    pub fn poll_output(&mut self) -> Output {
        match self.output.pop_front() {
            Some(output) => output,
            None => Output::Timeout(self.deadlines.first().map(|(deadline, _)| *deadline)),
        }
    }

    /// Uses other settings from now on: for handshakes that begin and sessions that are made, not
    /// for those that are there.
    pub fn replace_settings(&mut self, settings: Settings) {
        self.limit
            .set(settings.handshake_burst, settings.handshakes_per_second);
        self.parts.settings = settings;
    }

    /// Connection IDs that are given out from now on begin with this: node and virtual shard.
    pub fn set_cid_prefix(&mut self, prefix: &[u8]) {
        let own = &mut self.parts.settings.cid_prefix;
        own.clear();
        own.extend_from_slice(&prefix[..prefix.len().min(CID_PREFIX_LENGTH_MAX)]);
    }

    /// No earlier session can be resumed any more: every ticket and every session id that was given
    /// out is void. For when a credential is revoked: a ticket does not say by which key it was
    /// earned.
    pub fn forget_resumptions(&mut self) {
        let hashing = Hashing::with_seed(self.parts.random.next_u64());
        self.parts.resumption = Resumption::new(hashing, &mut self.parts.random);
    }

    /// All established sessions, in no order; for example to export them before an orderly end.
    pub fn sessions(&self) -> impl Iterator<Item = SessionId> + '_ {
        self.sessions.established_ids()
    }

    /// Who the peer of a session is.
    pub fn identity(&self, session: SessionId) -> Option<&Arc<PeerIdentity>> {
        Some(&self.established(session)?.identity)
    }

    /// Where the peer of a session is.
    pub fn address(&self, session: SessionId) -> Option<Address> {
        Some(self.established(session)?.address)
    }

    /// The Connection ID by which a session's datagrams come.
    pub fn connection_id(&self, session: SessionId) -> Option<ConnectionId> {
        self.established(session)?.own_cid
    }

    /// The most bytes that `send` takes for a session.
    pub fn plaintext_max(&self, session: SessionId) -> Option<usize> {
        Some(self.established(session)?.plaintext_max.into())
    }

    /// Sessions that are established.
    pub fn session_count(&self) -> usize {
        self.sessions.established()
    }

    /// Handshakes under way.
    pub fn handshake_count(&self) -> usize {
        self.sessions.handshakes()
    }

    /// What has been counted so far.
    pub fn stats(&self) -> &Stats {
        &self.parts.stats
    }

    fn established(&self, session: SessionId) -> Option<&Association> {
        self.sessions.association(self.sessions.index(session)?)
    }

    fn not_connected(&self, session: SessionId) -> Refused {
        match self.sessions.index(session) {
            Some(_) => Refused::NotConnected,
            None => Refused::UnknownSession,
        }
    }

    fn draw_cid(&mut self) -> ConnectionId {
        self.sessions
            .draw_cid(&self.parts.settings.cid_prefix, &mut self.parts.random)
    }

    fn transmit_datagrams(&mut self, to: Address, session: Option<SessionId>) {
        for bytes in self.parts.datagrams.drain(..) {
            self.output.push_back(Output::Transmit(Transmit {
                to,
                bytes,
                barrier: 0,
                session,
            }));
        }
    }

    fn tell(&mut self, event: Event) {
        self.output.push_back(Output::Event(event));
    }

    fn count(&mut self, counter: Counter) {
        self.parts.stats.count(counter);
    }
}

/// Reserves another window of send numbers while there is still half of one left, so that its
/// commit is done long before it is needed.
fn reserve_ahead(
    association: &mut Association,
    session: SessionId,
    settings: &Settings,
    output: &mut VecDeque<Output>,
) {
    if association.send_reserved == u64::MAX {
        return;
    }
    let window = reserve_window(settings);
    if association
        .send_reserved
        .saturating_sub(association.send_next)
        < window / 2
    {
        association.send_reserved = association.send_reserved.saturating_add(window);
        let up_to = association.send_reserved;
        output.push_back(Output::Reserve { session, up_to });
    }
}

fn reserve_window(settings: &Settings) -> u64 {
    settings.reserve_window.max(RESERVE_WINDOW_MIN)
}
