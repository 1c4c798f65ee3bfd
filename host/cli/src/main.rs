//! The program `shelltrack`: arguments in, output and an exit status out. Decides nothing about
//! sessions itself: that is done below, in the tracker, the sandbox and the server.

mod agent_log;
mod args;
mod args_server;
mod commands;
mod complaint;
mod config;
mod config_file;
mod embedded;
mod failure;
mod inherited;
mod layout;
mod output;
mod places;
mod plugin;
mod process;
mod prometheus;
mod recorder;
mod redaction;
mod session;
mod supervise;
mod tuning;
mod units;
mod variables;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};

fn main() -> ExitCode {
    inherited::survive_file_size_limits();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return args::report(error),
    };
    log_to_stderr(&cli);
    match commands::dispatch(cli) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

/// Tells on stderr what goes on inside, when somebody asked for it: a tracked shell is to see nothing. A server has
/// a log, and in it, what it could not do.
fn log_to_stderr(cli: &Cli) {
    let wanted = std::env::var("SHELLTRACK_LOG").ok().filter(|filter| !filter.is_empty());
    let usual = match cli.command {
        _ if cli.verbose => Some("shelltrack=debug,warn"),
        Command::Serve(_) => Some("shelltrack=error"),
        _ => None,
    };
    let Some(filter) = wanted.or_else(|| usual.map(str::to_owned)) else {
        return;
    };
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    agent_log::log(&filter, layer);
}
