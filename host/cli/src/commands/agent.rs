//! `shelltrack agent`, started by whoever finds no agent: first a stage that lets go of the shell it was
//! started from, then the agent itself. Or started by a service manager, which it tells how it is.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::rc::Rc;
use std::sync::Arc;

use sd_notify::NotifyState;
use shelltrack_sandbox::Profile;
use shelltrack_tracker::Tuning;
use shelltrack_tracker::agent::{self, Moment};

use crate::agent_log;
use crate::args::Agent;
use crate::config::{SessionBuddy, Settings};
use crate::embedded;
use crate::failure::Failure;
use crate::places::Places;
use crate::plugin::{Choice, Plugin};

/// The first descriptor that is none of the standard three.
const FIRST_OTHER_DESCRIPTOR: i32 = 3;

/// Serves the spool: until nothing is left to do, or in the foreground until it is told to end.
pub(crate) fn agent(config: Option<&Path>, agent: &Agent) -> Result<ExitCode, Failure> {
    let spool = match &agent.spool {
        Some(spool) if !spool.is_absolute() => {
            return Err(Failure::Usage("SPOOL: must be an absolute path".to_owned()));
        }
        // A spool is made where there is none, and what is foreign in it is set aside: not in any directory.
        Some(spool) if !is_named_as_a_spool(spool) => {
            return Err(Failure::Usage(
                "SPOOL: must be a directory that shelltrack named, spool-…".to_owned(),
            ));
        }
        Some(spool) => spool.clone(),
        None => Settings::load(config, &SessionBuddy::default())?.spool()?,
    };
    let plugin = component(config, agent)?;
    if agent.foreground {
        agent_log::to_stderr();
        return serve(config, spool, &plugin, true);
    }
    if !agent.detached {
        return detach(config, &spool, &plugin);
    }
    agent_log::install(&spool);
    // Away from the terminal and its signals. Fails only for the leader of a group, which this is when
    // somebody started it by hand.
    if let Err(error) = rustix::process::setsid() {
        tracing::info!(%error, "no session of its own");
    }
    serve(config, spool, &plugin, false)
}

fn is_named_as_a_spool(path: &Path) -> bool {
    path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with("spool-"))
}

/// The component that works: what the shell that starts an agent was told, or for a service manager's
/// agent what is configured.
fn component(config: Option<&Path>, agent: &Agent) -> Result<Choice, Failure> {
    if agent.foreground && agent.plugin.is_none() {
        return Ok(Settings::load(config, &SessionBuddy::default())?.plugin);
    }
    let said = Plugin { path: agent.plugin.clone(), sha256: agent.plugin_sha256.clone() };
    Choice::new(said, Places::find()?.component_cache())
}

/// Starts the second stage, which is nobody's child once this one is gone, and keeps nothing: no
/// descriptor, no working directory. A pipe that was left open would keep its reader waiting.
fn detach(config: Option<&Path>, spool: &Path, plugin: &Choice) -> Result<ExitCode, Failure> {
    // A thousand shells that start at once must not become a thousand agents that find one there.
    if !agent::is_wanted(spool.to_owned())? {
        return Ok(ExitCode::SUCCESS);
    }
    close_fds::set_fds_cloexec(FIRST_OTHER_DESCRIPTOR, &[]);
    let failed = |error: std::io::Error| Failure::Failed(format!("the agent cannot be started: {error}"));
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    command
        .args(["agent", "--detached"])
        .args(plugin.arguments())
        .arg("--")
        .arg(spool)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    Ok(ExitCode::SUCCESS)
}

fn serve(config: Option<&Path>, spool: PathBuf, plugin: &Choice, stays: bool) -> Result<ExitCode, Failure> {
    let sandbox =
        plugin.load(Profile::Service).inspect_err(|error| tracing::error!(%error, "the agent ends"))?;
    let embedded = embedded::writing(Arc::clone(&sandbox));
    let config = config.map(Path::to_owned);
    let tuning = Rc::new(move || tuning(config.as_deref()));
    let observer: Rc<dyn Fn(Moment)> = if stays { Rc::new(tell_manager) } else { Rc::new(|_| {}) };
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
