//! Fuzzes `drivers::loader`; see there for what is promised.
#![no_main]

#[path = "../drivers.rs"]
#[allow(dead_code, reason = "each target uses its own driver")]
mod drivers;
#[path = "../../../host/conformance/tests/conformance/native.rs"]
mod native;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| drivers::loader(bytes));
