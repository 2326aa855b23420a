//! The Client downloads the package over CoAP or CoAP over DTLS, block by block (TS 1.0 §E.6, RFC 7959 §2.4).
//!
//! 1. What is there from before is asked for (`Resume`), then the address of a name (`Resolve`).
//! 2. One block is fetched, stored, and the next one is fetched.
//! 3. What gets lost is fetched again after a pause, from the block where it stopped; bytes of two
//!    versions are told apart by the ETag and never mixed.

use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use dunlin_lwm2m::operation::ResponseCode;
use dunlin_transport::coap::{BlockSize, BlockValue};
use dunlin_transport::{
    Address, Carriage, Failure, Fetch, FetchedBlock, Instant, PeerId, Port, RequestId,
};

use super::uri::PackageUri;
use super::{Job, PackageDone, PackageFault, PackageOrigin, PackageStep};
use crate::client::{Client, Party};
use crate::connecting::Reached;
use crate::event::Need;
use crate::object::PullProtocol;

/// The first pause after a failure; it doubles each time.
const PAUSE_FIRST: Duration = Duration::from_secs(5);

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// So many failures in a row, without one block between them, and the connection is lost: with the
/// pauses and CoAP's own patience that is the better part of an hour.
const FAILURES_MAX: u32 = 10;

/// A package that is replaced at the server while it is downloaded is begun anew this often.
const RESTARTS_MAX: u32 = 3;

/// A download.
#[derive(Debug)]
pub(super) struct Pull {
    uri: PackageUri,
    peer: Option<PeerId>,
    /// How much is stored.
    length: u64,
    etag: Option<Vec<u8>>,
    size: BlockSize,
    step: Step,
    failures: u32,
    restarts: u32,
}

#[derive(Debug)]
enum Step {
    /// Waits for the outside: what is kept, an address, or that a block is stored.
    Outside {
        /// Whether the block that is being stored is the last one, and where it ends.
        stored: Option<(bool, u64)>,
    },
    /// A session is being opened.
    Connecting,
    /// A block is under way.
    Fetch(RequestId),
    /// Until it is tried again.
    Pause(Instant),
}

impl Pull {
    pub(super) fn new(uri: PackageUri) -> Self {
        Self {
            uri,
            peer: None,
            length: 0,
            etag: None,
            size: BlockSize::LARGEST,
            step: Step::Outside { stored: None },
            failures: 0,
            restarts: 0,
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        match self.step {
            Step::Pause(until) => Some(until),
            Step::Outside { .. } | Step::Connecting | Step::Fetch(_) => None,
        }
    }

    pub(super) fn peer(&self) -> Option<PeerId> {
        self.peer
    }

    pub(super) fn is_connecting(&self) -> bool {
        matches!(self.step, Step::Connecting)
    }

    pub(super) fn host(&self) -> &str {
        &self.uri.host
    }

    pub(super) fn port(&self) -> u16 {
        self.uri.port
    }

    pub(super) fn fetches(&self, request: RequestId) -> bool {
        matches!(self.step, Step::Fetch(asked) if asked == request)
    }
}

impl Client {
    /// The outside has told what is kept, or has stored a block.
    pub(super) fn pull_stored(
        &mut self,
        mut pull: Pull,
        answer: Result<PackageDone, PackageFault>,
    ) {
        let stored = match pull.step {
            Step::Outside { stored } => stored,
            Step::Connecting | Step::Fetch(_) | Step::Pause(_) => None,
        };
        match (stored, answer) {
            (_, Err(fault)) => {
                self.end_pull(&pull);
                self.package_lost(fault);
            }
            (Some((false, _)), Ok(_)) => {
                self.end_pull(&pull);
                self.verify_package();
            }
            (Some((true, end)), Ok(_)) => {
                pull.length = end;
                pull.failures = 0;
                self.fetch_block(pull);
            }
            (None, Ok(PackageDone::Kept { length, etag })) => {
                // Without an ETag nobody can say that the rest belongs to what is there.
                if etag.is_some() {
                    pull.length = length - length % pull.size.bytes() as u64;
                    pull.etag = etag;
                }
                self.locate(pull);
            }
            (None, Ok(_)) => self.locate(pull),
        }
    }

    /// Finds the server's address.
    fn locate(&mut self, mut pull: Pull) {
        if pull.uri.protocol == PullProtocol::Coaps && self.account_for(&pull).is_none() {
            // Nobody has given us keys for that server.
            self.end_pull(&pull);
            return self.package_lost(PackageFault::InvalidUri);
        }
        let (host, port) = (pull.uri.host.clone(), pull.uri.port);
        if let Ok(ip) = host.parse::<IpAddr>() {
            return self.pull_resolved(pull, Some(Address::Udp((ip, port).into())));
        }
        pull.step = Step::Outside { stored: None };
        self.firmware.job = Job::Pull(pull);
        self.ask_for_package(Need::Resolve { host, port });
    }

    pub(super) fn pull_resolved(&mut self, mut pull: Pull, address: Option<Address>) {
        let Some(address) = address else {
            // A name that never had an address is a bad URI; one that had, a network that is down.
            if pull.length == 0 && pull.failures == 0 {
                self.end_pull(&pull);
                return self.package_lost(PackageFault::InvalidUri);
            }
            return self.pause_pull(pull);
        };
        let before = pull.peer.take();
        let secure = pull.uri.protocol == PullProtocol::Coaps;
        let known = before
            .filter(|_| secure)
            .or_else(|| self.session_at(&address));
        // The keys of the account are looked up by the download.
        self.firmware.job = Job::Pull(pull);
        let reached = match secure {
            true => self.reach(Party::Package, &address, known),
            false => {
                let peer = self.transport.peer_at(self.now, Port::Coap, &address, None);
                self.transport.hold(peer);
                Ok(Reached::Peer(peer))
            }
        };
        let Job::Pull(mut pull) = core::mem::take(&mut self.firmware.job) else {
            return;
        };
        if let Some(old) = before {
            self.leave_package_server(old);
        }
        match reached {
            Ok(Reached::Peer(peer)) => {
                pull.peer = Some(peer);
                self.fetch_block(pull);
            }
            Ok(Reached::Connecting(peer)) => {
                pull.peer = Some(peer);
                pull.step = Step::Connecting;
                self.firmware.job = Job::Pull(pull);
            }
            Err(_) => self.pause_pull(pull),
        }
    }

    pub(super) fn pull_connected(&mut self, pull: Pull) {
        self.fetch_block(pull);
    }

    /// The session with the server is over, or could not be opened.
    pub(super) fn pull_lost(&mut self, pull: Pull) {
        match pull.step {
            // It is tried again anyway, or does not need the server now.
            Step::Pause(_) | Step::Outside { .. } => self.firmware.job = Job::Pull(pull),
            Step::Connecting | Step::Fetch(_) => self.pause_pull(pull),
        }
    }

    /// Nothing more is said to that server; a session that is nobody else's is ended.
    fn leave_package_server(&mut self, peer: PeerId) {
        if self.is_of_a_server(peer) {
            self.transport.release(peer);
        } else {
            self.close(peer);
        }
    }

    fn fetch_block(&mut self, mut pull: Pull) {
        let number = u32::try_from(pull.length / pull.size.bytes() as u64);
        let number = number.ok().filter(|one| *one <= BlockValue::NUMBER_MAX);
        let (Some(peer), Some(number)) = (pull.peer, number) else {
            // No more than a million blocks can be numbered.
            self.end_pull(&pull);
            return self.package_lost(PackageFault::NoRoom);
        };
        let is_name = pull.uri.host.parse::<IpAddr>().is_err();
        let fetch = Fetch {
            host: is_name.then(|| pull.uri.host.clone()),
            path: pull.uri.path.clone(),
            queries: pull.uri.queries.clone(),
            block: BlockValue {
                number,
                more: false,
                size: pull.size,
            },
        };
        match self
            .transport
            .fetch(self.now, peer, &fetch, Carriage::default())
        {
            Ok(request) => {
                pull.step = Step::Fetch(request);
                self.firmware.job = Job::Pull(pull);
            }
            Err(_) => self.pause_pull(pull),
        }
    }

    pub(super) fn pull_fetched(&mut self, mut pull: Pull, block: FetchedBlock) {
        match block.code {
            Ok(ResponseCode::Content) => {}
            // Not now, or not for long: the package may be there later.
            Ok(
                ResponseCode::ServiceUnavailable
                | ResponseCode::InternalServerError
                | ResponseCode::RequestEntityIncomplete,
            ) => return self.pause_pull(pull),
            // A block behind the end: what is there is of another package.
            Ok(ResponseCode::BadRequest | ResponseCode::BadOption) if pull.length > 0 => {
                return self.begin_again(pull);
            }
            Ok(_) | Err(_) => {
                self.end_pull(&pull);
                return self.package_lost(PackageFault::InvalidUri);
            }
        }
        let changed = pull.length > 0 && block.etag != pull.etag;
        if changed || block.offset != pull.length {
            // Another version; or a server that does not know Block2 and gives the first block
            // whatever it is asked for.
            return self.begin_again(pull);
        }
        let full = block
            .block_size
            .is_none_or(|size| !block.more || size.bytes() == block.bytes.len());
        if !full {
            return self.pause_pull(pull);
        }
        if let Some(size) = block.block_size {
            // A server may have smaller blocks, never larger ones (RFC 7959 §2.3).
            pull.size = pull.size.min(size);
        }
        pull.etag.clone_from(&block.etag);
        let end = block.offset + block.bytes.len() as u64;
        pull.step = Step::Outside {
            stored: Some((block.more, end)),
        };
        self.firmware.job = Job::Pull(pull);
        let origin = PackageOrigin {
            uri: self.package_uri().into(),
            etag: block.etag,
        };
        self.package_step(PackageStep::Append {
            offset: block.offset,
            bytes: block.bytes,
            size: block.size,
            origin: Some(origin),
        });
    }

    fn begin_again(&mut self, mut pull: Pull) {
        pull.restarts += 1;
        if pull.restarts > RESTARTS_MAX || pull.length == 0 {
            self.end_pull(&pull);
            return self.package_lost(PackageFault::ConnectionLost);
        }
        pull.length = 0;
        pull.etag = None;
        self.fetch_block(pull);
    }

    pub(super) fn pull_failed(&mut self, pull: Pull, _failure: Failure) {
        let own = pull.peer.filter(|peer| !self.is_of_a_server(*peer));
        self.pause_pull(pull);
        self.doubt_session(own);
    }

    fn is_of_a_server(&self, peer: PeerId) -> bool {
        self.registrations
            .values()
            .any(|one| one.peer == Some(peer))
    }

    fn pause_pull(&mut self, mut pull: Pull) {
        pull.failures += 1;
        if pull.failures > FAILURES_MAX {
            self.end_pull(&pull);
            return self.package_lost(PackageFault::ConnectionLost);
        }
        let pause = PAUSE_FIRST * 2_u32.saturating_pow(pull.failures - 1);
        pull.step = Step::Pause(self.now.instant + pause.min(PAUSE_MAX));
        self.firmware.job = Job::Pull(pull);
    }

    /// The pause is over. The name is looked up anew: the server may have moved.
    pub(super) fn pull_again(&mut self, pull: Pull) {
        self.locate(pull);
    }

    /// Nothing more is fetched.
    pub(super) fn end_pull(&mut self, pull: &Pull) {
        if let Step::Fetch(request) = pull.step {
            // It may have been answered already.
            let _ = self.transport.cancel_request(self.now, request);
        }
        if let Some(peer) = pull.peer {
            self.leave_package_server(peer);
        }
    }
}
