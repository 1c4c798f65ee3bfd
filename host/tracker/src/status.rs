//! The emitting side seen from outside: what waits, what is open, how the targets are.

use std::fs::Metadata;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::agent::Presence;
use crate::clock::now_ms;
use crate::fault::Part;
use crate::metrics::{Metrics, Refused};
use crate::session_buddy::Offers;
use crate::spool::{BYTES_MAX, EVENTS_MAX, Spool};
use crate::{Error, Target, Tracker, Unserved, orders};

/// One target as the agent last saw it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetStatus {
    /// The target.
    pub target: Target,
    /// Breaker phase: `closed`, `open`, `half-open`, `forced-open`, `disabled`.
    pub breaker: String,
    /// What the last attempt said, where it failed; cleaned.
    pub last_error: Option<String>,
    /// When it will be tried again, milliseconds since 1970.
    pub retry_at_ms: Option<u64>,
    /// Since when it does not answer, milliseconds since 1970; `None` while it does.
    #[serde(default)]
    pub unreachable_since_ms: Option<u64>,
    /// When something was last delivered, milliseconds since 1970.
    pub last_delivery_ms: Option<u64>,
    /// Name and version the server gave.
    pub server: Option<String>,
    /// Tools it offers; `None` while never asked.
    pub tools: Option<Vec<String>>,
    /// One plain line when the server lacks the tracking tools or refuses us.
    pub needs_attention: Option<String>,
}

impl TargetStatus {
    pub(crate) fn load(spool: &Spool, target: &Target) -> Self {
        Spool::read_json(&Self::path(spool, target)).ok().flatten().unwrap_or_else(|| Self {
            target: target.clone(),
            breaker: "closed".to_owned(),
            last_error: None,
            retry_at_ms: None,
            unreachable_since_ms: None,
            last_delivery_ms: None,
            server: None,
            tools: None,
            needs_attention: None,
        })
    }

    pub(crate) fn save(&self, spool: &Spool) -> io::Result<()> {
        spool.replace_json(&Self::path(spool, &self.target), self, Part::Status)
    }

    /// Makes a target known of which nothing is known yet.
    pub(crate) fn remember(spool: &Spool, target: &Target) -> io::Result<()> {
        if Self::path(spool, target).exists() { Ok(()) } else { Self::load(spool, target).save(spool) }
    }

    /// As it is once an agent has obeyed: an order that none has obeyed yet counts as if one had.
    pub(crate) fn with_order(mut self, spool: &Spool) -> Self {
        if let Some(order) = orders::waiting(spool, &self.target) {
            order.phase_name().clone_into(&mut self.breaker);
        }
        self
    }

    fn path(spool: &Spool, target: &Target) -> PathBuf {
        spool.root().join(format!("target-{}.json", target.id()))
    }

    /// Whether what needs attention is that it offered no tracking tools: that a later look at them settles,
    /// while one that refuses calls may tell its tools to anybody.
    #[must_use]
    pub fn lacked_tools(&self) -> bool {
        let offers = |tools: &Vec<String>| Offers { server: String::new(), tools: tools.clone() };
        let lacked = self.tools.as_ref().is_some_and(|tools| !offers(tools).tracks());
        lacked && self.needs_attention.is_some() && self.needs_attention != self.last_error
    }

    /// Whether a person holds its breaker open.
    #[must_use]
    pub fn is_held_open(&self) -> bool {
        self.breaker == "forced-open"
    }
}

/// The emitting side at a glance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// The spool directory.
    pub spool: PathBuf,
    /// Where new sessions go.
    pub target: Target,
    /// Pid of the agent, while one runs.
    pub agent_pid: Option<u32>,
    /// When it last said that it is there, milliseconds since 1970, where it is stopped or says nothing for
    /// clearly longer than it should.
    pub agent_silent_since_ms: Option<u64>,
    /// Its version.
    pub agent_version: Option<String>,
    /// Events waiting.
    pub queued: u64,
    /// Their size together, bytes.
    pub queued_bytes: u64,
    /// Waiting events at which a start is refused.
    pub queued_max: u64,
    /// Waiting bytes at which a start is refused.
    pub queued_bytes_max: u64,
    /// When the oldest of them was accepted, milliseconds since 1970.
    pub oldest_queued_ms: Option<u64>,
    /// When something was last delivered to any target, milliseconds since 1970.
    pub last_delivery_ms: Option<u64>,
    /// Sessions open.
    pub open_sessions: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Dead letters that were removed because they were too many or too old, since the spool was made.
    pub dead_letters_removed: u64,
    /// When that last happened, milliseconds since 1970.
    pub last_removed_ms: Option<u64>,
    /// Things found in the spool that are not ours or damaged, and set aside with the reason.
    pub set_aside: u64,
    /// What was not recorded, by reason, since the spool was made.
    pub refused: Refused,
    /// When something was last refused, milliseconds since 1970.
    pub last_refused_ms: Option<u64>,
    /// Each target known.
    pub targets: Vec<TargetStatus>,
    /// Other spools in the state directory that have events and no agent.
    pub unserved: Vec<Unserved>,
}

impl Tracker {
    /// The emitting side at a glance.
    ///
    /// # Errors
    /// [`Error::Spool`] when it cannot be read.
    pub fn status(&self) -> Result<Status, Error> {
        let unreadable = |error: io::Error| self.unreadable(&error);
        let waiting = self.spool.waiting().map_err(unreadable)?;
        // What is delivered while we look does not count.
        let files =
            waiting.iter().filter_map(|&(key, kind)| self.spool.event_path(key, kind).metadata().ok());
        let files: Vec<Metadata> = files.collect();
        let presence = Presence::current(&self.spool);
        let metrics = self.metrics();
        let targets = self.targets().map_err(unreadable)?;
        Ok(Status {
            spool: self.spool.root().to_owned(),
            target: self.config.target.clone(),
            agent_pid: presence.as_ref().map(|presence| presence.process.pid),
            agent_silent_since_ms: presence.as_ref().and_then(|agent| agent.silent_since_ms(now_ms())),
            agent_version: presence.map(|presence| presence.version),
            queued: files.len() as u64,
            queued_bytes: files.iter().map(Metadata::len).sum(),
            queued_max: EVENTS_MAX,
            queued_bytes_max: BYTES_MAX,
            oldest_queued_ms: files.iter().filter_map(modified_ms).min(),
            last_delivery_ms: targets.iter().filter_map(|target| target.last_delivery_ms).max(),
            open_sessions: self.open_sessions()?,
            dead_letters: self.spool.dead_letters().map_err(unreadable)?.len() as u64,
            dead_letters_removed: metrics.dead_letters_removed,
            last_removed_ms: metrics.last_removed_ms,
            set_aside: self.spool.count_set_aside(),
            refused: metrics.refused,
            last_refused_ms: metrics.last_refused_ms,
            targets,
            unserved: self.unserved(),
        })
    }

    /// Pid of an agent that lives and does nothing, and when it last said that it is there, milliseconds since
    /// 1970: see [`Status::agent_silent_since_ms`].
    #[must_use]
    pub fn silent_agent(&self) -> Option<(u32, u64)> {
        let agent = Presence::current(&self.spool)?;
        Some((agent.process.pid, agent.silent_since_ms(now_ms())?))
    }

    /// Whether an event could be stored now: that is tried.
    ///
    /// # Errors
    /// [`Error::Spool`] with the reason when it could not.
    pub fn check_disk(&self) -> Result<(), Error> {
        self.spool.probe().map_err(|error| self.spool.refusal(&error.to_string()))
    }

    /// The counters of the emitting side.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        Metrics::now(&self.spool)
    }

    /// Every target known, as the agent last saw it.
    fn targets(&self) -> io::Result<Vec<TargetStatus>> {
        let mut names = self.spool.names(".")?;
        names.retain(|name| name.starts_with("target-") && name.ends_with(".json"));
        names.sort_unstable();
        let read = |name: &String| Spool::read_json(&self.spool.root().join(name)).ok().flatten();
        let targets = names.iter().filter_map(read);
        Ok(targets.map(|target: TargetStatus| target.with_order(&self.spool)).collect())
    }

    /// Whether a person holds the breaker of any target open.
    #[must_use]
    pub fn is_any_held_open(&self) -> bool {
        self.targets().is_ok_and(|targets| targets.iter().any(TargetStatus::is_held_open))
    }

    pub(crate) fn unreadable(&self, error: &io::Error) -> Error {
        self.spool.refusal(&format!("cannot be read: {error}"))
    }
}

/// When a file was written, milliseconds since 1970.
pub(crate) fn modified_ms(file: &Metadata) -> Option<u64> {
    let since = file.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}
