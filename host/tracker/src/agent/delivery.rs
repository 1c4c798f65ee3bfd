//! One event's way over one connection: what is sent, and what is remembered before the file goes.
//! When to try and what to do after a failure is the worker's business.

use std::io;

use shelltrack_sandbox::types::Outcome;

use super::session::OpenSession;
use super::{Item, Note, Shared};
use crate::Error;
use crate::clock::now_us;
use crate::fault::{self, Act, Part};
use crate::history::Past;
use crate::session_buddy::{CallError, SessionBuddy};
use crate::spool::{Envelope, Kind, Spool, is_files_fault, remove};

/// What became of one attempt.
pub(super) enum Verdict {
    /// The server has it, or nobody needs it any more.
    Done,
    /// Never.
    Dead(String),
    /// Later; the server may be at fault, or the event.
    Again(CallError),
}

/// A connection that works, and what it takes to deliver over it.
pub(super) struct Delivery<'a> {
    pub(super) shared: &'a Shared,
    pub(super) connection: &'a SessionBuddy,
}

impl Delivery<'_> {
    /// Delivers one event, and records on disk that the server has it before the event goes.
    pub(super) async fn deliver(&self, item: Item) -> Result<Verdict, Error> {
        let spool = &self.shared.spool;
        let stored = |error: io::Error| spool.refusal(&error.to_string());
        let path = spool.event_path(item.key, item.kind);
        let envelope = match Spool::read_json::<Envelope>(&path) {
            Ok(Some(envelope)) => envelope,
            Ok(None) => return Ok(Verdict::Done),
            Err(error) if is_files_fault(&error) => {
                return Ok(Verdict::Dead(format!("is no event any more: {error}")));
            }
            Err(error) => return Err(stored(error)),
        };
        let Some(mut session) = OpenSession::recover(spool, item.key).map_err(stored)? else {
            if item.kind == Kind::Start || spool.dead_path(item.key, Kind::Start).exists() {
                return Ok(Verdict::Dead("what was known of its session is gone".to_owned()));
            }
            // Known when the event was queued, over by now.
            return remove(&path, Part::Event).map_err(stored).map(|()| Verdict::Done);
        };
        let before = session.clone();
        let verdict = match item.kind {
            Kind::Start => self.deliver_start(&mut session).await,
            Kind::Gone | Kind::End => self.deliver_end(&mut session, &envelope, item.kind).await?,
        };
        if matches!(verdict, Verdict::Done) {
            if session != before && !session.is_open() {
                self.shared.history.add(&Past::new(&session, &envelope.wire));
            }
            session.save(spool).map_err(stored)?;
            remove(&path, Part::Event).map_err(stored)?;
            if session.is_forgettable(now_us()) {
                session.forget(spool).map_err(stored)?;
            }
        }
        Ok(verdict)
    }

    async fn deliver_start(&self, session: &mut OpenSession) -> Verdict {
        if session.session_id.is_some() {
            // An earlier agent delivered it and was killed before it could drop the file.
            return Verdict::Done;
        }
        if let Err(error) = fault::at(Part::Start, Act::Send) {
            return Verdict::Again(cut_off(&error));
        }
        let answer = self.connection.track_start(&session.wire).await;
        if let Err(error) = fault::at(Part::Start, Act::Answered) {
            return Verdict::Again(cut_off(&error));
        }
        match answer {
            Ok(session_id) => {
                self.shared.note(Note::Tracked(session.key, session_id.clone().into()));
                session.session_id = Some(session_id);
                Verdict::Done
            }
            Err(error) => Verdict::from(error),
        }
    }

    async fn deliver_end(
        &self,
        session: &mut OpenSession,
        envelope: &Envelope,
        kind: Kind,
    ) -> Result<Verdict, Error> {
        let spool = &self.shared.spool;
        let overtaken = kind == Kind::Gone && spool.event_path(session.key, Kind::End).exists();
        if session.done || overtaken {
            return Ok(Verdict::Done);
        }
        if session.session_id.is_none() {
            // The start was delivered, and the file that said so is lost: the start is sent again,
            // which a server recognises by its event id.
            match self.deliver_start(session).await {
                Verdict::Done => session.save(spool).map_err(|error| spool.refusal(&error.to_string()))?,
                other => return Ok(other),
            }
        }
        let session_id = session.session_id.as_deref().unwrap_or_default();
        let wire = match self.shared.sandbox.bind_session(&envelope.wire, session_id) {
            Ok(wire) => wire,
            Err(error) => return Ok(Verdict::Dead(format!("cannot be bound to the server's id: {error}"))),
        };
        if let Err(error) = fault::at(Part::End, Act::Send) {
            return Ok(Verdict::Again(cut_off(&error)));
        }
        let answer = self.connection.track_end(&wire).await;
        if let Err(error) = fault::at(Part::End, Act::Answered) {
            return Ok(Verdict::Again(cut_off(&error)));
        }
        Ok(match answer {
            Ok(()) => {
                match kind {
                    Kind::Gone => session.inferred_end_us = Some(now_us()),
                    _ => session.done = true,
                }
                Verdict::Done
            }
            Err(error) => Verdict::from(error),
        })
    }
}

impl From<CallError> for Verdict {
    fn from(error: CallError) -> Self {
        match error.outcome {
            Outcome::Refused => Self::Dead(error.message),
            _ => Self::Again(error),
        }
    }
}

/// What a planned fault on the wire looks like from here.
fn cut_off(error: &io::Error) -> CallError {
    CallError { outcome: Outcome::Unreachable, message: error.to_string(), retry_after_ms: None }
}
