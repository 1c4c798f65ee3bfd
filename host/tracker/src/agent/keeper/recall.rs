//! Goes on where the agent before this one stopped: what it knew of sessions is in `open/`.

use shelltrack_sandbox::types::ExitReason;

use super::super::OpenSession;
use super::super::inferred::Gone;
use super::Keeper;
use crate::clock::now_us;
use crate::spool::Kind;

impl Keeper {
    /// Takes every session to mind that is not over.
    pub(super) fn recall(&mut self) {
        let keys = match self.shared.spool.open_keys() {
            Ok(keys) => keys,
            Err(error) => return tracing::error!(%error, "what is known of sessions cannot be read"),
        };
        // Looking for it reads all processes: once is enough.
        let gone = self.shared.visiting && !keys.is_empty() && self.shared.spool.is_of_a_gone_namespace();
        let mut vanished = Vec::new();
        for key in keys {
            match OpenSession::recover(&self.shared.spool, key) {
                Ok(Some(session)) => vanished.extend(self.resume(&session, gone)),
                Ok(None) => {}
                Err(error) => tracing::error!(%error, %key, "the session's state cannot be read"),
            }
        }
        self.infer_ends(&vanished);
    }

    /// Takes a session to mind; gives it back when its shell is gone.
    fn resume(&mut self, session: &OpenSession, namespace_is_gone: bool) -> Option<Gone> {
        if self.forget_if_old(session) {
            return None;
        }
        if !session.is_open() || self.may_live(session, namespace_is_gone) {
            self.keep(session);
            return None;
        }
        let target = self.target(&session.target);
        self.sessions.keep(session, target, false);
        Some(self.last_known(session))
    }

    /// Nobody saw it end: the last moment at which it is known to have lived is the best guess.
    pub(super) fn last_known(&self, session: &OpenSession) -> Gone {
        let at_us = self.last_seen_ms.unwrap_or(0).saturating_mul(1_000).max(session.accepted_us);
        let reason =
            if session.process.is_of_an_earlier_boot() { ExitReason::Rebooted } else { ExitReason::Vanished };
        Gone { key: session.key, reason, at_us }
    }

    /// Forgets sessions whose end was inferred so long ago that nobody will announce it any more. An agent
    /// may stay for months while such sessions come and go.
    pub(super) fn forget_old(&self) {
        for key in self.shared.spool.open_keys().unwrap_or_default() {
            if let Ok(Some(session)) = OpenSession::load(&self.shared.spool, key) {
                self.forget_if_old(&session);
            }
        }
    }

    /// An end that was accepted after one was inferred is still to be delivered, however late.
    fn forget_if_old(&self, session: &OpenSession) -> bool {
        let spool = &self.shared.spool;
        let ends = || spool.event_path(session.key, Kind::End).exists();
        if !session.is_forgettable(now_us()) || ends() {
            return false;
        }
        if let Err(error) = session.forget_but_its_end(spool) {
            tracing::error!(%error, "an ended session could not be forgotten");
        }
        // A shell may have announced it just then, before it could see that its session is forgotten.
        if ends()
            && let Err(error) = session.save(spool)
        {
            tracing::error!(%error, key = %session.key, "an end comes too late to be delivered");
        }
        !ends()
    }

    /// Whether the shell may still be there. A visitor knows nothing of the pids in another namespace:
    /// only a run of the machine that is over is over for them as well, and a namespace that is gone.
    pub(super) fn may_live(&self, session: &OpenSession, namespace_is_gone: bool) -> bool {
        match self.shared.visiting {
            // Of another machine, or one that lost its name, not even that can be told.
            true if !self.shared.spool.is_of_this_machine() => true,
            true => !session.process.is_of_an_earlier_boot() && !namespace_is_gone,
            false => session.process.is_alive(),
        }
    }
}
