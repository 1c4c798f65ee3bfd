//! Where sessions are kept: what a store must do, whatever its engine.
//!
//! A store answers only when the event is durable, stores an event once however often it arrives, and
//! never tells less than the truth: what it cannot do is a [`StoreError`]. What may be stored is
//! decided before, by the component. The engines are in `sqlite` and `postgres`.

pub(crate) mod postgres;
#[cfg(test)]
pub(crate) mod promises;
mod row;
pub(crate) mod sqlite;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;

use shelltrack_sandbox::types::{EndEvent, ExitReason, StartEvent};

use crate::records::{SessionRecord, State};

/// Why a store could not do what it was asked. The messages go over the wire: they name no path and no SQL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Somebody else kept the database locked for too long.
    #[error("the session database stayed locked by another process; try again")]
    Busy,
    /// No room on the disk.
    #[error("the disk that holds the session database is full")]
    Full,
    /// The file, the disk or this server may only be read.
    #[error("the session database is read-only")]
    ReadOnly,
    /// The file is damaged.
    #[error("the session database is damaged; restore it from a backup")]
    Corrupt,
    /// The file is not ours.
    #[error("the file is no shelltrack session database; name another one")]
    Foreign,
    /// The file belongs to somebody else.
    #[error("the session database belongs to another user (uid {owner}, not {ours}); name another one")]
    Owner {
        /// User id of its owner.
        owner: u32,
        /// Our effective user id.
        ours: u32,
    },
    /// A newer program made the file.
    #[error("the session database has schema {found}; this program knows {supported} and older: update it")]
    NewerSchema {
        /// The file's schema.
        found: i64,
        /// The newest we know.
        supported: i64,
    },
    /// An older program made the file, and this one may not change it.
    #[error(
        "the session database has the older schema {found}; it is brought up to date when it is next written"
    )]
    OlderSchema {
        /// The file's schema.
        found: i64,
    },
    /// The file cannot be reached or read.
    #[error("the session database cannot be used: {0}")]
    Unavailable(String),
    /// This engine has a tool of its own for that.
    #[error("{0}")]
    Unsupported(&'static str),
    /// What the process said that writes the database.
    #[error("{0}")]
    Told(String),
    /// The store is shutting down.
    #[error("the session store is closed")]
    Closed,
}

/// A start that is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredStart {
    /// Id of the session.
    pub(crate) session_id: String,
    /// Its start in microseconds since the epoch.
    pub(crate) start_us: i64,
}

/// What came of a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Starting {
    /// It is stored, now or before.
    Stored(StoredStart),
    /// Its event id is that of another start: another component, shell, process, user, machine, time or owner.
    /// What else a start tells is not compared: a later version may clean the same event otherwise.
    Conflict,
}

#[cfg(test)]
impl Starting {
    /// The start, which is stored.
    #[track_caller]
    pub(crate) fn stored(self) -> StoredStart {
        match self {
            Self::Stored(stored) => stored,
            Self::Conflict => panic!("its event id is that of another start"),
        }
    }
}

/// The proven identity that speaks; `None` for everybody who shares a secret or the machine.
pub(crate) type Owner = Option<String>;

/// What came of an end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ending {
    /// The session as it now is.
    Known(Box<SessionRecord>),
    /// There is none.
    Unknown,
    /// Somebody else began it.
    Foreign,
}

/// Sessions that were seen.
#[derive(Clone, Debug)]
pub(crate) struct Renewal {
    pub(crate) session_ids: Vec<String>,
    /// When, by their own clock.
    pub(crate) seen_us: i64,
    /// How long they count as seen from now on.
    pub(crate) lease_us: i64,
    pub(crate) owner: Owner,
}

/// How long a session counts as open that nobody renews, in microseconds: 30 days. Clients that know no
/// renewal have shells that stay open for weeks.
pub(crate) const LEASE_UNRENEWED_US: i64 = 30 * 86_400 * 1_000_000;

impl ListQuery {
    /// What follows a place in this order, as SQL has it, and the word for the order itself.
    fn order(&self) -> (&'static str, &'static str) {
        if self.oldest_first { (">", "ASC") } else { ("<", "DESC") }
    }
}

/// Which sessions are asked for. `None` filters nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListQuery {
    pub(crate) filter: Filter,
    /// At most so many records.
    pub(crate) limit: u32,
    /// Only what comes after this place.
    pub(crate) after: Option<Cursor>,
    /// In the order in which they were stored, so that whoever stores them again has the same.
    pub(crate) oldest_first: bool,
}

/// Sessions that are meant. `None` filters nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) session_type: Option<String>,
    pub(crate) component_name: Option<String>,
    pub(crate) username: Option<String>,
    pub(crate) hostname: Option<String>,
    pub(crate) state: Option<State>,
    /// Started at this time or later.
    pub(crate) started_from_us: Option<i64>,
    /// Started before this time.
    pub(crate) started_before_us: Option<i64>,
    /// Also those that are archived.
    pub(crate) with_archived: bool,
}

/// A place in the order of a list, which is newest start first, then latest stored first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) start_us: i64,
    /// The store's own number of the row.
    pub(crate) row: i64,
}

/// Part of a list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    pub(crate) records: Vec<SessionRecord>,
    /// Where the next part begins, when there is one.
    pub(crate) next: Option<Cursor>,
}

/// How many sessions there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) total: u64,
    pub(crate) active: u64,
}

/// What a store promises, some time later.
pub(crate) type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A session from elsewhere, as the component found it to be.
#[derive(Clone, Debug)]
pub(crate) struct Import {
    pub(crate) session_id: String,
    pub(crate) start: StartEvent,
    pub(crate) end: Option<EndEvent>,
    pub(crate) owner: Owner,
    pub(crate) last_seen_us: Option<i64>,
    pub(crate) archived_us: Option<i64>,
}

impl Import {
    /// Whether it was lost because its lease ran out: no event ended it.
    fn is_expired(&self) -> bool {
        let expired = |end: &EndEvent| end.exit_reason == ExitReason::Expired && end.event_id.is_none();
        self.end.as_ref().is_some_and(expired)
    }
}

/// A durable store of sessions.
pub(crate) trait Store: Send + Sync + 'static {
    /// Stores a start and gives the session's id. The same event gives the same session.
    fn track_start(&self, event: StartEvent, owner: Owner) -> Answer<'_, Starting>;

    /// Stores an end and gives the session as it then is. An announced end replaces an inferred one, and each
    /// end a lease that ran out; nothing else changes a session that has ended.
    fn track_end(&self, event: EndEvent, owner: Owner) -> Answer<'_, Ending>;

    /// Gives sessions a new lease that are open, or are lost only because theirs ran out: those are active again.
    /// Answers with the ids of those that got one.
    fn renew(&self, renewal: Renewal) -> Answer<'_, Vec<String>>;

    /// Sessions, newest first unless otherwise asked.
    fn list(&self, query: ListQuery) -> Answer<'_, Page>;

    /// The session with that session id, or else the newest with that correlation id.
    fn show(&self, id: String) -> Answer<'_, Option<SessionRecord>>;

    /// Counts sessions; an error when the store cannot be read, or has stopped writing.
    fn counts(&self) -> Answer<'_, Counts>;

    /// Counts sessions by state and component.
    fn stats(&self, filter: Filter) -> Answer<'_, Stats>;

    /// Archives what ended before that time; how many that were.
    fn archive(&self, ended_before_us: i64) -> Answer<'_, u64>;

    /// Stores a session from elsewhere; `false` when it is here already.
    fn import(&self, session: Import) -> Answer<'_, bool>;

    /// Copies everything to a new file while others go on writing.
    fn backup(&self, to: PathBuf) -> Answer<'_, ()>;

    /// Reads everything and compares it with itself.
    fn check(&self) -> Answer<'_, ()>;

    /// Name of the engine.
    fn engine(&self) -> &'static str;
}

/// How many sessions there are, of one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Stats {
    /// All of them, by state.
    pub(crate) total: Vec<Tally>,
    /// By component and state, in the order of names.
    pub(crate) components: Vec<(String, Tally)>,
    /// There are further components, which only the total holds.
    pub(crate) has_more_components: bool,
}

/// Components of a statistic that are told one by one: there are few; a hostile client could make many.
const COMPONENTS_MAX: usize = 1000;

/// Rows by component that are asked for: all states of the components that are told, and one row of another.
const TALLIES_MAX: usize = 4 * COMPONENTS_MAX + 1;

impl Stats {
    /// Of rows in order, those of all components together first.
    fn of(rows: impl IntoIterator<Item = (Option<String>, Tally)>) -> Self {
        let mut stats = Self::default();
        let mut names = 0;
        for (component, tally) in rows {
            let Some(name) = component else {
                stats.total.push(tally);
                continue;
            };
            if stats.components.last().is_none_or(|(last, _)| *last != name) {
                names += 1;
            }
            if names > COMPONENTS_MAX {
                stats.has_more_components = true;
                break;
            }
            stats.components.push((name, tally));
        }
        stats
    }
}

/// Sessions in one state.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tally {
    pub(crate) state: State,
    pub(crate) sessions: u64,
    /// Sum of the durations that are known, in microseconds.
    pub(crate) duration_us: f64,
    /// How many of them are known.
    pub(crate) durations: u64,
}
