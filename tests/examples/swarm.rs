//! `cargo run --release -p shelltrack-tests --example swarm -- N`: N real shells at once, each recorded
//! once. `SHELLTRACK_TEST_BIN` names the program; see docs/spool.md.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for the terminal")]

use shelltrack_tests::Home;
use shelltrack_tests::swarm::{UNLIMITED, swarm};

fn main() {
    let shells = std::env::args().nth(1).map_or(100, |count| count.parse().unwrap());
    println!("{:#?}", swarm(&Home::with_config(UNLIMITED), shells));
}
