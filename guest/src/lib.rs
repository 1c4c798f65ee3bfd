//! The shelltrack component: untrusted shell context in, clean validated events out.
//!
//! The logic is pure: time, ids and entropy are arguments, nothing is read or written. Only
//! `host` touches the two WASI imports. The crate builds natively as well, so that property
//! tests and fuzz targets call the same code that runs in the sandbox.

/// Types and export glue generated from `wit/`.
#[cfg(not(feature = "mcp-tools"))]
#[allow(warnings, clippy::all, unsafe_code)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../wit",
        world: "session-tracker",
        generate_all,
        additional_derives: [PartialEq],
        pub_export_macro: true,
        default_bindings_module: "crate::bindings",
    });
}
/// The same for the other world.
#[cfg(feature = "mcp-tools")]
#[allow(warnings, clippy::all, unsafe_code)]
mod bindings {
    wit_bindgen::generate!({
        path: "../wit",
        world: "mcp-tools",
        generate_all,
        additional_derives: [PartialEq],
        pub_export_macro: true,
        default_bindings_module: "crate::bindings",
    });
}
// The export glue that `export!` expands to in these is the generator's unsafe code, not ours.
#[cfg(all(target_family = "wasm", not(feature = "mcp-tools")))]
#[allow(unsafe_code, unreachable_pub)]
mod component;
#[cfg(target_family = "wasm")]
mod host;
#[cfg(all(target_family = "wasm", feature = "mcp-tools"))]
#[allow(unsafe_code, unreachable_pub)]
mod tools;

mod authorization;
pub mod backoff;
pub mod breaker;
#[cfg(any(test, feature = "oracles"))]
pub mod breaker_model;
#[cfg(test)]
mod breaker_properties;
#[cfg(test)]
mod breaker_tests;
mod calls;
mod commands;
mod escape;
pub mod events;
#[cfg(test)]
mod example_objects;
#[cfg(any(test, feature = "oracles"))]
pub mod examples;
mod fields;
mod json;
mod json_scan;
mod json_write;
mod keys;
pub mod limits;
mod metadata;
#[cfg(test)]
mod models_tests;
mod nfc;
#[cfg(any(test, feature = "oracles"))]
pub mod oracles;
mod pairs;
mod piped;
mod plain;
#[cfg(test)]
mod properties;
mod prose;
mod redact;
mod report;
mod rules;
#[cfg(test)]
mod rules_tests;
pub mod sanitize;
#[cfg(test)]
mod schema;
mod search;
#[cfg(test)]
mod session_life;
mod settings;
mod shapes;
mod telling;
mod time;
mod token_table;
mod tokens;
mod unicode;
mod unicode_tables;
#[cfg(test)]
mod unicode_tables_tests;
#[cfg(test)]
mod unicode_tests;
mod urls;
mod uuid;
pub mod validate;
mod values;
mod wire;
#[cfg(test)]
mod wire_tests;
mod words;

#[cfg(not(feature = "mcp-tools"))]
pub use bindings::exports::shelltrack::session::types;
#[cfg(feature = "mcp-tools")]
pub use bindings::shelltrack::session::types;
#[cfg(all(target_family = "wasm", not(feature = "mcp-tools")))]
pub use component::Standard;
