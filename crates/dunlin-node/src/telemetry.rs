//! What an operator measures: counters of shards, bearers, committer and process, as Prometheus
//! reads them.
//!
//! Shards count in plain integers of their own; they are asked when somebody scrapes. A row here is
//! a row in `docs/reference/metrics.md`, which a test holds.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::time::Duration;

use dunlin_server::{Census, Kind, LoadView, Stats};
use dunlin_store::CommitterState;
use dunlin_transport::dtls::Counter;

use crate::backend::NodeBackend;
use crate::shard::pressure::COMMIT_BUCKETS;
use crate::shard::{Input, LoopStats};

/// How long a scrape waits for the shards: a busy one is left out, and shows that it was.
const SCRAPE_PATIENCE: Duration = Duration::from_millis(500);

/// Clients of a shard that are looked at for the census in one scrape: some milliseconds.
const CENSUS_PART: usize = 50_000;

/// The name, kind and meaning of every metric.
pub const METRICS: &[(&str, &str, &str)] = &[
    ("dunlin_info", "gauge", "1, with the version as label"),
    (
        "dunlin_clients",
        "gauge",
        "Clients by state: registered, departed (remembered)",
    ),
    (
        "dunlin_clients_present",
        "gauge",
        "Registered Clients by presence and security, counted a part at each scrape",
    ),
    (
        "dunlin_clients_over_budget",
        "gauge",
        "Senders that sent more than one Client may in the last ten minutes",
    ),
    (
        "dunlin_clients_waiting",
        "gauge",
        "Clients that were refused for load and told when to come, and have not come yet",
    ),
    (
        "dunlin_load_level",
        "gauge",
        "What a shard refuses for load: 0 nothing, 1 new handshakes, 2 also new Clients, 3 also registered ones that register, 4 also those that waited, 5 also Updates that change something",
    ),
    (
        "dunlin_load_pressure",
        "gauge",
        "How full what waits for a shard is: 1 is the most before datagrams are lost or answers too late",
    ),
    (
        "dunlin_load_shed_total",
        "counter",
        "What was refused for load, by kind",
    ),
    ("dunlin_observations", "gauge", "Observations of Clients"),
    (
        "dunlin_requests_waiting",
        "gauge",
        "Downlink requests that wait or are under way",
    ),
    (
        "dunlin_uplinks_total",
        "counter",
        "Uplinks answered well, by kind",
    ),
    (
        "dunlin_uplinks_refused_total",
        "counter",
        "Uplinks refused, by reason",
    ),
    (
        "dunlin_notifications_total",
        "counter",
        "Notifications by what became of them",
    ),
    (
        "dunlin_downlinks_total",
        "counter",
        "Downlink requests by what became of them",
    ),
    ("dunlin_dtls_sessions", "gauge", "Sessions of DTLS"),
    (
        "dunlin_dtls_handshakes_total",
        "counter",
        "Handshakes of DTLS by what became of them",
    ),
    (
        "dunlin_dtls_dropped_total",
        "counter",
        "Records of DTLS that led to nothing, by cause",
    ),
    (
        "dunlin_dtls_moves_total",
        "counter",
        "Clients heard from elsewhere on the session they have",
    ),
    (
        "dunlin_bootstraps_running",
        "gauge",
        "Bootstrap runs under way",
    ),
    (
        "dunlin_bootstraps_total",
        "counter",
        "Bootstrap runs that ended, by outcome",
    ),
    (
        "dunlin_coap_received_total",
        "counter",
        "CoAP messages received",
    ),
    (
        "dunlin_coap_dropped_total",
        "counter",
        "CoAP messages that led to nothing, by cause",
    ),
    (
        "dunlin_datagrams_received_total",
        "counter",
        "Datagrams received from the sockets",
    ),
    (
        "dunlin_datagrams_sent_total",
        "counter",
        "Datagrams given to the kernel",
    ),
    (
        "dunlin_datagrams_lost_total",
        "counter",
        "Datagrams lost here, by reason",
    ),
    (
        "dunlin_datagrams_handed_over_total",
        "counter",
        "Datagrams handed to another shard",
    ),
    (
        "dunlin_pending",
        "gauge",
        "Datagrams and outcomes that wait for the disk",
    ),
    (
        "dunlin_inbox",
        "gauge",
        "Inputs of other shards and of the API that wait for a shard",
    ),
    ("dunlin_commits_total", "counter", "Batches committed"),
    (
        "dunlin_commit_seconds",
        "histogram",
        "Time of a batch from its hand-over until it is durable",
    ),
    (
        "dunlin_syncs_total",
        "counter",
        "Groups of batches made durable with one sync",
    ),
    (
        "dunlin_commit_failures_total",
        "counter",
        "Attempts to commit that failed",
    ),
    (
        "dunlin_commit_queue_bytes",
        "gauge",
        "Bytes that wait for the committer",
    ),
    (
        "dunlin_store_healthy",
        "gauge",
        "1 while commits become durable",
    ),
    (
        "dunlin_log_bytes",
        "gauge",
        "Bytes of the event log on disk",
    ),
    (
        "dunlin_shards_answering",
        "gauge",
        "Shards that answered this scrape",
    ),
    (
        "process_cpu_seconds_total",
        "counter",
        "CPU time of the process",
    ),
    (
        "process_resident_memory_bytes",
        "gauge",
        "Memory of the process",
    ),
];

/// Where the counters are.
#[derive(Debug)]
pub(crate) struct Telemetry {
    pub(crate) loops: Vec<Arc<LoopStats>>,
}

/// What shards say in one scrape, summed.
#[derive(Default)]
struct Summed {
    answering: usize,
    /// The level of each shard that answered.
    loads: Vec<(usize, LoadView)>,
    census: Census,
    over_budget: usize,
    stats: Stats,
    received: u64,
    drops: Vec<(&'static str, u64)>,
    sessions: usize,
    records: Vec<(Counter, u64)>,
}

impl Telemetry {
    pub(crate) fn metrics(&self, backend: &NodeBackend) -> String {
        let summed = ask_shards(backend);
        let mut page = Page::default();
        page.value("dunlin_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        self.clients(&mut page, &summed);
        self.load(&mut page, &summed);
        self.datagrams(&mut page);
        store(&mut page, backend);
        self.commit_times(&mut page);
        page.value("dunlin_shards_answering", &[], summed.answering as u64);
        process(&mut page);
        page.text
    }

    fn clients(&self, page: &mut Page, summed: &Summed) {
        let stats = &summed.stats;
        page.value(
            "dunlin_clients",
            &[("state", "registered")],
            stats.registered as u64,
        );
        page.value(
            "dunlin_clients",
            &[("state", "departed")],
            stats.departed as u64,
        );
        for (presence, security, count) in summed.census.iter() {
            let labels = [("presence", presence), ("security", security)];
            page.value("dunlin_clients_present", &labels, count);
        }
        page.value("dunlin_clients_over_budget", &[], summed.over_budget as u64);
        page.value("dunlin_observations", &[], stats.observations as u64);
        page.value("dunlin_requests_waiting", &[], stats.requests as u64);
        for (kind, count) in [
            ("register", stats.registers),
            ("refresh", stats.refreshes),
            ("update", stats.updates),
            ("deregister", stats.deregisters),
        ] {
            page.value("dunlin_uplinks_total", &[("kind", kind)], count);
        }
        let not_allowed = stats.refused - stats.refused_for_load - stats.refused_unavailable;
        for (reason, count) in [
            ("load", stats.refused_for_load),
            ("unavailable", stats.refused_unavailable),
            ("not_allowed", not_allowed),
            ("violation", stats.violations),
        ] {
            page.value("dunlin_uplinks_refused_total", &[("reason", reason)], count);
        }
        for (outcome, count) in [
            ("taken", stats.notifications),
            ("late", stats.notifications_late),
            ("duplicate", stats.notifications_duplicate),
            ("undecodable", stats.notifications_undecodable),
            ("stray", stats.notifications_stray),
        ] {
            page.value("dunlin_notifications_total", &[("outcome", outcome)], count);
        }
        for (outcome, count) in [
            ("sent", stats.requests_sent),
            ("answered", stats.requests_answered),
            ("failed", stats.requests_failed),
        ] {
            page.value("dunlin_downlinks_total", &[("outcome", outcome)], count);
        }
        let running = stats.bootstraps as u64;
        page.value("dunlin_bootstraps_running", &[], running);
        for (outcome, count) in [
            ("succeeded", stats.bootstraps_succeeded),
            ("failed", stats.bootstraps_failed),
        ] {
            page.value("dunlin_bootstraps_total", &[("outcome", outcome)], count);
        }
        dtls(page, summed);
        page.value("dunlin_coap_received_total", &[], summed.received);
        for (cause, count) in &summed.drops {
            page.value("dunlin_coap_dropped_total", &[("cause", cause)], *count);
        }
    }

    fn load(&self, page: &mut Page, summed: &Summed) {
        for (shard, load) in &summed.loads {
            let level = format!("{:.3}", f64::from(load.level) / 1_000.0);
            page.number(
                "dunlin_load_level",
                &[("shard", &shard.to_string())],
                &level,
            );
        }
        for (shard, stats) in self.loops.iter().enumerate() {
            let pressure = stats.pressure.load(Ordering::Relaxed) as f64 / 1_000.0;
            let shard = shard.to_string();
            page.number(
                "dunlin_load_pressure",
                &[("shard", &shard)],
                &format!("{pressure:.3}"),
            );
        }
        for kind in Kind::ALL {
            let shed = summed
                .loads
                .iter()
                .map(|(_, load)| load.shed[kind as usize]);
            let shed = match kind {
                Kind::Handshake => summed.count(Counter::HandshakeShed),
                _ => shed.sum(),
            };
            page.value("dunlin_load_shed_total", &[("kind", kind.name())], shed);
        }
        let waiting = summed.loads.iter().map(|(_, load)| load.waiting).sum();
        page.value("dunlin_clients_waiting", &[], waiting);
    }

    fn datagrams(&self, page: &mut Page) {
        let sum = |of: fn(&LoopStats) -> &std::sync::atomic::AtomicU64| -> u64 {
            self.loops
                .iter()
                .map(|stats| of(stats).load(Ordering::Relaxed))
                .sum()
        };
        page.value(
            "dunlin_datagrams_received_total",
            &[],
            sum(|stats| &stats.received),
        );
        page.value("dunlin_datagrams_sent_total", &[], sum(|stats| &stats.sent));
        for (reason, count) in [
            ("truncated", sum(|stats| &stats.truncated)),
            ("nosec_not_allowed", sum(|stats| &stats.turned_away)),
            ("send_failed", sum(|stats| &stats.send_failures)),
            ("hand_over_full", sum(|stats| &stats.handed_over_lost)),
            ("kernel_buffer_full", sum(|stats| &stats.overflowed)),
        ] {
            page.value("dunlin_datagrams_lost_total", &[("reason", reason)], count);
        }
        page.value(
            "dunlin_datagrams_handed_over_total",
            &[],
            sum(|stats| &stats.handed_over),
        );
        page.value("dunlin_pending", &[], sum(|stats| &stats.pending));
        page.value("dunlin_inbox", &[], sum(|stats| &stats.inbox));
    }

    fn commit_times(&self, page: &mut Page) {
        let (mut counts, mut time) = ([0; COMMIT_BUCKETS.len() + 1], Duration::ZERO);
        for stats in &self.loops {
            stats.commit_times.add_to(&mut counts, &mut time);
        }
        let mut sum = 0;
        let bounds = COMMIT_BUCKETS.map(|bound| (bound as f64 / 1e6).to_string());
        let bounds = bounds.iter().map(String::as_str).chain(["+Inf"]);
        for (bound, count) in bounds.zip(counts) {
            sum += count;
            page.part(
                "dunlin_commit_seconds",
                "_bucket",
                &[("le", bound)],
                &sum.to_string(),
            );
        }
        let time = format!("{:.6}", time.as_secs_f64());
        page.part("dunlin_commit_seconds", "_sum", &[], &time);
        page.part("dunlin_commit_seconds", "_count", &[], &sum.to_string());
    }
}

impl Summed {
    fn count(&self, counter: Counter) -> u64 {
        let counted = self.records.iter().find(|(one, _)| *one == counter);
        counted.map_or(0, |(_, count)| *count)
    }
}

fn ask_shards(backend: &NodeBackend) -> Summed {
    let (told, answers) = channel();
    let mut asked = 0;
    for (index, shard) in backend.shards.iter().enumerate() {
        let told = told.clone();
        let input = Input::Run(Box::new(move |shard, now| {
            let census = shard.server_mut().census(now, CENSUS_PART).clone();
            let load = (index, shard.server().load(now));
            let over_budget = shard.server().transport().over_budget_count(now);
            let coap = shard.server().transport().stats();
            let drops: Vec<(&'static str, u64)> = dunlin_transport::coap::stats::Drop::ALL
                .iter()
                .map(|cause| (cause.name(), coap.dropped(*cause)))
                .collect();
            let transport = shard.server().transport();
            let sessions = transport.session_counts().0;
            let records: Vec<(Counter, u64)> = transport
                .dtls_stats()
                .map(|stats| stats.iter().collect())
                .unwrap_or_default();
            let coap = (coap.received, drops);
            let load = (load, census, over_budget);
            let _ = told.send((shard.server().stats(), coap, sessions, records, load));
        }));
        asked += usize::from(shard.inbox.try_send(input).is_ok());
    }
    let mut summed = Summed::default();
    for _ in 0..asked {
        let Ok((stats, (received, drops), sessions, records, (load, census, over_budget))) =
            answers.recv_timeout(SCRAPE_PATIENCE)
        else {
            break;
        };
        summed.loads.push(load);
        summed.census.add(&census);
        summed.over_budget += over_budget;
        summed.sessions += sessions;
        merge(&mut summed.records, records);
        summed.answering += 1;
        summed.received += received;
        add(&mut summed.stats, &stats);
        merge(&mut summed.drops, drops);
    }
    summed.loads.sort_by_key(|(shard, _)| *shard);
    summed
}

/// Adds the counts of one shard to those of the others: all have the same ones in the same order.
fn merge<T>(sums: &mut Vec<(T, u64)>, counts: Vec<(T, u64)>) {
    if sums.is_empty() {
        *sums = counts;
    } else {
        sums.iter_mut()
            .zip(counts)
            .for_each(|(sum, one)| sum.1 += one.1);
    }
}

fn dtls(page: &mut Page, summed: &Summed) {
    page.value("dunlin_dtls_sessions", &[], summed.sessions as u64);
    let outcomes = [Counter::Connected, Counter::Resumed, Counter::Failed];
    for (counter, count) in &summed.records {
        if outcomes.contains(counter) {
            let labels = [("outcome", counter.name())];
            page.value("dunlin_dtls_handshakes_total", &labels, *count);
        }
    }
    for (counter, count) in &summed.records {
        if !outcomes.contains(counter) {
            let labels = [("cause", counter.name())];
            page.value("dunlin_dtls_dropped_total", &labels, *count);
        }
    }
    page.value("dunlin_dtls_moves_total", &[], summed.stats.moves);
}

fn add(sum: &mut Stats, one: &Stats) {
    sum.registered += one.registered;
    sum.departed += one.departed;
    sum.observations += one.observations;
    sum.requests += one.requests;
    sum.bootstraps += one.bootstraps;
    sum.bootstraps_succeeded += one.bootstraps_succeeded;
    sum.bootstraps_failed += one.bootstraps_failed;
    sum.registers += one.registers;
    sum.refreshes += one.refreshes;
    sum.updates += one.updates;
    sum.deregisters += one.deregisters;
    sum.moves += one.moves;
    sum.handshakes_failed += one.handshakes_failed;
    sum.refused += one.refused;
    sum.refused_for_load += one.refused_for_load;
    sum.refused_unavailable += one.refused_unavailable;
    sum.violations += one.violations;
    sum.notifications += one.notifications;
    sum.notifications_late += one.notifications_late;
    sum.notifications_duplicate += one.notifications_duplicate;
    sum.notifications_undecodable += one.notifications_undecodable;
    sum.notifications_stray += one.notifications_stray;
    sum.requests_sent += one.requests_sent;
    sum.requests_answered += one.requests_answered;
    sum.requests_failed += one.requests_failed;
}

fn store(page: &mut Page, backend: &NodeBackend) {
    let stats = backend.committer.stats();
    page.value("dunlin_commits_total", &[], stats.batches);
    page.value("dunlin_syncs_total", &[], stats.groups);
    page.value("dunlin_commit_failures_total", &[], stats.failures);
    page.value("dunlin_commit_queue_bytes", &[], stats.queued_bytes);
    let healthy = backend.committer.state() == CommitterState::Healthy;
    page.value("dunlin_store_healthy", &[], u64::from(healthy));
    page.value("dunlin_log_bytes", &[], backend.store.bytes());
}

fn process(page: &mut Page) {
    let cpu = dunlin_net::clock::process_cpu().as_secs_f64();
    page.number("process_cpu_seconds_total", &[], &format!("{cpu:.3}"));
    // The second number of statm is the resident set in pages of 4 KiB.
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    if let Some(pages) = pages {
        page.value("process_resident_memory_bytes", &[], pages * 4_096);
    }
}

/// A page in the text format of Prometheus.
#[derive(Default)]
struct Page {
    text: String,
    last: &'static str,
}

impl Page {
    fn value(&mut self, name: &'static str, labels: &[(&str, &str)], value: u64) {
        self.number(name, labels, &value.to_string());
    }

    fn number(&mut self, name: &'static str, labels: &[(&str, &str)], value: &str) {
        self.part(name, "", labels, value);
    }

    /// One line of a metric that has several, such as a histogram.
    fn part(&mut self, name: &'static str, part: &str, labels: &[(&str, &str)], value: &str) {
        if self.last != name {
            self.last = name;
            let described = METRICS.iter().find(|(known, ..)| *known == name);
            let (_, kind, help) = described.expect("every metric is described in METRICS");
            let _ = writeln!(self.text, "# HELP {name} {help}.\n# TYPE {name} {kind}");
        }
        let labels: Vec<String> = labels
            .iter()
            .map(|(key, label)| format!("{key}=\"{label}\""))
            .collect();
        let labels = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", labels.join(","))
        };
        let _ = writeln!(self.text, "{name}{part}{labels} {value}");
    }
}
