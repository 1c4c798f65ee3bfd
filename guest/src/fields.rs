//! The fields of an event: limits, placeholders, and how each kind of value is checked or cleaned.
//!
//! What a person typed is refused when it is wrong; what the surroundings supply is cleaned and never
//! refused; what comes over the wire is refused when its structure is wrong. Builders and validator
//! use the same functions, so that what one makes the other takes.

use crate::json::{Json, Object};
use crate::limits::{
    COMPONENT_NAME_SCALARS_MAX, CWD_SCALARS_MAX, HOME_SCALARS_MAX, HOSTNAME_SCALARS_MAX, PID_MAX,
    PLATFORM_SCALARS_MAX, PYTHON_VERSION_SCALARS_MAX, SESSION_ID_BYTES_MAX, SHELL_TYPE_SCALARS_MAX,
    TEXT_BYTES_MAX, USERNAME_SCALARS_MAX,
};
use crate::redact::{self, HIDDEN, Secrets};
use crate::report::Report;
use crate::sanitize;
use crate::search::has;
use crate::time;
use crate::types::{ChangeKind, EnvironmentInfo, Policy, Rule, UserInfo};
pub(crate) use crate::uuid::{new_uuid, parse_uuid};

/// Stands for a name or path of which nothing usable was left. It claims no place and nobody.
pub(crate) const UNKNOWN: &str = "unknown";
/// Stands for the version of Python in a shell without one, as on the wire.
pub(crate) const NO_PYTHON: &str = "n/a";

/// A text of the surroundings.
pub(crate) struct Surrounding {
    path: &'static str,
    pub(crate) scalars_max: usize,
    placeholder: &'static str,
    /// A name: on the wire it must not be empty.
    pub(crate) is_name: bool,
}

const fn surrounding(
    path: &'static str,
    scalars_max: usize,
    placeholder: &'static str,
    is_name: bool,
) -> Surrounding {
    Surrounding { path, scalars_max, placeholder, is_name }
}

pub(crate) static USERNAME: Surrounding = surrounding("user.username", USERNAME_SCALARS_MAX, UNKNOWN, true);
pub(crate) static HOME: Surrounding = surrounding("user.home", HOME_SCALARS_MAX, UNKNOWN, false);
pub(crate) static HOSTNAME: Surrounding = surrounding("hostname", HOSTNAME_SCALARS_MAX, UNKNOWN, true);
pub(crate) static PLATFORM: Surrounding =
    surrounding("environment.platform", PLATFORM_SCALARS_MAX, UNKNOWN, false);
pub(crate) static CWD: Surrounding = surrounding("environment.cwd", CWD_SCALARS_MAX, UNKNOWN, false);
pub(crate) static PYTHON_VERSION: Surrounding =
    surrounding("environment.python_version", PYTHON_VERSION_SCALARS_MAX, NO_PYTHON, false);

impl Surrounding {
    /// Cleans what the surroundings supplied; never refuses.
    pub(crate) fn clean(&self, text: &str, secrets: &Secrets<'_>, report: &mut Report) -> String {
        let cleaned = sanitize::clean(text, self.scalars_max, secrets);
        report.touched(self.path, &cleaned.touches);
        if cleaned.text.is_empty() {
            report.change(self.path, ChangeKind::Defaulted, "");
            return self.placeholder.to_owned();
        }
        cleaned.text
    }

    /// Checks and cleans what came over the wire: too long is refused, as the Python models do, and so
    /// is an empty name.
    pub(crate) fn check(&self, text: Option<String>, secrets: &Secrets<'_>, report: &mut Report) -> String {
        let Some(text) = text else { return String::new() };
        check_length(&text, self.path, self.scalars_max, report);
        if self.is_name && sanitize::clean(&text, self.scalars_max, secrets).text.is_empty() {
            report.violation(self.path, Rule::Empty, "must not be empty");
            return String::new();
        }
        self.clean(&text, secrets, report)
    }
}

fn check_length(text: &str, path: &str, scalars_max: usize, report: &mut Report) {
    if text.chars().nth(scalars_max).is_some() {
        report.violation(path, Rule::TooLong, format!("must not be longer than {scalars_max} characters"));
    }
}

/// Component name: the whole string `[A-Za-z0-9_-]+`, and no token, since its form lets many pass.
pub(crate) fn component_name(name: &str, secrets: &Secrets<'_>, report: &mut Report) {
    const PATH: &str = "component_name";
    let in_name = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if name.is_empty() {
        report.violation(PATH, Rule::Empty, "must not be empty");
    } else if name.chars().nth(COMPONENT_NAME_SCALARS_MAX).is_some() {
        let message = format!("must not be longer than {COMPONENT_NAME_SCALARS_MAX} characters");
        report.violation(PATH, Rule::TooLong, message);
    } else if !name.bytes().all(in_name) {
        report.violation(PATH, Rule::BadFormat, "must consist of the characters A-Z a-z 0-9 _ -");
    } else if redact::is_secret(name, secrets) {
        report.violation(PATH, Rule::BadFormat, "must not be a secret");
    }
}

/// Kind of shell: cleaned; refused when nothing is left or too much.
pub(crate) fn shell_type(text: &str, secrets: &Secrets<'_>, report: &mut Report) -> String {
    const PATH: &str = "shell_type";
    let whole = sanitize::clean(text, TEXT_BYTES_MAX, secrets);
    if whole.text.is_empty() {
        report.violation(PATH, Rule::Empty, "must not be empty once it is cleaned");
    }
    check_length(&whole.text, PATH, SHELL_TYPE_SCALARS_MAX, report);
    report.touched(PATH, &whole.touches);
    whole.text
}

/// Kind of shell from the wire, where its length counts as it stands, as with every other field.
pub(crate) fn shell_type_on_wire(text: &str, secrets: &Secrets<'_>, report: &mut Report) -> String {
    const PATH: &str = "shell_type";
    check_length(text, PATH, SHELL_TYPE_SCALARS_MAX, report);
    if report.has_violation_under(PATH) { String::new() } else { shell_type(text, secrets, report) }
}

/// Process id, from wherever it came.
pub(crate) fn pid(pid: impl TryInto<u32>, report: &mut Report) -> u32 {
    let pid = pid.try_into().unwrap_or(0);
    if !(1..=PID_MAX).contains(&pid) {
        report.violation("pid", Rule::OutOfRange, format!("must be between 1 and {PID_MAX}"));
    }
    pid
}

/// A UUID v4 that must be one.
pub(crate) fn uuid(text: &str, path: &str, report: &mut Report) -> Option<String> {
    let id = parse_uuid(text);
    if id.is_none() {
        report.violation(path, Rule::BadFormat, "must be a UUID of version 4");
    }
    id
}

/// A time that must be one, in microseconds since 1970.
pub(crate) fn timestamp(text: &str, path: &str, report: &mut Report) -> Option<i64> {
    let us = time::parse_us(text);
    if us.is_none() {
        let message = "must be a real RFC 3339 time, such as 2026-01-31T12:00:00Z";
        report.violation(path, Rule::BadFormat, message);
    }
    us
}

/// Session id of a server: 1 to 200 visible ASCII characters. Opaque: never changed.
pub(crate) fn session_id(id: &str, report: &mut Report) {
    const PATH: &str = "session_id";
    if id.is_empty() {
        report.violation(PATH, Rule::Empty, "must not be empty");
    } else if id.len() > SESSION_ID_BYTES_MAX {
        let message = format!("must not be longer than {SESSION_ID_BYTES_MAX} characters");
        report.violation(PATH, Rule::TooLong, message);
    } else if !id.bytes().all(|b| b.is_ascii_graphic()) {
        report.violation(PATH, Rule::BadFormat, "must consist of visible ASCII characters");
    }
}

/// Hides what the policy wants hidden. A working directory below a hidden home, and a home or working
/// directory with a hidden user name in it, would tell what was hidden: that part goes as well.
pub(crate) fn hide(
    policy: &Policy,
    user: &mut UserInfo,
    hostname: &mut String,
    environment: &mut EnvironmentInfo,
    report: &mut Report,
) {
    if policy.hide_home {
        hide_part(&mut environment.cwd, &CWD, |cwd| below(cwd, &user.home), report);
    }
    if policy.hide_username {
        let name = user.username.clone();
        hide_part(&mut user.home, &HOME, |home| without_segment(home, &name), report);
        hide_part(&mut environment.cwd, &CWD, |cwd| without_segment(cwd, &name), report);
    }
    let whole = |_: &str| Some(HIDDEN.to_owned());
    if policy.hide_home {
        hide_part(&mut user.home, &HOME, whole, report);
    }
    if policy.hide_username {
        hide_part(&mut user.username, &USERNAME, whole, report);
    }
    if policy.hide_hostname {
        hide_part(hostname, &HOSTNAME, whole, report);
    }
    if policy.hide_cwd {
        hide_part(&mut environment.cwd, &CWD, whole, report);
    }
}

/// The name behind `sudo`, in metadata that came over the wire.
pub(crate) fn hide_sudo_user(metadata: &mut Object, report: &mut Report) {
    let Some(Json::Object(origin)) = metadata.get_mut("origin") else { return };
    if let Some(name) = origin.get_mut("sudo_user")
        && !matches!(name, Json::Text(name) if name == HIDDEN)
    {
        *name = Json::Text(HIDDEN.to_owned());
        report.change("metadata.origin.sudo_user", ChangeKind::Hidden, "");
    }
}

fn hide_part(
    value: &mut String,
    field: &Surrounding,
    hidden: impl FnOnce(&str) -> Option<String>,
    report: &mut Report,
) {
    let hidden = hidden(value).filter(|hidden| hidden != value);
    if let Some(hidden) = hidden {
        // The mark may be longer than what it hides.
        *value = hidden.chars().take(field.scalars_max).collect();
        report.change(field.path, ChangeKind::Hidden, "");
    }
}

fn below(cwd: &str, home: &str) -> Option<String> {
    const SHORTEST_HOME: usize = 2;
    let rest = cwd.strip_prefix(home).filter(|_| home.len() >= SHORTEST_HOME)?;
    (rest.is_empty() || rest.starts_with(['/', '\\'])).then(|| format!("{HIDDEN}{rest}"))
}

fn without_segment(path: &str, name: &str) -> Option<String> {
    if name.is_empty() || !has(path, name) {
        return None;
    }
    let segments = path.split_inclusive(['/', '\\']).map(|segment| {
        let bare = segment.trim_end_matches(['/', '\\']);
        match segment.get(bare.len()..) {
            Some(rest) if bare == name => HIDDEN.to_owned() + rest,
            _ => segment.to_owned(),
        }
    });
    Some(segments.collect())
}
