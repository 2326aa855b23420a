//! Whose a record is, and what one does to an established session.

use super::{Dtls, reserve_ahead};
use crate::Instant;
use crate::address::Address;
use crate::alert::{Alert, AlertDescription};
use crate::event::{CloseReason, Event};
use crate::flight::Packing;
use crate::message::kind;
use crate::record::{Record, content_type};
use crate::sessions::State;
use crate::stats::Counter;

/// Whose a record is.
enum Owner {
    Session(u32),
    Handshake(u32),
    /// A session, or a handshake that will replace it.
    Either(u32, u32),
    Gate,
    Nobody(Counter),
}

impl Dtls {
    pub(super) fn handle_record(
        &mut self,
        now: Instant,
        from: Address,
        record: &Record<'_>,
        whole: &[u8],
    ) {
        match self.owner(from, record) {
            Owner::Session(index) => {
                if let Err(counter) = self.handle_protected(now, index, from, record) {
                    self.count(counter);
                }
            }
            Owner::Handshake(index) => self.handle_handshake(now, index, record, whole),
            Owner::Either(session, handshake) => {
                if self.handle_protected(now, session, from, record).is_err() {
                    self.handle_handshake(now, handshake, record, whole);
                }
            }
            Owner::Gate => self.handle_hello(now, from, record),
            Owner::Nobody(counter) => self.count(counter),
        }
    }

    fn owner(&mut self, from: Address, record: &Record<'_>) -> Owner {
        if let Some(cid) = record.cid {
            let Some(index) = self.sessions.by_cid(cid) else {
                return Owner::Nobody(Counter::UnknownCid);
            };
            return match self.sessions.state_mut(index) {
                Some(State::Handshake(handshake)) if handshake.address() != from => {
                    Owner::Nobody(Counter::WrongAddress)
                }
                Some(State::Handshake(_)) => Owner::Handshake(index),
                _ => Owner::Session(index),
            };
        }
        let session = self.sessions.established_at(from);
        let handshake = self.sessions.handshake_at(from);
        match (record.epoch(), session, handshake) {
            (0, ..) if is_client_hello(record) => Owner::Gate,
            (0, _, Some(handshake)) => Owner::Handshake(handshake),
            (0, Some(_), None) => Owner::Nobody(Counter::UnprotectedForSession),
            (1, Some(session), Some(handshake)) => Owner::Either(session, handshake),
            (1, Some(session), None) => Owner::Session(session),
            (1, None, Some(handshake)) => Owner::Handshake(handshake),
            (0 | 1, None, None) => Owner::Nobody(Counter::UnknownAddress),
            _ => Owner::Nobody(Counter::WrongEpoch),
        }
    }

    /// A record for an established session.
    fn handle_protected(
        &mut self,
        now: Instant,
        index: u32,
        from: Address,
        record: &Record<'_>,
    ) -> Result<(), Counter> {
        let session = self.sessions.id(index);
        let association = self
            .sessions
            .association_mut(index)
            .ok_or(Counter::UnknownAddress)?;
        let opened = association.open(record)?;
        association.last_heard_s = now.as_secs() as u32;
        let fresh = association.fresh;
        let moves = opened.newest && fresh && association.address != from;
        if moves {
            self.move_session(index, from);
        }
        match opened.content_type {
            content_type::APPLICATION_DATA => {
                if let Some(association) = self.sessions.association_mut(index) {
                    // Whoever sends data has our final flight.
                    association.final_flight = None;
                }
                let (plaintext, newest) = (opened.plaintext, opened.newest);
                self.tell(Event::Data {
                    session,
                    plaintext,
                    from,
                    fresh,
                    newest,
                });
                Ok(())
            }
            content_type::HANDSHAKE => self.handle_late_handshake(index, &opened.plaintext),
            content_type::ALERT => {
                self.handle_alert(index, &opened.plaintext);
                Ok(())
            }
            _ => Err(Counter::UnknownContent),
        }
    }

    /// The peer repeats its Finished, for ours is lost; anything else would be a renegotiation.
    fn handle_late_handshake(&mut self, index: u32, message: &[u8]) -> Result<(), Counter> {
        let session = self.sessions.id(index);
        let association = self
            .sessions
            .association_mut(index)
            .ok_or(Counter::UnknownAddress)?;
        if message.first() != Some(&kind::FINISHED) {
            return Err(Counter::Renegotiation);
        }
        let Some(mut last) = association.final_flight.take() else {
            return Ok(());
        };
        let packing = Packing {
            datagram_max: self.parts.settings.datagram_max,
            plaintext_max: association.plaintext_max.into(),
        };
        reserve_ahead(association, session, &self.parts.settings, &mut self.output);
        last.resend(packing, association, &mut self.parts.datagrams);
        association.final_flight = Some(last);
        let to = association.address;
        self.transmit_datagrams(to, Some(session));
        self.count(Counter::Retransmitted);
        Ok(())
    }

    fn handle_alert(&mut self, index: u32, bytes: &[u8]) {
        match Alert::decode(bytes) {
            Some(Alert {
                description: AlertDescription::CLOSE_NOTIFY,
                ..
            }) => {
                self.end_session(index, CloseReason::Peer);
            }
            Some(alert) if alert.fatal => {
                self.end_session(index, CloseReason::Alert(alert.description));
            }
            _ => {}
        }
    }

    pub(super) fn move_session(&mut self, index: u32, to: Address) {
        let session = self.sessions.id(index);
        if let Some(from) = self.sessions.move_to(index, to) {
            self.tell(Event::Moved { session, from, to });
        }
    }
}

fn is_client_hello(record: &Record<'_>) -> bool {
    record.content_type == content_type::HANDSHAKE
        && record.fragment.first() == Some(&kind::CLIENT_HELLO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dtls;
    use crate::association::Association;
    use crate::association::tests::pair;
    use crate::crypto::suite::CipherSuite;
    use crate::event::Output;
    use crate::export;
    use crate::settings::Settings;
    use alloc::vec::Vec;

    /// A machine with one session, and the client's end of it in hand.
    fn established() -> (Dtls, Association) {
        let (client, mut server) = pair(CipherSuite::PskAes128Ccm8, None);
        server.send_reserved = 0;
        let mut dtls = Dtls::new(Settings::default(), [1; 32]);
        dtls.import(Instant::ZERO, export::encode(&server).expose(), 0)
            .unwrap();
        (dtls, client)
    }

    fn says(
        dtls: &mut Dtls,
        client: &mut Association,
        content_type: u8,
        content: &[u8],
    ) -> Vec<Event> {
        let mut datagram = Vec::new();
        client.seal(content_type, content, &mut datagram).unwrap();
        let from = Address::other([1; 16], 7);
        dtls.handle_receive(Instant::ZERO, from, &datagram);
        let mut events = Vec::new();
        loop {
            match dtls.poll_output() {
                Output::Event(event) => events.push(event),
                Output::Timeout(_) => return events,
                Output::Transmit(_) => panic!("nothing is to be answered"),
                _ => {}
            }
        }
    }

    #[test]
    fn rfc7925_17_a_renegotiation_is_ignored() {
        let (mut dtls, mut client) = established();
        for kind in [kind::CLIENT_HELLO, 0] {
            assert!(says(&mut dtls, &mut client, content_type::HANDSHAKE, &[kind; 12]).is_empty());
        }
        assert_eq!(dtls.stats().value(Counter::Renegotiation), 2);
        let heard = says(
            &mut dtls,
            &mut client,
            content_type::APPLICATION_DATA,
            b"on",
        );
        assert!(matches!(heard[..], [Event::Data { .. }]));
    }

    #[test]
    fn a_repeated_finished_without_a_flight_to_repeat_is_not_answered() {
        let (mut dtls, mut client) = established();
        assert!(
            says(
                &mut dtls,
                &mut client,
                content_type::HANDSHAKE,
                &[kind::FINISHED; 24]
            )
            .is_empty()
        );
    }

    #[test]
    fn protected_content_without_meaning_is_dropped() {
        let (mut dtls, mut client) = established();
        for content_type in [content_type::CHANGE_CIPHER_SPEC, 24, 99] {
            assert!(says(&mut dtls, &mut client, content_type, b"x").is_empty());
        }
        assert_eq!(dtls.stats().value(Counter::UnknownContent), 3);
        assert_eq!(dtls.session_count(), 1);
    }

    #[test]
    fn a_protected_fatal_alert_ends_the_session_and_a_warning_does_not() {
        let (mut dtls, mut client) = established();
        assert!(says(&mut dtls, &mut client, content_type::ALERT, &[1, 100]).is_empty());
        assert!(says(&mut dtls, &mut client, content_type::ALERT, &[7]).is_empty());
        let heard = says(&mut dtls, &mut client, content_type::ALERT, &[2, 20]);
        let reason = CloseReason::Alert(AlertDescription::BAD_RECORD_MAC);
        assert!(matches!(&heard[..], [Event::Closed { reason: why, .. }] if *why == reason));
    }
}
