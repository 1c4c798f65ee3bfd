//! `shelltrack breaker`: what a person orders of a server's breaker.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use shelltrack_sandbox::Profile;
use shelltrack_tracker::{BreakerOrder, Target, Tracker};

use super::name_of;
use crate::args::{Breaker, OfTarget};
use crate::config::{SessionBuddy, Settings};
use crate::failure::Failure;
use crate::output;

/// Gives the order.
pub(crate) fn breaker(config: Option<&Path>, command: &Breaker) -> Result<ExitCode, Failure> {
    let settings = Settings::load(config, &SessionBuddy::default())?;
    let tracker = settings.tracker(settings.sandbox(Profile::OneShot)?)?;
    let (OfTarget { target }, order, told) = match command {
        Breaker::Open(of) => (of, BreakerOrder::Open, "held open: events wait until it is reset"),
        Breaker::Reset(of) => (of, BreakerOrder::Reset, "reset: it decides for itself again"),
        Breaker::Disable(of) => (of, BreakerOrder::Disable, "disabled: every event is tried at once"),
    };
    let target = match target {
        None => settings.target.clone(),
        Some(named) => find(&tracker, &settings.target, named)?,
    };
    tracker.order_breaker(&target, order)?;
    output::print(&format!("{}: {told}\n", name_of(&target)))?;
    Ok(ExitCode::SUCCESS)
}

fn find(tracker: &Tracker, configured: &Target, named: &str) -> Result<Target, Failure> {
    let known = tracker.status()?.targets.into_iter().map(|status| status.target);
    let targets: Vec<_> = known.chain([configured.clone()]).collect();
    if let Some(meant) = targets.iter().find(|target| target.id() == named || words_of(target) == named) {
        return Ok(meant.clone());
    }
    let called: BTreeMap<_, _> = targets
        .iter()
        .filter(|target| name_of(target) == named)
        .map(|target| (target.id(), target))
        .collect();
    let ids = || called.keys().cloned().collect::<Vec<_>>().join(", ");
    match (called.len(), called.values().next()) {
        (1, Some(meant)) => Ok((*meant).clone()),
        (0, _) => Err(Failure::Failed(format!(
            "no server is known as {named}; `shelltrack status` shows those that are"
        ))),
        _ => Err(Failure::Failed(format!("several servers are called {named}: name one of {}", ids()))),
    }
}

/// A program with its arguments, as a person may type it; otherwise the name.
fn words_of(target: &Target) -> String {
    match target {
        Target::Stdio { command, args } => {
            let words = [command.display().to_string()].into_iter().chain(args.iter().cloned());
            words.collect::<Vec<_>>().join(" ")
        }
        other => name_of(other),
    }
}
