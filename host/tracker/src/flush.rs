//! Waiting until everything accepted so far is delivered.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use uuid::Uuid;

use crate::agent::{OpenSession, nudge};
use crate::spool::{Envelope, Kind, NONBLOCK, Seen, Spool, watch_new};
use crate::{Error, TargetStatus, Tracker};

/// How often a flush looks, besides being told: a notification may be lost.
const FLUSH_LOOK: Duration = Duration::from_millis(250);
/// How often a flush asks for another try: a person waits, and a breaker is patient.
const FLUSH_NUDGE: Duration = Duration::from_secs(2);

/// What became of a flush.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FlushReport {
    /// Events that were waiting when the flush began.
    pub waiting: u64,
    /// Of those, delivered.
    pub delivered: u64,
    /// Of those, dead letters.
    pub dead: u64,
    /// Of those, still waiting when it ended.
    pub remaining: u64,
    /// Others that became dead letters since the last flush, and are still.
    pub given_up: u64,
    /// All dead letters.
    pub dead_letters: u64,
}

impl FlushReport {
    fn begun(waiting: u64) -> Self {
        Self { waiting, remaining: waiting, ..Self::default() }
    }
}

/// What a flush still waits for.
pub struct Waiting<'a> {
    tracker: &'a Tracker,
    events: &'a [(Uuid, Kind)],
    /// How many events.
    pub remaining: u64,
    /// For how long their number has not changed.
    pub unchanged_for: Duration,
}

impl Waiting<'_> {
    /// The servers they are for, as the agent last saw them. Reads a file for each event.
    #[must_use]
    pub fn targets(&self) -> Vec<TargetStatus> {
        let spool = &self.tracker.spool;
        let keys: BTreeSet<Uuid> = self.events.iter().map(|(key, _)| *key).collect();
        let target_of = |key: Uuid| {
            let known = OpenSession::load(spool, key).ok().flatten().map(|session| session.target);
            known.or_else(|| {
                let start = Spool::read_json::<Envelope>(&spool.event_path(key, Kind::Start)).ok()??;
                Some(start.opened?.target)
            })
        };
        let mut targets = Vec::new();
        for target in keys.into_iter().filter_map(target_of) {
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
        targets.iter().map(|target| TargetStatus::load(spool, target).with_order(spool)).collect()
    }
}

impl Tracker {
    /// Waits until everything accepted so far is delivered, `timeout` is over, or `watch` breaks off; a
    /// target that was left alone after failures is tried again at once. `watch` is told what still waits,
    /// whenever that changes and some times a second.
    ///
    /// # Errors
    /// [`Error::Spool`] when the spool cannot be read.
    pub fn flush(
        &self,
        timeout: Option<Duration>,
        mut watch: impl FnMut(&Waiting<'_>) -> ControlFlow<()>,
    ) -> Result<FlushReport, Error> {
        // Of sessions that are open nothing may wait, and yet an agent is needed.
        self.revive_agent()?;
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let (seen, news) = mpsc::channel();
        let _watcher = watch_new(&self.spool, move |what| {
            if what == Seen::Left {
                // Nobody listens any more once the flush is over.
                _ = seen.send(());
            }
        });
        let mut waiting = self.spool.waiting().map_err(|error| self.unreadable(&error))?;
        let mut report = FlushReport::begun(count(&waiting));
        let (mut woken, mut nudged, mut changed) = (None::<Instant>, None::<Instant>, Instant::now());
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
            self.settle(&mut waiting, &mut report);
            if report.remaining != count(&waiting) {
                report.remaining = count(&waiting);
                changed = Instant::now();
            }
            let (remaining, unchanged_for) = (report.remaining, changed.elapsed());
            if watch(&Waiting { tracker: self, events: &waiting, remaining, unchanged_for }).is_break() {
                break;
            }
        }
        let (lately, all) = self.count_letters().map_err(|error| self.unreadable(&error))?;
        Ok(FlushReport { given_up: lately.saturating_sub(report.dead), dead_letters: all, ..report })
    }

    /// How many dead letters came since this was last counted, and how many there are. When that was is the
    /// modification time of a file: where it cannot be kept they are counted again.
    fn count_letters(&self) -> io::Result<(u64, u64)> {
        let letters = self.spool.dead_letters()?;
        if letters.is_empty() {
            return Ok((0, 0));
        }
        let (mark, now) = (self.spool.root().join("flushed"), SystemTime::now());
        let modified = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
        // A mark from times to come is from before a clock was set back.
        let last = modified(&mark).filter(|last| *last <= now);
        let file =
            OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(NONBLOCK).open(&mark);
        if let Err(error) = file.and_then(|file| file.set_modified(now)) {
            tracing::warn!(%error, "that these dead letters were told cannot be kept");
        }
        // Listed after the mark was set: what comes from now on is for the next count.
        let letters = self.spool.dead_letters()?;
        let paths = letters.iter().map(|&(key, kind)| self.spool.dead_path(key, kind));
        let lately = paths.filter_map(|path| modified(&path)).filter(|at| last.is_none_or(|last| *at > last));
        Ok((lately.count() as u64, letters.len() as u64))
    }

    /// Takes out what waits no more.
    fn settle(&self, waiting: &mut Vec<(Uuid, Kind)>, report: &mut FlushReport) {
        waiting.retain(|&(key, kind)| {
            let there = self.spool.event_path(key, kind).exists();
            let dead = !there && self.spool.has_letter(key, kind);
            report.dead += u64::from(dead);
            report.delivered += u64::from(!there && !dead);
            there
        });
    }
}

fn count(events: &[(Uuid, Kind)]) -> u64 {
    u64::try_from(events.len()).unwrap_or(u64::MAX)
}
