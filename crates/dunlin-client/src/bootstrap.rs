//! Where a bootstrap stands (TS 1.0 §5.2), as decisions; `bootstrapping` carries them out.
//!
//! ```text
//! Idle ── no Server can be reached ──> Waiting ── hold-off over ──> Resolving ──> Requesting
//!  ^                                    ^   │                                        │
//!  │                                    │   └── the Bootstrap-Server begins ──┐    2.04
//!  │                                    │                                     v      v
//!  ├── Finish, 2.04 ────────────────────┼─────────────────────────────────── Session
//!  │                                    └── back-off ─── failed ───────────────┘
//! ```
//!
//! While a bootstrap is past Waiting, Servers are neither heard nor told anything.

use core::time::Duration;

use dunlin_transport::{Address, Instant, PeerId, RequestId};

use crate::draft::Draft;
use crate::event::NeedId;
use crate::registration::pause_after;

/// How long the Bootstrap-Server may say nothing inside a run: EXCHANGE_LIFETIME (TS 1.0 §5.2.4).
pub(crate) const SESSION_TIMEOUT: Duration = Duration::from_secs(247);

/// What a bootstrap is doing.
#[derive(Clone, Debug)]
pub(crate) enum Phase {
    /// None is wanted.
    Idle,
    /// The Client asks at that time, unless the Bootstrap-Server begins before or a Server answers.
    Waiting { at: Instant },
    /// The Bootstrap-Server's name is being looked up, and given up at that time.
    Resolving { need: NeedId, until: Instant },
    /// A session is being opened.
    Connecting,
    /// The Bootstrap-Request is under way.
    Requesting { request: RequestId },
    /// The Bootstrap-Server writes; the run has failed if it says nothing until that time.
    Session {
        until: Instant,
        draft: Draft,
        /// The Bootstrap-Request, when its answer is still to come.
        request: Option<RequestId>,
    },
}

/// The Bootstrap-Server, and how it stands with us.
#[derive(Clone, Debug)]
pub(crate) struct Bootstrap {
    pub(crate) phase: Phase,
    /// Where it is, once that is known.
    pub(crate) address: Option<Address>,
    /// Whether its name was looked up so that it is known when it begins.
    pub(crate) looked_up: bool,
    pub(crate) peer: Option<PeerId>,
    /// Somebody on the device wants a bootstrap, whether or not Servers answer.
    pub(crate) wanted: bool,
    /// When the account is to be removed (`/0/x/12`).
    pub(crate) account_ends: Option<Instant>,
    failures: u32,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self {
            phase: Phase::Idle,
            address: None,
            looked_up: false,
            peer: None,
            wanted: false,
            account_ends: None,
            failures: 0,
        }
    }
}

/// What is to be done for a bootstrap now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Ask the Bootstrap-Server.
    Ask,
    /// Nobody has looked up the name.
    GiveUp,
    /// The run has failed: the Bootstrap-Server has stopped in the middle.
    Expire,
    Nothing,
}

impl Bootstrap {
    /// Whether it has the Client for itself.
    pub(crate) fn is_active(&self) -> bool {
        !matches!(self.phase, Phase::Idle | Phase::Waiting { .. })
    }

    /// What is to be done, given whether a bootstrap is called for and how long to hold off.
    pub(crate) fn step(&mut self, now: Instant, called_for: bool, hold_off: Duration) -> Step {
        match self.phase {
            Phase::Idle if called_for => {
                self.phase = Phase::Waiting { at: now + hold_off };
                self.step(now, called_for, hold_off)
            }
            Phase::Waiting { .. } if !called_for => {
                self.settle();
                Step::Nothing
            }
            Phase::Waiting { at } if at <= now => Step::Ask,
            Phase::Resolving { until, .. } if until <= now => Step::GiveUp,
            Phase::Session { until, .. } if until <= now => Step::Expire,
            _ => Step::Nothing,
        }
    }

    /// When `step` has something new to say, or the account ends.
    pub(crate) fn next(&self) -> Option<Instant> {
        let phase = match &self.phase {
            Phase::Waiting { at } => Some(*at),
            Phase::Resolving { until, .. } | Phase::Session { until, .. } => Some(*until),
            Phase::Idle | Phase::Connecting | Phase::Requesting { .. } => None,
        };
        phase.into_iter().chain(self.account_ends).min()
    }

    /// It is over, or no longer called for.
    pub(crate) fn settle(&mut self) {
        self.phase = Phase::Idle;
        self.wanted = false;
        self.failures = 0;
    }

    /// It did not work. Where it is still called for it is tried again after a pause that grows,
    /// and the hold-off time; gives how long that is.
    pub(crate) fn failed(
        &mut self,
        now: Instant,
        called_for: bool,
        hold_off: Duration,
        jitter: f64,
    ) -> Option<Duration> {
        self.wanted = false;
        if !called_for {
            self.settle();
            return None;
        }
        let pause = pause_after(self.failures, jitter) + hold_off;
        self.failures = self.failures.saturating_add(1);
        self.phase = Phase::Waiting { at: now + pause };
        Some(pause)
    }
}
