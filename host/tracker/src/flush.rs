//! Waiting until everything accepted so far is delivered.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use serde::Serialize;
use uuid::Uuid;

use crate::agent::nudge;
use crate::spool::{Kind, Seen, watch_new};
use crate::{Error, Tracker};

/// How often a flush looks, besides being told: a notification may be lost.
const FLUSH_LOOK: Duration = Duration::from_millis(250);
/// How often a flush asks for another try: a person waits, and a breaker is patient.
const FLUSH_NUDGE: Duration = Duration::from_secs(2);

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
}
