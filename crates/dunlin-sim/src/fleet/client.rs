//! What is kept for each Client: a record of one cache line, the place of its registration, and its
//! observations. A million Clients are three vectors.

use dunlin_coap::{OptionList, OptionNumber, Options, Token};
use dunlin_lwm2m::Path;

use super::report::Kind;
use super::wheel::Milliseconds;

/// No time at all.
pub(crate) const NEVER: Milliseconds = Milliseconds::MAX;

/// No observation.
pub(crate) const NONE: u32 = u32::MAX;

/// Where a Client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It has not been switched on yet.
    Absent,
    /// It has no registration and wants one.
    Registering,
    /// It was told 2.01.
    Registered,
    /// It failed to register as often as it may.
    GivenUp,
    /// It was told 2.02.
    Deregistered,
}

/// One Client. All times are from the start of the run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    /// When that which waits for an answer was due, in microseconds.
    pub(crate) due_us: u64,
    /// Which of its entries in the calendar counts.
    pub(crate) wake_ms: Milliseconds,
    /// When the next Update is due, or the next Register while it has no registration.
    pub(crate) update_ms: Milliseconds,
    /// When the first of its observations has to notify.
    pub(crate) notify_ms: Milliseconds,
    /// When the message that waits for an answer is sent again or given up.
    pub(crate) timeout_ms: Milliseconds,
    /// How long that wait is; it doubles (RFC 7252 §4.2).
    pub(crate) interval_ms: u32,
    /// It hears until then, in queue mode.
    pub(crate) awake_ms: Milliseconds,
    pub(crate) lifetime_s: u32,
    /// The lifetime that the pending or last message told the server; 0 if that may have been lost.
    pub(crate) told_s: u32,
    /// The first of its observations.
    pub(crate) observation: u32,
    /// The observation that the pending notification belongs to.
    pub(crate) notifying: u32,
    /// The number of its last notification; it makes the values of its sensors.
    pub(crate) reading: u32,
    /// The Message ID to be used next.
    pub(crate) message_id: u16,
    /// The Message ID of what waits for an answer.
    pub(crate) pending_id: u16,
    /// Its present address, a number that the driver understands.
    pub(crate) binding: u16,
    pub(crate) phase: Phase,
    /// What waits for an answer. There is at most one (NSTART, RFC 7252 §4.7).
    pub(crate) pending: Option<Kind>,
    /// How often it has been sent again.
    pub(crate) retransmissions: u8,
    /// Failed Registers in a row.
    pub(crate) attempts: u8,
    pub(crate) flags: Flags,
}

/// Yes and no about a Client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(u8);

impl Flags {
    /// It sleeps when nobody has spoken for a while.
    pub(crate) const QUEUE: Flags = Flags(1);
    /// The pending Update tells the lifetime.
    pub(crate) const TELL_LIFETIME: Flags = Flags(2);
    /// The pending request was acknowledged; its response comes separately (RFC 7252 §5.2.2).
    pub(crate) const SEPARATE: Flags = Flags(4);
    /// Its first registering has come to an end, good or bad.
    pub(crate) const SETTLED: Flags = Flags(8);
    /// It is to de-register as soon as nothing waits for an answer.
    pub(crate) const LEAVING: Flags = Flags(16);

    pub(crate) fn has(self, flag: Flags) -> bool {
        self.0 & flag.0 != 0
    }

    pub(crate) fn set(&mut self, flag: Flags, on: bool) {
        if on {
            self.0 |= flag.0;
        } else {
            self.0 &= !flag.0;
        }
    }
}

impl Client {
    pub(crate) fn new(lifetime_s: u32) -> Self {
        Client {
            due_us: 0,
            wake_ms: NEVER,
            update_ms: NEVER,
            notify_ms: NEVER,
            timeout_ms: NEVER,
            interval_ms: 0,
            awake_ms: 0,
            lifetime_s,
            told_s: 0,
            observation: NONE,
            notifying: NONE,
            reading: 0,
            message_id: 0,
            pending_id: 0,
            binding: 0,
            phase: Phase::Absent,
            pending: None,
            retransmissions: 0,
            attempts: 0,
            flags: Flags::default(),
        }
    }
}

/// The longest place of a registration that is kept, as encoded Uri-Path options.
const LOCATION_MAX: usize = 254;

/// Where the registration of each Client is: Uri-Path options in their encoded form, in slots of
/// one size that grows with the longest place ever told. A server's places are all alike, so that
/// little is wasted, and nothing is allocated per Client.
#[derive(Debug, Default)]
pub(crate) struct Locations {
    stride: usize,
    bytes: Vec<u8>,
    clients: usize,
}

impl Locations {
    pub(crate) fn new(clients: usize) -> Self {
        Locations {
            stride: 0,
            bytes: Vec::new(),
            clients,
        }
    }

    /// Keeps the place that a 2.01 told by its Location-Path options. `false` if it is longer than
    /// any server of ours makes it.
    pub(crate) fn set(&mut self, client: usize, told: Options<'_>) -> bool {
        let mut list = OptionList::new();
        for segment in told.location_path() {
            if list.view().as_encoded().len() + segment.len() > LOCATION_MAX {
                return false;
            }
            list.push(OptionNumber::URI_PATH, segment);
        }
        let view = list.view();
        let encoded = view.as_encoded();
        if encoded.len() > LOCATION_MAX {
            return false;
        }
        if encoded.len() + 1 > self.stride {
            self.grow((encoded.len() + 1).next_multiple_of(8));
        }
        let slot = &mut self.bytes[client * self.stride..][..self.stride];
        slot[0] = encoded.len() as u8;
        slot[1..=encoded.len()].copy_from_slice(encoded);
        true
    }

    /// The place as Uri-Path options; empty if none is known.
    pub(crate) fn path(&self, client: usize) -> Options<'_> {
        let encoded: &[u8] = match self.bytes.get(client * self.stride..) {
            Some(&[length, ref rest @ ..]) => &rest[..usize::from(length)],
            _ => &[],
        };
        Options::decode(encoded).expect("it was encoded by us").0
    }

    /// The place as text, with its leading slash.
    pub(crate) fn text(&self, client: usize) -> String {
        let segments = self.path(client).uri_path();
        segments
            .map(|segment| format!("/{}", String::from_utf8_lossy(segment)))
            .collect()
    }

    pub(crate) fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    fn grow(&mut self, stride: usize) {
        let mut bytes = vec![0; stride * self.clients];
        if self.stride > 0 {
            for (new, old) in bytes
                .chunks_exact_mut(stride)
                .zip(self.bytes.chunks_exact(self.stride))
            {
                new[..self.stride].copy_from_slice(old);
            }
        }
        (self.bytes, self.stride) = (bytes, stride);
    }
}

/// One observation of a Client by the server (RFC 7641).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observation {
    pub(crate) token: Token,
    pub(crate) path: Path,
    /// The format the server has asked for, or got.
    pub(crate) format: u16,
    /// The Message ID of its last notification, so that a Reset of it is understood.
    pub(crate) message_id: u16,
    /// The value of the next Observe option; 24 bits go out.
    pub(crate) sequence: u32,
    pub(crate) due_ms: Milliseconds,
    /// The next observation of the same Client, or of the free list.
    pub(crate) next: u32,
}

/// As many observations as one Client takes; a server that observes more gets 5.00. The tree has
/// fewer things worth observing, and each request may bring a new one.
pub(crate) const OBSERVATIONS_MAX: usize = 16;

/// The observations of all Clients: chains through one vector.
#[derive(Debug)]
pub(crate) struct Observations {
    all: Vec<Observation>,
    free: u32,
}

impl Observations {
    pub(crate) fn new() -> Self {
        Observations {
            all: Vec::new(),
            free: NONE,
        }
    }

    pub(crate) fn of(&self, client: &Client) -> impl Iterator<Item = (u32, &Observation)> {
        let mut index = client.observation;
        std::iter::from_fn(move || {
            let found = self.all.get(index as usize)?;
            let here = std::mem::replace(&mut index, found.next);
            Some((here, found))
        })
    }

    pub(crate) fn at(&self, index: u32) -> &Observation {
        &self.all[index as usize]
    }

    pub(crate) fn at_mut(&mut self, index: u32) -> &mut Observation {
        &mut self.all[index as usize]
    }

    pub(crate) fn add(&mut self, client: &mut Client, mut observation: Observation) {
        observation.next = client.observation;
        client.observation = match self.all.get_mut(self.free as usize) {
            Some(free) => {
                let index = self.free;
                self.free = free.next;
                *free = observation;
                index
            }
            None => {
                self.all.push(observation);
                (self.all.len() - 1) as u32
            }
        };
    }

    pub(crate) fn remove(&mut self, client: &mut Client, index: u32) {
        let next = self.all[index as usize].next;
        if client.observation == index {
            client.observation = next;
        } else {
            let before = self
                .of(client)
                .find(|(_, one)| one.next == index)
                .map(|(at, _)| at);
            let Some(before) = before else { return };
            self.all[before as usize].next = next;
        }
        self.all[index as usize].next = self.free;
        self.free = index;
    }

    pub(crate) fn clear(&mut self, client: &mut Client) {
        while client.observation != NONE {
            self.remove(client, client.observation);
        }
        client.notify_ms = NEVER;
    }

    pub(crate) fn memory(&self) -> usize {
        self.all.capacity() * size_of::<Observation>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_one_cache_line() {
        assert!(size_of::<Client>() <= 64, "{}", size_of::<Client>());
    }

    fn told(segments: &[&str]) -> OptionList {
        let mut list = OptionList::new();
        for segment in segments {
            list.push(OptionNumber::LOCATION_PATH, segment.as_bytes());
        }
        list
    }

    #[test]
    fn places_of_any_length_are_kept_and_longer_ones_do_not_disturb_shorter() {
        let mut locations = Locations::new(3);
        assert_eq!(locations.text(1), "");
        assert!(locations.set(1, told(&["rd", "a"]).view()));
        let long = "x".repeat(100);
        assert!(locations.set(2, told(&["rd", &long]).view()));
        assert_eq!(locations.text(1), "/rd/a");
        assert_eq!(locations.text(2), format!("/rd/{long}"));
        assert_eq!(locations.text(0), "");
        assert!(!locations.set(0, told(&["x".repeat(255).as_str()]).view()));
        assert_eq!(
            locations.path(1).uri_path().collect::<Vec<_>>(),
            [&b"rd"[..], b"a"]
        );
    }

    fn observation(token: u8) -> Observation {
        Observation {
            token: Token::new(&[token]).expect("short"),
            path: Path::ROOT,
            format: 0,
            message_id: 0,
            sequence: 0,
            due_ms: NEVER,
            next: NONE,
        }
    }

    fn tokens(observations: &Observations, client: &Client) -> Vec<u8> {
        observations
            .of(client)
            .map(|(_, one)| one.token.as_bytes()[0])
            .collect()
    }

    #[test]
    fn observations_of_two_clients_do_not_mix_and_places_are_used_again() {
        let mut observations = Observations::new();
        let (mut one, mut two) = (Client::new(60), Client::new(60));
        for token in 1..=3 {
            observations.add(&mut one, observation(token));
            observations.add(&mut two, observation(token + 10));
        }
        assert_eq!(tokens(&observations, &one), [3, 2, 1]);
        let middle = observations.of(&one).nth(1).expect("there").0;
        observations.remove(&mut one, middle);
        assert_eq!(tokens(&observations, &one), [3, 1]);
        observations.clear(&mut two);
        assert!(tokens(&observations, &two).is_empty());
        let before = observations.all.len();
        for token in 20..24 {
            observations.add(&mut two, observation(token));
        }
        assert_eq!(observations.all.len(), before);
        assert_eq!(tokens(&observations, &one), [3, 1]);
        assert_eq!(tokens(&observations, &two), [23, 22, 21, 20]);
    }
}
