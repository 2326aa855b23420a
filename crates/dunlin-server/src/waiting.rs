//! Whom we could not serve, and when he was told to come back.
//!
//! A Server that refuses everybody with the same Max-Age has the same storm again after it. Here the
//! seconds to come are a calendar: each takes as many as we are able to serve in one, and whoever is
//! refused is told the first second that is free, or one soon after it, so that those of one moment
//! do not meet again. Who comes when he was told is served before those who come for the first time;
//! who comes earlier is told the same time again and loses nothing by it.
//!
//! What is kept of one who waits are four bytes: some bits of his name's hash, and his second. Two
//! may have the same; then one of them is served early.

use std::hash::BuildHasher;
use std::time::Duration;

use dunlin_transport::Instant;
use foldhash::quality::FixedState;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

/// Seconds that can be booked ahead: 17 minutes. Who comes when all are taken gets one of the last.
const SECONDS: u64 = 1_024;

/// Nobody is told to come sooner: a second is too short to be over.
const WAIT_MIN_S: u64 = 2;

/// Those of one moment are spread over so many seconds at least, …
const SPREAD_S: u64 = 4;

/// … and over this part of the time until there is room.
const SPREAD_PART: u64 = 4;

/// Who comes later than this after his second is as good as new.
const LATE_MAX_S: u16 = 300;

/// A row of notes is one line of a processor's cache.
const ROW: usize = 16;

/// Rows: a million notes in all, 4 MiB, while somebody waits. The oldest of a full row is forgotten.
const ROWS: usize = 65_536;

/// The least that is booked for a second: a Server that can do less is not overloaded but broken.
const PER_SECOND_MIN: u32 = 20;

/// How one who registers stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// He was not refused before, or long ago.
    New,
    /// He was told to come, and that is in so many seconds.
    Early(u32),
    /// He was told to come now.
    Due,
}

#[derive(Debug)]
pub(crate) struct WaitingRoom {
    random: ChaCha12Rng,
    hasher: FixedState,
    /// Tag and second of those who wait; empty while there are none.
    notes: Vec<[u32; ROW]>,
    /// How many are told to come in each second, by its number modulo [`SECONDS`].
    booked: Vec<u32>,
    /// Seconds before this one are over.
    today: u64,
    /// No second before this one has room.
    free_from: u64,
    /// How many we are able to serve in a second, as far as we know; 0 if we do not.
    per_second: u32,
    served_in_round: u32,
    put_off_in_round: u32,
    /// The last second anybody was told.
    last: u64,
}

impl WaitingRoom {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        let mut random = ChaCha12Rng::from_seed(seed);
        Self {
            hasher: FixedState::with_seed(random.next_u64()),
            random,
            notes: Vec::new(),
            booked: Vec::new(),
            today: 0,
            free_from: 0,
            per_second: 0,
            served_in_round: 0,
            put_off_in_round: 0,
            last: 0,
        }
    }

    /// How somebody with this name stands.
    pub(crate) fn standing(&self, now: Instant, name: &str) -> Standing {
        if self.notes.is_empty() {
            return Standing::New;
        }
        let (row, tag) = self.place(name);
        let Some(note) = self.notes[row].iter().find(|note| *note >> 16 == tag) else {
            return Standing::New;
        };
        let second = (*note as u16).wrapping_sub(now.as_secs() as u16);
        match second {
            // Half the circle is ahead.
            1..0x8000 => Standing::Early(second.into()),
            _ if second.wrapping_neg() <= LATE_MAX_S => Standing::Due,
            _ => Standing::New,
        }
    }

    /// Finds a second for one who is refused: in how many he shall come.
    pub(crate) fn book(&mut self, now: Instant, name: &str) -> u32 {
        self.open(now);
        while self.free_from < self.today + SECONDS && !self.has_room(self.free_from) {
            self.free_from += 1;
        }
        let ahead = self.free_from - self.today;
        let spread = SPREAD_S + ahead / SPREAD_PART;
        let end = self.today + SECONDS;
        let mut second = self.free_from + self.random.next_u64() % spread;
        while second < end && !self.has_room(second) {
            second += 1;
        }
        if second >= end {
            second = end - 1 - self.random.next_u64() % (SECONDS / SPREAD_PART);
        }
        self.note(now, name, second)
    }

    /// One who came when he was told cannot be served yet: he is told a second very soon, whoever
    /// else has it.
    pub(crate) fn put_off(&mut self, now: Instant, name: &str) -> u32 {
        self.open(now);
        self.put_off_in_round += 1;
        let second = self.today + WAIT_MIN_S + self.random.next_u64() % SPREAD_S;
        self.note(now, name, second)
    }

    /// Somebody was served; he waits no longer.
    pub(crate) fn served(&mut self, now: Instant, name: &str) {
        self.served_in_round += 1;
        if self.notes.is_empty() {
            return;
        }
        if let Standing::Early(seconds) = self.standing(now, name) {
            let second = now.as_secs() + u64::from(seconds);
            let booked = &mut self.booked[(second % SECONDS) as usize];
            *booked = booked.saturating_sub(1);
            self.free_from = self.free_from.min(second);
        }
        let (row, tag) = self.place(name);
        let note = self.notes[row].iter_mut().find(|note| **note >> 16 == tag);
        if let Some(note) = note {
            *note = 0;
        }
    }

    /// A round of the load is over. `calm`: nobody is refused.
    pub(crate) fn end_round(&mut self, now: Instant, span: Duration, calm: bool) {
        let served = std::mem::take(&mut self.served_in_round);
        let put_off = std::mem::take(&mut self.put_off_in_round);
        let milliseconds = u32::try_from(span.as_millis()).unwrap_or(u32::MAX).max(1);
        let rate = served.saturating_mul(1_000) / milliseconds;
        if calm {
            if self.notes.is_empty() {
                // What is served in calm is what is asked for, not what we are able to.
                return;
            }
            if now.as_secs() > self.last + u64::from(LATE_MAX_S) {
                self.close();
            } else if self.booked[(now.as_secs() % SECONDS) as usize] > 0 {
                // They come as told, and it is no strain: more could come.
                self.per_second = self.per_second.saturating_add(self.per_second / 40 + 1);
            }
            return;
        }
        // A round in which few were let in says nothing of what we are able to do. One in which many came
        // as they were told, and could not be served, says that it is less than we thought.
        if rate > self.per_second {
            let risen = (self.per_second * 7 + rate * 3) / 10;
            self.per_second = if self.per_second == 0 { rate } else { risen };
        } else if put_off > served / 4 {
            self.per_second = (self.per_second * 9 + rate) / 10;
        }
    }

    /// How many are told to come in the seconds ahead.
    pub(crate) fn waiting(&self, now: Instant) -> u64 {
        let ahead = now.as_secs() + 1..(now.as_secs() + SECONDS).min(self.last + 1);
        let booked = |second: u64| u64::from(self.booked[(second % SECONDS) as usize]);
        match self.booked.is_empty() {
            true => 0,
            false => ahead.map(booked).sum(),
        }
    }

    /// Comes to the present second, and makes the room if there is none.
    fn open(&mut self, now: Instant) {
        let second = now.as_secs();
        if self.notes.is_empty() {
            self.notes = vec![[0; ROW]; ROWS];
            self.booked = vec![0; SECONDS as usize];
            self.today = second;
        }
        for over in self.today..second.min(self.today + SECONDS) {
            self.booked[(over % SECONDS) as usize] = 0;
        }
        self.today = second;
        self.free_from = self.free_from.max(second + WAIT_MIN_S);
    }

    fn close(&mut self) {
        self.notes = Vec::new();
        self.booked = Vec::new();
        self.free_from = 0;
        self.last = 0;
    }

    fn has_room(&self, second: u64) -> bool {
        // A tenth is left for those who come for the first time.
        let able = self.per_second - self.per_second / 10;
        self.booked[(second % SECONDS) as usize] < able.max(PER_SECOND_MIN)
    }

    /// Writes down that this one comes in that second.
    fn note(&mut self, now: Instant, name: &str, second: u64) -> u32 {
        let booked = &mut self.booked[(second % SECONDS) as usize];
        *booked = booked.saturating_add(1);
        self.last = self.last.max(second);
        let (row, tag) = self.place(name);
        let today = now.as_secs() as u16;
        let row = &mut self.notes[row];
        // His own, a vacant one, or that of whoever was to come longest ago.
        let age = |note: u32| today.wrapping_sub(note as u16).wrapping_add(SECONDS as u16);
        let best = row.iter_mut().max_by_key(|note| match **note {
            note if note >> 16 == tag => (2, 0),
            0 => (1, 0),
            note => (0, age(note)),
        });
        *best.expect("a row has notes") = tag << 16 | u32::from(second as u16);
        u32::try_from(second - self.today).expect("a calendar is short")
    }

    fn place(&self, name: &str) -> (usize, u32) {
        let hash = self.hasher.hash_one(name);
        // A tag is never 0, which is nobody's.
        (hash as usize % ROWS, (hash >> 48) as u32 | 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(per_second: u32) -> WaitingRoom {
        WaitingRoom {
            per_second,
            ..WaitingRoom::new([7; 32])
        }
    }

    fn second(seconds: u64) -> Instant {
        Duration::from_secs(seconds)
    }

    fn name(number: usize) -> String {
        format!("urn:dev:{number:06}")
    }

    #[test]
    fn the_seconds_ahead_are_filled_and_none_beyond_what_we_are_able_to() {
        let mut room = room(1_000);
        let mut seconds = vec![0; 200];
        for number in 0..90_000 {
            let wait = room.book(second(50), &name(number));
            assert!(wait >= WAIT_MIN_S as u32);
            seconds[wait as usize] += 1;
        }
        assert!(seconds.iter().all(|count| *count <= 900), "{seconds:?}");
        let last = seconds.iter().rposition(|count| *count > 0);
        assert!(
            last < Some(135),
            "a hundred seconds' worth ends at {last:?}"
        );
        assert_eq!(room.waiting(second(50)), 90_000);
        assert_eq!(room.waiting(second(500)), 0);
    }

    #[test]
    fn who_waits_is_known_until_he_is_served() {
        let mut room = room(1_000);
        assert_eq!(room.standing(second(50), "lamp"), Standing::New);
        let wait = room.book(second(50), "lamp");
        let due = second(50 + u64::from(wait));
        assert_eq!(room.standing(second(50), "lamp"), Standing::Early(wait));
        assert_eq!(room.standing(second(50), "other"), Standing::New);
        assert_eq!(room.standing(due, "lamp"), Standing::Due);
        assert_eq!(room.standing(due + second(300), "lamp"), Standing::Due);
        assert_eq!(room.standing(due + second(301), "lamp"), Standing::New);
        let later = room.put_off(due, "lamp");
        assert!((2..6).contains(&later));
        assert_eq!(room.standing(due, "lamp"), Standing::Early(later));
        room.served(due, "lamp");
        assert_eq!(room.standing(due, "lamp"), Standing::New);
    }

    #[test]
    fn a_million_wait_and_nearly_all_are_known() {
        let mut room = room(20_000);
        let count = if cfg!(debug_assertions) {
            200_000
        } else {
            1_000_000
        };
        let waits: Vec<u32> = (0..count)
            .map(|number| room.book(second(9), &name(number)))
            .collect();
        let known = (0..count).filter(|number| {
            room.standing(second(9), &name(*number)) == Standing::Early(waits[*number])
        });
        let known = known.count();
        assert!(known * 100 > count * 90, "{known} of {count}");
    }

    #[test]
    fn what_we_are_able_to_is_learnt_and_the_room_is_given_up() {
        let mut room = room(0);
        let round = Duration::from_millis(100);
        let end = |room: &mut WaitingRoom, served, put_off, calm| {
            (room.served_in_round, room.put_off_in_round) = (served, put_off);
            room.end_round(second(10), round, calm);
            room.per_second
        };
        assert_eq!(end(&mut room, 500, 0, true), 0, "calm says nothing");
        assert_eq!(end(&mut room, 500, 0, false), 5_000);
        assert_eq!(end(&mut room, 60, 0, false), 5_000, "few were let in");
        assert_eq!(end(&mut room, 1_000, 0, false), 6_500);
        assert_eq!(end(&mut room, 100, 25, false), 6_500);
        assert_eq!(end(&mut room, 100, 26, false), 5_950);
        room.book(second(8), "lamp");
        room.booked[10] = 1;
        assert_eq!(
            end(&mut room, 100, 0, true),
            5_950 + 149,
            "it was no strain"
        );
        room.end_round(second(400), round, true);
        assert!(room.notes.is_empty() && room.booked.is_empty());
    }

    #[test]
    fn a_calendar_that_is_full_gives_one_of_the_last_seconds() {
        let mut room = room(20);
        for number in 0..30_000 {
            let wait = u64::from(room.book(second(3), &name(number)));
            assert!((WAIT_MIN_S..SECONDS).contains(&wait));
        }
        // After an hour it is empty again.
        assert!(room.book(second(3_603), "late") < 10);
    }
}
