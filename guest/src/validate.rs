//! Checks what arrives over the wire: arguments of the two tools in, a typed and clean event out, or
//! every violation at once.
//!
//! Structure is refused (types, unknown members, forms, ranges, lengths, depth), ordinary characters
//! never: they are cleaned and redacted as in the builders. A foreign client may use the reserved
//! metadata keys for facts of its own: a value that has not our form (UUID v4, 32-bit status, known
//! reason) is kept as ordinary metadata and not taken for ours.

use crate::fields::{self, CWD, HOME, HOSTNAME, PLATFORM, PYTHON_VERSION, USERNAME};
use crate::json::{Json, Object};
use crate::json_write;
use crate::limits::RESERVED_BYTES_MAX;
use crate::metadata;
use crate::redact::Secrets;
use crate::report::Report;
use crate::time;
use crate::types::{
    EndEvent, EnvironmentInfo, ExitReason, Policy, Rule, SessionState, StartEvent, UserInfo, Violation,
};
use crate::wire::{self, Members};

/// Validates the arguments of `track_session_start`; see the WIT.
pub fn validate_start(json: &str, policy: &Policy) -> Result<StartEvent, Vec<Violation>> {
    let mut report = Report::default();
    let secrets = Secrets::new(policy);
    let event = Members::read(json, &secrets, &mut report).map(|members| start(members, policy));
    let event = event.map(|event| hidden(event, policy, &mut report));
    finish(event, report, |event, changes| event.changes = changes)
}

/// Validates the arguments of `track_session_end`; see the WIT.
pub fn validate_end(json: &str, policy: &Policy) -> Result<EndEvent, Vec<Violation>> {
    let mut report = Report::default();
    let secrets = Secrets::new(policy);
    let event = Members::read(json, &secrets, &mut report).map(|mut members| {
        members.optional_text("token");
        end(members)
    });
    finish(event, report, |event, changes| event.changes = changes)
}

fn finish<T>(
    event: Option<T>,
    report: Report,
    put: impl FnOnce(&mut T, Vec<crate::types::Change>),
) -> Result<T, Vec<Violation>> {
    match event {
        Some(mut event) if report.is_valid() => {
            put(&mut event, report.changes);
            Ok(event)
        }
        _ => Err(report.violations),
    }
}

fn start(mut members: Members<'_>, policy: &Policy) -> StartEvent {
    let secrets = members.secrets();
    constant(&mut members, "event_version", wire::EVENT_VERSION, true);
    constant(&mut members, "event_type", wire::START, true);
    // The token is for the server's door; here it must only not be in the way.
    members.optional_text("token");
    let event_id = members.text("event_id");
    let component_name = members.text("component_name");
    let shell_type = members.text("shell_type");
    let timestamp = members.text("timestamp");
    let pid = members.integer("pid");
    let user = members.object("user", |user| (user.text("username"), user.text("home")));
    let hostname = members.text("hostname");
    let environment = members.object("environment", |environment| {
        (environment.text("python_version"), environment.text("platform"), environment.text("cwd"))
    });
    let mut object = members.metadata();
    let report = members.report();
    if policy.hide_username {
        fields::hide_sudo_user(&mut object, report);
    }

    let event_id = event_id.and_then(|id| fields::uuid(&id, "event_id", report)).unwrap_or_default();
    let component_name =
        component_name.inspect(|name| fields::component_name(name, secrets, report)).unwrap_or_default();
    let shell_type =
        shell_type.map(|text| fields::shell_type_on_wire(&text, secrets, report)).unwrap_or_default();
    let timestamp_us = timestamp.and_then(|t| fields::timestamp(&t, "timestamp", report)).unwrap_or_default();
    let event = StartEvent {
        event_id,
        component_name,
        shell_type,
        timestamp: time::format_us(timestamp_us),
        timestamp_us,
        pid: pid.map(|pid| fields::pid(pid, report)).unwrap_or_default(),
        user: UserInfo {
            username: USERNAME.check(user.0, secrets, report),
            home: HOME.check(user.1, secrets, report),
        },
        hostname: HOSTNAME.check(hostname, secrets, report),
        environment: EnvironmentInfo {
            python_version: PYTHON_VERSION.check(environment.0, secrets, report),
            platform: PLATFORM.check(environment.1, secrets, report),
            cwd: CWD.check(environment.2, secrets, report),
        },
        correlation_id: uuid_of(&object, "correlation_id"),
        metadata: clean_metadata(object, secrets, report),
        changes: Vec::new(),
    };
    members.finish();
    event
}

fn hidden(mut event: StartEvent, policy: &Policy, report: &mut Report) -> StartEvent {
    fields::hide(policy, &mut event.user, &mut event.hostname, &mut event.environment, report);
    event
}

/// Validates the members of an end; `bind-session` comes here as well.
pub(crate) fn end(mut members: Members<'_>) -> EndEvent {
    let secrets = members.secrets();
    constant(&mut members, "event_type", wire::END, false);
    let session_id = members.text("session_id");
    let timestamp = members.text("timestamp");
    let object = members.metadata();
    let report = members.report();

    let session_id = session_id.inspect(|id| fields::session_id(id, report)).unwrap_or_default();
    let timestamp_us = timestamp.and_then(|t| fields::timestamp(&t, "timestamp", report)).unwrap_or_default();
    let exit_reason = match object.get("exit_reason") {
        Some(Json::Text(name)) => wire::exit_reason(name).unwrap_or(ExitReason::Unknown),
        _ => ExitReason::Unknown,
    };
    let event = EndEvent {
        session_id,
        timestamp: time::format_us(timestamp_us),
        timestamp_us,
        event_id: uuid_of(&object, "event_id"),
        correlation_id: uuid_of(&object, "correlation_id"),
        exit_status: exit_status_of(&object),
        exit_reason,
        state: state_after(exit_reason),
        metadata: clean_metadata(object, secrets, report),
        changes: Vec::new(),
    };
    members.finish();
    event
}

fn clean_metadata(object: Object, secrets: &Secrets<'_>, report: &mut Report) -> String {
    let clean = metadata::clean(object, "metadata", RESERVED_BYTES_MAX, secrets, report);
    json_write::object(&clean)
}

/// A member that can have one value only.
fn constant(members: &mut Members<'_>, name: &str, value: &str, required: bool) {
    let found = if required { members.text(name) } else { members.optional_text(name) };
    if found.is_some_and(|found| found != value) {
        members.report().violation(name, Rule::BadFormat, format!("must be \"{value}\""));
    }
}

fn uuid_of(object: &Object, key: &str) -> Option<String> {
    match object.get(key)? {
        Json::Text(text) => fields::parse_uuid(text),
        _ => None,
    }
}

fn exit_status_of(object: &Object) -> Option<i32> {
    match *object.get("exit_status")? {
        Json::Signed(status) => i32::try_from(status).ok(),
        _ => None,
    }
}

/// State of a session after an end; see `exit-reason` in the WIT.
fn state_after(reason: ExitReason) -> SessionState {
    match reason {
        ExitReason::Exited | ExitReason::Signaled | ExitReason::Unknown => SessionState::Ended,
        ExitReason::Vanished => SessionState::Crashed,
        ExitReason::Rebooted | ExitReason::Expired => SessionState::Lost,
    }
}
