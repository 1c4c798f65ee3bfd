//! What can be typed, and what `--help` says about it. Checks form only; what a name or a value may
//! hold is the component's business.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::args_server::{Archive, Backup, Export, Import, Serve, Token};
use crate::config::SessionBuddy;
use crate::failure::{NOT_LAUNCHED, USAGE};

/// Most records one listing shows; also the most a server gives at once.
const LIST_LIMIT_MAX: i64 = 1000;
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

Configuration: $XDG_CONFIG_HOME/shelltrack/config.toml, and variables such as
SHELLTRACK_SESSION_BUDDY__URL. Flags come before variables, variables before the file.
SHELLTRACK_LOG=debug tells on stderr what goes on inside.";

const RUN_EXAMPLES: &str = "\
The command keeps the terminal, job control, its signals and its exit status as if it had been started
without shelltrack. It finds its session's key in SHELLTRACK_SESSION.

Exit status: the command's own; 128+N when signal N ended it; 125 when the options are wrong and nothing
was launched; 126 when the command cannot be executed; 127 when there is none.

Examples:
  shelltrack run -- bash
  shelltrack run --component mahavishnu --shell-type MahavishnuShell -- mahavishnu shell
  shelltrack run --metadata ticket=OPS-17 -- ssh db1";

const START_EXAMPLES: &str = "\
Prints the session's key once the event is durable, and nothing else. When the process is gone without
an `end`, the end is recorded all the same.

Example, in a shell's startup file:
  SHELLTRACK_SESSION=$(shelltrack start --pid $$); export SHELLTRACK_SESSION
  trap 'shelltrack end --exit-status $?' EXIT";

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
    End(End),
    /// List sessions, newest first
    ListSessions(List),
    /// Show one session
    ShowSession(Show),
    /// Tell how recording and delivery are doing
    Status(Status),
    /// Wait until everything accepted so far is delivered
    Flush(Flush),
    /// Serve a Session-Buddy over MCP
    Serve(Serve),
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
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Deliver what a spool holds
    #[command(hide = true)]
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
    #[arg(long, value_name = "KEY=VALUE", value_parser = utf8().try_map(|text| key_value(&text)))]
    pub(crate) metadata: Vec<(String, String)>,
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
    /// The key that `start` printed
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
    /// Show at most so many, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = LIST_LIMIT_MAX as u32,
          value_parser = clap::value_parser!(u32).range(1..=LIST_LIMIT_MAX))]
    pub(crate) limit: u32,
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
pub(crate) struct Status {
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

#[derive(Debug, Args)]
pub(crate) struct Agent {
    /// The spool, an absolute path
    pub(crate) spool: PathBuf,
    /// This is the second stage: detached from whoever started the first
    #[arg(long)]
    pub(crate) detached: bool,
}

/// Tells what was wrong with the command line, or what was asked for with `--help` and `--version`.
pub(crate) fn report(error: &clap::Error) -> ExitCode {
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

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("must be KEY=VALUE with a key that is not empty".to_owned()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=FLUSH_SECONDS_MAX).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("must be a number of seconds from 0 to {FLUSH_SECONDS_MAX}")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use super::*;

    fn parse(line: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from([&["shelltrack"], line].concat())
    }

    fn is_run(line: &[&str]) -> bool {
        means_run([&["shelltrack"], line].concat().into_iter().map(OsString::from))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_follows_the_command_belongs_to_it() {
        let cli = parse(&["run", "--component", "a", "--", "bash", "-c", "exit 7", "--json"]).unwrap();
        let Command::Run(run) = cli.command else { panic!() };
        assert_eq!(run.command, ["bash", "-c", "exit 7", "--json"]);
        let cli = parse(&["run", "bash", "--component", "x"]).unwrap();
        let Command::Run(run) = cli.command else { panic!() };
        assert_eq!(run.command, ["bash", "--component", "x"]);
        assert_eq!(run.named.component, None);
    }

    #[test]
    fn an_unknown_option_of_run_is_not_taken_for_a_command() {
        assert!(parse(&["run", "--componnt", "a", "--", "true"]).is_err());
    }

    #[test]
    fn errors_of_run_are_told_apart_from_those_of_other_commands() {
        assert!(is_run(&["run", "--componnt", "a", "--", "true"]));
        assert!(is_run(&["run"]));
        assert!(is_run(&["--config", "x", "run", "--metadata", "novalue", "true"]));
        assert!(!is_run(&["show-session", "run", "--bad"]));
        assert!(!is_run(&["list-sessions", "--limit", "0"]));
        assert!(!is_run(&["nonsense"]));
    }

    #[test]
    fn text_that_is_not_utf8_is_refused_with_its_option() {
        let bad = std::os::unix::ffi::OsStringExt::from_vec(vec![0xff]);
        let typed: [OsString; 6] =
            ["shelltrack".into(), "run".into(), "--component".into(), bad, "--".into(), "true".into()];
        let error = Cli::try_parse_from(typed).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("--component") && error.contains("UTF-8"), "{error}");
    }

    #[test]
    fn metadata_is_a_key_and_a_value_which_may_hold_an_equals_sign() {
        assert_eq!(key_value("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(key_value("a="), Ok(("a".to_owned(), String::new())));
        assert!(key_value("a").is_err() && key_value("=b").is_err());
    }

    #[test]
    fn a_timeout_is_a_number_of_seconds() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert!(seconds("-1").is_err() && seconds("NaN").is_err() && seconds("inf").is_err());
    }
}
