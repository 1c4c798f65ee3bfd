//! The SQL of one session: rows in, records out.

use deadpool_postgres::{GenericClient, Object};
use shelltrack_sandbox::types::{EndEvent, StartEvent};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;

use super::super::row::{COLUMNS, Columns, EXPIRED, read_record, started_before};
use super::super::{Ending, Import, LEASE_UNRENEWED_US, Starting, StoreError, StoredStart};
use super::questions;
use crate::records::{ADMIN_SHELL, SessionRecord, State, exit_reason_name, now_us};
use crate::session_id::{entropy, session_id};

/// How often a new suffix is drawn when an id is taken. One collision is already improbable.
const ID_ATTEMPTS_MAX: u32 = 8;

/// Inserts a start, or finds the session its event already made.
pub(super) async fn insert_start(
    client: &Object,
    event: &StartEvent,
    owner: Option<&str>,
) -> Result<Starting, StoreError> {
    for _ in 0..ID_ATTEMPTS_MAX {
        let id = session_id(&event.component_name, event.timestamp_us, entropy()).ok_or_else(|| {
            StoreError::Unavailable("the start has a time without a year of four digits".into())
        })?;
        match try_insert(client, event, &id, owner).await {
            Ok(true) => {
                return Ok(Starting::Stored(StoredStart { session_id: id, start_us: event.timestamp_us }));
            }
            Ok(false) => {
                let record = by(client, "event_id", &event.event_id).await?.ok_or(StoreError::Corrupt)?;
                return Ok(started_before(record, event, owner));
            }
            Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => continue,
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::Unavailable("no free session id was found".into()))
}

/// `false` when the event is stored already.
async fn try_insert(
    client: &impl GenericClient,
    event: &StartEvent,
    id: &str,
    owner: Option<&str>,
) -> Result<bool, tokio_postgres::Error> {
    let statement = client
        .prepare_cached(
            "INSERT INTO sessions (session_id, event_id, correlation_id, session_type, component_name, shell_type,
                 pid, username, home, hostname, python_version, platform, working_directory, metadata, start_us,
                 received_us, state, owner, lease_until_us)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, 'active', $17, $18)
             ON CONFLICT (event_id) DO NOTHING",
        )
        .await?;
    let (pid, received_us) = (i64::from(event.pid), now_us());
    let lease_until_us = received_us.saturating_add(LEASE_UNRENEWED_US);
    let rows = client
        .execute(
            &statement,
            &[
                &id,
                &event.event_id,
                &event.correlation_id,
                &ADMIN_SHELL,
                &event.component_name,
                &event.shell_type,
                &pid,
                &event.user.username,
                &event.user.home,
                &event.hostname,
                &event.environment.python_version,
                &event.environment.platform,
                &event.environment.cwd,
                &event.metadata,
                &event.timestamp_us,
                &received_us,
                &owner,
                &lease_until_us,
            ],
        )
        .await?;
    Ok(rows > 0)
}

/// Ends a session where the event may, and gives the session as it then is.
pub(super) async fn update_end(
    client: &Object,
    event: &EndEvent,
    owner: Option<&str>,
) -> Result<Ending, StoreError> {
    let state = State::from(event.state);
    if state == State::Active {
        return Err(StoreError::Unavailable("an end cannot leave its session active".into()));
    }
    let statement = client.prepare_cached("SELECT owner FROM sessions WHERE session_id = $1").await?;
    let Some(row) = client.query_opt(&statement, &[&event.session_id]).await? else {
        return Ok(Ending::Unknown);
    };
    if row.try_get::<_, Option<&str>>(0)? != owner {
        return Ok(Ending::Foreign);
    }
    write_end(client, event, state).await?;
    let record = by(client, "session_id", &event.session_id).await?.ok_or(StoreError::Corrupt)?;
    Ok(Ending::Known(Box::new(record)))
}

async fn write_end(client: &impl GenericClient, event: &EndEvent, state: State) -> Result<(), StoreError> {
    let statement = client
        .prepare_cached(&format!(
            "UPDATE sessions
             SET state = $1, end_us = $2, end_event_id = $3, end_metadata = $4, end_received_us = $5,
                 exit_status = $6, exit_reason = $7
             WHERE session_id = $8
                 AND (state = 'active' OR {EXPIRED} OR (state IN ('crashed', 'lost') AND $1 = 'ended'))"
        ))
        .await?;
    client
        .execute(
            &statement,
            &[
                &state.name(),
                &event.timestamp_us,
                &event.event_id,
                &event.metadata,
                &now_us(),
                &event.exit_status,
                &exit_reason_name(event.exit_reason),
                &event.session_id,
            ],
        )
        .await?;
    Ok(())
}

/// Stores a session from elsewhere with the id it had there, whole or not at all; `false` when session or
/// event is here already.
pub(super) async fn import(client: &mut Object, session: &Import) -> Result<bool, StoreError> {
    let transaction = client.transaction().await?;
    let inserted =
        try_insert(&transaction, &session.start, &session.session_id, session.owner.as_deref()).await;
    match inserted {
        Ok(true) => {}
        Ok(false) => return Ok(false),
        Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    if let Some(end) = &session.end {
        write_end(&transaction, end, State::from(end.state)).await?;
    }
    let sql = "UPDATE sessions SET last_seen_us = $2, archived_us = $3,
                   end_metadata = CASE WHEN $4 THEN NULL ELSE end_metadata END
               WHERE session_id = $1";
    let is_expired = session.is_expired();
    let (seen_us, archived_us) = (session.last_seen_us, session.archived_us);
    transaction.execute(sql, &[&session.session_id, &seen_us, &archived_us, &is_expired]).await?;
    transaction.commit().await?;
    Ok(true)
}

/// The session with that value in a column that is unique.
async fn by(client: &Object, column: &str, value: &str) -> Result<Option<SessionRecord>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM sessions WHERE {column} = $1");
    let statement = client.prepare_cached(&sql).await?;
    client.query_opt(&statement, &[&value]).await?.as_ref().map(read_record).transpose()
}

/// The session with that session id, or else the newest with that correlation id.
pub(super) async fn show(client: &Object, id: &str) -> Result<Option<SessionRecord>, StoreError> {
    if id.contains('\0') {
        return Ok(None); // PostgreSQL has no such text
    }
    questions::expire(client, now_us()).await?;
    if let Some(record) = by(client, "session_id", id).await? {
        return Ok(Some(record));
    }
    let sql = format!(
        "SELECT {COLUMNS} FROM sessions WHERE correlation_id = $1 ORDER BY start_us DESC, id DESC LIMIT 1"
    );
    let statement = client.prepare_cached(&sql).await?;
    client.query_opt(&statement, &[&id]).await?.as_ref().map(read_record).transpose()
}

impl Columns for Row {
    fn text(&self, column: &str) -> Result<Option<String>, StoreError> {
        Ok(self.try_get(column)?)
    }

    /// PostgreSQL tells sizes apart; an INTEGER is no BIGINT.
    fn integer(&self, column: &str) -> Result<Option<i64>, StoreError> {
        let small = || Ok::<_, tokio_postgres::Error>(self.try_get::<_, Option<i32>>(column)?.map(i64::from));
        Ok(self.try_get(column).or_else(|_| small())?)
    }
}
