//! The spelling of messages on a bearer. Datagrams (RFC 7252 §3) are spoken here.

pub mod datagram;
