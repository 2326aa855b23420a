//! Observe (RFC 7641): when a notification is newer, and which number the next one bears.

use core::time::Duration;

use crate::id::Instant;

/// Sequence numbers have 24 bits.
const MASK: u32 = 0x00ff_ffff;
/// After this long any number is newer (RFC 7641 §3.4).
const FRESH_AGAIN: Duration = Duration::from_secs(128);
/// An observer must show once a day that it is still there (RFC 7641 §4.5).
pub(crate) const CONFIRMABLE_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Whether a notification is newer than the newest before it (RFC 7641 §3.4).
pub fn is_fresh(last: Option<(u32, Instant)>, sequence: u32, now: Instant) -> bool {
    let Some((v1, t1)) = last else { return true };
    let ahead = sequence.wrapping_sub(v1) & MASK;
    (ahead != 0 && ahead < 1 << 23) || now > t1.saturating_add(FRESH_AGAIN)
}

/// The number after this one.
pub(crate) fn next_sequence(sequence: u32) -> u32 {
    sequence.wrapping_add(1) & MASK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc7641_3_4_newer_by_number_or_by_time() {
        let at = Duration::from_secs;
        for (v1, v2, after, fresh) in [
            (5, 6, 0, true),
            (5, 5, 0, false),
            (5, 4, 0, false),
            (5, 4, 128, false),
            (5, 4, 129, true),
            (5, 5, 129, true),
            (0xff_ffff, 0, 0, true),
            (0, 0xff_ffff, 0, false),
            (0, (1 << 23) - 1, 0, true),
            (0, 1 << 23, 0, false),
        ] {
            let last = Some((v1, at(1000)));
            assert_eq!(
                is_fresh(last, v2, at(1000 + after)),
                fresh,
                "{v1} {v2} {after}"
            );
        }
        assert!(is_fresh(None, 0, at(0)));
        assert_eq!(next_sequence(0xff_ffff), 0);
    }
}
