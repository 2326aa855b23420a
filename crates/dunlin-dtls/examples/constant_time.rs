//! Opens forged CBC records of one length, again and again, for an instruction counter: whatever
//! is wrong with a record (its MAC under long or short padding, or its padding), refusing it has to
//! cost the same, or Lucky 13 is back. `interop/constant-time.sh` runs it under callgrind.
//!
//! ```text
//! constant_time long-padding|short-padding|bad-padding|no-padding COUNT
//! ```

use std::time::Duration;

use dunlin_dtls::{
    Address, Answer, CidOffer, CipherSuite, ClientSettings, Counter, Dtls, Event, Output, Secret,
    ServerSettings, SessionId, Settings,
};

const NOW: Duration = Duration::from_secs(1);
const HEADER: usize = 13;
const BLOCK: usize = 16;

fn main() {
    let mut words = std::env::args().skip(1);
    let (Some(kind), Some(count)) = (words.next(), words.next()) else {
        eprintln!("constant_time KIND COUNT");
        return;
    };
    let count: u64 = count.parse().expect("a number");
    let (mut client, mut server, session) = connected();
    // Both fill the same number of blocks of AES, one with 16 bytes of padding, one with a single;
    // but of SHA-256 the longer content needs one block more.
    let length = if kind == "short-padding" { 47 } else { 32 };
    client
        .send(NOW, session, &vec![b'x'; length], 0)
        .expect("a session");
    let mut record = said(&mut client).0.pop().expect("a record");
    let end = record.len();
    match kind.as_str() {
        // In the first block: the MAC is wrong, the padding is not.
        "long-padding" | "short-padding" => record[HEADER + BLOCK] ^= 1,
        // In the last but one: what it turns in the last is the padding.
        "bad-padding" => record[end - BLOCK - 2] ^= 1,
        // The length of the padding becomes 255, more than there is.
        "no-padding" => record[end - BLOCK - 1] ^= 15 ^ 255,
        _ => panic!("unknown kind {kind}"),
    }
    for _ in 0..count {
        server.handle_receive(NOW, address(1), &record);
    }
    assert_eq!(server.stats().value(Counter::NotAuthentic), count);
}

fn connected() -> (Dtls, Dtls, SessionId) {
    let suites = vec![CipherSuite::PskAes128Cbc];
    let settings = Settings {
        suites,
        encrypt_then_mac: false,
        ..Settings::default()
    };
    let of_server = Settings {
        server: Some(ServerSettings::default()),
        ..settings.clone()
    };
    let (mut client, mut server) = (Dtls::new(settings, [1; 32]), Dtls::new(of_server, [2; 32]));
    let asked = ClientSettings {
        connection_id: CidOffer::Not,
        ..ClientSettings::psk(b"d", b"key")
    };
    client
        .connect(NOW, address(2), asked)
        .expect("nothing else is under way");
    let mut session = None;
    while session.is_none() {
        let (up, _) = said(&mut client);
        up.iter()
            .for_each(|bytes| server.handle_receive(NOW, address(1), bytes));
        let (down, _) = said(&mut server);
        down.iter()
            .for_each(|bytes| client.handle_receive(NOW, address(2), bytes));
        let (up, connected) = said(&mut client);
        up.iter()
            .for_each(|bytes| server.handle_receive(NOW, address(1), bytes));
        session = connected;
    }
    (client, server, session.expect("connected"))
}

/// All that a machine has to say, its questions answered.
fn said(dtls: &mut Dtls) -> (Vec<Vec<u8>>, Option<SessionId>) {
    let (mut datagrams, mut session) = (Vec::new(), None);
    loop {
        match dtls.poll_output() {
            Output::Transmit(transmit) => datagrams.push(transmit.bytes),
            Output::Need(need) => {
                dtls.handle_answer(NOW, need.id, Answer::Psk(Some(Secret::from(&b"key"[..]))));
            }
            Output::Event(Event::Connected(connected)) => session = Some(connected.session),
            Output::Timeout(_) => return (datagrams, session),
            _ => {}
        }
    }
}

fn address(number: u8) -> Address {
    Address::other([number; 16], 5684)
}
