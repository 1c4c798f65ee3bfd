//! The emitting side: what a shell says becomes a durable file, and an agent delivers it.
//!
//! A shell's process only ever calls [`Tracker`]: build the event in the sandbox, write one file,
//! make sure that an agent runs. Everything that can wait, fail or block is in [`agent`].
//! This crate knows nothing of the server's store; the embedded server comes in as a transport.

pub mod agent;
mod beside;
mod clock;
mod dead_letters;
mod error;
#[cfg(any(test, feature = "crash-points"))]
pub mod fault;
#[cfg(not(any(test, feature = "crash-points")))]
mod fault;
mod flush;
mod history;
mod local;
pub mod metrics;
mod orders;
mod process;
mod rate;
pub mod session_buddy;
mod spool;
mod status;
mod surroundings;
mod target;
mod tracker;
mod tuning;

pub use agent::AgentCommand;
pub use beside::Unserved;
pub use dead_letters::DeadLetter;
pub use error::Error;
pub use flush::{FlushReport, Waiting};
pub use local::LocalSession;
pub use orders::BreakerOrder;
pub use spool::{Refusal, spool_in};
pub use status::{Status, TargetStatus};
pub use surroundings::surroundings;
pub use target::Target;
pub use tracker::{Config, EndedAt, Session, ShellEnd, Tracker};
pub use tuning::{DeadLetterLimits, StartLimit, Tuning};
