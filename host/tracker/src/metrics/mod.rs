//! The emitting side's counters. The agent alone writes them, to one file that it replaces whole; the
//! shells only leave records (`emissions`) that it counts. So they survive restarts of agent and machine,
//! and no shell ever waits for them.
//!
//! A counter and how far the records are counted stand in the same file: a killed agent counts nothing
//! twice. What it delivered within the last second before it was killed may be missing from the counters.

pub(crate) mod emissions;
mod histogram;

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shelltrack_sandbox::types::Outcome;
use tokio::time::Instant;

pub use histogram::{BOUNDS_SECONDS, Histogram};

use crate::Target;
use crate::clock::now_ms;
use crate::fault::Part;
use crate::spool::Spool;
use emissions::{Emission, Record};

/// Shortest time between two writes while all goes well.
const SAVE_SPACING: Duration = Duration::from_secs(1);

/// Starts and ends that were not recorded, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Refused {
    /// The spool was full.
    pub spool_full: u64,
    /// Too many sessions began at once.
    pub rate_limit: u64,
    /// The component failed; what it did not clean is not stored.
    pub component: u64,
    /// The event could not be written: no space, no permission.
    pub storage: u64,
}

impl Refused {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.spool_full + self.rate_limit + self.component + self.storage
    }
}

/// What became of one target's events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetMetrics {
    /// The target.
    pub target: Target,
    /// Events it took.
    #[serde(default)]
    pub delivered: u64,
    /// Events it will never take.
    #[serde(default)]
    pub dead: u64,
    /// Calls by outcome (`delivered`, `refused`, `unreachable` …).
    #[serde(default)]
    pub attempts: BTreeMap<String, u64>,
    /// From acceptance to delivery.
    #[serde(default)]
    pub delivery: Histogram,
    /// How often the breaker came into each phase.
    #[serde(default)]
    pub transitions: BTreeMap<String, u64>,
    /// Since when it does not answer, milliseconds since 1970.
    #[serde(default)]
    pub down_since_ms: Option<u64>,
    /// How long it did not answer in earlier outages, milliseconds.
    #[serde(default)]
    pub down_ms: u64,
}

impl TargetMetrics {
    fn new(target: &Target) -> Self {
        Self {
            target: target.clone(),
            delivered: 0,
            dead: 0,
            attempts: BTreeMap::new(),
            delivery: Histogram::default(),
            transitions: BTreeMap::new(),
            down_since_ms: None,
            down_ms: 0,
        }
    }

    /// Counts a call, and whether the server answered at all.
    pub(crate) fn attempted(&mut self, outcome: Outcome, now_ms: u64) {
        *self.attempts.entry(outcome_name(outcome).to_owned()).or_default() += 1;
        if matches!(outcome, Outcome::Delivered | Outcome::Refused) {
            self.answered(now_ms);
        } else if self.down_since_ms.is_none_or(|since_ms| since_ms > now_ms) {
            self.down_since_ms = Some(now_ms);
        }
    }

    /// Notes that the server answered: an outage is over.
    pub(crate) fn answered(&mut self, now_ms: u64) {
        if let Some(since_ms) = self.down_since_ms.take() {
            self.down_ms = self.down_ms.saturating_add(now_ms.saturating_sub(since_ms));
        }
    }

    /// How long it did not answer, until now, milliseconds.
    #[must_use]
    pub fn unavailable_ms(&self, now_ms: u64) -> u64 {
        let running_ms = self.down_since_ms.map_or(0, |since_ms| now_ms.saturating_sub(since_ms));
        self.down_ms.saturating_add(running_ms)
    }
}

/// All counters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metrics {
    /// Starts accepted.
    pub starts: u64,
    /// Ends accepted, announced by shells.
    pub ends: u64,
    /// What was not recorded.
    pub refused: Refused,
    /// When something was last refused, milliseconds since 1970.
    pub last_refused_ms: Option<u64>,
    /// How long a shell's process took until its event was durable.
    pub acceptance: Histogram,
    /// Dead letters that were removed because they were too many or too old.
    pub dead_letters_removed: u64,
    /// When that last happened, milliseconds since 1970.
    pub last_removed_ms: Option<u64>,
    /// By [`Target::id`].
    pub targets: BTreeMap<String, TargetMetrics>,
    /// How far the shells' records are counted: offsets by inode.
    counted: BTreeMap<u64, u64>,
}

impl Metrics {
    /// The counters now: what the agent kept, and what the shells left since.
    pub(crate) fn now(spool: &Spool) -> Self {
        let mut metrics: Self = Spool::read_json(&Self::path(spool)).ok().flatten().unwrap_or_default();
        if let Err(error) = metrics.count(spool) {
            tracing::warn!(%error, "what shells left to be counted cannot be read");
        }
        metrics
    }

    /// Counts what the shells left.
    fn count(&mut self, spool: &Spool) -> io::Result<()> {
        let mut counted = std::mem::take(&mut self.counted);
        let read = emissions::read(spool, &mut counted, |record| self.add(record));
        self.counted = counted;
        read
    }

    fn add(&mut self, Record { emission, took_us, at_ms }: Record) {
        match emission {
            Emission::Start => self.starts += 1,
            Emission::End => self.ends += 1,
            Emission::SpoolFull => self.refused.spool_full += 1,
            Emission::RateLimit => self.refused.rate_limit += 1,
            Emission::Component => self.refused.component += 1,
            Emission::Storage => self.refused.storage += 1,
        }
        if matches!(emission, Emission::Start | Emission::End) {
            self.acceptance.observe_us(u64::from(took_us));
        } else {
            self.last_refused_ms = self.last_refused_ms.max(Some(at_ms));
        }
    }

    fn path(spool: &Spool) -> std::path::PathBuf {
        spool.root().join("metrics.json")
    }
}

/// The counters in the hands of the agent, the only one who writes them.
pub(crate) struct Counting {
    metrics: Metrics,
    saved: Option<(Instant, Metrics)>,
}

impl Counting {
    pub(crate) fn load(spool: &Spool) -> Self {
        Self { metrics: Metrics::now(spool), saved: None }
    }

    pub(crate) fn target(&mut self, target: &Target) -> &mut TargetMetrics {
        self.metrics.targets.entry(target.id()).or_insert_with(|| TargetMetrics::new(target))
    }

    /// Forgets what was counted of a target, by [`Target::id`].
    pub(crate) fn forget(&mut self, target_id: &str) {
        self.metrics.targets.remove(target_id);
    }

    pub(crate) fn removed_dead_letters(&mut self, removed: u64) {
        self.metrics.dead_letters_removed += removed;
        self.metrics.last_removed_ms = Some(now_ms());
    }

    /// Counts what the shells left, and keeps the counters.
    pub(crate) fn count(&mut self, spool: &Spool) {
        let counted = self.metrics.count(spool).and_then(|()| {
            self.save(spool, true);
            emissions::put_aside(spool, &self.metrics.counted)
        });
        if let Err(error) = counted {
            tracing::warn!(%error, "what shells left cannot be counted");
        }
    }

    /// Keeps the counters if they changed. `now` for everything but routine deliveries.
    pub(crate) fn save(&mut self, spool: &Spool, now: bool) {
        if let Some((at, saved)) = &self.saved
            && ((!now && at.elapsed() < SAVE_SPACING) || *saved == self.metrics)
        {
            return;
        }
        if let Err(error) = spool.replace_json(&Metrics::path(spool), &self.metrics, Part::Counters) {
            tracing::warn!(%error, "the counters could not be kept");
        }
        self.saved = Some((Instant::now(), self.metrics.clone()));
    }
}

/// Name of an outcome, as in the WIT.
pub(crate) fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Delivered => "delivered",
        Outcome::Refused => "refused",
        Outcome::Unauthorized => "unauthorized",
        Outcome::Overloaded => "overloaded",
        Outcome::Unreachable => "unreachable",
        Outcome::TimedOut => "timed-out",
        Outcome::ServerError => "server-error",
        Outcome::Garbled => "garbled",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use super::*;

    #[test]
    fn a_killed_agent_counts_nothing_twice_and_loses_no_refusal() {
        let home = tempfile::tempdir().unwrap();
        let spool = Spool::open(home.path()).unwrap();
        emissions::leave(&spool, Emission::Start, Duration::from_millis(2));
        let mut first = Counting::load(&spool);
        first.count(&spool);
        emissions::leave(&spool, Emission::RateLimit, Duration::ZERO);
        // Counted in memory only: this agent is killed before it keeps anything.
        first.metrics.count(&spool).unwrap();
        drop(first);
        let mut second = Counting::load(&spool);
        second.count(&spool);
        let metrics = Metrics::now(&spool);
        assert_eq!((metrics.starts, metrics.refused.rate_limit, metrics.acceptance.count), (1, 1, 1));
        assert!(metrics.last_refused_ms.is_some());
    }

    #[test]
    fn an_outage_is_as_long_as_nobody_answered() {
        let mut target = TargetMetrics::new(&Target::Http { url: "http://h/mcp".to_owned() });
        target.attempted(Outcome::Unreachable, 1_000);
        target.attempted(Outcome::TimedOut, 3_000);
        assert_eq!((target.down_since_ms, target.unavailable_ms(4_000)), (Some(1_000), 3_000));
        target.attempted(Outcome::Refused, 5_000);
        assert_eq!((target.down_since_ms, target.unavailable_ms(9_000)), (None, 4_000));
    }

    #[test]
    fn counters_that_cannot_be_read_begin_anew() {
        let home = tempfile::tempdir().unwrap();
        let spool = Spool::open(home.path()).unwrap();
        std::fs::write(Metrics::path(&spool), "{torn").unwrap();
        assert_eq!(Metrics::now(&spool), Metrics::default());
    }
}
