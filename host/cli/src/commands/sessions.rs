//! `shelltrack list-sessions` and `shelltrack show-session`: what the server has, together with what
//! waits here.

use std::io::{IsTerminal, stderr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Value, json};
use shelltrack_sandbox::{Profile, Sandbox};

use super::{connect, name_of, runtime};
use crate::args::{List, Show};
use crate::config::Settings;
use crate::failure::{Failure, tell};
use crate::output;
use crate::session::{Local, Record, merge};

const LIST_TOOL: &str = "list_sessions";
const SHOW_TOOL: &str = "show_session";

/// Lists sessions, newest first.
pub(crate) fn list(config: Option<&Path>, list: &List) -> Result<ExitCode, Failure> {
    let settings = Settings::load(config, &list.session_buddy)?;
    let sandbox = settings.sandbox(Profile::OneShot)?;
    // First what is here: what is delivered meanwhile is then seen twice rather than never.
    let local = known_here(&settings, &sandbox);
    let asked = Question::List(json!({
        "session_type": list.session_type,
        "active": list.active,
        "limit": list.limit,
    }));
    let answer = ask(&settings, sandbox, &asked)?;
    let complete = answer.is_some();
    let limit = usize::try_from(list.limit).unwrap_or(usize::MAX);
    let mut records = merge(answer.unwrap_or_default(), local, complete);
    records.retain(|record| record.is_wanted(list.session_type.as_deref(), list.active));
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
    local.retain(|local| local.record.is_meant_by(&show.id));
    // Every server knows its own id; not every one knows ours.
    let id = local.iter().filter(|local| local.of_this_target).find_map(|l| l.record.session_id.clone());
    let answer = ask(&settings, sandbox, &Question::Show(id.unwrap_or_else(|| show.id.clone())))?;
    let found = answer.unwrap_or_default();
    let complete = !found.is_empty();
    let Some(record) = merge(found, local, complete).into_iter().next() else {
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
fn known_here(settings: &Settings, sandbox: &Arc<Sandbox>) -> Vec<Local> {
    let sessions = settings.tracker(Arc::clone(sandbox)).and_then(|tracker| tracker.local_sessions());
    let sessions = sessions.unwrap_or_else(|error| {
        tell(&format!("{error}; what waits for delivery is not shown"));
        Vec::new()
    });
    let shown = sessions.iter().filter_map(|session| {
        let of_this_target = session.target == settings.target;
        match Record::local(session, sandbox, &settings.policy) {
            Ok(record) => Some(Local { record, of_this_target }),
            Err(error) => {
                tell(&format!("session {} cannot be shown: {error}", session.key));
                None
            }
        }
    });
    shown.collect()
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
