//! From arguments to questions of the store: what was typed is parsed here, once.

use rmcp::model::JsonObject;
use serde_json::Value;

use crate::admission::TOKEN_ARGUMENT;
use crate::answers::{BrokenRule, SESSION_ID_CHARS_MAX};
use crate::records::{State, parse_rfc3339};
use crate::schema::{LEASE_DEFAULT_S, LEASE_MAX_S, LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX, RENEWED_SESSIONS_MAX};
use crate::store::{Cursor, Filter, ListQuery, Owner, Renewal};

/// Characters of an unknown argument's name that a refusal repeats.
const FIELD_CHARS_MAX: usize = 100;

/// What is said of a token that was not taken off at the door, because it is none.
const NO_TOKEN: &str = "it must be a text or null";

/// Unknown arguments that are told one by one.
const BROKEN_MAX: usize = 20;

/// Filters of `list_sessions` and `session_stats`.
const FILTERS: [&str; 9] = [
    "session_type",
    "component_name",
    "username",
    "hostname",
    "state",
    "active",
    "started_after",
    "started_before",
    "archived",
];

/// Arguments by their names; `null` is as good as absent.
struct Given<'a>(&'a JsonObject);

impl<'a> Given<'a> {
    fn get(&self, field: &str) -> Option<&'a Value> {
        self.0.get(field).filter(|value| !value.is_null())
    }

    fn text(&self, field: &str) -> Result<Option<&'a str>, String> {
        let wrong = || format!("{field}: it must be a text");
        self.get(field).map(|value| value.as_str().ok_or_else(wrong)).transpose()
    }

    fn flag(&self, field: &str) -> Result<Option<bool>, String> {
        let wrong = || format!("{field}: it must be true or false");
        self.get(field).map(|value| value.as_bool().ok_or_else(wrong)).transpose()
    }

    fn time(&self, field: &str) -> Result<Option<i64>, String> {
        let wrong = || format!("{field}: it must be an RFC 3339 time, such as 2026-01-31T09:30:00Z");
        self.text(field)?.map(|text| parse_rfc3339(text).ok_or_else(wrong)).transpose()
    }

    /// What is misspelt must not filter nothing.
    fn only(&self, known: &[&[&str]]) -> Result<(), String> {
        let known = known.concat();
        if self.0.contains_key(TOKEN_ARGUMENT) {
            return Err(format!("{TOKEN_ARGUMENT}: {NO_TOKEN}"));
        }
        match self.0.keys().find(|key| !known.contains(&key.as_str())) {
            Some(unknown) => {
                Err(format!("{}: there is no such argument; there are {}", plain(unknown), known.join(", ")))
            }
            None => Ok(()),
        }
    }
}

/// A name that somebody made up, as far as it can be told.
fn plain(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(FIELD_CHARS_MAX).collect()
}

/// A whole number, also one that is written as a fraction: `5.0` (JSON Schema 2020-12, core, 4.2.3).
fn whole(value: &Value) -> Option<u32> {
    let fraction = || {
        value.as_f64().filter(|number| number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(number))
    };
    value
        .as_u64()
        .and_then(|number| u32::try_from(number).ok())
        .or_else(|| fraction().map(|number| number as u32))
}

/// What `list_sessions` asks.
pub(crate) fn list(arguments: &JsonObject) -> Result<ListQuery, String> {
    let given = Given(arguments);
    given.only(&[&FILTERS, &["limit", "cursor"]])?;
    let limit = given.get("limit").map_or(Some(LIST_LIMIT_DEFAULT), whole);
    let limit = limit.filter(|limit| (1..=LIST_LIMIT_MAX).contains(limit));
    let limit = limit.ok_or_else(|| format!("limit: it must be a whole number, 1 to {LIST_LIMIT_MAX}"))?;
    let after = given.text("cursor")?.map(str::parse).transpose();
    let after = after.map_err(|()| "cursor: give `next_cursor` of an earlier answer unchanged")?;
    Ok(ListQuery { filter: filter(&given)?, limit, after, oldest_first: false })
}

/// Whose figures `session_stats` asks for.
pub(crate) fn stats(arguments: &JsonObject) -> Result<Filter, String> {
    let given = Given(arguments);
    given.only(&[&FILTERS])?;
    filter(&given)
}

/// Which session `show_session` asks for.
pub(crate) fn show(arguments: &JsonObject) -> Result<String, String> {
    let given = Given(arguments);
    given.only(&[&["session_id"]])?;
    let id = given
        .text("session_id")?
        .ok_or("session_id: it must be there: the id of a session, or its correlation id")?;
    Ok(id.to_owned())
}

/// Which sessions are meant.
fn filter(given: &Given<'_>) -> Result<Filter, String> {
    let named = |name: &str| State::from_name(name).ok_or("state: it must be active, ended, crashed or lost");
    let state = match (given.flag("active")?, given.text("state")?.map(named).transpose()?) {
        (Some(true), None | Some(State::Active)) => Some(State::Active),
        (Some(true), Some(_)) => return Err("active: it contradicts `state`; give one of the two".into()),
        (_, state) => state,
    };
    let text = |field| Ok::<_, String>(given.text(field)?.map(str::to_owned));
    Ok(Filter {
        session_type: text("session_type")?,
        component_name: text("component_name")?,
        username: text("username")?,
        hostname: text("hostname")?,
        state,
        started_from_us: given.time("started_after")?,
        started_before_us: given.time("started_before")?,
        with_archived: given.flag("archived")?.unwrap_or(false),
    })
}

/// What `track_session_activity` renews; or every rule that was broken.
pub(crate) fn renewal(arguments: &JsonObject, owner: Owner) -> Result<Renewal, Vec<BrokenRule>> {
    const FIELDS: [&str; 3] = ["session_ids", "timestamp", "lease_seconds"];
    let mut broken: Vec<BrokenRule> = arguments
        .keys()
        .filter(|key| !FIELDS.contains(&key.as_str()))
        .map(|key| match key.as_str() {
            TOKEN_ARGUMENT => BrokenRule::new(TOKEN_ARGUMENT, "wrong-type", NO_TOKEN.to_owned()),
            key => BrokenRule::new(
                plain(key),
                "unknown-field",
                format!("there is no such argument; there are {}", FIELDS.join(", ")),
            ),
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
            return ids
                .filter_map(|(at, id)| session_id(at, id).map_err(|rule| broken.push(rule)).ok())
                .collect();
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
        Some(given) => match whole(given) {
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
