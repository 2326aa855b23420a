//! One guided target, chosen by `DUNLIN_FUZZ=NAME`: libFuzzer mutates by what it covers.
#![no_main]

use std::sync::OnceLock;

use dunlin_fuzz::{Target, target};
use libfuzzer_sys::fuzz_target;

static CHOSEN: OnceLock<Target> = OnceLock::new();

fuzz_target!(|bytes: &[u8]| {
    let chosen = CHOSEN.get_or_init(|| {
        let name = std::env::var("DUNLIN_FUZZ").unwrap_or_default();
        target(&name).expect("DUNLIN_FUZZ names a target of fuzz/src/lib.rs")
    });
    chosen(bytes);
});
