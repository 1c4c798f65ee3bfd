//! `shelltrack flush`: waits until everything accepted so far is delivered.

use std::io::{IsTerminal, Write, stderr};
use std::path::Path;
use std::process::ExitCode;

use shelltrack_sandbox::Profile;
use shelltrack_tracker::{FlushReport, TargetStatus};

use super::name_of;
use crate::args::Flush;
use crate::config::{SessionBuddy, Settings};
use crate::failure::{Failure, tell};
use crate::output;

/// Waits; fails when not everything was delivered.
pub(crate) fn flush(config: Option<&Path>, flush: &Flush) -> Result<ExitCode, Failure> {
    let settings = Settings::load(config, &SessionBuddy::default())?;
    let tracker = settings.tracker(settings.sandbox(Profile::OneShot)?)?;
    let watched = stderr().is_terminal();
    let held = tracker.status()?.targets.into_iter().filter(TargetStatus::is_held_open);
    for target in held.map(|status| name_of(&status.target)) {
        tell(&format!(
            "{target}: its breaker is held open by hand; `shelltrack breaker reset` lets events through"
        ));
    }
    let report = tracker.flush(flush.timeout, |remaining| {
        if watched {
            show_progress(&format!("{} to deliver", output::several(remaining, "event")));
        }
    });
    if watched {
        show_progress("");
    }
    let report = report?;
    judge(&report)?;
    output::print(&format!("{} delivered\n", output::several(report.delivered, "event")))?;
    Ok(ExitCode::SUCCESS)
}

/// Puts this into the place of what was shown before. A terminal that is gone must disturb nothing.
fn show_progress(text: &str) {
    let _ = write!(stderr(), "\r\x1b[K{text}");
}

fn judge(report: &FlushReport) -> Result<(), Failure> {
    let FlushReport { waiting, dead, remaining, .. } = report;
    if *dead == 0 && *remaining == 0 {
        return Ok(());
    }
    Err(Failure::Failed(format!(
        "of {waiting} events {remaining} still wait and {dead} were given up; see `shelltrack status`"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_delivered_counts_as_success() {
        let all = FlushReport { waiting: 3, delivered: 3, dead: 0, remaining: 0 };
        assert!(judge(&all).is_ok());
        assert!(judge(&FlushReport { delivered: 2, dead: 1, ..all }).is_err());
        assert!(judge(&FlushReport { delivered: 2, remaining: 1, ..all }).is_err());
    }
}
