//! The emitting side seen from outside: what waits, what is open, how the targets are.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::agent::{OpenSession, Presence, nudge};
use crate::fault::Part;
use crate::spool::{Envelope, Kind, Seen, Spool, watch_new};
use crate::{Error, Target, Tracker};

/// How often a flush looks, besides being told: a notification may be lost.
const FLUSH_LOOK: Duration = Duration::from_millis(250);
/// How often a flush asks for another try: a person waits, and a breaker is patient.
const FLUSH_NUDGE: Duration = Duration::from_secs(2);

/// One target as the agent last saw it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetStatus {
    /// The target.
    pub target: Target,
    /// Breaker phase: `closed`, `open`, `half-open`, `forced-open`, `disabled`.
    pub breaker: String,
    /// What the last attempt said, where it failed.
    pub last_error: Option<String>,
    /// When it will be tried again, milliseconds since 1970.
    pub retry_at_ms: Option<u64>,
    /// When something was last delivered, milliseconds since 1970.
    pub last_delivery_ms: Option<u64>,
    /// Name and version the server gave.
    pub server: Option<String>,
    /// Tools it offers; `None` while never asked.
    pub tools: Option<Vec<String>>,
    /// One plain line when the server lacks the tracking tools or refuses us.
    pub needs_attention: Option<String>,
}

impl TargetStatus {
    pub(crate) fn load(spool: &Spool, target: &Target) -> Self {
        Spool::read_json(&Self::path(spool, target)).ok().flatten().unwrap_or_else(|| Self {
            target: target.clone(),
            breaker: "closed".to_owned(),
            last_error: None,
            retry_at_ms: None,
            last_delivery_ms: None,
            server: None,
            tools: None,
            needs_attention: None,
        })
    }

    pub(crate) fn save(&self, spool: &Spool) -> io::Result<()> {
        spool.replace_json(&Self::path(spool, &self.target), self, Part::Status)
    }

    fn path(spool: &Spool, target: &Target) -> PathBuf {
        spool.root().join(format!("target-{}.json", target.id()))
    }
}

/// The emitting side at a glance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// The spool directory.
    pub spool: PathBuf,
    /// Where new sessions go.
    pub target: Target,
    /// Pid of the agent, while one runs.
    pub agent_pid: Option<u32>,
    /// Events waiting.
    pub queued: u64,
    /// When the oldest of them was accepted, milliseconds since 1970.
    pub oldest_queued_ms: Option<u64>,
    /// Sessions open.
    pub open_sessions: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Things found in the spool that are not ours or damaged, and set aside with the reason.
    pub set_aside: u64,
    /// Starts refused because the spool was full.
    pub refused: u64,
    /// Each target known.
    pub targets: Vec<TargetStatus>,
}

/// One session as the spool knows it: accepted here, perhaps not delivered yet.
#[derive(Clone, Debug)]
pub struct LocalSession {
    /// Local key, `metadata.correlation_id` on the server.
    pub key: String,
    /// Where it goes.
    pub target: Target,
    /// The server's id, once it is known.
    pub session_id: Option<String>,
    /// Wire JSON of the start.
    pub start: String,
    /// Wire JSON of the end without `session_id`, where the end is known.
    pub end: Option<String>,
    /// Events of this session that wait for delivery.
    pub pending: u32,
}

/// What became of a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FlushReport {
    /// Events that were waiting when the flush began.
    pub waiting: u64,
    /// Of those, delivered.
    pub delivered: u64,
    /// Of those, dead letters.
    pub dead: u64,
    /// Of those, still waiting when time was up.
    pub remaining: u64,
}

impl Tracker {
    /// Waits until everything accepted so far is delivered, or `timeout` is over; a target that was
    /// left alone after failures is tried again at once. `progress` is told
    /// how many events still wait, whenever that changes.
    pub fn flush(
        &self,
        timeout: Option<Duration>,
        mut progress: impl FnMut(u64),
    ) -> Result<FlushReport, Error> {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let (seen, news) = mpsc::channel();
        let _watcher = watch_new(&self.spool, move |what| {
            if what == Seen::Left {
                // Nobody listens any more once the flush is over.
                _ = seen.send(());
            }
        });
        let mut waiting = self.spool.waiting().map_err(|error| self.unreadable(&error))?;
        let count = |items: &[(Uuid, Kind)]| u64::try_from(items.len()).unwrap_or(u64::MAX);
        let mut report =
            FlushReport { waiting: count(&waiting), delivered: 0, dead: 0, remaining: count(&waiting) };
        let (mut woken, mut nudged) = (None::<Instant>, None::<Instant>);
        while !waiting.is_empty() {
            // An agent that was just started needs a moment before it can be seen.
            if woken.is_none_or(|at| at.elapsed() > FLUSH_LOOK) {
                self.wake_agent();
                woken = Some(Instant::now());
            }
            if nudged.is_none_or(|at| at.elapsed() > FLUSH_NUDGE) {
                // An agent that ended meanwhile has delivered everything, or the next one tries anyway.
                drop(nudge(&self.spool));
                nudged = Some(Instant::now());
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                break;
            }
            let wait = left.unwrap_or(FLUSH_LOOK).min(FLUSH_LOOK);
            if news.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected) {
                std::thread::sleep(wait);
            }
            news.try_iter().for_each(drop);
            waiting.retain(|&(key, kind)| {
                let there = self.spool.event_path(key, kind).exists();
                let dead = !there && self.spool.dead_path(key, kind).exists();
                report.dead += u64::from(dead);
                report.delivered += u64::from(!there && !dead);
                there
            });
            if report.remaining != count(&waiting) {
                report.remaining = count(&waiting);
                progress(report.remaining);
            }
        }
        Ok(report)
    }

    /// Sessions the spool knows, newest first.
    pub fn local_sessions(&self) -> Result<Vec<LocalSession>, Error> {
        let unreadable = |error: io::Error| self.unreadable(&error);
        let mut keys: Vec<Uuid> =
            self.spool.waiting().map_err(unreadable)?.iter().map(|(key, _)| *key).collect();
        keys.extend(self.spool.open_keys().map_err(unreadable)?);
        keys.sort_unstable();
        keys.dedup();
        let mut sessions: Vec<(u64, LocalSession)> =
            keys.into_iter().filter_map(|key| self.local_session(key)).collect();
        sessions.sort_by(|(a, _), (b, _)| b.cmp(a));
        Ok(sessions.into_iter().map(|(_, session)| session).collect())
    }

    /// One session and when it was accepted; `None` when the agent has finished with it meanwhile.
    fn local_session(&self, key: Uuid) -> Option<(u64, LocalSession)> {
        let event = |kind| Spool::read_json::<Envelope>(&self.spool.event_path(key, kind)).ok().flatten();
        // Read in the order in which the agent moves things on, so that nothing is missed.
        let (start, gone, end) = (event(Kind::Start), event(Kind::Gone), event(Kind::End));
        let open = OpenSession::load(&self.spool, key).ok().flatten();
        let pending = [&start, &gone, &end].into_iter().flatten().count();
        let (accepted_us, target, wire) = match (&open, &start) {
            (Some(open), _) => (open.accepted_us, open.target.clone(), open.wire.clone()),
            (None, Some(start)) => (start.accepted_us, start.opened.clone()?.target, start.wire.clone()),
            (None, None) => return None,
        };
        let session = LocalSession {
            key: key.to_string(),
            target,
            session_id: open.and_then(|open| open.session_id),
            start: wire,
            end: end.or(gone).map(|end| end.wire),
            pending: u32::try_from(pending).unwrap_or(u32::MAX),
        };
        Some((accepted_us, session))
    }

    /// The emitting side at a glance.
    pub fn status(&self) -> Result<Status, Error> {
        let unreadable = |error: io::Error| self.unreadable(&error);
        let waiting = self.spool.waiting().map_err(unreadable)?;
        let oldest = waiting.iter().filter_map(|&(key, kind)| modified_ms(&self.spool.event_path(key, kind)));
        let count = |names: Vec<String>| u64::try_from(names.len()).unwrap_or(u64::MAX);
        Ok(Status {
            spool: self.spool.root().to_owned(),
            target: self.config.target.clone(),
            agent_pid: Presence::current(&self.spool).map(|presence| presence.process.pid),
            oldest_queued_ms: oldest.min(),
            queued: u64::try_from(waiting.len()).unwrap_or(u64::MAX),
            open_sessions: self.open_sessions()?,
            dead_letters: count(self.spool.dead_letters().map_err(unreadable)?),
            set_aside: self.spool.count_set_aside(),
            refused: self.spool.refused(),
            targets: self.targets().map_err(unreadable)?,
        })
    }

    fn open_sessions(&self) -> Result<u64, Error> {
        let open = self.local_sessions()?.into_iter().filter(|session| session.end.is_none());
        let keys = open.filter_map(|session| Uuid::try_parse(&session.key).ok());
        let still = keys.filter(|key| {
            OpenSession::load(&self.spool, *key).ok().flatten().is_none_or(|session| session.is_open())
        });
        Ok(u64::try_from(still.count()).unwrap_or(u64::MAX))
    }

    fn targets(&self) -> io::Result<Vec<TargetStatus>> {
        let mut names = self.spool.names(".")?;
        names.retain(|name| name.starts_with("target-") && name.ends_with(".json"));
        names.sort_unstable();
        let read = |name: &String| Spool::read_json(&self.spool.root().join(name)).ok().flatten();
        Ok(names.iter().filter_map(read).collect())
    }

    fn unreadable(&self, error: &io::Error) -> Error {
        self.spool.refusal(&format!("cannot be read: {error}"))
    }
}

fn modified_ms(path: &Path) -> Option<u64> {
    let modified = std::fs::metadata(path).ok()?.modified().ok()?;
    let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}
