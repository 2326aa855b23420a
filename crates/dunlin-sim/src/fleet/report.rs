//! What a run has shown: counted while it runs, told at its end.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::timeline::Sample;

/// What a Client asks of a server and waits an answer for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Register.
    Register,
    /// Update.
    Update,
    /// A Confirmable notification.
    Notify,
    /// De-register.
    Deregister,
}

impl Kind {
    /// All of them, in the order of the report.
    pub const ALL: [Kind; 4] = [Kind::Register, Kind::Update, Kind::Notify, Kind::Deregister];

    /// Its name in the report.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Register => "register",
            Kind::Update => "update",
            Kind::Notify => "notify",
            Kind::Deregister => "deregister",
        }
    }
}

/// How long answers took, of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// Half of them took at most this.
    pub p50: f64,
    /// Nine of ten.
    pub p90: f64,
    /// Ninety-nine of a hundred.
    pub p99: f64,
    /// The slowest.
    pub max: f64,
}

impl Latency {
    /// Of a histogram of microseconds.
    pub(crate) fn of(histogram: &Histogram<u32>) -> Self {
        let milliseconds = |us: u64| us as f64 / 1000.0;
        let at = |q| milliseconds(histogram.value_at_quantile(q));
        Latency {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max: milliseconds(histogram.max()),
        }
    }
}

/// What it took to make the load; apart from the server's own figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Generator {
    /// CPU seconds of the generating thread.
    pub cpu_s: f64,
    /// Memory held for the Clients, by count: records, locations, observations, calendar.
    pub client_bytes: u64,
    /// How late, at the 99th percentile, something was sent that was due.
    pub late_p99_ms: f64,
    /// Datagrams that came for us and that we did not read in time.
    pub overflowed: u64,
    /// Datagrams sent, retransmissions and answers among them.
    pub sent: u64,
    /// Datagrams received.
    pub received: u64,
    /// Handshakes of DTLS that ended well.
    pub handshakes: u64,
}

/// The report of a run. Its JSON is the contract of `dunlin fleet --json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// How many Clients there were.
    pub clients: u32,
    /// How many were registered at the end, or when de-registering began.
    pub registered: u32,
    /// From the first datagram to the end.
    pub elapsed_s: f64,
    /// Registers answered with 2.01 in a second, between the first and the last of them.
    pub registers_per_s: f64,
    /// Updates answered with 2.04 in a second, once all Clients were switched on (and between the
    /// first and the last of them, if the run was over within a second of that).
    pub updates_per_s: f64,
    /// Notifications sent in a second, likewise; of Confirmable ones, those acknowledged.
    pub notifications_per_s: f64,
    /// DTLS handshakes in a second.
    pub handshakes_per_s: f64,
    /// Milliseconds from the moment when something was due to its answer, by kind. Retransmissions
    /// are inside, and so is all waiting: what the schedule wanted and did not get counts.
    pub latency_ms: BTreeMap<&'static str, Latency>,
    /// What went wrong, by kind: `update_4.04`, `register_timeout`, ...
    pub errors: BTreeMap<String, u64>,
    /// Messages sent again because no answer came in time.
    pub retransmissions: u64,
    /// The generator, and not the server, was the limit: the figures are no measure of the server.
    pub generator_limited: bool,
    /// What it took to make the load.
    pub generator: Generator,
    /// Successes by kind, requests that were answered, and what befell the Clients.
    pub counts: BTreeMap<&'static str, u64>,
    /// The run over time, about a sample a second.
    pub timeline: Vec<Sample>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} of {} Clients registered after {:.1} s",
            self.registered, self.clients, self.elapsed_s
        )?;
        writeln!(
            f,
            "  per second: {:.0} registers, {:.0} updates, {:.0} notifications, {:.0} handshakes",
            self.registers_per_s,
            self.updates_per_s,
            self.notifications_per_s,
            self.handshakes_per_s
        )?;
        if !self.latency_ms.is_empty() {
            writeln!(
                f,
                "  {:12} {:>10} {:>10} {:>10} {:>10}",
                "latency, ms", "p50", "p90", "p99", "max"
            )?;
        }
        for (kind, latency) in &self.latency_ms {
            let Latency { p50, p90, p99, max } = latency;
            writeln!(
                f,
                "  {kind:12} {p50:>10.2} {p90:>10.2} {p99:>10.2} {max:>10.2}"
            )?;
        }
        for (name, count) in &self.counts {
            writeln!(f, "  {name}: {count}")?;
        }
        writeln!(f, "  retransmissions: {}", self.retransmissions)?;
        for (name, count) in &self.errors {
            writeln!(f, "  error {name}: {count}")?;
        }
        let Generator {
            cpu_s,
            client_bytes,
            late_p99_ms,
            overflowed,
            sent,
            received,
            handshakes,
        } = self.generator;
        if handshakes > 0 {
            writeln!(f, "  DTLS handshakes: {handshakes}")?;
        }
        write!(
            f,
            "  generator: {cpu_s:.2} CPU-seconds, {client_bytes} bytes for Clients, {sent} datagrams \
             sent, {received} received, {overflowed} overflowed, {late_p99_ms:.2} ms late (p99)"
        )?;
        if self.generator_limited {
            write!(
                f,
                "\n  the GENERATOR was the limit: these figures say nothing about the server"
            )?;
        }
        Ok(())
    }
}

/// The longest latency that is told apart: an hour.
pub(crate) const LATENCY_MAX_US: u64 = 3_600_000_000;

/// Later than this at the 99th percentile, and the generator did not keep its schedule.
const LATE_MAX_US: u64 = 50_000;

/// More than this part of all answers unread, and the generator made its own timeouts.
const OVERFLOW_PART: f64 = 0.001;

/// What is counted while the fleet runs.
#[derive(Debug)]
pub(crate) struct Statistics {
    steady: Duration,
    kinds: [KindStatistics; Kind::ALL.len()],
    late: Histogram<u32>,
    /// Latencies of all kinds since they were last taken for the timeline.
    recent: Histogram<u32>,
    non_confirmable: Span,
    pub(crate) errors: BTreeMap<String, u64>,
    pub(crate) retransmissions: u64,
    pub(crate) requests_answered: u64,
    pub(crate) requests_slept_through: u64,
    pub(crate) observations: u64,
    pub(crate) reboots: u64,
    pub(crate) rebinds: u64,
    pub(crate) misbehaved: u64,
    pub(crate) requests_ignored: u64,
    pub(crate) lost: u64,
    pub(crate) writes: u64,
    pub(crate) executes: u64,
}

#[derive(Debug)]
struct KindStatistics {
    latency: Histogram<u32>,
    span: Span,
}

/// How many, and from when to when.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    pub(crate) count: u64,
    first: Option<Duration>,
    last: Duration,
    /// How many of them ended after all Clients had been switched on.
    steady: u64,
}

/// A rate over less than this says more about its edges than about its middle.
const STEADY_MIN: Duration = Duration::from_secs(1);

impl Span {
    /// Counts one that began at `due` and ended at `now`; the fleet is complete from `steady` on.
    fn add(&mut self, due: Duration, now: Duration, steady: Duration) {
        self.count += 1;
        self.steady += u64::from(now >= steady);
        let first = self.first.get_or_insert(due);
        *first = due.min(*first);
        self.last = self.last.max(now);
    }

    fn merged(self, other: Span) -> Span {
        let first = match (self.first, other.first) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        Span {
            count: self.count + other.count,
            first,
            last: self.last.max(other.last),
            steady: self.steady + other.steady,
        }
    }

    /// The rate over the time in which they happened; a burst shorter than a millisecond counts as
    /// that long, because the clock of the schedule is no finer.
    fn per_second(&self) -> f64 {
        let Some(first) = self.first else { return 0.0 };
        self.count as f64 / self.last.saturating_sub(first).as_secs_f64().max(0.001)
    }

    /// The rate once the fleet was complete, if it was so for long enough.
    fn per_second_steady(&self, steady: Duration) -> f64 {
        let time = self
            .last
            .saturating_sub(steady.max(self.first.unwrap_or_default()));
        if time >= STEADY_MIN {
            self.steady as f64 / time.as_secs_f64()
        } else {
            self.per_second()
        }
    }
}

impl Statistics {
    /// For a fleet that is complete from `steady` on.
    pub(crate) fn new(steady: Duration) -> Self {
        let histogram = || {
            // Three digits: a thousandth is finer than anybody's clock of the matter.
            Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).expect("the bounds are valid")
        };
        Statistics {
            steady,
            kinds: Kind::ALL.map(|_| KindStatistics {
                latency: histogram(),
                span: Span::default(),
            }),
            late: histogram(),
            recent: histogram(),
            non_confirmable: Span::default(),
            errors: BTreeMap::new(),
            retransmissions: 0,
            requests_answered: 0,
            requests_slept_through: 0,
            observations: 0,
            reboots: 0,
            rebinds: 0,
            misbehaved: 0,
            requests_ignored: 0,
            lost: 0,
            writes: 0,
            executes: 0,
        }
    }

    /// Something was answered well.
    pub(crate) fn success(&mut self, kind: Kind, due: Duration, now: Duration) {
        let statistics = &mut self.kinds[kind as usize];
        statistics.span.add(due, now, self.steady);
        let latency = micros(now.saturating_sub(due)).max(1);
        statistics.latency.saturating_record(latency);
        self.recent.saturating_record(latency);
    }

    /// The median and the 99th percentile, in milliseconds, of what was answered since the last call.
    pub(crate) fn take_recent_latency_ms(&mut self) -> (f64, f64) {
        let at = |q| self.recent.value_at_quantile(q) as f64 / 1000.0;
        let taken = (at(0.5), at(0.99));
        self.recent.reset();
        taken
    }

    /// A Non-confirmable notification was sent.
    pub(crate) fn sent_non_confirmable(&mut self, due: Duration, now: Duration) {
        self.non_confirmable.add(due, now, self.steady);
    }

    /// Something that was due was begun now.
    pub(crate) fn begun(&mut self, due: Duration, now: Duration) {
        self.late
            .saturating_record(micros(now.saturating_sub(due)).max(1));
    }

    pub(crate) fn error(&mut self, name: String) {
        *self.errors.entry(name).or_insert(0) += 1;
    }

    pub(crate) fn count(&self, kind: Kind) -> u64 {
        self.kinds[kind as usize].span.count
    }

    /// Notifications that were sent; of Confirmable ones, those acknowledged.
    pub(crate) fn notifications(&self) -> u64 {
        self.count(Kind::Notify) + self.non_confirmable.count
    }

    pub(crate) fn report(&self, ended: Ended) -> Report {
        let span = |kind: Kind| self.kinds[kind as usize].span;
        let milliseconds = |us: u64| us as f64 / 1000.0;
        let latency_ms = Kind::ALL
            .iter()
            .zip(&self.kinds)
            .filter(|(_, statistics)| statistics.span.count > 0)
            .map(|(kind, statistics)| (kind.name(), Latency::of(&statistics.latency)))
            .collect();
        let late = self.late.value_at_quantile(0.99);
        let mut generator = ended.generator;
        generator.late_p99_ms = milliseconds(late);
        let overflow_max = (generator.received as f64 * OVERFLOW_PART) as u64;
        Report {
            clients: ended.clients,
            registered: ended.registered,
            elapsed_s: ended.elapsed.as_secs_f64(),
            registers_per_s: span(Kind::Register).per_second(),
            updates_per_s: span(Kind::Update).per_second_steady(self.steady),
            notifications_per_s: span(Kind::Notify)
                .merged(self.non_confirmable)
                .per_second_steady(self.steady),
            handshakes_per_s: 0.0,
            latency_ms,
            errors: self.errors.clone(),
            retransmissions: self.retransmissions,
            generator_limited: late > LATE_MAX_US || generator.overflowed > overflow_max,
            generator,
            counts: self.counts(),
            timeline: Vec::new(),
        }
    }

    fn counts(&self) -> BTreeMap<&'static str, u64> {
        let mut counts: BTreeMap<_, _> = [
            ("notifications_non_confirmable", self.non_confirmable.count),
            ("requests_answered", self.requests_answered),
            ("requests_slept_through", self.requests_slept_through),
            ("observations", self.observations),
            ("writes", self.writes),
            ("executes", self.executes),
            ("reboots", self.reboots),
            ("rebinds", self.rebinds),
            ("misbehaved", self.misbehaved),
            ("requests_ignored", self.requests_ignored),
            ("datagrams_lost_on_purpose", self.lost),
        ]
        .into();
        counts.extend(Kind::ALL.map(|kind| (kind.name(), self.count(kind))));
        counts.retain(|_, count| *count > 0);
        counts
    }
}

/// What only the end of a run knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) clients: u32,
    pub(crate) registered: u32,
    pub(crate) elapsed: Duration,
    pub(crate) generator: Generator,
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended() -> Ended {
        Ended {
            clients: 10,
            registered: 9,
            elapsed: Duration::from_secs(2),
            generator: Generator {
                received: 1000,
                ..Generator::default()
            },
        }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn rates_are_over_the_time_in_which_something_happened() {
        let mut statistics = Statistics::new(Duration::ZERO);
        for n in 0..100 {
            statistics.success(Kind::Update, ms(10_000 + n * 10), ms(10_010 + n * 10));
        }
        let report = statistics.report(ended());
        assert_eq!(report.updates_per_s, 100.0);
        assert_eq!(report.registers_per_s, 0.0);
        assert_eq!(report.counts["update"], 100);
    }

    #[test]
    fn the_time_in_which_the_fleet_grows_does_not_count_for_updates() {
        let mut statistics = Statistics::new(ms(10_000));
        for n in 0..10 {
            statistics.success(Kind::Update, ms(n * 1000), ms(n * 1000 + 1));
        }
        for n in 0..=400 {
            statistics.success(Kind::Update, ms(10_000 + n * 5), ms(10_000 + n * 5));
        }
        let rate = statistics.report(ended()).updates_per_s;
        assert!((199.0..=201.0).contains(&rate), "{rate}");
    }

    #[test]
    fn latency_is_told_by_kind_in_milliseconds() {
        let mut statistics = Statistics::new(Duration::ZERO);
        for n in 1..=1000 {
            statistics.success(Kind::Register, ms(0), ms(n));
        }
        let latency = statistics.report(ended()).latency_ms["register"];
        for (told, true_value) in [
            (latency.p50, 500.0),
            (latency.p90, 900.0),
            (latency.p99, 990.0),
            (latency.max, 1000.0),
        ] {
            assert!(
                (told - true_value).abs() < true_value / 500.0,
                "{told} for {true_value}"
            );
        }
    }

    #[test]
    fn a_generator_that_is_late_or_deaf_says_so() {
        let mut statistics = Statistics::new(Duration::ZERO);
        statistics.begun(ms(0), ms(1));
        assert!(!statistics.report(ended()).generator_limited);
        for _ in 0..10 {
            statistics.begun(ms(0), ms(100));
        }
        assert!(statistics.report(ended()).generator_limited);
        let mut deaf = ended();
        deaf.generator.overflowed = 2;
        assert!(
            Statistics::new(Duration::ZERO)
                .report(deaf)
                .generator_limited
        );
    }

    #[test]
    fn the_json_has_the_names_of_the_contract() {
        let mut statistics = Statistics::new(Duration::ZERO);
        statistics.success(Kind::Register, ms(0), ms(3));
        statistics.error("update_4.04".to_owned());
        let json = serde_json::to_value(statistics.report(ended())).expect("plain data");
        for name in [
            "clients",
            "registered",
            "elapsed_s",
            "registers_per_s",
            "updates_per_s",
            "notifications_per_s",
            "handshakes_per_s",
            "latency_ms",
            "errors",
            "retransmissions",
            "generator_limited",
        ] {
            assert!(json.get(name).is_some(), "{name}");
        }
        assert_eq!(json["errors"]["update_4.04"], 1);
        assert!(
            json["latency_ms"]["register"]["p99"]
                .as_f64()
                .is_some_and(|p99| p99 >= 2.9)
        );
    }
}
