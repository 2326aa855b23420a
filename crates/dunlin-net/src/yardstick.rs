//! The yardstick: how many request/response pairs this machine can do in bare UDP.
//!
//! One thread answers, and does nothing else: `recvmmsg` of 32, four bytes changed, `sendmmsg`. One
//! thread asks, over a few connected sockets with a bounded number of questions outstanding each, so
//! that nothing is lost and the answering thread always has something to do. What comes out is the
//! limit of the kernel's own work per datagram; a figure of a server is published beside the
//! yardstick of the same machine and the same minute, because it means little without.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::clock;
use crate::kernel::{BATCH, Outgoing, Received, Wait, receive_many, send_many, send_segments};
use crate::socket::{SocketOptions, bind_udp};

/// What one run has shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Yardstick {
    /// Answers that came back, per second.
    pub pairs_per_s: f64,
    /// Requests answered per second of CPU time of the answering thread: the limit that a server's
    /// figure per CPU-second is compared with.
    pub pairs_per_cpu_s: f64,
    /// The part of the time in which the answering thread was running, 0 to 1. Far below 1, it was
    /// short of questions or of a core, and only `pairs_per_cpu_s` says something.
    pub server_cpu: f64,
}

/// Sockets that ask. With all answers going to one socket, its receive queue would be the limit.
const ASKING_SOCKETS: usize = 16;

/// Questions outstanding per socket: 1 024 in all, some five milliseconds of work.
const WINDOW: usize = 64;

/// What is asked: the size of an Update of a registration (`POST /rd/<10 hex digits>`).
const QUESTION: [u8; 22] = *b"\x44\x02\x00\x00\x01\x02\x03\x04\xb2rd\x0a0123456789";

/// How long both run before anything is counted: until caches and queues are in their usual state.
const WARM_UP: Duration = Duration::from_millis(300);

/// After this long without an answer on a socket its questions are taken for lost and asked anew.
const LOST: Duration = Duration::from_millis(50);

/// How often the threads look whether they are to stop.
const LOOK: Duration = Duration::from_millis(20);

/// Runs the yardstick for `duration`, in two threads of its own, over 127.0.0.0/8.
///
/// # Errors
///
/// When sockets are not to be had, or not one answer came back (a kernel before Linux 4.18 cannot
/// send as the asking thread does).
pub fn run(duration: Duration) -> io::Result<Yardstick> {
    let options = SocketOptions {
        packet_info: false,
        ..SocketOptions::default()
    };
    let (server, _) = bind_udp(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), &options)?;
    let port = server.local_addr()?.port();
    server.set_nonblocking(false)?;
    server.set_read_timeout(Some(LOOK))?;
    let sockets = asking_sockets(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;

    let (stop, answers) = (AtomicBool::new(false), AtomicU64::new(0));
    let (served, cpu_us) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        let answering = scope.spawn(|| answer(&server, &stop, &served, &cpu_us));
        let asking = scope.spawn(|| ask(&sockets, &stop, &answers));
        let read = || {
            // The CPU time is published with the count it belongs to, a batch later at most.
            (
                Instant::now(),
                answers.load(Ordering::Relaxed),
                served.load(Ordering::Relaxed),
                cpu_us.load(Ordering::Relaxed),
            )
        };
        thread::sleep(WARM_UP);
        let (began, answers_before, served_before, cpu_before) = read();
        thread::sleep(duration);
        let (ended, answers_after, served_after, cpu_after) = read();
        stop.store(true, Ordering::Relaxed);
        answering
            .join()
            .expect("the answering thread returns its errors")?;
        asking.join().expect("the asking thread does not panic");

        if answers_after == answers_before {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "no answer came back over 127.0.0.0/8",
            ));
        }
        let elapsed = ended.duration_since(began).as_secs_f64();
        let cpu = (cpu_after - cpu_before) as f64 / 1e6;
        Ok(Yardstick {
            pairs_per_s: (answers_after - answers_before) as f64 / elapsed,
            pairs_per_cpu_s: if cpu > 0.0 {
                (served_after - served_before) as f64 / cpu
            } else {
                0.0
            },
            server_cpu: cpu / elapsed,
        })
    })
}

fn asking_sockets(server: SocketAddr) -> io::Result<Vec<UdpSocket>> {
    (0..ASKING_SOCKETS)
        .map(|number| {
            let source = Ipv4Addr::new(127, 0, 0, 2 + number as u8);
            let socket = UdpSocket::bind((source, 0))?;
            socket.connect(server)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        })
        .collect()
}

fn answer(
    socket: &UdpSocket,
    stop: &AtomicBool,
    served: &AtomicU64,
    cpu_us: &AtomicU64,
) -> io::Result<()> {
    const SLOT: usize = 256;
    let mut buffers = vec![0; BATCH * SLOT];
    let mut received: Vec<Received> = Vec::with_capacity(BATCH);
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        received.clear();
        match receive_many(
            socket.as_fd(),
            &mut buffers,
            SLOT,
            &mut received,
            Wait::ForOne,
        ) {
            Ok(_) => {}
            Err(error) if is_a_pause(&error) => continue,
            Err(error) => return Err(error),
        }
        for slot in buffers.chunks_exact_mut(SLOT).take(received.len()) {
            (slot[0], slot[1]) = (0x64, 0x44);
        }
        let mut datagrams = [Outgoing {
            to: None,
            from: None,
            bytes: &[],
        }; BATCH];
        for ((place, one), slot) in datagrams
            .iter_mut()
            .zip(&received)
            .zip(buffers.chunks_exact(SLOT))
        {
            *place = Outgoing {
                to: Some(one.from),
                from: None,
                bytes: &slot[..one.len.min(8)],
            };
        }
        let mut waiting = &datagrams[..received.len()];
        while !waiting.is_empty() && !stop.load(Ordering::Relaxed) {
            match send_many(socket.as_fd(), waiting) {
                Ok(sent) => waiting = &waiting[sent..],
                Err(error) if is_a_pause(&error) => thread::yield_now(),
                Err(error) => return Err(error),
            }
        }
        count += received.len() as u64;
        served.store(count, Ordering::Relaxed);
        let cpu = clock::thread_cpu().as_micros();
        cpu_us.store(u64::try_from(cpu).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
    Ok(())
}

fn is_a_pause(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// Asks on each socket as much as its window allows. Errors are pauses here: a question that was
/// not sent is asked again.
fn ask(sockets: &[UdpSocket], stop: &AtomicBool, answers: &AtomicU64) {
    const SLOT: usize = 64;
    let mut buffers = vec![0; BATCH * SLOT];
    let mut received: Vec<Received> = Vec::with_capacity(BATCH);
    let mut questions = QUESTION.repeat(WINDOW);
    let mut message_id = 0u16;
    let mut windows = vec![(WINDOW, Instant::now()); sockets.len()];
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut idle = true;
        for (socket, (credit, heard)) in sockets.iter().zip(&mut windows) {
            while *credit < WINDOW {
                received.clear();
                let got = receive_many(
                    socket.as_fd(),
                    &mut buffers,
                    SLOT,
                    &mut received,
                    Wait::Never,
                );
                let Ok(got @ 1..) = got else { break };
                *credit = (*credit + got).min(WINDOW);
                *heard = Instant::now();
                count += got as u64;
                idle = false;
            }
            if *credit < WINDOW / 2 && heard.elapsed() < LOST {
                continue;
            }
            if *credit == 0 || heard.elapsed() >= LOST {
                *credit = WINDOW;
                *heard = Instant::now();
            }
            for question in questions.chunks_exact_mut(QUESTION.len()).take(*credit) {
                message_id = message_id.wrapping_add(1);
                question[2..4].copy_from_slice(&message_id.to_be_bytes());
            }
            let bytes = &questions[..*credit * QUESTION.len()];
            if send_segments(socket.as_fd(), bytes, QUESTION.len() as u16).is_ok() {
                *credit = 0;
                idle = false;
            }
        }
        answers.store(count, Ordering::Relaxed);
        if idle {
            // Both threads may share a core.
            thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_yardstick_counts_pairs_that_really_came_back() {
        let yardstick = run(Duration::from_millis(200)).expect("loopback");
        assert!(yardstick.pairs_per_s > 100.0, "{yardstick:?}");
        assert!(
            yardstick.pairs_per_cpu_s > yardstick.pairs_per_s / 2.0,
            "{yardstick:?}"
        );
    }

    #[test]
    fn the_question_is_a_post_to_a_registration() {
        assert_eq!(
            QUESTION[0], 0x44,
            "version 1, confirmable, token of four bytes"
        );
        assert_eq!(QUESTION[1], 0x02, "POST");
        assert_eq!(QUESTION[8], 0xb2, "Uri-Path of two bytes");
        assert_eq!(usize::from(QUESTION[11]), 10, "Uri-Path of ten bytes");
    }
}
