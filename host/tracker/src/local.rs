//! Sessions as the spool knows them: what waits, what is open, and what was delivered not long ago.

use std::collections::BTreeMap;
use std::io;

use uuid::Uuid;

use crate::agent::OpenSession;
use crate::history::{self, Past};
use crate::spool::{Envelope, Kind, Spool};
use crate::{Error, Target, Tracker};

/// One session as the spool knows it: accepted here, perhaps not delivered yet.
#[derive(Clone, Debug)]
pub struct LocalSession {
    /// Local key, `metadata.correlation_id` on the server.
    pub key: String,
    /// Where it goes.
    pub target: Target,
    /// The server's id, once it is known.
    pub session_id: Option<String>,
    /// Wire JSON of the start.
    pub start: String,
    /// Wire JSON of the end without `session_id`, where the end is known.
    pub end: Option<String>,
    /// Events of this session that wait for delivery.
    pub pending: u32,
}

impl LocalSession {
    fn of_past(past: Past) -> (u64, Self) {
        let session = Self {
            key: past.key.to_string(),
            target: past.target,
            session_id: past.session_id,
            start: past.start,
            end: Some(past.end),
            pending: 0,
        };
        (past.accepted_us, session)
    }
}

impl Tracker {
    /// Sessions the spool knows, newest first: those that wait or are open, and the last ones that were
    /// delivered.
    ///
    /// # Errors
    /// [`Error::Spool`] when it cannot be read.
    pub fn local_sessions(&self) -> Result<Vec<LocalSession>, Error> {
        // First what is over: what is delivered meanwhile is then seen twice rather than never.
        let past = history::read(&self.spool).unwrap_or_else(|error| {
            tracing::warn!(%error, "the history cannot be read");
            Vec::new()
        });
        let mut sessions: BTreeMap<Uuid, (u64, LocalSession)> =
            past.into_iter().map(|past| (past.key, LocalSession::of_past(past))).collect();
        for (key, (accepted_us, mut live)) in self.live_sessions()? {
            if live.end.is_none() {
                // The end that the agent inferred is delivered; the session is kept for a late one.
                live.end = sessions.remove(&key).and_then(|(_, past)| past.end);
            }
            sessions.insert(key, (accepted_us, live));
        }
        let mut sessions: Vec<_> = sessions.into_values().collect();
        sessions.sort_by(|(a, _), (b, _)| b.cmp(a));
        Ok(sessions.into_iter().map(|(_, session)| session).collect())
    }

    /// Sessions that wait or that the agent has in mind, with when they were accepted.
    fn live_sessions(&self) -> Result<BTreeMap<Uuid, (u64, LocalSession)>, Error> {
        let unreadable = |error: io::Error| self.unreadable(&error);
        let mut keys: Vec<Uuid> =
            self.spool.waiting().map_err(unreadable)?.iter().map(|(key, _)| *key).collect();
        keys.extend(self.spool.open_keys().map_err(unreadable)?);
        Ok(keys.into_iter().filter_map(|key| Some((key, self.live_session(key)?))).collect())
    }

    /// One session and when it was accepted; `None` when the agent has finished with it meanwhile.
    fn live_session(&self, key: Uuid) -> Option<(u64, LocalSession)> {
        let event = |kind| Spool::read_json::<Envelope>(&self.spool.event_path(key, kind)).ok().flatten();
        // Read in the order in which the agent moves things on, so that nothing is missed.
        let (start, gone, end) = (event(Kind::Start), event(Kind::Gone), event(Kind::End));
        let open = OpenSession::load(&self.spool, key).ok().flatten();
        let pending = [&start, &gone, &end].into_iter().flatten().count();
        let (accepted_us, target, wire) = match (&open, &start) {
            (Some(open), _) => (open.accepted_us, open.target.clone(), open.wire.clone()),
            (None, Some(start)) => (start.accepted_us, start.opened.clone()?.target, start.wire.clone()),
            (None, None) => return None,
        };
        let session = LocalSession {
            key: key.to_string(),
            target,
            session_id: open.and_then(|open| open.session_id),
            start: wire,
            end: end.or(gone).map(|end| end.wire),
            pending: u32::try_from(pending).unwrap_or(u32::MAX),
        };
        Some((accepted_us, session))
    }

    /// How many shells are open, as far as is known here.
    pub(crate) fn open_sessions(&self) -> Result<u64, Error> {
        let live = self.live_sessions()?.into_iter();
        let open = live.filter(|(key, (_, session))| {
            let kept = || OpenSession::load(&self.spool, *key).ok().flatten();
            session.end.is_none() && kept().is_none_or(|session| session.is_open())
        });
        Ok(u64::try_from(open.count()).unwrap_or(u64::MAX))
    }
}
