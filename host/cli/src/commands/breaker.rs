//! `shelltrack breaker`: what a person orders of a server's breaker.

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
    let mut targets = known.chain([configured.clone()]);
    targets.find(|target| target.id() == named || name_of(target) == named).ok_or_else(|| {
        Failure::Failed(format!("no server is known as {named}; `shelltrack status` shows those that are"))
    })
}
