//! What is counted of a target, and what `status` shows of it.

use std::time::Duration;

use shelltrack_sandbox::types::Outcome;
use tokio::time::Instant;

use super::super::dead;
use super::Worker;
use crate::clock::now_ms;
use crate::session_buddy::CallError;

/// Shortest time between two writes of the target's status while all goes well.
const STATUS_SPACING: Duration = Duration::from_secs(1);

impl Worker {
    fn count(&mut self, now: bool) {
        let transitions = self.gate.transitions();
        let mut counting = self.shared.counting.borrow_mut();
        if !transitions.is_empty() {
            let counted = &mut counting.target(&self.target).transitions;
            transitions.iter().for_each(|phase| *counted.entry((*phase).to_owned()).or_default() += 1);
        }
        counting.save(&self.shared.spool, now);
    }

    /// Counts a call, and remembers whether the server answers.
    pub(super) fn attempted(&mut self, outcome: Outcome) {
        self.timeouts = if outcome == Outcome::TimedOut { self.timeouts.saturating_add(1) } else { 0 };
        let mut counting = self.shared.counting.borrow_mut();
        let counted = counting.target(&self.target);
        counted.attempted(outcome, now_ms());
        self.status.unreachable_since_ms = counted.down_since_ms;
        drop(counting);
        if !matches!(outcome, Outcome::Delivered | Outcome::Refused) {
            self.tried_in_vain();
        }
    }

    /// The server answered, though nothing was delivered: what it last failed in is over, unless an event
    /// still waits because of it.
    pub(super) fn answered(&mut self) {
        (self.timeouts, self.failures) = (0, 0);
        if self.suspects.is_empty() {
            self.status.last_error = None;
            self.status.retry_at_ms = None;
        }
        self.shared.counting.borrow_mut().target(&self.target).answered(now_ms());
        self.status.unreachable_since_ms = None;
    }

    /// What an error says, cleaned: a server's words may repeat what it was sent.
    pub(super) fn cleaned(&self, error: &CallError) -> String {
        dead::clean(&self.shared.sandbox, &error.message)
    }

    /// Shows the target as it is now, when it changed. `now` for everything but routine deliveries.
    pub(super) fn publish(&mut self, now: bool) {
        self.status.breaker = self.gate.phase_name().to_owned();
        self.count(now);
        if let Some((at, status)) = &self.status_written
            && (*status == self.status || (!now && at.elapsed() < STATUS_SPACING))
        {
            return;
        }
        if let Err(error) = self.status.save(&self.shared.spool) {
            tracing::warn!(%error, "the target's status could not be published");
        }
        self.status_written = Some((Instant::now(), self.status.clone()));
    }
}
