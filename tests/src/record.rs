//! Session records as `list-sessions --json` prints them.

use serde_json::Value;

/// One session record, with what tests ask of it by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Record(pub Value);

/// Field names of a record: the seeds' ones, and what became of the shell.
pub const FIELDS: [&str; 19] = [
    "session_id",
    "session_type",
    "component_name",
    "shell_type",
    "start_time",
    "end_time",
    "duration_seconds",
    "pid",
    "username",
    "hostname",
    "python_version",
    "platform",
    "working_directory",
    "metadata",
    "state",
    "exit_status",
    "exit_reason",
    "correlation_id",
    "event_id",
];

impl Record {
    /// A text field.
    ///
    /// # Panics
    /// When the field is absent or no text.
    #[track_caller]
    pub fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_else(|| panic!("{field} is no text in {:#}", self.0))
    }

    /// The server's id of the session.
    #[track_caller]
    pub fn id(&self) -> &str {
        self.text("session_id")
    }

    /// How long the session lasted.
    #[track_caller]
    pub fn duration_seconds(&self) -> f64 {
        self.0["duration_seconds"]
            .as_f64()
            .unwrap_or_else(|| panic!("duration_seconds is no number in {:#}", self.0))
    }

    /// Asserts that the session is complete: ended, with an id, both times and this exit status.
    #[track_caller]
    pub fn check_ended(&self, exit_status: i64) {
        assert_eq!(self.text("state"), "ended", "{:#}", self.0);
        assert_eq!(self.0["exit_status"], exit_status, "{:#}", self.0);
        assert!(self.duration_seconds() >= 0.0, "{:#}", self.0);
        assert!(self.text("start_time") <= self.text("end_time"), "{:#}", self.0);
        for field in ["session_id", "correlation_id", "event_id"] {
            assert!(!self.text(field).is_empty(), "{field} in {:#}", self.0);
        }
    }
}
