//! What can go wrong on the shell's side.

use std::path::PathBuf;

use shelltrack_sandbox::types::Violation;

/// Why an event was not accepted. The shell goes on in every case.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What the caller passed breaks rules.
    #[error("{}", .0.iter().map(|v| format!("{}: {}", v.field, v.message)).collect::<Vec<_>>().join("; "))]
    Rejected(Vec<Violation>),
    /// The component failed; nothing it did not clean is stored.
    #[error("the component failed: {0}")]
    Sandbox(shelltrack_sandbox::Error),
    /// No session of that key is open here.
    #[error("no open session has the key {0}")]
    UnknownSession(String),
    /// No dead letter belongs to a session of that key.
    #[error("no dead letter belongs to a session with the key {0}")]
    NoDeadLetter(String),
    /// Sessions begin faster than they may: this one is not recorded, others are.
    #[error(
        "not recorded: more than {burst} sessions began at once, or {per_second} a second; \
         [limits] in the configuration says how many may"
    )]
    TooManyStarts {
        /// So many may begin at once.
        burst: u32,
        /// So many a second in the long run.
        per_second: u32,
    },
    /// The spool is full: a new start is refused, the ends of accepted ones are not.
    #[error("the spool is full ({events} events, {bytes} bytes); see `shelltrack status`")]
    SpoolFull {
        /// Events waiting.
        events: u64,
        /// Bytes waiting.
        bytes: u64,
    },
    /// The spool cannot be used as it is.
    #[error("{path}: {reason}")]
    Spool {
        /// Where.
        path: PathBuf,
        /// Why, and what would be right.
        reason: String,
    },
}
