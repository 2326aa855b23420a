//! From what the Server machine and the log say to what the API shows.

use std::collections::BTreeMap;

use dunlin_api::backend::{
    CancelBy, Command as ApiCommand, Completion, CompletionAnswer, Reading, Request, RequestId,
    RequestState,
};
use dunlin_api::credential::{Proof, fingerprint_text};
use dunlin_api::error::{CoapCode, Code, Problem};
use dunlin_api::event::{Event as ApiEvent, News, Position, Registered, Updated};
use dunlin_api::time::Timestamp;
use dunlin_api::view::{
    Client, Deviation, ObjectInstancesView, ObjectsView, OverBudget as ApiOverBudget,
    Presence as ApiPresence, Security,
};
use dunlin_lwm2m::link::ObjectLinks;
use dunlin_lwm2m::operation::ResponseCode;
use dunlin_lwm2m::{
    EndpointName, Instance, Level, LwM2mVersion, Node, Object, ObjectVersion, Path,
};
use dunlin_server::bootstrap::{RunState, StepKind};
use dunlin_server::change::{Departed, Departure, Registration};
use dunlin_server::command::{
    Answered, CancelBy as ServerCancelBy, Command, Content, Failed, Outcome, RequestState as Stage,
    RequestView,
};
use dunlin_server::event::{Event, EventKind, LiveEvent, Sample};
use dunlin_server::{ClientView, Presence, Refused};
use dunlin_transport::{Identity, WallTime};

use crate::credentials::BELONGS_TO;

pub(crate) fn time(wall: WallTime) -> Timestamp {
    Timestamp(wall.0)
}

// Clients.

pub(crate) fn client(view: &ClientView) -> Client {
    let registration = &view.registration;
    let presence = match view.presence {
        Presence::Awake => ApiPresence::Awake,
        Presence::Asleep => ApiPresence::Asleep,
        Presence::Overdue => ApiPresence::Overdue,
    };
    Client {
        presence,
        over_budget: view.over_budget.map(|over| ApiOverBudget {
            since: time(over.since),
            last_at: time(over.last_at),
            dropped: over.dropped,
        }),
        ..registered_client(registration)
    }
}

fn registered_client(registration: &Registration) -> Client {
    let contact = registration.contact_at;
    let interval = std::time::Duration::from_secs(registration.interval_s.into());
    let next = (registration.interval_s > 0).then(|| time(contact.plus(interval)));
    Client {
        endpoint: registration.endpoint.as_str().to_owned(),
        registration_id: Some(registration.id.to_string()),
        registered_at: time(registration.registered_at),
        updated_at: time(registration.updated_at.max(registration.contact_at)),
        expires_at: time(registration.expires_at),
        expired_at: None,
        last_contact_at: time(contact),
        next_contact_at: next,
        lifetime_s: registration.lifetime_s,
        version: registration.version.to_string(),
        binding: registration.binding.to_string(),
        queue: registration.binding.queues(),
        sms_number: registration.sms_number.as_ref().map(ToString::to_string),
        address: registration.address.to_string(),
        bearer: registration.address.bearer().name().to_owned(),
        security: security(&registration.identity),
        identity: identity(&registration.identity),
        root: root(&registration.links),
        objects: objects(&registration.links, registration.version),
        presence: ApiPresence::Awake,
        over_budget: None,
        deviations: registration
            .deviations
            .iter()
            .map(|deviation| Deviation {
                code: deviation.code().to_owned(),
                sentence: deviation.sentence().to_owned(),
            })
            .collect(),
        attributes: registration.parameters.iter().cloned().collect(),
    }
}

/// A Client whose registration has ended; little is remembered of it.
pub(crate) fn departed(departed: &Departed) -> Client {
    let at = time(departed.at);
    Client {
        endpoint: departed.endpoint.as_str().to_owned(),
        registration_id: None,
        registered_at: at,
        updated_at: at,
        expires_at: at,
        expired_at: Some(at),
        last_contact_at: at,
        next_contact_at: None,
        lifetime_s: 0,
        version: LwM2mVersion::V1_0.to_string(),
        binding: String::new(),
        queue: false,
        sms_number: None,
        address: String::new(),
        bearer: String::new(),
        security: Security::Nosec,
        identity: None,
        root: "/".to_owned(),
        objects: BTreeMap::new(),
        presence: ApiPresence::Overdue,
        over_budget: None,
        deviations: Vec::new(),
        attributes: BTreeMap::new(),
    }
}

fn security(identity: &Identity) -> Security {
    match identity {
        Identity::None => Security::Nosec,
        Identity::PreSharedKey(_) => Security::Psk,
        Identity::RawPublicKey(_) => Security::Rpk,
        Identity::Certificate(_) => Security::X509,
    }
}

fn identity(identity: &Identity) -> Option<String> {
    match identity {
        Identity::None => None,
        Identity::PreSharedKey(name) => Some(String::from_utf8_lossy(name).into_owned()),
        Identity::RawPublicKey(digest) => {
            let digits = digest.iter().map(|byte| format!("{byte:02x}"));
            Some(format!("sha256:{}", digits.collect::<String>()))
        }
        Identity::Certificate(shown) => {
            let mut names = shown.common_name.iter().chain(&shown.alternative_names);
            names.next().cloned()
        }
    }
}

fn root(links: &ObjectLinks) -> String {
    if links.root().is_empty() {
        "/".to_owned()
    } else {
        links.root().to_owned()
    }
}

pub(crate) fn objects(links: &ObjectLinks, version: LwM2mVersion) -> ObjectsView {
    links
        .objects()
        .map(|entry| {
            let version = entry
                .version
                .unwrap_or(version.default_object_version(entry.id));
            let instances = entry.instances().map(|id| id.0).collect();
            (
                entry.id.0,
                ObjectInstancesView {
                    version: version.to_string(),
                    instances,
                },
            )
        })
        .collect()
}

// Commands and their ends.

pub(crate) fn command(command: ApiCommand) -> (Command, Option<dunlin_lwm2m::ContentFormat>) {
    match command {
        ApiCommand::Read { path, accept } => (Command::Read { path }, accept),
        ApiCommand::Discover { path } => (Command::Discover { path }, None),
        ApiCommand::Write {
            path,
            mode,
            format,
            node,
        } => (Command::Write { path, mode, node }, format),
        ApiCommand::WriteAttributes { path, attributes } => {
            (Command::WriteAttributes { path, attributes }, None)
        }
        ApiCommand::Execute { path, arguments } => (Command::Execute { path, arguments }, None),
        ApiCommand::Create {
            object,
            instance,
            format,
            resources,
        } => (
            Command::Create {
                object,
                instance,
                resources,
            },
            format,
        ),
        ApiCommand::Delete { path } => (Command::Delete { path }, None),
        ApiCommand::Observe { path, accept } => (Command::Observe { path, renew: true }, accept),
        ApiCommand::Cancel { path, by } => {
            let by = match by {
                CancelBy::Reset => ServerCancelBy::Reset,
                CancelBy::Observe => ServerCancelBy::Observe,
            };
            (Command::Cancel { path, by }, None)
        }
    }
}

/// Why the machine did not take a command.
pub(crate) fn refused(endpoint: &EndpointName, refused: Refused) -> Problem {
    let code = match &refused {
        Refused::ClientUnknown => return Problem::client_unknown(endpoint.as_str()),
        Refused::ClientExpired { at, reason } => {
            let (name, at) = (endpoint.as_str(), time(*at));
            return match reason {
                Departure::Expired => Problem::client_expired(name, at),
                Departure::Deregistered => Problem::client_deregistered(name, at, false),
                Departure::Forgotten => Problem::client_deregistered(name, at, true),
            };
        }
        Refused::ClientAsleep | Refused::QueueFull { .. } => Code::QueueFull,
        Refused::ServerFull { .. } => Code::Overloaded,
        Refused::NotPossible { .. } => Code::OperationNotAllowed,
        Refused::Unencodable { .. } => Code::FormatUnsupported,
        Refused::TooLargeToKeep { .. } => Code::BodyTooLarge,
        Refused::NotObserved { .. } => Code::ObservationUnknown,
        Refused::AlreadyObserved { .. } | Refused::TooManyObservations { .. } => Code::QueueFull,
        Refused::RequestUnknown => Code::RequestUnknown,
        Refused::ClientUnreachable { .. } => Code::NotSupported,
        Refused::StoreFailing => Code::StoreUnavailable,
        _ => Code::Internal,
    };
    let problem = Problem::new(code, sentence(&refused.to_string()));
    match code {
        Code::StoreUnavailable | Code::Overloaded => problem.retry_after(30),
        _ => problem,
    }
}

/// An error's text as a sentence.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    let end = if text.ends_with('.') { "" } else { "." };
    first
        .into_iter()
        .chain(letters)
        .chain(end.chars())
        .collect()
}

/// How a request ended, as the API says it.
pub(crate) fn outcome(
    command: &Command,
    outcome: &Outcome,
    at: Timestamp,
    version: ObjectVersion,
) -> Result<Completion, Problem> {
    match outcome {
        Outcome::Answered(answered) => completion(command, answered, at, version),
        Outcome::Done => Ok(Completion {
            code: ResponseCode::Deleted,
            at,
            answer: CompletionAnswer::Done,
        }),
        Outcome::Failed(failed) => Err(failure(failed)),
    }
}

fn completion(
    command: &Command,
    answered: &Answered,
    at: Timestamp,
    version: ObjectVersion,
) -> Result<Completion, Problem> {
    let byte = answered
        .code
        .map_or_else(|byte| byte, ResponseCode::to_byte);
    if let Some(problem) = Problem::answered(CoapCode(byte), said(answered)) {
        return Err(problem);
    }
    let code = answered
        .code
        .map_err(|_| unintelligible("a code that LwM2M does not define"))?;
    let path = command.path();
    let answer = match (&answered.content, command) {
        (Content::Raw { reason, .. }, _) => return Err(unintelligible(reason)),
        (Content::Node(node), _) => CompletionAnswer::Values(Reading {
            path,
            at,
            version,
            node: node.clone(),
        }),
        (Content::Links(found), _) => CompletionAnswer::Links(found.clone()),
        (
            _,
            Command::Create {
                object, instance, ..
            },
        ) => CompletionAnswer::Created(answered.location.unwrap_or_else(|| {
            // A Client that was told the number has no need to repeat it (TS 5.4.6).
            instance.map_or_else(
                || Path::object(*object),
                |instance| Path::instance(*object, instance),
            )
        })),
        _ => CompletionAnswer::Done,
    };
    Ok(Completion { code, at, answer })
}

fn said(answered: &Answered) -> String {
    match &answered.content {
        Content::Diagnostic(text) if !text.is_empty() => {
            format!("The Client says: \"{text}\".")
        }
        _ => "The Client gave no further reason.".to_owned(),
    }
}

fn unintelligible(reason: &str) -> Problem {
    Problem::new(
        Code::ClientAnswerInvalid,
        format!("The Client's answer: {reason}."),
    )
}

fn failure(failed: &Failed) -> Problem {
    let code = match failed {
        Failed::TimedOut => Code::ClientTimeout,
        Failed::Reset => Code::ClientReset,
        Failed::TooLarge | Failed::Unintelligible => Code::ClientAnswerInvalid,
        Failed::Expired => Code::RequestExpired,
        Failed::ClientGone => Code::ClientGone,
        Failed::Cancelled => Code::RequestCancelled,
        Failed::Unknown => Code::OutcomeUnknown,
        Failed::Unencodable(_) => Code::FormatUnsupported,
        _ => Code::Internal,
    };
    Problem::new(code, sentence(&failed.to_string()))
}

/// A request that has ended.
pub(crate) fn ended(
    id: dunlin_server::RequestId,
    endpoint: &EndpointName,
    at: WallTime,
    command: &Command,
    end: &Outcome,
    version: ObjectVersion,
) -> Request {
    let state = match end {
        Outcome::Answered(answered) if answered.code.is_ok_and(ResponseCode::is_success) => {
            RequestState::Completed
        }
        Outcome::Done => RequestState::Completed,
        Outcome::Failed(Failed::Cancelled) => RequestState::Cancelled,
        Outcome::Failed(Failed::Expired) => RequestState::Expired,
        Outcome::Failed(Failed::Unknown) => RequestState::Unknown,
        _ => RequestState::Failed,
    };
    Request {
        id: RequestId(id.to_string()),
        endpoint: endpoint.clone(),
        operation: command.name(),
        path: command.path(),
        state,
        created_at: time(at),
        expires_at: time(at),
        ended_at: Some(time(at)),
        outcome: Some(outcome(command, end, time(at), version)),
    }
}

/// A request that has not.
pub(crate) fn request(view: &RequestView) -> Request {
    let state = match view.state {
        Stage::Queued | Stage::Waiting => RequestState::Queued,
        Stage::Sent => RequestState::Sent,
    };
    Request {
        id: RequestId(view.id.to_string()),
        endpoint: view.endpoint.clone(),
        operation: view.command.name(),
        path: view.command.path(),
        state,
        created_at: time(view.made_at),
        expires_at: time(view.expires_at),
        ended_at: None,
        outcome: None,
    }
}

// Events.

/// An event of the log. `None`: nothing that the stream has a name for.
pub(crate) fn event(
    commit: u64,
    index: usize,
    event: &Event,
    version: &dyn Fn(Path) -> ObjectVersion,
) -> Option<ApiEvent> {
    let index = u32::try_from(index).unwrap_or(u32::MAX);
    let news = match &event.kind {
        EventKind::Registered {
            registration,
            replaced,
        } => News::Registered(Registered {
            registration_id: registration.id.to_string(),
            replaced: replaced.map(|id| id.to_string()),
            lifetime_s: registration.lifetime_s,
            version: registration.version.to_string(),
            binding: registration.binding.to_string(),
            address: registration.address.to_string(),
            security: security(&registration.identity),
            objects: objects(&registration.links, registration.version),
        }),
        EventKind::Updated {
            registration,
            changed,
        } => News::Updated(Updated {
            registration_id: registration.id.to_string(),
            lifetime_s: changed.lifetime.then_some(registration.lifetime_s),
            binding: changed.binding.then(|| registration.binding.to_string()),
            sms_number: registration
                .sms_number
                .as_ref()
                .filter(|_| changed.sms_number)
                .map(ToString::to_string),
            address: changed.address.then(|| registration.address.to_string()),
            objects: changed
                .links
                .then(|| objects(&registration.links, registration.version)),
        }),
        EventKind::Departed { id, reason } => match reason {
            Departure::Expired => News::Expired {
                registration_id: id.to_string(),
            },
            Departure::Deregistered | Departure::Forgotten => News::Deregistered {
                registration_id: id.to_string(),
                forgotten: *reason == Departure::Forgotten,
            },
        },
        EventKind::Notified { path, values, .. } => {
            let Sample { at, node } = values.last()?;
            News::Notified(Reading {
                path: *path,
                at: time(*at),
                version: version(*path),
                node: node.clone(),
            })
        }
        EventKind::Bootstrapped { run } => {
            let writes = run.steps.iter().filter(|step| step.kind == StepKind::Write);
            News::Bootstrapped {
                summary: format!("profile \"{}\", {} writes", run.profile, writes.count()),
            }
        }
        EventKind::BootstrapFailed { run } => News::BootstrapFailed {
            reason: match &run.state {
                RunState::Failed(failure) => sentence(&failure.to_string()),
                state => state.name().to_owned(),
            },
        },
        EventKind::Completed {
            request,
            command,
            outcome,
        } => {
            let version = version(command.path());
            News::Completed(ended(
                *request,
                &event.endpoint,
                event.at,
                command,
                outcome,
                version,
            ))
        }
        _ => return None,
    };
    Some(ApiEvent {
        position: Some(Position { commit, index }),
        at: time(event.at),
        endpoint: Some(event.endpoint.clone()),
        news,
    })
}

/// What a peer showed, as a credential that would know it.
fn offered(identity: &Identity) -> Option<Proof> {
    match identity {
        Identity::None => None,
        Identity::PreSharedKey(identity) => Some(Proof::Psk {
            identity: identity.to_vec(),
        }),
        Identity::RawPublicKey(fingerprint) => Some(Proof::Rpk {
            fingerprint: *fingerprint,
        }),
        Identity::Certificate(shown) => Some(Proof::Certificate {
            fingerprint: shown.fingerprint,
            subject: shown.common_name.clone(),
            not_after: None,
        }),
    }
}

/// The line that would let in who was refused, where one would.
fn remedy(
    endpoint: Option<&EndpointName>,
    identity: &Identity,
    code: ResponseCode,
    reason: &str,
) -> Option<String> {
    let name = endpoint.map_or("ENDPOINT".to_owned(), |name| quoted(name.as_str()));
    let add = format!("dunlin credential add {name}");
    if code != ResponseCode::Unauthorized {
        // The handshake was good and the name given is another one. What belongs to another name cannot be
        // given to this one, too; a certificate of an authority that is trusted can be entered for it.
        return match identity {
            Identity::Certificate(shown) if endpoint.is_some() && !reason.contains(BELONGS_TO) => {
                let subject = shown.common_name.as_ref()?;
                Some(format!("{add} --subject {}", quoted(subject)))
            }
            _ => None,
        };
    }
    Some(match identity {
        Identity::None => return None,
        Identity::PreSharedKey(identity) => {
            let text = std::str::from_utf8(identity).ok()?;
            format!("{add} --psk {} --key KEY", quoted(text))
        }
        Identity::RawPublicKey(digest) => format!("{add} --rpk {}", fingerprint_text(digest)),
        Identity::Certificate(shown) => {
            format!(
                "{add} --certificate {}",
                fingerprint_text(&shown.fingerprint)
            )
        }
    })
}

/// A word for a shell: what a stranger calls itself must not do anything there.
fn quoted(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:@%+=/".contains(&byte);
    if !text.starts_with('-') && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// News that is told live alone.
pub(crate) fn live(event: &LiveEvent) -> Option<ApiEvent> {
    let (at, endpoint, news) = match event {
        LiveEvent::Presence {
            endpoint,
            at,
            presence,
        } => {
            let news = match presence {
                Presence::Awake => News::Awake,
                Presence::Asleep => News::Asleep,
                Presence::Overdue => return None,
            };
            (*at, Some(endpoint.clone()), news)
        }
        LiveEvent::Refused {
            endpoint,
            at,
            address,
            identity,
            code,
            reason,
        } => {
            let news = News::Refused {
                address: address.to_string(),
                reason: sentence(reason),
                remedy: remedy(endpoint.as_ref(), identity, *code, reason),
                offered: offered(identity),
            };
            (*at, endpoint.clone(), news)
        }
        LiveEvent::OverBudget {
            endpoint,
            at,
            address,
        } => {
            let news = News::OverBudget {
                address: address.to_string(),
            };
            (*at, Some(endpoint.clone()), news)
        }
        _ => return None,
    };
    Some(ApiEvent {
        position: None,
        at: time(at),
        endpoint,
        news,
    })
}

// Values.

/// What readings of a Client say about a path: the newest one that covers it, cut down to it, or
/// else the parts below it, put together; their time is that of the oldest part.
pub(crate) fn assemble<'a>(
    path: Path,
    readings: impl Iterator<Item = &'a Reading>,
) -> Option<Reading> {
    let mut covering: Option<Reading> = None;
    let mut parts: Vec<&Reading> = Vec::new();
    for reading in readings {
        if reading.path.contains(&path) {
            if covering.as_ref().is_none_or(|best| best.at < reading.at)
                && let Some(node) = cut(reading.path, &reading.node, path)
            {
                covering = Some(Reading {
                    path,
                    node,
                    ..reading.clone()
                });
            }
        } else if path.contains(&reading.path) {
            parts.push(reading);
        }
    }
    parts.sort_by_key(|reading| reading.at);
    let Some(first) = parts.first() else {
        return covering;
    };
    let base = covering.as_ref().map(|covering| covering.node.clone());
    let mut node = base.or_else(|| empty(path))?;
    for part in &parts {
        merge(&mut node, path, part.path, &part.node);
    }
    let at = covering
        .as_ref()
        .map_or(first.at, |covering| covering.at.min(first.at));
    Some(Reading {
        path,
        at,
        version: first.version,
        node,
    })
}

fn empty(path: Path) -> Option<Node> {
    match path.level() {
        Level::Object => Some(Node::Object(Object::new(path.object_id()?))),
        Level::Instance => Some(Node::Instance(Instance::new(path.instance_id()?))),
        _ => None,
    }
}

/// The part of a node that stands at a path below it.
fn cut(at: Path, node: &Node, path: Path) -> Option<Node> {
    if at == path {
        return Some(node.clone());
    }
    match node {
        Node::Object(object) => {
            let instance = object.instance(path.instance_id()?)?;
            cut(
                Path::instance(object.id, instance.id),
                &Node::Instance(instance.clone()),
                path,
            )
        }
        Node::Instance(instance) => {
            let resource = instance.resource(path.resource_id()?)?;
            let at = at.child(resource.id.0)?;
            cut(at, &Node::Resource(resource.clone()), path)
        }
        Node::Resource(_) => None,
    }
}

fn merge(whole: &mut Node, at: Path, path: Path, part: &Node) {
    match (whole, part) {
        (Node::Object(object), Node::Instance(instance)) => {
            let entry = object.instance_entry(instance.id);
            entry.extend(instance.resources().iter().cloned());
        }
        (Node::Object(object), Node::Resource(resource)) => {
            if let Some(instance) = path.instance_id() {
                object.instance_entry(instance).insert(resource.clone());
            }
        }
        (Node::Instance(instance), Node::Resource(resource)) => {
            instance.insert(resource.clone());
        }
        (whole, part) if at == path => *whole = part.clone(),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use dunlin_lwm2m::{ObjectId, ObjectInstanceId};

    use super::*;

    #[test]
    fn who_failed_a_handshake_is_shown_the_line_that_would_let_it_in() {
        let name = EndpointName::new("lamp").unwrap();
        let failed = ResponseCode::Unauthorized;
        let psk = Identity::PreSharedKey((*b"lamp").into());
        assert_eq!(
            remedy(Some(&name), &psk, failed, "").unwrap(),
            "dunlin credential add lamp --psk lamp --key KEY"
        );
        let rpk = Identity::RawPublicKey([0xab; 32]);
        let line = remedy(None, &rpk, failed, "").unwrap();
        assert!(line.starts_with("dunlin credential add ENDPOINT --rpk sha256:abab"));
        // What a stranger calls itself is a word, and no command.
        let hostile = Identity::PreSharedKey((*b"x'; rm -rf ~ #").into());
        let line = remedy(None, &hostile, failed, "").unwrap();
        assert!(line.contains(r"--psk 'x'\''; rm -rf ~ #' --key"), "{line}");
        let refused = ResponseCode::BadRequest;
        assert_eq!(remedy(Some(&name), &psk, refused, ""), None);
        assert_eq!(remedy(None, &Identity::None, failed, ""), None);
    }

    #[test]
    fn a_certificate_for_another_name_can_be_entered_unless_it_belongs_to_somebody() {
        let name = EndpointName::new("lamp").unwrap();
        let certificate = Identity::Certificate(Box::new(dunlin_transport::CertificateIdentity {
            fingerprint: [1; 32],
            common_name: Some("lamp 7".into()),
            alternative_names: Vec::new(),
        }));
        let refused = ResponseCode::BadRequest;
        let line = |reason| remedy(Some(&name), &certificate, refused, reason);
        assert_eq!(
            line("the certificate is for \"lamp 7\"").unwrap(),
            "dunlin credential add lamp --subject 'lamp 7'"
        );
        assert_eq!(
            line("the certificate name \"lamp 7\" belongs to \"bulb\""),
            None
        );
    }

    fn created(instance: Option<u16>, location: Option<Path>) -> Path {
        let command = Command::Create {
            object: ObjectId(3303),
            instance: instance.map(ObjectInstanceId),
            resources: Vec::new(),
        };
        let answered = Answered {
            code: Ok(ResponseCode::Created),
            format: None,
            content: Content::None,
            location,
            observation: None,
        };
        let completion = completion(&command, &answered, Timestamp(0), ObjectVersion::V1_0);
        match completion.map(|completion| completion.answer) {
            Ok(CompletionAnswer::Created(path)) => path,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn how_a_registration_ended_has_its_own_code() {
        let name = EndpointName::new("lamp").expect("a name");
        let code = |reason| {
            let at = WallTime(1_000);
            let problem = refused(&name, Refused::ClientExpired { at, reason });
            let view = problem.view();
            (view.code, view.expired_at, view.deregistered_at)
        };
        let at = Some(Timestamp(1_000).to_string());
        let deregistered = ("client_deregistered".to_owned(), None, at.clone());
        assert_eq!(
            code(Departure::Expired),
            ("client_expired".to_owned(), at, None)
        );
        assert_eq!(code(Departure::Deregistered), deregistered);
        assert_eq!(code(Departure::Forgotten), deregistered);
    }

    #[test]
    fn ts_5_4_6_a_create_without_location_is_where_the_server_said() {
        let object = ObjectId(3303);
        let at = |id| Path::instance(object, ObjectInstanceId(id));
        assert_eq!(created(Some(5), None), at(5));
        assert_eq!(created(None, Some(at(7))), at(7));
        assert_eq!(created(None, None), Path::object(object));
    }
}
