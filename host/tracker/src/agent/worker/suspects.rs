//! Whose fault it is when an event does not get through: whether others do decides that. Who failed steps
//! behind the others, and the failure counts against the event once another one got through after it, since
//! then the server was well. What fails while nothing gets through counts against nobody. Keeps times and
//! turns; calls no server and buries nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use shelltrack_sandbox::types::Outcome;
use tokio::time::Instant;
use uuid::Uuid;

use super::super::Item;
use crate::session_buddy::CallError;

/// How often a failure counts where no other event waits that could tell its fault from the server's: the
/// server connects and lists its tools, and still an outage of its tools over a long weekend is to cost
/// nothing. Ten attempts are five days.
const ALONE: Duration = Duration::from_secs(12 * 3600);

/// The same where another event got through after it had failed: longer than the two seconds in which a
/// person's flush tries again, and a flush of a minute may still see the end of it.
const ALONE_AND_SUSPECT: Duration = Duration::from_secs(5);

/// Shortest time between two failures that count where the server speaks of itself (too busy, or not for us):
/// a limit on calls may well meet the same event again and again, while others get through before it.
const SPEAKS_OF_ITSELF: Duration = Duration::from_secs(60);

/// Sessions whose first waiting event did not get through, by key.
#[derive(Default)]
pub(super) struct Suspects {
    sessions: BTreeMap<Uuid, Suspect>,
    /// Failures so far.
    failures: u64,
}

struct Suspect {
    item: Item,
    /// Not tried before.
    until: Instant,
    /// Number of its last failure: who failed first has the next turn.
    turn: u64,
    /// Failures that count.
    attempts: u32,
    /// When the last of them did, or when it failed first.
    counted: Instant,
    /// What it failed in, and whether that does not count yet.
    error: Option<CallError>,
    is_open: bool,
    /// Another event got through after it had failed.
    is_suspect: bool,
}

impl Suspect {
    fn new(item: Item) -> Self {
        let now = Instant::now();
        let (error, is_open, is_suspect) = (None, false, false);
        Self { item, until: now, turn: 0, attempts: 0, counted: now, error, is_open, is_suspect }
    }

    /// The last failure counts, unless that comes too soon after the one before.
    fn count(&mut self, spacing: Duration) {
        if self.is_open && self.counted.elapsed() >= spacing {
            self.attempts = self.attempts.saturating_add(1);
            self.counted = Instant::now();
            self.is_open = false;
        }
    }

    fn spacing(&self) -> Duration {
        if self.error.as_ref().is_some_and(speaks_of_itself) { SPEAKS_OF_ITSELF } else { Duration::ZERO }
    }
}

/// Whether a server said that it is busy, or that it does not want us.
fn speaks_of_itself(error: &CallError) -> bool {
    matches!(error.outcome, Outcome::Overloaded | Outcome::Unauthorized)
}

impl Suspects {
    pub(super) fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    pub(super) fn contains(&self, key: Uuid) -> bool {
        self.sessions.contains_key(&key)
    }

    pub(super) fn remove(&mut self, key: Uuid) {
        self.sessions.remove(&key);
    }

    /// The session is not tried for so long, whatever the reason.
    pub(super) fn hold(&mut self, item: Item, wait: Duration) {
        self.sessions.entry(item.key).or_insert_with(|| Suspect::new(item)).until = Instant::now() + wait;
    }

    /// The event did not get through: its session is behind the others. `is_alone`: no other session waits.
    /// Gives how many failures count against it.
    pub(super) fn failed(&mut self, item: Item, error: &CallError, is_alone: bool) -> u32 {
        self.failures += 1;
        let suspect = self.sessions.entry(item.key).or_insert_with(|| Suspect::new(item));
        (suspect.item, suspect.turn) = (item, self.failures);
        (suspect.error, suspect.is_open) = (Some(error.clone()), true);
        if is_alone && !speaks_of_itself(error) {
            suspect.count(if suspect.is_suspect { ALONE_AND_SUSPECT } else { ALONE });
        }
        suspect.attempts
    }

    /// It is not tried again for so long, and longer where more of the same would not count anyway.
    pub(super) fn postpone(&mut self, key: Uuid, wait: Duration) {
        if let Some(suspect) = self.sessions.get_mut(&key) {
            let spacing = if suspect.attempts > 0 { suspect.spacing() } else { Duration::ZERO };
            suspect.until = Instant::now() + wait.max(spacing);
        }
    }

    /// An event that is none of these got through: the server is well.
    pub(super) fn others_got_through(&mut self) {
        for suspect in self.sessions.values_mut() {
            suspect.is_suspect |= suspect.is_open;
            suspect.count(suspect.spacing());
        }
    }

    /// Those against which so many failures count, with what they failed in.
    pub(super) fn hopeless(&self, attempts_max: u32) -> Vec<(Item, String)> {
        let hopeless = self.sessions.values().filter(|suspect| suspect.attempts >= attempts_max);
        let told = |suspect: &Suspect| {
            let error = suspect.error.as_ref().map_or("", |error| error.message.as_str());
            (suspect.item, format!("given up after {} attempts: {error}", suspect.attempts))
        };
        hopeless.map(told).collect()
    }

    /// Who may be tried now and was not tried for longest.
    pub(super) fn due(&self, now: Instant) -> Option<Item> {
        let due = self.sessions.values().filter(|suspect| suspect.until <= now);
        due.min_by_key(|suspect| suspect.turn).map(|suspect| suspect.item)
    }

    /// When the next of them may be tried.
    pub(super) fn next_due(&self, now: Instant) -> Option<Instant> {
        self.sessions.values().map(|suspect| suspect.until).filter(|until| *until > now).min()
    }

    /// All of them may be tried now.
    pub(super) fn hurry(&mut self) {
        let now = Instant::now();
        self.sessions.values_mut().for_each(|suspect| suspect.until = now);
    }

    /// Whether it is to be tried over a connection that served nobody before: on a server that serves one call
    /// a connection, whoever comes second fails without any fault. Not at first, since a connection may be
    /// expensive, and most of those who failed once get through.
    pub(super) fn is_to_go_first(&self, key: Uuid) -> bool {
        self.sessions.get(&key).is_some_and(|suspect| suspect.attempts > 1)
    }
}
