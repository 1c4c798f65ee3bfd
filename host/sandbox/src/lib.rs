//! Loads the shelltrack component in wasmtime: every limit on, typed calls, typed errors.
//!
//! Knows nothing of MCP, of sessions' files or of the network. What the component may do is in
//! `limits`; how its code gets into the binary is in `build.rs`.

mod bindings {
    #![allow(missing_docs, unreachable_pub, clippy::all)]
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "session-tracker",
        imports: { default: trappable },
        additional_derives: [PartialEq],
    });
}

mod call;
mod engine;
mod error;
mod file;
mod imports;
mod limits;
mod sandbox;
mod size;
mod state;
#[cfg(feature = "testing")]
pub mod testing;
mod ticker;

pub use bindings::exports::shelltrack::session::types;
pub use error::Error;
pub use limits::Limits;
pub use sandbox::{COMPONENT, Profile, Sandbox};

impl Default for types::Policy {
    /// The built-in redaction rules and nothing more.
    fn default() -> Self {
        Self {
            hide_cwd: false,
            hide_home: false,
            hide_hostname: false,
            hide_username: false,
            secret_keys: Vec::new(),
            secret_prefixes: Vec::new(),
        }
    }
}
