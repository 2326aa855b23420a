//! What an endpoint counts: messages, and what was dropped, by cause.

use core::fmt;

macro_rules! drops {
    ($($(#[$doc:meta])* $name:ident = $key:literal;)*) => {
        /// Why something received led to nothing, or to a refusal by this layer.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Drop {
            $($(#[$doc])* $name,)*
        }

        impl Drop {
            /// Every cause, in the order of [`Stats::drops`].
            pub const ALL: &'static [Drop] = &[$(Drop::$name),*];

            /// A stable name for metrics.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Drop::$name => $key,)*
                }
            }
        }
    };
}

drops! {
    /// No header of version 1: ignored.
    NotCoap = "not_coap";
    /// The format is broken (RFC 7252 §3); a Confirmable one was reset.
    Malformed = "malformed";
    /// A reserved code, or a type that does not go with the code (RFC 7252 §4.2, §4.3).
    WrongCode = "wrong_code";
    /// Sent to a multicast group: never answered.
    Multicast = "multicast";
    /// A duplicate; an answer we remember was sent again if there is one.
    Duplicate = "duplicate";
    /// A duplicate whose answer is no longer remembered: not run again.
    OldDuplicate = "old_duplicate";
    /// A critical option we do not understand in a request (RFC 7252 §5.4.1).
    BadOption = "bad_option";
    /// The same in a response.
    BadOptionInResponse = "bad_option_in_response";
    /// A request that asks us to be a proxy.
    Proxy = "proxy";
    /// A response to nothing we asked.
    UnknownToken = "unknown_token";
    /// An acknowledgement of nothing we sent.
    UnknownAcknowledgement = "unknown_acknowledgement";
    /// A Reset of nothing we sent.
    UnknownReset = "unknown_reset";
    /// A block that does not follow the one before (4.08 was answered, or it was ignored).
    BlockOutOfOrder = "block_out_of_order";
    /// A body longer than allowed (4.13 was answered).
    BodyTooLarge = "body_too_large";
    /// Too many open exchanges, of this peer or over all: the peer will send again.
    ExchangesFull = "exchanges_full";
    /// Too many peers whose exchanges are remembered.
    PeersFull = "peers_full";
    /// An exchange that the layer above never closed.
    NeverAnswered = "never_answered";
    /// A body that stopped half-way.
    BodyAbandoned = "body_abandoned";
    /// More than its peer may send, as the layer below found.
    OverBudget = "over_budget";
}

/// Counters of an endpoint, from its birth.
#[derive(Clone, PartialEq, Eq)]
pub struct Stats {
    /// Datagrams received.
    pub received: u64,
    /// Datagrams put out, repeated ones included.
    pub transmitted: u64,
    /// Confirmable messages sent again.
    pub retransmitted: u64,
    /// Confirmable messages given up.
    pub timed_out: u64,
    drops: [u64; Drop::ALL.len()],
}

impl Stats {
    /// How often something was dropped for this cause.
    pub fn dropped(&self, cause: Drop) -> u64 {
        self.drops[cause as usize]
    }

    /// Every cause with its count.
    pub fn drops(&self) -> impl Iterator<Item = (Drop, u64)> + '_ {
        Drop::ALL.iter().map(|&cause| (cause, self.dropped(cause)))
    }

    pub(crate) fn drop(&mut self, cause: Drop) {
        self.drops[cause as usize] += 1;
    }
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            received: 0,
            transmitted: 0,
            retransmitted: 0,
            timed_out: 0,
            drops: [0; Drop::ALL.len()],
        }
    }
}

impl fmt::Debug for Stats {
    /// Only the causes that happened.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Stats");
        out.field("received", &self.received)
            .field("transmitted", &self.transmitted)
            .field("retransmitted", &self.retransmitted)
            .field("timed_out", &self.timed_out);
        for (cause, count) in self.drops().filter(|(_, count)| *count > 0) {
            out.field(cause.name(), &count);
        }
        out.finish()
    }
}
