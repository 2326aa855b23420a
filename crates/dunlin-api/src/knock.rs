//! Knocks: who was refused lately, from where, why, and the line that would let them in.
//!
//! The [`Feed`](crate::event::Feed) keeps them as it tells of them, in memory and bounded: they are for a person who wonders why
//! a device does not register, not for the books.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::credential::Proof;
use crate::event::{Event, News};
use crate::time::Timestamp;

/// Different knocks that are kept: more than a person reads, and few enough to search for each refusal.
const KNOCKS_MAX: usize = 256;

/// Refusals of one kind from one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Knock {
    /// Where the last one came from, such as `192.0.2.7:41022`.
    pub address: String,
    /// The endpoint name that was given, if any.
    pub endpoint: Option<String>,
    /// Why it was refused, for people.
    pub reason: String,
    /// The line that would let it in, if there is one.
    pub remedy: Option<String>,
    /// What it showed, as a credential that would know it.
    pub offered: Option<Proof>,
    /// How often.
    pub count: u64,
    /// When for the first time.
    pub first_at: Timestamp,
    /// When for the last time.
    pub last_at: Timestamp,
}

/// The last knocks. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Knocks {
    /// The one heard last stands last.
    kept: Arc<Mutex<VecDeque<Knock>>>,
}

impl Knocks {
    /// Takes note of a refusal; of any other event not.
    pub(crate) fn note(&self, event: &Event) {
        let News::Refused {
            address,
            reason,
            remedy,
            offered,
        } = &event.news
        else {
            return;
        };
        let endpoint = event
            .endpoint
            .as_ref()
            .map(|endpoint| endpoint.as_str().to_string());
        // A panic while the lock was held cannot leave the list in pieces: every change is one call.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let same = kept.iter().position(|knock| {
            // The port changes with every attempt of many devices.
            host(&knock.address) == host(address)
                && knock.endpoint == endpoint
                && knock.reason == *reason
        });
        let before = same.and_then(|at| kept.remove(at));
        if before.is_none() && kept.len() == KNOCKS_MAX {
            kept.pop_front();
        }
        kept.push_back(Knock {
            address: address.clone(),
            endpoint,
            reason: reason.clone(),
            remedy: remedy.clone(),
            offered: offered.clone(),
            count: before
                .as_ref()
                .map_or(0, |knock| knock.count)
                .saturating_add(1),
            first_at: before.map_or(event.at, |knock| knock.first_at),
            last_at: event.at,
        });
    }

    /// The knocks, the last one first.
    pub(crate) fn list(&self) -> Vec<Knock> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().rev().cloned().collect()
    }
}

fn host(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(address: &str, reason: &str, at: u64) -> Event {
        Event {
            position: None,
            at: Timestamp(at),
            endpoint: None,
            news: News::Refused {
                address: address.into(),
                reason: reason.into(),
                remedy: None,
                offered: None,
            },
        }
    }

    #[test]
    fn the_same_knock_is_counted_and_the_last_stands_first() {
        let knocks = Knocks::default();
        knocks.note(&refused("192.0.2.7:1", "NoSec", 1));
        knocks.note(&refused("192.0.2.8:1", "NoSec", 2));
        knocks.note(&refused("192.0.2.7:2", "NoSec", 3));
        knocks.note(&refused("[2001:db8::1]:5683", "NoSec", 4));
        let list = knocks.list();
        assert_eq!(list.len(), 3);
        assert_eq!(
            (list[1].address.as_str(), list[1].count),
            ("192.0.2.7:2", 2)
        );
        assert_eq!(
            (list[1].first_at, list[1].last_at),
            (Timestamp(1), Timestamp(3))
        );
    }

    #[test]
    fn a_flood_pushes_out_the_oldest_and_nothing_grows() {
        let knocks = Knocks::default();
        for number in 0..1000 {
            knocks.note(&refused(
                &format!("198.51.100.{}:1", number % 256),
                &format!("{}", number / 256),
                number,
            ));
        }
        let list = knocks.list();
        assert_eq!(list.len(), KNOCKS_MAX);
        assert_eq!(list[0].last_at, Timestamp(999));
    }
}
