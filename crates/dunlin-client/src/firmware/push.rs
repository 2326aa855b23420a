//! A Server writes the package into `/5/0/0`, in one piece or block by block.
//!
//! Each block is stored before the next one is asked for (2.31), so the machine never holds more
//! than one. The last is answered with 2.04 once it is stored; whether the package is good is said
//! by State and Update Result, not by the answer (int-774 to int-777).

use alloc::vec::Vec;
use core::time::Duration;

use dunlin_lwm2m::operation::{Operation, Response, ResponseCode, WriteMode};
use dunlin_lwm2m::{ContentFormat, ShortServerId};
use dunlin_transport::{ExchangeId, Instant, WrittenBlock};

use super::{
    BUSY_UPDATING, FirmwareState, Job, PackageDone, PackageFault, PackageStep, RESET_FIRST,
};
use crate::access::{self, Asker};
use crate::client::Client;
use crate::object::Delivery;
use crate::tree::Refusal;

/// A Server that sends no block for this long has gone: EXCHANGE_LIFETIME (RFC 7252 §4.8.2), after
/// which CoAP has forgotten the body, too.
const SILENCE_MAX: Duration = Duration::from_secs(247);

/// A package that a Server is writing.
#[derive(Debug)]
pub(super) struct Push {
    server: ShortServerId,
    /// Where the next block begins.
    next: u64,
    /// The block that is being stored.
    open: Option<Open>,
    /// The connection counts as lost then.
    pub(super) until: Instant,
}

#[derive(Debug)]
struct Open {
    exchange: ExchangeId,
    length: u64,
    more: bool,
    barrier: u64,
}

impl Client {
    /// One block. `Err`: the answer, which ends the Write.
    pub(crate) fn push_block(
        &mut self,
        asker: Asker,
        exchange: ExchangeId,
        block: WrittenBlock,
    ) -> Result<(), Refusal> {
        let wanted = Operation::Write {
            path: block.path,
            mode: WriteMode::Replace,
            format: ContentFormat::OPAQUE,
            payload: Vec::new(),
        };
        access::authorize(&self.tree, asker, &wanted)?;
        if block.offset == 0 {
            return self.begin_push(asker.server, exchange, block.bytes, block.more, block.size);
        }
        let follows = matches!(&self.firmware.job, Job::Push(push)
            if push.server == asker.server && push.next == block.offset && push.open.is_none());
        if !follows {
            let what = "this block does not follow the one before";
            return Err(Refusal::new(ResponseCode::RequestEntityIncomplete, what));
        }
        self.store(
            exchange,
            block.offset,
            block.bytes,
            block.more,
            block.size,
            0,
        );
        Ok(())
    }

    /// A package that fits one message.
    pub(super) fn take_package(
        &mut self,
        server: ShortServerId,
        exchange: ExchangeId,
        bytes: Vec<u8>,
    ) -> Result<(), Refusal> {
        let size = Some(bytes.len() as u64);
        self.begin_push(server, exchange, bytes, false, size)
    }

    fn begin_push(
        &mut self,
        server: ShortServerId,
        exchange: ExchangeId,
        bytes: Vec<u8>,
        more: bool,
        size: Option<u64>,
    ) -> Result<(), Refusal> {
        if !self.delivers(Delivery::Push) {
            let what = "this Client pulls packages; write the Package URI";
            return Err(Refusal::new(ResponseCode::MethodNotAllowed, what));
        }
        let again = matches!(&self.firmware.job, Job::Push(push) if push.server == server);
        match self.firmware_state() {
            Some(FirmwareState::Updating) => return Err(BUSY_UPDATING),
            // The Server begins anew, or its first block came once more.
            Some(FirmwareState::Downloading) if again => {}
            Some(FirmwareState::Downloading | FirmwareState::Downloaded) => {
                return Err(RESET_FIRST);
            }
            Some(FirmwareState::Idle) | None => {}
        }
        let barrier = match again {
            true => 0,
            false => self.enter(FirmwareState::Downloading, 0, Some("")),
        };
        self.firmware.job = Job::Push(Push {
            server,
            next: 0,
            open: None,
            until: self.now.instant + SILENCE_MAX,
        });
        self.store(exchange, 0, bytes, more, size, barrier);
        Ok(())
    }

    fn store(
        &mut self,
        exchange: ExchangeId,
        offset: u64,
        bytes: Vec<u8>,
        more: bool,
        size: Option<u64>,
        barrier: u64,
    ) {
        let Job::Push(push) = &mut self.firmware.job else {
            return;
        };
        push.open = Some(Open {
            exchange,
            length: bytes.len() as u64,
            more,
            barrier,
        });
        push.until = self.now.instant + SILENCE_MAX;
        self.package_step(PackageStep::Append {
            offset,
            bytes,
            size,
            origin: None,
        });
    }

    /// The block is stored, or cannot be.
    pub(super) fn push_stored(
        &mut self,
        mut push: Push,
        answer: Result<PackageDone, PackageFault>,
    ) {
        let Some(open) = push.open.take() else {
            self.firmware.job = Job::Push(push);
            return;
        };
        if let Err(fault) = answer {
            let code = match fault {
                PackageFault::NoRoom => ResponseCode::RequestEntityTooLarge,
                _ => ResponseCode::InternalServerError,
            };
            push.open = Some(open);
            self.refuse_push(&push, Refusal::new(code, "the package cannot be stored"));
            return self.package_lost(fault);
        }
        // An exchange that is over is repeated by the Server, or it has gone.
        let (now, exchange, barrier) = (self.now, open.exchange, open.barrier);
        if open.more {
            let _ = self.transport.proceed_downlink(now, exchange, barrier);
            push.next += open.length;
            push.until = now.instant + SILENCE_MAX;
            self.firmware.job = Job::Push(push);
        } else {
            let done = Response::new(ResponseCode::Changed);
            let _ = self.transport.answer_downlink(now, exchange, done, barrier);
            self.verify_package();
        }
    }

    /// Answers the block that is being stored, if one is.
    pub(super) fn refuse_push(&mut self, push: &Push, refusal: Refusal) {
        if let Some(open) = &push.open {
            let mut response = Response::new(refusal.code);
            response.payload = refusal.what.as_bytes().to_vec();
            let _ = self
                .transport
                .answer_downlink(self.now, open.exchange, response, 0);
        }
    }

    /// No block has come for too long.
    pub(super) fn push_stopped(&mut self, push: &Push) {
        let gone = Refusal::new(ResponseCode::ServiceUnavailable, "this took too long");
        self.refuse_push(push, gone);
        self.firmware.awaited = None;
        self.package_lost(PackageFault::ConnectionLost);
    }
}
