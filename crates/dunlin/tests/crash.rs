//! The whole Server killed in the middle of its work, on a disk that loses what was not synced, on a
//! disk that is full: what a Client or a caller was told, must be there.
//!
//! These run for minutes and want a program built with `--release`: `./test --only crash`. How often
//! is `DUNLIN_CRASH_ROUNDS`, how many Clients `DUNLIN_CRASH_CLIENTS`; `DUNLIN_SEED` repeats a run.

mod live;
#[path = "../../dunlin-store/tests/common/power.rs"]
mod power;
#[path = "crash/secured.rs"]
mod secured;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use live::device::Device;
use live::{Event, Fleet, Random, Serve, Setup, ask, setting, until, wall_ms};
use serde_json::Value as Json;

/// Clients that are observed.
const OBSERVED: usize = 300;

/// Sleeping Clients of a round, and how much they are asked for at most.
const SLEEPERS: usize = 4;
const ASKED_MAX: usize = 40;

/// How long the fleet may keep a line of its ledger, and some.
const LEDGER_DELAY: Duration = Duration::from_millis(1_200);

/// Observed Clients: a reading each second, and Updates that change the lifetime.
const READERS: &str = "endpoint_prefix = \"reader-\"\n[update]\nevery_s = 20\nchanging = 0.5\n\
    [notify]\nevery_s = 1\n[coap]\nmax_retransmit = 6\n";

/// Clients that restart and register again all the time.
const RESTARTERS: &str = "endpoint_prefix = \"restarter-\"\n[reboot]\nevery_s = 10\n\
    [register]\nattempts = 255\nretry_s = 1\n[coap]\nmax_retransmit = 6\n";

#[test]
#[ignore = "takes minutes: ./test --only crash"]
fn kill_9_forgets_nothing_that_was_promised() {
    let rounds = setting("DUNLIN_CRASH_ROUNDS", 10);
    Lives::begin(setting("DUNLIN_CRASH_CLIENTS", 10_000), false)
        .expect("can be run")
        .run(rounds);
}

#[test]
#[ignore = "takes minutes: ./test --only crash"]
fn a_power_cut_forgets_nothing_that_was_promised() {
    let rounds = setting("DUNLIN_CRASH_ROUNDS", 10);
    let Some(lives) = Lives::begin(setting("DUNLIN_CRASH_CLIENTS", 10_000), true) else {
        return;
    };
    lives.run(rounds);
}

/// A data folder that lives through many crashes, and everybody around it.
struct Lives {
    folder: tempfile::TempDir,
    setup: Setup,
    /// What records the syncs, when power is to be cut.
    record: Option<PathBuf>,
    random: Random,
    clients: u64,
    promises: Promises,
    log: Log,
}

/// What the fleets were told.
#[derive(Default)]
struct Promises {
    /// The location of each Client's last registration.
    registered: HashMap<String, String>,
    /// What was not yet found in the log.
    open: Vec<Json>,
}

/// What the event log holds.
#[derive(Default)]
struct Log {
    position: String,
    /// Client and four times the value: the number of its notification.
    notified: HashSet<(String, u64)>,
    registrations: HashSet<String>,
    lifetimes: HashMap<(String, u64), usize>,
}

/// Requests that were accepted for one sleeping Client.
struct Asked {
    sleeper: usize,
    id: String,
    path: &'static str,
}

impl Lives {
    fn begin(clients: u64, power_cut: bool) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let mut setup = Setup::new(&folder.path().join("data"));
        setup.set("DUNLIN__SERVER__AWAKE_WINDOW_S", "1");
        let mut record = None;
        if power_cut {
            let shim = power::build_shim(folder.path())?;
            let path = folder.path().join("record");
            setup.set("LD_PRELOAD", shim.to_str().expect("text"));
            setup.set("SYNC_RECORD", path.to_str().expect("text"));
            record = Some(path);
        }
        Some(Self {
            folder,
            setup,
            record,
            random: Random::new(),
            clients,
            promises: Promises::default(),
            log: Log {
                position: "start".into(),
                ..Log::default()
            },
        })
    }

    fn run(mut self, rounds: u64) {
        let mut serve = Serve::start(&mut self.setup);
        let half = self.clients / 2;
        let folder = self.folder.path().to_path_buf();
        let rate = half / 5;
        let of_all = [("clients", half), ("rate", rate), ("duration", 3600)];
        let mut readers = Fleet::start(&folder, "readers", serve.coap, &of_all, READERS);
        let observed = OBSERVED.min(usize::try_from(half).expect("few") / 2);
        until("enough Clients register", || {
            serve.clients().len() >= observed
        });
        let paths = observe(&serve, observed);
        assert!(
            paths * 10 >= observed * 9,
            "{paths} of {observed} are observed"
        );
        let more = [("first", half), of_all[0], of_all[1], of_all[2]];
        let mut restarters = Fleet::start(&folder, "restarters", serve.coap, &more, RESTARTERS);
        for round in 0..rounds {
            serve = self.round(round, serve, &mut [&mut readers, &mut restarters]);
        }
        let notified = self.log.notified.len();
        println!(
            "{rounds} kills: {} registrations, {notified} notifications, all as promised",
            self.log.registrations.len()
        );
        assert!(notified > 0 && self.log.registrations.len() > observed);
    }

    /// One life: work, death, and what the next life knows of it.
    fn round(&mut self, round: u64, serve: Serve, fleets: &mut [&mut Fleet]) -> Serve {
        let mut sleepers: Vec<Device> = (0..SLEEPERS)
            .map(|n| Device::new(format!("sleeper-{round}-{n}"), serve.coap))
            .collect();
        for sleeper in &mut sleepers {
            let answer = sleeper.register(true, live::PATIENCE).expect("an answer");
            assert_eq!(answer.code, dunlin_coap::Code::CREATED);
        }
        std::thread::sleep(Duration::from_millis(1_100));
        let asking = ask_sleepers(&serve, &sleepers);
        std::thread::sleep(Duration::from_millis(50 + self.random.below(1_200)));
        let complaints = complaints(&serve);
        assert!(complaints.is_empty(), "{complaints:#?}");
        serve.kill();
        let asked = asking.join().expect("asks");
        if let Some(record) = &self.record {
            let cut = power::cut_power(&self.setup.data, record);
            assert!(cut.files > 0);
            std::fs::remove_file(record).expect("recorded");
        }
        let serve = Serve::start(&mut self.setup);
        let snapshot_at = wall_ms();
        let found = serve.clients();
        self.still_registered(&found, snapshot_at, fleets);
        for one in &asked {
            let request = serve.get(&format!("/requests/{}", one.id));
            assert_eq!(
                request["state"], "queued",
                "was answered with 202: {request}"
            );
        }
        let logged = self.log_as_promised(&serve, fleets);
        delivered(&serve, &mut sleepers, &asked);
        println!(
            "round {round}: up again in {} ms with {} Clients; {logged} new promises are in the log, {} queued requests were delivered",
            serve.started_in.as_millis(),
            found.len(),
            asked.len(),
        );
        serve
    }

    /// Every Client that had its 2.01 is there.
    fn still_registered(
        &mut self,
        found: &HashMap<String, Json>,
        snapshot_at: u64,
        fleets: &mut [&mut Fleet],
    ) {
        std::thread::sleep(LEDGER_DELAY);
        for fleet in fleets.iter_mut() {
            self.promises.open.extend(fleet.acknowledged());
        }
        for line in &self.promises.open {
            let late = line["at_ms"].as_u64().expect("a time") > snapshot_at;
            if line["what"] == "registered" && !late {
                let name = line["endpoint"].as_str().expect("a name").to_owned();
                let location = line["location"].as_str().expect("a path").to_owned();
                self.promises.registered.insert(name, location);
            }
        }
        let missing: Vec<_> = self
            .promises
            .registered
            .iter()
            .filter(|(name, location)| match found.get(*name) {
                None => true,
                // Readers register once: theirs must be the very registration they were told.
                Some(client) => {
                    let id = client["registration_id"].as_str().expect("an id");
                    name.starts_with("reader-") && !location.ends_with(id)
                }
            })
            .collect();
        assert!(
            missing.is_empty(),
            "{} forgotten: {missing:#?}",
            missing.len()
        );
    }

    /// Every acknowledged fact is in the event log, once. Returns how many were looked for.
    fn log_as_promised(&mut self, serve: &Serve, fleets: &mut [&mut Fleet]) -> usize {
        let now = wall_ms();
        let (events, position) =
            serve.events(&self.log.position, "registered,updated,notified", now + 300);
        self.log.position = position;
        events.iter().for_each(|event| self.log.add(event));
        std::thread::sleep(LEDGER_DELAY);
        for fleet in fleets.iter_mut() {
            assert!(fleet.is_running(), "a fleet has ended");
            self.promises.open.extend(fleet.acknowledged());
        }
        let (due, open): (Vec<_>, Vec<_>) = std::mem::take(&mut self.promises.open)
            .into_iter()
            .partition(|line| line["at_ms"].as_u64().expect("a time") <= now);
        self.promises.open = open;
        let missing: Vec<_> = due.iter().filter(|line| !self.log.holds(line)).collect();
        assert!(
            missing.is_empty(),
            "{} promises of {} are not in the log: {:#?}",
            missing.len(),
            due.len(),
            &missing[..missing.len().min(20)]
        );
        due.len()
    }
}

impl Log {
    fn add(&mut self, event: &Event) {
        let data = &event.data;
        let name = data["endpoint"].as_str().expect("a name").to_owned();
        let id = || data["registration_id"].as_str().expect("an id").to_owned();
        match event.kind.as_str() {
            "registered" => {
                let lifetime = data["lifetime_s"].as_u64().expect("seconds");
                assert!(
                    self.registrations.insert(id()),
                    "twice in the log: {event:?}"
                );
                *self.lifetimes.entry((name, lifetime)).or_default() += 1;
            }
            "updated" => {
                if let Some(lifetime) = data["changes"]["lifetime_s"].as_u64() {
                    *self.lifetimes.entry((name, lifetime)).or_default() += 1;
                }
            }
            "notified" => {
                let number = number_of(&data["node"]["value"]);
                assert!(
                    self.notified.insert((name, number)),
                    "twice in the log: {event:?}"
                );
            }
            _ => {}
        }
    }

    /// Whether an acknowledged fact is there; a changed lifetime is used up.
    fn holds(&mut self, line: &Json) -> bool {
        let name = line["endpoint"].as_str().expect("a name").to_owned();
        match line["what"].as_str().expect("a word") {
            "registered" => {
                let location = line["location"].as_str().expect("a path");
                self.registrations
                    .contains(location.trim_start_matches("/rd/"))
            }
            "updated" => {
                let lifetime = line["lifetime_s"].as_u64().expect("seconds");
                let left = self.lifetimes.get_mut(&(name, lifetime));
                left.is_some_and(|left| {
                    let is_there = *left > 0;
                    *left = left.saturating_sub(1);
                    is_there
                })
            }
            "notified" => self.notified.contains(&(name, number_of(&line["value"]))),
            other => panic!("the fleet does not {other}"),
        }
    }
}

/// The number of a notification, from its value.
fn number_of(value: &Json) -> u64 {
    let quarters = value.as_f64().expect("a number") * 4.0;
    assert!(quarters >= 0.0 && quarters.fract() == 0.0, "{value}");
    format!("{quarters:.0}").parse().expect("a number")
}

/// What the log says beyond its ordinary news.
fn complaints(serve: &Serve) -> Vec<String> {
    let log = serve.log.lock().expect("kept");
    let is_complaint = |line: &&String| line.contains(" ERROR ") || line.contains("panicked");
    log.iter().filter(is_complaint).cloned().collect()
}

/// Observes the temperature of so many Clients; returns how many have agreed.
fn observe(serve: &Serve, wanted: usize) -> usize {
    let names: Vec<String> = serve.clients().into_keys().take(wanted).collect();
    let (agent, http) = serve.api();
    let threads: Vec<_> = names
        .chunks(wanted.div_ceil(4))
        .map(|names| {
            let (names, agent, http) = (names.to_vec(), agent.clone(), http.clone());
            std::thread::spawn(move || {
                let observes = |name: &&String| {
                    let path = format!("/clients/{name}/3303/0/5700/observe");
                    matches!(ask(&agent, &http, "POST", &path, ""), Ok((200, _)))
                };
                names.iter().filter(observes).count()
            })
        })
        .collect();
    threads
        .into_iter()
        .map(|one| one.join().expect("asks"))
        .sum()
}

/// Asks sleeping Clients for this and that until the Server is gone; what was accepted is kept.
fn ask_sleepers(serve: &Serve, sleepers: &[Device]) -> std::thread::JoinHandle<Vec<Asked>> {
    let (agent, http) = serve.api();
    let names: Vec<String> = sleepers.iter().map(|one| one.name.clone()).collect();
    std::thread::spawn(move || {
        let mut accepted = Vec::new();
        for n in 0..ASKED_MAX * SLEEPERS {
            let sleeper = n % SLEEPERS;
            let (method, path, body) = match n / SLEEPERS % 3 {
                0 => ("GET", "/3/0/9", ""),
                1 => ("PUT", "/1/0/1", "{\"value\":3600}"),
                _ => ("POST", "/3/0/4", ""),
            };
            let route = format!("/clients/{}{path}", names[sleeper]);
            match ask(&agent, &http, method, &route, body) {
                Ok((202, answer)) => {
                    let id = answer["request"]["id"].as_str().expect("an id").to_owned();
                    accepted.push(Asked { sleeper, id, path });
                }
                Ok((status, answer)) => panic!("{method} {route}: {status} {answer}"),
                Err(_) => break,
            }
            std::thread::sleep(Duration::from_millis(7));
        }
        accepted
    })
}

/// The sleepers wake: each is asked what was queued for it, in order and once.
fn delivered(serve: &Serve, sleepers: &mut [Device], asked: &[Asked]) {
    for (index, sleeper) in sleepers.iter_mut().enumerate() {
        let own: Vec<&Asked> = asked.iter().filter(|one| one.sleeper == index).collect();
        let answer = sleeper.update(live::PATIENCE).expect("an answer");
        assert_eq!(answer.code, dunlin_coap::Code::CHANGED, "{}", sleeper.name);
        until("what was queued is delivered", || {
            sleeper.listen(Duration::from_millis(50));
            sleeper.asked.len() >= own.len()
        });
        sleeper.listen(Duration::from_millis(50));
        let paths: Vec<&str> = sleeper
            .asked
            .iter()
            .map(|(_, path)| path.as_str())
            .collect();
        // One more may have been stored whose 202 the kill has cut off.
        let wanted: Vec<&str> = own.iter().map(|one| one.path).collect();
        assert_eq!(paths[..wanted.len()], wanted[..], "{}", sleeper.name);
        assert!(
            paths.len() <= wanted.len() + 1,
            "{}: {paths:?}",
            sleeper.name
        );
        until("the requests end", || {
            own.iter()
                .all(|one| serve.get(&format!("/requests/{}", one.id))["state"] == "completed")
        });
    }
}

#[test]
#[ignore = "takes a minute: ./test --only crash"]
fn a_full_disk_acknowledges_nothing_and_keeps_serving() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut setup = Setup::new(&folder.path().join("data"));
    setup.set("DUNLIN__SERVER__AWAKE_WINDOW_S", "1");
    let mut serve = Serve::start(&mut setup);
    let brief = Duration::from_secs(2);
    let mut old = Device::new("old", serve.coap);
    assert_eq!(
        old.register(false, brief).expect("answers").code,
        dunlin_coap::Code::CREATED
    );
    let mut asleep = Device::new("asleep", serve.coap);
    assert_eq!(
        asleep.register(true, brief).expect("answers").code,
        dunlin_coap::Code::CREATED
    );
    limit_file_size(serve.pid(), "1");

    // The first may go unanswered; then it is said aloud, and nothing is acknowledged.
    let mut refused = None;
    for n in 0..20 {
        let mut new = Device::new(format!("new-{n}"), serve.coap);
        let answer = new.register(false, brief);
        assert!(serve.is_running(), "a full disk is no reason to end");
        match answer {
            Some(answer) if answer.code == dunlin_coap::Code::SERVICE_UNAVAILABLE => {
                refused = Some(answer);
                break;
            }
            Some(answer) => panic!("nothing can be stored, and it answers {answer:?}"),
            None => {}
        }
    }
    let refused = refused.expect("5.03");
    assert!(refused.max_age_s.is_some_and(|age| age > 0), "{refused:?}");

    // What needs no disk goes on.
    let refreshed = old.update(brief).expect("a refresh is answered");
    assert_eq!(refreshed.code, dunlin_coap::Code::CHANGED);
    assert!(serve.clients().contains_key("old"));
    let (agent, http) = serve.api();
    let reader = std::thread::spawn(move || ask(&agent, &http, "GET", "/clients/old/3/0/9", ""));
    until("the Client is asked", || {
        old.listen(Duration::from_millis(50));
        !old.asked.is_empty()
    });
    let (status, reading) = reader.join().expect("asks").expect("answers");
    assert_eq!(
        (status, &reading["node"]["value"]),
        (200, &60.into()),
        "{reading}"
    );
    let (status, problem) = serve
        .ask("PUT", "/clients/asleep/1/0/1", "{\"value\":60}")
        .expect("answers");
    assert_eq!(
        (status, &problem["code"]),
        (503, &"store_unavailable".into()),
        "{problem}"
    );

    // There is room again: it finds out by itself.
    limit_file_size(serve.pid(), "unlimited");
    let mut next = Device::new("next", serve.coap);
    until("it acknowledges again", || {
        let answer = next.register(false, brief);
        answer.is_some_and(|answer| answer.code == dunlin_coap::Code::CREATED)
    });
    assert!(serve.is_running());
    serve.kill();
    let serve = Serve::start(&mut setup);
    let clients = serve.clients();
    assert!(
        ["old", "asleep", "next"]
            .iter()
            .all(|name| clients.contains_key(*name))
    );
    assert!(serve.interrupt(), "it ends well");
}

fn limit_file_size(pid: u32, limit: &str) {
    // The soft limit only, so that it can be lifted again.
    let limit = format!("--fsize={limit}:unlimited");
    let status = Command::new("prlimit")
        .args(["--pid", &pid.to_string(), &limit])
        .status();
    assert!(status.expect("prlimit of util-linux").success());
}

/// A trace of system calls: between the Register that came in and its 2.01 a sync has ended.
#[test]
#[ignore = "needs strace: ./test --only crash"]
fn no_answer_leaves_before_the_sync_that_covers_it() {
    if Command::new("strace").arg("-V").output().is_err() {
        println!("skipped: needs strace (apt-get install strace)");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("trace");
    let mut setup = Setup::new(&folder.path().join("data"));
    setup.wrapper = ["strace", "-D", "-f", "-q", "-s", "16", "-o"]
        .map(String::from)
        .to_vec();
    setup.wrapper.push(trace.to_str().expect("text").into());
    setup.wrapper.push("-e".into());
    setup
        .wrapper
        .push("trace=recvmmsg,recvmsg,sendmmsg,sendmsg,sendto,fdatasync,fsync".into());
    let serve = Serve::start(&mut setup);
    let registrations = 30;
    for n in 0..registrations {
        let mut device = Device::new(format!("slow-{n}"), serve.coap);
        let answer = device
            .register(false, Duration::from_secs(10))
            .expect("answers");
        assert_eq!(answer.code, dunlin_coap::Code::CREATED);
        // A refresh needs no sync; the next Register must not live on one that came late.
        std::thread::sleep(Duration::from_millis(40));
    }
    assert!(serve.interrupt(), "it ends well");
    let (answers, unsynced) = read_trace(&trace);
    assert_eq!(answers, registrations, "2.01 in the trace");
    assert!(
        unsynced.is_empty(),
        "answered before the sync: {unsynced:#?}"
    );
}

/// Counts the 2.01 of a trace, and those before which no sync has ended since the last Register.
fn read_trace(trace: &Path) -> (usize, Vec<String>) {
    let text = std::fs::read(trace).expect("traced");
    let text = String::from_utf8_lossy(&text);
    let (mut answers, mut unsynced) = (0, Vec::new());
    let (mut heard, mut synced) = (false, false);
    for line in text.lines() {
        let is_sync = line.contains("fdatasync") || line.contains("fsync");
        if is_sync && line.trim_end().ends_with("= 0") {
            synced |= heard;
        }
        // A Confirmable POST with a token of two bytes: `B\2`.
        if line.contains("recv") && line.contains("\"B\\2") {
            (heard, synced) = (true, false);
        }
        // An acknowledgement 2.01 with a token of two bytes: `bA`.
        if line.contains("send") && line.contains("\"bA") {
            answers += 1;
            if !synced {
                unsynced.push(line.to_owned());
            }
            (heard, synced) = (false, false);
        }
    }
    (answers, unsynced)
}
