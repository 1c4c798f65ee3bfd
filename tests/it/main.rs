//! What shelltrack promises, shown with the real binary: one module per promise.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test ends when something is wrong"
)]

mod bad_options;
mod breakers;
mod database;
mod dead_letters;
mod fuzz_corpus;
mod guarded;
mod hostile_component;
mod interop;
mod layers;
mod logs;
mod metrics;
mod outage;
mod rate_limit;
mod refusals;
mod run;
mod services;
mod sessions;
mod small_things;
mod start_end;
mod status_fields;
mod terminal;
mod transports;
mod workspace;
