//! What comes of a handshake's progress: a question, a timer, a session, an end.

use alloc::boxed::Box;
use alloc::string::ToString;

use super::Dtls;
use crate::Instant;
use crate::event::{CloseReason, Connected, Event, Need, NeedId, Output, Transmit};
use crate::handshake::{Failure, Handshake, Progress};
use crate::record::Record;
use crate::stats::Counter;

impl Dtls {
    pub(super) fn handle_handshake(
        &mut self,
        now: Instant,
        index: u32,
        record: &Record<'_>,
        whole: &[u8],
    ) {
        let Some(handshake) = self.sessions.handshake_mut(index) else {
            return;
        };
        let result = handshake.handle_record(record, whole, &mut self.parts.context(now));
        self.settle(now, index, result);
    }

    /// Applies what a call brought a handshake to.
    pub(super) fn settle(&mut self, now: Instant, index: u32, result: Result<Progress, Failure>) {
        let Some(handshake) = self.sessions.handshake_mut(index) else {
            return;
        };
        let address = handshake.address();
        let number = handshake.questions();
        self.transmit_datagrams(address, None);
        match result {
            Ok(Progress::Waiting) => self.schedule(index),
            Ok(Progress::Ask(question)) => {
                let session = self.sessions.id(index);
                let id = NeedId { session, number };
                self.output.push_back(Output::Need(Need {
                    id,
                    session,
                    address,
                    question,
                }));
                self.schedule(index);
            }
            Ok(Progress::Connected) => self.establish(now, index),
            Err(reason) => self.fail(index, reason),
        }
    }

    fn schedule(&mut self, index: u32) {
        let Some(handshake) = self.sessions.handshake_mut(index) else {
            return;
        };
        let deadline = handshake.deadline();
        let before = core::mem::replace(&mut handshake.scheduled, deadline);
        if before == deadline {
            return;
        }
        if let Some(before) = before {
            self.deadlines.remove(&(before, index));
        }
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, index));
        }
    }

    /// Takes a handshake out of table and timers; its slot stays taken.
    pub(super) fn take_handshake(&mut self, index: u32) -> Option<Box<Handshake>> {
        let handshake = self.sessions.take_handshake(index)?;
        if let Some(deadline) = handshake.scheduled {
            self.deadlines.remove(&(deadline, index));
        }
        Some(handshake)
    }

    pub(super) fn fail(&mut self, index: u32, reason: Failure) {
        let Some(mut handshake) = self.take_handshake(index) else {
            return;
        };
        let session = self.sessions.id(index);
        let address = handshake.address();
        if let Some(description) = reason.alert() {
            let bytes = handshake.alert(description);
            let transmit = Transmit {
                to: address,
                bytes,
                barrier: 0,
                session: None,
            };
            self.output.push_back(Output::Transmit(transmit));
        }
        self.sessions.release(index);
        self.count(Counter::Failed);
        let (role, claimed) = (handshake.role(), handshake.claimed());
        self.tell(Event::Failed {
            session,
            role,
            address,
            claimed,
            reason,
        });
    }

    /// A handshake ended well: only now may anything older give way to it.
    fn establish(&mut self, now: Instant, index: u32) {
        let Some(handshake) = self.take_handshake(index) else {
            return;
        };
        let session = self.sessions.id(index);
        let mut outcome = handshake.finish(&self.parts.context(now));
        let association = &mut outcome.association;
        association.last_heard_s = now.as_secs() as u32;
        let connected = Connected {
            session,
            role: association.role,
            address: association.address,
            identity: association.identity.clone(),
            server_name: association.server_name.as_deref().map(ToString::to_string),
            suite: association.scheme.suite,
            cid: association.own_cid,
            resumed: outcome.resumed,
        };
        self.make_way(&connected);
        self.sessions.establish(index, outcome.association);
        self.count(Counter::Connected);
        if outcome.resumed {
            self.count(Counter::Resumed);
        }
        let from = connected.address;
        self.tell(Event::Connected(connected));
        if let Some(state) = outcome.resumable {
            self.tell(Event::Resumable { session, state });
        }
        for early in outcome.early_data {
            let (plaintext, newest) = (early.plaintext, early.newest);
            self.tell(Event::Data {
                session,
                plaintext,
                from,
                fresh: true,
                newest,
            });
        }
    }

    /// Ends the session at the new one's address if it is the same peer's or cannot be reached
    /// any more, and another one if there are too many.
    fn make_way(&mut self, connected: &Connected) {
        if let Some(old) = self.sessions.established_at(connected.address)
            && let Some(association) = self.sessions.association(old)
            && (association.own_cid.is_none() || association.identity == connected.identity)
        {
            self.count(Counter::SessionSuperseded);
            self.end_session(old, CloseReason::Superseded);
        }
        if self.sessions.established() >= self.parts.settings.sessions_max
            && let Some(idle) = self.sessions.idle_session(&mut self.parts.random)
        {
            self.count(Counter::SessionEvicted);
            self.end_session(idle, CloseReason::Evicted);
        }
    }

    pub(super) fn end_session(&mut self, index: u32, reason: CloseReason) {
        let session = self.sessions.id(index);
        if let Some(association) = self.sessions.remove_association(index) {
            let identity = association.identity.clone();
            self.tell(Event::Closed {
                session,
                identity,
                reason,
            });
        }
    }
}
