//! Every fuzz target, in one table: a name and a function that asserts a property of any bytes.
//!
//! Decode after encode is the identity, output is bounded, nothing panics; each function says which.
//! `cargo run -p dunlin-fuzz --bin fuzz-short` mutates the seeds on any toolchain; `fuzz-guided`
//! does it guided by coverage.

/// A target takes any bytes and panics when its property does not hold.
pub type Target = fn(&[u8]);

/// All targets. A parser that is added has a row here and seeds in `corpus/NAME`.
pub const TARGETS: &[(&str, Target)] = &[
    ("coap_message", dunlin_coap::fuzz::decode_message),
    ("coap_options", dunlin_coap::fuzz::decode_options),
    ("coap_endpoint", dunlin_coap::fuzz::run_endpoint),
    ("lwm2m_tlv", dunlin_lwm2m::fuzz::tlv),
    ("lwm2m_json", dunlin_lwm2m::fuzz::json),
    ("lwm2m_text", dunlin_lwm2m::fuzz::text),
    ("lwm2m_link", dunlin_lwm2m::fuzz::link),
    ("lwm2m_ddf", dunlin_lwm2m::fuzz::ddf),
    ("lwm2m_attributes", dunlin_lwm2m::fuzz::attributes),
    ("client_state", dunlin_client::fuzz::state),
    ("client_receive", dunlin_client::fuzz::receive),
    ("client_smartcard", dunlin_client::fuzz::smartcard),
    ("store_segment", dunlin_store::fuzz::walk_segment),
    ("store_record", dunlin_store::fuzz::record_body),
    ("store_position", dunlin_store::fuzz::parse_position),
    ("api_resource", dunlin_api::fuzz::write_resource),
    ("api_instance", dunlin_api::fuzz::write_instance),
    ("api_query", dunlin_api::fuzz::query),
    ("api_position", dunlin_api::fuzz::position),
    ("server_receive", dunlin_server::fuzz::receive),
    ("server_bootstrap", dunlin_server::fuzz::bootstrap),
    ("dtls_record", dunlin_dtls::fuzz::record),
    ("dtls_message", dunlin_dtls::fuzz::message),
    ("dtls_import", dunlin_dtls::fuzz::import),
    ("dtls_handshake_server", dunlin_dtls::fuzz::handshake_server),
    ("dtls_handshake_client", dunlin_dtls::fuzz::handshake_client),
];

/// The target of that name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, target)| *target)
}
