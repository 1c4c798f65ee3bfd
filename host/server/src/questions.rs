//! From arguments to questions of the store: what was typed is parsed here, once.

use rmcp::model::JsonObject;
use serde_json::Value;

use crate::answers::{BrokenRule, SESSION_ID_CHARS_MAX};
use crate::records::{State, parse_rfc3339};
use crate::schema::{
    FilterArguments, LEASE_DEFAULT_S, LEASE_MAX_S, LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX, ListArguments,
    RENEWED_SESSIONS_MAX,
};
use crate::store::{Cursor, Filter, ListQuery, Owner, Renewal};

/// Characters of an unknown argument's name that a refusal repeats.
const FIELD_CHARS_MAX: usize = 100;

/// Unknown arguments that are told one by one.
const BROKEN_MAX: usize = 20;

/// What `list_sessions` asks.
pub(crate) fn list(arguments: ListArguments) -> Result<ListQuery, String> {
    let limit = arguments.limit.unwrap_or(LIST_LIMIT_DEFAULT);
    if !(1..=LIST_LIMIT_MAX).contains(&limit) {
        return Err(format!("limit: it must be 1 to {LIST_LIMIT_MAX}"));
    }
    let after = arguments.cursor.map(|cursor| cursor.parse());
    let after =
        after.transpose().map_err(|()| "cursor: give `next_cursor` of an earlier answer unchanged")?;
    Ok(ListQuery { filter: filter(arguments.filter)?, limit, after })
}

/// Which sessions are meant.
pub(crate) fn filter(arguments: FilterArguments) -> Result<Filter, String> {
    let state = match (arguments.active, arguments.state) {
        (Some(true), None | Some(State::Active)) => Some(State::Active),
        (Some(true), Some(_)) => return Err("active: it contradicts `state`; give one of the two".into()),
        (_, state) => state,
    };
    let time = |field: &str, text: Option<String>| -> Result<Option<i64>, String> {
        let wrong = || format!("{field}: it must be an RFC 3339 time, such as 2026-01-31T09:30:00Z");
        text.map(|text| parse_rfc3339(&text).ok_or_else(wrong)).transpose()
    };
    Ok(Filter {
        session_type: arguments.session_type,
        component_name: arguments.component_name,
        username: arguments.username,
        hostname: arguments.hostname,
        state,
        started_from_us: time("started_after", arguments.started_after)?,
        started_before_us: time("started_before", arguments.started_before)?,
        with_archived: arguments.archived.unwrap_or(false),
    })
}

/// What `track_session_activity` renews; or every rule that was broken.
pub(crate) fn renewal(arguments: &JsonObject, owner: Owner) -> Result<Renewal, Vec<BrokenRule>> {
    const FIELDS: [&str; 3] = ["session_ids", "timestamp", "lease_seconds"];
    let mut broken: Vec<BrokenRule> = arguments
        .keys()
        .filter(|key| !FIELDS.contains(&key.as_str()))
        .map(|key| {
            let field: String = key.chars().filter(|c| !c.is_control()).take(FIELD_CHARS_MAX).collect();
            BrokenRule::new(field, "unknown-field", "there is no such argument")
        })
        .take(BROKEN_MAX)
        .collect();
    let given = |field| arguments.get(field).filter(|value| !value.is_null());
    let session_ids = session_ids(given("session_ids"), &mut broken);
    let seen_us = seen(given("timestamp")).map_err(|rule| broken.push(rule));
    let lease_us = lease(given("lease_seconds")).map_err(|rule| broken.push(rule));
    match (seen_us, lease_us) {
        (Ok(seen_us), Ok(lease_us)) if broken.is_empty() => {
            Ok(Renewal { session_ids, seen_us, lease_us, owner })
        }
        _ => Err(broken),
    }
}

fn session_ids(given: Option<&Value>, broken: &mut Vec<BrokenRule>) -> Vec<String> {
    let told = format!("it must be a list of 1 to {RENEWED_SESSIONS_MAX} ids of sessions");
    let rule = match given {
        None => "required",
        Some(Value::Array(ids)) if ids.is_empty() => "empty",
        Some(Value::Array(ids)) if ids.len() > RENEWED_SESSIONS_MAX => "too-many",
        Some(Value::Array(ids)) => {
            let ids = ids.iter().enumerate();
            return ids.filter_map(|(at, id)| session_id(at, id).map_err(|rule| broken.push(rule)).ok()).collect();
        }
        Some(_) => "wrong-type",
    };
    broken.push(BrokenRule::new("session_ids", rule, told));
    Vec::new()
}

fn session_id(at: usize, given: &Value) -> Result<String, BrokenRule> {
    let rule = match given.as_str() {
        None => "wrong-type",
        Some("") => "empty",
        Some(id) if id.chars().count() > SESSION_ID_CHARS_MAX => "too-long",
        Some(id) => return Ok(id.to_owned()),
    };
    let told = format!("it must be a text of 1 to {SESSION_ID_CHARS_MAX} characters");
    Err(BrokenRule::new(format!("session_ids[{at}]"), rule, told))
}

fn seen(given: Option<&Value>) -> Result<i64, BrokenRule> {
    let rule = match given.map(Value::as_str) {
        None => "required",
        Some(None) => "wrong-type",
        Some(Some(text)) => match parse_rfc3339(text) {
            Some(seen_us) => return Ok(seen_us),
            None => "bad-format",
        },
    };
    Err(BrokenRule::new("timestamp", rule, "it must be an RFC 3339 time, such as 2026-01-31T09:30:00Z"))
}

fn lease(given: Option<&Value>) -> Result<i64, BrokenRule> {
    let rule = match given {
        None => return Ok(i64::from(LEASE_DEFAULT_S) * 1_000_000),
        Some(given) => match given.as_u64().and_then(|seconds| u32::try_from(seconds).ok()) {
            Some(seconds) if (1..=LEASE_MAX_S).contains(&seconds) => {
                return Ok(i64::from(seconds) * 1_000_000);
            }
            _ if given.is_number() => "out-of-range",
            _ => "wrong-type",
        },
    };
    let told = format!("it must be a whole number of seconds, 1 to {LEASE_MAX_S}");
    Err(BrokenRule::new("lease_seconds", rule, told))
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}", self.start_us, self.row)
    }
}

impl std::str::FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (start_us, row) = text.split_once('.').ok_or(())?;
        Ok(Self { start_us: start_us.parse().map_err(|_| ())?, row: row.parse().map_err(|_| ())? })
    }
}
