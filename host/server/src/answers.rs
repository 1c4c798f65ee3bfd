//! What the tools answer: structured content and the schemas of it.
//!
//! A refusal is an answer, not an error of the call (`isError: false`, `status: "error"`), as the Python
//! Session-Buddy does it: the caller need not send the event again. What the server could not do is an
//! internal error of JSON-RPC, which tells the caller to try again.

use std::collections::BTreeSet;

use rmcp::schemars::{self, JsonSchema};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shelltrack_sandbox::types;

use crate::records::{SessionRecord, State, now_us, rfc3339};
use crate::store::{Counts, StoreError};

/// What came of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrackStatus {
    /// The start is stored.
    Tracked,
    /// The session is over.
    Ended,
    /// There is no such session.
    NotFound,
    /// The event was refused; sending it again changes nothing.
    Error,
}

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BrokenRule {
    /// Path of the field in the arguments, such as `user.username`.
    pub field: String,
    /// Stable name of the rule, such as `too-long`.
    pub rule: String,
    /// What was wrong and what would be right.
    pub message: String,
}

impl BrokenRule {
    pub(crate) fn new(field: impl Into<String>, rule: &str, message: impl Into<String>) -> Self {
        Self { field: field.into(), rule: rule.into(), message: message.into() }
    }
}

/// Longest id of a session, as the component has it.
pub(crate) const SESSION_ID_CHARS_MAX: usize = 200;

/// Answer of `track_session_start` and `track_session_end`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TrackAnswer {
    /// Id of the session; `null` when a start was refused. An end repeats the id that it came with, and where
    /// that is none, the empty text.
    pub session_id: Option<String>,
    /// What came of the event.
    pub status: TrackStatus,
    /// With the status `error`: every field that was wrong, with the rule it broke.
    pub error: Option<String>,
    /// RFC 3339, UTC: start or end of the session as it is stored, or when the event was refused.
    pub timestamp: String,
    /// What was wrong and what would be right, for programs. Present only when something was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<BrokenRule>,
    /// State of the session; present only after an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// Seconds the session lasted; present only after an end, and only when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<f64>,
}

impl TrackAnswer {
    fn new(
        session_id: Option<String>,
        status: TrackStatus,
        error: Option<String>,
        timestamp: String,
    ) -> Self {
        Self {
            session_id,
            status,
            error,
            timestamp,
            violations: Vec::new(),
            state: None,
            duration_seconds: None,
        }
    }

    pub(crate) fn tracked(session_id: String, start_time: String) -> Self {
        Self::new(Some(session_id), TrackStatus::Tracked, None, start_time)
    }

    /// Tells what is stored, also when the event changed nothing.
    pub(crate) fn ended(record: SessionRecord) -> Self {
        let time = record.end_time.unwrap_or_else(now);
        Self {
            state: Some(record.state),
            duration_seconds: record.duration_seconds,
            ..Self::new(Some(record.session_id), TrackStatus::Ended, None, time)
        }
    }

    /// Somebody else's session stays as it is.
    pub(crate) fn foreign(session_id: String) -> Self {
        let told = "another identity began this session, and only that one can end it";
        let broken = BrokenRule::new("session_id", "not-owner", told);
        Self { session_id: Some(session_id), ..Self::broken(vec![broken]) }
    }

    /// As upstream has it: such an answer has no `error`.
    pub(crate) fn not_found(session_id: String) -> Self {
        let told = "no session has this id; give the one that track_session_start answered";
        let violations = vec![BrokenRule::new("session_id", "not-found", told)];
        Self { violations, ..Self::new(Some(session_id), TrackStatus::NotFound, None, now()) }
    }

    /// The event's id is that of another start.
    pub(crate) fn conflict() -> Self {
        let told = "this event is stored already with other content or of another identity; give every start \
                    a UUID of its own";
        Self::broken(vec![BrokenRule::new("event_id", "conflict", told)])
    }

    pub(crate) fn refused(violations: &[types::Violation]) -> Self {
        Self::broken(violations.iter().map(BrokenRule::from).collect())
    }

    /// Of an end, whose answers always have an id (upstream's `SessionEndResult`).
    pub(crate) fn about(self, sent: Option<&Value>) -> Self {
        let fits = |id: &&str| id.chars().count() <= SESSION_ID_CHARS_MAX && !id.contains(char::is_control);
        let id = sent.and_then(Value::as_str).filter(fits).unwrap_or_default();
        Self { session_id: Some(id.to_owned()), ..self }
    }

    fn broken(violations: Vec<BrokenRule>) -> Self {
        let error = Some(told(&violations));
        Self { violations, ..Self::new(None, TrackStatus::Error, error, now()) }
    }
}

/// Broken rules as one text.
fn told(violations: &[BrokenRule]) -> String {
    let told: Vec<String> = violations
        .iter()
        .map(|broken| format!("{}: {} ({})", broken.field, broken.message, broken.rule))
        .collect();
    told.join("; ")
}

/// This machine's clock, as answers tell it.
pub(crate) fn now() -> String {
    rfc3339(now_us()).unwrap_or_default()
}

impl From<&types::Violation> for BrokenRule {
    fn from(violation: &types::Violation) -> Self {
        Self::new(violation.field.as_str(), rule_name(violation.rule), violation.message.as_str())
    }
}

/// The rule's name in WIT.
fn rule_name(rule: types::Rule) -> &'static str {
    match rule {
        types::Rule::Required => "required",
        types::Rule::WrongType => "wrong-type",
        types::Rule::Empty => "empty",
        types::Rule::TooLong => "too-long",
        types::Rule::TooLarge => "too-large",
        types::Rule::TooDeep => "too-deep",
        types::Rule::TooMany => "too-many",
        types::Rule::OutOfRange => "out-of-range",
        types::Rule::BadFormat => "bad-format",
        types::Rule::UnknownField => "unknown-field",
        types::Rule::DuplicateKey => "duplicate-key",
        types::Rule::KeyCollision => "key-collision",
        types::Rule::ReservedKey => "reserved-key",
        types::Rule::BadJson => "bad-json",
        types::Rule::BeforeStart => "before-start",
    }
}

/// What came of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActivityStatus {
    /// Those of these sessions that are not over have a new lease.
    Renewed,
    /// It was refused; sending it again changes nothing.
    Error,
}

/// Answer of `track_session_activity`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ActivityAnswer {
    /// What came of it.
    pub status: ActivityStatus,
    /// Sessions with a new lease.
    pub renewed: Vec<String>,
    /// Sessions that are not open here, or not the caller's.
    pub unknown: Vec<String>,
    /// Every field that was wrong, with the rule it broke.
    pub error: Option<String>,
    /// RFC 3339, UTC: the server's clock.
    pub timestamp: String,
    /// The same as `error`, for programs. Present only when something was wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<BrokenRule>,
}

impl ActivityAnswer {
    pub(crate) fn renewed(asked: Vec<String>, renewed: Vec<String>) -> Self {
        let is_renewed: BTreeSet<&String> = renewed.iter().collect();
        let unknown = asked.into_iter().filter(|id| !is_renewed.contains(id)).collect();
        Self { status: ActivityStatus::Renewed, unknown, renewed, ..Self::refused(Vec::new()) }
    }

    pub(crate) fn refused(violations: Vec<BrokenRule>) -> Self {
        let error = (!violations.is_empty()).then(|| told(&violations));
        let (renewed, unknown) = (Vec::new(), Vec::new());
        Self { status: ActivityStatus::Error, renewed, unknown, error, timestamp: now(), violations }
    }
}

/// Answer of `list_sessions`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ListAnswer {
    /// Newest start first; of equal starts the one stored last comes first.
    pub sessions: Vec<SessionRecord>,
    /// How many these are.
    pub count: usize,
    /// Where the list goes on, or `null` at its end.
    pub next_cursor: Option<String>,
}

/// Whether a session was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShowStatus {
    /// Here it is.
    Found,
    /// There is none with that id.
    NotFound,
}

/// Answer of `show_session`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShowAnswer {
    /// Whether it was found.
    pub status: ShowStatus,
    /// The session.
    pub session: Option<SessionRecord>,
    /// Why there is none.
    pub error: Option<String>,
}

impl From<Option<SessionRecord>> for ShowAnswer {
    fn from(session: Option<SessionRecord>) -> Self {
        match session {
            Some(session) => Self { status: ShowStatus::Found, session: Some(session), error: None },
            None => Self {
                status: ShowStatus::NotFound,
                session: None,
                error: Some("session_id: no session has this id or correlation id".into()),
            },
        }
    }
}

/// Whether the server can do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// It can.
    Ok,
    /// The store cannot be used.
    Unhealthy,
}

/// Answer of `health_check`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HealthAnswer {
    /// Whether the server can do its work.
    pub status: HealthStatus,
    /// Name of the server.
    pub server: String,
    /// Its version.
    pub version: String,
    /// RFC 3339, UTC: the server's clock.
    pub timestamp: String,
    /// Engine of the store. This and what follows is `null` for callers without the scope `read`.
    pub store: Option<String>,
    /// Whether the store can be used.
    pub store_reachable: Option<bool>,
    /// Sessions stored; `null` when the store cannot be used.
    pub sessions_total: Option<u64>,
    /// Those that are open.
    pub sessions_active: Option<u64>,
    /// What is wrong with the store.
    pub error: Option<String>,
}

impl HealthAnswer {
    /// What everybody may know.
    pub(crate) fn new(server: &str, version: &str, status: HealthStatus) -> Self {
        Self {
            status,
            server: server.into(),
            version: version.into(),
            timestamp: now(),
            store: None,
            store_reachable: None,
            sessions_total: None,
            sessions_active: None,
            error: None,
        }
    }

    /// What those may know who may ask about sessions.
    pub(crate) fn with_store(self, engine: &str, counted: &Result<Counts, StoreError>) -> Self {
        let counts = counted.as_ref().ok();
        Self {
            store: Some(engine.into()),
            store_reachable: Some(counted.is_ok()),
            sessions_total: counts.map(|counts| counts.total),
            sessions_active: counts.map(|counts| counts.active),
            error: counted.as_ref().err().map(ToString::to_string),
            ..self
        }
    }
}
