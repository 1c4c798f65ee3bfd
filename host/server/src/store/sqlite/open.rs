//! Opens SQLite files: who may, with which settings, and what SQLite's errors mean to us.
//!
//! No SQL of sessions here. The database file is never opened but by SQLite: closing any other
//! descriptor of it would drop the locks of this process (POSIX `fcntl`).

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::super::StoreError;
use super::leases::show_expired;
use super::migrate::{Schema, inspect, migrate, newest_version};
use crate::records::now_us;

/// How long to wait for another process's lock: longer than any group of commits on a busy disk, shorter
/// than what clients allow a call (15 s).
const BUSY_TIMEOUT_MS: u64 = 5_000;

/// Pause between attempts where SQLite reports a lock at once instead of waiting.
const BUSY_PAUSE_MS: u64 = 10;

/// The log is cut to this size after a checkpoint, so that one burst does not keep its room forever.
const JOURNAL_BYTES_MAX: i64 = 16 << 20;

/// Pages kept per connection, KiB: what the system keeps of the file is next to as fast, and an agent lives
/// for days with little memory. SQLite's own default is 2,000.
const CACHE_KIB: i64 = 512;

/// Statements kept ready per connection: all there are, with room for the forms of a list.
const STATEMENTS_MAX: usize = 32;

/// Which file a path stood for when it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

/// The file that path stands for now, if any.
pub(super) fn file_id(path: &Path) -> Option<FileId> {
    let metadata = fs::metadata(path).ok()?;
    Some(FileId { device: metadata.dev(), inode: metadata.ino() })
}

/// Opens for writing: makes file and directory where missing, brings the schema up to date.
pub(super) fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    let deadline = Instant::now() + Duration::from_millis(BUSY_TIMEOUT_MS);
    loop {
        match try_open_writer(path) {
            // Switching to the write-ahead log reports a lock without waiting for it.
            Err(StoreError::Busy) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(BUSY_PAUSE_MS));
            }
            result => return result,
        }
    }
}

fn try_open_writer(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = {
        let _alone = create_private(path)?;
        Connection::open_with_flags(path, flags)?
    };
    harden(&connection)?;
    inspect(&connection)?;
    close_to_others(path)?; // not before it is known to be ours: whoever misspells a name must not lock others out
    connection.query_row("PRAGMA journal_mode = WAL", [], |row| match row.get_ref(0)?.as_str()? {
        "wal" => Ok(()),
        _ => Err(rusqlite::Error::QueryReturnedNoRows),
    })?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "fullfsync", true)?; // macOS: fsync alone leaves data in the drive
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.pragma_update_and_check(None, "journal_size_limit", JOURNAL_BYTES_MAX, |_| Ok(()))?;
    migrate(&mut connection)?;
    Ok(connection)
}

/// Opens a connection that only reads a database which this process also writes.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    harden(&connection)?;
    Ok(connection)
}

/// Opens a database that other processes may write, without making anything; `None` when there is
/// nothing in it. `is_still` says whether nobody writes it: then not even a lock is taken.
pub(super) fn open_foreign(path: &Path, is_still: bool) -> Result<Option<Connection>, StoreError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(uri(path, is_still)?, flags)?;
    harden(&connection)?;
    match inspect(&connection)? {
        Schema::Empty => Ok(None),
        Schema::Version(found) if found < newest_version() => Err(StoreError::OlderSchema { found }),
        Schema::Version(_) => {
            show_expired(&connection, now_us())?;
            Ok(Some(connection))
        }
    }
}

/// A `file:` URI (RFC 8089) for SQLite, which takes no other way to say that a file does not change.
fn uri(path: &Path, is_immutable: bool) -> Result<String, StoreError> {
    use std::os::unix::ffi::OsStrExt;
    let absolute = std::path::absolute(path).map_err(|error| unavailable(&error))?;
    let mut uri = String::from("file://");
    for byte in absolute.as_os_str().as_bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                uri.push(char::from(*byte))
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri.push_str(if is_immutable { "?mode=ro&immutable=1" } else { "?mode=ro" });
    Ok(uri)
}

/// Settings every connection has.
fn harden(connection: &Connection) -> Result<(), StoreError> {
    connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true)?;
    Ok(())
}

/// Makes directory (0700) and file (0600) where missing. Whoever holds the result is the only thread of
/// this process that opens or makes a database: see the head of this file.
fn create_private(path: &Path) -> Result<impl Sized, StoreError> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    if let Some(there) = directory.ancestors().find(|ancestor| ancestor.exists()) {
        check_place(there)?;
    }
    DirBuilder::new().recursive(true).mode(0o700).create(&directory).map_err(|error| unavailable(&error))?;
    match fs::metadata(path) {
        Ok(metadata) => check_existing(&metadata)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => create_file(path, &directory)?,
        Err(error) => return Err(unavailable(&error)),
    }
    Ok(alone)
}

/// Copies a database to a new file of its owner alone, also while it is written.
pub(super) fn backup(connection: &Connection, to: &Path) -> Result<(), StoreError> {
    let to = std::path::absolute(to).map_err(|error| unavailable(&error))?;
    // Never over another file, and never readable by others, not even for a moment.
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&to);
    drop(made.map_err(|error| unavailable(&error))?);
    let copied =
        connection.backup("main", &to, None::<fn(rusqlite::backup::Progress)>).map_err(StoreError::from);
    copied.and_then(|()| {
        fs::File::open(&to).and_then(|file| file.sync_all()).map_err(|error| unavailable(&error))
    })
}

/// Reads the whole database and compares it with its indexes.
pub(super) fn check(connection: &Connection) -> Result<(), StoreError> {
    let verdict: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" { Ok(()) } else { Err(StoreError::Corrupt) }
}

/// Another user's file is refused (`sudo` with somebody's HOME).
fn check_existing(metadata: &fs::Metadata) -> Result<(), StoreError> {
    if metadata.is_file() { check_owner(metadata.uid()) } else { Err(StoreError::Foreign) }
}

/// Nobody else reads a database, or what SQLite keeps beside it.
fn close_to_others(path: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        if fs::metadata(&file).is_ok_and(|metadata| metadata.mode() & 0o077 != 0) {
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600))
                .map_err(|error| unavailable(&error))?;
        }
    }
    Ok(())
}

fn create_file(path: &Path, directory: &Path) -> Result<(), StoreError> {
    check_place(directory)?;
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(unavailable(&error)),
        _ => Ok(()),
    }
}

/// Nothing is made in a directory of another user; one of root's, such as /tmp, is nobody's in
/// particular.
fn check_place(directory: &Path) -> Result<(), StoreError> {
    match fs::metadata(directory).map_err(|error| unavailable(&error))?.uid() {
        0 => Ok(()),
        owner => check_owner(owner),
    }
}

fn check_owner(owner: u32) -> Result<(), StoreError> {
    let ours = rustix::process::geteuid().as_raw();
    if owner == ours { Ok(()) } else { Err(StoreError::Owner { owner, ours }) }
}

/// What the operating system said, without any path.
pub(super) fn unavailable(error: &io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full,
        io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly,
        kind => StoreError::Unavailable(kind.to_string()),
    }
}

impl StoreError {
    /// What SQLite's error means to a caller.
    pub(super) fn from_sqlite(error: &rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::ReadOnly) => Self::ReadOnly,
            Some(ErrorCode::DatabaseCorrupt) => Self::Corrupt,
            Some(ErrorCode::NotADatabase) => Self::Foreign,
            Some(code) => Self::Unavailable(sqlite_word(code).into()),
            None => Self::Corrupt, // a row that is not what the schema promises
        }
    }
}

/// SQLite's own messages may hold SQL or paths; these do not.
fn sqlite_word(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::SystemIoFailure => "the disk reports an error",
        ErrorCode::CannotOpen | ErrorCode::PermissionDenied => "it cannot be opened",
        ErrorCode::OutOfMemory => "out of memory",
        ErrorCode::ConstraintViolation => "the record breaks a constraint of the schema",
        ErrorCode::TooBig => "the record is too big",
        _ => "SQLite reports an internal error",
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        tracing::debug!(%error, "SQLite reports an error");
        Self::from_sqlite(&error)
    }
}
