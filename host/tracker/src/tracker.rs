//! The API of a shell's process: build the event in the sandbox, write one file, make sure that an
//! agent runs. No network, no lock, no directory scan.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, FixedOffset, SecondsFormat, Utc};
use shelltrack_sandbox::types::{EndContext, ExitReason, Policy, PreparedEvent, StartContext};
use shelltrack_sandbox::{Error as SandboxError, Sandbox};
use uuid::Uuid;

use crate::agent::{AgentCommand, ensure, inferred_end, is_missing};
use crate::metrics::emissions::{Emission, leave};
use crate::process::ProcessId;
use crate::spool::{Envelope, Kind, Opened, Refusal, Spool, watch_new};
use crate::{Error, StartLimit, Target, history, rate};

/// What a tracker needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Directory of spools, usually `$XDG_STATE_HOME/shelltrack`; the spool of this machine and pid
    /// namespace is made inside it.
    pub state_dir: PathBuf,
    /// Where events of sessions started now go.
    pub target: Target,
    /// What is redacted beyond the built-in rules.
    pub policy: Policy,
    /// How many sessions may begin.
    pub start_limit: StartLimit,
    /// How an agent is started; `None` leaves delivery to one that runs already.
    pub agent: Option<AgentCommand>,
}

/// How a shell ended, as its parent or it itself knows.
#[derive(Clone, Debug)]
pub struct ShellEnd {
    /// Exit status, 128 + signal for a killed one, where known.
    pub exit_status: Option<i32>,
    /// `Exited`, `Signaled` or `Unknown`.
    pub exit_reason: ExitReason,
    /// When.
    pub at: EndedAt,
}

/// When a shell ended.
#[derive(Clone, Copy, Debug)]
pub enum EndedAt {
    /// When this is recorded: whoever says so is the shell itself, or knows no better.
    Now,
    /// Then: it was waited for.
    Then(SystemTime),
    /// It was waited for by somebody who was stopped meanwhile. An end that the agent saw in between tells when.
    Between {
        /// The shell lived then.
        lived: SystemTime,
        /// It was over then.
        over: SystemTime,
    },
}

/// Records shells in the spool of this user and machine.
pub struct Tracker {
    pub(crate) config: Config,
    pub(crate) spool: Spool,
    sandbox: Arc<Sandbox>,
}

/// How the spool takes an event: `false` when the session has it already.
type Accept = fn(&Spool, &Envelope, Kind) -> Result<bool, Error>;

/// An open session.
pub struct Session<'a> {
    tracker: &'a Tracker,
    key: Uuid,
    key_text: String,
    started_at: Option<String>,
}

impl Tracker {
    /// Opens (and makes, 0700) the spool.
    pub fn open(config: Config, sandbox: Arc<Sandbox>) -> Result<Self, Error> {
        let spool = Spool::open(&config.state_dir)?;
        Ok(Self { config, spool, sandbox })
    }

    /// What [`Self::start`] would refuse, without recording anything.
    pub fn check(&self, context: &StartContext) -> Result<(), Error> {
        self.build_start(context).map(drop)
    }

    /// Records that a shell opened. The event is durable when this returns.
    ///
    /// `context.correlation_id`, where given, becomes the session's key; otherwise one is made.
    pub fn start(&self, context: StartContext) -> Result<Session<'_>, Error> {
        self.open_session(context, Spool::accept)
    }

    /// As [`Self::start`], without waiting until the disk confirms it: the event outlives this process, and until
    /// [`Session::force`] is done a loss of power may cost it.
    pub fn start_unforced(&self, context: StartContext) -> Result<Session<'_>, Error> {
        self.open_session(context, Spool::accept_unforced)
    }

    fn open_session(&self, context: StartContext, accept: Accept) -> Result<Session<'_>, Error> {
        let began = Instant::now();
        let session = self.record_start(context, accept);
        self.count(Emission::Start, session.as_ref().err(), began);
        // A spool that is full is emptied by an agent, and there may be none.
        if matches!(session, Ok(_) | Err(Error::SpoolFull { .. })) {
            self.wake_agent();
        }
        session
    }

    fn record_start(&self, mut context: StartContext, accept: Accept) -> Result<Session<'_>, Error> {
        let key_text = context.correlation_id.get_or_insert_with(|| Uuid::new_v4().to_string()).clone();
        let prepared = self.build_start(&context)?;
        // The component accepted it as a UUID v4, so this cannot fail with the standard one.
        let key = Uuid::try_parse(&key_text).map_err(|_| Error::UnknownSession(key_text.clone()))?;
        self.admit_start()?;
        let started_at = Some(prepared.timestamp.clone());
        let opened = Opened { target: self.config.target.clone(), process: ProcessId::of(context.pid) };
        accept(&self.spool, &Envelope::new(key, prepared, Some(opened)), Kind::Start)?;
        Ok(Session { tracker: self, key, key_text: key.to_string(), started_at })
    }

    /// The session of that key, which was accepted here earlier.
    pub fn session(&self, key: &str) -> Result<Session<'_>, Error> {
        let unknown = || Error::UnknownSession(key.chars().filter(|c| !c.is_control()).take(64).collect());
        let uuid = Uuid::try_parse(key).map_err(|_| unknown())?;
        if !self.spool.knows(uuid) {
            return Err(unknown());
        }
        Ok(Session { tracker: self, key: uuid, key_text: uuid.to_string(), started_at: None })
    }

    /// Whether a session of that key ended here and was delivered not long ago (the history keeps some
    /// thousand): another end of it changes nothing. Reads a file of up to a few megabytes.
    #[must_use]
    pub fn ended_lately(&self, key: &str) -> bool {
        let Ok(key) = Uuid::try_parse(key) else { return false };
        history::read(&self.spool).is_ok_and(|past| past.iter().any(|past| past.key == key))
    }

    /// Leaves word that the start with this key was refused, for whoever else is told the key: see
    /// [`Self::session_soon`]. Holds for as long as the answer is kept, and for an hour at least when this
    /// process is killed. `None` where nothing can be left.
    #[must_use]
    pub fn leave_word_of_refusal(&self, key: &str) -> Option<Refusal> {
        Uuid::try_parse(key).ok().and_then(|key| self.spool.leave_word_of_refusal(key))
    }

    /// Whether such word was left.
    #[must_use]
    pub fn is_refused(&self, key: &str) -> bool {
        Uuid::try_parse(key).is_ok_and(|key| self.spool.is_refused(key))
    }

    /// As [`Self::session`], for a start that may be on its way: it is given `patience`, unless word was left that
    /// it was refused.
    pub fn session_soon(&self, key: &str, patience: Duration) -> Result<Session<'_>, Error> {
        /// Between two looks, besides being told: a notification may be lost.
        const LOOK: Duration = Duration::from_millis(50);
        let deadline = Instant::now() + patience;
        let found = self.session(key);
        if patience.is_zero() || !matches!(found, Err(Error::UnknownSession(_))) {
            return found;
        }
        let (seen, arrivals) = mpsc::channel();
        let _watcher = watch_new(&self.spool, move |_| {
            // Nobody listens any more once it is found.
            _ = seen.send(());
        });
        loop {
            let found = self.session(key);
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.is_refused(key) || !matches!(found, Err(Error::UnknownSession(_))) {
                return found;
            }
            let wait = left.min(LOOK);
            if arrivals.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected) {
                std::thread::sleep(wait);
            }
        }
    }

    /// Refuses a start that is one too many. The ends of accepted starts are never refused.
    fn admit_start(&self) -> Result<(), Error> {
        self.spool.admit_start()?;
        let StartLimit { burst, per_second } = self.config.start_limit;
        match rate::admit(&self.spool.root().join("rate"), self.config.start_limit, SystemTime::now()) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::TooManyStarts { burst, per_second }),
            Err(error) => {
                // A limit that cannot be kept is none: the disk itself will say what is wrong.
                tracing::warn!(%error, "the number of starts is not limited");
                Ok(())
            }
        }
    }

    /// Leaves a record for the agent's counters. What a caller did wrong is not counted.
    fn count(&self, accepted: Emission, failed: Option<&Error>, began: Instant) {
        let emission = match failed {
            None => accepted,
            Some(Error::SpoolFull { .. }) => Emission::SpoolFull,
            Some(Error::TooManyStarts { .. }) => Emission::RateLimit,
            Some(Error::Sandbox(_)) => Emission::Component,
            Some(Error::Spool { .. }) => Emission::Storage,
            Some(Error::Rejected(_) | Error::UnknownSession(_) | Error::NoDeadLetter(_)) => return,
        };
        leave(&self.spool, emission, began.elapsed());
    }

    fn build_start(&self, context: &StartContext) -> Result<PreparedEvent, Error> {
        self.sandbox.build_start(context, &self.config.policy).map_err(Error::from)
    }

    /// Starts an agent where something is left to do and none is there, as after one was killed while shells
    /// sit idle: what waits, and what is open. `true` when one was missing.
    ///
    /// # Errors
    /// [`Error::Spool`] when the spool cannot be read.
    pub fn revive_agent(&self) -> Result<bool, Error> {
        let is_needed = || {
            let waiting = self.spool.waiting().map_err(|error| self.unreadable(&error))?;
            Ok::<_, Error>(!waiting.is_empty() || self.open_sessions()? > 0)
        };
        let is_missing = is_missing(&self.spool) && is_needed()?;
        if is_missing {
            self.wake_agent();
        }
        Ok(is_missing)
    }

    /// Makes sure that an agent runs. That none could be started is no error of the event, which is
    /// safe; the next call tries again, and `status` tells.
    pub(crate) fn wake_agent(&self) {
        if let Some(command) = &self.config.agent
            && let Err(error) = ensure(&self.spool, command)
        {
            tracing::warn!(%error, "no agent could be started");
        }
    }
}

impl Session<'_> {
    /// The local key: a UUID v4.
    pub fn key(&self) -> &str {
        &self.key_text
    }

    /// Starts an agent while the session is open and none is there: one that was killed leaves nobody who tells
    /// the server that the shell lives, or that it is gone. A look at a file or two.
    pub fn watch_over_agent(&self) {
        // A spool that was removed is not made anew for a session that went with it.
        if self.tracker.spool.knows(self.key) && is_missing(&self.tracker.spool) {
            self.tracker.wake_agent();
        }
    }

    /// Records that the shell ended. The event is durable when this returns. A second end of the
    /// same session changes nothing.
    pub fn end(self, end: ShellEnd) -> Result<(), Error> {
        self.close(end, Spool::accept)
    }

    /// As [`Self::end`], without waiting until the disk confirms it: see [`Tracker::start_unforced`].
    pub fn end_unforced(&self, end: ShellEnd) -> Result<(), Error> {
        self.close(end, Spool::accept_unforced)
    }

    /// Waits until the disk confirms what was recorded of the session; what is delivered already needs no more.
    ///
    /// # Errors
    /// [`Error::Spool`] when it does not: the events are there for everybody who looks, and may not be for long.
    pub fn force(&self) -> Result<(), Error> {
        self.tracker.spool.force(self.key)
    }

    fn close(&self, end: ShellEnd, accept: Accept) -> Result<(), Error> {
        let (tracker, began) = (self.tracker, Instant::now());
        match self.build_end(end).and_then(|event| accept(&tracker.spool, &event, Kind::End)) {
            Ok(true) => tracker.count(Emission::End, None, began),
            // It has an end already.
            Ok(false) => {}
            Err(error) => {
                tracker.count(Emission::End, Some(&error), began);
                return Err(error);
            }
        }
        tracker.wake_agent();
        Ok(())
    }

    fn build_end(&self, end: ShellEnd) -> Result<Envelope, Error> {
        let mut timestamp = self.time_of(end.at);
        // The clock may have been set back since the start.
        if timestamp.is_some() && parse(timestamp.as_deref()) < parse(self.started_at.as_deref()) {
            timestamp.clone_from(&self.started_at);
        }
        let context = EndContext {
            exit_status: end.exit_status,
            exit_reason: end.exit_reason,
            metadata: String::new(),
            correlation_id: Some(self.key_text.clone()),
            started_at: self.started_at.clone(),
            event_id: None,
            timestamp,
        };
        let prepared = self.tracker.sandbox.build_end(&context, &self.tracker.config.policy)?;
        Ok(Envelope::new(self.key, prepared, None))
    }

    /// RFC 3339; `None` for now.
    fn time_of(&self, at: EndedAt) -> Option<String> {
        match at {
            EndedAt::Now => None,
            EndedAt::Then(over) => Some(rfc3339(over)),
            EndedAt::Between { lived, over } => {
                let inferred = inferred_end(&self.tracker.spool, self.key);
                let seen = parse(inferred.as_deref()).map(SystemTime::from);
                Some(rfc3339(seen.map_or(over, |seen| seen.max(lived).min(over))))
            }
        }
    }
}

fn parse(time: Option<&str>) -> Option<DateTime<FixedOffset>> {
    DateTime::parse_from_rfc3339(time?).ok()
}

fn rfc3339(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Micros, true)
}

impl From<SandboxError> for Error {
    fn from(error: SandboxError) -> Self {
        match error {
            SandboxError::Rejected(violations) => Self::Rejected(violations),
            other => Self::Sandbox(other),
        }
    }
}
