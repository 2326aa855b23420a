//! What breaks in the made world, and how often.

use std::time::Duration;

use crate::world::chance::Chance;

/// How often things break, on average. `None`: never.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Faults {
    /// Between two reboots of one Client.
    pub reboot: Option<Duration>,
    /// Between two crashes of the Server's process.
    pub crash: Option<Duration>,
    /// Between two times that the disk is full.
    pub full_disk: Option<Duration>,
    /// Between two jumps of the Server's wall clock.
    pub clock_jump: Option<Duration>,
}

impl Faults {
    /// Nothing breaks.
    pub const NONE: Self = Self {
        reboot: None,
        crash: None,
        full_disk: None,
        clock_jump: None,
    };

    /// A bad week: every Client reboots once in two days, the Server crashes every five hours.
    pub const MANY: Self = Self {
        reboot: Some(Duration::from_secs(48 * 3600)),
        crash: Some(Duration::from_secs(5 * 3600)),
        full_disk: Some(Duration::from_secs(12 * 3600)),
        clock_jump: Some(Duration::from_secs(30 * 3600)),
    };
}

/// Something that breaks or heals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A Client's power goes off, or it is asked to stop first.
    Reboot(usize),
    /// It comes on.
    PowerOn(usize),
    /// A Client is seen from another address.
    Rebind(usize),
    /// The Server's process is killed.
    Crash,
    /// It is started.
    Start,
    /// The disk takes no more.
    DiskFull,
    /// It does again.
    DiskFreed,
    /// The Server's wall clock jumps.
    ClockJump,
    /// A part of the network is cut off.
    Partition,
    /// It is not any more.
    Healed,
}

/// How long the consequences last.
pub(crate) fn until_it_heals(fault: Fault, chance: &mut Chance) -> Duration {
    let (from_s, to_s) = match fault {
        // Some processes are back at once, some wait for a person.
        Fault::Crash if chance.happens(0.7) => (1, 5),
        Fault::Crash => (5, 600),
        Fault::Reboot(_) if chance.happens(0.8) => (2, 60),
        Fault::Reboot(_) => (60, 7_200),
        Fault::DiskFull => (5, 900),
        Fault::Partition => (10, 1_200),
        _ => (1, 2),
    };
    chance.between(Duration::from_secs(from_s), Duration::from_secs(to_s))
}
