//! The store as a whole: sessions out and in as JSON Lines, archive, backup, integrity.
//!
//! What comes in is as untrusted as any event: the component rebuilds it from its parts.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use shelltrack_sandbox::Sandbox;
use shelltrack_sandbox::types::{EndEvent, Policy, StartEvent};

use crate::Server;
use crate::answers::TrackAnswer;
use crate::records::{SessionRecord, State, now_us, parse_rfc3339};
use crate::store::{Filter, Import, ListQuery, Store, StoreError};

/// Sessions of one part of an export.
const PART_SESSIONS: u32 = 500;

/// One line of an export: the record, and what the record keeps to itself.
#[derive(Serialize)]
struct Line {
    #[serde(flatten)]
    session: SessionRecord,
    #[serde(flatten)]
    kept: Kept,
}

/// What a record keeps to itself.
#[derive(Serialize, Deserialize)]
struct Kept {
    home: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end_event_id: Option<String>,
}

impl Line {
    /// Reads its parts one after the other: flattened ones would not tell where they are wrong.
    fn read(text: &str) -> Result<Self, serde_json::Error> {
        Ok(Self { session: serde_json::from_str(text)?, kept: serde_json::from_str(text)? })
    }
}

/// Part of an export.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// Lines of JSON, oldest start first.
    pub lines: Vec<String>,
    /// Where it goes on.
    pub next: Option<String>,
}

/// What came of a line that was taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Imported {
    /// It is stored.
    New,
    /// The session, or its start event, was here already; nothing was changed.
    Known,
    /// What was wrong.
    Refused(String),
}

impl Server {
    /// Every session, archived ones too, part by part.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn export(&self, from: Option<&str>) -> Result<Part, StoreError> {
        let after = from.map(str::parse).transpose().map_err(|()| StoreError::Corrupt)?;
        let filter = Filter { with_archived: true, ..Filter::default() };
        let page = self
            .tools
            .store
            .list(ListQuery { filter, limit: PART_SESSIONS, after, oldest_first: true })
            .await?;
        let line = |session: SessionRecord| {
            let kept = Kept { home: session.home.clone(), end_event_id: session.end_event_id.clone() };
            json!(Line { session, kept }).to_string()
        };
        Ok(Part {
            lines: page.records.into_iter().map(line).collect(),
            next: page.next.map(|cursor| cursor.to_string()),
        })
    }

    /// Takes in one line of an export. The same line again changes nothing.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn import(&self, line: &str) -> Result<Imported, StoreError> {
        import(&*self.tools.store, &self.tools.sandbox, line).await
    }

    /// Archives what ended longer ago: it is kept, and left out of lists that do not ask for it. How many
    /// that were.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn archive(&self, older_than: Duration) -> Result<u64, StoreError> {
        self.tools.store.archive(ended_before_us(older_than)).await
    }

    /// Copies everything to a new file while others go on writing.
    ///
    /// # Errors
    /// When the file is there already or cannot be written.
    pub async fn backup(&self, to: PathBuf) -> Result<(), StoreError> {
        self.tools.store.backup(to).await
    }

    /// Reads everything and compares it with itself.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`].
    pub async fn check(&self) -> Result<(), StoreError> {
        self.tools.store.check().await
    }

    /// How many sessions there are.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn count(&self) -> Result<u64, StoreError> {
        Ok(self.tools.store.counts().await?.total)
    }
}

/// Now, less that age.
pub(crate) fn ended_before_us(older_than: Duration) -> i64 {
    now_us().saturating_sub(i64::try_from(older_than.as_micros()).unwrap_or(i64::MAX))
}

/// Takes in one line of an export.
pub(crate) async fn import(store: &dyn Store, sandbox: &Sandbox, line: &str) -> Result<Imported, StoreError> {
    let session = match read_line(sandbox, line) {
        Ok(session) => session,
        Err(told) => return Ok(Imported::Refused(told)),
    };
    Ok(if store.import(session).await? { Imported::New } else { Imported::Known })
}

fn read_line(sandbox: &Sandbox, line: &str) -> Result<Import, String> {
    let line =
        Line::read(line).map_err(|error| format!("it is no session of an export: {}", reason(&error)))?;
    let (start, end) = rebuild(sandbox, &line).map_err(|error| told(&error))?;
    let session = line.session;
    Ok(Import {
        end: (session.state != State::Active).then_some(end),
        session_id: session.session_id,
        owner: session.owner,
        // Never seen after its start: an export does not tell that from being seen there.
        last_seen_us: parse_rfc3339(&session.last_seen_at).filter(|seen_us| *seen_us != start.timestamp_us),
        archived_us: session.archived_at.as_deref().and_then(parse_rfc3339),
        start,
    })
}

/// What serde says, without the line, which is always the first.
fn reason(error: &serde_json::Error) -> String {
    error.to_string().replace(" at line 1 column ", ", at column ")
}

/// The events that made the session. Of an open one, the end only proves that the id is one.
fn rebuild(sandbox: &Sandbox, line: &Line) -> Result<(StartEvent, EndEvent), shelltrack_sandbox::Error> {
    let session = &line.session;
    let start = json!({
        "event_version": "1.0", "event_type": "session_start", "event_id": session.event_id,
        "component_name": session.component_name, "shell_type": session.shell_type,
        "timestamp": session.start_time, "pid": session.pid, "hostname": session.hostname,
        "user": {"username": session.username, "home": line.kept.home},
        "environment": {"python_version": session.python_version, "platform": session.platform,
            "cwd": session.working_directory},
        "metadata": session.metadata,
    });
    let facts = [
        ("event_id", json!(line.kept.end_event_id)),
        ("exit_status", json!(session.exit_status)),
        ("exit_reason", json!(session.exit_reason)),
    ];
    let known = facts.into_iter().filter(|(_, fact)| !fact.is_null());
    let about: serde_json::Map<_, _> = known.map(|(key, fact)| (key.to_owned(), fact)).collect();
    let end_time = session.end_time.as_ref().unwrap_or(&session.start_time);
    let end = json!({"session_id": session.session_id, "timestamp": end_time, "metadata": about});
    let policy = Policy::default();
    Ok((
        sandbox.validate_start(&start.to_string(), &policy)?,
        sandbox.validate_end(&end.to_string(), &policy)?,
    ))
}

fn told(error: &shelltrack_sandbox::Error) -> String {
    match error {
        shelltrack_sandbox::Error::Rejected(violations) => {
            TrackAnswer::refused(violations).error.unwrap_or_default()
        }
        other => other.to_string(),
    }
}
