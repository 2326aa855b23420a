//! When a value is worth telling (TS 1.0 §5.5, and the flow of its §5.1.2).
//!
//! 1. A Server observes: the answer is the first notification; its value and time are remembered.
//! 2. Something changes: if the conditions of the attributes hold, the observation is *due*.
//! 3. It is told once the Minimum Period since the last one has passed, and the Server can be
//!    reached; one at a time, each Confirmable.
//! 4. When the Maximum Period passes it is told in any case.
//! 5. What nobody acknowledges, and what changes until an Update is answered again, is kept and told
//!    then, if the account stores notifications: all of it with its times in a format that has times
//!    (JSON), the newest value in one that has none.

use alloc::vec::Vec;
use core::time::Duration;

use dunlin_lwm2m::attribute::Attributes;
use dunlin_lwm2m::{ContentFormat, Node, Path, ResourceValue, ShortServerId, Value};
use dunlin_transport::{Instant, NotificationId, ObserverId, Token, WallTime};

/// One observation of one Server.
#[derive(Clone, Debug)]
pub(crate) struct Observation {
    pub(crate) observer: ObserverId,
    pub(crate) server: ShortServerId,
    pub(crate) token: Token,
    pub(crate) path: Path,
    /// Every notification is in the format of the first answer (RFC 7641 §4.2).
    pub(crate) format: ContentFormat,
    /// What the Server was told last.
    pub(crate) told: Node,
    pub(crate) told_at: Instant,
    pub(crate) due: bool,
    /// CoAP had no room for it; not tried again before.
    pub(crate) not_before: Instant,
    /// A notification that is not acknowledged yet.
    pub(crate) under_way: Option<NotificationId>,
    /// What the notification under way says, the oldest first: it is told again if nobody hears it.
    pub(crate) sent: Vec<Kept>,
    /// What was worth telling since, the oldest first, while nobody may have been there to hear it
    /// (Notification Storing, `/1/x/6`).
    pub(crate) kept: Vec<Kept>,
}

/// More values than this an observation does not keep; the oldest go first, as they are worth the
/// least. With them a Client of one value a minute can be away for an hour.
pub(crate) const KEPT_MAX: usize = 64;

/// A value that is to be told later, and when it was so.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kept {
    pub(crate) at: WallTime,
    pub(crate) node: Node,
}

impl Observation {
    /// Something below the observed path has changed and is `current` now.
    pub(crate) fn changed(&mut self, current: &Node, attributes: &Attributes) {
        self.due |= is_worth_telling(&self.told, current, attributes);
    }

    /// Keeps a value for later, if it is worth telling after the one before; one for each Minimum
    /// Period, as there would have been notifications.
    pub(crate) fn keep(&mut self, at: WallTime, current: &Node, attributes: &Attributes) {
        let last = self.kept.last().or(self.sent.last());
        let before = last.map_or(&self.told, |kept| &kept.node);
        if !is_worth_telling(before, current, attributes) {
            return;
        }
        let pmin = Duration::from_secs(attributes.pmin_s.unwrap_or(0).into());
        let node = current.clone();
        match self.kept.last_mut() {
            Some(last) if at.since(last.at) < pmin => last.node = node,
            _ => self.kept.push(Kept { at, node }),
        }
        if self.kept.len() > KEPT_MAX {
            self.kept.remove(0);
        }
    }

    /// The notification under way has been heard: what was kept beside it is told no more, but for
    /// the newest value.
    pub(crate) fn heard(&mut self) {
        self.under_way = None;
        self.sent.clear();
        self.kept.clear();
    }

    /// Nobody has heard it: what it said is kept with the rest.
    pub(crate) fn unheard(&mut self) {
        self.under_way = None;
        self.due = true;
        let mut all = core::mem::take(&mut self.sent);
        all.append(&mut self.kept);
        all.drain(..all.len().saturating_sub(KEPT_MAX));
        self.kept = all;
    }

    /// What a notification says now: what was kept, and the value of now.
    pub(crate) fn history(&self, now: WallTime, current: &Node) -> Vec<Kept> {
        let mut all = self.kept.clone();
        if all.last().is_none_or(|last| last.node != *current) {
            all.push(Kept {
                at: now,
                node: current.clone(),
            });
        }
        all
    }

    /// When this is to be told, if nothing else happens.
    pub(crate) fn next(&self, attributes: &Attributes) -> Option<Instant> {
        if self.under_way.is_some() {
            return None;
        }
        let after = |seconds: u32| self.told_at + Duration::from_secs(seconds.into());
        let periodic = attributes.pmax_in_force_s().map(after);
        let due = self.due.then(|| after(attributes.pmin_s.unwrap_or(0)));
        let next = due.into_iter().chain(periodic).min()?;
        Some(next.max(self.not_before))
    }
}

/// Whether the change from what was told to what is now meets the conditions.
fn is_worth_telling(told: &Node, current: &Node, attributes: &Attributes) -> bool {
    let conditional = attributes.gt.is_some() || attributes.lt.is_some() || attributes.st.is_some();
    if !conditional {
        return told != current;
    }
    match (number(told), number(current)) {
        (Some(old), Some(new)) => meets(old, new, attributes),
        _ => told != current,
    }
}

fn number(node: &Node) -> Option<f64> {
    match node {
        Node::Resource(resource) => match &resource.value {
            ResourceValue::Single(value) => Value::as_number(value),
            ResourceValue::Multiple(_) => None,
        },
        _ => None,
    }
}

fn meets(old: f64, new: f64, attributes: &Attributes) -> bool {
    let crosses_up = |limit: f64| (old <= limit) != (new <= limit);
    let crosses_down = |limit: f64| (old >= limit) != (new >= limit);
    attributes.gt.is_some_and(crosses_up)
        || attributes.lt.is_some_and(crosses_down)
        || attributes.st.is_some_and(|step| (new - old).abs() >= step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunlin_lwm2m::Resource;

    fn level(value: f64) -> Node {
        Node::Resource(Resource::single(9, Value::Float(value)))
    }

    #[test]
    fn ts_5_1_2_examples_of_the_standard() {
        let one = Attributes {
            gt: Some(45.0),
            st: Some(10.0),
            ..Attributes::NONE
        };
        for (old, new) in [(20.0, 35.0), (45.0, 50.0), (50.0, 40.0), (35.0, 20.0)] {
            assert!(
                is_worth_telling(&level(old), &level(new), &one),
                "{old} -> {new}"
            );
        }
        assert!(!is_worth_telling(&level(20.0), &level(29.0), &one));
        let two = Attributes {
            lt: Some(20.0),
            gt: Some(85.0),
            st: Some(10.0),
            ..Attributes::NONE
        };
        for (old, new) in [(17.0, 24.0), (75.0, 90.0), (50.0, 10.0), (87.0, 99.0)] {
            assert!(
                is_worth_telling(&level(old), &level(new), &two),
                "{old} -> {new}"
            );
        }
        assert!(!is_worth_telling(&level(30.0), &level(39.0), &two));
    }

    #[test]
    fn ts_5_1_2_without_conditions_every_change_is_told() {
        assert!(is_worth_telling(
            &level(1.0),
            &level(1.5),
            &Attributes::NONE
        ));
        assert!(!is_worth_telling(
            &level(1.0),
            &level(1.0),
            &Attributes::NONE
        ));
    }
}
