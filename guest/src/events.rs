//! Builds the events of a session from what a shell says about itself. Pure: time and randomness are
//! arguments.
//!
//! How single values are checked and cleaned is in `fields` and `metadata`, what the JSON looks like
//! in `wire`.

use crate::fields::{self, CWD, HOME, HOSTNAME, PLATFORM, PYTHON_VERSION, USERNAME};
use crate::json::{self, Json, Object, key_path};
use crate::limits::ORIGIN_SCALARS_MAX;
use crate::metadata::{self, RESERVED_KEYS};
use crate::redact::{HIDDEN, Secrets};
use crate::report::Report;
use crate::types::{
    ChangeKind, EndContext, EnvironmentInfo, Origin, Policy, PreparedEvent, Rule, StartContext, UserInfo,
    Violation,
};
use crate::validate;
use crate::wire::{self, Members};
use crate::{sanitize, time};

/// Builds the start of a session; see the WIT. `now_us` counts microseconds since 1970, `id` is 16
/// random bytes.
pub fn build_start(
    context: StartContext,
    policy: &Policy,
    now_us: i64,
    id: [u8; 16],
) -> Result<PreparedEvent, Vec<Violation>> {
    let mut report = Report::default();
    let report = &mut report;
    let secrets = Secrets::new(policy);
    fields::component_name(&context.component_name, &secrets, report);
    let shell_type = fields::shell_type(&context.shell_type, &secrets, report);
    let pid = fields::pid(context.pid, report);
    let event_id = event_id(context.event_id.as_deref(), "event_id", id, report);
    let timestamp = context.timestamp.as_deref().and_then(|t| fields::timestamp(t, "timestamp", report));
    let timestamp = time::format_us(timestamp.unwrap_or(now_us));
    let mut user = UserInfo {
        username: USERNAME.clean(&context.user.username, &secrets, report),
        home: HOME.clean(&context.user.home, &secrets, report),
    };
    let mut hostname = HOSTNAME.clean(&context.hostname, &secrets, report);
    let mut environment = EnvironmentInfo {
        python_version: PYTHON_VERSION.clean(&context.environment.python_version, &secrets, report),
        platform: PLATFORM.clean(&context.environment.platform, &secrets, report),
        cwd: CWD.clean(&context.environment.cwd, &secrets, report),
    };
    fields::hide(policy, &mut user, &mut hostname, &mut environment, report);
    let mut object = callers_metadata(&context.metadata, &secrets, report);
    put_correlation_id(&mut object, context.correlation_id.as_deref(), report);
    if let Some(origin) = &context.origin {
        put_origin(&mut object, origin, policy, &secrets, report);
    }
    let wire = wire::Start {
        event_version: wire::EVENT_VERSION,
        event_id: &event_id,
        event_type: wire::START,
        component_name: &context.component_name,
        shell_type: &shell_type,
        timestamp: &timestamp,
        pid,
        user: &user,
        hostname: &hostname,
        environment: &environment,
        metadata: &Json::Object(object),
    };
    let wire = wire.write();
    prepared(event_id, timestamp, wire, report)
}

/// Builds the end of a session, except for the server's id of it; see the WIT.
///
/// A time from the clock that lies before the start says that the clock was set back: the end then
/// takes the time of the start. A time that the caller passed is held against him.
pub fn build_end(
    context: EndContext,
    policy: &Policy,
    now_us: i64,
    id: [u8; 16],
) -> Result<PreparedEvent, Vec<Violation>> {
    let mut report = Report::default();
    let report = &mut report;
    let secrets = Secrets::new(policy);
    let event_id = event_id(context.event_id.as_deref(), "metadata.event_id", id, report);
    let started_us = context.started_at.as_deref().and_then(|t| fields::timestamp(t, "started_at", report));
    let ended_us = match context.timestamp.as_deref() {
        Some(text) => {
            let ended_us = fields::timestamp(text, "timestamp", report);
            if let (Some(ended), Some(started)) = (ended_us, started_us)
                && ended < started
            {
                report.violation(
                    "timestamp",
                    Rule::BeforeStart,
                    "must not lie before the start of the session",
                );
            }
            ended_us.unwrap_or(now_us)
        }
        None => now_us.max(started_us.unwrap_or(now_us)),
    };
    let timestamp = time::format_us(ended_us);
    let mut object = callers_metadata(&context.metadata, &secrets, report);
    put_correlation_id(&mut object, context.correlation_id.as_deref(), report);
    object.insert("event_id".to_owned(), Json::Text(event_id.clone()));
    let reason = wire::exit_reason_name(context.exit_reason);
    object.insert("exit_reason".to_owned(), Json::Text(reason.to_owned()));
    if let Some(status) = context.exit_status {
        object.insert("exit_status".to_owned(), Json::Signed(status.into()));
    }
    let metadata = Json::Object(object);
    let wire =
        wire::End { session_id: None, event_type: wire::END, timestamp: &timestamp, metadata: &metadata };
    let wire = wire.write();
    prepared(event_id, timestamp, wire, report)
}

/// Puts the server's id into a prepared end; see the WIT. The prepared text is validated anew: it lay
/// on a disk in the meantime.
pub fn bind_session(wire: &str, session_id: &str) -> Result<String, Vec<Violation>> {
    let mut report = Report::default();
    let secrets = Secrets::default();
    let event = Members::read(wire, &secrets, &mut report).map(|mut members| {
        members.insert("session_id", session_id);
        validate::end(members)
    });
    let Some(event) = event.filter(|_| report.is_valid()) else { return Err(report.violations) };
    let metadata = json::read_event(&event.metadata, &secrets, &mut report);
    let metadata = metadata.ok_or(report.violations)?;
    let session_id = Some(event.session_id.as_str());
    let wire =
        wire::End { session_id, event_type: wire::END, timestamp: &event.timestamp, metadata: &metadata };
    Ok(wire.write())
}

fn prepared(
    event_id: String,
    timestamp: String,
    wire: String,
    report: &mut Report,
) -> Result<PreparedEvent, Vec<Violation>> {
    if !report.is_valid() {
        return Err(std::mem::take(&mut report.violations));
    }
    Ok(PreparedEvent { event_id, timestamp, wire, changes: std::mem::take(&mut report.changes) })
}

fn event_id(given: Option<&str>, path: &str, random: [u8; 16], report: &mut Report) -> String {
    match given {
        Some(text) => fields::uuid(text, path, report).unwrap_or_default(),
        None => fields::new_uuid(random),
    }
}

/// The caller's metadata, clean; empty text and `null` are none.
fn callers_metadata(text: &str, secrets: &Secrets<'_>, report: &mut Report) -> Object {
    const PATH: &str = "metadata";
    if text.trim().is_empty() {
        return Object::new();
    }
    let object = match json::read_metadata(text, PATH, secrets, report) {
        Some(Json::Object(object)) => object,
        Some(Json::Null) | None => return Object::new(),
        Some(_) => {
            report.violation(PATH, Rule::WrongType, "must be a JSON object");
            return Object::new();
        }
    };
    let clean = metadata::clean(object, PATH, 0, secrets, report);
    // Looked for in the clean keys: an invisible character must not help around the rule.
    for key in RESERVED_KEYS.iter().filter(|&&key| clean.contains_key(key)) {
        report.violation(
            &key_path(PATH, key, 0, secrets),
            Rule::ReservedKey,
            "is written by shelltrack only",
        );
    }
    clean
}

fn put_correlation_id(object: &mut Object, id: Option<&str>, report: &mut Report) {
    let id = id.and_then(|id| fields::uuid(id, "metadata.correlation_id", report));
    if let Some(id) = id {
        object.insert("correlation_id".to_owned(), Json::Text(id));
    }
}

/// Who is really there. Comes from the surroundings: what is unusable is left out and told as a change.
fn put_origin(
    object: &mut Object,
    origin: &Origin,
    policy: &Policy,
    secrets: &Secrets<'_>,
    report: &mut Report,
) {
    let mut members = Object::new();
    for (key, id) in [("uid", origin.uid), ("login_uid", origin.login_uid)] {
        if let Some(id) = id {
            members.insert(key.to_owned(), Json::Signed(id.into()));
        }
    }
    let sudo_user = match &origin.sudo_user {
        Some(_) if policy.hide_username => {
            report.change("metadata.origin.sudo_user", ChangeKind::Hidden, "");
            Some(HIDDEN)
        }
        name => name.as_deref(),
    };
    for (key, text) in [
        ("sudo_user", sudo_user),
        ("tty", origin.tty.as_deref()),
        ("ssh_client", origin.ssh_client.as_deref()),
        ("parent_session", origin.parent_session.as_deref()),
    ] {
        let Some(text) = text else { continue };
        let path = format!("metadata.origin.{key}");
        let cleaned = sanitize::clean(text, ORIGIN_SCALARS_MAX, secrets);
        report.touched(&path, &cleaned.touches);
        let text =
            if key == "parent_session" { fields::parse_uuid(&cleaned.text) } else { Some(cleaned.text) };
        match text.filter(|text| !text.is_empty()) {
            Some(text) => {
                members.insert(key.to_owned(), Json::Text(text));
            }
            None => report.change(&path, ChangeKind::Defaulted, ""),
        }
    }
    if !members.is_empty() {
        object.insert("origin".to_owned(), Json::Object(members));
    }
}
