//! The client's side of a DTLS 1.2 handshake.
//!
//! ```text
//!  1  send ClientHello                                              <- begin
//!  2  HelloVerifyRequest      -> send ClientHello with the cookie, numbered one higher
//!  3  ServerHello; if it resumes the session we offered:
//!     3a  [NewSessionTicket], ChangeCipherSpec, Finished
//!     3b  send ChangeCipherSpec, Finished                           -> connected
//!  4  else {Certificate}      -> ask Verdict
//!  5  {ServerKeyExchange}, [CertificateRequest], ServerHelloDone
//!  6  send [Certificate], ClientKeyExchange, [CertificateVerify], ChangeCipherSpec, Finished
//!  7  [NewSessionTicket], ChangeCipherSpec, Finished                -> connected
//! ```
//!
//! In brackets what the server may leave out; in braces what it must send with ECDHE-ECDSA, and
//! with a PSK only the ServerKeyExchange, which may carry a hint. Read RFC 5246 §7.4 and §7.3,
//! RFC 6347 §4.2, RFC 4279, RFC 8422, RFC 7250 §4, RFC 7627 §5, RFC 5077 §3 before changing it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use rand_core::Rng;

use super::exchange::{Exchange, psk_premaster, signed_parameters};
use super::failure::{Failure, Fault};
use super::server12::RECORD_SIZE_LIMIT_MIN;
use super::{Context, Step, presented};
use crate::Role;
use crate::address::Address;
use crate::crypto::ecc::{self, EphemeralKey, POINT_LENGTH};
use crate::crypto::protect::Scheme;
use crate::crypto::suite::{CipherSuite, KeyExchange};
use crate::event::{Answer, Refused, Verdict};
use crate::identity::PeerIdentity;
use crate::message::client_hello::{ClientHello, RENEGOTIATION_SCSV, encode_suites};
use crate::message::codec::Malformed;
use crate::message::extension::{
    CertificateType, Extensions, GROUP_P256, SCHEME_ECDSA_P256_SHA256,
};
use crate::message::hello_verify_request::HelloVerifyRequest;
use crate::message::key_exchange::{self, ServerEcdhe};
use crate::message::server_hello::ServerHello;
use crate::message::session_ticket::NewSessionTicket;
use crate::message::signature::Signature;
use crate::message::{certificate_request, kind};
use crate::reassembly::Message;
use crate::record::VERSION_1_2;
use crate::record::cid::{ConnectionId, PeerCid};
use crate::resumption::{Offer, ResumptionState, SESSION_ID_LENGTH};
use crate::settings::{CidOffer, ClientCredentials, ClientSettings};

/// A server that restarts, or heard a hello with a turned bit, asks again. Beyond this we do not
/// listen, and the time runs out: it would be no use to let a forger end the handshake.
const HELLO_VERIFY_REQUESTS_MAX: u8 = 7;
/// A PSK identity has a 16-bit length (RFC 4279 §2).
const IDENTITY_LENGTH_MAX: usize = 0xffff;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    ServerHello,
    Certificate,
    VerdictAsked,
    ServerKeyExchange,
    /// With a PSK the ServerKeyExchange may be missing.
    ServerKeyExchangeOrDone,
    CertificateRequestOrDone,
    ServerHelloDone,
    Ticket,
    Finished,
}

/// See the module.
pub(crate) struct Client12 {
    state: State,
    settings: ClientSettings,
    suites: Vec<CipherSuite>,
    cookie: Vec<u8>,
    cookies: u8,
    offer: Option<Offer>,
    /// Sent in the ClientHello; the server echoes it if it resumes.
    session_id: Vec<u8>,
    /// What the server called the new session.
    new_session_id: Vec<u8>,
    new_ticket: Vec<u8>,
    resumed: bool,
    ticket_announced: bool,
    own_cid: Option<ConnectionId>,
    client_type: CertificateType,
    server_type: CertificateType,
    certificate_requested: Option<bool>,
    server_key: Option<[u8; POINT_LENGTH]>,
    server_share: Vec<u8>,
}

impl Client12 {
    /// Sends the first ClientHello. `own_cid` is one of ours that is free.
    pub(crate) fn begin(
        address: Address,
        settings: ClientSettings,
        own_cid: ConnectionId,
        context: &mut Context<'_>,
    ) -> Result<(Exchange, Client12), Refused> {
        let suites = usable_suites(&settings.credentials, &context.settings.suites)?;
        let retransmit_first = settings
            .retransmit_first
            .unwrap_or(context.settings.retransmit_first);
        let mut exchange = Exchange::new(Role::Client, address, 0, retransmit_first);
        context.random.fill_bytes(&mut exchange.client_random);
        exchange.server_name = settings.server_name.as_deref().map(Into::into);
        let mut client = Client12 {
            state: State::ServerHello,
            suites,
            cookie: Vec::new(),
            cookies: 0,
            offer: None,
            session_id: Vec::new(),
            new_session_id: Vec::new(),
            new_ticket: Vec::new(),
            resumed: false,
            ticket_announced: false,
            own_cid: (settings.connection_id == CidOffer::Both).then_some(own_cid),
            client_type: CertificateType::X509,
            server_type: CertificateType::X509,
            certificate_requested: None,
            server_key: None,
            server_share: Vec::new(),
            settings,
        };
        client.plan_resumption(&exchange, context);
        exchange.own_cid = client.own_cid;
        client.send_hello(&mut exchange, context);
        Ok((exchange, client))
    }

    pub(super) fn awaits_finished(&self) -> bool {
        matches!(self.state, State::Ticket | State::Finished)
    }

    pub(super) fn resumed(&self) -> bool {
        self.resumed
    }

    /// What to keep to resume this session, if the server can.
    pub(super) fn resumable(
        &self,
        exchange: &Exchange,
        context: &Context<'_>,
    ) -> Option<ResumptionState> {
        if !self.new_ticket.is_empty() {
            let kept = exchange.resumable(context);
            return Some(ResumptionState::assemble(&kept, &[], &self.new_ticket));
        }
        if self.resumed {
            // Nothing new: what was offered goes on being good.
            return self.settings.resume.clone();
        }
        if self.new_session_id.is_empty() {
            return None;
        }
        let kept = exchange.resumable(context);
        Some(ResumptionState::assemble(&kept, &self.new_session_id, &[]))
    }

    /// Whether only the server's Finished is missing.
    pub(super) fn has_said_all(&self) -> bool {
        matches!(self.state, State::Ticket | State::Finished)
    }

    /// Step 2.
    pub(super) fn handle_hello_verify(
        &mut self,
        exchange: &mut Exchange,
        body: &[u8],
        context: &mut Context<'_>,
    ) -> Result<(), Malformed> {
        let request = HelloVerifyRequest::decode(body)?;
        let known = request.cookie == self.cookie;
        if self.state != State::ServerHello || known || self.cookies == HELLO_VERIFY_REQUESTS_MAX {
            return Ok(());
        }
        self.cookies += 1;
        self.cookie = request.cookie.to_vec();
        self.send_hello(exchange, context);
        Ok(())
    }

    pub(super) fn handle_message(
        &mut self,
        exchange: &mut Exchange,
        message: &Message,
        context: &mut Context<'_>,
    ) -> Result<Step, Fault> {
        use State::*;
        match (self.state, message.kind) {
            (ServerHello, kind::SERVER_HELLO) => self.take_server_hello(exchange, message, context),
            (Certificate, kind::CERTIFICATE) => self.take_certificate(exchange, message),
            (ServerKeyExchange, kind::SERVER_KEY_EXCHANGE) => {
                self.take_server_share(exchange, message)
            }
            (ServerKeyExchangeOrDone, kind::SERVER_KEY_EXCHANGE) => {
                // A hint, of no use to us: we have one identity (RFC 7925 §4.2 forbids it).
                key_exchange::decode_psk_identity(&message.body)?;
                exchange.hash_received(message);
                self.state = ServerHelloDone;
                Ok(Step::Next)
            }
            (CertificateRequestOrDone, kind::CERTIFICATE_REQUEST) => {
                self.certificate_requested = Some(certificate_request::decode(&message.body)?);
                exchange.hash_received(message);
                self.state = ServerHelloDone;
                Ok(Step::Next)
            }
            (
                ServerKeyExchangeOrDone | CertificateRequestOrDone | ServerHelloDone,
                kind::SERVER_HELLO_DONE,
            ) if message.body.is_empty() => {
                exchange.hash_received(message);
                self.answer(exchange, context)
            }
            (Ticket, kind::NEW_SESSION_TICKET) => {
                let ticket = NewSessionTicket::decode(&message.body)?.ticket;
                self.new_ticket = ticket.to_vec();
                exchange.hash_received(message);
                self.state = Finished;
                Ok(Step::Next)
            }
            (Finished, kind::FINISHED) => {
                exchange.check_finished(message)?;
                if self.resumed {
                    // Step 3b.
                    exchange.flight.begin();
                    exchange.push_finished();
                    exchange.send_flight(context);
                }
                Ok(Step::Connected)
            }
            _ => Err(Failure::UnexpectedMessage.into()),
        }
    }

    pub(super) fn handle_answer(
        &mut self,
        _exchange: &mut Exchange,
        answer: Answer,
    ) -> Result<Step, Failure> {
        match (self.state, answer) {
            (State::VerdictAsked, Answer::Verdict(Verdict::Accept)) => {
                self.state = State::ServerKeyExchange;
                Ok(Step::Next)
            }
            (State::VerdictAsked, Answer::Verdict(Verdict::Refuse(description))) => {
                Err(Failure::Refused(description))
            }
            _ => Err(Failure::NeedUnanswered),
        }
    }

    /// Looks whether the session to resume fits what we are about to offer.
    fn plan_resumption(&mut self, exchange: &Exchange, context: &mut Context<'_>) {
        let Some(Ok(offer)) = self.settings.resume.as_ref().map(ResumptionState::open) else {
            return;
        };
        // A ClientHello is one datagram: a ticket that does not fit stays at home.
        let room = context.settings.datagram_max.saturating_sub(300);
        let fits = self.suites.contains(&offer.kept.suite)
            && offer.kept.server_name == exchange.server_name
            && offer.ticket.len() <= room;
        if !fits {
            return;
        }
        self.session_id = offer.session_id.clone();
        if !offer.ticket.is_empty() {
            // RFC 5077 §3.4: an id of our own, by whose echo we know that the ticket was taken.
            self.session_id = alloc::vec![0; SESSION_ID_LENGTH];
            context.random.fill_bytes(&mut self.session_id);
        }
        self.offer = Some(offer);
    }

    /// Steps 1 and 2.
    fn send_hello(&mut self, exchange: &mut Exchange, context: &mut Context<'_>) {
        let ecdhe = self.suites.iter().any(|suite| !suite.is_psk());
        let ticket = self.offer.as_ref().map_or(&[][..], |offer| &offer.ticket);
        let (client_types, server_types) = self.certificate_types();
        let own_cid = match self.settings.connection_id {
            CidOffer::Not => None,
            CidOffer::SendOnly => Some(&[][..]),
            CidOffer::Both => self.own_cid.as_ref().map(|cid| &cid.0[..]),
        };
        let group = GROUP_P256.to_be_bytes();
        let scheme = SCHEME_ECDSA_P256_SHA256.to_be_bytes();
        let extensions = Extensions {
            server_name: self.settings.server_name.as_deref().map(str::as_bytes),
            max_fragment_length: self
                .settings
                .max_fragment_length
                .map(|length| length.code()),
            record_size_limit: context.settings.record_size_limit,
            supported_groups: ecdhe.then_some(&group),
            ec_point_formats: ecdhe.then_some(&[0]),
            signature_algorithms: ecdhe.then_some(&scheme),
            client_certificate_type: ecdhe.then_some(&client_types),
            server_certificate_type: ecdhe.then_some(&server_types),
            encrypt_then_mac: context.settings.encrypt_then_mac
                && self.suites.iter().any(|suite| suite.is_cbc()),
            extended_master_secret: true,
            session_ticket: Some(ticket),
            connection_id: own_cid,
            renegotiation_info: None,
        };
        let codes = self.suites.iter().map(|suite| suite.code());
        let suites = encode_suites(codes.chain([RENEGOTIATION_SCSV]));
        let hello = ClientHello {
            version: VERSION_1_2,
            random: exchange.client_random,
            session_id: &self.session_id,
            cookie: &self.cookie,
            suites: &suites,
            extensions,
        };
        let body = hello.encode();
        exchange.flight.begin();
        exchange.restart_transcript();
        // The server numbers its answer as the hello it answers.
        let awaited = if ecdhe {
            KeyExchange::EcdheEcdsa
        } else {
            KeyExchange::Psk
        };
        exchange.await_from(exchange.next_message, awaited);
        exchange.push(kind::CLIENT_HELLO, body);
        exchange.send_flight(context);
    }

    fn certificate_types(&self) -> (Vec<u8>, Vec<u8>) {
        match &self.settings.credentials {
            ClientCredentials::Psk { .. } => (Vec::new(), Vec::new()),
            ClientCredentials::Signature {
                present, accept, ..
            } => (
                alloc::vec![present.code()],
                accept.iter().map(|kind| kind.code()).collect(),
            ),
        }
    }

    /// Step 3.
    fn take_server_hello(
        &mut self,
        exchange: &mut Exchange,
        message: &Message,
        context: &mut Context<'_>,
    ) -> Result<Step, Fault> {
        let hello = ServerHello::decode(&message.body)?;
        if hello.version != VERSION_1_2 {
            return Err(Failure::ProtocolVersion.into());
        }
        let suite = CipherSuite::from_code(hello.suite)
            .filter(|suite| self.suites.contains(suite))
            .ok_or(Failure::NoCommonSuite)?;
        self.take_extensions(exchange, suite, &hello.extensions, context)?;
        exchange.server_random = hello.random;
        exchange.scheme = Some(Scheme {
            suite,
            encrypt_then_mac: hello.extensions.encrypt_then_mac,
        });
        exchange.hash_received(message);
        let echoed = !self.session_id.is_empty() && hello.session_id == self.session_id;
        if let Some(offer) = self.offer.take().filter(|_| echoed) {
            return self
                .resume(exchange, suite, &offer, &hello)
                .map_err(Fault::Fatal);
        }
        self.new_session_id = hello.session_id.to_vec();
        self.state = match suite.key_exchange() {
            KeyExchange::Psk => State::ServerKeyExchangeOrDone,
            KeyExchange::EcdheEcdsa => State::Certificate,
        };
        Ok(Step::Next)
    }

    /// Step 3a.
    fn resume(
        &mut self,
        exchange: &mut Exchange,
        suite: CipherSuite,
        offer: &Offer,
        hello: &ServerHello<'_>,
    ) -> Result<Step, Failure> {
        if offer.kept.suite != suite {
            return Err(Failure::IllegalParameter(
                "another suite for a resumed session",
            ));
        }
        // RFC 7627 §5.3: both sessions or neither.
        if offer.kept.extended_master_secret != hello.extensions.extended_master_secret {
            return Err(Failure::ExtendedMasterSecretMissing);
        }
        exchange.resume(&offer.kept);
        exchange.derive_keys();
        self.resumed = true;
        self.state = self.before_finished();
        Ok(Step::Next)
    }

    /// Only what we asked for, and within what it allows.
    fn take_extensions(
        &mut self,
        exchange: &mut Exchange,
        suite: CipherSuite,
        extensions: &Extensions<'_>,
        context: &Context<'_>,
    ) -> Result<(), Failure> {
        let all = context.settings;
        if all.require_extended_master_secret && !extensions.extended_master_secret {
            return Err(Failure::ExtendedMasterSecretMissing);
        }
        exchange.extended_master_secret = extensions.extended_master_secret;
        self.ticket_announced = extensions.session_ticket.is_some();
        let ecdhe = !suite.is_psk();
        let cbc = suite.is_cbc() && all.encrypt_then_mac;
        let unsolicited = (extensions.encrypt_then_mac && !cbc)
            || (extensions.client_certificate_type.is_some() && !ecdhe)
            || (extensions.server_certificate_type.is_some() && !ecdhe)
            || (extensions.server_name.is_some() && self.settings.server_name.is_none())
            || (extensions.record_size_limit.is_some() && all.record_size_limit.is_none());
        if unsolicited {
            return Err(Failure::UnsolicitedExtension);
        }
        match (extensions.connection_id, self.settings.connection_id) {
            (None, _) => exchange.own_cid = None,
            (Some(_), CidOffer::Not) => return Err(Failure::UnsolicitedExtension),
            (Some(cid), _) => {
                exchange.peer_cid =
                    PeerCid::new(cid).ok_or(Failure::IllegalParameter("connection_id"))?;
            }
        }
        if let Some(code) = extensions.max_fragment_length {
            let asked = self
                .settings
                .max_fragment_length
                .ok_or(Failure::UnsolicitedExtension)?;
            if asked.code() != code {
                return Err(Failure::IllegalParameter("max_fragment_length"));
            }
            exchange.limit_plaintext(asked.bytes());
        }
        if let Some(limit) = extensions.record_size_limit {
            if limit < RECORD_SIZE_LIMIT_MIN {
                return Err(Failure::IllegalParameter("record_size_limit"));
            }
            exchange.limit_plaintext(limit.into());
        }
        if ecdhe {
            self.take_certificate_types(extensions)?;
        }
        Ok(())
    }

    /// Without an answer it is X.509 (RFC 7250 §4.2), which we may not have meant.
    fn take_certificate_types(&mut self, extensions: &Extensions<'_>) -> Result<(), Failure> {
        let (presented, accepted) = self.certificate_types();
        let choose = |answer: Option<&[u8]>, offered: &[u8]| {
            let code = answer.and_then(|codes| codes.first().copied()).unwrap_or(0);
            CertificateType::from_code(code)
                .filter(|_| offered.contains(&code))
                .ok_or(Failure::NoCommonCertificateType)
        };
        self.server_type = choose(extensions.server_certificate_type, &accepted)?;
        // A server that will not ask for our certificate need not say of which kind.
        self.client_type = match extensions.client_certificate_type {
            None => CertificateType::X509,
            answer => choose(answer, &presented)?,
        };
        Ok(())
    }

    /// Step 4.
    fn take_certificate(
        &mut self,
        exchange: &mut Exchange,
        message: &Message,
    ) -> Result<Step, Fault> {
        let (point, question) = presented::take(exchange, message, self.server_type)?;
        self.server_key = Some(point);
        self.state = State::VerdictAsked;
        Ok(question)
    }

    /// Step 5.
    fn take_server_share(
        &mut self,
        exchange: &mut Exchange,
        message: &Message,
    ) -> Result<Step, Fault> {
        let share = ServerEcdhe::decode(&message.body)?;
        if share.group != GROUP_P256 {
            return Err(Failure::IllegalParameter("another curve").into());
        }
        let server_key = self.server_key.ok_or(Failure::UnexpectedMessage)?;
        let hash = signed_parameters(
            &exchange.client_random,
            &exchange.server_random,
            share.parameters,
        );
        let good = share.signature.scheme == SCHEME_ECDSA_P256_SHA256
            && ecc::verify(&server_key, hash, share.signature.bytes);
        if !good {
            return Err(Failure::BadSignature.into());
        }
        self.server_share = share.point.to_vec();
        exchange.hash_received(message);
        self.state = State::CertificateRequestOrDone;
        Ok(Step::Next)
    }

    /// Step 6.
    fn answer(
        &mut self,
        exchange: &mut Exchange,
        context: &mut Context<'_>,
    ) -> Result<Step, Fault> {
        exchange.flight.begin();
        match &self.settings.credentials {
            ClientCredentials::Psk { identity, key } => {
                exchange.identity = Some(Arc::new(PeerIdentity::Psk(identity.clone())));
                let body = key_exchange::encode_psk_identity(identity);
                exchange.push(kind::CLIENT_KEY_EXCHANGE, body);
                exchange.derive_master_secret(&psk_premaster(key.expose()));
                exchange.derive_keys();
            }
            ClientCredentials::Signature { credential, .. } => {
                let shown = self.certificate_requested.is_some_and(|possible| possible)
                    && credential.can_show(self.client_type);
                if self.certificate_requested.is_some() {
                    let ours = shown.then_some(credential);
                    exchange.push(kind::CERTIFICATE, presented::body(ours, self.client_type));
                }
                let ephemeral = EphemeralKey::draw(context.random).ok_or(Failure::Crypto)?;
                let premaster = ephemeral
                    .agree(&self.server_share)
                    .ok_or(Failure::BadKeyShare)?;
                let body = key_exchange::encode_client_point(ephemeral.point());
                exchange.push(kind::CLIENT_KEY_EXCHANGE, body);
                exchange.derive_master_secret(&premaster);
                exchange.derive_keys();
                if shown {
                    let hash = exchange.transcript_hash();
                    let signature = credential.key().sign(hash).ok_or(Failure::Crypto)?;
                    let mut body = Vec::new();
                    Signature::p256(&signature).encode(&mut body);
                    exchange.push(kind::CERTIFICATE_VERIFY, body);
                }
            }
        }
        exchange.push_finished();
        self.state = self.before_finished();
        exchange.send_flight(context);
        Ok(Step::Next)
    }

    /// A server that announced a ticket has to send one, one that did not must not.
    fn before_finished(&self) -> State {
        if self.ticket_announced {
            State::Ticket
        } else {
            State::Finished
        }
    }
}

/// The suites for these credentials, if there are any and the credentials are fit to be sent.
fn usable_suites(
    credentials: &ClientCredentials,
    suites: &[CipherSuite],
) -> Result<Vec<CipherSuite>, Refused> {
    let psk = match credentials {
        ClientCredentials::Psk { identity, .. } => {
            if identity.len() > IDENTITY_LENGTH_MAX {
                return Err(Refused::BadCredentials);
            }
            true
        }
        ClientCredentials::Signature {
            credential,
            present,
            accept,
        } => {
            if !credential.can_show(*present) || accept.is_empty() {
                return Err(Refused::BadCredentials);
            }
            false
        }
    };
    let usable: Vec<CipherSuite> = suites
        .iter()
        .copied()
        .filter(|suite| suite.is_psk() == psk)
        .collect();
    if usable.is_empty() {
        Err(Refused::NoSuite)
    } else {
        Ok(usable)
    }
}
