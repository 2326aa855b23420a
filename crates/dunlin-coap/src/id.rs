//! The shared words of this crate: time, peers, and the names of what is under way.

use core::fmt;

/// Time since an origin that the driver chose; it never goes back.
pub type Instant = core::time::Duration;

/// The commit that must be durable before bytes may leave. 0: they may leave at once.
pub type Barrier = u64;

/// The barrier of what this layer says by itself about something the layer above may have to keep:
/// everything it has committed by the time this is put out. The acknowledgement of a separate
/// response has it, so that nobody is told that an answer has arrived before it is safe.
pub const LATEST: Barrier = Barrier::MAX;

/// The other side of a conversation, named by the layer below. This crate asks nothing of the number
/// but that it stays the same when the peer's address changes and that it is not given to another peer
/// before [`crate::Endpoint::forget_peer`]. Small numbers, given densely, are found fastest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u32);

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// Never reused: an id of something that has ended is refused, not mistaken.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub(crate) u64);

        impl $name {
            #[allow(dead_code)] // Each kind is kept in a slab or counted; not all need both.
            pub(crate) fn new(index: u32, generation: u32) -> Self {
                Self(u64::from(generation) << 32 | u64::from(index))
            }

            #[allow(dead_code)]
            pub(crate) fn index(self) -> u32 {
                self.0 as u32
            }

            #[allow(dead_code)]
            pub(crate) fn generation(self) -> u32 {
                (self.0 >> 32) as u32
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({}.{})", stringify!($name), self.0 as u32, self.0 >> 32)
            }
        }
    )*};
}

ids! {
    /// A request that we asked.
    RequestId;
    /// Something received that the layer above must close: a request it must answer, or a notification
    /// it must acknowledge or reject.
    ExchangeId;
    /// A resource of a peer that we observe (client role).
    ObservationId;
    /// A peer that observes one of our resources (server role).
    ObserverId;
    /// One notification that we sent (server role).
    NotificationId;
    /// A ping that we sent.
    PingId;
}
