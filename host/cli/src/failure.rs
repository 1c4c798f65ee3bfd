//! How a command fails: one line on stderr and an exit status.

use std::io::{self, Write};
use std::process::ExitCode;

use shelltrack_sandbox::types::Violation;

use crate::output::terminal_safe;

/// Something went wrong, or needs a person.
pub(crate) const FAILED: u8 = 1;
/// The command line or the configuration is wrong; nothing was changed.
pub(crate) const USAGE: u8 = 2;
/// `run`: its own options are wrong; nothing was launched (as `env`, `nice` and `timeout` count).
pub(crate) const NOT_LAUNCHED: u8 = 125;
/// `run`: the command was found and cannot be executed (POSIX shell, 2.8.2).
pub(crate) const NOT_EXECUTABLE: u8 = 126;
/// `run`: there is no such command (POSIX shell, 2.8.2).
pub(crate) const NOT_FOUND: u8 = 127;
/// What a signal's number is added to (POSIX shell, 2.8.2).
pub(crate) const SIGNALED: i32 = 128;
/// Whoever read our output went away: 128 + SIGPIPE, as other programs end.
const CLOSED_PIPE: u8 = 141;

/// Why a command ends early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// What was typed or configured is wrong.
    #[error("{0}")]
    Usage(String),
    /// It was right, and yet it did not work.
    #[error("{0}")]
    Failed(String),
    /// Nobody reads our output any more.
    #[error("the output is closed")]
    ClosedPipe,
}

impl Failure {
    /// Tells it on stderr and gives the exit status.
    pub(crate) fn report(&self) -> ExitCode {
        self.report_as(match self {
            Self::Usage(_) => USAGE,
            Self::Failed(_) => FAILED,
            Self::ClosedPipe => CLOSED_PIPE,
        })
    }

    /// Tells it on stderr and gives this exit status.
    pub(crate) fn report_as(&self, status: u8) -> ExitCode {
        if !matches!(self, Self::ClosedPipe) {
            tell(&self.to_string());
        }
        ExitCode::from(status)
    }

    /// What the component found wrong, each with the option it was typed as.
    pub(crate) fn rejected(violations: &[Violation]) -> Self {
        Self::told(violations, option_of)
    }

    /// As [`Self::rejected`], where no component was typed: then its name is the configuration's.
    pub(crate) fn configured(violations: &[Violation]) -> Self {
        Self::told(violations, |field| match field {
            "component_name" => "session.component".to_owned(),
            _ => option_of(field),
        })
    }

    fn told(violations: &[Violation], name: impl Fn(&str) -> String) -> Self {
        let told: Vec<_> = violations
            .iter()
            .map(|violation| format!("{}: {}", name(&violation.field), violation.message))
            .collect();
        Self::Usage(told.join("; "))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ClosedPipe,
            _ => Self::Failed(format!("the output cannot be written: {error}")),
        }
    }
}

impl From<shelltrack_tracker::Error> for Failure {
    fn from(error: shelltrack_tracker::Error) -> Self {
        match error {
            shelltrack_tracker::Error::Rejected(violations) => Self::rejected(&violations),
            other => Self::Failed(other.to_string()),
        }
    }
}

/// One line on stderr. That it cannot be written must disturb nothing.
pub(crate) fn tell(message: &str) {
    drop(writeln!(io::stderr().lock(), "shelltrack: {}", terminal_safe(message)));
}

/// The option that a field of an event comes from.
fn option_of(field: &str) -> String {
    match field {
        "component_name" => "--component".to_owned(),
        "shell_type" => "--shell-type".to_owned(),
        "pid" => "--pid".to_owned(),
        "metadata" => "--metadata".to_owned(),
        _ => match field.strip_prefix("metadata.") {
            Some(key) => format!("--metadata {key}"),
            None => field.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_is_told_by_the_option_it_was_typed_as() {
        assert_eq!(option_of("component_name"), "--component");
        assert_eq!(option_of("metadata.tag"), "--metadata tag");
        assert_eq!(option_of("user.username"), "user.username");
    }

    #[test]
    fn a_component_that_nobody_typed_is_told_by_its_key_in_the_configuration() {
        let message = "must match".to_owned();
        let rule = shelltrack_sandbox::types::Rule::BadFormat;
        let violation = Violation { field: "component_name".to_owned(), rule, message };
        assert_eq!(Failure::configured(&[violation]).to_string(), "session.component: must match");
    }

    #[test]
    fn a_reader_that_went_away_is_no_error_to_tell() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(matches!(failure, Failure::ClosedPipe));
    }
}
