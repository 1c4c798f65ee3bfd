//! `shelltrack status`: how recording and delivery are doing, and whether that needs a person.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use shelltrack_sandbox::types::Outcome;
use shelltrack_sandbox::{Profile, Sandbox};
use shelltrack_tracker::TargetStatus;

use super::{connect, name_of, runtime, sandbox};
use crate::args;
use crate::config::Settings;
use crate::failure::{FAILED, Failure};
use crate::output::{lines, print, print_json, time_of_ms};

/// An event that waits longer than this will hardly be delivered without a person: outages that mend
/// themselves are shorter.
const WAITING_MAX_MS: u64 = 60 * 60 * 1000;

/// What is told.
#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    status: shelltrack_tracker::Status,
    config_file: PathBuf,
    /// What the server that is configured answers now.
    server_now: Probe,
    /// What a person should look at; empty when all is well.
    attention: Vec<String>,
}

/// What the server that is configured answers now.
#[derive(Debug, Serialize)]
struct Probe {
    reachable: bool,
    server: Option<String>,
    /// Why it cannot record sessions, although it answers.
    lacks: Option<String>,
    error: Option<String>,
    unauthorized: bool,
}

/// Tells how things are; the exit status says whether a person is needed.
pub(crate) fn status(config: Option<&Path>, status: &args::Status) -> Result<ExitCode, Failure> {
    let settings = Settings::load(config, &status.session_buddy)?;
    let sandbox = sandbox(Profile::OneShot)?;
    let told = settings.tracker(Arc::clone(&sandbox))?.status()?;
    let runtime = runtime()?;
    let server_now = runtime.block_on(probe(&settings, sandbox));
    // A server that does not let go must not keep us.
    runtime.shutdown_background();
    let attention = attention(&told, &server_now, now_ms());
    let report = Report { status: told, config_file: settings.file, server_now, attention };
    if status.json {
        print_json(&report)?;
    } else {
        print(&text(&report))?;
    }
    Ok(if report.attention.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
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
                error: None,
                unauthorized: false,
            }
        }
        Err(error) => Probe {
            reachable: false,
            server: None,
            lacks: None,
            unauthorized: error.outcome == Outcome::Unauthorized,
            error: Some(error.to_string()),
        },
    }
}

/// What will not mend itself.
fn attention(status: &shelltrack_tracker::Status, now: &Probe, now_ms: u64) -> Vec<String> {
    let mut told = Vec::new();
    let target = name_of(&status.target);
    if let Some(lacks) = &now.lacks {
        told.push(format!("{target}: {lacks}; what is accepted here is kept until that changes"));
    }
    if now.unauthorized {
        told.push(format!("{target}: the server does not accept who we are"));
    }
    // Of the target that was just asked, the answer is newer than what the agent last saw.
    let others = status.targets.iter().filter(|other| other.target != status.target || !now.reachable);
    told.extend(others.filter_map(|other| {
        other.needs_attention.as_ref().map(|reason| format!("{}: {reason}", name_of(&other.target)))
    }));
    if status.dead_letters > 0 {
        let (number, spool) = (status.dead_letters, status.spool.display());
        told.push(format!("{number} events were given up; see {spool}/dead for the reasons"));
    }
    if status.refused > 0 {
        told.push(format!("{} sessions were not recorded, because the spool was full", status.refused));
    }
    if let Some(oldest) = status.oldest_queued_ms
        && now_ms.saturating_sub(oldest) > WAITING_MAX_MS
    {
        told.push(format!("the oldest event waits since {}", time_of_ms(oldest)));
    }
    told
}

fn text(report: &Report) -> String {
    let Report { status, server_now, .. } = report;
    let server = match (&server_now.server, &server_now.error) {
        (Some(server), _) => server.clone(),
        (None, Some(error)) => format!("not reachable: {error}"),
        (None, None) => "not reachable".to_owned(),
    };
    let agent = match status.agent_pid {
        Some(pid) => format!("running, pid {pid}"),
        None => "not running; starts itself when there is something to do".to_owned(),
    };
    let waiting = match status.oldest_queued_ms {
        Some(oldest) => format!("{} events, the oldest since {}", status.queued, time_of_ms(oldest)),
        None => format!("{} events", status.queued),
    };
    let mut rows = vec![
        ("session-buddy", name_of(&status.target)),
        ("server", server),
        ("agent", agent),
        ("waiting", waiting),
        ("open sessions", status.open_sessions.to_string()),
        ("given up", status.dead_letters.to_string()),
        ("refused", status.refused.to_string()),
        ("spool", status.spool.display().to_string()),
        ("configuration", report.config_file.display().to_string()),
    ];
    rows.extend(status.targets.iter().map(|target| ("target", target_line(target))));
    rows.extend(report.attention.iter().map(|line| ("ATTENTION", line.clone())));
    lines(&rows)
}

fn target_line(target: &TargetStatus) -> String {
    let mut line = format!("{}: breaker {}", name_of(&target.target), target.breaker);
    if let Some(delivered) = target.last_delivery_ms {
        line += &format!(", last delivery {}", time_of_ms(delivered));
    }
    if let Some(error) = &target.last_error {
        line += &format!(", last error: {error}");
    }
    if let Some(retry) = target.retry_at_ms {
        line += &format!(", next try {}", time_of_ms(retry));
    }
    line
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use shelltrack_tracker::{Status, Target};

    use super::*;

    fn quiet() -> Status {
        Status {
            spool: PathBuf::from("/spool"),
            target: Target::Http { url: "http://h/mcp".to_owned() },
            agent_pid: None,
            queued: 0,
            oldest_queued_ms: None,
            open_sessions: 0,
            dead_letters: 0,
            set_aside: 0,
            refused: 0,
            targets: Vec::new(),
        }
    }

    fn reached() -> Probe {
        Probe {
            reachable: true,
            server: Some("buddy 1".to_owned()),
            lacks: None,
            error: None,
            unauthorized: false,
        }
    }

    #[test]
    fn nobody_is_called_while_all_is_well_or_an_outage_is_short() {
        assert_eq!(attention(&quiet(), &reached(), 0), Vec::<String>::new());
        let waiting = Status { queued: 1, oldest_queued_ms: Some(0), ..quiet() };
        let down = Probe { reachable: false, server: None, error: Some("refused".to_owned()), ..reached() };
        assert_eq!(attention(&waiting, &down, WAITING_MAX_MS), Vec::<String>::new());
        assert_eq!(attention(&waiting, &down, WAITING_MAX_MS + 1).len(), 1);
    }

    #[test]
    fn a_server_without_the_tracking_tools_is_told_in_one_plain_line() {
        let stock = Probe { lacks: Some("it has no tracking tools".to_owned()), ..reached() };
        let told = attention(&quiet(), &stock, 0);
        assert_eq!(told.len(), 1);
        assert!(told.concat().contains("http://h/mcp"), "{told:?}");
        assert!(told.concat().contains("it has no tracking tools"), "{told:?}");
    }

    #[test]
    fn dead_letters_and_refused_starts_need_a_person() {
        let status = Status { dead_letters: 2, refused: 1, ..quiet() };
        assert_eq!(attention(&status, &reached(), 0).len(), 2);
    }
}
