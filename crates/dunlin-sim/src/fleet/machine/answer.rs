//! What a server asks of a Client, and what the Client says: Read, Observe, Discover, Write,
//! Write-Attributes and Execute on the tree of [`crate::fleet::tree`].
//!
//! A repeated request is simply answered again: all that can be asked here has the same effect
//! twice as once, but for Reboot, after which the Client has forgotten anyway.
//!
//! Attributes are accepted and have no effect: the pace of notifications is the scenario's.

use std::time::Duration;

use dunlin_coap::{
    BlockSize, BlockValue, Code, Message, MessageId, MessageType, OptionList, OptionNumber, Options,
};
use dunlin_lwm2m::ContentFormat;
use dunlin_lwm2m::Path;

use super::Machine;
use crate::fleet::client::{NONE, OBSERVATIONS_MAX, Observation, Phase};
use crate::fleet::plan::milliseconds;
use crate::fleet::report::Kind;
use crate::fleet::scenario::Misbehaviour;
use crate::fleet::tree::Action;

/// Critical options that a request may carry and that we understand (RFC 7252 §5.4.1).
const UNDERSTOOD: [OptionNumber; 7] = [
    OptionNumber::URI_HOST,
    OptionNumber::URI_PORT,
    OptionNumber::URI_PATH,
    OptionNumber::URI_QUERY,
    OptionNumber::ACCEPT,
    OptionNumber::BLOCK2,
    OptionNumber::BLOCK1,
];

/// A response before it is spelled.
#[derive(Debug)]
struct Answer {
    code: Code,
    format: Option<ContentFormat>,
    observe: Option<u32>,
    payload: Vec<u8>,
}

impl Answer {
    fn of(code: Code) -> Self {
        Answer {
            code,
            format: None,
            observe: None,
            payload: Vec::new(),
        }
    }
}

impl Machine {
    /// Answers a request.
    pub(super) fn answer(&mut self, now: Duration, client: u32, request: &Message<'_>) {
        let phase = self.clients[client as usize].phase;
        if !matches!(phase, Phase::Registering | Phase::Registered) {
            return;
        }
        if self.plan.does(now, client, Misbehaviour::Deaf) {
            self.statistics.requests_ignored += 1;
            return;
        }
        let mut action = Action::Nothing;
        let answer = match self.perform(now, client, request, &mut action) {
            Ok(answer) => answer,
            Err(code) => Answer::of(code),
        };
        self.statistics.requests_answered += 1;
        self.respond(now, client, request, &answer);
        match action {
            Action::Nothing => {}
            Action::Reboot => self.reboot(now, client),
            Action::Update => self.update_now(now, client),
        }
    }

    fn perform(
        &mut self,
        now: Duration,
        client: u32,
        request: &Message<'_>,
        action: &mut Action,
    ) -> Result<Answer, Code> {
        let options = &request.options;
        let unknown = |number: OptionNumber| number.is_critical() && !UNDERSTOOD.contains(&number);
        if options.iter().any(|option| unknown(option.number)) {
            return Err(Code::BAD_OPTION);
        }
        if options
            .block1()
            .is_some_and(|block| block.more || block.number > 0)
        {
            // Nothing that can be written here needs a second block.
            return Err(Code::REQUEST_ENTITY_TOO_LARGE);
        }
        let path = path(options)?;
        match request.code {
            Code::GET => self.read(now, client, path, request),
            Code::PUT if request.payload.is_empty() && options.uri_query().next().is_some() => {
                let endpoint = self.plan.endpoint(client);
                self.tree(client, &endpoint).find(path)?;
                Ok(Answer::of(Code::CHANGED))
            }
            Code::POST if path.ids().len() == 3 => {
                let endpoint = self.plan.endpoint(client);
                *action = self.tree(client, &endpoint).execute(path)?;
                self.statistics.executes += 1;
                Ok(Answer::of(Code::CHANGED))
            }
            Code::PUT | Code::POST => self.write(now, client, path, request),
            _ => Err(Code::METHOD_NOT_ALLOWED),
        }
    }

    fn read(
        &mut self,
        now: Duration,
        client: u32,
        path: Path,
        request: &Message<'_>,
    ) -> Result<Answer, Code> {
        let endpoint = self.plan.endpoint(client);
        let tree = self.tree(client, &endpoint);
        let accept = request.options.accept();
        let mut payload = Vec::new();
        if accept == Some(ContentFormat::LINK.0) {
            tree.discover(path, &mut payload)?;
            let format = Some(ContentFormat::LINK);
            return Ok(Answer {
                code: Code::CONTENT,
                format,
                observe: None,
                payload,
            });
        }
        let format = tree.read(path, accept, &mut payload)?;
        if self.plan.does(now, client, Misbehaviour::Nonsense) {
            make_nonsense(&mut payload);
        }
        let observe = match request.options.observe() {
            Some(0) => Some(self.observe(now, client, path, format, request)?),
            Some(1) => {
                self.cancel(client, |one| one.token == request.token);
                None
            }
            _ => None,
        };
        Ok(Answer {
            code: Code::CONTENT,
            format: Some(format),
            observe,
            payload,
        })
    }

    /// Enters an observation, or renews the one with the same token or target (RFC 7641 §4.1).
    fn observe(
        &mut self,
        now: Duration,
        client: u32,
        path: Path,
        format: ContentFormat,
        request: &Message<'_>,
    ) -> Result<u32, Code> {
        let same = |one: &Observation| one.token == request.token || one.path == path;
        let before = self
            .observations
            .of(&self.clients[client as usize])
            .find(|(_, one)| same(one))
            .map(|(_, one)| one.sequence);
        self.cancel(client, same);
        let record = &mut self.clients[client as usize];
        if self.observations.of(record).count() >= OBSERVATIONS_MAX {
            return Err(Code::INTERNAL_SERVER_ERROR);
        }
        let sequence = before.map_or(0, |sequence| sequence + 1);
        let due_ms = milliseconds(now).saturating_add(self.plan.notify_ms);
        let observation = Observation {
            token: request.token,
            path,
            format: format.0,
            // No notification yet; a Reset of an answer to a request does not exist.
            message_id: record.message_id.wrapping_sub(1),
            sequence,
            due_ms,
            next: NONE,
        };
        self.observations.add(record, observation);
        self.statistics.observations += 1;
        self.refresh_notify(client);
        Ok(sequence & 0x00ff_ffff)
    }

    /// Takes observations off the list.
    fn cancel(&mut self, client: u32, which: impl Fn(&Observation) -> bool) {
        loop {
            let record = self.clients[client as usize];
            let found = self.observations.of(&record).find(|(_, one)| which(one));
            let Some((index, _)) = found else { break };
            if record.pending == Some(Kind::Notify) && record.notifying == index {
                self.abandon(client);
            }
            self.observations
                .remove(&mut self.clients[client as usize], index);
        }
        self.refresh_notify(client);
    }

    fn write(
        &mut self,
        now: Duration,
        client: u32,
        path: Path,
        request: &Message<'_>,
    ) -> Result<Answer, Code> {
        let endpoint = self.plan.endpoint(client);
        let tree = self.tree(client, &endpoint);
        let lifetime_s = tree.write(path, request.options.content_format(), request.payload)?;
        self.statistics.writes += 1;
        let record = &mut self.clients[client as usize];
        if lifetime_s != record.lifetime_s {
            // The server is told so by an Update (TS 5.3.2).
            record.lifetime_s = lifetime_s;
            self.update_now(now, client);
        }
        Ok(Answer::of(Code::CHANGED))
    }

    /// An Update that does not wait for its time.
    fn update_now(&mut self, now: Duration, client: u32) {
        let record = &mut self.clients[client as usize];
        if record.phase == Phase::Registered {
            record.update_ms = milliseconds(now);
        }
    }

    /// Spells an answer, cut into blocks where it is long or the server asks for it (RFC 7959 §2.4).
    fn respond(&mut self, now: Duration, client: u32, request: &Message<'_>, answer: &Answer) {
        let mut options = OptionList::new();
        if let Some(observe) = answer.observe {
            options.push_uint(OptionNumber::OBSERVE, observe);
        }
        if let Some(format) = answer.format {
            options.push_uint(OptionNumber::CONTENT_FORMAT, format.0.into());
        }
        let asked = request.options.block2();
        let size = asked.map_or(BlockSize::LARGEST, |block| block.size);
        let number = asked.map_or(0, |block| block.number);
        let start = (number as usize)
            .saturating_mul(size.bytes())
            .min(answer.payload.len());
        let end = (start + size.bytes()).min(answer.payload.len());
        let more = end < answer.payload.len();
        if more || number > 0 {
            options.push_block(OptionNumber::BLOCK2, BlockValue { number, more, size });
        }
        let (message_type, message_id) = match request.message_type {
            MessageType::Confirmable => (MessageType::Acknowledgement, request.message_id),
            _ => {
                let record = &mut self.clients[client as usize];
                let message_id = record.message_id;
                record.message_id = message_id.wrapping_add(1);
                (MessageType::NonConfirmable, MessageId(message_id))
            }
        };
        let message = Message {
            message_type,
            code: answer.code,
            message_id,
            token: request.token,
            options: options.view(),
            payload: &answer.payload[start..end],
        };
        self.send(now, client, &message);
    }
}

/// Bytes that are neither text nor TLV: no UTF-8, and a length that is never reached.
pub(super) fn make_nonsense(payload: &mut Vec<u8>) {
    payload.clear();
    payload.extend_from_slice(&[0xff; 4]);
}

fn path(options: &Options<'_>) -> Result<Path, Code> {
    let segments = options
        .uri_path()
        .map(std::str::from_utf8)
        .collect::<Result<Vec<_>, _>>();
    let segments = segments.map_err(|_| Code::BAD_REQUEST)?;
    Path::from_segments(segments).map_err(|_| Code::NOT_FOUND)
}
