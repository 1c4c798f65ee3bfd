//! What shelltrack promises, shown with the real binary: one module per promise.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test ends when something is wrong"
)]

mod address_space;
mod bad_options;
mod fuzz_corpus;
mod hostile_component;
mod interop;
mod layers;
mod outage;
mod plugin;
mod redact;
mod refusals;
mod run;
mod sessions;
mod start_end;
mod terminal;
mod transports;
mod workspace;
