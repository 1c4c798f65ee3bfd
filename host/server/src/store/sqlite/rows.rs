//! The SQL of sessions: rows in, records out. No transactions, no files.

use rusqlite::types::ToSql;
use rusqlite::{Connection, OptionalExtension, Row, named_params};
use serde_json::{Map, Value};
use shelltrack_sandbox::types::{EndEvent, StartEvent};

use super::super::{Counts, Cursor, ListQuery, Page, StoreError, StoredStart};
use crate::records::{
    ADMIN_SHELL, SessionRecord, State, duration_seconds, exit_reason_name, merged_metadata, now_us, rfc3339,
};
use crate::session_id::{entropy, session_id};

/// How often a new suffix is drawn when an id is taken. One collision is already improbable.
const ID_ATTEMPTS_MAX: u32 = 8;

/// Metadata of one part of a list: an answer holds it twice, as structure and as escaped text, and with
/// up to 6 MiB it still fits the 8 MiB that clients take.
const PAGE_METADATA_BYTES_MAX: usize = 2 << 20;

const COLUMNS: &str = "id, session_id, session_type, component_name, shell_type, start_us, end_us, pid, username, \
     hostname, python_version, platform, working_directory, metadata, end_metadata, state, exit_status, \
     exit_reason, correlation_id, event_id";

/// Inserts a start, or finds the session its event already made.
pub(super) fn insert_start(connection: &Connection, event: &StartEvent) -> Result<StoredStart, StoreError> {
    for _ in 0..ID_ATTEMPTS_MAX {
        let id = session_id(&event.component_name, event.timestamp_us, entropy()).ok_or_else(|| {
            StoreError::Unavailable("the start has a time without a year of four digits".into())
        })?;
        match try_insert(connection, event, &id) {
            Ok(Some(stored)) => return Ok(stored),
            Ok(None) => return stored_start(connection, &event.event_id),
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
) -> rusqlite::Result<Option<StoredStart>> {
    connection
        .prepare_cached(
            "INSERT INTO sessions (session_id, event_id, correlation_id, session_type, component_name, shell_type,
                 pid, username, home, hostname, python_version, platform, working_directory, metadata, start_us,
                 received_us, state)
             VALUES (:session_id, :event_id, :correlation_id, :session_type, :component_name, :shell_type,
                 :pid, :username, :home, :hostname, :python_version, :platform, :cwd, :metadata, :start_us,
                 :received_us, 'active')
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
            },
            read_start,
        )
        .optional()
}

fn stored_start(connection: &Connection, event_id: &str) -> Result<StoredStart, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT session_id, start_us FROM sessions WHERE event_id = ?1")?;
    Ok(statement.query_row([event_id], read_start)?)
}

fn read_start(row: &Row<'_>) -> rusqlite::Result<StoredStart> {
    Ok(StoredStart { session_id: row.get(0)?, start_us: row.get(1)? })
}

/// Ends a session where the event may, and gives the session as it then is.
pub(super) fn update_end(
    connection: &Connection,
    event: &EndEvent,
) -> Result<Option<SessionRecord>, StoreError> {
    let state = State::from(event.state);
    if state == State::Active {
        return Err(StoreError::Unavailable("an end cannot leave its session active".into()));
    }
    connection
        .prepare_cached(
            "UPDATE sessions
             SET state = :state, end_us = :end_us, end_event_id = :event_id, end_metadata = :metadata,
                 end_received_us = :received_us, exit_status = :exit_status, exit_reason = :exit_reason
             WHERE session_id = :session_id
                 AND (state = 'active' OR (state IN ('crashed', 'lost') AND :state = 'ended'))",
        )?
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
    by_session_id(connection, &event.session_id)
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

/// Sessions, newest first.
pub(super) fn list(connection: &Connection, query: &ListQuery) -> Result<Page, StoreError> {
    let (conditions, mut values) = conditions(query);
    let rows_max = i64::from(query.limit) + 1; // one more tells whether there is a next part
    values.push(Box::new(rows_max));
    let sql =
        format!("SELECT {COLUMNS} FROM sessions WHERE {conditions} ORDER BY start_us DESC, id DESC LIMIT ?");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(rusqlite::params_from_iter(values))?;
    let mut page = Page::default();
    let mut last = None;
    let mut metadata_bytes = 0;
    while let Some(row) = rows.next()? {
        metadata_bytes += text_bytes(row, "metadata")? + text_bytes(row, "end_metadata")?;
        let is_full = page.records.len() >= query.limit as usize || metadata_bytes > PAGE_METADATA_BYTES_MAX;
        if is_full && last.is_some() {
            page.next = last;
            break;
        }
        last = Some(Cursor { start_us: row.get("start_us")?, row: row.get("id")? });
        page.records.push(read_record(row)?);
    }
    Ok(page)
}

fn text_bytes(row: &Row<'_>, column: &str) -> rusqlite::Result<usize> {
    Ok(row.get_ref(column)?.as_str_or_null().unwrap_or_default().map_or(0, str::len))
}

/// Only what is asked for becomes SQL, so that SQLite can pick the index that fits.
fn conditions(query: &ListQuery) -> (String, Vec<Box<dyn ToSql>>) {
    let mut conditions = vec!["TRUE".to_owned()];
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    if let Some(session_type) = &query.session_type {
        conditions.push("session_type = ?".into());
        values.push(Box::new(session_type.clone()));
    }
    if let Some(component) = &query.component_name {
        conditions.push("component_name = ?".into());
        values.push(Box::new(component.clone()));
    }
    if let Some(state) = query.state {
        conditions.push(format!("state = '{}'", state.name())); // a literal, or the partial index is not used
    }
    if let Some(after) = query.after {
        conditions.push("(start_us, id) < (?, ?)".into());
        values.push(Box::new(after.start_us));
        values.push(Box::new(after.row));
    }
    (conditions.join(" AND "), values)
}

/// How many sessions there are.
pub(super) fn counts(connection: &Connection) -> Result<Counts, StoreError> {
    let count = |sql: &str| -> Result<u64, StoreError> {
        let count: i64 = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    };
    Ok(Counts {
        total: count("SELECT count(*) FROM sessions")?,
        active: count("SELECT count(*) FROM sessions WHERE state = 'active'")?,
    })
}

fn read_record(row: &Row<'_>) -> Result<SessionRecord, StoreError> {
    let start_us: i64 = row.get("start_us")?;
    let end_us: Option<i64> = row.get("end_us")?;
    let duration = end_us.and_then(|end_us| duration_seconds(start_us, end_us));
    Ok(SessionRecord {
        session_id: row.get("session_id")?,
        session_type: row.get("session_type")?,
        component_name: row.get("component_name")?,
        shell_type: row.get("shell_type")?,
        start_time: rfc3339(start_us).ok_or(StoreError::Corrupt)?,
        end_time: end_us.map(|end_us| rfc3339(end_us).ok_or(StoreError::Corrupt)).transpose()?,
        duration_seconds: duration,
        pid: row.get("pid")?,
        username: row.get("username")?,
        hostname: row.get("hostname")?,
        python_version: row.get("python_version")?,
        platform: row.get("platform")?,
        working_directory: row.get("working_directory")?,
        metadata: merged_metadata(object(row.get("metadata")?)?, object(row.get("end_metadata")?)?),
        state: State::from_name(row.get_ref("state")?.as_str().map_err(|_| StoreError::Corrupt)?)
            .ok_or(StoreError::Corrupt)?,
        exit_status: row.get("exit_status")?,
        exit_reason: row.get("exit_reason")?,
        correlation_id: row.get("correlation_id")?,
        event_id: row.get("event_id")?,
        clock_skew: end_us.is_some() && duration.is_none(),
    })
}

fn object(text: Option<String>) -> Result<Map<String, Value>, StoreError> {
    match text {
        Some(text) => serde_json::from_str(&text).map_err(|_| StoreError::Corrupt),
        None => Ok(Map::new()),
    }
}
