//! `shelltrack flush`: waits until everything accepted so far is delivered, and says what it waits for.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write, stderr};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use shelltrack_sandbox::Profile;
use shelltrack_tracker::{FlushReport, TargetStatus, Tracker, Waiting};

use super::{name_of, silent_agent};
use crate::args::Flush;
use crate::config::{SessionBuddy, Settings};
use crate::failure::{Failure, tell};
use crate::output;

/// How often the servers are looked at while nothing moves.
const LOOK: Duration = Duration::from_secs(1);
/// A look takes at most this part of the time: with a hundred thousand events it is not for nothing.
const LOOK_SHARE: u32 = 10;
/// How long nothing moves before a server that does not answer is worth a word.
const TOLD_AFTER: Duration = Duration::from_secs(5);
/// How long a server is tried that refuses us or lacks the tools: a cold one takes 20 s to say so, and
/// what was last known of it may be old.
const HOPELESS_AFTER: Duration = Duration::from_secs(30);

/// Waits; fails when not everything was delivered.
pub(crate) fn flush(config: Option<&Path>, flush: &Flush) -> Result<ExitCode, Failure> {
    let settings = Settings::load(config, &SessionBuddy::default())?;
    let tracker = settings.tracker(settings.sandbox(Profile::OneShot)?)?;
    let mut watch = Watch::new(&tracker);
    let report = tracker.flush(flush.timeout, |waiting| watch.look(waiting));
    watch.show_progress("");
    let report = report?;
    judge(&report)?;
    if report.dead_letters > 0 {
        let letters = output::several(report.dead_letters, "event");
        tell(&format!(
            "{letters} given up, none since the last flush; `shelltrack dead-letters list` says why"
        ));
    }
    output::print(&format!("{} delivered\n", output::several(report.delivered, "event")))?;
    Ok(ExitCode::SUCCESS)
}

/// What keeps a server's events waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Obstacle {
    /// A person; no waiting helps.
    HeldOpen,
    /// It answers, and a person has to act.
    NeedsPerson,
    /// It does not answer; it may come back.
    Away,
}

impl Obstacle {
    fn of(target: &TargetStatus) -> Option<(Self, String)> {
        if target.is_held_open() {
            let why = "its breaker is held open by hand; `shelltrack breaker reset` lets events through";
            return Some((Self::HeldOpen, why.to_owned()));
        }
        if let Some(why) = &target.needs_attention {
            return Some((Self::NeedsPerson, why.clone()));
        }
        let error = target.last_error.as_ref()?;
        Some((Self::Away, format!("{error}; still trying")))
    }

    /// Whether waiting is in vain when nothing has moved for that long.
    fn is_final(self, unchanged_for: Duration) -> bool {
        match self {
            Self::HeldOpen => true,
            Self::NeedsPerson => unchanged_for > HOPELESS_AFTER,
            Self::Away => false,
        }
    }
}

/// Tells a person what is waited for, and when that is in vain.
struct Watch<'a> {
    tracker: &'a Tracker,
    /// Somebody looks at stderr.
    watched: bool,
    look_at: Instant,
    told: BTreeSet<(Obstacle, String)>,
    shown: Option<u64>,
}

impl<'a> Watch<'a> {
    fn new(tracker: &'a Tracker) -> Self {
        let watched = stderr().is_terminal();
        Self { tracker, watched, look_at: Instant::now(), told: BTreeSet::new(), shown: None }
    }

    fn look(&mut self, waiting: &Waiting<'_>) -> ControlFlow<()> {
        if self.shown.replace(waiting.remaining) != Some(waiting.remaining) {
            self.show_progress(&format!("{} to deliver", output::several(waiting.remaining, "event")));
        }
        let began = Instant::now();
        if waiting.remaining == 0 || began < self.look_at {
            return ControlFlow::Continue(());
        }
        let look = self.look_at_servers(waiting);
        self.look_at = Instant::now() + LOOK.max(began.elapsed() * LOOK_SHARE);
        look
    }

    /// Breaks off when every server that events wait for is one for which waiting is in vain.
    fn look_at_servers(&mut self, waiting: &Waiting<'_>) -> ControlFlow<()> {
        // Which servers the events are for costs a file each: that is asked only when there is a reason.
        if waiting.unchanged_for < TOLD_AFTER && !self.tracker.is_any_held_open() {
            return ControlFlow::Continue(());
        }
        if waiting.unchanged_for >= TOLD_AFTER
            && let Some((pid, since)) = self.tracker.silent_agent()
        {
            let (name, why) = silent_agent(pid, since);
            self.tell_once(Obstacle::Away, &name, &why);
        }
        let targets = waiting.targets();
        let mut in_vain = 0;
        for target in &targets {
            let Some((obstacle, why)) = Obstacle::of(target) else { continue };
            in_vain += usize::from(obstacle.is_final(waiting.unchanged_for));
            if obstacle == Obstacle::HeldOpen || waiting.unchanged_for >= TOLD_AFTER {
                self.tell_once(obstacle, &name_of(&target.target), &why);
            }
        }
        if in_vain > 0 && in_vain == targets.len() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn tell_once(&mut self, obstacle: Obstacle, name: &str, why: &str) {
        if self.told.insert((obstacle, name.to_owned())) {
            self.show_progress("");
            tell(&format!("{name}: {why}"));
            self.shown = None;
        }
    }

    /// Puts this into the place of what was shown before. A terminal that is gone must disturb nothing.
    fn show_progress(&self, text: &str) {
        if self.watched {
            let _ = write!(stderr(), "\r\x1b[K{text}");
        }
    }
}

fn judge(report: &FlushReport) -> Result<(), Failure> {
    let FlushReport { waiting, dead, remaining, given_up, .. } = report;
    let earlier = format!(
        "{} given up since the last flush; `shelltrack dead-letters list` says why",
        output::several(*given_up, "event")
    );
    let now = format!(
        "of {} {remaining} still wait and {dead} were given up; see `shelltrack status`",
        output::several(*waiting, "event")
    );
    match (*dead > 0 || *remaining > 0, *given_up > 0) {
        (false, false) => Ok(()),
        (false, true) => Err(Failure::Failed(earlier)),
        (true, false) => Err(Failure::Failed(now)),
        (true, true) => Err(Failure::Failed(format!("{now}; before that {earlier}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_delivered_counts_as_success() {
        let all = FlushReport { waiting: 3, delivered: 3, ..FlushReport::default() };
        assert!(judge(&all).is_ok());
        assert!(judge(&FlushReport { delivered: 2, dead: 1, ..all }).is_err());
        assert!(judge(&FlushReport { delivered: 2, remaining: 1, ..all }).is_err());
        assert!(judge(&FlushReport { given_up: 1, dead_letters: 1, ..all }).is_err());
        assert!(judge(&FlushReport { dead_letters: 1, ..all }).is_ok(), "that was told already");
    }

    #[test]
    fn what_a_person_must_change_ends_the_wait_and_what_may_come_back_does_not() {
        let long = HOPELESS_AFTER * 2;
        assert!(Obstacle::HeldOpen.is_final(Duration::ZERO));
        assert!(!Obstacle::NeedsPerson.is_final(TOLD_AFTER) && Obstacle::NeedsPerson.is_final(long));
        assert!(!Obstacle::Away.is_final(long));
    }
}
