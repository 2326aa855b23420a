//! How many Clients there are of each presence and security, counted a part at a time.

use crate::event::Presence;

/// Presences, in the order of their rows.
const PRESENCES: [Presence; 3] = [Presence::Awake, Presence::Asleep, Presence::Overdue];

/// The words for security, in the order of their columns.
const SECURITIES: [&str; 4] = ["nosec", "psk", "rpk", "x509"];

/// Clients by presence and security.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    counts: [[u64; SECURITIES.len()]; PRESENCES.len()],
}

impl Census {
    /// Presence, security and how many Clients have both.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> + '_ {
        PRESENCES
            .iter()
            .zip(&self.counts)
            .flat_map(|(presence, row)| {
                let row = SECURITIES.iter().zip(row);
                row.map(|(security, count)| (presence.name(), *security, *count))
            })
    }

    /// Adds the Clients of another Server.
    pub fn add(&mut self, other: &Self) {
        for (row, other) in self.counts.iter_mut().zip(&other.counts) {
            for (count, other) in row.iter_mut().zip(other) {
                *count += other;
            }
        }
    }
}

/// A census that is being taken.
#[derive(Debug, Default)]
pub(crate) struct Counting {
    /// The last that was taken whole.
    pub(crate) whole: Census,
    part: Census,
    /// The place of the next Client.
    pub(crate) next: usize,
}

impl Counting {
    pub(crate) fn count(&mut self, presence: Presence, security: &str) {
        let row = PRESENCES.iter().position(|one| *one == presence);
        let column = SECURITIES.iter().position(|one| *one == security);
        if let (Some(row), Some(column)) = (row, column) {
            self.part.counts[row][column] += 1;
        }
    }

    /// A part was counted; without a place to go on it was the last.
    pub(crate) fn end_part(&mut self, next: Option<usize>) {
        self.next = next.unwrap_or(0);
        if next.is_none() {
            self.whole = std::mem::take(&mut self.part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_census_is_told_when_it_is_whole() {
        let mut counting = Counting::default();
        counting.count(Presence::Awake, "psk");
        counting.count(Presence::Asleep, "psk");
        counting.end_part(Some(2));
        assert_eq!(counting.whole, Census::default());
        counting.count(Presence::Awake, "psk");
        counting.end_part(None);
        let mut both = counting.whole.clone();
        both.add(&counting.whole);
        let told: Vec<_> = both.iter().filter(|(_, _, count)| *count > 0).collect();
        assert_eq!(told, [("awake", "psk", 4), ("asleep", "psk", 2)]);
        assert_eq!((both.iter().count(), counting.next), (12, 0));
    }
}
