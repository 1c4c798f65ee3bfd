//! The end of a session whose shell is gone without a word: what is known of it, and nothing more.

use chrono::{DateTime, SecondsFormat};
use shelltrack_sandbox::Sandbox;
use shelltrack_sandbox::types::{EndContext, ExitReason, Policy, PreparedEvent, Rule};
use uuid::Uuid;

use super::session::OpenSession;
use crate::Error;
use crate::spool::{Envelope, Kind, Spool};

/// Puts the end of a session into the spool unless it is over already. `at_us`: the last moment at
/// which the shell is known to have lived, in microseconds since 1970. `false` when nothing was to do.
pub(super) fn accept_end(
    spool: &Spool,
    sandbox: &Sandbox,
    key: Uuid,
    reason: ExitReason,
    at_us: u64,
) -> Result<bool, Error> {
    if spool.event_path(key, Kind::End).exists() {
        return Ok(false);
    }
    let session = OpenSession::recover(spool, key).map_err(|error| spool.refusal(&error.to_string()))?;
    let Some(session) = session.filter(OpenSession::is_open) else { return Ok(false) };
    let prepared = build_end(sandbox, &session, reason, at_us)?;
    spool.accept(&Envelope::new(key, prepared, None), Kind::Gone)?;
    Ok(true)
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
