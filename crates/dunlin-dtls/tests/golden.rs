//! Every byte of a handshake under a Connection ID, from fixed seeds: a change on the wire is a
//! change to this file, and to be meant. `DUNLIN_BLESS=1` writes it anew. Signatures are random,
//! so there is no such file for certificates.

mod common;

use std::fmt::Write;
use std::time::Duration;

use common::*;
use dunlin_dtls::*;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/psk_ccm8_cid.txt");

#[test]
fn psk_ccm8_with_a_connection_id_byte_for_byte() {
    let mut of_server = settings(&[CipherSuite::PskAes128Ccm8], Some(server()));
    of_server.cid_prefix = vec![0xd0, 0x11, 0x07];
    let of_client = settings(&[CipherSuite::PskAes128Ccm8], None);
    let mut world = World::new(of_client, of_server, 1);
    let named = ClientSettings {
        server_name: Some("lwm2m.example".to_string()),
        ..psk_client()
    };
    let (client, server) = world.connected(named);
    world.client.dtls.send(world.now, client, b"up", 0).unwrap();
    world.run(Duration::from_secs(1));
    world
        .server
        .dtls
        .send(world.now, server, b"down", 0)
        .unwrap();
    world.client.dtls.close(world.now, client, 0).unwrap();
    world.settle();
    let mut text = String::new();
    for letter in &world.sent {
        let to_server = letter.to == server_address();
        text.push_str(if to_server { "client:" } else { "server:" });
        for (at, byte) in letter.bytes.iter().enumerate() {
            let space = if at % 32 == 0 { "\n  " } else { "" };
            write!(text, "{space}{byte:02x}").unwrap();
        }
        text.push('\n');
    }
    if std::env::var_os("DUNLIN_BLESS").is_some() {
        std::fs::write(FILE, &text).unwrap();
    }
    let golden = std::fs::read_to_string(FILE).unwrap_or_default();
    assert!(
        text == golden,
        "the bytes on the wire have changed:\n{text}"
    );
}
