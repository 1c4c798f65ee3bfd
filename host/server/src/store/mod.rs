//! Where sessions are kept: what a store must do, whatever its engine.
//!
//! A store answers only when the event is durable, stores an event once however often it arrives, and
//! never tells less than the truth: what it cannot do is a [`StoreError`]. What may be stored is
//! decided before, by the component. The one engine is in `sqlite`.

pub(crate) mod sqlite;

use std::future::Future;
use std::pin::Pin;

use shelltrack_sandbox::types::{EndEvent, StartEvent};

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

/// Which sessions are asked for. `None` filters nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListQuery {
    pub(crate) session_type: Option<String>,
    pub(crate) component_name: Option<String>,
    pub(crate) state: Option<State>,
    /// At most so many records.
    pub(crate) limit: u32,
    /// Only what comes after this place.
    pub(crate) after: Option<Cursor>,
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

/// A durable store of sessions.
pub(crate) trait Store: Send + Sync + 'static {
    /// Stores a start and gives the session's id. The same `event_id` gives the same session.
    fn track_start(&self, event: StartEvent) -> Answer<'_, StoredStart>;

    /// Stores an end and gives the session as it then is; `None` for an unknown session. An announced
    /// end replaces an inferred one; nothing else changes a session that has ended.
    fn track_end(&self, event: EndEvent) -> Answer<'_, Option<SessionRecord>>;

    /// Sessions, newest first.
    fn list(&self, query: ListQuery) -> Answer<'_, Page>;

    /// The session with that session id, or else the newest with that correlation id.
    fn show(&self, id: String) -> Answer<'_, Option<SessionRecord>>;

    /// Counts sessions; an error when the store cannot be read, or has stopped writing.
    fn counts(&self) -> Answer<'_, Counts>;

    /// Name of the engine.
    fn engine(&self) -> &'static str;
}
