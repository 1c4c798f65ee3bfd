//! What never gets through becomes a dead letter, with its reason and what it takes to try it again.

use std::time::Duration;

use tokio::time::Instant;

use super::super::{Item, OpenSession, dead};
use super::{ATTENTION_WAIT, Worker};
use crate::clock::now_us;
use crate::fault::Part;
use crate::spool::{Kind, remove};

/// Longest time an event waits: a server that is away for longer needs a person. Microseconds.
const AGE_MAX_US: u64 = 30 * 24 * 3600 * 1_000_000;

/// How long the server is tried in vain before what is too old is given up. Whoever slept for a month is
/// without a network for a while, and a clock that leapt is put right then. The agent's own time.
const IN_VAIN: Duration = Duration::from_secs(3600);

/// Events that are too old, while the server is tried in vain.
pub(super) struct Overdue {
    /// Since when.
    since: Instant,
    /// Those accepted before, microseconds since 1970.
    due_us: u64,
    /// For long enough.
    is_certain: bool,
}

impl Worker {
    /// An attempt failed. What is too old by now was not too old unseen: it has been tried.
    pub(super) fn tried_in_vain(&mut self) {
        let due_us = now_us().saturating_sub(AGE_MAX_US);
        let oldest = self.waiting.first().map(|item| item.accepted_us).filter(|oldest| *oldest < due_us);
        self.overdue = match (self.overdue.take(), oldest) {
            (_, None) => None,
            (Some(before), Some(oldest)) if oldest < before.due_us => Some(Overdue {
                since: before.since,
                // The clock may have been put right meanwhile.
                due_us: before.due_us.min(due_us),
                is_certain: before.since.elapsed() >= IN_VAIN,
            }),
            (_, Some(_)) => Some(Overdue { since: Instant::now(), due_us, is_certain: false }),
        };
    }

    /// What has waited for too long becomes a dead letter, the oldest first.
    pub(super) fn expire(&mut self) {
        let Some(Overdue { due_us, .. }) = self.overdue.take_if(|overdue| overdue.is_certain) else { return };
        while let Some(item) = self.waiting.first().filter(|item| item.accepted_us < due_us).copied() {
            self.give_up(item, "waited for more than 30 days");
            if self.waiting.first() == Some(&item) {
                // It could not be buried; what is younger can wait as well.
                return;
            }
        }
    }

    /// Makes the event a dead letter. A dead start takes the rest of its session along.
    pub(super) fn give_up(&mut self, item: Item, reason: &str) {
        let reason = &dead::clean(&self.shared.sandbox, reason);
        tracing::warn!(key = %item.key, kind = ?item.kind, reason, "dead letter");
        let kinds = if item.kind == Kind::Start { &Kind::ALL[..] } else { &[item.kind][..] };
        for kind in kinds {
            match dead::bury(&self.shared.spool, &self.shared.sandbox, item.key, *kind, reason) {
                // Also one that was not given to this worker yet.
                Ok(buried) => {
                    self.shared.counting.borrow_mut().target(&self.target).dead += u64::from(buried);
                }
                Err(error) => {
                    tracing::error!(%error, "a dead letter could not be kept; it stays in the queue");
                    return self.suspects.hold(item, ATTENTION_WAIT);
                }
            }
        }
        self.remember_no_more_than_needed(item);
        self.suspects.remove(item.key);
        let gone: Vec<Item> = self
            .waiting
            .iter()
            .filter(|other| other.key == item.key && kinds.contains(&other.kind))
            .copied()
            .collect();
        gone.into_iter().for_each(|item| self.finish(item));
        self.shared.forget(item.key);
        self.publish(true);
    }

    /// What is known of a session goes with its dead letter, unless an announced end may still come or
    /// an inferred one still waits.
    fn remember_no_more_than_needed(&self, buried: Item) {
        let spool = &self.shared.spool;
        let done = match buried.kind {
            Kind::Gone => OpenSession::recover(spool, buried.key).and_then(|session| match session {
                Some(mut session) => {
                    session.inferred_end_us = Some(now_us());
                    session.save(spool)
                }
                None => Ok(()),
            }),
            Kind::End if spool.event_path(buried.key, Kind::Gone).exists() => Ok(()),
            Kind::Start | Kind::End => remove(&spool.open_path(buried.key), Part::Session),
        };
        if let Err(error) = done {
            tracing::error!(%error, "what is known of a dead session could not be settled");
        }
    }
}
