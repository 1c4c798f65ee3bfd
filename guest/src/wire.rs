//! The exact JSON on the wire: the arguments of `track_session_start` and `track_session_end` as
//! Session-Buddy takes them. The only place where it is made and taken apart.
//!
//! Says which members there are and of which type; which values they may have is for `validate`.

use crate::json::{self, Json, Object, key_path};
use crate::json_write;
use crate::redact::Secrets;
use crate::report::Report;
use crate::types::{EnvironmentInfo, ExitReason, Rule, UserInfo};

/// Version of the event format that Session-Buddy knows.
pub(crate) const EVENT_VERSION: &str = "1.0";
/// `event_type` of a start.
pub(crate) const START: &str = "session_start";
/// `event_type` of an end.
pub(crate) const END: &str = "session_end";

/// A start in the order of its members on the wire.
pub(crate) struct Start<'a> {
    pub(crate) event_version: &'a str,
    pub(crate) event_id: &'a str,
    pub(crate) event_type: &'a str,
    pub(crate) component_name: &'a str,
    pub(crate) shell_type: &'a str,
    pub(crate) timestamp: &'a str,
    pub(crate) pid: u32,
    pub(crate) user: &'a UserInfo,
    pub(crate) hostname: &'a str,
    pub(crate) environment: &'a EnvironmentInfo,
    pub(crate) metadata: &'a Json,
}

impl Start<'_> {
    /// The JSON of the wire.
    pub(crate) fn write(&self) -> String {
        let mut wire = String::new();
        let mut event = json_write::Members::begin(&mut wire);
        event.text("event_version", self.event_version);
        event.text("event_id", self.event_id);
        event.text("event_type", self.event_type);
        event.text("component_name", self.component_name);
        event.text("shell_type", self.shell_type);
        event.text("timestamp", self.timestamp);
        event.number("pid", self.pid.into());
        let mut user = event.members("user");
        user.text("username", &self.user.username);
        user.text("home", &self.user.home);
        user.end();
        event.text("hostname", self.hostname);
        let mut environment = event.members("environment");
        environment.text("python_version", &self.environment.python_version);
        environment.text("platform", &self.environment.platform);
        environment.text("cwd", &self.environment.cwd);
        environment.end();
        event.json("metadata", self.metadata);
        event.end();
        wire
    }
}

/// An end; without `session_id` as long as nobody knows it.
pub(crate) struct End<'a> {
    pub(crate) session_id: Option<&'a str>,
    pub(crate) event_type: &'a str,
    pub(crate) timestamp: &'a str,
    pub(crate) metadata: &'a Json,
}

impl End<'_> {
    /// The JSON of the wire.
    pub(crate) fn write(&self) -> String {
        let mut wire = String::new();
        let mut event = json_write::Members::begin(&mut wire);
        if let Some(id) = self.session_id {
            event.text("session_id", id);
        }
        event.text("event_type", self.event_type);
        event.text("timestamp", self.timestamp);
        event.json("metadata", self.metadata);
        event.end();
        wire
    }
}

/// Name of an exit reason on the wire.
pub(crate) fn exit_reason_name(reason: ExitReason) -> &'static str {
    match reason {
        ExitReason::Exited => "exited",
        ExitReason::Signaled => "signaled",
        ExitReason::Unknown => "unknown",
        ExitReason::Vanished => "vanished",
        ExitReason::Rebooted => "rebooted",
        ExitReason::Expired => "expired",
    }
}

/// Exit reason of a name on the wire.
pub(crate) fn exit_reason(name: &str) -> Option<ExitReason> {
    use ExitReason::{Exited, Expired, Rebooted, Signaled, Unknown, Vanished};
    let all = [Exited, Signaled, Unknown, Vanished, Rebooted, Expired];
    all.into_iter().find(|&reason| exit_reason_name(reason) == name)
}

/// Members of an object of the wire that are taken out one by one; what is left is unknown.
pub(crate) struct Members<'r> {
    object: Object,
    path: &'static str,
    secrets: &'r Secrets<'r>,
    report: &'r mut Report,
}

impl<'r> Members<'r> {
    /// What the policy takes for a secret.
    pub(crate) fn secrets(&self) -> &'r Secrets<'r> {
        self.secrets
    }

    /// Reads the text of an event. Nothing, if it is no JSON object.
    pub(crate) fn read(text: &str, secrets: &'r Secrets<'r>, report: &'r mut Report) -> Option<Self> {
        match json::read_event(text, secrets, report) {
            Some(Json::Object(object)) => Some(Members { object, path: "", secrets, report }),
            Some(_) => {
                report.violation("", Rule::WrongType, "must be a JSON object");
                None
            }
            None => None,
        }
    }

    /// Where violations go.
    pub(crate) fn report(&mut self) -> &mut Report {
        self.report
    }

    fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn take(&mut self, name: &str, required: bool) -> Option<Json> {
        let value = self.object.remove(name);
        let path = self.path(name);
        // A member that broke a rule of JSON is missing here, and told already.
        if value.is_none() && required && !self.report.has_violation_under(&path) {
            self.report.violation(&path, Rule::Required, "must be there");
        }
        value
    }

    fn wrong_type(&mut self, name: &str, expected: &str) {
        let path = self.path(name);
        self.report.violation(&path, Rule::WrongType, format!("must be {expected}"));
    }

    /// A string that must be there.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        match self.take(name, true)? {
            Json::Text(text) => Some(text),
            _ => {
                self.wrong_type(name, "a string");
                None
            }
        }
    }

    /// A string that may be absent or null.
    pub(crate) fn optional_text(&mut self, name: &str) -> Option<String> {
        match self.take(name, false)? {
            Json::Text(text) => Some(text),
            Json::Null => None,
            _ => {
                self.wrong_type(name, "a string");
                None
            }
        }
    }

    /// An integer that must be there, of 64 bits.
    pub(crate) fn integer(&mut self, name: &str) -> Option<i128> {
        match self.take(name, true)? {
            Json::Signed(n) => Some(n.into()),
            Json::Unsigned(n) => Some(n.into()),
            _ => {
                self.wrong_type(name, "an integer");
                None
            }
        }
    }

    /// An object of the event that must be there, to be taken apart by `read`.
    pub(crate) fn object<T: Default>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Members<'_>) -> T,
    ) -> T {
        match self.take(name, true) {
            Some(Json::Object(object)) => {
                let mut members = Members { object, path: name, secrets: self.secrets, report: self.report };
                let value = read(&mut members);
                members.finish();
                value
            }
            Some(_) => {
                self.wrong_type(name, "an object");
                T::default()
            }
            None => T::default(),
        }
    }

    /// `metadata`: an object, null or absent.
    pub(crate) fn metadata(&mut self) -> Object {
        match self.take("metadata", false) {
            Some(Json::Object(object)) => object,
            Some(Json::Null) | None => Object::new(),
            Some(_) => {
                self.wrong_type("metadata", "an object or null");
                Object::new()
            }
        }
    }

    /// Puts a member in that came another way; one that is there already is unknown.
    pub(crate) fn insert(&mut self, name: &str, value: &str) {
        if self.object.insert(name.to_owned(), Json::Text(value.to_owned())).is_some() {
            let path = self.path(name);
            self.report.violation(&path, Rule::UnknownField, "must not be there yet");
        }
    }

    /// What is left now is unknown.
    pub(crate) fn finish(self) {
        for (number, key) in self.object.keys().enumerate() {
            let path = key_path(self.path, key, number + 1, self.secrets);
            self.report.violation(&path, Rule::UnknownField, "is not a field of this event");
        }
    }
}
