//! The client role: a request of ours from the command to its answer.
//!
//! 1. It waits for its turn, and is sent: whole, or the first block of its body.
//! 2. A response to a block leads to the next block; the last one is answered by the response proper.
//! 3. A response that is the first block of several leads to requests for the others.
//! 4. It ends with one `Event::Response` or `Event::Failed`.

use alloc::vec::Vec;
use core::time::Duration;

use super::send::Purpose;
use super::{Endpoint, Timer};
use crate::block::{BlockSize, BlockValue, Download, Fetched, Sent, Upload, response_of};
use crate::code::Code;
use crate::event::{Event, Failure, Refused, RequestSettings};
use crate::id::{Barrier, ExchangeId, Instant, LATEST, ObservationId, PeerId, RequestId};
use crate::message::{Message, MessageId, MessageType, Payload, Request, Response, Token};
use crate::option::{OptionNumber, Options, UintValue};
use crate::outbox::{Draft, Extra, Outbox};
use crate::peers::{Slot, Waiting};
use crate::stats::Drop;
use crate::survey::Survey;
use crate::timer::TimerKey;

/// A request of ours.
#[derive(Debug)]
pub(crate) struct Asked {
    slot: Slot,
    token: Token,
    request: Request,
    confirmable: bool,
    barrier: Barrier,
    /// The Observe option to send: 0 registers, 1 deregisters.
    observe: Option<u32>,
    /// The largest blocks, if the caller wants others than the profile's.
    asked_size: Option<BlockSize>,
    response_max: usize,
    /// The one block of the response that the caller wants.
    block: Option<BlockValue>,
    /// Of the message sent last.
    message_id: MessageId,
    sent_at: Instant,
    transmission: Option<u32>,
    state: State,
    no_response: Option<TimerKey>,
    deadline: Option<TimerKey>,
    upload: Option<Upload>,
    download: Option<Download>,
    /// Bytes of the download that count among those of all bodies.
    held: usize,
    /// What the response begins: the observation and the token it has.
    observation: Option<(ObservationId, Token)>,
    /// The rest of the body of a notification is fetched for this exchange; nobody above knows the request.
    remainder_of: Option<ExchangeId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// For its turn.
    Waiting,
    /// It counts towards NSTART.
    Outstanding,
    /// It does not count any more, as it was acknowledged.
    Acknowledged,
}

impl Asked {
    /// Whether it is one of many messages to the same peer, sent one after the other.
    fn is_block(&self) -> bool {
        self.is_blockwise() || self.block.is_some()
    }

    /// Whether messages of this request will follow whatever is answered now.
    fn is_blockwise(&self) -> bool {
        self.upload.is_some() || self.download.is_some()
    }
}

impl Endpoint {
    /// Asks a peer. A large body goes block by block, a large answer is fetched the same way, and the end is one
    /// [`Event::Response`] or [`Event::Failed`]. Block1, Block2 and Observe in the request are replaced by what the
    /// settings say; but Observe 1 is sent as it is, for a peer that cancels by path alone.
    ///
    /// # Errors
    ///
    /// Too many requests, no method, or a body too large for the block size.
    pub fn request(
        &mut self,
        now: Instant,
        peer: PeerId,
        request: Request,
        settings: RequestSettings,
    ) -> Result<RequestId, Refused> {
        let own = request
            .options
            .view()
            .observe()
            .filter(|observe| *observe == 1);
        let observe = if settings.observe { Some(0) } else { own };
        self.ask(now, peer, request, settings, None, observe, None)
            .map(|(id, _)| id)
    }

    /// Ends a request of ours with [`Failure::Cancelled`]; nothing more is sent for it.
    ///
    /// # Errors
    ///
    /// The request is not under way.
    pub fn cancel(&mut self, now: Instant, request: RequestId) -> Result<(), Refused> {
        let index = request.index();
        if !self.requests.is_current(index, request.generation()) {
            return Err(Refused::UnknownRequest);
        }
        self.fail_request(now, index, Failure::Cancelled);
        Ok(())
    }

    /// The command behind `request`, `cancel_by_request` and the fetching of a notification's rest.
    #[allow(clippy::too_many_arguments)] // Three callers, each with one of the last three.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        peer: PeerId,
        mut request: Request,
        settings: RequestSettings,
        token: Option<Token>,
        observe: Option<u32>,
        download: Option<(Download, ExchangeId)>,
    ) -> Result<(RequestId, Token), Refused> {
        if !request.code.is_request() {
            return Err(Refused::WrongCode);
        }
        let limits = &self.config.limits;
        if self.requests.len() >= limits.requests_max {
            return Err(Refused::EndpointFull);
        }
        let per_peer = usize::from(limits.requests_per_peer_max);
        let response_max = settings.response_max.unwrap_or(limits.response_max);
        let slot = self.slot(now, peer).ok_or(Refused::EndpointFull)?;
        if self
            .peers
            .live(slot)
            .is_some_and(|live| live.requests.len() >= per_peer)
        {
            return Err(Refused::PeerFull);
        }
        let size = settings.block_size.unwrap_or(self.profile(peer).block_size);
        let upload = match request.payload.len() > size.bytes() {
            true => Some(Upload::new(request.payload.len(), size).ok_or(Refused::TooLarge)?),
            false => None,
        };
        for own in [
            OptionNumber::OBSERVE,
            OptionNumber::BLOCK1,
            OptionNumber::BLOCK2,
        ] {
            request.options.remove(own);
        }
        let token = token.unwrap_or_else(|| self.new_token());
        let (download, remainder_of) = download.unzip();
        let index = self.requests.next_index();
        let deadline = settings
            .deadline
            .map(|at| self.timers.insert(at, Timer::Deadline(index)));
        self.requests.insert(Asked {
            slot,
            token,
            request,
            confirmable: settings.confirmable,
            barrier: settings.barrier,
            observe,
            asked_size: settings.block_size,
            response_max,
            block: settings.block,
            message_id: MessageId(0),
            sent_at: now,
            transmission: None,
            state: State::Waiting,
            no_response: None,
            deadline,
            upload,
            held: 0,
            download,
            observation: None,
            remainder_of,
        });
        let live = self.peers.enliven(slot);
        live.requests.push(index);
        live.asking.waiting.push_back(Waiting::Request(index));
        let id = self.request_id(index);
        self.advance(now, slot, true);
        Ok((id, token))
    }

    fn request_id(&self, index: u32) -> RequestId {
        RequestId::new(index, self.requests.generation(index))
    }

    /// Its turn has come.
    pub(super) fn start_request(&mut self, now: Instant, index: u32) {
        if let Some(asked) = self.requests.get_mut(index) {
            asked.state = State::Outstanding;
            self.send_request(now, index);
        }
    }

    /// Sends what is due: the request, a block of its body, or the wish for a block of the response.
    fn send_request(&mut self, now: Instant, index: u32) {
        let Some(slot) = self.requests.get(index).map(|asked| asked.slot) else {
            return;
        };
        let message_id = self.message_id(slot);
        let asked = self
            .requests
            .get_mut(index)
            .expect("it was there a moment ago");
        asked.message_id = message_id;
        asked.sent_at = now;
        if let Some(timer) = asked.no_response.take() {
            self.timers.remove(timer);
        }
        let (confirmable, barrier) = (asked.confirmable, asked.barrier);
        let bytes = write_request(&mut self.outbox, asked);
        if confirmable {
            let purpose = Purpose::Request(index);
            let measured = match asked.is_block() {
                true => self.round_trip(now, slot),
                false => None,
            };
            let sent =
                self.send_confirmable(now, slot, message_id, bytes, barrier, purpose, measured);
            if let Some(asked) = self.requests.get_mut(index) {
                asked.transmission = Some(sent);
            }
        } else {
            self.send_non_confirmable(slot, bytes, barrier);
            // As long as a Confirmable one would be tried; it holds its place among the outstanding.
            let wait = self.profile(self.peers.id(slot)).max_transmit_wait();
            self.await_response(now, index, wait);
        }
    }

    /// How long to wait for the acknowledgement of a block.
    fn round_trip(&self, now: Instant, slot: Slot) -> Option<Duration> {
        let profile = self.profile(self.peers.id(slot));
        let least = profile.hurry_min;
        let hurries = least < profile.ack_timeout;
        hurries.then(|| self.peers.round_trips.wait(now, slot, least))?
    }

    /// What was sent last is acknowledged, and its transmission has not ended yet.
    pub(super) fn measure(&mut self, now: Instant, index: u32) {
        let Some(asked) = self.requests.get(index).filter(|asked| asked.is_block()) else {
            return;
        };
        let transmission = asked.transmission.and_then(|at| self.transmissions.get(at));
        let trips = &mut self.peers.round_trips;
        match transmission.map(|transmission| transmission.retransmissions) {
            Some(0) => trips.add(now, asked.slot, now.saturating_sub(asked.sent_at)),
            Some(_) => trips.strain(asked.slot),
            None => {}
        }
    }

    fn await_response(&mut self, now: Instant, index: u32, wait: Duration) {
        let timer = self
            .timers
            .insert(now.saturating_add(wait), Timer::NoResponse(index));
        if let Some(asked) = self.requests.get_mut(index) {
            asked.no_response = Some(timer);
        }
    }

    /// The peer has it and will answer later (RFC 7252 §5.2.2).
    pub(super) fn request_acknowledged(&mut self, now: Instant, index: u32) {
        let request = self.request_id(index);
        let Some(asked) = self.requests.get_mut(index) else {
            return;
        };
        asked.transmission = None;
        let slot = asked.slot;
        let peer = self.peers.id(slot);
        // Between the blocks of a body nothing else goes to this peer: small stacks keep one exchange.
        let leaves = !asked.is_blockwise();
        if leaves {
            asked.state = State::Acknowledged;
        }
        let told = asked.remainder_of.is_none();
        let wait = self.profile(peer).exchange_lifetime;
        self.await_response(now, index, wait);
        if told {
            self.outbox.event(Event::Acknowledged { request, peer });
        }
        if leaves {
            self.leave_lane(now, slot, true);
        }
    }

    pub(super) fn response_timed_out(&mut self, now: Instant, index: u32) {
        if let Some(asked) = self.requests.get_mut(index) {
            asked.no_response = None;
            self.fail_request(now, index, Failure::NoResponse);
        }
    }

    pub(super) fn deadline_passed(&mut self, now: Instant, index: u32) {
        if let Some(asked) = self.requests.get_mut(index) {
            asked.deadline = None;
            self.fail_request(now, index, Failure::Deadline);
        }
    }

    /// A Non-confirmable request of ours that was sent with this Message ID.
    pub(super) fn non_confirmable_request(&self, slot: Slot, message_id: MessageId) -> Option<u32> {
        self.peers
            .live(slot)?
            .requests
            .iter()
            .copied()
            .find(|index| {
                self.requests.get(*index).is_some_and(|asked| {
                    !asked.confirmable
                        && asked.message_id == message_id
                        && asked.state == State::Outstanding
                })
            })
    }

    fn request_with_token(&self, slot: Slot, token: Token) -> Option<u32> {
        self.peers
            .live(slot)?
            .requests
            .iter()
            .copied()
            .find(|index| {
                self.requests
                    .get(*index)
                    .is_some_and(|asked| asked.token == token && asked.state != State::Waiting)
            })
    }

    /// A response in an acknowledgement: of the request with this Message ID and this token.
    pub(super) fn receive_piggybacked(
        &mut self,
        now: Instant,
        peer: PeerId,
        message: &Message<'_>,
    ) {
        let found = self.peers.find(peer).and_then(|slot| {
            let index = self.request_with_token(slot, message.token)?;
            let asked = self.requests.get(index)?;
            let awaited = asked.transmission.is_some() && asked.message_id == message.message_id;
            awaited.then_some(index)
        });
        match found {
            Some(index) => self.take_response(now, index, message),
            None => self.outbox.stats.drop(Drop::UnknownToken),
        }
    }

    /// A Confirmable or Non-confirmable response: to a request of ours, or a notification.
    pub(super) fn receive_response(&mut self, now: Instant, peer: PeerId, message: &Message<'_>) {
        let observing = message.options.contains(OptionNumber::OBSERVE);
        let confirmable = message.message_type == MessageType::Confirmable;
        let Some(slot) = self.peers.find(peer) else {
            // Nothing is under way with a peer we do not remember, but it may be observed.
            return self.receive_notification(now, peer, message);
        };
        let asked = self.request_with_token(slot, message.token);
        let Some(index) = asked.filter(|index| !(observing && self.is_deregistering(*index)))
        else {
            return self.receive_notification(now, peer, message);
        };
        let Some(slot) = self.admit(
            now,
            peer,
            message.message_type,
            message.code,
            message.message_id,
        ) else {
            return;
        };
        let survey = self.survey(message.code, message.options);
        if confirmable && (survey.bad_option.is_some() || survey.bad_block) {
            self.reject_message(slot, message.message_type, message.message_id);
        } else {
            self.acknowledge_message(slot, message.message_type, message.message_id, LATEST);
        }
        self.take_response(now, index, message);
    }

    fn is_deregistering(&self, index: u32) -> bool {
        self.requests
            .get(index)
            .is_some_and(|asked| asked.observe == Some(1))
    }

    pub(super) fn survey(&self, code: Code, options: Options<'_>) -> Survey {
        Survey::of(code, options, &self.config.understood, &self.hasher)
    }

    /// The response to the message that was sent last.
    fn take_response(&mut self, now: Instant, index: u32, message: &Message<'_>) {
        self.measure(now, index);
        let Some(asked) = self.requests.get_mut(index) else {
            return;
        };
        if let Some(transmission) = asked.transmission.take() {
            self.end_transmission(transmission);
        }
        let survey = self.survey(message.code, message.options);
        if survey.bad_option.is_some() || survey.bad_block {
            self.outbox.stats.drop(Drop::BadOptionInResponse);
            return self.fail_request(now, index, Failure::BadOption);
        }
        let Some(asked) = self.requests.get_mut(index) else {
            return;
        };
        if let Some(sent) = uploaded(asked, message.code, survey.block1) {
            match sent {
                Sent::Next => return self.send_request(now, index),
                // The body has arrived; what follows asks for the answer alone.
                Sent::Final => asked.upload = None,
            }
        }
        self.begin_observation(now, index, message);
        let Some(asked) = self.requests.get_mut(index) else {
            return;
        };
        if let Some(download) = &mut asked.download {
            let fetched = download.take(message);
            return self.take_fetched(now, index, fetched);
        }
        let joined = |block: &BlockValue| asked.block.is_none() && (block.more || block.number > 0);
        match survey.block2.filter(joined) {
            None => self.complete_request(now, index, response_of(message)),
            Some(block) => match Download::begin(message, block, asked.response_max) {
                Ok(download) => {
                    asked.download = Some(download);
                    self.take_fetched(now, index, Fetched::Next);
                }
                Err(failure) => self.fail_request(now, index, failure),
            },
        }
    }

    fn take_fetched(&mut self, now: Instant, index: u32, fetched: Fetched) {
        match fetched {
            Fetched::Next if !self.count_download(index) => {
                self.fail_request(now, index, Failure::TooLarge);
            }
            Fetched::Next => self.fetch_next(now, index),
            Fetched::Complete(response) => self.complete_request(now, index, response),
            Fetched::Failed(failure) => self.fail_request(now, index, failure),
        }
    }

    /// Counts what a download holds among all bodies; false if that is too much.
    pub(super) fn count_download(&mut self, index: u32) -> bool {
        if let Some(asked) = self.requests.get_mut(index) {
            let held = asked.download.as_ref().map_or(0, Download::held);
            self.bodies_held = self.bodies_held - asked.held + held;
            asked.held = held;
        }
        self.bodies_held <= self.config.limits.bodies_total_max
    }

    fn fetch_next(&mut self, now: Instant, index: u32) {
        let Some(asked) = self.requests.get_mut(index) else {
            return;
        };
        if asked.state != State::Acknowledged {
            return self.send_request(now, index);
        }
        // It had left the outstanding ones, and stands in line again.
        asked.state = State::Waiting;
        let slot = asked.slot;
        self.lane(slot, true)
            .waiting
            .push_front(Waiting::Request(index));
        self.advance(now, slot, true);
    }

    /// The response grants an observation: from now on the token belongs to it, and the rest of the body is
    /// fetched under another one (RFC 7959 §3.4).
    fn begin_observation(&mut self, now: Instant, index: u32, message: &Message<'_>) {
        let Some(sequence) = message
            .options
            .observe()
            .filter(|_| message.code.is_success())
        else {
            return;
        };
        let Some(asked) = self.requests.get_mut(index) else {
            return;
        };
        if asked.observe != Some(0) {
            return;
        }
        let (slot, token) = (asked.slot, asked.token);
        let request = asked.request.clone();
        asked.observe = None;
        let peer = self.peers.id(slot);
        let last = Some((sequence, now));
        let observations_max = self.config.limits.observations_max;
        let begun = self
            .observations
            .insert(peer, token, &request, last, observations_max);
        let fresh_token = self.new_token();
        if let (Some(observation), Some(asked)) = (begun, self.requests.get_mut(index)) {
            asked.observation = Some((observation, token));
            asked.token = fresh_token;
        }
    }

    fn complete_request(&mut self, now: Instant, index: u32, response: Response) {
        let request = self.request_id(index);
        let Some(asked) = self.remove_request(index) else {
            return;
        };
        let peer = self.peers.id(asked.slot);
        if let Some(exchange) = asked.remainder_of {
            self.notification_fetched(now, exchange, Some(response));
        } else {
            if asked.observe == Some(1) {
                self.observation_cancelled(peer, asked.token);
            }
            let (observation, token) = match asked.observation {
                Some((observation, token)) => (Some(observation), token),
                None => (None, asked.token),
            };
            self.outbox.event(Event::Response {
                request,
                peer,
                observation,
                token,
                response,
            });
        }
        self.request_left(now, &asked);
    }

    pub(super) fn fail_request(&mut self, now: Instant, index: u32, failure: Failure) {
        let request = self.request_id(index);
        let Some(asked) = self.remove_request(index) else {
            return;
        };
        let peer = self.peers.id(asked.slot);
        match asked.remainder_of {
            Some(exchange) => self.notification_fetched(now, exchange, None),
            None => self.outbox.event(Event::Failed {
                request,
                peer,
                failure,
            }),
        }
        self.request_left(now, &asked);
    }

    fn remove_request(&mut self, index: u32) -> Option<Asked> {
        let asked = self.requests.remove(index)?;
        if let Some(transmission) = asked.transmission {
            self.end_transmission(transmission);
        }
        for timer in [asked.no_response, asked.deadline].into_iter().flatten() {
            self.timers.remove(timer);
        }
        self.bodies_held -= asked.held;
        if let Some(live) = self.peers.live_mut(asked.slot) {
            live.requests.retain(|other| *other != index);
            if asked.state == State::Waiting {
                let is_other =
                    |waiting: &Waiting| !matches!(waiting, Waiting::Request(i) if *i == index);
                live.asking.waiting.retain(is_other);
            }
        }
        Some(asked)
    }

    fn request_left(&mut self, now: Instant, asked: &Asked) {
        match asked.state {
            State::Outstanding => self.leave_lane(now, asked.slot, true),
            State::Waiting | State::Acknowledged => self.peers.settle(asked.slot),
        }
    }
}

/// What a response means for a body that is going out, or that must go out in smaller blocks after all.
fn uploaded(asked: &mut Asked, code: Code, block1: Option<BlockValue>) -> Option<Sent> {
    if let Some(upload) = &mut asked.upload {
        return Some(upload.take_response(code, block1));
    }
    let size = block1?.size;
    let length = asked.request.payload.len();
    if code != Code::REQUEST_ENTITY_TOO_LARGE || length <= size.bytes() || asked.download.is_some()
    {
        return None;
    }
    asked.upload = Upload::new(length, size);
    asked.upload.as_ref().map(|_| Sent::Next)
}

fn write_request(outbox: &mut Outbox, asked: &Asked) -> Vec<u8> {
    let whole: &Payload = &asked.request.payload;
    let mut payload: &[u8] = whole;
    let observe = asked.observe.map(UintValue::new);
    let size1 = UintValue::new(whole.len() as u32);
    let (mut block1, mut block2) = (None, None);
    let mut first = false;
    if let Some(upload) = &asked.upload {
        let (block, range) = upload.block();
        first = upload.is_first();
        payload = &whole[range];
        block1 = Some(UintValue::new(block.to_uint()));
    } else if let Some(download) = &asked.download {
        // What a FETCH asks for stands in its payload, so each block is asked for with it (RFC 8132 §2.1).
        let repeated =
            asked.request.code == Code::FETCH && whole.len() <= BlockSize::LARGEST.bytes();
        payload = if repeated { whole } else { &[] };
        block2 = Some(UintValue::new(download.wanted().to_uint()));
    } else if let Some(block) = asked.block {
        block2 = Some(UintValue::new(block.to_uint()));
    } else if let Some(size) = asked.asked_size {
        // Early negotiation (RFC 7959 §2.4): the caller knows that the peer or the way is narrow.
        let block = BlockValue {
            number: 0,
            more: false,
            size,
        };
        block2 = Some(UintValue::new(block.to_uint()));
    }
    let mut extra = Extra::new();
    if asked.download.is_none() {
        extra.push(
            OptionNumber::OBSERVE,
            observe.as_ref().map(UintValue::as_bytes),
        );
    }
    extra.push(
        OptionNumber::BLOCK2,
        block2.as_ref().map(UintValue::as_bytes),
    );
    extra.push(
        OptionNumber::BLOCK1,
        block1.as_ref().map(UintValue::as_bytes),
    );
    extra.push(OptionNumber::SIZE1, first.then(|| size1.as_bytes()));
    outbox.write(&Draft {
        message_type: match asked.confirmable {
            true => MessageType::Confirmable,
            false => MessageType::NonConfirmable,
        },
        code: asked.request.code,
        message_id: asked.message_id,
        token: asked.token,
        options: asked.request.options.view(),
        extra: extra.as_slice(),
        payload,
    })
}
