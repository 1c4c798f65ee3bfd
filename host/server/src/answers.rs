//! What the tools answer: structured content and the schemas of it.
//!
//! A refusal is an answer, not an error of the call (`isError: false`, `status: "error"`), as the Python
//! Session-Buddy does it: the caller need not send the event again. What the server could not do is an
//! internal error of JSON-RPC, which tells the caller to try again.

use std::collections::{BTreeMap, BTreeSet};

use rmcp::schemars::{self, JsonSchema};
use serde::{Deserialize, Serialize};
use shelltrack_sandbox::types;

use crate::records::{SessionRecord, State, now_us, rfc3339};
use crate::store::Tally;

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

/// Answer of `track_session_start` and `track_session_end`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TrackAnswer {
    /// Id of the session; `null` when the event was refused.
    pub session_id: Option<String>,
    /// What came of the event.
    pub status: TrackStatus,
    /// Every field that was wrong, with the rule it broke.
    pub error: Option<String>,
    /// RFC 3339, UTC: start or end of the session as it is stored, or when the event was refused.
    pub timestamp: String,
    /// The same as `error`, for programs. Present only when something was wrong.
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
        let error =
            "session_id: another identity began this session, and only that one can end it".to_owned();
        Self::new(Some(session_id), TrackStatus::Error, Some(error), now())
    }

    pub(crate) fn not_found(session_id: String) -> Self {
        let error = "session_id: no session has this id".to_owned();
        Self::new(Some(session_id), TrackStatus::NotFound, Some(error), now())
    }

    pub(crate) fn refused(violations: &[types::Violation]) -> Self {
        let violations: Vec<BrokenRule> = violations.iter().map(BrokenRule::from).collect();
        let told: Vec<String> = violations
            .iter()
            .map(|broken| format!("{}: {} ({})", broken.field, broken.message, broken.rule))
            .collect();
        Self { violations, ..Self::new(None, TrackStatus::Error, Some(told.join("; ")), now()) }
    }
}

fn now() -> String {
    rfc3339(now_us()).unwrap_or_default()
}

impl From<&types::Violation> for BrokenRule {
    fn from(violation: &types::Violation) -> Self {
        Self {
            field: violation.field.clone(),
            rule: rule_name(violation.rule).into(),
            message: violation.message.clone(),
        }
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
    /// The open ones of these sessions have a new lease.
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
    /// What was wrong, and what would be right.
    pub error: Option<String>,
    /// RFC 3339, UTC: the server's clock.
    pub timestamp: String,
}

impl ActivityAnswer {
    pub(crate) fn renewed(asked: Vec<String>, renewed: Vec<String>) -> Self {
        let is_renewed: BTreeSet<&String> = renewed.iter().collect();
        let unknown = asked.into_iter().filter(|id| !is_renewed.contains(id)).collect();
        Self { status: ActivityStatus::Renewed, unknown, error: None, timestamp: now(), renewed }
    }

    pub(crate) fn refused(error: String) -> Self {
        let (renewed, unknown) = (Vec::new(), Vec::new());
        Self { status: ActivityStatus::Error, renewed, unknown, error: Some(error), timestamp: now() }
    }
}

/// How many sessions, and how long they lasted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Figures {
    /// All of them.
    pub sessions: u64,
    /// Open ones.
    pub active: u64,
    /// Those whose end was announced.
    pub ended: u64,
    /// Those whose process vanished.
    pub crashed: u64,
    /// Those of which nobody knows.
    pub lost: u64,
    /// Average duration of those whose duration is known, in seconds.
    pub duration_seconds_average: Option<f64>,
}

/// Figures of one component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ComponentFigures {
    /// The component.
    pub component_name: String,
    /// Its figures.
    #[serde(flatten)]
    pub figures: Figures,
}

/// Answer of `session_stats`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StatsAnswer {
    /// All components together.
    pub total: Figures,
    /// Each component, by name.
    pub components: Vec<ComponentFigures>,
    /// RFC 3339, UTC: the server's clock.
    pub timestamp: String,
}

impl From<Vec<Tally>> for StatsAnswer {
    fn from(tallies: Vec<Tally>) -> Self {
        let all: Vec<&Tally> = tallies.iter().collect();
        let mut by_component: BTreeMap<&str, Vec<&Tally>> = BTreeMap::new();
        for tally in &tallies {
            by_component.entry(&tally.component_name).or_default().push(tally);
        }
        let components = by_component.into_iter().map(|(name, tallies)| ComponentFigures {
            component_name: name.to_owned(),
            figures: figures(&tallies),
        });
        Self { total: figures(&all), components: components.collect(), timestamp: now() }
    }
}

fn figures(tallies: &[&Tally]) -> Figures {
    let count = |state: Option<State>| -> u64 {
        tallies
            .iter()
            .filter(|tally| state.is_none_or(|state| tally.state == state))
            .map(|tally| tally.sessions)
            .sum()
    };
    let (duration_us, known) = tallies
        .iter()
        .fold((0.0, 0_u64), |(sum, known), tally| (sum + tally.duration_us, known + tally.durations));
    Figures {
        sessions: count(None),
        active: count(Some(State::Active)),
        ended: count(Some(State::Ended)),
        crashed: count(Some(State::Crashed)),
        lost: count(Some(State::Lost)),
        duration_seconds_average: (known > 0).then(|| duration_us / 1e6 / known as f64),
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
    /// Engine of the store.
    pub store: String,
    /// Whether the store can be used.
    pub store_reachable: bool,
    /// Sessions stored; `null` when the store cannot be used.
    pub sessions_total: Option<u64>,
    /// Those that are open.
    pub sessions_active: Option<u64>,
    /// What is wrong with the store.
    pub error: Option<String>,
}

impl HealthAnswer {
    pub(crate) fn new(server: &str, version: &str, store: &str) -> Self {
        Self {
            status: HealthStatus::Ok,
            server: server.into(),
            version: version.into(),
            timestamp: now(),
            store: store.into(),
            store_reachable: true,
            sessions_total: None,
            sessions_active: None,
            error: None,
        }
    }
}
