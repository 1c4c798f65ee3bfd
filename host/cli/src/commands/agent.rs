//! `shelltrack agent`, started by whoever finds no agent: first a stage that lets go of the shell it was
//! started from, then the agent itself.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

use shelltrack_sandbox::Profile;
use shelltrack_tracker::agent;

use super::sandbox;
use crate::agent_log;
use crate::args::Agent;
use crate::embedded;
use crate::failure::Failure;

/// The first descriptor that is none of the standard three.
const FIRST_OTHER_DESCRIPTOR: i32 = 3;

/// Serves the spool until nothing is left to do.
pub(crate) fn agent(agent: &Agent) -> Result<ExitCode, Failure> {
    if !agent.spool.is_absolute() {
        return Err(Failure::Usage("SPOOL: must be an absolute path".to_owned()));
    }
    if agent.detached { serve(&agent.spool) } else { detach(&agent.spool) }
}

/// Starts the second stage, which is nobody's child once this one is gone, and keeps nothing: no
/// descriptor, no working directory. A pipe that was left open would keep its reader waiting.
fn detach(spool: &Path) -> Result<ExitCode, Failure> {
    // A thousand shells that start at once must not become a thousand agents that find one there.
    if !agent::is_wanted(spool.to_owned())? {
        return Ok(ExitCode::SUCCESS);
    }
    close_fds::set_fds_cloexec(FIRST_OTHER_DESCRIPTOR, &[]);
    let failed = |error: std::io::Error| Failure::Failed(format!("the agent cannot be started: {error}"));
    Command::new(std::env::current_exe().map_err(failed)?)
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

fn serve(spool: &Path) -> Result<ExitCode, Failure> {
    agent_log::install(spool);
    // Away from the terminal and its signals. Fails only for the leader of a group, which this is when
    // somebody started it by hand.
    if let Err(error) = rustix::process::setsid() {
        tracing::info!(%error, "no session of its own");
    }
    let sandbox = sandbox(Profile::Service)?;
    let embedded = embedded::writing(Arc::clone(&sandbox));
    agent::run(agent::Options { spool: spool.to_owned(), sandbox, embedded }).map_err(|error| {
        tracing::error!(%error, "the agent ends");
        Failure::from(error)
    })?;
    Ok(ExitCode::SUCCESS)
}
