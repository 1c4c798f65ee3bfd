//! `shelltrack agent`, started by whoever finds no agent: first a stage that lets go of the shell it was
//! started from, then the agent itself.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

use shelltrack_sandbox::Profile;
use shelltrack_tracker::agent;

use crate::agent_log;
use crate::args::Agent;
use crate::embedded;
use crate::failure::Failure;
use crate::places::Places;
use crate::plugin::{Choice, Plugin};

/// The first descriptor that is none of the standard three.
const FIRST_OTHER_DESCRIPTOR: i32 = 3;

/// Serves the spool until nothing is left to do.
pub(crate) fn agent(agent: &Agent) -> Result<ExitCode, Failure> {
    if !agent.spool.is_absolute() {
        return Err(Failure::Usage("SPOOL: must be an absolute path".to_owned()));
    }
    let said = Plugin { path: agent.plugin.clone(), sha256: agent.plugin_sha256.clone() };
    let plugin = Choice::new(said, Places::find()?.component_cache())?;
    if agent.detached { serve(&agent.spool, &plugin) } else { detach(&agent.spool, &plugin) }
}

/// Starts the second stage, which is nobody's child once this one is gone, and keeps nothing: no
/// descriptor, no working directory. A pipe that was left open would keep its reader waiting.
fn detach(spool: &Path, plugin: &Choice) -> Result<ExitCode, Failure> {
    close_fds::set_fds_cloexec(FIRST_OTHER_DESCRIPTOR, &[]);
    let failed = |error: std::io::Error| Failure::Failed(format!("the agent cannot be started: {error}"));
    Command::new(std::env::current_exe().map_err(failed)?)
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

fn serve(spool: &Path, plugin: &Choice) -> Result<ExitCode, Failure> {
    agent_log::install(spool);
    // Away from the terminal and its signals. Fails only for the leader of a group, which this is when
    // somebody started it by hand.
    if let Err(error) = rustix::process::setsid() {
        tracing::info!(%error, "no session of its own");
    }
    let sandbox =
        plugin.load(Profile::Service).inspect_err(|error| tracing::error!(%error, "the agent ends"))?;
    let embedded = embedded::writing(Arc::clone(&sandbox));
    agent::run(agent::Options { spool: spool.to_owned(), sandbox, embedded }).map_err(|error| {
        tracing::error!(%error, "the agent ends");
        Failure::from(error)
    })?;
    Ok(ExitCode::SUCCESS)
}
