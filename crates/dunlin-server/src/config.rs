//! What can be set.

use std::time::Duration;

use dunlin_lwm2m::LwM2mVersion;
use dunlin_lwm2m::operation::Strictness;
use dunlin_transport::{Budget, Identity};

use crate::id::VirtualShards;

/// A Client that says it sleeps listens this long after it was last heard: MAX_TRANSMIT_WAIT of
/// RFC 7252 §4.8, as TS 1.0 §8.3 recommends.
pub const AWAKE_WINDOW_DEFAULT: Duration = Duration::from_secs(93);

/// More requests waiting than this, and nobody will be glad of the last one.
pub const QUEUE_DEPTH_MAX: usize = 64;

/// All Clients' requests together. At a few hundred bytes each this is some 100 MB at worst.
pub const REQUESTS_MAX: usize = 262_144;

/// Observations of one Client. Clients have tables of a dozen; who observes more than this wants
/// to observe the Object instead.
pub const OBSERVATIONS_MAX: usize = 128;

/// Registrations that have ended are remembered this long.
pub const DEPARTED_FOR_DEFAULT: Duration = Duration::from_secs(7 * 24 * 3600);

/// And no more than this many: who floods us with names that come and go loses the oldest.
pub const DEPARTED_MAX: usize = 100_000;

/// A request that was not answered by a Client that sleeps is tried this often in all.
pub const ATTEMPTS_MAX: u8 = 3;

/// An unanswered `Need` is given up after this long: the Client still waits for its answer, and
/// its retransmissions end after 45 s (MAX_TRANSMIT_SPAN).
pub const NEED_TIMEOUT: Duration = Duration::from_secs(20);

/// Registers that wait for the answer to a `Need`. More than this wait only when the node is
/// overloaded, and then 5.03 is the better answer.
pub const ADMISSIONS_MAX: usize = 10_000;

/// What one Client may send. A device that notifies a hundred values every second is busy, one that
/// sends ten seconds' worth at once has been without a network; beyond that something is wrong with
/// it. On this machine a core serves a thousand times as much.
pub const BUDGET_DEFAULT: Budget = Budget {
    burst: 1_000,
    per_second: 100,
};

/// What a Client is told to wait when we cannot serve it now (Max-Age of 5.03).
pub const RETRY_AFTER_S: u32 = 30;

/// A step is given up after MAX_TRANSMIT_WAIT (RFC 7252 §4.8.2): then CoAP has, too. The Client
/// waits for the next one for 247 s (TS 1.0 §5.2.3.3).
pub const STEP_TIMEOUT: Duration = Duration::from_secs(93);

/// A run is given up after this. A slow modem needs some 10 s for a step, and a profile has a few
/// dozen of them.
pub const RUN_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Runs at the same time: at some kilobytes each. A fleet that is switched on at once is served in
/// turns; those who hear 5.03 come back.
pub const RUNS_MAX: usize = 10_000;

/// Settings of a [`crate::Server`].
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Our node's number, written into ids.
    pub node: u16,
    /// The virtual shards that are ours; new registrations take one of them.
    pub owned: VirtualShards,
    /// Whether other Servers own the other virtual shards: then a new name is claimed from them.
    pub claims: bool,
    /// The highest version of the enabler that is served in full. A Client of a later minor version
    /// is served with what this one has, and refused with 4.12 if strict; one of another major
    /// version is always refused.
    pub version: LwM2mVersion,
    /// Whether departures from the standard are refused.
    pub strictness: Strictness,
    /// Who may register under which name.
    pub admission: Admission,
    /// How long a Client that sleeps listens after it was heard.
    pub awake_window: Duration,
    /// How long after its Register or Update a Client is left alone. Some drop their registration
    /// when a request overtakes the answer.
    pub settle: Duration,
    /// Requests that may wait for one Client.
    pub queue_depth: usize,
    /// What one Client may send; without it, anything.
    pub budget: Option<Budget>,
    /// How long registrations that have ended are remembered.
    pub departed_for: Duration,
    /// Shortest lifetime that is kept; a shorter one is served as this.
    pub lifetime_min_s: u32,
    /// Whether an Update from a new address moves a registration without security. The location
    /// is then the only secret; with `false` the Client must register again.
    pub nosec_moves: bool,
    /// The Bootstrap-Server, if there is one here.
    pub bootstrap: Option<BootstrapConfig>,
    /// Settings of CoAP below.
    pub coap: dunlin_transport::coap::Config,
    /// Settings of DTLS below; without them secure ports hear nothing.
    pub dtls: Option<dunlin_transport::dtls::Settings>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            node: 0,
            owned: VirtualShards::ALL,
            claims: false,
            version: LwM2mVersion::V1_0,
            strictness: Strictness::Lenient,
            admission: Admission::default(),
            awake_window: AWAKE_WINDOW_DEFAULT,
            settle: Duration::ZERO,
            queue_depth: QUEUE_DEPTH_MAX,
            budget: Some(BUDGET_DEFAULT),
            departed_for: DEPARTED_FOR_DEFAULT,
            lifetime_min_s: 1,
            nosec_moves: true,
            bootstrap: None,
            coap: dunlin_transport::coap::Config::default(),
            dtls: None,
        }
    }
}

/// Settings of the Bootstrap-Server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootstrapConfig {
    /// How long a Client may take for one step.
    pub step_timeout: Duration,
    /// How long all steps together may take.
    pub run_timeout: Duration,
    /// Runs at the same time.
    pub runs_max: usize,
}

impl Default for BootstrapConfig {
    fn default() -> Self {
        Self {
            step_timeout: STEP_TIMEOUT,
            run_timeout: RUN_TIMEOUT,
            runs_max: RUNS_MAX,
        }
    }
}

/// How a name is held against what security proved; TS 1.0 §7.1.7 to §7.1.10.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Admission {
    /// The name must equal the PSK identity, or the certificate's common name or one of its
    /// alternative names. Anything else, and every raw public key, is a mismatch.
    #[default]
    Equal,
    /// Where they are equal it is allowed; anything else is asked of the node.
    EqualOrAsk,
    /// Everything is asked of the node, also who comes without security: a name that has
    /// credentials may not be for everybody to take.
    Ask,
    /// Every identity may take every name.
    Any,
}

/// What the rule says by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ruling {
    Allowed,
    Mismatch,
    Ask,
}

impl Admission {
    /// Holds a name against an identity. Without security there is nothing to hold it against.
    pub(crate) fn rule(self, endpoint: &str, identity: &Identity) -> Ruling {
        let equal = match identity {
            Identity::None if self == Self::Ask => return Ruling::Ask,
            Identity::None => return Ruling::Allowed,
            Identity::PreSharedKey(identity) => **identity == *endpoint.as_bytes(),
            Identity::RawPublicKey(_) => false,
            Identity::Certificate(shown) => {
                shown.common_name.as_deref() == Some(endpoint)
                    || shown.alternative_names.iter().any(|name| name == endpoint)
            }
        };
        match self {
            Self::Any => Ruling::Allowed,
            Self::Equal | Self::EqualOrAsk if equal => Ruling::Allowed,
            Self::Equal => Ruling::Mismatch,
            Self::EqualOrAsk | Self::Ask => Ruling::Ask,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunlin_transport::CertificateIdentity;

    #[test]
    fn ts_7_1_names_are_held_against_identities() {
        let psk = Identity::PreSharedKey((*b"lamp-1").into());
        let rpk = Identity::RawPublicKey([0; 32]);
        let x509 = Identity::Certificate(Box::new(CertificateIdentity {
            fingerprint: [0; 32],
            common_name: Some("lamp-1".into()),
            alternative_names: vec!["urn:uuid:1".into()],
        }));
        for (rule, name, identity, ruling) in [
            (Admission::Equal, "lamp-1", &Identity::None, Ruling::Allowed),
            (Admission::Equal, "lamp-1", &psk, Ruling::Allowed),
            (Admission::Equal, "lamp-2", &psk, Ruling::Mismatch),
            (Admission::EqualOrAsk, "lamp-2", &psk, Ruling::Ask),
            (Admission::Any, "lamp-2", &psk, Ruling::Allowed),
            (Admission::Ask, "lamp-1", &psk, Ruling::Ask),
            (Admission::Ask, "lamp-1", &Identity::None, Ruling::Ask),
            (Admission::Equal, "lamp-1", &rpk, Ruling::Mismatch),
            (Admission::EqualOrAsk, "lamp-1", &rpk, Ruling::Ask),
            (Admission::Equal, "lamp-1", &x509, Ruling::Allowed),
            (Admission::Equal, "urn:uuid:1", &x509, Ruling::Allowed),
            (Admission::Equal, "urn:uuid:2", &x509, Ruling::Mismatch),
        ] {
            assert_eq!(
                rule.rule(name, identity),
                ruling,
                "{rule:?} {name} {identity:?}"
            );
        }
    }
}
