//! Reading: beside our own writer, or a file that only others write.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use rusqlite::Connection;

use super::super::StoreError;
use super::open::{FileId, file_id, open_foreign, open_reader, unavailable};

/// Idle connections kept for the next question: as many as there are likely to be cores for.
const IDLE_CONNECTIONS_MAX: usize = 4;

/// How often a quiet file is read anew because somebody began to write it meanwhile. The next attempt
/// takes a lock and needs no luck, unless the writer is gone again by then.
const QUIET_ATTEMPTS_MAX: u32 = 8;

/// Reads beside a writer of this process.
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<(FileId, Connection)>>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, idle: Mutex::new(Vec::new()) }
    }

    /// Runs a question on a connection of its own.
    pub(super) fn with<T>(
        &self,
        ask: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let (file, connection) = self.take()?;
        let answer = ask(&connection);
        if answer.is_ok() {
            self.put_back(file, connection);
        }
        answer
    }

    fn take(&self) -> Result<(FileId, Connection), StoreError> {
        let gone = || StoreError::Unavailable("its file is gone".into());
        let now = file_id(&self.path).ok_or_else(gone)?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((file, connection)) = idle.pop() {
            if file == now {
                return Ok((file, connection));
            }
        }
        drop(idle);
        Ok((now, open_reader(&self.path)?))
    }

    fn put_back(&self, file: FileId, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_CONNECTIONS_MAX {
            idle.push((file, connection));
        }
    }
}

/// Runs a question on a file that only other processes write, and makes nothing; `None` when there is no
/// store yet.
///
/// SQLite reads a write-ahead-logged database with the help of two more files, which it makes when they
/// are missing. They are missing when nobody has the database open: then it is read as one that does not
/// change, and read again if it did.
pub(super) fn read_foreign<T>(
    path: &Path,
    ask: impl Fn(&Connection) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    for _ in 0..QUIET_ATTEMPTS_MAX {
        let Some(before) = Footprint::of(path)? else { return Ok(None) };
        let answer = open_foreign(path, before.is_quiet())
            .and_then(|connection| connection.as_ref().map(&ask).transpose());
        if !before.is_quiet() || Footprint::of(path)? == Some(before) {
            return answer;
        }
    }
    Err(StoreError::Busy)
}

/// What tells whether somebody wrote a file meanwhile.
#[derive(PartialEq, Eq)]
struct Footprint {
    file: Option<FileId>,
    bytes: u64,
    modified: Option<SystemTime>,
    has_log: bool,
}

impl Footprint {
    fn of(path: &Path) -> Result<Option<Self>, StoreError> {
        let metadata = match fs::metadata(path) {
            Ok(metadata) if !metadata.is_file() => return Err(StoreError::Foreign),
            Ok(metadata) => metadata,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unavailable(&error)),
        };
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        Ok(Some(Self {
            file: file_id(path),
            bytes: metadata.len(),
            modified: metadata.modified().ok(),
            has_log: Path::new(&log).exists(),
        }))
    }

    fn is_quiet(&self) -> bool {
        !self.has_log
    }
}
