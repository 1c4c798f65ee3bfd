//! What shelltrack promises, shown with the real binary: one module per promise.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test ends when something is wrong"
)]

mod agent;
mod bad_options;
mod crash_points;
mod ends;
mod fuzz_corpus;
mod hostile_component;
mod interop;
mod kills;
mod layers;
mod load;
mod outage;
mod refusals;
mod run;
mod sessions;
mod spool;
mod start_end;
mod terminal;
mod transports;
mod workspace;
