//! What a person can do with dead letters: look at them, queue them again, drop them.
//!
//! A session's letters go together: an end is worth nothing without its start, and goes after it. Each
//! event keeps its event id, so that a server which has it already knows it again.

use std::io;

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::agent::{Letter, OpenSession, discard};
use crate::clock::now_us;
use crate::spool::{Envelope, FORMAT, Kind, Spool};
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

    /// Queues a session's letters again, start first, and gives how many there were. Each is durable in
    /// the queue before its letter goes, and one that is queued already is not queued twice.
    ///
    /// # Errors
    /// [`Error::UnknownSession`] when there is no letter of that key; [`Error::Spool`] when a letter holds
    /// no whole event or cannot be moved.
    pub fn retry_dead_letters(&self, key: &str) -> Result<u64, Error> {
        let (key, letters) = self.opened(key)?;
        check(&self.spool, key, &letters).map_err(|reason| self.letter_error(key, &reason))?;
        let failed = |error: io::Error| self.letter_error(key, &error.to_string());
        self.remember(key, &letters).map_err(failed)?;
        let mut queued = 0;
        for Opened { kind, envelope, .. } in &letters {
            let Some(envelope) = envelope else { continue };
            // Accepted anew: one that was given up for its age is not to be given up again at once.
            self.spool.accept(&Envelope { accepted_us: now_us(), ..envelope.clone() }, *kind)?;
            discard(&self.spool, key, *kind).map_err(failed)?;
            queued += 1;
        }
        self.wake_agent();
        Ok(queued)
    }

    /// Removes a session's letters for good, and gives how many there were.
    ///
    /// # Errors
    /// As [`Self::retry_dead_letters`].
    pub fn drop_dead_letters(&self, key: &str) -> Result<u64, Error> {
        let (key, letters) = self.opened(key)?;
        for letter in &letters {
            discard(&self.spool, key, letter.kind)
                .map_err(|error| self.letter_error(key, &error.to_string()))?;
        }
        Ok(letters.len() as u64)
    }

    fn opened(&self, key: &str) -> Result<(Uuid, Vec<Opened>), Error> {
        let uuid = Uuid::try_parse(key).ok();
        let letters = uuid.map(|uuid| (uuid, open(&self.spool, uuid)));
        letters.filter(|(_, letters)| !letters.is_empty()).ok_or_else(|| Error::NoDeadLetter(key.to_owned()))
    }

    fn dead_sessions(&self) -> Result<Vec<Uuid>, Error> {
        let names = self.spool.dead_letters();
        let names = names.map_err(|error| self.spool.refusal(&format!("cannot be read: {error}")))?;
        let mut keys: Vec<Uuid> = names.iter().filter_map(|name| Some(Kind::parse(name)?.0)).collect();
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    /// Puts back what the agent forgot when it gave up an end: without the server's id of the session
    /// the end would be taken for a second one of a session that is over.
    fn remember(&self, key: Uuid, letters: &[Opened]) -> io::Result<()> {
        let starts = letters.iter().any(|letter| letter.kind == Kind::Start);
        let session = letters.iter().find_map(|letter| letter.letter.session.as_ref());
        if starts || OpenSession::load(&self.spool, key)?.is_some() {
            return Ok(());
        }
        session.map_or(Ok(()), |session| session.save(&self.spool))
    }

    fn letter_error(&self, key: Uuid, reason: &str) -> Error {
        Error::Spool {
            path: self.spool.dead_path(key, Kind::Start).with_file_name(key.to_string()),
            reason: reason.to_owned(),
        }
    }
}

/// The letters of a session, in the order of delivery.
fn open(spool: &Spool, key: Uuid) -> Vec<Opened> {
    let letters = Kind::ALL.into_iter().filter_map(|kind| {
        let letter = match Spool::read_json::<Letter>(&spool.dead_path(key, kind)) {
            Ok(letter) => letter?,
            Err(error) => Letter {
                reason: format!("the letter itself cannot be read: {error}"),
                dead_us: 0,
                event: Value::Null,
                session: None,
            },
        };
        let envelope = serde_json::from_value::<Envelope>(letter.event.clone()).ok();
        let envelope = envelope.filter(|envelope| envelope.format == FORMAT && envelope.key == key);
        Some(Opened { kind, letter, envelope })
    });
    letters.collect()
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
