//! The message layer: Confirmable messages are sent until they are acknowledged, reset or given up
//! (RFC 7252 §4.2), and not more of them at a time than NSTART allows (§4.7).

use alloc::vec::Vec;
use core::num::NonZeroU32;
use core::time::Duration;

use rand_core::Rng;

use super::{Endpoint, Timer};
use crate::event::{Event, Failure, ObserverEnd, Refused};
use crate::id::{Barrier, ExchangeId, Instant, NotificationId, ObserverId, PeerId, PingId};
use crate::message::{MessageId, MessageType};
use crate::peers::{Lane, Slot, Waiting};
use crate::round_trip::BACK_OFF as HURRY_BACK_OFF;
use crate::stats::Drop;
use crate::timer::TimerKey;

/// A Confirmable message under way.
#[derive(Debug)]
pub(crate) struct Transmission {
    slot: Slot,
    message_id: MessageId,
    bytes: Vec<u8>,
    barrier: Barrier,
    pub(super) retransmissions: u8,
    /// What the standard lets pass before the next repetition.
    wait: Duration,
    /// What is waited instead, in milliseconds, if that is less (`round_trip`).
    hurry_ms: Option<NonZeroU32>,
    timer: TimerKey,
    pub(super) purpose: Purpose,
}

impl Transmission {
    /// Another repetition leaves now: how long to wait for its acknowledgement.
    fn next_wait(&mut self, last: bool) -> Duration {
        self.wait = self.wait.saturating_mul(2);
        self.hurry_ms = self.hurry_ms.map(|ms| ms.saturating_mul(HURRY_BACK_OFF));
        match self.hurry_ms {
            Some(ms) if !last => Duration::from_millis(ms.get().into()).min(self.wait),
            _ => self.wait,
        }
    }
}

/// A written message that waits for its turn; its Message ID is set when it leaves.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(super) bytes: Vec<u8>,
    pub(super) barrier: Barrier,
    pub(super) purpose: Purpose,
}

/// Whose message it is, that is who hears of its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Request(u32),
    Ping(PingId),
    Response(ExchangeId),
    Notification(ObserverId, NotificationId),
    /// A late 2.31: nobody needs to hear of its end.
    Continue,
}

impl Purpose {
    /// Both roles have an NSTART of their own: RFC 7252 §4.7 speaks of what a client asks, RFC 7641 §4.5.1 of
    /// what a server tells, and neither waits for the other.
    fn is_asking(self) -> bool {
        matches!(self, Purpose::Request(_) | Purpose::Ping(_))
    }
}

impl Endpoint {
    /// Asks whether a peer is there: an empty Confirmable message, to be reset (RFC 7252 §4.3).
    ///
    /// # Errors
    ///
    /// Too many requests wait, or too many peers.
    pub fn ping(&mut self, now: Instant, peer: PeerId) -> Result<PingId, Refused> {
        let slot = self.slot(now, peer).ok_or(Refused::EndpointFull)?;
        let waiting = self
            .peers
            .live(slot)
            .map_or(0, |live| live.asking.waiting.len());
        if waiting >= usize::from(self.config.limits.requests_per_peer_max) {
            return Err(Refused::PeerFull);
        }
        let ping = PingId(self.next_ping);
        self.next_ping += 1;
        let mut bytes = self.outbox.buffer();
        bytes.extend_from_slice(&[0x40, 0, 0, 0]);
        self.post(
            now,
            slot,
            Parcel {
                bytes,
                barrier: 0,
                purpose: Purpose::Ping(ping),
            },
        );
        Ok(ping)
    }

    /// The next Message ID towards a peer; its upper bits find the way back to us.
    pub(super) fn message_id(&mut self, slot: Slot) -> MessageId {
        let bits = u32::from(self.config.message_id_shard_bits.min(8));
        let counter = u32::from(self.peers.next_message_id(slot));
        let shard = u32::from(self.config.message_id_shard);
        MessageId(((shard << (16 - bits)) | (counter & (0xffff >> bits))) as u16)
    }

    /// Sends a message, or lets it wait for its turn.
    pub(super) fn post(&mut self, now: Instant, slot: Slot, parcel: Parcel) {
        let asking = parcel.purpose.is_asking();
        self.lane(slot, asking)
            .waiting
            .push_back(Waiting::Message(parcel));
        self.advance(now, slot, asking);
    }

    pub(super) fn lane(&mut self, slot: Slot, asking: bool) -> &mut Lane {
        let live = self.peers.enliven(slot);
        if asking {
            &mut live.asking
        } else {
            &mut live.telling
        }
    }

    /// Lets those go whose turn it is.
    pub(super) fn advance(&mut self, now: Instant, slot: Slot, asking: bool) {
        let nstart = u16::from(self.profile(self.peers.id(slot)).nstart.max(1));
        while let Some(live) = self.peers.live_mut(slot) {
            let lane = if asking {
                &mut live.asking
            } else {
                &mut live.telling
            };
            if lane.outstanding >= nstart {
                return;
            }
            let Some(waiting) = lane.waiting.pop_front() else {
                break;
            };
            lane.outstanding += 1;
            match waiting {
                Waiting::Request(index) => self.start_request(now, index),
                Waiting::Message(parcel) => {
                    let Parcel {
                        mut bytes,
                        barrier,
                        purpose,
                    } = parcel;
                    let message_id = self.message_id(slot);
                    bytes[2..4].copy_from_slice(&message_id.0.to_be_bytes());
                    self.send_confirmable(now, slot, message_id, bytes, barrier, purpose, None);
                }
            }
        }
        self.peers.settle(slot);
    }

    /// One outstanding interaction less.
    pub(super) fn leave_lane(&mut self, now: Instant, slot: Slot, asking: bool) {
        if let Some(live) = self.peers.live_mut(slot) {
            let lane = if asking {
                &mut live.asking
            } else {
                &mut live.telling
            };
            lane.outstanding = lane.outstanding.saturating_sub(1);
        }
        self.advance(now, slot, asking);
    }

    /// Sends a written Confirmable message for the first time. `measured` is how long the peer takes to
    /// acknowledge, with a margin.
    #[allow(clippy::too_many_arguments)] // What a message is, and one thing about its peer.
    pub(super) fn send_confirmable(
        &mut self,
        now: Instant,
        slot: Slot,
        message_id: MessageId,
        bytes: Vec<u8>,
        barrier: Barrier,
        purpose: Purpose,
        measured: Option<Duration>,
    ) -> u32 {
        let peer = self.peers.id(slot);
        self.outbox.transmit_copy(peer, &bytes, barrier);
        let profile = self.profile(peer);
        let lifetime = profile.exchange_lifetime;
        let spread = profile.ack_random_factor_permille.saturating_sub(1000);
        let timeout = profile.ack_timeout;
        let repeats = profile.max_retransmit > 0;
        let chance = self.random.next_u32();
        // From ACK_TIMEOUT to ACK_TIMEOUT * ACK_RANDOM_FACTOR, both included.
        let permyriad = 10_000 + (u64::from(spread) * 10 * u64::from(chance)) / u64::from(u32::MAX);
        let random = |wait: Duration| wait.saturating_mul(permyriad as u32) / 10_000;
        let wait = random(timeout);
        // The last wait is the standard's, or a peer that is out of reach for a while would be given up.
        let hurry = measured.filter(|_| repeats).map(random);
        let first = hurry.map_or(wait, |hurry| hurry.min(wait));
        let hurry_ms = hurry.and_then(|hurry| NonZeroU32::new(hurry.as_millis() as u32));
        let timer = Timer::Transmission(self.transmissions.next_index());
        let timer = self.timers.insert(now.saturating_add(first), timer);
        let retransmissions = 0;
        let index = self.transmissions.insert(Transmission {
            slot,
            message_id,
            bytes,
            barrier,
            retransmissions,
            wait,
            hurry_ms,
            timer,
            purpose,
        });
        self.peers.enliven(slot).in_flight.push(index);
        self.peers.keep(now, slot, lifetime);
        index
    }

    /// Takes a transmission out of flight; its lane is the caller's to leave.
    pub(super) fn end_transmission(&mut self, index: u32) -> Option<Purpose> {
        let transmission = self.transmissions.remove(index)?;
        self.timers.remove(transmission.timer);
        if let Some(live) = self.peers.live_mut(transmission.slot) {
            live.in_flight.retain(|other| *other != index);
        }
        self.outbox.recycle(transmission.bytes);
        Some(transmission.purpose)
    }

    fn in_flight(&self, slot: Slot, message_id: MessageId) -> Option<u32> {
        let live = self.peers.live(slot)?;
        live.in_flight.iter().copied().find(|index| {
            self.transmissions
                .get(*index)
                .is_some_and(|t| t.message_id == message_id)
        })
    }

    pub(super) fn transmission_timed_out(&mut self, now: Instant, index: u32) {
        let Some(slot) = self.transmissions.get(index).map(|t| t.slot) else {
            return;
        };
        let peer = self.peers.id(slot);
        let max_retransmit = self.profile(peer).max_retransmit;
        let Some(transmission) = self.transmissions.get_mut(index) else {
            return;
        };
        if transmission.retransmissions < max_retransmit {
            transmission.retransmissions += 1;
            let last = transmission.retransmissions == max_retransmit;
            let wait = transmission.next_wait(last);
            let again = now.saturating_add(wait);
            transmission.timer = self.timers.insert(again, Timer::Transmission(index));
            self.outbox.stats.retransmitted += 1;
            self.outbox
                .transmit_copy(peer, &transmission.bytes, transmission.barrier);
            return;
        }
        self.outbox.stats.timed_out += 1;
        let Some(purpose) = self.end_transmission(index) else {
            return;
        };
        match purpose {
            // It leaves its lane when it ends.
            Purpose::Request(request) => {
                return self.fail_request(now, request, Failure::Timeout);
            }
            Purpose::Ping(ping) => self.outbox.event(Event::PingTimedOut { ping, peer }),
            Purpose::Response(exchange) => {
                let failure = Failure::Timeout;
                self.outbox.event(Event::ResponseLost {
                    exchange,
                    peer,
                    failure,
                });
            }
            Purpose::Notification(observer, notification) => {
                self.outbox.event(Event::NotificationTimedOut {
                    notification,
                    observer,
                });
            }
            Purpose::Continue => {}
        }
        self.leave_lane(now, slot, purpose.is_asking());
    }

    /// An empty acknowledgement.
    pub(super) fn receive_acknowledgement(
        &mut self,
        now: Instant,
        peer: PeerId,
        message_id: MessageId,
    ) {
        let found = self
            .peers
            .find(peer)
            .and_then(|slot| self.in_flight(slot, message_id).map(|index| (slot, index)));
        let Some((slot, index)) = found else {
            return self.outbox.stats.drop(Drop::UnknownAcknowledgement);
        };
        let Some(purpose) = self.transmissions.get(index).map(|t| t.purpose) else {
            return;
        };
        if let Purpose::Ping(_) = purpose {
            // A ping is reset, not acknowledged; but whoever says this is there.
            return self.pong(now, slot, index);
        }
        if let Purpose::Request(request) = purpose {
            self.measure(now, request);
        }
        self.end_transmission(index);
        match purpose {
            Purpose::Request(request) => return self.request_acknowledged(now, request),
            Purpose::Notification(observer, notification) => {
                self.outbox.event(Event::NotificationAcknowledged {
                    notification,
                    observer,
                });
            }
            Purpose::Response(_) | Purpose::Ping(_) | Purpose::Continue => {}
        }
        self.leave_lane(now, slot, purpose.is_asking());
    }

    fn pong(&mut self, now: Instant, slot: Slot, index: u32) {
        if let Some(Purpose::Ping(ping)) = self.end_transmission(index) {
            self.outbox.event(Event::Pong {
                ping,
                peer: self.peers.id(slot),
            });
        }
        self.leave_lane(now, slot, true);
    }

    /// A Reset, of a Confirmable message or of a Non-confirmable one.
    pub(super) fn receive_reset(&mut self, now: Instant, peer: PeerId, message_id: MessageId) {
        let Some(slot) = self.peers.find(peer) else {
            return self.outbox.stats.drop(Drop::UnknownReset);
        };
        let Some(index) = self.in_flight(slot, message_id) else {
            return self.reset_non_confirmable(now, slot, message_id);
        };
        let Some(purpose) = self.transmissions.get(index).map(|t| t.purpose) else {
            return;
        };
        match purpose {
            Purpose::Ping(_) => return self.pong(now, slot, index),
            Purpose::Request(request) => {
                self.end_transmission(index);
                return self.fail_request(now, request, Failure::Reset);
            }
            Purpose::Response(exchange) => {
                self.end_transmission(index);
                let failure = Failure::Reset;
                self.outbox.event(Event::ResponseLost {
                    exchange,
                    peer,
                    failure,
                });
            }
            Purpose::Notification(observer, _) => {
                self.end_transmission(index);
                if self.observer(observer).is_ok() {
                    self.drop_observer(now, observer.index(), ObserverEnd::Reset);
                }
            }
            Purpose::Continue => {
                self.end_transmission(index);
            }
        }
        self.leave_lane(now, slot, purpose.is_asking());
    }

    fn reset_non_confirmable(&mut self, now: Instant, slot: Slot, message_id: MessageId) {
        if let Some(request) = self.non_confirmable_request(slot, message_id) {
            return self.fail_request(now, request, Failure::Reset);
        }
        match self.observer_notified_with(slot, message_id) {
            Some(observer) => self.drop_observer(now, observer, ObserverEnd::Reset),
            None => self.outbox.stats.drop(Drop::UnknownReset),
        }
    }

    /// Sends a Non-confirmable message that was written with its Message ID.
    pub(super) fn send_non_confirmable(&mut self, slot: Slot, bytes: Vec<u8>, barrier: Barrier) {
        debug_assert_eq!(bytes[0] >> 4 & 3, MessageType::NonConfirmable.to_bits());
        self.outbox.transmit(self.peers.id(slot), bytes, barrier);
    }
}
