//! A device without an operating system would look like this: an allocator, a panic handler, and
//! machines that are fed by hand. It registers with nobody, and looks at what would be sent.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::ffi::{c_int, c_void};

use dunlin_client::{Client, Config, Credentials, Factory, Now, Output, Port};
use dunlin_dtls::{ServerSettings, Settings};
use dunlin_lwm2m::operation::{Binding, Uplink};
use dunlin_lwm2m::{EndpointName, Registry};
use dunlin_transport::{
    Address, Config as TransportConfig, Event, Output as TransportOutput, SecurityAnswer, Side, Transport,
};

#[link(name = "c")]
unsafe extern "C" {
    fn aligned_alloc(align: usize, size: usize) -> *mut c_void;
    fn free(pointer: *mut c_void);
    fn abort() -> !;
}

/// The C library's allocator: the one thing this program takes from outside.
struct Allocator;

// SAFETY: aligned_alloc gives memory of the alignment asked for or null, and free takes it back.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let align = layout.align().max(size_of::<usize>());
        let size = layout.size().next_multiple_of(align);
        // SAFETY: the alignment is a power of two and the size a multiple of it.
        unsafe { aligned_alloc(align, size).cast() }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, _layout: Layout) {
        // SAFETY: it came from `alloc`.
        unsafe { free(pointer.cast()) }
    }
}

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: abort takes nothing and does not return.
    unsafe { abort() }
}

/// The precompiled `alloc` names these two, and with `panic = "abort"` nobody calls them.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    // SAFETY: abort takes nothing and does not return.
    unsafe { abort() }
}

/// 0 when a Server made of the same crates understands the Client, in the clear and over DTLS with
/// a pre-shared key.
#[unsafe(no_mangle)]
extern "C" fn main(_: c_int, _: *const *const u8) -> c_int {
    let key = Credentials::Psk { identity: b"no-std".to_vec(), key: KEY.to_vec() };
    let clear = registers("coap://127.0.0.1", &Credentials::NoSec, Port::Coap);
    let secure = registers("coaps://127.0.0.1", &key, Port::Coaps);
    c_int::from(!clear || !secure)
}

const KEY: &[u8] = b"0123456789abcdef";

fn registers(uri: &str, credentials: &Credentials, port: Port) -> bool {
    let Ok(mut factory) = Factory::new(Registry::bundled()) else { return false };
    if factory.add_secured_server(uri, credentials, 300, Binding::U).is_err() {
        return false;
    }
    let Ok(endpoint) = EndpointName::new("no-std") else { return false };
    let mut client = Box::new(Client::new(Config::new(endpoint), factory.build(), [1; 32]));
    let side = Side::Server { strictness: dunlin_lwm2m::operation::Strictness::Strict };
    let coap = dunlin_coap::Config::default();
    let server = Some(ServerSettings::default());
    let dtls = Some(Settings { server, ..Settings::default() });
    let mut server = Box::new(Transport::new(TransportConfig { side, coap, dtls }, [2; 32]));
    let (here, there) = (address(40_000), address(if port.is_secure() { 5684 } else { 5683 }));
    client.start(Now::default());
    loop {
        let mut still = true;
        while let Some(bytes) = sent(&mut client) {
            server.handle_receive(Now::default(), port, &here, None, &bytes);
            still = false;
        }
        loop {
            match server.poll_output() {
                TransportOutput::Transmit(transmit) => {
                    client.handle_receive(Now::default(), port, &there, None, &transmit.bytes);
                    still = false;
                }
                TransportOutput::Need { id, .. } => {
                    let key = SecurityAnswer::Psk(Some(KEY.into()));
                    server.handle_answer(Now::default(), id, key);
                }
                TransportOutput::Event(Event::Uplink { uplink, .. }) => {
                    return matches!(*uplink, Uplink::Register(register)
                        if register.endpoint.as_str() == "no-std");
                }
                TransportOutput::Timeout(_) => break,
                _ => {}
            }
        }
        if still {
            return false;
        }
    }
}

fn sent(client: &mut Client) -> Option<Vec<u8>> {
    loop {
        match client.poll_output() {
            Output::Transmit(transmit) => return Some(transmit.bytes),
            Output::Timeout(_) => return None,
            _ => {}
        }
    }
}

fn address(port: u16) -> Address {
    Address::Udp(([127, 0, 0, 1], port).into())
}
