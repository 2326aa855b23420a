//! Transmission parameters (RFC 7252 §4.8): one set per kind of bearer, with the standard's names and
//! defaults. What the standard derives is computed here, never stored.

use core::ops::Deref;
use core::time::Duration;

use crate::block::BlockSize;

/// The transmission parameters of a bearer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// ACK_TIMEOUT: how long to wait for the first acknowledgement.
    pub ack_timeout: Duration,
    /// ACK_RANDOM_FACTOR in thousandths: the first wait is drawn from `ack_timeout` to
    /// `ack_timeout` times this. At least 1000.
    pub ack_random_factor_permille: u32,
    /// MAX_RETRANSMIT: how often a Confirmable message is sent again. 0 where the bearer is reliable
    /// by itself or too dear to repeat on (SMS, TS 8.1 of LwM2M 1.0).
    pub max_retransmit: u8,
    /// NSTART: how many interactions may be outstanding towards one peer, in each role.
    pub nstart: u8,
    /// MAX_LATENCY: how long a datagram may take.
    pub max_latency: Duration,
    /// PROCESSING_DELAY: how long a peer may take to acknowledge.
    pub processing_delay: Duration,
    /// How long we let a Confirmable request wait for its answer before it gets an empty
    /// acknowledgement and the answer comes separately (RFC 7252 §5.2.2). Below `ack_timeout`, so that
    /// the peer does not send again.
    pub acknowledge_after: Duration,
    /// While a body goes block by block, the round trip is measured, and a block that is not acknowledged
    /// is sent again sooner than after `ack_timeout` (`round_trip`); but never sooner than this. At or above
    /// `ack_timeout`: never sooner.
    pub hurry_min: Duration,
    /// The size of the blocks we propose. A peer may ask for smaller ones.
    pub block_size: BlockSize,
}

impl Profile {
    /// The defaults of RFC 7252 §4.8 for datagrams over IP.
    pub const UDP: Profile = Profile {
        ack_timeout: Duration::from_secs(2),
        ack_random_factor_permille: 1500,
        max_retransmit: 4,
        nstart: 1,
        max_latency: Duration::from_secs(100),
        processing_delay: Duration::from_secs(2),
        acknowledge_after: Duration::from_secs(1),
        // What a device takes to erase a page of its flash; RFC 6298 counts with whole seconds.
        hurry_min: Duration::from_millis(500),
        block_size: BlockSize::LARGEST,
    };

    /// For SMS: one transmission only, minutes of patience, and blocks of 64 bytes so that a message
    /// with its options stays within the 140 bytes of one short message.
    pub const SMS: Profile = Profile {
        ack_timeout: Duration::from_secs(120),
        ack_random_factor_permille: 1000,
        max_retransmit: 0,
        nstart: 1,
        max_latency: Duration::from_secs(300),
        processing_delay: Duration::from_secs(10),
        acknowledge_after: Duration::from_secs(5),
        hurry_min: Duration::from_secs(120),
        block_size: match BlockSize::from_exponent(2) {
            Some(size) => size,
            None => BlockSize::SMALLEST,
        },
    };

    /// MAX_TRANSMIT_SPAN: from the first transmission to the last.
    pub fn max_transmit_span(&self) -> Duration {
        self.back_off(
            1u32.checked_shl(u32::from(self.max_retransmit))
                .unwrap_or(u32::MAX)
                - 1,
        )
    }

    /// MAX_TRANSMIT_WAIT: from the first transmission to giving up.
    pub fn max_transmit_wait(&self) -> Duration {
        self.back_off(
            1u32.checked_shl(u32::from(self.max_retransmit) + 1)
                .unwrap_or(u32::MAX)
                - 1,
        )
    }

    /// MAX_RTT: the longest round trip.
    pub fn max_rtt(&self) -> Duration {
        self.max_latency
            .saturating_mul(2)
            .saturating_add(self.processing_delay)
    }

    /// EXCHANGE_LIFETIME: how long a Confirmable message may still turn up, or its answer.
    pub fn exchange_lifetime(&self) -> Duration {
        self.max_transmit_span().saturating_add(self.max_rtt())
    }

    /// NON_LIFETIME: how long a Non-confirmable message may still turn up.
    pub fn non_lifetime(&self) -> Duration {
        self.max_transmit_span().saturating_add(self.max_latency)
    }

    fn back_off(&self, times: u32) -> Duration {
        self.ack_timeout
            .saturating_mul(times)
            .saturating_mul(self.ack_random_factor_permille)
            / 1000
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self::UDP
    }
}

/// A profile with what every message asks of it computed beforehand.
#[derive(Clone, Debug)]
pub(crate) struct Timing {
    profile: Profile,
    pub(crate) exchange_lifetime: Duration,
    pub(crate) non_lifetime: Duration,
}

impl Timing {
    pub(crate) fn of(profile: &Profile) -> Self {
        Self {
            exchange_lifetime: profile.exchange_lifetime(),
            non_lifetime: profile.non_lifetime(),
            profile: profile.clone(),
        }
    }
}

impl Deref for Timing {
    type Target = Profile;

    fn deref(&self) -> &Profile {
        &self.profile
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc7252_4_8_2_derived_values() {
        let udp = Profile::UDP;
        assert_eq!(udp.max_transmit_span(), Duration::from_secs(45));
        assert_eq!(udp.max_transmit_wait(), Duration::from_secs(93));
        assert_eq!(udp.max_rtt(), Duration::from_secs(202));
        assert_eq!(udp.exchange_lifetime(), Duration::from_secs(247));
        assert_eq!(udp.non_lifetime(), Duration::from_secs(145));
    }

    #[test]
    fn extreme_settings_saturate() {
        let profile = Profile {
            max_retransmit: 255,
            ..Profile::UDP
        };
        assert!(profile.max_transmit_wait() > Duration::from_secs(1_000_000));
        let once = Profile::SMS;
        assert_eq!(once.max_transmit_span(), Duration::ZERO);
        assert_eq!(once.max_transmit_wait(), Duration::from_secs(120));
    }
}
