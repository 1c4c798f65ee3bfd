//! What can be typed, and what `--help` says about it. Checks form only; what a name or a value may
//! hold is the component's business.

mod operate;
mod refusal;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};

pub(crate) use self::operate::{
    Agent, Breaker, Chosen, DeadLetters, Man, Manager, OfTarget, Service, Status,
};
use crate::args_server::{Archive, Backup, Export, Import, Serve, Token};
use crate::commands::{plugin, redact};
use crate::config::SessionBuddy;
use crate::failure::{Failure, NOT_LAUNCHED, USAGE};

/// Largest pid there is on Linux (`pid_max_max`), and so on the wire.
const PID_MAX: i64 = 4_194_304;
/// Longest `flush` may be told to wait, in seconds: a year stands for ever.
const FLUSH_SECONDS_MAX: f64 = 31_536_000.0;

const EXIT_STATUS: &str = "\
Exit status:
  0    done
  1    it failed, or something needs a person (status), or not everything was delivered (flush)
  2    the command line or the configuration is wrong; nothing was changed
  run: the command's own status; 128+N when signal N ended it; 125 when the options of run are wrong;
       126 when the command cannot be executed; 127 when there is none

Configuration: $XDG_CONFIG_HOME/shelltrack/config.toml, and variables such as \
SHELLTRACK_SESSION_BUDDY__URL. Flags come before variables, variables before the file. \
SHELLTRACK_LOG=debug tells on stderr what goes on inside.";

const RUN_EXAMPLES: &str = "\
The command keeps the terminal, job control, its signals and its exit status as if it had been started \
without shelltrack. It finds its session's key in SHELLTRACK_SESSION.

Exit status: the command's own; 128+N when signal N ended it; 125 when the options are wrong and nothing \
was launched; 126 when the command cannot be executed; 127 when there is none.

Examples:
  shelltrack run -- bash
  shelltrack run --component mahavishnu --shell-type MahavishnuShell -- mahavishnu shell
  shelltrack run --metadata ticket=OPS-17 -- ssh db1";

const START_EXAMPLES: &str = "\
Prints the session's key once the event is durable, and nothing else. When the process is gone without \
an `end`, the end is recorded all the same.

Example, in a shell's startup file:
  SHELLTRACK_SESSION=$(shelltrack start --pid $$); export SHELLTRACK_SESSION
  trap 'shelltrack end --exit-status $?' EXIT";

const END_EXAMPLES: &str = "\
The first end of a session holds: a shell that calls `end` itself inside `shelltrack run` says how its \
session ended, and what `run` knows adds nothing.

Example, where SHELLTRACK_SESSION is not set:
  shelltrack end \"$key\" --exit-status 0";

const LIST_EXAMPLES: &str = "\
Shows what the configured server has, and what waits here. A server that cannot list its sessions, or \
does not answer, is told on stderr; then the last 1,000 sessions that went to it are shown from here.

Examples:
  shelltrack list-sessions --active
  shelltrack list-sessions --json --limit 20 | jq -r '.[].session_id'";

const SHOW_EXAMPLES: &str = "\
Examples:
  shelltrack show-session mahavishnu-20261120-091952-1f0c
  shelltrack show-session \"$SHELLTRACK_SESSION\" --json";

const FLUSH_EXAMPLES: &str = "\
A server that was left alone after failures is tried at once, unless it asked for more time or its breaker \
is held open by hand. What is waited for is told on stderr. Without --timeout the wait ends when everything \
is delivered or given up, and when waiting is in vain: every server that events wait for has its breaker held \
open by hand, or refuses us or lacks the tracking tools for 30 seconds. A server that does not answer is waited \
for.

Exit status: 0 when all was delivered; 1 when something still waits, or was given up since the last flush. Dead
letters that a flush told of before are told again, and fail no other one.

Example, before a machine goes down:
  shelltrack flush --timeout 30";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  shelltrack completions bash > ~/.local/share/bash-completion/completions/shelltrack
  shelltrack completions zsh > ~/.zfunc/_shelltrack     # with ~/.zfunc in fpath
  shelltrack completions fish > ~/.config/fish/completions/shelltrack.fish";

/// Records every administrative shell that opens and closes.
#[derive(Debug, Parser)]
#[command(name = "shelltrack", version, about, after_help = EXIT_STATUS, max_term_width = 100)]
pub(crate) struct Cli {
    /// Configuration file to read instead of $XDG_CONFIG_HOME/shelltrack/config.toml
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Tell on stderr what goes on inside
    #[arg(long, short, global = true)]
    pub(crate) verbose: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a command as a tracked shell
    #[command(after_help = RUN_EXAMPLES)]
    Run(Run),
    /// Record that a shell has opened, and print the session's key
    #[command(after_help = START_EXAMPLES)]
    Start(Start),
    /// Record that a shell has ended
    #[command(after_help = END_EXAMPLES)]
    End(End),
    /// List sessions, newest first
    #[command(after_help = LIST_EXAMPLES)]
    ListSessions(List),
    /// Show one session
    #[command(after_help = SHOW_EXAMPLES)]
    ShowSession(Show),
    /// Tell how recording and delivery are doing, and whether a person is needed
    #[command(after_help = operate::STATUS_HELP)]
    Status(Status),
    /// Wait until everything accepted so far is delivered
    #[command(after_help = FLUSH_EXAMPLES)]
    Flush(Flush),
    /// See what was given up, and decide about it
    #[command(subcommand, after_help = operate::DEAD_LETTERS_HELP)]
    DeadLetters(DeadLetters),
    /// Hold back or let through what is sent to a server, by hand
    #[command(subcommand, after_help = operate::BREAKER_HELP)]
    Breaker(Breaker),
    /// Serve a Session-Buddy over MCP
    Serve(Serve),
    /// Print a service definition for the agent
    #[command(after_help = operate::SERVICE_HELP)]
    Service(Service),
    /// Make, read and renew what lets clients in
    Token(Token),
    /// Put sessions that ended long ago out of the way
    Archive(Archive),
    /// Write sessions as JSON Lines
    Export(Export),
    /// Take in sessions from JSON Lines
    Import(Import),
    /// Copy the database while it is used, and check the copy
    Backup(Backup),
    /// Clean a text as an event would be cleaned, or explain what would be done
    #[command(after_help = redact::EXAMPLES)]
    Redact(redact::Redact),
    /// Look at components that take the place of the built-in one
    #[command(subcommand)]
    Plugin(plugin::Plugin),
    /// Print a completion script for a shell
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual
    #[command(after_help = operate::MAN_HELP)]
    Man(Man),
    /// Deliver what a spool holds; started by shells when there is something to do
    #[command(after_help = operate::AGENT_HELP)]
    Agent(Agent),
}

/// What a session is called.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// Component the shell administers: letters, digits, `_` and `-`, at most 100
    /// [default: `component` in table [session], else shell]
    #[arg(long, value_name = "NAME", value_parser = utf8())]
    pub(crate) component: Option<String>,
    /// A further fact about the session; repeat it for more
    #[arg(long, value_name = "KEY=VALUE")]
    metadata: Vec<OsString>,
}

impl Named {
    /// The further facts, or all that is wrong with them. Not read by clap, which would repeat what it refuses.
    pub(crate) fn metadata(&self) -> Result<Vec<(String, String)>, Failure> {
        refusal::pairs(&self.metadata).map_err(Failure::Usage)
    }
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) named: Named,
    /// Kind of shell, at most 100 characters [default: the command's name]
    #[arg(long, value_name = "TYPE", value_parser = utf8())]
    pub(crate) shell_type: Option<String>,
    #[command(flatten)]
    pub(crate) session_buddy: SessionBuddy,
    /// The command and its arguments
    #[arg(id = "run_command", value_name = "COMMAND", required = true, trailing_var_arg = true)]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct Start {
    /// Process id of the shell [default: the process that calls shelltrack]
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..=PID_MAX))]
    pub(crate) pid: Option<u32>,
    #[command(flatten)]
    pub(crate) named: Named,
    /// Kind of shell, at most 100 characters [default: the name of the process]
    #[arg(long, value_name = "TYPE", value_parser = utf8())]
    pub(crate) shell_type: Option<String>,
    #[command(flatten)]
    pub(crate) session_buddy: SessionBuddy,
}

#[derive(Debug, Args)]
pub(crate) struct End {
    /// The key that `start` printed; an empty one, as after a start that was refused, ends nothing
    #[arg(env = "SHELLTRACK_SESSION", value_name = "KEY", required = true, value_parser = utf8())]
    pub(crate) key: String,
    /// How the shell ended, 0 to 255, as in `$?`
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..=255))]
    pub(crate) exit_status: Option<i32>,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only sessions of this type
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) session_type: Option<String>,
    /// Only sessions that are open
    #[arg(long)]
    pub(crate) active: bool,
    /// Show at most so many; 0 shows all [default: 1000]
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u32>,
    /// One JSON array instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) session_buddy: SessionBuddy,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The session's id, or the key that `start` printed
    pub(crate) id: String,
    /// One JSON object instead of lines
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) session_buddy: SessionBuddy,
}

#[derive(Debug, Args)]
pub(crate) struct Flush {
    /// Give up after so many seconds, such as 30 or 0.5 [default: wait as long as it takes]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
}

/// Tells what was wrong with the command line, or what was asked for with `--help` and `--version`.
pub(crate) fn report(error: clap::Error) -> ExitCode {
    let error = refusal::without_value(error);
    // A closed pipe is no reason to fail louder.
    drop(error.print());
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ if means_run(std::env::args_os()) => ExitCode::from(NOT_LAUNCHED),
        _ => ExitCode::from(USAGE),
    }
}

/// Whether a command line that is wrong somewhere was one of `run`.
fn means_run(arguments: impl Iterator<Item = OsString>) -> bool {
    let lenient = Cli::command().ignore_errors(true).try_get_matches_from(arguments);
    lenient.is_ok_and(|matches| matches.subcommand_name() == Some("run"))
}

/// Text of a person; clap's own parser refuses other bytes without naming the option.
fn utf8() -> impl TypedValueParser<Value = String> {
    OsStringValueParser::new().try_map(|value| value.into_string().map_err(|_| "must be UTF-8 text"))
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=FLUSH_SECONDS_MAX).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("must be a number of seconds from 0 to {FLUSH_SECONDS_MAX}")),
    }
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
