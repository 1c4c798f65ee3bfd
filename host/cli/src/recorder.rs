//! Records a session beside the command it belongs to: on threads of its own, so that a slow disk
//! delays neither the command nor its signals. Whatever fails here is logged and nothing else.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use shelltrack_sandbox::Sandbox;
use shelltrack_sandbox::types::StartContext;
use shelltrack_tracker::{Error, Session, ShellEnd, Tracker};

use crate::config::Settings;

/// How long the end of a command may wait until its record is on disk: far more than a busy disk takes, and
/// less than a person takes for a hang. What is there by then outlives us all the same.
const RECORD_MAX: Duration = Duration::from_secs(5);

/// How often is looked whether an agent is there: one that was killed is to be replaced before the lease of
/// its sessions is over (180 s).
const LOOK: Duration = Duration::from_secs(60);

/// One session being recorded.
pub(crate) struct Recorder {
    ends: Sender<ShellEnd>,
    told: Receiver<Told>,
    state_dir: PathBuf,
}

/// What the recorder tells about the session, until it is done.
enum Told {
    /// Both events are there, for everybody but a loss of power.
    Recorded,
    /// What a person is told of.
    Failed(Error),
}

impl Recorder {
    /// Records the start. `context` is gathered on the recorder's thread, since looking up a user may
    /// take its time.
    pub(crate) fn start(
        settings: Settings,
        sandbox: Arc<Sandbox>,
        context: impl FnOnce() -> StartContext + Send + 'static,
    ) -> Self {
        let (ends, wait_for_end) = channel();
        let (tell, told) = channel();
        let state_dir = settings.state_dir.clone();
        let recording = named().spawn(move || {
            let recorded = settings.tracker(sandbox);
            if let Err(error) = recorded.and_then(|tracker| record(&tracker, context(), &wait_for_end, &tell))
            {
                tracing::warn!(%error, "the session is not recorded");
            }
        });
        if let Err(error) = recording {
            tracing::warn!(%error, "the session is not recorded");
        }
        Self { ends, told, state_dir }
    }

    /// Records the end, and returns when it is durable or cannot be, or takes too long: with the reason when
    /// the session was one too many, or may be lost.
    pub(crate) fn end(self, end: ShellEnd) -> Option<Error> {
        let deadline = Instant::now() + RECORD_MAX;
        // That the thread does not take it means that it is done already. It closes the channel when it is.
        drop(self.ends.send(end));
        let mut is_recorded = false;
        loop {
            match self.told.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Told::Recorded) => is_recorded = true,
                Ok(Told::Failed(error)) => return Some(error),
                Err(RecvTimeoutError::Timeout) if !is_recorded => {
                    let seconds = RECORD_MAX.as_secs();
                    let reason = format!("not recorded: the disk did not take it within {seconds} s");
                    return Some(Error::Spool { path: self.state_dir, reason });
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
    }
}

fn named() -> thread::Builder {
    thread::Builder::new().name("recorder".to_owned())
}

/// Start and end, each there at once and on disk as soon as that can be.
fn record(
    tracker: &Tracker,
    context: StartContext,
    ends: &Receiver<ShellEnd>,
    tell: &Sender<Told>,
) -> Result<(), Error> {
    let key = context.correlation_id.clone().unwrap_or_default();
    let session = match tracker.start_unforced(context) {
        Ok(session) => session,
        Err(error) => {
            // Kept until the command is over: it may ask.
            let word = tracker.leave_word_of_refusal(&key);
            tracing::warn!(%error, "the session is not recorded");
            drop(ends.recv());
            // Before anybody is told: then this process ends.
            drop(word);
            if matches!(error, Error::TooManyStarts { .. } | Error::SpoolFull { .. }) {
                // Nobody listens any more when the command ended long ago.
                drop(tell.send(Told::Failed(error)));
            }
            return Ok(());
        }
    };
    thread::scope(|scope| {
        // Not here: a disk may take longer for the start than the command runs.
        let forcing = named().spawn_scoped(scope, || session.force());
        wait_for_end(&session, ends)?;
        drop(tell.send(Told::Recorded));
        if let Ok(forcing) = forcing {
            drop(forcing.join());
        }
        // The start as well, where that did not succeed.
        if let Err(error) = session.force() {
            tracing::warn!(%error, "the session may be lost");
            drop(tell.send(Told::Failed(error)));
        }
        Ok(())
    })
}

fn wait_for_end(session: &Session<'_>, ends: &Receiver<ShellEnd>) -> Result<(), Error> {
    loop {
        match ends.recv_timeout(LOOK) {
            Ok(end) => return session.end_unforced(end),
            Err(RecvTimeoutError::Timeout) => session.watch_over_agent(),
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}
