//! The end of a shell that vanished without a word; and while shells live, the lease that tells a server
//! so.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use shelltrack_sandbox::types::ExitReason;
use tokio::task::spawn_local;
use uuid::Uuid;

use super::super::{LEASE, Note, Order, inferred};
use super::Keeper;
use crate::Target;
use crate::clock::now_us;
use crate::spool::Kind;

/// How long a vanished shell has to have announced its end: its last words may still be on the way.
const GRACE: Duration = Duration::from_secs(2);
/// How long to wait before an end that could not be stored is tried again: a full disk.
const STORE_AGAIN: Duration = Duration::from_secs(10);
/// How often leases are renewed: one may be missed, and a second one be late.
pub(super) const RENEW_EVERY: Duration = Duration::from_secs(LEASE.as_secs() / 3);

impl Keeper {
    /// The shell ended just now.
    pub(super) fn is_gone(&mut self, key: Uuid) {
        self.infer_later(key, ExitReason::Vanished, now_us(), GRACE);
    }

    fn infer_later(&mut self, key: Uuid, reason: ExitReason, at_us: u64, wait: Duration) {
        self.sessions.await_last_words(key);
        let shared = self.shared.clone();
        spawn_local(async move {
            tokio::time::sleep(wait).await;
            shared.note(Note::Vanished(key, reason, at_us));
        });
    }

    /// Queues the end that a shell did not announce, unless it did after all. `at_us`: the last moment at
    /// which it is known to have lived, microseconds since 1970.
    pub(super) fn infer_end(&mut self, key: Uuid, reason: ExitReason, at_us: u64) {
        match inferred::accept_end(&self.shared.spool, &self.shared.sandbox, key, reason, at_us) {
            Ok(true) => self.see(key, Kind::Gone),
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%error, %key, "the end of a vanished shell is not recorded yet");
                return self.infer_later(key, reason, at_us, STORE_AGAIN);
            }
        }
        self.sessions.unwatch(key);
    }

    /// Has the servers told which sessions live.
    pub(super) fn renew(&mut self) {
        let mut alive: HashMap<Rc<Target>, Vec<Box<str>>> = HashMap::new();
        for (target, session_id) in self.sessions.alive() {
            alive.entry(target.clone()).or_default().push(session_id.into());
        }
        for (target, sessions) in alive {
            if let Some((queue, _)) = self.workers.get(&target) {
                // A worker that is gone renews nothing; the next agent does.
                drop(queue.send(Order::Renew(sessions)));
            }
        }
    }
}
