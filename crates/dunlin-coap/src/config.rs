//! What an endpoint is told at its birth: parameters and limits, each with its reason.

use alloc::vec::Vec;
use core::time::Duration;

use crate::option::OptionNumber;
use crate::profile::Profile;

/// Settings of an [`crate::Endpoint`].
#[derive(Clone, Debug)]
pub struct Config {
    /// The transmission parameters of every peer that was given no other
    /// ([`crate::Endpoint::use_profile`]).
    pub profile: Profile,
    /// More profiles, chosen per peer by their place here.
    pub other_profiles: Vec<Profile>,
    /// The first byte of every token we choose, by which a response finds the shard that asked.
    pub token_prefix: u8,
    /// How many upper bits of our Message IDs name the shard, 0 to 8. Fewer are better: what is left
    /// must last for EXCHANGE_LIFETIME towards one peer.
    pub message_id_shard_bits: u8,
    /// The value of those bits.
    pub message_id_shard: u16,
    /// Whether the first block of every large request is handed up as [`crate::Event::Block`], for the
    /// layer above to choose between gathering, streaming and refusing. Without it bodies are gathered
    /// up to [`Limits::body_max`].
    pub ask_for_bodies: bool,
    /// Critical options that the layer above understands, beyond those of addressing, Accept and blocks:
    /// If-Match and If-None-Match, and any this crate does not name. A request with another one is
    /// refused with 4.02.
    pub understood: Vec<OptionNumber>,
    /// The limits.
    pub limits: Limits,
}

/// Bounds on what peers and callers can make an endpoint hold.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Longest body gathered from the blocks of a request, in bytes. The largest thing an LwM2M Server
    /// is sent whole is a list of links or a composite payload.
    pub body_max: usize,
    /// Longest body gathered from the blocks of a response, in bytes, unless the request says otherwise.
    pub response_max: usize,
    /// Bytes of all bodies being gathered or kept for fetching, over all peers.
    pub bodies_total_max: usize,
    /// Bodies that one peer may be sending at a time. RFC 7959 lets a peer send several to different
    /// resources; a constrained one has no memory for more.
    pub bodies_per_peer_max: u8,
    /// How long a body under way, or one kept for fetching, lives after it was last touched.
    pub body_lifetime: Duration,
    /// Requests received from one peer that the layer above has not answered yet, and notifications not
    /// acknowledged. More are dropped: the peer sends them again.
    pub exchanges_per_peer_max: u16,
    /// The same over all peers.
    pub exchanges_max: u32,
    /// Requests to one peer, waiting or under way. More are refused: our caller has a queue of its own.
    pub requests_per_peer_max: u16,
    /// The same over all peers.
    pub requests_max: u32,
    /// Confirmable notifications and separate responses to one peer that wait for their turn.
    pub replies_waiting_max: u16,
    /// Observations, that is resources of peers that we observe.
    pub observations_max: u32,
    /// Observers of our resources, per peer.
    pub observers_per_peer_max: u16,
    /// Message IDs of one peer remembered beyond the last two exchanges. A peer that sends more within
    /// EXCHANGE_LIFETIME is so busy that its old duplicates have long been answered.
    pub message_ids_per_peer_max: u16,
    /// Peers whose last exchanges are remembered. A message from one more is dropped, unless the memory of
    /// another has run out.
    pub peers_max: u32,
    /// Bytes of remembered answers that are too long to stand in the record of their peer.
    pub answers_total_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_max: 64 * 1024,
            response_max: 256 * 1024,
            bodies_total_max: 256 * 1024 * 1024,
            bodies_per_peer_max: 4,
            body_lifetime: Duration::from_secs(247),
            exchanges_per_peer_max: 16,
            exchanges_max: 1_000_000,
            requests_per_peer_max: 32,
            requests_max: 1_000_000,
            replies_waiting_max: 32,
            observations_max: 20_000_000,
            observers_per_peer_max: 256,
            message_ids_per_peer_max: 64,
            peers_max: 4_000_000,
            answers_total_max: 512 * 1024 * 1024,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            profile: Profile::UDP,
            other_profiles: Vec::new(),
            token_prefix: 0,
            message_id_shard_bits: 0,
            message_id_shard: 0,
            ask_for_bodies: false,
            understood: Vec::new(),
            limits: Limits::default(),
        }
    }
}
