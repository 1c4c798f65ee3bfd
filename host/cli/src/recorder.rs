//! Records a session beside the command it belongs to: on a thread of its own, so that a slow disk
//! delays neither the command nor its signals. Whatever fails here is logged and nothing else.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use shelltrack_sandbox::Sandbox;
use shelltrack_sandbox::types::StartContext;
use shelltrack_tracker::{Error, ShellEnd, Tracker};

use crate::config::Settings;

/// How long the end of a command may wait for its record to be on disk: far more than a busy disk takes, and
/// less than a person takes for a hang.
const RECORD_MAX: Duration = Duration::from_secs(4);

/// How long it may wait after that for a record that is not forced to disk.
const UNFORCED_MAX: Duration = Duration::from_secs(1);

/// How often is looked whether an agent is there: one that was killed is to be replaced before the lease of
/// its sessions is over (180 s).
const LOOK: Duration = Duration::from_secs(60);

/// One session being recorded.
pub(crate) struct Recorder {
    ends: Sender<ShellEnd>,
    /// What a person is told of: this session was one too many.
    refused: Receiver<Error>,
    begun: Arc<OnceLock<Begun>>,
    state_dir: PathBuf,
}

/// What is recorded, and where.
struct Begun {
    tracker: Tracker,
    context: StartContext,
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
        let (tell_refused, refused) = channel();
        let (begun, state_dir) = (Arc::new(OnceLock::new()), settings.state_dir.clone());
        let begins = begun.clone();
        let recording = thread::Builder::new().name("recorder".to_owned()).spawn(move || {
            let recorded = settings.tracker(sandbox).and_then(|tracker| {
                let begun = begins.get_or_init(|| Begun { tracker, context: context() });
                begun.record(&wait_for_end, &tell_refused)
            });
            if let Err(error) = recorded {
                tracing::warn!(%error, "the session is not recorded");
            }
        });
        if let Err(error) = recording {
            tracing::warn!(%error, "the session is not recorded");
        }
        Self { ends, refused, begun, state_dir }
    }

    /// Records the end, and returns when it is durable or cannot be, or takes too long: with the reason when
    /// the session was one too many, or may be lost.
    pub(crate) fn end(self, end: ShellEnd) -> Option<Error> {
        // That the thread does not take it means that it is done already. It closes the channel when it is.
        drop(self.ends.send(end.clone()));
        match self.refused.recv_timeout(RECORD_MAX) {
            Ok(refused) => Some(refused),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => self.end_unforced(end),
        }
    }

    /// The disk is too slow: what it was told and did not confirm outlives us, who cannot wait.
    fn end_unforced(self, end: ShellEnd) -> Option<Error> {
        let Self { begun, state_dir, .. } = self;
        let (tell, told) = channel();
        // A disk that does not answer at all is not waited for either.
        let recording = thread::Builder::new().name("in a hurry".to_owned()).spawn(move || {
            let recorded = begun.get().map(|begun| begun.tracker.record_unforced(&begun.context, end));
            // Nobody listens any more when that took too long as well.
            drop(tell.send(recorded));
        });
        let recorded = recording.ok().and_then(|_| told.recv_timeout(UNFORCED_MAX).ok().flatten());
        let too_slow = || {
            let seconds = (RECORD_MAX + UNFORCED_MAX).as_secs();
            let reason = format!("not recorded: the disk did not take it within {seconds} s");
            Error::Spool { path: state_dir, reason }
        };
        let failed = recorded.unwrap_or_else(|| Err(too_slow())).err();
        failed.inspect(|error| tracing::warn!(%error, "the session is not recorded"))
    }
}

impl Begun {
    fn record(&self, ends: &Receiver<ShellEnd>, refused: &Sender<Error>) -> Result<(), Error> {
        let session = match self.tracker.start(self.context.clone()) {
            Ok(session) => session,
            Err(error @ (Error::TooManyStarts { .. } | Error::SpoolFull { .. })) => {
                let key = self.context.correlation_id.as_deref().unwrap_or_default();
                let word = self.tracker.leave_word_of_refusal(key);
                tracing::warn!(%error, "the session is not recorded");
                // Kept until the command is over: it may ask.
                drop(ends.recv());
                drop(word);
                // Nobody listens any more when the command ended long ago.
                drop(refused.send(error));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        loop {
            match ends.recv_timeout(LOOK) {
                Ok(end) => return session.end(end),
                Err(RecvTimeoutError::Timeout) => session.watch_over_agent(),
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }
}
