//! What follows from an attempt: for its events, for the others, and for the target as a whole.

use std::time::Duration;

use shelltrack_sandbox::types::Outcome;
use tokio::time::Instant;

use super::super::Item;
use super::super::delivery::{Tried, Verdict};
use super::super::gate::Permit;
use super::{ATTENTION_WAIT, Worker};
use crate::clock::{now_ms, now_us};
use crate::metrics::outcome_name;
use crate::session_buddy::CallError;

impl Worker {
    /// Draws the consequences.
    pub(super) async fn judge(&mut self, permit: Permit, tried: Vec<Tried>) {
        let mut failed = Vec::new();
        for (item, verdict) in tried {
            match verdict {
                Ok(Verdict::Done) => {
                    self.delivered(permit, item);
                    self.got_through = true;
                }
                Ok(Verdict::Dead(reason)) => {
                    self.gate.report(permit, Ok(()));
                    self.attempted(Outcome::Refused);
                    self.give_up(item, &reason);
                }
                Ok(Verdict::Again(error)) => failed.push((item, error)),
                Err(error) => {
                    tracing::error!(%error, "the spool cannot be used");
                    self.gate.report(permit, Ok(()));
                    self.suspects.hold(item, ATTENTION_WAIT);
                }
            }
        }
        if self.got_through {
            // What failed just now may have failed after the others got through.
            self.suspects.others_got_through();
        }
        self.step_behind(&failed);
        for (item, reason) in self.suspects.hopeless(self.tuning.attempts_max) {
            self.give_up(item, &reason);
        }
        if !failed.is_empty() {
            self.failed(permit, failed.iter().map(|(_, error)| error)).await;
        }
    }

    fn delivered(&mut self, permit: Permit, item: Item) {
        self.gate.report(permit, Ok(()));
        self.is_proven = true;
        self.failures = 0;
        self.suspects.remove(item.key);
        if self.suspects.is_empty() {
            self.status.last_error = None;
        }
        self.status.retry_at_ms = None;
        self.status.last_delivery_ms = Some(now_ms());
        self.attempted(Outcome::Delivered);
        let mut counting = self.shared.counting.borrow_mut();
        let counted = counting.target(&self.target);
        counted.delivered += 1;
        counted.delivery.observe_us(now_us().saturating_sub(item.accepted_us));
        drop(counting);
        self.finish(item);
        self.publish(false);
    }

    /// Whoever did not get through is tried again when others had their turn.
    fn step_behind(&mut self, failed: &[(Item, CallError)]) {
        for (item, error) in failed {
            let is_alone = self.waiting.iter().all(|other| other.key == item.key);
            let attempts = self.suspects.failed(*item, error, is_alone);
            let wait_ms = self.gate.backoff_ms(self.failures.max(attempts), error.retry_after_ms);
            self.suspects.postpone(item.key, Duration::from_millis(wait_ms));
        }
    }

    /// What the failures of one attempt mean for the target.
    async fn failed(&mut self, permit: Permit, errors: impl Iterator<Item = &CallError>) {
        let mut of_target = None;
        for error in errors {
            if is_of_target(error) {
                of_target = of_target.or(Some(error));
                continue;
            }
            self.gate.report(permit, Err(error));
            self.attempted(error.outcome);
            self.not_before = asked_to_wait(error);
            self.status.last_error = Some(self.cleaned(error));
        }
        if let Some(error) = of_target {
            return self.target_failed(permit, error).await;
        }
        self.failures = self.failures.saturating_add(1);
        // After a timeout or garbage nobody knows what the next bytes belong to.
        self.disconnect().await;
        self.publish(true);
    }

    /// The target as a whole did not answer.
    pub(super) async fn target_failed(&mut self, permit: Permit, error: &CallError) {
        self.gate.report(permit, Err(error));
        self.attempted(error.outcome);
        self.disconnect().await;
        self.not_before = asked_to_wait(error);
        let wait = match error.outcome {
            Outcome::Unauthorized => {
                self.status.needs_attention = Some(self.cleaned(error));
                ATTENTION_WAIT
            }
            _ => Duration::from_millis(self.gate.backoff_ms(self.failures, error.retry_after_ms)),
        };
        self.failures = self.failures.saturating_add(1);
        let told = self.cleaned(error);
        tracing::warn!(target_server = %self.target, error = told, outcome = outcome_name(error.outcome), "not reached");
        self.status.last_error = Some(told);
        self.pause(wait);
    }
}

/// Until when the server does not want to be asked.
fn asked_to_wait(error: &CallError) -> Option<Instant> {
    error.retry_after_ms.map(|ms| Instant::now() + Duration::from_millis(ms))
}

/// Whether the target did not answer as such, rather than to one event: then all of it waits for a moment.
fn is_of_target(error: &CallError) -> bool {
    matches!(error.outcome, Outcome::Unreachable | Outcome::Unauthorized | Outcome::Overloaded)
}
