//! Who the agent is, told to whoever writes an event: `agent.json` (see `lock`).

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::io::Errno;
use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process};
use semver::Version;
use serde::{Deserialize, Serialize};

use crate::fault::Part;
use crate::process::ProcessId;
use crate::spool::{Spool, remove};

/// How long an agent may say nothing, milliseconds: four times as long as it means to. One that works through a
/// long queue on a slow disk is late, too.
const SILENT_MAX_MS: u64 = 120_000;

/// Limits of a process, inherited from a shell, that may keep an agent from its work.
pub(super) const LIMITS: [Resource; 4] = [Resource::Fsize, Resource::Cpu, Resource::As, Resource::Data];

/// The agent that can be relied upon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Presence {
    /// The agent's process.
    pub(crate) process: ProcessId,
    /// Its version.
    pub(crate) version: String,
    /// When its executable was made, seconds since 1970: tells builds of one version apart. 0 when
    /// unknown.
    #[serde(default)]
    pub(crate) build: i64,
    /// When it last said so, milliseconds since 1970: what was alive then is known to have been.
    pub(crate) seen_ms: u64,
    /// Whether a service manager keeps it: then no other agent takes its place.
    #[serde(default)]
    pub(crate) stays: bool,
    /// Whether it is held to limits that it could not lift: it makes room for one that is not.
    #[serde(default)]
    pub(crate) limited: bool,
}

impl Presence {
    /// The agent as it last announced itself or took its leave, whether it still lives or not.
    pub(crate) fn last(spool: &Spool) -> Option<Self> {
        let said = [path(spool), parting(spool)];
        said.iter().filter_map(|path| read(path)).max_by_key(|presence| presence.seen_ms)
    }

    /// The agent that announced itself and did not withdraw, whether it still lives or not.
    pub(crate) fn announced(spool: &Spool) -> Option<Self> {
        read(&path(spool))
    }

    /// The agent that can be relied upon, if there is one.
    pub(crate) fn current(spool: &Spool) -> Option<Self> {
        Self::announced(spool).filter(|presence| presence.process.is_whole())
    }

    /// When it last said that it is there, where it lives and yet does nothing: it is stopped, or says nothing
    /// for clearly longer than it should. Where the machine slept or the clock leapt the latter is wrong for
    /// the seconds until it looks around: good for words, and no reason to replace it.
    pub(crate) fn silent_since_ms(&self, now_ms: u64) -> Option<u64> {
        let is_late = now_ms.saturating_sub(self.seen_ms) > SILENT_MAX_MS;
        (is_late || self.process.is_stopped()).then_some(self.seen_ms)
    }

    /// Announces this process as the agent, or that it is still there.
    pub(crate) fn announce(spool: &Spool, now_ms: u64, stays: bool) -> io::Result<()> {
        Self::say(spool, &path(spool), now_ms, stays)
    }

    /// Leaves behind until when this agent was there: what is open was alive then, as far as anybody knows.
    pub(crate) fn part(spool: &Spool, now_ms: u64, stays: bool) -> io::Result<()> {
        Self::say(spool, &parting(spool), now_ms, stays)
    }

    fn say(spool: &Spool, to: &Path, now_ms: u64, stays: bool) -> io::Result<()> {
        let presence = Self {
            process: ProcessId::of(std::process::id()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            build: build(),
            seen_ms: now_ms,
            stays,
            limited: is_limited(),
        };
        spool.replace_json(to, &presence, Part::Presence)
    }

    /// Whether this program is newer, or under fewer limits, and is to take over. An older one never displaces a
    /// newer one, and one that a service manager keeps is replaced by restarting the service.
    pub(crate) fn is_outdated(&self) -> bool {
        if self.stays {
            return false;
        }
        let ours = Version::parse(env!("CARGO_PKG_VERSION")).ok();
        let theirs = Version::parse(&self.version).ok();
        // A version that cannot be read is none of ours, and not to be relied upon.
        let (theirs, ours) = ((theirs, self.build), (ours, build()));
        theirs.0.is_none() || theirs < ours || (theirs == ours && self.limited && !is_limited())
    }

    /// Whether it makes room for a newcomer, which `stays` or started itself.
    pub(super) fn gives_way(&self, stays: bool) -> bool {
        if stays { !self.stays } else { self.is_outdated() }
    }

    /// Sends a signal to the agent; that it ended meanwhile is fine.
    pub(crate) fn send(&self, signal: Signal) -> io::Result<()> {
        let pid = i32::try_from(self.process.pid).ok().and_then(Pid::from_raw);
        match pid.filter(|_| self.process.is_alive()).map(|pid| kill_process(pid, signal)) {
            None | Some(Ok(()) | Err(Errno::SRCH)) => Ok(()),
            Some(Err(error)) => Err(error.into()),
        }
    }

    /// Tells everyone not to rely on this agent any more.
    pub(crate) fn withdraw(spool: &Spool) -> io::Result<()> {
        remove(&path(spool), Part::Presence)
    }
}

/// Whether this process is held to any of [`LIMITS`] for good.
fn is_limited() -> bool {
    LIMITS.into_iter().any(|resource| getrlimit(resource).maximum.is_some())
}

fn path(spool: &Spool) -> PathBuf {
    spool.root().join("agent.json")
}

fn parting(spool: &Spool) -> PathBuf {
    spool.root().join("agent.last.json")
}

fn read(path: &Path) -> Option<Presence> {
    Spool::read_json(path).ok().flatten()
}

/// When the executable of this process was made. It may be replaced by now, and still be found.
fn build() -> i64 {
    static BUILD: OnceLock<i64> = OnceLock::new();
    *BUILD.get_or_init(|| {
        let executable = fs::metadata("/proc/self/exe");
        let executable = executable.or_else(|_| fs::metadata(std::env::current_exe()?));
        executable.map_or(0, |executable| executable.mtime())
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use super::*;
    use crate::agent::is_missing;
    use crate::agent::lock::acquire;

    #[test]
    fn the_presence_of_a_dead_agent_is_not_relied_upon() {
        let home = tempfile::tempdir().unwrap();
        let spool = Spool::open(home.path()).unwrap();
        Presence::announce(&spool, 1, false).unwrap();
        assert!(Presence::current(&spool).is_some());
        announce_dead(&spool);
        assert!(Presence::current(&spool).is_none());
        assert!(acquire(&spool, false).unwrap().is_some());
    }

    fn announce_dead(spool: &Spool) {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let process = ProcessId::of(child.id());
        child.wait().unwrap();
        let dead = Presence { process, ..agent("0.0.0", 0, false) };
        spool.replace_json(&path(spool), &dead, Part::Presence).unwrap();
    }

    /// A process that is killed is a zombie before the last of its threads has let go of its files.
    #[test]
    fn an_agent_that_was_killed_is_missing_before_its_lock_is_free() {
        let home = tempfile::tempdir().unwrap();
        let spool = Spool::open(home.path()).unwrap();
        assert!(is_missing(&spool), "there was never one");
        let _held = acquire(&spool, false).unwrap().unwrap();
        assert!(!is_missing(&spool), "one that cannot announce itself");
        Presence::announce(&spool, 1, false).unwrap();
        assert!(!is_missing(&spool));
        announce_dead(&spool);
        assert!(is_missing(&spool));
    }

    fn agent(version: &str, build: i64, stays: bool) -> Presence {
        let process = ProcessId::of(std::process::id());
        Presence { process, version: version.to_owned(), build, seen_ms: 1, stays, limited: false }
    }

    #[test]
    fn an_agent_under_limits_gives_way_to_one_of_the_same_program_that_is_free() {
        let own = agent(env!("CARGO_PKG_VERSION"), build(), false);
        let limited = Presence { limited: true, ..own.clone() };
        assert_eq!(limited.is_outdated(), !is_limited());
        assert!(!own.is_outdated());
        assert!(!Presence { build: build() + 1, ..limited.clone() }.is_outdated());
        assert!(!Presence { stays: true, ..limited }.is_outdated());
    }

    #[test]
    fn an_agent_is_silent_when_it_is_late_or_stopped_and_not_when_a_clock_was_set_back() {
        let lives = Presence { seen_ms: 1_000_000, ..agent("0.0.1", 0, false) };
        assert_eq!(lives.silent_since_ms(1_000_000 + SILENT_MAX_MS), None);
        assert_eq!(lives.silent_since_ms(1_000_001 + SILENT_MAX_MS), Some(1_000_000));
        assert_eq!(lives.silent_since_ms(0), None);

        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = ProcessId::of(child.id());
        kill_process(Pid::from_child(&child), Signal::STOP).unwrap();
        let stopped = Presence { process, ..lives };
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while !stopped.process.is_stopped() && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
        let told = stopped.silent_since_ms(1_000_000);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(told, Some(1_000_000));
        assert!(!stopped.process.is_stopped(), "one that is gone is not stopped");
    }

    #[test]
    fn an_older_agent_is_displaced_and_a_newer_one_is_not() {
        let agent = |version, build| agent(version, build, false);
        let own = env!("CARGO_PKG_VERSION");
        assert!(agent("0.0.1", i64::MAX).is_outdated());
        assert!(agent(own, build() - 1).is_outdated());
        assert!(agent("no version", i64::MAX).is_outdated());
        assert!(!agent(own, build()).is_outdated());
        assert!(!agent(own, build() + 1).is_outdated());
        assert!(!agent("99.0.0", 0).is_outdated());
    }

    #[test]
    fn an_agent_that_a_service_manager_keeps_gives_way_to_nobody() {
        let home = tempfile::tempdir().unwrap();
        let spool = Spool::open(home.path()).unwrap();
        let _held = acquire(&spool, true).unwrap().unwrap();
        let kept = agent("0.0.1", 0, true);
        spool.replace_json(&path(&spool), &kept, Part::Presence).unwrap();
        assert!(acquire(&spool, false).unwrap().is_none());
        let told = acquire(&spool, true).unwrap_err().to_string();
        assert!(told.contains(&format!("pid {}", std::process::id())), "{told}");
    }

    #[test]
    fn an_agent_that_started_itself_gives_way_to_one_that_stays_however_new_it_is() {
        assert!(agent("99.0.0", i64::MAX, false).gives_way(true));
        assert!(!agent("99.0.0", i64::MAX, false).gives_way(false));
    }
}
