//! What others may rely on: that this agent is there, until it withdraws, and how full the spool is.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout};

use super::super::{Moment, Presence};
use super::Keeper;
use crate::clock::now_ms;
use crate::spool::Fill;

/// How long the workers together have to finish the calls they are in when the agent ends.
const FAREWELL: Duration = Duration::from_secs(5);

impl Keeper {
    /// Says that this agent can be relied upon. On a full disk it cannot be said; then shells start
    /// others in vain, and the events are delivered all the same.
    pub(super) fn announce(&mut self) {
        if self.shared.visiting {
            return;
        }
        match Presence::announce(&self.shared.spool, now_ms(), self.shared.stays) {
            Ok(()) => self.announced = Some((Instant::now(), now_ms())),
            Err(error) => tracing::error!(%error, "the agent cannot announce itself"),
        }
    }

    /// Withdraws, and looks once more: whoever wrote an event before we withdrew relies on us. An agent
    /// that cannot withdraw stays: somebody may rely on it.
    pub(super) fn may_leave(&mut self) -> bool {
        if !self.shared.visiting {
            if let Err(error) = Presence::withdraw(&self.shared.spool) {
                tracing::error!(%error, "the agent cannot withdraw, and stays");
                return false;
            }
            self.announced = None;
        } else {
            // Of sessions whose starts were delivered just now, some may be known to be over.
            self.recall();
        }
        self.look_around();
        if self.is_idle() {
            return true;
        }
        self.announce();
        // Between the last look and this announcement others were not to rely on us.
        self.look_around();
        false
    }

    /// Withdraws for good, and lets the workers finish the calls they are in.
    pub(super) async fn leave(self) {
        let Self { shared, workers, sessions, .. } = self;
        shared.tell(Moment::Leaving);
        if !shared.visiting {
            // As when the machine shuts down. Unsaid, whatever is open will seem to have ended as it began.
            if sessions.any_open() && Presence::part(&shared.spool, now_ms(), shared.stays).is_err() {
                tracing::warn!("until when open sessions were alive cannot be kept");
            }
            drop(Presence::withdraw(&shared.spool));
        }
        // A worker whose queue is closed begins nothing more. All of them at once: one server that says
        // nothing is not to use up the time of the others, nor of a machine that shuts down.
        let tasks = workers.into_values().map(|(_, task)| task);
        drop(timeout(FAREWELL, join_all(tasks)).await);
        shared.counting.borrow_mut().count(&shared.spool);
    }

    /// Tells the shells how full the spool is, in steps: an exact figure would cost a write an event.
    pub(super) fn publish_fill(&mut self) {
        /// What may change between two publications: far below the limits it guards.
        const STEP: Fill = Fill { events: 500, bytes: 1 << 20 };
        let events = u64::try_from(self.waiting.len()).unwrap_or(u64::MAX);
        let fill = Fill { events, bytes: self.waiting_bytes };
        if fill.events.abs_diff(self.published.events) < STEP.events
            && fill.bytes.abs_diff(self.published.bytes) < STEP.bytes
        {
            return;
        }
        if let Err(error) = self.shared.spool.publish_fill(fill) {
            tracing::warn!(%error, "the fill of the spool could not be published");
        }
        // Also when it failed: a disk that is full is not to be asked again for every event.
        self.published = fill;
    }
}
