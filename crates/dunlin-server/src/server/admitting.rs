//! Who is served when not all can be: what the load and the waiting room make of one uplink.

use dunlin_lwm2m::EndpointName;
use dunlin_transport::Now;
use rand_core::Rng;

use super::Server;
use super::uplink::Refusal;
use crate::load::Kind;
use crate::waiting::Standing;

/// An Update that changes something and is refused comes again after this, …
const CHANGE_AFTER_S: u32 = 4;

/// … and up to this much later, so that not all come at once.
const CHANGE_SPREAD_S: u32 = 12;

impl Server {
    /// Whether this name may register now. If not, it is told when to come, and is served before
    /// others then.
    pub(super) fn admit(&mut self, now: Now, endpoint: &EndpointName) -> Result<(), Refusal> {
        if self.load.is_calm() {
            self.waiting.served(now.instant, endpoint.as_str());
            return Ok(());
        }
        let standing = self.waiting.standing(now.instant, endpoint.as_str());
        let kind = match standing {
            Standing::Due => Kind::Waited,
            _ if self.book.find(endpoint.as_str()).is_some() => Kind::Known,
            Standing::New | Standing::Early(_) => Kind::Newcomer,
        };
        let wait_s = match standing {
            // Who comes before his time gains nothing by it while others are refused.
            Standing::Early(wait_s) if self.load.share(kind) > 0 => {
                self.load.count(kind);
                wait_s
            }
            _ if self.load.serves(kind) => {
                self.waiting.served(now.instant, endpoint.as_str());
                return Ok(());
            }
            Standing::Early(wait_s) => wait_s,
            Standing::Due => self.waiting.put_off(now.instant, endpoint.as_str()),
            Standing::New => self.waiting.book(now.instant, endpoint.as_str()),
        };
        Err(Refusal::overloaded(wait_s))
    }

    /// Whether an Update that changes something is served now.
    pub(super) fn admit_change(&mut self) -> Result<(), Refusal> {
        if self.load.is_calm() || self.load.serves(Kind::Change) {
            return Ok(());
        }
        let spread = self.random.next_u32() % CHANGE_SPREAD_S;
        Err(Refusal::overloaded(CHANGE_AFTER_S + spread))
    }
}
