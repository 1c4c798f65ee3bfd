//! Dead letters: events nobody will take, kept with the reason until a person decides, and never more of
//! them than the limits say. What a person can do with them is in `dead_letters`.

use std::time::UNIX_EPOCH;
use std::{fs, io};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use shelltrack_sandbox::Sandbox;
use shelltrack_sandbox::types::Policy;
use uuid::Uuid;

use super::again;
use super::aging::{Look, too_old_before};
use super::session::OpenSession;
use crate::clock::now_us;
use crate::fault::Part;
use crate::spool::{Envelope, Kind, Spool, remove};
use crate::{DeadLetterLimits, Target};

/// One dead letter, as it lies in its file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Letter {
    /// Why.
    pub(crate) reason: String,
    /// Since when, microseconds since 1970.
    pub(crate) dead_us: u64,
    /// The event, where it was readable.
    pub(crate) event: Value,
    /// What was known of its session: without it an end could never be sent again.
    #[serde(default)]
    pub(crate) session: Option<OpenSession>,
}

/// Longest reason that is kept, in scalars: a server may answer with a page.
const REASON_SCALARS_MAX: u32 = 300;

/// Moves an event from `new/` to `dead/`; `false` when it is not there, which is fine.
pub(crate) fn bury(
    spool: &Spool,
    sandbox: &Sandbox,
    key: Uuid,
    kind: Kind,
    reason: &str,
) -> io::Result<bool> {
    // A person who queues a letter again must not meet it half way between here and there.
    let _held = again::hold(spool, again::PATIENCE_OF_THE_AGENT)?;
    let path = spool.event_path(key, kind);
    let (event, is_whole) = match Spool::read_json::<Value>(&path) {
        Ok(None) => return Ok(false),
        Ok(Some(event)) => (event, true),
        Err(error) => (Value::String(format!("unreadable: {error}")), false),
    };
    // A session that cannot be read is no reason to keep the event in the queue.
    let session = OpenSession::load(spool, key).ok().flatten();
    let letter = Letter { reason: clean(sandbox, reason), dead_us: now_us(), event, session };
    // First the letter: on a full disk the event stays where it is and is looked at again.
    spool.replace_json(&spool.dead_path(key, kind), &letter, Part::Letter)?;
    if is_whole {
        return remove(&path, Part::Event).map(|()| true);
    }
    // Whatever it is, also a directory: it lies beside its letter, for a person to look at.
    fs::rename(&path, spool.raw_path(key, kind)).map(|()| true)
}

/// Where the events of a session were to go whose start is a dead letter.
pub(crate) fn target_of(spool: &Spool, key: Uuid) -> Option<Target> {
    let letter = Spool::read_json::<Letter>(&spool.dead_path(key, Kind::Start)).ok().flatten()?;
    let start = serde_json::from_value::<Envelope>(letter.event).ok()?;
    Some(start.opened?.target)
}

/// Notes that a session is lost to us: what still comes of it becomes dead letters as well.
pub(crate) fn bury_session(spool: &Spool, key: Uuid, reason: &str) -> io::Result<()> {
    let letter = Letter { reason: reason.to_owned(), dead_us: now_us(), event: Value::Null, session: None };
    spool.replace_json(&spool.dead_path(key, Kind::Start), &letter, Part::Letter)
}

/// A reason may be a server's words, which may repeat parts of the event or worse: the component cleans
/// and redacts them.
pub(crate) fn clean(sandbox: &Sandbox, reason: &str) -> String {
    match sandbox.sanitize_text(reason, REASON_SCALARS_MAX, &Policy::default()) {
        Ok(clean) => clean.text,
        Err(error) => format!("not kept, since it could not be cleaned: {error}"),
    }
}

/// Removes a letter, and what lies beside it.
fn discard(spool: &Spool, key: Uuid, kind: Kind) -> io::Result<()> {
    discard_raw(spool, key, kind)?;
    remove(&spool.dead_path(key, kind), Part::Letter)
}

/// Removes what lies beside a letter.
pub(super) fn discard_raw(spool: &Spool, key: Uuid, kind: Kind) -> io::Result<()> {
    let raw = spool.raw_path(key, kind);
    if raw.is_dir() { fs::remove_dir_all(&raw) } else { remove(&raw, Part::Letter) }
}

/// Removes the oldest letters until the rest is within the limits; gives how many went. For their age they go
/// only when that is certain.
pub(super) fn prune(spool: &Spool, limits: DeadLetterLimits, now: &Look) -> io::Result<u64> {
    let mut letters = Vec::new();
    for (key, kind) in spool.dead_letters()? {
        let files = [spool.dead_path(key, kind), spool.raw_path(key, kind)];
        let mut files = files.iter().filter_map(|path| path.symlink_metadata().ok());
        // One that vanished meanwhile was dropped by a person.
        let Some(first) = files.next() else { continue };
        letters.push((modified_us(&first), first.len() + files.next().map_or(0, |raw| raw.len()), key, kind));
    }
    letters.sort_unstable();
    let mut count = letters.len() as u64;
    let mut bytes: u64 = letters.iter().map(|(_, bytes, ..)| bytes).sum();
    let mut removed = 0;
    let oldest_us = letters.first().map_or(u64::MAX, |(since_us, ..)| *since_us);
    let age_us = limits.age_seconds.saturating_mul(1_000_000);
    let too_old_before = too_old_before(spool, age_us, oldest_us, now)?.unwrap_or(0);
    for (since_us, size, key, kind) in letters {
        if count <= limits.count && bytes <= limits.bytes && since_us >= too_old_before {
            break;
        }
        discard(spool, key, kind)?;
        (count, bytes, removed) = (count - 1, bytes - size, removed + 1);
    }
    Ok(removed)
}

/// When a file was written, microseconds since 1970.
fn modified_us(file: &fs::Metadata) -> u64 {
    let since = file.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    const DAY_US: u64 = 24 * 3600 * 1_000_000;

    const ROOMY: DeadLetterLimits = DeadLetterLimits { count: 100, bytes: 1 << 20, age_seconds: 3_600 };

    /// A spool with letters that are so many seconds old.
    fn spool_with(home: &std::path::Path, ages: &[u64]) -> (Spool, Vec<Uuid>) {
        let spool = Spool::open(home).unwrap();
        let letters = ages.iter().map(|age| {
            let key = Uuid::new_v4();
            let path = spool.dead_path(key, Kind::End);
            let letter = Letter { reason: "no".to_owned(), dead_us: 1, event: Value::Null, session: None };
            spool.replace_json(&path, &letter, Part::Letter).unwrap();
            let since = SystemTime::now() - Duration::from_secs(*age);
            fs::File::options().append(true).open(path).unwrap().set_modified(since).unwrap();
            key
        });
        let keys = letters.collect();
        (spool, keys)
    }

    #[track_caller]
    fn check_left(limits: DeadLetterLimits, ages: &[u64], expected: &[usize]) {
        let home = tempfile::tempdir().unwrap();
        let (spool, keys) = spool_with(home.path(), ages);
        let removed = prune(&spool, limits, &Look::now()).unwrap();
        assert_eq!(removed as usize, ages.len() - expected.len());
        let left: Vec<_> = (0..keys.len())
            .filter(|at| keys.get(*at).is_some_and(|key| spool.dead_path(*key, Kind::End).exists()))
            .collect();
        assert_eq!(left, expected);
    }

    #[test]
    fn letters_within_the_limits_stay() {
        check_left(ROOMY, &[10, 20, 3_000], &[0, 1, 2]);
    }

    #[test]
    fn of_too_many_letters_the_oldest_go() {
        check_left(DeadLetterLimits { count: 2, ..ROOMY }, &[10, 30, 20], &[0, 2]);
        check_left(DeadLetterLimits { bytes: 1, ..ROOMY }, &[10, 30, 20], &[]);
        check_left(DeadLetterLimits { age_seconds: 0, ..ROOMY }, &[10, 30, 20], &[]);
    }

    #[test]
    fn a_letter_that_is_too_old_goes_when_that_is_still_so_after_a_day() {
        let home = tempfile::tempdir().unwrap();
        let (spool, keys) = spool_with(home.path(), &[4_000, 10]);
        let first = Look::now();
        let later = |up_us: u64, wall_us: u64| Look {
            wall_us: first.wall_us + wall_us,
            up_us: first.up_us + up_us,
            ..first.clone()
        };
        // What is too old by then is not what was too old before.
        for (now, gone) in [(first.clone(), 0), (later(DAY_US / 2, DAY_US), 0), (later(DAY_US, DAY_US), 1)] {
            assert_eq!(prune(&spool, ROOMY, &now).unwrap(), gone, "{now:?}");
        }
        assert!(spool.has_letter(*keys.last().unwrap(), Kind::End));
    }

    #[test]
    fn a_clock_that_leaps_for_a_moment_costs_no_letter() {
        let home = tempfile::tempdir().unwrap();
        let (spool, keys) = spool_with(home.path(), &[10]);
        let right = Look::now();
        let leapt = Look { wall_us: right.wall_us + 91 * DAY_US, ..right.clone() };
        let next_run = Look { boot: "another".to_owned(), up_us: 1, ..leapt.clone() };
        let next_day = Look { wall_us: right.wall_us + DAY_US, up_us: right.up_us + DAY_US, ..right.clone() };
        for now in [&right, &leapt, &leapt, &next_run, &right, &leapt] {
            assert_eq!(prune(&spool, ROOMY, now).unwrap(), 0, "{now:?}");
        }
        // Put right, and a day later wrong again: that is no day of being too old.
        let limits = DeadLetterLimits { age_seconds: 30 * 24 * 3600, ..ROOMY };
        for now in [&next_day, &Look { wall_us: leapt.wall_us + DAY_US, ..next_day.clone() }] {
            assert_eq!(prune(&spool, limits, now).unwrap(), 0, "{now:?}");
        }
        assert!(spool.has_letter(*keys.first().unwrap(), Kind::End));
    }

    #[test]
    fn what_lies_beside_a_letter_goes_with_it() {
        let home = tempfile::tempdir().unwrap();
        let (spool, keys) = spool_with(home.path(), &[10]);
        let raw = spool.dead_path(*keys.first().unwrap(), Kind::End).with_extension("raw");
        fs::create_dir(&raw).unwrap();
        prune(&spool, DeadLetterLimits { count: 0, ..ROOMY }, &Look::now()).unwrap();
        assert!(spool.names("dead").unwrap().is_empty());
    }
}
