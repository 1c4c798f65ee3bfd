//! A company's own component: the standard one, and two redaction rules more.
//!
//! Every text goes through the company's rules before and after the standard component has cleaned it:
//! before, so that a cut cannot leave half of a number; after, because only then what was hidden between
//! invisible characters can be seen. What the rules changed is cleaned again, until nothing changes.
//! The breaker is the standard one's.

pub mod rules;

#[cfg(target_family = "wasm")]
mod component;
