//! `shelltrack status`: how recording and delivery are doing, and whether that needs a person.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use serde::Serialize;
use shelltrack_sandbox::types::Outcome;
use shelltrack_sandbox::{Profile, Sandbox};
use shelltrack_tracker::{Target, TargetStatus, Tracker, Unserved};

use super::{connect, name_of, now_ms, runtime, silent_agent};
use crate::config::Settings;
use crate::failure::{FAILED, Failure};
use crate::output::{duration, lines, print, print_json, several, time_of_ms};
use crate::{agent_log, args, prometheus};

/// An event that waits longer than this will hardly be delivered without a person: outages that mend
/// themselves are shorter.
const WAITING_MAX_MS: u64 = 60 * 60 * 1000;
/// A server that does not answer for longer than this, while events wait for it, is no mere restart: the
/// breaker has tried it several times by then.
const UNREACHABLE_MAX_MS: u64 = 10 * 60 * 1000;
/// How long a refused session is worth a person's look; the count stays.
const REFUSED_TOLD_MS: u64 = 24 * 60 * 60 * 1000;
/// How long it is told that dead letters were removed: they do not come back, so a person is to hear of it who
/// looks once a week.
const REMOVED_TOLD_MS: u64 = 7 * REFUSED_TOLD_MS;

/// What is told.
#[derive(Debug, Serialize)]
struct Report {
    /// When this was looked at, milliseconds since 1970.
    now_ms: u64,
    #[serde(flatten)]
    status: shelltrack_tracker::Status,
    config_file: PathBuf,
    log_file: PathBuf,
    /// What the server that is configured answers now.
    server_now: Probe,
    /// What a person should look at; empty when all is well.
    attention: Vec<String>,
}

/// What the server that is configured answers now.
#[derive(Debug, Default, Serialize)]
struct Probe {
    reachable: bool,
    server: Option<String>,
    /// Names of its tools.
    tools: Option<Vec<String>>,
    /// Why it cannot record sessions, although it answers.
    lacks: Option<String>,
    error: Option<String>,
    unauthorized: bool,
}

/// Tells how things are; the exit status says whether a person is needed.
pub(crate) fn status(config: Option<&Path>, status: &args::Status) -> Result<ExitCode, Failure> {
    look(config, status).inspect_err(|_| {
        // What a collector reads must not go on saying that all is well.
        if let Some(file) = status.output.as_deref() {
            // Where that cannot be written either, there is one reason more for what is told already.
            drop(prometheus::unusable().and_then(|text| write(Some(file), &text)));
        }
    })
}

fn look(config: Option<&Path>, status: &args::Status) -> Result<ExitCode, Failure> {
    let settings = Settings::load(config, &status.session_buddy)?;
    let sandbox = settings.sandbox(Profile::OneShot)?;
    let tracker = settings.tracker(Arc::clone(&sandbox))?;
    let mut told = tracker.status()?;
    let of_disk = of_disk(&tracker);
    // On a disk that takes nothing an agent could not even say that it is there.
    let is_revived = of_disk.is_none() && tracker.revive_agent()?;
    if status.prometheus {
        // Somebody calls this every minute: no server is asked for it.
        let needs_person = of_disk.is_some() || !attention(&told, None, now_ms()).is_empty();
        let text = prometheus::text(told, tracker.metrics(), needs_person, now_ms())?;
        return write(status.output.as_deref(), &text);
    }
    let runtime = runtime()?;
    let server_now = runtime.block_on(probe(&settings, sandbox));
    // A server that does not let go must not keep us.
    runtime.shutdown_background();
    let now_ms = now_ms();
    let mut attention = attention(&told, Some(&server_now), now_ms);
    attention.extend(of_disk);
    told.target = told.target.without_arguments();
    told.targets.iter_mut().for_each(|seen| seen.target = seen.target.without_arguments());
    let log_file = agent_log::path(&told.spool);
    let report = Report { now_ms, status: told, config_file: settings.file, log_file, server_now, attention };
    if status.json {
        print_json(&report)?;
    } else {
        print(&text(&report, is_revived))?;
    }
    Ok(if report.attention.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// Writes to stdout, or to a file that is replaced whole: a collector never reads half of it.
fn write(file: Option<&Path>, text: &str) -> Result<ExitCode, Failure> {
    /// Whoever collects metrics is another user; there is nothing secret in them.
    const MODE: u32 = 0o644;
    let Some(file) = file else { return print(text).map(|()| ExitCode::SUCCESS) };
    let failed = |error: std::io::Error| Failure::Failed(format!("{}: {error}", file.display()));
    let directory = file.parent().filter(|directory| !directory.as_os_str().is_empty());
    // A name that ends differently is not collected.
    let mut written = tempfile::Builder::new()
        .prefix(".shelltrack-")
        .suffix(".tmp")
        .tempfile_in(directory.unwrap_or(Path::new(".")))
        .map_err(failed)?;
    written.write_all(text.as_bytes()).map_err(failed)?;
    written.as_file().set_permissions(Permissions::from_mode(MODE)).map_err(failed)?;
    written.persist(file).map_err(|error| failed(error.error))?;
    Ok(ExitCode::SUCCESS)
}

async fn probe(settings: &Settings, sandbox: Arc<Sandbox>) -> Probe {
    match connect(settings, sandbox).await {
        Ok(buddy) => {
            let offers = buddy.offers().clone();
            buddy.close().await;
            Probe {
                reachable: true,
                lacks: offers.lacks_tracking(),
                server: Some(offers.server),
                tools: Some(offers.tools),
                ..Probe::default()
            }
        }
        Err(error) => Probe {
            unauthorized: error.outcome == Outcome::Unauthorized,
            error: Some(error.to_string()),
            ..Probe::default()
        },
    }
}

/// What will not mend itself. `now`: what the configured server just answered, if it was asked.
fn attention(status: &shelltrack_tracker::Status, now: Option<&Probe>, now_ms: u64) -> Vec<String> {
    let mut told = Vec::new();
    if let Some(now) = now {
        told.extend(of_probe(&status.target, now));
    }
    // Of the target that was just asked, the answer is newer than what the agent last saw.
    let answers = |target: &Target| *target == status.target && now.is_some_and(|now| now.reachable);
    for target in &status.targets {
        let name = name_of(&target.target);
        if target.is_held_open() {
            told.push(format!("{name}: its breaker is held open by hand; see `shelltrack breaker`"));
        }
        // The one inside this program may be read, and yet take nothing: its file does not mend itself.
        let own = matches!(target.target, Target::Embedded { .. });
        let is_told = target.target == status.target && now.is_some_and(|now| now.error.is_some());
        if let Some(error) = target.last_error.as_ref().filter(|_| own && !is_told && status.queued > 0)
            && target.unreachable_since_ms.is_some()
        {
            told.push(format!("{name}: {error}"));
            continue;
        }
        let is_settled = answers(&target.target) && target.lacked_tools();
        if let Some(reason) = target.needs_attention.as_ref().filter(|_| !is_settled) {
            // One that refuses our calls may connect with anybody, as our own server does.
            told.push(format!("{name}: {reason}"));
        } else if !answers(&target.target)
            && let Some(since) = target.unreachable_since_ms
            && status.queued > 0
            && now_ms.saturating_sub(since) > UNREACHABLE_MAX_MS
        {
            told.push(format!("{name}: does not answer since {}", time_of_ms(since)));
        }
    }
    told.extend(of_agent(status));
    told.extend(of_spool(status, now_ms));
    told
}

/// An agent that does nothing keeps nobody waiting when nothing waits.
fn of_agent(status: &shelltrack_tracker::Status) -> Option<String> {
    let (pid, since) = status.agent_pid.zip(status.agent_silent_since_ms).filter(|_| status.queued > 0)?;
    let (name, why) = silent_agent(pid, since);
    Some(format!("{name}: {why}"))
}

fn of_probe(target: &Target, now: &Probe) -> Option<String> {
    let name = name_of(target);
    if let Some(lacks) = &now.lacks {
        return Some(format!("{name}: {lacks}; what is accepted here is kept until that changes"));
    }
    if now.unauthorized {
        return Some(format!("{name}: the server does not accept who we are"));
    }
    // The one inside this program is away for no moment: its file cannot be used.
    let own = matches!(target, Target::Embedded { .. });
    now.error.as_ref().filter(|_| own).map(|error| format!("{name}: {error}"))
}

/// Why no session can be recorded at this moment, where the disk itself says so.
fn of_disk(tracker: &Tracker) -> Option<String> {
    tracker.check_disk().err().map(|error| format!("no session is recorded now: {error}"))
}

fn of_spool(status: &shelltrack_tracker::Status, now_ms: u64) -> Vec<String> {
    let mut told = Vec::new();
    if status.dead_letters > 0 {
        let given_up = several(status.dead_letters, "event");
        told.push(format!("{given_up} given up; `shelltrack dead-letters list` says why"));
    }
    told.extend(status.unserved.iter().filter_map(|other| of_unserved(other, now_ms)));
    if let Some(last) = status.last_removed_ms.filter(|last| now_ms.saturating_sub(*last) < REMOVED_TOLD_MS) {
        let removed = several(status.dead_letters_removed, "event");
        let last = time_of_ms(last);
        told.push(format!("{removed} given up and removed, too many or too old, the last at {last}"));
    }
    if let Some(last) = status.last_refused_ms.filter(|last| now_ms.saturating_sub(*last) < REFUSED_TOLD_MS) {
        let refused = several(status.refused.total(), "session event");
        told.push(format!(
            "{refused} not recorded so far, the last at {}: {}",
            time_of_ms(last),
            reasons(status)
        ));
    }
    if let Some(oldest) = status.oldest_queued_ms
        && now_ms.saturating_sub(oldest) > WAITING_MAX_MS
    {
        told.push(format!("the oldest event waits since {}", time_of_ms(oldest)));
    }
    told
}

/// Events in a spool beside ours. A container that is just being started again has an hour.
fn of_unserved(other: &Unserved, now_ms: u64) -> Option<String> {
    let since = other.oldest_queued_ms.filter(|since| now_ms.saturating_sub(*since) > WAITING_MAX_MS)?;
    let spool = other.spool.display();
    Some(format!(
        "{} of another machine or container since {}, and no agent is there; unless it comes back, \
         `shelltrack agent '{spool}'` delivers what waits",
        several(other.queued, "event"),
        time_of_ms(since)
    ))
}

fn reasons(status: &shelltrack_tracker::Status) -> String {
    let refused = &status.refused;
    let reasons = [
        (refused.spool_full, "the spool was full"),
        (refused.rate_limit, "too many began at once"),
        (refused.component, "the component failed"),
        (refused.storage, "the disk took none"),
    ];
    let told: Vec<_> = reasons
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, reason)| format!("{number} because {reason}"))
        .collect();
    if told.is_empty() { "none".to_owned() } else { told.join(", ") }
}

fn text(report: &Report, is_revived: bool) -> String {
    let Report { status, server_now, now_ms, .. } = report;
    let age = |since: u64| duration(now_ms.saturating_sub(since) as f64 / 1e3);
    let server = match (&server_now.server, &server_now.error) {
        (Some(server), _) => {
            let tools = server_now.tools.as_ref().map_or(0, Vec::len);
            let tracks = if server_now.lacks.is_some() { "no tracking" } else { "tracking" };
            format!("{server}, {} ({tracks})", several(tools as u64, "tool"))
        }
        (None, Some(error)) => format!("not reachable: {error}"),
        (None, None) => "not reachable".to_owned(),
    };
    let agent = match (status.agent_pid, &status.agent_version) {
        (Some(pid), Some(version)) => {
            let is_silent = status.agent_silent_since_ms;
            let silent = is_silent.map(|since| format!(", says nothing since {}", time_of_ms(since)));
            format!("running, pid {pid}, version {version}{}", silent.unwrap_or_default())
        }
        _ if is_revived => "was not running; one is being started".to_owned(),
        _ if status.queued > 0 || status.open_sessions > 0 => "not running".to_owned(),
        _ => "not running; there is nothing to do".to_owned(),
    };
    let waiting = several(status.queued, "event");
    let waiting = match status.oldest_queued_ms {
        Some(oldest) => format!("{waiting}, {} bytes, the oldest for {}", status.queued_bytes, age(oldest)),
        None => waiting,
    };
    let percent = (status.queued * 100 / status.queued_max.max(1))
        .max(status.queued_bytes * 100 / status.queued_bytes_max.max(1));
    let delivered = status.last_delivery_ms;
    let mut rows = vec![
        ("session-buddy", name_of(&status.target)),
        ("server", server),
        ("agent", agent),
        ("waiting", waiting),
        ("last delivery", delivered.map_or_else(|| "none yet".to_owned(), |at| format!("{} ago", age(at)))),
        ("open sessions", status.open_sessions.to_string()),
        ("given up", status.dead_letters.to_string()),
        ("set aside", status.set_aside.to_string()),
        ("not recorded", reasons(status)),
        ("spool", format!("{}, {percent} % full", status.spool.display())),
        ("log", report.log_file.display().to_string()),
        ("configuration", report.config_file.display().to_string()),
    ];
    rows.extend(status.unserved.iter().map(|other| {
        let waiting = several(other.queued, "event");
        ("other spool", format!("{}: {waiting}, no agent", other.spool.display()))
    }));
    rows.extend(status.targets.iter().map(|target| ("target", target_line(target))));
    rows.extend(report.attention.iter().map(|line| ("ATTENTION", line.clone())));
    lines(&rows)
}

fn target_line(target: &TargetStatus) -> String {
    let mut line = format!("{}: breaker {}", name_of(&target.target), target.breaker);
    if let Some(delivered) = target.last_delivery_ms {
        line += &format!(", last delivery {}", time_of_ms(delivered));
    }
    if let Some(since) = target.unreachable_since_ms {
        // One that refuses us answers.
        let what = if target.needs_attention.is_some() { "takes nothing" } else { "does not answer" };
        line += &format!(", {what} since {}", time_of_ms(since));
    }
    if let Some(error) = &target.last_error {
        line += &format!(", last error: {error}");
    }
    if let Some(retry) = target.retry_at_ms {
        line += &format!(", next try {}", time_of_ms(retry));
    }
    line
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
