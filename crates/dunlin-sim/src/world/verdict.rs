//! What a universe has shown: figures, the hash of its trace, and what broke.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crate::check::wire::Note;

/// Lines of the trace that are kept for each Client, and for everything that concerns none.
const KEPT: usize = 400;

/// What one universe has shown.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Its seed.
    pub seed: u64,
    /// The first truth that did not hold, with the end of the trace.
    pub failure: Option<Failure>,
    /// Stands for everything that happened, in its order.
    pub trace_hash: u64,
    /// What happened how often.
    pub tally: Tally,
}

/// A truth that did not hold.
#[derive(Clone, Debug)]
pub struct Failure {
    /// When, since the beginning.
    pub at: Duration,
    /// The Client it concerns.
    pub device: Option<usize>,
    /// What did not hold.
    pub what: String,
    /// What happened before: of that Client, and of everything that concerns none.
    pub trace: Vec<String>,
}

macro_rules! tally {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What happened how often.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Tally {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Tally {
            /// Every figure with its name.
            pub fn figures(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name)),*]
            }

            /// Adds the figures of another universe.
            pub fn add(&mut self, other: &Self) {
                $(self.$name = if stringify!($name).ends_with("_max") {
                    self.$name.max(other.$name)
                } else {
                    self.$name + other.$name
                };)*
            }
        }
    };
}

tally! {
    /// Things that happened in all.
    happenings,
    /// Datagrams sent.
    datagrams,
    /// Of those, lost.
    lost,
    /// Of those, doubled.
    doubled,
    /// Commits made durable.
    commits,
    /// Syncs of the disk.
    syncs,
    /// Commits lost with a crash.
    commits_lost,
    /// 2.01 heard by Clients.
    registered,
    /// 2.04 heard by Clients.
    updated,
    /// 4.04 heard by Clients, each with its explanation.
    unknown_explained,
    /// Notifications acknowledged.
    acknowledged,
    /// Notifications in the event log.
    notified,
    /// Of those, late ones.
    late,
    /// Commands of the operator that were taken.
    asked,
    /// Commands that were refused at once.
    refused,
    /// Commands that were kept for a Client that slept.
    queued,
    /// Outcomes told.
    outcomes,
    /// Outcomes with an answer.
    answered,
    /// Non-idempotent commands whose outcome is unknown.
    unknown,
    /// Requests that expired in the queue.
    expired,
    /// Things done by Clients that must not be done twice.
    done,
    /// Things done again by a Client that had lost its memory between.
    done_again_after_reboot,
    /// Reboots of Clients.
    reboots,
    /// Reboots that lost what the Client had kept.
    factory_resets,
    /// Crashes of the Server.
    crashes,
    /// Times that the disk was full.
    full_disks,
    /// Jumps of the Server's wall clock.
    clock_jumps,
    /// New outer addresses.
    rebindings,
    /// Partitions of the network.
    partitions,
    /// Most peers known to the Servers at once.
    peers_max,
    /// Most requests known to the Servers at once.
    requests_max,
    /// Claims of names between Servers.
    claims,
}

/// What happened, as a hash over everything and as text of the last things.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    per_device: Vec<VecDeque<(Duration, Line)>>,
    common: VecDeque<(Duration, Line)>,
}

/// A line of the trace.
#[derive(Clone, Debug)]
pub(crate) enum Line {
    Sent(bool, Note, usize),
    Arrived(bool, Note),
    Nowhere(bool, Note),
    Text(String),
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arrow = |up: &bool| {
            if *up {
                "client -> server"
            } else {
                "server -> client"
            }
        };
        match self {
            Self::Sent(up, note, copies) => {
                write!(f, "{}: sent, {copies} will arrive: {note:?}", arrow(up))
            }
            Self::Arrived(up, note) => write!(f, "{}: arrives: {note:?}", arrow(up)),
            Self::Nowhere(up, note) => write!(f, "{}: finds nobody: {note:?}", arrow(up)),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl Trace {
    pub(crate) fn new(devices: usize) -> Self {
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            per_device: vec![VecDeque::new(); devices],
            common: VecDeque::new(),
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// Mixes a number into the hash.
    pub(crate) fn mix(&mut self, number: u64) {
        self.hash = (self.hash ^ number).wrapping_mul(0x0000_0100_0000_01b3);
        self.hash ^= self.hash >> 29;
    }

    /// Mixes bytes into the hash.
    pub(crate) fn mix_bytes(&mut self, bytes: &[u8]) {
        self.mix(bytes.len() as u64);
        for eight in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..eight.len()].copy_from_slice(eight);
            self.mix(u64::from_le_bytes(word));
        }
    }

    pub(crate) fn line(&mut self, at: Duration, device: Option<usize>, line: Line) {
        self.mix(at.as_nanos() as u64);
        self.mix(device.map_or(u64::MAX, |device| device as u64));
        if let Line::Text(text) = &line {
            self.mix_bytes(text.as_bytes());
        }
        let lines = match device {
            Some(device) => &mut self.per_device[device],
            None => &mut self.common,
        };
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back((at, line));
    }

    /// The last lines about this Client and about nobody, in their order.
    pub(crate) fn tail(&self, device: Option<usize>) -> Vec<String> {
        let own = device.map(|device| &self.per_device[device]);
        let mut lines: Vec<&(Duration, Line)> = own.into_iter().flatten().collect();
        let from = lines.first().map_or(Duration::ZERO, |(at, _)| *at);
        lines.extend(self.common.iter().filter(|(at, _)| *at >= from));
        lines.sort_by_key(|(at, _)| *at);
        lines
            .into_iter()
            .map(|(at, line)| format!("{} {line}", Clock(*at)))
            .collect()
    }
}

/// A time as days, hours, minutes, seconds.
pub(crate) struct Clock(pub(crate) Duration);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        write!(
            f,
            "{}d {:02}:{:02}:{:02}.{:03}",
            seconds / 86_400,
            seconds / 3600 % 24,
            seconds / 60 % 60,
            seconds % 60,
            self.0.subsec_millis()
        )
    }
}
