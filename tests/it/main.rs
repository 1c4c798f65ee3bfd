//! What shelltrack promises, shown with the real binary: one module per promise.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test ends when something is wrong"
)]

mod bad_options;
mod database;
mod fuzz_corpus;
mod guarded;
mod hostile_component;
mod interop;
mod layers;
mod outage;
mod refusals;
mod run;
mod sessions;
mod start_end;
mod terminal;
mod transports;
mod workspace;
