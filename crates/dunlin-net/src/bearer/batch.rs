//! Datagrams in batches: what is read in one go, and what waits to be sent in one go.
//!
//! A batch owns its memory and is used again and again; nothing is allocated per datagram.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

/// Datagrams of one batch: what one system call carries. Measured: above 8, the size of a batch no
/// longer matters; 32 keeps all headers in the first-level cache.
pub const BATCH_MAX: usize = 32;

/// The longest datagram that is read whole. Over UDP, a CoAP message should fit 1280 to 1500 bytes
/// (RFC 7252 §4.6) and one with DTLS adds less than 60; but there are Clients that put a long
/// Register into one datagram and let IP fragment it. 4 KiB takes those, and what is longer is
/// counted and dropped: it needs block-wise transfer.
pub const DATAGRAM_MAX: usize = 4096;

/// One datagram that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Who sent it.
    pub from: SocketAddr,
    /// Which of our addresses it was sent to, for the answer to leave from. `None` when the system
    /// did not tell, or when it was sent to a group.
    pub local: Option<IpAddr>,
    /// Its bytes, all of them unless `truncated`.
    pub bytes: &'a [u8],
    /// It was longer than a slot of the batch; its end is lost, and it must not be interpreted.
    pub truncated: bool,
}

/// Room for the datagrams of one receive.
#[derive(Debug)]
pub struct ReceiveBatch {
    pub(crate) buffers: Box<[u8]>,
    pub(crate) size: usize,
    pub(crate) received: Vec<Arrival>,
}

/// What came with one datagram; its bytes lie in the slot of the same number.
#[cfg(target_os = "linux")]
pub(crate) use crate::kernel::Received as Arrival;

/// What came with one datagram; its bytes lie in the slot of the same number.
#[cfg(not(target_os = "linux"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) from: SocketAddr,
    pub(crate) local: Option<IpAddr>,
    pub(crate) len: usize,
    pub(crate) truncated: bool,
    pub(crate) overflow: u32,
}

impl Default for ReceiveBatch {
    fn default() -> Self {
        Self::new(DATAGRAM_MAX)
    }
}

impl ReceiveBatch {
    /// Room for [`BATCH_MAX`] datagrams of at most `datagram_max` bytes (at least 1).
    pub fn new(datagram_max: usize) -> Self {
        // One byte more than promised: a datagram that reaches it is too long, also on systems
        // that do not tell.
        let size = datagram_max.max(1) + 1;
        ReceiveBatch {
            buffers: vec![0; size * BATCH_MAX].into_boxed_slice(),
            size,
            received: Vec::with_capacity(BATCH_MAX),
        }
    }

    /// No room at all, and no memory: what stands in the place of a batch while it is being read.
    pub fn without_room() -> Self {
        ReceiveBatch {
            buffers: Box::default(),
            size: 1,
            received: Vec::new(),
        }
    }

    /// How many datagrams the last receive brought.
    pub fn len(&self) -> usize {
        self.received.len()
    }

    /// Whether the last receive brought nothing.
    pub fn is_empty(&self) -> bool {
        self.received.is_empty()
    }

    /// The datagrams of the last receive, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = Datagram<'_>> {
        self.received
            .iter()
            .zip(self.buffers.chunks_exact(self.size))
            .map(|(arrival, slot)| {
                let truncated = arrival.truncated || arrival.len >= self.size;
                let bytes = &slot[..arrival.len.min(self.size - 1)];
                Datagram {
                    from: arrival.from,
                    local: arrival.local,
                    bytes,
                    truncated,
                }
            })
    }
}

/// A batch that is full: send it first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the batch is full and must be sent first")
    }
}

impl std::error::Error for Full {}

/// Datagrams that wait to be sent, in order.
#[derive(Debug)]
pub struct SendBatch {
    /// The bytes of all entries, one behind the other; those of what was sent lie in front until
    /// the batch is empty.
    bytes: Vec<u8>,
    entries: VecDeque<Entry>,
    capacity: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    to: SocketAddr,
    from: Option<IpAddr>,
    start: usize,
    end: usize,
}

/// One datagram that waits to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting<'a> {
    /// Its destination.
    pub to: SocketAddr,
    /// Which of our addresses it leaves from; `None` lets the system choose.
    pub from: Option<IpAddr>,
    /// Its bytes.
    pub bytes: &'a [u8],
}

impl Default for SendBatch {
    /// Room for eight system calls' worth: more waits above, where it can be bounded by reason.
    fn default() -> Self {
        Self::with_capacity(8 * BATCH_MAX)
    }
}

impl SendBatch {
    /// Room for `datagrams` (at least 1).
    pub fn with_capacity(datagrams: usize) -> Self {
        let capacity = datagrams.max(1);
        SendBatch {
            bytes: Vec::new(),
            entries: VecDeque::with_capacity(capacity),
            capacity,
        }
    }

    /// Appends a datagram, which leaves from `from` if that is given.
    ///
    /// # Errors
    ///
    /// [`Full`] when as many wait as the batch was made for; the datagram was not taken.
    pub fn push(&mut self, to: SocketAddr, from: Option<IpAddr>, bytes: &[u8]) -> Result<(), Full> {
        if self.is_full() {
            return Err(Full);
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.entries.push_back(Entry {
            to,
            from,
            start,
            end: self.bytes.len(),
        });
        Ok(())
    }

    /// How many datagrams wait.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether no more are taken.
    pub fn is_full(&self) -> bool {
        self.entries.len() >= self.capacity
    }

    /// What waits, first to be sent first.
    pub fn iter(&self) -> impl Iterator<Item = Waiting<'_>> {
        self.entries.iter().map(|entry| Waiting {
            to: entry.to,
            from: entry.from,
            bytes: &self.bytes[entry.start..entry.end],
        })
    }

    /// Drops the first `count` datagrams, and all of them when there are fewer.
    pub fn discard(&mut self, count: usize) {
        self.entries.drain(..count.min(self.entries.len()));
        if self.entries.is_empty() {
            self.bytes.clear();
        } else if self.entries[0].start > self.bytes.len() / 2 {
            // A batch that is filled while it is drained must not grow for ever.
            let gone = self.entries[0].start;
            self.bytes.drain(..gone);
            for entry in &mut self.entries {
                entry.start -= gone;
                entry.end -= gone;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn contents(batch: &SendBatch) -> Vec<(u16, Vec<u8>)> {
        batch
            .iter()
            .map(|waiting| (waiting.to.port(), waiting.bytes.to_vec()))
            .collect()
    }

    #[test]
    fn a_send_batch_keeps_order_and_says_when_it_is_full() {
        let mut batch = SendBatch::with_capacity(2);
        assert_eq!(batch.push(to(1), None, b"one"), Ok(()));
        assert_eq!(batch.push(to(2), None, b""), Ok(()));
        assert_eq!(batch.push(to(3), None, b"three"), Err(Full));
        assert_eq!(contents(&batch), [(1, b"one".to_vec()), (2, Vec::new())]);
        batch.discard(1);
        assert_eq!(batch.push(to(3), None, b"three"), Ok(()));
        assert_eq!(contents(&batch), [(2, Vec::new()), (3, b"three".to_vec())]);
        batch.discard(9);
        assert!(batch.is_empty());
    }

    #[test]
    fn a_send_batch_that_is_never_empty_does_not_grow() {
        let mut batch = SendBatch::with_capacity(8);
        for round in 0..10_000u32 {
            batch.push(to(1), None, &round.to_be_bytes()).expect("room");
            if batch.len() > 3 {
                assert_eq!(batch.iter().next().map(|w| w.bytes.to_vec()), {
                    Some((round - 3).to_be_bytes().to_vec())
                });
                batch.discard(1);
            }
        }
        assert!(batch.bytes.len() < 64, "{}", batch.bytes.len());
    }
}
