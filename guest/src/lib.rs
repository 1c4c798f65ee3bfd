//! The shelltrack component: untrusted shell context in, clean validated events out.
//!
//! The logic is pure: time, ids and entropy are arguments, nothing is read or written. Only
//! `component` touches the two WASI imports. The crate builds natively as well, so that property
//! tests and fuzz targets call the same code that runs in the sandbox.

/// Types and export glue generated from `wit/`.
#[allow(warnings, clippy::all, unsafe_code)]
mod bindings {
    wit_bindgen::generate!({
        path: "../wit",
        world: "session-tracker",
        generate_all,
        additional_derives: [PartialEq],
        pub_export_macro: true,
        default_bindings_module: "crate::bindings",
    });
}
// The export glue that `export!` expands to here is the generator's unsafe code, not ours.
#[cfg(target_family = "wasm")]
#[allow(unsafe_code, unreachable_pub)]
mod component;

pub mod backoff;
pub mod breaker;
#[cfg(any(test, feature = "oracles"))]
pub mod breaker_model;
#[cfg(test)]
mod breaker_properties;
#[cfg(test)]
mod breaker_tests;
mod escape;
pub mod events;
#[cfg(any(test, feature = "oracles"))]
pub mod examples;
mod fields;
mod json;
mod json_scan;
mod json_write;
pub mod limits;
mod metadata;
mod nfc;
#[cfg(any(test, feature = "oracles"))]
pub mod oracles;
mod pairs;
#[cfg(test)]
mod properties;
mod redact;
mod report;
mod rules;
#[cfg(test)]
mod rules_tests;
pub mod sanitize;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod session_life;
mod shapes;
mod telling;
mod time;
mod tokens;
mod unicode;
mod unicode_tables;
#[cfg(test)]
mod unicode_tables_tests;
#[cfg(test)]
mod unicode_tests;
mod urls;
pub mod validate;
mod wire;
#[cfg(test)]
mod wire_tests;

pub use bindings::exports::shelltrack::session::types;
