//! Exactly one agent per spool, and no event lost between one that ends and one that begins.
//!
//! | file         | meaning |
//! |--------------|---------|
//! | `agent.lock` | held (flock) by the agent for as long as it lives |
//! | `next.lock`  | held by the one newcomer that waits for `agent.lock` |
//! | `agent.json` | there: whoever writes an event now can rely on this agent to see it |
//!
//! An agent removes `agent.json`, looks into `new/` once more, and only then lets go of the lock. A
//! shell writes its event first and looks for `agent.json` afterwards: either it still finds it, then
//! the last look comes later and sees the event, or it starts a newcomer, which waits for the lock.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::process::ProcessId;
use crate::spool::{Spool, remove};

/// How long a newcomer waits for an agent that says it is ending. Longer than any delivery takes
/// that it may still be in the middle of.
const WAIT: Duration = Duration::from_secs(60);
/// How often it looks. Only one newcomer waits at a time.
const LOOK: Duration = Duration::from_millis(10);

/// The agent that can be relied upon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Presence {
    /// The agent's process.
    pub(crate) process: ProcessId,
    /// Its version.
    pub(crate) version: String,
    /// When it last said so, milliseconds since 1970: what was alive then is known to have been.
    pub(crate) seen_ms: u64,
    /// Whether a service manager keeps it: then no other agent takes its place.
    #[serde(default)]
    pub(crate) stays: bool,
}

impl Presence {
    /// The agent as it last announced itself, whether it still lives or not.
    pub(crate) fn last(spool: &Spool) -> Option<Self> {
        Spool::read_json(&path(spool)).ok().flatten()
    }

    /// The agent that can be relied upon, if there is one.
    pub(crate) fn current(spool: &Spool) -> Option<Self> {
        Self::last(spool).filter(|presence| presence.process.is_alive())
    }

    /// Sends that agent a signal.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = i32::try_from(self.process.pid).ok().and_then(Pid::from_raw);
        pid.map_or(Ok(()), |pid| Ok(kill_process(pid, signal)?))
    }

    /// Announces this process as the agent, or that it is still there.
    pub(crate) fn announce(spool: &Spool, now_ms: u64, stays: bool) -> io::Result<()> {
        let presence = Self {
            process: ProcessId::of(std::process::id()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seen_ms: now_ms,
            stays,
        };
        spool.replace_json(&path(spool), &presence)
    }

    /// Tells everyone not to rely on this agent any more.
    pub(crate) fn withdraw(spool: &Spool) -> io::Result<()> {
        remove(&path(spool))
    }
}

fn path(spool: &Spool) -> std::path::PathBuf {
    spool.root().join("agent.json")
}

/// Becomes the agent: the lock, held until it is dropped. `None` when another one sees to it.
pub(crate) fn acquire(spool: &Spool) -> io::Result<Option<File>> {
    let deadline = Instant::now() + WAIT;
    loop {
        let Some(next) = try_lock(spool, "next.lock")? else { return Ok(None) };
        loop {
            if let Some(lock) = try_lock(spool, "agent.lock")? {
                return Ok(Some(lock));
            }
            if Presence::current(spool).is_some() {
                break;
            }
            if Instant::now() > deadline {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the other agent does not end"));
            }
            std::thread::sleep(LOOK);
        }
        drop(next);
        // Whoever was turned away by our hold of `next.lock` relies on this second look.
        if Presence::current(spool).is_some() {
            return Ok(None);
        }
    }
}

fn try_lock(spool: &Spool, name: &str) -> io::Result<Option<File>> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(spool.root().join(name))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use super::*;

    #[test]
    fn a_newcomer_leaves_when_an_agent_can_be_relied_upon() {
        let home = tempfile::tempdir().unwrap();
        let spool = Spool::open(home.path()).unwrap();
        let held = acquire(&spool).unwrap().unwrap();
        Presence::announce(&spool, 1, false).unwrap();
        assert!(acquire(&spool).unwrap().is_none());
        drop(held);
    }

    #[test]
    fn a_newcomer_waits_for_an_agent_that_is_ending() {
        let home = tempfile::tempdir().unwrap();
        let spool = Spool::open(home.path()).unwrap();
        let held = acquire(&spool).unwrap().unwrap();
        let other = spool.clone();
        let newcomer = std::thread::spawn(move || acquire(&other).unwrap().is_some());
        while try_lock(&spool, "next.lock").unwrap().is_some() {
            std::thread::yield_now();
        }
        // One newcomer is enough: a second one goes at once.
        assert!(acquire(&spool).unwrap().is_none());
        drop(held);
        assert!(newcomer.join().unwrap());
    }

    #[test]
    fn the_presence_of_a_dead_agent_is_not_relied_upon() {
        let home = tempfile::tempdir().unwrap();
        let spool = Spool::open(home.path()).unwrap();
        Presence::announce(&spool, 1, false).unwrap();
        assert!(Presence::current(&spool).is_some());
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let process = ProcessId::of(child.id());
        child.wait().unwrap();
        let dead = Presence { process, version: "0".to_owned(), seen_ms: 1, stays: false };
        spool.replace_json(&path(&spool), &dead).unwrap();
        assert!(Presence::current(&spool).is_none());
        assert!(acquire(&spool).unwrap().is_some());
    }
}
