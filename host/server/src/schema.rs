//! What the tools take: the shapes from which their input schemas are made.
//!
//! The arguments of the tracking tools are validated by the component, from the JSON that arrived. Their
//! shapes here only tell callers what it will accept; they are never filled.

use std::collections::BTreeMap;

use rmcp::model::JsonObject;
use rmcp::schemars::{self, JsonSchema};
use serde_json::Value;

use crate::records::State;

/// Records of a list when the caller does not say how many.
pub(crate) const LIST_LIMIT_DEFAULT: u32 = 50;

/// Records of one answer: about 1 MiB with ordinary metadata, which every client can take.
pub(crate) const LIST_LIMIT_MAX: u32 = 1000;

/// A schema as every client reads it: without formats that only schemars knows (`uint32`, `double`), about which
/// validators complain or by which they fail. Ranges stand beside them anyway.
pub(crate) fn portable(schema: &JsonObject) -> JsonObject {
    /// JSON Schema 2020-12, validation, 7.3: those that we use.
    const FORMATS: [&str; 2] = ["date-time", "uuid"];
    let kept = schema.iter().filter(|(key, value)| {
        *key != "format" || !value.is_string() || FORMATS.iter().any(|format| *value == format)
    });
    kept.map(|(key, value)| (key.clone(), portable_value(value))).collect()
}

fn portable_value(value: &Value) -> Value {
    match value {
        Value::Object(inner) => Value::Object(portable(inner)),
        Value::Array(values) => values.iter().map(portable_value).collect(),
        value => value.clone(),
    }
}

/// Arguments of a tool that takes none.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct NoArguments {}

/// Arguments of `track_session_start`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct StartArguments {
    /// Version of the event's form.
    #[schemars(extend("const" = "1.0"))]
    event_version: String,
    /// UUID v4 of the event. The same event sent again is stored once and answered with the same session id.
    #[schemars(extend("format" = "uuid"))]
    event_id: String,
    /// Kind of event.
    #[schemars(extend("const" = "session_start"))]
    event_type: String,
    /// Component the shell administers.
    #[schemars(regex(pattern = r"^[a-zA-Z0-9_-]+$"), length(max = 100))]
    component_name: String,
    /// Kind of shell, such as `MahavishnuShell` or `bash`.
    #[schemars(length(min = 1, max = 100))]
    shell_type: String,
    /// RFC 3339 time of the start.
    #[schemars(extend("format" = "date-time"))]
    timestamp: String,
    /// Process id of the shell.
    #[schemars(range(min = 1, max = 4_194_304))]
    pid: u32,
    /// Whose shell it is.
    user: UserInfo,
    /// Name of the machine.
    hostname: String,
    /// Where the shell runs.
    environment: EnvironmentInfo,
    /// Further facts.
    #[schemars(default)]
    metadata: Option<BTreeMap<String, Value>>,
    /// Access token, for callers that cannot send it with the connection.
    #[schemars(default)]
    token: Option<String>,
}

/// Whose shell it is.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct UserInfo {
    /// Login name; cut to 100 characters.
    username: String,
    /// Home directory; cut to 500 characters.
    home: String,
}

/// Where the shell runs.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct EnvironmentInfo {
    /// Version of Python, or `n/a` for a shell without one.
    python_version: String,
    /// Operating system and architecture.
    platform: String,
    /// Working directory; cut to 500 characters.
    cwd: String,
}

/// Arguments of `track_session_end`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct EndArguments {
    /// The id that `track_session_start` gave.
    #[schemars(length(min = 1, max = 200))]
    session_id: String,
    /// RFC 3339 time of the end.
    #[schemars(extend("format" = "date-time"))]
    timestamp: String,
    /// Kind of event.
    #[schemars(default = "session_end", extend("const" = "session_end"))]
    event_type: String,
    /// Further facts; `event_id`, `exit_status`, `exit_reason` and `correlation_id` have a meaning.
    #[schemars(default)]
    metadata: Option<BTreeMap<String, Value>>,
    /// Access token, for callers that cannot send it with the connection.
    #[schemars(default)]
    token: Option<String>,
}

fn session_end() -> &'static str {
    "session_end"
}

/// Which sessions are meant; read by `questions`, as all that follows. What is absent filters nothing.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct FilterArguments {
    /// Only sessions of this type, such as `admin_shell`.
    #[schemars(default)]
    session_type: Option<String>,
    /// Only sessions of this component.
    #[schemars(default)]
    component_name: Option<String>,
    /// Only sessions of this user.
    #[schemars(default)]
    username: Option<String>,
    /// Only sessions on this machine.
    #[schemars(default)]
    hostname: Option<String>,
    /// Only sessions in this state.
    #[schemars(default)]
    state: Option<State>,
    /// Only open sessions: short for the state `active`.
    #[schemars(default)]
    active: Option<bool>,
    /// Only sessions that started at this RFC 3339 time or later.
    #[schemars(default, extend("format" = "date-time"))]
    started_after: Option<String>,
    /// Only sessions that started before this RFC 3339 time.
    #[schemars(default, extend("format" = "date-time"))]
    started_before: Option<String>,
    /// Also sessions that are archived.
    #[schemars(default)]
    archived: Option<bool>,
}

/// Arguments of `list_sessions`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct ListArguments {
    #[schemars(flatten)]
    filter: FilterArguments,
    /// At most so many records; 50 when absent.
    #[schemars(default, range(min = 1, max = LIST_LIMIT_MAX))]
    limit: Option<u32>,
    /// `next_cursor` of an earlier answer: the list goes on from there.
    #[schemars(default)]
    cursor: Option<String>,
}

/// Arguments of `show_session`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct ShowArguments {
    /// The session's id, or the correlation id its emitter gave it.
    #[schemars(length(min = 1, max = 200))]
    session_id: String,
}

/// Arguments of `session_stats`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct StatsArguments {
    #[schemars(flatten)]
    filter: FilterArguments,
}

/// Sessions of one renewal: an agent's shells, with much to spare.
pub(crate) const RENEWED_SESSIONS_MAX: usize = 1000;

/// Seconds a session counts as seen when the caller does not say how long.
pub(crate) const LEASE_DEFAULT_S: u32 = 180;

/// Longest lease, in seconds: 30 days, as for sessions that nobody renews.
pub(crate) const LEASE_MAX_S: u32 = 30 * 86_400;

/// Arguments of `track_session_activity`; read by `questions`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct ActivityArguments {
    /// Ids of open sessions that were seen.
    #[schemars(length(min = 1, max = RENEWED_SESSIONS_MAX), inner(length(min = 1, max = 200)))]
    session_ids: Vec<String>,
    /// RFC 3339 time at which they were seen.
    #[schemars(extend("format" = "date-time"))]
    timestamp: String,
    /// How many seconds they count as seen from now on: unseen for longer, a session is `lost`.
    #[schemars(default = "lease_default_s", range(min = 1, max = LEASE_MAX_S))]
    lease_seconds: u32,
    /// Access token, for callers that cannot send it with the connection.
    #[schemars(default)]
    token: Option<String>,
}

fn lease_default_s() -> u32 {
    LEASE_DEFAULT_S
}
