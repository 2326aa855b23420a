//! Exchanges of a Client: what it sends and waits for, what it does when an answer comes and when
//! none does. Part of the machine; see its module for the flow.

use std::time::Duration;

use dunlin_coap::{Code, Message, MessageId, MessageType, OptionList, OptionNumber};

use super::answer::make_nonsense;
use super::{Machine, binding, from_ms};
use crate::fleet::client::{Flags, NEVER, NONE, Phase};
use crate::fleet::message::{RegisterTells, register_options, token, update_options};
use crate::fleet::plan::milliseconds;
use crate::fleet::report::Kind;
use crate::fleet::scenario::Misbehaviour;
use crate::fleet::wheel::Milliseconds;

impl Machine {
    /// Sends a Confirmable message that waits for its answer.
    pub(super) fn begin(&mut self, now: Duration, client: u32, kind: Kind, due_us: u64) {
        let coap = self.plan.scenario.coap;
        let spread = 1.0 + self.uniform() * (coap.ack_random_factor - 1.0);
        let record = &mut self.clients[client as usize];
        if kind == Kind::Register {
            self.observations.clear(record);
            record.told_s = record.lifetime_s;
        }
        record.due_us = due_us;
        record.pending = Some(kind);
        record.pending_id = record.message_id;
        record.message_id = record.message_id.wrapping_add(1);
        record.retransmissions = 0;
        record.flags.set(Flags::SEPARATE, false);
        record.interval_ms = milliseconds(coap.ack_timeout.mul_f64(spread)).max(1);
        record.timeout_ms = milliseconds(now)
            .saturating_add(record.interval_ms)
            .min(NEVER - 1);
        self.outstanding += 1;
        self.transmit(now, client);
    }

    pub(super) fn begin_update(&mut self, now: Duration, client: u32, due_us: u64) {
        let changing = self.plan.scenario.update.changing;
        let change = changing > 0.0 && self.uniform() < changing;
        let base = self.plan.scenario.lifetime_s;
        let record = &mut self.clients[client as usize];
        // Nobody knows whether the last one was told: it is told again. Another one might be what the
        // server still has, and would pass for a change that was none.
        let change = change && record.told_s != 0;
        if change {
            // To and fro, so that it never grows.
            record.lifetime_s = if record.lifetime_s == base {
                base + 1
            } else {
                base
            };
        }
        record
            .flags
            .set(Flags::TELL_LIFETIME, record.lifetime_s != record.told_s);
        record.told_s = record.lifetime_s;
        self.begin(now, client, Kind::Update, due_us);
    }

    /// Notifies what is due: Non-confirmable ones all, a Confirmable one alone.
    pub(super) fn begin_notifications(&mut self, now: Duration, client: u32) {
        let now_ms = milliseconds(now);
        while let Some(index) = self.earliest_observation(client, now_ms) {
            let due_ms = self.observations.at(index).due_ms;
            let (next, missed) = next_due(due_ms, self.plan.notify_ms, now_ms);
            self.missed("notify_missed", missed);
            let confirmable = self.uniform() < self.plan.scenario.notify.confirmable;
            let record = &mut self.clients[client as usize];
            record.reading += 1;
            record.notifying = index;
            let message_id = record.message_id;
            let observation = self.observations.at_mut(index);
            observation.due_ms = next;
            observation.sequence += 1;
            observation.message_id = message_id;
            if confirmable {
                self.begin(now, client, Kind::Notify, u64::from(due_ms) * 1000);
                break;
            }
            record.message_id = message_id.wrapping_add(1);
            self.notify(now, client, MessageType::NonConfirmable, message_id);
            self.statistics.sent_non_confirmable(from_ms(due_ms), now);
        }
        self.refresh_notify(client);
    }

    pub(super) fn earliest_observation(&self, client: u32, now_ms: Milliseconds) -> Option<u32> {
        self.observations
            .of(&self.clients[client as usize])
            .filter(|(_, one)| one.due_ms <= now_ms)
            .min_by_key(|(_, one)| one.due_ms)
            .map(|(index, _)| index)
    }

    /// Works out when the Client has to notify next.
    pub(super) fn refresh_notify(&mut self, client: u32) {
        let record = &self.clients[client as usize];
        let earliest = self
            .observations
            .of(record)
            .map(|(_, one)| one.due_ms)
            .min();
        self.clients[client as usize].notify_ms = earliest.unwrap_or(NEVER);
    }

    pub(super) fn retransmit(&mut self, now: Duration, client: u32) {
        let record = &mut self.clients[client as usize];
        let separate = record.flags.has(Flags::SEPARATE);
        if separate || record.retransmissions >= self.plan.scenario.coap.max_retransmit {
            return self.fail(now, client, "timeout", None);
        }
        record.retransmissions += 1;
        record.interval_ms = record.interval_ms.saturating_mul(2);
        record.timeout_ms = milliseconds(now)
            .saturating_add(record.interval_ms)
            .min(NEVER - 1);
        self.statistics.retransmissions += 1;
        self.transmit(now, client);
    }

    /// Spells what waits for an answer, the same each time, and sends it.
    pub(super) fn transmit(&mut self, now: Duration, client: u32) {
        let record = self.clients[client as usize];
        let message_id = record.pending_id;
        let request = |code, options, payload| Message {
            message_type: MessageType::Confirmable,
            code,
            message_id: MessageId(message_id),
            token: token(message_id, client),
            options,
            payload,
        };
        match record.pending {
            Some(Kind::Register) => {
                let endpoint = self.plan.endpoint(client);
                let options = register_options(RegisterTells {
                    endpoint: &endpoint,
                    lifetime_s: record.told_s,
                    lwm2m: &self.plan.scenario.lwm2m,
                    binding: binding(&record),
                });
                let mut links = std::mem::take(&mut self.scratch);
                links.clear();
                self.tree(client, &endpoint).links(&mut links);
                self.send(now, client, &request(Code::POST, options.view(), &links));
                self.scratch = links;
            }
            Some(Kind::Update) => {
                let location = self.locations.path(client as usize);
                let options = if record.flags.has(Flags::TELL_LIFETIME) {
                    update_options(location, record.told_s)
                } else {
                    OptionList::from_options(location)
                };
                self.send(now, client, &request(Code::POST, options.view(), &[]));
            }
            Some(Kind::Deregister) => {
                let options = OptionList::from_options(self.locations.path(client as usize));
                self.send(now, client, &request(Code::DELETE, options.view(), &[]));
            }
            Some(Kind::Notify) => self.notify(now, client, MessageType::Confirmable, message_id),
            None => {}
        }
    }

    /// Sends the notification that the Client has counted last.
    pub(super) fn notify(
        &mut self,
        now: Duration,
        client: u32,
        message_type: MessageType,
        message_id: u16,
    ) {
        let record = self.clients[client as usize];
        let observation = *self.observations.at(record.notifying);
        let mut payload = std::mem::take(&mut self.scratch);
        payload.clear();
        let endpoint = self.plan.endpoint(client);
        let tree = self.tree(client, &endpoint);
        match tree.read(observation.path, Some(observation.format), &mut payload) {
            Ok(format) => {
                if self.plan.does(now, client, Misbehaviour::Nonsense) {
                    make_nonsense(&mut payload);
                }
                let mut options = OptionList::new();
                options.push_uint(OptionNumber::OBSERVE, observation.sequence & 0x00ff_ffff);
                options.push_uint(OptionNumber::CONTENT_FORMAT, format.0.into());
                let message = Message {
                    message_type,
                    code: Code::CONTENT,
                    message_id: MessageId(message_id),
                    token: observation.token,
                    options: options.view(),
                    payload: &payload,
                };
                self.send(now, client, &message);
            }
            // It was read when the observation was made, and the tree does not change.
            Err(code) => unreachable!("an observed path answers {code}"),
        }
        self.scratch = payload;
    }

    /// What waited has been answered well.
    pub(super) fn succeed(&mut self, now: Duration, client: u32) -> Option<Kind> {
        let record = &mut self.clients[client as usize];
        let kind = record.pending.take()?;
        self.outstanding -= 1;
        self.statistics
            .success(kind, Duration::from_micros(record.due_us), now);
        Some(kind)
    }

    /// What waited has come to nothing: no answer, a Reset, or an answer that refuses.
    pub(super) fn fail(
        &mut self,
        now: Duration,
        client: u32,
        reason: &str,
        retry_after: Option<Duration>,
    ) {
        let record = &mut self.clients[client as usize];
        let Some(kind) = record.pending.take() else {
            return;
        };
        self.outstanding -= 1;
        self.statistics.error(format!("{}_{reason}", kind.name()));
        match kind {
            Kind::Register => self.retry_register(now, client, retry_after),
            Kind::Update if reason == "4.04" => {
                // The server has forgotten us (TS 5.3.2).
                self.forget_registration(client);
                let record = &mut self.clients[client as usize];
                (record.attempts, record.update_ms) = (0, milliseconds(now));
            }
            Kind::Update => {
                if self.clients[client as usize]
                    .flags
                    .has(Flags::TELL_LIFETIME)
                {
                    // Told or not: the next one tells it again.
                    self.clients[client as usize].told_s = 0;
                }
                self.next_update(now, client);
                if let Some(after) = retry_after {
                    // All who were told the same do not come back at once.
                    let after = after.mul_f64(1.0 + self.uniform() / 2.0);
                    self.clients[client as usize].update_ms = milliseconds(now + after);
                }
            }
            Kind::Notify => {
                // RFC 7641 §4.5: who does not acknowledge, or resets, is taken off the list.
                let record = &mut self.clients[client as usize];
                let index = std::mem::replace(&mut record.notifying, NONE);
                self.observations.remove(record, index);
                self.refresh_notify(client);
            }
            Kind::Deregister => self.forget_registration(client),
        }
        self.wake(now, client);
    }

    pub(super) fn retry_register(
        &mut self,
        now: Duration,
        client: u32,
        retry_after: Option<Duration>,
    ) {
        let register = self.plan.scenario.register;
        let wait = retry_after
            .unwrap_or(register.retry)
            .mul_f64(1.0 + self.uniform() / 2.0);
        let record = &mut self.clients[client as usize];
        // Who is told to come later has been heard, and comes later as often as it is told.
        record.attempts += u8::from(retry_after.is_none());
        if record.attempts >= register.attempts {
            record.phase = Phase::GivenUp;
            self.statistics.error("register_given_up".to_owned());
            self.settle(client);
        } else {
            record.update_ms = milliseconds(now + wait);
        }
    }

    pub(super) fn settle(&mut self, client: u32) {
        let record = &mut self.clients[client as usize];
        if !record.flags.has(Flags::SETTLED) {
            record.flags.set(Flags::SETTLED, true);
            self.settled += 1;
        }
    }

    /// The registration is gone, and with it the observations.
    pub(super) fn forget_registration(&mut self, client: u32) {
        let record = &mut self.clients[client as usize];
        if record.phase == Phase::Registered {
            self.registered -= 1;
        }
        record.phase = if record.flags.has(Flags::LEAVING) {
            Phase::Deregistered
        } else {
            Phase::Registering
        };
        self.observations.clear(record);
    }

    pub(super) fn next_update(&mut self, now: Duration, client: u32) {
        let record = &mut self.clients[client as usize];
        let (next, missed) = next_due(record.update_ms, self.plan.update_ms, milliseconds(now));
        record.update_ms = next;
        if record.lifetime_s != record.told_s && record.told_s != 0 {
            // A server wrote another lifetime while this Update was under way.
            record.update_ms = milliseconds(now);
        }
        self.missed("update_missed", missed);
    }

    /// What the schedule wanted while the Client was still waiting for an answer is not made up
    /// for, but it is told.
    pub(super) fn missed(&mut self, name: &str, count: u32) {
        if count > 0 {
            *self.statistics.errors.entry(name.to_owned()).or_insert(0) += u64::from(count);
        }
    }
}

/// The time after `due` in steps of `interval` that is not past, and how many were passed over.
fn next_due(due: Milliseconds, interval: u32, now: Milliseconds) -> (Milliseconds, u32) {
    let interval = interval.max(1);
    let missed = now.saturating_sub(due) / interval;
    let next = due
        .saturating_add(interval.saturating_mul(missed + 1))
        .min(NEVER - 1);
    (next, missed)
}
