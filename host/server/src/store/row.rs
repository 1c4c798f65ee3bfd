//! From a row to a record, for every engine. No SQL but the names of columns.

use serde_json::{Map, Value};

use super::StoreError;
use crate::records::{SessionRecord, State, duration_seconds, merged_metadata, rfc3339};

/// What [`read_record`] reads.
pub(super) const COLUMNS: &str = "id, session_id, session_type, component_name, shell_type, start_us, end_us, pid, username, \
     hostname, python_version, platform, working_directory, metadata, end_metadata, state, exit_status, \
     exit_reason, correlation_id, event_id, owner, last_seen_us, archived_us, home, end_event_id";

/// A row, by the names of its columns; `None` is SQL's NULL.
pub(super) trait Columns {
    /// A text.
    fn text(&self, column: &str) -> Result<Option<String>, StoreError>;

    /// An integer of any size.
    fn integer(&self, column: &str) -> Result<Option<i64>, StoreError>;
}

/// The session of a row with [`COLUMNS`].
pub(super) fn read_record(row: &impl Columns) -> Result<SessionRecord, StoreError> {
    let text = |column| row.text(column)?.ok_or(StoreError::Corrupt);
    let time = |time_us| rfc3339(time_us).ok_or(StoreError::Corrupt);
    let start_us = row.integer("start_us")?.ok_or(StoreError::Corrupt)?;
    let end_us = row.integer("end_us")?;
    let duration = end_us.and_then(|end_us| duration_seconds(start_us, end_us));
    let pid = row.integer("pid")?.and_then(|pid| u32::try_from(pid).ok());
    let exit_status = row.integer("exit_status")?.map(i32::try_from).transpose();
    Ok(SessionRecord {
        session_id: text("session_id")?,
        session_type: text("session_type")?,
        component_name: text("component_name")?,
        shell_type: text("shell_type")?,
        start_time: time(start_us)?,
        end_time: end_us.map(time).transpose()?,
        duration_seconds: duration,
        pid: pid.ok_or(StoreError::Corrupt)?,
        username: text("username")?,
        hostname: text("hostname")?,
        python_version: text("python_version")?,
        platform: text("platform")?,
        working_directory: text("working_directory")?,
        metadata: merged_metadata(object(row.text("metadata")?)?, object(row.text("end_metadata")?)?),
        state: State::from_name(&text("state")?).ok_or(StoreError::Corrupt)?,
        exit_status: exit_status.map_err(|_| StoreError::Corrupt)?,
        exit_reason: row.text("exit_reason")?,
        correlation_id: row.text("correlation_id")?,
        event_id: text("event_id")?,
        clock_skew: end_us.is_some() && duration.is_none(),
        last_seen_at: time(row.integer("last_seen_us")?.unwrap_or(start_us))?,
        owner: row.text("owner")?,
        archived_at: row.integer("archived_us")?.and_then(rfc3339),
        home: text("home")?,
        end_event_id: row.text("end_event_id")?,
    })
}

fn object(text: Option<String>) -> Result<Map<String, Value>, StoreError> {
    text.map_or(Ok(Map::new()), |text| serde_json::from_str(&text).map_err(|_| StoreError::Corrupt))
}
