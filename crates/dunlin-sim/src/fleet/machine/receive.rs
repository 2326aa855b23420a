//! What a server says to a Client: acknowledgements, responses, Resets. Its requests go on to
//! [`super::answer`]. Part of the machine; see its module for the flow.

use std::time::Duration;

use dunlin_coap::{Code, Message, MessageType, Options};

use super::{Fact, MAX_AGE_DEFAULT_S, Machine, SEPARATE_WAIT_MS};
use crate::fleet::client::{Flags, NEVER, Phase};
use crate::fleet::message::{empty, token};
use crate::fleet::plan::milliseconds;
use crate::fleet::report::Kind;
use crate::fleet::scenario::Misbehaviour;

impl Machine {
    pub(super) fn receive(&mut self, now: Duration, client: u32, message: &Message<'_>) {
        self.stay_awake(now, client);
        let record = self.clients[client as usize];
        let is_pending = record.pending.is_some() && message.message_id.0 == record.pending_id;
        match message.message_type {
            MessageType::Acknowledgement if !is_pending => {}
            MessageType::Acknowledgement if message.code == Code::EMPTY => {
                self.acknowledged(now, client);
            }
            MessageType::Acknowledgement => self.response(now, client, message),
            MessageType::Reset if is_pending => self.fail(now, client, "reset", None),
            MessageType::Reset => self.reset(client, message.message_id.0),
            MessageType::Confirmable if message.code == Code::EMPTY => {
                // A ping (RFC 7252 §4.3).
                self.send(now, client, &empty(MessageType::Reset, message.message_id));
            }
            MessageType::Confirmable | MessageType::NonConfirmable if message.code.is_request() => {
                self.answer(now, client, message);
            }
            MessageType::Confirmable => {
                let acknowledgement = empty(MessageType::Acknowledgement, message.message_id);
                self.send(now, client, &acknowledgement);
                self.response(now, client, message);
            }
            MessageType::NonConfirmable => self.response(now, client, message),
        }
    }

    /// An empty acknowledgement: the end of a notification, the beginning of waiting for others.
    pub(super) fn acknowledged(&mut self, now: Duration, client: u32) {
        let record = &mut self.clients[client as usize];
        if record.pending != Some(Kind::Notify) {
            record.flags.set(Flags::SEPARATE, true);
            record.timeout_ms = milliseconds(now).saturating_add(SEPARATE_WAIT_MS);
            return;
        }
        let (path, reading) = (self.observations.at(record.notifying).path, record.reading);
        // The same whatever the name, which no sensor tells.
        let value = self.tree(client, "").sensor_value(path);
        self.succeed(now, client);
        if !self.plan.does(now, client, Misbehaviour::Nonsense) {
            self.fact(Fact::Notified {
                client,
                path,
                reading,
                value,
            });
        }
        self.wake(now, client);
    }

    /// A response to a Register, an Update or a De-register.
    pub(super) fn response(&mut self, now: Duration, client: u32, message: &Message<'_>) {
        let record = self.clients[client as usize];
        let awaited = matches!(
            record.pending,
            Some(Kind::Register | Kind::Update | Kind::Deregister)
        ) && message.token == token(record.pending_id, client);
        if !awaited {
            return;
        }
        match (record.pending, message.code) {
            (Some(Kind::Register), Code::CREATED) => self.created(now, client, message.options),
            (Some(Kind::Update), Code::CHANGED) => {
                self.succeed(now, client);
                if record.flags.has(Flags::TELL_LIFETIME) {
                    self.fact(Fact::Updated {
                        client,
                        lifetime_s: record.told_s,
                    });
                }
                self.next_update(now, client);
            }
            (Some(Kind::Deregister), Code::DELETED) => {
                self.succeed(now, client);
                self.forget_registration(client);
                self.fact(Fact::Deregistered { client });
            }
            (_, code) => {
                let busy = code == Code::SERVICE_UNAVAILABLE;
                let max_age = message.options.max_age_s().unwrap_or(MAX_AGE_DEFAULT_S);
                let retry_after = busy.then(|| Duration::from_secs(max_age.into()));
                return self.fail(now, client, &code.to_string(), retry_after);
            }
        }
        self.wake(now, client);
    }

    pub(super) fn created(&mut self, now: Duration, client: u32, options: Options<'_>) {
        if !self.locations.set(client as usize, options) {
            return self.fail(now, client, "location_too_long", None);
        }
        self.succeed(now, client);
        self.registered += 1;
        // Updates begin anywhere in their interval, so that the fleet does not march in step.
        let first = (self.uniform() * f64::from(self.plan.update_ms)) as u32;
        let record = &mut self.clients[client as usize];
        record.phase = Phase::Registered;
        record.attempts = 0;
        record.update_ms = milliseconds(now).saturating_add(first).min(NEVER - 1);
        if record.lifetime_s != record.told_s {
            record.update_ms = milliseconds(now);
        }
        // Whoever comes when the others have been sent home goes at once.
        let leaving = self.closing.is_some() && self.plan.scenario.deregister;
        record.flags.set(Flags::LEAVING, leaving);
        let lifetime_s = record.told_s;
        self.settle(client);
        self.fact(Fact::Registered { client, lifetime_s });
    }

    /// A Reset of a Non-confirmable notification cancels its observation (RFC 7641 §3.6).
    pub(super) fn reset(&mut self, client: u32, message_id: u16) {
        let record = &mut self.clients[client as usize];
        let found = self
            .observations
            .of(record)
            .find(|(_, one)| one.message_id == message_id);
        if let Some((index, _)) = found {
            self.observations.remove(record, index);
            self.refresh_notify(client);
        }
    }
}
