//! Exactly one agent per spool, and no event lost between one that ends and one that begins.
//!
//! | file         | meaning |
//! |--------------|---------|
//! | `agent.lock` | held (flock) by the agent for as long as it lives |
//! | `next.lock`  | held by the one newcomer that waits for `agent.lock` |
//! | `agent.json` | there: whoever writes an event now can rely on this agent to see it |
//! | `agent.last.json` | written by an agent that left while sessions were open: when that was |
//!
//! An agent removes `agent.json`, looks into `new/` once more, and only then lets go of the lock. A
//! shell writes its event first and looks for `agent.json` afterwards: either it still finds it, then
//! the last look comes later and sees the event, or it starts a newcomer, which waits for the lock.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::Presence;
use crate::spool::{NONBLOCK, Spool};

/// Held by the agent.
const AGENT: &str = "agent.lock";
/// Held by the newcomer that waits.
const NEXT: &str = "next.lock";
/// How long a newcomer waits for an agent that says it is ending. Longer than any delivery takes
/// that it may still be in the middle of.
const WAIT: Duration = Duration::from_secs(60);
/// How often it looks. Only one newcomer waits at a time.
const LOOK: Duration = Duration::from_millis(10);
/// How long `next.lock` may be held by nobody who waits: by a visitor that looks whether anybody does, and by what
/// it starts just then, which has its descriptors until it is another program.
const PASSING: Duration = Duration::from_millis(200);

/// Becomes the agent: the lock, held until it is dropped. `None` when another one sees to it. A newcomer
/// that `stays` takes the place of one that started itself, and fails when another one stays already.
pub(super) fn acquire(spool: &Spool, stays: bool) -> io::Result<Option<File>> {
    let begun = Instant::now();
    let deadline = begun + WAIT;
    loop {
        match try_lock(spool, NEXT)? {
            Some(_next) => {
                if let Some(lock) = await_place(spool, stays, deadline)? {
                    return Ok(Some(lock));
                }
            }
            None if stays || begun.elapsed() < PASSING => look_again(deadline)?,
            None => return Ok(None),
        }
        // Whoever was turned away by our hold of `next.lock` relies on this second look.
        match Presence::current(spool).filter(|agent| !agent.gives_way(stays)) {
            Some(agent) if stays => {
                let pid = agent.process.pid;
                return Err(io::Error::other(format!("an agent that stays serves it already, pid {pid}")));
            }
            Some(_) => return Ok(None),
            None => {}
        }
    }
}

/// Waits for the lock while `next.lock` is held. `None` when an agent has it that does not give way.
fn await_place(spool: &Spool, stays: bool, deadline: Instant) -> io::Result<Option<File>> {
    let mut asked = None;
    loop {
        if let Some(lock) = try_lock(spool, AGENT)? {
            return Ok(Some(lock));
        }
        if let Some(agent) = Presence::current(spool) {
            if !agent.gives_way(stays) {
                return Ok(None);
            }
            let pid = agent.process.pid;
            if asked.replace(pid) != Some(pid) {
                tracing::info!(pid, version = agent.version, "is asked to leave");
                agent.send(Signal::TERM)?;
            }
        }
        look_again(deadline)?;
    }
}

/// The lock an agent holds, to be found again: a spool may be removed and made anew under its feet, and then
/// the agent that holds the lock of the old one is nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    path: PathBuf,
    file: (u64, u64),
}

impl Place {
    /// Of the lock that is held.
    pub(super) fn of(spool: &Spool, lock: &File) -> io::Result<Self> {
        Ok(Self { path: lock_path(spool, AGENT), file: identity(&lock.metadata()?) })
    }

    /// Whether newcomers find the lock that is held. Where that cannot be told it is so.
    pub(super) fn is_held(&self) -> bool {
        match fs::metadata(&self.path) {
            Ok(found) => identity(&found) == self.file,
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }
}

fn identity(file: &fs::Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// Sleeps until it is time for another look.
fn look_again(deadline: Instant) -> io::Result<()> {
    if Instant::now() > deadline {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "the other agent does not end"));
    }
    std::thread::sleep(LOOK);
    Ok(())
}

/// Takes the agent's place if it is free, and waits for nothing.
pub(super) fn try_agent(spool: &Spool) -> io::Result<Option<File>> {
    try_lock(spool, AGENT)
}

/// Whether an agent holds its place, also one that could not announce itself. Makes nothing, so that a spool can
/// be looked at that is nobody's or cannot be written.
pub(crate) fn is_held(spool: &Spool) -> bool {
    let lock = OpenOptions::new().read(true).custom_flags(NONBLOCK).open(lock_path(spool, AGENT));
    lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Whether a newcomer waits for the agent's place.
pub(super) fn is_awaited(spool: &Spool) -> io::Result<bool> {
    Ok(try_lock(spool, NEXT)?.is_none())
}

fn lock_path(spool: &Spool, name: &str) -> PathBuf {
    spool.root().join(name)
}

pub(super) fn try_lock(spool: &Spool, name: &str) -> io::Result<Option<File>> {
    let path = lock_path(spool, name);
    let open = || {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(NONBLOCK)
            .open(&path)
    };
    let file = open().or_else(|error| match error.kind() {
        // Somebody took the permissions away: it is ours, and without it nothing is ever delivered.
        io::ErrorKind::PermissionDenied => {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).and_then(|()| open())
        }
        _ => Err(error),
    })?;
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
        let held = acquire(&spool, false).unwrap().unwrap();
        Presence::announce(&spool, 1, false).unwrap();
        assert!(acquire(&spool, false).unwrap().is_none());
        drop(held);
    }

    #[test]
    fn a_newcomer_waits_for_an_agent_that_is_ending() {
        let home = tempfile::tempdir().unwrap();
        let spool = Spool::open(home.path()).unwrap();
        let held = acquire(&spool, false).unwrap().unwrap();
        std::thread::scope(|scope| {
            let next = next(&spool);
            let newcomer = scope.spawn(|| await_place(&spool, false, Instant::now() + WAIT).unwrap());
            // One newcomer is enough: a second one leaves.
            assert!(acquire(&spool, false).unwrap().is_none());
            assert!(!newcomer.is_finished());
            drop(held);
            assert!(newcomer.join().unwrap().is_some());
            drop(next);
        });
    }

    #[test]
    fn a_newcomer_is_not_turned_away_by_one_who_only_looks_whether_anybody_waits() {
        let home = tempfile::tempdir().unwrap();
        let spool = Spool::open(home.path()).unwrap();
        let looks = next(&spool);
        std::thread::scope(|scope| {
            let newcomer = scope.spawn(|| acquire(&spool, false).unwrap().is_some());
            std::thread::sleep(LOOK);
            drop(looks);
            assert!(newcomer.join().unwrap());
        });
    }

    /// The place of the newcomer that waits. Another test may start a process, which holds for a moment whatever
    /// this one has open.
    fn next(spool: &Spool) -> File {
        loop {
            if let Some(next) = try_lock(spool, NEXT).unwrap() {
                return next;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn the_lock_of_a_spool_that_was_made_anew_is_not_the_one_that_is_held() {
        let home = tempfile::tempdir().unwrap();
        let spool = Spool::open(home.path()).unwrap();
        let lock = acquire(&spool, false).unwrap().unwrap();
        let place = Place::of(&spool, &lock).unwrap();
        assert!(place.is_held());
        fs::remove_dir_all(spool.root()).unwrap();
        assert!(!place.is_held());
        let spool = Spool::open(home.path()).unwrap();
        let _newcomer = acquire(&spool, false).unwrap().unwrap();
        assert!(!place.is_held());
    }

    #[test]
    fn a_thousand_newcomers_at_once_make_one_agent() {
        let home = tempfile::tempdir().unwrap();
        let spool = Spool::open(home.path()).unwrap();
        let agents = std::thread::scope(|scope| {
            let newcomer = || {
                let lock = acquire(&spool, false).unwrap()?;
                Presence::announce(&spool, 1, false).unwrap();
                Some(lock)
            };
            let newcomers: Vec<_> = (0..1000).map(|_| scope.spawn(newcomer)).collect();
            newcomers.into_iter().filter_map(|newcomer| newcomer.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(agents.len(), 1);
    }
}
