//! What the layer above decides, with defaults for a Server on the open Internet.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::crypto::Secret;
use crate::crypto::suite::CipherSuite;
use crate::identity::Credential;
use crate::message::extension::{CertificateType, MaxFragmentLength};
use crate::resumption::ResumptionState;

/// Below this no handshake fits: a ClientHello is never fragmented by us, a Finished neither.
pub const DATAGRAM_MIN: usize = 128;

/// Of one machine, both roles.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The suites we take part in, in order of our preference. As a Server the first that the
    /// client offers too is used. CBC only if it is named here.
    pub suites: Vec<CipherSuite>,
    /// How to answer ClientHellos; without it they are dropped.
    pub server: Option<ServerSettings>,
    /// The first bytes of every Connection ID that we give out (node and virtual shard), at most
    /// [`crate::CID_PREFIX_LENGTH_MAX`].
    pub cid_prefix: Vec<u8>,
    /// No datagram of a handshake is larger, in bytes of UDP payload. Application data is the
    /// caller's to keep small. At least [`DATAGRAM_MIN`].
    pub datagram_max: usize,
    /// Wait before the first retransmission of a flight; doubles from there (RFC 6347 §4.2.4.1
    /// says 1 s, RFC 7925 §11 says 9 s for slow networks).
    pub retransmit_first: Duration,
    /// After so many retransmissions a handshake fails.
    pub retransmit_count_max: u8,
    /// A `Need` not answered by then fails its handshake.
    pub need_timeout: Duration,
    /// Refuse peers without extended master secret (RFC 7627). Off: old devices lack it.
    pub require_extended_master_secret: bool,
    /// With CBC, authenticate the ciphertext where the peer can (RFC 7366). Off only to test
    /// what happens without.
    pub encrypt_then_mac: bool,
    /// The largest plaintext we want in one record, told to peers that know RFC 8449.
    pub record_size_limit: Option<u16>,
    /// Handshakes under way at once; a ClientHello beyond is dropped.
    pub handshakes_max: usize,
    /// Sessions at once; one more evicts the idlest of a sample.
    pub sessions_max: usize,
    /// Handshakes that one host may start at once …
    pub handshake_burst: u32,
    /// … and per second from then on. Hosts share budgets by hash, so keep it generous: many
    /// devices stand behind one address of a carrier.
    pub handshakes_per_second: u32,
    /// Send sequence numbers reserved at a time for sessions that are exported.
    pub reserve_window: u64,
}

/// The role of DTLS server.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// What we show to clients that ask for a certificate or raw public key. Without it only PSK.
    pub credential: Option<Credential>,
    /// Shown instead to clients that ask for this name (RFC 6066 §3).
    pub named_credentials: Vec<(String, Credential)>,
    /// What clients may show us, in no order: their own preference counts.
    pub client_certificate_types: Vec<CertificateType>,
    /// Give Connection IDs to clients that offer the extension (RFC 9146).
    pub connection_id: bool,
    /// Let clients resume by session id (RFC 5246 §7.3) and ticket (RFC 5077).
    pub resumption: bool,
    /// How long a session can be resumed.
    pub resumption_lifetime: Duration,
    /// Session ids remembered; the oldest goes first. Tickets need no memory.
    pub resumption_cache_max: usize,
    /// While so many handshakes are under way no client is let in. A device that listens beside
    /// connecting keeps it low: strangers then cannot take the room that its own handshakes need.
    pub half_open_max: usize,
    /// Whether a ClientHello from where we are opening a session ourselves ends that attempt. Where
    /// both sides may begin, one of them has to give way: if none did, or both, neither handshake
    /// would end.
    pub gives_way: bool,
}

/// One session that we open.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Who we are.
    pub credentials: ClientCredentials,
    /// The server's host name, sent as SNI; never an IP literal (RFC 6066 §3).
    pub server_name: Option<String>,
    /// Whether to ask for Connection IDs.
    pub connection_id: CidOffer,
    /// A session to resume; a server that does not know it gets a full handshake.
    pub resume: Option<ResumptionState>,
    /// Ask the server for small records (RFC 6066 §4).
    pub max_fragment_length: Option<MaxFragmentLength>,
    /// Instead of the machine's first retransmission time.
    pub retransmit_first: Option<Duration>,
}

/// Who a client is.
#[derive(Clone, Debug)]
pub enum ClientCredentials {
    /// A pre-shared key and its name.
    Psk {
        /// Sent in clear; at most 65535 bytes.
        identity: Vec<u8>,
        /// Up to 64 bytes are customary.
        key: Secret,
    },
    /// A key pair, shown as certificate or bare.
    Signature {
        /// What we show and sign with.
        credential: Credential,
        /// How we show ourselves.
        present: CertificateType,
        /// What the server may show, in order of preference.
        accept: Vec<CertificateType>,
    },
}

/// What a client asks of RFC 9146.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CidOffer {
    /// No extension.
    Not,
    /// We shall use the server's Connection ID and need none ourselves: right for a device
    /// with one server per socket.
    SendOnly,
    /// Both sides use one.
    Both,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            suites: CipherSuite::DEFAULT.to_vec(),
            server: None,
            cid_prefix: Vec::new(),
            // Fits the minimum MTU of IPv6 with its headers and 20 bytes to spare.
            datagram_max: 1212,
            retransmit_first: Duration::from_secs(1),
            // 1 + 2 + 4 + 8 + 16 + 32 seconds: about a minute in all.
            retransmit_count_max: 5,
            need_timeout: Duration::from_secs(10),
            require_extended_master_secret: false,
            encrypt_then_mac: true,
            record_size_limit: None,
            handshakes_max: 10_000,
            sessions_max: 2_000_000,
            handshake_burst: 2_000,
            handshakes_per_second: 200,
            reserve_window: 1024,
        }
    }
}

impl Default for ServerSettings {
    fn default() -> ServerSettings {
        ServerSettings {
            credential: None,
            named_credentials: Vec::new(),
            client_certificate_types: [CertificateType::RawPublicKey, CertificateType::X509]
                .to_vec(),
            connection_id: true,
            resumption: true,
            resumption_lifetime: Duration::from_secs(24 * 3600),
            resumption_cache_max: 10_000,
            half_open_max: usize::MAX,
            gives_way: true,
        }
    }
}

impl ServerSettings {
    /// The credential for a client that asked for this name.
    pub(crate) fn credential_for(&self, server_name: Option<&str>) -> Option<&Credential> {
        let named = server_name.and_then(|name| {
            let mut entries = self.named_credentials.iter();
            entries
                .find(|entry| entry.0.eq_ignore_ascii_case(name))
                .map(|entry| &entry.1)
        });
        named.or(self.credential.as_ref())
    }
}

impl ClientSettings {
    /// With a pre-shared key, offering to use the server's Connection ID.
    pub fn psk(identity: &[u8], key: &[u8]) -> ClientSettings {
        let credentials = ClientCredentials::Psk {
            identity: identity.to_vec(),
            key: Secret::from(key),
        };
        ClientSettings::new(credentials)
    }

    /// With these credentials, offering to use the server's Connection ID.
    pub fn new(credentials: ClientCredentials) -> ClientSettings {
        ClientSettings {
            credentials,
            server_name: None,
            connection_id: CidOffer::SendOnly,
            resume: None,
            max_fragment_length: None,
            retransmit_first: None,
        }
    }
}
