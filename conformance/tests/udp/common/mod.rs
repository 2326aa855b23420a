//! What the conversations share.

mod device;
mod peer;
mod serve;

use std::net::SocketAddr;
use std::time::Duration;

use dunlin_client::Event;
use dunlin_coap::OptionNumber;
use dunlin_lwm2m::operation::Binding;

pub(crate) use device::{Device, SAMPLER, integers};
pub(crate) use peer::{Got, Peer};
pub(crate) use serve::{Reply, Serve};

/// Long enough for a busy machine; a test that waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What a small Client registers.
pub(crate) const LINKS: &str = "</1/0>,</3/0>,</3303/0>,</33555>;ver=1.1,</33555/0>";

/// Formats by their numbers, as they stand in an option.
pub(crate) const TEXT: &[u8] = &[];
pub(crate) const LINK: &[u8] = &[40];
pub(crate) const OPAQUE: &[u8] = &[42];
pub(crate) const TLV: &[u8] = &11542_u16.to_be_bytes();
pub(crate) const JSON: &[u8] = &11543_u16.to_be_bytes();

/// The option Content-Format with one of them.
pub(crate) fn in_format(format: &[u8]) -> [(OptionNumber, &[u8]); 1] {
    [(OptionNumber::CONTENT_FORMAT, format)]
}

/// The option Accept with one of them.
pub(crate) fn accepting(format: &[u8]) -> [(OptionNumber, &[u8]); 1] {
    [(OptionNumber::ACCEPT, format)]
}

/// Our Server asks a scripted Client through REST: what the Client heard, and what REST said.
pub(crate) fn exchange(
    serve: &Serve,
    peer: &mut Peer,
    (method, path, body): (&str, &str, &str),
    line: &str,
    answer: impl FnOnce(&mut Peer, &Got),
) -> (Got, Reply) {
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| serve.ask(method, &format!("/clients/{path}"), body));
        let got = peer.hear_request(line);
        answer(peer, &got);
        (got, asked.join().expect("REST answers"))
    })
}

/// A strict Server, and a scripted Client `a` that has registered with it.
pub(crate) fn scripted_client() -> (Serve, Peer) {
    let (serve, mut peer) = (Serve::strict(), Peer::new());
    peer.register(serve.coap, "ep=a&lt=600&lwm2m=1.0");
    (serve, peer)
}

/// A scripted Server, our Client that has registered with it, and where it is.
pub(crate) fn scripted_server() -> (Peer, Device, SocketAddr) {
    let mut server = Peer::new();
    let device = Device::start("device", &[server.address()], Binding::U, |_, _| {});
    let client = server.take_register().from;
    device.wait(|event| matches!(event, Event::Registered { .. }));
    (server, device, client)
}

/// Waits until a Client has registered.
pub(crate) fn registered(device: &Device) {
    device.wait(|event| matches!(event, Event::Registered { .. }));
}

/// A strict Server, and our Client `device` that has registered with it.
pub(crate) fn both() -> (Serve, Device) {
    let serve = Serve::strict();
    let device = Device::registered("device", &[serve.coap]);
    (serve, device)
}
