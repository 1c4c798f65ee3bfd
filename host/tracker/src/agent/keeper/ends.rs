//! The end of a shell that vanished without a word; and while shells live, the lease that tells a server
//! so.

use std::collections::HashMap;
use std::fmt::Display;
use std::rc::Rc;
use std::time::Duration;

use shelltrack_sandbox::types::ExitReason;
use tokio::task::spawn_local;
use uuid::Uuid;

use super::super::inferred::{self, Gone};
use super::super::{LEASE, Note, OpenSession, Order};
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
    /// The shell ended just now, unless it was gone when it was first looked at: nobody saw that.
    pub(super) fn is_gone(&mut self, key: Uuid, was_seen: bool) {
        let load = || OpenSession::load(&self.shared.spool, key).ok().flatten();
        let gone = match (!was_seen).then(load).flatten() {
            Some(session) => self.last_known(&session),
            None => Gone { key, reason: ExitReason::Vanished, at_us: now_us() },
        };
        self.infer_later(gone, GRACE);
    }

    fn infer_later(&mut self, gone: Gone, wait: Duration) {
        self.sessions.await_last_words(gone.key);
        let shared = self.shared.clone();
        spawn_local(async move {
            tokio::time::sleep(wait).await;
            shared.note(Note::Vanished(gone));
        });
    }

    /// Queues the ends that shells did not announce, unless they did after all. A thousand may vanish at
    /// once, as with a terminal or a machine: the disk is waited for once for many.
    pub(super) fn infer_ends(&mut self, gone: &[Gone]) {
        let (mut ends, mut of) = (Vec::new(), Vec::new());
        for gone in gone {
            match inferred::end_of(&self.shared.spool, &self.shared.sandbox, *gone) {
                Ok(Some(end)) => {
                    ends.push(end);
                    of.push(*gone);
                }
                Ok(None) => self.sessions.unwatch(gone.key),
                Err(error) => self.not_recorded_yet(*gone, &error),
            }
        }
        for (gone, kept) in of.into_iter().zip(self.shared.spool.accept_all(&ends, Kind::Gone)) {
            match kept {
                Ok(()) => {
                    self.see(gone.key, Kind::Gone);
                    self.sessions.unwatch(gone.key);
                }
                Err(error) => self.not_recorded_yet(gone, &error),
            }
        }
    }

    fn not_recorded_yet(&mut self, gone: Gone, error: &dyn Display) {
        tracing::error!(%error, key = %gone.key, "the end of a vanished shell is not recorded yet");
        self.infer_later(gone, STORE_AGAIN);
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
