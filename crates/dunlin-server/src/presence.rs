//! Whether a Client can be spoken to, derived from when it was heard and what it says of itself.
//!
//! ```text
//! without queue mode   awake ............................. overdue ... expired
//! with it              awake (window) ... asleep ......... overdue ... expired
//! ```
//!
//! A Client is overdue when it has been silent for longer than the longest interval between its
//! refreshes that was learnt, and a margin; until one is learnt, its lifetime stands for it.

use std::time::Duration;

use crate::event::Presence;
use crate::registration::{Client, Ms, seconds};

/// After this many requests in a row without an answer, a Client that does not say so is taken to
/// sleep, until it is heard.
pub(crate) const UNANSWERED_MAX: u8 = 2;

/// A refresh may be this much later than expected, beside a quarter of the interval: one round of
/// retransmissions (MAX_TRANSMIT_SPAN is 45 s) on a bad network.
const OVERDUE_MARGIN: Ms = 45_000;

/// Whether it listens only after it was heard.
pub(crate) fn sleeps(client: &Client) -> bool {
    client.binding.queues() || client.unanswered >= UNANSWERED_MAX
}

/// Until when a Client that sleeps listens.
pub(crate) fn window_end(client: &Client, window: Duration) -> Ms {
    client
        .contact
        .saturating_add(Ms::try_from(window.as_millis()).unwrap_or(Ms::MAX / 4))
}

/// From when on it should have been heard.
pub(crate) fn overdue_from(client: &Client) -> Ms {
    let interval = match client.interval_s {
        0 => seconds(client.lifetime_s),
        learnt => seconds(learnt),
    };
    client.contact + interval + interval / 4 + OVERDUE_MARGIN
}

/// Whether it can be spoken to.
pub(crate) fn presence(client: &Client, window: Duration, now: Ms) -> Presence {
    if now >= overdue_from(client) {
        Presence::Overdue
    } else if sleeps(client) && (client.silent || now >= window_end(client, window)) {
        Presence::Asleep
    } else {
        Presence::Awake
    }
}

/// Whether a request sent now has a chance. To a Client that never sleeps it is tried even when it
/// is overdue.
pub(crate) fn listens(client: &Client, window: Duration, now: Ms) -> bool {
    !sleeps(client) || !client.silent && now < window_end(client, window)
}
