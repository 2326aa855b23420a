//! One walk through the steps, and what is remembered of it.
//!
//! 1. Discover, where the profile wants it. A Client of 1.0 may refuse; the run goes on without.
//! 2. The plan is made from the answer.
//! 3. One step at a time: an answer leads to the next one, or ends the run with its reason.
//! 4. Finish, answered 2.04, is success; anything else is not, and the Client keeps what it had.
//!
//! A run that fails is not finished: a Client that were told to finish would go to work with half
//! of its configuration. It gives up by itself (EXCHANGE_LIFETIME, TS 1.0 §5.2.3.3).

use std::collections::VecDeque;

use dunlin_lwm2m::link::Discovered;
use dunlin_lwm2m::operation::{Operation, ResponseCode};
use dunlin_lwm2m::{ContentFormat, EndpointName, LwM2mVersion, Path};
use dunlin_transport::{Address, Answer, Failure, Identity, WallTime};

use super::plan::{Plan, Step, StepKind};
use super::profile::ProfileName;
use super::provision::{MadeProof, Provision};
use crate::id::BootstrapRunId;

/// A bootstrap run: as it is stored, told and shown.
#[derive(Clone, Debug, PartialEq)]
pub struct BootstrapRun {
    /// Its id; ids rise with time.
    pub id: BootstrapRunId,
    /// The Client.
    pub endpoint: EndpointName,
    /// Who began.
    pub initiator: Initiator,
    /// What was to be written.
    pub profile: ProfileName,
    /// Where the Client is.
    pub address: Address,
    /// What security proved of it.
    pub identity: Identity,
    /// When it began.
    pub started_at: WallTime,
    /// When it ended.
    pub ended_at: Option<WallTime>,
    /// How far it is, or how it ended.
    pub state: RunState,
    /// The version of the enabler that the Client told in its answer to Discover.
    pub version: Option<LwM2mVersion>,
    /// The steps that were taken.
    pub steps: Vec<StepRecord>,
    /// What was made for the Client: once it has taken it, older ones are of no use.
    pub made: Vec<MadeProof>,
}

/// Who began a run; TS 1.0 §5.2.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Initiator {
    /// The Client, by Bootstrap-Request.
    Client,
    /// The Bootstrap-Server, on an operator's word.
    Server,
}

impl Initiator {
    /// The word used in REST and events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunState {
    /// Under way.
    Running,
    /// The Client has taken its configuration.
    Succeeded,
    /// It has not, as far as we know.
    Failed(RunFailure),
}

impl RunState {
    /// The word used in REST and events.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed(_) => "failed",
        }
    }
}

/// A step that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepRecord {
    /// What it was.
    pub kind: StepKind,
    /// What it was about.
    pub path: Path,
    /// What came of it; `None` while it is under way.
    pub outcome: Option<StepOutcome>,
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepOutcome {
    /// Done.
    Done(ResponseCode),
    /// Refused, and the run went on.
    PassedOver(Result<ResponseCode, u8>),
    /// Refused, which ended the run.
    Refused(Result<ResponseCode, u8>),
    /// Not answered, which ended the run.
    Unanswered,
}

impl StepOutcome {
    /// The word used in REST and events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done(_) => "done",
            Self::PassedOver(_) => "passed_over",
            Self::Refused(_) => "refused",
            Self::Unanswered => "unanswered",
        }
    }

    /// The code of the answer, as `2.04`.
    #[must_use]
    pub fn code(self) -> Option<String> {
        match self {
            Self::Done(code) => Some(code.to_string()),
            Self::PassedOver(code) | Self::Refused(code) => Some(code_text(code)),
            Self::Unanswered => None,
        }
    }
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RunFailure {
    /// A step was refused.
    #[error("{} {path} was answered {}", kind.name(), code_text(*code))]
    Refused {
        /// Which kind.
        kind: StepKind,
        /// About what.
        path: Path,
        /// The answer.
        code: Result<ResponseCode, u8>,
    },
    /// Finish was answered 4.06: what was written does not fit together, or the Client lacks
    /// something for it (TS 1.0 §5.2.7.2).
    #[error(
        "the Client finds its new configuration inconsistent (4.06 to Finish) and keeps the old one{}",
        after_colon(.said.as_deref())
    )]
    Inconsistent {
        /// Which part, in the Client's words, if it said any (RFC 7252 §5.5.2).
        said: Option<String>,
    },
    /// A step was not answered.
    #[error("{} {path} was not answered", kind.name())]
    NoAnswer {
        /// Which kind.
        kind: StepKind,
        /// About what.
        path: Path,
    },
    /// A step was answered with Reset: the Client has forgotten that it bootstraps.
    #[error("{} {path} was answered with Reset: the Client is not bootstrapping", kind.name())]
    Reset {
        /// Which kind.
        kind: StepKind,
        /// About what.
        path: Path,
    },
    /// A step was answered with something that is not CoAP as it should be.
    #[error("{} {path} was answered in a way that makes no sense", kind.name())]
    Unintelligible {
        /// Which kind.
        kind: StepKind,
        /// About what.
        path: Path,
    },
    /// The plan cannot be made for what the Client has.
    #[error("{reason}")]
    NoPlan {
        /// Why.
        reason: String,
    },
    /// A value has no form in the format that the Client takes.
    #[error("{path} cannot be written: {reason}")]
    Unencodable {
        /// Where.
        path: Path,
        /// Why.
        reason: String,
    },
    /// The Client began anew.
    #[error("the Client began a new bootstrap")]
    Superseded,
    /// Too long for all steps together.
    #[error("it took longer than {limit_s} s")]
    TookTooLong {
        /// The limit.
        limit_s: u64,
    },
    /// Too much is under way with this Client or with all.
    #[error("too much was under way")]
    Overloaded,
    /// No session could be opened with a Client that was to be reached.
    #[error("no session could be opened with the Client: {reason}")]
    NotOpened {
        /// Why, of the last attempt.
        reason: String,
    },
    /// The session with the Client ended.
    #[error("the session with the Client ended")]
    SessionEnded,
    /// We were restarted under way.
    #[error("the Server was restarted")]
    Restarted,
    /// An operator ended it.
    #[error("it was cancelled")]
    Cancelled,
}

impl RunFailure {
    /// A stable word for programs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::Inconsistent { .. } => "inconsistent",
            Self::NoAnswer { .. } => "no_answer",
            Self::Reset { .. } => "reset",
            Self::Unintelligible { .. } => "unintelligible",
            Self::NoPlan { .. } => "no_plan",
            Self::Unencodable { .. } => "unencodable",
            Self::Superseded => "superseded",
            Self::TookTooLong { .. } => "took_too_long",
            Self::Overloaded => "overloaded",
            Self::NotOpened { .. } => "not_opened",
            Self::SessionEnded => "session_ended",
            Self::Restarted => "restarted",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What a Client says for people; nothing where that is no text. It is kept and shown, so there is an
/// end to it and nothing in it that moves a cursor.
fn words(payload: &[u8]) -> Option<String> {
    let text = core::str::from_utf8(payload).ok()?.trim();
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let said: String = plain.take(WORDS_CHARACTERS_MAX).collect();
    (!said.is_empty()).then_some(said)
}

fn after_colon(said: Option<&str>) -> String {
    said.map_or_else(String::new, |said| format!(": {said}"))
}

fn code_text(code: Result<ResponseCode, u8>) -> String {
    match code {
        Ok(code) => code.to_string(),
        Err(byte) => format!("{}.{:02}", byte >> 5, byte & 31),
    }
}

/// More than a diagnostic payload needs (RFC 7252 §5.5.2).
const WORDS_CHARACTERS_MAX: usize = 200;

/// What to do after an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Advance {
    /// Ask this next.
    Ask(Operation),
    /// It is done.
    Succeeded,
    /// It is over.
    Failed(RunFailure),
}

/// A run under way.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) record: BootstrapRun,
    provision: Provision,
    steps: VecDeque<Step>,
    current: Option<Step>,
    /// What is written in; a Client that refuses TLV gets JSON.
    format: ContentFormat,
}

impl Run {
    pub(crate) fn new(record: BootstrapRun, provision: Provision) -> Self {
        Self {
            record,
            provision,
            steps: VecDeque::new(),
            current: None,
            format: ContentFormat::TLV,
        }
    }

    /// The first step.
    pub(crate) fn begin(&mut self) -> Advance {
        if self.provision.discover {
            self.steps.push_back(Step::Discover);
            return self.ask();
        }
        self.plan(None)
    }

    /// The Client answered the current step.
    pub(crate) fn answered(&mut self, answer: &Answer) -> Advance {
        let Some(step) = self.current.take() else {
            return self.ask();
        };
        let code = answer.code;
        match (&step, code) {
            (Step::Discover, Ok(ResponseCode::Content)) => {
                let discovered = Discovered::parse(&answer.payload, "").ok();
                self.record.version = discovered.as_ref().and_then(|found| found.version);
                self.ended(StepOutcome::Done(ResponseCode::Content));
                self.plan(discovered.as_ref())
            }
            // It need not know how (TS 1.0 §5.2.7.3 came late, and not to all).
            (Step::Discover, _) => {
                self.ended(StepOutcome::PassedOver(code));
                self.plan(None)
            }
            (_, Ok(done)) if done.is_success() => {
                self.ended(StepOutcome::Done(done));
                match step {
                    Step::Finish => Advance::Succeeded,
                    _ => self.ask(),
                }
            }
            (Step::Write { .. }, Ok(ResponseCode::UnsupportedContentFormat))
                if self.format == ContentFormat::TLV =>
            {
                self.format = ContentFormat::JSON;
                self.ended(StepOutcome::PassedOver(code));
                self.steps.push_front(step);
                self.ask()
            }
            (
                Step::Delete {
                    path,
                    instead,
                    optional,
                },
                refused,
            ) if passes_over(refused, *path, *optional) => {
                self.ended(StepOutcome::PassedOver(code));
                for path in instead.iter().rev() {
                    self.steps.push_front(Step::Delete {
                        path: *path,
                        instead: Vec::new(),
                        optional: *optional,
                    });
                }
                self.ask()
            }
            (Step::Finish, Ok(ResponseCode::NotAcceptable)) => {
                self.ended(StepOutcome::Refused(code));
                let said = words(&answer.payload);
                Advance::Failed(RunFailure::Inconsistent { said })
            }
            (step, code) => {
                self.ended(StepOutcome::Refused(code));
                let (kind, path) = (step.kind(), step.path());
                Advance::Failed(RunFailure::Refused { kind, path, code })
            }
        }
    }

    /// The current step ended without an answer.
    pub(crate) fn unanswered(&mut self, failure: Failure) -> RunFailure {
        self.ended(StepOutcome::Unanswered);
        let step = self.current.take();
        let (kind, path) = step.map_or((StepKind::Finish, Path::ROOT), |step| {
            (step.kind(), step.path())
        });
        match failure {
            Failure::Reset => RunFailure::Reset { kind, path },
            Failure::TimedOut => RunFailure::NoAnswer { kind, path },
            Failure::Cancelled => RunFailure::SessionEnded,
            _ => RunFailure::Unintelligible { kind, path },
        }
    }

    /// The record of the run that has ended now.
    pub(crate) fn end(mut self, at: WallTime, state: RunState) -> BootstrapRun {
        self.record.ended_at = Some(at);
        self.record.state = state;
        self.record
    }

    fn plan(&mut self, discovered: Option<&Discovered>) -> Advance {
        match Plan::new(&self.provision, discovered) {
            Ok(plan) => {
                self.steps = plan.steps.into();
                self.ask()
            }
            Err(error) => Advance::Failed(RunFailure::NoPlan {
                reason: error.to_string(),
            }),
        }
    }

    fn ask(&mut self) -> Advance {
        let Some(step) = self.steps.pop_front() else {
            // A plan ends with Finish, whose answer ends the run.
            return Advance::Succeeded;
        };
        let (kind, path) = (step.kind(), step.path());
        self.record.steps.push(StepRecord {
            kind,
            path,
            outcome: None,
        });
        match step.operation(self.format) {
            Ok(operation) => {
                self.current = Some(step);
                Advance::Ask(operation)
            }
            Err(error) => Advance::Failed(RunFailure::Unencodable {
                path,
                reason: error.to_string(),
            }),
        }
    }

    fn ended(&mut self, outcome: StepOutcome) {
        if let Some(step) = self.record.steps.last_mut() {
            step.outcome.get_or_insert(outcome);
        }
    }
}

/// Whether a run goes on after a Delete was refused. Some Clients cannot delete Objects, some not
/// what is not there, some nothing; what must not stay is written over or found by Finish.
fn passes_over(code: Result<ResponseCode, u8>, path: Path, optional: bool) -> bool {
    match code {
        Ok(ResponseCode::NotFound) => true,
        Ok(ResponseCode::BadRequest | ResponseCode::MethodNotAllowed) => {
            optional || path.instance_id().is_none()
        }
        Ok(ResponseCode::Forbidden | ResponseCode::Unauthorized) => optional,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::profile::Keys;
    use super::super::provision::tests::{Counting, with_keys};
    use super::*;
    use dunlin_lwm2m::Registry;

    fn run() -> Run {
        let mut profile = with_keys(Keys::NoSec);
        profile.servers[0].uri = "coap://a".into();
        let endpoint = EndpointName::new("lamp").unwrap();
        let mut keys = Counting::default();
        let provision = profile
            .provision(&endpoint, &Registry::bundled(), &mut keys)
            .unwrap();
        let record = BootstrapRun {
            id: BootstrapRunId::from_bits(1),
            endpoint,
            initiator: Initiator::Client,
            profile: profile.name,
            address: std::net::SocketAddr::from(([127, 0, 0, 1], 1)).into(),
            identity: Identity::None,
            started_at: WallTime(1),
            ended_at: None,
            state: RunState::Running,
            version: None,
            steps: Vec::new(),
            made: Vec::new(),
        };
        Run::new(record, provision)
    }

    fn answer(code: u8, payload: &str) -> Answer {
        Answer {
            code: ResponseCode::from_byte(code).ok_or(code),
            format: None,
            payload: payload.into(),
            location: Vec::new(),
            observation: None,
            max_age_s: None,
        }
    }

    /// Feeds answers and says what was asked, and how it ended.
    fn walk(answers: &[(u8, &str)]) -> (Vec<String>, Advance, BootstrapRun) {
        let mut run = run();
        let mut asked = Vec::new();
        let mut advance = run.begin();
        for (code, payload) in answers {
            let Advance::Ask(operation) = &advance else {
                panic!("{asked:?} {advance:?}")
            };
            asked.push(format!("{} {}", operation.name(), operation.path()));
            advance = run.answered(&answer(*code, payload));
        }
        if let Advance::Ask(operation) = &advance {
            asked.push(format!("{} {}", operation.name(), operation.path()));
        }
        (asked, advance, run.record)
    }

    const CONTENT: u8 = 0x45;
    const CHANGED: u8 = 0x44;
    const DELETED: u8 = 0x42;

    #[test]
    fn ts_5_2_3_3_a_run_ends_with_finish() {
        let (asked, advance, record) = walk(&[
            (CONTENT, "lwm2m=\"1.0\",</0/0>"),
            (DELETED, ""),
            (DELETED, ""),
            (CHANGED, ""),
            (CHANGED, ""),
            (CHANGED, ""),
        ]);
        assert_eq!(
            asked,
            [
                "Bootstrap-Discover /",
                "Bootstrap-Delete /0",
                "Bootstrap-Delete /1",
                "Bootstrap-Write /0/1",
                "Bootstrap-Write /1/0",
                "Bootstrap-Finish /"
            ]
        );
        assert_eq!(advance, Advance::Succeeded);
        assert_eq!(record.version, Some(LwM2mVersion::V1_0));
        let done = |step: &StepRecord| matches!(step.outcome, Some(StepOutcome::Done(_)));
        assert!(record.steps.iter().all(done));
    }

    #[test]
    fn ts_5_2_7_3_a_client_without_discover_is_written_all_the_same() {
        for code in [0x80, 0x84, 0x85, 0x86, 0x81, 0xa1, 0x9d] {
            let (asked, _, record) = walk(&[(code, ""), (DELETED, ""), (DELETED, "")]);
            assert_eq!(asked[3], "Bootstrap-Write /0/10");
            assert!(matches!(
                record.steps[0].outcome,
                Some(StepOutcome::PassedOver(_))
            ));
        }
    }

    #[test]
    fn a_client_that_deletes_instances_alone_is_asked_for_each() {
        let there = "</0/0>,</0/4>;ssid=1,</0/5>;ssid=2,</1/0>;ssid=1";
        let (asked, _, _) = walk(&[
            (CONTENT, there),
            (0x80, ""),
            (DELETED, ""),
            (0x84, ""),
            (0x85, ""),
            (0x80, ""),
        ]);
        assert_eq!(
            asked[1..],
            [
                "Bootstrap-Delete /0",
                "Bootstrap-Delete /0/4",
                "Bootstrap-Delete /0/5",
                "Bootstrap-Delete /1",
                "Bootstrap-Delete /1/0",
                "Bootstrap-Write /0/1",
            ]
        );
    }

    #[test]
    fn a_client_that_takes_no_tlv_gets_json_from_then_on() {
        let mut run = run();
        run.begin();
        run.answered(&answer(0x84, ""));
        run.answered(&answer(DELETED, ""));
        let first = run.answered(&answer(DELETED, ""));
        let again = run.answered(&answer(0x8f, ""));
        let next = run.answered(&answer(CHANGED, ""));
        let format = |advance: &Advance| match advance {
            Advance::Ask(Operation::BootstrapWrite {
                path,
                format,
                payload,
            }) => {
                let json = payload.starts_with(b"{");
                assert_eq!(json, *format == ContentFormat::JSON);
                (path.to_string(), *format)
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(format(&first), ("/0/10".into(), ContentFormat::TLV));
        assert_eq!(format(&again), ("/0/10".into(), ContentFormat::JSON));
        assert_eq!(format(&next), ("/1/0".into(), ContentFormat::JSON));
        let refused = run.answered(&answer(0x8f, ""));
        assert!(
            matches!(refused, Advance::Failed(RunFailure::Refused { .. })),
            "not a third time"
        );
    }

    #[test]
    fn ts_5_2_7_2_an_inconsistent_configuration_fails_with_its_reason() {
        let ok = [
            (0x84, ""),
            (DELETED, ""),
            (DELETED, ""),
            (CHANGED, ""),
            (CHANGED, ""),
        ];
        let (_, advance, record) = walk(&[&ok[..], &[(0x86, "")]].concat());
        let silent = RunFailure::Inconsistent { said: None };
        assert_eq!(advance, Advance::Failed(silent));
        let (_, advance, _) = walk(&[&ok[..], &[(0x86, "/0/2 has\nno URI")]].concat());
        let Advance::Failed(told) = advance else {
            panic!("{advance:?}")
        };
        assert!(told.to_string().ends_with("the old one: /0/2 has no URI"));
        assert_eq!(
            record.steps.last().unwrap().outcome,
            Some(StepOutcome::Refused(Ok(ResponseCode::NotAcceptable)))
        );
        let (_, advance, _) = walk(&[&ok[..], &[(0x84, "")]].concat());
        let Advance::Failed(failure) = advance else {
            panic!("{advance:?}")
        };
        assert_eq!(failure.to_string(), "finish / was answered 4.04");
    }

    #[test]
    fn a_step_that_is_refused_fails_the_run_with_its_reason() {
        for (before, code, words) in [
            (1, 0xa0, "delete /0 was answered 5.00"),
            (3, 0x80, "write /0/10 was answered 4.00"),
            (4, 0x9d, "write /1/0 was answered 4.29"),
        ] {
            let ok = [(0x84, ""), (DELETED, ""), (DELETED, ""), (CHANGED, "")];
            let (_, advance, _) = walk(&[&ok[..before], &[(code, "")]].concat());
            let Advance::Failed(failure) = advance else {
                panic!("{advance:?}")
            };
            assert_eq!(failure.to_string(), words);
            assert_eq!(failure.name(), "refused");
        }
    }

    #[test]
    fn silence_and_reset_are_told_apart() {
        for (failure, name) in [
            (Failure::TimedOut, "no_answer"),
            (Failure::Reset, "reset"),
            (Failure::TooLarge, "unintelligible"),
            (Failure::Cancelled, "session_ended"),
        ] {
            let mut run = run();
            run.begin();
            assert_eq!(run.unanswered(failure).name(), name);
            let record = run.end(WallTime(2), RunState::Succeeded);
            assert_eq!(record.steps[0].outcome, Some(StepOutcome::Unanswered));
        }
    }
}
