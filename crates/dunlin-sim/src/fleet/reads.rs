//! Reads through the REST of the server, while the fleet speaks with it from below: how long does it
//! take to ask a Client and to hear it?
//!
//! Some threads ask by a fixed schedule, each over one connection that stays open; who is late asks
//! at once, and the waiting counts. Beside them one thread sends bare datagrams to another at the same
//! pace: what a round trip costs on this machine in the same seconds, with nobody in between.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use dunlin_net::clock;
use hdrhistogram::Histogram;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::plan::Plan;
use super::report::{LATENCY_MAX_US, Latency};

/// What is asked of every Client: the Battery Level, which all of them have.
const PATH: &str = "3/0/9";

/// Threads that ask: so many answers may be under way at once.
const ASKERS: u32 = 8;

/// An answer that takes longer than this will not come; the server has an own, longer patience.
const PATIENCE: Duration = Duration::from_secs(30);

/// A longer answer to a Read of one number is none.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What is to be asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Reads {
    /// How many Reads a second.
    pub per_s: f64,
    /// Host and port of the REST interface.
    authority: String,
    /// The bearer token, where the server asks for one.
    pub token: Option<String>,
}

impl Reads {
    /// So many Reads a second through the REST at `api`, as `http://host:port`.
    ///
    /// # Errors
    ///
    /// When that is not what `api` looks like, or the rate makes no sense.
    pub fn new(per_s: f64, api: &str) -> Result<Self> {
        ensure!(
            per_s.is_finite() && per_s > 0.0,
            "the rate of the Reads must be more than 0"
        );
        let Some(authority) = api.strip_prefix("http://") else {
            bail!("{api:?}: the fleet reads through http://HOST:PORT");
        };
        let authority = authority.trim_end_matches('/');
        ensure!(
            !authority.is_empty() && !authority.contains('/'),
            "{api:?} must name a host and no path"
        );
        let has_port = authority
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        Ok(Reads {
            per_s,
            authority: if has_port {
                authority.to_owned()
            } else {
                format!("{authority}:80")
            },
            token: None,
        })
    }
}

/// What one thread, or all together, have seen.
pub(crate) struct Seen {
    latency: Histogram<u32>,
    pub(crate) errors: Vec<(String, u64)>,
}

impl Seen {
    fn new() -> Self {
        let latency = Histogram::new_with_bounds(1, LATENCY_MAX_US, 3);
        Seen {
            latency: latency.expect("the bounds are valid"),
            errors: Vec::new(),
        }
    }

    fn answered(&mut self, due: Duration, now: Duration) {
        let took = now.saturating_sub(due).as_micros();
        let took = u64::try_from(took).unwrap_or(u64::MAX);
        self.latency.saturating_record(took.max(1));
    }

    fn failed(&mut self, name: String, count: u64) {
        match self.errors.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += count,
            None => self.errors.push((name, count)),
        }
    }

    fn add(&mut self, other: Seen) {
        let added = self.latency.add(&other.latency);
        added.expect("both have the same bounds");
        for (name, count) in other.errors {
            self.failed(name, count);
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.latency.len()
    }

    pub(crate) fn latency(&self) -> Option<Latency> {
        (!self.latency.is_empty()).then(|| Latency::of(&self.latency))
    }
}

/// The threads.
pub(crate) struct Readers {
    stop: Arc<AtomicBool>,
    askers: Vec<JoinHandle<Seen>>,
    bare: JoinHandle<Seen>,
    echo: JoinHandle<()>,
}

impl Readers {
    /// Begins to ask the Clients of `plan`.
    pub(crate) fn start(reads: &Reads, plan: &Plan, seed: [u8; 32]) -> Result<Self> {
        let addresses = reads.authority.to_socket_addrs();
        let address = addresses
            .with_context(|| format!("{:?} is no address and no known host", reads.authority))?
            .next()
            .with_context(|| format!("{:?} has no address", reads.authority))?;
        let stop = Arc::new(AtomicBool::new(false));
        let start = clock::instant();
        let askers = (0..ASKERS)
            .map(|number| {
                let mut seed = seed;
                seed[31] ^= number as u8 + 1;
                let mut asker = Asker {
                    address,
                    reads: reads.clone(),
                    plan: plan.clone(),
                    random: ChaCha8Rng::from_seed(seed),
                    connection: None,
                };
                let schedule = Schedule {
                    start,
                    per_s: reads.per_s,
                    step: ASKERS,
                    next: number,
                    stop: Arc::clone(&stop),
                };
                std::thread::spawn(move || asker.run(schedule))
            })
            .collect();
        let (echo, bare) = bare_udp(Schedule {
            start,
            per_s: reads.per_s,
            step: 1,
            next: 0,
            stop: Arc::clone(&stop),
        })
        .context("no sockets for bare datagrams")?;
        Ok(Readers {
            stop,
            askers,
            bare,
            echo,
        })
    }

    /// Asks no more; what is under way goes on.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Ends the asking: what the Reads took, and what bare datagrams did.
    pub(crate) fn end(self) -> (Seen, Seen) {
        self.stop();
        let mut all = Seen::new();
        for asker in self.askers {
            all.add(asker.join().expect("an asker does not panic"));
        }
        let bare = self.bare.join().expect("it does not panic");
        self.echo.join().expect("it does not panic");
        (all, bare)
    }
}

/// When to ask: every `step`-th of `per_s` times a second.
struct Schedule {
    start: Duration,
    per_s: f64,
    step: u32,
    next: u32,
    stop: Arc<AtomicBool>,
}

impl Schedule {
    /// Waits for the next time, and returns when it was due; `None` at the end.
    fn wait(&mut self) -> Option<Duration> {
        let due = self.start + Duration::from_secs_f64(f64::from(self.next) / self.per_s);
        self.next = self.next.saturating_add(self.step);
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return None;
            }
            let left = due.saturating_sub(clock::instant());
            if left.is_zero() {
                return Some(due);
            }
            std::thread::sleep(left.min(Duration::from_millis(100)));
        }
    }
}

struct Asker {
    address: std::net::SocketAddr,
    reads: Reads,
    plan: Plan,
    random: ChaCha8Rng,
    connection: Option<TcpStream>,
}

impl Asker {
    fn run(&mut self, mut schedule: Schedule) -> Seen {
        let mut seen = Seen::new();
        while let Some(due) = schedule.wait() {
            match self.ask() {
                Ok(200) => seen.answered(due, clock::instant()),
                Ok(status) => seen.failed(format!("rest_read_{status}"), 1),
                Err(_) => {
                    self.connection = None;
                    seen.failed("rest_read_no_answer".to_owned(), 1);
                }
            }
        }
        seen
    }

    /// Asks one Client. Returns the status of HTTP.
    fn ask(&mut self) -> io::Result<u16> {
        let clients = u64::from(self.plan.clients);
        let client = ((u64::from(self.random.next_u32()) * clients) >> 32) as u32;
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let connection = self.connection.insert(connection);
        let authorization = self.reads.token.as_ref().map_or(String::new(), |token| {
            format!("Authorization: Bearer {token}\r\n")
        });
        let request = format!(
            "GET /api/v1/clients/{}/{PATH} HTTP/1.1\r\nHost: {}\r\n{authorization}\r\n",
            self.plan.endpoint(client),
            self.reads.authority,
        );
        connection.write_all(request.as_bytes())?;
        read_answer(connection)
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let connection = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        connection.set_nodelay(true)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        connection.set_write_timeout(Some(PATIENCE))?;
        Ok(connection)
    }
}

/// Reads one answer to its end. Returns its status.
fn read_answer(connection: &mut impl Read) -> io::Result<u16> {
    let mut answer = Vec::new();
    let mut buffer = [0; 2048];
    loop {
        let count = connection.read(&mut buffer)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(&buffer[..count]);
        if let Some((status, length)) = whole_length(&answer)?
            && answer.len() >= length
        {
            return Ok(status);
        }
        if answer.len() > ANSWER_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

/// The status of an answer, and its length with its head; `None` until its head is there.
fn whole_length(answer: &[u8]) -> io::Result<Option<(u16, usize)>> {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&answer[..end]).map_err(|_| io::ErrorKind::InvalidData)?;
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok());
    match (status, length) {
        (Some(status), Some(length)) => Ok(Some((status, end + 4 + length))),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// A thread that sends datagrams back, and one that sends them and waits.
fn bare_udp(mut schedule: Schedule) -> io::Result<(JoinHandle<()>, JoinHandle<Seen>)> {
    let far = UdpSocket::bind("127.0.0.1:0")?;
    let near = UdpSocket::bind("127.0.0.1:0")?;
    near.connect(far.local_addr()?)?;
    far.set_read_timeout(Some(Duration::from_millis(100)))?;
    near.set_read_timeout(Some(Duration::from_secs(1)))?;
    let stop = Arc::clone(&schedule.stop);
    let echo = std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while !stop.load(Ordering::Relaxed) {
            if let Ok((length, from)) = far.recv_from(&mut buffer) {
                // What is not sent is not answered, and counted so.
                let _ = far.send_to(&buffer[..length], from);
            }
        }
    });
    let bare = std::thread::spawn(move || {
        let mut seen = Seen::new();
        let mut buffer = [0; 64];
        while let Some(due) = schedule.wait() {
            match near.send(&[0; 32]).and_then(|_| near.recv(&mut buffer)) {
                Ok(_) => seen.answered(due, clock::instant()),
                Err(_) if schedule.stop.load(Ordering::Relaxed) => break,
                Err(_) => seen.failed("bare_udp_no_answer".to_owned(), 1),
            }
        }
        seen
    });
    Ok((echo, bare))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_the_rest_is_a_uri_without_a_path() {
        for (api, authority) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://127.0.0.1/", "127.0.0.1:80"),
            ("http://[::1]:8080", "[::1]:8080"),
            ("http://[::1]", "[::1]:80"),
        ] {
            let reads = Reads::new(1.0, api).expect(api);
            assert_eq!(reads.authority, authority);
        }
        for bad in ["https://x", "127.0.0.1", "http://", "http://x/api"] {
            assert!(Reads::new(1.0, bad).is_err(), "{bad}");
        }
        assert!(Reads::new(0.0, "http://x").is_err());
    }

    #[test]
    fn an_answer_is_read_to_its_end_and_no_further() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nx: y\r\n\r\nabc";
        assert_eq!(whole_length(&answer[..30]).expect("not yet"), None);
        assert_eq!(
            whole_length(answer).expect("whole"),
            Some((200, answer.len()))
        );
        assert_eq!(read_answer(&mut &answer[..]).expect("whole"), 200);
        assert!(read_answer(&mut &answer[..answer.len() - 1]).is_err());
        for bad in [
            &b"HTTP/1.1 200 OK\r\n\r\n"[..],
            b"\r\n\r\n",
            b"x\xff\r\n\r\n",
        ] {
            assert!(whole_length(bad).is_err());
        }
        let endless = io::repeat(b'x').take(10 * ANSWER_BYTES_MAX as u64);
        assert!(read_answer(&mut { endless }).is_err());
    }
}
