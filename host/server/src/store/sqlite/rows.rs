//! The SQL of one session: rows in, records out. No transactions, no files.

use rusqlite::{Connection, OptionalExtension, Row, named_params};
use shelltrack_sandbox::types::{EndEvent, StartEvent};

use super::super::row::{COLUMNS, Columns, EXPIRED, read_record, started_before};
use super::super::{Ending, Import, LEASE_UNRENEWED_US, Starting, StoreError, StoredStart};
use crate::records::{ADMIN_SHELL, SessionRecord, State, exit_reason_name, now_us};
use crate::session_id::{entropy, session_id};

/// How often a new suffix is drawn when an id is taken. One collision is already improbable.
const ID_ATTEMPTS_MAX: u32 = 8;

/// Inserts a start, or finds the session its event already made.
pub(super) fn insert_start(
    connection: &Connection,
    event: &StartEvent,
    owner: Option<&str>,
) -> Result<Starting, StoreError> {
    for _ in 0..ID_ATTEMPTS_MAX {
        let id = session_id(&event.component_name, event.timestamp_us, entropy()).ok_or_else(|| {
            StoreError::Unavailable("the start has a time without a year of four digits".into())
        })?;
        match try_insert(connection, event, &id, owner) {
            Ok(Some(stored)) => return Ok(Starting::Stored(stored)),
            Ok(None) => {
                let sql = format!("SELECT {COLUMNS} FROM sessions WHERE event_id = ?1");
                let record = one(connection, &sql, &event.event_id)?.ok_or(StoreError::Corrupt)?;
                return Ok(started_before(record, event, owner));
            }
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
                continue;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::Unavailable("no free session id was found".into()))
}

/// `None` when the event is stored already.
fn try_insert(
    connection: &Connection,
    event: &StartEvent,
    id: &str,
    owner: Option<&str>,
) -> rusqlite::Result<Option<StoredStart>> {
    connection
        .prepare_cached(
            "INSERT INTO sessions (session_id, event_id, correlation_id, session_type, component_name, shell_type,
                 pid, username, home, hostname, python_version, platform, working_directory, metadata, start_us,
                 received_us, state, owner, lease_until_us)
             VALUES (:session_id, :event_id, :correlation_id, :session_type, :component_name, :shell_type,
                 :pid, :username, :home, :hostname, :python_version, :platform, :cwd, :metadata, :start_us,
                 :received_us, 'active', :owner, :lease_until_us)
             ON CONFLICT (event_id) DO NOTHING
             RETURNING session_id, start_us",
        )?
        .query_row(
            named_params! {
                ":session_id": id,
                ":event_id": event.event_id,
                ":correlation_id": event.correlation_id,
                ":session_type": ADMIN_SHELL,
                ":component_name": event.component_name,
                ":shell_type": event.shell_type,
                ":pid": event.pid,
                ":username": event.user.username,
                ":home": event.user.home,
                ":hostname": event.hostname,
                ":python_version": event.environment.python_version,
                ":platform": event.environment.platform,
                ":cwd": event.environment.cwd,
                ":metadata": event.metadata,
                ":start_us": event.timestamp_us,
                ":received_us": now_us(),
                ":owner": owner,
                ":lease_until_us": now_us().saturating_add(LEASE_UNRENEWED_US),
            },
            read_start,
        )
        .optional()
}

fn read_start(row: &Row<'_>) -> rusqlite::Result<StoredStart> {
    Ok(StoredStart { session_id: row.get(0)?, start_us: row.get(1)? })
}

/// Ends a session where the event may, and gives the session as it then is.
pub(super) fn update_end(
    connection: &Connection,
    event: &EndEvent,
    owner: Option<&str>,
) -> Result<Ending, StoreError> {
    let state = State::from(event.state);
    if state == State::Active {
        return Err(StoreError::Unavailable("an end cannot leave its session active".into()));
    }
    let sql = "SELECT owner FROM sessions WHERE session_id = ?1";
    let began: Option<Option<String>> =
        connection.prepare_cached(sql)?.query_row([&event.session_id], |row| row.get(0)).optional()?;
    match began {
        None => return Ok(Ending::Unknown),
        Some(began) if began.as_deref() != owner => return Ok(Ending::Foreign),
        Some(_) => write_end(connection, event, state)?,
    }
    let record = by_session_id(connection, &event.session_id)?.ok_or(StoreError::Corrupt)?;
    Ok(Ending::Known(Box::new(record)))
}

fn write_end(connection: &Connection, event: &EndEvent, state: State) -> Result<(), StoreError> {
    connection
        .prepare_cached(&format!(
            "UPDATE sessions
             SET state = :state, end_us = :end_us, end_event_id = :event_id, end_metadata = :metadata,
                 end_received_us = :received_us, exit_status = :exit_status, exit_reason = :exit_reason
             WHERE session_id = :session_id
                 AND (state = 'active' OR {EXPIRED} OR (state IN ('crashed', 'lost') AND :state = 'ended'))"
        ))?
        .execute(named_params! {
            ":state": state.name(),
            ":end_us": event.timestamp_us,
            ":event_id": event.event_id,
            ":metadata": event.metadata,
            ":received_us": now_us(),
            ":exit_status": event.exit_status,
            ":exit_reason": exit_reason_name(event.exit_reason),
            ":session_id": event.session_id,
        })?;
    Ok(())
}

/// Stores a session from elsewhere with the id it had there; `false` when session or event is here already.
pub(super) fn import(connection: &Connection, session: &Import) -> Result<bool, StoreError> {
    let sql = "SELECT count(*) FROM sessions WHERE session_id = ?1 OR event_id = ?2";
    let known: i64 = connection
        .prepare_cached(sql)?
        .query_row([&session.session_id, &session.start.event_id], |row| row.get(0))?;
    if known > 0 {
        return Ok(false);
    }
    try_insert(connection, &session.start, &session.session_id, session.owner.as_deref())?;
    if let Some(end) = &session.end {
        write_end(connection, end, State::from(end.state))?;
    }
    let sql =
        "UPDATE sessions SET last_seen_us = ?2, archived_us = ?3, end_metadata = iif(?4, NULL, end_metadata)
               WHERE session_id = ?1";
    let values = (&session.session_id, session.last_seen_us, session.archived_us, session.is_expired());
    connection.prepare_cached(sql)?.execute(values)?;
    Ok(true)
}

fn by_session_id(connection: &Connection, id: &str) -> Result<Option<SessionRecord>, StoreError> {
    one(connection, &format!("SELECT {COLUMNS} FROM sessions WHERE session_id = ?1"), id)
}

fn one(connection: &Connection, sql: &str, id: &str) -> Result<Option<SessionRecord>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([id])?;
    rows.next()?.map(read_record).transpose()
}

/// The session with that session id, or else the newest with that correlation id.
pub(super) fn show(connection: &Connection, id: &str) -> Result<Option<SessionRecord>, StoreError> {
    if let Some(record) = by_session_id(connection, id)? {
        return Ok(Some(record));
    }
    let sql = format!(
        "SELECT {COLUMNS} FROM sessions WHERE correlation_id = ?1 ORDER BY start_us DESC, id DESC LIMIT 1"
    );
    one(connection, &sql, id)
}

impl Columns for Row<'_> {
    fn text(&self, column: &str) -> Result<Option<String>, StoreError> {
        Ok(self.get(column)?)
    }

    fn integer(&self, column: &str) -> Result<Option<i64>, StoreError> {
        Ok(self.get(column)?)
    }
}
