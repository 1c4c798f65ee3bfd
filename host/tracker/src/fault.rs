//! Named points on every step that touches disk or wire, at which a test makes the process die or the
//! disk fail. Without the feature `crash-points` nothing of this is compiled in: the steps are there in
//! name only, and the binary that people install has no such switch.
//!
//! | variable | meaning |
//! |----------|---------|
//! | `SHELLTRACK_CRASH_AT=NAME[:NTH]` | SIGKILL to itself before the NTH such step (the first) |
//! | `SHELLTRACK_FAIL_AT=NAME[:NTH]=ERROR` | that step fails; without NTH all of them do |
//! | `SHELLTRACK_FAULT_LOG=FILE` | what was hit is appended there, a name a line |
//!
//! NAME is `part.act` or `*`; ERROR is `ENOSPC`, `EIO` or `EROFS`. A write that fails, or that the
//! process dies in, has written half of its bytes.

/// What a step is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// An event in `new/`.
    Event,
    /// What the agent knows of a session.
    Session,
    /// `agent.json`.
    Presence,
    /// How full the spool is, what version it has.
    Mark,
    /// What was last seen of a target.
    Status,
    /// A target's breaker.
    Breaker,
    /// A dead letter.
    Letter,
    /// A dead letter that is being queued again.
    Again,
    /// A dead letter that is being dropped.
    Drop,
    /// The counters.
    Counters,
    /// A person's order to a breaker.
    Order,
    /// A file that is written to see whether that can be done.
    Probe,
    /// `track_session_start` on the wire.
    Start,
    /// `track_session_end` on the wire.
    End,
}

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// The file is made in `tmp/`.
    Create,
    /// Its bytes are written, which can be torn.
    #[cfg(any(test, feature = "crash-points"))]
    Write,
    /// They are forced to disk.
    Sync,
    /// The file gets its name.
    Rename,
    /// The name is forced to disk.
    SyncDirectory,
    /// The file is removed.
    Remove,
    /// A dead letter is taken out of everybody's way.
    Take,
    /// What was a dead letter becomes an event that waits.
    Queue,
    /// A request goes out.
    Send,
    /// The answer is here.
    Answered,
}

#[cfg(not(any(test, feature = "crash-points")))]
mod off {
    use std::fs::File;
    use std::io::{self, Write};

    use super::{Act, Part};

    #[inline]
    pub(crate) fn at(_: Part, _: Act) -> io::Result<()> {
        Ok(())
    }

    #[inline]
    pub(crate) fn write_all(file: &mut File, bytes: &[u8], _: Part) -> io::Result<()> {
        file.write_all(bytes)
    }
}
#[cfg(not(any(test, feature = "crash-points")))]
pub(crate) use off::{at, write_all};

#[cfg(any(test, feature = "crash-points"))]
mod on;
#[cfg(test)]
pub(crate) use on::{Plan, hits, inject};
#[cfg(any(test, feature = "crash-points"))]
pub(crate) use on::{at, write_all};
#[cfg(any(test, feature = "crash-points"))]
pub use on::{names, names_of_letters};
