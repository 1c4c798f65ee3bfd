//! The embedded engine: one SQLite file with a write-ahead log.
//!
//! `writer` groups commits, `reader` answers questions, `rows` holds the SQL, `open` files and settings,
//! `migrate` the schema.

mod migrate;
mod open;
mod reader;
mod rows;
mod writer;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use shelltrack_sandbox::types::{EndEvent, StartEvent};

use super::{Answer, Counts, ListQuery, Page, Store, StoreError, StoredStart};
use crate::records::SessionRecord;
use reader::{Readers, read_foreign};
use writer::{Job, Writer};

const ENGINE: &str = "sqlite";

/// A SQLite file that this process writes. Others may write it too.
pub(crate) struct SqliteStore {
    /// Dropped before the writer: who closes a database last tidies it up, and readers cannot.
    readers: Arc<Readers>,
    writer: Writer,
}

impl SqliteStore {
    /// Makes and migrates the file when needed.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let path = std::path::absolute(path).map_err(|error| open::unavailable(&error))?;
        let writer = Writer::start(path.clone())?;
        Ok(Self { readers: Arc::new(Readers::new(path)), writer })
    }

    fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<'_, T> {
        let readers = Arc::clone(&self.readers);
        in_background(move || readers.with(question))
    }
}

/// Runs something that waits for the disk on a thread that may.
fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Answer<'static, T> {
    Box::pin(async { tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Closed)? })
}

impl Store for SqliteStore {
    fn track_start(&self, event: StartEvent) -> Answer<'_, StoredStart> {
        Box::pin(self.writer.submit(|reply| Job::Start(Box::new(event), reply)))
    }

    fn track_end(&self, event: EndEvent) -> Answer<'_, Option<SessionRecord>> {
        Box::pin(self.writer.submit(|reply| Job::End(Box::new(event), reply)))
    }

    fn list(&self, query: ListQuery) -> Answer<'_, Page> {
        self.ask(move |connection| rows::list(connection, &query))
    }

    fn show(&self, id: String) -> Answer<'_, Option<SessionRecord>> {
        self.ask(move |connection| rows::show(connection, &id))
    }

    fn counts(&self) -> Answer<'_, Counts> {
        if !self.writer.is_open() {
            return Box::pin(async { Err(StoreError::Closed) });
        }
        self.ask(rows::counts)
    }

    fn engine(&self) -> &'static str {
        ENGINE
    }
}

/// A SQLite file that this process only reads. A missing one is an empty store.
pub(crate) struct ReadOnlySqliteStore {
    path: PathBuf,
}

impl ReadOnlySqliteStore {
    /// Fails only when there is a file that is not ours to read.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        read_foreign(path, |_| Ok(()))?;
        Ok(Self { path: path.to_owned() })
    }

    fn ask<T: Default + Send + 'static>(
        &self,
        question: impl Fn(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<'_, T> {
        let path = self.path.clone();
        in_background(move || Ok(read_foreign(&path, question)?.unwrap_or_default()))
    }
}

impl Store for ReadOnlySqliteStore {
    fn track_start(&self, _event: StartEvent) -> Answer<'_, StoredStart> {
        Box::pin(async { Err(StoreError::ReadOnly) })
    }

    fn track_end(&self, _event: EndEvent) -> Answer<'_, Option<SessionRecord>> {
        Box::pin(async { Err(StoreError::ReadOnly) })
    }

    fn list(&self, query: ListQuery) -> Answer<'_, Page> {
        self.ask(move |connection| rows::list(connection, &query))
    }

    fn show(&self, id: String) -> Answer<'_, Option<SessionRecord>> {
        self.ask(move |connection| rows::show(connection, &id))
    }

    fn counts(&self) -> Answer<'_, Counts> {
        self.ask(rows::counts)
    }

    fn engine(&self) -> &'static str {
        ENGINE
    }
}
