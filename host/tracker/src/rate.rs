//! A gentle limit on how fast sessions begin: a token bucket that is one file's modification time, so
//! that a thousand shells need neither a lock nor a daemon.
//!
//! The time in the file is when the bucket will be full again (GCRA's theoretical arrival time, ITU-T
//! I.371). A start moves it on by one token's worth; one that would move it further than the bucket is
//! deep is refused. Two shells that look at the same moment may take one token together: the limit is
//! gentle, not exact. On a file system that keeps whole seconds it hardly limits anything.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::StartLimit;
use crate::spool::NONBLOCK;

/// What a file may be ahead beyond the bucket's depth: races and rounding. More means that a clock was
/// set back, and the bucket is full again.
const AHEAD_SLACK: Duration = Duration::from_secs(2);

/// Takes a token at the time `now`; `false` when there is none.
pub(crate) fn admit(path: &Path, limit: StartLimit, now: SystemTime) -> io::Result<bool> {
    let Some(token) = Duration::from_secs(1).checked_div(limit.per_second) else { return Ok(true) };
    let depth = token * limit.burst.max(1);
    let (file, full_at) = open(path, now)?;
    match next(full_at, now, token, depth) {
        Some(full_at) => file.set_modified(full_at).map(|()| true),
        None => Ok(false),
    }
}

/// The file, and when the bucket is full; a bucket that is new is full now.
fn open(path: &Path, now: SystemTime) -> io::Result<(File, SystemTime)> {
    match OpenOptions::new().append(true).custom_flags(NONBLOCK).open(path) {
        Ok(file) => {
            let full_at = file.metadata()?.modified()?;
            Ok((file, full_at))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
            Ok((file, now))
        }
        Err(error) => Err(error),
    }
}

/// When the bucket is full after one more token was taken; `None` when it is empty.
fn next(full_at: SystemTime, now: SystemTime, token: Duration, depth: Duration) -> Option<SystemTime> {
    let ahead = full_at.duration_since(now).unwrap_or_default();
    let ahead = if ahead > depth + AHEAD_SLACK { Duration::ZERO } else { ahead };
    let taken = ahead + token;
    (taken <= depth).then(|| now + taken)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use super::*;

    const LIMIT: StartLimit = StartLimit { burst: 10, per_second: 5 };

    /// How many of `tries` at that moment are let in.
    fn admitted(path: &Path, limit: StartLimit, now: SystemTime, tries: u32) -> usize {
        (0..tries).filter(|_| admit(path, limit, now).unwrap()).count()
    }

    #[test]
    fn a_burst_is_let_in_and_then_as_many_as_flow_back() {
        let home = tempfile::tempdir().unwrap();
        let (path, now) = (home.path().join("rate"), SystemTime::now());
        assert_eq!(admitted(&path, LIMIT, now, 30), 10);
        assert_eq!(admitted(&path, LIMIT, now + Duration::from_secs(1), 30), 5);
        assert_eq!(
            admitted(&path, LIMIT, now + Duration::from_secs(600), 30),
            10,
            "never more than the burst"
        );
    }

    #[test]
    fn nothing_is_limited_when_nobody_wants_a_limit() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("rate");
        assert_eq!(admitted(&path, StartLimit { burst: 1, per_second: 0 }, SystemTime::now(), 500), 500);
        assert!(!path.exists());
    }

    #[test]
    fn a_clock_that_was_set_back_locks_nobody_out() {
        let home = tempfile::tempdir().unwrap();
        let (path, now) = (home.path().join("rate"), SystemTime::now());
        assert_eq!(admitted(&path, LIMIT, now, 30), 10);
        assert_eq!(admitted(&path, LIMIT, now - Duration::from_secs(86_400), 30), 10);
    }

    #[test]
    fn many_at_the_same_moment_are_held_to_about_the_burst() {
        let home = tempfile::tempdir().unwrap();
        let (path, now) = (home.path().join("rate"), SystemTime::now());
        let let_in: usize = std::thread::scope(|scope| {
            let tries: Vec<_> = (0..8).map(|_| scope.spawn(|| admitted(&path, LIMIT, now, 500))).collect();
            tries.into_iter().map(|tries| tries.join().unwrap()).sum()
        });
        assert!((10..2_000).contains(&let_in), "{let_in} of 4000 were let in");
    }
}
