//! One file per command, or per pair that belongs together; here is what they share.

mod agent;
mod breaker;
mod database;
mod dead_letters;
mod flush;
mod key_block;
mod man;
mod place;
pub(crate) mod plugin;
pub(crate) mod redact;
mod run;
mod serve;
mod service;
mod sessions;
mod start_end;
mod status;
mod token;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::CommandFactory;
use indicatif::{ProgressBar, ProgressStyle};
use shelltrack_sandbox::Sandbox;
use shelltrack_sandbox::types::Policy;
use shelltrack_tracker::Target;
use shelltrack_tracker::session_buddy::{CallError, SessionBuddy};
use tokio::runtime::Runtime;

use crate::args::{Cli, Command};
use crate::config::Settings;
use crate::failure::Failure;
use crate::{embedded, output};

/// How long a server may take to answer a person who waits: the Python one starts in up to 7 s.
const CONNECT_MAX: Duration = Duration::from_secs(20);
/// Longest name a kind of shell may have, in scalars (`start-context.shell-type`).
const SHELL_TYPE_SCALARS_MAX: u32 = 100;
/// Kind of a shell whose name nobody knows.
const SHELL_TYPE_UNKNOWN: &str = "unknown";

/// Does what was asked for.
pub(crate) fn dispatch(cli: Cli) -> Result<ExitCode, Failure> {
    let config = cli.config.as_deref();
    match cli.command {
        Command::Run(run) => Ok(run::run(config, run)),
        Command::Start(start) => start_end::start(config, start),
        Command::End(end) => start_end::end(config, &end),
        Command::ListSessions(list) => sessions::list(config, &list),
        Command::ShowSession(show) => sessions::show(config, &show),
        Command::Status(status) => status::status(config, &status),
        Command::Flush(flush) => flush::flush(config, &flush),
        Command::Serve(serve) => serve::serve(config, serve),
        Command::Token(token) => token::token(&token),
        Command::Archive(archive) => database::archive(config, &archive),
        Command::Export(export) => database::export(config, &export),
        Command::Import(import) => database::import(config, &import),
        Command::Backup(backup) => database::backup(config, &backup),
        Command::Redact(redact) => redact::redact(config, &redact),
        Command::Plugin(plugin) => plugin::plugin(&plugin),
        Command::Completions { shell } => completions(shell),
        Command::DeadLetters(command) => dead_letters::dead_letters(config, &command),
        Command::Breaker(command) => breaker::breaker(config, &command),
        Command::Service(service) => service::service(config, &service),
        Command::Man(man) => man::man(&man),
        Command::Agent(agent) => agent::agent(config, &agent),
    }
}

fn completions(shell: clap_complete::Shell) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "shelltrack", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}

/// Tasks of one connection: they take turns on this thread.
fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("no runtime: {error}")))
}

/// Connects to the Session-Buddy that is configured, to look and change nothing.
async fn connect(settings: &Settings, sandbox: Arc<Sandbox>) -> Result<SessionBuddy, CallError> {
    let embedded = embedded::reading(sandbox);
    let connecting = SessionBuddy::connect(&settings.target, &embedded);
    tokio::time::timeout(CONNECT_MAX, connecting).await.unwrap_or_else(|_| {
        Err(CallError {
            outcome: shelltrack_sandbox::types::Outcome::TimedOut,
            message: format!("no answer within {} s", CONNECT_MAX.as_secs()),
            retry_after_ms: None,
        })
    })
}

/// What a target is called in messages. Arguments of a program are left out, see
/// [`Target::without_arguments`].
fn name_of(target: &Target) -> String {
    match target {
        Target::Embedded { database } => format!("embedded, {}", database.display()),
        Target::Stdio { command, args } if args.is_empty() => command.display().to_string(),
        Target::Stdio { command, .. } => format!("{} …", command.display()),
        Target::Http { url } => url.clone(),
    }
}

/// What is told of an agent that lives and does nothing: its name, and what is known of it.
fn silent_agent(pid: u32, since_ms: u64) -> (String, String) {
    let why = format!(
        "says nothing since {}: it is stopped or hangs. `kill -CONT {pid}` lets it go on; after \
         `kill -KILL {pid}` another one takes its place",
        output::time_of_ms(since_ms)
    );
    (format!("agent, pid {pid}"), why)
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// How far something has come, on stderr where somebody looks at it.
fn bar(total: u64, unit: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(&format!("{{wide_bar}} {{pos}} of {{len}} {unit}"));
    ProgressBar::new(total).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Metadata as JSON text. A key that was typed twice is there twice: the component refuses that.
fn metadata_json(pairs: &[(String, String)]) -> String {
    let member = |(key, value): &(String, String)| {
        format!("{}:{}", serde_json::Value::from(key.as_str()), serde_json::Value::from(value.as_str()))
    };
    format!("{{{}}}", pairs.iter().map(member).collect::<Vec<_>>().join(","))
}

/// A kind of shell taken from the surroundings: cleaned, never refused. Login shells are called `-bash`.
fn clean_shell_type(name: &str, sandbox: &Sandbox, policy: &Policy) -> String {
    let name = name.rsplit('/').next().unwrap_or_default().trim_start_matches('-');
    match sandbox.sanitize_text(name, SHELL_TYPE_SCALARS_MAX, policy) {
        Ok(clean) if !clean.text.is_empty() => clean.text,
        _ => SHELL_TYPE_UNKNOWN.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_keeps_a_key_that_was_typed_twice() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(metadata_json(&[]), "{}");
        assert_eq!(metadata_json(&[pair("a", "1"), pair("a", "\"")]), r#"{"a":"1","a":"\""}"#);
    }
}
