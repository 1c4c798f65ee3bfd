//! `shelltrack list-sessions` and `shelltrack show-session`: what the server has, together with what
//! waits here.

use std::io::{IsTerminal, stderr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Value, json};
use shelltrack_sandbox::{Profile, Sandbox};
use shelltrack_tracker::LocalSession;
use shelltrack_tracker::session_buddy::SESSIONS_MAX;

use super::{connect, name_of, runtime};
use crate::args::{List, Show};
use crate::config::Settings;
use crate::failure::{Failure, tell};
use crate::output;
use crate::session::{Local, Record, merge};

/// Sessions listed when nobody says how many: what a person looks through, ten times over.
const LIST_LIMIT_DEFAULT: u32 = 1_000;

const LIST_TOOL: &str = "list_sessions";
const SHOW_TOOL: &str = "show_session";

/// Lists sessions, newest first.
pub(crate) fn list(config: Option<&Path>, list: &List) -> Result<ExitCode, Failure> {
    let settings = Settings::load(config, &list.session_buddy)?;
    let sandbox = settings.sandbox(Profile::OneShot)?;
    // First what is here: what is delivered meanwhile is then seen twice rather than never.
    let local = known_here(&settings, &sandbox);
    let limit = match list.limit.unwrap_or(LIST_LIMIT_DEFAULT) {
        0 => usize::MAX,
        limit => usize::try_from(limit).unwrap_or(usize::MAX),
    };
    // One more tells whether there are more; and each of ours may take one of the server's out.
    let asked_for = limit.saturating_add(1).saturating_add(local.len()).min(SESSIONS_MAX);
    let asked = Question::List(json!({
        "session_type": list.session_type,
        "active": list.active,
        "limit": asked_for,
    }));
    let answer = ask(&settings, Arc::clone(&sandbox), &asked)?;
    let is_cut_short = answer.as_ref().is_some_and(|records| records.len() >= SESSIONS_MAX);
    let mut records = join(answer, local, &settings, &sandbox);
    records.retain(|record| record.is_wanted(list.session_type.as_deref(), list.active));
    // Whoever named a number knows what it does.
    if is_cut_short || (list.limit.is_none() && records.len() > limit) {
        let shown = records.len().min(limit);
        tell(&format!(
            "these are the newest {shown} sessions, and there are more; see `list-sessions --help`"
        ));
    }
    records.truncate(limit);
    if list.json {
        output::print_json(&records)?;
    } else if records.is_empty() {
        tell(&format!("no sessions at {}", name_of(&settings.target)));
    } else {
        output::print(&output::sessions_table(&records))?;
        if stderr().is_terminal() {
            let number = output::several(records.len() as u64, "session");
            tell(&format!("{number} at {}", name_of(&settings.target)));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows one session.
pub(crate) fn show(config: Option<&Path>, show: &Show) -> Result<ExitCode, Failure> {
    let settings = Settings::load(config, &show.session_buddy)?;
    let sandbox = settings.sandbox(Profile::OneShot)?;
    let mut local = known_here(&settings, &sandbox);
    local.retain(|local| [Some(&local.key), local.session_id.as_ref()].contains(&Some(&show.id)));
    // Every server knows its own id; not every one knows ours.
    let mut here = local.iter().filter(|local| local.target == settings.target);
    let id = here.find_map(|local| local.session_id.clone());
    let asked = Question::Show(id.unwrap_or_else(|| show.id.clone()));
    let answer = ask(&settings, Arc::clone(&sandbox), &asked)?.filter(|found| !found.is_empty());
    let Some(record) = join(answer, local, &settings, &sandbox).into_iter().next() else {
        return Err(Failure::Failed(format!("no session has the id {}", show.id)));
    };
    if show.json {
        output::print_json(&record)?;
    } else {
        output::print(&output::session_lines(&record))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Sessions the spool knows. A spool that cannot be read is told; the server's answer still counts.
fn known_here(settings: &Settings, sandbox: &Arc<Sandbox>) -> Vec<LocalSession> {
    let sessions = settings.tracker(Arc::clone(sandbox)).and_then(|tracker| {
        // Without one, those that are open are soon lost for the server.
        tracker.revive_agent()?;
        tracker.local_sessions()
    });
    sessions.unwrap_or_else(|error| {
        tell(&format!("{error}; what waits for delivery is not shown"));
        Vec::new()
    })
}

/// What the server has, if it said so, with what is here. Only what will be seen is made ready: thousands of
/// sessions that the server has as well would cost seconds.
fn join(
    answer: Option<Vec<Record>>,
    local: Vec<LocalSession>,
    settings: &Settings,
    sandbox: &Sandbox,
) -> Vec<Record> {
    let complete = answer.is_some();
    let local = local.iter().filter_map(|session| {
        let of_this_target = session.target == settings.target;
        if session.pending == 0 && (complete || !of_this_target) {
            return None;
        }
        match Record::local(session, sandbox, &settings.policy) {
            Ok(record) => Some(Local { record, of_this_target }),
            Err(error) => {
                tell(&format!("session {} cannot be shown: {error}", session.key));
                None
            }
        }
    });
    let local = local.collect();
    merge(answer.unwrap_or_default(), local, complete)
}

enum Question {
    List(Value),
    Show(String),
}

/// What the server answers; `None`, with a word on stderr, when it cannot tell.
fn ask(
    settings: &Settings,
    sandbox: Arc<Sandbox>,
    question: &Question,
) -> Result<Option<Vec<Record>>, Failure> {
    let runtime = runtime()?;
    let answer = runtime.block_on(answer(settings, sandbox, question));
    // A server that does not let go must not keep us.
    runtime.shutdown_background();
    let values = match answer {
        Ok(values) => values,
        Err(reason) => {
            tell(&format!("{}: {reason}; this is what is known here", name_of(&settings.target)));
            return Ok(None);
        }
    };
    let total = values.len();
    let records: Vec<Record> =
        values.into_iter().filter_map(|value| serde_json::from_value(value).ok()).collect();
    if records.len() < total {
        tell(&format!("{} records of the server are not readable", total - records.len()));
    }
    Ok(Some(records))
}

async fn answer(
    settings: &Settings,
    sandbox: Arc<Sandbox>,
    question: &Question,
) -> Result<Vec<Value>, String> {
    let buddy = connect(settings, sandbox).await.map_err(|error| error.to_string())?;
    let tool = match question {
        Question::List(_) => LIST_TOOL,
        Question::Show(_) => SHOW_TOOL,
    };
    if !buddy.offers().tools.iter().any(|offered| offered == tool) {
        return Err(format!("it offers no {tool}"));
    }
    let answer = match question {
        Question::List(arguments) => buddy.list_sessions(arguments.clone()).await,
        Question::Show(id) => buddy.show_session(id).await.map(|record| record.into_iter().collect()),
    };
    buddy.close().await;
    answer.map_err(|error| error.to_string())
}
