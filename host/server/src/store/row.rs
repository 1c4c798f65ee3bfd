//! From a row to a record, for every engine. No SQL but the names of columns.

use serde_json::{Map, Value};
use shelltrack_sandbox::types::StartEvent;

use super::{Starting, StoreError, StoredStart};
use crate::records::{SessionRecord, State, duration_seconds, merged_metadata, rfc3339};

/// What [`read_record`] reads.
pub(super) const COLUMNS: &str = "id, session_id, session_type, component_name, shell_type, start_us, end_us, pid, username, \
     hostname, python_version, platform, working_directory, metadata, end_metadata, state, exit_status, \
     exit_reason, correlation_id, event_id, owner, last_seen_us, archived_us, home, end_event_id";

/// True of a session that is `lost` only because its lease ran out: no event ended it, so that no end moves when
/// it is seen again. Events leave their metadata.
pub(super) const EXPIRED: &str = "(state = 'lost' AND exit_reason = 'expired' AND end_metadata IS NULL)";

/// What such a session is again when it is seen. Of an open one it changes nothing.
pub(super) const REVIVED: &str =
    "state = 'active', end_us = NULL, end_received_us = NULL, exit_reason = NULL, archived_us = NULL";

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

/// Whether a session began with this event, as [`super::Starting`] has it.
fn began_with(record: &SessionRecord, event: &StartEvent, owner: Option<&str>) -> bool {
    record.component_name == event.component_name
        && record.shell_type == event.shell_type
        && record.pid == event.pid
        && record.username == event.user.username
        && record.hostname == event.hostname
        && record.correlation_id == event.correlation_id
        && record.owner.as_deref() == owner
        && Some(&record.start_time) == rfc3339(event.timestamp_us).as_ref()
}

/// What a start is answered whose event is stored already.
pub(super) fn started_before(record: SessionRecord, event: &StartEvent, owner: Option<&str>) -> Starting {
    if began_with(&record, event, owner) {
        Starting::Stored(StoredStart { session_id: record.session_id, start_us: event.timestamp_us })
    } else {
        Starting::Conflict
    }
}

fn object(text: Option<String>) -> Result<Map<String, Value>, StoreError> {
    text.map_or(Ok(Map::new()), |text| serde_json::from_str(&text).map_err(|_| StoreError::Corrupt))
}
