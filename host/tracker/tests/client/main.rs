//! The Session-Buddy client against servers that behave, misbehave and die, over each transport.
//! The real Python server has a test of its own, `interop`.

#![allow(clippy::unwrap_used, reason = "tests may stop at once")]

mod child;
mod fake;
mod http;
mod stream;
