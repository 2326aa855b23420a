//! How much is too much, and what is refused first.
//!
//! The driver says now and then how full what waits for us is ([`crate::Server::set_pressure`]). What
//! stood full for a whole round raises a level, what was empty lowers it; a burst that is worked off
//! within the round does neither. The level climbs a ladder of [`Kind`]s: the first is shed in full
//! before the second is touched. Nothing on the ladder concerns a registered Client that only
//! refreshes, notifies or answers.
//!
//! There is one number and no mode, so nothing flaps: at half a rung, half of that kind is refused.

use std::time::Duration;

use dunlin_transport::{Instant, Now, WallTime};

/// The level changes once in this time: some turns of a busy shard, and much less than a Client waits
/// for an answer (ACK_TIMEOUT, 2 s).
pub(crate) const ROUND: Duration = Duration::from_millis(100);

/// Thousandths.
const WHOLE: u32 = 1_000;

/// What stood at least this full for a round is too much, …
const HIGH: u32 = 300;

/// … and below this it is calm; between the two the level stays.
const LOW: u32 = 150;

/// How far a round without pressure lowers the level: a rung in half a second.
const FALL: u32 = 200;

/// A queue that has become shorter by this is being worked off: what is refused already is enough.
const SHORTER: u32 = 30;

/// The ladder with all its rungs.
const LEVEL_MAX: u32 = 5 * WHOLE;

/// A strain is over when it was calm for this long: an operator sees one, not twenty.
const OVER_AFTER: Duration = Duration::from_secs(10);

/// What can be refused, the first first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Handshakes of DTLS that begin. Nobody has proved who he is yet, and one costs as much as
    /// twenty messages.
    Handshake,
    /// Registers of names that are not registered, and Bootstrap-Requests.
    Newcomer,
    /// Registers of Clients that are registered: a fleet that had a power cut.
    Known,
    /// Registers of those who were refused, were told when to come, and came then.
    Waited,
    /// Updates that change something, and need the disk.
    Change,
}

impl Kind {
    /// All, the first that is refused first.
    pub const ALL: [Self; 5] = [
        Self::Handshake,
        Self::Newcomer,
        Self::Known,
        Self::Waited,
        Self::Change,
    ];

    /// The word used in metrics and REST.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Newcomer => "register_new",
            Self::Known => "register_known",
            Self::Waited => "register_waited",
            Self::Change => "update",
        }
    }

    /// Of a thousand, how many are refused at most. Some always pass: while a storm of those to be
    /// refused takes all the time there is, the work goes on.
    const fn shed_max(self) -> u32 {
        match self {
            Self::Handshake => 970,
            Self::Newcomer => 850,
            Self::Known => 800,
            Self::Waited => 600,
            Self::Change => 500,
        }
    }
}

/// The load of a Server, for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadView {
    /// How far up the ladder it is: 0 refuses nothing, 1000 all handshakes, 5000 the most of
    /// everything on it.
    pub level: u32,
    /// Since when something is refused.
    pub since: Option<WallTime>,
    /// How many were refused so far, by [`Kind::ALL`]; handshakes are counted by DTLS.
    pub shed: [u64; 5],
    /// Clients that were told when to come back and have not come yet, about.
    pub waiting: u64,
}

/// A round that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Round {
    /// How long it was.
    pub(crate) span: Duration,
}

#[derive(Debug)]
pub(crate) struct Load {
    level: u32,
    /// When this round began, and the least pressure in it.
    round: Option<(Instant, u32)>,
    /// The least pressure of the round before.
    before: u32,
    /// What is left over of each kind, so that of ten with a tenth to be refused it is one.
    rests: [u32; 5],
    shed: [u64; 5],
    strain: Option<(WallTime, Instant)>,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            level: 0,
            round: None,
            before: 0,
            // Rounded, not cut off: when most are refused, so is the first.
            rests: [WHOLE / 2; 5],
            shed: [0; 5],
            strain: None,
        }
    }
}

impl Load {
    /// What waits is so full now, in thousandths. A round that ends by this is returned.
    pub(crate) fn sample(&mut self, now: Now, pressure: u32) -> Option<Round> {
        let (began, least) = self.round.unwrap_or((now.instant, pressure));
        let least = least.min(pressure);
        let span = now.instant.saturating_sub(began);
        if span < ROUND {
            self.round = Some((began, least));
            return None;
        }
        self.round = Some((now.instant, pressure));
        let rounds = u32::try_from(span.as_millis() / ROUND.as_millis()).unwrap_or(u32::MAX);
        let shorter = least + SHORTER < self.before;
        self.before = least;
        if least >= HIGH && !shorter {
            // The fuller, the faster: half a rung in a round when nothing more fits.
            let rise = (least.min(WHOLE) - LOW) * 6 / 10;
            self.level = (self.level + rise).min(LEVEL_MAX);
        } else if least < LOW {
            self.level = self.level.saturating_sub(FALL.saturating_mul(rounds));
        }
        if self.level > 0 {
            let since = self.strain.map_or(now.wall, |(since, _)| since);
            self.strain = Some((since, now.instant));
        } else if let Some((_, last)) = self.strain
            && last + OVER_AFTER < now.instant
        {
            self.strain = None;
        }
        Some(Round { span })
    }

    /// How much of a kind is refused now, in thousandths.
    pub(crate) fn share(&self, kind: Kind) -> u32 {
        let rung = kind as u32 * WHOLE;
        self.level.saturating_sub(rung).min(kind.shed_max())
    }

    /// Whether one of this kind is served now; a refused one is counted.
    pub(crate) fn serves(&mut self, kind: Kind) -> bool {
        let share = self.share(kind);
        if share == 0 {
            return true;
        }
        let rest = &mut self.rests[kind as usize];
        *rest += share;
        if *rest < WHOLE {
            return true;
        }
        *rest -= WHOLE;
        self.count(kind);
        false
    }

    pub(crate) fn count(&mut self, kind: Kind) {
        self.shed[kind as usize] += 1;
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.level == 0
    }

    pub(crate) fn view(&self) -> LoadView {
        LoadView {
            level: self.level,
            since: self.strain.map(|(since, _)| since),
            shed: self.shed,
            waiting: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Now {
        Now {
            instant: Duration::from_millis(milliseconds),
            wall: WallTime(milliseconds),
        }
    }

    /// A load that was sampled every ten milliseconds with this pressure.
    fn pressed(load: &mut Load, from: u64, until: u64, pressure: impl Fn(u64) -> u32) {
        for now in (from..until).step_by(10) {
            load.sample(at(now), pressure(now));
        }
    }

    #[test]
    fn handshakes_go_first_and_changes_last() {
        let mut load = Load::default();
        let mut order = Vec::new();
        for round in 0..20 {
            pressed(&mut load, round * 100, round * 100 + 100, |_| 1_000);
            for kind in Kind::ALL {
                if load.share(kind) > 0 && !order.contains(&kind) {
                    let full = |earlier: &Kind| load.share(*earlier) == earlier.shed_max();
                    assert!(order.iter().all(full), "{kind:?} before the others are");
                    order.push(kind);
                }
            }
        }
        assert_eq!(order, Kind::ALL);
    }

    #[test]
    fn a_burst_that_is_worked_off_is_no_strain() {
        let mut load = Load::default();
        // Full half of the time, and empty between.
        pressed(
            &mut load,
            0,
            10_000,
            |now| if now % 100 < 50 { 1_000 } else { 0 },
        );
        assert_eq!(load.view(), LoadView::default());
    }

    #[test]
    fn a_strain_ends_some_time_after_the_pressure() {
        let mut load = Load::default();
        pressed(&mut load, 0, 1_000, |_| 1_000);
        assert!(load.view().level > 3_000);
        assert_eq!(load.view().since, Some(WallTime(100)));
        // Half full: it neither rises nor falls.
        let level = load.view().level;
        load.sample(at(1_000), 200);
        pressed(&mut load, 1_010, 2_000, |_| 200);
        assert_eq!(load.view().level, level);
        // Nobody came for a minute: one sample says so.
        load.sample(at(2_000), 0);
        load.sample(at(62_000), 0);
        assert!(load.is_calm());
        assert_eq!(load.view().since, None);
    }

    #[test]
    fn so_many_are_refused_as_the_level_says_and_some_always_pass() {
        let mut load = Load {
            level: 1_300,
            ..Load::default()
        };
        let served = |load: &mut Load, kind| (0..1_000).filter(|_| load.serves(kind)).count();
        assert_eq!(served(&mut load, Kind::Newcomer), 700);
        assert_eq!(served(&mut load, Kind::Known), 1_000);
        assert_eq!(load.view().shed, [0, 300, 0, 0, 0]);
        load.level = LEVEL_MAX;
        for (kind, passed) in Kind::ALL.into_iter().zip([30, 150, 200, 400, 500]) {
            assert_eq!(served(&mut load, kind), passed, "{kind:?}");
        }
    }
}
