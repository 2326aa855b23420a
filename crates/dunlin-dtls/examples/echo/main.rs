//! An echo server and a client that wants an echo, over UDP on the loopback: the peer for other
//! DTLS stacks in `interop/dtls.sh`, and a small driver to read.
//!
//! ```text
//! echo server --bind 127.0.0.1:0 --seconds 10 --psk device:secret --suite TLS_PSK_WITH_AES_128_CCM_8
//! echo client --to 127.0.0.1:5684 --seconds 10 --psk device:secret --say hello
//! ```
//!
//! The server prints `listening ADDRESS`, then a line per event; the client ends with status 0
//! once it has heard its own words, or with 1 when the time is up.

mod driver;
mod options;

use std::process::ExitCode;
use std::time::Duration;

use driver::Driver;
use dunlin_dtls::{Address, Event, SessionId};
use options::Options;

/// Twice what a busy loopback needs for a round trip.
const REPEAT: Duration = Duration::from_millis(400);

fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)) {
        Ok(options) => run(&options),
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> ExitCode {
    let mut driver = Driver::new(options);
    if let Some(to) = options.to {
        let settings = options.client_settings();
        driver
            .dtls
            .connect(driver.now(), Address::from(to), settings)
            .expect("a usable setting");
    } else {
        println!("listening {}", driver.local_address());
    }
    let mut kept = None;
    // The session that waits for its echo, and when its words are repeated.
    let mut waits: Option<(SessionId, Duration)> = None;
    while !driver.is_over() {
        driver.step();
        if let Some((session, due)) = waits
            && options.insist
            && driver.now() > due
        {
            driver.say(session, &options.say);
            waits = Some((session, driver.now() + REPEAT));
        }
        for event in driver.take_events() {
            println!("{event:?}");
            match event {
                Event::Connected(connected) if options.to.is_some() => {
                    if driver.resumed && !connected.resumed {
                        println!("a full handshake, not a resumption");
                        return ExitCode::FAILURE;
                    }
                    driver.say(connected.session, &options.say);
                    waits = Some((connected.session, driver.now() + REPEAT));
                }
                Event::Data {
                    session, plaintext, ..
                } if options.to.is_none() => {
                    let session = if options.restart {
                        driver.restart(session)
                    } else {
                        session
                    };
                    driver.say(session, &plaintext);
                }
                Event::Data {
                    session, plaintext, ..
                } => {
                    // Some peers say a line of their own first.
                    let mine = plaintext
                        .windows(options.say.len())
                        .any(|part| part == options.say);
                    if options.any || mine {
                        println!("heard {} bytes", plaintext.len());
                        waits = None;
                        driver.close(session);
                        match kept.take() {
                            Some(state) => driver.resume(state),
                            None => return ExitCode::SUCCESS,
                        }
                    }
                }
                Event::Resumable { state, .. } if options.resume_once && !driver.resumed => {
                    kept = Some(state);
                }
                Event::Failed { .. } if options.to.is_some() => return ExitCode::FAILURE,
                _ => {}
            }
        }
    }
    if options.to.is_none() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
