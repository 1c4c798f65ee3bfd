//! Why a call or a load gave no result, and how wasmtime's errors become that.
//!
//! A component chooses the names of its functions, imports and exports: those are made harmless here
//! before they stand in an error that ends up on a terminal or in a log.

use std::fmt;

use crate::limits::{FOREIGN_TEXT_CHARS_MAX, FRAMES_MAX};
use crate::types::Violation;

/// Why a call into the component gave no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The component used up its time.
    #[error("the component ran longer than {limit_ms} ms")]
    Timeout {
        /// The limit.
        limit_ms: u64,
    },
    /// The component asked for more memory than it may have.
    #[error("the component asked for {asked_bytes} bytes of memory; the limit is {limit_bytes}")]
    Memory {
        /// What it would have had.
        asked_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// The component trapped, or broke the rules by which values are passed.
    #[error("the component trapped: {reason}")]
    Trap {
        /// wasmtime's word for it.
        reason: String,
        /// Innermost first, names demangled.
        frames: Vec<String>,
    },
    /// The component has another contract.
    #[error("the component speaks {found}; this program needs {expected}")]
    VersionSkew {
        /// Interface and version we need.
        expected: String,
        /// What it exports instead.
        found: String,
    },
    /// The component wants more of its host than there is.
    #[error("the component imports too much: expected nothing but {expected}; found {found}")]
    Imports {
        /// All that it may import.
        expected: String,
        /// What it imports beyond that.
        found: String,
    },
    /// The component could not be loaded.
    #[error("the component cannot be loaded: {0}")]
    Load(String),
    /// What went in or came out is larger than the cap of the host.
    #[error("the {what} has {bytes} bytes; the limit is {limit_bytes}")]
    TooLarge {
        /// What was too large: `input` or `output`.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// The component refused the input: every broken rule.
    #[error("rejected: {}", .0.iter().map(told).collect::<Vec<_>>().join("; "))]
    Rejected(Vec<Violation>),
}

/// Raised inside a call by the host itself, and found again in wasmtime's error by its type.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stopped {
    /// By the ticker's callback.
    Timeout { limit_ms: u64 },
    /// By the limiter.
    Memory { asked_bytes: usize, limit_bytes: usize },
}

impl fmt::Display for Stopped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        Error::from(*self).fmt(formatter)
    }
}

impl std::error::Error for Stopped {}

impl From<Stopped> for Error {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Timeout { limit_ms } => Self::Timeout { limit_ms },
            Stopped::Memory { asked_bytes, limit_bytes } => {
                Self::Memory { asked_bytes: asked_bytes as u64, limit_bytes: limit_bytes as u64 }
            }
        }
    }
}

impl Error {
    /// Of an error while the component ran, its start functions included.
    pub(crate) fn of_call(error: &wasmtime::Error) -> Self {
        if let Some(stopped) = error.downcast_ref::<Stopped>() {
            return (*stopped).into();
        }
        let reason = match error.downcast_ref::<wasmtime::Trap>() {
            Some(trap) => trap.to_string(),
            None => harmless(&error.root_cause().to_string()),
        };
        let frames = error.downcast_ref::<wasmtime::WasmBacktrace>().map(frames).unwrap_or_default();
        Self::Trap { reason, frames }
    }

    /// Of an error before anything of the component ran.
    pub(crate) fn of_load(error: &wasmtime::Error) -> Self {
        Self::load(format!("{error:#}"))
    }

    /// With a text that the component may have had a hand in.
    pub(crate) fn load(text: impl AsRef<str>) -> Self {
        Self::Load(harmless(text.as_ref()))
    }
}

fn frames(backtrace: &wasmtime::WasmBacktrace) -> Vec<String> {
    let name = |frame: &wasmtime::FrameInfo| match frame.func_name() {
        Some(name) => harmless(&format!("{:#}", rustc_demangle::demangle(name))),
        None => format!("function {}", frame.func_index()),
    };
    backtrace.frames().iter().take(FRAMES_MAX).map(name).collect()
}

/// The text without anything a terminal or a log could be led astray by, and not endless.
pub(crate) fn harmless(text: &str) -> String {
    // Letters by their category, and seen by nobody.
    let is_filler = |c: char| matches!(c, '\u{115F}' | '\u{1160}' | '\u{3164}' | '\u{FFA0}');
    let is_visible = |c: char| (c.is_alphanumeric() && !is_filler(c)) || c.is_ascii_graphic() || c == ' ';
    let visible = |c: char| if is_visible(c) { c } else { '?' };
    text.chars().take(FOREIGN_TEXT_CHARS_MAX).map(visible).collect()
}

/// Field and rule; what is wrong with the whole has no field.
fn told(violation: &Violation) -> String {
    match violation.field.as_str() {
        "" => violation.message.clone(),
        field => format!("{field}: {}", violation.message),
    }
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn what_a_component_says_holds_nothing_that_steers_reorders_or_hides() {
        let said = "must be\u{1B}[31m \u{202E}x\u{200B}\u{2028}\u{115F}\u{3164}\u{FFA0}\u{E0041}\u{FE0F}\u{E000} é 中";
        assert_eq!(harmless(said), "must be?[31m ?x???????? é 中");
    }
}
