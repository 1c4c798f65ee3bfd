//! What the agent knows of one session, as `open/KEY.json`. Written when its start is first seen and
//! kept until its end is delivered, so that any agent can go on where another was killed.

use std::io;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::dead;
use crate::Target;
use crate::fault::Part;
use crate::process::ProcessId;
use crate::spool::{Envelope, Kind, Opened, Spool, is_files_fault, remove};

/// How long the memory of a session that the agent itself ended is kept: an announced end that
/// arrives late (a laptop that slept, a frozen container) still replaces the inferred one.
pub(crate) const KEEP_INFERRED_US: u64 = 24 * 3600 * 1_000_000;

/// One session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct OpenSession {
    /// Local key.
    pub(crate) key: Uuid,
    /// Where its events go.
    pub(crate) target: Target,
    /// The shell.
    pub(crate) process: ProcessId,
    /// When the start was accepted, microseconds since 1970.
    pub(crate) accepted_us: u64,
    /// Time of the start event, RFC 3339.
    pub(crate) started_at: String,
    /// Arguments of `track_session_start`.
    pub(crate) wire: String,
    /// The server's id, once it has the start.
    pub(crate) session_id: Option<String>,
    /// When the inferred end was delivered, microseconds since 1970.
    pub(crate) inferred_end_us: Option<u64>,
    /// Time of that end, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) inferred_end_at: Option<String>,
}

impl OpenSession {
    /// From its start.
    pub(crate) fn from_start(envelope: &Envelope, opened: &Opened) -> Self {
        Self {
            key: envelope.key,
            target: opened.target.clone(),
            process: opened.process.clone(),
            accepted_us: envelope.accepted_us,
            started_at: envelope.timestamp.clone(),
            wire: envelope.wire.clone(),
            session_id: None,
            inferred_end_us: None,
            inferred_end_at: None,
        }
    }

    /// Reads it back; `None` when there is no such session.
    pub(crate) fn load(spool: &Spool, key: Uuid) -> io::Result<Option<Self>> {
        Spool::read_json(&spool.open_path(key))
    }

    /// As [`Self::load`]; what is damaged is set aside, and made anew from the start where that still
    /// waits. (A start that is sent twice is recognised by its event id.)
    pub(super) fn recover(spool: &Spool, key: Uuid) -> io::Result<Option<Self>> {
        let reason = match Self::load(spool, key) {
            Ok(Some(session)) if session.key == key => return Ok(Some(session)),
            Ok(Some(_)) => "is about another session".to_owned(),
            Ok(None) => return Self::rebuild(spool, key),
            Err(error) if is_files_fault(&error) => format!("cannot be read: {error}"),
            Err(error) => return Err(error),
        };
        spool.set_aside(&spool.open_path(key), &reason);
        let rebuilt = Self::rebuild(spool, key)?;
        if rebuilt.is_none() {
            dead::bury_session(spool, key, &format!("what was known of its session {reason}"))?;
        }
        Ok(rebuilt)
    }

    fn rebuild(spool: &Spool, key: Uuid) -> io::Result<Option<Self>> {
        // A start that cannot be read is the keeper's business.
        let start = Spool::read_json::<Envelope>(&spool.event_path(key, Kind::Start)).ok().flatten();
        let Some((start, opened)) = start.and_then(|mut start| start.opened.take().map(|at| (start, at)))
        else {
            return Ok(None);
        };
        let session = Self::from_start(&start, &opened);
        // As long as nothing else is known, the start says all of it, and is durable itself.
        spool.replace_json_lightly(&spool.open_path(key), &session, Part::Session)?;
        Ok(Some(session))
    }

    /// Keeps it, durably.
    pub(crate) fn save(&self, spool: &Spool) -> io::Result<()> {
        spool.replace_json(&spool.open_path(self.key), self, Part::Session)
    }

    /// As [`Self::save`], for several; gives what became of each.
    pub(crate) fn save_all(spool: &Spool, sessions: &[&Self]) -> Vec<io::Result<()>> {
        let files: Vec<_> = sessions.iter().map(|session| (spool.open_path(session.key), *session)).collect();
        spool.replace_all_json(&files, Part::Session)
    }

    /// Whether its shell is to be watched.
    pub(crate) fn is_open(&self) -> bool {
        self.inferred_end_us.is_none()
    }

    /// Whether nothing more is to be remembered.
    pub(crate) fn is_forgettable(&self, now_us: u64) -> bool {
        self.inferred_end_us.is_some_and(|at| now_us.saturating_sub(at) > KEEP_INFERRED_US)
    }

    /// Removes what is left of a session whose end was only inferred.
    pub(crate) fn forget_but_its_end(&self, spool: &Spool) -> io::Result<()> {
        remove(&spool.open_path(self.key), Part::Session)?;
        [Kind::Start, Kind::Gone]
            .iter()
            .try_for_each(|kind| remove(&spool.event_path(self.key, *kind), Part::Event))
    }

    /// Removes what is left of a session that is over. Whoever is killed in between leaves something that
    /// says so: an end alone is that of a session that is over, whereas what is known of one without its end
    /// would seem to be open. So nothing has to be noted before.
    pub(crate) fn forget(&self, spool: &Spool) -> io::Result<()> {
        remove(&spool.open_path(self.key), Part::Session)?;
        Kind::ALL.into_iter().try_for_each(|kind| remove(&spool.event_path(self.key, kind), Part::Event))
    }
}
