//! One session as it is shown: what the server has, and over it what is accepted here and not
//! delivered yet.

use std::cmp::Reverse;

use chrono::{DateTime, FixedOffset};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shelltrack_sandbox::types::{EndEvent, ExitReason, Policy, SessionState, StartEvent};
use shelltrack_sandbox::{Error, Sandbox};
use shelltrack_tracker::LocalSession;

/// Type of every session recorded here.
const ADMIN_SHELL: &str = "admin_shell";
/// State of a session that is open.
const ACTIVE: &str = "active";

/// Whether the server has all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Delivery {
    /// It has.
    #[default]
    Delivered,
    /// Its start or its end still waits here.
    Pending,
}

/// A record. Absent values are `null`; times are RFC 3339 in UTC. What a server sends is untrusted and
/// may lack anything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Record {
    pub(crate) session_id: Option<String>,
    pub(crate) session_type: Option<String>,
    pub(crate) component_name: Option<String>,
    pub(crate) shell_type: Option<String>,
    pub(crate) start_time: Option<String>,
    pub(crate) end_time: Option<String>,
    pub(crate) duration_seconds: Option<f64>,
    pub(crate) pid: Option<u32>,
    pub(crate) username: Option<String>,
    pub(crate) hostname: Option<String>,
    pub(crate) python_version: Option<String>,
    pub(crate) platform: Option<String>,
    pub(crate) working_directory: Option<String>,
    pub(crate) metadata: Value,
    pub(crate) state: Option<String>,
    pub(crate) exit_status: Option<i64>,
    pub(crate) exit_reason: Option<String>,
    pub(crate) correlation_id: Option<String>,
    pub(crate) event_id: Option<String>,
    #[serde(skip_deserializing)]
    pub(crate) delivery: Delivery,
}

impl Record {
    /// What is known here of a session, cleaned once more by the component.
    pub(crate) fn local(local: &LocalSession, sandbox: &Sandbox, policy: &Policy) -> Result<Self, Error> {
        let start = sandbox.validate_start(&local.start, policy)?;
        let end = match &local.end {
            // An end needs a session id to be whole; until the server gives one, the key stands for it.
            Some(end) => {
                let bound = sandbox.bind_session(end, local.session_id.as_ref().unwrap_or(&local.key))?;
                Some(sandbox.validate_end(&bound, policy)?)
            }
            None => None,
        };
        let mut record = Self::opened(local, start, end.as_ref());
        record.state = Some(end.as_ref().map_or(ACTIVE, |end| state_name(end.state)).to_owned());
        record.exit_status = end.as_ref().and_then(|end| end.exit_status.map(i64::from));
        record.exit_reason = end.as_ref().map(|end| reason_name(end.exit_reason).to_owned());
        record.end_time = end.map(|end| end.timestamp);
        Ok(record)
    }

    fn opened(local: &LocalSession, start: StartEvent, end: Option<&EndEvent>) -> Self {
        Self {
            session_id: local.session_id.clone(),
            session_type: Some(ADMIN_SHELL.to_owned()),
            component_name: Some(start.component_name),
            shell_type: Some(start.shell_type),
            duration_seconds: end
                .and_then(|end| end.timestamp_us.checked_sub(start.timestamp_us))
                .filter(|us| *us >= 0)
                .map(|us| us as f64 / 1e6),
            start_time: Some(start.timestamp),
            pid: Some(start.pid),
            username: Some(start.user.username),
            hostname: Some(start.hostname),
            python_version: Some(start.environment.python_version),
            platform: Some(start.environment.platform),
            working_directory: Some(start.environment.cwd),
            metadata: serde_json::from_str(&start.metadata).unwrap_or_default(),
            correlation_id: Some(local.key.clone()),
            event_id: Some(start.event_id),
            delivery: if local.pending > 0 { Delivery::Pending } else { Delivery::Delivered },
            ..Self::default()
        }
    }

    /// Whether both are the same session, as one server sees it.
    fn is_same_as(&self, other: &Self) -> bool {
        let same = |a: &Option<String>, b: &Option<String>| a.is_some() && a == b;
        same(&self.correlation_id, &other.correlation_id) || same(&self.session_id, &other.session_id)
    }

    /// Takes over an end that the server has not heard of yet.
    fn overlay(&mut self, local: Self) {
        if local.end_time.is_none() || self.end_time.is_some() {
            return;
        }
        self.end_time = local.end_time;
        self.duration_seconds = local.duration_seconds;
        self.state = local.state;
        self.exit_status = local.exit_status;
        self.exit_reason = local.exit_reason;
        self.delivery = local.delivery;
    }

    /// Whether it fits what was asked for.
    pub(crate) fn is_wanted(&self, session_type: Option<&str>, active: bool) -> bool {
        session_type.is_none_or(|wanted| self.session_type.as_deref() == Some(wanted))
            && (!active || self.state.as_deref() == Some(ACTIVE))
    }

    fn started(&self) -> Option<DateTime<FixedOffset>> {
        self.start_time.as_deref().and_then(|time| DateTime::parse_from_rfc3339(time).ok())
    }
}

/// What is known here, and where it belongs.
pub(crate) struct Local {
    /// The record.
    pub(crate) record: Record,
    /// Whether it goes to the server that was asked.
    pub(crate) of_this_target: bool,
}

/// The server's records and those known here, newest first. A session that was delivered to the server
/// and is not in its answer was left out by it on purpose; `complete` says that there was an answer.
pub(crate) fn merge(server: Vec<Record>, local: Vec<Local>, complete: bool) -> Vec<Record> {
    let mut merged = server;
    for Local { record, of_this_target } in local {
        let known = merged.iter_mut().find(|other| of_this_target && other.is_same_as(&record));
        match known {
            Some(known) => known.overlay(record),
            None if record.delivery == Delivery::Pending || (of_this_target && !complete) => {
                merged.push(record);
            }
            None => {}
        }
    }
    merged.sort_by_cached_key(|record| Reverse(record.started()));
    merged
}

fn state_name(state: SessionState) -> &'static str {
    match state {
        SessionState::Active => ACTIVE,
        SessionState::Ended => "ended",
        SessionState::Crashed => "crashed",
        SessionState::Lost => "lost",
    }
}

fn reason_name(reason: ExitReason) -> &'static str {
    match reason {
        ExitReason::Exited => "exited",
        ExitReason::Signaled => "signaled",
        ExitReason::Unknown => "unknown",
        ExitReason::Vanished => "vanished",
        ExitReason::Rebooted => "rebooted",
        ExitReason::Expired => "expired",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by panic")]
mod tests {
    use super::*;

    fn record(id: Option<&str>, key: &str, second: u32) -> Record {
        Record {
            session_id: id.map(str::to_owned),
            correlation_id: Some(key.to_owned()),
            start_time: Some(format!("2026-01-01T00:00:{second:02}.000000Z")),
            state: Some(ACTIVE.to_owned()),
            ..Record::default()
        }
    }

    fn pending(record: Record) -> Local {
        Local { record: Record { delivery: Delivery::Pending, ..record }, of_this_target: true }
    }

    fn ended(record: Record) -> Record {
        Record {
            end_time: Some("2026-01-01T00:01:00.000000Z".to_owned()),
            state: Some("ended".to_owned()),
            exit_status: Some(7),
            ..record
        }
    }

    #[test]
    fn what_is_not_delivered_yet_joins_what_the_server_has_newest_first() {
        let server = vec![record(Some("a"), "1", 1), record(Some("c"), "3", 3)];
        let merged = merge(server, vec![pending(record(None, "2", 2))], true);
        let keys: Vec<_> = merged.iter().map(|record| record.correlation_id.as_deref().unwrap()).collect();
        assert_eq!(keys, ["3", "2", "1"]);
        assert_eq!(merged[1].delivery, Delivery::Pending);
    }

    #[test]
    fn an_end_that_waits_is_laid_over_the_start_the_server_has() {
        let merged =
            merge(vec![record(Some("a"), "1", 1)], vec![pending(ended(record(Some("a"), "1", 1)))], true);
        assert_eq!(merged.len(), 1);
        assert_eq!((merged[0].exit_status, merged[0].delivery), (Some(7), Delivery::Pending));
        assert!(!merged[0].is_wanted(None, true));
    }

    #[test]
    fn an_end_that_arrived_while_we_looked_is_not_pending() {
        let server = vec![ended(record(Some("a"), "1", 1))];
        let merged = merge(server, vec![pending(ended(record(Some("a"), "1", 1)))], true);
        assert_eq!(merged[0].delivery, Delivery::Delivered);
    }

    #[test]
    fn a_delivered_session_is_shown_from_here_only_when_the_server_gives_no_list() {
        let local = || vec![Local { record: record(Some("a"), "1", 1), of_this_target: true }];
        assert!(merge(Vec::new(), local(), true).is_empty());
        assert_eq!(merge(Vec::new(), local(), false).len(), 1);
    }

    #[test]
    fn the_same_id_at_another_server_is_another_session() {
        let mut other = pending(record(Some("a"), "2", 2));
        other.of_this_target = false;
        assert_eq!(merge(vec![record(Some("a"), "1", 1)], vec![other], true).len(), 2);
    }

    #[test]
    fn records_of_a_foreign_server_may_lack_anything() {
        let record: Record = serde_json::from_str(r#"{"session_id":"x","more":1,"delivery":5}"#).unwrap();
        assert_eq!(record.session_id.as_deref(), Some("x"));
        let json = serde_json::to_value(&record).unwrap();
        assert_eq!((&json["delivery"], &json["end_time"]), (&"delivered".into(), &Value::Null));
    }
}
