//! One event's way over one connection: what is sent, and what is remembered before the file goes.
//! When to try and what to do after a failure is the worker's business.

use std::io;

use futures_util::future::join_all;
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

/// An event that was tried, and what became of it. The error is the spool's.
pub(super) type Tried = (Item, Result<Verdict, Error>);

/// A connection that works, and what it takes to deliver over it.
pub(super) struct Delivery<'a> {
    pub(super) shared: &'a Shared,
    pub(super) connection: &'a SessionBuddy,
}

/// What was sent of one session, and is not kept on disk yet.
#[derive(Default)]
struct Sent {
    tried: Vec<Tried>,
    /// The session as it is by now, where it is known.
    session: Option<OpenSession>,
    /// It is not as it is on disk.
    is_news: bool,
    /// The server has its announced end.
    is_over: bool,
}

impl Sent {
    /// What is to be recorded of the session.
    fn news(&self) -> Option<&OpenSession> {
        self.session.as_ref().filter(|_| self.is_news && !self.is_over)
    }

    /// What came through.
    fn done(&mut self) -> impl Iterator<Item = &mut Tried> {
        self.tried.iter_mut().filter(|(_, verdict)| matches!(verdict, Ok(Verdict::Done)))
    }

    /// It came through, and that could not be kept.
    fn undo(&mut self, why: impl Fn() -> Error) {
        self.done().for_each(|(_, verdict)| *verdict = Err(why()));
    }
}

impl Delivery<'_> {
    /// Delivers events, those of one session in order and several sessions side by side, and records on disk
    /// that the server has them before the events go. An event whose predecessor did not get through is not
    /// tried, and not among those that are given back.
    pub(super) async fn deliver(&self, sessions: Vec<Vec<Item>>) -> Vec<Tried> {
        let mut sent = join_all(sessions.into_iter().map(|items| self.send_in_order(items))).await;
        self.keep_news(&mut sent);
        sent.into_iter().flat_map(|sent| self.settle(sent)).collect()
    }

    async fn send_in_order(&self, items: Vec<Item>) -> Sent {
        let mut sent = Sent::default();
        for item in items {
            let verdict = self.send(item, &mut sent).await;
            let goes_on = matches!(verdict, Ok(Verdict::Done));
            sent.tried.push((item, verdict));
            if !goes_on {
                break;
            }
        }
        sent
    }

    async fn send(&self, item: Item, sent: &mut Sent) -> Result<Verdict, Error> {
        let spool = &self.shared.spool;
        let envelope = match Spool::read_json::<Envelope>(&spool.event_path(item.key, item.kind)) {
            Ok(Some(envelope)) => envelope,
            Ok(None) => return Ok(Verdict::Done),
            Err(error) if is_files_fault(&error) => {
                return Ok(Verdict::Dead(format!("is no event any more: {error}")));
            }
            Err(error) => return Err(self.refusal(&error)),
        };
        if sent.session.is_none() {
            sent.session = OpenSession::recover(spool, item.key).map_err(|error| self.refusal(&error))?;
        }
        if sent.session.is_none() {
            if item.kind == Kind::Start || spool.has_letter(item.key, Kind::Start) {
                return Ok(Verdict::Dead("what was known of its session is gone".to_owned()));
            }
            if spool.event_path(item.key, Kind::Start).exists() {
                return Err(spool.refusal("the start of its session was queued again just now"));
            }
            // Known when the event was queued, over by now.
            return Ok(Verdict::Done);
        }
        match item.kind {
            Kind::Start => Ok(self.send_start(sent).await),
            Kind::Gone | Kind::End => self.send_end(sent, &envelope, item.kind).await,
        }
    }

    /// Records what the server told of sessions that go on; one that is over is not looked for again.
    fn keep_news(&self, sent: &mut [Sent]) {
        let sessions: Vec<_> = sent.iter().filter_map(Sent::news).collect();
        let kept = OpenSession::save_all(&self.shared.spool, &sessions);
        for (sent, kept) in sent.iter_mut().filter(|sent| sent.news().is_some()).zip(kept) {
            if let Err(error) = kept {
                // What the server has is sent again, and known again there.
                sent.undo(|| self.refusal(&error));
            }
        }
    }

    /// Removes the events that the server has.
    fn settle(&self, mut sent: Sent) -> Vec<Tried> {
        let spool = &self.shared.spool;
        if let Some(session) = sent.session.as_ref().filter(|_| sent.is_over) {
            if let Err(error) = session.forget(spool) {
                sent.undo(|| self.refusal(&error));
            }
            return sent.tried;
        }
        for (item, verdict) in sent.done() {
            if let Err(error) = remove(&spool.event_path(item.key, item.kind), Part::Event) {
                *verdict = Err(self.refusal(&error));
            }
        }
        sent.tried
    }

    fn refusal(&self, error: &io::Error) -> Error {
        self.shared.spool.refusal(&error.to_string())
    }

    async fn send_start(&self, sent: &mut Sent) -> Verdict {
        let Some(session) = sent.session.as_mut().filter(|session| session.session_id.is_none()) else {
            // An earlier agent delivered it and was killed before it could drop the file.
            return Verdict::Done;
        };
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
                sent.is_news = true;
                Verdict::Done
            }
            Err(error) => Verdict::from(error),
        }
    }

    async fn send_end(&self, sent: &mut Sent, envelope: &Envelope, kind: Kind) -> Result<Verdict, Error> {
        if kind == Kind::Gone && self.shared.spool.event_path(envelope.key, Kind::End).exists() {
            return Ok(Verdict::Done);
        }
        // The start was delivered, and the file that said so may be lost: then the start is sent again, which
        // a server recognises by its event id.
        match self.send_start(sent).await {
            Verdict::Done => {}
            other => return Ok(other),
        }
        let Some(session) = &mut sent.session else { return Ok(Verdict::Done) };
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
        if let Err(error) = answer {
            return Ok(Verdict::from(error));
        }
        match kind {
            Kind::Gone => {
                session.inferred_end_us = Some(now_us());
                session.inferred_end_at = Some(envelope.timestamp.clone());
                sent.is_news = true;
            }
            _ => sent.is_over = true,
        }
        self.shared.history.add(&Past::new(session, &envelope.wire));
        Ok(Verdict::Done)
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
