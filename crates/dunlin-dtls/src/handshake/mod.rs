//! One handshake under way: records in, messages in order to the side that it plays, and out of
//! it a question, a failure or a session.
//!
//! The flow of each side is at the head of `server12` and `client12`. What is the same for both:
//!
//! 1. Fragments of epoch 0 go into the reassembly. ChangeCipherSpec has no number and may come
//!    before what it follows, so it is only remembered. Records of epoch 1 that come before there
//!    are keys are held.
//! 2. As long as there is a next whole message, the side takes it.
//! 3. A message that needs an answer from outside parks the handshake: nothing is taken until
//!    `answer`, everything that comes meanwhile waits, and there is a deadline.
//! 4. Once keys, ChangeCipherSpec and the turn of the Finished have come together, records of
//!    epoch 1 are opened. A Finished counts only from there, every other message only from epoch 0.
//! 5. A timer sends the flight again while the peer is silent.

mod client12;
mod exchange;
mod failure;
#[cfg(all(test, feature = "certificates"))]
mod orders;
mod presented;
mod server12;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

pub use failure::Failure;

use crate::address::Address;
use crate::alert::{Alert, AlertDescription};
use crate::association::Association;
use crate::event::{Answer, Question};
use crate::identity::PeerIdentity;
use crate::message::codec::Reader;
use crate::message::{Fragment, kind};
use crate::reassembly::{Message, Taken};
use crate::record::cid::ConnectionId;
use crate::record::{self, Record, VERSION_1_2, content_type};
use crate::resumption::{Resumption, ResumptionState};
use crate::settings::Settings;
use crate::stats::{Counter, Stats};
use crate::{Instant, Random, Role};
pub(crate) use client12::Client12;
pub(crate) use exchange::Exchange;
use failure::Fault;
pub(crate) use server12::{Server12, ServerStart};

/// Records of epoch 1 held before they can be opened: a Finished and some eager data.
const EARLY_RECORDS_MAX: usize = 4;

/// A peer that answers under another key so often has it from somewhere: no use in repeating our
/// flight. One such record alone may be forged.
const UNDECIPHERABLE_MAX: u8 = 3;

/// What a handshake may use of the machine.
pub(crate) struct Context<'a> {
    pub(crate) now: Instant,
    pub(crate) settings: &'a Settings,
    pub(crate) random: &'a mut Random,
    pub(crate) resumption: &'a mut Resumption,
    pub(crate) stats: &'a mut Stats,
    /// What to send to the peer.
    pub(crate) datagrams: &'a mut Vec<Vec<u8>>,
}

/// How far a call brought it.
pub(crate) enum Progress {
    Waiting,
    Ask(Question),
    Connected,
}

/// What a side does with a message.
enum Step {
    Next,
    Ask(Question),
    Connected,
}

/// A record of epoch 1 that was opened before its time.
pub(crate) struct EarlyData {
    pub(crate) plaintext: Vec<u8>,
    pub(crate) newest: bool,
}

/// What a handshake that ended well leaves.
pub(crate) struct Outcome {
    pub(crate) association: Box<Association>,
    pub(crate) resumed: bool,
    /// For clients.
    pub(crate) resumable: Option<ResumptionState>,
    pub(crate) early_data: Vec<EarlyData>,
}

enum Side {
    Client(Box<Client12>),
    Server(Box<Server12>),
}

/// See the module.
pub(crate) struct Handshake {
    exchange: Exchange,
    side: Side,
    /// Until when the question asked has to be answered.
    parked_until: Option<Instant>,
    /// Under which Connection ID records for it are looked up; it may yet do without.
    pub(crate) registered_cid: Option<ConnectionId>,
    /// For which time the machine's timer is set.
    pub(crate) scheduled: Option<Instant>,
    /// Questions asked so far: the number of the last.
    questions: u32,
    change_cipher_spec: bool,
    early_records: Vec<Vec<u8>>,
    early_data: Vec<EarlyData>,
    /// How much came under protection that our keys do not open.
    undecipherable: u8,
}

impl Handshake {
    /// Answers a ClientHello whose cookie was good.
    pub(crate) fn server(
        start: ServerStart<'_>,
        context: &mut Context<'_>,
    ) -> Result<(Handshake, Progress), Failure> {
        let (exchange, side, step) = Server12::begin(start, context)?;
        let mut handshake = Handshake::new(exchange, Side::Server(Box::new(side)));
        let progress = match step {
            Step::Ask(question) => handshake.park(question, context),
            Step::Next | Step::Connected => Progress::Waiting,
        };
        Ok((handshake, progress))
    }

    /// Sends a first ClientHello.
    pub(crate) fn client(exchange: Exchange, side: Client12) -> Handshake {
        Handshake::new(exchange, Side::Client(Box::new(side)))
    }

    fn new(exchange: Exchange, side: Side) -> Handshake {
        Handshake {
            registered_cid: exchange.own_cid,
            scheduled: None,
            exchange,
            side,
            parked_until: None,
            questions: 0,
            change_cipher_spec: false,
            early_records: Vec::new(),
            early_data: Vec::new(),
            undecipherable: 0,
        }
    }

    pub(crate) fn role(&self) -> Role {
        self.exchange.role
    }

    pub(crate) fn address(&self) -> Address {
        self.exchange.address
    }

    pub(crate) fn claimed(&self) -> Option<Arc<PeerIdentity>> {
        self.exchange.identity.clone()
    }

    /// When `handle_timeout` is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.parked_until.or(self.exchange.flight.deadline())
    }

    /// The number of the question asked last.
    pub(crate) fn questions(&self) -> u32 {
        self.questions
    }

    /// Is the answer to this question waited for?
    pub(crate) fn awaits_answer(&self, question: u32) -> bool {
        self.parked_until.is_some() && self.questions == question
    }

    /// Is this the ClientHello that we are answering?
    pub(crate) fn answers(&self, client_random: &[u8; 32]) -> bool {
        self.role() == Role::Server && self.exchange.client_random == *client_random
    }

    /// The ClientHello came again: our answer is lost.
    pub(crate) fn handle_repeated_hello(&mut self, context: &mut Context<'_>) {
        self.resend(context);
    }

    /// Takes one record from the handshake's address.
    pub(crate) fn handle_record(
        &mut self,
        record: &Record<'_>,
        bytes: &[u8],
        context: &mut Context<'_>,
    ) -> Result<Progress, Failure> {
        match (record.epoch(), record.content_type) {
            (0, content_type::HANDSHAKE) => {
                self.take_fragments(record.fragment, false, context);
            }
            (0, content_type::CHANGE_CIPHER_SPEC) if record.fragment == [1] => {
                self.change_cipher_spec = true;
            }
            (0, content_type::ALERT) => take_alert(record.fragment)?,
            (1, _) if self.early_records.len() < EARLY_RECORDS_MAX => {
                self.early_records.push(bytes.to_vec());
            }
            (1, _) => context.stats.count(Counter::EarlyRecordsFull),
            _ => context.stats.count(Counter::WrongEpoch),
        }
        self.advance(context)
    }

    /// The answer to the question asked last.
    pub(crate) fn handle_answer(
        &mut self,
        answer: Answer,
        context: &mut Context<'_>,
    ) -> Result<Progress, Failure> {
        self.parked_until = None;
        let step = match &mut self.side {
            Side::Client(client) => client.handle_answer(&mut self.exchange, answer),
            Side::Server(server) => server.handle_answer(&mut self.exchange, answer, context),
        }?;
        match step {
            Step::Ask(question) => Ok(self.park(question, context)),
            Step::Next | Step::Connected => self.advance(context),
        }
    }

    /// The deadline has come.
    pub(crate) fn handle_timeout(&mut self, context: &mut Context<'_>) -> Result<(), Failure> {
        if self
            .deadline()
            .is_none_or(|deadline| deadline > context.now)
        {
            return Ok(());
        }
        if self.parked_until.is_some() {
            return Err(Failure::NeedUnanswered);
        }
        if self.undecipherable >= UNDECIPHERABLE_MAX {
            return Err(self.silence());
        }
        context.stats.count(Counter::Retransmitted);
        let packing = self.exchange.packing(context);
        let count_max = context.settings.retransmit_count_max;
        let keys = self.exchange.keys.as_deref_mut();
        let flight = &mut self.exchange.flight;
        if flight.retransmit(context.now, count_max, packing, keys, context.datagrams) {
            Ok(())
        } else {
            Err(self.silence())
        }
    }

    /// An alert for the peer, protected once our ChangeCipherSpec is out.
    pub(crate) fn alert(&mut self, description: AlertDescription) -> Vec<u8> {
        let alert = Alert::fatal(description).encode();
        let mut datagram = Vec::new();
        let protected = match &self.side {
            Side::Client(client) => client.awaits_finished(),
            Side::Server(server) => server.sends_protected(),
        };
        if let Some(keys) = self.exchange.keys.as_mut().filter(|_| protected)
            && keys
                .seal(content_type::ALERT, &alert, &mut datagram)
                .is_ok()
        {
            return datagram;
        }
        // The highest number, which no other record of ours uses.
        let sequence = record::SEQUENCE_MAX;
        record::encode_plain(
            &mut datagram,
            content_type::ALERT,
            VERSION_1_2,
            sequence,
            &alert,
        );
        datagram
    }

    /// Ends a handshake that is `Connected`.
    pub(crate) fn finish(self, context: &Context<'_>) -> Outcome {
        let client_random = self.exchange.client_random;
        let (resumed, resumable, sent_last) = match &self.side {
            Side::Client(client) => (
                client.resumed(),
                client.resumable(&self.exchange, context),
                client.resumed(),
            ),
            Side::Server(server) => (server.resumed(), None, !server.resumed()),
        };
        let mut association = self
            .exchange
            .keys
            .expect("nobody is connected without keys");
        if sent_last {
            let last = self.exchange.flight.into_final(&client_random);
            association.final_flight = Some(Box::new(last));
        }
        Outcome {
            association,
            resumed,
            resumable,
            early_data: self.early_data,
        }
    }

    /// Why nothing more comes of it.
    fn silence(&self) -> Failure {
        match &self.side {
            Side::Server(server) if server.knows_no_key() => Failure::UnknownIdentity,
            _ if self.undecipherable > 0 => Failure::WrongKey,
            Side::Client(client) if client.has_said_all() => Failure::Unconfirmed,
            _ => Failure::Timeout,
        }
    }

    fn park(&mut self, question: Question, context: &Context<'_>) -> Progress {
        self.parked_until = Some(context.now + context.settings.need_timeout);
        self.questions += 1;
        Progress::Ask(question)
    }

    fn advance(&mut self, context: &mut Context<'_>) -> Result<Progress, Failure> {
        loop {
            if self.parked_until.is_some() {
                return Ok(Progress::Waiting);
            }
            self.open_early_records(context)?;
            let Some(message) = self.exchange.reassembly.next() else {
                return Ok(Progress::Waiting);
            };
            match self.handle_message(&message, context) {
                Ok(Step::Next) => {}
                Ok(Step::Ask(question)) => return Ok(self.park(question, context)),
                Ok(Step::Connected) => return Ok(Progress::Connected),
                Err(Fault::Malformed) => {
                    context.stats.count(Counter::MalformedMessage);
                    self.exchange.reassembly.await_again();
                    return Ok(Progress::Waiting);
                }
                Err(Fault::Fatal(failure)) => return Err(failure),
            }
        }
    }

    fn handle_message(
        &mut self,
        message: &Message,
        context: &mut Context<'_>,
    ) -> Result<Step, Fault> {
        match &mut self.side {
            Side::Client(client) => client.handle_message(&mut self.exchange, message, context),
            Side::Server(server) => server.handle_message(&mut self.exchange, message, context),
        }
    }

    fn take_fragments(&mut self, bytes: &[u8], protected: bool, context: &mut Context<'_>) {
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            let Ok(fragment) = Fragment::decode(&mut reader) else {
                return context.stats.count(Counter::MalformedMessage);
            };
            if (fragment.kind == kind::FINISHED) != protected {
                context.stats.count(Counter::MessageInWrongEpoch);
                continue;
            }
            self.take_fragment(&fragment, protected, context);
        }
    }

    fn take_fragment(
        &mut self,
        fragment: &Fragment<'_>,
        protected: bool,
        context: &mut Context<'_>,
    ) {
        if fragment.kind == kind::HELLO_VERIFY_REQUEST && fragment.is_whole() {
            // Not counted among the messages: a server without memory numbers each of them 0.
            if let Side::Client(client) = &mut self.side {
                let read = client.handle_hello_verify(&mut self.exchange, fragment.body, context);
                if read.is_err() {
                    context.stats.count(Counter::MalformedMessage);
                }
                return;
            }
        }
        match self.exchange.reassembly.take(fragment, protected) {
            Taken::New => {}
            Taken::Refused => context.stats.count(Counter::ReassemblyFull),
            // The last message of the flight that ours answers: ours is lost.
            Taken::Repeated if fragment.kind == kind::SERVER_HELLO_DONE => self.resend(context),
            Taken::Repeated => {}
        }
    }

    /// Opens what was held, once it is the turn of the Finished.
    fn open_early_records(&mut self, context: &mut Context<'_>) -> Result<(), Failure> {
        let turn = match &self.side {
            Side::Client(client) => client.awaits_finished(),
            Side::Server(server) => server.awaits_finished(),
        };
        if !turn || !self.change_cipher_spec {
            return Ok(());
        }
        for bytes in core::mem::take(&mut self.early_records) {
            let keys = self
                .exchange
                .keys
                .as_mut()
                .expect("keys come before the Finished");
            let Some((record, _)) = Record::decode(&bytes) else {
                continue;
            };
            let opened = match keys.open(&record) {
                Ok(opened) => opened,
                Err(counter) => {
                    let foreign = u8::from(counter == Counter::NotAuthentic);
                    self.undecipherable = self.undecipherable.saturating_add(foreign);
                    context.stats.count(counter);
                    continue;
                }
            };
            match opened.content_type {
                content_type::HANDSHAKE => {
                    self.take_fragments(&opened.plaintext, true, context);
                }
                content_type::ALERT => take_alert(&opened.plaintext)?,
                content_type::APPLICATION_DATA if self.early_data.len() < EARLY_RECORDS_MAX => {
                    let (plaintext, newest) = (opened.plaintext, opened.newest);
                    self.early_data.push(EarlyData { plaintext, newest });
                }
                _ => context.stats.count(Counter::UnknownContent),
            }
        }
        Ok(())
    }

    fn resend(&mut self, context: &mut Context<'_>) {
        let packing = self.exchange.packing(context);
        let keys = self.exchange.keys.as_deref_mut();
        if self
            .exchange
            .flight
            .resend(context.now, packing, keys, context.datagrams)
        {
            context.stats.count(Counter::Retransmitted);
        }
    }
}

/// A fatal alert ends the handshake, close_notify too; other warnings do not.
fn take_alert(bytes: &[u8]) -> Result<(), Failure> {
    match Alert::decode(bytes) {
        Some(alert) if alert.fatal || alert.description == AlertDescription::CLOSE_NOTIFY => {
            Err(Failure::Alerted(alert.description))
        }
        _ => Ok(()),
    }
}
