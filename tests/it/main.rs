//! What shelltrack promises, shown with the real binary: one module per promise.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test ends when something is wrong"
)]

mod address_space;
mod agent;
mod bad_options;
mod blame;
mod breakers;
mod clients;
mod crash_points;
mod database;
mod dead_letters;
mod ends;
mod fuzz_corpus;
mod guarded;
mod hostile_component;
mod interop;
mod kills;
mod layers;
mod load;
mod logs;
mod metrics;
mod namespaces;
mod outage;
mod permissions;
mod plugin;
mod rate_limit;
mod redact;
mod redact_keys;
mod refusals;
mod run;
mod services;
mod sessions;
mod small_things;
mod spool;
mod start_end;
mod status_fields;
mod terminal;
mod transports;
mod workspace;
