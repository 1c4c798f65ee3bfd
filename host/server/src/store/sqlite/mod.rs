//! The embedded engine: one SQLite file with a write-ahead log.
//!
//! `writer` groups commits, `reader` lets questions in beside it; `rows`, `questions` and `leases` hold the
//! SQL, `open` files and settings, `migrate` the schema.

mod leases;
mod migrate;
mod open;
mod questions;
mod reader;
mod rows;
mod writer;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use shelltrack_sandbox::types::{EndEvent, StartEvent};

use super::{
    Answer, Counts, Ending, Filter, Import, ListQuery, Owner, Page, Renewal, Starting, Stats, Store,
    StoreError,
};
use crate::records::{SessionRecord, now_us};
use reader::{Readers, read_foreign};
use writer::Writer;

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

impl SqliteStore {
    /// As [`SqliteStore::ask`], once it is settled which sessions nobody has heard of for too long.
    fn ask_now<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<'_, T> {
        Box::pin(async {
            if self.ask(|connection| leases::has_expired(connection, now_us())).await? {
                self.writer.submit(|connection| leases::expire(connection, now_us())).await?;
            }
            self.ask(question).await
        })
    }
}

impl Store for SqliteStore {
    fn track_start(&self, event: StartEvent, owner: Owner) -> Answer<'_, Starting> {
        Box::pin(
            self.writer.submit(move |connection| rows::insert_start(connection, &event, owner.as_deref())),
        )
    }

    fn track_end(&self, event: EndEvent, owner: Owner) -> Answer<'_, Ending> {
        Box::pin(self.writer.submit(move |connection| rows::update_end(connection, &event, owner.as_deref())))
    }

    fn renew(&self, renewal: Renewal) -> Answer<'_, Vec<String>> {
        Box::pin(self.writer.submit(move |connection| leases::renew(connection, &renewal, now_us())))
    }

    fn list(&self, query: ListQuery) -> Answer<'_, Page> {
        self.ask_now(move |connection| questions::list(connection, &query))
    }

    fn show(&self, id: String) -> Answer<'_, Option<SessionRecord>> {
        self.ask_now(move |connection| rows::show(connection, &id))
    }

    fn counts(&self) -> Answer<'_, Counts> {
        if !self.writer.is_open() {
            return Box::pin(async { Err(StoreError::Closed) });
        }
        self.ask_now(questions::counts)
    }

    fn stats(&self, filter: Filter) -> Answer<'_, Stats> {
        self.ask_now(move |connection| questions::stats(connection, &filter))
    }

    fn archive(&self, ended_before_us: i64) -> Answer<'_, u64> {
        Box::pin(self.writer.submit(move |connection| leases::archive(connection, ended_before_us, now_us())))
    }

    fn import(&self, session: Import) -> Answer<'_, bool> {
        Box::pin(self.writer.submit(move |connection| rows::import(connection, &session)))
    }

    fn backup(&self, to: PathBuf) -> Answer<'_, ()> {
        self.ask(move |connection| open::backup(connection, &to))
    }

    fn check(&self) -> Answer<'_, ()> {
        self.ask(open::check)
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
    fn track_start(&self, _event: StartEvent, _owner: Owner) -> Answer<'_, Starting> {
        read_only()
    }

    fn track_end(&self, _event: EndEvent, _owner: Owner) -> Answer<'_, Ending> {
        read_only()
    }

    fn renew(&self, _renewal: Renewal) -> Answer<'_, Vec<String>> {
        read_only()
    }

    fn list(&self, query: ListQuery) -> Answer<'_, Page> {
        self.ask(move |connection| questions::list(connection, &query))
    }

    fn show(&self, id: String) -> Answer<'_, Option<SessionRecord>> {
        self.ask(move |connection| rows::show(connection, &id))
    }

    fn counts(&self) -> Answer<'_, Counts> {
        self.ask(questions::counts)
    }

    fn stats(&self, filter: Filter) -> Answer<'_, Stats> {
        self.ask(move |connection| questions::stats(connection, &filter))
    }

    fn archive(&self, _ended_before_us: i64) -> Answer<'_, u64> {
        read_only()
    }

    fn import(&self, _session: Import) -> Answer<'_, bool> {
        read_only()
    }

    fn backup(&self, to: PathBuf) -> Answer<'_, ()> {
        self.ask(move |connection| open::backup(connection, &to))
    }

    fn check(&self) -> Answer<'_, ()> {
        self.ask(open::check)
    }

    fn engine(&self) -> &'static str {
        ENGINE
    }
}

fn read_only<T: Send + 'static>() -> Answer<'static, T> {
    Box::pin(async { Err(StoreError::ReadOnly) })
}
