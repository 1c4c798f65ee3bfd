//! Records a session beside the command it belongs to: on a thread of its own, so that a slow disk
//! delays neither the command nor its signals. Whatever fails here is logged and nothing else.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use shelltrack_sandbox::Sandbox;
use shelltrack_sandbox::types::StartContext;
use shelltrack_tracker::{Error, ShellEnd};

use crate::config::Settings;

/// How long the end of a command may wait for its record: far more than a busy disk takes, and less
/// than a person takes for a hang. After that the agent sees to the end.
const RECORD_MAX: Duration = Duration::from_secs(5);

/// How often is looked whether an agent is there: one that was killed is to be replaced before the lease of
/// its sessions is over (180 s).
const LOOK: Duration = Duration::from_secs(60);

/// One session being recorded.
pub(crate) struct Recorder {
    ends: Sender<ShellEnd>,
    /// The one thing a person is told of: this session was one too many.
    refused: Receiver<Error>,
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
        let recording = thread::Builder::new().name("recorder".to_owned()).spawn(move || {
            if let Err(error) = record(&settings, sandbox, context(), &wait_for_end) {
                tracing::warn!(%error, "the session is not recorded");
                if matches!(error, Error::TooManyStarts { .. } | Error::SpoolFull { .. }) {
                    // Nobody listens any more when the command ended long ago.
                    drop(tell_refused.send(error));
                }
            }
        });
        if let Err(error) = recording {
            tracing::warn!(%error, "the session is not recorded");
        }
        Self { ends, refused }
    }

    /// Records the end, and returns when it is durable or cannot be: with the reason when the session
    /// was one too many.
    pub(crate) fn end(self, end: ShellEnd) -> Option<Error> {
        // That the thread does not take it means that it is done already. It closes the channel when it is.
        drop(self.ends.send(end));
        self.refused.recv_timeout(RECORD_MAX).ok()
    }
}

fn record(
    settings: &Settings,
    sandbox: Arc<Sandbox>,
    context: StartContext,
    ends: &Receiver<ShellEnd>,
) -> Result<(), Error> {
    let tracker = settings.tracker(sandbox)?;
    let session = tracker.start(context)?;
    loop {
        match ends.recv_timeout(LOOK) {
            Ok(end) => return session.end(end),
            Err(RecvTimeoutError::Timeout) => session.watch_over_agent(),
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}
