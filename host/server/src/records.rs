//! What a session looks like to those who ask: the record and its JSON form.
//!
//! Field names are those of the Python Session-Buddy's family. How a record is stored is in `store`.

use chrono::{DateTime, SecondsFormat};
use rmcp::schemars::{self, JsonSchema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shelltrack_sandbox::types;

/// The only kind of session there is so far.
pub const ADMIN_SHELL: &str = "admin_shell";

/// Metadata keys of an end that have fields of their own in the record.
const END_KEYS_WITH_FIELDS: [&str; 4] = ["correlation_id", "event_id", "exit_status", "exit_reason"];

/// State of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Open.
    Active,
    /// Ended, and the shell or its parent said so.
    Ended,
    /// The process vanished.
    Crashed,
    /// Nobody can know: a reboot, a machine gone.
    Lost,
}

impl State {
    /// The name it has in JSON and in the store.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Ended => "ended",
            Self::Crashed => "crashed",
            Self::Lost => "lost",
        }
    }

    /// The state of that name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::Active, Self::Ended, Self::Crashed, Self::Lost].into_iter().find(|state| state.name() == name)
    }
}

impl From<types::SessionState> for State {
    fn from(state: types::SessionState) -> Self {
        match state {
            types::SessionState::Active => Self::Active,
            types::SessionState::Ended => Self::Ended,
            types::SessionState::Crashed => Self::Crashed,
            types::SessionState::Lost => Self::Lost,
        }
    }
}

/// The name an exit reason has in JSON and in the store.
pub(crate) fn exit_reason_name(reason: types::ExitReason) -> &'static str {
    match reason {
        types::ExitReason::Exited => "exited",
        types::ExitReason::Signaled => "signaled",
        types::ExitReason::Unknown => "unknown",
        types::ExitReason::Vanished => "vanished",
        types::ExitReason::Rebooted => "rebooted",
        types::ExitReason::Expired => "expired",
    }
}

/// One session. Absent values are `null`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionRecord {
    /// Id of the session: `{component}-{YYYYMMDD-HHMMSS}-{suffix}`.
    pub session_id: String,
    /// Kind of session: `admin_shell`.
    pub session_type: String,
    /// Component the shell administers.
    pub component_name: String,
    /// Kind of shell, such as `MahavishnuShell` or `bash`.
    pub shell_type: String,
    /// When it began: RFC 3339, UTC, microseconds.
    pub start_time: String,
    /// When it ended, in the same form.
    pub end_time: Option<String>,
    /// Seconds from start to end by the events' own timestamps; `null` while it is open, and when the
    /// end lies before the start (`clock_skew`).
    pub duration_seconds: Option<f64>,
    /// Process id of the shell.
    pub pid: u32,
    /// Login name.
    pub username: String,
    /// Name of the machine.
    pub hostname: String,
    /// Version of Python, or `n/a`.
    pub python_version: String,
    /// Operating system and architecture.
    pub platform: String,
    /// Working directory at the start.
    pub working_directory: String,
    /// Metadata of the start, and over it what the end added.
    pub metadata: Map<String, Value>,
    /// State.
    pub state: State,
    /// Exit status, or 128 + signal.
    pub exit_status: Option<i32>,
    /// How it is known that the session is over: exited, signaled, unknown, vanished, rebooted, expired.
    pub exit_reason: Option<String>,
    /// The emitter's own key of the session.
    pub correlation_id: Option<String>,
    /// UUID of the start event.
    pub event_id: String,
    /// The end's clock was behind the start's, so that no duration is known. Present only when true.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub clock_skew: bool,
    /// When the session was last heard of: its start, or the newest `track_session_activity`.
    #[serde(default)]
    pub last_seen_at: String,
    /// The proven identity that began it; only that one may end it. Present only where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// When it was archived. Present only when it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived_at: Option<String>,
    /// Home directory; nobody is told but an export.
    #[serde(skip)]
    pub(crate) home: String,
    /// UUID of the end event; nobody is told but an export.
    #[serde(skip)]
    pub(crate) end_event_id: Option<String>,
}

/// Seconds between two times in microseconds; `None` when the end lies before the start.
pub(crate) fn duration_seconds(start_us: i64, end_us: i64) -> Option<f64> {
    let duration_us = end_us.checked_sub(start_us).filter(|us| *us >= 0)?;
    Some(duration_us as f64 / 1e6)
}

/// A time in microseconds since the epoch as RFC 3339 in UTC; `None` when chrono has no such time.
pub(crate) fn rfc3339(time_us: i64) -> Option<String> {
    let time = DateTime::from_timestamp_micros(time_us)?;
    Some(time.to_rfc3339_opts(SecondsFormat::Micros, true))
}

/// A time of RFC 3339 in microseconds since the epoch.
pub(crate) fn parse_rfc3339(text: &str) -> Option<i64> {
    Some(DateTime::parse_from_rfc3339(text).ok()?.timestamp_micros())
}

/// This machine's clock in microseconds since the epoch.
pub(crate) fn now_us() -> i64 {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX)
}

/// Metadata of a start with that of its end laid over it; what has a field of its own in the record
/// is left out of the latter.
pub(crate) fn merged_metadata(mut start: Map<String, Value>, end: Map<String, Value>) -> Map<String, Value> {
    start.extend(end.into_iter().filter(|(key, _)| !END_KEYS_WITH_FIELDS.contains(&key.as_str())));
    start
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_end_minus_start_in_seconds() {
        assert_eq!(duration_seconds(1_000_000, 3_500_001), Some(2.500_001));
        assert_eq!(duration_seconds(5, 5), Some(0.0));
    }

    #[test]
    fn an_end_before_its_start_has_no_duration() {
        assert_eq!(duration_seconds(2, 1), None);
        assert_eq!(duration_seconds(i64::MIN, i64::MAX), None);
    }

    #[test]
    fn times_are_utc_with_microseconds() {
        assert_eq!(rfc3339(1_795_166_392_000_001).unwrap(), "2026-11-20T09:19:52.000001Z");
    }

    #[test]
    fn metadata_of_the_end_is_laid_over_that_of_the_start() {
        let object = |text: &str| serde_json::from_str::<Map<String, Value>>(text).unwrap();
        let merged = merged_metadata(
            object(r#"{"a":1,"b":1,"correlation_id":"c"}"#),
            object(r#"{"b":2,"event_id":"e","exit_status":7,"correlation_id":"other"}"#),
        );
        assert_eq!(merged, object(r#"{"a":1,"b":2,"correlation_id":"c"}"#));
    }

    #[test]
    fn every_state_is_found_by_its_name() {
        for state in [State::Active, State::Ended, State::Crashed, State::Lost] {
            assert_eq!(State::from_name(state.name()), Some(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
        }
    }
}
