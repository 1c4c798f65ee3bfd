//! Fuzzes `drivers::redact`; see there for what is promised.
#![no_main]

#[path = "../drivers.rs"]
#[allow(dead_code, reason = "each target uses its own driver")]
mod drivers;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drivers::redact(bytes));
