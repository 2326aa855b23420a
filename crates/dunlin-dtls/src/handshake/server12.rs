//! The server's side of a DTLS 1.2 handshake.
//!
//! ```text
//!  0  ClientHello with a good cookie (the machine has checked it)   -> begin
//!  1  it names a session that can be resumed   -> ask Resumption; if yes:
//!     1a  send ServerHello, ChangeCipherSpec, Finished
//!     1b  ChangeCipherSpec, Finished           -> connected
//!  2  else send ServerHello, [Certificate, ServerKeyExchange, CertificateRequest], ServerHelloDone
//!  3  [Certificate]                            -> ask Verdict
//!  4  ClientKeyExchange                        -> PSK: ask PskFor; then keys
//!  5  [CertificateVerify]
//!  6  ChangeCipherSpec, Finished
//!  7  send [NewSessionTicket], ChangeCipherSpec, Finished           -> connected
//! ```
//!
//! In brackets: with ECDHE-ECDSA only, or (7) with tickets. Each step lets pass exactly the
//! message named and fails on every other; CertificateVerify cannot be left out, because the
//! state after ClientKeyExchange takes nothing else. Read RFC 5246 §7.4 and §7.3, RFC 6347 §4.2,
//! RFC 4279, RFC 8422, RFC 7250 §4, RFC 7627 §5, RFC 5077 §3 before changing it.

use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use rand_core::Rng;
use zeroize::Zeroizing;

use super::exchange::{Exchange, psk_premaster, signed_parameters};
use super::failure::{Failure, Fault};
use super::{Context, Step, presented};
use crate::Role;
use crate::address::Address;
use crate::crypto::ecc::{self, EphemeralKey, POINT_LENGTH};
use crate::crypto::protect::Scheme;
use crate::crypto::suite::{CipherSuite, KeyExchange};
use crate::event::{Answer, Question, Verdict};
use crate::identity::{Credential, PeerIdentity};
use crate::message::client_hello::ClientHello;
use crate::message::extension::{
    CertificateType, Extensions, GROUP_P256, MaxFragmentLength, SCHEME_ECDSA_P256_SHA256,
};
use crate::message::key_exchange::{self, ServerEcdhe};
use crate::message::server_hello::ServerHello;
use crate::message::session_ticket::NewSessionTicket;
use crate::message::signature::Signature;
use crate::message::{certificate_request, encode_whole, kind};
use crate::reassembly::Message;
use crate::record::VERSION_1_2;
use crate::record::cid::{ConnectionId, PeerCid};
use crate::resumption::{Resumable, SESSION_ID_LENGTH};
use crate::settings::ServerSettings;

/// A pre-shared key nobody has, for identities that nobody knows.
const UNKNOWN_KEY_LENGTH: usize = 32;
/// Names longer than DNS allows are not looked at.
const SERVER_NAME_LENGTH_MAX: usize = 255;
/// The machine reads a ClientHello before it checks the cookie, so this does not happen.
const UNREADABLE: Failure = Failure::IllegalParameter("a ClientHello that cannot be read");
/// The least a peer may ask for (RFC 8449 §4).
pub(super) const RECORD_SIZE_LIMIT_MIN: u16 = 64;

/// The ClientHello that begins it.
pub(crate) struct ServerStart<'a> {
    pub(crate) address: Address,
    /// The body, readable and with a good cookie.
    pub(crate) hello: &'a [u8],
    /// Its message number: ours begin there too (RFC 6347 §4.2.1).
    pub(crate) number: u16,
    /// The number of its record: so do those of our records.
    pub(crate) sequence: u64,
    /// A Connection ID of ours that is free, if the settings have any.
    pub(crate) cid: Option<ConnectionId>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    ResumptionAsked,
    Certificate,
    VerdictAsked,
    ClientKeyExchange,
    PskAsked,
    CertificateVerify,
    Finished,
    ResumedFinished,
}

/// How the client will be able to resume.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Issue {
    Nothing,
    Id([u8; SESSION_ID_LENGTH]),
    Ticket,
}

/// See the module.
pub(crate) struct Server12 {
    state: State,
    /// The ClientHello's body, while its answer waits for one of ours.
    hello: Vec<u8>,
    candidate: Option<Resumable>,
    issue: Issue,
    client_certificate_type: CertificateType,
    /// The client's public key, as far as it has shown it.
    client_point: Option<[u8; POINT_LENGTH]>,
    ephemeral: Option<EphemeralKey>,
    unknown_identity: bool,
}

/// What a ClientHello and the settings have in common.
struct Choice<'a> {
    suite: CipherSuite,
    /// With ECDHE-ECDSA.
    authentication: Option<Authentication<'a>>,
}

struct Authentication<'a> {
    credential: &'a Credential,
    client_type: CertificateType,
    server_type: CertificateType,
}

impl Server12 {
    pub(super) fn begin(
        start: ServerStart<'_>,
        context: &mut Context<'_>,
    ) -> Result<(Exchange, Server12, Step), Failure> {
        let hello = ClientHello::decode(start.hello).map_err(|_| UNREADABLE)?;
        let settings = context
            .settings
            .server
            .as_ref()
            .ok_or(Failure::NoCommonSuite)?;
        if !hello.speaks_1_2() {
            return Err(Failure::ProtocolVersion);
        }
        let retransmit_first = context.settings.retransmit_first;
        let mut exchange = Exchange::new(
            Role::Server,
            start.address,
            start.sequence,
            retransmit_first,
        );
        exchange.next_message = start.number;
        exchange.await_from(start.number + 1, KeyExchange::Psk);
        exchange.client_random = hello.random;
        context.random.fill_bytes(&mut exchange.server_random);
        exchange.server_name = server_name(&hello).map(Into::into);
        if let (Some(wanted), Some(own)) = (hello.extensions.connection_id, start.cid)
            && let Some(peer_cid) = PeerCid::new(wanted)
        {
            exchange.peer_cid = peer_cid;
            exchange.own_cid = Some(own);
        }
        let mut server = Server12 {
            state: State::ResumptionAsked,
            hello: start.hello.to_vec(),
            candidate: None,
            issue: Issue::Nothing,
            client_certificate_type: CertificateType::X509,
            client_point: None,
            ephemeral: None,
            unknown_identity: false,
        };
        exchange.hash_bytes(&encode_whole(kind::CLIENT_HELLO, start.number, start.hello));
        if settings.resumption {
            server.candidate = find_resumable(&exchange, &hello, settings, context)?;
        }
        let step = match &server.candidate {
            Some(kept) => Step::Ask(Question::Resumption {
                identity: kept.identity.clone(),
            }),
            None => server.answer_in_full(&mut exchange, context)?,
        };
        Ok((exchange, server, step))
    }

    pub(super) fn awaits_finished(&self) -> bool {
        matches!(self.state, State::Finished | State::ResumedFinished)
    }

    pub(super) fn resumed(&self) -> bool {
        self.state == State::ResumedFinished
    }

    /// Our ChangeCipherSpec is out: what we say now is protected.
    pub(super) fn sends_protected(&self) -> bool {
        self.state == State::ResumedFinished
    }

    /// The client named an identity that nobody knows.
    pub(super) fn knows_no_key(&self) -> bool {
        self.unknown_identity
    }

    pub(super) fn handle_message(
        &mut self,
        exchange: &mut Exchange,
        message: &Message,
        context: &mut Context<'_>,
    ) -> Result<Step, Fault> {
        match (self.state, message.kind) {
            (State::Certificate, kind::CERTIFICATE) => self.take_certificate(exchange, message),
            (State::ClientKeyExchange, kind::CLIENT_KEY_EXCHANGE) => {
                self.take_key_exchange(exchange, message)
            }
            (State::CertificateVerify, kind::CERTIFICATE_VERIFY) => {
                self.take_certificate_verify(exchange, message)
            }
            (State::Finished, kind::FINISHED) => {
                exchange.check_finished(message)?;
                self.answer_finished(exchange, context);
                Ok(Step::Connected)
            }
            (State::ResumedFinished, kind::FINISHED) => {
                exchange.check_finished(message)?;
                Ok(Step::Connected)
            }
            _ => Err(Failure::UnexpectedMessage.into()),
        }
    }

    pub(super) fn handle_answer(
        &mut self,
        exchange: &mut Exchange,
        answer: Answer,
        context: &mut Context<'_>,
    ) -> Result<Step, Failure> {
        match (self.state, answer) {
            (State::ResumptionAsked, Answer::Verdict(verdict)) => {
                let kept = self.candidate.take().ok_or(Failure::NeedUnanswered)?;
                match verdict {
                    Verdict::Accept => self.answer_resumed(exchange, &kept, context),
                    Verdict::Refuse(_) => {
                        if let Ok(hello) = ClientHello::decode(&self.hello) {
                            context.resumption.forget(hello.session_id);
                        }
                        self.answer_in_full(exchange, context)
                    }
                }
            }
            (State::VerdictAsked, Answer::Verdict(Verdict::Accept)) => {
                self.state = State::ClientKeyExchange;
                Ok(Step::Next)
            }
            (State::VerdictAsked, Answer::Verdict(Verdict::Refuse(description))) => {
                Err(Failure::Refused(description))
            }
            (State::PskAsked, Answer::Psk(key)) => {
                self.unknown_identity = key.is_none();
                let premaster = match key {
                    Some(key) => psk_premaster(key.expose()),
                    None => {
                        let mut key = Zeroizing::new([0; UNKNOWN_KEY_LENGTH]);
                        context.random.fill_bytes(&mut key[..]);
                        psk_premaster(&key[..])
                    }
                };
                exchange.derive_master_secret(&premaster);
                exchange.derive_keys();
                self.state = State::Finished;
                Ok(Step::Next)
            }
            _ => Err(Failure::NeedUnanswered),
        }
    }

    /// Step 2.
    fn answer_in_full(
        &mut self,
        exchange: &mut Exchange,
        context: &mut Context<'_>,
    ) -> Result<Step, Failure> {
        let bytes = core::mem::take(&mut self.hello);
        let hello = ClientHello::decode(&bytes).map_err(|_| UNREADABLE)?;
        let all = context.settings;
        let settings = all.server.as_ref().ok_or(Failure::NoCommonSuite)?;
        if all.require_extended_master_secret && !hello.extensions.extended_master_secret {
            return Err(Failure::ExtendedMasterSecretMissing);
        }
        let choice = choose(
            &hello,
            &all.suites,
            settings,
            exchange.server_name.as_deref(),
        )?;
        exchange.extended_master_secret = hello.extensions.extended_master_secret;
        exchange.scheme = Some(scheme(choice.suite, &hello, context));
        exchange.await_from(exchange.next_message + 1, choice.suite.key_exchange());
        self.plan_issue(&hello, settings, &choice, context);
        self.push_server_hello(exchange, &hello, Some(&choice), context)?;
        match &choice.authentication {
            Some(authentication) => {
                self.client_certificate_type = authentication.client_type;
                self.push_authentication(exchange, authentication, context)?;
                self.state = State::Certificate;
            }
            None => self.state = State::ClientKeyExchange,
        }
        exchange.push(kind::SERVER_HELLO_DONE, Vec::new());
        exchange.send_flight(context);
        Ok(Step::Next)
    }

    /// Step 1a.
    fn answer_resumed(
        &mut self,
        exchange: &mut Exchange,
        kept: &Resumable,
        context: &mut Context<'_>,
    ) -> Result<Step, Failure> {
        let bytes = core::mem::take(&mut self.hello);
        let hello = ClientHello::decode(&bytes).map_err(|_| UNREADABLE)?;
        exchange.resume(kept);
        exchange.scheme = Some(scheme(kept.suite, &hello, context));
        self.push_server_hello(exchange, &hello, None, context)?;
        exchange.derive_keys();
        exchange.push_finished();
        self.state = State::ResumedFinished;
        exchange.send_flight(context);
        Ok(Step::Next)
    }

    /// A ticket where it fits, else an id. Certificates are too long for tickets.
    fn plan_issue(
        &mut self,
        hello: &ClientHello<'_>,
        settings: &ServerSettings,
        choice: &Choice<'_>,
        context: &mut Context<'_>,
    ) {
        if !settings.resumption {
            return;
        }
        let certificates = choice
            .authentication
            .as_ref()
            .is_some_and(|authentication| authentication.client_type == CertificateType::X509);
        self.issue = if hello.extensions.session_ticket.is_some() && !certificates {
            Issue::Ticket
        } else {
            let mut id = [0; SESSION_ID_LENGTH];
            context.random.fill_bytes(&mut id);
            Issue::Id(id)
        };
    }

    fn push_server_hello(
        &self,
        exchange: &mut Exchange,
        hello: &ClientHello<'_>,
        choice: Option<&Choice<'_>>,
        context: &Context<'_>,
    ) -> Result<(), Failure> {
        let asked = &hello.extensions;
        let authentication = choice.and_then(|choice| choice.authentication.as_ref());
        let types =
            authentication.map(|both| ([both.client_type.code()], [both.server_type.code()]));
        let own_cid = exchange.own_cid;
        let scheme = exchange.scheme();
        let mut extensions = Extensions {
            extended_master_secret: exchange.extended_master_secret,
            encrypt_then_mac: scheme.encrypt_then_mac,
            connection_id: own_cid.as_ref().map(|cid| &cid.0[..]),
            renegotiation_info: hello.knows_renegotiation_info().then_some(&[]),
            session_ticket: (choice.is_some() && self.issue == Issue::Ticket).then_some(&[]),
            ..Extensions::default()
        };
        if let Some((client_type, server_type)) = &types {
            extensions.client_certificate_type =
                asked.client_certificate_type.and(Some(client_type));
            extensions.server_certificate_type =
                asked.server_certificate_type.and(Some(server_type));
            extensions.ec_point_formats = asked.ec_point_formats.and(Some(&[0]));
        }
        agree_on_record_size(exchange, asked, &mut extensions, context)?;
        let session_id = match (choice, &self.issue) {
            (None, _) => hello.session_id,
            (Some(_), Issue::Id(id)) => &id[..],
            (Some(_), _) => &[],
        };
        let server_hello = ServerHello {
            version: VERSION_1_2,
            random: exchange.server_random,
            session_id,
            suite: scheme.suite.code(),
            extensions,
        };
        exchange.push(kind::SERVER_HELLO, server_hello.encode());
        Ok(())
    }

    fn push_authentication(
        &mut self,
        exchange: &mut Exchange,
        authentication: &Authentication<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let credential = authentication.credential;
        let certificate = presented::body(Some(credential), authentication.server_type);
        exchange.push(kind::CERTIFICATE, certificate);
        let ephemeral = EphemeralKey::draw(context.random).ok_or(Failure::Crypto)?;
        let mut body = ServerEcdhe::encode_parameters(ephemeral.point());
        let hash = signed_parameters(&exchange.client_random, &exchange.server_random, &body);
        let signature = credential.key().sign(hash).ok_or(Failure::Crypto)?;
        Signature::p256(&signature).encode(&mut body);
        exchange.push(kind::SERVER_KEY_EXCHANGE, body);
        self.ephemeral = Some(ephemeral);
        exchange.push(kind::CERTIFICATE_REQUEST, certificate_request::encode());
        Ok(())
    }

    /// Step 3.
    fn take_certificate(
        &mut self,
        exchange: &mut Exchange,
        message: &Message,
    ) -> Result<Step, Fault> {
        let (point, question) = presented::take(exchange, message, self.client_certificate_type)?;
        self.client_point = Some(point);
        self.state = State::VerdictAsked;
        Ok(question)
    }

    /// Step 4.
    fn take_key_exchange(
        &mut self,
        exchange: &mut Exchange,
        message: &Message,
    ) -> Result<Step, Fault> {
        match exchange.scheme().suite.key_exchange() {
            KeyExchange::Psk => {
                let identity = key_exchange::decode_psk_identity(&message.body)?.to_vec();
                exchange.hash_received(message);
                exchange.identity = Some(Arc::new(PeerIdentity::Psk(identity.clone())));
                self.state = State::PskAsked;
                let server_name = exchange.server_name.as_deref().map(ToString::to_string);
                Ok(Step::Ask(Question::PskFor {
                    identity,
                    server_name,
                }))
            }
            KeyExchange::EcdheEcdsa => {
                let point = key_exchange::decode_client_point(&message.body)?;
                let ephemeral = self.ephemeral.take().ok_or(Failure::Crypto)?;
                let premaster = ephemeral.agree(point).ok_or(Failure::BadKeyShare)?;
                exchange.hash_received(message);
                exchange.derive_master_secret(&premaster);
                exchange.derive_keys();
                self.state = State::CertificateVerify;
                Ok(Step::Next)
            }
        }
    }

    /// Step 5.
    fn take_certificate_verify(
        &mut self,
        exchange: &mut Exchange,
        message: &Message,
    ) -> Result<Step, Fault> {
        let signature = Signature::decode_all(&message.body)?;
        let point = self.client_point.ok_or(Failure::UnexpectedMessage)?;
        let good = signature.scheme == SCHEME_ECDSA_P256_SHA256
            && ecc::verify(&point, exchange.transcript_hash(), signature.bytes);
        if !good {
            return Err(Failure::BadSignature.into());
        }
        exchange.hash_received(message);
        self.state = State::Finished;
        Ok(Step::Next)
    }

    /// Step 7.
    fn answer_finished(&mut self, exchange: &mut Exchange, context: &mut Context<'_>) {
        exchange.flight.begin();
        let Some(settings) = context.settings.server.as_ref() else {
            return;
        };
        let kept = exchange.resumable(context);
        match self.issue {
            Issue::Nothing => {}
            Issue::Id(id) => context.resumption.remember(settings, id, kept),
            Issue::Ticket => {
                let now = context.now;
                // A ticket too long to be one is sent empty (RFC 5077 §3.3).
                let ticket = context
                    .resumption
                    .ticket(now, settings, &kept, context.random);
                let lifetime_hint_s = settings.resumption_lifetime.as_secs() as u32;
                let body = NewSessionTicket {
                    lifetime_hint_s,
                    ticket: ticket.as_deref().unwrap_or_default(),
                };
                exchange.push(kind::NEW_SESSION_TICKET, body.encode());
            }
        }
        exchange.push_finished();
        exchange.send_flight(context);
    }
}

/// Our first suite that the client offers and for which both have what it takes.
fn choose<'a>(
    hello: &ClientHello<'_>,
    suites: &[CipherSuite],
    settings: &'a ServerSettings,
    server_name: Option<&str>,
) -> Result<Choice<'a>, Failure> {
    let mut failure = Failure::NoCommonSuite;
    for suite in suites
        .iter()
        .copied()
        .filter(|suite| hello.offers_suite(suite.code()))
    {
        if suite.is_psk() {
            return Ok(Choice {
                suite,
                authentication: None,
            });
        }
        let curve = Extensions::allows(hello.extensions.supported_groups, GROUP_P256);
        let scheme = Extensions::allows(
            hello.extensions.signature_algorithms,
            SCHEME_ECDSA_P256_SHA256,
        );
        let Some(credential) = settings
            .credential_for(server_name)
            .filter(|_| curve && scheme)
        else {
            continue;
        };
        match choose_types(hello, settings, credential) {
            Some(authentication) => {
                return Ok(Choice {
                    suite,
                    authentication: Some(authentication),
                });
            }
            None => failure = Failure::NoCommonCertificateType,
        }
    }
    Err(failure)
}

/// RFC 7250 §4.2: the client's order is its preference; without a list it means X.509.
fn choose_types<'a>(
    hello: &ClientHello<'_>,
    settings: &ServerSettings,
    credential: &'a Credential,
) -> Option<Authentication<'a>> {
    let first = |list: Option<&[u8]>, usable: &dyn Fn(CertificateType) -> bool| {
        let list = list.unwrap_or(&[0]);
        let mut known = list
            .iter()
            .filter_map(|code| CertificateType::from_code(*code));
        known.find(|candidate| usable(*candidate))
    };
    Some(Authentication {
        credential,
        client_type: first(hello.extensions.client_certificate_type, &|candidate| {
            settings.client_certificate_types.contains(&candidate)
        })?,
        server_type: first(hello.extensions.server_certificate_type, &|candidate| {
            credential.can_show(candidate)
        })?,
    })
}

fn scheme(suite: CipherSuite, hello: &ClientHello<'_>, context: &Context<'_>) -> Scheme {
    let both = context.settings.encrypt_then_mac && hello.extensions.encrypt_then_mac;
    Scheme {
        suite,
        encrypt_then_mac: suite.is_cbc() && both,
    }
}

/// RFC 8449 §4 and §5, RFC 6066 §4: the newer extension counts if the client sent both.
fn agree_on_record_size(
    exchange: &mut Exchange,
    asked: &Extensions<'_>,
    answer: &mut Extensions<'_>,
    context: &Context<'_>,
) -> Result<(), Failure> {
    if let Some(limit) = asked.record_size_limit {
        if limit < RECORD_SIZE_LIMIT_MIN {
            return Err(Failure::IllegalParameter("record_size_limit"));
        }
        exchange.limit_plaintext(limit.into());
        answer.record_size_limit = Some(context.settings.record_size_limit.unwrap_or(1 << 14));
    } else if let Some(code) = asked.max_fragment_length {
        let length = MaxFragmentLength::from_code(code)
            .ok_or(Failure::IllegalParameter("max_fragment_length"))?;
        exchange.limit_plaintext(length.bytes());
        answer.max_fragment_length = Some(code);
    }
    Ok(())
}

fn server_name<'a>(hello: &ClientHello<'a>) -> Option<&'a str> {
    let name = hello.extensions.server_name?;
    core::str::from_utf8(name)
        .ok()
        .filter(|name| name.len() <= SERVER_NAME_LENGTH_MAX)
}

/// The session that the ClientHello means to resume, if it may.
fn find_resumable(
    exchange: &Exchange,
    hello: &ClientHello<'_>,
    settings: &ServerSettings,
    context: &Context<'_>,
) -> Result<Option<Resumable>, Failure> {
    let ticket = hello.extensions.session_ticket.unwrap_or_default();
    let found = context
        .resumption
        .find(context.now, settings, hello.session_id, ticket);
    let Some(kept) = found else { return Ok(None) };
    if kept.extended_master_secret && !hello.extensions.extended_master_secret {
        // RFC 7627 §5.3: not even a full handshake.
        return Err(Failure::ExtendedMasterSecretMissing);
    }
    let fits = kept.extended_master_secret == hello.extensions.extended_master_secret
        && (kept.extended_master_secret || !context.settings.require_extended_master_secret)
        && kept.server_name == exchange.server_name
        && hello.offers_suite(kept.suite.code())
        && context.settings.suites.contains(&kept.suite);
    Ok(fits.then_some(kept))
}
