//! `shelltrack agent`, started by whoever finds no agent: first a stage that lets go of the shell it was
//! started from, then the agent itself. Or started by a service manager, which it tells how it is.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

use sd_notify::NotifyState;
use shelltrack_sandbox::Profile;
use shelltrack_tracker::Tuning;
use shelltrack_tracker::agent::{self, Moment};

use super::sandbox;
use crate::agent_log;
use crate::args::Agent;
use crate::config::{SessionBuddy, Settings};
use crate::embedded;
use crate::failure::Failure;

/// The first descriptor that is none of the standard three.
const FIRST_OTHER_DESCRIPTOR: i32 = 3;

/// Serves the spool: until nothing is left to do, or in the foreground until it is told to end.
pub(crate) fn agent(config: Option<&Path>, agent: &Agent) -> Result<ExitCode, Failure> {
    let spool = match &agent.spool {
        Some(spool) if spool.is_absolute() => spool.clone(),
        Some(_) => return Err(Failure::Usage("SPOOL: must be an absolute path".to_owned())),
        None => spool_of(config)?,
    };
    if agent.foreground {
        agent_log::to_stderr();
        return serve(config, spool, true);
    }
    if !agent.detached {
        return detach(config, &spool);
    }
    agent_log::install(&spool);
    // Away from the terminal and its signals. Fails only for the leader of a group, which this is when
    // somebody started it by hand.
    if let Err(error) = rustix::process::setsid() {
        tracing::info!(%error, "no session of its own");
    }
    serve(config, spool, false)
}

/// The spool of this user and machine, made when it is missing.
fn spool_of(config: Option<&Path>) -> Result<PathBuf, Failure> {
    let settings = Settings::load(config, &SessionBuddy::default())?;
    Ok(settings.tracker(sandbox(Profile::OneShot)?)?.status()?.spool)
}

/// Starts the second stage, which is nobody's child once this one is gone, and keeps nothing: no
/// descriptor, no working directory. A pipe that was left open would keep its reader waiting.
fn detach(config: Option<&Path>, spool: &Path) -> Result<ExitCode, Failure> {
    close_fds::set_fds_cloexec(FIRST_OTHER_DESCRIPTOR, &[]);
    let failed = |error: std::io::Error| Failure::Failed(format!("the agent cannot be started: {error}"));
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    command
        .args(["agent", "--detached", "--"])
        .arg(spool)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    Ok(ExitCode::SUCCESS)
}

fn serve(config: Option<&Path>, spool: PathBuf, stays: bool) -> Result<ExitCode, Failure> {
    let sandbox = sandbox(Profile::Service)?;
    let embedded = embedded::writing(Arc::clone(&sandbox));
    let config = config.map(Path::to_owned);
    let tuning = Box::new(move || tuning(config.as_deref()));
    let observer: Box<dyn Fn(Moment)> = if stays { Box::new(tell_manager) } else { Box::new(|_| {}) };
    agent::run(agent::Options { spool, sandbox, embedded, tuning, stays, observer }).map_err(|error| {
        tracing::error!(%error, "the agent ends");
        Failure::from(error)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// What is configured now. An agent must not fail because somebody is just editing a file.
fn tuning(config: Option<&Path>) -> Tuning {
    match Settings::load_leniently(config, &SessionBuddy::default()) {
        Ok((settings, _)) => settings.tuning,
        Err(error) => {
            tracing::warn!(%error, "the configuration cannot be used; delivery goes on with the defaults");
            Tuning::default()
        }
    }
}

/// Tells systemd, where it wants to know (sd_notify(3)).
fn tell_manager(moment: Moment) {
    let told = sd_notify::notify(&[match moment {
        Moment::Ready => NotifyState::Ready,
        Moment::Alive => NotifyState::Watchdog,
        Moment::Leaving => NotifyState::Stopping,
    }]);
    if let Err(error) = told {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
