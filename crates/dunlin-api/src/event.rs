//! Events: what has happened, as consumers hear it, and the feed that carries it from the backend to them.
//!
//! A committed event has a [`Position`] in the durable log; `awake` and `asleep` have none and are told live only. The
//! backend makes an event visible to [`Backend::replay`](crate::backend::Backend::replay) first and publishes it on its
//! [`Feed`] then, in the order of the positions; each consumer's stream joins the two without a gap or a double.

use std::sync::Arc;

use dunlin_lwm2m::EndpointName;
use tokio::sync::broadcast;

use crate::backend::{Reading, Request};
use crate::credential::Proof;
use crate::knock::{Knock, Knocks};
use crate::time::Timestamp;
use crate::view::{ObjectsView, Security};

/// A place in the durable log: the commit, and the event's index in it. Opaque to consumers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The number of the commit, rising from 1.
    pub commit: u64,
    /// Which of the commit's events, from 0.
    pub index: u32,
}

impl Position {
    /// Before the first event.
    pub const START: Position = Position {
        commit: 0,
        index: 0,
    };

    /// Reads what `Display` has written.
    pub fn parse(text: &str) -> Option<Position> {
        let (commit, index) = text.split_once('-')?;
        let plain = |digits: &str| {
            !digits.is_empty()
                && digits
                    .bytes()
                    .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        if !plain(commit) || !plain(index) {
            return None;
        }
        Some(Position {
            commit: u64::from_str_radix(commit, 16).ok()?,
            index: u32::from_str_radix(index, 16).ok()?,
        })
    }
}

impl core::fmt::Display for Position {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:x}-{:x}", self.commit, self.index)
    }
}

/// Something that has happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Where it stands in the log; `None` for what is told live only.
    pub position: Option<Position>,
    /// When.
    pub at: Timestamp,
    /// Whom it is about; `None` for a refused peer that gave no name.
    pub endpoint: Option<EndpointName>,
    /// What.
    pub news: News,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// A Client has registered, for the first time or anew.
    Registered(Registered),
    /// A Client has changed its registration. Refreshes are not told.
    Updated(Updated),
    /// A Client has de-registered, or was forgotten by an operator.
    Deregistered {
        /// The registration that has ended.
        registration_id: String,
        /// True if an operator did it.
        forgotten: bool,
    },
    /// A registration was not refreshed in time.
    Expired {
        /// The registration that has ended.
        registration_id: String,
    },
    /// A Client in queue mode can be reached now. Live only.
    Awake,
    /// A Client in queue mode sleeps. Live only.
    Asleep,
    /// A notification has brought values.
    Notified(Reading),
    /// The Client has sent values by itself (Send, LwM2M 1.1).
    Sent(Vec<Reading>),
    /// A request has ended, however.
    Completed(Request),
    /// A bootstrap run has ended well.
    Bootstrapped {
        /// What was written, for people, such as `profile "default", 4 writes`.
        summary: String,
    },
    /// A bootstrap run has failed.
    BootstrapFailed {
        /// Why, for people.
        reason: String,
    },
    /// Someone was refused: registration, bootstrap or handshake. Live only, so that a flood fills no log.
    Refused {
        /// Where it came from, such as `192.0.2.7:41022`.
        address: String,
        /// Why, for people.
        reason: String,
        /// The line that would let it in, if there is one.
        remedy: Option<String>,
        /// What it showed, as a credential that would know it.
        offered: Option<Proof>,
    },
    /// A Client sends more than it may, and what is beyond is dropped. Live only, told when it begins.
    OverBudget {
        /// Where it comes from, such as `192.0.2.7:41022`.
        address: String,
    },
}

impl News {
    /// The type, as in `event:` and `?types=`.
    pub const fn kind(&self) -> EventKind {
        match self {
            News::Registered(_) => EventKind::Registered,
            News::Updated(_) => EventKind::Updated,
            News::Deregistered { .. } => EventKind::Deregistered,
            News::Expired { .. } => EventKind::Expired,
            News::Awake => EventKind::Awake,
            News::Asleep => EventKind::Asleep,
            News::Notified(_) => EventKind::Notified,
            News::Sent(_) => EventKind::Sent,
            News::Completed(_) => EventKind::Completed,
            News::Bootstrapped { .. } => EventKind::Bootstrapped,
            News::BootstrapFailed { .. } => EventKind::BootstrapFailed,
            News::Refused { .. } => EventKind::Refused,
            News::OverBudget { .. } => EventKind::OverBudget,
        }
    }
}

/// What a registration has brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The registration.
    pub registration_id: String,
    /// The one that it takes the place of.
    pub replaced: Option<String>,
    /// Seconds.
    pub lifetime_s: u32,
    /// Such as `1.0`.
    pub version: String,
    /// Such as `UQ`.
    pub binding: String,
    /// Such as `192.0.2.7:41022`.
    pub address: String,
    /// How the transport was secured.
    pub security: Security,
    /// The Objects and their instances.
    pub objects: ObjectsView,
}

/// What an Update has changed: only that is `Some`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Updated {
    /// The registration.
    pub registration_id: String,
    /// Seconds.
    pub lifetime_s: Option<u32>,
    /// Such as `UQ`.
    pub binding: Option<String>,
    /// The number for SMS.
    pub sms_number: Option<String>,
    /// Where the Client is now.
    pub address: Option<String>,
    /// The Objects and their instances.
    pub objects: Option<ObjectsView>,
}

/// The types of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// See [`News::Registered`].
    Registered,
    /// See [`News::Updated`].
    Updated,
    /// See [`News::Deregistered`].
    Deregistered,
    /// See [`News::Expired`].
    Expired,
    /// See [`News::Awake`].
    Awake,
    /// See [`News::Asleep`].
    Asleep,
    /// See [`News::Notified`].
    Notified,
    /// See [`News::Sent`].
    Sent,
    /// See [`News::Completed`].
    Completed,
    /// See [`News::Bootstrapped`].
    Bootstrapped,
    /// See [`News::BootstrapFailed`].
    BootstrapFailed,
    /// See [`News::Refused`].
    Refused,
    /// See [`News::OverBudget`].
    OverBudget,
}

impl EventKind {
    /// All types.
    pub const ALL: [EventKind; 13] = [
        EventKind::Registered,
        EventKind::Updated,
        EventKind::Deregistered,
        EventKind::Expired,
        EventKind::Awake,
        EventKind::Asleep,
        EventKind::Notified,
        EventKind::Sent,
        EventKind::Completed,
        EventKind::Bootstrapped,
        EventKind::BootstrapFailed,
        EventKind::Refused,
        EventKind::OverBudget,
    ];

    /// The word that stands after `event:`.
    pub const fn name(self) -> &'static str {
        match self {
            EventKind::Registered => "registered",
            EventKind::Updated => "updated",
            EventKind::Deregistered => "deregistered",
            EventKind::Expired => "expired",
            EventKind::Awake => "awake",
            EventKind::Asleep => "asleep",
            EventKind::Notified => "notified",
            EventKind::Sent => "sent",
            EventKind::Completed => "completed",
            EventKind::Bootstrapped => "bootstrapped",
            EventKind::BootstrapFailed => "bootstrap_failed",
            EventKind::Refused => "refused",
            EventKind::OverBudget => "over_budget",
        }
    }

    /// The type of this word.
    pub fn from_name(name: &str) -> Option<EventKind> {
        EventKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Events that a consumer may be behind before it has to catch up from the log: one ring for all consumers,
/// 8 bytes an event beside the event itself.
const FEED_EVENTS_MAX: usize = 8192;

/// The way of new events to every consumer that listens. Cloning it gives another handle of the same feed.
#[derive(Debug, Clone)]
pub struct Feed {
    sender: broadcast::Sender<Arc<Event>>,
    knocks: Knocks,
}

impl Default for Feed {
    fn default() -> Feed {
        Feed::new()
    }
}

impl Feed {
    /// A feed that nobody listens to yet.
    pub fn new() -> Feed {
        Feed::with_capacity(FEED_EVENTS_MAX)
    }

    /// A feed with a ring of another size, for tests.
    pub fn with_capacity(events_max: usize) -> Feed {
        Feed {
            sender: broadcast::Sender::new(events_max),
            knocks: Knocks::default(),
        }
    }

    /// Tells an event to all who listen. Never waits: a consumer that is too far behind catches up from the log. Call it
    /// in the order of the positions, and only when the event is visible to a replay.
    pub fn publish(&self, event: Arc<Event>) {
        self.knocks.note(&event);
        // An error says that nobody listens, which is no fault.
        let _ = self.sender.send(event);
    }

    /// True if anyone listens: whoever builds events may save the work otherwise.
    pub fn has_consumers(&self) -> bool {
        self.sender.receiver_count() > 0
    }

    /// Listens from now on.
    pub fn subscribe(&self) -> Live {
        Live {
            receiver: self.sender.subscribe(),
            knocks: self.knocks.clone(),
        }
    }
}

/// The receiving end of a [`Feed`].
#[derive(Debug)]
pub struct Live {
    receiver: broadcast::Receiver<Arc<Event>>,
    knocks: Knocks,
}

/// What comes out of a [`Live`].
#[derive(Debug, Clone)]
pub enum LiveItem {
    /// The next event.
    Event(Arc<Event>),
    /// Events were passed over because the consumer was too far behind; the log has those with a position.
    Behind,
    /// The product is stopping.
    Closed,
}

impl Live {
    /// Who was refused lately, the last one first.
    pub fn knocks(&self) -> Vec<Knock> {
        self.knocks.list()
    }

    /// Waits for the next event. May be dropped while it waits without losing one.
    pub async fn next(&mut self) -> LiveItem {
        match self.receiver.recv().await {
            Ok(event) => LiveItem::Event(event),
            Err(broadcast::error::RecvError::Lagged(_)) => LiveItem::Behind,
            Err(broadcast::error::RecvError::Closed) => LiveItem::Closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_back_and_nothing_else_is() {
        let position = Position {
            commit: u64::MAX,
            index: 17,
        };
        assert_eq!(Position::parse(&position.to_string()), Some(position));
        for text in [
            "",
            "-",
            "1",
            "1-",
            "-1",
            "+1-0",
            "1-+0",
            "1-1-1",
            "G-0",
            "A-0",
            "10000000000000000-0",
        ] {
            assert_eq!(Position::parse(text), None, "{text}");
        }
        assert!(
            Position {
                commit: 2,
                index: 0
            } > Position {
                commit: 1,
                index: 9
            }
        );
    }

    #[test]
    fn every_kind_has_one_name() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(EventKind::from_name("gap"), None);
    }

    #[tokio::test]
    async fn a_consumer_behind_is_told_so_and_goes_on() {
        let feed = Feed::with_capacity(2);
        assert!(!feed.has_consumers());
        let mut live = feed.subscribe();
        for commit in 1..=5 {
            feed.publish(Arc::new(Event {
                position: Some(Position { commit, index: 0 }),
                at: Timestamp(0),
                endpoint: None,
                news: News::Awake,
            }));
        }
        assert!(matches!(live.next().await, LiveItem::Behind));
        let LiveItem::Event(event) = live.next().await else {
            panic!("the ring still has two")
        };
        assert_eq!(
            event.position,
            Some(Position {
                commit: 4,
                index: 0
            })
        );
        drop(feed);
        live.next().await;
        assert!(matches!(live.next().await, LiveItem::Closed));
    }
}
