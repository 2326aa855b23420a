//! A package over HTTP 1.1 or HTTPS, in a thread of its own: what is interrupted goes on where it stopped, with Range
//! and If-Range (RFC 9110 §13.1.5, §14).

use std::io::Read as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use dunlin_client::{PackageFault, PackageOrigin};
use ureq::Agent;
use ureq::http::{Response, StatusCode, header};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use super::lock;
use super::store::Store;

/// Where Debian and most others keep whom they trust.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// How long a server may take to begin with its answer.
const RESPONSE_LIMIT: Duration = Duration::from_secs(60);

/// How long one piece of the package may take; after that the connection counts as dead and a new one goes on.
const BODY_LIMIT: Duration = Duration::from_secs(600);

/// So many failures in a row, without a byte between them, and the connection is lost.
const FAILURES_MAX: u32 = 10;

/// The first pause after a failure; it doubles each time.
const PAUSE_FIRST: Duration = Duration::from_secs(1);

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What is read and stored at a time.
const CHUNK_BYTES: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Downloader {
    agent: Agent,
    /// Set when the download that runs now is not wanted any more.
    stopped: Arc<AtomicBool>,
}

/// How one connection ended.
enum Failed {
    /// Try again.
    Lost,
    /// Trying again does not help.
    Fault(PackageFault),
}

impl Downloader {
    pub(super) fn new(authorities: Option<&Path>) -> anyhow::Result<Self> {
        // Another part of the program may have done it already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut tls = TlsConfig::builder();
        let path = authorities.unwrap_or(AUTHORITIES.as_ref());
        match std::fs::read(path) {
            Ok(text) => {
                let certificates = parse_pem(&text).filter_map(|item| match item {
                    Ok(PemItem::Certificate(certificate)) => Some(certificate),
                    _ => None,
                });
                let certificates: Vec<_> = certificates.collect();
                if authorities.is_some() && certificates.is_empty() {
                    anyhow::bail!("{}: there is no certificate in it", path.display());
                }
                tls = tls.root_certs(RootCerts::from(certificates.into_iter()));
            }
            Err(error) if authorities.is_some() => {
                return Err(error).with_context(|| format!("{}: cannot be read", path.display()));
            }
            // A machine that trusts nobody: https ends in a failure that says so.
            Err(_) => tls = tls.root_certs(RootCerts::from(std::iter::empty())),
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(RESPONSE_LIMIT))
            .timeout_recv_response(Some(RESPONSE_LIMIT))
            .timeout_recv_body(Some(BODY_LIMIT))
            .tls_config(tls.build());
        Ok(Self {
            agent: config.build().new_agent(),
            stopped: Arc::default(),
        })
    }

    /// Downloads, and says how it went, unless it is stopped before.
    pub(super) fn start(
        &mut self,
        uri: String,
        store: Arc<Mutex<Store>>,
        done: impl FnOnce(Result<(), PackageFault>) + Send + 'static,
    ) {
        self.stop();
        let stopped = Arc::new(AtomicBool::new(false));
        self.stopped = stopped.clone();
        let agent = self.agent.clone();
        std::thread::spawn(move || {
            let result = download(&agent, &uri, &store, &stopped);
            if !stopped.load(Ordering::Acquire) {
                done(result);
            }
        });
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }
}

fn download(
    agent: &Agent,
    uri: &str,
    store: &Mutex<Store>,
    stopped: &AtomicBool,
) -> Result<(), PackageFault> {
    let mut failures = 0;
    loop {
        let before = lock(store).resume(uri).0;
        match piece(agent, uri, store, stopped) {
            Ok(()) => return Ok(()),
            Err(Failed::Fault(fault)) => return Err(fault),
            Err(Failed::Lost) => {}
        }
        let mut guard = lock(store);
        if guard.resume(uri).0 > before {
            failures = 0;
            // What has come is not to be fetched again after a power cut.
            guard.sync()?;
        }
        drop(guard);
        failures += 1;
        if failures > FAILURES_MAX {
            return Err(PackageFault::ConnectionLost);
        }
        let pause = (PAUSE_FIRST * 2_u32.saturating_pow(failures - 1)).min(PAUSE_MAX);
        if sleeps(pause, stopped) {
            return Err(PackageFault::ConnectionLost);
        }
    }
}

/// Waits; whether it was woken because nobody wants the download any more.
fn sleeps(pause: Duration, stopped: &AtomicBool) -> bool {
    let step = Duration::from_millis(100);
    let steps = pause.as_millis() / step.as_millis();
    (0..steps).any(|_| {
        std::thread::sleep(step);
        stopped.load(Ordering::Acquire)
    })
}

/// One connection: everything that is missing, or as much as comes.
fn piece(
    agent: &Agent,
    uri: &str,
    store: &Mutex<Store>,
    stopped: &AtomicBool,
) -> Result<(), Failed> {
    let (mut offset, validator) = lock(store).resume(uri);
    if validator.is_none() {
        offset = 0;
    }
    let address = uri.split_once('#').map_or(uri, |(address, _)| address);
    let mut request = agent.get(address);
    if let (Some(validator), true) = (&validator, offset > 0) {
        request = request
            .header(header::RANGE, format!("bytes={offset}-"))
            .header(header::IF_RANGE, validator.as_slice());
    }
    let mut response = request.call().map_err(|error| failed(&error, offset))?;
    match response.status() {
        StatusCode::OK => offset = 0,
        StatusCode::PARTIAL_CONTENT if begins_at(&response, offset) => {}
        // All is there already, or of another version: begin anew.
        StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::PARTIAL_CONTENT => {
            lock(store).discard();
            return Err(Failed::Lost);
        }
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            return Err(Failed::Lost);
        }
        status => {
            tracing::warn!(uri, %status, "there is no package");
            return Err(Failed::Fault(PackageFault::InvalidUri));
        }
    }
    let origin = PackageOrigin {
        uri: uri.into(),
        etag: validator_of(&response),
    };
    let rest = response.headers().get(header::CONTENT_LENGTH);
    let rest = rest.and_then(|text| text.to_str().ok()?.parse::<u64>().ok());
    let size = rest.map(|rest| offset.saturating_add(rest));
    let mut reader = response.body_mut().as_reader();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut empty = true;
    loop {
        if stopped.load(Ordering::Acquire) {
            return Err(Failed::Fault(PackageFault::ConnectionLost));
        }
        let length = match reader.read(&mut chunk) {
            Ok(0) if size.is_some_and(|size| offset < size) => return Err(Failed::Lost),
            Ok(0) => break,
            Ok(length) => length,
            Err(error) => {
                tracing::info!(uri, %error, "the download is interrupted");
                return Err(Failed::Lost);
            }
        };
        empty = false;
        let stored = lock(store).append(offset, &chunk[..length], size, Some(origin.clone()));
        stored.map_err(Failed::Fault)?;
        offset += length as u64;
    }
    if empty && offset == 0 {
        return Err(Failed::Fault(PackageFault::UnsupportedType));
    }
    Ok(())
}

/// A name without an address, or a certificate that nobody vouches for, does not get better.
fn failed(error: &ureq::Error, offset: u64) -> Failed {
    tracing::info!(%error, "the download cannot begin");
    match error {
        ureq::Error::BadUri(_) | ureq::Error::InvalidProxyUrl => {
            Failed::Fault(PackageFault::InvalidUri)
        }
        ureq::Error::HostNotFound if offset == 0 => Failed::Fault(PackageFault::InvalidUri),
        ureq::Error::Tls(_) => Failed::Fault(PackageFault::ConnectionLost),
        ureq::Error::Rustls(error) if is_final(error) => {
            Failed::Fault(PackageFault::ConnectionLost)
        }
        ureq::Error::Io(error)
            if error
                .get_ref()
                .and_then(|inner| inner.downcast_ref())
                .is_some_and(is_final) =>
        {
            Failed::Fault(PackageFault::ConnectionLost)
        }
        _ => Failed::Lost,
    }
}

/// Whether the server will be no better the next time.
fn is_final(error: &rustls::Error) -> bool {
    matches!(error, rustls::Error::InvalidCertificate(_))
}

/// Whether a part begins where it was asked to: `Content-Range: bytes 100-199/200`.
fn begins_at<T>(response: &Response<T>, offset: u64) -> bool {
    let range = response.headers().get(header::CONTENT_RANGE);
    range
        .and_then(|text| text.to_str().ok()?.strip_prefix("bytes "))
        .and_then(|text| text.split_once('-')?.0.trim().parse().ok())
        == Some(offset)
}

/// What If-Range takes: a strong ETag, or a date of last change.
fn validator_of<T>(response: &Response<T>) -> Option<Vec<u8>> {
    let header = |name| Some(response.headers().get(name)?.as_bytes().to_vec());
    header(header::ETAG)
        .filter(|etag| !etag.starts_with(b"W/"))
        .or_else(|| header(header::LAST_MODIFIED))
}
