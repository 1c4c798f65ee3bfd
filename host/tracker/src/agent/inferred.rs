//! The end of a session whose shell is gone without a word: what is known of it, and nothing more.

use chrono::{DateTime, SecondsFormat};
use shelltrack_sandbox::Sandbox;
use shelltrack_sandbox::types::{EndContext, ExitReason, Policy, PreparedEvent, Rule};
use uuid::Uuid;

use super::session::OpenSession;
use crate::Error;
use crate::spool::{Envelope, Kind, Spool};

/// A shell that is gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gone {
    /// Its session.
    pub(super) key: Uuid,
    /// What became of it, as far as that is known.
    pub(super) reason: ExitReason,
    /// The last moment at which it is known to have lived, microseconds since 1970.
    pub(super) at_us: u64,
}

/// The end of a session; `None` when it is over already, or on its way to be.
pub(super) fn end_of(spool: &Spool, sandbox: &Sandbox, gone: Gone) -> Result<Option<Envelope>, Error> {
    let has = |kind| spool.event_path(gone.key, kind).exists();
    if has(Kind::End) || has(Kind::Gone) {
        return Ok(None);
    }
    let session = OpenSession::recover(spool, gone.key).map_err(|error| spool.refusal(&error.to_string()))?;
    let Some(session) = session.filter(OpenSession::is_open) else { return Ok(None) };
    let prepared = build_end(sandbox, &session, gone.reason, gone.at_us)?;
    Ok(Some(Envelope::new(gone.key, prepared, None)))
}

/// When the session ended as far as an agent inferred that already, RFC 3339: its event waits, or is delivered.
pub(crate) fn inferred_end(spool: &Spool, key: Uuid) -> Option<String> {
    let waits = || Spool::read_json::<Envelope>(&spool.event_path(key, Kind::Gone)).ok().flatten();
    let known = || OpenSession::load(spool, key).ok().flatten();
    // In this order: the agent writes what it knows before the event goes.
    waits().map(|gone| gone.timestamp).or_else(|| known()?.inferred_end_at)
}

fn build_end(
    sandbox: &Sandbox,
    session: &OpenSession,
    exit_reason: ExitReason,
    at_us: u64,
) -> Result<PreparedEvent, shelltrack_sandbox::Error> {
    let time = i64::try_from(at_us).ok().and_then(DateTime::from_timestamp_micros);
    let mut context = EndContext {
        exit_status: None,
        exit_reason,
        metadata: String::new(),
        correlation_id: Some(session.key.to_string()),
        started_at: Some(session.started_at.clone()),
        event_id: None,
        timestamp: time.map(|time| time.to_rfc3339_opts(SecondsFormat::Micros, true)),
    };
    let policy = Policy::default();
    match sandbox.build_end(&context, &policy) {
        // The clock was set back, or the agent was last seen before the start.
        Err(shelltrack_sandbox::Error::Rejected(violations))
            if violations.iter().any(|violation| violation.rule == Rule::BeforeStart) =>
        {
            context.timestamp.clone_from(&context.started_at);
            sandbox.build_end(&context, &policy)
        }
        other => other,
    }
}
