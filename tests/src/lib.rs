//! The integration harness: homes, servers and fakes for tests that run the real binary.
//!
//! A test gets a [`Home`] of its own, with nothing of the machine's environment but `PATH`, and talks
//! to the program as a user does: arguments in, exit status and output out. Every wait has a bound,
//! and a home that is dropped ends what still runs in it and fails the test if something stays.
//! Nothing here knows how the program works inside; what may depend on what is asserted in `it/layers.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a harness ends the test when something is wrong, and says why a test is skipped"
)]

pub mod binary;
pub mod corpus;
pub mod exposition;
pub mod fake;
pub mod home;
pub mod postgres;
pub mod process;
pub mod record;
pub mod server;
pub mod shell;
pub mod store;
pub mod swarm;
pub mod terminal;
pub mod wait;

pub use cargo_metadata;
pub use exposition::Exposition;
pub use fake::{Answer, FakeSessionBuddy};
pub use home::Home;
pub use process::{Finished, run_bounded};
pub use record::Record;
pub use server::Server;
pub use shell::Shell;
pub use wait::{BOUND, wait_until};

/// Says that a test is skipped, and why; to be followed by `return`.
pub fn skip(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    eprintln!("SKIPPED {test}: {why}");
}
