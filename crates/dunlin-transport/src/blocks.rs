//! Bodies that are larger than memory, block by block (client side; RFC 7959): what a Server writes into
//! one Resource, and what is downloaded from any CoAP server. TS 1.0 §E.6 needs both for packages.

use alloc::boxed::Box;

use dunlin_coap::{Barrier, RequestSettings};
use dunlin_lwm2m::Level;
use dunlin_lwm2m::operation::{Operation, WriteMode};

use crate::event::{Event, ExchangeId, Fetch, RequestId, Token, WrittenBlock};
use crate::map::request::{Interface, decode_operation, encode_fetch};
use crate::now::Now;
use crate::peer::PeerId;
use crate::transport::{Carriage, Refused, Side, Transport};

impl Transport {
    /// Takes a block that is told as [`Event::DownlinkBlock`] and is not the last: the next may
    /// come, once commit number `barrier` is durable.
    ///
    /// # Errors
    ///
    /// The exchange is not open, or its block is the last one, which is answered.
    pub fn proceed_downlink(
        &mut self,
        now: Now,
        exchange: ExchangeId,
        barrier: Barrier,
    ) -> Result<(), Refused> {
        self.coap.proceed(now.instant, exchange, barrier)
    }

    /// Lets the rest of a body whose first block was told be gathered here: it is told whole, as
    /// [`Event::Downlink`], or refused where it is larger than `Limits::body_max`.
    ///
    /// # Errors
    ///
    /// The exchange is not open, or its block is not the first of several.
    pub fn gather_downlink(&mut self, now: Now, exchange: ExchangeId) -> Result<(), Refused> {
        let body_max = self.coap.config().limits.body_max;
        self.coap.gather(now.instant, exchange, body_max)
    }

    /// Asks any CoAP server for one block of a representation, which is what a Client does that
    /// downloads a package (TS 1.0 §E.6). Ends in [`Event::Fetched`] or [`Event::Failed`].
    ///
    /// # Errors
    ///
    /// Too much is under way.
    pub fn fetch(
        &mut self,
        now: Now,
        peer: PeerId,
        fetch: &Fetch,
        carriage: Carriage,
    ) -> Result<RequestId, Refused> {
        let settings = RequestSettings {
            block: Some(fetch.block),
            ..carriage.settings(false)
        };
        let request = encode_fetch(fetch);
        let id = self.coap.request(now.instant, peer, request, settings)?;
        self.fetches.push(id);
        Ok(id)
    }

    /// Whether this was a request for one block; it is none any more.
    pub(crate) fn fetched(&mut self, request: RequestId) -> bool {
        let found = self.fetches.iter().position(|one| *one == request);
        found.map(|at| self.fetches.swap_remove(at)).is_some()
    }

    /// One block of a request. A Write of one Resource is told block by block; what else is large is
    /// gathered, as only whole it says what it is.
    pub(crate) fn asked_in_part(
        &mut self,
        exchange: ExchangeId,
        peer: PeerId,
        token: Token,
        offset: u64,
        more: bool,
        request: &dunlin_coap::Request,
    ) -> Option<Event> {
        let interface = self.peers.interface(peer);
        let read = match &self.side {
            Side::Client { root } if interface == Interface::Management => {
                decode_operation(request, interface, root).ok()
            }
            _ => None,
        };
        if let Some(Operation::Write {
            path,
            mode: WriteMode::Replace,
            format,
            payload,
        }) = read
            && path.level() == Level::Resource
        {
            let block = WrittenBlock {
                path,
                format,
                offset,
                more,
                size: request.options.view().size1().map(u64::from),
                bytes: payload,
            };
            return Some(Event::DownlinkBlock {
                peer,
                exchange,
                token,
                block: Box::new(block),
            });
        }
        let body_max = self.coap.config().limits.body_max;
        // An exchange that has ended meanwhile needs no answer.
        let _ = self.coap.gather(self.now, exchange, body_max);
        None
    }
}
