//! The way of a dead letter back into the queue, and out of the spool. A person's order may be killed at any
//! instruction, while an agent delivers what is queued and writes new letters of the same names: so a letter
//! is taken out of the way first, only one command at a time does that, and what a killed one began is
//! finished by whoever comes next.

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use serde_json::Value;
use uuid::Uuid;

use super::dead::discard_raw;
use super::{Letter, OpenSession, lock};
use crate::clock::now_us;
use crate::fault::Part;
use crate::spool::{Envelope, FORMAT, Kind, Spool, remove};

/// Held (flock) by whoever writes letters, queues them again or drops them.
const LOCK: &str = "letters.lock";
/// How long a command waits for another one: longer than one session's letters take on a slow disk.
pub(crate) const PATIENCE_OF_A_PERSON: Duration = Duration::from_secs(10);
/// How long the agent waits, which has other things to do and comes back to it.
pub(super) const PATIENCE_OF_THE_AGENT: Duration = Duration::from_millis(500);
/// How often it looks: a command that goes from session to session lets go for a moment only.
const LOOK: Duration = Duration::from_millis(1);

/// The right to deal with dead letters, until it is dropped.
///
/// # Errors
/// `TimedOut` when somebody else has it for that long.
pub(crate) fn hold(spool: &Spool, patience: Duration) -> io::Result<File> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(held) = lock::try_lock(spool, LOCK)? {
            return Ok(held);
        }
        if Instant::now() > deadline {
            let reason = "somebody else deals with dead letters, and does not end";
            return Err(io::Error::new(io::ErrorKind::TimedOut, reason));
        }
        std::thread::sleep(LOOK);
    }
}

/// Finishes what somebody began who was killed: queues the letters again that were taken for that, puts back
/// those that were about to be dropped, and takes out of the queue what is a letter already. Leaves those
/// alone who are at it. `true` when something is queued again.
pub(crate) fn finish_interrupted(spool: &Spool) -> io::Result<bool> {
    if spool.letters_under_way()?.is_empty() {
        return Ok(false);
    }
    let Some(_held) = lock::try_lock(spool, LOCK)? else { return Ok(false) };
    let begun = spool.letters_under_way()?;
    for (key, kind) in &begun.written {
        finish_burying(spool, *key, *kind)?;
    }
    for (key, kind) in &begun.dropped {
        spool.put_letter_back(*key, *kind)?;
    }
    let mut queued = false;
    for (key, kind) in begun.again {
        match finish(spool, key, kind) {
            Ok(()) => queued = true,
            // It stays a letter, and the next one is not to wait for it.
            Err(error) => tracing::warn!(%error, %key, "a letter is not queued again yet"),
        }
    }
    Ok(queued)
}

/// Queues an event again whose letter this is; `false` when it is gone. To be called while [`hold`] is held.
pub(crate) fn queue(spool: &Spool, key: Uuid, kind: Kind) -> io::Result<bool> {
    let again = spool.again_path(key, kind);
    if !again.exists() && !spool.take_letter(key, kind, &again, Part::Again)? {
        return Ok(false);
    }
    finish(spool, key, kind).map(|()| true)
}

/// Removes a letter, unless it is another one by now; `false` when it is gone. To be called while [`hold`] is
/// held.
pub(crate) fn drop_letter(spool: &Spool, key: Uuid, kind: Kind, meant: &Letter) -> io::Result<bool> {
    let (dropped, again) = (spool.dropped_path(key, kind), spool.again_path(key, kind));
    if again.exists() {
        // A killed retry left it, and no letter was there then.
        return remove(&again, Part::Drop).map(|()| true);
    }
    let is_taken = spool.take_letter(key, kind, &dropped, Part::Drop)?;
    let taken = Spool::read_json::<Letter>(&dropped).ok().flatten();
    if taken.is_some_and(|taken| taken.dead_us != meant.dead_us) {
        return spool.put_letter_back(key, kind).map(|()| false);
    }
    let is_there = is_taken || spool.raw_path(key, kind).symlink_metadata().is_ok();
    discard_raw(spool, key, kind)?;
    remove(&dropped, Part::Drop).map(|()| is_there)
}

/// An event whose letter was written, and that did not leave the queue: delivered now, it would be both.
fn finish_burying(spool: &Spool, key: Uuid, kind: Kind) -> io::Result<()> {
    let waiting = spool.event_path(key, kind);
    let letter = Spool::read_json::<Letter>(&spool.dead_path(key, kind)).ok().flatten();
    let event = Spool::read_json::<Envelope>(&waiting).ok().flatten();
    let is_same = letter.zip(event).is_some_and(|(letter, event)| {
        envelope(key, &letter.event).is_some_and(|dead| dead.event_id == event.event_id)
    });
    if is_same { remove(&waiting, Part::Event) } else { Ok(()) }
}

/// From a letter that was taken to an event that waits. What is there says how far that came.
fn finish(spool: &Spool, key: Uuid, kind: Kind) -> io::Result<()> {
    let again = spool.again_path(key, kind);
    let Some(found) = Spool::read_json::<Value>(&again)? else { return Ok(()) };
    if let Ok(letter) = serde_json::from_value::<Letter>(found) {
        let envelope = envelope(key, &letter.event);
        let envelope =
            envelope.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "holds no event"))?;
        remember(spool, key, kind, letter.session.as_ref())?;
        // Accepted anew: one that was given up for its age is not to be given up again at once.
        spool.replace_json(&again, &Envelope { accepted_us: now_us(), ..envelope }, Part::Again)?;
    }
    spool.readmit(key, kind)
}

/// The event in a letter, where it is one of this version and this session.
pub(crate) fn envelope(key: Uuid, event: &Value) -> Option<Envelope> {
    let envelope = serde_json::from_value::<Envelope>(event.clone()).ok()?;
    (envelope.format == FORMAT && envelope.key == key).then_some(envelope)
}

/// Puts back what the agent forgot when it gave up an end: without the server's id of the session the end
/// would be taken for a second one of a session that is over.
fn remember(spool: &Spool, key: Uuid, kind: Kind, session: Option<&OpenSession>) -> io::Result<()> {
    // In this order: an agent may just be giving it up.
    let start_is_here = spool.event_path(key, Kind::Start).exists() || spool.has_letter(key, Kind::Start);
    if kind == Kind::Start || start_is_here || OpenSession::load(spool, key)?.is_some() {
        return Ok(());
    }
    session.map_or(Ok(()), |session| session.save(spool))
}
