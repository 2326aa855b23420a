//! The event stream of one consumer: first what the log holds after its position, then what happens, without a gap
//! or a double between the two.
//!
//! 1. *Catching up*: pages of the log are read until its end.
//! 2. *Listening*: the feed is subscribed to, and the log read once more, for what was committed in between.
//!    A consumer that wants only what happens from now on begins here.
//! 3. *Live*: events of the feed that are newer than the last one. When the consumer is so slow that the feed has passed it
//!    over, it goes back to 1; its memory is bounded by one page in every phase.
//!
//! A consumer that comes back names the last position it has seen and has missed nothing, unless the log does not go
//! back that far any more: then a `gap` comes first.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::backend::Backend;
use crate::event::{Event, EventKind, Live, LiveItem, Position};

/// Events read from the log at once: enough to be quick, few enough to hold for every consumer.
const PAGE_EVENTS: usize = 256;

/// Which events a consumer wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// Empty for all.
    pub(crate) kinds: BTreeSet<EventKind>,
    /// The one Client whose events are wanted.
    pub(crate) endpoint: Option<String>,
}

impl Filter {
    fn takes(&self, event: &Event) -> bool {
        let kind = self.kinds.is_empty() || self.kinds.contains(&event.news.kind());
        let endpoint = self.endpoint.as_deref().is_none_or(|wanted| {
            event
                .endpoint
                .as_ref()
                .is_some_and(|endpoint| endpoint.as_str() == wanted)
        });
        kind && endpoint
    }
}

/// What a consumer hears.
#[derive(Debug, Clone)]
pub(crate) enum Told {
    /// An event.
    Event(Arc<Event>),
    /// Events after this position are not kept any more.
    Gap(Position),
    /// Up to here there was nothing for this consumer: it may come back with this position.
    Mark(Position),
    /// A remark for people who watch.
    Comment(&'static str),
}

/// Live events that the filter has passed over after which the consumer is told how far it is. A consumer of something
/// rare would otherwise come back with a position from long ago, and make us search everything since.
const MARK_EVENTS: usize = 1024;

/// Where a consumer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// With the oldest event that is kept.
    Oldest,
    /// After an event that it has seen.
    After(Position),
    /// With whatever happens next.
    Now,
}

enum Phase {
    CatchingUp,
    Listening(Live),
    Live(Live),
    Ended,
}

/// One consumer.
pub(crate) struct Consumer {
    backend: Arc<dyn Backend>,
    filter: Filter,
    last: Position,
    /// Whoever asks for the oldest event kept misses nothing by what is not kept.
    gap_expected: bool,
    phase: Phase,
    page: VecDeque<Told>,
    passed_over: usize,
}

impl Consumer {
    /// A consumer that begins somewhere.
    pub(crate) fn new(backend: Arc<dyn Backend>, from: From, filter: Filter) -> Consumer {
        let last = match from {
            From::Oldest => Position::START,
            From::After(position) => position,
            From::Now => backend.head(),
        };
        // Whoever wants what happens next hears it from this moment on, also what no log keeps.
        let phase = match (from, backend.live()) {
            (From::Now, Ok(live)) => Phase::Listening(live),
            _ => Phase::CatchingUp,
        };
        Consumer {
            backend,
            filter,
            last,
            gap_expected: from == From::Oldest,
            phase,
            page: VecDeque::new(),
            passed_over: 0,
        }
    }

    /// Everything up to here was told, or was not for this consumer.
    pub(crate) fn position(&self) -> Position {
        self.last
    }

    /// Waits for the next thing to tell; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Told> {
        loop {
            if let Some(told) = self.page.pop_front() {
                return Some(told);
            }
            match std::mem::replace(&mut self.phase, Phase::Ended) {
                Phase::CatchingUp => self.catch_up(None).await,
                Phase::Listening(live) => self.catch_up(Some(live)).await,
                Phase::Live(live) => {
                    if let Some(told) = self.listen(live).await {
                        return Some(told);
                    }
                }
                Phase::Ended => return None,
            }
        }
    }

    /// Reads one page of the log and decides what comes after it.
    async fn catch_up(&mut self, live: Option<Live>) {
        self.passed_over = 0;
        let replay = match self.backend.replay(self.last, PAGE_EVENTS).await {
            Ok(replay) => replay,
            Err(problem) => {
                tracing::warn!(code = problem.code.row().code, "an event stream ended");
                self.page
                    .push_back(Told::Comment("the log cannot be read now; come back"));
                return;
            }
        };
        if replay.gap && !std::mem::take(&mut self.gap_expected) {
            self.page.push_back(Told::Gap(self.last));
        }
        // Pages that the filter empties must not keep the thread from others.
        tokio::task::coop::consume_budget().await;
        self.last = self.last.max(replay.next);
        let read = replay.events.len();
        for event in replay.events {
            if let Some(position) = event.position {
                self.last = self.last.max(position);
            }
            if self.filter.takes(&event) {
                self.page.push_back(Told::Event(event));
            }
        }
        if self.page.is_empty() && read > 0 {
            self.page.push_back(Told::Mark(self.last));
        }
        self.phase = match (live, replay.end) {
            (Some(live), true) => Phase::Live(live),
            (Some(live), false) => Phase::Listening(live),
            (None, false) => Phase::CatchingUp,
            (None, true) => match self.backend.live() {
                Ok(live) => Phase::Listening(live),
                Err(_) => Phase::Ended,
            },
        };
    }

    /// Waits for one event of the feed.
    async fn listen(&mut self, mut live: Live) -> Option<Told> {
        match live.next().await {
            LiveItem::Event(event) => {
                self.phase = Phase::Live(live);
                if let Some(position) = event.position {
                    if position <= self.last {
                        return None;
                    }
                    self.last = position;
                }
                if self.filter.takes(&event) {
                    self.passed_over = 0;
                    return Some(Told::Event(event));
                }
                self.passed_over += 1;
                if self.passed_over < MARK_EVENTS {
                    return None;
                }
                self.passed_over = 0;
                Some(Told::Mark(self.last))
            }
            LiveItem::Behind => {
                self.phase = Phase::CatchingUp;
                Some(Told::Comment("too slow: catching up from the log"))
            }
            LiveItem::Closed => None,
        }
    }
}
