//! The truths that hold over the whole world, and the ledger they are held against.
//!
//! - A Client that was told 2.01 or 2.04 is known until its lifetime ends: no 4.04 before, unless
//!   something explains it (a second copy of an older Register that nobody can tell from a new one,
//!   a clock that jumped before a crash).
//! - A notification that was acknowledged is in the durable event log once, and those of one
//!   observation are there in their order; late ones are marked.
//! - What must not be done twice is not done twice.
//! - Every request that was accepted has one outcome, told once and logged once.
//! - A queue is served when its Client is heard.
//!
//! The ledger sees what the world sees: datagrams, commits, news. It reads no machine's memory.

pub(crate) mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use dunlin_lwm2m::Path;
use dunlin_server::command::Failed;
use dunlin_server::{Outcome, RegistrationId, RequestId};
use dunlin_transport::Address;
use dunlin_transport::coap::Token;

use crate::world::process::Cause;
use crate::world::verdict::Tally;
use wire::Note;

/// A truth that did not hold: in one sentence.
pub(crate) type Broken = String;

/// Registers and Updates remembered per Client: more than can be under way in LATENCY_MAX.
const UPLINKS_KEPT: usize = 32;
/// Notifications remembered per Client.
const NOTIFICATIONS_KEPT: usize = 256;

/// After the store works again, what could not be stored is stored within this.
const CATCHING_UP: Duration = Duration::from_secs(10);

/// The ledger.
#[derive(Debug)]
pub(crate) struct Ledger {
    clients: Vec<ClientLedger>,
    asked: BTreeMap<RequestId, Asked>,
    /// What was done, by the number of the command: in which lives of the Client.
    done: BTreeMap<u64, Vec<u32>>,
    /// Commands by their number, to be held against `done` at the end.
    numbers: BTreeMap<u64, RequestId>,
    /// When the Server's wall clock last jumped.
    clock_jumped: Option<Duration>,
    /// Since when the store has failed, and until when, if it works again.
    store_failed: Option<(Duration, Option<Duration>)>,
    /// Refreshes that were taken in these spans may be forgotten: the Server crashed before it could
    /// store them, or its clock jumped before it crashed, and expiries are dates.
    forgotten: Vec<(Duration, Duration)>,
}

#[derive(Debug, Default)]
struct ClientLedger {
    uplinks: VecDeque<Uplink>,
    promise: Option<Promise>,
    notifications: VecDeque<Notification>,
    /// The last measurement told in order, by path.
    told: BTreeMap<Path, u64>,
    /// When an uplink was last taken by the Server, in which life of it.
    heard: Option<(u32, Duration)>,
    /// When a request of the Server last left.
    asked_at: Duration,
}

/// A Register, Update or De-register that a Client sent.
#[derive(Debug)]
struct Uplink {
    token: Token,
    life: u32,
    note: Note,
    arrived: Option<(u32, Duration, Address)>,
}

/// What a Client was told: it is known at this location until then.
#[derive(Debug)]
struct Promise {
    location: RegistrationId,
    token: Token,
    lifetime_s: u32,
    until: Duration,
    /// A copy of a Register has been taken since for a new one.
    superseded: bool,
    /// When the Server took what it answers.
    taken: Duration,
}

#[derive(Debug)]
struct Notification {
    token: Token,
    sequence: u32,
    message_id: u16,
    durable: u32,
    acknowledged: bool,
}

/// A command that was taken.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) device: usize,
    pub(crate) number: Option<u64>,
    pub(crate) name: &'static str,
    pub(crate) at: Duration,
    /// The life of the Server in which it was taken.
    pub(crate) life: u32,
    /// It is known to the operator as queued: it must not get lost.
    pub(crate) accepted: bool,
    pub(crate) told: u32,
    pub(crate) logged: u32,
    pub(crate) outcome: Option<Outcome>,
}

impl Ledger {
    pub(crate) fn new(devices: usize) -> Self {
        Self {
            clients: (0..devices).map(|_| ClientLedger::default()).collect(),
            asked: BTreeMap::new(),
            done: BTreeMap::new(),
            numbers: BTreeMap::new(),
            clock_jumped: None,
            store_failed: None,
            forgotten: Vec::new(),
        }
    }

    // Datagrams.

    /// A datagram leaves a Client.
    pub(crate) fn client_sends(&mut self, device: usize, life: u32, note: Note) {
        let client = &mut self.clients[device];
        match note {
            Note::Register { token, .. }
            | Note::Update { token, .. }
            | Note::Deregister { token, .. } => {
                if client
                    .uplinks
                    .iter()
                    .any(|one| one.token == token && one.life == life)
                {
                    return;
                }
                if !matches!(note, Note::Update { .. }) {
                    client.promise = None;
                }
                if client.uplinks.len() == UPLINKS_KEPT {
                    client.uplinks.pop_front();
                }
                client.uplinks.push_back(Uplink {
                    token,
                    life,
                    note,
                    arrived: None,
                });
            }
            Note::Notification {
                token,
                sequence,
                message_id,
                confirmable: true,
            } => {
                let same = |one: &&mut Notification| one.token == token && one.sequence == sequence;
                if let Some(known) = client.notifications.iter_mut().find(same) {
                    known.message_id = message_id;
                    return;
                }
                if client.notifications.len() == NOTIFICATIONS_KEPT {
                    client.notifications.pop_front();
                }
                client.notifications.push_back(Notification {
                    token,
                    sequence,
                    message_id,
                    durable: 0,
                    acknowledged: false,
                });
            }
            _ => {}
        }
    }

    /// A datagram of a Client is taken by the Server.
    pub(crate) fn server_takes(
        &mut self,
        at: Duration,
        server_life: u32,
        device: usize,
        from: &Address,
        note: Note,
    ) {
        let client = &mut self.clients[device];
        let (Note::Register { token, .. }
        | Note::Update { token, .. }
        | Note::Deregister { token }) = note
        else {
            return;
        };
        client.heard = Some((server_life, at));
        // Tokens are chosen anew in each life: the latest of that token is meant.
        let found = client
            .uplinks
            .iter_mut()
            .rev()
            .find(|one| one.token == token);
        let arrived = found.and_then(|uplink| {
            let before = uplink.arrived.clone();
            uplink
                .arrived
                .get_or_insert_with(|| (server_life, at, from.clone()));
            before
        });
        // Its answer may be lost, or the change itself in a crash: the shorter lifetime is what can be relied on
        // until the Client is told.
        if let Note::Update {
            location,
            lifetime_s: Some(lifetime_s),
            ..
        } = note
            && let Some(promise) = &mut client.promise
            && location == Some(promise.location)
        {
            promise.lifetime_s = promise.lifetime_s.min(lifetime_s);
            let until = at + Duration::from_secs(lifetime_s.into());
            promise.until = promise.until.min(until);
        }
        if !matches!(note, Note::Register { .. }) {
            return;
        }
        // A copy of a Register that comes in another life of the Server, from another address, or
        // for the first time after a later one was answered, cannot be told from a new Register.
        if let Some(promise) = &mut client.promise {
            let duplicate =
                arrived.is_some_and(|(life, _, address)| life == server_life && address == *from);
            if !duplicate || promise.token != token {
                promise.superseded = true;
            }
        }
    }

    /// A datagram of the Server leaves for a Client.
    pub(crate) fn server_sends(
        &mut self,
        at: Duration,
        device: usize,
        note: Note,
        tally: &mut Tally,
    ) -> Result<(), Broken> {
        let client = &mut self.clients[device];
        match note {
            Note::Request { .. } => client.asked_at = at,
            Note::Acknowledgement { message_id } => {
                let last = client
                    .notifications
                    .iter_mut()
                    .rev()
                    .find(|one| one.message_id == message_id);
                if let Some(notification) = last {
                    if notification.durable == 0 {
                        return Err(format!(
                            "notification {} of {} is acknowledged and not in the durable log",
                            notification.sequence, notification.token
                        ));
                    }
                    if !std::mem::replace(&mut notification.acknowledged, true) {
                        tally.acknowledged += 1;
                    }
                }
            }
            Note::Answer { token, code, .. } if code == dunlin_transport::coap::Code::NOT_FOUND => {
                let update = client.uplinks.iter().rev().find(|one| one.token == token);
                if let Some(Uplink {
                    note: Note::Update { location, .. },
                    ..
                }) = update
                    && let Some(promise) = &client.promise
                    && *location == Some(promise.location)
                {
                    let void = may_be_forgotten(&self.forgotten, promise.taken);
                    if at < promise.until && !promise.superseded && !void {
                        return Err(format!(
                            "4.04 to an Update of {}, whose lifetime ends only at {:?}",
                            promise.location, promise.until
                        ));
                    }
                    tally.unknown_explained += 1;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A datagram of the Server reaches a Client.
    pub(crate) fn client_takes(&mut self, device: usize, life: u32, note: Note, tally: &mut Tally) {
        let Note::Answer {
            token,
            code,
            location,
        } = note
        else {
            return;
        };
        let client = &mut self.clients[device];
        let found = client
            .uplinks
            .iter()
            .rev()
            .find(|one| one.token == token && one.life == life);
        let Some(uplink) = found else { return };
        let Some((_, arrived, _)) = uplink.arrived else {
            return;
        };
        let latest = client
            .uplinks
            .iter()
            .rev()
            .find(|one| matches!(one.note, Note::Register { .. }))
            .map(|one| (one.token, one.life));
        match (uplink.note, location) {
            (Note::Register { lifetime_s, .. }, Some(location))
                if code.is_success()
                    && latest == Some((token, life))
                    && client.promise.as_ref().map(|one| one.token) != Some(token) =>
            {
                tally.registered += 1;
                client.promise = Some(Promise {
                    location,
                    token,
                    lifetime_s,
                    until: arrived + Duration::from_secs(lifetime_s.into()),
                    superseded: false,
                    taken: arrived,
                });
            }
            (
                Note::Update {
                    location,
                    lifetime_s,
                    ..
                },
                _,
            ) if code.is_success() => {
                if let Some(promise) = &mut client.promise
                    && location == Some(promise.location)
                {
                    tally.updated += 1;
                    promise.lifetime_s = lifetime_s.unwrap_or(promise.lifetime_s);
                    promise.until = arrived + Duration::from_secs(promise.lifetime_s.into());
                    promise.taken = arrived;
                }
            }
            _ => {}
        }
    }

    /// When this Client was last heard by the Server in its present life, and when it was last
    /// asked something.
    pub(crate) fn heard(&self, device: usize, server_life: u32) -> Option<(Duration, Duration)> {
        let client = &self.clients[device];
        let (life, at) = client.heard?;
        (life == server_life).then_some((at, client.asked_at))
    }

    /// Whether a Client may be unknown to the Server without having been told.
    pub(crate) fn is_superseded(&self, device: usize) -> bool {
        self.clients[device].promise.as_ref().is_none_or(|promise| {
            promise.superseded || may_be_forgotten(&self.forgotten, promise.taken)
        })
    }

    // Faults.

    pub(crate) fn clock_jumped(&mut self, at: Duration) {
        self.clock_jumped = Some(at);
    }

    /// The Server has crashed.
    pub(crate) fn crashed(&mut self, at: Duration) {
        if let Some(jumped) = self.clock_jumped.take() {
            self.forgotten.push((Duration::ZERO, jumped));
        }
        if let Some((from, until)) = self.store_failed.take()
            && until.is_none_or(|until| at < until + CATCHING_UP)
        {
            self.forgotten.push((from, at));
        }
    }

    /// The store has begun to fail, or works again.
    pub(crate) fn store_fails(&mut self, at: Duration, fails: bool) {
        let since = self.store_failed.map_or(at, |(from, until)| {
            if until.is_none_or(|until| at < until + CATCHING_UP) {
                from
            } else {
                at
            }
        });
        self.store_failed = Some((since, (!fails).then_some(at)));
    }

    // The event log.

    /// This many records of a notification have become durable.
    pub(crate) fn logged_notification(&mut self, cause: Cause, count: u32) -> Result<(), Broken> {
        let client = &mut self.clients[cause.device];
        let same =
            |one: &&mut Notification| one.token == cause.token && one.sequence == cause.sequence;
        let Some(notification) = client.notifications.iter_mut().rev().find(same) else {
            return Ok(());
        };
        notification.durable += count;
        if notification.durable > 1 {
            return Err(format!(
                "notification {} of {} is in the log {} times",
                cause.sequence, cause.token, notification.durable
            ));
        }
        Ok(())
    }

    /// A value is in the log.
    pub(crate) fn logged_value(
        &mut self,
        device: usize,
        path: Path,
        sample: u64,
        late: bool,
    ) -> Result<(), Broken> {
        if late {
            return Ok(());
        }
        let last = self.clients[device].told.entry(path).or_default();
        if sample < *last {
            return Err(format!(
                "{path}: measurement {sample} is told after {last}, and not as late"
            ));
        }
        *last = sample;
        Ok(())
    }

    /// The last measurement of a path that was told in order.
    pub(crate) fn last_told(&self, device: usize, path: Path) -> Option<u64> {
        self.clients[device].told.get(&path).copied()
    }

    // Requests.

    pub(crate) fn asked(&mut self, id: RequestId, asked: Asked) {
        if let Some(number) = asked.number {
            self.numbers.insert(number, id);
        }
        self.asked.insert(id, asked);
    }

    /// Whether a request that waits was there before that.
    pub(crate) fn was_asked_before(&self, id: RequestId, at: Duration) -> bool {
        self.asked.get(&id).is_some_and(|asked| asked.at < at)
    }

    /// The operator knows that it is queued.
    pub(crate) fn accepted(&mut self, id: RequestId) {
        if let Some(asked) = self.asked.get_mut(&id) {
            asked.accepted = true;
        }
    }

    pub(crate) fn told(
        &mut self,
        id: RequestId,
        outcome: Outcome,
        tally: &mut Tally,
    ) -> Result<Option<usize>, Broken> {
        tally.outcomes += 1;
        match &outcome {
            Outcome::Answered(_) => tally.answered += 1,
            Outcome::Failed(Failed::Unknown) => tally.unknown += 1,
            Outcome::Failed(Failed::Expired) => tally.expired += 1,
            _ => {}
        }
        let Some(asked) = self.asked.get_mut(&id) else {
            return Ok(None);
        };
        asked.told += 1;
        if asked.told > 1 {
            return Err(format!("{} {id} has two outcomes", asked.name));
        }
        asked.outcome = Some(outcome);
        Ok(Some(asked.device))
    }

    pub(crate) fn logged_outcome(
        &mut self,
        id: RequestId,
        outcome: &Outcome,
    ) -> Result<(), Broken> {
        let Some(asked) = self.asked.get_mut(&id) else {
            return Ok(());
        };
        asked.logged += 1;
        if asked.logged > 1 {
            return Err(format!("{} {id} is completed twice in the log", asked.name));
        }
        asked.outcome = Some(outcome.clone());
        Ok(())
    }

    /// A Client has done what must not be done twice.
    pub(crate) fn did(&mut self, number: u64, life: u32, tally: &mut Tally) -> Result<(), Broken> {
        tally.done += 1;
        let lives = self.done.entry(number).or_default();
        if lives.contains(&life) {
            return Err(format!("command {number} is carried out twice"));
        }
        if !lives.is_empty() {
            tally.done_again_after_reboot += 1;
        }
        lives.push(life);
        Ok(())
    }

    /// At the end, when nothing is under way: every request has its outcome, and what was done is
    /// what the outcomes say.
    pub(crate) fn settle(&self, server_life: u32) -> Result<(), (usize, Broken)> {
        for (id, asked) in &self.asked {
            let Asked {
                device, name, at, ..
            } = asked;
            let lost = |what: &str| Err((*device, format!("{name} {id} of {at:?} {what}")));
            if asked.accepted && asked.logged != 1 {
                return lost("was accepted as queued, and no outcome is in the log");
            }
            if asked.life == server_life && asked.told != 1 {
                return lost("has no outcome");
            }
        }
        for (number, id) in &self.numbers {
            let asked = &self.asked[id];
            let times = self.done.get(number).map_or(0, Vec::len);
            let wrong = match &asked.outcome {
                Some(Outcome::Answered(answered)) => {
                    answered.code.is_ok_and(|code| code.is_success()) != (times > 0)
                }
                Some(Outcome::Failed(Failed::Expired | Failed::ClientGone)) => times > 0,
                _ => false,
            };
            if wrong {
                return Err((
                    asked.device,
                    format!(
                        "{} {id} ended as {:?} and was carried out {times} times",
                        asked.name, asked.outcome
                    ),
                ));
            }
        }
        Ok(())
    }
}

fn may_be_forgotten(forgotten: &[(Duration, Duration)], taken: Duration) -> bool {
    forgotten
        .iter()
        .any(|(from, to)| (*from..=*to).contains(&taken))
}
