//! The database of a Session-Buddy of ours, read from outside: what is really stored, in any number.

use std::collections::HashSet;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::home::Home;

/// One session as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The tracker's key.
    pub key: String,
    /// `active`, `ended`, `crashed` or `lost`.
    pub state: String,
    /// Exit status, where it is known.
    pub exit_status: Option<i64>,
}

/// Every session in the database of a home, in the order they were stored.
///
/// # Panics
/// When there is no database, or it is damaged, or a session is in it twice.
#[track_caller]
pub fn stored(home: &Home) -> Vec<Stored> {
    stored_at(&home.path().join("data/shelltrack/sessions.db"))
}

/// Keeps everybody from writing that database until it is dropped; readers do not wait.
///
/// # Panics
/// When somebody else does so already.
#[track_caller]
pub fn lock(database: &Path) -> impl Sized + use<> {
    let connection = Connection::open(database).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    connection
}

#[track_caller]
fn stored_at(path: &Path) -> Vec<Stored> {
    let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let sound: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok", "{}", path.display());
    let mut query =
        database.prepare("SELECT correlation_id, state, exit_status FROM sessions ORDER BY id").unwrap();
    let rows = query
        .query_map([], |row| Ok(Stored { key: row.get(0)?, state: row.get(1)?, exit_status: row.get(2)? }));
    let sessions: Vec<Stored> = rows.unwrap().map(Result::unwrap).collect();
    let keys: HashSet<&str> = sessions.iter().map(|session| session.key.as_str()).collect();
    assert_eq!(keys.len(), sessions.len(), "a session is stored twice");
    sessions
}
