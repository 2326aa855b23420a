//! A device without an operating system would look like this: an allocator, a panic handler, and
//! machines that are fed by hand. It registers with nobody, and looks at what would be sent.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use core::alloc::{GlobalAlloc, Layout};
use core::ffi::{c_int, c_void};

use dunlin_client::{Client, Config, Factory, Now, Output};
use dunlin_lwm2m::operation::{Binding, Uplink};
use dunlin_lwm2m::{EndpointName, Registry};
use dunlin_transport::{
    Address, Config as TransportConfig, Event, Output as TransportOutput, Side, Transport,
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

/// 0 when a Server made of the same crates understands what the Client would send.
#[unsafe(no_mangle)]
extern "C" fn main(_: c_int, _: *const *const u8) -> c_int {
    c_int::from(!registers())
}

fn registers() -> bool {
    let Ok(mut factory) = Factory::new(Registry::bundled()) else { return false };
    if factory.add_server("coap://127.0.0.1", 300, Binding::U).is_err() {
        return false;
    }
    let Ok(endpoint) = EndpointName::new("no-std") else { return false };
    let mut client = Box::new(Client::new(Config::new(endpoint), factory.build(), [1; 32]));
    client.start(Now::default());
    let sent = loop {
        match client.poll_output() {
            Output::Transmit(transmit) => break transmit,
            Output::Timeout(_) => return false,
            _ => {}
        }
    };
    let side = Side::Server { strictness: dunlin_lwm2m::operation::Strictness::Strict };
    let coap = dunlin_coap::Config::default();
    let mut server = Transport::new(TransportConfig { side, coap }, [2; 32]);
    let from = Address::Udp(([127, 0, 0, 1], 40_000).into());
    server.handle_receive(Now::default(), &from, None, &sent.bytes);
    loop {
        match server.poll_output() {
            TransportOutput::Event(Event::Uplink { uplink, .. }) => {
                return matches!(*uplink, Uplink::Register(register)
                    if register.endpoint.as_str() == "no-std");
            }
            TransportOutput::Timeout(_) => return false,
            _ => {}
        }
    }
}
