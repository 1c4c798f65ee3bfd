//! From arguments to questions of the store: what was typed is parsed here, once.

use crate::records::{State, parse_rfc3339};
use crate::schema::{
    ActivityArguments, FilterArguments, LEASE_MAX_S, LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX, ListArguments,
    RENEWED_SESSIONS_MAX,
};
use crate::store::{Cursor, Filter, ListQuery, Owner, Renewal};

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

/// What `track_session_activity` renews.
pub(crate) fn renewal(arguments: ActivityArguments, owner: Owner) -> Result<Renewal, String> {
    if !(1..=RENEWED_SESSIONS_MAX).contains(&arguments.session_ids.len()) {
        return Err(format!("session_ids: there must be 1 to {RENEWED_SESSIONS_MAX}"));
    }
    if !(1..=LEASE_MAX_S).contains(&arguments.lease_seconds) {
        return Err(format!("lease_seconds: it must be 1 to {LEASE_MAX_S}"));
    }
    let seen_us = parse_rfc3339(&arguments.timestamp)
        .ok_or("timestamp: it must be an RFC 3339 time, such as 2026-01-31T09:30:00Z")?;
    let lease_us = i64::from(arguments.lease_seconds) * 1_000_000;
    Ok(Renewal { session_ids: arguments.session_ids, seen_us, lease_us, owner })
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
