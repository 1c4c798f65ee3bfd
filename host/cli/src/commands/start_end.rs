//! `shelltrack start` and `shelltrack end`: for the startup files of shells, and for programs.

use std::env;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::{Pid, getppid};
use shelltrack_sandbox::Profile;
use shelltrack_sandbox::types::{ExitReason, StartContext};
use shelltrack_tracker::{EndedAt, Error, Session, ShellEnd, Tracker, surroundings};
use uuid::Uuid;

use super::{clean_shell_type, metadata_json};
use crate::args::{End, Start};
use crate::config::{SessionBuddy, Settings};
use crate::failure::{Failure, tell};
use crate::{output, process};

/// How long a start may be on its way when its end is there already, as where a user is looked up in a network; a
/// shell that closes waits no longer.
const START_ON_ITS_WAY: Duration = Duration::from_secs(3);

/// Records the start and prints the key.
pub(crate) fn start(config: Option<&Path>, start: Start) -> Result<ExitCode, Failure> {
    let metadata = metadata_json(&start.named.metadata()?);
    let pid = pid_of(start.pid)?;
    let (settings, unknown) = Settings::load_leniently(config, &start.session_buddy)?;
    unknown.iter().for_each(|unknown| tell(&format!("{unknown}; it is ignored")));
    let sandbox = settings.sandbox(Profile::OneShot)?;
    let shell_type = start
        .shell_type
        .unwrap_or_else(|| clean_shell_type(&process::name_of(pid), &sandbox, &settings.policy));
    let is_typed = start.named.component.is_some();
    let context = StartContext {
        component_name: start.named.component.unwrap_or_else(|| settings.component.clone()),
        shell_type,
        metadata,
        ..surroundings(pid)
    };
    // Before anything is made on disk: a wrong option changes nothing. What else may fail here fails again below,
    // where it is counted.
    if let Err(error @ shelltrack_sandbox::Error::Rejected(_)) =
        sandbox.build_start(&context, &settings.policy)
    {
        return Err(match error {
            shelltrack_sandbox::Error::Rejected(violations) if !is_typed => Failure::configured(&violations),
            error => shelltrack_tracker::Error::from(error).into(),
        });
    }
    let tracker = settings.tracker(sandbox)?;
    let session = tracker.start(context)?;
    output::print(&format!("{}\n", session.key()))?;
    Ok(ExitCode::SUCCESS)
}

/// Records the end.
pub(crate) fn end(config: Option<&Path>, end: &End) -> Result<ExitCode, Failure> {
    if end.key.is_empty() {
        // `shelltrack end "$key"` after a start that was refused, and told so then.
        return Ok(ExitCode::SUCCESS);
    }
    if Uuid::try_parse(&end.key).is_err() {
        return Err(Failure::Usage(
            "KEY: must be the key that `shelltrack start` printed, a UUID".to_owned(),
        ));
    }
    let settings = Settings::load(config, &SessionBuddy::default()).or_else(|failure| {
        // A shell that closes is not the moment to complain about a file.
        tracing::warn!(%failure, "ended without the configuration");
        Settings::without_configuration()
    })?;
    let tracker = settings.tracker(settings.sandbox(Profile::OneShot)?)?;
    let session = match known(&tracker, &end.key) {
        Err(Error::UnknownSession(key)) if tracker.ended_lately(&key) => {
            tell(&format!("the session {key} has ended already; nothing changes"));
            return Ok(ExitCode::SUCCESS);
        }
        // One that `run` does not record, and tells.
        Err(Error::UnknownSession(key)) if tracker.is_refused(&key) => return Ok(ExitCode::SUCCESS),
        known => known?,
    };
    session.end(ShellEnd {
        exit_status: end.exit_status,
        exit_reason: if end.exit_status.is_some() { ExitReason::Exited } else { ExitReason::Unknown },
        at: EndedAt::Now,
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The session of that key. `run` records a start beside its command, whose own `end` may come first: such
/// a start is given a moment.
fn known<'a>(tracker: &'a Tracker, key: &str) -> Result<Session<'a>, Error> {
    let told_by_run = env::var_os("SHELLTRACK_SESSION").is_some_and(|told| told == key);
    tracker.session_soon(key, if told_by_run { START_ON_ITS_WAY } else { Duration::ZERO })
}

fn pid_of(typed: Option<u32>) -> Result<u32, Failure> {
    let parent = || getppid().and_then(|pid| u32::try_from(Pid::as_raw(Some(pid))).ok());
    let pid = typed.or_else(parent).filter(|pid| process::exists(*pid));
    pid.ok_or_else(|| {
        let pid = typed.map_or_else(|| "the parent".to_owned(), |pid| pid.to_string());
        Failure::Usage(format!(
            "--pid: {pid} is no process here; it must be that of the shell, as in --pid $$"
        ))
    })
}
