//! Datagrams that break the format: a Confirmable one is reset, any other ignored (RFC 7252 §4.2, §4.3).

use crate::support::*;

#[test]
fn rfc7252_4_2_malformed_confirmable_messages_are_reset() {
    for bytes in [
        &b"\x49\x01\x12\x34123456789"[..],
        b"\x42\x01\x12\x34\x01",
        b"\x40\x01\x12\x34\xb5rd",
        b"\x40\x01\x12\x34\xf0",
        b"\x40\x01\x12\x34\xff",
        b"\x40\x00\x12\x34\x01",
        b"\x41\x00\x12\x34\x01",
        b"\x40\x21\x12\x34",
        b"\x40\xc1\x12\x34",
        b"\x40\xe1\x12\x34",
    ] {
        let mut bench = Bench::new();
        bench.receive_bytes(bytes);
        assert_eq!(bench.sent().raw, empty(RST, 0x1234), "{bytes:x?}");
        bench.silent();
        for message_type in [1, 2, 3] {
            let mut other = bytes.to_vec();
            other[0] |= message_type << 4;
            bench.receive_bytes(&other);
            bench.silent();
        }
        let drops = bench.dropped("malformed") + bench.dropped("wrong_code");
        assert_eq!(drops, 4, "{bytes:x?}");
        assert_eq!(bench.endpoint.peers(), 0);
    }
}

#[test]
fn rfc7252_3_what_is_not_coap_version_1_is_ignored() {
    let mut bench = Bench::new();
    for bytes in [
        &b""[..],
        b"\x40",
        b"\x40\x01\x00",
        b"\x00\x01\x00\x00",
        b"\xc0\x01\x00\x00",
    ] {
        bench.receive_bytes(bytes);
    }
    bench.silent();
    assert_eq!(bench.dropped("not_coap"), 5);
}

#[test]
fn types_that_do_not_go_with_their_code_are_ignored() {
    let mut bench = Bench::new();
    for bytes in [
        &b"\x60\x01\x00\x01"[..], // a request in an acknowledgement
        b"\x70\x01\x00\x01",      // a request in a Reset
        b"\x70\x45\x00\x01",      // a response in a Reset
        b"\x50\x00\x00\x01",      // an empty Non-confirmable message
    ] {
        bench.receive_bytes(bytes);
    }
    bench.silent();
    assert_eq!(bench.dropped("wrong_code"), 4);
    bench.receive(empty(ACK, 1));
    bench.receive(empty(RST, 1));
    bench.silent();
    assert_eq!(bench.dropped("unknown_acknowledgement"), 1);
    assert_eq!(bench.dropped("unknown_reset"), 1);
}
