//! Counters by named reason: what an operator asks when datagrams seem to vanish.

/// Makes the enum, its names and their number from one list.
macro_rules! counters {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Something worth counting; most are reasons why bytes were dropped.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[non_exhaustive]
        pub enum Counter {
            $($(#[$doc])* $variant,)*
        }

        impl Counter {
            /// All of them, in order.
            pub const ALL: &'static [Counter] = &[$(Counter::$variant,)*];

            /// The name for metrics.
            pub fn name(self) -> &'static str {
                match self {
                    $(Counter::$variant => $name,)*
                }
            }
        }
    };
}

counters! {
    /// Bytes that begin no record.
    MalformedRecord = "malformed_record",
    /// A handshake message that cannot be read; its retransmission may be whole.
    MalformedMessage = "malformed_message",
    /// A Connection ID that is nobody's.
    UnknownCid = "unknown_cid",
    /// A record for no session and no handshake.
    UnknownAddress = "unknown_address",
    /// An epoch that cannot be.
    WrongEpoch = "wrong_epoch",
    /// A record number seen before, or too old to tell.
    Replayed = "replayed",
    /// Not authentic under the keys of its session.
    NotAuthentic = "not_authentic",
    /// A protected record without the Connection ID that was agreed on, or with one that was not.
    WrongCidUse = "wrong_cid_use",
    /// Protected content that has no meaning here.
    UnknownContent = "unknown_content",
    /// More plaintext than allowed in one record.
    RecordTooLong = "record_too_long",
    /// A handshake record for a handshake from another address.
    WrongAddress = "wrong_address",
    /// Unprotected records for an established session, alerts included.
    UnprotectedForSession = "unprotected_for_session",
    /// A handshake message in the wrong epoch.
    MessageInWrongEpoch = "message_in_wrong_epoch",
    /// Too far ahead, or more than we reassemble at once.
    ReassemblyFull = "reassembly_full",
    /// Early protected records beyond what we hold.
    EarlyRecordsFull = "early_records_full",
    /// A renegotiation, which we never do.
    Renegotiation = "renegotiation",
    /// A ClientHello while we are no server.
    NotServer = "not_server",
    /// A ClientHello in pieces: it would need memory before the address is proved.
    FragmentedClientHello = "fragmented_client_hello",
    /// A ClientHello without our cookie; answered with one.
    CookieSent = "cookie_sent",
    /// A late copy of a ClientHello whose handshake is over.
    LateClientHello = "late_client_hello",
    /// A ClientHello repeated while its handshake is under way.
    RepeatedClientHello = "repeated_client_hello",
    /// A handshake begun anew from the same address.
    HandshakeReplaced = "handshake_replaced",
    /// A ClientHello from where we are opening a session ourselves, and do not give way.
    HelloCrossed = "hello_crossed",
    /// Too many handshakes under way.
    HandshakesFull = "handshakes_full",
    /// Too many handshakes of one host.
    HandshakesLimited = "handshakes_limited",
    /// A ClientHello that was not answered because there was too much to do.
    HandshakeShed = "handshake_shed",
    /// An answer to a `Need` that nobody waits for.
    LateAnswer = "late_answer",
    /// A session replaced by a newer one of the same peer.
    SessionSuperseded = "session_superseded",
    /// A session evicted to make room.
    SessionEvicted = "session_evicted",
    /// A handshake completed.
    Connected = "connected",
    /// A handshake completed by resumption; counted under `connected` too.
    Resumed = "resumed",
    /// A handshake failed.
    Failed = "failed",
    /// A flight sent again.
    Retransmitted = "retransmitted",
}

/// How often each counter counted, since the machine began.
#[derive(Clone, Debug)]
pub struct Stats([u64; Counter::ALL.len()]);

impl Stats {
    pub(crate) fn new() -> Stats {
        Stats([0; Counter::ALL.len()])
    }

    /// The value of one counter.
    pub fn value(&self, counter: Counter) -> u64 {
        self.0[counter as usize]
    }

    /// All counters with their values.
    pub fn iter(&self) -> impl Iterator<Item = (Counter, u64)> + '_ {
        Counter::ALL
            .iter()
            .map(|counter| (*counter, self.value(*counter)))
    }

    pub(crate) fn count(&mut self, counter: Counter) {
        self.0[counter as usize] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_counters_are_their_own_index() {
        let names: BTreeSet<_> = Counter::ALL.iter().map(|counter| counter.name()).collect();
        assert_eq!(names.len(), Counter::ALL.len());
        let mut stats = Stats::new();
        stats.count(Counter::Replayed);
        assert_eq!(stats.value(Counter::Replayed), 1);
        assert_eq!(stats.iter().map(|(_, value)| value).sum::<u64>(), 1);
    }
}
