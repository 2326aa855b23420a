//! One registration: register, refresh, update, leave, and try again (TS 1.0 §5.3).
//!
//! ```text
//! Due ── resolve ──> Resolving ── register ──> Registering ──2.01──> Registered ──> Updating ─┐
//!  ^                     │                          │                    ^  │  2.04 ─────────┤
//!  └──── back-off ───────┴──────────────────────────┴── 4.04, no answer ─┘  └──> Leaving ──> Due
//! ```
//!
//! With security, Connecting stands before Registering.
//!
//! Decisions are made here from the time and from what the Objects say now ([`Told`]); the machine
//! carries them out and reports back.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use dunlin_lwm2m::link::ObjectLinks;
use dunlin_lwm2m::operation::{Binding, LIFETIME_S_DEFAULT, SmsNumber, Update};
use dunlin_transport::{Instant, PeerId, RequestId};

use crate::account::Account;
use crate::event::NeedId;

/// The first pause before a registration is tried again; it doubles each time.
const PAUSE_FIRST: Duration = Duration::from_secs(5);

/// The longest pause: a Server that was away for a day is found again within ten minutes.
const PAUSE_MAX: Duration = Duration::from_secs(600);

/// MAX_TRANSMIT_WAIT (RFC 7252 §4.8.2): a refresh begins this long before the lifetime ends, so
/// that all its retransmissions come in time.
pub(crate) const MAX_TRANSMIT_WAIT: Duration = Duration::from_secs(93);

/// How long a name may be looked up before that has failed, too.
pub(crate) const RESOLVE_TIMEOUT: Duration = Duration::from_secs(60);

/// A pause that a Server asks for is not longer than this: it may have meant milliseconds.
pub(crate) const ASKED_PAUSE_MAX: Duration = Duration::from_secs(3_600);

/// What a Server knows of us, or should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) lifetime_s: u32,
    pub(crate) binding: Binding,
    pub(crate) sms_number: Option<SmsNumber>,
    pub(crate) links: ObjectLinks,
}

impl Told {
    /// The Update that brings a Server from `before` to this.
    pub(crate) fn update_from(&self, before: &Self) -> Update {
        Update {
            lifetime_s: (self.lifetime_s != before.lifetime_s).then_some(self.lifetime_s),
            binding: (self.binding != before.binding).then_some(self.binding),
            sms_number: if self.sms_number == before.sms_number {
                None
            } else {
                self.sms_number.clone()
            },
            links: (self.links != before.links).then(|| self.links.clone()),
            ..Update::default()
        }
    }
}

/// Where a registration stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Phase {
    /// To be registered at that time.
    Due { at: Instant },
    /// The Server's name is being looked up, and given up at that time.
    Resolving { need: NeedId, until: Instant },
    /// A session is being opened.
    Connecting,
    /// Register is under way.
    Registering { request: RequestId, telling: Told },
    /// The Server knows us.
    Registered,
    /// Update is under way.
    Updating {
        request: RequestId,
        telling: Told,
        changed: bool,
    },
    /// De-register is under way; after it, Due at that time, or never again.
    Leaving {
        request: RequestId,
        again: Option<Instant>,
    },
    /// Not to be registered any more: the Client stops.
    Stopped,
}

/// What is to be done for a registration now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    Register,
    /// Nobody has looked up the name.
    GiveUp,
    Update(Update),
    Nothing,
}

/// One Server, and how it stands with us.
#[derive(Clone, Debug)]
pub(crate) struct Registration {
    pub(crate) account: Account,
    pub(crate) phase: Phase,
    pub(crate) peer: Option<PeerId>,
    pub(crate) location: Vec<String>,
    pub(crate) told: Option<Told>,
    /// When the Register or Update that was last answered, or is under way, was sent first.
    pub(crate) sent_at: Instant,
    /// When the registration ends if nothing is heard of us.
    pub(crate) expires_at: Instant,
    /// When it is refreshed.
    pub(crate) refresh_at: Instant,
    /// The Server wants to hear nothing new before.
    quiet_until: Instant,
    /// The Server is overloaded and wants to be asked no sooner.
    asked_until: Instant,
    /// An Update is asked for, whether or not anything has changed.
    pub(crate) update_wanted: bool,
    /// A notification was not heard: nothing is told before an Update is answered.
    pub(crate) doubted: bool,
    attempts: u32,
}

impl Registration {
    pub(crate) fn new(account: Account, at: Instant) -> Self {
        Self {
            account,
            phase: Phase::Due { at },
            peer: None,
            location: Vec::new(),
            told: None,
            sent_at: Instant::ZERO,
            expires_at: Instant::ZERO,
            refresh_at: Instant::ZERO,
            quiet_until: Instant::ZERO,
            asked_until: Instant::ZERO,
            update_wanted: false,
            doubted: false,
            attempts: 0,
        }
    }

    /// Whether the Server may speak with us: it has answered our Register and we have not left.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Registered | Phase::Updating { .. })
    }

    /// Whether this many Registers in a row have failed (TS 1.0 §5.2.3, point 4).
    pub(crate) fn has_failed(&self, attempts: u32) -> bool {
        !self.is_open() && self.attempts >= attempts
    }

    /// To be registered anew from here, whatever was before.
    pub(crate) fn renew(&mut self, now: Instant) {
        self.attempts = 0;
        self.phase = Phase::Due { at: now };
    }

    /// Another attempt may work now: what waits for one after a failure waits no longer, but as long as
    /// the Server asked for.
    pub(crate) fn retry(&mut self, now: Instant) {
        match &mut self.phase {
            Phase::Due { at } if self.attempts > 0 => *at = now.max(self.asked_until).min(*at),
            Phase::Registered if self.doubted => self.quiet_until = now,
            _ => {}
        }
    }

    /// What is to be done, given what the Server should know.
    pub(crate) fn step(&self, now: Instant, desired: &Told) -> Step {
        match &self.phase {
            Phase::Due { at } if *at <= now => Step::Register,
            Phase::Resolving { until, .. } if *until <= now => Step::GiveUp,
            Phase::Registered if self.expires_at <= now => Step::Register,
            Phase::Registered => {
                let told = self.told.as_ref().unwrap_or(desired);
                let wanted = self.update_wanted || self.refresh_at <= now || told != desired;
                if wanted && self.quiet_until <= now {
                    Step::Update(desired.update_from(told))
                } else {
                    Step::Nothing
                }
            }
            _ => Step::Nothing,
        }
    }

    /// When `step` has something new to say.
    pub(crate) fn next(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Due { at } => Some(*at),
            Phase::Resolving { until, .. } => Some(*until),
            Phase::Registered => Some(self.refresh_at.min(self.expires_at)),
            _ => None,
        }
    }

    /// The Server has heard us: the lifetime begins anew. When it heard us we do not know, for the
    /// answer may be the fifth it sent; not before the request left, so that is what counts.
    pub(crate) fn accepted(&mut self, sent_at: Instant, told: Told) {
        // The standard does not say what a lifetime of zero means. Some take it for one without end,
        // others for the default of a day: a refresh a day suits both.
        let lifetime_s = match told.lifetime_s {
            0 => LIFETIME_S_DEFAULT,
            some => some,
        };
        let lifetime = Duration::from_secs(lifetime_s.into());
        self.expires_at = sent_at.saturating_add(lifetime);
        self.refresh_at = self.expires_at - (lifetime / 2).min(MAX_TRANSMIT_WAIT);
        self.told = Some(told);
        self.attempts = 0;
        self.doubted = false;
        self.phase = Phase::Registered;
    }

    /// The Server knows us and cannot take an Update now: it is told again after `pause`.
    pub(crate) fn postponed(&mut self, now: Instant, pause: Duration) {
        self.quiet_until = now.saturating_add(pause);
        self.refresh_at = self.quiet_until;
        self.phase = Phase::Registered;
    }

    /// The Server does not answer an Update. It may know us for as long as the lifetime lasts: the
    /// Update is tried again after a pause that grows, and what was observed is still observed.
    pub(crate) fn out_of_reach(&mut self, now: Instant, jitter: f64) -> Duration {
        let pause = pause_after(self.attempts, jitter);
        self.attempts = self.attempts.saturating_add(1);
        self.doubted = true;
        self.update_wanted = true;
        self.postponed(now, pause);
        pause
    }

    /// Whether the Server can be told something now, as far as one knows.
    pub(crate) fn hears(&self) -> bool {
        self.phase == Phase::Registered && !self.doubted
    }

    /// It did not work: Due again after a pause that grows, stretched by `jitter` of 0.8 to 1.2,
    /// and that is no shorter than what the Server asked for.
    pub(crate) fn failed(&mut self, now: Instant, jitter: f64, asked_for: Duration) -> Duration {
        let jitter = jitter.clamp(0.8, 1.2);
        let pause = pause_after(self.attempts, jitter).max(asked_for.mul_f64(jitter.max(1.0)));
        self.attempts = self.attempts.saturating_add(1);
        self.asked_until = now.saturating_add(asked_for);
        self.phase = Phase::Due {
            at: now.saturating_add(pause),
        };
        pause
    }
}

/// The pause after so many failures in a row, stretched by `jitter`.
pub(crate) fn pause_after(failures: u32, jitter: f64) -> Duration {
    PAUSE_FIRST
        .saturating_mul(1 << failures.min(10))
        .min(PAUSE_MAX)
        .mul_f64(jitter.clamp(0.8, 1.2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::{Scheme, ServerUri};
    use alloc::string::ToString;
    use dunlin_lwm2m::{ObjectInstanceId, ShortServerId};

    fn told() -> Told {
        Told {
            lifetime_s: 600,
            binding: Binding::U,
            sms_number: None,
            links: ObjectLinks::builder().instance(1, 0).instance(3, 0).build(),
        }
    }

    fn registration() -> Registration {
        let account = Account {
            short_server_id: ShortServerId::new(1).unwrap(),
            security: ObjectInstanceId(0),
            server: ObjectInstanceId(0),
            uri: ServerUri {
                scheme: Scheme::Coap,
                host: "h".to_string(),
                port: 5683,
            },
            mode: 3,
            lifetime_s: 600,
            binding: Binding::U,
            default_pmin_s: None,
            default_pmax_s: None,
            stores_notifications: true,
        };
        Registration::new(account, Instant::ZERO)
    }

    fn second(seconds: u64) -> Instant {
        Duration::from_secs(seconds)
    }

    #[test]
    fn ts_5_3_2_an_update_is_sent_before_the_lifetime_runs_out_and_says_nothing_new() {
        let mut registration = registration();
        registration.accepted(second(0), told());
        assert_eq!(registration.step(second(506), &told()), Step::Nothing);
        assert_eq!(registration.next(), Some(second(507)));
        let Step::Update(update) = registration.step(second(507), &told()) else {
            panic!()
        };
        assert!(update.is_refresh());
        assert_eq!(registration.step(second(600), &told()), Step::Register);
    }

    #[test]
    fn ts_5_3_2_an_update_tells_what_has_changed_and_nothing_else() {
        let mut registration = registration();
        registration.accepted(second(0), told());
        let desired = Told {
            lifetime_s: 60,
            ..told()
        };
        let Step::Update(update) = registration.step(second(1), &desired) else {
            panic!()
        };
        assert_eq!(update.lifetime_s, Some(60));
        assert_eq!((update.binding, update.links), (None, None));
    }

    #[test]
    fn a_lifetime_of_zero_is_refreshed_once_a_day() {
        let mut registration = registration();
        let telling = Told {
            lifetime_s: 0,
            ..told()
        };
        registration.accepted(second(0), telling);
        assert_eq!(registration.next(), Some(second(86_400 - 93)));
    }

    #[test]
    fn pauses_double_up_to_ten_minutes() {
        let mut registration = registration();
        let pauses: Vec<u64> = (0..9)
            .map(|_| {
                registration
                    .failed(second(0), 1.0, Duration::ZERO)
                    .as_secs()
            })
            .collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 600, 600]);
        registration.accepted(second(0), told());
        assert_eq!(
            registration
                .failed(second(0), 9.0, Duration::ZERO)
                .as_secs(),
            6,
            "jitter is bounded"
        );
    }
}
