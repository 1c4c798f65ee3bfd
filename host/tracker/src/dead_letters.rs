//! What a person can do with dead letters: look at them, queue them again, drop them.
//!
//! A session's letters go together: an end is worth nothing without its start, and goes after it. Each
//! event keeps its event id, so that a server which has it already knows it again.

use std::fs::File;
use std::time::UNIX_EPOCH;

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::agent::{Letter, PATIENCE_OF_A_PERSON, drop_letter, envelope, finish_interrupted, hold, queue};
use crate::spool::{Envelope, Kind, Spool};
use crate::{Error, Target, Tracker};

/// One event that was given up.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeadLetter {
    /// Local key of its session; all letters of a session are kept and dropped together.
    pub session: String,
    /// `start`, `end`, or `gone`: the end of a shell that vanished.
    pub event: &'static str,
    /// Why it was given up; a server's words in it are quoted and cleaned.
    pub reason: String,
    /// Since when, milliseconds since 1970.
    pub since_ms: u64,
    /// Where it was to go, where that is known.
    pub target: Option<Target>,
    /// Component of the session, where that is known.
    pub component: Option<String>,
    /// Whether it can be queued again.
    pub retryable: bool,
    /// The tool's arguments as they would be sent; for an end without `session_id`.
    pub wire: Option<Value>,
}

/// A letter and what it holds.
struct Opened {
    kind: Kind,
    letter: Letter,
    /// The event, where it is one.
    envelope: Option<Envelope>,
}

impl Tracker {
    /// All dead letters, oldest first.
    ///
    /// # Errors
    /// [`Error::Spool`] when the directory cannot be read; a letter that cannot be read is listed.
    pub fn dead_letters(&self) -> Result<Vec<DeadLetter>, Error> {
        let mut letters = Vec::new();
        self.finish_interrupted();
        for key in self.dead_sessions()? {
            let opened = open(&self.spool, key);
            let retryable = check(&self.spool, key, &opened).is_ok();
            let of_start = opened.iter().find_map(|letter| letter.envelope.clone()?.opened);
            letters.extend(opened.into_iter().map(|letter| {
                let target = of_start.as_ref().map(|opened| opened.target.clone());
                told(key, letter, target, retryable)
            }));
        }
        letters.sort_by_key(|letter| letter.since_ms);
        Ok(letters)
    }

    /// Queues a session's letters again, start first, and gives how many there were. Each is a letter until
    /// it is durable in the queue, and never both; one that is queued already is not queued twice.
    ///
    /// # Errors
    /// [`Error::UnknownSession`] when there is no letter of that key; [`Error::Spool`] when a letter holds
    /// no whole event or cannot be moved.
    pub fn retry_dead_letters(&self, key: &str) -> Result<u64, Error> {
        let _held = self.hold()?;
        let (key, letters) = self.opened(key)?;
        check(&self.spool, key, &letters).map_err(|reason| self.letter_error(key, None, &reason))?;
        let queue = |Opened { kind, .. }: &Opened| {
            let queued = queue(&self.spool, key, *kind);
            queued.map(u64::from).map_err(|error| self.letter_error(key, Some(*kind), &error.to_string()))
        };
        let queued = letters.iter().map(queue).sum();
        // Also when only some of them got there.
        self.wake_agent();
        queued
    }

    /// Removes a session's letters for good, and gives how many there were.
    ///
    /// # Errors
    /// As [`Self::retry_dead_letters`].
    pub fn drop_dead_letters(&self, key: &str) -> Result<u64, Error> {
        let _held = self.hold()?;
        let (key, letters) = self.opened(key)?;
        let drop_it = |Opened { kind, letter, .. }: &Opened| {
            let dropped = drop_letter(&self.spool, key, *kind, letter);
            dropped.map(u64::from).map_err(|error| self.letter_error(key, Some(*kind), &error.to_string()))
        };
        letters.iter().map(drop_it).sum()
    }

    fn hold(&self) -> Result<File, Error> {
        hold(&self.spool, PATIENCE_OF_A_PERSON).map_err(|error| self.spool.refusal(&error.to_string()))
    }

    /// What a killed command left half done is seen to by whoever looks next. On a disk that cannot be
    /// written it stays what it is, and can be looked at.
    fn finish_interrupted(&self) {
        match finish_interrupted(&self.spool) {
            Ok(true) => self.wake_agent(),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "letters that were being queued again stay what they are"),
        }
    }

    fn opened(&self, key: &str) -> Result<(Uuid, Vec<Opened>), Error> {
        let uuid = Uuid::try_parse(key).ok();
        let letters = uuid.map(|uuid| (uuid, open(&self.spool, uuid)));
        letters.filter(|(_, letters)| !letters.is_empty()).ok_or_else(|| Error::NoDeadLetter(key.to_owned()))
    }

    fn dead_sessions(&self) -> Result<Vec<Uuid>, Error> {
        let letters = self.spool.dead_letters().map_err(|error| self.unreadable(&error))?;
        let mut keys: Vec<Uuid> = letters.into_iter().map(|(key, _)| key).collect();
        keys.dedup();
        Ok(keys)
    }

    /// Names the letter, or where none is at fault alone the first of its session.
    fn letter_error(&self, key: Uuid, kind: Option<Kind>, reason: &str) -> Error {
        let there = Kind::ALL.into_iter().find(|kind| self.spool.dead_path(key, *kind).exists());
        let path = self.spool.dead_path(key, kind.or(there).unwrap_or(Kind::Start));
        Error::Spool { path, reason: reason.to_owned() }
    }
}

/// The letters of a session, in the order of delivery.
fn open(spool: &Spool, key: Uuid) -> Vec<Opened> {
    let letters = Kind::ALL.into_iter().filter_map(|kind| {
        let letter = read(spool, key, kind)?;
        let envelope = envelope(key, &letter.event);
        Some(Opened { kind, letter, envelope })
    });
    letters.collect()
}

/// A letter, also one that is being queued again.
fn read(spool: &Spool, key: Uuid, kind: Kind) -> Option<Letter> {
    let without_event = |reason| Letter { reason, dead_us: 0, event: Value::Null, session: None };
    match Spool::read_json::<Letter>(&spool.dead_path(key, kind)) {
        Ok(Some(letter)) => return Some(letter),
        Ok(None) => {}
        Err(error) => return Some(without_event(format!("the letter itself cannot be read: {error}"))),
    }
    if let Ok(raw) = spool.raw_path(key, kind).symlink_metadata() {
        let since = raw.modified().ok()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let dead_us = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        let event = Value::String("unreadable".to_owned());
        return Some(Letter { dead_us, event, ..without_event("is no event; more is not known".to_owned()) });
    }
    let again = Spool::read_json::<Value>(&spool.again_path(key, kind)).ok()??;
    let letter = serde_json::from_value::<Letter>(again.clone());
    Some(
        letter
            .unwrap_or_else(|_| Letter { event: again, ..without_event("is being queued again".to_owned()) }),
    )
}

/// Whether these letters can be queued again: all are events, and their session is known.
fn check(spool: &Spool, key: Uuid, letters: &[Opened]) -> Result<(), String> {
    if letters.iter().any(|opened| opened.letter.event.is_null()) {
        return Err("lacks an event (its reason says why), so it can only be dropped".to_owned());
    }
    if letters.iter().any(|letter| letter.envelope.is_none()) {
        return Err("holds no whole event of this version, so it can only be dropped".to_owned());
    }
    let known = letters.iter().any(|letter| letter.kind == Kind::Start || letter.letter.session.is_some());
    if known || spool.event_path(key, Kind::Start).exists() || spool.open_path(key).exists() {
        return Ok(());
    }
    Err("its session is not known any more, so it can only be dropped".to_owned())
}

fn told(key: Uuid, opened: Opened, target: Option<Target>, retryable: bool) -> DeadLetter {
    let Opened { kind, letter, envelope } = opened;
    let session = letter.session;
    let wire = envelope.and_then(|envelope| serde_json::from_str::<Value>(&envelope.wire).ok());
    let start = match kind {
        Kind::Start => wire.clone(),
        Kind::Gone | Kind::End => {
            session.as_ref().and_then(|session| serde_json::from_str(&session.wire).ok())
        }
    };
    DeadLetter {
        session: key.to_string(),
        event: match kind {
            Kind::Start => "start",
            Kind::Gone => "gone",
            Kind::End => "end",
        },
        reason: letter.reason,
        since_ms: letter.dead_us / 1_000,
        target: target.or_else(|| session.map(|session| session.target)),
        component: start.and_then(|start| Some(start.get("component_name")?.as_str()?.to_owned())),
        retryable,
        wire,
    }
}

#[cfg(test)]
#[path = "dead_letters_tests.rs"]
mod tests;
