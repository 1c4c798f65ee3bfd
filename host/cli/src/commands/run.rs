//! `shelltrack run`: a command as a tracked shell. What is wrong with its own options is told before
//! anything is launched; after that, nothing that fails here reaches the command or its terminal.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Read, stderr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, ExitCode};
use std::sync::Arc;
use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};
use rustix::process::Pid;
use shelltrack_sandbox::types::{EnvironmentInfo, ExitReason, Policy, StartContext, UserInfo, Violation};
use shelltrack_sandbox::{Error, Profile, Sandbox};
use shelltrack_tracker::{EndedAt, ShellEnd, surroundings};
use signal_hook::consts::signal::SIGINT;
use uuid::Uuid;

use super::{clean_shell_type, metadata_json};
use crate::args::Run;
use crate::config::{COMPONENT_DEFAULT, SessionBuddy, Settings};
use crate::failure::{FAILED, Failure, NOT_FOUND, NOT_LAUNCHED, tell};
use crate::places::find_program;
use crate::plugin::Choice;
use crate::recorder::Recorder;
use crate::supervise::{self, Ended, NotStarted, Supervisor};

/// What it takes to record the session.
struct Recording {
    settings: Settings,
    sandbox: Arc<Sandbox>,
    context: StartContext,
}

/// Runs the command and gives its exit status.
pub(crate) fn run(config: Option<&Path>, run: Run) -> ExitCode {
    let key = Uuid::new_v4().to_string();
    let recording = match prepare(config, &run, &key) {
        Ok(recording) => recording,
        Err(failure) => return failure.report_as(NOT_LAUNCHED),
    };
    // From here on the terminal is the command's.
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "a panic beside the command")));
    // An `end` in the command is silent about a session that nobody records, as with any empty key.
    let told = if recording.is_some() { key.as_str() } else { "" };
    let (program, arguments) =
        run.command.split_first().expect("clap accepts no command line without a command");
    let mut supervisor = match Supervisor::prepare() {
        Ok(supervisor) => supervisor,
        Err(error) => {
            // As when there are no descriptors left: the command may need none.
            tell(&format!("signals cannot be passed on: {error}; this session is not recorded"));
            return give_up(program, &supervise::become_it(program, arguments, ""), None);
        }
    };
    match supervisor.launch(program, arguments, told) {
        Ok(child) => accompany(supervisor, child, recording),
        Err(not_started) => give_up(program, &not_started, recording),
    }
}

/// Records the command while it runs, and ends as it ended.
fn accompany(mut supervisor: Supervisor, mut child: Child, recording: Option<Recording>) -> ExitCode {
    let recorder = recording.map(|recording| recording.start(child.id()));
    let ended = match supervisor.watch(Pid::from_child(&child)) {
        Ok(ended) => Some(ended),
        Err(error) => {
            tracing::warn!(%error, "the command cannot be watched");
            None
        }
    };
    let end = ShellEnd {
        exit_status: ended.map(Ended::status),
        exit_reason: match ended {
            Some(Ended::Exited(_)) => ExitReason::Exited,
            Some(Ended::Killed(_)) => ExitReason::Signaled,
            None => ExitReason::Unknown,
        },
        at: supervisor.ended_at(),
    };
    if let Some(recorder) = recorder {
        finish(recorder, end);
    }
    let reaped = child.wait().ok().and_then(|status| status.code());
    if ended == Some(Ended::Killed(SIGINT)) && supervisor.was_interrupted() {
        // A script that called us ends on Ctrl-C only when it sees that Ctrl-C ended us.
        drop(signal_hook::low_level::emulate_default_handler(SIGINT));
    }
    exit_code(ended.map(Ended::status).or(reaped).unwrap_or(i32::from(FAILED)))
}

/// The command is over and the terminal is its caller's again; a script's stderr stays its own.
fn finish(recorder: Recorder, end: ShellEnd) {
    if let Some(refused) = recorder.end(end).filter(|_| stderr().is_terminal()) {
        tell(&refused.to_string());
    }
}

/// The command could not be started: that is told, and recorded as a session that ended at once.
fn give_up(program: &OsStr, not_started: &NotStarted, recording: Option<Recording>) -> ExitCode {
    let reason = match (not_started.status, missing_interpreter(program)) {
        (NOT_FOUND, Some(interpreter)) => format!("its interpreter {interpreter} is not found"),
        (NOT_FOUND, None) => "command not found".to_owned(),
        _ => format!("cannot be executed: {}", not_started.error),
    };
    tell(&format!("{}: {reason}", program.to_string_lossy()));
    if let Some(recording) = recording {
        let exit_status = Some(i32::from(not_started.status));
        let recorder = recording.start(std::process::id());
        let at = EndedAt::Then(SystemTime::now());
        finish(recorder, ShellEnd { exit_status, exit_reason: ExitReason::Exited, at });
    }
    ExitCode::from(not_started.status)
}

/// The interpreter of a script that is there itself, when that one is not: the system says the same of both
/// (execve(2)).
fn missing_interpreter(program: &OsStr) -> Option<String> {
    /// As much of a first line as Linux reads (`BINPRM_BUF_SIZE`).
    const LINE_BYTES_MAX: u64 = 256;
    let mut line = Vec::new();
    let script = File::open(find_program(program)?).ok()?;
    BufReader::new(script.take(LINE_BYTES_MAX)).read_until(b'\n', &mut line).ok()?;
    let interpreter = line.strip_prefix(b"#!")?.trim_ascii().split(u8::is_ascii_whitespace).next()?;
    let is_missing = !interpreter.is_empty() && !Path::new(OsStr::from_bytes(interpreter)).exists();
    is_missing.then(|| String::from_utf8_lossy(interpreter).into_owned())
}

impl Recording {
    fn start(self, pid: u32) -> Recorder {
        let Self { settings, sandbox, context } = self;
        // Here, since a slow disk is not to make a session any shorter or longer.
        let now = DateTime::<Utc>::from(SystemTime::now()).to_rfc3339_opts(SecondsFormat::Micros, true);
        Recorder::start(settings, sandbox, move || {
            // Our own surroundings: the command's were the same, and it may be elsewhere by now.
            let around = surroundings(std::process::id());
            let StartContext { component_name, shell_type, metadata, correlation_id, .. } = context;
            let timestamp = Some(now);
            StartContext { component_name, shell_type, metadata, correlation_id, pid, timestamp, ..around }
        })
    }
}

/// Everything that can be wrong with what was typed. `Ok(None)` when the surroundings make recording
/// impossible, which is told where a person can mend it, and keeps no command from running.
fn prepare(config: Option<&Path>, run: &Run, key: &str) -> Result<Option<Recording>, Failure> {
    let metadata = metadata_json(&run.named.metadata()?);
    let settings = match Settings::load_leniently(config, &run.session_buddy) {
        Ok((settings, unknown)) => {
            unknown.iter().for_each(|unknown| tell(&format!("{unknown}; it is ignored")));
            Some(settings)
        }
        Err(failure) if config.is_some() => return Err(failure),
        Err(failure) => {
            // What was typed is the caller's to mend; what is wrong elsewhere keeps no command from running.
            run.session_buddy.check_typed()?;
            if Settings::load_leniently(None, &SessionBuddy::default()).is_ok() {
                return Err(failure); // without the flags all is well
            }
            tell(&format!("{failure}; this session is not recorded"));
            None
        }
    };
    let plugin = settings.as_ref().map_or(&Choice::BuiltIn, |settings| &settings.plugin);
    let sandbox = match plugin.load(Profile::OneShot) {
        Ok(sandbox) => sandbox,
        Err(failure) => {
            tell(&format!("{failure}; this session is not recorded"));
            return Ok(None);
        }
    };
    let (component, policy) = match &settings {
        Some(settings) => (settings.component.as_str(), settings.policy.clone()),
        None => (COMPONENT_DEFAULT, Policy::default()),
    };
    let context = StartContext { metadata, ..context(run, key, component, &policy, &sandbox) };
    if let Err(Error::Rejected(violations)) = sandbox.build_start(&context, &policy) {
        let (typed, configured): (Vec<_>, Vec<_>) =
            violations.into_iter().partition(|violation| was_typed(violation, run));
        if !typed.is_empty() {
            return Err(Failure::rejected(&typed));
        }
        tell(&format!("{}; this session is not recorded", Failure::configured(&configured)));
        return Ok(None);
    }
    // A component that failed otherwise may be fine in a moment; the recorder finds out.
    Ok(settings.map(|settings| Recording { settings, sandbox, context }))
}

fn was_typed(violation: &Violation, run: &Run) -> bool {
    violation.field != "component_name" || run.named.component.is_some()
}

/// What was typed but for metadata; the surroundings are looked up later.
fn context(run: &Run, key: &str, component: &str, policy: &Policy, sandbox: &Sandbox) -> StartContext {
    let name = run.command.first().map(|name| name.to_string_lossy()).unwrap_or_default();
    StartContext {
        component_name: run.named.component.clone().unwrap_or_else(|| component.to_owned()),
        shell_type: run.shell_type.clone().unwrap_or_else(|| clean_shell_type(&name, sandbox, policy)),
        pid: std::process::id(),
        user: UserInfo { username: String::new(), home: String::new() },
        hostname: String::new(),
        environment: EnvironmentInfo {
            python_version: String::new(),
            platform: String::new(),
            cwd: String::new(),
        },
        metadata: String::new(),
        correlation_id: Some(key.to_owned()),
        origin: None,
        event_id: None,
        timestamp: None,
    }
}

/// Exit statuses have 8 bits.
fn exit_code(status: i32) -> ExitCode {
    ExitCode::from(u8::try_from(status & 0xff).unwrap_or(FAILED))
}
