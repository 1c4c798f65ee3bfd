//! What never gets through becomes a dead letter, with its reason and what it takes to try it again.

use super::super::{Item, OpenSession, dead};
use super::{ATTENTION_WAIT, Worker};
use crate::clock::now_us;
use crate::fault::Part;
use crate::spool::{Kind, remove};

/// Longest time an event waits: a server that is away for longer needs a person. Microseconds.
const AGE_MAX_US: u64 = 30 * 24 * 3600 * 1_000_000;

impl Worker {
    /// What has waited for too long becomes a dead letter, the oldest first.
    pub(super) fn expire(&mut self) {
        let due = now_us().saturating_sub(AGE_MAX_US);
        while let Some(item) = self.waiting.first().filter(|item| item.accepted_us < due).copied() {
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
